/* Misbehaviour on purpose, for tests and demonstrations of how a network defends itself: nothing else in
 * the program knows of it, and without --misbehave none of it runs. */
#ifndef PEER_AGENT_MISBEHAVE_H
#define PEER_AGENT_MISBEHAVE_H

#include "peer/wire/messages.h"

enum misbehave {
	MISBEHAVE_NOT = 0,
	MISBEHAVE_CORRUPT,    /* a bit of every payload is flipped, with digests that fit */
	MISBEHAVE_GARBAGE,    /* random payloads, with digests that fit */
	MISBEHAVE_NONFINITE,  /* every result is said to have left the finite numbers */
	MISBEHAVE_TRUNCATE,   /* uploads are cut short */
	MISBEHAVE_HUGE,	      /* uploads are longer than claimed */
	MISBEHAVE_SILENT,     /* commits, never reveals */
	MISBEHAVE_MUTE,	      /* takes leases, never answers */
	MISBEHAVE_ARITHMETIC, /* its logarithm is not everybody's: it fails the self-test */
};

/* By name ("corrupt"). Errors: TK_EINVAL; the sentence lists the names. */
int misbehave_parse(enum misbehave *out, const char *name, struct errmsg *msg) TK_CHECKED;

/* Bends a result that the worker has computed; random decides where. Both are replaced in place.
 * Errors: TK_ECORRUPT, TK_ENOMEM. */
int misbehave_result(enum misbehave mode, uint64_t random, struct bytes *claim,
	struct bytes *payload) TK_CHECKED;

/* Bends the digests of a self-test. */
void misbehave_selftest(enum misbehave mode, struct bytes *digests);

/* Bends a message about to be sent; false: it is not to be sent at all. A longer one borrows from
 * scratch. */
bool misbehave_message(enum misbehave mode, struct message *m, struct bytes *scratch);

#endif
