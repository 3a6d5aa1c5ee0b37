/* Forward and backward passes of a batch, layer by layer, in the arena that plan.c laid out.
 *
 * Order is part of the specification (NUMERICS.md, "Training step"): layers ascending, the loss, layers
 * descending; a branch adds the gradient that came through to the one that its join had. */
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/model/layer.h"
#include "tasks/model/loss.h"
#include "tasks/model/work.h"

struct model_work *model_work_new(
	const struct model *m, const struct compute *c, size_t rows_max, bool training)
{
	struct model_work *w = mem_calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->rows_max = rows_max;
	w->training = training;
	w->slots = compute_threads(c);
	if (plan_init(&w->plan, m, c, rows_max, training) == TK_OK)
		w->arena = mem_floats_raw(w->plan.floats);
	if (w->arena != NULL)
		return w;
	model_work_free(w);
	return NULL;
}

void model_work_free(struct model_work *w)
{
	if (w == NULL)
		return;
	plan_close(&w->plan);
	mem_free(w->arena);
	mem_free(w);
}

size_t model_work_bytes(
	const struct model *m, const struct compute *c, size_t rows_max, bool training)
{
	struct plan plan;
	size_t bytes;

	if (plan_init(&plan, m, c, rows_max, training) != TK_OK)
		return 0;
	bytes = plan.floats * sizeof(float);
	plan_close(&plan);
	return bytes;
}

/* One batch on its way. */
struct run {
	const struct model *model;
	struct model_work *work;
	struct batch batch;
	struct pass pass; /* what is equal for all layers */
};

static float *buffer(const struct model_work *w, uint32_t number)
{
	return number < w->plan.buffer_count ? w->arena + w->plan.buffers[number].offset : NULL;
}

static const float *value(const struct run *r, uint32_t number)
{
	return number == PLAN_FEATURES ? r->batch.features : buffer(r->work, number);
}

/* The pass of layer l. */
static struct pass pass_of(const struct run *r, uint32_t l, bool back)
{
	const struct plan_layer *plan = &r->work->plan.layers[l];
	struct pass p = r->pass;

	p.layer = &r->model->layers[l];
	p.kept = buffer(r->work, plan->kept);
	p.scratch = buffer(r->work, back ? plan->scratch_back : plan->scratch);
	if (p.layer->spec->type == LAYER_JOIN)
		p.remembered = value(r, r->work->plan.layers[p.layer->partner].input);
	return p;
}

static void forward(const struct run *r)
{
	for (uint32_t l = 0; l < r->model->layer_count; l++) {
		const struct plan_layer *plan = &r->work->plan.layers[l];
		const struct layer_ops *ops = layer_ops_of(r->model->layers[l].spec->type);
		struct pass p = pass_of(r, l, false);

		if (compute_stopped(p.compute))
			return;
		if (ops->forward != NULL)
			ops->forward(&p, value(r, plan->input), buffer(r->work, plan->output));
	}
}

struct sum_part {
	const struct engine *engine;
	const float *add;
	float *to;
};

static void sum_part(void *context, size_t first, size_t count)
{
	const struct sum_part *s = context;

	s->engine->add(count, s->add + first, s->to + first);
}

/* dx = dy + what the join had: whichever of the two dx is, the other one is added. */
static void branch_backward(const struct run *r, uint32_t l)
{
	const struct plan_layer *plan = &r->work->plan.layers[l];
	const struct placed_layer *placed = &r->model->layers[l];
	size_t n = r->pass.samples * placed->in.positions * placed->in.width;
	const float *dy = buffer(r->work, plan->dy);
	const float *saved = buffer(r->work, r->work->plan.layers[placed->partner].dy);
	float *dx = buffer(r->work, plan->dx);
	struct sum_part part = {r->pass.compute->engine, dx == dy ? saved : dy, dx};

	if (dx != dy && dx != saved)
		memcpy(dx, saved, n * sizeof(float));
	compute_each(r->pass.compute, n, 4096, 1, sum_part, &part);
}

static void backward(const struct run *r, float *gradient, bool accumulate)
{
	for (uint32_t l = r->model->layer_count; l-- > r->model->lowest;) {
		const struct plan_layer *plan = &r->work->plan.layers[l];
		const struct layer_ops *ops = layer_ops_of(r->model->layers[l].spec->type);
		struct pass p = pass_of(r, l, true);
		const float *x = NULL, *y = NULL;

		if (compute_stopped(p.compute))
			return;
		if ((ops->backward_reads & READS_INPUT) != 0)
			x = value(r, plan->input);
		if ((ops->backward_reads & READS_OUTPUT) != 0)
			y = buffer(r->work, plan->output);
		if (p.layer->spec->type == LAYER_BRANCH)
			branch_backward(r, l);
		else if (ops->backward != NULL)
			ops->backward(&p, x, y, buffer(r->work, plan->dy),
				buffer(r->work, plan->dx), gradient, accumulate);
	}
}

static void check_batch(const struct model *m, const struct model_work *w, const struct batch *b)
{
	REQUIRE(b->rows > 0 && b->rows <= w->rows_max);
	REQUIRE((m->data->kind == SAMPLE_TEXT ? (const void *)b->tokens : b->features) != NULL);
	REQUIRE((m->spec->loss == LOSS_SQUARED_ERROR ? (const void *)b->targets : b->labels) !=
		NULL);
}

float model_gradient(const struct model *m, const struct compute *c, struct model_work *w,
	const struct gradient_request *request, float *gradient)
{
	struct run r = {
		.model = m,
		.work = w,
		.batch = request->batch,
		.pass =
			{
				.compute = c,
				.parameters = request->parameters,
				.samples = request->batch.rows,
				.tokens = request->batch.tokens,
				.training = true,
				.seed = request->seed,
				.step = request->step,
				.first_row = request->first_row,
				.slots = w->slots,
			},
	};
	float *losses = buffer(w, w->plan.losses);
	float sum;

	check_batch(m, w, &request->batch);
	REQUIRE(w->training && compute_threads(c) <= w->slots);
	forward(&r);
	if (compute_stopped(c))
		return 0;
	loss_compute(m, c, &r.batch, request->count,
		buffer(w, w->plan.layers[m->layer_count - 1].output), losses,
		(uint8_t *)buffer(w, w->plan.correct), buffer(w, w->plan.doutput));
	sum = c->engine->sum(request->batch.rows * m->labels, losses);
	backward(&r, gradient, request->accumulate);
	return sum;
}

void model_evaluate(const struct model *m, const struct compute *c, struct model_work *w,
	const float *parameters, const struct batch *batch, float *losses, uint8_t *correct,
	float *outputs)
{
	struct run r = {
		.model = m,
		.work = w,
		.batch = *batch,
		.pass =
			{
				.compute = c,
				.parameters = parameters,
				.samples = batch->rows,
				.tokens = batch->tokens,
				.slots = w->slots,
			},
	};
	const float *last = buffer(w, w->plan.layers[m->layer_count - 1].output);
	size_t labels = batch->rows * m->labels;

	check_batch(m, w, batch);
	REQUIRE(compute_threads(c) <= w->slots);
	forward(&r);
	if (compute_stopped(c))
		return;
	loss_compute(m, c, batch, labels, last, losses, correct, NULL);
	if (outputs != NULL)
		memcpy(outputs, last, labels * m->output.width * sizeof(float));
}
