/* See selftest.h. Shapes are odd, so that kernels have edges; values lie in [−2, 2) where nothing else is said.
 * The operations are the engine's own entries, in its order, and the digests that cover memory. */
#include "tasks/unit/selftest.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/math/philox.h"
#include "tasks/unit/compress.h"
#include "tasks/unit/floats.h"
#include "tasks/unit/trial.h"

#define ARRAY  9216u /* floats in each array */
#define ARRAYS 5u    /* inputs; beside them there are as many outputs */
#define M      37u
#define N      75u
#define K      67u
#define ROWS   23u
#define COLS   131u
#define ALL    (ROWS * COLS)
#define LONG   9001u /* for sums: three blocks, the last one short */

struct selftest {
	const struct compute *compute;
	const struct engine *e;
	uint64_t seed;
	uint32_t operation;
	float *in[ARRAYS], *out[ARRAYS];
	float *workspace;
	uint8_t *bytes; /* 4·ARRAY */
	uint32_t *labels;
	struct bytes result; /* what is hashed */
	struct errmsg *msg;
	int rc;
};

/* Array k of this operation's inputs. */
static float *input(struct selftest *t, uint32_t k)
{
	for (uint32_t i = 0; i < ARRAY; i++)
		t->in[k][i] =
			4 * philox_uniform(t->seed, STREAM_SELFTEST, t->operation * ARRAYS + k, i) -
			2;
	return t->in[k];
}

/* The same in [2^-10, 4). */
static float *positive(struct selftest *t, uint32_t k)
{
	float *x = input(t, k);

	for (uint32_t i = 0; i < ARRAY; i++)
		x[i] = x[i] < 0 ? -x[i] * 2 + 0x1p-10f : x[i] + 0x1p-10f;
	return x;
}

static float *output(struct selftest *t, uint32_t k)
{
	memset(t->out[k], 0, ARRAY * sizeof(float));
	return t->out[k];
}

static void keep(struct selftest *t, const float *x, size_t n)
{
	if (t->rc == TK_OK)
		t->rc = bytes_reserve(&t->result, 4 * n);
	if (t->rc != TK_OK)
		return;
	floats_store(t->result.data + t->result.len, x, n);
	t->result.len += 4 * n;
}

static void keep_bytes(struct selftest *t, const void *x, size_t n)
{
	if (t->rc == TK_OK)
		t->rc = bytes_append(&t->result, x, n);
}

static const uint32_t *labels(struct selftest *t, uint32_t classes)
{
	for (uint32_t i = 0; i < ARRAY; i++)
		t->labels[i] = (uint32_t)(philox_uniform(t->seed, STREAM_SELFTEST,
						  t->operation * ARRAYS + ARRAYS - 1, i) *
					  (float)classes);
	return t->labels;
}

/* ---- Products and sums ---- */

static void product(struct selftest *t, bool ta, bool tb, bool accumulate)
{
	const float *a = input(t, 0), *b = input(t, 1);
	float *c = output(t, 0);

	if (accumulate)
		memcpy(c, input(t, 2), (size_t)M * N * sizeof(*c));
	t->e->gemm(ta, tb, M, N, K, a, ta ? M : K, b, tb ? K : N, c, N, accumulate);
	keep(t, c, (size_t)M * N);
}

static void run_gemm(struct selftest *t)
{
	product(t, false, false, false);
	product(t, false, true, false);
	product(t, true, false, true);
}

static void run_gemm_thin(struct selftest *t)
{
	const float *a = input(t, 0), *b = input(t, 1);
	float *c = output(t, 0);

	t->e->gemm(false, false, 1, 5, 129, a, 129, b, 5, c, 5, false);
	t->e->gemm(false, true, 3, 1, 257, a, 257, b, 257, c + 5, 1, false);
	keep(t, c, 8);
}

static void run_sum(struct selftest *t)
{
	float s = t->e->sum(LONG, input(t, 0));

	keep(t, &s, 1);
}

static void run_sum_squares(struct selftest *t)
{
	float s = compute_sum_squares(t->compute, LONG, input(t, 0));

	keep(t, &s, 1);
}

static void run_column_sums(struct selftest *t)
{
	float *y = output(t, 0);

	compute_column_sums(t->compute, ROWS, COLS - 2, input(t, 0), COLS, y);
	keep(t, y, COLS - 2);
}

static void run_add_bias(struct selftest *t)
{
	float *y = input(t, 1);

	t->e->add_bias(ROWS, COLS - 2, input(t, 0), y, COLS);
	keep(t, y, ALL);
}

/* ---- Element by element ---- */

typedef void unary(size_t n, const float *x, float *y);
typedef void binary(size_t n, const float *x, const float *dy, float *dx);

static void run_unary(struct selftest *t, unary *f, const float *x)
{
	float *y = output(t, 0);

	f(ALL, x, y);
	keep(t, y, ALL);
}

static void run_binary(struct selftest *t, binary *f)
{
	float *dx = output(t, 0);

	f(ALL, input(t, 0), input(t, 1), dx);
	keep(t, dx, ALL);
}

/* Wide enough to reach results that are subnormal. */
static void run_exp(struct selftest *t)
{
	float *x = input(t, 0);

	for (uint32_t i = 0; i < ALL; i++)
		x[i] = i % 2 == 0 ? x[i] * 50 : x[i];
	run_unary(t, t->e->exp, x);
}

static void run_log(struct selftest *t)
{
	run_unary(t, t->e->log, positive(t, 0));
}

#define UNARY(name)                                                                                \
	static void run_##name(struct selftest *t)                                                 \
	{                                                                                          \
		run_unary(t, t->e->name, input(t, 0));                                             \
	}
#define BINARY(name)                                                                               \
	static void run_##name(struct selftest *t)                                                 \
	{                                                                                          \
		run_binary(t, t->e->name);                                                         \
	}
UNARY(tanh)
UNARY(relu)
BINARY(tanh_backward)
BINARY(relu_backward)
UNARY(erf)
UNARY(sigmoid)
UNARY(gelu)
UNARY(silu)
BINARY(sigmoid_backward)
BINARY(gelu_backward)
BINARY(silu_backward)

static void run_add(struct selftest *t)
{
	float *y = input(t, 1);

	t->e->add(ALL, input(t, 0), y);
	keep(t, y, ALL);
}

static void run_dropout(struct selftest *t)
{
	float *y = output(t, 0);

	t->e->dropout(ALL, 0.3f, t->seed, STREAM_DROPOUT, 7, 1003, input(t, 0), y);
	keep(t, y, ALL);
}

/* ---- Norms, softmax, losses ---- */

static void run_layer_norm(struct selftest *t)
{
	float *y = output(t, 0), *mean = output(t, 1), *rstd = output(t, 2);

	t->e->layer_norm(ROWS, COLS, input(t, 0), input(t, 1), input(t, 2), y, mean, rstd);
	keep(t, y, ALL);
	keep(t, mean, ROWS);
	keep(t, rstd, ROWS);
}

static void run_layer_norm_backward(struct selftest *t)
{
	float *dx = output(t, 0);

	t->e->layer_norm_backward(
		ROWS, COLS, input(t, 0), input(t, 1), input(t, 2), positive(t, 3), input(t, 4), dx);
	keep(t, dx, ALL);
}

static void run_layer_norm_gradient(struct selftest *t)
{
	float *dw = output(t, 0), *db = output(t, 1);

	t->e->layer_norm_gradient(
		ROWS, COLS, input(t, 0), input(t, 1), positive(t, 2), input(t, 3), dw, db);
	keep(t, dw, COLS);
	keep(t, db, COLS);
}

/* Attention's causal one, and one over all columns. */
static void run_softmax(struct selftest *t)
{
	float *y = output(t, 0), *z = output(t, 1);

	t->e->softmax(ROWS, COLS, COLS, COLS, 1, input(t, 0), y);
	t->e->softmax(ROWS, ROWS, COLS, 1, 0.3f, input(t, 1), z);
	keep(t, y, ALL);
	keep(t, z, ALL);
}

static void run_softmax_backward(struct selftest *t)
{
	float *dx = output(t, 0);

	t->e->softmax_backward(ROWS, COLS - 2, COLS, 0.3f, positive(t, 0), input(t, 1), dx);
	keep(t, dx, ALL);
}

static void run_binary_cross_entropy(struct selftest *t)
{
	float *losses = output(t, 0), *dz = output(t, 1);
	const uint32_t *l = labels(t, 2);

	memset(t->bytes, 0, ALL);
	t->e->binary_cross_entropy(ALL, ALL, input(t, 0), l, losses, t->bytes, dz);
	keep(t, losses, ALL);
	keep(t, dz, ALL);
	keep_bytes(t, t->bytes, ALL);
}

static void run_squared_error(struct selftest *t)
{
	float *losses = output(t, 0), *dy = output(t, 1);

	t->e->squared_error(ROWS, 2 * ROWS, COLS, input(t, 0), input(t, 1), losses, dy);
	keep(t, losses, ROWS);
	keep(t, dy, ALL);
}

static void run_softmax_cross_entropy(struct selftest *t)
{
	float *losses = output(t, 0), *dz = output(t, 1);
	const uint32_t *l = labels(t, COLS);

	memset(t->bytes, 0, ROWS);
	t->e->softmax_cross_entropy(ROWS, 2 * ROWS, COLS, input(t, 0), l, losses, t->bytes, dz);
	keep(t, losses, ROWS);
	keep(t, dz, ALL);
	keep_bytes(t, t->bytes, ROWS);
}

/* ---- Images ---- */

enum { IMAGES = 2 };
static const struct window conv = {3, 11, 9, 5, 3, 2, 1, 6, 5};
static const struct window pool = {5, 11, 9, 5, 3, 2, 1, 6, 5};
#define CONV_IN	    ((size_t)IMAGES * 3 * 11 * 9)
#define POOL_IN	    ((size_t)IMAGES * 5 * 11 * 9)
#define WINDOW_OUT  ((size_t)IMAGES * 5 * 6 * 5)
#define CONV_WEIGHT ((size_t)5 * 3 * 3 * 3)

static void run_conv2d(struct selftest *t)
{
	float *y = output(t, 0);

	t->e->conv2d(IMAGES, &conv, input(t, 0), input(t, 1), input(t, 2), y, t->workspace);
	keep(t, y, WINDOW_OUT);
}

static void run_conv2d_backward_input(struct selftest *t)
{
	float *dx = output(t, 0);

	t->e->conv2d_backward_input(IMAGES, &conv, input(t, 0), input(t, 1), dx, t->workspace);
	keep(t, dx, CONV_IN);
}

static void run_conv2d_backward_weight(struct selftest *t)
{
	float *dw = output(t, 0), *db = output(t, 1);

	t->e->conv2d_backward_weight(IMAGES, &conv, 0, conv.channels_out, input(t, 0), input(t, 1),
		false, dw, db, t->workspace);
	keep(t, dw, CONV_WEIGHT);
	keep(t, db, conv.channels_out);
}

static void run_max_pool(struct selftest *t)
{
	float *y = output(t, 0);

	t->e->max_pool(IMAGES, &pool, input(t, 0), y, t->bytes);
	keep(t, y, WINDOW_OUT);
	keep_bytes(t, t->bytes, WINDOW_OUT);
}

/* Places within windows that do not lie at a border, which all of them have. */
static void run_max_pool_backward(struct selftest *t)
{
	float *dx = output(t, 0);

	memset(t->bytes, 4, WINDOW_OUT);
	t->e->max_pool_backward(IMAGES, &pool, t->bytes, input(t, 0), dx);
	keep(t, dx, POOL_IN);
}

static void run_average_pool(struct selftest *t)
{
	float *y = output(t, 0);

	t->e->average_pool(IMAGES, &pool, input(t, 0), y);
	keep(t, y, WINDOW_OUT);
}

static void run_average_pool_backward(struct selftest *t)
{
	float *dx = output(t, 0);

	t->e->average_pool_backward(IMAGES, &pool, input(t, 0), dx);
	keep(t, dx, POOL_IN);
}

/* ---- Optimizers ---- */

static void run_adamw(struct selftest *t)
{
	const struct adamw_step step = {4e-3f, 0.9f, 0.99f, 1e-8f, 0.1f, 0.271f, 0.0297f, 0.5f};
	float *m = input(t, 1), *v = positive(t, 2), *w = input(t, 3);

	compute_adamw(t->compute, ALL, &step, input(t, 0), m, v, w);
	keep(t, m, ALL);
	keep(t, v, ALL);
	keep(t, w, ALL);
}

static void run_sgd(struct selftest *t)
{
	const struct sgd_step step = {0.1f, 0.9f, true, 0.01f, 0.7f};
	float *v = input(t, 1), *w = input(t, 2);

	compute_sgd(t->compute, ALL, &step, input(t, 0), v, w);
	keep(t, v, ALL);
	keep(t, w, ALL);
}

/* ---- Packing, digests ---- */

static void run_packing(struct selftest *t, enum compression c)
{
	const struct compress_plane plane = {0, 70, 71};
	const struct compress_layout l = {.count = 70 * 71, .plane_count = 1, .planes = &plane};
	float *feedback = c == COMPRESSION_SPARSELOCO ? input(t, 1) : NULL;
	float *sum = input(t, 2);
	size_t before = t->result.len;

	if (t->rc == TK_OK)
		t->rc = compress_pack(t->compute, c, &l, input(t, 0), feedback, &t->result);
	if (t->rc == TK_OK)
		t->rc = compress_add(t->e, c, &l,
			span_of(t->result.data + before, t->result.len - before), sum, t->msg);
	keep(t, sum, l.count);
	if (feedback != NULL)
		keep(t, feedback, l.count);
}

#define PACKING(name, c)                                                                           \
	static void run_##name(struct selftest *t)                                                 \
	{                                                                                          \
		run_packing(t, c);                                                                 \
	}
PACKING(fp32, COMPRESSION_NONE)
PACKING(fp16, COMPRESSION_FP16)
PACKING(bf16, COMPRESSION_BF16)
PACKING(int8, COMPRESSION_INT8)
PACKING(sparse, COMPRESSION_SPARSELOCO)

static void run_digest(struct selftest *t)
{
	const struct digest_part part = {input(t, 0), 4 * LONG, true};
	struct digest leaves[4], d;

	compute_digest(t->compute, &d, leaves, &part, 1);
	keep_bytes(t, &d, sizeof(d));
	digest_blob(&d, t->in[0], 4 * ARRAY);
	keep_bytes(t, &d, sizeof(d));
}

static void run_whole_unit(struct selftest *t)
{
	struct unit_result result = {0};
	struct trial_unit trial;

	if (t->rc == TK_OK)
		t->rc = trial_init(&trial, t->seed, t->msg);
	if (t->rc != TK_OK)
		return;
	t->rc = trial_run(&trial, t->compute, &result, t->msg);
	keep_bytes(t, result.claim.data, result.claim.len);
	unit_result_close(&result);
	trial_close(&trial);
}

/* ---- All ---- */

#define OPERATION(name)                                                                            \
	{                                                                                          \
#name, run_##name                                                                  \
	}
static const struct {
	const char *name;
	void (*run)(struct selftest *t);
} operations[] = {
	OPERATION(gemm),
	OPERATION(gemm_thin),
	OPERATION(sum),
	OPERATION(sum_squares),
	OPERATION(column_sums),
	OPERATION(add_bias),
	OPERATION(exp),
	OPERATION(log),
	OPERATION(tanh),
	OPERATION(relu),
	OPERATION(tanh_backward),
	OPERATION(relu_backward),
	OPERATION(erf),
	OPERATION(sigmoid),
	OPERATION(gelu),
	OPERATION(silu),
	OPERATION(sigmoid_backward),
	OPERATION(gelu_backward),
	OPERATION(silu_backward),
	OPERATION(add),
	OPERATION(dropout),
	OPERATION(layer_norm),
	OPERATION(layer_norm_backward),
	OPERATION(layer_norm_gradient),
	OPERATION(softmax),
	OPERATION(softmax_backward),
	OPERATION(binary_cross_entropy),
	OPERATION(squared_error),
	OPERATION(softmax_cross_entropy),
	OPERATION(conv2d),
	OPERATION(conv2d_backward_input),
	OPERATION(conv2d_backward_weight),
	OPERATION(max_pool),
	OPERATION(max_pool_backward),
	OPERATION(average_pool),
	OPERATION(average_pool_backward),
	OPERATION(adamw),
	OPERATION(sgd),
	OPERATION(fp32),
	OPERATION(fp16),
	OPERATION(bf16),
	OPERATION(int8),
	OPERATION(sparse),
	OPERATION(digest),
	{"unit", run_whole_unit},
};
_Static_assert(sizeof(operations) / sizeof(operations[0]) == SELFTEST_OPERATIONS, "all of them");

const char *selftest_name(uint32_t index)
{
	return operations[index].name;
}

uint32_t selftest_compare(const struct digest *a, const struct digest *b)
{
	uint32_t i = 0;

	while (i < SELFTEST_OPERATIONS && digest_equal(&a[i], &b[i]))
		i++;
	return i;
}

static int selftest_open(struct selftest *t)
{
	bool whole = true;

	for (uint32_t k = 0; k < ARRAYS; k++) {
		t->in[k] = mem_floats(ARRAY);
		t->out[k] = mem_floats(ARRAY);
		whole = whole && t->in[k] != NULL && t->out[k] != NULL;
	}
	t->workspace = mem_floats(t->e->conv2d_workspace(&conv));
	t->bytes = mem_calloc(ARRAY, 4);
	t->labels = mem_calloc(ARRAY, sizeof(*t->labels));
	whole = whole && t->workspace != NULL && t->bytes != NULL && t->labels != NULL;
	return whole ? TK_OK : errmsg_set(t->msg, TK_ENOMEM, "not enough memory for a self-test");
}

static void selftest_close(struct selftest *t)
{
	for (uint32_t k = 0; k < ARRAYS; k++) {
		mem_free(t->in[k]);
		mem_free(t->out[k]);
	}
	mem_free(t->workspace);
	mem_free(t->bytes);
	mem_free(t->labels);
	bytes_close(&t->result);
}

int selftest_run(const struct compute *c, uint64_t seed, struct digest *digests, struct errmsg *msg)
{
	struct selftest t = {.compute = c, .e = c->engine, .seed = seed, .msg = msg};

	t.rc = selftest_open(&t);
	for (uint32_t i = 0; i < SELFTEST_OPERATIONS && t.rc == TK_OK; i++) {
		t.operation = i;
		t.result.len = 0;
		operations[i].run(&t);
		digest_bytes(&digests[i], t.result.data, t.result.len);
		if (t.rc == TK_OK && compute_stopped(c))
			t.rc = errmsg_set(msg, TK_ECANCELED, "stopped on request");
	}
	if (t.rc == TK_ENOMEM)
		errmsg_set(msg, TK_ENOMEM, "not enough memory for a self-test");
	selftest_close(&t);
	return t.rc;
}
