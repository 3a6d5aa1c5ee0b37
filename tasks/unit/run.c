/* See run.h. DESIGN's two modes; NUMERICS.md, "Training step", is their specification.
 * Time: H steps of the model; space: unit_memory. */
#include "tasks/unit/run.h"

#include "tasks/base/mem.h"
#include "tasks/unit/checkpoint.h"
#include "tasks/unit/floats.h"
#include "tasks/unit/rate.h"

void unit_result_close(struct unit_result *r)
{
	bytes_close(&r->claim);
	bytes_close(&r->payload);
	mem_free(r->leaves);
	*r = (struct unit_result){0};
}

static int run_check(const struct recipe *recipe, const struct unit *unit, struct errmsg *msg)
{
	if (unit->kind != UNIT_TRAIN || unit->numerics != NUMERICS_VERSION ||
		recipe->numerics != NUMERICS_VERSION)
		return errmsg_set(msg, TK_EUNSUPPORTED,
			"the unit asks for arithmetic version %u; this program has version %u",
			unit->numerics, NUMERICS_VERSION);
	if (unit->round >= recipe->train.rounds || unit->index >= recipe->train.units_per_round)
		return errmsg_set(msg, TK_ELIMIT, "unit %u of round %u is outside the recipe",
			unit->index, unit->round);
	return TK_OK;
}

/* Samples that are computed at once. */
static size_t part_rows(const struct train_spec *t)
{
	return t->batch_size / t->accumulate;
}

struct trace_state running_state(const struct running *run)
{
	size_t n = run->model.parameters;
	struct trace_state s = {.steps = run->done};

	while (s.count < run->array_count) {
		s.arrays[s.count] = (struct digest_part){run->arrays[s.count], 4 * n, true};
		s.count++;
	}
	s.arrays[s.count++] = (struct digest_part){run->losses, 4 * (size_t)run->done, true};
	return s;
}

/* False: out of memory. Parameters, moments and feedback are still to be filled; the gradient and the
 * workspace are written before they are read, whatever they hold. */
static bool running_alloc(struct running *run)
{
	const struct train_spec *t = &run->recipe->train;
	size_t n = run->model.parameters;
	uint32_t moments = moment_arrays(t);
	uint32_t leaves = trace_leaves(t, t->inner_steps) + 1;
	bool whole = true;

	run->work = model_work_new(&run->model, run->compute, part_rows(t), true);
	run->theta = mem_floats_raw(n);
	run->gradient = mem_floats_raw(n);
	run->losses = mem_floats(t->inner_steps);
	run->leaves = mem_calloc(leaves, sizeof(*run->leaves));
	run->arrays[run->array_count++] = run->theta;
	for (uint32_t i = 0; i < moments; i++) {
		run->moments[i] = mem_floats_raw(n);
		run->arrays[run->array_count++] = run->moments[i];
		whole = whole && run->moments[i] != NULL;
	}
	if (t->mode == MODE_GRADIENT)
		run->arrays[run->array_count++] = run->gradient;
	if (run->layout.state.feedback > 0) {
		run->feedback = mem_floats_raw(n);
		whole = whole && run->feedback != NULL;
	}
	run->scratch = mem_alloc(
		running_scratch(running_bytes(t, n, &run->layout)) * sizeof(*run->scratch));
	return whole && run->work != NULL && run->theta != NULL && run->gradient != NULL &&
	       run->losses != NULL && run->leaves != NULL && run->scratch != NULL;
}

struct digest running_digest(const struct running *run, struct span bytes)
{
	const struct digest_part part = {.data = bytes.data, .len = bytes.len};
	struct digest digest;

	compute_digest(run->compute, &digest, run->scratch, &part, 1);
	return digest;
}

static bool bytes_match(const struct running *run, struct span bytes, const struct digest *wanted)
{
	struct digest digest = running_digest(run, bytes);

	return digest_equal(&digest, wanted);
}

static int load_parameters(struct running *run, struct span in, struct errmsg *msg)
{
	size_t n = run->model.parameters;

	if (in.len != 4 * n)
		return errmsg_set(msg, TK_ECORRUPT, "the parameters have %zu bytes; %zu are right",
			in.len, 4 * n);
	if (!bytes_match(run, in, &run->unit->parameters))
		return errmsg_set(msg, TK_ECORRUPT, "the parameters differ from the unit's digest");
	run->start = in;
	floats_load_on(run->compute, run->theta, in.data, n);
	return TK_OK;
}

/* From the state's bytes, or with +0 where it has none. */
static void fill(struct running *run, float *x, const uint8_t *in)
{
	if (in != NULL)
		floats_load_on(run->compute, x, in, run->model.parameters);
	else
		floats_clear_on(run->compute, x, run->model.parameters);
}

static int load_state(struct running *run, struct span in, struct errmsg *msg)
{
	const struct state_layout *l = &run->layout.state;
	size_t n = run->model.parameters;
	bool given = !digest_is_zero(&run->unit->state);
	size_t wanted = given ? state_bytes(l) : 0;

	if (in.len != wanted)
		return errmsg_set(msg, TK_ECORRUPT, "the slot's state has %zu bytes; %zu are right",
			in.len, wanted);
	if (given && (wanted == 0 || !bytes_match(run, in, &run->unit->state)))
		return errmsg_set(
			msg, TK_ECORRUPT, "the slot's state differs from the unit's digest");
	for (uint32_t i = 0; i < moment_arrays(&run->recipe->train); i++)
		fill(run, run->moments[i], given && l->moments > 0 ? in.data + 4 * n * i : NULL);
	if (l->feedback > 0)
		fill(run, run->feedback, given ? in.data + 4 * l->moments : NULL);
	return TK_OK;
}

/* Leaf 0. */
static int name_header(struct running *run)
{
	struct bytes header = {0};
	int rc = unit_encode(run->unit, &header);

	if (rc == TK_OK)
		unit_digest(&run->header, bytes_span(&header));
	bytes_close(&header);
	if (rc == TK_OK)
		run->leaves[0] = run->header;
	return rc;
}

static int running_init(struct running *run, const struct unit_input *input,
	const struct shard_source *shards, struct errmsg *msg)
{
	const struct recipe *recipe = run->recipe;
	int rc = model_init(&run->model, &recipe->model, &recipe->data, msg);

	if (rc == TK_OK)
		rc = payload_layout_init(&run->layout, &recipe->train, &run->model, msg);
	if (rc != TK_OK)
		return rc;
	rc = sampler_init(&run->sampler, &run->model, &recipe->data.train, recipe->seed, shards,
		part_rows(&recipe->train));
	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory for a batch");
	if (!running_alloc(run) || name_header(run) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to train %zu parameters",
			run->model.parameters);
	rc = load_parameters(run, input->parameters, msg);
	if (rc == TK_OK)
		rc = load_state(run, input->state, msg);
	if (rc == TK_OK && input->checkpoint.len > 0)
		rc = checkpoint_resume(run, input->checkpoint, msg);
	return rc;
}

static void running_close(struct running *run)
{
	sampler_close(&run->sampler);
	model_work_free(run->work);
	payload_layout_close(&run->layout);
	model_close(&run->model);
	mem_free(run->theta);
	mem_free(run->gradient);
	mem_free(run->moments[0]);
	mem_free(run->moments[1]);
	mem_free(run->feedback);
	mem_free(run->losses);
	mem_free(run->leaves);
	mem_free(run->scratch);
}

/* Steps that the moments have seen before this unit's. */
static uint64_t steps_before(const struct running *run)
{
	const struct train_spec *t = &run->recipe->train;

	return t->inner_state == INNER_AVERAGE ? (uint64_t)run->unit->round * t->inner_steps : 0;
}

/* The inner optimizer's step. */
static void update(struct running *run)
{
	const struct train_spec *t = &run->recipe->train;
	size_t n = run->model.parameters;
	uint64_t seen = steps_before(run) + run->done + 1;
	float rate = rate_inner(t, run->unit->round, run->done);
	float scale = clip_factor(run->compute, t->clip, run->gradient, n);

	if (t->optimizer == OPTIMIZER_ADAMW) {
		struct adamw_step s = {
			.learning_rate = rate,
			.beta1 = t->beta1,
			.beta2 = t->beta2,
			.epsilon = t->epsilon,
			.weight_decay = t->weight_decay,
			.bias1 = bias_correction(t->beta1, seen),
			.bias2 = bias_correction(t->beta2, seen),
			.gradient_scale = scale,
		};

		compute_adamw(run->compute, n, &s, run->gradient, run->moments[0], run->moments[1],
			run->theta);
	} else {
		struct sgd_step s = {
			.learning_rate = rate,
			.momentum = t->momentum,
			.nesterov = t->nesterov,
			.weight_decay = t->weight_decay,
			.gradient_scale = scale,
		};

		compute_sgd(run->compute, n, &s, run->gradient, run->moments[0], run->theta);
	}
}

/* The gradient of the next step and its loss, part after part of its batch. In gradient mode all steps
 * of the unit are parts of one batch. */
static int step_gradient(struct running *run, struct errmsg *msg)
{
	const struct train_spec *t = &run->recipe->train;
	const struct unit *u = run->unit;
	bool local = t->mode == MODE_LOCAL;
	uint64_t units = (uint64_t)u->round * t->units_per_round + u->index;
	uint64_t position = running_position(run->recipe, u) + (uint64_t)run->done * t->batch_size;
	size_t rows = part_rows(t);
	size_t labels = t->batch_size * (size_t)run->model.labels;
	struct gradient_request request = {
		.parameters = run->theta,
		.count = local ? labels : labels * t->inner_steps,
		.seed = run->recipe->seed,
		.step = units * t->inner_steps + run->done,
	};
	float sum = 0;

	for (uint32_t part = 0; part < t->accumulate && !compute_stopped(run->compute); part++) {
		int rc = sampler_batch(
			&run->sampler, position + request.first_row, rows, &request.batch, msg);

		if (rc != TK_OK)
			return rc;
		request.accumulate = part > 0 || (!local && run->done > 0);
		sum += model_gradient(
			&run->model, run->compute, run->work, &request, run->gradient);
		request.first_row += rows;
	}
	run->losses[run->done] = sum / (float)labels;
	return TK_OK;
}

/* After a step: its leaf, then what others want to know. */
static int step_done(struct running *run, const struct run_progress *progress, struct errmsg *msg)
{
	const struct train_spec *t = &run->recipe->train;

	run->done++;
	if (trace_due(t, run->done)) {
		struct trace_state state = running_state(run);

		trace_digest(&run->leaves[trace_leaves(t, run->done) - 1], run->compute, &state,
			run->scratch);
	}
	if (compute_stopped(run->compute) ||
		(progress != NULL &&
			progress->step(progress->context, run, run->done, t->inner_steps) != 0))
		return errmsg_set(msg, TK_ECANCELED, "stopped on request");
	return TK_OK;
}

/* All steps, or up to the first one whose loss is not finite. */
static int train_steps(struct running *run, const struct run_progress *progress, struct errmsg *msg)
{
	const struct train_spec *t = &run->recipe->train;

	while (run->done < t->inner_steps) {
		int rc = step_gradient(run, msg);

		if (rc != TK_OK)
			return rc;
		if (!compute_stopped(run->compute)) {
			if (!floats_finite(&run->losses[run->done], 1))
				return TK_OK;
			if (t->mode == MODE_LOCAL)
				update(run);
		}
		rc = step_done(run, progress, msg);
		if (rc != TK_OK)
			return rc;
	}
	return TK_OK;
}

static void difference_part(void *context, size_t first, size_t count)
{
	const struct running *run = context;

	floats_load(run->gradient + first, run->start.data + 4 * first, count);
	for (size_t i = first; i < first + count; i++)
		run->gradient[i] = run->gradient[i] - run->theta[i];
}

/* Appends an array of the state as it is. */
static int pack_array(struct running *run, const float *x, struct bytes *out)
{
	const struct compress_layout flat = compress_flat(run->model.parameters);

	return compress_pack(run->compute, COMPRESSION_NONE, &flat, x, NULL, out);
}

/* The update, Δ = θ_r − θ or the mean gradient, packed, and the state at the end. TK_EDIVERGED when
 * something is not finite. */
static int pack_payload(struct running *run, struct bytes *out)
{
	const struct train_spec *t = &run->recipe->train;
	const struct state_layout *l = &run->layout.state;
	size_t n = run->model.parameters;
	int rc = bytes_reserve(out, run->layout.bytes);

	if (rc != TK_OK)
		return rc;
	if (t->mode == MODE_LOCAL)
		compute_each(run->compute, n, 4096, FLOATS_COST, difference_part, run);
	rc = compress_pack(run->compute, t->compression, &run->layout.update, run->gradient,
		run->feedback, out);
	for (size_t i = 0; i < l->moments / n && rc == TK_OK; i++)
		rc = pack_array(run, run->moments[i], out);
	if (l->feedback > 0 && rc == TK_OK)
		rc = pack_array(run, run->feedback, out);
	return rc;
}

/* What is judged after the last step. Gives the payload, or TK_EDIVERGED and none. */
static int finish(struct running *run, float *loss, struct bytes *payload)
{
	uint32_t steps = run->recipe->train.inner_steps;
	int rc;

	*loss = run->compute->engine->sum(steps, run->losses) / (float)steps;
	if (!floats_finite(loss, 1) ||
		!floats_finite_on(run->compute, run->theta, run->model.parameters))
		return TK_EDIVERGED;
	rc = pack_payload(run, payload);
	if (rc != TK_OK)
		bytes_close(payload);
	return rc;
}

/* The claim, with the trace's last leaf and its root, and the payload when all was finite. */
static int conclude(struct running *run, struct unit_result *out)
{
	const struct train_spec *t = &run->recipe->train;
	struct claim claim = {.unit = run->header, .outcome = OUTCOME_UPDATE};
	uint32_t leaves = trace_leaves(t, run->done);
	int rc = TK_EDIVERGED;

	if (run->done == t->inner_steps)
		rc = finish(run, &claim.loss, &out->payload);
	if (rc != TK_OK && rc != TK_EDIVERGED)
		return rc;
	if (rc == TK_OK) {
		claim.payload_bytes = out->payload.len;
		claim.payload = running_digest(run, bytes_span(&out->payload));
		run->leaves[leaves] = claim.payload;
	} else {
		claim.outcome = OUTCOME_NONFINITE;
		claim.failing_step = run->done;
		claim.loss = 0;
		trace_failure(&run->leaves[leaves], run->done);
	}
	merkle_root(&claim.trace, run->leaves, leaves + 1);
	out->leaves = run->leaves;
	out->leaf_count = leaves + 1;
	run->leaves = NULL;
	return claim_encode(&claim, &out->claim);
}

int unit_run(const struct recipe *recipe, const struct unit *unit, const struct compute *c,
	const struct unit_input *input, const struct shard_source *shards,
	const struct run_progress *progress, struct unit_result *out, struct errmsg *msg)
{
	struct running run = {.recipe = recipe, .unit = unit, .compute = c};
	struct unit_result result = {0};
	int rc = run_check(recipe, unit, msg);

	if (rc != TK_OK)
		return rc;
	rc = running_init(&run, input, shards, msg);
	if (rc == TK_OK)
		rc = train_steps(&run, progress, msg);
	if (rc == TK_OK) {
		rc = conclude(&run, &result);
		if (rc != TK_OK)
			errmsg_set(msg, rc, "not enough memory for the result");
	}
	/* What was computed since is undefined, also what looked like an error. */
	if (compute_stopped(c))
		rc = errmsg_set(msg, TK_ECANCELED, "stopped on request");
	if (rc == TK_OK)
		*out = result;
	else
		unit_result_close(&result);
	running_close(&run);
	return rc;
}
