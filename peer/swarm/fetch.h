/* Fetching one blob from one node: a core that asks for parts in order, a few at a time, and checks
 * the whole against its digest. More sources at once come with the swarm; the messages stay. */
#ifndef PEER_SWARM_FETCH_H
#define PEER_SWARM_FETCH_H

#include "peer/wire/messages.h"

#define FETCH_PARTS_AHEAD 8u

struct fetch {
	struct digest digest;
	uint64_t max;	  /* the most we accept */
	uint64_t total;	  /* 0: not known yet */
	uint64_t asked;	  /* bytes asked for */
	struct bytes got; /* grows as bytes arrive, never by what a header claims */
};

void fetch_begin(struct fetch *f, const struct digest *digest, uint64_t max);
void fetch_close(struct fetch *f);

/* The next request to send, if any: true and *out. The first asks for BLOB_PART_MAX bytes of a blob
 * whose length nobody told yet: its answer ends with the blob. */
bool fetch_next_request(struct fetch *f, struct message *out);

/* After a reconnect: what was asked and not answered is asked again. */
void fetch_restart(struct fetch *f);

/* Takes a part. TK_OK: more is needed; 1: complete and its digest is right (got has it).
 * Errors: TK_EPROTO (not what was asked), TK_ELIMIT and TK_ENOMEM leave f as it was; after TK_ECORRUPT
 * (digest differs) f has forgotten all bytes and can ask anew. */
int fetch_part(
	struct fetch *f, const struct message_blob_part *part, struct errmsg *msg) TK_CHECKED;

#endif
