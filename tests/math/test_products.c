/* The matrix product of every engine against a plain loop over libm's fmaf: shapes around the edges of all
 * tiles and blocks, transpositions, strides, alignments, and the values that break careless code. The
 * factors end where a page ends that nobody may touch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tasks/math/engine.h"
#include "tests/math/inputs.h"

#define SEED  20260u
#define GUARD 64 /* floats around C */

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

/* n floats of which the last one is the last of its page; the next page cannot be read. */
struct fenced {
	float *p;
	void *pages;
	size_t bytes;
};

static void fenced_init(struct fenced *f, enum input_kind kind, size_t n, uint64_t seed)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t whole = (n * sizeof(float) + page - 1) / page * page;

	f->bytes = whole + page;
	f->pages = mmap(NULL, f->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->pages != MAP_FAILED);
	assert_int_equal(mprotect((char *)f->pages + whole, page, PROT_NONE), 0);
	f->p = (float *)((char *)f->pages + whole) - n;
	inputs_fill(f->p, kind, n, seed);
}

static void fenced_close(struct fenced *f)
{
	munmap(f->pages, f->bytes);
}

/* A matrix ends with its last element: what would follow in its last row does not exist. */
static size_t extent(size_t rows, size_t cols, size_t ld)
{
	return rows == 0 || cols == 0 ? 0 : (rows - 1) * ld + cols;
}

static void product_check(const struct product *p, enum input_kind kind, size_t misalign)
{
	size_t c_size = extent(p->M, p->N, p->ldc) + misalign + 2 * GUARD;
	float *want = inputs_new(kind, c_size, 3), *got = mem_floats(c_size);
	struct fenced a, b;

	fenced_init(&a, kind, extent(p->ta ? p->K : p->M, p->ta ? p->M : p->K, p->lda), 1);
	fenced_init(&b, kind, extent(p->tb ? p->N : p->K, p->tb ? p->K : p->N, p->ldb), 2);
	naive_gemm(p, a.p, b.p, want + GUARD + misalign);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		size_t bad;

		inputs_fill(got, kind, c_size, 3);
		(*e)->gemm(p->ta, p->tb, p->M, p->N, p->K, a.p, p->lda, b.p, p->ldb,
			got + GUARD + misalign, p->ldc, p->accumulate);
		bad = floats_differ(want, got, c_size); /* what lies around and between rows, too */
		if (bad != c_size)
			fail_msg("%s: ta %d tb %d %zux%zux%zu ld %zu %zu %zu accumulate %d kind %d "
				 "misaligned %zu: float %zu is %a, not %a",
				(*e)->name, p->ta, p->tb, p->M, p->N, p->K, p->lda, p->ldb, p->ldc,
				p->accumulate, kind, misalign, bad, (double)got[bad],
				(double)want[bad]);
	}
	fenced_close(&a);
	fenced_close(&b);
	mem_free(want);
	mem_free(got);
}

/* Random strides up to `surplus` above the width, a random kind of values. */
static void shape_check(int flags, size_t M, size_t N, size_t K, size_t surplus, uint64_t *counter)
{
	struct product p = {flags & 1, flags & 2, flags & 4, M, N, K, 0, 0, 0};

	p.lda = (p.ta ? M : K) + pick(counter, surplus + 1);
	p.ldb = (p.tb ? K : N) + pick(counter, surplus + 1);
	p.ldc = N + pick(counter, surplus + 1);
	product_check(&p, (enum input_kind)pick(counter, INPUT_KINDS), pick(counter, 16));
}

static void products_of_any_shape_are_chains_of_fmaf(void **state)
{
	static const size_t depths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65};
	uint64_t counter = 0;

	(void)state;
	for (int round = 0; round < 1200; round++)
		shape_check(round, 1 + pick(&counter, 40), 1 + pick(&counter, 40),
			depths[pick(&counter, sizeof(depths) / sizeof(*depths))], 3, &counter);
	for (int round = 0; round < 400; round++)
		shape_check(round, 1 + pick(&counter, 20), 1 + pick(&counter, 130),
			pick(&counter, 40), 3, &counter);
	for (int round = 0; round < 160; round++) /* a batch of few, an output of few */
		shape_check(round, round & 8 ? 1 + pick(&counter, 5) : 1 + pick(&counter, 250),
			round & 8 ? 1 + pick(&counter, 250) : 1 + pick(&counter, 5),
			1 + pick(&counter, 100), 2, &counter);
}

static void parts_of_wide_matrices_are_multiplied_alone(void **state)
{
	uint64_t counter = 1000000;

	(void)state;
	for (int flags = 0; flags < 8; flags++) {
		shape_check(flags, 64, 64, 32, 400, &counter);
		shape_check(flags, 17, 33, 16, 1000, &counter);
	}
}

/* Around every depth and width at which some engine begins a new block. */
static void long_products_continue_their_chain_from_block_to_block(void **state)
{
	static const size_t depths[] = {
		126, 127, 128, 129, 255, 256, 257, 383, 384, 385, 400, 767, 768, 769, 1027};
	uint64_t counter = 2000000;

	(void)state;
	for (size_t d = 0; d < sizeof(depths) / sizeof(*depths); d++) {
		for (int flags = 0; flags < 8; flags++) {
			size_t M = 1 + pick(&counter, 32), N = 1 + pick(&counter, 70);

			shape_check(flags, M, N, depths[d], 2, &counter);
		}
	}
	for (int flags = 0; flags < 8; flags++) {
		shape_check(flags, 64, 10, 256, 0, &counter);
		shape_check(flags, 10, 256, 64, 0, &counter);
		shape_check(flags, 66, 255 + 4 * (size_t)flags, 20, 1, &counter);
		shape_check(flags, 30, 530 + (size_t)flags, 390, 1, &counter);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_of_any_shape_are_chains_of_fmaf),
		cmocka_unit_test(parts_of_wide_matrices_are_multiplied_alone),
		cmocka_unit_test(long_products_continue_their_chain_from_block_to_block),
		cmocka_unit_test(a_product_of_negative_zeros_starts_from_positive_zero),
		cmocka_unit_test(fused_multiply_adds_round_once),
		cmocka_unit_test(a_tiny_addend_breaks_a_tie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
