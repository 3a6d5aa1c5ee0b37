/* Records of delimited text: RFC 4180 and what we accept beyond it; number syntax. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/data/csv.h"
#include "tasks/data/source.h"

/* Reads all of `in` and writes it back as field|field per record, records ended by '/'. */
static void assert_reads(const char *in, char delimiter, const char *want)
{
	char got[512] = "";
	struct errmsg msg;
	struct csv r;
	bool more;

	assert_int_equal(csv_begin(&r, "t.csv", span_text(in), delimiter, &msg), TK_OK);
	for (;;) {
		int rc = csv_next(&r, &more, &msg);

		if (rc != TK_OK)
			fail_msg("%s", msg.text);
		if (!more)
			break;
		for (uint32_t i = 0; i < r.count; i++) {
			strcat(got, csv_field(&r, i));
			strcat(got, i + 1 < r.count ? "|" : "/");
		}
	}
	csv_close(&r);
	assert_string_equal(got, want);
}

static void assert_refuses(struct span in, int code, const char *sentence)
{
	struct errmsg msg = {""};
	struct csv r;
	bool more = true;
	int rc = csv_begin(&r, "t.csv", in, ',', &msg);

	while (rc == TK_OK && more)
		rc = csv_next(&r, &more, &msg);
	csv_close(&r);
	if (rc != code || strstr(msg.text, sentence) == NULL)
		fail_msg("got %s: %s; wanted \"%s\"", error_name(rc), msg.text, sentence);
}

static void every_line_end_ends_a_record(void **state)
{
	(void)state;
	assert_reads("a,b\nc,d\n", ',', "a|b/c|d/");
	assert_reads("a,b\r\nc,d\r\n", ',', "a|b/c|d/");
	assert_reads("a,b\rc,d\r", ',', "a|b/c|d/");
	assert_reads("a,b\nc,d", ',', "a|b/c|d/");
}

static void empty_fields_at_either_end_are_fields(void **state)
{
	(void)state;
	assert_reads(",a,\n,,\nb,", ',', "|a|/||/b|/");
}

static void empty_lines_are_skipped(void **state)
{
	(void)state;
	assert_reads("", ',', "");
	assert_reads("\n\n  \r\na,b\n\t\n\nc,d\n\n  ", ',', "a|b/c|d/");
}

static void quotes_keep_delimiters_newlines_and_doubled_quotes(void **state)
{
	(void)state;
	assert_reads(
		"\"a,b\",\"say \"\"hi\"\"\"\n\"1\n2\r\n3\",x", ',', "a,b|say \"hi\"/1\n2\r\n3|x/");
	assert_reads("\"\",\"\"\"\"\n", ',', "|\"/");
}

static void blanks_around_fields_go_and_those_in_quotes_stay(void **state)
{
	(void)state;
	assert_reads(" a b\t,\t \" c \" , d \n", ',', "a b| c |d/");
}

static void a_quote_inside_an_unquoted_field_is_itself(void **state)
{
	(void)state;
	assert_reads("5\" disk,x\"y\"\n", ',', "5\" disk|x\"y\"/");
}

static void the_delimiter_is_as_said_even_a_tab(void **state)
{
	(void)state;
	assert_reads("a,b;c\n", ';', "a,b|c/");
	assert_reads("a b\t c\t\td\n", '\t', "a b|c||d/");
}

static void a_byte_order_mark_is_no_data(void **state)
{
	(void)state;
	assert_reads("\xef\xbb\xbf"
		     "a,b\n",
		',', "a|b/");
}

static void rewind_reads_the_same_again(void **state)
{
	static const char in[] = "\n\na,b\nc,d\n";
	struct errmsg msg;
	struct csv r;
	bool more;

	(void)state;
	assert_int_equal(csv_begin(&r, "t.csv", span_text(in), ',', &msg), TK_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(csv_next(&r, &more, &msg), TK_OK);
		assert_true(more);
		assert_string_equal(csv_field(&r, 1), "b");
		assert_int_equal(r.line, 3);
		csv_rewind(&r);
	}
	csv_close(&r);
}

static void what_is_no_table_is_refused_with_its_line(void **state)
{
	static const char nul[] = "a,b\nc\0d,e\n";
	static uint8_t wide[2 * (CSV_COLUMNS_MAX + 1)];
	static uint8_t much[CSV_RECORD_BYTES_MAX + 2];
	struct csv r;
	struct errmsg msg;

	(void)state;
	assert_refuses(span_text("a,b\n1,\"2\n3\n4"), TK_EINVAL, "t.csv:2: the quote that opens");
	assert_refuses(span_text("a,b\n1,\"2\"3\n"), TK_EINVAL, "t.csv:2: field 2 goes on after");
	assert_refuses(span_of(nul, sizeof(nul) - 1), TK_EINVAL, "t.csv:2: a NUL byte");
	memset(wide, ',', sizeof(wide));
	assert_refuses(span_of(wide, sizeof(wide)), TK_ELIMIT, "t.csv:1: more than 4096 fields");
	memset(much, 'x', sizeof(much));
	assert_refuses(span_of(much, sizeof(much)), TK_ELIMIT, "t.csv:1: the record is longer");
	assert_int_equal(csv_begin(&r, "t.csv", span_text(""), '"', &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "data.delimiter"));
	csv_close(&r);
}

static void numbers_are_finite_decimals_and_nothing_else(void **state)
{
	static const struct {
		const char *text;
		bool number;
		double value;
	} table[] = {
		{"0", true, 0},
		{"-1.5", true, -1.5},
		{"+.5", true, 0.5},
		{"5.", true, 5},
		{"1e3", true, 1000},
		{"2.5E-1", true, 0.25},
		{"0.1", true, 0.1},
		{"1e400", false, 0},
		{"1e", false, 0},
		{".", false, 0},
		{"-", false, 0},
		{"1,5", false, 0},
		{"1 5", false, 0},
		{"0x10", false, 0},
		{"inf", false, 0},
		{"NaN", false, 0},
		{"12a", false, 0},
		{"--1", false, 0},
	};
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct cell cell = cell_read(table[i].text, "?", c);

		if (cell.missing || cell.number != table[i].number ||
			(cell.number && cell.value != table[i].value))
			fail_msg("%s was misread", table[i].text);
	}
	assert_true(cell_read("", "?", c).missing);
	assert_true(cell_read("?", "?", c).missing);
	assert_false(cell_read("?", "", c).missing);
	freelocale(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_end_ends_a_record),
		cmocka_unit_test(empty_fields_at_either_end_are_fields),
		cmocka_unit_test(empty_lines_are_skipped),
		cmocka_unit_test(quotes_keep_delimiters_newlines_and_doubled_quotes),
		cmocka_unit_test(blanks_around_fields_go_and_those_in_quotes_stay),
		cmocka_unit_test(a_quote_inside_an_unquoted_field_is_itself),
		cmocka_unit_test(the_delimiter_is_as_said_even_a_tab),
		cmocka_unit_test(a_byte_order_mark_is_no_data),
		cmocka_unit_test(rewind_reads_the_same_again),
		cmocka_unit_test(what_is_no_table_is_refused_with_its_line),
		cmocka_unit_test(numbers_are_finite_decimals_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
