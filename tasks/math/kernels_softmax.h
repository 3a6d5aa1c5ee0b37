/* For kernels.c alone: softmax and the way back through it. */
#ifndef TASKS_MATH_KERNELS_SOFTMAX_H
#define TASKS_MATH_KERNELS_SOFTMAX_H

#include "tasks/math/kernels_functions.h"
#include "tasks/math/kernels_sums.h"
#include "tasks/math/kernels_vector.h"

static void softmax(
	size_t rows, size_t cols, size_t ld, size_t visible, float scale, const float *x, float *y)
{
	for (size_t r = 0; r < rows; r++, x += ld, y += ld) {
		size_t n = visible < cols && r < cols - visible ? visible + r : cols;
		float max, inverse;

		INDEPENDENT
		for (size_t c = 0; c < n; c++)
			y[c] = x[c] * scale;
		max = maximum(n, y);
		INDEPENDENT
		for (size_t c = 0; c < n; c++)
			y[c] = exp_one(y[c] - max);
		inverse = 1.0f / sum(n, y);
		INDEPENDENT
		for (size_t c = 0; c < n; c++)
			y[c] *= inverse;
		for (size_t c = n; c < cols; c++)
			y[c] = 0.0f;
	}
}

static void softmax_backward(size_t rows, size_t cols, size_t ld, float scale, const float *y,
	const float *dy, float *dx)
{
	for (size_t r = 0; r < rows; r++, y += ld, dy += ld, dx += ld) {
		float whole = total(block_of_products, &(struct terms){.x = y, .y = dy}, 0, cols);

		INDEPENDENT
		for (size_t c = 0; c < cols; c++)
			dx[c] = y[c] * (dy[c] - whole) * scale;
	}
}

#endif
