/* See store.h. The only door to SQLite. Every statement is made once from the lists of store_rows.c
 * and kept; values are bound, never written into SQL. */
#include "coordinator/store.h"

#include <limits.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store_rows.h"
#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define SCHEMA_VERSION 1
#define BUSY_MS	       10000
#define SQL_MAX	       2048
#define ROW_TYPES      5

struct store {
	sqlite3 *db;
	sqlite3_stmt *save[ROW_TYPES]; /* by position in row_types */
	char path[PATH_MAX];
};

static int failed(struct store *s, const char *doing, struct errmsg *msg)
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

static int run_sql(struct store *s, const char *sql, const char *doing, struct errmsg *msg)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? TK_OK
								       : failed(s, doing, msg);
}

/* A growing SQL text in a fixed buffer; our own lists always fit. */
struct sql {
	char text[SQL_MAX];
	size_t used;
};

TK_PRINTF(2, 3) static void sql_add(struct sql *q, const char *format, ...)
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

static int create_table(struct store *s, const struct row_type *type, struct errmsg *msg)
{
	struct sql q = {.used = 0};

	sql_add(&q, "CREATE TABLE IF NOT EXISTS \"%s\" (", type->table);
	for (size_t i = 0; i < type->count; i++)
		sql_add(&q, "\"%s\" %s, ", type->columns[i].name, sql_type(type->columns[i].type));
	sql_add(&q, "PRIMARY KEY (%s)%s) STRICT", type->primary_key, type->extra);
	return run_sql(s, q.text, "make a table", msg);
}

static void column_list(struct sql *q, const struct row_type *type)
{
	for (size_t i = 0; i < type->count; i++)
		sql_add(q, "%s\"%s\"", i != 0 ? ", " : "", type->columns[i].name);
}

/* INSERT … ON CONFLICT on the primary key alone: a clash of names stays an error. */
static int prepare_save(
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
		return failed(s, "prepare a statement", msg);
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

static int save(struct store *s, const struct row_type *type, const void *row, struct errmsg *msg)
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
		rc = failed(s, "save a row", msg);
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
};

/* SELECT all columns FROM type's table, then `tail` with up to three numbers bound. */
static int each_row(struct store *s, const struct row_type *type, const char *tail,
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
		return failed(s, "prepare a query", msg);
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
		rc = failed(s, "read rows", msg);
	sqlite3_finalize(st);
	return rc;
}

static int configure(struct store *s, bool create, struct errmsg *msg)
{
	char version[64];
	int rc = run_sql(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", "open it", msg);

	if (rc == TK_OK && create)
		rc = run_sql(s,
			"CREATE TABLE IF NOT EXISTS text (key TEXT PRIMARY KEY, value TEXT NOT "
			"NULL) STRICT;"
			"CREATE TABLE IF NOT EXISTS stop (project INTEGER PRIMARY KEY) STRICT;",
			"make the tables", msg);
	for (size_t i = 0; rc == TK_OK && create && row_types[i] != NULL; i++)
		rc = create_table(s, row_types[i], msg);
	if (rc == TK_OK && create)
		rc = run_sql(s,
			"CREATE INDEX IF NOT EXISTS replica_by_unit ON replica (project, round, "
			"unit);",
			"make an index", msg);
	if (rc == TK_OK && create) {
		snprintf(version, sizeof(version), "%d", SCHEMA_VERSION);
		rc = store_set_text(s, "schema", version, msg);
	}
	if (rc == TK_OK)
		rc = store_text(s, "schema", version, sizeof(version), msg);
	if (rc == TK_OK && atoi(version) != SCHEMA_VERSION)
		rc = errmsg_set(msg, TK_EUNSUPPORTED, "%s has schema %s; this program knows %d",
			s->path, version, SCHEMA_VERSION);
	for (size_t i = 0; rc == TK_OK && row_types[i] != NULL; i++)
		rc = prepare_save(s, row_types[i], &s->save[i], msg);
	return rc;
}

int store_open(struct store **out, const char *home, bool create, struct errmsg *msg)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
	struct store *s = mem_calloc(1, sizeof(*s));
	int rc;

	if (s == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory");
	if (path_join(s->path, sizeof(s->path), home, "store.sqlite") != TK_OK) {
		mem_free(s);
		return errmsg_set(msg, TK_ELIMIT, "the path %s is too long", home);
	}
	if (!create && !file_exists(s->path)) {
		mem_free(s);
		return errmsg_set(msg, TK_ENOENT,
			"%s is not a coordinator's home; make one with: talkoot init %s", home,
			home);
	}
	if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK) {
		rc = s->db != NULL ? failed(s, "open it", msg)
				   : errmsg_set(msg, TK_ENOMEM, "not enough memory");
	} else {
		sqlite3_busy_timeout(s->db, BUSY_MS);
		rc = configure(s, create, msg);
	}
	if (rc == TK_OK)
		*out = s;
	else
		store_close(s);
	return rc;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < ROW_TYPES; i++)
		sqlite3_finalize(s->save[i]);
	sqlite3_close(s->db);
	mem_free(s);
}

int store_begin(struct store *s, struct errmsg *msg)
{
	return run_sql(s, "BEGIN IMMEDIATE", "begin a transaction", msg);
}

int store_commit(struct store *s, struct errmsg *msg)
{
	int rc = run_sql(s, "COMMIT", "commit", msg);

	if (rc != TK_OK)
		store_rollback(s);
	return rc;
}

void store_rollback(struct store *s)
{
	if (sqlite3_get_autocommit(s->db) == 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

int store_save_project(struct store *s, const struct project_row *row, struct errmsg *msg)
{
	return save(s, &project_type, row, msg);
}

int store_save_round(struct store *s, const struct round_row *row, struct errmsg *msg)
{
	return save(s, &round_type, row, msg);
}

int store_save_unit(struct store *s, const struct unit_row *row, struct errmsg *msg)
{
	return save(s, &unit_type, row, msg);
}

int store_save_replica(struct store *s, const struct replica_row *row, struct errmsg *msg)
{
	return save(s, &replica_type, row, msg);
}

int store_save_peer(struct store *s, const struct peer_row *row, struct errmsg *msg)
{
	return save(s, &peer_type, row, msg);
}

/* The single number that a query gives. */
static int number(
	struct store *s, const char *sql, uint64_t bound, uint64_t *out, struct errmsg *msg)
{
	sqlite3_stmt *st = NULL;
	int rc = TK_OK;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return failed(s, "prepare a query", msg);
	if (sqlite3_bind_parameter_count(st) > 0)
		sqlite3_bind_int64(st, 1, (sqlite3_int64)bound);
	if (sqlite3_step(st) == SQLITE_ROW)
		*out = (uint64_t)sqlite3_column_int64(st, 0);
	else
		rc = failed(s, "read a number", msg);
	sqlite3_finalize(st);
	return rc;
}

int store_add_project(struct store *s, struct project_row *row, struct errmsg *msg)
{
	struct project_row next = *row;
	int rc = store_begin(s, msg);

	if (rc != TK_OK)
		return rc;
	rc = number(s, "SELECT coalesce(max(id), 0) + 1 FROM project", 0, &next.id, msg);
	if (rc == TK_OK)
		rc = store_save_project(s, &next, msg);
	if (rc == TK_EEXIST)
		errmsg_set(msg, rc,
			"a project named %s exists already; choose another project.name (talkoot "
			"list "
			"shows them)",
			row->name);
	if (rc == TK_OK)
		rc = store_commit(s, msg);
	else
		store_rollback(s);
	if (rc == TK_OK)
		*row = next;
	return rc;
}

int store_projects(struct store *s, store_each each, void *context, struct errmsg *msg)
{
	return each_row(s, &project_type, "ORDER BY \"id\"", NULL, 0, each, context, msg);
}

int store_peers(struct store *s, store_each each, void *context, struct errmsg *msg)
{
	return each_row(
		s, &peer_type, "ORDER BY \"first_seen_s\", \"key\"", NULL, 0, each, context, msg);
}

int store_rounds(
	struct store *s, uint64_t project, store_each each, void *context, struct errmsg *msg)
{
	return each_row(s, &round_type, "WHERE \"project\" = ? ORDER BY \"round\"", &project, 1,
		each, context, msg);
}

int store_units(struct store *s, uint64_t project, uint32_t round, store_each each, void *context,
	struct errmsg *msg)
{
	const uint64_t numbers[] = {project, round};

	return each_row(s, &unit_type, "WHERE \"project\" = ? AND \"round\" = ? ORDER BY \"index\"",
		numbers, 2, each, context, msg);
}

int store_replicas(struct store *s, uint64_t project, uint32_t round, store_each each,
	void *context, struct errmsg *msg)
{
	const uint64_t numbers[] = {project, round};

	return each_row(s, &replica_type,
		"WHERE \"project\" = ? AND \"round\" = ? ORDER BY \"leased_ms\", \"nonce\"",
		numbers, 2, each, context, msg);
}

int store_rejections(struct store *s, uint64_t project, uint32_t most, store_each each,
	void *context, struct errmsg *msg)
{
	char tail[160];
	const uint64_t numbers[] = {project, most};

	snprintf(tail, sizeof(tail),
		"WHERE \"project\" = ? AND \"state\" IN (%d, %d) ORDER BY \"leased_ms\" DESC LIMIT "
		"?",
		REPLICA_INVALID, REPLICA_UNOPENED);
	return each_row(s, &replica_type, tail, numbers, 2, each, context, msg);
}

struct find {
	const char *name;
	struct project_row *row;
	bool found;
	char names[256];
};

static int find_one(void *context, const void *row)
{
	const struct project_row *p = row;
	struct find *f = context;
	size_t used = strlen(f->names);

	if (strcmp(p->name, f->name) == 0) {
		*f->row = *p;
		f->found = true;
	}
	snprintf(f->names + used, sizeof(f->names) - used, "%s%s", used != 0 ? ", " : "", p->name);
	return 0;
}

int store_find_project(
	struct store *s, const char *name, struct project_row *row, struct errmsg *msg)
{
	struct find f = {.name = name, .row = row};
	int rc = store_projects(s, find_one, &f, msg);

	if (rc != TK_OK || f.found)
		return rc;
	if (f.names[0] == '\0')
		return errmsg_set(msg, TK_ENOENT,
			"there is no project %s; there is none at all yet: talkoot submit FILE",
			name);
	return errmsg_set(msg, TK_ENOENT, "there is no project %s; there are: %s", name, f.names);
}

int store_ask_stop(struct store *s, uint64_t project, struct errmsg *msg)
{
	char sql[96];

	snprintf(sql, sizeof(sql), "INSERT OR IGNORE INTO stop (project) VALUES (%llu)",
		(unsigned long long)project);
	return run_sql(s, sql, "ask for a stop", msg);
}

int store_stop_asked(struct store *s, uint64_t project, bool *asked, struct errmsg *msg)
{
	uint64_t n = 0;
	int rc = number(s, "SELECT count(*) FROM stop WHERE project = ?", project, &n, msg);

	if (rc == TK_OK)
		*asked = n != 0;
	return rc;
}

int store_set_text(struct store *s, const char *key, const char *value, struct errmsg *msg)
{
	sqlite3_stmt *st = NULL;
	int rc = TK_OK;

	if (sqlite3_prepare_v2(s->db,
		    "INSERT INTO text (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET "
		    "value = "
		    "excluded.value",
		    -1, &st, NULL) != SQLITE_OK)
		return failed(s, "prepare a statement", msg);
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, value, -1, SQLITE_STATIC);
	if (sqlite3_step(st) != SQLITE_DONE)
		rc = failed(s, "save a text", msg);
	sqlite3_finalize(st);
	return rc;
}

int store_text(struct store *s, const char *key, char *out, size_t size, struct errmsg *msg)
{
	sqlite3_stmt *st = NULL;
	int rc = TK_OK;
	int step;

	if (sqlite3_prepare_v2(s->db, "SELECT value FROM text WHERE key = ?", -1, &st, NULL) !=
		SQLITE_OK)
		return failed(s, "prepare a query", msg);
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	step = sqlite3_step(st);
	out[0] = '\0';
	if (step == SQLITE_ROW)
		snprintf(out, size, "%s", (const char *)sqlite3_column_text(st, 0));
	else if (step != SQLITE_DONE)
		rc = failed(s, "read a text", msg);
	sqlite3_finalize(st);
	return rc;
}

uint64_t store_version(struct store *s)
{
	uint64_t version = 0;

	return number(s, "PRAGMA data_version", 0, &version, NULL) == TK_OK ? version : 0;
}
