/* See index.h. What is removed leaves no mark: those behind it move up (Knuth, TAOCP 6.4, algorithm R). */
#include "peer/swarm/index.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define CAPACITY_MIN 8u

/* SplitMix64's finisher (Steele, Lea, Flood 2014): neighbouring handles spread. */
static size_t place(const struct index *x, uint64_t key)
{
	key ^= key >> 30;
	key *= 0xbf58476d1ce4e5b9u;
	key ^= key >> 27;
	key *= 0x94d049bb133111ebu;
	key ^= key >> 31;
	return (size_t)key & (x->capacity - 1);
}

/* Where key is, or the free place where it would be. */
static size_t find(const struct index *x, uint64_t key)
{
	size_t i = place(x, key);

	while (x->values[i] != NULL && x->keys[i] != key)
		i = (i + 1) & (x->capacity - 1);
	return i;
}

static int grow(struct index *x)
{
	struct index bigger = {.capacity = x->capacity == 0 ? CAPACITY_MIN : x->capacity * 2};

	bigger.keys = mem_calloc(bigger.capacity, sizeof(*bigger.keys));
	bigger.values = mem_calloc(bigger.capacity, sizeof(*bigger.values));
	if (bigger.keys == NULL || bigger.values == NULL) {
		index_close(&bigger);
		return TK_ENOMEM;
	}
	for (size_t i = 0; i < x->capacity; i++) {
		size_t at;

		if (x->values[i] == NULL)
			continue;
		at = find(&bigger, x->keys[i]);
		bigger.keys[at] = x->keys[i];
		bigger.values[at] = x->values[i];
	}
	bigger.count = x->count;
	index_close(x);
	*x = bigger;
	return TK_OK;
}

void index_close(struct index *x)
{
	mem_free(x->keys);
	mem_free(x->values);
	*x = (struct index){0};
}

void *index_get(const struct index *x, uint64_t key)
{
	return x->count == 0 ? NULL : x->values[find(x, key)];
}

int index_put(struct index *x, uint64_t key, void *value)
{
	size_t i;

	REQUIRE(value != NULL);
	if ((x->count + 1) * 4 > x->capacity * 3) {
		int rc = grow(x);

		if (rc != TK_OK)
			return rc;
	}
	i = find(x, key);
	REQUIRE(x->values[i] == NULL);
	x->keys[i] = key;
	x->values[i] = value;
	x->count++;
	return TK_OK;
}

void *index_remove(struct index *x, uint64_t key)
{
	size_t hole, i;
	void *value;

	if (x->count == 0)
		return NULL;
	hole = find(x, key);
	value = x->values[hole];
	if (value == NULL)
		return NULL;
	for (i = (hole + 1) & (x->capacity - 1); x->values[i] != NULL;
		i = (i + 1) & (x->capacity - 1)) {
		size_t home = place(x, x->keys[i]);

		/* It may move into the hole unless its home lies behind it. */
		if (((i - home) & (x->capacity - 1)) < ((i - hole) & (x->capacity - 1)))
			continue;
		x->keys[hole] = x->keys[i];
		x->values[hole] = x->values[i];
		hole = i;
	}
	x->values[hole] = NULL;
	x->count--;
	return value;
}
