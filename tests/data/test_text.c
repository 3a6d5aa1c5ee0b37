/* Text: code points, vocabulary, windows, strict UTF-8; and any file as bytes. */
#include "tests/data/fixture.h"

#include "tasks/data/utf8.h"

static void text(struct fixture *f, const char *content, uint32_t context)
{
	f->spec.format = DATA_TEXT;
	f->spec.context = context;
	fixture_text(f, f->spec.path, "a", content);
}

static void code_points_become_tokens_in_ascending_order(void **state)
{
	static const uint8_t golden[] = {2, 0, 1, 0, 3, 0, 4, 0, 0, 0, 1, 0}; /* b a é € \n a */
	static const uint32_t vocabulary[] = {'\n', 'a', 'b', 0xe9, 0x20ac};
	struct fixture *f = *state;
	uint32_t tokens[2];
	uint32_t label;

	text(f, "baé€\na", 2);
	fixture_accept(f);
	assert_int_equal(f->d.kind, SAMPLE_TEXT);
	assert_int_equal(f->d.token, TOKEN_CHARACTER);
	assert_int_equal(f->d.label, LABEL_CLASS);
	assert_int_equal(f->d.features, 0);
	assert_int_equal(f->d.context, 2);
	assert_int_equal(f->d.classes, 5);
	assert_null(f->d.class_names);
	assert_memory_equal(f->d.vocabulary, vocabulary, sizeof(vocabulary));
	assert_int_equal(f->d.train.samples, 4);
	assert_int_equal(f->d.train.shard_samples, SHARD_BYTES / 2 - 2);
	assert_int_equal(f->d.validation.samples, 0);
	assert_int_equal(f->shards[0].len, sizeof(golden));
	assert_memory_equal(f->shards[0].data, golden, sizeof(golden));
	shard_sample_text(&f->d, bytes_span(&f->shards[0]), 3, tokens, &label, 1);
	assert_int_equal(tokens[0], 4);
	assert_int_equal(tokens[1], 0);
	assert_int_equal(label, 1);
}

static void line_ends_are_kept_and_the_byte_order_mark_is_not(void **state)
{
	struct fixture *f = *state;

	text(f,
		"\xef\xbb\xbf"
		"a\r\nb",
		1);
	fixture_accept(f);
	assert_int_equal(f->d.classes, 4);
	assert_int_equal(f->d.vocabulary[0], '\n');
	assert_int_equal(f->d.vocabulary[1], '\r');
	assert_int_equal(f->d.train.samples, 3);
}

static void bytes(struct fixture *f, const void *content, size_t n, uint32_t context)
{
	f->spec.format = DATA_TEXT;
	f->spec.token = TOKEN_BYTE;
	f->spec.context = context;
	fixture_bytes(f, f->spec.path, "a", content, n);
}

/* A byte order mark, a NUL and bytes that no UTF-8 has: all of them stay. */
static void every_byte_of_a_file_becomes_a_token(void **state)
{
	static const uint8_t file[] = {0xef, 0xbb, 0xbf, 0, 0xff, '\r', '\n', 0xc3};
	struct fixture *f = *state;
	uint32_t tokens[3], labels[3];

	bytes(f, file, sizeof(file), 3);
	fixture_accept(f);
	assert_int_equal(f->d.kind, SAMPLE_TEXT);
	assert_int_equal(f->d.token, TOKEN_BYTE);
	assert_int_equal(f->d.label, LABEL_CLASS);
	assert_int_equal(f->d.classes, BYTE_CLASSES);
	assert_null(f->d.vocabulary);
	assert_null(f->d.class_names);
	assert_int_equal(f->d.train.samples, sizeof(file) - 3);
	assert_int_equal(f->shards[0].len, 2 * sizeof(file));
	for (size_t i = 0; i < sizeof(file); i++) {
		assert_int_equal(f->shards[0].data[2 * i], file[i]);
		assert_int_equal(f->shards[0].data[2 * i + 1], 0);
	}
	shard_sample_text(&f->d, bytes_span(&f->shards[0]), 4, tokens, labels, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(tokens[i], file[4 + i]);
		assert_int_equal(labels[i], file[5 + i]);
	}
}

static void validation_bytes_are_the_end_or_a_file(void **state)
{
	struct fixture *f = *state;

	bytes(f, "abcabcdae", 9, 1);
	f->spec.validation_fraction = 0.3; /* 2.7 tokens */
	fixture_accept(f);
	assert_int_equal(f->d.train.samples, 5);
	assert_memory_equal(f->shards[1].data, ((uint8_t[]){'d', 0, 'a', 0, 'e', 0}), 6);
	f->spec.validation_fraction = 0;
	fixture_bytes(f, f->spec.validation_path, "b", "\xff\0\xff", 3);
	fixture_accept(f);
	assert_int_equal(f->d.train.samples, 8);
	assert_memory_equal(f->shards[1].data, ((uint8_t[]){255, 0, 0, 0, 255, 0}), 6);
}

static void bytes_that_cannot_be_learnt_are_refused(void **state)
{
	struct fixture *f = *state;

	bytes(f, "", 0, 1);
	fixture_refuse(f, TK_EINVAL, "a is empty", "bytes to learn from");
	bytes(f, "\0\0\0\0", 4, 1);
	fixture_refuse(f, TK_EINVAL, "a: the file is one byte, repeated", "nothing to predict");
	bytes(f, "\0", 1, 1);
	fixture_refuse(f, TK_EINVAL, "a: the file is one byte, repeated", "nothing to predict");
	bytes(f, "abc", 3, 3);
	fixture_refuse(f, TK_EINVAL, "the training text has 3 bytes", "at least 4");
	bytes(f, "abcdefgh", 8, 3);
	fixture_bytes(f, f->spec.validation_path, "b", "", 0);
	fixture_refuse(f, TK_EINVAL, "b: the validation text has 0 bytes", "at least 4");
}

static void the_end_of_the_text_is_the_validation(void **state)
{
	static const uint8_t end[] = {3, 0, 0, 0, 4, 0};
	struct fixture *f = *state;

	text(f, "abcabcdae", 1);
	f->spec.validation_fraction = 0.3; /* 2.7 tokens */
	fixture_accept(f);
	assert_int_equal(f->d.classes, 5); /* d and e only occur there */
	assert_int_equal(f->d.train.samples, 5);
	assert_int_equal(f->d.validation.samples, 2);
	assert_int_equal(f->shards[1].len, sizeof(end));
	assert_memory_equal(f->shards[1].data, end, sizeof(end));
}

static void a_validation_file_adds_to_the_vocabulary(void **state)
{
	struct fixture *f = *state;

	text(f, "aca", 1);
	fixture_text(f, f->spec.validation_path, "b", "abba");
	fixture_accept(f);
	assert_int_equal(f->d.classes, 3);
	assert_int_equal(f->d.train.samples, 2);
	assert_int_equal(f->d.validation.samples, 3);
	assert_memory_equal(f->shards[0].data, ((uint8_t[]){0, 0, 2, 0, 0, 0}), 6);
	assert_memory_equal(f->shards[1].data, ((uint8_t[]){0, 0, 1, 0, 1, 0, 0, 0}), 8);
}

static void neighbouring_shards_share_their_context(void **state)
{
	const size_t n = SHARD_BYTES / 2 + 100;
	const uint32_t context = 8;
	struct fixture *f = *state;
	char *long_text = malloc(n + 1);
	uint64_t each;

	assert_non_null(long_text);
	for (size_t i = 0; i < n; i++)
		long_text[i] = (char)('a' + i * i % 23);
	long_text[n] = '\0';
	text(f, long_text, context);
	fixture_accept(f);
	each = f->d.train.shard_samples;
	assert_int_equal(f->d.train.shards, 2);
	assert_int_equal(f->d.train.samples, n - context);
	assert_int_equal(f->shards[0].len, SHARD_BYTES);
	assert_int_equal(f->shards[1].len, (n - each) * 2);
	for (uint64_t i = each - 3; i < n - context; i++) {
		const struct bytes *shard = &f->shards[i / each];
		uint32_t tokens[8];
		uint32_t label;

		shard_sample_text(&f->d, bytes_span(shard), i % each, tokens, &label, 1);
		for (uint32_t k = 0; k < context; k++)
			assert_int_equal(f->d.vocabulary[tokens[k]], long_text[i + k]);
		assert_int_equal(f->d.vocabulary[label], long_text[i + context]);
	}
	free(long_text);
}

static void ill_formed_utf8_is_refused_with_line_offset_and_remedy(void **state)
{
	static const char *const cases[] = {
		"ab\nc\xff",
		"ab\nc\xe9t",
		"ab\nc\x80",
		"ab\nc\xc0\xaf",
		"ab\nc\xed\xa0\x80",
		"ab\nc\xf4\x90\x80\x80",
		"ab\nc\xe2\x82",
		"ab\nc\xf0\x82\x82\xac",
		"ab\nc\xf8\x88\x80\x80\x80",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		text(f, cases[i], 1);
		fixture_refuse(f, TK_EINVAL, "a:2: byte 0x", "at offset 4 is not UTF-8");
		fixture_refuse(f, TK_EINVAL, "iconv -f", "-t UTF-8");
	}
	f->spec.format = DATA_TEXT;
	fixture_bytes(f, f->spec.path, "a", "a\0b\0", 4);
	fixture_refuse(f, TK_EINVAL, "a:1: byte 0x00 at offset 1", "iconv -f UTF-16");
	fixture_refuse(f, TK_EINVAL, "learn its bytes", "data.tokens: bytes");
	text(f, "fine", 1);
	fixture_text(f, f->spec.validation_path, "b", "\n\nnot\xfe");
	fixture_refuse(f, TK_EINVAL, "b:3: byte 0xfe at offset 5", "iconv");
}

static void every_code_point_survives_and_nothing_else_decodes(void **state)
{
	uint32_t good = 0;

	(void)state;
	for (uint32_t c = 0; c < 0x120000; c++) {
		uint8_t b[4] = {(uint8_t)(0xf0 | c >> 18), (uint8_t)(0x80 | (c >> 12 & 63)),
			(uint8_t)(0x80 | (c >> 6 & 63)), (uint8_t)(0x80 | (c & 63))};
		uint32_t got = UINT32_MAX;
		size_t skip = c < 0x80 ? 3 : c < 0x800 ? 2 : c < 0x10000 ? 1 : 0;
		bool valid = c < 0xd800 || (c > 0xdfff && c < 0x110000);

		b[skip] = (uint8_t)(skip == 3	? c
				    : skip == 2 ? 0xc0 | c >> 6
				    : skip == 1 ? 0xe0 | c >> 12
						: b[0]);
		assert_int_equal(utf8_decode(b + skip, 4 - skip, &got), valid ? 4 - skip : 0);
		if (valid)
			assert_int_equal(got, c);
		good += valid;
		if (valid && skip < 3) /* cut off */
			assert_int_equal(utf8_decode(b + skip, 3 - skip, &got), 0);
	}
	assert_int_equal(good, 0x110000 - 0x800);
}

static void quoted_text_is_short_and_safe_for_a_terminal(void **state)
{
	char out[UTF8_QUOTED];
	char many[1000];

	(void)state;
	assert_string_equal(utf8_quote(out, "né"), "\"né\"");
	assert_string_equal(utf8_quote(out, ""), "\"\"");
	assert_string_equal(utf8_quote(out, "\x1b[2J\n\xff\xc2\x9b"), "\"?[2J???\"");
	memset(many, 'x', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	utf8_quote(out, many);
	assert_true(strlen(out) < sizeof(out));
	assert_non_null(strstr(out, "x…\""));
}

static void a_text_too_short_for_its_context_is_refused(void **state)
{
	struct fixture *f = *state;

	text(f, "abc", 3);
	fixture_refuse(f, TK_EINVAL, "the training text has 3 characters", "at least 4");
	text(f, "abcdefgh", 3);
	fixture_accept(f);
	f->spec.validation_fraction = 0.1;
	fixture_refuse(f, TK_EINVAL, "the validation text has 1 characters", "model.context");
	f->spec.validation_fraction = 0.9;
	fixture_refuse(f, TK_EINVAL, "the training text has 1 characters", "longer text");
	f->spec.validation_fraction = 0;
	fixture_text(f, f->spec.validation_path, "b", "");
	fixture_refuse(f, TK_EINVAL, "b: the validation text has 0 characters", "at least 4");
}

static void texts_that_cannot_be_learnt_are_refused(void **state)
{
	struct fixture *f = *state;
	char *many = malloc(4 * 70000);
	size_t used = 0;

	assert_non_null(many);
	text(f, "aaaaaaa", 2);
	fixture_refuse(f, TK_EINVAL, "a: the text is one character", "nothing to predict");
	text(f, "", 2);
	fixture_refuse(f, TK_EINVAL, "a is empty", "text to learn from");
	text(f, "abc", 0);
	fixture_refuse(f, TK_EINVAL, "model.context is 0", "1 to 4096");
	text(f, "abc", CONTEXT_MAX + 1);
	fixture_refuse(f, TK_EINVAL, "model.context is 4097", "1 to 4096");
	for (uint32_t c = 0x10000; c < 0x10000 + CLASSES_MAX + 1; c++) {
		many[used++] = (char)(0xf0 | c >> 18);
		many[used++] = (char)(0x80 | (c >> 12 & 63));
		many[used++] = (char)(0x80 | (c >> 6 & 63));
		many[used++] = (char)(0x80 | (c & 63));
	}
	f->spec.context = 1;
	fixture_bytes(f, f->spec.path, "a", many, used);
	fixture_refuse(f, TK_ELIMIT, "a: the text has 65537 different characters", "at most 65536");
	fixture_bytes(f, f->spec.path, "a", many, used - 4);
	fixture_accept(f);
	assert_int_equal(f->d.classes, CLASSES_MAX);
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(code_points_become_tokens_in_ascending_order),
		FIXTURE_TEST(line_ends_are_kept_and_the_byte_order_mark_is_not),
		FIXTURE_TEST(every_byte_of_a_file_becomes_a_token),
		FIXTURE_TEST(validation_bytes_are_the_end_or_a_file),
		FIXTURE_TEST(bytes_that_cannot_be_learnt_are_refused),
		FIXTURE_TEST(the_end_of_the_text_is_the_validation),
		FIXTURE_TEST(a_validation_file_adds_to_the_vocabulary),
		FIXTURE_TEST(neighbouring_shards_share_their_context),
		FIXTURE_TEST(ill_formed_utf8_is_refused_with_line_offset_and_remedy),
		cmocka_unit_test(every_code_point_survives_and_nothing_else_decodes),
		cmocka_unit_test(quoted_text_is_short_and_safe_for_a_terminal),
		FIXTURE_TEST(a_text_too_short_for_its_context_is_refused),
		FIXTURE_TEST(texts_that_cannot_be_learnt_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
