/* Convolutions and pools over images (channels, height, columns). */

#include "tasks/model/layer.h"

#define CHANNEL_GRAIN	   16u /* output channels of a thread, for the gradient of the weight */
#define OPERATIONS_AT_ONCE 30000000.0

/* Sides of the output; a window must fit the padded image. */
static int window_shape(struct placed_layer *p, uint32_t channels_out, struct errmsg *msg)
{
	const struct layer *l = p->spec;
	uint64_t height = (uint64_t)p->in.height + 2 * (uint64_t)l->padding;
	uint64_t columns = (uint64_t)p->in.columns + 2 * (uint64_t)l->padding;
	uint64_t channels, width;

	if (p->in.channels == 0)
		return errmsg_set(msg, TK_EINVAL,
			"it works on images, but its input is a row of %u numbers: say the "
			"image's channels, height and width",
			p->in.width);
	if (l->kernel == 0 || l->kernel > WINDOW_MAX || l->stride == 0 || l->stride > WINDOW_MAX ||
		l->padding >= l->kernel)
		return errmsg_set(msg, TK_EINVAL,
			"kernel %u, stride %u, padding %u: kernel and stride are 1 to %u, the "
			"padding is below the kernel",
			l->kernel, l->stride, l->padding, WINDOW_MAX);
	if (l->kernel > height || l->kernel > columns)
		return errmsg_set(msg, TK_EINVAL,
			"a window of %u x %u does not fit an image of %u x %u with padding %u",
			l->kernel, l->kernel, p->in.height, p->in.columns, l->padding);
	/* the gradient's images have a border as wide as the window, and its channels */
	channels = p->in.channels > channels_out ? p->in.channels : channels_out;
	if (channels * (height + l->kernel) * (columns + l->kernel) > ACTIVATIONS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"its images, with their borders and %llu channels, pass %llu numbers: make "
			"images, kernel or channels smaller",
			(unsigned long long)channels, (unsigned long long)ACTIVATIONS_MAX);
	p->out = (struct shape){
		.positions = 1,
		.channels = channels_out,
		.height = (uint32_t)((height - l->kernel) / l->stride + 1),
		.columns = (uint32_t)((columns - l->kernel) / l->stride + 1),
	};
	width = (uint64_t)p->out.height * p->out.columns * channels_out;
	if (width > ACTIVATIONS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"its output of %llu numbers a sample is too large; at most %llu are "
			"supported",
			(unsigned long long)width, (unsigned long long)ACTIVATIONS_MAX);
	p->out.width = (uint32_t)width;
	return TK_OK;
}

static int conv2d_shape(struct placed_layer *p, struct errmsg *msg)
{
	if (p->spec->width == 0 || p->spec->width > WIDTH_MAX)
		return errmsg_set(msg, TK_EINVAL, "it has %u channels; 1 to %u are possible",
			p->spec->width, WIDTH_MAX);
	return window_shape(p, p->spec->width, msg);
}

static int pool_shape(struct placed_layer *p, struct errmsg *msg)
{
	if (p->spec->type == LAYER_MAX_POOL && p->spec->kernel > MAX_POOL_KERNEL_MAX)
		return errmsg_set(msg, TK_EINVAL,
			"its kernel %u is larger than %u, the most of a max_pool: put two after "
			"each other, or take average_pool",
			p->spec->kernel, MAX_POOL_KERNEL_MAX);
	return window_shape(p, p->in.channels, msg);
}

static struct window window_of(const struct placed_layer *p)
{
	return (struct window){
		.channels = p->in.channels,
		.height = p->in.height,
		.width = p->in.columns,
		.channels_out = p->out.channels,
		.kernel = p->spec->kernel,
		.stride = p->spec->stride,
		.padding = p->spec->padding,
		.height_out = p->out.height,
		.width_out = p->out.columns,
	};
}

/* Of one output channel. */
static uint32_t taps(const struct placed_layer *p)
{
	return p->in.channels * p->spec->kernel * p->spec->kernel;
}

static void conv2d_tensors(
	const struct placed_layer *p, struct tensor *weight, struct tensor *bias, uint32_t *fan_in)
{
	uint32_t kernel = p->spec->kernel;

	*fan_in = taps(p);
	*weight = (struct tensor){
		.dimensions = 4, .shape = {p->out.channels, p->in.channels, kernel, kernel}};
	if (p->spec->bias)
		*bias = (struct tensor){.dimensions = 1, .shape = {p->out.channels}};
}

static double conv2d_flops(const struct placed_layer *p)
{
	return 2.0 * taps(p) * p->out.width;
}

/* The engine's, for each slot; then gradients that are added to those of an earlier part. */
static size_t conv2d_piece(const struct placed_layer *p, const struct engine *engine)
{
	struct window w = window_of(p);

	return (engine->conv2d_workspace(&w) + 15) / 16 * 16;
}

static size_t conv2d_scratch(
	const struct placed_layer *p, const struct engine *engine, size_t samples, uint32_t slots)
{
	(void)samples;
	return slots * conv2d_piece(p, engine) + (size_t)p->out.channels * (taps(p) + 1);
}

struct convolution {
	const struct pass *pass;
	struct window window;
	const float *x, *weight, *bias, *dy;
	float *y, *dx, *dweight, *dbias;
};

/* As many samples of this cost at once as a slow computer works on between two looks at the stop. */
static size_t samples_at_once(double flops, size_t rest)
{
	double most = OPERATIONS_AT_ONCE / flops;

	return most < 1 ? 1 : most < (double)rest ? (size_t)most : rest;
}

static void conv2d_forward_part(void *context, size_t first, size_t count, float *scratch)
{
	const struct convolution *c = context;
	const struct placed_layer *l = c->pass->layer;
	size_t end = first + count, n;

	for (size_t i = first; i < end && !compute_stopped(c->pass->compute); i += n) {
		n = samples_at_once(conv2d_flops(l), end - i);
		c->pass->compute->engine->conv2d(n, &c->window, c->x + i * l->in.width, c->weight,
			c->bias, c->y + i * l->out.width, scratch);
	}
}

static void conv2d_input_part(void *context, size_t first, size_t count, float *scratch)
{
	const struct convolution *c = context;
	const struct placed_layer *l = c->pass->layer;
	size_t end = first + count, n;

	for (size_t i = first; i < end && !compute_stopped(c->pass->compute); i += n) {
		n = samples_at_once(conv2d_flops(l), end - i);
		c->pass->compute->engine->conv2d_backward_input(n, &c->window,
			c->dy + i * l->out.width, c->weight, c->dx + i * l->in.width, scratch);
	}
}

/* Output channels in groups of CHANNEL_GRAIN. */
static void conv2d_weight_part(void *context, size_t first, size_t count, float *scratch)
{
	const struct convolution *c = context;
	size_t channels = c->window.channels_out;
	const struct placed_layer *l = c->pass->layer;
	size_t begin = first * CHANNEL_GRAIN, end = (first + count) * CHANNEL_GRAIN;
	size_t width = (end < channels ? end : channels) - begin;
	double flops = conv2d_flops(l) * (double)width / (double)channels;
	size_t samples = c->pass->samples, n;

	for (size_t i = 0; i < samples && !compute_stopped(c->pass->compute); i += n) {
		n = samples_at_once(flops, samples - i);
		c->pass->compute->engine->conv2d_backward_weight(n, &c->window, begin, width,
			c->x + i * l->in.width, c->dy + i * l->out.width, i > 0, c->dweight,
			c->dbias, scratch);
	}
}

static struct convolution convolution_of(const struct pass *p)
{
	const struct placed_layer *l = p->layer;
	bool bias = l->bias != NO_PARAMETERS;

	return (struct convolution){
		.pass = p,
		.window = window_of(l),
		.weight = p->parameters + l->weight,
		.bias = bias ? p->parameters + l->bias : NULL,
	};
}

static void conv2d_forward(const struct pass *p, const float *x, float *y)
{
	struct convolution c = convolution_of(p);

	c.x = x;
	c.y = y;
	layer_slots(p, p->samples, conv2d_flops(p->layer), p->scratch,
		conv2d_piece(p->layer, p->compute->engine), conv2d_forward_part, &c);
}

/* Gradients of the parameters; when they are to be added, first into scratch. */
static void conv2d_gradient(
	const struct pass *p, struct convolution *c, float *gradient, bool accumulate)
{
	const struct placed_layer *l = p->layer;
	const struct engine *e = p->compute->engine;
	size_t piece = conv2d_piece(l, e);
	size_t weights = (size_t)l->out.channels * taps(l);
	size_t groups = (l->out.channels + CHANNEL_GRAIN - 1) / CHANNEL_GRAIN;
	float *apart = p->scratch + p->slots * piece;

	c->dweight = accumulate ? apart : gradient + l->weight;
	if (c->bias != NULL)
		c->dbias = accumulate ? apart + weights : gradient + l->bias;
	layer_slots(p, groups, conv2d_flops(l) * (double)p->samples / (double)groups, p->scratch,
		piece, conv2d_weight_part, c);
	if (!accumulate)
		return;
	e->add(weights, apart, gradient + l->weight);
	if (c->bias != NULL)
		e->add(l->out.channels, apart + weights, gradient + l->bias);
}

static void conv2d_backward(const struct pass *p, const float *x, const float *y, const float *dy,
	float *dx, float *gradient, bool accumulate)
{
	struct convolution c = convolution_of(p);

	(void)y;
	c.x = x;
	c.dy = dy;
	c.dx = dx;
	conv2d_gradient(p, &c, gradient, accumulate);
	if (dx != NULL)
		layer_slots(p, p->samples, conv2d_flops(p->layer), p->scratch,
			conv2d_piece(p->layer, p->compute->engine), conv2d_input_part, &c);
}

const struct layer_ops layer_conv2d = {
	.name = "conv2d",
	.backward_reads = READS_INPUT,
	.shape = conv2d_shape,
	.tensors = conv2d_tensors,
	.scratch_floats = conv2d_scratch,
	.flops = conv2d_flops,
	.forward = conv2d_forward,
	.backward = conv2d_backward,
};

struct pooling {
	const struct placed_layer *layer;
	const struct engine *engine;
	struct window window;
	const float *x, *dy;
	float *y, *dx;
	uint8_t *chosen; /* NULL: averages */
};

static void pool_forward_part(void *context, size_t first, size_t count)
{
	const struct pooling *p = context;
	const float *x = p->x + first * p->layer->in.width;
	float *y = p->y + first * p->layer->out.width;

	if (p->chosen != NULL)
		p->engine->max_pool(
			count, &p->window, x, y, p->chosen + first * p->layer->out.width);
	else
		p->engine->average_pool(count, &p->window, x, y);
}

static void pool_backward_part(void *context, size_t first, size_t count)
{
	const struct pooling *p = context;
	const float *dy = p->dy + first * p->layer->out.width;
	float *dx = p->dx + first * p->layer->in.width;

	if (p->chosen != NULL)
		p->engine->max_pool_backward(
			count, &p->window, p->chosen + first * p->layer->out.width, dy, dx);
	else
		p->engine->average_pool_backward(count, &p->window, dy, dx);
}

static struct pooling pooling_of(const struct pass *p)
{
	return (struct pooling){
		.layer = p->layer,
		.engine = p->compute->engine,
		.window = window_of(p->layer),
		.chosen = p->layer->spec->type == LAYER_MAX_POOL ? (uint8_t *)p->kept : NULL,
	};
}

static double pool_cost(const struct placed_layer *p)
{
	return (double)p->out.width * p->spec->kernel * p->spec->kernel;
}

static void pool_forward(const struct pass *p, const float *x, float *y)
{
	struct pooling pool = pooling_of(p);

	pool.x = x;
	pool.y = y;
	compute_each(p->compute, p->samples, 1, pool_cost(p->layer), pool_forward_part, &pool);
}

static void pool_backward(const struct pass *p, const float *x, const float *y, const float *dy,
	float *dx, float *gradient, bool accumulate)
{
	struct pooling pool = pooling_of(p);

	(void)x;
	(void)y;
	(void)gradient;
	(void)accumulate;
	pool.dy = dy;
	pool.dx = dx;
	compute_each(p->compute, p->samples, 1, pool_cost(p->layer), pool_backward_part, &pool);
}

/* A byte for each output. */
static size_t max_pool_kept(const struct placed_layer *p)
{
	return ((size_t)p->out.width + 3) / 4;
}

const struct layer_ops layer_max_pool = {
	.name = "max_pool",
	.shape = pool_shape,
	.kept_floats = max_pool_kept,
	.forward = pool_forward,
	.backward = pool_backward,
};

const struct layer_ops layer_average_pool = {
	.name = "average_pool",
	.shape = pool_shape,
	.forward = pool_forward,
	.backward = pool_backward,
};
