/* See floats.h. */
#include "tasks/unit/floats.h"

#include <string.h>

#include "tasks/base/bytes.h"

#define MAGNITUDE 0x7fffffffu
#define INFINITE  0x7f800000u
#define NAN_BITS  0x7fc00000u

void floats_store(uint8_t *out, const float *x, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t bits;

		memcpy(&bits, &x[i], sizeof(bits));
		store_le32(out + 4 * i, (bits & MAGNITUDE) > INFINITE ? NAN_BITS : bits);
	}
}

void floats_load(float *out, const uint8_t *in, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t bits = load_le32(in + 4 * i);

		memcpy(&out[i], &bits, sizeof(bits));
	}
}

bool floats_finite(const float *x, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!(x[i] - x[i] == 0))
			return false;
	}
	return true;
}
