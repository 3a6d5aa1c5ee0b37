/* Where nodes are and what lies between them: latency from coordinates, jitter, loss, NATs.
 *
 * All of it is a function of (seed, the two nodes, time) and keeps no state for a pair. What is sent later
 * arrives later, as over TCP: jitter moves slower than time, and a lost segment is a stall, during which
 * nothing comes and after which everything does. */
#ifndef TESTS_SIM_MAP_H
#define TESTS_SIM_MAP_H

#include <stdbool.h>
#include <stdint.h>

enum nat {
	NAT_NONE = 0,
	NAT_CONE = 1,	    /* whoever knows the mapping gets in: punching works always */
	NAT_RESTRICTED = 2, /* by address and port: punched from all but symmetric ones */
	NAT_SYMMETRIC =
		3, /* a new mapping for each destination: relayed, but to cones and public ones */
};

/* A node's place: a point on a globe in units of 10 µs of light and routers, and the way to its door. */
struct place {
	int16_t x, y, z;
	uint16_t access; /* 10 µs */
};

struct map {
	uint64_t seed;
	uint32_t jitter_ms; /* at most this much is added */
	uint32_t stall_ppm; /* of the time, a direction of a pair stands still for a lost segment */
	uint32_t stall_ms;  /* how long: a retransmission timeout */
};

void place_draw(struct place *out, uint64_t *random, bool public);
/* A NAT for a peer that is not public: 3 : 4 : 2. */
enum nat nat_draw(uint64_t *random);
/* Can the two meet without a relay, if punching goes well? */
bool nat_punches(enum nat a, enum nat b);

/* One way, without jitter; 1 at least. */
uint32_t map_latency_ms(const struct place *a, const struct place *b);
/* When what leaves a (number from) for b (number to) at at_ms arrives. */
uint32_t map_arrival_ms(const struct map *m, uint32_t from, const struct place *a, uint32_t to,
	const struct place *b, uint32_t at_ms);

#endif
