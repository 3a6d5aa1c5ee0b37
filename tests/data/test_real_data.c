/* Real files, where they are present: census income, MNIST, Shakespeare. TALKOOT_SHARED names the folder
 * that holds data/; without it, ../shared. */
#include "tests/data/fixture.h"

static void real(char *field, const char *name)
{
	const char *shared = getenv("TALKOOT_SHARED");

	snprintf(field, DATA_PATH_MAX, "%s/data/%s", shared != NULL ? shared : "../shared", name);
	if (access(field, R_OK) != 0)
		skip();
}

static void census(struct fixture *f)
{
	f->spec.format = DATA_CSV;
	strcpy(f->spec.missing, "?");
	real(f->spec.path, "adult-train.csv");
}

static void census_income_has_two_classes_of_fourteen_columns(void **state)
{
	struct fixture *f = *state;

	census(f);
	real(f->spec.validation_path, "adult-test.csv");
	fixture_accept(f);
	print_message("census income: %u features\n", f->d.features);
	assert_int_equal(f->d.train.samples, 32561);
	assert_int_equal(f->d.validation.samples, 16281);
	assert_int_equal(f->d.classes, 2);
	assert_string_equal(f->d.class_names[0], "<=50K");
	assert_string_equal(f->d.class_names[1], ">50K");
	/* 6 numeric columns; 8 of categories: 8 + 16 + 7 + 14 + 6 + 5 + 2 + 41. */
	assert_int_equal(f->d.features, 6 + 99);
}

static void standardised_census_columns_have_mean_0_and_deviation_1(void **state)
{
	struct fixture *f = *state;
	float features[128];
	double sum = 0;
	double squares = 0;

	census(f);
	fixture_accept(f);
	for (uint64_t i = 0; i < f->d.train.samples; i++) {
		const struct bytes *shard = &f->shards[i / f->d.train.shard_samples];
		uint32_t label;

		shard_sample_dense(
			&f->d, bytes_span(shard), i % f->d.train.shard_samples, features, &label);
		sum += features[0]; /* age */
		squares += (double)features[0] * features[0];
	}
	sum /= (double)f->d.train.samples;
	squares /= (double)f->d.train.samples;
	assert_true(sum > -1e-5 && sum < 1e-5);
	assert_true(squares > 1 - 1e-5 && squares < 1 + 1e-5);
}

static void a_quantity_as_the_label_is_refused(void **state)
{
	struct fixture *f = *state;

	census(f);
	strcpy(f->spec.label, "2"); /* fnlwgt, a quantity */
	fixture_refuse(f, TK_EINVAL, "label (column 2)", "quantity: say data.predict: number");
}

static void the_same_quantity_is_learnt_as_a_number(void **state)
{
	struct fixture *f = *state;
	double sum = 0;
	double squares = 0;

	census(f);
	strcpy(f->spec.label, "2");
	f->spec.task = LABEL_NUMBER;
	fixture_accept(f);
	print_message(
		"weights: %.9g ± %.9g\n", (double)f->d.target_mean, (double)f->d.target_deviation);
	for (uint64_t i = 0; i < f->d.train.samples; i++) {
		const struct bytes *shard = &f->shards[i / f->d.train.shard_samples];
		float features[128];
		uint32_t bits;
		float label;

		shard_sample_dense(
			&f->d, bytes_span(shard), i % f->d.train.shard_samples, features, &bits);
		memcpy(&label, &bits, sizeof(label));
		sum += (double)label;
		squares += (double)label * (double)label;
	}
	sum /= (double)f->d.train.samples;
	squares /= (double)f->d.train.samples;
	assert_true(sum > -1e-5 && sum < 1e-5);
	assert_true(squares > 1 - 1e-5 && squares < 1 + 1e-5);
}

static void mnist_has_ten_classes_of_784_pixels(void **state)
{
	struct fixture *f = *state;
	uint32_t ones = 0;

	f->spec.format = DATA_IDX;
	real(f->spec.path, "mnist10k/train-images-idx3-ubyte");
	real(f->spec.labels, "mnist10k/train-labels-idx1-ubyte");
	real(f->spec.validation_path, "mnist10k/t10k-images-idx3-ubyte");
	real(f->spec.validation_labels, "mnist10k/t10k-labels-idx1-ubyte");
	fixture_accept(f);
	assert_int_equal(f->d.train.samples, 7996);
	assert_int_equal(f->d.validation.samples, 2004);
	assert_int_equal(f->d.features, 784);
	assert_int_equal(f->d.classes, 10);
	for (uint64_t i = 0; i < f->d.validation.samples; i++) {
		float features[784];

		ones += fixture_sample(f, true, i, features) == 1;
	}
	assert_true(ones > 150 && ones < 300);
}

static void shakespeare_has_65_characters(void **state)
{
	struct fixture *f = *state;

	f->spec.format = DATA_TEXT;
	f->spec.context = 64;
	f->spec.validation_fraction = 0.1;
	real(f->spec.path, "tinyshakespeare.txt");
	fixture_accept(f);
	assert_int_equal(f->d.classes, 65);
	assert_int_equal(f->d.train.samples, 1115394 - 111539 - 64);
	assert_int_equal(f->d.validation.samples, 111539 - 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(census_income_has_two_classes_of_fourteen_columns),
		FIXTURE_TEST(standardised_census_columns_have_mean_0_and_deviation_1),
		FIXTURE_TEST(a_quantity_as_the_label_is_refused),
		FIXTURE_TEST(the_same_quantity_is_learnt_as_a_number),
		FIXTURE_TEST(mnist_has_ten_classes_of_784_pixels),
		FIXTURE_TEST(shakespeare_has_65_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
