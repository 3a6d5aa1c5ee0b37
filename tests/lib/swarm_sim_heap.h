/* What is going to happen in a swarm_sim, by time and then by the order in which it was planned. */
#ifndef TESTS_LIB_SWARM_SIM_HEAP_H
#define TESTS_LIB_SWARM_SIM_HEAP_H

#include "peer/swarm/swarm.h"

enum occurrence { ARRIVES, SENT, WAKES, JOINS, DIALS, CHURNS };

struct happening {
	uint64_t at_ms, order;
	enum occurrence what;
	peer_ref to, from;
	uint32_t life; /* of `to`, when it was begun */
	uint64_t session;
	struct swarm_message message;
	uint64_t pieces[SWARM_PIECE_WORDS];
};

struct happenings {
	struct happening **items; /* a heap, owned */
	size_t count, capacity;
	uint64_t order;
};

/* A cleared one at that time, to be filled in. */
struct happening *happenings_add(struct happenings *p, uint64_t at_ms);
/* The first of count ≥ 1; the caller frees it. */
struct happening *happenings_next(struct happenings *p);
void happenings_close(struct happenings *p);

#endif
