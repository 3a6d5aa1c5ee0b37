/* What the core holds in memory, and the parts that work on it. Private to coordinator/.
 *
 * Facts live in rows (rows.h); everything else here follows from them or is lost in a crash without
 * harm. A part that changes a row marks it (effects.c) and one that changes what is known about a
 * unit touches the unit; at the end of the step judge.c looks at each touched unit once. So no part
 * calls another in circles, and the order in which facts arrive does not matter.
 *
 * What grows with what: a message costs one or two lookups and the handful of replicas of one unit; a
 * lease a look at 64 of its round's units a word (agenda.c); a tick a number for each unit of
 * the round, and a look at those whose time has come. What all who wait for work may have is asked whenever there may be some:
 * their number times those words. Nothing else looks at all peers. Memory: a struct for each identity
 * that ever asked for work, and the rows of rounds in progress. */
#ifndef COORDINATOR_CORE_STATE_H
#define COORDINATOR_CORE_STATE_H

#include "coordinator/agenda.h"
#include "coordinator/core.h"
#include "coordinator/draw.h"
#include "coordinator/lookup.h"
#include "coordinator/prefixes.h"
#include "tasks/unit/fault.h"
#include "tasks/unit/selftest.h"

struct core_peer {
	struct peer_row row;
	struct lookup_link by_key, by_conn;
	conn_id conn;	  /* 0: not connected */
	uint64_t prefix;  /* of its last session; 0: not known */
	conn_id repeated; /* the session on which its open leases were sent again */
	uint64_t gone_ms; /* not connected: from when on its leases are not waited for */
	bool known;	  /* it asked for work once: it has a row */
	bool disputing;	  /* it is a side of a dispute in progress */
	bool established; /* counted in core.established … */
	bool here;	  /* … and in core.established_here */
	bool dropped;	  /* in this step: a stranger may be forgotten after it */
	struct core_peer *dropped_next;
	bool released;	       /* it is away because the node gave its place to another */
	uint32_t leases;       /* replicas LEASED */
	uint32_t judged;       /* replicas COMMITTED, REVEALED or UPLOADING */
	enum node_worth worth; /* of its session, as was said; worth.c */
	bool worth_due;
	struct core_peer *worth_next;
	struct core_replica *replicas;
	uint32_t wants;		/* leases it could take; > 0 on the list of the hungry */
	uint32_t unopened;	/* results in a row that were committed and not opened */
	uint64_t held_until_ms; /* it gets no leases before */
	uint64_t usual_ms;	/* what a unit takes it … */
	uint64_t usual_project; /* … of this project; 0: nothing is known */
	uint64_t committed_ms;	/* its last commitment */
	uint32_t stretch;	/* its leases last 2^stretch times as long as others' */
	uint64_t vouchers
		[PEER_ESTABLISHED]; /* whose word alone its trust rests on, by the first bytes of their keys */
	uint32_t vouched;
	uint32_t hasty; /* so many of its last ones came far too soon */
	struct core_peer *hungry_before, *hungry_after;
	conn_id tested_conn;  /* the session on which it was asked for its self-test last … */
	uint64_t tested_seed; /* … with this seed … */
	uint64_t tested_ms;   /* … then */
	conn_id team_conn;    /* the session on which it named its team */
	bool changed;
	struct core_peer *changed_next;
};

struct core_replica {
	struct replica_row row;
	struct lookup_link by_nonce;
	struct core_unit *unit;
	struct core_peer *peer;
	struct core_replica *unit_next;
	struct core_replica *peer_before, *peer_after;
	uint64_t asked_ms; /* first REVEAL_REQUEST that this process knows of; 0: none */
	bool unmatched;	   /* neither it nor its opponent agreed with the referee's step */
	uint64_t heard_ms; /* when a part of its payload came, or was asked for, last */
	conn_id told;	   /* the session on which its LEASE or UPLOAD_REQUEST was sent last */
	conn_id forgotten; /* the session on which the peer was told to forget it, uncommitted */
	bool changed;
	struct core_replica *changed_next;
};

/* Two replicas of one unit whose results differ (dispute_peers.c). Nothing of it is kept in rows: what has
 * been decided is in the replicas', and the rest begins anew after a restart. */
enum dispute_stage {
	DISPUTE_TRACES =
		1, /* both send the leaves of their traces: the first difference's segment */
	DISPUTE_SEGMENTS = 2, /* both compute it again: the first difference's step */
	DISPUTE_STATE = 3,    /* one of them sends the state before it */
	DISPUTE_STEP = 4,     /* the referee computes it */
};

struct leaf_list {
	struct digest *at; /* (total), of which `have` are here */
	uint32_t total, have;
};

struct disputant {
	struct core_replica *replica;
	struct leaf_list trace, steps;
	struct signature signature; /* its own, under steps */
	uint64_t asked_ms;	    /* first time in this stage */
	uint64_t deadline_ms;	    /* while it is connected */
	conn_id told;		    /* the session on which it was asked last */
};

struct dispute {
	enum dispute_stage stage;
	struct disputant side[2];
	uint32_t segment;	  /* from this leaf, the last common one, to the next */
	uint32_t at;		  /* step leaves that are common in it */
	uint32_t step;		  /* steps done before the one that is disputed */
	uint32_t holder;	  /* the side that was asked for the state */
	struct bytes state;	  /* as it arrives */
	struct digest state_blob; /* stored; zero: none */
	bool state_kept;	  /* a proof names it */
	uint64_t state_bytes, heard_ms;
	uint64_t reserved; /* of UPLOAD_BUFFER_MAX */
	uint64_t job;	   /* of its step */
	uint32_t messages; /* from the disputants, but for parts of the state */
};

enum referee_job { REFEREE_NONE = 0, REFEREE_WAITING, REFEREE_RUNNING };

struct core_unit {
	struct unit_row row;
	struct digest digest; /* of its header */
	struct core_project *project;
	struct core_round *round;
	struct core_replica *replicas; /* in order of leasing, newest first */
	bool wanting;		       /* fewer live replicas than wanted: can be leased */
	bool revealed;		       /* a reveal has been recorded */
	enum referee_job referee;      /* recomputes the unit or, in a dispute, one step */
	uint64_t job;		       /* of recomputing the unit */
	struct dispute *dispute;       /* between two of its replicas; NULL: none */
	struct core_replica *uploader; /* whose payload is arriving */
	struct bytes payload;
	uint64_t payload_reserved;
	uint64_t alone_ms; /* since when it was begun and wants one more; 0: it does not */
	bool touched;
	struct core_unit *touched_next;
	bool marked; /* agenda.h */
	struct core_unit *marked_next;
	uint32_t repeats; /* open leases of newcomers, as agenda.repeats counts them */
	bool changed;
	struct core_unit *changed_next;
	bool ledger_due; /* judged in this step: it gets an entry at its end */
	struct core_unit *ledger_next;
};

/* A round in memory: the one in progress, or a merged one that may still prove wrong (rollback.c). */
struct core_round {
	struct core_project *project;
	struct core_round *older;
	struct round_row row;	 /* what it starts from; what its merge gave, once it is merged */
	struct core_unit *units; /* (W) */
	struct agenda agenda;	 /* of them */
	struct digest *leaves;	 /* unit digests */
	struct digest *tree;	 /* over them (merkle_tree) */
	struct digest *states;	 /* (W) what the slots start from, owned; NULL: all zero */
	struct bytes manifest;
	struct signature signature;
	uint32_t wanting, settled, audited; /* units */
	uint32_t referees;		    /* units whose recomputation is waiting or running */
	uint32_t stragglers;		    /* units that want a backup, as of the last tick */
	uint32_t contradicted;		    /* of its settled units, by newcomers */
};

struct core_project {
	struct project_row row;
	struct recipe recipe;
	const struct digest **shards; /* the training part's, ascending; owned */
	size_t payload_bytes;
	struct core_round *rounds; /* the newest first */
	struct core_round *now;	   /* of them, the one in progress; NULL: none is */
	bool unreadable;	   /* its recipe is: it has no rounds, the row is paused */
	bool merging;		   /* the shell was asked to merge the round in progress */
	bool merge_void;	   /* and one of its units is disputed again */
	bool settle_first; /* the merge diverged: nothing may be open when it is tried again */
	bool proved_wrong; /* some merged unit has another result now */
	uint64_t merge_job;
	bool announced;			    /* to the network, since this process began */
	uint64_t controlled_ms;		    /* sequence of the last CONTROL; 0: none */
	uint64_t durations[DURATIONS_KEPT]; /* lease to commit, ms; a ring, … */
	uint64_t ascending[DURATIONS_KEPT]; /* … and sorted */
	size_t durations_count;
	uint64_t lasts_ms;	   /* a lease, by these */
	uint64_t first_ms;	   /* while there are none: a lease lasts at least so long */
	struct core_project *next; /* ascending id */
	bool changed;
	struct core_project *changed_next;
};

/* The self-test's challenge and its right answers, computed here. */
struct challenge {
	bool required;
	bool asked; /* the shell is computing the answers to next_seed */
	bool ready;
	uint64_t seed, next_seed;
	uint64_t day, next_day;
	uint64_t again_ms; /* not asked before */
	struct digest digests[SELFTEST_OPERATIONS];
	char trouble[TEXT_MAX]; /* why there is none; empty: nothing is wrong */
};

struct core {
	const struct key_pair *root;
	struct commit_check commits;
	struct lookup peers, conns, replicas;
	struct core_project *projects; /* queued, running, paused: ended ones leave memory */
	struct core_peer *hungry_first, *hungry_last;
	size_t connected;
	struct prefixes prefixes;		/* of those that are connected */
	uint32_t established, established_here; /* identities; those that are connected */
	uint64_t few_since_ms;			/* since when too few of these are */
	bool few,
		established_moved; /* few(), and whether it or who is established changed since the last tick */
	uint32_t referees_running;
	uint32_t disputes;	    /* between peers, in progress */
	uint64_t jobs;		    /* merges, recomputations and steps asked for */
	uint64_t states_kept_bytes; /* of states that proofs of this run name */
	uint32_t unreadable;	    /* projects */
	uint64_t uploading_bytes;
	struct revocations revoked; /* retired identities, the last ones first */
	uint64_t revoked_ms;	    /* sequence of the last REVOKE; 0: none */
	uint64_t beacon_ms;	    /* of the last BEACON */
	uint64_t
		announced_ms; /* of the last announcement: no sequence or time that we said is later */
	bool announced;	      /* it has risen in this step */
	struct ledger_head ledger;
	bool started; /* the first step after loading has been made */
	struct challenge challenge;
	bool dispatch; /* there may be work for the hungry */
	/* The step in progress. */
	uint64_t now_ms;
	uint8_t random[32];
	uint64_t nonces;
	int error; /* sticks: TK_ENOMEM */
	struct core_effects *out;
	struct core_effects said;
	struct core_effect spare; /* written to when memory is short */
	struct core_unit *touched;
	struct core_unit *ledger_due;
	struct core_project *changed_projects;
	struct core_unit *changed_units;
	struct core_replica *changed_replicas;
	struct core_peer *changed_peers;
	struct core_peer *dropped_peers;
	struct core_peer *worth_due;
};

/* effects.c: rows to save, things to say. Never fail visibly: c->error sticks. */
void project_changed(struct core *c, struct core_project *p);
void announced_push(struct core *c, uint64_t announced_ms);
void unit_changed(struct core *c, struct core_unit *u);
void replica_changed(struct core *c, struct core_replica *r);
void peer_changed(struct core *c, struct core_peer *peer);
void changes_flush(struct core *c); /* SAVE_* for everything that changed */
void round_save(struct core *c, const struct round_row *row);
void blob_store(struct core *c, const struct digest *digest, struct bytes *takes);
struct message *say(
	struct core *c, struct core_peer *peer, enum message_type type, struct bytes *takes);
void say_settled(struct core *c, struct core_replica *r, enum verdict verdict, const char *text);
void say_unknown(struct core *c, struct core_peer *peer, const struct digest *nonce);
void announce_say(struct core *c, struct bytes *takes); /* an encoded announcement; signs it */
void merge_ask(struct core *c, struct core_project *p);
void referee_ask(struct core *c, struct core_unit *u);
void step_ask(struct core *c, struct core_unit *u); /* the one that its dispute is about */
/* Goes with the rows: a crash does not lose it. */
void fault_say(struct core *c, const struct digest *digest, const struct digest *state,
	struct bytes *takes);
void blob_remove(struct core *c, const struct digest *digest);
void core_log(struct core *c, const char *format, ...) TK_PRINTF(2, 3);
void worth_say(struct core *c, conn_id conn, enum node_worth worth);
void drop_say(struct core *c, conn_id conn, uint32_t reason, const char *text);
void effects_join(struct core *c); /* what was said goes behind what is saved */
void effects_cut(struct core_effects *e, size_t count); /* back to count items */

void ledger_push(struct core *c, const struct ledger_row *row, struct bytes *takes);

/* ledger_core.c: what the ledger gets. */
void ledger_project(struct core *c, struct core_project *p); /* it starts */
void ledger_round(struct core *c, struct core_project *p);   /* it begins */
void ledger_unit(struct core *c, struct core_unit *u); /* at the end of the step, if settled */
void ledger_flush(struct core *c);		       /* the units' entries */
void ledger_forget(struct core *c, const struct core_round *o); /* its units leave memory */
void ledger_fault(struct core *c, const struct core_replica *r, enum fault_kind kind,
	const struct digest *proof);
void ledger_seed(
	struct core *c, const struct core_project *p, uint32_t round, const struct digest *seed);
void ledger_merge(struct core *c, const struct core_project *p, const struct core_event *merged);
void ledger_rollback(struct core *c, const struct core_round *o);
void ledger_end(struct core *c, const struct core_project *p);

/* lifecycle.c: the tables of allowed moves. A move that is not in them is our own mistake. */
void project_move(struct core *c, struct core_project *p, enum project_state to);
void unit_move(struct core *c, struct core_unit *u, enum unit_state to);
void replica_move(struct core *c, struct core_replica *r, enum replica_state to);

/* peers.c */
struct core_peer *peer_find(const struct core *c, const struct public_key *key);
struct core_peer *peer_ensure(struct core *c, const struct public_key *key); /* NULL: no memory */
struct core_peer *peer_of_conn(const struct core *c, conn_id conn);
void peer_up(struct core *c, conn_id conn, const struct public_key *key, uint64_t prefix);
void peer_down(struct core *c, conn_id conn, bool released);
void peer_drop(struct core *c, struct core_peer *peer, uint32_t reason, const char *text);
void peer_protocol(struct core *c, struct core_peer *peer, const char *format, ...) TK_PRINTF(3, 4);
void peer_retire(struct core *c, struct core_peer *peer, const char *why);
/* A result of it was proven wrong: retires it; convicts it when no accident explains that. */
void leases_end(struct core *c, struct core_peer *peer, const char *why); /* without blame */
void peer_fault(struct core *c, struct core_peer *peer, bool accident, const char *why);
/* Lets a retired identity work again, which its owner vouches for: once, after a self-test, and not as long as
 * earlier results of it are open. */
void peer_readmit(struct core *c, struct core_peer *peer);
bool peer_held(const struct core *c, const struct core_peer *peer);
void peer_hold(struct core *c, struct core_peer *peer); /* after an unopened result */
void peer_hungry(struct core *c, struct core_peer *peer, uint32_t wants); /* 0: not any more */
bool peer_absent(const struct core *c, const struct core_peer *peer, uint64_t for_ms);
bool peer_gone(const struct core *c, const struct core_peer *peer, uint64_t patience_ms);
void peers_forget(struct core *c); /* strangers that were dropped in this step */
void peer_label(const struct core_peer *peer, char out[17]);
/* Links r to its unit and peer and makes it findable by nonce. */
int replica_attach(struct core *c, struct core_replica *r, struct core_unit *u,
	struct core_peer *peer) TK_CHECKED;
void replica_detach(struct core *c, struct core_replica *r);
struct core_replica *replica_find(const struct core *c, const struct digest *nonce);

/* worth.c */
/* The peer has a replica of that state more (1) or less (-1). */
void worth_count(struct core *c, struct core_peer *peer, enum replica_state state, int change);
void worth_touch(struct core *c, struct core_peer *peer);
void worth_flush(struct core *c); /* at the end of the step */

/* plan.c */
struct core_project *project_find(const struct core *c, uint64_t id);
int project_attach(struct core *c, const struct project_row *row, struct span recipe,
	struct core_project **out, struct errmsg *msg) TK_CHECKED;
void project_link(struct core *c, struct core_project *p); /* into the list, by id */
void project_free(struct core *c, struct core_project *p);
void project_new(struct core *c, const struct core_event *event);
void project_stop(struct core *c, uint64_t id);
void project_resume(struct core *c, uint64_t id);
void project_pause(struct core *c, struct core_project *p, const char *why);
void project_start(struct core *c, struct core_project *p);
void project_end(struct core *c, struct core_project *p, enum project_state to, const char *reason);
void projects_explain(struct core *c);
uint64_t unit_credit(const struct core_project *p); /* flops for one valid replica */

/* rounds.c */
/* A round that starts from what row says, all its units UNSENT, with the states that row names (W digests, NULL for
 * none; copied). It goes into the project's list, by number. Errors: TK_ECORRUPT, TK_ENOMEM. */
int round_build(struct core *c, struct core_project *p, const struct round_row *row,
	const struct digest *states, struct core_round **out, struct errmsg *msg) TK_CHECKED;
struct round_row round_next(const struct core_project *p);     /* as the project's row has it */
struct round_start round_start_of(const struct core_round *o); /* borrows */
/* NULL: it is not in memory. */
struct core_round *round_find(const struct core_project *p, uint32_t number);
void round_begin(struct core *c, struct core_project *p, const struct digest *states);
/* Tells everybody who still holds a replica of it that it is over, saves what changed, forgets it. Nobody is to
 * blame for what was not finished. */
void round_end(struct core *c, struct core_round *o, enum verdict verdict, const char *why);
void rounds_free(struct core *c, struct core_project *p);
bool round_untouched(const struct core_round *o); /* nobody has committed to anything of it */
void rounds_close(struct core *c);
void project_merged(struct core *c, const struct core_event *event);

/* rollback.c: pure decisions; and the move. */
bool round_is_settled(const struct core_round *o); /* all its units are, and no audit is open */
bool round_was_merged(const struct core_round *o); /* once */
/* Are all units of the round in progress there, and may it be merged although audits are open? */
bool rollback_may_merge(const struct core_project *p);
/* Nothing that the owner's wish to stop would lose has been computed, and no audit is open. */
bool rollback_nothing_open(const struct core_project *p); /* no merged round is in doubt */
bool rollback_may_stop(const struct core_project *p);
/* It was merged with another result than it has now. */
bool unit_proved_wrong(const struct core_unit *u);
/* The first unit of the oldest round that was merged with another result than it has now; NULL: none. */
struct core_unit *rollback_due(const struct core_project *p);
/* True: rounds were taken back, or what proved wrong was noted. */
bool rollbacks_make(struct core *c);

/* announce.c */
void announce_start(struct core *c);			       /* everything, after loading */
void announce_round(struct core *c, struct core_project *p);   /* one that begins */
void announce_control(struct core *c, struct core_project *p); /* it pauses, goes on or ends */
void announce_revocation(struct core *c, const struct public_key *key);
void announce_readmission(struct core *c, const struct public_key *key);
void revocation_load(struct core *c, const struct public_key *key); /* of an earlier run */
void announce_tick(struct core *c);
void announced_save(struct core *c); /* with the rows */

/* blobs.c */
int blobs_index(struct core_project *p) TK_CHECKED; /* of its shards, for what follows */
void blob_bad(struct core *c, const struct digest *blob, const char *why);

/* lease.c */
void work_request(struct core *c, struct core_peer *peer, const struct message_work_request *m);
void lease_dispatch(struct core *c);
/* The newest replica of the unit that this identity has or had. */
struct core_replica *replica_of(const struct core_unit *u, const struct core_peer *peer);
/* The unit's newest replica of another peer of this one's address prefix, which may be the same person's; NULL: there is none, or peers
 * elsewhere do not suffice for everybody. */
const struct core_replica *neighbour_of(
	const struct core *c, const struct core_unit *u, const struct core_peer *peer);
void lease_expire(struct core *c, struct core_replica *r);
void lease_cancel(struct core *c, struct core_replica *r, enum verdict verdict, const char *why);
void stragglers_count(const struct core *c, struct core_round *o);

/* deadline.c */
uint64_t lease_ms(const struct core_project *p); /* how long a lease lasts now … */
uint64_t lease_ms_for(
	const struct core_project *p, const struct core_peer *peer); /* … for this peer */
uint64_t backup_ms(const struct core_project
		*p); /* then a unit deserves one; UINT64_MAX while nothing is known */
void deadline_met(struct core_replica *r); /* its result proved right */
void deadline_missed(
	const struct core *c, struct core_replica *r); /* its lease ends without a result */
void lease_known(struct core_replica *r);	       /* of an earlier run */

/* policy.c: which units are computed by whom, and how often, when not all of them by a quorum. */
bool policy_adaptive(const struct core_project *p);
bool peer_established(const struct core_peer *peer);
void established_note(struct core *c, struct core_peer *peer); /* when that may have changed */
/* Once a tick: is somebody established who was not at the last one, or the other way round, or are too few? Then units
 * that are begun may want more or less than before. */
bool policy_stirred(struct core *c);
void trust_note(struct core *c, struct core_replica *r); /* it has become VALID */
void peer_suspect(struct core *c, struct core_peer *peer, const char *why);
void timing_note(struct core *c, struct core_replica *r); /* it is committed now */
/* How many equal results in time settle the unit; 1: that of one established peer does, too. */
uint32_t policy_quorum(const struct core *c, const struct core_unit *u);
/* How many replicas a unit that is not settled yet wants at least. */
uint32_t policy_wanted(const struct core *c, const struct core_unit *u);
/* May the peer compute this unit, which wants a replica? */
bool policy_allows(const struct core *c, const struct core_unit *u, const struct core_peer *peer);
/* A unit that the peer may repeat, to earn trust; NULL: none, or it needs none. */
bool policy_repeats(struct core_project *p); /* there are such units for some newcomer */
struct core_unit *policy_repeat(
	const struct core *c, struct core_project *p, const struct core_peer *peer);
bool policy_newcomer(
	const struct core *c, const struct core_project *p, const struct core_peer *peer);
/* How many leases of such a project the peer may have at a time. */
uint32_t policy_leases(
	const struct core *c, const struct core_project *p, const struct core_peer *peer);
/* A lease of a unit that has just been settled goes on; false: it is to be ended. */
bool policy_goes_on(struct core *c, struct core_replica *r);
void policy_refereed(struct core *c, struct core_unit *u); /* before it is settled so */
void policy_settled(struct core *c, struct core_unit *u);  /* applies the draw */
void policy_judge(struct core *c, struct core_unit *u);	   /* one that is SETTLED or AUDITED */
void policy_tick(struct core *c, struct core_unit *u);
uint64_t policy_credit(const struct core_unit *u); /* FLOPs: the least of those on whom it rests */
void policy_count(struct core_round *o); /* in its row: what was computed more than once */

/* selftest.c */
/* True when the peer gets no lease now because its self-test is missing or was wrong; asks for it when it
 * is time. */
bool selftest_due(struct core *c, struct core_peer *peer);
/* Why, for the volunteer. */
void selftest_explain(const struct core *c, const struct core_peer *peer, char text[TEXT_MAX]);
void selftest_take(struct core *c, struct core_peer *peer, const struct message_selftest *m);
void selftest_answer(struct core *c, const struct core_event *event);
/* The peer has another engine than the one that was tested. */
void selftest_void(struct core_peer *peer);
void selftest_ask(struct core *c); /* the shell, for the challenge; effects.c */

/* commit.c */
void commit_take(struct core *c, struct core_peer *peer, const struct message_commit *m);
void reveal_ask(struct core *c, struct core_replica *r);
void reveal_take(struct core *c, struct core_peer *peer, const struct message_reveal *m);
void abandon_take(struct core *c, struct core_peer *peer, const struct message_abandon *m);
/* Ends a replica as wrong (REPLICA_INVALID) or never opened (REPLICA_UNOPENED). */
void replica_reject(struct core *c, struct core_replica *r, enum replica_state to, const char *why);

/* judge.c */
void unit_touch(struct core *c, struct core_unit *u);
void units_judge(struct core *c);
void unit_refresh(struct core *c, struct core_unit *u);
bool replica_counts(const struct core_replica *r); /* of an identity in good standing, in time */
bool replica_opened(
	const struct core_replica *r); /* its claim is known and nothing speaks against it */
uint32_t unit_live(const struct core *c, const struct core_unit *u);
/* Judges an opened replica by its unit's canonical result, which it equals. */
void replica_right(struct core *c, struct core_replica *r);
/* It differs from the canonical result, and no dispute can settle that: proven wrong where the referee knows; else late. */
void replica_dissents(struct core *c, struct core_replica *r);
void unit_settle(struct core *c, struct core_unit *u);

/* dispute.c */
void dispute_open(struct core *c, struct core_unit *u);
void audit_open(struct core *c, struct core_unit *u, const char *why);
void dispute_decide(struct core *c, struct core_unit *u);
void dispute_convict(struct core *c, struct core_replica *r);
/* So many results differ from what this machine computes. When most of them agree with each other, it pauses the
 * project; else they are garbage, say nothing about our machine, and wait for one that matches. */
void dispute_unmatched(struct core *c, struct core_unit *u, uint32_t differing);
void dispute_again(struct core *c, struct core_unit *u); /* the referee's word is put aside */
void referees_start(struct core *c);
void referee_answer(struct core *c, const struct core_event *event);

/* dispute_peers.c: two peers, down to one step */
void dispute_judge(struct core *c, struct core_unit *u); /* a disputed unit without a referee */
void dispute_tick(struct core *c, struct core_unit *u);
void dispute_close(struct core *c, struct core_unit *u);
/* It said what its result is, and did not stand by it. */
bool dispute_silent(const struct core_replica *r);
void dispute_abandon(
	struct core *c, struct core_replica *r); /* it gives up, if it is a side of one */
/* What a side was asked for is here; or it has lost (no conviction: its result was not opened). */
void dispute_next(struct core *c, struct core_unit *u);
void dispute_lose(struct core *c, struct disputant *s, const char *why);

/* dispute_answers.c: what disputants say */
void trace_take(struct core *c, struct core_peer *peer, const struct message_trace *m);
void segment_take(struct core *c, struct core_peer *peer, const struct message_segment *m);
void state_take(struct core *c, struct core_peer *peer, const struct message_state *m);
uint32_t trace_total(const struct core_replica *r); /* leaves that its claim must have */

/* dispute_verdict.c: the referee's step, and faults */
void step_answer(struct core *c, const struct core_event *event);
/* fault_core.c. A result is proven wrong: says the proof, which `what` narrows down (its kind and what belongs to it alone;
 * state: the blob before the step), rejects the replica and retires its identity. */
void fault_prove(struct core *c, struct core_replica *r, struct fault_statement *what,
	const struct digest *state, const char *why);

/* upload.c */
struct core_replica *upload_holder(const struct core *c, const struct core_unit *u);
void upload_seek(struct core *c, struct core_unit *u);
void upload_take(struct core *c, struct core_peer *peer, const struct message_upload *m);
void upload_release(struct core *c, struct core_unit *u); /* no blame: another may be asked */
void upload_fail(struct core *c, struct core_unit *u, const char *why);
void upload_again(struct core *c, struct core_replica *r); /* after a reconnect */
void upload_close(struct core *c, struct core_unit *u);	   /* frees what arrived */

#endif
