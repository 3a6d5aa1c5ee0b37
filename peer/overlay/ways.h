/* A node with its ways through NATs: node.h's core, and around it reachability (reach.h), relaying (relay.h,
 * circuits.h), hole punching (punch.h) and the order of attempts (dial.h), composed into one core without
 * I/O that is driven exactly like the node alone: ways_step for node_step.
 *
 * A *way* is a session that the application knows by a number of ours, with the top bit set, while what
 * carries it may change below: one that ways_connect opened, by whichever way was first, or one that came
 * in through a relay. Relayed sessions are ordinary sessions, end to end, over a virtual connection; when a
 * punch opens a direct one, the way moves to it and no message is lost (MOVED in messages.h). Sessions that
 * the shell dials or accepts keep the shell's numbers. */
#ifndef PEER_OVERLAY_WAYS_H
#define PEER_OVERLAY_WAYS_H

#include "peer/overlay/reach.h"
#include "peer/overlay/relay.h"

#define WAYS_MAX	 256u
#define WAYS_PUNCH_BURST 32u   /* addresses that we dial on other peers' word at once … */
#define WAYS_PUNCH_MS	 2000u /* … and one more in each such time */

struct ways_config {
	const struct identity *id; /* borrowed */
	uint8_t seed[32];	   /* random: secrets of virtual connections come from it */
	struct relay_config relay; /* serve: relay for others (a peer: once it is public) */
	bool punch;		   /* try to get from relayed to direct sessions */
};
/* All of it, for this identity's role: a coordinator always serves, a peer once strangers can dial it. */
void ways_config_default(
	struct ways_config *out, const struct identity *id, const uint8_t seed[32]);

struct ways;

/* NULL: out of memory. */
struct ways *ways_new(const struct ways_config *config);
void ways_free(struct ways *w);
/* The node inside, for its statistics and limits. */
struct node *ways_node(const struct ways *w);

/* One step; like node_step, and with its errors. What could not be said for want of memory is said in the
 * next step. */
int ways_step(struct ways *w, const struct node_event *event, struct node_effects *out) TK_CHECKED;
/* When the next NODE_WAKE is due, finer than the ticks; UINT64_MAX: never. */
uint64_t ways_wake_ms(const struct ways *w);

/* Opens a session with the record's peer by whatever way leads there; *conn is its number. NODE_UP or
 * NODE_UNREACHABLE follows. Borrows record for the call. Errors: TK_ENOMEM, TK_ELIMIT. */
int ways_connect(struct ways *w, uint64_t now_ms, const struct record *record, conn_id *conn,
	struct node_effects *out) TK_CHECKED;

/* What the shell knows: reach.h. */
void ways_listen(struct ways *w, uint16_t port, const struct endpoint *locals, size_t count);
void ways_mapped(struct ways *w, const struct endpoint *at);

/* Does a relay carry this session now? */
bool ways_is_relayed(const struct ways *w, conn_id conn);
/* Where the transport comes from or leads. False: a relay carries it, it is over, or nobody knows. */
bool ways_remote(const struct ways *w, conn_id conn, struct endpoint *out);
/* node_waiting, node_rtt_ms, node_features, node_skew_s and node_prefix, of ways too. */
uint64_t ways_features(const struct ways *w, conn_id conn);
uint64_t ways_prefix(const struct ways *w, conn_id conn);
size_t ways_waiting(const struct ways *w, conn_id conn);
uint32_t ways_rtt_ms(const struct ways *w, conn_id conn);
int64_t ways_skew_s(const struct ways *w, conn_id conn);
/* node_value, of ways too. */
void ways_value(struct ways *w, conn_id conn, enum node_worth worth);
const struct reach *ways_reach(const struct ways *w);

struct ways_stats {
	struct relay_stats relay; /* for others */
	uint32_t relayed, direct; /* ways that are open */
	uint64_t punched;	  /* since the start */
};
void ways_stats(const struct ways *w, struct ways_stats *out);

#endif
