/* A hash table from numbers to pointers, for cores that look things up by handle: open addressing with
 * linear probing, at most three quarters full. Walks are left to lists, so that equal events give equal
 * effects. */
#ifndef PEER_SWARM_INDEX_H
#define PEER_SWARM_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "tasks/base/error.h"

/* All zero is an empty one. */
struct index {
	uint64_t *keys;
	void **values; /* borrowed; NULL: free */
	size_t capacity, count;
};

void index_close(struct index *x);
/* NULL: none. */
void *index_get(const struct index *x, uint64_t key);
/* Puts value ≠ NULL under a key that is free. Errors: TK_ENOMEM. */
int index_put(struct index *x, uint64_t key, void *value) TK_CHECKED;
/* Its value, or NULL. */
void *index_remove(struct index *x, uint64_t key);

#endif
