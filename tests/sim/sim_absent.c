/* The coordinator is away for ten minutes: no beacon comes, everybody misses it at once. The others must
 * stay together and let newcomers in by the link's other addresses; when it is back, all must hear of it. */
#include "tests/sim/scenario.h"

#define AWAY_MS	   600000u
#define STEP_MS	   5000u
#define JOINING_MS 30000u
#define LIMIT_MS   120000u

static void newcomers(struct world *w, uint32_t every, uint32_t in_ms)
{
	for (peer_ref p = 2; p <= world_peer_last(w); p += every)
		world_start(w, p, 1 + (uint32_t)(world_random(w) % in_ms));
}

static struct world *without_newcomers(
	struct run *r, const struct world_config *config, uint32_t every)
{
	struct world *w = world_new(config);

	world_start(w, WORLD_ROOT, 1);
	for (peer_ref p = 2; p <= world_peer_last(w); p++)
		if ((p - 2) % every != 0)
			world_start(w, p, 2 + (uint32_t)(60000ull * (p - 2) / r->peers));
	world_run(w, 2);
	world_beacons(w);
	world_run(w, 120000);
	return w;
}

void sim_absent(struct run *r)
{
	struct curve *curve = report_curve(r->report, "the largest component");
	struct world_config config;
	struct world_totals before, after;
	double least = 100, current = 0;
	uint32_t begin_ms, ms;
	struct world *w;

	report_axes(r->report, "The coordinator is away for ten minutes", "seconds since it went",
		"largest component, % of those up");
	scenario_config(r, &config);
	w = without_newcomers(r, &config, 21);
	begin_ms = world_now(w);
	world_totals(w, &before);
	world_kill(w, WORLD_ROOT, WORLD_STOPPED);
	newcomers(w, 21, 300000);
	for (ms = STEP_MS; ms <= AWAY_MS; ms += STEP_MS) {
		struct components c;

		world_run(w, begin_ms + ms);
		world_components_of(w, &c, JOINING_MS);
		curve_add(curve, ms / 1e3, 100.0 * c.largest / c.nodes);
		if (100.0 * c.largest / c.nodes < least)
			least = 100.0 * c.largest / c.nodes;
	}
	world_totals(w, &after);
	report_least(r->report, "largest component of those up for 30 s, the smallest", least, 99.9,
		"%");
	report_note(r->report, "dials of a peer meanwhile",
		(double)(after.dials - before.dials) / r->peers, "");
	world_start(w, WORLD_ROOT, 1);
	for (ms = 0; ms < LIMIT_MS && current < 100; ms += 1000) {
		world_run(w, begin_ms + AWAY_MS + ms + 1000);
		if (ms == 0)
			world_publish(w, false);
		current = scenario_current(w);
	}
	report_most(r->report, "seconds from its return until all are current", ms / 1e3, 60, "s");
	scenario_end(r, w);
}
