/* How many connected peers each address prefix has, so that the replicas of a unit can go to different ones. */
#ifndef COORDINATOR_PREFIXES_H
#define COORDINATOR_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sorted by prefix; all zero is none. Finding one takes log(prefixes), a new one moves those behind it. */
struct prefixes {
	struct prefix_count {
		uint64_t prefix;
		uint32_t peers;
	} * list;
	size_t count, capacity;
	uint32_t total; /* peers */
};

void prefixes_close(struct prefixes *s);
/* One more, or one less, connected peer of this prefix; 0 (not known) is not counted. Without memory a new prefix is
 * not counted either, and removing it does nothing. */
void prefixes_add(struct prefixes *s, uint64_t prefix);
void prefixes_remove(struct prefixes *s, uint64_t prefix);

/* True when peers elsewhere suffice for `quorum` replicas of each unit that a peer of this prefix has: it holds at
 * most 1/quorum of all that are connected. False for 0. */
bool prefixes_has_others(const struct prefixes *s, uint64_t prefix, uint32_t quorum);

#endif
