/* A world of nodes that run the real gossip core under virtual time, from one seed.
 *
 * The world is what the cores' shells are in production: it keeps sessions, carries messages, rings at
 * wake-up times and hands out contacts. All nodes share one table of peers and one of bodies, so a handle
 * is an index and nothing is signed or checked: cryptography costs what it costs elsewhere.
 *
 * Peer 1 is the coordinator; 2 … peers + 1 are honest; Sybils, if any, come after. Times are milliseconds
 * since the world began. Whatever breaks an invariant prints the seed and ends the program. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "peer/overlay/gossip.h"
#include "tests/sim/map.h"
#include "tests/sim/measure.h"

#define WORLD_ROOT     1u
#define WORLD_BEACON_S 30u

struct world_config {
	uint64_t seed;
	uint32_t peers;
	uint32_t sybils;
	uint32_t sybil_prefixes;
	uint32_t sybil_victims;	 /* the first so many honest peers are attacked; 0: all */
	uint32_t public_percent; /* 10 */
	uint32_t bodies_max;	 /* that will be published, beacons included */
	uint32_t body_bytes;	 /* of one on the wire: 600 */
	uint32_t up_home_kbps, up_public_kbps; /* 10,000 and 100,000 */
	uint32_t
		contacts; /* public peers whose addresses the link holds beside the coordinator's: 3 */
	bool contacts_differ; /* everybody has a link, or a cache, that names others */
	uint32_t silence_ms;  /* after which a session with one who is gone is over: 45,000 */
	uint32_t dial_ms;     /* after which dialling one who is gone has failed: 10,000 */
	bool first_host_dead; /* the link's first address answers nobody */
	struct map map;
	/* Changes the core's parameters; may be NULL. */
	void (*tune)(struct gossip_config *config);
	const char *replay; /* the command that repeats this run */
};
void world_config_default(struct world_config *out, uint64_t seed, uint32_t peers);

enum world_state {
	WORLD_ABSENT = 0, /* was never started */
	WORLD_UP = 1,
	WORLD_STOPPED = 2, /* its process is gone: its host says so at once */
	WORLD_GONE = 3,	   /* its host is gone: only silence tells */
};

struct world;
struct world *world_new(const struct world_config *config);
void world_free(struct world *w);

/* Runs until at_ms. */
void world_run(struct world *w, uint32_t at_ms);
uint32_t world_now(const struct world *w);
uint64_t world_random(struct world *w);
/* The root publishes a beacon every 30 s as long as it is up, beginning now. */
void world_beacons(struct world *w);

/* Starts peer in_ms from now with the link's contacts, and what it remembers of an earlier life. */
void world_start(struct world *w, peer_ref peer, uint32_t in_ms);
void world_kill(struct world *w, peer_ref peer, enum world_state how);
/* It neither hears nor speaks for so long; its clocks go on. */
void world_freeze(struct world *w, peer_ref peer, uint32_t for_ms);
/* Peers on different sides cannot reach each other; all begin on side 0. */
void world_side(struct world *w, peer_ref peer, uint8_t side);
/* None but Sybils can reach it any more, nor it others. */
void world_surround(struct world *w, peer_ref peer, bool on);
/* Before it starts: its clock is so far ahead. */
void world_skew(struct world *w, peer_ref peer, int32_t seconds);
bool world_is_up(const struct world *w, peer_ref peer);
bool world_is_public(const struct world *w, peer_ref peer);
peer_ref world_peer_last(const struct world *w); /* the last honest one */

/* The root publishes a body; gives its number. */
body_ref world_publish(struct world *w, bool beacon);
const struct spread *world_spread(const struct world *w, body_ref body);
/* Of the honest peers that are up and were when it was published, how many have the body, and of how many. */
void world_reach(const struct world *w, body_ref body, uint32_t *reached, uint32_t *of);
/* Has every topic's newest body reached the peer, by whatever way? */
bool world_is_current(const struct world *w, peer_ref peer);

/* Over the open views of honest peers that are up: how many components, and the smallest ones' peers. */
void world_components(struct world *w, struct components *out);
/* The same, but those who began less than age_ms ago are not counted: they may still be joining. */
void world_components_of(struct world *w, struct components *out, uint32_t age_ms);
/* Honest peers all of whose neighbours are Sybils (none at all does not count); peers gets them. */
uint32_t world_eclipsed(const struct world *w, peer_ref *peers, uint32_t max);
uint32_t world_neighbours_of(const struct world *w, peer_ref peer);
/* How many neighbours honest peers have, and how many of them are Sybils. */
void world_neighbours(
	const struct world *w, struct histogram *count, uint64_t *all, uint64_t *sybil);

struct world_totals {
	uint64_t events, wakes, messages, bytes, dials, dials_failed, accusations, isolated,
		unopened;
	uint64_t by_type[64];	      /* messages, by enum message_type */
	uint64_t trace;		      /* digest of every event, in order */
	size_t memory, memory_gossip; /* bytes now */
};
void world_totals(const struct world *w, struct world_totals *out);
/* When peer last noticed that it is isolated; 0: never. */
uint32_t world_isolated_ms(const struct world *w, peer_ref peer);

_Noreturn void world_broken(const struct world *w, const char *what);
#define WORLD_CHECK(w, x) ((x) ? (void)0 : world_broken(w, #x))

#endif
