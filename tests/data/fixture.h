/* What the tests of tests/data share: a temporary folder with files, one preparation and its shards. */
#ifndef TESTS_DATA_FIXTURE_H
#define TESTS_DATA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tasks/base/mem.h"
#include "tasks/data/dataset.h"
#include "tasks/data/shard.h"

#define FIXTURE_SHARDS 16

struct fixture {
	char folder[64];
	struct data_spec spec;
	struct dataset d;
	struct errmsg msg;
	struct bytes shards[FIXTURE_SHARDS];
	uint32_t count;
};

static const char *const fixture_names[] = {"a", "b", "c", "d"};

static inline int fixture_begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->folder, "/tmp/talkoot-data-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->spec.delimiter = ',';
	strcpy(f->spec.label, "last");
	*state = f;
	return 0;
}

static inline void fixture_forget(struct fixture *f)
{
	dataset_close(&f->d);
	for (uint32_t i = 0; i < f->count; i++)
		bytes_close(&f->shards[i]);
	f->count = 0;
	f->msg.text[0] = '\0';
}

static inline int fixture_end(void **state)
{
	struct fixture *f = *state;
	char path[128];

	fixture_forget(f);
	for (size_t i = 0; i < sizeof(fixture_names) / sizeof(*fixture_names); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->folder, fixture_names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(f->folder), 0);
	free(f);
	return 0;
}

/* Writes a file and puts its path into a field of the spec. */
static inline void fixture_bytes(
	struct fixture *f, char *field, const char *name, const void *data, size_t n)
{
	FILE *file;

	snprintf(field, DATA_PATH_MAX, "%s/%s", f->folder, name);
	file = fopen(field, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

static inline void fixture_text(struct fixture *f, char *field, const char *name, const char *text)
{
	fixture_bytes(f, field, name, text, strlen(text));
}

static inline int fixture_take(
	void *context, const struct digest *digest, struct span bytes, struct errmsg *msg)
{
	struct fixture *f = context;
	struct digest own;

	digest_blob(&own, bytes.data, bytes.len);
	assert_true(digest_equal(&own, digest));
	assert_true(f->count < FIXTURE_SHARDS);
	if (bytes_append(&f->shards[f->count], bytes.data, bytes.len) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "no memory for the test's shard");
	f->count++;
	return TK_OK;
}

static inline int fixture_prepare(struct fixture *f)
{
	struct shard_sink sink = {f, fixture_take};

	fixture_forget(f);
	return dataset_prepare(&f->d, &f->spec, &sink, &f->msg);
}

/* Prepares; every shard must pass shard_check and have the digest that the dataset names. */
static inline void fixture_accept(struct fixture *f)
{
	int rc = fixture_prepare(f);
	uint32_t n = 0;

	if (rc != TK_OK)
		fail_msg("%s: %s", error_name(rc), f->msg.text);
	for (int part = 0; part < 2; part++) {
		const struct dataset_part *p = part == 0 ? &f->d.train : &f->d.validation;

		for (uint32_t s = 0; s < p->shards; s++, n++) {
			struct span shard = bytes_span(&f->shards[n]);
			struct digest own;

			digest_blob(&own, shard.data, shard.len);
			assert_true(digest_equal(&own, &p->digests[s]));
			assert_int_equal(shard_check(&f->d, p, s, shard, &f->msg), TK_OK);
		}
	}
	assert_int_equal(n, f->count);
}

/* Prepares; it must fail with this code and a sentence that has both parts; the dataset stays as it
 * was. */
static inline void fixture_refuse(struct fixture *f, int code, const char *one, const char *two)
{
	int rc = fixture_prepare(f);

	if (rc != code || strstr(f->msg.text, one) == NULL || strstr(f->msg.text, two) == NULL)
		fail_msg("got %s: %s; wanted %s with \"%s\" and \"%s\"", error_name(rc),
			f->msg.text, error_name(code), one, two);
	assert_null(f->d.train.digests);
	assert_null(f->d.class_names);
}

/* The features and the label of a sample; shard 0 of training and the first of validation. */
static inline uint32_t fixture_sample(
	struct fixture *f, bool validation, uint64_t index, float *features)
{
	uint32_t shard = validation ? f->d.train.shards : 0;
	uint32_t label;

	assert_true(shard < f->count);
	shard_sample_dense(&f->d, bytes_span(&f->shards[shard]), index, features, &label);
	return label;
}

static inline void assert_sample(
	struct fixture *f, bool validation, uint64_t index, const float *want, uint32_t label)
{
	float got[64];

	assert_true(f->d.features <= 64);
	assert_int_equal(fixture_sample(f, validation, index, got), label);
	for (uint32_t i = 0; i < f->d.features; i++) {
		if (memcmp(&got[i], &want[i], sizeof(float)) != 0)
			fail_msg("sample %d feature %u: %.9g instead of %.9g", (int)index, i,
				(double)got[i], (double)want[i]);
	}
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

#endif
