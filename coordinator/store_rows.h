/* How the structs of rows.h lie in tables: one list of columns each, from which the store makes its
 * CREATE, INSERT and SELECT statements. */
#ifndef COORDINATOR_STORE_ROWS_H
#define COORDINATOR_STORE_ROWS_H

#include <stddef.h>
#include <stdint.h>

enum column_type {
	COLUMN_U64,
	COLUMN_U32, /* and enums */
	COLUMN_BOOL,
	COLUMN_F32,
	COLUMN_F64,
	COLUMN_TEXT,	 /* char array of `size` */
	COLUMN_BIN,	 /* exactly `size` bytes */
	COLUMN_BIN_SIZED /* at most `size` bytes; the length is the uint32_t at `length` */
};

struct column {
	const char *name;
	enum column_type type;
	size_t offset;
	size_t size;
	size_t length;
};

struct row_type {
	const char *table;
	const char *primary_key; /* column list */
	const char *extra;	 /* further constraints or "" */
	size_t size;
	size_t count;
	const struct column *columns;
};

extern const struct row_type project_type, round_type, unit_type, replica_type, peer_type,
	place_type, host_type;

/* All of them, NULL-terminated. */
extern const struct row_type *const row_types[];

#endif
