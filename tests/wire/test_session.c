/* Two honest sessions: they open, agree with the second implementation byte for byte, and carry
 * messages of every size through any cutting of the stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tests/wire/noise_golden.h"
#include "tests/wire/pair.h"

static void assert_output(const struct session *s, const char *golden)
{
	struct span out = session_output(s);
	char hex[2048];

	assert_true(out.len < sizeof(hex) / 2);
	hex_encode(hex, out.data, out.len);
	assert_string_equal(hex, golden);
}

static void open_pair(struct pair *p)
{
	struct errmsg msg;

	pair_start(p);
	assert_non_null(p->peer.session);
	assert_non_null(p->root.session);
	assert_int_equal(settle(p, NULL, NULL, &msg), TK_OK);
	assert_true(is_open(&p->peer) && is_open(&p->root));
}

static void both_sides_open_and_know_each_other(void **state)
{
	struct pair p;

	(void)state;
	pair_start(&p);
	assert_null(session_peer(p.peer.session));
	assert_int_equal(session_state(p.peer.session), SESSION_PREAMBLE);
	assert_int_equal(settle(&p, NULL, NULL, NULL), TK_OK);
	assert_true(is_open(&p.peer) && is_open(&p.root));
	assert_true(key_equal(session_peer(p.peer.session), &p.root.id.key.public));
	assert_true(key_equal(session_peer(p.root.session), &p.peer.id.key.public));
	assert_int_equal(session_peer_role(p.peer.session), ROLE_COORDINATOR);
	assert_int_equal(session_peer_role(p.root.session), ROLE_PEER);
	assert_int_equal(session_features(p.peer.session), WIRE_FEATURES);
	pair_close(&p);
}

static void messages_of_features_that_are_not_shared_are_not_sent(void **state)
{
	static const struct {
		struct message m;
		uint64_t feature;
	} table[] = {
		{{.type = MESSAGE_PING}, 0},
		{{.type = MESSAGE_BLOB_MISSING}, 0},
		{{.type = MESSAGE_UPLOADED}, 0},
		{{.type = MESSAGE_BLOB_BUSY}, FEATURE_SWARM},
		{{.type = MESSAGE_BLOB_WHO, .blob_who.want = 1}, FEATURE_SWARM},
		{{.type = MESSAGE_HOST_CERTIFICATE}, FEATURE_HOST},
		{{.type = MESSAGE_NEIGHBOR_REPLY}, FEATURE_GOSSIP},
		{{.type = MESSAGE_PULL, .pull.kind = ANNOUNCE_BEACON}, FEATURE_GOSSIP},
		{{.type = MESSAGE_OBSERVED, .observed.from = {4, {192, 0, 2, 1}, 7}},
			FEATURE_RELAY},
		{{.type = MESSAGE_RELAY_RESERVE}, FEATURE_RELAY},
		{{.type = MESSAGE_PUNCH_GO}, FEATURE_RELAY},
	};

	(void)state;
	for (uint64_t ours = 0; ours < 16; ours++) {
		uint64_t theirs = ours * 5 % 16;
		struct pair p;

		pair_identities(&p);
		p.peer.id.features = ours;
		p.root.id.features = theirs;
		side_start(&p.peer, true, NULL);
		side_start(&p.root, false, NULL);
		assert_int_equal(settle(&p, NULL, NULL, NULL), TK_OK);
		assert_int_equal(session_features(p.peer.session), ours & theirs & WIRE_FEATURES);
		assert_int_equal(session_features(p.root.session), ours & theirs & WIRE_FEATURES);
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
			assert_int_equal(say(&p.peer, &table[i].m, NULL),
				(table[i].feature & ~(ours & theirs)) == 0 ? TK_OK : TK_EINVAL);
		assert_int_equal(settle(&p, NULL, NULL, NULL), TK_OK);
		assert_true(complete(&p.peer, &p.root) && is_open(&p.root));
		pair_close(&p);
	}
}

static void handshake_equals_the_second_implementation(void **state)
{
	char up[2048], down[2048];
	struct span out;
	struct pair p;
	size_t n;

	(void)state;
	pair_start(&p);
	out = session_output(p.peer.session);
	hex_encode(up, out.data, out.len);
	n = 2 * out.len;
	assert_int_equal(carry(&p.peer, &p.root, NULL, NULL), TK_OK);
	out = session_output(p.root.session);
	hex_encode(down, out.data, out.len);
	assert_int_equal(carry(&p.root, &p.peer, NULL, NULL), TK_OK);
	out = session_output(p.peer.session);
	hex_encode(up + n, out.data, out.len);
	assert_string_equal(up, golden_session_initiator);
	assert_string_equal(down, golden_session_responder);
	pair_close(&p);
}

/* Sends pings numbered from 0 and compares the frames around the change of keys. */
static void count_frames(struct side *from, struct side *to, const char *const golden[3])
{
	uint64_t last = 2 * (uint64_t)REKEY_FRAMES + 3;

	for (uint64_t i = 0; i < last; i++) {
		struct message ping = message_ping(i), got;

		assert_int_equal(session_send(from->session, &ping, NULL), TK_OK);
		if (i == 0)
			assert_output(from->session, golden[0]);
		else if (i == REKEY_FRAMES - 1 || i == REKEY_FRAMES)
			assert_output(from->session, golden[i == REKEY_FRAMES ? 2 : 1]);
		assert_int_equal(
			session_receive(to->session, session_output(from->session), NULL), TK_OK);
		session_consume(from->session, session_output(from->session).len);
		assert_int_equal(session_next(to->session, &got, NULL), TK_OK);
		assert_int_equal(got.type, MESSAGE_PING);
		assert_true(got.ping.token == i);
		assert_int_equal(session_next(to->session, &got, NULL), TK_ENOENT);
	}
}

static void frames_and_rekeying_equal_the_second_implementation(void **state)
{
	static const char *const up[3] = {golden_frame_0_initiator, golden_frame_65535_initiator,
		golden_frame_65536_initiator};
	static const char *const down[3] = {golden_frame_0_responder, golden_frame_65535_responder,
		golden_frame_65536_responder};
	struct pair p;

	(void)state;
	open_pair(&p);
	count_frames(&p.peer, &p.root, up);
	count_frames(&p.root, &p.peer, down);
	pair_close(&p);
}

static void a_talk_survives_any_cutting_of_the_stream(void **state)
{
	static const size_t chunks[] = {1, 2, 3, 17, 18, 19, 64, 0};

	(void)state;
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		struct bend up = {.flip_at = SIZE_MAX, .chunk = chunks[i]}, down = up;
		struct pair p;

		pair_start(&p);
		assert_int_equal(talk(&p, &up, &down, NULL), TK_OK);
		assert_true(p.peer.sent.len > 0 && p.root.sent.len > 0);
		assert_true(complete(&p.peer, &p.root));
		assert_true(complete(&p.root, &p.peer));
		pair_close(&p);
	}
}

static void messages_that_span_frames_arrive_whole(void **state)
{
	static const size_t sizes[] = {1, 65000, 65470, 65475, 65476, 65477, 65480, BLOB_PART_MAX};
	static uint8_t bytes[BLOB_PART_MAX];
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 8));
	open_pair(&p);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct message m = message_upload(bytes, sizes[i]);
		struct bend up = {.flip_at = SIZE_MAX, .chunk = i % 2 ? 1000 : 0};

		assert_int_equal(say(&p.peer, &m, NULL), TK_OK);
		assert_int_equal(carry(&p.peer, &p.root, &up, NULL), TK_OK);
		assert_true(complete(&p.peer, &p.root));
	}
	pair_close(&p);
}

static void many_messages_in_one_read_come_out_in_order(void **state)
{
	struct pair p;

	(void)state;
	open_pair(&p);
	for (uint64_t i = 0; i < 1000; i++) {
		struct message ping = message_ping(i);

		assert_int_equal(say(&p.peer, &ping, NULL), TK_OK);
	}
	assert_int_equal(carry(&p.peer, &p.root, NULL, NULL), TK_OK);
	assert_true(complete(&p.peer, &p.root));
	pair_close(&p);
}

/* A reader that does not empty the queue between reads loses nothing. */
static void messages_wait_until_they_are_asked_for(void **state)
{
	struct message got;
	struct pair p;

	(void)state;
	open_pair(&p);
	for (uint64_t i = 0; i < 10; i++) {
		struct message ping = message_ping(i);

		assert_int_equal(session_send(p.peer.session, &ping, NULL), TK_OK);
		assert_int_equal(
			session_receive(p.root.session, session_output(p.peer.session), NULL),
			TK_OK);
		session_consume(p.peer.session, session_output(p.peer.session).len);
		if (i % 3 == 2)
			assert_int_equal(session_next(p.root.session, &got, NULL), TK_OK);
	}
	for (uint64_t i = 3; i < 10; i++) {
		assert_int_equal(session_next(p.root.session, &got, NULL), TK_OK);
		assert_true(got.ping.token == i);
	}
	assert_int_equal(session_next(p.root.session, &got, NULL), TK_ENOENT);
	pair_close(&p);
}

/* Once its buffers have their size, a session that is read out lives in them for ever. */
static void session_that_is_read_out_needs_no_more_memory(void **state)
{
	struct message ping = message_ping(1), got;
	struct pair p;

	(void)state;
	open_pair(&p);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(session_send(p.peer.session, &ping, NULL), TK_OK);
		mem_fail(i < 10 ? 0 : 1, 1);
		assert_int_equal(
			session_receive(p.root.session, session_output(p.peer.session), NULL),
			TK_OK);
		assert_int_equal(session_next(p.root.session, &got, NULL), TK_OK);
		mem_fail(0, 0);
		session_consume(p.peer.session, session_output(p.peer.session).len);
	}
	pair_close(&p);
}

static void what_the_other_side_would_refuse_is_not_sent(void **state)
{
	static uint8_t bytes[MESSAGE_BYTES_MAX + 1];
	struct message empty = message_upload(bytes, 0);
	struct message long_part = message_upload(bytes, BLOB_PART_MAX + 1);
	struct message huge = message_upload(bytes, sizeof(bytes));
	struct message good = message_upload(bytes, BLOB_PART_MAX);
	struct errmsg msg;
	struct pair p;

	(void)state;
	open_pair(&p);
	assert_int_equal(session_send(p.peer.session, &empty, &msg), TK_ELIMIT);
	assert_int_equal(session_send(p.peer.session, &long_part, &msg), TK_ELIMIT);
	assert_non_null(strstr(msg.text, "not sent: message UPLOAD"));
	assert_int_equal(session_send(p.peer.session, &huge, &msg), TK_ELIMIT);
	assert_int_equal(session_output(p.peer.session).len, 0);
	assert_int_equal(say(&p.peer, &good, &msg), TK_OK);
	assert_int_equal(carry(&p.peer, &p.root, NULL, &msg), TK_OK);
	assert_true(complete(&p.peer, &p.root));
	pair_close(&p);
}

static void nothing_is_sent_before_the_session_is_open(void **state)
{
	struct message ping = message_ping(1);
	struct errmsg msg;
	struct pair p;

	(void)state;
	pair_start(&p);
	assert_int_equal(session_send(p.peer.session, &ping, &msg), TK_EINVAL);
	assert_int_equal(session_send(p.root.session, &ping, &msg), TK_EINVAL);
	assert_int_equal(settle(&p, NULL, NULL, &msg), TK_OK);
	assert_int_equal(session_send(p.peer.session, &ping, &msg), TK_OK);
	pair_close(&p);
}

/* One talk in which the allocation number `after` fails. False when none failed any more. */
static bool talk_without_memory(uint64_t after, int forever)
{
	struct errmsg msg = {""};
	struct pair p;
	int rc = TK_ENOMEM;

	pair_identities(&p);
	mem_fail(after, forever);
	side_start(&p.peer, true, &p.root.id.network);
	side_start(&p.root, false, NULL);
	if (p.peer.session != NULL && p.root.session != NULL)
		rc = talk(&p, NULL, NULL, &msg);
	mem_fail(0, 0);
	assert_true(rc == TK_OK || rc == TK_ENOMEM);
	assert_true(honest(&p.peer, &p.root) && honest(&p.root, &p.peer));
	if (rc == TK_OK)
		assert_true(complete(&p.peer, &p.root) && complete(&p.root, &p.peer));
	pair_close(&p);
	return rc != TK_OK;
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	for (int forever = 0; forever < 2; forever++) {
		uint64_t after = 1;

		while (talk_without_memory(after, forever))
			after++;
		assert_true(after > 10);
	}
}

/* A message that could not be sent for want of memory leaves the session as it was. */
static void sending_without_memory_can_be_repeated(void **state)
{
	struct message ping = message_ping(5);
	struct pair p;

	(void)state;
	open_pair(&p);
	for (uint64_t after = 1;; after++) {
		int rc;

		mem_fail(after, 0);
		rc = session_send(p.peer.session, &ping, NULL);
		mem_fail(0, 0);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
		assert_int_equal(session_output(p.peer.session).len, 0);
	}
	assert_int_equal(message_encode(&ping, &p.peer.sent), TK_OK);
	assert_int_equal(carry(&p.peer, &p.root, NULL, NULL), TK_OK);
	assert_true(complete(&p.peer, &p.root));
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_open_and_know_each_other),
		cmocka_unit_test(messages_of_features_that_are_not_shared_are_not_sent),
		cmocka_unit_test(handshake_equals_the_second_implementation),
		cmocka_unit_test(frames_and_rekeying_equal_the_second_implementation),
		cmocka_unit_test(a_talk_survives_any_cutting_of_the_stream),
		cmocka_unit_test(messages_that_span_frames_arrive_whole),
		cmocka_unit_test(many_messages_in_one_read_come_out_in_order),
		cmocka_unit_test(messages_wait_until_they_are_asked_for),
		cmocka_unit_test(session_that_is_read_out_needs_no_more_memory),
		cmocka_unit_test(what_the_other_side_would_refuse_is_not_sent),
		cmocka_unit_test(nothing_is_sent_before_the_session_is_open),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(sending_without_memory_can_be_repeated),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
