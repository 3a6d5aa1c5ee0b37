/* What the agent and its worker process say to each other over the worker's stdin and stdout.
 *
 * A frame is a u32 LE length and one MessagePack array [type, fields…]. The worker keeps one recipe and
 * the shards that follow it; a new RECIPE drops them all, so the agent always knows what it has. One
 * RUN or REPLAY at a time; meanwhile nothing but CANCEL and SAVE is sent, and what follows waits in the pipe. */
#ifndef PEER_AGENT_WORKER_PROTOCOL_H
#define PEER_AGENT_WORKER_PROTOCOL_H

#include "peer/wire/messages.h"

#define WORKER_FRAME_MAX      (BLOB_BYTES_MAX + 32768u) /* its length has 32 bits */
#define WORKER_CHECKPOINT_MAX BLOB_BYTES_MAX		/* bytes; a larger one is not made */
#define WORKER_SHARDS_MAX     (1u << 30)		/* bytes of shards kept at once */

enum worker_message_type {
	WORKER_RECIPE = 1,	/* agent → worker: bytes */
	WORKER_SHARD = 2,	/* digest, bytes */
	WORKER_STATE = 3,	/* bytes: what the slot of the next RUN or REPLAY carries */
	WORKER_RESUME = 4,	/* bytes: the checkpoint from which the next RUN goes on */
	WORKER_RUN = 5,		/* job, unit, bytes (the parameters) */
	WORKER_CANCEL = 6,	/* job */
	WORKER_SAVE = 7,	/* job: answer with a checkpoint after the step in progress */
	WORKER_PROGRESS = 8,	/* worker → agent: job, done, total */
	WORKER_CHECKPOINT = 9,	/* job, bytes */
	WORKER_RESULT = 10,	/* job, claim, bytes (the payload) */
	WORKER_FAILED = 11,	/* job, code, text */
	WORKER_SELFTEST = 12,	/* agent → worker: job is the seed; between two RUNs */
	WORKER_SELFTESTED = 13, /* worker → agent: job, bytes (SELFTEST_OPERATIONS digests) */
	WORKER_TRACE = 14,	/* job, bytes (the trace's leaves); before its RESULT */
	WORKER_REPLAY = 15,	/* agent → worker: job, unit, first, to, keep (replay.h), bytes
				 * (the parameters) */
	WORKER_REPLAYED =
		16, /* worker → agent: job, bytes: the state to keep; without, the step leaves */
};

struct worker_message {
	enum worker_message_type type;
	uint64_t job;
	uint32_t done, total;
	uint32_t first, to, keep; /* REPLAY */
	int code;		  /* enum tk_error */
	struct digest digest;
	struct span unit, claim;
	struct span bytes; /* borrowed, as the other spans */
	char text[TEXT_MAX];
};

/* Appends a whole frame. Errors: TK_ENOMEM; out is then as before. */
int worker_message_encode(const struct worker_message *m, struct bytes *out) TK_CHECKED;

/* Reads the first frame of what has arrived: TK_OK, *m (borrows from in) and *used, the bytes to
 * consume; TK_ENOENT when it is not whole yet. Errors: TK_ELIMIT, TK_EPROTO. */
int worker_message_decode(
	struct worker_message *m, struct span in, size_t *used, struct errmsg *msg) TK_CHECKED;

#endif
