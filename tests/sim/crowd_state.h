/* What the crowd's own files share; scenarios use crowd.h. */
#ifndef TESTS_SIM_CROWD_STATE_H
#define TESTS_SIM_CROWD_STATE_H

#include "tests/sim/crowd.h"
#include "tests/sim/draw.h"
#include "tests/sim/flow.h"
#include "tests/sim/wheel.h"

#define CROWD_ROOT     1u
#define CROWD_BLOB     1u
#define CROWD_BEGIN_MS 1000u

enum crowd_event_kind {
	CROWD_MESSAGE = 1,
	CROWD_WANT = 2,
	CROWD_UP = 3, /* the session with from is open; type: enum crowd_way */
	CROWD_FAILED = 4,
	CROWD_DOWN = 5,
	CROWD_KNOCK = 6,    /* from wants a session with the coordinator */
	CROWD_REFUSED = 7,  /* it has no place */
	CROWD_LINGERED = 8, /* the swarm has not needed the session for a while */
};

/* How a session came about. Of who came by itself a peer knows no record, so that it cannot name it. */
enum crowd_way { CROWD_CAME = 0, CROWD_DIALLED = 1, CROWD_NEIGHBOUR = 2 };

/* What a message lists. */
union payload {
	uint64_t words[SWARM_PIECE_WORDS];
	peer_ref peers[BLOB_SOURCES_MAX];
	uint32_t next;
};

struct crowd_link {
	peer_ref peer;
	uint32_t serial; /* sessions are numbered when they open; nothing of another one is heard */
	bool opened;	 /* by this side, for blobs */
};

/* Bytes on the wire of what the coordinator sends; part: 64 KiB with their proof. */
struct crowd_wire {
	uint32_t sources, record, busy, missing, have, part, goodbye, handshake;
};

struct member {
	struct swarm *swarm;
	struct crowd_link *links;
	uint32_t link_count, link_capacity;
	uint32_t done_ms;
	uint8_t nat;
	bool public;
	struct place place;
	/* with the coordinator: who asked for nothing for longest comes first */
	peer_ref quieter, louder;
	uint32_t asked_ms, knock_wait_ms;
};

struct crowd {
	struct crowd_config config;
	struct wheel wheel;
	struct alarms alarms;
	struct flows flows;
	uint64_t random;
	struct member *members;
	union payload *payloads;
	uint32_t payload_count, payload_capacity, payload_free;
	struct swarm_effects effects;
	struct crowd_totals totals;
	uint32_t done, serial;
	struct crowd_wire wire;
	uint32_t places_taken;
	peer_ref quietest, loudest;
};

_Noreturn void crowd_broken(const struct crowd *c, const char *what);
#define CROWD_CHECK(c, x) ((x) ? (void)0 : crowd_broken(c, #x))

uint32_t crowd_post(
	struct crowd *c, enum crowd_event_kind kind, peer_ref from, peer_ref to, uint32_t at_ms);
uint32_t crowd_arrival(const struct crowd *c, peer_ref from, peer_ref to, uint32_t at_ms);

/* crowd_sessions.c */
/* The session of a with b; NULL: there is none. Those with the coordinator are kept by the others. */
struct crowd_link *crowd_linked(const struct crowd *c, peer_ref a, peer_ref b);
/* Is it of the session that its receiver has? */
bool crowd_is_of(const struct crowd *c, const struct wheel_event *e);
void crowd_link(struct crowd *c, peer_ref a, peer_ref b, uint32_t serial, bool opened);
void crowd_dial(struct crowd *c, peer_ref from, peer_ref to);
/* A session is open at self, or self hears that it is. serial: 0 for one that was dialled. */
void crowd_up(struct crowd *c, peer_ref self, peer_ref peer, enum crowd_way way, uint32_t serial);
/* Self ends its session with peer, and tells it. */
void crowd_end(struct crowd *c, peer_ref self, peer_ref peer);
void crowd_down(struct crowd *c, const struct wheel_event *e);
void crowd_release(struct crowd *c, peer_ref self, peer_ref peer);
void crowd_lingered(struct crowd *c, const struct wheel_event *e);

/* crowd_places.c: sessions with the coordinator */
void crowd_places_begin(struct crowd *c, peer_ref peer, uint32_t at_ms);
void crowd_knocked(struct crowd *c, peer_ref peer);
void crowd_turned_away(struct crowd *c, peer_ref peer);
/* It asked for something, or is being served. */
void crowd_asked(struct crowd *c, peer_ref peer);

/* crowd_wire.c */
void crowd_wire_measure(struct crowd *c);
uint32_t crowd_wire_bytes(const struct crowd *c, const struct swarm_message *m);
double crowd_wire_pieces(const struct crowd *c, uint64_t bytes);

/* crowd_step.c: the core's events and effects */
void crowd_step(struct crowd *c, peer_ref peer, struct swarm_event *event);
void crowd_hear(struct crowd *c, const struct wheel_event *e);
void crowd_flowed(struct crowd *c, uint32_t flow);

#endif
