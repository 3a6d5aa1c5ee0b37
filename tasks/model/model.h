/* Models: a list of layers laid over data, their parameters in one block, and the gradient of the loss.
 *
 * model_init computes every shape, offset and size once; a model never changes afterwards. What a layer
 * of one type does stands in layer_*.c behind the table of layer.h. Activations of a batch lie in one
 * arena whose size is known before any unit starts. */
#ifndef TASKS_MODEL_MODEL_H
#define TASKS_MODEL_MODEL_H

#include "tasks/math/compute.h"
#include "tasks/project/recipe.h"

/* A sample between two layers: positions × width numbers. channels·height·width = width for an image. */
struct shape {
	uint32_t positions, width;
	uint32_t channels, height, columns; /* 0, 0, 0: not an image */
};

#define TENSOR_DIMENSIONS 4
struct tensor {
	char name[LAYER_NAME_MAX + 8]; /* "transformer.h.0.ln_1.weight" */
	uint32_t dimensions;
	uint32_t shape[TENSOR_DIMENSIONS];
	size_t offset; /* in floats, within the parameter block */
	size_t count;
};

#define NO_PARAMETERS SIZE_MAX
struct placed_layer {
	const struct layer *spec; /* borrowed from the recipe */
	struct shape in, out;
	size_t weight, bias; /* offsets in the parameter block; NO_PARAMETERS: none */
	bool adds_weight;    /* a later layer shares the weight: its gradient comes first */
	uint32_t
		partner; /* branch and join: each other's index; embedding: the last layer tied to it */
	uint32_t dropout_lane; /* number among the dropout layers */
};

struct model {
	const struct model_spec *spec; /* borrowed */
	const struct dataset *data;    /* borrowed: kind, context, classes */
	uint32_t layer_count;
	uint32_t lowest;	     /* first layer with parameters: the backward pass ends there */
	struct placed_layer *layers; /* owned */
	uint32_t tensor_count;
	struct tensor *tensors; /* owned; in the order of the block */
	size_t parameters;	/* floats in the block */
	size_t activations;	/* floats per sample that the layers put out or keep */
	struct shape output;
	uint32_t labels; /* per sample: the positions of the output */
};

/* Lays the model out over data. Borrows both; they must outlive it. Gives *m (model_close) only on
 * success. This is also the check that layers fit together: every message names the layer by its index
 * and name. O(layers · log layers) whatever spec says. Errors: TK_EINVAL, TK_ELIMIT (parameters,
 * activations of one sample; a batch's are the caller's to compare with ACTIVATIONS_MAX), TK_ENOMEM. */
int model_init(struct model *m, const struct model_spec *spec, const struct dataset *data,
	struct errmsg *msg) TK_CHECKED;
void model_close(struct model *m);

/* Initial parameters: a function of the seed alone (NUMERICS.md). parameters is (m->parameters). */
void model_initialize(const struct model *m, uint64_t seed, float *parameters);

/* A batch of samples, ready for the first layer. */
struct batch {
	size_t rows;		/* samples */
	const float *features;	/* dense: (rows, features); text: NULL */
	const uint32_t *tokens; /* text: (rows, context); dense: NULL */
	const uint32_t *labels; /* (rows, m->labels); for LOSS_SQUARED_ERROR NULL */
	const float *targets;	/* LOSS_SQUARED_ERROR: (rows); else NULL */
};

/* Memory for batches of up to rows_max samples on c's engine and threads; training: with what the backward
 * pass needs. Borrows m. Nothing is allocated later. NULL: out of memory. */
struct model_work;
struct model_work *model_work_new(
	const struct model *m, const struct compute *c, size_t rows_max, bool training);
void model_work_free(struct model_work *w);

/* What model_work_new allocates for activations, their gradients and scratch; 0 when there is no memory to
 * plan it. O(layers²) with a small constant. */
size_t model_work_bytes(
	const struct model *m, const struct compute *c, size_t rows_max, bool training);

/* The sum (not the mean) of the losses of all rows·labels of the batch by the rule of sums, and the
 * gradient of their mean over `count` labels: overwritten, or added to when accumulate. count is
 * rows·labels unless the batch is one of several parts of a step. step numbers the training steps of
 * the whole run: dropout draws from (seed, step, element). */
struct gradient_request {
	const float *parameters;
	struct batch batch;
	size_t count;
	bool accumulate;
	uint64_t seed, step;
	uint64_t first_row; /* of this batch within its step: dropout counts elements from there */
};
float model_gradient(const struct model *m, const struct compute *c, struct model_work *w,
	const struct gradient_request *request, float *gradient);

/* Losses (rows·labels) and hits (rows·labels) without gradients or dropout; outputs (rows, output
 * positions·width) may be NULL. A regression's hits are 0. */
void model_evaluate(const struct model *m, const struct compute *c, struct model_work *w,
	const float *parameters, const struct batch *batch, float *losses, uint8_t *correct,
	float *outputs);

/* Floating-point operations of one training step on a batch of `rows`. */
double model_step_flops(const struct model *m, size_t rows);

#endif
