/* The insides of ways.h, shared by ways.c (the step), ways_port.c (how the cores inside act), ways_sift.c (the node's
 * effects), ways_dial.c (attempts to reach a peer, dials of punches),
 * ways_circuits.c (virtual connections) and ways_move.c (from a relayed session to a direct one). */
#ifndef PEER_OVERLAY_WAYS_STATE_H
#define PEER_OVERLAY_WAYS_STATE_H

#include "peer/overlay/circuits.h"
#include "peer/overlay/dial.h"
#include "peer/overlay/node_effects.h"
#include "peer/overlay/punch.h"
#include "peer/overlay/targets.h"
#include "peer/overlay/ways.h"

#define VIRTUAL	     (1ull << 63) /* of numbers that we give */
#define ATTEMPTS_MAX 8u

enum attempt_kind {
	ATTEMPT_FREE = 0,
	ATTEMPT_DIRECT,	 /* to the peer itself */
	ATTEMPT_CARRIER, /* to a relay; a circuit follows */
	ATTEMPT_CIRCUIT, /* through a relay */
	ATTEMPT_PUNCH,	 /* both dial */
};

struct attempt {
	enum attempt_kind kind;
	uint64_t token; /* of NODE_TRY; 0: answered, or none */
	conn_id conn;	/* of the node; 0: no transport yet */
	struct public_key expect;
	struct endpoint at; /* that was dialled; family 0: none was */
	uint64_t since_ms;
};

struct way {
	conn_id id;
	struct public_key peer;
	bool open;   /* UP was said */
	bool sought; /* the node's gossip wants it, not the application */
	bool lost;   /* UNREACHABLE is to be said */
	conn_id now; /* the node's connection that carries it; 0: none yet */
	bool relayed;
	enum node_worth worth; /* to the application, whatever carries it */
	struct dial dial;
	struct attempt attempts[ATTEMPTS_MAX];
	struct punch punch;

	/* Moving. next: the direct connection, chosen. */
	conn_id next;
	bool sent_end, got_end, may_send;
	struct bytes held; /* messages for next: le32 length, bytes */

	struct way *before, *after;
};

struct ways {
	struct ways_config config;
	struct node *node;
	struct reach *reach;
	struct relay *relay;
	struct circuits *circuits;
	struct way_port way_port;
	struct reach_port reach_port;
	struct node_effects inner; /* of the node and ours, in order */
	size_t done;		   /* of inner: seen to */
	struct way *first, *last;
	size_t count;
	conn_id numbers; /* given */
	uint64_t tokens;
	uint64_t secrets;
	uint64_t now_ms, now_s;
	bool record_unsaid;
	uint64_t punched;
	uint32_t punch_tokens;
	uint64_t punch_ms; /* when the last token came */
	struct targets targets;
	uint64_t held_back; /* of them, as told in the log */
	uint64_t held_ms;   /* when that was */
};

/* ways_port.c */
void ways_ports(struct ways *w); /* what the cores inside are given */
int ways_node_event(struct ways *w, struct node_event *event) TK_CHECKED;
void ways_say(struct ways *w, conn_id conn, const struct message *m);
void ways_accuse(struct ways *w, conn_id conn, const char *why);
void ways_end(struct ways *w, conn_id conn, uint32_t reason, const char *why);
void ways_log(struct ways *w, const char *format, ...) TK_PRINTF(2, 3);
/* A line that says how a peer is reached, for whoever compares ways. */
void ways_tell(struct ways *w, const struct way *way, const char *how);
/* The node signs our record and tells others. */
void ways_advertise(struct ways *w);

/* ways.c */
conn_id ways_number(struct ways *w);
/* 32 bytes that nobody can know. */
void ways_secret(struct ways *w, uint8_t out[32]);
struct way *way_new(struct ways *w);
void way_free(struct ways *w, struct way *way);
struct way *way_by_id(const struct ways *w, conn_id id);
/* The way that conn carries, now or next. */
struct way *way_by_conn(const struct ways *w, conn_id conn);

/* ways_sift.c: true when the effect goes on to the application. */
bool way_sift(struct ways *w, struct node_effect *e);

/* ways_dial.c */
struct way *attempt_by_conn(const struct ways *w, conn_id conn, struct attempt **out);
struct way *attempt_by_token(const struct ways *w, uint64_t token, struct attempt **out);
/* An attempt's transport is up: whom the node is to expect, and how. */
void attempt_connected(const struct way *way, struct attempt *a, struct node_event *event);
/* It came to nothing. */
void attempt_failed(struct ways *w, struct way *way, struct attempt *a);
/* Its session is open. True: that is the way's, and UP goes to the application. */
bool attempt_up(struct ways *w, struct way *way, struct attempt *a);
/* Gives up all attempts but the one on this connection. */
void attempts_cancel(struct ways *w, struct way *way, conn_id but);
/* Begins to look for the record's peer. */
void way_begin(struct ways *w, struct way *way, const struct record *record);
/* The node's own wish to reach a peer. */
void way_seek(struct ways *w, const struct record *record);
void way_dial_tick(struct ways *w, struct way *way);
/* An accepted transport from there may be a punch's: the way, and a free attempt for it. */
struct way *punch_expecting(struct ways *w, const struct endpoint *from, struct attempt **out);
void punch_dial(struct ways *w, struct way *way);
/* Says now and then that dials were held back. */
void ways_tell_held_back(struct ways *w);

/* ways_circuits.c */
void ways_relay_message(struct ways *w, conn_id conn, const struct message *m);
void ways_carrier_down(struct ways *w, conn_id conn);
void ways_circuits_tick(struct ways *w);
/* Bytes that the node writes to a virtual connection, and its end. False: conn is none. */
bool ways_virtual_write(struct ways *w, conn_id conn, struct span bytes);
bool ways_virtual_close(struct ways *w, conn_id conn);

/* ways_move.c */
void way_punch_act(struct ways *w, struct way *way, enum punch_act act);
void way_direct_up(struct ways *w, struct way *way, conn_id conn);
/* PUNCH, PUNCH_GO and MOVED on conn. */
void way_message(struct ways *w, conn_id conn, const struct message *m);
/* True: conn is over, but the way goes on. */
bool way_survives(struct ways *w, struct way *way, conn_id conn);
/* The application's message: where it goes, or kept. */
int way_send(struct ways *w, struct way *way, const struct message *m) TK_CHECKED;
/* True: a message of the application may come on conn now. */
bool way_may_hear(const struct way *way, conn_id conn);

#endif
