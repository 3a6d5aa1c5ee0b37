/* See queue.h. */
#include "coordinator/simulate/queue.h"

#include "tasks/base/mem.h"

static bool before(const struct queue *q, uint32_t a, uint32_t b)
{
	return q->heap[a].at_ms != q->heap[b].at_ms ? q->heap[a].at_ms < q->heap[b].at_ms
						    : q->heap[a].serial < q->heap[b].serial;
}

static void swap(struct queue *q, uint32_t a, uint32_t b)
{
	uint64_t at_ms = q->heap[a].at_ms, serial = q->heap[a].serial;
	uint32_t slot = q->heap[a].slot;

	q->heap[a] = q->heap[b];
	q->heap[b].at_ms = at_ms;
	q->heap[b].serial = serial;
	q->heap[b].slot = slot;
}

static int grow(struct queue *q)
{
	uint32_t capacity = q->capacity * 2 + 1024;
	void *heap, *pool, *vacant;

	heap = mem_realloc(q->heap, capacity * sizeof(*q->heap));
	if (heap == NULL)
		return TK_ENOMEM;
	q->heap = heap;
	pool = mem_realloc(q->pool, capacity * sizeof(*q->pool));
	if (pool == NULL)
		return TK_ENOMEM;
	q->pool = pool;
	vacant = mem_realloc(q->free, capacity * sizeof(*q->free));
	if (vacant == NULL)
		return TK_ENOMEM;
	q->free = vacant;
	q->capacity = capacity;
	return TK_OK;
}

int queue_put(struct queue *q, uint64_t at_ms, const struct queued *what)
{
	uint32_t slot, i;

	if (q->count == q->capacity && grow(q) != TK_OK)
		return TK_ENOMEM;
	slot = q->free_count > 0 ? q->free[--q->free_count] : q->used++;
	q->pool[slot] = *what;
	i = q->count++;
	q->heap[i].at_ms = at_ms;
	q->heap[i].serial = q->serial++;
	q->heap[i].slot = slot;
	while (i > 0 && before(q, i, (i - 1) / 2)) {
		swap(q, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
	return TK_OK;
}

bool queue_take(struct queue *q, struct queued *out, uint64_t *at_ms)
{
	uint32_t i = 0;

	if (q->count == 0)
		return false;
	*out = q->pool[q->heap[0].slot];
	*at_ms = q->heap[0].at_ms;
	q->free[q->free_count++] = q->heap[0].slot;
	q->heap[0] = q->heap[--q->count];
	for (;;) {
		uint32_t least = i;

		for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < q->count; child++)
			if (before(q, child, least))
				least = child;
		if (least == i)
			return true;
		swap(q, i, least);
		i = least;
	}
}

void queue_close(struct queue *q)
{
	for (uint32_t i = 0; i < q->count; i++)
		bytes_close(&q->pool[q->heap[i].slot].bytes);
	mem_free(q->heap);
	mem_free(q->pool);
	mem_free(q->free);
	*q = (struct queue){0};
}
