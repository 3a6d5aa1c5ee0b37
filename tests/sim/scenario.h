/* A scenario: a world, what happens in it, and what is wanted of it. One small file each, sim_*.c, and one
 * line in the table of scenario.c. */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include "tests/sim/report.h"
#include "tests/sim/world.h"

struct run {
	uint32_t peers;
	uint64_t seed;
	uint32_t seconds; /* of measuring, where a scenario lets one choose; 0: its own */
	uint32_t places;  /* of the coordinator's sessions, in distribute; 0: as many as it has */
	char replay[160];
	uint64_t trace; /* of all its worlds */
	struct report *report;
};

struct scenario {
	const char *name, *summary;
	void (*run)(struct run *r);
	bool alone;	/* too long to be among "all" */
	uint32_t peers; /* unless said */
};
extern const struct scenario scenarios[];
extern const uint32_t scenario_count;
/* NULL: there is none of that name. */
const struct scenario *scenario_find(const char *name);
/* Runs it, fills report. */
void scenario_run(const struct scenario *s, struct run *r);

void scenario_config(const struct run *r, struct world_config *out);
/* All peers join during join_ms and beacons begin; once all are in, as hosts let in so many a second and no
 * more, the network has settle_ms to settle. */
struct world *scenario_grown(const struct run *r, const struct world_config *config,
	uint32_t join_ms, uint32_t settle_ms);
/* Adds its trace to the run's and frees it. */
void scenario_end(struct run *r, struct world *w);
/* Reach in percent, of those up since the body was published. */
double scenario_reach(const struct world *w, body_ref body);
/* Runs until all that are up hang together and none is alone, and have for 5 s, or limit_ms are over.
 * Gives the seconds until they did, as many as the limit is if they do not; adds the largest component's
 * share in percent to curve, if any, at seconds after begin_ms. */
double scenario_whole(struct world *w, uint32_t limit_ms, struct curve *curve, uint32_t begin_ms);
/* The share of the honest peers that are up which have every topic's newest, in percent. */
double scenario_current(const struct world *w);
double log_8(double n);

void sim_stable(struct run *r);
void sim_failure(struct run *r);
void sim_join(struct run *r);
void sim_partition(struct run *r);
void sim_eclipse(struct run *r);
void sim_speed(struct run *r);
void sim_million(struct run *r);
void sim_churn(struct run *r);
void sim_freeze(struct run *r);
void sim_skew(struct run *r);
void sim_bootstrap(struct run *r);
void sim_absent(struct run *r);
void sim_distribute(struct run *r);
void sim_town(struct run *r);

#endif
