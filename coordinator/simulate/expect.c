/* See expect.h. */
#include "coordinator/simulate/expect.h"

#include <math.h>
#include <string.h>

#include "coordinator/draw.h"

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

#define SLEPT 1000u /* results of a sleeper before the first wrong one */

/* The chance that one of an established peer's results is compared, after n of them, in a crowd whose peers are all as
 * old: of first results the drawn ones, of audits all. Trust grows by what is compared. */
static double compared(double floor, uint32_t n)
{
	double again = 1 + (floor > AUDIT_AGAIN ? floor : AUDIT_AGAIN);
	double trust = PEER_ESTABLISHED;
	double p = 1;
	double audits;

	for (uint32_t i = PEER_ESTABLISHED; i < n; i++) {
		trust += (1 + again) * p / (1 + again * p);
		p = draw_probability((uint64_t)trust, floor);
	}
	audits = again * p / (1 + again * p);
	return audits + (1 - audits) * p;
}

static uint32_t expect_adaptive(
	struct expectation *out, const struct simulate_report *r, const struct simulate_options *o)
{
	const char *name = strategy_name(o->strategy);
	double units = (double)(r->end.units + !r->end.units);
	double f = r->audit_floor, share = o->cheaters;

	*out = (struct expectation){.what = "wrong units that stand at the end",
		.unit = "",
		.kind = EXPECT_MOST,
		.measured = (double)r->end.standing,
		.within = 1.1};
	if (strcmp(name, "flaky") == 0)
		return 0; /* too much depends on when it is wrong first */
	if (strcmp(name, "colluders") == 0)
		out->expected = units * 1e-5;
	else if (strcmp(name, "colluders-single") == 0)
		out->expected = r->cheaters / (f * (1 - share));
	else if (strcmp(name, "sleeper") == 0) {
		if (r->proven.count == 0)
			return 0;
		*out = (struct expectation){
			.what = "wrong results of a sleeper, up to the one found",
			.unit = "(median)",
			.kind = EXPECT_ABOUT,
			.measured = r->proven.median,
			.expected = geometric_median(compared(f, SLEPT)),
			.within = 0.1 + 3 / sqrt((double)r->proven.count)};
	}
	return 1;
}

static uint32_t expect_full(
	struct expectation *out, const struct simulate_report *r, const struct simulate_options *o)
{
	double units = (double)(r->end.units + !r->end.units);

	*out = (struct expectation){.what = "wrong units that stand at the end",
		.unit = "",
		.kind = EXPECT_MOST,
		.measured = (double)r->end.standing,
		.within = 1};
	/* Every unit is compared: one who cheats by himself always meets somebody who differs. But each unit goes to
	 * quorum of the peers at random, and all of them may be friends. */
	if (!alone(o)) {
		out->expected = units * pow(o->cheaters, r->quorum);
		out->within = 1.1;
	}
	return 1;
}

uint32_t expect(struct expectation out[EXPECTATIONS_MAX], const struct simulate_report *r,
	const struct simulate_options *o)
{
	uint32_t n = 0;

	out[n++] = (struct expectation){.what = "identities retired whose results were right",
		.unit = "",
		.kind = EXPECT_MOST,
		.measured = r->end.retired_ok,
		.expected = 0,
		.within = 1};
	if (r->audit_floor > 0)
		return n + expect_adaptive(&out[n], r, o);
	return n + expect_full(&out[n], r, o);
}
