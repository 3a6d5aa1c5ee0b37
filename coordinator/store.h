/* The coordinator's memory on disk: SQLite in WAL with synchronous=FULL, one row per struct of rows.h.
 * The server is the only writer of rows that the core owns, and of places; the command line inserts projects, asks
 * for stops and names hosts, whose certificates the server renews, in transactions of its own. */
#ifndef COORDINATOR_STORE_H
#define COORDINATOR_STORE_H

#include "coordinator/ledger.h"
#include "coordinator/rows.h"

struct store;

/* Opens HOME/store.sqlite; creates it when create. Errors: TK_ENOENT (HOME is no coordinator's home;
 * msg says how to make one), TK_EIO, TK_ECORRUPT, TK_EUNSUPPORTED (another schema). */
int store_open(struct store **out, const char *home, bool create, struct errmsg *msg) TK_CHECKED;
void store_close(struct store *s);

/* One transaction. Errors: TK_ENOSPC, TK_EIO, TK_EBUSY; after a failed commit nothing of it stands. */
int store_begin(struct store *s, struct errmsg *msg) TK_CHECKED;
int store_commit(struct store *s, struct errmsg *msg) TK_CHECKED;
void store_rollback(struct store *s);

/* Insert or replace by primary key. */
int store_save_project(
	struct store *s, const struct project_row *row, struct errmsg *msg) TK_CHECKED;
int store_save_round(struct store *s, const struct round_row *row, struct errmsg *msg) TK_CHECKED;
int store_save_unit(struct store *s, const struct unit_row *row, struct errmsg *msg) TK_CHECKED;
int store_save_replica(
	struct store *s, const struct replica_row *row, struct errmsg *msg) TK_CHECKED;
int store_save_peer(struct store *s, const struct peer_row *row, struct errmsg *msg) TK_CHECKED;
int store_save_place(struct store *s, const struct place_row *row, struct errmsg *msg) TK_CHECKED;
int store_save_host(struct store *s, const struct host_row *row, struct errmsg *msg) TK_CHECKED;
/* A host's new certificate. One that is not there stays away, and is no error; below, too. */
int store_renew_host(struct store *s, const struct host_row *row, struct errmsg *msg) TK_CHECKED;
int store_remove_host(struct store *s, const struct public_key *key, struct errmsg *msg) TK_CHECKED;

/* The next entry of the ledger, inside a transaction. Errors: TK_EEXIST (that number is taken). */
int store_add_ledger(struct store *s, const struct ledger_row *row, struct span content,
	struct errmsg *msg) TK_CHECKED;
/* The last entry's; all zero: there is none. */
int store_ledger_head(struct store *s, struct ledger_head *out, struct errmsg *msg) TK_CHECKED;
/* Calls `each` for entries in order, as they stand together at one moment: for all, or with a project
 * for those of it. A non-zero answer ends it and is returned. */
typedef int (*store_ledger_each)(void *context, const struct ledger_row *row, struct span content);
int store_ledger(struct store *s, uint64_t project, store_ledger_each each, void *context,
	struct errmsg *msg) TK_CHECKED;

/* Inserts a new project and gives it the next id. Errors: TK_EEXIST (the name is taken). */
int store_add_project(struct store *s, struct project_row *row, struct errmsg *msg) TK_CHECKED;

/* Each calls `each` for every row, in the stated order; a non-zero answer ends it and is returned. */
typedef int (*store_each)(void *context, const void *row);
int store_projects(struct store *s, store_each each, void *context, struct errmsg *msg) TK_CHECKED;
int store_peers(struct store *s, store_each each, void *context, struct errmsg *msg) TK_CHECKED;
int store_places(struct store *s, store_each each, void *context,
	struct errmsg *msg) TK_CHECKED; /* by key */
int store_hosts(struct store *s, store_each each, void *context,
	struct errmsg *msg) TK_CHECKED; /* by key */
int store_rounds(struct store *s, uint64_t project, store_each each, void *context,
	struct errmsg *msg) TK_CHECKED; /* by round */
int store_units(struct store *s, uint64_t project, uint32_t round, store_each each, void *context,
	struct errmsg *msg) TK_CHECKED; /* by index */
int store_replicas(struct store *s, uint64_t project, uint32_t round, store_each each,
	void *context, struct errmsg *msg) TK_CHECKED; /* by lease time */
/* The project's replicas that ended INVALID or UNOPENED, newest first, at most `most`. */
int store_rejections(struct store *s, uint64_t project, uint32_t most, store_each each,
	void *context, struct errmsg *msg) TK_CHECKED;

/* Errors: TK_ENOENT (msg names the projects there are). */
int store_find_project(
	struct store *s, const char *name, struct project_row *row, struct errmsg *msg) TK_CHECKED;

/* What an owner asks of a project; the core hears of it from the server. */
enum wish { WISH_STOP = 1, WISH_RESUME = 2 };
int store_ask(struct store *s, uint64_t project, enum wish wish, struct errmsg *msg) TK_CHECKED;
int store_asked(struct store *s, uint64_t project, enum wish wish, bool *asked,
	struct errmsg *msg) TK_CHECKED;
/* The wish was heard. */
int store_heard(struct store *s, uint64_t project, enum wish wish, struct errmsg *msg) TK_CHECKED;

/* Small texts by key ("network", "listen", "live"). store_text gives "" when the key is missing. */
int store_set_text(
	struct store *s, const char *key, const char *value, struct errmsg *msg) TK_CHECKED;
int store_text(
	struct store *s, const char *key, char *out, size_t size, struct errmsg *msg) TK_CHECKED;

/* Changes when another process has committed something. */
uint64_t store_version(struct store *s);

#endif
