/* A peer with a result that is right, or wrong from some step on, and everything that it has signed about it: for
 * tests of proofs of fault. */
#ifndef TESTS_LIB_ACCUSED_H
#define TESTS_LIB_ACCUSED_H

#include "tasks/unit/fault_file.h"
#include "tasks/unit/replay.h"
#include "tests/lib/tiny.h"

struct accused {
	struct tiny tiny;
	struct key_pair root, peer;
	struct bytes recipe, parameters, slot; /* blobs */
	struct unit unit;
	struct bytes unit_bytes, manifest;
	struct signature manifest_signature;
	struct digest path[64];
	size_t path_steps;
	struct digest nonce, salt;
	struct replay truth; /* all of the unit */
	/* What the peer says. */
	struct claim claim;
	struct bytes claim_bytes;
	struct digest *leaves, *steps; /* of the trace; the step leaves of the whole unit */
	uint32_t leaf_count, step_count;
	struct digest commitment, result;
	struct signature signature;
};

/* An honest one, for unit 3 of round 1 of a tiny project; change says how it differs from tiny's (NULL: not at
 * all). False: out of memory, or no such project. */
bool accused_init(struct accused *a, enum model_type type,
	void (*change)(struct train_spec *t, unsigned how), unsigned how);
void accused_close(struct accused *a);

/* Makes the round again after its parameters have changed. False: out of memory. */
bool accused_round(struct accused *a);

/* Lets what it says be wrong from a step on (0 … H; H: packing): ends and root agree with each other. */
void accused_lie(struct accused *a, uint32_t step);

/* Makes claim, commitment and signature of what it says now; the trace's root is that of its leaves. */
void accused_commit(struct accused *a);

/* The number of the segment that has a step, and its step leaves' place in steps. */
struct trace_segment accused_segment(const struct accused *a, uint32_t step, uint32_t *k);

/* A statement of some kind against it, about a step of the unit where there is one. Borrows a. */
struct fault_statement accused_statement(
	const struct accused *a, enum fault_kind kind, uint32_t step);

/* The true state after so many steps, appended. */
bool accused_state(struct accused *a, uint32_t steps, struct bytes *out);

/* A proof's file against it, with the true state before the step. Errors: as fault_file_encode. */
int accused_file(struct accused *a, const struct fault_statement *f, struct bytes *out);

/* The same file, but it names its blobs and holds none. */
bool accused_without_blobs(struct span file, struct bytes *out);

/* Its project's blobs. */
struct blob_lookup accused_blobs(struct accused *a);

#endif
