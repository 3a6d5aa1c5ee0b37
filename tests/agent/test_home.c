/* A volunteer's home on disk: joining, the lock, results and leases over restarts, status.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer/agent/agent_files.h"
#include "peer/agent/status_file.h"
#include "peer/wire/identity.h"
#include "tasks/base/file.h"
#include "tests/lib/agent_script.h"

#define PAYLOAD_BYTES 200000u

struct bench {
	struct script script;
	char folder[64];
	char home[128];
	struct agent_files files;
	size_t logged;
};

static int setup(void **state)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	script_open(&b.script);
	strcpy(b.folder, "/tmp/talkoot-home-XXXXXX");
	assert_non_null(mkdtemp(b.folder));
	snprintf(b.home, sizeof(b.home), "%s/home", b.folder);
	assert_int_equal(agent_home_join(b.home, &b.script.link, NULL), TK_OK);
	assert_int_equal(agent_files_open(&b.files, b.home, NULL), TK_OK);
	*state = &b;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int teardown(void **state)
{
	struct bench *b = *state;

	script_close(&b->script);
	return nftw(b->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void in_home(const struct bench *b, const char *name, char out[256])
{
	assert_int_equal(path_join(out, 256, b->home, name), TK_OK);
}

static void the_home_and_its_key_are_the_volunteers_alone(void **state)
{
	struct bench *b = *state;
	char path[256];
	struct stat st;

	assert_int_equal(stat(b->home, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	in_home(b, "key", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void joining_again_keeps_the_key_and_takes_the_new_hosts(void **state)
{
	struct bench *b = *state;
	struct agent_home before, after;
	struct link moved = b->script.link;

	assert_int_equal(agent_home_load(&before, b->home, NULL), TK_OK);
	strcpy(moved.hosts[0], "new.example:99");
	moved.host_count = 1;
	assert_int_equal(agent_home_join(b->home, &moved, NULL), TK_OK);
	assert_int_equal(agent_home_load(&after, b->home, NULL), TK_OK);
	assert_memory_equal(before.key, after.key, sizeof(before.key));
	assert_int_equal(after.link.host_count, 1);
	assert_string_equal(after.link.hosts[0], "new.example:99");
}

static void another_network_in_the_same_home_is_refused_with_a_remedy(void **state)
{
	struct bench *b = *state;
	struct link other = b->script.link;
	struct agent_home home;
	struct errmsg msg = {{0}};

	other.network.b[0] ^= 1;
	assert_int_equal(agent_home_join(b->home, &other, &msg), TK_EEXIST);
	assert_non_null(strstr(msg.text, "--home"));
	assert_int_equal(agent_home_load(&home, b->home, NULL), TK_OK);
	assert_true(key_equal(&home.link.network, &b->script.link.network));
}

static void the_roots_word_that_it_is_a_host_is_kept_and_checked(void **state)
{
	struct bench *b = *state;
	struct agent_home home;
	struct certificate word;
	struct identity id;
	char path[256];
	struct stat st;
	FILE *f;

	assert_int_equal(agent_home_load(&home, b->home, NULL), TK_OK);
	agent_home_identity(&home, &id);
	assert_false(id.has_certificate);
	host_sign(&word, &b->script.root, &id.key.public, SCRIPT_NOW_S);
	assert_int_equal(agent_home_save_host(b->home, &word, NULL), TK_OK);
	in_home(b, "host", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(agent_home_load(&home, b->home, NULL), TK_OK);
	agent_home_identity(&home, &id);
	assert_true(id.has_certificate);
	assert_int_equal(id.certificate.expiry_s, word.expiry_s);
	assert_memory_equal(id.certificate.signature.b, word.signature.b, SIGNATURE_BYTES);
	/* one that is not the root's word would shut this peer out everywhere */
	word.signature.b[5] ^= 1;
	assert_int_equal(agent_home_save_host(b->home, &word, NULL), TK_OK);
	assert_int_equal(agent_home_load(&home, b->home, NULL), TK_OK);
	agent_home_identity(&home, &id);
	assert_false(id.has_certificate);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs("short", f) >= 0);
	fclose(f);
	assert_int_equal(agent_home_load(&home, b->home, NULL), TK_OK);
	assert_false(home.has_host);
}

static void a_team_is_kept_until_it_is_left_and_a_spoiled_one_is_said(void **state)
{
	static const char *const spoiled[] = {"Otaniemi\n", "a b\n", "-\n",
		"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\n", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"};
	struct bench *b = *state;
	struct agent_home home;
	struct errmsg msg = {{0}};
	char path[256];

	assert_int_equal(agent_home_load(&home, b->home, NULL), TK_OK);
	assert_string_equal(home.team, "");
	assert_int_equal(agent_home_save_team(b->home, "otaniemi", NULL), TK_OK);
	assert_int_equal(agent_home_save_team(b->home, "two teams", &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "two teams"));
	assert_int_equal(agent_home_load(&home, b->home, NULL), TK_OK);
	assert_string_equal(home.team, "otaniemi");
	assert_int_equal(agent_home_save_team(b->home, "", NULL), TK_OK);
	assert_int_equal(agent_home_load(&home, b->home, NULL), TK_OK);
	assert_string_equal(home.team, "");
	in_home(b, "team", path);
	for (size_t i = 0; i < sizeof(spoiled) / sizeof(spoiled[0]); i++) {
		assert_int_equal(
			file_replace_unsynced(path, span_text(spoiled[i]), 0600, NULL), TK_OK);
		assert_int_equal(agent_home_load(&home, b->home, &msg), TK_ECORRUPT);
		assert_non_null(strstr(msg.text, "/team does not hold a team's name"));
	}
}

static void every_request_for_work_names_the_team(void **state)
{
	struct bench *b = *state;
	struct script *s = &b->script;

	agent_join_team(s->agent, "otaniemi");
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_expect(s, "DIAL 0\nSEND WORK_REQUEST 2 otaniemi\n");
}

static void joining_a_private_network_keeps_its_secret(void **state)
{
	struct bench *b = *state;
	struct link private = b->script.link;
	struct agent_home home;
	struct identity id;
	struct errmsg msg = {{0}};
	char path[256];
	struct stat st;

	private.has_secret = true;
	memset(private.secret, 0xa5, sizeof(private.secret));
	assert_int_equal(agent_home_join(b->home, &private, NULL), TK_OK);
	in_home(b, "network", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* a link without it would lock the volunteer out */
	assert_int_equal(agent_home_join(b->home, &b->script.link, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "lacks its secret"));
	assert_int_equal(agent_home_load(&home, b->home, NULL), TK_OK);
	assert_true(home.link.has_secret);
	agent_home_identity(&home, &id);
	assert_true(id.has_secret);
	assert_memory_equal(id.secret, private.secret, sizeof(id.secret));
	/* another one takes its place: the owner may have made a new one */
	private.secret[0] ^= 1;
	assert_int_equal(agent_home_join(b->home, &private, NULL), TK_OK);
	agent_home_wipe(&home);
	identity_wipe(&id);
}

static void a_home_without_a_network_says_how_to_join(void **state)
{
	struct bench *b = *state;
	struct agent_home home;
	struct errmsg msg = {{0}};

	assert_int_equal(agent_home_load(&home, b->folder, &msg), TK_ENOENT);
	assert_non_null(strstr(msg.text, "talkoot-peer join"));
}

static void a_key_of_the_wrong_length_is_an_error(void **state)
{
	struct bench *b = *state;
	struct agent_home home;
	char path[256];

	in_home(b, "key", path);
	assert_int_equal(truncate(path, 63), 0);
	assert_int_equal(agent_home_load(&home, b->home, NULL), TK_ECORRUPT);
}

static void two_processes_never_share_a_home(void **state)
{
	struct bench *b = *state;
	int fd, status;
	pid_t child;

	assert_false(agent_home_is_locked(b->home));
	assert_int_equal(agent_home_lock(b->home, &fd, NULL), TK_OK);
	child = fork();
	if (child == 0) {
		struct errmsg msg = {{0}};
		int other;
		int rc = agent_home_lock(b->home, &other, &msg);

		_exit(rc == TK_EBUSY && agent_home_is_locked(b->home) &&
					strstr(msg.text, "--home") != NULL
				? 0
				: 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(fd);
	assert_false(agent_home_is_locked(b->home));
}

/* Computes lease 1 and saves its result as the shell would. */
static void save_one(struct bench *b)
{
	struct script *s = &b->script;

	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	script_result(s, PAYLOAD_BYTES);
	script_done(s);
	assert_int_equal(agent_files_save_result(
				 &b->files, &s->lease.lease.nonce, bytes_span(&s->saved), NULL),
		TK_OK);
}

static void count_line(void *context, const char *line)
{
	struct bench *b = context;

	assert_true(line[0] != '\0');
	b->logged++;
}

static void load_again(struct bench *b)
{
	script_restart(&b->script);
	assert_int_equal(agent_files_load(&b->files, b->script.agent, count_line, b, NULL), TK_OK);
}

static void a_saved_result_is_committed_after_a_restart(void **state)
{
	struct bench *b = *state;
	struct script *s = &b->script;

	save_one(b);
	load_again(b);
	assert_int_equal(b->logged, 0);
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_expect(s, "DIAL 0\nSEND COMMIT 1\nSEND WORK_REQUEST 2\n");
	agent_files_remove_result(&b->files, &s->lease.lease.nonce);
	load_again(b);
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_expect(s, "DIAL 0\nSEND WORK_REQUEST 2\n");
}

static void any_part_of_a_saved_payload_can_be_read(void **state)
{
	struct bench *b = *state;
	struct script *s = &b->script;
	static const uint32_t offsets[] = {0, 1, 65536, PAYLOAD_BYTES - 10};

	save_one(b);
	for (size_t i = 0; i < 4; i++) {
		struct bytes part = {0};

		assert_int_equal(agent_files_read_result(&b->files, &s->lease.lease.nonce,
					 PAYLOAD_BYTES, offsets[i], 10, &part, NULL),
			TK_OK);
		assert_int_equal(part.len, 10);
		assert_memory_equal(part.data, s->payload.data + offsets[i], 10);
		bytes_close(&part);
	}
}

static void a_spoiled_result_is_told_and_left_behind(void **state)
{
	struct bench *b = *state;
	struct script *s = &b->script;

	save_one(b);
	s->saved.data[s->saved.len / 2] ^= 1;
	assert_int_equal(agent_files_save_result(
				 &b->files, &s->lease.lease.nonce, bytes_span(&s->saved), NULL),
		TK_OK);
	load_again(b);
	assert_int_equal(b->logged, 1);
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_expect(s, "DIAL 0\nSEND WORK_REQUEST 2\n");
}

static void a_result_cut_anywhere_is_refused(void **state)
{
	struct bench *b = *state;
	struct script *s = &b->script;
	struct result_record record;

	save_one(b);
	for (size_t n = 0; n < s->saved.len; n += n < 600 ? 1 : 9973)
		assert_int_not_equal(
			result_record_decode(&record, span_of(s->saved.data, n), NULL), TK_OK);
	assert_int_equal(result_record_decode(&record, bytes_span(&s->saved), NULL), TK_OK);
}

static void leases_held_are_given_back_after_a_restart(void **state)
{
	struct bench *b = *state;
	struct script *s = &b->script;

	save_one(b);
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	assert_int_equal(agent_files_save_leases(&b->files, bytes_span(&s->leases), NULL), TK_OK);
	load_again(b);
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_expect(s, "DIAL 0\nSEND ABANDON 2\nSEND COMMIT 1\nSEND WORK_REQUEST 2\n");
}

static void a_lease_with_a_checkpoint_is_not_given_back_and_the_next_run_finds_it(void **state)
{
	struct bench *b = *state;
	struct script *s = &b->script;
	struct digest unit, other = {{9}};
	struct bytes back = {0};

	save_one(b);
	script_lease(s, 2, 0, 1);
	script_say(s, &s->lease);
	unit = s->unit_digest;
	assert_int_equal(agent_files_save_leases(&b->files, bytes_span(&s->leases), NULL), TK_OK);
	for (int i = 0; i < 2; i++) /* the second takes the first one's place */
		assert_int_equal(agent_files_save_checkpoint(&b->files, &unit,
					 span_text(i == 0 ? "early" : "late"), NULL),
			TK_OK);
	load_again(b);
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_expect(s, "DIAL 0\nSEND COMMIT 1\nSEND WORK_REQUEST 2\n");
	assert_int_equal(agent_files_read_checkpoint(&b->files, &unit, &back, NULL), TK_OK);
	assert_true(span_equal(bytes_span(&back), span_text("late")));
	back.len = 0;
	agent_files_remove_checkpoint(&b->files, &unit);
	assert_int_equal(agent_files_read_checkpoint(&b->files, &unit, &back, NULL), TK_ENOENT);
	assert_int_equal(agent_files_read_checkpoint(&b->files, &other, &back, NULL), TK_ENOENT);
	bytes_close(&back);
}

static void more_checkpoints_than_leases_do_not_stay(void **state)
{
	struct bench *b = *state;
	unsigned left = 0;

	for (uint8_t i = 0; i < AGENT_JOBS_MAX + 3; i++)
		assert_int_equal(agent_files_save_checkpoint(
					 &b->files, &(struct digest){{i}}, span_text("some"), NULL),
			TK_OK);
	load_again(b);
	for (uint8_t i = 0; i < AGENT_JOBS_MAX + 3; i++) {
		struct bytes back = {0};

		left += agent_files_read_checkpoint(
				&b->files, &(struct digest){{i}}, &back, NULL) == TK_OK;
		bytes_close(&back);
	}
	assert_int_equal(left, AGENT_JOBS_MAX);
}

static void parameters_do_not_outlive_a_restart_but_shards_do(void **state)
{
	struct bench *b = *state;
	struct digest digest;
	uint64_t size;
	static const uint8_t data[] = "a blob";

	for (int kind = BLOB_RECIPE; kind <= BLOB_SHARD; kind++)
		assert_int_equal(blob_store_put(agent_files_store(&b->files, kind), &digest,
					 span_of(data, sizeof(data)), NULL),
			TK_OK);
	assert_int_equal(agent_files_open(&b->files, b->home, NULL), TK_OK);
	assert_int_equal(
		blob_store_size(agent_files_store(&b->files, BLOB_SHARD), &digest, &size), TK_OK);
	assert_int_equal(
		blob_store_size(agent_files_store(&b->files, BLOB_PARAMETERS), &digest, &size),
		TK_ENOENT);
}

static void status_json_is_read_as_it_was_written(void **state)
{
	struct bench *b = *state;
	struct status_file in = {.connected = true,
		.round = 4,
		.unit = 3,
		.percent = 40,
		.leases = 2,
		.pending = 5,
		.totals = {.units_valid = 10,
			.units_invalid = 1,
			.units_late = 2,
			.credit_flops = UINT64_C(1) << 60},
		.updated_s = 1234567890,
		.cache_bytes = 12345678901,
		.cache_bytes_max = 17179869184,
		.neighbours = 6,
		.beacon_s = 1234567880,
		.host_until_s = 1239999999,
		.port = 7332,
		.reached = "at 192.0.2.1:7332",
		.state = "computing",
		.reason = "computing \"unit\"\n3 \xff",
		.coordinator = "[::1]:7",
		.project = "licences",
		.engine = "baseline",
		.remark = "this processor is slow",
		.team = "otaniemi"};
	struct status_file out;

	in.peer = b->script.id.key.public;
	assert_int_equal(status_file_write(&in, b->home, NULL), TK_OK);
	assert_int_equal(status_file_read(&out, b->home, NULL), TK_OK);
	assert_string_equal(out.reason, "computing \"unit\"\n3 ?");
	assert_string_equal(out.state, in.state);
	assert_string_equal(out.project, in.project);
	assert_string_equal(out.coordinator, in.coordinator);
	assert_string_equal(out.engine, in.engine);
	assert_string_equal(out.remark, in.remark);
	assert_string_equal(out.team, in.team);
	assert_true(out.connected && out.round == 4 && out.unit == 3 && out.percent == 40);
	assert_memory_equal(&out.totals, &in.totals, sizeof(in.totals));
	assert_true(key_equal(&out.peer, &in.peer));
	assert_int_equal(out.updated_s, in.updated_s);
	assert_int_equal(out.cache_bytes, in.cache_bytes);
	assert_int_equal(out.cache_bytes_max, in.cache_bytes_max);
	assert_int_equal(out.neighbours, 6);
	assert_int_equal(out.beacon_s, in.beacon_s);
	assert_int_equal(out.host_until_s, in.host_until_s);
	assert_int_equal(out.port, 7332);
	assert_string_equal(out.reached, in.reached);
}

static void a_status_that_is_no_json_is_an_error(void **state)
{
	struct bench *b = *state;
	struct status_file out;
	char path[256];

	in_home(b, "status.json", path);
	assert_int_equal(status_file_read(&out, b->home, NULL), TK_ENOENT);
	assert_int_equal(file_replace_unsynced(path, span_text("{\"state\": "), 0644, NULL), TK_OK);
	assert_int_equal(status_file_read(&out, b->home, NULL), TK_ECORRUPT);
	assert_int_equal(file_replace_unsynced(path, span_text("[1, 2]"), 0644, NULL), TK_OK);
	assert_int_equal(status_file_read(&out, b->home, NULL), TK_ECORRUPT);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_home_and_its_key_are_the_volunteers_alone),
		TEST(joining_again_keeps_the_key_and_takes_the_new_hosts),
		TEST(another_network_in_the_same_home_is_refused_with_a_remedy),
		TEST(the_roots_word_that_it_is_a_host_is_kept_and_checked),
		TEST(a_team_is_kept_until_it_is_left_and_a_spoiled_one_is_said),
		TEST(every_request_for_work_names_the_team),
		TEST(joining_a_private_network_keeps_its_secret),
		TEST(a_home_without_a_network_says_how_to_join),
		TEST(a_key_of_the_wrong_length_is_an_error),
		TEST(two_processes_never_share_a_home),
		TEST(a_saved_result_is_committed_after_a_restart),
		TEST(any_part_of_a_saved_payload_can_be_read),
		TEST(a_spoiled_result_is_told_and_left_behind),
		TEST(a_result_cut_anywhere_is_refused),
		TEST(leases_held_are_given_back_after_a_restart),
		TEST(a_lease_with_a_checkpoint_is_not_given_back_and_the_next_run_finds_it),
		TEST(more_checkpoints_than_leases_do_not_stay),
		TEST(parameters_do_not_outlive_a_restart_but_shards_do),
		TEST(status_json_is_read_as_it_was_written),
		TEST(a_status_that_is_no_json_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
