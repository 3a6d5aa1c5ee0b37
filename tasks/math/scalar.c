/* See scalar.h. The polynomials are the Taylor series of cos(πt) and sin(πt), cut where their
 * remainder on [0, ¼] is below 2^-60. */
#include "tasks/math/scalar.h"

/* c[0] + c[1]·x + …, highest first. */
static double horner(const double *c, int count, double x)
{
	double y = c[count - 1];

	for (int i = count - 2; i >= 0; i--)
		y = y * x + c[i];
	return y;
}

double scalar_cos_pi(double t)
{
	static const double cosine[] = {0x1p+0, -0x1.3bd3cc9be45dep+2, 0x1.03c1f081b5ac4p+2,
		-0x1.55d3c7e3cbffap+0, 0x1.e1f506891babbp-3, -0x1.a6d1f2a204a8cp-6,
		0x1.f9d38a3763cc3p-10, -0x1.b6e24f44b128fp-14, 0x1.20c62c2f2d7f5p-18};
	static const double sine[] = {0x1.921fb54442d18p+1, -0x1.4abbce625be53p+2,
		0x1.466bc6775aae2p+1, -0x1.32d2cce62bd86p-1, 0x1.50783487ee782p-4,
		-0x1.e3074fde8871fp-8, 0x1.e8f434d018d63p-12, -0x1.6fadb9f155744p-16,
		0x1.aaec32af93359p-21};
	double sign = 1;
	double y;

	t = t > 0 ? t : 0;
	t = t < 1 ? t : 1;
	if (t > 0.5) {
		t = 1 - t;
		sign = -1;
	}
	if (t <= 0.25)
		y = horner(cosine, 9, t * t);
	else
		y = (0.5 - t) * horner(sine, 9, (0.5 - t) * (0.5 - t));
	return sign * y;
}

double scalar_power(double x, uint64_t n)
{
	double result = 1;

	for (; n != 0; n >>= 1) {
		if (n & 1)
			result *= x;
		x *= x;
	}
	return result;
}
