/* All engines against naive loops: lengths, alignments and the values that break careless code. Products
 * are in test_products.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/math/engine.h"
#include "tests/math/inputs.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <fenv.h>

static float naive_block(const float *x, size_t n, bool squares)
{
	float lane[16] = {0};

	for (size_t i = 0; i < n; i++)
		lane[i % 16] = squares ? fmaf(x[i], x[i], lane[i % 16]) : lane[i % 16] + x[i];
	for (int half = 8; half > 0; half /= 2) {
		for (int i = 0; i < half; i++)
			lane[i] += lane[i + half];
	}
	return lane[0];
}

/* The recursive rule with arrays of block sums, level by level; x is overwritten. */
static float naive_sum(float *x, size_t n, bool squares)
{
	for (; n > 4096; squares = false) {
		size_t blocks = (n + 4095) / 4096;

		for (size_t b = 0; b < blocks; b++)
			x[b] = naive_block(
				x + b * 4096, b + 1 < blocks ? 4096 : n - b * 4096, squares);
		n = blocks;
	}
	return naive_block(x, n, squares);
}

static void sum_check(size_t n, enum input_kind kind, size_t misalign)
{
	float *x = inputs_new(kind, n + misalign, n), *copy = mem_floats(n);
	float want[2];

	memcpy(copy, x + misalign, n * sizeof(*x));
	want[0] = naive_sum(copy, n, false);
	memcpy(copy, x + misalign, n * sizeof(*x));
	want[1] = naive_sum(copy, n, true);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		float got[2] = {(*e)->sum(n, x + misalign), (*e)->sum_squares(n, x + misalign)};

		if (floats_differ(want, got, 2) != 2)
			fail_msg("%s: n %zu kind %d: %a %a, not %a %a", (*e)->name, n, kind,
				(double)got[0], (double)got[1], (double)want[0], (double)want[1]);
	}
	mem_free(x);
	mem_free(copy);
}

static void sums_follow_lanes_and_blocks(void **state)
{
	(void)state;
	for (size_t n = 0; n < 70; n++)
		sum_check(n, (enum input_kind)(n % INPUT_KINDS), n % 5);
	for (size_t n = 4090; n < 4120; n++)
		sum_check(n, INPUT_WIDE, n % 3);
	sum_check(123457, INPUT_WIDE, 1);
}

/* Generating 17 million inputs through Philox takes seconds; a short pattern does as well. */
static void sums_of_sixteen_million_have_three_levels(void **state)
{
	size_t n = 4096 * 4096 + 70001;
	float *x = mem_floats(n), *copy = mem_floats(n);
	float want;

	(void)state;
	assert_true(x != NULL && copy != NULL);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(i * 2654435761u % 1000003u) * 0x1p-20f - 0.3f;
	memcpy(copy, x, n * sizeof(*x));
	want = naive_sum(copy, n, false);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++)
		assert_int_equal(float_bits((*e)->sum(n, x)), float_bits(want));
	mem_free(x);
	mem_free(copy);
}

static void column_sums_run_over_rows_in_order(void **state)
{
	static const size_t shapes[][2] = {
		{1, 1}, {5, 63}, {64, 65}, {7, 200}, {4096, 3}, {4097, 3}, {9000, 17}, {0, 4}};

	(void)state;
	for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
		size_t rows = shapes[s][0], cols = shapes[s][1], ld = cols + s % 3;
		float *x = inputs_new(s % 2 ? INPUT_NASTY : INPUT_WIDE, rows * ld + 1, s);
		float *want = mem_floats(cols), *got = mem_floats(cols);

		for (size_t c = 0; c < cols; c++) {
			for (size_t r = 0; r < rows; r += 4096) {
				float block = 0;

				for (size_t i = r; i < rows && i < r + 4096; i++)
					block += x[i * ld + c];
				want[c] += block;
			}
		}
		for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
			(*e)->column_sums(rows, cols, x, ld, got);
			assert_int_equal(floats_differ(want, got, cols), cols);
		}
		mem_free(x);
		mem_free(want);
		mem_free(got);
	}
}

typedef void (*unary)(size_t, const float *, float *);
typedef void (*binary)(size_t, const float *, const float *, float *);

/* Element-wise operations: the same bits for every length, offset and engine, in place or not. */
static void element_wise_results_depend_on_the_element_alone(void **state)
{
	enum { COUNT = 5000 };
	const struct engine *base = engine_find("baseline");
	float *x = inputs_new(INPUT_REALS, COUNT, 1), *dy = inputs_new(INPUT_NASTY, COUNT, 2);
	float *want = mem_floats(COUNT), *got = mem_floats(COUNT);

	(void)state;
	inputs_fill(x, INPUT_NASTY, COUNT / 2, 3);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		const unary one[][2] = {{base->exp, (*e)->exp}, {base->log, (*e)->log},
			{base->tanh, (*e)->tanh}, {base->relu, (*e)->relu}};
		const binary two[][2] = {{base->tanh_backward, (*e)->tanh_backward},
			{base->relu_backward, (*e)->relu_backward}};

		for (size_t f = 0; f < 4; f++) {
			one[f][0](COUNT, x, want);
			memcpy(got, x, COUNT * sizeof(*x));
			for (size_t i = 0, n = 0; i < COUNT; i += n, n = n % 37 + 1)
				one[f][1](n < COUNT - i ? n : COUNT - i, got + i, got + i);
			assert_int_equal(floats_differ(want, got, COUNT), COUNT);
		}
		for (size_t f = 0; f < 2; f++) {
			two[f][0](COUNT, x, dy, want);
			memcpy(got, dy, COUNT * sizeof(*x));
			for (size_t i = 0, n = 0; i < COUNT; i += n, n = n % 37 + 1)
				two[f][1](n < COUNT - i ? n : COUNT - i, x + i, got + i, got + i);
			assert_int_equal(floats_differ(want, got, COUNT), COUNT);
		}
	}
	mem_free(x);
	mem_free(dy);
	mem_free(want);
	mem_free(got);
}

static void relu_passes_only_what_is_greater_than_zero(void **state)
{
	const float x[5] = {NAN, -0.0f, -1.0f, 0x1p-149f, INFINITY};
	const uint32_t want[5] = {0, 0, 0, 1, 0x7f800000u};

	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		float y[5];

		(*e)->relu(5, x, y);
		for (int i = 0; i < 5; i++)
			assert_int_equal(float_bits(y[i]), want[i]);
	}
}

static void bias_is_added_to_every_row(void **state)
{
	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		float *y = inputs_new(INPUT_WIDE, 5 * 40, 1), *bias = inputs_new(INPUT_WIDE, 37, 2);

		(*e)->add_bias(5, 37, bias, y, 40);
		for (size_t i = 0; i < 5 * 40; i++) {
			float was = input_value(INPUT_WIDE, 1, i);

			assert_int_equal(float_bits(y[i]),
				float_bits(i % 40 < 37 ? was + bias[i % 40] : was));
		}
		mem_free(y);
		mem_free(bias);
	}
}

static void engines_agree(size_t rows, size_t classes, enum input_kind kind)
{
	const struct engine *base = engine_find("baseline");
	size_t n = rows * classes;
	float *z = inputs_new(kind, n, 1), *want = mem_floats(n + rows),
	      *got = mem_floats(n + rows);
	uint32_t *labels = mem_calloc(rows, sizeof(*labels));
	uint8_t *want_correct = mem_calloc(rows, 1), *got_correct = mem_calloc(rows, 1);

	for (size_t r = 0; r < rows; r++)
		labels[r] = (uint32_t)(r * 7 % classes);
	base->softmax_cross_entropy(rows, rows, classes, z, labels, want + n, want_correct, want);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		memcpy(got, z, n * sizeof(*z)); /* the gradient may replace the logits */
		(*e)->softmax_cross_entropy(
			rows, rows, classes, got, labels, got + n, got_correct, got);
		assert_int_equal(floats_differ(want, got, n + rows), n + rows);
		assert_memory_equal(want_correct, got_correct, rows);
		(*e)->softmax_cross_entropy(rows, rows, classes, z, labels, got, got_correct, NULL);
		assert_int_equal(floats_differ(want + n, got, rows), rows);
		assert_memory_equal(want_correct, got_correct, rows);
	}
	mem_free(z);
	mem_free(want);
	mem_free(got);
	mem_free(labels);
	mem_free(want_correct);
	mem_free(got_correct);
}

static void cross_entropy_is_the_same_in_place_and_without_gradient(void **state)
{
	(void)state;
	engines_agree(13, 10, INPUT_PLAIN);
	engines_agree(64, 65, INPUT_WIDE);
	engines_agree(50, 33, INPUT_NASTY);
	engines_agree(2, 9001, INPUT_PLAIN);
}

static void a_tie_goes_to_the_first_class(void **state)
{
	const float z[8] = {1, 3, 3, 2, NAN, 5, 5, -INFINITY};
	const uint32_t first[2] = {1, 1}, second[2] = {2, 2};

	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		float losses[2];
		uint8_t correct[2];

		(*e)->softmax_cross_entropy(2, 2, 4, z, first, losses, correct, NULL);
		assert_int_equal(correct[0], 1);
		assert_int_equal(correct[1], 1);
		assert_true(isnan(losses[1]));
		(*e)->softmax_cross_entropy(2, 2, 4, z, second, losses, correct, NULL);
		assert_int_equal(correct[0], 0);
		assert_int_equal(correct[1], 0);
	}
}

static void optimizers_agree_at_every_length(void **state)
{
	const struct engine *base = engine_find("baseline");
	const struct adamw_step adamw = {1e-3f, 0.9f, 0.99f, 1e-8f, 0.1f, 0.1f, 0.01f, 0.5f};
	const struct sgd_step sgd = {0.1f, 0.9f, false, 0.01f, 0.5f},
			      plain = {0.1f, 0, false, 0.01f, 0.5f};
	float got[4][200], want[4][200];

	(void)state;
	for (size_t n = 0; n < 200; n++) {
		enum input_kind kind = (enum input_kind)(n % INPUT_KINDS);

		for (int i = 0; i < 4; i++)
			inputs_fill(want[i], kind, n, (uint64_t)i);
		base->adamw(n, &adamw, want[0], want[1], want[2], want[3]);
		base->sgd(n, &sgd, want[0], want[2], want[3]);
		base->sgd(n, &plain, want[0], NULL, want[3]);
		for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
			for (int i = 0; i < 4; i++)
				inputs_fill(got[i], kind, n, (uint64_t)i);
			(*e)->adamw(n, &adamw, got[0], got[1], got[2], got[3]);
			(*e)->sgd(n, &sgd, got[0], got[2], got[3]);
			(*e)->sgd(n, &plain, got[0], NULL, got[3]);
			for (int i = 0; i < 4; i++)
				assert_int_equal(floats_differ(want[i], got[i], n), n);
		}
	}
}

static void engines_are_found_by_name(void **state)
{
	const struct engine *const *e = engine_all();

	(void)state;
	assert_string_equal((*e)->name, "baseline");
	for (; *e != NULL; e++)
		assert_ptr_equal(engine_find((*e)->name), *e);
	assert_ptr_equal(e[-1], engine_best());
	assert_null(engine_find("avx1024"));
	assert_null(engine_find(""));
}

static bool yes(void)
{
	return true;
}

static bool no(void)
{
	return false;
}

static void computing_without_fused_multiply_adds_is_told(void **state)
{
	(void)state;
	assert_null(engine_remark(yes));
	assert_non_null(strstr(engine_remark(no), "no fused multiply-add"));
	assert_non_null(strstr(engine_remark(no), "many times slower"));
}

static void entering_a_thread_restores_rounding_and_subnormals(void **state)
{
	struct errmsg msg;
	volatile float tiny = 0x1p-126f, third = 3;

	(void)state;
	fesetround(FE_UPWARD);
#if defined(__x86_64__)
	_mm_setcsr(_mm_getcsr() | 0x8040u); /* flush to zero, denormals are zero */
	assert_true(tiny * 0.5f == 0);
#endif
	assert_int_equal(engine_enter_thread(&msg), TK_OK);
	assert_int_equal(fegetround(), FE_TONEAREST);
	assert_true(tiny * 0.5f == 0x1p-127f);
	assert_true(1 / third == 0x1.555556p-2f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_follow_lanes_and_blocks),
		cmocka_unit_test(sums_of_sixteen_million_have_three_levels),
		cmocka_unit_test(column_sums_run_over_rows_in_order),
		cmocka_unit_test(element_wise_results_depend_on_the_element_alone),
		cmocka_unit_test(relu_passes_only_what_is_greater_than_zero),
		cmocka_unit_test(bias_is_added_to_every_row),
		cmocka_unit_test(cross_entropy_is_the_same_in_place_and_without_gradient),
		cmocka_unit_test(a_tie_goes_to_the_first_class),
		cmocka_unit_test(optimizers_agree_at_every_length),
		cmocka_unit_test(engines_are_found_by_name),
		cmocka_unit_test(computing_without_fused_multiply_adds_is_told),
		cmocka_unit_test(entering_a_thread_restores_rounding_and_subnormals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
