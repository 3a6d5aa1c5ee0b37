/* What the agent's core remembers; only its own files (agent*.c) include this. */
#ifndef PEER_AGENT_AGENT_STATE_H
#define PEER_AGENT_AGENT_STATE_H

#include "peer/agent/agent.h"
#include "tasks/unit/replay.h"

#define KEPT_MAX (AGENT_JOBS_MAX + 1u) /* sets of parameters kept on disk, and states */

/* A job is a lease that is not computed yet. It gathers its blobs in this order. */
enum job_stage {
	JOB_RECIPE = 1,
	JOB_PARAMETERS = 2,
	JOB_STATE = 3,
	JOB_SHARDS = 4,
	JOB_READY = 5,
	JOB_COMPUTING = 6,
};

struct job {
	uint64_t id; /* names it towards the worker, never reused; 0: the slot is free */
	enum job_stage stage;
	struct digest nonce;
	struct unit unit;
	struct digest unit_digest;
	uint32_t unit_count; /* W, as the root signed it */
	uint8_t encoded[UNIT_BYTES_MAX];
	size_t encoded_bytes;
	uint64_t deadline_ms;
	char project[PROJECT_NAME_MAX];
	uint64_t parameter_bytes, state_bytes;
	struct digest *shards; /* owned */
	uint32_t shard_count, shards_found;
	uint32_t crashes;
	uint32_t lacks; /* times the worker missed a blob that the disk was thought to have */
	uint32_t done, total;
	bool has_checkpoint; /* on disk */
	bool resumed;	     /* this computation began from it */
	bool going;	     /* its first progress was heard */
	uint64_t asked_ms;   /* when it was asked for a checkpoint last, or began */
};

/* What a dispute asks of a result beyond its trace: steps or a state, computed again (agent_dispute.c). */
enum replay_kind { REPLAY_NOTHING = 0, REPLAY_SEGMENT = 1, REPLAY_STATE = 2 };

struct question {
	enum replay_kind kind;
	uint32_t at;	 /* the segment, or the steps done */
	uint64_t offset; /* bytes of a state that were received before */
};

/* The replay that is gathered for, computed, or kept whole. */
struct replaying {
	struct question question;
	struct digest nonce, commitment; /* of the result in dispute */
	struct job job; /* until the answer is there; it is no lease, and goes before all */
	uint32_t first, to, keep; /* replay.h */
	bool asked;		  /* a unit in progress for its checkpoint */
	bool whole;		  /* the answer is here */
	bool wanted;		  /* and is to be sent, from the offset on */
	uint64_t offset;
	struct bytes answer;	    /* owned: step leaves, or the state */
	struct signature signature; /* of a segment */
};

struct result {
	struct result_record record;
	struct digest commitment;
	uint32_t round, index;
	bool saved;	/* durable: COMMIT may leave */
	bool committed; /* the coordinator has it on disk */
	bool crossed;	/* EXPIRED came before an answer to our COMMIT */
	bool wanted;	/* an upload was asked for, from upload_offset on */
	uint64_t upload_offset;
	bool trace_wanted; /* a dispute asks for its leaves, from trace_at on */
	uint32_t trace_at;
	struct question asked;
};

/* The one blob that is waited for. A fetch that nobody needs any more runs to its end. */
enum want_phase { WANT_NOTHING = 0, WANT_FINDING = 1, WANT_FETCHING = 2 };

struct want {
	enum want_phase phase;
	enum agent_blob kind;
	struct digest digest;
	uint64_t total, max; /* total 0: not known */
};

/* Blobs on disk that last for a round, newest first. */
struct kept {
	struct digest digests[KEPT_MAX];
	uint32_t count;
};

/* The newest round of the project in hand, as announced, and its parameters, fetched before a lease asks for
 * them. What a lease has asked for already is not this struct's business. */
enum ahead_phase { AHEAD_NOTHING = 0, AHEAD_WAITING = 1, AHEAD_FETCHING = 2 };

struct ahead {
	enum ahead_phase phase;
	struct digest recipe;
	uint64_t round; /* counted from 1; 0: none was announced */
	uint64_t sequence;
	struct digest parameters;
	uint64_t bytes;
};

/* A lease of an earlier run, to be given back. */
struct old_lease {
	struct digest nonce, unit;
};

struct agent {
	const struct identity *id;
	const struct link *link;
	char engine[16];
	char team[TEAM_MAX]; /* "": none */
	uint64_t memory_max; /* bytes that a unit may take */

	/* the connection (agent_link.c) */
	enum { LINK_DOWN = 1, LINK_DIALLING = 2, LINK_UP = 3, LINK_RETIRED = 4 } link_state;
	uint32_t host;
	bool is_host[LINK_HOSTS_MAX];	  /* no coordinator: who answered there last … */
	uint64_t host_ms[LINK_HOSTS_MAX]; /* … is left alone until then */
	bool entered;			  /* through a host, and there was no coordinator since: */
	uint32_t entry;
	uint64_t backoff_ms; /* the last delay */
	uint64_t at_ms;	     /* DOWN: when to dial; DIALLING: when to give up */
	bool full;	     /* at the last try, or at the session's end, it had no place for us */
	bool was_full;	     /* before this try */
	uint32_t full_host;  /* where */
	bool patient;	     /* DOWN: there is no hurry; agent_patience.c */
	uint64_t full_ms;    /* the last wait of that kind; 0: none since a lease */
	bool replaced;	     /* the last session ended because our identity connected again */
	char trouble[TEXT_MAX]; /* why the last try failed, or why there is no work */
	uint32_t told;		/* leases that the coordinator may still send by our last request */
	uint64_t ask_ms;	/* when to ask again all the same */
	uint64_t pause_ms;	/* take no lease before this */

	/* leases (agent_job.c) */
	struct job jobs[AGENT_JOBS_MAX];
	uint64_t next_job;
	struct old_lease abandoned[AGENT_ABANDONED_MAX];
	uint32_t abandoned_count;
	struct want want;
	bool has_recipe;
	struct digest recipe_digest;
	struct recipe recipe; /* owned, when has_recipe */
	struct kept parameters, states;
	struct ahead ahead; /* agent_ahead.c */
	uint32_t failures;  /* of the worker, in a row */
	uint64_t rest_ms;   /* compute nothing before this */

	/* the self-test (agent_selftest.c) */
	uint64_t selftest_seed;	      /* asked for; 0: none */
	uint64_t selftesting;	      /* the worker is at this one: no unit is begun; 0: none */
	uint64_t selftest_kept;	      /* the seed of an answer that is not said yet … */
	struct bytes selftest_answer; /* … and its digests; empty: there is none */

	/* checkpoints (agent_checkpoint.c) */
	uint64_t checkpoint_ms;			   /* between two of them */
	struct digest checkpoints[AGENT_JOBS_MAX]; /* of an earlier run: units not leased yet */
	uint32_t checkpoint_count;
	uint64_t checkpoints_end_ms; /* then they are removed */

	/* results (agent_result.c) */
	struct result results[AGENT_RESULTS_MAX];
	uint32_t result_count;
	bool uploading; /* results[…] with this nonce: */
	struct digest upload_nonce;
	bool upload_reading;
	uint32_t upload_burst; /* parts since the last AGENT_SENT */
	struct agent_totals totals;

	/* disputes (agent_dispute.c) */
	struct replaying replaying;
	bool trace_reading;
	uint32_t dispute_burst; /* parts since the last AGENT_SENT */
};

/* agent_effects.c: each appends one effect; running out of memory sticks in out->error. */
struct agent_effect *effect_push(struct agent_effects *out, enum agent_effect_type type);
void effect_send(struct agent_effects *out, const struct message *m);
void effect_abandon(struct agent_effects *out, const struct digest *nonce, const char *why);
void effect_log(struct agent_effects *out, const char *format, ...) TK_PRINTF(2, 3);
/* Appends to the bytes of an effect. e may be NULL (effect_push failed). */
void effect_fill(struct agent_effects *out, struct agent_effect *e, const void *data, size_t n);
/* The job's unit and what it needs, for a worker: COMPUTE or REPLAY. NULL: no memory. */
struct agent_effect *effect_compute(
	struct agent_effects *out, enum agent_effect_type type, struct job *j);

/* agent_link.c */
void link_start(struct agent *a, uint64_t now_ms, struct agent_effects *out);
void link_up(struct agent *a, const struct agent_event *event, struct agent_effects *out);
void link_lost(struct agent *a, const struct agent_event *event, const char *why,
	struct agent_effects *out);
/* Ends the session from our side: says goodbye and comes back later. */
void link_drop(struct agent *a, const struct agent_event *event, enum goodbye_reason reason,
	const char *why, struct agent_effects *out);
void link_goodbye(struct agent *a, const struct agent_event *event, struct agent_effects *out);
void link_no_work(struct agent *a, const struct agent_event *event, struct agent_effects *out);
void link_tick(struct agent *a, const struct agent_event *event, struct agent_effects *out);
/* Nobody brings news: hosts of the link are dialled again, in their turn. */
void link_isolated(struct agent *a, const struct agent_event *event);
/* The root says that we are a host. */
void link_host(struct agent *a, const struct agent_event *event, struct agent_effects *out);
void link_ask(struct agent *a, uint64_t now_ms, struct agent_effects *out);
/* The coordinator has done something sensible: the next trouble starts from a short delay. */
void link_proved(struct agent *a);
bool link_is_up(const struct agent *a);

/* agent_patience.c */
/* A delay between min_ms and three times the last one, at most max_ms. */
uint64_t delay_next(uint64_t last_ms, uint64_t min_ms, uint64_t max_ms, const uint8_t random[32]);
/* The coordinator is full, and we have nothing to bring and nothing to fetch. */
bool patience_fits(struct agent *a);
uint64_t patience_next(struct agent *a, const uint8_t random[32]);
void patience_news(struct agent *a, const struct agent_event *event);
void patience_tick(struct agent *a, const struct agent_event *event);
void patience_explain(const struct agent *a, uint64_t now_ms, char *out, size_t size);

/* agent_job.c */
void job_lease(struct agent *a, const struct agent_event *event, struct agent_effects *out);
void job_worker(struct agent *a, const struct agent_event *event, struct agent_effects *out);
/* Starts what can be started: the next blob of the first unready job, the next computation. */
void job_advance(struct agent *a, uint64_t now_ms, struct agent_effects *out);
void job_tick(struct agent *a, const struct agent_event *event, struct agent_effects *out);
struct job *job_find(struct agent *a, const struct digest *nonce);
/* Forgets a lease: cancels its computation and frees its slot. */
void job_end(struct agent *a, struct job *j, struct agent_effects *out);
/* Gives a lease back with the reason, and takes no other for a while. */
void job_abandon(struct agent *a, struct job *j, uint64_t now_ms, const char *why,
	struct agent_effects *out);
/* Gives back a lease that is no job (any more): now, or when the connection is back. */
void job_give_back(struct agent *a, const struct digest *nonce, uint64_t now_ms, const char *why,
	struct agent_effects *out);
/* Once more something went wrong with the worker: after a few in a row it rests. */
void worker_failed(struct agent *a, uint64_t now_ms, struct agent_effects *out);
void job_save_leases(const struct agent *a, struct agent_effects *out);
uint32_t job_count(const struct agent *a);

/* agent_prepare.c: the blobs of a job */
void prepare_job(struct agent *a, struct job *j, uint64_t now_ms, struct agent_effects *out);
void prepare_blob(struct agent *a, const struct agent_event *event, struct agent_effects *out);
bool prepare_has_parameters(const struct agent *a, const struct digest *parameters);
/* They are on disk: the oldest that nobody needs make room. */
void prepare_keep_parameters(
	struct agent *a, const struct digest *parameters, struct agent_effects *out);
bool prepare_needs(
	const struct agent *a, const struct digest *blob); /* parameters or state of a job */
struct job *prepare_next(struct agent *a);  /* the first job that is not ready; NULL: none */
struct job *job_computing(struct agent *a); /* NULL: none */

/* agent_ahead.c */
/* What the root announces to everybody. */
void ahead_news(struct agent *a, const struct announcement *news, struct agent_effects *out);
/* A blob has come, or cannot be had. */
void ahead_blob(struct agent *a, const struct agent_event *event, struct agent_effects *out);
/* Begins what waits, once no lease waits for a blob. */
void ahead_advance(struct agent *a, struct agent_effects *out);

/* agent_checkpoint.c */
/* A new job goes on from what an earlier run has left of its unit. */
void checkpoint_adopt(struct agent *a, struct job *j);
/* The job's computation has begun. */
void checkpoint_begin(struct job *j, uint64_t now_ms);
/* What the worker says of a job that is being computed. */
void checkpoint_progress(struct job *j, const struct agent_event *event, struct agent_effects *out);
void checkpoint_save(struct job *j, const struct agent_event *event, struct agent_effects *out);
/* True when the job failed because of its checkpoint: it can be begun anew. */
bool checkpoint_refused(struct job *j, const struct agent_event *event, struct agent_effects *out);
void checkpoint_remove(struct job *j, struct agent_effects *out);
void checkpoint_tick(struct agent *a, uint64_t now_ms, struct agent_effects *out);
void checkpoint_ask(struct agent *a, uint64_t now_ms, struct agent_effects *out);

/* agent_selftest.c */
void selftest_asked(struct agent *a, const struct agent_event *event, struct agent_effects *out);
/* Begins it once no unit is computed; true while it is on its way. */
bool selftest_busy(struct agent *a, struct agent_effects *out);
void selftest_done(struct agent *a, const struct agent_event *event, struct agent_effects *out);

/* agent_dispute.c */
void dispute_message(struct agent *a, const struct agent_event *event, struct agent_effects *out);
void dispute_disk(struct agent *a, const struct agent_event *event, struct agent_effects *out);
/* True when the event is about a replay. */
bool dispute_worker(struct agent *a, const struct agent_event *event, struct agent_effects *out);
/* The next question has its turn. */
void dispute_advance(struct agent *a, struct agent_effects *out);
/* Which steps, once the recipe is at hand. Errors: TK_EPROTO (the unit has no such), TK_ENOENT. */
int dispute_plan(struct agent *a, const struct recipe *recipe, struct errmsg *msg) TK_CHECKED;
/* Begins the replay once it is gathered and nothing else is computed; true while the worker is its. */
bool dispute_busy(struct agent *a, uint64_t now_ms, struct agent_effects *out);
/* The unit in progress was saved: it makes way for a replay that waits. */
void dispute_saved(struct agent *a, struct job *j, struct agent_effects *out);
/* It cannot be answered: says so. */
void dispute_give_up(struct agent *a, const char *why, struct agent_effects *out);
/* Nobody asks any more about this result (NULL: about any). out NULL: the agent is freed. */
void dispute_forget(struct agent *a, const struct digest *nonce, struct agent_effects *out);
void dispute_sent(struct agent *a, struct agent_effects *out);
void dispute_disconnected(struct agent *a);

/* agent_result.c */
void result_computed(
	struct agent *a, struct job *j, const struct agent_event *event, struct agent_effects *out);
void result_disk(struct agent *a, const struct agent_event *event, struct agent_effects *out);
void result_message(struct agent *a, const struct agent_event *event, struct agent_effects *out);
void result_sent(struct agent *a, struct agent_effects *out); /* upload parts have left */
void result_reconnected(struct agent *a, struct agent_effects *out);
void result_disconnected(struct agent *a);
struct result *result_find(struct agent *a, const struct digest *nonce);

#endif
