/* peer/wire/noise.h without its cryptography, for fuzz targets that are to spend their time behind it: linked in
 * the place of noise_sodium.c, and into nothing else.
 *
 * The handshake's messages have the pattern and the lengths of Noise_XX and XXpsk3, with keys and payloads in
 * clear and tags of zeros that nobody looks at; frames are their plaintext and such a tag. So whatever a
 * mutator writes is what the layers above get to read. */
#include <string.h>

#include "peer/wire/noise.h"
#include "tasks/base/key.h"
#include "tasks/base/require.h"

#define PUBLIC_MASK 0x5a

void noise_public_key(uint8_t out[NOISE_KEY_BYTES], const uint8_t secret[NOISE_KEY_BYTES])
{
	for (size_t i = 0; i < NOISE_KEY_BYTES; i++)
		out[i] = secret[i] ^ PUBLIC_MASK;
}

void noise_pair_init(struct noise_pair *pair, const uint8_t secret[NOISE_KEY_BYTES])
{
	memcpy(pair->secret, secret, NOISE_KEY_BYTES);
	noise_public_key(pair->public, secret);
}

/* Ciphers */

void noise_cipher_init(struct noise_cipher *c, const uint8_t key[NOISE_KEY_BYTES])
{
	memcpy(c->k, key, NOISE_KEY_BYTES);
	c->n = 0;
	c->has_key = true;
}

int noise_encrypt(struct noise_cipher *c, struct span ad, struct span plaintext, uint8_t *out)
{
	(void)ad;
	memmove(out, plaintext.data, plaintext.len);
	memset(out + plaintext.len, 0, NOISE_TAG_BYTES);
	c->n++;
	return TK_OK;
}

int noise_decrypt(struct noise_cipher *c, struct span ad, struct span ciphertext, uint8_t *out)
{
	(void)ad;
	if (ciphertext.len < NOISE_TAG_BYTES)
		return TK_EAUTH;
	memmove(out, ciphertext.data, ciphertext.len - NOISE_TAG_BYTES);
	c->n++;
	return TK_OK;
}

void noise_rekey(struct noise_cipher *c)
{
	c->k[0]++;
}

/* The handshake */

void noise_handshake_init(struct noise_handshake *h, bool initiator, struct span prologue,
	const uint8_t static_secret[NOISE_KEY_BYTES],
	const uint8_t ephemeral_secret[NOISE_KEY_BYTES])
{
	struct noise_pair s;

	noise_pair_init(&s, static_secret);
	noise_handshake_init_psk(h, initiator, prologue, &s, ephemeral_secret, NULL);
}

void noise_handshake_init_psk(struct noise_handshake *h, bool initiator, struct span prologue,
	const struct noise_pair *s, const uint8_t ephemeral_secret[NOISE_KEY_BYTES],
	const uint8_t psk[NOISE_PSK_BYTES])
{
	(void)prologue;
	*h = (struct noise_handshake){.s = *s, .initiator = initiator, .has_psk = psk != NULL};
	noise_pair_init(&h->e, ephemeral_secret);
}

bool noise_handshake_done(const struct noise_handshake *h)
{
	return h->messages == NOISE_MESSAGE_COUNT;
}

bool noise_handshake_writes(const struct noise_handshake *h)
{
	return !noise_handshake_done(h) && (h->messages % 2 == 0) == h->initiator;
}

/* What message number h->messages carries: e, s with its tag, a tag behind the payload. */
struct shape {
	bool e, s, tag;
};

static struct shape shape_of(const struct noise_handshake *h)
{
	return (struct shape){
		.e = h->messages < 2, .s = h->messages != 0, .tag = h->messages != 0 || h->has_psk};
}

int noise_handshake_write(
	struct noise_handshake *h, struct span payload, uint8_t *out, size_t size, size_t *len)
{
	struct shape shape = shape_of(h);
	uint8_t *at = out;

	REQUIRE(noise_handshake_writes(h));
	REQUIRE(size >= payload.len + NOISE_OVERHEAD_MAX);
	memset(out, 0, NOISE_OVERHEAD_MAX);
	if (shape.e) {
		memcpy(at, h->e.public, NOISE_KEY_BYTES);
		at += NOISE_KEY_BYTES;
	}
	if (shape.s) {
		memcpy(at, h->s.public, NOISE_KEY_BYTES);
		at += NOISE_KEY_BYTES + NOISE_TAG_BYTES;
	}
	memcpy(at, payload.data, payload.len);
	at += payload.len;
	if (shape.tag) {
		memset(at, 0, NOISE_TAG_BYTES);
		at += NOISE_TAG_BYTES;
	}
	h->messages++;
	*len = (size_t)(at - out);
	return TK_OK;
}

/* Zero stands for the points of low order. */
static int take_key(uint8_t out[NOISE_KEY_BYTES], const uint8_t *in)
{
	static const uint8_t zero[NOISE_KEY_BYTES];

	memcpy(out, in, NOISE_KEY_BYTES);
	return memcmp(in, zero, NOISE_KEY_BYTES) != 0 ? TK_OK : TK_EAUTH;
}

int noise_handshake_read(
	struct noise_handshake *h, struct span message, uint8_t *payload, size_t size, size_t *len)
{
	struct shape shape = shape_of(h);
	size_t keys =
		(shape.e ? NOISE_KEY_BYTES : 0) + (shape.s ? NOISE_KEY_BYTES + NOISE_TAG_BYTES : 0);
	size_t around = keys + (shape.tag ? NOISE_TAG_BYTES : 0);
	int rc = TK_OK;

	REQUIRE(!noise_handshake_done(h) && !noise_handshake_writes(h));
	if (message.len < around)
		return TK_EPROTO;
	if (message.len > NOISE_MESSAGE_MAX || message.len - around > size)
		return TK_ELIMIT;
	if (shape.e)
		rc = take_key(h->re, message.data);
	if (rc == TK_OK && shape.s)
		rc = take_key(h->rs, message.data + (shape.e ? NOISE_KEY_BYTES : 0));
	if (rc != TK_OK)
		return rc;
	*len = message.len - around;
	memcpy(payload, message.data + keys, *len);
	h->messages++;
	return TK_OK;
}

void noise_split(struct noise_handshake *h, struct noise_cipher *send, struct noise_cipher *receive)
{
	static const uint8_t zero[NOISE_KEY_BYTES];

	REQUIRE(noise_handshake_done(h));
	noise_cipher_init(send, zero);
	noise_cipher_init(receive, zero);
	noise_handshake_wipe(h);
}

void noise_handshake_wipe(struct noise_handshake *h)
{
	secret_wipe(h, sizeof(*h));
}
