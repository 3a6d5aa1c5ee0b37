/* Laying a model out: names, shapes, what is refused and how, initial parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/math/philox.h"
#include "tests/lib/model_cases.h"
#include "tests/lib/tiny.h"

static const struct dataset rows_of_6 = {
	.kind = SAMPLE_F32, .label = LABEL_CLASS, .features = 6, .classes = 3};
static const struct dataset texts_of_4 = {
	.kind = SAMPLE_TEXT, .label = LABEL_CLASS, .context = 4, .classes = 5};

static struct model_spec spec_of(struct layer *layers, uint32_t count)
{
	return (struct model_spec){.type = MODEL_LAYERS,
		.loss = LOSS_CROSS_ENTROPY,
		.layer_count = count,
		.layers = layers};
}

#define REFUSED(data, code, words, ...)                                                            \
	do {                                                                                       \
		struct layer layers_[] = {__VA_ARGS__};                                            \
		struct model_spec spec_ = spec_of(layers_, sizeof(layers_) / sizeof(layers_[0]));  \
                                                                                                   \
		refused(&spec_, data, code, words, __LINE__);                                      \
	} while (0)

static void refused(const struct model_spec *spec, const struct dataset *data, int code,
	const char *words, int line)
{
	struct errmsg msg = {""};
	struct model m;
	int rc = model_init(&m, spec, data, &msg);

	if (rc != code || strstr(msg.text, words) == NULL)
		fail_msg("line %d: %d, \"%s\" where %d, \"%s\" was expected", line, rc, msg.text,
			code, words);
}

#define LINEAR(n, w)                                                                               \
	{                                                                                          \
		.type = LAYER_LINEAR, .name = n, .width = w, .bias = true                          \
	}
#define EMBEDDING                                                                                  \
	{                                                                                          \
		.type = LAYER_EMBEDDING, .name = "e", .width = 6                                   \
	}

static void what_does_not_fit_is_refused_with_its_layer(void **state)
{
	(void)state;
	REFUSED(&rows_of_6, TK_EINVAL, "layer 1 (layer_norm)", LINEAR("a", 4),
		{.type = LAYER_LAYER_NORM, .bias = true}, LINEAR("b", 3)); /* no name */
	REFUSED(&rows_of_6, TK_EINVAL, "layer 1 (linear \"b\"): it has 0 outputs", LINEAR("a", 4),
		LINEAR("b", 0));
	REFUSED(&rows_of_6, TK_EINVAL, "last layer gives 4 numbers where the loss wants 3",
		LINEAR("a", 4));
	REFUSED(&rows_of_6, TK_EINVAL, "two layers have parameters called \"a.bias\"",
		LINEAR("a", 4), LINEAR("a", 3));
	REFUSED(&rows_of_6, TK_EINVAL, "layer 0 (conv2d \"a\"): it works on images",
		{.type = LAYER_CONV2D, .name = "a", .width = 1, .kernel = 1, .stride = 1});
	REFUSED(&rows_of_6, TK_EINVAL, "layer 1 (position \"p\"): its input is one row",
		LINEAR("a", 3), {.type = LAYER_POSITION, .name = "p"});
	REFUSED(&rows_of_6, TK_EINVAL, "layer 1 (attention): 4 numbers a position", LINEAR("a", 4),
		{.type = LAYER_ATTENTION, .heads = 2});
	REFUSED(&rows_of_6, TK_EINVAL, "layer 0 (embedding \"e\"): an embedding is the first",
		EMBEDDING, LINEAR("a", 3));
	REFUSED(&texts_of_4, TK_EINVAL, "layer 0 (linear \"a\"): an embedding is the first",
		LINEAR("a", 5));
	REFUSED(&texts_of_4, TK_EINVAL, "layer 1 (linear \"h\"): it shares a weight of 5 x 6",
		EMBEDDING, {.type = LAYER_LINEAR, .name = "h", .width = 4, .tied = 1});
	REFUSED(&texts_of_4, TK_EINVAL, "it is tied to layer 1, which is no embedding", EMBEDDING,
		LINEAR("a", 6), {.type = LAYER_LINEAR, .name = "h", .width = 5, .tied = 2});
	REFUSED(&texts_of_4, TK_EINVAL, "it is tied to layer 4", EMBEDDING,
		{.type = LAYER_LINEAR, .name = "h", .width = 5, .tied = 5});
	REFUSED(&rows_of_6, TK_EINVAL, "layer 0 (residual): it has no end", {.type = LAYER_BRANCH},
		LINEAR("a", 3));
	REFUSED(&rows_of_6, TK_EINVAL, "layer 1 (end of residual): no residual is open",
		LINEAR("a", 3), {.type = LAYER_JOIN});
	REFUSED(&rows_of_6, TK_EINVAL, "layer 2 (end of residual): it gives 1 x 3 numbers",
		{.type = LAYER_BRANCH}, LINEAR("a", 3), {.type = LAYER_JOIN});
	REFUSED(&rows_of_6, TK_EINVAL, "layer 0 (dropout): its rate 1 is not between",
		{.type = LAYER_DROPOUT, .rate = 1}, LINEAR("a", 3));
	REFUSED(&rows_of_6, TK_EINVAL, "nothing to learn", {.type = LAYER_RELU});
	REFUSED(&rows_of_6, TK_EINVAL, "layer 0 (unknown): there is no layer type 19",
		{.type = (enum layer_type)19});
	REFUSED(&rows_of_6, TK_EINVAL, "there is no layer type 0", {.width = 1});
}

static void images_are_checked_against_the_data_and_their_windows(void **state)
{
	struct layer conv = {
		.type = LAYER_CONV2D, .name = "c", .width = 2, .kernel = 3, .stride = 1};
	struct model_spec spec = spec_of(&conv, 1);

	(void)state;
	spec.image[0] = 1;
	spec.image[1] = 2;
	spec.image[2] = 4;
	refused(&spec, &rows_of_6, TK_EINVAL, "images of 1 x 2 x 4 do not fit", __LINE__);
	spec.image[2] = 3;
	refused(&spec, &rows_of_6, TK_EINVAL,
		"layer 0 (conv2d \"c\"): a window of 3 x 3 does not fit an image of 2 x 3",
		__LINE__);
	conv.padding = 3;
	refused(&spec, &rows_of_6, TK_EINVAL, "the padding is below the kernel", __LINE__);
	conv.padding = 1;
	refused(&spec, &rows_of_6, TK_EINVAL, "as an image", __LINE__);
	conv.type = LAYER_LINEAR;
	refused(&spec, &rows_of_6, TK_EINVAL, "put a flatten before it", __LINE__);
	conv.type = LAYER_GROUP_NORM;
	conv.heads = 2;
	refused(&spec, &rows_of_6, TK_EINVAL, "1 channels cannot be divided into 2", __LINE__);
	conv.type = LAYER_MAX_POOL;
	conv.kernel = 17;
	refused(&spec, &rows_of_6, TK_EINVAL, "its kernel 17 is larger than 16", __LINE__);
	conv.type = LAYER_AVERAGE_POOL;
	refused(&spec, &rows_of_6, TK_EINVAL, "a window of 17 x 17 does not fit", __LINE__);
}

/* Layers as large as they may be, until something overflows: limits hold, and nothing wraps. */
static void size_has_its_limits(void **state)
{
	struct layer layers[LAYERS_MAX];
	struct model_spec spec = spec_of(layers, 2);
	char name[8] = "a";

	(void)state;
	layers[0] = (struct layer){.type = LAYER_LINEAR, .name = "a", .width = WIDTH_MAX};
	layers[1] = (struct layer){.type = LAYER_LINEAR, .name = "b", .width = WIDTH_MAX};
	refused(&spec, &rows_of_6, TK_ELIMIT, "layer 1 (linear \"b\"): its weight is larger",
		__LINE__);
	for (uint32_t i = 0; i < LAYERS_MAX; i++) {
		layers[i] = (struct layer){.type = LAYER_LINEAR, .width = 8192};
		snprintf(name, sizeof(name), "l%u", i);
		memcpy(layers[i].name, name, sizeof(name));
	}
	spec.layer_count = LAYERS_MAX;
	refused(&spec, &rows_of_6, TK_ELIMIT, "layer 4 (linear \"l4\"): up to here", __LINE__);
	spec.layer_count = 0;
	refused(&spec, &rows_of_6, TK_ELIMIT, "1 to 1024 layers", __LINE__);
	spec.layer_count = LAYERS_MAX + 1;
	refused(&spec, &rows_of_6, TK_ELIMIT, "1 to 1024 layers", __LINE__);
	spec.layer_count = 2 * (RESIDUAL_DEPTH_MAX + 1);
	for (uint32_t i = 0; i <= RESIDUAL_DEPTH_MAX; i++)
		layers[i] = (struct layer){.type = LAYER_BRANCH};
	refused(&spec, &rows_of_6, TK_ELIMIT, "layer 8 (residual): more than 8", __LINE__);
}

static void losses_want_fitting_labels(void **state)
{
	struct layer one = LINEAR("a", 1);
	struct model_spec spec = spec_of(&one, 1);
	struct dataset numbers = rows_of_6;

	(void)state;
	spec.loss = LOSS_SQUARED_ERROR;
	refused(&spec, &rows_of_6, TK_EINVAL, "needs labels that are numbers", __LINE__);
	spec.loss = LOSS_BINARY_CROSS_ENTROPY;
	refused(&spec, &rows_of_6, TK_EINVAL, "for two classes; the data have 3", __LINE__);
	numbers.label = LABEL_NUMBER;
	refused(&spec, &numbers, TK_EINVAL, "must be the squared error", __LINE__);
}

static void names_and_shapes_are_those_of_a_torch_sequential(void **state)
{
	struct tiny t;
	struct model m;

	(void)state;
	assert_true(tiny_init(&t, MODEL_CHAR_MLP));
	assert_int_equal(model_init(&m, &t.recipe.model, &t.recipe.data, NULL), TK_OK);
	assert_int_equal(m.tensor_count, 5);
	assert_string_equal(m.tensors[0].name, "0.weight"); /* Embedding; 1 is Flatten */
	assert_string_equal(m.tensors[1].name, "2.weight");
	assert_string_equal(m.tensors[2].name, "2.bias"); /* 3 is Tanh */
	assert_string_equal(m.tensors[3].name, "4.weight");
	assert_string_equal(m.tensors[4].name, "4.bias");
	assert_int_equal(m.tensors[1].shape[0], 7);
	assert_int_equal(m.tensors[1].shape[1], 12);
	assert_int_equal(m.parameters, 6 * 3 + 7 * 12 + 7 + 6 * 7 + 6);
	model_close(&m);
	tiny_close(&t);
}

static void tensors_follow_each_other_and_a_tied_one_is_not_there_twice(void **state)
{
	struct model_bench b;

	(void)state;
	for (size_t i = 0; i < model_case_count; i++) {
		size_t end = 0;

		model_bench_init(&b, &model_cases[i]);
		for (uint32_t t = 0; t < b.model.tensor_count; t++) {
			assert_int_equal(b.model.tensors[t].offset, end);
			end += b.model.tensors[t].count;
		}
		assert_int_equal(b.model.parameters, end);
		model_bench_close(&b);
	}
	model_bench_init(&b, &model_cases[10]); /* the transformer */
	assert_int_equal(b.model.labels, 4);
	assert_int_equal(b.model.layers[16].weight, b.model.layers[0].weight);
	assert_string_equal(b.model.tensors[b.model.tensor_count - 1].name, "g.bias");
	model_bench_close(&b);
}

static void a_name_that_ends_in_a_low_line_is_joined_without_a_dot(void **state)
{
	struct layer layer = LINEAR("attn.in_proj_", 3);
	struct model_spec spec = spec_of(&layer, 1);
	struct model m;

	(void)state;
	assert_int_equal(model_init(&m, &spec, &rows_of_6, NULL), TK_OK);
	assert_string_equal(m.tensors[0].name, "attn.in_proj_weight");
	assert_string_equal(m.tensors[1].name, "attn.in_proj_bias");
	model_close(&m);
}

static float largest(const float *x, size_t n)
{
	float max = 0;

	for (size_t i = 0; i < n; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	return max;
}

static void linear_and_conv2d_start_within_the_reciprocal_root_of_their_inputs(void **state)
{
	struct model_bench b;
	const struct placed_layer *conv;

	(void)state;
	model_bench_init(&b, &large_cases[1]);
	model_initialize(&b.model, 5, b.parameters);
	conv = &b.model.layers[4]; /* 37 channels, windows of 3 x 3 */
	assert_true(largest(b.parameters + conv->weight, 40 * 37 * 9) <= 1 / sqrtf(37 * 9));
	assert_true(largest(b.parameters + conv->weight, 40 * 37 * 9) > 0.99f / sqrtf(37 * 9));
	assert_true(largest(b.parameters + conv->bias, 40) <= 1 / sqrtf(37 * 9));
	assert_true(b.parameters[conv->bias] ==
		    (2 * philox_uniform(5, STREAM_INIT, 0, conv->bias) - 1) * (1 / sqrtf(37 * 9)));
	for (size_t i = 0; i < 37; i++) {
		assert_true(b.parameters[b.model.layers[1].weight + i] == 1);
		assert_true(b.parameters[b.model.layers[1].bias + i] == 0);
	}
	model_bench_close(&b);
}

static void init_scale_is_the_deviation(void **state)
{
	struct layer layers[] = {{.type = LAYER_EMBEDDING, .name = "e", .width = 64},
		{.type = LAYER_LINEAR, .name = "l", .width = 5, .bias = true, .init_scale = 0.25f}};
	struct model_spec spec = spec_of(layers, 2);
	struct model m;
	double squares = 0;
	float p[5 * 64 + 5 * 64 + 5];

	(void)state;
	assert_int_equal(model_init(&m, &spec, &texts_of_4, NULL), TK_OK);
	assert_int_equal(m.parameters, sizeof(p) / sizeof(p[0]));
	model_initialize(&m, 9, p);
	for (size_t i = 0; i < 320; i++) {
		assert_true(p[i] == philox_normal(9, STREAM_INIT, i));
		assert_true(p[320 + i] == philox_normal(9, STREAM_INIT, 320 + i) * 0.25f);
		squares += (double)(p[320 + i] * p[320 + i]) / 320;
	}
	assert_true(sqrt(squares) > 0.2 && sqrt(squares) < 0.3);
	for (size_t i = 640; i < 645; i++)
		assert_true(p[i] == 0);
	model_close(&m);
}

static void every_allocation_may_fail(void **state)
{
	const struct model_case *c = &model_cases[10];
	struct model_spec spec = spec_of(c->layers, c->count);
	struct model m;
	uint64_t n;
	int rc;

	(void)state;
	for (n = 1;; n++) {
		mem_fail(n, 0);
		rc = model_init(&m, &spec, &texts_of_4, NULL);
		mem_fail(0, 0);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
	}
	assert_true(n > 2);
	model_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_fit_is_refused_with_its_layer),
		cmocka_unit_test(images_are_checked_against_the_data_and_their_windows),
		cmocka_unit_test(size_has_its_limits),
		cmocka_unit_test(losses_want_fitting_labels),
		cmocka_unit_test(names_and_shapes_are_those_of_a_torch_sequential),
		cmocka_unit_test(tensors_follow_each_other_and_a_tied_one_is_not_there_twice),
		cmocka_unit_test(a_name_that_ends_in_a_low_line_is_joined_without_a_dot),
		cmocka_unit_test(
			linear_and_conv2d_start_within_the_reciprocal_root_of_their_inputs),
		cmocka_unit_test(init_scale_is_the_deviation),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests_name("model: layout", tests, NULL, NULL);
}
