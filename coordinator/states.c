/* See states.h. */
#include "coordinator/states.h"

#include "peer/wire/messages.h"
#include "tasks/base/mem.h"

int states_load(const struct blob_store *blobs, const struct digest *list, uint32_t count,
	struct digest **out, struct errmsg *msg)
{
	size_t size = (size_t)count * DIGEST_BYTES;
	struct bytes got = {0};
	int rc;

	*out = NULL;
	if (digest_is_zero(list))
		return TK_OK;
	rc = blob_store_get(blobs, list, size, &got, msg);
	if (rc == TK_OK && got.len != size)
		rc = errmsg_set(msg, TK_ECORRUPT, "the list of states has %zu bytes, not %zu",
			got.len, size);
	if (rc == TK_OK) {
		*out = mem_dup(got.data, size);
		if (*out == NULL)
			rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for %u states", count);
	}
	bytes_close(&got);
	return rc;
}

int state_load(const struct blob_store *blobs, const struct digest *states, uint32_t slot,
	struct bytes *out, struct errmsg *msg)
{
	if (states == NULL || digest_is_zero(&states[slot]))
		return TK_OK;
	return blob_store_get(blobs, &states[slot], BLOB_BYTES_MAX, out, msg);
}

/* The feedback of the slot's unit, or what it was where the unit had no update. */
static int take_feedback(const struct blob_store *blobs, const struct merge *merge,
	const struct merge_input *input, const struct digest *old, uint32_t slot,
	struct bytes *state, struct errmsg *msg)
{
	const struct payload_layout *layout = &merge->layout;
	struct bytes payload = {0};
	struct claim claim;
	int rc = claim_decode(&claim, span_of(input->claim, input->claim_bytes), msg);

	if (rc != TK_OK)
		return rc;
	if (claim.outcome != OUTCOME_UPDATE)
		return state_load(blobs, old, slot, state, msg);
	rc = blob_store_get(blobs, &claim.payload, layout->bytes, &payload, msg);
	if (rc == TK_OK && payload.len != layout->bytes)
		rc = errmsg_set(msg, TK_ECORRUPT, "the payload has %zu bytes; %zu are right",
			payload.len, layout->bytes);
	if (rc == TK_OK && state_set_feedback(state, &layout->state,
				   payload_feedback(layout, bytes_span(&payload))) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for a unit's state");
	bytes_close(&payload);
	return rc;
}

static int state_merge(const struct blob_store *blobs, const struct merge *merge,
	const struct merge_input *input, const struct digest *old, uint32_t slot,
	struct digest *digest, struct errmsg *msg)
{
	const struct state_layout *layout = &merge->layout.state;
	struct bytes state = {0};
	int rc = TK_OK;

	if (layout->feedback > 0)
		rc = take_feedback(blobs, merge, input, old, slot, &state, msg);
	if (rc == TK_OK && layout->moments > 0 &&
		state_set_moments(&state, layout, merge->moments) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for a unit's state");
	if (rc == TK_OK && state.len > 0)
		rc = blob_store_put(blobs, digest, bytes_span(&state), msg);
	bytes_close(&state);
	return rc == TK_OK ? rc : errmsg_prefix(msg, rc, "the state of slot %u", slot + 1);
}

int states_merge(const struct blob_store *blobs, const struct merge *merge,
	const struct merge_input *inputs, const struct digest *old, struct digest *list,
	struct digest **states, struct errmsg *msg)
{
	uint32_t count = merge->recipe->train.units_per_round;
	bool shared = merge->layout.state.feedback == 0;
	struct digest *next;
	int rc = TK_OK;

	*list = (struct digest){{0}};
	*states = NULL;
	if (state_bytes(&merge->layout.state) == 0)
		return TK_OK;
	next = mem_calloc(count, sizeof(*next));
	if (next == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for %u states", count);
	for (uint32_t i = 0; i < count && rc == TK_OK; i++) {
		if (shared && i > 0)
			next[i] = next[0];
		else
			rc = state_merge(blobs, merge, &inputs[i], old, i, &next[i], msg);
	}
	if (rc == TK_OK)
		rc = blob_store_put(blobs, list, span_of(next, (size_t)count * sizeof(*next)), msg);
	if (rc == TK_OK)
		*states = next;
	else
		mem_free(next);
	return rc;
}
