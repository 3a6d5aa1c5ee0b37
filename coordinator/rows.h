/* What the coordinator remembers: one struct per table row. The core keeps them in memory and says
 * when one changed; the store writes whole rows. Everything the core needs after a crash is here. */
#ifndef COORDINATOR_ROWS_H
#define COORDINATOR_ROWS_H

#include "peer/wire/endpoint.h"
#include "peer/wire/messages.h"
#include "tasks/project/project.h"
#include "tasks/unit/unit.h"

enum project_state {
	PROJECT_QUEUED = 1,
	PROJECT_RUNNING = 2,
	PROJECT_PAUSED = 3, /* reason says what a person has to do */
	PROJECT_DONE = 4,
	PROJECT_FAILED = 5,
	PROJECT_STOPPED = 6,
};

struct project_row {
	uint64_t id; /* ≥ 1, ascending in order of submission */
	char name[PROJECT_NAME_MAX];
	enum project_state state;
	char reason[256];
	bool stop_asked;      /* by the owner; takes effect at a round boundary */
	struct digest recipe; /* blob */
	uint32_t quorum;
	enum verify_policy policy;
	double audit_floor;	/* adaptive, as the two below; 0 with full */
	uint32_t settle_rounds; /* K: a round's audits end before round r + K is leased */
	enum on_fraud on_fraud;
	struct digest
		secret; /* what its rounds' seeds follow from (draw.h); never leaves the store */
	uint32_t rounds, units_per_round; /* copies from the recipe */
	char model_type[16];		  /* for people: \"char-mlp\" */
	uint64_t samples;		  /* to train on */
	uint32_t classes;
	uint64_t parameter_count;
	double unit_flops;	   /* of one unit: credit */
	uint32_t round;		   /* the one in progress; = rounds when done */
	struct digest parameters;  /* blob: θ_round */
	struct digest outer_state; /* blob: its moments; zero before the first merge */
	struct digest states;	   /* blob: what the slots carry (states.h); zero: all +0 */
	struct digest model;	   /* model digest of θ_round */
	uint64_t units_accepted,
		units_rejected; /* canonical results; results proven wrong or unopened */
	uint64_t replicas;	/* leases that were computed and committed */
	uint64_t disputes;	/* units on which results differed */
	uint64_t recomputed;	/* merged units that somebody else or the referee computed, too */
	uint64_t drawn, drawn_wrong; /* adaptive: those that the floor drew; wrong at first */
	uint32_t rollbacks;
	uint32_t attempt;	 /* at the round in progress: rollbacks before it began (draw.h) */
	uint64_t discarded;	 /* merges that rollbacks have taken back */
	uint64_t wrong_standing; /* on_fraud continue: merged units that proved wrong and stay */
	char rollback_why[160];	 /* the last one's, or what the last unit that stays wrong is */
	uint64_t created_s, finished_s;
};

struct round_row {
	uint64_t project;
	uint32_t round;
	float loss;
	uint64_t validation_samples;		    /* 0: none */
	float validation_loss, validation_accuracy; /* as in struct evaluation */
	uint32_t merged, skipped;
	uint64_t started_ms, closed_ms; /* wall clock */
	struct digest parameters;	/* θ_{round+1} */
	struct digest audit;		/* what its manifest commits to: H(seed) */
	struct digest seed;		/* of its secret draw */
	struct digest states;		/* what the slots carried into this round; swept */
	struct digest model;
	uint32_t attempt;			       /* project_row.attempt when it began */
	struct digest start, start_outer, start_model; /* what it starts from, as in project_row */
	bool seeded;				       /* its seed is in the ledger */
	bool opened; /* it is merged, all its units were settled, and it counts: */
	uint32_t recomputed, drawn, drawn_wrong; /* its share of the project's */
};

/* A unit's life. Names after BOINC's where they mean the same. */
enum unit_state {
	UNIT_UNSENT = 1, /* fewer replicas out than wanted */
	UNIT_IN_PROGRESS = 2,
	UNIT_DISPUTED = 3,  /* results differ: the referee recomputes, more replicas go out */
	UNIT_UPLOADING = 4, /* the canonical result is known, its payload is not here yet */
	UNIT_SETTLED = 5,   /* canonical result and payload are durable */
	UNIT_AUDITED = 6,   /* settled, and somebody else is to compute it, too */
};

struct unit_row {
	uint64_t project;
	uint32_t round, index;
	enum unit_state state;
	uint32_t wanted;       /* replicas wanted now */
	struct digest result;  /* canonical result digest, from UPLOADING on */
	struct digest referee; /* result digest of the referee's recomputation; zero: none */
	struct digest merged;  /* result digest that its round was merged with last; zero: none */
	uint8_t claim[CLAIM_BYTES_MAX];
	uint32_t claim_bytes; /* the canonical claim */
};

enum replica_state {
	REPLICA_LEASED = 1, /* IN_PROGRESS at the peer */
	REPLICA_COMMITTED = 2,
	REPLICA_REVEALED = 3,
	REPLICA_UPLOADING = 4, /* asked for the payload */
	REPLICA_VALID = 5,     /* these and below are final */
	REPLICA_INVALID = 6,
	REPLICA_EXPIRED = 7,   /* may still commit: late results are judged */
	REPLICA_ABANDONED = 8, /* by the peer: not an error */
	REPLICA_UNOPENED =
		9, /* committed, never revealed, or the payload never came: counts as wrong */
	REPLICA_LATE = 10, /* right, but committed after the first reveal of its unit */
};

struct replica_row {
	struct digest nonce; /* primary key */
	uint64_t project;
	uint32_t round, unit;
	uint32_t attempt; /* round_row's: those of discarded rounds are history */
	struct public_key peer;
	enum replica_state state;
	uint64_t leased_ms, deadline_ms; /* wall clock; deadline of the state it is in */
	uint64_t committed_ms;
	bool late;    /* not committed when its unit's first reveal was recorded (commit.c) */
	bool repeats; /* a newcomer's: it earns trust and decides nothing (policy.c) */
	struct digest commitment;
	struct signature commit_signature;
	struct digest salt;
	struct digest result; /* of the revealed claim */
	uint8_t claim[CLAIM_BYTES_MAX];
	uint32_t claim_bytes;
};

struct peer_row {
	struct public_key key;
	char engine[16];
	char team[TEAM_MAX]; /* the volunteer's own word; "": none */
	uint64_t first_seen_s, last_seen_s;
	uint64_t valid, invalid, expired, abandoned;
	uint64_t credit_flops;
	uint64_t faults; /* results proven wrong, over all its lives */
	uint64_t trust;	 /* results that were equal to somebody else's (draw.h) */
	uint64_t
		tested_s; /* the last right self-test, by engine `engine` and this build; 0: none */
	char build[24];
	char misfit[32]; /* the operation that the last self-test had wrong; empty: none */
	bool retired;
	bool readmitted;  /* once; after that a fault is no accident */
	bool convicted;	  /* of what hardware does not explain: retired for good */
	char reason[256]; /* why retired */
};

/* Where strangers reach a peer that has credit; the server notes it. Nothing of the network hears of it but what the
 * owner puts into links. */
struct place_row {
	struct public_key key;
	char address[ENDPOINT_TEXT_MAX];
	uint64_t seen_s; /* the last time that it was connected and public there */
};

/* A host of the network's links, as the owner chose it. */
struct host_row {
	struct public_key key;
	char address[ENDPOINT_TEXT_MAX]; /* in the last link that names it */
	uint64_t expiry_s;		 /* the root's word for it: host_sign */
	struct signature signature;
};

#endif
