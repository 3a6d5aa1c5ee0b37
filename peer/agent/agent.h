/* The volunteer's agent, as one core without I/O: it connects, takes leases, gathers what a unit needs,
 * has it computed, and sees each result through commit, reveal and upload until it is settled.
 *
 * agent_step(agent, event, effects): time, randomness, messages and the answers of disk and worker
 * arrive in events; what is to be said, stored or computed leaves in effects, which the shell carries
 * out in order. Two rules hold at every step: nothing is fetched or computed for a lease that the
 * network's root key did not sign, and no COMMIT leaves before its result is durable. */
#ifndef PEER_AGENT_AGENT_H
#define PEER_AGENT_AGENT_H

#include "peer/agent/result_record.h"
#include "peer/wire/link.h"
#include "peer/wire/session.h"

#define AGENT_SLOTS	     2u	 /* leases asked for: one computing, one prefetched */
#define AGENT_JOBS_MAX	     4u	 /* leases held: a request may cross with a lease on its way */
#define AGENT_RESULTS_MAX    64u /* computed and not settled; then no more leases are asked for */
#define AGENT_ABANDONED_MAX  16u /* leases of an earlier run that are given back */
#define AGENT_TICK_MS	     200u
#define AGENT_BACKOFF_MIN_MS 500u /* decorrelated jitter between these two */
#define AGENT_BACKOFF_MAX_MS 30000u
#define AGENT_FULL_MIN_MS    15000u  /* and between these when the coordinator is full … */
#define AGENT_FULL_MAX_MS    900000u /* … and we have nothing for it */
#define AGENT_CONNECT_MS     20000u  /* from DIAL to UP */
#define AGENT_HOST_AGAIN_MS  600000u /* an address of the link where only a host answered */
#define AGENT_REPLACED_MS    60000u  /* when another process uses our identity */
#define AGENT_ASK_AGAIN_MS   30000u  /* a WORK_REQUEST without an answer is repeated */
#define AGENT_PAUSE_MS	     10000u  /* after giving a lease back */
#define AGENT_CRASHES_MAX    3u	     /* of the worker in a row; then it rests, longer each time */
#define AGENT_REST_MIN_MS    5000u
#define AGENT_REST_MAX_MS    300000u
#define AGENT_CHECKPOINT_MS  30000u   /* between two checkpoints of a unit, unless told otherwise */
#define AGENT_CHECKPOINTS_MS 3600000u /* those of an earlier run wait so long for their lease */
#define AGENT_UPLOAD_PARTS   16u      /* parts sent before waiting until they have left */

enum agent_event_type {
	AGENT_START = 1,	    /* everything is loaded: begin */
	AGENT_UP = 2,		    /* session open; role */
	AGENT_DOWN = 3,		    /* session over; text */
	AGENT_DIAL_FAILED = 4,	    /* before UP; text */
	AGENT_MESSAGE = 5,	    /* message */
	AGENT_SENT = 6,		    /* answers WATCH_SENT: what was queued has left this machine */
	AGENT_BLOB_FOUND = 7,	    /* answers FIND_BLOB: digest; bytes when they were wanted */
	AGENT_BLOB_ABSENT = 8,	    /* answers FIND_BLOB: digest */
	AGENT_BLOB_STORED = 9,	    /* answers FETCH_BLOB: digest; it is on disk and right */
	AGENT_BLOB_FAILED = 10,	    /* answers FETCH_BLOB: digest, text */
	AGENT_WORKER_PROGRESS = 11, /* job, done, total */
	AGENT_WORKER_DONE = 12,	    /* job, claim, leaves, bytes (payload) */
	AGENT_WORKER_FAILED = 13,   /* job, code, text */
	AGENT_WORKER_LACKS = 14,    /* job: a blob it needs is gone from the disk or was corrupt */
	AGENT_WORKER_GONE = 15,	    /* the process died; text */
	AGENT_RESULT_SAVED = 16,    /* answers SAVE_RESULT: digest (nonce) */
	AGENT_RESULT_FAILED = 17,   /* answers SAVE_RESULT: digest (nonce), text */
	AGENT_PAYLOAD_READ = 18,    /* answers READ_PAYLOAD: digest (nonce), offset, bytes */
	AGENT_PAYLOAD_FAILED = 19,  /* answers READ_PAYLOAD: digest (nonce), text */
	AGENT_TICK = 20,	    /* every AGENT_TICK_MS */
	AGENT_WORKER_CHECKPOINT = 21, /* job, bytes: how far its unit has come */
	AGENT_STOPPING = 22,	      /* this run ends soon */
	AGENT_ANNOUNCED = 23,	      /* announcement: news of the network's root */
	AGENT_ISOLATED = 24, /* no news, each host of the link is worth a try; total: neighbours */
	AGENT_SELFTESTED =
		30, /* answers SELFTEST: job (its seed), bytes (a digest an operation), or code */
	AGENT_TRACE_READ = 31,	    /* answers READ_TRACE: digest (nonce), offset, bytes */
	AGENT_TRACE_FAILED = 32,    /* answers READ_TRACE: digest (nonce), text */
	AGENT_WORKER_REPLAYED = 33, /* job, bytes (see WORKER_REPLAYED) */
};

struct agent_event {
	enum agent_event_type type;
	uint64_t now_ms;    /* monotonic */
	uint64_t now_s;	    /* wall clock: MESSAGE */
	uint8_t random[32]; /* fresh in every event that uses it: DOWN, DIAL_FAILED, MESSAGE,
			     * TICK */
	enum role role;
	bool turned_away; /* DIAL_FAILED: the other side took the connection and ended it unheard */
	const struct message *message;
	const struct announcement *announcement;
	struct digest digest;
	uint64_t job;
	uint64_t offset;
	uint32_t done, total;
	int code;
	struct span claim;
	struct span leaves;
	struct span bytes;
	const char *text;
};

enum agent_effect_type {
	AGENT_DIAL = 1,		/* host: index into the link's hosts */
	AGENT_SEND = 2,		/* message (its spans borrow from bytes) */
	AGENT_DROP = 3,		/* end the session or the dialling; reason, text */
	AGENT_WATCH_SENT = 4,	/* tell when all that was sent has left */
	AGENT_FIND_BLOB = 5,	/* kind, digest; want_bytes */
	AGENT_FETCH_BLOB = 6,	/* kind, digest, total (0: not known), max; ahead: not waited for */
	AGENT_REMOVE_BLOB = 7,	/* kind, digest */
	AGENT_COMPUTE = 8,	/* job, bytes (the unit), recipe, parameters, state (zero: none),
				   * shards; digest (the unit's), resume: from its checkpoint */
	AGENT_CANCEL = 9,	/* job: its answer is not wanted any more */
	AGENT_SAVE_RESULT = 10, /* digest (nonce), bytes (an encoded record): durably */
	AGENT_REMOVE_RESULT = 11, /* digest (nonce) */
	AGENT_READ_PAYLOAD = 12,  /* digest (nonce), total (its length), offset, length */
	AGENT_SAVE_LEASES = 13, /* bytes: nonce and unit digest of all leases held, 64 bytes each */
	AGENT_LOG = 14,		/* text */
	AGENT_STOP = 15,	/* this identity gives no more work; text */
	AGENT_ASK_CHECKPOINT = 16,  /* job: of the unit being computed */
	AGENT_SAVE_CHECKPOINT = 17, /* digest (the unit's), bytes; it takes the last one's place */
	AGENT_REMOVE_CHECKPOINT = 18, /* digest (the unit's) */
	AGENT_HISTORY = 19,	      /* text: what became of a result; durably */
	AGENT_RELEASE = 20,   /* a host of the link answered: the session is the overlay's */
	AGENT_SAVE_HOST = 21, /* certificate: durably; and shown in each handshake from now on */
	AGENT_SELFTEST = 30,  /* job: the seed; nothing is being computed */
	AGENT_READ_TRACE =
		31, /* digest (nonce), total (how far before its record's end), offset, length */
	AGENT_REPLAY = 32, /* as COMPUTE, without digest and resume; first, to, keep (replay.h) */
};

enum agent_blob { BLOB_RECIPE = 1, BLOB_PARAMETERS = 2, BLOB_SHARD = 3, BLOB_STATE = 4 };

struct agent_effect {
	enum agent_effect_type type;
	uint32_t host;
	uint32_t reason;
	enum agent_blob kind;
	bool want_bytes;
	bool resume;
	bool ahead;
	struct digest digest;
	struct digest recipe, parameters, state;
	uint64_t job;
	uint64_t total, max, offset;
	uint32_t length;
	struct certificate certificate;
	uint32_t first, to, keep;
	struct message message;
	struct bytes bytes;  /* owned by the list */
	struct bytes shards; /* owned: digests, 32 bytes each */
	char text[TEXT_MAX];
};

/* A growing list. Running out of memory sticks in error; agent_step returns it. */
struct agent_effects {
	struct agent_effect *items;
	size_t count, capacity;
	int error;
};
void agent_effects_clear(struct agent_effects *e); /* frees the items' bytes, keeps room */
void agent_effects_close(struct agent_effects *e);

/* What this volunteer has done, over all runs. */
struct agent_totals {
	uint64_t units_valid;
	uint64_t units_invalid;
	uint64_t units_late; /* and expired ones */
	uint64_t credit_flops;
};

struct agent;

/* Borrows id and hosts, which outlive it. engine names the arithmetic ("avx512") for WORK_REQUEST.
 * NULL: out of memory. */
struct agent *agent_new(const struct identity *id, const struct link *hosts, const char *engine);
void agent_free(struct agent *a);

/* What an earlier run left, before AGENT_START. A result is committed again until it is settled. A lease
 * of a unit with a checkpoint, which is loaded before, is gone on with when the coordinator repeats it;
 * any other without a result is given back. Checkpoints that no lease asks for are removed in time.
 * Errors: TK_EEXIST, TK_ELIMIT, TK_ECORRUPT. */
int agent_load_result(
	struct agent *a, const struct result_record *record, struct errmsg *msg) TK_CHECKED;
int agent_load_checkpoint(struct agent *a, const struct digest *unit) TK_CHECKED;
int agent_load_lease(
	struct agent *a, const struct digest *nonce, const struct digest *unit) TK_CHECKED;
void agent_load_totals(struct agent *a, const struct agent_totals *totals);

/* The team that credit is to count for, a valid name (team_name_valid) or "" for none; before AGENT_START. */
void agent_join_team(struct agent *a, const char *team);

/* Units that need more memory than this are given back before anything of them is fetched; without a
 * call there is no limit. */
void agent_limit_memory(struct agent *a, uint64_t bytes);

/* May the blob leave the disk, or does a lease that we hold need it? */
bool agent_needs_blob(const struct agent *a, const struct digest *blob);

/* The time between two checkpoints of a unit. */
void agent_checkpoint_every(struct agent *a, uint64_t ms);

/* One step; appends to out. Errors: TK_ENOMEM: the agent must be freed and begun again (what is on
 * disk suffices). */
int agent_step(
	struct agent *a, const struct agent_event *event, struct agent_effects *out) TK_CHECKED;

enum agent_state {
	AGENT_WAITING = 1, /* not connected; the next try comes */
	AGENT_CONNECTING = 2,
	AGENT_IDLE = 3,	     /* connected, no lease */
	AGENT_FETCHING = 4,  /* gathering what a unit needs */
	AGENT_COMPUTING = 5, /* connected or not */
	AGENT_RESTING = 6,   /* the worker crashed too often */
	AGENT_RETIRED = 7,   /* the network gives this identity no more work */
};

/* What it is doing, and why it is not doing more. */
#define LEDGER_HEAD_SIZE (22 + DIGEST_HEX) /* "ENTRIES:DIGEST" */

struct agent_status {
	enum agent_state state;
	bool connected;
	char coordinator[LINK_ADDRESS_SIZE];
	char host[LINK_ADDRESS_SIZE];	/* through which we are in the network, not connected; "" */
	char project[PROJECT_NAME_MAX]; /* of the unit being computed; else empty */
	uint32_t round, unit;		/* counted from 1, as people do; 0: none */
	uint32_t percent;
	uint32_t leases;
	uint32_t pending; /* results that are not settled yet */
	struct agent_totals totals;
	/* The shell fills these in; first, bytes of blobs in this run. */
	uint64_t blobs_from_peers, blobs_from_coordinator, blobs_served;
	uint64_t cache_bytes, cache_bytes_max; /* on disk, and how many may stay there */
	uint32_t neighbours;
	uint64_t beacon_s; /* when the newest beacon heard was issued; 0: none in this run */
	char ledger[LEDGER_HEAD_SIZE]; /* the ledger's head that it names; "" */
	uint16_t port;		       /* where we listen for peers */
	char reached[TEXT_MAX];	       /* how strangers reach us, in words */
	char reason[TEXT_MAX + 384];   /* the sentence for the volunteer */
};
void agent_status(const struct agent *a, uint64_t now_ms, struct agent_status *out);

/* "computing"; never NULL. */
const char *agent_state_name(enum agent_state state);

#endif
