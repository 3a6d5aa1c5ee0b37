/* See worker_bench.h. */
#include "tests/lib/worker_bench.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer/agent/worker.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/unit/run.h"
#include "tasks/unit/train.h"

void worker_bench_spawn(struct worker_bench *b, const struct engine *engine)
{
	int fds[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	b->pid = fork();
	REQUIRE(b->pid >= 0);
	if (b->pid == 0) {
		close(fds[0]);
		_exit(worker_serve(fds[1], fds[1], engine, NULL));
	}
	close(fds[1]);
	b->fd = fds[0];
}

int worker_bench_setup(void **state)
{
	static struct worker_bench b;
	float *theta;
	size_t parameters;

	memset(&b, 0, sizeof(b));
	REQUIRE(crypto_start() == TK_OK);
	REQUIRE(tiny_init(&b.tiny, MODEL_MLP));
	REQUIRE(recipe_encode(&b.tiny.recipe, &b.recipe, NULL) == TK_OK);
	REQUIRE(unit_parameters(&b.tiny.recipe, &parameters, NULL) == TK_OK);
	REQUIRE(train_initial(&b.tiny.recipe, span_of("", 0), &theta, NULL) == TK_OK);
	REQUIRE(parameters_encode(&b.parameters, theta, parameters) == TK_OK);
	digest_blob(&b.parameters_digest, b.parameters.data, b.parameters.len);
	mem_free(theta);
	worker_bench_spawn(&b, engine_best());
	*state = &b;
	return 0;
}

/* The worker's exit code, once its input has ended. */
int worker_bench_exit(struct worker_bench *b)
{
	int status;

	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
	REQUIRE(waitpid(b->pid, &status, 0) == b->pid);
	b->pid = 0;
	REQUIRE(WIFEXITED(status));
	return WEXITSTATUS(status);
}

int worker_bench_teardown(void **state)
{
	struct worker_bench *b = *state;

	if (b->pid != 0)
		(void)worker_bench_exit(b);
	tiny_close(&b->tiny);
	bytes_close(&b->recipe);
	bytes_close(&b->parameters);
	bytes_close(&b->to_send);
	bytes_close(&b->arrived);
	return 0;
}

void worker_bench_queue(struct worker_bench *b, struct worker_message m)
{
	REQUIRE(worker_message_encode(&m, &b->to_send) == TK_OK);
}

/* All that is queued in one piece, as far as a socket has pieces. */
void worker_bench_flush(struct worker_bench *b)
{
	REQUIRE(send(b->fd, b->to_send.data, b->to_send.len, MSG_NOSIGNAL) ==
		(ssize_t)b->to_send.len);
	b->to_send.len = 0;
}

/* The next message. False: the worker went away. */
bool worker_bench_hear_any(struct worker_bench *b, struct worker_message *m)
{
	bytes_consume(&b->arrived, b->used);
	b->used = 0;
	for (;;) {
		uint8_t part[4096];
		ssize_t n;
		int rc = worker_message_decode(m, bytes_span(&b->arrived), &b->used, NULL);

		if (rc == TK_OK)
			return true;
		REQUIRE(rc == TK_ENOENT);
		n = read(b->fd, part, sizeof(part));
		if (n <= 0)
			return false;
		REQUIRE(bytes_append(&b->arrived, part, (size_t)n) == TK_OK);
	}
}

/* The next message that is not PROGRESS, nor the leaves that come before each result. False: the worker went
 * away. */
bool worker_bench_hear(struct worker_bench *b, struct worker_message *m)
{
	while (worker_bench_hear_any(b, m)) {
		if (m->type != WORKER_PROGRESS && m->type != WORKER_TRACE)
			return true;
	}
	return false;
}

void worker_bench_queue_project(struct worker_bench *b)
{
	const struct dataset_part *train = &b->tiny.recipe.data.train;

	worker_bench_queue(
		b, (struct worker_message){.type = WORKER_RECIPE, .bytes = bytes_span(&b->recipe)});
	for (uint32_t i = 0; i < train->shards; i++) {
		struct worker_message m = {.type = WORKER_SHARD, .digest = train->digests[i]};

		REQUIRE(shard_cache_get(&b->tiny.cache, &m.digest, &m.bytes, NULL) == TK_OK);
		worker_bench_queue(b, m);
		worker_bench_flush(b);
	}
}

void worker_bench_queue_run(struct worker_bench *b, uint64_t job, uint32_t index, struct unit *unit)
{
	struct bytes encoded = {0};

	unit_describe(unit, &b->tiny.recipe_digest, 0, index,
		&(struct round_start){.parameters = b->parameters_digest});
	REQUIRE(unit_encode(unit, &encoded) == TK_OK);
	worker_bench_queue(b, (struct worker_message){.type = WORKER_RUN,
				      .job = job,
				      .unit = bytes_span(&encoded),
				      .bytes = bytes_span(&b->parameters)});
	bytes_close(&encoded);
}

void worker_bench_expect_result(struct worker_bench *b, uint64_t job, const struct unit *unit)
{
	const struct compute c = {.engine = engine_find("baseline")};
	const struct unit_input input = {.parameters = bytes_span(&b->parameters)};
	struct unit_result want;
	struct worker_message m;

	REQUIRE(unit_run(&b->tiny.recipe, unit, &c, &input, &b->tiny.source, NULL, &want, NULL) ==
		TK_OK);
	REQUIRE(worker_bench_hear(b, &m));
	REQUIRE(m.type == WORKER_RESULT);
	REQUIRE(m.job == job);
	REQUIRE(span_equal(m.claim, bytes_span(&want.claim)));
	REQUIRE(span_equal(m.bytes, bytes_span(&want.payload)));
	unit_result_close(&want);
}

/* The worker answers with this type of message about this job. */
struct worker_message worker_bench_expect(
	struct worker_bench *b, enum worker_message_type type, uint64_t job)
{
	struct worker_message m = {0};

	REQUIRE(worker_bench_hear(b, &m));
	REQUIRE(m.type == type);
	REQUIRE(m.job == job);
	return m;
}
