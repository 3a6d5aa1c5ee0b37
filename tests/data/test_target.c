/* Labels that are numbers: their standardisation to the bit, what is learnt from which rows, and the
 * tables in which there is nothing to learn. */
#include "tests/data/fixture.h"

#include <math.h>

static void table(struct fixture *f, const char *text)
{
	f->spec.format = DATA_CSV;
	f->spec.task = LABEL_NUMBER;
	fixture_text(f, f->spec.path, "a", text);
}

static void validation(struct fixture *f, const char *text)
{
	fixture_text(f, f->spec.validation_path, "b", text);
}

static float target(struct fixture *f, bool from_validation, uint64_t index)
{
	float features[64];
	uint32_t bits = fixture_sample(f, from_validation, index, features);
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* Labels 10, 30, 30, 10: mean 20, deviation 10. The feature is 1, 2, 2, 1: −1 and 1. */
static void the_bytes_of_a_shard_are_golden(void **state)
{
	static const uint8_t golden[] = {
		0, 0, 0x80, 0xbf, 0, 0, 0x80, 0xbf, /* −1, −1 */
		0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f, /* 1, 1 */
		0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f, /* 1, 1 */
		0, 0, 0x80, 0xbf, 0, 0, 0x80, 0xbf, /* −1, −1 */
	};
	struct fixture *f = *state;

	table(f, "x,price\n1,10\n2,30\n2,3e1\n1,1e1\n");
	fixture_accept(f);
	assert_int_equal(f->d.kind, SAMPLE_F32);
	assert_int_equal(f->d.label, LABEL_NUMBER);
	assert_int_equal(f->d.token, 0);
	assert_int_equal(f->d.classes, 0);
	assert_null(f->d.class_names);
	assert_true(f->d.target_mean == 20);
	assert_true(f->d.target_deviation == 10);
	assert_int_equal(f->d.features, 1);
	assert_int_equal(f->shards[0].len, sizeof(golden));
	assert_memory_equal(f->shards[0].data, golden, sizeof(golden));
}

/* Mean and deviation are added up in double in the order of the rows, each rounded to float32 once. */
static void a_label_and_its_statistics_give_the_number_back(void **state)
{
	static const double numbers[] = {0.1, -2.75, 1234.5678, 3.25e-7, 77, -0.333333333};
	enum { N = sizeof(numbers) / sizeof(*numbers) };
	struct fixture *f = *state;
	char text[512] = "";
	double sum = 0, squares = 0, mean, deviation;

	for (int i = 0; i < N; i++) {
		char row[64];

		snprintf(row, sizeof(row), "%d,%.17g\n", i, numbers[i]);
		strcat(text, row);
		sum += numbers[i];
	}
	mean = sum / N;
	for (int i = 0; i < N; i++)
		squares += (numbers[i] - mean) * (numbers[i] - mean);
	deviation = sqrt(squares / N);
	table(f, text);
	fixture_accept(f);
	assert_true(f->d.target_mean == (float)mean);
	assert_true(f->d.target_deviation == (float)deviation);
	for (uint64_t i = 0; i < N; i++) {
		float label = target(f, false, i);
		double back =
			(double)label * (double)f->d.target_deviation + (double)f->d.target_mean;

		assert_true(label == (float)((numbers[i] - (double)f->d.target_mean) /
					     (double)f->d.target_deviation));
		assert_true(
			fabs(back - numbers[i]) <=
			ldexp(fabs((double)label), -24) * (double)f->d.target_deviation + 1e-12);
	}
}

static void validation_uses_the_training_parts_statistics(void **state)
{
	struct fixture *f = *state;

	table(f, "1,10\n2,30\n");
	validation(f, "1,20\n2,50\n2,-10.\n");
	fixture_accept(f);
	assert_true(f->d.target_mean == 20 && f->d.target_deviation == 10);
	assert_int_equal(f->d.validation.samples, 3);
	assert_true(target(f, true, 0) == 0);
	assert_true(target(f, true, 1) == 3);
	assert_true(target(f, true, 2) == -3); /* its full stop is its own */
	f->spec.validation_path[0] = '\0';
	table(f, "1,10\n2,30\n3,50\n4,5\n5,1\n6,9\n7,3\n8,2\n");
	fixture_accept(f);
	assert_true(f->d.target_mean == 13.75f);
	f->spec.validation_fraction = 0.5;
	fixture_accept(f);
	assert_int_equal(f->d.validation.samples, 4);
	assert_true(f->d.target_mean != 13.75f);
}

static void the_label_may_be_any_column_and_is_no_feature(void **state)
{
	struct fixture *f = *state;

	table(f, "price,colour\n1,red\n3,blue\n");
	strcpy(f->spec.label, "price");
	fixture_accept(f);
	assert_int_equal(f->d.features, 2); /* blue, red */
	assert_true(target(f, false, 0) == -1);
	assert_true(target(f, false, 1) == 1);
}

/* As many different numbers as rows, fractions, and only 0 and 1: all are fine as numbers. */
static void a_number_needs_no_classes(void **state)
{
	struct fixture *f = *state;
	char text[4096] = "";

	for (int i = 0; i < 200; i++) {
		char row[32];

		snprintf(row, sizeof(row), "%d,%d.5\n", i % 7, i);
		strcat(text, row);
	}
	table(f, text);
	fixture_accept(f);
	assert_int_equal(f->d.train.samples, 200);
	f->spec.task = LABEL_CLASS;
	fixture_refuse(f, TK_EINVAL, "has 200 different numbers", "say data.predict: number");
	table(f, "a,0\nb,1\nb,0\n");
	fixture_accept(f);
	assert_int_equal(f->d.classes, 0);
}

static void a_label_that_is_no_number_is_refused_with_its_line(void **state)
{
	struct fixture *f = *state;

	table(f, "x,y\n1,2\n2,4\n3,much\n");
	fixture_refuse(f, TK_EINVAL, "a:4: the label \"much\" (column \"y\") is no number",
		"data.predict: class");
	table(f, "1,2\n2,\n3,5\n");
	fixture_refuse(f, TK_EINVAL, "a:2: the label (column 1) is missing", "remove the row");
	table(f, "1,2\n2,5\n3,?\n");
	strcpy(f->spec.missing, "?");
	fixture_refuse(f, TK_EINVAL, "a:3: the label (column 1) is missing", "fill it in");
	table(f, "1,2\n2,inf\n");
	fixture_refuse(f, TK_EINVAL, "a:2: the label \"inf\"", "no number");
	table(f, "1,2\n2,1e400\n");
	fixture_refuse(f, TK_EINVAL, "a:2: the label \"1e400\"", "no number");
	table(f, "1,2\n2,5\n");
	validation(f, "1,2\n\n1,x\n");
	fixture_refuse(f, TK_EINVAL, "b:3: the label \"x\"", "no number");
	validation(f, "1,2\n1,\n");
	fixture_refuse(f, TK_EINVAL, "b:2: the label (column 1) is missing", "remove the row");
}

static void labels_with_nothing_to_predict_are_refused(void **state)
{
	struct fixture *f = *state;

	table(f, "x,y\n1,2.5\n2,2.50\n3,25e-1\n");
	fixture_refuse(f, TK_EINVAL, "a: the label (column \"y\") is 2.5 in every training row",
		"choose another data.label");
	table(f, "1,1700000000.25\n2,1700000000.75\n");
	fixture_refuse(f, TK_EINVAL, "hardly differs from its mean 1.7", "subtract some constant");
	table(f, "1,1700000000\n2,1700009999\n");
	fixture_accept(f);
}

static void labels_beyond_float32_are_refused(void **state)
{
	struct fixture *f = *state;

	table(f, "1,1e300\n2,-1e300\n");
	fixture_refuse(f, TK_EINVAL, "reaches from -1e+300 to 1e+300", "rescale it");
	table(f, "1,1e308\n2,-1e308\n3,1.1e308\n");
	fixture_refuse(f, TK_EINVAL, "reaches from -1e+308", "rescale it");
	table(f, "1,1e308\n2,1.7e308\n3,1.7e308\n");
	fixture_refuse(f, TK_EINVAL, "reaches from 1e+308", "rescale it");
	table(f, "1,1e-40\n2,-1e-40\n");
	fixture_refuse(f, TK_EINVAL, "reaches from -1e-40 to 1e-40 only", "multiply it");
	table(f, "1,1e-300\n2,-1e-300\n");
	fixture_refuse(f, TK_EINVAL, "only, which is too little", "multiply it");
	table(f, "1,1\n2,2\n");
	validation(f, "1,1e300\n");
	fixture_refuse(f, TK_EINVAL, "b:1: column 1 holds 1e+300, which is too far", "correct it");
}

static void a_mean_that_rounds_to_nothing_is_not_negative(void **state)
{
	struct fixture *f = *state;

	table(f, "1,1\n2,-1\n3,-1e-60\n");
	fixture_accept(f);
	assert_true(f->d.target_mean == 0 && !signbit(f->d.target_mean));
	table(f, "1,0\n2,-1e-60\n");
	fixture_refuse(f, TK_EINVAL, "too little to be standardised", "multiply");
}

static void only_tables_have_numbers_as_labels(void **state)
{
	struct fixture *f = *state;

	table(f, "a text");
	f->spec.format = DATA_TEXT;
	f->spec.context = 2;
	fixture_refuse(f, TK_EINVAL, "data.predict: number belongs to data.format: csv", "remove");
	f->spec.format = DATA_IDX;
	fixture_refuse(f, TK_EINVAL, "data.predict: number belongs to data.format: csv", "remove");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(the_bytes_of_a_shard_are_golden),
		FIXTURE_TEST(a_label_and_its_statistics_give_the_number_back),
		FIXTURE_TEST(validation_uses_the_training_parts_statistics),
		FIXTURE_TEST(the_label_may_be_any_column_and_is_no_feature),
		FIXTURE_TEST(a_number_needs_no_classes),
		FIXTURE_TEST(a_label_that_is_no_number_is_refused_with_its_line),
		FIXTURE_TEST(labels_with_nothing_to_predict_are_refused),
		FIXTURE_TEST(labels_beyond_float32_are_refused),
		FIXTURE_TEST(a_mean_that_rounds_to_nothing_is_not_negative),
		FIXTURE_TEST(only_tables_have_numbers_as_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
