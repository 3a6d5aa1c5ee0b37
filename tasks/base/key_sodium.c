/* See key.h. */
#include "tasks/base/key.h"

#include <sodium.h>
#include <string.h>

int crypto_start(void)
{
	return sodium_init() < 0 ? TK_EIO : TK_OK;
}

void random_bytes(void *out, size_t n)
{
	randombytes_buf(out, n);
}

void key_from_seed(struct key_pair *pair, const uint8_t seed[32])
{
	crypto_sign_seed_keypair(pair->public.b, pair->secret, seed);
}

void key_wipe(struct key_pair *pair)
{
	sodium_memzero(pair, sizeof(*pair));
}

bool key_equal(const struct public_key *a, const struct public_key *b)
{
	return memcmp(a->b, b->b, KEY_BYTES) == 0;
}

void key_sign(struct signature *out, const struct key_pair *pair, const char *label,
	const struct span *fields, size_t count)
{
	struct digest digest;

	digest_fields(&digest, label, fields, count);
	crypto_sign_detached(out->b, NULL, digest.b, DIGEST_BYTES, pair->secret);
}

bool key_verify(const struct public_key *key, const struct signature *signature, const char *label,
	const struct span *fields, size_t count)
{
	struct digest digest;

	digest_fields(&digest, label, fields, count);
	return crypto_sign_verify_detached(signature->b, digest.b, DIGEST_BYTES, key->b) == 0;
}

void secret_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}
