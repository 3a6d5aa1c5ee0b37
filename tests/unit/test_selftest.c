/* The self-test: equal on every engine, another with every seed, and each operation that is wrong is named. */
#include "tests/unit/unit_bench.h"

#include <math.h>

#include "tasks/math/pool.h"
#include "tasks/unit/selftest.h"

static void run(const struct compute *c, uint64_t seed, struct digest *out)
{
	struct errmsg msg = {""};

	if (selftest_run(c, seed, out, &msg) != TK_OK)
		fail_msg("%s", msg.text);
}

static void every_engine_and_number_of_threads_passes_every_seed(void **state)
{
	static const uint64_t seeds[] = {0, 1, 77, UINT64_MAX};

	(void)state;
	for (size_t s = 0; s < 4; s++) {
		struct digest want[SELFTEST_OPERATIONS], got[SELFTEST_OPERATIONS];
		struct compute shared = {.engine = engine_best()};

		run(&(struct compute){.engine = engine_find("baseline")}, seeds[s], want);
		for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
			run(&(struct compute){.engine = *e}, seeds[s], got);
			assert_int_equal(selftest_compare(want, got), SELFTEST_OPERATIONS);
		}
		assert_int_equal(pool_new(&shared.pool, 3, NULL), TK_OK);
		run(&shared, seeds[s], got);
		assert_int_equal(selftest_compare(want, got), SELFTEST_OPERATIONS);
		pool_free(shared.pool);
	}
}

static void another_seed_changes_every_digest(void **state)
{
	struct digest a[SELFTEST_OPERATIONS], b[SELFTEST_OPERATIONS];
	const struct compute c = {.engine = engine_best()};

	(void)state;
	run(&c, 5, a);
	run(&c, 6, b);
	for (uint32_t i = 0; i < SELFTEST_OPERATIONS; i++) {
		if (digest_equal(&a[i], &b[i]))
			fail_msg("%s does not depend on the seed", selftest_name(i));
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(selftest_name(i), selftest_name(k));
	}
}

/* ---- An engine with one wrong operation: it does the right thing, and then spoils one number. ---- */

static const struct engine *right;

static void spoil(float *x)
{
	*x = nextafterf(*x, 1e30f);
}

static void bad_gemm(bool ta, bool tb, size_t rows, size_t cols, size_t k, const float *a,
	size_t lda, const float *b, size_t ldb, float *c, size_t ldc, bool accumulate)
{
	right->gemm(ta, tb, rows, cols, k, a, lda, b, ldb, c, ldc, accumulate);
	spoil(&c[(rows - 1) * ldc + cols - 1]);
}

static float bad_sum(size_t n, const float *x)
{
	return nextafterf(right->sum(n, x), 1e30f);
}

static float bad_sum_squares(size_t n, const float *x)
{
	return nextafterf(right->sum_squares(n, x), 1e30f);
}

static void bad_column_sums(size_t rows, size_t cols, const float *x, size_t ldx, float *out)
{
	right->column_sums(rows, cols, x, ldx, out);
	spoil(&out[cols - 1]);
}

static void bad_add_bias(size_t rows, size_t cols, const float *bias, float *y, size_t ldy)
{
	right->add_bias(rows, cols, bias, y, ldy);
	spoil(&y[(rows - 1) * ldy]);
}

#define BAD_UNARY(name)                                                                            \
	static void bad_##name(size_t n, const float *x, float *y)                                 \
	{                                                                                          \
		right->name(n, x, y);                                                              \
		spoil(&y[n - 1]);                                                                  \
	}
#define BAD_BINARY(name)                                                                           \
	static void bad_##name(size_t n, const float *x, const float *dy, float *dx)               \
	{                                                                                          \
		right->name(n, x, dy, dx);                                                         \
		spoil(&dx[n - 1]);                                                                 \
	}
BAD_UNARY(exp)
BAD_UNARY(log)
BAD_UNARY(tanh)
BAD_UNARY(relu)
BAD_UNARY(erf)
BAD_UNARY(sigmoid)
BAD_UNARY(gelu)
BAD_UNARY(silu)
BAD_UNARY(add)
BAD_BINARY(tanh_backward)
BAD_BINARY(relu_backward)
BAD_BINARY(sigmoid_backward)
BAD_BINARY(gelu_backward)
BAD_BINARY(silu_backward)

static void bad_dropout(size_t n, float rate, uint64_t seed, uint32_t stream, uint32_t lane,
	uint64_t first, const float *x, float *y)
{
	right->dropout(n, rate, seed, stream, lane, first + 1, x, y);
}

static void bad_layer_norm(size_t rows, size_t cols, const float *x, const float *weight,
	const float *bias, float *y, float *mean, float *rstd)
{
	right->layer_norm(rows, cols, x, weight, bias, y, mean, rstd);
	spoil(&rstd[rows - 1]);
}

static void bad_layer_norm_backward(size_t rows, size_t cols, const float *x, const float *weight,
	const float *mean, const float *rstd, const float *dy, float *dx)
{
	right->layer_norm_backward(rows, cols, x, weight, mean, rstd, dy, dx);
	spoil(&dx[cols - 1]);
}

static void bad_layer_norm_gradient(size_t rows, size_t cols, const float *x, const float *mean,
	const float *rstd, const float *dy, float *dweight, float *dbias)
{
	right->layer_norm_gradient(rows, cols, x, mean, rstd, dy, dweight, dbias);
	spoil(&dbias[cols - 1]);
}

static void bad_softmax(
	size_t rows, size_t cols, size_t ld, size_t visible, float scale, const float *x, float *y)
{
	right->softmax(rows, cols, ld, visible, scale, x, y);
	spoil(&y[(rows - 1) * ld]);
}

static void bad_softmax_backward(size_t rows, size_t cols, size_t ld, float scale, const float *y,
	const float *dy, float *dx)
{
	right->softmax_backward(rows, cols, ld, scale, y, dy, dx);
	spoil(&dx[(rows - 1) * ld]);
}

static void bad_binary_cross_entropy(size_t rows, size_t count, const float *logits,
	const uint32_t *labels, float *losses, uint8_t *correct, float *dlogits)
{
	right->binary_cross_entropy(rows, count, logits, labels, losses, correct, dlogits);
	correct[rows - 1] ^= 1;
}

static void bad_squared_error(size_t rows, size_t count, size_t cols, const float *y,
	const float *targets, float *losses, float *dy)
{
	right->squared_error(rows, count, cols, y, targets, losses, dy);
	spoil(&losses[rows - 1]);
}

static void bad_softmax_cross_entropy(size_t rows, size_t count, size_t classes,
	const float *logits, const uint32_t *labels, float *losses, uint8_t *correct,
	float *dlogits)
{
	right->softmax_cross_entropy(
		rows, count, classes, logits, labels, losses, correct, dlogits);
	spoil(&dlogits[classes - 1]);
}

static void bad_conv2d(size_t batch, const struct window *w, const float *x, const float *weight,
	const float *bias, float *y, float *workspace)
{
	right->conv2d(batch, w, x, weight, bias, y, workspace);
	spoil(&y[3]);
}

static void bad_conv2d_backward_input(size_t batch, const struct window *w, const float *dy,
	const float *weight, float *dx, float *workspace)
{
	right->conv2d_backward_input(batch, w, dy, weight, dx, workspace);
	spoil(&dx[3]);
}

static void bad_conv2d_backward_weight(size_t batch, const struct window *w, size_t first,
	size_t count, const float *x, const float *dy, bool accumulate, float *dweight,
	float *dbias, float *workspace)
{
	right->conv2d_backward_weight(
		batch, w, first, count, x, dy, accumulate, dweight, dbias, workspace);
	spoil(&dweight[3]);
}

static void bad_max_pool(
	size_t batch, const struct window *w, const float *x, float *y, uint8_t *chosen)
{
	right->max_pool(batch, w, x, y, chosen);
	chosen[0] ^= 1;
}

static void bad_max_pool_backward(
	size_t batch, const struct window *w, const uint8_t *chosen, const float *dy, float *dx)
{
	right->max_pool_backward(batch, w, chosen, dy, dx);
	spoil(&dx[0]);
}

static void bad_average_pool(size_t batch, const struct window *w, const float *x, float *y)
{
	right->average_pool(batch, w, x, y);
	spoil(&y[0]);
}

static void bad_average_pool_backward(
	size_t batch, const struct window *w, const float *dy, float *dx)
{
	right->average_pool_backward(batch, w, dy, dx);
	spoil(&dx[0]);
}

static void bad_adamw(
	size_t n, const struct adamw_step *step, const float *g, float *m, float *v, float *w)
{
	right->adamw(n, step, g, m, v, w);
	spoil(&v[n - 1]);
}

static void bad_sgd(size_t n, const struct sgd_step *step, const float *g, float *v, float *w)
{
	right->sgd(n, step, g, v, w);
	spoil(&w[n - 1]);
}

#define BAD_PACKER(name, bytes)                                                                    \
	static bool bad_##name##_pack(size_t n, const float *x, uint8_t *out)                      \
	{                                                                                          \
		bool fits = right->name##_pack(n, x, out);                                         \
                                                                                                   \
		out[(bytes)] ^= 1;                                                                 \
		return fits;                                                                       \
	}                                                                                          \
	static bool bad_##name##_add(size_t n, const uint8_t *packed, float *sum)                  \
	{                                                                                          \
		bool sound = right->name##_add(n, packed, sum);                                    \
                                                                                                   \
		if (sum != NULL)                                                                   \
			spoil(&sum[n - 1]);                                                        \
		return sound;                                                                      \
	}
BAD_PACKER(fp32, 0)
BAD_PACKER(fp16, 0)
BAD_PACKER(bf16, 0)
BAD_PACKER(int8, 4)

static void bad_sparse_pack(
	const struct sparse_block *b, const float *x, float *feedback, uint8_t *out)
{
	right->sparse_pack(b, x, feedback, out);
	spoil(&feedback[0]);
}

#define BREAK(field, operation)                                                                    \
	do {                                                                                       \
		struct engine wrong = *right;                                                      \
                                                                                                   \
		wrong.field = bad_##field;                                                         \
		named(&wrong, operation, #field);                                                  \
	} while (0)

static struct digest truth[SELFTEST_OPERATIONS];

static void named(const struct engine *wrong, const char *operation, const char *field)
{
	struct digest got[SELFTEST_OPERATIONS];
	uint32_t i;

	run(&(struct compute){.engine = wrong}, 9, got);
	i = selftest_compare(truth, got);
	if (i == SELFTEST_OPERATIONS)
		fail_msg("a wrong %s is not found", field);
	if (strcmp(selftest_name(i), operation) != 0)
		fail_msg("a wrong %s is called %s", field, selftest_name(i));
}

static void a_wrong_operation_of_layers_is_named(void **state)
{
	(void)state;
	BREAK(gemm, "gemm");
	BREAK(sum, "sum");
	BREAK(sum_squares, "sum_squares");
	BREAK(column_sums, "column_sums");
	BREAK(add_bias, "add_bias");
	BREAK(exp, "exp");
	BREAK(log, "log");
	BREAK(tanh, "tanh");
	BREAK(relu, "relu");
	BREAK(tanh_backward, "tanh_backward");
	BREAK(relu_backward, "relu_backward");
	BREAK(erf, "erf");
	BREAK(sigmoid, "sigmoid");
	BREAK(gelu, "gelu");
	BREAK(silu, "silu");
	BREAK(sigmoid_backward, "sigmoid_backward");
	BREAK(gelu_backward, "gelu_backward");
	BREAK(silu_backward, "silu_backward");
	BREAK(add, "add");
	BREAK(dropout, "dropout");
	BREAK(layer_norm, "layer_norm");
	BREAK(layer_norm_backward, "layer_norm_backward");
	BREAK(layer_norm_gradient, "layer_norm_gradient");
	BREAK(softmax, "softmax");
	BREAK(softmax_backward, "softmax_backward");
}

static void any_other_wrong_operation_is_named(void **state)
{
	(void)state;
	BREAK(binary_cross_entropy, "binary_cross_entropy");
	BREAK(squared_error, "squared_error");
	BREAK(softmax_cross_entropy, "softmax_cross_entropy");
	BREAK(conv2d, "conv2d");
	BREAK(conv2d_backward_input, "conv2d_backward_input");
	BREAK(conv2d_backward_weight, "conv2d_backward_weight");
	BREAK(max_pool, "max_pool");
	BREAK(max_pool_backward, "max_pool_backward");
	BREAK(average_pool, "average_pool");
	BREAK(average_pool_backward, "average_pool_backward");
	BREAK(adamw, "adamw");
	BREAK(sgd, "sgd");
	BREAK(fp32_pack, "fp32");
	BREAK(fp32_add, "fp32");
	BREAK(fp16_pack, "fp16");
	BREAK(fp16_add, "fp16");
	BREAK(bf16_pack, "bf16");
	BREAK(bf16_add, "bf16");
	BREAK(int8_pack, "int8");
	BREAK(int8_add, "int8");
	BREAK(sparse_pack, "sparse");
}

static void memory_that_is_short_anywhere_is_an_error(void **state)
{
	const struct compute c = {.engine = engine_best()};
	int rc = TK_ENOMEM;

	(void)state;
	for (uint64_t after = 1; rc != TK_OK; after += after < 20 ? 1 : 7) {
		struct digest out[SELFTEST_OPERATIONS];

		mem_fail(after, 0);
		rc = selftest_run(&c, 1, out, NULL);
		mem_fail(0, 0);
		assert_true(rc == TK_OK || rc == TK_ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_engine_and_number_of_threads_passes_every_seed),
		cmocka_unit_test(another_seed_changes_every_digest),
		cmocka_unit_test(a_wrong_operation_of_layers_is_named),
		cmocka_unit_test(any_other_wrong_operation_is_named),
		cmocka_unit_test(memory_that_is_short_anywhere_is_an_error),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	right = engine_best();
	if (selftest_run(&(struct compute){.engine = right}, 9, truth, NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
