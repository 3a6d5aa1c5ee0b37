/* What the crowd's own files share; scenarios use crowd.h. */
#ifndef TESTS_SIM_CROWD_STATE_H
#define TESTS_SIM_CROWD_STATE_H

#include "tests/sim/crowd.h"
#include "tests/sim/draw.h"
#include "tests/sim/flow.h"
#include "tests/sim/wheel.h"

#define CROWD_ROOT 1u
#define CROWD_BLOB 1u

enum crowd_event_kind {
	CROWD_MESSAGE = 1,
	CROWD_WANT = 2,
	CROWD_UP = 3, /* the session with from is open; type: `to` dialled */
	CROWD_FAILED = 4,
	CROWD_DOWN = 5,
	CROWD_SERVED = 6,
};

/* What a message lists. */
union payload {
	uint64_t words[SWARM_PIECE_WORDS];
	peer_ref peers[BLOB_SOURCES_MAX];
	uint32_t next;
};

struct crowd_link {
	peer_ref peer;
	uint32_t serial; /* sessions are numbered; nothing of an older one is heard */
};

struct member {
	struct swarm *swarm;
	struct crowd_link *links;
	uint32_t link_count, link_capacity;
	uint32_t done_ms;
	uint8_t nat;
	bool public;
	struct place place;
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
};

_Noreturn void crowd_broken(const struct crowd *c, const char *what);
#define CROWD_CHECK(c, x) ((x) ? (void)0 : crowd_broken(c, #x))

/* The session of a with b; NULL: there is none. Those with the coordinator are kept by the others. */
struct crowd_link *crowd_linked(const struct crowd *c, peer_ref a, peer_ref b);
void crowd_link(struct crowd *c, peer_ref a, peer_ref b, uint32_t serial);
void crowd_unlink(struct crowd *c, peer_ref a, peer_ref b);
uint32_t crowd_post(
	struct crowd *c, enum crowd_event_kind kind, peer_ref from, peer_ref to, uint32_t at_ms);
uint32_t crowd_arrival(const struct crowd *c, peer_ref from, peer_ref to, uint32_t at_ms);

/* crowd_step.c: the core's events and effects */
void crowd_step(struct crowd *c, peer_ref peer, struct swarm_event *event);
void crowd_hear(struct crowd *c, const struct wheel_event *e);
void crowd_flowed(struct crowd *c, uint32_t flow);

#endif
