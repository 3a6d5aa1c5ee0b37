/* Ways of training: each gives the same model on every engine and number of threads, and each is what
 * it says when it is written out with plain steps. */
#include "tests/unit/unit_bench.h"

#include <math.h>

#include "tasks/unit/rate.h"
#include "tasks/unit/sampler.h"
#include "tests/lib/slice.h"

/* A round of four units of three steps, twice. */
static void shorten(struct train_spec *t)
{
	t->inner_steps = 3;
	t->units_per_round = 4;
	t->rounds = 2;
	t->trace_every = 2;
}

enum { LOCAL_WAYS = 5, GRADIENT_WAYS = 3 };

static void local_way(struct train_spec *t, unsigned way)
{
	bool adamw = way < 2;

	t->inner_state = way == 1 || way == 3 ? INNER_AVERAGE : INNER_FRESH;
	if (adamw)
		return;
	t->optimizer = OPTIMIZER_SGD;
	t->beta1 = t->beta2 = t->epsilon = 0;
	t->momentum = way == 4 ? 0 : 0.9f;
	t->nesterov = way == 2;
	t->weight_decay = 0.01f;
	t->schedule = SCHEDULE_LINEAR;
	t->learning_rate_end = 0.1f;
	t->run_warmup_steps = 4;
	t->outer = OUTER_SGD;
	t->outer_momentum = 0;
}

static void gradient_way(struct train_spec *t, unsigned way)
{
	t->mode = MODE_GRADIENT;
	t->optimizer = 0;
	t->inner_state = 0;
	t->beta1 = t->beta2 = t->epsilon = 0;
	t->momentum = t->weight_decay = 0;
	t->warmup_steps = 0;
	t->outer = (enum outer_type)(OUTER_SGD + way);
	t->outer_learning_rate = 1;
	t->outer_momentum = t->outer == OUTER_NESTEROV ? 0.9f : 0;
	if (t->outer == OUTER_ADAMW) {
		t->outer_beta1 = 0.9f;
		t->outer_beta2 = 0.95f;
		t->outer_epsilon = 1e-8f;
		t->outer_weight_decay = 0.1f;
	}
}

/* Gives the parameters (mem_free). */
static float *train(struct tiny *t, const struct engine *e, uint32_t threads, struct digest *digest)
{
	struct errmsg msg = {""};
	float *parameters = NULL;

	if (train_run(&t->recipe, e, span_of("", 0), &t->source, threads, NULL, &parameters, digest,
		    &msg) != TK_OK)
		fail_msg("%s", msg.text);
	return parameters;
}

static void same_everywhere(struct tiny *t)
{
	const uint32_t threads[] = {2, 3, 7};
	struct errmsg msg = {""};
	struct digest first, other;

	if (recipe_validate(&t->recipe, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	mem_free(train(t, engine_find("baseline"), 1, &first));
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		mem_free(train(t, *e, 1, &other));
		assert_true(digest_equal(&first, &other));
	}
	for (size_t i = 0; i < slice(3, 1); i++) {
		mem_free(train(t, engine_best(), threads[i], &other));
		assert_true(digest_equal(&first, &other));
	}
}

/* All of them, or in a slice every third, so that each type, each way and each compression is among them. */
static bool is_tried(size_t type, unsigned way, int compression)
{
	return (type + way + (unsigned)compression) % slice(1, 3) == 0;
}

static void every_way_gives_the_same_model_on_all_engines_and_threads(void **state)
{
	const enum model_type types[] = {
		MODEL_LOGISTIC, MODEL_MLP, MODEL_CHAR_MLP, MODEL_CNN, MODEL_GPT};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		for (unsigned way = 0; way < LOCAL_WAYS + GRADIENT_WAYS; way++) {
			for (int c = COMPRESSION_NONE; c <= COMPRESSION_SPARSELOCO; c++) {
				struct tiny t;

				if (!is_tried(i, way, c))
					continue;
				assert_true(tiny_init(&t, types[i]));
				shorten(&t.recipe.train);
				t.recipe.train.compression = (enum compression)c;
				if (way < LOCAL_WAYS)
					local_way(&t.recipe.train, way);
				else
					gradient_way(&t.recipe.train, way - LOCAL_WAYS);
				same_everywhere(&t);
				tiny_close(&t);
			}
		}
	}
}

/* Training without units: a loop over the samples in their order, `rows` of them at a time. */
struct plain {
	struct model model;
	struct compute compute;
	struct model_work *work;
	struct sampler sampler;
	float *theta, *gradient, *m, *v;
	size_t n, rows;
};

static void plain_init(struct plain *p, struct tiny *t, size_t rows)
{
	*p = (struct plain){.compute = {.engine = engine_find("baseline")}, .rows = rows};
	assert_int_equal(model_init(&p->model, &t->recipe.model, &t->recipe.data, NULL), TK_OK);
	p->n = p->model.parameters;
	p->work = model_work_new(&p->model, &p->compute, rows, true);
	assert_int_equal(sampler_init(&p->sampler, &p->model, &t->recipe.data.train, t->recipe.seed,
				 &t->source, rows),
		TK_OK);
	assert_int_equal(train_initial(&t->recipe, span_of("", 0), &p->theta, NULL), TK_OK);
	p->gradient = mem_floats(p->n);
	p->m = mem_floats(p->n);
	p->v = mem_floats(p->n);
}

static void plain_close(struct plain *p)
{
	sampler_close(&p->sampler);
	model_work_free(p->work);
	model_close(&p->model);
	mem_free(p->theta);
	mem_free(p->gradient);
	mem_free(p->m);
	mem_free(p->v);
}

static void plain_gradient(struct plain *p, const struct tiny *t, uint64_t step)
{
	struct gradient_request request = {.parameters = p->theta,
		.count = p->rows * p->model.labels,
		.seed = t->recipe.seed,
		.step = step};

	assert_int_equal(
		sampler_batch(&p->sampler, step * p->rows, p->rows, &request.batch, NULL), TK_OK);
	model_gradient(&p->model, &p->compute, p->work, &request, p->gradient);
}

static void plain_adamw(struct plain *p, const struct adamw_step *s, float clip)
{
	struct adamw_step step = *s;

	step.gradient_scale = clip_factor(&p->compute, clip, p->gradient, p->n);
	p->compute.engine->adamw(p->n, &step, p->gradient, p->m, p->v, p->theta);
}

static void assert_equal_floats(const float *a, const float *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (a[i] != b[i])
			fail_msg("parameter %zu is %a, and %a in plain training", i, (double)a[i],
				(double)b[i]);
	}
}

/* A linear schedule, as NUMERICS.md writes it. */
static float rate_at(const struct train_spec *t, uint64_t at, uint64_t all)
{
	double x = (double)at / (double)all;

	return (float)((double)t->learning_rate *
		       ((double)t->learning_rate_end +
			       (1.0 - (double)t->learning_rate_end) * (1.0 - x)));
}

static void one_unit_with_carried_state_is_plain_training(void **state)
{
	struct digest digest;
	struct train_spec *s;
	float *units, *start;
	struct plain p;
	struct tiny t;

	(void)state;
	assert_true(tiny_init(&t, MODEL_GPT));
	s = &t.recipe.train;
	s->units_per_round = 1;
	s->inner_state = INNER_AVERAGE;
	s->compression = COMPRESSION_NONE;
	s->outer = OUTER_SGD;
	s->outer_momentum = 0;
	s->warmup_steps = 0;
	s->schedule = SCHEDULE_LINEAR;
	s->learning_rate_end = 0.25f;
	units = train(&t, engine_best(), 2, &digest);
	plain_init(&p, &t, s->batch_size);
	start = mem_floats(p.n);
	for (uint32_t step = 0; step < s->rounds * s->inner_steps; step++) {
		struct adamw_step a = {.learning_rate = rate_at(s, step, 30),
			.beta1 = s->beta1,
			.beta2 = s->beta2,
			.epsilon = s->epsilon,
			.weight_decay = s->weight_decay,
			.bias1 = bias_correction(s->beta1, step + 1),
			.bias2 = bias_correction(s->beta2, step + 1)};

		if (step % s->inner_steps == 0)
			memcpy(start, p.theta, p.n * sizeof(float));
		plain_gradient(&p, &t, step);
		plain_adamw(&p, &a, s->clip);
		/* The rounding that a unit's update brings. */
		for (size_t i = 0; i < p.n && (step + 1) % s->inner_steps == 0; i++)
			p.theta[i] = start[i] - (start[i] - p.theta[i]);
	}
	assert_equal_floats(units, p.theta, p.n);
	mem_free(start);
	mem_free(units);
	plain_close(&p);
	tiny_close(&t);
}

/* A round of W units of H micro-batches of B samples against steps of W·H·B samples. */
static void gradient_against_plain(uint32_t units, uint32_t steps, uint32_t batch, float bound)
{
	struct digest digest;
	struct train_spec *s;
	double worst = 0;
	struct plain p;
	struct tiny t;
	float *theta;

	assert_true(tiny_init(&t, MODEL_CNN));
	s = &t.recipe.train;
	gradient_way(s, 2);
	s->schedule = SCHEDULE_LINEAR;
	s->compression = COMPRESSION_NONE;
	s->units_per_round = units;
	s->inner_steps = steps;
	s->trace_every = steps;
	s->batch_size = batch;
	theta = train(&t, engine_best(), 2, &digest);
	plain_init(&p, &t, (size_t)units * steps * batch);
	for (uint32_t step = 0; step < s->rounds; step++) {
		struct adamw_step a = {.learning_rate = rate_at(s, step, s->rounds),
			.beta1 = s->outer_beta1,
			.beta2 = s->outer_beta2,
			.epsilon = s->outer_epsilon,
			.weight_decay = s->outer_weight_decay,
			.bias1 = bias_correction(s->outer_beta1, step + 1),
			.bias2 = bias_correction(s->outer_beta2, step + 1)};

		plain_gradient(&p, &t, step);
		plain_adamw(&p, &a, s->clip);
	}
	for (size_t i = 0; i < p.n; i++)
		worst = fmax(worst, fabs((double)theta[i] - (double)p.theta[i]));
	if (!(worst <= (double)bound))
		fail_msg("%u units of %u steps: a parameter differs by %g", units, steps, worst);
	mem_free(theta);
	plain_close(&p);
	tiny_close(&t);
}

static void gradient_mode_is_training_on_the_rounds_batch(void **state)
{
	(void)state;
	gradient_against_plain(1, 1, 64, 0);
	/* Where gradients nearly vanish AdamW turns their rounding into whole steps of the rate. */
	gradient_against_plain(1, 4, 16, 1e-3f);
	gradient_against_plain(4, 1, 16, 1e-3f);
	gradient_against_plain(4, 4, 4, 1e-3f);
}

/* Parts of a batch change how sums are rounded, and nothing else. */
static void accumulation_leaves_training_as_it_is(void **state)
{
	struct digest digest;
	struct tiny t;
	double worst = 0;
	float *whole, *parts;
	size_t n;

	(void)state;
	assert_true(tiny_init(&t, MODEL_MLP));
	t.recipe.train.rounds = 2;
	assert_int_equal(unit_parameters(&t.recipe, &n, NULL), TK_OK);
	t.recipe.train.compression = COMPRESSION_NONE;
	whole = train(&t, engine_best(), 1, &digest);
	t.recipe.train.accumulate = 4;
	parts = train(&t, engine_best(), 1, &digest);
	for (size_t i = 0; i < n; i++)
		worst = fmax(worst, fabs((double)whole[i] - (double)parts[i]));
	if (!(worst < 1e-3))
		fail_msg("a parameter differs by %g", worst);
	mem_free(whole);
	mem_free(parts);
	tiny_close(&t);
}

static void schedules_begin_and_end_where_they_say(void **state)
{
	struct train_spec t = {.mode = MODE_LOCAL,
		.learning_rate = 0.5f,
		.learning_rate_end = 0.25f,
		.inner_steps = 10,
		.rounds = 100};

	(void)state;
	t.schedule = SCHEDULE_CONSTANT;
	assert_true(rate_inner(&t, 99, 9) == 0.5f);
	t.schedule = SCHEDULE_LINEAR;
	assert_true(rate_inner(&t, 0, 0) == 0.5f);
	assert_true(rate_inner(&t, 50, 0) == 0.3125f);
	assert_true(fabsf(rate_inner(&t, 99, 9) - 0.125f) < 0.001f);
	t.schedule = SCHEDULE_COSINE;
	assert_true(rate_inner(&t, 0, 0) == 0.5f);
	assert_true(rate_inner(&t, 50, 0) == 0.3125f);
	assert_true(fabsf(rate_inner(&t, 99, 9) - 0.125f) < 0.001f);
	t.schedule = SCHEDULE_CONSTANT;
	t.warmup_steps = 4;
	t.run_warmup_steps = 20;
	assert_true(rate_inner(&t, 0, 0) == 0.5f / 80);
	assert_true(rate_inner(&t, 1, 1) == 0.5f * 2 / 4 * 12 / 20);
	assert_true(rate_inner(&t, 2, 0) == 0.5f / 4);
	t.mode = MODE_GRADIENT;
	t.warmup_steps = 0;
	assert_true(rate_outer(&t, 9) == 0.25f);
	assert_true(rate_outer(&t, 20) == 0.5f);
}

static void given_parameters_start_the_training_and_others_are_refused(void **state)
{
	struct bytes initial = {0};
	struct digest digest, other;
	float *theta, *parameters;
	struct tiny t;
	size_t n;

	(void)state;
	assert_true(tiny_init(&t, MODEL_MLP));
	assert_int_equal(unit_parameters(&t.recipe, &n, NULL), TK_OK);
	mem_free(train(&t, engine_best(), 1, &digest));
	assert_int_equal(train_initial(&t.recipe, span_of("", 0), &theta, NULL), TK_OK);
	assert_int_equal(parameters_encode(&initial, theta, n), TK_OK);
	assert_int_equal(
		train_initial(&t.recipe, bytes_span(&initial), &parameters, NULL), TK_EINVAL);
	digest_blob(&t.recipe.initial, initial.data, initial.len);
	assert_int_equal(train_initial(&t.recipe, span_of("", 0), &parameters, NULL), TK_EINVAL);
	assert_int_equal(train_run(&t.recipe, engine_best(), bytes_span(&initial), &t.source, 1,
				 NULL, &parameters, &other, NULL),
		TK_OK);
	assert_true(digest_equal(&digest, &other));
	mem_free(parameters);
	initial.data[5] ^= 1;
	assert_int_equal(
		train_initial(&t.recipe, bytes_span(&initial), &parameters, NULL), TK_ECORRUPT);
	mem_free(theta);
	bytes_close(&initial);
	tiny_close(&t);
}

static void every_failing_allocation_of_a_training_with_states_is_survived(void **state)
{
	struct tiny t;

	(void)state;
	assert_true(tiny_init(&t, MODEL_MLP));
	shorten(&t.recipe.train);
	local_way(&t.recipe.train, 1);
	t.recipe.train.compression = COMPRESSION_SPARSELOCO;
	for (uint64_t n = 1;; n++) {
		struct errmsg msg = {""};
		float *parameters = NULL;
		struct digest model;
		int rc;

		mem_fail(n, 0);
		rc = train_run(&t.recipe, engine_best(), span_of("", 0), &t.source, 1, NULL,
			&parameters, &model, &msg);
		mem_fail(0, 0);
		mem_free(parameters);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
		assert_true(msg.text[0] != '\0');
	}
	tiny_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_gives_the_same_model_on_all_engines_and_threads),
		cmocka_unit_test(one_unit_with_carried_state_is_plain_training),
		cmocka_unit_test(gradient_mode_is_training_on_the_rounds_batch),
		cmocka_unit_test(accumulation_leaves_training_as_it_is),
		cmocka_unit_test(schedules_begin_and_end_where_they_say),
		cmocka_unit_test(every_failing_allocation_of_a_training_with_states_is_survived),
		cmocka_unit_test(given_parameters_start_the_training_and_others_are_refused),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("modes", tests, NULL, NULL);
}
