/* See merge.h. O(parameters) per unit; NUMERICS.md, "Merge", is the specification. */
#include "tasks/unit/merge.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/unit/compress.h"
#include "tasks/unit/sampler.h"

#define EVALUATE_ROWS 256u

int merge_begin(struct merge *m, size_t parameters)
{
	*m = (struct merge){.sum = mem_floats(parameters), .count = parameters};
	return m->sum != NULL ? TK_OK : TK_ENOMEM;
}

int merge_add(struct merge *m, const struct recipe *recipe, const struct claim *claim,
	struct span payload, struct errmsg *msg)
{
	struct compress_layout layout = compress_flat(m->count);
	int rc;

	if (claim->outcome == OUTCOME_NONFINITE)
		return TK_OK;
	rc = compress_add(engine_best(), recipe->train.compression, &layout, payload, m->sum, msg);
	if (rc != TK_OK)
		return rc;
	m->merged++;
	m->loss += (double)claim->loss;
	return TK_OK;
}

static bool finite(float x)
{
	return x - x == 0;
}

int merge_finish(struct merge *m, const struct recipe *recipe, float *parameters,
	float *outer_state, float *loss, struct errmsg *msg)
{
	const struct train_spec *t = &recipe->train;
	float rate = t->outer_learning_rate;
	float momentum = t->outer_momentum;
	float divisor = (float)m->merged;

	if (m->merged == 0)
		return errmsg_set(msg, TK_EDIVERGED,
			"no unit of the round had finite numbers: the training diverged; try a "
			"lower "
			"train.learning_rate");
	for (size_t i = 0; i < m->count; i++) {
		float mean = m->sum[i] / divisor;
		float next;

		if (t->outer == OUTER_NESTEROV) {
			float velocity = momentum * outer_state[i] + mean;

			outer_state[i] = velocity;
			next = parameters[i] - rate * (mean + momentum * velocity);
		} else {
			next = parameters[i] - rate * mean;
		}
		if (!finite(next))
			return errmsg_set(msg, TK_EDIVERGED,
				"parameter %zu is no longer finite: the training diverged; try a "
				"lower "
				"learning rate",
				i);
		parameters[i] = next;
	}
	*loss = (float)(m->loss / (double)m->merged);
	return TK_OK;
}

void merge_close(struct merge *m)
{
	mem_free(m->sum);
	*m = (struct merge){0};
}

/* Sums losses in double and hits over all batches, in the order of positions. */
static int evaluate_all(const struct engine *engine, const struct model *model,
	const float *parameters, struct sampler *sampler, uint64_t samples, struct evaluation *out,
	struct errmsg *msg)
{
	struct model_work *work = model_work_new(model, EVALUATE_ROWS);
	float losses[EVALUATE_ROWS];
	uint8_t correct[EVALUATE_ROWS];
	double loss = 0;
	uint64_t hits = 0;
	int rc = TK_OK;

	if (work == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to evaluate");
	for (uint64_t at = 0; at < samples && rc == TK_OK; at += EVALUATE_ROWS) {
		size_t rows = samples - at < EVALUATE_ROWS ? (size_t)(samples - at) : EVALUATE_ROWS;
		struct batch batch;

		rc = sampler_batch(sampler, at, rows, &batch, msg);
		if (rc != TK_OK)
			break;
		model_evaluate(model, engine, work, parameters, &batch, losses, correct, NULL);
		for (size_t i = 0; i < rows; i++) {
			loss += (double)losses[i];
			hits += correct[i];
		}
	}
	model_work_free(work);
	if (rc == TK_OK) {
		out->samples = samples;
		out->loss = (float)(loss / (double)samples);
		out->accuracy = (float)((double)hits / (double)samples);
	}
	return rc;
}

int evaluate(const struct recipe *recipe, const struct engine *engine, const float *parameters,
	const struct shard_source *shards, struct evaluation *out, struct errmsg *msg)
{
	const struct dataset_part *part = &recipe->data.validation;
	struct sampler sampler;
	struct model model;
	uint64_t samples;
	int rc;

	if (part->samples == 0) {
		*out = (struct evaluation){0};
		return TK_OK;
	}
	rc = model_init(&model, &recipe->model, &recipe->data, msg);
	if (rc != TK_OK)
		return rc;
	rc = sampler_init(&sampler, &recipe->data, part, recipe->seed, shards, EVALUATE_ROWS);
	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory to evaluate");
	samples = part->samples < EVALUATE_MAX ? part->samples : EVALUATE_MAX;
	rc = evaluate_all(engine, &model, parameters, &sampler, samples, out, msg);
	sampler_close(&sampler);
	return rc;
}

int parameters_encode(struct bytes *out, const float *parameters, size_t count)
{
	int rc = bytes_reserve(out, count * 4);

	if (rc != TK_OK)
		return rc;
	for (size_t i = 0; i < count; i++) {
		uint32_t bits;

		memcpy(&bits, &parameters[i], sizeof(bits));
		if ((bits & 0x7fffffffu) > 0x7f800000u)
			bits = 0x7fc00000u;
		store_le32(out->data + out->len + 4 * i, bits);
	}
	out->len += count * 4;
	return TK_OK;
}

int parameters_decode(float *parameters, size_t count, struct span in, struct errmsg *msg)
{
	if (in.len != count * 4)
		return errmsg_set(msg, TK_ECORRUPT, "the parameters have %zu bytes; %zu are right",
			in.len, count * 4);
	for (size_t i = 0; i < count; i++) {
		uint32_t bits = load_le32(in.data + 4 * i);

		memcpy(&parameters[i], &bits, sizeof(bits));
	}
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
