/* What the rules of merging promise of bad updates, skipped units, their order, and equal values. */
#include "tests/unit/merge_bench.h"

/* ---- Bad updates ---- */

static double largest_norm(const struct bench *b, uint32_t except)
{
	double most = 0;

	for (uint32_t u = 0; u < b->units; u++)
		if (u != except)
			most = fmax(most, length_of(b->x[u], NULL, b->count));
	return most;
}

static void check_bound(const struct bench *b, uint32_t bad)
{
	double honest = largest_norm(b, bad);
	double norm = length_of(b->merge.sum, NULL, b->count);

	/* Three steps of centered clipping: 1, then 2, then 4 times the largest honest norm. */
	assert_true(norm <=
		    honest * 1.00001 * (b->tiny.recipe.train.merge == MERGE_CENTERED_CLIP ? 7 : 1));
	for (size_t i = 0; i < b->count && b->tiny.recipe.train.merge >= MERGE_TRIMMED_MEAN; i++) {
		float low = INFINITY, high = -INFINITY;

		if (b->tiny.recipe.train.merge == MERGE_CENTERED_CLIP)
			break;
		for (uint32_t u = 0; u < b->units; u++) {
			low = u != bad && b->x[u][i] < low ? b->x[u][i] : low;
			high = u != bad && b->x[u][i] > high ? b->x[u][i] : high;
		}
		assert_true(b->merge.sum[i] >= low - 1e-7f && b->merge.sum[i] <= high + 1e-7f);
	}
}

static void one_arbitrarily_bad_update_moves_the_merge_within_the_bound(void **state)
{
	static const float sizes[] = {0, 1e-30f, -1, 1e3f, -1e18f, 1e25f, 3e38f};

	(void)state;
	for (size_t r = 0; r < RULES; r++) {
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
			for (uint32_t bad = 0; bad < 8; bad += 3) {
				struct bench b;

				begin(&b, 8, rules[r], COMPRESSION_NONE);
				for (size_t i = 0; i < b.count; i++)
					b.x[bad][i] = sizes[s];
				for (size_t i = 0; i < b.moments; i++)
					b.state[bad][i] = sizes[s];
				merge(&b);
				check_bound(&b, bad);
				for (size_t i = 0; i < b.moments; i++)
					assert_true(fabsf(b.merge.moments[i]) <= 1.0001f);
				end(&b);
			}
		}
	}
}

static void the_mean_has_no_bound_and_keeps_the_sum_of_old(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 8, MERGE_MEAN, COMPRESSION_NONE);
	for (size_t i = 0; i < b.count; i++)
		b.x[3][i] = 1e25f;
	merge(&b);
	assert_int_equal(b.asked, 0);
	assert_true(b.merge.sum[17] > 9e24f);
	assert_null(b.merge.units);
	end(&b);
}

static void most_updates_beyond_measure_are_a_divergence(void **state)
{
	(void)state;
	for (size_t r = 0; r < RULES; r += 2) {
		struct errmsg msg = {""};
		struct bench b;

		begin(&b, 8, rules[r], COMPRESSION_NONE);
		for (uint32_t u = 0; u < 5; u++)
			for (size_t i = 0; i < b.count; i++)
				b.x[u][i] = 1e25f;
		for (uint32_t u = 0; u < 8; u++)
			pack(&b, u);
		assert_int_equal(gather(&b, &msg), TK_EDIVERGED);
		assert_non_null(strstr(msg.text, "too large to be compared"));
		end(&b);
	}
}

/* ---- Skipped units, order, equal values ---- */

static void skipped_units_stay_out_and_lower_what_is_borne(void **state)
{
	(void)state;
	for (size_t r = 0; r < RULES; r++) {
		uint32_t least = rules[r] == MERGE_MULTI_KRUM ? 5 : 3;
		struct errmsg msg = {""};
		struct bench b;

		begin(&b, 8, rules[r], COMPRESSION_INT8);
		merge(&b);
		for (uint32_t u = 0; u < 8 - least; u++) {
			b.skipped[u] = true;
			assert_int_equal(gather(&b, &msg), TK_OK);
			/* What is left bears 1 where 2 would be too many. */
			if (8 - (u + 1) < merge_units_min(rules[r], 2) &&
				spec_of(&b)->merge_byzantine > 0) {
				spec_of(&b)->merge_byzantine = 1;
				compare(&b, "fewer");
				spec_of(&b)->merge_byzantine = 2;
			} else {
				compare(&b, "skipped");
			}
		}
		b.skipped[7] = true;
		assert_int_equal(gather(&b, &msg), TK_EDIVERGED);
		assert_non_null(strstr(msg.text, "had finite numbers"));
		end(&b);
	}
}

static void the_trimmed_mean_does_not_see_the_order_of_units(void **state)
{
	struct bench b;
	float *first;

	(void)state;
	begin(&b, 8, MERGE_TRIMMED_MEAN, COMPRESSION_BF16);
	for (size_t i = 0; i < b.count; i++)
		for (uint32_t u = 0; u < 8; u++)
			b.x[u][i] = i % 3 == 0 ? 0.5f * (float)(u % 2) - 0.25f : b.x[u][i];
	merge(&b);
	first = mem_dup(b.merge.sum, b.count * sizeof(float));
	for (uint32_t u = 0; u < 4; u++) {
		float *x = b.x[u];

		b.x[u] = b.x[7 - u];
		b.x[7 - u] = x;
	}
	merge(&b);
	assert_memory_equal(first, b.merge.sum, b.count * sizeof(float));
	mem_free(first);
	end(&b);
}

static void equal_scores_go_to_the_lower_units(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 7, MERGE_MULTI_KRUM, COMPRESSION_NONE);
	/* All are equally far from each other; 7 − 2 − 2 are chosen. */
	for (uint32_t u = 0; u < 7; u++) {
		memset(b.x[u], 0, b.count * sizeof(float));
		b.x[u][5000 * (u % 2) + u] = 3;
	}
	merge(&b);
	for (uint32_t u = 0; u < 7; u++)
		assert_true(b.merge.sum[5000 * (u % 2) + u] == (u < 3 ? 1.0f : 0.0f));
	end(&b);
}

static void equal_updates_and_zeros_and_subnormals_come_out_as_they_are(void **state)
{
	static const float values[] = {0, 1e-42f, -3e-45f, 1e-30f, 0.75f, -1e15f};

	(void)state;
	for (size_t r = 0; r < RULES; r++) {
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
			struct bench b;

			begin(&b, 8, rules[r], COMPRESSION_NONE);
			for (uint32_t u = 0; u < 8; u++)
				for (size_t i = 0; i < b.count; i++)
					b.x[u][i] = values[v];
			merge(&b);
			for (size_t i = 0; i < b.count; i++) {
				assert_true(b.merge.sum[i] == values[v]);
				assert_false(values[v] == 0 && signbit(b.merge.sum[i]));
			}
			end(&b);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_arbitrarily_bad_update_moves_the_merge_within_the_bound),
		cmocka_unit_test(the_mean_has_no_bound_and_keeps_the_sum_of_old),
		cmocka_unit_test(most_updates_beyond_measure_are_a_divergence),
		cmocka_unit_test(skipped_units_stay_out_and_lower_what_is_borne),
		cmocka_unit_test(the_trimmed_mean_does_not_see_the_order_of_units),
		cmocka_unit_test(equal_scores_go_to_the_lower_units),
		cmocka_unit_test(equal_updates_and_zeros_and_subnormals_come_out_as_they_are),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
