/* The rules of merging against plain double-precision ones, and their bits on every engine, number of threads and
 * size of tile. */
#include "tests/lib/slice.h"
#include "tests/unit/merge_bench.h"

static void the_rules_are_those_of_plain_double_arithmetic(void **state)
{
	static const uint32_t counts[] = {7, 8, 15};

	(void)state;
	for (size_t r = 0; r < RULES; r++) {
		for (int c = COMPRESSION_NONE; c <= COMPRESSION_SPARSELOCO; c++) {
			for (size_t k = 0; k < 3; k++) {
				struct bench b;

				begin(&b, counts[k], rules[r], (enum compression)c);
				merge(&b);
				compare(&b, "all good");
				assert_int_equal(b.merge.merged, counts[k]);
				end(&b);
			}
		}
	}
}

static void units_of_different_lengths_are_cut_as_in_plain_double_arithmetic(void **state)
{
	(void)state;
	for (size_t r = 0; r < RULES; r++) {
		struct bench b;

		begin(&b, 9, rules[r], COMPRESSION_NONE);
		for (uint32_t u = 0; u < b.units; u++)
			for (size_t i = 0; i < b.count; i++)
				b.x[u][i] = b.x[u][i] * (float)(1 + u * u);
		merge(&b);
		compare(&b, "growing");
		if (rules[r] == MERGE_CENTERED_CLIP) {
			spec_of(&b)->merge_radius = 0.5f;
			merge(&b);
			compare(&b, "a radius of the recipe's");
		}
		end(&b);
	}
}

static void moments_are_trimmed_by_every_rule(void **state)
{
	(void)state;
	for (size_t r = 0; r < RULES; r++) {
		struct bench b;
		double *want;

		begin(&b, 8, rules[r], COMPRESSION_INT8);
		merge(&b);
		want = mem_alloc(b.moments * sizeof(*want));
		plain_trim(b.state, 8, spec_of(&b)->merge_byzantine > 0 ? 2 : 3, b.moments, want);
		for (size_t i = 0; i < b.moments; i++)
			assert_true(fabs(want[i] - (double)b.merge.moments[i]) < 1e-6);
		mem_free(want);
		end(&b);
	}
}

/* ---- Bits ---- */

static void digest_of(struct bench *b, char hex[DIGEST_HEX])
{
	struct bytes all = {0};
	struct digest d;

	assert_int_equal(parameters_encode(&all, b->merge.sum, b->count), TK_OK);
	assert_int_equal(parameters_encode(&all, b->merge.moments, b->moments), TK_OK);
	digest_bytes(&d, all.data, all.len);
	digest_hex(hex, &d);
	bytes_close(&all);
}

/* As this program printed them; the tests above say that they are right. */
static const char *const golden[RULES] = {
	"0296a5986cf56f650f276eee9df1cc3f091625bb86d4c974406f431ca1d35689",
	"2d9d106bd6f8bf2d29d6695dff7e41e559d09571a73ab83909a2797bde93db02",
	"290ed94d6bd49a4087f0f6afae47c2c2670690544a35a77fd0e4d307aa52e9b1",
	"5c78bc53f33023ce8eda168694655c018e394329cb321ac2b94a599b1ced0210",
};

static void every_rule_has_the_same_bits_on_all_engines_threads_and_tiles(void **state)
{
	static const uint32_t threads[] = {1, 2, 3, 7};

	(void)state;
	for (size_t r = 0; r < RULES; r++) {
		for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
			for (size_t k = 0; k < 4; k += slice(1, 2)) {
				char hex[DIGEST_HEX];
				struct bench b;

				begin(&b, 8, rules[r], COMPRESSION_INT8);
				b.compute.engine = *e;
				b.tile_bytes = k % 2 == 0 ? MERGE_TILE_BYTES : 1;
				if (threads[k] > 1)
					assert_int_equal(
						pool_new(&b.compute.pool, threads[k], NULL), TK_OK);
				for (size_t i = 0; i < b.count; i++)
					b.x[5][i] = 40 * b.x[5][i];
				merge(&b);
				digest_of(&b, hex);
				pool_free(b.compute.pool);
				if (strcmp(hex, golden[r]) != 0)
					fail_msg("%s, %u threads, rule %zu gives\n%s", (*e)->name,
						threads[k], r, hex);
				end(&b);
			}
		}
	}
}

static void sparse_updates_are_read_by_tiles_as_they_are_whole(void **state)
{
	(void)state;
	for (size_t r = 1; r < RULES; r += 2) {
		char whole[DIGEST_HEX], parts[DIGEST_HEX];
		struct errmsg msg = {""};
		struct bench b;
		uint32_t asked;

		begin(&b, 8, rules[r], COMPRESSION_SPARSELOCO);
		merge(&b);
		digest_of(&b, whole);
		asked = b.asked;
		b.asked = 0;
		b.tile_bytes = 1;
		assert_int_equal(gather(&b, &msg), TK_OK);
		digest_of(&b, parts);
		assert_string_equal(whole, parts);
		assert_true(b.asked > asked);
		end(&b);
	}
}

/* ---- Whole trainings ---- */

static void trainings_agree_on_every_engine_and_number_of_threads(void **state)
{
	(void)state;
	for (size_t r = 0; r < RULES; r++) {
		for (int c = COMPRESSION_INT8; c <= COMPRESSION_SPARSELOCO; c += 3) {
			struct digest first, other;
			struct bench b;
			float *theta;

			begin(&b, 8, rules[r], (enum compression)c);
			spec_of(&b)->rounds = 2;
			for (uint32_t threads = 1; threads <= 5; threads += slice(2, 4)) {
				const struct engine *e =
					threads == 1 ? engine_find("baseline") : engine_best();

				assert_int_equal(train_run(&b.tiny.recipe, e, span_of("", 0),
							 &b.tiny.source, threads, NULL, &theta,
							 threads == 1 ? &first : &other, NULL),
					TK_OK);
				mem_free(theta);
				assert_true(threads == 1 || digest_equal(&first, &other));
			}
			end(&b);
		}
	}
}

static void memory_that_is_short_anywhere_is_an_error(void **state)
{
	(void)state;
	for (size_t r = 0; r < RULES; r++) {
		struct errmsg msg;
		struct bench b;
		int rc = TK_ENOMEM;

		begin(&b, 8, rules[r], COMPRESSION_SPARSELOCO);
		merge(&b);
		for (uint64_t after = 1; rc != TK_OK; after++) {
			const struct merge_source source = {&b, payload_again};

			assert_true(after < 20);
			merge_close(&b.merge);
			assert_int_equal(
				merge_begin(&b.merge, &b.tiny.recipe, &b.compute, &msg), TK_OK);
			for (uint32_t u = 0; u < b.units; u++) {
				struct claim claim = {.outcome = OUTCOME_UPDATE};

				assert_int_equal(merge_add(&b.merge, &claim,
							 bytes_span(&b.payloads[u]), &msg),
					TK_OK);
			}
			mem_fail(after, 0);
			rc = merge_gather(&b.merge, &source, &msg);
			mem_fail(0, 0);
			assert_true(rc == TK_OK || rc == TK_ENOMEM);
		}
		end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rules_are_those_of_plain_double_arithmetic),
		cmocka_unit_test(units_of_different_lengths_are_cut_as_in_plain_double_arithmetic),
		cmocka_unit_test(moments_are_trimmed_by_every_rule),
		cmocka_unit_test(every_rule_has_the_same_bits_on_all_engines_threads_and_tiles),
		cmocka_unit_test(sparse_updates_are_read_by_tiles_as_they_are_whole),
		cmocka_unit_test(trainings_agree_on_every_engine_and_number_of_threads),
		cmocka_unit_test(memory_that_is_short_anywhere_is_an_error),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
