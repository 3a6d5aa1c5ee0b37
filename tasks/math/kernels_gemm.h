/* For kernels.c alone: the matrix product.
 *
 * After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): panels of
 * op(B) are packed, a tile of C stays in registers. Every element of C remains one chain over k
 * ascending: a later panel continues from the value that the earlier ones stored. Tiles may reach
 * past the columns of C (the surplus is dropped), never past k. */
#ifndef TASKS_MATH_KERNELS_GEMM_H
#define TASKS_MATH_KERNELS_GEMM_H

#include "tasks/math/kernels_vector.h"

#define PANEL_WIDTH (TILE_VECTORS * LANES)
#define PANEL_DEPTH 256

/* A factor of the product as the tile reads it: element (i, k) is p[i·row + k·step]. */
struct factor {
	const float *p;
	size_t row, step;
};

/* c(rows, vectors·LANES) = chains over depth steps of a and the packed panel b, from +0 or from c. */
INLINE void tile(const int rows, const int vectors, size_t depth, struct factor a, struct factor b,
	float *c, size_t ldc, bool from_c)
{
	vec sum[TILE_ROWS][TILE_VECTORS];

	UNROLL
	for (int i = 0; i < rows; i++) {
		UNROLL
		for (int v = 0; v < vectors; v++)
			sum[i][v] = from_c ? vec_load(c + (size_t)i * ldc + v * LANES) : (vec){0};
	}
	for (size_t k = 0; k < depth; k++, a.p += a.step, b.p += b.step) {
		vec right[TILE_VECTORS];

		UNROLL
		for (int v = 0; v < vectors; v++)
			right[v] = vec_load(b.p + v * LANES);
		UNROLL
		for (int i = 0; i < rows; i++) {
			vec left = vec_splat(a.p[(size_t)i * a.row]);

			UNROLL
			for (int v = 0; v < vectors; v++)
				sum[i][v] = vec_fma(left, right[v], sum[i][v]);
		}
	}
	UNROLL
	for (int i = 0; i < rows; i++) {
		UNROLL
		for (int v = 0; v < vectors; v++)
			vec_store(c + (size_t)i * ldc + v * LANES, sum[i][v]);
	}
}

static void tile_run(size_t rows, size_t vectors, size_t depth, struct factor a, struct factor b,
	float *c, size_t ldc, bool from_c)
{
#define TILE(r, v)                                                                                 \
	if ((r) <= TILE_ROWS && (v) <= TILE_VECTORS && rows == (r) && vectors == (v)) {            \
		tile((r) <= TILE_ROWS ? (r) : 1, (v) <= TILE_VECTORS ? (v) : 1, depth, a, b, c,    \
			ldc, from_c);                                                              \
		return;                                                                            \
	}
#define TILES(r) TILE(r, 3) TILE(r, 2) TILE(r, 1)
	TILES(8) TILES(4) TILES(2) TILES(1)
#undef TILES
#undef TILE
}

/* Columns [0,width) of op(B), rows [0,depth), as rows of `stride` floats; the columns up to stride are
 * zero and their results are dropped. */
static void panel_pack(bool tb, size_t depth, size_t width, const float *B, size_t ldb,
	float *panel, size_t stride)
{
	if (width < stride)
		memset(panel, 0, depth * stride * sizeof(*panel));
	if (!tb) {
		for (size_t k = 0; k < depth; k++)
			memcpy(panel + k * stride, B + k * ldb, width * sizeof(*panel));
		return;
	}
	for (size_t j = 0; j < width; j++) {
		for (size_t k = 0; k < depth; k++)
			panel[k * stride + j] = B[j * ldb + k];
	}
}

/* One tile whose last vector reaches past the end of C's rows: by way of a copy. */
static void tile_edge(size_t rows, size_t vectors, size_t width, size_t depth, struct factor a,
	struct factor b, float *c, size_t ldc, bool from_c)
{
	float copy[TILE_ROWS * PANEL_WIDTH] __attribute__((aligned(64)));
	size_t stride = vectors * LANES;

	if (from_c) {
		memset(copy, 0, sizeof(copy));
		for (size_t i = 0; i < rows; i++)
			memcpy(copy + i * stride, c + i * ldc, width * sizeof(*c));
	}
	tile_run(rows, vectors, depth, a, b, copy, stride, from_c);
	for (size_t i = 0; i < rows; i++)
		memcpy(c + i * ldc, copy + i * stride, width * sizeof(*c));
}

/* All rows of C against one panel. */
static void panel_multiply(size_t M, size_t width, size_t depth, struct factor a, struct factor b,
	float *c, size_t ldc, bool from_c)
{
	size_t vectors = (width + LANES - 1) / LANES;

	for (size_t i = 0, rows = TILE_ROWS; i < M; i += rows) {
		while (rows > M - i)
			rows /= 2;
		if (width == vectors * LANES)
			tile_run(rows, vectors, depth, a, b, c, ldc, from_c);
		else
			tile_edge(rows, vectors, width, depth, a, b, c, ldc, from_c);
		a.p += rows * a.row;
		c += rows * ldc;
	}
}

static void gemm(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
	const float *B, size_t ldb, float *C, size_t ldc, bool accumulate)
{
	float panel[PANEL_DEPTH * PANEL_WIDTH] __attribute__((aligned(64)));

	if (K == 0 && !accumulate) {
		for (size_t i = 0; i < M; i++)
			memset(C + i * ldc, 0, N * sizeof(*C));
	}
	for (size_t j = 0, width = PANEL_WIDTH; j < N; j += width) {
		if (width > N - j)
			width = N - j;
		for (size_t k = 0, depth = PANEL_DEPTH; k < K; k += depth) {
			struct factor a = {A + (ta ? k * lda : k), ta ? 1 : lda, ta ? lda : 1};
			struct factor b = {panel, 0, (width + LANES - 1) / LANES * LANES};
			const float *from = B + (tb ? j * ldb + k : k * ldb + j);

			if (depth > K - k)
				depth = K - k;
			if (!tb && width == b.step && M <= TILE_ROWS)
				b = (struct factor){
					from, 0, ldb}; /* read once: not worth packing */
			else
				panel_pack(tb, depth, width, from, ldb, panel, b.step);
			panel_multiply(M, width, depth, a, b, C + j, ldc, accumulate || k > 0);
		}
	}
}

#endif
