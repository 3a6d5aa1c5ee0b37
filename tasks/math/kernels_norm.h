/* For kernels.c alone: layer norm and the way back through it. */
#ifndef TASKS_MATH_KERNELS_NORM_H
#define TASKS_MATH_KERNELS_NORM_H

#include "tasks/math/kernels_lanes.h"
#include "tasks/math/kernels_sums.h"

#define NORM_EPSILON 1e-5f

/* Element i and its neighbours of a factor that may be missing. */
INLINE vec get_or(const float *p, size_t i, size_t n, float missing)
{
	return p == NULL ? vec_splat(missing) : vec_get(p + i, n);
}

INLINE void norm_part(const struct terms *t, const float *bias, size_t i, size_t n, float *y)
{
	vec h = (vec_get(t->x + i, n) - t->shift) * t->scale;

	vec_put(y + i, n, vec_fma(h, get_or(t->weight, i, n, 1.0f), get_or(bias, i, n, 0.0f)));
}

static void layer_norm(size_t rows, size_t cols, const float *x, const float *weight,
	const float *bias, float *y, float *mean, float *rstd)
{
	for (size_t r = 0; r < rows; r++, x += cols, y += cols) {
		struct terms t = {.x = x, .weight = weight};
		size_t i = 0;

		t.shift = total(block_of_values, &t, cols) / (float)cols;
		t.scale = total(block_of_deviations, &t, cols) / (float)cols;
		t.scale = 1.0f / __builtin_sqrtf(t.scale + NORM_EPSILON);
		for (; i + LANES <= cols; i += LANES)
			norm_part(&t, bias, i, LANES, y);
		if (i < cols)
			norm_part(&t, bias, i, cols - i, y);
		mean[r] = t.shift;
		rstd[r] = t.scale;
	}
}

/* x is dy, y the input of the norm. */
INLINE vec weighted_gradient(const struct terms *t, size_t i, size_t n)
{
	return vec_get(t->x + i, n) * get_or(t->weight, i, n, 1.0f);
}

INLINE vec normed_input(const struct terms *t, size_t i, size_t n)
{
	return (vec_get(t->y + i, n) - t->shift) * t->scale;
}

INLINE vec add_gradient(vec sum, const struct terms *t, size_t i, size_t n)
{
	return sum + weighted_gradient(t, i, n);
}

INLINE vec add_projection(vec sum, const struct terms *t, size_t i, size_t n)
{
	return vec_fma(weighted_gradient(t, i, n), normed_input(t, i, n), sum);
}

BLOCK_OF(gradient)
BLOCK_OF(projection)

INLINE void norm_backward_part(
	const struct terms *t, float a, float b, size_t i, size_t n, float *dx)
{
	vec g = weighted_gradient(t, i, n), h = normed_input(t, i, n);

	vec_put(dx + i, n, t->scale * vec_fma(-h, vec_splat(b), g - a));
}

static void layer_norm_backward(size_t rows, size_t cols, const float *x, const float *weight,
	const float *mean, const float *rstd, const float *dy, float *dx)
{
	for (size_t r = 0; r < rows; r++, x += cols, dy += cols, dx += cols) {
		const struct terms t = {
			.x = dy, .y = x, .weight = weight, .scale = rstd[r], .shift = mean[r]};
		float a = total(block_of_gradients, &t, cols) / (float)cols;
		float b = total(block_of_projections, &t, cols) / (float)cols;
		size_t i = 0;

		for (; i + LANES <= cols; i += LANES)
			norm_backward_part(&t, a, b, i, LANES, dx);
		if (i < cols)
			norm_backward_part(&t, a, b, i, cols - i, dx);
	}
}

static void layer_norm_gradient(size_t rows, size_t cols, const float *x, const float *mean,
	const float *rstd, const float *dy, float *dweight, float *dbias)
{
	if (dbias != NULL)
		column_sums(rows, cols, dy, cols, dbias);
	if (dweight != NULL)
		all_strips(rows, cols, cols, dy, x, mean, rstd, dweight);
}

#endif
