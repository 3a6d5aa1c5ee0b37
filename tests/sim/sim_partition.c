/* 30 % of the peers are cut off from the rest, and from the coordinator, for five minutes. */
#include "tests/sim/scenario.h"

#define CUT_MS	 300000u
#define STEP_MS	 5000u
#define LIMIT_MS 180000u

static void sides(struct world *w, bool cut)
{
	for (peer_ref p = 2; p <= world_peer_last(w); p++)
		if ((p * 2654435761u >> 16) % 10 < 3)
			world_side(w, p, cut);
}

void sim_partition(struct run *r)
{
	struct curve *curve = report_curve(r->report, "the largest component");
	struct world_config config;
	uint32_t begin_ms;
	struct world *w;
	body_ref body;

	report_axes(r->report, "30 % are cut off for 5 minutes", "seconds since the cut",
		"largest component, % of those up");
	scenario_config(r, &config);
	w = scenario_grown(r, &config, 60000, 60000);
	begin_ms = world_now(w);
	sides(w, true);
	for (uint32_t ms = STEP_MS; ms <= CUT_MS; ms += STEP_MS) {
		struct components c;

		world_run(w, begin_ms + ms);
		world_components(w, &c);
		curve_add(curve, ms / 1e3, 100.0 * c.largest / c.nodes);
	}
	sides(w, false);
	report_most(r->report, "seconds until one component",
		scenario_whole(w, LIMIT_MS, curve, begin_ms), 60, "s");
	body = world_publish(w, false);
	world_run(w, world_now(w) + 30000);
	report_least(r->report, "reach of a broadcast then", scenario_reach(w, body), 100, "%");
	report_least(r->report, "have the newest of each topic", scenario_current(w), 100, "%");
	scenario_end(r, w);
}
