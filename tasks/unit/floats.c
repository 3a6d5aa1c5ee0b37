/* See floats.h. */
#include "tasks/unit/floats.h"

#include <string.h>

#include "tasks/base/bytes.h"

#define MAGNITUDE 0x7fffffffu
#define INFINITE  0x7f800000u
#define NAN_BITS  0x7fc00000u

#define GRAIN 4096u

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

/* One array on its way. */
struct floats {
	float *to;
	const float *from;
	uint8_t *bytes_to;
	const uint8_t *bytes_from;
	atomic_bool infinite;
};

static void store_part(void *context, size_t first, size_t count)
{
	struct floats *f = context;

	floats_store(f->bytes_to + 4 * first, f->from + first, count);
}

static void load_part(void *context, size_t first, size_t count)
{
	struct floats *f = context;

	floats_load(f->to + first, f->bytes_from + 4 * first, count);
}

static void finite_part(void *context, size_t first, size_t count)
{
	struct floats *f = context;

	if (!floats_finite(f->from + first, count))
		atomic_store(&f->infinite, true);
}

static void clear_part(void *context, size_t first, size_t count)
{
	struct floats *f = context;

	memset(f->to + first, 0, count * sizeof(float));
}

void floats_store_on(const struct compute *c, uint8_t *out, const float *x, size_t count)
{
	struct floats f = {.bytes_to = out, .from = x};

	compute_each(c, count, GRAIN, FLOATS_COST, store_part, &f);
}

void floats_load_on(const struct compute *c, float *out, const uint8_t *in, size_t count)
{
	struct floats f = {.to = out, .bytes_from = in};

	compute_each(c, count, GRAIN, FLOATS_COST, load_part, &f);
}

bool floats_finite_on(const struct compute *c, const float *x, size_t count)
{
	struct floats f = {.from = x};

	compute_each(c, count, GRAIN, FLOATS_COST, finite_part, &f);
	return !atomic_load(&f.infinite);
}

void floats_clear_on(const struct compute *c, float *x, size_t count)
{
	struct floats f = {.to = x};

	compute_each(c, count, GRAIN, FLOATS_COST, clear_part, &f);
}
