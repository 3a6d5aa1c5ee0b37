/* One gossip core on a bench: events by hand, effects kept for a look. Peers 2, 4, 6 … are NATed, odd ones
 * public; 1 is the core itself. Each peer has a prefix of its own, unless the test says otherwise. */
#ifndef TESTS_LIB_GOSSIP_BENCH_H
#define TESTS_LIB_GOSSIP_BENCH_H

#include "peer/overlay/gossip.h"

#define BENCH_PEERS  256u
#define BENCH_BODIES 4096u

struct gossip_bench {
	struct gossip *g;
	struct gossip_tables tables;
	struct peer_info peers[BENCH_PEERS];
	struct body_info bodies[BENCH_BODIES];
	struct gossip_effects out; /* of the last event */
	uint64_t now_ms, random;
	uint32_t seed;
};

void bench_open(struct gossip_bench *b, const struct gossip_config *config, uint32_t seed);
void bench_close(struct gossip_bench *b);

/* Set-ups and the tear-down for cmocka: the default configuration, of a public node or of one behind a NAT; a
 * public one that has chosen 3 and 5 as its neighbours; and one that 7 and 9 have made a neighbour besides. */
int bench_setup_public(void **state);
int bench_setup_nated(void **state);
int bench_setup_chosen(void **state);
int bench_setup_wired(void **state);
int bench_teardown(void **state);

/* Fails the program when the core runs out of memory. */
void bench_event(struct gossip_bench *b, struct gossip_event *e);
/* What the core returned, for tests that take memory away. */
int bench_try(struct gossip_bench *b, struct gossip_event *e);
void bench_start(struct gossip_bench *b, peer_ref contact);
void bench_up(struct gossip_bench *b, peer_ref peer);
void bench_down(struct gossip_bench *b, peer_ref peer);
void bench_failed(struct gossip_bench *b, peer_ref peer);
void bench_message(struct gossip_bench *b, peer_ref from, const struct gossip_message *m);
/* A message that is all zero but for this. */
void bench_say(struct gossip_bench *b, peer_ref from, enum message_type type, uint32_t about,
	bool flag, uint8_t ttl);
/* An IHAVE, GRAFT (body 0: none) or HEADS about one. */
void bench_one(struct gossip_bench *b, peer_ref from, enum message_type type, uint32_t ref,
	uint64_t sequence, uint8_t hops);
/* Time passes; the core is woken whenever it wants, and the effects of all wakes are kept. */
void bench_wait(struct gossip_bench *b, uint64_t ms);
/* The peer asks to be a neighbour and is accepted, or the program fails. */
void bench_befriend(struct gossip_bench *b, peer_ref peer);
/* The core is started and made to dial `peer`, which accepts. */
void bench_choose(struct gossip_bench *b, peer_ref peer);
body_ref bench_body(struct gossip_bench *b, body_ref body, topic_ref topic, uint64_t sequence);

/* The n-th effect of a type (n from 0), or of a message of a type; peer 0: any. NULL: there is none. */
const struct gossip_effect *bench_effect(
	const struct gossip_bench *b, enum gossip_effect_type type, peer_ref peer, unsigned n);
const struct gossip_message *bench_sent(
	const struct gossip_bench *b, peer_ref to, enum message_type type, unsigned n);
unsigned bench_count(const struct gossip_bench *b, enum message_type type);
bool bench_is_active(const struct gossip_bench *b, peer_ref peer);
bool bench_is_passive(const struct gossip_bench *b, peer_ref peer);

#endif
