/* See status_teams.h. Names are strangers' choice, so they are sorted and not hashed: O(n log n) whatever they are. */
#include "coordinator/status_teams.h"

#include <stdlib.h>
#include <string.h>

#include "tasks/base/mem.h"

void status_teams_close(struct status_teams *all)
{
	mem_free(all->items);
	*all = (struct status_teams){0};
}

static int grow(struct status_teams *all)
{
	size_t wanted = all->capacity == 0 ? 16 : all->capacity * 2;
	void *items = wanted <= SIZE_MAX / sizeof(*all->items)
			      ? mem_realloc(all->items, wanted * sizeof(*all->items))
			      : NULL;

	if (items == NULL)
		return TK_ENOMEM;
	all->items = items;
	all->capacity = wanted;
	return TK_OK;
}

int status_teams_add(struct status_teams *all, const struct peer_row *peer)
{
	struct status_team *t;

	if (peer->team[0] == '\0')
		return TK_OK;
	if (all->count == all->capacity && grow(all) != TK_OK)
		return TK_ENOMEM;
	t = &all->items[all->count++];
	*t = (struct status_team){.members = 1, .units = peer->valid};
	t->credit_flops = peer->credit_flops < INT64_MAX ? peer->credit_flops : INT64_MAX;
	memcpy(t->name, peer->team, sizeof(t->name));
	return TK_OK;
}

static int by_name(const void *a, const void *b)
{
	const struct status_team *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int by_credit(const void *a, const void *b)
{
	const struct status_team *x = a, *y = b;

	if (x->credit_flops != y->credit_flops)
		return x->credit_flops < y->credit_flops ? 1 : -1;
	return by_name(a, b);
}

void status_teams_rank(struct status_teams *all)
{
	size_t kept = 0;

	if (all->count == 0)
		return;
	qsort(all->items, all->count, sizeof(all->items[0]), by_name);
	for (size_t i = 1; i < all->count; i++) {
		struct status_team *t = &all->items[kept], *next = &all->items[i];

		if (strcmp(t->name, next->name) != 0) {
			all->items[++kept] = *next;
			continue;
		}
		t->members += next->members;
		t->units += next->units;
		t->credit_flops += next->credit_flops < INT64_MAX - t->credit_flops
					   ? next->credit_flops
					   : INT64_MAX - t->credit_flops;
	}
	all->count = kept + 1;
	qsort(all->items, all->count, sizeof(all->items[0]), by_credit);
}

static int add(void *context, const void *row)
{
	return status_teams_add(context, row);
}

int status_teams_load(struct status_teams *all, struct store *s, struct errmsg *msg)
{
	int rc = store_peers(s, add, all, msg);

	if (rc == TK_ENOMEM)
		errmsg_set(msg, rc, "not enough memory for the teams");
	if (rc == TK_OK)
		status_teams_rank(all);
	return rc;
}
