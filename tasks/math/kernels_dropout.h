/* For kernels.c alone: dropout, whose random numbers are made for 64 elements at a time. */
#ifndef TASKS_MATH_KERNELS_DROPOUT_H
#define TASKS_MATH_KERNELS_DROPOUT_H

#include "tasks/math/kernels_lanes.h"

/* Sixteen counters of four words each. */
#define DROPOUT_COUNTERS 16
#define DROPOUT_GROUP	 64

/* The halves of the 64-bit products of x and m. */
struct halves {
	uvec low, high;
};

INLINE struct halves vec_multiply(uvec x, uint32_t m)
{
#if defined(__AVX512F__)
	const __m512i factor = _mm512_set1_epi32((int)m);
	__m512i even = _mm512_mul_epu32((__m512i)x, factor);
	__m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)x, 32), factor);

	return (struct halves){
		(uvec)_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32)),
		(uvec)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd)};
#elif defined(__AVX2__)
	const __m256i factor = _mm256_set1_epi32((int)m);
	__m256i even = _mm256_mul_epu32((__m256i)x, factor);
	__m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)x, 32), factor);

	return (struct halves){(uvec)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa),
		(uvec)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa)};
#else
	uint32_t low[LANES], high[LANES];
	struct halves y;

	memcpy(low, &x, sizeof(low));
	for (int i = 0; i < LANES; i++) {
		uint64_t product = (uint64_t)low[i] * m;

		low[i] = (uint32_t)product;
		high[i] = (uint32_t)(product >> 32);
	}
	memcpy(&y.low, low, sizeof(low));
	memcpy(&y.high, high, sizeof(high));
	return y;
#endif
}

struct dropout {
	float rate, factor;
	uint64_t seed;
	uint32_t stream, lane;
};

/* Philox (philox.h) of LANES counters from `counter` on, none of which carries into the upper half. */
INLINE void vec_philox(uvec out[4], const struct dropout *d, uint64_t counter)
{
	uint32_t key0 = (uint32_t)d->seed, key1 = (uint32_t)(d->seed >> 32);
	uvec x0, x1, x2, x3;

	for (int i = 0; i < LANES; i++)
		x0[i] = (uint32_t)i;
	x0 += (uint32_t)counter;
	x1 = (uvec){0} + (uint32_t)(counter >> 32);
	x2 = (uvec){0} + d->stream;
	x3 = (uvec){0} + d->lane;
	UNROLL
	for (int round = 0; round < 10; round++) {
		struct halves first = vec_multiply(x0, 0xd2511f53u);
		struct halves second = vec_multiply(x2, 0xcd9e8d57u);

		x0 = second.high ^ x1 ^ key0;
		x1 = second.low;
		x2 = first.high ^ x3 ^ key1;
		x3 = first.low;
		key0 += 0x9e3779b9u;
		key1 += 0xbb67ae85u;
	}
	out[0] = x0;
	out[1] = x1;
	out[2] = x2;
	out[3] = x3;
}

/* The elements of one group: word w of counter j belongs to element 16·w + j. */
INLINE void dropout_group(const struct dropout *d, uint64_t group, const float *x, float *y)
{
	const vec rate = vec_splat(d->rate);

	for (size_t j = 0; j < DROPOUT_COUNTERS; j += LANES) {
		uvec word[4];

		vec_philox(word, d, group * DROPOUT_COUNTERS + j);
		UNROLL
		for (size_t w = 0; w < 4; w++) {
			size_t i = w * DROPOUT_COUNTERS + j;
			vec u = __builtin_convertvector((ivec)(word[w] >> 8), vec) * 0x1p-24f;

			vec_store(y + i,
				vec_if_greater(rate, u, (vec){0}, vec_load(x + i) * d->factor));
		}
	}
}

static void dropout(size_t n, float rate, uint64_t seed, uint32_t stream, uint32_t lane,
	uint64_t first, const float *x, float *y)
{
	const struct dropout d = {rate, 1.0f / (1.0f - rate), seed, stream, lane};

	for (size_t i = 0; i < n;) {
		uint64_t group = (first + i) / DROPOUT_GROUP;
		size_t from = (first + i) % DROPOUT_GROUP;
		size_t count = n - i < DROPOUT_GROUP - from ? n - i : DROPOUT_GROUP - from;
		float part[DROPOUT_GROUP] = {0};

		if (count == DROPOUT_GROUP) {
			dropout_group(&d, group, x + i, y + i);
		} else {
			memcpy(part + from, x + i, count * sizeof(*x));
			dropout_group(&d, group, part, part);
			memcpy(y + i, part + from, count * sizeof(*y));
		}
		i += count;
	}
}

#endif
