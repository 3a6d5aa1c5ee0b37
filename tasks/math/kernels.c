/* The operations of struct engine, as NUMERICS.md specifies them; the only source of all engines.
 *
 * The Makefile compiles this file once for each instruction set, with KERNEL_ENGINE as its name. The
 * bits never depend on that: each output element is one fixed sequence of IEEE operations, and vectors
 * only run several such sequences side by side. Nothing here allocates, and nothing looks at the CPU
 * or the number of threads. */
#include "tasks/math/engine.h"

#include <math.h>
#include <string.h>

#include "tasks/math/kernels_conv.h"
#include "tasks/math/kernels_functions.h"
#include "tasks/math/kernels_gemm.h"
#include "tasks/math/kernels_pool.h"
#include "tasks/math/kernels_vector.h"

#define SUM_LANES 16
#define SUM_BLOCK 4096

/* ---- Element by element ---- */

static void exp_shifted(size_t n, const float *x, float shift, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] = exp_one(x[i] - shift);
}

static void each_exp(size_t n, const float *x, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] = exp_one(x[i]);
}

static void each_log(size_t n, const float *x, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] = log_one(x[i]);
}

static void each_tanh(size_t n, const float *x, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] = tanh_one(x[i]);
}

static void each_relu(size_t n, const float *x, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

static void tanh_backward(size_t n, const float *y, const float *dy, float *dx)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		dx[i] = dy[i] * fused(-y[i], y[i], 1.0f);
}

static void relu_backward(size_t n, const float *y, const float *dy, float *dx)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++) {
		float d = dy[i]; /* read in any case, so that the loop has no branch */

		dx[i] = y[i] > 0.0f ? d : 0.0f;
	}
}

/* ---- Reductions ---- */

enum term { TERM_VALUE, TERM_SQUARE, TERM_EXP };

INLINE float fold(float lane[SUM_LANES])
{
	for (int half = SUM_LANES / 2; half > 0; half /= 2) {
		for (int i = 0; i < half; i++)
			lane[i] += lane[i + half];
	}
	return lane[0];
}

/* One block, n ≤ SUM_BLOCK: adds x, or fuses x² into its lane. */
INLINE float block_sum(size_t n, const float *x, const bool squares)
{
	vec sum[SUM_LANES / LANES] = {0};
	float lane[SUM_LANES];
	size_t i = 0;

	for (; i + SUM_LANES <= n; i += SUM_LANES) {
		UNROLL
		for (int v = 0; v < SUM_LANES / LANES; v++) {
			vec term = vec_load(x + i + v * LANES);

			sum[v] = squares ? vec_fma(term, term, sum[v]) : sum[v] + term;
		}
	}
	memcpy(lane, sum, sizeof(lane));
	for (size_t j = 0; i + j < n; j++)
		lane[j] = squares ? fused(x[i + j], x[i + j], lane[j]) : lane[j] + x[i + j];
	return fold(lane);
}

static float block_total(enum term term, size_t n, const float *x, float shift)
{
	float terms[SUM_BLOCK];

	switch (term) {
	case TERM_EXP:
		exp_shifted(n, x, shift, terms);
		return block_sum(n, terms, false);
	case TERM_SQUARE:
		return block_sum(n, x, true);
	default:
		return block_sum(n, x, false);
	}
}

/* Blocks of SUM_BLOCK, whose sums are reduced by the same rule: n / SUM_BLOCK^k pieces at depth k. */
static float total(enum term term, size_t n, const float *x, float shift)
{
	float lane[SUM_LANES] = {0};
	size_t piece = SUM_BLOCK;

	if (n <= SUM_BLOCK)
		return block_total(term, n, x, shift);
	while (piece < n / SUM_BLOCK + (n % SUM_BLOCK != 0))
		piece *= SUM_BLOCK;
	for (size_t i = 0, part = 0; i < n; i += piece, part++)
		lane[part % SUM_LANES] += total(term, n - i < piece ? n - i : piece, x + i, shift);
	return fold(lane);
}

static float sum(size_t n, const float *x)
{
	return total(TERM_VALUE, n, x, 0);
}

static float sum_squares(size_t n, const float *x)
{
	return total(TERM_SQUARE, n, x, 0);
}

static void column_sums(size_t rows, size_t cols, const float *x, size_t ldx, float *out)
{
	enum { STRIP = 64 };

	for (size_t c = 0; c < cols; c += STRIP) {
		size_t width = cols - c < STRIP ? cols - c : STRIP;
		float whole[STRIP] = {0};

		for (size_t r = 0; r < rows;) {
			size_t end = rows - r < SUM_BLOCK ? rows : r + SUM_BLOCK;
			float block[STRIP] = {0};

			for (; r < end; r++) {
				for (size_t j = 0; j < width; j++)
					block[j] += x[r * ldx + c + j];
			}
			for (size_t j = 0; j < STRIP; j++)
				whole[j] += block[j];
		}
		memcpy(out + c, whole, width * sizeof(*out));
	}
}

static float maximum(size_t n, const float *x)
{
	float lane[SUM_LANES];
	size_t i = 0;

	for (int j = 0; j < SUM_LANES; j++)
		lane[j] = -INFINITY;
	for (; i + SUM_LANES <= n; i += SUM_LANES) {
		for (int j = 0; j < SUM_LANES; j++)
			lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
	}
	for (size_t j = 0; i + j < n; j++)
		lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
	for (int j = 1; j < SUM_LANES; j++)
		lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
	return lane[0];
}

/* ---- Layers and optimizers ---- */

static void add_bias(size_t rows, size_t cols, const float *bias, float *y, size_t ldy)
{
	for (size_t r = 0; r < rows; r++, y += ldy) {
		INDEPENDENT
		for (size_t c = 0; c < cols; c++)
			y[c] += bias[c];
	}
}

static bool is_first_maximum(const float *z, uint32_t label, float max)
{
	for (uint32_t c = 0; c < label; c++) {
		if (z[c] == max)
			return false;
	}
	return z[label] == max;
}

static void softmax_cross_entropy(size_t rows, size_t count, size_t classes, const float *logits,
	const uint32_t *labels, float *losses, uint8_t *correct, float *dlogits)
{
	const float divisor = (float)count;

	for (size_t r = 0; r < rows; r++) {
		const float *z = logits + r * classes;
		float *d = dlogits == NULL ? NULL : dlogits + r * classes;
		float max = maximum(classes, z);
		float chosen = z[labels[r]] - max;
		float whole;

		correct[r] = is_first_maximum(z, labels[r], max);
		if (d == NULL) {
			losses[r] = log_one(total(TERM_EXP, classes, z, max)) - chosen;
			continue;
		}
		exp_shifted(classes, z, max, d); /* z may be d: not read again */
		whole = sum(classes, d);
		losses[r] = log_one(whole) - chosen;
		INDEPENDENT
		for (size_t c = 0; c < classes; c++)
			d[c] = (d[c] / whole - (c == labels[r] ? 1.0f : 0.0f)) / divisor;
	}
}

static void adamw(
	size_t n, const struct adamw_step *step, const float *g, float *m, float *v, float *w)
{
	const float beta1 = step->beta1, beta2 = step->beta2;
	const float rest1 = 1.0f - beta1, rest2 = 1.0f - beta2;
	const float scale = step->gradient_scale, epsilon = step->epsilon;
	const float rate = step->learning_rate / step->bias1;
	const float decay = step->learning_rate * step->weight_decay;
	const float root = 1.0f / __builtin_sqrtf(step->bias2);

	INDEPENDENT
	for (size_t i = 0; i < n; i++) {
		float gi = g[i] * scale;
		float mi = fused(beta1, m[i], rest1 * gi);
		float vi = fused(beta2, v[i], rest2 * gi * gi);
		float wi = fused(-decay, w[i], w[i]);

		m[i] = mi;
		v[i] = vi;
		w[i] = fused(-rate, mi / fused(__builtin_sqrtf(vi), root, epsilon), wi);
	}
}

static void sgd(size_t n, const struct sgd_step *step, const float *g, float *v, float *w)
{
	const float rate = step->learning_rate, momentum = step->momentum;
	const float decay = rate * step->weight_decay, scale = step->gradient_scale;

	if (momentum == 0.0f) {
		INDEPENDENT
		for (size_t i = 0; i < n; i++)
			w[i] = fused(-rate, g[i] * scale, fused(-decay, w[i], w[i]));
		return;
	}
	if (step->nesterov) {
		INDEPENDENT
		for (size_t i = 0; i < n; i++) {
			float gi = g[i] * scale;
			float vi = fused(momentum, v[i], gi);

			v[i] = vi;
			w[i] = fused(-rate, fused(momentum, vi, gi), fused(-decay, w[i], w[i]));
		}
		return;
	}
	INDEPENDENT
	for (size_t i = 0; i < n; i++) {
		v[i] = fused(momentum, v[i], g[i] * scale);
		w[i] = fused(-rate, v[i], fused(-decay, w[i], w[i]));
	}
}

#define PASTE(a, b)	a##b
#define ENGINE(name)	PASTE(engine_, name)
#define TEXT(name)	#name
#define NAME_TEXT(name) TEXT(name)

extern const struct engine ENGINE(KERNEL_ENGINE);
const struct engine ENGINE(KERNEL_ENGINE) = {
	.name = NAME_TEXT(KERNEL_ENGINE),
	.gemm = gemm,
	.sum = sum,
	.sum_squares = sum_squares,
	.column_sums = column_sums,
	.add_bias = add_bias,
	.exp = each_exp,
	.log = each_log,
	.tanh = each_tanh,
	.relu = each_relu,
	.tanh_backward = tanh_backward,
	.relu_backward = relu_backward,
	.conv2d = conv2d,
	.conv2d_backward_input = conv2d_backward_input,
	.conv2d_backward_weight = conv2d_backward_weight,
	.conv2d_workspace = conv2d_workspace,
	.max_pool = max_pool,
	.max_pool_backward = max_pool_backward,
	.average_pool = average_pool,
	.average_pool_backward = average_pool_backward,
	.softmax_cross_entropy = softmax_cross_entropy,
	.adamw = adamw,
	.sgd = sgd,
};
