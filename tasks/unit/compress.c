/* See compress.h. O(n) in the number of parameters, one pass each. */
#include "tasks/unit/compress.h"

#include <math.h>
#include <string.h>

#include "tasks/base/require.h"

static float load_f32(const uint8_t *p)
{
	uint32_t bits = load_le32(p);
	float v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static void store_f32(uint8_t *p, float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	store_le32(p, bits);
}

static size_t block_at(size_t at, size_t count)
{
	return count - at < COMPRESS_BLOCK ? count - at : COMPRESS_BLOCK;
}

size_t compress_bytes(enum compression c, size_t count)
{
	if (c == COMPRESSION_NONE)
		return count * 4;
	return count + (count + COMPRESS_BLOCK - 1) / COMPRESS_BLOCK * 4;
}

/* Largest magnitude of the block; −1 when a value is not finite. */
static float block_max(const float *x, size_t n)
{
	float max = 0;

	for (size_t i = 0; i < n; i++) {
		float a = fabsf(x[i]);

		if (!(a - a == 0))
			return -1;
		max = a > max ? a : max;
	}
	return max;
}

/* x / s rounded half to even and clamped; adding and subtracting 1.5·2^23 rounds to an integer when
 * |x| < 2^22, exactly as rintf does, without a library call. */
static int8_t quantise(float x, float scale)
{
	const float shift = 12582912.0f;
	float rounded = x / scale + shift;
	float q = rounded - shift;

	if (q > 127)
		q = 127;
	if (q < -127)
		q = -127;
	return (int8_t)q;
}

static int pack_int8(const float *x, size_t count, uint8_t *out)
{
	for (size_t at = 0; at < count; at += COMPRESS_BLOCK) {
		size_t n = block_at(at, count);
		float max = block_max(x + at, n);
		float scale = max / 127.0f;

		if (max < 0)
			return TK_EDIVERGED;
		store_f32(out, scale);
		out += 4;
		for (size_t i = 0; i < n; i++)
			out[i] = scale > 0 ? (uint8_t)quantise(x[at + i], scale) : 0;
		out += n;
	}
	return TK_OK;
}

static int pack_none(const float *x, size_t count, uint8_t *out)
{
	for (size_t i = 0; i < count; i++) {
		if (!(x[i] - x[i] == 0))
			return TK_EDIVERGED;
		store_f32(out + 4 * i, x[i]);
	}
	return TK_OK;
}

int compress_pack(enum compression c, const float *x, size_t count, struct bytes *out)
{
	size_t size = compress_bytes(c, count);
	int rc = bytes_reserve(out, size);

	if (rc != TK_OK)
		return rc;
	rc = c == COMPRESSION_NONE ? pack_none(x, count, out->data + out->len)
				   : pack_int8(x, count, out->data + out->len);
	if (rc == TK_OK)
		out->len += size;
	return rc;
}

/* Unpacks one int8 block; sum may be NULL. */
static int unpack_int8_block(const uint8_t *p, float *sum, size_t n, struct errmsg *msg)
{
	float scale = load_f32(p);

	p += 4;
	if (!(scale - scale == 0) || signbit(scale))
		return errmsg_set(msg, TK_ECORRUPT, "a block's scale is negative or not finite");
	for (size_t i = 0; i < n; i++) {
		if (p[i] == 0x80)
			return errmsg_set(
				msg, TK_ECORRUPT, "a value is -128, which no packer writes");
		if (sum != NULL)
			sum[i] += scale * (float)(int8_t)p[i];
	}
	return TK_OK;
}

static int unpack_none(const uint8_t *p, float *sum, size_t count, struct errmsg *msg)
{
	for (size_t i = 0; i < count; i++) {
		float v = load_f32(p + 4 * i);

		if (!(v - v == 0))
			return errmsg_set(msg, TK_ECORRUPT, "value %zu is not finite", i);
		if (sum != NULL)
			sum[i] += v;
	}
	return TK_OK;
}

static int unpack(
	enum compression c, struct span packed, float *sum, size_t count, struct errmsg *msg)
{
	const uint8_t *p = packed.data;

	if (packed.len != compress_bytes(c, count))
		return errmsg_set(msg, TK_ECORRUPT, "the payload has %zu bytes; %zu are right",
			packed.len, compress_bytes(c, count));
	if (c == COMPRESSION_NONE)
		return unpack_none(p, sum, count, msg);
	for (size_t at = 0; at < count; at += COMPRESS_BLOCK) {
		size_t n = block_at(at, count);
		int rc = unpack_int8_block(p, sum != NULL ? sum + at : NULL, n, msg);

		if (rc != TK_OK)
			return rc;
		p += 4 + n;
	}
	return TK_OK;
}

int compress_add(
	enum compression c, struct span packed, float *sum, size_t count, struct errmsg *msg)
{
	REQUIRE(sum != NULL);
	return unpack(c, packed, sum, count, msg);
}

int compress_check(enum compression c, struct span packed, size_t count, struct errmsg *msg)
{
	return unpack(c, packed, NULL, count, msg);
}
