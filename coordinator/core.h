/* The coordinator's core: plans, leases, judges and decides when to merge; without I/O.
 *
 * core_step(core, event, out). Time and randomness arrive in events. Effects leave in order and the
 * shell keeps it: first everything that is to be remembered (SAVE_*, STORE_BLOB), in one
 * transaction for a batch of events, and only after its commit everything that is said (SEND, DROP)
 * or started (MERGE, REFEREE). So nothing is acknowledged that a crash could lose. After a crash
 * the core is rebuilt from the rows (core_load_*), and peers repeat their COMMITs. */
#ifndef COORDINATOR_CORE_H
#define COORDINATOR_CORE_H

#include "coordinator/ledger.h"
#include "coordinator/rows.h"
#include "peer/overlay/node.h"

#define LEASE_FIRST_MS	   600000u /* deadline before any duration of the project is known */
#define LEASE_MIN_MS	   30000u
#define LEASE_MAX_MS	   604800000u /* a week */
#define LEASE_AWAY_MS	   8000u      /* a peer that is gone keeps its lease for so long */
#define REVEAL_MS	   30000u /* to open a commitment, from the time both sides are connected */
#define UPLOAD_MS	   120000u /* for a whole payload, and more by its size (UPLOAD_RATE_MIN) */
#define UPLOAD_IDLE_MS	   15000u  /* between two parts of it */
#define LEASES_PER_PEER	   4u
#define NEAR_MS		   60000u  /* so long a unit waits for peers of other prefixes */
#define RELEASED_AWAY_MS   180000u /* so much longer when it was we who sent it away */
#define REPLICAS_PER_UNIT  8u	   /* then the project pauses and says why */
#define REPLICAS_DISPUTED  1024u   /* of a disputed unit, whose results all differ; then, too */
#define LEASE_RENEW_MS	   10000u  /* after which an identity may take its ended lease up again */
#define COMMIT_AWAY_MS	   20000u  /* so long a unit waits for a committed peer that is away */
#define RESTART_AWAY_MS	   30000u  /* so much longer when it was the coordinator that was away */
#define REVEAL_TOTAL_MS	   600000u /* to open a commitment, whatever the connection does */
#define BACKUP_MIN_MS	   2000u   /* no backup replica before */
#define UPLOAD_RATE_MIN	   32768u  /* bytes per second: the time for a payload grows with it */
#define UPLOAD_BUFFER_MAX  (256u << 20) /* bytes of payloads arriving at once, or one payload */
#define HOLD_FIRST_MS	   30000u /* no leases for so long after an unopened result; doubles */
#define HOLD_MAX_MS	   3600000u
#define REFEREES_MAX	   2u /* recomputations asked for and not answered */
#define DURATIONS_KEPT	   64u
#define SELFTEST_ASK_S	   72000u /* age of a right self-test at which the next one is asked for */
#define SELFTEST_END_S	   86400u /* and from which on there are no more leases without it */
#define SELFTEST_REPEAT_MS 3600000u /* without a right answer it is asked for again in a session */
#define SELFTEST_AGAIN_MS  60000u   /* when the coordinator's own could not be run */
#define DISPUTES_MAX	   8u	    /* between peers, in progress; further ones wait */
#define TRACE_MS	   30000u   /* to send the leaves of a trace, while connected */
#define SEGMENT_MS	   60000u   /* to compute a segment again, beyond the time of a lease */
#define STATES_KEPT_MAX	   (1ull << 30)	   /* bytes of states that proofs name, in one run */
#define DISPUTE_AWAY_MS	   REVEAL_TOTAL_MS /* so much longer, whatever the connection does */

enum core_event_type {
	CORE_PEER_UP = 1,
	CORE_PEER_DOWN = 2, /* released: our node gave its place to another */
	CORE_MESSAGE = 3,
	CORE_TICK = 4,		 /* about once a second */
	CORE_PROJECT_NEW = 5,	 /* project row (queued) and its recipe; both copied by the core */
	CORE_PROJECT_STOP = 6,	 /* project id */
	CORE_MERGED = 7,	 /* the shell's answer to CORE_MERGE */
	CORE_REFEREED = 8,	 /* the shell's answer to CORE_REFEREE */
	CORE_PROJECT_RESUME = 9, /* project id: what paused it has been put right; try again */
	CORE_BLOB_BAD = 10,	 /* blob: it is missing or corrupt here; text says which file */
	CORE_SELFTESTED = 20, /* the shell's answer to CORE_SELFTEST: seed, code, text, selftest */
	CORE_STEPPED = 11,    /* the shell's answer to CORE_REFEREE_STEP */
	CORE_PEER_READMIT = 12, /* key: a retired identity may work again, if core_peer_waits */
};

struct core_event {
	enum core_event_type type;
	uint64_t now_ms;    /* wall clock, ms */
	uint8_t random[32]; /* fresh in every event */
	conn_id conn;
	bool released;
	uint64_t
		prefix; /* PEER_UP: sessions of one address prefix share it; 0: local or not known */
	const struct public_key *key;
	const struct message *message;
	const struct project_row *project_row;
	struct span recipe; /* PROJECT_NEW: encoded; empty when it can't be read: text says why */
	struct digest blob; /* BLOB_BAD */
	uint64_t project;
	uint32_t round, unit;
	int code; /* MERGED, REFEREED: 0 or why it failed (TK_EDIVERGED fails the project,
				anything else pauses it with text) */
	const char *text;
	struct digest parameters, outer_state, model; /* MERGED: blobs already durable */
	struct digest states;		 /* MERGED: the list's blob; zero: all states are +0 */
	const struct digest *state_list; /* MERGED: its W digests; NULL: none; copied */
	float loss;
	uint64_t validation_samples;
	float validation_loss, validation_accuracy;
	uint32_t merged;
	uint64_t seed;		       /* SELFTESTED */
	const struct digest *selftest; /* SELFTESTED: SELFTEST_OPERATIONS digests; copied */
	struct span claim;   /* REFEREED: encoded; its payload blob (if any) is already durable */
			     /* STEPPED: the claim when the unit ends there; else empty */
	struct digest state; /* STEPPED: the trace's digest of the state after the step */
	uint64_t job;	     /* MERGED, REFEREED, STEPPED: the effect's */
};

enum core_effect_type {
	CORE_SAVE_PROJECT = 1,
	CORE_SAVE_ROUND = 2,
	CORE_SAVE_UNIT = 3,
	CORE_SAVE_REPLICA = 4,
	CORE_SAVE_PEER = 5,
	CORE_SAVE_ANNOUNCED = 6, /* announced_ms: for core_load_announced */
	CORE_STORE_BLOB = 7,	 /* bytes; digest */
	CORE_SEND = 8,		 /* message to conn; its spans point into bytes */
	CORE_DROP = 9,		 /* conn, reason, text */
	CORE_MERGE = 10,	 /* project, round: all its units are settled */
	CORE_REFEREE =
		11, /* project, round, unit, digest: its header's: recompute it twice, store its payload,
			      answer; the round may be one that is merged */
	CORE_LOG = 12,	    /* text */
	CORE_ANNOUNCE = 13, /* bytes: an announcement; signature: to the whole network */
	CORE_WORTH = 18,    /* conn, worth: what its session is worth to us from now on */
	CORE_SELFTEST = 20, /* seed: run the self-test twice on this computer, answer */
	CORE_LEDGER = 14,   /* bytes: an entry's content; ledger: to be remembered with the rows */
	CORE_REFEREE_STEP = 15, /* see struct core_effect */
	CORE_FAULT = 16, /* bytes: an encoded struct fault_statement, its fault_digest, state */
	CORE_REMOVE_BLOB = 17, /* digest: a state that no dispute needs any more */
};

/* REFEREE_STEP asks for one step of project, round, unit, computed twice: the one after `step` steps, or
 * packing. digest: the blob of the state after `step` steps, stored before and checked against a leaf on
 * which both sides agree; zero with step 0. bytes: the trace's leaves up to there (replay.h). */
struct core_effect {
	enum core_effect_type type;
	conn_id conn;
	struct digest digest;
	struct bytes bytes;
	struct digest state; /* FAULT: the blob of the state before the step; zero: none.
			      * REFEREE_STEP: the digest of that state on which both agree */
	uint64_t job;	     /* MERGE, REFEREE, REFEREE_STEP: for its answer */
	uint32_t step;
	struct message message;
	struct signature signature;
	uint32_t reason;
	enum node_worth worth;
	uint64_t project_id;
	uint64_t announced_ms;
	uint64_t seed; /* SELFTEST */
	uint32_t round_index, unit_index;
	union {
		struct project_row project;
		struct round_row round;
		struct unit_row unit;
		struct replica_row replica;
		struct peer_row peer;
		struct ledger_row ledger;
	};
	char text[256];
};

struct core_effects {
	struct core_effect *items;
	size_t count, capacity;
};
void core_effects_clear(struct core_effects *e);
void core_effects_close(struct core_effects *e);

struct core;
/* root signs ROUND manifests; borrowed. */
struct core *core_new(const struct key_pair *root);
/* How the signature under a commitment is checked. */
struct commit_check {
	bool (*good)(const void *context, const struct public_key *peer, const struct signature *s,
		const struct digest *commitment, const struct digest *nonce);
	const void *context;
};
/* For the simulator, whose peers sign otherwise; without this call it is Ed25519. */
void core_check_commits(struct core *c, const struct commit_check *check);
void core_free(struct core *c);
/* From now on a peer gets leases only after a right self-test (selftest.c), as in every real network. */
void core_require_selftest(struct core *c);

/* Rebuilding from the store, before the first step: projects (with recipes, and the W digests that
 * row->states names, NULL for none; copied), each followed by those of its merged rounds that core_rounds_kept names,
 * then peers, then units of the rounds in progress and of those that are kept, then replicas of all these rounds.
 * Errors: TK_ECORRUPT, TK_ENOMEM. */
int core_load_project(struct core *c, const struct project_row *row, struct span recipe,
	const struct digest *states, struct errmsg *msg) TK_CHECKED;
int core_load_round(struct core *c, const struct round_row *row, const struct digest *states,
	struct errmsg *msg) TK_CHECKED;
/* How many of the project's merged rounds may still prove wrong, the last ones: their rows, units, replicas, payloads
 * and states are needed. */
uint32_t core_rounds_kept(const struct project_row *row);
/* In place of core_load_project, for one in progress whose recipe or states can't be read: it pauses with
 * this reason and can be stopped. Until it is loaded again nobody is told to forget a lease that we do
 * not know, because it may be one of this project's. Errors: TK_ENOMEM. */
int core_load_unreadable(struct core *c, const struct project_row *row, const char *why) TK_CHECKED;
int core_load_peer(struct core *c, const struct peer_row *row) TK_CHECKED;
/* The last SAVE_ANNOUNCED: what is announced from now on comes after it, whatever the clock says. */
void core_load_announced(struct core *c, uint64_t announced_ms);
/* The last CORE_LEDGER: entries go on behind it. */
void core_load_ledger(struct core *c, const struct ledger_head *head);
int core_load_unit(struct core *c, const struct unit_row *row, struct errmsg *msg) TK_CHECKED;
int core_load_replica(struct core *c, const struct replica_row *row, struct errmsg *msg) TK_CHECKED;

/* One step. Bad input of a peer is an effect (DROP), not an error. Errors: TK_ENOMEM: the shell
 * must forget the core and load it again. */
int core_step(struct core *c, const struct core_event *event, struct core_effects *out) TK_CHECKED;

/* For status: how many peers are connected, and what each is computing. */
size_t core_peers_connected(const struct core *c);
size_t core_identities(const struct core *c); /* kept in memory, connected or not */
/* True for one that core_load_unreadable took: going on with it needs another load. */
bool core_project_unreadable(const struct core *c, uint64_t project);
/* True while CORE_PEER_READMIT can let this identity back: now, or when its earlier results are judged. */
bool core_peer_waits(const struct core *c, const struct public_key *key);
/* True when a running project needs this blob: its recipe, parameters, states or one of its shards. */
bool core_needs_blob(const struct core *c, const struct digest *blob);
/* The same for any project in progress, running or not. What none knows is nobody's to ask for. */
bool core_knows_blob(const struct core *c, const struct digest *blob);
/* May peers pass the blob on, and does it belong to a group of shards? What no running project knows, and
 * the state of a unit's slot, is between us and who asks: others would learn who computes which unit. */
struct blob_place {
	bool shared;
	bool grouped;
	struct digest group; /* the first shard of those that are mixed with this one now */
};
void core_blob_place(const struct core *c, const struct digest *blob, struct blob_place *out);
size_t core_peer_leases(const struct core *c, const struct public_key *key, bool *connected);
/* For tests, between steps: what is kept about units that wait (agenda.h) is what the units themselves say. */
bool core_knows_what_waits(struct core *c);
/* True for an identity with accepted results that is not retired. */
bool core_peer_established(const struct core *c, const struct public_key *key);

#endif
