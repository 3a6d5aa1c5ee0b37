/* A crowd that wants one blob: nodes that run the real swarm core under virtual time, from one seed. Peer 1
 * is the coordinator, the tracker and first seed; the others have home links, most of them NATs, and sessions
 * with a few neighbours, as gossip gives them. The coordinator takes so many sessions and no more: for one
 * that comes, the one makes place that has asked nothing for longest, if that is long enough, or it is
 * refused. Who was refused or had to go comes again, more and more seldom. Bytes flow as in flow.h, one request a piece; what is said beside travels
 * with the map's latency. No relay carries pieces: two whose NATs do not let them meet do not. */
#ifndef TESTS_SIM_CROWD_H
#define TESTS_SIM_CROWD_H

#include "peer/swarm/swarm.h"
#include "tests/sim/map.h"

struct crowd_config {
	uint64_t seed;
	uint32_t peers;
	uint32_t public_percent; /* 10 */
	uint64_t bytes;		 /* of the blob: 1 GB */
	uint32_t seed_mbits;	 /* the coordinator's uplink: 1,000 */
	uint32_t want_ms;	 /* all begin to want it within: 2,000 */
	uint32_t places;	 /* the coordinator's sessions: 4,096 */
	uint32_t neighbours;	 /* that a peer chooses, half of them public: 4; others choose it */
	struct map map;
	const char *replay;
};
void crowd_config_default(struct crowd_config *out, uint64_t seed, uint32_t peers);

struct crowd;
struct crowd *crowd_new(const struct crowd_config *config);
void crowd_free(struct crowd *c);
void crowd_run(struct crowd *c, uint32_t at_ms);

/* How many have the whole blob, and when peer (2 … peers + 1) had it; 0: not yet. */
uint32_t crowd_done(const struct crowd *c);
uint32_t crowd_done_ms(const struct crowd *c, uint32_t peer);
enum nat crowd_nat(const struct crowd *c, uint32_t peer);
/* The time below which nobody can distribute the blob: max{F/u_s, F/d_min, N·F/(u_s+Σu_i)}, the uploads
 * counted of those only who can reach somebody. */
double crowd_bound_s(const struct crowd *c);

struct crowd_totals {
	uint64_t events, trace, messages, dials, dials_failed, accusations;
	uint64_t seed_sent, got, wasted; /* bytes */
	uint64_t seed_said;		 /* bytes of all that the coordinator sends beside pieces */
	uint64_t records, knocks, refused, displaced, whos, seed_whos;
	double seed_all;   /* bytes on the wire, frames and proofs included */
	double uplink_use; /* of all peers' uplinks until now, 0 … 1 */
	double uplink_now; /* … at this moment */
	size_t memory;	   /* of the cores */
};
void crowd_totals(const struct crowd *c, struct crowd_totals *out);

#endif
