/* See evaluate.h. Memory: one batch of at most EVALUATE_ROWS samples. */
#include "tasks/unit/evaluate.h"

#include <math.h>

#include "tasks/base/mem.h"
#include "tasks/unit/sampler.h"

/* Samples that an evaluation takes at once, and the numbers of their layers: no effect on bits. */
#define EVALUATE_ROWS	     256u
#define EVALUATE_ACTIVATIONS (1u << 23)

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
	if (r->model->data->label == LABEL_NUMBER)
		out->accuracy = NAN;
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
