/* How many connections come from each prefix, and which prefix has most: in constant time, since it is asked
 * whenever somebody comes and all places are taken, as often as strangers like. */
#ifndef PEER_OVERLAY_CROWDS_H
#define PEER_OVERLAY_CROWDS_H

#include <stddef.h>
#include <stdint.h>

#include "tasks/base/bytes.h"

struct connection;

struct crowd {
	uint64_t prefix;
	uint32_t count;
	struct connection *newest;
	struct crowd *next; /* in its chain */
	struct crowd *before,
		*after; /* of those with as many, in the order in which they got there */
};

struct crowds {
	struct crowd **by_prefix;     /* chains; owned, as the crowds are */
	struct crowd **first, **last; /* by count */
	size_t most;
};

/* Errors: TK_ENOMEM. */
int crowds_init(struct crowds *w) TK_CHECKED;
/* After all connections have left. */
void crowds_close(struct crowds *w);

/* Counts c, a connection that comes, by c->prefix, which is not 0. Without memory it is not counted. */
void crowds_enter(struct crowds *w, struct connection *c);
/* c goes, counted or not. */
void crowds_leave(struct crowds *w, struct connection *c);

/* The newest of the prefix that has most, if that has at least two more than this one (0: which has none);
 * NULL: there is none. */
struct connection *crowds_heaviest(const struct crowds *w, uint64_t prefix);

#endif
