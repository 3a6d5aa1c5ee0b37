/* Shards in memory, compared with their digests and checked once, when they arrive. */
#ifndef TASKS_UNIT_SHARD_CACHE_H
#define TASKS_UNIT_SHARD_CACHE_H

#include "tasks/unit/run.h"

/* All zero is an empty cache. O(shards held) per look-up: a unit reads a handful of them. */
struct shard_cache {
	struct shard_entry *entries;
	size_t count, capacity;
	size_t bytes; /* held in all */
};

/* Takes *bytes (emptied on success) as the shard with this digest of the recipe's training or
 * validation part. Errors: TK_ENOENT (no such shard in the recipe), TK_ECORRUPT, TK_ENOMEM. */
int shard_cache_add(struct shard_cache *c, const struct recipe *recipe, const struct digest *digest,
	struct bytes *bytes, struct errmsg *msg) TK_CHECKED;

/* For data that we prepared ourselves, before its recipe exists: copies bytes; what shard_sink.take
 * wants. context is the cache. */
int shard_cache_sink(void *context, const struct digest *digest, struct span bytes,
	struct errmsg *msg) TK_CHECKED;

/* What shard_source.get wants; context is the cache. Errors: TK_ENOENT. */
int shard_cache_get(void *context, const struct digest *digest, struct span *out,
	struct errmsg *msg) TK_CHECKED;

bool shard_cache_has(const struct shard_cache *c, const struct digest *digest);

/* Drops all shards: another project begins, or memory is short. */
void shard_cache_close(struct shard_cache *c);

#endif
