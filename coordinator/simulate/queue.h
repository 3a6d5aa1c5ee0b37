/* What is still to happen, in order of time and then of being put in. A heap of small keys over a pool, so that an
 * event costs no allocation once the pool is as large as the run needs. */
#ifndef COORDINATOR_SIMULATE_QUEUE_H
#define COORDINATOR_SIMULATE_QUEUE_H

#include "peer/overlay/node.h"

enum queued_kind {
	QUEUED_TICK = 1,
	QUEUED_CONNECT,	 /* peer */
	QUEUED_LEAVE,	 /* peer, conn */
	QUEUED_COMPUTED, /* peer, nonce */
	QUEUED_RETRY,	 /* peer: asks for work again */
	QUEUED_TO_CORE,	 /* peer, conn, message, nonce */
	QUEUED_TO_PEER,
	QUEUED_MERGE,	 /* round */
	QUEUED_REFEREE,	 /* round, unit */
	QUEUED_STEP,	 /* round, unit, step, job; bytes: the state before it */
	QUEUED_NEWCOMER, /* an identity more of the strategy */
};

struct queued {
	enum queued_kind kind;
	uint32_t message; /* enum message_type */
	uint32_t peer;
	uint32_t round, unit; /* also slots, a delay */
	uint32_t step;	      /* also a segment */
	uint64_t job, offset;
	bool second; /* the other commitment of one lease */
	conn_id conn;
	struct digest nonce;
	struct digest about; /* the unit's */
	struct bytes bytes;  /* owned by whoever takes it out */
};

struct queue {
	struct {
		uint64_t at_ms, serial;
		uint32_t slot;
	} * heap;
	struct queued *pool;
	uint32_t *free;
	uint32_t count, capacity, free_count, used;
	uint64_t serial;
};

/* Errors: TK_ENOMEM. */
int queue_put(struct queue *q, uint64_t at_ms, const struct queued *what) TK_CHECKED;
/* The next one and its time; false: there is none. */
bool queue_take(struct queue *q, struct queued *out, uint64_t *at_ms);
void queue_close(struct queue *q);

#endif
