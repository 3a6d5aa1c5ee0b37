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
	bool nesterov;	    /* w ← w − lr·(g + momentum·v) */
	float weight_decay; /* decoupled, as in adamw_step */
	float gradient_scale;
};

/* Windows over images (batch, channels, height, width), row-major; the image beyond its borders is +0
 * for a convolution, absent for a pool. */
struct window {
	uint32_t channels, height, width; /* of the input */
	uint32_t channels_out;		  /* pools: channels */
	uint32_t kernel, stride, padding; /* square */
	uint32_t height_out, width_out;
};

/* A block of a matrix whose rows are ld apart, of which the `keep` largest magnitudes are packed. */
#define SPARSE_SIDE  64u
#define SPARSE_BLOCK (SPARSE_SIDE * SPARSE_SIDE)
#define SPARSE_KEEP  64u
struct sparse_block {
	size_t rows, cols, ld; /* rows·cols ≤ SPARSE_BLOCK */
	size_t keep;	       /* 1 … SPARSE_KEEP, ≤ rows·cols */
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

	void (*erf)(size_t n, const float *x, float *y);
	void (*sigmoid)(size_t n, const float *x, float *y);
	void (*gelu)(size_t n, const float *x, float *y); /* x·Φ(x), with erf */
	void (*silu)(size_t n, const float *x, float *y);
	/* From the activation's output y … */
	void (*sigmoid_backward)(size_t n, const float *y, const float *dy, float *dx);
	/* … and from its input x. */
	void (*gelu_backward)(size_t n, const float *x, const float *dy, float *dx);
	void (*silu_backward)(size_t n, const float *x, const float *dy, float *dx);
	/* y[i] += x[i] */
	void (*add)(size_t n, const float *x, float *y);
	/* Inverted dropout: y[i] = kept ? x[i]·(1 / (1 − rate)) : +0. Whether element e = first + i is kept
	 * follows from word e / 16 mod 4 of Philox with counter e / 64 · 16 + e mod 16 (NUMERICS.md). Its
	 * own backward pass; y may be x. rate < 1. */
	void (*dropout)(size_t n, float rate, uint64_t seed, uint32_t stream, uint32_t lane,
		uint64_t first, const float *x, float *y);

	/* Layer norm of each row, ε = 1e-5: y = (x − mean)·rstd·weight + bias. weight and bias (cols) may
	 * be NULL, y may be x. mean and rstd (rows) are kept for the way back. Group norm is the same with the groups
	 * of a sample as rows, without weight and bias. */
	void (*layer_norm)(size_t rows, size_t cols, const float *x, const float *weight,
		const float *bias, float *y, float *mean, float *rstd);
	/* dx may be dy. */
	void (*layer_norm_backward)(size_t rows, size_t cols, const float *x, const float *weight,
		const float *mean, const float *rstd, const float *dy, float *dx);
	/* dweight and dbias (cols; either may be NULL), rows in order as in column_sums. */
	void (*layer_norm_gradient)(size_t rows, size_t cols, const float *x, const float *mean,
		const float *rstd, const float *dy, float *dweight, float *dbias);

	/* y[r][c] = exp(scale·x[r][c] − max) / Σ over the first min(cols, visible + r) columns, +0 beyond:
	 * visible = cols for all, 1 for causal attention. y may be x. */
	void (*softmax)(size_t rows, size_t cols, size_t ld, size_t visible, float scale,
		const float *x, float *y);
	/* dx = scale · y · (dy − Σ y·dy); dx may be dy. */
	void (*softmax_backward)(size_t rows, size_t cols, size_t ld, float scale, const float *y,
		const float *dy, float *dx);

	/* Convolution. x is (batch, channels, height, width), y and dy are (batch, channels_out,
	 * height_out, width_out), weight is (channels_out, channels, kernel, kernel); bias may be NULL.
	 * Threads may split the batch in the first two and, in the third, the output channels: it
	 * writes rows [first, first + count) of dweight and elements of dbias (which may be NULL),
	 * fastest when first and count are multiples of 32; when accumulate, their chains go on from what
	 * is there, so that a batch may come in pieces. Each call needs conv2d_workspace(w) floats of
	 * its own, whatever the batch. An image has fewer than 2^31 elements, padding included. */
	void (*conv2d)(size_t batch, const struct window *w, const float *x, const float *weight,
		const float *bias, float *y, float *workspace);
	void (*conv2d_backward_input)(size_t batch, const struct window *w, const float *dy,
		const float *weight, float *dx, float *workspace);
	void (*conv2d_backward_weight)(size_t batch, const struct window *w, size_t first,
		size_t count, const float *x, const float *dy, bool accumulate, float *dweight,
		float *dbias, float *workspace);
	size_t (*conv2d_workspace)(const struct window *w);

	/* Pools: padding < kernel ≤ 16. The first maximum of each window; chosen (as y) holds its place
	 * within the window, row · kernel + column. */
	void (*max_pool)(
		size_t batch, const struct window *w, const float *x, float *y, uint8_t *chosen);
	void (*max_pool_backward)(size_t batch, const struct window *w, const uint8_t *chosen,
		const float *dy, float *dx);
	/* The mean over kernel² elements, those beyond the border counted as +0. */
	void (*average_pool)(size_t batch, const struct window *w, const float *x, float *y);
	void (*average_pool_backward)(
		size_t batch, const struct window *w, const float *dy, float *dx);

	/* losses[r] = log(1 + e^−|z|) + max(z, 0) − z·label for one logit per row and labels 0 or 1;
	 * dlogits (NULL or rows) gets (sigmoid(z) − label) / count; it may be logits. */
	void (*binary_cross_entropy)(size_t rows, size_t count, const float *logits,
		const uint32_t *labels, float *losses, uint8_t *correct, float *dlogits);
	/* losses[r] = mean over cols of (y − target)²; dy (NULL or as y) gets 2·(y − target) / (count·cols). */
	void (*squared_error)(size_t rows, size_t count, size_t cols, const float *y,
		const float *targets, float *losses, float *dy);

	/* losses[r] = log Σ exp(z − (z[label] − max) for logits z(rows,classes); correct[r] = 1
	 * when the label's logit is the first maximum. When dlogits is not NULL it gets
	 * (softmax − onehot(label)) / count; dlogits may be logits. labels[r] < classes. count is the
	 * number of rows of the whole batch, of which these may be a part. */
	void (*softmax_cross_entropy)(size_t rows, size_t count, size_t classes,
		const float *logits, const uint32_t *labels, float *losses, uint8_t *correct,
		float *dlogits);

	void (*adamw)(size_t n, const struct adamw_step *step, const float *g, float *m, float *v,
		float *w);
	/* v may be NULL when momentum is 0. */
	void (*sgd)(size_t n, const struct sgd_step *step, const float *g, float *v, float *w);

	/* Packing of updates. …_pack writes n values in 4, 2, 2 and 1 byte each, int8 one block of them
	 * after its scale of 4 bytes; false when one is not finite or too large for the format, and out is
	 * then undefined. …_add adds them to sum, which may be NULL; false, with nothing added, when no
	 * packer writes such bytes. */
	bool (*fp32_pack)(size_t n, const float *x, uint8_t *out);
	bool (*fp16_pack)(size_t n, const float *x, uint8_t *out);
	bool (*bf16_pack)(size_t n, const float *x, uint8_t *out);
	bool (*int8_pack)(size_t n, const float *x, uint8_t *out);
	bool (*fp32_add)(size_t n, const uint8_t *packed, float *sum);
	bool (*fp16_add)(size_t n, const uint8_t *packed, float *sum);
	bool (*bf16_add)(size_t n, const uint8_t *packed, float *sum);
	bool (*int8_add)(size_t n, const uint8_t *packed, float *sum);
	/* SparseLoCo. True when 0.95·feedback + x is below 2^120 everywhere, as sparse_pack needs it. */
	bool (*sparse_fits)(size_t n, const float *x, const float *feedback);
	/* feedback ← 0.95·feedback + x over the block; its largest magnitudes are written to out, as 4
	 * bytes of levels, ⌈3·keep / 2⌉ of indices and ⌈keep / 4⌉ of codes, and taken from feedback. */
	void (*sparse_pack)(
		const struct sparse_block *b, const float *x, float *feedback, uint8_t *out);
};

/* The fastest engine that this CPU has. */
const struct engine *engine_best(void);

/* By name ("baseline" or "scalar", "avx2", "avx512"); NULL when unknown, not built, or not on this CPU. */
const struct engine *engine_find(const char *name);

/* The engine of this name; the fastest one when name is NULL or empty. What TALKOOT_ENGINE names goes
 * through here. Errors: TK_EUNSUPPORTED (msg lists those that can run here). */
int engine_choose(const struct engine **out, const char *name, struct errmsg *msg) TK_CHECKED;

/* All engines that can run here, NULL-terminated, slowest first. */
const struct engine *const *engine_all(void);

/* True when fused multiply-adds are in hardware; otherwise the baseline is right but slow. */
bool engine_has_hardware_fma(void);

/* What to tell people before it computes, where has_fma says no; otherwise NULL. has_fma is
 * engine_has_hardware_fma, but for tests. */
const char *engine_remark(bool (*has_fma)(void));

/* Sets round-to-nearest with subnormals kept for the calling thread, and checks it.
 * Errors: TK_ENUMERICS. */
int engine_enter_thread(struct errmsg *msg) TK_CHECKED;

#endif
