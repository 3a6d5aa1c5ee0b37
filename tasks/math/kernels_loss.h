/* For kernels.c alone: losses of the rows of a batch, and their gradients. */
#ifndef TASKS_MATH_KERNELS_LOSS_H
#define TASKS_MATH_KERNELS_LOSS_H

#include "tasks/math/kernels_functions.h"
#include "tasks/math/kernels_lanes.h"
#include "tasks/math/kernels_sums.h"

static bool is_first_maximum(const float *z, uint32_t label, float max)
{
	for (uint32_t c = 0; c < label; c++) {
		if (z[c] == max)
			return false;
	}
	return z[label] == max;
}

/* d = d / whole / divisor */
INLINE void divide_row(size_t n, float whole, float divisor, float *d)
{
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		vec_store(d + i, vec_load(d + i) / whole / divisor);
	if (i < n)
		vec_store_first(d + i, n - i, vec_load_first(d + i, n - i) / whole / divisor);
}

static void softmax_cross_entropy(size_t rows, size_t count, size_t classes, const float *logits,
	const uint32_t *labels, float *losses, uint8_t *correct, float *dlogits)
{
	const float divisor = (float)count;

	for (size_t r = 0; r < rows; r++) {
		const float *z = logits + r * classes;
		float *d = dlogits == NULL ? NULL : dlogits + r * classes;
		float max = maximum(classes, z, 1.0f);
		struct terms t = {.x = z, .scale = 1.0f, .shift = max, .out = d};
		float chosen = z[labels[r]] - max, whole, e;

		correct[r] = is_first_maximum(z, labels[r], max);
		whole = total(block_of_exponentials, &t, classes); /* z may be d: gone now */
		losses[r] = log_one(whole) - chosen;
		if (d == NULL)
			continue;
		e = d[labels[r]];
		divide_row(classes, whole, divisor, d);
		d[labels[r]] = (e / whole - 1.0f) / divisor;
	}
}

static void binary_cross_entropy(size_t rows, size_t count, const float *logits,
	const uint32_t *labels, float *losses, uint8_t *correct, float *dlogits)
{
	const vec divisor = vec_splat((float)count), zero = {0};

	for (size_t r = 0; r < rows; r += LANES) {
		size_t n = rows - r < LANES ? rows - r : LANES;
		float one[LANES] = {0};
		vec z = vec_get(logits + r, n), label, loss, against;

		for (size_t i = 0; i < n; i++) {
			bool is_one = labels[r + i] != 0;

			one[i] = is_one ? 1.0f : 0.0f;
			correct[r + i] = is_one ? z[i] > 0.0f : z[i] <= 0.0f;
		}
		label = vec_load(one);
		against = vec_if_greater(label, zero, -z, z); /* what the loss grows with */
		loss = vec_log(1.0f + vec_exp((vec)((uvec)z | SIGN_BIT)));
		vec_put(losses + r, n, loss + vec_most(against, zero));
		if (dlogits != NULL)
			vec_put(dlogits + r, n, (vec_sigmoid(z) - label) / divisor);
	}
}

INLINE void squared_error_part(const struct terms *t, float divisor, size_t i, size_t n, float *dy)
{
	vec d = vec_get(t->x + i, n) - vec_get(t->y + i, n);

	vec_put(dy + i, n, 2.0f * d / divisor);
}

static void squared_error(size_t rows, size_t count, size_t cols, const float *y,
	const float *targets, float *losses, float *dy)
{
	const float divisor = (float)count * (float)cols;

	for (size_t r = 0; r < rows; r++, y += cols, targets += cols) {
		struct terms t = {.x = y, .y = targets};
		size_t i = 0;

		losses[r] = total(block_of_differences, &t, cols) / (float)cols;
		if (dy == NULL)
			continue;
		for (; i + LANES <= cols; i += LANES)
			squared_error_part(&t, divisor, i, LANES, dy + r * cols);
		if (i < cols)
			squared_error_part(&t, divisor, i, cols - i, dy + r * cols);
	}
}

#endif
