/* The safetensors reader: what the writer wrote comes back, each rule of the format refuses with words of
 * its own, and no damaged file does more than be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/math/philox.h"
#include "tasks/model/safetensors.h"
#include "tests/lib/tiny.h"
#include "tests/model/safetensors_file.h"

/* Opens the file from memory of exactly its size, so that reading past its end is seen. */
static int open_file(struct safetensors *s, struct span file, struct errmsg *msg, uint8_t **memory)
{
	*memory = malloc(file.len + 1);
	assert_non_null(*memory);
	if (file.len != 0)
		memcpy(*memory + 1, file.data, file.len);
	return safetensors_open(s, span_of(*memory + 1, file.len), msg);
}

static void refused(struct span file, int code, const char *says)
{
	struct safetensors s = {.count = 77};
	struct errmsg msg = {""};
	uint8_t *memory;
	int rc = open_file(&s, file, &msg, &memory);

	if (rc != code || strstr(msg.text, says) == NULL)
		fail_msg("wanted %s with \"%s\", got %s: %s", error_name(code), says,
			error_name(rc), msg.text);
	assert_int_equal(s.count, 77);
	free(memory);
}

static void refused_header(const char *header, size_t data, int code, const char *says)
{
	static const uint8_t zeros[64];
	struct bytes file = {0};

	assert_true(data <= sizeof(zeros));
	write_file(&file, header, zeros, data);
	refused(bytes_span(&file), code, says);
	bytes_close(&file);
}

static void lengths_and_headers_are_refused(void **state)
{
	static const char *const no_json[] = {"{]", "{\"a\":1", "{} x", "{\"a\" 1}", "{\"\xff\":1}",
		"{\"a\\u0000\":1}", "{\"a\":NaN}"};
	uint8_t file[32] = {0};
	uint8_t *large;

	(void)state;
	refused(span_of("", 0), TK_ECORRUPT, "0 bytes are too few");
	refused(span_of("\2\0\0\0\0\0\0\0{", 9), TK_ECORRUPT, "9 bytes are too few");
	store_le64(file, sizeof(file) - 7);
	refused(span_of(file, sizeof(file)), TK_ECORRUPT, "past the end of the file");
	store_le64(file, UINT64_MAX);
	refused(span_of(file, sizeof(file)), TK_ECORRUPT, "past the end of the file");
	store_le64(file, 1);
	refused(span_of(file, sizeof(file)), TK_ECORRUPT, "past the end of the file");
	large = calloc(1, SAFETENSORS_HEADER_MAX + 9);
	assert_non_null(large);
	store_le64(large, SAFETENSORS_HEADER_MAX + 1);
	refused(span_of(large, SAFETENSORS_HEADER_MAX + 9), TK_ELIMIT, "at most 8388608");
	free(large);
	refused_header(" {}", 0, TK_ECORRUPT, "is no JSON object");
	refused_header("[1]", 0, TK_ECORRUPT, "is no JSON object");
	for (size_t i = 0; i < sizeof(no_json) / sizeof(no_json[0]); i++)
		refused_header(no_json[i], 0, TK_ECORRUPT, "is no valid JSON");
	refused_header("{\"__metadata__\":[]}", 0, TK_ECORRUPT, "not an object of texts");
	refused_header("{\"__metadata__\":null}", 0, TK_ECORRUPT, "not an object of texts");
	refused_header("{\"__metadata__\":{\"a\":1}}", 0, TK_ECORRUPT, "is not a text");
}

#define SHAPED(shape)	"{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[0,8]}}"
#define PLACED(offsets) "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets "}}"

static void tensors_are_refused(void **state)
{
	static const struct {
		const char *header, *says;
	} cases[] = {
		{"{\"a\":1}", "must have dtype, shape and data_offsets and nothing else"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "nothing else"},
		{"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", "nothing else"},
		{"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "nothing else"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":0}}",
			"nothing else"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"offsets\":[0,8]}}", "nothing else"},
		{"{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}",
			"has no dtype that is known"},
		{"{\"a\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}",
			"has no dtype that is known"},
		{SHAPED("2"), "has no shape"},
		{SHAPED("{}"), "has no shape"},
		{SHAPED("[1,1,1,1,1,1,1,1,2]"), "more than 8 dimensions"},
		{SHAPED("[-2]"), "a side that is no natural number"},
		{SHAPED("[2.0]"), "a side that is no natural number"},
		{SHAPED("[\"2\"]"), "a side that is no natural number"},
		{SHAPED("[99999999999999999999]"), "is no valid JSON"},
		{SHAPED("[9223372036854775807]"), "a shape whose size overflows"},
		{SHAPED("[4294967296,4294967296]"), "a shape whose size overflows"},
		{SHAPED("[4294967296,4294967296,0]"), "a shape whose size overflows"},
		{SHAPED("[3]"), "more or fewer bytes than its shape"},
		{SHAPED("[]"), "more or fewer bytes than its shape"},
		{SHAPED("[2,0]"), "more or fewer bytes than its shape"},
		{PLACED("8"), "no data_offsets of two natural numbers"},
		{PLACED("[8]"), "no data_offsets of two natural numbers"},
		{PLACED("[0,8,8]"), "no data_offsets of two natural numbers"},
		{PLACED("[-8,0]"), "no data_offsets of two natural numbers"},
		{PLACED("[0.0,8]"), "no data_offsets of two natural numbers"},
		{PLACED("[-0,8]"), "has -0 (byte 48), which is no natural number"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[-0],\"data_offsets\":[0,0]},"
		 "\"b-\\\"-\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
			"has -0 (byte 28), which is no natural number"},
		{PLACED("[8,0]"), "lies outside the file"},
		{PLACED("[0,9]"), "lies outside the file"},
		{PLACED("[8,16]"), "lies outside the file"},
		{PLACED("[9223372036854775800,9223372036854775807]"), "lies outside the file"},
		{PLACED("[0,4]"), "more or fewer bytes than its shape"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused_header(cases[i].header, 8, TK_ECORRUPT, cases[i].says);
	refused_header("{\"a\\nb\":1}", 8, TK_ECORRUPT, "the tensor \"a?b\" must have");
}

#define TENSOR(name, count, offsets)                                                               \
	"\"" name "\":{\"dtype\":\"U8\",\"shape\":[" count "],\"data_offsets\":[" offsets "]}"

static void the_bytes_must_be_covered_exactly_once(void **state)
{
	(void)state;
	refused_header("{" TENSOR("a", "4", "0,4") "," TENSOR("a", "4", "4,8") "}", 8, TK_ECORRUPT,
		"names something twice");
	refused_header("{" TENSOR("a", "5", "0,5") "," TENSOR("b", "4", "4,8") "}", 8, TK_ECORRUPT,
		"\"b\" overlaps the one before it");
	refused_header("{" TENSOR("b", "8", "0,8") "," TENSOR("a", "8", "0,8") "}", 8, TK_ECORRUPT,
		"overlaps the one before it");
	refused_header("{" TENSOR("b", "4", "4,8") "," TENSOR("a", "3", "0,3") "}", 8, TK_ECORRUPT,
		"\"b\" leaves a hole after the one before it");
	refused_header(
		"{" TENSOR("a", "7", "1,8") "}", 8, TK_ECORRUPT, "\"a\" leaves a hole after");
	refused_header("{" TENSOR("a", "4", "0,4") "}", 7, TK_ECORRUPT,
		"3 bytes at the end belong to no tensor");
	refused_header("{}", 1, TK_ECORRUPT, "1 bytes at the end belong to no tensor");
}

static void whatever_the_format_allows_is_read(void **state)
{
	static const char header[] = "{" TENSOR("b", "2,2", "4,8") "," TENSOR(
		"none", "0", "4,4") ","
				    "\"__metadata__\":{\"format-0\":\"\\\\\\\"-0\"}," TENSOR("a",
					    "2,1,2", "0,4") ",\"\":"
							    "{\"data_offsets\":[8,16],\"shape\":[],"
							    "\"dtype\":\"F64\"}}   \n";
	const struct safetensors_entry *e;
	uint8_t data[16] = {1, 2, 3, 4, 5};
	struct bytes file = {0};
	struct safetensors s;
	struct errmsg msg;
	uint8_t *memory;

	(void)state;
	write_file(&file, header, data, sizeof(data));
	assert_int_equal(open_file(&s, bytes_span(&file), &msg, &memory), TK_OK);
	assert_int_equal(s.count, 4);
	e = safetensors_find(&s, "b");
	assert_non_null(e);
	assert_int_equal(e->type, SAFETENSORS_OTHER);
	assert_true(e->dimensions == 2 && e->shape[0] == 2 && e->shape[1] == 2);
	assert_true(e->bytes.len == 4 && e->bytes.data[0] == 5);
	e = safetensors_find(&s, "");
	assert_true(e != NULL && e->type == SAFETENSORS_F64 && e->dimensions == 0);
	e = safetensors_find(&s, "none");
	assert_true(e != NULL && e->bytes.len == 0);
	assert_null(safetensors_find(&s, "c"));
	assert_null(safetensors_find(&s, "__metadata__"));
	safetensors_close(&s);
	free(memory);
	bytes_close(&file);
}

/* Linear(2 → 1) with bias: "0.weight" (1,2) and "0.bias" (1). */
static void line_model(struct model *m)
{
	static struct layer layers[] = {
		{.type = LAYER_LINEAR, .name = "0", .width = 1, .bias = true}};
	static const struct model_spec spec = {.type = MODEL_LOGISTIC,
		.loss = LOSS_SQUARED_ERROR,
		.layer_count = 1,
		.layers = layers};
	static const struct dataset data = {
		.kind = SAMPLE_F32, .features = 2, .label = LABEL_NUMBER};
	struct errmsg msg;

	assert_int_equal(model_init(m, &spec, &data, &msg), TK_OK);
	assert_int_equal(m->parameters, 3);
}

/* Reads three numbers of `size` bytes each as the line's parameters. */
static int load_line(
	float out[3], const char *dtype, size_t size, const uint64_t bits[3], struct errmsg *msg)
{
	struct bytes file = {0};
	uint8_t data[24];
	char header[256];
	struct model m;
	int rc;

	for (size_t i = 0; i < 3; i++) {
		uint8_t le[8];

		store_le64(le, bits[i]);
		memcpy(data + i * size, le, size);
	}
	snprintf(header, sizeof(header),
		"{\"0.weight\":{\"dtype\":\"%s\",\"shape\":[1,2],\"data_offsets\":[0,%zu]},"
		"\"0.bias\":{\"dtype\":\"%s\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}}",
		dtype, 2 * size, dtype, 2 * size, 3 * size);
	write_file(&file, header, data, 3 * size);
	line_model(&m);
	rc = safetensors_load(&m, bytes_span(&file), out, msg);
	model_close(&m);
	bytes_close(&file);
	return rc;
}

static void every_type_becomes_float32(void **state)
{
	static const struct {
		const char *dtype;
		size_t size;
		uint64_t bits[3];
		uint32_t wanted[3];
	} cases[] = {
		{"F32", 4, {0x3f800000, 0x80000000, 0x00000001}, {0x3f800000, 0x80000000, 1}},
		{"F32", 4, {0x7f7fffff, 0xff7fffff, 0}, {0x7f7fffff, 0xff7fffff, 0}},
		/* 1, −0, the smallest subnormal 2^-24 */
		{"F16", 2, {0x3c00, 0x8000, 0x0001}, {0x3f800000, 0x80000000, 0x33800000}},
		/* the largest subnormal and smallest normal number, the largest: 65504 */
		{"F16", 2, {0x83ff, 0x0400, 0x7bff}, {0xb87fc000, 0x38800000, 0x477fe000}},
		/* 1/3 in binary16, −2, 3·2^-24 */
		{"F16", 2, {0x3555, 0xc000, 0x0003}, {0x3eaaa000, 0xc0000000, 0x34400000}},
		{"BF16", 2, {0x3f80, 0x8000, 0x0001}, {0x3f800000, 0x80000000, 0x00010000}},
		{"BF16", 2, {0x7f7f, 0xc049, 0x0080}, {0x7f7f0000, 0xc0490000, 0x00800000}},
		/* 0.1; −0; 2^-149 + 2^-150, which lies between two subnormals: to the even one */
		{"F64", 8, {0x3fb999999999999a, 0x8000000000000000, 0x36a8000000000000},
			{0x3dcccccd, 0x80000000, 0x00000002}},
		/* ties to even, both ways; just below the tie over the largest float32 */
		{"F64", 8, {0x3ff0000010000000, 0x3ff0000030000000, 0x47efffffefffffff},
			{0x3f800000, 0x3f800002, 0x7f7fffff}},
		/* 2^-150 ties to +0, and what is barely more does not */
		{"F64", 8, {0x3690000000000000, 0x3690000000000001, 0x0000000000000001},
			{0, 0x00000001, 0}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		float out[3] = {7, 7, 7};
		struct errmsg msg = {""};
		uint32_t bits[3];

		if (load_line(out, cases[i].dtype, cases[i].size, cases[i].bits, &msg) != TK_OK)
			fail_msg("%zu: %s", i, msg.text);
		memcpy(bits, out, sizeof(bits));
		for (int k = 0; k < 3; k++)
			if (bits[k] != cases[i].wanted[k])
				fail_msg("%s %llx: %08x, wanted %08x", cases[i].dtype,
					(unsigned long long)cases[i].bits[k], bits[k],
					cases[i].wanted[k]);
	}
}

static void what_is_not_finite_is_refused(void **state)
{
	static const struct {
		const char *dtype;
		size_t size;
		uint64_t bits;
	} cases[] = {
		{"F32", 4, 0x7f800000},
		{"F32", 4, 0xff800000},
		{"F32", 4, 0x7fc00000},
		{"F32", 4, 0xff800001},
		{"F16", 2, 0x7c00},
		{"F16", 2, 0xfe00},
		{"BF16", 2, 0xff80},
		{"BF16", 2, 0x7fc0},
		{"F64", 8, 0x7ff0000000000000},
		{"F64", 8, 0xfff8000000000000},
		{"F64", 8, 0x47effffff0000000}, /* rounds to infinity */
		{"F64", 8, 0x7fefffffffffffff},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint64_t bits[3] = {0, cases[i].bits, 0};
		float out[3] = {7, 7, 7};
		struct errmsg msg = {""};

		assert_int_equal(
			load_line(out, cases[i].dtype, cases[i].size, bits, &msg), TK_EINVAL);
		assert_string_equal(msg.text, "0.weight: element 1 is not a finite number");
		assert_true(out[0] == 7 && out[1] == 7 && out[2] == 7);
	}
}

static void only_the_models_own_tensors_are_accepted(void **state)
{
#define LINE(weight, bias, more)                                                                   \
	"{\"0.weight\":{\"dtype\":\"F32\",\"shape\":" weight ",\"data_offsets\":[0,8]}," bias      \
	":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}" more "}"
#define MORE ",\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[12,16]}"
	static const struct {
		const char *header;
		size_t data;
		const char *says;
	} cases[] = {
		{LINE("[1,2]", "\"1.bias\"", ""), 12, "lacks the tensor 0.bias"},
		{LINE("[2,1]", "\"0.bias\"", ""), 12,
			"0.weight has the shape (2, 1) in the file and (1, 2) in this model"},
		{LINE("[2]", "\"0.bias\"", ""), 12, "has the shape (2) in the file and (1, 2)"},
		{LINE("[1,2,1]", "\"0.bias\"", ""), 12, "has the shape (1, 2, 1) in the file"},
		{LINE("[1,2]", "\"0.bias\"", MORE), 16, "has a tensor \"x\", which this model"},
		{"{\"0.weight\":{\"dtype\":\"I32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
		 "\"0.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
			12, "0.weight holds no floating-point numbers"},
		{"{}", 0, "lacks the tensor 0.weight"},
		{"{ x", 0, "is no valid JSON"},
	};
	static const uint8_t zeros[16];
	struct model m;

	(void)state;
	line_model(&m);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		float out[3] = {7, 7, 7};
		struct errmsg msg = {""};
		struct bytes file = {0};

		write_file(&file, cases[i].header, zeros, cases[i].data);
		assert_int_not_equal(safetensors_load(&m, bytes_span(&file), out, &msg), TK_OK);
		if (strstr(msg.text, cases[i].says) == NULL)
			fail_msg("wanted \"%s\", got: %s", cases[i].says, msg.text);
		assert_true(out[0] == 7 && out[1] == 7 && out[2] == 7);
		bytes_close(&file);
	}
	model_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths_and_headers_are_refused),
		cmocka_unit_test(tensors_are_refused),
		cmocka_unit_test(the_bytes_must_be_covered_exactly_once),
		cmocka_unit_test(whatever_the_format_allows_is_read),
		cmocka_unit_test(every_type_becomes_float32),
		cmocka_unit_test(what_is_not_finite_is_refused),
		cmocka_unit_test(only_the_models_own_tensors_are_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
