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
	uint8_t steps[4];
	const struct span fields[] = {{steps, sizeof(steps)}, {blob.b, DIGEST_BYTES}};

	compute_digest(c, &blob, scratch, state->arrays, state->count);
	store_le32(steps, state->steps);
	digest_fields(out, "talkoot state", fields, 2);
}

void trace_failure(struct digest *out, uint32_t failing_step)
{
	uint8_t step[4];
	const struct span field = {step, sizeof(step)};

	store_le32(step, failing_step);
	digest_fields(out, "talkoot failure", &field, 1);
}
