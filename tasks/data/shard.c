/* See shard.h. The loads are written out here, not called, because every sample of the training goes
 * through them. */
#include "tasks/data/shard.h"

#include <string.h>

#include "tasks/base/require.h"

/* (float)v / 255.0f for every byte v, rounded to nearest by the compiler as the division would be. */
#define PIXEL1(v)  (v) / 255.0f
#define PIXEL4(v)  PIXEL1(v), PIXEL1((v) + 1), PIXEL1((v) + 2), PIXEL1((v) + 3)
#define PIXEL16(v) PIXEL4(v), PIXEL4((v) + 4), PIXEL4((v) + 8), PIXEL4((v) + 12)
#define PIXEL64(v) PIXEL16(v), PIXEL16((v) + 16), PIXEL16((v) + 32), PIXEL16((v) + 48)
static const float pixel[256] = {PIXEL64(0), PIXEL64(64), PIXEL64(128), PIXEL64(192)};

static inline uint32_t le16(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t le32(const uint8_t *p)
{
	return le16(p) | le16(p + 2) << 16;
}

static void read_floats(float *out, const uint8_t *p, size_t count)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	memcpy(out, p, count * sizeof(*out));
#else
	for (size_t i = 0; i < count; i++) {
		uint32_t bits = le32(p + 4 * i);

		memcpy(out + i, &bits, sizeof(bits));
	}
#endif
}

static bool all_finite(const uint8_t *p, size_t count)
{
	const uint32_t exponent = 0x7f800000u;
	uint32_t bad = 0;

	for (size_t i = 0; i < count; i++)
		bad |= (le32(p + 4 * i) & exponent) == exponent;
	return bad == 0;
}

static int check_text(
	const struct dataset *d, uint32_t shard, struct span bytes, struct errmsg *msg)
{
	for (size_t at = 0; at < bytes.len; at += 2) {
		uint32_t token = le16(bytes.data + at);

		if (token >= d->classes)
			return errmsg_set(msg, TK_ECORRUPT,
				"shard %u: token %u at byte %zu is not among the %u of the "
				"vocabulary",
				shard, token, at, d->classes);
	}
	return TK_OK;
}

static int check_dense(
	const struct dataset *d, uint32_t shard, struct span bytes, struct errmsg *msg)
{
	size_t size = dataset_sample_bytes(d);

	for (size_t at = 0; at < bytes.len; at += size) {
		const uint8_t *sample = bytes.data + at;
		uint32_t label = le32(sample + size - 4);

		if (d->label == LABEL_NUMBER && !all_finite(sample + size - 4, 1))
			return errmsg_set(msg, TK_ECORRUPT,
				"shard %u: the label of sample %zu is not finite", shard,
				at / size);
		if (d->label != LABEL_NUMBER && label >= d->classes)
			return errmsg_set(msg, TK_ECORRUPT,
				"shard %u: sample %zu has label %u of %u classes", shard, at / size,
				label, d->classes);
		if (d->kind == SAMPLE_F32 && !all_finite(sample, d->features))
			return errmsg_set(msg, TK_ECORRUPT,
				"shard %u: sample %zu has a feature that is not finite", shard,
				at / size);
	}
	return TK_OK;
}

int shard_check(const struct dataset *d, const struct dataset_part *p, uint32_t shard,
	struct span bytes, struct errmsg *msg)
{
	size_t want = dataset_shard_bytes(d, p, shard);

	if (bytes.len != want)
		return errmsg_set(msg, TK_ECORRUPT, "shard %u has %zu bytes where %zu belong",
			shard, bytes.len, want);
	if (d->kind == SAMPLE_TEXT)
		return check_text(d, shard, bytes, msg);
	return check_dense(d, shard, bytes, msg);
}

void shard_sample_dense(const struct dataset *d, struct span shard, uint64_t index, float *features,
	uint32_t *label)
{
	size_t size = dataset_sample_bytes(d);
	const uint8_t *sample = shard.data + index * size;

	REQUIRE(index < shard.len / size);
	if (d->kind == SAMPLE_F32) {
		read_floats(features, sample, d->features);
	} else {
		for (size_t i = 0; i < d->features; i++)
			features[i] = pixel[sample[i]];
	}
	*label = le32(sample + size - 4);
}

void shard_sample_text(const struct dataset *d, struct span shard, uint64_t index, uint32_t *tokens,
	uint32_t *labels, uint32_t count)
{
	const uint8_t *window = shard.data + index * 2;
	size_t first = d->context - count + 1;

	REQUIRE(index < shard.len / 2 && d->context < shard.len / 2 - index);
	for (size_t i = 0; i < d->context; i++)
		tokens[i] = le16(window + 2 * i);
	for (size_t i = 0; i < count; i++)
		labels[i] = le16(window + 2 * (first + i));
}
