/* For kernels.c alone: losses of the rows of a batch, and their gradients. */
#ifndef TASKS_MATH_KERNELS_LOSS_H
#define TASKS_MATH_KERNELS_LOSS_H

#include "tasks/math/kernels_functions.h"
#include "tasks/math/kernels_sums.h"
#include "tasks/math/kernels_vector.h"

static void exp_shifted(size_t n, const float *x, float shift, float *y)
{
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		y[i] = exp_one(x[i] - shift);
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
			losses[r] = log_one(total(block_of_exponentials,
					    &(struct terms){.x = z, .scale = 1.0f, .shift = max}, 0,
					    classes)) -
				    chosen;
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

static void binary_cross_entropy(size_t rows, size_t count, const float *logits,
	const uint32_t *labels, float *losses, uint8_t *correct, float *dlogits)
{
	const float divisor = (float)count;

	for (size_t r = 0; r < rows; r++) {
		float z = logits[r];
		bool one = labels[r] != 0;
		float s = one ? -z : z; /* what the loss grows with */

		correct[r] = one ? z > 0.0f : z <= 0.0f;
		losses[r] = log_one(1.0f + exp_one(from_bits(bits_of(z) | 0x80000000u))) +
			    (s > 0.0f ? s : 0.0f);
		if (dlogits != NULL)
			dlogits[r] = (sigmoid_one(z) - (one ? 1.0f : 0.0f)) / divisor;
	}
}

static void squared_error(size_t rows, size_t count, size_t cols, const float *y,
	const float *targets, float *losses, float *dy)
{
	const float divisor = (float)count * (float)cols;

	for (size_t r = 0; r < rows; r++, y += cols, targets += cols) {
		losses[r] = total(block_of_differences, &(struct terms){.x = y, .y = targets}, 0,
				    cols) /
			    (float)cols;
		if (dy == NULL)
			continue;
		INDEPENDENT
		for (size_t c = 0; c < cols; c++)
			dy[r * cols + c] = 2.0f * (y[c] - targets[c]) / divisor;
	}
}

#endif
