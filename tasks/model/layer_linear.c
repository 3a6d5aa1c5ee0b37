/* y = x·Wᵀ + b at every position. W is (outputs, inputs), as in PyTorch.
 *
 * Forward: one product, then the bias. Backward: dW = dyᵀ·x, db = column sums of dy, dx = dy·W. */
#include "tasks/model/layer.h"

static int linear_shape(struct placed_layer *p, struct errmsg *msg)
{
	if (p->in.channels != 0)
		return errmsg_set(msg, TK_EINVAL,
			"it reads rows, but its input is an image: put a flatten before it");
	if (p->spec->width == 0 || p->spec->width > WIDTH_MAX)
		return errmsg_set(msg, TK_EINVAL, "it has %u outputs; 1 to %u are possible",
			p->spec->width, WIDTH_MAX);
	p->out = (struct shape){p->in.positions, p->spec->width, 0, 0, 0};
	return TK_OK;
}

static void linear_tensors(
	const struct placed_layer *p, struct tensor *weight, struct tensor *bias, uint32_t *fan_in)
{
	*fan_in = p->in.width;
	*weight = (struct tensor){.dimensions = 2, .shape = {p->out.width, p->in.width}};
	if (p->spec->bias)
		*bias = (struct tensor){.dimensions = 1, .shape = {p->out.width}};
}

static size_t linear_scratch(
	const struct placed_layer *p, const struct engine *engine, size_t samples, uint32_t slots)
{
	(void)engine;
	(void)samples;
	(void)slots;
	return p->spec->bias ? p->out.width : 0; /* column sums that are added */
}

static double linear_flops(const struct placed_layer *p)
{
	return 2.0 * p->in.positions * p->in.width * p->out.width;
}

struct bias_part {
	const struct engine *engine;
	const float *bias;
	float *y;
	size_t cols;
};

static void add_bias_part(void *context, size_t first, size_t count)
{
	const struct bias_part *b = context;

	b->engine->add_bias(count, b->cols, b->bias, b->y + first * b->cols, b->cols);
}

static void linear_forward(const struct pass *p, const float *x, float *y)
{
	const struct placed_layer *l = p->layer;
	size_t rows = p->samples * l->in.positions;
	size_t inputs = l->in.width, outputs = l->out.width;
	struct bias_part part = {p->compute->engine, NULL, y, outputs};

	compute_gemm(p->compute, false, true, rows, outputs, inputs, x, inputs,
		p->parameters + l->weight, inputs, y, outputs, false);
	if (l->bias == NO_PARAMETERS)
		return;
	part.bias = p->parameters + l->bias;
	compute_each(
		p->compute, rows, layer_row_grain(outputs), (double)outputs, add_bias_part, &part);
}

static void linear_backward(const struct pass *p, const float *x, const float *y, const float *dy,
	float *dx, float *gradient, bool accumulate)
{
	const struct placed_layer *l = p->layer;
	size_t rows = p->samples * l->in.positions;
	size_t inputs = l->in.width, outputs = l->out.width;

	(void)y;
	compute_gemm(p->compute, true, false, outputs, inputs, rows, dy, outputs, x, inputs,
		gradient + l->weight, inputs, accumulate || l->adds_weight);
	if (l->bias != NO_PARAMETERS)
		layer_column_sums(p, rows, outputs, dy, gradient + l->bias, accumulate);
	if (dx != NULL)
		compute_gemm(p->compute, false, false, rows, inputs, outputs, dy, outputs,
			p->parameters + l->weight, inputs, dx, inputs, false);
}

const struct layer_ops layer_linear = {
	.name = "linear",
	.backward_reads = READS_INPUT,
	.shape = linear_shape,
	.tensors = linear_tensors,
	.scratch_floats = linear_scratch,
	.flops = linear_flops,
	.forward = linear_forward,
	.backward = linear_backward,
};
