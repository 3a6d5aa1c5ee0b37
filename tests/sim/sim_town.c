/* Whole nodes with real handshakes, encryption and signatures: broadcasts where nothing fails, and when half
 * of all die at once. A thousand peers at most, unless said: each session costs two handshakes of Noise. */
#include "tests/sim/draw.h"
#include "tests/sim/scenario.h"
#include "tests/sim/town.h"

#define PEERS_MAX 1000u
#define COUNT	  10u

/* Beacons go on while time passes, as they do in production. */
static void pass(struct town *t, uint32_t ms)
{
	uint32_t end_ms = town_now(t) + ms;

	while (town_now(t) < end_ms) {
		uint32_t next_ms = (town_now(t) / 30000 + 1) * 30000;

		town_run(t, next_ms < end_ms ? next_ms : end_ms);
		if (town_now(t) == next_ms)
			town_publish(t, true);
	}
}

static double publish(struct town *t, uint32_t wait_ms)
{
	town_publish(t, false);
	pass(t, wait_ms);
	return town_reach(t);
}

static void stable(struct run *r, struct town *t)
{
	struct curve *curve = report_curve(r->report, "a broadcast, after ten");
	const struct spread *s = town_spread(t);
	double reach, least = 100;
	struct histogram neighbours;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < COUNT; i++) {
		reach = publish(t, 5000);
		least = reach < least ? reach : least;
	}
	curve_add(curve, 0, 0);
	for (uint32_t i = 0; i < HISTOGRAM_BINS && seen < s->time_ms.count; i++) {
		seen += s->time_ms.bins[i];
		curve_add(curve, (i + 1) * 0.02, 100.0 * (double)seen / r->peers);
	}
	town_neighbours(t, &neighbours);
	report_least(r->report, "reach of each broadcast", least, 100, "%");
	report_note(r->report, "time, p99", histogram_at(&s->time_ms, 990), "ms");
	report_note(r->report, "neighbours, mean", histogram_mean(&neighbours), "");
}

void sim_town(struct run *r)
{
	struct town_config config = {.seed = r->seed,
		.replay = r->replay,
		.map = {.seed = r->seed, .jitter_ms = 15, .stall_ppm = 10000, .stall_ms = 250}};
	struct town_totals totals;
	struct town *t;

	if (r->peers > PEERS_MAX)
		r->peers = r->report->peers = PEERS_MAX;
	config.peers = r->peers;
	report_axes(r->report, "Whole nodes: how a broadcast spreads",
		"seconds since it was published", "% of peers that have it");
	t = town_new(&config);
	town_join(t, 0, 1);
	for (uint32_t p = 1; p <= r->peers; p++)
		town_join(t, p, 1000 + 29000 * p / r->peers);
	pass(t, 75000);
	stable(r, t);
	for (uint32_t p = 1; p <= r->peers; p++)
		if (draw_hash(r->seed, p, 9) & 1)
			town_kill(t, p);
	report_least(
		r->report, "half die: reach of the next broadcast", publish(t, 20000), 99, "%");
	pass(t, 10000);
	report_least(r->report, "half die: reach of one 30 s later", publish(t, 10000), 100, "%");
	town_totals(t, &totals);
	report_note(r->report, "handshakes of a node", (double)totals.handshakes / r->peers, "");
	report_note(r->report, "bytes of a node, all told", (double)totals.bytes / r->peers, "");
	r->trace = totals.trace;
	town_free(t);
}
