/* What the files of doctor_network share: an exam goes through its stages one after the other. */
#ifndef PEER_AGENT_DOCTOR_EXAM_H
#define PEER_AGENT_DOCTOR_EXAM_H

#include "peer/agent/doctor.h"
#include "peer/overlay/node_uv.h"

#define KNOWN_DIALS 8u /* of the peers that the home remembers */

enum stage {
	STAGE_HOSTS,
	STAGE_KNOWN, /* when no host let us in */
	STAGE_DIALBACK,
	STAGE_MAPPER,
	STAGE_MAPPED,
	STAGE_RELAY,
	STAGE_NEWS,
	STAGE_OVER
};

struct exam {
	struct doctor *d;
	const struct agent_home *home;
	const struct doctor_options *options;
	struct uv_loop_s *loop;
	struct node_uv *node;
	enum stage stage;
	uint64_t since_ms; /* when the stage began */
	bool closing;

	/* doctor_hosts_uv.c */
	uint32_t host; /* that is tried, and since when (uv_hrtime) */
	uint64_t host_ns;
	conn_id dialling;    /* 0: none */
	conn_id turned_away; /* the last dial that was */
	conn_id coordinator; /* the newest session with it; 0: none */
	bool met;	     /* it, or a host, was met at all */
	bool met_coordinator;
	bool unheard; /* our clock is so far off that gossip does without us */
	conn_id known[KNOWN_DIALS];
	uint32_t known_count, known_over, known_up;

	bool heard_beacon;
};

void exam_go(struct exam *x, enum stage stage);

/* doctor_hosts_uv.c: from STAGE_HOSTS to STAGE_DIALBACK. The handlers are node_handler's, context is the exam. */
void hosts_begin(struct exam *x);
void hosts_tick(struct exam *x);
void hosts_up(void *context, conn_id conn, const struct public_key *key, enum role role);
void hosts_down(void *context, conn_id conn, const char *why);
void hosts_turned_away(void *context, conn_id conn);
void hosts_dial_failed(void *context, conn_id conn, const char *why);

#endif
