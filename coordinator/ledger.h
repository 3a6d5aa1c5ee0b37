/* The ledger: everything that decided a model, as entries of one chain for the whole network.
 *
 * An entry's content is a MessagePack array [1, project, kind, …] whose fields VERIFICATION.md lists; one
 * value has one encoding, and ledger_decode refuses any other. Entry n (from 1) has the digest
 *   link_n = fields("talkoot ledger", le64 n, link_{n−1}, project, fields("talkoot ledger entry", content))
 * with link_0 = 0. So a reader who gets nothing of an entry but its project and the digest of its content can follow the
 * chain, and no entry can be told as another project's. The head is (n, link_n); the root key signs it at each MERGE, ROLLBACK and END, and at export.
 * Nothing here knows addresses, prefixes, invitations or times. */
#ifndef COORDINATOR_LEDGER_H
#define COORDINATOR_LEDGER_H

#include "coordinator/rows.h"
#include "tasks/base/mpread.h"
#include "tasks/unit/fault.h"

#define LEDGER_CONTENT_MAX  (1u << 20)
#define LEDGER_REPLICAS_MAX 1024u /* of one unit, with commitments */

enum ledger_kind {
	LEDGER_PROJECT = 1,  /* a project begins */
	LEDGER_ROUND = 2,    /* a round begins: its signed manifest */
	LEDGER_UNIT = 3,     /* a unit is settled; a later one of the same unit replaces it */
	LEDGER_FAULT = 4,    /* a result was proven wrong */
	LEDGER_SEED = 5,     /* the round's secret seed is opened */
	LEDGER_MERGE = 6,    /* a round is merged */
	LEDGER_ROLLBACK = 7, /* the merges of rounds from this one on are taken back */
	LEDGER_END = 8,
	LEDGER_KIND_LAST = LEDGER_END,
};

enum ledger_verdict {
	LEDGER_VALID = 1,    /* equal to the canonical result, in time: credited */
	LEDGER_WRONG = 2,    /* differs from it */
	LEDGER_UNOPENED = 3, /* committed and never opened, or its payload never came */
	LEDGER_LATE = 4,     /* committed after the unit's first reveal: earns nothing */
	LEDGER_PENDING = 5,  /* not judged yet */
	LEDGER_VERDICT_LAST = LEDGER_PENDING,
};

/* One commitment to a unit; their order in the entry is that in which they were recorded. */
struct ledger_replica {
	struct digest nonce;
	struct public_key key;
	struct digest commitment;
	struct signature signature; /* the key's, over commitment and nonce */
	bool late;
	enum ledger_verdict verdict;
	bool opened;
	struct digest salt; /* opened */
	struct span claim;  /* opened; borrowed */
};

struct ledger_entry {
	struct digest project; /* its recipe */
	enum ledger_kind kind;
	union {
		struct {
			uint32_t quorum, policy; /* enum verify_policy */
			uint32_t floor_ppm; /* of units that are drawn at least, in millionths */
			uint32_t on_fraud;  /* enum on_fraud; with policy full 0, as the next one */
			uint32_t settle_rounds;
		} begin;
		struct {
			struct span manifest; /* struct round_manifest, encoded */
			struct signature signature;
			struct span states; /* (W) digests of what the slots carry; empty: all +0 */
		} round;
		struct {
			uint32_t round, index;
			struct digest header;  /* unit_digest */
			struct digest referee; /* result digest that was recomputed; zero: none */
			struct span claim;     /* the canonical one */
			uint32_t replica_count;
			const struct ledger_replica *replicas; /* to encode */
			struct span encoded; /* decoded: for ledger_replica_next */
		} unit;
		struct {
			enum fault_kind kind;
			uint32_t round, index; /* of the unit */
			struct digest nonce;
			struct public_key key;
			struct digest proof;
		} fault;
		struct {
			uint32_t round;
			struct digest seed;
		} seed;
		struct {
			uint32_t round; /* that was merged */
			uint32_t merged, skipped;
			struct digest parameters, outer_state, states, model; /* that came out */
		} merge;
		struct {
			uint32_t round; /* that is in progress again, with the units that it has */
			struct span units; /* le32 each, ascending: those that proved wrong */
			struct digest
				model; /* that its merge had given; its next MERGE replaces it */
		} rollback;
		struct {
			enum project_state state; /* DONE, FAILED or STOPPED */
			uint32_t rounds;	  /* that stand */
			struct digest model;
		} end;
	};
};

/* Appends the content. Errors: TK_ENOMEM. */
int ledger_encode(const struct ledger_entry *e, struct bytes *out) TK_CHECKED;

/* Reads a content; its spans borrow from in. Errors: TK_EPROTO, TK_ELIMIT; msg names the field. */
int ledger_decode(struct ledger_entry *e, struct span in, struct errmsg *msg) TK_CHECKED;

/* The replicas of a decoded unit, one after the other: begin with mp_begin(r, e->unit.encoded). claim is
 * the canonical one. What ledger_decode took has no errors. */
void ledger_replica_next(struct mp_reader *r, struct span claim, struct ledger_replica *out);

/* "PROJECT", "UNIT"; never NULL. */
const char *ledger_kind_name(enum ledger_kind kind);

/* The end of a chain; all zero: there is no entry yet. */
struct ledger_head {
	uint64_t sequence;
	struct digest digest;
};
void ledger_content_digest(struct digest *out, struct span content);
/* Adds an entry of this project and content digest. */
void ledger_head_add(
	struct ledger_head *head, const struct digest *project, const struct digest *content);
void ledger_head_sign(
	struct signature *out, const struct key_pair *root, const struct ledger_head *head);
bool ledger_head_verify(const struct public_key *root, const struct signature *signature,
	const struct ledger_head *head);

/* An entry as the store keeps it. */
struct ledger_row {
	struct ledger_head head; /* with it */
	uint64_t project;	 /* row id */
	enum ledger_kind kind;
	bool is_signed;
	struct signature signature; /* of head */
};

#endif
