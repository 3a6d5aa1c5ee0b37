/* What the coordinator announces: always newer than what it announced before of the same topic, whatever its clock
 * and its restarts do. The simulation checks that at every announcement (sim_check_announced). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/home.h"
#include "coordinator/serve_load.h"
#include "coordinator/serve_persist.h"
#include "tests/coordinator/core_rules.h"

#define HOUR_MS (60 * MINUTE_MS)

static uint64_t beacon(void)
{
	return sim_announced(&sim, ANNOUNCE_BEACON, NULL);
}

static uint64_t control(void)
{
	return sim_announced(&sim, ANNOUNCE_CONTROL, &sim.recipe_digest);
}

static uint64_t revocation(void)
{
	return sim_announced(&sim, ANNOUNCE_REVOKE, NULL);
}

/* Peer 2 gives another result than the first two, and its identity is revoked. */
static void retire_one(void)
{
	struct sim_task *t = lease_and_commit(2, 0, 1);
	struct sim_task *honest[2];

	for (uint32_t i = 0; i < 2; i++)
		honest[i] = lease_and_commit(i, 0, 0);
	sim_reveal(&sim, 2, t);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, honest[i]);
	sim_wait(&sim, 5 * MINUTE_MS);
	assert_true(revocation() != 0);
}

static void beacons_are_numbered_by_the_seconds_of_the_clock(void **state)
{
	(void)state;
	begin(3, 4, 2, 2);
	sim_wait(&sim, MINUTE_MS);
	assert_in_range(beacon(), sim.now_ms / 1000 - 31, sim.now_ms / 1000 + 1);
	assert_true(control() == 0 || control() <= sim.now_ms);
}

static void a_clock_set_back_makes_nothing_old_of_what_is_new(void **state)
{
	uint64_t before;

	(void)state;
	begin(3, 4, 2, 2);
	sim_wait(&sim, MINUTE_MS);
	before = beacon();
	sim.now_ms -= HOUR_MS;
	sim_wait(&sim, 5 * MINUTE_MS);
	assert_in_range(
		beacon(), before + 9, before + 12); /* one each half minute, a second each */
	sim_stop(&sim);
	assert_true(control() > before * 1000);
	sim_wait(&sim, HOUR_MS);
	assert_in_range(beacon(), sim.now_ms / 1000 - 31, sim.now_ms / 1000 + 1);
}

static void a_restart_with_a_clock_set_back_goes_on_from_what_was_announced(void **state)
{
	uint64_t beacon_before, control_before, revocation_before;

	(void)state;
	begin(3, 4, 3, 3);
	sim_wait(&sim, MINUTE_MS);
	retire_one();
	sim_kill_core(&sim);
	sim_wait(&sim, MINUTE_MS);
	beacon_before = beacon();
	control_before = control();
	revocation_before = revocation();
	assert_true(control_before != 0);
	sim_kill_core(&sim);
	sim.now_ms -= HOUR_MS;
	sim_wait(&sim, 10000);
	assert_true(beacon() > beacon_before);
	assert_true(control() > control_before);
	assert_true(revocation() > revocation_before);
}

/* The first beacon of a core loaded from this home, by a clock that says now_ms; it is saved. */
static uint64_t first_beacon(const struct home *h, const struct key_pair *root, uint64_t now_ms)
{
	struct core_event tick = {.type = CORE_TICK, .now_ms = now_ms};
	struct core_effects effects = {0};
	struct announcement a = {.kind = 0};
	struct core *core;
	uint64_t newest;

	assert_int_equal(serve_load_core(h, root, &core, &newest, NULL), TK_OK);
	assert_int_equal(core_step(core, &tick, &effects), TK_OK);
	assert_int_equal(serve_persist(h, &effects, NULL), TK_OK);
	for (size_t i = 0; i < effects.count; i++) {
		if (effects.items[i].type == CORE_ANNOUNCE)
			assert_int_equal(
				announcement_decode(&a, bytes_span(&effects.items[i].bytes), NULL),
				TK_OK);
	}
	assert_int_equal(a.kind, ANNOUNCE_BEACON);
	core_effects_close(&effects);
	core_free(core);
	return a.sequence;
}

static void what_was_announced_is_kept_in_the_store(void **state)
{
	char folder[] = "/tmp/talkoot-announce-XXXXXX", path[64], command[64];
	struct identity root;
	struct home h;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/home", folder);
	assert_int_equal(home_create(path, "", false, 1800000000, NULL), TK_OK);
	assert_int_equal(home_open(&h, path, NULL), TK_OK);
	assert_int_equal(home_identity(&h, &root, NULL), TK_OK);
	assert_int_equal(first_beacon(&h, &root.key, 1800000000000), 1800000000);
	assert_int_equal(first_beacon(&h, &root.key, 1800000000000 - HOUR_MS), 1800000001);
	assert_int_equal(first_beacon(&h, &root.key, 1800000060000), 1800000060);
	identity_wipe(&root);
	home_close(&h);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(beacons_are_numbered_by_the_seconds_of_the_clock),
		RULE(a_clock_set_back_makes_nothing_old_of_what_is_new),
		RULE(a_restart_with_a_clock_set_back_goes_on_from_what_was_announced),
		cmocka_unit_test(what_was_announced_is_kept_in_the_store),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
