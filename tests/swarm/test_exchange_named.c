/* Sources that peers name to each other, and of what they name none; with whole exchanges, see exchange_net.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/swarm/exchange_net.h"

/* Two have a session with the coordinator. The others know one or two peers each, and it has no place for them. */
static void who_has_no_session_with_the_coordinator_gets_the_blob_from_peers(void **state)
{
	struct net *net = *state;
	bool led_on = false;

	begin(net, 2);
	begin_session(net, 2, 3);
	begin_session(net, 3, 4);
	begin_session(net, 4, 5);
	begin_session(net, 1, 6);
	for (uint32_t i = 3; i < NODES; i++) {
		now(&net->nodes[i]);
		exchange_want(net->nodes[i].x, &net->digest, &net->nodes[i].store, BLOB, BLOB,
			EXCHANGE_OPEN);
	}
	for (unsigned n = 0; n < 90; n++) {
		run(net, 10, 60);
		led_on = led_on || net->nodes[5].sessions[3] || net->nodes[5].sessions[2];
	}
	for (uint32_t i = 1; i < NODES; i++) {
		assert_whole(net, i);
		assert_int_equal(net->nodes[i].dropped, 0);
		assert_false(i > 2 && net->nodes[0].sessions[i]);
	}
	assert_true(led_on); /* by names from whom it knew to others */
}

/* As it is with shards: who holds the same may not find each other by asking. */
static void of_a_discreet_blob_peers_hear_nothing_from_each_other(void **state)
{
	struct net *net = *state;

	begin(net, 0);
	begin_session(net, 0, 1);
	now(&net->nodes[1]);
	exchange_want(
		net->nodes[1].x, &net->digest, &net->nodes[1].store, BLOB, BLOB, EXCHANGE_DISCREET);
	run(net, 200, 60);
	assert_whole(net, 1);
	begin_session(net, 1, 2);
	now(&net->nodes[2]);
	exchange_want(
		net->nodes[2].x, &net->digest, &net->nodes[2].store, BLOB, BLOB, EXCHANGE_OPEN);
	run(net, 200, 60);
	assert_int_equal(net->nodes[2].complete, 0);
	assert_true(net->nodes[2].missing != 0);
	begin_session(net, 0, 2); /* which names the other */
	run(net, 400, 60);
	assert_whole(net, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, net_open, net_close)
	const struct CMUnitTest tests[] = {
		TEST(who_has_no_session_with_the_coordinator_gets_the_blob_from_peers),
		TEST(of_a_discreet_blob_peers_hear_nothing_from_each_other),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("exchange named", tests, NULL, NULL);
}
