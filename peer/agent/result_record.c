/* See result_record.h. */
#include "peer/agent/result_record.h"

#include <string.h>

#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"
#include "tasks/base/require.h"

static bool leaves_fit(struct span leaves, const struct digest *root)
{
	struct digest is;

	if (leaves.len == 0 || leaves.len % DIGEST_BYTES != 0)
		return false;
	merkle_root(&is, (const struct digest *)leaves.data, leaves.len / DIGEST_BYTES);
	return digest_equal(&is, root);
}

int result_record_init(struct result_record *r, const struct digest *nonce,
	const struct digest *salt, struct span unit, struct span claim, struct span leaves,
	uint64_t payload_bytes, struct errmsg *msg)
{
	struct digest unit_is;
	struct claim c;
	int rc;

	if (unit.len > sizeof(r->unit) || claim.len > sizeof(r->claim) ||
		payload_bytes > PAYLOAD_BYTES_MAX || leaves.len / DIGEST_BYTES > TRACE_LEAVES_MAX)
		return errmsg_set(msg, TK_ELIMIT, "the result is larger than any unit's can be");
	rc = claim_decode(&c, claim, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, TK_ECORRUPT, "the result's claim");
	unit_digest(&unit_is, unit);
	if (!digest_equal(&unit_is, &c.unit))
		return errmsg_set(msg, TK_ECORRUPT, "the result is about another unit");
	if (c.payload_bytes != payload_bytes)
		return errmsg_set(msg, TK_ECORRUPT,
			"the result claims %llu bytes of payload and has %llu",
			(unsigned long long)c.payload_bytes, (unsigned long long)payload_bytes);
	if (!leaves_fit(leaves, &c.trace))
		return errmsg_set(msg, TK_ECORRUPT, "the result's trace is not the claimed one");
	*r = (struct result_record){.nonce = *nonce,
		.salt = *salt,
		.unit_bytes = unit.len,
		.claim_bytes = claim.len,
		.leaf_count = (uint32_t)(leaves.len / DIGEST_BYTES),
		.payload_bytes = payload_bytes};
	memcpy(r->unit, unit.data, unit.len);
	memcpy(r->claim, claim.data, claim.len);
	return TK_OK;
}

int result_record_encode(
	const struct result_record *r, struct span leaves, struct span payload, struct bytes *out)
{
	struct packer p;

	REQUIRE(payload.len == r->payload_bytes);
	REQUIRE(leaves.len == (size_t)r->leaf_count * DIGEST_BYTES);
	pack_begin(&p, out);
	pack_array(&p, 7);
	pack_u64(&p, RESULT_RECORD_VERSION);
	pack_digest(&p, &r->nonce);
	pack_digest(&p, &r->salt);
	pack_bin(&p, r->unit, r->unit_bytes);
	pack_bin(&p, r->claim, r->claim_bytes);
	pack_span(&p, leaves);
	pack_span(&p, payload);
	return pack_end(&p);
}

uint64_t result_record_leaves_at(const struct result_record *r)
{
	uint64_t head = r->payload_bytes <= UINT8_MAX ? 2 : r->payload_bytes <= UINT16_MAX ? 3 : 5;

	return (uint64_t)r->leaf_count * DIGEST_BYTES + head + r->payload_bytes;
}

/* An empty payload has no digest; any other must have the claimed one. */
static int payload_check(const struct result_record *r, struct span payload, struct errmsg *msg)
{
	struct digest is = {{0}};
	struct claim claim = {0};
	int rc = claim_decode(&claim, span_of(r->claim, r->claim_bytes), msg);

	if (rc != TK_OK)
		return rc;
	if (payload.len != 0)
		digest_blob(&is, payload.data, payload.len);
	if (!digest_equal(&is, &claim.payload))
		return errmsg_set(msg, TK_ECORRUPT, "the result's payload differs from its digest");
	return TK_OK;
}

int result_record_decode(struct result_record *r, struct span in, struct errmsg *msg)
{
	struct result_record record = {0};
	struct digest nonce, salt;
	struct span unit, claim, leaves, payload;
	struct mp_reader reader;
	uint32_t version;
	int rc;

	mp_begin(&reader, in);
	mp_array(&reader, "result", 7, 7);
	version = mp_u32(&reader, "version", 0, UINT32_MAX);
	if (reader.error == TK_OK && version != RESULT_RECORD_VERSION)
		return errmsg_set(msg, TK_EUNSUPPORTED,
			"the result was written by another version of talkoot-peer (format %u)",
			(unsigned)version);
	mp_digest(&reader, "nonce", &nonce);
	mp_digest(&reader, "salt", &salt);
	unit = mp_bin(&reader, "unit", UNIT_BYTES_MAX);
	claim = mp_bin(&reader, "claim", CLAIM_BYTES_MAX);
	leaves = mp_bin(&reader, "leaves", (size_t)TRACE_LEAVES_MAX * DIGEST_BYTES);
	payload = mp_bin(&reader, "payload", PAYLOAD_BYTES_MAX);
	rc = mp_end(&reader, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, TK_ECORRUPT, "the result");
	rc = result_record_init(&record, &nonce, &salt, unit, claim, leaves, payload.len, msg);
	if (rc == TK_OK)
		rc = payload_check(&record, payload, msg);
	if (rc == TK_OK)
		*r = record;
	return rc;
}

int result_record_commitment(const struct result_record *r, const struct public_key *network,
	const struct public_key *peer, struct digest *out, struct errmsg *msg)
{
	struct commitment c = {
		.network = *network, .nonce = r->nonce, .peer = *peer, .salt = r->salt};
	struct claim claim;
	int rc = claim_decode(&claim, span_of(r->claim, r->claim_bytes), msg);

	if (rc != TK_OK)
		return rc;
	unit_digest(&c.unit, span_of(r->unit, r->unit_bytes));
	claim_digest(&c.result, span_of(r->claim, r->claim_bytes));
	c.trace = claim.trace;
	commitment_digest(out, &c);
	return TK_OK;
}
