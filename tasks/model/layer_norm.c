/* Norms that do not depend on the batch: over the width of a position (Ba, Kiros, Hinton 2016) and over
 * groups of an image's channels (Wu, He 2018).
 *
 * kept holds the means of all rows, then their reciprocal deviations. A group norm's rows are the groups
 * of a sample; its weight and bias belong to channels, so they are first spread over the pixels. */

#include "tasks/model/layer.h"

static int layer_norm_shape(struct placed_layer *p, struct errmsg *msg)
{
	if (p->in.channels != 0)
		return errmsg_set(msg, TK_EINVAL,
			"it norms rows, but its input is an image: use group_norm, or put a "
			"flatten before it");
	p->out = p->in;
	return TK_OK;
}

static void norm_tensors(
	const struct placed_layer *p, struct tensor *weight, struct tensor *bias, uint32_t *fan_in)
{
	uint32_t n = p->in.channels != 0 ? p->in.channels : p->in.width;

	*fan_in = n;
	*weight = (struct tensor){.dimensions = 1, .shape = {n}};
	if (p->spec->bias)
		*bias = (struct tensor){.dimensions = 1, .shape = {n}};
}

static size_t layer_norm_kept(const struct placed_layer *p)
{
	return 2 * (size_t)p->in.positions;
}

/* Gradients that are to be added. */
static size_t layer_norm_scratch(
	const struct placed_layer *p, const struct engine *engine, size_t samples, uint32_t slots)
{
	(void)engine;
	(void)samples;
	(void)slots;
	return 2 * (size_t)p->in.width;
}

struct norm {
	const struct engine *engine;
	size_t cols;
	const float *x, *weight, *bias, *dy;
	float *y, *dx, *mean, *rstd;
};

static struct norm norm_of(const struct pass *p, size_t rows)
{
	const struct placed_layer *l = p->layer;

	return (struct norm){
		.engine = p->compute->engine,
		.cols = l->in.width,
		.weight = p->parameters + l->weight,
		.bias = l->bias != NO_PARAMETERS ? p->parameters + l->bias : NULL,
		.mean = p->kept,
		.rstd = p->kept + rows,
	};
}

static void layer_norm_forward_part(void *context, size_t first, size_t count)
{
	const struct norm *n = context;
	size_t at = first * n->cols;

	n->engine->layer_norm(count, n->cols, n->x + at, n->weight, n->bias, n->y + at,
		n->mean + first, n->rstd + first);
}

static void layer_norm_forward(const struct pass *p, const float *x, float *y)
{
	size_t rows = p->samples * p->layer->in.positions;
	struct norm n = norm_of(p, rows);

	n.x = x;
	n.y = y;
	compute_each(p->compute, rows, layer_row_grain(n.cols), 8 * (double)n.cols,
		layer_norm_forward_part, &n);
}

static void layer_norm_backward_part(void *context, size_t first, size_t count)
{
	const struct norm *n = context;
	size_t at = first * n->cols;

	n->engine->layer_norm_backward(count, n->cols, n->x + at, n->weight, n->mean + first,
		n->rstd + first, n->dy + at, n->dx + at);
}

static void layer_norm_backward(const struct pass *p, const float *x, const float *y,
	const float *dy, float *dx, float *gradient, bool accumulate)
{
	const struct placed_layer *l = p->layer;
	size_t rows = p->samples * l->in.positions, cols = l->in.width;
	struct norm n = norm_of(p, rows);
	float *dweight = accumulate ? p->scratch : gradient + l->weight;
	float *dbias = NULL;

	(void)y;
	if (n.bias != NULL)
		dbias = accumulate ? p->scratch + cols : gradient + l->bias;
	n.engine->layer_norm_gradient(rows, cols, x, n.mean, n.rstd, dy, dweight, dbias);
	if (accumulate)
		n.engine->add(cols, dweight, gradient + l->weight);
	if (accumulate && dbias != NULL)
		n.engine->add(cols, dbias, gradient + l->bias);
	if (dx == NULL)
		return;
	n.x = x;
	n.dy = dy;
	n.dx = dx;
	compute_each(p->compute, rows, layer_row_grain(cols), 12 * (double)cols,
		layer_norm_backward_part, &n);
}

const struct layer_ops layer_layer_norm = {
	.name = "layer_norm",
	.backward_reads = READS_INPUT,
	.shape = layer_norm_shape,
	.tensors = norm_tensors,
	.kept_floats = layer_norm_kept,
	.scratch_floats = layer_norm_scratch,
	.forward = layer_norm_forward,
	.backward = layer_norm_backward,
};

static int group_norm_shape(struct placed_layer *p, struct errmsg *msg)
{
	if (p->in.channels == 0)
		return errmsg_set(msg, TK_EINVAL,
			"it norms the channels of images, but its input is a row of %u numbers",
			p->in.width);
	if (p->spec->heads == 0 || p->in.channels % p->spec->heads != 0)
		return errmsg_set(msg, TK_EINVAL,
			"%u channels cannot be divided into %u equal groups", p->in.channels,
			p->spec->heads);
	p->out = p->in;
	return TK_OK;
}

static size_t group_norm_kept(const struct placed_layer *p)
{
	return 2 * (size_t)p->spec->heads;
}

/* scratch: weight and bias spread over the pixels (width each), sums of dy·h and of dy for each sample and
 * channel, sums over samples to be added (channels), products of a sample (width for each slot). */
static size_t group_norm_scratch(
	const struct placed_layer *p, const struct engine *engine, size_t samples, uint32_t slots)
{
	(void)engine;
	return (2 + slots) * (size_t)p->in.width + (2 * samples + 1) * p->in.channels;
}

static size_t pixels(const struct placed_layer *l)
{
	return (size_t)l->in.height * l->in.columns;
}

/* Gives (width): each channel's value for all of its pixels. */
static void spread(const struct placed_layer *l, const float *values, float *out)
{
	size_t n = pixels(l);

	for (size_t i = 0; i < l->in.width; i++)
		out[i] = values[i / n];
}

struct group_norm {
	struct norm norm;
	size_t groups, width, channels, pixels;
	float *sums[2];
};

static struct group_norm group_norm_of(const struct pass *p)
{
	const struct placed_layer *l = p->layer;
	size_t groups = l->spec->heads, width = l->in.width;
	struct group_norm g = {
		.norm = norm_of(p, p->samples * groups),
		.groups = groups,
		.width = width,
		.channels = l->in.channels,
		.pixels = pixels(l),
	};

	g.norm.cols = width / groups;
	spread(l, g.norm.weight, p->scratch);
	g.norm.weight = p->scratch;
	if (g.norm.bias != NULL) {
		spread(l, g.norm.bias, p->scratch + width);
		g.norm.bias = p->scratch + width;
	}
	g.sums[0] = p->scratch + 2 * width;
	g.sums[1] = g.sums[0] + p->samples * g.channels;
	return g;
}

/* One group of one sample at a time: each group has its own channels. */
static void group_norm_forward_part(void *context, size_t first, size_t count)
{
	const struct group_norm *g = context;
	const struct norm *n = &g->norm;

	for (size_t row = first; row < first + count; row++) {
		size_t at = row * n->cols, group = row % g->groups * n->cols;

		n->engine->layer_norm(1, n->cols, n->x + at, n->weight + group,
			n->bias != NULL ? n->bias + group : NULL, n->y + at, n->mean + row,
			n->rstd + row);
	}
}

static void group_norm_forward(const struct pass *p, const float *x, float *y)
{
	struct group_norm g = group_norm_of(p);

	g.norm.x = x;
	g.norm.y = y;
	compute_each(p->compute, p->samples * g.groups, 1, 8 * (double)g.norm.cols,
		group_norm_forward_part, &g);
}

static void group_norm_backward_part(void *context, size_t first, size_t count)
{
	const struct group_norm *g = context;
	const struct norm *n = &g->norm;

	for (size_t row = first; row < first + count; row++) {
		size_t at = row * n->cols, group = row % g->groups * n->cols;

		n->engine->layer_norm_backward(1, n->cols, n->x + at, n->weight + group,
			n->mean + row, n->rstd + row, n->dy + at, n->dx + at);
	}
}

/* The sums of dy·h and of dy over each channel of samples [first, first + count). */
static void group_norm_sums_part(void *context, size_t first, size_t count, float *products)
{
	const struct group_norm *g = context;
	const struct norm *n = &g->norm;

	for (size_t s = first; s < first + count; s++) {
		const float *dy = n->dy + s * g->width;

		for (size_t i = 0; i < g->groups; i++) {
			size_t at = i * n->cols, row = s * g->groups + i;

			n->engine->layer_norm_gradient(1, n->cols, n->x + s * g->width + at,
				n->mean + row, n->rstd + row, dy + at, products + at, NULL);
		}
		for (size_t c = 0; c < g->channels; c++) {
			size_t at = c * g->pixels;

			g->sums[0][s * g->channels + c] = n->engine->sum(g->pixels, products + at);
			g->sums[1][s * g->channels + c] = n->engine->sum(g->pixels, dy + at);
		}
	}
}

static void group_norm_backward(const struct pass *p, const float *x, const float *y,
	const float *dy, float *dx, float *gradient, bool accumulate)
{
	const struct placed_layer *l = p->layer;
	struct group_norm g = group_norm_of(p);
	float *whole = g.sums[1] + p->samples * g.channels;
	const size_t offsets[2] = {l->weight, l->bias};

	(void)y;
	g.norm.x = x;
	g.norm.dy = dy;
	g.norm.dx = dx;
	layer_slots(p, p->samples, 4 * (double)g.width, whole + g.channels, g.width,
		group_norm_sums_part, &g);
	for (int i = 0; i < 2 && offsets[i] != NO_PARAMETERS; i++) {
		compute_column_sums(p->compute, p->samples, g.channels, g.sums[i], g.channels,
			accumulate ? whole : gradient + offsets[i]);
		if (accumulate)
			g.norm.engine->add(g.channels, whole, gradient + offsets[i]);
	}
	if (dx != NULL)
		compute_each(p->compute, p->samples * g.groups, 1, 12 * (double)g.norm.cols,
			group_norm_backward_part, &g);
}

const struct layer_ops layer_group_norm = {
	.name = "group_norm",
	.backward_reads = READS_INPUT,
	.shape = group_norm_shape,
	.tensors = norm_tensors,
	.kept_floats = group_norm_kept,
	.scratch_floats = group_norm_scratch,
	.forward = group_norm_forward,
	.backward = group_norm_backward,
};
