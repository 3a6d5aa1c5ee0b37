/* See require.h. */
#include "tasks/base/require.h"

#include <stdio.h>
#include <stdlib.h>

void require_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: broken expectation: %s (this is a bug in Talkoot)\n", file, line,
		expression);
	abort();
}
