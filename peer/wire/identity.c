/* See identity.h and session.h. An identity is an Ed25519 key; the claim that travels in the
 * handshake, [minor, features, role, key, expiry, signature], binds it to the X25519 key that the
 * handshake proves. No clock: the time is an argument. */
#include "peer/wire/identity.h"

#include <inttypes.h>
#include <string.h>

#include "peer/wire/noise.h"
#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"

#define CLAIM_FIELDS 6u

static const char identity_label[] = "talkoot identity";

void identity_init(struct identity *id, const uint8_t ed25519_seed[32],
	const uint8_t x25519_secret[32], enum role role, const struct public_key *network)
{
	key_from_seed(&id->key, ed25519_seed);
	memcpy(id->x25519_secret, x25519_secret, sizeof(id->x25519_secret));
	noise_public_key(id->x25519_public, x25519_secret);
	id->role = role;
	id->features = WIRE_FEATURES;
	id->network = *network;
}

void identity_wipe(struct identity *id)
{
	secret_wipe(id, sizeof(*id));
}

void network_tag(uint8_t out[NETWORK_TAG_BYTES], const struct public_key *network)
{
	struct span field = span_of(network->b, KEY_BYTES);
	struct digest digest;

	digest_fields(&digest, "talkoot network", &field, 1);
	memcpy(out, digest.b, NETWORK_TAG_BYTES);
}

/* What the signature covers: network, static key, role (1 byte), expiry (le64). */
struct binding {
	uint8_t role[1];
	uint8_t expiry[8];
	struct span fields[4];
};

static void binding_init(struct binding *b, const struct public_key *network,
	const uint8_t x25519[32], enum role role, uint64_t expiry_s)
{
	b->role[0] = (uint8_t)role;
	store_le64(b->expiry, expiry_s);
	b->fields[0] = span_of(network->b, KEY_BYTES);
	b->fields[1] = span_of(x25519, 32);
	b->fields[2] = span_of(b->role, sizeof(b->role));
	b->fields[3] = span_of(b->expiry, sizeof(b->expiry));
}

int identity_encode(const struct identity *id, uint64_t now_s, struct bytes *out)
{
	uint64_t expiry_s = now_s + IDENTITY_LIFETIME_S;
	struct signature signature;
	struct binding b;
	struct packer p;

	binding_init(&b, &id->network, id->x25519_public, id->role, expiry_s);
	key_sign(&signature, &id->key, identity_label, b.fields, 4);
	pack_begin(&p, out);
	pack_array(&p, CLAIM_FIELDS);
	pack_u64(&p, WIRE_MINOR);
	pack_u64(&p, id->features);
	pack_u64(&p, id->role);
	pack_bin(&p, id->key.public.b, KEY_BYTES);
	pack_u64(&p, expiry_s);
	pack_bin(&p, signature.b, SIGNATURE_BYTES);
	return pack_end(&p);
}

static int check_times(uint64_t expiry_s, uint64_t now_s, struct errmsg *msg)
{
	if (expiry_s < now_s && now_s - expiry_s > IDENTITY_SKEW_S)
		return errmsg_set(msg, TK_EAUTH,
			"the other side's identity expired %" PRIu64
			" s ago; one of the two clocks "
			"must be wrong",
			now_s - expiry_s);
	if (expiry_s > now_s && expiry_s - now_s > IDENTITY_AHEAD_MAX_S)
		return errmsg_set(msg, TK_EAUTH,
			"the other side's identity holds for another %" PRIu64 " s, %u at most are "
			"accepted; one of the two clocks must be wrong",
			expiry_s - now_s, IDENTITY_AHEAD_MAX_S);
	return TK_OK;
}

int identity_check(struct identity_claim *out, struct span in, const uint8_t x25519[32],
	const struct public_key *network, uint64_t now_s, struct errmsg *msg)
{
	struct identity_claim c;
	struct signature signature;
	struct binding b;
	struct mp_reader r;
	int rc;

	mp_begin(&r, in);
	mp_array(&r, "identity", CLAIM_FIELDS, CLAIM_FIELDS);
	c.minor = mp_u32(&r, "minor version", 0, UINT32_MAX);
	c.features = mp_u64(&r, "features", 0, UINT64_MAX);
	c.role = (enum role)mp_u32(&r, "role", ROLE_PEER, ROLE_COORDINATOR);
	mp_public_key(&r, "key", &c.key);
	c.expiry_s = mp_u64(&r, "expiry", 0, UINT64_MAX);
	mp_signature(&r, "signature", &signature);
	rc = mp_end(&r, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "the other side's identity");

	rc = check_times(c.expiry_s, now_s, msg);
	if (rc != TK_OK)
		return rc;
	if (c.role == ROLE_COORDINATOR && !key_equal(&c.key, network))
		return errmsg_set(msg, TK_EAUTH,
			"the other side calls itself coordinator without the network's root key");
	binding_init(&b, network, x25519, c.role, c.expiry_s);
	if (!key_verify(&c.key, &signature, identity_label, b.fields, 4))
		return errmsg_set(msg, TK_EAUTH,
			"the other side's identity is not signed by its key for this session's "
			"static key, role, expiry and network");
	*out = c;
	return TK_OK;
}
