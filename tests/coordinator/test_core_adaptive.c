/* verify.policy adaptive: one established peer settles a unit, a secret draw says which are computed again, and
 * what newcomers say decides nothing. Rules one by one; test_core_adaptive_grid.c has whole grids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "coordinator/draw.h"
#include "tests/coordinator/core_rules.h"

#define HOUR_MS 3600000u

/* Connected MANUAL peers with so much trust, and a project of one or more rounds. */
static void begin_trusted(uint32_t units, double floor, const uint64_t *trust, uint32_t peers)
{
	sim_init(&sim, 5, 2, units, 2, 64);
	sim_adaptive(&sim, floor);
	for (uint32_t i = 0; i < peers; i++) {
		sim_peer_add(&sim, SIM_MANUAL, 0);
		sim_trust(&sim, i, trust[i]);
	}
	sim_kill_core(&sim);
	sim_wait(&sim, 4000); /* all are back */
	sim_submit(&sim);
}

static uint64_t trust_of(uint32_t peer)
{
	return sim_peer_row(&sim, peer)->trust;
}

static enum unit_state unit_is(uint32_t unit)
{
	return sim_unit(&sim, 0, unit)->state;
}

static bool has_lease(uint32_t peer, uint32_t unit)
{
	size_t before = sim_count(&sim, peer, MESSAGE_LEASE);

	sim_request(&sim, peer, 1);
	return sim_count(&sim, peer, MESSAGE_LEASE) == before + 1 &&
	       sim_task_of(&sim, peer, unit) != NULL;
}

#define ALWAYS 5      /* trust at which every unit is drawn */
#define RARELY 100000 /* and at which the floor is all that is left */
#define NEVER  1e-6   /* a floor that draws none of these few units */

static void an_established_peer_settles_a_unit_alone(void **state)
{
	struct sim_task *t;

	(void)state;
	begin_trusted(3, NEVER, (uint64_t[]){RARELY, RARELY}, 2);
	t = work(0, 0, 0);
	assert_int_equal(unit_is(0), UNIT_SETTLED);
	assert_verdict(0, t, VERDICT_VALID);
	assert_int_equal(trust_of(0), RARELY); /* nobody has confirmed it */
	assert_true(has_lease(1, 1));
}

static void a_unit_that_is_drawn_waits_for_an_equal_result_of_somebody_else(void **state)
{
	struct sim_task *t;

	(void)state;
	begin_trusted(1, NEVER, (uint64_t[]){ALWAYS, RARELY, RARELY}, 3);
	t = work(0, 0, 0);
	assert_verdict(0, t, VERDICT_VALID); /* it is not told of the draw */
	assert_int_equal(unit_is(0), UNIT_AUDITED);
	assert_int_equal(sim.project.round, 0);
	while (unit_is(0) == UNIT_AUDITED)
		work(sim_unit(&sim, 0, 0)->wanted == 3 && trust_of(1) > RARELY ? 2 : 1, 0, 0);
	assert_int_equal(unit_is(0), UNIT_SETTLED);
	assert_int_equal(trust_of(0), ALWAYS + 1);
	assert_int_equal(trust_of(1), RARELY + 1);
	sim_wait(&sim, 1000);
	assert_int_equal(sim.project.round, 1);
	assert_int_equal(sim.wrong_merged, 0);
}

static void a_wrong_result_that_is_drawn_is_never_merged(void **state)
{
	struct sim_task *t;

	(void)state;
	begin_trusted(2, NEVER, (uint64_t[]){ALWAYS, RARELY, RARELY}, 3);
	t = work(0, 0, 9);
	assert_int_equal(unit_is(0), UNIT_AUDITED);
	work(1, 0, 0);
	assert_int_equal(unit_is(0), UNIT_DISPUTED);
	sim_wait(&sim, 4000);
	assert_int_equal(unit_is(0), UNIT_SETTLED);
	assert_int_equal(state_of(t), REPLICA_INVALID);
	assert_true(sim_peer_row(&sim, 0)->retired);
	assert_int_equal(trust_of(0), 0);
	assert_false(sim_peer_row(&sim, 1)->retired);
	assert_int_equal(sim.faults, 1);
	work(2, 1, 0);
	sim_wait(&sim, 1000);
	assert_int_equal(sim.project.round, 1);
	assert_int_equal(sim.wrong_merged, 0);
}

static void who_is_retired_has_all_its_units_of_the_round_computed_again(void **state)
{
	struct sim_task *t, *wrong;

	(void)state;
	begin_trusted(3, NEVER, (uint64_t[]){RARELY, RARELY, RARELY}, 3);
	wrong = work(0, 0, 9);
	work(0, 1, 0);
	assert_int_equal(unit_is(0), UNIT_SETTLED);
	t = lease_and_commit(0, 2, 0);
	t->salt.b[0] ^= 1;
	sim_commit(&sim, 0, t); /* the second one */
	assert_true(sim_peer_row(&sim, 0)->retired);
	assert_int_equal(unit_is(0), UNIT_AUDITED);
	assert_int_equal(unit_is(1), UNIT_AUDITED);
	work(1, 0, 0);
	work(1, 1, 0);
	assert_int_equal(unit_is(1), UNIT_SETTLED);
	t = lease_and_commit(1, 2, 0); /* it was contested: a quorum decides */
	lease_and_commit(2, 2, 0);
	sim_reveal(&sim, 1, t);
	sim_reveal(&sim, 2, sim_task_of(&sim, 2, 2));
	sim_upload(&sim, state_of(t) == REPLICA_UPLOADING ? 1 : 2,
		state_of(t) == REPLICA_UPLOADING ? t : sim_task_of(&sim, 2, 2));
	sim_wait(&sim, 4000);
	assert_int_equal(state_of(wrong), REPLICA_INVALID);
	assert_int_equal(sim.project.round, 1);
	assert_int_equal(sim.wrong_merged, 0);
}

static void newcomers_only_repeat_what_others_have_settled(void **state)
{
	struct sim_task *t;

	(void)state;
	begin_trusted(2, NEVER, (uint64_t[]){RARELY, RARELY, 0}, 3);
	sim_request(&sim, 2, 1);
	assert_int_equal(sim_count(&sim, 2, MESSAGE_LEASE), 0);
	work(0, 0, 0);
	t = work(2, 0, 0);
	assert_verdict(2, t, VERDICT_VALID);
	assert_true(sim_replica(&sim, &t->nonce)->repeats);
	assert_int_equal(trust_of(2), 1);
	assert_int_equal(trust_of(0), RARELY); /* a newcomer's word is no news */
	assert_false(has_lease(2, 1));
}

static void a_newcomer_does_not_take_an_audits_place(void **state)
{
	(void)state;
	begin_trusted(1, NEVER, (uint64_t[]){ALWAYS, RARELY, 0}, 3);
	work(0, 0, 0);
	work(2, 0, 0);
	assert_int_equal(trust_of(2), 1);
	assert_int_equal(trust_of(0), ALWAYS);
	assert_int_equal(unit_is(0), UNIT_AUDITED);
	assert_true(has_lease(1, 0));
}

static void a_newcomer_who_differs_is_judged_by_the_referee(void **state)
{
	(void)state;
	for (uint32_t wrong = 0; wrong < 2; wrong++) {
		begin_trusted(1, NEVER, (uint64_t[]){RARELY, RARELY, 0}, 3);
		work(0, 0, wrong == 0 ? 9 : 0);
		/* The round would be merged at once. */
		assert_int_equal(unit_is(0), UNIT_SETTLED);
		sim_close(&sim);
		begin_trusted(2, NEVER, (uint64_t[]){RARELY, RARELY, 0}, 3);
		work(0, 0, wrong == 0 ? 9 : 0);
		work(2, 0, wrong == 0 ? 0 : 9);
		assert_int_equal(unit_is(0), UNIT_DISPUTED);
		sim_wait(&sim, 4000);
		assert_int_equal(unit_is(0), UNIT_SETTLED);
		assert_int_equal(sim_peer_row(&sim, 0)->retired, wrong == 0);
		assert_int_equal(sim_peer_row(&sim, 2)->retired, wrong == 1);
		if (wrong == 0)
			sim_close(&sim);
	}
}

static void newcomers_who_differ_cost_this_machine_two_units_a_round(void **state)
{
	struct sim_task *t[4];

	(void)state;
	begin_trusted(60, NEVER, (uint64_t[]){RARELY, RARELY, 0, 0, 0, 0}, 6);
	for (uint32_t i = 0; i < 4; i++)
		work(0, i, 0);
	for (uint32_t i = 0; i < 4; i++)
		t[i] = work(2 + i, i < 2 ? i : 2, 9 + i);
	assert_int_equal(unit_is(1), UNIT_DISPUTED);
	assert_int_equal(unit_is(2), UNIT_AUDITED);
	assert_int_equal(state_of(t[2]), REPLICA_LATE);
	sim_wait(&sim, 8000);
	work(1, 2, 0);
	assert_int_equal(unit_is(2), UNIT_SETTLED);
	assert_int_equal(sim.referees, 2);
	assert_true(sim_peer_row(&sim, 2)->retired);
	assert_false(sim_peer_row(&sim, 4)->retired);
	assert_int_equal(trust_of(4), 0);
	sim_request(&sim, 4, 1); /* it is held */
	assert_int_equal(sim_last(&sim, 4, MESSAGE_NO_WORK)->no_work.reason, NO_WORK_LIMIT);
}

static void an_audit_that_nobody_takes_goes_to_the_referee(void **state)
{
	(void)state;
	begin_trusted(2, NEVER, (uint64_t[]){ALWAYS, RARELY}, 2);
	work(0, 0, 0);
	sim_wait(&sim, 50000);
	assert_int_equal(unit_is(0), UNIT_AUDITED);
	assert_int_equal(sim.referees, 0);
	sim_wait(&sim, 20000);
	assert_int_equal(unit_is(0), UNIT_SETTLED);
	assert_int_equal(sim.referees, 1);
	assert_int_equal(trust_of(0), ALWAYS + 1);
}

static void what_somebody_else_is_computing_is_waited_for(void **state)
{
	struct sim_task *t;

	(void)state;
	begin_trusted(2, NEVER, (uint64_t[]){RARELY, RARELY}, 2);
	t = lease(0, 0);
	sim_compute(&sim, 0, t, 9);
	sim_disconnect(&sim, 0, 30000);
	sim_wait(&sim, 10000); /* the lease has ended … */
	assert_true(has_lease(1, 0));
	sim_connect(&sim, 0); /* … and its result is here all the same */
	sim_commit(&sim, 0, t);
	sim_reveal(&sim, 0, t);
	sim_upload(&sim, 0, t);
	assert_int_equal(unit_is(0), UNIT_AUDITED);
	t = sim_task_of(&sim, 1, 0);
	sim_compute(&sim, 1, t, 0);
	sim_commit(&sim, 1, t);
	sim_reveal(&sim, 1, t);
	sim_wait(&sim, 4000);
	assert_true(sim_peer_row(&sim, 0)->retired);
	assert_int_equal(state_of(t), REPLICA_VALID);
}

static void an_audit_survives_a_crash(void **state)
{
	(void)state;
	begin_trusted(1, NEVER, (uint64_t[]){ALWAYS, RARELY}, 2);
	work(0, 0, 9);
	sim_kill_core(&sim);
	sim_connect(&sim, 1);
	sim_connect(&sim, 0);
	assert_int_equal(unit_is(0), UNIT_AUDITED);
	work(1, 0, 0);
	sim_wait(&sim, 4000);
	assert_true(sim_peer_row(&sim, 0)->retired);
	assert_int_equal(sim.wrong_merged, 0);
}

static void without_two_established_peers_a_quorum_decides(void **state)
{
	(void)state;
	begin_trusted(2, NEVER, (uint64_t[]){RARELY, 0, 0}, 3);
	lease_and_commit(0, 0, 0);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_REVEAL_REQUEST), 0);
	lease_and_commit(1, 0, 0);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_REVEAL_REQUEST), 1);
}

static void newcomers_wait_a_minute_for_established_peers_to_come_back(void **state)
{
	(void)state;
	begin_trusted(2, NEVER, (uint64_t[]){RARELY, RARELY, 0}, 3);
	sim_disconnect(&sim, 0, HOUR_MS);
	sim_disconnect(&sim, 1, HOUR_MS);
	sim_wait(&sim, 30000);
	assert_false(has_lease(2, 0));
	sim_wait(&sim, 40000);
	assert_non_null(sim_task_of(&sim, 2, 0)); /* it had asked */
}

static void odd_timing_and_broken_promises_cost_trust(void **state)
{
	struct sim_task *t[6];

	(void)state;
	begin_trusted(8, NEVER, (uint64_t[]){RARELY, RARELY}, 2);
	for (uint32_t i = 0; i < 6; i++) {
		t[i] = lease(0, i);
		sim_wait(&sim, i < 4 ? 9000 : 2000);
		sim_compute(&sim, 0, t[i], 0);
		sim_commit(&sim, 0, t[i]);
		sim_reveal(&sim, 0, t[i]);
		if (state_of(t[i]) == REPLICA_UPLOADING)
			sim_upload(&sim, 0, t[i]);
		assert_int_equal(trust_of(0), i < 5 ? RARELY : 5);
	}
	lease_and_commit(1, 5, 0);
	sim_wait(&sim, 40000); /* and no reveal */
	assert_int_equal(trust_of(1), 5);
}

static void who_loses_leases_gets_one_at_a_time(void **state)
{
	(void)state;
	begin_trusted(8, NEVER, (uint64_t[]){RARELY, RARELY}, 2);
	for (uint32_t i = 0; i < 2; i++) {
		struct sim_task *t = lease(0, i);
		struct message m = {.type = MESSAGE_ABANDON, .abandon = {.nonce = t->nonce}};

		sim_send(&sim, 0, &m);
	}
	assert_int_equal(sim_peer_row(&sim, 0)->abandoned, 2);
	sim_request(&sim, 0, 4);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 3);
	sim_request(&sim, 1, 4);
	assert_int_equal(sim_count(&sim, 1, MESSAGE_LEASE), 4);
}

/* An established liar alone settles units; his friend, a newcomer, says the same of each without computing. */
static void the_word_of_one_friend_makes_nobody_established(void **state)
{
	uint32_t equal = 0;

	(void)state;
	sim_init(&sim, 7, 1, 40, 2, 64);
	sim_adaptive(&sim, 0.5);
	sim_submit(&sim);
	for (uint32_t i = 0; i < 4; i++)
		sim_peer_add(&sim, SIM_MANUAL, 0);
	for (uint32_t i = 0; i < 3; i++)
		sim_trust(&sim, i, 1000);
	sim_kill_core(&sim);
	for (uint32_t i = 0; i < 4; i++)
		sim_connect(&sim, i);
	for (uint32_t k = 0; k < 40; k++) {
		for (uint32_t p = 0; p < 4; p += 3) {
			sim_request(&sim, p, 1);
			for (uint32_t u = 0; u < 40; u++) {
				struct sim_task *t = sim_task_of(&sim, p, u);

				if (t == NULL || t->done)
					continue;
				sim_compute(&sim, p, t, 9);
				sim_commit(&sim, p, t);
				sim_reveal(&sim, p, t);
				if (p == 0)
					sim_upload(&sim, 0, t);
				equal += p == 3;
			}
		}
	}
	assert_true(equal > PEER_ESTABLISHED);
	assert_true(sim_peer_row(&sim, 3)->trust < PEER_ESTABLISHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(an_established_peer_settles_a_unit_alone),
		RULE(a_unit_that_is_drawn_waits_for_an_equal_result_of_somebody_else),
		RULE(a_wrong_result_that_is_drawn_is_never_merged),
		RULE(who_is_retired_has_all_its_units_of_the_round_computed_again),
		RULE(newcomers_only_repeat_what_others_have_settled),
		RULE(a_newcomer_does_not_take_an_audits_place),
		RULE(a_newcomer_who_differs_is_judged_by_the_referee),
		RULE(newcomers_who_differ_cost_this_machine_two_units_a_round),
		RULE(an_audit_that_nobody_takes_goes_to_the_referee),
		RULE(what_somebody_else_is_computing_is_waited_for),
		RULE(an_audit_survives_a_crash),
		RULE(without_two_established_peers_a_quorum_decides),
		RULE(newcomers_wait_a_minute_for_established_peers_to_come_back),
		RULE(odd_timing_and_broken_promises_cost_trust),
		RULE(who_loses_leases_gets_one_at_a_time),
		RULE(the_word_of_one_friend_makes_nobody_established),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
