/* See train.h. Each unit goes through the same codec as in the grid: run, encode, decode, merge. */
#include "tasks/unit/train.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/model/model.h"

static int initial_check(const struct recipe *recipe, struct span initial, struct errmsg *msg)
{
	struct digest digest;

	if (digest_is_zero(&recipe->initial))
		return initial.len == 0 ? TK_OK
					: errmsg_set(msg, TK_EINVAL,
						  "the recipe starts from its seed, not from given "
						  "parameters");
	if (initial.len == 0)
		return errmsg_set(
			msg, TK_EINVAL, "the recipe starts from given parameters; none were given");
	digest_blob(&digest, initial.data, initial.len);
	if (!digest_equal(&digest, &recipe->initial))
		return errmsg_set(
			msg, TK_ECORRUPT, "the initial parameters are not those of the recipe");
	return TK_OK;
}

int train_initial(
	const struct recipe *recipe, struct span initial, float **parameters, struct errmsg *msg)
{
	struct model model;
	float *theta;
	int rc = initial_check(recipe, initial, msg);

	if (rc == TK_OK)
		rc = model_init(&model, &recipe->model, &recipe->data, msg);
	if (rc != TK_OK)
		return rc;
	theta = mem_floats(model.parameters);
	if (theta == NULL)
		rc = errmsg_set(
			msg, TK_ENOMEM, "not enough memory for %zu parameters", model.parameters);
	else if (initial.len > 0)
		rc = parameters_decode(theta, model.parameters, initial, msg);
	else
		model_initialize(&model, recipe->seed, theta);
	model_close(&model);
	if (rc == TK_OK)
		*parameters = theta;
	else
		mem_free(theta);
	return rc;
}

/* One round on its way. Workers take units as they come; whoever finishes the next one in unit order
 * merges it and those that waited for it. Threads beyond one for each worker share the operations inside
 * units. */
struct round_work {
	const struct recipe *recipe;
	const struct engine *engine;
	const struct compute *compute; /* with all threads, for what is done once a round */
	const struct shard_source *shards;
	const struct train_watch *watch;
	struct digest recipe_digest;
	struct round_start start;
	struct span parameters;
	uint32_t round;
	uint32_t workers;
	struct pool *pools[COMPUTE_THREADS_MAX]; /* of each worker; NULL: it has one thread */
	atomic_uint taken, done;
	atomic_int stopped; /* the first error code */
	/* Under lock: */
	pthread_mutex_t lock;
	struct unit_result *results; /* (W): computed and not yet merged, or to be read again */
	struct merge merge;
	struct bytes *states; /* (slots): of the slots, or one that all share */
	uint32_t slots;
	uint32_t next; /* unit to merge */
};

struct worker {
	struct round_work *round;
	uint32_t number;
	pthread_t thread;
	int rc;
	struct errmsg msg;
};

static int after_step(void *context, const struct running *run, uint32_t done, uint32_t total)
{
	const struct worker *t = context;
	const struct train_watch *watch = t->round->watch;

	(void)run;
	if (atomic_load(&t->round->stopped) != 0)
		return 1;
	return t->number == 0 && watch != NULL && watch->step != NULL &&
	       watch->step(watch->context, t->round->round, done, total) != 0;
}

/* A state without feedback is the same for every slot. */
static struct bytes *state_of(const struct round_work *w, uint32_t index)
{
	return &w->states[w->slots == 1 ? 0 : index];
}

static int compute_unit(struct worker *t, uint32_t index, struct unit_result *result)
{
	const struct round_work *w = t->round;
	struct compute compute = {.engine = w->engine, .pool = w->pools[t->number]};
	struct run_progress progress = {t, after_step};
	struct unit_input input = {
		.parameters = w->parameters, .state = bytes_span(state_of(w, index))};
	struct unit unit;

	unit_describe(&unit, &w->recipe_digest, w->round, index, &w->start);
	return unit_run(w->recipe, &unit, &compute, &input, w->shards, &progress, result, &t->msg);
}

/* Merges the unit and keeps the feedback for its slot's next one. */
static int merge_unit(struct round_work *w, uint32_t index, struct errmsg *msg)
{
	const struct payload_layout *layout = &w->merge.layout;
	struct unit_result *r = &w->results[index];
	struct span payload = bytes_span(&r->payload);
	struct claim claim;
	int rc = claim_decode(&claim, bytes_span(&r->claim), msg);

	if (rc == TK_OK)
		rc = merge_add(&w->merge, &claim, payload, msg);
	if (rc == TK_OK && claim.outcome == OUTCOME_UPDATE && layout->state.feedback > 0 &&
		state_set_feedback(state_of(w, index), &layout->state,
			payload_feedback(layout, payload)) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for a unit's state");
	if (!merge_rereads(w->recipe))
		unit_result_close(r);
	return rc;
}

/* Takes the unit's result, and merges what has become next in unit order. */
static int merge_ready(
	struct round_work *w, uint32_t index, struct unit_result *result, struct errmsg *msg)
{
	int rc = TK_OK;

	pthread_mutex_lock(&w->lock);
	w->results[index] = *result;
	while (rc == TK_OK && w->next < w->recipe->train.units_per_round &&
		w->results[w->next].claim.len > 0)
		rc = merge_unit(w, w->next++, msg);
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static void *compute_units(void *context)
{
	struct worker *t = context;
	struct round_work *w = t->round;
	uint32_t total = w->recipe->train.units_per_round;

	t->rc = engine_enter_thread(&t->msg);
	while (t->rc == TK_OK) {
		uint32_t i = atomic_fetch_add(&w->taken, 1);
		struct unit_result result = {0};
		uint32_t done;

		if (i >= total)
			break;
		t->rc = compute_unit(t, i, &result);
		if (t->rc == TK_OK)
			t->rc = merge_ready(w, i, &result, &t->msg);
		done = atomic_fetch_add(&w->done, 1) + 1;
		if (t->rc == TK_OK && t->number == 0 && w->watch != NULL &&
			w->watch->unit != NULL &&
			w->watch->unit(w->watch->context, w->round, done, total) != 0)
			t->rc = errmsg_set(&t->msg, TK_ECANCELED, "stopped on request");
	}
	if (t->rc != TK_OK) {
		int none = 0;

		atomic_compare_exchange_strong(&w->stopped, &none, t->rc);
	}
	return NULL;
}

/* All units of the round, by w->workers workers of which the caller is the first. */
static int compute_round(struct round_work *w, struct errmsg *msg)
{
	struct worker workers[COMPUTE_THREADS_MAX];
	uint32_t started = 1;
	int rc = TK_OK;

	REQUIRE(w->workers >= 1 && w->workers <= COMPUTE_THREADS_MAX);
	for (uint32_t i = 0; i < w->workers; i++)
		workers[i] = (struct worker){.round = w, .number = i};
	while (started < w->workers && rc == TK_OK) {
		struct worker *t = &workers[started];

		if (pthread_create(&t->thread, NULL, compute_units, t) != 0) {
			rc = errmsg_set(msg, TK_ENOMEM, "cannot start a thread");
			atomic_store(&w->stopped, rc);
		} else {
			started++;
		}
	}
	compute_units(&workers[0]);
	for (uint32_t i = 1; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	for (uint32_t i = 0; i < started && rc == TK_OK; i++) {
		rc = workers[i].rc;
		/* Who was merely told to stop does not explain why. */
		if (rc == TK_ECANCELED && atomic_load(&w->stopped) != TK_ECANCELED)
			rc = TK_OK;
		else if (rc != TK_OK && msg != NULL)
			*msg = workers[i].msg;
	}
	return rc;
}

/* What lives as long as the training. */
struct training {
	struct compute compute;
	struct round_work work;
	struct bytes encoded; /* θ_r as bytes */
	float *parameters;
	float *outer_state;
	struct digest *states; /* (W) */
	size_t count;
};

/* The digests of what the next round starts from. */
static int round_start(struct training *t, struct errmsg *msg)
{
	struct round_work *w = &t->work;

	t->encoded.len = 0;
	if (parameters_encode(&t->encoded, t->parameters, t->count) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the parameters");
	w->parameters = bytes_span(&t->encoded);
	digest_blob(&w->start.parameters, t->encoded.data, t->encoded.len);
	w->start.states = t->states;
	for (uint32_t i = 0; i < w->recipe->train.units_per_round; i++) {
		const struct bytes *state = state_of(w, i);

		if (i > 0 && w->slots == 1)
			t->states[i] = t->states[0];
		else if (state->len > 0)
			digest_blob(&t->states[i], state->data, state->len);
	}
	return TK_OK;
}

static int payload_again(void *context, uint32_t unit, struct span *payload, struct errmsg *msg)
{
	const struct round_work *w = context;

	(void)msg;
	*payload = bytes_span(&w->results[unit].payload);
	return TK_OK;
}

/* Rules that read payloads again find them here, packed: their room grows with W. */
static int round_gather(struct round_work *w, struct errmsg *msg)
{
	const struct merge_source source = {w, payload_again};
	int rc = merge_gather(&w->merge, &source, msg);

	for (uint32_t i = 0; i < w->recipe->train.units_per_round; i++)
		unit_result_close(&w->results[i]);
	return rc;
}

/* θ and all states of the next round. */
static int round_finish(struct training *t, struct train_round *summary, struct errmsg *msg)
{
	struct round_work *w = &t->work;
	const struct state_layout *layout = &w->merge.layout.state;
	int rc = round_gather(w, msg);

	if (rc == TK_OK)
		rc = merge_finish(
			&w->merge, w->round, t->parameters, t->outer_state, &summary->loss, msg);

	summary->units_skipped = w->recipe->train.units_per_round - w->merge.merged;
	for (uint32_t i = 0; i < w->slots && layout->moments > 0 && rc == TK_OK; i++) {
		rc = state_set_moments(&w->states[i], layout, w->merge.moments);
		if (rc != TK_OK)
			errmsg_set(msg, rc, "not enough memory for the units' states");
	}
	return rc;
}

static int train_one_round(struct training *t, uint32_t round, struct errmsg *msg)
{
	struct round_work *w = &t->work;
	struct train_round summary = {.round = round, .rounds = w->recipe->train.rounds};
	int rc = round_start(t, msg);

	w->round = round;
	w->next = 0;
	atomic_store(&w->taken, 0);
	atomic_store(&w->done, 0);
	if (rc == TK_OK)
		rc = merge_begin(&w->merge, w->recipe, w->compute, msg);
	if (rc != TK_OK)
		return rc;
	rc = compute_round(w, msg);
	if (rc == TK_OK)
		rc = round_finish(t, &summary, msg);
	merge_close(&w->merge);
	if (rc == TK_OK)
		rc = evaluate(
			w->recipe, w->compute, t->parameters, w->shards, &summary.validation, msg);
	if (rc == TK_OK && w->watch != NULL && w->watch->round != NULL &&
		w->watch->round(w->watch->context, &summary) != 0)
		rc = errmsg_set(msg, TK_ECANCELED, "stopped on request");
	return rc;
}

/* One pool for all threads, and one for each worker that has more than one of them. */
static int start_threads(
	struct training *t, const struct engine *engine, uint32_t threads, struct errmsg *msg)
{
	struct round_work *w = &t->work;
	uint32_t units = w->recipe->train.units_per_round;
	int rc = TK_OK;

	w->engine = engine;
	w->compute = &t->compute;
	w->workers = threads < units ? threads : units;
	t->compute.engine = engine;
	if (threads > 1)
		rc = pool_new(&t->compute.pool, threads, msg);
	for (uint32_t i = 0; rc == TK_OK && i < w->workers; i++) {
		uint32_t share = threads / w->workers + (i < threads % w->workers);

		if (w->workers > 1 && share > 1)
			rc = pool_new(&w->pools[i], share, msg);
	}
	if (w->workers == 1)
		w->pools[0] = t->compute.pool;
	return rc;
}

static void stop_threads(struct training *t)
{
	for (uint32_t i = 0; i < t->work.workers && t->work.workers > 1; i++)
		pool_free(t->work.pools[i]);
	pool_free(t->compute.pool);
}

static int training_init(
	struct training *t, const struct recipe *recipe, struct span initial, struct errmsg *msg)
{
	const struct train_spec *spec = &recipe->train;
	uint32_t units = spec->units_per_round;
	struct bytes encoded = {0};
	int rc = unit_parameters(recipe, &t->count, msg);

	if (rc == TK_OK)
		rc = recipe_encode(recipe, &encoded, msg);
	if (rc == TK_OK)
		rc = train_initial(recipe, initial, &t->parameters, msg);
	if (rc == TK_OK) {
		digest_blob(&t->work.recipe_digest, encoded.data, encoded.len);
		t->work.slots = state_layout(spec, t->count).feedback > 0 ? units : 1;
		t->outer_state = mem_floats(outer_state_floats(spec, t->count));
		t->states = mem_calloc(units, sizeof(*t->states));
		t->work.states = mem_calloc(t->work.slots, sizeof(*t->work.states));
		t->work.results = mem_calloc(units, sizeof(*t->work.results));
		if (t->outer_state == NULL || t->states == NULL || t->work.states == NULL ||
			t->work.results == NULL)
			rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to train");
	}
	bytes_close(&encoded);
	return rc;
}

static void training_close(struct training *t)
{
	struct round_work *w = &t->work;

	for (uint32_t i = 0; i < w->recipe->train.units_per_round && w->results != NULL; i++)
		unit_result_close(&w->results[i]);
	for (uint32_t i = 0; i < w->slots && w->states != NULL; i++)
		bytes_close(&w->states[i]);
	mem_free(w->results);
	mem_free(w->states);
	mem_free(t->parameters);
	mem_free(t->outer_state);
	mem_free(t->states);
	bytes_close(&t->encoded);
	stop_threads(t);
	pthread_mutex_destroy(&w->lock);
}

int train_run(const struct recipe *recipe, const struct engine *engine, struct span initial,
	const struct shard_source *shards, uint32_t threads, const struct train_watch *watch,
	float **parameters, struct digest *model, struct errmsg *msg)
{
	struct training t = {.work = {.lock = PTHREAD_MUTEX_INITIALIZER}};
	int rc = engine_enter_thread(msg);

	REQUIRE(threads >= 1 && threads <= COMPUTE_THREADS_MAX);
	t.work.recipe = recipe;
	t.work.shards = shards;
	t.work.watch = watch;
	if (rc == TK_OK)
		rc = start_threads(&t, engine, threads, msg);
	if (rc == TK_OK)
		rc = training_init(&t, recipe, initial, msg);
	for (uint32_t r = 0; rc == TK_OK && r < recipe->train.rounds; r++)
		rc = train_one_round(&t, r, msg);
	if (rc == TK_OK && model_digest(model, t.parameters, t.count) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the model's digest");
	if (rc == TK_OK) {
		*parameters = t.parameters;
		t.parameters = NULL;
	}
	training_close(&t);
	return rc;
}
