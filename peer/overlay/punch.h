/* One side of a TCP hole punch (libp2p's DCUtR: Seemann, Inden, Vyzovitis, "Decentralized Hole Punching",
 * 2022), as a core without I/O: over a relayed session both sides tell their addresses, measure the round
 * trip and dial each other at the same moment, each from the port on which it listens, so that each router
 * takes the other side's first packet for an answer.
 *
 * The side that opened the circuit leads: PUNCH → PUNCH → PUNCH_GO, then it dials half a round trip later,
 * when the other one, who dials at PUNCH_GO, does. It is the initiator of the direct session's handshake,
 * whichever side's packet came through first. Up to PUNCH_TRIES times; then the session stays relayed. */
#ifndef PEER_OVERLAY_PUNCH_H
#define PEER_OVERLAY_PUNCH_H

#include "peer/wire/messages.h"

#define PUNCH_TRIES 3u
#define PUNCH_ANSWER_MS                                                                            \
	10000u /* the other side's PUNCH, or PUNCH_GO, comes within, unless a pulse knows better */
#define PUNCH_DIAL_MS  5000u /* and a dial gets through within, or never */
#define PUNCH_PAUSE_MS 2000u /* between two tries */

enum punch_state {
	PUNCH_IDLE = 0, /* the side that follows waits here */
	PUNCH_ASKED,	/* ours is sent, or answered: the other's PUNCH, or PUNCH_GO, is awaited */
	PUNCH_WAITING,	/* PUNCH_GO is sent: half a round trip */
	PUNCH_DIALLING,
	PUNCH_PAUSED,
	PUNCH_DONE, /* through */
	PUNCH_OVER, /* tried in vain */
};

enum punch_act {
	PUNCH_NOTHING = 0,
	PUNCH_ASK = 1,	  /* send PUNCH with this nonce and our addresses */
	PUNCH_START = 2,  /* send PUNCH_GO with this nonce */
	PUNCH_DIAL = 3,	  /* dial every address of the other side */
	PUNCH_CANCEL = 4, /* give up these dials */
	PUNCH_BROKEN = 5, /* the other side broke a rule */
};

struct punch {
	bool leads;
	enum punch_state state;
	uint32_t tries;
	uint64_t nonce;
	uint64_t since_ms;
	uint64_t go_ms;	    /* when to dial, of WAITING */
	uint32_t answer_ms; /* how long an answer of the relayed session may take; 0: not known */
	struct endpoint at[PUNCH_ADDRESSES_MAX];
	uint32_t count;
	bool came; /* a connection has been taken for this try's */
};

/* At the moment when the relayed session opens. The side that leads has something to do at once. */
void punch_begin(struct punch *p, bool leads, uint64_t now_ms);
/* PUNCH came. */
enum punch_act punch_on_punch(struct punch *p, uint64_t now_ms, const struct message_punch *m);
/* PUNCH_GO came. */
enum punch_act punch_on_go(struct punch *p, uint64_t now_ms, const struct message_punch_go *m);
/* punch_wake_ms has come, or any other moment. */
enum punch_act punch_tick(struct punch *p, uint64_t now_ms);
/* UINT64_MAX: never. */
uint64_t punch_wake_ms(const struct punch *p);
/* A direct session is open: no more tries. */
void punch_done(struct punch *p);

/* True while a connection from there is this punch's: its host is one of the other side's, now is when both
 * dial, and none has come for this try yet. The port may be any: the other side's router chooses. A host that the
 * other side names need not be its own, so one connection is all that it can claim. */
bool punch_expects(const struct punch *p, const struct endpoint *from);
/* One was taken for it. */
void punch_came(struct punch *p);

#endif
