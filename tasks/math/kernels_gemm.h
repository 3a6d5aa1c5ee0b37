/* For kernels.c alone: the matrix product.
 *
 * After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): a block of
 * op(B) is packed into panels, tiles of C stay in registers while a sliver of op(A) meets one panel after
 * the other. Every element of C remains one chain over k ascending: a later block continues from the
 * value that the earlier ones stored. Products with few rows or columns read one factor only once and
 * take a path of their own. */
#ifndef TASKS_MATH_KERNELS_GEMM_H
#define TASKS_MATH_KERNELS_GEMM_H

#include "tasks/math/kernels_gemm_thin.h"

#define PANEL_WIDTH   (TILE_VECTORS * LANES)
#define STRIP_WIDTH   (FEW_VECTORS * LANES)
#define BLOCK_WIDTH   256 /* of op(B), with BLOCK_DEPTH: what stays in the second cache */
#define BLOCK_DEPTH   384
#define SLIVER_STRIDE (BLOCK_DEPTH + 16)

struct product {
	bool ta, tb, accumulate;
	size_t M, N, K;
	const float *A, *B;
	float *C;
	size_t lda, ldb, ldc;
};

/* The next part of what remains, in parts as equal as multiples of grain allow, none above `most`. */
INLINE size_t next_part(size_t rest, size_t most, size_t grain)
{
	size_t parts = (rest + most - 1) / most;
	size_t part = ((rest + parts - 1) / parts + grain - 1) / grain * grain;

	return part < rest ? part : rest;
}

INLINE size_t vectors_of(size_t width)
{
	return (width + LANES - 1) / LANES;
}

INLINE struct factor left_factor(const struct product *p, size_t i, size_t k)
{
	return p->ta ? (struct factor){p->A + k * p->lda + i, 1, p->lda}
		     : (struct factor){p->A + i * p->lda + k, p->lda, 1};
}

/* Columns [j, j + width) of op(B), rows [k, k + depth), as a panel. */
static void panel_pack(const struct product *p, size_t j, size_t width, size_t k, size_t depth,
	float *panel, size_t stride)
{
	if (p->tb)
		pack_transposed(width, depth, p->B + j * p->ldb + k, p->ldb, panel, stride);
	else
		pack_rows(depth, width, p->B + k * p->ldb + j, p->ldb, panel, stride);
}

/* ---- Products that read B once ---- */

/* Rows of op(A) up to TILE_ROWS, columns [j, j + width) of B up to one tile. A part of a vector that
 * loads cannot take is copied, FEW_DEPTH values of k at a time. */
static void strip_multiply(const struct product *p, size_t j, size_t width, float *c, size_t ldc)
{
	enum { FEW_DEPTH = 64 };
	float panel[FEW_DEPTH * (LOADS_PARTS ? 1 : STRIP_WIDTH)] __attribute__((aligned(64)));
	const size_t vectors = vectors_of(width);
	const bool direct = LOADS_PARTS || width % LANES == 0;
	struct tile t = {.c = c, .ldc = ldc, .last = width - (vectors - 1) * LANES};

	for (size_t k = 0; k < p->K; k += t.depth) {
		const float *b = p->B + k * p->ldb + j;

		t.depth = direct || p->K - k < FEW_DEPTH ? p->K - k : FEW_DEPTH;
		t.a = left_factor(p, 0, k);
		t.b = (struct factor){b, 1, p->ldb};
		if (!direct) {
			pack_rows(t.depth, width, b, p->ldb, panel, vectors * LANES);
			t.b = (struct factor){panel, 1, vectors * LANES};
		}
		t.from_c = p->accumulate || k > 0;
		tile_run(p->M, vectors, &t);
	}
}

/* The widest strip with which to go on, for columns that remain. */
static size_t strip_width(const struct product *p, size_t rest)
{
	size_t most = p->tb ? LANES : PANEL_WIDTH;

	if (!p->tb && p->M <= FEW_ROWS && rest >= STRIP_WIDTH)
		most = STRIP_WIDTH;
	return rest < most ? rest : most;
}

/* c(M, width) = columns [j, j + width) of the product. */
static void few_rows_strip(const struct product *p, size_t j, size_t width, float *c, size_t ldc)
{
	float copy[LANES * COPY_STRIDE] __attribute__((aligned(64)));
	struct thin t = {.width = width, .c = c, .ldc = ldc};

	if (!p->tb) {
		strip_multiply(p, j, width, c, ldc);
		return;
	}
	for (size_t k = 0; k < p->K; k += t.depth) {
		t.a = left_factor(p, 0, k);
		t.ldb = p->ldb;
		t.depth = p->K - k;
		t.b = rows_near(width, &t.depth, p->B + j * p->ldb + k, &t.ldb, copy);
		t.from_c = p->accumulate || k > 0;
		thin_run(p->M, &t);
	}
}

/* M ≤ TILE_ROWS. */
static void multiply_few_rows(const struct product *p)
{
	for (size_t j = 0, width; j < p->N; j += width) {
		width = strip_width(p, p->N - j);
		few_rows_strip(p, j, width, p->C + j, p->ldc);
	}
}

/* M ≤ TILE_ROWS, too, and C is (N,M): what the caller calls columns are the rows here, so that vectors
 * run along the longer side. */
static void multiply_few_columns(const struct product *p)
{
	enum { ROWS = (TILE_ROWS + LANES - 1) / LANES * LANES };
	float strip[ROWS * STRIP_WIDTH] __attribute__((aligned(64)));
	float turned[STRIP_WIDTH * ROWS] __attribute__((aligned(64)));

	for (size_t j = 0, width; j < p->N; j += width) {
		float *c = p->C + j * p->ldc;

		width = strip_width(p, p->N - j);
		if (p->accumulate)
			pack_transposed(width, p->M, c, p->ldc, strip, STRIP_WIDTH);
		few_rows_strip(p, j, width, strip, STRIP_WIDTH);
		pack_transposed(p->M, width, strip, STRIP_WIDTH, turned, ROWS);
		for (size_t i = 0; i < width; i++) {
			const float *from = turned + i * ROWS;
			size_t whole = p->M / LANES * LANES;

			for (size_t q = 0; q < whole; q += LANES)
				vec_store(c + i * p->ldc + q, vec_load(from + q));
			if (whole < p->M)
				vec_store_part(c + i * p->ldc + whole, p->M - whole,
					vec_load(from + whole));
		}
	}
}

/* ---- Products in blocks ---- */

/* Rows [i, i + rows) of op(A) from k on, copied when they would drive each other out of the cache. */
static struct factor sliver_near(const struct product *p, size_t i, size_t rows, size_t k,
	size_t depth, float sliver[TILE_ROWS * SLIVER_STRIDE])
{
	struct factor a = left_factor(p, i, k);

	if (p->ta || !rows_collide(p->lda))
		return a;
	pack_rows(rows, depth, a.p, p->lda, sliver, SLIVER_STRIDE);
	return (struct factor){sliver, SLIVER_STRIDE, 1};
}

/* All rows of C against columns [j, j + width) and rows [k, k + depth) of op(B), packed in block, or
 * where they are when block is NULL. */
static void block_multiply(
	const struct product *p, size_t j, size_t width, size_t k, size_t depth, const float *block)
{
	float sliver[TILE_ROWS * SLIVER_STRIDE] __attribute__((aligned(64)));
	struct tile t = {.depth = depth, .ldc = p->ldc, .from_c = p->accumulate || k > 0};

	for (size_t i = 0, rows; i < p->M; i += rows) {
		rows = next_part(p->M - i, TILE_ROWS, 1);
		t.a = sliver_near(p, i, rows, k, depth, sliver);
		for (size_t q = 0; q < width; q += PANEL_WIDTH) {
			size_t columns = width - q < PANEL_WIDTH ? width - q : PANEL_WIDTH;
			size_t vectors = vectors_of(columns);

			t.b = block != NULL ? (struct factor){block + q * depth, 1, vectors * LANES}
					    : (struct factor){p->B + k * p->ldb + j + q, 1, p->ldb};
			t.c = p->C + i * p->ldc + j + q;
			t.last = columns - (vectors - 1) * LANES;
			tile_run(rows, vectors, &t);
		}
	}
}

static void multiply_blocks(const struct product *p)
{
	float block[BLOCK_WIDTH * BLOCK_DEPTH] __attribute__((aligned(64)));
	const bool direct = !p->tb && p->M <= 64 && (LOADS_PARTS || p->N % LANES == 0);

	for (size_t j = 0, width; j < p->N; j += width) {
		width = next_part(p->N - j, BLOCK_WIDTH, PANEL_WIDTH);
		for (size_t k = 0, depth; k < p->K; k += depth) {
			depth = next_part(p->K - k, BLOCK_DEPTH, LANES);
			for (size_t q = 0; q < width && !direct; q += PANEL_WIDTH) {
				size_t columns = width - q < PANEL_WIDTH ? width - q : PANEL_WIDTH;

				panel_pack(p, j + q, columns, k, depth, block + q * depth,
					vectors_of(columns) * LANES);
			}
			block_multiply(p, j, width, k, depth, direct ? NULL : block);
		}
	}
}

/* Up to this many columns are worth turning: the rest of a vector would be computed for nothing. */
#define FEW_COLUMNS (LANES * 3 / 4 < TILE_ROWS ? LANES * 3 / 4 : TILE_ROWS)

static void gemm(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
	const float *B, size_t ldb, float *C, size_t ldc, bool accumulate)
{
	struct product p = {ta, tb, accumulate, M, N, K, A, B, C, lda, ldb, ldc};
	size_t rest = N % LANES;

	for (size_t i = 0; K == 0 && !accumulate && i < M; i++)
		memset(C + i * ldc, 0, N * sizeof(*C));
	if (M == 0 || N == 0 || K == 0)
		return;
	if (M <= TILE_ROWS) {
		multiply_few_rows(&p);
		return;
	}
	if (rest > 0 && rest <= FEW_COLUMNS) {
		struct product turned = {!tb, !ta, accumulate, rest, M, K,
			B + (N - rest) * (tb ? ldb : 1), A, C + (N - rest), ldb, lda, ldc};

		multiply_few_columns(&turned);
		p.N -= rest;
	}
	if (p.N > 0)
		multiply_blocks(&p);
}

#endif
