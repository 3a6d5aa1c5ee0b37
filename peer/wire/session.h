/* One encrypted session between two nodes, as a pure state machine: bytes in, bytes and messages out.
 *
 * Preamble (clear): magic "talkoot" 0x00, major version and a bit that says whether the network is private,
 * network tag; repeated in the Noise prologue. Then Noise_XX_25519_ChaChaPoly_BLAKE2b, in private networks
 * XXpsk3; messages 2 and 3 carry each side's identity: its Ed25519 key, role, expiry and features with a
 * signature that binds them to the X25519 key and the network. Then
 * transport frames: u16 LE length, ciphertext. A message spans frames: the first byte of a frame's
 * plaintext says whether more of the same message follows. Rekey every 2^16 frames. */
#ifndef PEER_WIRE_SESSION_H
#define PEER_WIRE_SESSION_H

#include "peer/wire/messages.h"

#define WIRE_MAJOR	    1u
#define WIRE_MINOR	    1u
#define FEATURE_GOSSIP	    1u /* membership and broadcast */
#define FEATURE_SWARM	    2u /* serves blobs with proofs, knows HAVE, WHO, SOURCES and BUSY */
#define FEATURE_RELAY	    4u /* ways through NATs: OBSERVED, dial-backs, circuits */
#define FEATURE_HOST	    8u /* may be named as a host of the link */
#define WIRE_FEATURES	    (FEATURE_GOSSIP | FEATURE_SWARM | FEATURE_RELAY | FEATURE_HOST)
#define WIRE_PRIVATE	    0x80u /* of the preamble's version byte */
#define NETWORK_SECRET	    32u	  /* bytes */
#define FRAME_BYTES_MAX	    65535u
#define HANDSHAKE_FRAME_MAX 512u
#define IDENTITY_LIFETIME_S (30u * 24 * 3600)
#define REKEY_FRAMES	    65536u

enum role { ROLE_PEER = 1, ROLE_COORDINATOR = 2 };

/* The root key's word about another key. A coordinator's: it may speak as the network's coordinator, so that the root
 * key need not be wherever that serves, fields("talkoot serving key", network, key, expiry). A peer's: it is a
 * host of the network's links, fields("talkoot host", network, key, expiry), and nothing more. */
struct certificate {
	uint64_t expiry_s;
	struct signature signature;
};

/* Who we are. Borrowed by every session; must outlive them. */
struct identity {
	struct key_pair key; /* Ed25519, one per network */
	uint8_t x25519_secret[32];
	uint8_t x25519_public[32];
	enum role role;
	uint64_t features;	   /* what we announce: WIRE_FEATURES unless said */
	struct public_key network; /* the coordinator's root key */
	bool has_certificate;	   /* key serves for the root's; a peer's: is a host */
	struct certificate certificate;
	bool has_secret; /* the network is private */
	uint8_t secret[NETWORK_SECRET];
};

void identity_init(struct identity *id, const uint8_t ed25519_seed[32],
	const uint8_t x25519_secret[32], enum role role, const struct public_key *network);
/* The root's word for the key: a coordinator's is a serving key, a peer's a host. Holds for sessions from here on. */
void identity_set_certificate(struct identity *id, const struct certificate *certificate);
/* The network is private: only who knows its secret gets in. Copies it. */
void identity_set_secret(struct identity *id, const uint8_t secret[NETWORK_SECRET]);
void identity_wipe(struct identity *id);

enum session_state {
	SESSION_PREAMBLE = 1, /* waiting for the other side's preamble */
	SESSION_HANDSHAKE = 2,
	SESSION_OPEN = 3,
	SESSION_CLOSED = 4, /* reason says why; every later call is refused */
};

struct session; /* hides the keys */

/* Starts one side. The initiator's preamble and first handshake message are in the output at once.
 * ephemeral_secret: 32 fresh random bytes (copied, wiped when used). now_s: wall clock, for expiries.
 * expect: the initiator may demand the other side's identity key (NULL: any); a serving key stands for the
 * root's. NULL: out of memory. */
struct session *session_new(const struct identity *id, bool initiator,
	const uint8_t ephemeral_secret[32], uint64_t now_s, const struct public_key *expect);
void session_free(struct session *s); /* wipes */
/* Whoever demands the root's key takes a host, too; before the first bytes arrive. */
void session_take_hosts(struct session *s);

/* Takes all of the bytes that arrived. Any error closes the session: a flipped bit anywhere ends it.
 * Messages that are complete wait for session_next; ask it until TK_ENOENT before the next call, then
 * a session holds at most what one call brought, one frame and one message.
 * Errors: TK_EPROTO, TK_EAUTH, TK_ELIMIT, TK_EUNSUPPORTED (another major version), TK_ENOMEM; msg
 * says why (for the log). */
int session_receive(struct session *s, struct span in, struct errmsg *msg) TK_CHECKED;

/* The next whole message that arrived: TK_OK and *out (borrowed until the next call of any session
 * function), TK_ENOENT when there is none, or an error that closed the session. */
int session_next(struct session *s, struct message *out, struct errmsg *msg) TK_CHECKED;

/* Encrypts a message onto the output. Only when open. A message that the other side would refuse is
 * refused here, and the session goes on: one that breaks a limit, or belongs to a feature that the two do
 * not share. Errors: TK_EINVAL, TK_ELIMIT, TK_ENOMEM. */
int session_send(struct session *s, const struct message *m, struct errmsg *msg) TK_CHECKED;

/* What waits to be written to the transport, after a close too; consume what was taken. */
struct span session_output(const struct session *s);
void session_consume(struct session *s, size_t n);
/* Gives all of it away, without a copy; *out was empty. */
void session_take_output(struct session *s, struct bytes *out);

enum session_state session_state(const struct session *s);
/* The other side's identity, proven; NULL and 0 for a session that never opened. */
const struct public_key *session_peer(const struct session *s);
enum role session_peer_role(const struct session *s);
/* It was to be the coordinator or a host, and is a host: a peer, whatever it says. */
bool session_met_host(const struct session *s);
/* How far the other side's clock is ahead of ours, in seconds, as its identity tells, which is written as now +
 * IDENTITY_LIFETIME_S; from when the session began, so within the time of a handshake. 0 for one that never
 * opened. */
int64_t session_skew_s(const struct session *s);
/* The feature bits that both sides know. */
uint64_t session_features(const struct session *s);

#endif
