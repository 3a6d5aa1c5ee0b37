/* See sweep.h. */
#include "coordinator/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/core.h"
#include "coordinator/states.h"
#include "tasks/base/mem.h"

static int count_unfinished(void *context, const void *row)
{
	const struct project_row *p = row;
	bool over = p->state == PROJECT_DONE || p->state == PROJECT_FAILED ||
		    p->state == PROJECT_STOPPED;

	*(uint32_t *)context += !over;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct digest));
}

/* Payloads of units: equal results are one blob, so what a later round needs may have come with an earlier one. */
struct payloads {
	const struct home *home;
	uint64_t project;
	uint32_t round; /* in progress */
	struct digest *used;
	size_t count, capacity;
};

static bool payload_of(const struct unit_row *u, struct digest *out)
{
	struct claim claim;

	if (claim_decode(&claim, span_of(u->claim, u->claim_bytes), NULL) != TK_OK ||
		claim.outcome != OUTCOME_UPDATE)
		return false;
	*out = claim.payload;
	return true;
}

static int project_round(void *context, const void *row)
{
	struct payloads *x = context;
	const struct project_row *p = row;

	if (p->id == x->project)
		x->round = p->round;
	return TK_OK;
}

static int note_payload(void *context, const void *row)
{
	struct payloads *x = context;
	size_t want = x->capacity * 2 + 64;
	struct digest *grown;

	if (x->count == x->capacity) {
		grown = mem_realloc(x->used, want * sizeof(*grown));
		if (grown == NULL)
			return TK_ENOMEM;
		x->used = grown;
		x->capacity = want;
	}
	x->count += payload_of(row, &x->used[x->count]);
	return TK_OK;
}

static int remove_payload(void *context, const void *row)
{
	const struct payloads *x = context;
	struct digest payload;

	if (payload_of(row, &payload) &&
		(x->count == 0 ||
			bsearch(&payload, x->used, x->count, sizeof(payload), compare) == NULL))
		blob_store_remove(&x->home->blobs, &payload);
	return TK_OK;
}

int sweep_payloads(const struct home *home, uint64_t project, uint32_t round, struct errmsg *msg)
{
	struct payloads x = {.home = home, .project = project};
	uint32_t unfinished = 0;
	int rc = store_projects(home->store, count_unfinished, &unfinished, msg);

	if (rc != TK_OK || unfinished > 1)
		return rc;
	rc = store_projects(home->store, project_round, &x, msg);
	for (uint32_t r = round + 1; rc == TK_OK && r <= x.round; r++)
		rc = store_units(home->store, project, r, note_payload, &x, msg);
	if (x.count > 0)
		qsort(x.used, x.count, sizeof(*x.used), compare);
	if (rc == TK_OK)
		rc = store_units(home->store, project, round, remove_payload, &x, msg);
	mem_free(x.used);
	return rc;
}

/* A project as the sweep of its states sees it. */
struct owner {
	uint64_t id;
	uint32_t unfinished;  /* projects, this one or others */
	uint32_t units;	      /* a round; 0: there is no such project */
	uint32_t past, round; /* what it swept is the first one's; those behind it are used */
	struct digest
		lists[SETTLE_ROUNDS_MAX + 2]; /* of states, from round `past` on; the last in use */
};

static int look_at(void *context, const void *row)
{
	struct owner *o = context;
	const struct project_row *p = row;

	if (p->id == o->id && p->round > o->past &&
		p->round - o->past < sizeof(o->lists) / sizeof(o->lists[0])) {
		o->units = p->units_per_round;
		o->round = p->round;
		o->lists[p->round - o->past] = p->states;
	}
	return count_unfinished(&o->unfinished, row);
}

static int look_back(void *context, const void *row)
{
	struct owner *o = context;
	const struct round_row *r = row;

	if (r->round > o->past && r->round < o->round)
		o->lists[r->round - o->past] = r->states;
	return TK_OK;
}

/* used is sorted here. */
static void remove_unused(const struct home *home, const struct digest *past, uint32_t units,
	struct digest *used, uint32_t count)
{
	qsort(used, count, sizeof(*used), compare);
	for (uint32_t i = 0; i < units; i++)
		if (bsearch(&past[i], used, count, sizeof(*used), compare) == NULL)
			blob_store_remove(&home->blobs, &past[i]);
}

/* All that the rounds behind the first one start from; gives *out (mem_free). */
static int used_load(const struct home *home, const struct owner *o, struct digest **out,
	uint32_t *count, struct errmsg *msg)
{
	uint32_t rounds = o->round - o->past;
	struct digest *all = mem_calloc((size_t)rounds * o->units + 1, sizeof(*all));
	int rc = TK_OK;

	if (all == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to sweep");
	*count = 0;
	for (uint32_t i = 1; i <= rounds && rc == TK_OK; i++) {
		struct digest *list = NULL;

		rc = states_load(&home->blobs, &o->lists[i], o->units, &list, msg);
		if (rc == TK_OK && list != NULL) {
			memcpy(all + *count, list, o->units * sizeof(*list));
			*count += o->units;
		}
		mem_free(list);
	}
	if (rc == TK_OK)
		*out = all;
	else
		mem_free(all);
	return rc;
}

static bool list_used(const struct owner *o)
{
	for (uint32_t i = 1; i <= o->round - o->past; i++)
		if (digest_equal(&o->lists[i], &o->lists[0]))
			return true;
	return false;
}

int sweep_states(const struct home *home, const struct round_row *row, struct errmsg *msg)
{
	struct owner o = {.id = row->project, .past = row->round, .lists = {row->states}};
	struct digest *past = NULL, *used = NULL;
	uint32_t count = 0;
	int rc = store_projects(home->store, look_at, &o, msg);

	if (rc != TK_OK || o.unfinished > 1 || o.units == 0 || digest_is_zero(&row->states))
		return rc;
	rc = store_rounds(home->store, row->project, look_back, &o, msg);
	if (rc != TK_OK || list_used(&o))
		return rc;
	rc = states_load(&home->blobs, &o.lists[0], o.units, &past, msg);
	if (rc == TK_OK)
		rc = used_load(home, &o, &used, &count, msg);
	if (rc == TK_OK && used != NULL) {
		remove_unused(home, past, o.units, used, count);
		blob_store_remove(&home->blobs, &o.lists[0]);
	}
	mem_free(past);
	mem_free(used);
	return rc;
}

struct leaving {
	uint64_t project;
	bool any, found;
	uint32_t round;
	struct round_row row;
};

static int leaving_round(void *context, const void *row)
{
	struct leaving *l = context;
	const struct project_row *p = row;
	uint32_t kept = core_rounds_kept(p);

	if (p->id == l->project && p->round > kept) {
		l->any = true;
		l->round = p->round - kept - 1;
	}
	return TK_OK;
}

static int leaving_row(void *context, const void *row)
{
	struct leaving *l = context;
	const struct round_row *r = row;

	if (r->round == l->round) {
		l->row = *r;
		l->found = true;
	}
	return TK_OK;
}

int sweep_project(const struct home *home, uint64_t project, struct errmsg *msg)
{
	struct leaving l = {.project = project};
	int rc = store_projects(home->store, leaving_round, &l, msg);

	if (rc == TK_OK && l.any)
		rc = store_rounds(home->store, project, leaving_row, &l, msg);
	if (rc == TK_OK && l.found)
		rc = sweep_states(home, &l.row, msg);
	if (rc == TK_OK && l.found && l.round > 0)
		rc = sweep_payloads(home, project, l.round - 1, msg);
	return rc;
}
