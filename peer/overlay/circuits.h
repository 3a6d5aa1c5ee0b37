/* An end's side of circuits (relay.h is the middle): a table of virtual transports. What the node writes to
 * one leaves as RELAY_DATA on the session with the relay, its *carrier*, as far as the credit goes, and
 * waits here beyond; what comes as RELAY_DATA is for the virtual connection of that number. A core without
 * I/O. Nothing that a relay sends is believed: numbers that are not in use, more credit than there can be
 * and second answers are accusations. */
#ifndef PEER_OVERLAY_CIRCUITS_H
#define PEER_OVERLAY_CIRCUITS_H

#include "peer/overlay/way_port.h"

#define CIRCUITS_MAX 64u /* ends of one node */

struct circuit {
	conn_id conn;	 /* the virtual connection */
	conn_id carrier; /* the session with the relay */
	uint32_t number;
	struct public_key
		peer; /* at the other end, as the relay says; the handshake inside proves it */
	bool opener;
	bool open;
	uint32_t credit;
	struct bytes queue; /* beyond the credit */
	uint64_t since_ms;
};

struct circuits;

/* Borrows port. NULL: out of memory. */
struct circuits *circuits_new(const struct way_port *port);
void circuits_free(struct circuits *c);

/* Asks the relay at the end of carrier for a circuit to peer. dialled: we dialled the carrier. Errors:
 * TK_ELIMIT. */
int circuits_open(struct circuits *c, conn_id conn, conn_id carrier, bool dialled,
	const struct public_key *peer, uint64_t now_ms) TK_CHECKED;
/* INCOMING came on carrier: takes it and answers. Errors: TK_ELIMIT, TK_EPROTO (the number), both
 * answered. */
int circuits_accept(struct circuits *c, conn_id conn, conn_id carrier, bool dialled,
	const struct message_relay_incoming *m, uint64_t now_ms) TK_CHECKED;

/* The circuit of a virtual connection, and of a number on a carrier; NULL: none. Good until the next
 * open, accept or end. */
struct circuit *circuits_find(struct circuits *c, conn_id conn);
struct circuit *circuits_numbered(struct circuits *c, conn_id carrier, uint32_t number);
/* The first one that this carrier carries; NULL: none. */
struct circuit *circuits_carried(struct circuits *c, conn_id carrier);
size_t circuits_count(const struct circuits *c);
/* The i-th of them. */
struct circuit *circuits_at(struct circuits *c, size_t i);

/* Sends bytes, now or when credit comes. Errors: TK_ENOMEM. */
int circuits_write(struct circuits *c, struct circuit *end, struct span bytes) TK_CHECKED;
/* RELAY_CREDIT came: sends more. Errors: TK_EPROTO (more than there can be). */
int circuits_credit(struct circuits *c, struct circuit *end, uint32_t bytes) TK_CHECKED;

/* Forgets the circuit; tell: the relay is told. What is queued goes out first as far as credit allows. */
void circuits_end(struct circuits *c, struct circuit *end, bool tell);
/* A message for a number that is not in use: true while it may have crossed our end. */
bool circuits_stray(struct circuits *c, conn_id carrier, const struct message *m);

#endif
