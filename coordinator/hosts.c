/* See hosts.h. */
#include "coordinator/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/wire/identity.h"
#include "tasks/base/mem.h"

bool host_is_due(const struct host_row *h, uint64_t now_s)
{
	return h->expiry_s <= now_s + HOST_LIFETIME_S / 2;
}

void host_renew(struct host_row *h, const struct key_pair *root, uint64_t now_s)
{
	struct certificate c;

	host_sign(&c, root, &h->key, now_s);
	h->expiry_s = c.expiry_s;
	h->signature = c.signature;
}

/* Reading */

struct host_list {
	struct host_row *rows;
	uint32_t count;
};

static int take_host(void *context, const void *row)
{
	struct host_list *l = context;

	if (l->count < HOSTS_MAX)
		l->rows[l->count++] = *(const struct host_row *)row;
	return TK_OK;
}

int hosts_load(struct host_row out[HOSTS_MAX], uint32_t *count, struct store *s, struct errmsg *msg)
{
	struct host_list l = {.rows = out};
	int rc = store_hosts(s, take_host, &l, msg);

	if (rc == TK_OK)
		*count = l.count;
	return rc;
}

/* Choosing */

struct choosing {
	struct hosts_choice *choice;
	struct host_row hosts[HOSTS_MAX]; /* before */
	uint32_t host_count;
	struct place_row *places; /* owned; by key */
	size_t place_count, place_room;
	uint32_t wanted;
	bool world; /* only global addresses */
	bool again; /* this pass: hosts of earlier links; else: others */
	uint64_t now_s;
	struct errmsg *msg;
};

static int take_place(void *context, const void *row)
{
	struct choosing *c = context;
	struct place_row *bigger;

	if (c->place_count == c->place_room) {
		size_t room = c->place_room != 0 ? 2 * c->place_room : 64;

		bigger = mem_realloc(c->places, room * sizeof(*bigger));
		if (bigger == NULL)
			return errmsg_set(c->msg, TK_ENOMEM, "not enough memory");
		c->places = bigger;
		c->place_room = room;
	}
	c->places[c->place_count++] = *(const struct place_row *)row;
	return TK_OK;
}

static int by_key(const void *key, const void *place)
{
	return memcmp(key, ((const struct place_row *)place)->key.b, KEY_BYTES);
}

static const struct host_row *host_before(const struct choosing *c, const struct public_key *key)
{
	for (uint32_t i = 0; i < c->host_count; i++) {
		if (key_equal(&c->hosts[i].key, key))
			return &c->hosts[i];
	}
	return NULL;
}

/* Has a host that was chosen the prefix of this address? Local addresses are not counted so. */
static bool is_crowded(const struct hosts_choice *c, const struct endpoint *at)
{
	struct endpoint other;

	if (endpoint_scope(at) != SCOPE_GLOBAL)
		return false;
	for (uint32_t i = 0; i < c->count; i++) {
		if (endpoint_from_text(&other, c->hosts[i].address) == TK_OK &&
			endpoint_prefix(&other) == endpoint_prefix(at))
			return true;
	}
	return false;
}

static void choose(struct choosing *c, const struct peer_row *peer, const struct place_row *place)
{
	const struct host_row *before = host_before(c, &peer->key);
	struct hosts_choice *choice = c->choice;
	struct host_row *host = &choice->hosts[choice->count];

	if (before != NULL)
		*host = *before;
	else
		*host = (struct host_row){.key = peer->key};
	snprintf(host->address, sizeof(host->address), "%s", place->address);
	choice->count++;
}

static int consider(void *context, const void *row)
{
	struct choosing *c = context;
	struct hosts_choice *choice = c->choice;
	const struct peer_row *peer = row;
	const struct place_row *place;
	struct endpoint at;

	if (peer->retired || peer->valid == 0 || (host_before(c, &peer->key) != NULL) != c->again)
		return TK_OK;
	choice->credited++;
	place = c->place_count != 0 ? bsearch(peer->key.b, c->places, c->place_count,
					      sizeof(*c->places), by_key)
				    : NULL;
	if (place == NULL || endpoint_from_text(&at, place->address) != TK_OK)
		choice->unplaced++;
	else if (c->world && endpoint_scope(&at) != SCOPE_GLOBAL)
		choice->near++;
	else if (place->seen_s + PLACE_FRESH_S < c->now_s)
		choice->gone++;
	else if (choice->count == c->wanted)
		return TK_OK;
	else if (!c->again && c->host_count + choice->count >= HOSTS_MAX)
		choice->full = true;
	else if (is_crowded(choice, &at))
		choice->crowded++;
	else
		choose(c, peer, place);
	return TK_OK;
}

static int save(struct hosts_choice *c, struct store *s, const struct key_pair *root,
	uint64_t now_s, struct errmsg *msg)
{
	int rc = TK_OK;

	for (uint32_t i = 0; rc == TK_OK && i < c->count; i++) {
		if (host_is_due(&c->hosts[i], now_s))
			host_renew(&c->hosts[i], root, now_s);
		rc = store_save_host(s, &c->hosts[i], msg);
	}
	return rc;
}

/* Hosts whose certificate has ended make place for others. */
static int forget_ended(struct choosing *c, struct store *s, struct errmsg *msg)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->host_count; i++) {
		int rc = TK_OK;

		if (c->hosts[i].expiry_s < c->now_s)
			rc = store_remove_host(s, &c->hosts[i].key, msg);
		else
			c->hosts[kept++] = c->hosts[i];
		if (rc != TK_OK)
			return rc;
	}
	c->host_count = kept;
	return TK_OK;
}

int hosts_choose(struct hosts_choice *out, struct store *s, uint32_t wanted, bool world,
	const struct key_pair *root, uint64_t now_s, struct errmsg *msg)
{
	struct hosts_choice choice = {0};
	struct choosing c = {.choice = &choice,
		.wanted = wanted < LINK_HOSTS_MAX ? wanted : LINK_HOSTS_MAX,
		.world = world,
		.again = true,
		.now_s = now_s,
		.msg = msg};
	int rc = store_begin(s, msg);

	if (rc != TK_OK)
		return rc;
	rc = hosts_load(c.hosts, &c.host_count, s, msg);
	if (rc == TK_OK)
		rc = forget_ended(&c, s, msg);
	if (rc == TK_OK)
		rc = store_places(s, take_place, &c, msg);
	if (rc == TK_OK)
		rc = store_peers(s, consider, &c, msg);
	c.again = false;
	if (rc == TK_OK)
		rc = store_peers(s, consider, &c, msg);
	if (rc == TK_OK)
		rc = save(&choice, s, root, now_s, msg);
	mem_free(c.places);
	if (rc == TK_OK)
		rc = store_commit(s, msg);
	else
		store_rollback(s);
	if (rc == TK_OK)
		*out = choice;
	return rc;
}

static void because(char out[TEXT_MAX], uint32_t count, const char *what)
{
	size_t used = strlen(out);

	if (count != 0)
		snprintf(out + used, TEXT_MAX - used, "%s %u %s",
			used != 0 && out[used - 1] != ':' ? "," : "", count, what);
}

void hosts_lacking(const struct hosts_choice *c, uint32_t wanted, char out[TEXT_MAX])
{
	out[0] = '\0';
	if (c->count >= wanted)
		return;
	snprintf(out, TEXT_MAX, "%u of %u hosts: %u peers have accepted results", c->count, wanted,
		c->credited);
	if (c->unplaced + c->near + c->gone + c->crowded == 0 && !c->full)
		return;
	snprintf(out + strlen(out), TEXT_MAX - strlen(out), "; of them:");
	because(out, c->unplaced, "cannot be dialled by strangers, or do not want to be hosts");
	because(out, c->near, "can be dialled from their own house alone");
	because(out, c->gone, "were not here for three days");
	because(out, c->crowded, "share another host's address prefix");
	if (c->full)
		because(out, HOSTS_MAX, "are hosts already, and more are not named");
}
