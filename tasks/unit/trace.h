/* The trace of a unit: what its result commits to on the way, so that a dispute can be narrowed down to
 * one step.
 *
 * Leaf 0 is the header's digest, from which the state before the first step follows. Leaf k, while
 * k·trace_every < H, is the digest of the state after that many steps: of all that the next step reads
 * and the header does not fix. The last leaf is the payload's blob digest; packing is a step. A unit that
 * ends non-finite has the leaves up to its failing step, then one that names that step.
 *
 * A state is one blob of float32: θ, then m and v or the velocity, in gradient mode the gradient so far,
 * then the losses of the steps done. Its digest is digest_fields("talkoot state", le32 of the steps done
 * and the blob's digest). */
#ifndef TASKS_UNIT_TRACE_H
#define TASKS_UNIT_TRACE_H

#include "tasks/math/compute.h"
#include "tasks/unit/unit.h"

#define STATE_ARRAYS_MAX 4u

/* The leaves of a unit of which `steps` steps are done and no more will be: without the last one. */
uint32_t trace_leaves(const struct train_spec *t, uint32_t steps);

/* True when the state after `steps` steps is a leaf. */
bool trace_due(const struct train_spec *t, uint32_t steps);

/* The arrays of a state, one behind the other. Borrows them. */
struct trace_state {
	uint32_t steps; /* done */
	uint32_t count;
	struct digest_part arrays[STATE_ARRAYS_MAX];
};

/* scratch has room for digest_leaf_count(arrays) digests. */
void trace_digest(struct digest *out, const struct compute *c, const struct trace_state *state,
	struct digest *scratch);

/* The last leaf of a unit that ended at failing_step. */
void trace_failure(struct digest *out, uint32_t failing_step);

/* trace_digest of a state that is given as its bytes. */
void trace_blob_digest(struct digest *out, uint32_t steps, const struct digest *blob);

/* Segment k of a trace goes from leaf k to leaf k + 1. Its *step leaves* are the digests of the states
 * after each step within it; those of the last segment go on with the result digest, because packing,
 * loss and outcome are a step, too. */
struct trace_segment {
	uint32_t first; /* steps done where it begins */
	uint32_t count; /* of step leaves: the first is that of the state after first + 1 steps */
	bool last;	/* the last step leaf is the result digest */
};

/* Steps of a unit that are done when it ends with this claim: H, or those before its failing step. */
uint32_t trace_steps(const struct train_spec *t, const struct claim *claim);

/* Of a unit that ends after `steps` steps, which has trace_leaves(t, steps) segments. False: there is no
 * segment k. */
bool trace_segment(struct trace_segment *out, const struct train_spec *t, uint32_t steps,
	uint32_t k) TK_CHECKED;

#endif
