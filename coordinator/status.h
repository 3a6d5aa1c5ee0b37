/* What the coordinator tells people: status.json (the page's contract is web/README.md) and the object
 * of `talkoot status NAME --json`. Built from the store, so it works while nothing is serving. */
#ifndef COORDINATOR_STATUS_H
#define COORDINATOR_STATUS_H

#include "coordinator/store.h"

/* What only the running server knows. All zero when nothing serves. */
struct status_live {
	bool serving;
	uint64_t now_s;
	uint64_t peers_connected;
	uint64_t blob_bytes_sent; /* by the coordinator, over all runs; also when nothing serves */
	void *context;
	/* Leases that this peer holds, and whether it is connected. NULL: unknown. */
	size_t (*leases)(void *context, const struct public_key *key, bool *connected);
};

/* Appends the page's JSON. Errors: TK_ENOMEM and those of the store. */
int status_page_json(struct store *s, const struct status_live *live, struct bytes *out,
	struct errmsg *msg) TK_CHECKED;

/* Appends one project's object, for `status --json`. */
int status_project_json(struct store *s, const struct project_row *row,
	const struct status_live *live, struct bytes *out, struct errmsg *msg) TK_CHECKED;

/* "running"; never NULL. */
const char *project_state_name(enum project_state state);

/* A project's numbers as a person asks for them. */
struct project_numbers {
	uint32_t units_done; /* of the round in progress */
	bool has_round;	     /* last is the latest merged round */
	struct round_row last;
	bool has_eta;
	uint64_t eta_s;
};
int project_numbers(struct store *s, const struct project_row *row, struct project_numbers *out,
	struct errmsg *msg) TK_CHECKED;

/* Writes "live" into the store for other processes, and reads it. */
int status_save_live(struct store *s, uint64_t peers_connected, struct errmsg *msg) TK_CHECKED;
#define STATUS_BLOBS_SENT "blob_bytes_sent" /* where the store has it */
int status_load_live(
	struct store *s, bool serving, struct status_live *live, struct errmsg *msg) TK_CHECKED;

#endif
