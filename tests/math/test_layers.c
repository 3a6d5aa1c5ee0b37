/* Activations, norms, softmax, dropout and losses: every engine gives the baseline's bits at any length,
 * alignment and input, in place or not; gradients agree with finite differences in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/math/engine.h"
#include "tests/math/inputs.h"

#define GUARD 5 /* floats behind a result that must stay as they are */

static size_t pick(uint64_t *counter, size_t below)
{
	uint32_t word[4];

	philox(word, 20261, 96, 0, (*counter)++);
	return word[0] % below;
}

static void assert_equal(const char *engine, const char *what, size_t rows, size_t cols,
	const float *want, const float *got, size_t n)
{
	size_t bad = floats_differ(want, got, n);

	if (bad != n)
		fail_msg("%s: %s of %zux%zu: float %zu is %a, not %a", engine, what, rows, cols,
			bad, (double)got[bad], (double)want[bad]);
}

/* ---- Element by element ---- */

typedef void (*unary)(size_t, const float *, float *);
typedef void (*binary)(size_t, const float *, const float *, float *);

static void results_depend_on_the_element_alone(void **state)
{
	enum { COUNT = 3000 };
	const struct engine *base = engine_find("baseline");
	float *x = inputs_new(INPUT_REALS, COUNT, 1), *dy = inputs_new(INPUT_NASTY, COUNT, 2);
	float *want = mem_floats(COUNT), *got = mem_floats(COUNT);

	(void)state;
	inputs_fill(x, INPUT_NASTY, COUNT / 2, 3);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		const unary one[][2] = {{base->erf, (*e)->erf}, {base->sigmoid, (*e)->sigmoid},
			{base->gelu, (*e)->gelu}, {base->silu, (*e)->silu}};
		const binary two[][2] = {{base->sigmoid_backward, (*e)->sigmoid_backward},
			{base->gelu_backward, (*e)->gelu_backward},
			{base->silu_backward, (*e)->silu_backward}};

		for (size_t f = 0; f < sizeof(one) / sizeof(*one); f++) {
			one[f][0](COUNT, x, want);
			memcpy(got, x, COUNT * sizeof(*x));
			for (size_t i = 0, n = 0; i < COUNT; i += n, n = n % 37 + 1)
				one[f][1](n < COUNT - i ? n : COUNT - i, got + i, got + i);
			assert_equal((*e)->name, "activation", f, COUNT, want, got, COUNT);
		}
		for (size_t f = 0; f < sizeof(two) / sizeof(*two); f++) {
			two[f][0](COUNT, x, dy, want);
			memcpy(got, dy, COUNT * sizeof(*x));
			for (size_t i = 0, n = 0; i < COUNT; i += n, n = n % 37 + 1)
				two[f][1](n < COUNT - i ? n : COUNT - i, x + i, got + i, got + i);
			assert_equal((*e)->name, "backward", f, COUNT, want, got, COUNT);
		}
		for (size_t i = 0; i < COUNT; i++)
			want[i] = dy[i] + x[i];
		memcpy(got, dy, COUNT * sizeof(*x));
		(*e)->add(COUNT - 1, x + 1, got + 1);
		(*e)->add(1, x, got);
		assert_equal((*e)->name, "add", 1, COUNT, want, got, COUNT);
	}
	mem_free(x);
	mem_free(dy);
	mem_free(want);
	mem_free(got);
}

/* In pieces of any length, the words are those of philox() by the rule of NUMERICS.md. */
static void dropout_keeps_the_same_elements_however_it_is_cut(void **state)
{
	enum { COUNT = 1000 };
	const uint64_t seed = 77, first = (1ull << 38) - 333;
	float x[COUNT], want[COUNT], got[COUNT];
	size_t kept = 0;

	(void)state;
	inputs_fill(x, INPUT_NASTY, COUNT, 1);
	for (size_t i = 0; i < COUNT; i++) {
		uint64_t element = first + i;
		uint32_t word[4];

		philox(word, seed, STREAM_DROPOUT, 3, element / 64 * 16 + element % 16);
		want[i] = 0;
		if ((float)(word[element / 16 % 4] >> 8) * 0x1p-24f >= 0.25f) {
			want[i] = x[i] * (1.0f / 0.75f);
			kept++;
		}
	}
	assert_in_range(kept, 690, 810);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		for (size_t i = 0, n = 0; i < COUNT; i += n, n = n * 2 % 213 + 1) {
			size_t part = n < COUNT - i ? n : COUNT - i;

			(*e)->dropout(
				part, 0.25f, seed, STREAM_DROPOUT, 3, first + i, x + i, got + i);
		}
		assert_equal((*e)->name, "dropout", 1, COUNT, want, got, COUNT);
		(*e)->dropout(COUNT, 0.0f, seed, STREAM_DROPOUT, 3, first, x, got);
		assert_equal((*e)->name, "dropout of nothing", 1, COUNT, x, got, COUNT);
	}
}

/* ---- Rows ---- */

struct rows_case {
	size_t rows, cols, ld, visible, misalign;
	enum input_kind kind;
};

static struct rows_case rows_pick(uint64_t *counter)
{
	struct rows_case c = {.rows = 1 + pick(counter, 9), .cols = 1 + pick(counter, 70)};

	if (pick(counter, 20) == 0) {
		c.rows = 1 + pick(counter, 2);
		c.cols = 4090 + pick(counter, 5000);
	}
	c.ld = c.cols + pick(counter, 3);
	c.visible = pick(counter, 2) ? c.cols : 1 + pick(counter, c.cols);
	c.misalign = pick(counter, 4);
	c.kind = (enum input_kind)pick(counter, INPUT_KINDS);
	return c;
}

static void norm_check(const struct rows_case *c, bool weighted, bool biased)
{
	const struct engine *base = engine_find("baseline");
	size_t n = c->rows * c->cols, all = 2 * n + 2 * c->rows + 2 * c->cols + GUARD;
	float *x = inputs_new(c->kind, n + c->misalign, 1), *dy = inputs_new(c->kind, n, 2);
	float *weight = inputs_new(c->kind, c->cols, 3), *bias = inputs_new(c->kind, c->cols, 4);
	float *want = mem_floats(all), *got = mem_floats(all);

	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		float *y = *e == base ? want : got;
		float *mean = y + n, *rstd = mean + c->rows, *dx = rstd + c->rows, *dw = dx + n;
		const float *w = weighted ? weight : NULL;

		memcpy(dx, dy, n * sizeof(*dx)); /* in place on the way back */
		(*e)->layer_norm(
			c->rows, c->cols, x + c->misalign, w, biased ? bias : NULL, y, mean, rstd);
		(*e)->layer_norm_backward(c->rows, c->cols, x + c->misalign, w, mean, rstd, dx, dx);
		(*e)->layer_norm_gradient(c->rows, c->cols, x + c->misalign, mean, rstd, dy, dw,
			biased ? dw + c->cols : NULL);
		assert_equal((*e)->name, "layer norm", c->rows, c->cols, want, y, all);
	}
	mem_free(x);
	mem_free(dy);
	mem_free(weight);
	mem_free(bias);
	mem_free(want);
	mem_free(got);
}

static void norms_agree_on_rows_of_any_length(void **state)
{
	uint64_t counter = 0;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct rows_case c = rows_pick(&counter);

		norm_check(&c, round & 1, round & 2);
	}
	norm_check(&(struct rows_case){.rows = 9000, .cols = 3, .kind = INPUT_PLAIN}, true, true);
}

static void softmax_check(const struct rows_case *c)
{
	const struct engine *base = engine_find("baseline");
	size_t n = c->rows * c->ld + GUARD;
	float *x = inputs_new(c->kind, n, 1), *dy = inputs_new(c->kind, n, 2);
	float *want = mem_floats(2 * n), *got = mem_floats(2 * n), *apart = mem_floats(n);

	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		float *y = *e == base ? want : got;

		memcpy(y, x, n * sizeof(*y)); /* in place, both ways */
		memcpy(y + n, dy, n * sizeof(*y));
		(*e)->softmax(c->rows, c->cols, c->ld, c->visible, 0.7f, y, y);
		(*e)->softmax_backward(c->rows, c->cols, c->ld, 0.7f, y, y + n, y + n);
		assert_equal((*e)->name, "softmax", c->rows, c->cols, want, y, 2 * n);
		(*e)->softmax(c->rows, c->cols, c->ld, c->visible, 0.7f, x, apart);
		for (size_t r = 0; r < c->rows; r++)
			assert_equal((*e)->name, "softmax not in place", c->rows, c->cols,
				want + r * c->ld, apart + r * c->ld, c->cols);
	}
	mem_free(apart);
	mem_free(x);
	mem_free(dy);
	mem_free(want);
	mem_free(got);
}

static void softmax_agrees_on_rows_of_any_length(void **state)
{
	uint64_t counter = 1000000;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct rows_case c = rows_pick(&counter);

		softmax_check(&c);
	}
}

static void causal_rows_see_one_column_more_each(void **state)
{
	enum { ROWS = 30, COLS = 24, SEEN = 3 };
	float x[ROWS * COLS], y[ROWS * COLS];

	(void)state;
	inputs_fill(x, INPUT_PLAIN, ROWS * COLS, 1);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		(*e)->softmax(ROWS, COLS, COLS, SEEN, 1.0f, x, y);
		for (size_t r = 0; r < ROWS; r++) {
			size_t n = SEEN + r < COLS ? SEEN + r : COLS;
			double sum = 0, whole = 0;

			for (size_t c = 0; c < n; c++)
				sum += exp(x[r * COLS + c]);
			for (size_t c = 0; c < COLS; c++) {
				double want = c < n ? exp(x[r * COLS + c]) / sum : 0;

				assert_true(fabs(y[r * COLS + c] - want) <= 4e-7 * want);
				whole += y[r * COLS + c];
			}
			assert_true(fabs(whole - 1) < 1e-6);
		}
	}
}

static void losses_agree_on_any_number_of_rows(void **state)
{
	const struct engine *base = engine_find("baseline");
	uint64_t counter = 2000000;

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct rows_case c = rows_pick(&counter);
		size_t n = c.rows * c.cols, all = n + c.rows + GUARD;
		float *y = inputs_new(c.kind, n, 1), *target = inputs_new(INPUT_NASTY, n, 2);
		float *want = mem_floats(2 * all + n), *got = mem_floats(2 * all + n);
		uint32_t *labels = mem_calloc(n, sizeof(*labels));
		uint8_t *correct[2] = {mem_calloc(n + 1, 1), mem_calloc(n + 1, 1)};

		for (size_t i = 0; i < n; i++)
			labels[i] = (uint32_t)pick(&counter, 2);
		for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
			float *out = *e == base ? want : got;
			uint8_t *right = correct[*e != base];

			(*e)->squared_error(
				c.rows, 100, c.cols, y, target, out + n, round % 3 ? out : NULL);
			memcpy(out + all, y, n * sizeof(*y)); /* the gradient may replace them */
			(*e)->binary_cross_entropy(n, 100, out + all, labels, out + 2 * all, right,
				round % 3 ? out + all : NULL);
			assert_equal((*e)->name, "loss", c.rows, c.cols, want, out, 2 * all + n);
			assert_memory_equal(correct[0], right, n + 1);
		}
		mem_free(y);
		mem_free(target);
		mem_free(want);
		mem_free(got);
		mem_free(labels);
		mem_free(correct[0]);
		mem_free(correct[1]);
	}
}

static void a_sure_and_right_answer_costs_nothing(void **state)
{
	const float z[6] = {200, -200, 200, -200, 0, NAN};
	const uint32_t labels[6] = {1, 0, 0, 1, 0, 0};

	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		float losses[6];
		uint8_t correct[6];

		(*e)->binary_cross_entropy(6, 6, z, labels, losses, correct, NULL);
		assert_true(losses[0] == 0 && losses[1] == 0);
		assert_true(losses[2] == 200 && losses[3] == 200);
		assert_true(fabs(losses[4] - 0.69314718) < 1e-7 && isnan(losses[5]));
		assert_memory_equal(correct, "\1\1\0\0\1\0", 6);
	}
}

/* ---- Gradients against finite differences in double ---- */

static double gelu64(double x)
{
	return 0.5 * x * erfc(-x * 0.70710678118654752440);
}

static double sigmoid64(double x)
{
	return 1 / (1 + exp(-x));
}

static double silu64(double x)
{
	return x * sigmoid64(x);
}

static void slopes_of_activations_match_finite_differences(void **state)
{
	enum { COUNT = 2001 };
	const double h = 1e-6;
	float x[COUNT], one[COUNT], y[COUNT], dx[3][COUNT];

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		x[i] = (float)(i - COUNT / 2) * 0.01f;
		one[i] = 1;
	}
	engine_best()->gelu_backward(COUNT, x, one, dx[0]);
	engine_best()->silu_backward(COUNT, x, one, dx[1]);
	engine_best()->sigmoid(COUNT, x, y);
	engine_best()->sigmoid_backward(COUNT, y, one, dx[2]);
	for (int i = 0; i < COUNT; i++) {
		double (*const f[3])(double) = {gelu64, silu64, sigmoid64};

		for (int k = 0; k < 3; k++) {
			double want = (f[k](x[i] + h) - f[k](x[i] - h)) / (2 * h);

			if (fabs(dx[k][i] - want) > 1e-6)
				fail_msg("function %d at %g: %g, not %g", k, (double)x[i],
					(double)dx[k][i], want);
		}
	}
}

enum { NROWS = 3, NCOLS = 21, N = NROWS * NCOLS };

/* Σ dy·layer_norm(x, weight, bias) */
static double norm64(const double *x, const double *weight, const double *bias, const float *dy)
{
	double loss = 0;

	for (int r = 0; r < NROWS; r++, x += NCOLS, dy += NCOLS) {
		double mean = 0, variance = 0;

		for (int c = 0; c < NCOLS; c++)
			mean += x[c] / NCOLS;
		for (int c = 0; c < NCOLS; c++)
			variance += (x[c] - mean) * (x[c] - mean) / NCOLS;
		for (int c = 0; c < NCOLS; c++)
			loss += dy[c] *
				((x[c] - mean) / sqrt(variance + 1e-5) * weight[c] + bias[c]);
	}
	return loss;
}

/* Σ dy·softmax(0.7·x) with the first row seeing 9 columns */
static double softmax64(const double *x, const float *dy)
{
	double loss = 0;

	for (int r = 0; r < NROWS; r++, x += NCOLS, dy += NCOLS) {
		double sum = 0;

		for (int c = 0; c < 9 + r; c++)
			sum += exp(0.7 * x[c]);
		for (int c = 0; c < 9 + r; c++)
			loss += dy[c] * exp(0.7 * x[c]) / sum;
	}
	return loss;
}

static void assert_close(double got, double want, const char *what, int i)
{
	if (fabs(got - want) > 2e-5 * (1 + fabs(want)))
		fail_msg("%s %d: %g, not %g", what, i, got, want);
}

static void gradients_of_norms_match_finite_differences(void **state)
{
	const struct engine *e = engine_best();
	const double h = 1e-5;
	float x[N], dy[N], weight[NCOLS], y[N], mean[NROWS], rstd[NROWS], dx[N], dw[NCOLS],
		db[NCOLS];
	double p[N + 2 * NCOLS]; /* x, weight, bias */

	(void)state;
	inputs_fill(x, INPUT_PLAIN, N, 1);
	inputs_fill(dy, INPUT_PLAIN, N, 2);
	inputs_fill(weight, INPUT_PLAIN, NCOLS, 3);
	for (int i = 0; i < N + 2 * NCOLS; i++)
		p[i] = i < N ? x[i] : i < N + NCOLS ? weight[i - N] : 0.5;
	e->layer_norm(NROWS, NCOLS, x, weight, NULL, y, mean, rstd);
	e->layer_norm_backward(NROWS, NCOLS, x, weight, mean, rstd, dy, dx);
	e->layer_norm_gradient(NROWS, NCOLS, x, mean, rstd, dy, dw, db);
	for (int i = 0; i < N + 2 * NCOLS; i++) {
		double was = p[i], up, down;
		double got = i < N ? dx[i] : i < N + NCOLS ? dw[i - N] : db[i - N - NCOLS];

		p[i] = was + h;
		up = norm64(p, p + N, p + N + NCOLS, dy);
		p[i] = was - h;
		down = norm64(p, p + N, p + N + NCOLS, dy);
		p[i] = was;
		assert_close(got, (up - down) / (2 * h), "layer norm", i);
	}
}

static void gradients_of_softmax_match_finite_differences(void **state)
{
	const double h = 1e-5;
	float x[N], dy[N], y[N], dx[N];
	double p[N];

	(void)state;
	inputs_fill(x, INPUT_PLAIN, N, 1);
	inputs_fill(dy, INPUT_PLAIN, N, 2);
	for (int i = 0; i < N; i++)
		p[i] = x[i];
	engine_best()->softmax(NROWS, NCOLS, NCOLS, 9, 0.7f, x, y);
	engine_best()->softmax_backward(NROWS, NCOLS, NCOLS, 0.7f, y, dy, dx);
	for (int i = 0; i < N; i++) {
		double was = p[i], up, down;

		p[i] = was + h;
		up = softmax64(p, dy);
		p[i] = was - h;
		down = softmax64(p, dy);
		p[i] = was;
		assert_close(dx[i], (up - down) / (2 * h), "softmax", i);
	}
}

static void gradients_of_losses_match_finite_differences(void **state)
{
	const struct engine *e = engine_best();
	const double h = 1e-5;
	float z[N], target[N], losses[N], dz[N];
	uint32_t labels[N];
	uint8_t correct[N];

	(void)state;
	inputs_fill(z, INPUT_PLAIN, N, 1);
	inputs_fill(target, INPUT_PLAIN, N, 2);
	for (int i = 0; i < N; i++)
		labels[i] = (uint32_t)(i % 3 == 0);
	e->binary_cross_entropy(N, N, z, labels, losses, correct, dz);
	for (int i = 0; i < N; i++) {
		double s = labels[i] ? -z[i] : z[i], sign = labels[i] ? -1 : 1;
		double want = sign * (log1p(exp(s + h)) - log1p(exp(s - h))) / (2 * h) / N;

		assert_close(losses[i], log1p(exp(s)), "binary loss", i);
		assert_close(dz[i] * N, want * N, "binary", i);
	}
	e->squared_error(NROWS, NROWS, NCOLS, z, target, losses, dz);
	for (int r = 0; r < NROWS; r++) {
		double want = 0;

		for (int i = r * NCOLS; i < (r + 1) * NCOLS; i++) {
			double d = (double)z[i] - target[i];

			want += d * d / NCOLS;
			assert_close(dz[i] * N, ((d + h) * (d + h) - (d - h) * (d - h)) / (2 * h),
				"squared", i);
		}
		assert_close(losses[r], want, "squared loss", r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_depend_on_the_element_alone),
		cmocka_unit_test(dropout_keeps_the_same_elements_however_it_is_cut),
		cmocka_unit_test(norms_agree_on_rows_of_any_length),
		cmocka_unit_test(softmax_agrees_on_rows_of_any_length),
		cmocka_unit_test(causal_rows_see_one_column_more_each),
		cmocka_unit_test(losses_agree_on_any_number_of_rows),
		cmocka_unit_test(a_sure_and_right_answer_costs_nothing),
		cmocka_unit_test(slopes_of_activations_match_finite_differences),
		cmocka_unit_test(gradients_of_norms_match_finite_differences),
		cmocka_unit_test(gradients_of_softmax_match_finite_differences),
		cmocka_unit_test(gradients_of_losses_match_finite_differences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
