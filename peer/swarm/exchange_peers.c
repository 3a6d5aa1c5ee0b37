/* The peers of the exchange: numbers, sessions, records; see exchange_state.h. */
#include <string.h>

#include "peer/swarm/exchange_state.h"
#include "tasks/base/mem.h"

/* Found by the first bytes of a key and, where two share them, by the next free number. */
static uint64_t key_hash(const struct public_key *key)
{
	return load_le64(key->b);
}

struct exchange_peer *exchange_peer_find(const struct exchange *x, const struct public_key *key)
{
	uint64_t hash = key_hash(key);
	struct exchange_peer *p;

	while ((p = index_get(&x->peers_by_key, hash)) != NULL && !key_equal(&p->key, key))
		hash++;
	return p;
}

/* The one that is neither up nor being dialled, if the table is full. */
static struct exchange_peer *peer_recycle(struct exchange *x)
{
	for (uint32_t i = EXCHANGE_TRACKER + 1; i <= x->peer_count; i++) {
		struct exchange_peer *p = x->peers[i];
		uint64_t hash;

		if (p == NULL || p->up || p->dialling)
			continue;
		hash = key_hash(&p->key);
		if (index_get(&x->peers_by_key, hash) != p)
			continue; /* one of several: it stays */
		if (index_get(&x->peers_by_key, hash + 1) != NULL)
			continue;
		index_remove(&x->peers_by_key, hash);
		mem_free(p->record);
		*p = (struct exchange_peer){.ref = i};
		return p;
	}
	return NULL;
}

static struct exchange_peer *peer_new(struct exchange *x, peer_ref ref)
{
	struct exchange_peer *p = mem_calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->ref = ref;
	x->peers[ref] = p;
	if (ref > x->peer_count)
		x->peer_count = ref;
	return p;
}

struct exchange_peer *exchange_peer_take(struct exchange *x, const struct public_key *key)
{
	struct exchange_peer *p = exchange_peer_find(x, key);
	uint64_t hash = key_hash(key);

	if (p != NULL)
		return p;
	p = x->peer_count < EXCHANGE_PEERS_MAX ? peer_new(x, x->peer_count + 1) : peer_recycle(x);
	if (p == NULL)
		return NULL;
	p->key = *key;
	while (index_get(&x->peers_by_key, hash) != NULL)
		hash++;
	if (index_put(&x->peers_by_key, hash, p) == TK_OK)
		return p;
	if (p->ref == x->peer_count)
		x->peer_count--;
	x->peers[p->ref] = NULL;
	mem_free(p);
	return NULL;
}

struct exchange_peer *exchange_peer_by_conn(const struct exchange *x, conn_id conn)
{
	return index_get(&x->peers_by_conn, conn);
}

struct exchange_peer *exchange_peer_by_ref(const struct exchange *x, peer_ref ref)
{
	return ref <= x->peer_count ? x->peers[ref] : NULL;
}

void exchange_peers_free(struct exchange *x)
{
	for (uint32_t i = 0; i <= EXCHANGE_PEERS_MAX; i++) {
		if (x->peers[i] != NULL)
			mem_free(x->peers[i]->record);
		mem_free(x->peers[i]);
	}
	mem_free(x->peers);
	index_close(&x->peers_by_key);
	index_close(&x->peers_by_conn);
}

/* Sessions */

static bool session_begin(struct exchange *x, struct exchange_peer *p, conn_id conn)
{
	if (index_put(&x->peers_by_conn, conn, p) != TK_OK)
		return false;
	p->conn = conn;
	return true;
}

void exchange_end_session(struct exchange *x, struct exchange_peer *p)
{
	if (p->conn != 0)
		index_remove(&x->peers_by_conn, p->conn);
	p->conn = 0;
	p->up = p->dialling = p->opened = p->released = p->needed = false;
	p->served_count = 0;
}

bool exchange_record_of(const struct exchange *x, const struct exchange_peer *p,
	struct span *encoded, struct record *record)
{
	const struct exchange_record *named = p->record;
	bool known = x->handler->record(x->handler->context, &p->key, encoded, record);

	if (named == NULL || named->record.expiry_s < x->now_s ||
		(known && record->sequence >= named->record.sequence))
		return known;
	*record = named->record;
	*encoded = span_of(named->encoded, named->length);
	return true;
}

/* An older one than what is there is no news, whoever brings it. */
void exchange_record_keep(struct exchange_peer *p, const struct record *record, struct span encoded)
{
	struct exchange_record *r;

	if (p->record != NULL && p->record->record.sequence >= record->sequence)
		return;
	r = mem_alloc(sizeof(*r) + encoded.len);
	if (r == NULL)
		return;
	r->record = *record;
	r->length = encoded.len;
	memcpy(r->encoded, encoded.data, encoded.len);
	mem_free(p->record);
	p->record = r;
}

static enum swarm_reach reach_of(const struct exchange *x, const struct exchange_peer *p)
{
	struct record record;
	struct span encoded;

	if (!exchange_record_of(x, p, &encoded, &record))
		return SWARM_UNREACHABLE;
	if ((record.flags & RECORD_PUBLIC) != 0 && record.endpoint_count != 0)
		return SWARM_PUBLIC;
	return record.endpoint_count + record.relay_count != 0 ? SWARM_NATED : SWARM_UNREACHABLE;
}

static void say_up(struct exchange *x, struct exchange_peer *p)
{
	struct swarm_event up = {
		.type = SWARM_UP, .peer = p->ref, .reach = p->reach, .prefix = p->prefix};

	exchange_step(x, &up);
}

static void say_down(struct exchange *x, peer_ref ref, bool failed)
{
	struct swarm_event down = {.type = failed ? SWARM_DIAL_FAILED : SWARM_DOWN, .peer = ref};

	exchange_step(x, &down);
}

/* Whoever names peers looks again when one speaks: records come by gossip, at their own pace. */
void exchange_look_at_record(struct exchange *x, struct exchange_peer *p)
{
	enum swarm_reach reach = reach_of(x, p);

	if (reach == p->reach)
		return;
	p->reach = reach;
	say_up(x, p);
}

/* The coordinator's number is fixed; its serving key may change from session to session. */
static struct exchange_peer *coordinator_take(struct exchange *x, const struct public_key *key)
{
	struct exchange_peer *p = x->peers[EXCHANGE_TRACKER];

	if (p == NULL)
		p = peer_new(x, EXCHANGE_TRACKER);
	if (p != NULL)
		p->key = *key;
	return p;
}

void exchange_up(struct exchange *x, conn_id conn, const struct public_key *key, bool coordinator,
	uint64_t prefix)
{
	struct exchange_peer *p;
	bool opened;

	if (key_equal(key, &x->self))
		return;
	p = coordinator && !x->tracker ? coordinator_take(x, key) : exchange_peer_take(x, key);
	if (p == NULL)
		return; /* no room: it is served by others */
	opened = p->opened && p->conn == conn;
	if (p->up)
		say_down(x, p->ref, false);
	exchange_end_session(x, p);
	if (!session_begin(x, p, conn))
		return;
	p->up = true;
	p->opened = opened;
	p->prefix = prefix;
	p->reach = reach_of(x, p);
	say_up(x, p);
}

void exchange_down(struct exchange *x, conn_id conn)
{
	struct exchange_peer *p = exchange_peer_by_conn(x, conn);

	if (p == NULL)
		return;
	exchange_end_session(x, p);
	say_down(x, p->ref, false);
}

void exchange_dial_failed(struct exchange *x, conn_id conn)
{
	struct exchange_peer *p = exchange_peer_by_conn(x, conn);

	if (p == NULL || !p->dialling)
		return;
	exchange_end_session(x, p);
	say_down(x, p->ref, true);
}

void exchange_dial(struct exchange *x, peer_ref ref)
{
	struct exchange_peer *p = exchange_peer_by_ref(x, ref);
	conn_id conn = 0;

	if (p == NULL || p->up || p->dialling)
		return; /* the session that comes answers this, too */
	if (p->record == NULL ||
		x->handler->connect(x->handler->context, &p->record->record, &conn) != TK_OK ||
		!session_begin(x, p, conn)) {
		say_down(x, ref, true);
		return;
	}
	p->dialling = true;
	p->opened = true;
}

/* Serving goes on when there is room on the connection. */

static void say_served(
	struct exchange *x, struct exchange_peer *p, const struct exchange_served *served)
{
	struct swarm_event event = {.type = SWARM_SERVED,
		.peer = p->ref,
		.blob = served->blob,
		.offset = served->offset,
		.length = served->length};

	exchange_step(x, &event);
}

void exchange_serve_done(
	struct exchange *x, struct exchange_peer *p, const struct swarm_effect *served)
{
	struct exchange_served done = {served->blob, served->length, served->offset};

	if (p->conn != 0 && p->served_count < SERVED_MAX &&
		x->handler->waiting(x->handler->context, p->conn) > NODE_OUTPUT_LOW)
		p->served[p->served_count++] = done;
	else
		say_served(x, p, &done);
}

static void serve_on(struct exchange *x, struct exchange_peer *p)
{
	while (p->served_count != 0 &&
		x->handler->waiting(x->handler->context, p->conn) <= NODE_OUTPUT_LOW) {
		struct exchange_served done = p->served[--p->served_count];

		say_served(x, p, &done);
	}
}

void exchange_writable(struct exchange *x, conn_id conn)
{
	struct exchange_peer *p = exchange_peer_by_conn(x, conn);

	if (p != NULL)
		serve_on(x, p);
}

/* A session that we opened and nobody uses for blobs any more ends after a while: the next blob often
 * comes from the same peers. */
static void linger(struct exchange *x, struct exchange_peer *p)
{
	conn_id conn = p->conn;

	if (!p->released || x->now_ms < p->released_ms + EXCHANGE_LINGER_MS)
		return;
	p->released = false;
	if (!p->opened || !p->up || swarm_needs_peer(x->core, p->ref))
		return;
	exchange_end_session(x, p);
	say_down(x, p->ref, false);
	x->handler->drop(x->handler->context, conn, GOODBYE_SHUTDOWN, "no blobs to exchange");
}

static void tell_need(struct exchange *x, struct exchange_peer *p)
{
	bool needed = swarm_needs_peer(x->core, p->ref);

	if (needed == p->needed || x->handler->needs == NULL)
		return;
	p->needed = needed;
	x->handler->needs(x->handler->context, p->conn, needed);
}

void exchange_tick(struct exchange *x)
{
	struct swarm_event wake = {.type = SWARM_WAKE};

	for (uint32_t i = 1; i <= x->peer_count; i++) {
		if (x->peers[i] == NULL || !x->peers[i]->up)
			continue;
		serve_on(x, x->peers[i]);
		tell_need(x, x->peers[i]);
		linger(x, x->peers[i]);
	}
	exchange_look_at_one(x);
	if (swarm_wake_ms(x->core) <= x->now_ms)
		exchange_step(x, &wake);
}
