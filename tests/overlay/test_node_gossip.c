/* Gossip through whole nodes, with real handshakes and signatures, wired together in memory under virtual
 * time: a coordinator and peers that know nobody but it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/overlay/node_town.h"

static size_t heard(const struct net *net, size_t times)
{
	size_t count = 0;

	for (size_t i = 1; i <= PEERS; i++)
		count += !net->nodes[i].dead && net_count(net, i, NODE_ANNOUNCED, 0) == times;
	return count;
}

static void peers_that_know_only_the_coordinator_find_each_other(void **state)
{
	struct net *net = *state;

	for (size_t i = 1; i <= PEERS; i++) {
		assert_in_range(node_neighbour_count(net->nodes[i].node), 2, GOSSIP_ACTIVE_MAX);
		assert_true(net_count(net, i, NODE_UP, 0) >= 2);
	}
}

static void announcement_reaches_everybody_once(void **state)
{
	struct net *net = *state;

	for (uint64_t sequence = 1; sequence <= 5; sequence++) {
		assert_int_equal(
			publish(net, ROOT, ANNOUNCE_ROUND, sequence, span_text("x")), TK_OK);
		net_pass(net, 2000);
		assert_int_equal(heard(net, sequence), PEERS);
	}
}

static void peer_cannot_announce_anything(void **state)
{
	struct net *net = *state;

	assert_int_equal(publish(net, 3, ANNOUNCE_ROUND, 1, span_text("x")), TK_EAUTH);
	net_pass(net, 2000);
	assert_int_equal(heard(net, 0), PEERS);
}

static void forged_announcement_ends_the_session_at_the_first_honest_node(void **state)
{
	struct message m = {.type = MESSAGE_BROADCAST};
	const struct announcement a = {.kind = ANNOUNCE_ROUND, .sequence = 9};
	struct net *net = *state;
	struct bytes encoded = {0};
	conn_id conn = 0;
	size_t to = 0;

	for (size_t i = 2; i <= PEERS && conn == 0; i++) {
		conn = session_between(net, 1, i);
		to = i;
	}
	assert_int_not_equal(conn, 0);
	assert_int_equal(announcement_encode(&a, &encoded), TK_OK);
	m.broadcast.body = bytes_span(&encoded);
	assert_int_equal(net_send(net, conn, &m), TK_OK);
	net_run(net);
	assert_int_equal(net_count(net, to, NODE_DOWN, ((conn - 1) ^ 1) + 1), 1);
	net_pass(net, 2000);
	assert_int_equal(heard(net, 0), PEERS);
	bytes_close(&encoded);
}

static void whoever_breaks_a_rule_is_not_dialled_again(void **state)
{
	struct message m = {.type = MESSAGE_OBSERVED};
	struct net *net = *state;
	size_t seen = net->nodes[2].seen.count, liar = 0;
	conn_id conn = 0;

	for (size_t i = 3; i <= PEERS && conn == 0; i++) {
		conn = session_between(net, i, 2);
		liar = i;
	}
	assert_int_not_equal(conn, 0);
	m.observed.from = (struct endpoint){.family = 4, .ip = {192, 0, 2, 1}, .port = 1};
	for (int i = 0; i < 2; i++) /* once it may be welcome */
		(void)!net_send(net, conn, &m);
	net_run(net);
	assert_int_equal(net_count(net, 2, NODE_DOWN, ((conn - 1) ^ 1) + 1), 1);
	net_pass(net, 30000);
	for (size_t i = seen; i < net->nodes[2].seen.count; i++) {
		const struct node_effect *e = &net->nodes[2].seen.items[i];

		assert_false(e->type == NODE_DIAL &&
			     key_equal(&e->record.key, &net->nodes[liar].id.key.public));
	}
}

static void latecomer_gets_the_newest_of_each_topic(void **state)
{
	struct net *net = *state;
	size_t late = net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);

	assert_int_equal(publish(net, ROOT, ANNOUNCE_ROUND, 1, span_text("x")), TK_OK);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_ROUND, 2, span_text("x")), TK_OK);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_MANIFEST, 1, span_text("x")), TK_OK);
	net_pass(net, 5000);
	net_gossip(net, late);
	net_advertise(net, late);
	net_dial(net, late, ROOT, NULL);
	net_pass(net, 10000);
	assert_int_equal(net_count(net, late, NODE_ANNOUNCED, 0), 2);
}

static void news_goes_on_when_half_of_the_peers_die_and_the_root_is_asked_by_nobody(void **state)
{
	struct net *net = *state;

	assert_int_equal(publish(net, ROOT, ANNOUNCE_ROUND, 1, span_text("x")), TK_OK);
	net_pass(net, 3000);
	for (size_t i = 1; i <= PEERS; i += 2)
		net_kill(net, i);
	net_pass(net, 60000); /* silence is noticed, neighbours are replaced */
	assert_int_equal(publish(net, ROOT, ANNOUNCE_ROUND, 2, span_text("x")), TK_OK);
	net_pass(net, 5000);
	assert_int_equal(heard(net, 2), PEERS / 2);
}

static void revoked_identity_loses_its_sessions_with_all_peers(void **state)
{
	struct revocations r = {.count = 1};
	struct net *net = *state;
	struct bytes payload = {0};

	r.keys[0] = net->nodes[5].id.key.public;
	assert_int_equal(revocations_encode(&r, &payload), TK_OK);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_REVOKE, 1, bytes_span(&payload)), TK_OK);
	net_pass(net, 2000);
	/* the coordinator's own session is for the coordinator to end */
	assert_int_equal(node_session_count(net->nodes[5].node), 1);
	assert_int_not_equal(session_between(net, 5, ROOT), 0);
	bytes_close(&payload);
}

static struct bytes signed_record(
	const struct net *net, const struct record *r, const struct key_pair *pair)
{
	struct bytes encoded = {0};

	assert_int_equal(record_encode(r, pair, &net->nodes[ROOT].id.key.public, &encoded), TK_OK);
	return encoded;
}

static void record_that_never_expires_ends_the_session_of_who_sends_it(void **state)
{
	struct record r = {.sequence = 1, .expiry_s = UINT64_MAX - 5};
	struct message m = {.type = MESSAGE_NEIGHBOR};
	struct net *net = *state;
	size_t stranger = net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);
	conn_id conn = net_dial(net, stranger, 4, NULL);
	struct bytes encoded;

	net_run(net);
	r.key = net->nodes[stranger].id.key.public;
	encoded = signed_record(net, &r, &net->nodes[stranger].id.key);
	m.neighbor.record = bytes_span(&encoded);
	assert_int_equal(net_send(net, conn, &m), TK_OK);
	net_run(net);
	assert_int_equal(net_count(net, 4, NODE_DOWN, conn + 1), 1);
	bytes_close(&encoded);
}

/* Each costs us a verification and its teller nothing; what began them has expired, so that gossip itself
 * never hears of them. */
static void flood_of_peers_nobody_knows_ends_the_session(void **state)
{
	struct record r = {.sequence = 1, .expiry_s = 1800000000u - 86400};
	struct message m = {.type = MESSAGE_SHUFFLE, .shuffle.count = 1};
	struct net *net = *state;
	size_t stranger = net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);
	conn_id conn = net_dial(net, stranger, 4, NULL);
	struct bytes origin, told;
	uint8_t seed[32] = {77};

	net_run(net);
	r.key = net->nodes[stranger].id.key.public;
	origin = signed_record(net, &r, &net->nodes[stranger].id.key);
	m.shuffle.origin = bytes_span(&origin);
	r.expiry_s = 1800000000u + 3600;
	for (uint32_t i = 0; i < 1500 && net_count(net, 4, NODE_DOWN, conn + 1) == 0; i++) {
		struct key_pair pair;

		store_le32(seed + 4, i);
		key_from_seed(&pair, seed);
		r.key = pair.public;
		told = signed_record(net, &r, &pair);
		m.shuffle.records[0] = bytes_span(&told);
		(void)!net_send(net, conn, &m);
		net_run(net);
		bytes_close(&told);
	}
	assert_int_equal(net_count(net, 4, NODE_DOWN, conn + 1), 1);
	bytes_close(&origin);
}

/* The coordinator keeps the newest session of an identity: one of gossip's would end the application's. */
static void gossip_leaves_the_coordinator_for_the_application_to_dial(void **state)
{
	struct net *net = *state;
	conn_id conn = session_between(net, 3, ROOT);

	assert_int_not_equal(conn, 0);
	assert_int_equal(net_drop(net, conn, GOODBYE_SHUTDOWN, "test"), TK_OK);
	for (size_t i = 1; i <= PEERS; i++)
		if (i != 3)
			net_kill(net, i); /* nobody else is left */
	for (int i = 0; i < 40; i++) {
		net_pass(net, 10000);
		assert_int_equal(session_between(net, 3, ROOT), 0);
	}
	assert_true(net_count(net, 3, NODE_ISOLATED, 0) != 0); /* it is told to dial */
}

static void silence_of_the_root_is_noticed(void **state)
{
	struct net *net = *state;
	struct beacon b = {0};
	struct bytes payload = {0};

	assert_int_equal(beacon_encode(&b, &payload), TK_OK);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_BEACON, 1, bytes_span(&payload)), TK_OK);
	net_pass(net, 25000);
	for (size_t i = 1; i <= PEERS; i++)
		assert_int_equal(net_count(net, i, NODE_ISOLATED, 0), 0);
	net_kill(net, ROOT);
	net_pass(net, 150000);
	for (size_t i = 1; i <= PEERS; i++)
		assert_true(net_count(net, i, NODE_ISOLATED, 0) >= 1);
	bytes_close(&payload);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
	const struct CMUnitTest tests[] = {
		TEST(peers_that_know_only_the_coordinator_find_each_other),
		TEST(announcement_reaches_everybody_once),
		TEST(peer_cannot_announce_anything),
		TEST(forged_announcement_ends_the_session_at_the_first_honest_node),
		TEST(whoever_breaks_a_rule_is_not_dialled_again),
		TEST(latecomer_gets_the_newest_of_each_topic),
		TEST(news_goes_on_when_half_of_the_peers_die_and_the_root_is_asked_by_nobody),
		TEST(revoked_identity_loses_its_sessions_with_all_peers),
		TEST(record_that_never_expires_ends_the_session_of_who_sends_it),
		TEST(flood_of_peers_nobody_knows_ends_the_session),
		TEST(gossip_leaves_the_coordinator_for_the_application_to_dial),
		TEST(silence_of_the_root_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
