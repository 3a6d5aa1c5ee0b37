/* What node_gossip.c and node_gossip_messages.c share. */
#ifndef PEER_OVERLAY_NODE_OVERLAY_H
#define PEER_OVERLAY_NODE_OVERLAY_H

#include "peer/overlay/directory.h"
#include "peer/overlay/node_state.h"

struct overlay {
	struct directory *directory;
	struct gossip *core;
	struct gossip_effects pending; /* what steps of the core append to */
	struct gossip_effects batch;   /* what gossip_flush is carrying out */
	uint64_t random;	       /* of splitmix64 (Steele, Lea, Flood, OOPSLA 2014) */
	conn_id conns[DIRECTORY_PEERS_MAX + 1]; /* a session with each peer; 0: none */
	uint16_t sessions[DIRECTORY_PEERS_MAX + 1];
	bool root[DIRECTORY_PEERS_MAX + 1]; /* met as the coordinator: the application's to dial */
	bool owed[DIRECTORY_PEERS_MAX + 1]; /* a DOWN that could not be told for want of memory */
	bool owing;
	peer_ref speaker;  /* whose message the core is hearing; 0: nobody's */
	uint64_t shed;	   /* messages not sent that the log has not told of */
	uint32_t unheard;  /* messages not taken, in all, when the log last told of them */
	uint64_t shed_ms;  /* when that was */
	uint64_t ask_ms;   /* a host is asked for the newest beacon not before this */
	uint64_t alone_ms; /* still without a neighbour then, the shell is asked for addresses */
	unsigned alone_tries;
	struct record record; /* our own */
	struct revocations revoked;
};

/* One step of the core. Errors: TK_ENOMEM. */
int overlay_step(struct node *n, struct gossip_event *event) TK_CHECKED;

/* What the core wants said, as a message; its spans borrow from the directory. False: it speaks of what
 * the directory has no bytes of, and is not sent. */
bool overlay_message_out(
	const struct overlay *o, const struct gossip_message *g, struct message *m);

/* What a peer says, to the core: in several steps where one message holds more than the core's does.
 * Errors end the connection: TK_EPROTO, TK_ELIMIT, TK_EAUTH, TK_ENOMEM. */
int overlay_message_in(struct node *n, struct connection *c, const struct message *m,
	struct errmsg *msg) TK_CHECKED;

/* A beacon names the newest of each topic: the core hears it as HEADS of whoever passed it on. */
int overlay_beacon(struct node *n, peer_ref from, struct span payload) TK_CHECKED;

#endif
