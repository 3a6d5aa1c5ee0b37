/* See connections.h: two chained hash tables over one doubly linked list. Strangers can choose keys
 * that share a chain, but never more of them than NODE_CONNECTIONS_MAX. */
#include "peer/overlay/connections.h"

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define BUCKETS_FIRST 16u

static struct connection **id_chain(const struct connections *t, conn_id id)
{
	uint64_t mixed = id * 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio: Fibonacci hashing */

	return &t->by_id[(mixed >> 32) & (t->buckets - 1)];
}

static struct connection **key_chain(const struct connections *t, const struct public_key *key)
{
	return &t->by_key[load_le64(key->b) & (t->buckets - 1)];
}

static void chain_in(struct connections *t, struct connection *c)
{
	struct connection **chain = id_chain(t, c->id);

	c->next_by_id = *chain;
	*chain = c;
	if (c->keyed) {
		chain = key_chain(t, &c->key);
		c->next_by_key = *chain;
		*chain = c;
	}
}

static void chain_out(struct connections *t, struct connection *c)
{
	struct connection **link = id_chain(t, c->id);

	while (*link != c)
		link = &(*link)->next_by_id;
	*link = c->next_by_id;
	if (c->keyed) {
		link = key_chain(t, &c->key);
		while (*link != c)
			link = &(*link)->next_by_key;
		*link = c->next_by_key;
	}
}

/* Changes the number of chains; without memory the table stays as it is. Errors: TK_ENOMEM. */
static int table_resize(struct connections *t, size_t buckets)
{
	struct connection **by_id = mem_calloc(buckets, sizeof(struct connection *));
	struct connection **by_key = mem_calloc(buckets, sizeof(struct connection *));

	if (by_id == NULL || by_key == NULL) {
		mem_free(by_id);
		mem_free(by_key);
		return TK_ENOMEM;
	}
	mem_free(t->by_id);
	mem_free(t->by_key);
	t->by_id = by_id;
	t->by_key = by_key;
	t->buckets = buckets;
	for (struct connection *c = t->first; c != NULL; c = c->next)
		chain_in(t, c);
	return TK_OK;
}

int connections_init(struct connections *t)
{
	*t = (struct connections){0};
	if (crowds_init(&t->crowds) != TK_OK)
		return TK_ENOMEM;
	if (table_resize(t, BUCKETS_FIRST) == TK_OK)
		return TK_OK;
	crowds_close(&t->crowds);
	return TK_ENOMEM;
}

void connections_close(struct connections *t)
{
	while (t->first != NULL)
		connections_remove(t, t->first);
	crowds_close(&t->crowds);
	mem_free(t->by_id);
	mem_free(t->by_key);
	*t = (struct connections){0};
}

struct connection *connections_add(struct connections *t, conn_id id)
{
	struct connection *c;

	REQUIRE(id != 0 && connections_find(t, id) == NULL);
	c = mem_calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	if (t->count >= t->buckets && table_resize(t, t->buckets * 2) != TK_OK) {
		mem_free(c);
		return NULL;
	}
	c->id = id;
	c->previous = t->last;
	*(t->last != NULL ? &t->last->next : &t->first) = c;
	t->last = c;
	t->count++;
	chain_in(t, c);
	return c;
}

void connections_remove(struct connections *t, struct connection *c)
{
	chain_out(t, c);
	crowds_leave(&t->crowds, c);
	*(c->previous != NULL ? &c->previous->next : &t->first) = c->next;
	*(c->next != NULL ? &c->next->previous : &t->last) = c->previous;
	t->count--;
	session_free(c->session);
	mem_free(c);
}

struct connection *connections_find(const struct connections *t, conn_id id)
{
	struct connection *c = *id_chain(t, id);

	while (c != NULL && c->id != id)
		c = c->next_by_id;
	return c;
}

void connections_set_key(struct connections *t, struct connection *c)
{
	struct connection *older = connections_find_key(t, &c->key);

	REQUIRE(!c->keyed);
	if (older != NULL) {
		chain_out(t, older);
		older->keyed = false;
		chain_in(t, older);
	}
	chain_out(t, c);
	c->keyed = true;
	chain_in(t, c);
}

struct connection *connections_find_key(const struct connections *t, const struct public_key *key)
{
	struct connection *c = *key_chain(t, key);

	while (c != NULL && !key_equal(&c->key, key))
		c = c->next_by_key;
	return c;
}
