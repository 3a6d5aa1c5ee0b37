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
#include "peer/agent/worker_trial.h"
#include "tests/lib/tiny.h"
#include "tasks/base/mem.h"
#include "tasks/unit/merge.h"
#include "tasks/unit/state.h"
#include "tasks/model/model.h"
#include "tasks/unit/train.h"

struct bench {
	struct tiny tiny;
	struct bytes recipe;
	struct bytes parameters;
	struct digest parameters_digest;
	pid_t pid;
	int fd;
	struct bytes to_send;
	struct bytes arrived;
	size_t used;
};

static void bench_spawn(struct bench *b, const struct engine *engine)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	b->pid = fork();
	assert_true(b->pid >= 0);
	if (b->pid == 0) {
		close(fds[0]);
		_exit(worker_serve(fds[1], fds[1], engine));
	}
	close(fds[1]);
	b->fd = fds[0];
}

static int setup(void **state)
{
	static struct bench b;
	float *theta;
	size_t parameters;

	memset(&b, 0, sizeof(b));
	assert_int_equal(crypto_start(), TK_OK);
	assert_true(tiny_init(&b.tiny, MODEL_MLP));
	assert_int_equal(recipe_encode(&b.tiny.recipe, &b.recipe, NULL), TK_OK);
	assert_int_equal(unit_parameters(&b.tiny.recipe, &parameters, NULL), TK_OK);
	assert_int_equal(train_initial(&b.tiny.recipe, span_of("", 0), &theta, NULL), TK_OK);
	assert_int_equal(parameters_encode(&b.parameters, theta, parameters), TK_OK);
	digest_blob(&b.parameters_digest, b.parameters.data, b.parameters.len);
	mem_free(theta);
	bench_spawn(&b, engine_best());
	*state = &b;
	return 0;
}

/* The worker's exit code, once its input has ended. */
static int bench_exit(struct bench *b)
{
	int status;

	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	b->pid = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int teardown(void **state)
{
	struct bench *b = *state;

	if (b->pid != 0)
		(void)bench_exit(b);
	tiny_close(&b->tiny);
	bytes_close(&b->recipe);
	bytes_close(&b->parameters);
	bytes_close(&b->to_send);
	bytes_close(&b->arrived);
	return 0;
}

static void queue(struct bench *b, struct worker_message m)
{
	assert_int_equal(worker_message_encode(&m, &b->to_send), TK_OK);
}

/* All that is queued in one piece, as far as a socket has pieces. */
static void flush(struct bench *b)
{
	assert_int_equal(send(b->fd, b->to_send.data, b->to_send.len, MSG_NOSIGNAL),
		(ssize_t)b->to_send.len);
	b->to_send.len = 0;
}

/* The next message. False: the worker went away. */
static bool hear_any(struct bench *b, struct worker_message *m)
{
	bytes_consume(&b->arrived, b->used);
	b->used = 0;
	for (;;) {
		uint8_t part[4096];
		ssize_t n;
		int rc = worker_message_decode(m, bytes_span(&b->arrived), &b->used, NULL);

		if (rc == TK_OK)
			return true;
		assert_int_equal(rc, TK_ENOENT);
		n = read(b->fd, part, sizeof(part));
		if (n <= 0)
			return false;
		assert_int_equal(bytes_append(&b->arrived, part, (size_t)n), TK_OK);
	}
}

/* The next message that is not PROGRESS. False: the worker went away. */
static bool hear(struct bench *b, struct worker_message *m)
{
	while (hear_any(b, m)) {
		if (m->type != WORKER_PROGRESS)
			return true;
	}
	return false;
}

static void queue_project(struct bench *b)
{
	const struct dataset_part *train = &b->tiny.recipe.data.train;

	queue(b, (struct worker_message){.type = WORKER_RECIPE, .bytes = bytes_span(&b->recipe)});
	for (uint32_t i = 0; i < train->shards; i++) {
		struct worker_message m = {.type = WORKER_SHARD, .digest = train->digests[i]};

		assert_int_equal(shard_cache_get(&b->tiny.cache, &m.digest, &m.bytes, NULL), TK_OK);
		queue(b, m);
		flush(b);
	}
}

static void queue_run(struct bench *b, uint64_t job, uint32_t index, struct unit *unit)
{
	struct bytes encoded = {0};

	unit_describe(unit, &b->tiny.recipe_digest, 0, index,
		&(struct round_start){.parameters = b->parameters_digest});
	assert_int_equal(unit_encode(unit, &encoded), TK_OK);
	queue(b, (struct worker_message){.type = WORKER_RUN,
			 .job = job,
			 .unit = bytes_span(&encoded),
			 .bytes = bytes_span(&b->parameters)});
	bytes_close(&encoded);
}

static void expect_result(struct bench *b, uint64_t job, const struct unit *unit)
{
	const struct compute c = {.engine = engine_find("baseline")};
	const struct unit_input input = {.parameters = bytes_span(&b->parameters)};
	struct unit_result want;
	struct worker_message m;

	assert_int_equal(
		unit_run(&b->tiny.recipe, unit, &c, &input, &b->tiny.source, NULL, &want, NULL),
		TK_OK);
	assert_true(hear(b, &m));
	assert_int_equal(m.type, WORKER_RESULT);
	assert_int_equal(m.job, job);
	assert_true(span_equal(m.claim, bytes_span(&want.claim)));
	assert_true(span_equal(m.bytes, bytes_span(&want.payload)));
	unit_result_close(&want);
}

static void the_worker_computes_what_this_process_computes(void **state)
{
	struct bench *b = *state;
	struct unit unit;

	queue_project(b);
	for (uint32_t i = 0; i < 3; i++) {
		queue_run(b, i + 1, i, &unit);
		flush(b);
		expect_result(b, i + 1, &unit);
	}
	assert_int_equal(bench_exit(b), 0);
}

static void cancel_stops_a_run_and_the_next_one_follows(void **state)
{
	struct bench *b = *state;
	struct worker_message m;
	struct unit unit;

	queue_project(b);
	queue_run(b, 1, 0, &unit);
	queue(b, (struct worker_message){.type = WORKER_CANCEL, .job = 1});
	queue_run(b, 2, 1, &unit);
	flush(b);
	assert_true(hear(b, &m));
	assert_int_equal(m.type, WORKER_FAILED);
	assert_int_equal(m.job, 1);
	assert_int_equal(m.code, TK_ECANCELED);
	expect_result(b, 2, &unit);
}

static void cancel_of_another_job_stops_nothing(void **state)
{
	struct bench *b = *state;
	struct unit unit;

	queue_project(b);
	queue_run(b, 5, 0, &unit);
	queue(b, (struct worker_message){.type = WORKER_CANCEL, .job = 4});
	flush(b);
	expect_result(b, 5, &unit);
}

/* A recipe whose steps take many seconds each. */
static void make_slow(struct bench *b)
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
	struct bench *b = *state;
	struct worker_message m;
	struct unit unit;

	make_slow(b);
	queue_project(b);
	queue_run(b, 1, 0, &unit);
	queue(b, (struct worker_message){.type = WORKER_CANCEL, .job = 9});
	flush(b);
	usleep(50000); /* so that the step has mostly begun; the test holds in any case */
	queue(b, (struct worker_message){.type = WORKER_CANCEL, .job = 1});
	flush(b);
	assert_true(hear_any(b, &m));
	assert_int_equal(m.type, WORKER_FAILED);
	assert_int_equal(m.job, 1);
	assert_int_equal(m.code, TK_ECANCELED);
}

static void the_agents_end_stops_a_run_within_a_step(void **state)
{
	struct bench *b = *state;
	struct unit unit;

	make_slow(b);
	queue_project(b);
	queue_run(b, 1, 0, &unit);
	flush(b);
	usleep(50000);
	assert_int_equal(bench_exit(b), 0);
}

/* The worker answers with this type of message about this job. */
static struct worker_message expect(struct bench *b, enum worker_message_type type, uint64_t job)
{
	struct worker_message m = {0};

	assert_true(hear(b, &m));
	assert_int_equal(m.type, type);
	assert_int_equal(m.job, job);
	return m;
}

static void a_run_goes_on_from_its_checkpoint(void **state)
{
	struct bench *b = *state;
	struct bytes saved = {0};
	struct worker_message m;
	struct unit unit;

	queue_project(b);
	queue_run(b, 1, 0, &unit);
	queue(b, (struct worker_message){.type = WORKER_SAVE, .job = 9});
	queue(b, (struct worker_message){.type = WORKER_SAVE, .job = 1});
	flush(b);
	m = expect(b, WORKER_CHECKPOINT, 1);
	assert_int_equal(bytes_append(&saved, m.bytes.data, m.bytes.len), TK_OK);
	expect_result(b, 1, &unit);
	for (uint64_t job = 2; job < 4; job++) { /* the second time without one */
		if (job == 2)
			queue(b, (struct worker_message){
					 .type = WORKER_RESUME, .bytes = bytes_span(&saved)});
		queue_run(b, job, 0, &unit);
		flush(b);
		expect_result(b, job, &unit);
	}
	bytes_close(&saved);
}

static void a_spoiled_checkpoint_is_refused_and_forgotten(void **state)
{
	struct bench *b = *state;
	struct unit unit;

	queue_project(b);
	queue(b, (struct worker_message){.type = WORKER_RESUME, .bytes = span_text("torn")});
	queue_run(b, 1, 0, &unit);
	flush(b);
	assert_int_equal(expect(b, WORKER_FAILED, 1).code, TK_ECORRUPT);
	queue_run(b, 2, 0, &unit);
	flush(b);
	expect_result(b, 2, &unit);
}

static void make_carrying(struct bench *b, struct bytes *state)
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
	struct bench *b = *state;
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
	queue_project(b);
	queue(b, (struct worker_message){.type = WORKER_STATE, .bytes = bytes_span(&slot)});
	queue(b, run);
	run.job = 2;
	queue(b, run);
	flush(b);
	input.state = bytes_span(&slot);
	assert_int_equal(
		unit_run(&b->tiny.recipe, &unit, &c, &input, &b->tiny.source, NULL, &want, NULL),
		TK_OK);
	assert_true(span_equal(expect(b, WORKER_RESULT, 1).claim, bytes_span(&want.claim)));
	assert_int_equal(expect(b, WORKER_FAILED, 2).code, TK_ECORRUPT); /* it is used once */
	unit_result_close(&want);
	bytes_close(&slot);
	bytes_close(&encoded);
}

static void parameters_of_another_digest_are_not_used(void **state)
{
	struct bench *b = *state;
	struct worker_message m;
	struct unit unit;

	queue_project(b);
	b->parameters.data[3] ^= 1;
	queue_run(b, 1, 0, &unit);
	flush(b);
	assert_true(hear(b, &m));
	assert_int_equal(m.type, WORKER_FAILED);
	assert_int_equal(m.code, TK_ECORRUPT);
}

static void a_unit_of_another_recipe_is_not_computed(void **state)
{
	struct bench *b = *state;
	struct worker_message m;
	struct unit unit;

	queue_project(b);
	b->tiny.recipe_digest.b[0] ^= 1;
	queue_run(b, 1, 0, &unit);
	flush(b);
	assert_true(hear(b, &m));
	assert_int_equal(m.type, WORKER_FAILED);
}

static void a_unit_without_its_shards_is_not_computed(void **state)
{
	struct bench *b = *state;
	struct worker_message m;
	struct unit unit;

	queue_project(b);
	/* the same recipe again drops the shards */
	queue(b, (struct worker_message){.type = WORKER_RECIPE, .bytes = bytes_span(&b->recipe)});
	queue_run(b, 1, 0, &unit);
	flush(b);
	assert_true(hear(b, &m));
	assert_int_equal(m.type, WORKER_FAILED);
	assert_int_equal(m.code, TK_ENOENT);
}

static void a_shard_with_a_wrong_byte_ends_the_worker(void **state)
{
	struct bench *b = *state;
	struct worker_message m = {.type = WORKER_SHARD};
	struct bytes bad = {0};

	m.digest = b->tiny.recipe.data.train.digests[0];
	assert_int_equal(shard_cache_get(&b->tiny.cache, &m.digest, &m.bytes, NULL), TK_OK);
	assert_int_equal(bytes_append(&bad, m.bytes.data, m.bytes.len), TK_OK);
	bad.data[0] ^= 1;
	m.bytes = bytes_span(&bad);
	queue(b, (struct worker_message){.type = WORKER_RECIPE, .bytes = bytes_span(&b->recipe)});
	queue(b, m);
	flush(b);
	bytes_close(&bad);
	assert_false(hear(b, &m));
	assert_int_equal(bench_exit(b), 1);
}

static void the_end_of_input_ends_the_worker_in_peace(void **state)
{
	assert_int_equal(bench_exit(*state), 0);
}

static void garbage_ends_the_worker(void **state)
{
	struct bench *b = *state;
	struct worker_message m;
	static const uint8_t huge[4] = {0xff, 0xff, 0xff, 0xff};

	assert_int_equal(bytes_append(&b->to_send, huge, sizeof(huge)), TK_OK);
	flush(b);
	assert_false(hear(b, &m));
	assert_int_equal(bench_exit(b), 1);
}

/* What the doctor asks of a worker. */
static void every_engine_passes_the_trial(void **state)
{
	struct bench *b = *state;
	struct worker_trial trial;
	struct worker_message m;

	assert_int_equal(worker_trial_init(&trial, NULL), TK_OK);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		assert_int_equal(bench_exit(b), 0);
		bench_spawn(b, *e);
		for (size_t i = 0; i < WORKER_TRIAL_MESSAGES; i++)
			queue(b, trial.messages[i]);
		flush(b);
		m = expect(b, WORKER_RESULT, 1);
		assert_true(worker_trial_right(m.claim));
	}
	worker_trial_close(&trial);
}

static void another_bit_anywhere_fails_the_trial(void **state)
{
	struct bench *b = *state;
	struct bytes claim = {0};
	struct worker_trial trial;
	struct worker_message m;

	assert_int_equal(worker_trial_init(&trial, NULL), TK_OK);
	for (size_t i = 0; i < WORKER_TRIAL_MESSAGES; i++)
		queue(b, trial.messages[i]);
	flush(b);
	m = expect(b, WORKER_RESULT, 1);
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
	struct bench *b = *state;
	static const uint8_t data[] = "some bytes";
	struct span s = span_of(data, sizeof(data));

	for (uint32_t type = WORKER_RECIPE; type <= WORKER_FAILED; type++) {
		struct worker_message m = {.type = type,
			.job = 7,
			.done = 3,
			.total = 9,
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
	struct bench *b = *state;
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
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_worker_computes_what_this_process_computes),
		TEST(cancel_stops_a_run_and_the_next_one_follows),
		TEST(cancel_of_another_job_stops_nothing),
		TEST(cancel_stops_a_run_within_a_step),
		TEST(the_agents_end_stops_a_run_within_a_step),
		TEST(a_run_goes_on_from_its_checkpoint),
		TEST(a_spoiled_checkpoint_is_refused_and_forgotten),
		TEST(a_run_begins_with_the_state_that_came_before_it),
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
