/* See train.h. Each unit goes through the same codec as in the grid: run, encode, decode, merge. */
#include "tasks/unit/train.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/model/model.h"

int train_initial(const struct recipe *recipe, float **parameters, struct errmsg *msg)
{
	struct model model;
	float *theta;
	int rc = model_init(&model, &recipe->model, &recipe->data, msg);

	if (rc != TK_OK)
		return rc;
	theta = mem_floats(model.parameters);
	if (theta == NULL) {
		rc = errmsg_set(
			msg, TK_ENOMEM, "not enough memory for %zu parameters", model.parameters);
		model_close(&model);
		return rc;
	}
	model_initialize(&model, recipe->seed, theta);
	model_close(&model);
	*parameters = theta;
	return TK_OK;
}

/* One round on its way. Worker t computes units t, t + workers, …; nothing else is shared but the two
 * counters. Threads beyond one for each worker share the operations inside units. */
struct round_work {
	const struct recipe *recipe;
	const struct engine *engine;
	const struct compute *compute; /* with all threads, for what is done once a round */
	const struct shard_source *shards;
	const struct train_watch *watch;
	struct digest recipe_digest;
	struct digest parameters_digest;
	struct span parameters;
	uint32_t round;
	uint32_t workers;
	struct pool *pools[COMPUTE_THREADS_MAX]; /* of each worker; NULL: it has one thread */
	struct unit_result *results;		 /* (W) */
	atomic_uint done;
	atomic_int stopped; /* the first error code */
};

struct worker {
	struct round_work *round;
	uint32_t number;
	pthread_t thread;
	int rc;
	struct errmsg msg;
};

static int stop_between_steps(void *context, uint32_t done, uint32_t total)
{
	struct round_work *w = context;

	(void)done;
	(void)total;
	return atomic_load(&w->stopped);
}

static int compute_unit(struct round_work *w, uint32_t worker, uint32_t index, struct errmsg *msg)
{
	struct compute compute = {.engine = w->engine, .pool = w->pools[worker]};
	struct run_progress progress = {w, stop_between_steps};
	struct unit unit;

	unit_describe(&unit, &w->recipe_digest, w->round, index, &w->parameters_digest);
	return unit_run(w->recipe, &unit, &compute, w->parameters, w->shards, &progress,
		&w->results[index], msg);
}

static void *compute_units(void *context)
{
	struct worker *t = context;
	struct round_work *w = t->round;
	uint32_t total = w->recipe->train.units_per_round;

	t->rc = engine_enter_thread(&t->msg);
	for (uint32_t i = t->number; i < total && t->rc == TK_OK; i += w->workers) {
		uint32_t done;

		t->rc = compute_unit(w, t->number, i, &t->msg);
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

static int merge_round(const struct round_work *w, float *parameters, float *outer_state,
	size_t count, struct train_round *summary, struct errmsg *msg)
{
	struct merge merge;
	int rc = merge_begin(&merge, count);

	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory to merge");
	for (uint32_t i = 0; i < w->recipe->train.units_per_round && rc == TK_OK; i++) {
		struct claim claim;

		rc = claim_decode(&claim, bytes_span(&w->results[i].claim), msg);
		if (rc == TK_OK)
			rc = merge_add(
				&merge, w->recipe, &claim, bytes_span(&w->results[i].payload), msg);
	}
	if (rc == TK_OK)
		rc = merge_finish(&merge, w->recipe, parameters, outer_state, &summary->loss, msg);
	summary->units_skipped = w->recipe->train.units_per_round - merge.merged;
	merge_close(&merge);
	return rc;
}

/* What lives as long as the training. */
struct training {
	struct compute compute;
	struct round_work work;
	struct bytes encoded; /* θ_r as bytes */
	float *parameters;
	float *outer_state;
	size_t count;
};

static int train_one_round(struct training *t, uint32_t round, struct errmsg *msg)
{
	struct round_work *w = &t->work;
	struct train_round summary = {.round = round, .rounds = w->recipe->train.rounds};
	int rc;

	t->encoded.len = 0;
	if (parameters_encode(&t->encoded, t->parameters, t->count) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the parameters");
	w->round = round;
	w->parameters = bytes_span(&t->encoded);
	digest_blob(&w->parameters_digest, t->encoded.data, t->encoded.len);
	atomic_store(&w->done, 0);
	rc = compute_round(w, msg);
	if (rc == TK_OK)
		rc = merge_round(w, t->parameters, t->outer_state, t->count, &summary, msg);
	for (uint32_t i = 0; i < w->recipe->train.units_per_round; i++) {
		unit_result_close(&w->results[i]);
		w->results[i] = (struct unit_result){0};
	}
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

static int training_init(struct training *t, const struct recipe *recipe, struct errmsg *msg)
{
	struct bytes encoded = {0};
	int rc = unit_parameters(recipe, &t->count, msg);

	if (rc == TK_OK)
		rc = recipe_encode(recipe, &encoded, msg);
	if (rc == TK_OK)
		rc = train_initial(recipe, &t->parameters, msg);
	if (rc == TK_OK) {
		digest_blob(&t->work.recipe_digest, encoded.data, encoded.len);
		t->outer_state = mem_floats(t->count);
		t->work.results =
			mem_calloc(recipe->train.units_per_round, sizeof(*t->work.results));
		if (t->outer_state == NULL || t->work.results == NULL)
			rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to train");
	}
	bytes_close(&encoded);
	return rc;
}

int train_run(const struct recipe *recipe, const struct engine *engine,
	const struct shard_source *shards, uint32_t threads, const struct train_watch *watch,
	float **parameters, struct digest *model, struct errmsg *msg)
{
	struct training t = {0};
	int rc = engine_enter_thread(msg);

	REQUIRE(threads >= 1 && threads <= COMPUTE_THREADS_MAX);
	t.work.recipe = recipe;
	t.work.shards = shards;
	t.work.watch = watch;
	if (rc == TK_OK)
		rc = start_threads(&t, engine, threads, msg);
	if (rc == TK_OK)
		rc = training_init(&t, recipe, msg);
	for (uint32_t r = 0; rc == TK_OK && r < recipe->train.rounds; r++)
		rc = train_one_round(&t, r, msg);
	if (rc == TK_OK && model_digest(model, t.parameters, t.count) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the model's digest");
	if (rc == TK_OK) {
		*parameters = t.parameters;
		t.parameters = NULL;
	}
	mem_free(t.parameters);
	mem_free(t.outer_state);
	mem_free(t.work.results);
	bytes_close(&t.encoded);
	stop_threads(&t);
	return rc;
}
