/* A proof of fault as a file that anybody can check: a statement and the blobs that it takes.
 *
 *	8 bytes  "TKFAULT" and the format, 1
 *	4        bytes of the statement, le32
 *	         the statement (fault.h)
 *	4        number of blobs, le32
 *	41·n     for each its digest, its length le64, and 1 when the file holds it or 0 when it does not
 *	         the bytes of those that it holds, one behind the other
 *	32       the blob digest of all before
 *
 * It holds all of them when they have FAULT_BLOBS_BYTES_MAX bytes or less together, otherwise none: they are
 * then looked up by digest. The recipe, θ_r, the slot's state, shards and the state before the step are such
 * blobs, as far as the statement's kind needs them. */
#ifndef TASKS_UNIT_FAULT_FILE_H
#define TASKS_UNIT_FAULT_FILE_H

#include "tasks/math/compute.h"
#include "tasks/unit/fault.h"

#define FAULT_BLOBS_BYTES_MAX (64u << 20)
#define FAULT_BLOBS_MAX	      65536u
#define FAULT_FILE_BYTES_MAX                                                                       \
	(FAULT_BLOBS_BYTES_MAX + FAULT_STATEMENT_BYTES_MAX + 41u * FAULT_BLOBS_MAX + 64u)

/* Where blobs are that a file does not hold. Gives *out (at most max bytes) only on success; who asks checks
 * the digest. Errors: TK_ENOENT and others. */
struct blob_lookup {
	void *context;
	int (*get)(void *context, const struct digest *digest, size_t max, struct bytes *out,
		struct errmsg *msg);
};

/* Appends the file of an encoded statement; before: the state before the step (STEP that is not a segment's first
 * of the unit), else empty. Every other blob comes from lookup. Errors: TK_ECORRUPT (the statement does not
 * hold what fault_check wants, or the state is not the one before its step), those of lookup, TK_ENOMEM. */
int fault_file_encode(struct span statement, struct span before, const struct blob_lookup *lookup,
	struct bytes *out, struct errmsg *msg) TK_CHECKED;

enum fault_verdict {
	FAULT_PROVEN = 1,
	FAULT_NOT_PROVEN = 2, /* the statement is sound, and the peer was right */
};

struct fault_report {
	enum fault_verdict verdict;
	enum fault_kind kind;
	struct digest statement; /* fault_digest */
	struct public_key network, peer;
	struct digest recipe;	   /* the project */
	uint32_t round, unit;	   /* from 0 */
	uint32_t step;		   /* STEP: of the unit, from 0; its number of steps: packing */
	uint32_t steps;		   /* of a unit; 0: not known (EQUIVOCATION) */
	bool computed;		   /* found was computed, twice when it differs from said */
	struct digest said, found; /* STEP, WHOLE */
	char why[256];		   /* a sentence: what is wrong, or that nothing is */
};

/* Checks a file from anybody. lookup may be NULL: all must be in the file. c computes: its engine and threads.
 * A negative code refuses: nothing is shown either way, and msg names what is wrong.
 * Errors: TK_EPROTO, TK_ELIMIT, TK_ECORRUPT, TK_EAUTH, TK_EUNSUPPORTED, TK_ENOENT (a blob), TK_ENUMERICS (this
 * computer disagrees with itself), TK_ENOMEM, TK_ECANCELED. */
int fault_verify(struct span file, const struct blob_lookup *lookup, const struct compute *c,
	struct fault_report *out, struct errmsg *msg) TK_CHECKED;

#endif
