/* See identity.h and session.h. An identity is an Ed25519 key; the claim that travels in the
 * handshake, [minor, features, role, key, expiry, signature], binds it to the X25519 key that the
 * handshake proves; a serving key or a host adds the root's certificate. No clock: the time is an argument. */
#include "peer/wire/identity.h"

#include <inttypes.h>
#include <string.h>

#include "peer/wire/noise.h"
#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"

#define CLAIM_FIELDS  6u
#define SIGNED_FIELDS 8u /* with the certificate's expiry and signature */

static const char identity_label[] = "talkoot identity";
static const char serving_label[] = "talkoot serving key";
static const char host_label[] = "talkoot host";

void identity_init(struct identity *id, const uint8_t ed25519_seed[32],
	const uint8_t x25519_secret[32], enum role role, const struct public_key *network)
{
	key_from_seed(&id->key, ed25519_seed);
	memcpy(id->x25519_secret, x25519_secret, sizeof(id->x25519_secret));
	noise_public_key(id->x25519_public, x25519_secret);
	id->role = role;
	id->features = WIRE_FEATURES;
	id->network = *network;
	id->has_certificate = false;
	memset(&id->certificate, 0, sizeof(id->certificate));
	id->has_secret = false;
	memset(id->secret, 0, sizeof(id->secret));
}

void identity_wipe(struct identity *id)
{
	secret_wipe(id, sizeof(*id));
}

void identity_set_certificate(struct identity *id, const struct certificate *certificate)
{
	id->certificate = *certificate;
	id->has_certificate = true;
}

void identity_set_secret(struct identity *id, const uint8_t secret[NETWORK_SECRET])
{
	memcpy(id->secret, secret, sizeof(id->secret));
	id->has_secret = true;
}

void network_tag(uint8_t out[NETWORK_TAG_BYTES], const struct public_key *network,
	const uint8_t secret[NETWORK_SECRET])
{
	struct span fields[2] = {span_of(network->b, KEY_BYTES), span_of(secret, NETWORK_SECRET)};
	struct digest digest;

	if (secret != NULL)
		digest_fields(&digest, "talkoot private network", fields, 2);
	else
		digest_fields(&digest, "talkoot network", fields, 1);
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

/* A peer without one is still a peer; a serving key is nobody. */
static bool shows_certificate(const struct identity *id, uint64_t now_s)
{
	return id->has_certificate &&
	       (id->role != ROLE_PEER || id->certificate.expiry_s > now_s + HOST_SPARE_S);
}

int identity_encode(const struct identity *id, uint64_t now_s, struct bytes *out)
{
	uint64_t expiry_s = now_s + IDENTITY_LIFETIME_S;
	bool shows = shows_certificate(id, now_s);
	struct signature signature;
	struct binding b;
	struct packer p;

	binding_init(&b, &id->network, id->x25519_public, id->role, expiry_s);
	key_sign(&signature, &id->key, identity_label, b.fields, 4);
	pack_begin(&p, out);
	pack_array(&p, shows ? SIGNED_FIELDS : CLAIM_FIELDS);
	pack_u64(&p, WIRE_MINOR);
	pack_u64(&p, id->features);
	pack_u64(&p, id->role);
	pack_bin(&p, id->key.public.b, KEY_BYTES);
	pack_u64(&p, expiry_s);
	pack_bin(&p, signature.b, SIGNATURE_BYTES);
	if (shows) {
		pack_u64(&p, id->certificate.expiry_s);
		pack_bin(&p, id->certificate.signature.b, SIGNATURE_BYTES);
	}
	return pack_end(&p);
}

static int check_times(const char *what, uint64_t expiry_s, uint64_t now_s, uint32_t ahead_max_s,
	struct errmsg *msg)
{
	if (expiry_s < now_s && now_s - expiry_s > IDENTITY_SKEW_S)
		return errmsg_set(msg, TK_EAUTH,
			"the other side's %s expired %" PRIu64
			" s ago; one of the two clocks must be wrong",
			what, now_s - expiry_s);
	if (expiry_s > now_s && expiry_s - now_s > ahead_max_s)
		return errmsg_set(msg, TK_EAUTH,
			"the other side's %s holds for another %" PRIu64
			" s, %u at most are accepted; one of the two clocks must be wrong",
			what, expiry_s - now_s, ahead_max_s);
	return TK_OK;
}

/* Certificates */

/* What the root's signature covers: network, key, expiry (le64). Whether the key serves or is a host is in the
 * label. */
struct certified {
	uint8_t expiry[8];
	struct span fields[3];
};

static void certified_init(struct certified *f, const struct public_key *network,
	const struct public_key *key, uint64_t expiry_s)
{
	store_le64(f->expiry, expiry_s);
	f->fields[0] = span_of(network->b, KEY_BYTES);
	f->fields[1] = span_of(key->b, KEY_BYTES);
	f->fields[2] = span_of(f->expiry, sizeof(f->expiry));
}

static void certificate_sign(struct certificate *out, const char *label,
	const struct key_pair *root, const struct public_key *key, uint64_t expiry_s)
{
	struct certified f;

	out->expiry_s = expiry_s;
	certified_init(&f, &root->public, key, expiry_s);
	key_sign(&out->signature, root, label, f.fields, 3);
}

static int certificate_check(const struct certificate *c, const char *label,
	const struct public_key *network, const struct public_key *key, struct errmsg *msg)
{
	struct certified f;

	certified_init(&f, network, key, c->expiry_s);
	if (!key_verify(network, &c->signature, label, f.fields, 3))
		return errmsg_set(msg, TK_EAUTH,
			"the other side's certificate is not signed by the network's root key for "
			"its key");
	return TK_OK;
}

void serving_sign(struct certificate *out, const struct key_pair *root,
	const struct public_key *serving, uint64_t now_s)
{
	certificate_sign(out, serving_label, root, serving, now_s + SERVING_LIFETIME_S);
}

int serving_check(const struct certificate *c, const struct public_key *network,
	const struct public_key *serving, uint64_t now_s, struct errmsg *msg)
{
	int rc = check_times("certificate", c->expiry_s, now_s, SERVING_AHEAD_MAX_S, msg);

	return rc == TK_OK ? certificate_check(c, serving_label, network, serving, msg) : rc;
}

void host_sign(struct certificate *out, const struct key_pair *root, const struct public_key *peer,
	uint64_t now_s)
{
	certificate_sign(out, host_label, root, peer, now_s + HOST_LIFETIME_S);
}

int host_check(const struct certificate *c, const struct public_key *network,
	const struct public_key *peer, uint64_t now_s, struct errmsg *msg)
{
	int rc = check_times("certificate", c->expiry_s, now_s, HOST_AHEAD_MAX_S, msg);

	return rc == TK_OK ? certificate_check(c, host_label, network, peer, msg) : rc;
}

/* The other side's claim */

struct shown {
	struct identity_claim says;
	struct signature signature;
	bool has_certificate;
	struct certificate certificate;
};

static int claim_read(struct shown *c, struct span in, struct errmsg *msg)
{
	struct mp_reader r;
	uint32_t fields;
	int rc;

	mp_begin(&r, in);
	fields = mp_array(&r, "identity", CLAIM_FIELDS, SIGNED_FIELDS);
	c->says.minor = mp_u32(&r, "minor version", 0, UINT32_MAX);
	c->says.features = mp_u64(&r, "features", 0, UINT64_MAX);
	c->says.role = (enum role)mp_u32(&r, "role", ROLE_PEER, ROLE_COORDINATOR);
	mp_public_key(&r, "key", &c->says.key);
	c->says.expiry_s = mp_u64(&r, "expiry", 0, UINT64_MAX);
	mp_signature(&r, "signature", &c->signature);
	c->has_certificate = fields > CLAIM_FIELDS;
	if (c->has_certificate) {
		c->certificate.expiry_s = mp_u64(&r, "certificate's expiry", 0, UINT64_MAX);
		mp_signature(&r, "certificate's signature", &c->certificate.signature);
	}
	rc = mp_end(&r, msg);
	if (rc == TK_OK && fields != CLAIM_FIELDS && fields != SIGNED_FIELDS)
		rc = errmsg_set(msg, TK_EPROTO, "%u fields", fields);
	return rc == TK_OK ? rc : errmsg_prefix(msg, rc, "the other side's identity");
}

/* A certificate belongs to a coordinator's key that is not the root's, or to a peer that is a host. */
static int check_role(
	const struct shown *c, const struct public_key *network, uint64_t now_s, struct errmsg *msg)
{
	bool is_root = key_equal(&c->says.key, network);

	if (c->says.role == ROLE_PEER)
		return c->has_certificate
			       ? host_check(&c->certificate, network, &c->says.key, now_s, msg)
			       : TK_OK;
	if (!is_root && c->has_certificate)
		return serving_check(&c->certificate, network, &c->says.key, now_s, msg);
	if (!is_root)
		return errmsg_set(msg, TK_EAUTH,
			"the other side calls itself coordinator without the network's root key or "
			"a certificate from it");
	if (c->has_certificate)
		return errmsg_set(msg, TK_EPROTO,
			"the other side shows a certificate that the root key has no use for");
	return TK_OK;
}

int identity_check(struct identity_claim *out, struct span in, const uint8_t x25519[32],
	const struct public_key *network, uint64_t now_s, struct errmsg *msg)
{
	struct shown c = {0};
	struct binding b;
	int rc = claim_read(&c, in, msg);

	if (rc == TK_OK)
		rc = check_times("identity", c.says.expiry_s, now_s, IDENTITY_AHEAD_MAX_S, msg);
	if (rc == TK_OK)
		rc = check_role(&c, network, now_s, msg);
	if (rc != TK_OK)
		return rc;
	binding_init(&b, network, x25519, c.says.role, c.says.expiry_s);
	if (!key_verify(&c.says.key, &c.signature, identity_label, b.fields, 4))
		return errmsg_set(msg, TK_EAUTH,
			"the other side's identity is not signed by its key for this session's "
			"static key, role, expiry and network");
	*out = c.says;
	out->host = c.says.role == ROLE_PEER && c.has_certificate;
	return TK_OK;
}
