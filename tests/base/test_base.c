/* The foundations: bytes, digests as trees, MessagePack with limits, files, signatures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tasks/base/file.h"
#include "tasks/base/key.h"
#include "tasks/base/mem.h"
#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"

static void digest_of_abc_is_the_published_one(void **state)
{
	/* BLAKE2b-256("abc"), computed with another implementation (Python's hashlib). */
	static const char want[] =
		"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319";
	struct digest d;
	char hex[DIGEST_HEX];

	(void)state;
	digest_bytes(&d, "abc", 3);
	digest_hex(hex, &d);
	assert_string_equal(hex, want);
}

/* The blob tree again, by RFC 6962's recursive definition. */
static void top_of(struct digest *out, const uint8_t *p, size_t n)
{
	size_t leaves = n == 0 ? 1 : (n + BLOB_LEAF - 1) / BLOB_LEAF;
	uint8_t *buffer = malloc(n + 65);
	struct digest left, right;
	size_t k = 1;

	if (leaves == 1) {
		buffer[0] = 0;
		memcpy(buffer + 1, p, n);
		digest_bytes(out, buffer, n + 1);
	} else {
		while (k * 2 < leaves)
			k *= 2;
		top_of(&left, p, k * BLOB_LEAF);
		top_of(&right, p + k * BLOB_LEAF, n - k * BLOB_LEAF);
		buffer[0] = 1;
		memcpy(buffer + 1, left.b, 32);
		memcpy(buffer + 33, right.b, 32);
		digest_bytes(out, buffer, 65);
	}
	free(buffer);
}

static void blob_digest_equals_its_recursive_definition(void **state)
{
	const size_t sizes[] = {0, 1, BLOB_LEAF - 1, BLOB_LEAF, BLOB_LEAF + 1, 3 * BLOB_LEAF,
		5 * BLOB_LEAF + 7, 13 * BLOB_LEAF};
	uint8_t *data = malloc(13 * (size_t)BLOB_LEAF);

	(void)state;
	for (size_t i = 0; i < 13 * (size_t)BLOB_LEAF; i++)
		data[i] = (uint8_t)(i * 31 + i / 977);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct digest got, want;
		uint8_t root[41] = {2};

		digest_blob(&got, data, sizes[i]);
		top_of(&want, data, sizes[i]);
		store_le64(root + 1, sizes[i]);
		memcpy(root + 9, want.b, 32);
		digest_bytes(&want, root, sizeof(root));
		assert_true(digest_equal(&got, &want));
	}
	free(data);
}

static void numbers_read_back_as_they_were_packed(void **state)
{
	const uint64_t values[] = {0, 127, 128, 255, 256, 65535, 65536, UINT32_MAX,
		(uint64_t)UINT32_MAX + 1, UINT64_MAX};
	struct bytes b = {0};
	struct mp_reader r;
	struct packer p;

	(void)state;
	pack_begin(&p, &b);
	pack_array(&p, 12);
	for (size_t i = 0; i < 10; i++)
		pack_u64(&p, values[i]);
	pack_f32(&p, 1.5f);
	pack_text(&p, "Zoë");
	assert_int_equal(pack_end(&p), TK_OK);
	mp_begin(&r, bytes_span(&b));
	assert_int_equal(mp_array(&r, "list", 12, 12), 12);
	for (size_t i = 0; i < 10; i++)
		assert_true(mp_u64(&r, "value", 0, UINT64_MAX) == values[i]);
	assert_true(mp_f32(&r, "float") == 1.5f);
	assert_true(span_equal(mp_str(&r, "text", 10), span_text("Zoë")));
	assert_int_equal(mp_end(&r, NULL), TK_OK);
	bytes_close(&b);
}

static int read_u64(const char *bytes, size_t n, uint64_t max)
{
	struct mp_reader r;

	mp_begin(&r, span_of(bytes, n));
	mp_u64(&r, "x", 0, max);
	return mp_end(&r, NULL);
}

static void longer_forms_of_a_number_are_refused(void **state)
{
	(void)state;
	assert_int_equal(read_u64("\x05", 1, 9), TK_OK);
	assert_int_equal(read_u64("\xcc\x05", 2, 9), TK_EPROTO);
	assert_int_equal(read_u64("\xcd\x00\xff", 3, 999), TK_EPROTO);
	assert_int_equal(read_u64("\xce\x00\x00\xff\xff", 5, UINT32_MAX), TK_EPROTO);
	assert_int_equal(read_u64("\xcc\x80", 2, 127), TK_ELIMIT);
	assert_int_equal(read_u64("\xff", 1, 127), TK_EPROTO);	 /* negative */
	assert_int_equal(read_u64("\x05\x05", 2, 9), TK_EPROTO); /* left over */
	assert_int_equal(read_u64("", 0, 9), TK_EPROTO);
}

static void claimed_lengths_never_outrun_the_bytes(void **state)
{
	static const char *const heads[] = {
		"\xc6\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xdd\xff\xff\xff\xff"};
	struct mp_reader r;

	(void)state;
	mp_begin(&r, span_of(heads[0], 5));
	assert_int_equal(mp_bin(&r, "b", UINT32_MAX).len, 0);
	assert_int_equal(mp_end(&r, NULL), TK_EPROTO);
	mp_begin(&r, span_of(heads[1], 5));
	assert_int_equal(mp_str(&r, "s", UINT32_MAX).len, 0);
	assert_int_equal(mp_end(&r, NULL), TK_EPROTO);
	mp_begin(&r, span_of(heads[2], 5));
	assert_int_equal(mp_array(&r, "a", 0, UINT32_MAX), 0);
	assert_int_equal(mp_end(&r, NULL), TK_ELIMIT);
}

static void nothing_at_all_is_read_as_an_error(void **state)
{
	struct mp_reader r;

	(void)state;
	mp_begin(&r, span_of(NULL, 0));
	assert_int_equal(mp_u32(&r, "x", 0, 9), 0);
	assert_int_equal(mp_end(&r, NULL), TK_EPROTO);
}

static void text_with_a_nul_is_refused(void **state)
{
	struct mp_reader r;
	char out[8];

	(void)state;
	mp_begin(&r, span_of("\xa3"
			     "a\0b",
			     4));
	mp_text(&r, "t", out, sizeof(out));
	assert_int_equal(mp_end(&r, NULL), TK_EPROTO);
	assert_string_equal(out, "");
}

static void first_error_stays_and_names_its_field(void **state)
{
	struct errmsg msg = {""};
	struct mp_reader r;

	(void)state;
	mp_begin(&r, span_of("\x01\xc0\x02", 3));
	assert_int_equal(mp_u64(&r, "first", 0, 9), 1);
	assert_int_equal(mp_u64(&r, "second", 0, 9), 0);
	assert_int_equal(mp_u64(&r, "third", 0, 9), 0);
	assert_int_equal(mp_end(&r, &msg), TK_EPROTO);
	assert_non_null(strstr(msg.text, "\"second\""));
}

static void signatures_for_one_purpose_fail_for_another(void **state)
{
	const uint8_t seed[32] = {7};
	struct span field = span_text("hello");
	struct signature s;
	struct key_pair pair;

	(void)state;
	key_from_seed(&pair, seed);
	key_sign(&s, &pair, "one", &field, 1);
	assert_true(key_verify(&pair.public, &s, "one", &field, 1));
	assert_false(key_verify(&pair.public, &s, "two", &field, 1));
	field = span_text("hellO");
	assert_false(key_verify(&pair.public, &s, "one", &field, 1));
}

static void hex_accepts_exactly_its_length(void **state)
{
	uint8_t out[2];

	(void)state;
	assert_int_equal(hex_decode(out, 2, "00fF"), TK_OK);
	assert_int_equal(out[1], 0xff);
	assert_int_equal(hex_decode(out, 2, "00f"), TK_EINVAL);
	assert_int_equal(hex_decode(out, 2, "00fff"), TK_EINVAL);
	assert_int_equal(hex_decode(out, 2, "0g00"), TK_EINVAL);
}

static int make_folder(void **state)
{
	char *folder = strdup("/tmp/talkoot-base-XXXXXX");

	*state = folder;
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int drop_folder(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", (char *)*state);
	free(*state);
	return system(command);
}

static void replaced_file_is_whole_and_private(void **state)
{
	char path[128];
	struct bytes b = {0};
	struct stat st;

	snprintf(path, sizeof(path), "%s/a/b/file", (char *)*state);
	*strrchr(path, '/') = '\0';
	assert_int_equal(folder_make(path, true, NULL), TK_OK);
	path[strlen(path)] = '/';
	assert_int_equal(file_replace(path, span_text("old"), 0600, NULL), TK_OK);
	assert_int_equal(file_replace(path, span_text("newer"), 0600, NULL), TK_OK);
	assert_int_equal(file_read(&b, path, 5, NULL), TK_OK);
	assert_true(span_equal(bytes_span(&b), span_text("newer")));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	bytes_close(&b);
	assert_int_equal(file_read(&b, path, 4, NULL), TK_ELIMIT);
	assert_int_equal(file_read(&b, *state, 4, NULL), TK_EINVAL); /* a folder */
}

static void full_disk_leaves_the_old_file(void **state)
{
	struct rlimit whole, little;
	struct errmsg msg = {""};
	struct bytes b = {0};
	char path[128];
	char big[4096];

	memset(big, 'x', sizeof(big));
	snprintf(path, sizeof(path), "%s/file", (char *)*state);
	assert_int_equal(file_replace(path, span_text("old"), 0644, NULL), TK_OK);
	/* A file-size limit fails the write as a full disk does. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
	little = whole;
	little.rlim_cur = 1000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	assert_int_equal(file_replace(path, span_of(big, sizeof(big)), 0644, &msg), TK_ENOSPC);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
	assert_non_null(strstr(msg.text, path));
	assert_int_equal(file_read(&b, path, 100, NULL), TK_OK);
	assert_true(span_equal(bytes_span(&b), span_text("old")));
	bytes_close(&b);
}

static void growing_bytes_survive_a_failed_allocation(void **state)
{
	struct bytes b = {0};

	(void)state;
	assert_int_equal(bytes_append(&b, "abc", 3), TK_OK);
	mem_fail(1, 0);
	assert_int_equal(bytes_append(&b, b.data, 3), TK_OK); /* there was room */
	assert_int_equal(bytes_reserve(&b, 1000), TK_ENOMEM);
	assert_int_equal(b.len, 6);
	assert_int_equal(bytes_reserve(&b, 1000), TK_OK);
	assert_int_equal(bytes_reserve(&b, SIZE_MAX - 2), TK_ENOMEM);
	bytes_consume(&b, 2);
	assert_true(span_equal(bytes_span(&b), span_text("cabc")));
	bytes_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digest_of_abc_is_the_published_one),
		cmocka_unit_test(blob_digest_equals_its_recursive_definition),
		cmocka_unit_test(numbers_read_back_as_they_were_packed),
		cmocka_unit_test(longer_forms_of_a_number_are_refused),
		cmocka_unit_test(claimed_lengths_never_outrun_the_bytes),
		cmocka_unit_test(nothing_at_all_is_read_as_an_error),
		cmocka_unit_test(text_with_a_nul_is_refused),
		cmocka_unit_test(first_error_stays_and_names_its_field),
		cmocka_unit_test(signatures_for_one_purpose_fail_for_another),
		cmocka_unit_test(hex_accepts_exactly_its_length),
		cmocka_unit_test_setup_teardown(
			replaced_file_is_whole_and_private, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(
			full_disk_leaves_the_old_file, make_folder, drop_folder),
		cmocka_unit_test(growing_bytes_survive_a_failed_allocation),
	};

	signal(SIGXFSZ, SIG_IGN);
	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
