/* Half of all peers die in one instant, once as processes, whose hosts say so, and once as hosts, of which
 * only silence tells. A broadcast leaves at that very instant, and then one each second. */
#include "tests/sim/scenario.h"

#define SECONDS 60u

static void kill_half(struct world *w, enum world_state how)
{
	for (peer_ref p = 2; p <= world_peer_last(w); p++)
		if (world_random(w) & 1)
			world_kill(w, p, how);
}

static void die(struct run *r, enum world_state how, const char *word, bool wanted)
{
	struct curve *curve = report_curve(r->report, word);
	struct world_config config;
	body_ref bodies[SECONDS];
	struct components c;
	struct world *w;
	char name[80];

	scenario_config(r, &config);
	w = scenario_grown(r, &config, 60000, 90000);
	for (uint32_t i = 0; i < 5; i++) {
		world_publish(w, false);
		world_run(w, world_now(w) + 1000);
	}
	kill_half(w, how);
	for (uint32_t i = 0; i < SECONDS; i++) {
		bodies[i] = world_publish(w, false);
		world_run(w, world_now(w) + 1000);
	}
	world_run(w, world_now(w) + 20000);
	for (uint32_t i = 0; i < SECONDS; i++)
		curve_add(curve, i, scenario_reach(w, bodies[i]));
	snprintf(name, sizeof(name), "%s: reach of the next broadcast", word);
	if (wanted)
		report_least(r->report, name, curve->y[0], 99, "%");
	else
		report_note(r->report, name, curve->y[0], "%");
	snprintf(name, sizeof(name), "%s: reach of one 30 s later", word);
	if (wanted)
		report_least(r->report, name, curve->y[30], 100, "%");
	else
		report_note(r->report, name, curve->y[30], "%");
	snprintf(name, sizeof(name), "%s: components after 80 s", word);
	world_components(w, &c);
	report_most(r->report, name, c.count, 1, "");
	scenario_end(r, w);
}

void sim_failure(struct run *r)
{
	report_axes(r->report, "Half of all peers die at once: whom later broadcasts reach",
		"seconds after the deaths, when the broadcast left", "% of the living that got it");
	die(r, WORLD_STOPPED, "processes die", true);
	die(r, WORLD_GONE, "hosts vanish", false);
}
