/* The trace: which leaves there are, and that they are what trace.h says. */
#include "tests/unit/unit_bench.h"

#include "tasks/unit/trace.h"

#define CHECKPOINT_HEAD 44u /* before the leaves */

static void leaves_follow_from_steps_and_distance(void **state)
{
	(void)state;
	for (uint32_t steps = 1; steps <= 12; steps++) {
		for (uint32_t every = 1; every <= steps; every++) {
			struct train_spec t = {.inner_steps = steps, .trace_every = every};

			for (uint32_t done = 0; done <= steps; done++) {
				uint32_t leaves = 1;

				for (uint32_t k = 1; k * every < steps && k * every <= done; k++)
					leaves++;
				assert_int_equal(trace_leaves(&t, done), leaves);
				if (done > 0)
					assert_int_equal(trace_due(&t, done),
						done < steps && done % every == 0);
			}
		}
	}
}

/* Compares the leaf of each step with the digest of the state that its checkpoint holds. */
struct watcher {
	struct digest states[8];
	uint32_t every;
	size_t leaves;
};

static int digest_state(void *context, const struct running *run, uint32_t done, uint32_t total)
{
	struct watcher *w = context;
	struct bytes checkpoint = {0};
	uint8_t steps[4];
	struct digest blob;
	const struct span fields[] = {{steps, 4}, {blob.b, DIGEST_BYTES}};
	size_t begin;

	assert_int_equal(run_checkpoint(run, &checkpoint), TK_OK);
	if (done < total && done % w->every == 0)
		w->leaves++;
	begin = CHECKPOINT_HEAD + DIGEST_BYTES * w->leaves;
	digest_blob(&blob, checkpoint.data + begin, checkpoint.len - DIGEST_BYTES - begin);
	store_le32(steps, done);
	digest_fields(&w->states[done], "talkoot state", fields, 2);
	bytes_close(&checkpoint);
	return 0;
}

static void check_trace(enum model_type type, unsigned way, uint32_t every)
{
	const struct compute c = {.engine = engine_best()};
	struct watcher w = {.every = every};
	struct run_progress progress = {&w, digest_state};
	struct unit_result r = {0};
	struct bytes header = {0};
	struct unit_bench b = {0};
	struct digest d;
	struct claim claim;
	uint32_t count = 1;

	assert_true(tiny_init(&b.tiny, type));
	unit_bench_way(&b.tiny.recipe.train, way);
	b.tiny.recipe.train.trace_every = every;
	unit_bench_prepare(&b, 0, 3);
	assert_int_equal(unit_bench_run(&b, &c, &progress, &r), TK_OK);
	assert_int_equal(claim_decode(&claim, bytes_span(&r.claim), NULL), TK_OK);
	assert_int_equal(unit_encode(&b.unit, &header), TK_OK);
	unit_digest(&d, bytes_span(&header));
	assert_true(digest_equal(&d, &r.leaves[0]));
	for (uint32_t k = every; k < b.tiny.recipe.train.inner_steps; k += every)
		assert_true(digest_equal(&w.states[k], &r.leaves[count++]));
	assert_true(digest_equal(&claim.payload, &r.leaves[count++]));
	assert_int_equal(r.leaf_count, count);
	merkle_root(&d, r.leaves, count);
	assert_true(digest_equal(&d, &claim.trace));
	bytes_close(&header);
	unit_result_close(&r);
	unit_bench_close(&b);
}

static void every_leaf_is_the_state_that_the_next_step_reads(void **state)
{
	(void)state;
	for (unsigned way = 0; way < WAYS; way++) {
		for (uint32_t every = 1; every <= 5; every++) {
			check_trace(MODEL_MLP, way, every);
			check_trace(MODEL_GPT, way, every);
		}
	}
}

static void a_failing_unit_has_the_leaves_up_to_its_failing_step(void **state)
{
	const struct compute c = {.engine = engine_best()};
	struct unit_result r = {0};
	struct unit_bench b = {0};
	struct train_spec *t = &b.tiny.recipe.train;
	struct claim claim;
	struct digest last, root;

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_MLP));
	unit_bench_way(t, 3);
	t->learning_rate = 1000;
	t->clip = 0;
	t->weight_decay = 100;
	t->inner_steps = 40;
	t->trace_every = 1;
	unit_bench_prepare(&b, 0, 0);
	assert_int_equal(unit_bench_run(&b, &c, NULL, &r), TK_OK);
	assert_int_equal(claim_decode(&claim, bytes_span(&r.claim), NULL), TK_OK);
	assert_int_equal(claim.outcome, OUTCOME_NONFINITE);
	assert_true(claim.failing_step > 0 && claim.failing_step < 40);
	assert_int_equal(r.leaf_count, claim.failing_step + 2);
	trace_failure(&last, claim.failing_step);
	assert_true(digest_equal(&last, &r.leaves[r.leaf_count - 1]));
	merkle_root(&root, r.leaves, r.leaf_count);
	assert_true(digest_equal(&root, &claim.trace));
	unit_result_close(&r);
	unit_bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_follow_from_steps_and_distance),
		cmocka_unit_test(every_leaf_is_the_state_that_the_next_step_reads),
		cmocka_unit_test(a_failing_unit_has_the_leaves_up_to_its_failing_step),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
