/* IDX files: images and labels to samples of bytes, and every way in which the files can be wrong. */
#include "tests/data/fixture.h"

#include "tasks/data/split.h"
#include "tasks/math/order.h"

/* Three images of 1 × 2 bytes. */
static const uint8_t images[] = {
	0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255, 1, 2, 51, 0};
static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 1};

static void small(struct fixture *f)
{
	f->spec.format = DATA_IDX;
	fixture_bytes(f, f->spec.path, "a", images, sizeof(images));
	fixture_bytes(f, f->spec.labels, "b", labels, sizeof(labels));
}

static void small_validation(struct fixture *f)
{
	fixture_bytes(f, f->spec.validation_path, "c", images, sizeof(images));
	fixture_bytes(f, f->spec.validation_labels, "d", labels, sizeof(labels));
}

static void images_become_bytes_and_labels(void **state)
{
	static const uint8_t golden[] = {0, 255, 2, 0, 0, 0, 1, 2, 0, 0, 0, 0, 51, 0, 1, 0, 0, 0};
	struct fixture *f = *state;

	small(f);
	fixture_accept(f);
	assert_int_equal(f->d.kind, SAMPLE_U8);
	assert_int_equal(f->d.features, 2);
	assert_int_equal(f->d.classes, 3);
	assert_string_equal(f->d.class_names[2], "2");
	assert_int_equal(f->d.train.samples, 3);
	assert_int_equal(f->d.train.shard_samples, SHARD_BYTES / 6);
	assert_int_equal(f->shards[0].len, sizeof(golden));
	assert_memory_equal(f->shards[0].data, golden, sizeof(golden));
	assert_sample(f, false, 0, (float[]){0, 1}, 2);
	assert_sample(f, false, 2, (float[]){51.0f / 255.0f, 0}, 1);
}

static void the_size_of_an_image_is_what_the_file_says(void **state)
{
	static const uint8_t y[] = {0, 0, 8, 1, 0, 0, 0, 2, 0, 1};
	uint8_t deep[20 + 24] = {0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 4};
	uint8_t flat[12 + 24] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 12};
	struct fixture *f = *state;

	f->spec.format = DATA_IDX;
	fixture_bytes(f, f->spec.labels, "b", y, sizeof(y));
	fixture_bytes(f, f->spec.path, "a", deep, sizeof(deep));
	fixture_accept(f);
	assert_memory_equal(f->d.image, ((uint32_t[]){3, 1, 4}), sizeof(f->d.image));
	dataset_close(&f->d);
	fixture_bytes(f, f->spec.path, "a", flat, sizeof(flat));
	fixture_accept(f);
	assert_memory_equal(f->d.image, ((uint32_t[]){0, 0, 0}), sizeof(f->d.image));
}

static void validation_files_are_the_validation_part(void **state)
{
	struct fixture *f = *state;

	small(f);
	small_validation(f);
	f->spec.validation_fraction = 0.5; /* files win */
	fixture_accept(f);
	assert_int_equal(f->d.train.samples, 3);
	assert_int_equal(f->d.validation.samples, 3);
	assert_sample(f, true, 1, (float[]){1.0f / 255.0f, 2.0f / 255.0f}, 0);
}

/* Prepares two images of 6 bytes with these dimensions, and compares what the dataset says of them. */
static void assert_image(
	struct fixture *f, const uint8_t *dimensions, unsigned count, const uint32_t want[3])
{
	uint8_t x[64] = {0, 0, 8, (uint8_t)count};
	static const uint8_t y[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};
	size_t header = 4 + 4 * (size_t)count;

	for (unsigned i = 0; i < count; i++)
		x[7 + 4 * i] = dimensions[i];
	for (uint8_t i = 0; i < 12; i++)
		x[header + i] = i;
	f->spec.format = DATA_IDX;
	fixture_bytes(f, f->spec.path, "a", x, header + 12);
	fixture_bytes(f, f->spec.labels, "b", y, sizeof(y));
	fixture_accept(f);
	assert_int_equal(f->d.features, 6);
	assert_int_equal(f->d.label, LABEL_CLASS);
	assert_memory_equal(f->d.image, want, 3 * sizeof(*want));
	for (int i = 0; i < 12; i++) /* channels, then rows, then columns: as they stand */
		assert_int_equal(f->shards[0].data[i % 6 + i / 6 * 10], i);
}

static void images_have_channels_height_and_width(void **state)
{
	struct fixture *f = *state;

	assert_image(f, (uint8_t[]){2, 3, 2}, 3, (uint32_t[]){1, 3, 2});
	assert_image(f, (uint8_t[]){2, 3, 2, 1}, 4, (uint32_t[]){3, 2, 1});
	assert_image(f, (uint8_t[]){2, 1, 1, 6}, 4, (uint32_t[]){1, 1, 6});
	assert_image(f, (uint8_t[]){2, 6}, 2, (uint32_t[]){0, 0, 0}); /* rows of numbers */
}

/* Images of one byte, its own number; enough of them that both parts have every label. */
static void a_fraction_is_drawn_by_image_and_keeps_the_order(void **state)
{
	enum { N = 200 };
	struct fixture *f = *state;
	uint8_t x[12 + N] = {0, 0, 8, 2, 0, 0, 0, N, 0, 0, 0, 1};
	uint8_t y[8 + N] = {0, 0, 8, 1, 0, 0, 0, N};
	uint64_t at[2] = {0, 0};

	for (int i = 0; i < N; i++) {
		x[12 + i] = (uint8_t)i;
		y[8 + i] = (uint8_t)(i % 2);
	}
	f->spec.format = DATA_IDX;
	fixture_bytes(f, f->spec.path, "a", x, sizeof(x));
	fixture_bytes(f, f->spec.labels, "b", y, sizeof(y));
	f->spec.validation_fraction = 0.25;
	f->spec.seed = 5;
	fixture_accept(f);
	assert_int_equal(f->d.validation.samples, N / 4);
	for (uint32_t i = 0; i < N; i++) {
		bool kept = bijection(N, 5, SPLIT_TWEAK, i) < N / 4;

		assert_sample(f, kept, at[kept]++, (float[]){(float)i / 255.0f}, i % 2);
	}
}

static void a_label_that_only_validation_has_is_refused(void **state)
{
	enum { N = 20 };
	struct fixture *f = *state;
	uint8_t x[12 + N] = {0, 0, 8, 2, 0, 0, 0, N, 0, 0, 0, 1};
	uint8_t y[8 + N] = {0, 0, 8, 1, 0, 0, 0, N};
	char entry[40];
	int drawn = 0;

	for (int i = 0; i < N; i++) {
		bool kept = bijection(N, 3, SPLIT_TWEAK, (uint64_t)i) < N / 4;

		y[8 + i] = (uint8_t)(i % 2);
		drawn = kept ? i : drawn;
	}
	y[8 + drawn] = 9;
	f->spec.format = DATA_IDX;
	fixture_bytes(f, f->spec.path, "a", x, sizeof(x));
	fixture_bytes(f, f->spec.labels, "b", y, sizeof(y));
	f->spec.validation_fraction = 0.25;
	f->spec.seed = 3;
	snprintf(entry, sizeof(entry), "b: label 9 of entry %d ", drawn);
	fixture_refuse(f, TK_EINVAL, entry, "does not occur in the training part");
}

static void large_data_fills_several_shards(void **state)
{
	const uint32_t n = 3000; /* of 4096 bytes: 1023 in a shard */
	const size_t size = 16 + (size_t)n * 4096;
	struct fixture *f = *state;
	uint8_t *x = calloc(1, size);
	uint8_t *y = calloc(1, 8 + n);
	float features[4096];
	uint32_t label;

	assert_true(x != NULL && y != NULL);
	memcpy(x, (uint8_t[]){0, 0, 8, 3, 0, 0, 0x0b, 0xb8, 0, 0, 0, 64, 0, 0, 0, 64}, 16);
	memcpy(y, (uint8_t[]){0, 0, 8, 1, 0, 0, 0x0b, 0xb8}, 8);
	for (uint32_t i = 0; i < n; i++) {
		x[16 + (size_t)i * 4096] = (uint8_t)(i % 251);
		y[8 + i] = (uint8_t)(i % 7);
	}
	f->spec.format = DATA_IDX;
	fixture_bytes(f, f->spec.path, "a", x, size);
	fixture_bytes(f, f->spec.labels, "b", y, 8 + n);
	free(x);
	free(y);
	fixture_accept(f);
	assert_int_equal(f->d.train.shard_samples, 1023);
	assert_int_equal(f->d.train.shards, 3);
	assert_int_equal(f->shards[2].len, (n - 2 * 1023) * 4100);
	for (uint32_t i = 0; i < n; i += 13) {
		shard_sample_dense(
			&f->d, bytes_span(&f->shards[i / 1023]), i % 1023, features, &label);
		assert_true(features[0] == (float)(i % 251) / 255.0f && label == i % 7);
	}
}

static void wrong_lengths_name_file_and_bytes(void **state)
{
	struct fixture *f = *state;

	small(f);
	fixture_bytes(f, f->spec.path, "a", images, sizeof(images) - 1);
	fixture_refuse(f, TK_EINVAL, "asks for 22 bytes, the file has 21", "cut off");
	fixture_bytes(f, f->spec.path, "a", images, 15);
	fixture_refuse(f, TK_EINVAL, "header takes 16 bytes, the file has 15", "cut off");
	fixture_bytes(f, f->spec.path, "a", images, 3);
	fixture_refuse(f, TK_EINVAL, f->spec.path, "too short");
	small(f);
	fixture_text(f, f->spec.labels, "b", "");
	fixture_refuse(f, TK_EINVAL, f->spec.labels, "too short");
	fixture_bytes(f, f->spec.labels, "b", (uint8_t[]){0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 1, 9}, 12);
	fixture_refuse(f, TK_EINVAL, "asks for 11 bytes, the file has 12", "too long");
	fixture_bytes(f, f->spec.labels, "b", (uint8_t[]){0, 0, 8, 1, 0, 0, 0, 2, 1, 0}, 10);
	fixture_refuse(f, TK_EINVAL, "holds 3 images", "holds 2 labels");
}

static void other_formats_are_refused_with_the_remedy(void **state)
{
	struct fixture *f = *state;

	small(f);
	fixture_bytes(f, f->spec.path, "a", "\x1f\x8b\x08\x00zip", 7);
	fixture_refuse(f, TK_EINVAL, "is compressed", "gunzip");
	fixture_text(f, f->spec.path, "a", "a,b,c\n");
	fixture_refuse(f, TK_EINVAL, "is not an IDX file", "61 2c 62 2c");
	fixture_bytes(f, f->spec.path, "a", (uint8_t[]){0, 0, 0x0d, 3}, 4);
	fixture_refuse(f, TK_EUNSUPPORTED, "type 0x0d", "unsigned bytes");
	fixture_bytes(f, f->spec.path, "a", (uint8_t[]){0, 0, 8, 5}, 4);
	fixture_refuse(f, TK_EINVAL, "has 5 dimensions", "2 to 4");
	fixture_bytes(f, f->spec.path, "a", labels, sizeof(labels));
	fixture_refuse(f, TK_EINVAL, "is it the file of labels?", "data.path");
	small(f);
	fixture_bytes(f, f->spec.labels, "b", images, sizeof(images));
	fixture_refuse(f, TK_EINVAL, "has 3 dimensions", "data.labels");
	f->spec.labels[0] = '\0';
	fixture_refuse(f, TK_EINVAL, "data.labels is missing", "labels of");
	small(f);
	small_validation(f);
	f->spec.validation_labels[0] = '\0';
	fixture_refuse(f, TK_EINVAL, "data.validation_labels is missing", "labels of");
}

static void absurd_dimensions_are_refused(void **state)
{
	static const uint8_t huge[] = {0, 0, 8, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
		255, 255, 255, 255, 255, 255};
	static const uint8_t flat[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9};
	static const uint8_t none[] = {0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 2};
	static const uint8_t many[] = {0, 0, 8, 2, 255, 255, 255, 255, 0, 1, 0, 0, 7};
	struct fixture *f = *state;

	small(f);
	fixture_bytes(f, f->spec.path, "a", huge, sizeof(huge));
	fixture_refuse(f, TK_ELIMIT, "too many elements", "65536");
	fixture_bytes(f, f->spec.path, "a", flat, sizeof(flat));
	fixture_refuse(f, TK_ELIMIT, "has no elements", "65536");
	fixture_bytes(f, f->spec.path, "a", none, sizeof(none));
	fixture_refuse(f, TK_EINVAL, f->spec.path, "holds no entries");
	fixture_bytes(f, f->spec.path, "a", many, sizeof(many));
	fixture_refuse(f, TK_EINVAL, "asks for 281474976645132 bytes", "the file has 13");
}

static void labels_must_be_learnable(void **state)
{
	static const uint8_t zeros[] = {0, 0, 8, 1, 0, 0, 0, 3, 0, 0, 0};
	static const uint8_t other[] = {0, 0, 8, 1, 0, 0, 0, 3, 0, 3, 0};
	static const uint8_t tall[] = {
		0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6};
	struct fixture *f = *state;

	small(f);
	fixture_bytes(f, f->spec.labels, "b", zeros, sizeof(zeros));
	fixture_refuse(f, TK_EINVAL, "every training label is 0", "nothing to tell apart");
	small(f);
	small_validation(f);
	fixture_bytes(f, f->spec.validation_labels, "d", other, sizeof(other));
	fixture_refuse(f, TK_EINVAL, "d: label 3 of entry 1", "does not occur in the training");
	small_validation(f);
	fixture_bytes(f, f->spec.validation_path, "c", tall, sizeof(tall));
	fixture_refuse(f, TK_EINVAL, "other dimensions", "must be alike");
	f->spec.validation_path[0] = '\0';
	fixture_bytes(f, f->spec.path, "a", (uint8_t[]){0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 1, 7}, 13);
	fixture_bytes(f, f->spec.labels, "b", (uint8_t[]){0, 0, 8, 1, 0, 0, 0, 1, 1}, 9);
	f->spec.validation_fraction = 0.5;
	fixture_refuse(f, TK_EINVAL, "holds 1 image", "at least 2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(images_become_bytes_and_labels),
		FIXTURE_TEST(the_size_of_an_image_is_what_the_file_says),
		FIXTURE_TEST(validation_files_are_the_validation_part),
		FIXTURE_TEST(images_have_channels_height_and_width),
		FIXTURE_TEST(a_fraction_is_drawn_by_image_and_keeps_the_order),
		FIXTURE_TEST(a_label_that_only_validation_has_is_refused),
		FIXTURE_TEST(large_data_fills_several_shards),
		FIXTURE_TEST(wrong_lengths_name_file_and_bytes),
		FIXTURE_TEST(other_formats_are_refused_with_the_remedy),
		FIXTURE_TEST(absurd_dimensions_are_refused),
		FIXTURE_TEST(labels_must_be_learnable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
