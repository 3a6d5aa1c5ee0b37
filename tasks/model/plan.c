/* See plan.h. Buffers are placed largest first, each at the lowest place that is free for its whole life
 * ("greedy by size", Pisarchyk and Lee 2020). */
#include "tasks/model/plan.h"

#include <stdlib.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/model/layer.h"

#define BUFFERS_PER_LAYER 6u
#define ALIGNMENT	  16u /* floats: a cache line */

struct planner {
	struct plan *plan;
	const struct model *model;
	const struct compute *compute;
	size_t rows;
	bool training;
};

static uint32_t add_buffer(struct planner *p, size_t floats, uint32_t birth)
{
	struct plan_buffer *b = &p->plan->buffers[p->plan->buffer_count];

	b->floats = (floats + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	b->birth = b->death = birth;
	return p->plan->buffer_count++;
}

static void needed_at(struct planner *p, uint32_t buffer, uint32_t time)
{
	struct plan_buffer *b;

	if (buffer == PLAN_NONE || buffer == PLAN_FEATURES)
		return;
	b = &p->plan->buffers[buffer];
	b->death = b->death > time ? b->death : time;
}

/* True when nobody needs the buffer after this time, so that it may be written over. */
static bool free_after(const struct planner *p, uint32_t buffer, uint32_t time)
{
	return buffer != PLAN_NONE && buffer != PLAN_FEATURES &&
	       p->plan->buffers[buffer].death <= time;
}

static size_t value_floats(const struct planner *p, const struct shape *s)
{
	return p->rows * s->positions * s->width;
}

static uint32_t add_scratch(struct planner *p, uint32_t l, uint32_t time)
{
	const struct placed_layer *placed = &p->model->layers[l];
	const struct layer_ops *ops = layer_ops_of(placed->spec->type);
	size_t floats = 0;

	if (ops->scratch_floats != NULL)
		floats = ops->scratch_floats(
			placed, p->compute->engine, p->rows, compute_threads(p->compute));
	return floats != 0 ? add_buffer(p, floats, time) : PLAN_NONE;
}

/* The output of layer l: its input's memory where that is possible. */
static uint32_t plan_output(struct planner *p, uint32_t l, uint32_t input)
{
	const struct placed_layer *placed = &p->model->layers[l];
	const struct layer_ops *ops = layer_ops_of(placed->spec->type);

	if (ops->passes_value || (ops->in_place && free_after(p, input, l)))
		return input;
	return add_buffer(p, value_floats(p, &placed->out), l);
}

static void plan_forward(struct planner *p, uint32_t l, uint32_t input)
{
	const struct model *m = p->model;
	const struct placed_layer *placed = &m->layers[l];
	const struct layer_ops *ops = layer_ops_of(placed->spec->type);
	struct plan_layer *layer = &p->plan->layers[l];
	bool back = p->training && l >= m->lowest;
	uint32_t back_time = 2 * m->layer_count - l;

	*layer = (struct plan_layer){
		input, PLAN_NONE, PLAN_NONE, PLAN_NONE, PLAN_NONE, PLAN_NONE, PLAN_NONE};
	needed_at(p, input, l);
	if (placed->spec->type == LAYER_BRANCH)
		needed_at(p, input, placed->partner);
	if (back && (ops->backward_reads & READS_INPUT) != 0)
		needed_at(p, input, back_time);
	layer->output = plan_output(p, l, input);
	needed_at(p, layer->output, l);
	if (back && (ops->backward_reads & READS_OUTPUT) != 0)
		needed_at(p, layer->output, back_time);
	if (ops->kept_floats != NULL && (p->training || !ops->kept_for_training)) {
		layer->kept = add_buffer(p, p->rows * ops->kept_floats(placed), l);
		if (back)
			needed_at(p, layer->kept, back_time);
	}
	layer->scratch = add_scratch(p, l, l);
}

static void plan_loss(struct planner *p)
{
	const struct model *m = p->model;
	uint32_t time = m->layer_count;
	uint32_t output = p->plan->layers[time - 1].output;
	size_t labels = p->rows * m->labels;

	needed_at(p, output, time);
	p->plan->losses = add_buffer(p, labels, time);
	p->plan->correct = add_buffer(p, (labels + 3) / 4, time);
	p->plan->doutput = PLAN_NONE;
	if (!p->training)
		return;
	p->plan->doutput = output;
	if (!free_after(p, output, time))
		p->plan->doutput = add_buffer(p, value_floats(p, &m->output), time);
}

/* Where the gradient of a branch goes: onto one of the two that it adds, when that one is free. */
static uint32_t plan_branch(struct planner *p, uint32_t l, uint32_t dy, uint32_t time)
{
	uint32_t saved = p->plan->layers[p->model->layers[l].partner].dy;

	if (free_after(p, dy, time))
		return dy;
	if (free_after(p, saved, time))
		return saved;
	return add_buffer(p, value_floats(p, &p->model->layers[l].in), time);
}

/* Goes back through layer l; gives where the gradient of its input is. */
static uint32_t plan_backward(struct planner *p, uint32_t l, uint32_t dy)
{
	const struct model *m = p->model;
	const struct placed_layer *placed = &m->layers[l];
	const struct layer_ops *ops = layer_ops_of(placed->spec->type);
	struct plan_layer *layer = &p->plan->layers[l];
	uint32_t time = 2 * m->layer_count - l;

	layer->dy = dy;
	needed_at(p, dy, time);
	layer->scratch_back = add_scratch(p, l, time);
	if (placed->spec->type == LAYER_JOIN && placed->partner > m->lowest)
		needed_at(p, dy, 2 * m->layer_count - placed->partner);
	if (l == m->lowest)
		return PLAN_NONE;
	if (placed->spec->type == LAYER_BRANCH)
		layer->dx = plan_branch(p, l, dy, time);
	else if (ops->passes_gradient || (ops->in_place && free_after(p, dy, time)))
		layer->dx = dy;
	else
		layer->dx = add_buffer(p, value_floats(p, &placed->in), time);
	needed_at(p, layer->dx, time);
	return layer->dx;
}

struct by_size {
	const struct plan_buffer *buffers;
	uint32_t index;
};

static int larger_first(const void *a, const void *b)
{
	const struct by_size *x = a, *y = b;
	size_t left = x->buffers[x->index].floats, right = y->buffers[y->index].floats;

	if (left != right)
		return left > right ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

static bool together(const struct plan_buffer *a, const struct plan_buffer *b)
{
	return a->birth <= b->death && b->birth <= a->death;
}

/* placed: those that have their place, by ascending offset. Inserts b at the lowest one that is free. */
static void place_buffer(struct plan_buffer **placed, uint32_t count, struct plan_buffer *b)
{
	size_t offset = 0;
	uint32_t at;

	for (uint32_t i = 0; i < count; i++) {
		if (!together(placed[i], b))
			continue;
		if (placed[i]->offset >= offset + b->floats)
			break;
		if (placed[i]->offset + placed[i]->floats > offset)
			offset = placed[i]->offset + placed[i]->floats;
	}
	b->offset = offset;
	for (at = count; at > 0 && placed[at - 1]->offset > offset; at--)
		placed[at] = placed[at - 1];
	placed[at] = b;
}

static int place_all(struct plan *p)
{
	struct by_size *order = mem_calloc(p->buffer_count, sizeof(*order));
	struct plan_buffer **placed = mem_calloc(p->buffer_count, sizeof(struct plan_buffer *));
	int rc = order != NULL && placed != NULL ? TK_OK : TK_ENOMEM;

	for (uint32_t i = 0; rc == TK_OK && i < p->buffer_count; i++)
		order[i] = (struct by_size){p->buffers, i};
	if (rc == TK_OK)
		qsort(order, p->buffer_count, sizeof(*order), larger_first);
	for (uint32_t i = 0; rc == TK_OK && i < p->buffer_count; i++) {
		struct plan_buffer *b = &p->buffers[order[i].index];

		place_buffer(placed, i, b);
		if (b->offset + b->floats > p->floats)
			p->floats = b->offset + b->floats;
	}
	mem_free(order);
	mem_free(placed);
	return rc;
}

int plan_init(
	struct plan *p, const struct model *m, const struct compute *c, size_t rows, bool training)
{
	struct plan made = {0};
	struct planner planner = {&made, m, c, rows, training};
	size_t most = BUFFERS_PER_LAYER * (size_t)m->layer_count + 3;
	uint32_t value = m->data->kind == SAMPLE_TEXT ? PLAN_NONE : PLAN_FEATURES;
	int rc = TK_ENOMEM;

	made.buffers = mem_calloc(most, sizeof(*made.buffers));
	made.layers = mem_calloc(m->layer_count, sizeof(*made.layers));
	if (made.buffers == NULL || made.layers == NULL)
		goto out;
	for (uint32_t l = 0; l < m->layer_count; l++) {
		plan_forward(&planner, l, value);
		value = made.layers[l].output;
	}
	plan_loss(&planner);
	value = made.doutput;
	for (uint32_t l = m->layer_count; training && l-- > m->lowest;)
		value = plan_backward(&planner, l, value);
	REQUIRE(made.buffer_count <= most);
	rc = place_all(&made);
out:
	if (rc == TK_OK)
		*p = made;
	else
		plan_close(&made);
	return rc;
}

void plan_close(struct plan *p)
{
	mem_free(p->buffers);
	mem_free(p->layers);
	*p = (struct plan){0};
}
