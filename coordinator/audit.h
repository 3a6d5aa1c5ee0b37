/* Verifies what a ledger's entries mean, entry by entry, without recomputing anything: audit_run.h does
 * that. Needs no home, no store and no clock; the entries may be anybody's.
 *
 * A verified ledger shows that the network's key says this and nothing else: which rounds there were,
 * that each unit's result was committed to by whom the entry names, opened, and equal among a quorum or
 * to the referee's; that each merge took them all. It does not show that the results are right. */
#ifndef COORDINATOR_AUDIT_H
#define COORDINATOR_AUDIT_H

#include "coordinator/ledger.h"

struct audit_unit {
	uint64_t at; /* where its last entry is; 0: not settled */
	struct digest header;
	struct digest result; /* of the canonical claim */
	uint8_t outcome;
	bool dissent; /* a result that differs is not judged */
	bool refereed;
	bool changed; /* since its round was merged: proved wrong, and a rollback must follow */
	bool stands;  /* proved wrong, and stays as it was merged (on_fraud: continue) */
	struct public_key alone; /* on whose word alone it rests; zero: not on one's */
	uint16_t verdicts[LEDGER_VERDICT_LAST + 1]; /* replicas, by enum ledger_verdict */
};

struct audit_round {
	uint64_t at, merge_at; /* of its entries; merge_at 0: not merged */
	struct digest parameters;
	struct digest states;		  /* list; zero: none */
	struct digest audit;		  /* commitment to the round's seed; zero: none */
	struct digest seed;		  /* opened; zero: not */
	struct digest outer_state, model; /* that its merge gave */
};

struct audit_fault {
	struct digest nonce;
	struct public_key key;
	uint64_t sequence;
	uint32_t round, index;
	bool twice; /* committed twice: whatever the results are */
	bool seen;  /* in a later unit's entry */
};

struct audit_counts {
	uint64_t replaced;	       /* units' entries, by later ones */
	uint64_t rollbacks, discarded; /* merges taken back */
	uint64_t standing;	       /* units that proved wrong and stay merged */
};

struct audit {
	struct public_key network;
	struct digest project;
	struct recipe recipe; /* owned */
	uint32_t units_per_round;
	bool begun, ended;
	uint32_t quorum, policy, floor_ppm, on_fraud, settle_rounds;
	uint64_t
		changed; /* units that proved wrong since they were merged, and no rollback came yet */
	enum project_state end;
	uint32_t round; /* in progress when open; else the next one */
	bool open;
	struct digest parameters, outer_state, states, model; /* after the last merge */
	struct audit_round *rounds;			      /* [0, round + open) stand */
	struct audit_unit *units;			      /* W for each of them */
	size_t round_capacity;
	struct audit_fault *faults; /* by nonce */
	size_t fault_count, fault_capacity;
	struct audit_counts counts;
	struct digest *scratch; /* W */
};

/* Gives *a (audit_close) only on success. Errors: those of recipe_decode, TK_ENOMEM. */
int audit_init(struct audit *a, const struct public_key *network, struct span recipe,
	struct errmsg *msg) TK_CHECKED;
void audit_close(struct audit *a);

/* Takes the project's next entry. at (> 0): where it can be found again. Errors: TK_ECORRUPT, TK_EPROTO,
 * TK_ELIMIT (msg names what is wrong), TK_ENOMEM; the audit is then over. */
int audit_take(struct audit *a, uint64_t sequence, uint64_t at, struct span content,
	struct errmsg *msg) TK_CHECKED;

/* Where a file, a merge or a round may follow: no merged unit has changed without a ROLLBACK. Errors: TK_ECORRUPT. */
int audit_at_end(const struct audit *a, struct errmsg *msg) TK_CHECKED;

/* Units that are settled, in standing rounds and in the one in progress. */
uint64_t audit_settled(const struct audit *a);
/* Adaptive: how many of the units that stand the floor drew, and how many of these had a wrong result. */
void audit_drawn(const struct audit *a, uint64_t *drawn, uint64_t *wrong);
struct audit_unit *audit_unit(const struct audit *a, uint32_t round, uint32_t index);

/* How many settled units rest on the word of one identity alone that a FAULT entry names: the first ones to compute
 * again. Gives the first `most` of them as round · W + index in out. Errors: TK_ENOMEM. */
int audit_doubtful(const struct audit *a, uint64_t *out, size_t most, uint64_t *count,
	struct errmsg *msg) TK_CHECKED;

#endif
