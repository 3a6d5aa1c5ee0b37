/* A gigabyte from the coordinator to everybody, a tenth of them public, all on home uplinks: how long it takes
 * beside the least time that the links allow, and what the coordinator sends of it. */
#include <stdlib.h>

#include "tests/sim/crowd.h"
#include "tests/sim/scenario.h"

#define STEP_MS 5000u

static int by_time(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The times in ascending order, those who never got it last. */
static uint32_t *times_of(const struct crowd *c, uint32_t peers, uint32_t never_ms)
{
	uint32_t *times = malloc(peers * sizeof(*times));

	for (uint32_t i = 0; i < peers && times != NULL; i++) {
		times[i] = crowd_done_ms(c, i + 2);
		if (times[i] == 0)
			times[i] = never_ms;
	}
	if (times != NULL)
		qsort(times, peers, sizeof(*times), by_time);
	return times;
}

/* Who is behind which NAT has it how much later? */
static void by_nat(struct run *r, const struct crowd *c)
{
	static const char *const names[] = {"mean of public peers", "mean behind cones",
		"mean behind restricted NATs", "mean behind symmetric NATs"};
	double sum[4] = {0};
	uint32_t count[4] = {0};

	for (uint32_t p = 2; p < r->peers + 2; p++) {
		sum[crowd_nat(c, p)] += crowd_done_ms(c, p) / 1e3;
		count[crowd_nat(c, p)]++;
	}
	for (uint32_t n = 0; n < 4; n++)
		report_note(r->report, names[n], sum[n] / (count[n] + !count[n]), "s");
}

/* What the coordinator sends, and whom it has no place for. */
static void by_tracker(struct run *r, const struct crowd_totals *t, uint64_t bytes)
{
	report_note(
		r->report, "  of pieces alone, in sizes", (double)t->seed_sent / (double)bytes, "");
	report_note(r->report, "  words for a peer", (double)t->seed_said / r->peers, "bytes");
	report_note(r->report, "  records for a peer", (double)t->records / r->peers, "");
	report_note(r->report, "  questions of a peer", (double)t->seed_whos / r->peers, "");
	report_note(r->report, "questions of a peer, to all", (double)t->whos / r->peers, "");
	report_note(r->report, "knocks of a peer", (double)t->knocks / r->peers, "");
	report_note(r->report, "  refused", (double)t->refused / r->peers, "");
	report_note(r->report, "  sent away later", (double)t->displaced / r->peers, "");
}

static void figures(struct run *r, const struct crowd *c, const uint32_t *times, uint64_t bytes)
{
	double bound = crowd_bound_s(c);
	struct crowd_totals t;

	crowd_totals(c, &t);
	report_note(r->report, "the least time that the links allow", bound, "s");
	report_note(r->report, "p50", times[r->peers / 2] / 1e3, "s");
	report_note(r->report, "p95", times[r->peers * 95ull / 100] / 1e3, "s");
	report_note(r->report, "last", times[r->peers - 1] / 1e3, "s");
	report_most(r->report, "p95 in the least time", times[r->peers * 95ull / 100] / 1e3 / bound,
		1.5, "");
	report_most(r->report, "the coordinator sends, in sizes, all told",
		t.seed_all / (double)bytes, 5, "");
	report_least(r->report, "peers that have it", 100.0 * crowd_done(c) / r->peers, 100, "%");
	by_tracker(r, &t, bytes);
	by_nat(r, c);
	report_note(r->report, "received twice", 100.0 * t.wasted / (t.got + !t.got), "%");
	report_note(r->report, "use of all uplinks until the last had it", 100 * t.uplink_use, "%");
	report_note(r->report, "messages of a peer", (double)t.messages / r->peers, "");
	report_note(r->report, "dials of a peer", (double)t.dials / r->peers, "");
	report_note(r->report, "memory of a core", (double)t.memory / r->peers, "bytes");
}

void sim_distribute(struct run *r)
{
	struct curve *curve = report_curve(r->report, "peers that have it all");
	struct curve *use = report_curve(r->report, "use of the peers' uplinks");
	struct curve *best = report_curve(r->report, "the least time that the links allow");
	struct crowd_config config;
	uint32_t limit_ms, now = 0, *times;
	struct crowd_totals t;
	struct crowd *c;

	report_axes(r->report, "A gigabyte to everybody", "seconds", "%");
	crowd_config_default(&config, r->seed, r->peers);
	config.replay = r->replay;
	if (r->places != 0)
		config.places = r->places;
	if (r->seconds != 0)
		config.bytes = r->seconds * 4000000ull;
	c = crowd_new(&config);
	limit_ms = (uint32_t)(crowd_bound_s(c) * 4000);
	while (now < limit_ms && crowd_done(c) < r->peers) {
		now += STEP_MS;
		crowd_run(c, now);
		crowd_totals(c, &t);
		curve_add(curve, now / 1e3, 100.0 * crowd_done(c) / r->peers);
		curve_add(use, now / 1e3, 100 * t.uplink_now);
	}
	curve_add(best, crowd_bound_s(c), 0);
	curve_add(best, crowd_bound_s(c), 100);
	times = times_of(c, r->peers, now);
	if (times != NULL)
		figures(r, c, times, config.bytes);
	crowd_totals(c, &t);
	r->trace = t.trace;
	free(times);
	crowd_free(c);
}
