/* Every message and every limit, on one page. PROTOCOL.md is the prose.
 *
 * A message is a MessagePack array [type, fields…]; it travels as one or more Noise frames inside a
 * session. Decoding checks every limit before anything is copied. Spans borrow from the input. */
#ifndef PEER_WIRE_MESSAGES_H
#define PEER_WIRE_MESSAGES_H

#include "peer/wire/announcement.h"
#include "peer/wire/record.h"
#include "tasks/unit/unit.h"

#define MESSAGE_BYTES_MAX (128u << 10)	    /* one message, decrypted */
#define BLOB_PART_MAX	  (64u << 10)	    /* bytes of a blob in one message */
#define BLOB_BYTES_MAX	  PAYLOAD_BYTES_MAX /* of parameters, states and payloads, too */
#define TEXT_MAX	  256u
#define MERKLE_STEPS_MAX  32u

#define BLOB_PATH_MAX	     16u	/* steps of a part's proof: 2^16 parts of BLOB_PART_MAX */
#define BLOB_PIECE	     (4u << 20) /* what HAVE speaks of: 64 parts */
#define BLOB_PIECES_MAX	     1024u
#define BLOB_SOURCES_MAX     16u
#define TRACE_PART_MAX	     2048u /* digests in one TRACE or SEGMENT */
#define TRACE_LEAVES_MAX     (INNER_STEPS_MAX + 2u)
#define SELFTEST_DIGESTS_MAX 256u
#define BUILD_MAX	     24u /* with its NUL */
#define TEAM_MAX	     33u /* with its NUL */
#define SHUFFLE_MAX	     8u	 /* records in one SHUFFLE */
#define GOSSIP_TTL_MAX	     8u
#define GOSSIP_HOPS_MAX	     64u
#define GOSSIP_IDS_MAX	     64u /* in one IHAVE or GRAFT */
#define GOSSIP_TOPICS_MAX    32u /* in one HEADS */
#define RELAY_DATA_MAX	     (32u << 10)

#define MESSAGES(X)                                                                                \
	X(MESSAGE_PING, ping, 1)                                                                   \
	X(MESSAGE_PONG, pong, 2)                                                                   \
	X(MESSAGE_GOODBYE, goodbye, 3)                                                             \
	X(MESSAGE_OBSERVED, observed, 4)                                                           \
	X(MESSAGE_HOST_CERTIFICATE, host_certificate, 5)                                           \
	X(MESSAGE_BLOB_GET, blob_get, 16)                                                          \
	X(MESSAGE_BLOB_PART, blob_part, 17)                                                        \
	X(MESSAGE_BLOB_MISSING, blob_missing, 18)                                                  \
	X(MESSAGE_BLOB_BUSY, blob_busy, 19)                                                        \
	X(MESSAGE_BLOB_HAVE, blob_have, 20)                                                        \
	X(MESSAGE_BLOB_WHO, blob_who, 21)                                                          \
	X(MESSAGE_BLOB_SOURCES, blob_sources, 22)                                                  \
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
	X(MESSAGE_ABANDON, abandon, 43)                                                            \
	X(MESSAGE_TRACE_REQUEST, trace_request, 44)                                                \
	X(MESSAGE_TRACE, trace, 45)                                                                \
	X(MESSAGE_SEGMENT_REQUEST, segment_request, 46)                                            \
	X(MESSAGE_SEGMENT, segment, 47)                                                            \
	X(MESSAGE_JOIN, join, 48)                                                                  \
	X(MESSAGE_FORWARD_JOIN, forward_join, 49)                                                  \
	X(MESSAGE_NEIGHBOR, neighbor, 50)                                                          \
	X(MESSAGE_NEIGHBOR_REPLY, neighbor_reply, 51)                                              \
	X(MESSAGE_DISCONNECT, disconnect, 52)                                                      \
	X(MESSAGE_SHUFFLE, shuffle, 53)                                                            \
	X(MESSAGE_SHUFFLE_REPLY, shuffle_reply, 54)                                                \
	X(MESSAGE_BROADCAST, broadcast, 55)                                                        \
	X(MESSAGE_IHAVE, ihave, 56)                                                                \
	X(MESSAGE_GRAFT, graft, 57)                                                                \
	X(MESSAGE_PRUNE, prune, 58)                                                                \
	X(MESSAGE_HEADS, heads, 59)                                                                \
	X(MESSAGE_PULL, pull, 60)                                                                  \
	X(MESSAGE_STATE_REQUEST, state_request, 64)                                                \
	X(MESSAGE_STATE, state, 65)                                                                \
	X(MESSAGE_SELFTEST_REQUEST, selftest_request, 66)                                          \
	X(MESSAGE_SELFTEST, selftest, 67)                                                          \
	X(MESSAGE_DIAL_BACK, dial_back, 72)                                                        \
	X(MESSAGE_DIALLED_BACK, dialled_back, 73)                                                  \
	X(MESSAGE_RELAY_RESERVE, relay_reserve, 74)                                                \
	X(MESSAGE_RELAY_RESERVED, relay_reserved, 75)                                              \
	X(MESSAGE_RELAY_OPEN, relay_open, 76)                                                      \
	X(MESSAGE_RELAY_OPENED, relay_opened, 77)                                                  \
	X(MESSAGE_RELAY_INCOMING, relay_incoming, 78)                                              \
	X(MESSAGE_RELAY_DATA, relay_data, 79)                                                      \
	X(MESSAGE_RELAY_CLOSE, relay_close, 80)                                                    \
	X(MESSAGE_PUNCH, punch, 81)                                                                \
	X(MESSAGE_PUNCH_GO, punch_go, 82)                                                          \
	X(MESSAGE_RELAY_CREDIT, relay_credit, 83)                                                  \
	X(MESSAGE_MOVED, moved, 84)

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

/* Acceptor → initiator, once, when the session opens: the address that it came from, as we see it. */
struct message_observed {
	struct endpoint from;
};

/* Coordinator → peer: the root's word that you are a host of the network's links; show it from now on. */
struct message_host_certificate {
	uint64_t expiry_s;
	struct signature signature; /* identity.h: host_check */
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
	/* The proof that these bytes stand there, bottom first, when offset is a multiple of BLOB_PART_MAX
	 * and the part as long as it can be (digest.h: blob_part_verify). 0 steps otherwise. */
	uint32_t path_steps; /* ≤ BLOB_PATH_MAX */
	struct digest path[BLOB_PATH_MAX];
};
struct message_blob_missing {
	struct digest digest;
};
/* All upload slots are taken: ask again after retry_ms, or somebody else. */
struct message_blob_busy {
	struct digest digest;
	uint32_t retry_ms;
};
/* To the tracker and to whoever exchanges this blob with us: the pieces of BLOB_PIECE bytes that we have
 * whole, as bits, the first piece in the lowest bit of the first byte. All zero: not any more. */
struct message_blob_have {
	struct digest digest;
	uint64_t total;	    /* length of the whole blob */
	struct span pieces; /* exactly ⌈⌈total / BLOB_PIECE⌉ / 8⌉ bytes, spare bits zero */
};
/* Peer → coordinator, the tracker: who has this blob, or what belongs to the same group of shards? */
struct message_blob_who {
	struct digest digest;
	uint32_t want; /* 1 … BLOB_SOURCES_MAX */
};
struct message_blob_sources {
	struct digest digest;
	uint32_t count;
	struct span records[BLOB_SOURCES_MAX]; /* struct record, encoded; ≤ RECORD_BYTES_MAX each */
};

/* Peer → coordinator: I can take `slots` more leases. */
struct message_work_request {
	uint32_t slots;	     /* 1 … 16 */
	char engine[16];     /* "avx512"; for statistics and for finding a bad build */
	char team[TEAM_MAX]; /* the volunteer's word, one for each session; "": none */
};
enum no_work_reason {
	NO_WORK_IDLE = 1,    /* no project is running */
	NO_WORK_WAITING = 2, /* all units of this round are with others */
	NO_WORK_RETIRED = 3, /* this identity gives no more work */
	NO_WORK_LIMIT = 4,   /* you hold as many leases as you may */
	NO_WORK_MISFIT = 5,  /* your arithmetic is not everybody's: the self-test failed */
	NO_WORK_REASON_LAST = NO_WORK_MISFIT,
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

/* Disputes: two results of one unit differ, and it is narrowed down to the step at which they part
 * (coordinator/VERIFICATION.md). */
/* Coordinator → peer: the leaves of this result's trace (tasks/unit/trace.h), from number `offset` on. */
struct message_trace_request {
	struct digest nonce;
	uint32_t offset;
};
/* Peer → coordinator, in order, until all that were asked for have been sent. */
struct message_trace {
	struct digest nonce;
	uint32_t total;	    /* leaves in all, 2 … TRACE_LEAVES_MAX */
	uint32_t offset;    /* < total */
	struct span leaves; /* 1 … TRACE_PART_MAX digests, ending at total at most */
};
/* Coordinator → peer: show that your arithmetic is canonical, on inputs made from this seed (selftest.h). */
struct message_selftest_request {
	uint64_t seed; /* ≥ 1 */
};
/* Peer → coordinator: a digest for each operation. The signature ("talkoot selftest") covers the network's
 * key, le64 seed, engine, build and the digests. */
struct message_selftest {
	uint64_t seed;
	char engine[16];
	char build[BUILD_MAX];
	struct signature signature;
	struct span digests; /* 1 … SELFTEST_DIGESTS_MAX digests */
};
/* Coordinator → peer: compute again from leaf `segment` to the next one, and say what each step gave. */
struct message_segment_request {
	struct digest nonce;
	uint32_t segment;
};
/* Peer → coordinator. The signature ("talkoot segment") covers commitment, le32 segment, le32 total and the
 * merkle_root of all step leaves; each message of one answer carries it. */
struct message_segment {
	struct digest nonce;
	uint32_t segment;
	uint32_t total; /* step leaves in all, 1 … TRACE_LEAVES_MAX */
	uint32_t offset;
	struct span leaves;
	struct signature signature;
};
/* Coordinator → peer: the state after `step` steps, from this byte on. */
struct message_state_request {
	struct digest nonce;
	uint32_t step;
	uint64_t offset;
};
struct message_state {
	struct digest nonce;
	uint32_t step;
	uint64_t total; /* bytes of the whole state, ≤ BLOB_BYTES_MAX */
	uint64_t offset;
	struct span bytes; /* 1 … BLOB_PART_MAX, ending at total at most */
};

/* Membership (HyParView; peer/overlay/gossip.h). A record is a struct record, encoded and signed by the
 * peer that it describes. */
struct message_join { /* the first message of a newcomer */
	struct span record;
};
struct message_forward_join {
	struct span record;
	uint32_t ttl; /* ≤ GOSSIP_TTL_MAX */
};
struct message_neighbor { /* will you be my neighbour? high: I have none */
	struct span record;
	bool high;
};
struct message_neighbor_reply {
	bool accepted;
};
struct message_disconnect { /* you are no neighbour of mine any more; the session may stay */
	bool leaving;	    /* the sender leaves the network: forget it */
};
struct message_shuffle {
	struct span origin; /* the record of who began it; the reply goes back hop by hop */
	uint32_t ttl;
	uint32_t count;
	struct span records[SHUFFLE_MAX];
};
struct message_shuffle_reply {
	uint32_t count;
	struct span records[SHUFFLE_MAX];
};

/* Broadcast (Plumtree; peer/overlay/gossip.h). */
struct gossip_id {
	uint8_t b[16]; /* the first bytes of the announcement's digest */
};
struct message_broadcast {
	uint32_t
		hops; /* ≤ GOSSIP_HOPS_MAX: links it has come along, this one too; 0: answers a PULL */
	struct span body; /* struct announcement, encoded; ≤ ANNOUNCEMENT_MAX */
	struct signature signature;
};
struct message_ihave {
	uint32_t count; /* 1 … GOSSIP_IDS_MAX */
	struct gossip_id ids[GOSSIP_IDS_MAX];
	uint8_t hops[GOSSIP_IDS_MAX]; /* how far each body had come when the sender got it */
};
struct message_graft {	/* send me these, and from now on everything */
	uint32_t count; /* 0: only the latter */
	struct gossip_id ids[GOSSIP_IDS_MAX];
};
struct message_prune { /* from now on only IHAVE: this came from somebody else before */
	struct gossip_id id;
};
/* The newest announcement of each topic that the sender has. */
struct message_heads {
	uint32_t count; /* ≤ GOSSIP_TOPICS_MAX */
	struct topic_head heads[GOSSIP_TOPICS_MAX];
};
struct message_pull { /* send me your newest of this topic; answered by BROADCAST or not at all */
	uint32_t kind;
	struct digest subject;
};

/* Ways through NATs (peer/overlay/reach.h). */
/* Am I reachable there? Asked of a node that is; it dials from an address of its own. */
struct message_dial_back {
	uint64_t nonce;
	struct endpoint at;
};
struct message_dialled_back {
	uint64_t nonce;
	bool reachable;
	char text[TEXT_MAX]; /* why not */
};
struct message_relay_reserve { /* may others reach me through you? */
	bool wanted;	       /* false: not any more */
};
enum relay_status {
	RELAY_OK = 1,
	RELAY_FULL = 2,	   /* no place left: ask another */
	RELAY_NO_PEER = 3, /* that peer has no reservation here */
	RELAY_REFUSED = 4, /* not a relay, or you ask too often */
	RELAY_QUOTA = 5,   /* the circuit's bytes or time are used up */
	RELAY_GONE = 6,	   /* the other end went away */
	RELAY_STATUS_LAST = RELAY_GONE,
};
struct message_relay_reserved {
	uint32_t status;
	uint32_t lifetime_s;
	uint64_t bytes; /* that a circuit may carry */
};
/* Circuits are numbered by whoever names them first on a session: OPEN's sender takes even numbers,
 * INCOMING's odd ones; bit 1 is clear in the numbers of who dialled the session, set in the other's. What
 * travels inside is a session of its own, end to end. */
struct message_relay_open {
	uint32_t circuit;
	struct public_key target;
};
struct message_relay_opened {
	uint32_t circuit;
	uint32_t status;
};
struct message_relay_incoming {
	uint32_t circuit;
	struct public_key from;
};
struct message_relay_data {
	uint32_t circuit;
	struct span bytes; /* 1 … RELAY_DATA_MAX */
};
struct message_relay_close {
	uint32_t circuit;
	uint32_t status;
};
/* Relay → an end: so many more bytes of RELAY_DATA are welcome on this circuit. Each end begins with
 * RELAY_WINDOW; the relay gives back what the other end's transport has taken, so a slow end holds up its
 * own circuit and nothing else. */
#define RELAY_WINDOW (256u << 10)
struct message_relay_credit {
	uint32_t circuit;
	uint32_t bytes; /* 1 … RELAY_WINDOW */
};
/* Inside a relayed session: let us both dial at once. The one who opened the circuit sends PUNCH with
 * its addresses, the other answers with its own; the first measures the round trip, sends PUNCH_GO and
 * dials half a round trip later; the other dials when PUNCH_GO arrives (libp2p's DCUtR). */
#define PUNCH_ADDRESSES_MAX 4u
struct message_punch {
	uint64_t nonce;
	uint32_t count; /* 1 … PUNCH_ADDRESSES_MAX */
	struct endpoint at[PUNCH_ADDRESSES_MAX];
};
struct message_punch_go {
	uint64_t nonce;
};
/* The direct session that a punch opened replaces the relayed one, and no message is lost: each side says
 * END on the relayed one, after its last message there, and holds back what comes after it until the
 * other has said READ on the direct one. */
enum moved_step {
	MOVED_HERE = 1, /* direct, its first message, from who opened the circuit: this one is it */
	MOVED_END = 2,	/* relayed: my last message here */
	MOVED_READ = 3, /* direct: I have read your END */
	MOVED_STEP_LAST = MOVED_READ,
};
struct message_moved {
	uint32_t step;
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

/* What a team may be called: [a-z0-9][a-z0-9._-]{0,31}. */
bool team_name_valid(const char *name);

/* "LEASE"; never NULL. */
const char *message_name(enum message_type type);

#endif
