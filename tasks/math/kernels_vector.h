/* For kernels.c alone: a vector of the instruction set's width, the fused multiply-add, and the hints
 * to the compiler. Width and hints never reach the bits of a result. */
#ifndef TASKS_MATH_KERNELS_VECTOR_H
#define TASKS_MATH_KERNELS_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

_Static_assert(FLT_EVAL_METHOD == 0, "canonical arithmetic needs float operations without excess");

#define INLINE static inline __attribute__((always_inline))
/* Sanitizers' builds unroll nothing: their check of each access, unrolled, would take compilers minutes. */
#ifndef UNROLL
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#endif
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep") /* the iterations of the next loop do not interact */
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define LANES 4
#else
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t vec_int __attribute__((vector_size(LANES * sizeof(int32_t))));

INLINE uint32_t bits_of(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof(u));
	return u;
}

INLINE float from_bits(uint32_t u)
{
	float x;

	memcpy(&x, &u, sizeof(x));
	return x;
}

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || !defined(__SSE2__)
INLINE float fused(float a, float b, float c)
{
	return __builtin_fmaf(a, b, c);
}
#else
/* fmaf without the instruction: the product is exact in double, the sum is rounded to odd, and so the
 * second rounding is the only one (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums:
 * proved algorithms using rounding to odd", 2008). libm's fmaf does as well, at a tenth of the speed. */
INLINE float fused(float a, float b, float c)
{
	double product = (double)a * (double)b;
	double addend = (double)c;
	double sum = product + addend;
	double part = sum - product;
	double error = (product - (sum - part)) + (addend - part);
	int64_t odd, inexact;
	int64_t outward, u;

	memcpy(&u, &sum, sizeof(u));
	inexact = -(
		int64_t)((error < 0) | (error > 0)); /* NaN: an infinity or NaN, as it should be */
	outward = (int64_t)((error > 0) == (sum > 0)) * 2 - 1;
	odd = u & 1;
	u += inexact & (odd - 1) & outward;
	memcpy(&sum, &u, sizeof(sum));
	return (float)sum;
}
#endif

INLINE vec vec_load(const float *p)
{
	vec v;

	memcpy(&v, p, sizeof(v));
	return v;
}

INLINE void vec_store(float *p, vec v)
{
	memcpy(p, &v, sizeof(v));
}

INLINE vec vec_splat(float x)
{
	return x - (vec){0}; /* x − 0 is x, −0 included */
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
	return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
	return _mm256_fmadd_ps(a, b, c);
#elif defined(__ARM_NEON) && defined(__aarch64__)
	return vfmaq_f32(c, a, b);
#else
	UNROLL
	for (int i = 0; i < LANES; i++)
		c[i] = fused(a[i], b[i], c[i]);
	return c;
#endif
}

/* The lanes 0, 2, 4 … of two vectors. */
INLINE vec vec_even(vec a, vec b)
{
#if LANES == 16
	return __builtin_shufflevector(
		a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
#elif LANES == 8
	return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
#else
	return __builtin_shufflevector(a, b, 0, 2, 4, 6);
#endif
}

/* The lanes of v[0] and v[1] in turn. */
INLINE void vec_interleave(vec v[2])
{
	vec a = v[0], b = v[1];

#if LANES == 16
	v[0] = __builtin_shufflevector(
		a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
	v[1] = __builtin_shufflevector(
		a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif LANES == 8
	v[0] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
	v[1] = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
	v[0] = __builtin_shufflevector(a, b, 0, 4, 1, 5);
	v[1] = __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}

/* LANES bytes as integers, and back (values below 256). Compilers make poor code of the conversion. */
INLINE vec_int bytes_load(const uint8_t *from)
{
#if defined(__AVX512F__)
	return (vec_int)_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)from));
#elif defined(__AVX2__)
	return (vec_int)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)from));
#else
	vec_int v = {0};

	UNROLL
	for (int i = 0; i < LANES; i++)
		v[i] = from[i];
	return v;
#endif
}

INLINE void bytes_store(uint8_t *to, vec_int v)
{
#if defined(__AVX512F__)
	_mm_storeu_si128((void *)to, _mm512_cvtepi32_epi8((__m512i)v));
#elif defined(__AVX2__)
	__m256i pairs = _mm256_packus_epi32((__m256i)v, (__m256i)v);
	__m128i words = _mm_unpacklo_epi64(
		_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));

	_mm_storel_epi64((void *)to, _mm_packus_epi16(words, words));
#else
	UNROLL
	for (int i = 0; i < LANES; i++)
		to[i] = (uint8_t)v[i];
#endif
}

#endif
