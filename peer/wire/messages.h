/* Every message and every limit, on one page. PROTOCOL.md is the prose.
 *
 * A message is a MessagePack array [type, fields…]; it travels as one or more Noise frames inside a
 * session. Decoding checks every limit before anything is copied. Spans borrow from the input. */
#ifndef PEER_WIRE_MESSAGES_H
#define PEER_WIRE_MESSAGES_H

#include "tasks/unit/unit.h"

#define MESSAGE_BYTES_MAX (128u << 10)	    /* one message, decrypted */
#define BLOB_PART_MAX	  (64u << 10)	    /* bytes of a blob in one message */
#define BLOB_BYTES_MAX	  PAYLOAD_BYTES_MAX /* of parameters, states and payloads, too */
#define TEXT_MAX	  256u
#define MERKLE_STEPS_MAX  32u

#define MESSAGES(X)                                                                                \
	X(MESSAGE_PING, ping, 1)                                                                   \
	X(MESSAGE_PONG, pong, 2)                                                                   \
	X(MESSAGE_GOODBYE, goodbye, 3)                                                             \
	X(MESSAGE_BLOB_GET, blob_get, 16)                                                          \
	X(MESSAGE_BLOB_PART, blob_part, 17)                                                        \
	X(MESSAGE_BLOB_MISSING, blob_missing, 18)                                                  \
	X(MESSAGE_WORK_REQUEST, work_request, 32)                                                  \
	X(MESSAGE_NO_WORK, no_work, 33)                                                            \
	X(MESSAGE_LEASE, lease, 34)                                                                \
	X(MESSAGE_COMMIT, commit, 35)                                                              \
	X(MESSAGE_COMMITTED, committed, 36)                                                        \
	X(MESSAGE_REVEAL_REQUEST, reveal_request, 37)                                              \
	X(MESSAGE_REVEAL, reveal, 38)                                                              \
	X(MESSAGE_UPLOAD_REQUEST, upload_request, 39)                                              \
	X(MESSAGE_UPLOAD, upload, 40)                                                              \
	X(MESSAGE_UPLOADED, uploaded, 41)                                                          \
	X(MESSAGE_SETTLED, settled, 42)                                                            \
	X(MESSAGE_ABANDON, abandon, 43)

enum message_type {
#define X(name, member, number) name = number,
	MESSAGES(X)
#undef X
};

/* Either way, any time: is the other side there? */
struct message_ping {
	uint64_t token;
};
struct message_pong {
	uint64_t token; /* the ping's */
};

enum goodbye_reason {
	GOODBYE_SHUTDOWN = 1, /* come back later */
	GOODBYE_PROTOCOL = 2, /* you broke the protocol; text says how */
	GOODBYE_RETIRED = 3,  /* this identity gives no more work */
	GOODBYE_REPLACED = 4, /* the same identity connected again */
	GOODBYE_OVERLOAD = 5, /* too many sessions: come back later */
	GOODBYE_REASON_LAST = GOODBYE_OVERLOAD,
};
/* Either way, the last message of a session. */
struct message_goodbye {
	uint32_t reason;
	char text[TEXT_MAX];
};

/* Asks for bytes [offset, offset+length) of a blob. Any node may answer. */
struct message_blob_get {
	struct digest digest;
	uint64_t offset;
	uint32_t length; /* 1 … BLOB_PART_MAX */
};
struct message_blob_part {
	struct digest digest;
	uint64_t total; /* length of the whole blob, ≤ BLOB_BYTES_MAX */
	uint64_t offset;
	struct span bytes;
};
struct message_blob_missing {
	struct digest digest;
};

/* Peer → coordinator: I can take `slots` more leases. */
struct message_work_request {
	uint32_t slots;	 /* 1 … 16 */
	char engine[16]; /* "avx512"; for statistics and for finding a bad build */
};
enum no_work_reason {
	NO_WORK_IDLE = 1,    /* no project is running */
	NO_WORK_WAITING = 2, /* all units of this round are with others */
	NO_WORK_RETIRED = 3, /* this identity gives no more work */
	NO_WORK_LIMIT = 4,   /* you hold as many leases as you may */
	NO_WORK_REASON_LAST = NO_WORK_LIMIT,
};
/* Coordinator → peer. The coordinator sends a LEASE by itself once there is work; the peer asks again
 * after retry_ms all the same. */
struct message_no_work {
	uint32_t reason;
	uint32_t retry_ms;
	char text[TEXT_MAX]; /* a sentence for the volunteer */
};
/* Coordinator → peer: a unit with its proof that the network's root key authorised it. */
struct message_lease {
	struct digest nonce;  /* names this replica from here on */
	uint32_t deadline_ms; /* from now */
	struct span manifest; /* struct round_manifest, encoded; ≤ ROUND_BYTES_MAX */
	struct signature signature;
	struct span unit;    /* struct unit, encoded; ≤ UNIT_BYTES_MAX */
	uint32_t path_steps; /* ≤ MERKLE_STEPS_MAX */
	struct digest path[MERKLE_STEPS_MAX];
};

/* Peer → coordinator, also again after each reconnect until SETTLED: idempotent. The signature
 * ("talkoot commit") covers (commitment, nonce). */
struct message_commit {
	struct digest nonce;
	struct digest commitment;
	struct signature signature;
};
struct message_committed { /* it is on disk */
	struct digest nonce;
};
struct message_reveal_request {
	struct digest nonce;
};
struct message_reveal {
	struct digest nonce;
	struct digest salt;
	struct span claim; /* struct claim, encoded; ≤ CLAIM_BYTES_MAX */
};
/* Coordinator → peer: send the payload from this offset on. */
struct message_upload_request {
	struct digest nonce;
	uint64_t offset;
};
struct message_upload {
	struct digest nonce;
	uint64_t offset;
	struct span bytes; /* 1 … BLOB_PART_MAX */
};
struct message_uploaded { /* the whole payload is on disk and its digest is right */
	struct digest nonce;
};
enum verdict {
	VERDICT_VALID = 1,   /* equals the canonical result: credit */
	VERDICT_INVALID = 2, /* proven wrong */
	VERDICT_LATE = 3, /* right or moot, but committed after the unit was decided: no credit */
	VERDICT_EXPIRED = 4, /* the deadline passed and the unit went to others */
	VERDICT_UNKNOWN = 5, /* no such lease: the project was stopped or is long finished */
	VERDICT_LAST = VERDICT_UNKNOWN,
};
/* Coordinator → peer: this replica is over; forget it. */
struct message_settled {
	struct digest nonce;
	uint32_t verdict;
	uint64_t credit_flops; /* what VALID earned */
	char text[TEXT_MAX];   /* why, in a sentence */
};
/* Peer → coordinator: I can't or won't do this one (text says why). Not an error of the peer. */
struct message_abandon {
	struct digest nonce;
	char text[TEXT_MAX];
};

struct message {
	enum message_type type;
	union {
#define X(name, member, number) struct message_##member member;
		MESSAGES(X)
#undef X
	};
};

/* Appends the encoded message. Errors: TK_ENOMEM. */
int message_encode(const struct message *m, struct bytes *out) TK_CHECKED;

/* Decodes one whole message; spans borrow from in. Errors: TK_EPROTO, TK_ELIMIT with a sentence. */
int message_decode(struct message *m, struct span in, struct errmsg *msg) TK_CHECKED;

/* "LEASE"; never NULL. */
const char *message_name(enum message_type type);

#endif
