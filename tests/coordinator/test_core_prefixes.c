/* Replicas of one unit go to different address prefixes as long as there are enough, and nobody waits for that for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/draw.h"
#include "tests/coordinator/core_rules.h"

#define HERE  7u
#define THERE 9u

/* prefixes[i]: that of peer i. */
static void begin_at(uint32_t units, uint32_t peers, const uint64_t *prefixes)
{
	begin(1, units, 2, peers);
	for (uint32_t i = 0; i < peers; i++) {
		sim_disconnect(&sim, i, 1);
		sim.peers[i].prefix = prefixes[i];
	}
	sim_wait(&sim, 2000);
}

static uint32_t leased_unit(uint32_t peer)
{
	size_t before = sim_count(&sim, peer, MESSAGE_LEASE);

	sim_request(&sim, peer, 1);
	assert_int_equal(sim_count(&sim, peer, MESSAGE_LEASE), before + 1);
	return sim.replicas[sim.replica_count - 1].unit;
}

static void a_neighbour_gets_another_unit(void **state)
{
	(void)state;
	begin_at(4, 5, (uint64_t[]){HERE, HERE, THERE, 11, 12});
	assert_int_equal(leased_unit(0), 0);
	assert_int_equal(leased_unit(1), 1);
	assert_int_equal(leased_unit(2), 0); /* units begun come first */
	assert_int_equal(leased_unit(2), 1);
}

static void nobody_waits_for_strangers_for_ever(void **state)
{
	(void)state;
	begin_at(1, 5, (uint64_t[]){HERE, HERE, THERE, 11, 12});
	assert_int_equal(leased_unit(0), 0);
	sim_request(&sim, 1, 1);
	assert_int_equal(sim_last(&sim, 1, MESSAGE_NO_WORK)->no_work.reason, NO_WORK_WAITING);
	sim_wait(&sim, NEAR_MS + 2000);
	assert_int_equal(sim_count(&sim, 1, MESSAGE_LEASE), 1);
}

static void where_most_are_of_one_prefix_it_decides_nothing(void **state)
{
	(void)state;
	begin_at(1, 4, (uint64_t[]){HERE, HERE, HERE, THERE});
	assert_int_equal(leased_unit(0), 0);
	assert_int_equal(leased_unit(1), 0);
	sim_close(&sim);
	begin_at(1, 4, (uint64_t[]){0, 0, HERE, THERE}); /* a network at home */
	assert_int_equal(leased_unit(0), 0);
	assert_int_equal(leased_unit(1), 0);
}

static void who_leaves_is_not_counted(void **state)
{
	(void)state;
	begin_at(2, 4, (uint64_t[]){HERE, HERE, THERE, 11});
	assert_int_equal(leased_unit(0), 0);
	assert_int_equal(leased_unit(1), 1);
	sim_disconnect(&sim, 2, 1000 * MINUTE_MS);
	sim_wait(&sim, 2000);
	assert_int_equal(leased_unit(1), 0); /* two of three are here */
}

static void a_newcomer_repeats_no_neighbours_units(void **state)
{
	struct sim_task *t;

	(void)state;
	sim_init(&sim, 7, 1, 8, 2, 64);
	sim_adaptive(&sim, 0.01);
	sim_submit(&sim);
	for (uint32_t i = 0; i < 6; i++)
		sim_peer_add(&sim, SIM_MANUAL, 0);
	for (uint32_t i = 0; i < 4; i++)
		sim_trust(&sim, i, 1000000);
	sim_kill_core(&sim);
	for (uint32_t i = 0; i < 6; i++) {
		sim.peers[i].prefix = i == 0 || i == 4 ? HERE : 20 + i;
		sim_connect(&sim, i);
	}
	t = lease(0, 0);
	sim_compute(&sim, 0, t, 0);
	sim_commit(&sim, 0, t);
	sim_reveal(&sim, 0, t);
	sim_upload(&sim, 0, t);
	assert_int_equal(sim_unit(&sim, 0, 0)->state, UNIT_SETTLED);
	sim_request(&sim, 4, 1);
	assert_int_equal(sim_count(&sim, 4, MESSAGE_LEASE), 0);
	sim_request(&sim, 5, 1);
	assert_int_equal(sim_count(&sim, 5, MESSAGE_LEASE), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(a_neighbour_gets_another_unit),
		RULE(nobody_waits_for_strangers_for_ever),
		RULE(where_most_are_of_one_prefix_it_decides_nothing),
		RULE(who_leaves_is_not_counted),
		RULE(a_newcomer_repeats_no_neighbours_units),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
