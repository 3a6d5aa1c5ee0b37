/* See sweep.h. */
#include "coordinator/sweep.h"

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
