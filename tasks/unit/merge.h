/* The canonical merge: the mean of a round's updates in unit order, then the outer optimizer; and the
 * mean of the moments that the slots carry on. */
#ifndef TASKS_UNIT_MERGE_H
#define TASKS_UNIT_MERGE_H

#include "tasks/math/compute.h"
#include "tasks/unit/payload.h"

/* A round's merge, fed unit by unit in ascending order, so that no two payloads need be in memory.
 * Space: 4 bytes per parameter and moment. */
struct merge {
	const struct recipe *recipe;   /* borrowed */
	const struct compute *compute; /* borrowed */
	struct payload_layout layout;
	size_t count; /* of parameters */
	float *sum;   /* (count) */
	float *moments; /* (layout.state.moments): sums; after merge_finish what the next states have */
	uint32_t merged; /* units that had an update: the divisor */
	double loss;	 /* sum of their losses */
};

/* Gives *m (merge_close) only on success. Errors: those of model_init, TK_ELIMIT, TK_ENOMEM. */
int merge_begin(struct merge *m, const struct recipe *recipe, const struct compute *c,
	struct errmsg *msg) TK_CHECKED;
void merge_close(struct merge *m);

/* Adds the next unit's result; after an error the merge is undefined. A unit with OUTCOME_NONFINITE is
 * skipped. Errors: TK_ECORRUPT. */
int merge_add(struct merge *m, const struct claim *claim, struct span payload,
	struct errmsg *msg) TK_CHECKED;

/* Floats of the outer optimizer's state: momentum, or m and v; 0: it has none. All are +0 before the
 * first round. */
size_t outer_state_floats(const struct train_spec *t, size_t parameters);

/* θ_{r+1} from θ_r of round r, and the outer optimizer's state, both in place and undefined after an
 * error. *loss gets the round's mean training loss. Then m->moments are what the next states begin with
 * (state_set_moments); a slot's feedback comes from its own payload. Errors: TK_EDIVERGED (no unit had a
 * finite update, or the new parameters are not finite). */
int merge_finish(struct merge *m, uint32_t round, float *parameters, float *outer_state,
	float *loss, struct errmsg *msg) TK_CHECKED;

/* BLAKE2b-256 of the parameters' bytes (float32 LE, NaN as 7fc00000): the model digest.
 * Errors: TK_ENOMEM. */
int model_digest(struct digest *out, const float *parameters, size_t count) TK_CHECKED;

/* float32 LE bytes of parameters, as blobs carry them, and back. */
int parameters_encode(struct bytes *out, const float *parameters, size_t count) TK_CHECKED;
int parameters_decode(
	float *parameters, size_t count, struct span in, struct errmsg *msg) TK_CHECKED;

#endif
