/* How the tree stays shallow where bodies are late, and what is told of bodies that were replaced: the gossip core,
 * message by message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/gossip_bench.h"

#define ROUNDS 2u

/* A public peer whose neighbours 3 and 5 it chose itself, and 7 and 9 came to it; 3 is its parent. */
static int open_bench(void **state)
{
	struct gossip_bench *b;

	bench_setup_wired(state);
	b = *state;
	bench_say(b, 3, MESSAGE_BROADCAST, bench_body(b, 100, ROUNDS, 1), false, 2);
	bench_wait(b, 2000);
	return 0;
}

static void hear(struct gossip_bench *b, peer_ref from, body_ref body, uint8_t hops)
{
	bench_say(b, from, MESSAGE_BROADCAST, body, false, hops);
}

static void link_that_its_other_end_takes_for_lazy_is_lazy_but_to_the_parent(void **state)
{
	struct gossip_bench *b = *state;

	assert_true(gossip_is_eager(b->g, 7));
	bench_one(b, 7, MESSAGE_IHAVE, 100, 0, 3);
	assert_false(gossip_is_eager(b->g, 7));
	bench_one(b, 3, MESSAGE_IHAVE, 100, 0, 1);
	assert_true(gossip_is_eager(b->g, 3));
	hear(b, 3, bench_body(b, 101, ROUNDS, 2), 2);
	assert_null(bench_sent(b, 7, MESSAGE_BROADCAST, 0));
	assert_non_null(bench_sent(b, 9, MESSAGE_BROADCAST, 0));
}

static void parent_that_is_late_is_told_of_a_body_and_not_sent_it(void **state)
{
	struct gossip_bench *b = *state;

	hear(b, 9, bench_body(b, 101, ROUNDS, 2), 8);
	assert_null(bench_sent(b, 3, MESSAGE_BROADCAST, 0));
	assert_non_null(bench_sent(b, 7, MESSAGE_BROADCAST, 0));
	bench_wait(b, 1000);
	assert_int_equal(bench_sent(b, 3, MESSAGE_IHAVE, 0)->refs[0], 101);
}

static void parent_whose_copy_came_late_but_by_a_much_shorter_way_stays_the_parent(void **state)
{
	struct gossip_bench *b = *state;

	hear(b, 9, bench_body(b, 101, ROUNDS, 2), 8);
	bench_one(b, 3, MESSAGE_GRAFT, 0, 0, 0);
	hear(b, 3, 101, 2);
	assert_null(bench_sent(b, 3, MESSAGE_PRUNE, 0));
	assert_int_equal(bench_sent(b, 9, MESSAGE_PRUNE, 0)->about, 101);
	assert_true(gossip_is_eager(b->g, 3));
	assert_false(gossip_is_eager(b->g, 9));
	assert_int_equal(gossip_counts(b->g)->swaps, 1);
}

/* Ten bodies, one a second, of which 109 is the newest. */
static void speak_often(struct gossip_bench *b)
{
	for (body_ref body = 101; body <= 110; body++) {
		bench_wait(b, 1000);
		hear(b, 3, bench_body(b, body, ROUNDS, body - 99), 2);
	}
	bench_wait(b, 2000);
}

static void who_is_behind_hears_of_what_was_just_replaced_and_a_newcomer_does_not(void **state)
{
	struct gossip_bench *b = *state;
	const struct gossip_message *m;

	speak_often(b);
	bench_befriend(b, 11);
	bench_one(b, 11, MESSAGE_HEADS, ROUNDS, 8, 0); /* it has all up to 107 */
	assert_int_equal(bench_sent(b, 11, MESSAGE_HEADS, 0)->sequences[0], 11);
	m = bench_sent(b, 11, MESSAGE_IHAVE, 0);
	assert_int_equal(m->count, 2);
	assert_int_equal(m->refs[0], 109);
	assert_int_equal(m->refs[1], 108);
	bench_one(b, 11, MESSAGE_GRAFT, 108, 0, 0);
	assert_int_equal(bench_sent(b, 11, MESSAGE_BROADCAST, 0)->about, 108);
	bench_befriend(b, 13);
	bench_one(b, 13, MESSAGE_HEADS, 0, 0, 0);
	assert_null(bench_sent(b, 13, MESSAGE_IHAVE, 0));
	bench_one(b, 13, MESSAGE_HEADS, ROUNDS, 1, 0); /* far behind: eight are enough */
	assert_int_equal(bench_sent(b, 13, MESSAGE_IHAVE, 0)->count, 8);
	assert_int_equal(bench_count(b, MESSAGE_IHAVE), 1);
}

static void what_was_replaced_long_ago_is_not_told(void **state)
{
	struct gossip_bench *b = *state;

	speak_often(b);
	b->now_ms += 29000;
	bench_befriend(b, 11);
	bench_one(b, 11, MESSAGE_HEADS, ROUNDS, 8, 0);
	assert_null(bench_sent(b, 11, MESSAGE_IHAVE, 0));
	assert_non_null(bench_sent(b, 11, MESSAGE_HEADS, 0));
}

static void pulled_body_that_was_replaced_meanwhile_is_told_by_its_id(void **state)
{
	struct gossip_bench *b = *state;

	bench_body(b, 101, ROUNDS, 2);
	bench_one(b, 7, MESSAGE_HEADS, ROUNDS, 2, 0);
	bench_wait(b, 1000);
	hear(b, 7, 101, 0); /* pulled */
	bench_wait(b, 500);
	hear(b, 3, bench_body(b, 102, ROUNDS, 3), 2);
	bench_wait(b, 1000);
	assert_int_equal(bench_sent(b, 9, MESSAGE_IHAVE, 0)->refs[0], 101);
	assert_int_equal(bench_sent(b, 5, MESSAGE_IHAVE, 0)->refs[0], 101);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, open_bench, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(link_that_its_other_end_takes_for_lazy_is_lazy_but_to_the_parent),
		CLAIM(parent_that_is_late_is_told_of_a_body_and_not_sent_it),
		CLAIM(parent_whose_copy_came_late_but_by_a_much_shorter_way_stays_the_parent),
		CLAIM(who_is_behind_hears_of_what_was_just_replaced_and_a_newcomer_does_not),
		CLAIM(what_was_replaced_long_ago_is_not_told),
		CLAIM(pulled_body_that_was_replaced_meanwhile_is_told_by_its_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
