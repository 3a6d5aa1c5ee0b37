/* See state.h. */
#include "tasks/unit/state.h"

#include <string.h>

#include "tasks/base/require.h"
#include "tasks/unit/floats.h"

uint32_t moment_arrays(const struct train_spec *t)
{
	if (t->mode == MODE_GRADIENT)
		return 0;
	if (t->optimizer == OPTIMIZER_ADAMW)
		return 2;
	return t->momentum != 0;
}

struct state_layout state_layout(const struct train_spec *t, size_t parameters)
{
	return (struct state_layout){
		.moments = t->inner_state == INNER_AVERAGE ? moment_arrays(t) * parameters : 0,
		.feedback = t->compression == COMPRESSION_SPARSELOCO ? parameters : 0,
	};
}

size_t state_bytes(const struct state_layout *l)
{
	return 4 * (l->moments + l->feedback);
}

/* Four zero bytes are +0. */
static int make_whole(struct bytes *state, const struct state_layout *l)
{
	size_t n = state_bytes(l);
	int rc = TK_OK;

	REQUIRE(state->len == 0 || state->len == n);
	if (state->len == 0)
		rc = bytes_reserve(state, n);
	if (rc == TK_OK && state->len == 0) {
		memset(state->data, 0, n);
		state->len = n;
	}
	return rc;
}

int state_set_moments(struct bytes *state, const struct state_layout *l, const float *moments)
{
	int rc = make_whole(state, l);

	if (rc == TK_OK)
		floats_store(state->data, moments, l->moments);
	return rc;
}

int state_set_feedback(struct bytes *state, const struct state_layout *l, struct span feedback)
{
	int rc = make_whole(state, l);

	REQUIRE(feedback.len == 4 * l->feedback);
	if (rc == TK_OK)
		memcpy(state->data + 4 * l->moments, feedback.data, feedback.len);
	return rc;
}
