/* For kernels.c alone: sums over 16 lanes in blocks of 4,096, maxima, sums of columns. */
#ifndef TASKS_MATH_KERNELS_SUMS_H
#define TASKS_MATH_KERNELS_SUMS_H

#include "tasks/math/kernels_functions.h"
#include "tasks/math/kernels_vector.h"

#define SUM_LANES 16
#define SUM_BLOCK 4096

INLINE float fold(float lane[SUM_LANES])
{
	for (int half = SUM_LANES / 2; half > 0; half /= 2) {
		for (int i = 0; i < half; i++)
			lane[i] += lane[i + half];
	}
	return lane[0];
}

/* What a sum runs over. Only the fields that its terms read are set. */
struct terms {
	const float *x, *y, *weight;
	float scale, shift;
};

/* The sum of the terms [first, first + n) of one block, n ≤ SUM_BLOCK. */
typedef float block_sum(const struct terms *t, size_t first, size_t n);

/* Blocks of SUM_BLOCK, whose sums are reduced by the same rule: n / SUM_BLOCK^k pieces at depth k. */
static float total(block_sum *block, const struct terms *t, size_t first, size_t n)
{
	float lane[SUM_LANES] = {0};
	size_t piece = SUM_BLOCK;

	if (n <= SUM_BLOCK)
		return block(t, first, n);
	while (piece < n / SUM_BLOCK + (n % SUM_BLOCK != 0))
		piece *= SUM_BLOCK;
	for (size_t i = 0, part = 0; i < n; i += piece, part++)
		lane[part % SUM_LANES] += total(block, t, first + i, n - i < piece ? n - i : piece);
	return fold(lane);
}

/* Adds x, or fuses x² into its lane. */
INLINE float block_values(size_t n, const float *x, const bool squares)
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

static float block_of_values(const struct terms *t, size_t first, size_t n)
{
	return block_values(n, t->x + first, false);
}

static float block_of_squares(const struct terms *t, size_t first, size_t n)
{
	return block_values(n, t->x + first, true);
}

/* Σ exp(scale·x − shift) */
static float block_of_exponentials(const struct terms *t, size_t first, size_t n)
{
	float e[SUM_BLOCK];

	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		e[i] = exp_one(t->scale * t->x[first + i] - t->shift);
	return block_values(n, e, false);
}

/* Σ (x − shift)², fused */
static float block_of_deviations(const struct terms *t, size_t first, size_t n)
{
	float lane[SUM_LANES] = {0};

	for (size_t i = 0; i < n; i++) {
		float d = t->x[first + i] - t->shift;

		lane[i % SUM_LANES] = fused(d, d, lane[i % SUM_LANES]);
	}
	return fold(lane);
}

/* Σ (x − y)², fused */
static float block_of_differences(const struct terms *t, size_t first, size_t n)
{
	float lane[SUM_LANES] = {0};

	for (size_t i = 0; i < n; i++) {
		float d = t->x[first + i] - t->y[first + i];

		lane[i % SUM_LANES] = fused(d, d, lane[i % SUM_LANES]);
	}
	return fold(lane);
}

/* Σ x·y, fused */
static float block_of_products(const struct terms *t, size_t first, size_t n)
{
	float lane[SUM_LANES] = {0};

	for (size_t i = 0; i < n; i++)
		lane[i % SUM_LANES] = fused(t->x[first + i], t->y[first + i], lane[i % SUM_LANES]);
	return fold(lane);
}

static float sum(size_t n, const float *x)
{
	return total(block_of_values, &(struct terms){.x = x}, 0, n);
}

static float sum_squares(size_t n, const float *x)
{
	return total(block_of_squares, &(struct terms){.x = x}, 0, n);
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

#endif
