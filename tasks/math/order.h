/* Keyed bijections and the two-level order of samples (NUMERICS.md). No tables: a unit's
 * samples follow from (seed, epoch, position) alone. */
#ifndef TASKS_MATH_ORDER_H
#define TASKS_MATH_ORDER_H

#include <stdint.h>

/* A bijection of [0,n) by an unbalanced Feistel network on Philox with cycle walking, and its inverse.
 * key and tweak select it. x, y < n, so n = 0 is not allowed; n = 1 gives 0. Expected O(1) Philox
 * calls. */
uint64_t bijection(uint64_t n, uint64_t key, uint32_t tweak, uint64_t x);
uint64_t bijection_inverse(uint64_t n, uint64_t key, uint32_t tweak, uint64_t y);

#define ORDER_WINDOW	  16u	       /* shards whose samples are shuffled together */
#define ORDER_SAMPLES_MAX (1ull << 62) /* far above what readers accept */

/* A dataset part as the order sees it: every shard holds shard_samples, the last one what remains. */
struct order {
	uint64_t seed;
	uint64_t samples;	/* ≥ 1, ≤ ORDER_SAMPLES_MAX */
	uint64_t shard_samples; /* ≥ 1 */
};

struct sample_place {
	uint64_t shard;
	uint64_t index; /* within the shard */
};

/* The sample at `position` of the endless order: epoch = position / samples, and within the epoch a
 * bijection over the shards, then one within each window of ORDER_WINDOW permuted shards. */
struct sample_place order_sample(const struct order *o, uint64_t position);

/* The window that a position lies in: where it ends (a position, never beyond its epoch) and how many
 * shards it mixes. */
struct order_window {
	uint64_t end;
	uint32_t shards;
};
struct order_window order_window(const struct order *o, uint64_t position);

/* The first shard of the window in which a shard is mixed, in the epoch of a position: the same for all
 * shards of the window. */
uint64_t order_group(const struct order *o, uint64_t position, uint64_t shard);

#endif
