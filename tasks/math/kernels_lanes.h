/* For kernels.c alone: what vectors need beyond arithmetic — choices between lanes, their bits, powers of
 * two, and the part of a vector at the end of a row. */
#ifndef TASKS_MATH_KERNELS_LANES_H
#define TASKS_MATH_KERNELS_LANES_H

#include "tasks/math/kernels_vector.h"

typedef int32_t ivec __attribute__((vector_size(LANES * sizeof(float))));
typedef uint32_t uvec __attribute__((vector_size(LANES * sizeof(float))));

#define SIGN_BIT 0x80000000u

/* a > b ? yes : no */
INLINE vec vec_if_greater(vec a, vec b, vec yes, vec no)
{
#if defined(__AVX512F__)
	return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), no, yes);
#elif defined(__AVX2__)
	return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
#else
	uvec mask = (uvec)(a > b);

	return (vec)(((uvec)yes & mask) | ((uvec)no & ~mask));
#endif
}

/* a > b ? a : b, and a < b ? a : b: b where either is NaN. */
INLINE vec vec_most(vec a, vec b)
{
#if defined(__AVX512F__)
	return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
	return _mm256_max_ps(a, b);
#else
	return vec_if_greater(a, b, a, b);
#endif
}

INLINE vec vec_least(vec a, vec b)
{
#if defined(__AVX512F__)
	return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
	return _mm256_min_ps(a, b);
#else
	return vec_if_greater(b, a, a, b);
#endif
}

INLINE vec vec_abs(vec x)
{
	return (vec)((uvec)x & ~SIGN_BIT);
}

/* x ≥ 0 with the sign of s */
INLINE vec vec_signed(vec x, vec s)
{
	return (vec)((uvec)x | ((uvec)s & SIGN_BIT));
}

/* p · 2^n with one rounding for ½ ≤ p < 2 and an integer |n| ≤ 160, which stands in the low bits of
 * n + 0x1.8p23, too: two factors, so that no power leaves the normal numbers. */
INLINE vec vec_scale(vec p, vec n, vec shifted)
{
#if defined(__AVX512F__)
	(void)shifted;
	return _mm512_scalef_ps(p, n);
#else
	ivec power = (ivec)shifted - 0x4b400000, half = power >> 1;

	(void)n;
	return p * (vec)((half + 127) << 23) * (vec)((power - half + 127) << 23);
#endif
}

/* The first n lanes of v, and those of others behind them. */
INLINE vec vec_pad(vec v, size_t n, vec others)
{
#if defined(__AVX512F__)
	return _mm512_mask_mov_ps(others, (__mmask16)((1u << n) - 1), v);
#else
	ivec lane;

	for (int i = 0; i < LANES; i++)
		lane[i] = i;
	lane = (int32_t)n > lane;
	return (vec)(((uvec)v & (uvec)lane) | ((uvec)others & ~(uvec)lane));
#endif
}

/* p[0 … n), n ≤ LANES, and +0 in the other lanes; what lies behind is not touched. */
INLINE vec vec_load_first(const float *p, size_t n)
{
#if defined(__AVX512F__)
	return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(__AVX2__)
	const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

	return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane));
#else
	vec v = {0};

	for (size_t i = 0; i < n; i++)
		v[i] = p[i];
	return v;
#endif
}

INLINE void vec_store_first(float *p, size_t n, vec v)
{
#if defined(__AVX512F__)
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#elif defined(__AVX2__)
	const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

	_mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane), v);
#else
	for (size_t i = 0; i < n; i++)
		p[i] = v[i];
#endif
}

/* The same where n is mostly LANES, and known to be when it is a constant. */
INLINE vec vec_get(const float *p, size_t n)
{
	return n == LANES ? vec_load(p) : vec_load_first(p, n);
}

INLINE void vec_put(float *p, size_t n, vec v)
{
	if (n == LANES)
		vec_store(p, v);
	else
		vec_store_first(p, n, v);
}

/* y = f(x) and dx = f(x, dy) for n elements. */
INLINE void map(size_t n, const float *x, float *y, vec (*f)(vec))
{
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		vec_store(y + i, f(vec_load(x + i)));
	if (i < n)
		vec_store_first(y + i, n - i, f(vec_load_first(x + i, n - i)));
}

INLINE void map_two(size_t n, const float *x, const float *dy, float *dx, vec (*f)(vec, vec))
{
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		vec_store(dx + i, f(vec_load(x + i), vec_load(dy + i)));
	if (i < n)
		vec_store_first(dx + i, n - i,
			f(vec_load_first(x + i, n - i), vec_load_first(dy + i, n - i)));
}

#endif
