/* verify.policy adaptive: one established peer settles a unit, a secret draw says which are computed again, and
 * what newcomers say decides nothing. Rules one by one, then grids from seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/draw.h"
#include "tests/coordinator/core_rules.h"

#define HOUR_MS 3600000u

static void run(uint64_t hours)
{
	if (!sim_run(&sim, hours * HOUR_MS) || sim.project.state != PROJECT_DONE) {
		print_error("seed %llu: state %d in round %u: %s\n", (unsigned long long)sim.seed,
			(int)sim.project.state, sim.project.round, sim.project.reason);
		fail();
	}
	assert_int_equal(sim.project.units_accepted, (uint64_t)sim.rounds * sim.units);
}

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

/* The peer's whole way with one unit. */
static struct sim_task *work(uint32_t peer, uint32_t unit, uint64_t variant)
{
	struct sim_task *t = lease_and_commit(peer, unit, variant);

	sim_reveal(&sim, peer, t);
	if (state_of(t) == REPLICA_UPLOADING)
		sim_upload(&sim, peer, t);
	return t;
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

static void honest_peers_compute_ever_fewer_units_twice(void **state)
{
	uint64_t before;

	(void)state;
	sim_init(&sim, 7, 60, 20, 2, 64);
	sim_adaptive(&sim, 0.02);
	for (uint32_t i = 0; i < 6; i++)
		sim_peer_add(&sim, SIM_HONEST, 900 + 70 * i);
	sim_submit(&sim);
	while (sim.project.round < 40)
		sim_wait(&sim, 1000);
	before = sim.project.replicas;
	run(10);
	print_message("replicas %llu of %u units; %llu of the last %u\n",
		(unsigned long long)sim.project.replicas, sim.rounds * sim.units,
		(unsigned long long)(sim.project.replicas - before), 20 * sim.units);
	assert_int_equal(sim.wrong_merged, 0);
	assert_true(sim.project.replicas < 2u * sim.rounds * sim.units * 3 / 4);
}

/* Two established peers and one who has to earn it; another is always wrong. */
static void small_grid(uint64_t seed)
{
	sim_init(&sim, seed, 2, 4, 2, 64);
	sim_adaptive(&sim, 0.02);
	for (uint32_t i = 0; i < 4; i++)
		sim_peer_add(&sim, i == 3 ? SIM_WRONG : SIM_HONEST, 900 + 300 * i);
	for (uint32_t i = 0; i < 2; i++)
		sim_trust(&sim, i, 7 + 90 * i);
	sim_kill_core(&sim);
	sim.crashes = 0;
	sim_submit(&sim);
}

static void a_crash_at_any_step_changes_no_merge(void **state)
{
	uint64_t steps;

	(void)state;
	small_grid(11);
	run(2);
	steps = sim.steps;
	assert_true(steps > 30);
	assert_int_equal(sim.wrong_merged, 0);
	sim_close(&sim);
	for (int crash = SIM_BEFORE_COMMIT; crash <= SIM_AFTER_SPEAKING; crash++)
		for (uint64_t at = 2; at <= steps; at++) {
			small_grid(11);
			sim.crash = (enum sim_crash)crash;
			sim.crash_step = at;
			run(2);
			assert_int_equal(sim.wrong_merged, 0);
			sim_close(&sim);
		}
	sim_init(&sim, 1, 1, 1, 2, 64);
}

static enum sim_behaviour some_behaviour(void)
{
	enum sim_behaviour b =
		(enum sim_behaviour)(SIM_WRONG + sim_random(&sim, SIM_BEHAVIOURS - 2));

	return b == SIM_WRONG_RARELY ? SIM_WRONG : b;
}

/* Who is wrong before it is established gets nothing through, whatever it does; who is wrong rarely may. */
static void any_mix_of_newcomers_churn_and_crashes_trains_the_same_model(void **state)
{
	const char *one = getenv("CORE_SIM_SEED");
	uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
	uint64_t last = one != NULL ? first : 200;
	struct digest expected;

	(void)state;
	for (uint64_t seed = first; seed <= last; seed++) {
		sim_init(&sim, seed, 1 + (uint32_t)(seed % 3), 1 + (uint32_t)(seed / 3 % 9), 2, 40);
		sim_adaptive(&sim, seed % 2 == 0 ? 0.02 : 0.5);
		for (uint32_t i = 0; i < 4; i++) {
			sim_peer_add(&sim, SIM_HONEST, 200 + sim_random(&sim, 9000));
			if (i < seed % 5)
				sim_trust(&sim, i, 5 + sim_random(&sim, 300));
		}
		for (uint32_t i = 0; i < seed % 4; i++)
			sim_peer_add(&sim, some_behaviour(), 100 + sim_random(&sim, 5000));
		sim_kill_core(&sim);
		sim.crash = (enum sim_crash)(1 + sim_random(&sim, 3));
		sim.crash_every = sim_random(&sim, 3) == 0 ? 40 + sim_random(&sim, 100) : 0;
		sim.referee_ms = 500 + sim_random(&sim, 20000);
		sim_submit(&sim);
		sim_stir(&sim, 200);
		sim.crash_every = 0;
		run(12);
		sim_expected(&sim, &expected);
		if (!digest_equal(&expected, &sim.project.parameters)) {
			print_error("seed %llu: another model\n", (unsigned long long)seed);
			fail();
		}
		if (seed < last)
			sim_close(&sim);
	}
}

/* How many results the peer had committed to when it committed to this one, itself included. */
static uint32_t order_of(uint32_t peer, const struct digest *nonce)
{
	uint64_t at_ms = sim_replica(&sim, nonce)->committed_ms;
	uint32_t n = 0;

	for (size_t i = 0; i < sim.replica_count; i++)
		n += sim.replicas[i].committed_ms != 0 && sim.replicas[i].committed_ms <= at_ms &&
		     key_equal(&sim.replicas[i].peer, &sim.peers[peer].key.public);
	return n;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

#define TRIALS 101u

/* A peer with trust t whose every result is wrong from now on is found after as many as the formula says. */
static void a_sleeper_is_found_as_soon_as_the_formula_says(void **state)
{
	uint64_t trust = 100; /* p = 5/100: one half is found by the 14th */
	uint32_t found[TRIALS];
	double p = draw_probability(trust, 0.02);
	double median = ceil(log(2) / -log1p(-p));

	(void)state;
	for (uint32_t i = 0; i < TRIALS; i++) {
		sim_init(&sim, 1000 + i, 20, 20, 2, 64);
		sim_adaptive(&sim, 0.001);
		sim_peer_add(&sim, SIM_WRONG, 1000);
		sim_trust(&sim, 0, trust);
		for (uint32_t peer = 1; peer < 3; peer++) {
			sim_peer_add(&sim, SIM_HONEST, 4000);
			sim_trust(&sim, peer, RARELY);
		}
		sim_kill_core(&sim);
		sim_submit(&sim);
		while (sim.faults == 0 && sim.project.state == PROJECT_RUNNING)
			sim_wait(&sim, 1000);
		assert_int_equal(sim.project.state, PROJECT_RUNNING);
		found[i] = order_of(0, &sim.first_fault);
		if (i + 1 < TRIALS)
			sim_close(&sim);
	}
	qsort(found, TRIALS, sizeof(*found), compare_u32);
	print_message("median of wrong results until the one that was found: %u (formula: %g)\n",
		found[TRIALS / 2], median);
	assert_true(fabs(found[TRIALS / 2] - median) <= 3);
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
		RULE(a_crash_at_any_step_changes_no_merge),
		RULE(any_mix_of_newcomers_churn_and_crashes_trains_the_same_model),
		RULE(a_sleeper_is_found_as_soon_as_the_formula_says),
		RULE(honest_peers_compute_ever_fewer_units_twice),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
