/* The canonical merge: a round's updates become one by the recipe's rule (the mean in unit order, or one
 * that bounds what a few bad ones can do), then the outer optimizer; and what becomes of the moments
 * that the slots carry on. NUMERICS.md, "Merge".
 *
 * merge_begin, merge_add for every unit in ascending order, merge_gather, merge_finish. The mean is summed
 * as units are added and needs no payload twice. The other rules read payloads again in merge_gather. */
#ifndef TASKS_UNIT_MERGE_H
#define TASKS_UNIT_MERGE_H

#include "tasks/math/compute.h"
#include "tasks/unit/payload.h"

/* Memory: 4 bytes per parameter and moment. Rules that read payloads again add, while they gather, 8 bytes
 * per parameter, the one payload that the source gives, and MERGE_TILE_BYTES at most for those that
 * compare units number by number; never all updates at once. */
#define MERGE_TILE_BYTES (128u << 20)

struct merge {
	const struct recipe *recipe;   /* borrowed */
	const struct compute *compute; /* borrowed */
	struct payload_layout layout;
	size_t count; /* of parameters */
	float *sum; /* (count): sums; after merge_gather of a rule other than the mean the update */
	float *moments; /* (layout.state.moments): the same; after merge_finish what the next states have */
	uint32_t merged; /* units that had an update: the mean's divisor */
	double loss;	 /* sum of their losses */
	uint32_t added;	 /* units, skipped ones included */
	uint32_t *units; /* (merged): which; NULL with the mean */
	bool gathered;
	size_t tile_bytes; /* MERGE_TILE_BYTES; tests set less before merge_gather */
};

/* Where merge_gather finds a unit's payload again: *payload is good until the next call. Errors are
 * passed on. */
typedef int merge_source_get(
	void *context, uint32_t unit, struct span *payload, struct errmsg *msg);
struct merge_source {
	void *context;
	merge_source_get *get;
};

/* Gives *m (merge_close) only on success. Errors: those of model_init, TK_ELIMIT, TK_ENOMEM. */
int merge_begin(struct merge *m, const struct recipe *recipe, const struct compute *c,
	struct errmsg *msg) TK_CHECKED;
void merge_close(struct merge *m);

/* Adds the next unit's result; after an error the merge is undefined. A unit with OUTCOME_NONFINITE is
 * skipped. Errors: TK_ECORRUPT. */
int merge_add(struct merge *m, const struct claim *claim, struct span payload,
	struct errmsg *msg) TK_CHECKED;

/* True when merge_gather will ask for the payloads again: all but the mean. */
bool merge_rereads(const struct recipe *recipe);

/* Applies the recipe's rule to the units that were added; nothing to do for the mean, whose source may be
 * NULL. Payloads are asked for in unit order, up to 1 + 2·merge_iterations times each, or once for each
 * MERGE_TILE_BYTES of the round's unpacked values, and once more. Errors: those of the source, TK_ECORRUPT,
 * TK_EDIVERGED (too few updates, or too large to compare), TK_ENOMEM; the merge is then undefined. */
int merge_gather(struct merge *m, const struct merge_source *source, struct errmsg *msg) TK_CHECKED;

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
