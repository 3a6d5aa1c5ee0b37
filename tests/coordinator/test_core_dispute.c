/* Disputes between peers, one rule per test: what they cost, who loses, and that winning one proves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/coordinator/core_rules.h"

/* So many results of unit 0, of peers 0, 1, …, all revealed. */
static void reveal_all(struct sim_task **t, uint32_t count, const uint64_t *variants)
{
	for (uint32_t i = 0; i < count; i++)
		t[i] = lease_and_commit(i, 0, variants[i]);
	for (uint32_t i = 0; i < count; i++)
		sim_reveal(&sim, i, t[i]);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_DISPUTED);
}

/* One more result, of this peer. */
static struct sim_task *reveal_one(uint32_t peer, uint64_t variant)
{
	struct sim_task *t = lease_and_commit(peer, 0, variant);

	sim_reveal(&sim, peer, t);
	return t;
}

static bool retired(uint32_t peer)
{
	return sim_peer_row(&sim, peer)->retired;
}

static void a_dispute_costs_two_traces_two_segments_one_state_and_one_step(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 1, 2, 2);
	reveal_all(t, 2, (uint64_t[]){0, SIM_WRONG_AT(3, 7)});
	sim_wait(&sim, 4000);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(sim_count(&sim, i, MESSAGE_TRACE_REQUEST), 1);
		assert_int_equal(sim_count(&sim, i, MESSAGE_SEGMENT_REQUEST), 1);
	}
	assert_int_equal(sim_count(&sim, 0, MESSAGE_STATE_REQUEST) +
				 sim_count(&sim, 1, MESSAGE_STATE_REQUEST),
		1);
	assert_int_equal(sim.referee_steps, 1);
	assert_int_equal(sim.referees, 0);
	assert_int_equal(sim.state_blob_count, 0); /* nothing of it stays */
}

static void any_wrong_step_is_found_packing_too(void **state)
{
	(void)state;
	for (uint32_t step = 0; step <= SIM_STEPS; step++) {
		struct sim_task *t[2];
		char wanted[64];

		begin(1, 1, 2, 2);
		reveal_all(t, 2, (uint64_t[]){SIM_WRONG_AT(step, 7), 0});
		sim_wait(&sim, 4000);
		snprintf(wanted, sizeof(wanted), "step %u gives something else", step + 1);
		assert_true(retired(0));
		assert_false(retired(1));
		assert_non_null(strstr(sim_peer_row(&sim, 0)->reason, wanted));
		assert_int_equal(sim.faults, 1);
		assert_int_equal(sim_peer_row(&sim, 0)->faults, 1);
		if (step < SIM_STEPS)
			sim_close(&sim);
	}
}

static void a_false_claim_that_nothing_is_finite_is_disputed_like_any_other(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 1, 2, 2);
	reveal_all(t, 2, (uint64_t[]){SIM_SAYS_NONFINITE, 0});
	sim_wait(&sim, 4000);
	assert_true(retired(0));
	assert_false(retired(1));
	assert_int_equal(sim.referees, 0);
}

static void who_is_silent_or_cannot_reproduce_his_trace_is_proven_wrong_by_the_whole_unit(
	void **state)
{
	static const enum sim_lie lies[] = {
		SIM_NO_TRACE, SIM_BAD_TRACE, SIM_NO_SEGMENT, SIM_BAD_SEGMENT};

	(void)state;
	for (uint32_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct sim_task *t[2];

		begin(1, 1, 2, 3);
		sim.peers[0].lie = lies[i];
		reveal_all(t, 2, (uint64_t[]){9, 0});
		sim_wait(&sim, 20 * MINUTE_MS);
		assert_int_equal(state_of(t[0]), REPLICA_INVALID);
		assert_true(retired(0));
		assert_int_equal(sim_peer_row(&sim, 0)->invalid, 1);
		assert_int_equal(state_of(t[1]), REPLICA_VALID);
		assert_int_equal(sim.faults, 1);
		assert_int_equal(sim.referees, 1);
		assert_int_equal(sim.referee_steps, 0);
		if (i + 1 < sizeof(lies) / sizeof(*lies))
			sim_close(&sim);
	}
}

static void who_does_not_send_the_state_that_he_signed_is_proven_wrong_all_the_same(void **state)
{
	uint32_t asked = 0;

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		struct sim_task *t[2];
		uint32_t liar = i % 2;

		begin(1, 1, 2, 2);
		sim.peers[liar].lie = i < 2 ? SIM_NO_STATE : SIM_BAD_STATE;
		reveal_all(t, 2, (uint64_t[]){liar == 0 ? 9 : 0, liar == 1 ? 9 : 0});
		sim_wait(&sim, 20 * MINUTE_MS);
		if (sim_count(&sim, liar, MESSAGE_STATE_REQUEST) != 0) {
			asked++;
			assert_int_equal(sim.referees, 1);
			assert_int_equal(state_of(t[1 - liar]), REPLICA_VALID);
		} else {
			assert_int_equal(sim.referee_steps, 1);
			assert_int_equal(state_of(t[1 - liar]), REPLICA_REVEALED);
		}
		assert_true(retired(liar));
		if (i < 3)
			sim_close(&sim);
	}
	assert_int_equal(asked, 2);
}

/* The second dispute of the same two waits for the first, and is not needed after it. */
static void a_peer_is_in_one_dispute_at_a_time(void **state)
{
	struct sim_task *t[4];

	(void)state;
	begin(1, 2, 2, 3);
	for (uint32_t i = 0; i < 4; i++)
		t[i] = lease_and_commit(i % 2, i / 2, i % 2 == 0 ? 9 : 0);
	for (uint32_t i = 0; i < 4; i++)
		sim_reveal(&sim, i % 2, t[i]);
	assert_int_equal(sim_unit(&sim, 0, 1)->state, UNIT_DISPUTED);
	sim_wait(&sim, 4000);
	assert_true(retired(0));
	assert_int_equal(sim.referee_steps, 1);
	assert_int_equal(sim_count(&sim, 1, MESSAGE_TRACE_REQUEST), 1);
	assert_int_equal(sim_unit(&sim, 0, 1)->state, UNIT_UNSENT);
}

static void who_gives_up_loses_and_was_not_wrong_for_that(void **state)
{
	struct sim_task *t[2];
	struct message m = {.type = MESSAGE_ABANDON};

	(void)state;
	begin(1, 1, 2, 3);
	reveal_all(t, 2, (uint64_t[]){9, 0});
	m.abandon.nonce = t[1]->nonce;
	sim_send(&sim, 1, &m);
	assert_int_equal(state_of(t[1]), REPLICA_UNOPENED);
	sim_wait(&sim, MINUTE_MS);
	assert_int_equal(sim.referees, 1);
	assert_false(
		retired(0) || retired(1)); /* the only one that equals the referee's was given up */
	reveal_one(2, 0);
	assert_true(retired(0));
	assert_false(retired(1));
	assert_int_equal(state_of(t[1]), REPLICA_UNOPENED);
}

static void two_who_are_silent_both_lose_and_the_unit_goes_to_others(void **state)
{
	struct sim_task *t[4];

	(void)state;
	begin(1, 1, 2, 4);
	sim.peers[0].lie = sim.peers[1].lie = SIM_NO_TRACE;
	reveal_all(t, 2, (uint64_t[]){8, 9});
	sim_wait(&sim, TRACE_MS + 3000);
	assert_int_equal(state_of(t[0]), REPLICA_UNOPENED);
	assert_int_equal(state_of(t[1]), REPLICA_UNOPENED);
	for (uint32_t i = 2; i < 4; i++)
		t[i] = lease_and_commit(i, 0, 0);
	for (uint32_t i = 2; i < 4; i++)
		sim_reveal(&sim, i, t[i]);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_UPLOADING);
}

static void three_who_differ_are_settled_pair_by_pair(void **state)
{
	struct sim_task *t[3];

	(void)state;
	begin(1, 1, 3, 5);
	reveal_all(t, 3, (uint64_t[]){SIM_WRONG_AT(1, 3), 0, SIM_WRONG_AT(5, 4)});
	sim_wait(&sim, 6000);
	assert_true(retired(0));
	assert_false(retired(1));
	assert_true(retired(2));
	assert_int_equal(sim.referee_steps, 2);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_UNSENT); /* one result is no quorum */
}

static void two_who_are_wrong_in_one_step_wait_for_a_third_and_are_both_retired(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 1, 2, 4);
	reveal_all(t, 2, (uint64_t[]){SIM_WRONG_AT(2, 3), SIM_WRONG_AT(2, 4)});
	sim_wait(&sim, 6000);
	assert_false(retired(0) || retired(1)); /* not on this machine's word alone */
	assert_int_equal(sim.referee_steps, 1);
	reveal_one(2, 0);
	sim_wait(&sim, 6000);
	assert_true(retired(0) && retired(1));
	assert_false(retired(2));
	assert_int_equal(sim.faults, 2);
}

static void a_planted_loser_makes_nobody_right(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 1, 2, 4);
	reveal_all(t, 2, (uint64_t[]){SIM_WRONG_AT(1, 5), SIM_WRONG_TWICE(1, 5, 4, 6)});
	sim_wait(&sim, 4000);
	assert_true(retired(1)); /* by a step after the one that both have wrong */
	assert_false(retired(0));
	assert_int_equal(sim.project.units_accepted, 0);
	reveal_one(2, 0);
	sim_wait(&sim, 4000);
	assert_true(retired(0));
	assert_false(retired(2));
	assert_int_equal(sim.project.units_accepted, 0);
}

static void who_signs_made_up_steps_makes_no_wrong_result_right(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 1, 2, 4);
	sim.peers[1].lie = SIM_BAD_STEPS;
	reveal_all(t, 2, (uint64_t[]){SIM_WRONG_AT(3, 7), 0}); /* friends: one is to lose */
	sim_wait(&sim, 4000);
	assert_true(retired(1));
	assert_false(retired(0));
	reveal_one(2, 0);
	sim_wait(&sim, 4000);
	assert_true(retired(0));
	assert_false(retired(2));
}

static void a_dispute_begins_again_after_a_restart_at_any_moment(void **state)
{
	(void)state;
	for (uint32_t seconds = 0; seconds < 8; seconds++) {
		struct sim_task *t[2];

		begin(1, 1, 2, 2);
		sim.peers[0].unit_ms = sim.peers[1].unit_ms = 1500;
		reveal_all(t, 2, (uint64_t[]){SIM_WRONG_AT(3, 7), 0});
		sim_wait(&sim, seconds * 1000);
		sim_kill_core(&sim);
		sim_wait(&sim, MINUTE_MS);
		assert_true(retired(0));
		assert_false(retired(1));
		assert_int_equal(state_of(t[1]), REPLICA_REVEALED);
		if (seconds < 7)
			sim_close(&sim);
	}
}

static void a_disputant_may_lose_his_session_and_is_asked_again(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 1, 2, 2);
	sim.peers[1].unit_ms = 3000;
	reveal_all(t, 2, (uint64_t[]){9, 0});
	sim_wait(&sim, 1000);
	sim_disconnect(&sim, 1, 5 * MINUTE_MS);
	sim_wait(&sim, 5 * MINUTE_MS + 20000);
	assert_true(retired(0));
	assert_int_equal(state_of(t[1]), REPLICA_REVEALED);
}

static void engines_that_part_are_an_alarm_and_retire_nobody_the_first_time(void **state)
{
	struct sim_task *t[4];

	(void)state;
	begin(1, 2, 4, 4);
	for (uint32_t i = 0; i < 4; i++)
		sim.peers[i].engine = i < 2 ? "odd" : "even";
	reveal_all(t, 4, (uint64_t[]){9, 9, 0, 0});
	sim_wait(&sim, 4000);
	for (uint32_t i = 0; i < 4; i++)
		assert_false(retired(i));
	assert_int_equal(sim.alarms, 1);
	assert_int_equal(state_of(t[0]), REPLICA_INVALID);
	assert_int_equal(state_of(t[1]), REPLICA_INVALID);
	/* Only once: an engine is a name that anybody can give. */
	for (uint32_t i = 0; i < 4; i++)
		t[i] = lease_and_commit(i, 1, i < 2 ? 9 : 0);
	for (uint32_t i = 0; i < 4; i++)
		sim_reveal(&sim, i, t[i]);
	sim_wait(&sim, 4000);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(retired(i), i < 2);
	assert_int_equal(sim.alarms, 1);
}

static void readmit(void)
{
	struct core_event event = {.type = CORE_PEER_READMIT, .key = &sim.peers[0].key.public};

	sim_event(&sim, &event);
	if (retired(0))
		return;
	sim.peers[0].over = false;
	sim_connect(&sim, 0);
}

/* These two give the unit's right result; what else its replicas are is as it is. */
static void settle_by(uint32_t a, uint32_t b, uint32_t unit)
{
	uint32_t peer[2] = {a, b};
	struct sim_task *t[2];

	for (int i = 0; i < 2; i++) {
		t[i] = sim_task_of(&sim, peer[i], unit);
		if (t[i] == NULL || t[i]->round != sim.project.round)
			t[i] = lease_and_commit(peer[i], unit, 0);
	}
	for (int i = 0; i < 2; i++)
		sim_reveal(&sim, peer[i], t[i]);
	for (int i = 0; i < 2; i++)
		if (state_of(t[i]) == REPLICA_UPLOADING)
			sim_upload(&sim, peer[i], t[i]);
	assert_int_equal(state_of(t[0]), REPLICA_VALID);
	assert_int_equal(state_of(t[1]), REPLICA_VALID);
}

static void a_second_chance_begins_with_the_next_round_and_is_given_once(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(3, 1, 2, 3);
	reveal_all(t, 2, (uint64_t[]){9, 0});
	sim_wait(&sim, 4000);
	assert_true(retired(0));
	assert_false(sim_peer_row(&sim, 0)->convicted);
	readmit();
	assert_true(retired(0)); /* its result stands in the round in progress */
	assert_true(core_peer_waits(sim.core, &sim.peers[0].key.public));
	settle_by(1, 2, 0);
	sim_wait(&sim, 4000);
	assert_int_equal(sim.project.round, 1);
	readmit();
	assert_false(retired(0));
	assert_int_equal(sim_peer_row(&sim, 0)->faults, 1);

	t[0] = lease_and_commit(0, 0, 9);
	t[1] = lease_and_commit(1, 0, 0);
	sim_reveal(&sim, 0, t[0]);
	sim_reveal(&sim, 1, t[1]);
	sim_wait(&sim, 4000);
	assert_true(sim_peer_row(&sim, 0)->convicted);
	settle_by(1, 2, 0);
	sim_wait(&sim, 4000);
	assert_int_equal(sim.project.round, 2);
	readmit();
	assert_true(retired(0));
}

static void what_was_leased_before_a_second_chance_is_not_taken_in_it(void **state)
{
	struct sim_task *t[2], *open, *committed;

	(void)state;
	begin(2, 3, 2, 3);
	t[0] = lease_and_commit(0, 0, 9);
	open = lease(0, 1);
	sim_compute(&sim, 0, open, 9); /* on its disk when it is retired */
	committed = lease_and_commit(0, 2, 9);
	t[1] = lease_and_commit(1, 0, 0);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	sim_wait(&sim, 4000);
	assert_true(retired(0));
	assert_int_equal(state_of(committed), REPLICA_COMMITTED);
	readmit();
	assert_true(retired(0));
	settle_by(1, 2, 0);
	settle_by(1, 2, 1);
	settle_by(1, 2, 2);
	sim_wait(&sim, 4000);
	assert_int_equal(sim.project.round, 1);
	readmit();
	assert_false(retired(0));
	sim_commit(&sim, 0, open);
	assert_verdict(0, open, VERDICT_UNKNOWN);
	sim_reveal(&sim, 0, committed);
	sim_wait(&sim, 4000);
	assert_false(retired(0));
	assert_int_equal(sim_peer_row(&sim, 0)->faults, 1);
}

/* The word that was kept stays right, and so does the ledger that tells of both. */
static void a_second_commitment_behind_a_credited_result_leaves_a_ledger_that_is_right(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 2, 2, 4);
	settle_by(0, 1, 0);
	t[0] = sim_task_of(&sim, 0, 0);
	t[0]->salt.b[0] ^= 1;
	sim_commit(&sim, 0, t[0]);
	assert_true(sim_peer_row(&sim, 0)->convicted);
	sim_wait(&sim, 4000);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
	settle_by(2, 3, 1);
	sim_wait(&sim, 4000);
	assert_int_equal(sim.project.state, PROJECT_DONE); /* sim audits each entry on the way */
}

/* Its result is right, and it is at fault all the same; the ledger says both. */
static void who_makes_steps_up_for_a_right_result_is_at_fault(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 1, 2, 4);
	t[0] = lease_and_commit(0, 0, 0);
	sim.peers[0].lie = SIM_BAD_STEPS;
	t[1] = lease_and_commit(1, 0, SIM_WRONG_AT(1, 7));
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	sim_wait(&sim, 10000);
	for (uint32_t i = 2; i < 4; i++) {
		t[0] = sim_task_of(&sim, i, 0);
		if (t[0] == NULL)
			sim_request(&sim, i, 1);
		t[0] = sim_task_of(&sim, i, 0);
		if (t[0] == NULL)
			continue;
		sim_compute(&sim, i, t[0], 0);
		sim_commit(&sim, i, t[0]);
		sim_reveal(&sim, i, t[0]);
		sim_wait(&sim, 10000);
	}
	for (uint32_t i = 2; i < 4; i++)
		if (state_of(sim_task_of(&sim, i, 0)) == REPLICA_UPLOADING)
			sim_upload(&sim, i, sim_task_of(&sim, i, 0));
	sim_wait(&sim, 4000);
	assert_true(retired(0));
	assert_true(retired(1));
	assert_int_equal(sim.project.state, PROJECT_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(a_dispute_costs_two_traces_two_segments_one_state_and_one_step),
		RULE(any_wrong_step_is_found_packing_too),
		RULE(a_false_claim_that_nothing_is_finite_is_disputed_like_any_other),
		RULE(who_is_silent_or_cannot_reproduce_his_trace_is_proven_wrong_by_the_whole_unit),
		RULE(who_does_not_send_the_state_that_he_signed_is_proven_wrong_all_the_same),
		RULE(a_peer_is_in_one_dispute_at_a_time),
		RULE(who_gives_up_loses_and_was_not_wrong_for_that),
		RULE(two_who_are_silent_both_lose_and_the_unit_goes_to_others),
		RULE(three_who_differ_are_settled_pair_by_pair),
		RULE(two_who_are_wrong_in_one_step_wait_for_a_third_and_are_both_retired),
		RULE(a_planted_loser_makes_nobody_right),
		RULE(who_signs_made_up_steps_makes_no_wrong_result_right),
		RULE(a_dispute_begins_again_after_a_restart_at_any_moment),
		RULE(a_disputant_may_lose_his_session_and_is_asked_again),
		RULE(engines_that_part_are_an_alarm_and_retire_nobody_the_first_time),
		RULE(a_second_chance_begins_with_the_next_round_and_is_given_once),
		RULE(what_was_leased_before_a_second_chance_is_not_taken_in_it),
		RULE(who_makes_steps_up_for_a_right_result_is_at_fault),
		RULE(a_second_commitment_behind_a_credited_result_leaves_a_ledger_that_is_right),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
