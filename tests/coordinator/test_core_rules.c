/* How the core judges: agreement, dissent, reveals that do not open, payloads that do not come; one
 * rule per test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/coordinator/core_rules.h"

static void two_equal_results_settle_a_unit_and_earn_credit_once(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 2, 2, 2);
	settle(0, t);
	for (uint32_t i = 0; i < 2; i++) {
		assert_verdict(i, t[i], VERDICT_VALID);
		assert_int_equal(sim_peer_row(&sim, i)->valid, 1);
		assert_int_equal(sim_peer_row(&sim, i)->credit_flops, 1000);
		sim_commit(&sim, i, t[i]); /* again */
		assert_verdict(i, t[i], VERDICT_VALID);
		assert_int_equal(sim_peer_row(&sim, i)->credit_flops, 1000);
	}
	assert_int_equal(
		sim_count(&sim, 0, MESSAGE_UPLOADED) + sim_count(&sim, 1, MESSAGE_UPLOADED), 1);
	assert_int_equal(sim.project.units_accepted, 1);
	assert_int_equal(sim.project.replicas, 2);
}

static void reveals_are_asked_for_when_the_quorum_has_committed(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 1, 2, 2);
	a = lease_and_commit(0, 0, 0);
	sim_wait(&sim, 5000);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_REVEAL_REQUEST), 0);
	lease_and_commit(1, 0, 0);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_REVEAL_REQUEST), 1);
	assert_int_equal(sim_count(&sim, 1, MESSAGE_REVEAL_REQUEST), 1);
	sim_reveal(&sim, 0, a);
	assert_int_equal(state_of(a), REPLICA_REVEALED);
}

static void dissent_retires_the_wrong_one_and_the_right_one_still_needs_a_match(void **state)
{
	struct sim_task *a, *b, *c;

	(void)state;
	begin(1, 2, 2, 3);
	a = lease_and_commit(0, 0, 0);
	b = lease_and_commit(1, 0, 9);
	sim_reveal(&sim, 0, a);
	sim_reveal(&sim, 1, b);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_DISPUTED);
	assert_int_equal(sim.project.disputes, 1);
	c = lease(2, 0); /* one more, from a fresh identity */
	sim_wait(&sim, 4000);
	assert_int_equal(sim.referees, 0);
	assert_int_equal(sim.referee_steps, 1);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_IN_PROGRESS);
	sim_compute(&sim, 2, c, 0);
	sim_commit(&sim, 2, c);
	sim_reveal(&sim, 2, c);
	sim_upload(&sim, state_of(a) == REPLICA_UPLOADING ? 0 : 2,
		state_of(a) == REPLICA_UPLOADING ? a : c);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
	assert_verdict(0, a, VERDICT_VALID);
	assert_false(sim_peer_row(&sim, 0)->retired);
	assert_int_equal(state_of(b), REPLICA_INVALID);
	assert_true(sim_peer_row(&sim, 1)->retired);
	assert_non_null(strstr(sim_peer_row(&sim, 1)->reason,
		"unit 1 of round 1 of sim: step 3 gives something else than it said"));
	assert_true(sim.peers[1].over);
	assert_int_equal(sim.project.units_rejected, 1);
	assert_int_equal(sim.faults, 1); /* with a proof */
	assert_false(sim_peer_row(&sim, 1)->convicted);
}

static void a_majority_never_decides(void **state)
{
	struct sim_task *t[3];

	(void)state;
	begin(1, 1, 3, 4);
	for (uint32_t i = 0; i < 3; i++)
		t[i] = lease_and_commit(i, 0, i == 2 ? 0 : 9);
	for (uint32_t i = 0; i < 3; i++)
		sim_reveal(&sim, i, t[i]);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_DISPUTED);
	sim_wait(&sim, 4000);
	assert_true(sim_peer_row(&sim, 0)->retired && sim_peer_row(&sim, 1)->retired);
	assert_int_equal(sim.referee_steps, 2); /* each of them was heard */
	assert_int_equal(state_of(t[2]), REPLICA_REVEALED);
	lease(3, 0);
}

static void liars_who_agree_that_nothing_is_finite_settle_nothing(void **state)
{
	struct sim_task *t[3];

	(void)state;
	begin(1, 1, 2, 3);
	for (uint32_t i = 0; i < 2; i++)
		t[i] = lease_and_commit(i, 0, SIM_SAYS_NONFINITE);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_DISPUTED);
	sim_wait(&sim, 4000);
	assert_int_equal(sim.project.units_accepted, 0);
	t[2] = lease_and_commit(2, 0, 0);
	sim_reveal(&sim, 2, t[2]);
	sim_wait(&sim, 4000);
	assert_verdict(2, t[2], VERDICT_VALID);
	assert_true(sim_peer_row(&sim, 0)->retired && sim_peer_row(&sim, 1)->retired);
	assert_int_equal(sim.project.units_accepted, 1);
}

static void nobody_is_convicted_on_the_referees_word_alone(void **state)
{
	struct sim_task *t[8];

	(void)state;
	begin(1, 1, 2, 8);
	sim.referee_broken = true;
	for (uint32_t i = 0; i < 8; i++) {
		t[i] = lease_and_commit(i, 0, i == 1 ? 9 : 0);
		if (i > 0)
			sim_reveal(&sim, i, t[i]);
		if (i == 1)
			sim_reveal(&sim, 0, t[0]);
		sim_wait(&sim, 4000);
	}
	assert_int_equal(sim.project.state, PROJECT_PAUSED);
	assert_non_null(strstr(sim.project.reason, "check this machine"));
	for (uint32_t i = 0; i < 8; i++)
		assert_false(sim_peer_row(&sim, i)->retired);
	sim.referee_broken = false; /* the memory was changed, the build put right */
	sim_resume(&sim);
	sim_wait(&sim, 4000);
	for (uint32_t i = 0; i < 8; i++)
		if (state_of(t[i]) == REPLICA_UPLOADING) {
			sim_upload(&sim, i, t[i]);
			break;
		}
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(sim_peer_row(&sim, i)->retired, i == 1);
}

static void many_who_all_say_something_else_are_no_sign_against_our_machine(void **state)
{
	struct sim_task *t[11];

	(void)state;
	begin(1, 1, 2, 11);
	for (uint32_t i = 0; i < 10; i++) {
		t[i] = lease_and_commit(i, 0, 9 + i);
		if (i == 1)
			sim_reveal(&sim, 0, t[0]);
		if (i > 0)
			sim_reveal(&sim, i, t[i]);
		sim_wait(&sim, 4000);
	}
	assert_int_equal(sim.project.state, PROJECT_RUNNING);
	assert_int_equal(sim.referees, 1); /* however many there are */
	t[10] = lease_and_commit(10, 0, 0);
	sim_reveal(&sim, 10, t[10]);
	sim_wait(&sim, 4000);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
	for (uint32_t i = 0; i <= 10; i++)
		assert_int_equal(sim_peer_row(&sim, i)->retired, i < 10);
	assert_int_equal(sim.faults, 10);
}

static void a_retired_peers_other_units_are_audited(void **state)
{
	struct sim_task *t[2];
	struct sim_task *a, *b;

	(void)state;
	begin(1, 3, 2, 3);
	settle(0, t);
	a = lease_and_commit(0, 1, 0);
	b = lease_and_commit(1, 1, 9);
	lease(1, 2);
	sim_reveal(&sim, 0, a);
	sim_reveal(&sim, 1, b);
	sim_wait(&sim, 2000);
	assert_true(sim_peer_row(&sim, 1)->retired);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_DISPUTED); /* its quorum lost a member */
	assert_int_equal(sim_unit(&sim, 0, 2)->state, UNIT_UNSENT);   /* its lease went back */
	sim_wait(&sim, 4000);
	assert_int_equal(sim.referees, 1); /* its traces are forgotten */
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
	assert_int_equal(sim.project.units_accepted, 1);
	assert_int_equal(sim_peer_row(&sim, 0)->credit_flops, 1000);
}

static void a_reveal_that_was_not_asked_for_ends_the_session_and_changes_nothing(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 1, 2, 2);
	a = lease_and_commit(0, 0, 0);
	sim_reveal(&sim, 0, a);
	assert_int_equal(sim.drops, 1);
	assert_int_equal(sim.peers[0].conn, 0);
	assert_int_equal(state_of(a), REPLICA_COMMITTED);
	assert_false(sim_replica(&sim, &lease(1, 0)->nonce)->late);
}

static void a_reveal_that_does_not_open_the_commitment_counts_as_wrong(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 1, 2, 3);
	a = lease_and_commit(0, 0, 0);
	lease_and_commit(1, 0, 0);
	a->salt.b[3] ^= 1;
	sim_reveal(&sim, 0, a);
	assert_verdict(0, a, VERDICT_INVALID);
	assert_int_equal(state_of(a), REPLICA_UNOPENED);
	assert_int_equal(sim_peer_row(&sim, 0)->invalid, 1);
	assert_false(sim_peer_row(&sim, 0)->retired);
	lease(2, 0);
}

static void a_withheld_reveal_counts_as_wrong_and_its_replacement_earns(void **state)
{
	struct sim_task *a, *b, *c;

	(void)state;
	begin(1, 2, 2, 3);
	a = lease_and_commit(0, 0, 0);
	b = lease_and_commit(1, 0, 0);
	sim_reveal(&sim, 1, b);
	sim_wait(&sim, REVEAL_MS + 2000);
	assert_int_equal(state_of(a), REPLICA_UNOPENED);
	assert_int_equal(sim.project.units_rejected, 1);
	c = lease_and_commit(2, 0, 0);
	sim_reveal(&sim, 2, c);
	sim_upload(&sim, state_of(b) == REPLICA_UPLOADING ? 1 : 2,
		state_of(b) == REPLICA_UPLOADING ? b : c);
	assert_verdict(1, b, VERDICT_VALID);
	assert_verdict(2, c, VERDICT_VALID);
}

static void time_to_reveal_does_not_run_while_the_peer_is_away(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 1, 2, 2);
	a = lease_and_commit(0, 0, 0);
	lease_and_commit(1, 0, 0);
	sim_disconnect(&sim, 0, 5 * MINUTE_MS);
	sim_wait(&sim, 5 * MINUTE_MS + 10000);
	assert_int_equal(state_of(a), REPLICA_COMMITTED);
	sim_commit(&sim, 0, a);
	sim_reveal(&sim, 0, a);
	assert_int_equal(state_of(a), REPLICA_REVEALED);
	assert_int_equal(sim_peer_row(&sim, 0)->invalid, 0);
}

static void a_commitment_is_not_waited_for_forever(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 1, 2, 3);
	a = lease_and_commit(0, 0, 0);
	lease_and_commit(1, 0, 0);
	sim_disconnect(&sim, 0, 60 * MINUTE_MS);
	sim_wait(&sim, COMMIT_AWAY_MS + 2000);
	lease(2, 0); /* others may try meanwhile */
	sim_wait(&sim, REVEAL_TOTAL_MS);
	assert_int_equal(state_of(a), REPLICA_UNOPENED);
}

static void a_wrong_payload_is_refused_and_the_next_holder_asked(void **state)
{
	struct sim_task *t[2];
	uint32_t first;

	(void)state;
	begin(1, 2, 2, 2);
	for (uint32_t i = 0; i < 2; i++)
		t[i] = lease_and_commit(i, 0, 0);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	first = state_of(t[0]) == REPLICA_UPLOADING ? 0 : 1;
	t[first]->payload.data[7] ^= 1;
	sim_upload(&sim, first, t[first]);
	assert_int_equal(state_of(t[first]), REPLICA_UNOPENED);
	assert_verdict(first, t[first], VERDICT_INVALID);
	/* One holder alone is no quorum any more: another peer has to agree. */
	sim_peer_add(&sim, SIM_MANUAL, 0);
	t[first] = lease_and_commit(2, 0, 0);
	sim_reveal(&sim, 2, t[first]);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_UPLOADING);
	for (uint32_t i = 1 - first; i < 3; i++)
		if (sim_count(&sim, i, MESSAGE_UPLOAD_REQUEST) == 1 && i != first)
			sim_upload(&sim, i, i == 2 ? t[first] : t[1 - first]);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
}

static void an_upload_goes_on_where_a_lost_session_ended(void **state)
{
	struct message part = {.type = MESSAGE_UPLOAD};
	struct sim_task *t[2];
	uint32_t up;

	(void)state;
	begin(1, 2, 2, 2);
	for (uint32_t i = 0; i < 2; i++)
		t[i] = lease_and_commit(i, 0, 0);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	up = state_of(t[0]) == REPLICA_UPLOADING ? 0 : 1;
	part.upload = (struct message_upload){t[up]->nonce, 0, span_of(t[up]->payload.data, 20)};
	sim_send(&sim, up, &part);
	sim_disconnect(&sim, up, 1500);
	sim_wait(&sim, 3000);
	sim_commit(&sim, up, t[up]);
	sim_commit(&sim, up, t[up]); /* in the same session: it was told already */
	assert_int_equal(sim_count(&sim, up, MESSAGE_UPLOAD_REQUEST), 2);
	assert_int_equal(sim_last(&sim, up, MESSAGE_UPLOAD_REQUEST)->upload_request.offset, 20);
	part.upload.offset = 20;
	part.upload.bytes = span_of(t[up]->payload.data + 20, t[up]->payload.len - 20);
	sim_send(&sim, up, &part);
	assert_int_equal(sim_count(&sim, up, MESSAGE_UPLOADED), 1);
	assert_verdict(up, t[up], VERDICT_VALID);
}

static void an_upload_out_of_order_or_too_long_ends_the_session(void **state)
{
	static const uint8_t junk[4096];
	struct message part = {.type = MESSAGE_UPLOAD};
	struct sim_task *t[2];

	(void)state;
	for (int too_long = 0; too_long < 2; too_long++) {
		uint32_t up;

		begin(1, 1, 2, 2);
		for (uint32_t i = 0; i < 2; i++)
			t[i] = lease_and_commit(i, 0, 0);
		for (uint32_t i = 0; i < 2; i++)
			sim_reveal(&sim, i, t[i]);
		up = state_of(t[0]) == REPLICA_UPLOADING ? 0 : 1;
		part.upload = (struct message_upload){
			t[up]->nonce, too_long ? 0 : 4, span_of(junk, too_long ? sizeof(junk) : 4)};
		sim_send(&sim, up, &part);
		assert_int_equal(sim.drops, 1);
		assert_int_equal(state_of(t[up]), REPLICA_UNOPENED);
		if (too_long == 0)
			sim_close(&sim);
	}
}

static void an_upload_that_does_not_come_is_asked_of_another(void **state)
{
	struct sim_task *t[3];
	uint32_t up;

	(void)state;
	begin(1, 2, 2, 2);
	for (uint32_t i = 0; i < 2; i++)
		t[i] = lease_and_commit(i, 0, 0);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	up = state_of(t[0]) == REPLICA_UPLOADING ? 0 : 1;
	sim_disconnect(&sim, up, 10 * MINUTE_MS);
	sim_wait(&sim, LEASE_AWAY_MS + 2000);
	assert_int_equal(state_of(t[up]), REPLICA_REVEALED); /* no blame */
	assert_int_equal(state_of(t[1 - up]), REPLICA_UPLOADING);
	sim_upload(&sim, 1 - up, t[1 - up]);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
	assert_int_equal(state_of(t[up]), REPLICA_VALID);
}

static void an_upload_that_stalls_counts_as_unopened_long_before_its_deadline(void **state)
{
	struct message part = {.type = MESSAGE_UPLOAD};
	struct sim_task *t[2];
	uint32_t up;

	(void)state;
	begin(1, 2, 2, 2);
	for (uint32_t i = 0; i < 2; i++)
		t[i] = lease_and_commit(i, 0, 0);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	up = state_of(t[0]) == REPLICA_UPLOADING ? 0 : 1;
	sim_wait(&sim, UPLOAD_IDLE_MS - 2000);
	part.upload = (struct message_upload){t[up]->nonce, 0, span_of(t[up]->payload.data, 20)};
	sim_send(&sim, up, &part);
	sim_wait(&sim, UPLOAD_IDLE_MS - 2000);
	assert_int_equal(state_of(t[up]), REPLICA_UPLOADING);
	sim_wait(&sim, 4000);
	assert_int_equal(state_of(t[up]), REPLICA_UNOPENED);
}

static void two_commitments_for_one_lease_retire_the_key(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 2, 2, 2);
	a = lease_and_commit(0, 0, 0);
	a->salt.b[0] ^= 1;
	sim_commit(&sim, 0, a);
	assert_int_equal(state_of(a), REPLICA_INVALID);
	assert_true(sim_peer_row(&sim, 0)->retired && sim_peer_row(&sim, 0)->convicted);
	assert_int_equal(sim.faults, 1);
	assert_true(sim.peers[0].over);
}

static void a_commit_with_a_wrong_signature_or_of_another_identity_changes_nothing(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 1, 2, 2);
	a = lease(0, 0);
	sim_compute(&sim, 0, a, 0);
	sim_commit(&sim, 1, a); /* signed by peer 1, leased to peer 0 */
	assert_verdict(1, a, VERDICT_UNKNOWN);
	assert_int_equal(state_of(a), REPLICA_LEASED);
	sim.peers[0].key.secret[3] ^= 1;
	sim_commit(&sim, 0, a);
	assert_int_equal(sim.drops, 1);
	assert_int_equal(state_of(a), REPLICA_LEASED);
}

static void what_a_peer_may_not_say_ends_its_session(void **state)
{
	static const enum message_type types[] = {MESSAGE_NO_WORK, MESSAGE_LEASE, MESSAGE_COMMITTED,
		MESSAGE_REVEAL_REQUEST, MESSAGE_UPLOAD_REQUEST, MESSAGE_UPLOADED, MESSAGE_SETTLED};

	(void)state;
	begin(1, 1, 2, 0);
	for (uint32_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		struct message m = {.type = types[i]};

		sim_peer_add(&sim, SIM_MANUAL, 0);
		sim_send(&sim, i, &m);
		assert_int_equal(sim.drops, i + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(two_equal_results_settle_a_unit_and_earn_credit_once),
		RULE(reveals_are_asked_for_when_the_quorum_has_committed),
		RULE(dissent_retires_the_wrong_one_and_the_right_one_still_needs_a_match),
		RULE(a_majority_never_decides),
		RULE(liars_who_agree_that_nothing_is_finite_settle_nothing),
		RULE(nobody_is_convicted_on_the_referees_word_alone),
		RULE(many_who_all_say_something_else_are_no_sign_against_our_machine),
		RULE(a_retired_peers_other_units_are_audited),
		RULE(a_reveal_that_was_not_asked_for_ends_the_session_and_changes_nothing),
		RULE(a_reveal_that_does_not_open_the_commitment_counts_as_wrong),
		RULE(a_withheld_reveal_counts_as_wrong_and_its_replacement_earns),
		RULE(time_to_reveal_does_not_run_while_the_peer_is_away),
		RULE(a_commitment_is_not_waited_for_forever),
		RULE(a_wrong_payload_is_refused_and_the_next_holder_asked),
		RULE(an_upload_goes_on_where_a_lost_session_ended),
		RULE(an_upload_out_of_order_or_too_long_ends_the_session),
		RULE(an_upload_that_does_not_come_is_asked_of_another),
		RULE(an_upload_that_stalls_counts_as_unopened_long_before_its_deadline),
		RULE(two_commitments_for_one_lease_retire_the_key),
		RULE(a_commit_with_a_wrong_signature_or_of_another_identity_changes_nothing),
		RULE(what_a_peer_may_not_say_ends_its_session),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
