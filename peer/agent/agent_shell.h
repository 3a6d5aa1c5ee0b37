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

struct answer; /* an event that waits for the step in progress to end */

struct shell {
	const struct agent_home *home;
	struct identity id;
	struct agent *core;
	struct agent_effects effects;
	struct answer *first_answer, *last_answer;
	struct agent_files files;
	struct node_uv *node;
	uint16_t port; /* where other peers find us */
	conn_id conn;  /* the one to the coordinator; 0: none */
	bool watching; /* the core waits for AGENT_SENT */
	struct worker_uv *worker;
	enum misbehave misbehave;
	struct bytes scratch; /* for misbehave */
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
/* Frees what shell_event made. */
void shell_close(struct shell *s);
/* "12:34:56 line" */
void shell_log(struct shell *s, const char *line);

/* agent_uv.c */

/* Ends the run with this code; s->msg has been told why. */
void shell_stop(struct shell *s, int code);
uint64_t shell_now_ms(const struct shell *s);

#endif
