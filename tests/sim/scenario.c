/* The table of scenarios, and what they share. See scenario.h. */
#include "tests/sim/scenario.h"

#include "tests/sim/progress.h"

#include <math.h>
#include <string.h>

#define SAMPLE_MS 500u
#define STAYS_MS  5000u
#define GROW_MS	  600000u

const struct scenario scenarios[] = {
	{"stable", "a broadcast a second where nothing fails", sim_stable, false, 0},
	{"failure", "half of all die at once", sim_failure, false, 0},
	{"join", "10,000 join within 10 s; all begin at once", sim_join, false, 0},
	{"partition", "30 % are cut off for 5 minutes", sim_partition, false, 0},
	{"eclipse", "20 % Sybils from 1 % of the prefixes", sim_eclipse, false, 0},
	{"churn", "peers come and go, 10 minutes at a time", sim_churn, false, 0},
	{"freeze", "hosts sleep for 20 s and for two minutes", sim_freeze, false, 0},
	{"skew", "clocks are wrong, by minutes and by days", sim_skew, false, 0},
	{"bootstrap", "the link's first address is dead", sim_bootstrap, false, 0},
	{"absent", "the coordinator is away for ten minutes", sim_absent, false, 0},
	{"distribute", "a gigabyte to everybody", sim_distribute, false, 0},
	{"town", "whole nodes, with real handshakes and signatures", sim_town, false, 0},
	{"speed", "how fast, and how large, the simulation is", sim_speed, false, 0},
	{"million", "a million peers", sim_million, true, 1000000},
};
const uint32_t scenario_count = sizeof(scenarios) / sizeof(*scenarios);

const struct scenario *scenario_find(const char *name)
{
	for (uint32_t i = 0; i < scenario_count; i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	return NULL;
}

void scenario_run(const struct scenario *s, struct run *r)
{
	memset(r->report, 0, sizeof(*r->report));
	r->report->scenario = s->name;
	r->report->peers = r->peers;
	r->report->seed = r->seed;
	r->trace = 0;
	snprintf(r->replay, sizeof(r->replay),
		"build/tests/sim/sim %s --peers %u --seed %llu --seconds %u%s%.0u", s->name,
		r->peers, (unsigned long long)r->seed, r->seconds,
		r->places != 0 ? " --places " : "", r->places);
	progress_begin(s->name, r->peers);
	s->run(r);
}

void scenario_config(const struct run *r, struct world_config *out)
{
	world_config_default(out, r->seed, r->peers);
	out->replay = r->replay;
}

struct world *scenario_grown(const struct run *r, const struct world_config *config,
	uint32_t join_ms, uint32_t settle_ms)
{
	struct world *w = world_new(config);

	(void)r;
	world_start(w, WORLD_ROOT, 1);
	for (peer_ref p = 2; p <= world_peer_last(w); p++)
		world_start(w, p, 2 + (uint32_t)((uint64_t)join_ms * (p - 2) / config->peers));
	world_run(w, 2);
	world_beacons(w);
	world_run(w, join_ms);
	scenario_whole(w, GROW_MS, NULL, 0);
	world_run(w, world_now(w) + settle_ms);
	return w;
}

void scenario_end(struct run *r, struct world *w)
{
	struct world_totals t;

	world_totals(w, &t);
	r->trace = r->trace * 31 + t.trace;
	world_free(w);
}

double scenario_reach(const struct world *w, body_ref body)
{
	uint32_t reached, of;

	world_reach(w, body, &reached, &of);
	return of == 0 ? 0 : 100.0 * reached / of;
}

double scenario_whole(struct world *w, uint32_t limit_ms, struct curve *curve, uint32_t begin_ms)
{
	uint32_t now = world_now(w), whole_ms = limit_ms;

	for (uint32_t after = 0; after < limit_ms; after += SAMPLE_MS) {
		struct components c;

		world_run(w, now + after);
		world_components(w, &c);
		if (curve != NULL)
			curve_add(curve, (now + after - begin_ms) / 1e3,
				100.0 * c.largest / (c.nodes == 0 ? 1 : c.nodes));
		if (c.count != 1)
			whole_ms = limit_ms;
		else if (whole_ms == limit_ms)
			whole_ms = after;
		if (c.count == 1 && after - whole_ms >= STAYS_MS)
			break;
	}
	return whole_ms / 1e3;
}

double scenario_current(const struct world *w)
{
	uint32_t up = 0, current = 0;

	for (peer_ref p = 2; p <= world_peer_last(w); p++) {
		if (!world_is_up(w, p))
			continue;
		up++;
		current += world_is_current(w, p);
	}
	return up == 0 ? 0 : 100.0 * current / up;
}

double log_8(double n)
{
	return log(n) / log(8);
}
