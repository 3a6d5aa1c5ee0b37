/* A short slice of what `make fuzz` does at length: the valid inputs of every target, damaged by a seeded
 * hand. TALKOOT_SEED replays a failure, TALKOOT_RUNS makes it longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tasks/base/key.h"
#include "tasks/math/philox.h"
#include "tests/lib/fuzz_targets.h"
#include "tests/lib/slice.h"

#define RUNS	   slice(400, 60) /* of each valid input */
#define RUNS_SLOW  slice(40, 8)	  /* where each takes milliseconds; corpora are replayed besides */
#define INPUT_MAX  8192u
#define GROWTH_MAX 64u

struct dice {
	uint64_t seed, counter;
};

static uint32_t roll(struct dice *d, uint32_t sides)
{
	uint32_t out[4];

	philox(out, d->seed, 1001, 0, d->counter++);
	return out[0] % sides;
}

static size_t damage(struct dice *dice, uint8_t *data, size_t n)
{
	static const uint8_t spice[] = {
		0, 1, 0x7f, 0x80, 0xff, 0xc6, 0xdd, 0xcf, '\n', '"', ',', ':'};

	for (uint32_t k = roll(dice, 4) + 1; k > 0 && n > 1; k--) {
		size_t at = roll(dice, (uint32_t)n);

		switch (roll(dice, 6)) {
		case 0:
			data[at] ^= (uint8_t)(1u << roll(dice, 8));
			break;
		case 1:
			data[at] = spice[roll(dice, sizeof(spice))];
			break;
		case 2:
			memmove(data + at, data + at + 1, --n - at);
			break;
		case 3:
			memmove(data + at + 1, data + at, n - at);
			n++;
			break;
		case 4:
			data[at] = (uint8_t)roll(dice, 256);
			break;
		default:
			n = roll(dice, 4) == 0 ? at + 1 : n;
		}
	}
	return n;
}

static unsigned number(const char *name, unsigned otherwise)
{
	const char *given = getenv(name);

	return given != NULL ? (unsigned)strtoul(given, NULL, 10) : otherwise;
}

static void try_damaged(const struct fuzz_target *t, struct span seed, struct dice *dice)
{
	unsigned runs = number("TALKOOT_RUNS", t->slow ? RUNS_SLOW : RUNS);

	t->run(seed);
	for (unsigned i = 0; i < runs; i++) {
		uint8_t data[INPUT_MAX + GROWTH_MAX];
		uint8_t *exact;
		size_t n;

		memcpy(data, seed.data, seed.len);
		n = damage(dice, data, seed.len);
		exact = malloc(n != 0 ? n : 1); /* so that reading past the end is seen */
		assert_non_null(exact);
		memcpy(exact, data, n);
		t->run(span_of(exact, n));
		free(exact);
	}
}

static void damaged_input_is_read_or_refused(void **state)
{
	struct dice dice = {.seed = number("TALKOOT_SEED", 20260607)};

	(void)state;
	print_message("# TALKOOT_SEED=%llu replays this\n", (unsigned long long)dice.seed);
	assert_int_equal(crypto_start(), TK_OK);
	for (const struct fuzz_target *t = fuzz_targets; t->name != NULL; t++) {
		struct bytes seed = {0};
		unsigned seeds = 0;

		print_message("# %s\n", t->name);
		t->run(span_of("", 0));
		for (; t->seed(seeds, &seed); seeds++) {
			assert_in_range(seed.len, 1, INPUT_MAX);
			try_damaged(t, bytes_span(&seed), &dice);
			bytes_close(&seed);
		}
		assert_true(seeds > 0);
		assert_int_equal(seed.len, 0); /* one that is not valid */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged_input_is_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
