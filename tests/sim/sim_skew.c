/* Wrong clocks: a third of the peers are off by up to ten minutes, which records allow for, and one in a
 * hundred by half a day. By others' clocks the records of those who are behind have expired, and the records of those
 * who are ahead expire too late to be kept; by theirs it is the other way round. So they find no neighbours, and have
 * what the link's hosts tell whoever asks. The rest must not suffer. */
#include "tests/sim/scenario.h"

#define FAR_S	43200
#define SOON_MS 20000u /* after a broadcast */
#define LATE_MS 600000u
#define STEP_MS 1000u

enum clock_kind { CLOCK_NEAR = 0, CLOCK_AHEAD, CLOCK_BEHIND, CLOCKS };

static enum clock_kind clock_of(peer_ref p)
{
	return p % 99 != 7 ? CLOCK_NEAR : p % 198 == 7 ? CLOCK_AHEAD : CLOCK_BEHIND;
}

static struct world *begin(struct run *r)
{
	struct world_config config;
	struct world *w;

	scenario_config(r, &config);
	w = world_new(&config);
	for (peer_ref p = 2; p <= world_peer_last(w); p++) {
		int32_t minutes = (int32_t)(world_random(w) % 1200) - 600;

		if (clock_of(p) != CLOCK_NEAR)
			world_skew(w, p, clock_of(p) == CLOCK_AHEAD ? FAR_S : -FAR_S);
		else if (p % 3 == 0)
			world_skew(w, p, minutes);
	}
	world_start(w, WORLD_ROOT, 1);
	for (peer_ref p = 2; p <= world_peer_last(w); p++)
		world_start(w, p, 2 + (uint32_t)(60000ull * (p - 2) / r->peers));
	world_run(w, 2);
	world_beacons(w);
	world_run(w, 150000);
	return w;
}

/* Of the peers whose clocks are so, how many have the body, in percent; 100 of none. */
static double reach(const struct world *w, body_ref body, enum clock_kind kind)
{
	uint32_t of = 0, have = 0;

	for (peer_ref p = 2; p <= world_peer_last(w); p++) {
		of += clock_of(p) == kind;
		have += clock_of(p) == kind && world_spread(w, body)->at[p] != 0;
	}
	return of == 0 ? 100 : 100.0 * have / of;
}

/* Of those who are off by half a day. */
static double befriended(const struct world *w)
{
	uint32_t of = 0, have = 0;

	for (peer_ref p = 2; p <= world_peer_last(w); p++) {
		of += clock_of(p) != CLOCK_NEAR;
		have += clock_of(p) != CLOCK_NEAR && world_neighbours_of(w, p) != 0;
	}
	return 100.0 * have / (of + !of);
}

/* Seconds until all whose clocks are so have the body. */
static double time_of_last(struct world *w, body_ref body, enum clock_kind kind, uint32_t begin_ms)
{
	while (reach(w, body, kind) < 100 && world_now(w) - begin_ms < LATE_MS)
		world_run(w, world_now(w) + STEP_MS);
	return (world_now(w) - begin_ms) / 1e3;
}

static void curve_spread(struct run *r, const struct spread *spread)
{
	struct curve *curve = report_curve(r->report, "all peers");

	report_axes(r->report, "Wrong clocks", "seconds since the broadcast", "% that have it");
	curve_add(curve, 0, 0);
	for (uint32_t i = 0, seen = 0; i < HISTOGRAM_BINS && seen < spread->reached; i++) {
		seen += (uint32_t)spread->time_ms.bins[i];
		curve_add(curve, (i + 1) * 0.02, 100.0 * seen / r->peers);
	}
}

void sim_skew(struct run *r)
{
	struct world *w = begin(r);
	body_ref body = world_publish(w, false);
	uint32_t begin_ms = world_now(w);
	struct report *out = r->report;

	world_run(w, begin_ms + SOON_MS);
	curve_spread(r, world_spread(w, body));
	report_least(out, "off by 10 minutes at most: reach", reach(w, body, CLOCK_NEAR), 100, "%");
	report_note(out, "half a day ahead: reach within 20 s", reach(w, body, CLOCK_AHEAD), "%");
	report_note(out, "half a day behind: reach within 20 s", reach(w, body, CLOCK_BEHIND), "%");
	report_note(out, "half a day off: have a neighbour", befriended(w), "%");
	time_of_last(w, body, CLOCK_AHEAD, begin_ms);
	report_note(out, "half a day off: seconds until the last has it",
		time_of_last(w, body, CLOCK_BEHIND, begin_ms), "s");
	scenario_end(r, w);
}
