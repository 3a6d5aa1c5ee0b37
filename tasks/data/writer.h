/* Makes the shards of one part, in order: cuts samples into shards, digests them, hands them on. */
#ifndef TASKS_DATA_WRITER_H
#define TASKS_DATA_WRITER_H

#include "tasks/data/dataset.h"

struct shard_writer {
	const struct dataset *dataset; /* borrowed: all but the parts */
	struct dataset_part *part;     /* borrowed: filled as shards are made */
	const struct shard_sink *sink; /* borrowed; may be NULL */
	struct bytes open;	       /* the samples of the shard being made */
	uint32_t made;
};

/* Starts a part of `samples` ≥ 1: sets its sizes and makes room for its digests, which the part owns.
 * w must be closed, also after a failure. Errors: TK_ELIMIT (sample too large, too many shards),
 * TK_ENOMEM. */
int writer_begin(struct shard_writer *w, const struct dataset *d, struct dataset_part *part,
	uint64_t samples, const struct shard_sink *sink, struct errmsg *msg) TK_CHECKED;

/* Adds a dense sample: its features as they stand in the shard, and its label (a number's bits).
 * Errors: TK_ENOMEM, the sink's. */
int writer_sample(struct shard_writer *w, struct span features, uint32_t label,
	struct errmsg *msg) TK_CHECKED;

/* Adds a whole shard, of the length that dataset_shard_bytes says. Errors: the sink's. */
int writer_shard(struct shard_writer *w, struct span bytes, struct errmsg *msg) TK_CHECKED;

/* Says that all samples were added: it is our mistake when they were not. */
void writer_end(const struct shard_writer *w);

void writer_close(struct shard_writer *w);

#endif
