/* For kernels.c alone: sums over 16 lanes in blocks of 4,096, maxima, sums of columns. */
#ifndef TASKS_MATH_KERNELS_SUMS_H
#define TASKS_MATH_KERNELS_SUMS_H

#include "tasks/math/kernels_functions.h"
#include "tasks/math/kernels_lanes.h"

#define SUM_LANES   16
#define SUM_VECTORS (SUM_LANES / LANES)
#define SUM_BLOCK   4096

/* lane[i] = f(lane[i], lane[i + half]) for half = 8, 4, 2, 1 */
INLINE float fold(const vec lanes[SUM_VECTORS], float (*f)(float, float))
{
	float lane[SUM_LANES];

	memcpy(lane, lanes, sizeof(lane));
	UNROLL
	for (int half = SUM_LANES / 2; half > 0; half /= 2) {
		UNROLL
		for (int i = 0; i < half; i++)
			lane[i] = f(lane[i], lane[i + half]);
	}
	return lane[0];
}

INLINE float float_sum(float a, float b)
{
	return a + b;
}

INLINE float float_most(float a, float b)
{
	return b > a ? b : a;
}

/* What a sum runs over; only the fields that its terms read are set. */
struct terms {
	const float *x, *y, *weight;
	float scale, shift;
	float *out; /* the terms themselves, unless NULL */
};

/* sum + the terms at [i, i + n), n ≤ LANES; lanes from n on stay as they are. */
typedef vec term_add(vec sum, const struct terms *t, size_t i, size_t n);

/* One block: the terms [first, first + n), n ≤ SUM_BLOCK. */
typedef float block_sum(const struct terms *t, size_t first, size_t n);

INLINE float block_of(const struct terms *t, size_t first, size_t n, term_add *add_term)
{
	vec sum[SUM_VECTORS] = {0};
	size_t i = first, end = first + n;

	for (; i + SUM_LANES <= end; i += SUM_LANES) {
		UNROLL
		for (int v = 0; v < SUM_VECTORS; v++)
			sum[v] = add_term(sum[v], t, i + (size_t)v * LANES, LANES);
	}
	UNROLL
	for (int v = 0; v < SUM_VECTORS; v++) {
		if (i < end)
			sum[v] = add_term(sum[v], t, i, end - i < LANES ? end - i : LANES);
		i += LANES;
	}
	return fold(sum, float_sum);
}

/* Blocks of SUM_BLOCK, whose sums are reduced by the same rule: n / SUM_BLOCK^k pieces at depth k. */
static float total_of_blocks(block_sum *block, const struct terms *t, size_t first, size_t n)
{
	float lane[SUM_LANES] = {0};
	vec lanes[SUM_VECTORS];
	size_t piece = SUM_BLOCK;

	if (n <= SUM_BLOCK)
		return block(t, first, n);
	while (piece < n / SUM_BLOCK + (n % SUM_BLOCK != 0))
		piece *= SUM_BLOCK;
	for (size_t i = 0, part = 0; i < n; i += piece, part++)
		lane[part % SUM_LANES] +=
			total_of_blocks(block, t, first + i, n - i < piece ? n - i : piece);
	memcpy(lanes, lane, sizeof(lanes));
	return fold(lanes, float_sum);
}

INLINE float total(block_sum *block, const struct terms *t, size_t n)
{
	return n <= SUM_BLOCK ? block(t, 0, n) : total_of_blocks(block, t, 0, n);
}

INLINE vec add_value(vec sum, const struct terms *t, size_t i, size_t n)
{
	return sum + vec_get(t->x + i, n);
}

INLINE vec add_square(vec sum, const struct terms *t, size_t i, size_t n)
{
	vec x = vec_get(t->x + i, n);

	return vec_fma(x, x, sum);
}

INLINE vec add_product(vec sum, const struct terms *t, size_t i, size_t n)
{
	return vec_fma(vec_get(t->x + i, n), vec_get(t->y + i, n), sum);
}

/* (x − shift)² */
INLINE vec add_deviation(vec sum, const struct terms *t, size_t i, size_t n)
{
	vec d = vec_get(t->x + i, n) - t->shift;

	d = n == LANES ? d : vec_pad(d, n, (vec){0});
	return vec_fma(d, d, sum);
}

/* (x − y)² */
INLINE vec add_difference(vec sum, const struct terms *t, size_t i, size_t n)
{
	vec d = vec_get(t->x + i, n) - vec_get(t->y + i, n);

	return vec_fma(d, d, sum);
}

/* exp(scale·x − shift) */
INLINE vec add_exponential(vec sum, const struct terms *t, size_t i, size_t n)
{
	vec e = vec_exp(t->scale * vec_get(t->x + i, n) - t->shift);

	if (t->out != NULL)
		vec_put(t->out + i, n, e);
	return sum + (n == LANES ? e : vec_pad(e, n, (vec){0}));
}

#define BLOCK_OF(name)                                                                             \
	static float block_of_##name##s(const struct terms *t, size_t first, size_t n)             \
	{                                                                                          \
		return block_of(t, first, n, add_##name);                                          \
	}
BLOCK_OF(value)
BLOCK_OF(square)
BLOCK_OF(product)
BLOCK_OF(deviation)
BLOCK_OF(difference)
BLOCK_OF(exponential)

static float sum(size_t n, const float *x)
{
	return total(block_of_values, &(struct terms){.x = x}, n);
}

static float sum_squares(size_t n, const float *x)
{
	return total(block_of_squares, &(struct terms){.x = x}, n);
}

/* The maximum of scale·x, from −∞. */
INLINE float maximum(size_t n, const float *x, float scale)
{
	vec most[SUM_VECTORS];
	size_t i = 0;

	for (int v = 0; v < SUM_VECTORS; v++)
		most[v] = vec_splat(-INFINITY);
	for (; i + SUM_LANES <= n; i += SUM_LANES) {
		UNROLL
		for (int v = 0; v < SUM_VECTORS; v++)
			most[v] = vec_most(scale * vec_load(x + i + v * LANES), most[v]);
	}
	for (; i < n; i += LANES) {
		size_t part = n - i < LANES ? n - i : LANES;
		vec rest = scale * vec_get(x + i, part);

		most[0] = vec_most(vec_pad(rest, part, most[0]), most[0]);
	}
	return fold(most, float_most);
}

/* A strip of columns; the last of its vectors may be a part of one. */
enum { STRIP_VECTORS = 4 };

struct strip {
	size_t rows, ld, vectors, last; /* last: lanes of the last vector */
};

/* The columns of the next strip, STRIP_VECTORS at most. */
INLINE struct strip strip_of(size_t rows, size_t ld, size_t cols)
{
	size_t vectors = (cols + LANES - 1) / LANES;

	if (vectors > STRIP_VECTORS)
		return (struct strip){rows, ld, STRIP_VECTORS, LANES};
	return (struct strip){rows, ld, vectors, cols - (vectors - 1) * LANES};
}

/* out[c] = Σ over rows of x, or of fma(x, (h − mean[r])·rstd[r], …) when h is not NULL. */
INLINE void strip_sums(const struct strip *s, const size_t vectors, const float *x, const float *h,
	const float *mean, const float *rstd, float *out)
{
	vec whole[STRIP_VECTORS] = {0};

	for (size_t r = 0; r < s->rows;) {
		size_t end = s->rows - r < SUM_BLOCK ? s->rows : r + SUM_BLOCK;
		vec block[STRIP_VECTORS] = {0};

		for (; r < end; r++) {
			UNROLL
			for (size_t v = 0; v < vectors; v++) {
				size_t n = v + 1 < vectors ? LANES : s->last;
				size_t at = r * s->ld + v * LANES;
				vec value = vec_get(x + at, n);

				if (h == NULL)
					block[v] += value;
				else
					block[v] = vec_fma(value,
						(vec_get(h + at, n) - mean[r]) * rstd[r], block[v]);
			}
		}
		UNROLL
		for (size_t v = 0; v < vectors; v++)
			whole[v] += block[v];
	}
	for (size_t v = 0; v < vectors; v++)
		vec_put(out + v * LANES, v + 1 < vectors ? LANES : s->last, whole[v]);
}

INLINE void all_strips(size_t rows, size_t cols, size_t ld, const float *x, const float *h,
	const float *mean, const float *rstd, float *out)
{
	for (size_t c = 0; c < cols; c += STRIP_VECTORS * LANES) {
		struct strip s = strip_of(rows, ld, cols - c);
		const float *hc = h == NULL ? NULL : h + c;

		switch (s.vectors) {
		case 1:
			strip_sums(&s, 1, x + c, hc, mean, rstd, out + c);
			break;
		case 2:
			strip_sums(&s, 2, x + c, hc, mean, rstd, out + c);
			break;
		case 3:
			strip_sums(&s, 3, x + c, hc, mean, rstd, out + c);
			break;
		default:
			strip_sums(&s, STRIP_VECTORS, x + c, hc, mean, rstd, out + c);
		}
	}
}

static void column_sums(size_t rows, size_t cols, const float *x, size_t ldx, float *out)
{
	all_strips(rows, cols, ldx, x, NULL, NULL, NULL, out);
}

#endif
