/* Proofs of fault: what a peer signed, put together so that anybody can check that it can't be right.
 *
 * A statement holds signed words and paths only; fault_file.h adds the blobs that are needed to compute the
 * step again. It proves a *fault*, not intent, and never against a peer whose result was right: all that is
 * held against somebody is under that key's own signature, and is compared with what this computer gets.
 * coordinator/VERIFICATION.md, "Proofs of fault", says which kind shows what. */
#ifndef TASKS_UNIT_FAULT_H
#define TASKS_UNIT_FAULT_H

#include "tasks/unit/trace.h"

#define FAULT_LEAVES_MAX	  (INNER_STEPS_MAX + 2u)
#define FAULT_PATH_MAX		  16u /* digests beside the way from a unit to its round */
#define FAULT_STATEMENT_BYTES_MAX (2u * FAULT_LEAVES_MAX * DIGEST_BYTES + 8192u)

enum fault_kind {
	/* One step: the key signed the state before it (as a step leaf, a leaf of its trace, or the unit's
	 * header) and one after it (a step leaf), and the step does not lead from one to the other. */
	FAULT_STEP = 1,
	/* The step leaves that the key signed for a segment do not have the number, or not the end, that its own
	 * commitment gives them. Nothing needs computing. */
	FAULT_SEGMENT = 2,
	/* Claim and leaves to which the key committed are no unit's: another header, another number of leaves, a last
	 * leaf that is not the payload's, a payload of another size. Nothing needs computing. */
	FAULT_TRACE = 3,
	/* The whole unit gives another result; where the key has signed nothing narrower. */
	FAULT_WHOLE = 4,
	/* Two commitments under one lease. */
	FAULT_EQUIVOCATION = 5,
	FAULT_KIND_LAST = FAULT_EQUIVOCATION,
};

/* All spans are borrowed. What the kind does not use is empty, zero or 0. */
struct fault_statement {
	enum fault_kind kind;
	struct public_key network; /* root key */
	struct span manifest;	   /* struct round_manifest, encoded */
	struct signature manifest_signature;
	struct span unit; /* struct unit, encoded */
	struct span path; /* digests: from the unit up to the manifest's root */
	struct digest nonce;
	struct public_key peer; /* whose fault it is */
	struct digest commitment;
	struct signature signature; /* sign.h */
	struct digest salt;	    /* with the claim it opens the commitment … */
	struct span claim;	    /* … which EQUIVOCATION does not need: then empty */
	struct digest other;	    /* EQUIVOCATION: the other commitment */
	struct signature other_signature;
	struct span
		leaves; /* STEP, SEGMENT, TRACE: digests: all of the trace. TRACE: or empty, where the claim
				alone is wrong */
	uint32_t segment;  /* STEP, SEGMENT */
	struct span steps; /* STEP, SEGMENT: digests: all step leaves of the segment */
	struct signature segment_signature;
	uint32_t step; /* STEP: the step leaf that is wrong, counted from 0 */
};

/* Appends it. Errors: TK_EINVAL (something does not belong to the kind), TK_ENOMEM; out is then as before. */
int fault_encode(const struct fault_statement *f, struct bytes *out) TK_CHECKED;

/* Reads one from hostile bytes, which *f then borrows. Errors: TK_EPROTO, TK_ELIMIT. */
int fault_decode(struct fault_statement *f, struct span in, struct errmsg *msg) TK_CHECKED;

/* Names it: fields("talkoot fault", encoded). */
void fault_digest(struct digest *out, struct span encoded);

/* What a statement says, once its signatures and paths are checked. */
struct fault_facts {
	struct round_manifest manifest;
	struct unit unit;
	struct digest unit_digest;
	bool opened; /* claim and result are there */
	struct claim claim;
	struct digest result;		     /* claim_digest */
	const struct digest *leaves, *steps; /* borrowed from the statement */
	uint32_t leaf_count, step_count;
};

/* Checks all that can be checked without the recipe: the manifest is the network's, the unit is the round's,
 * commitment and step leaves are signed by the peer, salt and claim open the commitment, the leaves are the claim's.
 * Errors: TK_EAUTH (a signature, path or opening is wrong), TK_EPROTO, TK_EUNSUPPORTED; msg names it. */
int fault_check(
	const struct fault_statement *f, struct fault_facts *out, struct errmsg *msg) TK_CHECKED;

/* Why claim and leaves can't be any unit's of this recipe, in a clause ("the trace has 3 leaves; 4 are right");
 * false: nothing is wrong with them. leaves may be NULL: of the claim alone. size is payload_size's. */
bool trace_impossible(const struct train_spec *t, size_t size, const struct digest *unit,
	const struct claim *claim, const struct digest *leaves, size_t count, struct errmsg *why);

/* Why step leaves can't be those of segment k of a trace that is possible; false: nothing is wrong. result is
 * the claim's digest. */
bool segment_impossible(const struct train_spec *t, const struct claim *claim,
	const struct digest *result, const struct digest *leaves, uint32_t k,
	const struct digest *steps, size_t count, struct errmsg *why);

#endif
