/* All engines against naive loops over libm's fmaf: shapes, transpositions, alignments, strides and
 * the values that break careless code. */
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

#define SEED 20260u

/* A small deterministic stream of sizes. */
static size_t pick(uint64_t *counter, size_t below)
{
	uint32_t word[4];

	philox(word, SEED, 98, 0, (*counter)++);
	return word[0] % below;
}

static float operand(const float *p, size_t ld, bool transposed, size_t i, size_t j)
{
	return transposed ? p[j * ld + i] : p[i * ld + j];
}

struct product {
	bool ta, tb, accumulate;
	size_t M, N, K, lda, ldb, ldc;
};

static void naive_gemm(const struct product *p, const float *a, const float *b, float *c)
{
	for (size_t i = 0; i < p->M; i++) {
		for (size_t j = 0; j < p->N; j++) {
			float sum = p->accumulate ? c[i * p->ldc + j] : 0.0f;

			for (size_t k = 0; k < p->K; k++)
				sum = fmaf(operand(a, p->lda, p->ta, i, k),
					operand(b, p->ldb, p->tb, k, j), sum);
			c[i * p->ldc + j] = sum;
		}
	}
}

static void product_check(const struct product *p, enum input_kind kind, size_t misalign)
{
	size_t a_size = (p->ta ? p->K : p->M) * p->lda + misalign;
	size_t b_size = (p->tb ? p->N : p->K) * p->ldb + misalign;
	size_t c_size = p->M * p->ldc + misalign + 16;
	float *a = inputs_new(kind, a_size, 1), *b = inputs_new(kind, b_size, 2);
	float *want = inputs_new(kind, c_size, 3), *got = mem_floats(c_size);

	naive_gemm(p, a + misalign, b + misalign, want + misalign);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		size_t bad;

		inputs_fill(got, kind, c_size, 3);
		(*e)->gemm(p->ta, p->tb, p->M, p->N, p->K, a + misalign, p->lda, b + misalign,
			p->ldb, got + misalign, p->ldc, p->accumulate);
		bad = floats_differ(want, got, c_size); /* what lies between the rows, too */
		if (bad != c_size)
			fail_msg("%s: ta %d tb %d %zux%zux%zu ld %zu %zu %zu accumulate %d kind %d "
				 "misaligned %zu: float %zu is %a, not %a",
				(*e)->name, p->ta, p->tb, p->M, p->N, p->K, p->lda, p->ldb, p->ldc,
				p->accumulate, kind, misalign, bad, (double)got[bad],
				(double)want[bad]);
	}
	mem_free(a);
	mem_free(b);
	mem_free(want);
	mem_free(got);
}

static void products_of_any_shape_are_chains_of_fmaf(void **state)
{
	uint64_t counter = 0;

	(void)state;
	for (int round = 0; round < 400; round++) {
		struct product p = {.ta = round & 1, .tb = round & 2, .accumulate = round & 4};

		p.M = 1 + pick(&counter, 20);
		p.N = 1 + pick(&counter, 110);
		p.K = pick(&counter, 40);
		p.lda = (p.ta ? p.M : p.K) + pick(&counter, 3);
		p.ldb = (p.tb ? p.K : p.N) + pick(&counter, 3);
		p.ldc = p.N + pick(&counter, 3);
		product_check(&p, (enum input_kind)pick(&counter, INPUT_REALS), pick(&counter, 4));
	}
}

static void long_products_continue_their_chain_from_panel_to_panel(void **state)
{
	(void)state;
	for (int flags = 0; flags < 8; flags++) {
		struct product p = {flags & 1, flags & 2, flags & 4, 11, 53, 1027, 0, 0, 53};

		p.lda = p.ta ? p.M : p.K;
		p.ldb = p.tb ? p.K : p.N;
		product_check(&p, INPUT_WIDE, 0);
		p.M = 64;
		p.N = p.ldc = 10;
		p.K = 256;
		p.lda = p.ta ? p.M : p.K;
		p.ldb = p.tb ? p.K : p.N;
		product_check(&p, INPUT_NASTY, 1);
	}
}

static void a_product_of_negative_zeros_starts_from_positive_zero(void **state)
{
	const float zero = -0.0f, one = 1.0f;

	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		float c = 5;

		(*e)->gemm(false, false, 1, 1, 1, &zero, 1, &one, 1, &c, 1, false);
		assert_int_equal(float_bits(c), 0);
		c = zero;
		(*e)->gemm(false, false, 1, 1, 1, &zero, 1, &one, 1, &c, 1, true);
		assert_int_equal(float_bits(c), 0x80000000u); /* a padded k would make it +0 */
		(*e)->gemm(false, false, 1, 1, 0, &zero, 1, &one, 1, &c, 1, true);
		assert_int_equal(float_bits(c), 0x80000000u);
		(*e)->gemm(false, false, 1, 1, 0, &zero, 1, &one, 1, &c, 1, false);
		assert_int_equal(float_bits(c), 0);
	}
}

/* K = 1 makes gemm a list of single fused multiply-adds. */
static void fused_multiply_adds_round_once(void **state)
{
	enum { COUNT = 3000, FACTORS = 150 };
	float *b = mem_floats(COUNT), *want = mem_floats(COUNT), *got = mem_floats(COUNT);

	(void)state;
	for (uint64_t f = 0; f < FACTORS; f++) {
		float a = input_value(f % 3 == 0 ? INPUT_REALS : INPUT_WIDE, 5, f);

		for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
			size_t bad;

			inputs_fill(b, f % 2 == 0 ? INPUT_REALS : INPUT_WIDE, COUNT, 6 + f);
			for (size_t i = 0; i < COUNT; i++) {
				/* addends at every distance from the product, halfway cases included */
				double c = -(double)a * b[i] * (1 + ldexp(1, -(int)(i % 60)));

				got[i] = i % 4 == 0 ? (float)ldexp(1, (int)(i % 277) - 149)
						    : (float)(i % 2 ? c : c * 0x1p-24);
				want[i] = fmaf(a, b[i], got[i]);
			}
			(*e)->gemm(false, false, 1, COUNT, 1, &a, 1, b, COUNT, got, COUNT, true);
			bad = floats_differ(want, got, COUNT);
			if (bad != COUNT)
				fail_msg("%s: fma(%a, %a, …) is %a, not %a", (*e)->name, (double)a,
					(double)b[bad], (double)got[bad], (double)want[bad]);
		}
	}
	mem_free(b);
	mem_free(want);
	mem_free(got);
}

/* The product lies halfway between two floats (or two subnormals), and a tiny addend decides. */
static void a_tiny_addend_breaks_a_tie(void **state)
{
	static const float factors[][2] = {{1 + 0x1p-12f, 1 + 0x1p-12f},
		{1 + 0x3p-12f, 1 + 0x1p-12f}, {0x1.8p-74f, 0x1p-75f}, {0x1.4p-74f, 0x1p-74f},
		{0x1.fffffep0f, 0x1.000002p127f}};

	(void)state;
	for (size_t i = 0; i < 4 * sizeof(factors) / sizeof(*factors); i++) {
		float a = i & 1 ? -factors[i / 4][0] : factors[i / 4][0], b = factors[i / 4][1];
		float c = i & 2 ? -0x1p-149f : 0x1p-149f;

		for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
			float got = c;

			(*e)->gemm(false, false, 1, 1, 1, &a, 1, &b, 1, &got, 1, true);
			if (float_bits(got) != float_bits(fmaf(a, b, c)))
				fail_msg("%s: fma(%a, %a, %a) is %a, not %a", (*e)->name, (double)a,
					(double)b, (double)c, (double)got, (double)fmaf(a, b, c));
		}
	}
}

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
		cmocka_unit_test(products_of_any_shape_are_chains_of_fmaf),
		cmocka_unit_test(long_products_continue_their_chain_from_panel_to_panel),
		cmocka_unit_test(a_product_of_negative_zeros_starts_from_positive_zero),
		cmocka_unit_test(fused_multiply_adds_round_once),
		cmocka_unit_test(a_tiny_addend_breaks_a_tie),
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
		cmocka_unit_test(entering_a_thread_restores_rounding_and_subnormals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
