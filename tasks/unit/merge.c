/* See merge.h. O(parameters) per unit; NUMERICS.md, "Merge", is the specification. */
#include "tasks/unit/merge.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/unit/compress.h"
#include "tasks/unit/sampler.h"

/* Samples that an evaluation takes at once, and the numbers of their layers: no effect on bits. */
#define EVALUATE_ROWS	     256u
#define EVALUATE_ACTIVATIONS (1u << 23)

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

/* What an evaluation reads: `windows` of stride `step` in ascending order, or samples in their order. */
struct reading {
	const struct model *model;
	const struct compute *compute;
	const float *parameters;
	struct sampler sampler;
	struct model_work *work;
	float *losses;	  /* (rows, labels) */
	uint8_t *correct; /* (rows, labels) */
	uint64_t samples;
	size_t rows; /* at once */
	uint64_t step;
};

static size_t smaller(uint64_t a, size_t b)
{
	return a < b ? (size_t)a : b;
}

/* Sums losses in double and hits over all batches. */
static int read_all(struct reading *r, struct evaluation *out, struct errmsg *msg)
{
	double loss = 0;
	uint64_t hits = 0;

	for (uint64_t at = 0; at < r->samples; at += r->rows) {
		size_t rows = smaller(r->samples - at, r->rows);
		struct batch batch;
		int rc;

		if (r->step != 0)
			rc = sampler_ascending(
				&r->sampler, at * r->step, r->step, rows, &batch, msg);
		else
			rc = sampler_batch(&r->sampler, at, rows, &batch, msg);
		if (rc != TK_OK)
			return rc;
		model_evaluate(r->model, r->compute, r->work, r->parameters, &batch, r->losses,
			r->correct, NULL);
		if (compute_stopped(r->compute))
			return errmsg_set(msg, TK_ECANCELED, "stopped on request");
		for (size_t i = 0; i < rows * r->model->labels; i++) {
			loss += (double)r->losses[i];
			hits += r->correct[i];
		}
	}
	out->samples = r->samples * r->model->labels;
	out->loss = (float)(loss / (double)out->samples);
	out->accuracy = (float)((double)hits / (double)out->samples);
	return TK_OK;
}

/* How much is read of the part, and in which pieces. */
static void reading_plan(struct reading *r, const struct dataset_part *part)
{
	uint32_t labels = r->model->labels;

	r->rows = EVALUATE_ACTIVATIONS / r->model->activations;
	r->rows = r->rows < 1 ? 1 : smaller(r->rows, EVALUATE_ROWS);
	r->samples = part->samples < EVALUATE_MAX ? part->samples : EVALUATE_MAX;
	if (labels == 1)
		return;
	r->step = labels;
	r->samples = (part->samples - 1) / labels + 1;
	if (r->samples > EVALUATE_TOKENS / labels)
		r->samples = EVALUATE_TOKENS / labels;
}

int evaluate(const struct recipe *recipe, const struct compute *c, const float *parameters,
	const struct shard_source *shards, struct evaluation *out, struct errmsg *msg)
{
	const struct dataset_part *part = &recipe->data.validation;
	struct reading r = {.compute = c, .parameters = parameters};
	struct model model;
	int rc;

	if (part->samples == 0) {
		*out = (struct evaluation){0};
		return TK_OK;
	}
	rc = model_init(&model, &recipe->model, &recipe->data, msg);
	if (rc != TK_OK)
		return rc;
	r.model = &model;
	reading_plan(&r, part);
	rc = sampler_init(&r.sampler, &model, part, recipe->seed, shards, r.rows);
	r.work = model_work_new(&model, c, r.rows, false);
	r.losses = mem_floats(r.rows * model.labels);
	r.correct = mem_calloc(r.rows, model.labels);
	if (rc != TK_OK || r.work == NULL || r.losses == NULL || r.correct == NULL)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to evaluate");
	else
		rc = read_all(&r, out, msg);
	mem_free(r.correct);
	mem_free(r.losses);
	model_work_free(r.work);
	sampler_close(&r.sampler);
	model_close(&model);
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
