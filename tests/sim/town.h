/* A town of whole nodes: the real node core with real handshakes, encryption and signatures, every byte of
 * it, under virtual time and from one seed; up to some thousand of them. Nobody is behind a NAT here (the
 * ways through them have tests of their own), and each has an address in a /24 of its own. Node 0 is the
 * coordinator. */
#ifndef TESTS_SIM_TOWN_H
#define TESTS_SIM_TOWN_H

#include "tests/sim/map.h"
#include "tests/sim/measure.h"

struct town_config {
	uint64_t seed;
	uint32_t peers;
	struct map map;
	const char *replay;
};

struct town;
struct town *town_new(const struct town_config *config);
void town_free(struct town *t);
/* Node joins by the coordinator, in_ms from now. */
void town_join(struct town *t, uint32_t node, uint32_t in_ms);
void town_run(struct town *t, uint32_t at_ms);
uint32_t town_now(const struct town *t);

/* Its process is gone. */
void town_kill(struct town *t, uint32_t node);
/* The coordinator announces something new; spread's `at` is whom it reached. */
void town_publish(struct town *t, bool beacon);
const struct spread *town_spread(const struct town *t);
/* Of the living peers, how many had the last announcement, in percent. */
double town_reach(const struct town *t);
void town_neighbours(const struct town *t, struct histogram *out);

struct town_totals {
	uint64_t events, bytes, handshakes, trace, logs;
};
void town_totals(const struct town *t, struct town_totals *out);

#endif
