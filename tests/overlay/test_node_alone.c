/* A node that meets nobody, as when the coordinator is away: it asks its shell for other addresses soon, takes whom
 * these lead to for a way in, and is quiet once it has neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "peer/overlay/node_overlay.h"
#include "tests/lib/net.h"

#define PEERS 6u
#define ROOT  0u
#define LATE  PEERS

/* All but the last have joined through the coordinator, which is gone now. */
static int open_bench(void **state)
{
	struct net *net = calloc(1, sizeof(*net));

	if (net == NULL || crypto_start() != TK_OK)
		return -1;
	net_open(net, 7);
	net_add(net, ROLE_COORDINATOR, NULL);
	for (size_t i = 1; i <= PEERS; i++)
		net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);
	for (size_t i = 0; i < LATE; i++) {
		net_gossip(net, i);
		net_advertise(net, i);
	}
	for (size_t i = 1; i < LATE; i++) {
		net_dial(net, i, ROOT, &net->nodes[ROOT].id.key.public);
		net_run(net);
	}
	net_pass(net, 20000);
	net_kill(net, ROOT);
	net_gossip(net, LATE);
	net_advertise(net, LATE);
	*state = net;
	return 0;
}

static int close_bench(void **state)
{
	net_close(*state);
	free(*state);
	return 0;
}

static size_t asked(const struct net *net, size_t node)
{
	return net_count(net, node, NODE_ISOLATED, 0);
}

static void node_that_meets_nobody_asks_for_other_addresses_within_seconds(void **state)
{
	struct net *net = *state;

	net_pass(net, 8000);
	assert_int_equal(asked(net, LATE), 0);
	net_pass(net, 5000);
	assert_int_equal(asked(net, LATE), 1);
	net_pass(net, 30000);
	assert_in_range(asked(net, LATE), 5, 8);
}

static void node_that_meets_nobody_for_long_asks_ever_more_rarely(void **state)
{
	struct net *net = *state;
	size_t before;

	net_pass(net, 600000);
	before = asked(net, LATE);
	net_pass(net, 600000);
	assert_in_range(asked(net, LATE) - before, 8, 16);
}

static void whom_another_address_leads_to_is_a_way_in(void **state)
{
	struct net *net = *state;
	size_t before;

	net_pass(net, 15000);
	net_dial(net, LATE, 3, NULL);
	net_pass(net, 15000);
	assert_in_range(node_neighbour_count(net->nodes[LATE].node), 2, PEERS);
	before = asked(net, LATE);
	net_pass(net, 30000);
	assert_int_equal(asked(net, LATE), before);
	for (size_t i = 1; i < LATE; i++)
		assert_int_equal(asked(net, i), 0);
}

/* Nobody that it dialled has answered, but somebody has dialled it. */
static void who_only_was_dialled_looks_around_too(void **state)
{
	struct net *net = *state;
	const struct gossip *g = net->nodes[LATE].node->overlay->core;

	net_pass(net, 3000);
	assert_true(gossip_wake_ms(g) != UINT64_MAX);
	net_pass(net, 100000);
	assert_true(gossip_counts(g)->isolated != 0);
}

static void coordinator_that_meets_nobody_asks_for_nothing(void **state)
{
	struct net *net = *state;
	size_t root = net_add(net, ROLE_COORDINATOR, NULL);

	net_gossip(net, root);
	net_pass(net, 200000);
	assert_int_equal(asked(net, root), 0);
}

static void good_peers_are_all_but_the_coordinator(void **state)
{
	struct net *net = *state;
	struct span records[16];
	size_t count = node_good_peers(net->nodes[2].node, records, 16);

	assert_in_range(count, 2, PEERS);
	for (size_t i = 0; i < count; i++) {
		struct record r;

		assert_int_equal(record_decode(&r, records[i], &net->nodes[ROOT].id.key.public,
					 RECORD_ANY_AGE, NULL),
			TK_OK);
		assert_false(key_equal(&r.key, &net->nodes[ROOT].id.key.public));
		assert_true(r.endpoint_count + r.relay_count > 0);
	}
}

/* Newcomers' first records name no place yet; a cache of these would lead nowhere after a restart. */
static void who_names_no_place_is_a_neighbour_and_not_kept_for_later(void **state)
{
	struct net *net = *state;
	struct span records[16];
	size_t count, newcomer;
	size_t neighbours = node_neighbour_count(net->nodes[2].node);

	newcomer = net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);
	net_gossip(net, newcomer);
	net_dial(net, newcomer, 2, &net->nodes[2].id.key.public);
	net_pass(net, 20000);
	assert_true(node_neighbour_count(net->nodes[newcomer].node) > 0);
	assert_true(node_neighbour_count(net->nodes[2].node) > neighbours);
	count = node_good_peers(net->nodes[2].node, records, 16);
	assert_true(count >= 2);
	for (size_t i = 0; i < count; i++) {
		struct record r;

		assert_int_equal(record_decode(&r, records[i], &net->nodes[ROOT].id.key.public,
					 RECORD_ANY_AGE, NULL),
			TK_OK);
		assert_false(key_equal(&r.key, &net->nodes[newcomer].id.key.public));
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_bench, close_bench)
	const struct CMUnitTest tests[] = {
		TEST(node_that_meets_nobody_asks_for_other_addresses_within_seconds),
		TEST(node_that_meets_nobody_for_long_asks_ever_more_rarely),
		TEST(whom_another_address_leads_to_is_a_way_in),
		TEST(who_only_was_dialled_looks_around_too),
		TEST(coordinator_that_meets_nobody_asks_for_nothing),
		TEST(good_peers_are_all_but_the_coordinator),
		TEST(who_names_no_place_is_a_neighbour_and_not_kept_for_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
