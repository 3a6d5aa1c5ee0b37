/* What the agent's core fetches before a lease asks for it, told as traces of what it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tasks/unit/run.h"
#include "tests/lib/agent_script.h"

static void an_announced_rounds_parameters_are_there_when_its_lease_comes(void **state)
{
	struct script *s = *state;

	script_begin(s);
	script_announce(s, 1);
	script_expect(s, "AHEAD parameters\nSTORE parameters\n");
	script_lease(s, 2, 1, 0);
	script_say(s, &s->lease);
	script_expect(s, "");
	script_event(s, (struct agent_event){
				.type = AGENT_WORKER_FAILED, .job = s->job, .text = "no memory"});
	script_expect(s, "SEND ABANDON 1\nCOMPUTE\n");
}

static void a_round_of_a_project_that_we_do_not_work_for_is_only_heard(void **state)
{
	struct script *s = *state;

	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_clear(s);
	script_announce(s, 1);
	script_expect(s, "");
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	script_clear(s);
	s->tiny.recipe_digest.b[0] ^= 1;
	script_announce(s, 2);
	script_expect(s, "");
}

static void a_round_that_does_not_fit_its_recipe_is_not_fetched(void **state)
{
	struct script *s = *state;

	script_begin(s);
	s->tiny.recipe.train.units_per_round++;
	script_announce(s, 1);
	script_expect(s, "");
}

static void what_this_computer_could_not_compute_is_not_fetched_ahead(void **state)
{
	struct script *s = *state;

	script_begin(s);
	agent_limit_memory(s->agent, unit_memory(&s->tiny.recipe) - 1);
	script_announce(s, 1);
	script_expect(s, "");
}

static void the_same_round_twice_and_an_older_one_fetch_nothing(void **state)
{
	struct script *s = *state;

	script_begin(s);
	script_announce(s, 2);
	script_clear(s);
	script_announce(s, 2);
	script_announce(s, 1);
	script_announce(s, 0);
	script_expect(s, "");
}

static void a_newer_round_takes_the_place_of_one_that_has_not_come(void **state)
{
	struct script *s = *state;

	script_begin(s);
	s->ahead_slow = true;
	script_announce(s, 1);
	script_expect(s, "AHEAD parameters\n");
	script_announce(s, 2);
	script_expect(s, "REMOVE parameters\nAHEAD parameters\n");
	script_stored(s, 2);
	script_lease(s, 2, 2, 0);
	script_say(s, &s->lease);
	script_expect(s, "");
}

static void a_lease_goes_on_with_what_comes_ahead_already(void **state)
{
	struct script *s = *state;

	script_begin(s);
	s->ahead_slow = true;
	script_announce(s, 1);
	s->blobs_silent = true; /* the swarm has it in hand and answers once */
	script_lease(s, 2, 1, 0);
	script_say(s, &s->lease);
	script_announce(s, 2); /* waits until the lease has what it needs */
	script_expect(s, "AHEAD parameters\n");
	script_stored(s, 1);
	script_expect(s, "AHEAD parameters\n");
}

static void a_lease_that_waits_for_its_own_blobs_goes_first(void **state)
{
	struct script *s = *state;

	script_begin(s);
	s->blobs_silent = true;
	script_lease(s, 2, 1, 0);
	script_say(s, &s->lease);
	script_announce(s, 2);
	script_expect(s, "");
	s->blobs_silent = false;
	script_stored(s, 1);
	script_expect(s, "AHEAD parameters\nSTORE parameters\n");
}

static void parameters_that_cannot_be_had_ahead_are_asked_for_by_their_lease(void **state)
{
	struct script *s = *state;

	script_begin(s);
	s->ahead_slow = true;
	script_announce(s, 1);
	script_event(s, (struct agent_event){.type = AGENT_BLOB_FAILED,
				.digest = s->parameters_digest[1],
				.text = "nobody has it"});
	script_expect(s, "AHEAD parameters\n");
	script_lease(s, 2, 1, 0);
	script_say(s, &s->lease);
	script_expect(s, "STORE parameters\n");
}

static void many_rounds_ahead_keep_a_bounded_number_on_disk(void **state)
{
	struct script *s = *state;
	size_t removed = 0;

	script_begin(s); /* round 0 stays: it is computed from */
	for (uint32_t round = 1; round < SCRIPT_ROUNDS; round++)
		script_announce(s, round);
	for (const char *at = s->trace; (at = strstr(at, "REMOVE parameters")) != NULL; at++)
		removed++;
	assert_int_equal(removed, SCRIPT_ROUNDS - (AGENT_JOBS_MAX + 1));
	assert_true(agent_needs_blob(s->agent, &s->parameters_digest[0]));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, script_setup, script_teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_announced_rounds_parameters_are_there_when_its_lease_comes),
		TEST(a_round_of_a_project_that_we_do_not_work_for_is_only_heard),
		TEST(a_round_that_does_not_fit_its_recipe_is_not_fetched),
		TEST(what_this_computer_could_not_compute_is_not_fetched_ahead),
		TEST(the_same_round_twice_and_an_older_one_fetch_nothing),
		TEST(a_newer_round_takes_the_place_of_one_that_has_not_come),
		TEST(a_lease_goes_on_with_what_comes_ahead_already),
		TEST(a_lease_that_waits_for_its_own_blobs_goes_first),
		TEST(parameters_that_cannot_be_had_ahead_are_asked_for_by_their_lease),
		TEST(many_rounds_ahead_keep_a_bounded_number_on_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
