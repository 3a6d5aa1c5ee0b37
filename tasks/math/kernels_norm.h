/* For kernels.c alone: layer norm and the way back through it. */
#ifndef TASKS_MATH_KERNELS_NORM_H
#define TASKS_MATH_KERNELS_NORM_H

#include "tasks/math/kernels_sums.h"
#include "tasks/math/kernels_vector.h"

#define NORM_EPSILON 1e-5f

static void layer_norm(size_t rows, size_t cols, const float *x, const float *weight,
	const float *bias, float *y, float *mean, float *rstd)
{
	for (size_t r = 0; r < rows; r++, x += cols, y += cols) {
		float m = sum(cols, x) / (float)cols;
		float variance =
			total(block_of_deviations, &(struct terms){.x = x, .shift = m}, 0, cols) /
			(float)cols;
		float s = 1.0f / __builtin_sqrtf(variance + NORM_EPSILON);

		for (size_t c = 0; c < cols; c++)
			y[c] = fused((x[c] - m) * s, weight == NULL ? 1.0f : weight[c],
				bias == NULL ? 0.0f : bias[c]);
		mean[r] = m;
		rstd[r] = s;
	}
}

/* Σ dy·weight, added: x is dy */
static float block_of_weighted(const struct terms *t, size_t first, size_t n)
{
	float lane[SUM_LANES] = {0};

	for (size_t i = 0; i < n; i++)
		lane[i % SUM_LANES] +=
			t->x[first + i] * (t->weight == NULL ? 1.0f : t->weight[first + i]);
	return fold(lane);
}

/* Σ dy·weight·(y − shift)·scale, fused: x is dy */
static float block_of_weighted_products(const struct terms *t, size_t first, size_t n)
{
	float lane[SUM_LANES] = {0};

	for (size_t i = 0; i < n; i++) {
		float g = t->x[first + i] * (t->weight == NULL ? 1.0f : t->weight[first + i]);
		float h = (t->y[first + i] - t->shift) * t->scale;

		lane[i % SUM_LANES] = fused(g, h, lane[i % SUM_LANES]);
	}
	return fold(lane);
}

static void layer_norm_backward(size_t rows, size_t cols, const float *x, const float *weight,
	const float *mean, const float *rstd, const float *dy, float *dx)
{
	for (size_t r = 0; r < rows; r++, x += cols, dy += cols, dx += cols) {
		const struct terms t = {
			.x = dy, .y = x, .weight = weight, .scale = rstd[r], .shift = mean[r]};
		float a = total(block_of_weighted, &t, 0, cols) / (float)cols;
		float b = total(block_of_weighted_products, &t, 0, cols) / (float)cols;

		for (size_t c = 0; c < cols; c++) {
			float g = dy[c] * (weight == NULL ? 1.0f : weight[c]);
			float h = (x[c] - mean[r]) * rstd[r];

			dx[c] = rstd[r] * fused(-h, b, g - a);
		}
	}
}

static void layer_norm_gradient(size_t rows, size_t cols, const float *x, const float *mean,
	const float *rstd, const float *dy, float *dweight, float *dbias)
{
	if (dbias != NULL)
		column_sums(rows, cols, dy, cols, dbias);
	for (size_t c = 0; dweight != NULL && c < cols; c++) {
		float whole = 0;

		for (size_t r = 0; r < rows;) {
			size_t end = rows - r < SUM_BLOCK ? rows : r + SUM_BLOCK;
			float block = 0;

			for (; r < end; r++)
				block = fused(dy[r * cols + c],
					(x[r * cols + c] - mean[r]) * rstd[r], block);
			whole += block;
		}
		dweight[c] = whole;
	}
}

#endif
