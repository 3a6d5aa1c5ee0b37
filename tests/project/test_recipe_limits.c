/* Recipes that are wrong in one place: every limit and mismatch is refused, an owner's and a stranger's alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tests/project/recipe_samples.h"

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
		sample_encode(r, &bytes);
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
	REFUSE(sample_text, r->train.merge = 6, "train.merge");
	REFUSE(sample_text, (r->train.merge = MERGE_MEDIAN_NORM_CLIP, r->train.merge_byzantine = 1),
		"train.merge_byzantine");
	REFUSE(sample_text, r->train.merge = MERGE_TRIMMED_MEAN, "train.merge_byzantine");
	REFUSE(sample_text, r->train.merge = MERGE_CENTERED_CLIP, "train.merge_iterations");
	REFUSE(sample_text, (r->train.merge = MERGE_TRIMMED_MEAN, r->train.merge_byzantine = 4),
		"units_per_round is 8, too few");
	REFUSE(sample_text, (r->train.merge = MERGE_MULTI_KRUM, r->train.merge_byzantine = 3),
		"which wants 9");
	REFUSE(sample_text,
		(r->train.merge = MERGE_MULTI_KRUM, r->train.merge_byzantine = 3,
			r->train.units_per_round = 257),
		"takes 256 at most");
	REFUSE(sample_text, (r->train.merge = MERGE_MEDIAN_NORM_CLIP, r->train.units_per_round = 2),
		"which wants 3");
	REFUSE(sample_text, (r->train.merge = MERGE_CENTERED_CLIP, r->train.merge_iterations = 17),
		"train.merge_iterations");
	REFUSE(sample_text,
		(r->train.merge = MERGE_CENTERED_CLIP, r->train.merge_iterations = 1,
			r->train.merge_radius = -1),
		"train.merge_radius");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_outside_their_limits_are_refused),
		cmocka_unit_test(layers_outside_their_limits_are_refused),
		cmocka_unit_test(names_are_those_of_a_state_dict),
		cmocka_unit_test(settings_that_are_not_used_must_be_zero),
		cmocka_unit_test(training_that_makes_no_sense_is_refused),
		cmocka_unit_test(parts_that_do_not_fit_are_refused),
		cmocka_unit_test(classes_are_listed_only_where_they_have_names),
		cmocka_unit_test(sizes_that_would_overflow_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
