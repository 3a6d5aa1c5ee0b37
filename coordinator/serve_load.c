/* See serve_load.h. */
#include "coordinator/serve_load.h"

#include <stdlib.h>

#include "coordinator/states.h"
#include "tasks/base/mem.h"

struct loading {
	const struct home *home;
	struct core *core;
	uint64_t newest;
	struct errmsg *msg;
};

static int load_unit(void *context, const void *row)
{
	struct loading *l = context;

	return core_load_unit(l->core, row, l->msg);
}

static int load_replica(void *context, const void *row)
{
	struct loading *l = context;

	return core_load_replica(l->core, row, l->msg);
}

static int load_peer(void *context, const void *row)
{
	struct loading *l = context;
	int rc = core_load_peer(l->core, row);

	return rc == TK_OK ? rc : errmsg_set(l->msg, rc, "not enough memory for the peers");
}

struct kept {
	struct loading *l;
	uint32_t from, to, units;
};

static int load_round(void *context, const void *row)
{
	const struct kept *kept = context;
	const struct loading *l = kept->l;
	const struct round_row *r = row;
	struct digest *states = NULL;
	int rc = TK_OK;

	if (r->round < kept->from || r->round > kept->to)
		return TK_OK;
	if (r->round < kept->to)
		rc = states_load(&l->home->blobs, &r->states, kept->units, &states, l->msg);
	if (rc == TK_OK)
		rc = core_load_round(l->core, r, states, l->msg);
	mem_free(states);
	return rc == TK_OK ? rc : errmsg_prefix(l->msg, rc, "round %u", r->round + 1);
}

static uint32_t first_kept(const struct project_row *p)
{
	uint32_t kept = core_rounds_kept(p);

	return p->round > kept ? p->round - kept : 0;
}

static bool in_progress(const struct project_row *p)
{
	return p->state == PROJECT_RUNNING || p->state == PROJECT_PAUSED;
}

static bool ended(const struct project_row *p)
{
	return p->state == PROJECT_DONE || p->state == PROJECT_FAILED ||
	       p->state == PROJECT_STOPPED;
}

/* A project's recipe and the list of its states. */
static int read_blobs(const struct home *home, const struct project_row *p, struct bytes *recipe,
	struct digest **states, struct errmsg *msg)
{
	int rc = job_recipe(&home->blobs, &p->recipe, NULL, recipe, msg);

	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "its recipe can't be read");
	rc = states_load(&home->blobs, &p->states, p->units_per_round, states, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "the list of its states can't be read");
	return rc;
}

int serve_load_again(const struct home *home, const struct project_row *p, struct errmsg *msg)
{
	struct digest *states = NULL;
	struct bytes recipe = {0};
	int rc = read_blobs(home, p, &recipe, &states, msg);

	bytes_close(&recipe);
	mem_free(states);
	return rc;
}

/* Projects that nobody has begun come as new ones, later; those that have ended are not needed. One
 * whose recipe or states can't be read must not keep the others from going on. */
static int load_project(void *context, const void *row)
{
	const struct project_row *p = row;
	struct loading *l = context;
	struct kept kept = {l, first_kept(p), p->round, p->units_per_round};
	struct digest *states = NULL;
	struct bytes recipe = {0};
	int rc;

	if (p->state == PROJECT_QUEUED)
		return TK_OK;
	l->newest = p->id;
	if (ended(p))
		return TK_OK;
	rc = read_blobs(l->home, p, &recipe, &states, l->msg);
	if (rc == TK_OK) {
		rc = core_load_project(l->core, p, bytes_span(&recipe), states, l->msg);
		if (rc == TK_OK)
			rc = store_rounds(l->home->store, p->id, load_round, &kept, l->msg);
	} else if (rc != TK_ENOMEM && in_progress(p))
		rc = core_load_unreadable(l->core, p, l->msg->text);
	bytes_close(&recipe);
	mem_free(states);
	return rc == TK_OK ? rc : errmsg_prefix(l->msg, rc, "project %s", p->name);
}

static int load_rounds(void *context, const void *row)
{
	const struct project_row *p = row;
	struct loading *l = context;
	int rc = TK_OK;

	if (!in_progress(p))
		return TK_OK;
	for (uint32_t r = first_kept(p); r <= p->round && rc == TK_OK; r++) {
		rc = store_units(l->home->store, p->id, r, load_unit, l, l->msg);
		if (rc == TK_OK)
			rc = store_replicas(l->home->store, p->id, r, load_replica, l, l->msg);
	}
	return rc == TK_OK ? rc : errmsg_prefix(l->msg, rc, "project %s", p->name);
}

static int load_announced(const struct home *home, struct core *core, struct errmsg *msg)
{
	char text[24] = "";
	int rc = store_text(home->store, ANNOUNCED_TEXT, text, sizeof(text), msg);

	if (rc == TK_OK)
		core_load_announced(core, strtoull(text, NULL, 10));
	return rc;
}

static int load_ledger(const struct home *home, struct core *core, struct errmsg *msg)
{
	struct ledger_head head;
	int rc = store_ledger_head(home->store, &head, msg);

	if (rc == TK_OK)
		core_load_ledger(core, &head);
	return rc;
}

int serve_load_core(const struct home *home, const struct key_pair *root, struct core **out,
	uint64_t *newest, struct errmsg *msg)
{
	struct loading l = {home, core_new(root), 0, msg};
	int rc;

	if (l.core == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory");
	rc = store_projects(home->store, load_project, &l, msg);
	if (rc == TK_OK)
		rc = store_peers(home->store, load_peer, &l, msg);
	if (rc == TK_OK)
		rc = store_projects(home->store, load_rounds, &l, msg);
	if (rc == TK_OK)
		rc = load_announced(home, l.core, msg);
	if (rc == TK_OK)
		rc = load_ledger(home, l.core, msg);
	if (rc != TK_OK) {
		core_free(l.core);
		return rc;
	}
	core_require_selftest(l.core);
	*out = l.core;
	*newest = l.newest;
	return TK_OK;
}
