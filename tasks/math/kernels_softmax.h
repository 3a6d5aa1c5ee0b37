/* For kernels.c alone: softmax and the way back through it. */
#ifndef TASKS_MATH_KERNELS_SOFTMAX_H
#define TASKS_MATH_KERNELS_SOFTMAX_H

#include "tasks/math/kernels_lanes.h"
#include "tasks/math/kernels_sums.h"

INLINE void scale_row(size_t n, float factor, float *y)
{
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		vec_store(y + i, factor * vec_load(y + i));
	if (i < n)
		vec_store_first(y + i, n - i, factor * vec_load_first(y + i, n - i));
}

static void softmax(
	size_t rows, size_t cols, size_t ld, size_t visible, float scale, const float *x, float *y)
{
	for (size_t r = 0; r < rows; r++, x += ld, y += ld) {
		size_t n = visible < cols && r < cols - visible ? visible + r : cols;
		struct terms t = {.x = x, .scale = scale, .out = y};

		t.shift = maximum(n, x, scale);
		scale_row(n, 1.0f / total(block_of_exponentials, &t, n), y);
		if (n < cols)
			memset(y + n, 0, (cols - n) * sizeof(*y));
	}
}

INLINE void softmax_backward_part(const struct terms *t, size_t i, size_t n, float *dx)
{
	vec y = vec_get(t->x + i, n), dy = vec_get(t->y + i, n);

	vec_put(dx + i, n, y * (dy - t->shift) * t->scale);
}

static void softmax_backward(size_t rows, size_t cols, size_t ld, float scale, const float *y,
	const float *dy, float *dx)
{
	for (size_t r = 0; r < rows; r++, y += ld, dy += ld, dx += ld) {
		struct terms t = {.x = y, .y = dy, .scale = scale};
		size_t i = 0;

		t.shift = total(block_of_products, &t, cols);
		for (; i + LANES <= cols; i += LANES)
			softmax_backward_part(&t, i, LANES, dx);
		if (i < cols)
			softmax_backward_part(&t, i, cols - i, dx);
	}
}

#endif
