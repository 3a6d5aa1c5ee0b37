/* Models as safetensors, written and read again: whole, with a weight that two layers share, cut, and with bits
 * flipped. */
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
/* A small model of that type, its parameters from the seed, and the file that the writer makes of it. */
struct written {
	struct tiny tiny;
	struct model model;
	float *parameters, *again;
	struct bytes file;
};

static void written_init(struct written *w, enum model_type type)
{
	static const char *const metadata[] = {"format", "pt", NULL};
	struct errmsg msg;

	memset(w, 0, sizeof(*w));
	assert_true(tiny_init(&w->tiny, type));
	assert_int_equal(
		model_init(&w->model, &w->tiny.recipe.model, &w->tiny.recipe.data, &msg), TK_OK);
	w->parameters = mem_floats(w->model.parameters);
	w->again = mem_floats(w->model.parameters);
	assert_true(w->parameters != NULL && w->again != NULL);
	model_initialize(&w->model, 5, w->parameters);
	assert_int_equal(
		safetensors_encode(&w->file, &w->model, w->parameters, metadata, &msg), TK_OK);
}

static void written_close(struct written *w)
{
	bytes_close(&w->file);
	mem_free(w->again);
	mem_free(w->parameters);
	model_close(&w->model);
	tiny_close(&w->tiny);
}

static void what_is_written_is_read(void **state)
{
	static const enum model_type types[] = {
		MODEL_LOGISTIC, MODEL_MLP, MODEL_CHAR_MLP, MODEL_CNN, MODEL_GPT};

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct errmsg msg = {""};
		struct written w;

		written_init(&w, types[i]);
		if (safetensors_load(&w.model, bytes_span(&w.file), w.again, &msg) != TK_OK)
			fail_msg("%s", msg.text);
		assert_memory_equal(w.parameters, w.again, 4 * w.model.parameters);
		written_close(&w);
	}
}

/* The file of a tied model, in which lm_head.weight is last: with another type, shape or first number. */
static void change_tied(struct bytes *out, const struct written *w, const char *type,
	const char *shape, float first)
{
	static const char written[] = "\"lm_head.weight\":{\"dtype\":\"F32\",\"shape\":[6,8]";
	uint64_t n = load_le64(w->file.data);
	uint8_t *weight;
	uint32_t bits;
	char *at;

	assert_int_equal(bytes_append(out, w->file.data, w->file.len), TK_OK);
	at = memmem(out->data + 8, (size_t)n, written, sizeof(written) - 1);
	assert_non_null(at);
	memcpy(at + sizeof(written) - 1 - 5, shape, 5);
	memcpy(strstr(at, "F32"), type, 3);
	weight = out->data + 8 + n + 4 * w->model.parameters;
	assert_ptr_equal(weight + 4 * 6 * 8, out->data + out->len);
	assert_memory_equal(weight, out->data + 8 + n, 4 * 6 * 8);
	memcpy(&bits, &first, sizeof(bits));
	store_le32(weight, bits);
}

/* The same without it: what came before it is all there is. */
static void drop_tied(struct bytes *out, const struct written *w)
{
	uint64_t n = load_le64(w->file.data);
	char *header = mem_dup(w->file.data + 8, (size_t)n);
	char *at;

	assert_non_null(header);
	at = memmem(header, (size_t)n, ",\"lm_head", 9);
	assert_non_null(at);
	strcpy(at, "}");
	write_file(out, header, w->file.data + 8 + n, 4 * w->model.parameters);
	mem_free(header);
}

/* The same with the name of the tied layer alone, which is what safetensors' save_model writes. */
static void keep_tied(struct bytes *out, const struct written *w, const char *shape)
{
	static const char before[] =
		"\"transformer.wte.weight\":{\"dtype\":\"F32\",\"shape\":[6,8]";
	struct bytes dropped = {0};
	uint64_t n;
	char header[8192];
	char *at;

	drop_tied(&dropped, w);
	n = load_le64(dropped.data);
	at = memmem(dropped.data + 8, (size_t)n, before, sizeof(before) - 1);
	assert_non_null(at);
	snprintf(header, sizeof(header),
		"%.*s\"lm_head.weight\":{\"dtype\":\"F32\",\"shape\":%s%.*s",
		(int)(at - (char *)dropped.data - 8), (char *)dropped.data + 8, shape,
		(int)((char *)dropped.data + 8 + n - at - (sizeof(before) - 1)),
		at + sizeof(before) - 1);
	write_file(out, header, dropped.data + 8 + n, 4 * w->model.parameters);
	bytes_close(&dropped);
}

static void a_tied_weight_may_stand_there_under_the_tied_layers_name_alone(void **state)
{
	struct bytes file = {0};
	struct errmsg msg = {""};
	struct written w;

	(void)state;
	written_init(&w, MODEL_GPT);
	keep_tied(&file, &w, "[6,8]");
	if (safetensors_load(&w.model, bytes_span(&file), w.again, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	assert_memory_equal(w.parameters, w.again, 4 * w.model.parameters);
	bytes_close(&file);
	keep_tied(&file, &w, "[8,6]");
	assert_int_equal(safetensors_load(&w.model, bytes_span(&file), w.again, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "lm_head.weight has the shape (8, 6) in the file"));
	bytes_close(&file);
	written_close(&w);
}

static void a_tied_weight_stands_there_twice_or_once(void **state)
{
	struct bytes file = {0};
	struct errmsg msg = {""};
	struct written w;

	(void)state;
	written_init(&w, MODEL_GPT);
	drop_tied(&file, &w);
	if (safetensors_load(&w.model, bytes_span(&file), w.again, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	assert_memory_equal(w.parameters, w.again, 4 * w.model.parameters);
	bytes_close(&file);
	change_tied(&file, &w, "F32", "[6,8]", w.parameters[0] + 1);
	assert_int_equal(safetensors_load(&w.model, bytes_span(&file), w.again, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "\"lm_head.weight\" differs from transformer.wte.weight"));
	bytes_close(&file);
	change_tied(&file, &w, "F32", "[8,6]", w.parameters[0]);
	assert_int_equal(safetensors_load(&w.model, bytes_span(&file), w.again, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "lm_head.weight has the shape (8, 6) in the file"));
	bytes_close(&file);
	change_tied(&file, &w, "I32", "[6,8]", w.parameters[0]);
	assert_int_equal(safetensors_load(&w.model, bytes_span(&file), w.again, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "lm_head.weight holds no floating-point numbers"));
	bytes_close(&file);
	written_close(&w);
}

/* Loads from memory of exactly that size. A refusal leaves the parameters alone and says something. */
static int load_exactly(struct written *w, const uint8_t *data, size_t n)
{
	uint8_t *exact = malloc(n != 0 ? n : 1);
	struct errmsg msg = {""};
	int rc;

	assert_non_null(exact);
	memcpy(exact, data, n);
	memset(w->again, 0, 4 * w->model.parameters);
	rc = safetensors_load(&w->model, span_of(exact, n), w->again, &msg);
	for (size_t i = 0; rc != TK_OK && i < w->model.parameters; i++)
		assert_true(w->again[i] == 0);
	assert_true(rc == TK_OK || msg.text[0] != '\0');
	free(exact);
	return rc;
}

static void a_file_cut_anywhere_is_refused(void **state)
{
	struct written w;

	(void)state;
	written_init(&w, MODEL_MLP);
	for (size_t n = 0; n < w.file.len; n++)
		assert_int_not_equal(load_exactly(&w, w.file.data, n), TK_OK);
	assert_int_equal(load_exactly(&w, w.file.data, w.file.len), TK_OK);
	written_close(&w);
}

static void flipped_bits_are_refused_or_change_a_number(void **state)
{
	const uint64_t seed = 20260411;
	unsigned accepted = 0;
	unsigned refusals = 0;
	struct written w;
	uint8_t *damaged;

	(void)state;
	print_message("# seed %llu\n", (unsigned long long)seed);
	written_init(&w, MODEL_MLP);
	damaged = malloc(w.file.len);
	assert_non_null(damaged);
	for (uint64_t run = 0; run < 20000; run++) {
		uint32_t dice[4];

		philox(dice, seed, 1002, 0, run);
		memcpy(damaged, w.file.data, w.file.len);
		for (uint32_t k = 0; k <= dice[0] % 3; k++) {
			size_t at = dice[k + 1] % w.file.len;

			/* mostly the header, which is where the rules are */
			if (dice[k + 1] >> 30 != 0)
				at %= (size_t)load_le64(w.file.data) + 8;
			damaged[at] ^= (uint8_t)(1u << (dice[0] >> (8 + 3 * k)) % 8);
		}
		if (load_exactly(&w, damaged, w.file.len) == TK_OK)
			accepted++;
		else
			refusals++;
	}
	assert_true(accepted > 100 && refusals > 10000);
	free(damaged);
	written_close(&w);
}

static void every_allocation_may_fail(void **state)
{
	struct written w;
	uint64_t after;

	(void)state;
	written_init(&w, MODEL_GPT);
	for (after = 1;; after++) {
		struct errmsg msg = {""};
		int rc;

		mem_fail(after, 0);
		rc = safetensors_load(&w.model, bytes_span(&w.file), w.again, &msg);
		mem_fail(0, 0);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
		assert_true(w.again[0] == 0 && msg.text[0] != '\0');
	}
	assert_true(after > 2);
	written_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_tied_weight_stands_there_twice_or_once),
		cmocka_unit_test(a_tied_weight_may_stand_there_under_the_tied_layers_name_alone),
		cmocka_unit_test(a_file_cut_anywhere_is_refused),
		cmocka_unit_test(flipped_bits_are_refused_or_change_a_number),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
