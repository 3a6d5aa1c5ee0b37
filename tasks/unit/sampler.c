/* See sampler.h. */
#include "tasks/unit/sampler.h"

#include "tasks/base/mem.h"
#include "tasks/data/shard.h"

struct order part_order(const struct dataset_part *part, uint64_t seed)
{
	return (struct order){seed, part->samples, part->shard_samples};
}

int sampler_init(struct sampler *s, const struct dataset *data, const struct dataset_part *part,
	uint64_t seed, const struct shard_source *source, size_t rows_max)
{
	bool text = data->kind == SAMPLE_TEXT;

	*s = (struct sampler){
		.data = data,
		.part = part,
		.source = source,
		.order = part_order(part, seed),
		.shards = mem_calloc(part->shards, sizeof(struct span)),
		.labels = mem_calloc(rows_max, sizeof(uint32_t)),
	};
	if (text)
		s->tokens = mem_calloc(rows_max * data->context, sizeof(uint32_t));
	else
		s->features = mem_floats(rows_max * data->features);
	if (s->shards != NULL && s->labels != NULL && (s->tokens != NULL || s->features != NULL))
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
	*s = (struct sampler){0};
}

int sampler_batch(
	struct sampler *s, uint64_t position, size_t rows, struct batch *batch, struct errmsg *msg)
{
	for (size_t i = 0; i < rows; i++) {
		struct sample_place place = order_sample(&s->order, position + i);
		struct span *shard = &s->shards[place.shard];

		if (shard->data == NULL) {
			const struct digest *digest = &s->part->digests[place.shard];
			int rc = s->source->get(s->source->context, digest, shard, msg);

			if (rc != TK_OK)
				return rc;
		}
		if (s->tokens != NULL)
			shard_sample_text(s->data, *shard, place.index,
				s->tokens + i * s->data->context, &s->labels[i]);
		else
			shard_sample_dense(s->data, *shard, place.index,
				s->features + i * s->data->features, &s->labels[i]);
	}
	*batch = (struct batch){rows, s->features, s->tokens, s->labels};
	return TK_OK;
}
