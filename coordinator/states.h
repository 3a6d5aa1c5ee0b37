/* What the slots of a project carry from round to round (tasks/unit/state.h), as blobs: each slot's state,
 * and the list of a round's W state digests, whose digest is in the project's row. A state is stored once
 * when slots share it. A zero digest is a state, or a whole list, of +0, and no blob. */
#ifndef COORDINATOR_STATES_H
#define COORDINATOR_STATES_H

#include "coordinator/jobs.h"

/* The list that a row names (mem_free; count digests); NULL when it names none.
 * Errors: TK_ENOENT, TK_ECORRUPT, TK_EIO, TK_ENOMEM. */
int states_load(const struct blob_store *blobs, const struct digest *list, uint32_t count,
	struct digest **out, struct errmsg *msg) TK_CHECKED;

/* A slot's state of that list (NULL: all zero); empty when it is zero. Errors: as blob_store_get. */
int state_load(const struct blob_store *blobs, const struct digest *states, uint32_t slot,
	struct bytes *out, struct errmsg *msg) TK_CHECKED;

/* After merge_finish: makes and stores the states that the next round starts from, and their list. old:
 * the list of the round that was merged, of whose units inputs are the claims. Gives *list, and *states
 * (mem_free; NULL: all zero). O(parameters) memory: slots one by one. Errors: those of blob_store. */
int states_merge(const struct blob_store *blobs, const struct merge *merge,
	const struct merge_input *inputs, const struct digest *old, struct digest *list,
	struct digest **states, struct errmsg *msg) TK_CHECKED;

#endif
