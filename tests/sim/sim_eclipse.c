/* A fifth of all peers are one attacker's Sybils, on 1 % of the prefixes: whom can they surround, and does
 * who is surrounded notice? First they attack everybody, then all of them 1 % of the peers; last, some
 * peers are surrounded by force, to see whether the missing beacon tells them. */
#include "tests/sim/scenario.h"

#define ATTACK_MS 600000u
#define NOTICE_MS 90000u
#define FORCED	  20u
#define LIMIT_MS  900000u

static struct world *attacked(struct run *r, uint32_t victims)
{
	struct world_config config;
	struct world *w;

	scenario_config(r, &config);
	config.sybils = r->peers / 4;
	config.sybil_prefixes = r->peers * 4 / 3 / 100;
	config.sybil_prefixes += config.sybil_prefixes == 0;
	config.sybil_victims = victims;
	w = scenario_grown(r, &config, 60000, 60000);
	for (peer_ref p = world_peer_last(w) + 1; p <= world_peer_last(w) + config.sybils; p++)
		world_start(w, p, (uint32_t)(world_random(w) % 10000));
	return w;
}

static void attack(struct run *r, struct world *w, const char *whom)
{
	struct curve *curve = report_curve(r->report, whom);
	uint32_t begin_ms = world_now(w), most = 0;
	struct histogram neighbours;
	uint64_t all, sybil;
	body_ref body;
	char name[80];

	for (uint32_t ms = 10000; ms <= ATTACK_MS; ms += 10000) {
		uint32_t eclipsed;

		world_run(w, begin_ms + ms);
		eclipsed = world_eclipsed(w, NULL, 0);
		most = eclipsed > most ? eclipsed : most;
		world_neighbours(w, &neighbours, &all, &sybil);
		curve_add(curve, ms / 1e3, 100.0 * (double)sybil / (double)(all + !all));
	}
	snprintf(name, sizeof(name), "%s: eclipsed at the worst moment", whom);
	report_most(r->report, name, 100.0 * most / r->peers, 0.1, "%");
	snprintf(name, sizeof(name), "%s: eclipsed at the end", whom);
	report_note(r->report, name, 100.0 * world_eclipsed(w, NULL, 0) / r->peers, "%");
	snprintf(name, sizeof(name), "%s: neighbours that are Sybils", whom);
	report_note(r->report, name, 100.0 * (double)sybil / (double)(all + !all), "%");
	body = world_publish(w, false);
	world_run(w, world_now(w) + 30000);
	snprintf(name, sizeof(name), "%s: reach of a broadcast", whom);
	report_least(r->report, name, scenario_reach(w, body), 100, "%");
}

/* Only Sybils are left to reach, for some public and some NATed peers. They notice, and begin to look for
 * others, less and less often; when that can succeed again, how long does it take? */
static void surround(struct run *r, struct world *w)
{
	uint32_t cut_ms, noticed = 0, back = 0;

	cut_ms = world_now(w);
	for (uint32_t i = 0; i < FORCED; i++)
		world_surround(w, 2 + i * 7, true);
	world_run(w, cut_ms + NOTICE_MS);
	for (uint32_t i = 0; i < FORCED; i++)
		noticed += world_isolated_ms(w, 2 + i * 7) > cut_ms;
	report_least(r->report, "surrounded by force: noticed within 90 s",
		100.0 * noticed / FORCED, 100, "%");
	world_run(w, cut_ms + 2 * NOTICE_MS);
	for (uint32_t i = 0; i < FORCED; i++)
		world_surround(w, 2 + i * 7, false);
	for (cut_ms = world_now(w); back < FORCED && world_now(w) < cut_ms + LIMIT_MS;) {
		world_run(w, world_now(w) + 5000);
		back = 0;
		for (uint32_t i = 0; i < FORCED; i++)
			back += world_is_current(w, 2 + i * 7);
	}
	report_note(r->report, "surrounded for 180 s: until all are current again",
		(world_now(w) - cut_ms) / 1e3, "s");
}

void sim_eclipse(struct run *r)
{
	struct world *w;

	report_axes(r->report, "A fifth are Sybils, on 1 % of the prefixes",
		"seconds since they came", "% of honest peers' neighbours that are Sybils");
	w = attacked(r, 0);
	attack(r, w, "attacking all");
	surround(r, w);
	scenario_end(r, w);
	w = attacked(r, r->peers / 100 + 1);
	attack(r, w, "attacking 1 %");
	scenario_end(r, w);
}
