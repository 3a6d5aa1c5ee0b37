/* A computed result as it lies on disk until it is settled: everything that COMMIT, REVEAL and UPLOAD
 * will need, whatever happens to the process in between. One MessagePack array; the payload is last,
 * so that its parts can be read from the end of the file without reading the rest. */
#ifndef PEER_AGENT_RESULT_RECORD_H
#define PEER_AGENT_RESULT_RECORD_H

#include "tasks/unit/unit.h"

#define RESULT_RECORD_VERSION	1u
#define RESULT_RECORD_BYTES_MAX (PAYLOAD_BYTES_MAX + 4096)

struct result_record {
	struct digest nonce; /* the lease */
	struct digest salt;
	uint8_t unit[UNIT_BYTES_MAX]; /* struct unit, encoded */
	size_t unit_bytes;
	uint8_t claim[CLAIM_BYTES_MAX]; /* struct claim, encoded */
	size_t claim_bytes;
	uint64_t payload_bytes;
};

/* Fills a record. Errors: TK_ECORRUPT (the claim cannot be read, is about another unit or another
 * length of payload), TK_ELIMIT. */
int result_record_init(struct result_record *r, const struct digest *nonce,
	const struct digest *salt, struct span unit, struct span claim, uint64_t payload_bytes,
	struct errmsg *msg) TK_CHECKED;

/* Appends the record with its payload (r->payload_bytes long). Errors: TK_ENOMEM. */
int result_record_encode(
	const struct result_record *r, struct span payload, struct bytes *out) TK_CHECKED;

/* Reads a record and checks that its parts belong together, the payload's digest included.
 * Errors: TK_ECORRUPT, TK_EUNSUPPORTED (another version), TK_ELIMIT. */
int result_record_decode(struct result_record *r, struct span in, struct errmsg *msg) TK_CHECKED;

/* What COMMIT carries: the commitment of this peer in this network. */
int result_record_commitment(const struct result_record *r, const struct public_key *network,
	const struct public_key *peer, struct digest *out, struct errmsg *msg) TK_CHECKED;

#endif
