/* For kernels.c alone: packing of updates value by value, as float32, fp16, bf16 and int8.
 *
 * Integer operations on the bits and IEEE +, −, ×, ÷ without branches, so that the loops become vector
 * code. NUMERICS.md, "Update compression", is the specification. Each …_add checks everything first and
 * adds nothing when it returns false. */
#ifndef TASKS_MATH_KERNELS_COMPRESS_H
#define TASKS_MATH_KERNELS_COMPRESS_H

#include "tasks/math/kernels_vector.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed values are little-endian");

#define MAGNITUDE     0x7fffffff
#define BITS_NORMAL   0x00800000
#define BITS_INFINITY 0x7f800000

/* The largest magnitude's bits; above BITS_INFINITY when there is a NaN. */
INLINE int32_t magnitude_max(size_t n, const float *x)
{
	int32_t max = 0;

	for (size_t i = 0; i < n; i++) {
		int32_t a = (int32_t)bits_of(x[i]) & MAGNITUDE;

		max = a > max ? a : max;
	}
	return max;
}

/* ---- float32 ---- */

static bool fp32_pack(size_t n, const float *x, uint8_t *out)
{
	int32_t max = 0;

	for (size_t i = 0; i < n; i++) {
		float v = x[i] + 0.0f; /* −0 becomes +0 */
		int32_t a = (int32_t)bits_of(v) & MAGNITUDE;

		max = a > max ? a : max;
		memcpy(out + 4 * i, &v, sizeof(v));
	}
	return max < BITS_INFINITY;
}

static bool fp32_add(size_t n, const uint8_t *packed, float *sum)
{
	uint32_t bad = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t u;

		memcpy(&u, packed + 4 * i, sizeof(u));
		bad |= (uint32_t)((u & MAGNITUDE) >= BITS_INFINITY) | (uint32_t)(u == 0x80000000u);
	}
	if (bad != 0 || sum == NULL)
		return bad == 0;
	INDEPENDENT
	for (size_t i = 0; i < n; i++) {
		float v;

		memcpy(&v, packed + 4 * i, sizeof(v));
		sum[i] += v;
	}
	return true;
}

/* ---- Two bytes ---- */

/* The magnitudes from which on rounding gives infinity: 65520 and 2^128 − 2^119. */
#define HALF_BEYOND  0x477ff000
#define BRAIN_BEYOND 0x7f7f8000

/* To binary16, ties to even; |x| < 65520. Below 2^-14, adding ½ rounds to a multiple of 2^-24. */
INLINE uint32_t half_from(float x)
{
	uint32_t u = bits_of(x);
	uint32_t a = u & MAGNITUDE;
	uint32_t small = bits_of(from_bits(a) + 0.5f) - 0x3f000000u;
	uint32_t large = (a + 0xfffu + (a >> 13 & 1u) - (112u << 23)) >> 13;
	uint32_t half = a < 113u << 23 ? small : large;
	uint32_t sign = half != 0 ? 0x8000u : 0;

	return half | (u >> 16 & sign);
}

INLINE float half_value(uint32_t half)
{
	uint32_t a = (half & 0x7fffu) << 13;
	float small = from_bits(a + (113u << 23)) - 0x1p-14f;
	float v = a < 1u << 23 ? small : from_bits(a + (112u << 23));

	return from_bits(bits_of(v) | (half & 0x8000u) << 16);
}

/* To bfloat16, ties to even; |x| < 2^128 − 2^119. */
INLINE uint32_t brain_from(float x)
{
	uint32_t u = bits_of(x);
	uint32_t brain = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;

	return brain == 0x8000u ? 0 : brain;
}

INLINE float brain_value(uint32_t brain)
{
	return from_bits(brain << 16);
}

INLINE bool short_pack(const bool brain, size_t n, const float *x, uint8_t *out)
{
	int32_t max = magnitude_max(n, x);

	if (max >= (brain ? BRAIN_BEYOND : HALF_BEYOND))
		return false;
	INDEPENDENT
	for (size_t i = 0; i < n; i++) {
		uint16_t u = (uint16_t)(brain ? brain_from(x[i]) : half_from(x[i]));

		memcpy(out + 2 * i, &u, sizeof(u));
	}
	return true;
}

/* Refuses the infinity of the format, NaN and −0. */
INLINE bool short_add(const bool brain, size_t n, const uint8_t *packed, float *sum)
{
	const uint16_t infinity = brain ? 0x7f80u : 0x7c00u;
	uint16_t bad = 0;

	for (size_t i = 0; i < n; i++) {
		uint16_t u;

		memcpy(&u, packed + 2 * i, sizeof(u));
		bad |= (uint16_t)((u & 0x7fffu) >= infinity) | (uint16_t)(u == 0x8000u);
	}
	if (bad != 0 || sum == NULL)
		return bad == 0;
	INDEPENDENT
	for (size_t i = 0; i < n; i++) {
		uint16_t u;

		memcpy(&u, packed + 2 * i, sizeof(u));
		sum[i] += brain ? brain_value(u) : half_value(u);
	}
	return true;
}

static bool fp16_pack(size_t n, const float *x, uint8_t *out)
{
	return short_pack(false, n, x, out);
}

static bool fp16_add(size_t n, const uint8_t *packed, float *sum)
{
	return short_add(false, n, packed, sum);
}

static bool bf16_pack(size_t n, const float *x, uint8_t *out)
{
	return short_pack(true, n, x, out);
}

static bool bf16_add(size_t n, const uint8_t *packed, float *sum)
{
	return short_add(true, n, packed, sum);
}

/* ---- int8, one block ---- */

static bool int8_pack(size_t n, const float *x, uint8_t *out)
{
	const float magic = 0x1.8p23f; /* adding it rounds to an integer, in the low bits */
	int32_t max = magnitude_max(n, x);
	float scale = from_bits((uint32_t)max) / 127.0f;

	if (max >= BITS_INFINITY - 1) /* FLT_MAX / 127 · 127 is infinite */
		return false;
	scale = scale < FLT_MIN ? 0.0f : scale;
	memcpy(out, &scale, sizeof(scale));
	out += sizeof(scale);
	if (scale == 0.0f) {
		memset(out, 0, n);
		return true;
	}
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)bits_of(x[i] / scale + magic);
	return true;
}

/* What a packer writes: a scale that 127 times itself gives back, and a value of ±127; or all zero. */
INLINE bool int8_canonical(size_t n, float scale, const uint8_t *q)
{
	uint8_t any = 0, full = 0, bad = 0;

	for (size_t i = 0; i < n; i++) {
		any |= q[i];
		full |= (uint8_t)(q[i] == 0x7f) | (uint8_t)(q[i] == 0x81);
		bad |= (uint8_t)(q[i] == 0x80);
	}
	if (bits_of(scale) == 0)
		return any == 0;
	return scale >= FLT_MIN && scale * 127.0f <= FLT_MAX && scale * 127.0f / 127.0f == scale &&
	       full != 0 && bad == 0;
}

static bool int8_add(size_t n, const uint8_t *packed, float *sum)
{
	const int8_t *q = (const int8_t *)packed + sizeof(float);
	float scale;

	memcpy(&scale, packed, sizeof(scale));
	if (!int8_canonical(n, scale, packed + sizeof(scale)))
		return false;
	if (sum == NULL || scale == 0.0f)
		return true;
	INDEPENDENT
	for (size_t i = 0; i < n; i++)
		sum[i] += scale * (float)q[i];
	return true;
}

#endif
