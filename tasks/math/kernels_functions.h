/* For kernels.c alone: exp, log, tanh, erf and their kin of each lane, from +, −, ×, ÷, fma and integer
 * operations on the bits, without branches. The polynomials are minimax fits; NUMERICS.md repeats them
 * and states the errors. */
#ifndef TASKS_MATH_KERNELS_FUNCTIONS_H
#define TASKS_MATH_KERNELS_FUNCTIONS_H

#include "tasks/math/kernels_lanes.h"
#include "tasks/math/kernels_vector.h"

#define LN2_HIGH 0x1.62e43p-1f
#define LN2_LOW	 -0x1.05c61p-29f

/* One step of a polynomial in x. */
INLINE vec horner(vec p, vec x, float c)
{
	return vec_fma(p, x, vec_splat(c));
}

/* e^x = 2^n · e^r with |r| ≤ ½ ln 2. */
INLINE vec vec_exp(vec x)
{
	/* adding it rounds to an integer, which the low bits then hold */
	const vec magic = vec_splat(0x1.8p23f);
	vec shifted, n, r, q, p;

	x = vec_least(vec_splat(89.0f), x);
	x = vec_most(vec_splat(-104.0f), x);
	shifted = vec_fma(x, vec_splat(0x1.715476p+0f), magic);
	n = shifted - magic;
	r = vec_fma(n, vec_splat(-LN2_HIGH), x);
	r = vec_fma(n, vec_splat(-LN2_LOW), r);
	q = horner(vec_splat(0x1.6d6bccp-10f), r, 0x1.123ab8p-7f);
	q = horner(q, r, 0x1.5554cep-5f);
	q = horner(q, r, 0x1.55549p-3f);
	q = horner(q, r, 0x1p-1f);
	p = 1.0f + vec_fma(r * r, q, r);
	return vec_scale(p, n, shifted);
}

/* x = 2^e · (1 + f) with √½ ≤ 1 + f < √2; log(1 + f) = f − f²/2 + f³·p(f). */
INLINE vec vec_log(vec x)
{
	const vec zero = {0}, normal = vec_splat(0x1p-126f);
	uvec u = (uvec)vec_if_greater(normal, x, x * 0x1p23f, x) - 0x3f3504f3u;
	vec shift = vec_if_greater(normal, x, vec_splat(23.0f), zero);
	vec e = __builtin_convertvector((ivec)u >> 23, vec) - shift;
	vec f = (vec)((u & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
	vec square = f * f;
	vec p, y;

	p = horner(vec_splat(0x1.14733ep-4f), f, -0x1.de01dcp-4f);
	p = horner(p, f, 0x1.e6c00ap-4f);
	p = horner(p, f, -0x1.fc28cap-4f);
	p = horner(p, f, 0x1.233ba2p-3f);
	p = horner(p, f, -0x1.555c44p-3f);
	p = horner(p, f, 0x1.99a476p-3f);
	p = horner(p, f, -0x1.000006p-2f);
	p = horner(p, f, 0x1.555548p-2f);
	y = square * f * p;
	y = vec_fma(e, vec_splat(LN2_LOW), y);
	y = vec_fma(vec_splat(-0.5f), square, y);
	y = vec_fma(e, vec_splat(LN2_HIGH), f + y);
	y = vec_if_greater(vec_splat(INFINITY), x, y, x);
	/* −∞ at zero, NaN below it and for NaN */
	return vec_if_greater(x, zero, y, vec_if_greater(zero, x, vec_splat(NAN), x - INFINITY));
}

INLINE float log_one(float x)
{
	return vec_log(vec_splat(x))[0];
}

/* With a = |x|: a + a³·p(a²) below 0.625, else 1 − 2 / (e^2a + 1). */
INLINE vec vec_tanh(vec x)
{
	vec a = vec_abs(x), square = a * a;
	vec large = 1.0f - 2.0f / (vec_exp(a + a) + 1.0f);
	vec p, small;

	p = horner(vec_splat(0x1.1ace3ep-9f), square, -0x1.0c895ep-7f);
	p = horner(p, square, 0x1.63ad18p-6f);
	p = horner(p, square, -0x1.b9f22p-5f);
	p = horner(p, square, 0x1.11107cp-3f);
	p = horner(p, square, -0x1.555554p-2f);
	small = vec_fma(a * square, p, a);
	return vec_signed(vec_if_greater(vec_splat(0.625f), a, small, large), x);
}

/* e^a²·erfc(a) for a ≥ 0, from s = 17/32·a: as a polynomial in s / (1 + s), which small a reach without
 * a rounding that their slope would magnify. */
INLINE vec vec_scaled_erfc(vec s)
{
	vec t = vec_fma(s, 1.0f / (1.0f + s), vec_splat(-0x1.d6d4a4p-2f));
	vec p;

	p = horner(vec_splat(0x1.b62c32p-5f), t, 0x1.581df8p-5f);
	p = horner(p, t, -0x1.21ef0ap-4f);
	p = horner(p, t, -0x1.b5b576p-4f);
	p = horner(p, t, 0x1.f5a098p-5f);
	p = horner(p, t, 0x1.b5244cp-3f);
	p = horner(p, t, -0x1.b274cp-4f);
	p = horner(p, t, -0x1.01416ep-1f);
	p = horner(p, t, 0x1.00660cp+0f);
	p = horner(p, t, -0x1.ec3774p-1f);
	return horner(p, t, 0x1.38f704p-2f);
}

/* With a = |x|: a + a·p(a²) below 0.75, else 1 − erfc(a). */
INLINE vec vec_erf(vec x)
{
	vec a = vec_least(vec_splat(4.0f), vec_abs(x)), square = a * a;
	vec large = 1.0f - vec_exp(-square) * vec_scaled_erfc(0x1.1p-1f * a);
	vec p, small;

	p = horner(vec_splat(-0x1.6190d2p-11f), square, 0x1.4f22d4p-8f);
	p = horner(p, square, -0x1.b7a82p-6f);
	p = horner(p, square, 0x1.ce2ad2p-4f);
	p = horner(p, square, -0x1.81273ap-2f);
	p = horner(p, square, 0x1.06eba8p-3f);
	small = vec_fma(a, p, a);
	return vec_signed(vec_if_greater(vec_splat(0.75f), a, small, large), x);
}

/* The normal distribution at x: its density but for the factor 1 / √2π, and the share below x. Both
 * come from e^(−x²/2) with x² to twice the precision, so that the lower tail keeps its digits. */
struct normal {
	vec x; /* within ±15 */
	vec bell, share;
};

INLINE struct normal vec_normal(vec x)
{
	struct normal y;
	vec square, rest, u, tail;

	u = vec_least(vec_splat(15.0f), vec_abs(x));
	y.x = vec_signed(u, x);
	square = u * u;
	rest = vec_fma(u, u, -square);
	y.bell = vec_exp(-0.5f * square);
	y.bell = vec_fma(y.bell, -0.5f * rest, y.bell);
	tail = 0.5f * y.bell * vec_scaled_erfc(0x1.80aa84p-2f * u);
	y.share = vec_if_greater((vec){0}, x, tail, 1.0f - tail);
	return y;
}

INLINE vec vec_gelu(vec x)
{
	return x * vec_normal(x).share;
}

INLINE vec vec_gelu_slope(vec x)
{
	struct normal y = vec_normal(x);

	return vec_fma(y.x, y.bell * 0x1.988454p-2f, y.share);
}

/* 1 / (1 + e^−x) from e^−|x|, which does not overflow. */
INLINE vec vec_sigmoid(vec x)
{
	vec e = vec_exp((vec)((uvec)x | SIGN_BIT));

	return vec_if_greater((vec){0}, x, e, vec_splat(1.0f)) / (1.0f + e);
}

INLINE vec vec_silu(vec x)
{
	return x * vec_sigmoid(x);
}

INLINE vec vec_silu_slope(vec x)
{
	vec s = vec_sigmoid(x);

	return s * vec_fma(x, 1.0f - s, vec_splat(1.0f));
}

#endif
