/* See payload.h. O(parameters); nothing here is trusted before it is checked. */
#include "tasks/unit/payload.h"

#include "tasks/base/mem.h"

/* A tensor as compression sees it: its first dimension, and the rest in one. */
static struct compress_plane plane_of(const struct tensor *t)
{
	struct compress_plane p = {.offset = t->offset, .rows = 1, .cols = t->count};

	if (t->dimensions > 1) {
		p.rows = t->shape[0];
		p.cols = t->count / t->shape[0];
	}
	return p;
}

int payload_layout_init(struct payload_layout *l, const struct train_spec *t, const struct model *m,
	struct errmsg *msg)
{
	struct payload_layout got = {.state = state_layout(t, m->parameters)};

	got.planes = mem_calloc(m->tensor_count, sizeof(*got.planes));
	if (got.planes == NULL)
		return errmsg_set(
			msg, TK_ENOMEM, "not enough memory for %u tensors", m->tensor_count);
	for (uint32_t i = 0; i < m->tensor_count; i++)
		got.planes[i] = plane_of(&m->tensors[i]);
	got.update = (struct compress_layout){
		.count = m->parameters, .plane_count = m->tensor_count, .planes = got.planes};
	got.update_bytes = compress_bytes(t->compression, &got.update);
	got.bytes = got.update_bytes + state_bytes(&got.state);
	if (got.bytes > PAYLOAD_BYTES_MAX) {
		payload_layout_close(&got);
		return errmsg_set(msg, TK_ELIMIT,
			"a unit's result would have %zu bytes; %u are the limit: choose a smaller "
			"train.compression or train.inner_state: fresh",
			got.bytes, PAYLOAD_BYTES_MAX);
	}
	*l = got;
	return TK_OK;
}

void payload_layout_close(struct payload_layout *l)
{
	mem_free(l->planes);
	*l = (struct payload_layout){0};
}

struct span payload_update(const struct payload_layout *l, struct span payload)
{
	return span_of(payload.data, l->update_bytes);
}

struct span payload_moments(const struct payload_layout *l, struct span payload)
{
	return span_of(payload.data + l->update_bytes, 4 * l->state.moments);
}

struct span payload_feedback(const struct payload_layout *l, struct span payload)
{
	return span_of(
		payload.data + l->update_bytes + 4 * l->state.moments, 4 * l->state.feedback);
}

static int layout_of(struct payload_layout *l, const struct recipe *recipe, struct errmsg *msg)
{
	struct model model;
	int rc = model_init(&model, &recipe->model, &recipe->data, msg);

	if (rc != TK_OK)
		return rc;
	rc = payload_layout_init(l, &recipe->train, &model, msg);
	model_close(&model);
	return rc;
}

int payload_size(const struct recipe *recipe, size_t *bytes, struct errmsg *msg)
{
	struct payload_layout l = {0};
	int rc = layout_of(&l, recipe, msg);

	if (rc != TK_OK)
		return rc;
	*bytes = l.bytes;
	payload_layout_close(&l);
	return TK_OK;
}

static int check_finite(struct span floats, struct errmsg *msg)
{
	for (size_t i = 0; i < floats.len; i += 4) {
		if ((load_le32(floats.data + i) & 0x7f800000u) == 0x7f800000u)
			return errmsg_set(msg, TK_ECORRUPT,
				"number %zu of the payload's state is not finite", i / 4);
	}
	return TK_OK;
}

/* A result that claims to have nothing but a failing step. */
static int check_nonfinite(const struct recipe *recipe, const struct claim *claim,
	struct span payload, struct errmsg *msg)
{
	if (claim->failing_step > recipe->train.inner_steps)
		return errmsg_set(msg, TK_ECORRUPT, "step %u does not exist: a unit has %u",
			claim->failing_step, recipe->train.inner_steps);
	if (payload.len != 0)
		return errmsg_set(msg, TK_ECORRUPT, "a result without payload has one");
	return TK_OK;
}

static int check_payload(const struct recipe *recipe, const struct payload_layout *l,
	const struct claim *claim, struct span payload, struct errmsg *msg)
{
	struct digest digest;
	int rc;

	if (payload.len != claim->payload_bytes || payload.len != l->bytes)
		return errmsg_set(msg, TK_ECORRUPT, "the payload has %zu bytes; %zu are right",
			payload.len, l->bytes);
	digest_blob(&digest, payload.data, payload.len);
	if (!digest_equal(&digest, &claim->payload))
		return errmsg_set(msg, TK_ECORRUPT, "the payload differs from its claim");
	rc = compress_check(engine_best(), recipe->train.compression, &l->update,
		payload_update(l, payload), msg);
	if (rc == TK_OK)
		rc = check_finite(payload_moments(l, payload), msg);
	if (rc == TK_OK)
		rc = check_finite(payload_feedback(l, payload), msg);
	return rc;
}

int result_check(const struct recipe *recipe, const struct claim *claim, struct span payload,
	struct errmsg *msg)
{
	struct payload_layout l = {0};
	int rc;

	if (claim->outcome == OUTCOME_NONFINITE)
		return check_nonfinite(recipe, claim, payload, msg);
	rc = layout_of(&l, recipe, msg);
	if (rc != TK_OK)
		return rc;
	rc = check_payload(recipe, &l, claim, payload, msg);
	payload_layout_close(&l);
	return rc;
}
