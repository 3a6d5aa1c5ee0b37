/* A hash table of links that live inside what they find: no allocation per entry, O(1) per lookup.
 *
 * Keys are bytes of one fixed length, inside the owner. Strangers choose some of them (public
 * keys), so the hash is seeded with a secret: nobody outside can aim many keys at one slot. */
#ifndef COORDINATOR_LOOKUP_H
#define COORDINATOR_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

#include "tasks/base/error.h"

struct lookup_link {
	struct lookup_link *next;
	const uint8_t *key; /* borrowed from owner */
	void *owner;	    /* what a lookup gives */
};

struct lookup {
	struct lookup_link **slots;
	size_t capacity; /* a power of two, or 0 before the first entry */
	size_t count;
	size_t key_len; /* a multiple of 8 */
	uint64_t seed;
};

void lookup_init(struct lookup *t, size_t key_len, uint64_t seed);
void lookup_close(struct lookup *t); /* frees the slots; the links are their owners' */

/* The owner under this key, or NULL. */
void *lookup_find(const struct lookup *t, const void *key);

/* Adds a link; its key must not be in the table yet. Errors: TK_ENOMEM. */
int lookup_add(struct lookup *t, struct lookup_link *link, const void *key, void *owner) TK_CHECKED;

/* Takes out a link that is in the table. */
void lookup_remove(struct lookup *t, struct lookup_link *link);

/* Calls each(owner, context) for all, in no particular order; each may not change the table, but
 * may free the owner when the table is closed right after. */
void lookup_each(const struct lookup *t, void (*each)(void *owner, void *context), void *context);

#endif
