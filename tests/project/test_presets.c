/* Presets and lists of layers: which layers they become, with which names, over which data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/model/model.h"
#include "tasks/project/presets.h"
#include "tasks/project/trace.h"

static const struct dataset table = {
	.kind = SAMPLE_F32, .features = 7, .classes = 3, .label = LABEL_CLASS};
static const struct dataset digits = {.kind = SAMPLE_U8,
	.features = 784,
	.classes = 10,
	.image = {1, 28, 28},
	.label = LABEL_CLASS};
static const struct dataset text = {.kind = SAMPLE_TEXT,
	.context = 16,
	.classes = 65,
	.token = TOKEN_CHARACTER,
	.label = LABEL_CLASS};

/* Expands and lays out; both must succeed. */
static void expand(const struct model_settings *s, const struct dataset *d, struct model_spec *spec,
	struct model *m)
{
	struct errmsg msg = {{0}};

	if (model_expand(spec, s, d, &msg) != TK_OK || model_init(m, spec, d, &msg) != TK_OK)
		fail_msg("%s", msg.text);
}

/* Wants exactly these tensors in this order: "NAME shape×shape". */
static void check_tensors(
	const struct model_settings *s, const struct dataset *d, const char *const *want)
{
	struct model_spec spec;
	struct model m;
	uint32_t i;

	expand(s, d, &spec, &m);
	for (i = 0; i < m.tensor_count && want[i] != NULL; i++) {
		const struct tensor *t = &m.tensors[i];
		char got[128];
		size_t used = (size_t)snprintf(got, sizeof(got), "%s", t->name);

		for (uint32_t k = 0; k < t->dimensions; k++)
			used += (size_t)snprintf(got + used, sizeof(got) - used, "%c%u",
				k == 0 ? ' ' : 'x', t->shape[k]);
		assert_string_equal(got, want[i]);
	}
	assert_null(want[i]);
	assert_int_equal(i, m.tensor_count);
	model_close(&m);
	model_spec_close(&spec);
}

static void dense_presets_are_sequentials(void **state)
{
	static const char *const logistic[] = {"0.weight 3x7", "0.bias 3", NULL};
	static const char *const mlp[] = {"0.weight 5x7", "0.bias 5", "2.weight 4x5", "2.bias 4",
		"4.weight 3x4", "4.bias 3", NULL};
	static const char *const characters[] = {"0.weight 65x24", "2.weight 256x384", "2.bias 256",
		"4.weight 65x256", "4.bias 65", NULL};
	struct model_settings s = {.type = MODEL_LOGISTIC};

	(void)state;
	check_tensors(&s, &table, logistic);
	s.type = MODEL_MLP;
	s.activation = LAYER_TANH;
	s.hidden = (struct widths){2, {5, 4}};
	check_tensors(&s, &table, mlp);
	s.type = MODEL_CHAR_MLP;
	s.embedding = 24;
	s.hidden = (struct widths){1, {256}};
	check_tensors(&s, &text, characters);
}

static struct model_settings cnn_settings(void)
{
	return (struct model_settings){.type = MODEL_CNN,
		.channels = {2, {32, 64}},
		.kernel = 3,
		.hidden = {1, {128}},
		.activation = LAYER_RELU};
}

static void cnn_is_the_one_that_is_measured_against(void **state)
{
	static const char *const want[] = {"0.weight 32x1x3x3", "0.bias 32", "3.weight 64x32x3x3",
		"3.bias 64", "7.weight 128x3136", "7.bias 128", "9.weight 10x128", "9.bias 10",
		NULL};
	struct model_settings s = cnn_settings();

	(void)state;
	check_tensors(&s, &digits, want);
}

static struct model_settings gpt_settings(void)
{
	return (struct model_settings){
		.type = MODEL_GPT, .blocks = 2, .heads = 2, .width = 8, .tie = true, .bias = true};
}

static void gpt_has_the_names_of_gpt_2(void **state)
{
	static const char *const tied[] = {"transformer.wte.weight 65x8",
		"transformer.wpe.weight 16x8", "transformer.h.0.ln_1.weight 8",
		"transformer.h.0.ln_1.bias 8", "transformer.h.0.attn.c_attn.weight 24x8",
		"transformer.h.0.attn.c_attn.bias 24", "transformer.h.0.attn.c_proj.weight 8x8",
		"transformer.h.0.attn.c_proj.bias 8", "transformer.h.0.ln_2.weight 8",
		"transformer.h.0.ln_2.bias 8", "transformer.h.0.mlp.c_fc.weight 32x8",
		"transformer.h.0.mlp.c_fc.bias 32", "transformer.h.0.mlp.c_proj.weight 8x32",
		"transformer.h.0.mlp.c_proj.bias 8", "transformer.ln_f.weight 8",
		"transformer.ln_f.bias 8", NULL};
	static const char *const own[] = {"transformer.wte.weight 65x8",
		"transformer.wpe.weight 16x8", "transformer.h.0.ln_1.weight 8",
		"transformer.h.0.attn.c_attn.weight 24x8", "transformer.h.0.attn.c_proj.weight 8x8",
		"transformer.h.0.ln_2.weight 8", "transformer.h.0.mlp.c_fc.weight 32x8",
		"transformer.h.0.mlp.c_proj.weight 8x32", "transformer.ln_f.weight 8",
		"lm_head.weight 65x8", NULL};
	struct model_settings s = gpt_settings();

	(void)state;
	s.blocks = 1;
	check_tensors(&s, &text, tied);
	s.tie = s.bias = false;
	check_tensors(&s, &text, own);
}

static const struct layer *layer_named(const struct model_spec *m, const char *name)
{
	for (uint32_t i = 0; i < m->layer_count; i++)
		if (strcmp(m->layers[i].name, name) == 0)
			return &m->layers[i];
	fail_msg("no layer %s", name);
	return NULL;
}

static uint32_t count_type(const struct model_spec *m, enum layer_type type)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < m->layer_count; i++)
		count += m->layers[i].type == type;
	return count;
}

static void gpt_begins_as_gpt_2_does(void **state)
{
	struct model_settings s = gpt_settings();
	struct model_spec spec;
	struct model m;

	(void)state;
	expand(&s, &text, &spec, &m);
	assert_true(layer_named(&spec, "transformer.wte")->init_scale == 0.02f);
	assert_true(layer_named(&spec, "transformer.wpe")->init_scale == 0.02f);
	assert_true(layer_named(&spec, "transformer.h.1.mlp.c_fc")->init_scale == 0.02f);
	assert_true(layer_named(&spec, "transformer.h.1.mlp.c_proj")->init_scale == 0.01f);
	assert_true(layer_named(&spec, "transformer.h.0.attn.c_proj")->init_scale == 0.01f);
	assert_int_equal(layer_named(&spec, "lm_head")->tied, 1);
	assert_int_equal(count_type(&spec, LAYER_DROPOUT), 0);
	assert_int_equal(count_type(&spec, LAYER_BRANCH), 4);
	assert_int_equal(m.output.positions, 16);
	model_close(&m);
	model_spec_close(&spec);

	s.dropout = 0.1f;
	expand(&s, &text, &spec, &m);
	assert_int_equal(count_type(&spec, LAYER_DROPOUT), 5);
	model_close(&m);
	model_spec_close(&spec);
}

static void the_largest_gpt_fits_a_recipe(void **state)
{
	struct model_settings s = gpt_settings();
	struct model_spec spec;
	struct model m;

	(void)state;
	s.blocks = GPT_LAYERS_MAX;
	s.dropout = 0.5f;
	expand(&s, &text, &spec, &m);
	assert_in_range(spec.layer_count, 64 * 14, LAYERS_MAX);
	model_close(&m);
	model_spec_close(&spec);
}

static void lists_number_their_modules_as_pytorch_does(void **state)
{
	static const char *const want[] = {"0.weight 65x8", "pos.weight 16x8", "2.0.weight 8",
		"2.0.bias 8", "2.1.in_proj_weight 24x8", "2.1.in_proj_bias 24",
		"2.1.out_proj.weight 8x8", "2.1.out_proj.bias 8", "mlp.0.weight 8x8",
		"mlp.2.1.weight 8x8", "mlp.2.1.bias 8", "mlp.fc.weight 8x8", "4.weight 65x8",
		"4.bias 65", NULL};
	struct model_settings s = {.type = MODEL_LAYERS};
	const struct layer layers[] = {
		{.type = LAYER_EMBEDDING, .width = 8},
		{.type = LAYER_POSITION, .name = "pos"},
		{.type = LAYER_BRANCH},
		{.type = LAYER_LAYER_NORM, .bias = true},
		{.type = LAYER_ATTENTION, .heads = 2, .bias = true},
		{.type = LAYER_JOIN},
		{.type = LAYER_BRANCH, .name = "mlp"},
		{.type = LAYER_LINEAR, .width = 8},
		{.type = LAYER_SILU},
		{.type = LAYER_BRANCH},
		{.type = LAYER_TANH},
		{.type = LAYER_LINEAR, .width = 8, .bias = true},
		{.type = LAYER_JOIN},
		{.type = LAYER_LINEAR, .width = 8, .name = "fc"},
		{.type = LAYER_JOIN},
		{.type = LAYER_LINEAR, .bias = true},
	};

	(void)state;
	s.layer_count = sizeof(layers) / sizeof(layers[0]);
	memcpy(s.layers, layers, sizeof(layers));
	check_tensors(&s, &text, want);
}

static void the_last_layer_is_as_wide_as_the_loss_wants(void **state)
{
	static const char *const one[] = {"0.weight 1x7", "0.bias 1", NULL};
	struct model_settings s = {.type = MODEL_LOGISTIC, .loss = LOSS_BINARY_CROSS_ENTROPY};
	struct dataset d = table;
	struct model_spec spec;
	struct model m;

	(void)state;
	d.classes = 2;
	check_tensors(&s, &d, one);
	s.loss = 0;
	d.label = LABEL_NUMBER;
	d.classes = 0;
	check_tensors(&s, &d, one);
	expand(&s, &d, &spec, &m);
	assert_int_equal(spec.loss, LOSS_SQUARED_ERROR);
	model_close(&m);
	model_spec_close(&spec);
}

static void images_are_what_the_owner_or_the_data_say(void **state)
{
	struct model_settings s = cnn_settings();
	struct dataset d = digits;
	struct errmsg msg;
	struct model_spec spec;
	struct model m;

	(void)state;
	expand(&s, &d, &spec, &m);
	assert_int_equal(spec.image[1], 28);
	model_close(&m);
	model_spec_close(&spec);
	s.image = (struct widths){3, {4, 14, 14}};
	expand(&s, &d, &spec, &m);
	assert_int_equal(spec.image[0], 4);
	model_close(&m);
	model_spec_close(&spec);
	s.image.count = 0;
	memset(d.image, 0, sizeof(d.image));
	assert_int_equal(model_expand(&spec, &s, &d, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "model.image: missing"));
	d = (struct dataset){.kind = SAMPLE_TEXT, .context = 4, .classes = 5};
	assert_int_equal(model_expand(&spec, &s, &d, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "layers of images do not read text; remove conv2d"));
	s = (struct model_settings){.type = MODEL_LOGISTIC};
	expand(&s, &digits, &spec, &m);
	assert_int_equal(spec.image[0], 0);
	model_close(&m);
	model_spec_close(&spec);
}

static void what_a_list_cannot_be_is_said(void **state)
{
	struct model_settings s = {.type = MODEL_LAYERS, .layer_count = 3};
	struct errmsg msg;
	struct model_spec spec;

	(void)state;
	s.layers[0] = (struct layer){.type = LAYER_BRANCH};
	memset(s.layers[0].name, 'a', LAYER_NAME_MAX - 1);
	s.layers[1] = (struct layer){.type = LAYER_LINEAR, .width = 7};
	s.layers[2] = (struct layer){.type = LAYER_JOIN};
	assert_int_equal(model_expand(&spec, &s, &table, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "shorten the names"));
	s.layer_count = 2;
	s.layers[0] = (struct layer){.type = LAYER_CONV2D, .width = 3, .kernel = 1, .stride = 1};
	s.layers[1] = (struct layer){.type = LAYER_ATTENTION, .heads = 1};
	assert_int_equal(model_expand(&spec, &s, &digits, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "layer 1 (attention): it wants to follow"));
	s.layers[0] = (struct layer){.type = LAYER_LINEAR, .width = 8};
	s.layers[1].heads = 3;
	assert_int_equal(model_expand(&spec, &s, &table, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "its 3 heads do not divide the 8 numbers"));
}

static void an_allocation_that_fails_is_said(void **state)
{
	struct model_settings s = gpt_settings();
	struct model_spec spec;
	struct errmsg msg;

	(void)state;
	mem_fail(1, 0);
	assert_int_equal(model_expand(&spec, &s, &text, &msg), TK_ENOMEM);
	mem_fail(0, 0);
}

static void a_trace_costs_at_most_a_hundredth(void **state)
{
	struct model_settings s = gpt_settings();
	struct train_spec t = {.batch_size = 4, .inner_steps = 1000};
	struct model_spec spec;
	struct model m;
	uint32_t every;

	(void)state;
	expand(&s, &text, &spec, &m);
	every = trace_distance(&m, &t);
	assert_in_range(every, 1, 1000);
	assert_true(trace_share(&m, &t, every) <= 0.01);
	assert_true(every == 1 || trace_share(&m, &t, every - 1) > 0.01);
	t.inner_steps = 1;
	t.batch_size = 1;
	assert_int_equal(trace_distance(&m, &t), 1);
	model_close(&m);
	model_spec_close(&spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dense_presets_are_sequentials),
		cmocka_unit_test(cnn_is_the_one_that_is_measured_against),
		cmocka_unit_test(gpt_has_the_names_of_gpt_2),
		cmocka_unit_test(gpt_begins_as_gpt_2_does),
		cmocka_unit_test(the_largest_gpt_fits_a_recipe),
		cmocka_unit_test(lists_number_their_modules_as_pytorch_does),
		cmocka_unit_test(the_last_layer_is_as_wide_as_the_loss_wants),
		cmocka_unit_test(images_are_what_the_owner_or_the_data_say),
		cmocka_unit_test(what_a_list_cannot_be_is_said),
		cmocka_unit_test(an_allocation_that_fails_is_said),
		cmocka_unit_test(a_trace_costs_at_most_a_hundredth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
