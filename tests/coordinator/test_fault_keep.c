/* Proofs of fault as files of a coordinator's home: a whole one, one that lacks a blob, one for which there is no
 * room. */
#include "tests/unit/fault_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "coordinator/fault_keep.h"
#include "tasks/base/file.h"
#include "tasks/base/mem.h"

struct bench {
	char path[64];
	struct home home;
	struct accused liar;
	struct bytes statement;
	struct digest digest;
};

static void put(struct bench *b, const struct bytes *blob)
{
	struct digest digest;

	assert_int_equal(blob_store_put(&b->home.blobs, &digest, bytes_span(blob), NULL), TK_OK);
}

/* A home and a liar, and what the proof takes but for the parameters. */
static void bench_begin(struct bench *b)
{
	const struct dataset_part *part;
	struct fault_statement f;

	*b = (struct bench){.path = "/tmp/talkoot-faults-XXXXXX"};
	assert_non_null(mkdtemp(b->path));
	snprintf(b->path + strlen(b->path), 8, "/home");
	assert_int_equal(home_create(b->path, "", false, 1800000000, NULL), TK_OK);
	assert_int_equal(home_open(&b->home, b->path, NULL), TK_OK);
	begin(&b->liar, MODEL_LOGISTIC, 0);
	accused_lie(&b->liar, 3);
	put(b, &b->liar.recipe);
	part = &b->liar.tiny.recipe.data.train;
	for (uint32_t i = 0; i < part->shards; i++) {
		struct bytes shard = {0};
		struct span blob;

		assert_int_equal(
			shard_cache_get(&b->liar.tiny.cache, &part->digests[i], &blob, NULL),
			TK_OK);
		assert_int_equal(bytes_append(&shard, blob.data, blob.len), TK_OK);
		put(b, &shard);
		bytes_close(&shard);
	}
	f = accused_statement(&b->liar, FAULT_WHOLE, 0);
	assert_int_equal(fault_encode(&f, &b->statement), TK_OK);
	fault_digest(&b->digest, bytes_span(&b->statement));
}

static void bench_end(struct bench *b)
{
	char command[96];

	home_close(&b->home);
	accused_close(&b->liar);
	bytes_close(&b->statement);
	*strrchr(b->path, '/') = '\0';
	snprintf(command, sizeof(command), "rm -rf %s", b->path);
	assert_int_equal(system(command), 0);
}

static void keep(struct bench *b, struct errmsg *msg)
{
	*msg = (struct errmsg){""};
	assert_int_equal(fault_keep(&b->home, &b->digest, bytes_span(&b->statement),
				 &(struct digest){0}, msg),
		TK_OK);
}

static char *kept(const struct bench *b, const char *ending)
{
	static char path[1100];
	char hex[DIGEST_HEX];

	digest_hex(hex, &b->digest);
	snprintf(path, sizeof(path), "%s/faults/%s.%s", b->path, hex, ending);
	return path;
}

static void a_kept_proof_convinces_whoever_has_the_file(void **state)
{
	struct fault_report report = {0};
	struct bytes file = {0};
	struct errmsg msg;
	struct bench b;

	(void)state;
	bench_begin(&b);
	put(&b, &b.liar.parameters);
	keep(&b, &msg);
	assert_string_equal(msg.text, "");
	assert_int_equal(file_read(&file, kept(&b, "fault"), FAULT_FILE_BYTES_MAX, NULL), TK_OK);
	assert_int_equal(verify_on(&file, best(), &report), TK_OK);
	assert_int_equal(report.verdict, FAULT_PROVEN);
	assert_true(digest_equal(&report.statement, &b.digest));
	keep(&b, &msg); /* once more, as after a crash */
	assert_string_equal(msg.text, "");
	bytes_close(&file);
	bench_end(&b);
}

static void without_a_blob_the_statement_is_kept_and_said_to_be_no_proof(void **state)
{
	struct bytes file = {0};
	struct errmsg msg;
	struct bench b;

	(void)state;
	bench_begin(&b);
	keep(&b, &msg);
	assert_non_null(strstr(msg.text, "no whole proof"));
	assert_false(file_exists(kept(&b, "fault")));
	assert_int_equal(file_read(&file, kept(&b, "statement"), 1 << 20, NULL), TK_OK);
	assert_int_equal(file.len, b.statement.len);
	assert_memory_equal(file.data, b.statement.data, file.len);
	bytes_close(&file);
	bench_end(&b);
}

static void proofs_do_not_fill_the_disk(void **state)
{
	struct errmsg msg;
	struct bench b;
	char big[96];
	FILE *f;

	(void)state;
	bench_begin(&b);
	put(&b, &b.liar.parameters);
	snprintf(big, sizeof(big), "%s/faults", b.path);
	assert_int_equal(folder_make(big, false, NULL), TK_OK);
	snprintf(big, sizeof(big), "%s/faults/others", b.path);
	f = fopen(big, "wb");
	assert_non_null(f);
	assert_int_equal(ftruncate(fileno(f), (off_t)FAULTS_BYTES_MAX), 0);
	assert_int_equal(fclose(f), 0);
	keep(&b, &msg);
	assert_non_null(strstr(msg.text, "full"));
	assert_false(file_exists(kept(&b, "fault")));
	assert_true(file_exists(kept(&b, "statement")));
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kept_proof_convinces_whoever_has_the_file),
		cmocka_unit_test(without_a_blob_the_statement_is_kept_and_said_to_be_no_proof),
		cmocka_unit_test(proofs_do_not_fill_the_disk),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
