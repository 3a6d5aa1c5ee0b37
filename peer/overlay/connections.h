/* The table of a node's connections: found by number and by identity in constant time, walked in the
 * order in which they came, so that equal events give equal effects. */
#ifndef PEER_OVERLAY_CONNECTIONS_H
#define PEER_OVERLAY_CONNECTIONS_H

#include "peer/overlay/crowds.h"
#include "peer/overlay/node.h"
#include "peer/overlay/pulse.h"

struct connection {
	conn_id id;
	struct session *session; /* owned */
	bool dialled;		 /* we are the initiator */
	bool up;		 /* NODE_UP was said */
	bool keyed;		 /* can be found by key */
	bool broken;		 /* memory was short: the next tick ends it */
	bool guilty;		 /* its peer has said what breaks a rule */
	uint32_t farewell;	 /* the reason of the other side's GOODBYE; 0: none came */
	bool sought;		 /* gossip dialled it, for itself */
	bool used;		 /* the application has sent or got something through it */
	uint32_t chatter;	 /* small talk heard beyond what time allows … */
	uint64_t chatter_ms;	 /* … as of then */
	uint32_t records_s;	 /* the second in which it told us of … */
	uint32_t records;	 /* … so many peers that were new to us */
	uint32_t peer;		 /* peer_ref, once up, when it takes part in gossip; 0: not */
	struct public_key key;	 /* once up */
	uint64_t since_ms;	 /* when the transport came up */
	uint64_t heard_ms;	 /* the last sign of life */
	uint64_t asked_ms;	 /* our last ping */
	struct pulse pulse;
	struct endpoint remote; /* the other end; family 0: not known */
	bool own;		/* the event's */
	bool from_port;		/* we dialled from the port on which we listen */
	uint64_t prefix;	/* admission_prefix of that */
	conn_id carrier;	/* the session through whose circuit it goes; 0: none */
	bool observed;		/* the other side has said where we come from */
	uint64_t renew_ms;	/* when one that we dialled is to be replaced */
	conn_id renews;		/* the one that it replaces */
	size_t waiting;		/* bytes that the transport has not taken yet */
	uint64_t taken_ms;	/* while some wait: when it last took any */
	bool placed;		/* node_places.c: in one of its lists */
	bool released;		/* it had to make place */
	enum node_worth wanted; /* by the application */
	enum node_worth worth;	/* by all: whose list it is in */
	uint64_t relied_ms;	/* when a circuit last needed it; 0: never */
	uint64_t place_ms;	/* since when it has been silent, of what counts */
	uint64_t turn_ms;	/* since when it is up */
	struct connection *place_before, *place_after;
	struct crowd *crowd; /* NULL: not counted */
	struct connection *crowd_older, *crowd_newer;

	struct connection *previous, *next; /* in order of arrival */
	struct connection *next_by_id, *next_by_key;
};

struct connections {
	struct connection **by_id, **by_key; /* `buckets` chains each, a power of two */
	size_t buckets;
	size_t count;
	struct connection *first, *last;
	struct crowds crowds;
};

/* Errors: TK_ENOMEM. */
int connections_init(struct connections *t) TK_CHECKED;
/* Frees every connection and its session. */
void connections_close(struct connections *t);

/* A new cleared connection at the end of the order; NULL: out of memory. id is not in use. */
struct connection *connections_add(struct connections *t, conn_id id);
/* Frees it and its session. */
void connections_remove(struct connections *t, struct connection *c);

/* NULL: there is none. */
struct connection *connections_find(const struct connections *t, conn_id id);

/* From here on c is found by c->key, and no other connection with that key is. */
void connections_set_key(struct connections *t, struct connection *c);
struct connection *connections_find_key(const struct connections *t, const struct public_key *key);

#endif
