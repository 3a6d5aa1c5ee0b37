/* What makes a recipe's model sound: every field of every layer within its limits, unused ones 0, and
 * names that PyTorch could have given. How layers follow from each other and end in what the loss wants
 * is model_init's matter, which is asked last. */
#include "tasks/project/recipe_check.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/model/layer.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."

/* What a type of layer uses; all else must be 0. */
enum {
	USES_WIDTH = 1,
	USES_HEADS = 2,
	USES_WINDOW = 4,
	USES_BIAS = 8,
	USES_TIED = 16,
	USES_RATE = 32,
	USES_INIT = 64,
	HAS_NAME = 128,
};

static const unsigned layer_uses[LAYER_TYPE_LAST + 1] = {
	[LAYER_EMBEDDING] = USES_WIDTH | USES_INIT | HAS_NAME,
	[LAYER_POSITION] = USES_INIT | HAS_NAME,
	[LAYER_LINEAR] = USES_WIDTH | USES_BIAS | USES_TIED | USES_INIT | HAS_NAME,
	[LAYER_CONV2D] = USES_WIDTH | USES_WINDOW | USES_BIAS | USES_INIT | HAS_NAME,
	[LAYER_MAX_POOL] = USES_WINDOW,
	[LAYER_AVERAGE_POOL] = USES_WINDOW,
	[LAYER_LAYER_NORM] = USES_BIAS | HAS_NAME,
	[LAYER_GROUP_NORM] = USES_HEADS | USES_BIAS | HAS_NAME,
	[LAYER_DROPOUT] = USES_RATE,
	[LAYER_ATTENTION] = USES_HEADS,
};

/* Puts the layer's place, type and name before what the message says; as model_init does. */
static int layer_prefix(const struct model_spec *m, uint32_t i, int rc, struct errmsg *msg)
{
	const struct layer *l = &m->layers[i];
	const char *type = layer_ops_of(l->type)->name;

	if (l->name[0] == '\0')
		return errmsg_prefix(msg, rc, "layer %u (%s)", i, type);
	return errmsg_prefix(msg, rc, "layer %u (%s \"%s\")", i, type, l->name);
}

bool layer_type_named(enum layer_type type)
{
	return (layer_uses[type] & HAS_NAME) != 0;
}

bool layer_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && strspn(name, NAME_LETTERS) == n && name[0] != '.' && name[n - 1] != '.' &&
	       strstr(name, "..") == NULL;
}

static int check_name(const struct model_spec *m, uint32_t i, struct errmsg *msg)
{
	const struct layer *l = &m->layers[i];

	if (!layer_type_named(l->type))
		return l->name[0] == '\0' ? TK_OK
					  : errmsg_set(msg, TK_EINVAL, "it has no tensors to name");
	if (!layer_name_valid(l->name))
		return errmsg_set(msg, TK_EINVAL,
			"it needs a name of a-z, A-Z, 0-9, '_' and single dots within");
	for (uint32_t j = 0; j < i; j++)
		if (strcmp(m->layers[j].name, l->name) == 0)
			return errmsg_set(msg, TK_EINVAL, "layer %u has this name already", j);
	return TK_OK;
}

static int check_window(const struct layer *l, struct errmsg *msg)
{
	bool used = (layer_uses[l->type] & USES_WINDOW) != 0;
	uint32_t most = l->type == LAYER_MAX_POOL ? MAX_POOL_KERNEL_MAX : WINDOW_MAX;
	uint32_t padding = l->type == LAYER_CONV2D ? WINDOW_MAX : l->kernel / 2;
	int rc = check_u32("kernel", l->kernel, used, used ? most : 0, msg);

	if (rc == TK_OK)
		rc = check_u32("stride", l->stride, used, used ? WINDOW_MAX : 0, msg);
	if (rc == TK_OK && l->padding > (used ? padding : 0))
		rc = errmsg_set(msg, TK_EINVAL, "padding is %u; it must be at most %u%s",
			l->padding, used ? padding : 0,
			used && l->type != LAYER_CONV2D ? ", half the kernel" : "");
	return rc;
}

static int check_tied(const struct layer *l, struct errmsg *msg)
{
	if (l->tied == 0)
		return TK_OK;
	if ((layer_uses[l->type] & USES_TIED) == 0)
		return errmsg_set(msg, TK_EINVAL, "only a linear layer shares a weight");
	if (l->init_scale != 0 && !l->bias)
		return errmsg_set(msg, TK_EINVAL,
			"its weight is begun by the embedding: init_scale must be 0");
	return TK_OK;
}

static int check_fields(const struct layer *l, struct errmsg *msg)
{
	unsigned uses = layer_uses[l->type];
	bool width = (uses & USES_WIDTH) != 0;
	bool heads = (uses & USES_HEADS) != 0;
	bool rate = (uses & USES_RATE) != 0;
	int rc = check_u32("width", l->width, width, width ? WIDTH_MAX : 0, msg);

	if (rc == TK_OK)
		rc = check_u32("heads", l->heads, heads, heads ? HEADS_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_window(l, msg);
	if (rc == TK_OK)
		rc = check_u32("bias", l->bias, 0, (uses & USES_BIAS) != 0, msg);
	if (rc == TK_OK)
		rc = check_f32(
			"rate", l->rate, rate ? DROPOUT_MIN : 0, rate ? DROPOUT_MAX : 0, msg);
	if (rc == TK_OK && l->init_scale != 0)
		rc = check_f32("init_scale", l->init_scale, INIT_SCALE_MIN,
			(uses & USES_INIT) != 0 ? INIT_SCALE_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_f32("init_scale", l->init_scale, 0, INIT_SCALE_MAX, msg); /* −0 */
	return rc;
}

static int check_layer(const struct model_spec *m, uint32_t i, struct errmsg *msg)
{
	const struct layer *l = &m->layers[i];
	int rc;

	if ((int)l->type < LAYER_EMBEDDING || l->type > LAYER_TYPE_LAST)
		return errmsg_set(
			msg, TK_EINVAL, "layer %u has the unknown type %d", i, (int)l->type);
	if (memchr(l->name, '\0', sizeof(l->name)) == NULL)
		return errmsg_set(msg, TK_EINVAL, "layer %u has a name without an end", i);
	rc = check_name(m, i, msg);
	if (rc == TK_OK)
		rc = check_fields(l, msg);
	if (rc == TK_OK)
		rc = check_tied(l, msg);
	return rc == TK_OK ? TK_OK : layer_prefix(m, i, rc, msg);
}

bool model_uses_image(const struct model_spec *m)
{
	for (uint32_t i = 0; i < m->layer_count; i++)
		if (m->layers[i].type == LAYER_CONV2D || m->layers[i].type == LAYER_MAX_POOL ||
			m->layers[i].type == LAYER_AVERAGE_POOL ||
			m->layers[i].type == LAYER_GROUP_NORM)
			return true;
	return false;
}

int check_model(
	const struct model_spec *m, const struct dataset *d, uint32_t rows, struct errmsg *msg)
{
	struct model laid_out;
	uint64_t floats;
	int rc = TK_OK;

	if ((int)m->type < MODEL_LOGISTIC || m->type > MODEL_LAYERS)
		return errmsg_set(msg, TK_EINVAL, "model.type %d is unknown", (int)m->type);
	if (m->layers == NULL || m->layer_count == 0 || m->layer_count > LAYERS_MAX)
		return errmsg_set(msg, TK_EINVAL, "a model needs between 1 and %u layers, not %u",
			LAYERS_MAX, m->layer_count);
	for (uint32_t i = 0; rc == TK_OK && i < m->layer_count; i++)
		rc = check_layer(m, i, msg);
	if (rc == TK_OK && !model_uses_image(m) &&
		(m->image[0] != 0 || m->image[1] != 0 || m->image[2] != 0))
		rc = errmsg_set(msg, TK_EINVAL,
			"no layer looks at an image: the model's image must be 0, 0, 0");
	if (rc == TK_OK && ((int)m->loss < LOSS_CROSS_ENTROPY || m->loss > LOSS_SQUARED_ERROR))
		rc = errmsg_set(msg, TK_EINVAL, "model.loss %d is unknown", (int)m->loss);
	if (rc == TK_OK)
		rc = model_init(&laid_out, m, d, msg);
	if (rc != TK_OK)
		return rc;
	floats = laid_out.activations;
	model_close(&laid_out);
	if (floats > ACTIVATIONS_MAX / rows)
		return errmsg_set(msg, TK_ELIMIT,
			"a batch of %u samples takes %llu numbers in the model's layers; at most "
			"%llu are supported: make batch_size or the layers smaller, or raise "
			"accumulate",
			rows, (unsigned long long)floats * rows, ACTIVATIONS_MAX);
	return TK_OK;
}

void model_spec_close(struct model_spec *m)
{
	mem_free(m->layers);
	*m = (struct model_spec){0};
}
