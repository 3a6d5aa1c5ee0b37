/* How fast the simulation is and how much memory a peer takes, with a broadcast a second. Speed is taken by
 * the processor's time, as other programs may run beside; by the wall's it is told too. */
#include <time.h>

#include <sys/resource.h>

#include "tests/sim/scenario.h"

#define JOIN_MS 120000u

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double resident_gb(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_maxrss / 1e6;
}

static void look(struct run *r, struct world *w, const body_ref *bodies, uint32_t count)
{
	double reach = 100, redundancy = 0, limit = log_8(r->peers);
	struct histogram hops;

	histogram_init(&hops, 1);
	world_run(w, world_now(w) + 10000);
	for (uint32_t i = 0; i < count; i++) {
		double reached = scenario_reach(w, bodies[i]);

		reach = reached < reach ? reached : reach;
		if (i < count / 2)
			continue; /* the tree is still settling */
		redundancy += spread_redundancy(world_spread(w, bodies[i])) / (count - count / 2);
		histogram_merge(&hops, &world_spread(w, bodies[i])->hops);
	}
	report_least(r->report, "reach of each broadcast", reach, 100, "%");
	report_most(r->report, "copies beyond the one needed, second half", redundancy, 0.05, "");
	report_most(r->report, "hops, p99", histogram_at(&hops, 990), 1.5 * limit + 2, "");
	report_most(r->report, "hops, last", hops.max, 2 * limit + 3, "");
}

static void measure(struct run *r, uint32_t count, double least, uint32_t settle_ms, bool differ)
{
	double begin_wall = seconds(CLOCK_MONOTONIC), begin_cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	double grown_cpu, wall, cpu;
	struct world_totals before, after;
	struct world_config config;
	body_ref bodies[600];
	struct world *w;

	count = count > 600 ? 600 : count;
	scenario_config(r, &config);
	config.contacts = 7; /* a link holds eight */
	config.contacts_differ = differ;
	w = scenario_grown(r, &config, JOIN_MS, settle_ms);
	grown_cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - begin_cpu;
	world_totals(w, &before);
	wall = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (uint32_t i = 0; i < count; i++) {
		bodies[i] = world_publish(w, false);
		world_run(w, world_now(w) + 1000);
	}
	wall = seconds(CLOCK_MONOTONIC) - wall;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	world_totals(w, &after);
	look(r, w, bodies, count);
	if (least > 0)
		report_least(
			r->report, "virtual seconds a second of processor", count / cpu, least, "");
	else
		report_note(r->report, "virtual seconds a second of processor", count / cpu, "");
	report_note(r->report, "virtual seconds a second of wall clock", count / wall, "");
	report_note(r->report, "wake-ups of a peer",
		(double)(after.wakes - before.wakes) / r->peers / count, "a second");
	report_note(r->report, "messages of a peer",
		(double)(after.messages - before.messages) / r->peers / count, "a second");
	report_note(r->report, "events a second of processor",
		(double)(after.events - before.events) / cpu / 1e6, "million");
	report_note(r->report, "processor, joining and settling", grown_cpu, "s");
	report_most(r->report, "memory of a peer", (double)after.memory / r->peers, 6144, "bytes");
	report_note(r->report, "of which the gossip core", (double)after.memory_gossip / r->peers,
		"bytes");
	report_note(r->report, "resident memory of the program", resident_gb(), "GB");
	report_note(r->report, "wall clock of all", seconds(CLOCK_MONOTONIC) - begin_wall, "s");
	scenario_end(r, w);
}

void sim_speed(struct run *r)
{
	measure(r, r->seconds == 0 ? 40 : r->seconds, 0.5, 60000, false);
}

void sim_million(struct run *r)
{
	double begin = seconds(CLOCK_MONOTONIC);

	measure(r, r->seconds == 0 ? 10 : r->seconds, 0, 30000, true);
	report_most(r->report, "minutes of wall clock", (seconds(CLOCK_MONOTONIC) - begin) / 60, 30,
		"min");
	report_most(r->report, "resident memory", resident_gb(), 8, "GB");
}
