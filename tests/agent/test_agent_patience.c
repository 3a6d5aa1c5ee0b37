/* The agent and a coordinator that is full: who waits in minutes, who in seconds, and what shortens a wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/lib/agent_script.h"

static void connect(struct script *s)
{
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_clear(s);
}

/* GOODBYE(overload), as the node tells of it. */
static void make_place(struct script *s)
{
	struct message m = {.type = MESSAGE_GOODBYE,
		.goodbye = {.reason = GOODBYE_OVERLOAD,
			.text = "all places are taken, and it was idle longest"}};

	script_say(s, &m);
	script_lost(s);
	script_clear(s);
}

static void turn_away(struct script *s)
{
	script_event(s, (struct agent_event){.type = AGENT_DIAL_FAILED,
				.turned_away = true,
				.text = "the other side closed the connection"});
	script_clear(s);
}

static void who_has_nothing_to_bring_waits_in_minutes(void **state)
{
	struct script *s = *state;
	struct agent_status status;
	uint64_t last, longest = 0;

	s->random = 0x4b;
	connect(s);
	make_place(s);
	script_status(s, &status);
	assert_int_equal(status.state, AGENT_WAITING);
	assert_non_null(strstr(status.reason, "is full; waiting for a place"));
	last = script_wait_for_dial(s);
	for (int i = 0; i < 60; i++) {
		assert_in_range(last, AGENT_FULL_MIN_MS, AGENT_FULL_MAX_MS + AGENT_TICK_MS);
		longest = last > longest ? last : longest;
		turn_away(s);
		last = script_wait_for_dial(s);
	}
	assert_true(longest > 4 * AGENT_FULL_MIN_MS);
}

static void other_trouble_is_waited_for_in_seconds_as_ever(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	connect(s);
	make_place(s);
	(void)script_wait_for_dial(s);
	script_event(s, (struct agent_event){.type = AGENT_DIAL_FAILED, .text = "refused"});
	script_status(s, &status);
	assert_null(strstr(status.reason, "is full"));
	script_clear(s);
	assert_in_range(script_wait_for_dial(s), 0, AGENT_BACKOFF_MAX_MS);
}

static void a_result_is_brought_soon_and_kept_until_there_is_a_place(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	s->random = 0x4b;
	connect(s);
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	script_result(s, 10);
	script_done(s);
	make_place(s);
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "the results are kept"));
	for (int i = 0; i < 30; i++) {
		assert_in_range(script_wait_for_dial(s), 0, AGENT_BACKOFF_MAX_MS + AGENT_TICK_MS);
		turn_away(s);
	}
	(void)script_wait_for_dial(s);
	script_connect(s);
	script_expect(s, "SEND COMMIT 1\nSEND WORK_REQUEST 2\n");
}

/* A lease needs no session while it is computed; its result does. */
static void a_unit_is_computed_without_a_place_and_its_result_ends_the_wait(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	s->random = 0x4b;
	connect(s);
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	make_place(s);
	script_status(s, &status);
	assert_int_equal(status.state, AGENT_COMPUTING);
	assert_non_null(strstr(status.reason, "coordinator is full"));
	script_pass(s, AGENT_FULL_MIN_MS - AGENT_TICK_MS);
	script_expect(s, "");
	script_result(s, 10);
	script_done(s);
	script_expect(s, "SAVE_RESULT 1\n");
	assert_in_range(script_wait_for_dial(s), 0, 3 * AGENT_BACKOFF_MIN_MS + 2 * AGENT_TICK_MS);
	script_connect(s);
	script_expect(s, "SEND COMMIT 1\nSEND WORK_REQUEST 2\n");
}

/* The longest wait that has come about. */
static void wait_long(struct script *s)
{
	connect(s);
	make_place(s);
	for (int i = 0; i < 20; i++) {
		(void)script_wait_for_dial(s);
		turn_away(s);
	}
}

static void a_new_round_shortens_the_wait_to_a_random_part(void **state)
{
	struct script *s = *state;
	uint64_t first = 0;

	for (int i = 0; i < 2; i++) {
		uint64_t wait;

		script_restart(s);
		s->random = 0x4b;
		wait_long(s);
		s->random = i == 0 ? 0x17 : 0x2b; /* two peers draw two times */
		script_announce(s, 1);
		wait = script_wait_for_dial(s);
		assert_in_range(
			wait, 0, AGENT_FULL_MAX_MS / 8 + AGENT_BACKOFF_MIN_MS + AGENT_TICK_MS);
		if (i == 0)
			first = wait;
		else
			assert_int_not_equal(wait, first);
	}
}

static void a_lease_ends_the_growth_of_waits(void **state)
{
	struct script *s = *state;

	s->random = 0x4b;
	wait_long(s);
	(void)script_wait_for_dial(s);
	script_connect(s);
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	s->random = 0xff;
	make_place(s);
	assert_in_range(
		script_wait_for_dial(s), AGENT_FULL_MIN_MS, 3 * AGENT_FULL_MIN_MS + AGENT_TICK_MS);
}

static void news_hurry_nobody_who_waits_for_another_reason(void **state)
{
	struct script *s = *state;

	s->random = 0x4b;
	connect(s);
	script_lost(s);
	script_clear(s);
	s->random = 0;
	script_announce(s, 1);
	script_pass(s, AGENT_BACKOFF_MIN_MS / 2);
	assert_null(strstr(s->trace, "DIAL"));
}

/* A computer so slow that its place is another's before its self-test is done. */
static void a_self_test_that_ends_without_a_session_is_answered_in_the_next(void **state)
{
	struct message ask = {.type = MESSAGE_SELFTEST_REQUEST, .selftest_request.seed = 7};
	struct script *s = *state;
	static const uint8_t digests[2 * DIGEST_BYTES] = {1, 2, 3};

	s->random = 0x4b;
	connect(s);
	script_say(s, &ask);
	script_expect(s, "SELFTEST 7\n");
	make_place(s);
	script_event(s, (struct agent_event){.type = AGENT_SELFTESTED,
				.job = 7,
				.bytes = span_of(digests, sizeof(digests))});
	(void)script_wait_for_dial(s);
	script_connect(s);
	script_clear(s);
	script_say(s, &ask);
	assert_non_null(strstr(s->trace, "SEND SELFTEST"));
	assert_int_equal(s->sent.selftest.seed, 7);
	/* once: what was wrong with it would be wrong again */
	script_clear(s);
	script_say(s, &ask);
	script_expect(s, "SELFTEST 7\n");
}

static void another_days_self_test_is_run_anew(void **state)
{
	struct message ask = {.type = MESSAGE_SELFTEST_REQUEST, .selftest_request.seed = 7};
	struct script *s = *state;
	static const uint8_t digests[DIGEST_BYTES] = {1};

	s->random = 0x4b;
	connect(s);
	script_say(s, &ask);
	make_place(s);
	script_event(s, (struct agent_event){.type = AGENT_SELFTESTED,
				.job = 7,
				.bytes = span_of(digests, sizeof(digests))});
	(void)script_wait_for_dial(s);
	script_connect(s);
	script_clear(s);
	ask.selftest_request.seed = 8;
	script_say(s, &ask);
	script_expect(s, "SELFTEST 8\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, script_setup, script_teardown)
	const struct CMUnitTest tests[] = {
		TEST(who_has_nothing_to_bring_waits_in_minutes),
		TEST(other_trouble_is_waited_for_in_seconds_as_ever),
		TEST(a_result_is_brought_soon_and_kept_until_there_is_a_place),
		TEST(a_unit_is_computed_without_a_place_and_its_result_ends_the_wait),
		TEST(a_new_round_shortens_the_wait_to_a_random_part),
		TEST(a_lease_ends_the_growth_of_waits),
		TEST(a_self_test_that_ends_without_a_session_is_answered_in_the_next),
		TEST(another_days_self_test_is_run_anew),
		TEST(news_hurry_nobody_who_waits_for_another_reason),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
