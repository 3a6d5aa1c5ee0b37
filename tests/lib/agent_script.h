/* The agent's core on a stage: a disk, a coordinator's key and a clock, all made of events.
 *
 * Every effect but the log is written down in a trace, one line each, and the trace is what tests
 * compare. The disk answers by itself, and the coordinator serves blobs by itself; all else is said by
 * the test. */
#ifndef TESTS_LIB_AGENT_SCRIPT_H
#define TESTS_LIB_AGENT_SCRIPT_H

#include "peer/agent/agent.h"
#include "tests/lib/tiny.h"

#define SCRIPT_TRACE_MAX 16384u
#define SCRIPT_BLOBS_MAX 64u
#define SCRIPT_ROUNDS	 6u
#define SCRIPT_NOW_S	 1700000000u
#define SCRIPT_LEAVES	 4u /* of the trace of each result */

struct script {
	struct tiny tiny;
	struct key_pair root;
	struct identity id;
	struct link link;
	struct agent *agent;
	uint64_t now_ms;
	uint8_t random; /* all bytes of the events' randomness */
	char trace[SCRIPT_TRACE_MAX];
	size_t trace_len;

	/* the project's blobs; the shards are on disk from the start */
	struct bytes recipe;
	struct bytes state;			/* that every lease names; empty: none does */
	struct bytes parameters[SCRIPT_ROUNDS]; /* any bytes will do: nothing is computed here */
	struct digest parameters_digest[SCRIPT_ROUNDS];
	struct digest on_disk[SCRIPT_BLOBS_MAX];
	size_t on_disk_count;
	bool disk_full;	    /* SAVE_RESULT fails */
	bool disk_slow;	    /* SAVE_RESULT is not answered */
	bool blobs_missing; /* the coordinator has none */
	bool blobs_silent;  /* it does not answer */
	bool ahead_slow;    /* parameters that are fetched ahead do not come yet */

	/* what effects carried last */
	uint64_t job;
	struct bytes saved;  /* the last SAVE_RESULT */
	struct bytes leases; /* the last SAVE_LEASES */
	struct message sent; /* the last SEND without its spans */
	char stop[TEXT_MAX];
	char dropped[TEXT_MAX];
	uint32_t dropped_reason;
	bool watching;

	/* the lease last made by script_lease */
	struct message lease;
	struct bytes manifest, unit;
	struct digest unit_digest;
	/* the result last made by script_result */
	struct bytes claim, payload;
	struct digest leaves[SCRIPT_LEAVES];
};

void script_open(struct script *s);
void script_close(struct script *s);
/* The same for cmocka: one script for each test. */
int script_setup(void **state);
int script_teardown(void **state);
/* Connected, with lease 1 (round 0, unit 0) being computed: recipe and data are on disk. */
void script_begin(struct script *s);
/* From now on units carry a state; if the recipe says so, too. */
void script_carry(struct script *s, bool recipe_too);
/* From now on, so many steps lie between two leaves. */
void script_trace_every(struct script *s, uint32_t steps);
/* A new agent on the same disk, as after a restart. */
void script_restart(struct script *s);

/* One event; disk and blobs are then answered until nothing is left to answer. */
void script_event(struct script *s, struct agent_event event);
void script_say(struct script *s, const struct message *m);
void script_nonce(struct script *s, enum message_type type, uint8_t nonce);
void script_pass(struct script *s, uint64_t ms); /* tick by tick */
uint64_t script_wait_for_dial(struct script *s); /* passes time until the next one; how much */
void script_connect(struct script *s);		 /* START or the next dial, and UP */
void script_lost(struct script *s);

/* Makes a valid lease with this nonce (all bytes) in s->lease; sign again after changing it. */
void script_lease(struct script *s, uint8_t nonce, uint32_t round, uint32_t index);
void script_announce(struct script *s, uint32_t round); /* the root's ROUND */
void script_stored(struct script *s, uint32_t round);	/* its parameters have come */
void script_sign(struct script *s, struct round_manifest *manifest);
/* Makes a result for the last lease; payload_bytes 0: a non-finite one. */
void script_result(struct script *s, size_t payload_bytes);
void script_done(struct script *s);			   /* the worker answers with it */
void script_replayed(struct script *s, struct span bytes); /* its answer to the last REPLAY */

/* The trace since the last call must be exactly this. */
void script_expect(struct script *s, const char *trace);
void script_clear(struct script *s);
void script_status(struct script *s, struct agent_status *out);

#endif
