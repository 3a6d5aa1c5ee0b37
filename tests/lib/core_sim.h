/* A coordinator's core with a store, a network, jobs and peers around it, all in one process under
 * virtual time and from one seed. Results are made up, but everything else is real: encoded
 * messages, signatures, commitments, claims, payloads.
 *
 * The store applies SAVE_* like the real one, the core can be killed before or after any commit,
 * and the promises of the core are checked at every effect: a settled result is the honest one;
 * what is acknowledged is stored; what is announced is newer than all that was announced of its topic; no identity has two results of a unit; nobody honest is retired;
 * a merge finds every payload. A broken promise prints the seed and ends the program. */
#ifndef TESTS_LIB_CORE_SIM_H
#define TESTS_LIB_CORE_SIM_H

#include "coordinator/audit.h"
#include "coordinator/core.h"

#define SIM_PEERS_MAX  24u
#define SIM_TASKS_MAX  256u
#define SIM_INBOX_MAX  512u
#define SIM_TOPICS_MAX 16u

enum sim_behaviour {
	SIM_HONEST = 0,
	SIM_MANUAL,	   /* does nothing by itself: the test speaks for it */
	SIM_WRONG,	   /* another result than everybody else */
	SIM_WRONG_RARELY,  /* one unit in four */
	SIM_WITHHOLDS,	   /* commits, never reveals */
	SIM_MISMATCH,	   /* reveals what does not open its commitment */
	SIM_MISFIT,	   /* claims a payload of the wrong size */
	SIM_NO_PAYLOAD,	   /* never uploads */
	SIM_BAD_PAYLOAD,   /* uploads other bytes */
	SIM_SHORT_PAYLOAD, /* uploads all but the end */
	SIM_HUGE_PAYLOAD,  /* uploads more and more */
	SIM_EQUIVOCATES,   /* commits twice, differently */
	SIM_VANISHES,	   /* takes leases and does nothing */
	SIM_ABANDONS,	   /* gives half of its leases back */
	SIM_BEHAVIOURS,
};

/* What a peer does when it is asked in a dispute. */
enum sim_lie {
	SIM_ANSWERS = 0,
	SIM_NO_TRACE,
	SIM_NO_SEGMENT,
	SIM_NO_STATE,
	SIM_BAD_TRACE,	 /* other leaves than those that it committed to */
	SIM_BAD_SEGMENT, /* what is right, which is not what it committed to */
	SIM_BAD_STEPS,	 /* made-up leaves, with the end that it committed to */
	SIM_BAD_STATE,
	SIM_LIES,
};

/* When the core is killed in a step that had effects. */
enum sim_crash { SIM_BEFORE_COMMIT = 1, SIM_AFTER_COMMIT = 2, SIM_AFTER_SPEAKING = 3 };

struct sim_task {
	bool used;
	bool done; /* computed: durable at the peer */
	struct digest nonce;
	uint32_t round, unit;
	struct digest unit_digest;
	struct digest salt;
	uint64_t variant;
	uint8_t claim[CLAIM_BYTES_MAX];
	uint32_t claim_bytes;
	struct bytes payload;
};

struct sim_peer {
	struct key_pair key;
	enum sim_behaviour behaviour;
	enum sim_lie lie;    /* in disputes; the answers come by themselves, MANUAL or not */
	uint64_t unit_ms;    /* to compute one unit */
	uint64_t latency_ms; /* one way */
	uint64_t busy_until_ms;
	conn_id conn;	    /* 0: not connected */
	uint64_t prefix;    /* 0: not known */
	bool over;	    /* told that it is retired */
	const char *engine; /* NULL: baseline */
	const char *team;   /* NULL: none */
	uint32_t wrong;	    /* its self-test's operation that is off, from 1; 0: none */
	bool untested;	    /* it never answers a self-test */
	enum node_worth
		worth; /* of its session, as the core said; here and below: core_sim_house.c */
	uint64_t since_ms, idle_ms;
	uint32_t visits; /* times that it got a place */
	struct sim_task tasks[SIM_TASKS_MAX];
	struct message inbox[SIM_INBOX_MAX]; /* what arrived, newest last; spans are not kept */
	size_t inbox_count;
};

struct sim_item;

struct sim_entry {
	struct ledger_row row;
	struct bytes content;
};

struct sim {
	uint64_t seed;
	uint64_t random;
	uint64_t now_ms;
	struct key_pair root;
	struct core *core;
	struct sim_peer peers[SIM_PEERS_MAX];
	uint32_t peer_count;
	conn_id last_conn;
	/* The project. */
	struct bytes recipe;
	struct digest recipe_digest;
	uint32_t units, rounds, quorum;
	size_t payload_bytes;
	struct digest *states; /* scratch of sim_states */
	bool nonfinite_units;  /* every third unit is canonically non-finite */
	/* The store. */
	struct project_row project;
	struct round_row *round_rows;
	struct unit_row *unit_rows; /* rounds × units */
	struct replica_row *replicas;
	size_t replica_count, replica_capacity;
	struct peer_row peer_rows[SIM_PEERS_MAX];
	size_t peer_row_count;
	uint64_t announced_ms;
	struct ledger_head ledger;
	struct sim_entry *entries; /* of the ledger, in order */
	size_t entry_count, entry_capacity;
	struct audit audit; /* of all entries so far */
	struct digest *blobs;
	size_t blob_count, blob_capacity;
	/* Jobs and the network. */
	struct sim_item *items;
	size_t item_count, item_capacity;
	uint64_t item_serial;
	uint64_t generation; /* of the core: jobs of a killed one are lost */
	bool submitted;
	uint64_t wrong_merged; /* units of rounds that stand; adaptive alone lets them pass */
	uint32_t *wrong_in;    /* (rounds) of them */
	uint64_t merge_ms, referee_ms;
	struct bytes *state_blobs; /* states that disputes have stored */
	size_t state_blob_count;
	uint64_t referee_steps;
	bool referee_broken;
	bool selftest;	   /* the core wants self-tests: sim_require_selftest */
	int selftest_code; /* != 0: the coordinator's own next one fails so */
	uint64_t selftests, alarms;
	int merge_code; /* != 0: the next merge fails so */
	/* What was announced last of each topic, its sequence. */
	struct topic_head heads[SIM_TOPICS_MAX];
	size_t head_count;
	uint64_t issued_s;
	/* Trouble. */
	uint64_t steps;	      /* that had effects */
	uint64_t crash_step;  /* 0: none */
	uint64_t crash_every; /* 0: never again */
	enum sim_crash crash;
	uint64_t memory_short; /* one step in so many runs out of memory; 0: none */
	uint64_t crashes, merges, referees, drops;
	uint64_t faults; /* proven */
	uint32_t places; /* that the coordinator has; 0: as many as there are peers */
	uint64_t releases;
	struct digest first_fault; /* its nonce */
};

/* A project of `rounds` rounds with `units` units and payloads of about payload_bytes. */
void sim_init(struct sim *s, uint64_t seed, uint32_t rounds, uint32_t units, uint32_t quorum,
	size_t payload_bytes);
void sim_close(struct sim *s);

/* Adds a peer that connects by itself; returns its number. */
uint32_t sim_peer_add(struct sim *s, enum sim_behaviour behaviour, uint64_t unit_ms);

/* Before it is submitted: policy adaptive with this floor; each round's audits end before it is merged. */
void sim_adaptive(struct sim *s, double floor);
/* After that, and before it is submitted: verify.settle_rounds and on_fraud. */
void sim_settle_rounds(struct sim *s, uint32_t settle_rounds, enum on_fraud on_fraud);
/* What the store says of this peer from now on; sim_kill_core makes the core read it. */
void sim_trust(struct sim *s, uint32_t peer, uint64_t trust);
void sim_credit(struct sim *s, uint32_t peer, uint64_t flops); /* of one that has a row */
void sim_submit(struct sim *s);
void sim_require_selftest(struct sim *s);
/* The answer of a peer to the seed, as it is asked for. */
void sim_selftest(struct sim *s, uint32_t peer, uint64_t seed);
void sim_event(struct sim *s, struct core_event *event); /* any other event */
void sim_stop(struct sim *s);
void sim_resume(struct sim *s);

/* Lets time pass until the project has ended (true) or limit_ms more have passed. */
bool sim_run(struct sim *s, uint64_t limit_ms);
void sim_wait(struct sim *s, uint64_t ms);
/* Lets one random thing go wrong now and then while the project runs. */
void sim_stir(struct sim *s, uint64_t seconds);

/* What goes wrong from outside. */
void sim_kill_core(struct sim *s);
void sim_disconnect(struct sim *s, uint32_t peer, uint64_t back_after_ms);
void sim_restart_peer(
	struct sim *s, uint32_t peer, uint64_t back_after_ms); /* forgets what it computes */

void sim_connect(struct sim *s, uint32_t peer); /* at once */
void sim_release(struct sim *s, uint32_t peer); /* its place is another's */

/* For MANUAL peers. */
void sim_send(struct sim *s, uint32_t peer, const struct message *m); /* arrives at once */
const struct message *sim_last(const struct sim *s, uint32_t peer, enum message_type type);
size_t sim_count(const struct sim *s, uint32_t peer, enum message_type type);
struct sim_task *sim_task_of(struct sim *s, uint32_t peer, uint32_t unit);
void sim_request(struct sim *s, uint32_t peer, uint32_t slots);
#define SIM_SAYS_NONFINITE 1000u
#define SIM_STEPS	   6u /* of a unit; a leaf every second one */
/* The variant of who goes wrong in step `step` (SIM_STEPS: packing) in its own way `id`, and is right from there
 * on; and of who does that twice. Another variant goes wrong in a step of its own. */
#define SIM_WRONG_AT(step, id)		  ((uint64_t)((step) + 1u) << 16 | (id))
#define SIM_WRONG_TWICE(step, id, s2, i2) (SIM_WRONG_AT(s2, i2) << 32 | SIM_WRONG_AT(step, id))
/* variant 0 is the honest result; equal variants are equal results; SIM_SAYS_NONFINITE claims that there
 * are no finite numbers. */
void sim_compute(struct sim *s, uint32_t peer, struct sim_task *t, uint64_t variant);
void sim_commitment(struct sim *s, uint32_t peer, const struct sim_task *t, struct digest *out);
void sim_commit(struct sim *s, uint32_t peer, struct sim_task *t);
void sim_reveal(struct sim *s, uint32_t peer, struct sim_task *t);
void sim_upload(struct sim *s, uint32_t peer, struct sim_task *t);

/* 0: nothing was announced of it. subject NULL: zero. */
uint64_t sim_announced(
	const struct sim *s, enum announcement_kind kind, const struct digest *subject);

/* What the store says. */
const struct unit_row *sim_unit(const struct sim *s, uint32_t round, uint32_t unit);
const struct peer_row *sim_peer_row(const struct sim *s, uint32_t peer);
const struct replica_row *sim_replica(const struct sim *s, const struct digest *nonce);
/* The parameters after the last round, if every unit's honest result is merged. */
void sim_expected(const struct sim *s, struct digest *out);
/* The digests of what the slots carry into the round that starts from these parameters: made up as well,
 * and NULL for the first round. Lasts until the next call. */
const struct digest *sim_states(const struct sim *s, const struct digest *parameters);
uint64_t sim_random(struct sim *s, uint64_t below);

#endif
