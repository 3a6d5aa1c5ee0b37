/* The agent's core from lease to settlement, told as traces of what it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tasks/unit/run.h"
#include "tests/lib/agent_script.h"

/* The same, computed, saved and committed. */
static void begin_committed(struct script *s, size_t payload_bytes)
{
	script_begin(s);
	script_result(s, payload_bytes);
	script_done(s);
	script_nonce(s, MESSAGE_COMMITTED, 1);
	script_clear(s);
}

static void request_upload(struct script *s, uint8_t nonce, uint64_t offset)
{
	struct message m = {.type = MESSAGE_UPLOAD_REQUEST, .upload_request = {.offset = offset}};

	memset(m.upload_request.nonce.b, nonce, DIGEST_BYTES);
	script_say(s, &m);
}

static void settle(struct script *s, uint8_t nonce, enum verdict verdict)
{
	struct message m = {
		.type = MESSAGE_SETTLED, .settled = {.verdict = verdict, .credit_flops = 7}};

	memset(m.settled.nonce.b, nonce, DIGEST_BYTES);
	script_say(s, &m);
}

static void a_unit_goes_from_lease_to_settlement_in_order(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	script_event(s, (struct agent_event){.type = AGENT_START});
	script_expect(s, "DIAL 0\n");
	script_connect(s);
	script_expect(s, "SEND WORK_REQUEST 2\n");
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	script_expect(s, "STORE recipe\nSTORE parameters\nCOMPUTE\n");
	script_result(s, 1000);
	script_done(s);
	script_expect(s, "SAVE_RESULT 1\nSEND WORK_REQUEST 2\nSEND COMMIT 1\n");
	script_nonce(s, MESSAGE_COMMITTED, 1);
	script_expect(s, "");
	script_nonce(s, MESSAGE_REVEAL_REQUEST, 1);
	script_expect(s, "SEND REVEAL 1\n");
	request_upload(s, 1, 0);
	script_expect(s, "SEND UPLOAD 1 @0 +1000\n");
	script_nonce(s, MESSAGE_UPLOADED, 1);
	script_expect(s, "");
	settle(s, 1, VERDICT_VALID);
	script_expect(s, "REMOVE_RESULT 1\n");
	script_status(s, &status);
	assert_int_equal(status.totals.units_valid, 1);
	assert_int_equal(status.totals.credit_flops, 7);
	assert_int_equal(status.pending, 0);
}

static void unit_that_needs_more_memory_than_is_lent_is_given_back_unfetched(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	agent_limit_memory(s->agent, unit_memory(&s->tiny.recipe));
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_clear(s);
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	script_expect(s, "STORE recipe\nSEND ABANDON 1\n");
	assert_non_null(strstr(s->sent.abandon.text, "MB may be used here"));
	script_status(s, &status);
	assert_int_equal(status.leases, 0);
	agent_limit_memory(s->agent, 64u << 20);
	script_pass(s, AGENT_PAUSE_MS);
	script_clear(s);
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	script_expect(s, "STORE parameters\nCOMPUTE\n");
}

static void commit_waits_until_the_result_is_on_disk(void **state)
{
	struct script *s = *state;

	script_begin(s);
	s->disk_slow = true;
	script_result(s, 1000);
	script_done(s);
	script_expect(s, "SAVE_RESULT 1\nSEND WORK_REQUEST 2\n");
	script_pass(s, 5000);
	script_lost(s);
	script_pass(s, 2000);
	script_connect(s);
	assert_null(strstr(s->trace, "COMMIT"));
	script_clear(s);
	script_event(s,
		(struct agent_event){.type = AGENT_RESULT_SAVED, .digest = s->lease.lease.nonce});
	script_expect(s, "SEND COMMIT 1\n");
}

static void the_commitment_opens_to_the_saved_claim_and_salt(void **state)
{
	struct script *s = *state;
	struct result_record record;
	struct digest commitment, salt;
	struct errmsg msg = {{0}};
	struct span fields[2];

	script_begin(s);
	script_result(s, 1000);
	script_done(s);
	assert_int_equal(s->sent.type, MESSAGE_COMMIT);
	assert_int_equal(result_record_decode(&record, bytes_span(&s->saved), &msg), TK_OK);
	/* The key's and the lease's, so that whoever computes it again commits to the same. */
	fields[0] = span_of(s->id.key.secret, sizeof(s->id.key.secret));
	fields[1] = span_of(record.nonce.b, DIGEST_BYTES);
	digest_fields(&salt, "talkoot salt", fields, 2);
	assert_true(digest_equal(&record.salt, &salt));
	assert_int_equal(result_record_commitment(
				 &record, &s->root.public, &s->id.key.public, &commitment, &msg),
		TK_OK);
	assert_true(digest_equal(&commitment, &s->sent.commit.commitment));
	fields[0] = span_of(commitment.b, DIGEST_BYTES);
	fields[1] = span_of(record.nonce.b, DIGEST_BYTES);
	assert_true(key_verify(
		&s->id.key.public, &s->sent.commit.signature, "talkoot commit", fields, 2));
}

static void a_full_disk_gives_the_lease_back_and_commits_nothing(void **state)
{
	struct script *s = *state;

	script_begin(s);
	s->disk_full = true;
	script_result(s, 1000);
	script_done(s);
	script_expect(s, "SAVE_RESULT 1\nSEND WORK_REQUEST 2\nREMOVE_RESULT 1\nSEND ABANDON 1\n");
	assert_non_null(strstr(s->sent.abandon.text, "no space left"));
}

static void nothing_is_fetched_twice(void **state)
{
	struct script *s = *state;

	script_begin(s);
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	script_expect(s, ""); /* gathered from disk, and waits for the first to end */
	script_event(s, (struct agent_event){
				.type = AGENT_WORKER_FAILED, .job = s->job, .text = "no memory"});
	script_expect(s, "SEND ABANDON 1\nCOMPUTE\n");
}

static void the_next_unit_is_gathered_while_one_is_computed(void **state)
{
	struct script *s = *state;

	script_begin(s);
	script_lease(s, 2, 1, 3);
	script_say(s, &s->lease);
	script_expect(s, "STORE parameters\n");
	script_lease(s, 1, 0, 0);
	script_result(s, 1000);
	script_done(s);
	script_expect(s, "SAVE_RESULT 1\nCOMPUTE\nSEND WORK_REQUEST 1\nSEND COMMIT 1\n");
}

/* Our request for two crossed with a lease that answered an earlier one. */
static void a_lease_that_crossed_with_a_request_is_kept(void **state)
{
	struct script *s = *state;

	script_begin(s);
	for (uint8_t nonce = 2; nonce <= AGENT_JOBS_MAX; nonce++) {
		script_lease(s, nonce, 0, (nonce - 1u) % 4);
		script_say(s, &s->lease);
		script_expect(s, "");
	}
	script_lease(s, 1, 0, 0);
	script_result(s, 1000);
	script_done(s); /* three are left: no more are asked for */
	script_expect(s, "SAVE_RESULT 1\nCOMPUTE\nSEND COMMIT 1\n");
}

static void a_lease_that_nobody_could_hold_is_given_back(void **state)
{
	struct script *s = *state;

	script_begin(s);
	for (uint8_t nonce = 2; nonce <= AGENT_JOBS_MAX + 1; nonce++) {
		script_lease(s, nonce, 0, (nonce - 1u) % 4);
		script_say(s, &s->lease);
	}
	script_expect(s, "SEND ABANDON 5\n");
}

static void a_lease_said_twice_is_taken_once(void **state)
{
	struct script *s = *state;

	script_begin(s);
	script_say(s, &s->lease);
	script_expect(s, "");
}

static void expired_lease_cancels_its_computation(void **state)
{
	struct script *s = *state;

	script_begin(s);
	settle(s, 1, VERDICT_EXPIRED);
	script_expect(s, "CANCEL\nSEND WORK_REQUEST 2\n");
	script_result(s, 100);
	script_done(s); /* it was under way */
	script_expect(s, "");
}

static void unknown_lease_cancels_its_computation(void **state)
{
	struct script *s = *state;

	script_begin(s);
	settle(s, 1, VERDICT_UNKNOWN);
	script_expect(s, "CANCEL\nSEND WORK_REQUEST 2\n");
}

static void expired_that_crosses_with_our_commit_keeps_what_opens_it(void **state)
{
	struct script *s = *state;

	script_begin(s);
	script_result(s, 100);
	script_done(s);
	script_clear(s);
	settle(s, 1, VERDICT_EXPIRED);
	script_expect(s, "");
	script_nonce(s, MESSAGE_COMMITTED, 1);
	script_nonce(s, MESSAGE_REVEAL_REQUEST, 1);
	script_expect(s, "SEND REVEAL 1\n");
	settle(s, 1, VERDICT_LATE);
	script_expect(s, "REMOVE_RESULT 1\n");
}

static void upload_goes_in_bursts_that_must_have_left(void **state)
{
	struct script *s = *state;
	size_t parts = AGENT_UPLOAD_PARTS * 2 + 1;

	begin_committed(s, parts * BLOB_PART_MAX - 5);
	request_upload(s, 1, 0);
	assert_true(s->watching);
	assert_int_equal(s->sent.upload.offset, (AGENT_UPLOAD_PARTS - 1) * BLOB_PART_MAX);
	script_clear(s);
	script_pass(s, 60000);
	assert_null(strstr(s->trace, "UPLOAD"));
	script_event(s, (struct agent_event){.type = AGENT_SENT});
	assert_int_equal(s->sent.upload.offset, (2 * AGENT_UPLOAD_PARTS - 1) * BLOB_PART_MAX);
	script_clear(s);
	script_event(s, (struct agent_event){.type = AGENT_SENT});
	assert_int_equal(s->sent.upload.offset, (parts - 1) * BLOB_PART_MAX);
	assert_int_equal(s->sent.upload.bytes.len, BLOB_PART_MAX - 5);
}

static void upload_resumes_where_the_coordinator_says(void **state)
{
	struct script *s = *state;

	begin_committed(s, 3 * BLOB_PART_MAX);
	request_upload(s, 1, 0);
	script_clear(s);
	script_lost(s);
	script_pass(s, 3000);
	script_connect(s);
	script_clear(s);
	request_upload(s, 1, 2 * BLOB_PART_MAX);
	script_expect(s, "SEND UPLOAD 1 @131072 +65536\n");
}

static void upload_from_beyond_the_end_ends_the_session(void **state)
{
	struct script *s = *state;

	begin_committed(s, 10);
	request_upload(s, 1, 11);
	script_expect(s, "DROP 2\n");
}

static void a_result_that_is_not_there_is_given_up(void **state)
{
	struct script *s = *state;

	script_begin(s);
	script_nonce(s, MESSAGE_REVEAL_REQUEST, 9);
	request_upload(s, 8, 0);
	script_expect(s, "SEND ABANDON 9\nSEND ABANDON 8\n");
}

static void a_nonfinite_result_needs_no_upload(void **state)
{
	struct script *s = *state;

	begin_committed(s, 0);
	script_nonce(s, MESSAGE_REVEAL_REQUEST, 1);
	request_upload(s, 1, 0);
	script_expect(s, "SEND REVEAL 1\n");
}

static void the_workers_claim_about_another_unit_is_not_committed(void **state)
{
	struct script *s = *state;

	script_begin(s);
	script_lease(s, 2, 0, 1); /* changes the unit that script_result is about */
	script_result(s, 100);
	script_done(s);
	script_expect(s, "SEND ABANDON 1\n");
}

static void parameters_of_old_rounds_leave_the_disk(void **state)
{
	struct script *s = *state;

	script_begin(s);
	for (uint8_t round = 1; round < SCRIPT_ROUNDS; round++) {
		script_result(s, 10);
		script_done(s);
		script_lease(s, (uint8_t)(round + 1), round, 0);
		script_clear(s);
		script_say(s, &s->lease);
		script_expect(s, round < 5 ? "STORE parameters\nCOMPUTE\n"
					   : "STORE parameters\nREMOVE parameters\nCOMPUTE\n");
	}
}

static void a_job_that_waits_past_its_deadline_is_given_back(void **state)
{
	struct script *s = *state;

	s->blobs_silent = true;
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_lease(s, 1, 0, 0);
	s->lease.lease.deadline_ms = 30000;
	script_say(s, &s->lease);
	script_clear(s);
	script_pass(s, 29000);
	assert_null(strstr(s->trace, "ABANDON"));
	script_pass(s, 2000);
	assert_non_null(strstr(s->trace, "SEND ABANDON 1\n"));
}

static void data_that_the_coordinator_lacks_gives_the_lease_back(void **state)
{
	struct script *s = *state;
	struct agent_status status;

	s->blobs_missing = true;
	script_begin(s);
	assert_int_equal(s->sent.type, MESSAGE_ABANDON);
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "gave a lease back"));
	script_pass(s, AGENT_PAUSE_MS - 1000);
	script_expect(s, "");
	script_pass(s, 2000);
	script_expect(s, "SEND WORK_REQUEST 2\n");
}

static void a_crash_is_retried_once_then_given_back(void **state)
{
	struct script *s = *state;
	struct agent_event gone = {.type = AGENT_WORKER_GONE, .text = "killed by signal 9"};

	script_begin(s);
	script_event(s, gone);
	script_expect(s, "COMPUTE\n");
	script_event(s, gone);
	script_expect(s, "SEND ABANDON 1\n");
	assert_non_null(strstr(s->sent.abandon.text, "signal 9"));
}

static void three_crashes_in_a_row_make_the_worker_rest(void **state)
{
	struct script *s = *state;
	struct agent_event gone = {.type = AGENT_WORKER_GONE, .text = "killed by signal 9"};
	struct agent_status status;

	script_begin(s);
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	script_event(s, gone);
	script_event(s, gone);
	script_expect(s, "COMPUTE\nSEND ABANDON 1\nCOMPUTE\n");
	script_event(s, gone);
	script_expect(s, "");
	script_status(s, &status);
	assert_int_equal(status.state, AGENT_RESTING);
	script_pass(s, AGENT_REST_MIN_MS - 1000);
	script_expect(s, "");
	script_pass(s, 2000);
	script_expect(s, "COMPUTE\n");
}

static void a_blob_that_spoiled_on_disk_is_gathered_again(void **state)
{
	struct script *s = *state;

	script_begin(s);
	s->on_disk_count--; /* the parameters, stored last */
	script_event(s, (struct agent_event){.type = AGENT_WORKER_LACKS, .job = s->job});
	script_expect(s, "STORE parameters\nCOMPUTE\n");
	for (int i = 0; i < 3; i++)
		script_event(s, (struct agent_event){.type = AGENT_WORKER_LACKS, .job = s->job});
	assert_int_equal(s->sent.type, MESSAGE_ABANDON);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, script_setup, script_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_unit_goes_from_lease_to_settlement_in_order),
		TEST(unit_that_needs_more_memory_than_is_lent_is_given_back_unfetched),
		TEST(commit_waits_until_the_result_is_on_disk),
		TEST(the_commitment_opens_to_the_saved_claim_and_salt),
		TEST(a_full_disk_gives_the_lease_back_and_commits_nothing),
		TEST(nothing_is_fetched_twice),
		TEST(the_next_unit_is_gathered_while_one_is_computed),
		TEST(a_lease_that_crossed_with_a_request_is_kept),
		TEST(a_lease_that_nobody_could_hold_is_given_back),
		TEST(a_lease_said_twice_is_taken_once),
		TEST(expired_lease_cancels_its_computation),
		TEST(unknown_lease_cancels_its_computation),
		TEST(expired_that_crosses_with_our_commit_keeps_what_opens_it),
		TEST(upload_goes_in_bursts_that_must_have_left),
		TEST(upload_resumes_where_the_coordinator_says),
		TEST(upload_from_beyond_the_end_ends_the_session),
		TEST(a_result_that_is_not_there_is_given_up),
		TEST(a_nonfinite_result_needs_no_upload),
		TEST(the_workers_claim_about_another_unit_is_not_committed),
		TEST(parameters_of_old_rounds_leave_the_disk),
		TEST(a_job_that_waits_past_its_deadline_is_given_back),
		TEST(data_that_the_coordinator_lacks_gives_the_lease_back),
		TEST(a_crash_is_retried_once_then_given_back),
		TEST(three_crashes_in_a_row_make_the_worker_rest),
		TEST(a_blob_that_spoiled_on_disk_is_gathered_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
