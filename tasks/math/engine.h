/* Canonical arithmetic: the operations that decide bits, one table for each instruction set.
 *
 * Every engine gives the same bits for every operation, shape and alignment; NUMERICS.md is the
 * specification and kernels.c its only source, compiled once for each engine. All matrices are
 * row-major float32; ld… is the distance between rows in elements. No function here allocates. */
#ifndef TASKS_MATH_ENGINE_H
#define TASKS_MATH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasks/base/error.h"

#define NUMERICS_VERSION 1u

struct adamw_step {
	float learning_rate;
	float beta1, beta2;
	float epsilon;
	float weight_decay;   /* decoupled: w ← w − lr·wd·w first */
	float bias1, bias2;   /* 1 − β1^t and 1 − β2^t, t = 1 at the first step */
	float gradient_scale; /* the clip factor; 1 when not clipped */
};

struct sgd_step {
	float learning_rate;
	float momentum;	    /* 0: plain; the buffer v ← momentum·v + g; w ← w − lr·v */
	float weight_decay; /* decoupled, as in adamw_step */
	float gradient_scale;
};

struct engine {
	const char *name; /* "baseline", "avx2", "avx512" */

	/* C(M,N) = op(A)·op(B), or C += … when accumulate; op transposes when ta / tb: A is (M,K), or
	 * (K,M) with ta; B is (K,N), or (N,K) with tb. Each element is one chain
	 * c ← fma(a[k], b[k], c) over k ascending from +0 (or from C's value). */
	void (*gemm)(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
		const float *B, size_t ldb, float *C, size_t ldc, bool accumulate);

	/* Reductions over 16 lanes in blocks of 4,096 (NUMERICS.md). */
	float (*sum)(size_t n, const float *x);
	float (*sum_squares)(size_t n, const float *x);
	/* out[c] = Σ over rows of x(rows,cols)[r][c], rows in order in blocks of 4,096 rows. */
	void (*column_sums)(size_t rows, size_t cols, const float *x, size_t ldx, float *out);

	/* y(rows,cols)[r][c] += bias[c] */
	void (*add_bias)(size_t rows, size_t cols, const float *bias, float *y, size_t ldy);

	/* Element by element, x and y may be the same array. */
	void (*exp)(size_t n, const float *x, float *y);
	void (*log)(size_t n, const float *x, float *y);
	void (*tanh)(size_t n, const float *x, float *y);
	void (*relu)(size_t n, const float *x, float *y);
	/* dx = dy · f'(…), from the activation's output y; dx and dy may be the same array. */
	void (*tanh_backward)(size_t n, const float *y, const float *dy, float *dx);
	void (*relu_backward)(size_t n, const float *y, const float *dy, float *dx);

	/* losses[r] = log Σ exp(z − max) − (z[label] − max) for logits z(rows,classes); correct[r] = 1
	 * when the label's logit is the first maximum. When dlogits is not NULL it gets
	 * (softmax − onehot(label)) / rows; dlogits may be logits. labels[r] < classes. */
	void (*softmax_cross_entropy)(size_t rows, size_t classes, const float *logits,
		const uint32_t *labels, float *losses, uint8_t *correct, float *dlogits);

	void (*adamw)(size_t n, const struct adamw_step *step, const float *g, float *m, float *v,
		float *w);
	/* v may be NULL when momentum is 0. */
	void (*sgd)(size_t n, const struct sgd_step *step, const float *g, float *v, float *w);
};

/* The fastest engine that this CPU has. */
const struct engine *engine_best(void);

/* By name ("baseline", "avx2", "avx512"); NULL when unknown, not built, or not on this CPU. */
const struct engine *engine_find(const char *name);

/* The engine of this name; the fastest one when name is NULL or empty. What TALKOOT_ENGINE names goes
 * through here. Errors: TK_EUNSUPPORTED (msg lists those that can run here). */
int engine_choose(const struct engine **out, const char *name, struct errmsg *msg) TK_CHECKED;

/* All engines that can run here, NULL-terminated, slowest first. */
const struct engine *const *engine_all(void);

/* True when fused multiply-adds are in hardware; otherwise the baseline is right but slow. */
bool engine_has_hardware_fma(void);

/* Sets round-to-nearest with subnormals kept for the calling thread, and checks it.
 * Errors: TK_ENUMERICS. */
int engine_enter_thread(struct errmsg *msg) TK_CHECKED;

#endif
