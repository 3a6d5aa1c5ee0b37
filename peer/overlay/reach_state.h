/* The insides of reach.h, shared by reach.c (candidates, dial-backs that we ask for), reach_serve.c (those
 * that others ask for), reach_relays.c (places at relays) and reach_record.c (what we say about ourselves). */
#ifndef PEER_OVERLAY_REACH_STATE_H
#define PEER_OVERLAY_REACH_STATE_H

#include "peer/overlay/reach.h"

enum place { PLACE_NONE = 0, PLACE_ASKED, PLACE_HELD, PLACE_REFUSED };

/* A direct session. */
struct reach_session {
	conn_id conn;
	struct public_key key;
	enum role role;
	struct endpoint remote; /* family 0: not known */
	struct endpoint seen;	/* where the other side sees us; family 0: not told */
	bool dialled, from_port;
	uint64_t asked; /* nonce of our DIAL_BACK that is not answered; 0: none */
	enum place place;
	uint64_t place_ms;     /* since when */
	uint32_t probe_tokens; /* that it may ask of us */
	uint64_t probe_ms;     /* when the last token came */
	struct reach_session *next;
};

enum source { SOURCE_SEEN = 1, SOURCE_MAPPED = 2, SOURCE_LOCAL = 4 };

/* Where we may be reachable. */
struct candidate {
	struct endpoint at;
	unsigned sources; /* enum source */
	bool stands;	  /* others have dialled it */
	bool tested;	  /* a round is over */
	uint64_t nonce;	  /* of the round's first question; 0: no round is on */
	uint32_t asked, answered, yes;
	uint64_t yes_prefix; /* the first who said yes */
	bool quorum;
	bool stranger;	   /* one who said yes had not been called from our port */
	uint64_t round_ms; /* when the round began */
	uint64_t next_ms;  /* when the next one does */
	uint32_t failures;
};

/* A dial-back that we do for somebody. */
struct probe {
	uint64_t token; /* 0: free */
	conn_id conn;
	uint64_t nonce;
};

struct reach {
	struct reach_config config;
	const struct reach_port *port;
	struct reach_session *sessions;
	uint16_t listening; /* 0: not */
	struct endpoint locals[REACH_LOCALS_MAX];
	size_t local_count;
	struct candidate candidates[REACH_CANDIDATES_MAX];
	size_t candidate_count;
	uint64_t nonce;
	uint64_t first_ms;    /* when the first session came; 0: none did */
	uint64_t unplaced_ms; /* since when we have wanted a relay and had none; 0: we don't */
	enum endpoint_scope widest; /* of those whom we met */

	struct probe probes[REACH_PROBES_MAX];
	uint64_t token;

	struct record record;
	bool said; /* the record has been given out */
	char why[TEXT_MAX];
};

struct reach_session *reach_session(const struct reach *r, conn_id conn);
void reach_say(const struct reach *r, conn_id conn, const struct message *m);

/* A candidate, found or added. May be refused for want of room. */
void reach_candidate(struct reach *r, const struct endpoint *at, enum source source);
bool reach_same_host(const struct endpoint *a, const struct endpoint *b);

/* reach_serve.c */
void reach_serve(struct reach *r, uint64_t now_ms, struct reach_session *s,
	const struct message_dial_back *m);
void reach_serve_down(struct reach *r, conn_id conn);
/* reach_relays.c */
void reach_reserved(struct reach *r, uint64_t now_ms, struct reach_session *s,
	const struct message_relay_reserved *m);
void reach_relays_tick(struct reach *r, uint64_t now_ms);
/* reach_record.c */
void reach_record_tick(struct reach *r);

#endif
