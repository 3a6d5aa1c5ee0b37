/* See theory.h. Sums over speeds go in steps of a tenth of a standard deviation, sums over a peer's results one by one. */
#include "coordinator/simulate/theory.h"

#include <math.h>

#include "coordinator/draw.h"
#include "coordinator/simulate/state.h"
#include "tasks/base/mem.h"

#define SPEEDS	    81u /* from −4 to 4 standard deviations */
#define RESULTS_MAX 1000000u
#define WAY_MS	    (LATENCY_MIN_MS + LATENCY_SPAN_MS / 2.0)
/* Messages in a row from a result until its unit is with an auditor (COMMIT, REVEAL_REQUEST, REVEAL, UPLOAD_REQUEST, UPLOAD,
 * LEASE); from an auditor's result until it has been compared. */
#define WAYS_SETTLED  6
#define WAYS_COMPARED 3

void theory_comparing(struct comparing *out, uint32_t count, double floor)
{
	double again = 1 + (floor > AUDIT_AGAIN ? floor : AUDIT_AGAIN);
	double trust = PEER_ESTABLISHED;

	for (uint32_t i = 0; i < count; i++) {
		double p = i < PEER_ESTABLISHED ? 1 : draw_probability((uint64_t)trust, floor);

		out[i].draw = p;
		out[i].audit = i < PEER_ESTABLISHED ? 0 : again * p / (1 + again * p);
		if (i >= PEER_ESTABLISHED)
			trust += (1 + again) * p / (1 + again * p);
	}
}

/* The chances that a wrong result is the first of its unit and passes, and that it is found. A draw is in vain when the auditor is
 * a friend, and the audit's audit, if there is one, is another. */
static double passes(const struct comparing *c, double friends)
{
	return (1 - c->audit) * (1 - c->draw * (1 - friends) * (1 + AUDIT_AGAIN * friends));
}

static double found(const struct comparing *c, double friends)
{
	return 1 - passes(c, friends) - c->audit * friends;
}

static double speed_weight(uint32_t k)
{
	double z = 0.1 * k - 4;

	return 0.1 * exp(-z * z / 2) / sqrt(6.283185307179586);
}

/* The time that a peer of this speed takes for a unit, in the median's. */
static double speed_time(uint32_t k)
{
	return exp(SPREAD_SPEED * (0.1 * k - 4));
}

/* The chance that a log-normal time with this median and the crowd's spread is at most x. */
static double at_most(double x, double median)
{
	if (x <= 0)
		return 0;
	return 0.5 * erfc(-log(x / median) / SPREAD_SPEED / sqrt(2));
}

/* A table of sums over a peer's results: [n] is the sum of the first n. */
struct sums {
	uint32_t count;
	struct comparing *compared;
	double *first;	/* results that are the first ones of their units, by an honest peer … */
	double *erring; /* … by one that errs, until it falls */
	double *survives; /* the chance that it has not fallen after n */
};

static void sums_free(struct sums *s)
{
	mem_free(s->compared);
	mem_free(s->first);
	mem_free(s->erring);
	mem_free(s->survives);
}

static int sums_make(struct sums *s, const struct theory *t)
{
	double most = 30 * t->units / t->peers + 100;

	*s = (struct sums){.count = most < RESULTS_MAX ? (uint32_t)most : RESULTS_MAX};
	s->compared = mem_calloc(s->count, sizeof(*s->compared));
	s->first = mem_calloc((size_t)s->count + 1, sizeof(*s->first));
	s->erring = mem_calloc((size_t)s->count + 1, sizeof(*s->erring));
	s->survives = mem_calloc((size_t)s->count + 1, sizeof(*s->survives));
	if (s->compared == NULL || s->first == NULL || s->erring == NULL || s->survives == NULL)
		return TK_ENOMEM;
	theory_comparing(s->compared, s->count, t->floor);
	s->survives[0] = 1;
	for (uint32_t n = 0; n < s->count; n++) {
		double wrong = n < t->honest ? 0 : t->wrong;
		double first = 1 - s->compared[n].audit;

		s->first[n + 1] = s->first[n] + first;
		s->erring[n + 1] = s->erring[n] + first * s->survives[n];
		s->survives[n + 1] =
			s->survives[n] * (1 - wrong * found(&s->compared[n], t->friends));
	}
	return TK_OK;
}

static uint32_t results(const struct sums *s, double run, uint32_t speed)
{
	double n = run / speed_time(speed);

	return n < s->count ? (uint32_t)n : s->count;
}

/* How long peers compute until all units have their first results, in the median's units. */
static double run_length(const struct sums *s, const struct theory *t, double units)
{
	double low = 0, high = 30 * units / t->peers;

	for (uint32_t i = 0; i < 50; i++) {
		double run = (low + high) / 2, sum = 0;

		for (uint32_t k = 0; k < SPEEDS; k++) {
			uint32_t n = results(s, run, k);

			sum += speed_weight(k) *
			       (t->share * s->erring[n] + (1 - t->share) * s->first[n]);
		}
		if (sum * t->peers < units)
			low = run;
		else
			high = run;
	}
	return high;
}

/* Units of discarded rounds, which are computed again. Who falls has erred in the k-th merged round before the one in
 * progress, and in none that is older and kept, with a chance that follows from what he passed in a round; then k − 1 rounds go, and half of the one in progress. */
static double discarded(const struct sums *s, const struct theory *t, double run)
{
	uint32_t middle = results(s, run, SPEEDS / 2) / 2; /* of the results that it gives */
	double errors = t->wrong * t->round / t->peers * passes(&s->compared[middle], t->friends);
	double fallen = 0, rounds = 0;

	for (uint32_t k = 0; k < SPEEDS; k++)
		fallen += speed_weight(k) * (1 - s->survives[results(s, run, k)]);
	for (uint32_t k = 1; k <= t->kept; k++)
		rounds += (1 - exp(-errors)) * exp(-errors * (t->kept - k)) * (k - 0.5);
	return fallen * t->share * t->peers * rounds * t->round;
}

/* The chance that of n wrong results in a row none has retired its author yet. One is compared with the chance that its trust gives it;
 * what that leads to takes its time, in which the author goes on. An audit by itself is with the referee at once, and a unit that is
 * drawn first waits until somebody has computed it who has just begun another, or who waits for work. */
static double not_yet(const struct comparing *c, const struct theory *t, double unit_ms, uint32_t n)
{
	double referee_ms = 2 * t->median_ms + WAYS_COMPARED * WAY_MS;
	/* Whoever computes fast asks often: the auditor's time is the crowd's, weighted with its inverse. */
	double auditor_ms = t->median_ms * exp(-SPREAD_SPEED * SPREAD_SPEED);
	double chance = 1;

	for (uint32_t j = 0; j < n; j++) {
		double ms = (j + 1) * unit_ms / t->busy;
		double left = ms - referee_ms - (WAYS_SETTLED + WAYS_COMPARED) * WAY_MS;

		double drawn = t->busy * at_most(left / SLOTS, auditor_ms) +
			       (1 - t->busy) * at_most(left, auditor_ms);

		chance *= 1 - c->audit * (ms > referee_ms) - (1 - c->audit) * c->draw * drawn;
	}
	return chance;
}

int theory_sleeper(double *median, const struct theory *t)
{
	struct sums s;
	int rc = sums_make(&s, t);
	double run = rc == TK_OK ? run_length(&s, t, t->units) : 0;
	uint32_t n = 0;
	double left, all;

	do {
		left = all = 0;
		n++;
		for (uint32_t k = 0; k < SPEEDS && rc == TK_OK && t->honest < s.count; k++) {
			if (results(&s, run, k) <= t->honest)
				continue; /* it never gets so far */
			all += speed_weight(k);
			left += speed_weight(k) *
				not_yet(&s.compared[t->honest], t, speed_time(k) * t->median_ms, n);
		}
	} while (2 * left > all && n < RESULTS_MAX);
	sums_free(&s);
	*median = n;
	return rc;
}

int theory_errors(double *standing, double *spread, const struct theory *t)
{
	struct sums s;
	int rc = sums_make(&s, t);
	double run = 0, units = t->units, each = 0;

	for (uint32_t i = 0; i < 5 && rc == TK_OK; i++) {
		run = run_length(&s, t, units);
		units = t->units + discarded(&s, t, run);
	}
	for (uint32_t k = 0; k < SPEEDS && rc == TK_OK; k++) {
		uint32_t count = results(&s, run, k);
		/* Results of the same round, and of those that are kept, are looked at again when their author falls. */
		uint32_t window = (uint32_t)((0.5 + t->kept) * t->round / units * count);

		for (uint32_t n = t->honest; n < count; n++)
			each += speed_weight(k) * t->wrong * passes(&s.compared[n], t->friends) *
				s.survives[n + window < count ? n + window : count];
	}
	sums_free(&s);
	each *= t->units / units; /* what is discarded does not stand */
	*standing = each * t->share * t->peers;
	/* How many one peer gets through varies as a geometric number does: by m + m² around m. */
	*spread = each > 0 ? sqrt((1 / each + 1) / (t->share * t->peers)) : 0;
	return rc;
}
