/* How much of a long test is done. All of it, unless the environment has TALKOOT_TEST_SLICE, which scripts/run-tests
 * --slice sets: then a smaller part, that goes through the same code. scripts/check takes slices under sanitizers, and
 * scripts/check --long takes none. */
#ifndef TESTS_LIB_SLICE_H
#define TESTS_LIB_SLICE_H

#include <stdlib.h>

static inline unsigned slice(unsigned all, unsigned part)
{
	const char *given = getenv("TALKOOT_TEST_SLICE");

	return given != NULL && given[0] != '\0' ? part : all;
}

#endif
