/* A full house: who keeps a place, who makes place, and how soon somebody new gets in, when every session comes
 * from a network of its own. Whole nodes under virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/lib/net.h"

#define GUESTS 24u /* nodes 1 … GUESTS; node 0 is the house */

static int house_open(void **state)
{
	struct net *net = calloc(1, sizeof(*net));

	assert_non_null(net);
	net_open(net, 11);
	net_add(net, ROLE_COORDINATOR, NULL);
	for (unsigned i = 0; i < GUESTS; i++)
		net_add(net, ROLE_PEER, &net->nodes[0].id.key.public);
	net->now_ms = 1000;
	*state = net;
	return 0;
}

static int house_close(void **state)
{
	net_close(*state);
	free(*state);
	return 0;
}

/* 0 … n - 1, by splitmix64. */
static unsigned chance(uint64_t *random, unsigned n)
{
	uint64_t z = *random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (unsigned)((z ^ (z >> 31)) % n);
}

/* No two have a prefix in common. */
static struct endpoint place_of(unsigned i)
{
	return (struct endpoint){.family = 4,
		.ip = {93, (uint8_t)(i >> 8), (uint8_t)i, 1},
		.port = (uint16_t)(5000 + i)};
}

/* The house's end of a try of guest i. */
static conn_id come(struct net *net, unsigned i)
{
	struct endpoint from = place_of(i);
	conn_id conn = net_dial_from(net, i <= GUESTS ? i : NET_NOBODY, 0, NULL, &from);

	net_run(net);
	return conn + 1;
}

static bool is_in(const struct net *net, conn_id conn)
{
	return net_count(net, 0, NODE_UP, conn) == 1 && net_count(net, 0, NODE_CLOSE, conn) == 0;
}

static bool is_refused(const struct net *net, conn_id conn)
{
	return net_count(net, 0, NODE_UP, conn) == 0 && net_count(net, 0, NODE_CLOSE, conn) == 1;
}

/* Guests 1 … count are in, and no more fit. */
static void fill(struct net *net, conn_id *conns, unsigned count)
{
	node_limit_connections(net->nodes[0].node, count);
	for (unsigned i = 1; i <= count; i++) {
		conns[i] = come(net, i);
		assert_true(is_in(net, conns[i]));
	}
}

static void newcomer_gets_in_within_ten_seconds_of_a_house_full_of_idlers(void **state)
{
	struct net *net = *state;
	conn_id in[GUESTS + 1], last;
	unsigned tries = 0;

	fill(net, in, 16);
	node_value(net->nodes[0].node, in[3], NODE_WORTH_LATER);
	node_value(net->nodes[0].node, in[4], NODE_WORTH_NOW);
	do {
		last = come(net, 17);
		tries++;
		net_pass(net, NODE_TICK_MS);
	} while (!is_in(net, last) && tries < 60);
	assert_true(is_in(net, last));
	assert_in_range(tries, 2, NODE_PLACE_MS / NODE_TICK_MS + 1);
	/* who came first went first, and was told; who is of worth stayed */
	assert_int_equal(net_last(net, 0, NODE_DOWN, in[1])->released, true);
	assert_int_equal(net_last(net, 1, NODE_DOWN, 0)->reason, GOODBYE_OVERLOAD);
	for (unsigned i = 2; i <= 16; i++)
		assert_true(is_in(net, in[i]));
}

/* Talk that costs nothing keeps no place. */
static void idler_that_asks_and_asks_is_as_idle_as_one_that_is_silent(void **state)
{
	struct message ask = {.type = MESSAGE_WORK_REQUEST, .work_request = {.slots = 1}};
	struct message ping = {.type = MESSAGE_PING};
	struct message part = {.type = MESSAGE_ABANDON};
	struct net *net = *state;
	conn_id in[GUESTS + 1];

	fill(net, in, 8);
	for (unsigned i = 0; i < 2 * NODE_PLACE_MS / NODE_TICK_MS; i++) {
		assert_int_equal(net_send(net, in[1] - 1, &ask), TK_OK);
		assert_int_equal(net_send(net, in[1] - 1, &ping), TK_OK);
		assert_int_equal(net_send(net, in[1] - 1, &part), TK_OK);
		net_pass(net, NODE_TICK_MS);
	}
	assert_true(is_in(net, come(net, 9)));
	assert_false(is_in(net, in[1]));
}

static void session_of_worth_that_works_outlasts_one_that_is_silent(void **state)
{
	struct message commit = {.type = MESSAGE_COMMIT};
	struct net *net = *state;
	conn_id in[GUESTS + 1];

	fill(net, in, 4);
	for (unsigned i = 1; i <= 4; i++)
		node_value(net->nodes[0].node, in[i], NODE_WORTH_LATER);
	net_pass(net, NODE_PLACE_MS);
	assert_int_equal(net_send(net, in[1] - 1, &commit), TK_OK);
	net_run(net);
	assert_true(is_in(net, come(net, 5)));
	assert_true(is_in(net, in[1]));
	assert_false(is_in(net, in[2]));
	/* nobody makes place before his ten seconds, not even for who asks a hundred times */
	for (unsigned i = 0; i < 100; i++)
		assert_true(is_refused(net, come(net, 6)));
}

/* Who always works has a turn, and comes again. */
static void those_who_always_work_take_turns(void **state)
{
	struct message commit = {.type = MESSAGE_COMMIT};
	struct net *net = *state;
	conn_id in[GUESTS + 1] = {0};
	unsigned visits[GUESTS + 1] = {0}, longest = 0, there[GUESTS + 1] = {0};
	uint64_t random = 1;

	node_limit_connections(net->nodes[0].node, 4);
	for (unsigned second = 0; second < 900; second++) {
		for (unsigned i = 1; i <= 12; i++) {
			if (in[i] != 0 && is_in(net, in[i])) {
				assert_int_equal(net_send(net, in[i] - 1, &commit), TK_OK);
				node_value(net->nodes[0].node, in[i],
					chance(&random, 2) != 0 ? NODE_WORTH_NOW
								: NODE_WORTH_LATER);
				longest = ++there[i] > longest ? there[i] : longest;
			} else if (chance(&random, 5) == 0) {
				in[i] = come(net, i);
				visits[i] += is_in(net, in[i]);
				there[i] = 0;
			}
		}
		net_pass(net, NODE_TICK_MS);
	}
	for (unsigned i = 1; i <= 12; i++)
		assert_in_range(visits[i], 2, 15);
	assert_in_range(longest, NODE_TURN_MS / 1000, 3 * NODE_TURN_MS / 1000);
}

/* An eighth of the places turn over among strangers, and that is all. */
static void flood_of_strangers_ends_no_session_of_worth(void **state)
{
	struct net *net = *state;
	conn_id in[GUESTS + 1];
	unsigned strangers = 0, ended = 0;

	fill(net, in, 16);
	for (unsigned i = 1; i <= 16; i++)
		node_value(
			net->nodes[0].node, in[i], i % 2 == 0 ? NODE_WORTH_NOW : NODE_WORTH_LATER);
	for (unsigned second = 0; second < 120; second++) {
		for (unsigned i = 0; i < 5; i++) { /* they begin a handshake, and no more */
			conn_id conn = come(net, 1000 + second * 5 + i);

			strangers += net_count(net, 0, NODE_CLOSE, conn) == 0;
		}
		strangers += is_in(net, come(net, 17 + second % (GUESTS - 16)));
		net_pass(net, NODE_TICK_MS);
	}
	for (unsigned i = 1; i <= 16; i++)
		ended += !is_in(net, in[i]);
	assert_true(strangers > 20);
	/* 16 / NODE_PLACES_NEW made place in the beginning, the silent ones that can come back */
	assert_int_equal(ended, 16 / NODE_PLACES_NEW);
	assert_false(is_in(net, in[1]) || is_in(net, in[3]));
}

/* All who work come from one /24, as at a university: strangers who each come from elsewhere get their eighth there, too. */
static void flood_of_strangers_ends_no_work_of_those_who_share_a_network(void **state)
{
	struct net *net = *state;
	struct message commit = {.type = MESSAGE_COMMIT};
	conn_id in[17];
	unsigned ended = 0;

	node_limit_connections(net->nodes[0].node, 16);
	for (unsigned i = 1; i <= 16; i++) {
		struct endpoint from = {.family = 4, .ip = {81, 0, 0, (uint8_t)i}, .port = 5000};

		in[i] = net_dial_from(net, i, 0, NULL, &from) + 1;
		net_run(net);
		assert_true(is_in(net, in[i]));
		node_value(net->nodes[0].node, in[i], NODE_WORTH_NOW);
		assert_int_equal(net_send(net, in[i] - 1, &commit), TK_OK);
	}
	net_run(net);
	for (unsigned i = 0; i < 40; i++)
		(void)come(net, 1000 + i);
	for (unsigned i = 1; i <= 16; i++)
		assert_true(is_in(net, in[i])); /* no time has passed */
	for (unsigned second = 0; second < 60; second++) {
		for (unsigned i = 0; i < 5; i++)
			(void)come(net, 2000 + second * 5 + i);
		net_pass(net, NODE_TICK_MS);
	}
	for (unsigned i = 1; i <= 16; i++)
		ended += !is_in(net, in[i]);
	assert_int_equal(ended, 16 / NODE_PLACES_NEW);
}

static void worth_that_is_over_makes_place_after_ten_more_seconds(void **state)
{
	struct net *net = *state;
	conn_id in[GUESTS + 1];

	fill(net, in, 2);
	node_value(net->nodes[0].node, in[1], NODE_WORTH_NOW);
	node_rely(net->nodes[0].node, in[2]);
	for (unsigned i = 0; i < 5; i++) {
		net_pass(net, NODE_PLACE_MS / 2);
		node_rely(net->nodes[0].node, in[2]);
	}
	node_value(net->nodes[0].node, in[1], NODE_WORTH_NONE);
	assert_true(is_refused(net, come(net, 3)));
	net_pass(net, NODE_PLACE_MS);
	node_rely(net->nodes[0].node, in[2]);
	assert_true(is_in(net, come(net, 3)));
	assert_true(is_in(net, in[2]));
	assert_false(is_in(net, in[1]));
}

/* Whoever fills our places keeps us from nobody whom we want to reach. */
static void dial_of_our_own_gets_a_place_too(void **state)
{
	struct net *net = *state;
	conn_id in[GUESTS + 1], out;

	fill(net, in, 4);
	net_pass(net, NODE_PLACE_MS);
	out = net_dial(net, 0, 9, NULL);
	net_run(net);
	assert_int_equal(net_count(net, 0, NODE_UP, out), 1);
	assert_false(is_in(net, in[1]));
	/* and keeps it, as no stranger took it */
	net_pass(net, 2 * NODE_PLACE_MS);
	for (unsigned i = 5; i <= 8; i++)
		(void)come(net, i);
	assert_int_equal(net_count(net, 0, NODE_CLOSE, out), 0);
}

/* Four times as many as there are places, who come again whenever they are sent away. */
static void everybody_gets_in_where_there_are_four_for_each_place(void **state)
{
	struct net *net = *state;
	conn_id in[GUESTS + 1] = {0};
	unsigned visits[GUESTS + 1] = {0};
	uint64_t random = 1;

	node_limit_connections(net->nodes[0].node, GUESTS / 4);
	for (unsigned second = 0; second < 300; second++) {
		for (unsigned k = 1; k <= GUESTS; k++) {
			unsigned i = 1 + (k * 7 + second) % GUESTS;

			if ((in[i] != 0 && is_in(net, in[i])) || chance(&random, 5) != 0)
				continue;
			in[i] = come(net, i);
			visits[i] += is_in(net, in[i]);
		}
		net_pass(net, NODE_TICK_MS);
	}
	for (unsigned i = 1; i <= GUESTS; i++)
		assert_in_range(visits[i], 2, 300 * 1000 / NODE_PLACE_MS);
}

static void neighbours_keep_their_places(void **state)
{
	struct net *net = *state;
	conn_id in[GUESTS + 1];

	for (size_t i = 0; i <= 4; i++)
		net_gossip(net, i);
	fill(net, in, 12);
	net_pass(net, NODE_PLACE_MS + 2 * NODE_TICK_MS);
	assert_int_equal(node_neighbour_count(net->nodes[0].node), 4);
	for (unsigned i = 13; i <= 20; i++)
		assert_true(is_in(net, come(net, i)));
	for (unsigned i = 1; i <= 12; i++)
		assert_int_equal(is_in(net, in[i]), i <= 4);
}

/* A newcomer that is sent away as soon as anybody may be has learnt where the others are, and hears the news. */
static void ten_seconds_are_enough_to_be_in_the_overlay(void **state)
{
	struct net *net = *state;
	conn_id in[GUESTS + 1], late;

	for (size_t i = 0; i <= 9; i++)
		net_gossip(net, i);
	for (size_t i = 1; i <= 9; i++)
		net_advertise(net, i);
	fill(net, in, 8);
	net_pass(net, 60000);
	node_limit_connections(net->nodes[0].node, NODE_CONNECTIONS_MAX);
	late = come(net, 9);
	assert_true(is_in(net, late));
	net_pass(net, NODE_PLACE_MS);
	assert_int_equal(net_drop(net, late, GOODBYE_OVERLOAD, "all places are taken"), TK_OK);
	net_run(net);
	assert_int_equal(net_count(net, 9, NODE_DOWN, late - 1), 1);
	assert_in_range(node_neighbour_count(net->nodes[9].node), 1, 8);
	for (int i = 0; i < 60; i++) { /* and stays there without the coordinator */
		net_pass(net, NODE_TICK_MS);
		assert_in_range(node_neighbour_count(net->nodes[9].node), 1, 8);
	}
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, house_open, house_close)
	const struct CMUnitTest tests[] = {
		CLAIM(newcomer_gets_in_within_ten_seconds_of_a_house_full_of_idlers),
		CLAIM(idler_that_asks_and_asks_is_as_idle_as_one_that_is_silent),
		CLAIM(session_of_worth_that_works_outlasts_one_that_is_silent),
		CLAIM(those_who_always_work_take_turns),
		CLAIM(flood_of_strangers_ends_no_session_of_worth),
		CLAIM(flood_of_strangers_ends_no_work_of_those_who_share_a_network),
		CLAIM(worth_that_is_over_makes_place_after_ten_more_seconds),
		CLAIM(dial_of_our_own_gets_a_place_too),
		CLAIM(everybody_gets_in_where_there_are_four_for_each_place),
		CLAIM(neighbours_keep_their_places),
		CLAIM(ten_seconds_are_enough_to_be_in_the_overlay),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
