/* What the agent keeps on disk while it runs: blobs, results, checkpoints, and which leases it holds. */
#ifndef PEER_AGENT_AGENT_FILES_H
#define PEER_AGENT_AGENT_FILES_H

#include "peer/agent/agent.h"
#include "peer/agent/agent_home.h"
#include "peer/swarm/blob_store.h"

struct agent_files {
	char home[AGENT_PATH_MAX];
	char results[AGENT_PATH_MAX];
	struct blob_store blobs; /* recipes and shards: they last */
	char checkpoints[AGENT_PATH_MAX];
	char arriving[AGENT_PATH_MAX]; /* blobs that are not whole yet */
	struct blob_store
		parameters; /* and states; emptied at every start: they last for a round */
};

/* Makes the folders. Errors: TK_EIO, TK_ENOSPC. */
int agent_files_open(struct agent_files *f, const char *home, struct errmsg *msg) TK_CHECKED;

/* Gives the agent what an earlier run left. What cannot be read is told to log and left behind: the
 * agent goes on without it. Errors: TK_EIO, TK_ENOMEM. */
int agent_files_load(const struct agent_files *f, struct agent *a,
	void (*log)(void *context, const char *line), void *context, struct errmsg *msg) TK_CHECKED;

const struct blob_store *agent_files_store(const struct agent_files *f, enum agent_blob kind);

/* Durable when it returns. Errors: TK_EIO, TK_ENOSPC. */
int agent_files_save_result(const struct agent_files *f, const struct digest *nonce,
	struct span record, struct errmsg *msg) TK_CHECKED;
void agent_files_remove_result(const struct agent_files *f, const struct digest *nonce);

/* Appends length bytes of a result's record, from an offset on in its last `total` bytes. Errors: TK_EIO,
 * TK_ENOMEM. */
int agent_files_read_result(const struct agent_files *f, const struct digest *nonce, uint64_t total,
	uint64_t offset, uint32_t length, struct bytes *out, struct errmsg *msg) TK_CHECKED;

/* How far a unit has come, under its digest. Not synced: what a power failure spoils is seen by its reader.
 * Errors: TK_EIO, TK_ENOSPC; TK_ENOENT, TK_ELIMIT, TK_ENOMEM. */
int agent_files_save_checkpoint(const struct agent_files *f, const struct digest *unit,
	struct span checkpoint, struct errmsg *msg) TK_CHECKED;
int agent_files_read_checkpoint(const struct agent_files *f, const struct digest *unit,
	struct bytes *out, struct errmsg *msg) TK_CHECKED;
void agent_files_remove_checkpoint(const struct agent_files *f, const struct digest *unit);

/* A hint for the next start, so it is not synced. Errors: TK_EIO, TK_ENOSPC. */
int agent_files_save_leases(
	const struct agent_files *f, struct span nonces, struct errmsg *msg) TK_CHECKED;

#endif
