/* The keys in a coordinator's home: the root's, the serving key and its certificate, a private network's
 * secret; over years, and when files are missing or spoiled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/home.h"
#include "peer/wire/identity.h"
#include "tasks/base/file.h"

#define NOW_S 1800000000u
#define DAY_S (24u * 3600)

static int begin(void **state)
{
	char *folder = strdup("/tmp/talkoot-keys-XXXXXX");

	*state = folder;
	return mkdtemp(folder) != NULL && crypto_start() == TK_OK ? 0 : -1;
}

static int end(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", (char *)*state);
	free(*state);
	return system(command);
}

static void home_make(void **state, struct home *h, bool private, uint64_t now_s)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/home", (char *)*state);
	assert_int_equal(home_create(path, "", private, now_s, NULL), TK_OK);
	assert_int_equal(home_open(h, path, NULL), TK_OK);
}

static void file_of(const struct home *h, const char *name, char out[1000])
{
	assert_int_equal(path_join(out, 1000, h->path, name), TK_OK);
}

static void assert_mode_0600(const struct home *h, const char *name)
{
	char path[1000];
	struct stat st;

	file_of(h, name, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void new_home_serves_with_a_key_that_its_root_has_signed(void **state)
{
	struct identity root, serving;
	struct home h;

	home_make(state, &h, false, NOW_S);
	assert_mode_0600(&h, "key");
	assert_mode_0600(&h, "serving");
	assert_int_equal(home_identity(&h, &root, NULL), TK_OK);
	assert_int_equal(home_serving_identity(&h, &root, NOW_S, &serving, NULL), TK_OK);
	assert_false(key_equal(&serving.key.public, &root.key.public));
	assert_true(key_equal(&serving.network, &root.key.public));
	assert_true(serving.has_certificate && !root.has_certificate);
	assert_int_equal(serving.certificate.expiry_s, NOW_S + SERVING_LIFETIME_S);
	assert_int_equal(serving_check(&serving.certificate, &root.network, &serving.key.public,
				 NOW_S, NULL),
		TK_OK);
	assert_false(root.has_secret || serving.has_secret);
	home_close(&h);
}

static void certificate_is_renewed_in_its_second_half_and_the_key_stays(void **state)
{
	static const struct {
		uint64_t days;
		uint64_t holds_from_day;
	} table[] = {{0, 0}, {44, 0}, {46, 46}, {47, 46}, {400, 400}, {399, 400}};
	struct identity root, first, serving;
	struct home h;

	home_make(state, &h, false, NOW_S);
	assert_int_equal(home_identity(&h, &root, NULL), TK_OK);
	assert_int_equal(home_serving_identity(&h, &root, NOW_S, &first, NULL), TK_OK);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t now_s = NOW_S + table[i].days * DAY_S;

		assert_int_equal(home_serving_identity(&h, &root, now_s, &serving, NULL), TK_OK);
		assert_true(key_equal(&serving.key.public, &first.key.public));
		assert_int_equal(serving.certificate.expiry_s,
			NOW_S + table[i].holds_from_day * DAY_S + SERVING_LIFETIME_S);
		assert_mode_0600(&h, "serving");
	}
	home_close(&h);
}

static void certificate_is_renewed_while_it_serves(void **state)
{
	struct identity root, serving, again;
	struct home h;

	home_make(state, &h, false, NOW_S);
	assert_int_equal(home_identity(&h, &root, NULL), TK_OK);
	assert_int_equal(home_serving_identity(&h, &root, NOW_S, &serving, NULL), TK_OK);
	again = serving;
	for (uint64_t day = 0; day <= 400; day++) {
		uint64_t now_s = NOW_S + day * DAY_S;

		assert_int_equal(home_serving_renew(&h, &root, now_s, &serving, NULL), TK_OK);
		assert_int_equal(serving_check(&serving.certificate, &root.network,
					 &serving.key.public, now_s, NULL),
			TK_OK);
		assert_true(serving.certificate.expiry_s >= now_s + SERVING_LIFETIME_S / 2);
	}
	assert_memory_equal(&serving.key, &again.key, sizeof(serving.key));
	/* the root's own identity needs none */
	again = root;
	assert_int_equal(home_serving_renew(&h, &root, NOW_S, &again, NULL), TK_OK);
	assert_false(again.has_certificate);
	home_close(&h);
}

static void home_of_before_serves_with_its_root_key(void **state)
{
	struct identity root, serving;
	char path[1000];
	struct home h;

	home_make(state, &h, true, NOW_S);
	file_of(&h, "serving", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(home_identity(&h, &root, NULL), TK_OK);
	assert_int_equal(home_serving_identity(&h, &root, NOW_S, &serving, NULL), TK_OK);
	assert_true(key_equal(&serving.key.public, &root.key.public));
	assert_false(serving.has_certificate);
	assert_true(serving.has_secret);
	assert_int_equal(access(path, F_OK), -1);
	home_close(&h);
}

static void private_home_has_a_secret_of_its_own(void **state)
{
	static const uint8_t zeros[NETWORK_SECRET];
	struct identity root, again, serving;
	struct home h;

	home_make(state, &h, true, NOW_S);
	assert_mode_0600(&h, "secret");
	assert_int_equal(home_identity(&h, &root, NULL), TK_OK);
	assert_int_equal(home_identity(&h, &again, NULL), TK_OK);
	assert_int_equal(home_serving_identity(&h, &root, NOW_S, &serving, NULL), TK_OK);
	assert_true(root.has_secret && serving.has_secret);
	assert_memory_not_equal(root.secret, zeros, sizeof(zeros));
	assert_memory_equal(root.secret, again.secret, sizeof(root.secret));
	assert_memory_equal(root.secret, serving.secret, sizeof(root.secret));
	home_close(&h);
}

/* Altered, or another home's: signed anew, for whoever has the root key may do that. Cut short: said. */
static void spoiled_files_are_mended_or_said(void **state)
{
	struct identity root, serving;
	struct errmsg msg = {""};
	struct bytes file = {0};
	char path[1000];
	struct home h;

	home_make(state, &h, true, NOW_S);
	assert_int_equal(home_identity(&h, &root, NULL), TK_OK);
	file_of(&h, "serving", path);
	assert_int_equal(file_read(&file, path, 1000, NULL), TK_OK);
	assert_int_equal(file.len, 136);
	for (size_t i = 0; i < file.len; i++) {
		file.data[i] ^= 0x20;
		assert_int_equal(file_replace(path, bytes_span(&file), 0600, NULL), TK_OK);
		file.data[i] ^= 0x20;
		assert_int_equal(home_serving_identity(&h, &root, NOW_S, &serving, NULL), TK_OK);
		assert_int_equal(serving_check(&serving.certificate, &root.network,
					 &serving.key.public, NOW_S, NULL),
			TK_OK);
	}
	assert_int_equal(truncate(path, 135), 0);
	assert_int_equal(home_serving_identity(&h, &root, NOW_S, &serving, &msg), TK_ECORRUPT);
	assert_non_null(strstr(msg.text, "has 135 bytes"));
	file_of(&h, "secret", path);
	assert_int_equal(truncate(path, 31), 0);
	assert_int_equal(home_identity(&h, &root, &msg), TK_ECORRUPT);
	assert_non_null(strstr(msg.text, "has 31 bytes"));
	bytes_close(&file);
	home_close(&h);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		CLAIM(new_home_serves_with_a_key_that_its_root_has_signed),
		CLAIM(certificate_is_renewed_in_its_second_half_and_the_key_stays),
		CLAIM(certificate_is_renewed_while_it_serves),
		CLAIM(home_of_before_serves_with_its_root_key),
		CLAIM(private_home_has_a_secret_of_its_own),
		CLAIM(spoiled_files_are_mended_or_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
