/* The inputs of fuzz_stage.h, step by step. */
#include <string.h>

#include "tasks/base/require.h"
#include "tests/lib/fuzz_stage.h"

#define HEADER	   4u
#define STEPS_MAX  96u
#define CROWD_MAX  24u
#define FRAME_TAG  16u
#define SECONDS_OF 200u /* from this time on a step takes seconds, not milliseconds */

/* A reader that gives zeros behind the end. */
struct reader {
	struct span in;
};

static uint8_t take(struct reader *r)
{
	uint8_t b = 0;

	if (r->in.len != 0) {
		b = r->in.data[0];
		r->in = span_of(r->in.data + 1, r->in.len - 1);
	}
	return b;
}

static void deliver(struct stage *s, unsigned player, struct span bytes)
{
	struct node_event event = {
		.type = NODE_BYTES, .conn = s->players[player].conn, .bytes = bytes};

	if (s->players[player].session != NULL && !s->players[player].over && bytes.len != 0)
		stage_step(s, &event);
	stage_pump(s);
}

/* Something that no session would send, as a frame: where crypto is real it does not authenticate. */
static void say_anyway(struct stage *s, unsigned player, struct span in)
{
	struct bytes frame = {0};
	static const uint8_t tag[FRAME_TAG];
	uint8_t head[3];

	store_le16(head, (uint16_t)(1 + in.len + FRAME_TAG));
	head[2] = 0;
	REQUIRE(bytes_append(&frame, head, sizeof(head)) == TK_OK &&
		bytes_append(&frame, in.data, in.len) == TK_OK &&
		bytes_append(&frame, tag, sizeof(tag)) == TK_OK);
	deliver(s, player, bytes_span(&frame));
	bytes_close(&frame);
}

/* Whoever says what is no message is dropped at once, and the log has a line about it. */
static void say(struct stage *s, unsigned player, struct span in)
{
	struct player *p = &s->players[player];
	bool watched = stage_is_open(s, player) && !p->muddled, good;
	conn_id conn = p->conn;
	struct message m;

	if (in.len == 0 || in.len > FRAME_BYTES_MAX - 1 - FRAME_TAG)
		return;
	good = message_decode(&m, in, NULL) == TK_OK;
	if (good && stage_say(s, player, &m)) {
		stage_pump(s);
		return;
	}
	say_anyway(s, player, in);
	if (!good && watched && p->conn == conn) /* we may have dialled it anew since */
		REQUIRE(p->over && p->logged);
}

static void app_send(struct stage *s, unsigned player, struct span in)
{
	struct node_event event = {.type = NODE_SEND, .conn = s->players[player].conn};
	struct message m;

	if (s->players[player].session == NULL || message_decode(&m, in, NULL) != TK_OK)
		return;
	event.message = &m;
	stage_step(s, &event);
}

static void app_drop(struct stage *s, unsigned player, struct reader *r)
{
	struct node_event event = {.type = NODE_DROP, .conn = s->players[player].conn};

	event.reason = take(r) % GOODBYE_REASON_LAST + 1;
	if (s->players[player].session != NULL)
		stage_step(s, &event);
}

static void crowd(struct stage *s, struct reader *r)
{
	unsigned count = take(r) % CROWD_MAX;
	struct endpoint from = {.family = 4, .ip = {198, 18, take(r), 1}, .port = 9};

	for (unsigned i = 0; i < count; i++) {
		struct node_event accepted = {.type = NODE_ACCEPTED, .remote = &from};
		struct node_event bytes = {.type = NODE_BYTES, .bytes = r->in};

		accepted.conn = bytes.conn = 1 + ++s->counter;
		from.port++;
		stage_step(s, &accepted);
		if (r->in.len != 0)
			stage_step(s, &bytes);
	}
}

/* Announcements that the root has signed; one bit of them may be wrong. */

static bool names_honest(const struct stage *s, struct span in)
{
	for (size_t i = 0; i + KEY_BYTES <= in.len; i++)
		if (memcmp(in.data + i, s->friend.key.public.b, KEY_BYTES) == 0 ||
			memcmp(in.data + i, s->us.key.public.b, KEY_BYTES) == 0)
			return true;
	return false;
}

static void announce(struct stage *s, unsigned player, struct reader *r)
{
	uint8_t how = take(r);
	struct announcement a = {.kind = take(r) % (ANNOUNCEMENT_KIND_LAST + 2)};
	struct message m = {.type = MESSAGE_BROADCAST, .broadcast.hops = how & 7u};
	struct bytes encoded = {0};

	a.subject.b[0] = take(r);
	a.sequence = take(r);
	a.issued_s = STAGE_NOW_S + s->now_ms / 1000 - take(r);
	a.payload = r->in;
	if (a.payload.len > ANNOUNCEMENT_PAYLOAD_MAX || names_honest(s, a.payload))
		return;
	REQUIRE(announcement_encode(&a, &encoded) == TK_OK);
	announcement_sign(
		&m.broadcast.signature, &s->players[STAGE_ROOT].id.key, bytes_span(&encoded));
	m.broadcast.signature.b[5] ^= how >> 7;
	m.broadcast.body = bytes_span(&encoded);
	(void)!stage_say(s, player, &m);
	bytes_close(&encoded);
}

/* Peers that nobody has heard of. */

static void person_make(const struct stage *s, struct reader *r, struct bytes *out)
{
	struct record record = {.expiry_s = STAGE_NOW_S + s->now_ms / 1000};
	uint8_t seed[32] = {(uint8_t)(0x80 | take(r)), take(r)};
	uint8_t how = take(r);
	struct key_pair pair;

	key_from_seed(&pair, seed);
	record.key = pair.public;
	record.flags = how & RECORD_FLAGS_ALL;
	record.sequence = how >> 4;
	if ((how & 4) == 0)
		record.expiry_s += 3600;
	if ((how & 8) == 0) {
		record.endpoint_count = 1;
		record.endpoints[0] = stage_endpoint(take(r));
	} else {
		record.relay_count = 1;
		record.relays[0].at = stage_endpoint(take(r) % STAGE_PLAYERS);
		record.relays[0].key =
			s->players[record.relays[0].at.port - STAGE_PORT].id.key.public;
	}
	REQUIRE(record_encode(&record, &pair, &s->us.network, out) == TK_OK);
}

static void own_record(const struct stage *s, unsigned player, struct reader *r, struct bytes *out)
{
	struct record record = {.key = s->players[player].id.key.public,
		.flags = take(r) & RECORD_FLAGS_ALL,
		.sequence = take(r),
		.expiry_s = STAGE_NOW_S + s->now_ms / 1000 + 3600,
		.endpoint_count = 1,
		.endpoints = {stage_endpoint(player)}};

	REQUIRE(record_encode(&record, &s->players[player].id.key, &s->us.network, out) == TK_OK);
}

static void people(struct stage *s, unsigned player, struct reader *r)
{
	static const enum message_type types[] = {MESSAGE_JOIN, MESSAGE_NEIGHBOR,
		MESSAGE_FORWARD_JOIN, MESSAGE_SHUFFLE, MESSAGE_SHUFFLE_REPLY};
	struct message m = {.type = types[take(r) % 5]};
	struct bytes first = {0}, others[SHUFFLE_MAX] = {{0}};
	uint32_t count = take(r) % (SHUFFLE_MAX + 1);

	if (m.type == MESSAGE_JOIN || m.type == MESSAGE_NEIGHBOR)
		own_record(s, player, r, &first);
	else
		person_make(s, r, &first);
	m.join.record = bytes_span(&first); /* it comes first in all but one of them */
	if (m.type == MESSAGE_FORWARD_JOIN)
		m.forward_join.ttl = count;
	if (m.type == MESSAGE_SHUFFLE)
		m.shuffle.ttl = m.shuffle.count = count;
	if (m.type == MESSAGE_SHUFFLE_REPLY)
		m.shuffle_reply.count = count;
	for (uint32_t i = 0; i < count; i++) {
		person_make(s, r, &others[i]);
		if (m.type == MESSAGE_SHUFFLE)
			m.shuffle.records[i] = bytes_span(&others[i]);
		if (m.type == MESSAGE_SHUFFLE_REPLY)
			m.shuffle_reply.records[i] = bytes_span(&others[i]);
	}
	(void)!stage_say(s, player, &m);
	bytes_close(&first);
	for (uint32_t i = 0; i < count; i++)
		bytes_close(&others[i]);
}

/* The ghost calls through this player; or it says something inside, or something is said in its name. */
static void inner(struct stage *s, unsigned player, struct reader *r)
{
	struct message m = {.type = MESSAGE_RELAY_INCOMING};
	uint8_t how = take(r);

	if (how % 4 == 0) {
		m.relay_incoming.circuit = take(r);
		m.relay_incoming.from = s->players[STAGE_GHOST].id.key.public;
		if (!stage_say(s, player, &m))
			return;
		stage_inner_begin(s, player, m.relay_incoming.circuit, true);
		stage_inner_flush(s);
	} else if (s->inner.session != NULL && how % 4 == 1) {
		m = (struct message){.type = MESSAGE_RELAY_DATA, .relay_data = {0, r->in}};
		m.relay_data.circuit = s->inner.circuit;
		(void)!stage_say(s, s->inner.via, &m);
	} else if (s->inner.session != NULL && message_decode(&m, r->in, NULL) == TK_OK) {
		(void)!session_send(s->inner.session, &m, NULL);
		stage_inner_flush(s);
	}
}

static void seek_ghost(struct stage *s, unsigned player, bool relayed)
{
	struct record record = {.key = s->players[STAGE_GHOST].id.key.public, .relay_count = 1};
	conn_id conn;

	if (s->ways == NULL)
		return;
	record.relays[0].key = s->players[player].id.key.public;
	record.relays[0].at = stage_endpoint(player);
	if (!relayed) {
		record.endpoint_count = 1;
		record.endpoints[0] = stage_endpoint(STAGE_GHOST);
	}
	if (ways_connect(s->ways, s->now_ms, &record, &conn, &s->out) == TK_OK)
		stage_drain(s);
}

static void ours(struct stage *s, unsigned player, struct reader *r)
{
	struct record record = {.flags = RECORD_PUBLIC, .endpoint_count = 1};
	struct node_event event = {.type = NODE_ADVERTISE, .record = &record};
	struct endpoint mapped = stage_endpoint(take(r));
	uint8_t how = take(r);

	record.endpoints[0] = stage_endpoint(STAGE_SEEN);
	if (how % 4 == 0) {
		record.flags = how >> 4 & RECORD_FLAGS_ALL;
		stage_step(s, &event);
	} else if (how == 1) {
		event.type = NODE_LEAVE;
		stage_step(s, &event);
	} else if (how % 4 == 2 && s->ways != NULL) {
		ways_mapped(s->ways, &mapped);
	} else {
		seek_ghost(s, player, (how & 4) != 0);
	}
}

static void manners(struct stage *s, unsigned player, struct reader *r)
{
	s->players[player].manners = take(r);
}

static void act(struct stage *s, unsigned op, unsigned player, struct span in)
{
	struct node_event called = {0};
	struct reader r = {in};
	uint8_t how;

	switch (op) {
	case OP_RAW:
		s->players[player].muddled = true;
		deliver(s, player, in);
		break;
	case OP_COME:
		stage_come(s, player, take(&r));
		break;
	case OP_CALL:
		how = take(&r);
		called.respond = (how & 1) != 0;
		called.hosts = (how & 3) == 2; /* an address of the link */
		called.expect = called.hosts ? &s->us.network : NULL;
		stage_call(s, player, &called);
		break;
	case OP_GONE:
		stage_gone(s, player);
		break;
	case OP_APP_SEND:
		app_send(s, player, in);
		break;
	case OP_APP_DROP:
		app_drop(s, player, &r);
		break;
	case OP_CROWD:
		crowd(s, &r);
		break;
	case OP_ANNOUNCE:
		announce(s, player, &r);
		break;
	case OP_PEOPLE:
		people(s, player, &r);
		break;
	case OP_MANNERS:
		manners(s, player, &r);
		break;
	case OP_INNER:
		inner(s, player, &r);
		break;
	case OP_OURS:
		ours(s, player, &r);
		break;
	default:
		say(s, player, in);
		break;
	}
	stage_pump(s);
}

void stage_play(struct stage *s, struct span in)
{
	for (unsigned steps = 0; steps < STEPS_MAX && in.len >= HEADER; steps++) {
		uint8_t op = in.data[0], time = in.data[1];
		size_t n = load_le16(in.data + 2);

		in = span_of(in.data + HEADER, in.len - HEADER);
		if (n > in.len)
			n = in.len;
		if (time != 0)
			stage_pass(s, time < SECONDS_OF ? time : (time - SECONDS_OF + 1) * 1000u);
		act(s, op % STAGE_OPS, op / STAGE_OPS % STAGE_PLAYERS, span_of(in.data, n));
		in = span_of(in.data + n, in.len - n);
	}
}

void stage_put(struct bytes *out, unsigned op, unsigned player, uint8_t time, struct span bytes)
{
	uint8_t head[HEADER] = {(uint8_t)(op + STAGE_OPS * player), time};

	store_le16(head + 2, (uint16_t)bytes.len);
	REQUIRE(bytes_append(out, head, HEADER) == TK_OK &&
		bytes_append(out, bytes.data, bytes.len) == TK_OK);
}

void stage_put_message(struct bytes *out, unsigned op, unsigned player, const struct message *m)
{
	struct bytes encoded = {0};

	REQUIRE(message_encode(m, &encoded) == TK_OK);
	stage_put(out, op, player, 20, bytes_span(&encoded));
	bytes_close(&encoded);
}
