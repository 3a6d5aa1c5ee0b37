/* Models: the list of layers that a recipe describes, their parameters in one block, and the gradient
 * of the loss. logistic, mlp and char-mlp are one shape: an optional embedding, then linear layers with
 * an activation between them, then softmax cross-entropy (char-mlp after Bengio et al. 2003).
 *
 * Parameters are named as the equivalent torch.nn.Sequential names them: 0.weight, 0.bias, 2.weight … */
#ifndef TASKS_MODEL_MODEL_H
#define TASKS_MODEL_MODEL_H

#include "tasks/math/engine.h"
#include "tasks/project/recipe.h"

#define TENSORS_MAX (2 * (HIDDEN_LAYERS_MAX + 1) + 1)

struct tensor {
	char name[24];
	uint32_t shape[2]; /* (rows, cols); cols = 0: a vector of rows */
	size_t offset;	   /* in floats, within the parameter block */
	size_t count;
};

struct linear {
	uint32_t inputs, outputs;
	size_t weight, bias; /* offsets; weight is (outputs, inputs) */
};

struct model {
	enum activation activation;
	enum sample_kind kind;
	uint32_t inputs;			 /* width of the first linear layer's input */
	uint32_t context, embedding, vocabulary; /* char-mlp; else 0 */
	uint32_t classes;
	uint32_t linear_count;
	struct linear linears[HIDDEN_LAYERS_MAX + 1];
	uint32_t tensor_count;
	struct tensor tensors[TENSORS_MAX];
	size_t parameters; /* floats in the block */
};

/* Lays the model out. The recipe must have passed recipe_validate. Errors: TK_ELIMIT (too many
 * parameters). */
int model_init(struct model *m, const struct model_spec *spec, const struct dataset *data,
	struct errmsg *msg) TK_CHECKED;

/* Initial parameters, PyTorch's defaults: linear weights and biases uniform in ±1/√inputs, embeddings
 * of mean 0 and variance 1; a function of the seed alone. parameters is (m->parameters). */
void model_initialize(const struct model *m, uint64_t seed, float *parameters);

/* A batch of samples, ready for the first layer. */
struct batch {
	size_t rows;
	const float *features;	/* dense: (rows, inputs); text: NULL */
	const uint32_t *tokens; /* text: (rows, context); dense: NULL */
	const uint32_t *labels; /* (rows) */
};

/* Activations and gradients for batches of up to rows_max. */
struct model_work;
struct model_work *model_work_new(const struct model *m, size_t rows_max); /* NULL: out of memory */
void model_work_free(struct model_work *w);
size_t model_work_bytes(const struct model *m, size_t rows_max);

/* The mean loss over the batch; gradient (m->parameters) is overwritten. */
float model_gradient(const struct model *m, const struct engine *e, struct model_work *w,
	const float *parameters, const struct batch *batch, float *gradient);

/* Losses (rows) and hits (rows) without gradients; logits_out (rows, classes) may be NULL. */
void model_evaluate(const struct model *m, const struct engine *e, struct model_work *w,
	const float *parameters, const struct batch *batch, float *losses, uint8_t *correct,
	float *logits_out);

/* Floating-point operations of one training step on a batch of `rows`. */
double model_step_flops(const struct model *m, size_t rows);

#endif
