/* See serve_persist.h. */
#include "coordinator/serve_persist.h"

#include <stdio.h>

#include "coordinator/fault_keep.h"
#include "coordinator/serve_load.h"
#include "coordinator/sweep.h"

static int save_announced(const struct home *home, uint64_t announced_ms, struct errmsg *msg)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)announced_ms);
	return store_set_text(home->store, ANNOUNCED_TEXT, text, msg);
}

static int save(const struct home *home, const struct core_effect *e, struct errmsg *msg)
{
	switch (e->type) {
	case CORE_SAVE_PROJECT:
		return store_save_project(home->store, &e->project, msg);
	case CORE_SAVE_ROUND:
		return store_save_round(home->store, &e->round, msg);
	case CORE_SAVE_UNIT:
		return store_save_unit(home->store, &e->unit, msg);
	case CORE_SAVE_REPLICA:
		return store_save_replica(home->store, &e->replica, msg);
	case CORE_SAVE_PEER:
		return store_save_peer(home->store, &e->peer, msg);
	case CORE_SAVE_ANNOUNCED:
		return save_announced(home, e->announced_ms, msg);
	case CORE_LEDGER:
		return store_add_ledger(home->store, &e->ledger, bytes_span(&e->bytes), msg);
	default:
		return TK_OK;
	}
}

/* What goes into files, before the rows that speak of it. */
static int save_file(const struct home *home, const struct core_effect *e, struct errmsg *msg)
{
	struct digest digest;

	switch (e->type) {
	case CORE_STORE_BLOB:
		return blob_store_put(&home->blobs, &digest, bytes_span(&e->bytes), msg);
	case CORE_FAULT:
		return fault_keep(home, &e->digest, bytes_span(&e->bytes), &e->state, msg);
	default:
		return TK_OK;
	}
}

int serve_persist(const struct home *home, const struct core_effects *effects, struct errmsg *msg)
{
	size_t rows = 0;
	int rc = TK_OK;

	for (size_t i = 0; i < effects->count && rc == TK_OK; i++) {
		const struct core_effect *e = &effects->items[i];

		rows += e->type <= CORE_SAVE_ANNOUNCED || e->type == CORE_LEDGER;
		rc = save_file(home, e, msg);
	}
	if (rc != TK_OK || rows == 0)
		return rc;
	rc = store_begin(home->store, msg);
	for (size_t i = 0; i < effects->count && rc == TK_OK; i++)
		rc = save(home, &effects->items[i], msg);
	if (rc == TK_OK)
		rc = store_commit(home->store, msg);
	else
		store_rollback(home->store);
	return rc;
}

int serve_sweep(const struct home *home, const struct core_effects *done, struct errmsg *msg)
{
	int rc = TK_OK;

	for (size_t i = 0; i < done->count && rc == TK_OK; i++) {
		if (done->items[i].type == CORE_SAVE_ROUND)
			rc = sweep_project(home, done->items[i].round.project, msg);
	}
	return rc;
}
