/* For kernels.c alone: how the matrix product lays out its factors before it multiplies them.
 *
 * Panels of op(B) hold, for each k, the values of `stride` neighbouring columns. Lanes past the width of
 * the last panel hold copies of other values: what is computed from them is dropped. */
#ifndef TASKS_MATH_KERNELS_GEMM_PACK_H
#define TASKS_MATH_KERNELS_GEMM_PACK_H

#include "tasks/math/kernels_gemm_tile.h"

/* Transposes a square of LANES × LANES: v[i][j] becomes v[j][i]. */
INLINE void square_transpose(vec v[LANES])
{
#if defined(__AVX512F__)
	__m512d t[LANES];
	__m512 u[LANES];

	UNROLL
	for (int i = 0; i < LANES; i += 2) { /* pairs of rows, within each four lanes */
		t[i] = _mm512_castps_pd(_mm512_unpacklo_ps(v[i], v[i + 1]));
		t[i + 1] = _mm512_castps_pd(_mm512_unpackhi_ps(v[i], v[i + 1]));
	}
	UNROLL
	for (int i = 0; i < LANES; i += 4) { /* four rows */
		u[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(t[i], t[i + 2]));
		u[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(t[i], t[i + 2]));
		u[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(t[i + 1], t[i + 3]));
		u[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(t[i + 1], t[i + 3]));
	}
	UNROLL
	for (int i = 0; i < 4; i++) { /* the four fours of lanes */
		__m512 a = _mm512_shuffle_f32x4(u[i], u[i + 4], 0x88);
		__m512 b = _mm512_shuffle_f32x4(u[i], u[i + 4], 0xdd);
		__m512 c = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0x88);
		__m512 d = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0xdd);

		v[i] = _mm512_shuffle_f32x4(a, c, 0x88);
		v[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
		v[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
		v[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
	}
#elif defined(__AVX2__)
	__m256 t[LANES];

	UNROLL
	for (int i = 0; i < LANES; i += 4) { /* four rows, within each four lanes */
		__m256 a = _mm256_unpacklo_ps(v[i], v[i + 1]);
		__m256 b = _mm256_unpackhi_ps(v[i], v[i + 1]);
		__m256 c = _mm256_unpacklo_ps(v[i + 2], v[i + 3]);
		__m256 d = _mm256_unpackhi_ps(v[i + 2], v[i + 3]);

		t[i] = _mm256_shuffle_ps(a, c, 0x44);
		t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
		t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
		t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
	}
	UNROLL
	for (int i = 0; i < 4; i++) {
		v[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
		v[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
	}
#elif defined(__ARM_NEON) && defined(__aarch64__)
	float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(v[0], v[1]));
	float64x2_t b = vreinterpretq_f64_f32(vtrn2q_f32(v[0], v[1]));
	float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(v[2], v[3]));
	float64x2_t d = vreinterpretq_f64_f32(vtrn2q_f32(v[2], v[3]));

	v[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
	v[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
	v[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
	v[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
#else
	for (int i = 0; i < LANES; i++) {
		for (int j = 0; j < i; j++) {
			float x = v[i][j];

			v[i][j] = v[j][i];
			v[j][i] = x;
		}
	}
#endif
}

/* to(depth, stride)[k][j] = from(width, depth)[j][k], in whole vectors of columns: up to LANES − 1 past
 * the width are written. */
static void pack_transposed(
	size_t width, size_t depth, const float *from, size_t ld, float *to, size_t stride)
{
	for (size_t j = 0; j < width; j += LANES) {
		const float *row[LANES];
		vec v[LANES];

		UNROLL
		for (size_t i = 0; i < LANES; i++)
			row[i] = from + (j + i < width ? j + i : width - 1) * ld;
		for (size_t k = 0; k < depth; k += LANES) {
			float *corner = to + k * stride + j;
			size_t part = depth - k;

			if (part < LANES) {
				UNROLL
				for (size_t i = 0; i < LANES; i++)
					v[i] = vec_load_part(row[i] + k, part);
				square_transpose(v);
				for (size_t i = 0; i < part; i++)
					vec_store(corner + i * stride, v[i]);
				break;
			}
			UNROLL
			for (size_t i = 0; i < LANES; i++)
				v[i] = vec_load(row[i] + k);
			square_transpose(v);
			UNROLL
			for (size_t i = 0; i < LANES; i++)
				vec_store(corner + i * stride, v[i]);
		}
	}
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

#endif
