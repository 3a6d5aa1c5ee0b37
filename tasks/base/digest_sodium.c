/* See digest.h and blake2b.h: digests of one stream. The only file that calls libsodium's BLAKE2b for
 * digests; trees are digest_tree.c's. */
#include "tasks/base/digest.h"

#include <sodium.h>
#include <string.h>

#include "tasks/base/blake2b.h"
#include "tasks/base/require.h"

void digest_bytes(struct digest *out, const void *data, size_t n)
{
	crypto_generichash(out->b, DIGEST_BYTES, data, n, NULL, 0);
}

void blake2b_one(
	struct digest *out, uint8_t tag, const void *a, size_t an, const void *b, size_t bn)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, DIGEST_BYTES);
	crypto_generichash_update(&state, &tag, 1);
	if (an != 0)
		crypto_generichash_update(&state, a, an);
	if (bn != 0)
		crypto_generichash_update(&state, b, bn);
	crypto_generichash_final(&state, out->b, DIGEST_BYTES);
}

void digest_fields(struct digest *out, const char *label, const struct span *fields, size_t count)
{
	crypto_generichash_state state;
	size_t label_len = strlen(label);
	uint8_t length[8];

	REQUIRE(label_len < 256);
	crypto_generichash_init(&state, NULL, 0, DIGEST_BYTES);
	length[0] = (uint8_t)label_len;
	crypto_generichash_update(&state, length, 1);
	crypto_generichash_update(&state, (const uint8_t *)label, label_len);
	for (size_t i = 0; i < count; i++) {
		store_le64(length, fields[i].len);
		crypto_generichash_update(&state, length, 8);
		crypto_generichash_update(&state, fields[i].data, fields[i].len);
	}
	crypto_generichash_final(&state, out->b, DIGEST_BYTES);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->b, b->b, DIGEST_BYTES) == 0;
}

bool digest_is_zero(const struct digest *d)
{
	static const struct digest zero;

	return digest_equal(d, &zero);
}

void digest_hex(char out[DIGEST_HEX], const struct digest *d)
{
	hex_encode(out, d->b, DIGEST_BYTES);
}

int digest_from_hex(struct digest *out, const char *text)
{
	return hex_decode(out->b, DIGEST_BYTES, text);
}
