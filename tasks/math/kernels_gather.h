/* For kernels.c alone: products whose left factor is gathered from an image instead of being stored as
 * a matrix, which is what a convolution and both of its gradients are.
 *
 * Element (r, k) of the left factor is x[row[r] + step[k]]: r counts windows and k the places within
 * one, or the other way round. The right factor is packed in blocks of GATHER_WIDTH columns. Every
 * element of the product is one chain over k ascending. */
#ifndef TASKS_MATH_KERNELS_GATHER_H
#define TASKS_MATH_KERNELS_GATHER_H

#include "tasks/math/kernels_gemm_pack.h"

/* Accumulators GATHER_ROWS × 2, two vectors of the right factor and one of the left fit the registers. */
#if defined(__AVX512F__)
#define GATHER_ROWS 14
#elif defined(__AVX2__)
#define GATHER_ROWS 6
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define GATHER_ROWS 14
#else
#define GATHER_ROWS 4
#endif
#define GATHER_WIDTH (2 * LANES)
#define GATHER_BLOCK 256

struct gather {
	const float *x;
	const uint32_t *row, *step;
	size_t depth;
	const float *right; /* (depth, vectors · LANES) */
	const float *start; /* what row r of the product starts from, at r · start_ld */
	size_t start_ld;
	float *product; /* (rows, GATHER_WIDTH) */
};

INLINE void gather_tile(const int rows, const int vectors, const struct gather *g)
{
	const float *x[GATHER_ROWS], *right = g->right;
	vec sum[GATHER_ROWS][2];

	UNROLL
	for (int r = 0; r < rows; r++) {
		x[r] = g->x + g->row[r];
		UNROLL
		for (int v = 0; v < vectors; v++)
			sum[r][v] = vec_load(g->start + (size_t)r * g->start_ld + v * LANES);
	}
	for (const uint32_t *step = g->step, *end = step + g->depth; step < end; step++) {
		vec b[2];

		UNROLL
		for (int v = 0; v < vectors; v++)
			b[v] = vec_load(right + v * LANES);
		UNROLL
		for (int r = 0; r < rows; r++) {
			vec a = vec_splat(x[r][*step]);

			UNROLL
			for (int v = 0; v < vectors; v++)
				sum[r][v] = vec_fma(a, b[v], sum[r][v]);
		}
		right += vectors * LANES;
	}
	UNROLL
	for (int r = 0; r < rows; r++) {
		UNROLL
		for (int v = 0; v < vectors; v++)
			vec_store(g->product + r * GATHER_WIDTH + v * LANES, sum[r][v]);
	}
}

static void gather_tile_run(size_t rows, size_t vectors, const struct gather *g)
{
#define TILE(r)                                                                                    \
	if ((r) <= GATHER_ROWS && rows == (r)) {                                                   \
		if (vectors == 2)                                                                  \
			gather_tile((r) <= GATHER_ROWS ? (r) : 1, 2, g);                           \
		else                                                                               \
			gather_tile((r) <= GATHER_ROWS ? (r) : 1, 1, g);                           \
		return;                                                                            \
	}
	TILE(14)
	TILE(13)
	TILE(12)
	TILE(11) TILE(10) TILE(9) TILE(8) TILE(7) TILE(6) TILE(5) TILE(4) TILE(3) TILE(2) TILE(1)
#undef TILE
}

/* All rows of the product, for at most GATHER_WIDTH columns, in tiles of nearly equal size. */
static void gather_multiply(size_t rows, size_t columns, struct gather g)
{
	size_t vectors = (columns + LANES - 1) / LANES;

	for (size_t tiles = (rows + GATHER_ROWS - 1) / GATHER_ROWS; tiles > 0; tiles--) {
		size_t part = (rows + tiles - 1) / tiles;

		gather_tile_run(part, vectors, &g);
		g.row += part;
		g.start += part * g.start_ld;
		g.product += part * GATHER_WIDTH;
		rows -= part;
	}
}

/* to(cols, rows) = from(rows, cols), transposed. */
static void transpose(
	size_t rows, size_t cols, const float *from, size_t ld_from, float *to, size_t ld_to)
{
	if (rows < LANES || cols < TURN_COLUMNS) {
		for (size_t r = 0; r < rows; r++) {
			for (size_t c = 0; c < cols; c++)
				to[c * ld_to + r] = from[r * ld_from + c];
		}
		return;
	}
	for (size_t r = 0; r < rows; r += LANES) {
		size_t top = r + LANES <= rows ? r : rows - LANES; /* the last ones overlap */
		const float *volatile row[LANES];
		vec v[TURN_COLUMNS];

		for (size_t i = 0; i < LANES; i++)
			row[i] = from + (top + i) * ld_from;
		for (size_t c = 0; c < cols; c += TURN_COLUMNS) {
			size_t left = c + TURN_COLUMNS <= cols ? c : cols - TURN_COLUMNS;

			rows_turn(row, left, TURN_COLUMNS, v);
			UNROLL
			for (size_t i = 0; i < TURN_COLUMNS; i++)
				vec_store(to + (left + i) * ld_to + top, v[i]);
		}
	}
}

#endif
