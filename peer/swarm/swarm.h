/* The blob swarm of one node, as a core without I/O, on 32-bit handles.
 *
 * A blob is cut into pieces of BLOB_PIECE bytes (what HAVE speaks of) and these into parts (what one GET
 * asks for, and what a proof covers). For each blob that is wanted the core decides whom to ask for what:
 * pieces that were begun are finished first, so that they can be passed on; then come the pieces that the
 * fewest known sources have (rarest first), the very first by chance; at the very end the last parts are
 * asked of a second source too, and the answer that comes late is dropped. How many requests are under way
 * to a source follows from how fast it answers, and one that takes longer than median + k·MAD of its
 * answers is asked of somebody else. It serves what it has through a few upload slots; who gets none is
 * told BUSY, and hears a HAVE when its turn has come: who has the least of a blob comes first, so that
 * those whom few can reach do not end last, and every fourth turn goes by chance, whatever they say.
 *
 * Who else exchanges a blob is learned from the tracker once, and then from those with whom it is exchanged
 * and others with whom a session is open: each names a few. So what the tracker says does not grow with the
 * peers' hunger for names, and blobs come to those also whom it has no place for. It is asked again when
 * nothing comes, which tells it that somebody starves, and when peers bring nobody new. What a peer claims
 * of others makes at most half of our dials. Of shards (discreet) only the tracker speaks.
 *
 * The first seed (the coordinator) shows each peer only the pieces that it means to give it, each piece to
 * `copies` peers, and then leaves the blob to the swarm (super-seeding, as in J. Hoffman's BEP 16); whoever
 * cannot get on with others is served all the same, later. It is the tracker too (tracker.h).
 *
 * Handles: the tables around the core number peers and blobs; the core sees no key, no digest and no
 * byte. Bytes were checked before: a PART comes in with `good` set or not, and one that is not costs its
 * sender the session. Everything else that a peer says is a claim, bounded here. Time and randomness
 * come in events. Methods: BitTorrent's (B. Cohen 2003; Legout, Urvoy-Keller, Michiardi, IMC 2006).
 *
 * A simulation of many peers sets part_bytes to BLOB_PIECE, so that one request is one piece. */
#ifndef PEER_SWARM_SWARM_H
#define PEER_SWARM_SWARM_H

#include "peer/wire/messages.h"

typedef uint32_t peer_ref; /* 0: none; the same as in peer/overlay/gossip.h */
typedef uint32_t blob_ref; /* 0: none. The same blob always has the same number */

#define SWARM_PIECE_WORDS (BLOB_PIECES_MAX / 64u)
#define SWARM_SLOTS_MAX	  64u
#define SWARM_WINDOW_MAX  64u
#define SWARM_SOURCES_FEW 4u /* that a peer is asked for; more of one answer are not looked at */

struct swarm_config {
	peer_ref tracker;    /* whom to ask and to tell; 0: we are it, and the first seed */
	uint32_t part_bytes; /* of one request: BLOB_PART_MAX, or BLOB_PIECE */
	uint8_t slots;	     /* peers that are served at once: 4; the tracker: for each blob */
	uint8_t window_max;  /* requests under way to one peer: 32 (of BLOB_PIECE: 2) */
	uint8_t queue_max;   /* requests of one peer that we take before it gets BUSY: 64 (4) */
	uint8_t serving_max; /* SERVE effects under way for one slot: 4 (1) */
	uint8_t dials_max;   /* sessions that we open for one blob: 8 */
	uint8_t copies;	     /* tracker: peers to whom it shows a piece freely: 3 */
	uint8_t turn_pieces; /* that a slot serves while others wait: 2 */
	uint32_t links_max;  /* peers with whom one blob is exchanged: 32; the tracker: 1 << 20 */
	uint32_t have_ms;    /* news of pieces gather so long: 250 (2,000) */
	uint32_t who_ms;     /* between two questions for sources: 2,000, doubling to 60,000 */
	uint32_t
		first_ms; /* an answer may take so long before any was measured: 15,000 (240,000) */
	/* Tracker: a peer that has gained nothing for so long, or for half as long again as a piece takes it, is
	 * served what it lacks: 12,000 (60,000). */
	uint32_t patience_ms;
	uint32_t idle_ms; /* a slot that is not used for so long is free: 700 */
};
/* The values above; tracker 0 for the coordinator; those in brackets for a part_bytes of BLOB_PIECE. */
void swarm_config_default(struct swarm_config *out, peer_ref tracker, uint32_t part_bytes);

/* One message between two nodes; the node around the core translates it from and to struct message. */
struct swarm_message {
	uint8_t type; /* enum message_type: BLOB_GET … BLOB_SOURCES */
	bool good;    /* PART: its bytes were checked by its proof */
	blob_ref blob;
	uint32_t length;   /* GET, PART: bytes. WHO: want */
	uint32_t retry_ms; /* BUSY */
	uint32_t count;	   /* SOURCES */
	uint64_t offset;   /* GET, PART: a multiple of part_bytes in all that we send */
	uint64_t total;	   /* PART, HAVE: bytes of the whole blob */
	/* HAVE: one bit a piece, in as many words as total needs; borrowed until the next step. */
	const uint64_t *pieces;
	peer_ref peers[BLOB_SOURCES_MAX]; /* SOURCES: count of them */
};

enum swarm_event_type {
	/* blob, max; total: its length when known, else 0; words, count: the parts that are on disk and were
	 * checked, one bit each (only with total); quiet, discreet. */
	SWARM_WANT = 1,
	/* blob, total: it is whole on our disk and may be served; group; quiet, discreet */
	SWARM_HOLD = 2,
	SWARM_DROP = 3, /* blob: not wanted, or not on our disk any more */
	SWARM_UP =
		4, /* a session with peer is open; reach; rtt_ms; prefix. Again: reach has changed */
	SWARM_DOWN = 5,	       /* it is over */
	SWARM_DIAL_FAILED = 6, /* answers DIAL */
	SWARM_MESSAGE = 7,     /* message from peer */
	SWARM_SERVED = 8,      /* answers SERVE, with its fields: sent, or could not be read */
	SWARM_WAKE = 9,	       /* swarm_wake_ms has come */
	SWARM_REFUSED = 10,    /* peer asked for a blob without a number, and was refused */
};

/* How others come to a peer, as its signed record says. */
enum swarm_reach { SWARM_UNREACHABLE = 0, SWARM_NATED = 1, SWARM_PUBLIC = 2 };

struct swarm_event {
	enum swarm_event_type type;
	uint64_t now_ms; /* monotonic */
	uint64_t random; /* fresh in every event */
	peer_ref peer;
	blob_ref blob;
	/* HOLD: the tracker answers for all blobs of a group of shards together; 0: for it alone. */
	blob_ref group;
	enum swarm_reach reach;
	uint32_t rtt_ms; /* 0: unknown */
	uint64_t
		prefix; /* UP: endpoint_prefix of where it comes from; 0: counts against no other */
	uint64_t total, max;
	uint64_t offset; /* SERVED */
	uint32_t length;
	bool quiet; /* WANT, HOLD: between us and the tracker alone */
	bool discreet; /* WANT, HOLD: with whom we exchange it is asked of the tracker alone, and told to nobody */
	const struct swarm_message *message;
	const uint64_t *words;
	size_t count;
};

enum swarm_effect_type {
	SWARM_SEND = 1,	    /* message to peer, with whom a session is open */
	SWARM_DIAL = 2,	    /* open a session with peer: UP or DIAL_FAILED follows */
	SWARM_RELEASE = 3,  /* the session that DIAL opened is not needed for blobs any more */
	SWARM_ACCUSE = 4,   /* peer broke a rule or lied: end its session; why */
	SWARM_STORE = 5,    /* the PART in hand is new: keep its bytes (blob, offset, length) */
	SWARM_COMPLETE = 6, /* blob: all parts are there, and it is served from now on */
	SWARM_SERVE = 7,    /* read blob, offset, length and send it to peer; SERVED follows */
	SWARM_LACKING = 8,  /* blob: neither the tracker nor anybody else has it; it stays wanted */
};

struct swarm_effect {
	uint8_t type;
	peer_ref peer;
	blob_ref blob;
	uint32_t length;
	uint64_t offset;
	const char *why; /* a literal */
	struct swarm_message message;
};

/* A growing list, reused from step to step. */
struct swarm_effects {
	struct swarm_effect *items;
	size_t count, capacity;
};
void swarm_effects_close(struct swarm_effects *e);

struct swarm;

/* NULL: out of memory. */
struct swarm *swarm_new(const struct swarm_config *config);
void swarm_free(struct swarm *s);

/* One step; appends to out. Nothing that a peer sends is an error; breaking a rule is SWARM_ACCUSE.
 * Errors: TK_ENOMEM: the swarm must be freed and begun again (what is on disk suffices). */
int swarm_step(
	struct swarm *s, const struct swarm_event *event, struct swarm_effects *out) TK_CHECKED;

/* When the next WAKE is due; UINT64_MAX: never. May become earlier or later with every step. */
uint64_t swarm_wake_ms(const struct swarm *s);

/* Is this the place of a PART that peer was asked for? Others need no checking before they come in. */
bool swarm_expects(const struct swarm *s, peer_ref peer, blob_ref blob, uint64_t offset);

/* Was peer asked for sources, and may its answer come? Others need no reading. */
bool swarm_expects_sources(const struct swarm *s, peer_ref peer);

/* For status, simulators and tests. False: the blob is unknown here. */
struct swarm_progress {
	uint64_t total;	       /* 0: not known yet */
	uint32_t pieces, have; /* whole pieces */
	uint32_t links;	       /* peers with whom it is exchanged */
	uint32_t asked;	       /* requests under way */
	bool whole;
};
bool swarm_progress(const struct swarm *s, blob_ref blob, struct swarm_progress *out);

/* Bytes since the beginning. */
struct swarm_totals {
	uint64_t from_tracker, from_peers; /* new ones that were good */
	uint64_t wasted;		   /* bad, or there already */
	uint64_t served;
	uint64_t liars; /* sessions ended for a bad proof */
};
void swarm_totals(const struct swarm *s, struct swarm_totals *out);

/* True while blobs are exchanged with that peer. */
bool swarm_needs_peer(const struct swarm *s, peer_ref peer);
size_t swarm_memory(const struct swarm *s); /* bytes */

#endif
