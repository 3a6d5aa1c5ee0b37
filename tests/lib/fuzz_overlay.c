/* Fuzz targets of the overlay: what the root announces, and a whole node that hears arbitrary messages, in
 * any order and at any time, from a peer with a session of its own. */
#include <string.h>

#include "peer/overlay/node.h"
#include "peer/wire/announcement.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_targets.h"
#include "tests/lib/message_samples.h"

#define NOW_S	 1800000000u
#define NOW_MS	 5000u
#define CONN	 1u
#define STEP_MAX 64u /* messages of one input */

/* Announcements and what they carry: what is read must encode to the same bytes. */

static void same(struct span in, int rc, struct bytes *again)
{
	REQUIRE(rc == TK_OK && span_equal(in, bytes_span(again)));
	bytes_close(again);
}

void fuzz_announcement(struct span in)
{
	struct project_notice notice;
	struct revocations revoked;
	enum control_state control;
	struct announcement a;
	struct bytes again = {0};
	struct beacon beacon;

	if (announcement_decode(&a, in, NULL) == TK_OK)
		same(in, announcement_encode(&a, &again), &again);
	if (beacon_decode(&beacon, in, NULL) == TK_OK)
		same(in, beacon_encode(&beacon, &again), &again);
	if (project_notice_decode(&notice, in, NULL) == TK_OK)
		same(in, project_notice_encode(&notice, &again), &again);
	if (control_decode(&control, in, NULL) == TK_OK)
		same(in, control_encode(control, &again), &again);
	if (revocations_decode(&revoked, in, NULL) == TK_OK)
		same(in, revocations_encode(&revoked, &again), &again);
}

bool fuzz_announcement_seed(unsigned which, struct bytes *out)
{
	const struct announcement a = {.kind = ANNOUNCE_ROUND, .sequence = 300, .issued_s = NOW_S};
	const struct beacon beacon = {.head_count = 2, .heads = {{3, {{1}}, 9}, {4, {{2}}, 70000}}};
	const struct project_notice notice = {"shakespeare", 20, 8, 800000};
	const struct revocations revoked = {.count = 1, .keys = {{{5}}}};

	switch (which) {
	case 0:
		return announcement_encode(&a, out) == TK_OK;
	case 1:
		return beacon_encode(&beacon, out) == TK_OK;
	case 2:
		return project_notice_encode(&notice, out) == TK_OK;
	case 3:
		return control_encode(CONTROL_PAUSED, out) == TK_OK;
	case 4:
		return revocations_encode(&revoked, out) == TK_OK;
	default:
		return false;
	}
}

/* Peer records: parsed before their signature is looked at. */

void fuzz_advert(struct span in)
{
	static const struct public_key network = {{9}};
	struct record r;

	(void)!record_decode(&r, in, &network, NOW_S, NULL);
}

bool fuzz_advert_seed(unsigned which, struct bytes *out)
{
	struct record r = {.flags = RECORD_PUBLIC, .sequence = 7, .expiry_s = NOW_S + 60};
	struct public_key network = {{9}};
	uint8_t seed[32] = {3};
	struct key_pair pair;

	key_from_seed(&pair, seed);
	r.key = pair.public;
	if (which == 1) {
		r.endpoint_count = 1;
		r.endpoints[0] = (struct endpoint){4, {192, 0, 2, 1}, 7332};
		r.relay_count = 1;
		r.relays[0] = (struct record_relay){network, r.endpoints[0]};
	}
	return which < 2 && record_encode(&r, &pair, &network, out) == TK_OK;
}

/* A node: an input is a list of steps, each a byte of time, le16 length and a message. */

struct stage {
	struct identity us, them;
	struct node *node;
	struct session *peer;
	struct node_effects out;
	uint64_t now_ms;
	bool over;
};

static void stage_step(struct stage *s, struct node_event *event)
{
	event->now_ms = s->now_ms;
	event->now_s = NOW_S + s->now_ms / 1000;
	event->conn = CONN;
	(void)!node_step(s->node, event, &s->out);
	for (size_t i = 0; i < s->out.count; i++) {
		const struct node_effect *e = &s->out.items[i];
		struct message m;

		s->over |= e->type == NODE_CLOSE;
		if (e->type != NODE_WRITE)
			continue;
		/* our own node says nothing that its own decoder refuses */
		REQUIRE(session_receive(s->peer, bytes_span(&e->bytes), NULL) == TK_OK);
		while (session_next(s->peer, &m, NULL) == TK_OK)
			;
	}
	node_effects_clear(&s->out);
}

/* What the peer wants written reaches the node. */
static void stage_deliver(struct stage *s)
{
	struct node_event bytes = {.type = NODE_BYTES};
	struct bytes copy = {0};
	struct span output = session_output(s->peer);

	REQUIRE(bytes_append(&copy, output.data, output.len) == TK_OK);
	session_consume(s->peer, output.len);
	bytes.bytes = bytes_span(&copy);
	if (copy.len != 0)
		stage_step(s, &bytes);
	bytes_close(&copy);
}

static void stage_open(struct stage *s)
{
	struct node_event start = {.type = NODE_START};
	struct node_event accepted = {.type = NODE_ACCEPTED};
	uint8_t us[64] = {1}, them[64] = {2};
	struct key_pair root;

	*s = (struct stage){.now_ms = NOW_MS};
	key_from_seed(&root, us + 1);
	identity_init(&s->us, us, us + 32, ROLE_PEER, &root.public);
	identity_init(&s->them, them, them + 32, ROLE_PEER, &root.public);
	s->node = node_new(&s->us);
	s->peer = session_new(&s->them, true, them, NOW_S, NULL);
	REQUIRE(s->node != NULL && s->peer != NULL);
	stage_step(s, &start);
	stage_step(s, &accepted);
	for (int i = 0; i < 3; i++)
		stage_deliver(s);
	REQUIRE(session_state(s->peer) == SESSION_OPEN);
}

static void stage_close(struct stage *s)
{
	node_free(s->node);
	session_free(s->peer);
	node_effects_close(&s->out);
	identity_wipe(&s->us);
	identity_wipe(&s->them);
}

static void stage_pass(struct stage *s, uint64_t ms)
{
	struct node_event wake = {.type = NODE_WAKE}, tick = {.type = NODE_TICK};

	s->now_ms += ms;
	if (node_wake_ms(s->node) <= s->now_ms)
		stage_step(s, &wake);
	stage_step(s, &tick);
}

void fuzz_node(struct span in)
{
	struct stage s;
	size_t at = 0;

	stage_open(&s);
	for (unsigned steps = 0; steps < STEP_MAX && !s.over && in.len - at >= 3; steps++) {
		size_t n = load_le16(in.data + at + 1);
		uint8_t time = in.data[at];
		struct message m;

		at += 3;
		if (n > in.len - at)
			n = in.len - at;
		stage_pass(&s, time < 200 ? time : (uint64_t)time * 1000);
		if (!s.over && message_decode(&m, span_of(in.data + at, n), NULL) == TK_OK &&
			session_send(s.peer, &m, NULL) == TK_OK)
			stage_deliver(&s);
		at += n;
	}
	if (!s.over)
		stage_pass(&s, 120000);
	stage_close(&s);
}

static bool put_step(struct bytes *out, enum message_type type, bool largest)
{
	struct bytes encoded = {0};
	struct message m;
	uint8_t head[3] = {30};
	bool good;

	fill_message(&m, type, largest);
	good = message_encode(&m, &encoded) == TK_OK;
	store_le16(head + 1, (uint16_t)(encoded.len < UINT16_MAX ? encoded.len : UINT16_MAX));
	good = good && bytes_append(out, head, sizeof(head)) == TK_OK &&
	       bytes_append(out, encoded.data, encoded.len) == TK_OK;
	bytes_close(&encoded);
	return good;
}

bool fuzz_node_seed(unsigned which, struct bytes *out)
{
	static const enum message_type types[] = {
#define X(name, member, number) name,
		MESSAGES(X)
#undef X
	};
	const unsigned count = sizeof(types) / sizeof(types[0]);

	if (which < count)
		return put_step(out, types[which], false);
	if (which > count)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (types[i] != MESSAGE_GOODBYE && !put_step(out, types[i], false))
			return false;
	return true;
}
