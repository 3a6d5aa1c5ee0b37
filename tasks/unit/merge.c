/* See merge.h. O(parameters) per unit; NUMERICS.md, "Merge", is the specification. */
#include "tasks/unit/merge.h"

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/unit/floats.h"
#include "tasks/unit/rate.h"

int merge_begin(
	struct merge *m, const struct recipe *recipe, const struct compute *c, struct errmsg *msg)
{
	struct merge got = {.recipe = recipe, .compute = c, .tile_bytes = MERGE_TILE_BYTES};
	struct model model;
	int rc = model_init(&model, &recipe->model, &recipe->data, msg);

	if (rc != TK_OK)
		return rc;
	got.count = model.parameters;
	rc = payload_layout_init(&got.layout, &recipe->train, &model, msg);
	model_close(&model);
	if (rc != TK_OK)
		return rc;
	got.sum = mem_floats(got.count);
	got.moments = mem_floats(got.layout.state.moments);
	if (merge_rereads(recipe))
		got.units = mem_calloc(recipe->train.units_per_round, sizeof(*got.units));
	if (got.sum == NULL || got.moments == NULL ||
		(merge_rereads(recipe) && got.units == NULL)) {
		merge_close(&got);
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to merge");
	}
	*m = got;
	return TK_OK;
}

void merge_close(struct merge *m)
{
	payload_layout_close(&m->layout);
	mem_free(m->sum);
	mem_free(m->moments);
	mem_free(m->units);
	*m = (struct merge){0};
}

bool merge_rereads(const struct recipe *recipe)
{
	return recipe->train.merge != MERGE_MEAN;
}

/* The moments that a payload carries, into the sum. */
static int add_moments(struct merge *m, struct span in, struct errmsg *msg)
{
	for (size_t i = 0; i < m->layout.state.moments; i++) {
		float x;

		floats_load(&x, in.data + 4 * i, 1);
		if (!floats_finite(&x, 1))
			return errmsg_set(msg, TK_ECORRUPT,
				"number %zu of the payload's state is not finite", i);
		m->moments[i] = m->moments[i] + x;
	}
	return TK_OK;
}

/* What is read again later is checked as it comes, so that the error names the unit that sent it. */
static int take_update(struct merge *m, struct span payload, struct errmsg *msg)
{
	enum compression c = m->recipe->train.compression;
	struct span update = payload_update(&m->layout, payload);
	int rc;

	if (merge_rereads(m->recipe))
		return compress_check(m->compute->engine, c, &m->layout.update, update, msg);
	rc = compress_add(m->compute->engine, c, &m->layout.update, update, m->sum, msg);
	if (rc == TK_OK)
		rc = add_moments(m, payload_moments(&m->layout, payload), msg);
	return rc;
}

int merge_add(struct merge *m, const struct claim *claim, struct span payload, struct errmsg *msg)
{
	uint32_t unit = m->added++;
	int rc;

	REQUIRE(unit < m->recipe->train.units_per_round);
	if (claim->outcome == OUTCOME_NONFINITE)
		return TK_OK;
	if (payload.len != m->layout.bytes)
		return errmsg_set(msg, TK_ECORRUPT, "the payload has %zu bytes; %zu are right",
			payload.len, m->layout.bytes);
	rc = take_update(m, payload, msg);
	if (rc != TK_OK)
		return rc;
	if (m->units != NULL)
		m->units[m->merged] = unit;
	m->merged++;
	m->loss += (double)claim->loss;
	return TK_OK;
}

size_t outer_state_floats(const struct train_spec *t, size_t parameters)
{
	switch (t->outer) {
	case OUTER_NESTEROV:
		return parameters;
	case OUTER_ADAMW:
		return 2 * parameters;
	default:
		return 0;
	}
}

/* Sums become means. */
static void take_means(struct merge *m)
{
	float divisor = (float)m->merged;

	for (size_t i = 0; i < m->count; i++)
		m->sum[i] = m->sum[i] / divisor;
	for (size_t i = 0; i < m->layout.state.moments; i++)
		m->moments[i] = m->moments[i] / divisor;
}

static void outer_sgd(const struct merge *m, float rate, float scale, float *parameters)
{
	for (size_t i = 0; i < m->count; i++)
		parameters[i] = parameters[i] - rate * (m->sum[i] * scale);
}

static void outer_nesterov(
	const struct merge *m, float rate, float scale, float *parameters, float *velocity)
{
	float momentum = m->recipe->train.outer_momentum;

	for (size_t i = 0; i < m->count; i++) {
		float mean = m->sum[i] * scale;

		velocity[i] = momentum * velocity[i] + mean;
		parameters[i] = parameters[i] - rate * (mean + momentum * velocity[i]);
	}
}

static void outer_adamw(const struct merge *m, uint32_t round, float rate, float scale,
	float *parameters, float *state)
{
	const struct train_spec *t = &m->recipe->train;
	struct adamw_step s = {
		.learning_rate = rate,
		.beta1 = t->outer_beta1,
		.beta2 = t->outer_beta2,
		.epsilon = t->outer_epsilon,
		.weight_decay = t->outer_weight_decay,
		.bias1 = bias_correction(t->outer_beta1, round + 1ull),
		.bias2 = bias_correction(t->outer_beta2, round + 1ull),
		.gradient_scale = scale,
	};

	compute_adamw(m->compute, m->count, &s, m->sum, state, state + m->count, parameters);
}

int merge_finish(struct merge *m, uint32_t round, float *parameters, float *outer_state,
	float *loss, struct errmsg *msg)
{
	const struct train_spec *t = &m->recipe->train;
	float rate = rate_outer(t, round);
	float scale = 1;

	if (m->merged == 0)
		return errmsg_set(msg, TK_EDIVERGED,
			"no unit of the round had finite numbers: the training diverged; try a "
			"lower train.learning_rate");
	REQUIRE(m->gathered || !merge_rereads(m->recipe));
	if (!merge_rereads(m->recipe))
		take_means(m);
	if (t->mode == MODE_GRADIENT)
		scale = clip_factor(m->compute, t->clip, m->sum, m->count);
	if (t->outer == OUTER_ADAMW)
		outer_adamw(m, round, rate, scale, parameters, outer_state);
	else if (t->outer == OUTER_NESTEROV)
		outer_nesterov(m, rate, scale, parameters, outer_state);
	else
		outer_sgd(m, rate, scale, parameters);
	for (size_t i = 0; i < m->count; i++) {
		if (!floats_finite(&parameters[i], 1))
			return errmsg_set(msg, TK_EDIVERGED,
				"parameter %zu is no longer finite: the training diverged; try a "
				"lower learning rate",
				i);
	}
	*loss = (float)(m->loss / (double)m->merged);
	return TK_OK;
}

int parameters_encode(struct bytes *out, const float *parameters, size_t count)
{
	int rc = bytes_reserve(out, count * 4);

	if (rc != TK_OK)
		return rc;
	floats_store(out->data + out->len, parameters, count);
	out->len += count * 4;
	return TK_OK;
}

int parameters_decode(float *parameters, size_t count, struct span in, struct errmsg *msg)
{
	if (in.len != count * 4)
		return errmsg_set(msg, TK_ECORRUPT, "the parameters have %zu bytes; %zu are right",
			in.len, count * 4);
	floats_load(parameters, in.data, count);
	return TK_OK;
}

int model_digest(struct digest *out, const float *parameters, size_t count)
{
	struct bytes encoded = {0};
	int rc = parameters_encode(&encoded, parameters, count);

	if (rc == TK_OK)
		digest_bytes(out, encoded.data, encoded.len);
	bytes_close(&encoded);
	return rc;
}
