/* Shards: what shard_check refuses, how samples are read, how parts are cut, and that no failing
 * allocation or sink loses memory. */
#include "tests/data/fixture.h"

#include "tasks/data/writer.h"

static struct dataset dense(enum sample_kind kind)
{
	return (struct dataset){.kind = kind, .features = 2, .classes = 3};
}

static int check(const struct dataset *d, uint64_t samples, const void *data, size_t n)
{
	struct dataset_part p = {.samples = samples, .shard_samples = 100, .shards = 1};
	struct errmsg msg = {""};
	int rc = shard_check(d, &p, 0, span_of(data, n), &msg);

	assert_true((rc == TK_OK) == (msg.text[0] == '\0'));
	return rc;
}

static void a_shard_of_another_length_is_corrupt(void **state)
{
	struct dataset d = dense(SAMPLE_U8);
	uint8_t shard[13] = {0};

	(void)state;
	assert_int_equal(check(&d, 2, shard, 12), TK_OK);
	assert_int_equal(check(&d, 2, shard, 11), TK_ECORRUPT);
	assert_int_equal(check(&d, 2, shard, 13), TK_ECORRUPT);
	assert_int_equal(check(&d, 2, shard, 0), TK_ECORRUPT);
}

static void a_label_or_token_out_of_range_is_corrupt(void **state)
{
	struct dataset d = dense(SAMPLE_U8);
	struct dataset t = {.kind = SAMPLE_TEXT, .context = 1, .classes = 258};
	uint8_t shard[12] = {9, 9, 2, 0, 0, 0, 9, 9, 2, 0, 0, 0};
	uint8_t tokens[6] = {0, 0, 1, 1, 0, 1};

	(void)state;
	assert_int_equal(check(&d, 2, shard, 12), TK_OK);
	shard[8] = 3;
	assert_int_equal(check(&d, 2, shard, 12), TK_ECORRUPT);
	shard[8] = 0;
	shard[11] = 1;
	assert_int_equal(check(&d, 2, shard, 12), TK_ECORRUPT);
	assert_int_equal(check(&t, 2, tokens, 6), TK_OK);
	tokens[2] = 2;
	assert_int_equal(check(&t, 2, tokens, 6), TK_ECORRUPT);
}

static void a_feature_that_is_not_finite_is_corrupt(void **state)
{
	static const uint32_t good[] = {0, 0x80000000u, 0x7f7fffffu, 0xff7fffffu, 1};
	static const uint32_t bad[] = {
		0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffffffffu, 0x7f800001u};
	struct dataset d = dense(SAMPLE_F32);
	uint8_t shard[12] = {0};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		store_le32(shard + 4, good[i]);
		assert_int_equal(check(&d, 1, shard, 12), TK_OK);
		store_le32(shard + 4, bad[i]);
		assert_int_equal(check(&d, 1, shard, 12), TK_ECORRUPT);
	}
}

static void a_number_that_is_not_finite_is_corrupt(void **state)
{
	static const uint32_t good[] = {0, 3, 0x80000000u, 0x7f7fffffu, 0xff7fffffu};
	static const uint32_t bad[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffffffffu};
	struct dataset d = {.kind = SAMPLE_F32, .features = 2, .label = LABEL_NUMBER};
	uint8_t shard[24] = {0};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		store_le32(shard + 20, good[i]);
		assert_int_equal(check(&d, 2, shard, 24), TK_OK);
	}
	for (size_t i = 0; i < 4; i++) {
		store_le32(shard + 20, bad[i]);
		assert_int_equal(check(&d, 2, shard, 24), TK_ECORRUPT);
	}
	store_le32(shard + 20, 0);
	store_le32(shard, bad[0]); /* a feature still counts */
	assert_int_equal(check(&d, 2, shard, 24), TK_ECORRUPT);
}

static void a_byte_reads_as_the_division_by_255(void **state)
{
	struct dataset d = {.kind = SAMPLE_U8, .features = 256, .classes = 1};
	uint8_t shard[260] = {0};
	float features[256];
	uint32_t label = 7;

	(void)state;
	for (int v = 0; v < 256; v++)
		shard[v] = (uint8_t)v;
	shard_sample_dense(&d, span_of(shard, sizeof(shard)), 0, features, &label);
	for (int v = 0; v < 256; v++) {
		volatile float want = (float)v;

		want /= 255.0f;
		assert_true(features[v] == want);
	}
	assert_int_equal(label, 0);
}

static void sizes_of_shards_add_up(void **state)
{
	struct dataset d = dense(SAMPLE_F32);
	struct dataset t = {.kind = SAMPLE_TEXT, .context = 5, .classes = 2};
	struct dataset_part p = {.samples = 25, .shard_samples = 10, .shards = 3};

	(void)state;
	assert_int_equal(dataset_sample_bytes(&d), 12);
	assert_int_equal(dataset_shard_bytes(&d, &p, 0), 120);
	assert_int_equal(dataset_shard_bytes(&d, &p, 2), 60);
	assert_int_equal(dataset_sample_bytes(&t), 2);
	assert_int_equal(dataset_shard_bytes(&t, &p, 1), 30);
	assert_int_equal(dataset_shard_bytes(&t, &p, 2), 20);
}

static void a_part_with_too_many_shards_is_refused(void **state)
{
	struct dataset d = {.kind = SAMPLE_F32, .features = FEATURES_MAX, .classes = 2};
	struct dataset_part p = {0};
	struct shard_writer w;
	struct errmsg msg;

	(void)state;
	assert_int_equal(writer_begin(&w, &d, &p, 15ull * SHARDS_MAX + 1, NULL, &msg), TK_ELIMIT);
	assert_non_null(strstr(msg.text, "65537 shards"));
	assert_null(p.digests);
	writer_close(&w);
	d.features = SHARD_BYTES / 4;
	assert_int_equal(writer_begin(&w, &d, &p, 1, NULL, &msg), TK_ELIMIT);
	assert_non_null(strstr(msg.text, "larger than a shard"));
	writer_close(&w);
}

static int refuse_second(
	void *context, const struct digest *digest, struct span bytes, struct errmsg *msg)
{
	int *taken = context;

	(void)digest;
	(void)bytes;
	return ++*taken == 2 ? errmsg_set(msg, TK_ENOSPC, "the disk is full") : TK_OK;
}

static void small_csv(struct fixture *f)
{
	f->spec.format = DATA_CSV;
	fixture_text(f, f->spec.path, "a", "n,c,l\n1,red,x\n2,blue,y\n,\"g,n\",x\n4,red,y\n");
	fixture_text(f, f->spec.validation_path, "b", "n,c,l\n3,red,x.\n2,grey,y.\n");
}

static void small_idx(struct fixture *f)
{
	static const uint8_t x[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4};
	static const uint8_t y[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};

	f->spec.format = DATA_IDX;
	fixture_bytes(f, f->spec.path, "a", x, sizeof(x));
	fixture_bytes(f, f->spec.labels, "b", y, sizeof(y));
	fixture_bytes(f, f->spec.validation_path, "c", x, sizeof(x));
	fixture_bytes(f, f->spec.validation_labels, "d", y, sizeof(y));
}

static void small_text(struct fixture *f)
{
	f->spec.format = DATA_TEXT;
	f->spec.context = 2;
	fixture_text(f, f->spec.path, "a", "hello");
	fixture_text(f, f->spec.validation_path, "b", "yellow");
}

static void small_number(struct fixture *f)
{
	f->spec.format = DATA_CSV;
	f->spec.task = LABEL_NUMBER;
	fixture_text(f, f->spec.path, "a", "n,c,l\n1,red,7\n2,blue,8\n,\"g,n\",9.5\n");
	fixture_text(f, f->spec.validation_path, "b", "n,c,l\n3,red,1\n2,grey,2\n");
}

static void small_bytes(struct fixture *f)
{
	small_text(f);
	f->spec.task = LABEL_CLASS;
	f->spec.token = TOKEN_BYTE;
}

static void (*const small[])(struct fixture *f) = {
	small_csv, small_idx, small_text, small_number, small_bytes};
#define SMALL (sizeof(small) / sizeof(*small))

static void an_error_of_the_sink_ends_the_preparation(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SMALL; i++) {
		int taken = 0;
		struct shard_sink sink = {&taken, refuse_second};

		small[i](f);
		assert_int_equal(dataset_prepare(&f->d, &f->spec, &sink, &f->msg), TK_ENOSPC);
		assert_string_equal(f->msg.text, "the disk is full");
		assert_int_equal(taken, 2);
		assert_null(f->d.train.digests);
	}
}

/* The allocation seam counts: the k-th one fails, once or from then on, for every k until none does.
 * What is lost the address sanitizer sees. */
static void every_allocation_may_fail(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SMALL; i++) {
		small[i](f);
		for (int forever = 0; forever < 2; forever++) {
			uint64_t k = 0;
			int rc;

			do {
				f->msg.text[0] = '\0';
				mem_fail(++k, forever);
				rc = dataset_prepare(&f->d, &f->spec, NULL, &f->msg);
				mem_fail(0, 0);
				if (rc != TK_OK) {
					assert_int_equal(rc, TK_ENOMEM);
					assert_non_null(strstr(f->msg.text, "not enough memory"));
					assert_null(f->d.train.digests);
				}
			} while (rc != TK_OK);
			assert_true(k > 6);
			assert_int_equal(f->d.train.shards, 1);
			assert_int_equal(f->d.validation.shards, 1);
			dataset_close(&f->d);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shard_of_another_length_is_corrupt),
		cmocka_unit_test(a_label_or_token_out_of_range_is_corrupt),
		cmocka_unit_test(a_feature_that_is_not_finite_is_corrupt),
		cmocka_unit_test(a_number_that_is_not_finite_is_corrupt),
		cmocka_unit_test(a_byte_reads_as_the_division_by_255),
		cmocka_unit_test(sizes_of_shards_add_up),
		cmocka_unit_test(a_part_with_too_many_shards_is_refused),
		FIXTURE_TEST(an_error_of_the_sink_ends_the_preparation),
		FIXTURE_TEST(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
