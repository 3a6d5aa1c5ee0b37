/* See model_bench.h. */
#include "tests/lib/model_bench.h"

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/math/philox.h"

#define FEATURES 6u
#define STREAM	 1000u /* numbers of this file alone */

static float *draw(size_t n, uint32_t lane, float low, float high)
{
	float *x = mem_floats(n);

	REQUIRE(x != NULL);
	for (size_t i = 0; i < n; i++)
		x[i] = low + (high - low) * philox_uniform(7, STREAM, lane, i);
	return x;
}

static uint32_t *draw_below(size_t n, uint32_t lane, uint32_t below)
{
	uint32_t *x = mem_calloc(n, sizeof(*x));

	REQUIRE(x != NULL);
	for (size_t i = 0; i < n; i++)
		x[i] = (uint32_t)(philox_uniform(7, STREAM, lane, i) * (float)below);
	return x;
}

static void describe_data(struct dataset *d, const struct model_case *c)
{
	bool text = c->context != 0;

	d->kind = text ? SAMPLE_TEXT : SAMPLE_F32;
	d->token = text ? TOKEN_CHARACTER : 0;
	d->context = c->context;
	d->label = LABEL_CLASS;
	d->classes = text ? 5 : c->loss == LOSS_BINARY_CROSS_ENTROPY ? 2 : 3;
	if (c->loss == LOSS_SQUARED_ERROR) {
		d->label = LABEL_NUMBER;
		d->classes = 0;
	}
	if (!text)
		d->features = c->image[0] != 0 ? c->image[0] * c->image[1] * c->image[2] : FEATURES;
}

void model_bench_init(struct model_bench *b, const struct model_case *c)
{
	struct errmsg msg = {""};

	*b = (struct model_bench){.spec = {.type = MODEL_LAYERS,
					  .loss = c->loss,
					  .image = {c->image[0], c->image[1], c->image[2]},
					  .layer_count = c->count,
					  .layers = c->layers}};
	describe_data(&b->data, c);
	if (model_init(&b->model, &b->spec, &b->data, &msg) != TK_OK)
		require_failed(msg.text, __FILE__, __LINE__);
	b->batch.rows = c->rows;
	if (c->context != 0)
		b->batch.tokens = draw_below(c->rows * c->context, 1, b->data.classes);
	else
		b->batch.features = draw(c->rows * b->data.features, 2, -1, 1);
	if (c->loss == LOSS_SQUARED_ERROR)
		b->batch.targets = draw(c->rows, 3, -1, 1);
	else
		b->batch.labels = draw_below(c->rows * b->model.labels, 4, b->data.classes);
	b->parameters = draw(b->model.parameters, 5, -0.5f, 0.5f);
	b->gradient = mem_floats(b->model.parameters);
	REQUIRE(b->gradient != NULL);
}

void model_bench_close(struct model_bench *b)
{
	mem_free((void *)b->batch.tokens);
	mem_free((void *)b->batch.features);
	mem_free((void *)b->batch.targets);
	mem_free((void *)b->batch.labels);
	mem_free(b->parameters);
	mem_free(b->gradient);
	model_close(&b->model);
}

struct gradient_request model_bench_request(
	const struct model_bench *b, size_t first, size_t rows, bool accumulate)
{
	const struct batch *all = &b->batch;
	size_t labels = b->model.labels;

	return (struct gradient_request){
		.parameters = b->parameters,
		.batch = {.rows = rows,
			.features = all->features != NULL ? all->features + first * b->data.features
							  : NULL,
			.tokens =
				all->tokens != NULL ? all->tokens + first * b->data.context : NULL,
			.labels = all->labels != NULL ? all->labels + first * labels : NULL,
			.targets = all->targets != NULL ? all->targets + first : NULL},
		.count = all->rows * labels,
		.accumulate = accumulate,
		.seed = BENCH_SEED,
		.step = BENCH_STEP,
		.first_row = first,
	};
}
