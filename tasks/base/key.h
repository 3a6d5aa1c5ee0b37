/* Ed25519 identities and signatures, and random bytes for shells.
 *
 * A signature covers digest_fields(label, …): the label separates uses, so a signature made for one
 * purpose can never be taken for another. */
#ifndef TASKS_BASE_KEY_H
#define TASKS_BASE_KEY_H

#include "tasks/base/bytes.h"
#include "tasks/base/digest.h"

#define KEY_BYTES	32
#define SIGNATURE_BYTES 64

struct public_key {
	uint8_t b[KEY_BYTES];
};

struct signature {
	uint8_t b[SIGNATURE_BYTES];
};

/* An identity: the 32-byte seed is the secret. */
struct key_pair {
	struct public_key public;
	uint8_t secret[64]; /* libsodium's form: seed ‖ public key */
};

/* Must succeed once before anything else in Talkoot runs. Errors: TK_EIO. */
int crypto_start(void) TK_CHECKED;

/* For shells only; cores get randomness in events. */
void random_bytes(void *out, size_t n);

void key_from_seed(struct key_pair *pair, const uint8_t seed[32]);
void key_wipe(struct key_pair *pair);
bool key_equal(const struct public_key *a, const struct public_key *b);

/* Signs digest_fields(label, fields). */
void key_sign(struct signature *out, const struct key_pair *pair, const char *label,
	const struct span *fields, size_t count);

/* True when the signature over digest_fields(label, fields) is this key's. */
bool key_verify(const struct public_key *key, const struct signature *signature, const char *label,
	const struct span *fields, size_t count);

/* Overwrites secrets in a way that the compiler keeps. */
void secret_wipe(void *p, size_t n);

#endif
