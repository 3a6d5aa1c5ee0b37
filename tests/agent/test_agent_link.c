/* The agent's core and its connection: backoff, reconnection, refused leases, retirement, restarts. */
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

/* A lease that cannot stand: the session ends and nothing is gathered or computed. */
static void expect_refused(struct script *s)
{
	script_say(s, &s->lease);
	script_expect(s, "DROP 2\n");
	assert_non_null(strstr(s->dropped, "refused a lease"));
	assert_int_equal(s->leases.len, 0);
}

static void a_lease_that_the_root_key_did_not_sign_is_refused(void **state)
{
	struct script *s = *state;

	connect(s);
	script_lease(s, 1, 0, 0);
	s->lease.lease.signature.b[7] ^= 1;
	expect_refused(s);
}

static void a_round_signed_by_the_root_for_another_network_is_refused(void **state)
{
	struct script *s = *state;
	struct round_manifest m;

	connect(s);
	script_lease(s, 1, 0, 0);
	assert_int_equal(round_decode(&m, s->lease.lease.manifest, NULL), TK_OK);
	m.network.b[0] ^= 1;
	script_sign(s, &m);
	expect_refused(s);
}

static void a_unit_that_differs_from_its_signed_round_is_refused(void **state)
{
	struct script *s = *state;

	for (int field = 0; field < 3; field++) {
		struct round_manifest m;

		script_restart(s);
		connect(s);
		script_lease(s, 1, 0, 3);
		assert_int_equal(round_decode(&m, s->lease.lease.manifest, NULL), TK_OK);
		m.recipe.b[0] ^= field == 0;
		m.round += field == 1;
		m.parameters.b[0] ^= field == 2;
		script_sign(s, &m);
		expect_refused(s);
	}
}

static void a_unit_beyond_its_round_is_refused(void **state)
{
	struct script *s = *state;
	struct round_manifest m;

	connect(s);
	script_lease(s, 1, 0, 3);
	assert_int_equal(round_decode(&m, s->lease.lease.manifest, NULL), TK_OK);
	m.unit_count = 3;
	script_sign(s, &m);
	expect_refused(s);
}

static void a_unit_with_a_wrong_path_is_refused(void **state)
{
	struct script *s = *state;

	for (int kind = 0; kind < 3; kind++) {
		script_restart(s);
		connect(s);
		script_lease(s, 1, 0, 2);
		s->lease.lease.path[0].b[0] ^= kind == 0;
		s->lease.lease.path_steps -= kind == 1;
		s->lease.lease.path_steps += kind == 2;
		expect_refused(s);
	}
}

static void a_lease_for_newer_arithmetic_is_given_back(void **state)
{
	struct script *s = *state;
	struct round_manifest m;
	struct agent_status status;
	struct unit u;

	connect(s);
	script_lease(s, 1, 0, 0);
	assert_int_equal(unit_decode(&u, s->lease.lease.unit, NULL), TK_OK);
	assert_int_equal(round_decode(&m, s->lease.lease.manifest, NULL), TK_OK);
	u.numerics++;
	s->unit.len = 0;
	assert_int_equal(unit_encode(&u, &s->unit), TK_OK);
	s->lease.lease.unit = bytes_span(&s->unit);
	unit_digest(&s->unit_digest, bytes_span(&s->unit));
	m.unit_count = 1;
	merkle_root(&m.units, &s->unit_digest, 1);
	s->lease.lease.path_steps = 0;
	script_sign(s, &m);
	script_say(s, &s->lease);
	script_expect(s, "SEND ABANDON 1\n");
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "install the current release"));
}

static void a_message_that_coordinators_do_not_send_ends_the_session(void **state)
{
	struct script *s = *state;

	connect(s);
	script_nonce(s, MESSAGE_COMMIT, 1);
	script_expect(s, "DROP 2\n");
	assert_string_equal(s->dropped, "COMMIT is not for a coordinator to say");
}

static void fail_dial(struct script *s)
{
	script_event(s, (struct agent_event){.type = AGENT_DIAL_FAILED, .text = "refused"});
}

static void backoff_grows_with_the_draw_and_stays_within_its_bounds(void **state)
{
	struct script *s = *state;
	uint64_t last = 0;

	s->random = 0x00; /* the shortest delay, however often it fails */
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_clear(s);
	for (int i = 0; i < 5; i++) {
		fail_dial(s);
		assert_in_range(script_wait_for_dial(s), AGENT_BACKOFF_MIN_MS,
			AGENT_BACKOFF_MIN_MS + AGENT_TICK_MS);
	}
	s->random = 0x4b; /* long draws: the delay grows to its bound */
	for (int i = 0; i < 40; i++) {
		fail_dial(s);
		last = script_wait_for_dial(s);
		assert_in_range(last, AGENT_BACKOFF_MIN_MS, AGENT_BACKOFF_MAX_MS + AGENT_TICK_MS);
	}
	assert_true(last > 4 * AGENT_BACKOFF_MIN_MS);
}

static void different_draws_give_different_delays(void **state)
{
	struct script *s = *state;
	uint64_t delays[2];

	for (int i = 0; i < 2; i++) {
		script_restart(s);
		s->random = i == 0 ? 0x11 : 0x35;
		script_event(s, (struct agent_event){.type = AGENT_START});
		script_clear(s);
		for (int n = 0; n < 6; n++) {
			fail_dial(s);
			delays[i] = script_wait_for_dial(s);
		}
	}
	assert_int_not_equal(delays[0], delays[1]);
}

static void hosts_are_tried_in_turn(void **state)
{
	struct script *s = *state;

	script_event(s, (struct agent_event){.type = AGENT_START});
	script_expect(s, "DIAL 0\n");
	for (int i = 0; i < 4; i++) {
		fail_dial(s);
		script_pass(s, 2 * AGENT_BACKOFF_MIN_MS);
		script_expect(s, i % 2 == 0 ? "DIAL 1\n" : "DIAL 0\n");
	}
}

static void a_dial_without_an_answer_is_given_up(void **state)
{
	struct script *s = *state;

	script_event(s, (struct agent_event){.type = AGENT_START});
	script_clear(s);
	script_pass(s, AGENT_CONNECT_MS + 2 * AGENT_BACKOFF_MIN_MS);
	script_expect(s, "DROP 1\nDIAL 1\n");
}

static void status_says_what_cannot_be_reached_and_when_it_is_tried_again(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	script_event(s, (struct agent_event){.type = AGENT_START});
	fail_dial(s);
	script_status(s, &status);
	assert_int_equal(status.state, AGENT_WAITING);
	assert_string_equal(
		status.reason, "cannot reach one.example:4321: refused; trying again in 1 s");
}

static void a_reason_that_names_the_host_is_not_prefixed_with_it(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	script_event(s, (struct agent_event){.type = AGENT_START});
	script_event(s, (struct agent_event){.type = AGENT_DIAL_FAILED,
				.text = "cannot connect to one.example:4321: refused"});
	script_status(s, &status);
	assert_string_equal(
		status.reason, "cannot connect to one.example:4321: refused; trying again in 1 s");
}

static void reconnection_repeats_the_commit_of_every_unsettled_result(void **state)
{
	struct script *s = *state;

	connect(s);
	for (uint8_t i = 1; i <= 3; i++) {
		script_lease(s, i, 0, i);
		script_say(s, &s->lease);
		script_result(s, 10);
		script_done(s);
	}
	script_lost(s);
	script_clear(s);
	script_pass(s, 2 * AGENT_BACKOFF_MIN_MS);
	script_connect(s);
	script_expect(
		s, "DIAL 1\nSEND COMMIT 1\nSEND COMMIT 2\nSEND COMMIT 3\nSEND WORK_REQUEST 2\n");
}

/* The node has put a fresh session in place of one that was a day old: an UP while it is up. What was said
 * on the old one is said again, and what was being computed goes on. */
static void renewed_session_goes_on_without_a_dial(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	connect(s);
	for (uint8_t i = 1; i <= 2; i++) {
		script_lease(s, i, 0, i);
		script_say(s, &s->lease);
		script_result(s, 10);
		script_done(s);
	}
	script_lease(s, 3, 0, 3);
	script_say(s, &s->lease);
	script_clear(s);
	script_connect(s);
	script_expect(s, "SEND COMMIT 1\nSEND COMMIT 2\nSEND WORK_REQUEST 1\n");
	script_status(s, &status);
	assert_int_equal(status.state, AGENT_COMPUTING);
	assert_true(status.connected);
	/* the lease that stands is repeated, as after any reconnect, and begins nothing anew */
	script_say(s, &s->lease);
	assert_null(strstr(s->trace, "COMPUTE"));
}

static void a_computation_survives_the_loss_of_the_connection(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	connect(s);
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	script_lost(s);
	script_status(s, &status);
	assert_int_equal(status.state, AGENT_COMPUTING);
	assert_non_null(strstr(status.reason, "not connected"));
	script_clear(s);
	script_result(s, 10);
	script_done(s);
	script_expect(s, "SAVE_RESULT 1\n");
	script_pass(s, 2 * AGENT_BACKOFF_MIN_MS);
	script_connect(s);
	script_expect(s, "DIAL 1\nSEND COMMIT 1\nSEND WORK_REQUEST 2\n");
}

static void a_restart_commits_what_was_saved_and_gives_the_rest_back(void **state)
{
	struct script *s = *state;
	struct result_record record;
	struct digest held[4]; /* nonce, unit */

	connect(s);
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	script_result(s, 10);
	script_done(s);
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	script_lease(s, 3, 0, 2);
	script_say(s, &s->lease);
	assert_int_equal(s->leases.len, sizeof(held));
	memcpy(held, s->leases.data, sizeof(held));
	script_restart(s);
	assert_int_equal(result_record_decode(&record, bytes_span(&s->saved), NULL), TK_OK);
	assert_int_equal(agent_load_result(s->agent, &record, NULL), TK_OK);
	assert_int_equal(agent_load_result(s->agent, &record, NULL), TK_EEXIST);
	assert_int_equal(agent_load_lease(s->agent, &record.nonce, &held[1]), TK_EEXIST);
	for (int i = 0; i < 4; i += 2)
		assert_int_equal(agent_load_lease(s->agent, &held[i], &held[i + 1]), TK_OK);
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_expect(s, "DIAL 0\nSEND ABANDON 2\nSEND ABANDON 3\nSEND COMMIT 1\n"
			 "SEND WORK_REQUEST 2\n");
	assert_int_equal(s->leases.len, 0);
}

static void no_work_is_explained_and_asked_for_again_when_told_to(void **state)
{
	struct script *s = *state;
	struct agent_status status;
	struct message m = {.type = MESSAGE_NO_WORK,
		.no_work = {
			.reason = NO_WORK_IDLE, .retry_ms = 5000, .text = "no project is running"}};

	connect(s);
	script_say(s, &m);
	script_status(s, &status);
	assert_string_equal(status.reason, "connected, no work: no project is running");
	script_pass(s, 4000);
	script_expect(s, "");
	script_pass(s, 1000);
	script_expect(s, "SEND WORK_REQUEST 2\n");
	script_lease(s, 1, 0, 0); /* sent by itself */
	script_say(s, &s->lease);
	assert_non_null(strstr(s->trace, "COMPUTE\n"));
}

static void a_foreign_text_cannot_steer_the_terminal(void **state)
{
	struct script *s = *state;
	struct agent_status status;
	struct message m = {.type = MESSAGE_NO_WORK,
		.no_work = {.reason = NO_WORK_IDLE, .retry_ms = 5000, .text = "a\x1b[2Jb\nc"}};

	connect(s);
	script_say(s, &m);
	script_status(s, &status);
	assert_string_equal(status.reason, "connected, no work: a?[2Jb?c");
}

static void retired_by_no_work_stops_for_good(void **state)
{
	struct script *s = *state;
	struct agent_status status;
	struct message m = {.type = MESSAGE_NO_WORK,
		.no_work = {.reason = NO_WORK_RETIRED, .retry_ms = 1, .text = "wrong results"}};

	connect(s);
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	script_clear(s);
	script_say(s, &m);
	script_expect(s, "CANCEL\nSTOP\n");
	assert_string_equal(s->stop, "wrong results");
	script_lost(s);
	script_pass(s, 120000);
	script_expect(s, "");
	script_status(s, &status);
	assert_int_equal(status.state, AGENT_RETIRED);
	assert_string_equal(
		status.reason, "the network gives this identity no more work: wrong results");
}

static void retired_by_goodbye_stops_for_good(void **state)
{
	struct script *s = *state;
	struct message m = {.type = MESSAGE_GOODBYE,
		.goodbye = {.reason = GOODBYE_RETIRED, .text = "wrong results"}};

	connect(s);
	script_say(s, &m);
	script_expect(s, "STOP\n");
	script_lost(s);
	script_pass(s, 120000);
	script_expect(s, "");
}

static void a_replaced_session_waits_long_before_it_fights_back(void **state)
{
	struct script *s = *state;
	struct agent_status status;
	struct message m = {.type = MESSAGE_GOODBYE, .goodbye = {.reason = GOODBYE_REPLACED}};

	connect(s);
	script_say(s, &m);
	script_lost(s);
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "another process"));
	script_pass(s, AGENT_REPLACED_MS - 1000);
	script_expect(s, "");
}

static void too_many_unsettled_results_stop_the_asking(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	connect(s);
	for (uint32_t i = 0; i < AGENT_RESULTS_MAX - 1; i++) {
		script_lease(s, (uint8_t)(i + 1), 0, i % 4);
		script_say(s, &s->lease);
		script_result(s, 10);
		script_done(s);
	}
	script_clear(s);
	script_pass(s, 120000);
	script_expect(s, "");
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "63 results wait to be settled"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, script_setup, script_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_lease_that_the_root_key_did_not_sign_is_refused),
		TEST(a_round_signed_by_the_root_for_another_network_is_refused),
		TEST(a_unit_that_differs_from_its_signed_round_is_refused),
		TEST(a_unit_beyond_its_round_is_refused),
		TEST(a_unit_with_a_wrong_path_is_refused),
		TEST(a_lease_for_newer_arithmetic_is_given_back),
		TEST(a_message_that_coordinators_do_not_send_ends_the_session),
		TEST(backoff_grows_with_the_draw_and_stays_within_its_bounds),
		TEST(different_draws_give_different_delays),
		TEST(hosts_are_tried_in_turn),
		TEST(a_dial_without_an_answer_is_given_up),
		TEST(status_says_what_cannot_be_reached_and_when_it_is_tried_again),
		TEST(a_reason_that_names_the_host_is_not_prefixed_with_it),
		TEST(reconnection_repeats_the_commit_of_every_unsettled_result),
		TEST(renewed_session_goes_on_without_a_dial),
		TEST(a_computation_survives_the_loss_of_the_connection),
		TEST(a_restart_commits_what_was_saved_and_gives_the_rest_back),
		TEST(no_work_is_explained_and_asked_for_again_when_told_to),
		TEST(a_foreign_text_cannot_steer_the_terminal),
		TEST(retired_by_no_work_stops_for_good),
		TEST(retired_by_goodbye_stops_for_good),
		TEST(a_replaced_session_waits_long_before_it_fights_back),
		TEST(too_many_unsettled_results_stop_the_asking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
