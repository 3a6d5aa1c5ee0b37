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

/* Rows [first, first + 4), as many as there are, take one step: left points at the first one's value. */
INLINE void thin_step(const int rows, const int first, const float *left, size_t between, vec right,
	vec sum[TILE_ROWS])
{
	const int end = rows < first + 4 ? rows : first + 4;

	UNROLL
	for (int r = first; r < end; r++)
		sum[r] =
			vec_fma(vec_broadcast(left + (size_t)(r - first) * between), right, sum[r]);
}

INLINE void thin(const int rows, const bool by_rows, const struct thin *t)
{
	const size_t between = by_rows ? t->a.row : 1, step = by_rows ? 1 : t->a.step;
	const size_t width = t->width, depth = t->depth;
	/* Left to itself, gcc keeps addresses that exceed its registers in vector registers, where reading
	 * them waits behind the arithmetic; volatile keeps them in memory. */
	const float *volatile left[(TILE_ROWS + 3) / 4], *volatile row[LANES];
	vec sum[TILE_ROWS], v[TURN_COLUMNS];
	size_t k = 0;

	UNROLL
	for (size_t i = 0; i < LANES; i++)
		row[i] = t->b + (i < width ? i : width - 1) * t->ldb;
	if (t->from_c) {
		UNROLL
		for (int r = 0; r < rows; r++)
			sum[r] = vec_load_part(t->c + (size_t)r * t->ldc, width);
	} else {
		UNROLL
		for (int r = 0; r < rows; r++)
			sum[r] = (vec){0};
	}
	UNROLL
	for (int r = 0; r < rows; r += 4)
		left[r / 4] = t->a.p + (size_t)r * between;
	for (; by_rows && k + TURN_COLUMNS <= depth; k += TURN_COLUMNS) {
		rows_turn(row, k, TURN_COLUMNS, v);
		UNROLL
		for (int r = 0; r < rows; r += 4) {
			const float *p = left[r / 4] + k;

			UNROLL
			for (int i = 0; i < TURN_COLUMNS; i++)
				thin_step(rows, r, p + i, between, v[i], sum);
		}
	}
	for (size_t part; k < depth; k += part) { /* the rest, and the rarer layout */
		part = depth - k < TURN_COLUMNS ? depth - k : TURN_COLUMNS;
		rows_turn(row, k, part, v);
		for (size_t i = 0; i < part; i++) {
			UNROLL
			for (int r = 0; r < rows; r += 4)
				thin_step(
					rows, r, left[r / 4] + (k + i) * step, between, v[i], sum);
		}
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
