/* The safetensors writer, read back by a reader of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/model/safetensors.h"

#define PARAMETERS (3 * 2 + 4 * 5 + 5 + 5 * 3 + 3)

/* Embedding (3,2), Flatten, Linear(4 → 5), activation, Linear(5 → 3). */
static void small_model(struct model *m, float parameters[PARAMETERS])
{
	static struct layer layers[] = {
		{.type = LAYER_EMBEDDING, .name = "0", .width = 2},
		{.type = LAYER_FLATTEN},
		{.type = LAYER_LINEAR, .name = "2", .width = 5, .bias = true},
		{.type = LAYER_TANH},
		{.type = LAYER_LINEAR, .name = "4", .width = 3, .bias = true},
	};
	static const struct model_spec spec = {.type = MODEL_CHAR_MLP,
		.loss = LOSS_CROSS_ENTROPY,
		.layer_count = 5,
		.layers = layers};
	static const struct dataset data = {.kind = SAMPLE_TEXT, .context = 2, .classes = 3};
	struct errmsg msg;

	assert_int_equal(model_init(m, &spec, &data, &msg), TK_OK);
	assert_int_equal(m->parameters, PARAMETERS);
	for (size_t i = 0; i < PARAMETERS; i++)
		parameters[i] = (float)i * -0.25f;
}

/* The header's text, NUL-terminated, and where the tensors' bytes begin. */
static const uint8_t *split(const struct bytes *file, char *header, size_t room)
{
	uint64_t n = load_le64(file->data);

	assert_true(n % 8 == 0 && n + 8 <= file->len && n < room);
	memcpy(header, file->data + 8, n);
	header[n] = '\0';
	return file->data + 8 + n;
}

static void the_header_names_every_tensor(void **state)
{
	float parameters[PARAMETERS];
	struct bytes file = {0};
	struct errmsg msg;
	char header[1024];
	struct model m;
	size_t end;

	(void)state;
	small_model(&m, parameters);
	assert_int_equal(safetensors_encode(&file, &m, parameters, NULL, &msg), TK_OK);
	split(&file, header, sizeof(header));
	for (end = strlen(header); header[end - 1] == ' '; end--)
		header[end - 1] = '\0';
	assert_string_equal(header,
		"{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]},"
		"\"2.weight\":{\"dtype\":\"F32\",\"shape\":[5,4],\"data_offsets\":[24,104]},"
		"\"2.bias\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[104,124]},"
		"\"4.weight\":{\"dtype\":\"F32\",\"shape\":[3,5],\"data_offsets\":[124,184]},"
		"\"4.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[184,196]}}");
	bytes_close(&file);
	model_close(&m);
}

/* Reads a tensor's offsets from the header, and gives its floats from the file. */
static const uint8_t *find_tensor(
	const char *header, const uint8_t *data, const char *name, size_t count)
{
	char quoted[80];
	const char *at;
	size_t begin;
	size_t end;

	snprintf(quoted, sizeof(quoted), "\"%s\":", name);
	at = strstr(header, quoted);
	assert_non_null(at);
	at = strstr(at, "\"data_offsets\":[");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "\"data_offsets\":[%zu,%zu]", &begin, &end), 2);
	assert_int_equal(end - begin, 4 * count);
	return data + begin;
}

static void every_float_is_read_back(void **state)
{
	float parameters[PARAMETERS];
	struct bytes file = {0};
	struct errmsg msg;
	const uint8_t *data;
	char header[1024];
	struct model m;

	(void)state;
	small_model(&m, parameters);
	assert_int_equal(safetensors_encode(&file, &m, parameters, NULL, &msg), TK_OK);
	data = split(&file, header, sizeof(header));
	assert_int_equal(data + 4 * PARAMETERS - file.data, file.len);
	for (uint32_t t = 0; t < m.tensor_count; t++) {
		const struct tensor *tensor = &m.tensors[t];
		const uint8_t *bytes = find_tensor(header, data, tensor->name, tensor->count);

		for (size_t i = 0; i < tensor->count; i++) {
			uint32_t bits = load_le32(bytes + 4 * i);
			float value;

			memcpy(&value, &bits, sizeof(value));
			assert_true(value == parameters[tensor->offset + i]);
		}
	}
	bytes_close(&file);
	model_close(&m);
}

static void metadata_is_escaped(void **state)
{
	static const char *const metadata[] = {
		"project", "licences", "a\"b\\", "tab\t€\x01\xff", NULL};
	static const char start[] =
		"{\"__metadata__\":{\"project\":\"licences\","
		"\"a\\\"b\\\\\":\"tab\\u0009€\\u0001\xef\xbf\xbd\"},\"0.weight\":";
	float parameters[PARAMETERS];
	struct bytes file = {0};
	struct errmsg msg;
	char header[1024];
	struct model m;

	(void)state;
	small_model(&m, parameters);
	assert_int_equal(safetensors_encode(&file, &m, parameters, metadata, &msg), TK_OK);
	split(&file, header, sizeof(header));
	assert_memory_equal(header, start, sizeof(start) - 1);
	bytes_close(&file);
	model_close(&m);
}

static void every_allocation_may_fail(void **state)
{
	float parameters[PARAMETERS];
	struct errmsg msg;
	struct model m;
	uint64_t after;

	(void)state;
	small_model(&m, parameters);
	for (after = 1;; after++) {
		struct bytes file = {0};
		int rc = bytes_append(&file, "before", 6);

		assert_int_equal(rc, TK_OK);
		mem_fail(after, 0);
		rc = safetensors_encode(&file, &m, parameters, NULL, &msg);
		mem_fail(0, 0);
		if (rc != TK_OK) {
			assert_int_equal(rc, TK_ENOMEM);
			assert_int_equal(file.len, 6);
			assert_memory_equal(file.data, "before", 6);
		}
		bytes_close(&file);
		if (rc == TK_OK)
			break;
	}
	assert_true(after > 1);
	model_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_names_every_tensor),
		cmocka_unit_test(every_float_is_read_back),
		cmocka_unit_test(metadata_is_escaped),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
