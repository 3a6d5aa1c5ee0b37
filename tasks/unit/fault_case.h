/* A statement of fault together with its recipe: what has to be computed again, from what, and what the peer says
 * comes out. Private to fault_file.c, which gathers all that, and fault_verify.c, which does it. */
#ifndef TASKS_UNIT_FAULT_CASE_H
#define TASKS_UNIT_FAULT_CASE_H

#include "tasks/unit/fault_file.h"
#include "tasks/unit/replay.h"

struct fault_case {
	struct fault_statement statement;
	struct fault_facts facts;
	struct digest digest; /* fault_digest */
	struct recipe recipe; /* owned; not there (has_recipe) for an equivocation */
	bool has_recipe;
	size_t payload_bytes; /* of the recipe */
	/* STEP, WHOLE: these steps are computed again and should give `said`; from 0 from the header alone, otherwise
	 * from the state with the digest `before`. */
	bool computes;
	uint32_t from, to;
	struct digest before, said;
	struct replay_needs needs;
};

/* Reads and checks a statement, which the case borrows, and gets its recipe. Gives *c (fault_case_close) only on
 * success. Errors: as fault_verify. */
int fault_case_open(struct fault_case *c, struct span statement, const struct blob_lookup *lookup,
	struct errmsg *msg) TK_CHECKED;
void fault_case_close(struct fault_case *c);

/* lookup->get, checked against the digest; what names the blob in the sentence. */
int fault_blob(const struct blob_lookup *lookup, const struct digest *digest, size_t max,
	const char *what, struct bytes *out, struct errmsg *msg) TK_CHECKED;

/* A proof's file in its parts; borrows it. */
struct fault_blob_entry {
	struct digest digest;
	uint64_t len;
	bool held;
	struct span bytes; /* when held */
};
struct fault_parts {
	struct span statement;
	struct fault_blob_entry *blobs; /* owned (mem_free) */
	uint32_t count;
};
/* Errors: TK_EPROTO, TK_ELIMIT, TK_ECORRUPT (its digest), TK_ENOMEM. */
int fault_file_parse(struct fault_parts *out, struct span file, struct errmsg *msg) TK_CHECKED;

#endif
