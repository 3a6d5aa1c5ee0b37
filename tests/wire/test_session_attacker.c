/* A session against an attacker who holds real keys and speaks the protocol up to the point where it
 * lies: in the handshake, in its identity, in a frame, in a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "peer/wire/identity.h"
#include "peer/wire/noise.h"
#include "tests/wire/pair.h"

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
	assert_true(is_closed(&a.p.root));
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
	assert_true(is_closed(&a.p.root));
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
		if ((rc != TK_OK) != is_closed(&a.p.root))
			fail_msg("seed %llu", (unsigned long long)start);
		pair_close(&a.p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_that_make_no_sense_are_refused),
		cmocka_unit_test(frames_too_short_for_a_tag_are_refused),
		cmocka_unit_test(message_longer_than_the_limit_is_refused_while_it_arrives),
		cmocka_unit_test(message_in_one_byte_frames_arrives),
		cmocka_unit_test(handshake_messages_have_their_sizes),
		cmocka_unit_test(key_of_low_order_is_refused),
		cmocka_unit_test(altered_identity_is_refused),
		cmocka_unit_test(stolen_identity_is_refused),
		cmocka_unit_test(random_plaintext_never_upsets_a_session),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
