/* See expect.h. */
#include "coordinator/simulate/expect.h"

#include <math.h>
#include <string.h>

#include "coordinator/simulate/state.h"
#include "coordinator/simulate/theory.h"

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

static struct theory theory_of(const struct simulate_report *r, const struct simulate_options *o)
{
	return (struct theory){.floor = r->audit_floor,
		.peers = (double)o->peers,
		.units = (double)(r->end.units + !r->end.units),
		.round = r->units_per_round,
		.kept = r->settle_rounds,
		.share = o->cheaters,
		.median_ms = 1e3 * o->unit_s,
		.busy = r->busy > 0 ? r->busy : 1,
		.wrong = 1};
}

/* Two standard errors beside the tenth that the formula is good for: a run with few cheaters says little. */
static bool expect_sleeper(
	struct expectation *out, const struct simulate_report *r, const struct simulate_options *o)
{
	struct theory t = theory_of(r, o);

	t.honest = SLEEPS;
	*out = (struct expectation){.what = "wrong results of a sleeper until it is retired",
		.unit = "(median)",
		.kind = EXPECT_ABOUT,
		.measured = r->bad.median,
		.within = 0.1 + 2.2 / sqrt((double)r->bad.count)};
	return r->bad.count > 0 && theory_sleeper(&out->expected, &t) == TK_OK;
}

static bool expect_flaky(
	struct expectation *out, const struct simulate_report *r, const struct simulate_options *o)
{
	struct theory t = theory_of(r, o);
	double spread = 0;

	t.wrong = strategy_rate(o);
	out->kind = EXPECT_ABOUT;
	if (!(t.wrong > 0 && t.share > 0) || theory_errors(&out->expected, &spread, &t) != TK_OK)
		return false;
	out->within = 0.1 + 2 * spread;
	return true;
}

static uint32_t expect_adaptive(
	struct expectation *out, const struct simulate_report *r, const struct simulate_options *o)
{
	const char *name = strategy_name(o->strategy);
	double units = (double)(r->end.units + !r->end.units);

	*out = (struct expectation){.what = "wrong units that stand at the end",
		.unit = "",
		.kind = EXPECT_MOST,
		.measured = (double)r->end.standing,
		.within = 1.1};
	if (strcmp(name, "flaky") == 0)
		return expect_flaky(out, r, o);
	if (strcmp(name, "sleeper") == 0)
		return expect_sleeper(out, r, o);
	if (strcmp(name, "colluders") == 0)
		out->expected = units * 1e-5;
	else if (strcmp(name, "colluders-single") == 0)
		out->expected = r->cheaters / (r->audit_floor * (1 - o->cheaters));
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

double expect_friends(
	double *bound, const struct simulate_report *r, const struct simulate_options *o)
{
	struct theory t = theory_of(r, o);
	double standing = 0, spread;

	t.wrong = strategy_rate(o);
	t.friends = o->cheaters;
	*bound = r->cheaters / (r->audit_floor * (1 - o->cheaters));
	return theory_errors(&standing, &spread, &t) == TK_OK ? standing : 0;
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
