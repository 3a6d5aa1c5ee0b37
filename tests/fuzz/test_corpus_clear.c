/* The same as test_corpus.c, linked without cryptography (clear_key_sodium.c, clear_noise.c) as fuzzers are: here the
 * inputs get as far as they did when they were found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/base/key.h"
#include "tests/lib/fuzz_corpus.h"

static void kept_inputs_do_no_harm_behind_the_handshake(void **state)
{
	(void)state;
	assert_int_equal(crypto_start(), TK_OK);
	assert_true(corpus_replay(1) > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_inputs_do_no_harm_behind_the_handshake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
