/* The overlay node: every connection of a peer or coordinator, as one core without I/O.
 *
 * node_step(node, event, effects): time, bytes and randomness arrive in events; what is to be written,
 * dialled, closed or told to the application leaves in effects. It owns sessions, handshake deadlines,
 * admission, keep-alive and the blob exchange's framing; the application (agent or coordinator
 * core) sees sessions and messages only. After NODE_START it takes part in gossip: it keeps neighbours,
 * passes announcements on and tells the application what is new. */
#ifndef PEER_OVERLAY_NODE_H
#define PEER_OVERLAY_NODE_H

#include "peer/wire/session.h"

#define NODE_HANDSHAKE_MS    10000u /* from connection to open session */
#define NODE_HALF_OPEN_MAX   256u   /* accepted; one more closes the oldest of them */
#define NODE_PREFIX_MAX	     (NODE_HALF_OPEN_MAX / 4) /* of them from one prefix; local ones apart */
#define NODE_CONNECTIONS_MAX 4096u
#define NODE_PLACE_MS	     10000u /* when all places are taken: nobody's idle session ends before */
#define NODE_TURN_MS	     60000u /* how long work keeps a place when all are taken */
#define NODE_PLACES_NEW	     8u	    /* a part of all, for who is new, before others make place */
#define NODE_OUTPUT_MAX	     (8u << 20)	  /* bytes waiting for a slow reader; beyond: closed */
#define NODE_OUTPUT_ALL_MAX  (512u << 20) /* for all readers together: node_limit_output */
#define NODE_CHATTER_PER_S   200u	  /* small talk of one session … */
#define NODE_CHATTER_MAX     2000u	  /* … and so much at once */
#define NODE_UNREAD_MS	     600000u /* it takes nothing of what waits: closed, whatever it says */
#define NODE_OUTPUT_LOW	     (256u << 10) /* below: NODE_WRITABLE, a good time to send more */
#define NODE_TICK_MS	     1000u
/* A session that we dialled is replaced by a fresh one after a day ± an hour by chance, so that keys do
 * not grow old; when that fails, again every ten minutes. One that is two days old ends. */
#define NODE_RENEW_MS	    (24u * 3600 * 1000)
#define NODE_RENEW_EARLY_MS (3600u * 1000)
#define NODE_RENEW_AGAIN_MS (10u * 60 * 1000)
#define NODE_AGE_MAX_MS	    (48u * 3600 * 1000)

typedef uint64_t conn_id; /* given by the shell, never reused, ≠ 0 */

enum node_event_type {
	NODE_CONNECTED = 1, /* we dialled and the transport is up; random, expect */
	NODE_ACCEPTED = 2,  /* somebody dialled us; random, remote */
	NODE_BYTES = 3,	    /* bytes arrived */
	NODE_WRITTEN = 4,   /* the transport took `count` bytes of what we sent */
	NODE_LOST = 5,	    /* the transport is gone; text may say why */
	NODE_TICK = 6,	    /* every NODE_TICK_MS */
	NODE_SEND = 7,	    /* the application: send message on conn */
	NODE_DROP = 8,	    /* the application: say goodbye (reason, text) and close */
	NODE_START = 9,	    /* once, before sessions: take part in gossip; random */
	NODE_WAKE = 10,	    /* node_wake_ms has come */
	NODE_ADVERTISE =
		11, /* the application: record says where we are reached; the node signs it */
	NODE_PUBLISH = 12, /* the coordinator: bytes, an announcement with its signature, for all */
	NODE_UNREACHED = 13, /* answers NODE_DIAL: expect could not be reached */
	NODE_LEAVE = 14,     /* we go for good: neighbours are told to forget us */
	/* Of ways_step (ways.h) only: */
	NODE_TRY_FAILED = 15, /* answers NODE_TRY, when no transport came up; text may say why */
	NODE_PROBED = 16, /* answers NODE_PROBE; text: why not, NULL when our network answered */
};

struct node_event {
	enum node_event_type type;
	uint64_t now_ms; /* monotonic */
	uint64_t now_s;	 /* wall clock */
	conn_id conn;
	struct span bytes;
	size_t count;
	uint8_t random[32];
	const struct public_key *expect; /* CONNECTED: whose identity we demand; NULL: any */
	bool hosts; /* CONNECTED: expect is the root's key, and a host of the link will do */
	const struct endpoint *remote; /* ACCEPTED, CONNECTED: the other end; NULL: not known */
	conn_id carrier; /* ACCEPTED, CONNECTED: the session through whose circuit it goes; 0: none */
	bool sought;	 /* CONNECTED: this dial was a NODE_DIAL */
	conn_id renews; /* CONNECTED: this dial was a NODE_RENEW of that one; 0: no */
	bool respond;	/* CONNECTED: the other side begins the handshake (both dialled at once) */
	bool from_port; /* CONNECTED: we dialled from the port on which we listen */
	bool own;	/* CONNECTED, ACCEPTED: UP, DOWN … say so again (ways.h) */
	uint64_t token; /* CONNECTED, TRY_FAILED, PROBED: the effect's; 0: none */
	const struct message *message;
	uint32_t reason; /* enum goodbye_reason */
	const char *text;
	const struct record *record;	   /* ADVERTISE: flags, endpoints and relays count */
	const struct signature *signature; /* PUBLISH */
};

/* What a session is worth to this node: who goes first when all places are taken. */
enum node_worth {
	NODE_WORTH_NONE = 0,  /* nobody would miss it */
	NODE_WORTH_LATER = 1, /* it has something to do here, and can come back for that */
	NODE_WORTH_NOW = 2,   /* it is in the middle of something */
	NODE_WORTHS = 3,
};

enum node_effect_type {
	NODE_WRITE = 1, /* write bytes to conn (owned by the effect list) */
	NODE_CLOSE =
		2,   /* close conn after what was written; text says why. The node has forgotten it:
	                      * later events about it are ignored. Comes once for each connection, unless
	                      * it was LOST */
	NODE_UP = 3, /* session open: key, role */
	NODE_DOWN = 4, /* session over (only after UP): text says why, reason what GOODBYE said */
	NODE_MESSAGE = 5,  /* a message for the application */
	NODE_LOG = 6,	   /* a line for the log: text */
	NODE_WRITABLE = 7, /* what waited has gone out, down to NODE_OUTPUT_LOW: send more */
	NODE_OBSERVED = 8, /* the other side, whom we dialled, sees us come from `at`. Once */
	NODE_DIAL =
		9, /* open a session with record's peer: CONNECTED (sought) or UNREACHED follows */
	NODE_ANNOUNCED = 10, /* bytes: an announcement, verified, never seen before */
	NODE_ISOLATED =
		11, /* no beacon for too long, or no neighbour: dial hosts of the link or peers of the
	             * cache */
	NODE_RENEW =
		12, /* conn is old: dial its other end anew; CONNECTED (renews) may follow. When that is
	                  * UP, the other side ends the old one: GOODBYE(replaced) */
	/* Of ways_step only: */
	NODE_TRY = 13,	  /* dial `at`, from our port: CONNECTED or TRY_FAILED with this token */
	NODE_CANCEL = 14, /* give up the dial of this token; TRY_FAILED may follow */
	NODE_PROBE = 15,  /* see whether our network answers at `at`: PROBED with this token */
	NODE_UNREACHABLE = 16, /* answers ways_connect: no way led to conn's peer; text */
};

struct node_effect {
	enum node_effect_type type;
	conn_id conn;
	struct bytes bytes;    /* WRITE: bytes. MESSAGE: the bytes that message borrows from */
	struct public_key key; /* UP, DOWN */
	enum role role;
	uint32_t reason;	/* DOWN: enum goodbye_reason of the other side; 0: it said none */
	bool released;		/* DOWN: we gave its place to another */
	conn_id renews;		/* UP: the session that this one stands for from here on; 0: none */
	struct message message; /* MESSAGE */
	struct endpoint at;	/* OBSERVED, TRY, PROBE */
	uint64_t token;		/* TRY, CANCEL, PROBE */
	bool own; /* UP, DOWN, MESSAGE, WRITABLE, OBSERVED: the event's, of the connection */
	struct record record; /* DIAL */
	char text[TEXT_MAX];
};

/* A growing list; effects_close frees it. */
struct node_effects {
	struct node_effect *items;
	size_t count, capacity;
};
void node_effects_clear(struct node_effects *e); /* frees the items' bytes, keeps room */
void node_effects_close(struct node_effects *e);

struct node;
/* Borrows id. */
struct node *node_new(const struct identity *id);
void node_free(struct node *n);

/* How many bytes may wait for all readers together; NODE_OUTPUT_ALL_MAX unless said. Beyond, a
 * session for which more waits than an equal share is closed, when it is sent something. */
void node_limit_output(struct node *n, size_t bytes);
/* How many connections there may be; NODE_CONNECTIONS_MAX unless said, and at most. */
void node_limit_connections(struct node *n, size_t count);

/* What the application thinks of a session; NONE unless said. Saying it of one that is not open does nothing. */
void node_value(struct node *n, conn_id conn, enum node_worth worth);
/* A circuit needs this session now; to be said each second as long as it does. */
void node_rely(struct node *n, conn_id conn);

/* One step; appends to out. What the other side does wrong is no error here: it ends the connection,
 * with a LOG. Errors:
 * TK_ENOMEM: of CONNECTED and ACCEPTED, the node knows nothing of conn and the caller closes it; of
 *     others, the connection concerned ends in this step or in the next TICK;
 * TK_ENOENT of SEND and DROP: the connection is not open any more (harmless);
 * TK_EINVAL, TK_ELIMIT of SEND: the message breaks a limit; the session goes on. */
int node_step(struct node *n, const struct node_event *event, struct node_effects *out) TK_CHECKED;

size_t node_session_count(const struct node *n);

/* When NODE_WAKE is due; UINT64_MAX: never. */
uint64_t node_wake_ms(const struct node *n);

/* The record that a peer has signed of itself, as far as we hold a good one. encoded is borrowed until the
 * next step. False: we hold none. */
bool node_record(const struct node *n, const struct public_key *key, struct span *encoded,
	struct record *record);

/* Records of peers that we know to be good, neighbours first, encoded; for a cache that outlives us.
 * The coordinator is none of them: the link leads there; nor is who says no place to call it at. Returns how many, at most max; the spans are borrowed until the
 * next step. */
size_t node_good_peers(const struct node *n, struct span *records, size_t max);
/* How many neighbours gossip has. */
size_t node_neighbour_count(const struct node *n);

/* Bytes that wait to be written to conn; 0 for one that is not open. Senders of much stop above
 * NODE_OUTPUT_LOW and go on when NODE_WRITABLE comes; at NODE_OUTPUT_MAX the session is closed. */
size_t node_waiting(const struct node *n, conn_id conn);

/* How conn's transport came about; false: it is not open. */
struct node_transport {
	struct endpoint remote; /* family 0: not known */
	bool dialled, from_port;
};
bool node_transport(const struct node *n, conn_id conn, struct node_transport *out);

/* What sessions of one place have in common (endpoint_prefix; of those through a relay, the relay's session);
 * 0: local, not known, or not open. */
uint64_t node_prefix(const struct node *n, conn_id conn);

/* The session's round trip as last measured, at least 1; 0: not measured yet, or no session. */
uint32_t node_rtt_ms(const struct node *n, conn_id conn);
/* The same with its deviation: median + 8 × MAD. */
uint32_t node_late_ms(const struct node *n, conn_id conn);
/* How long an answer may take there, by its round trips (pulse.h); 0: not measured yet, or no session. */
uint32_t node_answer_ms(const struct node *n, conn_id conn);
/* session_features() of it; 0: no session. */
uint64_t node_features(const struct node *n, conn_id conn);
/* session_skew_s() of it; 0: no session. */
int64_t node_skew_s(const struct node *n, conn_id conn);

#endif
