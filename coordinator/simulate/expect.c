/* See expect.h. */
#include "coordinator/simulate/expect.h"

#include <math.h>
#include <string.h>

double geometric_median(double p)
{
	return p >= 0.5 ? 1 : ceil(log(2) / -log1p(-p));
}

bool expectation_holds(const struct expectation *e)
{
	if (e->kind == EXPECT_MOST)
		return e->measured <= e->expected * e->within;
	return fabs(e->measured - e->expected) <= e->within * e->expected;
}

static bool alone(const struct simulate_options *o)
{
	const char *name = strategy_name(o->strategy);

	return strncmp(name, "colluders", 9) != 0;
}

uint32_t expect(struct expectation out[EXPECTATIONS_MAX], const struct simulate_report *r,
	const struct simulate_options *o)
{
	double units = (double)(r->end.units + !r->end.units);
	uint32_t n = 0;

	out[n++] = (struct expectation){.what = "identities retired whose results were right",
		.unit = "",
		.kind = EXPECT_MOST,
		.measured = r->end.retired_ok,
		.expected = 0,
		.within = 1};
	/* Every unit is compared: one who cheats by himself always meets somebody who differs. */
	if (alone(o))
		out[n++] = (struct expectation){.what = "wrong units that stand at the end",
			.unit = "",
			.kind = EXPECT_MOST,
			.measured = (double)r->end.standing,
			.expected = 0,
			.within = 1};
	/* Each unit goes to quorum of the peers at random: all of them may be friends. */
	else
		out[n++] = (struct expectation){.what = "wrong units that stand at the end",
			.unit = "",
			.kind = EXPECT_MOST,
			.measured = (double)r->end.standing,
			.expected = units * pow(o->cheaters, r->quorum),
			.within = 1.1};
	return n;
}
