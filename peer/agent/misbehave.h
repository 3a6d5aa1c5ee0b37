/* Misbehaviour on purpose, for tests and demonstrations of how a network defends itself: nothing else in
 * the program knows of it, and without --misbehave none of it runs. */
#ifndef PEER_AGENT_MISBEHAVE_H
#define PEER_AGENT_MISBEHAVE_H

#include "peer/wire/messages.h"

enum misbehave {
	MISBEHAVE_NOT = 0,
	MISBEHAVE_CORRUPT,     /* a bit of every payload is flipped, with digests that fit */
	MISBEHAVE_GARBAGE,     /* random payloads, with digests that fit */
	MISBEHAVE_NONFINITE,   /* every result is said to have left the finite numbers */
	MISBEHAVE_TRUNCATE,    /* uploads are cut short */
	MISBEHAVE_HUGE,	       /* uploads are longer than claimed */
	MISBEHAVE_WITHHOLDER,  /* commits, never reveals */
	MISBEHAVE_MUTE,	       /* takes leases, never answers */
	MISBEHAVE_ARITHMETIC,  /* its logarithm is not everybody's: it fails the self-test */
	MISBEHAVE_LAZY,	       /* skips a share of the steps */
	MISBEHAVE_POISONER,    /* gives one number the other sign after the last step */
	MISBEHAVE_PLAGIARIST,  /* hands one unit's result in for all of its round */
	MISBEHAVE_EQUIVOCATOR, /* commits to two results for one lease */
};
#define MISBEHAVE_LAST MISBEHAVE_EQUIVOCATOR

/* By name ("corrupt"). Errors: TK_EINVAL; the sentence lists the names. */
int misbehave_parse(enum misbehave *out, const char *name, struct errmsg *msg) TK_CHECKED;

const char *misbehave_name(enum misbehave mode);

/* Bends a payload, in place; random decides where. What else is done to units is in misbehave_unit.h. */
void misbehave_payload(enum misbehave mode, uint64_t random, struct bytes *payload);

/* Bends the digests of a self-test. */
void misbehave_selftest(enum misbehave mode, struct bytes *digests);

/* Bends a message about to be sent; false: it is not to be sent at all. A longer one borrows from
 * scratch. */
bool misbehave_message(enum misbehave mode, struct message *m, struct bytes *scratch);

/* Makes *m into a further message that is to go behind it; false: there is none. */
bool misbehave_again(enum misbehave mode, const struct key_pair *peer, struct message *m);

#endif
