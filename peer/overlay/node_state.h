/* What the files of the node's core share; only node*.c include this. */
#ifndef PEER_OVERLAY_NODE_STATE_H
#define PEER_OVERLAY_NODE_STATE_H

#include "peer/overlay/admission.h"
#include "peer/overlay/connections.h"
#include "peer/overlay/node_effects.h"

struct overlay; /* node_gossip.c */

/* Accepted sessions by what they are worth, who has been silent longest first, and accepted connections whose handshake is
 * not done; node_places.c. */
struct places {
	struct connection *first[NODE_WORTHS + 1], *last[NODE_WORTHS + 1];
	size_t count[NODE_WORTHS + 1];
};

struct node {
	const struct identity *id;
	struct connections table;
	size_t up;	  /* sessions */
	size_t half_open; /* accepted and not up */
	size_t waiting;	  /* bytes that the transports have not taken yet, of all connections */
	size_t waiting_max;
	size_t connections_max;
	uint64_t pings;	 /* the token of the last ping */
	uint64_t now_ms; /* of this step, and below */
	uint64_t now_s;
	struct admission admission;
	struct places places;
	struct overlay *overlay; /* NULL: before NODE_START, takes no part in gossip */
};

/* node.c */

/* Hands what the session wants written to the transport. Errors: TK_ELIMIT, TK_ENOMEM. */
int connection_flush(struct node *n, struct connection *c, struct node_effects *out,
	struct errmsg *msg) TK_CHECKED;
/* Ends a connection that cannot go on, with a line in the log. EFFECTS_TO_END are in reserve. */
void connection_fail(
	struct node *n, struct connection *c, struct node_effects *out, const char *why);
/* Says why, then ends it. EFFECTS_TO_END are in reserve. */
void connection_goodbye(struct node *n, struct connection *c, struct node_effects *out,
	uint32_t reason, const char *text);

/* node_session.c */

/* Asks for a sign of life, and how long that takes. */
int connection_ping(struct node *n, struct connection *c, struct errmsg *msg) TK_CHECKED;
/* Everything that arrived, until it is used up. The errors are those that end the connection; TK_ECANCELED: it said
 * farewell. */
int connection_receive(struct node *n, struct connection *c, const struct node_event *event,
	struct node_effects *out, struct errmsg *msg) TK_CHECKED;

/* node_places.c */

/* Whose places it takes: its prefix, or the session that carries it to us; 0: nobody counts. */
uint64_t places_prefix(const struct node_event *event);
/* A connection that comes up: NULL when there is a place for it, perhaps in another's stead; otherwise why it
 * is closed. Two times EFFECTS_TO_END are in reserve. */
const char *places_refuse(struct node *n, const struct node_event *event, struct node_effects *out);
/* A connection that we accepted begins; its session is up; it is over. */
void places_begin(struct node *n, struct connection *c);
void places_enter(struct node *n, struct connection *c);
void places_leave(struct node *n, struct connection *c);
/* A message for the application came or went: is it of the kind that keeps a session of worth? */
void places_heard(struct node *n, struct connection *c, enum message_type type);
/* Each second: what it is worth by now. */
void places_tick(struct node *n, struct connection *c);

/* node_renew.c */

/* A connection begins: when is it old, and for which does it stand? */
void renewal_begin(struct node *n, struct connection *c, const struct node_event *event);
/* A session that is old asks to be replaced, or ends. EFFECTS_TO_END are in reserve. */
void renewal_tick(struct node *n, struct connection *c, struct node_effects *out);

/* node_gossip.c. Each step of the gossip core may speak to other connections than the one at hand; what it
 * wants done gathers and is carried out by gossip_flush, at the end of a node's step, when nobody holds a
 * pointer to a connection. */

void gossip_stop(struct node *n); /* frees */
/* NODE_START. Errors: TK_ENOMEM. */
int gossip_start(struct node *n, const struct node_event *event) TK_CHECKED;
/* True for an identity that the network's root has revoked. */
bool gossip_revoked(const struct node *n, const struct public_key *key);
void gossip_session_up(struct node *n, struct connection *c);
void gossip_session_down(struct node *n, struct connection *c);
/* True for a neighbour's session. */
bool gossip_is_neighbour(const struct node *n, const struct connection *c);
/* True for messages that are gossip's. */
bool gossip_wants(const struct node *n, const struct connection *c, enum message_type type);
/* Errors end the connection: TK_EPROTO, TK_ELIMIT, TK_EAUTH, TK_ENOMEM. */
int gossip_hear(struct node *n, struct connection *c, const struct message *m,
	struct errmsg *msg) TK_CHECKED;
/* WAKE, PUBLISH, ADVERTISE, UNREACHED, LEAVE. Errors: TK_ENOMEM; of PUBLISH also TK_EPROTO, TK_EAUTH and
 * TK_ELIMIT. */
int gossip_event(struct node *n, const struct node_event *event) TK_CHECKED;
/* NODE_TICK. */
void gossip_tick(struct node *n, struct node_effects *out);
void gossip_flush(struct node *n, struct node_effects *out);

#endif
