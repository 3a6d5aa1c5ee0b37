/* Peers come and go all the time: up for ten minutes at a time, away for five; half of them leave without a
 * word. Broadcasts must reach those who are there all the while. */
#include "tests/sim/scenario.h"

#define UP_S	   600u
#define AWAY_S	   300u
#define MINUTES	   10u
#define JOINING_MS 30000u
#define EACH_S	   10u

/* One second in which each peer that is up leaves with probability 1/UP_S, and returns with 1/AWAY_S. */
static void second(struct world *w)
{
	for (peer_ref p = 2; p <= world_peer_last(w); p++) {
		uint64_t dice = world_random(w);

		if (world_is_up(w, p) && dice % UP_S == 0)
			world_kill(w, p, dice >> 32 & 1 ? WORLD_STOPPED : WORLD_GONE);
		else if (!world_is_up(w, p) && dice % AWAY_S == 0)
			world_start(w, p, 1 + (uint32_t)(dice >> 32) % 999);
	}
	world_run(w, world_now(w) + 1000);
}

void sim_churn(struct run *r)
{
	uint32_t count = r->seconds == 0 ? MINUTES * 60 : r->seconds, tried = 0;
	struct curve *curve = report_curve(r->report, "reach");
	struct world_config config;
	body_ref bodies[100] = {0};
	double least = 100, sum = 0;
	struct components c;
	struct world *w;

	report_axes(r->report, "Peers are up for ten minutes and away for five", "seconds",
		"% of those up all the while that got it within 20 s");
	count = count > 999 ? 999 : count;
	scenario_config(r, &config);
	w = scenario_grown(r, &config, 60000, 60000);
	for (uint32_t s = 0; s < count; s++) {
		if (s % EACH_S == 0)
			bodies[s / EACH_S] = world_publish(w, false);
		if (s % EACH_S == 0 && s >= 2 * EACH_S) {
			double reach = scenario_reach(w, bodies[s / EACH_S - 2]);

			curve_add(curve, s - 2 * EACH_S, reach);
			least = reach < least ? reach : least;
			sum += reach;
			tried++;
		}
		second(w);
	}
	world_components_of(w, &c, JOINING_MS);
	report_least(r->report, "reach within 20 s, mean", sum / (tried + !tried), 99.9, "%");
	report_note(r->report, "reach within 20 s, the worst", least, "%");
	report_least(r->report, "largest component at the end, of those up for 30 s",
		100.0 * c.largest / c.nodes, 99.9, "%");
	scenario_end(r, w);
}
