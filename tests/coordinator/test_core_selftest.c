/* The self-test in the core: who gets work by it, when it is asked for, and what a wrong one brings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tasks/unit/selftest.h"
#include "tests/coordinator/core_rules.h"

#define HOUR_MS (60u * MINUTE_MS)

/* Peers that do as the test says, in a network that wants self-tests. */
static void begin_tested(uint32_t rounds, uint32_t peers)
{
	begin(rounds, 4, 2, peers);
	sim_require_selftest(&sim);
}

/* The seed that the peer was asked with last; 0: it was not asked. */
static uint64_t asked(uint32_t peer)
{
	const struct message *m = sim_last(&sim, peer, MESSAGE_SELFTEST_REQUEST);

	return m != NULL ? m->selftest_request.seed : 0;
}

/* Asks for work, and once more when the coordinator has computed the answers. */
static uint64_t until_asked(uint32_t peer)
{
	sim_request(&sim, peer, 1);
	sim_wait(&sim, 2000);
	sim_request(&sim, peer, 1);
	assert_int_not_equal(asked(peer), 0);
	return asked(peer);
}

static const char *sentence(uint32_t peer)
{
	return sim_last(&sim, peer, MESSAGE_NO_WORK)->no_work.text;
}

static void nobody_gets_a_lease_before_a_right_self_test(void **state)
{
	uint64_t seed;

	(void)state;
	begin_tested(1, 1);
	seed = until_asked(0);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 0);
	assert_int_equal(sim_last(&sim, 0, MESSAGE_NO_WORK)->no_work.reason, NO_WORK_WAITING);
	assert_non_null(strstr(sentence(0), "is tested first"));
	sim_selftest(&sim, 0, seed);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 1);
	assert_int_equal(sim.selftests, 1);
}

static void one_challenge_serves_all_peers_of_a_day(void **state)
{
	uint64_t seed;

	(void)state;
	begin_tested(1, 3);
	seed = until_asked(0);
	assert_true(until_asked(1) == seed && until_asked(2) == seed);
	assert_int_equal(sim.selftests, 1);
	assert_int_equal(sim_count(&sim, 1, MESSAGE_SELFTEST_REQUEST), 1);
}

static void who_is_wrong_is_told_the_operation_and_gets_no_work_and_keeps_its_identity(void **state)
{
	uint64_t seed;

	(void)state;
	begin_tested(1, 2);
	sim.peers[0].wrong = 8;
	seed = until_asked(0);
	sim_selftest(&sim, 0, seed);
	assert_int_equal(sim_last(&sim, 0, MESSAGE_NO_WORK)->no_work.reason, NO_WORK_MISFIT);
	assert_string_equal(selftest_name(7), "log");
	assert_non_null(strstr(sentence(0), "\"log\" wrong (engine baseline, build 1)"));
	sim_request(&sim, 0, 1);
	sim_wait(&sim, MINUTE_MS);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 0);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_SELFTEST_REQUEST), 1);
	assert_false(sim.peers[0].over);
	assert_int_not_equal(sim.peers[0].conn, 0);
}

static void a_repaired_peer_is_asked_again_in_its_next_session(void **state)
{
	(void)state;
	begin_tested(1, 1);
	sim.peers[0].wrong = 1;
	sim_selftest(&sim, 0, until_asked(0));
	sim_disconnect(&sim, 0, 1000);
	sim_wait(&sim, 3000);
	sim.peers[0].wrong = 0;
	sim_selftest(&sim, 0, until_asked(0));
	assert_int_equal(sim_count(&sim, 0, MESSAGE_SELFTEST_REQUEST), 2);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 1);
}

static void another_engine_is_another_self_test(void **state)
{
	(void)state;
	begin_tested(1, 1);
	sim_selftest(&sim, 0, until_asked(0));
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 1);
	sim.peers[0].engine = "avx2";
	sim_request(&sim, 0, 1);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_SELFTEST_REQUEST), 2);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 1);
}

static void a_day_later_there_is_another_seed_and_no_lease_without_its_answer(void **state)
{
	uint64_t first, second;

	(void)state;
	begin_tested(1, 1);
	first = until_asked(0);
	sim_selftest(&sim, 0, first);
	sim_wait(&sim, 25 * HOUR_MS);
	second = until_asked(0);
	assert_int_not_equal(second, first);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 1);
	sim_selftest(&sim, 0, first); /* yesterday's answer */
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 1);
	sim_selftest(&sim, 0, second);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 2);
}

static void an_answer_that_another_has_signed_ends_the_session(void **state)
{
	struct key_pair own;
	uint64_t seed;

	(void)state;
	begin_tested(1, 2);
	seed = until_asked(0);
	own = sim.peers[0].key;
	memcpy(sim.peers[0].key.secret, sim.peers[1].key.secret, sizeof(own.secret));
	sim_selftest(&sim, 0, seed);
	assert_int_equal(sim.peers[0].conn, 0);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 0);
	sim.peers[0].key = own;
}

static void an_answer_that_nobody_asked_for_counts_for_nothing(void **state)
{
	(void)state;
	begin_tested(1, 2);
	sim_selftest(&sim, 1, until_asked(0));
	assert_int_equal(sim_count(&sim, 1, MESSAGE_LEASE), 0);
	sim_request(&sim, 1, 1);
	assert_int_equal(sim_count(&sim, 1, MESSAGE_LEASE), 0);
	assert_int_equal(sim_count(&sim, 1, MESSAGE_SELFTEST_REQUEST), 1);
}

static void a_class_that_fails_as_a_whole_raises_an_alarm(void **state)
{
	(void)state;
	begin_tested(1, 4);
	for (uint32_t i = 0; i < 4; i++) {
		sim.peers[i].engine = i < 2 ? "avx512" : "avx2";
		sim.peers[i].wrong = i < 2 ? 9 : 0;
	}
	sim_selftest(&sim, 2, until_asked(2));
	sim_selftest(&sim, 0, until_asked(0));
	assert_int_equal(sim.alarms, 0); /* one computer may be broken */
	sim_selftest(&sim, 1, until_asked(1));
	assert_int_equal(sim.alarms, 1);
	sim_selftest(&sim, 3, until_asked(3));
	assert_int_equal(sim_count(&sim, 3, MESSAGE_LEASE), 1);
}

static void liars_raise_no_alarm_about_a_class_that_others_pass_in(void **state)
{
	(void)state;
	begin_tested(1, 4);
	for (uint32_t i = 1; i < 4; i++)
		sim.peers[i].wrong = 9;
	for (uint32_t i = 0; i < 4; i++)
		sim_selftest(&sim, i, until_asked(i));
	assert_int_equal(sim.alarms, 0);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 1);
}

static void a_coordinator_that_fails_its_own_raises_an_alarm_and_tries_again(void **state)
{
	(void)state;
	begin_tested(1, 1);
	sim.selftest_code = TK_ENUMERICS;
	sim_request(&sim, 0, 1);
	sim_wait(&sim, 2000);
	assert_int_equal(sim.alarms, 1);
	assert_int_equal(asked(0), 0);
	sim_wait(&sim, 2 * MINUTE_MS);
	sim_selftest(&sim, 0, until_asked(0));
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 1);
}

static void a_network_with_wrong_and_silent_peers_finishes_through_the_others(void **state)
{
	(void)state;
	sim_init(&sim, 11, 3, 6, 2, 64);
	sim_require_selftest(&sim);
	sim_submit(&sim);
	for (uint32_t i = 0; i < 6; i++)
		sim_peer_add(&sim, SIM_HONEST, 2000);
	sim.peers[1].wrong = 3;
	sim.peers[4].untested = true;
	sim.crash_every = 40;
	sim.crash_step = 25;
	assert_true(sim_run(&sim, 10 * HOUR_MS));
	assert_int_equal(sim.project.state, PROJECT_DONE);
	assert_true(sim.selftests >= 1);
}

static void who_fails_its_daily_test_computes_no_further(void **state)
{
	struct sim_task *t;

	(void)state;
	sim_init(&sim, 5, 1, 4, 2, 64);
	sim_require_selftest(&sim);
	sim_submit(&sim);
	for (uint32_t i = 0; i < 3; i++)
		sim_peer_add(&sim, SIM_MANUAL, 0);
	sim_request(&sim, 0, 1);
	sim_wait(&sim, 2000);
	sim_request(&sim, 0, 1);
	sim_selftest(&sim, 0, sim_last(&sim, 0, MESSAGE_SELFTEST_REQUEST)->selftest_request.seed);
	t = sim_task_of(&sim, 0, 0);
	assert_non_null(t);
	sim.peers[0].wrong = 3;
	sim_selftest(&sim, 0, sim_last(&sim, 0, MESSAGE_SELFTEST_REQUEST)->selftest_request.seed);
	sim_wait(&sim, 2000);
	assert_string_not_equal(sim_peer_row(&sim, 0)->misfit, "");
	sim_compute(&sim, 0, t, 0);
	sim_commit(&sim, 0, t);
	assert_int_equal(state_of(t), REPLICA_EXPIRED);
	assert_verdict(0, t, VERDICT_EXPIRED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(nobody_gets_a_lease_before_a_right_self_test),
		RULE(one_challenge_serves_all_peers_of_a_day),
		RULE(who_is_wrong_is_told_the_operation_and_gets_no_work_and_keeps_its_identity),
		RULE(a_repaired_peer_is_asked_again_in_its_next_session),
		RULE(another_engine_is_another_self_test),
		RULE(a_day_later_there_is_another_seed_and_no_lease_without_its_answer),
		RULE(an_answer_that_another_has_signed_ends_the_session),
		RULE(an_answer_that_nobody_asked_for_counts_for_nothing),
		RULE(a_class_that_fails_as_a_whole_raises_an_alarm),
		RULE(liars_raise_no_alarm_about_a_class_that_others_pass_in),
		RULE(a_coordinator_that_fails_its_own_raises_an_alarm_and_tries_again),
		RULE(a_network_with_wrong_and_silent_peers_finishes_through_the_others),
		RULE(who_fails_its_daily_test_computes_no_further),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
