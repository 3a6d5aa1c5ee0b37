/* The table of layer types, and what several of them share. */
#include "tasks/model/layer.h"

static const struct layer_ops *const table[LAYER_TYPE_LAST + 1] = {
	[LAYER_EMBEDDING] = &layer_embedding,
	[LAYER_POSITION] = &layer_position,
	[LAYER_FLATTEN] = &layer_flatten,
	[LAYER_LINEAR] = &layer_linear,
	[LAYER_CONV2D] = &layer_conv2d,
	[LAYER_MAX_POOL] = &layer_max_pool,
	[LAYER_AVERAGE_POOL] = &layer_average_pool,
	[LAYER_LAYER_NORM] = &layer_layer_norm,
	[LAYER_GROUP_NORM] = &layer_group_norm,
	[LAYER_RELU] = &layer_relu,
	[LAYER_GELU] = &layer_gelu,
	[LAYER_SILU] = &layer_silu,
	[LAYER_TANH] = &layer_tanh,
	[LAYER_SIGMOID] = &layer_sigmoid,
	[LAYER_DROPOUT] = &layer_dropout,
	[LAYER_ATTENTION] = &layer_attention,
	[LAYER_BRANCH] = &layer_branch,
	[LAYER_JOIN] = &layer_join,
};

const struct layer_ops *layer_ops_of(enum layer_type type)
{
	return (uint32_t)type <= LAYER_TYPE_LAST ? table[type] : NULL;
}

struct slots {
	size_t n, length, piece;
	float *scratch;
	layer_slot_part *part;
	void *context;
};

static void slots_part(void *context, size_t first, size_t count)
{
	const struct slots *s = context;

	for (size_t i = first; i < first + count; i++) {
		size_t begin = i * s->length;
		size_t rest = begin < s->n ? s->n - begin : 0;

		if (rest != 0)
			s->part(s->context, begin, rest < s->length ? rest : s->length,
				s->scratch + i * s->piece);
	}
}

void layer_slots(const struct pass *p, size_t n, double cost, float *scratch, size_t piece,
	layer_slot_part *part, void *context)
{
	size_t length = n / p->slots + (n % p->slots != 0);
	struct slots s = {n, length, piece, scratch, part, context};

	compute_each(p->compute, p->slots, 1, (double)length * cost, slots_part, &s);
}

size_t layer_row_grain(size_t cols)
{
	return cols < 8192 ? 8192 / cols : 1;
}

void layer_column_sums(const struct pass *p, size_t rows, size_t cols, const float *dy, float *out,
	bool accumulate)
{
	if (!accumulate) {
		compute_column_sums(p->compute, rows, cols, dy, cols, out);
		return;
	}
	compute_column_sums(p->compute, rows, cols, dy, cols, p->scratch);
	p->compute->engine->add(cols, p->scratch, out);
}
