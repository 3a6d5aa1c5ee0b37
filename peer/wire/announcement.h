/* What the coordinator tells everybody: signed by the root key, passed on by all, verified at each hop.
 *
 * Each belongs to a topic, a kind about a subject; of a topic the highest sequence counts, and everybody
 * keeps the newest for those who come later. */
#ifndef PEER_WIRE_ANNOUNCEMENT_H
#define PEER_WIRE_ANNOUNCEMENT_H

#include "tasks/base/key.h"

#define ANNOUNCEMENT_MAX	 2048u /* bytes, encoded */
#define ANNOUNCEMENT_PAYLOAD_MAX 1920u
#define ANNOUNCEMENT_STALE_S                                                                       \
	120u /* an older one of its topic, by so much, is misbehaviour to send */

enum announcement_kind {
	ANNOUNCE_BEACON = 1, /* subject zero; payload: struct beacon. Every 30 s */
	ANNOUNCE_MANIFEST =
		2, /* subject: the project's recipe; payload: what must be known to prepare */
	ANNOUNCE_ROUND = 3,   /* subject: the project's recipe; payload: struct round_manifest */
	ANNOUNCE_CONTROL = 4, /* subject: the project's recipe; payload: running, paused, stopped */
	ANNOUNCE_REVOKE = 5,  /* subject zero; payload: struct revocations: their sessions end */
	ANNOUNCEMENT_KIND_LAST = ANNOUNCE_REVOKE,
};

struct announcement {
	uint32_t kind;
	struct digest subject;
	uint64_t sequence; /* rises within a topic, and never falls after a restart */
	uint64_t issued_s; /* by the coordinator's clock */
	struct span payload;
};

/* The payload of a BEACON: what is newest of everything, so that nothing can be withheld for long. */
#define BEACON_HEADS_MAX 32u
struct topic_head {
	uint32_t kind; /* enum announcement_kind */
	struct digest subject;
	uint64_t sequence;
};
struct beacon {
	struct digest
		ledger; /* the head of the coordinator's signed log; zero while there is none */
	uint64_t ledger_sequence; /* the entries up to that head */
	uint32_t head_count;	  /* ≤ BEACON_HEADS_MAX */
	struct topic_head heads[BEACON_HEADS_MAX];
};
/* Appends [2, ledger, its sequence, [[kind, subject, sequence], …]]. Errors: TK_ENOMEM. */
int beacon_encode(const struct beacon *b, struct bytes *out) TK_CHECKED;
/* Errors: TK_EPROTO, TK_ELIMIT. */
int beacon_decode(struct beacon *out, struct span in, struct errmsg *msg) TK_CHECKED;

/* The payload of a MANIFEST: a project begins, which needs this recipe. */
#define PROJECT_NOTICE_NAME_MAX 64u
struct project_notice {
	char name[PROJECT_NOTICE_NAME_MAX];
	uint32_t rounds, units_per_round;
	uint64_t parameters; /* their number */
};
int project_notice_encode(const struct project_notice *n, struct bytes *out) TK_CHECKED;
int project_notice_decode(
	struct project_notice *out, struct span in, struct errmsg *msg) TK_CHECKED;

/* The payload of a CONTROL. */
enum control_state { CONTROL_RUNNING = 1, CONTROL_PAUSED = 2, CONTROL_ENDED = 3 };
int control_encode(enum control_state state, struct bytes *out) TK_CHECKED;
int control_decode(enum control_state *out, struct span in, struct errmsg *msg) TK_CHECKED;

/* The payload of a REVOKE: the identities that the network takes back, the last ones first. */
#define REVOCATIONS_MAX 48u
struct revocations {
	uint32_t count;
	struct public_key keys[REVOCATIONS_MAX];
};
int revocations_encode(const struct revocations *r, struct bytes *out) TK_CHECKED;
int revocations_decode(struct revocations *out, struct span in, struct errmsg *msg) TK_CHECKED;

/* Appends [1, kind, subject, sequence, issued, payload]. Errors: TK_ENOMEM, TK_ELIMIT (the payload): an
 * announcement too large is an error here, never silence on the way. */
int announcement_encode(const struct announcement *a, struct bytes *out) TK_CHECKED;
/* The payload borrows from in. Errors: TK_EPROTO, TK_ELIMIT. */
int announcement_decode(struct announcement *out, struct span in, struct errmsg *msg) TK_CHECKED;

/* Over fields("talkoot announcement", network, encoded). root is the network's key. */
void announcement_sign(struct signature *out, const struct key_pair *root, struct span encoded);
bool announcement_verify(
	const struct public_key *network, struct span encoded, const struct signature *signature);

/* The digest of its encoding: its first 16 bytes name it in IHAVE and GRAFT. */
void announcement_digest(struct digest *out, struct span encoded);

#endif
