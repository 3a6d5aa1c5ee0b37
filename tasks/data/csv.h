/* Reads delimited text record by record (RFC 4180), from memory, without changing it.
 *
 * Beyond the RFC: any of LF, CRLF and CR ends a record, as does the end of the file; a UTF-8 byte order
 * mark is skipped; lines without anything but blanks are skipped; blanks (space, tab) around a field
 * are dropped, those within quotes are kept; a quote inside an unquoted field stands for itself. */
#ifndef TASKS_DATA_CSV_H
#define TASKS_DATA_CSV_H

#include "tasks/base/bytes.h"
#include "tasks/base/error.h"

#define CSV_COLUMNS_MAX	     4096u
#define CSV_RECORD_BYTES_MAX (1u << 20)

struct csv {
	const char *path; /* borrowed; for messages */
	struct span in;	  /* borrowed */
	char delimiter;
	size_t at;
	uint64_t next_line; /* of in[at], from 1 */
	/* The record that was read last. */
	uint64_t line;	   /* where it begins */
	uint32_t count;	   /* fields */
	struct bytes text; /* the fields, each NUL-terminated */
	size_t *starts;	   /* owned; (CSV_COLUMNS_MAX) offsets in text */
};

/* Starts at the beginning of `in`. r must be closed, also after a failure.
 * Errors: TK_EINVAL (not a possible delimiter), TK_ENOMEM. */
int csv_begin(struct csv *r, const char *path, struct span in, char delimiter,
	struct errmsg *msg) TK_CHECKED;

/* Goes back to the beginning. */
void csv_rewind(struct csv *r);

/* Reads the next record, or sets *got to false at the end. Errors, with file and line: TK_EINVAL (a
 * quote that does not close, text after a closing quote, a NUL byte), TK_ELIMIT (too long, too many
 * fields), TK_ENOMEM. */
int csv_next(struct csv *r, bool *got, struct errmsg *msg) TK_CHECKED;

/* Field i < r->count of the record; valid until the next call. */
const char *csv_field(const struct csv *r, uint32_t i);

void csv_close(struct csv *r);

#endif
