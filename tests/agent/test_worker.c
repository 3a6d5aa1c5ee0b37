/* The worker process: forked here, spoken to over a socket, compared with the same unit run in this
 * process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer/agent/worker.h"
#include "peer/agent/worker_protocol.h"
#include "peer/agent/worker_replay.h"
#include "peer/agent/worker_trial.h"
#include "tasks/base/mem.h"
#include "tasks/unit/merge.h"
#include "tasks/unit/state.h"
#include "tasks/model/model.h"
#include "tasks/unit/train.h"
#include "tests/lib/worker_bench.h"

static void the_worker_computes_what_this_process_computes(void **state)
{
	struct worker_bench *b = *state;
	struct unit unit;

	worker_bench_queue_project(b);
	for (uint32_t i = 0; i < 3; i++) {
		worker_bench_queue_run(b, i + 1, i, &unit);
		worker_bench_flush(b);
		worker_bench_expect_result(b, i + 1, &unit);
	}
	assert_int_equal(worker_bench_exit(b), 0);
}

static void cancel_stops_a_run_and_the_next_one_follows(void **state)
{
	struct worker_bench *b = *state;
	struct worker_message m;
	struct unit unit;

	worker_bench_queue_project(b);
	worker_bench_queue_run(b, 1, 0, &unit);
	worker_bench_queue(b, (struct worker_message){.type = WORKER_CANCEL, .job = 1});
	worker_bench_queue_run(b, 2, 1, &unit);
	worker_bench_flush(b);
	assert_true(worker_bench_hear(b, &m));
	assert_int_equal(m.type, WORKER_FAILED);
	assert_int_equal(m.job, 1);
	assert_int_equal(m.code, TK_ECANCELED);
	worker_bench_expect_result(b, 2, &unit);
}

static void cancel_of_another_job_stops_nothing(void **state)
{
	struct worker_bench *b = *state;
	struct unit unit;

	worker_bench_queue_project(b);
	worker_bench_queue_run(b, 5, 0, &unit);
	worker_bench_queue(b, (struct worker_message){.type = WORKER_CANCEL, .job = 4});
	worker_bench_flush(b);
	worker_bench_expect_result(b, 5, &unit);
}

/* A recipe whose steps take many seconds each. */
static void make_slow(struct worker_bench *b)
{
	struct train_spec *t = &b->tiny.recipe.train;
	float *theta;
	size_t n;

	b->tiny.recipe.model.layers[0].width = WIDTH_MAX;
	t->batch_size = BATCH_MAX;
	t->accumulate = ACCUMULATE_MAX;
	assert_int_equal(recipe_validate(&b->tiny.recipe, NULL), TK_OK);
	b->recipe.len = b->parameters.len = 0;
	assert_int_equal(recipe_encode(&b->tiny.recipe, &b->recipe, NULL), TK_OK);
	digest_blob(&b->tiny.recipe_digest, b->recipe.data, b->recipe.len);
	assert_int_equal(unit_parameters(&b->tiny.recipe, &n, NULL), TK_OK);
	assert_int_equal(train_initial(&b->tiny.recipe, span_of("", 0), &theta, NULL), TK_OK);
	assert_int_equal(parameters_encode(&b->parameters, theta, n), TK_OK);
	digest_blob(&b->parameters_digest, b->parameters.data, b->parameters.len);
	mem_free(theta);
}

/* Progress is told after each step: here nobody waits for one. */
static void cancel_stops_a_run_within_a_step(void **state)
{
	struct worker_bench *b = *state;
	struct worker_message m;
	struct unit unit;

	make_slow(b);
	worker_bench_queue_project(b);
	worker_bench_queue_run(b, 1, 0, &unit);
	worker_bench_queue(b, (struct worker_message){.type = WORKER_CANCEL, .job = 9});
	worker_bench_flush(b);
	usleep(50000); /* so that the step has mostly begun; the test holds in any case */
	worker_bench_queue(b, (struct worker_message){.type = WORKER_CANCEL, .job = 1});
	worker_bench_flush(b);
	assert_true(worker_bench_hear_any(b, &m));
	assert_int_equal(m.type, WORKER_FAILED);
	assert_int_equal(m.job, 1);
	assert_int_equal(m.code, TK_ECANCELED);
}

static void the_agents_end_stops_a_run_within_a_step(void **state)
{
	struct worker_bench *b = *state;
	struct unit unit;

	make_slow(b);
	worker_bench_queue_project(b);
	worker_bench_queue_run(b, 1, 0, &unit);
	worker_bench_flush(b);
	usleep(50000);
	assert_int_equal(worker_bench_exit(b), 0);
}

static void a_run_goes_on_from_its_checkpoint(void **state)
{
	struct worker_bench *b = *state;
	struct bytes saved = {0};
	struct worker_message m;
	struct unit unit;

	worker_bench_queue_project(b);
	worker_bench_queue_run(b, 1, 0, &unit);
	worker_bench_queue(b, (struct worker_message){.type = WORKER_SAVE, .job = 9});
	worker_bench_queue(b, (struct worker_message){.type = WORKER_SAVE, .job = 1});
	worker_bench_flush(b);
	m = worker_bench_expect(b, WORKER_CHECKPOINT, 1);
	assert_int_equal(bytes_append(&saved, m.bytes.data, m.bytes.len), TK_OK);
	worker_bench_expect_result(b, 1, &unit);
	for (uint64_t job = 2; job < 4; job++) { /* the second time without one */
		if (job == 2)
			worker_bench_queue(b, (struct worker_message){.type = WORKER_RESUME,
						      .bytes = bytes_span(&saved)});
		worker_bench_queue_run(b, job, 0, &unit);
		worker_bench_flush(b);
		worker_bench_expect_result(b, job, &unit);
	}
	bytes_close(&saved);
}

static void a_spoiled_checkpoint_is_refused_and_forgotten(void **state)
{
	struct worker_bench *b = *state;
	struct unit unit;

	worker_bench_queue_project(b);
	worker_bench_queue(
		b, (struct worker_message){.type = WORKER_RESUME, .bytes = span_text("torn")});
	worker_bench_queue_run(b, 1, 0, &unit);
	worker_bench_flush(b);
	assert_int_equal(worker_bench_expect(b, WORKER_FAILED, 1).code, TK_ECORRUPT);
	worker_bench_queue_run(b, 2, 0, &unit);
	worker_bench_flush(b);
	worker_bench_expect_result(b, 2, &unit);
}

static void make_carrying(struct worker_bench *b, struct bytes *state)
{
	struct train_spec *t = &b->tiny.recipe.train;
	struct state_layout layout;
	static const uint8_t zero;

	t->inner_state = INNER_AVERAGE;
	t->warmup_steps = 0;
	b->recipe.len = 0;
	assert_int_equal(recipe_encode(&b->tiny.recipe, &b->recipe, NULL), TK_OK);
	digest_blob(&b->tiny.recipe_digest, b->recipe.data, b->recipe.len);
	layout = state_layout(t, b->parameters.len / 4);
	while (state->len < state_bytes(&layout))
		assert_int_equal(bytes_append(state, &zero, 1), TK_OK);
	store_le32(state->data, 0x3f000000u); /* 0.5 */
}

static void a_run_begins_with_the_state_that_came_before_it(void **state)
{
	struct worker_bench *b = *state;
	struct worker_message run = {
		.type = WORKER_RUN, .job = 1, .bytes = bytes_span(&b->parameters)};
	const struct compute c = {.engine = engine_find("baseline")};
	struct unit_input input = {.parameters = bytes_span(&b->parameters)};
	struct bytes slot = {0}, encoded = {0};
	struct unit_result want;
	struct unit unit;

	make_carrying(b, &slot);
	unit_describe(&unit, &b->tiny.recipe_digest, 1, 2,
		&(struct round_start){.parameters = b->parameters_digest});
	digest_blob(&unit.state, slot.data, slot.len);
	assert_int_equal(unit_encode(&unit, &encoded), TK_OK);
	run.unit = bytes_span(&encoded);
	worker_bench_queue_project(b);
	worker_bench_queue(
		b, (struct worker_message){.type = WORKER_STATE, .bytes = bytes_span(&slot)});
	worker_bench_queue(b, run);
	run.job = 2;
	worker_bench_queue(b, run);
	worker_bench_flush(b);
	input.state = bytes_span(&slot);
	assert_int_equal(
		unit_run(&b->tiny.recipe, &unit, &c, &input, &b->tiny.source, NULL, &want, NULL),
		TK_OK);
	assert_true(span_equal(
		worker_bench_expect(b, WORKER_RESULT, 1).claim, bytes_span(&want.claim)));
	assert_int_equal(
		worker_bench_expect(b, WORKER_FAILED, 2).code, TK_ECORRUPT); /* it is used once */
	unit_result_close(&want);
	bytes_close(&slot);
	bytes_close(&encoded);
}

static void the_leaves_of_its_trace_come_before_a_result(void **state)
{
	struct worker_bench *b = *state;
	struct worker_message m;
	struct digest root;
	struct claim claim;
	struct unit unit;

	worker_bench_queue_project(b);
	worker_bench_queue_run(b, 1, 2, &unit);
	worker_bench_flush(b);
	do
		assert_true(worker_bench_hear_any(b, &m));
	while (m.type == WORKER_PROGRESS);
	assert_int_equal(m.type, WORKER_TRACE);
	assert_int_equal(m.job, 1);
	merkle_root(&root, (const struct digest *)m.bytes.data, m.bytes.len / DIGEST_BYTES);
	assert_true(worker_bench_hear_any(b, &m));
	assert_int_equal(m.type, WORKER_RESULT);
	assert_int_equal(claim_decode(&claim, m.claim, NULL), TK_OK);
	assert_true(digest_equal(&root, &claim.trace));
}

/* Asked for a part of a unit, the worker says what this process gets. */
static void expect_replay(struct worker_bench *b, uint32_t first, uint32_t to, uint32_t keep)
{
	const struct compute c = {.engine = engine_find("baseline")};
	const struct replay_input input = {.parameters = bytes_span(&b->parameters),
		.before = span_of("", 0),
		.first = first,
		.to = to,
		.keep = keep};
	struct worker_message m = {
		.type = WORKER_REPLAY, .job = 9, .first = first, .to = to, .keep = keep};
	struct bytes encoded = {0};
	struct replay want;
	struct unit unit;

	unit_describe(&unit, &b->tiny.recipe_digest, 0, 1,
		&(struct round_start){.parameters = b->parameters_digest});
	assert_int_equal(unit_encode(&unit, &encoded), TK_OK);
	m.unit = bytes_span(&encoded);
	m.bytes = bytes_span(&b->parameters);
	worker_bench_queue(b, m);
	worker_bench_flush(b);
	assert_int_equal(
		unit_replay(&b->tiny.recipe, &unit, &c, &input, &b->tiny.source, &want, NULL),
		TK_OK);
	m = worker_bench_expect(b, WORKER_REPLAYED, 9);
	assert_true(span_equal(
		m.bytes, keep > 0 ? bytes_span(&want.kept)
				  : span_of(want.leaves, want.count * sizeof(*want.leaves))));
	replay_close(&want);
	bytes_close(&encoded);
}

static void a_replay_gives_steps_or_a_state(void **state)
{
	struct worker_bench *b = *state;
	uint32_t steps = b->tiny.recipe.train.inner_steps;

	worker_bench_queue_project(b);
	worker_bench_flush(b);
	expect_replay(b, 0, 1, 0);
	expect_replay(
		b, 2, 4, 0); /* a segment, then states within it, which go on from its start */
	expect_replay(b, 2, 3, 3);
	expect_replay(b, 3, 4, 4);
	expect_replay(b, 0, 1, 1); /* and one before it, which can't */
	expect_replay(b, 1, REPLAY_END, 0);
	expect_replay(b, steps - 1, steps, steps);
	assert_int_equal(worker_bench_exit(b), 0);
}

static void a_state_within_a_segment_is_computed_from_where_the_segment_began(void **state)
{
	struct worker_bench *b = *state;
	const struct compute c = {.engine = engine_best()};
	struct replay_input input = {.parameters = bytes_span(&b->parameters),
		.before = span_of("", 0),
		.first = 2,
		.to = 4};
	struct replay_memo memo = {.from = 0};
	struct replay segment, right, wrong;
	struct unit unit;

	unit_describe(&unit, &b->tiny.recipe_digest, 0, 1,
		&(struct round_start){.parameters = b->parameters_digest});
	assert_int_equal(replay_again(&memo, &b->tiny.recipe, &unit, &c, &input, &b->tiny.source,
				 &segment, NULL),
		TK_OK);
	assert_int_equal(memo.from, 2);
	input.keep = 4;
	input.first = 3;
	assert_int_equal(replay_again(&memo, &b->tiny.recipe, &unit, &c, &input, &b->tiny.source,
				 &right, NULL),
		TK_OK);
	assert_true(digest_equal(&right.leaves[0], &segment.leaves[1]));
	memo.state.data[1] ^= 1; /* nothing else than what is remembered goes into it */
	assert_int_equal(replay_again(&memo, &b->tiny.recipe, &unit, &c, &input, &b->tiny.source,
				 &wrong, NULL),
		TK_OK);
	assert_false(digest_equal(&wrong.leaves[0], &segment.leaves[1]));
	replay_close(&segment);
	replay_close(&right);
	replay_close(&wrong);
	replay_memo_close(&memo);
}

static void a_replay_of_steps_that_do_not_exist_fails_alone(void **state)
{
	struct worker_bench *b = *state;
	struct unit unit;

	worker_bench_queue_project(b);
	worker_bench_queue(b, (struct worker_message){.type = WORKER_REPLAY, .job = 3, .to = 1});
	worker_bench_flush(b);
	assert_int_not_equal(worker_bench_expect(b, WORKER_FAILED, 3).code, TK_OK);
	worker_bench_queue_run(b, 4, 0, &unit);
	worker_bench_flush(b);
	worker_bench_expect_result(b, 4, &unit);
}

static void parameters_of_another_digest_are_not_used(void **state)
{
	struct worker_bench *b = *state;
	struct worker_message m;
	struct unit unit;

	worker_bench_queue_project(b);
	b->parameters.data[3] ^= 1;
	worker_bench_queue_run(b, 1, 0, &unit);
	worker_bench_flush(b);
	assert_true(worker_bench_hear(b, &m));
	assert_int_equal(m.type, WORKER_FAILED);
	assert_int_equal(m.code, TK_ECORRUPT);
}

static void a_unit_of_another_recipe_is_not_computed(void **state)
{
	struct worker_bench *b = *state;
	struct worker_message m;
	struct unit unit;

	worker_bench_queue_project(b);
	b->tiny.recipe_digest.b[0] ^= 1;
	worker_bench_queue_run(b, 1, 0, &unit);
	worker_bench_flush(b);
	assert_true(worker_bench_hear(b, &m));
	assert_int_equal(m.type, WORKER_FAILED);
}

static void a_unit_without_its_shards_is_not_computed(void **state)
{
	struct worker_bench *b = *state;
	struct worker_message m;
	struct unit unit;

	worker_bench_queue_project(b);
	/* the same recipe again drops the shards */
	worker_bench_queue(
		b, (struct worker_message){.type = WORKER_RECIPE, .bytes = bytes_span(&b->recipe)});
	worker_bench_queue_run(b, 1, 0, &unit);
	worker_bench_flush(b);
	assert_true(worker_bench_hear(b, &m));
	assert_int_equal(m.type, WORKER_FAILED);
	assert_int_equal(m.code, TK_ENOENT);
}

static void a_shard_with_a_wrong_byte_ends_the_worker(void **state)
{
	struct worker_bench *b = *state;
	struct worker_message m = {.type = WORKER_SHARD};
	struct bytes bad = {0};

	m.digest = b->tiny.recipe.data.train.digests[0];
	assert_int_equal(shard_cache_get(&b->tiny.cache, &m.digest, &m.bytes, NULL), TK_OK);
	assert_int_equal(bytes_append(&bad, m.bytes.data, m.bytes.len), TK_OK);
	bad.data[0] ^= 1;
	m.bytes = bytes_span(&bad);
	worker_bench_queue(
		b, (struct worker_message){.type = WORKER_RECIPE, .bytes = bytes_span(&b->recipe)});
	worker_bench_queue(b, m);
	worker_bench_flush(b);
	bytes_close(&bad);
	assert_false(worker_bench_hear(b, &m));
	assert_int_equal(worker_bench_exit(b), 1);
}

static void the_end_of_input_ends_the_worker_in_peace(void **state)
{
	assert_int_equal(worker_bench_exit(*state), 0);
}

static void garbage_ends_the_worker(void **state)
{
	struct worker_bench *b = *state;
	struct worker_message m;
	static const uint8_t huge[4] = {0xff, 0xff, 0xff, 0xff};

	assert_int_equal(bytes_append(&b->to_send, huge, sizeof(huge)), TK_OK);
	worker_bench_flush(b);
	assert_false(worker_bench_hear(b, &m));
	assert_int_equal(worker_bench_exit(b), 1);
}

/* What the doctor asks of a worker. */
static void every_engine_passes_the_trial(void **state)
{
	struct worker_bench *b = *state;
	struct worker_trial trial;
	struct worker_message m;

	assert_int_equal(worker_trial_init(&trial, NULL), TK_OK);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		assert_int_equal(worker_bench_exit(b), 0);
		worker_bench_spawn(b, *e);
		for (size_t i = 0; i < WORKER_TRIAL_MESSAGES; i++)
			worker_bench_queue(b, trial.messages[i]);
		worker_bench_flush(b);
		m = worker_bench_expect(b, WORKER_RESULT, 1);
		assert_true(worker_trial_right(m.claim));
	}
	worker_trial_close(&trial);
}

static void another_bit_anywhere_fails_the_trial(void **state)
{
	struct worker_bench *b = *state;
	struct bytes claim = {0};
	struct worker_trial trial;
	struct worker_message m;

	assert_int_equal(worker_trial_init(&trial, NULL), TK_OK);
	for (size_t i = 0; i < WORKER_TRIAL_MESSAGES; i++)
		worker_bench_queue(b, trial.messages[i]);
	worker_bench_flush(b);
	m = worker_bench_expect(b, WORKER_RESULT, 1);
	assert_int_equal(bytes_append(&claim, m.claim.data, m.claim.len), TK_OK);
	for (size_t i = 0; i < claim.len; i++) {
		claim.data[i] ^= 1;
		assert_false(worker_trial_right(bytes_span(&claim)));
		claim.data[i] ^= 1;
	}
	assert_true(worker_trial_right(bytes_span(&claim)));
	bytes_close(&claim);
	worker_trial_close(&trial);
}

static void every_message_survives_its_frame(void **state)
{
	struct worker_bench *b = *state;
	static const uint8_t data[] = "some bytes";
	struct span s = span_of(data, sizeof(data));

	for (uint32_t type = WORKER_RECIPE; type <= WORKER_REPLAYED; type++) {
		struct worker_message m = {.type = type,
			.job = 7,
			.done = 3,
			.total = 9,
			.first = 4,
			.to = REPLAY_END,
			.keep = 5,
			.code = TK_ENOMEM,
			.unit = s,
			.claim = s,
			.bytes = s,
			.text = "why"};
		struct worker_message got;
		struct bytes frame = {0};
		size_t used;

		assert_int_equal(worker_message_encode(&m, &frame), TK_OK);
		for (size_t n = 0; n < frame.len; n++)
			assert_int_equal(
				worker_message_decode(&got, span_of(frame.data, n), &used, NULL),
				TK_ENOENT);
		assert_int_equal(
			worker_message_decode(&got, bytes_span(&frame), &used, NULL), TK_OK);
		assert_int_equal(used, frame.len);
		assert_int_equal(got.type, type);
		if (type == WORKER_REPLAY)
			assert_true(got.first == 4 && got.to == REPLAY_END && got.keep == 5 &&
				    span_equal(got.unit, s) && span_equal(got.bytes, s));
		if (type == WORKER_RESULT)
			assert_true(span_equal(got.claim, s) && span_equal(got.bytes, s));
		if (type == WORKER_FAILED)
			assert_true(got.code == TK_ENOMEM && strcmp(got.text, "why") == 0);
		bytes_close(&frame);
	}
	(void)b;
}

static void a_bent_frame_is_refused_or_reads_within_its_limits(void **state)
{
	struct worker_bench *b = *state;
	struct worker_message m = {.type = WORKER_SHARD, .bytes = bytes_span(&b->recipe)};
	struct bytes frame = {0};

	assert_int_equal(worker_message_encode(&m, &frame), TK_OK);
	for (size_t at = 0; at < 48; at++)
		for (int bit = 0; bit < 8; bit++) {
			struct worker_message got;
			size_t used;
			int rc;

			frame.data[at] ^= (uint8_t)(1 << bit);
			rc = worker_message_decode(&got, bytes_span(&frame), &used, NULL);
			if (rc == TK_OK)
				assert_true(got.bytes.len <= frame.len && used <= frame.len);
			frame.data[at] ^= (uint8_t)(1 << bit);
		}
	bytes_close(&frame);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, worker_bench_setup, worker_bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_worker_computes_what_this_process_computes),
		TEST(cancel_stops_a_run_and_the_next_one_follows),
		TEST(cancel_of_another_job_stops_nothing),
		TEST(cancel_stops_a_run_within_a_step),
		TEST(the_agents_end_stops_a_run_within_a_step),
		TEST(a_run_goes_on_from_its_checkpoint),
		TEST(a_spoiled_checkpoint_is_refused_and_forgotten),
		TEST(a_run_begins_with_the_state_that_came_before_it),
		TEST(the_leaves_of_its_trace_come_before_a_result),
		TEST(a_replay_gives_steps_or_a_state),
		TEST(a_state_within_a_segment_is_computed_from_where_the_segment_began),
		TEST(a_replay_of_steps_that_do_not_exist_fails_alone),
		TEST(parameters_of_another_digest_are_not_used),
		TEST(a_unit_of_another_recipe_is_not_computed),
		TEST(a_unit_without_its_shards_is_not_computed),
		TEST(a_shard_with_a_wrong_byte_ends_the_worker),
		TEST(the_end_of_input_ends_the_worker_in_peace),
		TEST(garbage_ends_the_worker),
		TEST(every_engine_passes_the_trial),
		TEST(another_bit_anywhere_fails_the_trial),
		TEST(every_message_survives_its_frame),
		TEST(a_bent_frame_is_refused_or_reads_within_its_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
