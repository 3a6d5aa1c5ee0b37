/* What the store's two files share: the database, SQL texts, rows. Private to the store. */
#ifndef COORDINATOR_STORE_STATE_H
#define COORDINATOR_STORE_STATE_H

#include <limits.h>

#include "coordinator/store.h"
#include "coordinator/store_rows.h"

#define SQL_MAX	  4096
#define ROW_TYPES 7

struct sqlite3;
struct sqlite3_stmt;

struct store {
	struct sqlite3 *db;
	struct sqlite3_stmt *save[ROW_TYPES]; /* by position in row_types */
	struct sqlite3_stmt *add_ledger;
	char path[PATH_MAX];
};

/* A growing SQL text in a fixed buffer; our own lists always fit. */
struct sql {
	char text[SQL_MAX];
	size_t used;
};
void sql_add(struct sql *q, const char *format, ...) TK_PRINTF(2, 3);

/* The last error of SQLite as a code and a sentence. */
int store_failed(struct store *s, const char *doing, struct errmsg *msg);

/* Runs statements that give nothing back. */
int store_run(struct store *s, const char *sql, const char *doing, struct errmsg *msg) TK_CHECKED;

/* Its table, and the statement that is kept. */
int ledger_open(struct store *s, bool create, struct errmsg *msg) TK_CHECKED;

int row_create_table(struct store *s, const struct row_type *type, struct errmsg *msg) TK_CHECKED;
int row_prepare_save(struct store *s, const struct row_type *type, struct sqlite3_stmt **out,
	struct errmsg *msg) TK_CHECKED;
int row_save(struct store *s, const struct row_type *type, const void *row,
	struct errmsg *msg) TK_CHECKED;
/* SELECT all columns FROM type's table, then `tail` with numbers bound. */
int row_each(struct store *s, const struct row_type *type, const char *tail,
	const uint64_t *numbers, size_t count, store_each each, void *context,
	struct errmsg *msg) TK_CHECKED;

#endif
