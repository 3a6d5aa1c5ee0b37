/* Hosts of the link: who is let in for the root's word that a peer is one, what that word is worth elsewhere, and who
 * sees the difference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "peer/wire/identity.h"
#include "tests/wire/noise_golden.h"
#include "tests/wire/pair.h"

static void root_key(struct key_pair *root)
{
	uint8_t seed[32];

	memset(seed, 2, sizeof(seed)); /* pair.h's coordinator */
	key_from_seed(root, seed);
}

/* In place of the coordinator a peer answers, with the root's word that it is a host. */
static void set_host(struct pair *p, uint64_t signed_s)
{
	struct certificate c;
	struct key_pair root;

	pair_identities(p);
	root_key(&root);
	side_init(&p->root, 7, 4, ROLE_PEER, &root.public);
	host_sign(&c, &root, &p->root.id.key.public, signed_s);
	identity_set_certificate(&p->root.id, &c);
}

static void start_both(struct pair *p, bool take_hosts)
{
	side_start(&p->peer, true, &p->peer.id.network);
	side_start(&p->root, false, NULL);
	assert_non_null(p->peer.session);
	assert_non_null(p->root.session);
	if (take_hosts)
		session_take_hosts(p->peer.session);
}

static void host_is_a_peer_that_a_newcomer_is_told_of(void **state)
{
	struct pair p;

	(void)state;
	set_host(&p, PAIR_NOW_S);
	start_both(&p, true);
	assert_int_equal(talk(&p, NULL, NULL, NULL), TK_OK);
	assert_true(complete(&p.peer, &p.root) && complete(&p.root, &p.peer));
	assert_true(session_met_host(p.peer.session));
	assert_int_equal(session_peer_role(p.peer.session), ROLE_PEER);
	assert_true(key_equal(session_peer(p.peer.session), &p.root.id.key.public));
	assert_false(session_met_host(p.root.session));
	pair_close(&p);
}

static void a_private_networks_host_knows_its_secret_too(void **state)
{
	uint8_t secret[NETWORK_SECRET] = {9};

	(void)state;
	for (int knows = 0; knows < 2; knows++) {
		struct pair p;
		int rc;

		set_host(&p, PAIR_NOW_S);
		identity_set_secret(&p.peer.id, secret);
		secret[0] = knows != 0 ? 9 : 8;
		identity_set_secret(&p.root.id, secret);
		secret[0] = 9;
		start_both(&p, true);
		rc = talk(&p, NULL, NULL, NULL);
		assert_int_equal(rc == TK_OK, knows != 0);
		assert_int_equal(session_met_host(p.peer.session), knows != 0);
		pair_close(&p);
	}
}

static void host_is_no_coordinator_to_who_demands_one(void **state)
{
	struct errmsg msg = {""};
	struct pair p;

	(void)state;
	set_host(&p, PAIR_NOW_S);
	start_both(&p, false);
	assert_int_equal(settle(&p, NULL, NULL, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "another node answers"));
	pair_close(&p);
}

static void coordinator_is_no_host(void **state)
{
	struct pair p;

	(void)state;
	pair_identities(&p);
	start_both(&p, true);
	assert_int_equal(settle(&p, NULL, NULL, NULL), TK_OK);
	assert_int_equal(session_peer_role(p.peer.session), ROLE_COORDINATOR);
	assert_false(session_met_host(p.peer.session));
	pair_close(&p);
}

/* Who dials a certain peer wants that one, whatever another may be; and hears nothing of its being a host. */
static void host_stands_for_nobody_but_the_root(void **state)
{
	struct pair p;

	(void)state;
	set_host(&p, PAIR_NOW_S);
	side_start(&p.peer, true, &p.peer.id.key.public);
	side_start(&p.root, false, NULL);
	session_take_hosts(p.peer.session);
	assert_int_equal(settle(&p, NULL, NULL, NULL), TK_EAUTH);
	pair_close(&p);

	set_host(&p, PAIR_NOW_S);
	side_start(&p.peer, true, &p.root.id.key.public);
	side_start(&p.root, false, NULL);
	assert_int_equal(settle(&p, NULL, NULL, NULL), TK_OK);
	assert_true(is_open(&p.peer));
	assert_false(session_met_host(p.peer.session));
	pair_close(&p);
}

enum lie {
	NO_LIE,
	LEFT_OUT,
	OTHER_KEY,
	OTHER_ROOT,
	ITS_OWN,
	EXPIRY_CHANGED,
	SERVING_WORD,	     /* the root's word that it serves */
	HOST_SERVES,	     /* a host that calls itself coordinator by that word */
	HOST_OF_OTHER_LABEL, /* the root's, for these fields, under another purpose */
};

static void tell(struct pair *p, enum lie lie)
{
	struct key_pair root, key = p->root.id.key;
	struct certificate c = p->root.id.certificate;
	uint8_t seed[32] = {3}, expiry[8];
	struct span fields[3];

	root_key(&root);
	if (lie == LEFT_OUT)
		p->root.id.has_certificate = false;
	if (lie == OTHER_KEY)
		host_sign(&c, &root, &p->peer.id.key.public, PAIR_NOW_S);
	if (lie == OTHER_ROOT) {
		key_from_seed(&root, seed);
		host_sign(&c, &root, &p->root.id.key.public, PAIR_NOW_S);
	}
	if (lie == ITS_OWN)
		host_sign(&c, &key, &key.public, PAIR_NOW_S);
	if (lie == EXPIRY_CHANGED)
		c.expiry_s++;
	if (lie == SERVING_WORD)
		serving_sign(&c, &root, &key.public, PAIR_NOW_S);
	if (lie == HOST_SERVES)
		p->root.id.role = ROLE_COORDINATOR;
	if (lie == HOST_OF_OTHER_LABEL) {
		store_le64(expiry, c.expiry_s);
		fields[0] = span_of(root.public.b, KEY_BYTES);
		fields[1] = span_of(key.public.b, KEY_BYTES);
		fields[2] = span_of(expiry, sizeof(expiry));
		key_sign(&c.signature, &root, "talkoot hosts", fields, 3);
	}
	p->root.id.certificate = c;
}

static void only_the_roots_word_that_this_key_is_a_host_counts(void **state)
{
	static const struct {
		enum lie lie;
		uint64_t signed_s;
		int code;
		const char *why;
	} table[] = {
		{NO_LIE, PAIR_NOW_S, TK_OK, NULL},
		{NO_LIE, PAIR_NOW_S - HOST_LIFETIME_S + HOST_SPARE_S + 1, TK_OK, NULL},
		/* then it is shown no more */
		{NO_LIE, PAIR_NOW_S - HOST_LIFETIME_S + HOST_SPARE_S, TK_EAUTH, "another node"},
		{NO_LIE, PAIR_NOW_S + HOST_LIFETIME_S, TK_OK, NULL},
		{NO_LIE, PAIR_NOW_S + HOST_LIFETIME_S + 1, TK_EAUTH,
			"certificate holds for another"},
		{LEFT_OUT, PAIR_NOW_S, TK_EAUTH, "another node"},
		{OTHER_KEY, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{OTHER_ROOT, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{ITS_OWN, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{EXPIRY_CHANGED, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{SERVING_WORD, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{HOST_SERVES, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
		{HOST_OF_OTHER_LABEL, PAIR_NOW_S, TK_EAUTH, "not signed by the network's root key"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct errmsg msg = {""};
		struct pair p;
		int rc;

		set_host(&p, table[i].signed_s);
		tell(&p, table[i].lie);
		start_both(&p, true);
		rc = settle(&p, NULL, NULL, &msg);
		if (rc != table[i].code ||
			(table[i].why != NULL && strstr(msg.text, table[i].why) == NULL))
			fail_msg("line %zu: %s: %s", i, error_name(rc), msg.text);
		assert_int_equal(is_open(&p.peer), rc == TK_OK);
		assert_int_equal(session_met_host(p.peer.session), rc == TK_OK);
		pair_close(&p);
	}
}

static void certificate_has_bounds_like_a_serving_keys(void **state)
{
	struct certificate c;
	struct key_pair root;
	struct pair p;

	(void)state;
	set_host(&p, PAIR_NOW_S);
	root_key(&root);
	c = p.root.id.certificate;
	assert_int_equal(host_check(&c, &root.public, &p.root.id.key.public,
				 c.expiry_s + IDENTITY_SKEW_S, NULL),
		TK_OK);
	assert_int_equal(host_check(&c, &root.public, &p.root.id.key.public,
				 c.expiry_s + IDENTITY_SKEW_S + 1, NULL),
		TK_EAUTH);
	assert_int_equal(
		host_check(&c, &root.public, &p.peer.id.key.public, PAIR_NOW_S, NULL), TK_EAUTH);
	assert_int_equal(
		serving_check(&c, &root.public, &p.root.id.key.public, PAIR_NOW_S, NULL), TK_EAUTH);
	assert_int_equal(
		host_check(&c, &p.peer.id.key.public, &p.root.id.key.public, PAIR_NOW_S, NULL),
		TK_EAUTH); /* another network */
	side_close(&p.peer);
	side_close(&p.root);
}

static void a_hosts_identity_equals_the_second_implementation(void **state)
{
	char hex[2 * IDENTITY_BYTES_MAX + 1];
	struct bytes claim = {0};
	struct pair p;

	(void)state;
	set_host(&p, PAIR_NOW_S);
	assert_int_equal(identity_encode(&p.root.id, PAIR_NOW_S, &claim), TK_OK);
	assert_true(claim.len <= IDENTITY_BYTES_MAX);
	hex_encode(hex, claim.data, claim.len);
	assert_string_equal(hex, golden_host_identity);
	bytes_close(&claim);
	side_close(&p.peer);
	side_close(&p.root);
}

static void every_flipped_byte_of_a_hosts_claim_is_refused(void **state)
{
	struct identity_claim out;
	struct bytes claim = {0};
	struct pair p;

	(void)state;
	set_host(&p, PAIR_NOW_S);
	assert_int_equal(identity_encode(&p.root.id, PAIR_NOW_S, &claim), TK_OK);
	assert_true(claim.len <= IDENTITY_BYTES_MAX);
	assert_int_equal(identity_check(&out, bytes_span(&claim), p.root.id.x25519_public,
				 &p.peer.id.network, PAIR_NOW_S, NULL),
		TK_OK);
	assert_true(out.host && out.role == ROLE_PEER);
	/* minor version and features, the second and third byte, are the session's to prove */
	for (size_t at = 0; at < claim.len; at++) {
		if (at == 1 || at == 2)
			continue;
		for (unsigned bit = 0; bit < 8; bit++) {
			claim.data[at] ^= (uint8_t)(1u << bit);
			assert_int_not_equal(
				identity_check(&out, bytes_span(&claim), p.root.id.x25519_public,
					&p.peer.id.network, PAIR_NOW_S, NULL),
				TK_OK);
			claim.data[at] ^= (uint8_t)(1u << bit);
		}
	}
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
		cmocka_unit_test(host_is_a_peer_that_a_newcomer_is_told_of),
		cmocka_unit_test(a_private_networks_host_knows_its_secret_too),
		cmocka_unit_test(host_is_no_coordinator_to_who_demands_one),
		cmocka_unit_test(coordinator_is_no_host),
		cmocka_unit_test(host_stands_for_nobody_but_the_root),
		cmocka_unit_test(only_the_roots_word_that_this_key_is_a_host_counts),
		cmocka_unit_test(certificate_has_bounds_like_a_serving_keys),
		cmocka_unit_test(a_hosts_identity_equals_the_second_implementation),
		cmocka_unit_test(every_flipped_byte_of_a_hosts_claim_is_refused),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
