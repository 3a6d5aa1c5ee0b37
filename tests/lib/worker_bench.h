/* A worker process for tests: forked, spoken to over a socket, with a tiny project's blobs at hand. Whatever goes
 * wrong with it ends the test. */
#ifndef TESTS_LIB_WORKER_BENCH_H
#define TESTS_LIB_WORKER_BENCH_H

#include <sys/types.h>

#include "peer/agent/worker_protocol.h"
#include "tasks/math/engine.h"
#include "tests/lib/tiny.h"

struct worker_bench {
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

/* For cmocka: a worker with the best engine. */
int worker_bench_setup(void **state);
int worker_bench_teardown(void **state);
void worker_bench_spawn(struct worker_bench *b, const struct engine *engine);
/* The worker's exit code, once its input has ended. */
int worker_bench_exit(struct worker_bench *b);

void worker_bench_queue(struct worker_bench *b, struct worker_message m);
/* All that is queued in one piece, as far as a socket has pieces. */
void worker_bench_flush(struct worker_bench *b);
void worker_bench_queue_project(struct worker_bench *b);
void worker_bench_queue_run(
	struct worker_bench *b, uint64_t job, uint32_t index, struct unit *unit);

/* The next message. False: the worker went away. */
bool worker_bench_hear_any(struct worker_bench *b, struct worker_message *m);
/* The next one that is not PROGRESS, nor the leaves that come before each result. */
bool worker_bench_hear(struct worker_bench *b, struct worker_message *m);
/* The worker answers with this type of message about this job. */
struct worker_message worker_bench_expect(
	struct worker_bench *b, enum worker_message_type type, uint64_t job);
/* It answers with what this process computes. */
void worker_bench_expect_result(struct worker_bench *b, uint64_t job, const struct unit *unit);

#endif
