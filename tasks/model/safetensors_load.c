/* A model's parameters from a safetensors file: by name, with equal shapes, nothing missing, nothing left
 * over. Numbers become float32: exactly from half formats, rounded once from doubles. */
#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/data/utf8.h"
#include "tasks/model/safetensors.h"

/* IEEE binary16 has 5 bits of exponent, so every value is a float32. */
static float widen_f16(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
	uint32_t exponent = (half >> 10) & 0x1fu;
	uint32_t fraction = half & 0x3ffu;
	uint32_t bits;
	float x;

	if (exponent == 0) {
		x = (float)fraction * 0x1p-24f;
		return sign != 0 ? -x : x;
	}
	bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
	memcpy(&x, &bits, sizeof(x));
	return x;
}

static float element(enum safetensors_type type, const uint8_t *bytes, size_t i)
{
	uint32_t bits;
	uint64_t wide;
	double d;
	float x;

	switch (type) {
	case SAFETENSORS_F16:
		return widen_f16(load_le16(bytes + 2 * i));
	case SAFETENSORS_F64:
		wide = load_le64(bytes + 8 * i);
		memcpy(&d, &wide, sizeof(d));
		return (float)d;
	case SAFETENSORS_BF16:
		bits = (uint32_t)load_le16(bytes + 2 * i) << 16;
		break;
	default:
		bits = load_le32(bytes + 4 * i);
		break;
	}
	memcpy(&x, &bits, sizeof(x));
	return x;
}

static bool same_shape(const struct tensor *t, const struct safetensors_entry *e)
{
	if (t->dimensions != e->dimensions)
		return false;
	for (uint32_t i = 0; i < t->dimensions; i++) {
		if (t->shape[i] != e->shape[i])
			return false;
	}
	return true;
}

#define SHAPE_TEXT 128
/* "(3, 4)" */
static const char *shape_text(char out[SHAPE_TEXT], uint32_t dimensions, const uint64_t *shape)
{
	int n = snprintf(out, SHAPE_TEXT, "(");

	for (uint32_t i = 0; i < dimensions && n < SHAPE_TEXT - 24; i++)
		n += snprintf(out + n, (size_t)(SHAPE_TEXT - n), "%s%llu", i == 0 ? "" : ", ",
			(unsigned long long)shape[i]);
	snprintf(out + n, (size_t)(SHAPE_TEXT - n), ")");
	return out;
}

static int refuse_shape(
	const struct tensor *t, const struct safetensors_entry *e, struct errmsg *msg)
{
	uint64_t wanted[TENSOR_DIMENSIONS] = {0};
	char is[SHAPE_TEXT];
	char should[SHAPE_TEXT];

	for (uint32_t i = 0; i < t->dimensions; i++)
		wanted[i] = t->shape[i];
	return errmsg_set(msg, TK_EINVAL,
		"%s has the shape %s in the file and %s in this model: the file belongs to another "
		"model",
		e->name, shape_text(is, e->dimensions, e->shape),
		shape_text(should, t->dimensions, wanted));
}

/* Whether the file's tensor can be this one. Its name is one that the model has: t's, or that of a layer
 * which shares t. */
static int check_entry(
	const struct tensor *t, const struct safetensors_entry *e, struct errmsg *msg)
{
	if (!same_shape(t, e))
		return refuse_shape(t, e, msg);
	if (e->type == SAFETENSORS_OTHER)
		return errmsg_set(msg, TK_EINVAL,
			"%s holds no floating-point numbers; F32, F16, BF16 and F64 can be read",
			e->name);
	return TK_OK;
}

static int load_tensor(
	const struct tensor *t, const struct safetensors_entry *e, float *out, struct errmsg *msg)
{
	int rc = check_entry(t, e, msg);

	if (rc != TK_OK)
		return rc;
	for (size_t i = 0; i < t->count; i++) {
		out[i] = element(e->type, e->bytes.data, i);
		if (!(out[i] - out[i] == 0))
			return errmsg_set(msg, TK_EINVAL, "%s: element %zu is not a finite number",
				e->name, i);
	}
	return TK_OK;
}

/* The model's own tensor of that name, or the one that a tied layer of that name shares. */
static const struct tensor *tensor_named(const struct model *m, const char *name, bool *shared)
{
	char weight[sizeof(m->tensors[0].name)];

	*shared = false;
	for (uint32_t i = 0; i < m->tensor_count; i++) {
		if (strcmp(m->tensors[i].name, name) == 0)
			return &m->tensors[i];
	}
	for (uint32_t l = 0; l < m->layer_count; l++) {
		const struct layer *layer = m->layers[l].spec;

		snprintf(weight, sizeof(weight), "%s.weight", layer->name);
		if (layer->tied == 0 || strcmp(weight, name) != 0)
			continue;
		*shared = true;
		for (uint32_t i = 0; i < m->tensor_count; i++) {
			if (m->tensors[i].offset == m->layers[l].weight)
				return &m->tensors[i];
		}
	}
	return NULL;
}

/* Tensors of the file that the model does not have; a shared weight may stand there twice, if equal. */
static int check_surplus(const struct model *m, const struct safetensors *s,
	const float *parameters, struct errmsg *msg)
{
	char quoted[UTF8_QUOTED];

	for (size_t i = 0; i < s->count; i++) {
		const struct safetensors_entry *e = &s->entries[i];
		bool shared;
		const struct tensor *t = tensor_named(m, e->name, &shared);
		int rc;

		if (t == NULL)
			return errmsg_set(msg, TK_EINVAL,
				"the file has a tensor %s, which this model does not have; leave "
				"it out when saving, or describe the model that it belongs to",
				utf8_quote(quoted, e->name));
		if (!shared)
			continue;
		rc = check_entry(t, e, msg);
		if (rc != TK_OK)
			return rc;
		for (size_t k = 0; k < t->count; k++) {
			if (element(e->type, e->bytes.data, k) != parameters[t->offset + k])
				return errmsg_set(msg, TK_EINVAL,
					"%s differs from %s, and this model has one weight for "
					"both: say tie: false",
					utf8_quote(quoted, e->name), t->name);
		}
	}
	return TK_OK;
}

/* The tensor in the file. A shared weight may stand there under a tied layer's name alone: safetensors'
 * save_model keeps the alphabetically first of the names that share memory. NULL: under none. */
static const struct safetensors_entry *entry_of(
	const struct model *m, const struct safetensors *s, const struct tensor *t)
{
	const struct safetensors_entry *e = safetensors_find(s, t->name);
	char weight[sizeof(t->name)];

	for (uint32_t l = 0; e == NULL && l < m->layer_count; l++) {
		const struct layer *layer = m->layers[l].spec;

		if (layer->tied == 0 || m->layers[l].weight != t->offset)
			continue;
		snprintf(weight, sizeof(weight), "%s.weight", layer->name);
		e = safetensors_find(s, weight);
	}
	return e;
}

static int load_tensors(
	const struct model *m, const struct safetensors *s, float *parameters, struct errmsg *msg)
{
	for (uint32_t i = 0; i < m->tensor_count; i++) {
		const struct tensor *t = &m->tensors[i];
		const struct safetensors_entry *e = entry_of(m, s, t);
		int rc;

		if (e == NULL)
			return errmsg_set(msg, TK_EINVAL,
				"the file lacks the tensor %s; a PyTorch model of the same shape "
				"has it in its state_dict",
				t->name);
		rc = load_tensor(t, e, parameters + t->offset, msg);
		if (rc != TK_OK)
			return rc;
	}
	return check_surplus(m, s, parameters, msg);
}

int safetensors_load(const struct model *m, struct span file, float *parameters, struct errmsg *msg)
{
	struct safetensors s;
	float *loaded;
	int rc = safetensors_open(&s, file, msg);

	if (rc != TK_OK)
		return rc;
	loaded = mem_floats(m->parameters);
	if (loaded == NULL) {
		rc = errmsg_set(
			msg, TK_ENOMEM, "not enough memory for %zu parameters", m->parameters);
	} else {
		rc = load_tensors(m, &s, loaded, msg);
		if (rc == TK_OK)
			memcpy(parameters, loaded, m->parameters * sizeof(*parameters));
	}
	mem_free(loaded);
	safetensors_close(&s);
	return rc;
}
