/* See lookup.h. Separate chaining; grows by doubling when entries outnumber slots. */
#include "coordinator/lookup.h"

#include "tasks/base/bytes.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

void lookup_init(struct lookup *t, size_t key_len, uint64_t seed)
{
	REQUIRE(key_len > 0 && key_len % 8 == 0);
	*t = (struct lookup){.key_len = key_len, .seed = seed};
}

void lookup_close(struct lookup *t)
{
	mem_free(t->slots);
	t->slots = NULL;
	t->capacity = t->count = 0;
}

static uint64_t hash(const struct lookup *t, const uint8_t *key)
{
	uint64_t h = t->seed;

	for (size_t i = 0; i < t->key_len; i += 8) {
		h = (h ^ load_le64(key + i)) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
		h = (h + t->seed) * 0xbf58476d1ce4e5b9u;
		h ^= h >> 32;
	}
	return h;
}

static bool same_key(const struct lookup *t, const uint8_t *a, const uint8_t *b)
{
	return span_equal(span_of(a, t->key_len), span_of(b, t->key_len));
}

static struct lookup_link **slot_of(const struct lookup *t, const uint8_t *key)
{
	return &t->slots[hash(t, key) & (t->capacity - 1)];
}

void *lookup_find(const struct lookup *t, const void *key)
{
	if (t->count == 0)
		return NULL;
	for (struct lookup_link *l = *slot_of(t, key); l != NULL; l = l->next)
		if (same_key(t, l->key, key))
			return l->owner;
	return NULL;
}

static int grow(struct lookup *t)
{
	struct lookup bigger = *t;

	bigger.capacity = t->capacity != 0 ? t->capacity * 2 : 64;
	bigger.slots = mem_calloc(bigger.capacity, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return TK_ENOMEM;
	for (size_t i = 0; i < t->capacity; i++) {
		while (t->slots[i] != NULL) {
			struct lookup_link *l = t->slots[i];
			struct lookup_link **slot = slot_of(&bigger, l->key);

			t->slots[i] = l->next;
			l->next = *slot;
			*slot = l;
		}
	}
	mem_free(t->slots);
	*t = bigger;
	return TK_OK;
}

int lookup_add(struct lookup *t, struct lookup_link *link, const void *key, void *owner)
{
	struct lookup_link **slot;

	REQUIRE(lookup_find(t, key) == NULL);
	if (t->count >= t->capacity && grow(t) != TK_OK)
		return TK_ENOMEM;
	slot = slot_of(t, key);
	*link = (struct lookup_link){.next = *slot, .key = key, .owner = owner};
	*slot = link;
	t->count++;
	return TK_OK;
}

void lookup_remove(struct lookup *t, struct lookup_link *link)
{
	struct lookup_link **at = slot_of(t, link->key);

	while (*at != link) {
		REQUIRE(*at != NULL);
		at = &(*at)->next;
	}
	*at = link->next;
	*link = (struct lookup_link){0};
	t->count--;
}

void lookup_each(const struct lookup *t, void (*each)(void *owner, void *context), void *context)
{
	for (size_t i = 0; i < t->capacity; i++) {
		struct lookup_link *next;

		for (struct lookup_link *l = t->slots[i]; l != NULL; l = next) {
			next = l->next;
			each(l->owner, context);
		}
	}
}
