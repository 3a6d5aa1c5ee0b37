/* Hosts of the link in whole nodes: while the coordinator is away a newcomer comes in through one, hears what the network
 * heard last, and goes when it has others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer/overlay/gossip_state.h"
#include "peer/overlay/node_overlay.h"
#include "peer/wire/announcement.h"
#include "peer/wire/identity.h"
#include "tests/overlay/node_town.h"

#define HOST 3u

static void make_host(struct net *net, size_t node)
{
	struct certificate c;

	host_sign(&c, &net->nodes[ROOT].id.key, &net->nodes[node].id.key.public,
		1800000000u + net->now_ms / 1000);
	identity_set_certificate(&net->nodes[node].id, &c);
}

static size_t newcomer(struct net *net)
{
	size_t late = net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);

	net_gossip(net, late);
	net_advertise(net, late);
	return late;
}

static void newcomer_comes_in_through_a_host_and_hears_the_last_news(void **state)
{
	const struct node_effect *up;
	struct net *net = *state;
	size_t late;
	conn_id conn;

	make_host(net, HOST);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_ROUND, 7, span_text("x")), TK_OK);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_REVOKE, 1, span_text("y")), TK_OK);
	net_pass(net, 2000);
	net_kill(net, ROOT);
	late = newcomer(net);
	conn = net_dial_link(net, late, HOST);
	net_run(net);
	up = net_last(net, late, NODE_UP, conn);
	assert_non_null(up);
	assert_int_equal(up->role, ROLE_PEER);
	net_pass(net, 20000);
	assert_in_range(node_neighbour_count(net->nodes[late].node), 1, GOSSIP_ACTIVE_MAX);
	assert_int_equal(net_count(net, late, NODE_ANNOUNCED, 0), 2);
}

static void a_peer_without_the_roots_word_is_no_way_in(void **state)
{
	struct net *net = *state;
	size_t late;

	net_kill(net, ROOT);
	late = newcomer(net);
	net_dial_link(net, late, HOST);
	net_pass(net, 5000);
	assert_int_equal(net_count(net, late, NODE_UP, 0), 0);
	assert_true(logged(net, late, "another node answers"));
}

static void who_has_neighbours_leaves_a_host_that_is_none(void **state)
{
	struct net *net = *state;
	conn_id conn;
	size_t who = 0;

	make_host(net, HOST);
	for (size_t i = 1; i <= PEERS && who == 0; i++)
		who = i != HOST && session_between(net, i, HOST) == 0 ? i : 0;
	assert_int_not_equal(who, 0);
	conn = net_dial_link(net, who, HOST);
	net_run(net);
	assert_int_equal(net_count(net, who, NODE_UP, conn), 1);
	net_pass(net, 30000);
	assert_int_equal(net_count(net, who, NODE_DOWN, conn), 0);
	net_pass(net, 35000);
	assert_int_equal(net_count(net, who, NODE_DOWN, conn), 1);
	assert_true(node_neighbour_count(net->nodes[who].node) > 0);
}

static void who_has_nobody_else_stays(void **state)
{
	struct net *net = *state;
	size_t host, late;
	conn_id conn;

	net_kill(net, ROOT);
	for (size_t i = 1; i <= PEERS; i++)
		net_kill(net, i);
	host = newcomer(net);
	make_host(net, host);
	late = newcomer(net);
	conn = net_dial_link(net, late, host);
	net_pass(net, 100000);
	assert_int_equal(net_count(net, late, NODE_UP, conn), 1);
	assert_int_equal(net_count(net, late, NODE_DOWN, conn), 0);
	assert_int_equal(node_neighbour_count(net->nodes[late].node), 1);
}

static void a_revoked_host_is_none_to_who_has_heard_of_it(void **state)
{
	struct revocations r = {.count = 1};
	struct net *net = *state;
	struct bytes payload = {0};
	conn_id conn;

	make_host(net, HOST);
	r.keys[0] = net->nodes[HOST].id.key.public;
	assert_int_equal(revocations_encode(&r, &payload), TK_OK);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_REVOKE, 1, bytes_span(&payload)), TK_OK);
	net_pass(net, 2000);
	conn = net_dial_link(net, 9, HOST);
	net_pass(net, 2000);
	assert_int_equal(net_count(net, 9, NODE_UP, conn), 0);
	assert_int_equal(net_count(net, 9, NODE_CLOSE, conn), 1);
	bytes_close(&payload);
}

/* A host knows no more of now than others do. */
static void only_the_coordinator_is_asked_whether_our_beacon_is_new(void **state)
{
	struct net *net = *state;
	const struct gossip *g = net->nodes[9].node->overlay->core;

	make_host(net, HOST);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_BEACON, 1800000000u, span_text("x")), TK_OK);
	net_pass(net, 2000);
	net_dial_link(net, 9, HOST);
	net_run(net);
	assert_int_equal(g->host, 0);
	net_dial_link(net, 9, ROOT);
	net_run(net);
	assert_int_not_equal(g->host, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
	const struct CMUnitTest tests[] = {
		TEST(newcomer_comes_in_through_a_host_and_hears_the_last_news),
		TEST(a_peer_without_the_roots_word_is_no_way_in),
		TEST(who_has_neighbours_leaves_a_host_that_is_none),
		TEST(who_has_nobody_else_stays),
		TEST(a_revoked_host_is_none_to_who_has_heard_of_it),
		TEST(only_the_coordinator_is_asked_whether_our_beacon_is_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
