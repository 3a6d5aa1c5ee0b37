/* See jobs.h. */
#include "coordinator/jobs.h"

#include "coordinator/states.h"
#include "peer/wire/messages.h"
#include "tasks/base/mem.h"
#include "tasks/unit/train.h"

int job_recipe(const struct blob_store *blobs, const struct digest *digest, struct recipe *recipe,
	struct bytes *encoded, struct errmsg *msg)
{
	struct bytes got = {0};
	int rc = blob_store_get(blobs, digest, RECIPE_BYTES_MAX, &got, msg);

	if (rc == TK_OK && recipe != NULL)
		rc = recipe_decode(recipe, bytes_span(&got), msg);
	if (rc == TK_OK && encoded != NULL)
		*encoded = got;
	else
		bytes_close(&got);
	return rc;
}

static int load_floats(const struct blob_store *blobs, const struct digest *digest, size_t count,
	float **out, struct errmsg *msg)
{
	struct bytes got = {0};
	float *x;
	int rc = blob_store_get(blobs, digest, count * 4, &got, msg);

	if (rc != TK_OK)
		return rc;
	x = mem_floats(count);
	rc = x != NULL ? parameters_decode(x, count, bytes_span(&got), msg)
		       : errmsg_set(msg, TK_ENOMEM, "not enough memory for %zu parameters", count);
	bytes_close(&got);
	if (rc == TK_OK)
		*out = x;
	else
		mem_free(x);
	return rc;
}

static int store_floats(const struct blob_store *blobs, const float *x, size_t count,
	struct digest *digest, struct errmsg *msg)
{
	struct bytes encoded = {0};
	int rc = parameters_encode(&encoded, x, count);

	if (rc == TK_OK)
		rc = blob_store_put(blobs, digest, bytes_span(&encoded), msg);
	else
		errmsg_set(msg, rc, "not enough memory for %zu parameters", count);
	bytes_close(&encoded);
	return rc;
}

int job_parameters(const struct blob_store *blobs, const struct project_row *row,
	const struct model *model, float **parameters, struct errmsg *msg)
{
	return load_floats(blobs, &row->parameters, model->parameters, parameters, msg);
}

int job_shard(const struct blob_store *blobs, const struct recipe *recipe,
	const struct digest *digest, struct shard_cache *cache, struct errmsg *msg)
{
	struct bytes got = {0};
	int rc = blob_store_get(blobs, digest, SHARD_BYTES, &got, msg);

	if (rc == TK_OK)
		rc = shard_cache_add(cache, recipe, digest, &got, msg);
	bytes_close(&got);
	return rc;
}

static int merge_units(const struct blob_store *blobs, const struct recipe *recipe,
	const struct merge_input *inputs, struct merge *merge, struct errmsg *msg)
{
	for (uint32_t i = 0; i < recipe->train.units_per_round; i++) {
		struct span encoded = {inputs[i].claim, inputs[i].claim_bytes};
		struct bytes payload = {0};
		struct claim claim;
		int rc = claim_decode(&claim, encoded, msg);

		if (rc == TK_OK && claim.outcome == OUTCOME_UPDATE)
			rc = blob_store_get(
				blobs, &claim.payload, (size_t)claim.payload_bytes, &payload, msg);
		if (rc == TK_OK)
			rc = merge_add(merge, &claim, bytes_span(&payload), msg);
		bytes_close(&payload);
		if (rc != TK_OK)
			return errmsg_prefix(msg, rc, "unit %u", i + 1);
	}
	return TK_OK;
}

struct reading {
	const struct blob_store *blobs;
	const struct merge_input *inputs;
	struct bytes payload; /* the last one */
};

/* For merge_gather, with a payload in memory at a time. */
static int payload_again(void *context, uint32_t unit, struct span *payload, struct errmsg *msg)
{
	struct reading *r = context;
	struct claim claim;
	int rc = claim_decode(
		&claim, span_of(r->inputs[unit].claim, r->inputs[unit].claim_bytes), msg);

	bytes_close(&r->payload);
	if (rc == TK_OK)
		rc = blob_store_get(
			r->blobs, &claim.payload, (size_t)claim.payload_bytes, &r->payload, msg);
	*payload = bytes_span(&r->payload);
	return rc;
}

static int merge_all(const struct blob_store *blobs, const struct recipe *recipe,
	const struct merge_input *inputs, struct merge *merge, struct errmsg *msg)
{
	struct reading reading = {.blobs = blobs, .inputs = inputs};
	const struct merge_source source = {&reading, payload_again};
	int rc = merge_units(blobs, recipe, inputs, merge, msg);

	if (rc == TK_OK)
		rc = merge_gather(merge, &source, msg);
	bytes_close(&reading.payload);
	return rc;
}

/* What a merge holds: θ, the outer optimizer's state, the sums of updates and moments. */
struct merging {
	struct compute compute;
	struct recipe recipe;
	struct model model;
	struct merge merge;
	struct shard_cache shards;
	float *parameters, *outer_state;
	struct digest *states; /* what the round started from */
};

static int merging_load(struct merging *m, const struct blob_store *blobs,
	const struct project_row *row, struct errmsg *msg)
{
	size_t outer;
	int rc = model_init(&m->model, &m->recipe.model, &m->recipe.data, msg);

	if (rc == TK_OK)
		rc = job_parameters(blobs, row, &m->model, &m->parameters, msg);
	if (rc != TK_OK)
		return rc;
	outer = outer_state_floats(&m->recipe.train, m->model.parameters);
	if (!digest_is_zero(&row->outer_state))
		rc = load_floats(blobs, &row->outer_state, outer, &m->outer_state, msg);
	else if ((m->outer_state = mem_floats(outer)) == NULL)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to merge");
	if (rc == TK_OK)
		rc = states_load(blobs, &row->states, row->units_per_round, &m->states, msg);
	if (rc == TK_OK)
		rc = merge_begin(&m->merge, &m->recipe, &m->compute, msg);
	return rc;
}

static int merging_evaluate(struct merging *m, const struct blob_store *blobs,
	struct evaluation *out, struct errmsg *msg)
{
	const struct dataset_part *part = &m->recipe.data.validation;
	struct shard_source source = {&m->shards, shard_cache_get};

	for (uint32_t i = 0; i < part->shards; i++) {
		int rc = job_shard(blobs, &m->recipe, &part->digests[i], &m->shards, msg);

		if (rc != TK_OK)
			return rc;
	}
	return evaluate(&m->recipe, &m->compute, m->parameters, &source, out, msg);
}

static int merging_store(const struct merging *m, const struct blob_store *blobs,
	struct merge_output *out, struct errmsg *msg)
{
	size_t n = m->model.parameters;
	int rc = store_floats(blobs, m->parameters, n, &out->parameters, msg);

	if (rc == TK_OK)
		rc = store_floats(blobs, m->outer_state, outer_state_floats(&m->recipe.train, n),
			&out->outer_state, msg);
	if (rc == TK_OK && model_digest(&out->model, m->parameters, n) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the model's digest");
	return rc;
}

int job_merge(const struct blob_store *blobs, const struct project_row *row,
	const struct merge_input *inputs, struct merge_output *out, struct errmsg *msg)
{
	struct merge_output result = {0};
	struct merging m = {.compute = {.engine = engine_best()}};
	int rc = engine_enter_thread(msg);

	if (rc == TK_OK)
		rc = job_recipe(blobs, &row->recipe, &m.recipe, NULL, msg);
	if (rc != TK_OK)
		return rc;
	rc = merging_load(&m, blobs, row, msg);
	if (rc == TK_OK)
		rc = merge_all(blobs, &m.recipe, inputs, &m.merge, msg);
	if (rc == TK_OK)
		rc = merge_finish(
			&m.merge, row->round, m.parameters, m.outer_state, &result.loss, msg);
	if (rc == TK_OK)
		rc = merging_evaluate(&m, blobs, &result.validation, msg);
	if (rc == TK_OK)
		rc = merging_store(&m, blobs, &result, msg);
	if (rc == TK_OK && row->round + 1 < row->rounds)
		rc = states_merge(blobs, &m.merge, inputs, m.states, &result.states,
			&result.state_digests, msg);
	if (rc == TK_OK) {
		result.merged = m.merge.merged;
		*out = result;
	}
	merge_close(&m.merge);
	shard_cache_close(&m.shards);
	mem_free(m.parameters);
	mem_free(m.outer_state);
	mem_free(m.states);
	model_close(&m.model);
	recipe_close(&m.recipe);
	return rc;
}

int job_unit(const struct blob_store *blobs, const struct project_row *row, uint32_t index,
	struct unit *unit, struct errmsg *msg)
{
	struct round_start start = {.parameters = row->parameters};
	struct digest *states = NULL;
	int rc = states_load(blobs, &row->states, row->units_per_round, &states, msg);

	if (rc != TK_OK)
		return rc;
	start.states = states;
	unit_describe(unit, &row->recipe, row->round, index, &start);
	mem_free(states);
	return TK_OK;
}

/* What the referee holds. */
struct refereeing {
	struct recipe recipe;
	struct unit unit;
	struct bytes parameters, state;
	struct shard_cache shards;
	struct unit_result results[2];
};

static int refereeing_load(struct refereeing *r, const struct blob_store *blobs,
	const struct project_row *row, uint32_t unit, struct errmsg *msg)
{
	uint32_t *shards = NULL;
	uint32_t count = 0;
	int rc = job_unit(blobs, row, unit, &r->unit, msg);

	if (rc == TK_OK && !digest_is_zero(&r->unit.state))
		rc = blob_store_get(blobs, &r->unit.state, BLOB_BYTES_MAX, &r->state, msg);
	if (rc == TK_OK)
		rc = blob_store_get(blobs, &row->parameters, BLOB_BYTES_MAX, &r->parameters, msg);
	if (rc == TK_OK && unit_shards(&r->recipe, &r->unit, &shards, &count) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the unit's shards");
	for (uint32_t i = 0; i < count && rc == TK_OK; i++)
		rc = job_shard(blobs, &r->recipe, &r->recipe.data.train.digests[shards[i]],
			&r->shards, msg);
	mem_free(shards);
	return rc;
}

static int refereeing_run(struct refereeing *r, const struct blob_store *blobs, struct errmsg *msg)
{
	const struct compute alone = {.engine = engine_best()};
	struct shard_source source = {&r->shards, shard_cache_get};
	const struct unit_input input = {
		.parameters = bytes_span(&r->parameters), .state = bytes_span(&r->state)};
	struct digest payload;

	for (int i = 0; i < 2; i++) {
		int rc = unit_run(
			&r->recipe, &r->unit, &alone, &input, &source, NULL, &r->results[i], msg);

		if (rc != TK_OK)
			return rc;
	}
	if (!span_equal(bytes_span(&r->results[0].claim), bytes_span(&r->results[1].claim)))
		return errmsg_set(msg, TK_ENUMERICS,
			"this computer got two different results for the same unit: check its "
			"memory and "
			"cooling");
	if (r->results[0].payload.len == 0)
		return TK_OK;
	return blob_store_put(blobs, &payload, bytes_span(&r->results[0].payload), msg);
}

int job_referee(const struct blob_store *blobs, const struct project_row *row, uint32_t unit,
	struct bytes *claim, struct errmsg *msg)
{
	struct refereeing r = {0};
	int rc = engine_enter_thread(msg);

	if (rc == TK_OK)
		rc = job_recipe(blobs, &row->recipe, &r.recipe, NULL, msg);
	if (rc != TK_OK)
		return rc;
	rc = refereeing_load(&r, blobs, row, unit, msg);
	if (rc == TK_OK)
		rc = refereeing_run(&r, blobs, msg);
	if (rc == TK_OK) {
		*claim = r.results[0].claim;
		r.results[0].claim = (struct bytes){0};
	}
	unit_result_close(&r.results[0]);
	unit_result_close(&r.results[1]);
	shard_cache_close(&r.shards);
	bytes_close(&r.parameters);
	bytes_close(&r.state);
	recipe_close(&r.recipe);
	return rc;
}

int job_selftest(uint64_t seed, struct digest digests[SELFTEST_OPERATIONS], struct errmsg *msg)
{
	const struct compute alone = {.engine = engine_best()};
	struct digest again[SELFTEST_OPERATIONS];
	uint32_t wrong;
	int rc = engine_enter_thread(msg);

	if (rc == TK_OK)
		rc = selftest_run(&alone, seed, digests, msg);
	if (rc == TK_OK)
		rc = selftest_run(&alone, seed, again, msg);
	if (rc != TK_OK)
		return rc;
	wrong = selftest_compare(digests, again);
	if (wrong == SELFTEST_OPERATIONS)
		return TK_OK;
	return errmsg_set(msg, TK_ENUMERICS,
		"this computer got two different results for \"%s\": check its memory and cooling",
		selftest_name(wrong));
}
