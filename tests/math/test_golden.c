/* Every engine against the digests that numerics_reference.py, an exact second implementation, wrote
 * into numerics_golden.txt. A case is a line: operation, kind of input where it has one, sizes, digest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "tasks/data/split.h"
#include "tasks/math/engine.h"
#include "tasks/math/order.h"
#include "tasks/math/scalar.h"
#include "tests/math/inputs.h"

#define GOLDEN "tests/math/numerics_golden.txt"

struct golden {
	char operation[32];
	enum input_kind kind;
	unsigned size[8];
	char digest[DIGEST_HEX];
};

static void run_gemm(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	bool ta = g->size[0], tb = g->size[1], accumulate = g->size[5];
	size_t M = g->size[2], N = g->size[3], K = g->size[4];
	float *a = inputs_new(g->kind, M * K, 1);
	float *b = inputs_new(g->kind, K * N, 2);
	float *c = inputs_new(g->kind, M * N, 3);

	e->gemm(ta, tb, M, N, K, a, ta ? M : K, b, tb ? K : N, c, N, accumulate);
	floats_digest(hex, c, M * N);
	mem_free(a);
	mem_free(b);
	mem_free(c);
}

static void run_sum(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	float *x = inputs_new(g->kind, g->size[0], 1);
	float y = strcmp(g->operation, "sum") == 0 ? e->sum(g->size[0], x)
						   : e->sum_squares(g->size[0], x);

	floats_digest(hex, &y, 1);
	mem_free(x);
}

static void run_columns(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	size_t rows = g->size[0], cols = g->size[1];
	float *x = inputs_new(g->kind, rows * cols, 1);
	float *out = mem_floats(cols);

	e->column_sums(rows, cols, x, cols, out);
	floats_digest(hex, out, cols);
	mem_free(x);
	mem_free(out);
}

static void run_bias(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	size_t rows = g->size[0], cols = g->size[1];
	float *y = inputs_new(g->kind, rows * cols, 1);
	float *bias = inputs_new(g->kind, cols, 2);

	e->add_bias(rows, cols, bias, y, cols);
	floats_digest(hex, y, rows * cols);
	mem_free(y);
	mem_free(bias);
}

static void run_cross_entropy(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	size_t rows = g->size[0], classes = g->size[1];
	float *z = inputs_new(g->kind, rows * classes, 1);
	float *out = mem_floats(2 * rows + rows * classes);
	uint32_t labels[64];
	uint8_t correct[64];

	assert_true(rows <= 64);
	for (size_t r = 0; r < rows; r++) {
		uint32_t word[4];

		philox(word, 2, 99, 0, r);
		labels[r] = word[0] % (uint32_t)classes;
	}
	e->softmax_cross_entropy(rows, rows, classes, z, labels, out, correct, out + 2 * rows);
	for (size_t r = 0; r < rows; r++)
		out[rows + r] = correct[r];
	floats_digest(hex, out, 2 * rows + rows * classes);
	mem_free(z);
	mem_free(out);
}

static void run_optimizer(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	static const struct adamw_step adamw = {
		0.004f, 0.9f, 0.99f, 1e-8f, 0.01f, 0.271f, 0.029701f, 0.75f};
	size_t n = g->size[0];
	/* size[1]: plain, with momentum, with Nesterov's */
	struct sgd_step sgd = {0.1f, g->size[1] != 0 ? 0.9f : 0, g->size[1] == 2, 0.01f, 0.75f};
	float *gradient = inputs_new(g->kind, n, 1);
	float *state = mem_floats(3 * n);

	if (strcmp(g->operation, "adamw") == 0) {
		for (uint64_t part = 0; part < 3; part++)
			inputs_fill(state + part * n, g->kind, n, 2 + part);
		for (size_t i = n; i < 2 * n; i++)
			state[i] *= state[i];
		e->adamw(n, &adamw, gradient, state, state + n, state + 2 * n);
		floats_digest(hex, state, 3 * n);
	} else {
		inputs_fill(state, g->kind, n, 2);
		inputs_fill(state + n, g->kind, n, 3);
		e->sgd(n, &sgd, gradient, state, state + n);
		floats_digest(hex, state, 2 * n);
	}
	mem_free(gradient);
	mem_free(state);
}

static void run_each(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	size_t n = g->size[0];
	float *x = inputs_new(g->kind, n, 1);
	float *dy = inputs_new(g->kind, n, 2);
	float *y = mem_floats(n);
	const struct {
		const char *name;
		void (*unary)(size_t, const float *, float *);
		void (*binary)(size_t, const float *, const float *, float *);
	} table[] = {
		{"exp", e->exp, NULL},
		{"log", e->log, NULL},
		{"tanh", e->tanh, NULL},
		{"relu", e->relu, NULL},
		{"erf", e->erf, NULL},
		{"sigmoid", e->sigmoid, NULL},
		{"gelu", e->gelu, NULL},
		{"silu", e->silu, NULL},
		{"tanh_backward", NULL, e->tanh_backward},
		{"relu_backward", NULL, e->relu_backward},
		{"sigmoid_backward", NULL, e->sigmoid_backward},
		{"gelu_backward", NULL, e->gelu_backward},
		{"silu_backward", NULL, e->silu_backward},
		{"add", e->add, NULL},
	};
	size_t i = 0;

	while (i < sizeof(table) / sizeof(*table) && strcmp(table[i].name, g->operation) != 0)
		i++;
	if (i == sizeof(table) / sizeof(*table))
		fail_msg("unknown operation %s", g->operation);
	if (strcmp(g->operation, "add") == 0)
		memcpy(y, dy, n * sizeof(*y));
	if (table[i].unary != NULL)
		table[i].unary(n, x, y);
	else
		table[i].binary(n, x, dy, y);
	floats_digest(hex, y, n);
	mem_free(x);
	mem_free(dy);
	mem_free(y);
}

static void run_dropout(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	size_t n = g->size[0];
	float *x = inputs_new(g->kind, n, 1);

	e->dropout(n, 0.3f, (1ull << 63) + 5, STREAM_DROPOUT, 9, (1ull << 36) + g->size[1], x, x);
	floats_digest(hex, x, n);
	mem_free(x);
}

static void run_layer_norm(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	size_t rows = g->size[0], cols = g->size[1], n = rows * cols, all = 2 * n + 2 * rows;
	bool affine = g->size[2];
	float *x = inputs_new(g->kind, n, 1), *dy = inputs_new(g->kind, n, 4);
	float *weight = affine ? inputs_new(g->kind, cols, 2) : NULL;
	float *bias = affine ? inputs_new(g->kind, cols, 3) : NULL;
	float *y = mem_floats(all + 2 * cols);
	float *mean = y + n, *rstd = mean + rows, *dx = rstd + rows;

	e->layer_norm(rows, cols, x, weight, bias, y, mean, rstd);
	e->layer_norm_backward(rows, cols, x, weight, mean, rstd, dy, dx);
	e->layer_norm_gradient(rows, cols, x, mean, rstd, dy, y + all, y + all + cols);
	floats_digest(hex, y, all + 2 * cols);
	mem_free(x);
	mem_free(dy);
	mem_free(weight);
	mem_free(bias);
	mem_free(y);
}

static void run_softmax(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	size_t rows = g->size[0], cols = g->size[1], n = rows * cols;
	float *x = inputs_new(g->kind, n, 1), *dy = inputs_new(g->kind, n, 2);
	float *y = mem_floats(2 * n);

	e->softmax(rows, cols, cols, g->size[2], 0.3f, x, y);
	e->softmax_backward(rows, cols, cols, 0.3f, y, dy, y + n);
	floats_digest(hex, y, 2 * n);
	mem_free(x);
	mem_free(dy);
	mem_free(y);
}

static void run_binary(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	size_t rows = g->size[0];
	float *z = inputs_new(g->kind, rows, 1);
	float *out = mem_floats(3 * rows);
	uint32_t *labels = mem_calloc(rows, sizeof(*labels));
	uint8_t *correct = mem_calloc(rows, 1);

	for (size_t r = 0; r < rows; r++) {
		uint32_t word[4];

		philox(word, 2, 99, 0, r);
		labels[r] = word[0] % 2;
	}
	e->binary_cross_entropy(rows, rows, z, labels, out, correct, out + 2 * rows);
	for (size_t r = 0; r < rows; r++)
		out[rows + r] = correct[r];
	floats_digest(hex, out, 3 * rows);
	mem_free(z);
	mem_free(out);
	mem_free(labels);
	mem_free(correct);
}

static void run_squared(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	size_t rows = g->size[0], cols = g->size[1], n = rows * cols;
	float *y = inputs_new(g->kind, n, 1), *target = inputs_new(g->kind, n, 2);
	float *out = mem_floats(rows + n);

	e->squared_error(rows, rows, cols, y, target, out, out + rows);
	floats_digest(hex, out, rows + n);
	mem_free(y);
	mem_free(target);
	mem_free(out);
}

static void run_conv(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	const unsigned *s = g->size;
	struct window w = {s[1], s[2], s[3], s[4], s[5], s[6], s[7],
		(s[2] + 2 * s[7] - s[5]) / s[6] + 1, (s[3] + 2 * s[7] - s[5]) / s[6] + 1};
	size_t batch = s[0], inputs = batch * w.channels * w.height * w.width;
	size_t outputs = batch * w.channels_out * w.height_out * w.width_out;
	size_t weights = (size_t)w.channels_out * w.channels * w.kernel * w.kernel;
	float *x = inputs_new(g->kind, inputs, 1), *weight = inputs_new(g->kind, weights, 2);
	float *bias = inputs_new(g->kind, w.channels_out, 3);
	float *dy = inputs_new(g->kind, outputs, 4);
	float *y = mem_floats(outputs + inputs + weights + w.channels_out);
	float *dx = y + outputs, *dweight = dx + inputs, *dbias = dweight + weights;
	float *workspace = mem_floats(e->conv2d_workspace(&w));

	e->conv2d(batch, &w, x, weight, bias, y, workspace);
	e->conv2d_backward_input(batch, &w, dy, weight, dx, workspace);
	e->conv2d_backward_weight(
		batch, &w, 0, w.channels_out, x, dy, false, dweight, dbias, workspace);
	floats_digest(hex, y, outputs + inputs + weights + w.channels_out);
	mem_free(x);
	mem_free(weight);
	mem_free(bias);
	mem_free(dy);
	mem_free(y);
	mem_free(workspace);
}

static void run_pool(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	const unsigned *s = g->size;
	struct window w = {s[1], s[2], s[3], s[1], s[4], s[5], s[6],
		(s[2] + 2 * s[6] - s[4]) / s[5] + 1, (s[3] + 2 * s[6] - s[4]) / s[5] + 1};
	size_t batch = s[0], inputs = batch * w.channels * w.height * w.width;
	size_t outputs = batch * w.channels * w.height_out * w.width_out, n = outputs;
	float *x = inputs_new(g->kind, inputs, 1), *dy = inputs_new(g->kind, outputs, 2);
	float *y = mem_floats(2 * outputs + inputs);
	uint8_t *chosen = mem_alloc(outputs);

	if (strcmp(g->operation, "max_pool") == 0) {
		e->max_pool(batch, &w, x, y, chosen);
		for (size_t i = 0; i < outputs; i++)
			y[n++] = chosen[i];
		e->max_pool_backward(batch, &w, chosen, dy, y + n);
	} else {
		e->average_pool(batch, &w, x, y);
		e->average_pool_backward(batch, &w, dy, y + n);
	}
	floats_digest(hex, y, n + inputs);
	mem_free(x);
	mem_free(dy);
	mem_free(y);
	mem_free(chosen);
}

static void run_philox(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	const uint64_t seed = (1ull << 63) + 5;
	size_t n = g->size[0];
	float *out = mem_floats(2 * n);

	(void)e;
	for (size_t i = 0; i < n; i++) {
		out[i] = philox_uniform(seed, 1, (uint32_t)i, (1ull << 40) + i);
		out[n + i] = philox_normal(seed, 1, (1ull << 40) + i);
	}
	floats_digest(hex, out, 2 * n);
	mem_free(out);
}

static void words_digest(char hex[DIGEST_HEX], const uint64_t *x, size_t n)
{
	uint8_t *bytes = mem_alloc(8 * n);
	struct digest d;

	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		store_le64(bytes + 8 * i, x[i]);
	digest_bytes(&d, bytes, 8 * n);
	digest_hex(hex, &d);
	mem_free(bytes);
}

static void run_order(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	struct order order = {7, g->size[0], g->size[1]};
	size_t count = 2 * g->size[0];
	uint64_t *out = mem_calloc(2 * count, sizeof(*out));

	(void)e;
	assert_non_null(out);
	for (size_t i = 0; i < count; i++) {
		struct sample_place place = order_sample(&order, i);

		out[2 * i] = place.shard;
		out[2 * i + 1] = place.index;
	}
	words_digest(hex, out, 2 * count);
	mem_free(out);
}

static void run_split(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	uint64_t n = g->size[0];
	struct split split = {n, split_count(n, g->size[1] / 100.0), (1ull << 63) + 5};
	uint64_t *kept = mem_calloc(n + 1, sizeof(*kept));
	size_t count = 0;

	(void)e;
	assert_non_null(kept);
	kept[count++] = split.validation;
	for (uint64_t row = 0; row < n; row++) {
		if (split_keeps(&split, row))
			kept[count++] = row;
	}
	words_digest(hex, kept, count);
	mem_free(kept);
}

static void run_cos_pi(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	size_t n = g->size[0] + 1;
	uint64_t *out = mem_calloc(n, sizeof(*out));

	(void)e;
	assert_non_null(out);
	for (size_t i = 0; i < n; i++) {
		double y = scalar_cos_pi((double)i / g->size[0]);

		memcpy(&out[i], &y, sizeof(y));
	}
	words_digest(hex, out, n);
	mem_free(out);
}

static void run_power(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	static const float betas[] = {0.9f, 0.95f, 0.99f, 0.999f};
	size_t n = g->size[0];
	uint64_t *out = mem_calloc(4 * n, sizeof(*out));

	(void)e;
	assert_non_null(out);
	for (size_t i = 0; i < 4 * n; i++) {
		double y = scalar_power((double)betas[i / n], (i % n) * (i % n));

		memcpy(&out[i], &y, sizeof(y));
	}
	words_digest(hex, out, 4 * n);
	mem_free(out);
}

static void golden_run(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	static const struct {
		const char *operation;
		void (*run)(const struct engine *, const struct golden *, char *);
	} table[] = {
		{"gemm", run_gemm},
		{"sum", run_sum},
		{"squares", run_sum},
		{"columns", run_columns},
		{"bias", run_bias},
		{"cross_entropy", run_cross_entropy},
		{"adamw", run_optimizer},
		{"sgd", run_optimizer},
		{"dropout", run_dropout},
		{"layer_norm", run_layer_norm},
		{"softmax", run_softmax},
		{"binary", run_binary},
		{"squared", run_squared},
		{"conv", run_conv},
		{"max_pool", run_pool},
		{"average_pool", run_pool},
		{"philox", run_philox},
		{"order", run_order},
		{"split", run_split},
		{"cos_pi", run_cos_pi},
		{"power", run_power},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (strcmp(table[i].operation, g->operation) == 0) {
			table[i].run(e, g, hex);
			return;
		}
	}
	run_each(e, g, hex);
}

static enum input_kind kind_parse(const char *word)
{
	static const char *const names[] = {"plain", "wide", "nasty", "reals"};

	for (int i = 0; i < INPUT_KINDS; i++) {
		if (strcmp(word, names[i]) == 0)
			return (enum input_kind)i;
	}
	return INPUT_KINDS;
}

static void golden_parse(struct golden *g, char *line)
{
	char *save, *word = strtok_r(line, " \n", &save);
	int sizes = 0;

	*g = (struct golden){0};
	assert_non_null(word);
	snprintf(g->operation, sizeof(g->operation), "%s", word);
	while ((word = strtok_r(NULL, " \n", &save)) != NULL) {
		if (strlen(word) == DIGEST_HEX - 1)
			memcpy(g->digest, word, DIGEST_HEX);
		else if (kind_parse(word) != INPUT_KINDS)
			g->kind = kind_parse(word);
		else if (sizes < 8)
			g->size[sizes++] = (unsigned)strtoul(word, NULL, 10);
	}
	assert_int_equal(strlen(g->digest), DIGEST_HEX - 1);
}

static void every_engine_gives_the_digests_of_the_exact_reference(void **state)
{
	FILE *f = fopen(GOLDEN, "r");
	char line[256], original[256];
	int cases = 0, wrong = 0;

	(void)state;
	if (f == NULL)
		fail_msg("cannot read %s; run the test from the root of the sources", GOLDEN);
	while (fgets(line, sizeof(line), f) != NULL) {
		struct golden g;

		if (line[0] == '#')
			continue;
		memcpy(original, line, sizeof(line));
		golden_parse(&g, line);
		cases++;
		for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
			char hex[DIGEST_HEX];

			golden_run(*e, &g, hex);
			if (strcmp(hex, g.digest) != 0) {
				print_error("%s gives %s for %s", (*e)->name, hex, original);
				wrong++;
			}
		}
	}
	fclose(f);
	assert_int_equal(wrong, 0);
	assert_int_equal(cases, 168);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_engine_gives_the_digests_of_the_exact_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
