/* What the rules of merging share; for merge_*.c alone. A round's updates are rows of n numbers, those of the
 * units that were not skipped, in ascending order of units. */
#ifndef TASKS_UNIT_MERGE_RULES_H
#define TASKS_UNIT_MERGE_RULES_H

#include "tasks/unit/merge.h"

struct gathering {
	struct merge *merge;
	const struct merge_source *source;
	uint32_t n;	 /* merge->merged */
	float *values;	 /* (parameters): one update unpacked */
	double *lengths; /* (n) */
	double *sorted;	 /* (n): room */
	double *blocks;	 /* one for each COMPRESS_BLOCK parameters: room */
	float *tile;	 /* (n, tile_width): the same numbers of all updates; merge_columns.c */
	size_t tile_width;
	struct errmsg *msg;
};

/* What a payload holds of which a merge is made. */
enum merge_field { MERGE_UPDATE, MERGE_MOMENTS };

/* Numbers [first, first + count) of row i; first is a multiple of COMPRESS_BLOCK in an update. Errors: TK_ECORRUPT and those
 * of the source. */
int gather_values(struct gathering *g, uint32_t i, enum merge_field field, size_t first,
	size_t count, float *out) TK_CHECKED;

/* (x − y)·(x − y) as NUMERICS.md, "Merge", sums it; y NULL: +0. blocks as in struct gathering. */
double squared_distance(
	const struct compute *c, const float *x, const float *y, size_t n, double *blocks);

/* One block of it: n ≤ COMPRESS_BLOCK. */
double block_distance(const struct engine *e, const float *x, const float *y, size_t n);

/* Sorts ascending, without NaN. */
void sort_lengths(double *x, size_t n);

/* Allocates g->tile; given back by merge_gather. Errors: TK_ENOMEM. */
int columns_begin(struct gathering *g) TK_CHECKED;

/* The field of the merge becomes, number by number, the mean of what is left when the b largest and the b
 * smallest rows are taken away; n > 2b. */
int columns_trim(struct gathering *g, enum merge_field field, uint32_t b) TK_CHECKED;

/* The distances of all pairs i < j: pair (i, j) at j·(j − 1)/2 + i of *out (mem_free). */
int columns_distances(struct gathering *g, double **out) TK_CHECKED;

#endif
