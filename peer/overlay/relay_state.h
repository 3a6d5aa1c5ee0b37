/* The insides of relay.h, shared by relay.c (sessions, questions, time) and relay_circuits.c (circuits). */
#ifndef PEER_OVERLAY_RELAY_STATE_H
#define PEER_OVERLAY_RELAY_STATE_H

#include "peer/overlay/relay.h"

#define NUMBER_INCOMING 1u
#define NUMBER_ACCEPTED 2u
#define SIDES		2u /* of a circuit: who opened it, its target */

/* A session that asked something. */
struct asker {
	conn_id conn;
	struct public_key key;
	uint64_t prefix;
	bool dialled;
	uint64_t reserved_ms; /* until then; 0: no reservation */
	uint32_t tokens;      /* questions that may be asked now */
	uint32_t refused;     /* beyond the tokens, in a row */
	uint64_t token_ms;    /* when the last token came */
	uint64_t stray;	      /* bytes that may still come for circuits that ended here */
	uint32_t circuits;    /* as either side */
	struct asker *next;
};

struct side {
	struct asker *asker; /* NULL: this place is free */
	uint32_t number;
	uint32_t credit; /* bytes that may still come from here */
	uint32_t owed;	 /* passed on, and not given back as credit yet */
};

struct relay_circuit {
	struct side sides[SIDES];
	bool open; /* the target has said OPENED */
	uint64_t since_ms;
	uint64_t used_ms; /* when it last carried something */
	uint64_t bytes;
};

struct relay {
	struct relay_config config;
	const struct way_port *port;
	struct asker *askers;
	struct relay_circuit *circuits; /* config.circuits of them */
	uint32_t number;		/* of the last INCOMING, in steps */
	struct relay_stats stats;
};

/* relay_circuits.c */

void relay_say(const struct relay *r, conn_id conn, const struct message *m);
/* By either end's number for it; gives which end's that is. NULL: there is none. */
struct relay_circuit *relay_circuit_find(
	const struct relay *r, conn_id conn, uint32_t number, size_t *side);
/* A free place. NULL: there is none. */
struct relay_circuit *relay_circuit_place(struct relay *r);
/* c is a free place; to is told. */
void relay_circuit_begin(struct relay *r, struct relay_circuit *c, struct asker *from,
	uint32_t number, struct asker *to, uint64_t now_ms);
/* Tells both ends, or the one that is not side, and forgets the circuit. */
void relay_circuit_close(struct relay *r, struct relay_circuit *c, enum relay_status status);
void relay_circuit_close_other(
	struct relay *r, struct relay_circuit *c, size_t side, enum relay_status status);
/* Gives back as credit what the other end has taken, unless that is less than least. */
void relay_credit(const struct relay *r, struct side *s, uint32_t least);
/* Is there a circuit's place for these two, by what each, its prefix and all have already? */
bool relay_has_room(const struct relay *r, const struct asker *from, const struct asker *to);
/* Somebody wants a place: those end that have carried nothing for long. A session that lives is never silent so
 * long. */
void relay_idle_end(struct relay *r, uint64_t now_ms);

#endif
