/* See store_state.h: rows in and out of tables, and what SQLite's errors mean to a person. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/rows.h"
#include "coordinator/store_state.h"
#include "tasks/base/require.h"

int store_failed(struct store *s, const char *doing, struct errmsg *msg)
{
	int code = sqlite3_extended_errcode(s->db);
	int rc = TK_EIO;

	switch (code & 0xff) {
	case SQLITE_FULL:
		rc = TK_ENOSPC;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		rc = TK_EBUSY;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		rc = TK_ECORRUPT;
		break;
	case SQLITE_NOMEM:
		rc = TK_ENOMEM;
		break;
	case SQLITE_CONSTRAINT:
		rc = TK_EEXIST;
		break;
	default:
		break;
	}
	return errmsg_set(msg, rc, "%s: cannot %s: %s", s->path, doing, sqlite3_errmsg(s->db));
}

int store_run(struct store *s, const char *sql, const char *doing, struct errmsg *msg)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? TK_OK
		       : store_failed(s, doing, msg);
}

void sql_add(struct sql *q, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(q->text + q->used, sizeof(q->text) - q->used, format, args);
	va_end(args);
	REQUIRE(n >= 0 && (size_t)n < sizeof(q->text) - q->used);
	q->used += (size_t)n;
}

static const char *sql_type(enum column_type type)
{
	switch (type) {
	case COLUMN_F32:
	case COLUMN_F64:
		return "REAL";
	case COLUMN_TEXT:
		return "TEXT NOT NULL";
	case COLUMN_BIN:
	case COLUMN_BIN_SIZED:
		return "BLOB NOT NULL";
	default:
		return "INTEGER NOT NULL";
	}
}

int row_create_table(struct store *s, const struct row_type *type, struct errmsg *msg)
{
	struct sql q = {.used = 0};

	sql_add(&q, "CREATE TABLE IF NOT EXISTS \"%s\" (", type->table);
	for (size_t i = 0; i < type->count; i++)
		sql_add(&q, "\"%s\" %s, ", type->columns[i].name, sql_type(type->columns[i].type));
	sql_add(&q, "PRIMARY KEY (%s)%s) STRICT", type->primary_key, type->extra);
	return store_run(s, q.text, "make a table", msg);
}

static void column_list(struct sql *q, const struct row_type *type)
{
	for (size_t i = 0; i < type->count; i++)
		sql_add(q, "%s\"%s\"", i != 0 ? ", " : "", type->columns[i].name);
}

/* INSERT … ON CONFLICT on the primary key alone: a clash of names stays an error. */
int row_prepare_save(
	struct store *s, const struct row_type *type, sqlite3_stmt **out, struct errmsg *msg)
{
	struct sql q = {.used = 0};

	sql_add(&q, "INSERT INTO \"%s\" (", type->table);
	column_list(&q, type);
	sql_add(&q, ") VALUES (");
	for (size_t i = 0; i < type->count; i++)
		sql_add(&q, "%s?", i != 0 ? ", " : "");
	sql_add(&q, ") ON CONFLICT (%s) DO UPDATE SET ", type->primary_key);
	for (size_t i = 0; i < type->count; i++)
		sql_add(&q, "%s\"%s\" = excluded.\"%s\"", i != 0 ? ", " : "", type->columns[i].name,
			type->columns[i].name);
	if (sqlite3_prepare_v3(s->db, q.text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) !=
		SQLITE_OK)
		return store_failed(s, "prepare a statement", msg);
	return TK_OK;
}

static void bind(sqlite3_stmt *st, int at, const struct column *c, const uint8_t *row)
{
	const uint8_t *p = row + c->offset;
	uint64_t u64;
	uint32_t u32;
	float f32;
	double f64;

	switch (c->type) {
	case COLUMN_U64:
		memcpy(&u64, p, sizeof(u64));
		sqlite3_bind_int64(st, at, (sqlite3_int64)u64);
		break;
	case COLUMN_U32:
		memcpy(&u32, p, sizeof(u32));
		sqlite3_bind_int64(st, at, u32);
		break;
	case COLUMN_BOOL:
		sqlite3_bind_int(st, at, *(const bool *)p);
		break;
	case COLUMN_F32:
		memcpy(&f32, p, sizeof(f32));
		sqlite3_bind_double(st, at, (double)f32);
		break;
	case COLUMN_F64:
		memcpy(&f64, p, sizeof(f64));
		sqlite3_bind_double(st, at, f64);
		break;
	case COLUMN_TEXT:
		sqlite3_bind_text(st, at, (const char *)p, -1, SQLITE_STATIC);
		break;
	case COLUMN_BIN:
		sqlite3_bind_blob(st, at, p, (int)c->size, SQLITE_STATIC);
		break;
	case COLUMN_BIN_SIZED:
		memcpy(&u32, row + c->length, sizeof(u32));
		REQUIRE(u32 <= c->size);
		if (u32 == 0)
			sqlite3_bind_zeroblob(st, at, 0);
		else
			sqlite3_bind_blob(st, at, p, (int)u32, SQLITE_STATIC);
		break;
	}
}

/* False when a blob or text has a length that the struct has no room for. */
static bool load_bytes(sqlite3_stmt *st, int at, const struct column *c, uint8_t *row)
{
	size_t n = (size_t)sqlite3_column_bytes(st, at);
	const void *data = sqlite3_column_blob(st, at);
	uint32_t u32 = (uint32_t)n;

	if (c->type == COLUMN_TEXT ? n >= c->size : n > c->size)
		return false;
	if (c->type == COLUMN_BIN && n != c->size)
		return false;
	if (n != 0)
		memcpy(row + c->offset, data, n);
	if (c->type == COLUMN_BIN_SIZED)
		memcpy(row + c->length, &u32, sizeof(u32));
	return true;
}

static bool load(sqlite3_stmt *st, int at, const struct column *c, uint8_t *row)
{
	uint8_t *p = row + c->offset;
	bool missing = sqlite3_column_type(st, at) == SQLITE_NULL;
	uint64_t u64 = (uint64_t)sqlite3_column_int64(st, at);
	uint32_t u32 = (uint32_t)u64;
	double f64 = missing ? (double)NAN : sqlite3_column_double(st, at);
	float f32 = (float)f64;

	switch (c->type) {
	case COLUMN_U64:
		memcpy(p, &u64, sizeof(u64));
		return true;
	case COLUMN_U32:
		memcpy(p, &u32, sizeof(u32));
		return u64 <= UINT32_MAX;
	case COLUMN_BOOL:
		*(bool *)p = u64 != 0;
		return true;
	case COLUMN_F32:
		memcpy(p, &f32, sizeof(f32));
		return true;
	case COLUMN_F64:
		memcpy(p, &f64, sizeof(f64));
		return true;
	default:
		return load_bytes(st, at, c, row);
	}
}

int row_save(struct store *s, const struct row_type *type, const void *row, struct errmsg *msg)
{
	size_t at = 0;
	sqlite3_stmt *st;
	int rc = TK_OK;

	while (row_types[at] != type)
		at++;
	st = s->save[at];
	for (size_t i = 0; i < type->count; i++)
		bind(st, (int)i + 1, &type->columns[i], row);
	if (sqlite3_step(st) != SQLITE_DONE)
		rc = store_failed(s, "save a row", msg);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc;
}

union any_row {
	struct project_row project;
	struct round_row round;
	struct unit_row unit;
	struct replica_row replica;
	struct peer_row peer;
	struct place_row place;
	struct host_row host;
};

/* SELECT all columns FROM type's table, then `tail` with up to three numbers bound. */
int row_each(struct store *s, const struct row_type *type, const char *tail,
	const uint64_t *numbers, size_t count, store_each each, void *context, struct errmsg *msg)
{
	struct sql q = {.used = 0};
	sqlite3_stmt *st = NULL;
	int rc = TK_OK;
	int step;

	sql_add(&q, "SELECT ");
	column_list(&q, type);
	sql_add(&q, " FROM \"%s\" %s", type->table, tail);
	if (sqlite3_prepare_v2(s->db, q.text, -1, &st, NULL) != SQLITE_OK)
		return store_failed(s, "prepare a query", msg);
	for (size_t i = 0; i < count; i++)
		sqlite3_bind_int64(st, (int)i + 1, (sqlite3_int64)numbers[i]);
	while (rc == TK_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		union any_row row;

		memset(&row, 0, sizeof(row));
		for (size_t i = 0; i < type->count && rc == TK_OK; i++) {
			if (!load(st, (int)i, &type->columns[i], (uint8_t *)&row))
				rc = errmsg_set(msg, TK_ECORRUPT,
					"%s: table %s, column %s has an impossible value", s->path,
					type->table, type->columns[i].name);
		}
		if (rc == TK_OK)
			rc = each(context, &row);
	}
	if (rc == TK_OK && step != SQLITE_DONE)
		rc = store_failed(s, "read rows", msg);
	sqlite3_finalize(st);
	return rc;
}
