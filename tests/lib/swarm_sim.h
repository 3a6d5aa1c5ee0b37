/* Many swarm cores in one process under virtual time, from one seed: a first seed and tracker, peers with
 * uplinks, latencies, churn, and lies. It checks as it goes: an honest node never breaks a rule, no part
 * is stored twice, nothing is served that is not there. */
#ifndef TESTS_LIB_SWARM_SIM_H
#define TESTS_LIB_SWARM_SIM_H

#include "peer/swarm/swarm.h"

#define SIM_TRACKER 1u

enum sim_lie {
	SIM_HONEST = 0,
	SIM_BAD_PARTS = 1,  /* serves what its proof does not fit */
	SIM_EMPTY_HAVE = 2, /* says it has everything, and answers nothing */
	SIM_BAD_TOTAL = 3,  /* says another length */
	SIM_UNASKED = 4,    /* sends parts that nobody asked for */
	SIM_FLOOD = 5,	    /* asks for everything at once, again and again */
	SIM_BEYOND = 6,	    /* asks beyond the end */
};

struct sim_options {
	uint64_t seed;
	uint32_t peers;
	uint32_t blobs;	     /* all wanted by all at once */
	uint64_t total;	     /* bytes of each */
	uint32_t part_bytes; /* BLOB_PART_MAX or BLOB_PIECE */
	uint32_t public_percent, unreachable_percent;
	uint64_t seed_rate, rate_min, rate_max; /* uplinks, bytes a second */
	uint32_t latency_min_ms, latency_max_ms;
	uint32_t slow_percent; /* uplinks of a fiftieth */
	uint32_t liar_percent; /* each kind in turn, or: */
	enum sim_lie lie;      /* this one */
	uint32_t churn_ms; /* every so often a peer restarts with what is on its disk; 0: never */
	bool quiet;
	uint32_t join_ms; /* all come within this time */
};

struct sim_result {
	uint32_t complete, honest;
	uint64_t last_ms, p95_ms; /* when honest peers were whole */
	uint64_t tracker_bytes;	  /* that the first seed sent */
	uint64_t peer_bytes;
	uint64_t wasted;
	uint32_t accused_honest, accused_liars;
	uint64_t events;
	uint32_t lacking;
	size_t memory; /* the most that a peer's core took */
};

/* Runs until all honest peers are whole or until_ms of virtual time. False, and a line on stdout: an
 * invariant broke. */
bool swarm_sim_run(const struct sim_options *options, uint64_t until_ms, struct sim_result *result);

#endif
