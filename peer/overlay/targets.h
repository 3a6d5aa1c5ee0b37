/* How often this node dials where others have told it to: records and punches may name any address, so that without
 * a bound a few lies, told to a whole network, would turn it against somebody who has nothing to do with it.
 *
 * A global host is dialled TARGETS_BURST times, then once in TARGETS_DIAL_MS, whatever the ports and whoever names
 * it. An address of a record where no connection came about is left alone for a while, longer each time. That
 * somebody else answered there is no reason: false records would keep us from whoever lives there. And where a peer
 * was found at its address, it is looked for again whatever others have said of its host. Who has been seen longest
 * ago is forgotten when a table is full; if it had used up its dials, the next one begins with one. A fixed amount
 * of memory, no clock of its own. Links' hosts are not counted: the volunteer has named them. */
#ifndef PEER_OVERLAY_TARGETS_H
#define PEER_OVERLAY_TARGETS_H

#include "peer/wire/endpoint.h"
#include "tasks/base/key.h"

#define TARGETS_MAX	    128u
#define TARGETS_BURST	    12u
#define TARGETS_DIAL_MS	    5000u
#define TARGETS_WAIT_MS	    10000u  /* after the first failure; doubled each time … */
#define TARGETS_WAIT_MAX_MS 600000u /* … up to this */

struct target {
	struct endpoint at; /* family 0: free. Of a host: port 0 */
	uint64_t seen_ms;
	uint64_t since_ms;	 /* a host: when the last dial came back; an address: not before */
	uint32_t left;		 /* a host: dials */
	uint32_t failures;	 /* an address */
	struct public_key found; /* an address without failures: who was met there */
};

struct targets {
	struct target hosts[TARGETS_MAX];
	struct target addresses[TARGETS_MAX];
	uint64_t held_back; /* dials, as their host had been dialled often; since the start */
};

/* May the host be dialled now? True: that is counted. */
bool targets_take(struct targets *t, uint64_t now_ms, const struct endpoint *at);
/* The same for an address out of the record of that peer: no connection may have failed there lately. */
bool targets_take_record(struct targets *t, uint64_t now_ms, const struct endpoint *at,
	const struct public_key *peer);
/* No connection came about. */
void targets_failed(struct targets *t, uint64_t now_ms, const struct endpoint *at);
/* A session with that peer has come up there. */
void targets_good(struct targets *t, uint64_t now_ms, const struct endpoint *at,
	const struct public_key *peer);

#endif
