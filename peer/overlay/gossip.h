/* Membership and broadcast of one node, as a core without I/O, on 32-bit handles.
 *
 * Membership is HyParView (Leitão, Pereira, Rodrigues, DSN 2007): a small *active view* of neighbours with
 * open sessions, symmetric, and a larger *passive view* of records from which lost neighbours are replaced;
 * shuffles keep the passive view fresh. Broadcast is Plumtree (same authors, SRDS 2007): bodies go along
 * *eager* links, which form a tree; the other neighbours are *lazy* and get only ids (IHAVE); who hears of
 * an id and misses its body asks (GRAFT) and so repairs the tree; who gets a body twice makes the link
 * lazy (PRUNE). The newest body of each topic is retained; on each new link, and when beacons fail to come,
 * both sides compare what they retain (HEADS) and pull what they miss.
 *
 * Handles: the tables around the core (the node's own, or one shared by all nodes of a simulation) number
 * peers, bodies and topics; the core never sees a key, an address or a byte of a body. Whatever is handed
 * in was checked before: records and bodies are signed, and a BROADCAST whose signature is wrong never gets
 * here. Time and randomness come in events; one step is O(active view) for all but rare events. */
#ifndef PEER_OVERLAY_GOSSIP_H
#define PEER_OVERLAY_GOSSIP_H

#include "peer/wire/messages.h"

typedef uint32_t peer_ref;  /* 0: none */
typedef uint32_t body_ref;  /* 0: none. The same body, or id, always has the same number */
typedef uint32_t topic_ref; /* 0: none */

/* What the core may know of a peer or a body; entry 0 of each table is unused. */
struct peer_info {
	/* endpoint_prefix of where it is reached (of its relay, if by relay). 0: it counts against no
	 * quota, as for loopback and private addresses. */
	uint64_t prefix;
	uint32_t expiry_s; /* of its record, on the clock of gossip_event.now_s; 0: gone already */
	bool public;	   /* RECORD_PUBLIC */
};
struct body_info {
	topic_ref topic; /* 0: only its id is known so far */
	uint32_t issued_s;
	uint64_t sequence;
	bool beacon; /* its topic is the beacon */
};
/* Borrowed; its owner may move the arrays between steps. */
struct gossip_tables {
	const struct peer_info *peers;
	const struct body_info *bodies;
};

#define GOSSIP_ACTIVE_MAX  64u
#define GOSSIP_PASSIVE_MAX 64u

struct gossip_config {
	peer_ref self;
	bool public;	     /* strangers can dial us */
	bool root;	     /* the coordinator: publishes, and serves as a contact for joiners */
	uint8_t active_out;  /* neighbours that we look for: 8; NATed peers 4 */
	uint8_t active_max;  /* with those who came to us: 56, NATed peers 8 */
	uint8_t passive_max; /* 64 */
	uint8_t prefix_max;  /* neighbours of one prefix: 2; prefix 0 is not counted */
	uint8_t arwl, prwl;  /* 6, 3: active and passive random walk length */
	uint8_t shuffle_ttl; /* 6 */
	uint8_t shuffle_active, shuffle_passive; /* 3, 4 */
	uint16_t lazy_ms;      /* an IHAVE waits so long for others to go with it: 30 */
	uint32_t shuffle_ms;   /* 60,000, ± a fifth by chance */
	uint32_t beacon_ms;    /* 30,000: two missed, then pull; three, then join again */
	uint32_t graft_min_ms; /* 500: how long a body may be behind its id; at least 3 × RTT */
};
/* The values above. */
void gossip_config_default(struct gossip_config *out, peer_ref self, bool public);

/* One message between two nodes; the node around the core translates it from and to struct message. */
struct gossip_message {
	uint8_t type;  /* enum message_type: JOIN … PULL */
	uint8_t count; /* of refs */
	uint8_t ttl;   /* FORWARD_JOIN, SHUFFLE; BROADCAST: hops, as in struct message_broadcast */
	bool flag;     /* NEIGHBOR: high; NEIGHBOR_REPLY: accepted; DISCONNECT: leaving */
	/* JOIN, FORWARD_JOIN, NEIGHBOR, SHUFFLE: the peer it is about. BROADCAST, PRUNE: the body.
	 * PULL: the topic. */
	uint32_t about;
	/* SHUFFLE, SHUFFLE_REPLY: peers. IHAVE, GRAFT: bodies. HEADS: topics. More of them: more messages. */
	uint32_t refs[8];
	uint64_t sequences[8]; /* HEADS: the newest that the sender has of refs[i] */
	uint8_t hops[8];       /* IHAVE: how far refs[i] had come when the sender got it */
};

enum gossip_event_type {
	GOSSIP_START =
		1, /* refs: peers to join through (of the link, of the cache); again: more of them */
	/* A session with peer is open; flag: we dialled; rtt_ms when known. Answers every DIAL, at once where
	 * a session is open already. */
	GOSSIP_UP = 2,
	GOSSIP_DOWN = 3,	/* it is over; flag: because the peer broke a rule */
	GOSSIP_DIAL_FAILED = 4, /* answers GOSSIP_DIAL: peer cannot be reached now */
	GOSSIP_MESSAGE = 5,	/* message from peer */
	GOSSIP_WAKE = 6,	/* gossip_wake_ms has come */
	GOSSIP_PUBLISH = 7,	/* root only: body is ours */
	GOSSIP_LEAVE = 8,	/* we are going: tell the neighbours */
	GOSSIP_ASK = 9, /* peer: a host of the link, proven by its handshake: is our beacon new? */
};

struct gossip_event {
	enum gossip_event_type type;
	uint64_t now_ms; /* monotonic */
	uint64_t now_s;	 /* wall clock, for the expiry of records only */
	uint64_t random; /* fresh in every event */
	peer_ref peer;
	bool flag;
	uint32_t rtt_ms; /* UP, MESSAGE: of the session as last measured; 0: unknown */
	body_ref body;
	const struct gossip_message *message;
	const peer_ref *refs;
	size_t count;
};

enum gossip_effect_type {
	GOSSIP_SEND = 1, /* message to peer, with whom a session is open */
	GOSSIP_DIAL = 2, /* open a session with peer: UP or DIAL_FAILED follows */
	/* The session with peer is not needed for gossip any more; what was sent before still goes. */
	GOSSIP_RELEASE = 3,
	GOSSIP_ACCUSE = 4,  /* peer broke a rule: end its session; why */
	GOSSIP_DELIVER = 5, /* body is new: for the application; hops in message.ttl */
	GOSSIP_FORGET = 6,  /* body is not retained, cached or asked for any more */
	GOSSIP_ISOLATED =
		7, /* no beacon for too long: bootstrap again, START with fresh contacts follows */
	GOSSIP_LAGGING = 8, /* peer, asked, has a beacon newer by message.sequences[0] seconds */
};

struct gossip_effect {
	uint8_t type;
	peer_ref peer;
	body_ref body;
	const char *why; /* a literal */
	struct gossip_message message;
};

/* A growing list, reused from step to step. */
struct gossip_effects {
	struct gossip_effect *items;
	size_t count, capacity;
};
void gossip_effects_close(struct gossip_effects *e);

struct gossip; /* ≤ 6 KB in all, what it points to included */

/* Borrows tables for its life. NULL: out of memory. */
struct gossip *gossip_new(const struct gossip_config *config, const struct gossip_tables *tables);
void gossip_free(struct gossip *g);

/* One step; appends to out. Nothing that a peer sends is an error; breaking a rule is GOSSIP_ACCUSE.
 * Errors: TK_ENOMEM: the event had no effect. */
int gossip_step(
	struct gossip *g, const struct gossip_event *event, struct gossip_effects *out) TK_CHECKED;

/* When the next WAKE is due; UINT64_MAX: never. May become earlier or later with every step. */
uint64_t gossip_wake_ms(const struct gossip *g);

/* For status, the cache of good peers, simulators and tests. */
size_t gossip_active(const struct gossip *g, peer_ref out[GOSSIP_ACTIVE_MAX]);
size_t gossip_passive(const struct gossip *g, peer_ref out[GOSSIP_PASSIVE_MAX]);
bool gossip_is_active(const struct gossip *g, peer_ref neighbour);
bool gossip_is_eager(const struct gossip *g, peer_ref neighbour);
/* The newest body of a topic; 0: none. */
body_ref gossip_retained(const struct gossip *g, topic_ref topic);
/* The newest beacon; 0: none. */
body_ref gossip_beacon(const struct gossip *g);
/* True while the core may still name the body, topic or peer: its number must not be used anew. */
bool gossip_keeps(const struct gossip *g, body_ref body);
bool gossip_keeps_topic(const struct gossip *g, topic_ref topic);
bool gossip_knows(const struct gossip *g, peer_ref peer);
size_t gossip_memory(const struct gossip *g); /* bytes */

/* Another config from here on, as when a dial-back shows that strangers can reach us. self stays. */
void gossip_reconfigure(struct gossip *g, const struct gossip_config *config);

/* What was shed, refused and done, since the start. */
struct gossip_counts {
	uint32_t dials, dials_failed, neighbours_lost;
	uint32_t refused;	 /* NEIGHBOR and JOIN: no room, too many of a prefix, too often */
	uint32_t misled;	 /* we had enough of the prefix where a peer was found to be */
	uint32_t evicted;	 /* neighbours that made room for one that had none */
	uint32_t accused;	 /* peers that broke a rule */
	uint32_t duplicates;	 /* bodies that had come before */
	uint32_t grafts, swaps;	 /* repairs of the tree; shorter ways taken */
	uint32_t pulls;		 /* bodies asked for because of HEADS */
	uint32_t shed_ihave;	 /* ids not asked for or not sent on: too many */
	uint32_t shed_shuffle;	 /* walks and shuffles dropped: too many */
	uint32_t shed_neighbour; /* other messages beyond what a neighbour may send in a second */
	uint32_t isolated;	 /* times that beacons failed to come */
	uint32_t lagging;	 /* times that a host's beacon was much newer than ours */
};
const struct gossip_counts *gossip_counts(const struct gossip *g);

/* How much a message matters when a session cannot take all: 0, shuffles and walks, is dropped first;
 * then 1, IHAVE; then 2, bodies; 3, what keeps neighbours, last. */
unsigned gossip_importance(uint8_t type);

#endif
