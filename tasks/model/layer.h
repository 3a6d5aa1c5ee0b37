/* What each type of layer provides: shapes, parameters, forward and backward pass.
 *
 * One table entry per type (layers.c); layer_*.c hold them by family. A pass sees matrices of
 * (samples·positions, width) in row-major order and runs on a struct compute. */
#ifndef TASKS_MODEL_LAYER_H
#define TASKS_MODEL_LAYER_H

#include "tasks/model/model.h"

/* Everything a pass may use. kept is memory of kept_floats per sample that lives from the forward to the
 * backward pass of the batch; scratch (scratch_floats for a batch) only during one call. */
struct pass {
	const struct compute *compute;
	const struct placed_layer *layer;
	const float *parameters; /* the whole block */
	size_t samples;
	bool training;	     /* false: no dropout, nothing has to be kept */
	uint64_t seed, step; /* dropout */
	uint64_t first_row;
	float *kept;
	float *scratch;
};

/* Which of its input and output the backward pass reads: the others' memory is used again. */
enum { READS_INPUT = 1, READS_OUTPUT = 2 };

struct layer_ops {
	const char *name; /* "conv2d", as project.yaml says it */
	unsigned backward_reads;
	bool in_place; /* forward accepts y = x, backward dx = dy */

	/* Output shape from p->in (set in p->out); errors say what does not fit. */
	int (*shape)(struct placed_layer *p, struct errmsg *msg);
	/* Shapes of weight and bias (dimensions 0: none) and the number of inputs of one output, for the
	 * initial parameters. */
	void (*tensors)(const struct placed_layer *p, struct tensor *weight, struct tensor *bias,
		uint32_t *fan_in);
	size_t (*kept_floats)(const struct placed_layer *p); /* per sample; NULL: 0 */
	size_t (*scratch_floats)(const struct placed_layer *p, size_t samples); /* NULL: 0 */
	double (*flops)(const struct placed_layer *p); /* forward, per sample */

	void (*forward)(const struct pass *p, const float *x, float *y);
	/* dx may be NULL: nobody below wants it. gradient is the whole block; the layer's own part is
	 * overwritten, or added to when accumulate. x and y are NULL unless backward_reads names them. */
	void (*backward)(const struct pass *p, const float *x, const float *y, const float *dy,
		float *dx, float *gradient, bool accumulate);
};

const struct layer_ops *layer_ops_of(enum layer_type type); /* NULL: no such type */

#endif
