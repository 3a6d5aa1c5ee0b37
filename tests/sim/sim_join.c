/* 10,000 peers join within 10 s, and everybody begins in the same instant: one component, no island. */
#include "tests/sim/scenario.h"

#define JOINERS	 10000u
#define JOIN_MS	 10000u
#define LIMIT_MS 120000u
#define HOSTS	 8u

static void crowd(struct run *r)
{
	struct curve *curve = report_curve(r->report, "10,000 join within 10 s");
	uint32_t before = r->peers > JOINERS ? r->peers - JOINERS : 10, begin_ms;
	struct world_config config;
	struct world_totals t;
	struct world *w;

	scenario_config(r, &config);
	w = world_new(&config);
	world_start(w, WORLD_ROOT, 1);
	for (uint32_t i = 0; i < before; i++)
		world_start(w, 2 + i, 2 + (uint32_t)(60000ull * i / before));
	world_run(w, 2);
	world_beacons(w);
	world_run(w, 100000);
	begin_ms = world_now(w);
	for (peer_ref p = 2 + before; p <= world_peer_last(w); p++)
		world_start(w, p, (uint32_t)(world_random(w) % JOIN_MS));
	for (uint32_t ms = 500; ms <= JOIN_MS; ms += 500) {
		struct components c;

		world_run(w, begin_ms + ms);
		world_components(w, &c);
		curve_add(curve, ms / 1e3, 100.0 * c.largest / c.nodes);
	}
	report_most(r->report, "10,000 join within 10 s: seconds until one component",
		scenario_whole(w, LIMIT_MS, curve, begin_ms), 60, "s");
	world_run(w, world_now(w) + 30000);
	report_least(r->report, "10,000 join within 10 s: have the newest of each topic",
		scenario_current(w), 100, "%");
	world_totals(w, &t);
	report_note(r->report, "10,000 join within 10 s: dials of a peer",
		(double)t.dials / r->peers, "");
	scenario_end(r, w);
}

/* Everybody comes through the eight hosts that a link can hold, as many a second as make a hundred thousand in
 * two minutes. */
static void through_hosts(struct run *r)
{
	struct curve *curve = report_curve(r->report, "through eight hosts");
	struct world_config config;
	uint32_t last_ms;
	struct world *w;

	scenario_config(r, &config);
	config.contacts = HOSTS - 1;
	w = world_new(&config);
	world_start(w, WORLD_ROOT, 1);
	for (peer_ref p = 2; p <= world_peer_last(w); p++)
		world_start(w, p, 2 + (p - 2) * 12 / 10);
	last_ms = 2 + r->peers * 12 / 10;
	world_run(w, 2);
	world_beacons(w);
	for (uint32_t ms = last_ms % 1000; ms <= last_ms; ms += 1000) {
		struct components c;

		world_run(w, ms);
		world_components(w, &c);
		curve_add(curve, ms / 1e3, 100.0 * c.largest / c.nodes);
	}
	report_most(r->report, "833 a second through eight hosts: seconds after the last",
		scenario_whole(w, LIMIT_MS, curve, 0), 60, "s");
	scenario_end(r, w);
}

static void at_once(struct run *r)
{
	struct curve *curve = report_curve(r->report, "all begin in one instant");
	struct world_config config;
	struct components c;
	struct world *w;

	scenario_config(r, &config);
	w = world_new(&config);
	for (peer_ref p = WORLD_ROOT; p <= world_peer_last(w); p++)
		world_start(w, p, 1);
	world_run(w, 2);
	world_beacons(w);
	report_most(r->report, "all begin in one instant: seconds until one component",
		scenario_whole(w, LIMIT_MS, curve, 0), 60, "s");
	world_run(w, world_now(w) + 60000);
	world_components(w, &c);
	report_most(
		r->report, "all begin in one instant: components a minute later", c.count, 1, "");
	scenario_end(r, w);
}

void sim_join(struct run *r)
{
	report_axes(r->report, "A crowd joins", "seconds since the first of them began",
		"largest component, % of those up");
	crowd(r);
	through_hosts(r);
	at_once(r);
}
