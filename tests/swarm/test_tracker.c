/* The coordinator's table of who has what, and the hash table below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer/swarm/index.h"
#include "peer/swarm/tracker.h"
#include "tasks/base/mem.h"

static void answers_are_different_peers_without_the_asker(void **state)
{
	struct tracker *t = tracker_new();
	uint32_t named[101] = {0};

	(void)state;
	for (peer_ref p = 1; p <= 100; p++)
		assert_int_equal(tracker_add(t, 7, p, p % 10 == 0), TK_OK);
	for (uint64_t random = 0; random < 2000; random++) {
		peer_ref out[BLOB_SOURCES_MAX];
		size_t n = tracker_who(t, 7, 50, 16, random, out);
		uint32_t public = 0;

		assert_int_equal(n, 16);
		for (size_t i = 0; i < n; i++) {
			assert_true(out[i] >= 1 && out[i] <= 100 && out[i] != 50);
			for (size_t k = 0; k < i; k++)
				assert_int_not_equal(out[i], out[k]);
			public += out[i] % 10 == 0;
			named[out[i]]++;
		}
		assert_true(public >= 8);
	}
	for (peer_ref p = 1; p <= 100; p++)
		assert_true(p == 50 || named[p] > 50); /* by chance, and everybody has one */
	assert_int_equal(tracker_count(t, 7, 50), 99);
	assert_int_equal(tracker_count(t, 7, 1000), 100);
	tracker_free(t);
}

static void who_has_several_blobs_of_a_group_is_named_until_the_last_is_gone(void **state)
{
	struct tracker *t = tracker_new();
	peer_ref out[BLOB_SOURCES_MAX];

	(void)state;
	assert_int_equal(tracker_add(t, 1, 5, true), TK_OK);
	assert_int_equal(tracker_add(t, 1, 5, true), TK_OK);
	assert_int_equal(tracker_add(t, 2, 5, true), TK_OK);
	tracker_remove(t, 1, 5);
	assert_int_equal(tracker_who(t, 1, 9, 4, 3, out), 1);
	tracker_remove(t, 1, 5);
	tracker_remove(t, 1, 5);
	assert_int_equal(tracker_who(t, 1, 9, 4, 3, out), 0);
	tracker_remove_peer(t, 5);
	assert_int_equal(tracker_who(t, 2, 9, 4, 3, out), 0);
	tracker_free(t);
}

static void a_peer_fills_no_more_than_its_share(void **state)
{
	struct tracker *t = tracker_new();

	(void)state;
	for (blob_ref g = 1; g <= TRACKER_GROUPS_MAX; g++)
		assert_int_equal(tracker_add(t, g, 1, false), TK_OK);
	assert_int_equal(tracker_add(t, TRACKER_GROUPS_MAX + 1, 1, false), TK_ELIMIT);
	assert_int_equal(tracker_add(t, TRACKER_GROUPS_MAX + 1, 2, false), TK_OK);
	tracker_remove_peer(t, 1);
	assert_int_equal(tracker_add(t, 1, 1, false), TK_OK);
	tracker_free(t);
}

static void short_memory_is_said_and_nothing_is_lost(void **state)
{
	bool done = false;

	(void)state;
	for (uint64_t after = 1; !done; after++) {
		struct tracker *t = tracker_new();
		int rc;

		mem_fail(after, 0);
		rc = tracker_add(t, 3, 4, true);
		mem_fail(0, 0);
		done = rc == TK_OK;
		assert_true(done || rc == TK_ENOMEM);
		assert_int_equal(tracker_count(t, 3, 0), done ? 1 : 0);
		tracker_free(t);
	}
}

static void numbers_are_found_while_others_come_and_go(void **state)
{
	static uint64_t values[4096];
	struct index x = {0};
	uint64_t random = 1;

	(void)state;
	for (uint32_t round = 0; round < 200000; round++) {
		uint32_t i;

		random = random * 6364136223846793005u + 1442695040888963407u;
		i = (uint32_t)(random >> 40) % 4096;
		if (values[i] == 0) {
			values[i] = 1;
			assert_int_equal(index_put(&x, i * 65536u, &values[i]), TK_OK);
		} else if (random >> 60 < 8) {
			assert_ptr_equal(index_remove(&x, i * 65536u), &values[i]);
			values[i] = 0;
		}
		assert_ptr_equal(index_get(&x, i * 65536u), values[i] != 0 ? &values[i] : NULL);
	}
	for (uint32_t i = 0; i < 4096; i++)
		assert_ptr_equal(index_get(&x, i * 65536u), values[i] != 0 ? &values[i] : NULL);
	index_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_different_peers_without_the_asker),
		cmocka_unit_test(who_has_several_blobs_of_a_group_is_named_until_the_last_is_gone),
		cmocka_unit_test(a_peer_fills_no_more_than_its_share),
		cmocka_unit_test(short_memory_is_said_and_nothing_is_lost),
		cmocka_unit_test(numbers_are_found_while_others_come_and_go),
	};

	return cmocka_run_group_tests_name("tracker", tests, NULL, NULL);
}
