/* Many gossip cores in one process under virtual time, from one seed: sessions, latencies, deaths, cuts.
 *
 * Small on purpose: it exists to test the core, and knows nothing of bandwidth, crypto or NATs beyond who can
 * be dialled. After every step the promises of one core are checked; a broken one prints the seed and ends
 * the program. */
#ifndef TESTS_LIB_MESH_H
#define TESTS_LIB_MESH_H

#include "peer/overlay/gossip.h"

#define MESH_BODIES 4096u

struct mesh_node {
	struct gossip *core; /* NULL: dead, or not begun */
	uint64_t wake_ms;    /* of the wake that is queued */
	uint8_t side;	     /* of a cut */
	bool isolated;	     /* GOSSIP_ISOLATED was said since the test looked */
	bool mute;	     /* takes part, but passes no body on: an attacker */
};

struct mesh_body {
	uint32_t reached;
	uint32_t copies; /* BROADCASTs that arrived */
	uint32_t hops[GOSSIP_HOPS_MAX + 1];
	uint64_t at_ms, last_ms;
};

struct mesh_queue;
struct mesh_sessions;

struct mesh {
	uint64_t seed, random, now_ms;
	uint32_t count; /* nodes 1 … count; 1 is the root */
	struct mesh_node *nodes;
	struct peer_info *peers;
	struct body_info bodies[MESH_BODIES];
	struct mesh_body stats[MESH_BODIES];
	uint32_t body_count; /* the last number given out */
	struct gossip_tables tables;
	struct gossip_effects effects;
	struct mesh_queue *queue;
	struct mesh_sessions *sessions;
	uint32_t latency_min_ms, latency_spread_ms;
	uint32_t punch_percent; /* of pairs with a NATed peer that can be dialled all the same */
	uint32_t silent_ms;	/* how long the death of a session stays unseen */
	uint64_t steps, sends[256], accused, dials;
	size_t memory_most;
	/* Called for each effect before it is carried out, if not NULL. */
	void (*seen)(struct mesh *mesh, peer_ref node, const struct gossip_effect *e);
};

/* count nodes, of which every public_each-th can be dialled, in prefixes of `same` nodes (0: no prefix). */
void mesh_init(
	struct mesh *mesh, uint64_t seed, uint32_t count, uint32_t public_each, uint32_t same);
void mesh_close(struct mesh *mesh);
uint64_t mesh_random(struct mesh *mesh, uint64_t below);

/* The default config of a node, which a test may change before mesh_begin. */
struct gossip_config mesh_config(const struct mesh *mesh, peer_ref node);
void mesh_begin(struct mesh *mesh, const struct gossip_config *config);
void mesh_start(struct mesh *mesh, peer_ref node, const peer_ref *contacts, size_t count);
/* All nodes begin within `within_ms` and join through node 1. */
void mesh_start_all(struct mesh *mesh, uint64_t within_ms);
void mesh_leave(struct mesh *mesh, peer_ref node);
void mesh_kill(struct mesh *mesh, peer_ref node);
/* Every node whose side differs from another's is cut off from it; all sides equal: healed. */
void mesh_cut(struct mesh *mesh);

void mesh_run(struct mesh *mesh, uint64_t ms);
/* The root publishes the next body of the topic; the beacon is topic 1. */
body_ref mesh_publish(struct mesh *mesh, topic_ref topic);
/* ms pass, with a beacon published every 30 s from now on. */
void mesh_run_beacons(struct mesh *mesh, uint64_t ms);

uint32_t mesh_alive(const struct mesh *mesh);
/* How many of the living the root reaches along active links. */
uint32_t mesh_component(const struct mesh *mesh);
/* Active links that only one end has. */
uint32_t mesh_one_sided(const struct mesh *mesh);
/* The hops that a share of those reached needed at most, in thousandths. */
unsigned mesh_hops(const struct mesh_body *b, unsigned thousandths);
/* Hands a step to one core directly and carries out what it wants. */
void mesh_step(struct mesh *mesh, peer_ref node, struct gossip_event *event);
bool mesh_has_session(const struct mesh *mesh, peer_ref a, peer_ref b);

#endif
