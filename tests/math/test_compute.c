/* Every engine's shared operations on 1, 2, 3 and 7 threads against the engine alone, bit by bit; the
 * pool's rounds, its refusals and its stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/math/compute.h"
#include "tests/math/inputs.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const uint32_t thread_counts[] = {1, 2, 3, 7};

#define COUNTS (sizeof(thread_counts) / sizeof(*thread_counts))

static struct pool *pool_of(uint32_t threads)
{
	struct errmsg msg;
	struct pool *p;

	if (pool_new(&p, threads, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	return p;
}

/* The i-th pair of an engine and a number of threads. False: there are no more. */
static bool pair_of(struct compute *c, size_t i)
{
	const struct engine *const *all = engine_all();
	size_t engines = 0;

	while (all[engines] != NULL)
		engines++;
	if (i == engines * COUNTS)
		return false;
	*c = (struct compute){
		.engine = all[i / COUNTS], .pool = pool_of(thread_counts[i % COUNTS])};
	return true;
}

static void assert_equal(const float *want, const float *got, size_t n, const char *what)
{
	size_t bad = floats_differ(want, got, n);

	if (bad != n)
		fail_msg("%s: float %zu of %zu is %a, not %a", what, bad, n, (double)got[bad],
			(double)want[bad]);
}

static void product_check(const struct compute *c, int flags, size_t M, size_t N, size_t K)
{
	bool ta = flags & 1, tb = flags & 2, accumulate = flags & 4;
	size_t lda = (ta ? M : K) + 1, ldb = (tb ? K : N) + 2, ldc = N + 3;
	float *a = inputs_new(INPUT_PLAIN, (ta ? K : M) * lda, 1);
	float *b = inputs_new(INPUT_PLAIN, (tb ? N : K) * ldb, 2);
	float *want = inputs_new(INPUT_PLAIN, M * ldc, 3), *got = mem_floats(M * ldc);

	memcpy(got, want, M * ldc * sizeof(*got));
	c->engine->gemm(ta, tb, M, N, K, a, lda, b, ldb, want, ldc, accumulate);
	compute_gemm(c, ta, tb, M, N, K, a, lda, b, ldb, got, ldc, accumulate);
	assert_equal(want, got, M * ldc, "gemm");
	mem_free(a);
	mem_free(b);
	mem_free(want);
	mem_free(got);
}

static void products_do_not_depend_on_threads(void **state)
{
	static const size_t shapes[][3] = {
		{1, 1, 1}, {257, 65, 33}, {61, 301, 47}, {1000, 10, 30}, {7, 1500, 41}, {3, 5, 0}};
	struct compute c;

	(void)state;
	for (size_t pair = 0; pair_of(&c, pair); pair++) {
		for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
			for (int flags = 0; flags < 8; flags++)
				product_check(&c, flags, shapes[s][0], shapes[s][1], shapes[s][2]);
		}
		pool_free(c.pool);
	}
}

/* Three levels of blocks need 16.8 million elements; a short pattern fills them quickly. */
static void sums_of_squares_do_not_depend_on_threads(void **state)
{
	static const size_t sizes[] = {
		0, 1, 4096, 4097, 100003, 4096u * 300, 4096u * 4096u, 4096u * 4096u + 12345};
	size_t most = sizes[7];
	float *x = mem_floats(most);
	struct compute c;

	(void)state;
	assert_non_null(x);
	for (size_t i = 0; i < most; i++)
		x[i] = (float)(i * 2654435761u % 1000003u) * 0x1p-20f - 0.3f;
	for (size_t pair = 0; pair_of(&c, pair); pair++) {
		for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
			float want = c.engine->sum_squares(sizes[s], x);
			float got = compute_sum_squares(&c, sizes[s], x);

			assert_equal(&want, &got, 1, "sum of squares");
		}
		pool_free(c.pool);
	}
	mem_free(x);
}

static void sums_of_columns_do_not_depend_on_threads(void **state)
{
	enum { ROWS = 4500, COLS = 333, LD = 340 };
	float *x = inputs_new(INPUT_PLAIN, ROWS * LD, 1);
	float want[COLS], got[COLS];
	struct compute c;

	(void)state;
	for (size_t pair = 0; pair_of(&c, pair); pair++) {
		c.engine->column_sums(ROWS, COLS, x, LD, want);
		compute_column_sums(&c, ROWS, COLS, x, LD, got);
		assert_equal(want, got, COLS, "columns");
		pool_free(c.pool);
	}
	mem_free(x);
}

static void optimizers_do_not_depend_on_threads(void **state)
{
	enum { N = 100001, ARRAYS = 3 };
	const struct adamw_step adamw = {1e-3f, 0.9f, 0.99f, 1e-8f, 0.1f, 0.1f, 0.01f, 0.5f};
	const struct sgd_step sgd = {0.1f, 0.9f, true, 0.01f, 0.5f},
			      plain = {0.1f, 0, false, 0.01f, 0.5f};
	float *g = inputs_new(INPUT_PLAIN, N, 9);
	float *want[ARRAYS], *got[ARRAYS];
	struct compute c;

	(void)state;
	for (int i = 0; i < ARRAYS; i++) {
		want[i] = mem_floats(N);
		got[i] = mem_floats(N);
	}
	for (size_t pair = 0; pair_of(&c, pair); pair++) {
		for (int i = 0; i < ARRAYS; i++) {
			memcpy(want[i], g, N * sizeof(*g));
			memcpy(got[i], g, N * sizeof(*g));
		}
		c.engine->adamw(N, &adamw, g, want[0], want[1], want[2]);
		c.engine->sgd(N, &sgd, g, want[0], want[2]);
		c.engine->sgd(N, &plain, g, NULL, want[2]);
		compute_adamw(&c, N, &adamw, g, got[0], got[1], got[2]);
		compute_sgd(&c, N, &sgd, g, got[0], got[2]);
		compute_sgd(&c, N, &plain, g, NULL, got[2]);
		for (int i = 0; i < ARRAYS; i++)
			assert_equal(want[i], got[i], N, "optimizer");
		pool_free(c.pool);
	}
	for (int i = 0; i < ARRAYS; i++) {
		mem_free(want[i]);
		mem_free(got[i]);
	}
	mem_free(g);
}

struct visits {
	uint32_t *count;
	size_t n, grain;
	atomic_size_t ragged;
	atomic_bool outside, wrong_mode;
};

static void visit(void *context, size_t first, size_t count)
{
	struct visits *v = context;

	if (first % v->grain != 0 || first + count > v->n) {
		atomic_store(&v->outside, true);
		return;
	}
	if (count % v->grain != 0)
		atomic_fetch_add(&v->ragged, 1);
#if defined(__x86_64__)
	if ((_mm_getcsr() & 0xffc0u) != 0x1f80u)
		atomic_store(&v->wrong_mode, true);
#endif
	for (size_t i = first; i < first + count; i++)
		v->count[i]++;
}

static void digests_do_not_depend_on_threads(void **state)
{
	static const size_t sizes[] = {0, 1, 4096 * 8, 4096 * 9 + 1, 300001, 1000003};
	float *x = inputs_new(INPUT_NASTY, 1000003, 1);
	struct digest want, got, leaves[3 * 1000003 / 4096 + 1];

	(void)state;
	for (size_t t = 0; t < COUNTS; t++) {
		struct compute c = {.engine = engine_best(), .pool = pool_of(thread_counts[t])};

		for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
			size_t bytes = sizes[s] * sizeof(*x);
			const struct digest_part parts[] = {{x, bytes, true},
				{&sizes[s], sizeof(size_t), false}, {x, bytes, true}};

			digest_parts(&want, parts, 3);
			compute_digest(&c, &got, leaves, parts, 3);
			assert_memory_equal(&got, &want, sizeof(got));
		}
		pool_free(c.pool);
	}
	mem_free(x);
}

static void every_element_is_visited_once_in_ranges_of_whole_grains(void **state)
{
	uint64_t counter = 0;

	(void)state;
	for (size_t t = 0; t < COUNTS; t++) {
		struct compute c = {.engine = engine_best(), .pool = pool_of(thread_counts[t])};

		for (int round = 0; round < 200; round++) {
			uint32_t word[4];
			struct visits v = {0};

			philox(word, 1, 97, 0, counter++);
			v.n = word[0] % 3000;
			v.grain = 1 + word[1] % 50;
			v.count = mem_calloc(v.n, sizeof(*v.count));
			assert_non_null(v.count);
			compute_each(&c, v.n, v.grain, word[2] % 3 == 0 ? 1e7 : word[2] % 1000,
				visit, &v);
			for (size_t i = 0; i < v.n; i++)
				assert_int_equal(v.count[i], 1);
			assert_int_equal(atomic_load(&v.ragged), v.n % v.grain != 0);
			assert_false(atomic_load(&v.outside));
			assert_false(atomic_load(&v.wrong_mode));
			mem_free(v.count);
		}
		pool_free(c.pool);
	}
}

struct tally {
	atomic_uint_fast64_t sum;
};

static void add_range(void *context, size_t first, size_t count)
{
	struct tally *t = context;

	for (size_t i = first; i < first + count; i++)
		atomic_fetch_add(&t->sum, i);
}

static void a_pool_survives_many_rounds(void **state)
{
	struct compute c = {.engine = engine_best(), .pool = pool_of(3)};
	struct tally t;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		atomic_init(&t.sum, 0);
		compute_each(&c, 13, 1, 1e6, add_range, &t);
		assert_int_equal(atomic_load(&t.sum), 78);
	}
	pool_free(c.pool);
}

struct halt {
	atomic_bool stop;
	atomic_uint begun;
};

static void stop_now(void *context, size_t first, size_t count)
{
	struct halt *h = context;

	(void)first;
	(void)count;
	atomic_fetch_add(&h->begun, 1);
	atomic_store(&h->stop, true);
}

static void no_range_is_begun_after_a_stop(void **state)
{
	(void)state;
	for (size_t t = 0; t < COUNTS; t++) {
		struct halt h = {0};
		struct compute c = {engine_best(), pool_of(thread_counts[t]), &h.stop};

		assert_false(compute_stopped(&c));
		compute_each(&c, 1000, 1, 1e9, stop_now, &h);
		assert_true(compute_stopped(&c));
		assert_in_range(atomic_load(&h.begun), 1, thread_counts[t]);
		atomic_store(&h.begun, 0);
		compute_each(&c, 1000, 1, 1e9, stop_now, &h);
		assert_int_equal(atomic_load(&h.begun), 0);
		pool_free(c.pool);
	}
}

static void a_pool_refuses_no_threads_and_too_many(void **state)
{
	struct pool *p = NULL;
	struct errmsg msg;

	(void)state;
	assert_int_equal(pool_new(&p, 0, &msg), TK_EINVAL);
	assert_int_equal(pool_new(&p, COMPUTE_THREADS_MAX + 1, &msg), TK_EINVAL);
	mem_fail(1, 0);
	assert_int_equal(pool_new(&p, 2, &msg), TK_ENOMEM);
	mem_fail(0, 0);
	assert_null(p);
	pool_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_do_not_depend_on_threads),
		cmocka_unit_test(sums_of_squares_do_not_depend_on_threads),
		cmocka_unit_test(sums_of_columns_do_not_depend_on_threads),
		cmocka_unit_test(optimizers_do_not_depend_on_threads),
		cmocka_unit_test(digests_do_not_depend_on_threads),
		cmocka_unit_test(every_element_is_visited_once_in_ranges_of_whole_grains),
		cmocka_unit_test(a_pool_survives_many_rounds),
		cmocka_unit_test(no_range_is_begun_after_a_stop),
		cmocka_unit_test(a_pool_refuses_no_threads_and_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
