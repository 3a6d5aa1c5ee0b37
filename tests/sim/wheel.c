/* See wheel.h. */
#include "tests/sim/wheel.h"

#include <stdio.h>
#include <stdlib.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define MASK (WHEEL_MS - 1)

static void *more(void *old, uint32_t *capacity, size_t size)
{
	uint32_t n = *capacity < 1024 ? 1024 : *capacity + *capacity / 2;
	void *grown = mem_realloc(old, n * size);

	if (grown == NULL) {
		fprintf(stderr, "sim: no memory for %u events\n", n);
		exit(2);
	}
	*capacity = n;
	return grown;
}

void wheel_init(struct wheel *w)
{
	*w = (struct wheel){.event_count = 1, .extra_count = 1};
	w->buckets = mem_calloc(WHEEL_MS, sizeof(*w->buckets));
	REQUIRE(w->buckets != NULL);
}

void wheel_close(struct wheel *w)
{
	mem_free(w->buckets);
	mem_free(w->events);
	mem_free(w->extras);
	mem_free(w->late);
	*w = (struct wheel){0};
}

uint32_t wheel_new(struct wheel *w)
{
	uint32_t e = w->event_free;

	if (e != WHEEL_NONE) {
		w->event_free = w->events[e].next;
		return e;
	}
	if (w->event_count >= w->event_capacity)
		w->events = more(w->events, &w->event_capacity, sizeof(*w->events));
	return w->event_count++;
}

uint32_t wheel_extra_new(struct wheel *w)
{
	uint32_t x = w->extra_free;

	if (x != 0) {
		w->extra_free = w->extras[x].refs[0];
		return x;
	}
	if (w->extra_count >= w->extra_capacity)
		w->extras = more(w->extras, &w->extra_capacity, sizeof(*w->extras));
	return w->extra_count++;
}

void wheel_free(struct wheel *w, uint32_t event)
{
	struct wheel_event *e = &w->events[event];

	if (e->count > 1) {
		w->extras[e->ref].refs[0] = w->extra_free;
		w->extra_free = e->ref;
	}
	e->next = w->event_free;
	w->event_free = event;
}

static void bucket_append(struct wheel *w, uint32_t event, uint32_t at_ms)
{
	uint32_t b = at_ms & MASK;

	w->events[event].next = WHEEL_NONE;
	if (w->buckets[b].first == WHEEL_NONE)
		w->buckets[b].first = event;
	else
		w->events[w->buckets[b].last].next = event;
	w->buckets[b].last = event;
}

void wheel_post(struct wheel *w, uint32_t event, uint32_t at_ms)
{
	w->pending++;
	if (at_ms <= w->now_ms)
		at_ms = w->now_ms + 1;
	if (at_ms - w->now_ms < WHEEL_MS) {
		bucket_append(w, event, at_ms);
		return;
	}
	if (w->late_count >= w->late_capacity)
		w->late = more(w->late, &w->late_capacity, sizeof(*w->late));
	w->late[w->late_count].at_ms = at_ms;
	w->late[w->late_count++].event = event;
}

uint32_t wheel_take(struct wheel *w)
{
	uint32_t b = w->now_ms & MASK, e = w->buckets[b].first;

	if (e != WHEEL_NONE) {
		w->buckets[b].first = w->events[e].next;
		w->pending--;
	}
	return e;
}

static void late_sort_in(struct wheel *w)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < w->late_count; i++) {
		if (w->late[i].at_ms - w->now_ms < WHEEL_MS)
			bucket_append(w, w->late[i].event, w->late[i].at_ms);
		else
			w->late[kept++] = w->late[i];
	}
	w->late_count = kept;
}

void wheel_advance(struct wheel *w)
{
	REQUIRE(w->buckets[w->now_ms & MASK].first == WHEEL_NONE);
	w->now_ms++;
	if ((w->now_ms & (MASK >> 1)) == 0)
		late_sort_in(w);
}

size_t wheel_memory(const struct wheel *w)
{
	return WHEEL_MS * sizeof(*w->buckets) + w->event_capacity * sizeof(*w->events) +
	       w->extra_capacity * sizeof(*w->extras) + w->late_capacity * sizeof(*w->late);
}

void alarms_init(struct alarms *a, uint32_t count)
{
	a->buckets = mem_calloc(WHEEL_MS, sizeof(*a->buckets));
	a->alarms = mem_calloc((size_t)count + 1, sizeof(*a->alarms));
	REQUIRE(a->buckets != NULL && a->alarms != NULL);
}

void alarms_close(struct alarms *a)
{
	mem_free(a->buckets);
	mem_free(a->alarms);
}

void alarms_clear(struct alarms *a, uint32_t node)
{
	struct alarm *m = &a->alarms[node];

	if (m->at_ms == 0)
		return;
	if (m->previous == 0)
		a->buckets[m->at_ms & MASK] = m->next;
	else
		a->alarms[m->previous].next = m->next;
	if (m->next != 0)
		a->alarms[m->next].previous = m->previous;
	m->at_ms = 0;
}

void alarms_set(struct alarms *a, uint32_t node, uint32_t now_ms, uint32_t at_ms)
{
	struct alarm *m = &a->alarms[node];
	uint32_t *first;

	if (at_ms - now_ms >= WHEEL_MS)
		at_ms = now_ms + WHEEL_MS - 1;
	if (m->at_ms == at_ms)
		return;
	alarms_clear(a, node);
	first = &a->buckets[at_ms & MASK];
	*m = (struct alarm){at_ms, *first, 0};
	if (*first != 0)
		a->alarms[*first].previous = node;
	*first = node;
}

uint32_t alarms_take(struct alarms *a, uint32_t now_ms)
{
	uint32_t node = a->buckets[now_ms & MASK];

	if (node != 0)
		alarms_clear(a, node);
	return node;
}
