/* See run.h: what a unit needs, known before it runs. */
#include "tasks/base/mem.h"
#include "tasks/unit/checkpoint.h"

uint64_t running_position(const struct recipe *recipe, const struct unit *unit)
{
	const struct train_spec *t = &recipe->train;

	return ((uint64_t)unit->round * t->units_per_round + unit->index) * t->inner_steps *
	       t->batch_size;
}

/* Marks the shards that positions [at, end) of one window read; stops once they are all that it has. */
static uint32_t window_shards(
	const struct order *order, uint64_t at, uint64_t end, uint32_t shards, uint8_t *used)
{
	uint64_t seen[ORDER_WINDOW];
	uint32_t distinct = 0;
	uint32_t found = 0;

	for (; at < end && distinct < shards; at++) {
		uint64_t shard = order_sample(order, at).shard;
		uint32_t i = 0;

		while (i < distinct && seen[i] != shard)
			i++;
		if (i < distinct)
			continue;
		seen[distinct++] = shard;
		found += used[shard] == 0;
		used[shard] = 1;
	}
	return found;
}

int running_shards(const struct recipe *recipe, const struct unit *unit, uint32_t from, uint32_t to,
	uint32_t **shards, uint32_t *count)
{
	const struct dataset_part *part = &recipe->data.train;
	struct order order = part_order(part, recipe->seed);
	uint64_t first = running_position(recipe, unit);
	uint64_t at = first + (uint64_t)from * recipe->train.batch_size;
	uint64_t end = first + (uint64_t)to * recipe->train.batch_size;
	uint8_t *used = mem_calloc(part->shards, 1);
	uint32_t *list = mem_calloc(part->shards, sizeof(*list));
	uint32_t found = 0;

	if (used == NULL || list == NULL) {
		mem_free(used);
		mem_free(list);
		return TK_ENOMEM;
	}
	while (at < end && found < part->shards) {
		struct order_window w = order_window(&order, at);

		found += window_shards(&order, at, w.end < end ? w.end : end, w.shards, used);
		at = w.end;
	}
	found = 0;
	for (uint32_t i = 0; i < part->shards; i++) {
		if (used[i])
			list[found++] = i;
	}
	mem_free(used);
	*shards = list;
	*count = found;
	return TK_OK;
}

int unit_shards(
	const struct recipe *recipe, const struct unit *unit, uint32_t **shards, uint32_t *count)
{
	return running_shards(recipe, unit, 0, recipe->train.inner_steps, shards, count);
}

int unit_parameters(const struct recipe *recipe, size_t *count, struct errmsg *msg)
{
	struct model model;
	int rc = model_init(&model, &recipe->model, &recipe->data, msg);

	if (rc != TK_OK)
		return rc;
	*count = model.parameters;
	model_close(&model);
	return TK_OK;
}

uint32_t running_arrays(const struct train_spec *t)
{
	return t->mode == MODE_GRADIENT ? 2 : 1 + moment_arrays(t);
}

uint64_t running_bytes(
	const struct train_spec *t, uint64_t parameters, const struct payload_layout *l)
{
	uint64_t checkpoint = checkpoint_bytes(t, running_arrays(t), parameters, t->inner_steps);

	return l->bytes > checkpoint ? l->bytes : checkpoint;
}

size_t running_scratch(uint64_t bytes)
{
	return (size_t)(bytes / BLOB_LEAF) + 1;
}

/* Parameters, slot's state, buffers, and at the end the payload or on the way a checkpoint, each with the
 * frame that takes it out. What comes in may lie in a buffer that grew to twice its size. */
static uint64_t held_bytes(
	const struct train_spec *t, const struct model *m, const struct payload_layout *l)
{
	uint64_t n = m->parameters;
	uint64_t arrays = running_arrays(t);
	uint64_t feedback = l->state.feedback;
	uint64_t in = 2 * (4 * n + state_bytes(&l->state));
	uint64_t gradient = t->mode == MODE_LOCAL ? n : 0;
	uint64_t out = running_bytes(t, n, l);
	uint64_t digests = running_scratch(out) + trace_leaves(t, t->inner_steps) + 1ull;

	return in + 4 * (arrays * n + gradient + feedback + t->inner_steps) +
	       DIGEST_BYTES * digests + 2 * out;
}

uint64_t unit_memory(const struct recipe *recipe)
{
	const struct train_spec *t = &recipe->train;
	const struct dataset *d = &recipe->data;
	const struct compute alone = {.engine = engine_best()};
	size_t rows = t->batch_size / t->accumulate;
	struct payload_layout layout;
	struct model model;
	uint64_t bytes = UINT64_MAX;
	size_t work;

	if (model_init(&model, &recipe->model, d, NULL) != TK_OK)
		return bytes;
	work = model_work_bytes(&model, &alone, rows, true);
	if (work != 0 && payload_layout_init(&layout, t, &model, NULL) == TK_OK) {
		bytes = held_bytes(t, &model, &layout) + work +
			rows * 4 * ((uint64_t)d->features + d->context + model.labels);
		payload_layout_close(&layout);
	}
	model_close(&model);
	return bytes;
}
