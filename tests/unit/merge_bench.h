/* A round of updates that a test writes, merged, and the rules of merging in plain double precision, written for
 * reading. */
#ifndef TESTS_UNIT_MERGE_BENCH_H
#define TESTS_UNIT_MERGE_BENCH_H

#include "tests/unit/unit_bench.h"

#include <math.h>
#include <stdlib.h>

#include "tasks/math/philox.h"
#include "tasks/math/pool.h"
#include "tasks/project/presets.h"

#define UNITS_MAX 16u

static const enum merge_rule rules[] = {
	MERGE_MEDIAN_NORM_CLIP, MERGE_TRIMMED_MEAN, MERGE_CENTERED_CLIP, MERGE_MULTI_KRUM};
#define RULES (sizeof(rules) / sizeof(rules[0]))

/* A round of W units whose updates are what a test writes into x. */
struct bench {
	struct tiny tiny;
	struct payload_layout layout;
	size_t count, moments;
	uint32_t units;
	float *x[UNITS_MAX], *state[UNITS_MAX]; /* before packing; after it what is unpacked */
	bool skipped[UNITS_MAX];
	struct bytes payloads[UNITS_MAX];
	struct compute compute;
	uint32_t asked; /* for payloads */
	size_t tile_bytes;
	struct merge merge;
};

static inline struct train_spec *spec_of(struct bench *b)
{
	return &b->tiny.recipe.train;
}

static inline void set_rule(struct bench *b, enum merge_rule rule)
{
	struct train_spec *t = spec_of(b);

	t->merge = rule;
	t->merge_byzantine = rule == MERGE_TRIMMED_MEAN || rule == MERGE_MULTI_KRUM ? 2 : 0;
	t->merge_iterations = rule == MERGE_CENTERED_CLIP ? 3 : 0;
	t->merge_radius = 0;
}

/* The same Gaussian-like numbers around a common update, whatever the number of units. */
static inline void fill(struct bench *b)
{
	for (uint32_t u = 0; u < b->units; u++) {
		for (size_t i = 0; i < b->count; i++)
			b->x[u][i] = 0.02f * (philox_uniform(5, 1, 0, i) - 0.5f) +
				     0.01f * (philox_uniform(5, 2, u, i) - 0.5f);
		for (size_t i = 0; i < b->moments; i++)
			b->state[u][i] = philox_uniform(5, 3, u, i);
	}
}

/* A table's mlp of 13,603 parameters: four blocks, the last one short. */
static inline void begin(struct bench *b, uint32_t units, enum merge_rule rule, enum compression c)
{
	struct model_settings settings = {.type = MODEL_MLP, .activation = LAYER_RELU};
	struct errmsg msg = {""};
	struct model model;

	memset(b, 0, sizeof(*b));
	settings.hidden = (struct widths){1, {200}};
	assert_true(tiny_init(&b->tiny, MODEL_CNN));
	model_spec_close(&b->tiny.recipe.model);
	assert_int_equal(
		model_expand(&b->tiny.recipe.model, &settings, &b->tiny.recipe.data, &msg), TK_OK);
	b->units = units;
	spec_of(b)->units_per_round = units;
	spec_of(b)->inner_state = INNER_AVERAGE;
	spec_of(b)->compression = c;
	spec_of(b)->outer = OUTER_SGD;
	spec_of(b)->outer_momentum = 0;
	set_rule(b, rule);
	if (recipe_validate(&b->tiny.recipe, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	assert_int_equal(
		model_init(&model, &b->tiny.recipe.model, &b->tiny.recipe.data, NULL), TK_OK);
	assert_int_equal(payload_layout_init(&b->layout, spec_of(b), &model, NULL), TK_OK);
	b->count = model.parameters;
	model_close(&model);
	b->moments = b->layout.state.moments;
	b->compute = (struct compute){.engine = engine_best()};
	b->tile_bytes = MERGE_TILE_BYTES;
	for (uint32_t u = 0; u < units; u++) {
		b->x[u] = mem_floats(b->count);
		b->state[u] = mem_floats(b->moments);
	}
	fill(b);
}

static inline void end(struct bench *b)
{
	for (uint32_t u = 0; u < b->units; u++) {
		mem_free(b->x[u]);
		mem_free(b->state[u]);
		bytes_close(&b->payloads[u]);
	}
	merge_close(&b->merge);
	payload_layout_close(&b->layout);
	tiny_close(&b->tiny);
}

static inline void pack(struct bench *b, uint32_t u)
{
	float *feedback = b->layout.state.feedback > 0 ? mem_floats(b->count) : NULL;
	struct bytes *out = &b->payloads[u];

	out->len = 0;
	assert_int_equal(compress_pack(&b->compute, spec_of(b)->compression, &b->layout.update,
				 b->x[u], feedback, out),
		TK_OK);
	memset(b->x[u], 0, b->count * sizeof(float));
	assert_int_equal(compress_add(b->compute.engine, spec_of(b)->compression, &b->layout.update,
				 bytes_span(out), b->x[u], NULL),
		TK_OK);
	assert_int_equal(parameters_encode(out, b->state[u], b->moments), TK_OK);
	if (feedback != NULL)
		assert_int_equal(parameters_encode(out, feedback, b->count), TK_OK);
	mem_free(feedback);
	assert_int_equal(out->len, b->layout.bytes);
}

static inline int payload_again(
	void *context, uint32_t unit, struct span *payload, struct errmsg *msg)
{
	struct bench *b = context;

	(void)msg;
	assert_true(unit < b->units && !b->skipped[unit]);
	b->asked++;
	*payload = bytes_span(&b->payloads[unit]);
	return TK_OK;
}

static inline int gather(struct bench *b, struct errmsg *msg)
{
	const struct merge_source source = {b, payload_again};
	int rc;

	merge_close(&b->merge);
	assert_int_equal(merge_begin(&b->merge, &b->tiny.recipe, &b->compute, msg), TK_OK);
	b->merge.tile_bytes = b->tile_bytes;
	for (uint32_t u = 0; u < b->units; u++) {
		struct claim claim = {
			.outcome = b->skipped[u] ? OUTCOME_NONFINITE : OUTCOME_UPDATE, .loss = 1};

		assert_int_equal(
			merge_add(&b->merge, &claim, bytes_span(&b->payloads[u]), msg), TK_OK);
	}
	rc = merge_gather(&b->merge, &source, msg);
	return rc;
}

/* Packs and merges; b->merge.sum has the update. */
static inline void merge(struct bench *b)
{
	struct errmsg msg = {""};

	for (uint32_t u = 0; u < b->units; u++)
		pack(b, u);
	if (gather(b, &msg) != TK_OK)
		fail_msg("%s", msg.text);
}

/* ---- The rules in double precision, written for reading ---- */

static inline int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline double length_of(const float *x, const double *center, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		double d = (double)x[i] - (center != NULL ? center[i] : 0);

		sum += d * d;
	}
	return sqrt(sum);
}

static inline double middle(const double *x, uint32_t n)
{
	double copy[UNITS_MAX];

	memcpy(copy, x, n * sizeof(*x));
	qsort(copy, n, sizeof(*copy), ascending);
	return copy[(n - 1) / 2];
}

static inline void plain_trim(float *const *rows, uint32_t n, uint32_t b, size_t count, double *out)
{
	for (size_t i = 0; i < count; i++) {
		double column[UNITS_MAX];

		for (uint32_t u = 0; u < n; u++)
			column[u] = (double)rows[u][i];
		qsort(column, n, sizeof(*column), ascending);
		out[i] = 0;
		for (uint32_t u = b; u < n - b; u++)
			out[i] += column[u] / (n - 2 * b);
	}
}

static inline void plain_clip(float *const *rows, uint32_t n, size_t count, double *out)
{
	double norms[UNITS_MAX], radius;

	for (uint32_t u = 0; u < n; u++)
		norms[u] = length_of(rows[u], NULL, count);
	radius = middle(norms, n);
	for (size_t i = 0; i < count; i++) {
		out[i] = 0;
		for (uint32_t u = 0; u < n; u++)
			out[i] += (double)rows[u][i] * fmin(1, radius / norms[u]) / n;
	}
}

static inline void plain_center(
	float *const *rows, uint32_t n, size_t count, int iterations, double radius, double *v)
{
	memset(v, 0, count * sizeof(*v));
	for (int k = 0; k < iterations; k++) {
		double lengths[UNITS_MAX], cut;

		for (uint32_t u = 0; u < n; u++)
			lengths[u] = length_of(rows[u], v, count);
		cut = radius > 0 ? radius : middle(lengths, n);
		for (size_t i = 0; i < count; i++) {
			double sum = 0;

			for (uint32_t u = 0; u < n; u++)
				sum += ((double)rows[u][i] - v[i]) *
				       (lengths[u] > cut ? cut / lengths[u] : 1);
			v[i] += sum / n;
		}
	}
}

static inline void plain_krum(float *const *rows, uint32_t n, uint32_t f, size_t count, double *out)
{
	double scores[UNITS_MAX], order[UNITS_MAX];
	uint32_t take = n - f - 2;

	for (uint32_t u = 0; u < n; u++) {
		double near[UNITS_MAX];

		for (uint32_t w = 0; w < n; w++) {
			near[w] = 0;
			for (size_t i = 0; i < count; i++) {
				double d = (double)rows[u][i] - (double)rows[w][i];

				near[w] += d * d;
			}
		}
		near[u] = INFINITY;
		qsort(near, n, sizeof(*near), ascending);
		scores[u] = 0;
		for (uint32_t k = 0; k < n - f - 2; k++)
			scores[u] += near[k];
	}
	memcpy(order, scores, sizeof(order));
	qsort(order, n, sizeof(*order), ascending);
	for (size_t i = 0; i < count; i++) {
		out[i] = 0;
		for (uint32_t u = 0; u < n; u++)
			out[i] += scores[u] <= order[take - 1] ? (double)rows[u][i] / take : 0;
	}
}

static inline void plain(struct bench *b, float *const *rows, uint32_t n, size_t count, double *out)
{
	const struct train_spec *t = spec_of(b);

	switch (t->merge) {
	case MERGE_MEAN:
		plain_trim(rows, n, 0, count, out);
		break;
	case MERGE_MEDIAN_NORM_CLIP:
		plain_clip(rows, n, count, out);
		break;
	case MERGE_TRIMMED_MEAN:
		plain_trim(rows, n, t->merge_byzantine, count, out);
		break;
	case MERGE_CENTERED_CLIP:
		plain_center(
			rows, n, count, (int)t->merge_iterations, (double)t->merge_radius, out);
		break;
	case MERGE_MULTI_KRUM:
		plain_krum(rows, n, t->merge_byzantine, count, out);
		break;
	}
}

static inline void compare(struct bench *b, const char *words)
{
	double *want = mem_alloc(b->count * sizeof(*want));
	float *rows[UNITS_MAX];
	uint32_t n = 0;

	for (uint32_t u = 0; u < b->units; u++)
		if (!b->skipped[u])
			rows[n++] = b->x[u];
	plain(b, rows, n, b->count, want);
	for (size_t i = 0; i < b->count; i++)
		if (!(fabs(want[i] - (double)b->merge.sum[i]) < 2e-9 + 1e-5 * fabs(want[i])))
			fail_msg("%s, rule %d, number %zu: %.9g instead of %.9g", words,
				(int)spec_of(b)->merge, i, (double)b->merge.sum[i], want[i]);
	mem_free(want);
}

#endif
