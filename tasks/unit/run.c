/* See run.h. The inner loop of DESIGN's local mode; NUMERICS.md, "Training step", is its specification.
 * Time: H steps of the model; space: 5 floats per parameter and one batch's activations. */
#include "tasks/unit/run.h"

#include <math.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/math/scalar.h"
#include "tasks/unit/compress.h"
#include "tasks/unit/merge.h"
#include "tasks/unit/sampler.h"

/* θ_r as it came (a buffer that grew), as floats, θ, gradient, two moments, payload, its frame. */
#define MEMORY_PER_PARAMETER 40u
/* Everything that one run holds. */
struct run {
	const struct recipe *recipe;
	const struct unit *unit;
	const struct compute *compute;
	struct model model;
	struct model_work *work;
	struct sampler sampler;
	float *start; /* θ_r; becomes the update at the end */
	float *theta;
	float *gradient;
	float *first;  /* AdamW's m, SGD's velocity */
	float *second; /* AdamW's v */
	float *losses; /* (H) */
};

void unit_result_close(struct unit_result *r)
{
	bytes_close(&r->claim);
	bytes_close(&r->payload);
}

/* The first position of the unit in the sample order. */
static uint64_t first_position(const struct recipe *recipe, const struct unit *unit)
{
	const struct train_spec *t = &recipe->train;

	return ((uint64_t)unit->round * t->units_per_round + unit->index) * t->inner_steps *
	       t->batch_size;
}

/* Marks the shards that positions [at, end) of one window read; stops once they are all that it has. */
static uint32_t window_shards(
	const struct order *order, uint64_t at, uint64_t end, uint32_t shards, uint8_t *used)
{
	uint64_t seen[ORDER_WINDOW];
	uint32_t distinct = 0;
	uint32_t found = 0;

	for (; at < end && distinct < shards; at++) {
		uint64_t shard = order_sample(order, at).shard;
		uint32_t i = 0;

		while (i < distinct && seen[i] != shard)
			i++;
		if (i < distinct)
			continue;
		seen[distinct++] = shard;
		found += used[shard] == 0;
		used[shard] = 1;
	}
	return found;
}

int unit_shards(
	const struct recipe *recipe, const struct unit *unit, uint32_t **shards, uint32_t *count)
{
	const struct dataset_part *part = &recipe->data.train;
	struct order order = part_order(part, recipe->seed);
	uint64_t at = first_position(recipe, unit);
	uint64_t end = at + (uint64_t)recipe->train.inner_steps * recipe->train.batch_size;
	uint8_t *used = mem_calloc(part->shards, 1);
	uint32_t *list = mem_calloc(part->shards, sizeof(*list));
	uint32_t found = 0;

	if (used == NULL || list == NULL) {
		mem_free(used);
		mem_free(list);
		return TK_ENOMEM;
	}
	while (at < end && found < part->shards) {
		struct order_window w = order_window(&order, at);

		found += window_shards(&order, at, w.end < end ? w.end : end, w.shards, used);
		at = w.end;
	}
	found = 0;
	for (uint32_t i = 0; i < part->shards; i++) {
		if (used[i])
			list[found++] = i;
	}
	mem_free(used);
	*shards = list;
	*count = found;
	return TK_OK;
}

/* Samples that are computed at once. */
static size_t part_rows(const struct train_spec *t)
{
	return t->batch_size / t->accumulate;
}

uint64_t unit_memory(const struct recipe *recipe)
{
	const struct dataset *d = &recipe->data;
	const struct compute alone = {.engine = engine_best()};
	size_t rows = part_rows(&recipe->train);
	struct model model;
	uint64_t work, batch, parameters;

	if (model_init(&model, &recipe->model, d, NULL) != TK_OK)
		return UINT64_MAX;
	work = model_work_bytes(&model, &alone, rows, true);
	batch = rows * 4 * ((uint64_t)d->features + d->context + model.labels);
	parameters = model.parameters * (uint64_t)MEMORY_PER_PARAMETER;
	model_close(&model);
	return work != 0 ? parameters + work + batch : UINT64_MAX;
}

static int run_check(const struct recipe *recipe, const struct unit *unit, struct errmsg *msg)
{
	if (unit->kind != UNIT_TRAIN || unit->numerics != NUMERICS_VERSION ||
		recipe->numerics != NUMERICS_VERSION)
		return errmsg_set(msg, TK_EUNSUPPORTED,
			"the unit asks for arithmetic version %u; this program has version %u",
			unit->numerics, NUMERICS_VERSION);
	if (recipe->train.mode != MODE_LOCAL || recipe->train.inner_state != INNER_FRESH ||
		recipe->train.schedule == SCHEDULE_LINEAR || recipe->train.run_warmup_steps != 0 ||
		recipe->train.compression == COMPRESSION_SPARSELOCO ||
		recipe->train.outer == OUTER_ADAMW || !digest_is_zero(&recipe->initial))
		return errmsg_set(msg, TK_EUNSUPPORTED,
			"the recipe trains in a way that this program cannot");
	if (unit->round >= recipe->train.rounds || unit->index >= recipe->train.units_per_round)
		return errmsg_set(msg, TK_ELIMIT, "unit %u of round %u is outside the recipe",
			unit->index, unit->round);
	return TK_OK;
}

static int run_init(struct run *run, struct span parameters, const struct shard_source *shards,
	struct errmsg *msg)
{
	const struct recipe *recipe = run->recipe;
	size_t rows = part_rows(&recipe->train);
	struct digest digest;
	size_t n;
	int rc;

	rc = model_init(&run->model, &recipe->model, &recipe->data, msg);
	if (rc != TK_OK)
		return rc;
	n = run->model.parameters;
	digest_blob(&digest, parameters.data, parameters.len);
	if (!digest_equal(&digest, &run->unit->parameters))
		return errmsg_set(msg, TK_ECORRUPT, "the parameters differ from the unit's digest");
	rc = sampler_init(
		&run->sampler, &run->model, &recipe->data.train, recipe->seed, shards, rows);
	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory for a batch");
	run->work = model_work_new(&run->model, run->compute, rows, true);
	run->start = mem_floats(n);
	run->theta = mem_floats(n);
	run->gradient = mem_floats(n);
	run->first = mem_floats(n);
	run->second = recipe->train.optimizer == OPTIMIZER_ADAMW ? mem_floats(n) : mem_floats(0);
	run->losses = mem_floats(recipe->train.inner_steps);
	if (run->work == NULL || run->start == NULL || run->theta == NULL ||
		run->gradient == NULL || run->first == NULL || run->second == NULL ||
		run->losses == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to train %zu parameters", n);
	rc = parameters_decode(run->start, n, parameters, msg);
	if (rc == TK_OK)
		memcpy(run->theta, run->start, n * sizeof(float));
	return rc;
}

static void run_close(struct run *run)
{
	sampler_close(&run->sampler);
	model_work_free(run->work);
	model_close(&run->model);
	mem_free(run->start);
	mem_free(run->theta);
	mem_free(run->gradient);
	mem_free(run->first);
	mem_free(run->second);
	mem_free(run->losses);
}

/* The learning rate of inner step h of round r: warm-up in every unit, times the schedule over the
 * global step r·H + h. In double, rounded once. */
static float learning_rate(const struct train_spec *t, uint32_t round, uint32_t step)
{
	double rate = t->learning_rate;

	if (step < t->warmup_steps)
		rate = rate * (double)(step + 1) / (double)t->warmup_steps;
	if (t->schedule == SCHEDULE_COSINE) {
		double at = (double)round * t->inner_steps + step;
		double all = (double)t->rounds * t->inner_steps;

		rate = rate * (0.5 * (1.0 + scalar_cos_pi(at / all)));
	}
	return (float)rate;
}

static float clip_factor(const struct compute *c, float clip, const float *gradient, size_t n)
{
	float norm;

	if (clip == 0)
		return 1;
	norm = sqrtf(compute_sum_squares(c, n, gradient));
	return norm > clip ? clip / norm : 1;
}

/* One optimizer step; step counts from 0 in the unit, whose state starts fresh. */
static void update(struct run *run, uint32_t step)
{
	const struct train_spec *t = &run->recipe->train;
	size_t n = run->model.parameters;
	float rate = learning_rate(t, run->unit->round, step);
	float scale = clip_factor(run->compute, t->clip, run->gradient, n);

	if (t->optimizer == OPTIMIZER_ADAMW) {
		struct adamw_step s = {
			.learning_rate = rate,
			.beta1 = t->beta1,
			.beta2 = t->beta2,
			.epsilon = t->epsilon,
			.weight_decay = t->weight_decay,
			.bias1 = (float)(1.0 - scalar_power(t->beta1, step + 1ull)),
			.bias2 = (float)(1.0 - scalar_power(t->beta2, step + 1ull)),
			.gradient_scale = scale,
		};

		compute_adamw(
			run->compute, n, &s, run->gradient, run->first, run->second, run->theta);
	} else {
		struct sgd_step s = {
			.learning_rate = rate,
			.momentum = t->momentum,
			.nesterov = t->nesterov,
			.weight_decay = t->weight_decay,
			.gradient_scale = scale,
		};

		compute_sgd(run->compute, n, &s, run->gradient, run->first, run->theta);
	}
}

static bool finite_all(const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!(x[i] - x[i] == 0))
			return false;
	}
	return true;
}

/* The gradient of inner step h and its loss, part after part of its batch. */
static int step_gradient(struct run *run, uint32_t step, struct errmsg *msg)
{
	const struct train_spec *t = &run->recipe->train;
	const struct unit *u = run->unit;
	uint64_t units = (uint64_t)u->round * t->units_per_round + u->index;
	uint64_t position = first_position(run->recipe, u) + (uint64_t)step * t->batch_size;
	size_t rows = part_rows(t);
	struct gradient_request request = {
		.parameters = run->theta,
		.count = t->batch_size * (size_t)run->model.labels,
		.seed = run->recipe->seed,
		.step = units * t->inner_steps + step,
	};
	float sum = 0;

	for (uint32_t part = 0; part < t->accumulate; part++) {
		int rc = sampler_batch(
			&run->sampler, position + request.first_row, rows, &request.batch, msg);

		if (rc != TK_OK)
			return rc;
		request.accumulate = part > 0;
		sum += model_gradient(
			&run->model, run->compute, run->work, &request, run->gradient);
		request.first_row += rows;
	}
	run->losses[step] = sum / (float)request.count;
	return TK_OK;
}

/* All inner steps. *done gets H, or the first step whose loss is not finite. */
static int train_steps(
	struct run *run, const struct run_progress *progress, uint32_t *done, struct errmsg *msg)
{
	const struct train_spec *t = &run->recipe->train;

	for (uint32_t step = 0; step < t->inner_steps; step++) {
		int rc = step_gradient(run, step, msg);

		if (rc != TK_OK)
			return rc;
		*done = step;
		if (!compute_stopped(run->compute) && !finite_all(&run->losses[step], 1))
			return TK_OK;
		update(run, step);
		if (compute_stopped(run->compute) ||
			(progress != NULL &&
				progress->step(progress->context, step + 1, t->inner_steps) != 0))
			return errmsg_set(msg, TK_ECANCELED, "stopped on request");
	}
	*done = t->inner_steps;
	return TK_OK;
}

/* Δ = θ_r − θ, packed. False when something is not finite. */
static int pack_update(struct run *run, struct bytes *payload)
{
	struct compress_layout layout = compress_flat(run->model.parameters);

	for (size_t i = 0; i < run->model.parameters; i++)
		run->start[i] = run->start[i] - run->theta[i];
	return compress_pack(
		run->compute->engine, run->recipe->train.compression, &layout, run->start, NULL, payload);
}

/* The trace's two leaves: the header, from which everything starts, and the packed result. */
static void trace_root(struct claim *claim)
{
	const struct digest leaves[2] = {claim->unit, claim->payload};

	merkle_root(&claim->trace, leaves, 2);
}

/* The claim about `done` steps, and the payload when all of them were finite. */
static int conclude(struct run *run, uint32_t done, struct unit_result *out)
{
	uint32_t steps = run->recipe->train.inner_steps;
	struct claim claim = {.outcome = OUTCOME_NONFINITE, .failing_step = done};
	struct bytes header = {0};
	int rc = unit_encode(run->unit, &header);

	if (rc != TK_OK)
		goto out;
	unit_digest(&claim.unit, bytes_span(&header));
	if (done == steps) {
		float loss = run->compute->engine->sum(steps, run->losses) / (float)steps;

		if (finite_all(&loss, 1) && finite_all(run->theta, run->model.parameters)) {
			rc = pack_update(run, &out->payload);
			if (rc == TK_OK) {
				claim.outcome = OUTCOME_UPDATE;
				claim.failing_step = 0;
				claim.loss = loss;
				claim.payload_bytes = out->payload.len;
				digest_blob(&claim.payload, out->payload.data, out->payload.len);
			} else if (rc != TK_EDIVERGED) {
				goto out;
			}
		}
	}
	trace_root(&claim);
	rc = claim_encode(&claim, &out->claim);
out:
	bytes_close(&header);
	return rc;
}

int unit_run(const struct recipe *recipe, const struct unit *unit, const struct compute *c,
	struct span parameters, const struct shard_source *shards,
	const struct run_progress *progress, struct unit_result *out, struct errmsg *msg)
{
	struct run run = {.recipe = recipe, .unit = unit, .compute = c};
	struct unit_result result = {0};
	uint32_t done = 0;
	int rc;

	rc = run_check(recipe, unit, msg);
	if (rc != TK_OK)
		return rc;
	rc = run_init(&run, parameters, shards, msg);
	if (rc == TK_OK)
		rc = train_steps(&run, progress, &done, msg);
	if (rc == TK_OK) {
		rc = conclude(&run, done, &result);
		if (rc != TK_OK)
			errmsg_set(msg, rc, "not enough memory for the result");
	}
	if (rc == TK_OK)
		*out = result;
	else
		unit_result_close(&result);
	run_close(&run);
	return rc;
}

int unit_parameters(const struct recipe *recipe, size_t *count, struct errmsg *msg)
{
	struct model model;
	int rc = model_init(&model, &recipe->model, &recipe->data, msg);

	if (rc != TK_OK)
		return rc;
	*count = model.parameters;
	model_close(&model);
	return TK_OK;
}

int payload_size(const struct recipe *recipe, size_t *bytes, struct errmsg *msg)
{
	struct compress_layout layout;
	size_t count;
	int rc = unit_parameters(recipe, &count, msg);

	if (rc != TK_OK)
		return rc;
	layout = compress_flat(count);
	*bytes = compress_bytes(recipe->train.compression, &layout);
	return TK_OK;
}

int result_check(const struct recipe *recipe, const struct claim *claim, struct span payload,
	struct errmsg *msg)
{
	struct compress_layout layout;
	struct digest digest;
	size_t count;
	int rc = unit_parameters(recipe, &count, msg);

	if (rc != TK_OK)
		return rc;
	if (claim->outcome == OUTCOME_NONFINITE) {
		if (claim->failing_step > recipe->train.inner_steps)
			return errmsg_set(msg, TK_ECORRUPT, "step %u does not exist: a unit has %u",
				claim->failing_step, recipe->train.inner_steps);
		return payload.len == 0
			       ? TK_OK
			       : errmsg_set(msg, TK_ECORRUPT, "a result without payload has one");
	}
	digest_blob(&digest, payload.data, payload.len);
	if (payload.len != claim->payload_bytes || !digest_equal(&digest, &claim->payload))
		return errmsg_set(msg, TK_ECORRUPT, "the payload differs from its claim");
	layout = compress_flat(count);
	return compress_check(engine_best(), recipe->train.compression, &layout, payload, msg);
}
