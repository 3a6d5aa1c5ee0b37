/* See tracker.h. An entry is one peer in one group; a group lists its entries in two arrays, those that
 * strangers can dial apart, and a peer chains its own. */
#include "peer/swarm/tracker.h"

#include "peer/swarm/index.h"
#include "tasks/base/mem.h"

struct entry {
	struct group *group;
	struct member *member;
	uint32_t at;	/* in its array */
	uint32_t blobs; /* of the group that the peer has */
	bool public;
	struct entry *next, *previous; /* of the same peer */
};

struct entries {
	struct entry **items;
	size_t count, capacity;
};

struct group {
	blob_ref ref;
	struct entries of[2]; /* by `public` */
};

struct member {
	peer_ref peer;
	uint32_t groups;
	struct entry *first;
};

struct tracker {
	struct index groups, members, entries;
	size_t memory;
};

static uint64_t entry_key(blob_ref group, peer_ref peer)
{
	return (uint64_t)group << 32 | peer;
}

static void *take(struct tracker *t, struct index *x, uint64_t key, size_t size)
{
	void *p = mem_calloc(1, size);

	if (p != NULL && index_put(x, key, p) != TK_OK) {
		mem_free(p);
		return NULL;
	}
	if (p != NULL)
		t->memory += size;
	return p;
}

static void give(struct tracker *t, struct index *x, uint64_t key, size_t size)
{
	mem_free(index_remove(x, key));
	t->memory -= size;
}

struct tracker *tracker_new(void)
{
	return mem_calloc(1, sizeof(struct tracker));
}

void tracker_free(struct tracker *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->groups.capacity; i++) {
		struct group *g = t->groups.values[i];

		if (g == NULL)
			continue;
		mem_free(g->of[0].items);
		mem_free(g->of[1].items);
		mem_free(g);
	}
	for (size_t i = 0; i < t->members.capacity; i++)
		mem_free(t->members.values[i]);
	for (size_t i = 0; i < t->entries.capacity; i++)
		mem_free(t->entries.values[i]);
	index_close(&t->groups);
	index_close(&t->members);
	index_close(&t->entries);
	mem_free(t);
}

static int room_for_one(struct tracker *t, struct entries *list)
{
	size_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
	struct entry **items;

	if (list->count < list->capacity)
		return TK_OK;
	items = mem_realloc(list->items, capacity * sizeof(struct entry *));
	if (items == NULL)
		return TK_ENOMEM;
	t->memory += (capacity - list->capacity) * sizeof(struct entry *);
	list->items = items;
	list->capacity = capacity;
	return TK_OK;
}

/* What is left empty after a failure is removed with the peer, or used the next time. */
static int entry_new(
	struct tracker *t, struct group *g, struct member *m, bool public, struct entry **out)
{
	struct entries *list = &g->of[public];
	struct entry *e;

	if (m->groups == TRACKER_GROUPS_MAX)
		return TK_ELIMIT;
	if (room_for_one(t, list) != TK_OK)
		return TK_ENOMEM;
	e = take(t, &t->entries, entry_key(g->ref, m->peer), sizeof(*e));
	if (e == NULL)
		return TK_ENOMEM;
	e->group = g;
	e->member = m;
	e->public = public;
	e->at = (uint32_t)list->count;
	list->items[list->count++] = e;
	e->next = m->first;
	if (m->first != NULL)
		m->first->previous = e;
	m->first = e;
	m->groups++;
	*out = e;
	return TK_OK;
}

int tracker_add(struct tracker *t, blob_ref group, peer_ref peer, bool public)
{
	struct entry *e = index_get(&t->entries, entry_key(group, peer));
	struct group *g = index_get(&t->groups, group);
	struct member *m = index_get(&t->members, peer);
	int rc = TK_OK;

	if (g == NULL)
		g = take(t, &t->groups, group, sizeof(*g));
	if (g == NULL)
		return TK_ENOMEM;
	g->ref = group;
	if (m == NULL)
		m = take(t, &t->members, peer, sizeof(*m));
	if (m == NULL)
		return TK_ENOMEM;
	m->peer = peer;
	if (e == NULL)
		rc = entry_new(t, g, m, public, &e);
	if (rc == TK_OK)
		e->blobs++;
	return rc;
}

static void entry_free(struct tracker *t, struct entry *e)
{
	struct entries *list = &e->group->of[e->public];
	struct member *m = e->member;
	struct group *g = e->group;

	list->items[e->at] = list->items[--list->count];
	list->items[e->at]->at = e->at;
	if (e->previous != NULL)
		e->previous->next = e->next;
	else
		m->first = e->next;
	if (e->next != NULL)
		e->next->previous = e->previous;
	m->groups--;
	give(t, &t->entries, entry_key(g->ref, m->peer), sizeof(*e));
	if (m->groups == 0)
		give(t, &t->members, m->peer, sizeof(*m));
	if (g->of[0].count + g->of[1].count != 0)
		return;
	t->memory -= (g->of[0].capacity + g->of[1].capacity) * sizeof(struct entry *);
	mem_free(g->of[0].items);
	mem_free(g->of[1].items);
	give(t, &t->groups, g->ref, sizeof(*g));
}

void tracker_remove(struct tracker *t, blob_ref group, peer_ref peer)
{
	struct entry *e = index_get(&t->entries, entry_key(group, peer));

	if (e != NULL && --e->blobs == 0)
		entry_free(t, e);
}

void tracker_remove_peer(struct tracker *t, peer_ref peer)
{
	struct member *m = index_get(&t->members, peer);
	struct entry *next;

	for (struct entry *e = m != NULL ? m->first : NULL; e != NULL; e = next) {
		next = e->next;
		entry_free(t, e);
	}
}

size_t tracker_count(const struct tracker *t, blob_ref group, peer_ref asker)
{
	const struct group *g = index_get(&t->groups, group);
	size_t own = index_get(&t->entries, entry_key(group, asker)) != NULL;

	return g == NULL ? 0 : g->of[0].count + g->of[1].count - own;
}

struct draw {
	peer_ref *out;
	size_t count;
	peer_ref asker;
	uint64_t random;
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u; /* SplitMix64 */

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static bool drawn(const struct draw *d, peer_ref peer)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->out[i] == peer)
			return true;
	return peer == d->asker;
}

/* Draws until there are `want` in all: at random places, from each on to the next that is not drawn. */
static void draw_from(struct draw *d, const struct entries *list, size_t want)
{
	size_t seen = 0;

	while (d->count < want && seen < list->count) {
		size_t at = (size_t)(next_random(&d->random) % list->count);

		for (seen = 0; seen < list->count; seen++, at++) {
			peer_ref peer = list->items[at % list->count]->member->peer;

			if (drawn(d, peer))
				continue;
			d->out[d->count++] = peer;
			break;
		}
	}
}

size_t tracker_who(const struct tracker *t, blob_ref group, peer_ref asker, size_t want,
	uint64_t random, peer_ref out[BLOB_SOURCES_MAX])
{
	const struct group *g = index_get(&t->groups, group);
	struct draw d = {.out = out, .asker = asker, .random = random};

	if (want > BLOB_SOURCES_MAX)
		want = BLOB_SOURCES_MAX;
	if (g == NULL)
		return 0;
	draw_from(&d, &g->of[true], (want + 1) / 2);
	draw_from(&d, &g->of[false], want);
	draw_from(&d, &g->of[true], want);
	return d.count;
}

size_t tracker_memory(const struct tracker *t)
{
	size_t slots = t->groups.capacity + t->members.capacity + t->entries.capacity;

	return sizeof(*t) + t->memory + slots * (sizeof(uint64_t) + sizeof(void *));
}
