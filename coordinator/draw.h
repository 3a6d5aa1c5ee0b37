/* The secret draw: which units are computed again. Pure functions of a seed, so that anybody who is
 * given the opened seed can check what was drawn; VERIFICATION.md has the formulas.
 *
 * A round's manifest commits to its seed, and the seed is opened in the ledger after the round's merge. Under the policy
 * full every unit is computed by a quorum, so nothing depends on the numbers; policy.c applies them under adaptive. */
#ifndef COORDINATOR_DRAW_H
#define COORDINATOR_DRAW_H

#include <stdbool.h>

#include "tasks/base/digest.h"

/* Trust, in valid replicated results, from which on a peer is established. */
#define PEER_ESTABLISHED 5u
/* The probability that a unit which is drawn is drawn once more: an audit of its audit. */
#define AUDIT_AGAIN 0.25

/* The secret of a project, from an event's random bytes. */
void draw_secret(struct digest *out, const uint8_t random[32]);

/* The seed of a round. A round that is computed anew after a rollback is another attempt and has
 * another seed, since the first one may have been opened. */
void draw_seed(struct digest *out, const struct digest *secret, uint32_t round, uint32_t attempt);

/* What the manifest says of the seed. */
void draw_commitment(struct digest *out, const struct digest *seed);

/* The k-th number of the unit: uniform over 64 bits. k = 0: is it replicated? 1: once more? */
uint64_t draw_number(const struct digest *seed, uint32_t unit, uint32_t k);

/* number < probability · 2^64. */
bool draw_hit(uint64_t number, double probability);

/* How likely a unit of a peer with so much trust is to be replicated: 1 below PEER_ESTABLISHED, then
 * PEER_ESTABLISHED / trust, and never less than the floor. */
double draw_probability(uint64_t trust, double floor);

/* How many results, the first one included, the unit is to have: 1, quorum or quorum + 1. */
uint32_t draw_results(const struct digest *seed, uint32_t unit, double probability, double floor,
	uint32_t quorum);

#endif
