/* Tables: kinds of columns, their features to the bit, headers, labels, the split. */
#include "tests/data/fixture.h"

#include "tasks/data/split.h"
#include "tasks/math/order.h"

static void table(struct fixture *f, const char *text)
{
	f->spec.format = DATA_CSV;
	fixture_text(f, f->spec.path, "a", text);
}

static void validation(struct fixture *f, const char *text)
{
	fixture_text(f, f->spec.validation_path, "b", text);
}

static void numbers_are_standardised_and_texts_one_hot(void **state)
{
	struct fixture *f = *state;

	table(f, "2,red,no\n"
		 "4,blue,yes\n"
		 "2,red,no\n"
		 "4,green,maybe\n");
	fixture_accept(f);
	assert_int_equal(f->d.kind, SAMPLE_F32);
	assert_int_equal(f->d.features, 4); /* number, blue, green, red */
	assert_int_equal(f->d.classes, 3);
	assert_string_equal(f->d.class_names[0], "maybe");
	assert_string_equal(f->d.class_names[1], "no");
	assert_string_equal(f->d.class_names[2], "yes");
	assert_int_equal(f->d.train.samples, 4);
	assert_int_equal(f->d.train.shard_samples, SHARD_BYTES / 20);
	assert_int_equal(f->d.validation.samples, 0);
	assert_sample(f, false, 0, (float[]){-1, 0, 0, 1}, 1);
	assert_sample(f, false, 1, (float[]){1, 1, 0, 0}, 2);
	assert_sample(f, false, 3, (float[]){1, 0, 1, 0}, 0);
}

/* (1 − 2) / √(2/3) and its negative, rounded to float32: 0xbf9cc471, 0x3f9cc471. */
static void the_bytes_of_a_shard_are_golden(void **state)
{
	static const uint8_t golden[] = {
		0x71, 0xc4, 0x9c, 0xbf, 0, 0, 0, 0, /* 1 a */
		0x00, 0x00, 0x00, 0x00, 1, 0, 0, 0, /* 2 b */
		0x71, 0xc4, 0x9c, 0x3f, 1, 0, 0, 0, /* 3 b */
	};
	struct fixture *f = *state;

	table(f, "1,a\n2,b\n3,b");
	fixture_accept(f);
	assert_int_equal(f->shards[0].len, sizeof(golden));
	assert_memory_equal(f->shards[0].data, golden, sizeof(golden));
}

static void a_missing_number_is_the_mean_and_says_so_in_a_second_feature(void **state)
{
	struct fixture *f = *state;

	table(f, "1,x\n?,y\n3,x\n,y\n");
	strcpy(f->spec.missing, "?");
	fixture_accept(f);
	assert_int_equal(f->d.features, 2);
	assert_sample(f, false, 0, (float[]){-1, 0}, 0);
	assert_sample(f, false, 1, (float[]){0, 1}, 1);
	assert_sample(f, false, 2, (float[]){1, 0}, 0);
	assert_sample(f, false, 3, (float[]){0, 1}, 1);
}

static void a_missing_or_unknown_category_is_all_zeros(void **state)
{
	struct fixture *f = *state;

	table(f, "red,x\n?,y\nblue,x\n");
	validation(f, "blue,x\ngrey,y\n?,x\n");
	strcpy(f->spec.missing, "?");
	f->spec.header = HEADER_NO;
	fixture_accept(f);
	assert_int_equal(f->d.features, 2);
	assert_sample(f, false, 1, (float[]){0, 0}, 1);
	assert_sample(f, true, 0, (float[]){1, 0}, 0);
	assert_sample(f, true, 1, (float[]){0, 0}, 1);
	assert_sample(f, true, 2, (float[]){0, 0}, 0);
}

/* 0.1 summed and divided is not 0.1 again: the spread must not come from rounding. */
static void a_constant_column_is_zeros_even_in_validation(void **state)
{
	struct fixture *f = *state;

	table(f, "0.1,1,x\n0.1,3,y\n0.1,1,x\n0.1,3,y\n0.1,1,x\n0.1,3,y\n");
	validation(f, "7,3,x\n");
	fixture_accept(f);
	assert_sample(f, false, 0, (float[]){0, -1}, 0);
	assert_sample(f, true, 0, (float[]){0, 1}, 0);
}

static void a_column_without_values_has_no_feature(void **state)
{
	struct fixture *f = *state;

	table(f, ",1,x\n,3,y\n");
	fixture_accept(f);
	assert_int_equal(f->d.features, 1);
	table(f, ",x\n,y\n");
	fixture_refuse(f, TK_EINVAL, f->spec.path, "no column but the label has a value");
}

static void validation_uses_what_training_taught(void **state)
{
	struct fixture *f = *state;

	table(f, "2,x\n4,y\n");
	validation(f, "9,y\n3,x\n,x\n");
	fixture_accept(f);
	assert_int_equal(f->d.validation.samples, 3);
	assert_sample(f, true, 0, (float[]){6}, 1);
	assert_sample(f, true, 1, (float[]){0}, 0);
	assert_sample(f, true, 2, (float[]){0}, 0);
}

struct header_case {
	const char *text;
	const char *label;
	enum data_header header;
	uint32_t samples;
};

static void the_header_is_found_or_as_said(void **state)
{
	static const struct header_case cases[] = {
		{"age,who\n1,x\n2,y\n", "last", HEADER_AUTO, 2},
		{"age,who\n1,x\n2,y\n1,who\n", "last", HEADER_NO, 4},
		{"1,x\n2,y\n", "last", HEADER_AUTO, 2},
		{"1,x\n2,y\n3,x\n4,y\n", "last", HEADER_YES, 3},
		{"colour,who\nred,x\nblue,y\n", "last", HEADER_AUTO, 2}, /* texts, none again */
		{"red,x\nblue,y\nred,y\n", "last", HEADER_AUTO, 3},	 /* red occurs again */
		{",who\n1,x\n2,y\n", "last", HEADER_AUTO, 3},		 /* an empty field */
		{"7,who\n1,x\n2,y\n", "who", HEADER_AUTO, 2},		 /* named by the label */
		{"a,b\n1,x\n?,y\n3,x\n", "last", HEADER_AUTO, 3},	 /* a missing one below */
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		table(f, cases[i].text);
		strcpy(f->spec.label, cases[i].label);
		strcpy(f->spec.missing, "?");
		f->spec.header = cases[i].header;
		fixture_accept(f);
		if (f->d.train.samples != cases[i].samples)
			fail_msg("case %d: %d samples", (int)i, (int)f->d.train.samples);
	}
}

static void the_label_is_a_name_last_or_an_index(void **state)
{
	static const char *const labels[] = {"who", "1", "last", ""};
	static const char *const texts[] = {"a,who,b\n1,x,2\n2,y,4\n", "a,who,b\n1,x,2\n2,y,4\n",
		"a,b,who\n1,2,x\n2,4,y\n", "a,b,who\n1,2,x\n2,4,y\n"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++) {
		table(f, texts[i]);
		strcpy(f->spec.label, labels[i]);
		fixture_accept(f);
		assert_int_equal(f->d.features, 2);
		assert_string_equal(f->d.class_names[1], "y");
		assert_sample(f, false, 0, (float[]){-1, -1}, 0);
	}
}

static void a_label_that_is_no_column_is_refused_with_the_choice(void **state)
{
	struct fixture *f = *state;

	table(f, "a,who\n1,x\n2,y\n");
	strcpy(f->spec.label, "wo");
	fixture_refuse(f, TK_EINVAL, "data.label \"wo\" is no column", "\"a\", \"who\"");
	strcpy(f->spec.label, "2");
	fixture_refuse(f, TK_EINVAL, "data.label \"2\"", "index from 0 to 1");
	strcpy(f->spec.label, "99999999999999999999999");
	fixture_refuse(f, TK_EINVAL, "is no column", "index from 0 to 1");
	strcpy(f->spec.label, "who");
	f->spec.header = HEADER_NO;
	fixture_refuse(f, TK_EINVAL, "has no header", "data.header: true");
	table(f, "who,a,who\nx,1,x\ny,2,y\n");
	f->spec.header = HEADER_AUTO;
	fixture_refuse(f, TK_EINVAL, "two columns called \"who\", 0 and 2", "index");
}

static void the_header_of_a_validation_file_must_be_the_same(void **state)
{
	struct fixture *f = *state;

	table(f, "a,who\n1,x\n3,y\n");
	validation(f, "a,who\n3,x\n");
	fixture_accept(f);
	assert_int_equal(f->d.validation.samples, 1);
	validation(f, "3,x\n1,y\n"); /* auto: a file without one */
	fixture_accept(f);
	assert_int_equal(f->d.validation.samples, 2);
	f->spec.header = HEADER_YES;
	fixture_refuse(f, TK_EINVAL, "column 0 is called \"3\"", "same order");
	validation(f, "a,b,who\n3,4,x\n");
	fixture_refuse(f, TK_EINVAL, "has 3 columns", "has 2");
	validation(f, "a,who\n");
	fixture_refuse(f, TK_EINVAL, "a header and no rows", "data.header: false");
}

static void a_validation_file_with_other_columns_is_refused(void **state)
{
	struct fixture *f = *state;

	table(f, "a,b,who\n1,2,x\n3,4,y\n");
	validation(f, "b,a,who\n3,4,x\n");
	fixture_refuse(f, TK_EINVAL, "column 0 is called \"b\" here and \"a\" in", "same order");
	validation(f, "a,renamed,who\n3,4,x\n");
	fixture_refuse(f, TK_EINVAL, "column 1 is called \"renamed\" here", "same columns");
}

/* n rows of numbers, of which every `nth` is the text "1.2x". */
static void stray(struct fixture *f, int n, int nth)
{
	char text[4096];
	size_t used = 0;

	for (int i = 1; i <= n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
			i % nth == 0 ? "1.2x,%c\n" : "7,%c\n", i % 2 == 0 ? 'x' : 'y');
	table(f, text);
}

static void a_slip_among_numbers_is_not_a_category(void **state)
{
	struct fixture *f = *state;

	stray(f, 63, 21);
	fixture_refuse(f, TK_EINVAL, "a:21: column 0 holds \"1.2x\" among 60 numbers",
		"data.missing: \"1.2x\"");
	strcpy(f->spec.missing, "1.2x");
	assert_int_equal(fixture_prepare(f), TK_OK);
	assert_int_equal(f->d.features, 2); /* the number, and whether it was missing */
	f->spec.missing[0] = '\0';
	stray(f, 63, 3); /* a third of them: they are names */
	assert_int_equal(fixture_prepare(f), TK_OK);
	assert_int_equal(f->d.features, 2);
}

static void a_mark_of_missing_numbers_is_not_a_category(void **state)
{
	struct fixture *f = *state;

	table(f, "1,x\n2,y\nnan,x\n4,y\n");
	fixture_refuse(f, TK_EINVAL, "a:3: column 0 holds \"nan\" among numbers",
		"say data.missing: \"nan\"");
	strcpy(f->spec.missing, "nan");
	fixture_accept(f);
	assert_int_equal(f->d.features, 2); /* the number, and whether it is missing */
	f->spec.missing[0] = '\0';
	table(f, "1,x\n2,y\nNA,x\n3+,y\n"); /* categories that look like numbers */
	fixture_accept(f);
	assert_int_equal(f->d.features, 4);
	table(f, "a,x\nb,y\n?,x\n"); /* no number at all */
	fixture_accept(f);
	assert_int_equal(f->d.features, 3);
}

static void a_full_stop_after_every_validation_label_is_dropped(void **state)
{
	struct fixture *f = *state;

	table(f, "1,<=50K\n3,>50K\n");
	validation(f, "1,>50K.\n3,<=50K.\n");
	fixture_accept(f);
	assert_sample(f, true, 0, (float[]){-1}, 1);
	assert_sample(f, true, 1, (float[]){1}, 0);
	validation(f, "1,>50K.\n3,<=50K\n"); /* not every */
	fixture_refuse(f, TK_EINVAL, "b:1: the label \">50K.\"", "does not occur in the training");
	table(f, "1,no.\n3,yes\n"); /* one belongs to a class */
	validation(f, "1,yes.\n");
	fixture_refuse(f, TK_EINVAL, "b:1: the label \"yes.\"", "does not occur in the training");
}

static void a_fraction_is_drawn_by_row_and_keeps_the_order(void **state)
{
	struct fixture *f = *state;
	char text[4000] = "";
	uint64_t at[2] = {0, 0};
	const uint64_t n = 100;

	for (uint64_t i = 0; i < n; i++) {
		char row[32];

		snprintf(row, sizeof(row), "%d,%d,c%d\n", (int)i % 2, (int)i, (int)i % 2);
		strcat(text, row);
	}
	table(f, text);
	f->spec.seed = 77;
	f->spec.validation_fraction = 0.255; /* 25.5: rounded half up */
	fixture_accept(f);
	assert_int_equal(f->d.validation.samples, 26);
	assert_int_equal(f->d.train.samples, 74);
	for (uint64_t i = 0; i < n; i++) {
		bool kept = bijection(n, 77, SPLIT_TWEAK, i) < 26;
		float features[2];
		float before[2] = {0, -1e9f};

		if (at[kept] > 0)
			fixture_sample(f, kept, at[kept] - 1, before);
		assert_int_equal(fixture_sample(f, kept, at[kept]++, features), i % 2);
		assert_true(features[1] > before[1]);
	}
	assert_int_equal(at[0], 74);
	assert_int_equal(at[1], 26);
}

static void every_fraction_leaves_both_parts_something(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(split_count(8, 0), 0);
	assert_int_equal(split_count(8, 1e-9), 1);
	assert_int_equal(split_count(8, 0.3125), 3); /* 2.5: rounded half up */
	assert_int_equal(split_count(8, 0.999), 7);
	assert_int_equal(split_count(2, 0.5), 1);
	assert_int_equal(split_count(1000000, 0.1), 100000);
	table(f, "1,x\n");
	f->spec.validation_fraction = 0.5;
	fixture_refuse(f, TK_EINVAL, "has 1 row", "at least 2");
	f->spec.validation_fraction = 1;
	fixture_refuse(f, TK_EINVAL, "data.validation_fraction is 1", "less than 1");
	f->spec.validation_fraction = strtod("nan", NULL);
	fixture_refuse(f, TK_EINVAL, "data.validation_fraction is", "less than 1");
}

static void the_same_files_give_the_same_shards(void **state)
{
	struct fixture *f = *state;
	struct digest first;

	table(f, "1.7,red,x\n2.9,blue,y\n1e-3,red,x\n-4,grey,y\n");
	fixture_accept(f);
	first = f->d.train.digests[0];
	fixture_accept(f);
	assert_true(digest_equal(&first, &f->d.train.digests[0]));
	f->spec.delimiter = ';';
	table(f, "1.70 ;\"red\"; x\r\n\r\n2.9;blue;y\r\n0.001;red;x\r\n-4.0;grey;y");
	fixture_accept(f);
	assert_true(digest_equal(&first, &f->d.train.digests[0]));
}

static void wrong_rows_are_refused_with_file_line_and_remedy(void **state)
{
	struct fixture *f = *state;

	table(f, "1,x\n2,y,z\n");
	fixture_refuse(f, TK_EINVAL, "a:2: 3 fields where the first row has 2", "quote those");
	table(f, "1,x\n2\n");
	fixture_refuse(f, TK_EINVAL, "a:2: 1 fields", "first row has 2");
	table(f, "1;x\n2;y\n");
	fixture_refuse(f, TK_EINVAL, "a:1: only one field", "data.delimiter");
	table(f, "\n \n");
	fixture_refuse(f, TK_EINVAL, f->spec.path, "is empty");
	table(f, "1,x\n2,\n");
	fixture_refuse(f, TK_EINVAL, "a:2: the label (column 1) is missing", "remove the row");
	table(f, "1,x\n2,y\n");
	validation(f, "1,x\n\n2,z\n");
	fixture_refuse(f, TK_EINVAL, "b:3: the label \"z\"", "does not occur");
	validation(f, "1,x\n2,\n");
	fixture_refuse(f, TK_EINVAL, "b:2: the label (column 1) is missing", "remove the row");
	validation(f, "1,x\nn/a,y\n");
	fixture_refuse(f, TK_EINVAL, "b:2: column 0 holds \"n/a\"", "data.missing");
	validation(f, "1e300,x\n");
	fixture_refuse(f, TK_EINVAL, "b:1: column 0 holds 1e+300", "too far");
	snprintf(f->spec.path, sizeof(f->spec.path), "%s/none", f->folder);
	fixture_refuse(f, TK_ENOENT, "none", "cannot open");
	f->spec.path[0] = '\0';
	fixture_refuse(f, TK_EINVAL, "data.path is empty", "name the file");
	f->spec.format = (enum data_format)9;
	strcpy(f->spec.path, "x");
	fixture_refuse(f, TK_EINVAL, "data.format", "csv, idx");
}

static void columns_that_cannot_be_learnt_are_refused_by_name(void **state)
{
	struct fixture *f = *state;
	static char text[400000];
	size_t used;

	table(f, "1e308,x\n1e308,y\n-1,x\n");
	fixture_refuse(f, TK_EINVAL, "column 0 reaches from -1 to 1e+308", "rescale");
	table(f, "1e200,x\n-1e200,y\n");
	fixture_refuse(f, TK_EINVAL, "column 0 reaches from", "rescale");
	table(f, "1,x\n2,x\n");
	fixture_refuse(f, TK_EINVAL, "label (column 1) is \"x\" in every", "nothing to tell apart");
	table(f, "1,\xff\n2,y\n");
	fixture_refuse(f, TK_EINVAL, "a:1: the label \"?\"", "not UTF-8");
	table(f, "1,a123456789a123456789a123456789a123456789a123456789a123456789a123\n2,y\n");
	fixture_refuse(f, TK_EINVAL, "a:1: the label \"a1234", "longer than 63 bytes");
	used = (size_t)sprintf(text, "name,x,y\n");
	for (int i = 0; i < 150; i++)
		used += (size_t)sprintf(text + used, "n%d,%d,%s\n", i, i, i % 2 ? "a" : "b");
	table(f, text);
	fixture_refuse(f, TK_EINVAL, "column \"name\" holds a different text in each of 150",
		"is \"n0\" on line 2");
	strcpy(f->spec.label, "name");
	fixture_refuse(f, TK_EINVAL, "label (column \"name\") is different in each", "data.label");
	strcpy(f->spec.label, "last");
	used = 0;
	for (int i = 0; i < 100; i++)
		used += (size_t)sprintf(text + used, "%d,%d.5\n", i, i % 50);
	table(f, text);
	fixture_refuse(f, TK_EINVAL, "has 50 different numbers", "quantity");
}

static void too_many_features_name_the_widest_column(void **state)
{
	struct fixture *f = *state;
	const int values = 40000;
	char *text = malloc(4u << 20);
	size_t used = 0;

	assert_non_null(text);
	for (int i = 0; i <= values; i++)
		used += (size_t)sprintf(text + used, "a%d,b%d,%s\n", i % values, i % (values - 1),
			i % 2 ? "x" : "y");
	table(f, text);
	fixture_refuse(f, TK_ELIMIT, "make 79999 features", "column 0 alone makes 40000");
	used = 0;
	for (int i = 0; i <= (int)FEATURES_MAX + 1; i++)
		used += (size_t)sprintf(text + used, "a%d,%s\n", i, i % 2 ? "x" : "y");
	table(f, text);
	fixture_refuse(f, TK_ELIMIT, "column 0 has more than 65536 different", "remove the column");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(numbers_are_standardised_and_texts_one_hot),
		FIXTURE_TEST(the_bytes_of_a_shard_are_golden),
		FIXTURE_TEST(a_missing_number_is_the_mean_and_says_so_in_a_second_feature),
		FIXTURE_TEST(a_missing_or_unknown_category_is_all_zeros),
		FIXTURE_TEST(a_constant_column_is_zeros_even_in_validation),
		FIXTURE_TEST(a_column_without_values_has_no_feature),
		FIXTURE_TEST(validation_uses_what_training_taught),
		FIXTURE_TEST(the_header_is_found_or_as_said),
		FIXTURE_TEST(the_label_is_a_name_last_or_an_index),
		FIXTURE_TEST(a_label_that_is_no_column_is_refused_with_the_choice),
		FIXTURE_TEST(the_header_of_a_validation_file_must_be_the_same),
		FIXTURE_TEST(a_validation_file_with_other_columns_is_refused),
		FIXTURE_TEST(a_slip_among_numbers_is_not_a_category),
		FIXTURE_TEST(a_mark_of_missing_numbers_is_not_a_category),
		FIXTURE_TEST(a_full_stop_after_every_validation_label_is_dropped),
		FIXTURE_TEST(a_fraction_is_drawn_by_row_and_keeps_the_order),
		FIXTURE_TEST(every_fraction_leaves_both_parts_something),
		FIXTURE_TEST(the_same_files_give_the_same_shards),
		FIXTURE_TEST(wrong_rows_are_refused_with_file_line_and_remedy),
		FIXTURE_TEST(columns_that_cannot_be_learnt_are_refused_by_name),
		FIXTURE_TEST(too_many_features_name_the_widest_column),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
