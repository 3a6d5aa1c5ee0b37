/* See record.h. */
#include "peer/wire/record.h"

#include "tasks/base/require.h"

#define FORMAT 1u
#define LABEL  "talkoot record"

static void put_fields(struct packer *p, const struct record *r)
{
	pack_array(p, 8);
	pack_u64(p, FORMAT);
	pack_bin(p, r->key.b, KEY_BYTES);
	pack_u64(p, r->flags);
	pack_u64(p, r->sequence);
	pack_u64(p, r->expiry_s);
	pack_array(p, r->endpoint_count);
	for (uint32_t i = 0; i < r->endpoint_count; i++)
		endpoint_put(p, &r->endpoints[i]);
	pack_array(p, r->relay_count);
	for (uint32_t i = 0; i < r->relay_count; i++) {
		pack_array(p, 2);
		pack_bin(p, r->relays[i].key.b, KEY_BYTES);
		endpoint_put(p, &r->relays[i].at);
	}
}

int record_encode(const struct record *r, const struct key_pair *pair,
	const struct public_key *network, struct bytes *out)
{
	size_t before = out->len;
	struct signature signature;
	struct span fields[2];
	struct packer p;
	int rc;

	REQUIRE(r->endpoint_count <= RECORD_ENDPOINTS_MAX && r->relay_count <= RECORD_RELAYS_MAX);
	REQUIRE(key_equal(&r->key, &pair->public));
	pack_begin(&p, out);
	put_fields(&p, r);
	rc = pack_end(&p);
	if (rc == TK_OK) {
		fields[0] = span_of(network->b, KEY_BYTES);
		fields[1] = span_of(out->data + before, out->len - before);
		key_sign(&signature, pair, LABEL, fields, 2);
		pack_bin(&p, signature.b, SIGNATURE_BYTES);
		rc = pack_end(&p);
	}
	if (rc != TK_OK)
		out->len = before;
	REQUIRE(out->len - before <= RECORD_BYTES_MAX);
	return rc;
}

static void get_fields(struct mp_reader *r, struct record *out)
{
	mp_array(r, "record", 8, 8);
	mp_u32(r, "format", FORMAT, FORMAT);
	mp_public_key(r, "key", &out->key);
	out->flags = mp_u32(r, "flags", 0, RECORD_FLAGS_ALL);
	out->sequence = mp_u64(r, "sequence", 0, UINT64_MAX);
	out->expiry_s = mp_u64(r, "expiry", 0, UINT64_MAX);
	out->endpoint_count = mp_array(r, "endpoints", 0, RECORD_ENDPOINTS_MAX);
	for (uint32_t i = 0; i < out->endpoint_count; i++)
		endpoint_get(r, "endpoint", &out->endpoints[i]);
	out->relay_count = mp_array(r, "relays", 0, RECORD_RELAYS_MAX);
	for (uint32_t i = 0; i < out->relay_count; i++) {
		mp_array(r, "relay", 2, 2);
		mp_public_key(r, "relay", &out->relays[i].key);
		endpoint_get(r, "endpoint", &out->relays[i].at);
	}
}

static int check_age(const struct record *r, uint64_t now_s, struct errmsg *msg)
{
	if (r->expiry_s > now_s + RECORD_AHEAD_MAX_S)
		return errmsg_set(msg, TK_ELIMIT, "a peer record that expires absurdly late");
	if (r->expiry_s > now_s + RECORD_KEPT_AHEAD_S)
		return errmsg_set(msg, TK_EINVAL, "a peer record that expires too late");
	if (r->expiry_s < now_s - RECORD_SKEW_S)
		return errmsg_set(msg, TK_EINVAL, "a peer record that has expired");
	return TK_OK;
}

int record_decode(struct record *out, struct span in, const struct public_key *network,
	uint64_t now_s, struct errmsg *msg)
{
	struct record got = {0};
	struct signature signature = {{0}};
	struct span fields[2] = {{network->b, KEY_BYTES}};
	struct mp_reader r;
	int rc;

	if (in.len > RECORD_BYTES_MAX)
		return errmsg_set(msg, TK_ELIMIT, "a peer record of %zu bytes; %u are allowed",
			in.len, RECORD_BYTES_MAX);
	mp_begin(&r, in);
	get_fields(&r, &got);
	fields[1] = span_of(in.data, (size_t)(r.at - in.data));
	mp_signature(&r, "signature", &signature);
	rc = mp_end(&r, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "a peer record");
	if (now_s != RECORD_ANY_AGE)
		rc = check_age(&got, now_s, msg);
	if (rc != TK_OK)
		return rc;
	if (!key_verify(&got.key, &signature, LABEL, fields, 2))
		return errmsg_set(msg, TK_EAUTH, "a peer record whose signature is not its peer's");
	*out = got;
	return TK_OK;
}
