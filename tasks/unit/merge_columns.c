/* See merge_rules.h: what compares a round's updates number by number. The numbers of all units are in memory
 * for one tile at a time, MERGE_TILE_BYTES at most; a round that is larger reads its payloads once for
 * each tile. O(n log n) for each number trimmed, O(n²) for each number whose distances are summed. */
#include "tasks/unit/merge_rules.h"

#include "tasks/base/mem.h"
#include "tasks/unit/floats.h"

int columns_begin(struct gathering *g)
{
	size_t blocks = g->merge->tile_bytes / sizeof(float) / g->n / COMPRESS_BLOCK;
	size_t width = (blocks > 0 ? blocks : 1) * COMPRESS_BLOCK;
	size_t most = g->merge->count > g->merge->layout.state.moments
			      ? g->merge->count
			      : g->merge->layout.state.moments;

	if (g->tile != NULL)
		return TK_OK;
	g->tile_width = width < most ? width : most;
	g->tile = mem_floats_raw(g->n * g->tile_width);
	if (g->tile == NULL)
		return errmsg_set(g->msg, TK_ENOMEM, "not enough memory to merge");
	return TK_OK;
}

/* The next numbers of all rows, from `first` on. */
static int tile_read(struct gathering *g, enum merge_field field, size_t first, size_t count)
{
	for (uint32_t i = 0; i < g->n; i++) {
		int rc = gather_values(g, i, field, first, count, g->tile + i * g->tile_width);

		if (rc != TK_OK)
			return rc;
	}
	return TK_OK;
}

/* ---- Trimming ---- */

struct trimming {
	const struct gathering *gathering;
	uint32_t drop;
	float *out; /* of the tile's first number */
};

/* By insertion with gaps (Shell), as it is called for each number of θ; there is no NaN, and −0 equals +0. */
static void sort_column(float *x, uint32_t n)
{
	static const uint32_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};

	for (size_t k = 0; k < sizeof(gaps) / sizeof(gaps[0]); k++) {
		uint32_t gap = gaps[k];

		for (uint32_t i = gap; i < n; i++) {
			float v = x[i];
			uint32_t j = i;

			for (; j >= gap && x[j - gap] > v; j -= gap)
				x[j] = x[j - gap];
			x[j] = v;
		}
	}
}

static void trim_range(void *context, size_t first, size_t count)
{
	const struct trimming *t = context;
	const struct gathering *g = t->gathering;
	float column[UNITS_PER_ROUND_MAX];

	for (size_t c = first; c < first + count; c++) {
		float sum = 0;

		for (uint32_t i = 0; i < g->n; i++)
			column[i] = g->tile[i * g->tile_width + c];
		sort_column(column, g->n);
		for (uint32_t i = t->drop; i < g->n - t->drop; i++)
			sum = sum + column[i];
		t->out[c] = sum / (float)(g->n - 2 * t->drop);
	}
}

int columns_trim(struct gathering *g, enum merge_field field, uint32_t b)
{
	struct merge *m = g->merge;
	float *out = field == MERGE_UPDATE ? m->sum : m->moments;
	size_t all = field == MERGE_UPDATE ? m->count : m->layout.state.moments;
	int rc = columns_begin(g);

	for (size_t at = 0; at < all && rc == TK_OK; at += g->tile_width) {
		size_t count = all - at < g->tile_width ? all - at : g->tile_width;
		struct trimming t = {g, b, out + at};

		rc = tile_read(g, field, at, count);
		if (rc == TK_OK)
			compute_each(m->compute, count, 1, FLOATS_COST * g->n, trim_range, &t);
	}
	return rc;
}

/* ---- Distances ---- */

struct pairing {
	const struct gathering *gathering;
	size_t count; /* numbers in the tile */
	double *out;
};

/* Pairs with the higher rows [first, first + count). */
static void pair_range(void *context, size_t first, size_t count)
{
	const struct pairing *p = context;
	const struct gathering *g = p->gathering;

	for (size_t j = first; j < first + count; j++) {
		for (size_t i = 0; i < j; i++) {
			const float *x = g->tile + i * g->tile_width;
			const float *y = g->tile + j * g->tile_width;
			double *sum = &p->out[j * (j - 1) / 2 + i];

			for (size_t at = 0; at < p->count; at += COMPRESS_BLOCK) {
				size_t n = p->count - at < COMPRESS_BLOCK ? p->count - at
									  : COMPRESS_BLOCK;

				*sum = *sum +
				       block_distance(g->merge->compute->engine, x + at, y + at, n);
			}
		}
	}
}

int columns_distances(struct gathering *g, double **out)
{
	struct merge *m = g->merge;
	double *sums = mem_calloc((size_t)g->n * (g->n - 1) / 2, sizeof(*sums));
	int rc = sums != NULL ? columns_begin(g)
			      : errmsg_set(g->msg, TK_ENOMEM, "not enough memory to merge");

	for (size_t at = 0; at < m->count && rc == TK_OK; at += g->tile_width) {
		size_t count = m->count - at < g->tile_width ? m->count - at : g->tile_width;
		struct pairing p = {g, count, sums};

		rc = tile_read(g, MERGE_UPDATE, at, count);
		if (rc == TK_OK)
			compute_each(m->compute, g->n, 1, (double)count * g->n, pair_range, &p);
	}
	if (rc == TK_OK)
		*out = sums;
	else
		mem_free(sums);
	return rc;
}
