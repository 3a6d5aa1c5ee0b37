/* Who has what, as the coordinator knows it: groups (a blob, or the shards that are shuffled together) and
 * the peers that have something of each. Answers are random subsets, half of them peers that strangers can
 * dial, as far as there are any. A core on handles, O(1) for each change and each peer named. */
#ifndef PEER_SWARM_TRACKER_H
#define PEER_SWARM_TRACKER_H

#include "peer/swarm/swarm.h"

struct tracker;

/* NULL: out of memory. */
struct tracker *tracker_new(void);
void tracker_free(struct tracker *t);

/* The peer has one more blob of the group, or one less. Peers that nobody can reach are not told.
 * Errors: TK_ENOMEM, TK_ELIMIT (this peer is listed in TRACKER_GROUPS_MAX groups). */
#define TRACKER_GROUPS_MAX 4096u
int tracker_add(struct tracker *t, blob_ref group, peer_ref peer, bool public) TK_CHECKED;
void tracker_remove(struct tracker *t, blob_ref group, peer_ref peer);
/* It is gone, with all that it has. */
void tracker_remove_peer(struct tracker *t, peer_ref peer);

/* How many there are without the asker. */
size_t tracker_count(const struct tracker *t, blob_ref group, peer_ref asker);
/* Up to want ≤ BLOB_SOURCES_MAX of them, all different. */
size_t tracker_who(const struct tracker *t, blob_ref group, peer_ref asker, size_t want,
	uint64_t random, peer_ref out[BLOB_SOURCES_MAX]);
size_t tracker_memory(const struct tracker *t);

#endif
