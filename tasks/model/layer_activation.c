/* Layers that work on each number by itself: activations and dropout; and those that only shape, keep or
 * add what passes: flatten, branch, join. */
#include <string.h>

#include "tasks/math/philox.h"
#include "tasks/model/layer.h"

#define GRAIN 4096u

static int same_shape(struct placed_layer *p, struct errmsg *msg)
{
	(void)msg;
	p->out = p->in;
	return TK_OK;
}

static size_t elements(const struct pass *p)
{
	return p->samples * p->layer->in.positions * p->layer->in.width;
}

typedef void forward_function(size_t n, const float *x, float *y);
typedef void backward_function(size_t n, const float *kept, const float *dy, float *dx);

struct forward_part {
	forward_function *f;
	const float *x;
	float *y;
};

static void forward_part(void *context, size_t first, size_t count)
{
	const struct forward_part *a = context;

	a->f(count, a->x + first, a->y + first);
}

static void activate(
	const struct pass *p, forward_function *f, double cost, const float *x, float *y)
{
	struct forward_part part = {f, x, y};

	compute_each(p->compute, elements(p), GRAIN, cost, forward_part, &part);
}

struct backward_part {
	backward_function *f;
	const float *kept, *dy;
	float *dx;
};

static void backward_part(void *context, size_t first, size_t count)
{
	const struct backward_part *a = context;

	a->f(count, a->kept + first, a->dy + first, a->dx + first);
}

static void derive(const struct pass *p, backward_function *f, double cost, const float *kept,
	const float *dy, float *dx)
{
	struct backward_part part = {f, kept, dy, dx};

	compute_each(p->compute, elements(p), GRAIN, cost, backward_part, &part);
}

/* The layer around the engine's operations of that name; `kept` is what its derivative is taken from. */
#define ACTIVATION(function, reads, kept, cost)                                                    \
	static void function##_forward(const struct pass *p, const float *x, float *y)             \
	{                                                                                          \
		activate(p, p->compute->engine->function, cost, x, y);                             \
	}                                                                                          \
	static void function##_backward(const struct pass *p, const float *x, const float *y,      \
		const float *dy, float *dx, float *gradient, bool accumulate)                      \
	{                                                                                          \
		(void)x;                                                                           \
		(void)y;                                                                           \
		(void)gradient;                                                                    \
		(void)accumulate;                                                                  \
		derive(p, p->compute->engine->function##_backward, cost, kept, dy, dx);            \
	}                                                                                          \
	const struct layer_ops layer_##function = {                                                \
		.name = #function,                                                                 \
		.backward_reads = reads,                                                           \
		.in_place = true,                                                                  \
		.shape = same_shape,                                                               \
		.forward = function##_forward,                                                     \
		.backward = function##_backward,                                                   \
	}

ACTIVATION(relu, READS_OUTPUT, y, 1);
ACTIVATION(tanh, READS_OUTPUT, y, 16);
ACTIVATION(sigmoid, READS_OUTPUT, y, 16);
ACTIVATION(gelu, READS_INPUT, x, 32);
ACTIVATION(silu, READS_INPUT, x, 16);

struct dropout_part {
	const struct engine *engine;
	float rate;
	uint64_t key, first;
	uint32_t lane;
	const float *x;
	float *y;
};

static void dropout_part(void *context, size_t first, size_t count)
{
	const struct dropout_part *d = context;

	d->engine->dropout(count, d->rate, d->key, STREAM_DROPOUT, d->lane, d->first + first,
		d->x + first, d->y + first);
}

/* A key of its own for each step; then the lane tells layers apart, the counter elements. */
static uint64_t dropout_key(const struct pass *p)
{
	uint32_t words[4];

	philox(words, p->seed, STREAM_DROPOUT, UINT32_MAX, p->step);
	return (uint64_t)words[1] << 32 | words[0];
}

static void drop(const struct pass *p, const float *x, float *y)
{
	const struct placed_layer *l = p->layer;
	struct dropout_part part = {
		.engine = p->compute->engine,
		.rate = l->spec->rate,
		.key = dropout_key(p),
		.first = p->first_row * l->in.positions * l->in.width,
		.lane = l->dropout_lane,
		.x = x,
		.y = y,
	};

	compute_each(p->compute, elements(p), GRAIN, 32, dropout_part, &part);
}

static void dropout_forward(const struct pass *p, const float *x, float *y)
{
	if (p->training)
		drop(p, x, y);
	else if (x != y)
		memcpy(y, x, elements(p) * sizeof(float));
}

static void dropout_backward(const struct pass *p, const float *x, const float *y, const float *dy,
	float *dx, float *gradient, bool accumulate)
{
	(void)x;
	(void)y;
	(void)gradient;
	(void)accumulate;
	drop(p, dy, dx);
}

static int dropout_shape(struct placed_layer *p, struct errmsg *msg)
{
	if (!(p->spec->rate > 0 && p->spec->rate < 1))
		return errmsg_set(msg, TK_EINVAL, "its rate %g is not between 0 and 1",
			(double)p->spec->rate);
	return same_shape(p, msg);
}

const struct layer_ops layer_dropout = {
	.name = "dropout",
	.in_place = true,
	.shape = dropout_shape,
	.forward = dropout_forward,
	.backward = dropout_backward,
};

static int flatten_shape(struct placed_layer *p, struct errmsg *msg)
{
	uint64_t width = (uint64_t)p->in.positions * p->in.width;

	if (width > ACTIVATIONS_MAX)
		return errmsg_set(msg, TK_ELIMIT, "a row of %llu numbers is too wide",
			(unsigned long long)width);
	p->out = (struct shape){1, (uint32_t)width, 0, 0, 0};
	return TK_OK;
}

const struct layer_ops layer_flatten = {
	.name = "flatten",
	.passes_value = true,
	.passes_gradient = true,
	.shape = flatten_shape,
};

/* The graph keeps what a branch remembers, and adds its two gradients (gradient.c). */
const struct layer_ops layer_branch = {
	.name = "residual",
	.passes_value = true,
	.shape = same_shape,
};

struct join_part {
	const struct engine *engine;
	const float *remembered;
	float *y;
};

static void join_part(void *context, size_t first, size_t count)
{
	const struct join_part *j = context;

	j->engine->add(count, j->remembered + first, j->y + first);
}

static void join_forward(const struct pass *p, const float *x, float *y)
{
	struct join_part part = {p->compute->engine, p->remembered, y};

	if (x != y)
		memcpy(y, x, elements(p) * sizeof(float));
	compute_each(p->compute, elements(p), GRAIN, 1, join_part, &part);
}

const struct layer_ops layer_join = {
	.name = "end of residual",
	.in_place = true,
	.passes_gradient = true,
	.shape = same_shape,
	.forward = join_forward,
};
