/* The core under crashes, churn and every kind of bad peer: whatever happens, each unit settles on
 * the honest result, nobody honest is retired, and the last round ends with the same parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tasks/base/key.h"
#include "tests/lib/core_sim.h"
#include "tests/lib/slice.h"

#define HOUR_MS 3600000u

static struct sim sim; /* large */

static void check_finished(struct sim *s, uint64_t limit_ms)
{
	struct digest expected;

	if (!sim_run(s, limit_ms) || s->project.state != PROJECT_DONE) {
		print_error("seed %llu: state %d in round %u after %llu steps: %s\n",
			(unsigned long long)s->seed, (int)s->project.state, s->project.round,
			(unsigned long long)s->steps, s->project.reason);
		fail();
	}
	sim_expected(s, &expected);
	if (!digest_equal(&expected, &s->project.parameters)) {
		print_error("seed %llu: another model\n", (unsigned long long)s->seed);
		fail();
	}
	assert_int_equal(s->project.units_accepted, (uint64_t)s->rounds * s->units);
}

static void small_grid(struct sim *s, uint64_t seed)
{
	sim_init(s, seed, 2, 3, 2, 64);
	sim_peer_add(s, SIM_HONEST, 1000);
	sim_peer_add(s, SIM_HONEST, 1500);
	sim_peer_add(s, SIM_WRONG, 800);
	sim_submit(s);
}

static void a_crash_at_any_step_changes_no_merge(void **state)
{
	uint64_t steps;

	(void)state;
	small_grid(&sim, 11);
	check_finished(&sim, HOUR_MS);
	steps = sim.steps;
	assert_true(steps > 30);
	sim_close(&sim);
	for (int crash = SIM_BEFORE_COMMIT; crash <= SIM_AFTER_SPEAKING; crash++) {
		for (uint64_t at = 2; at <= steps; at += slice(1, 5)) {
			small_grid(&sim, 11);
			sim.crash = (enum sim_crash)crash;
			sim.crash_step = at;
			check_finished(&sim, HOUR_MS);
			sim_close(&sim);
		}
	}
}

static void running_out_of_memory_loses_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= slice(60, 8); seed++) {
		small_grid(&sim, seed);
		sim.memory_short = 4;
		sim_stir(&sim, 60);
		assert_true(sim.crashes > 0);
		sim.memory_short = 0;
		check_finished(&sim, HOUR_MS);
		sim_close(&sim);
	}
}

static void crashes_every_few_steps_change_no_merge(void **state)
{
	static const uint64_t every[] = {61, 47, 31, 23};

	(void)state;
	for (size_t i = 0; i < sizeof(every) / sizeof(*every); i++) {
		for (int crash = SIM_BEFORE_COMMIT; crash <= SIM_AFTER_SPEAKING; crash++) {
			small_grid(&sim, 12 + i);
			sim.crash = (enum sim_crash)crash;
			sim.crash_every = every[i];
			check_finished(&sim, 4 * HOUR_MS);
			assert_true(sim.crashes > 0);
			sim_close(&sim);
		}
	}
}

static void random_grid(struct sim *s, uint64_t seed)
{
	uint32_t bad;

	sim_init(s, seed, 1 + (uint32_t)(seed % 3), 1 + (uint32_t)(seed / 3 % 7),
		2 + (uint32_t)(seed / 21 % 2), seed % 10 == 0 ? 150000 : 40);
	s->nonfinite_units = seed % 4 == 0;
	bad = (uint32_t)sim_random(s, 5);
	for (uint32_t i = 0; i < s->quorum + 1 + sim_random(s, 3); i++)
		sim_peer_add(s, SIM_HONEST, 200 + sim_random(s, 9000));
	for (uint32_t i = 0; i < bad; i++)
		sim_peer_add(s, (enum sim_behaviour)(SIM_WRONG + sim_random(s, SIM_BEHAVIOURS - 2)),
			100 + sim_random(s, 5000));
	for (uint32_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].behaviour != SIM_HONEST)
			s->peers[i].lie = (enum sim_lie)sim_random(s, SIM_LIES);
	s->crash = (enum sim_crash)(1 + sim_random(s, 3));
	s->crash_every = sim_random(s, 3) == 0 ? 40 + sim_random(s, 100) : 0;
	s->referee_ms = 500 + sim_random(s, 20000);
	sim_submit(s);
}

static void any_mix_of_peers_churn_and_crashes_trains_the_same_model(void **state)
{
	const char *one = getenv("CORE_SIM_SEED");
	uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
	uint64_t last = one != NULL ? first : slice(600, 42);

	(void)state;
	for (uint64_t seed = first; seed <= last; seed++) {
		random_grid(&sim, seed);
		sim_stir(&sim, 300);
		sim.crash_every = 0;
		check_finished(&sim, 12 * HOUR_MS);
		sim_close(&sim);
	}
}

/* Four peers for each place: they come and go in turns, nothing of theirs is lost, and all of them work. */
static void a_full_house_trains_the_same_model_with_everybody_in_it(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= slice(20, 2); seed++) {
		sim_init(&sim, seed, 12, 40, 2, 64);
		sim.places = SIM_PEERS_MAX / 4;
		for (uint32_t i = 0; i < SIM_PEERS_MAX; i++)
			sim_peer_add(&sim, SIM_HONEST, 5000 + sim_random(&sim, 20000));
		sim_submit(&sim);
		check_finished(&sim, 12 * HOUR_MS);
		assert_true(sim.releases > SIM_PEERS_MAX);
		assert_int_equal(sim.project.units_rejected, 0);
		/* what they bring late is waited for, and hardly ever computed again here */
		assert_in_range(sim.referees, 0, sim.project.units_accepted / 50);
		for (uint32_t i = 0; i < SIM_PEERS_MAX; i++) {
			assert_true(sim.peers[i].visits > 1);
			assert_true(sim_peer_row(&sim, i)->valid > 0);
		}
		sim_close(&sim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crash_at_any_step_changes_no_merge),
		cmocka_unit_test(running_out_of_memory_loses_nothing),
		cmocka_unit_test(crashes_every_few_steps_change_no_merge),
		cmocka_unit_test(a_full_house_trains_the_same_model_with_everybody_in_it),
		cmocka_unit_test(any_mix_of_peers_churn_and_crashes_trains_the_same_model),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
