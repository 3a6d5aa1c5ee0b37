/* See source.h. Memory: the file, and one record. */
#include "tasks/data/source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/data/readers.h"
#include "tasks/data/utf8.h"

static const char *skip_digits(const char *p, size_t *count)
{
	for (; *p >= '0' && *p <= '9'; p++)
		++*count;
	return p;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit somewhere before the exponent. */
static bool is_decimal(const char *p)
{
	size_t mantissa = 0;
	size_t exponent = 0;

	p += *p == '+' || *p == '-';
	p = skip_digits(p, &mantissa);
	if (*p == '.')
		p = skip_digits(p + 1, &mantissa);
	if (mantissa == 0)
		return false;
	if (*p == 'e' || *p == 'E') {
		p++;
		p += *p == '+' || *p == '-';
		p = skip_digits(p, &exponent);
		if (exponent == 0)
			return false;
	}
	return *p == '\0';
}

struct cell cell_read(const char *text, const char *missing, locale_t c)
{
	struct cell cell = {.text = text};

	cell.missing = text[0] == '\0' || (missing[0] != '\0' && strcmp(text, missing) == 0);
	if (!cell.missing && is_decimal(text)) {
		cell.value = strtod_l(text, NULL, c);
		cell.number = isfinite(cell.value);
	}
	return cell;
}

const char *source_first(const struct source *s, uint32_t column)
{
	REQUIRE(column < s->columns);
	return (const char *)s->first.data + s->first_starts[column];
}

static int keep_first(struct source *s, struct errmsg *msg)
{
	bool got;
	int rc = csv_next(&s->csv, &got, msg);

	if (rc != TK_OK)
		return rc;
	if (!got)
		return errmsg_set(msg, TK_EINVAL, "%s is empty; it must hold a table", s->path);
	if (s->csv.count < 2)
		return errmsg_set(msg, TK_EINVAL,
			"%s:%llu: only one field; a table needs features and a label: does "
			"data.delimiter (now \"%c\") fit the file?",
			s->path, (unsigned long long)s->csv.line, s->csv.delimiter);
	s->first_starts = mem_dup(s->csv.starts, s->csv.count * sizeof(*s->csv.starts));
	if (s->first_starts == NULL ||
		bytes_append(&s->first, s->csv.text.data, s->csv.text.len) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to read %s", s->path);
	s->columns = s->csv.count;
	return TK_OK;
}

/* What the rows below the first one hold, column by column. */
struct below {
	bool numbers;
	bool texts;
	bool first_again;
};

static int look_below(struct source *s, const struct data_spec *spec, locale_t c,
	struct below *below, struct errmsg *msg)
{
	for (;;) {
		bool got;
		int rc = csv_next(&s->csv, &got, msg);

		if (rc != TK_OK || !got)
			return rc;
		if (s->csv.count != s->columns)
			return errmsg_set(msg, TK_EINVAL,
				"%s:%llu: %u fields where the first row has %u; add or remove "
				"fields, or quote those that contain \"%c\"",
				s->path, (unsigned long long)s->csv.line, s->csv.count, s->columns,
				s->csv.delimiter);
		s->rows++;
		for (uint32_t i = 0; i < s->columns; i++) {
			struct cell cell = cell_read(csv_field(&s->csv, i), spec->missing, c);

			if (cell.missing)
				continue;
			below[i].numbers |= cell.number;
			below[i].texts |= !cell.number;
			below[i].first_again |= strcmp(cell.text, source_first(s, i)) == 0;
		}
	}
}

static bool label_is_index(const char *label)
{
	return label[0] != '\0' && label[strspn(label, "0123456789")] == '\0';
}

static bool label_is_last(const char *label)
{
	return label[0] == '\0' || strcmp(label, "last") == 0;
}

/* HEADER_AUTO's rule for the training table; see source.h. */
static bool guess_header(
	const struct source *s, const struct data_spec *spec, locale_t c, const struct below *below)
{
	bool number_below = false;
	bool again = false;

	if (!label_is_index(spec->label) && !label_is_last(spec->label)) {
		for (uint32_t i = 0; i < s->columns; i++) {
			if (strcmp(source_first(s, i), spec->label) == 0)
				return true;
		}
	}
	for (uint32_t i = 0; i < s->columns; i++) {
		struct cell cell = cell_read(source_first(s, i), spec->missing, c);

		if (cell.missing || cell.number)
			return false;
		number_below |= below[i].numbers && !below[i].texts;
		again |= below[i].first_again;
	}
	return number_below || (s->rows != 0 && !again);
}

/* Whether half of the first row or more are names that the training table's header has somewhere. */
static bool names_columns(const struct source *s, const struct source *like)
{
	uint32_t names = 0;

	for (uint32_t i = 0; i < s->columns; i++) {
		uint32_t j = 0;

		while (j < like->columns && strcmp(source_first(s, i), source_first(like, j)) != 0)
			j++;
		names += j < like->columns;
	}
	return names >= s->columns - names;
}

/* Whether the first row of a validation table repeats the header of the training table. */
static int compare_header(struct source *s, const struct data_spec *spec, const struct source *like,
	struct errmsg *msg)
{
	char here[UTF8_QUOTED];
	char there[UTF8_QUOTED];

	for (uint32_t i = 0; like->header && i < s->columns; i++) {
		if (strcmp(source_first(s, i), source_first(like, i)) == 0)
			continue;
		if (spec->header == HEADER_YES || names_columns(s, like))
			return errmsg_set(msg, TK_EINVAL,
				"%s: column %u is called %s here and %s in %s; both files need the "
				"same columns in the same order",
				s->path, i, utf8_quote(here, source_first(s, i)),
				utf8_quote(there, source_first(like, i)), like->path);
		return TK_OK;
	}
	s->header = like->header;
	return TK_OK;
}

static int survey(struct source *s, const struct data_spec *spec, locale_t c,
	const struct source *like, struct errmsg *msg)
{
	struct below *below = NULL;
	int rc = keep_first(s, msg);

	if (rc == TK_OK && like != NULL && s->columns != like->columns)
		rc = errmsg_set(msg, TK_EINVAL,
			"%s has %u columns and %s has %u; both files need the same columns",
			s->path, s->columns, like->path, like->columns);
	if (rc != TK_OK)
		return rc;
	below = mem_calloc(s->columns, sizeof(*below));
	if (below == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to read %s", s->path);
	rc = look_below(s, spec, c, below, msg);
	if (rc == TK_OK && like != NULL)
		rc = compare_header(s, spec, like, msg);
	else if (rc == TK_OK)
		s->header = spec->header == HEADER_YES ||
			    (spec->header == HEADER_AUTO && guess_header(s, spec, c, below));
	mem_free(below);
	if (rc != TK_OK)
		return rc;
	s->rows += !s->header;
	if (s->rows == 0)
		return errmsg_set(msg, TK_EINVAL,
			"%s has a header and no rows below it; if its only row is data, say "
			"data.header: false",
			s->path);
	return TK_OK;
}

int source_open(struct source *s, const char *path, const struct data_spec *spec, locale_t c,
	const struct source *like, struct errmsg *msg)
{
	char delimiter = spec->delimiter != '\0' ? spec->delimiter : ',';
	int rc;

	*s = (struct source){.path = path};
	rc = file_read(&s->file, path, DATA_FILE_MAX, msg);
	if (rc == TK_OK)
		rc = csv_begin(&s->csv, path, bytes_span(&s->file), delimiter, msg);
	if (rc == TK_OK)
		rc = survey(s, spec, c, like, msg);
	return rc;
}

int source_rewind(struct source *s, struct errmsg *msg)
{
	bool got;

	csv_rewind(&s->csv);
	return s->header ? csv_next(&s->csv, &got, msg) : TK_OK;
}

static int refuse_label(const struct source *s, const char *label, struct errmsg *msg)
{
	char names[400] = "";
	char quoted[UTF8_QUOTED];
	size_t used = 0;

	if (!s->header)
		return errmsg_set(msg, TK_EINVAL,
			"%s has no header, so data.label cannot be the name %s; use \"last\" or an "
			"index from 0 to %u, or say data.header: true",
			s->path, utf8_quote(quoted, label), s->columns - 1);
	for (uint32_t i = 0; i < s->columns; i++) {
		if (used + UTF8_QUOTED + 8 > sizeof(names)) {
			snprintf(names + used, sizeof(names) - used, ", …");
			break;
		}
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
			i == 0 ? "" : ", ", utf8_quote(quoted, source_first(s, i)));
	}
	return errmsg_set(msg, TK_EINVAL,
		"%s: data.label %s is no column; its columns are %s: use one of them, \"last\" or "
		"an "
		"index from 0 to %u",
		s->path, utf8_quote(quoted, label), names, s->columns - 1);
}

int source_label(
	const struct source *s, const struct data_spec *spec, uint32_t *column, struct errmsg *msg)
{
	char quoted[UTF8_QUOTED];
	uint32_t found = 0;

	for (uint32_t i = 0; s->header && i < s->columns; i++) {
		if (strcmp(source_first(s, i), spec->label) != 0)
			continue;
		if (found++ != 0)
			return errmsg_set(msg, TK_EINVAL,
				"%s has two columns called %s, %u and %u; name data.label by its "
				"index",
				s->path, utf8_quote(quoted, spec->label), *column, i);
		*column = i;
	}
	if (found != 0)
		return TK_OK;
	if (label_is_last(spec->label)) {
		*column = s->columns - 1;
		return TK_OK;
	}
	if (label_is_index(spec->label)) {
		unsigned long index = strtoul(spec->label, NULL, 10);

		if (index < s->columns) {
			*column = (uint32_t)index;
			return TK_OK;
		}
	}
	return refuse_label(s, spec->label, msg);
}

void source_close(struct source *s)
{
	csv_close(&s->csv);
	bytes_close(&s->file);
	bytes_close(&s->first);
	mem_free(s->first_starts);
	*s = (struct source){0};
}
