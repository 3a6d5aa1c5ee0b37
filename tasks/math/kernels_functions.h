/* For kernels.c alone: exp, log and tanh of one number, from +, −, ×, ÷, fma and integer operations on
 * the bits, without branches, so that loops over them become vector code. The polynomials are minimax
 * fits; NUMERICS.md repeats them and states the errors. */
#ifndef TASKS_MATH_KERNELS_FUNCTIONS_H
#define TASKS_MATH_KERNELS_FUNCTIONS_H

#include "tasks/math/kernels_vector.h"

#define LN2_HIGH 0x1.62e43p-1f
#define LN2_LOW	 -0x1.05c61p-29f

/* e^x = 2^n · e^r with |r| ≤ ½ ln 2; two factors of 2, so that subnormal results round once. */
INLINE float exp_one(float x)
{
	const float magic =
		0x1.8p23f; /* adding it rounds to an integer, which its low bits then hold */
	float shifted, n, r, q, p;
	uint32_t power, half;

	x = x > 89.0f ? 89.0f : x;
	x = x < -104.0f ? -104.0f : x;
	shifted = fused(x, 0x1.715476p+0f, magic);
	n = shifted - magic;
	r = fused(n, -LN2_HIGH, x);
	r = fused(n, -LN2_LOW, r);
	q = fused(0x1.6d6bccp-10f, r, 0x1.123ab8p-7f);
	q = fused(q, r, 0x1.5554cep-5f);
	q = fused(q, r, 0x1.55549p-3f);
	q = fused(q, r, 0x1p-1f);
	p = 1.0f + fused(r * r, q, r);
	power = bits_of(shifted) - bits_of(magic);
	half = (uint32_t)((int32_t)power >> 1);
	return p * from_bits((half + 127) << 23) * from_bits((power - half + 127) << 23);
}

/* x = 2^e · (1 + f) with √½ ≤ 1 + f < √2; log(1 + f) = f − f²/2 + f³·p(f). */
INLINE float log_one(float x)
{
	bool tiny = x < 0x1p-126f;
	uint32_t u = bits_of(tiny ? x * 0x1p23f : x) - 0x3f3504f3u;
	float e = (float)((int32_t)u >> 23) - (tiny ? 23.0f : 0.0f);
	float f = from_bits((u & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
	float square = f * f;
	float p, y;

	p = fused(0x1.14733ep-4f, f, -0x1.de01dcp-4f);
	p = fused(p, f, 0x1.e6c00ap-4f);
	p = fused(p, f, -0x1.fc28cap-4f);
	p = fused(p, f, 0x1.233ba2p-3f);
	p = fused(p, f, -0x1.555c44p-3f);
	p = fused(p, f, 0x1.99a476p-3f);
	p = fused(p, f, -0x1.000006p-2f);
	p = fused(p, f, 0x1.555548p-2f);
	y = square * f * p;
	y = fused(e, LN2_LOW, y);
	y = fused(-0.5f, square, y);
	y = fused(e, LN2_HIGH, f + y);
	y = x < INFINITY ? y : INFINITY;
	y = x > 0.0f ? y : NAN;
	return x == 0.0f ? -INFINITY : y;
}

/* With a = |x|: a + a³·p(a²) below 0.625, else 1 − 2 / (e^2a + 1). */
INLINE float tanh_one(float x)
{
	uint32_t sign = bits_of(x) & 0x80000000u;
	float a = from_bits(bits_of(x) ^ sign);
	float square = a * a;
	float large = 1.0f - 2.0f / (exp_one(a + a) + 1.0f);
	float p, small;

	p = fused(0x1.1ace3ep-9f, square, -0x1.0c895ep-7f);
	p = fused(p, square, 0x1.63ad18p-6f);
	p = fused(p, square, -0x1.b9f22p-5f);
	p = fused(p, square, 0x1.11107cp-3f);
	p = fused(p, square, -0x1.555554p-2f);
	small = fused(a * square, p, a);
	return from_bits(bits_of(a < 0.625f ? small : large) | sign);
}

#endif
