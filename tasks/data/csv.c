/* See csv.h. Keeps one record, never the table: memory is bounded by CSV_RECORD_BYTES_MAX. */
#include "tasks/data/csv.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

int csv_begin(struct csv *r, const char *path, struct span in, char delimiter, struct errmsg *msg)
{
	*r = (struct csv){.path = path, .in = in, .delimiter = delimiter};
	if (delimiter == '"' || delimiter == '\n' || delimiter == '\r' || delimiter == '\0')
		return errmsg_set(msg, TK_EINVAL,
			"data.delimiter cannot be a quote or the end of a line; use one like , ; "
			"or "
			"a tab");
	r->starts = mem_calloc(CSV_COLUMNS_MAX, sizeof(*r->starts));
	if (r->starts == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to read %s", path);
	csv_rewind(r);
	return TK_OK;
}

void csv_rewind(struct csv *r)
{
	bool marked = r->in.len >= 3 && memcmp(r->in.data, "\xef\xbb\xbf", 3) == 0;

	r->at = marked ? 3 : 0;
	r->next_line = 1;
}

void csv_close(struct csv *r)
{
	bytes_close(&r->text);
	mem_free(r->starts);
	*r = (struct csv){0};
}

const char *csv_field(const struct csv *r, uint32_t i)
{
	REQUIRE(i < r->count);
	return (const char *)r->text.data + r->starts[i];
}

static bool ended(const struct csv *r)
{
	return r->at >= r->in.len;
}

static uint8_t here(const struct csv *r)
{
	return r->in.data[r->at];
}

static bool at_newline(const struct csv *r)
{
	return !ended(r) && (here(r) == '\n' || here(r) == '\r');
}

static bool at_blank(const struct csv *r)
{
	return !ended(r) && here(r) != (uint8_t)r->delimiter && (here(r) == ' ' || here(r) == '\t');
}

static bool at_delimiter(const struct csv *r)
{
	return !ended(r) && here(r) == (uint8_t)r->delimiter;
}

static void skip_blanks(struct csv *r)
{
	while (at_blank(r))
		r->at++;
}

static void skip_newline(struct csv *r)
{
	if (here(r) == '\r' && r->at + 1 < r->in.len && r->in.data[r->at + 1] == '\n')
		r->at++;
	r->at++;
	r->next_line++;
}

static int put(struct csv *r, const uint8_t *data, size_t n, struct errmsg *msg)
{
	if (r->text.len + n > CSV_RECORD_BYTES_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"%s:%llu: the record is longer than %u bytes; is a quote left open, or is "
			"this not a table?",
			r->path, (unsigned long long)r->line, CSV_RECORD_BYTES_MAX);
	if (n != 0 && memchr(data, 0, n) != NULL)
		return errmsg_set(msg, TK_EINVAL,
			"%s:%llu: a NUL byte; the file is not UTF-8 text: if it is UTF-16, convert "
			"it "
			"with iconv -f UTF-16 -t UTF-8",
			r->path, (unsigned long long)r->next_line);
	if (bytes_append(&r->text, data, n) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to read %s", r->path);
	return TK_OK;
}

/* After the opening quote: up to and with the closing one. A doubled quote is one quote. */
static int read_quoted(struct csv *r, struct errmsg *msg)
{
	unsigned long long opened = r->next_line;

	for (;;) {
		size_t from = r->at;
		int rc;

		while (!ended(r) && here(r) != '"') {
			if (at_newline(r))
				skip_newline(r);
			else
				r->at++;
		}
		rc = put(r, r->in.data + from, r->at - from, msg);
		if (rc != TK_OK)
			return rc;
		if (ended(r))
			return errmsg_set(msg, TK_EINVAL,
				"%s:%llu: the quote that opens on this line is never closed; close "
				"it, "
				"or double it where it belongs to the text",
				r->path, opened);
		r->at++;
		if (ended(r) || here(r) != '"')
			return TK_OK;
		rc = put(r, r->in.data + r->at, 1, msg);
		if (rc != TK_OK)
			return rc;
		r->at++;
	}
}

static int read_plain(struct csv *r, struct errmsg *msg)
{
	size_t from = r->at;
	size_t to = from;

	while (!ended(r) && !at_delimiter(r) && !at_newline(r)) {
		if (!at_blank(r))
			to = r->at + 1;
		r->at++;
	}
	return put(r, r->in.data + from, to - from, msg);
}

static int read_field(struct csv *r, struct errmsg *msg)
{
	int rc;

	if (r->count == CSV_COLUMNS_MAX)
		return errmsg_set(msg, TK_ELIMIT, "%s:%llu: more than %u fields", r->path,
			(unsigned long long)r->line, CSV_COLUMNS_MAX);
	r->starts[r->count++] = r->text.len;
	skip_blanks(r);
	if (!ended(r) && here(r) == '"') {
		r->at++;
		rc = read_quoted(r, msg);
		skip_blanks(r);
		if (rc == TK_OK && !ended(r) && !at_delimiter(r) && !at_newline(r))
			rc = errmsg_set(msg, TK_EINVAL,
				"%s:%llu: field %u goes on after its closing quote; double a quote "
				"that belongs to the text, or check data.delimiter",
				r->path, (unsigned long long)r->next_line, r->count);
	} else {
		rc = read_plain(r, msg);
	}
	if (rc == TK_OK && bytes_append(&r->text, "", 1) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to read %s", r->path);
	return rc;
}

static void skip_empty_lines(struct csv *r)
{
	for (;;) {
		size_t from = r->at;

		skip_blanks(r);
		if (at_newline(r)) {
			skip_newline(r);
			continue;
		}
		if (!ended(r))
			r->at = from; /* a record starts here: its blanks are its own */
		return;
	}
}

int csv_next(struct csv *r, bool *got, struct errmsg *msg)
{
	int rc;

	skip_empty_lines(r);
	r->text.len = 0;
	r->count = 0;
	r->line = r->next_line;
	*got = !ended(r);
	while (*got) {
		rc = read_field(r, msg);
		if (rc != TK_OK)
			return rc;
		if (at_delimiter(r)) {
			r->at++;
			continue;
		}
		if (at_newline(r))
			skip_newline(r);
		return TK_OK;
	}
	return TK_OK;
}
