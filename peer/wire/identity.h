/* What each side says of itself inside the handshake, and how the other side checks it. */
#ifndef PEER_WIRE_IDENTITY_H
#define PEER_WIRE_IDENTITY_H

#include "peer/wire/session.h"

#define NETWORK_TAG_BYTES    8
#define IDENTITY_BYTES_MAX   256u
#define IDENTITY_SKEW_S	     600u /* how far a clock may be wrong */
#define IDENTITY_AHEAD_MAX_S (2u * IDENTITY_LIFETIME_S)

/* What the other side said, checked. */
struct identity_claim {
	uint32_t minor;
	uint64_t features; /* bits that we do not know are ignored */
	enum role role;
	struct public_key key;
	uint64_t expiry_s;
};

/* The first bytes of a digest of the root key: tells networks apart in the clear preamble. */
void network_tag(uint8_t out[NETWORK_TAG_BYTES], const struct public_key *network);

/* Appends our claim, signed, which holds until now_s + IDENTITY_LIFETIME_S. Errors: TK_ENOMEM. */
int identity_encode(const struct identity *id, uint64_t now_s, struct bytes *out) TK_CHECKED;

/* Reads and checks the other side's claim, which came with the static key x25519.
 * Errors: TK_EPROTO and TK_ELIMIT (malformed), TK_EAUTH (expired, too far ahead, a role that is not
 * its own, a signature that does not bind this key in this network). */
int identity_check(struct identity_claim *out, struct span in, const uint8_t x25519[32],
	const struct public_key *network, uint64_t now_s, struct errmsg *msg) TK_CHECKED;

#endif
