/* Many who come through a few hosts: what a newcomer does that is refused, and what hosts say. The gossip core,
 * message by message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/gossip_bench.h"

static void start_with_eight_hosts(struct gossip_bench *b)
{
	const peer_ref hosts[8] = {3, 5, 7, 9, 11, 13, 15, 17};
	struct gossip_event e = {.type = GOSSIP_START, .refs = hosts, .count = 8};

	bench_event(b, &e);
}

/* The first two hosts that were dialled name nobody or eight others, and have no room. Gives their number. */
static unsigned refuse(struct gossip_bench *b, const struct gossip_message *records)
{
	unsigned hosts = 0;

	for (peer_ref host = 3; host <= 17; host += 2) {
		struct gossip_message no = {.type = MESSAGE_NEIGHBOR_REPLY};

		bench_up(b, host);
		if (bench_sent(b, host, MESSAGE_JOIN, 0) == NULL)
			continue;
		hosts++;
		if (records != NULL)
			bench_message(b, host, records);
		bench_message(b, host, &no);
		assert_non_null(bench_effect(b, GOSSIP_RELEASE, host, 0));
	}
	return hosts;
}

static void refused_newcomer_dials_whom_it_was_told_of_and_no_more_hosts(void **state)
{
	const struct gossip_message records = {.type = MESSAGE_SHUFFLE_REPLY,
		.count = 8,
		.refs = {101, 103, 105, 107, 109, 111, 113, 115}};
	struct gossip_bench *b = *state;
	unsigned told = 0;

	start_with_eight_hosts(b);
	assert_int_equal(refuse(b, &records), 2);
	for (peer_ref p = 101; p <= 115; p += 2) {
		bench_up(b, p);
		if (bench_sent(b, p, MESSAGE_NEIGHBOR, 0) == NULL)
			continue;
		assert_true(bench_sent(b, p, MESSAGE_NEIGHBOR, 0)->flag); /* it has nobody */
		told++;
	}
	assert_int_equal(told, 6); /* with two hosts that is the bucket */
}

/* How long until a host is dialled again. */
static uint64_t pause_of(struct gossip_bench *b)
{
	uint64_t begin_ms = b->now_ms;

	for (;;) {
		bench_wait(b, 100);
		if (bench_effect(b, GOSSIP_DIAL, 0, 0) != NULL)
			return b->now_ms - begin_ms;
		assert_true(b->now_ms - begin_ms < 200000);
	}
}

static void hosts_that_are_full_are_left_alone_ever_longer(void **state)
{
	struct gossip_bench *b = *state;
	uint64_t least_ms = 2000;

	start_with_eight_hosts(b);
	for (unsigned round = 0; round < 4; round++) {
		uint64_t pause_ms;

		assert_true(refuse(b, NULL) <= 2);
		pause_ms = pause_of(b);
		assert_true(pause_ms >= least_ms && pause_ms <= 3 * least_ms + 100);
		least_ms *= 2;
	}
}

/* NATed joiners are nine of ten; what a host needs for those who come next are the few public ones. */
static void crowd_of_nated_joiners_leaves_public_ones_their_places(void **state)
{
	struct gossip_bench *b = *state;
	unsigned kept = 0;

	bench_start(b, 0);
	for (peer_ref p = 4; p < 164; p += 2)
		bench_say(b, p, MESSAGE_JOIN, p, false, 0);
	for (peer_ref p = 165; p < 185; p += 2) {
		bench_say(b, p, MESSAGE_JOIN, p, false, 0);
		kept += bench_is_passive(b, p) || bench_is_active(b, p);
	}
	assert_true(kept >= 8);
}

#define PUBLIC(f) cmocka_unit_test_setup_teardown(f, bench_setup_public, bench_teardown)
#define NATED(f)  cmocka_unit_test_setup_teardown(f, bench_setup_nated, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PUBLIC(refused_newcomer_dials_whom_it_was_told_of_and_no_more_hosts),
		NATED(hosts_that_are_full_are_left_alone_ever_longer),
		PUBLIC(crowd_of_nated_joiners_leaves_public_ones_their_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
