/* The daily renewal of sessions: whole nodes through days of virtual time, in strides of ten seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/lib/net.h"

#define STRIDE_MS 10000u
#define HOUR_MS	  3600000u
#define PEERS	  4u

struct bench {
	struct net net; /* node 0 is the coordinator */
	conn_id conns[PEERS + 1];
	bool redial; /* carry out NODE_RENEW */
	size_t carried[PEERS + 1];
	size_t renewals;
};

static int bench_open(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->redial = true;
	net_open(&b->net, 3);
	net_add(&b->net, ROLE_COORDINATOR, NULL);
	for (size_t i = 1; i <= PEERS; i++)
		net_add(&b->net, ROLE_PEER, &b->net.nodes[0].id.key.public);
	*state = b;
	return 0;
}

static int bench_close(void **state)
{
	struct bench *b = *state;

	net_close(&b->net);
	free(b);
	return 0;
}

static void dial(struct bench *b, size_t peer)
{
	b->conns[peer] = net_dial(&b->net, peer, 0, &b->net.nodes[0].id.key.public);
	net_run(&b->net);
	assert_int_equal(net_count(&b->net, peer, NODE_UP, b->conns[peer]), 1);
}

/* What a shell does: dials anew, and takes the new session for the old one once it is up. */
static void renew_whoever_asks(struct bench *b)
{
	for (size_t peer = 1; peer <= PEERS; peer++) {
		size_t asked = net_count(&b->net, peer, NODE_RENEW, 0);
		const struct node_effect *up;
		conn_id conn;

		if (asked == b->carried[peer])
			continue;
		b->carried[peer] = asked;
		if (!b->redial)
			continue;
		conn = net_redial(&b->net, net_last(&b->net, peer, NODE_RENEW, 0)->conn);
		net_run(&b->net);
		up = net_last(&b->net, peer, NODE_UP, conn);
		assert_non_null(up);
		assert_int_equal(up->renews, b->conns[peer]);
		b->conns[peer] = conn;
		b->renewals++;
	}
}

static void pass(struct bench *b, uint64_t ms)
{
	struct node_event tick = {.type = NODE_TICK};

	for (uint64_t at = 0; at < ms; at += STRIDE_MS) {
		b->net.now_ms += STRIDE_MS;
		for (size_t i = 0; i < b->net.node_count; i++)
			assert_int_equal(net_step(&b->net, i, &tick), TK_OK);
		net_run(&b->net);
		renew_whoever_asks(b);
	}
}

static void send_number(struct bench *b, size_t from_peer, uint64_t number)
{
	struct message m = {.type = MESSAGE_UPLOAD_REQUEST};

	m.upload_request.offset = number;
	assert_int_equal(net_send(&b->net, b->conns[from_peer], &m), TK_OK);
	assert_int_equal(net_send(&b->net, b->conns[from_peer] + 1, &m), TK_OK);
}

static void session_of_a_day_is_replaced_and_nothing_is_lost(void **state)
{
	struct bench *b = *state;
	conn_id first;
	uint64_t sent = 0;

	dial(b, 1);
	first = b->conns[1];
	for (uint64_t hour = 0; hour < 72; hour++) {
		for (int i = 0; i < 6; i++) {
			send_number(b, 1, sent++); /* into the very moment of the change as well */
			pass(b, HOUR_MS / 6);
		}
	}
	assert_in_range(b->renewals, 2, 3);
	assert_int_not_equal(b->conns[1], first);
	assert_int_equal(net_count(&b->net, 0, NODE_MESSAGE, 0), sent);
	assert_int_equal(net_count(&b->net, 1, NODE_MESSAGE, 0), sent);
	/* one session at a time, the old ones ended with the reason that they are replaced */
	assert_int_equal(node_session_count(b->net.nodes[0].node), 1);
	assert_int_equal(node_session_count(b->net.nodes[1].node), 1);
	assert_int_equal(net_count(&b->net, 1, NODE_DOWN, 0), b->renewals);
	assert_int_equal(net_last(&b->net, 1, NODE_DOWN, first)->reason, GOODBYE_REPLACED);
}

/* What the acceptor wrote before it knew of the new session still comes, and comes first. */
static void what_was_under_way_arrives_before_the_old_session_ends(void **state)
{
	struct message m = {.type = MESSAGE_UPLOADED};
	struct bench *b = *state;
	conn_id old, fresh;

	dial(b, 1);
	old = b->conns[1];
	net_wire_of(&b->net, old)->stalled = true;
	for (int i = 0; i < 20; i++)
		assert_int_equal(net_send(&b->net, old + 1, &m), TK_OK);
	fresh = net_redial(&b->net, old);
	net_run(&b->net);
	assert_int_equal(net_count(&b->net, 1, NODE_UP, fresh), 1);
	assert_int_equal(net_count(&b->net, 1, NODE_DOWN, old), 0);
	net_wire_of(&b->net, old)->stalled = false;
	net_run(&b->net);
	assert_int_equal(net_count(&b->net, 1, NODE_MESSAGE, old), 20);
	assert_int_equal(net_last(&b->net, 1, NODE_DOWN, old)->reason, GOODBYE_REPLACED);
	assert_int_equal(node_session_count(b->net.nodes[1].node), 1);
}

static void renewals_are_spread_over_two_hours(void **state)
{
	uint64_t first_ms = 0, last_ms = 0;
	struct bench *b = *state;

	for (size_t i = 1; i <= PEERS; i++)
		dial(b, i);
	pass(b, NODE_RENEW_MS - NODE_RENEW_EARLY_MS - STRIDE_MS);
	assert_int_equal(b->renewals, 0);
	for (uint64_t at = 0; at <= 2 * NODE_RENEW_EARLY_MS + STRIDE_MS; at += STRIDE_MS) {
		size_t before = b->renewals;

		pass(b, STRIDE_MS);
		if (b->renewals > before && before == 0)
			first_ms = at;
		if (b->renewals > before)
			last_ms = at;
	}
	assert_int_equal(b->renewals, PEERS);
	assert_true(last_ms - first_ms > NODE_RENEW_EARLY_MS / 10);
}

static void renewal_that_fails_is_tried_again_and_the_session_goes_on(void **state)
{
	struct bench *b = *state;
	size_t asked;

	dial(b, 1);
	b->redial = false;
	pass(b, NODE_RENEW_MS + NODE_RENEW_EARLY_MS + HOUR_MS);
	asked = net_count(&b->net, 1, NODE_RENEW, 0);
	assert_in_range(asked, 6, 18); /* in ten minutes each */
	assert_int_equal(net_count(&b->net, 1, NODE_DOWN, 0), 0);
	b->redial = true;
	pass(b, NODE_RENEW_AGAIN_MS + STRIDE_MS);
	assert_int_equal(b->renewals, 1);
	assert_int_equal(node_session_count(b->net.nodes[0].node), 1);
}

/* A dialler that never renews is sent away, and may come again. */
static void session_of_two_days_ends(void **state)
{
	struct bench *b = *state;

	dial(b, 1);
	b->redial = false;
	pass(b, NODE_AGE_MAX_MS - STRIDE_MS);
	assert_int_equal(net_count(&b->net, 1, NODE_DOWN, 0), 0);
	pass(b, STRIDE_MS);
	assert_int_equal(net_count(&b->net, 0, NODE_DOWN, 0), 1);
	assert_int_equal(net_count(&b->net, 1, NODE_DOWN, 0), 1);
	dial(b, 1);
}

/* Its old session is over meanwhile. */
static void renewal_that_comes_too_late_is_a_dial_like_any_other(void **state)
{
	struct bench *b = *state;
	conn_id old, fresh;

	dial(b, 1);
	old = b->conns[1];
	assert_int_equal(net_drop(&b->net, old, GOODBYE_SHUTDOWN, "over"), TK_OK);
	net_run(&b->net);
	fresh = net_redial(&b->net, old);
	net_run(&b->net);
	assert_int_equal(net_last(&b->net, 1, NODE_UP, fresh)->renews, 0);
}

/* To gossip both ends are neighbours all the time: nobody is told that one went away, or looked for again. */
static void neighbour_of_gossip_has_never_been_away(void **state)
{
	struct bench *b = *state;
	size_t joins;

	for (size_t i = 0; i <= 1; i++) {
		net_gossip(&b->net, i);
		net_advertise(&b->net, i);
	}
	dial(b, 1);
	pass(b, HOUR_MS);
	assert_int_equal(node_neighbour_count(b->net.nodes[0].node), 1);
	assert_int_equal(node_neighbour_count(b->net.nodes[1].node), 1);
	joins = net_count(&b->net, 1, NODE_DIAL, 0);
	for (int i = 0; i < 3; i++) {
		b->conns[1] = net_redial(&b->net, b->conns[1]);
		for (size_t node = 0; node <= 1; node++)
			assert_int_equal(node_neighbour_count(b->net.nodes[node].node), 1);
		net_run(&b->net);
		for (size_t node = 0; node <= 1; node++) {
			assert_int_equal(node_neighbour_count(b->net.nodes[node].node), 1);
			assert_int_equal(node_session_count(b->net.nodes[node].node), 1);
		}
		pass(b, HOUR_MS);
		assert_int_equal(node_neighbour_count(b->net.nodes[0].node), 1);
	}
	assert_int_equal(net_count(&b->net, 1, NODE_DIAL, 0), joins);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
	const struct CMUnitTest tests[] = {
		CLAIM(session_of_a_day_is_replaced_and_nothing_is_lost),
		CLAIM(what_was_under_way_arrives_before_the_old_session_ends),
		CLAIM(neighbour_of_gossip_has_never_been_away),
		CLAIM(renewals_are_spread_over_two_hours),
		CLAIM(renewal_that_fails_is_tried_again_and_the_session_goes_on),
		CLAIM(session_of_two_days_ends),
		CLAIM(renewal_that_comes_too_late_is_a_dial_like_any_other),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
