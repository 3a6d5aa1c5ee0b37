/* The swarm's core, many of them under virtual time (tests/lib/swarm_sim.h). TALKOOT_SEED replays them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/swarm_sim.h"

#define MB	(1u << 20)
#define HOUR_MS 3600000u

static uint64_t base_seed(void)
{
	const char *seed = getenv("TALKOOT_SEED");

	return seed != NULL ? strtoull(seed, NULL, 10) : 20261127;
}

static struct sim_options homes(uint32_t peers, uint64_t total)
{
	return (struct sim_options){.seed = base_seed(),
		.peers = peers,
		.blobs = 1,
		.total = total,
		.part_bytes = BLOB_PART_MAX,
		.public_percent = 60,
		.seed_rate = 10000000,
		.rate_min = 1000000,
		.rate_max = 3000000,
		.latency_min_ms = 2,
		.latency_max_ms = 60,
		.join_ms = 500};
}

static struct sim_result run(const struct sim_options *o)
{
	struct sim_result r;

	if (!swarm_sim_run(o, HOUR_MS, &r))
		fail_msg("an invariant broke: TALKOOT_SEED=%llu replays it",
			(unsigned long long)o->seed);
	assert_int_equal(r.complete, r.honest);
	assert_int_equal(r.accused_honest, 0);
	assert_int_equal(r.lacking, 0);
	return r;
}

static void peers_fetch_from_each_other_and_the_seed_sends_a_few_copies(void **state)
{
	(void)state;
	for (uint32_t peers = 10; peers <= 80; peers *= 2) {
		struct sim_options o = homes(peers, 20 * MB + 12345);
		struct sim_result r = run(&o);

		assert_true(r.tracker_bytes <= 9 * o.total);
		assert_true(r.wasted <= r.peer_bytes / 4);
	}
}

static void a_small_blob_leaves_the_seed_three_times_however_many_want_it(void **state)
{
	(void)state;
	for (uint32_t peers = 8; peers <= 128; peers *= 2) {
		struct sim_options o = homes(peers, 300000);
		struct sim_result r;

		o.public_percent = 100;
		r = run(&o);
		assert_true(r.tracker_bytes <= 4 * o.total);
	}
}

static void of_four_peers_one_or_two_have_it_from_the_seed(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sim_options o = homes(4, 300000);
		struct sim_result r;

		o.seed = seed;
		o.public_percent = 100;
		r = run(&o);
		assert_true(r.tracker_bytes <= 2 * o.total);
	}
}

static void whole_pieces_at_once_reach_hundreds(void **state)
{
	struct sim_options o = homes(200, 128 * MB);
	struct sim_result r;

	(void)state;
	o.part_bytes = BLOB_PIECE;
	o.public_percent = 10;
	r = run(&o);
	assert_true(r.tracker_bytes <= 5 * o.total);
	assert_true(r.memory < 64000);
}

static void several_blobs_at_once_with_slow_sources(void **state)
{
	struct sim_options o = homes(24, 5 * MB + 1);

	(void)state;
	o.blobs = 4;
	o.slow_percent = 40;
	run(&o);
}

static void every_kind_of_liar_is_left_and_the_others_get_all(void **state)
{
	uint32_t accused = 0;

	(void)state;
	for (enum sim_lie lie = SIM_BAD_PARTS; lie <= SIM_BEYOND; lie++) {
		struct sim_options o = homes(20, 9 * MB);
		struct sim_result r;

		o.liar_percent = 40;
		o.lie = lie;
		r = run(&o);
		accused += r.accused_liars;
	}
	assert_true(accused > 20);
}

static void who_restarts_goes_on_with_what_is_on_its_disk(void **state)
{
	struct sim_options o = homes(16, 16 * MB);
	struct sim_result r;

	(void)state;
	o.churn_ms = 400;
	r = run(&o);
	/* No part is fetched twice, whatever happened: what came is what was missing, and little waste. */
	assert_true(r.tracker_bytes + r.peer_bytes <= (uint64_t)o.peers * o.total * 3 / 2);
}

static void liars_churn_and_slow_sources_together_stop_nobody(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 5; i++) {
		struct sim_options o = homes(30, 6 * MB + i * 70000);

		o.seed += i;
		o.liar_percent = 25;
		o.slow_percent = 20;
		o.churn_ms = 900;
		o.unreachable_percent = 20;
		o.blobs = 2;
		run(&o);
	}
}

static void whom_nobody_can_reach_the_seed_serves(void **state)
{
	struct sim_options o = homes(12, 5 * MB);
	struct sim_result r;

	(void)state;
	o.public_percent = 0;
	o.unreachable_percent = 100;
	r = run(&o);
	assert_int_equal(r.peer_bytes, 0);
}

static void quiet_blobs_come_from_the_tracker_alone(void **state)
{
	struct sim_options o = homes(12, 5 * MB);
	struct sim_result r;

	(void)state;
	o.quiet = true;
	r = run(&o);
	assert_int_equal(r.peer_bytes, 0);
	assert_int_equal(r.tracker_bytes, 12 * o.total);
}

static void one_seed_gives_one_course_of_events(void **state)
{
	struct sim_options o = homes(20, 9 * MB);
	struct sim_result a, b;

	(void)state;
	o.liar_percent = 20;
	o.churn_ms = 1500;
	a = run(&o);
	b = run(&o);
	assert_int_equal(a.events, b.events);
	assert_int_equal(a.last_ms, b.last_ms);
	assert_int_equal(a.tracker_bytes, b.tracker_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_fetch_from_each_other_and_the_seed_sends_a_few_copies),
		cmocka_unit_test(a_small_blob_leaves_the_seed_three_times_however_many_want_it),
		cmocka_unit_test(of_four_peers_one_or_two_have_it_from_the_seed),
		cmocka_unit_test(whole_pieces_at_once_reach_hundreds),
		cmocka_unit_test(several_blobs_at_once_with_slow_sources),
		cmocka_unit_test(every_kind_of_liar_is_left_and_the_others_get_all),
		cmocka_unit_test(who_restarts_goes_on_with_what_is_on_its_disk),
		cmocka_unit_test(liars_churn_and_slow_sources_together_stop_nobody),
		cmocka_unit_test(whom_nobody_can_reach_the_seed_serves),
		cmocka_unit_test(quiet_blobs_come_from_the_tracker_alone),
		cmocka_unit_test(one_seed_gives_one_course_of_events),
	};

	return cmocka_run_group_tests_name("swarm", tests, NULL, NULL);
}
