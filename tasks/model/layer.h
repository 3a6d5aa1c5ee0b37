/* What each type of layer provides: shapes, parameters, forward and backward pass.
 *
 * One table entry per type (layers.c); layer_*.c hold them by family. A pass sees matrices of
 * (samples·positions, width) in row-major order and runs on a struct compute. */
#ifndef TASKS_MODEL_LAYER_H
#define TASKS_MODEL_LAYER_H

#include "tasks/model/model.h"

/* Everything a pass may use. kept is memory of kept_floats per sample that lives from the forward to the
 * backward pass of the batch (without training: during the forward pass only); scratch lives during one
 * call. Threads that need scratch of their own split the samples into `slots` parts. */
struct pass {
	const struct compute *compute;
	const struct placed_layer *layer;
	const float *parameters; /* the whole block */
	size_t samples;
	const uint32_t *tokens;	 /* (samples, positions): what an embedding reads */
	const float *remembered; /* a join's other input */
	bool training;		 /* false: no dropout, nothing has to be kept */
	uint64_t seed, step;	 /* dropout */
	uint64_t first_row;
	float *kept;
	float *scratch;
	uint32_t slots;
};

/* Which of its input and output the backward pass reads: the others' memory is used again. */
enum { READS_INPUT = 1, READS_OUTPUT = 2 };

struct layer_ops {
	const char *name; /* "conv2d", as project.yaml says it */
	unsigned backward_reads;
	bool in_place;	      /* forward accepts y = x, backward dx = dy */
	bool passes_value;    /* y is x; forward is NULL */
	bool passes_gradient; /* dx is dy; backward, if any, is for the parameters */

	/* Output shape from p->in (set in p->out); errors say what does not fit. */
	int (*shape)(struct placed_layer *p, struct errmsg *msg);
	/* Shapes of weight and bias (dimensions 0: none) and the number of inputs of one output, for the
	 * initial parameters. NULL: no tensors. */
	void (*tensors)(const struct placed_layer *p, struct tensor *weight, struct tensor *bias,
		uint32_t *fan_in);
	size_t (*kept_floats)(const struct placed_layer *p); /* per sample; NULL: 0 */
	bool kept_for_training;				     /* evaluation does without kept */
	/* For a batch; NULL: 0. */
	size_t (*scratch_floats)(const struct placed_layer *p, const struct engine *engine,
		size_t samples, uint32_t slots);
	double (*flops)(const struct placed_layer *p); /* products, forward, per sample; NULL: 0 */

	void (*forward)(const struct pass *p, const float *x, float *y);
	/* dx is NULL for the lowest layer with parameters: nobody below wants it. gradient is the whole block; the layer's own part is
	 * overwritten, or added to when accumulate. x and y are NULL unless backward_reads names them. */
	void (*backward)(const struct pass *p, const float *x, const float *y, const float *dy,
		float *dx, float *gradient, bool accumulate);
};

const struct layer_ops *layer_ops_of(enum layer_type type); /* NULL: no such type */

/* The entries of the table. */
extern const struct layer_ops layer_embedding, layer_position, layer_flatten, layer_linear,
	layer_conv2d, layer_max_pool, layer_average_pool, layer_layer_norm, layer_group_norm,
	layer_relu, layer_gelu, layer_silu, layer_tanh, layer_sigmoid, layer_dropout,
	layer_attention, layer_branch, layer_join;

/* Calls part for ranges that cover [0, n), at most p->slots of them, each with
 * `piece` floats of scratch of its own. An item is about `cost` operations. */
typedef void layer_slot_part(void *context, size_t first, size_t count, float *scratch);
void layer_slots(const struct pass *p, size_t n, double cost, float *scratch, size_t piece,
	layer_slot_part *part, void *context);

/* Rows of a matrix that are worth handing to a thread at once. */
size_t layer_row_grain(size_t cols);

/* Writes or adds the column sums of dy (rows, cols) to out; scratch is (cols), used when accumulate. */
void layer_column_sums(const struct pass *p, size_t rows, size_t cols, const float *dy, float *out,
	bool accumulate);

#endif
