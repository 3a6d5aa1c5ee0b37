/* For kernels.c alone: products with few rows whose other factor is transposed.
 *
 * Such a factor is read only once, so it is never laid out in memory: squares of it are transposed in
 * registers and multiplied at once, and the transposition of the next square overlaps with the chains of
 * this one. */
#ifndef TASKS_MATH_KERNELS_GEMM_THIN_H
#define TASKS_MATH_KERNELS_GEMM_THIN_H

#include "tasks/math/kernels_gemm_pack.h"

/* c(rows, width) = chains over depth steps of a and of the transposed b(width, depth); width ≤ LANES. */
struct thin {
	struct factor a;
	const float *b;
	size_t ldb, width, depth;
	float *c;
	size_t ldc;
	bool from_c;
};

INLINE void square_load(const float *const row[LANES], size_t k, vec v[LANES])
{
	UNROLL
	for (size_t i = 0; i < LANES; i++)
		v[i] = vec_load(row[i] + k);
	square_transpose(v);
}

/* The same, for fewer than LANES values of k; kept in memory, where a loop can go through them. */
static void square_load_part(const float *const row[LANES], size_t k, size_t part, vec v[LANES])
{
	UNROLL
	for (size_t i = 0; i < LANES; i++)
		v[i] = vec_load_part(row[i] + k, part);
	square_transpose(v);
}

INLINE void thin_step(const int rows, const float *left, size_t row, vec right, vec sum[TILE_ROWS])
{
	UNROLL
	for (int r = 0; r < rows; r++)
		sum[r] = vec_fma(vec_broadcast(left + (size_t)r * row), right, sum[r]);
}

INLINE void thin(const int rows, const bool by_rows, const struct thin *t)
{
	const size_t between = by_rows ? t->a.row : 1, step = by_rows ? 1 : t->a.step;
	const size_t width = t->width, depth = t->depth;
	const float *left = t->a.p, *row[LANES];
	vec sum[TILE_ROWS], v[LANES], last[LANES];
	size_t k = 0;

	UNROLL
	for (size_t i = 0; i < LANES; i++)
		row[i] = t->b + (i < width ? i : width - 1) * t->ldb;
	UNROLL
	for (int r = 0; r < rows; r++) {
		sum[r] = (vec){0};
		if (t->from_c)
			sum[r] = vec_load_part(t->c + (size_t)r * t->ldc, width);
	}
	for (; k + LANES <= depth; k += LANES) {
		square_load(row, k, v);
		UNROLL
		for (int i = 0; i < LANES; i++, left += step)
			thin_step(rows, left, between, v[i], sum);
	}
	if (k < depth) {
		square_load_part(row, k, depth - k, last);
		for (size_t i = 0; i < depth - k; i++, left += step)
			thin_step(rows, left, between, last[i], sum);
	}
	UNROLL
	for (int r = 0; r < rows; r++)
		vec_store_part(t->c + (size_t)r * t->ldc, width, sum[r]);
}

#define THIN_DEFINE(rows, vectors)                                                                 \
	static void thin_##rows##_rows(const struct thin *t)                                       \
	{                                                                                          \
		thin(rows, true, t);                                                               \
	}                                                                                          \
	static void thin_##rows##_columns(const struct thin *t)                                    \
	{                                                                                          \
		thin(rows, false, t);                                                              \
	}
EACH_ROWS(THIN_DEFINE, 1)
#undef THIN_DEFINE

static void thin_run(size_t rows, const struct thin *t)
{
	typedef void thin_function(const struct thin *);
#define THIN_ENTRY(rows, vectors) [rows] = {thin_##rows##_columns, thin_##rows##_rows},
	static thin_function *const functions[TILE_ROWS + 1][2] = {EACH_ROWS(THIN_ENTRY, 1)};
#undef THIN_ENTRY

	functions[rows][t->a.step == 1](t);
}

#endif
