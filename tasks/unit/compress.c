/* See compress.h. The codecs that treat every value alike, in blocks that stay in the cache; O(n). */
#include "tasks/unit/compress.h"

#include "tasks/base/require.h"
#include "tasks/unit/compress_sparse.h"
#include "tasks/unit/floats.h"

/* How one codec packs a block of up to COMPRESS_BLOCK values. */
struct codec {
	size_t header_bytes, value_bytes;
	bool (*pack)(size_t n, const float *x, uint8_t *out);
	bool (*add)(size_t n, const uint8_t *packed, float *sum);
};

static struct codec codec_of(const struct engine *e, enum compression c)
{
	switch (c) {
	case COMPRESSION_FP16:
		return (struct codec){0, 2, e->fp16_pack, e->fp16_add};
	case COMPRESSION_BF16:
		return (struct codec){0, 2, e->bf16_pack, e->bf16_add};
	case COMPRESSION_INT8:
		return (struct codec){4, 1, e->int8_pack, e->int8_add};
	default:
		return (struct codec){0, 4, e->fp32_pack, e->fp32_add};
	}
}

static size_t block_at(size_t at, size_t count)
{
	return count - at < COMPRESS_BLOCK ? count - at : COMPRESS_BLOCK;
}

static size_t blocks_of(size_t count)
{
	return count / COMPRESS_BLOCK + (count % COMPRESS_BLOCK != 0);
}

static size_t block_bytes(const struct codec *codec, size_t n)
{
	return codec->header_bytes + n * codec->value_bytes;
}

size_t compress_bytes(enum compression c, const struct compress_layout *l)
{
	struct codec codec = codec_of(engine_best(), c);

	if (c == COMPRESSION_SPARSELOCO)
		return sparse_bytes(l);
	return blocks_of(l->count) * codec.header_bytes + l->count * codec.value_bytes;
}

struct packing {
	struct codec codec;
	const float *x;
	size_t count;
	uint8_t *out;
	atomic_bool unfit; /* a block that cannot be packed */
};

/* Only the last block may be short, so each has its place. */
static void pack_blocks(void *context, size_t first, size_t count)
{
	struct packing *p = context;
	size_t bytes = block_bytes(&p->codec, COMPRESS_BLOCK);

	for (size_t i = first; i < first + count; i++) {
		size_t at = i * COMPRESS_BLOCK;

		if (!p->codec.pack(block_at(at, p->count), p->x + at, p->out + i * bytes)) {
			atomic_store(&p->unfit, true);
			return;
		}
	}
}

static int dense_pack(
	const struct compute *on, enum compression c, const float *x, size_t count, uint8_t *out)
{
	struct packing p = {codec_of(on->engine, c), x, count, out, false};

	compute_each(on, blocks_of(count), 1, FLOATS_COST * COMPRESS_BLOCK, pack_blocks, &p);
	if (compute_stopped(on))
		return TK_ECANCELED;
	return atomic_load(&p.unfit) ? TK_EDIVERGED : TK_OK;
}

int compress_pack(const struct compute *on, enum compression c, const struct compress_layout *l,
	const float *x, float *feedback, struct bytes *out)
{
	size_t size = compress_bytes(c, l);
	int rc = bytes_reserve(out, size);

	REQUIRE((feedback != NULL) == (c == COMPRESSION_SPARSELOCO));
	if (rc != TK_OK)
		return rc;
	if (c == COMPRESSION_SPARSELOCO)
		rc = sparse_encode(on, l, x, feedback, out->data + out->len);
	else
		rc = dense_pack(on, c, x, l->count, out->data + out->len);
	if (rc == TK_OK)
		out->len += size;
	return rc;
}

static int dense_add(
	const struct codec *codec, const uint8_t *p, float *sum, size_t count, struct errmsg *msg)
{
	for (size_t at = 0; at < count; at += COMPRESS_BLOCK) {
		size_t n = block_at(at, count);

		if (!codec->add(n, p, sum != NULL ? sum + at : NULL))
			return errmsg_set(msg, TK_ECORRUPT,
				"values %zu to %zu of the payload are not what a packer writes", at,
				at + n - 1);
		p += block_bytes(codec, n);
	}
	return TK_OK;
}

/* sum may be NULL. */
static int unpack(const struct engine *e, enum compression c, const struct compress_layout *l,
	struct span packed, float *sum, struct errmsg *msg)
{
	struct codec codec = codec_of(e, c);
	size_t size = compress_bytes(c, l);

	if (packed.len != size)
		return errmsg_set(msg, TK_ECORRUPT, "the payload has %zu bytes; %zu are right",
			packed.len, size);
	if (c == COMPRESSION_SPARSELOCO)
		return sparse_decode(l, packed.data, sum, msg);
	return dense_add(&codec, packed.data, sum, l->count, msg);
}

int compress_add(const struct engine *e, enum compression c, const struct compress_layout *l,
	struct span packed, float *sum, struct errmsg *msg)
{
	REQUIRE(sum != NULL);
	return unpack(e, c, l, packed, sum, msg);
}

int compress_check(const struct engine *e, enum compression c, const struct compress_layout *l,
	struct span packed, struct errmsg *msg)
{
	return unpack(e, c, l, packed, NULL, msg);
}
