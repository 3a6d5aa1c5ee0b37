/* Batches of a dataset part in the canonical order. */
#ifndef TASKS_UNIT_SAMPLER_H
#define TASKS_UNIT_SAMPLER_H

#include "tasks/math/order.h"
#include "tasks/model/model.h"
#include "tasks/unit/run.h"

/* Space: 16 bytes per shard of the part, and one batch. */
struct sampler {
	const struct dataset *data;
	const struct dataset_part *part;
	const struct shard_source *source;
	struct order order;
	struct span *shards;  /* asked for when first read */
	uint32_t label_count; /* of a sample */
	float *features;      /* (rows, inputs) */
	uint32_t *tokens;     /* (rows, context) */
	uint32_t *labels;     /* (rows, label_count) */
	float *targets;	      /* (rows), when labels are numbers */
};

/* For batches of the model's data. Borrows everything. part->samples ≥ 1. Errors: TK_ENOMEM. */
int sampler_init(struct sampler *s, const struct model *model, const struct dataset_part *part,
	uint64_t seed, const struct shard_source *source, size_t rows_max) TK_CHECKED;
void sampler_close(struct sampler *s);

/* Fills *batch with the samples at positions [position, position + rows); valid until the next call.
 * Errors: what the source returns. */
int sampler_batch(struct sampler *s, uint64_t position, size_t rows, struct batch *batch,
	struct errmsg *msg) TK_CHECKED;

/* The same with the samples as they lie in the data: number first, first + step, first + 2·step, … */
int sampler_ascending(struct sampler *s, uint64_t first, uint64_t step, size_t rows,
	struct batch *batch, struct errmsg *msg) TK_CHECKED;

/* The order of a recipe's part. */
struct order part_order(const struct dataset_part *part, uint64_t seed);

#endif
