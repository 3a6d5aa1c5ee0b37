/* Hosts sleep: a tenth of all for 20 s, which sessions survive, and a twentieth for two minutes, which they do
 * not. Those awake must not suffer, and who wakes must catch up. */
#include <stdlib.h>

#include "tests/sim/scenario.h"

#define SHORT_MS 20000u
#define LONG_MS	 120000u

/* Of those awake, how many have the body. */
static double reach_awake(struct world *w, body_ref body, const uint8_t *asleep)
{
	uint32_t awake = 0, have = 0;

	for (peer_ref p = 2; p <= world_peer_last(w); p++) {
		if (asleep[p] != 0)
			continue;
		awake++;
		have += world_spread(w, body)->at[p] != 0;
	}
	return 100.0 * have / awake;
}

void sim_freeze(struct run *r)
{
	struct curve *curve = report_curve(r->report, "peers that are awake");
	double least = 100, reach;
	struct world_config config;
	struct components c;
	struct world *w;
	uint8_t *asleep;

	report_axes(r->report, "A twentieth sleep for 2 minutes, a tenth for 20 s", "seconds",
		"% of those awake that got the broadcast within 10 s");
	scenario_config(r, &config);
	w = scenario_grown(r, &config, 60000, 60000);
	asleep = calloc(world_peer_last(w) + 1, 1);
	WORLD_CHECK(w, asleep != NULL);
	for (peer_ref p = 2; p <= world_peer_last(w); p++) {
		uint64_t dice = world_random(w) % 20;

		asleep[p] = dice == 0 ? 2 : dice <= 2 ? 1 : 0;
		if (asleep[p] != 0)
			world_freeze(w, p, asleep[p] == 2 ? LONG_MS : SHORT_MS);
	}
	for (uint32_t ms = 0; ms < LONG_MS; ms += 10000) {
		body_ref body = world_publish(w, false);

		world_run(w, world_now(w) + 10000);
		reach = reach_awake(w, body, asleep);
		curve_add(curve, ms / 1e3, reach);
		least = reach < least ? reach : least;
	}
	report_least(r->report, "those awake: the worst reach within 10 s", least, 99.9, "%");
	world_run(w, world_now(w) + 60000);
	report_least(r->report, "have the newest, 60 s after all are awake", scenario_current(w),
		100, "%");
	world_components(w, &c);
	report_most(r->report, "components then", c.count, 1, "");
	free(asleep);
	scenario_end(r, w);
}
