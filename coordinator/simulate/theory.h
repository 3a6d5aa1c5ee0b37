/* What a crowd under policy adaptive comes to, by calculation: peers whose speeds are spread as crowd.c spreads them grow
 * their trust, are compared with others, and fall when they are found wrong. Derived in coordinator/VERIFICATION.md,
 * "Simulated". Nothing here looks at what a run measured but the share of their time that peers compute. */
#ifndef COORDINATOR_SIMULATE_THEORY_H
#define COORDINATOR_SIMULATE_THEORY_H

#include <stdint.h>

#include "tasks/base/error.h"

struct theory {
	double floor;	  /* of audits */
	double peers;	  /* in all */
	double units;	  /* in all */
	double round;	  /* units of one */
	double share;	  /* of peers that cheat or err */
	double median_ms; /* of a unit */
	double busy;	  /* share of their time that peers compute */
	uint32_t honest;  /* units before the first that may be wrong */
	double wrong;	  /* share of those behind them that are */
	double friends;	  /* share of the peers that say the same as each other */
	uint32_t
		kept; /* rounds that are looked at again when an author falls, before the one in progress */
};

/* The chance that the n-th result of a peer is compared with another's: as an audit that it does, else by a draw. */
struct comparing {
	double audit, draw;
};

/* Fills out[0 … count − 1], for n from 1 on. */
void theory_comparing(struct comparing *out, uint32_t count, double floor);

/* How many results a peer that is wrong in all of them has handed in when it is retired: the median over those who get so far.
 * Errors: TK_ENOMEM. */
int theory_sleeper(double *median, const struct theory *t) TK_CHECKED;

/* How many wrong units stand at the end, and one standard deviation of that as a share of it. Errors: TK_ENOMEM. */
int theory_errors(double *standing, double *spread, const struct theory *t) TK_CHECKED;

#endif
