/* Blobs that projects in progress need, and what happens when one is found missing or corrupt on our
 * disk: the project pauses and says so, and others go on. Peers check what they fetch, so a spoiled
 * blob could not spoil a result; but they would try for ever and nobody would be told why. */
#include <stdio.h>

#include "coordinator/core_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

static bool needs(const struct core_project *p, const struct digest *blob)
{
	const struct dataset_part *train = &p->recipe.data.train;

	if (p->row.state != PROJECT_RUNNING)
		return false;
	if (digest_equal(&p->row.recipe, blob) || digest_equal(&p->row.parameters, blob))
		return true;
	for (uint32_t i = 0; p->states != NULL && i < p->row.units_per_round; i++)
		if (digest_equal(&p->states[i], blob))
			return true;
	for (uint32_t i = 0; i < train->shards; i++)
		if (digest_equal(&train->digests[i], blob))
			return true;
	return false;
}

bool core_needs_blob(const struct core *c, const struct digest *blob)
{
	for (const struct core_project *p = c->projects; p != NULL; p = p->next)
		if (needs(p, blob))
			return true;
	return false;
}

void blob_bad(struct core *c, const struct digest *blob, const char *why)
{
	for (struct core_project *p = c->projects; p != NULL; p = p->next)
		if (needs(p, blob))
			project_pause(c, p, why);
}

int core_load_unreadable(struct core *c, const struct project_row *row, const char *why)
{
	struct core_project *p;

	REQUIRE(!c->started && (row->state == PROJECT_RUNNING || row->state == PROJECT_PAUSED));
	p = mem_calloc(1, sizeof(*p));
	if (p == NULL)
		return TK_ENOMEM;
	p->row = *row;
	p->row.state = PROJECT_PAUSED;
	snprintf(p->row.reason, sizeof(p->row.reason), "%.255s", why);
	p->unreadable = true;
	c->unreadable++;
	project_link(c, p);
	project_changed(c, p); /* saved with the first step */
	return TK_OK;
}

bool core_project_unreadable(const struct core *c, uint64_t project)
{
	const struct core_project *p = project_find(c, project);

	return p != NULL && p->unreadable;
}
