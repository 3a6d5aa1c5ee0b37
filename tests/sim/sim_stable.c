/* Nothing fails: how far, how fast and with how many copies bodies go, once the tree has formed. */
#include "tests/sim/scenario.h"

#define WARM 10u

static void curve_of(struct report *r, const char *name, const struct spread *s)
{
	struct curve *c = report_curve(r, name);
	uint64_t seen = 0;

	curve_add(c, 0, 0);
	for (uint32_t i = 0; i < HISTOGRAM_BINS && seen < s->time_ms.count; i++) {
		seen += s->time_ms.bins[i];
		curve_add(c, (i + 1) * s->time_ms.step / 1e3,
			100.0 * (double)seen / (double)s->time_ms.count);
	}
}

static body_ref publish_each_second(struct world *w, uint32_t count)
{
	body_ref last = 0;

	for (uint32_t i = 0; i < count; i++) {
		last = world_publish(w, false);
		world_run(w, world_now(w) + 1000);
	}
	return last;
}

static void figures(struct run *r, struct world *w, const body_ref *bodies, uint32_t count)
{
	struct histogram hops, time_ms;
	double reach = 100, redundancy = 0, limit = log_8(r->peers);

	histogram_init(&hops, 1);
	histogram_init(&time_ms, 20);
	for (uint32_t i = 0; i < count; i++) {
		const struct spread *s = world_spread(w, bodies[i]);
		double reached = scenario_reach(w, bodies[i]);

		histogram_merge(&hops, &s->hops);
		histogram_merge(&time_ms, &s->time_ms);
		redundancy += spread_redundancy(s) / count;
		reach = reached < reach ? reached : reach;
	}
	report_least(r->report, "reach of each broadcast", reach, 100, "%");
	report_most(r->report, "copies beyond the one needed", redundancy, 0.05, "");
	report_most(r->report, "hops, p99", histogram_at(&hops, 990), 1.5 * limit + 2, "");
	report_most(r->report, "hops, last", hops.max, 2 * limit + 3, "");
	report_note(r->report, "time, p50", histogram_at(&time_ms, 500), "ms");
	report_note(r->report, "time, p99", histogram_at(&time_ms, 990), "ms");
	report_note(r->report, "time, last", time_ms.max, "ms");
}

static void traffic(
	struct run *r, const struct world *w, const struct world_totals *before, uint32_t s)
{
	struct world_totals after;
	struct histogram neighbours;
	uint64_t all, sybil;

	world_totals(w, &after);
	world_neighbours(w, &neighbours, &all, &sybil);
	report_note(r->report, "messages of a peer",
		(double)(after.messages - before->messages) / r->peers / s, "a second");
	report_note(r->report, "bytes of a peer",
		(double)(after.bytes - before->bytes) / r->peers / s, "a second");
	report_note(r->report, "neighbours, mean", histogram_mean(&neighbours), "");
	report_note(r->report, "neighbours, most", neighbours.max, "");
	report_most(r->report, "messages without a session", (double)after.unopened, 0, "");
}

void sim_stable(struct run *r)
{
	uint32_t count = r->seconds == 0 ? 20 : r->seconds;
	struct world_config config;
	struct world_totals before;
	struct components c;
	struct world *w;
	body_ref bodies[600], first;

	count = count > 600 ? 600 : count;
	scenario_config(r, &config);
	w = scenario_grown(r, &config, 60000, 90000);
	first = world_publish(w, false);
	world_run(w, world_now(w) + 1000);
	publish_each_second(w, WARM - 1);
	world_totals(w, &before);
	for (uint32_t i = 0; i < count; i++)
		bodies[i] = publish_each_second(w, 1);
	traffic(r, w, &before, count);
	world_run(w, world_now(w) + 20000);
	world_components(w, &c);
	report_most(r->report, "components", c.count, 1, "");
	figures(r, w, bodies, count);
	report_axes(r->report, "How a broadcast spreads where nothing fails",
		"seconds since it was published", "% of peers that have it");
	curve_of(r->report, "the first", world_spread(w, first));
	curve_of(r->report, "after ten", world_spread(w, bodies[count - 1]));
	scenario_end(r, w);
}
