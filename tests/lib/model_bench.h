/* A small model over made-up data, with a batch, parameters and memory, for tests of tasks/model. */
#ifndef TESTS_LIB_MODEL_BENCH_H
#define TESTS_LIB_MODEL_BENCH_H

#include "tasks/model/model.h"

#define BENCH_SEED 21u /* of dropout */
#define BENCH_STEP 4u

struct model_bench {
	struct model_spec spec;
	struct dataset data;
	struct model model;
	struct batch batch;
	float *parameters, *gradient;
};

/* What a model is made for. */
struct model_case {
	const char *name;
	struct layer *layers;
	uint32_t count;
	enum loss_type loss;
	uint32_t context;  /* texts of so many tokens out of 5; 0: rows of 6 features … */
	uint32_t image[3]; /* … or images */
	size_t rows;
};

/* Data that fit the layers; classes are 3, or 2 or none as the loss wants. Borrows c. Every parameter is
 * drawn from (−½, ½), so that nothing is 0 or 1 by chance. */
void model_bench_init(struct model_bench *b, const struct model_case *c);
void model_bench_close(struct model_bench *b);

/* Rows [first, first + rows) of the batch, of which the step has all. */
struct gradient_request model_bench_request(
	const struct model_bench *b, size_t first, size_t rows, bool accumulate);

#endif
