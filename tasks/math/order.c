/* See order.h. An alternating Feistel network (Black and Rogaway, "Ciphers with arbitrary finite
 * domains", 2002) permutes [0, 2^bits) ⊇ [0, n); values that land outside walk on along their cycle. */
#include "tasks/math/order.h"

#include <stdbool.h>

#include "tasks/base/require.h"
#include "tasks/math/philox.h"

#define ROUNDS	   8
#define EPOCH_LANE UINT32_MAX /* keys of epochs; the lanes of rounds are 0 … ROUNDS − 1 */

/* The two halves of the permuted values: `low` bits and `high` bits. */
struct network {
	uint64_t key;
	uint32_t tweak;
	int low, high;
};

static struct network network_for(uint64_t n, uint64_t key, uint32_t tweak)
{
	int bits = 64 - __builtin_clzll(n - 1); /* n ≥ 2 */

	return (struct network){key, tweak, bits - bits / 2, bits / 2};
}

/* Exclusive-ors a function of one half into the other; its own inverse. */
static uint64_t network_round(const struct network *f, uint32_t round, uint64_t x)
{
	uint64_t low = x & ((1ull << f->low) - 1);
	uint64_t high = x >> f->low;
	uint32_t word[4];

	philox(word, f->key, STREAM_ORDER, round,
		(uint64_t)f->tweak << 32 | (round % 2 == 0 ? high : low));
	if (round % 2 == 0)
		low ^= word[0] & ((1ull << f->low) - 1);
	else
		high ^= word[0] & ((1ull << f->high) - 1);
	return high << f->low | low;
}

uint64_t bijection(uint64_t n, uint64_t key, uint32_t tweak, uint64_t x)
{
	struct network f;

	REQUIRE(x < n);
	if (n == 1)
		return 0;
	f = network_for(n, key, tweak);
	do {
		for (uint32_t round = 0; round < ROUNDS; round++)
			x = network_round(&f, round, x);
	} while (x >= n);
	return x;
}

uint64_t bijection_inverse(uint64_t n, uint64_t key, uint32_t tweak, uint64_t y)
{
	struct network f;

	REQUIRE(y < n);
	if (n == 1)
		return 0;
	f = network_for(n, key, tweak);
	do {
		for (uint32_t round = ROUNDS; round-- > 0;)
			y = network_round(&f, round, y);
	} while (y >= n);
	return y;
}

/* One epoch's shards, laid end to end in permuted order. All have `size` samples but the one in slot
 * `short_slot`, which lacks `missing`. */
struct epoch {
	uint64_t key;
	uint64_t shards, size, short_slot, missing;
};

static struct epoch epoch_for(const struct order *o, uint64_t number)
{
	uint64_t size = o->shard_samples < o->samples ? o->shard_samples : o->samples;
	uint64_t shards = (o->samples - 1) / size + 1;
	uint64_t last = o->samples - (shards - 1) * size;
	uint32_t word[4];
	uint64_t key;

	philox(word, o->seed, STREAM_ORDER, EPOCH_LANE, number);
	key = (uint64_t)word[1] << 32 | word[0];
	return (struct epoch){
		key, shards, size, bijection_inverse(shards, key, 0, shards - 1), size - last};
}

/* Where a slot's samples begin; for slot = shards, the end of all. */
static uint64_t slot_begin(const struct epoch *e, uint64_t slot)
{
	return slot * e->size - (slot > e->short_slot ? e->missing : 0);
}

static uint64_t slot_of(const struct epoch *e, uint64_t offset)
{
	if (offset < slot_begin(e, e->short_slot + 1))
		return offset / e->size;
	return (offset + e->missing) / e->size;
}

/* The offsets [begin, end) of the epoch that the window of an offset covers. */
struct extent {
	uint64_t window, begin, end;
};

static struct extent extent_of(const struct order *o, const struct epoch *e, uint64_t offset)
{
	uint64_t window = slot_of(e, offset) / ORDER_WINDOW;
	bool last = e->shards - window * ORDER_WINDOW <= ORDER_WINDOW;

	return (struct extent){window, slot_begin(e, window * ORDER_WINDOW),
		last ? o->samples : slot_begin(e, (window + 1) * ORDER_WINDOW)};
}

static void order_require(const struct order *o)
{
	REQUIRE(o->samples > 0 && o->samples <= ORDER_SAMPLES_MAX && o->shard_samples > 0);
}

struct sample_place order_sample(const struct order *o, uint64_t position)
{
	struct epoch e;
	struct extent x;
	uint64_t offset, slot;

	order_require(o);
	e = epoch_for(o, position / o->samples);
	offset = position % o->samples;
	x = extent_of(o, &e, offset);
	offset = x.begin +
		 bijection(x.end - x.begin, e.key, 1 + (uint32_t)x.window, offset - x.begin);
	slot = slot_of(&e, offset);
	return (struct sample_place){
		bijection(e.shards, e.key, 0, slot), offset - slot_begin(&e, slot)};
}

struct order_window order_window(const struct order *o, uint64_t position)
{
	struct epoch e;
	struct extent x;
	uint64_t offset, left;

	order_require(o);
	e = epoch_for(o, position / o->samples);
	offset = position % o->samples;
	x = extent_of(o, &e, offset);
	left = e.shards - x.window * ORDER_WINDOW;
	return (struct order_window){
		position - offset + x.end, left < ORDER_WINDOW ? (uint32_t)left : ORDER_WINDOW};
}

uint64_t order_group(const struct order *o, uint64_t position, uint64_t shard)
{
	struct epoch e;
	uint64_t slot;

	order_require(o);
	e = epoch_for(o, position / o->samples);
	REQUIRE(shard < e.shards);
	slot = bijection_inverse(e.shards, e.key, 0, shard);
	return bijection(e.shards, e.key, 0, slot - slot % ORDER_WINDOW);
}
