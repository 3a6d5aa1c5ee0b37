/* See compress_sparse.h. Divides the planes into blocks; the engine packs one. Reading is done here,
 * since it touches only what was kept. */
#include "tasks/unit/compress_sparse.h"

#include <string.h>

#include "tasks/base/require.h"
#include "tasks/unit/floats.h"

#define LEVEL_MAX    0x7b80u /* 2^120 as bf16 */
#define VECTOR_SHARE 16u     /* of a vector, one value in so many is kept */

/* A walk over the blocks of a layout, plane after plane, row after row of blocks. */
struct walk {
	const struct compress_layout *layout;
	uint32_t plane;
	size_t row, col; /* in blocks */
	size_t end;	 /* of the planes that are done */
};

/* A side of n is cut into as few pieces as fit SPARSE_SIDE, as equal as they can be. */
static size_t pieces_of(size_t n)
{
	return (n + SPARSE_SIDE - 1) / SPARSE_SIDE;
}

static size_t piece_first(size_t n, size_t piece)
{
	return piece * n / pieces_of(n);
}

/* The plane in which the next block lies; NULL after the last one. */
static const struct compress_plane *walk_plane(struct walk *w)
{
	for (; w->plane < w->layout->plane_count; w->plane++) {
		const struct compress_plane *p = &w->layout->planes[w->plane];

		REQUIRE(p->offset == w->end);
		if (w->row < pieces_of(p->rows) && p->cols > 0)
			return p;
		w->end += p->rows * p->cols;
		w->row = 0;
	}
	REQUIRE(w->end == w->layout->count);
	return NULL;
}

/* Gives the next block and the index of its first value; false after the last one. */
static bool walk_next(struct walk *w, struct sparse_block *block, size_t *first)
{
	const struct compress_plane *p = walk_plane(w);
	size_t top, left, share;

	if (p == NULL)
		return false;
	top = piece_first(p->rows, w->row);
	left = piece_first(p->cols, w->col);
	*block = (struct sparse_block){
		.rows = piece_first(p->rows, w->row + 1) - top,
		.cols = piece_first(p->cols, w->col + 1) - left,
		.ld = p->cols,
	};
	share = p->rows == 1 ? VECTOR_SHARE : SPARSE_BLOCK / SPARSE_KEEP;
	block->keep = (block->rows * block->cols + share - 1) / share;
	*first = p->offset + top * p->cols + left;
	if (++w->col == pieces_of(p->cols)) {
		w->col = 0;
		w->row++;
	}
	return true;
}

static size_t indices_bytes(size_t keep)
{
	return (3 * keep + 1) / 2;
}

static size_t packed_bytes(size_t keep)
{
	return 4 + indices_bytes(keep) + (keep + 3) / 4;
}

size_t sparse_bytes(const struct compress_layout *l)
{
	struct walk walk = {.layout = l};
	struct sparse_block block;
	size_t first, bytes = 0;

	while (walk_next(&walk, &block, &first))
		bytes += packed_bytes(block.keep);
	return bytes;
}

struct fitting {
	const struct engine *engine;
	const float *x, *feedback;
	atomic_bool unfit;
};

static void fits_part(void *context, size_t first, size_t count)
{
	struct fitting *f = context;

	if (!f->engine->sparse_fits(count, f->x + first, f->feedback + first))
		atomic_store(&f->unfit, true);
}

int sparse_encode(const struct compute *c, const struct compress_layout *l, const float *x,
	float *feedback, uint8_t *out)
{
	struct fitting fitting = {c->engine, x, feedback, false};
	struct walk walk = {.layout = l};
	struct sparse_block block;
	size_t first;

	compute_each(c, l->count, SPARSE_BLOCK, FLOATS_COST, fits_part, &fitting);
	if (atomic_load(&fitting.unfit))
		return TK_EDIVERGED;
	while (!compute_stopped(c) && walk_next(&walk, &block, &first)) {
		c->engine->sparse_pack(&block, x + first, feedback + first, out);
		out += packed_bytes(block.keep);
	}
	return compute_stopped(c) ? TK_ECANCELED : TK_OK;
}

/* ---- Reading ---- */

/* One block's contents. */
struct kept {
	uint16_t index[SPARSE_KEEP]; /* ascending */
	float value[SPARSE_KEEP];
};

/* The indices: 12 bits each, two in three bytes. False when they do not ascend, leave the block, or are
 * followed by something else than zero bits. */
static bool indices_read(struct kept *out, const struct sparse_block *b, const uint8_t *p)
{
	size_t size = b->rows * b->cols;
	uint32_t least = 0, bad = 0;

	for (size_t i = 0; i < b->keep; i++) {
		const uint8_t *q = p + i / 2 * 3;
		uint32_t index = i % 2 == 0 ? q[0] | (q[1] & 0x0fu) << 8
					    : (uint32_t)q[1] >> 4 | (uint32_t)q[2] << 4;

		bad |= (index < least) | (index >= size);
		least = index + 1;
		out->index[i] = (uint16_t)index;
	}
	if (b->keep % 2 != 0)
		bad |= p[indices_bytes(b->keep) - 1] >> 4;
	return bad == 0;
}

/* The levels and codes. False when other bytes would say the same; a zero is kept only where nothing
 * else is left to keep, so its index is its rank. */
static bool values_read(
	struct kept *out, const struct sparse_block *b, const uint8_t *levels, const uint8_t *codes)
{
	uint32_t low = load_le16(levels), high = load_le16(levels + 2);
	uint32_t bits[4] = {
		low << 16, high << 16, low << 16 | 0x80000000u, high << 16 | 0x80000000u};
	uint32_t seen = 0, bad = 0;

	for (size_t i = 0; i < b->keep; i++) {
		uint32_t code = codes[i / 4] >> i % 4 * 2 & 3u;

		seen |= 1u << code;
		bad |= (low == 0) & (code == 0) & (out->index[i] != i);
		memcpy(&out->value[i], &bits[code], sizeof(float));
	}
	if (b->keep % 4 != 0 && codes[b->keep / 4] >> b->keep % 4 * 2 != 0)
		return false;
	if (bad != 0 || low > LEVEL_MAX || high > LEVEL_MAX || (low == 0 && (seen & 4u) != 0))
		return false;
	if (high == 0)
		return (seen & 10u) == 0;
	return high > low && (seen & 10u) != 0 && (seen & 5u) != 0;
}

static void kept_add(const struct kept *kept, const struct sparse_block *b, float *sum)
{
	size_t row_first = 0;

	for (size_t i = 0; i < b->keep; i++) {
		for (; kept->index[i] >= row_first + b->cols; row_first += b->cols)
			sum += b->ld;
		sum[kept->index[i] - row_first] += kept->value[i];
	}
}

int sparse_decode(
	const struct compress_layout *l, const uint8_t *packed, float *sum, struct errmsg *msg)
{
	struct walk walk = {.layout = l};
	struct sparse_block block;
	struct kept kept;
	size_t first;

	while (walk_next(&walk, &block, &first)) {
		const uint8_t *indices = packed + 4;

		if (!indices_read(&kept, &block, indices) ||
			!values_read(&kept, &block, packed, indices + indices_bytes(block.keep)))
			return errmsg_set(msg, TK_ECORRUPT,
				"the payload's block of %zu by %zu values from %zu on is not what "
				"a packer writes",
				block.rows, block.cols, first);
		if (sum != NULL)
			kept_add(&kept, &block, sum + first);
		packed += packed_bytes(block.keep);
	}
	return TK_OK;
}
