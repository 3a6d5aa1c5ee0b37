/* The operations of struct engine, as NUMERICS.md specifies them; the only source of all engines.
 *
 * The Makefile compiles this file once for each instruction set, with KERNEL_ENGINE as its name. The
 * bits never depend on that: each output element is one fixed sequence of IEEE operations, and vectors
 * only run several such sequences side by side. Nothing here allocates, and nothing looks at the CPU
 * or the number of threads. */
#include "tasks/math/engine.h"

#include "tasks/math/kernels_activation.h"
#include "tasks/math/kernels_compress.h"
#include "tasks/math/kernels_conv.h"
#include "tasks/math/kernels_dropout.h"
#include "tasks/math/kernels_functions.h"
#include "tasks/math/kernels_gemm.h"
#include "tasks/math/kernels_lanes.h"
#include "tasks/math/kernels_loss.h"
#include "tasks/math/kernels_norm.h"
#include "tasks/math/kernels_pool.h"
#include "tasks/math/kernels_softmax.h"
#include "tasks/math/kernels_sparse.h"
#include "tasks/math/kernels_sums.h"
#include "tasks/math/kernels_vector.h"

/* ---- Layers and optimizers ---- */

static void add_bias(size_t rows, size_t cols, const float *bias, float *y, size_t ldy)
{
	for (size_t r = 0; r < rows; r++, y += ldy) {
		INDEPENDENT
		for (size_t c = 0; c < cols; c++)
			y[c] += bias[c];
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
	.erf = each_erf,
	.sigmoid = each_sigmoid,
	.gelu = each_gelu,
	.silu = each_silu,
	.sigmoid_backward = sigmoid_backward,
	.gelu_backward = gelu_backward,
	.silu_backward = silu_backward,
	.add = add,
	.dropout = dropout,
	.layer_norm = layer_norm,
	.layer_norm_backward = layer_norm_backward,
	.layer_norm_gradient = layer_norm_gradient,
	.softmax = softmax,
	.softmax_backward = softmax_backward,
	.binary_cross_entropy = binary_cross_entropy,
	.squared_error = squared_error,
	.softmax_cross_entropy = softmax_cross_entropy,
	.adamw = adamw,
	.sgd = sgd,
	.fp32_pack = fp32_pack,
	.fp16_pack = fp16_pack,
	.bf16_pack = bf16_pack,
	.int8_pack = int8_pack,
	.fp32_add = fp32_add,
	.fp16_add = fp16_add,
	.bf16_add = bf16_add,
	.int8_add = int8_add,
	.sparse_fits = sparse_fits,
	.sparse_pack = sparse_pack,
};
