/* What a node of the gossip core knows of others, message by message: the passive view, shuffles, farewells, records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/gossip_bench.h"

static void lost_neighbour_stays_in_mind_and_another_is_dialled(void **state)
{
	struct gossip_bench *b = *state;

	bench_start(b, 0);
	bench_befriend(b, 5);
	bench_say(b, 5, MESSAGE_FORWARD_JOIN, 7, false, 0);
	bench_failed(b, 7);
	bench_say(b, 5, MESSAGE_FORWARD_JOIN, 9, false, 0);
	bench_up(b, 9);
	bench_say(b, 9, MESSAGE_NEIGHBOR_REPLY, 0, true, 0);
	bench_down(b, 9);
	assert_false(bench_is_active(b, 9));
	assert_true(bench_is_passive(b, 9));
	bench_wait(b, 8000);
	assert_non_null(bench_effect(b, GOSSIP_DIAL, 7, 0));
	assert_non_null(bench_effect(b, GOSSIP_DIAL, 9, 0));
}

static void shuffle_walks_on_and_its_reply_comes_back_the_same_way(void **state)
{
	struct gossip_bench *b = *state;
	struct gossip_message m = {
		.type = MESSAGE_SHUFFLE, .about = 21, .ttl = 4, .count = 2, .refs = {23, 25}};
	struct gossip_message reply = {.type = MESSAGE_SHUFFLE_REPLY, .count = 1, .refs = {27}};

	bench_befriend(b, 3);
	bench_befriend(b, 5);
	bench_message(b, 3, &m);
	assert_int_equal(bench_sent(b, 5, MESSAGE_SHUFFLE, 0)->ttl, 3);
	assert_int_equal(bench_sent(b, 5, MESSAGE_SHUFFLE, 0)->about, 21);
	assert_false(bench_is_passive(b, 23)); /* it was not for us */
	bench_message(b, 5, &reply);
	assert_int_equal(bench_sent(b, 3, MESSAGE_SHUFFLE_REPLY, 0)->refs[0], 27);
	bench_message(b, 5, &reply); /* once */
	assert_null(bench_sent(b, 3, MESSAGE_SHUFFLE_REPLY, 0));
	assert_false(bench_is_passive(b, 27));
}

static void shuffle_ends_with_records_for_records(void **state)
{
	struct gossip_bench *b = *state;
	struct gossip_message m = {
		.type = MESSAGE_SHUFFLE, .about = 21, .ttl = 0, .count = 2, .refs = {23, 25}};

	bench_befriend(b, 3);
	bench_befriend(b, 5);
	bench_message(b, 3, &m);
	assert_non_null(bench_sent(b, 3, MESSAGE_SHUFFLE_REPLY, 0));
	for (peer_ref p = 21; p <= 25; p += 2)
		assert_true(bench_is_passive(b, p) || bench_effect(b, GOSSIP_DIAL, p, 0) != NULL);
}

static void neighbour_cannot_fill_the_passive_view(void **state)
{
	struct gossip_bench *b = *state;
	unsigned known = 0;
	peer_ref list[100];
	struct gossip_event e = {.type = GOSSIP_START, .refs = list, .count = 100};

	for (uint32_t i = 0; i < 100; i++)
		list[i] = 20 + i;
	bench_choose(b, 3);
	bench_choose(b, 5);
	bench_choose(b, 7);
	bench_event(b, &e);
	for (peer_ref p = 130; p < 250; p++)
		bench_say(b, 3, MESSAGE_FORWARD_JOIN, p, false, 0);
	for (peer_ref p = 130; p < 250; p++)
		known += bench_is_passive(b, p);
	assert_true(known <= 8);
}

static void whoever_leaves_says_so(void **state)
{
	struct gossip_bench *b = *state;
	struct gossip_event e = {.type = GOSSIP_LEAVE};
	peer_ref active[GOSSIP_ACTIVE_MAX];

	bench_choose(b, 3);
	bench_befriend(b, 5);
	bench_event(b, &e);
	assert_int_equal(bench_count(b, MESSAGE_DISCONNECT), 2);
	assert_true(bench_sent(b, 5, MESSAGE_DISCONNECT, 0)->flag);
	assert_non_null(bench_effect(b, GOSSIP_RELEASE, 3, 0));
	assert_int_equal(gossip_active(b->g, active), 0);
	assert_true(gossip_wake_ms(b->g) == UINT64_MAX);
	bench_say(b, 7, MESSAGE_JOIN, 7, false, 0);
	assert_false(bench_sent(b, 7, MESSAGE_NEIGHBOR_REPLY, 0)->flag);
}

static void expired_record_is_never_dialled(void **state)
{
	struct gossip_bench *b = *state;

	bench_start(b, 0);
	bench_befriend(b, 5);
	b->peers[7].expiry_s = 999;
	b->peers[9].expiry_s = 0;
	bench_say(b, 5, MESSAGE_FORWARD_JOIN, 7, false, 0);
	bench_say(b, 5, MESSAGE_FORWARD_JOIN, 9, false, 0);
	assert_false(bench_is_passive(b, 7));
	assert_false(bench_is_passive(b, 9));
	bench_wait(b, 5000);
	assert_null(bench_effect(b, GOSSIP_DIAL, 0, 0));
}

static void nated_peer_takes_one_public_neighbour_that_comes_to_it(void **state)
{
	struct gossip_bench *b = *state;

	bench_befriend(b, 3);
	bench_say(b, 5, MESSAGE_NEIGHBOR, 5, true, 0);
	assert_false(bench_is_active(b, 5));
	bench_befriend(b, 4);
}

static void new_quota_holds_from_then_on(void **state)
{
	struct gossip_bench *b = *state;
	struct gossip_config config;

	gossip_config_default(&config, 99, true);
	bench_start(b, 0);
	for (peer_ref p = 4; p <= 10; p += 2)
		bench_befriend(b, p);
	bench_say(b, 12, MESSAGE_NEIGHBOR, 12, false, 0);
	assert_false(bench_is_active(b, 12)); /* NATed: four who came */
	gossip_reconfigure(b->g, &config);
	bench_befriend(b, 9);
	assert_true(gossip_knows(b->g, 1)); /* self is as before */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define PUBLIC(name) cmocka_unit_test_setup_teardown(name, bench_setup_public, bench_teardown)
#define NATED(name)  cmocka_unit_test_setup_teardown(name, bench_setup_nated, bench_teardown)
		PUBLIC(lost_neighbour_stays_in_mind_and_another_is_dialled),
		PUBLIC(shuffle_walks_on_and_its_reply_comes_back_the_same_way),
		PUBLIC(shuffle_ends_with_records_for_records),
		PUBLIC(neighbour_cannot_fill_the_passive_view),
		PUBLIC(whoever_leaves_says_so),
		PUBLIC(expired_record_is_never_dialled),
		NATED(nated_peer_takes_one_public_neighbour_that_comes_to_it),
		NATED(new_quota_holds_from_then_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
