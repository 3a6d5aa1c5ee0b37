/* `talkoot simulate`: the real core under virtual time, with made-up results and any number of made-up peers,
 * some of whom cheat. One program for an owner who asks what a project would take, and for us who ask what
 * a strategy would get away with.
 *
 * Real are the core and all that it checks: manifests, claims, commitments, disputes. Made up are the signatures under
 * commitments (a digest keyed with the peer's secret, which only this file's core can check: nothing depends on them, and Ed25519
 * would take half of the time; simulate_options.ed25519), the
 * results (a result follows from its unit and from what went wrong in it), the peers' speed, latency and coming
 * and going, the merge and the referee (both are right and take virtual time), and the model: payloads are a few bytes,
 * whatever the project's model. Everything follows from the seed. */
#ifndef COORDINATOR_SIMULATE_SIMULATE_H
#define COORDINATOR_SIMULATE_SIMULATE_H

#include <stdio.h>

#include "tasks/base/chart.h"
#include "tasks/project/project.h"

#define SIMULATE_PEERS_MAX 20000u
#define IDENTITIES_MAX	   400000u
#define SIMULATE_UNITS_MAX 20000000u
#define SERIES_MAX	   400u

struct strategy;

struct simulate_options {
	uint64_t peers;
	uint64_t units;	 /* in all; rounded up to whole rounds */
	double cheaters; /* share of the peers: 0 … 1 */
	double churn;	 /* share of its time that a peer is away: 0 … 0.9 */
	double rate;	 /* what the strategy makes of it; negative: its own default */
	double unit_s;	 /* that the median peer takes for a unit */
	uint64_t seed;
	const struct strategy *strategy; /* NULL: nobody cheats */
	bool progress;			 /* a line on stderr now and then */
	bool log;			 /* what the core says, on stderr */
	bool ed25519;			 /* commitments are signed so; else by a keyed digest */
};

/* How the run stood at some time. */
struct simulate_point {
	double hours;
	uint64_t units;	     /* settled */
	uint64_t computed;   /* units computed by honest peers */
	uint64_t refereed;   /* and by the coordinator, which computes each twice */
	uint64_t standing;   /* wrong units that are taken for right */
	uint32_t caught;     /* cheaters' identities retired */
	uint32_t retired_ok; /* identities retired that never gave a wrong result: must be 0 */
	uint64_t disputes;
};

struct simulate_spread { /* of some figure over peers or units */
	uint64_t count;
	double median, p90, p99, most, mean;
};

struct simulate_report {
	uint32_t rounds, rounds_done, units_per_round, quorum;
	double audit_floor;  /* 0: policy full */
	uint32_t cheaters;   /* identities of them, new ones included */
	uint32_t cheaters_1; /* at the beginning */
	bool done;	     /* or why not */
	char reason[256];
	struct simulate_point end;
	uint64_t peak;			/* of standing wrong units */
	struct simulate_spread stood_h; /* how long those stood that were found */
	uint64_t wrong;			/* results handed in that were wrong */
	uint64_t honest_wrong;		/* of them by peers that mean well: bit flips */
	struct simulate_spread bad;	/* wrong results of a cheater until it was retired */
	struct simulate_spread
		proven; /* of them, those leased before the one that proved it, and this one */
	struct simulate_spread caught_h; /* from its first wrong result to its retirement */
	double overhead,
		overhead_end; /* computation beyond once a unit: in all; in the last fifth */
	double busy;	      /* share of their time that peers compute while they are here */
	double round_h;	      /* mean */
	struct simulate_spread messages; /* of a dispute, to and from its parties */
	uint64_t referee_units, referee_steps;
	uint32_t settle_rounds; /* policy adaptive */
	uint64_t rollbacks;
	uint64_t taken_back;	 /* merges */
	uint64_t computed_again; /* units that had been settled in rounds which were discarded */
	double replayed;	 /* units' worth of steps that disputants computed again */
	uint64_t messages_all;
	uint32_t point_count;
	struct simulate_point points[SERIES_MAX];
	uint64_t digest; /* of what the core did and when: equal for equal seeds */
	double cpu_s;
};

/* Runs it. p: what its keys say of rounds, units and verification counts; its data are not read.
 * Errors: TK_EINVAL, TK_ENOMEM, those of recipe_encode. */
int simulate_run(struct simulate_report *out, const struct project *p,
	const struct simulate_options *options, struct errmsg *msg) TK_CHECKED;

/* strategies.c: one of the table, NULL when there is none of that name. */
const struct strategy *strategy_find(const char *name);
const char *strategy_name(const struct strategy *s); /* NULL is "none" */
double strategy_rate(const struct simulate_options *o);
void strategy_list(FILE *out);

/* simulate_print.c, simulate_jansson.c: what came of it, for a person, as CSV, as curves, as JSON. */
void simulate_print(const struct simulate_report *r, const struct simulate_options *o, FILE *out);
void simulate_csv(const struct simulate_report *r, FILE *out);
void simulate_svg(const struct simulate_report *r, const struct simulate_options *o, FILE *out);
int simulate_json(
	const struct simulate_report *r, const struct simulate_options *o, FILE *out) TK_CHECKED;

#endif
