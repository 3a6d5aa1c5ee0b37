/* See running.h: a run's memory, what it begins with, its state as bytes. */
#include "tasks/unit/running.h"

#include "tasks/base/mem.h"
#include "tasks/unit/floats.h"

static int running_check(const struct recipe *recipe, const struct unit *unit, struct errmsg *msg)
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

	run->work = model_work_new(&run->model, run->compute, running_rows(t), true);
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

int running_parameters(struct running *run, struct span in, struct errmsg *msg)
{
	size_t n = run->model.parameters;

	if (in.len != 4 * n)
		return errmsg_set(msg, TK_ECORRUPT, "the parameters have %zu bytes; %zu are right",
			in.len, 4 * n);
	if (!bytes_match(run, in, &run->unit->parameters))
		return errmsg_set(msg, TK_ECORRUPT, "the parameters differ from the unit's digest");
	run->start = in;
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

int running_slot(struct running *run, struct span in, struct errmsg *msg)
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

int running_open(struct running *run, const struct shard_source *shards, struct errmsg *msg)
{
	const struct recipe *recipe = run->recipe;
	int rc = running_check(recipe, run->unit, msg);

	if (rc == TK_OK)
		rc = model_init(&run->model, &recipe->model, &recipe->data, msg);
	if (rc == TK_OK)
		rc = payload_layout_init(&run->layout, &recipe->train, &run->model, msg);
	if (rc != TK_OK)
		return rc;
	rc = sampler_init(&run->sampler, &run->model, &recipe->data.train, recipe->seed, shards,
		running_rows(&recipe->train));
	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory for a batch");
	if (!running_alloc(run) || name_header(run) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to train %zu parameters",
			run->model.parameters);
	return TK_OK;
}

int running_begin(struct running *run, const struct unit_input *input, struct errmsg *msg)
{
	int rc = running_parameters(run, input->parameters, msg);

	if (rc == TK_OK) {
		floats_load_on(
			run->compute, run->theta, input->parameters.data, run->model.parameters);
		rc = running_slot(run, input->state, msg);
	}
	return rc;
}

size_t running_state_bytes(const struct running *run, uint32_t steps)
{
	return 4 * (run->array_count * run->model.parameters + steps);
}

void running_state_store(const struct running *run, uint8_t *out)
{
	size_t n = run->model.parameters;

	for (uint32_t i = 0; i < run->array_count; i++) {
		floats_store_on(run->compute, out, run->arrays[i], n);
		out += 4 * n;
	}
	floats_store(out, run->losses, run->done);
}

void running_state_load(struct running *run, uint32_t steps, const uint8_t *in)
{
	size_t n = run->model.parameters;

	for (uint32_t i = 0; i < run->array_count; i++) {
		floats_load_on(run->compute, run->arrays[i], in, n);
		in += 4 * n;
	}
	floats_load(run->losses, in, steps);
	run->done = steps;
}

void running_close(struct running *run)
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
