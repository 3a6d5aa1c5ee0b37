/* The worker as a child process of the agent: started when there is something to compute, fed through
 * pipes, started again after it died. Decides nothing. */
#ifndef PEER_AGENT_WORKER_UV_H
#define PEER_AGENT_WORKER_UV_H

#include "peer/agent/agent_files.h"
#include "peer/agent/worker_protocol.h"

struct uv_loop_s;
struct worker_uv;

/* All run on the loop's thread, never from within a call of a worker_uv function. */
struct worker_handler {
	void *context;
	/* PROGRESS, CHECKPOINT, TRACE, RESULT, FAILED, SELFTESTED, REPLAYED; borrowed. */
	void (*message)(void *context, const struct worker_message *m);
	void (*gone)(void *context, const char *why);
};

/* program is started as `program worker`, with lies behind it where they are not empty (misbehave_unit.h). Borrows all; they outlive the worker. NULL: out of memory. */
struct worker_uv *worker_uv_new(struct uv_loop_s *loop, const char *program, const char *lies,
	const struct agent_files *files, const struct worker_handler *handler);

/* Starts the process unless it runs, sends what it lacks and the unit (order: an AGENT_COMPUTE or AGENT_REPLAY effect).
 * Errors: TK_ENOENT (a blob is not on disk, or was corrupt and has been removed), TK_ELIMIT (its shards
 * are more than a worker keeps), TK_EIO (the process does not start), TK_ENOMEM. */
int worker_uv_compute(
	struct worker_uv *w, const struct agent_effect *order, struct errmsg *msg) TK_CHECKED;

/* Starts the process unless it runs, and says this to it. Errors: TK_EIO, TK_ENOMEM. */
int worker_uv_say(
	struct worker_uv *w, const struct worker_message *m, struct errmsg *msg) TK_CHECKED;

/* Asks for a checkpoint of what it computes, which comes after the step in progress. */
void worker_uv_save(struct worker_uv *w, uint64_t job);

/* What it computes is not wanted any more: it stops after the step in progress. */
void worker_uv_cancel(struct worker_uv *w, uint64_t job);

/* Kills the process, whatever it is doing, and forgets the handler; the loop still closes handles after
 * that. */
void worker_uv_close(struct worker_uv *w);
/* After the loop has ended. */
void worker_uv_free(struct worker_uv *w);

#endif
