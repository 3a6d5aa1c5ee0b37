/* Compression of updates: pure, deterministic, bounded. NUMERICS.md specifies the rounding.
 *
 * int8: blocks of 4,096 values; scale s = max|x| / 127 as float32, then q = clamp(rint(x / s), ±127),
 * half to even; a block of zeros has s = 0 and zeros. Packed: for each block the scale (float32 LE) and
 * its values. none: float32 LE. Non-finite input is refused. */
#ifndef TASKS_UNIT_COMPRESS_H
#define TASKS_UNIT_COMPRESS_H

#include "tasks/project/recipe.h"

#define COMPRESS_BLOCK 4096u

/* Bytes of count packed values. */
size_t compress_bytes(enum compression c, size_t count);

/* Appends the packed values. Errors: TK_EDIVERGED (a value is not finite), TK_ENOMEM. */
int compress_pack(enum compression c, const float *x, size_t count, struct bytes *out) TK_CHECKED;

/* Unpacks exactly count values, adding them to sum. Errors: TK_ECORRUPT (length, scale negative, not
 * finite or a value of −128); sum is then undefined. */
int compress_add(enum compression c, struct span packed, float *sum, size_t count,
	struct errmsg *msg) TK_CHECKED;

/* The same checks without the sum. */
int compress_check(
	enum compression c, struct span packed, size_t count, struct errmsg *msg) TK_CHECKED;

#endif
