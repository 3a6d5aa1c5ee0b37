/* The durable half of the core's effects: what must be on disk before anything is said. */
#ifndef COORDINATOR_SERVE_PERSIST_H
#define COORDINATOR_SERVE_PERSIST_H

#include "coordinator/core.h"
#include "coordinator/home.h"

/* Makes the effects' blobs and proofs of fault durable, then writes all their rows in one transaction. On success
 * *msg may have a sentence for the log (a proof that lacks a blob). Errors: TK_ENOSPC, TK_EIO, TK_EBUSY: nothing
 * of the rows stands, and nothing of these effects may be said. */
int serve_persist(
	const struct home *home, const struct core_effects *effects, struct errmsg *msg) TK_CHECKED;

/* After serve_persist: each merged round makes the payloads of the one before it useless. */
int serve_sweep(
	const struct home *home, const struct core_effects *done, struct errmsg *msg) TK_CHECKED;

#endif
