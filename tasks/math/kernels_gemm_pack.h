/* For kernels.c alone: how the matrix product lays out its factors before it multiplies them.
 *
 * Panels of op(B) hold, for each k, the values of `stride` neighbouring columns. Lanes past the width of
 * the last panel hold copies of other values: what is computed from them is dropped. */
#ifndef TASKS_MATH_KERNELS_GEMM_PACK_H
#define TASKS_MATH_KERNELS_GEMM_PACK_H

#include "tasks/math/kernels_gemm_tile.h"

/* Squares of LANES rows would fill the registers: this many columns of them are transposed at a time. */
#define TURN_COLUMNS (LANES > 4 ? LANES / 2 : 4)

/* v[c][i] = row[i][k + c], of which the first part ≤ TURN_COLUMNS exist. */
INLINE void rows_turn(
	const float *const volatile row[LANES], size_t k, const size_t part, vec v[TURN_COLUMNS])
{
#if defined(__AVX512F__)
	const __mmask8 mask = (__mmask8)((1u << part) - 1);
	__m512 t[8];

	UNROLL
	for (int i = 0; i < 8; i++) { /* rows i, i + 4 of the lower eight, and of the upper eight */
		int r = i % 4 + i / 4 * 8;
		__m512 low = _mm512_castps256_ps512(_mm256_maskz_loadu_ps(mask, row[r] + k));

		t[i] = _mm512_insertf32x8(low, _mm256_maskz_loadu_ps(mask, row[r + 4] + k), 1);
	}
	UNROLL
	for (int i = 0; i < 8; i += 4) { /* 4×4, within each four lanes */
		__m512 a = _mm512_unpacklo_ps(t[i], t[i + 1]);
		__m512 b = _mm512_unpackhi_ps(t[i], t[i + 1]);
		__m512 c = _mm512_unpacklo_ps(t[i + 2], t[i + 3]);
		__m512 d = _mm512_unpackhi_ps(t[i + 2], t[i + 3]);

		t[i] = _mm512_shuffle_ps(a, c, 0x44);
		t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
		t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
		t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
	}
	UNROLL
	for (int i = 0; i < 4; i++) {
		v[i] = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
		v[i + 4] = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
	}
#elif defined(__AVX2__)
	const __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32((int)part), _mm_setr_epi32(0, 1, 2, 3));
	__m256 a, b, c, d;

	UNROLL
	for (int i = 0; i < 4; i++) {
		__m256 low = _mm256_castps128_ps256(
			part == 4 ? _mm_loadu_ps(row[i] + k) : _mm_maskload_ps(row[i] + k, mask));

		v[i] = _mm256_insertf128_ps(low,
			part == 4 ? _mm_loadu_ps(row[i + 4] + k)
				  : _mm_maskload_ps(row[i + 4] + k, mask),
			1);
	}
	a = _mm256_unpacklo_ps(v[0], v[1]);
	b = _mm256_unpackhi_ps(v[0], v[1]);
	c = _mm256_unpacklo_ps(v[2], v[3]);
	d = _mm256_unpackhi_ps(v[2], v[3]);
	v[0] = _mm256_shuffle_ps(a, c, 0x44);
	v[1] = _mm256_shuffle_ps(a, c, 0xee);
	v[2] = _mm256_shuffle_ps(b, d, 0x44);
	v[3] = _mm256_shuffle_ps(b, d, 0xee);
#elif defined(__ARM_NEON) && defined(__aarch64__)
	float64x2_t a, b, c, d;

	for (int i = 0; i < 4; i++)
		v[i] = part == 4 ? vec_load(row[i] + k) : vec_load_part(row[i] + k, part);
	a = vreinterpretq_f64_f32(vtrn1q_f32(v[0], v[1]));
	b = vreinterpretq_f64_f32(vtrn2q_f32(v[0], v[1]));
	c = vreinterpretq_f64_f32(vtrn1q_f32(v[2], v[3]));
	d = vreinterpretq_f64_f32(vtrn2q_f32(v[2], v[3]));
	v[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
	v[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
	v[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
	v[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
#else
	for (size_t c = 0; c < part; c++, k++)
		v[c] = (vec){row[0][k], row[1][k], row[2][k], row[3][k]};
#endif
}

/* Rows so far apart that all of them lie in one or two sets of the first cache, where they do not fit. */
INLINE bool rows_collide(size_t ld)
{
	return ld % 1024 == 0;
}

/* to(rows, stride) = from(rows, width), in whole vectors: the surplus is +0. */
static void pack_rows(
	size_t rows, size_t width, const float *from, size_t ld, float *to, size_t stride)
{
	const size_t whole = width / LANES * LANES;

	for (size_t i = 0; i < rows; i++, from += ld, to += stride) {
		for (size_t j = 0; j < whole; j += LANES)
			vec_store(to + j, vec_load(from + j));
		if (whole < width)
			vec_store(to + whole, vec_load_part(from + whole, width - whole));
	}
}

#define COPY_DEPTH  256
#define COPY_STRIDE (COPY_DEPTH + 16)

/* The rows as they are, or copied side by side when they collide; *depth becomes what was copied. */
INLINE const float *rows_near(
	size_t width, size_t *depth, const float *from, size_t *ld, float copy[LANES * COPY_STRIDE])
{
	if (!rows_collide(*ld))
		return from;
	*depth = *depth < COPY_DEPTH ? *depth : COPY_DEPTH;
	pack_rows(width, *depth, from, *ld, copy, COPY_STRIDE);
	*ld = COPY_STRIDE;
	return copy;
}

/* pack_transposed for up to LANES columns. */
static void strip_transposed(
	size_t width, size_t depth, const float *from, size_t ld, float *to, size_t stride)
{
	const float *volatile row[LANES];
	vec v[TURN_COLUMNS];
	size_t k = 0;

	for (size_t i = 0; i < LANES; i++)
		row[i] = from + (i < width ? i : width - 1) * ld;
	for (; k + TURN_COLUMNS <= depth; k += TURN_COLUMNS) {
		rows_turn(row, k, TURN_COLUMNS, v);
		UNROLL
		for (int i = 0; i < TURN_COLUMNS; i++, to += stride)
			vec_store(to, v[i]);
	}
	if (k == depth)
		return;
	rows_turn(row, k, depth - k, v);
	for (size_t i = 0; i < depth - k; i++, to += stride)
		vec_store(to, v[i]);
}

/* to(depth, stride)[k][j] = from(width, depth)[j][k], in whole vectors of columns: up to LANES − 1 past
 * the width are written. */
static void pack_transposed(
	size_t width, size_t depth, const float *from, size_t ld, float *to, size_t stride)
{
	float copy[LANES * COPY_STRIDE] __attribute__((aligned(64)));

	for (size_t j = 0; j < width; j += LANES) {
		size_t columns = width - j < LANES ? width - j : LANES;

		for (size_t k = 0, part; k < depth; k += part) {
			size_t near = ld;
			const float *p;

			part = depth - k;
			p = rows_near(columns, &part, from + j * ld + k, &near, copy);
			strip_transposed(columns, part, p, near, to + k * stride + j, stride);
		}
	}
}

#endif
