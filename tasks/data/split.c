/* See split.h. */
#include "tasks/data/split.h"

#include <math.h>

#include "tasks/base/require.h"
#include "tasks/math/order.h"

uint64_t split_count(uint64_t n, double fraction)
{
	uint64_t count;

	if (!(fraction > 0))
		return 0;
	REQUIRE(n >= 2 && fraction < 1);
	count = (uint64_t)floor(fraction * (double)n + 0.5);
	if (count < 1)
		return 1;
	return count > n - 1 ? n - 1 : count;
}

bool split_keeps(const struct split *s, uint64_t row)
{
	if (s->validation == 0)
		return false;
	return bijection(s->rows, s->seed, SPLIT_TWEAK, row) < s->validation;
}
