/* See presets.h. Each preset's tensors have the names of the PyTorch module that it equals: nn.Sequential
 * for tables, images and characters, nanoGPT's GPT-2 for gpt. A list is an nn.Sequential in which a
 * residual is a Sequential of its own and attention an nn.MultiheadAttention. */
#include "tasks/project/presets.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/project/recipe_check.h"

#define GPT_DEVIATION 0.02

/* The layers so far. */
struct builder {
	struct layer *layers; /* room for LAYERS_MAX */
	uint32_t count;
	uint32_t module;  /* index of the next one in an nn.Sequential */
	uint32_t outputs; /* of the last layer */
	bool name_too_long;
};

static void add(struct builder *b, struct layer layer)
{
	REQUIRE(b->count < LAYERS_MAX);
	b->layers[b->count++] = layer;
}

/* The same, with tensors of that name. */
TK_PRINTF(3, 4)
static void add_named(struct builder *b, struct layer layer, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vsnprintf(layer.name, sizeof(layer.name), format, args) >= (int)sizeof(layer.name))
		b->name_too_long = true;
	va_end(args);
	add(b, layer);
}

static void add_plain(struct builder *b, enum layer_type type)
{
	add(b, (struct layer){.type = type});
}

/* Hidden layers with their activations, then the outputs. */
static void add_dense(struct builder *b, const struct model_settings *s)
{
	struct layer linear = {.type = LAYER_LINEAR, .bias = true};

	for (uint32_t i = 0; i < s->hidden.count; i++) {
		linear.width = s->hidden.of[i];
		add_named(b, linear, "%u", b->module);
		add_plain(b, s->activation);
		b->module += 2;
	}
	linear.width = b->outputs;
	add_named(b, linear, "%u", b->module);
}

static void add_char_mlp(struct builder *b, const struct model_settings *s)
{
	add_named(b, (struct layer){.type = LAYER_EMBEDDING, .width = s->embedding}, "0");
	add_plain(b, LAYER_FLATTEN);
	b->module = 2;
	add_dense(b, s);
}

/* Convolutions that keep the size, each with its activation and a pool that halves it. */
static void add_cnn(struct builder *b, const struct model_settings *s)
{
	for (uint32_t i = 0; i < s->channels.count; i++) {
		add_named(b,
			(struct layer){.type = LAYER_CONV2D,
				.width = s->channels.of[i],
				.kernel = s->kernel,
				.stride = 1,
				.padding = (s->kernel - 1) / 2,
				.bias = true},
			"%u", b->module);
		add_plain(b, s->activation);
		add(b, (struct layer){.type = LAYER_MAX_POOL, .kernel = 2, .stride = 2});
		b->module += 3;
	}
	add_plain(b, LAYER_FLATTEN);
	b->module++;
	add_dense(b, s);
}

static void add_dropout(struct builder *b, float rate)
{
	if (rate > 0)
		add(b, (struct layer){.type = LAYER_DROPOUT, .rate = rate});
}

/* One block of GPT-2: x + attention(norm(x)), then x + mlp(norm(x)). */
static void add_gpt_block(struct builder *b, const struct model_settings *s, uint32_t index)
{
	struct layer norm = {.type = LAYER_LAYER_NORM, .bias = s->bias};
	struct layer in = {
		.type = LAYER_LINEAR, .bias = s->bias, .init_scale = (float)GPT_DEVIATION};
	struct layer out = in;

	out.width = s->width;
	out.init_scale = (float)(GPT_DEVIATION / sqrt(2.0 * s->blocks));
	add_plain(b, LAYER_BRANCH);
	add_named(b, norm, "transformer.h.%u.ln_1", index);
	in.width = 3 * s->width;
	add_named(b, in, "transformer.h.%u.attn.c_attn", index);
	add(b, (struct layer){.type = LAYER_ATTENTION, .heads = s->heads});
	add_named(b, out, "transformer.h.%u.attn.c_proj", index);
	add_dropout(b, s->dropout);
	add_plain(b, LAYER_JOIN);
	add_plain(b, LAYER_BRANCH);
	add_named(b, norm, "transformer.h.%u.ln_2", index);
	in.width = 4 * s->width;
	add_named(b, in, "transformer.h.%u.mlp.c_fc", index);
	add_plain(b, LAYER_GELU);
	add_named(b, out, "transformer.h.%u.mlp.c_proj", index);
	add_dropout(b, s->dropout);
	add_plain(b, LAYER_JOIN);
}

static void add_gpt(struct builder *b, const struct model_settings *s)
{
	struct layer table = {
		.type = LAYER_EMBEDDING, .width = s->width, .init_scale = (float)GPT_DEVIATION};
	struct layer head = {.type = LAYER_LINEAR,
		.width = b->outputs,
		.tied = s->tie ? 1 : 0,
		.init_scale = s->tie ? 0 : (float)GPT_DEVIATION};

	add_named(b, table, "transformer.wte");
	table.type = LAYER_POSITION;
	table.width = 0;
	add_named(b, table, "transformer.wpe");
	add_dropout(b, s->dropout);
	for (uint32_t i = 0; i < s->blocks; i++)
		add_gpt_block(b, s, i);
	add_named(b, (struct layer){.type = LAYER_LAYER_NORM, .bias = s->bias}, "transformer.ln_f");
	add_named(b, head, "lm_head");
}

/* Where a list's walk stands: the Sequentials that are open, and how wide the last layer is. */
struct list_walk {
	char prefix[RESIDUAL_DEPTH_MAX + 1][LAYER_NAME_MAX]; /* "3.0." */
	uint32_t index[RESIDUAL_DEPTH_MAX + 1];
	uint32_t depth;
	uint64_t width;
	uint32_t positions;
};

/* The module's own part of its name, which takes its index either way. */
static const char *module_name(struct list_walk *w, const struct layer *l, char number[16])
{
	snprintf(number, 16, "%u", w->index[w->depth]++);
	return l->name[0] != '\0' ? l->name : number;
}

/* Opens a Sequential inside the one that is open. */
static void enter_residual(struct builder *b, struct list_walk *w, const struct layer *l)
{
	char outer[LAYER_NAME_MAX];
	char number[16];
	const char *name = module_name(w, l, number);

	REQUIRE(w->depth < RESIDUAL_DEPTH_MAX);
	memcpy(outer, w->prefix[w->depth], sizeof(outer));
	w->depth++;
	w->index[w->depth] = 0;
	if (snprintf(w->prefix[w->depth], LAYER_NAME_MAX, "%s%s.", outer, name) >=
		(int)LAYER_NAME_MAX)
		b->name_too_long = true;
	add_plain(b, LAYER_BRANCH);
}

/* The projections around attention, named as nn.MultiheadAttention names them. */
static int add_attention(struct builder *b, struct list_walk *w, const struct layer *l,
	const char *name, struct errmsg *msg)
{
	struct layer linear = {.type = LAYER_LINEAR, .bias = l->bias, .init_scale = l->init_scale};

	if (w->width == 0 || w->width > WIDTH_MAX / 3)
		return errmsg_set(msg, TK_EINVAL,
			"it wants to follow a layer of 1 to %u numbers for "
			"each token, such as embedding, position or layer_norm",
			WIDTH_MAX / 3);
	if (l->heads == 0 || w->width % l->heads != 0)
		return errmsg_set(msg, TK_EINVAL,
			"its %u heads do not divide the %u numbers that "
			"each "
			"token has there",
			l->heads, (uint32_t)w->width);
	linear.width = 3 * (uint32_t)w->width;
	add_named(b, linear, "%s%s.in_proj_", w->prefix[w->depth], name);
	add(b, (struct layer){.type = LAYER_ATTENTION, .heads = l->heads});
	linear.width = (uint32_t)w->width;
	add_named(b, linear, "%s%s.out_proj", w->prefix[w->depth], name);
	return TK_OK;
}

/* Follows the width as far as attention needs it; 0 where a layer makes another image. */
static void follow_width(struct list_walk *w, const struct layer *l)
{
	switch (l->type) {
	case LAYER_EMBEDDING:
	case LAYER_LINEAR:
		w->width = l->width;
		break;
	case LAYER_FLATTEN:
		w->width *= w->positions;
		w->positions = 1;
		break;
	case LAYER_CONV2D:
	case LAYER_MAX_POOL:
	case LAYER_AVERAGE_POOL:
		w->width = 0;
		break;
	default:
		break;
	}
}

static int add_listed(
	struct builder *b, struct list_walk *w, const struct layer *written, struct errmsg *msg)
{
	struct layer l = *written;
	char number[16];
	const char *name;

	if (l.type == LAYER_BRANCH) {
		enter_residual(b, w, written);
		return TK_OK;
	}
	if (l.type == LAYER_JOIN) {
		w->depth--;
		add_plain(b, LAYER_JOIN);
		return TK_OK;
	}
	name = module_name(w, written, number);
	if (l.type == LAYER_ATTENTION)
		return add_attention(b, w, written, name, msg);
	if (l.type == LAYER_LINEAR && l.width == 0)
		l.width = b->outputs;
	follow_width(w, &l);
	if (layer_type_named(l.type))
		add_named(b, l, "%s%s", w->prefix[w->depth], name);
	else
		add(b, l);
	return TK_OK;
}

static int add_list(struct builder *b, const struct model_settings *s, const struct dataset *d,
	struct errmsg *msg)
{
	struct list_walk w = {.width = d->features, .positions = 1};
	int rc = TK_OK;

	if (d->kind == SAMPLE_TEXT)
		w.positions = d->context;
	for (uint32_t i = 0; rc == TK_OK && i < s->layer_count; i++) {
		uint32_t first = b->count;

		rc = add_listed(b, &w, &s->layers[i], msg);
		if (rc != TK_OK)
			errmsg_prefix(msg, rc, "layer %u (attention)", first);
	}
	return rc;
}

static int add_all(struct builder *b, const struct model_settings *s, const struct dataset *d,
	struct errmsg *msg)
{
	switch (s->type) {
	case MODEL_LOGISTIC:
	case MODEL_MLP:
		add_dense(b, s);
		return TK_OK;
	case MODEL_CHAR_MLP:
		add_char_mlp(b, s);
		return TK_OK;
	case MODEL_CNN:
		add_cnn(b, s);
		return TK_OK;
	case MODEL_GPT:
		add_gpt(b, s);
		return TK_OK;
	case MODEL_LAYERS:
		return add_list(b, s, d, msg);
	}
	REQUIRE(!"a type of model");
	return TK_EINVAL;
}

/* An image only where a layer looks at one: the owner's word, or else the data's. */
static int set_image(struct model_spec *m, const struct model_settings *s, const struct dataset *d,
	struct errmsg *msg)
{
	const uint32_t *image = s->image.count == 3 ? s->image.of : d->image;

	if (!model_uses_image(m))
		return TK_OK;
	if (d->kind == SAMPLE_TEXT)
		return errmsg_set(msg, TK_EINVAL,
			"model.layers: layers of images do not read text; remove conv2d, "
			"max_pool, average_pool and group_norm");
	if (image[0] == 0)
		return errmsg_set(msg, TK_EINVAL,
			"model.image: missing; the model looks at images, and the data do not say "
			"how large they are: add image: [channels, height, width]");
	memcpy(m->image, image, sizeof(m->image));
	return TK_OK;
}

int model_expand(struct model_spec *out, const struct model_settings *settings,
	const struct dataset *data, struct errmsg *msg)
{
	struct model_spec m = {.type = settings->type, .loss = settings->loss};
	struct builder b = {0};
	int rc;

	if (m.loss == 0)
		m.loss = data->label == LABEL_NUMBER ? LOSS_SQUARED_ERROR : LOSS_CROSS_ENTROPY;
	b.outputs = m.loss == LOSS_CROSS_ENTROPY ? data->classes : 1;
	b.layers = mem_calloc(LAYERS_MAX, sizeof(*b.layers));
	if (b.layers == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the model's layers");
	rc = add_all(&b, settings, data, msg);
	m.layers = b.layers;
	m.layer_count = b.count;
	if (rc == TK_OK && b.name_too_long)
		rc = errmsg_set(msg, TK_EINVAL,
			"model.layers: a layer's name, with those of the residuals around it, is "
			"longer than %u characters; shorten the names",
			LAYER_NAME_MAX - 1);
	if (rc == TK_OK)
		rc = set_image(&m, settings, data, msg);
	if (rc == TK_OK)
		*out = m;
	else
		model_spec_close(&m);
	return rc;
}
