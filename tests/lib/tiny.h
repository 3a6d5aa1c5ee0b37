/* A tiny project with data made from Philox, for tests of units, merges and the grid. */
#ifndef TESTS_LIB_TINY_H
#define TESTS_LIB_TINY_H

#include "tasks/unit/shard_cache.h"

struct tiny {
	struct recipe recipe;
	struct shard_cache cache;
	struct shard_source source;
	struct digest recipe_digest;
};

/* Dense samples (5 features, 3 classes that depend on them) for logistic and an mlp with hidden [7], images of
 * 8 x 8 for a cnn, or windows of 4 tokens over 6 characters for a char-mlp and a gpt of two blocks with a
 * tied head. Several shards, the last one short. False: no memory. */
bool tiny_init(struct tiny *t, enum model_type type);
void tiny_close(struct tiny *t);

#endif
