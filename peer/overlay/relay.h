/* A relay's side of circuits, as a core without I/O: it passes bytes between two peers who cannot dial each
 * other, and learns nothing of them, since what travels inside is a session of its own, end to end
 * (circuit relay v2 of libp2p is the model; PROTOCOL.md, "Ways through NATs", has the limits).
 *
 * A peer that strangers cannot dial *reserves* a place. Whoever wants to reach it *opens* a circuit by its
 * key: OPEN → INCOMING → OPENED → OPENED; then DATA both ways until either end, the quota or a lost session
 * closes it. Memory: each end may have RELAY_WINDOW bytes under way; it gets CREDIT for more while little waits
 * for the other end, so a slow end costs at most NODE_OUTPUT_LOW and a window for each circuit that leads to
 * it, and an end that sends beyond its credit is accused. The relay never dials anybody. */
#ifndef PEER_OVERLAY_RELAY_H
#define PEER_OVERLAY_RELAY_H

#include "peer/overlay/way_port.h"

#define RELAY_RESERVATIONS	      16u
#define RELAY_CIRCUITS		      32u
#define RELAY_RESERVATIONS_ROOT	      256u /* of a coordinator */
#define RELAY_CIRCUITS_ROOT	      128u
#define RELAY_CIRCUITS_PER_PEER	      8u /* that one session opened, or that lead to one reservation */
#define RELAY_RESERVATIONS_PER_PREFIX 4u /* for global addresses: a Sybil does not fill the relay */
#define RELAY_PREFIX_SHARE	      4u /* a prefix has this part of the circuits, once few are left */
#define RELAY_IDLE_MS		      90000u   /* without data: ends when somebody wants a place */
#define RELAY_RESERVATION_MS	      3600000u /* renewed by asking again */
#define RELAY_CIRCUIT_BYTES	      (128ull << 20) /* both ways together */
#define RELAY_CIRCUIT_MS	      1800000u
#define RELAY_OPENING_MS	      10000u /* the target answers INCOMING within this */
#define RELAY_ASK_MS		      2000u /* one question (OPEN, RESERVE) in so long, per session … */
#define RELAY_ASK_BURST		      16u /* … after so many at once; */
#define RELAY_ASK_ABUSE		      64u /* so many refused ones beyond are abuse */

struct relay_config {
	bool serve; /* false: everything is refused */
	uint32_t reservations, circuits;
	uint64_t circuit_bytes;
	uint64_t circuit_ms;
};
/* The values above, serving. */
void relay_config_default(struct relay_config *out);

struct relay;

/* Borrows port. NULL: out of memory. */
struct relay *relay_new(const struct relay_config *config, const struct way_port *port);
void relay_free(struct relay *r);
/* Whether it serves from now on; circuits that are open go on. */
void relay_serve(struct relay *r, bool serve);

/* Numbers of circuits: bit 0 is clear for those that OPEN names, set for INCOMING's; bit 1 is clear when who
 * dialled the session chose the number, set when the other did. So one session can carry circuits of both
 * sides' and in both roles, and each number says which it is. True: we are the relay of it. */
bool relay_serves_number(uint32_t number, bool dialled);

/* One of RELAY_RESERVE and RELAY_OPEN, or an OPENED, DATA or CLOSE whose number relay_serves_number. dialled:
 * that session was dialled by us. prefix: of endpoint_prefix, 0 for addresses that are not global. */
void relay_message(struct relay *r, uint64_t now_ms, conn_id conn, bool dialled,
	const struct public_key *from, uint64_t prefix, const struct message *m);

/* The session is over: its reservation and circuits are, too. */
void relay_down(struct relay *r, uint64_t now_ms, conn_id conn);
/* What waited for conn has gone out: credit for those who send to it. */
void relay_writable(struct relay *r, conn_id conn);
/* Every second: what has run out ends. */
void relay_tick(struct relay *r, uint64_t now_ms);

/* Those that carry a circuit here, or have a place reserved. */
void relay_each(const struct relay *r, void (*each)(void *context, conn_id conn), void *context);

struct relay_stats {
	uint32_t reservations, circuits;
	uint64_t bytes;	  /* passed on since the start */
	uint64_t refused; /* questions, for want of places or quota */
};
void relay_stats(const struct relay *r, struct relay_stats *out);

#endif
