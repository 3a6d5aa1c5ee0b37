/* HOME/status.json: what a running agent says about itself, for `talkoot-peer status` and for whoever
 * watches from outside. Also where the totals of earlier runs are kept. */
#ifndef PEER_AGENT_STATUS_FILE_H
#define PEER_AGENT_STATUS_FILE_H

#include "peer/agent/agent.h"

#define STATUS_FILE_BYTES_MAX 16384u

struct status_file {
	char state[16]; /* agent_state_name, or "stopped" */
	char reason[TEXT_MAX + 384];
	char coordinator[LINK_ADDRESS_SIZE];
	bool connected;
	char project[PROJECT_NAME_MAX]; /* computing: the project's name, else empty */
	uint32_t round, unit;		/* from 1; 0: none */
	uint32_t percent;
	uint32_t leases, pending;
	struct agent_totals totals;
	uint64_t blobs_from_peers, blobs_from_coordinator, blobs_served; /* bytes, in this run */
	uint64_t cache_bytes, cache_bytes_max;
	uint32_t neighbours;
	uint64_t beacon_s;	       /* when the newest beacon was issued; 0: none was heard */
	char ledger[LEDGER_HEAD_SIZE]; /* the head that it names; "" */
	uint16_t port;		       /* 0: does not listen */
	char reached[TEXT_MAX];	       /* how strangers reach it, in words */
	struct public_key peer;
	uint64_t host_until_s; /* it is a host of the network's link until then; 0: it is none */
	char engine[16];
	char team[TEAM_MAX];   /* "": none */
	char remark[TEXT_MAX]; /* on this computer (engine_remark); empty: none */
	uint64_t updated_s;    /* wall clock */
};

/* What the agent's status says. */
void status_file_fill(struct status_file *s, const struct agent_status *status);

/* Appends it as one JSON object and a newline. Errors: TK_ENOMEM. */
int status_file_encode(const struct status_file *s, struct bytes *out) TK_CHECKED;

/* Reads HOME/status.json. Errors: TK_ENOENT, TK_ECORRUPT, TK_ELIMIT, TK_EIO. */
int status_file_read(struct status_file *s, const char *home, struct errmsg *msg) TK_CHECKED;

/* Replaces HOME/status.json, unsynced: what is lost in a crash is only a status. */
int status_file_write(const struct status_file *s, const char *home, struct errmsg *msg) TK_CHECKED;

#endif
