/* One CSV file as a table: its rows, their width, whether the first of them is a header. */
#ifndef TASKS_DATA_SOURCE_H
#define TASKS_DATA_SOURCE_H

#include <locale.h>

#include "tasks/data/csv.h"
#include "tasks/data/dataset.h"

struct source {
	const char *path; /* borrowed */
	struct bytes file;
	struct csv csv;
	uint32_t columns;
	uint64_t rows; /* without the header */
	bool header;
	struct bytes first;   /* the first record's fields, each NUL-terminated */
	size_t *first_starts; /* owned; (columns) */
};

/* A field as it reads: nothing, a finite decimal number, or (neither) a text. */
struct cell {
	const char *text; /* borrowed */
	bool missing;
	bool number;
	double value; /* of a number */
};

/* Reads a field. `c` is the C locale, so that 1.5 means the same everywhere. Hexadecimal, "inf" and
 * "nan" are texts, and so is a number too large for a double. */
struct cell cell_read(const char *text, const char *missing, locale_t c);

/* Opens the file spec names: the training table (like is NULL), or a validation table that must look
 * like the training one. Counts its rows and settles whether it has a header:
 *
 * header: true, false: as said. auto: yes if data.label is the name of a field of the first row;
 * otherwise yes if no field of the first row is a number or missing, and either some column below it
 * holds only numbers, or no column does and none of the row's fields occurs again in its column.
 * A validation table has a header if the training table does; under auto only if its first row is
 * the same. A first row of which half are names of the training table's columns, in other places or
 * among other names, is refused.
 *
 * s is closed by the caller, also after a failure. Errors carry file and line. */
int source_open(struct source *s, const char *path, const struct data_spec *spec, locale_t c,
	const struct source *like, struct errmsg *msg) TK_CHECKED;

/* The field of the first record. */
const char *source_first(const struct source *s, uint32_t column);

/* Goes back to the first row. Errors: those of csv_next. */
int source_rewind(struct source *s, struct errmsg *msg) TK_CHECKED;

/* The column that data.label means: a name of the header, "last", or an index from 0, in this order.
 * Errors: TK_EINVAL, with what there is to choose from. */
int source_label(const struct source *s, const struct data_spec *spec, uint32_t *column,
	struct errmsg *msg) TK_CHECKED;

void source_close(struct source *s);

#endif
