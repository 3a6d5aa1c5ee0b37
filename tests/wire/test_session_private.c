/* Private networks and serving keys: who gets in with which secret and which certificate, and what those
 * who do not are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "peer/wire/identity.h"
#include "peer/wire/noise.h"
#include "tests/wire/noise_golden.h"
#include "tests/wire/pair.h"

static void root_key(struct key_pair *root)
{
	uint8_t seed[32];

	memset(seed, 2, sizeof(seed)); /* pair.h's coordinator */
	key_from_seed(root, seed);
}

static void set_secret(struct side *s, uint8_t byte)
{
	uint8_t secret[NETWORK_SECRET];

	memset(secret, byte, sizeof(secret));
	identity_set_secret(&s->id, secret);
}

/* The root side gets another key, with the root's word for it. */
static void set_serving(struct pair *p, uint64_t signed_s)
{
	struct certificate c;
	struct key_pair root;

	root_key(&root);
	side_init(&p->root, 7, 4, ROLE_COORDINATOR, &root.public);
	serving_sign(&c, &root, &p->root.id.key.public, signed_s);
	identity_set_certificate(&p->root.id, &c);
}

static void start_both(struct pair *p)
{
	side_start(&p->peer, true, &p->peer.id.network);
	side_start(&p->root, false, NULL);
	assert_non_null(p->peer.session);
	assert_non_null(p->root.session);
}

static void assert_hex(struct span got, const char *want)
{
	char hex[2048];

	assert_true(got.len < sizeof(hex) / 2);
	hex_encode(hex, got.data, got.len);
	assert_string_equal(hex, want);
}

static void private_session_equals_the_second_implementation(void **state)
{
	struct message ping = message_ping(0);
	struct bytes up = {0};
	struct span out;
	struct pair p;

	(void)state;
	pair_identities(&p);
	set_serving(&p, PAIR_NOW_S);
	set_secret(&p.peer, 9);
	set_secret(&p.root, 9);
	start_both(&p);
	out = session_output(p.peer.session);
	assert_int_equal(bytes_append(&up, out.data, out.len), TK_OK);
	assert_int_equal(carry(&p.peer, &p.root, NULL, NULL), TK_OK);
	assert_hex(session_output(p.root.session), golden_private_session_responder);
	assert_int_equal(carry(&p.root, &p.peer, NULL, NULL), TK_OK);
	out = session_output(p.peer.session);
	assert_int_equal(bytes_append(&up, out.data, out.len), TK_OK);
	assert_hex(bytes_span(&up), golden_private_session_initiator);
	assert_int_equal(carry(&p.peer, &p.root, NULL, NULL), TK_OK);
	assert_true(is_open(&p.peer) && is_open(&p.root));
	assert_int_equal(session_send(p.peer.session, &ping, NULL), TK_OK);
	assert_hex(session_output(p.peer.session), golden_private_frame_0_initiator);
	assert_int_equal(session_send(p.root.session, &ping, NULL), TK_OK);
	assert_hex(session_output(p.root.session), golden_private_frame_0_responder);
	bytes_close(&up);
	pair_close(&p);
}

static void private_talk_goes_both_ways(void **state)
{
	struct pair p;

	(void)state;
	pair_identities(&p);
	set_secret(&p.peer, 9);
	set_secret(&p.root, 9);
	start_both(&p);
	assert_int_equal(talk(&p, NULL, NULL, NULL), TK_OK);
	assert_true(complete(&p.peer, &p.root) && complete(&p.root, &p.peer));
	pair_close(&p);
}

static void every_flipped_bit_ends_a_private_session(void **state)
{
	(void)state;
	for (int upwards = 0; upwards < 2; upwards++) {
		bool reached = true;

		for (size_t at = 0; reached && at < 400; at++) {
			struct bend bend = {.flip_at = at, .mask = (uint8_t)(1u << at % 8)};
			struct bend straight = {.flip_at = SIZE_MAX};
			struct pair p;
			int rc;

			pair_identities(&p);
			set_secret(&p.peer, 9);
			set_secret(&p.root, 9);
			start_both(&p);
			rc = talk(
				&p, upwards ? &bend : &straight, upwards ? &straight : &bend, NULL);
			reached = bend.passed > at;
			assert_true(honest(&p.peer, &p.root) && honest(&p.root, &p.peer));
			/* ended, or waiting for the rest of a frame whose length grew */
			if (reached)
				assert_false(rc == TK_OK && complete(&p.peer, &p.root) &&
					     complete(&p.root, &p.peer));
			pair_close(&p);
		}
	}
}

/* Each learns from the other's preamble alone. 0: knows no secret. */
static void both_sides_learn_why_secrets_do_not_fit(void **state)
{
	static const struct {
		uint8_t peer, root;
		const char *peer_learns, *root_learns;
	} table[] = {
		{0, 9, "that network is private: join with its whole link",
			"ours is a private network"},
		{9, 0, "ours is a private network", "that network is private"},
		{8, 9, "its root key or its secret is not the one", "its root key or its secret"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct errmsg peer = {""}, root = {""};
		struct pair p;

		pair_identities(&p);
		if (table[i].peer != 0)
			set_secret(&p.peer, table[i].peer);
		if (table[i].root != 0)
			set_secret(&p.root, table[i].root);
		start_both(&p);
		/* what the acceptor said before it heard anything is on its way */
		assert_int_equal(carry(&p.peer, &p.root, NULL, &root), TK_EAUTH);
		assert_int_equal(carry(&p.root, &p.peer, NULL, &peer), TK_EAUTH);
		assert_non_null(strstr(peer.text, table[i].peer_learns));
		assert_non_null(strstr(root.text, table[i].root_learns));
		assert_true(is_closed(&p.peer) && is_closed(&p.root));
		assert_null(session_peer(p.peer.session));
		assert_null(session_peer(p.root.session));
		pair_close(&p);
	}
}

/* Somebody who lies in the preamble, with the right tag, still needs the secret: the responder refuses
 * message 3. */
static void right_preamble_without_the_secret_gets_nobody_in(void **state)
{
	uint8_t both[34], e[32] = {77}, wrong[32] = {1}, message[HANDSHAKE_FRAME_MAX], length[2];
	struct noise_handshake noise;
	struct noise_pair pair;
	struct bytes claim = {0};
	struct errmsg msg;
	struct span out;
	struct pair p;
	size_t n;

	(void)state;
	pair_identities(&p);
	set_secret(&p.root, 9);
	side_start(&p.root, false, NULL);
	out = session_output(p.root.session);
	memcpy(both, out.data, 17);
	memcpy(both + 17, out.data, 17);
	session_consume(p.root.session, 17);
	noise_pair_init(&pair, p.peer.id.x25519_secret);
	noise_handshake_init_psk(&noise, true, span_of(both, 34), &pair, e, wrong);
	assert_int_equal(
		noise_handshake_write(&noise, span_of("", 0), message, sizeof(message), &n), TK_OK);
	assert_int_equal(n, 48);
	store_le16(length, (uint16_t)n);
	assert_int_equal(side_receive(&p.root, span_of(both, 17), 0, NULL), TK_OK);
	assert_int_equal(side_receive(&p.root, span_of(length, 2), 0, NULL), TK_OK);
	assert_int_equal(side_receive(&p.root, span_of(message, n), 0, NULL), TK_OK);
	out = session_output(p.root.session);
	assert_int_equal(noise_handshake_read(&noise, span_of(out.data + 2, out.len - 2), message,
				 sizeof(message), &n),
		TK_OK);
	assert_int_equal(identity_encode(&p.peer.id, PAIR_NOW_S, &claim), TK_OK);
	assert_int_equal(
		noise_handshake_write(&noise, bytes_span(&claim), message, sizeof(message), &n),
		TK_OK);
	store_le16(length, (uint16_t)n);
	assert_int_equal(side_receive(&p.root, span_of(length, 2), 0, NULL), TK_OK);
	assert_int_equal(side_receive(&p.root, span_of(message, n), 0, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "handshake message 3"));
	assert_null(session_peer(p.root.session));
	bytes_close(&claim);
	pair_close(&p);
}

static void serving_key_stands_for_the_root_key(void **state)
{
	struct pair p;

	(void)state;
	pair_identities(&p);
	set_serving(&p, PAIR_NOW_S);
	start_both(&p); /* the peer demands the root key */
	assert_int_equal(settle(&p, NULL, NULL, NULL), TK_OK);
	assert_true(is_open(&p.peer) && is_open(&p.root));
	assert_int_equal(session_peer_role(p.peer.session), ROLE_COORDINATOR);
	assert_true(key_equal(session_peer(p.peer.session), &p.root.id.key.public));
	assert_false(key_equal(session_peer(p.peer.session), &p.peer.id.network));
	pair_close(&p);
}

static void peer_is_no_coordinator_to_who_demands_one(void **state)
{
	struct pair p;
	struct errmsg msg;

	(void)state;
	pair_identities(&p);
	side_init(&p.root, 7, 4, ROLE_PEER, &p.peer.id.network);
	start_both(&p);
	assert_int_equal(settle(&p, NULL, NULL, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "another node answers"));
	pair_close(&p);
}

enum certificate_lie {
	CERT_NONE,
	CERT_LEFT_OUT,
	CERT_OTHER_KEY,
	CERT_OTHER_ROOT,
	CERT_ITS_OWN,
	CERT_FLIPPED,
	CERT_EXPIRY_CHANGED,
	CERT_OF_A_PEER,
	CERT_OF_THE_ROOT,
};

static void tell(struct pair *p, enum certificate_lie lie)
{
	struct key_pair root, key = p->root.id.key;
	struct certificate c = p->root.id.certificate;
	uint8_t seed[32] = {3};

	root_key(&root);
	if (lie == CERT_LEFT_OUT)
		p->root.id.has_certificate = false;
	if (lie == CERT_OTHER_KEY)
		serving_sign(&c, &root, &p->peer.id.key.public, PAIR_NOW_S);
	if (lie == CERT_OTHER_ROOT) {
		key_from_seed(&root, seed);
		serving_sign(&c, &root, &p->root.id.key.public, PAIR_NOW_S);
	}
	if (lie == CERT_ITS_OWN)
		serving_sign(&c, &key, &key.public, PAIR_NOW_S);
	if (lie == CERT_FLIPPED)
		c.signature.b[63] ^= 1;
	if (lie == CERT_EXPIRY_CHANGED)
		c.expiry_s++;
	if (lie == CERT_OF_A_PEER)
		p->root.id.role = ROLE_PEER;
	if (lie == CERT_OF_THE_ROOT)
		p->root.id.key = root;
	p->root.id.certificate = c;
}

static void only_the_roots_word_for_this_key_counts(void **state)
{
	static const struct {
		enum certificate_lie lie;
		uint64_t signed_s;
		int code;
		const char *why;
	} table[] = {
		{CERT_NONE, PAIR_NOW_S, TK_OK, NULL},
		{CERT_NONE, PAIR_NOW_S - SERVING_LIFETIME_S - IDENTITY_SKEW_S, TK_OK, NULL},
		{CERT_NONE, PAIR_NOW_S - SERVING_LIFETIME_S - IDENTITY_SKEW_S - 1, TK_EAUTH,
			"certificate expired 601 s ago"},
		{CERT_NONE, PAIR_NOW_S + SERVING_LIFETIME_S, TK_OK, NULL},
		{CERT_NONE, PAIR_NOW_S + SERVING_LIFETIME_S + 1, TK_EAUTH,
			"certificate holds for another"},
		{CERT_LEFT_OUT, PAIR_NOW_S, TK_EAUTH, "without the network's root key or"},
		{CERT_OTHER_KEY, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{CERT_OTHER_ROOT, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{CERT_ITS_OWN, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{CERT_FLIPPED, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{CERT_EXPIRY_CHANGED, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root"},
		{CERT_OF_A_PEER, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{CERT_OF_THE_ROOT, PAIR_NOW_S, TK_EPROTO, "that the root key has no use for"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct errmsg msg = {""};
		struct pair p;
		int rc;

		pair_identities(&p);
		set_serving(&p, table[i].signed_s);
		tell(&p, table[i].lie);
		start_both(&p);
		rc = settle(&p, NULL, NULL, &msg);
		if (rc != table[i].code ||
			(table[i].why != NULL && strstr(msg.text, table[i].why) == NULL))
			fail_msg("line %zu: %s: %s", i, error_name(rc), msg.text);
		assert_int_equal(is_open(&p.peer), rc == TK_OK);
		pair_close(&p);
	}
}

/* Arrays of other counts, the certificate cut off, and what comes behind it. */
static void identity_has_six_fields_or_eight(void **state)
{
	struct identity_claim out;
	struct bytes claim = {0};
	struct pair p;

	(void)state;
	pair_identities(&p);
	set_serving(&p, PAIR_NOW_S);
	assert_int_equal(identity_encode(&p.root.id, PAIR_NOW_S, &claim), TK_OK);
	assert_true(claim.len <= IDENTITY_BYTES_MAX);
	for (unsigned n = 0; n < 16; n++) {
		int rc;

		claim.data[0] = (uint8_t)(0x90 | n);
		rc = identity_check(&out, bytes_span(&claim), p.root.id.x25519_public,
			&p.peer.id.network, PAIR_NOW_S, NULL);
		assert_int_equal(rc == TK_OK, n == 8);
	}
	claim.data[0] = 0x98;
	for (size_t n = 0; n < claim.len; n++)
		assert_int_not_equal(
			identity_check(&out, span_of(claim.data, n), p.root.id.x25519_public,
				&p.peer.id.network, PAIR_NOW_S, NULL),
			TK_OK);
	bytes_close(&claim);
	side_close(&p.peer);
	side_close(&p.root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(private_session_equals_the_second_implementation),
		cmocka_unit_test(private_talk_goes_both_ways),
		cmocka_unit_test(every_flipped_bit_ends_a_private_session),
		cmocka_unit_test(both_sides_learn_why_secrets_do_not_fit),
		cmocka_unit_test(right_preamble_without_the_secret_gets_nobody_in),
		cmocka_unit_test(serving_key_stands_for_the_root_key),
		cmocka_unit_test(peer_is_no_coordinator_to_who_demands_one),
		cmocka_unit_test(only_the_roots_word_for_this_key_counts),
		cmocka_unit_test(identity_has_six_fields_or_eight),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
