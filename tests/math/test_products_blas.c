/* OpenBLAS as an oracle: every canonical engine's products and its own must both lie within the bound that
 * holds for any order of summation (blas.h), so they differ by twice that at most; and large products,
 * which only OpenBLAS repeats in reasonable time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/math/blas.h"
#include "tests/math/inputs.h"

#define SEED	20261u
#define ROUNDS	300
#define ENGINES 8

static size_t pick(uint64_t *counter, size_t below)
{
	uint32_t word[4];

	philox(word, SEED, 98, 0, (*counter)++);
	return word[0] % below;
}

struct product {
	bool ta, tb, accumulate;
	size_t M, N, K, lda, ldb, ldc;
};

/* γ·(Σ|a·b| + |c before|); the double sums' own error, 2^29 times smaller, is lost in the K + 2. */
static double bound(const struct product *p, double magnitude)
{
	double nu = (double)(p->K + 2) * 0x1p-24;

	return nu / (1 - nu) * magnitude;
}

static void near_check(const struct product *p, const char *engine, double got, double oracle,
	double distance, size_t i, size_t j)
{
	if (!(fabs(got - oracle) <= distance))
		fail_msg("%s: ta %d tb %d %zux%zux%zu accumulate %d: C[%zu][%zu] is %.9g, by "
			 "OpenBLAS %.9g, which differ by more than %.3g",
			engine, p->ta, p->tb, p->M, p->N, p->K, p->accumulate, i, j, got, oracle,
			distance);
}

/* Of C[i][j]: engine's result and OpenBLAS's. */
static void element_check(const struct product *p, const char *engine, const float *a,
	const float *b, const float *before, const float *after, const float *oracle, size_t i,
	size_t j)
{
	double exact = p->accumulate ? (double)before[i * p->ldc + j] : 0;
	double magnitude = fabs(exact), got = (double)after[i * p->ldc + j];

	for (size_t k = 0; k < p->K; k++) {
		double term = (double)a[p->ta ? k * p->lda + i : i * p->lda + k] *
			      (double)b[p->tb ? j * p->ldb + k : k * p->ldb + j];

		exact += term;
		magnitude += fabs(term);
	}
	if (!(fabs(got - exact) <= bound(p, magnitude)))
		fail_msg("%s: ta %d tb %d %zux%zux%zu accumulate %d: C[%zu][%zu] is %.9g, not %.9g "
			 "± %.3g",
			engine, p->ta, p->tb, p->M, p->N, p->K, p->accumulate, i, j, got, exact,
			bound(p, magnitude));
	near_check(p, engine, got, (double)oracle[i * p->ldc + j], 2 * bound(p, magnitude), i, j);
}

static void multiply(
	const struct engine *e, const struct product *p, const float *a, const float *b, float *c)
{
	e->gemm(p->ta, p->tb, p->M, p->N, p->K, a, p->lda, b, p->ldb, c, p->ldc, p->accumulate);
}

static void product_check(
	const struct product *p, const struct engine *const *engines, uint64_t seed)
{
	size_t c_size = p->M * p->ldc;
	float *a = inputs_new(INPUT_PLAIN, (p->ta ? p->K : p->M) * p->lda, seed);
	float *b = inputs_new(INPUT_WIDE, (p->tb ? p->N : p->K) * p->ldb, seed + 1);
	float *before = inputs_new(INPUT_WIDE, c_size, seed + 2), *after = mem_floats(c_size);
	float *oracle = mem_dup(before, c_size * sizeof(*before));

	multiply(engine_blas(), p, a, b, oracle);
	for (; *engines != NULL; engines++) {
		memcpy(after, before, c_size * sizeof(*after));
		multiply(*engines, p, a, b, after);
		for (size_t i = 0; i < p->M; i++) {
			for (size_t j = 0; j < p->ldc; j++) {
				if (j < p->N)
					element_check(p, (*engines)->name, a, b, before, after,
						oracle, i, j);
				else
					assert_int_equal(float_bits(after[i * p->ldc + j]),
						float_bits(before[i * p->ldc + j]));
			}
		}
	}
	mem_free(a);
	mem_free(b);
	mem_free(before);
	mem_free(after);
	mem_free(oracle);
}

static void products_stay_within_the_bound_of_any_summation(void **state)
{
	const struct engine *engines[ENGINES];
	uint64_t counter = 0;
	size_t count = 0;

	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++)
		engines[count++] = *e;
	engines[count++] = engine_blas();
	engines[count] = NULL;
	for (int round = 0; round < ROUNDS; round++) {
		struct product p = {.ta = round & 1, .tb = round & 2, .accumulate = round & 4};

		p.M = 1 + pick(&counter, 70);
		p.N = 1 + pick(&counter, 70);
		p.K = pick(&counter, round % 10 == 0 ? 1000 : 50);
		p.lda = (p.ta ? p.M : p.K) + pick(&counter, 3);
		p.ldb = (p.tb ? p.K : p.N) + pick(&counter, 3);
		p.ldc = p.N + pick(&counter, 3);
		product_check(&p, engines, (uint64_t)round * 3);
	}
}

/* The magnitudes of n numbers, for the caller to mem_free. */
static float *magnitudes(const float *x, size_t n)
{
	float *out = mem_floats(n);

	assert_non_null(out);
	for (size_t i = 0; i < n; i++)
		out[i] = fabsf(x[i]);
	return out;
}

/* Σ|a·b| is OpenBLAS's own product of the magnitudes, less than 1 % too small at this depth. */
static void large_check(const struct product *p, uint64_t seed)
{
	float *a = inputs_new(INPUT_PLAIN, p->M * p->K, seed);
	float *b = inputs_new(INPUT_WIDE, p->K * p->N, seed + 1);
	float *a_large = magnitudes(a, p->M * p->K), *b_large = magnitudes(b, p->K * p->N);
	float *sum = mem_floats(p->M * p->N), *oracle = mem_floats(p->M * p->N);
	float *got = mem_floats(p->M * p->N);

	multiply(engine_blas(), p, a_large, b_large, sum);
	multiply(engine_blas(), p, a, b, oracle);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		multiply(*e, p, a, b, got);
		for (size_t i = 0; i < p->M * p->N; i++)
			near_check(p, (*e)->name, got[i], oracle[i], 2.02 * bound(p, sum[i]),
				i / p->N, i % p->N);
	}
	mem_free(a);
	mem_free(b);
	mem_free(a_large);
	mem_free(b_large);
	mem_free(sum);
	mem_free(oracle);
	mem_free(got);
}

/* Several blocks of every engine in each direction, and what is left over. */
static void large_products_are_near_those_of_openblas(void **state)
{
	(void)state;
	for (unsigned flags = 0; flags < 4; flags++) {
		struct product p = {
			.ta = flags & 1, .tb = flags & 2, .M = 277, .N = 601, .K = 1153};

		p.lda = p.ta ? p.M : p.K;
		p.ldb = p.tb ? p.K : p.N;
		p.ldc = p.N;
		large_check(&p, 1000 + 2 * flags);
	}
}

static void empty_products_leave_or_clear_what_is_there(void **state)
{
	const struct engine *e = engine_blas();
	float c[4] = {1, 2, 3, 4};

	(void)state;
	e->gemm(false, false, 0, 2, 3, NULL, 3, NULL, 2, c, 2, false);
	e->gemm(false, false, 2, 0, 3, NULL, 3, NULL, 2, c, 2, false);
	e->gemm(false, false, 2, 1, 0, NULL, 0, NULL, 1, c, 2, true);
	for (int i = 0; i < 4; i++)
		assert_true(c[i] == (float)(i + 1));
	e->gemm(false, false, 2, 1, 0, NULL, 0, NULL, 1, c, 2, false);
	assert_true(c[0] == 0 && c[1] == 2 && c[2] == 0 && c[3] == 4);
}

static void the_engine_is_the_best_one_but_for_its_products(void **state)
{
	const struct engine *blas = engine_blas(), *best = engine_best();

	(void)state;
	assert_string_equal(blas->name, "blas");
	assert_ptr_equal(blas, engine_blas());
	assert_true(
		blas->gemm != best->gemm && blas->sum == best->sum && blas->adamw == best->adamw);
	assert_null(engine_find("blas")); /* never chosen for work that is compared */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_stay_within_the_bound_of_any_summation),
		cmocka_unit_test(large_products_are_near_those_of_openblas),
		cmocka_unit_test(empty_products_leave_or_clear_what_is_there),
		cmocka_unit_test(the_engine_is_the_best_one_but_for_its_products),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
