/* Writes safetensors (the format of huggingface/safetensors): an 8-byte little-endian length, a header
 * of JSON padded with spaces to a multiple of 8 bytes, then the tensors' bytes one after another.
 * Never reads any. */
#include "tasks/model/safetensors.h"

#include <stdio.h>
#include <string.h>

#include "tasks/data/utf8.h"

/* Appends text while nothing has failed: the first error stays in *rc. */
static void put(struct bytes *out, int *rc, const char *text, size_t n)
{
	if (*rc == TK_OK)
		*rc = bytes_append(out, text, n);
}

static void put_text(struct bytes *out, int *rc, const char *text)
{
	put(out, rc, text, strlen(text));
}

/* Appends a JSON string (RFC 8259 §7); what is not UTF-8 becomes U+FFFD. */
static void put_string(struct bytes *out, int *rc, const char *text)
{
	size_t len = strlen(text);

	put_text(out, rc, "\"");
	for (size_t i = 0; i < len;) {
		uint32_t code_point;
		size_t n = utf8_decode((const uint8_t *)text + i, len - i, &code_point);
		char escape[8];

		if (n == 0) {
			put_text(out, rc, "\xef\xbf\xbd");
			n = 1;
		} else if (code_point == '"' || code_point == '\\') {
			snprintf(escape, sizeof(escape), "\\%c", (char)code_point);
			put_text(out, rc, escape);
		} else if (code_point < 0x20) {
			snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)code_point);
			put_text(out, rc, escape);
		} else {
			put(out, rc, text + i, n);
		}
		i += n;
	}
	put_text(out, rc, "\"");
}

static void put_metadata(struct bytes *out, int *rc, const char *const *pairs)
{
	put_text(out, rc, "\"__metadata__\":{");
	for (size_t i = 0; pairs[i] != NULL; i += 2) {
		put_text(out, rc, i == 0 ? "" : ",");
		put_string(out, rc, pairs[i]);
		put_text(out, rc, ":");
		put_string(out, rc, pairs[i + 1]);
	}
	put_text(out, rc, "},");
}

static void put_tensor(
	struct bytes *out, int *rc, const struct tensor *t, const char *name, size_t offset)
{
	char text[128];

	put_string(out, rc, name);
	put_text(out, rc, ":{\"dtype\":\"F32\",\"shape\":[");
	for (uint32_t d = 0; d < t->dimensions; d++) {
		snprintf(text, sizeof(text), "%s%u", d == 0 ? "" : ",", t->shape[d]);
		put_text(out, rc, text);
	}
	snprintf(text, sizeof(text), "],\"data_offsets\":[%zu,%zu]}", 4 * offset,
		4 * (offset + t->count));
	put_text(out, rc, text);
}

/* The tensor that layer l shares with an earlier one, or NULL. */
static const struct tensor *shared_tensor(const struct model *m, uint32_t l)
{
	if (m->layers[l].spec->tied == 0)
		return NULL;
	for (uint32_t i = 0; i < m->tensor_count; i++) {
		if (m->tensors[i].offset == m->layers[l].weight)
			return &m->tensors[i];
	}
	return NULL;
}

/* PyTorch's state_dict has a shared weight by each of its names, and so has the file. */
static void put_shared(struct bytes *out, int *rc, const struct model *m)
{
	size_t offset = m->parameters;

	for (uint32_t l = 0; l < m->layer_count; l++) {
		const struct tensor *t = shared_tensor(m, l);
		char name[sizeof(t->name)];

		if (t == NULL)
			continue;
		snprintf(name, sizeof(name), "%s.weight", m->layers[l].spec->name);
		put_text(out, rc, ",");
		put_tensor(out, rc, t, name, offset);
		offset += t->count;
	}
}

/* Tensors lie in the file as they lie in the parameter block; then come shared ones once more. */
static void put_header(
	struct bytes *out, int *rc, const struct model *m, const char *const *metadata)
{
	size_t start = out->len;

	put_text(out, rc, "{");
	if (metadata != NULL && metadata[0] != NULL)
		put_metadata(out, rc, metadata);
	for (uint32_t i = 0; i < m->tensor_count; i++) {
		put_text(out, rc, i == 0 ? "" : ",");
		put_tensor(out, rc, &m->tensors[i], m->tensors[i].name, m->tensors[i].offset);
	}
	put_shared(out, rc, m);
	put_text(out, rc, "}");
	while (*rc == TK_OK && (out->len - start) % 8 != 0)
		put_text(out, rc, " ");
}

static void put_floats(struct bytes *out, int *rc, const float *x, size_t count)
{
	if (*rc == TK_OK)
		*rc = bytes_reserve(out, 4 * count);
	for (size_t i = 0; *rc == TK_OK && i < count; i++) {
		uint32_t bits;

		memcpy(&bits, &x[i], sizeof(bits));
		store_le32(out->data + out->len, bits);
		out->len += 4;
	}
}

int safetensors_encode(struct bytes *out, const struct model *m, const float *parameters,
	const char *const *metadata, struct errmsg *msg)
{
	uint8_t length[8] = {0};
	size_t start = out->len;
	int rc = bytes_append(out, length, sizeof(length));

	put_header(out, &rc, m, metadata);
	if (rc == TK_OK)
		store_le64(out->data + start, out->len - start - sizeof(length));
	put_floats(out, &rc, parameters, m->parameters);
	for (uint32_t l = 0; l < m->layer_count; l++) {
		const struct tensor *t = shared_tensor(m, l);

		if (t != NULL)
			put_floats(out, &rc, parameters + t->offset, t->count);
	}
	if (rc == TK_OK)
		return TK_OK;
	out->len = start;
	return errmsg_set(
		msg, rc, "not enough memory to write a model of %zu parameters", m->parameters);
}
