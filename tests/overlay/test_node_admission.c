/* Crowds from one network at a node's door, who comes from where, and the pulse of sessions: whole nodes
 * under virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "peer/overlay/admission.h"
#include "peer/overlay/pulse.h"
#include "tests/lib/net.h"

static const struct endpoint crowd = {.family = 4, .ip = {198, 51, 100, 1}, .port = 4000};
static const struct endpoint honest = {.family = 4, .ip = {192, 0, 2, 1}, .port = 5000};

static int grid_open(void **state)
{
	struct net *net = calloc(1, sizeof(*net));

	assert_non_null(net);
	net_open(net, 7);
	net_add(net, ROLE_COORDINATOR, NULL);
	for (int i = 0; i < 2; i++)
		net_add(net, ROLE_PEER, &net->nodes[0].id.key.public);
	*state = net;
	return 0;
}

static int grid_close(void **state)
{
	net_close(*state);
	free(*state);
	return 0;
}

static conn_id session_up(struct net *net, size_t from, const struct endpoint *remote)
{
	conn_id conn = net_dial_from(net, from, 0, NULL, remote);

	net_run(net);
	assert_int_equal(net_count(net, from, NODE_UP, conn), 1);
	assert_int_equal(net_count(net, 0, NODE_UP, conn + 1), 1);
	return conn;
}

static bool refused(const struct net *net, conn_id accepted)
{
	return net_count(net, 0, NODE_CLOSE, accepted) == 1;
}

static void flood_from_one_network_is_refused_unheard_and_others_get_in(void **state)
{
	struct net *net = *state;
	size_t in = 0;

	for (size_t i = 0; i < 500; i++) {
		struct endpoint from = crowd;
		conn_id conn;

		from.ip[3] = (uint8_t)i; /* of the same /24 */
		conn = net_dial_from(net, NET_NOBODY, 0, NULL, &from);
		in += !refused(net, conn + 1);
		/* not a byte, not a key for those who are refused */
		assert_int_equal(
			net_count(net, 0, NODE_WRITE, conn + 1), refused(net, conn + 1) ? 0 : 1);
	}
	assert_int_equal(in, ADMISSION_BURST);
	session_up(net, 1, &honest);
	session_up(net, 2, NULL);
	net_pass(net, NODE_TICK_MS);
	assert_non_null(strstr(net_last(net, 0, NODE_LOG, 0)->text,
		"436 connections were refused: too many from one network"));
	/* one sum a minute, however many come */
	for (size_t i = 0; i < 50; i++) {
		(void)net_dial_from(net, NET_NOBODY, 0, NULL, &crowd);
		net_pass(net, NODE_TICK_MS);
	}
	assert_true(net_count(net, 0, NODE_LOG, 0) <= 1 + ADMISSION_LINES + 50 / 4 + 1);
}

/* A slow crowd: each one says a byte a second, and comes again when it is closed. */
static void slowloris_from_one_network_gets_a_quarter_of_the_places(void **state)
{
	struct net *net = *state;
	conn_id open[2 * NODE_PREFIX_MAX] = {0};
	size_t peak = 0;

	for (unsigned second = 0; second < 60; second++) {
		size_t places = 0;

		for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
			if (open[i] == 0 || refused(net, open[i]))
				open[i] = net_dial_from(net, NET_NOBODY, 0, NULL, &crowd) + 1;
			else
				net_inject(net, open[i], &"talkoot\0\1"[second % 9], 1);
		}
		net_pass(net, NODE_TICK_MS);
		for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
			places += !refused(net, open[i]);
		peak = places > peak ? places : peak;
	}
	assert_in_range(peak, 1, NODE_PREFIX_MAX);
	session_up(net, 1, &honest);
}

static void crowd_of_one_prefix_makes_room_among_itself(void **state)
{
	struct net *net = *state;
	conn_id patient = net_dial_from(net, NET_NOBODY, 0, NULL, &honest) + 1;
	size_t closed = 0;
	conn_id first = 0;

	for (size_t i = 0; i < NODE_PREFIX_MAX + 20; i++) {
		conn_id conn;

		if (i % ADMISSION_PER_S == 0 && i >= ADMISSION_BURST)
			net->now_ms += 1000 / ADMISSION_PER_S * ADMISSION_PER_S;
		conn = net_dial_from(net, NET_NOBODY, 0, NULL, &crowd) + 1;
		first = first != 0 ? first : conn;
		assert_false(refused(net, conn));
	}
	for (conn_id conn = first; conn <= 2 * net->wire_count; conn += 2)
		closed += refused(net, conn);
	assert_int_equal(closed, 20);
	assert_true(refused(net, first)); /* the oldest of the crowd */
	assert_false(refused(net, patient));
}

static void full_house_makes_place_for_who_has_few(void **state)
{
	struct net *net = *state;
	conn_id guests[8], last = 0, conn;
	size_t places = NODE_CONNECTIONS_MAX - 8;

	for (size_t i = 0; i < places; i++)
		(void)net_dial(net, 0, NET_NOBODY, NULL);
	for (size_t i = 0; i < 8; i++)
		guests[i] = net_dial_from(net, NET_NOBODY, 0, NULL, i < 6 ? &crowd : &honest) + 1;
	assert_int_equal(net_count(net, 0, NODE_CLOSE, 0), 0);
	/* the crowd gets no more by coming again */
	last = net_dial_from(net, NET_NOBODY, 0, NULL, &crowd) + 1;
	assert_true(refused(net, last));
	/* whoever has fewer gets a place: the newest of the crowd goes */
	conn = session_up(net, 1, &honest);
	assert_true(refused(net, guests[5]));
	assert_false(refused(net, guests[4]) || refused(net, guests[6]) || refused(net, guests[7]));
	/* crowd 5, honest 3: one more makes them even, then nobody has two more than another */
	session_up(net, 2, &honest);
	assert_true(refused(net, guests[4]));
	assert_true(refused(net, net_dial_from(net, NET_NOBODY, 0, NULL, &honest) + 1));
	/* and from a third network one more gets in, at the cost of one of the two */
	{
		struct endpoint third = {.family = 4, .ip = {203, 0, 113, 1}, .port = 1};

		assert_false(refused(net, net_dial_from(net, NET_NOBODY, 0, NULL, &third) + 1));
	}
	assert_int_equal(net_count(net, 1, NODE_DOWN, conn), 0);
	net_pass(net, NODE_TICK_MS);
	assert_non_null(strstr(net_last(net, 0, NODE_LOG, 0)->text, "their network had most"));
}

static void dialler_learns_where_it_comes_from(void **state)
{
	struct net *net = *state;
	conn_id conn = session_up(net, 1, &honest);
	const struct node_effect *e = net_last(net, 1, NODE_OBSERVED, conn);
	conn_id other;

	assert_non_null(e);
	assert_true(endpoint_equal(&e->at, &honest));
	assert_int_equal(net_count(net, 1, NODE_OBSERVED, 0), 1);
	assert_int_equal(net_count(net, 0, NODE_OBSERVED, 0), 0);
	/* one that is not known is not told */
	other = session_up(net, 2, NULL);
	assert_int_equal(net_count(net, 2, NODE_OBSERVED, other), 0);
	assert_int_equal(net_count(net, 1, NODE_MESSAGE, 0), 0); /* it is the node's affair */
}

static void older_version_is_told_nothing_that_it_does_not_know(void **state)
{
	struct net *net = *state;

	net->nodes[1].id.features = 0;
	session_up(net, 1, &honest);
	assert_int_equal(net_count(net, 1, NODE_OBSERVED, 0), 0);
	assert_int_equal(net_count(net, 1, NODE_DOWN, 0), 0);
}

static void observed_is_refused_from_the_wrong_side_and_twice(void **state)
{
	struct message m = {.type = MESSAGE_OBSERVED, .observed = {.from = honest}};
	struct net *net = *state;
	conn_id conn = session_up(net, 1, &honest);
	conn_id other = session_up(net, 2, &honest);

	assert_int_equal(net_send(net, conn, &m), TK_OK); /* the dialler to the acceptor */
	assert_int_equal(net_send(net, other + 1, &m), TK_OK);
	net_run(net);
	assert_non_null(strstr(net_last(net, 0, NODE_DOWN, conn + 1)->text, "OBSERVED comes once"));
	assert_non_null(strstr(net_last(net, 2, NODE_DOWN, other)->text, "OBSERVED comes once"));
}

static void round_trip_is_measured_at_once_and_again(void **state)
{
	struct net *net = *state;
	conn_id conn = session_up(net, 1, &honest);

	assert_int_equal(node_rtt_ms(net->nodes[1].node, conn), 1);
	assert_int_equal(node_rtt_ms(net->nodes[0].node, conn + 1), 1);
	assert_int_equal(node_rtt_ms(net->nodes[0].node, conn + 77), 0);
	/* the wire slows down: three seconds each way, for as long as it takes to be the median */
	for (unsigned i = 0; i < 20 * PULSE_SAMPLES; i++) {
		net_wire_of(net, conn)->stalled = true;
		net_pass(net, 3 * NODE_TICK_MS);
		net_wire_of(net, conn)->stalled = false;
		net_run(net);
	}
	assert_int_equal(net_count(net, 1, NODE_DOWN, 0), 0);
	assert_in_range(node_rtt_ms(net->nodes[1].node, conn), 1, 3 * NODE_TICK_MS);
}

/* The same silence that ends a session which always answered at once is borne where answers are slow. */
static void slow_link_is_given_more_time_than_a_quick_one(void **state)
{
	struct net *net = *state;
	conn_id slow = session_up(net, 1, NULL);
	conn_id quick = session_up(net, 2, NULL);

	for (unsigned i = 0; i < 40; i++) {
		net_wire_of(net, slow)->stalled = true;
		net_pass(net, 12000);
		net_wire_of(net, slow)->stalled = false;
		net_run(net);
	}
	assert_int_equal(net_count(net, 0, NODE_DOWN, 0), 0);
	net_wire_of(net, slow)->dead = net_wire_of(net, quick)->dead = true;
	net_pass(net, PULSE_SILENCE_MIN_MS + PULSE_QUIET_MIN_MS);
	assert_int_equal(net_count(net, 0, NODE_DOWN, quick + 1), 1);
	assert_int_equal(net_count(net, 0, NODE_DOWN, slow + 1), 0);
	net_pass(net, PULSE_SILENCE_MAX_MS);
	assert_int_equal(net_count(net, 0, NODE_DOWN, slow + 1), 1);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, grid_open, grid_close)
	const struct CMUnitTest tests[] = {
		CLAIM(flood_from_one_network_is_refused_unheard_and_others_get_in),
		CLAIM(slowloris_from_one_network_gets_a_quarter_of_the_places),
		CLAIM(crowd_of_one_prefix_makes_room_among_itself),
		CLAIM(full_house_makes_place_for_who_has_few),
		CLAIM(dialler_learns_where_it_comes_from),
		CLAIM(older_version_is_told_nothing_that_it_does_not_know),
		CLAIM(observed_is_refused_from_the_wrong_side_and_twice),
		CLAIM(round_trip_is_measured_at_once_and_again),
		CLAIM(slow_link_is_given_more_time_than_a_quick_one),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
