/* What node_uv.c, node_ask_uv.c, listener_uv.c and ways_uv.c share. Its types are libuv's, whose header these have before it; nobody else
 * includes it. */
#ifndef PEER_OVERLAY_NODE_UV_STATE_H
#define PEER_OVERLAY_NODE_UV_STATE_H

#include "peer/overlay/channel_uv.h"
#include "peer/overlay/node_uv.h"
#include "peer/overlay/ways.h"

#define CHANNELS_MAX (2 * NODE_CONNECTIONS_MAX) /* those that linger included */

struct listener {
	uv_tcp_t handle;
	struct node_uv *node;
	bool held; /* a connection waits for memory */
	struct listener *next;
};

struct node_uv {
	uv_loop_t *loop;
	struct ways *ways;
	const struct identity *id;
	const struct node_handler *handler;
	uv_timer_t tick;
	uv_idle_t wake;	  /* active while effects wait for the loop's next turn */
	uv_timer_t alarm; /* at alarm_ms the core wants NODE_WAKE */
	uint64_t alarm_ms;
	struct listener *listeners;

	struct node_effects queue; /* what steps append to */
	struct node_effects batch; /* what drain is carrying out */
	bool draining;

	conn_id last;
	size_t alive;	  /* channels that were not freed */
	size_t alive_max; /* as many as the system's limit of open files allows */
	struct channel *channels[CHANNELS_MAX];
	struct channel_host host;
	int accept_error; /* libuv's, since the last tick */

	struct endpoint bound; /* where we listen; all zero but the port: everywhere */
	uint64_t looked_ms;    /* when the system was asked for its addresses */
	struct probe_uv *probes;

	bool closing;
	unsigned handles; /* of tick and wake: open */
	void (*closed)(void *context);
	void *closed_context;
};

/* node_uv.c */

/* A number for a new connection, never used before; 0: all places or descriptors are taken. */
conn_id conn_new(struct node_uv *n);
void channel_keep(struct node_uv *n, struct channel *c);
struct channel *channel_find(const struct node_uv *n, conn_id conn); /* NULL: there is none */
/* The core hears of a transport that came up. */
void channel_begin(struct node_uv *n, struct channel *c, enum node_event_type type);
/* Ends a closing node when nothing of it is left. */
void finish(struct node_uv *n);

/* An event, with the time. Errors: ways_step's. */
int node_uv_step(struct node_uv *n, struct node_event *event);
void node_uv_drain(struct node_uv *n);
/* After a step that the application asked for. */
void drain_later(struct node_uv *n);

/* ways_uv.c: the effects of ways.h */

/* We listen there, from now on. */
void ways_uv_listening(struct node_uv *n, const struct address *a, uint16_t port);
/* Looks at the system's addresses, now and then. */
void ways_uv_tick(struct node_uv *n);
void ways_uv_try(struct node_uv *n, const struct node_effect *e);
void ways_uv_cancel(struct node_uv *n, uint64_t token);
void ways_uv_probe(struct node_uv *n, const struct node_effect *e);
/* Gives all probes up: closing. */
void ways_uv_close(struct node_uv *n);

/* listener_uv.c */

/* Takes connections that had to wait for memory. */
void listeners_retry(struct node_uv *n);
void listeners_close(struct node_uv *n);

#endif
