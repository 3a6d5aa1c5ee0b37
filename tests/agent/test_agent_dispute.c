/* What the agent answers in a dispute: leaves from the disk, steps and states from a replay that goes before
 * every lease. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tasks/unit/replay.h"
#include "tasks/unit/sign.h"
#include "tests/lib/agent_script.h"

/* A revealed result under nonce 1, and nothing being computed. */
static struct digest committed;

static void begin_revealed(struct script *s)
{
	script_trace_every(s, 2);
	script_begin(s);
	script_result(s, 1000);
	script_done(s);
	assert_int_equal(s->sent.type, MESSAGE_COMMIT);
	committed = s->sent.commit.commitment;
	script_nonce(s, MESSAGE_COMMITTED, 1);
	script_nonce(s, MESSAGE_REVEAL_REQUEST, 1);
	script_clear(s);
}

static void ask_trace(struct script *s, uint32_t offset)
{
	struct message m = {.type = MESSAGE_TRACE_REQUEST, .trace_request.offset = offset};

	memset(m.trace_request.nonce.b, 1, DIGEST_BYTES);
	script_say(s, &m);
}

static void ask_segment(struct script *s, uint8_t nonce, uint32_t segment)
{
	struct message m = {.type = MESSAGE_SEGMENT_REQUEST, .segment_request.segment = segment};

	memset(m.segment_request.nonce.b, nonce, DIGEST_BYTES);
	script_say(s, &m);
}

static void ask_state(struct script *s, uint32_t step, uint64_t offset)
{
	struct message m = {.type = MESSAGE_STATE_REQUEST, .state_request = {{{0}}, step, offset}};

	memset(m.state_request.nonce.b, 1, DIGEST_BYTES);
	script_say(s, &m);
}

static void failed(struct script *s, int code, const char *text)
{
	script_event(
		s, (struct agent_event){
			   .type = AGENT_WORKER_FAILED, .job = s->job, .code = code, .text = text});
}

static void checkpoint(struct script *s, uint64_t job)
{
	script_event(s,
		(struct agent_event){
			.type = AGENT_WORKER_CHECKPOINT, .job = job, .bytes = span_text("so far")});
}

static void leaves_come_from_the_saved_result(void **state)
{
	struct script *s = *state;

	begin_revealed(s);
	ask_trace(s, 0);
	script_expect(s, "SEND TRACE 1 @0 +4 of 4\n");
	ask_trace(s, 3);
	script_expect(s, "SEND TRACE 1 @3 +1 of 4\n");
}

static void leaves_beyond_the_end_end_the_session(void **state)
{
	struct script *s = *state;

	begin_revealed(s);
	ask_trace(s, 4);
	script_expect(s, "DROP 2\n");
	assert_non_null(strstr(s->dropped, "beyond the trace's end"));
}

static void a_result_that_is_gone_is_said_to_be(void **state)
{
	struct script *s = *state;

	begin_revealed(s);
	ask_segment(s, 9, 0);
	script_expect(s, "SEND ABANDON 9\n");
}

static void a_segment_is_computed_again_and_signed(void **state)
{
	struct script *s = *state;
	struct digest steps[2] = {{{7}}, {{8}}};
	struct agent_status status;

	begin_revealed(s);
	ask_segment(s, 1, 0);
	script_expect(s, "REPLAY 0 to 2 keep 0\n");
	script_status(s, &status);
	assert_int_equal(status.state, AGENT_COMPUTING);
	assert_non_null(strstr(status.reason, "again: another peer's result differs"));
	script_replayed(s, span_of(steps, sizeof(steps)));
	script_expect(s, "SEND SEGMENT 1/0 @0 +2 of 2\n");
	assert_true(segment_verify(
		&s->id.key.public, &s->sent.segment.signature, &committed, 0, steps, 2));
	ask_segment(s, 1, 0); /* once more: nothing is computed for that */
	script_expect(s, "SEND SEGMENT 1/0 @0 +2 of 2\n");
}

static void the_last_segment_goes_to_the_result(void **state)
{
	struct script *s = *state;

	begin_revealed(s);
	ask_segment(s, 1, 2);
	script_expect(s, "REPLAY 4 to -1 keep 0\n");
}

static void a_segment_that_no_trace_has_is_not_computed(void **state)
{
	struct script *s = *state;

	begin_revealed(s);
	ask_segment(s, 1, 3);
	script_expect(s, "SEND ABANDON 1\n");
	ask_state(s, 6, 0);
	script_expect(s, "SEND ABANDON 1\n");
}

static void a_state_is_sent_in_parts_and_from_the_offset_on(void **state)
{
	static uint8_t blob[2 * BLOB_PART_MAX + 10];
	struct script *s = *state;
	char want[256];

	begin_revealed(s);
	ask_state(s, 3, 0);
	script_expect(s, "REPLAY 2 to 3 keep 3\n");
	script_replayed(s, span_of(blob, sizeof(blob)));
	snprintf(want, sizeof(want),
		"SEND STATE 1/3 @0 +%u of %zu\nSEND STATE 1/3 @%u +%u of %zu\n"
		"SEND STATE 1/3 @%u +10 of %zu\n",
		BLOB_PART_MAX, sizeof(blob), BLOB_PART_MAX, BLOB_PART_MAX, sizeof(blob),
		2 * BLOB_PART_MAX, sizeof(blob));
	script_expect(s, want);
	ask_state(s, 3, 2 * BLOB_PART_MAX);
	snprintf(want, sizeof(want), "SEND STATE 1/3 @%u +10 of %zu\n", 2 * BLOB_PART_MAX,
		sizeof(blob));
	script_expect(s, want);
}

static void a_burst_waits_until_it_has_left(void **state)
{
	static uint8_t blob[(AGENT_UPLOAD_PARTS + 1) * BLOB_PART_MAX];
	struct script *s = *state;

	begin_revealed(s);
	ask_state(s, 3, 0);
	script_replayed(s, span_of(blob, sizeof(blob)));
	assert_true(s->watching);
	script_clear(s);
	script_event(s, (struct agent_event){.type = AGENT_SENT});
	assert_non_null(strstr(s->trace, "SEND STATE 1/3"));
	assert_null(strstr(s->trace, "WATCH_SENT"));
}

static void a_unit_in_progress_makes_way_once_it_is_saved(void **state)
{
	struct script *s = *state;
	struct digest steps[2] = {{{7}}, {{8}}};
	uint64_t unit;

	begin_revealed(s);
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	script_expect(s, "COMPUTE\n");
	unit = s->job;
	ask_segment(s, 1, 0);
	script_expect(s, "ASK_CHECKPOINT\n");
	checkpoint(s, unit);
	script_expect(s, "SAVE_CHECKPOINT +6\nCANCEL\nREPLAY 0 to 2 keep 0\n");
	script_event(s, (struct agent_event){/* the end of the run that was cancelled */
				.type = AGENT_WORKER_FAILED,
				.job = unit,
				.code = TK_ECANCELED,
				.text = "stopped"});
	script_expect(s, "");
	script_replayed(s, span_of(steps, sizeof(steps)));
	script_expect(s, "SEND SEGMENT 1/0 @0 +2 of 2\nCOMPUTE on\n");
}

static void a_unit_that_ends_first_makes_way_as_well(void **state)
{
	struct script *s = *state;

	begin_revealed(s);
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	ask_segment(s, 1, 0);
	script_clear(s);
	script_result(s, 10);
	script_done(s);
	script_expect(
		s, "SAVE_RESULT 2\nREPLAY 0 to 2 keep 0\nSEND WORK_REQUEST 2\nSEND COMMIT 2\n");
}

static void an_answer_outlives_its_session(void **state)
{
	struct script *s = *state;
	struct digest steps[2] = {{{7}}, {{8}}};

	begin_revealed(s);
	ask_segment(s, 1, 0);
	script_lost(s);
	script_clear(s);
	script_replayed(s, span_of(steps, sizeof(steps)));
	script_expect(s, ""); /* to nobody */
	script_pass(s, 2 * AGENT_BACKOFF_MIN_MS);
	script_connect(s);
	script_clear(s);
	ask_segment(s, 1, 0);
	script_expect(s, "SEND SEGMENT 1/0 @0 +2 of 2\n");
}

static void a_replay_that_fails_is_given_up(void **state)
{
	struct script *s = *state;

	begin_revealed(s);
	ask_segment(s, 1, 0);
	script_clear(s);
	failed(s, TK_ENOMEM, "no memory");
	script_expect(s, "SEND ABANDON 1\n");
	assert_non_null(strstr(s->sent.abandon.text, "no memory"));
}

static void a_worker_that_dies_on_it_is_tried_once_more(void **state)
{
	struct script *s = *state;

	begin_revealed(s);
	ask_segment(s, 1, 0);
	script_clear(s);
	script_event(s, (struct agent_event){.type = AGENT_WORKER_GONE, .text = "killed"});
	script_expect(s, "REPLAY 0 to 2 keep 0\n");
	script_event(s, (struct agent_event){.type = AGENT_WORKER_GONE, .text = "killed"});
	script_expect(s, "SEND ABANDON 1\n");
}

static void a_restart_answers_from_what_was_saved(void **state)
{
	struct script *s = *state;
	struct result_record record;

	begin_revealed(s);
	script_restart(s);
	assert_int_equal(result_record_decode(&record, bytes_span(&s->saved), NULL), TK_OK);
	assert_int_equal(agent_load_result(s->agent, &record, NULL), TK_OK);
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_clear(s);
	ask_trace(s, 1);
	script_expect(s, "SEND TRACE 1 @1 +3 of 4\n");
	ask_segment(s, 1, 1);
	script_expect(s, "REPLAY 2 to 4 keep 0\n");
}

static void a_blob_that_a_lease_waited_for_does_not_fail_the_replay_before_it(void **state)
{
	struct script *s = *state;
	struct result_record record;

	begin_revealed(s);
	assert_int_equal(result_record_decode(&record, bytes_span(&s->saved), NULL), TK_OK);
	script_restart(s);
	assert_int_equal(agent_load_result(s->agent, &record, NULL), TK_OK);
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	s->blobs_silent = true;
	script_lease(s, 2, 1, 1);
	script_say(s, &s->lease);
	ask_segment(s, 1, 1);
	script_clear(s);
	s->blobs_silent = false;
	script_event(s, (struct agent_event){.type = AGENT_BLOB_FAILED,
				.digest = s->parameters_digest[1],
				.text = "nobody has it"});
	script_expect(s, "REPLAY 2 to 4 keep 0\nSTORE parameters\n");
}

static void settlement_ends_a_replay(void **state)
{
	struct script *s = *state;

	begin_revealed(s);
	ask_segment(s, 1, 0);
	script_clear(s);
	script_nonce(s, MESSAGE_SETTLED, 1);
	script_expect(s, "REMOVE_RESULT 1\nCANCEL\n");
	failed(s, TK_ECANCELED, "stopped");
	script_expect(s, "");
}

static void questions_about_several_results_are_answered_in_turn(void **state)
{
	struct script *s = *state;
	struct digest steps[2] = {{{7}}, {{8}}};

	begin_revealed(s);
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	script_result(s, 10);
	script_done(s);
	script_clear(s);
	ask_segment(s, 1, 0);
	ask_segment(s, 2, 1);
	script_expect(s, "REPLAY 0 to 2 keep 0\n");
	script_replayed(s, span_of(steps, sizeof(steps)));
	script_expect(s, "SEND SEGMENT 1/0 @0 +2 of 2\nREPLAY 2 to 4 keep 0\n");
	script_replayed(s, span_of(steps, sizeof(steps)));
	script_expect(s, "SEND SEGMENT 2/1 @0 +2 of 2\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, script_setup, script_teardown)
	const struct CMUnitTest tests[] = {
		TEST(leaves_come_from_the_saved_result),
		TEST(leaves_beyond_the_end_end_the_session),
		TEST(a_result_that_is_gone_is_said_to_be),
		TEST(a_segment_is_computed_again_and_signed),
		TEST(the_last_segment_goes_to_the_result),
		TEST(a_segment_that_no_trace_has_is_not_computed),
		TEST(a_state_is_sent_in_parts_and_from_the_offset_on),
		TEST(a_burst_waits_until_it_has_left),
		TEST(a_unit_in_progress_makes_way_once_it_is_saved),
		TEST(a_unit_that_ends_first_makes_way_as_well),
		TEST(an_answer_outlives_its_session),
		TEST(a_replay_that_fails_is_given_up),
		TEST(a_worker_that_dies_on_it_is_tried_once_more),
		TEST(a_restart_answers_from_what_was_saved),
		TEST(a_blob_that_a_lease_waited_for_does_not_fail_the_replay_before_it),
		TEST(settlement_ends_a_replay),
		TEST(questions_about_several_results_are_answered_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
