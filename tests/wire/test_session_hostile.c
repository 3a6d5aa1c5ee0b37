/* Sessions against a wire that alters bytes and against an attacker who holds real keys and speaks
 * the protocol up to the point where it lies. Whatever happens, no message is delivered that was not
 * sent, and a session that saw something wrong is closed with a sentence that says what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "peer/wire/identity.h"
#include "peer/wire/noise.h"
#include "tasks/base/pack.h"
#include "tests/wire/pair.h"

/* The wire */

static bool closed(const struct side *s)
{
	return session_state(s->session) == SESSION_CLOSED;
}

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
	if (flipped && !closed(&p.peer) && !closed(&p.root))
		go_on(upwards ? &p.peer : &p.root, upwards ? &p.root : &p.peer,
			upwards ? &up : &down);
	ended = closed(&p.peer) || closed(&p.root);
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
		assert_false(closed(&again));
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
	assert_true(closed(back ? &p.peer : &p.root));
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
	assert_true(closed(&p.root));
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
	assert_true(closed(&p.peer) && !is_open(&p.root));
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
	assert_true(closed(&p.peer) && !is_open(&p.root));
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
	assert_true(closed(&p.root));
	pair_close(&p);
}

/* The attacker: dials a real session with real keys and then says what it likes. */

struct attacker {
	struct pair p; /* only p.root has a session */
	struct noise_handshake noise;
	struct noise_cipher send, receive;
};

static int attacker_frame(struct attacker *a, const uint8_t *data, size_t n, struct errmsg *msg)
{
	uint8_t length[2];
	int rc;

	store_le16(length, (uint16_t)n);
	rc = side_receive(&a->p.root, span_of(length, 2), 0, msg);
	return rc == TK_OK ? side_receive(&a->p.root, span_of(data, n), 0, msg) : rc;
}

/* Says the preamble and writes message 1 with this payload. */
static int attacker_dial(struct attacker *a, const char *payload, struct errmsg *msg)
{
	uint8_t both[34], e[32] = {77}, message[256];
	struct span preamble;
	size_t n;
	int rc;

	pair_identities(&a->p);
	side_start(&a->p.root, false, NULL);
	preamble = session_output(a->p.root.session);
	assert_int_equal(preamble.len, 17);
	memcpy(both, preamble.data, 17);
	memcpy(both + 17, preamble.data, 17);
	session_consume(a->p.root.session, 17);
	noise_handshake_init(&a->noise, true, span_of(both, 34), a->p.peer.id.x25519_secret, e);
	assert_int_equal(
		noise_handshake_write(&a->noise, span_text(payload), message, sizeof(message), &n),
		TK_OK);
	rc = side_receive(&a->p.root, span_of(both, 17), 0, msg);
	return rc == TK_OK ? attacker_frame(a, message, n, msg) : rc;
}

/* Reads message 2 and answers with this payload as identity. */
static int attacker_identify(struct attacker *a, struct span payload, struct errmsg *msg)
{
	uint8_t message[HANDSHAKE_FRAME_MAX];
	struct span two = session_output(a->p.root.session);
	size_t n;

	assert_int_equal(noise_handshake_read(&a->noise, span_of(two.data + 2, two.len - 2),
				 message, sizeof(message), &n),
		TK_OK);
	session_consume(a->p.root.session, two.len);
	assert_int_equal(
		noise_handshake_write(&a->noise, payload, message, sizeof(message), &n), TK_OK);
	noise_split(&a->noise, &a->send, &a->receive);
	return attacker_frame(a, message, n, msg);
}

static void attacker_open(struct attacker *a)
{
	struct bytes claim = {0};

	assert_int_equal(attacker_dial(a, "", NULL), TK_OK);
	assert_int_equal(identity_encode(&a->p.peer.id, PAIR_NOW_S, &claim), TK_OK);
	assert_int_equal(attacker_identify(a, bytes_span(&claim), NULL), TK_OK);
	assert_true(is_open(&a->p.root));
	bytes_close(&claim);
}

/* Encrypts any plaintext, flag included, as the next frame. */
static int attacker_say(struct attacker *a, const uint8_t *plain, size_t n, struct errmsg *msg)
{
	static uint8_t sealed[FRAME_BYTES_MAX];

	assert_true(n + NOISE_TAG_BYTES <= sizeof(sealed));
	assert_int_equal(noise_encrypt(&a->send, span_of("", 0), span_of(plain, n), sealed), TK_OK);
	return attacker_frame(a, sealed, n + NOISE_TAG_BYTES, msg);
}

static void said_is_refused(const uint8_t *plain, size_t n, int code, const char *why)
{
	struct errmsg msg = {""};
	struct attacker a;

	attacker_open(&a);
	assert_int_equal(attacker_say(&a, plain, n, &msg), code);
	if (strstr(msg.text, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", msg.text, why);
	assert_true(closed(&a.p.root));
	assert_int_equal(a.p.root.received.len, 0);
	pair_close(&a.p);
}

static void frames_that_make_no_sense_are_refused(void **state)
{
	static const uint8_t ping[] = {0, 0x92, 1, 7};
	static const uint8_t unknown_flag[] = {2, 0x92, 1, 7};
	static const uint8_t unknown_type[] = {0, 0x92, 99, 7};
	static const uint8_t trailing[] = {0, 0x92, 1, 7, 7};
	static const uint8_t not_an_array[] = {0, 7};
	static const uint8_t nothing[] = {0};
	static const uint8_t nothing_more[] = {1};
	struct attacker a;

	(void)state;
	attacker_open(&a);
	assert_int_equal(attacker_say(&a, ping, sizeof(ping), NULL), TK_OK);
	assert_int_equal(a.p.root.received.len, 3);
	pair_close(&a.p);

	said_is_refused(unknown_flag, sizeof(unknown_flag), TK_EPROTO, "unknown flag 2");
	said_is_refused(unknown_type, sizeof(unknown_type), TK_EPROTO, "type 99 is unknown");
	said_is_refused(trailing, sizeof(trailing), TK_EPROTO, "follow the last field");
	said_is_refused(not_an_array, sizeof(not_an_array), TK_EPROTO, "message");
	said_is_refused(nothing, sizeof(nothing), TK_EPROTO, "a frame of 17 bytes");
	said_is_refused(nothing_more, sizeof(nothing_more), TK_EPROTO, "a frame of 17 bytes");
}

static void frames_too_short_for_a_tag_are_refused(void **state)
{
	static const uint8_t zeros[18];

	(void)state;
	for (size_t n = 0; n < 18; n++) {
		struct errmsg msg;
		struct attacker a;

		attacker_open(&a);
		assert_int_equal(attacker_frame(&a, zeros, n, &msg), TK_EPROTO);
		assert_non_null(strstr(msg.text, "are allowed here"));
		pair_close(&a.p);
	}
}

static void message_longer_than_the_limit_is_refused_while_it_arrives(void **state)
{
	static uint8_t part[1 + 32768];
	struct errmsg msg;
	struct attacker a;

	(void)state;
	part[0] = 1;
	attacker_open(&a);
	for (int i = 0; i < 4; i++)
		assert_int_equal(attacker_say(&a, part, sizeof(part), &msg), TK_OK);
	assert_int_equal(attacker_say(&a, part, 2, &msg), TK_ELIMIT);
	assert_non_null(strstr(msg.text, "longer than 131072 bytes"));
	assert_true(closed(&a.p.root));
	pair_close(&a.p);
}

static void message_in_one_byte_frames_arrives(void **state)
{
	static const uint8_t ping[] = {0x92, 1, 7};
	struct attacker a;

	(void)state;
	attacker_open(&a);
	for (size_t i = 0; i < 3; i++) {
		uint8_t plain[2] = {i < 2, ping[i]};

		assert_int_equal(a.p.root.received.len, 0);
		assert_int_equal(attacker_say(&a, plain, 2, NULL), TK_OK);
	}
	assert_true(span_equal(bytes_span(&a.p.root.received), span_of(ping, 3)));
	pair_close(&a.p);
}

static void handshake_messages_have_their_sizes(void **state)
{
	static const uint8_t zeros[HANDSHAKE_FRAME_MAX + 1];
	struct errmsg msg;
	struct attacker a;

	(void)state;
	assert_int_equal(attacker_dial(&a, "payload", &msg), TK_ELIMIT);
	assert_non_null(strstr(msg.text, "a frame of 39 bytes; 32 to 32 are allowed here"));
	pair_close(&a.p);
	assert_int_equal(attacker_dial(&a, "", &msg), TK_OK);
	assert_int_equal(attacker_frame(&a, zeros, HANDSHAKE_FRAME_MAX + 1, &msg), TK_ELIMIT);
	pair_close(&a.p);
	assert_int_equal(attacker_dial(&a, "", &msg), TK_OK);
	assert_int_equal(attacker_frame(&a, zeros, 31, &msg), TK_EPROTO);
	pair_close(&a.p);
	assert_int_equal(attacker_dial(&a, "", &msg), TK_OK);
	assert_int_equal(attacker_frame(&a, zeros, 64, &msg), TK_EAUTH);
	pair_close(&a.p);
}

static void key_of_low_order_is_refused(void **state)
{
	static const uint8_t zero[32];
	struct errmsg msg;
	struct pair p;

	(void)state;
	pair_start(&p);
	assert_int_equal(session_receive(p.root.session,
				 span_of(session_output(p.peer.session).data, 19), &msg),
		TK_OK);
	assert_int_equal(session_receive(p.root.session, span_of(zero, 32), &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "low order"));
	pair_close(&p);
}

/* Every byte of a good identity altered inside a good handshake, and every length of it. */
static void altered_identity_is_refused(void **state)
{
	struct bytes claim = {0};
	struct attacker a;
	size_t n;

	(void)state;
	pair_identities(&a.p);
	assert_int_equal(identity_encode(&a.p.peer.id, PAIR_NOW_S, &claim), TK_OK);
	n = claim.len;
	for (size_t i = 0; i < 2 * n; i++) {
		bool unsigned_part = i == 1 || i == 2; /* minor version, features */
		struct errmsg msg = {""};
		int rc;

		if (i < n)
			claim.data[i] ^= 1;
		assert_int_equal(attacker_dial(&a, "", NULL), TK_OK);
		rc = attacker_identify(
			&a, i < n ? bytes_span(&claim) : span_of(claim.data, i - n), &msg);
		assert_int_equal(rc == TK_OK, unsigned_part);
		assert_int_equal(is_open(&a.p.root), unsigned_part);
		assert_true(unsigned_part || msg.text[0] != '\0');
		if (i < n)
			claim.data[i] ^= 1;
		pair_close(&a.p);
	}
	bytes_close(&claim);
}

/* A claim is good only beside the static key that it was signed for. */
static void stolen_identity_is_refused(void **state)
{
	struct bytes claim = {0};
	struct errmsg msg;
	struct attacker a;

	(void)state;
	assert_int_equal(attacker_dial(&a, "", NULL), TK_OK);
	assert_int_equal(identity_encode(&a.p.root.id, PAIR_NOW_S, &claim), TK_OK);
	assert_int_equal(attacker_identify(&a, bytes_span(&claim), &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "not signed by its key for this session's static key"));
	bytes_close(&claim);
	pair_close(&a.p);
}

/* Noise */

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

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
		if (!honest(&p.peer, &again) || (rc != TK_OK) != closed(&again))
			fail_msg("seed %llu", (unsigned long long)start);
		side_close(&again);
		bytes_close(&bad);
	}
	bytes_close(&good);
	pair_close(&p);
}

/* Random plaintext with valid tags reaches the framing and the decoder. */
static void random_plaintext_never_upsets_a_session(void **state)
{
	(void)state;
	for (uint64_t start = 1; start <= 300; start++) {
		uint64_t seed = start * 0x9e3779b97f4a7c15u;
		struct attacker a;
		int rc = TK_OK;

		attacker_open(&a);
		for (int i = 0; i < 50 && rc == TK_OK; i++) {
			uint8_t plain[64];
			size_t n = 2 + next_random(&seed) % 62;

			for (size_t j = 0; j < n; j++)
				plain[j] = (uint8_t)next_random(&seed);
			plain[0] = next_random(&seed) % 8 != 0;
			rc = attacker_say(&a, plain, n, NULL);
		}
		if ((rc != TK_OK) != closed(&a.p.root))
			fail_msg("seed %llu", (unsigned long long)start);
		pair_close(&a.p);
	}
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
		cmocka_unit_test(frames_that_make_no_sense_are_refused),
		cmocka_unit_test(frames_too_short_for_a_tag_are_refused),
		cmocka_unit_test(message_longer_than_the_limit_is_refused_while_it_arrives),
		cmocka_unit_test(message_in_one_byte_frames_arrives),
		cmocka_unit_test(handshake_messages_have_their_sizes),
		cmocka_unit_test(key_of_low_order_is_refused),
		cmocka_unit_test(altered_identity_is_refused),
		cmocka_unit_test(stolen_identity_is_refused),
		cmocka_unit_test(mutated_streams_deliver_nothing_wrong),
		cmocka_unit_test(random_plaintext_never_upsets_a_session),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
