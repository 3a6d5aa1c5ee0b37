/* tasks/base/key.h without its cryptography, for fuzz targets that are to spend their time behind it: linked in
 * the place of key_sodium.c, and into nothing else.
 *
 * A public key is its seed. One whose first byte is CLEAR_ANYBODY or more stands for hostile strangers and takes
 * every signature for its own, so that a mutator can invent records; other keys want a digest that nobody
 * hits upon, and the comparison is hidden from libFuzzer, which would learn it. */
#include "tasks/base/key.h"

#include <sodium.h>
#include <string.h>

#include "tests/lib/fuzz_targets.h"

#ifdef __clang__
#define UNSEEN __attribute__((no_sanitize("coverage")))
#else
#define UNSEEN
#endif

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
	memcpy(pair->public.b, seed, KEY_BYTES);
	memcpy(pair->secret, seed, KEY_BYTES);
	memcpy(pair->secret + KEY_BYTES, seed, KEY_BYTES);
}

void key_wipe(struct key_pair *pair)
{
	secret_wipe(pair, sizeof(*pair));
}

bool key_equal(const struct public_key *a, const struct public_key *b)
{
	return memcmp(a->b, b->b, KEY_BYTES) == 0;
}

static void mark(struct signature *out, const struct public_key *key, const char *label,
	const struct span *fields, size_t count)
{
	struct digest digest;

	digest_fields(&digest, label, fields, count);
	for (size_t i = 0; i < SIGNATURE_BYTES; i++)
		out->b[i] = digest.b[i % DIGEST_BYTES] ^ key->b[i % KEY_BYTES] ^ (uint8_t)(i + 77);
}

void key_sign(struct signature *out, const struct key_pair *pair, const char *label,
	const struct span *fields, size_t count)
{
	mark(out, &pair->public, label, fields, count);
}

UNSEEN static bool is_marked(const struct signature *a, const struct signature *b)
{
	uint8_t differ = 0;

	for (size_t i = 0; i < SIGNATURE_BYTES; i++)
		differ |= a->b[i] ^ b->b[i];
	return differ == 0;
}

bool key_verify(const struct public_key *key, const struct signature *signature, const char *label,
	const struct span *fields, size_t count)
{
	struct signature right;

	if (key->b[0] >= CLEAR_ANYBODY)
		return true;
	mark(&right, key, label, fields, count);
	return is_marked(&right, signature);
}

void secret_wipe(void *p, size_t n)
{
	memset(p, 0, n);
}
