/* Hosts of the link (hosts.h), as the server sees to them: it notes where peers with credit are reached by strangers, from
 * whom the owner's `invite --hosts` chooses; brings each host its certificate when it is here; and renews those that
 * have less than half of their time left. A place is believed when the peer's signed record says that a dial-back has
 * got through to it, and its session comes from the same host, so that nobody puts another's address into links. Whoever
 * does not want to be a host has none. */
#include <string.h>
#include <time.h>
#include <uv.h>

#include "coordinator/serve_uv_state.h"
#include "tasks/base/mem.h"

#define NOTE_EVERY   40u   /* ticks: 10 s */
#define PLACE_KEPT_S 3600u /* a place that stays is written anew so often */

static void failed(struct serve *s, const struct errmsg *msg)
{
	serve_log(s, msg->text); /* tried again; nothing depends on it today */
}

/* Telling */

static struct host_row *host_of(struct serve *s, const struct public_key *key)
{
	for (uint32_t i = 0; i < s->hosts.count; i++) {
		if (key_equal(&s->hosts.rows[i].key, key))
			return &s->hosts.rows[i];
	}
	return NULL;
}

static bool is_willing(const struct serve *s, const struct serve_guest *g)
{
	return (node_uv_features(s->node, g->conn) & FEATURE_HOST) != 0;
}

/* What the store holds, and nothing else, is said. */
static void tell(struct serve *s, struct serve_guest *g)
{
	const struct host_row *h = host_of(s, &g->key);
	struct message m = {.type = MESSAGE_HOST_CERTIFICATE};

	if (h == NULL || h->expiry_s == g->told_s || !core_peer_established(s->core, &g->key) ||
		!is_willing(s, g))
		return;
	m.host_certificate = (struct message_host_certificate){h->expiry_s, h->signature};
	if (node_uv_send(s->node, g->conn, &m) == TK_OK)
		g->told_s = h->expiry_s;
}

/* Of those who are here: who is gone for good, or does not want to be a host any more, is none when its time is over. */
static void renew(struct serve *s, uint64_t now_s)
{
	struct errmsg msg = {""};

	for (size_t i = 0; i < s->hosts.guest_count; i++) {
		const struct serve_guest *g = &s->hosts.guests[i];
		const struct host_row *h = host_of(s, &g->key);
		struct host_row fresh;

		if (h == NULL || !host_is_due(h, now_s) || !is_willing(s, g) ||
			!core_peer_established(s->core, &g->key))
			continue;
		fresh = *h;
		host_renew(&fresh, &s->identity.key, now_s);
		if (store_renew_host(s->home.store, &fresh, &msg) == TK_OK)
			s->hosts.version = 0; /* read again: the owner may have removed it */
		else
			failed(s, &msg);
	}
}

/* The owner may have named or removed some. */
static void look(struct serve *s)
{
	uint64_t version = store_version(s->home.store);
	struct errmsg msg = {""};

	if (version == s->hosts.version && version != 0)
		return;
	s->hosts.version = version; /* one line for each change that cannot be read */
	if (hosts_load(s->hosts.rows, &s->hosts.count, s->home.store, &msg) != TK_OK)
		failed(s, &msg);
}

/* Noting */

static bool same_host(const struct endpoint *a, const struct endpoint *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* An address that is empty takes back one of earlier days. */
static bool find_place(const struct serve *s, const struct serve_guest *g, struct place_row *out)
{
	struct endpoint from;
	struct record record;
	struct span encoded;

	*out = (struct place_row){.key = g->key};
	if (!core_peer_established(s->core, &g->key))
		return false;
	if (!is_willing(s, g))
		return true;
	if (!node_uv_record(s->node, &g->key, &encoded, &record) ||
		(record.flags & RECORD_PUBLIC) == 0 || !node_uv_remote(s->node, g->conn, &from))
		return false;
	for (uint32_t i = 0; i < record.endpoint_count; i++) {
		if (!same_host(&record.endpoints[i], &from))
			continue;
		endpoint_text(out->address, &record.endpoints[i]);
		return true;
	}
	return false;
}

static bool is_news(const struct serve_guest *g, const struct place_row *place, uint64_t now_s)
{
	return strcmp(g->place.address, place->address) != 0 ||
	       now_s >= g->place.seen_s + PLACE_KEPT_S;
}

static void note_places(struct serve *s, uint64_t now_s)
{
	struct errmsg msg = {""};
	struct place_row place;
	bool begun = false;
	int rc = TK_OK;

	for (size_t i = 0; rc == TK_OK && i < s->hosts.guest_count; i++) {
		struct serve_guest *g = &s->hosts.guests[i];

		if (!find_place(s, g, &place) || !is_news(g, &place, now_s))
			continue;
		if (!begun)
			rc = store_begin(s->home.store, &msg);
		begun |= rc == TK_OK;
		place.seen_s = now_s;
		if (rc == TK_OK)
			rc = store_save_place(s->home.store, &place, &msg);
		if (rc == TK_OK)
			g->place = place;
	}
	if (begun && rc == TK_OK)
		rc = store_commit(s->home.store, &msg);
	else if (begun)
		store_rollback(s->home.store);
	if (rc != TK_OK)
		failed(s, &msg);
}

/* What serve_uv.c says */

void serve_hosts_up(struct serve *s, conn_id conn, const struct public_key *key)
{
	struct serve_hosts *h = &s->hosts;
	struct serve_guest *bigger;

	if (h->guest_count == h->guest_room) {
		size_t room = h->guest_room != 0 ? 2 * h->guest_room : 64;

		bigger = mem_realloc(h->guests, room * sizeof(*bigger));
		if (bigger == NULL)
			return; /* it is no host until it comes again */
		h->guests = bigger;
		h->guest_room = room;
	}
	h->guests[h->guest_count++] = (struct serve_guest){.conn = conn, .key = *key};
}

void serve_hosts_down(struct serve *s, conn_id conn)
{
	struct serve_hosts *h = &s->hosts;

	for (size_t i = 0; i < h->guest_count; i++) {
		if (h->guests[i].conn != conn)
			continue;
		h->guests[i] = h->guests[--h->guest_count];
		return;
	}
}

void serve_hosts_tick(struct serve *s)
{
	uint64_t now_s = (uint64_t)time(NULL);

	if (s->core == NULL || s->node == NULL)
		return;
	if (s->hosts.ticks++ % NOTE_EVERY == 0) {
		note_places(s, now_s);
		renew(s, now_s);
	}
	look(s);
	for (size_t i = 0; i < s->hosts.guest_count; i++)
		tell(s, &s->hosts.guests[i]);
}

void serve_hosts_close(struct serve *s)
{
	mem_free(s->hosts.guests);
	s->hosts = (struct serve_hosts){.version = 0};
}
