/* Rollback: rounds are merged while audits are open, and taken back when a merged unit proves wrong. Rules one by one,
 * and whole grids from seeds, with crashes at every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/coordinator/core_rules.h"

#define HOUR_MS	 3600000u
#define ESTEEMED 100000 /* trust with which a round is merged while the peer's units are audited */
#define ALL	 1.0	/* a floor that draws every unit */

static void crowd(uint32_t peers, const uint64_t *trust)
{
	for (uint32_t i = 0; i < peers; i++) {
		sim_peer_add(&sim, SIM_MANUAL, 0);
		sim_trust(&sim, i, trust[i]);
		sim_credit(&sim, i, trust[i] == ESTEEMED ? UINT64_MAX / 4 : 0);
	}
	sim_kill_core(&sim);
	sim_wait(&sim, 4000); /* all are back */
	sim_submit(&sim);
}

/* Two units a round, all drawn; K as given. */
static void begin_drawn(uint32_t settle_rounds, enum on_fraud on_fraud)
{
	sim_init(&sim, 5, 4, 2, 2, 64);
	sim_adaptive(&sim, ALL);
	sim_settle_rounds(&sim, settle_rounds, on_fraud);
	crowd(3, (uint64_t[]){ESTEEMED, ESTEEMED, ESTEEMED});
}

/* Round 0 is merged, with the results of peer 0 alone, the first of which may be wrong. */
static struct sim_task *merge_unaudited(uint64_t variant)
{
	struct sim_task *t = work(0, 0, variant);

	work(0, 1, 0);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_AUDITED);
	sim_wait(&sim, 1000);
	assert_int_equal(sim.project.round, 1);
	return t;
}

static void a_round_is_merged_while_its_audits_are_open_and_the_next_one_waits(void **state)
{
	(void)state;
	begin_drawn(2, FRAUD_ROLLBACK);
	merge_unaudited(0);
	work(0, 0, 0);
	work(0, 1, 0);
	sim_wait(&sim, 2000);
	assert_int_equal(sim.project.round, 1); /* its audits may wait, those of round 0 not */
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t unit = 0; unit < 2; unit++)
			work(1, unit, 0); /* the older ones first */
	sim_wait(&sim, 2000);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
	assert_int_equal(sim.project.round, 2);
	assert_int_equal(sim.project.rollbacks, 0);
}

static void with_one_settle_round_nothing_is_merged_before_its_audit(void **state)
{
	(void)state;
	begin_drawn(1, FRAUD_ROLLBACK);
	work(0, 0, 0);
	work(0, 1, 0);
	sim_wait(&sim, 2000);
	assert_int_equal(sim.project.round, 0);
	work(1, 0, 0);
	work(1, 1, 0);
	sim_wait(&sim, 2000);
	assert_int_equal(sim.project.round, 1);
}

/* K·W = 4 units: less than so much accepted work, these two among it, is too little. */
static void the_work_of_those_who_have_done_little_is_not_merged_before_its_audit(void **state)
{
	(void)state;
	for (int enough = 0; enough < 2; enough++) {
		begin_drawn(2, FRAUD_ROLLBACK);
		sim_credit(&sim, 0, 2 * (uint64_t)sim.project.unit_flops - !enough);
		sim_kill_core(&sim);
		sim_wait(&sim, 4000);
		work(0, 0, 0);
		work(0, 1, 0);
		sim_wait(&sim, 2000);
		assert_int_equal(sim.project.round, enough);
		if (!enough)
			sim_close(&sim);
	}
}

static void a_merged_unit_that_proves_wrong_takes_its_round_back(void **state)
{
	const struct digest *subject = &sim.recipe_digest;
	struct sim_task *wrong, *good, *begun;
	uint64_t sequence, credit;
	char label[17], why[160];

	(void)state;
	begin_drawn(2, FRAUD_ROLLBACK);
	wrong = merge_unaudited(9);
	assert_int_equal(sim.wrong_merged, 1);
	good = work(0, 0, 0); /* of round 1, on the wrong parameters */
	work(1, 0, 0);	      /* the audit of unit 0 of round 0 */
	begun = lease(2, 1);  /* unit 1 of round 0 */
	sim_compute(&sim, 2, begun, 0);
	sim_commit(&sim, 2, begun);
	sim_reveal(&sim, 2, begun);
	begun = lease(2, 0); /* and now of round 1: an audit */
	credit = sim_peer_row(&sim, 2)->credit_flops;
	sequence = sim_announced(&sim, ANNOUNCE_ROUND, subject);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_DISPUTED);
	assert_int_equal(sim.project.round, 1);
	for (uint32_t s = 0; s < 10 && sim.project.rollbacks == 0; s++)
		sim_wait(&sim, 1000);
	assert_int_equal(sim.project.rollbacks, 1);
	assert_int_equal(sim.project.round, 0);
	assert_int_equal(sim.project.discarded, 1);
	assert_int_equal(state_of(wrong), REPLICA_INVALID);
	assert_true(sim_peer_row(&sim, 0)->retired);
	hex_encode(label, sim.peers[0].key.public.b, 8);
	snprintf(why, sizeof(why), "rolled back to round 1 because unit 1 of peer %s proved wrong",
		label);
	assert_string_equal(sim.project.rollback_why, why);
	assert_true(sim_announced(&sim, ANNOUNCE_ROUND, subject) > sequence);
	/* What was in flight is forgotten, and is nobody's fault. */
	assert_verdict(2, begun, VERDICT_UNKNOWN);
	assert_int_equal(sim_peer_row(&sim, 2)->expired, 0);
	assert_int_equal(sim_peer_row(&sim, 2)->invalid, 0);
	assert_true(sim_peer_row(&sim, 2)->credit_flops == credit);
	assert_int_equal(state_of(good), REPLICA_VALID); /* credit stays, also the liar's */
	work(1, 1, 0);
	sim_wait(&sim, 70000); /* a third is not to be had: the referee's word */
	assert_int_equal(sim.project.round, 1);
	assert_int_equal(sim.wrong_merged, 0);
	assert_int_equal(sim.audit.counts.rollbacks, 1);
	assert_int_equal(sim.audit.counts.discarded, 1);
	work(1, 0, 0);
	assert_int_equal(sim_unit(&sim, 1, 0)->state, UNIT_AUDITED);
}

static void what_proves_wrong_under_continue_stands_and_is_said(void **state)
{
	(void)state;
	begin_drawn(2, FRAUD_CONTINUE);
	merge_unaudited(9);
	work(1, 0, 0);
	sim_wait(&sim, 8000);
	assert_int_equal(sim.project.rollbacks, 0);
	assert_int_equal(sim.project.round, 1);
	assert_int_equal(sim.project.wrong_standing, 1);
	sim_kill_core(&sim);
	sim_wait(&sim, 8000);
	assert_int_equal(sim.project.wrong_standing, 1); /* counted once */
	assert_int_equal(sim.audit.counts.standing, 1);
	assert_int_equal(sim.audit.changed, 0);
}

/* Three esteemed peers, one of whom is always wrong, and one who has to earn it. Everything is drawn, so that all that
 * is wrong is found, most of it after its merge. */
static void what_stands_counts_as_looked_at_when_the_seed_is_opened(void **state)
{
	(void)state;
	begin_drawn(2, FRAUD_CONTINUE);
	merge_unaudited(9);
	work(1, 0, 0);
	sim_wait(&sim, 8000);
	assert_int_equal(sim.project.wrong_standing, 1);
	work(1, 1, 0);
	sim_wait(&sim, MINUTE_MS); /* each entry is audited on the way */
	assert_true(sim.round_rows[0].opened);
}

/* A merged unit fails its audit, then a merge fails and pauses the project. */
static void pause_in_doubt(void)
{
	begin_drawn(3, FRAUD_ROLLBACK);
	sim.referee_ms = 20000;
	merge_unaudited(9);
	work(1, 0, 0);
	sim.merge_code = TK_EIO;
	work(2, 1, 0);
	work(2, 0, 0);
	work(2, 1, 0);
	sim_wait(&sim, 3000);
	assert_int_equal(sim.project.state, PROJECT_PAUSED);
	sim.merge_code = TK_OK;
}

static void a_paused_project_that_is_stopped_settles_first_what_was_merged(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		pause_in_doubt();
		if (late)
			sim_wait(&sim, 25000);
		sim_stop(&sim);
		sim_wait(&sim, 30000);
		assert_int_equal(sim.project.rollbacks, 1);
		assert_int_equal(sim.project.round, 0);
		if (!late)
			sim_close(&sim);
	}
}

static void who_takes_audits_and_does_none_holds_nobody_up(void **state)
{
	(void)state;
	begin_drawn(1, FRAUD_ROLLBACK);
	work(0, 0, 0);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_AUDITED);
	for (uint32_t i = 1; i < 3; i++) {
		lease(i, 0);
		sim_wait(&sim, sim_last(&sim, i, MESSAGE_LEASE)->lease.deadline_ms + 2000);
	}
	sim_wait(&sim, 4000);
	assert_int_equal(sim.referees, 1);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
}

/* A blob that is found bad on the disk, for instance. */
static void pause_by_disk(void)
{
	struct core_event bad = {
		.type = CORE_BLOB_BAD, .blob = sim.project.recipe, .text = "its digest differs"};

	sim_event(&sim, &bad);
	assert_int_equal(sim.project.state, PROJECT_PAUSED);
}

static void a_merge_that_ends_in_a_pause_counts_for_nothing(void **state)
{
	(void)state;
	begin_drawn(3, FRAUD_ROLLBACK);
	merge_unaudited(9);
	work(1, 0, 0);
	work(2, 1, 0);
	sim.referee_ms = 3000;
	sim.merge_ms = 20000;
	work(2, 0, 0);
	work(2, 1, 0);
	sim_wait(&sim, 1000);
	pause_by_disk();
	sim_wait(&sim, 36000); /* the unit is settled with another result, then the merge comes */
	assert_int_equal(sim.project.rollbacks, 1);
	assert_int_equal(sim.project.round, 0);
	sim_close(&sim);

	begin_drawn(3, FRAUD_ROLLBACK);
	sim.merge_ms = 5000;
	sim.merge_code = TK_EDIVERGED;
	for (uint32_t p = 0; p < 2; p++)
		for (uint32_t u = 0; u < 2; u++)
			work(p, u, 0);
	sim_wait(&sim, 1000);
	pause_by_disk();
	sim_wait(&sim, 30000);
	assert_int_equal(sim.project.state, PROJECT_PAUSED);
}

static void small_grid(uint64_t seed, uint32_t settle_rounds)
{
	sim_init(&sim, seed, 4, 3, 2, 64);
	sim_adaptive(&sim, ALL);
	sim_settle_rounds(&sim, settle_rounds, FRAUD_ROLLBACK);
	for (uint32_t i = 0; i < 4; i++) {
		sim_peer_add(&sim, i == 0 ? SIM_WRONG : SIM_HONEST, i == 0 ? 300 : 2000 + 300 * i);
		sim_trust(&sim, i, i < 3 ? ESTEEMED : 0);
		sim_credit(&sim, i, i < 3 ? UINT64_MAX / 4 : 0);
	}
	sim_kill_core(&sim);
	sim.crashes = 0;
	sim_submit(&sim);
}

/* It has trained what one computer would have. */
static void run_and_compare(uint64_t hours)
{
	struct digest expected;

	if (!sim_run(&sim, hours * HOUR_MS) || sim.project.state != PROJECT_DONE) {
		print_error("seed %llu, crash step %llu: state %d in round %u: %s\n",
			(unsigned long long)sim.seed, (unsigned long long)sim.crash_step,
			(int)sim.project.state, sim.project.round, sim.project.reason);
		fail();
	}
	sim_expected(&sim, &expected);
	assert_memory_equal(&expected, &sim.project.parameters, sizeof(expected));
	assert_int_equal(sim.wrong_merged, 0);
	assert_int_equal(sim.project.units_accepted, (uint64_t)sim.rounds * sim.units);
	assert_int_equal(sim.project.drawn, (uint64_t)sim.rounds * sim.units);
	assert_true(sim.audit.ended);
	assert_int_equal(sim.audit.counts.rollbacks, sim.project.rollbacks);
	assert_int_equal(sim.audit.counts.discarded, sim.project.discarded);
}

static void a_crash_at_any_step_of_a_rollback_loses_nothing(void **state)
{
	uint64_t steps;

	(void)state;
	small_grid(2, 2);
	run_and_compare(2);
	steps = sim.steps;
	assert_true(sim.project.rollbacks > 0);
	sim_close(&sim);
	for (int crash = SIM_BEFORE_COMMIT; crash <= SIM_AFTER_SPEAKING; crash++)
		for (uint64_t at = 2; at <= steps; at++) {
			small_grid(2, 2);
			sim.crash = (enum sim_crash)crash;
			sim.crash_step = at;
			run_and_compare(2);
			sim_close(&sim);
		}
	sim_init(&sim, 1, 1, 1, 2, 64);
}

/* The ledger's entries, but for the first of this kind, which is left out. 0: none is. */
static int audit_without(enum ledger_kind kind, struct errmsg *msg)
{
	bool left_out = false;
	struct audit audit;
	int rc = audit_init(&audit, &sim.root.public, bytes_span(&sim.recipe), msg);

	assert_int_equal(rc, TK_OK);
	for (size_t i = 0; i < sim.entry_count && rc == TK_OK; i++) {
		if (!left_out && sim.entries[i].row.kind == kind) {
			left_out = true;
			continue;
		}
		rc = audit_take(&audit, i + 1, i + 1, bytes_span(&sim.entries[i].content), msg);
	}
	assert_true(left_out || kind == 0);
	audit_close(&audit);
	return rc;
}

static void a_rollback_cannot_be_kept_out_of_the_ledger(void **state)
{
	struct errmsg msg = {""};

	(void)state;
	small_grid(2, 2);
	run_and_compare(2);
	assert_true(sim.project.rollbacks > 0);
	assert_int_equal(audit_without(0, &msg), TK_OK);
	assert_int_equal(audit_without(LEDGER_ROLLBACK, &msg), TK_ECORRUPT);
	assert_non_null(strstr(msg.text, "another result than was merged, and no rollback"));
	assert_int_equal(audit_without(LEDGER_SEED, &msg), TK_ECORRUPT);
	assert_non_null(strstr(msg.text, "has not been opened"));
}

/* However many rounds may be in doubt at once. One liar costs no more of them than that. */
static void any_grid_that_rolls_back_trains_the_same_model(void **state)
{
	const char *one = getenv("CORE_SIM_SEED");
	uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
	uint64_t last = one != NULL ? first : 120;
	uint64_t rollbacks = 0, discarded = 0;

	(void)state;
	for (uint64_t seed = first; seed <= last; seed++) {
		uint32_t liars = 1 + (uint32_t)(seed % 2);

		sim_init(&sim, seed, 2 + (uint32_t)(seed % 5), 1 + (uint32_t)(seed / 3 % 6), 2, 40);
		sim_adaptive(&sim, ALL);
		sim_settle_rounds(&sim, 1 + (uint32_t)(seed % 4), FRAUD_ROLLBACK);
		for (uint32_t i = 0; i < 4 + liars; i++) {
			sim_peer_add(&sim, i < liars ? SIM_WRONG : SIM_HONEST,
				100 + sim_random(&sim, i < liars ? 500 : 9000));
			sim_trust(&sim, i, sim_random(&sim, 3) == 0 ? 0 : ESTEEMED);
			if (sim_peer_row(&sim, i)->trust != 0)
				sim_credit(&sim, i, UINT64_MAX / 4);
		}
		sim_kill_core(&sim);
		sim.crash = (enum sim_crash)(1 + sim_random(&sim, 3));
		sim.crash_every = sim_random(&sim, 3) == 0 ? 40 + sim_random(&sim, 100) : 0;
		sim.referee_ms = 500 + sim_random(&sim, 20000);
		sim_submit(&sim);
		sim_stir(&sim, 200);
		sim.crash_every = 0;
		run_and_compare(12);
		rollbacks += sim.project.rollbacks;
		discarded += sim.project.discarded;
		assert_true(sim.project.discarded <= liars * sim.project.settle_rounds);
		if (seed < last)
			sim_close(&sim);
	}
	print_message("%llu rollbacks took %llu merges back\n", (unsigned long long)rollbacks,
		(unsigned long long)discarded);
	assert_true(one != NULL || rollbacks > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(a_round_is_merged_while_its_audits_are_open_and_the_next_one_waits),
		RULE(with_one_settle_round_nothing_is_merged_before_its_audit),
		RULE(the_work_of_those_who_have_done_little_is_not_merged_before_its_audit),
		RULE(a_merged_unit_that_proves_wrong_takes_its_round_back),
		RULE(what_proves_wrong_under_continue_stands_and_is_said),
		RULE(what_stands_counts_as_looked_at_when_the_seed_is_opened),
		RULE(a_paused_project_that_is_stopped_settles_first_what_was_merged),
		RULE(who_takes_audits_and_does_none_holds_nobody_up),
		RULE(a_merge_that_ends_in_a_pause_counts_for_nothing),
		RULE(a_crash_at_any_step_of_a_rollback_loses_nothing),
		RULE(a_rollback_cannot_be_kept_out_of_the_ledger),
		RULE(any_grid_that_rolls_back_trains_the_same_model),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
