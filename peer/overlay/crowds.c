/* See crowds.h: a chained hash table of prefixes, and for each count a list of the prefixes that have so many.
 * One connection more or less moves its prefix from one list to the next, so the longest is at most one step
 * from where it was. Strangers can choose prefixes that share a chain, but each costs them a connection, and
 * there are never more of these than NODE_CONNECTIONS_MAX. */
#include "peer/overlay/crowds.h"

#include "peer/overlay/connections.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define CHAINS NODE_CONNECTIONS_MAX
#define COUNTS (NODE_CONNECTIONS_MAX + 1)

int crowds_init(struct crowds *w)
{
	*w = (struct crowds){0};
	w->by_prefix = mem_calloc(CHAINS, sizeof(struct crowd *));
	w->first = mem_calloc(COUNTS, sizeof(struct crowd *));
	w->last = mem_calloc(COUNTS, sizeof(struct crowd *));
	if (w->by_prefix != NULL && w->first != NULL && w->last != NULL)
		return TK_OK;
	crowds_close(w);
	return TK_ENOMEM;
}

void crowds_close(struct crowds *w)
{
	REQUIRE(w->most == 0);
	mem_free(w->by_prefix);
	mem_free(w->first);
	mem_free(w->last);
	*w = (struct crowds){0};
}

static struct crowd **chain_of(const struct crowds *w, uint64_t prefix)
{
	uint64_t mixed = prefix * 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio: Fibonacci hashing */

	return &w->by_prefix[(mixed >> 32) % CHAINS];
}

static struct crowd *crowd_find(const struct crowds *w, uint64_t prefix)
{
	struct crowd *crowd = *chain_of(w, prefix);

	while (crowd != NULL && crowd->prefix != prefix)
		crowd = crowd->next;
	return crowd;
}

/* From the list of its count to that of another; 0 is none. */
static void crowd_move(struct crowds *w, struct crowd *crowd, uint32_t count)
{
	if (crowd->count != 0) {
		*(crowd->before != NULL ? &crowd->before->after : &w->first[crowd->count]) =
			crowd->after;
		*(crowd->after != NULL ? &crowd->after->before : &w->last[crowd->count]) =
			crowd->before;
	}
	crowd->count = count;
	crowd->before = count != 0 ? w->last[count] : NULL;
	crowd->after = NULL;
	if (count != 0) {
		*(w->last[count] != NULL ? &w->last[count]->after : &w->first[count]) = crowd;
		w->last[count] = crowd;
	}
	if (count > w->most)
		w->most = count;
	while (w->most != 0 && w->first[w->most] == NULL)
		w->most--;
}

void crowds_enter(struct crowds *w, struct connection *c)
{
	struct crowd *crowd = crowd_find(w, c->prefix);
	struct crowd **chain = chain_of(w, c->prefix);

	if (crowd == NULL) {
		crowd = mem_calloc(1, sizeof(*crowd));
		if (crowd == NULL)
			return;
		crowd->prefix = c->prefix;
		crowd->next = *chain;
		*chain = crowd;
	}
	c->crowd = crowd;
	c->crowd_older = crowd->newest;
	if (crowd->newest != NULL)
		crowd->newest->crowd_newer = c;
	crowd->newest = c;
	crowd_move(w, crowd, crowd->count + 1);
}

void crowds_leave(struct crowds *w, struct connection *c)
{
	struct crowd *crowd = c->crowd;
	struct crowd **link;

	if (crowd == NULL)
		return;
	*(c->crowd_newer != NULL ? &c->crowd_newer->crowd_older : &crowd->newest) = c->crowd_older;
	if (c->crowd_older != NULL)
		c->crowd_older->crowd_newer = c->crowd_newer;
	c->crowd = NULL;
	crowd_move(w, crowd, crowd->count - 1);
	if (crowd->count != 0)
		return;
	link = chain_of(w, crowd->prefix);
	while (*link != crowd)
		link = &(*link)->next;
	*link = crowd->next;
	mem_free(crowd);
}

struct connection *crowds_heaviest(const struct crowds *w, uint64_t prefix)
{
	const struct crowd *own = prefix != 0 ? crowd_find(w, prefix) : NULL;

	if (w->most == 0 || w->most < (own != NULL ? own->count : 0) + 2)
		return NULL;
	return w->first[w->most]->newest;
}
