/* Whole trainings: threads, engines, failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/unit/train.h"
#include "tests/lib/tiny.h"

static void training_of(
	struct tiny *t, const struct engine *e, uint32_t threads, struct digest *model)
{
	struct errmsg msg = {""};
	float *parameters;

	if (train_run(&t->recipe, e, span_of("", 0), &t->source, threads, NULL, &parameters, model,
		    &msg) != TK_OK)
		fail_msg("%s", msg.text);
	mem_free(parameters);
}

static void threads_and_engines_leave_the_model_digest_alone(void **state)
{
	const enum model_type types[] = {MODEL_CHAR_MLP, MODEL_CNN, MODEL_GPT};
	const uint32_t threads[] = {1, 2, 3, 7};
	struct digest first, other;
	struct tiny t;

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		assert_true(tiny_init(&t, types[k]));
		t.recipe.train.units_per_round = 2; /* threads beyond them work inside the units */
		training_of(&t, engine_find("baseline"), 1, &first);
		for (size_t i = 0; i < 4; i++) {
			training_of(&t, engine_best(), threads[i], &other);
			assert_true(digest_equal(&first, &other));
		}
		t.recipe.seed++;
		training_of(&t, engine_best(), 1, &other);
		assert_false(digest_equal(&first, &other));
		tiny_close(&t);
	}
}

static int keep_losses(void *context, const struct train_round *r)
{
	float *losses = context;

	losses[r->round] = r->validation.loss;
	return 0;
}

static void training_lowers_the_validation_loss(void **state)
{
	float losses[6] = {0};
	struct train_watch watch = {.context = losses, .round = keep_losses};
	struct digest model;
	float *parameters;
	struct tiny t;

	(void)state;
	assert_true(tiny_init(&t, MODEL_MLP));
	t.recipe.train.inner_steps = 20;
	assert_int_equal(train_run(&t.recipe, engine_best(), span_of("", 0), &t.source, 2, &watch,
				 &parameters, &model, NULL),
		TK_OK);
	if (!(losses[5] < 0.5f * losses[0]))
		fail_msg(
			"%g after round 0, %g after round 5", (double)losses[0], (double)losses[5]);
	mem_free(parameters);
	tiny_close(&t);
}

struct steps_seen {
	uint32_t calls, last_done, stop_at;
};

static int see_step(void *context, uint32_t round, uint32_t done, uint32_t total)
{
	struct steps_seen *s = context;

	assert_true(round < 6 && total == 5 && done == s->last_done % total + 1);
	s->last_done = done;
	return ++s->calls == s->stop_at;
}

static void each_step_of_a_unit_is_told_and_may_be_the_last(void **state)
{
	struct steps_seen seen = {0};
	struct train_watch watch = {.context = &seen, .step = see_step};
	float *parameters = NULL;
	struct digest model;
	struct tiny t;

	(void)state;
	assert_true(tiny_init(&t, MODEL_LOGISTIC));
	assert_int_equal(train_run(&t.recipe, engine_best(), span_of("", 0), &t.source, 1, &watch,
				 &parameters, &model, NULL),
		TK_OK);
	assert_int_equal(seen.calls, 6 * 4 * 5);
	mem_free(parameters);
	/* one worker: of several, the first may find no unit left to tell of */
	seen = (struct steps_seen){.stop_at = 7};
	assert_int_equal(train_run(&t.recipe, engine_best(), span_of("", 0), &t.source, 1, &watch,
				 &parameters, &model, NULL),
		TK_ECANCELED);
	assert_int_equal(seen.calls, 7);
	tiny_close(&t);
}

static void diverging_training_says_so(void **state)
{
	struct errmsg msg = {""};
	struct digest model;
	float *parameters;
	struct tiny t;

	(void)state;
	assert_true(tiny_init(&t, MODEL_MLP));
	t.recipe.train.optimizer = OPTIMIZER_SGD;
	t.recipe.train.learning_rate = 3e38f;
	t.recipe.train.clip = 0;
	assert_int_equal(train_run(&t.recipe, engine_best(), span_of("", 0), &t.source, 1, NULL,
				 &parameters, &model, &msg),
		TK_EDIVERGED);
	assert_non_null(strstr(msg.text, "learning"));
	tiny_close(&t);
}

static void every_failing_allocation_of_a_run_is_survived(void **state)
{
	struct tiny t;

	(void)state;
	assert_true(tiny_init(&t, MODEL_CHAR_MLP));
	t.recipe.train.rounds = 2;
	for (uint64_t n = 1;; n++) {
		struct digest model;
		float *parameters = NULL;
		int rc;

		mem_fail(n, 0);
		rc = train_run(&t.recipe, engine_best(), span_of("", 0), &t.source, 1, NULL,
			&parameters, &model, NULL);
		mem_fail(0, 0);
		mem_free(parameters);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
	}
	tiny_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_and_engines_leave_the_model_digest_alone),
		cmocka_unit_test(training_lowers_the_validation_loss),
		cmocka_unit_test(each_step_of_a_unit_is_told_and_may_be_the_last),
		cmocka_unit_test(diverging_training_says_so),
		cmocka_unit_test(every_failing_allocation_of_a_run_is_survived),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("unit: training", tests, NULL, NULL);
}
