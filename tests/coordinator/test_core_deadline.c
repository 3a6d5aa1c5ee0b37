/* How long a lease lasts: a project ends however long its units take, on fast peers and on slow ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/coordinator/core_rules.h"

#define HOUR_MS 3600000ull

static struct sim_task *lease_of(uint32_t peer, uint32_t unit, uint32_t ms)
{
	struct sim_task *t = lease(peer, unit);

	assert_int_equal(sim_last(&sim, peer, MESSAGE_LEASE)->lease.deadline_ms, ms);
	return t;
}

static uint32_t some_lease(uint32_t peer)
{
	size_t before = sim_count(&sim, peer, MESSAGE_LEASE);

	sim_request(&sim, peer, 1);
	assert_int_equal(sim_count(&sim, peer, MESSAGE_LEASE), before + 1);
	return sim_last(&sim, peer, MESSAGE_LEASE)->lease.deadline_ms;
}

/* Both results are in and equal, `after_ms` from now. */
static void settle_both(
	uint32_t a, struct sim_task *x, uint32_t b, struct sim_task *y, uint64_t after_ms)
{
	struct sim_task *t[2] = {x, y};
	uint32_t peer[2] = {a, b};
	uint32_t up;

	sim_wait(&sim, after_ms);
	for (int i = 0; i < 2; i++) {
		sim_compute(&sim, peer[i], t[i], 0);
		sim_commit(&sim, peer[i], t[i]);
	}
	for (int i = 0; i < 2; i++)
		sim_reveal(&sim, peer[i], t[i]);
	up = state_of(x) == REPLICA_UPLOADING ? 0 : 1;
	sim_upload(&sim, peer[up], t[up]);
	assert_int_equal(state_of(x), REPLICA_VALID);
	assert_int_equal(state_of(y), REPLICA_VALID);
}

static void units_that_outlast_the_first_lease_are_finished(void **state)
{
	static const uint64_t unit_ms[] = {25 * 60000u, 10 * HOUR_MS};

	(void)state;
	for (size_t i = 0; i < sizeof(unit_ms) / sizeof(*unit_ms); i++) {
		sim_init(&sim, 1, 1, 2, 2, 64);
		for (uint32_t k = 0; k < 3; k++)
			sim_peer_add(&sim, SIM_HONEST, unit_ms[i]);
		sim_submit(&sim);
		assert_true(sim_run(&sim, 60 * 24 * HOUR_MS));
		if (i + 1 < sizeof(unit_ms) / sizeof(*unit_ms))
			sim_close(&sim);
	}
}

static void the_first_lease_doubles_until_a_duration_is_known(void **state)
{
	struct sim_task *x, *y;

	(void)state;
	begin(1, 9, 2, 5);
	lease_of(0, 0, LEASE_FIRST_MS);
	lease_of(1, 0, LEASE_FIRST_MS);
	sim_wait(&sim, LEASE_FIRST_MS + 2000); /* both end, and that is one doubling */
	x = lease_of(2, 0, 2 * LEASE_FIRST_MS);
	sim_kill_core(&sim);
	for (uint32_t i = 2; i < 5; i++)
		sim_connect(&sim, i);
	y = lease_of(3, 0, 2 * LEASE_FIRST_MS); /* a restart forgets nothing that is out */
	settle_both(2, x, 3, y, 2 * LEASE_FIRST_MS - 9000);
	lease_of(4, 1, 3 * (2 * LEASE_FIRST_MS - 9000));
}

static void who_was_here_and_late_has_longer_next_time(void **state)
{
	struct sim_task *x, *y;

	(void)state;
	begin(1, 9, 2, 4);
	x = lease(1, 0);
	y = lease(2, 0);
	settle_both(1, x, 2, y, 1000);
	for (uint32_t k = 0; k < 6; k++) {
		uint32_t ms = LEASE_MIN_MS << (k < 4 ? k : 4);

		assert_int_equal(some_lease(0), ms);
		sim_wait(&sim, ms + 2000);
	}
	assert_int_equal(some_lease(3), LEASE_MIN_MS); /* nobody else has */
	assert_int_equal(some_lease(1), LEASE_MIN_MS);
}

static void who_went_away_has_no_longer_next_time(void **state)
{
	(void)state;
	begin(1, 9, 2, 2);
	lease_of(0, 0, LEASE_FIRST_MS);
	sim_disconnect(&sim, 0, LEASE_AWAY_MS + 1000);
	sim_wait(&sim, LEASE_AWAY_MS + 4000);
	lease_of(0, 1, LEASE_FIRST_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(units_that_outlast_the_first_lease_are_finished),
		RULE(the_first_lease_doubles_until_a_duration_is_known),
		RULE(who_was_here_and_late_has_longer_next_time),
		RULE(who_went_away_has_no_longer_next_time),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
