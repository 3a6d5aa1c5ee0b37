/* What the two halves of the agent's shell share: agent_shell.c steps the core and carries out its
 * effects, agent_uv.c has the loop that brings the events. */
#ifndef PEER_AGENT_AGENT_SHELL_H
#define PEER_AGENT_AGENT_SHELL_H

#include <stdio.h>

#include "peer/agent/agent_files.h"
#include "peer/agent/misbehave.h"
#include "peer/agent/status_file.h"
#include "peer/agent/worker_uv.h"
#include "peer/overlay/node_uv.h"
#include "peer/swarm/exchange.h"

struct answer; /* an event that waits for the step in progress to end */

struct unchecked {
	struct digest digest;
	uint64_t used_s; /* when it was last used */
};

struct shell {
	const struct agent_home *home;
	struct identity id;
	struct agent *core;
	struct agent_effects effects;
	struct answer *first_answer, *last_answer;
	struct agent_files files;
	struct node_uv *node;
	uint16_t port;	     /* where other peers find us */
	conn_id conn;	     /* the one to the coordinator; 0: none */
	conn_id turned_away; /* the last dial that was */
	bool watching;	     /* the core waits for AGENT_SENT */
	uint64_t beacon_s;   /* the newest one's; 0: none was heard */
	char ledger[LEDGER_HEAD_SIZE];
	struct worker_uv *worker;
	struct bytes leaves; /* of the trace whose result comes next */
	enum misbehave misbehave;
	struct bytes scratch; /* for misbehave */

	/* agent_blobs.c */
	struct exchange *exchange;
	struct exchange_handler exchange_handler;
	struct unchecked *unchecked; /* blobs that an earlier run left, not yet offered to others */
	size_t unchecked_count, unchecked_room;
	uint64_t cache_bytes; /* of blobs that may stay on disk when no lease needs them */
	FILE *log;

	struct agent_status told; /* what status.json says */
	uint64_t told_ms;
	struct status_file status;
	bool status_failing;

	bool checkpoint_failing;
	bool ending; /* stops as soon as the last checkpoint is saved, or does not come */
	bool stopping;
	int code;	    /* why: what agent_run returns */
	struct errmsg *msg; /* and its sentence */
};

/* agent_shell.c */

/* Steps the core with the event, and then with the answers that this brings about. */
void shell_event(struct shell *s, struct agent_event *event);
/* News of the network's root. */
void shell_announced(struct shell *s, const struct announcement *a);
/* The session with the coordinator, or a host, is open: a line in the log when its clock and ours are far apart. */
void shell_clock(struct shell *s, enum role role);
/* An event for after the step in progress, or for shell_settle. Takes *bytes (may be NULL); copies text. */
void shell_answer(struct shell *s, const struct agent_event *event, struct bytes *bytes);
void shell_settle(struct shell *s);
/* Frees what shell_event made. */
void shell_close(struct shell *s);
/* "12:34:56 line" */
void shell_log(struct shell *s, const char *line);

/* agent_blobs.c: the swarm */
int blobs_open(struct shell *s, struct errmsg *msg) TK_CHECKED;
void blobs_close(struct shell *s);
void blobs_fetch(struct shell *s, const struct agent_effect *e);
void blobs_remove(struct shell *s, const struct agent_effect *e);
void blobs_up(struct shell *s, conn_id conn, const struct public_key *key, enum role role);
void blobs_down(struct shell *s, conn_id conn);
void blobs_dial_failed(struct shell *s, conn_id conn);
void blobs_writable(struct shell *s, conn_id conn);
/* False: the message is not about blobs. */
bool blobs_message(struct shell *s, conn_id conn, const struct message *m);
void blobs_tick(struct shell *s);
uint64_t blobs_bytes(const struct shell *s); /* on disk, as far as they were checked */
void blobs_totals(const struct shell *s, struct swarm_totals *out);

/* agent_uv.c */

/* Ends the run with this code; s->msg has been told why. */
void shell_stop(struct shell *s, int code);
uint64_t shell_now_ms(const struct shell *s);

#endif
