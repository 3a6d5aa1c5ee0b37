/* Wrong clocks: a third of the peers are off by up to ten minutes, which records allow for, and one in a
 * hundred by half a day, for whom every record has expired or none ever does. The rest must not suffer. */
#include "tests/sim/scenario.h"

static bool is_far_off(peer_ref p)
{
	return p % 100 == 7;
}

void sim_skew(struct run *r)
{
	struct curve *curve = report_curve(r->report, "all peers");
	uint32_t up = 0, have = 0, far = 0, far_have = 0;
	struct world_config config;
	const struct spread *spread;
	struct world *w;
	body_ref body;

	report_axes(r->report, "Wrong clocks", "seconds since the broadcast", "% that have it");
	scenario_config(r, &config);
	w = world_new(&config);
	for (peer_ref p = 2; p <= world_peer_last(w); p++) {
		int32_t minutes = (int32_t)(world_random(w) % 1200) - 600;

		if (is_far_off(p))
			world_skew(w, p, p % 200 == 7 ? 43200 : -43200);
		else if (p % 3 == 0)
			world_skew(w, p, minutes);
	}
	world_start(w, WORLD_ROOT, 1);
	for (peer_ref p = 2; p <= world_peer_last(w); p++)
		world_start(w, p, 2 + (uint32_t)(60000ull * (p - 2) / r->peers));
	world_run(w, 2);
	world_beacons(w);
	world_run(w, 150000);
	body = world_publish(w, false);
	world_run(w, world_now(w) + 20000);
	for (peer_ref p = 2; p <= world_peer_last(w); p++) {
		bool has = world_spread(w, body)->at[p] != 0;

		up += !is_far_off(p);
		have += !is_far_off(p) && has;
		far += is_far_off(p);
		far_have += is_far_off(p) && has;
	}
	spread = world_spread(w, body);
	curve_add(curve, 0, 0);
	for (uint32_t i = 0, seen = 0; i < HISTOGRAM_BINS && seen < spread->reached; i++) {
		seen += (uint32_t)spread->time_ms.bins[i];
		curve_add(curve, (i + 1) * 0.02, 100.0 * seen / (up + far));
	}
	report_least(r->report, "off by 10 minutes at most: reach", 100.0 * have / up, 100, "%");
	report_note(r->report, "off by half a day: reach", 100.0 * far_have / (far + !far), "%");
	scenario_end(r, w);
}
