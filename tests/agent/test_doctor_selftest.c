/* What the doctor makes of a self-test: silence when it is right, and the operation's name when it is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "peer/agent/doctor.h"
#include "tasks/base/version.h"
#include "tasks/math/engine.h"
#include "tasks/unit/selftest.h"

static struct span run(const struct engine *engine, uint64_t seed, struct digest *digests)
{
	const struct compute c = {.engine = engine};
	struct errmsg msg = {""};

	if (selftest_run(&c, seed, digests, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	return span_of(digests, SELFTEST_OPERATIONS * sizeof(*digests));
}

static void every_engine_of_this_computer_passes_in_silence(void **state)
{
	struct doctor d = {.count = 0};
	struct digest digests[SELFTEST_OPERATIONS];

	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++)
		assert_true(doctor_selftest(&d, (*e)->name, 77, run(*e, 77, digests)));
	assert_int_equal(d.count, 0);
}

static void a_wrong_operation_is_named_with_all_that_is_to_be_reported(void **state)
{
	static const uint32_t wrong[] = {0, 7, SELFTEST_OPERATIONS - 1};
	struct digest digests[SELFTEST_OPERATIONS];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct doctor d = {.count = 0};
		struct span s = run(engine_best(), 4711, digests);

		digests[wrong[i]].b[31] ^= 1;
		assert_false(doctor_selftest(&d, "avx2", 4711, s));
		assert_int_equal(d.count, 1);
		assert_int_equal(d.steps[0].result, DOCTOR_BAD);
		assert_non_null(strstr(d.steps[0].text, selftest_name(wrong[i])));
		assert_non_null(strstr(d.steps[0].text, "engine avx2, build " TALKOOT_VERSION));
		assert_non_null(strstr(d.steps[0].text, "seed 4711;"));
		assert_non_null(strstr(d.steps[0].advice, "report"));
		assert_non_null(strstr(d.steps[0].advice, "TALKOOT_ENGINE=baseline"));
	}
}

static void a_wrong_scalar_engine_is_not_told_to_use_the_scalar_engine(void **state)
{
	struct doctor d = {.count = 0};
	struct digest digests[SELFTEST_OPERATIONS];
	struct span s = run(engine_find("scalar"), 1, digests);

	(void)state;
	digests[3].b[0] ^= 1;
	assert_false(doctor_selftest(&d, engine_find("scalar")->name, 1, s));
	assert_null(strstr(d.steps[0].advice, "TALKOOT_ENGINE"));
	assert_non_null(strstr(d.steps[0].advice, "memory"));
}

static void the_answer_to_another_seed_or_of_another_length_is_wrong(void **state)
{
	struct doctor d = {.count = 0};
	struct digest digests[SELFTEST_OPERATIONS];
	struct span s = run(engine_best(), 5, digests);

	(void)state;
	assert_false(doctor_selftest(&d, "avx2", 6, s));
	s.len -= DIGEST_BYTES;
	assert_false(doctor_selftest(&d, "avx2", 5, s));
	assert_int_equal(d.count, 2);
	assert_int_equal(d.steps[1].result, DOCTOR_BAD);
	assert_non_null(strstr(d.steps[1].text, "44 operations, and there are 45"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_engine_of_this_computer_passes_in_silence),
		cmocka_unit_test(a_wrong_operation_is_named_with_all_that_is_to_be_reported),
		cmocka_unit_test(a_wrong_scalar_engine_is_not_told_to_use_the_scalar_engine),
		cmocka_unit_test(the_answer_to_another_seed_or_of_another_length_is_wrong),
	};

	if (engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("doctor: self-test", tests, NULL, NULL);
}
