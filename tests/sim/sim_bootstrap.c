/* The first address of everybody's link answers nobody; and, a second time, all but one do. */
#include "tests/sim/scenario.h"

static void dead_host(struct run *r, uint32_t contacts, const char *word)
{
	struct curve *curve = report_curve(r->report, word);
	struct world_config config;
	struct world *w;
	char name[80];

	scenario_config(r, &config);
	config.first_host_dead = true;
	config.contacts = contacts;
	w = world_new(&config);
	world_start(w, WORLD_ROOT, 1);
	for (peer_ref p = 2; p <= world_peer_last(w); p++)
		world_start(w, p, 2 + (uint32_t)(60000ull * (p - 2) / r->peers));
	world_run(w, 2);
	world_beacons(w);
	for (uint32_t ms = 1000; ms < 60000; ms += 1000) {
		struct components c;

		world_run(w, ms);
		world_components(w, &c);
		curve_add(curve, ms / 1e3, 100.0 * c.largest / c.nodes);
	}
	snprintf(name, sizeof(name), "%s: seconds until one component", word);
	report_most(r->report, name, scenario_whole(w, 120000, curve, 0), 60, "s");
	world_run(w, world_now(w) + 30000);
	snprintf(name, sizeof(name), "%s: have the newest of each topic", word);
	report_least(r->report, name, scenario_current(w), 100, "%");
	scenario_end(r, w);
}

void sim_bootstrap(struct run *r)
{
	report_axes(r->report, "Joining where the link's first address is dead",
		"seconds; the last begins at 60", "largest component, % of those up");
	dead_host(r, 3, "one of five addresses dead");
	dead_host(r, 0, "one of two dead");
}
