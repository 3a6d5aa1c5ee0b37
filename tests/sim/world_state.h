/* What the world's own files share; scenarios use world.h. */
#ifndef TESTS_SIM_WORLD_STATE_H
#define TESTS_SIM_WORLD_STATE_H

#include "tests/sim/draw.h"
#include "tests/sim/wheel.h"
#include "tests/sim/world.h"

#define BEGIN_MS    1000u /* when worlds begin, so that no time is 0 */
#define WALL_S	    1700000000u
#define CACHE_PEERS 4u

enum world_event_kind {
	EVENT_MESSAGE = 1, /* from says to `to`: type, count, … */
	EVENT_SYN = 2,	   /* from dials to; ref: the relay between them, or 0 */
	EVENT_OPENED = 3,  /* the session that `to` dialled with `from` is open */
	EVENT_OPEN = 4,	   /* … and now `to`, who was dialled, knows it too */
	EVENT_FAILED = 5,  /* `to` cannot reach `from` */
	EVENT_CLOSE = 6,   /* the session between them is over */
	EVENT_KNOWN = 7,   /* `to` dialled from, with whom it has a session */
	EVENT_START = 8,   /* `to` begins, or begins again to look for contacts */
};

struct link {
	peer_ref peer;
	uint32_t serial; /* sessions are numbered; nothing of an older one is heard */
	peer_ref relay;	 /* 0: direct */
};

struct node {
	struct gossip *gossip; /* NULL: not up, or a Sybil */
	struct link *links;
	uint16_t link_count, link_capacity;
	uint8_t state, nat, side, cache_next;
	uint64_t uplink_us; /* it is busy sending until then */
	uint32_t boot_serial, boot_ms;
	uint32_t frozen_ms, isolated_ms;
	int32_t skew_s;
	struct place place;
	bool public, sybil;
	peer_ref cache[CACHE_PEERS]; /* public peers with whom there was a session lately */
};

struct world {
	struct world_config config;
	struct gossip_tables tables;
	struct wheel wheel;
	struct alarms alarms;
	uint64_t random;
	uint32_t serial, next_beacon_ms;
	peer_ref last_honest, last; /* last: the Sybils' last; one more is a host that is dead */
	struct node *nodes;
	struct peer_info *peers;
	struct body_info *bodies;
	struct spread *spreads;
	uint32_t body_count;
	body_ref newest[3]; /* by topic */
	uint64_t sequence;
	peer_ref *publics; /* the honest public ones */
	uint32_t public_count;
	struct gossip_effects effects;
	struct forest forest;
	uint32_t *sizes; /* of components, by their roots */
	struct world_totals totals;
	size_t link_bytes;
};

enum { TOPIC_BEACON = 1, TOPIC_ROUND = 2 };

#define SIDE_ALONE 255u /* of who reaches none but Sybils */

static inline bool world_reaches(const struct world *w, peer_ref a, peer_ref b)
{
	const struct node *x = &w->nodes[a], *y = &w->nodes[b];

	if (x->side == SIDE_ALONE || y->side == SIDE_ALONE)
		return x->sybil || y->sybil;
	return x->side == y->side;
}

/* Unix seconds by the peer's own clock. */
static inline uint32_t world_clock_s(const struct world *w, peer_ref peer)
{
	return WALL_S + w->wheel.now_ms / 1000 + (uint32_t)w->nodes[peer].skew_s;
}

static inline uint32_t world_body_index(const struct world *w, body_ref body)
{
	WORLD_CHECK(w, body != 0 && body <= w->body_count);
	return body;
}

/* world_links.c: sessions */
struct link *link_find(const struct node *n, peer_ref peer);
void link_dial(struct world *w, peer_ref from, peer_ref to);
void link_send(struct world *w, peer_ref from, peer_ref to, const struct gossip_message *m);
/* Ends from's side now; the other side hears of it. */
void link_close(struct world *w, peer_ref from, peer_ref to);
/* All of a peer's, when it is gone (or frozen) for good: others hear at_ms, or 0: as it travels. */
void links_drop(struct world *w, peer_ref peer, uint32_t at_ms);
void link_event(struct world *w, const struct wheel_event *e); /* SYN … CLOSE */
/* Is the session on which e came still the same? If there is none, the sender is told. */
bool link_holds(struct world *w, const struct wheel_event *e);
uint32_t link_post(struct world *w, enum world_event_kind kind, peer_ref from, peer_ref to,
	uint32_t serial, uint32_t at_ms);
uint32_t link_arrival(
	const struct world *w, peer_ref from, peer_ref to, peer_ref relay, uint32_t at_ms);

/* world_step.c: the core's events and effects, and records */
void world_record_write(struct world *w, peer_ref author);
void world_step(struct world *w, peer_ref peer, struct gossip_event *event);
void world_message(struct world *w, const struct wheel_event *e);
void world_contacts(struct world *w, peer_ref peer);
void world_wake(struct world *w, peer_ref peer);

/* sybil.c: those who lie */
void sybil_hears(struct world *w, peer_ref self, peer_ref from, const struct gossip_message *m);
void sybil_up(struct world *w, peer_ref self, peer_ref peer);
void sybil_wake(struct world *w, peer_ref self);

#endif
