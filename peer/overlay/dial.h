/* In which order, and how soon after each other, the ways to a peer are tried: a core without I/O for one
 * attempt to reach one peer.
 *
 * Public addresses come first, then private ones where we live in the same network; each begins DIAL_STEP_MS
 * after the one before, or at once when nothing else is under way (RFC 8305, "happy eyeballs"). Then the
 * peer's relays, and last of all the coordinator as a relay. Whichever session opens first wins. */
#ifndef PEER_OVERLAY_DIAL_H
#define PEER_OVERLAY_DIAL_H

#include "peer/wire/record.h"

#define DIAL_STEP_MS  250u   /* between two addresses */
#define DIAL_RELAY_MS 1500u  /* how long the addresses are given before the first relay */
#define DIAL_LAST_MS  3000u  /* between two relays, and before the coordinator */
#define DIAL_TOTAL_MS 30000u /* then nobody is waited for any more */

enum dial_step {
	DIAL_WAIT = 0,	 /* nothing now */
	DIAL_DIRECT = 1, /* dial direct[index] */
	DIAL_RELAY = 2,	 /* open a circuit through relays[index] */
	DIAL_LAST = 3,	 /* open one through the coordinator */
	DIAL_OVER = 4,	 /* all have failed, or the time is up */
};

struct dial {
	struct endpoint direct[RECORD_ENDPOINTS_MAX];
	struct record_relay relays[RECORD_RELAYS_MAX];
	uint32_t direct_count, relay_count;
	uint32_t next;	  /* of all, in the order above */
	uint32_t pending; /* begun and not lost */
	uint64_t begun_ms;
	uint64_t next_ms; /* when the next one begins, if something is pending */
};

/* may: for each of the record's endpoints, whether we may dial it at all. */
void dial_begin(struct dial *d, uint64_t now_ms, const struct record *record,
	const bool may[RECORD_ENDPOINTS_MAX]);
/* What to do now; *index says with which. Ask until it says WAIT or OVER. */
enum dial_step dial_next(struct dial *d, uint64_t now_ms, uint32_t *index);
/* One that was begun has failed. */
void dial_lost(struct dial *d);
/* When dial_next may have more to say. */
uint64_t dial_wake_ms(const struct dial *d);

#endif
