/* Compression of updates: pure, deterministic, bounded. NUMERICS.md, "Update compression", specifies
 * every byte.
 *
 * none, fp16 and bf16 pack value by value, int8 in blocks of 4,096 with one scale. sparseloco keeps the
 * largest magnitudes of each 64×64 block in two bits each, and what it leaves out in the error
 * feedback: a state that belongs to the unit's slot and goes in and out here. Exactly one packing of
 * the same contents is accepted. Non-finite input is refused. */
#ifndef TASKS_UNIT_COMPRESS_H
#define TASKS_UNIT_COMPRESS_H

#include "tasks/math/compute.h"
#include "tasks/project/recipe.h"

#define COMPRESS_BLOCK 4096u

/* One tensor: rows = shape[0], cols = the product of the rest; a vector has 1 row. */
struct compress_plane {
	size_t offset; /* of its first value */
	size_t rows, cols;
};

/* What the values are. Only sparseloco looks at the planes, which then follow each other and cover all
 * values. Borrows planes. */
struct compress_layout {
	size_t count;
	uint32_t plane_count;
	const struct compress_plane *planes;
};

/* The layout for whatever is not sparseloco. */
static inline struct compress_layout compress_flat(size_t count)
{
	return (struct compress_layout){.count = count};
}

/* Exact bytes of the packed values. */
size_t compress_bytes(enum compression c, const struct compress_layout *l);

/* Appends the packed values of x, computed on `on`. feedback (count floats, +0 at first) is for
 * sparseloco, otherwise NULL: feedback ← 0.95·feedback + x, less what was packed. Errors: TK_EDIVERGED
 * (a value is not finite or too large for the format), TK_ENOMEM; feedback and out are then as before.
 * TK_ECANCELED (stopped): feedback is undefined, out as before. */
int compress_pack(const struct compute *on, enum compression c, const struct compress_layout *l,
	const float *x, float *feedback, struct bytes *out) TK_CHECKED;

/* Unpacks untrusted bytes and adds the values to sum (count floats). Errors: TK_ECORRUPT (the length is
 * wrong, or no packer writes such bytes); sum is then undefined. */
int compress_add(const struct engine *e, enum compression c, const struct compress_layout *l,
	struct span packed, float *sum, struct errmsg *msg) TK_CHECKED;

/* The same checks without the sum. */
int compress_check(const struct engine *e, enum compression c, const struct compress_layout *l,
	struct span packed, struct errmsg *msg) TK_CHECKED;

#endif
