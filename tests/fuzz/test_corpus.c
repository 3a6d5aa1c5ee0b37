/* Everything that fuzzers have found worth keeping (tests/fuzz/corpus), once more through its target: whatever
 * was found and mended stays mended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/base/key.h"
#include "tests/lib/fuzz_corpus.h"

#define SLOW_EACH 8u /* of those that shake hands; test_corpus_clear.c runs all */

static void kept_inputs_do_no_harm(void **state)
{
	(void)state;
	assert_int_equal(crypto_start(), TK_OK);
	assert_true(corpus_replay(SLOW_EACH) > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_inputs_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
