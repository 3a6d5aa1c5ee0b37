/* Tokens to vectors, and the vector of each position.
 *
 * Backward, an embedding adds each token's gradient to its row of the table: samples ascending, within
 * a sample positions ascending. Threads share the columns, so every element keeps this order. */
#include <string.h>

#include "tasks/model/layer.h"

#define COLUMN_GRAIN 16u /* a cache line of floats: threads never share one */

/* in.width is the vocabulary: a token stands for a row that is 1 in its place. */
static int embedding_shape(struct placed_layer *p, struct errmsg *msg)
{
	if (p->spec->width == 0 || p->spec->width > WIDTH_MAX)
		return errmsg_set(msg, TK_EINVAL,
			"its vectors have %u numbers; 1 to %u are possible", p->spec->width,
			WIDTH_MAX);
	p->out = (struct shape){p->in.positions, p->spec->width, 0, 0, 0};
	return TK_OK;
}

static void embedding_tensors(
	const struct placed_layer *p, struct tensor *weight, struct tensor *bias, uint32_t *fan_in)
{
	(void)bias;
	*fan_in = 0; /* no bound: normal values */
	*weight = (struct tensor){.dimensions = 2, .shape = {p->in.width, p->out.width}};
}

struct gather {
	const uint32_t *tokens;
	const float *table;
	float *y;
	size_t width;
};

static void gather_part(void *context, size_t first, size_t count)
{
	const struct gather *g = context;

	for (size_t i = first; i < first + count; i++)
		memcpy(g->y + i * g->width, g->table + g->tokens[i] * g->width,
			g->width * sizeof(float));
}

static void embedding_forward(const struct pass *p, const float *x, float *y)
{
	const struct placed_layer *l = p->layer;
	struct gather g = {p->tokens, p->parameters + l->weight, y, l->out.width};

	(void)x;
	compute_each(p->compute, p->samples * l->out.positions, layer_row_grain(g.width),
		(double)g.width, gather_part, &g);
}

struct scatter {
	const uint32_t *tokens;
	size_t token_count;
	const float *dy;
	float *dtable;
	size_t width, vocabulary;
	bool accumulate;
};

/* Columns [first, first + count) of all rows. */
static void scatter_part(void *context, size_t first, size_t count)
{
	const struct scatter *s = context;

	for (size_t v = 0; v < s->vocabulary && !s->accumulate; v++)
		memset(s->dtable + v * s->width + first, 0, count * sizeof(float));
	for (size_t i = 0; i < s->token_count; i++) {
		float *row = s->dtable + s->tokens[i] * s->width + first;
		const float *add = s->dy + i * s->width + first;

		for (size_t c = 0; c < count; c++)
			row[c] += add[c];
	}
}

static void embedding_backward(const struct pass *p, const float *x, const float *y,
	const float *dy, float *dx, float *gradient, bool accumulate)
{
	const struct placed_layer *l = p->layer;
	struct scatter s = {
		.tokens = p->tokens,
		.token_count = p->samples * l->out.positions,
		.dy = dy,
		.dtable = gradient + l->weight,
		.width = l->out.width,
		.vocabulary = l->in.width,
		.accumulate = accumulate || l->adds_weight,
	};

	(void)x;
	(void)y;
	(void)dx;
	compute_each(p->compute, s.width, COLUMN_GRAIN, (double)(s.token_count + s.vocabulary),
		scatter_part, &s);
}

const struct layer_ops layer_embedding = {
	.name = "embedding",
	.shape = embedding_shape,
	.tensors = embedding_tensors,
	.forward = embedding_forward,
	.backward = embedding_backward,
};

static int position_shape(struct placed_layer *p, struct errmsg *msg)
{
	if (p->in.channels != 0 || p->in.positions < 2)
		return errmsg_set(msg, TK_EINVAL,
			"its input is one row: there are no positions to tell apart");
	p->out = p->in;
	return TK_OK;
}

static void position_tensors(
	const struct placed_layer *p, struct tensor *weight, struct tensor *bias, uint32_t *fan_in)
{
	(void)bias;
	*fan_in = 0;
	*weight = (struct tensor){.dimensions = 2, .shape = {p->in.positions, p->in.width}};
}

static size_t position_scratch(
	const struct placed_layer *p, const struct engine *engine, size_t samples, uint32_t slots)
{
	(void)engine;
	(void)samples;
	(void)slots;
	return (size_t)p->in.positions * p->in.width;
}

struct shift {
	const struct engine *engine;
	const float *x, *table;
	float *y;
	size_t size; /* of a sample */
};

static void shift_part(void *context, size_t first, size_t count)
{
	const struct shift *s = context;

	for (size_t i = first; i < first + count; i++) {
		float *y = s->y + i * s->size;

		if (s->x != s->y)
			memcpy(y, s->x + i * s->size, s->size * sizeof(float));
		s->engine->add(s->size, s->table, y);
	}
}

static void position_forward(const struct pass *p, const float *x, float *y)
{
	const struct placed_layer *l = p->layer;
	size_t size = (size_t)l->in.positions * l->in.width;
	struct shift s = {p->compute->engine, x, p->parameters + l->weight, y, size};

	compute_each(p->compute, p->samples, layer_row_grain(size), (double)size, shift_part, &s);
}

static void position_backward(const struct pass *p, const float *x, const float *y, const float *dy,
	float *dx, float *gradient, bool accumulate)
{
	const struct placed_layer *l = p->layer;

	(void)x;
	(void)y;
	(void)dx;
	layer_column_sums(p, p->samples, (size_t)l->in.positions * l->in.width, dy,
		gradient + l->weight, accumulate);
}

const struct layer_ops layer_position = {
	.name = "position",
	.in_place = true,
	.passes_gradient = true,
	.shape = position_shape,
	.tensors = position_tensors,
	.scratch_floats = position_scratch,
	.forward = position_forward,
	.backward = position_backward,
};
