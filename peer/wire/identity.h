/* What each side says of itself inside the handshake, and how the other side checks it. */
#ifndef PEER_WIRE_IDENTITY_H
#define PEER_WIRE_IDENTITY_H

#include "peer/wire/session.h"

#define NETWORK_TAG_BYTES    8
#define IDENTITY_BYTES_MAX   256u
#define SERVING_LIFETIME_S   (90u * 24 * 3600)
#define SERVING_AHEAD_MAX_S  (2u * SERVING_LIFETIME_S)
#define HOST_LIFETIME_S	     (90u * 24 * 3600)
#define HOST_AHEAD_MAX_S     (2u * HOST_LIFETIME_S)
#define HOST_SPARE_S	     (24u * 3600) /* its last day is not shown: others' clocks differ */
#define IDENTITY_SKEW_S	     600u	  /* how far a clock may be wrong */
#define IDENTITY_AHEAD_MAX_S (2u * IDENTITY_LIFETIME_S)

/* What the other side said, checked. */
struct identity_claim {
	uint32_t minor;
	uint64_t features; /* bits that we do not know are ignored */
	enum role role;
	bool host; /* a peer with the root's word that it is a host of the network's links */
	struct public_key key;
	uint64_t expiry_s;
};

/* The first bytes of a digest of the root key: tells networks apart in the clear preamble. A private one's
 * secret goes into it as well, so that who has another secret learns that at once; NULL: it is not private. */
void network_tag(uint8_t out[NETWORK_TAG_BYTES], const struct public_key *network,
	const uint8_t secret[NETWORK_SECRET]);

/* Signs for a serving key, from now_s on for SERVING_LIFETIME_S. */
void serving_sign(struct certificate *out, const struct key_pair *root,
	const struct public_key *serving, uint64_t now_s);
/* Errors: TK_EAUTH (expired, too far ahead, not signed by the network's root key for this key). */
int serving_check(const struct certificate *c, const struct public_key *network,
	const struct public_key *serving, uint64_t now_s, struct errmsg *msg) TK_CHECKED;

/* Signs that a peer is a host of the network's links, from now_s on for HOST_LIFETIME_S. */
void host_sign(struct certificate *out, const struct key_pair *root, const struct public_key *peer,
	uint64_t now_s);
/* Errors: as serving_check's. Neither certificate is ever taken for the other. */
int host_check(const struct certificate *c, const struct public_key *network,
	const struct public_key *peer, uint64_t now_s, struct errmsg *msg) TK_CHECKED;

/* Appends our claim, signed, which holds until now_s + IDENTITY_LIFETIME_S. A peer shows no certificate that ends
 * within HOST_SPARE_S: it is a peer like others then. Errors: TK_ENOMEM. */
int identity_encode(const struct identity *id, uint64_t now_s, struct bytes *out) TK_CHECKED;

/* Reads and checks the other side's claim, which came with the static key x25519.
 * A coordinator is whoever has the root key, or a serving key with a certificate; a host is a peer with one.
 * Errors: TK_EPROTO and TK_ELIMIT (malformed), TK_EAUTH (expired, too far ahead, a role that is not
 * its own, a signature that does not bind this key in this network). */
int identity_check(struct identity_claim *out, struct span in, const uint8_t x25519[32],
	const struct public_key *network, uint64_t now_s, struct errmsg *msg) TK_CHECKED;

#endif
