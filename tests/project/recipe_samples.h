/* Recipes that are right: a text, a table, images, numbers, bytes. Include cmocka.h first. */
#ifndef TESTS_PROJECT_RECIPE_SAMPLES_H
#define TESTS_PROJECT_RECIPE_SAMPLES_H

#include "tasks/math/engine.h"
#include "tasks/model/model.h"
#include "tasks/project/project.h"
#include "tests/project/scratch.h"

/* Storage for the arrays of the recipes below, which nobody frees. */
struct sample {
	struct recipe recipe;
	struct digest digests[3];
	uint32_t vocabulary[3];
	char names[2][LABEL_BYTES_MAX];
	struct layer layers[8];
};

static inline struct train_spec sample_train(void)
{
	return (struct train_spec){
		.mode = MODE_LOCAL,
		.optimizer = OPTIMIZER_ADAMW,
		.inner_state = INNER_FRESH,
		.learning_rate = 4e-3f,
		.beta1 = 0.9f,
		.beta2 = 0.99f,
		.epsilon = 1e-8f,
		.clip = 1,
		.schedule = SCHEDULE_COSINE,
		.warmup_steps = 5,
		.batch_size = 64,
		.accumulate = 1,
		.inner_steps = 20,
		.units_per_round = 8,
		.rounds = 20,
		.trace_every = 4,
		.compression = COMPRESSION_INT8,
		.outer = OUTER_NESTEROV,
		.outer_learning_rate = 1,
		.outer_momentum = 0.5f,
		.merge = MERGE_MEAN,
	};
}

/* One step a round of the outer optimizer; all that is the inner one's is 0. */
static inline struct train_spec gradient_train(void)
{
	struct train_spec t = sample_train();

	t.mode = MODE_GRADIENT;
	t.optimizer = 0;
	t.inner_state = 0;
	t.beta1 = t.beta2 = t.epsilon = 0;
	t.warmup_steps = 0;
	t.run_warmup_steps = 2;
	t.learning_rate_end = 0.1f;
	t.schedule = SCHEDULE_LINEAR;
	t.compression = COMPRESSION_BF16;
	t.accumulate = 4;
	t.outer = OUTER_ADAMW;
	t.outer_momentum = 0;
	t.outer_beta1 = 0.9f;
	t.outer_beta2 = 0.95f;
	t.outer_epsilon = 1e-8f;
	t.outer_weight_decay = 0.1f;
	return t;
}

static inline void set_layers(struct sample *s, const struct layer *layers, uint32_t count)
{
	memcpy(s->layers, layers, count * sizeof(*layers));
	s->recipe.model.layers = s->layers;
	s->recipe.model.layer_count = count;
}

/* Tokens, a residual and a tied head: layers 0 … 6. */
static inline void sample_text(struct sample *s)
{
	static const struct layer layers[] = {
		{.type = LAYER_EMBEDDING, .name = "wte", .width = 4, .init_scale = 0.02f},
		{.type = LAYER_BRANCH},
		{.type = LAYER_LINEAR, .name = "h.0.fc", .width = 300, .bias = true},
		{.type = LAYER_DROPOUT, .rate = 0.25f},
		{.type = LAYER_LINEAR, .name = "h.0.proj", .width = 4},
		{.type = LAYER_JOIN},
		{.type = LAYER_LINEAR, .name = "head", .width = 3, .tied = 1},
	};

	*s = (struct sample){.vocabulary = {10, 'a', 0x1f600}};
	memset(s->digests, 0x11, sizeof(s->digests));
	s->recipe = (struct recipe){
		.numerics = NUMERICS_VERSION,
		.name = "text",
		.seed = UINT64_MAX,
		.model = {.type = MODEL_LAYERS, .loss = LOSS_CROSS_ENTROPY},
		.train = sample_train(),
		.data = {.kind = SAMPLE_TEXT,
			.context = 3,
			.classes = 3,
			.token = TOKEN_CHARACTER,
			.label = LABEL_CLASS},
	};
	set_layers(s, layers, sizeof(layers) / sizeof(layers[0]));
	s->recipe.data.vocabulary = s->vocabulary;
	s->recipe.data.train = (struct dataset_part){250, 100, 3, s->digests};
	s->recipe.data.validation = (struct dataset_part){1, 100, 1, s->digests};
}

static inline void sample_table(struct sample *s)
{
	static const struct layer linear = {
		.type = LAYER_LINEAR, .name = "0", .width = 2, .bias = true};

	*s = (struct sample){.names = {"<=50K", "mehr als 50 T€"}};
	s->recipe = (struct recipe){
		.numerics = NUMERICS_VERSION,
		.name = "table",
		.model = {.type = MODEL_LOGISTIC, .loss = LOSS_CROSS_ENTROPY},
		.train = sample_train(),
		.data = {.kind = SAMPLE_F32, .features = 8, .classes = 2, .label = LABEL_CLASS},
	};
	set_layers(s, &linear, 1);
	s->recipe.train.optimizer = OPTIMIZER_SGD;
	s->recipe.train.beta1 = s->recipe.train.beta2 = s->recipe.train.epsilon = 0;
	s->recipe.train.momentum = 0.9f;
	s->recipe.train.outer = OUTER_SGD;
	s->recipe.train.outer_momentum = 0;
	s->recipe.data.class_names = s->names;
	s->recipe.data.train = (struct dataset_part){3, 100, 1, s->digests};
}

/* An image of 2 × 2 × 2, trained by gradients. */
static inline void sample_image(struct sample *s)
{
	static const struct layer layers[] = {
		{.type = LAYER_CONV2D,
			.name = "0",
			.width = 4,
			.kernel = 3,
			.stride = 1,
			.padding = 1,
			.bias = true},
		{.type = LAYER_GROUP_NORM, .name = "1", .heads = 2, .bias = true},
		{.type = LAYER_MAX_POOL, .kernel = 2, .stride = 2},
		{.type = LAYER_FLATTEN},
		{.type = LAYER_LINEAR, .name = "4", .width = 1, .bias = true},
	};

	sample_table(s);
	s->recipe.model = (struct model_spec){
		.type = MODEL_LAYERS, .loss = LOSS_BINARY_CROSS_ENTROPY, .image = {2, 2, 2}};
	set_layers(s, layers, sizeof(layers) / sizeof(layers[0]));
	s->recipe.train = gradient_train();
	memset(&s->recipe.initial, 0x77, sizeof(s->recipe.initial));
}

/* Regression. */
static inline void sample_number(struct sample *s)
{
	sample_table(s);
	s->layers[0].width = 1;
	s->recipe.model.loss = LOSS_SQUARED_ERROR;
	s->recipe.data.label = LABEL_NUMBER;
	s->recipe.data.classes = 0;
	s->recipe.data.class_names = NULL;
	s->recipe.data.target_mean = -3.5f;
	s->recipe.data.target_deviation = 2;
	s->recipe.train.nesterov = true;
	s->recipe.train.inner_state = INNER_AVERAGE;
}

static inline void sample_bytes(struct sample *s)
{
	sample_text(s);
	s->recipe.data.token = TOKEN_BYTE;
	s->recipe.data.vocabulary = NULL;
	s->recipe.data.classes = 256;
	s->layers[6].width = 256;
}

/* Appends the encoding; an owner may encode even what is refused. */
static inline void sample_encode(const struct recipe *r, struct bytes *out)
{
	struct errmsg msg;

	assert_int_equal(recipe_encode(r, out, &msg), TK_OK);
}

#endif
