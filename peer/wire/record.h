/* The peer record: who a peer is and where it can be reached, signed by itself, good until it expires.
 * Records are what peers pass on about each other, so nobody can be advertised at an address that it did
 * not claim, and none outlives its owner for long. */
#ifndef PEER_WIRE_RECORD_H
#define PEER_WIRE_RECORD_H

#include "peer/wire/endpoint.h"
#include "tasks/base/key.h"

#define RECORD_BYTES_MAX     512u
#define RECORD_ENDPOINTS_MAX 4u
#define RECORD_RELAYS_MAX    2u
#define RECORD_LIFETIME_S    (6u * 3600) /* what we write */
/* Between the two a record is ignored: clocks differ, and who has kept one that is absurd by another's clock must not
 * be taken for its author. No two clocks by which nodes take part at all are so far apart. */
#define RECORD_KEPT_AHEAD_S (12u * 3600) /* what we keep and pass on */
#define RECORD_AHEAD_MAX_S  (24u * 3600) /* beyond: whoever sends it breaks a rule */
#define RECORD_SKEW_S	    600u

enum record_flag {
	RECORD_PUBLIC = 1, /* strangers can dial it: a dial-back has shown it */
	RECORD_RELAY = 2,  /* it relays for others */
};
#define RECORD_FLAGS_ALL 3u

/* Somebody through whom the peer can be reached. */
struct record_relay {
	struct public_key key;
	struct endpoint at;
};

struct record {
	struct public_key key;
	uint32_t flags;
	uint64_t sequence; /* of two records of one peer, the higher one counts */
	uint64_t expiry_s; /* Unix seconds */
	uint32_t endpoint_count;
	struct endpoint endpoints[RECORD_ENDPOINTS_MAX];
	uint32_t relay_count;
	struct record_relay relays[RECORD_RELAYS_MAX];
};

/* Appends r, signed: [1, key, flags, sequence, expiry, endpoints, relays, signature]; the signature covers
 * fields("talkoot record", network, everything before it). r->key is pair's. Errors: TK_ENOMEM. */
int record_encode(const struct record *r, const struct key_pair *pair,
	const struct public_key *network, struct bytes *out) TK_CHECKED;

#define RECORD_ANY_AGE 0u /* as now_s: an expired record may still tell where to try */

/* Reads a record and checks its signature (36 to 55 µs) and its expiry against now_s.
 * Errors: TK_EPROTO and TK_ELIMIT (malformed, or absurdly far ahead), TK_EINVAL (expired, or too far ahead to be
 * kept), TK_EAUTH (the signature). */
int record_decode(struct record *out, struct span in, const struct public_key *network,
	uint64_t now_s, struct errmsg *msg) TK_CHECKED;

#endif
