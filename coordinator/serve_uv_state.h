/* The shell's own state, for serve_uv.c and those of its parts that need more than serve_state.h has. Its types are libuv's,
 * whose header these have before it; nobody else includes it. */
#ifndef COORDINATOR_SERVE_UV_STATE_H
#define COORDINATOR_SERVE_UV_STATE_H

#include "coordinator/hosts.h"
#include "coordinator/serve_state.h"
#include "coordinator/serve_uv.h"

/* A peer's session, as far as hosts of the link are concerned. */
struct serve_guest {
	conn_id conn;
	struct public_key key;
	uint64_t
		told_s; /* when the certificate ends that it was sent in this session; 0: none was */
	struct place_row place;
};
struct serve_hosts {
	struct host_row rows[HOSTS_MAX];
	uint32_t count;
	uint64_t version; /* of the store when they were read */
	struct serve_guest *guests;
	size_t guest_count, guest_room;
	uint64_t ticks;
};

struct serve {
	const struct serve_options *options;
	struct home home;
	char web[1024];		  /* the status page's folder */
	struct identity identity; /* the root's: signs */
	struct identity serving;  /* whom peers meet */
	uv_loop_t loop;
	uv_timer_t timer;
	uv_timer_t retry;
	uv_prepare_t before_sleep;
	uv_signal_t signals[2];
	struct node_handler handler;
	struct node_uv *node; /* NULL while stalled */
	struct core *core;    /* NULL while stalled */
	struct core_effects effects;
	struct serve_blobs blobs;
	struct serve_hosts hosts;
	conn_id released;    /* the last session whose place another got */
	uint64_t generation; /* of the core */
	uint64_t newest_project;
	uint64_t store_version;
	uint64_t live_saved; /* peers connected, as other processes know it */
	uint64_t ticks;
	char address[320]; /* where we listen; empty until we did */
	uint16_t port;
	int jobs;
	bool changed; /* since the page was written */
	bool ending;
	bool closing; /* the node is on its way out */
};

/* serve_hosts_uv.c: which peers could be hosts of the link, and telling those that are. */
void serve_hosts_up(struct serve *s, conn_id conn, const struct public_key *key);
void serve_hosts_down(struct serve *s, conn_id conn);
void serve_hosts_tick(struct serve *s); /* as often as the command line's wishes are looked for */
void serve_hosts_close(struct serve *s);

#endif
