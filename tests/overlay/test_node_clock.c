/* Clocks that are wrong: whoever is shut out for it is told so. Whole nodes, wired together in memory under virtual
 * time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "peer/wire/record.h"
#include "tests/lib/net.h"

#define ROOT	0u
#define PEER	1u
#define START_S 1800000000u
#define HOUR	3600

static int open_bench(void **state)
{
	struct net *net = calloc(1, sizeof(*net));

	if (net == NULL || crypto_start() != TK_OK)
		return -1;
	net_open(net, 3);
	net_add(net, ROLE_COORDINATOR, NULL);
	net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);
	*state = net;
	return 0;
}

static int close_bench(void **state)
{
	net_close(*state);
	free(*state);
	return 0;
}

/* The peer joins with a clock that is so fast. Gives its session. */
static conn_id join(struct net *net, int64_t fast_s)
{
	conn_id conn;

	net->nodes[PEER].skew_s = fast_s;
	for (size_t i = ROOT; i <= PEER; i++) {
		net_gossip(net, i);
		net_advertise(net, i);
	}
	conn = net_dial(net, PEER, ROOT, &net->nodes[ROOT].id.key.public);
	net_run(net);
	net_pass(net, 5000);
	return conn;
}

static void a_peer_whose_clock_is_a_day_fast_is_told_so(void **state)
{
	struct net *net = *state;
	conn_id conn = join(net, 25 * HOUR);
	const struct node_effect *down = net_last(net, PEER, NODE_DOWN, conn);

	assert_non_null(down);
	assert_int_equal(down->reason, GOODBYE_PROTOCOL);
	assert_non_null(strstr(down->text, "your clock is 90000 s fast"));
}

static void a_coordinator_whose_clock_is_a_day_slow_says_the_same(void **state)
{
	struct net *net = *state;
	const struct node_effect *down;
	conn_id conn;

	net->nodes[ROOT].skew_s = -25 * HOUR;
	conn = join(net, 0);
	down = net_last(net, PEER, NODE_DOWN, conn);
	assert_non_null(down);
	assert_non_null(strstr(down->text, "your clock is 90000 s fast"));
}

/* Beyond some hours gossip does without its record; work goes on. */
static void other_clocks_end_no_session(void **state)
{
	static const int64_t fast_s[] = {900, -900, 5 * HOUR, 13 * HOUR, -7 * HOUR, -25 * HOUR};

	for (size_t i = 0; i < sizeof(fast_s) / sizeof(fast_s[0]); i++) {
		conn_id conn = join(*state, fast_s[i]);

		assert_null(net_last(*state, PEER, NODE_DOWN, conn));
		assert_int_equal(close_bench(state), 0);
		assert_int_equal(open_bench(state), 0);
	}
}

static void both_ends_know_how_far_their_clocks_are_apart(void **state)
{
	struct net *net = *state;
	conn_id conn = join(net, 7 * HOUR);

	assert_in_range(node_skew_s(net->nodes[PEER].node, conn) + 7 * HOUR + 2, 0, 4);
	assert_in_range(node_skew_s(net->nodes[ROOT].node, conn + 1) - 7 * HOUR + 2, 0, 4);
	assert_int_equal(node_skew_s(net->nodes[PEER].node, conn + 8), 0);
}

/* Nothing in a session is worth a reply to somebody who breaks it on purpose. */
static void a_late_record_beside_a_good_clock_is_not_answered(void **state)
{
	struct net *net = *state;
	conn_id conn = join(net, 0);
	struct message m = {.type = MESSAGE_JOIN};
	struct record r = {.sequence = START_S + HOUR, .expiry_s = START_S + 30 * HOUR};
	struct bytes encoded = {0};
	const struct node_effect *down;

	r.key = net->nodes[PEER].id.key.public;
	assert_int_equal(record_encode(&r, &net->nodes[PEER].id.key,
				 &net->nodes[ROOT].id.key.public, &encoded),
		TK_OK);
	m.join.record = bytes_span(&encoded);
	assert_int_equal(net_send(net, conn, &m), TK_OK);
	net_run(net);
	bytes_close(&encoded);
	down = net_last(net, PEER, NODE_DOWN, conn);
	assert_non_null(down);
	assert_int_equal(down->reason, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_bench, close_bench)
	const struct CMUnitTest tests[] = {
		TEST(a_peer_whose_clock_is_a_day_fast_is_told_so),
		TEST(a_coordinator_whose_clock_is_a_day_slow_says_the_same),
		TEST(other_clocks_end_no_session),
		TEST(both_ends_know_how_far_their_clocks_are_apart),
		TEST(a_late_record_beside_a_good_clock_is_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
