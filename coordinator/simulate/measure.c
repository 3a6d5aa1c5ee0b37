/* What a run shows: the rows that the core would have stored, read as figures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/simulate/state.h"
#include "tasks/base/mem.h"

#define SAY_EVERY_S 10.0

double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Reservoir sampling with a stream of its own: what is measured changes nothing that happens. */
void spread_add(struct spread *s, double value)
{
	uint64_t at = s->count++;

	s->sum += value;
	s->most = s->count == 1 || value > s->most ? value : s->most;
	if (s->values == NULL)
		s->values = mem_calloc(SPREAD_MAX, sizeof(*s->values));
	if (s->values == NULL)
		return; /* sum and most are right; quantiles are 0 */
	if (at >= SPREAD_MAX) {
		s->random = s->random * 6364136223846793005u + 1442695040888963407u;
		at = (s->random >> 20) % s->count;
	}
	if (at < SPREAD_MAX)
		s->values[at] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct simulate_spread spread_end(struct spread *s)
{
	struct simulate_spread out = {.count = s->count, .most = s->most};
	size_t n = s->count < SPREAD_MAX ? (size_t)s->count : SPREAD_MAX;

	if (s->count > 0)
		out.mean = s->sum / (double)s->count;
	if (s->count > 0 && s->values != NULL) {
		qsort(s->values, n, sizeof(*s->values), compare);
		out.median = s->values[n / 2];
		out.p90 = s->values[n * 9 / 10];
		out.p99 = s->values[n * 99 / 100];
	}
	mem_free(s->values);
	s->values = NULL;
	return out;
}

static void stands(struct world *w, size_t at, bool wrong)
{
	struct simulate_report *r = w->report;

	if (wrong && w->stands_ms[at] == 0) {
		w->stands_ms[at] = w->now_ms;
		w->now.standing++;
		if (w->now.standing > r->peak)
			r->peak = w->now.standing;
	} else if (!wrong && w->stands_ms[at] != 0) {
		spread_add(&w->stood_h, (double)(w->now_ms - w->stands_ms[at]) / 3.6e6);
		w->stands_ms[at] = 0;
		w->now.standing--;
	}
}

static void unit_row_take(struct world *w, const struct unit_row *row)
{
	size_t at = (size_t)row->round * w->project.units_per_round + row->index;

	if (row->round >= w->project.rounds || row->index >= w->project.units_per_round)
		return;
	if (row->state == UNIT_SETTLED || row->state == UNIT_AUDITED)
		w->results[ring_at(w, row->round, row->index)] = row->result;
	stands(w, at, row->state == UNIT_SETTLED && load_le64(row->result.b) != w->honest[at]);
}

static void retired(struct world *w, const struct peer_row *row)
{
	struct sim_peer *peer = lookup_find(&w->keys, row->key.b);
	bool bad;

	if (peer == NULL || peer->over)
		return;
	peer->over = true;
	bad = peer->wrong > 0 || (peer->strategy != NULL && !peer->strategy->innocent);
	w->now.caught += bad;
	w->now.retired_ok += !bad;
	crowd_retired(w, peer);
	if (peer->wrong == 0)
		return;
	spread_add(&w->bad, (double)peer->wrong);
	spread_add(&w->caught_h, (double)(w->now_ms - peer->first_wrong_ms) / 3.6e6);
}

/* The first of a peer's results that was proven wrong: how many wrong ones it had computed until then. */
static void proven(struct world *w, const struct replica_row *row)
{
	struct sim_peer *peer = lookup_find(&w->keys, row->peer.b);

	for (uint32_t i = 0; peer != NULL && !peer->proven && i < peer->wrong_count; i++)
		if (digest_equal(&peer->wrong_nonces[i], &row->nonce)) {
			peer->proven = true;
			spread_add(&w->proven, i + 1);
		}
}

/* Rounds after the one that is begun again are as if they had never been. */
static void project_row_take(struct world *w, const struct project_row *row)
{
	if (row->round < w->project.round) {
		size_t first = (size_t)row->round * row->units_per_round;
		size_t end = (size_t)(w->project.round + 1) * row->units_per_round;
		size_t all = (size_t)row->rounds * row->units_per_round;

		for (size_t i = first + row->units_per_round; i < end && i < all; i++)
			stands(w, i, false);
	}
	if (w->units_most < row->units_accepted)
		w->units_most = row->units_accepted;
	if (row->rollbacks != w->report->rollbacks) {
		w->report->computed_again += w->units_most - row->units_accepted;
		w->units_most = row->units_accepted;
	}
	w->report->rollbacks = row->rollbacks;
	w->report->taken_back = row->discarded;
	if (row->round != w->project.round)
		w->end_ms = w->now_ms + 30ull * 86400 * 1000;
	w->project = *row;
	w->now.units = row->units_accepted;
	w->now.disputes = row->disputes;
	measure_point(w);
}

void measure_row(struct world *w, const struct core_effect *e)
{
	struct span rows[2] = {span_of(&w->report->digest, 8), {0}};
	struct digest digest;

	switch (e->type) {
	case CORE_SAVE_PROJECT:
		project_row_take(w, &e->project);
		break;
	case CORE_SAVE_UNIT:
		unit_row_take(w, &e->unit);
		break;
	case CORE_SAVE_REPLICA:
		if (e->replica.state == REPLICA_INVALID)
			proven(w, &e->replica);
		break;
	case CORE_SAVE_PEER:
		if (e->peer.retired)
			retired(w, &e->peer);
		break;
	case CORE_SAVE_ROUND:
		rows[1] = span_of(e->round.parameters.b, DIGEST_BYTES);
		digest_fields(&digest, "talkoot simulated run", rows, 2);
		w->report->digest = load_le64(digest.b);
		break;
	default:
		break;
	}
}

static void progress(const struct world *w)
{
	static double said_s;
	double cpu = cpu_seconds();
	uint64_t all = (uint64_t)w->project.rounds * w->project.units_per_round;

	if (!w->options->progress || cpu - said_s < SAY_EVERY_S)
		return;
	said_s = cpu;
	fprintf(stderr,
		"simulate: %llu of %llu units, %.1f h, %llu wrong standing, %u caught; %.0f s\n",
		(unsigned long long)w->now.units, (unsigned long long)all, w->now.hours,
		(unsigned long long)w->now.standing, w->now.caught, cpu - w->cpu_begun);
}

/* A point of the series whenever one part in SERIES_MAX more is settled, and the fifth's beginning. */
void measure_point(struct world *w)
{
	struct simulate_report *r = w->report;
	uint64_t all = (uint64_t)w->project.rounds * w->project.units_per_round;

	w->now.hours = (double)(w->now_ms - w->begun_ms) / 3.6e6;
	if (w->fifth_units == 0 && w->now.units >= all - all / 5) {
		w->fifth_units = w->now.units;
		w->fifth_computed = w->now.computed;
		w->fifth_refereed = w->now.refereed;
	}
	if (w->now.units < w->next_point_units || r->point_count == SERIES_MAX)
		return;
	r->points[r->point_count++] = w->now;
	w->next_point_units = w->now.units + (all + SERIES_MAX - 2) / (SERIES_MAX - 1);
	progress(w);
}

/* Computation beyond once a unit, as a share. */
static double overhead(uint64_t units, uint64_t computed, uint64_t refereed)
{
	return units > 0 ? ((double)computed + 2 * (double)refereed) / (double)units - 1 : 0;
}

void measure_end(struct world *w)
{
	struct simulate_report *r = w->report;
	uint64_t busy = 0, here = 0;

	for (uint32_t i = 0; i < w->peer_count; i++) {
		struct sim_peer *peer = w->peers[i];

		if (peer->conn != 0)
			peer->here_ms += w->now_ms - peer->here_since_ms;
		if (peer->strategy != NULL)
			continue;
		busy += peer->busy_ms;
		if (peer->busy_until_ms > w->now_ms) /* what is still to be computed */
			busy -= peer->busy_until_ms - w->now_ms;
		here += peer->here_ms;
	}
	w->now.hours = (double)(w->now_ms - w->begun_ms) / 3.6e6;
	r->end = w->now;
	if (r->point_count < SERIES_MAX)
		r->points[r->point_count++] = w->now;
	r->rounds = w->project.rounds;
	r->rounds_done = w->project.round;
	r->units_per_round = w->project.units_per_round;
	r->quorum = w->project.quorum;
	r->audit_floor = w->project.audit_floor;
	r->settle_rounds = w->project.settle_rounds;
	r->done = w->project.state == PROJECT_DONE;
	memcpy(r->reason, w->project.reason, sizeof(r->reason));
	r->overhead = overhead(w->now.units, w->now.computed, w->now.refereed);
	if (w->now.units > 0)
		r->overhead += (r->replayed + 2.0 * (double)r->referee_steps /
						      w->recipe.train.inner_steps) /
			       (double)w->now.units;
	r->overhead_end = overhead(w->now.units - w->fifth_units,
		w->now.computed - w->fifth_computed, w->now.refereed - w->fifth_refereed);
	r->busy = here > 0 ? (double)busy / (double)here : 0;
	r->round_h = w->project.round > 0 ? w->now.hours / w->project.round : 0;
	r->bad = spread_end(&w->bad);
	r->proven = spread_end(&w->proven);
	r->caught_h = spread_end(&w->caught_h);
	r->stood_h = spread_end(&w->stood_h);
	r->messages = spread_end(&w->messages);
	r->referee_units = w->now.refereed;
	r->cpu_s = cpu_seconds() - w->cpu_begun;
}
