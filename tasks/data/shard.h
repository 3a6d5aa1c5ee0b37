/* Reading shards: checked once when they arrive, then read sample by sample by the training. */
#ifndef TASKS_DATA_SHARD_H
#define TASKS_DATA_SHARD_H

#include "tasks/data/dataset.h"

/* Checks the contents of shard number `shard` (< p->shards) of a part: exact length, labels and tokens
 * below d->classes, every float32 finite, labels that are numbers included. Who calls it has compared
 * the digest, or has none. Errors: TK_ECORRUPT. */
int shard_check(const struct dataset *d, const struct dataset_part *p, uint32_t shard,
	struct span bytes, struct errmsg *msg) TK_CHECKED;

/* Reads the sample at `index` of a dense shard that has passed shard_check: features is (d->features);
 * a u8 element v becomes (float)v / 255.0f; a label that is a number comes as its bits. */
void shard_sample_dense(const struct dataset *d, struct span shard, uint64_t index, float *features,
	uint32_t *label);

/* Reads the window at `index` of a text shard that has passed shard_check: tokens is (d->context). The labels
 * of the last `count` positions (1 … d->context) are the tokens that follow them. */
void shard_sample_text(const struct dataset *d, struct span shard, uint64_t index, uint32_t *tokens,
	uint32_t *labels, uint32_t count);

#endif
