/* See trace.h. A leaf takes as long as hashing the parameters and moments once, shared by all threads. */
#include "tasks/unit/trace.h"

uint32_t trace_leaves(const struct train_spec *t, uint32_t steps)
{
	uint32_t last = steps < t->inner_steps ? steps : t->inner_steps - 1;

	return 1 + last / t->trace_every;
}

bool trace_due(const struct train_spec *t, uint32_t steps)
{
	return steps < t->inner_steps && steps % t->trace_every == 0;
}

void trace_digest(struct digest *out, const struct compute *c, const struct trace_state *state,
	struct digest *scratch)
{
	struct digest blob;

	compute_digest(c, &blob, scratch, state->arrays, state->count);
	trace_blob_digest(out, state->steps, &blob);
}

void trace_blob_digest(struct digest *out, uint32_t steps, const struct digest *blob)
{
	uint8_t le[4];
	const struct span fields[] = {{le, sizeof(le)}, {blob->b, DIGEST_BYTES}};

	store_le32(le, steps);
	digest_fields(out, "talkoot state", fields, 2);
}

void trace_failure(struct digest *out, uint32_t failing_step)
{
	uint8_t step[4];
	const struct span field = {step, sizeof(step)};

	store_le32(step, failing_step);
	digest_fields(out, "talkoot failure", &field, 1);
}

uint32_t trace_steps(const struct train_spec *t, const struct claim *claim)
{
	return claim->outcome == OUTCOME_NONFINITE && claim->failing_step < t->inner_steps
		       ? claim->failing_step
		       : t->inner_steps;
}

bool trace_segment(
	struct trace_segment *out, const struct train_spec *t, uint32_t steps, uint32_t k)
{
	uint32_t segments = trace_leaves(t, steps);

	if (k >= segments)
		return false;
	out->last = k + 1 == segments;
	out->first = k * t->trace_every;
	out->count = out->last ? steps - out->first + 1 : t->trace_every;
	return true;
}
