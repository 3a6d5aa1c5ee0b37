/* See sampler.h. */
#include "tasks/unit/sampler.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/data/shard.h"

struct order part_order(const struct dataset_part *part, uint64_t seed)
{
	return (struct order){seed, part->samples, part->shard_samples};
}

int sampler_init(struct sampler *s, const struct model *model, const struct dataset_part *part,
	uint64_t seed, const struct shard_source *source, size_t rows_max)
{
	const struct dataset *data = model->data;
	bool numbers = data->label == LABEL_NUMBER;
	bool whole;

	*s = (struct sampler){
		.data = data,
		.part = part,
		.source = source,
		.order = part_order(part, seed),
		.label_count = model->labels,
		.shards = mem_calloc(part->shards, sizeof(struct span)),
		.labels = mem_calloc(rows_max * model->labels, sizeof(uint32_t)),
	};
	if (data->kind == SAMPLE_TEXT)
		s->tokens = mem_calloc(rows_max * data->context, sizeof(uint32_t));
	else
		s->features = mem_floats_raw(rows_max * data->features);
	if (numbers)
		s->targets = mem_floats_raw(rows_max);
	whole = s->shards != NULL && s->labels != NULL &&
		(s->tokens != NULL || s->features != NULL) && numbers == (s->targets != NULL);
	if (whole)
		return TK_OK;
	sampler_close(s);
	return TK_ENOMEM;
}

void sampler_close(struct sampler *s)
{
	mem_free(s->shards);
	mem_free(s->features);
	mem_free(s->tokens);
	mem_free(s->labels);
	mem_free(s->targets);
	*s = (struct sampler){0};
}

/* Reads one sample as row number `row` of the batch. */
static int read_row(struct sampler *s, struct sample_place place, size_t row, struct errmsg *msg)
{
	struct span *shard = &s->shards[place.shard];

	if (shard->data == NULL) {
		const struct digest *digest = &s->part->digests[place.shard];
		int rc = s->source->get(s->source->context, digest, shard, msg);

		if (rc != TK_OK)
			return rc;
	}
	if (s->tokens != NULL)
		shard_sample_text(s->data, *shard, place.index, s->tokens + row * s->data->context,
			s->labels + row * s->label_count, s->label_count);
	else
		shard_sample_dense(s->data, *shard, place.index,
			s->features + row * s->data->features, &s->labels[row]);
	if (s->targets != NULL)
		memcpy(&s->targets[row], &s->labels[row], sizeof(float));
	return TK_OK;
}

static struct batch batch_of(const struct sampler *s, size_t rows)
{
	return (struct batch){
		.rows = rows,
		.features = s->features,
		.tokens = s->tokens,
		.labels = s->targets == NULL ? s->labels : NULL,
		.targets = s->targets,
	};
}

int sampler_batch(
	struct sampler *s, uint64_t position, size_t rows, struct batch *batch, struct errmsg *msg)
{
	for (size_t i = 0; i < rows; i++) {
		int rc = read_row(s, order_sample(&s->order, position + i), i, msg);

		if (rc != TK_OK)
			return rc;
	}
	*batch = batch_of(s, rows);
	return TK_OK;
}

int sampler_ascending(struct sampler *s, uint64_t first, uint64_t step, size_t rows,
	struct batch *batch, struct errmsg *msg)
{
	for (size_t i = 0; i < rows; i++) {
		uint64_t sample = first + i * step;
		struct sample_place place = {
			sample / s->part->shard_samples, sample % s->part->shard_samples};
		int rc = read_row(s, place, i, msg);

		if (rc != TK_OK)
			return rc;
	}
	*batch = batch_of(s, rows);
	return TK_OK;
}
