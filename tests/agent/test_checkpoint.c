/* The agent's core: units that carry a state, and units that go on from a checkpoint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/lib/agent_script.h"

#define EVERY_MS 5000u

static int setup(void **state)
{
	static struct script s;

	script_open(&s);
	agent_checkpoint_every(s.agent, EVERY_MS);
	*state = &s;
	return 0;
}

static int teardown(void **state)
{
	script_close(*state);
	return 0;
}

static void connect(struct script *s)
{
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_clear(s);
}

static void lease(struct script *s)
{
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
}

static void begin_computing(struct script *s)
{
	connect(s);
	lease(s);
	script_clear(s);
}

static void checkpoint(struct script *s, uint64_t job)
{
	script_event(s, (struct agent_event){.type = AGENT_WORKER_CHECKPOINT,
				.job = job,
				.bytes = span_text("how far it is")});
}

static void progress(struct script *s)
{
	script_event(
		s, (struct agent_event){
			   .type = AGENT_WORKER_PROGRESS, .job = s->job, .done = 3, .total = 5});
}

static void fail_with(struct script *s, int code)
{
	script_event(s, (struct agent_event){.type = AGENT_WORKER_FAILED,
				.job = s->job,
				.code = code,
				.text = "it does not fit"});
}

static void settle_late(struct script *s)
{
	struct message m = {.type = MESSAGE_SETTLED, .settled = {.verdict = VERDICT_LATE}};

	memset(m.settled.nonce.b, 1, DIGEST_BYTES);
	script_say(s, &m);
}

static void a_unit_in_progress_is_saved_again_and_again(void **state)
{
	struct script *s = *state;

	begin_computing(s);
	script_pass(s, EVERY_MS - AGENT_TICK_MS);
	script_expect(s, "");
	script_pass(s, AGENT_TICK_MS);
	script_expect(s, "ASK_CHECKPOINT\n");
	checkpoint(s, s->job);
	script_expect(s, "SAVE_CHECKPOINT +13\n");
	script_pass(s, EVERY_MS);
	script_expect(s, "ASK_CHECKPOINT\n");
}

static void a_checkpoint_of_another_job_is_not_kept(void **state)
{
	struct script *s = *state;

	begin_computing(s);
	checkpoint(s, s->job + 1);
	script_expect(s, "");
}

static void after_a_crash_the_unit_goes_on_from_its_checkpoint(void **state)
{
	struct script *s = *state;

	begin_computing(s);
	checkpoint(s, s->job);
	script_clear(s);
	script_event(s, (struct agent_event){.type = AGENT_WORKER_GONE, .text = "killed"});
	script_expect(s, "COMPUTE on\n");
}

static void a_checkpoint_that_does_not_fit_costs_only_time(void **state)
{
	struct script *s = *state;

	begin_computing(s);
	checkpoint(s, s->job);
	script_event(s, (struct agent_event){.type = AGENT_WORKER_GONE, .text = "killed"});
	script_clear(s);
	fail_with(s, TK_ECORRUPT);
	script_expect(s, "REMOVE_CHECKPOINT\nCOMPUTE\n");
	fail_with(s, TK_ECORRUPT);
	script_expect(s, "SEND ABANDON 1\n");
}

static void a_failure_on_the_way_is_not_the_checkpoints(void **state)
{
	struct script *s = *state;

	begin_computing(s);
	checkpoint(s, s->job);
	script_event(s, (struct agent_event){.type = AGENT_WORKER_GONE, .text = "killed"});
	progress(s);
	script_clear(s);
	fail_with(s, TK_ECORRUPT);
	script_expect(s, "REMOVE_CHECKPOINT\nSEND ABANDON 1\n");
}

static void a_checkpoint_goes_with_its_unit(void **state)
{
	struct script *s = *state;

	begin_computing(s);
	checkpoint(s, s->job);
	script_result(s, 10);
	script_clear(s);
	script_done(s);
	script_expect(s, "SAVE_RESULT 1\nREMOVE_CHECKPOINT\nSEND WORK_REQUEST 2\nSEND COMMIT 1\n");
}

static void a_checkpoint_goes_with_its_lease(void **state)
{
	struct script *s = *state;

	begin_computing(s);
	checkpoint(s, s->job);
	script_clear(s);
	settle_late(s);
	script_expect(s, "CANCEL\nREMOVE_CHECKPOINT\nSEND WORK_REQUEST 2\n");
	checkpoint(s, s->job); /* which was on its way */
	script_expect(s, "");
}

static void after_a_restart_a_lease_with_a_checkpoint_is_waited_for_and_gone_on_with(void **state)
{
	struct script *s = *state;
	struct digest held[2];

	begin_computing(s);
	assert_int_equal(s->leases.len, sizeof(held));
	memcpy(held, s->leases.data, sizeof(held));
	assert_true(digest_equal(&held[1], &s->unit_digest));
	script_restart(s);
	assert_int_equal(agent_load_checkpoint(s->agent, &held[1]), TK_OK);
	assert_int_equal(agent_load_lease(s->agent, &held[0], &held[1]), TK_OK);
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_expect(s, "DIAL 0\nSEND WORK_REQUEST 2\n"); /* no ABANDON */
	lease(s);
	script_expect(s, "COMPUTE on\n");
}

static void a_checkpoint_serves_a_new_lease_of_its_unit_and_no_other(void **state)
{
	struct script *s = *state;

	script_lease(s, 9, 0, 0);
	assert_int_equal(agent_load_checkpoint(s->agent, &s->unit_digest), TK_OK);
	connect(s);
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	script_expect(s, "STORE recipe\nSTORE parameters\nCOMPUTE\n");
	script_result(s, 10);
	script_done(s);
	script_clear(s);
	lease(s);
	script_expect(s, "COMPUTE on\n");
}

static void checkpoints_that_no_lease_asks_for_leave_the_disk(void **state)
{
	struct script *s = *state;
	struct digest unit = {{5}};

	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++)
		assert_int_equal(agent_load_checkpoint(s->agent, &unit), TK_OK);
	assert_int_equal(agent_load_checkpoint(s->agent, &unit), TK_ELIMIT);
	s->unit_digest = unit;
	connect(s);
	script_lost(s);
	script_clear(s);
	s->now_ms += AGENT_CHECKPOINTS_MS;
	script_event(s, (struct agent_event){.type = AGENT_TICK});
	assert_non_null(strstr(s->trace, "REMOVE_CHECKPOINT\nREMOVE_CHECKPOINT\n"
					 "REMOVE_CHECKPOINT\nREMOVE_CHECKPOINT\n"));
}

static void who_stops_asks_for_a_last_checkpoint(void **state)
{
	struct script *s = *state;

	script_event(s, (struct agent_event){.type = AGENT_STOPPING});
	script_expect(s, "");
	begin_computing(s);
	script_event(s, (struct agent_event){.type = AGENT_STOPPING});
	script_expect(s, "ASK_CHECKPOINT\n");
}

static void a_state_is_fetched_once_and_named_to_the_worker(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	script_carry(s, true);
	connect(s);
	lease(s);
	script_expect(s, "STORE recipe\nSTORE parameters\nSTORE state\nCOMPUTE\n");
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	script_expect(s, "");
	script_status(s, &status);
	assert_int_equal(status.leases, 2);
}

static void status_names_the_state_while_it_is_fetched(void **state)
{
	struct script *s = *state;
	struct agent_status status;
	struct unit unit;

	script_carry(s, true);
	connect(s);
	lease(s);
	script_result(s, 10);
	script_done(s);
	s->state.data[0] ^= 1; /* the next round's */
	s->blobs_silent = true;
	script_lease(s, 2, 0, 1);
	assert_int_equal(unit_decode(&unit, bytes_span(&s->unit), NULL), TK_OK);
	assert_false(digest_is_zero(&unit.state));
	script_say(s, &s->lease);
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "the optimizer's state"));
}

static void a_state_that_the_recipe_does_not_carry_is_not_fetched(void **state)
{
	struct script *s = *state;

	script_carry(s, false);
	connect(s);
	lease(s);
	script_expect(s, "STORE recipe\nSEND ABANDON 1\n");
}

static void a_state_longer_than_the_recipe_says_is_refused(void **state)
{
	struct script *s = *state;

	script_carry(s, true);
	assert_int_equal(bytes_append(&s->state, "1234", 4), TK_OK);
	connect(s);
	lease(s);
	assert_non_null(strstr(s->trace, "SEND ABANDON 1\n"));
	assert_non_null(strstr(s->sent.abandon.text, "longer"));
}

static void states_of_old_rounds_leave_the_disk(void **state)
{
	struct script *s = *state;
	unsigned removed = 0;

	script_carry(s, true);
	connect(s);
	for (uint8_t round = 0; round < SCRIPT_ROUNDS; round++) {
		s->state.data[0] = round;
		script_lease(s, (uint8_t)(round + 1), round, 0);
		script_say(s, &s->lease);
		script_result(s, 10);
		script_done(s);
		for (const char *at = s->trace; (at = strstr(at, "REMOVE state\n")) != NULL; at++)
			removed++;
		script_clear(s);
	}
	assert_int_equal(removed, SCRIPT_ROUNDS - (AGENT_JOBS_MAX + 1));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_unit_in_progress_is_saved_again_and_again),
		TEST(a_checkpoint_of_another_job_is_not_kept),
		TEST(after_a_crash_the_unit_goes_on_from_its_checkpoint),
		TEST(a_checkpoint_that_does_not_fit_costs_only_time),
		TEST(a_failure_on_the_way_is_not_the_checkpoints),
		TEST(a_checkpoint_goes_with_its_unit),
		TEST(a_checkpoint_goes_with_its_lease),
		TEST(after_a_restart_a_lease_with_a_checkpoint_is_waited_for_and_gone_on_with),
		TEST(a_checkpoint_serves_a_new_lease_of_its_unit_and_no_other),
		TEST(checkpoints_that_no_lease_asks_for_leave_the_disk),
		TEST(who_stops_asks_for_a_last_checkpoint),
		TEST(a_state_is_fetched_once_and_named_to_the_worker),
		TEST(status_names_the_state_while_it_is_fetched),
		TEST(a_state_that_the_recipe_does_not_carry_is_not_fetched),
		TEST(a_state_longer_than_the_recipe_says_is_refused),
		TEST(states_of_old_rounds_leave_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
