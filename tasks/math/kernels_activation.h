/* For kernels.c alone: what is computed element by element, forward and backward. */
#ifndef TASKS_MATH_KERNELS_ACTIVATION_H
#define TASKS_MATH_KERNELS_ACTIVATION_H

#include "tasks/math/kernels_functions.h"
#include "tasks/math/kernels_vector.h"
#include "tasks/math/philox.h"

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

static void each_erf(size_t n, const float *x, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] = erf_one(x[i]);
}

static void each_sigmoid(size_t n, const float *x, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] = sigmoid_one(x[i]);
}

static void each_gelu(size_t n, const float *x, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] = gelu_one(x[i]);
}

static void each_silu(size_t n, const float *x, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * sigmoid_one(x[i]);
}

static void sigmoid_backward(size_t n, const float *y, const float *dy, float *dx)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		dx[i] = dy[i] * fused(-y[i], y[i], y[i]);
}

static void gelu_backward(size_t n, const float *x, const float *dy, float *dx)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		dx[i] = dy[i] * gelu_slope(x[i]);
}

static void silu_backward(size_t n, const float *x, const float *dy, float *dx)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		dx[i] = dy[i] * silu_slope(x[i]);
}

static void add(size_t n, const float *x, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] += x[i];
}

static void dropout(size_t n, float rate, uint64_t seed, uint32_t stream, uint32_t lane,
	uint64_t first, const float *x, float *y)
{
	const float factor = 1.0f / (1.0f - rate);

	for (size_t i = 0; i < n; i++) {
		uint64_t e = first + i;
		uint32_t word[4];

		philox(word, seed, stream, lane, e / 64 * 16 + e % 16);
		y[i] = (float)(word[e / 16 % 4] >> 8) * 0x1p-24f >= rate ? x[i] * factor : 0.0f;
	}
}

#endif
