/* What a computation runs on: an engine, and threads that share the work of one operation.
 *
 * Work is split over rows, columns or elements of results, never over the terms of a chain or sum, so
 * the number of threads does not reach the bits. Sums over elements are split at the borders of their
 * blocks of 4,096 (NUMERICS.md). */
#ifndef TASKS_MATH_COMPUTE_H
#define TASKS_MATH_COMPUTE_H

#include <stdatomic.h>

#include "tasks/base/digest.h"
#include "tasks/math/engine.h"

#define COMPUTE_THREADS_MAX 64u

/* Threads that wait for work between calls. pool_new starts threads − 1 of them, each in canonical
 * floating-point mode; the caller is the last one. */
struct pool;
int pool_new(struct pool **out, uint32_t threads, struct errmsg *msg) TK_CHECKED;
void pool_free(struct pool *p); /* NULL is fine */

struct compute {
	const struct engine *engine;
	struct pool *pool;	 /* borrowed; NULL: the calling thread alone */
	const atomic_bool *stop; /* borrowed; NULL: never. Once true, operations return early with
				    * undefined results; who set it throws them away */
};

/* True once the computation was told to stop. */
bool compute_stopped(const struct compute *c);

/* Threads that share an operation, the calling one included. */
uint32_t compute_threads(const struct compute *c);

/* Runs part(context, first, count) for ranges that cover [0, n), each a multiple of grain long but for
 * the last; in the calling thread alone when the work (n·cost operations) is not worth waking others.
 * Ranges are taken one after another by whoever is free, and none is begun after a stop. */
typedef void compute_part(void *context, size_t first, size_t count);
void compute_each(const struct compute *c, size_t n, size_t grain, double cost, compute_part *part,
	void *context);

/* engine->gemm, split over rows or columns of C. */
void compute_gemm(const struct compute *c, bool ta, bool tb, size_t M, size_t N, size_t K,
	const float *A, size_t lda, const float *B, size_t ldb, float *C, size_t ldc,
	bool accumulate);

/* The engine's operations of the same names, split over elements or columns. */
float compute_sum_squares(const struct compute *c, size_t n, const float *x);
void compute_column_sums(
	const struct compute *c, size_t rows, size_t cols, const float *x, size_t ldx, float *out);
void compute_adamw(const struct compute *c, size_t n, const struct adamw_step *step, const float *g,
	float *m, float *v, float *w);
void compute_sgd(const struct compute *c, size_t n, const struct sgd_step *step, const float *g,
	float *v, float *w);

/* digest_parts. leaves is room for digest_leaf_count(parts, count) digests. */
void compute_digest(const struct compute *c, struct digest *out, struct digest *leaves,
	const struct digest_part *parts, size_t count);

#endif
