/* The node's libuv shell: TCP, timers, randomness and the clock. Decides nothing. */
#ifndef PEER_OVERLAY_NODE_UV_H
#define PEER_OVERLAY_NODE_UV_H

#include "peer/overlay/node.h"

struct uv_loop_s;
struct node_uv;
struct reach;
struct ways_stats;

/* What the application hears. All run on the loop's thread, in the order in which things happened,
 * and never from within a call of a node_uv function: each may call any of them but node_uv_free.
 * Every dial is answered by one up or one dial_failed; every up is followed by one down. */
struct node_handler {
	void *context;
	void (*up)(void *context, conn_id conn, const struct public_key *key, enum role role);
	void (*down)(void *context, conn_id conn, const char *why);
	void (*message)(void *context, conn_id conn, const struct message *m);
	void (*dial_failed)(void *context, conn_id conn, const char *why); /* before UP */
	void (*log)(void *context, const char *line);
	void (*writable)(void *context, conn_id conn); /* NODE_WRITABLE; may be NULL */
	/* Just before down, when the other side said GOODBYE: enum goodbye_reason; may be NULL. */
	void (*farewell)(void *context, conn_id conn, uint32_t reason, const char *text);
	/* Just before dial_failed, when the other side took the connection and ended it without a word, as a node
	 * does that is full; may be NULL. */
	void (*turned_away)(void *context, conn_id conn);
	/* Just before down, when we gave its place to another; may be NULL. */
	void (*released)(void *context, conn_id conn);
	/* NODE_OBSERVED: whom we dialled sees us come from there; may be NULL. */
	void (*observed)(void *context, conn_id conn, const struct endpoint *at);
	/* Just before up of a session that the node dialled by itself because `old` was a day old: conn stands
	 * for it, and down of old follows. What was on its way through old may be lost. NULL: sessions are not
	 * renewed. */
	void (*renewed)(void *context, conn_id old, conn_id conn);
	/* An announcement of the network's root that is new to us; may be NULL. */
	void (*announced)(void *context, const struct announcement *a);
	/* No beacon came for too long: dial whoever is known. May be NULL. */
	void (*isolated)(void *context);
};

/* Takes part in gossip from here on, before the first session. Sessions that gossip needs come and go by
 * themselves: up and down tell of them too. Errors: TK_ENOMEM. */
int node_uv_gossip(struct node_uv *n) TK_CHECKED;
/* The coordinator: an announcement that the root has signed, to everybody, now and when they come later.
 * Errors: TK_EPROTO, TK_EAUTH (it is none, or the signature is not the root's), TK_ELIMIT, TK_ENOMEM. */
int node_uv_publish(
	struct node_uv *n, struct span encoded, const struct signature *signature) TK_CHECKED;
/* node_good_peers(), node_neighbour_count(). */
size_t node_uv_good_peers(const struct node_uv *n, struct span *records, size_t max);
size_t node_uv_neighbours(const struct node_uv *n);
/* node_record(). */
bool node_uv_record(const struct node_uv *n, const struct public_key *key, struct span *encoded,
	struct record *record);

/* Borrows loop, id and handler; they must outlive the node. Ignores SIGPIPE from here on, in the whole
 * process: libuv does not. NULL: out of memory. */
struct node_uv *node_uv_new(
	struct uv_loop_s *loop, const struct identity *id, const struct node_handler *handler);

/* Listens on "ADDR:PORT" (IPv6 in brackets; port 0: any). *port gets the real one. Errors with a
 * sentence: TK_EINVAL, TK_EBUSY (address in use), TK_EIO, TK_ENOMEM. */
int node_uv_listen(
	struct node_uv *n, const char *address, uint16_t *port, struct errmsg *msg) TK_CHECKED;

/* Dials "HOST:PORT": names are resolved and every address is tried in turn. up or dial_failed follows,
 * never from within this call. Errors with a sentence: TK_EINVAL, TK_ELIMIT (too many connections),
 * TK_ENOMEM, TK_ECANCELED (after node_uv_close). */
int node_uv_dial(struct node_uv *n, const char *address, const struct public_key *expect,
	conn_id *conn, struct errmsg *msg) TK_CHECKED;

/* The same to a host of the link: the network's coordinator, or a peer with the root's word that it is a host (role
 * ROLE_PEER), which gossip takes for a way in; such a session is gossip's to end. */
int node_uv_dial_link(struct node_uv *n, const char *address, const struct public_key *network,
	conn_id *conn, struct errmsg *msg) TK_CHECKED;

/* Opens a session with the peer that the record describes, by whatever way leads there. Answered as a
 * dial is. Errors with a sentence: TK_ENOENT (the record names no address), and node_uv_dial's. */
int node_uv_connect(struct node_uv *n, const struct record *record, conn_id *conn,
	struct errmsg *msg) TK_CHECKED;

/* Does a relay carry this session now? What the node knows of its reachability, and of its ways. */
bool node_uv_is_relayed(const struct node_uv *n, conn_id conn);
const struct reach *node_uv_reach(const struct node_uv *n);
void node_uv_ways(const struct node_uv *n, struct ways_stats *out);
/* A router maps `at` to our port; NULL: none does. */
void node_uv_mapped(struct node_uv *n, const struct endpoint *at);

/* Queues a message. TK_ENOENT when the session is over (harmless); TK_EINVAL, TK_ELIMIT: the message
 * breaks a limit; TK_ENOMEM: the session ends. */
int node_uv_send(struct node_uv *n, conn_id conn, const struct message *m) TK_CHECKED;
/* Says goodbye and closes; also gives up a dial. down or dial_failed follows. */
void node_uv_drop(struct node_uv *n, conn_id conn, uint32_t reason, const char *text);

/* Renews a session that we dialled now, as the node does by itself after a day: `renewed` follows, or
 * nothing when that fails. */
void node_uv_renew(struct node_uv *n, conn_id conn);

/* Says goodbye to all, closes every handle; `closed` runs when the loop holds nothing of ours, then
 * node_uv_free may be called (from within `closed` too). Again while it closes: nothing happens. */
void node_uv_close(struct node_uv *n, uint32_t reason, const char *text,
	void (*closed)(void *context), void *context);
void node_uv_free(struct node_uv *n);

/* node_value(). */
void node_uv_value(struct node_uv *n, conn_id conn, enum node_worth worth);
/* node_limit_connections(), within what the system allows. Before node_uv_listen. */
void node_uv_limit(struct node_uv *n, size_t count);

size_t node_uv_sessions(const struct node_uv *n);

/* Where the session's transport comes from or leads. False: a relay carries it, it is over, or nobody knows. */
bool node_uv_remote(const struct node_uv *n, conn_id conn, struct endpoint *out);

/* The feature bits that both sides know: session_features(); 0: the session is over. */
uint64_t node_uv_features(const struct node_uv *n, conn_id conn);

/* How far the other side's clock is ahead of ours, in seconds: session_skew_s(). */
int64_t node_uv_skew_s(const struct node_uv *n, conn_id conn);
/* node_waiting(), node_rtt_ms(), node_prefix(). */
uint64_t node_uv_prefix(const struct node_uv *n, conn_id conn);
size_t node_uv_waiting(const struct node_uv *n, conn_id conn);
uint32_t node_uv_rtt_ms(const struct node_uv *n, conn_id conn);

#endif
