/* What the simulation's files share. See simulate.h. */
#ifndef COORDINATOR_SIMULATE_STATE_H
#define COORDINATOR_SIMULATE_STATE_H

#include "coordinator/core.h"
#include "coordinator/lookup.h"
#include "coordinator/simulate/queue.h"
#include "coordinator/simulate/simulate.h"

#define TICK_MS		  1000u
#define SLOTS		  2u /* units that a peer takes in advance, with the one it computes */
#define MERGE_MS	  2000u
#define START_MS	  1700000000000u
#define NO_FAULT	  UINT32_MAX
#define SPREAD_MAX	  4096u
#define RESULT_LEAVES_MAX 128u
#define WRONG_KEPT	  64u
#define SPREAD_SPEED	  0.5 /* log-normal: two thirds lie between 0.6 and 1.6 times the median */
#define LATENCY_MIN_MS	  5u  /* one way */
#define LATENCY_SPAN_MS	  120u
#define SLEEPS		  1000u /* units that a sleeper computes before the first wrong one */

/* What went wrong in a unit: after step `step` the state differs from the right one by `variant`, and all that
 * follows from it. Equal faults give equal results. */
struct mishap {
	uint32_t step; /* NO_FAULT: nothing */
	uint64_t variant;
};

struct sim_task {
	struct sim_task *next;
	struct digest nonce;
	uint32_t round, unit;
	struct digest unit_digest;
	struct digest salt;
	uint64_t order; /* of its lease among this peer's */
	bool done, committed;
	struct mishap fault;
	uint8_t claim[CLAIM_BYTES_MAX];
	uint32_t claim_bytes;
};

struct sim_peer {
	struct lookup_link by_key;
	struct key_pair key;
	uint32_t number;
	const struct strategy *strategy; /* NULL: honest */
	uint64_t unit_ms;		 /* to compute a unit, as a right one does */
	uint64_t latency_ms;		 /* one way */
	struct sim_task *computing;	 /* one at a time, in the order of leasing */
	uint64_t busy_until_ms, busy_ms, here_since_ms, here_ms;
	conn_id conn; /* 0: not connected */
	uint32_t session;
	bool away, over; /* it has left for a while; it is retired */
	bool retrying;	 /* it will ask again by itself, once */
	struct sim_task *tasks;
	uint64_t leases;   /* that it got */
	uint64_t finished; /* units that it handed in */
	uint64_t wrong;	   /* of them wrong */
	uint64_t first_wrong_ms, first_wrong_order;
	struct digest wrong_nonces[WRONG_KEPT]; /* of its first ones */
	uint32_t wrong_count;
	bool proven; /* one of them was */
};

/* What the right result of a unit of the round in progress is. */
struct truth {
	struct digest unit;
	struct digest result;
	uint8_t claim[CLAIM_BYTES_MAX];
	uint32_t claim_bytes; /* 0: not made yet */
	uint32_t friends;     /* colluders that hold or held a replica */
	uint8_t plan;	      /* what they agreed on: 0 nothing yet, 1 right, 2 wrong */
	uint32_t messages;    /* of its dispute, asked and answered */
};

struct spread { /* a sample of at most SPREAD_MAX values, taken evenly; order does not matter */
	uint64_t count;
	double sum, most;
	double *values;
	uint64_t random;
};

struct world {
	const struct simulate_options *options;
	struct simulate_report *report;
	int error;
	uint64_t random, now_ms, begun_ms, end_ms, serial;
	struct queue queue;
	struct key_pair root;
	struct core *core;
	struct core_effects effects;
	struct lookup keys;
	struct sim_peer **peers;
	uint32_t peer_count, peer_capacity;
	/* The project. */
	struct recipe recipe;
	struct layer layer;
	struct digest shard;
	char names[2][LABEL_BYTES_MAX];
	struct bytes encoded;
	struct digest recipe_digest;
	size_t payload_bytes;
	double median_ms; /* of a unit */
	struct project_row project;
	/* Of the rounds that the core has in memory, by round modulo ring: what a unit of it is. */
	uint32_t ring;
	struct truth *truths;	/* ring × W */
	struct digest *results; /* ring × W: what was settled */
	struct truth other;	/* the last one asked for of a round that was taken back */
	uint64_t *honest;	/* rounds × W: 8 bytes of the right result's digest */
	uint64_t *stands_ms;	/* rounds × W: since when a wrong result stands; 0: none does */
	bool merging;
	struct bytes *states; /* that a dispute has stored and not let go of */
	uint32_t state_count;
	/* Counted. */
	struct simulate_point now;
	uint64_t units_most; /* that were settled, since the last rollback */
	uint64_t fifth_computed, fifth_refereed, fifth_units;
	struct spread bad, proven, caught_h, stood_h, messages;
	uint64_t next_point_units;
	double cpu_begun;
};

/* One row for each; what is NULL or 0 is as an honest peer does it. */
struct strategy {
	const char *name, *summary;
	double rate;	/* default of --rate; what it means is in the summary */
	double seconds; /* to compute a unit, in those of an honest one; 0: 1 */
	/* Sets task->fault when the unit is computed. */
	void (*compute)(struct world *w, struct sim_peer *peer, struct sim_task *task);
	void (*leased)(struct world *w, struct sim_peer *peer, struct sim_task *task);
	bool withholds;	  /* commits and does not open */
	bool copies;	  /* opens with the right claim, whatever it committed to */
	bool equivocates; /* commits twice */
	bool returns;	  /* with a new identity when one is retired */
	uint32_t flood;	  /* new identities beside each honest peer, over the run */
	bool innocent;	  /* it means well: retiring it is no success, but no failure either */
};

/* world.c */
uint64_t draw(struct world *w);
double draw_unit(struct world *w); /* 0 … 1 */
void world_step(struct world *w, struct core_event *event);
void world_later(struct world *w, uint64_t after_ms, const struct queued *q);
struct truth *truth_of(struct world *w, const struct sim_task *task);
/* Where a unit of such a round is in a ring. */
size_t ring_at(const struct world *w, uint32_t round, uint32_t unit);

/* results.c: recipe, states and results. */
int project_make(struct world *w, const struct project *p, struct errmsg *msg) TK_CHECKED;
void state_make(struct world *w, const struct digest *unit, const struct mishap *fault,
	uint32_t steps, struct bytes *out);
struct mishap state_fault(struct span blob); /* of one that state_make made */
void state_digest(struct world *w, const struct digest *unit, const struct mishap *fault,
	uint32_t steps, struct digest *out);
/* The trace's leaves; how many there are, 0 on an error. */
uint32_t result_leaves(struct world *w, const struct digest *unit, const struct mishap *fault,
	struct digest leaves[RESULT_LEAVES_MAX], struct bytes *payload);
void result_make(struct world *w, const struct digest *unit, const struct mishap *fault,
	struct bytes *claim, struct bytes *payload);

/* disputes.c: what a peer is asked in a dispute, what it says, and the referee's step. */
void dispute_hears(struct world *w, struct sim_peer *peer, const struct message *m);
/* What COMMIT carries; second: with another salt. */
void task_commitment(struct world *w, const struct sim_peer *peer, const struct sim_task *task,
	bool second, struct digest *out);
bool dispute_says(struct world *w, struct sim_peer *peer, const struct queued *q,
	const struct sim_task *task); /* false: that is no answer of a dispute */
void state_keep(struct world *w, const struct core_effect *e);
void state_forget(struct world *w, const struct digest *blob);
void referee_step_ask(struct world *w, const struct core_effect *e);
void referee_step_answer(struct world *w, const struct queued *q);

/* crowd.c: what peers do. */
struct sim_peer *peer_add(struct world *w, const struct strategy *strategy, uint64_t after_ms);
struct sim_task *crowd_task(const struct sim_peer *peer, const struct digest *nonce); /* or NULL */
void crowd_free(struct world *w);
void crowd_connect(struct world *w, struct sim_peer *peer);
void crowd_leave(struct world *w, struct sim_peer *peer);
void crowd_dropped(struct world *w, struct sim_peer *peer, uint32_t reason);
void crowd_retired(struct world *w, const struct sim_peer *peer);
void crowd_computed(struct world *w, struct sim_peer *peer, const struct digest *nonce);
void crowd_hears(struct world *w, struct sim_peer *peer, const struct queued *q);
void crowd_says(struct world *w, struct sim_peer *peer, const struct queued *q);
void crowd_asks(struct world *w, struct sim_peer *peer);
/* A struct commit_check; context: the world. */
bool crowd_signed(const void *context, const struct public_key *key, const struct signature *s,
	const struct digest *commitment, const struct digest *nonce);

/* measure.c: what the core's effects mean. */
void measure_row(struct world *w, const struct core_effect *e);
void measure_point(struct world *w);
void measure_end(struct world *w);
void spread_add(struct spread *s, double value);
double cpu_seconds(void);

#endif
