/* talkoot verify-fault: what it answers, says and asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/cli/cli.h"
#include "peer/swarm/blob_store.h"
#include "tasks/base/file.h"
#include "tests/lib/accused.h"

static char folder[64];

static const char *in_folder(const char *name)
{
	static char path[8][256];
	static unsigned next;
	char *p = path[next++ % 8];

	snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
	return p;
}

static void save(const char *name, const struct bytes *bytes)
{
	assert_int_equal(file_replace_unsynced(in_folder(name), bytes_span(bytes), 0644, NULL), 0);
}

/* Runs it; what it prints goes to the file `said`. */
static int verify_fault(const char *a, const char *b, const char *c, const char *d, const char *e)
{
	char *argv[] = {(char *)"verify-fault", (char *)a, (char *)b, (char *)c, (char *)d,
		(char *)e, NULL};
	struct cli cli = {.argv = argv};
	int out = dup(STDOUT_FILENO), code;

	while (argv[cli.argc] != NULL)
		cli.argc++;
	fflush(stdout);
	assert_true(out >= 0 && freopen(in_folder("said"), "w", stdout) != NULL);
	code = command_verify_fault(&cli);
	fflush(stdout);
	assert_true(dup2(out, STDOUT_FILENO) >= 0);
	close(out);
	return code;
}

static bool said(const char *text)
{
	struct bytes all = {0};
	bool found;

	assert_int_equal(file_read(&all, in_folder("said"), 65536, NULL), TK_OK);
	assert_int_equal(bytes_append(&all, "", 1), TK_OK);
	found = strstr((const char *)all.data, text) != NULL;
	if (!found)
		print_message("%s", (const char *)all.data);
	bytes_close(&all);
	return found;
}

static void make(struct accused *a, struct bytes *file, uint32_t lie)
{
	struct fault_statement f;

	assert_true(accused_init(a, MODEL_LOGISTIC, NULL, 0));
	if (lie < 6)
		accused_lie(a, lie);
	f = accused_statement(a, FAULT_STEP, lie % 6);
	assert_int_equal(accused_file(a, &f, file), TK_OK);
}

static void a_proof_is_proven_and_an_honest_peer_is_not(void **state)
{
	struct bytes file = {0};
	struct accused a;
	char hex[DIGEST_HEX];

	(void)state;
	make(&a, &file, 3);
	save("proof", &file);
	assert_int_equal(verify_fault(in_folder("proof"), NULL, NULL, NULL, NULL), EXIT_OK);
	hex_encode(hex, a.peer.public.b, KEY_BYTES);
	assert_true(said(hex));
	digest_hex(hex, &a.unit.recipe);
	assert_true(said(hex));
	assert_true(said("step 4 of 5"));
	assert_true(said("unit 4 of round 2"));
	assert_true(said("proven: "));
	assert_false(said("not proven"));
	bytes_close(&file);
	accused_close(&a);
	make(&a, &file, 6);
	save("honest", &file);
	assert_int_equal(verify_fault(in_folder("honest"), NULL, NULL, NULL, NULL), EXIT_FAILED);
	assert_true(said("not proven: "));
	file.data[100] ^= 1;
	save("damaged", &file);
	assert_int_equal(verify_fault(in_folder("damaged"), NULL, NULL, NULL, NULL), EXIT_FAILED);
	assert_true(said("refused"));
	bytes_close(&file);
	accused_close(&a);
}

static void the_engine_that_is_asked_for_computes(void **state)
{
	struct bytes file = {0};
	struct accused a;

	(void)state;
	make(&a, &file, 5);
	save("proof", &file);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		setenv("TALKOOT_ENGINE", (*e)->name, 1);
		assert_int_equal(verify_fault(in_folder("proof"), NULL, NULL, NULL, NULL), EXIT_OK);
		assert_true(said((*e)->name));
		assert_true(said("packing"));
	}
	setenv("TALKOOT_ENGINE", "none", 1);
	assert_int_equal(verify_fault(in_folder("proof"), NULL, NULL, NULL, NULL), EXIT_FAILED);
	unsetenv("TALKOOT_ENGINE");
	bytes_close(&file);
	accused_close(&a);
}

static void another_network_is_refused(void **state)
{
	struct bytes file = {0};
	struct accused a;
	char hex[DIGEST_HEX], link[128];

	(void)state;
	make(&a, &file, 0);
	save("proof", &file);
	hex_encode(hex, a.root.public.b, KEY_BYTES);
	snprintf(link, sizeof(link), "talkoot://%s@host.example:7331", hex);
	assert_int_equal(verify_fault(in_folder("proof"), "--network", hex, NULL, NULL), EXIT_OK);
	assert_int_equal(verify_fault("--network", link, in_folder("proof"), NULL, NULL), EXIT_OK);
	hex[5] = hex[5] == '0' ? '1' : '0';
	assert_int_equal(
		verify_fault(in_folder("proof"), "--network", hex, NULL, NULL), EXIT_FAILED);
	assert_true(said("refused"));
	bytes_close(&file);
	accused_close(&a);
}

static void blobs_come_from_a_folder_of_either_form(void **state)
{
	char flat[128], home[128];
	struct bytes file = {0}, bare = {0}, before = {0};
	struct blob_store store;
	struct digest digest;
	struct accused a;

	(void)state;
	snprintf(flat, sizeof(flat), "%s/flat", folder);
	snprintf(home, sizeof(home), "%s/home", folder);
	make(&a, &file, 2);
	assert_true(accused_without_blobs(bytes_span(&file), &bare));
	save("bare", &bare);
	assert_int_equal(verify_fault(in_folder("bare"), NULL, NULL, NULL, NULL), EXIT_FAILED);
	assert_true(accused_state(&a, 2, &before));
	assert_int_equal(folder_make(flat, false, NULL), TK_OK);
	assert_int_equal(blob_store_init(&store, home, NULL), TK_OK);
	for (int i = -3; i < (int)a.tiny.recipe.data.train.shards; i++) {
		struct span blob = i == -3   ? bytes_span(&a.recipe)
				   : i == -2 ? bytes_span(&a.parameters)
					     : bytes_span(&before);
		char hex[DIGEST_HEX], name[128];

		if (i >= 0)
			assert_int_equal(shard_cache_get(&a.tiny.cache,
						 &a.tiny.recipe.data.train.digests[i], &blob, NULL),
				TK_OK);
		assert_int_equal(blob_store_put(&store, &digest, blob, NULL), TK_OK);
		digest_hex(hex, &digest);
		snprintf(name, sizeof(name), "flat/%s", hex);
		assert_int_equal(file_replace_unsynced(in_folder(name), blob, 0644, NULL), TK_OK);
	}
	assert_int_equal(verify_fault(in_folder("bare"), "--blobs", home, NULL, NULL), EXIT_OK);
	assert_int_equal(verify_fault(in_folder("bare"), "--blobs", flat, NULL, NULL), EXIT_OK);
	bytes_close(&before);
	bytes_close(&bare);
	bytes_close(&file);
	accused_close(&a);
}

static void what_it_does_not_understand_is_a_question_of_usage(void **state)
{
	(void)state;
	assert_int_equal(verify_fault(NULL, NULL, NULL, NULL, NULL), EXIT_USAGE);
	assert_int_equal(verify_fault("a", "b", NULL, NULL, NULL), EXIT_USAGE);
	assert_int_equal(verify_fault("a", "--network", "abc", NULL, NULL), EXIT_USAGE);
	assert_int_equal(verify_fault("a", "--blobs", "/nowhere/at/all", NULL, NULL), EXIT_USAGE);
	assert_int_equal(verify_fault("a", "--sideways", NULL, NULL, NULL), EXIT_USAGE);
	assert_int_equal(
		verify_fault(in_folder("there is none"), NULL, NULL, NULL, NULL), EXIT_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proof_is_proven_and_an_honest_peer_is_not),
		cmocka_unit_test(the_engine_that_is_asked_for_computes),
		cmocka_unit_test(another_network_is_refused),
		cmocka_unit_test(blobs_come_from_a_folder_of_either_form),
		cmocka_unit_test(what_it_does_not_understand_is_a_question_of_usage),
	};
	char command[96];
	int failed;

	snprintf(folder, sizeof(folder), "/tmp/talkoot-fault-XXXXXX");
	if (crypto_start() != TK_OK || mkdtemp(folder) == NULL)
		return 1;
	unsetenv("TALKOOT_ENGINE");
	failed = cmocka_run_group_tests_name("verify_fault", tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) == 0 ? failed : 1;
}
