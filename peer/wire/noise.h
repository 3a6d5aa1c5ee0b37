/* Noise_XX_25519_ChaChaPoly_BLAKE2b, and XXpsk3 where both sides hold a secret: the handshake and the
 * ciphers that come out of it.
 *
 * Names follow the Noise specification, revision 34 (noiseprotocol.org): CipherState (section 5.1),
 * SymmetricState (5.2), HandshakeState (5.3), pre-shared keys (9), Rekey (11.3). No input or output, no randomness: the
 * ephemeral secret is an argument. Every call works on a copy and publishes it only on success, so a
 * message that fails to authenticate changes nothing, the nonce included. */
#ifndef PEER_WIRE_NOISE_H
#define PEER_WIRE_NOISE_H

#include "tasks/base/bytes.h"

#define NOISE_KEY_BYTES	    32u
#define NOISE_PSK_BYTES	    32u
#define NOISE_TAG_BYTES	    16u
#define NOISE_HASH_BYTES    64u
#define NOISE_MESSAGE_MAX   65535u
#define NOISE_OVERHEAD_MAX  96u /* what a handshake message adds to its payload: e, s, two tags */
#define NOISE_MESSAGE_COUNT 3u	/* of the patterns XX and XXpsk3 */

/* CipherState: a key and the number of messages that it has served. */
struct noise_cipher {
	uint8_t k[NOISE_KEY_BYTES];
	uint64_t n;
	bool has_key;
};

/* SymmetricState: chaining key and transcript hash. */
struct noise_symmetric {
	struct noise_cipher cipher;
	uint8_t ck[NOISE_HASH_BYTES];
	uint8_t h[NOISE_HASH_BYTES];
};

struct noise_pair {
	uint8_t secret[NOISE_KEY_BYTES];
	uint8_t public[NOISE_KEY_BYTES];
};

/* HandshakeState. Once done, symmetric.h is the handshake hash and rs the other side's static key. */
struct noise_handshake {
	struct noise_symmetric symmetric;
	struct noise_pair s, e;
	uint8_t rs[NOISE_KEY_BYTES], re[NOISE_KEY_BYTES];
	uint8_t psk[NOISE_PSK_BYTES];
	bool has_psk;
	bool initiator;
	unsigned messages; /* written and read so far */
};

/* The X25519 public key of a secret (RFC 7748). */
void noise_public_key(uint8_t out[NOISE_KEY_BYTES], const uint8_t secret[NOISE_KEY_BYTES]);

/* A cipher with this key and nonce 0. */
void noise_cipher_init(struct noise_cipher *c, const uint8_t key[NOISE_KEY_BYTES]);

/* EncryptWithAd: plaintext.len + NOISE_TAG_BYTES bytes to out, which may be plaintext.data itself.
 * Errors: TK_ELIMIT when the nonces are used up. */
int noise_encrypt(
	struct noise_cipher *c, struct span ad, struct span plaintext, uint8_t *out) TK_CHECKED;

/* DecryptWithAd: ciphertext.len - NOISE_TAG_BYTES bytes to out, which may be ciphertext.data itself.
 * On failure the nonce stays and what out holds is no plaintext. Errors: TK_EAUTH (forged, altered,
 * out of order or too short for a tag), TK_ELIMIT when the nonces are used up. */
int noise_decrypt(
	struct noise_cipher *c, struct span ad, struct span ciphertext, uint8_t *out) TK_CHECKED;

/* Replaces the key by its one-way successor. The nonce goes on counting. */
void noise_rekey(struct noise_cipher *c);

/* Starts one side. Copies the secrets; noise_handshake_wipe or noise_split forgets them. */
void noise_handshake_init(struct noise_handshake *h, bool initiator, struct span prologue,
	const uint8_t static_secret[NOISE_KEY_BYTES],
	const uint8_t ephemeral_secret[NOISE_KEY_BYTES]);
/* The same for a static pair whose public key is known, and with a pre-shared key: XXpsk3. psk NULL: XX. */
void noise_handshake_init_psk(struct noise_handshake *h, bool initiator, struct span prologue,
	const struct noise_pair *s, const uint8_t ephemeral_secret[NOISE_KEY_BYTES],
	const uint8_t psk[NOISE_PSK_BYTES]);

void noise_pair_init(struct noise_pair *pair, const uint8_t secret[NOISE_KEY_BYTES]);

/* True when the next message is ours to write; false when it is to be read or nothing is left. */
bool noise_handshake_writes(const struct noise_handshake *h);
bool noise_handshake_done(const struct noise_handshake *h);

/* Writes the next message into out, of which size ≥ payload.len + NOISE_OVERHEAD_MAX bytes exist;
 * *len gets its length. Errors: TK_ELIMIT (too long), TK_EAUTH (the other side's key is a point of low
 * order). */
int noise_handshake_write(struct noise_handshake *h, struct span payload, uint8_t *out, size_t size,
	size_t *len) TK_CHECKED;

/* Reads the other side's next message; its payload, never longer than the message, goes to payload
 * (size ≥ message.len). Errors: TK_EPROTO (too short), TK_ELIMIT (too long), TK_EAUTH (does not
 * authenticate, or a point of low order). */
int noise_handshake_read(struct noise_handshake *h, struct span message, uint8_t *payload,
	size_t size, size_t *len) TK_CHECKED;

/* The two transport ciphers of a handshake that is done; wipes it. */
void noise_split(
	struct noise_handshake *h, struct noise_cipher *send, struct noise_cipher *receive);

void noise_handshake_wipe(struct noise_handshake *h);

#endif
