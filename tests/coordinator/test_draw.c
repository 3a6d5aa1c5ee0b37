/* The secret draw: its bits are pinned, its shares are those of the formulas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "coordinator/draw.h"
#include "tasks/base/key.h"

#define UNITS 200000u

/* From a few lines of Python over hashlib. */
static void numbers_are_pinned(void **state)
{
	const uint8_t random[32] = {1, 2, 3};
	struct digest secret, seed, commitment;
	char hex[2 * DIGEST_BYTES + 1];

	(void)state;
	draw_secret(&secret, random);
	draw_seed(&seed, &secret, 7, 1);
	draw_commitment(&commitment, &seed);
	digest_hex(hex, &seed);
	assert_string_equal(
		hex, "8ec76ceaa062e5993762d5912c9ffee2bc35a63f4a5126eaf4fa399f2309e5d9");
	digest_hex(hex, &commitment);
	assert_string_equal(
		hex, "27af1370e4bfae9035d3710dc8b435fe79ce6b5f02c0f494ef3f8fc31e6e89fd");
	assert_true(draw_number(&seed, 0, 0) == 0xb2ddcc885e6af744u);
	assert_true(draw_number(&seed, 4095, 1) == 0x1266f29acf85e3e3u);
}

static void every_round_and_attempt_has_a_seed_of_its_own(void **state)
{
	const struct digest secret = {{9}};
	struct digest a, b, c;

	(void)state;
	draw_seed(&a, &secret, 1, 0);
	draw_seed(&b, &secret, 1, 1);
	draw_seed(&c, &secret, 2, 0);
	assert_false(digest_equal(&a, &b) || digest_equal(&a, &c) || digest_equal(&b, &c));
}

static void the_probability_falls_with_trust_and_never_below_the_floor(void **state)
{
	double last = 1;

	(void)state;
	for (uint64_t trust = 0; trust <= PEER_ESTABLISHED; trust++)
		assert_true(draw_probability(trust, 0.02) == 1);
	for (uint64_t trust = PEER_ESTABLISHED + 1; trust < 10000; trust++) {
		double p = draw_probability(trust, 0.02);

		assert_true(p <= last && p >= 0.02);
		last = p;
	}
	assert_true(last == 0.02);
	assert_true(draw_probability(UINT64_MAX, 0.02) == 0.02);
	assert_true(draw_probability(UINT64_MAX, 1) == 1);
}

static void certain_is_certain_and_never_is_never(void **state)
{
	(void)state;
	assert_true(draw_hit(UINT64_MAX, 1));
	assert_false(draw_hit(0, 0));
	assert_false(draw_hit(0, (double)NAN));
	assert_true(draw_hit(0, 1e-6));
	assert_true(draw_hit(((uint64_t)1 << 63) - 1, 0.5));
	assert_false(draw_hit((uint64_t)1 << 63, 0.5));
}

/* Within five standard deviations of the binomial; the seeds are fixed, so it always is. */
static void assert_share(uint32_t hits, uint32_t of, double p)
{
	double deviation = sqrt(p * (1 - p) * of);

	assert_true(fabs(hits - p * of) <= 5 * deviation);
}

static void shares_are_those_that_were_asked_for(void **state)
{
	static const double shares[] = {0.002, 0.02, 0.3, 0.9};

	(void)state;
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		uint32_t drawn = 0, again = 0, wrong = 0;
		struct digest seed = {{(uint8_t)i}};

		for (uint32_t u = 0; u < UNITS; u++) {
			uint32_t n = draw_results(&seed, u, shares[i], 0.002, 3);

			drawn += n >= 3;
			again += n == 4;
			wrong += n == 2 || n > 4;
		}
		assert_int_equal(wrong, 0);
		assert_share(drawn, UNITS, shares[i]);
		assert_share(again, drawn, AUDIT_AGAIN);
	}
}

/* Neighbouring units, and neighbouring seeds, are drawn independently. */
static void a_unit_says_nothing_about_the_next(void **state)
{
	uint32_t both = 0, across = 0;
	const struct digest a = {{3}}, b = {{4}};

	(void)state;
	for (uint32_t u = 0; u < UNITS; u++) {
		bool hit = draw_hit(draw_number(&a, u, 0), 0.25);

		both += hit && draw_hit(draw_number(&a, u + 1, 0), 0.25);
		across += hit && draw_hit(draw_number(&b, u, 0), 0.25);
	}
	assert_share(both, UNITS, 0.0625);
	assert_share(across, UNITS, 0.0625);
}

/* Floor and all: what an opened seed shows must have been replicated, whoever had the unit. */
static void what_the_floor_draws_is_drawn_at_any_trust(void **state)
{
	const struct digest seed = {{5}};

	(void)state;
	for (uint32_t u = 0; u < 10000; u++)
		if (draw_results(&seed, u, 0.02, 0.02, 2) > 1)
			assert_true(draw_results(&seed, u, draw_probability(u % 600, 0.02), 0.02,
					    2) > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_pinned),
		cmocka_unit_test(every_round_and_attempt_has_a_seed_of_its_own),
		cmocka_unit_test(the_probability_falls_with_trust_and_never_below_the_floor),
		cmocka_unit_test(certain_is_certain_and_never_is_never),
		cmocka_unit_test(shares_are_those_that_were_asked_for),
		cmocka_unit_test(a_unit_says_nothing_about_the_next),
		cmocka_unit_test(what_the_floor_draws_is_drawn_at_any_trust),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
