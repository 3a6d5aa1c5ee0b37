/* See merge.h: what the rules have in common, and those that weigh whole updates: clipping by the median
 * of the norms, centered clipping (Karimireddy et al. 2021) and Multi-Krum (Blanchard et al. 2017). What
 * compares updates number by number is in merge_columns.c. NUMERICS.md, "Merge", is the specification. */
#include "tasks/unit/merge_rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/unit/floats.h"

/* ---- Reading ---- */

/* Ranges of updates whose values are packed block by block can be unpacked alone. */
static int unpack_range(
	struct gathering *g, struct span packed, size_t first, size_t count, float *out)
{
	const struct merge *m = g->merge;
	enum compression c = m->recipe->train.compression;
	const struct compress_layout before = compress_flat(first), part = compress_flat(count);
	size_t at;

	memset(out, 0, count * sizeof(*out));
	if (c == COMPRESSION_SPARSELOCO) {
		REQUIRE(first == 0 && count == m->count);
		return compress_add(m->compute->engine, c, &m->layout.update, packed, out, g->msg);
	}
	at = compress_bytes(c, &before);
	return compress_add(m->compute->engine, c, &part,
		span_of(packed.data + at, compress_bytes(c, &part)), out, g->msg);
}

static int read_update(
	struct gathering *g, struct span packed, size_t first, size_t count, float *out)
{
	bool part = count != g->merge->count;
	int rc;

	if (!part || g->merge->recipe->train.compression != COMPRESSION_SPARSELOCO)
		return unpack_range(g, packed, first, count, out);
	rc = unpack_range(g, packed, 0, g->merge->count, g->values);
	if (rc == TK_OK)
		memcpy(out, g->values + first, count * sizeof(*out));
	return rc;
}

static int read_moments(
	struct gathering *g, struct span moments, size_t first, size_t count, float *out)
{
	floats_load(out, moments.data + 4 * first, count);
	if (floats_finite(out, count))
		return TK_OK;
	return errmsg_set(g->msg, TK_ECORRUPT, "the payload's state is not finite");
}

int gather_values(struct gathering *g, uint32_t i, enum merge_field field, size_t first,
	size_t count, float *out)
{
	const struct merge *m = g->merge;
	struct span payload = {0};
	int rc = g->source->get(g->source->context, m->units[i], &payload, g->msg);

	if (rc == TK_OK && payload.len != m->layout.bytes)
		rc = errmsg_set(g->msg, TK_ECORRUPT, "the payload has %zu bytes; %zu are right",
			payload.len, m->layout.bytes);
	if (rc == TK_OK && field == MERGE_UPDATE)
		rc = read_update(g, payload_update(&m->layout, payload), first, count, out);
	else if (rc == TK_OK)
		rc = read_moments(g, payload_moments(&m->layout, payload), first, count, out);
	return rc == TK_OK ? rc : errmsg_prefix(g->msg, rc, "unit %u", m->units[i] + 1);
}

/* The whole update of row i. */
static int read_row(struct gathering *g, uint32_t i)
{
	return gather_values(g, i, MERGE_UPDATE, 0, g->merge->count, g->values);
}

/* ---- Lengths ---- */

double block_distance(const struct engine *e, const float *x, const float *y, size_t n)
{
	float d[COMPRESS_BLOCK];

	if (y == NULL)
		return (double)e->sum_squares(n, x);
	for (size_t i = 0; i < n; i++)
		d[i] = x[i] - y[i];
	return (double)e->sum_squares(n, d);
}

struct distance {
	const struct engine *engine;
	const float *x, *y;
	size_t n;
	double *blocks;
};

static void distance_blocks(void *context, size_t first, size_t count)
{
	const struct distance *d = context;

	for (size_t b = first; b < first + count; b++) {
		size_t at = b * COMPRESS_BLOCK;
		size_t n = d->n - at < COMPRESS_BLOCK ? d->n - at : COMPRESS_BLOCK;

		d->blocks[b] =
			block_distance(d->engine, d->x + at, d->y != NULL ? d->y + at : NULL, n);
	}
}

double squared_distance(
	const struct compute *c, const float *x, const float *y, size_t n, double *blocks)
{
	struct distance d = {c->engine, x, y, n, blocks};
	size_t count = (n + COMPRESS_BLOCK - 1) / COMPRESS_BLOCK;
	double sum = 0;

	compute_each(c, count, 1, FLOATS_COST * COMPRESS_BLOCK, distance_blocks, &d);
	for (size_t b = 0; b < count; b++)
		sum = sum + blocks[b];
	return sum;
}

static int compare_lengths(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Equal lengths are the same number, so their order does not matter; there is no NaN. */
void sort_lengths(double *x, size_t n)
{
	qsort(x, n, sizeof(*x), compare_lengths);
}

/* The lower one of the two in the middle, where n is even. */
static double lower_median(struct gathering *g)
{
	memcpy(g->sorted, g->lengths, g->n * sizeof(*g->sorted));
	sort_lengths(g->sorted, g->n);
	return g->sorted[(g->n - 1) / 2];
}

/* The norm of each update less `center`; NULL: +0. */
static int measure(struct gathering *g, const float *center)
{
	for (uint32_t i = 0; i < g->n; i++) {
		int rc = read_row(g, i);

		if (rc != TK_OK)
			return rc;
		g->lengths[i] = sqrt(squared_distance(
			g->merge->compute, g->values, center, g->merge->count, g->blocks));
	}
	return TK_OK;
}

/* ---- Sums with weights ---- */

struct pull {
	float weight;
	const float *x, *center; /* center NULL: +0 */
	float *sum;
};

static void pull_range(void *context, size_t first, size_t count)
{
	const struct pull *p = context;

	for (size_t i = first; i < first + count; i++) {
		float d = p->center != NULL ? p->x[i] - p->center[i] : p->x[i];

		p->sum[i] = p->sum[i] + p->weight * d;
	}
}

/* sum ← Σ over the rows of their difference from the center, each cut to the length `radius`. What is too
 * long to be measured has weight 0. */
static int pull_all(struct gathering *g, double radius, const float *center, float *sum)
{
	floats_clear_on(g->merge->compute, sum, g->merge->count);
	for (uint32_t i = 0; i < g->n; i++) {
		double length = g->lengths[i];
		struct pull p = {1, g->values, center, sum};
		int rc;

		if (length > radius)
			p.weight = (float)(radius / length);
		if (p.weight == 0)
			continue;
		rc = read_row(g, i);
		if (rc != TK_OK)
			return rc;
		compute_each(g->merge->compute, g->merge->count, COMPRESS_BLOCK, FLOATS_COST,
			pull_range, &p);
	}
	return TK_OK;
}

static int too_large(struct gathering *g)
{
	return errmsg_set(g->msg, TK_EDIVERGED,
		"most updates of the round are too large to be compared: the training diverged; "
		"try "
		"a lower train.learning_rate");
}

static int median_norm_clip(struct gathering *g)
{
	struct merge *m = g->merge;
	double radius;
	int rc = measure(g, NULL);

	if (rc != TK_OK)
		return rc;
	radius = lower_median(g);
	if (!isfinite(radius))
		return too_large(g);
	rc = pull_all(g, radius, NULL, m->sum);
	for (size_t i = 0; i < m->count && rc == TK_OK; i++)
		m->sum[i] = m->sum[i] / (float)g->n;
	return rc;
}

static int centered_clip(struct gathering *g)
{
	struct merge *m = g->merge;
	const struct train_spec *t = &m->recipe->train;
	float *sum = mem_floats(m->count);
	int rc = TK_OK;

	if (sum == NULL)
		return errmsg_set(g->msg, TK_ENOMEM, "not enough memory to merge");
	for (uint32_t k = 0; k < t->merge_iterations && rc == TK_OK; k++) {
		double radius;

		rc = measure(g, m->sum);
		if (rc != TK_OK)
			break;
		radius = t->merge_radius > 0 ? (double)t->merge_radius : lower_median(g);
		if (!isfinite(radius))
			rc = too_large(g);
		else
			rc = pull_all(g, radius, m->sum, sum);
		for (size_t i = 0; i < m->count && rc == TK_OK; i++)
			m->sum[i] = m->sum[i] + sum[i] / (float)g->n;
	}
	mem_free(sum);
	return rc;
}

/* ---- Multi-Krum ---- */

static double pair_length(const double *pairs, uint32_t i, uint32_t j)
{
	uint32_t low = i < j ? i : j, high = i < j ? j : i;

	return pairs[(size_t)high * (high - 1) / 2 + low];
}

/* lengths[i] ← the sum of the n − f − 2 smallest squared distances of i to others. */
static void krum_scores(struct gathering *g, const double *pairs, uint32_t f)
{
	for (uint32_t i = 0; i < g->n; i++) {
		uint32_t others = 0;

		for (uint32_t j = 0; j < g->n; j++)
			if (j != i)
				g->sorted[others++] = pair_length(pairs, i, j);
		sort_lengths(g->sorted, others);
		g->lengths[i] = 0;
		for (uint32_t j = 0; j < g->n - f - 2; j++)
			g->lengths[i] = g->lengths[i] + g->sorted[j];
	}
}

/* Is the score of i among the `take` lowest? Equal ones go by unit order. */
static bool krum_takes(const struct gathering *g, uint32_t i, uint32_t take)
{
	uint32_t better = 0;

	for (uint32_t j = 0; j < g->n; j++)
		if (g->lengths[j] < g->lengths[i] || (g->lengths[j] == g->lengths[i] && j < i))
			better++;
	return better < take;
}

static int krum_add(struct gathering *g, uint32_t i)
{
	struct merge *m = g->merge;
	int rc = read_row(g, i);

	for (size_t k = 0; k < m->count && rc == TK_OK; k++)
		m->sum[k] = m->sum[k] + g->values[k];
	return rc;
}

static int multi_krum(struct gathering *g, uint32_t f)
{
	struct merge *m = g->merge;
	uint32_t take = g->n - f - 2;
	double *pairs = NULL;
	int rc = columns_distances(g, &pairs);

	if (rc != TK_OK)
		return rc;
	krum_scores(g, pairs, f);
	mem_free(pairs);
	for (uint32_t i = 0; i < g->n && rc == TK_OK; i++)
		if (krum_takes(g, i, take))
			rc = krum_add(g, i);
	for (size_t k = 0; k < m->count; k++)
		m->sum[k] = m->sum[k] / (float)take;
	return rc;
}

/* ---- All ---- */

/* How many bad ones the rule bears among the n that are left: as many as the recipe says, or fewer. */
static uint32_t bearable(const struct train_spec *t, uint32_t n)
{
	uint32_t f = t->merge_byzantine;

	while (f > 0 && n < merge_units_min(t->merge, f))
		f--;
	return f;
}

/* Moments are trimmed whatever the rule is: an update may look good where its moments do not. */
static int apply(struct gathering *g)
{
	const struct train_spec *t = &g->merge->recipe->train;
	uint32_t f = bearable(t, g->n);
	uint32_t drop = t->merge_byzantine > 0 ? f : (g->n - 1) / 2;
	int rc;

	if (t->merge == MERGE_MULTI_KRUM)
		rc = multi_krum(g, f);
	else if (t->merge == MERGE_TRIMMED_MEAN)
		rc = columns_trim(g, MERGE_UPDATE, f);
	else if (t->merge == MERGE_CENTERED_CLIP)
		rc = centered_clip(g);
	else
		rc = median_norm_clip(g);
	return rc == TK_OK ? columns_trim(g, MERGE_MOMENTS, drop) : rc;
}

int merge_gather(struct merge *m, const struct merge_source *source, struct errmsg *msg)
{
	struct gathering g = {.merge = m, .source = source, .n = m->merged, .msg = msg};
	uint32_t least = merge_units_min(m->recipe->train.merge, 1);
	int rc;

	m->gathered = true;
	if (!merge_rereads(m->recipe) || g.n == 0)
		return TK_OK; /* merge_finish says what is wrong with 0 */
	if (g.n < least)
		return errmsg_set(msg, TK_EDIVERGED,
			"only %u units of the round had finite numbers; this train.merge wants %u "
			"at "
			"least: the training diverged; try a lower train.learning_rate",
			g.n, least);
	g.values = mem_floats(m->count);
	g.lengths = mem_calloc(g.n, sizeof(*g.lengths));
	g.sorted = mem_calloc(g.n, sizeof(*g.sorted));
	g.blocks = mem_calloc(m->count / COMPRESS_BLOCK + 1, sizeof(*g.blocks));
	if (g.values == NULL || g.lengths == NULL || g.sorted == NULL || g.blocks == NULL)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to merge");
	else
		rc = apply(&g);
	mem_free(g.values);
	mem_free(g.lengths);
	mem_free(g.sorted);
	mem_free(g.blocks);
	mem_free(g.tile);
	return rc;
}
