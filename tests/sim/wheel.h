/* The event queue: a timing wheel of one bucket a millisecond, first in, first out within a bucket; both
 * ends cost O(1). Events are 32 bytes in a pool and named by number; what a message lists beyond its first
 * entry lies in a pool of its own. Nothing is allocated once the pools are as large as the run needs.
 *
 * A second wheel keeps at most one wake-up for each node, as lists through the nodes' own entries. */
#ifndef TESTS_SIM_WHEEL_H
#define TESTS_SIM_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHEEL_MS   (1u << 16) /* how far ahead: later events go round again */
#define WHEEL_NONE 0u	      /* the number of no event */

struct wheel_event {
	uint32_t next;
	uint8_t kind;  /* the world's */
	uint8_t type;  /* of a message; else the kind's own */
	uint8_t count; /* of a message's refs: beyond 1 they lie in extras[ref] */
	uint8_t ttl;   /* its ttl, and its flag in the highest bit */
	uint32_t from, to;
	uint32_t serial; /* of the session */
	uint32_t about, ref, sequence;
};

struct wheel_extra {
	uint32_t refs[8], sequences[8];
	uint8_t hops[8];
};

struct wheel {
	uint32_t now_ms;
	struct wheel_event *events;
	uint32_t event_count, event_capacity, event_free;
	struct wheel_extra *extras;
	uint32_t extra_count, extra_capacity, extra_free;
	struct {
		uint32_t first, last;
	} * buckets;
	struct {
		uint32_t at_ms, event;
	} * late; /* what is due beyond the wheel, looked through once in half a turn */
	uint32_t late_count, late_capacity;
	uint32_t pending;
};

/* All end the program where memory is short: a simulation cannot go on without. */
void wheel_init(struct wheel *w);
void wheel_close(struct wheel *w);

/* Room for one event; its fields are the caller's, except next. */
uint32_t wheel_new(struct wheel *w);
uint32_t wheel_extra_new(struct wheel *w);
/* At at_ms, but not before the next millisecond. */
void wheel_post(struct wheel *w, uint32_t event, uint32_t at_ms);
/* The first event of the present millisecond, taken out; WHEEL_NONE: there is none. The caller frees it. */
uint32_t wheel_take(struct wheel *w);
void wheel_free(struct wheel *w, uint32_t event);
/* Goes on to the next millisecond. All of the present one must be taken. */
void wheel_advance(struct wheel *w);
size_t wheel_memory(const struct wheel *w);

/* Wake-ups: one for each of 1 … count. */
struct alarms {
	uint32_t *buckets;
	struct alarm {
		uint32_t at_ms, next, previous; /* at_ms 0: none. previous: 0 is the bucket */
	} * alarms;
};
void alarms_init(struct alarms *a, uint32_t count);
void alarms_close(struct alarms *a);
/* at_ms ≥ now_ms; what is further ahead than a turn rings early. */
void alarms_set(struct alarms *a, uint32_t node, uint32_t now_ms, uint32_t at_ms);
void alarms_clear(struct alarms *a, uint32_t node);
/* The next of those due at now_ms, whose alarm is then none; 0: no more. */
uint32_t alarms_take(struct alarms *a, uint32_t now_ms);

#endif
