/* For kernels.c alone: the innermost part of the matrix product, a tile of C in registers.
 *
 * A tile is one function for each number of rows, of vectors in a row, and for each way in which A's
 * values lie in memory, so that its loops are unrolled and its accumulators never leave the registers.
 * Lanes past the end of a row of C are computed from whatever B holds there and dropped; k is never
 * padded. */
#ifndef TASKS_MATH_KERNELS_GEMM_TILE_H
#define TASKS_MATH_KERNELS_GEMM_TILE_H

#include "tasks/math/kernels_vector.h"

/* TILE_ROWS × TILE_VECTORS accumulators leave registers for a row of B and a value of A. Products of
 * FEW_ROWS or fewer get tiles of FEW_VECTORS, because a chain alone waits for its own additions. */
#define EACH_TO_4(TILE, v) TILE(1, v) TILE(2, v) TILE(3, v) TILE(4, v)
#define EACH_TO_8(TILE, v) EACH_TO_4(TILE, v) TILE(5, v) TILE(6, v) TILE(7, v) TILE(8, v)
#if defined(__AVX512F__)
#define TILE_ROWS    14
#define TILE_VECTORS 2
#define FEW_ROWS     4
#define FEW_VECTORS  6
#define EACH_ROWS(TILE, v)                                                                         \
	EACH_TO_8(TILE, v)                                                                         \
	TILE(9, v) TILE(10, v) TILE(11, v) TILE(12, v) TILE(13, v) TILE(14, v)
#define EACH_TILE(TILE) EACH_ROWS(TILE, 1) EACH_ROWS(TILE, 2) EACH_TO_4(TILE, 6)
#elif defined(__AVX2__)
#define TILE_ROWS	   6
#define TILE_VECTORS	   2
#define FEW_ROWS	   2
#define FEW_VECTORS	   6
#define EACH_ROWS(TILE, v) EACH_TO_4(TILE, v) TILE(5, v) TILE(6, v)
#define EACH_TILE(TILE)	   EACH_ROWS(TILE, 1) EACH_ROWS(TILE, 2) TILE(1, 6) TILE(2, 6)
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define TILE_ROWS	8
#define TILE_VECTORS	3
#define FEW_ROWS	4
#define FEW_VECTORS	6
#define EACH_ROWS	EACH_TO_8
#define EACH_TILE(TILE) EACH_ROWS(TILE, 1) EACH_ROWS(TILE, 2) EACH_ROWS(TILE, 3) EACH_TO_4(TILE, 6)
#else
#define TILE_ROWS	4
#define TILE_VECTORS	1
#define FEW_ROWS	4
#define FEW_VECTORS	1
#define EACH_ROWS	EACH_TO_4
#define EACH_TILE(TILE) EACH_ROWS(TILE, 1)
#endif

/* Where a factor's values lie: element (i, k) of op(A) is p[i·row + k·step] and one of the two is 1;
 * row k of a panel of op(B) is p + k·step, contiguous. */
struct factor {
	const float *p;
	size_t row, step;
};

struct tile {
	struct factor a, b;
	size_t depth;
	float *c;
	size_t ldc;
	size_t last; /* lanes of the last vector that exist in C: 1 … LANES */
	bool from_c; /* continue the chains in C, instead of starting at +0 */
};

#if defined(__AVX512F__)
/* Part of a vector costs as much as all of it, and what does not exist is not touched. */
#define LOADS_PARTS 1
INLINE vec vec_load_part(const float *p, size_t n)
{
	return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

INLINE void vec_store_part(float *p, size_t n, vec v)
{
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
#else
#define LOADS_PARTS 0
INLINE vec vec_load_part(const float *p, size_t n)
{
#if defined(__AVX2__)
	const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

	return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane));
#else
	vec v = {0};

	memcpy(&v, p, n * sizeof(*p));
	return v;
#endif
}

INLINE void vec_store_part(float *p, size_t n, vec v)
{
	if (n == LANES)
		vec_store(p, v);
	else
		memcpy(p, &v, n * sizeof(*p));
}
#endif

INLINE vec vec_broadcast(const float *p)
{
#if defined(__AVX512F__)
	return _mm512_set1_ps(*p);
#elif defined(__AVX2__)
	return _mm256_broadcast_ss(p);
#elif defined(__ARM_NEON) && defined(__aarch64__)
	return vld1q_dup_f32(p);
#else
	return (vec){*p, *p, *p, *p};
#endif
}

/* c(rows, vectors) = chains over depth steps of a and b. With by_rows, a's rows are contiguous
 * (a.step = 1), otherwise its columns (a.row = 1). */
INLINE void tile(const int rows, const int vectors, const bool by_rows, const struct tile *t)
{
	const size_t row = by_rows ? t->a.row : 1, step = by_rows ? 1 : t->a.step;
	const size_t depth = t->depth, stride = t->b.step, last = t->last;
	/* Rows that share a pointer. Volatile keeps gcc from seeing how the pointers are related: it would
	 * make one of each row and, having too few registers, keep some in vector registers, where reading
	 * them waits behind the arithmetic. */
	const int group = by_rows ? 4 : 16;
	const float *volatile first[(TILE_ROWS + 3) / 4];
	const float *b = t->b.p, *a[(TILE_ROWS + 3) / 4];
	vec sum[TILE_ROWS][FEW_VECTORS];

	if (t->from_c) {
		UNROLL
		for (int i = 0; i < rows; i++) {
			const float *c = t->c + (size_t)i * t->ldc;

			UNROLL
			for (int v = 0; v < vectors - 1; v++)
				sum[i][v] = vec_load(c + v * LANES);
			sum[i][vectors - 1] = vec_load_part(c + (vectors - 1) * LANES, last);
		}
	} else {
		UNROLL
		for (int i = 0; i < rows; i++) {
			UNROLL
			for (int v = 0; v < vectors; v++)
				sum[i][v] = (vec){0};
		}
	}
	UNROLL
	for (int i = 0; i < rows; i += group) {
		first[i / group] = t->a.p + (size_t)i * row;
		a[i / group] = first[i / group];
	}
	for (size_t k = 0; k < depth; k++, b += stride) {
		vec right[FEW_VECTORS];

		UNROLL
		for (int v = 0; v < vectors; v++)
			right[v] = LOADS_PARTS && v == vectors - 1
					   ? vec_load_part(b + v * LANES, last)
					   : vec_load(b + v * LANES);
		UNROLL
		for (int i = 0; i < rows; i++) {
			vec left = vec_broadcast(a[i / group] + (size_t)(i % group) * row);

			UNROLL
			for (int v = 0; v < vectors; v++)
				sum[i][v] = vec_fma(left, right[v], sum[i][v]);
		}
		UNROLL
		for (int i = 0; i < rows; i += group)
			a[i / group] += step;
	}
	UNROLL
	for (int i = 0; i < rows; i++) {
		float *c = t->c + (size_t)i * t->ldc;

		UNROLL
		for (int v = 0; v < vectors - 1; v++)
			vec_store(c + v * LANES, sum[i][v]);
		vec_store_part(c + (vectors - 1) * LANES, last, sum[i][vectors - 1]);
	}
}

#define TILE_DEFINE(rows, vectors)                                                                 \
	static void tile_##rows##x##vectors##_rows(const struct tile *t)                           \
	{                                                                                          \
		tile(rows, vectors, true, t);                                                      \
	}                                                                                          \
	static void tile_##rows##x##vectors##_columns(const struct tile *t)                        \
	{                                                                                          \
		tile(rows, vectors, false, t);                                                     \
	}
EACH_TILE(TILE_DEFINE)
#undef TILE_DEFINE

static void tile_run(size_t rows, size_t vectors, const struct tile *t)
{
	typedef void tile_function(const struct tile *);
#define TILE_ENTRY(rows, vectors)                                                                  \
	[vectors][rows] = {tile_##rows##x##vectors##_columns, tile_##rows##x##vectors##_rows},
	static tile_function *const functions[FEW_VECTORS + 1][TILE_ROWS + 1][2] = {
		EACH_TILE(TILE_ENTRY)};
#undef TILE_ENTRY

	functions[vectors][rows][t->a.step == 1](t);
}

#endif
