/* Causal multi-head attention: a position looks at itself and those before it (Vaswani et al. 2017).
 *
 * The input holds queries, keys and values side by side, (positions, 3·width); each head has width / heads
 * columns of each. For one head: P = softmax(Q·Kᵀ / √d) over the visible positions, +0 elsewhere, and
 * y = P·V. Backward: dV = Pᵀ·dy, dP = dy·Vᵀ, dS from dP by the softmax, dQ = dS·K, dK = dSᵀ·Q. */
#include <math.h>

#include "tasks/model/layer.h"

static int attention_shape(struct placed_layer *p, struct errmsg *msg)
{
	uint32_t heads = p->spec->heads;

	if (p->in.channels != 0 || p->in.width % 3 != 0 || heads == 0 || heads > HEADS_MAX ||
		p->in.width / 3 % heads != 0)
		return errmsg_set(msg, TK_EINVAL,
			"%u numbers a position are not queries, keys and values for %u heads: the "
			"layer before it must give 3 x heads x a head's width",
			p->in.width, heads);
	if (p->in.positions > CONTEXT_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"%u positions are too many; at most %u are "
			"supported",
			p->in.positions, CONTEXT_MAX);
	p->out = (struct shape){p->in.positions, p->in.width / 3, 0, 0, 0};
	return TK_OK;
}

static size_t square(const struct placed_layer *p)
{
	return (size_t)p->in.positions * p->in.positions;
}

/* P of every head. */
static size_t attention_kept(const struct placed_layer *p)
{
	return p->spec->heads * square(p);
}

static size_t attention_scratch(
	const struct placed_layer *p, const struct engine *engine, size_t samples, uint32_t slots)
{
	(void)engine;
	(void)samples;
	return slots * square(p);
}

static double attention_flops(const struct placed_layer *p)
{
	return 4.0 * (double)square(p) * p->out.width;
}

/* One pass over all heads of all samples. */
struct heads {
	const struct pass *pass;
	const float *x, *dy;
	float *y, *dx;
	size_t positions, width, head; /* head: its columns */
	float scale;
};

static struct heads heads_of(const struct pass *p)
{
	const struct placed_layer *l = p->layer;
	size_t head = l->out.width / l->spec->heads;

	return (struct heads){
		.pass = p,
		.positions = l->in.positions,
		.width = l->out.width,
		.head = head,
		.scale = 1.0f / sqrtf((float)head),
	};
}

/* Where head number i of the batch begins in a matrix of this many columns. */
static size_t head_offset(const struct heads *h, size_t i, size_t columns)
{
	size_t count = h->pass->layer->spec->heads;

	return i / count * h->positions * columns + i % count * h->head;
}

static void forward_heads(void *context, size_t first, size_t count, float *scratch)
{
	const struct heads *h = context;
	const struct engine *e = h->pass->compute->engine;
	size_t T = h->positions, C = h->width, D = h->head;

	for (size_t i = first; i < first + count && !compute_stopped(h->pass->compute); i++) {
		const float *q = h->x + head_offset(h, i, 3 * C);
		float *P = h->pass->training ? h->pass->kept + i * T * T : scratch;

		e->gemm(false, true, T, T, D, q, 3 * C, q + C, 3 * C, P, T, false);
		e->softmax(T, T, T, 1, h->scale, P, P);
		e->gemm(false, false, T, D, T, P, T, q + 2 * C, 3 * C, h->y + head_offset(h, i, C),
			C, false);
	}
}

static void attention_forward(const struct pass *p, const float *x, float *y)
{
	struct heads h = heads_of(p);
	size_t heads = p->samples * p->layer->spec->heads;

	h.x = x;
	h.y = y;
	layer_slots(p, heads, attention_flops(p->layer) / p->layer->spec->heads, p->scratch,
		square(p->layer), forward_heads, &h);
}

static void backward_heads(void *context, size_t first, size_t count, float *dP)
{
	const struct heads *h = context;
	const struct engine *e = h->pass->compute->engine;
	size_t T = h->positions, C = h->width, D = h->head;

	for (size_t i = first; i < first + count && !compute_stopped(h->pass->compute); i++) {
		const float *q = h->x + head_offset(h, i, 3 * C);
		const float *P = h->pass->kept + i * T * T;
		const float *dy = h->dy + head_offset(h, i, C);
		float *dq = h->dx + head_offset(h, i, 3 * C);

		e->gemm(true, false, T, D, T, P, T, dy, C, dq + 2 * C, 3 * C, false);
		e->gemm(false, true, T, T, D, dy, C, q + 2 * C, 3 * C, dP, T, false);
		e->softmax_backward(T, T, T, h->scale, P, dP, dP);
		e->gemm(false, false, T, D, T, dP, T, q + C, 3 * C, dq, 3 * C, false);
		e->gemm(true, false, T, D, T, dP, T, q, 3 * C, dq + C, 3 * C, false);
	}
}

static void attention_backward(const struct pass *p, const float *x, const float *y,
	const float *dy, float *dx, float *gradient, bool accumulate)
{
	struct heads h = heads_of(p);
	size_t heads = p->samples * p->layer->spec->heads;

	(void)y;
	(void)gradient;
	(void)accumulate;
	h.x = x;
	h.dy = dy;
	h.dx = dx;
	layer_slots(p, heads, 2 * attention_flops(p->layer) / p->layer->spec->heads, p->scratch,
		square(p->layer), backward_heads, &h);
}

const struct layer_ops layer_attention = {
	.name = "attention",
	.backward_reads = READS_INPUT,
	.shape = attention_shape,
	.kept_floats = attention_kept,
	.kept_for_training = true,
	.scratch_floats = attention_scratch,
	.flops = attention_flops,
	.forward = attention_forward,
	.backward = attention_backward,
};
