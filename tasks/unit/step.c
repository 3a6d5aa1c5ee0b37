/* See running.h: one step of a unit, and what is judged and packed after the last. NUMERICS.md, "Training
 * step", is the specification. */
#include "tasks/unit/floats.h"
#include "tasks/unit/rate.h"
#include "tasks/unit/running.h"

/* Samples that are computed at once. */
size_t running_rows(const struct train_spec *t)
{
	return t->batch_size / t->accumulate;
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
	size_t rows = running_rows(t);
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

int running_step(struct running *run, struct errmsg *msg)
{
	const struct train_spec *t = &run->recipe->train;
	int rc = step_gradient(run, msg);

	if (rc != TK_OK)
		return rc;
	if (compute_stopped(run->compute))
		return errmsg_set(msg, TK_ECANCELED, "stopped on request");
	if (!floats_finite(&run->losses[run->done], 1))
		return TK_EDIVERGED;
	if (t->mode == MODE_LOCAL)
		update(run);
	run->done++;
	return TK_OK;
}

void running_digest_state(const struct running *run, struct digest *out)
{
	struct trace_state state = running_state(run);

	trace_digest(out, run->compute, &state, run->scratch);
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
int running_conclude(struct running *run, struct unit_result *out)
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
