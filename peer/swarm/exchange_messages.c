/* Messages of the wire to those of the core and back; see exchange_state.h. */
#include <stdio.h>
#include <string.h>

#include "peer/swarm/exchange_state.h"
#include "tasks/base/mem.h"

#define BUSY_MS 1000u

static uint32_t pieces_of(uint64_t total)
{
	return (uint32_t)((total + BLOB_PIECE - 1) / BLOB_PIECE);
}

/* Out */

static void say_sources(struct exchange *x, const struct exchange_peer *to,
	const struct swarm_message *in, struct message *m)
{
	static uint8_t bytes[BLOB_SOURCES_MAX][RECORD_BYTES_MAX]; /* one thread, until it is sent */

	m->blob_sources.count = 0;
	for (uint32_t i = 0; i < in->count; i++) {
		struct exchange_peer *p = exchange_peer_by_ref(x, in->peers[i]);
		uint32_t at = m->blob_sources.count;
		struct record record;
		struct span encoded;

		if (p == NULL || p == to || !p->up ||
			!exchange_record_of(x, p, &encoded, &record) ||
			encoded.len > RECORD_BYTES_MAX)
			continue;
		memcpy(bytes[at], encoded.data, encoded.len);
		m->blob_sources.records[at] = span_of(bytes[at], encoded.len);
		m->blob_sources.count++;
	}
}

static void say_have(const struct swarm_message *in, struct message *m)
{
	static uint8_t bits[BLOB_PIECES_MAX / 8]; /* one thread, until it is sent */
	size_t n = (pieces_of(in->total) + 7) / 8;

	for (size_t i = 0; i < n; i++)
		bits[i] = (uint8_t)(in->pieces[i / 8] >> i % 8 * 8);
	m->blob_have.total = in->total;
	m->blob_have.pieces = span_of(bits, n);
}

void exchange_say(struct exchange *x, const struct swarm_effect *e)
{
	const struct exchange_blob *b = exchange_blob_by_ref(x, e->message.blob);
	const struct exchange_peer *p = exchange_peer_by_ref(x, e->peer);
	struct message m = {.type = e->message.type};

	if (b == NULL || p == NULL || p->conn == 0)
		return;
	m.blob_get.digest = b->digest; /* it comes first in all of them */
	switch (m.type) {
	case MESSAGE_BLOB_GET:
		m.blob_get.offset = e->message.offset;
		m.blob_get.length = e->message.length;
		break;
	case MESSAGE_BLOB_BUSY:
		m.blob_busy.retry_ms = e->message.retry_ms;
		break;
	case MESSAGE_BLOB_HAVE:
		say_have(&e->message, &m);
		break;
	case MESSAGE_BLOB_WHO:
		m.blob_who.want = e->message.length;
		break;
	case MESSAGE_BLOB_SOURCES:
		say_sources(x, p, &e->message, &m);
		break;
	default:
		break;
	}
	(void)!x->handler->send(x->handler->context, p->conn, &m); /* gone: DOWN follows */
}

/* In */

static void hear(struct exchange *x, const struct exchange_peer *p, struct swarm_message *message)
{
	struct swarm_event event = {.type = SWARM_MESSAGE, .peer = p->ref, .message = message};

	exchange_step(x, &event);
}

static void missing(struct exchange *x, conn_id conn, const struct digest *digest)
{
	struct message m = {.type = MESSAGE_BLOB_MISSING, .blob_missing.digest = *digest};

	(void)!x->handler->send(x->handler->context, conn, &m);
}

static bool may_wait(const struct exchange *x, conn_id conn)
{
	uint32_t own = 0;

	for (uint32_t i = 0; i < x->waiting_count; i++)
		own += x->waiting[i].conn == conn;
	return x->waiting_count < EXCHANGE_WAITING_MAX && own < EXCHANGE_WAITING_EACH;
}

/* There is such a blob, but nobody may wait for it now: a WHO is said again by itself. */
static void busy(struct exchange *x, conn_id conn, const struct message *m)
{
	struct message b = {.type = MESSAGE_BLOB_BUSY,
		.blob_busy = {.digest = m->blob_get.digest, .retry_ms = BUSY_MS}};

	if (m->type == MESSAGE_BLOB_GET)
		(void)!x->handler->send(x->handler->context, conn, &b);
}

/* A request for what we do not know: it waits while somebody looks, or there is no such blob here. Who asks on and
 * on in vain has its session ended, as for anything else that it is refused. */
static void request_unknown(
	struct exchange *x, const struct exchange_peer *p, const struct message *m)
{
	const struct digest *digest = &m->blob_get.digest;
	struct swarm_event refused = {.type = SWARM_REFUSED, .peer = p->ref};
	conn_id conn = p->conn;

	if (x->handler->unknown == NULL || !x->handler->unknown(x->handler->context, digest)) {
		missing(x, conn, digest);
	} else if (may_wait(x, conn)) {
		x->waiting[x->waiting_count++] = (struct exchange_request){conn, *m};
		return;
	} else {
		busy(x, conn, m);
	}
	exchange_step(x, &refused); /* p may be gone */
}

void exchange_replay(struct exchange *x, const struct digest *digest, bool held)
{
	uint32_t kept = 0, count = x->waiting_count;

	for (uint32_t i = 0; i < count; i++) {
		struct exchange_request r = x->waiting[i];

		if (!digest_equal(&r.message.blob_get.digest, digest))
			x->waiting[kept++] = r;
		else if (held)
			exchange_message(x, r.conn, &r.message);
		else
			missing(x, r.conn, digest);
	}
	x->waiting_count = kept;
}

static void hear_part(struct exchange *x, struct exchange_peer *p, const struct exchange_blob *b,
	const struct message_blob_part *part)
{
	struct swarm_message m = {.type = MESSAGE_BLOB_PART,
		.blob = b->ref,
		.offset = part->offset,
		.length = (uint32_t)part->bytes.len,
		.total = part->total};

	/* What was not asked for is not worth hashing. */
	m.good = swarm_expects(x->core, p->ref, b->ref, part->offset) &&
		 blob_part_verify(&b->digest, part->total, part->offset, part->bytes, part->path,
			 part->path_steps);
	x->in_hand = part;
	hear(x, p, &m);
}

static void hear_have(struct exchange *x, struct exchange_peer *p, const struct exchange_blob *b,
	const struct message_blob_have *have)
{
	uint64_t words[SWARM_PIECE_WORDS] = {0};
	struct swarm_message m = {
		.type = MESSAGE_BLOB_HAVE, .blob = b->ref, .total = have->total, .pieces = words};

	for (size_t i = 0; i < have->pieces.len; i++)
		words[i / 8] |= (uint64_t)have->pieces.data[i] << i % 8 * 8;
	exchange_look_at_record(x, p);
	hear(x, p, &m);
}

/* What was not asked for is not worth checking signatures, nor is more of a peer's answer than is taken. */
static uint32_t worth_reading(const struct exchange *x, const struct exchange_peer *from,
	const struct message_blob_sources *sources)
{
	if (!swarm_expects_sources(x->core, from->ref))
		return 0;
	if (from->ref == EXCHANGE_TRACKER || sources->count < SWARM_SOURCES_FEW)
		return sources->count;
	return SWARM_SOURCES_FEW;
}

static void hear_sources(struct exchange *x, struct exchange_peer *from,
	const struct exchange_blob *b, const struct message_blob_sources *sources)
{
	struct swarm_message m = {.type = MESSAGE_BLOB_SOURCES, .blob = b->ref};
	uint32_t count = worth_reading(x, from, sources);

	for (uint32_t i = 0; i < count; i++) {
		struct exchange_peer *p;
		struct record record;
		int rc = record_decode(&record, sources->records[i], &x->network, x->now_s, NULL);

		if (rc != TK_OK && rc != TK_EINVAL) { /* who passes records on has checked them */
			exchange_leave(x, from, "it names sources by records that are no records");
			return;
		}
		if (rc != TK_OK || key_equal(&record.key, &x->self))
			continue;
		p = exchange_peer_take(x, &record.key);
		if (p == NULL)
			continue;
		exchange_record_keep(p, &record, sources->records[i]);
		m.peers[m.count++] = p->ref;
	}
	hear(x, from, &m);
}

static void hear_known(struct exchange *x, struct exchange_peer *p, const struct exchange_blob *b,
	const struct message *m)
{
	struct swarm_message out = {.type = (uint8_t)m->type, .blob = b->ref};

	switch (m->type) {
	case MESSAGE_BLOB_PART:
		hear_part(x, p, b, &m->blob_part);
		return;
	case MESSAGE_BLOB_HAVE:
		hear_have(x, p, b, &m->blob_have);
		return;
	case MESSAGE_BLOB_SOURCES:
		hear_sources(x, p, b, &m->blob_sources);
		return;
	case MESSAGE_BLOB_GET:
		out.offset = m->blob_get.offset;
		out.length = m->blob_get.length;
		break;
	case MESSAGE_BLOB_WHO:
		exchange_look_at_record(x, p);
		out.length = m->blob_who.want;
		break;
	case MESSAGE_BLOB_BUSY:
		out.retry_ms = m->blob_busy.retry_ms;
		break;
	default:
		break;
	}
	hear(x, p, &out);
}

static bool is_request(const struct message *m)
{
	return m->type == MESSAGE_BLOB_GET || m->type == MESSAGE_BLOB_WHO;
}

bool exchange_message(struct exchange *x, conn_id conn, const struct message *m)
{
	struct exchange_peer *p = exchange_peer_by_conn(x, conn);
	const struct exchange_blob *b;

	if (m->type < MESSAGE_BLOB_GET || m->type > MESSAGE_BLOB_SOURCES)
		return false;
	if (p == NULL || !p->up)
		return true; /* the end of a session that we have left */
	b = exchange_blob_find(x, &m->blob_get.digest);
	if (is_request(m) && (b == NULL || b->store == NULL))
		request_unknown(x, p, m);
	else if (b != NULL)
		hear_known(x, p, b, m);
	else if (m->type == MESSAGE_BLOB_PART)
		exchange_leave(x, p, "it sent a part of a blob that nobody asked for");
	return true;
}
