/* For kernels.c alone: exp, log, tanh, erf, Φ and their kin of one number, from +, −, ×, ÷, fma and integer operations on
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

/* e^a²·erfc(a) for a ≥ 0, from r = 1 / (1 + 27/64·a): as r·q(r), whose q hardly bends. */
INLINE float scaled_erfc(float r)
{
	float t = r - 0x1.2142cap-1f;
	float q;

	q = fused(-0x1.517152p-5f, t, 0x1.323abcp-6f);
	q = fused(q, t, 0x1.5aa882p-4f);
	q = fused(q, t, -0x1.62fa76p-5f);
	q = fused(q, t, -0x1.69056ap-3f);
	q = fused(q, t, 0x1.f9df28p-7f);
	q = fused(q, t, 0x1.dca1dp-2f);
	q = fused(q, t, 0x1.92565p-1f);
	q = fused(q, t, 0x1.81a876p-1f);
	q = fused(q, t, 0x1.f334aep-2f);
	return r * q;
}

/* With a = |x|: a + a·p(a²) below 0.75, else 1 − erfc(a). */
INLINE float erf_one(float x)
{
	uint32_t sign = bits_of(x) & 0x80000000u;
	float a = from_bits(bits_of(x) ^ sign);
	float square, large, p, small;

	a = a > 4.0f ? 4.0f : a;
	square = a * a;
	large = 1.0f - exp_one(-square) * scaled_erfc(1.0f / fused(0x1.bp-2f, a, 1.0f));
	p = fused(-0x1.6190d2p-11f, square, 0x1.4f22d4p-8f);
	p = fused(p, square, -0x1.b7a82p-6f);
	p = fused(p, square, 0x1.ce2ad2p-4f);
	p = fused(p, square, -0x1.81273ap-2f);
	p = fused(p, square, 0x1.06eba8p-3f);
	small = fused(a, p, a);
	return from_bits(bits_of(a < 0.75f ? small : large) | sign);
}

/* The normal distribution at x: its density but for the factor 1 / √2π, and the share below x. Both
 * come from e^(−x²/2) with x² to twice the precision, so that the lower tail stays exact. */
struct normal {
	float x; /* within ±15 */
	float bell, share;
};

INLINE struct normal normal_one(float x)
{
	struct normal y = {.x = x};
	float square, rest, u, tail;

	y.x = y.x > 15.0f ? 15.0f : y.x;
	y.x = y.x < -15.0f ? -15.0f : y.x;
	u = from_bits(bits_of(y.x) & 0x7fffffffu);
	square = u * u;
	rest = fused(u, u, -square);
	y.bell = exp_one(-0.5f * square);
	y.bell = fused(y.bell, -0.5f * rest, y.bell);
	tail = 0.5f * y.bell * scaled_erfc(1.0f / fused(0x1.31785ap-2f, u, 1.0f));
	y.share = x < 0.0f ? tail : 1.0f - tail;
	return y;
}

INLINE float gelu_one(float x)
{
	return x * normal_one(x).share;
}

INLINE float gelu_slope(float x)
{
	struct normal y = normal_one(x);

	return fused(y.x, y.bell * 0x1.988454p-2f, y.share);
}

/* 1 / (1 + e^−x) from e^−|x|, which does not overflow. */
INLINE float sigmoid_one(float x)
{
	float e = exp_one(from_bits(bits_of(x) | 0x80000000u));

	return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

INLINE float silu_slope(float x)
{
	float s = sigmoid_one(x);

	return s * fused(x, 1.0f - s, 1.0f);
}

#endif
