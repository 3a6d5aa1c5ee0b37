/* The blob store on a real folder: what is put comes back, and damage never does. */
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

#include "peer/swarm/blob_store.h"
#include "tasks/base/mem.h"

#define BLOB_BYTES 100000u

struct bench {
	char folder[64];
	char store_folder[80];
	struct blob_store store;
	uint8_t blob[BLOB_BYTES];
	struct errmsg msg;
};

static int bench_open(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	snprintf(b->folder, sizeof(b->folder), "/tmp/talkoot-blobs-XXXXXX");
	assert_non_null(mkdtemp(b->folder));
	snprintf(b->store_folder, sizeof(b->store_folder), "%s/blobs", b->folder);
	assert_int_equal(blob_store_init(&b->store, b->store_folder, &b->msg), TK_OK);
	for (size_t i = 0; i < BLOB_BYTES; i++)
		b->blob[i] = (uint8_t)(i * 131 + i / 251);
	*state = b;
	return 0;
}

static int bench_close(void **state)
{
	struct bench *b = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", b->folder);
	assert_int_equal(system(command), 0);
	free(b);
	return 0;
}

static void blob_path(const struct bench *b, const struct digest *d, char path[256])
{
	char hex[DIGEST_HEX];

	digest_hex(hex, d);
	snprintf(path, 256, "%s/%.2s/%s", b->store_folder, hex, hex + 2);
}

static void blob_damage(const struct bench *b, const struct digest *d, off_t at)
{
	char path[256];
	uint8_t byte;
	int fd;

	blob_path(b, d, path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static struct digest blob_put(struct bench *b, size_t n)
{
	struct digest d;

	assert_int_equal(blob_store_put(&b->store, &d, span_of(b->blob, n), &b->msg), TK_OK);
	return d;
}

static void what_is_put_comes_back_under_its_digest(void **state)
{
	static const size_t sizes[] = {0, 1, BLOB_LEAF, BLOB_LEAF + 1, BLOB_BYTES};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct digest d = blob_put(b, sizes[i]);
		struct digest expected;
		struct bytes out = {0};
		uint64_t size = UINT64_MAX;

		digest_blob(&expected, b->blob, sizes[i]);
		assert_true(digest_equal(&d, &expected));
		assert_int_equal(blob_store_get(&b->store, &d, BLOB_BYTES, &out, &b->msg), TK_OK);
		assert_int_equal(out.len, sizes[i]);
		if (out.len != 0)
			assert_memory_equal(out.data, b->blob, out.len);
		assert_int_equal(blob_store_size(&b->store, &d, &size), TK_OK);
		assert_int_equal(size, sizes[i]);
		bytes_close(&out);
	}
}

static void putting_a_whole_blob_again_leaves_its_file_alone(void **state)
{
	struct bench *b = *state;
	struct digest d = blob_put(b, BLOB_BYTES);
	char path[256];
	struct stat before;
	struct stat after;

	blob_path(b, &d, path);
	assert_int_equal(stat(path, &before), 0);
	blob_put(b, BLOB_BYTES);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

static void corrupt_blob_is_an_error_and_put_replaces_it(void **state)
{
	struct bench *b = *state;
	struct digest d = blob_put(b, BLOB_BYTES);
	struct bytes out = {0};

	blob_damage(b, &d, BLOB_BYTES - 1);
	assert_int_equal(blob_store_get(&b->store, &d, BLOB_BYTES, &out, &b->msg), TK_ECORRUPT);
	assert_null(out.data);
	assert_non_null(strstr(b->msg.text, "corrupt"));
	assert_non_null(strstr(b->msg.text, b->store_folder));
	blob_put(b, BLOB_BYTES);
	assert_int_equal(blob_store_get(&b->store, &d, BLOB_BYTES, &out, &b->msg), TK_OK);
	assert_memory_equal(out.data, b->blob, BLOB_BYTES);
	bytes_close(&out);
}

static void truncated_and_lengthened_blobs_are_corrupt_and_replaced(void **state)
{
	static const off_t lengths[] = {0, BLOB_BYTES - 1, BLOB_BYTES + 1};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct digest d = blob_put(b, BLOB_BYTES);
		struct bytes out = {0};
		char path[256];

		blob_path(b, &d, path);
		assert_int_equal(truncate(path, lengths[i]), 0);
		assert_int_equal(
			blob_store_get(&b->store, &d, 2 * BLOB_BYTES, &out, &b->msg), TK_ECORRUPT);
		blob_put(b, BLOB_BYTES);
		assert_int_equal(blob_store_get(&b->store, &d, BLOB_BYTES, &out, &b->msg), TK_OK);
		bytes_close(&out);
	}
}

static void missing_blob_is_not_found_and_removing_it_is_fine(void **state)
{
	struct bench *b = *state;
	struct digest d = blob_put(b, 10);
	struct bytes out = {0};
	uint64_t size = 7;
	uint64_t total = 7;
	uint8_t byte = 7;

	blob_store_remove(&b->store, &d);
	blob_store_remove(&b->store, &d);
	assert_int_equal(blob_store_get(&b->store, &d, 10, &out, &b->msg), TK_ENOENT);
	assert_int_equal(blob_store_size(&b->store, &d, &size), TK_ENOENT);
	assert_int_equal(blob_store_read(&b->store, &d, 0, &byte, 1, &total, &b->msg), TK_ENOENT);
	assert_int_equal(size + total + byte, 21);
}

static void blob_longer_than_the_reader_accepts_is_refused(void **state)
{
	struct bench *b = *state;
	struct digest d = blob_put(b, 1000);
	struct bytes out = {0};

	assert_int_equal(blob_store_get(&b->store, &d, 999, &out, &b->msg), TK_ELIMIT);
	assert_null(out.data);
}

static void ranges_are_read_and_those_beyond_the_end_refused(void **state)
{
	struct bench *b = *state;
	struct digest d = blob_put(b, BLOB_BYTES);
	uint8_t out[4096];
	uint64_t total = 0;

	assert_int_equal(blob_store_read(&b->store, &d, 50001, out, 4096, &total, &b->msg), TK_OK);
	assert_memory_equal(out, b->blob + 50001, 4096);
	assert_int_equal(total, BLOB_BYTES);
	assert_int_equal(
		blob_store_read(&b->store, &d, BLOB_BYTES - 3, out, 3, &total, &b->msg), TK_OK);
	assert_memory_equal(out, b->blob + BLOB_BYTES - 3, 3);
	assert_int_equal(
		blob_store_read(&b->store, &d, BLOB_BYTES, out, 0, &total, &b->msg), TK_OK);
	assert_int_equal(
		blob_store_read(&b->store, &d, BLOB_BYTES - 3, out, 4, &total, &b->msg), TK_EINVAL);
	assert_int_equal(
		blob_store_read(&b->store, &d, UINT64_MAX, out, 4, &total, &b->msg), TK_EINVAL);
}

static void full_disk_is_said_clearly_and_loses_nothing(void **state)
{
	struct bench *b = *state;
	struct digest before = blob_put(b, 1000);
	struct digest d = {{0}};
	struct rlimit old;
	struct rlimit small;
	struct bytes out = {0};
	int rc;

	/* A limit on the size of files fails writes just as a full disk does. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 4096;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	rc = blob_store_put(&b->store, &d, span_of(b->blob, BLOB_BYTES), &b->msg);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(rc, TK_ENOSPC);
	assert_non_null(strstr(b->msg.text, "make room"));
	assert_true(digest_is_zero(&d));
	assert_int_equal(blob_store_get(&b->store, &before, 1000, &out, &b->msg), TK_OK);
	bytes_close(&out);
	blob_put(b, BLOB_BYTES);
}

static void read_only_folder_is_said_clearly(void **state)
{
	struct bench *b = *state;
	struct digest d;
	uid_t me = geteuid();
	int rc;

	assert_int_equal(chmod(b->folder, 0755), 0);
	assert_int_equal(chmod(b->store_folder, 0555), 0);
	if (me == 0) /* root writes anywhere: be somebody else for a moment */
		assert_int_equal(seteuid(65534), 0);
	rc = blob_store_put(&b->store, &d, span_of(b->blob, 100), &b->msg);
	if (me == 0)
		assert_int_equal(seteuid(me), 0);
	assert_int_equal(chmod(b->store_folder, 0755), 0);
	assert_int_equal(rc, TK_EIO);
	assert_non_null(strstr(b->msg.text, b->store_folder));
	assert_non_null(strstr(b->msg.text, "Permission denied"));
}

static void folder_that_cannot_be_made_is_an_error(void **state)
{
	struct bench *b = *state;
	struct blob_store s = {{0}};
	char path[2000];

	snprintf(path, sizeof(path), "%s/file", b->folder);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(blob_store_init(&s, path, &b->msg), TK_EIO);
	assert_non_null(strstr(b->msg.text, path));
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(blob_store_init(&s, path, &b->msg), TK_ELIMIT);
	assert_int_equal(s.folder[0], '\0');
}

static void short_memory_is_reported(void **state)
{
	struct bench *b = *state;
	struct digest d = blob_put(b, 1000);
	struct bytes out = {0};

	mem_fail(1, 0);
	assert_int_equal(blob_store_get(&b->store, &d, 1000, &out, &b->msg), TK_ENOMEM);
	mem_fail(0, 0);
	assert_null(out.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
		CLAIM(what_is_put_comes_back_under_its_digest),
		CLAIM(putting_a_whole_blob_again_leaves_its_file_alone),
		CLAIM(corrupt_blob_is_an_error_and_put_replaces_it),
		CLAIM(truncated_and_lengthened_blobs_are_corrupt_and_replaced),
		CLAIM(missing_blob_is_not_found_and_removing_it_is_fine),
		CLAIM(blob_longer_than_the_reader_accepts_is_refused),
		CLAIM(ranges_are_read_and_those_beyond_the_end_refused),
		CLAIM(full_disk_is_said_clearly_and_loses_nothing),
		CLAIM(read_only_folder_is_said_clearly),
		CLAIM(folder_that_cannot_be_made_is_an_error),
		CLAIM(short_memory_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
