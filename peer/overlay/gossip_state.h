/* What the files of the gossip core share: gossip.c (events, timers), gossip_views.c (who is a neighbour,
 * who could be one), gossip_join.c (membership messages), gossip_broadcast.c (bodies and ids) and
 * gossip_topics.c (what is retained, and the watch for beacons), gossip_lag.c (beacons that come late). Nobody else
 * includes it.
 *
 * Neighbours stand in slots 0 … 63, so that a set of them is a 64-bit mask. Whatever a step may need is
 * allocated before the step changes anything. */
#ifndef PEER_OVERLAY_GOSSIP_STATE_H
#define PEER_OVERLAY_GOSSIP_STATE_H

#include "peer/overlay/gossip.h"

#define SLOT_NONE      255u
#define SLOT_SELF      254u /* who waits for a SHUFFLE_REPLY: we */
#define SLOTS_MORE     8u
#define ACTIVE_MOST    56u /* the other slots are for dials under way */
#define PENDING_MAX    8u
#define CONTACTS_MAX   8u
#define VISITORS       16u
#define MISSING_MAX    16u
#define MISSING_EACH   8u /* of one neighbour that nobody else has announced */
#define RING_FIRST     64u
#define RING_MAX       1024u
#define RETAINED_FIRST 4u
#define RETAINED_MAX   64u
#define STEP_EFFECTS   512u
#define NEVER	       UINT64_MAX

#define CACHE_MS	   30000u /* bodies answer a GRAFT for so long */
#define IDS_MS		   90000u /* ids are known for so long */
#define SLOW_MS		   1000u  /* IHAVE towards those who accepted us */
#define DIAL_MS		   30000u /* a DIAL that nobody answers has failed */
#define REPLY_MS	   10000u /* NEIGHBOR, JOIN */
#define PROBE_MS	   5000u  /* HEADS to a peer that is no neighbour */
#define BACKOFF_MS	   60000u /* after a refusal or DISCONNECT */
#define SHUFFLE_REPLY_MS   10000u
#define DIAL_BURST	   8u	  /* dials at once; then one a second */
#define EVICT_MS	   20000u /* between two evictions */
#define ROTATE_MS	   3600000u
#define SHARE_MS	   60000u /* in which shuffles replace a quarter of the passive view … */
#define SHARE_EACH	   4u	  /* … and each of them no more than so many */
#define ENOUGH		   3u	  /* outbound neighbours, not to be in a hurry for more */
#define RECOVER_MS	   30000u
#define SUSPECT_FAILS_MAX  8u
#define NEIGHBOUR_RATE	   256u /* control messages of one neighbour in a second; walks and ids less */
#define NEIGHBOUR_FLOOD	   2048u
#define VISITOR_MS	   10000u
#define VISITOR_MESSAGES   64u /* of one peer that is no neighbour, in VISITOR_MS */
#define VISITOR_KNOCKS	   2u  /* NEIGHBOR or JOIN of one peer in VISITOR_MS … */
#define VISITOR_PREFIX	   8u  /* … of one prefix, among the last VISITORS */
#define JOINS_PER_SECOND   50u /* that are walked through the network */
#define PASSIVE_PER_SECOND 20u /* joiners of a kind that enter the passive view of a contact */
#define FORWARD_WALKS	   3u
#define PULLS_MAX	   8u
#define PULL_AGAIN_MS	   2000u
#define PULL_WAIT_MS	   1000u /* for one that probably is on its way */
#define HELD_MS		   1500u
#define PULL_MS		   10000u /* an answer is expected for so long */
#define LIES_MAX	   32u	  /* ids announced and never sent, duplicates after PRUNE */
#define SWAP_HOPS	   2u	  /* a way shorter by more than so much is worth a swap */
#define LATE_S		   60u	  /* a body so much older than the retained one is ignored */

enum neighbour_state { NEIGHBOUR_DIALING = 1, NEIGHBOUR_ASKED = 2, NEIGHBOUR_ACTIVE = 3 };
enum neighbour_purpose { FOR_LINK = 1, FOR_JOIN = 2, FOR_PROBE = 3, FOR_ROTATION = 4 };

struct neighbour {
	uint8_t state;
	uint8_t purpose;
	uint8_t back; /* the slot that waits for its SHUFFLE_REPLY */
	uint16_t rtt_ms;
	uint16_t lies;
	uint32_t since_ms; /* when state began */
	uint32_t back_ms;
	uint32_t budget_s;
	uint16_t spent; /* of this second */
	uint8_t missing;
	uint8_t gave; /* passive entries, in this SHARE_MS */
};

struct candidate { /* of the passive view, and contacts */
	peer_ref peer;
	uint32_t retry_ms; /* not before; meaningful while waiting */
	uint8_t fails;	   /* > 0: a suspect */
	bool contact;
	bool tried; /* it was a neighbour */
	bool waiting;
};

struct visitor { /* a peer that is no neighbour and spoke to us */
	peer_ref peer;
	uint32_t since_ms;
	uint32_t dropped_ms; /* we refused it or sent it away */
	uint8_t messages, knocks;
	bool dropped, banned;
};

struct body_entry {    /* one of the newest bodies */
	uint64_t told; /* neighbours who have it or its id */
	uint32_t seen_ms;
	uint8_t hops;
	uint8_t parent;		 /* slot, SLOT_NONE */
	bool fast : 1, slow : 1; /* IHAVE still to be sent */
	bool held : 1; /* pulled, perhaps old: not pushed, told by HEADS when slow is due */
};

struct missing { /* a body of which only the id came */
	uint64_t announced, tried;
	uint64_t due_ms;
	body_ref body;
	uint8_t hops, best; /* the shortest way */
	uint8_t first;	    /* who announced it first: counts against its share */
};

struct retained {
	topic_ref topic;
	body_ref body;
	uint32_t arrived_ms;
};

struct pull { /* what we asked peer for at ms, or will then unless it comes by itself */
	topic_ref topic;
	peer_ref peer;
	uint32_t ms;
	bool waits;
	uint64_t sequence;
};

struct gossip {
	struct gossip_config config;
	const struct gossip_tables *tables;
	struct gossip_effects *out; /* during a step */
	uint64_t now_ms, now_s, random;
	size_t emit_limit;

	/* Neighbours. */
	uint64_t active, eager, outbound; /* sets of slots */
	uint64_t pending;		  /* DIALING or ASKED */
	struct neighbour *neighbours;
	peer_ref slot_peer[GOSSIP_ACTIVE_MAX]; /* 0: free */
	uint8_t slots;			       /* allocated */
	uint8_t slots_used;		       /* the highest used one, plus 1 */
	uint8_t parent;			       /* the slot of the last new body */
	uint8_t grafted;		       /* the slot that we joined the tree through */

	/* Bodies. */
	body_ref *ids;		    /* a ring of ring_size */
	uint32_t *id_ms;	    /* when each came */
	struct body_entry *entries; /* a ring of ring_entries */
	uint32_t ring_size, newest, oldest;
	uint32_t flushed; /* entries before have nothing to send */
	uint64_t fast_ms, slow_ms;
	struct missing missing[MISSING_MAX];
	uint8_t missing_count;
	uint64_t missing_ms;
	uint64_t tree_ms; /* when the last body came along a link; 0: never */
	uint64_t thaw_ms; /* until then bodies go by HEADS: we were frozen */

	/* Topics. */
	struct retained *retained;
	uint8_t retained_count, retained_capacity;
	struct pull pulls[PULLS_MAX];
	uint64_t more; /* slots that told of more than could be pulled at once */
	uint64_t pull_ms;
	uint64_t beacon_ms, watch_ms, isolated_ms;
	uint32_t isolated_wait_ms;

	/* Lag: the host that was asked, and who must show a new beacon before judge_ms. */
	peer_ref host;
	uint64_t host_ms, suspects, suspected_ms, judge_ms, suspect_sequence;

	/* Views. */
	struct candidate *passive;
	uint8_t passive_count, passive_capacity;
	uint8_t dial_tokens;
	uint8_t streak; /* dials that failed or were refused since the last that did not */
	bool isolated;	/* three beacons missed: contacts are asked though we have neighbours */
	uint8_t replaced, walked; /* by shuffles and walks in the passive view, in this SHARE_MS */
	uint8_t walks;		  /* joiners passed on in this second */
	uint8_t kept[2];	  /* … and kept: NATed ones, public ones */
	uint8_t knocks; /* rounds in which all contacts refused us, since we had a neighbour */
	bool left;
	uint32_t joins_s;
	uint64_t share_ms, token_ms, evicted_ms;
	uint64_t recover_ms; /* until then only who was a neighbour before is dialled */
	uint64_t knock_ms;   /* until then no contact is asked to let us in */
	uint64_t patient_ms; /* until then no more dials for what is not urgent */
	uint64_t fill_ms, shuffle_ms, rotate_ms, pending_ms;
	uint32_t shuffle_wait_ms, rotate_wait_ms;
	uint64_t wake_ms;
	struct visitor visitors[VISITORS];
	struct gossip_counts counts;
};

static inline uint64_t bit(unsigned slot)
{
	return UINT64_C(1) << slot;
}

static inline unsigned bits(uint64_t set)
{
	return (unsigned)__builtin_popcountll(set);
}

/* Takes the lowest slot out of a set that is not empty. */
static inline unsigned next_slot(uint64_t *set)
{
	unsigned slot = (unsigned)__builtin_ctzll(*set);

	*set &= *set - 1;
	return slot;
}

static inline uint32_t now32(const struct gossip *g)
{
	return (uint32_t)g->now_ms;
}

static inline const struct peer_info *peer_of(const struct gossip *g, peer_ref peer)
{
	return &g->tables->peers[peer];
}

static inline const struct body_info *body_of(const struct gossip *g, body_ref body)
{
	return &g->tables->bodies[body];
}

static inline uint32_t at(const struct gossip *g, uint32_t number)
{
	return number & (g->ring_size - 1);
}

static inline uint32_t ring_entries(uint32_t ring_size)
{
	return ring_size / 2;
}

static inline struct body_entry *entry_of(const struct gossip *g, uint32_t number)
{
	return &g->entries[number & (ring_entries(g->ring_size) - 1)];
}

/* gossip.c */
uint64_t dice(struct gossip *g);
uint32_t dice_below(struct gossip *g, uint32_t n); /* n ≥ 1 */
uint32_t about(struct gossip *g, uint32_t ms);	   /* ± a fifth */
struct gossip_effect *emit(struct gossip *g, enum gossip_effect_type type, peer_ref peer);
/* A message to be filled in. */
struct gossip_message *send_to(struct gossip *g, peer_ref peer, enum message_type type);
void accuse(struct gossip *g, peer_ref peer, const char *why);

/* gossip_views.c */
int views_reserve(struct gossip *g) TK_CHECKED;
unsigned slot_of(const struct gossip *g, peer_ref peer); /* SLOT_NONE */
unsigned slot_take(struct gossip *g, peer_ref peer, enum neighbour_state state,
	enum neighbour_purpose purpose); /* SLOT_NONE: all are taken */
void slot_free(struct gossip *g, unsigned slot);
unsigned random_slot(struct gossip *g, uint64_t set);	/* SLOT_NONE: it is empty */
bool is_expired(const struct gossip *g, peer_ref peer); /* its record */
bool prefix_has_room(const struct gossip *g, peer_ref peer);
bool prefix_may_be_chosen(const struct gossip *g, peer_ref peer);
bool guest_has_room(const struct gossip *g);
unsigned guest_slot(struct gossip *g);
bool inbound_has_room(const struct gossip *g, bool high);
unsigned outbound_wanted(const struct gossip *g);
struct candidate *passive_find(struct gossip *g, peer_ref peer);
/* FROM_LINK: it was a neighbour, or the node's owner knows it. FROM_JOIN: it came to us. The others are what
 * neighbours say, and may displace no more than their share. */
enum passive_source { FROM_LINK = 0, FROM_JOIN = 1, FROM_WALK = 2, FROM_SHUFFLE = 3 };
bool passive_add(struct gossip *g, peer_ref peer, enum passive_source source); /* it is new */
void passive_from(struct gossip *g, unsigned slot, peer_ref peer, enum passive_source source);
void passive_forgive(struct gossip *g);
void passive_remove(struct gossip *g, peer_ref peer);
void passive_wait(struct gossip *g, peer_ref peer, uint32_t ms); /* not to be asked for so long */
void passive_failed(struct gossip *g, peer_ref peer);
uint8_t passive_sample(struct gossip *g, peer_ref *out, uint8_t active, uint8_t most, peer_ref but,
	bool mostly_public);
void contact_add(struct gossip *g, peer_ref peer);

/* gossip_dial.c */
void views_fill(struct gossip *g);
void views_fill_soon(struct gossip *g, uint32_t ms);
/* A session that we dialled is up, and now its peer's prefix is that of where it was found, not of what its record
 * says: have we enough of that? */
bool views_was_misled(const struct gossip *g, unsigned slot);
void views_let_go(struct gossip *g, unsigned slot);
void views_fill_after_failure(struct gossip *g);
void views_rotate(struct gossip *g);
bool views_probe(struct gossip *g);
void views_look_around(struct gossip *g);

/* gossip_join.c */
struct visitor *visitor_of(struct gossip *g, peer_ref peer);
bool visitor_may_speak(struct gossip *g, peer_ref peer);
void join_up(struct gossip *g, unsigned slot);
void join_down(struct gossip *g, unsigned slot);
void join_failed(struct gossip *g, peer_ref peer);
void join_adopt(struct gossip *g, unsigned slot, bool isolated);
void join_expire(struct gossip *g);
void records_send(struct gossip *g, peer_ref peer);
void join_leave(struct gossip *g);
void join_send_away(struct gossip *g, unsigned slot, bool leaving);
void join_message(struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m);

/* gossip_shuffle.c */
void shuffle_begin(struct gossip *g);
void shuffle_message(struct gossip *g, unsigned slot, const struct gossip_message *m);
void shuffle_reply(struct gossip *g, unsigned slot, const struct gossip_message *m);

/* gossip_bodies.c */
int bodies_reserve(struct gossip *g) TK_CHECKED;
uint32_t bodies_first(const struct gossip *g);		     /* whose entry is still there */
uint32_t body_number(const struct gossip *g, body_ref body); /* newest: unknown */
bool body_is_known(const struct gossip *g, body_ref body);
struct body_entry *body_entry_find(const struct gossip *g, body_ref body);
struct body_entry *body_add(struct gossip *g, body_ref body, unsigned slot, uint8_t hops);
struct missing *missing_find(const struct gossip *g, body_ref body);
uint64_t missing_take(struct gossip *g, body_ref body);
void bodies_unlink(struct gossip *g, unsigned slot);
void bodies_expire(struct gossip *g);
void forget_unless_kept(struct gossip *g, body_ref body);

/* gossip_broadcast.c */
bool in_tree(const struct gossip *g); /* bodies have come along links lately */
void broadcast_link_up(struct gossip *g, unsigned slot);
void broadcast_link_down(struct gossip *g, unsigned slot);
void broadcast_publish(struct gossip *g, body_ref body);
void broadcast_message(
	struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m);
void broadcast_wake(struct gossip *g);

/* gossip_lag.c */
void lag_ask(struct gossip *g, peer_ref host);
bool lag_is_host(const struct gossip *g, peer_ref peer); /* one that was asked a moment ago */
uint64_t lag_beacon(const struct gossip *g); /* the beacon's sequence; 0: it is overdue anyhow */
/* The host's message has been dealt with; before: lag_beacon() until then. */
void lag_hear(struct gossip *g, peer_ref host, const struct gossip_message *m, uint64_t before);
/* What a neighbour says may clear it. */
void lag_clear(struct gossip *g, unsigned slot, const struct gossip_message *m);
void lag_judge(struct gossip *g);

/* gossip_topics.c */
/* Pulls from a peer, be it a neighbour or not. */
void topics_pull_now(struct gossip *g, peer_ref peer, topic_ref topic, uint64_t sequence);

int topics_reserve(struct gossip *g) TK_CHECKED;
const struct retained *topic_find(const struct gossip *g, topic_ref topic);
bool topics_retain(struct gossip *g, body_ref body); /* true: it is the newest of its topic */
void topics_heads(struct gossip *g, peer_ref peer);
void topics_message(struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m);
void topics_watch(struct gossip *g);
void beacon_from_stranger(struct gossip *g);
bool topic_was_asked(const struct gossip *g, topic_ref topic);
void topics_pulled(struct gossip *g, peer_ref peer); /* it has answered a PULL */
void topics_tell(struct gossip *g, struct body_entry *e, body_ref body);
void topics_pull_due(struct gossip *g);

#endif
