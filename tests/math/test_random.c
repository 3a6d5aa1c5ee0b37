/* Philox against its published answers, the numbers made from it, and the order of samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/math/order.h"
#include "tests/math/inputs.h"

/* Random123's kat_vectors for philox4x32-10. */
static void philox_gives_the_published_answers(void **state)
{
	static const struct {
		uint32_t counter[4], key[2], want[4];
	} known[] = {
		{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
			{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
			{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		const uint32_t *c = known[i].counter, *k = known[i].key;
		uint32_t out[4];

		philox(out, (uint64_t)k[1] << 32 | k[0], c[2], c[3], (uint64_t)c[1] << 32 | c[0]);
		assert_memory_equal(out, known[i].want, sizeof(out));
	}
}

static void uniform_and_normal_have_their_moments(void **state)
{
	enum { COUNT = 200000 };
	double mean[2] = {0}, square[2] = {0};

	(void)state;
	for (uint64_t i = 0; i < COUNT; i++) {
		double u = philox_uniform(11, STREAM_INIT, 0, i);
		double z = philox_normal(11, STREAM_INIT, i);

		assert_true(u >= 0 && u < 1 && fabs(z) <= 6);
		mean[0] += u / COUNT;
		mean[1] += z / COUNT;
		square[0] += u * u / COUNT;
		square[1] += z * z / COUNT;
	}
	assert_true(fabs(mean[0] - 0.5) < 0.003 && fabs(square[0] - 1 / 3.0) < 0.003);
	assert_true(fabs(mean[1]) < 0.01 && fabs(square[1] - 1) < 0.015);
}

static void every_bijection_is_a_permutation_and_has_its_inverse(void **state)
{
	static const uint64_t sizes[] = {
		1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 100, 1000, 1024, 1025, 5000};
	bool seen[5000];

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		uint64_t n = sizes[s];

		for (uint64_t key = 0; key < 5; key++) {
			memset(seen, 0, sizeof(seen));
			for (uint64_t x = 0; x < n; x++) {
				uint64_t y = bijection(n, key, 3, x);

				assert_true(y < n && !seen[y]);
				seen[y] = true;
				assert_int_equal(bijection_inverse(n, key, 3, y), x);
			}
		}
	}
}

static void huge_bijections_have_their_inverse(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 2000; i++) {
		uint64_t n = (1ull << (40 + i % 24)) + 12345 * i;
		uint64_t x = (i * 0x9e3779b97f4a7c15ull) % n;
		uint64_t y = bijection(n, i, (uint32_t)i, x);

		assert_true(y < n);
		assert_int_equal(bijection_inverse(n, i, (uint32_t)i, y), x);
	}
}

/* Chi-square of where each of five values lands, over many keys: 16 degrees of freedom, and a sound
 * permutation exceeds 60 about once in two million. */
static void small_bijections_are_spread_evenly(void **state)
{
	enum { N = 5, KEYS = 20000 };
	int count[N][N] = {0};
	double chi = 0;

	(void)state;
	for (uint64_t key = 0; key < KEYS; key++) {
		for (uint64_t x = 0; x < N; x++)
			count[x][bijection(N, key * 0x9e3779b97f4a7c15ull, 0, x)]++;
	}
	for (int x = 0; x < N; x++) {
		for (int y = 0; y < N; y++)
			chi += pow(count[x][y] - KEYS / N, 2) / (KEYS / N);
	}
	assert_true(chi < 60);
}

/* Each sample of the data exactly once, and never from more than ORDER_WINDOW shards at a time. */
static void epoch_check(const struct order *o, uint64_t epoch)
{
	uint64_t shards = (o->samples + o->shard_samples - 1) / o->shard_samples;
	uint64_t window = ORDER_WINDOW * (shards == 1 ? o->samples : o->shard_samples);
	bool *seen = mem_calloc(o->samples, sizeof(*seen));
	uint32_t *touched = mem_calloc(shards, sizeof(*touched));

	for (uint64_t p = 0; p < o->samples; p++) {
		struct sample_place place = order_sample(o, epoch * o->samples + p);
		uint64_t sample = place.shard * o->shard_samples + place.index;

		assert_true(place.shard < shards && place.index < o->shard_samples);
		if (sample >= o->samples || seen[sample])
			fail_msg("samples %llu shard_samples %llu position %llu: sample %llu",
				(unsigned long long)o->samples,
				(unsigned long long)o->shard_samples, (unsigned long long)p,
				(unsigned long long)sample);
		seen[sample] = true;
		touched[place.shard] |= 1u << (p / window % 32);
	}
	for (uint64_t s = 0; s < shards; s++) /* a window is shifted by less than one shard */
		assert_true(__builtin_popcount(touched[s]) <= 2);
	mem_free(seen);
	mem_free(touched);
}

/* The windows lie end to end, and each mixes exactly the shards that it says. */
static void windows_check(const struct order *o, uint64_t epoch)
{
	uint64_t shards = (o->samples + o->shard_samples - 1) / o->shard_samples;
	uint32_t *in = mem_calloc(shards, sizeof(*in));
	uint64_t at = epoch * o->samples;
	uint32_t number = 0;
	uint64_t all = 0;

	while (at < (epoch + 1) * o->samples) {
		struct order_window w = order_window(o, at);
		uint64_t group = order_group(o, at, order_sample(o, at).shard);
		uint32_t mixed = 0;
		bool named = false;

		number++;
		assert_true(w.end > at && w.end <= (epoch + 1) * o->samples);
		assert_int_equal(order_window(o, w.end - 1).end, w.end);
		for (; at < w.end; at++) {
			uint64_t shard = order_sample(o, at).shard;

			mixed += in[shard] != number;
			in[shard] = number;
			assert_int_equal(order_group(o, at, shard), group);
			named = named || shard == group;
		}
		assert_true(named);
		assert_int_equal(mixed, w.shards);
		all += mixed;
	}
	assert_int_equal(all, shards);
	mem_free(in);
}

static void every_epoch_visits_every_sample_once(void **state)
{
	static const uint64_t sizes[] = {1, 2, 15, 16, 17, 100, 321, 1000, 1601};
	static const uint64_t shards[] = {1, 2, 3, 10, 50, 100, 1000, 1ull << 63};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (size_t j = 0; j < sizeof(shards) / sizeof(*shards); j++) {
			for (uint64_t seed = 0; seed < 4; seed++) {
				struct order o = {seed, sizes[i], shards[j]};

				epoch_check(&o, seed * 3);
				windows_check(&o, seed * 3);
			}
		}
	}
}

static void epochs_and_seeds_differ(void **state)
{
	const struct order one = {1, 1000, 10}, two = {2, 1000, 10};
	int epochs = 0, seeds = 0;

	(void)state;
	for (uint64_t p = 0; p < 1000; p++) {
		struct sample_place a = order_sample(&one, p), b = order_sample(&one, 1000 + p);
		struct sample_place c = order_sample(&two, p);

		epochs += a.shard == b.shard && a.index == b.index;
		seeds += a.shard == c.shard && a.index == c.index;
	}
	assert_true(epochs < 20 && seeds < 20);
}

static void the_largest_data_do_not_overflow(void **state)
{
	const struct order o = {3, ORDER_SAMPLES_MAX, (1ull << 40) + 1};
	const uint64_t last = ORDER_SAMPLES_MAX / o.shard_samples;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		struct sample_place p = order_sample(&o, i * 0x3779b97f4a7c15ull);

		assert_true(p.shard <= last && p.index < o.shard_samples);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(philox_gives_the_published_answers),
		cmocka_unit_test(uniform_and_normal_have_their_moments),
		cmocka_unit_test(every_bijection_is_a_permutation_and_has_its_inverse),
		cmocka_unit_test(huge_bijections_have_their_inverse),
		cmocka_unit_test(small_bijections_are_spread_evenly),
		cmocka_unit_test(every_epoch_visits_every_sample_once),
		cmocka_unit_test(epochs_and_seeds_differ),
		cmocka_unit_test(the_largest_data_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
