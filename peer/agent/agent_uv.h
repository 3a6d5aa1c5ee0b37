/* The agent's shell: event loop, connection, clock, disk, worker process and signals around the core. */
#ifndef PEER_AGENT_AGENT_UV_H
#define PEER_AGENT_AGENT_UV_H

#include <stdio.h>

#include "peer/agent/agent_home.h"
#include "peer/agent/misbehave.h"
#include "tasks/math/engine.h"

#define PEER_PORT   7332u
#define CACHE_BYTES (16ull << 30)

struct agent_options {
	const char *worker;	     /* the program that has `worker`; NULL: this one */
	const struct engine *engine; /* that the worker will choose, too */
	const char *remark;	     /* on this computer, for log and status; NULL: none */
	enum misbehave misbehave;
	uint32_t checkpoint_ms; /* between two checkpoints of a unit; 0: the usual */
	uint64_t cache_bytes;	/* of data that may stay on disk; 0: CACHE_BYTES */
	const char *listen;   /* ADDR:PORT for other peers; NULL: PEER_PORT, or any that is free */
	bool no_port_mapping; /* the router is never asked for a port */
	const char *team;     /* to be kept in the home; NULL: what the home has */
	bool no_host;	      /* it may not be named as a host of the network's link */
	FILE *log;	      /* one line for each event, with its time */
};

/* Runs until SIGINT or SIGTERM (TK_OK), or until something ends it for good. Takes the home's lock.
 * Errors: TK_EINVAL (the team's name), TK_EBUSY (another process has the home), TK_EAUTH (the network gives this identity no more
 * work), TK_EIO, TK_ENOSPC, TK_ENOMEM. */
int agent_run(const struct agent_home *home, const struct agent_options *options,
	struct errmsg *msg) TK_CHECKED;

/* Dials the link's hosts in turn until one completes the handshake or timeout_ms has passed.
 * Errors: TK_EIO (none answered; the sentence says what each said), TK_ENOMEM. */
int agent_probe(const struct agent_home *home, uint64_t timeout_ms, struct errmsg *msg) TK_CHECKED;

#endif
