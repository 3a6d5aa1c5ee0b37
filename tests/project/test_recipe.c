/* Recipes: round trip, every limit and mismatch refused, hostile bytes, failing allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tasks/base/mem.h"
#include "tasks/base/pack.h"
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

static struct train_spec sample_train(void)
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
	};
}

/* One step a round of the outer optimizer; all that is the inner one's is 0. */
static struct train_spec gradient_train(void)
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

static void set_layers(struct sample *s, const struct layer *layers, uint32_t count)
{
	memcpy(s->layers, layers, count * sizeof(*layers));
	s->recipe.model.layers = s->layers;
	s->recipe.model.layer_count = count;
}

/* Tokens, a residual and a tied head: layers 0 … 6. */
static void sample_text(struct sample *s)
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

static void sample_table(struct sample *s)
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
static void sample_image(struct sample *s)
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
static void sample_number(struct sample *s)
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

static void sample_bytes(struct sample *s)
{
	sample_text(s);
	s->recipe.data.token = TOKEN_BYTE;
	s->recipe.data.vocabulary = NULL;
	s->recipe.data.classes = 256;
	s->layers[6].width = 256;
}

static void encode(const struct recipe *r, struct bytes *out)
{
	struct errmsg msg;

	assert_int_equal(recipe_encode(r, out, &msg), TK_OK);
}

static void check_part(const struct dataset_part *a, const struct dataset_part *b)
{
	assert_int_equal(a->samples, b->samples);
	assert_int_equal(a->shard_samples, b->shard_samples);
	assert_int_equal(a->shards, b->shards);
	if (b->shards > 0)
		assert_memory_equal(a->digests, b->digests, b->shards * sizeof(*b->digests));
}

static void check_data(const struct dataset *a, const struct dataset *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->features, b->features);
	assert_int_equal(a->context, b->context);
	assert_int_equal(a->classes, b->classes);
	assert_int_equal(a->token, b->token);
	assert_int_equal(a->label, b->label);
	assert_true(a->target_mean == b->target_mean);
	assert_true(a->target_deviation == b->target_deviation);
	assert_int_equal(a->vocabulary == NULL, b->vocabulary == NULL);
	assert_int_equal(a->class_names == NULL, b->class_names == NULL);
	if (b->vocabulary != NULL)
		assert_memory_equal(a->vocabulary, b->vocabulary, 4 * b->classes);
	for (uint32_t i = 0; b->class_names != NULL && i < b->classes; i++)
		assert_string_equal(a->class_names[i], b->class_names[i]);
	check_part(&a->train, &b->train);
	check_part(&a->validation, &b->validation);
}

static void check_round_trip(const struct recipe *r)
{
	struct bytes bytes = {0};
	struct errmsg msg = {{0}};
	struct recipe got;

	encode(r, &bytes);
	if (recipe_decode(&got, bytes_span(&bytes), &msg) != TK_OK)
		fail_msg("%s", msg.text);
	assert_string_equal(got.name, r->name);
	assert_int_equal(got.seed, r->seed);
	assert_int_equal(got.model.type, r->model.type);
	assert_int_equal(got.model.loss, r->model.loss);
	assert_memory_equal(got.model.image, r->model.image, sizeof(r->model.image));
	assert_int_equal(got.model.layer_count, r->model.layer_count);
	for (uint32_t i = 0; i < r->model.layer_count; i++)
		assert_memory_equal(
			&got.model.layers[i], &r->model.layers[i], sizeof(r->model.layers[i]));
	assert_memory_equal(&got.train, &r->train, sizeof(r->train));
	assert_memory_equal(&got.initial, &r->initial, sizeof(r->initial));
	check_data(&got.data, &r->data);
	recipe_close(&got);
	bytes_close(&bytes);
}

static void what_is_encoded_decodes_the_same(void **state)
{
	struct sample s;

	(void)state;
	sample_text(&s);
	check_round_trip(&s.recipe);
	sample_table(&s);
	check_round_trip(&s.recipe);
	sample_image(&s);
	check_round_trip(&s.recipe);
	sample_number(&s);
	check_round_trip(&s.recipe);
	sample_bytes(&s);
	check_round_trip(&s.recipe);
}

/* The values come from another implementation of MessagePack and BLAKE2b. */
static void the_bytes_are_pinned(void **state)
{
	struct bytes bytes = {0};
	char hex[DIGEST_HEX];
	struct digest digest;
	struct sample s;

	(void)state;
	sample_table(&s);
	s.recipe.numerics = 1;
	encode(&s.recipe, &bytes);
	assert_int_equal(bytes.len, 243);
	digest_bytes(&digest, bytes.data, bytes.len);
	digest_hex(hex, &digest);
	assert_string_equal(
		hex, "e7bb23ad2399101092135be94853365813fff672c2d797dc98e6c38eac7dcf51");
	bytes_close(&bytes);
}

/* Wants the recipe refused, both as an owner's and, where it can be encoded, as a stranger's. */
static void refuse(const struct recipe *r, const char *words, int line)
{
	struct bytes bytes = {0};
	struct errmsg msg = {{0}};
	struct recipe got;

	if (recipe_validate(r, &msg) == TK_OK)
		fail_msg("line %d passed", line);
	if (strstr(msg.text, words) == NULL)
		fail_msg("line %d: \"%s\" does not say \"%s\"", line, msg.text, words);
	if (r->data.vocabulary != NULL || r->data.class_names != NULL || r->data.classes == 0) {
		encode(r, &bytes);
		if (recipe_decode(&got, bytes_span(&bytes), &msg) == TK_OK)
			fail_msg("line %d decoded", line);
	}
	bytes_close(&bytes);
}

/* A recipe that is right but for one field. */
#define REFUSE(begin, change, words)                                                               \
	do {                                                                                       \
		struct sample s;                                                                   \
		struct recipe *r = &s.recipe;                                                      \
		begin(&s);                                                                         \
		change;                                                                            \
		refuse(r, words, __LINE__);                                                        \
	} while (0)

static void numbers_outside_their_limits_are_refused(void **state)
{
	(void)state;
	REFUSE(sample_text, r->numerics = 99, "numerics 99");
	REFUSE(sample_text, strcpy(r->name, "../up"), "name");
	REFUSE(sample_text, strcpy(r->name, ""), "name");
	REFUSE(sample_text, r->train.learning_rate = 0, "train.learning_rate");
	REFUSE(sample_text, r->train.learning_rate = NAN, "train.learning_rate");
	REFUSE(sample_text, r->train.learning_rate = -1, "train.learning_rate");
	REFUSE(sample_text, r->train.outer_learning_rate = INFINITY, "outer.learning_rate");
	REFUSE(sample_text, r->train.beta1 = 1, "train.beta1");
	REFUSE(sample_text, r->train.beta2 = NAN, "train.beta2");
	REFUSE(sample_text, r->train.epsilon = 0, "train.epsilon");
	REFUSE(sample_text, r->train.clip = -0.0f, "train.clip");
	REFUSE(sample_text, r->train.weight_decay = 101, "train.weight_decay");
	REFUSE(sample_text, r->train.batch_size = 0, "train.batch_size");
	REFUSE(sample_text, r->train.rounds = ROUNDS_MAX + 1, "train.rounds");
	REFUSE(sample_text, r->train.warmup_steps = 21, "train.warmup_steps");
	REFUSE(sample_text, r->train.learning_rate_end = 1.5f, "train.learning_rate_end");
	REFUSE(sample_text, r->train.run_warmup_steps = 401, "train.run_warmup_steps");
	REFUSE(sample_text, r->train.accumulate = 0, "train.accumulate");
	REFUSE(sample_text, r->train.accumulate = 3, "does not divide");
	REFUSE(sample_text, r->train.trace_every = 0, "verify.trace_every");
	REFUSE(sample_text, r->train.trace_every = 21, "verify.trace_every");
	REFUSE(sample_text, r->train.mode = 3, "train.mode");
	REFUSE(sample_text, r->train.optimizer = 3, "train.optimizer");
	REFUSE(sample_text, r->train.optimizer = 0, "train.optimizer");
	REFUSE(sample_text, r->train.inner_state = 0, "train.inner_state");
	REFUSE(sample_text, r->train.outer = 0, "train.outer.optimizer");
	REFUSE(sample_text, r->train.outer = 4, "train.outer.optimizer");
	REFUSE(sample_text, r->train.schedule = 9, "train.schedule");
	REFUSE(sample_text, r->train.compression = 0, "train.compression");
	REFUSE(sample_text, r->train.compression = 6, "train.compression");
	REFUSE(sample_image, r->train.outer_beta2 = 1, "train.outer.beta2");
	REFUSE(sample_image, r->train.outer_epsilon = 0, "train.outer.epsilon");
	REFUSE(sample_image, r->train.outer_learning_rate = 0.5f, "train.outer.learning_rate");
	REFUSE(sample_image, r->train.run_warmup_steps = 21, "the run's 20 steps");
	REFUSE(sample_text, r->model.type = 7, "model.type");
	REFUSE(sample_text, r->model.loss = 0, "model.loss");
	REFUSE(sample_number, r->data.target_mean = INFINITY, "data.target_mean");
	REFUSE(sample_number, r->data.target_deviation = 0, "data.target_deviation");
}

static void layers_outside_their_limits_are_refused(void **state)
{
	(void)state;
	REFUSE(sample_text, r->model.layer_count = 0, "a model needs between 1 and 1024 layers");
	REFUSE(sample_text, s.layers[2].type = 0, "layer 2 has the unknown type 0");
	REFUSE(sample_text, s.layers[2].type = LAYER_TYPE_LAST + 1, "unknown type");
	REFUSE(sample_text, s.layers[2].width = 0, "layer 2 (linear \"h.0.fc\"): width is 0");
	REFUSE(sample_text, s.layers[2].width = WIDTH_MAX + 1, "width");
	REFUSE(sample_text, s.layers[3].rate = 0, "layer 3 (dropout): rate");
	REFUSE(sample_text, s.layers[3].rate = 1, "rate");
	REFUSE(sample_text, s.layers[3].rate = NAN, "rate");
	REFUSE(sample_text, s.layers[0].init_scale = -1, "init_scale");
	REFUSE(sample_text, s.layers[0].init_scale = -0.0f, "init_scale");
	REFUSE(sample_text, s.layers[0].init_scale = NAN, "init_scale");
	REFUSE(sample_image, s.layers[0].kernel = 0, "kernel");
	REFUSE(sample_image, s.layers[0].stride = WINDOW_MAX + 1, "stride");
	REFUSE(sample_image, s.layers[2].padding = 2, "half the kernel");
	REFUSE(sample_image, s.layers[2].kernel = 17, "kernel is 17");
	REFUSE(sample_image, s.layers[1].heads = 0, "heads");
	REFUSE(sample_text, s.layers[6].init_scale = 0.02f, "begun by the embedding");
}

static void names_are_those_of_a_state_dict(void **state)
{
	(void)state;
	REFUSE(sample_text, s.layers[2].name[0] = '\0', "needs a name");
	REFUSE(sample_text, strcpy(s.layers[2].name, "a b"), "needs a name");
	REFUSE(sample_text, strcpy(s.layers[2].name, ".a"), "needs a name");
	REFUSE(sample_text, strcpy(s.layers[2].name, "a."), "needs a name");
	REFUSE(sample_text, strcpy(s.layers[2].name, "a..b"), "needs a name");
	REFUSE(sample_text, strcpy(s.layers[2].name, "wte"), "layer 0 has this name already");
	REFUSE(sample_text, strcpy(s.layers[6].name, "wte"), "layer 0 has this name already");
	REFUSE(sample_text, strcpy(s.layers[3].name, "drop"), "no tensors to name");
}

static void settings_that_are_not_used_must_be_zero(void **state)
{
	(void)state;
	REFUSE(sample_text, r->train.momentum = 0.5f, "train.momentum");
	REFUSE(sample_text, r->train.nesterov = true, "train.nesterov");
	REFUSE(sample_table, (r->train.momentum = 0, r->train.nesterov = true), "train.nesterov");
	REFUSE(sample_table, r->train.beta1 = 0.5f, "train.beta1");
	REFUSE(sample_table, r->train.outer_momentum = 0.5f, "train.outer.momentum");
	REFUSE(sample_table, r->train.outer_beta1 = 0.5f, "train.outer.beta1");
	REFUSE(sample_table, r->train.outer_weight_decay = 1, "train.outer.weight_decay");
	REFUSE(sample_table,
		(r->train.schedule = SCHEDULE_CONSTANT, r->train.learning_rate_end = 1),
		"train.learning_rate_end");
	REFUSE(sample_image, r->train.optimizer = OPTIMIZER_SGD, "train.optimizer");
	REFUSE(sample_image, r->train.inner_state = INNER_FRESH, "train.inner_state");
	REFUSE(sample_image, r->train.beta1 = 0.5f, "train.beta1");
	REFUSE(sample_image, r->train.momentum = 0.5f, "train.momentum");
	REFUSE(sample_image, r->train.weight_decay = 0.5f, "train.weight_decay");
	REFUSE(sample_image, r->train.warmup_steps = 1, "train.warmup_steps");
	REFUSE(sample_table, r->data.context = 1, "model.context");
	REFUSE(sample_table, r->data.token = TOKEN_BYTE, "data.token");
	REFUSE(sample_table, r->data.target_mean = 1, "data.target_mean");
	REFUSE(sample_text, r->data.features = 1, "features");
	REFUSE(sample_text, s.layers[3].width = 1, "width");
	REFUSE(sample_text, s.layers[2].heads = 1, "heads");
	REFUSE(sample_text, s.layers[2].kernel = 1, "kernel");
	REFUSE(sample_text, s.layers[2].stride = 1, "stride");
	REFUSE(sample_text, s.layers[2].padding = 1, "padding");
	REFUSE(sample_text, s.layers[3].bias = true, "bias");
	REFUSE(sample_text, s.layers[2].rate = 0.5f, "rate");
	REFUSE(sample_text, s.layers[3].init_scale = 1, "init_scale");
	REFUSE(sample_image, s.layers[0].tied = 1, "only a linear layer shares");
	REFUSE(sample_table, r->model.image[0] = 1, "no layer looks at an image");
}

static void training_that_makes_no_sense_is_refused(void **state)
{
	(void)state;
	REFUSE(sample_table, (r->train.momentum = 0, r->train.inner_state = INNER_AVERAGE),
		"average wants an optimizer with a state");
	REFUSE(sample_text,
		(r->train.outer = OUTER_ADAMW, r->train.outer_momentum = 0,
			r->train.outer_epsilon = 1e-8f),
		"adamw belongs to mode: gradient");
}

static void parts_that_do_not_fit_are_refused(void **state)
{
	(void)state;
	REFUSE(sample_text, s.layers[0].type = LAYER_POSITION, "layer 0");
	REFUSE(sample_text, s.layers[5].type = LAYER_RELU, "layer 1");
	REFUSE(sample_text, s.layers[1].type = LAYER_RELU, "layer 5");
	REFUSE(sample_text, s.layers[6].tied = 3, "layer 6");
	REFUSE(sample_text, s.layers[6].width = 4, "layer 6");
	REFUSE(sample_text, s.layers[4].width = 5, "layer 5");
	REFUSE(sample_table, s.layers[0].width = 3, "the loss wants 2");
	REFUSE(sample_image, r->model.image[0] = 3, "images of 3");
	REFUSE(sample_image, r->model.image[2] = 0, "image");
	REFUSE(sample_image, s.layers[1].heads = 3, "layer 1");
	REFUSE(sample_table, r->model.loss = LOSS_BINARY_CROSS_ENTROPY, "the loss wants 1");
	REFUSE(sample_table, r->model.loss = LOSS_SQUARED_ERROR, "numbers");
	REFUSE(sample_number, r->model.loss = LOSS_CROSS_ENTROPY, "squared error");
	REFUSE(sample_table, r->data.classes = 1, "number of classes");
	REFUSE(sample_table, r->data.train.samples = 0, "no training samples");
	REFUSE(sample_text, r->data.train.samples = 301, "need 4 shards");
	REFUSE(sample_text, r->data.train.samples = 200, "need 2 shards");
	REFUSE(sample_text, r->data.train.samples = UINT64_MAX, "shards");
	REFUSE(sample_text, r->data.train.shard_samples = 0, "shards");
	REFUSE(sample_text,
		(r->data.train.shard_samples = 3000000, r->data.train.samples = 9000000),
		"larger than");
	REFUSE(sample_table,
		(r->data.train.shard_samples = 1 << 20, r->data.train.samples = 1 << 20),
		"larger than");
	REFUSE(sample_text, s.vocabulary[1] = 10, "not ascending at entry 1");
	REFUSE(sample_text, s.vocabulary[1] = 0xd800, "no Unicode character");
	REFUSE(sample_text, s.vocabulary[2] = 0x110000, "no Unicode character");
	REFUSE(sample_table, strcpy(s.names[1], ""), "name of class 1");
	REFUSE(sample_table, strcpy(s.names[0], "\x1b[2J"), "name of class 0");
	REFUSE(sample_table, strcpy(s.names[0], "\xff"), "name of class 0");
}

/* What has no place in the encoding can only be our own mistake. */
static void classes_are_listed_only_where_they_have_names(void **state)
{
	struct errmsg msg;
	struct sample s;

	(void)state;
	sample_number(&s);
	s.recipe.data.class_names = s.names;
	assert_int_equal(recipe_validate(&s.recipe, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "numbers need none"));
	sample_bytes(&s);
	s.recipe.data.vocabulary = s.vocabulary;
	assert_int_equal(recipe_validate(&s.recipe, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "bytes need none"));
	sample_bytes(&s);
	s.recipe.data.classes = 255;
	assert_int_equal(recipe_validate(&s.recipe, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "the number of bytes"));
}

static void sizes_that_would_overflow_are_refused(void **state)
{
	(void)state;
	REFUSE(sample_text, (s.layers[2].width = 65536, s.layers[4].width = 65536), "layer 4");
	REFUSE(sample_text,
		(r->data.context = CONTEXT_MAX, s.layers[0].width = WIDTH_MAX,
			s.layers[4].width = WIDTH_MAX),
		"numbers");
	REFUSE(sample_text, (r->data.context = 1024, r->train.batch_size = 65536),
		"a batch of 65536");
	REFUSE(sample_text,
		(r->train.rounds = ROUNDS_MAX, r->train.units_per_round = 4096,
			r->train.inner_steps = 100000, r->train.batch_size = 65536),
		"2^63");
}

static void another_version_is_told_apart_from_damage(void **state)
{
	struct bytes bytes = {0};
	struct errmsg msg;
	struct recipe got;
	struct sample s;

	(void)state;
	sample_text(&s);
	s.recipe.numerics = NUMERICS_VERSION + 1;
	encode(&s.recipe, &bytes);
	assert_int_equal(recipe_decode(&got, bytes_span(&bytes), &msg), TK_EUNSUPPORTED);
	bytes.data[1] = 1; /* the format */
	assert_int_equal(recipe_decode(&got, bytes_span(&bytes), &msg), TK_EUNSUPPORTED);
	bytes_close(&bytes);
}

static void truncated_and_padded_recipes_are_refused(void **state)
{
	struct bytes bytes = {0};
	struct errmsg msg;
	struct recipe got;
	struct sample s;

	(void)state;
	sample_text(&s);
	encode(&s.recipe, &bytes);
	for (size_t n = 0; n < bytes.len; n++)
		assert_int_not_equal(recipe_decode(&got, span_of(bytes.data, n), &msg), TK_OK);
	assert_int_equal(bytes_append(&bytes, "", 1), TK_OK);
	assert_int_equal(recipe_decode(&got, bytes_span(&bytes), &msg), TK_EPROTO);
	bytes_close(&bytes);
}

static void digests_with_a_tail_are_not_canonical(void **state)
{
	static const uint8_t tail[DIGEST_BYTES + 1] = {0};
	struct bytes bytes = {0};
	struct errmsg msg;
	struct recipe got;
	struct sample s;
	struct packer p;

	(void)state;
	sample_table(&s);
	s.recipe.data.validation = (struct dataset_part){1, 1, 1, s.digests};
	encode(&s.recipe, &bytes);
	bytes.len -= 2 + DIGEST_BYTES; /* the last field again, with a byte more */
	pack_begin(&p, &bytes);
	pack_bin(&p, tail, sizeof(tail));
	assert_int_equal(pack_end(&p), TK_OK);
	assert_int_equal(recipe_decode(&got, bytes_span(&bytes), &msg), TK_EPROTO);
	assert_non_null(strstr(msg.text, "canonical"));
	bytes_close(&bytes);
}

static void mutate_recipe(const struct recipe *r, unsigned *passed, unsigned *refused)
{
	struct bytes bytes = {0};

	encode(r, &bytes);
	for (uint64_t seed = 1; seed <= 20000; seed++) {
		uint8_t mutant[2048];
		uint64_t random = seed;
		struct bytes again = {0};
		struct errmsg msg;
		struct recipe got;
		size_t n;

		memcpy(mutant, bytes.data, bytes.len);
		n = mutate(&random, mutant, bytes.len, sizeof(mutant));
		if (recipe_decode(&got, span_of(mutant, n), &msg) != TK_OK) {
			++*refused;
			continue;
		}
		++*passed;
		encode(&got, &again);
		if (recipe_validate(&got, &msg) != TK_OK ||
			!span_equal(bytes_span(&again), span_of(mutant, n)))
			fail_msg("an inconsistent recipe passed: %s, mutation seed %llu", r->name,
				(unsigned long long)seed);
		bytes_close(&again);
		recipe_close(&got);
	}
	bytes_close(&bytes);
}

static void mutated_recipes_are_refused_or_consistent(void **state)
{
	unsigned passed = 0;
	unsigned refused = 0;
	struct sample s;

	(void)state;
	sample_text(&s);
	mutate_recipe(&s.recipe, &passed, &refused);
	sample_image(&s);
	mutate_recipe(&s.recipe, &passed, &refused);
	assert_true(refused > 5000 && passed > 500);
}

static void every_allocation_may_fail(void **state)
{
	struct bytes bytes = {0};
	struct errmsg msg;
	struct recipe got;
	struct sample s;
	uint64_t after;

	(void)state;
	sample_text(&s);
	for (after = 1;; after++) {
		int rc;

		mem_fail(after, 0);
		rc = recipe_encode(&s.recipe, &bytes, &msg);
		mem_fail(0, 0);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
		assert_int_equal(bytes.len, 0);
	}
	assert_true(after > 1);
	for (after = 1;; after++) {
		int rc;

		mem_fail(after, 0);
		rc = recipe_decode(&got, bytes_span(&bytes), &msg);
		mem_fail(0, 0);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
	}
	assert_true(after > 3);
	recipe_close(&got);
	bytes_close(&bytes);
}

static void a_project_becomes_a_recipe_and_is_described(void **state)
{
	static const char yaml[] = "project: {name: tiny}\nmodel: {type: char-mlp, context: 2}\n"
				   "data: {path: p.yaml, format: text}\n";
	struct scratch scratch;
	struct project p;
	struct recipe r;
	struct errmsg msg = {{0}};
	char *text = NULL;
	size_t n = 0;
	FILE *f;

	(void)state;
	assert_int_equal(scratch_open(&scratch), 0);
	assert_int_equal(scratch_write(&scratch, yaml, strlen(yaml)), 0);
	assert_int_equal(project_read(&p, scratch.path, NULL, &msg), TK_OK);
	if (project_recipe(&r, &p, NULL, &msg) != TK_OK)
		fail_msg("%s", msg.text); /* the file is its own data */
	assert_int_equal(r.seed, 1337);
	assert_string_equal(r.name, "tiny");
	assert_int_equal(r.data.context, 2);
	check_round_trip(&r);
	f = open_memstream(&text, &n);
	assert_non_null(f);
	project_describe(&p, &r, f);
	fclose(f);
	assert_non_null(strstr(text, "project     tiny\n"));
	assert_non_null(strstr(text, "model       char-mlp: 2 tokens → "));
	assert_non_null(strstr(text, "  linear        2                            256 "));
	assert_non_null(strstr(text, "trace       "));
	assert_non_null(strstr(text, "steps       400 in sequence, 3200 in all"));
	assert_non_null(strstr(text, "warning: one unit reads"));
	free(text);
	recipe_close(&r);
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_decodes_the_same),
		cmocka_unit_test(the_bytes_are_pinned),
		cmocka_unit_test(numbers_outside_their_limits_are_refused),
		cmocka_unit_test(layers_outside_their_limits_are_refused),
		cmocka_unit_test(names_are_those_of_a_state_dict),
		cmocka_unit_test(settings_that_are_not_used_must_be_zero),
		cmocka_unit_test(training_that_makes_no_sense_is_refused),
		cmocka_unit_test(parts_that_do_not_fit_are_refused),
		cmocka_unit_test(classes_are_listed_only_where_they_have_names),
		cmocka_unit_test(sizes_that_would_overflow_are_refused),
		cmocka_unit_test(another_version_is_told_apart_from_damage),
		cmocka_unit_test(truncated_and_padded_recipes_are_refused),
		cmocka_unit_test(digests_with_a_tail_are_not_canonical),
		cmocka_unit_test(mutated_recipes_are_refused_or_consistent),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(a_project_becomes_a_recipe_and_is_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
