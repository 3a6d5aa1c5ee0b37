/* See directory.h. Peers are found by key and bodies by id through chained hash tables on the first bytes
 * of either, which a stranger can choose; the tables are small enough that one chain of everything is
 * cheaper to walk than the signature that led there is to check. */
#include "peer/overlay/directory.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define CHAINS 1024u

struct entry {
	struct public_key key;
	uint32_t next; /* in its chain */
	bool taken;
	bool observed; /* its prefix was seen, not told */
	peer_ref told_by;
	uint64_t touched_ms;
	struct record record; /* when bytes.len != 0 */
	struct bytes bytes;
};

struct body {
	struct gossip_id id;
	uint32_t next;
	bool taken;
	uint64_t touched_ms;
	struct signature signature;
	struct bytes bytes; /* empty: only the id is known */
};

struct topic {
	uint32_t kind; /* 0: free */
	struct digest subject;
	uint64_t touched_ms;
	bool verified;
};

struct directory {
	struct public_key network;
	struct gossip_tables tables;
	struct entry peers[DIRECTORY_PEERS_MAX + 1]; /* number 0 is unused, here and below */
	struct peer_info peer_infos[DIRECTORY_PEERS_MAX + 1];
	struct body bodies[DIRECTORY_BODIES_MAX + 1];
	struct body_info body_infos[DIRECTORY_BODIES_MAX + 1];
	struct topic topics[DIRECTORY_TOPICS_MAX + 1];
	uint32_t peer_chains[CHAINS], body_chains[CHAINS];
	uint32_t peer_last, body_last;		/* the highest number that was ever given */
	uint32_t told[DIRECTORY_PEERS_MAX + 1]; /* how many each has told us of */
	directory_mark *mark;
	void *mark_context;
};

struct directory *directory_new(const struct public_key *network, const struct public_key *self)
{
	struct directory *d = mem_calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->network = *network;
	d->tables = (struct gossip_tables){d->peer_infos, d->body_infos};
	REQUIRE(directory_peer(d, self, 0, 0) == DIRECTORY_SELF);
	return d;
}

void directory_free(struct directory *d)
{
	if (d == NULL)
		return;
	for (uint32_t i = 1; i <= d->peer_last; i++)
		bytes_close(&d->peers[i].bytes);
	for (uint32_t i = 1; i <= d->body_last; i++)
		bytes_close(&d->bodies[i].bytes);
	mem_free(d);
}

const struct gossip_tables *directory_tables(const struct directory *d)
{
	return &d->tables;
}

void directory_ask_used(struct directory *d, directory_mark *mark, void *context)
{
	d->mark = mark;
	d->mark_context = context;
}

/* Peers */

static uint32_t *peer_chain(struct directory *d, const struct public_key *key)
{
	return &d->peer_chains[load_le32(key->b) % CHAINS];
}

peer_ref directory_find(const struct directory *d, const struct public_key *key)
{
	uint32_t at = d->peer_chains[load_le32(key->b) % CHAINS];

	while (at != 0 && !key_equal(&d->peers[at].key, key))
		at = d->peers[at].next;
	return at;
}

const struct public_key *directory_key(const struct directory *d, peer_ref peer)
{
	REQUIRE(peer != 0 && peer <= d->peer_last && d->peers[peer].taken);
	return &d->peers[peer].key;
}

static void peer_remove(struct directory *d, peer_ref peer)
{
	struct entry *e = &d->peers[peer];
	uint32_t *at = peer_chain(d, &e->key);

	while (*at != peer)
		at = &d->peers[*at].next;
	*at = e->next;
	if (e->told_by != 0)
		d->told[e->told_by]--;
	bytes_close(&e->bytes);
	*e = (struct entry){0};
	d->peer_infos[peer] = (struct peer_info){0};
}

/* The peer nobody uses that was touched longest ago; told_by ≠ 0: of those it told us of. 0: there is
 * none. O(peers), only in a full table or for who tells of very many. */
static peer_ref peer_stalest(
	const struct directory *d, peer_ref told_by, uint64_t rest_ms, uint64_t now_ms)
{
	struct directory_marks marks = {0};
	peer_ref found = 0;

	if (d->mark != NULL)
		d->mark(d->mark_context, &marks);
	for (peer_ref i = DIRECTORY_SELF + 1; i <= d->peer_last; i++) {
		const struct entry *e = &d->peers[i];

		if (!e->taken || (told_by != 0 && e->told_by != told_by) ||
			e->touched_ms + rest_ms > now_ms ||
			(found != 0 && e->touched_ms >= d->peers[found].touched_ms) ||
			d->told[i] != 0 || marks.peers[i])
			continue;
		found = i;
	}
	return found;
}

/* A free number, if need be that of one that is forgotten. */
static peer_ref peer_place(struct directory *d, peer_ref told_by, uint64_t now_ms)
{
	peer_ref peer;

	if (told_by != 0 && d->told[told_by] >= DIRECTORY_TOLD_MAX)
		peer = peer_stalest(d, told_by, 0, now_ms);
	else if (d->peer_last < DIRECTORY_PEERS_MAX)
		return ++d->peer_last;
	else
		peer = peer_stalest(d, 0, DIRECTORY_REST_MS, now_ms);
	if (peer != 0)
		peer_remove(d, peer);
	return peer;
}

peer_ref directory_peer(
	struct directory *d, const struct public_key *key, peer_ref told_by, uint64_t now_ms)
{
	peer_ref peer = directory_find(d, key);
	struct entry *e;

	if (peer == 0) {
		peer = peer_place(d, told_by, now_ms);
		if (peer == 0)
			return 0;
		e = &d->peers[peer];
		*e = (struct entry){.key = *key, .taken = true, .told_by = told_by};
		if (told_by != 0)
			d->told[told_by]++;
		e->next = *peer_chain(d, key);
		*peer_chain(d, key) = peer;
	}
	d->peers[peer].touched_ms = now_ms;
	return peer;
}

/* Where strangers reach it: its first public address, or that of its relay. */
static uint64_t record_prefix(const struct record *r)
{
	if (r->endpoint_count != 0 && ((r->flags & RECORD_PUBLIC) || r->relay_count == 0))
		return endpoint_prefix(&r->endpoints[0]);
	return r->relay_count != 0 ? endpoint_prefix(&r->relays[0].at) : 0;
}

static void record_note(struct directory *d, peer_ref peer, const struct record *r)
{
	struct peer_info *info = &d->peer_infos[peer];

	d->peers[peer].record = *r;
	info->expiry_s = r->expiry_s < UINT32_MAX ? (uint32_t)r->expiry_s : UINT32_MAX;
	info->public = r->flags & RECORD_PUBLIC;
	if (record_prefix(r) != 0 && !d->peers[peer].observed)
		info->prefix = record_prefix(r);
}

static int record_keep(
	struct directory *d, peer_ref peer, const struct record *r, struct span encoded)
{
	struct bytes copy = {0};

	if (bytes_append(&copy, encoded.data, encoded.len) != TK_OK)
		return TK_ENOMEM;
	bytes_close(&d->peers[peer].bytes);
	d->peers[peer].bytes = copy;
	record_note(d, peer, r);
	return TK_OK;
}

int directory_record_own(struct directory *d, const struct record *record, struct span encoded)
{
	REQUIRE(key_equal(&record->key, &d->peers[DIRECTORY_SELF].key));
	return record_keep(d, DIRECTORY_SELF, record, encoded);
}

/* Do we hold these very bytes? Then they were verified when they came first. */
static peer_ref record_known(const struct directory *d, struct span encoded)
{
	struct public_key key;
	peer_ref peer;

	/* [array of 8, format, bin 8 of 32 bytes, key …: record_encode's shortest forms */
	if (encoded.len < 4 + KEY_BYTES)
		return 0;
	memcpy(key.b, encoded.data + 4, KEY_BYTES);
	peer = directory_find(d, &key);
	return peer != 0 && span_equal(bytes_span(&d->peers[peer].bytes), encoded) ? peer : 0;
}

bool directory_record_held(const struct directory *d, struct span encoded)
{
	return record_known(d, encoded) != 0;
}

int directory_record_take(struct directory *d, struct span encoded, peer_ref told_by,
	uint64_t now_ms, uint64_t now_s, peer_ref *peer, struct errmsg *msg)
{
	struct record got;
	int rc;

	*peer = record_known(d, encoded);
	if (*peer != 0) {
		d->peers[*peer].touched_ms = now_ms;
		return TK_OK;
	}
	rc = record_decode(&got, encoded, &d->network, now_s, msg);
	if (rc != TK_OK)
		return rc;
	*peer = directory_peer(d, &got.key, told_by, now_ms);
	if (*peer == 0 || *peer == DIRECTORY_SELF ||
		(d->peers[*peer].bytes.len != 0 && d->peers[*peer].record.sequence >= got.sequence))
		return TK_OK;
	rc = record_keep(d, *peer, &got, encoded);
	return rc == TK_OK ? rc : errmsg_set(msg, rc, "out of memory");
}

void directory_prefix(struct directory *d, peer_ref peer, uint64_t prefix)
{
	d->peer_infos[peer].prefix = prefix;
	d->peers[peer].observed = true;
}

const struct record *directory_record(const struct directory *d, peer_ref peer)
{
	return peer != 0 && peer <= d->peer_last && d->peers[peer].bytes.len != 0
		       ? &d->peers[peer].record
		       : NULL;
}

struct span directory_record_bytes(const struct directory *d, peer_ref peer)
{
	return directory_record(d, peer) != NULL ? bytes_span(&d->peers[peer].bytes)
						 : (struct span){NULL, 0};
}

/* Bodies */

static uint32_t *body_chain(struct directory *d, const struct gossip_id *id)
{
	return &d->body_chains[load_le32(id->b) % CHAINS];
}

static body_ref body_find(const struct directory *d, const struct gossip_id *id)
{
	uint32_t at = d->body_chains[load_le32(id->b) % CHAINS];

	while (at != 0 && memcmp(d->bodies[at].id.b, id->b, sizeof(id->b)) != 0)
		at = d->bodies[at].next;
	return at;
}

void directory_body_forget(struct directory *d, body_ref body)
{
	struct body *b = &d->bodies[body];
	uint32_t *at = body_chain(d, &b->id);

	REQUIRE(body != 0 && body <= d->body_last);
	if (!b->taken)
		return;
	while (*at != body)
		at = &d->bodies[*at].next;
	*at = b->next;
	bytes_close(&b->bytes);
	*b = (struct body){0};
	d->body_infos[body] = (struct body_info){0};
}

static body_ref body_place(struct directory *d)
{
	body_ref stalest = 0;

	for (body_ref i = 1; i <= d->body_last; i++) {
		if (!d->bodies[i].taken)
			return i;
		if (d->bodies[i].bytes.len == 0 &&
			(stalest == 0 || d->bodies[i].touched_ms < d->bodies[stalest].touched_ms))
			stalest = i;
	}
	if (d->body_last < DIRECTORY_BODIES_MAX)
		return ++d->body_last;
	if (stalest != 0)
		directory_body_forget(d, stalest);
	return stalest;
}

body_ref directory_id(struct directory *d, const struct gossip_id *id, uint64_t now_ms)
{
	body_ref body = body_find(d, id);

	if (body == 0) {
		body = body_place(d);
		if (body == 0)
			return 0;
		d->bodies[body] =
			(struct body){.id = *id, .taken = true, .next = *body_chain(d, id)};
		*body_chain(d, id) = body;
	}
	d->bodies[body].touched_ms = now_ms;
	return body;
}

static int body_fill(struct directory *d, body_ref body, struct span encoded,
	const struct signature *signature, const struct announcement *a)
{
	struct body *b = &d->bodies[body];

	if (bytes_append(&b->bytes, encoded.data, encoded.len) != TK_OK)
		return TK_ENOMEM;
	b->signature = *signature;
	d->body_infos[body] = (struct body_info){
		.topic = directory_topic(d, a->kind, &a->subject, true, b->touched_ms),
		.issued_s = a->issued_s < UINT32_MAX ? (uint32_t)a->issued_s : UINT32_MAX,
		.sequence = a->sequence,
		.beacon = a->kind == ANNOUNCE_BEACON,
	};
	return TK_OK;
}

int directory_body_take(struct directory *d, struct span encoded, const struct signature *signature,
	uint64_t now_ms, body_ref *body, struct errmsg *msg)
{
	struct announcement a;
	struct gossip_id id;
	struct digest digest;
	int rc;

	announcement_digest(&digest, encoded);
	memcpy(id.b, digest.b, sizeof(id.b));
	*body = body_find(d, &id);
	if (*body != 0 && d->bodies[*body].bytes.len != 0 &&
		span_equal(bytes_span(&d->bodies[*body].bytes), encoded) &&
		memcmp(&d->bodies[*body].signature, signature, sizeof(*signature)) == 0) {
		d->bodies[*body].touched_ms = now_ms;
		return TK_OK;
	}
	rc = announcement_decode(&a, encoded, msg);
	if (rc != TK_OK)
		return rc;
	if (!announcement_verify(&d->network, encoded, signature))
		return errmsg_set(
			msg, TK_EAUTH, "an announcement that the network's root did not sign");
	if (*body != 0 && d->bodies[*body].bytes.len != 0)
		return TK_OK; /* signed once more */
	*body = directory_id(d, &id, now_ms);
	if (*body == 0)
		return TK_OK;
	rc = body_fill(d, *body, encoded, signature, &a);
	return rc == TK_OK ? rc : errmsg_set(msg, rc, "out of memory");
}

bool directory_body(
	const struct directory *d, body_ref body, struct span *encoded, struct signature *signature)
{
	if (body == 0 || body > d->body_last || d->bodies[body].bytes.len == 0)
		return false;
	*encoded = bytes_span(&d->bodies[body].bytes);
	*signature = d->bodies[body].signature;
	return true;
}

void directory_body_id(const struct directory *d, body_ref body, struct gossip_id *id)
{
	REQUIRE(body != 0 && body <= d->body_last);
	*id = d->bodies[body].id;
}

/* Topics */

/* Of those that nobody uses, what was only spoken of, longest ago; else one that ended, unless only_spoken. 0: there
 * is none. */
static topic_ref topic_unused(const struct directory *d, bool only_spoken)
{
	struct directory_marks marks = {0};
	topic_ref found = 0;

	if (d->mark != NULL)
		d->mark(d->mark_context, &marks);
	for (topic_ref i = 1; i <= DIRECTORY_TOPICS_MAX; i++) {
		const struct topic *t = &d->topics[i], *best = &d->topics[found];

		if (t->kind == 0 || marks.topics[i] || (only_spoken && t->verified))
			continue;
		if (found == 0 || t->verified < best->verified ||
			(t->verified == best->verified && t->touched_ms < best->touched_ms))
			found = i;
	}
	return found;
}

topic_ref directory_topic_find(
	const struct directory *d, uint32_t kind, const struct digest *subject)
{
	for (topic_ref i = 1; i <= DIRECTORY_TOPICS_MAX; i++) {
		if (d->topics[i].kind == kind && digest_equal(&d->topics[i].subject, subject))
			return i;
	}
	return 0;
}

/* A free number, if need be that of one that nobody uses. */
static topic_ref topic_place(const struct directory *d, bool verified)
{
	topic_ref free = 0;
	uint32_t spoken_of = 0;

	for (topic_ref i = 1; i <= DIRECTORY_TOPICS_MAX; i++) {
		if (d->topics[i].kind == 0 && free == 0)
			free = i;
		spoken_of += d->topics[i].kind != 0 && !d->topics[i].verified;
	}
	if (!verified && spoken_of >= DIRECTORY_TOPICS_MAX / 2)
		return topic_unused(d, true);
	return free != 0 ? free : topic_unused(d, false);
}

topic_ref directory_topic(struct directory *d, uint32_t kind, const struct digest *subject,
	bool verified, uint64_t now_ms)
{
	topic_ref topic = directory_topic_find(d, kind, subject);

	if (topic == 0) {
		topic = topic_place(d, verified);
		if (topic == 0)
			return 0;
		d->topics[topic] = (struct topic){.kind = kind, .subject = *subject};
	}
	d->topics[topic].touched_ms = now_ms;
	d->topics[topic].verified |= verified;
	return topic;
}

bool directory_topic_name(
	const struct directory *d, topic_ref topic, uint32_t *kind, struct digest *subject)
{
	if (topic == 0 || topic > DIRECTORY_TOPICS_MAX || d->topics[topic].kind == 0)
		return false;
	*kind = d->topics[topic].kind;
	*subject = d->topics[topic].subject;
	return true;
}
