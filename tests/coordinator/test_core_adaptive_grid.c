/* Whole grids under verify.policy adaptive, from seeds: what it costs honest peers, crashes and churn, and how soon
 * sleepers are found. */
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
#include "tests/lib/slice.h"

#define HOUR_MS 3600000u
#define RARELY	100000 /* trust at which the floor is all that is left */

static void run(uint64_t hours)
{
	if (!sim_run(&sim, hours * HOUR_MS) || sim.project.state != PROJECT_DONE) {
		print_error("seed %llu: state %d in round %u: %s\n", (unsigned long long)sim.seed,
			(int)sim.project.state, sim.project.round, sim.project.reason);
		fail();
	}
	assert_int_equal(sim.project.units_accepted, (uint64_t)sim.rounds * sim.units);
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
		for (uint64_t at = 2; at <= steps; at += slice(1, 5)) {
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
	uint64_t last = one != NULL ? first : slice(200, 30);
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

/* What a sleeper got into rounds that no rollback reaches stays, and the ledger shows which units these are, no other
 * ones. */
static void the_ledger_names_the_units_that_rest_on_a_liars_word(void **state)
{
	uint64_t units[400], count = 0;

	(void)state;
	sim_init(&sim, 1003, 100, 4, 2, 64);
	sim_adaptive(&sim, 0.001);
	for (uint32_t i = 0; i < 3; i++) {
		sim_peer_add(&sim, i == 0 ? SIM_WRONG : SIM_HONEST, 1000 + 1000 * i);
		sim_trust(&sim, i, i == 0 ? 400 : RARELY);
	}
	sim_kill_core(&sim);
	sim_submit(&sim);
	run(2);
	assert_true(sim_peer_row(&sim, 0)->retired);
	assert_true(sim.wrong_merged > 0);
	assert_int_equal(audit_doubtful(&sim.audit, units, 400, &count, NULL), TK_OK);
	assert_int_equal(count, sim.wrong_merged);
	for (uint64_t i = 0; i < count; i++)
		assert_true(units[i] < 400 && (i == 0 || units[i] > units[i - 1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(honest_peers_compute_ever_fewer_units_twice),
		RULE(a_crash_at_any_step_changes_no_merge),
		RULE(any_mix_of_newcomers_churn_and_crashes_trains_the_same_model),
		RULE(a_sleeper_is_found_as_soon_as_the_formula_says),
		RULE(the_ledger_names_the_units_that_rest_on_a_liars_word),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
