/* Overlay nodes wired together in memory under virtual time: no sockets, no clock, one seed.
 *
 * Bytes written by one end lie in flight until net_run moves them, in pieces of random length. Every
 * effect of every node is kept in `seen`, in order: the tests' evidence. Uses malloc, never mem_alloc,
 * so that mem_fail hits the nodes alone. */
#ifndef TESTS_LIB_NET_H
#define TESTS_LIB_NET_H

#include "peer/overlay/node.h"

#define NET_NODES_MAX 40u
#define NET_NOBODY    NET_NODES_MAX /* the test itself plays that end */

struct net_end {
	size_t node;	    /* or NET_NOBODY */
	uint8_t *in_flight; /* towards this end */
	size_t len;
	bool closed;
	bool untold; /* the writer never hears that what it wrote was taken */
};

struct net_wire {
	struct net_end ends[2]; /* 0 dialled, 1 accepted */
	bool stalled;		/* nothing moves: the reader is slow */
	bool dead;		/* what is written vanishes: the host is gone */
};

struct net_node {
	struct identity id;
	struct node *node;
	struct node_effects seen;
	size_t done;	/* of seen: carried out */
	int64_t skew_s; /* how fast its wall clock is */
	bool dead;
};

struct net {
	struct net_node nodes[NET_NODES_MAX];
	size_t node_count;
	struct net_wire *wires;
	size_t wire_count;
	uint64_t now_ms;
	uint64_t seed;
};

void net_open(struct net *net, uint64_t seed);
void net_close(struct net *net);

/* Adds node number node_count. network: the root key of its network; NULL: its own. */
size_t net_add(struct net *net, enum role role, const struct public_key *network);

/* Either end may be NET_NOBODY. Gives the dialling end's number; the accepting end's is one more. */
conn_id net_dial(struct net *net, size_t from, size_t to, const struct public_key *expect);

/* The same to an address of the link: from demands the network's root key, and takes a host, too. */
conn_id net_dial_link(struct net *net, size_t from, size_t to);

/* The same as net_dial, and the accepting node is told that it comes from there. */
conn_id net_dial_from(struct net *net, size_t from, size_t to, const struct public_key *expect,
	const struct endpoint *remote);

/* Carries out a NODE_RENEW: dials the other end of old, a dialling end, anew. */
conn_id net_redial(struct net *net, conn_id old);

/* One event to the node that holds conn (or, for TICK, to node number `node`). */
int net_step(struct net *net, size_t node, struct node_event *event);
int net_send(struct net *net, conn_id conn, const struct message *m);
int net_drop(struct net *net, conn_id conn, uint32_t reason, const char *text);

/* Puts bytes in flight towards conn, as if the other end had written them. */
void net_inject(struct net *net, conn_id conn, const void *data, size_t n);

/* Moves everything that can move, until nothing does. */
void net_run(struct net *net);
/* Takes part in gossip, from here on. */
void net_gossip(struct net *net, size_t node);
/* Says where the node is reached: an address of its own, by which NODE_DIAL finds it. */
void net_advertise(struct net *net, size_t node);
/* The node's host loses power: its wires go dead, and dials to it fail. */
void net_kill(struct net *net, size_t node);
/* Lets time pass, tick by tick, and wakes who wants to be woken. */
void net_pass(struct net *net, uint64_t ms);

struct net_wire *net_wire_of(struct net *net, conn_id conn);
/* How often a node's effects say this about conn (0: any); the last one that does, or NULL. */
size_t net_count(const struct net *net, size_t node, enum node_effect_type type, conn_id conn);
const struct node_effect *net_last(
	const struct net *net, size_t node, enum node_effect_type type, conn_id conn);

#endif
