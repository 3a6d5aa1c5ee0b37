/* Reads a safetensors header with jansson and checks it against every rule of the format (the format's
 * own README and its reference implementation). Never trusts a number before it is bounded: offsets are
 * compared with the file's length, sizes are multiplied with an overflow check, and the tensors must
 * cover the bytes from first to last exactly once. O(n log n) in the number of tensors. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/data/utf8.h"
#include "tasks/model/safetensors.h"

static const struct {
	const char *name;
	enum safetensors_type type;
	uint32_t bits;
} types[] = {
	{"F32", SAFETENSORS_F32, 32},
	{"F16", SAFETENSORS_F16, 16},
	{"BF16", SAFETENSORS_BF16, 16},
	{"F64", SAFETENSORS_F64, 64},
	{"BOOL", SAFETENSORS_OTHER, 8},
	{"U8", SAFETENSORS_OTHER, 8},
	{"I8", SAFETENSORS_OTHER, 8},
	{"F8_E4M3", SAFETENSORS_OTHER, 8},
	{"F8_E5M2", SAFETENSORS_OTHER, 8},
	{"I16", SAFETENSORS_OTHER, 16},
	{"U16", SAFETENSORS_OTHER, 16},
	{"I32", SAFETENSORS_OTHER, 32},
	{"U32", SAFETENSORS_OTHER, 32},
	{"I64", SAFETENSORS_OTHER, 64},
	{"U64", SAFETENSORS_OTHER, 64},
};

/* One tensor being read. */
struct reading {
	const char *name;
	struct span data; /* all tensors' bytes */
	struct errmsg *msg;
};

static int refuse(const struct reading *r, const char *what)
{
	char quoted[UTF8_QUOTED];

	return errmsg_set(r->msg, TK_ECORRUPT, "safetensors: the tensor %s %s",
		utf8_quote(quoted, r->name), what);
}

static int read_type(
	const struct reading *r, const json_t *value, struct safetensors_entry *e, uint64_t *bits)
{
	const char *name = json_string_value(value);

	for (size_t i = 0; name != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i].name, name) == 0) {
			e->type = types[i].type;
			*bits = types[i].bits;
			return TK_OK;
		}
	}
	return refuse(r, "has no dtype that is known");
}

/* *bits is multiplied by every dimension. */
static int read_shape(
	const struct reading *r, const json_t *value, struct safetensors_entry *e, uint64_t *bits)
{
	size_t n = json_array_size(value);

	if (!json_is_array(value))
		return refuse(r, "has no shape");
	if (n > SAFETENSORS_DIMENSIONS_MAX)
		return refuse(r, "has more than 8 dimensions");
	for (size_t i = 0; i < n; i++) {
		const json_t *side = json_array_get(value, i);

		if (!json_is_integer(side) || json_integer_value(side) < 0)
			return refuse(r, "has a side that is no natural number");
		e->shape[i] = (uint64_t)json_integer_value(side);
		if (__builtin_mul_overflow(*bits, e->shape[i], bits))
			return refuse(r, "has a shape whose size overflows");
	}
	e->dimensions = (uint32_t)n;
	return TK_OK;
}

static int read_offsets(
	const struct reading *r, const json_t *value, uint64_t bits, struct safetensors_entry *e)
{
	const json_t *first = json_array_get(value, 0), *last = json_array_get(value, 1);
	uint64_t begin, end;

	if (json_array_size(value) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
		json_integer_value(first) < 0 || json_integer_value(last) < 0)
		return refuse(r, "has no data_offsets of two natural numbers");
	begin = (uint64_t)json_integer_value(first);
	end = (uint64_t)json_integer_value(last);
	if (begin > end || end > r->data.len)
		return refuse(r, "lies outside the file: it was cut short, or its header is wrong");
	if (end - begin != bits / 8)
		return refuse(r, "has more or fewer bytes than its shape and dtype take");
	e->bytes = (struct span){r->data.data + begin, (size_t)(end - begin)};
	return TK_OK;
}

static int read_entry(const struct reading *r, json_t *value, struct safetensors_entry *e)
{
	const json_t *type = json_object_get(value, "dtype");
	const json_t *shape = json_object_get(value, "shape");
	const json_t *offsets = json_object_get(value, "data_offsets");
	uint64_t bits = 0;
	int rc;

	if (!json_is_object(value) || json_object_size(value) != 3 || type == NULL ||
		shape == NULL || offsets == NULL)
		return refuse(r, "must have dtype, shape and data_offsets and nothing else");
	e->name = r->name;
	rc = read_type(r, type, e, &bits);
	if (rc == TK_OK)
		rc = read_shape(r, shape, e, &bits);
	if (rc == TK_OK)
		rc = read_offsets(r, offsets, bits, e);
	return rc;
}

static int check_metadata(json_t *value, struct errmsg *msg)
{
	const char *key;
	json_t *text;

	if (!json_is_object(value))
		return errmsg_set(
			msg, TK_ECORRUPT, "safetensors: __metadata__ is not an object of texts");
	json_object_foreach(value, key, text)
	{
		if (!json_is_string(text))
			return errmsg_set(msg, TK_ECORRUPT,
				"safetensors: __metadata__ holds something that is not a text");
	}
	return TK_OK;
}

static int by_place(const void *a, const void *b)
{
	const struct span *x = &((const struct safetensors_entry *)a)->bytes;
	const struct span *y = &((const struct safetensors_entry *)b)->bytes;

	if (x->data != y->data)
		return x->data < y->data ? -1 : 1;
	return (x->len > y->len) - (x->len < y->len);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct safetensors_entry *)a)->name,
		((const struct safetensors_entry *)b)->name);
}

/* Sorted by place, each tensor must begin where the one before it ends; the last ends with the file. */
static int check_cover(const struct safetensors *s, struct span data, struct errmsg *msg)
{
	const uint8_t *at = data.data;
	char quoted[UTF8_QUOTED];

	for (size_t i = 0; i < s->count; i++) {
		const struct span *b = &s->entries[i].bytes;

		if (b->data != at)
			return errmsg_set(msg, TK_ECORRUPT,
				"safetensors: the tensor %s %s the one before it",
				utf8_quote(quoted, s->entries[i].name),
				b->data < at ? "overlaps" : "leaves a hole after");
		at += b->len;
	}
	if (at != data.data + data.len)
		return errmsg_set(msg, TK_ECORRUPT,
			"safetensors: %zu bytes at the end belong to no tensor",
			(size_t)(data.data + data.len - at));
	return TK_OK;
}

static int read_entries(struct safetensors *s, json_t *header, struct span data, struct errmsg *msg)
{
	const char *name;
	json_t *value;

	json_object_foreach(header, name, value)
	{
		struct reading r = {name, data, msg};
		int rc = strcmp(name, "__metadata__") == 0
				 ? check_metadata(value, msg)
				 : read_entry(&r, value, &s->entries[s->count++]);

		if (rc != TK_OK)
			return rc;
	}
	return TK_OK;
}

/* The tensors of a header, sorted by name. */
static int read_header(struct safetensors *s, json_t *header, struct span data, struct errmsg *msg)
{
	int rc;

	s->entries = mem_calloc(json_object_size(header) + 1, sizeof(*s->entries));
	if (s->entries == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for a safetensors header");
	rc = read_entries(s, header, data, msg);
	if (rc != TK_OK)
		return rc;
	qsort(s->entries, s->count, sizeof(*s->entries), by_place);
	rc = check_cover(s, data, msg);
	if (rc == TK_OK)
		qsort(s->entries, s->count, sizeof(*s->entries), by_name);
	return rc;
}

/* The header's bytes as JSON: NULL, and why not. */
static json_t *parse(struct span header, int *rc, struct errmsg *msg)
{
	json_error_t error;
	json_t *object;

	if (header.data[0] != '{') {
		*rc = errmsg_set(msg, TK_ECORRUPT, "safetensors: the header is no JSON object");
		return NULL;
	}
	object = json_loadb((const char *)header.data, header.len, JSON_REJECT_DUPLICATES, &error);
	if (object == NULL)
		*rc = errmsg_set(msg, TK_ECORRUPT,
			"safetensors: the header is no valid JSON, or names something twice: %s "
			"(byte %d)",
			error.text, error.position);
	return object;
}

/* JSON's -0 is an integer that is read as 0, but no natural number as the format writes them. Once all else
 * is right, no other minus is left outside the texts. */
static int check_minus(struct span header, struct errmsg *msg)
{
	bool text = false;

	for (size_t i = 0; i < header.len; i++) {
		if (header.data[i] == '"')
			text = !text;
		else if (text && header.data[i] == '\\')
			i++;
		else if (!text && header.data[i] == '-')
			return errmsg_set(msg, TK_ECORRUPT,
				"safetensors: the header has -0 (byte %zu), which is no natural "
				"number",
				i);
	}
	return TK_OK;
}

int safetensors_open(struct safetensors *out, struct span file, struct errmsg *msg)
{
	struct safetensors s = {0};
	struct span data;
	json_t *header;
	uint64_t length;
	int rc = TK_OK;

	if (file.len < 10)
		return errmsg_set(msg, TK_ECORRUPT,
			"safetensors: %zu bytes are too few for this format", file.len);
	length = load_le64(file.data);
	if (length < 2 || length > file.len - 8)
		return errmsg_set(msg, TK_ECORRUPT,
			"safetensors: the header would reach past the end of the file; this is "
			"another format, or it was cut short");
	if (length > SAFETENSORS_HEADER_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"safetensors: a header of %llu bytes; at most %u are accepted",
			(unsigned long long)length, SAFETENSORS_HEADER_MAX);
	header = parse(span_of(file.data + 8, (size_t)length), &rc, msg);
	if (header == NULL)
		return rc;
	s.header = header;
	data = span_of(file.data + 8 + length, file.len - 8 - (size_t)length);
	rc = read_header(&s, header, data, msg);
	if (rc == TK_OK)
		rc = check_minus(span_of(file.data + 8, (size_t)length), msg);
	if (rc == TK_OK)
		*out = s;
	else
		safetensors_close(&s);
	return rc;
}

void safetensors_close(struct safetensors *s)
{
	mem_free(s->entries);
	json_decref(s->header);
	*s = (struct safetensors){0};
}

const struct safetensors_entry *safetensors_find(const struct safetensors *s, const char *name)
{
	struct safetensors_entry wanted = {.name = name};

	return s->count == 0 ? NULL
			     : bsearch(&wanted, s->entries, s->count, sizeof(wanted), by_name);
}
