/* Neighbours that let real beacons through late: the gossip core, message by message, with a host of the link that
 * knows better. See peer/overlay/gossip_lag.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/gossip_bench.h"

#define BEACON	1u
#define HOST	21u
#define LATE_S	400u
#define FIRST_S 5000u

/* The beacon of a moment, FIRST_S being the first: its number, issued then. */
static body_ref beacon(struct gossip_bench *b, uint32_t second)
{
	body_ref body = bench_body(b, 100 + second / 10, BEACON, FIRST_S + second);

	b->bodies[body].issued_s = FIRST_S + second;
	return body;
}

/* A beacon each half minute, until this second, all of them late: in order, so that none is missed. */
static void hear_late_beacons(struct gossip_bench *b, uint32_t until)
{
	for (uint32_t second = 0; second <= until; second += 30) {
		bench_say(b, 3, MESSAGE_BROADCAST, beacon(b, second), false, 2);
		bench_wait(b, second < until ? 30000 : 1000);
	}
}

static void ask(struct gossip_bench *b)
{
	struct gossip_event e = {.type = GOSSIP_ASK, .peer = HOST};

	bench_event(b, &e);
}

/* The host answers with a beacon of this second, and is asked for it at once. */
static void host_shows(struct gossip_bench *b, uint32_t second)
{
	body_ref body = beacon(b, second);

	bench_one(b, HOST, MESSAGE_HEADS, BEACON, FIRST_S + second, 0);
	assert_non_null(bench_sent(b, HOST, MESSAGE_PULL, 0));
	bench_say(b, HOST, MESSAGE_BROADCAST, body, false, 0);
	assert_int_equal(gossip_beacon(b->g), body);
}

static void neighbours_that_replay_are_found_out_and_sent_away(void **state)
{
	struct gossip_bench *b = *state;

	hear_late_beacons(b, 300);
	assert_int_equal(gossip_counts(b->g)->isolated, 0); /* nothing seems to be missing */
	ask(b);
	assert_int_equal(bench_sent(b, HOST, MESSAGE_HEADS, 0)->count, 0);
	host_shows(b, 300 + LATE_S);
	assert_int_equal(bench_effect(b, GOSSIP_LAGGING, HOST, 0)->message.sequences[0], LATE_S);
	assert_non_null(bench_effect(b, GOSSIP_ISOLATED, 0, 0));
	bench_wait(b, 2000); /* the new one is told to all */
	assert_int_equal(bench_sent(b, 5, MESSAGE_HEADS, 0)->sequences[0], FIRST_S + 300 + LATE_S);
	bench_say(b, 3, MESSAGE_BROADCAST, beacon(b, 330), false, 2);
	assert_non_null(bench_effect(b, GOSSIP_ACCUSE, 3, 0)); /* it goes on with old ones */
	bench_say(b, 5, MESSAGE_PULL, BEACON, false, 0);       /* it was misled, too */
	bench_wait(b, 26000);
	bench_say(b, 9, MESSAGE_BROADCAST, beacon(b, 330 + LATE_S), false, 2);
	bench_wait(b, 60000);
	assert_false(bench_is_active(b, 3));
	assert_true(bench_is_active(b, 5));
	assert_false(bench_is_active(b, 7));
	assert_true(bench_is_active(b, 9));
}

static void whose_beacons_come_in_time_is_no_suspect(void **state)
{
	struct gossip_bench *b = *state;

	hear_late_beacons(b, 300);
	ask(b);
	bench_one(b, HOST, MESSAGE_HEADS, BEACON, FIRST_S + 330, 0);
	bench_say(b, HOST, MESSAGE_BROADCAST, beacon(b, 330), false, 0);
	assert_int_equal(gossip_counts(b->g)->lagging, 0);
	bench_wait(b, 20000);
	for (peer_ref p = 3; p <= 9; p += 2)
		assert_true(bench_is_active(b, p));
}

/* Heads are not signed: a stolen serving key must not be enough to make a node part with its neighbours. */
static void what_a_host_claims_and_does_not_show_changes_nothing(void **state)
{
	struct gossip_bench *b = *state;

	hear_late_beacons(b, 300);
	ask(b);
	bench_one(b, HOST, MESSAGE_HEADS, BEACON, FIRST_S + 100000, 0);
	assert_non_null(bench_sent(b, HOST, MESSAGE_PULL, 0));
	bench_say(b, HOST, MESSAGE_BROADCAST, beacon(b, 270), false, 0); /* one that we had */
	assert_int_equal(gossip_counts(b->g)->lagging, 0);
	bench_wait(b, 25000);
	for (peer_ref p = 3; p <= 9; p += 2)
		assert_true(bench_is_active(b, p));
}

static void who_was_not_asked_makes_nobody_a_suspect(void **state)
{
	struct gossip_bench *b = *state;

	hear_late_beacons(b, 300);
	bench_one(b, HOST, MESSAGE_HEADS, BEACON, FIRST_S + 300 + LATE_S, 0);
	bench_say(b, HOST, MESSAGE_BROADCAST, beacon(b, 300 + LATE_S), false, 0);
	assert_int_equal(gossip_counts(b->g)->lagging, 0);
	ask(b);
	bench_wait(b, 21000); /* its answer is late */
	bench_one(b, HOST, MESSAGE_HEADS, BEACON, FIRST_S + 600 + LATE_S, 0);
	assert_int_equal(gossip_counts(b->g)->lagging, 0);
}

/* The watch is for these: nobody has let anything through, old or new. */
static void beacons_that_are_overdue_anyhow_make_nobody_a_suspect(void **state)
{
	struct gossip_bench *b = *state;

	hear_late_beacons(b, 300);
	bench_wait(b, 65000);
	ask(b);
	host_shows(b, 300 + LATE_S);
	assert_int_equal(gossip_counts(b->g)->lagging, 0);
}

static void whoever_has_heard_no_beacon_has_nothing_to_compare(void **state)
{
	struct gossip_bench *b = *state;

	ask(b);
	assert_null(bench_sent(b, HOST, MESSAGE_HEADS, 0));
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, bench_setup_wired, bench_teardown)
	const struct CMUnitTest tests[] = {
		CLAIM(neighbours_that_replay_are_found_out_and_sent_away),
		CLAIM(whose_beacons_come_in_time_is_no_suspect),
		CLAIM(what_a_host_claims_and_does_not_show_changes_nothing),
		CLAIM(who_was_not_asked_makes_nobody_a_suspect),
		CLAIM(beacons_that_are_overdue_anyhow_make_nobody_a_suspect),
		CLAIM(whoever_has_heard_no_beacon_has_nothing_to_compare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
