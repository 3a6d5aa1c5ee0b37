/* Forward and backward passes of model.h's models, batch by batch.
 *
 * Order is part of the specification (NUMERICS.md, "Training step"): each layer is one product, then
 * the bias, then the activation; embeddings gather and scatter rows in ascending order. */
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/model/model.h"

struct model_work {
	size_t rows_max;
	float *embedded;		       /* (rows, inputs), text only */
	float *outputs[HIDDEN_LAYERS_MAX + 1]; /* (rows, outputs of layer l) */
	float *upstream[2];		       /* (rows, widest layer): gradients, in turn */
	float *losses;			       /* (rows) */
	uint8_t *correct;		       /* (rows) */
};

static size_t widest(const struct model *m)
{
	size_t width = m->inputs;

	for (uint32_t l = 0; l < m->linear_count; l++) {
		if (m->linears[l].outputs > width)
			width = m->linears[l].outputs;
	}
	return width;
}

size_t model_work_bytes(const struct model *m, size_t rows_max)
{
	size_t floats = 2 * widest(m) + 2;

	if (m->vocabulary != 0)
		floats += m->inputs;
	for (uint32_t l = 0; l < m->linear_count; l++)
		floats += m->linears[l].outputs;
	return floats * rows_max * sizeof(float);
}

struct model_work *model_work_new(const struct model *m, size_t rows_max)
{
	struct model_work *w = mem_calloc(1, sizeof(*w));
	bool whole;

	if (w == NULL)
		return NULL;
	w->rows_max = rows_max;
	w->losses = mem_floats(rows_max);
	w->correct = mem_calloc(rows_max, 1);
	w->upstream[0] = mem_floats(rows_max * widest(m));
	w->upstream[1] = mem_floats(rows_max * widest(m));
	whole = w->losses != NULL && w->correct != NULL && w->upstream[0] != NULL &&
		w->upstream[1] != NULL;
	if (m->vocabulary != 0) {
		w->embedded = mem_floats(rows_max * m->inputs);
		whole = whole && w->embedded != NULL;
	}
	for (uint32_t l = 0; l < m->linear_count; l++) {
		w->outputs[l] = mem_floats(rows_max * m->linears[l].outputs);
		whole = whole && w->outputs[l] != NULL;
	}
	if (whole)
		return w;
	model_work_free(w);
	return NULL;
}

void model_work_free(struct model_work *w)
{
	if (w == NULL)
		return;
	mem_free(w->losses);
	mem_free(w->correct);
	mem_free(w->upstream[0]);
	mem_free(w->upstream[1]);
	mem_free(w->embedded);
	for (size_t l = 0; l <= HIDDEN_LAYERS_MAX; l++)
		mem_free(w->outputs[l]);
	mem_free(w);
}

/* x (rows, context·embedding): each token's vector, side by side. table is (vocabulary, embedding). */
static void embedding_forward(
	const struct model *m, const float *table, const struct batch *batch, float *x)
{
	size_t width = m->embedding;

	for (size_t i = 0; i < batch->rows * m->context; i++)
		memcpy(x + i * width, table + batch->tokens[i] * width, width * sizeof(float));
}

/* Adds each token's gradient to its row of dtable, tokens in the order of rows, then positions. */
static void embedding_backward(
	const struct model *m, const struct batch *batch, const float *dx, float *dtable)
{
	size_t width = m->embedding;

	memset(dtable, 0, (size_t)m->vocabulary * width * sizeof(float));
	for (size_t i = 0; i < batch->rows * m->context; i++) {
		float *row = dtable + batch->tokens[i] * width;

		for (size_t c = 0; c < width; c++)
			row[c] += dx[i * width + c];
	}
}

/* All layers; returns the input of the first one. The logits are in outputs[last]. */
static const float *forward(const struct model *m, const struct engine *e, struct model_work *w,
	const float *parameters, const struct batch *batch)
{
	const float *first = batch->features;
	const float *x;

	REQUIRE(batch->rows > 0 && batch->rows <= w->rows_max);
	if (m->vocabulary != 0) {
		embedding_forward(m, parameters, batch, w->embedded);
		first = w->embedded;
	}
	x = first;
	for (uint32_t l = 0; l < m->linear_count; l++) {
		const struct linear *a = &m->linears[l];
		float *y = w->outputs[l];

		e->gemm(false, true, batch->rows, a->outputs, a->inputs, x, a->inputs,
			parameters + a->weight, a->inputs, y, a->outputs, false);
		e->add_bias(batch->rows, a->outputs, parameters + a->bias, y, a->outputs);
		if (l + 1 < m->linear_count) {
			if (m->activation == ACTIVATION_TANH)
				e->tanh(batch->rows * a->outputs, y, y);
			else
				e->relu(batch->rows * a->outputs, y, y);
		}
		x = y;
	}
	return first;
}

/* Gradients of linear layer l from dy (rows, outputs); x (rows, inputs) went in. */
static void linear_backward(const struct linear *a, const struct engine *e, size_t rows,
	const float *x, const float *dy, float *gradient)
{
	e->gemm(true, false, a->outputs, a->inputs, rows, dy, a->outputs, x, a->inputs,
		gradient + a->weight, a->inputs, false);
	e->column_sums(rows, a->outputs, dy, a->outputs, gradient + a->bias);
}

float model_gradient(const struct model *m, const struct engine *e, struct model_work *w,
	const float *parameters, const struct batch *batch, float *gradient)
{
	const float *first = forward(m, e, w, parameters, batch);
	uint32_t last = m->linear_count - 1;
	float *dy = w->upstream[0];
	size_t rows = batch->rows;

	e->softmax_cross_entropy(
		rows, rows, m->classes, w->outputs[last], batch->labels, w->losses, w->correct, dy);
	for (uint32_t l = last;; l--) {
		const struct linear *a = &m->linears[l];
		float *dx = dy == w->upstream[0] ? w->upstream[1] : w->upstream[0];

		linear_backward(a, e, rows, l > 0 ? w->outputs[l - 1] : first, dy, gradient);
		if (l == 0 && m->vocabulary == 0)
			break;
		e->gemm(false, false, rows, a->inputs, a->outputs, dy, a->outputs,
			parameters + a->weight, a->inputs, dx, a->inputs, false);
		if (l == 0) {
			embedding_backward(m, batch, dx, gradient);
			break;
		}
		if (m->activation == ACTIVATION_TANH)
			e->tanh_backward(rows * a->inputs, w->outputs[l - 1], dx, dx);
		else
			e->relu_backward(rows * a->inputs, w->outputs[l - 1], dx, dx);
		dy = dx;
	}
	return e->sum(rows, w->losses) / (float)rows;
}

void model_evaluate(const struct model *m, const struct engine *e, struct model_work *w,
	const float *parameters, const struct batch *batch, float *losses, uint8_t *correct,
	float *logits_out)
{
	const float *logits = w->outputs[m->linear_count - 1];

	forward(m, e, w, parameters, batch);
	e->softmax_cross_entropy(
		batch->rows, batch->rows, m->classes, logits, batch->labels, losses, correct, NULL);
	if (logits_out != NULL)
		memcpy(logits_out, logits, batch->rows * m->classes * sizeof(float));
}
