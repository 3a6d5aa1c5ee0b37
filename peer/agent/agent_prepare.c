/* Gathering what a unit needs: the recipe, the parameters, its slot's state, the shards; what the disk has is not fetched
 * again. One blob is waited for at a time; shards are fetched ahead. The swarm does the fetching. */
#include "peer/agent/agent_state.h"

#include <stdio.h>
#include <string.h>

#include "peer/agent/worker_protocol.h"
#include "tasks/base/mem.h"
#include "tasks/model/model.h"
#include "tasks/unit/run.h"
#include "tasks/unit/state.h"

/* total: its length when known, else 0. */
static void find(struct agent *a, enum agent_blob kind, const struct digest *digest, uint64_t total,
	uint64_t max, struct agent_effects *out)
{
	struct agent_effect *e = effect_push(out, AGENT_FIND_BLOB);

	a->want = (struct want){WANT_FINDING, kind, *digest, total, max};
	if (e == NULL)
		return;
	e->kind = kind;
	e->digest = *digest;
	e->want_bytes = kind == BLOB_RECIPE;
}

static void fetch(const struct want *w, bool ahead, struct agent_effects *out)
{
	struct agent_effect *e = effect_push(out, AGENT_FETCH_BLOB);

	if (e == NULL)
		return;
	e->kind = w->kind;
	e->digest = w->digest;
	e->total = w->total;
	e->max = w->max;
	e->ahead = ahead;
}

/* All shards come at once, while the parameters do. */
static void fetch_ahead(const struct job *j, struct agent_effects *out)
{
	for (uint32_t i = j->shards_found; i < j->shard_count; i++) {
		struct want w = {WANT_NOTHING, BLOB_SHARD, j->shards[i], 0, SHARD_BYTES};

		fetch(&w, true, out);
	}
}

/* Does the unit fit the recipe that it names? The root signed both, so this should never speak. */
static int unit_check(const struct job *j, const struct recipe *recipe,
	const struct state_layout *state, struct errmsg *msg)
{
	if (j->unit_count != 0 && j->unit_count != recipe->train.units_per_round)
		return errmsg_set(msg, TK_EINVAL, "the round has %u units and its recipe says %u",
			(unsigned)j->unit_count, (unsigned)recipe->train.units_per_round);
	if (j->unit.round >= recipe->train.rounds)
		return errmsg_set(msg, TK_EINVAL, "round %u of a recipe that ends after %u",
			(unsigned)j->unit.round + 1, (unsigned)recipe->train.rounds);
	if (j->unit.numerics != recipe->numerics)
		return errmsg_set(
			msg, TK_EINVAL, "the unit's version of NUMERICS is not its recipe's");
	if (state_bytes(state) == 0 && !digest_is_zero(&j->unit.state))
		return errmsg_set(
			msg, TK_EINVAL, "the unit has a state and its recipe carries none on");
	return TK_OK;
}

/* Will this computer bear it? Asked before anything large is fetched. */
static int size_check(const struct agent *a, const struct recipe *recipe, const uint32_t *shards,
	uint32_t count, struct errmsg *msg)
{
	uint64_t needed = unit_memory(recipe);
	uint64_t data = 0;

	for (uint32_t i = 0; i < count; i++)
		data += dataset_shard_bytes(&recipe->data, &recipe->data.train, shards[i]);
	if (data > WORKER_SHARDS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"the unit reads %llu MB of data at once; a worker keeps %u MB",
			(unsigned long long)(data >> 20), WORKER_SHARDS_MAX >> 20);
	if (needed + data > a->memory_max)
		return errmsg_set(msg, TK_ELIMIT,
			"the unit needs about %llu MB of memory; %llu MB may be used here",
			(unsigned long long)((needed + data) >> 20),
			(unsigned long long)(a->memory_max >> 20));
	return TK_OK;
}

/* With the recipe at hand: what else does the job need? */
static int job_plan(
	const struct agent *a, struct job *j, const struct recipe *recipe, struct errmsg *msg)
{
	struct digest *digests;
	uint32_t *shards = NULL;
	uint32_t count;
	struct state_layout state;
	size_t parameters;
	int rc = unit_parameters(recipe, &parameters, msg);

	if (rc != TK_OK)
		return rc;
	state = state_layout(&recipe->train, parameters);
	rc = unit_check(j, recipe, &state, msg);
	if (rc != TK_OK)
		return rc;
	rc = unit_shards(recipe, &j->unit, &shards, &count);
	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory to plan the unit");
	rc = size_check(a, recipe, shards, count, msg);
	if (rc != TK_OK) {
		mem_free(shards);
		return rc;
	}
	digests = mem_calloc(count, sizeof(*digests));
	if (digests == NULL) {
		mem_free(shards);
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to plan the unit");
	}
	for (uint32_t i = 0; i < count; i++)
		digests[i] = recipe->data.train.digests[shards[i]];
	mem_free(shards);
	mem_free(j->shards);
	j->shards = digests;
	j->shard_count = count;
	j->shards_found = 0;
	j->parameter_bytes = (uint64_t)parameters * 4;
	j->state_bytes = state_bytes(&state);
	snprintf(j->project, sizeof(j->project), "%s", recipe->name);
	return TK_OK;
}

/* A replay must know its steps as well. */
static int plan(struct agent *a, struct job *j, struct errmsg *msg)
{
	int rc = job_plan(a, j, &a->recipe, msg);

	return rc == TK_OK && j == &a->replaying.job ? dispute_plan(a, &a->recipe, msg) : rc;
}

static bool has_recipe_of(const struct agent *a, const struct job *j)
{
	return a->has_recipe && digest_equal(&a->recipe_digest, &j->unit.recipe);
}

void prepare_job(struct agent *a, struct job *j, uint64_t now_ms, struct agent_effects *out)
{
	struct errmsg msg = {{0}};

	if (j->stage == JOB_RECIPE && j->lacks == 0 && has_recipe_of(a, j)) {
		if (plan(a, j, &msg) != TK_OK) {
			job_abandon(a, j, now_ms, msg.text, out);
			return;
		}
		j->stage = JOB_PARAMETERS;
		fetch_ahead(j, out);
	}
	if (j->stage == JOB_STATE && digest_is_zero(&j->unit.state))
		j->stage = JOB_SHARDS;
	if (j->stage == JOB_SHARDS && j->shards_found == j->shard_count)
		j->stage = JOB_READY;
	if (a->want.phase != WANT_NOTHING)
		return;
	if (j->stage == JOB_RECIPE)
		find(a, BLOB_RECIPE, &j->unit.recipe, 0, RECIPE_BYTES_MAX, out);
	else if (j->stage == JOB_PARAMETERS)
		find(a, BLOB_PARAMETERS, &j->unit.parameters, j->parameter_bytes,
			j->parameter_bytes, out);
	else if (j->stage == JOB_STATE)
		find(a, BLOB_STATE, &j->unit.state, j->state_bytes, j->state_bytes, out);
	else if (j->stage == JOB_SHARDS)
		find(a, BLOB_SHARD, &j->shards[j->shards_found], 0, SHARD_BYTES, out);
}

static bool starts_from(const struct job *j, const struct digest *blob)
{
	return j->id != 0 &&
	       (digest_equal(&j->unit.parameters, blob) || digest_equal(&j->unit.state, blob));
}

bool prepare_needs(const struct agent *a, const struct digest *blob)
{
	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++)
		if (starts_from(&a->jobs[i], blob))
			return true;
	return starts_from(&a->replaying.job, blob);
}

/* Parameters and states last for a round: the oldest that no job needs leaves the disk. */
static void keep(struct agent *a, struct kept *k, enum agent_blob kind, const struct digest *digest,
	struct agent_effects *out)
{
	uint32_t at = 0;

	while (at < k->count && !digest_equal(&k->digests[at], digest))
		at++;
	if (at == k->count && k->count == KEPT_MAX) {
		struct agent_effect *e;

		for (at = KEPT_MAX - 1; at > 0 && prepare_needs(a, &k->digests[at]); at--)
			;
		e = effect_push(out, AGENT_REMOVE_BLOB);
		if (e != NULL) {
			e->kind = kind;
			e->digest = k->digests[at];
		}
	} else if (at == k->count) {
		k->count++;
	}
	memmove(&k->digests[1], &k->digests[0], at * sizeof(k->digests[0]));
	k->digests[0] = *digest;
}

bool prepare_has_parameters(const struct agent *a, const struct digest *parameters)
{
	for (uint32_t i = 0; i < a->parameters.count; i++)
		if (digest_equal(&a->parameters.digests[i], parameters))
			return true;
	return false;
}

void prepare_keep_parameters(
	struct agent *a, const struct digest *parameters, struct agent_effects *out)
{
	keep(a, &a->parameters, BLOB_PARAMETERS, parameters, out);
}

static void take_recipe(
	struct agent *a, struct job *j, const struct agent_event *event, struct agent_effects *out)
{
	struct errmsg msg = {{0}};
	struct recipe recipe;
	char why[TEXT_MAX];

	if (recipe_decode(&recipe, event->bytes, &msg) != TK_OK) {
		snprintf(why, sizeof(why), "its recipe cannot be used: %.200s", msg.text);
		job_abandon(a, j, event->now_ms, why, out);
		return;
	}
	if (a->has_recipe)
		recipe_close(&a->recipe);
	a->recipe = recipe;
	a->recipe_digest = j->unit.recipe;
	a->has_recipe = true;
	if (plan(a, j, &msg) != TK_OK) {
		job_abandon(a, j, event->now_ms, msg.text, out);
		return;
	}
	j->stage = JOB_PARAMETERS;
	fetch_ahead(j, out);
}

/* The blob is on disk: the job that waits for it has one need less. */
static void blob_ready(struct agent *a, enum agent_blob kind, const struct digest *digest,
	const struct agent_event *event, struct agent_effects *out)
{
	struct job *j = prepare_next(a);

	if (kind == BLOB_PARAMETERS)
		prepare_keep_parameters(a, digest, out);
	if (kind == BLOB_STATE)
		keep(a, &a->states, kind, digest, out);
	if (j == NULL)
		return;
	if (kind == BLOB_RECIPE && j->stage == JOB_RECIPE && digest_equal(&j->unit.recipe, digest))
		take_recipe(a, j, event, out);
	else if (kind == BLOB_PARAMETERS && j->stage == JOB_PARAMETERS &&
		 digest_equal(&j->unit.parameters, digest))
		j->stage = JOB_STATE;
	else if (kind == BLOB_STATE && j->stage == JOB_STATE &&
		 digest_equal(&j->unit.state, digest))
		j->stage = JOB_SHARDS;
	else if (kind == BLOB_SHARD && j->stage == JOB_SHARDS && j->shards_found < j->shard_count &&
		 digest_equal(&j->shards[j->shards_found], digest))
		j->shards_found++;
}

static bool waits_for(const struct job *j, const struct digest *blob)
{
	switch (j->stage) {
	case JOB_RECIPE:
		return digest_equal(&j->unit.recipe, blob);
	case JOB_PARAMETERS:
		return digest_equal(&j->unit.parameters, blob);
	case JOB_STATE:
		return digest_equal(&j->unit.state, blob);
	default:
		return j->stage == JOB_SHARDS && j->shards_found < j->shard_count &&
		       digest_equal(&j->shards[j->shards_found], blob);
	}
}

/* The wanted blob is not to be had: whoever waits for it is given back. A replay may have come before them: they
 * ask again when it is their turn. */
static void blob_failed(
	struct agent *a, uint64_t now_ms, const char *why, struct agent_effects *out)
{
	struct job *j = prepare_next(a);
	struct digest blob = a->want.digest;

	a->want.phase = WANT_NOTHING;
	if (j != NULL && waits_for(j, &blob))
		job_abandon(a, j, now_ms, why, out);
}

void prepare_blob(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct want *w = &a->want;
	struct want was = *w;
	bool finding = event->type == AGENT_BLOB_FOUND || event->type == AGENT_BLOB_ABSENT;

	if (!finding)
		ahead_blob(a, event, out);
	if (w->phase != (finding ? WANT_FINDING : WANT_FETCHING) ||
		!digest_equal(&event->digest, &w->digest))
		return; /* one that came ahead */
	if (event->type == AGENT_BLOB_ABSENT) {
		w->phase = WANT_FETCHING;
		fetch(w, false, out);
	} else if (event->type == AGENT_BLOB_FAILED) {
		blob_failed(a, event->now_ms, event->text, out);
	} else if (event->type == AGENT_BLOB_STORED && w->kind == BLOB_RECIPE) {
		find(a, was.kind, &was.digest, was.total, was.max, out); /* its bytes, too */
	} else {
		w->phase = WANT_NOTHING;
		blob_ready(a, was.kind, &was.digest, event, out);
	}
}

static bool reads(const struct job *j, const struct digest *blob)
{
	if (j->id == 0)
		return false;
	for (uint32_t k = 0; k < j->shard_count; k++)
		if (digest_equal(&j->shards[k], blob))
			return true;
	return digest_equal(&j->unit.recipe, blob);
}

bool agent_needs_blob(const struct agent *a, const struct digest *blob)
{
	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++)
		if (reads(&a->jobs[i], blob))
			return true;
	return prepare_needs(a, blob) || reads(&a->replaying.job, blob);
}
