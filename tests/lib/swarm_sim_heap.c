/* See swarm_sim_heap.h. */
#include "tests/lib/swarm_sim_heap.h"

#include <stdlib.h>

static bool sooner(const struct happening *a, const struct happening *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

struct happening *happenings_add(struct happenings *p, uint64_t at_ms)
{
	struct happening *h = calloc(1, sizeof(*h));
	size_t i = p->count++;

	if (p->count > p->capacity) {
		p->capacity = p->capacity == 0 ? 1024 : p->capacity * 2;
		p->items = realloc(p->items, p->capacity * sizeof(struct happening *));
	}
	h->at_ms = at_ms;
	h->order = p->order++;
	for (; i > 0 && sooner(h, p->items[(i - 1) / 2]); i = (i - 1) / 2)
		p->items[i] = p->items[(i - 1) / 2];
	p->items[i] = h;
	return h;
}

struct happening *happenings_next(struct happenings *p)
{
	struct happening *first = p->items[0];
	struct happening *h = p->items[--p->count];
	size_t i = 0;

	for (size_t k = 1; k < p->count; k = 2 * i + 1) {
		if (k + 1 < p->count && sooner(p->items[k + 1], p->items[k]))
			k++;
		if (!sooner(p->items[k], h))
			break;
		p->items[i] = p->items[k];
		i = k;
	}
	if (p->count != 0)
		p->items[i] = h;
	return first;
}

void happenings_close(struct happenings *p)
{
	while (p->count != 0)
		free(p->items[--p->count]);
	free(p->items);
}
