/* Inputs that tests and numerics_reference.py make in the same way, and digests of results. */
#ifndef TESTS_MATH_INPUTS_H
#define TESTS_MATH_INPUTS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/digest.h"
#include "tasks/base/mem.h"
#include "tasks/math/philox.h"

enum input_kind {
	INPUT_PLAIN, /* uniform in [−2, 2) */
	INPUT_WIDE,  /* the same, times 2^−16 … 2^15 */
	INPUT_NASTY, /* the same, one in eight NaN, ±0, ±∞, subnormal … */
	INPUT_REALS, /* any 32 bits */
	INPUT_KINDS
};

static inline uint32_t float_bits(float x)
{
	uint32_t u;

	if (isnan(x))
		return 0x7fc00000u;
	memcpy(&u, &x, sizeof(u));
	return u;
}

static inline float input_value(enum input_kind kind, uint64_t seed, uint64_t i)
{
	static const float special[] = {NAN, 0.0f, -0.0f, INFINITY, -INFINITY, 0x1p-149f,
		-0x1p-127f, 0x1p127f, -1.0f, 1.0f};
	uint32_t word[4];
	float x;

	philox(word, seed, 99, 0, i);
	x = (float)(word[0] >> 8) * 0x1p-22f - 2.0f;
	if (kind != INPUT_PLAIN)
		x = ldexpf(x, (int)(word[1] % 32) - 16);
	if (kind == INPUT_NASTY && word[2] % 8 == 0)
		x = special[word[3] % 10];
	if (kind == INPUT_REALS)
		memcpy(&x, &word[3], sizeof(x));
	return x;
}

static inline void inputs_fill(float *x, enum input_kind kind, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		x[i] = input_value(kind, seed, i);
}

/* An array for the caller to mem_free. */
static inline float *inputs_new(enum input_kind kind, size_t n, uint64_t seed)
{
	float *x = mem_floats(n);

	if (x == NULL)
		abort();
	inputs_fill(x, kind, n, seed);
	return x;
}

/* Every NaN counts as 7fc00000. */
static inline void floats_digest(char hex[DIGEST_HEX], const float *x, size_t n)
{
	uint8_t *bytes = mem_alloc(n * 4);
	struct digest d;

	if (bytes == NULL)
		abort();
	for (size_t i = 0; i < n; i++)
		store_le32(bytes + 4 * i, float_bits(x[i]));
	digest_bytes(&d, bytes, n * 4);
	mem_free(bytes);
	digest_hex(hex, &d);
}

/* The first index where the bits differ, or n. */
static inline size_t floats_differ(const float *a, const float *b, size_t n)
{
	size_t i = 0;

	while (i < n && float_bits(a[i]) == float_bits(b[i]))
		i++;
	return i;
}

#endif
