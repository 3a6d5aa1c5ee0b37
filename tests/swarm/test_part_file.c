/* Blobs on disk while they arrive: what was proved survives a restart, what the disk spoiled does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer/swarm/part_file.h"
#include "tasks/base/key.h"
#include "tasks/base/mem.h"

#define TOTAL (5 * (size_t)BLOB_PART + 777)
#define PARTS 6u

struct bench {
	char folder[64];
	char arriving[96], blobs[96];
	struct blob_store store;
	uint8_t *data;
	struct digest digest;
	struct digest *nodes;
};

static int bench_open(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct digest root;

	strcpy(b->folder, "/tmp/talkoot-parts-XXXXXX");
	assert_non_null(mkdtemp(b->folder));
	snprintf(b->arriving, sizeof(b->arriving), "%s", b->folder);
	snprintf(b->blobs, sizeof(b->blobs), "%s/blobs", b->folder);
	assert_int_equal(blob_store_init(&b->store, b->blobs, NULL), TK_OK);
	b->data = malloc(TOTAL);
	for (size_t i = 0; i < TOTAL; i++)
		b->data[i] = (uint8_t)(i * 2654435761u >> 13);
	digest_blob(&b->digest, b->data, TOTAL);
	b->nodes = calloc(blob_tree_nodes(PARTS), sizeof(*b->nodes));
	for (size_t i = 0; i < PARTS; i++)
		blob_part_top(&b->nodes[i], b->data + i * BLOB_PART,
			i < PARTS - 1 ? BLOB_PART : TOTAL % BLOB_PART);
	blob_tree_build(&root, b->nodes, PARTS, TOTAL);
	assert_true(digest_equal(&root, &b->digest));
	*state = b;
	return 0;
}

static int bench_close(void **state)
{
	struct bench *b = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", b->folder);
	assert_int_equal(system(command), 0);
	free(b->data);
	free(b->nodes);
	free(b);
	return 0;
}

static void part_open(struct bench *b, struct part_file *f)
{
	assert_int_equal(part_file_open(f, b->arriving, &b->digest, TOTAL, NULL), TK_OK);
}

static void part_put(struct bench *b, struct part_file *f, size_t i)
{
	size_t n = i < PARTS - 1 ? BLOB_PART : TOTAL % BLOB_PART;
	struct digest path[64];
	size_t steps = blob_part_path(path, b->nodes, PARTS, i);

	assert_int_equal(part_file_write(f, i * BLOB_PART, span_of(b->data + i * BLOB_PART, n),
				 path, steps, NULL),
		TK_OK);
}

static void what_came_is_there_after_a_restart_and_the_rest_makes_it_whole(void **state)
{
	struct bench *b = *state;
	struct digest *nodes;
	struct digest path[64];
	struct bytes whole = {0};
	struct part_file f;
	uint8_t bytes[BLOB_PART];
	size_t steps;

	assert_int_equal(part_file_total(b->arriving, &b->digest), 0);
	part_open(b, &f);
	assert_int_equal(f.words[0], 0);
	part_put(b, &f, 5);
	part_put(b, &f, 2);
	part_file_close(&f);
	assert_int_equal(part_file_total(b->arriving, &b->digest), TOTAL);
	part_open(b, &f);
	assert_int_equal(f.words[0], 1 << 5 | 1 << 2);
	/* It can be passed on with its proof. */
	assert_int_equal(part_file_read(&f, 2 * BLOB_PART, bytes, BLOB_PART, NULL), TK_OK);
	steps = blob_part_path(path, f.nodes, PARTS, 2);
	assert_true(blob_part_verify(
		&b->digest, TOTAL, 2 * BLOB_PART, span_of(bytes, BLOB_PART), path, steps));
	for (size_t i = 0; i < PARTS; i++)
		part_put(b, &f, i);
	assert_int_equal(part_file_finish(&f, &b->store, &nodes, NULL), TK_OK);
	assert_memory_equal(nodes, b->nodes, blob_tree_nodes(PARTS) * sizeof(*nodes));
	mem_free(nodes);
	assert_int_equal(part_file_total(b->arriving, &b->digest), 0);
	assert_int_equal(blob_store_get(&b->store, &b->digest, TOTAL, &whole, NULL), TK_OK);
	assert_memory_equal(whole.data, b->data, TOTAL);
	bytes_close(&whole);
}

static void flip(const struct bench *b, const char *ending, off_t at)
{
	char hex[DIGEST_HEX], path[256];
	uint8_t byte;
	int fd;

	digest_hex(hex, &b->digest);
	snprintf(path, sizeof(path), "%s/%s.%s", b->arriving, hex, ending);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void what_the_disk_spoiled_is_not_taken_for_good(void **state)
{
	struct bench *b = *state;
	struct digest *nodes;
	struct part_file f;

	part_open(b, &f);
	for (size_t i = 0; i < 4; i++)
		part_put(b, &f, i);
	part_file_close(&f);
	flip(b, "part", BLOB_PART + 9);
	flip(b, "tree", 8 + 3 * DIGEST_BYTES);
	part_open(b, &f);
	/* Part 3 is right, but what proves part 2 is not. */
	assert_int_equal(f.words[0], 1 << 0 | 1 << 3);
	for (size_t i = 0; i < PARTS; i++)
		if (i != 0 && i != 3)
			part_put(b, &f, i);
	assert_int_equal(part_file_finish(&f, &b->store, &nodes, NULL), TK_OK);
	mem_free(nodes);
	part_open(b, &f);
	assert_int_equal(f.words[0], 0);
	part_file_remove(&f);
}

static void another_length_than_noted_begins_anew(void **state)
{
	struct bench *b = *state;
	struct part_file f;

	part_open(b, &f);
	part_put(b, &f, 0);
	part_file_close(&f);
	assert_int_equal(part_file_open(&f, b->arriving, &b->digest, TOTAL + 1, NULL), TK_OK);
	assert_int_equal(f.words[0], 0);
	part_file_remove(&f);
}

static void a_missing_part_is_noticed_at_the_end(void **state)
{
	struct bench *b = *state;
	struct digest *nodes;
	struct part_file f;

	part_open(b, &f);
	f.nodes[3].b[0] ^= 1;
	assert_int_equal(part_file_finish(&f, &b->store, &nodes, NULL), TK_ECORRUPT);
	part_file_remove(&f);
}

static void a_stored_blob_gives_its_tree_and_a_spoiled_one_does_not(void **state)
{
	struct bench *b = *state;
	struct digest digest;
	struct digest *nodes;
	char hex[DIGEST_HEX], path[256];
	uint64_t total;
	FILE *file;

	assert_int_equal(blob_store_put(&b->store, &digest, span_of(b->data, TOTAL), NULL), TK_OK);
	assert_int_equal(blob_store_tree(&b->store, &digest, TOTAL, &total, &nodes, NULL), TK_OK);
	assert_int_equal(total, TOTAL);
	assert_memory_equal(nodes, b->nodes, blob_tree_nodes(PARTS) * sizeof(*nodes));
	mem_free(nodes);
	assert_int_equal(
		blob_store_tree(&b->store, &digest, TOTAL - 1, &total, &nodes, NULL), TK_ELIMIT);
	digest_hex(hex, &digest);
	snprintf(path, sizeof(path), "%s/%.2s/%s", b->blobs, hex, hex + 2);
	file = fopen(path, "r+b");
	assert_non_null(file);
	fputc(b->data[0] ^ 1, file);
	fclose(file);
	assert_int_equal(
		blob_store_tree(&b->store, &digest, TOTAL, &total, &nodes, NULL), TK_ECORRUPT);
}

static void left_behind(const struct bench *b, char digit, uint64_t modified_s)
{
	static const char *const endings[] = {"part", "tree"};
	const struct timespec times[2] = {
		{.tv_sec = (time_t)modified_s}, {.tv_sec = (time_t)modified_s}};
	char path[200];

	for (size_t i = 0; i < 2; i++) {
		int n = snprintf(path, sizeof(path), "%s/", b->arriving);
		int fd;

		memset(path + n, digit, 64);
		snprintf(path + n + 64, sizeof(path) - (size_t)n - 64, ".%s", endings[i]);
		fd = open(path, O_CREAT | O_WRONLY, 0644);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, b->data, 10000), 10000);
		assert_int_equal(futimens(fd, times), 0);
		close(fd);
	}
}

static unsigned count_left(const struct bench *b, char digit)
{
	char name[80];
	char path[200];
	unsigned count = 0;

	memset(name, digit, 64);
	strcpy(name + 64, ".part");
	snprintf(path, sizeof(path), "%s/%s", b->arriving, name);
	count += access(path, F_OK) == 0;
	strcpy(name + 64, ".tree");
	snprintf(path, sizeof(path), "%s/%s", b->arriving, name);
	return count + (access(path, F_OK) == 0);
}

static void what_was_left_goes_after_a_week_and_the_oldest_where_room_is_short(void **state)
{
	const uint64_t now_s = 1800000000;
	const struct bench *b = *state;
	char foreign[200];

	left_behind(b, 'a', now_s - PART_FILES_LEFT_S - 60);
	left_behind(b, 'b', now_s - 86400);
	left_behind(b, 'c', now_s - 3600);
	snprintf(foreign, sizeof(foreign), "%s/notes.part", b->arriving);
	close(open(foreign, O_CREAT | O_WRONLY, 0644));
	part_files_sweep(b->arriving, now_s, 1 << 20);
	assert_int_equal(count_left(b, 'a'), 0);
	assert_int_equal(count_left(b, 'b'), 2);
	assert_int_equal(count_left(b, 'c'), 2);
	part_files_sweep(b->arriving, now_s, 30000);
	assert_int_equal(count_left(b, 'b'), 0);
	assert_int_equal(count_left(b, 'c'), 2);
	part_files_sweep(b->arriving, now_s, 0);
	assert_int_equal(count_left(b, 'c'), 0);
	assert_int_equal(access(foreign, F_OK), 0);
}

static void what_was_used_is_remembered_on_disk(void **state)
{
	const struct bench *b = *state;
	struct digest digest;
	char command[300];
	uint64_t before;

	assert_int_equal(blob_store_put(&b->store, &digest, span_of("abc", 3), NULL), TK_OK);
	snprintf(command, sizeof(command), "find %s -type f -exec touch -m -d 2001-01-01 {} +",
		b->blobs);
	assert_int_equal(system(command), 0);
	before = blob_store_used_s(&b->store, &digest);
	assert_true(before < 1000000000);
	blob_store_use(&b->store, &digest);
	assert_true(blob_store_used_s(&b->store, &digest) > before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)
	const struct CMUnitTest tests[] = {
		TEST(what_came_is_there_after_a_restart_and_the_rest_makes_it_whole),
		TEST(what_the_disk_spoiled_is_not_taken_for_good),
		TEST(another_length_than_noted_begins_anew),
		TEST(a_missing_part_is_noticed_at_the_end),
		TEST(a_stored_blob_gives_its_tree_and_a_spoiled_one_does_not),
		TEST(what_was_left_goes_after_a_week_and_the_oldest_where_room_is_short),
		TEST(what_was_used_is_remembered_on_disk),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("part_file", tests, NULL, NULL);
}
