/* Blobs that projects in progress need, and what happens when one is found missing or corrupt on our
 * disk: the project pauses and says so, and others go on. Peers check what they fetch, so a spoiled
 * blob could not spoil a result; but they would try for ever and nobody would be told why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/unit/sampler.h"

static int compare(const void *a, const void *b)
{
	const struct digest *x = *(const struct digest *const *)a;
	const struct digest *y = *(const struct digest *const *)b;

	return memcmp(x->b, y->b, DIGEST_BYTES);
}

int blobs_index(struct core_project *p)
{
	const struct dataset_part *train = &p->recipe.data.train;

	p->shards = mem_calloc(train->shards + 1u, sizeof(*p->shards));
	if (p->shards == NULL)
		return TK_ENOMEM;
	for (uint32_t i = 0; i < train->shards; i++)
		p->shards[i] = &train->digests[i];
	qsort(p->shards, train->shards, sizeof(*p->shards), compare);
	return TK_OK;
}

/* The shard's number; UINT32_MAX: none of this project's. */
static uint32_t shard_of(const struct core_project *p, const struct digest *blob)
{
	const struct dataset_part *train = &p->recipe.data.train;
	const struct digest **found = NULL;

	if (p->shards != NULL)
		found = bsearch(&blob, p->shards, train->shards, sizeof(*p->shards), compare);
	return found != NULL ? (uint32_t)(*found - train->digests) : UINT32_MAX;
}

/* The recipe, or the parameters of a round that is leased. */
static bool is_common(const struct core_project *p, const struct digest *blob)
{
	if (digest_equal(&p->row.recipe, blob) || digest_equal(&p->row.parameters, blob))
		return true;
	for (const struct core_round *o = p->rounds; o != NULL; o = o->older)
		if (digest_equal(&o->row.start, blob))
			return true;
	return false;
}

static bool is_state(const struct core_project *p, const struct digest *blob)
{
	for (const struct core_round *o = p->rounds; o != NULL; o = o->older)
		for (uint32_t i = 0; o->states != NULL && i < p->row.units_per_round; i++)
			if (digest_equal(&o->states[i], blob))
				return true;
	return false;
}

static bool knows(const struct core_project *p, const struct digest *blob)
{
	return is_common(p, blob) || is_state(p, blob) || shard_of(p, blob) != UINT32_MAX;
}

static bool needs(const struct core_project *p, const struct digest *blob)
{
	return p->row.state == PROJECT_RUNNING && knows(p, blob);
}

bool core_needs_blob(const struct core *c, const struct digest *blob)
{
	for (const struct core_project *p = c->projects; p != NULL; p = p->next)
		if (needs(p, blob))
			return true;
	return false;
}

bool core_knows_blob(const struct core *c, const struct digest *blob)
{
	for (const struct core_project *p = c->projects; p != NULL; p = p->next)
		if (knows(p, blob))
			return true;
	return false;
}

/* In the window of the round in progress. */
static void shard_place(const struct core_project *p, uint32_t shard, struct blob_place *out)
{
	const struct recipe *r = &p->recipe;
	struct order order = part_order(&r->data.train, r->seed);
	uint64_t position = (uint64_t)p->row.round * r->train.units_per_round *
			    r->train.inner_steps * r->train.batch_size;

	out->shared = out->grouped = true;
	out->group = r->data.train.digests[order_group(&order, position, shard)];
}

void core_blob_place(const struct core *c, const struct digest *blob, struct blob_place *out)
{
	*out = (struct blob_place){0};
	for (const struct core_project *p = c->projects; p != NULL; p = p->next) {
		uint32_t shard;

		if (p->row.state != PROJECT_RUNNING)
			continue;
		if (is_common(p, blob)) {
			out->shared = true;
			return;
		}
		shard = shard_of(p, blob);
		if (shard != UINT32_MAX) {
			shard_place(p, shard, out);
			return;
		}
	}
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
