/* The ledger's table: see store.h. Entries are only ever added; their numbers leave no gap, which the
 * reader checks. */
#include <inttypes.h>
#include <sqlite3.h>
#include <string.h>

#include "coordinator/store_state.h"

int ledger_open(struct store *s, bool create, struct errmsg *msg)
{
	int rc = TK_OK;

	if (create)
		rc = store_run(s,
			"CREATE TABLE IF NOT EXISTS ledger (sequence INTEGER PRIMARY KEY, project "
			"INTEGER NOT NULL, kind INTEGER NOT NULL, digest BLOB NOT NULL, signature "
			"BLOB NOT NULL, content BLOB NOT NULL) STRICT;"
			"CREATE INDEX IF NOT EXISTS ledger_by_project ON ledger (project, "
			"sequence);",
			"make the ledger's table", msg);
	if (rc == TK_OK &&
		sqlite3_prepare_v3(s->db,
			"INSERT INTO ledger (sequence, project, kind, digest, signature, "
			"content) VALUES (?, ?, ?, ?, ?, ?)",
			-1, SQLITE_PREPARE_PERSISTENT, &s->add_ledger, NULL) != SQLITE_OK)
		rc = store_failed(s, "prepare a statement", msg);
	return rc;
}

int store_add_ledger(
	struct store *s, const struct ledger_row *row, struct span content, struct errmsg *msg)
{
	sqlite3_stmt *st = s->add_ledger;
	int rc = TK_OK;

	sqlite3_bind_int64(st, 1, (sqlite3_int64)row->head.sequence);
	sqlite3_bind_int64(st, 2, (sqlite3_int64)row->project);
	sqlite3_bind_int(st, 3, (int)row->kind);
	sqlite3_bind_blob(st, 4, row->head.digest.b, DIGEST_BYTES, SQLITE_STATIC);
	if (row->is_signed)
		sqlite3_bind_blob(st, 5, row->signature.b, SIGNATURE_BYTES, SQLITE_STATIC);
	else
		sqlite3_bind_zeroblob(st, 5, 0);
	sqlite3_bind_blob(st, 6, content.data, (int)content.len, SQLITE_STATIC);
	if (sqlite3_step(st) != SQLITE_DONE)
		rc = store_failed(s, "add to the ledger", msg);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc;
}

/* A row of SELECT sequence, project, kind, digest, signature, content. False: impossible values. */
static bool load(sqlite3_stmt *st, struct ledger_row *row, struct span *content)
{
	int kind = sqlite3_column_int(st, 2);
	int signature = sqlite3_column_bytes(st, 4);

	*row = (struct ledger_row){
		.head.sequence = (uint64_t)sqlite3_column_int64(st, 0),
		.project = (uint64_t)sqlite3_column_int64(st, 1),
		.kind = (enum ledger_kind)kind,
		.is_signed = signature == SIGNATURE_BYTES,
	};
	if (kind < 1 || kind > (int)LEDGER_KIND_LAST ||
		sqlite3_column_bytes(st, 3) != DIGEST_BYTES ||
		(signature != 0 && signature != SIGNATURE_BYTES))
		return false;
	memcpy(row->head.digest.b, sqlite3_column_blob(st, 3), DIGEST_BYTES);
	if (row->is_signed)
		memcpy(row->signature.b, sqlite3_column_blob(st, 4), SIGNATURE_BYTES);
	*content = span_of(sqlite3_column_blob(st, 5), (size_t)sqlite3_column_bytes(st, 5));
	return true;
}

#define SELECT_LEDGER "SELECT sequence, project, kind, digest, signature, content FROM ledger "

static int each_row(struct store *s, const char *sql, uint64_t number, store_ledger_each each,
	void *context, struct errmsg *msg)
{
	sqlite3_stmt *st = NULL;
	int rc = TK_OK;
	int step = SQLITE_DONE;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return store_failed(s, "prepare a query", msg);
	if (sqlite3_bind_parameter_count(st) == 1)
		sqlite3_bind_int64(st, 1, (sqlite3_int64)number);
	while (rc == TK_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		struct ledger_row row;
		struct span content;

		if (load(st, &row, &content))
			rc = each(context, &row, content);
		else
			rc = errmsg_set(msg, TK_ECORRUPT,
				"%s: entry %" PRIu64 " of the ledger has an impossible value",
				s->path, row.head.sequence);
	}
	if (rc == TK_OK && step != SQLITE_DONE)
		rc = store_failed(s, "read the ledger", msg);
	sqlite3_finalize(st);
	return rc;
}

int store_ledger(struct store *s, uint64_t project, store_ledger_each each, void *context,
	struct errmsg *msg)
{
	return each_row(s,
		project == 0 ? SELECT_LEDGER "ORDER BY sequence"
			     : SELECT_LEDGER "WHERE project = ? ORDER BY sequence",
		project, each, context, msg);
}

static int take_head(void *context, const struct ledger_row *row, struct span content)
{
	(void)content;
	*(struct ledger_head *)context = row->head;
	return TK_OK;
}

int store_ledger_head(struct store *s, struct ledger_head *out, struct errmsg *msg)
{
	*out = (struct ledger_head){0};
	return each_row(s, SELECT_LEDGER "ORDER BY sequence DESC LIMIT 1", 0, take_head, out, msg);
}
