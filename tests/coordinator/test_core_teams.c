/* Teams at the core: what a volunteer says of its team is kept, follows the identity, and decides nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/coordinator/core_rules.h"

/* A request on the session that is open. */
static void ask_for(uint32_t peer, const char *team)
{
	sim.peers[peer].team = team;
	sim_request(&sim, peer, 1);
}

/* The same on a new session. */
static void come_back_for(uint32_t peer, const char *team)
{
	sim_disconnect(&sim, peer, 0);
	sim_connect(&sim, peer);
	ask_for(peer, team);
}

static void a_team_is_stored_with_the_first_request_and_none_is_none(void **state)
{
	(void)state;
	begin(1, 2, 2, 2);
	ask_for(0, "otaniemi");
	ask_for(1, NULL);
	assert_string_equal(sim_peer_row(&sim, 0)->team, "otaniemi");
	assert_string_equal(sim_peer_row(&sim, 1)->team, "");
}

static void a_new_team_takes_all_credit_of_its_member_and_a_killed_core_knows_it(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 2, 2, 2);
	sim.peers[0].team = "otaniemi";
	settle(0, t);
	assert_string_equal(sim_peer_row(&sim, 0)->team, "otaniemi");
	come_back_for(0, "kallio");
	assert_string_equal(sim_peer_row(&sim, 0)->team, "kallio");
	assert_int_equal(sim_peer_row(&sim, 0)->credit_flops, 1000);
	sim_kill_core(&sim);
	sim_connect(&sim, 0);
	ask_for(0, "kallio");
	assert_string_equal(sim_peer_row(&sim, 0)->team, "kallio");
	come_back_for(0, NULL);
	assert_string_equal(sim_peer_row(&sim, 0)->team, "");
	assert_int_equal(sim_peer_row(&sim, 0)->credit_flops, 1000);
	assert_int_equal(sim.drops, 0);
}

static void a_team_that_changes_within_a_session_ends_it_and_is_not_kept(void **state)
{
	(void)state;
	begin(1, 2, 2, 2);
	ask_for(0, "otaniemi");
	ask_for(0, "otaniemi");
	assert_int_equal(sim.drops, 0);
	ask_for(0, "kallio");
	assert_int_equal(sim.drops, 1);
	assert_int_equal(sim.peers[0].conn, 0);
	assert_string_equal(sim_peer_row(&sim, 0)->team, "otaniemi");
	ask_for(1, NULL);
	ask_for(1, "kallio"); /* none is a team like any */
	assert_int_equal(sim.drops, 2);
	assert_string_equal(sim_peer_row(&sim, 1)->team, "");
}

static void peers_of_one_team_still_check_each_other(void **state)
{
	struct sim_task *t[2];

	(void)state;
	begin(1, 1, 2, 2);
	sim.peers[0].team = sim.peers[1].team = "otaniemi";
	settle(0, t);
	for (uint32_t i = 0; i < 2; i++)
		assert_verdict(i, t[i], VERDICT_VALID);
	assert_int_equal(sim.project.units_accepted, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(a_team_is_stored_with_the_first_request_and_none_is_none),
		RULE(a_new_team_takes_all_credit_of_its_member_and_a_killed_core_knows_it),
		RULE(a_team_that_changes_within_a_session_ends_it_and_is_not_kept),
		RULE(peers_of_one_team_still_check_each_other),
	};

	return cmocka_run_group_tests_name("coordinator: core, teams", tests, NULL, NULL);
}
