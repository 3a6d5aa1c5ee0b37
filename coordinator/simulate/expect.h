/* What theory says about a run, to stand beside what was measured. The formulas are derived in
 * coordinator/VERIFICATION.md, section "Simulated". */
#ifndef COORDINATOR_SIMULATE_EXPECT_H
#define COORDINATOR_SIMULATE_EXPECT_H

#include "coordinator/simulate/simulate.h"

#define EXPECTATIONS_MAX 8u

enum expectation_kind { EXPECT_ABOUT = 1, EXPECT_MOST = 2 };

struct expectation {
	const char *what, *unit;
	enum expectation_kind kind;
	double measured, expected;
	double within; /* ABOUT: relative; MOST: by this factor */
};

/* Fills what can be said about this strategy and policy; gives how many. */
uint32_t expect(struct expectation out[EXPECTATIONS_MAX], const struct simulate_report *r,
	const struct simulate_options *o);
/* Colluders who cheat on single results, under policy adaptive: how many wrong units are likely to stand at this rate of
 * cheating, and the bound, which no rate exceeds. */
double expect_friends(
	double *bound, const struct simulate_report *r, const struct simulate_options *o);
bool expectation_holds(const struct expectation *e);

/* The least n with which a fault that each of n units shows with probability p has shown with one half: the
 * median of the geometric distribution. */
double geometric_median(double p);

#endif
