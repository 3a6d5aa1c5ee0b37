/* Sessions against a wire that alters, cuts, repeats and reorders bytes, and against nodes that do not
 * belong here. Whatever happens, no message is delivered that was not sent, and a session that saw
 * something wrong is closed with a sentence that says what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "peer/wire/identity.h"
#include "tests/wire/pair.h"

/* The wire */

/* A length that a flip made longer makes the reader wait; whatever comes next then ends it. */
static void go_on(struct side *from, struct side *to, struct bend *bend)
{
	static const uint8_t filler[HANDSHAKE_FRAME_MAX + 2] = {1};
	static const uint8_t bytes[BLOB_PART_MAX];
	struct message more = message_upload(bytes, sizeof(bytes));

	if (!is_open(to))
		(void)!side_receive(to, span_of(filler, sizeof(filler)), 0, NULL);
	for (int i = 0; i < 2 && is_open(from) && is_open(to); i++) {
		assert_int_equal(say(from, &more, NULL), TK_OK);
		(void)!carry(from, to, bend, NULL);
	}
}

/* Flips bits of one byte of the talk; `up`: of what the peer says. False when the talk is shorter. */
static bool flip_ends(size_t at, uint8_t mask, bool upwards)
{
	struct bend up = {.flip_at = upwards ? at : SIZE_MAX, .mask = mask};
	struct bend down = {.flip_at = upwards ? SIZE_MAX : at, .mask = mask};
	bool flipped, ended;
	struct pair p;

	pair_start(&p);
	(void)!talk(&p, &up, &down, NULL);
	flipped = (upwards ? up.passed : down.passed) > at;
	if (flipped && !is_closed(&p.peer) && !is_closed(&p.root))
		go_on(upwards ? &p.peer : &p.root, upwards ? &p.root : &p.peer,
			upwards ? &up : &down);
	ended = is_closed(&p.peer) || is_closed(&p.root);
	assert_true(honest(&p.peer, &p.root) && honest(&p.root, &p.peer));
	if (flipped != ended)
		print_error("byte %zu, mask %02x, %s\n", at, mask, upwards ? "up" : "down");
	assert_int_equal(flipped, ended);
	pair_close(&p);
	return flipped;
}

static void flipped_bit_anywhere_ends_the_session(void **state)
{
	size_t bytes = 0;

	(void)state;
	for (int upwards = 0; upwards < 2; upwards++)
		for (size_t at = 0; flip_ends(at, (uint8_t)(1u << at % 8), upwards); at++)
			bytes++;
	assert_true(bytes > 600); /* both preambles, both handshakes, three messages each way */
}

/* The clear bytes, where no tag stands guard by itself, with every bit. */
static void every_bit_of_the_clear_bytes_counts(void **state)
{
	(void)state;
	for (size_t at = 0; at < 17 + 2 + 32; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			assert_true(flip_ends(at, (uint8_t)(1u << bit), true));
			assert_true(flip_ends(at, (uint8_t)(1u << bit), false));
		}
}

/* All that one side says in an undisturbed talk. */
static void record(struct bytes *out, struct pair *p)
{
	struct message request = message_ping(1);

	for (int i = 0; i < 3; i++) {
		struct span said = session_output(p->peer.session);

		assert_int_equal(bytes_append(out, said.data, said.len), TK_OK);
		assert_int_equal(carry(&p->peer, &p->root, NULL, NULL), TK_OK);
		assert_int_equal(carry(&p->root, &p->peer, NULL, NULL), TK_OK);
		if (is_open(&p->peer))
			assert_int_equal(say(&p->peer, &request, NULL), TK_OK);
	}
}

static void stream_cut_anywhere_is_only_waited_for(void **state)
{
	struct bytes stream = {0};
	struct pair p;

	(void)state;
	pair_start(&p);
	record(&stream, &p);
	for (size_t n = 0; n < stream.len; n++) {
		struct side again;

		side_init(&again, 2, 4, ROLE_COORDINATOR, &p.root.id.network);
		side_start(&again, false, NULL);
		assert_int_equal(side_receive(&again, span_of(stream.data, n), 0, NULL), TK_OK);
		assert_false(is_closed(&again));
		assert_true(honest(&p.peer, &again));
		assert_int_equal(
			side_receive(&again, span_of(stream.data + n, stream.len - n), 0, NULL),
			TK_OK);
		assert_true(again.received.len == p.root.received.len);
		side_close(&again);
	}
	bytes_close(&stream);
	pair_close(&p);
}

/* Two frames of one direction, and an open pair that has not seen them. */
static void two_frames(struct pair *p, struct bytes frame[2])
{
	pair_start(p);
	assert_int_equal(settle(p, NULL, NULL, NULL), TK_OK);
	for (int i = 0; i < 2; i++) {
		struct message m = message_ping((uint64_t)i);
		struct span out;

		assert_int_equal(say(&p->peer, &m, NULL), TK_OK);
		out = session_output(p->peer.session);
		frame[i] = (struct bytes){0};
		assert_int_equal(bytes_append(&frame[i], out.data, out.len), TK_OK);
		session_consume(p->peer.session, out.len);
	}
}

/* Delivers frames in this order; to the side that sent them when `back`. */
static void order_is_refused(const int order[], size_t count, bool back)
{
	struct bytes frame[2];
	struct errmsg msg;
	struct pair p;
	int rc = TK_OK;

	two_frames(&p, frame);
	for (size_t i = 0; i < count && rc == TK_OK; i++)
		rc = side_receive(back ? &p.peer : &p.root, bytes_span(&frame[order[i]]), 0, &msg);
	assert_int_equal(rc, TK_EAUTH);
	assert_non_null(strstr(msg.text, "does not authenticate"));
	assert_true(is_closed(back ? &p.peer : &p.root));
	assert_true(honest(&p.peer, &p.root));
	assert_int_equal(p.peer.received.len, 0);
	for (int i = 0; i < 2; i++)
		bytes_close(&frame[i]);
	pair_close(&p);
}

static void replayed_frame_is_refused(void **state)
{
	(void)state;
	order_is_refused((int[]){0, 0}, 2, false);
	order_is_refused((int[]){0, 1, 0}, 3, false);
}

static void reordered_or_missing_frames_are_refused(void **state)
{
	(void)state;
	order_is_refused((int[]){1, 0}, 2, false);
	order_is_refused((int[]){1}, 1, false);
}

static void frame_sent_back_to_its_author_is_refused(void **state)
{
	(void)state;
	order_is_refused((int[]){0}, 1, true);
}

static void frame_of_another_session_is_refused(void **state)
{
	uint8_t ephemeral[32] = {99};
	struct bytes frame[2];
	struct errmsg msg;
	struct pair p, other;

	(void)state;
	two_frames(&p, frame);
	pair_identities(&other);
	other.peer.session = session_new(&other.peer.id, true, ephemeral, PAIR_NOW_S, NULL);
	side_start(&other.root, false, NULL);
	assert_int_equal(settle(&other, NULL, NULL, NULL), TK_OK);
	assert_int_equal(side_receive(&other.root, bytes_span(&frame[0]), 0, &msg), TK_EAUTH);
	for (int i = 0; i < 2; i++)
		bytes_close(&frame[i]);
	pair_close(&p);
	pair_close(&other);
}

/* The preamble */

static void preamble_is_refused(const uint8_t *bytes, size_t n, int code, const char *why)
{
	struct message ping = message_ping(1), got;
	struct errmsg msg;
	struct pair p;

	pair_start(&p);
	assert_int_equal(session_receive(p.root.session, span_of(bytes, n), &msg), code);
	assert_non_null(strstr(msg.text, why));
	assert_true(is_closed(&p.root));
	assert_int_equal(session_receive(p.root.session, span_of(bytes, n), &msg), code);
	assert_non_null(strstr(msg.text, why));
	assert_int_equal(session_next(p.root.session, &got, &msg), code);
	assert_int_equal(session_send(p.root.session, &ping, &msg), TK_EINVAL);
	assert_null(session_peer(p.root.session));
	pair_close(&p);
}

static void strangers_are_told_why(void **state)
{
	uint8_t preamble[17];
	struct pair p;

	(void)state;
	pair_start(&p);
	memcpy(preamble, session_output(p.peer.session).data, sizeof(preamble));
	pair_close(&p);
	preamble_is_refused((const uint8_t *)"G", 1, TK_EPROTO, "does not speak Talkoot");
	preamble_is_refused(
		(const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18, TK_EPROTO, "does not speak Talkoot");
	preamble[16] ^= 1;
	preamble_is_refused(preamble, 17, TK_EAUTH, "another network");
	preamble[8] = 2;
	preamble_is_refused(preamble, 17, TK_EUNSUPPORTED, "speaks version 2, we speak 1");
	preamble_is_refused(preamble, 9, TK_EUNSUPPORTED, "speaks version 2, we speak 1");
}

static void both_sides_learn_that_networks_differ(void **state)
{
	struct errmsg msg;
	struct pair p, other;
	struct side stranger;

	(void)state;
	pair_identities(&p);
	pair_identities(&other);
	side_init(&stranger, 7, 8, ROLE_PEER, &other.peer.id.key.public);
	side_start(&stranger, true, NULL);
	side_start(&p.root, false, NULL);
	assert_int_equal(carry(&stranger, &p.root, NULL, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "another network"));
	assert_int_equal(carry(&p.root, &stranger, NULL, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "another network"));
	side_close(&stranger);
	pair_close(&p);
	pair_close(&other);
}

static void unexpected_identity_is_refused(void **state)
{
	struct errmsg msg;
	struct pair p;

	(void)state;
	pair_identities(&p);
	side_start(&p.peer, true, &p.peer.id.key.public);
	side_start(&p.root, false, NULL);
	assert_int_equal(settle(&p, NULL, NULL, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "not the expected one"));
	assert_true(is_closed(&p.peer) && !is_open(&p.root));
	pair_close(&p);
}

/* Identities */

/* Checks at PAIR_NOW_S a claim that was made when its author's clock said now_s. */
static int claim_made_at(uint64_t now_s, struct errmsg *msg)
{
	struct identity_claim claim;
	struct bytes encoded = {0};
	struct pair p;
	int rc;

	pair_identities(&p);
	assert_int_equal(identity_encode(&p.peer.id, now_s, &encoded), TK_OK);
	rc = identity_check(&claim, bytes_span(&encoded), p.peer.id.x25519_public,
		&p.peer.id.network, PAIR_NOW_S, msg);
	bytes_close(&encoded);
	return rc;
}

static void expired_and_far_future_identities_are_refused(void **state)
{
	const uint64_t life = IDENTITY_LIFETIME_S;
	struct errmsg msg;

	(void)state;
	assert_int_equal(claim_made_at(PAIR_NOW_S, &msg), TK_OK);
	assert_int_equal(claim_made_at(PAIR_NOW_S - life - 600, &msg), TK_OK);
	assert_int_equal(claim_made_at(PAIR_NOW_S + life, &msg), TK_OK);
	assert_int_equal(claim_made_at(PAIR_NOW_S + life + 1, &msg), TK_EAUTH);
	assert_int_equal(claim_made_at(UINT64_MAX - life, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "one of the two clocks must be wrong"));
	assert_int_equal(claim_made_at(0, &msg), TK_EAUTH);
	assert_int_equal(claim_made_at(PAIR_NOW_S - life - 601, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "expired 601 s ago"));
}

static void session_with_an_expired_identity_never_opens(void **state)
{
	uint8_t ephemeral[32] = {5};
	struct errmsg msg;
	struct pair p;

	(void)state;
	pair_identities(&p);
	p.peer.session = session_new(
		&p.peer.id, true, ephemeral, PAIR_NOW_S + IDENTITY_LIFETIME_S + 601, NULL);
	side_start(&p.root, false, NULL);
	assert_int_equal(settle(&p, NULL, NULL, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "expired 601 s ago"));
	assert_true(is_closed(&p.peer) && !is_open(&p.root));
	pair_close(&p);
}

static void only_the_root_key_may_call_itself_coordinator(void **state)
{
	struct errmsg msg;
	struct pair p;

	(void)state;
	pair_identities(&p);
	p.peer.id.role = ROLE_COORDINATOR;
	side_start(&p.peer, true, NULL);
	side_start(&p.root, false, NULL);
	assert_int_equal(settle(&p, NULL, NULL, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "calls itself coordinator"));
	assert_true(is_closed(&p.root));
	pair_close(&p);
}

/* Mutation */

/* Alters, drops or repeats some bytes of a stream that a session would accept. */
static void mutate(struct bytes *b, uint64_t *seed)
{
	for (uint64_t i = next_random(seed) % 4; i < 4; i++) {
		size_t at = next_random(seed) % b->len;
		size_t n = next_random(seed) % (b->len - at) % 40;

		switch (next_random(seed) % 3) {
		case 0:
			b->data[at] ^= (uint8_t)(1u << next_random(seed) % 8);
			break;
		case 1:
			memmove(b->data + at, b->data + at + n, b->len - at - n);
			b->len -= n;
			break;
		default:
			b->data[at] = (uint8_t)next_random(seed);
		}
	}
}

static void mutated_streams_deliver_nothing_wrong(void **state)
{
	struct bytes good = {0};
	struct pair p;

	(void)state;
	pair_start(&p);
	record(&good, &p);
	for (uint64_t start = 1; start <= 3000; start++) {
		uint64_t seed = start * 0x9e3779b97f4a7c15u;
		struct bytes bad = {0};
		struct side again;
		int rc;

		assert_int_equal(bytes_append(&bad, good.data, good.len), TK_OK);
		mutate(&bad, &seed);
		side_init(&again, 2, 4, ROLE_COORDINATOR, &p.root.id.network);
		side_start(&again, false, NULL);
		rc = side_receive(&again, bytes_span(&bad), next_random(&seed) % 50, NULL);
		if (!honest(&p.peer, &again) || (rc != TK_OK) != is_closed(&again))
			fail_msg("seed %llu", (unsigned long long)start);
		side_close(&again);
		bytes_close(&bad);
	}
	bytes_close(&good);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flipped_bit_anywhere_ends_the_session),
		cmocka_unit_test(every_bit_of_the_clear_bytes_counts),
		cmocka_unit_test(stream_cut_anywhere_is_only_waited_for),
		cmocka_unit_test(replayed_frame_is_refused),
		cmocka_unit_test(reordered_or_missing_frames_are_refused),
		cmocka_unit_test(frame_sent_back_to_its_author_is_refused),
		cmocka_unit_test(frame_of_another_session_is_refused),
		cmocka_unit_test(strangers_are_told_why),
		cmocka_unit_test(both_sides_learn_that_networks_differ),
		cmocka_unit_test(unexpected_identity_is_refused),
		cmocka_unit_test(expired_and_far_future_identities_are_refused),
		cmocka_unit_test(session_with_an_expired_identity_never_opens),
		cmocka_unit_test(only_the_root_key_may_call_itself_coordinator),
		cmocka_unit_test(mutated_streams_deliver_nothing_wrong),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
