/* How the core hands out work, and what becomes of late results, stopped projects and lost
 * sessions; one rule per test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/coordinator/core_rules.h"

static void a_unit_never_goes_twice_to_one_identity(void **state)
{
	(void)state;
	begin(1, 2, 2, 1);
	sim_request(&sim, 0, 16);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 2);
	assert_int_equal(sim.replica_count, 2);
	assert_int_not_equal(sim.replicas[0].unit, sim.replicas[1].unit);
	sim_request(&sim, 0, 1);
	assert_int_equal(sim_last(&sim, 0, MESSAGE_NO_WORK)->no_work.reason, NO_WORK_WAITING);
	sim_wait(&sim, 2000);
	assert_string_equal(sim.project.reason,
		"waiting for peers: quorum 2 needs 2 different peers, 1 is connected");
	assert_int_equal(sim.project.state, PROJECT_RUNNING);
	sim_peer_add(&sim, SIM_MANUAL, 0);
	sim_request(&sim, 1, 2);
	sim_wait(&sim, 2000);
	assert_string_equal(sim.project.reason, "");
}

static void leases_of_one_identity_are_limited(void **state)
{
	(void)state;
	begin(1, 9, 2, 1);
	sim_request(&sim, 0, 16);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), LEASES_PER_PEER);
	sim_request(&sim, 0, 1);
	assert_int_equal(sim_last(&sim, 0, MESSAGE_NO_WORK)->no_work.reason, NO_WORK_LIMIT);
}

static void who_loses_more_than_a_tenth_of_his_leases_has_one_at_a_time(void **state)
{
	struct message m = {.type = MESSAGE_ABANDON};
	size_t before;

	(void)state;
	begin(1, 64, 2, 1);
	for (uint32_t i = 0; i < 20; i++) {
		sim_request(&sim, 0, 1);
		m.abandon.nonce = sim_last(&sim, 0, MESSAGE_LEASE)->lease.nonce;
		sim_send(&sim, 0, &m);
	}
	assert_int_equal(sim_peer_row(&sim, 0)->invalid, 0);
	assert_false(sim_peer_row(&sim, 0)->retired);
	before = sim_count(&sim, 0, MESSAGE_LEASE);
	sim_request(&sim, 0, LEASES_PER_PEER);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), before + 1);
}

static void units_begun_are_finished_before_new_ones(void **state)
{
	(void)state;
	begin(1, 3, 2, 3);
	lease(0, 0);
	lease(1, 0);
	lease(2, 1);
	lease(0, 1);
	lease(1, 2);
}

static void a_lease_that_expires_goes_to_others(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 1, 2, 1);
	a = lease(0, 0);
	sim_wait(&sim, LEASE_FIRST_MS + 2000);
	assert_int_equal(state_of(a), REPLICA_EXPIRED);
	assert_verdict(0, a, VERDICT_EXPIRED);
	assert_int_equal(sim_peer_row(&sim, 0)->expired, 1);
	sim_compute(&sim, 0, a, 0);
	sim_commit(&sim, 0, a); /* it was told to forget it: this crossed on the way */
	assert_int_equal(state_of(a), REPLICA_EXPIRED);
	assert_verdict(0, a, VERDICT_EXPIRED);
}

static void an_identity_may_try_again_under_a_new_nonce_only(void **state)
{
	struct message m = {.type = MESSAGE_ABANDON};
	struct sim_task *a, *b;
	struct digest nonce;

	(void)state;
	begin(1, 1, 2, 1);
	a = lease(0, 0);
	nonce = m.abandon.nonce = a->nonce;
	sim_compute(&sim, 0, a, 0);
	sim_send(&sim, 0, &m);
	assert_int_equal(state_of(a), REPLICA_ABANDONED);
	assert_int_equal(sim_peer_row(&sim, 0)->abandoned, 1);
	sim_request(&sim, 0, 1);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 1); /* not at once */
	bytes_close(&a->payload);
	a->used = false;
	sim_wait(&sim, LEASE_RENEW_MS + 2000);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 2);
	b = sim_task_of(&sim, 0, 0);
	assert_memory_not_equal(&b->nonce, &nonce, sizeof(nonce));
	sim_disconnect(&sim, 0, 500);
	sim_wait(&sim, 2000);
	a = &(struct sim_task){0};
	*a = *b;
	a->payload = (struct bytes){0};
	a->nonce = nonce;
	sim_compute(&sim, 0, a, 0);
	sim_commit(&sim, 0, a); /* the old nonce is dead */
	assert_int_equal(state_of(a), REPLICA_ABANDONED);
	assert_verdict(0, a, VERDICT_EXPIRED);
	bytes_close(&a->payload);
}

static void an_open_lease_is_repeated_to_a_peer_that_reconnects(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 2, 2, 1);
	a = lease(0, 0);
	sim_disconnect(&sim, 0, 2000);
	sim_wait(&sim, 4000);
	sim_request(&sim, 0, 1);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 3); /* and one for the slot */
	assert_int_equal(state_of(a), REPLICA_LEASED);
	assert_int_equal(sim.replica_count, 2);
}

/* The coordinator's node gave its place to another: it has done nothing wrong. */
static void a_peer_that_was_sent_away_keeps_its_lease_to_the_deadline(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 2, 2, 1);
	a = lease(0, 0);
	sim_release(&sim, 0);
	sim_wait(&sim, LEASE_AWAY_MS + 2000);
	assert_int_equal(state_of(a), REPLICA_LEASED);
	sim_wait(&sim, LEASE_FIRST_MS / 2);
	assert_int_not_equal(sim.peers[0].conn, 0);
	sim_compute(&sim, 0, a, 0);
	sim_commit(&sim, 0, a);
	assert_int_equal(state_of(a), REPLICA_COMMITTED);
	/* one that goes by itself does not, although it was sent away before */
	a = lease(0, 1);
	sim_disconnect(&sim, 0, MINUTE_MS);
	sim_wait(&sim, LEASE_AWAY_MS + 2000);
	assert_int_equal(state_of(a), REPLICA_EXPIRED);
}

static void a_lease_and_a_result_give_a_session_worth_and_questions_do_not(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 1, 2, 3);
	for (uint32_t i = 0; i < 2; i++) {
		t[i] = lease(i, 0);
		assert_int_equal(sim.peers[i].worth, NODE_WORTH_LATER);
		sim_compute(&sim, i, t[i], 0);
		sim_commit(&sim, i, t[i]);
		assert_int_equal(sim.peers[i].worth, NODE_WORTH_NOW);
	}
	sim_disconnect(&sim, 0, 1000);
	sim_wait(&sim, 2000);
	assert_int_equal(sim.peers[0].worth, NODE_WORTH_NOW); /* its next session, too */
	for (int i = 0; i < 10; i++)
		sim_request(&sim, 2, 1);
	assert_int_equal(sim_count(&sim, 2, MESSAGE_LEASE), 0);
	assert_int_equal(sim.peers[2].worth, NODE_WORTH_NONE);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	for (uint32_t i = 0; i < 2; i++)
		if (state_of(t[i]) == REPLICA_UPLOADING)
			sim_upload(&sim, i, t[i]);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(sim.peers[i].worth, NODE_WORTH_NONE); /* settled */
}

/* Peer 2 leases unit 0, goes away; peers 0 and 1 settle the unit; unit 1 keeps the round open. */
static struct sim_task *straggler(struct sim_task *t[2])
{
	struct sim_task *late = lease(2, 0);

	sim_disconnect(&sim, 2, 5 * MINUTE_MS);
	sim_wait(&sim, LEASE_AWAY_MS + 2000);
	assert_int_equal(state_of(late), REPLICA_EXPIRED);
	settle(0, t);
	sim_wait(&sim, 5 * MINUTE_MS);
	assert_int_not_equal(sim.peers[2].conn, 0);
	return late;
}

static void a_late_result_that_is_right_is_judged_but_earns_nothing(void **state)
{
	struct sim_task *t[2];
	struct sim_task *late;

	(void)state;
	begin(1, 2, 2, 3);
	late = straggler(t);
	sim_compute(&sim, 2, late, 0);
	sim_commit(&sim, 2, late);
	assert_true(sim_replica(&sim, &late->nonce)->late);
	sim_reveal(&sim, 2, late);
	assert_verdict(2, late, VERDICT_LATE);
	assert_int_equal(sim_peer_row(&sim, 2)->credit_flops, 0);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
}

static void a_late_result_that_is_wrong_opens_a_dispute_and_retires_its_author(void **state)
{
	struct sim_task *t[2];
	struct sim_task *late;

	(void)state;
	begin(1, 2, 2, 3);
	late = straggler(t);
	sim_compute(&sim, 2, late, 9);
	sim_commit(&sim, 2, late);
	sim_reveal(&sim, 2, late);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_DISPUTED);
	sim_wait(&sim, 4000);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
	assert_true(sim_peer_row(&sim, 2)->retired);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(state_of(t[i]), REPLICA_VALID);
		assert_int_equal(sim_peer_row(&sim, i)->credit_flops, 1000);
	}
	assert_int_equal(sim.project.units_accepted, 1);
}

static void what_comes_after_the_merge_was_asked_for_retires_nobody(void **state)
{
	struct sim_task *t[2];
	struct sim_task *late = NULL;

	(void)state;
	begin(1, 1, 2, 3);
	sim.merge_ms = 60 * MINUTE_MS;
	late = straggler(t);
	sim_compute(&sim, 2, late, 9);
	sim_commit(&sim, 2, late);
	sim_reveal(&sim, 2, late);
	assert_verdict(2, late, VERDICT_LATE); /* nobody has looked who is right */
	assert_int_equal(sim_peer_row(&sim, 2)->invalid, 0);
	assert_false(sim_peer_row(&sim, 2)->retired);
	assert_int_equal(sim.referees, 0);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
}

static void who_promises_results_at_once_shortens_nobodys_time(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 3, 2, 3);
	lease_and_commit(0, 0, 9);
	lease(2, 0);
	assert_int_equal(sim_last(&sim, 2, MESSAGE_LEASE)->lease.deadline_ms, LEASE_FIRST_MS);
	for (uint32_t i = 0; i < 2; i++)
		t[i] = lease_and_commit(i, 1, 0);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	sim_upload(&sim, state_of(t[0]) == REPLICA_UPLOADING ? 0 : 1,
		t[state_of(t[0]) == REPLICA_UPLOADING ? 0 : 1]);
	assert_int_equal(sim_unit(&sim, 0, 1)->state, UNIT_SETTLED);
	lease(2, 2); /* what proved right counts */
	assert_int_equal(sim_last(&sim, 2, MESSAGE_LEASE)->lease.deadline_ms, LEASE_MIN_MS);
}

static void a_straggler_gets_a_backup_when_a_peer_is_idle(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 2, 2, 3);
	settle(0, t); /* at once: a median of nothing */
	lease(0, 1);
	lease(1, 1);
	sim_request(&sim, 2, 1);
	assert_int_equal(sim_count(&sim, 2, MESSAGE_LEASE), 0);
	sim_wait(&sim, BACKUP_MIN_MS + 2000);
	assert_int_equal(sim_count(&sim, 2, MESSAGE_LEASE), 1);
	assert_int_equal(sim_unit(&sim, 0, 1)->wanted, 3);
}

static void an_overtaken_backup_is_needed_again_when_a_reveal_is_withheld(void **state)
{
	struct sim_task *t[2];
	struct sim_task *c;

	(void)state;
	begin(1, 2, 2, 3);
	settle(0, t);
	t[0] = lease(0, 1);
	t[1] = lease(1, 1);
	sim_request(&sim, 2, 1);
	sim_wait(&sim, BACKUP_MIN_MS + 2000);
	c = sim_task_of(&sim, 2, 1);
	assert_non_null(c);
	for (uint32_t i = 0; i < 2; i++) {
		sim_compute(&sim, i, t[i], 0);
		sim_commit(&sim, i, t[i]);
	}
	sim_reveal(&sim, 0, t[0]);
	assert_true(sim_replica(&sim, &c->nonce)->late);
	sim_send(&sim, 1,
		&(struct message){.type = MESSAGE_ABANDON, .abandon = {.nonce = t[1]->nonce}});
	assert_int_equal(state_of(t[1]), REPLICA_UNOPENED);
	assert_false(sim_replica(&sim, &c->nonce)->late);
	sim_compute(&sim, 2, c, 0);
	sim_commit(&sim, 2, c);
	sim_reveal(&sim, 2, c);
	sim_upload(&sim, state_of(c) == REPLICA_UPLOADING ? 2 : 0,
		state_of(c) == REPLICA_UPLOADING ? c : t[0]);
	assert_verdict(2, c, VERDICT_VALID);
}

static void who_does_not_open_pauses_longer_each_time(void **state)
{
	uint64_t pause_ms = HOLD_FIRST_MS;

	(void)state;
	begin(1, 4, 2, 2);
	for (uint32_t u = 0; u < 3; u++) {
		struct sim_task *b = u == 0 ? lease(1, u) : sim_task_of(&sim, 1, u);
		struct sim_task *a = lease(0, u);

		sim_compute(&sim, 0, a, 0);
		sim_compute(&sim, 1, b, 0);
		sim_commit(&sim, 0, a);
		sim_commit(&sim, 1, b);
		sim_reveal(&sim, 0, a);
		sim_wait(&sim, REVEAL_MS + 2000);
		assert_int_equal(state_of(b), REPLICA_UNOPENED);
		sim_request(&sim, 1, 1);
		assert_int_equal(sim_last(&sim, 1, MESSAGE_NO_WORK)->no_work.reason, NO_WORK_LIMIT);
		sim_wait(&sim, pause_ms - 5000);
		assert_null(sim_task_of(&sim, 1, u + 1));
		sim_wait(&sim, 8000);
		assert_non_null(sim_task_of(&sim, 1, u + 1));
		pause_ms *= 2;
	}
}

static void stop_acts_at_the_round_boundary(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(3, 1, 2, 2);
	t[0] = lease_and_commit(0, 0, 0);
	sim_stop(&sim);
	assert_int_equal(sim.project.state, PROJECT_RUNNING);
	assert_true(sim.project.stop_asked);
	t[1] = lease_and_commit(1, 0, 0);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	for (uint32_t i = 0; i < 2; i++)
		if (state_of(t[i]) == REPLICA_UPLOADING) {
			sim_upload(&sim, i, t[i]);
			break;
		}
	sim_wait(&sim, 2000);
	assert_int_equal(sim.project.state, PROJECT_STOPPED);
	assert_int_equal(sim.project.round, 1);
}

static void stop_acts_at_once_when_the_round_has_no_result(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(3, 1, 2, 2);
	a = lease(0, 0);
	sim_stop(&sim);
	assert_int_equal(sim.project.state, PROJECT_STOPPED);
	assert_verdict(0, a, VERDICT_UNKNOWN);
	assert_int_equal(state_of(a), REPLICA_EXPIRED);
	assert_int_equal(sim_peer_row(&sim, 0)->expired, 0); /* no blame */
	sim_compute(&sim, 0, a, 0);
	sim_commit(&sim, 0, a);
	assert_verdict(0, a, VERDICT_UNKNOWN);
	sim_request(&sim, 0, 1);
	assert_int_equal(sim_last(&sim, 0, MESSAGE_NO_WORK)->no_work.reason, NO_WORK_IDLE);
}

static void a_merge_that_fails_pauses_and_one_that_diverges_fails_the_project(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(2, 1, 2, 2);
	sim.merge_code = TK_ENOSPC;
	settle(0, t);
	sim_wait(&sim, 2000);
	assert_int_equal(sim.project.state, PROJECT_PAUSED);
	assert_string_equal(sim.project.reason, "as the test wants");
	sim_request(&sim, 0, 1);
	assert_int_equal(sim_last(&sim, 0, MESSAGE_NO_WORK)->no_work.reason, NO_WORK_IDLE);
	sim_resume(&sim);
	sim_wait(&sim, 2000);
	assert_int_equal(sim.project.state, PROJECT_RUNNING);
	assert_int_equal(sim.project.round, 1);
	assert_int_equal(sim_count(&sim, 0, MESSAGE_LEASE), 2); /* it was still hungry */
	sim.merge_code = TK_EDIVERGED;
	t[0] = sim_task_of(&sim, 0, 0);
	t[1] = lease(1, 0);
	for (uint32_t i = 0; i < 2; i++) {
		sim_compute(&sim, i, t[i], 0);
		sim_commit(&sim, i, t[i]);
	}
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, t[i]);
	for (uint32_t i = 0; i < 2; i++)
		if (state_of(t[i]) == REPLICA_UPLOADING) {
			sim_upload(&sim, i, t[i]);
			break;
		}
	sim_wait(&sim, 2000);
	assert_int_equal(sim.project.state, PROJECT_FAILED);
}

static void the_oldest_project_with_work_comes_first(void **state)
{
	struct project_row row;
	struct core_event event = {.type = CORE_PROJECT_NEW, .project_row = &row};

	(void)state;
	begin(1, 1, 2, 2);
	row = sim.project;
	row.id = 2;
	row.state = PROJECT_QUEUED;
	event.recipe = bytes_span(&sim.recipe);
	sim_request(&sim, 0, 2); /* hungry for one more, which the new project brings */
	assert_int_equal(sim.replica_count, 1);
	sim_event(&sim, &event);
	assert_int_equal(sim.replica_count, 2);
	assert_int_equal(sim.replicas[1].project, 2);
	sim_request(&sim, 1, 1);
	assert_int_equal(sim.replicas[2].project, 1);
}

static void strangers_leave_no_trace(void **state)
{
	struct message m = {.type = MESSAGE_SETTLED};

	(void)state;
	begin(1, 1, 2, 2);
	sim_send(&sim, 0, &m); /* dropped */
	sim_disconnect(&sim, 1, MINUTE_MS);
	sim_wait(&sim, 2000);
	assert_int_equal(sim.peer_row_count, 0);
	assert_int_equal(core_identities(sim.core), 0);
}

static void the_same_identity_again_replaces_its_session(void **state)
{
	(void)state;
	begin(1, 1, 2, 1);
	sim.peers[0].conn = 0; /* the network broke and only the peer has noticed */
	sim_peer_add(&sim, SIM_MANUAL, 0);
	assert_int_equal(core_peers_connected(sim.core), 2);
	sim_connect(&sim, 0);
	assert_int_equal(core_peers_connected(sim.core), 2);
	assert_int_equal(sim.drops, 1);
	lease(0, 0);
}

static void a_retired_identity_is_sent_away_when_it_comes_back(void **state)
{
	struct sim_task *a;

	(void)state;
	begin(1, 2, 2, 2);
	a = lease_and_commit(0, 0, 0);
	a->salt.b[0] ^= 1;
	sim_commit(&sim, 0, a);
	sim.peers[0].over = false; /* it does not care */
	sim_kill_core(&sim);
	sim_connect(&sim, 0);
	assert_true(sim.peers[0].over);
	assert_int_equal(core_peers_connected(sim.core), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(a_unit_never_goes_twice_to_one_identity),
		RULE(leases_of_one_identity_are_limited),
		RULE(who_loses_more_than_a_tenth_of_his_leases_has_one_at_a_time),
		RULE(units_begun_are_finished_before_new_ones),
		RULE(a_lease_that_expires_goes_to_others),
		RULE(an_identity_may_try_again_under_a_new_nonce_only),
		RULE(an_open_lease_is_repeated_to_a_peer_that_reconnects),
		RULE(a_late_result_that_is_right_is_judged_but_earns_nothing),
		RULE(a_late_result_that_is_wrong_opens_a_dispute_and_retires_its_author),
		RULE(what_comes_after_the_merge_was_asked_for_retires_nobody),
		RULE(who_promises_results_at_once_shortens_nobodys_time),
		RULE(a_straggler_gets_a_backup_when_a_peer_is_idle),
		RULE(an_overtaken_backup_is_needed_again_when_a_reveal_is_withheld),
		RULE(who_does_not_open_pauses_longer_each_time),
		RULE(stop_acts_at_the_round_boundary),
		RULE(stop_acts_at_once_when_the_round_has_no_result),
		RULE(a_merge_that_fails_pauses_and_one_that_diverges_fails_the_project),
		RULE(the_oldest_project_with_work_comes_first),
		RULE(strangers_leave_no_trace),
		RULE(the_same_identity_again_replaces_its_session),
		RULE(a_peer_that_was_sent_away_keeps_its_lease_to_the_deadline),
		RULE(a_lease_and_a_result_give_a_session_worth_and_questions_do_not),
		RULE(a_retired_identity_is_sent_away_when_it_comes_back),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
