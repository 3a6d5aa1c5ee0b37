/* See store.h. Every statement is made once from the lists of store_rows.c and kept; values are bound,
 * never written into SQL. */
#include "coordinator/store.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store_state.h"
#include "tasks/base/file.h"
#include "tasks/base/mem.h"

#define SCHEMA_VERSION 6 /* 4: hosts, units that one peer settles alone; 5: teams; 6: rollbacks */
#define BUSY_MS	       10000
#define REJECTED                                                                                   \
	"6, 9" /* REPLICA_INVALID, REPLICA_UNOPENED; few, and so with an index of their own */
_Static_assert(REPLICA_INVALID == 6 && REPLICA_UNOPENED == 9, "REJECTED names them for SQL");

static int configure(struct store *s, bool create, struct errmsg *msg)
{
	char version[64] = "", known[16];
	int rc = store_run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", "open it", msg);

	if (rc == TK_OK && create)
		rc = store_run(s,
			"CREATE TABLE IF NOT EXISTS text (key TEXT PRIMARY KEY, value TEXT NOT "
			"NULL) STRICT;"
			"CREATE TABLE IF NOT EXISTS wish (project INTEGER, wish INTEGER, PRIMARY "
			"KEY (project, wish)) STRICT;",
			"make the tables", msg);
	for (size_t i = 0; rc == TK_OK && create && row_types[i] != NULL; i++)
		rc = row_create_table(s, row_types[i], msg);
	if (rc == TK_OK && create)
		rc = store_run(s,
			"CREATE INDEX IF NOT EXISTS replica_by_unit ON replica (project, round, "
			"unit);"
			"CREATE INDEX IF NOT EXISTS replica_rejected ON replica (project, "
			"leased_ms) WHERE state IN (" REJECTED ");",
			"make the indices", msg);
	snprintf(known, sizeof(known), "%d", SCHEMA_VERSION);
	if (rc == TK_OK)
		rc = store_text(s, "schema", version, sizeof(version), msg);
	if (rc == TK_OK && create && version[0] == '\0') {
		rc = store_set_text(s, "schema", known, msg);
		snprintf(version, sizeof(version), "%s", known);
	}
	if (rc == TK_OK && strcmp(version, known) != 0)
		rc = errmsg_set(msg, TK_EUNSUPPORTED,
			"%s has schema %s; this program knows %s: finish its projects with the "
			"release that made it, or make another home with: talkoot init HOME",
			s->path, version, known);
	for (size_t i = 0; rc == TK_OK && row_types[i] != NULL; i++)
		rc = row_prepare_save(s, row_types[i], &s->save[i], msg);
	return rc == TK_OK ? ledger_open(s, create, msg) : rc;
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
		rc = s->db != NULL ? store_failed(s, "open it", msg)
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
	sqlite3_finalize(s->add_ledger);
	sqlite3_close(s->db);
	mem_free(s);
}

int store_begin(struct store *s, struct errmsg *msg)
{
	return store_run(s, "BEGIN IMMEDIATE", "begin a transaction", msg);
}

int store_commit(struct store *s, struct errmsg *msg)
{
	int rc = store_run(s, "COMMIT", "commit", msg);

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
	return row_save(s, &project_type, row, msg);
}

int store_save_round(struct store *s, const struct round_row *row, struct errmsg *msg)
{
	return row_save(s, &round_type, row, msg);
}

int store_save_unit(struct store *s, const struct unit_row *row, struct errmsg *msg)
{
	return row_save(s, &unit_type, row, msg);
}

int store_save_replica(struct store *s, const struct replica_row *row, struct errmsg *msg)
{
	return row_save(s, &replica_type, row, msg);
}

int store_save_peer(struct store *s, const struct peer_row *row, struct errmsg *msg)
{
	return row_save(s, &peer_type, row, msg);
}

int store_save_place(struct store *s, const struct place_row *row, struct errmsg *msg)
{
	return row_save(s, &place_type, row, msg);
}

int store_save_host(struct store *s, const struct host_row *row, struct errmsg *msg)
{
	return row_save(s, &host_type, row, msg);
}

int store_renew_host(struct store *s, const struct host_row *row, struct errmsg *msg)
{
	char key[2 * KEY_BYTES + 1], signature[2 * SIGNATURE_BYTES + 1];
	struct sql q = {.used = 0};

	hex_encode(key, row->key.b, KEY_BYTES);
	hex_encode(signature, row->signature.b, SIGNATURE_BYTES);
	sql_add(&q, "UPDATE host SET expiry_s = %" PRIu64 ", signature = x'%s' WHERE key = x'%s'",
		row->expiry_s, signature, key);
	return store_run(s, q.text, "renew a host", msg);
}

int store_remove_host(struct store *s, const struct public_key *key, struct errmsg *msg)
{
	char hex[2 * KEY_BYTES + 1];
	struct sql q = {.used = 0};

	hex_encode(hex, key->b, KEY_BYTES);
	sql_add(&q, "DELETE FROM host WHERE key = x'%s'", hex);
	return store_run(s, q.text, "remove a host", msg);
}

/* The single number that a query gives. */
static int number(struct store *s, const char *sql, uint64_t *out, struct errmsg *msg)
{
	sqlite3_stmt *st = NULL;
	int rc = TK_OK;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return store_failed(s, "prepare a query", msg);
	if (sqlite3_step(st) == SQLITE_ROW)
		*out = (uint64_t)sqlite3_column_int64(st, 0);
	else
		rc = store_failed(s, "read a number", msg);
	sqlite3_finalize(st);
	return rc;
}

int store_add_project(struct store *s, struct project_row *row, struct errmsg *msg)
{
	struct project_row next = *row;
	int rc = store_begin(s, msg);

	if (rc != TK_OK)
		return rc;
	rc = number(s, "SELECT coalesce(max(id), 0) + 1 FROM project", &next.id, msg);
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
	return row_each(s, &project_type, "ORDER BY \"id\"", NULL, 0, each, context, msg);
}

int store_peers(struct store *s, store_each each, void *context, struct errmsg *msg)
{
	return row_each(
		s, &peer_type, "ORDER BY \"first_seen_s\", \"key\"", NULL, 0, each, context, msg);
}

int store_places(struct store *s, store_each each, void *context, struct errmsg *msg)
{
	return row_each(s, &place_type, "ORDER BY \"key\"", NULL, 0, each, context, msg);
}

int store_hosts(struct store *s, store_each each, void *context, struct errmsg *msg)
{
	return row_each(s, &host_type, "ORDER BY \"key\"", NULL, 0, each, context, msg);
}

int store_rounds(
	struct store *s, uint64_t project, store_each each, void *context, struct errmsg *msg)
{
	return row_each(s, &round_type, "WHERE \"project\" = ? ORDER BY \"round\"", &project, 1,
		each, context, msg);
}

int store_units(struct store *s, uint64_t project, uint32_t round, store_each each, void *context,
	struct errmsg *msg)
{
	const uint64_t numbers[] = {project, round};

	return row_each(s, &unit_type, "WHERE \"project\" = ? AND \"round\" = ? ORDER BY \"index\"",
		numbers, 2, each, context, msg);
}

int store_replicas(struct store *s, uint64_t project, uint32_t round, store_each each,
	void *context, struct errmsg *msg)
{
	const uint64_t numbers[] = {project, round};

	return row_each(s, &replica_type,
		"WHERE \"project\" = ? AND \"round\" = ? ORDER BY \"leased_ms\", \"nonce\"",
		numbers, 2, each, context, msg);
}

int store_rejections(struct store *s, uint64_t project, uint32_t most, store_each each,
	void *context, struct errmsg *msg)
{
	const uint64_t numbers[] = {project, most};

	return row_each(s, &replica_type,
		"WHERE project = ? AND state IN (" REJECTED ") ORDER BY leased_ms DESC LIMIT ?",
		numbers, 2, each, context, msg);
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

int store_ask(struct store *s, uint64_t project, enum wish wish, struct errmsg *msg)
{
	struct sql q = {.used = 0};

	sql_add(&q, "INSERT OR IGNORE INTO wish (project, wish) VALUES (%" PRIu64 ", %d)", project,
		(int)wish);
	return store_run(s, q.text, "note what is asked of the project", msg);
}

int store_asked(struct store *s, uint64_t project, enum wish wish, bool *asked, struct errmsg *msg)
{
	struct sql q = {.used = 0};
	uint64_t n = 0;
	int rc;

	sql_add(&q, "SELECT count(*) FROM wish WHERE project = %" PRIu64 " AND wish = %d", project,
		(int)wish);
	rc = number(s, q.text, &n, msg);
	if (rc == TK_OK)
		*asked = n != 0;
	return rc;
}

int store_heard(struct store *s, uint64_t project, enum wish wish, struct errmsg *msg)
{
	struct sql q = {.used = 0};

	sql_add(&q, "DELETE FROM wish WHERE project = %" PRIu64 " AND wish = %d", project,
		(int)wish);
	return store_run(s, q.text, "forget what was asked of the project", msg);
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
		return store_failed(s, "prepare a statement", msg);
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, value, -1, SQLITE_STATIC);
	if (sqlite3_step(st) != SQLITE_DONE)
		rc = store_failed(s, "save a text", msg);
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
		return store_failed(s, "prepare a query", msg);
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	step = sqlite3_step(st);
	out[0] = '\0';
	if (step == SQLITE_ROW)
		snprintf(out, size, "%s", (const char *)sqlite3_column_text(st, 0));
	else if (step != SQLITE_DONE)
		rc = store_failed(s, "read a text", msg);
	sqlite3_finalize(st);
	return rc;
}

uint64_t store_version(struct store *s)
{
	uint64_t version = 0;

	return number(s, "PRAGMA data_version", &version, NULL) == TK_OK ? version : 0;
}
