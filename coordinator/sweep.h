/* Removes what no later step reads: payloads and states of rounds that are merged and past. */
#ifndef COORDINATOR_SWEEP_H
#define COORDINATOR_SWEEP_H

#include "coordinator/home.h"

/* Removes the payload blobs of a project's round, but for those that units of the rounds behind it have, too: equal
 * contents are one blob. To be called when the round after it has been merged and that is on disk. Does nothing while
 * another project is in progress, as a twin of this one may still need them. O(units·log units). Errors: those of the
 * store, TK_ENOMEM; a payload that is gone already is fine. */
int sweep_payloads(
	const struct home *home, uint64_t project, uint32_t round, struct errmsg *msg) TK_CHECKED;

/* Removes the states that a merged round started from (row->states) and their list, but for those that
 * the rounds behind it start from, too. To be called when the merge is on disk; does nothing while another
 * project is in progress. O(units·log units). Errors: those of the store and of reading the lists. */
int sweep_states(
	const struct home *home, const struct round_row *row, struct errmsg *msg) TK_CHECKED;

/* Both, for what no rollback can reach any more. To be called when a merge is on disk. */
int sweep_project(const struct home *home, uint64_t project, struct errmsg *msg) TK_CHECKED;

#endif
