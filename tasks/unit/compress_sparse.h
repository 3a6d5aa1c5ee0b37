/* For compress.c: SparseLoCo over a layout. */
#ifndef TASKS_UNIT_COMPRESS_SPARSE_H
#define TASKS_UNIT_COMPRESS_SPARSE_H

#include "tasks/unit/compress.h"

/* Exact bytes of the packed layout. */
size_t sparse_bytes(const struct compress_layout *l);

/* Writes sparse_bytes(l) bytes and brings the feedback up to date. Errors: TK_EDIVERGED, with feedback
 * as before; TK_ECANCELED (stopped), with feedback undefined. */
int sparse_encode(const struct compute *c, const struct compress_layout *l, const float *x,
	float *feedback, uint8_t *out) TK_CHECKED;

/* Reads sparse_bytes(l) untrusted bytes, adding the values to sum unless it is NULL.
 * Errors: TK_ECORRUPT; sum is then undefined. */
int sparse_decode(const struct compress_layout *l, const uint8_t *packed, float *sum,
	struct errmsg *msg) TK_CHECKED;

#endif
