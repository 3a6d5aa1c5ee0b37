/* A computed result as it lies on disk until it is settled: everything that COMMIT, REVEAL and UPLOAD
 * and a dispute will need, whatever happens to the process in between. One MessagePack array; the trace's leaves
 * and the payload are last, so that parts of them can be read from the end of the file without reading the rest. */
#ifndef PEER_AGENT_RESULT_RECORD_H
#define PEER_AGENT_RESULT_RECORD_H

#include "peer/wire/messages.h"

#define RESULT_RECORD_VERSION 2u
#define RESULT_RECORD_BYTES_MAX                                                                    \
	(PAYLOAD_BYTES_MAX + (uint64_t)TRACE_LEAVES_MAX * DIGEST_BYTES + 4096)

struct result_record {
	struct digest nonce; /* the lease */
	struct digest salt;
	uint8_t unit[UNIT_BYTES_MAX]; /* struct unit, encoded */
	size_t unit_bytes;
	uint8_t claim[CLAIM_BYTES_MAX]; /* struct claim, encoded */
	size_t claim_bytes;
	uint32_t leaf_count; /* of the trace */
	uint64_t payload_bytes;
};

/* Fills a record. leaves: those of the trace, as bytes. Errors: TK_ECORRUPT (the claim cannot be read, is about
 * another unit, another trace or another length of payload), TK_ELIMIT. */
int result_record_init(struct result_record *r, const struct digest *nonce,
	const struct digest *salt, struct span unit, struct span claim, struct span leaves,
	uint64_t payload_bytes, struct errmsg *msg) TK_CHECKED;

/* Appends the record with its leaves and its payload (r->leaf_count, r->payload_bytes long). Errors:
 * TK_ENOMEM. */
int result_record_encode(const struct result_record *r, struct span leaves, struct span payload,
	struct bytes *out) TK_CHECKED;

/* How many bytes before its end an encoded record's leaves begin. */
uint64_t result_record_leaves_at(const struct result_record *r);

/* Reads a record and checks that its parts belong together, the payload's digest included.
 * Errors: TK_ECORRUPT, TK_EUNSUPPORTED (another version), TK_ELIMIT. */
int result_record_decode(struct result_record *r, struct span in, struct errmsg *msg) TK_CHECKED;

/* What COMMIT carries: the commitment of this peer in this network. */
int result_record_commitment(const struct result_record *r, const struct public_key *network,
	const struct public_key *peer, struct digest *out, struct errmsg *msg) TK_CHECKED;

#endif
