/* Builds the core anew from what is on disk: after a start, a crash or a stall. */
#ifndef COORDINATOR_SERVE_LOAD_H
#define COORDINATOR_SERVE_LOAD_H

#include "coordinator/core.h"
#include "coordinator/home.h"

#define ANNOUNCED_TEXT "announced_ms" /* of the store: CORE_SAVE_ANNOUNCED, in decimal digits */

/* Gives *out (core_free) with all projects that were begun, and the id of the newest of these; later
 * ids are new projects. O(projects + peers + replicas of the rounds in progress). root is borrowed by
 * the core. Errors: those of the store and of core_load_*. */
int serve_load_core(const struct home *home, const struct key_pair *root, struct core **out,
	uint64_t *newest, struct errmsg *msg) TK_CHECKED;

/* Whether what kept a project from being loaded can be read now: its recipe and its list of states.
 * Errors: those of blob_store_get. */
int serve_load_again(
	const struct home *home, const struct project_row *project, struct errmsg *msg) TK_CHECKED;

#endif
