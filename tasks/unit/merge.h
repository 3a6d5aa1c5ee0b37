/* The canonical merge: the mean of a round's updates in unit order, then the outer optimizer. */
#ifndef TASKS_UNIT_MERGE_H
#define TASKS_UNIT_MERGE_H

#include "tasks/unit/run.h"

/* A round's merge, fed unit by unit in ascending order. Space: 4 bytes per parameter. */
struct merge {
	float *sum;
	uint32_t merged; /* units that had an update: the divisor */
	double loss;	 /* sum of their losses */
	size_t count;
};

int merge_begin(struct merge *m, size_t parameters) TK_CHECKED;
/* Adds the next unit's result. An OUTCOME_NONFINITE unit is skipped. Errors: TK_ECORRUPT. */
int merge_add(struct merge *m, const struct recipe *recipe, const struct claim *claim,
	struct span payload, struct errmsg *msg) TK_CHECKED;
/* θ_{r+1} from θ_r, in place; outer_state is the momentum (count floats; zeros before round 0).
 * *loss gets the round's mean training loss. Errors: TK_EDIVERGED (no unit had a finite update, or
 * the new parameters are not finite). */
int merge_finish(struct merge *m, const struct recipe *recipe, float *parameters,
	float *outer_state, float *loss, struct errmsg *msg) TK_CHECKED;
void merge_close(struct merge *m);

/* Canonical evaluation on the validation part: its first EVALUATE_MAX samples in the order of epoch 0. A
 * model with a label for each position reads texts instead as they stand, window after window, up to
 * EVALUATE_TOKENS of them. */
#define EVALUATE_MAX	16384u
#define EVALUATE_TOKENS (1u << 18)
struct evaluation {
	uint64_t samples; /* labels that were judged; 0: no validation part */
	float loss;
	float accuracy;
};
int evaluate(const struct recipe *recipe, const struct compute *c, const float *parameters,
	const struct shard_source *shards, struct evaluation *out, struct errmsg *msg) TK_CHECKED;

/* BLAKE2b-256 of the parameters' bytes (float32 LE, NaN as 7fc00000): the model digest.
 * Errors: TK_ENOMEM. */
int model_digest(struct digest *out, const float *parameters, size_t count) TK_CHECKED;

/* float32 LE bytes of parameters, as blobs carry them, and back. */
int parameters_encode(struct bytes *out, const float *parameters, size_t count) TK_CHECKED;
int parameters_decode(
	float *parameters, size_t count, struct span in, struct errmsg *msg) TK_CHECKED;

#endif
