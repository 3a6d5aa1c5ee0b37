/* See sweep.h. */
#include "coordinator/sweep.h"

#include <stdlib.h>
#include <string.h>

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

static int remove_payload(void *context, const void *row)
{
	const struct home *home = context;
	const struct unit_row *u = row;
	struct claim claim;

	if (claim_decode(&claim, span_of(u->claim, u->claim_bytes), NULL) == TK_OK &&
		claim.outcome == OUTCOME_UPDATE)
		blob_store_remove(&home->blobs, &claim.payload);
	return 0;
}

int sweep_payloads(const struct home *home, uint64_t project, uint32_t round, struct errmsg *msg)
{
	struct home h = *home;
	uint32_t unfinished = 0;
	int rc = store_projects(home->store, count_unfinished, &unfinished, msg);

	if (rc != TK_OK || unfinished > 1)
		return rc;
	return store_units(home->store, project, round, remove_payload, &h, msg);
}

/* A project as the sweep of its states sees it. */
struct owner {
	uint64_t id;
	uint32_t unfinished;  /* projects, this one or others */
	uint32_t units;	      /* a round; 0: there is no such project */
	struct digest states; /* in use */
};

static int look_at(void *context, const void *row)
{
	struct owner *o = context;
	const struct project_row *p = row;

	if (p->id == o->id) {
		o->units = p->units_per_round;
		o->states = p->states;
	}
	return count_unfinished(&o->unfinished, row);
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct digest));
}

/* used is sorted here. */
static void remove_unused(
	const struct home *home, const struct digest *past, struct digest *used, uint32_t count)
{
	if (used != NULL)
		qsort(used, count, sizeof(*used), compare);
	for (uint32_t i = 0; i < count; i++)
		if (used == NULL || bsearch(&past[i], used, count, sizeof(*used), compare) == NULL)
			blob_store_remove(&home->blobs, &past[i]);
}

int sweep_states(const struct home *home, const struct round_row *row, struct errmsg *msg)
{
	struct owner o = {.id = row->project};
	struct digest *past = NULL, *used = NULL;
	int rc;

	if (digest_is_zero(&row->states))
		return TK_OK;
	rc = store_projects(home->store, look_at, &o, msg);
	if (rc != TK_OK || o.unfinished > 1 || o.units == 0 ||
		digest_equal(&o.states, &row->states))
		return rc;
	rc = states_load(&home->blobs, &row->states, o.units, &past, msg);
	if (rc == TK_OK)
		rc = states_load(&home->blobs, &o.states, o.units, &used, msg);
	if (rc == TK_OK) {
		remove_unused(home, past, used, o.units);
		blob_store_remove(&home->blobs, &row->states);
	}
	mem_free(past);
	mem_free(used);
	return rc;
}
