/* See noise.h. Primitives are libsodium's: X25519, ChaCha20-Poly1305 (RFC 8439), BLAKE2b (RFC 7693).
 * HMAC (RFC 2104) is made here, because Noise wants the real construction over blocks of 128 bytes
 * and not BLAKE2b's own keyed mode. */
#include "peer/wire/noise.h"

#include <sodium.h>
#include <string.h>

#include "tasks/base/require.h"

#define BLOCK_BYTES 128u /* BLAKE2b's */

enum token { NONE, E, S, EE, ES, SE, PSK };

struct protocol {
	const char *name;
	enum token pattern[NOISE_MESSAGE_COUNT][4];
};

/* XX:      -> e    <- e, ee, s, es    -> s, se */
static const struct protocol protocol_xx = {
	"Noise_XX_25519_ChaChaPoly_BLAKE2b",
	{{E}, {E, EE, S, ES}, {S, SE}},
};

/* XXpsk3:  -> e    <- e, ee, s, es    -> s, se, psk */
static const struct protocol protocol_xxpsk3 = {
	"Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b",
	{{E}, {E, EE, S, ES}, {S, SE, PSK}},
};

static const struct span no_bytes = {(const uint8_t *)"", 0};

void noise_public_key(uint8_t out[NOISE_KEY_BYTES], const uint8_t secret[NOISE_KEY_BYTES])
{
	crypto_scalarmult_base(out, secret);
}

void noise_pair_init(struct noise_pair *pair, const uint8_t secret[NOISE_KEY_BYTES])
{
	memcpy(pair->secret, secret, NOISE_KEY_BYTES);
	noise_public_key(pair->public, secret);
}

/* A point of low order would make the shared secret a constant that anybody knows: refused. */
static int dh(uint8_t out[NOISE_KEY_BYTES], const uint8_t secret[NOISE_KEY_BYTES],
	const uint8_t public[NOISE_KEY_BYTES])
{
	return crypto_scalarmult(out, secret, public) == 0 ? TK_OK : TK_EAUTH;
}

static void hash_two(uint8_t out[NOISE_HASH_BYTES], struct span a, struct span b)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, NOISE_HASH_BYTES);
	crypto_generichash_update(&state, a.data, a.len);
	crypto_generichash_update(&state, b.data, b.len);
	crypto_generichash_final(&state, out, NOISE_HASH_BYTES);
	sodium_memzero(&state, sizeof(state));
}

static void hmac_half(uint8_t out[NOISE_HASH_BYTES], const uint8_t key[NOISE_HASH_BYTES],
	uint8_t pad, struct span a, struct span b)
{
	crypto_generichash_state state;
	uint8_t block[BLOCK_BYTES];

	memset(block, pad, sizeof(block));
	for (size_t i = 0; i < NOISE_HASH_BYTES; i++)
		block[i] ^= key[i];
	crypto_generichash_init(&state, NULL, 0, NOISE_HASH_BYTES);
	crypto_generichash_update(&state, block, sizeof(block));
	crypto_generichash_update(&state, a.data, a.len);
	crypto_generichash_update(&state, b.data, b.len);
	crypto_generichash_final(&state, out, NOISE_HASH_BYTES);
	sodium_memzero(&state, sizeof(state));
	sodium_memzero(block, sizeof(block));
}

/* HMAC-BLAKE2b of a ‖ b. */
static void hmac(uint8_t out[NOISE_HASH_BYTES], const uint8_t key[NOISE_HASH_BYTES], struct span a,
	struct span b)
{
	uint8_t inner[NOISE_HASH_BYTES];

	hmac_half(inner, key, 0x36, a, b);
	hmac_half(out, key, 0x5c, span_of(inner, sizeof(inner)), no_bytes);
	sodium_memzero(inner, sizeof(inner));
}

/* HKDF with three outputs; out3 NULL: with two. */
static void hkdf(uint8_t out1[NOISE_HASH_BYTES], uint8_t out2[NOISE_HASH_BYTES],
	uint8_t out3[NOISE_HASH_BYTES], const uint8_t ck[NOISE_HASH_BYTES], struct span input)
{
	static const uint8_t one = 1, two = 2, three = 3;
	uint8_t temp[NOISE_HASH_BYTES];

	hmac(temp, ck, input, no_bytes);
	hmac(out1, temp, span_of(&one, 1), no_bytes);
	hmac(out2, temp, span_of(out1, NOISE_HASH_BYTES), span_of(&two, 1));
	if (out3 != NULL)
		hmac(out3, temp, span_of(out2, NOISE_HASH_BYTES), span_of(&three, 1));
	sodium_memzero(temp, sizeof(temp));
}

/* CipherState */

void noise_cipher_init(struct noise_cipher *c, const uint8_t key[NOISE_KEY_BYTES])
{
	memcpy(c->k, key, NOISE_KEY_BYTES);
	c->n = 0;
	c->has_key = true;
}

/* 32 zero bits, then the counter in little-endian order. */
static void nonce_bytes(uint8_t out[12], uint64_t n)
{
	store_le32(out, 0);
	store_le64(out + 4, n);
}

int noise_encrypt(struct noise_cipher *c, struct span ad, struct span plaintext, uint8_t *out)
{
	uint8_t nonce[12];

	REQUIRE(c->has_key);
	if (c->n == UINT64_MAX)
		return TK_ELIMIT;
	nonce_bytes(nonce, c->n);
	crypto_aead_chacha20poly1305_ietf_encrypt(
		out, NULL, plaintext.data, plaintext.len, ad.data, ad.len, NULL, nonce, c->k);
	c->n++;
	return TK_OK;
}

int noise_decrypt(struct noise_cipher *c, struct span ad, struct span ciphertext, uint8_t *out)
{
	uint8_t nonce[12];

	REQUIRE(c->has_key);
	if (c->n == UINT64_MAX)
		return TK_ELIMIT;
	if (ciphertext.len < NOISE_TAG_BYTES)
		return TK_EAUTH;
	nonce_bytes(nonce, c->n);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, ciphertext.data,
		    ciphertext.len, ad.data, ad.len, nonce, c->k) != 0)
		return TK_EAUTH;
	c->n++;
	return TK_OK;
}

void noise_rekey(struct noise_cipher *c)
{
	static const uint8_t zeros[NOISE_KEY_BYTES];
	uint8_t sealed[NOISE_KEY_BYTES + NOISE_TAG_BYTES];
	uint8_t nonce[12];

	REQUIRE(c->has_key);
	nonce_bytes(nonce, UINT64_MAX);
	crypto_aead_chacha20poly1305_ietf_encrypt(
		sealed, NULL, zeros, sizeof(zeros), NULL, 0, NULL, nonce, c->k);
	memcpy(c->k, sealed, NOISE_KEY_BYTES);
	sodium_memzero(sealed, sizeof(sealed));
}

/* SymmetricState */

/* A name of at most NOISE_HASH_BYTES is not hashed but filled up with zeros. */
static void symmetric_init(struct noise_symmetric *ss, const char *name)
{
	size_t n = strlen(name);

	REQUIRE(n <= NOISE_HASH_BYTES);
	*ss = (struct noise_symmetric){0};
	memcpy(ss->h, name, n);
	memcpy(ss->ck, ss->h, NOISE_HASH_BYTES);
}

static void mix_hash(struct noise_symmetric *ss, struct span data)
{
	hash_two(ss->h, span_of(ss->h, NOISE_HASH_BYTES), data);
}

static void mix_key(struct noise_symmetric *ss, const uint8_t input[NOISE_KEY_BYTES])
{
	uint8_t ck[NOISE_HASH_BYTES], temp_k[NOISE_HASH_BYTES];

	hkdf(ck, temp_k, NULL, ss->ck, span_of(input, NOISE_KEY_BYTES));
	memcpy(ss->ck, ck, sizeof(ck));
	noise_cipher_init(&ss->cipher, temp_k);
	sodium_memzero(ck, sizeof(ck));
	sodium_memzero(temp_k, sizeof(temp_k));
}

static void mix_key_and_hash(struct noise_symmetric *ss, const uint8_t input[NOISE_PSK_BYTES])
{
	uint8_t ck[NOISE_HASH_BYTES], temp_h[NOISE_HASH_BYTES], temp_k[NOISE_HASH_BYTES];

	hkdf(ck, temp_h, temp_k, ss->ck, span_of(input, NOISE_PSK_BYTES));
	memcpy(ss->ck, ck, sizeof(ck));
	mix_hash(ss, span_of(temp_h, sizeof(temp_h)));
	noise_cipher_init(&ss->cipher, temp_k);
	sodium_memzero(ck, sizeof(ck));
	sodium_memzero(temp_h, sizeof(temp_h));
	sodium_memzero(temp_k, sizeof(temp_k));
}

/* Writes to out and says how much in *len. */
static int encrypt_and_hash(
	struct noise_symmetric *ss, struct span plaintext, uint8_t *out, size_t *len)
{
	int rc = TK_OK;

	*len = plaintext.len;
	if (ss->cipher.has_key) {
		*len += NOISE_TAG_BYTES;
		rc = noise_encrypt(&ss->cipher, span_of(ss->h, NOISE_HASH_BYTES), plaintext, out);
	} else if (plaintext.len != 0) {
		memcpy(out, plaintext.data, plaintext.len);
	}
	if (rc == TK_OK)
		mix_hash(ss, span_of(out, *len));
	return rc;
}

static int decrypt_and_hash(
	struct noise_symmetric *ss, struct span ciphertext, uint8_t *out, size_t *len)
{
	int rc = TK_OK;

	*len = ciphertext.len;
	if (ss->cipher.has_key) {
		rc = noise_decrypt(&ss->cipher, span_of(ss->h, NOISE_HASH_BYTES), ciphertext, out);
		*len -= rc == TK_OK ? NOISE_TAG_BYTES : 0;
	} else if (ciphertext.len != 0) {
		memcpy(out, ciphertext.data, ciphertext.len);
	}
	if (rc == TK_OK)
		mix_hash(ss, ciphertext);
	return rc;
}

/* HandshakeState */

void noise_handshake_init(struct noise_handshake *h, bool initiator, struct span prologue,
	const uint8_t static_secret[NOISE_KEY_BYTES],
	const uint8_t ephemeral_secret[NOISE_KEY_BYTES])
{
	struct noise_pair s;

	noise_pair_init(&s, static_secret);
	noise_handshake_init_psk(h, initiator, prologue, &s, ephemeral_secret, NULL);
	sodium_memzero(&s, sizeof(s));
}

static const struct protocol *protocol_of(const struct noise_handshake *h)
{
	return h->has_psk ? &protocol_xxpsk3 : &protocol_xx;
}

void noise_handshake_init_psk(struct noise_handshake *h, bool initiator, struct span prologue,
	const struct noise_pair *s, const uint8_t ephemeral_secret[NOISE_KEY_BYTES],
	const uint8_t psk[NOISE_PSK_BYTES])
{
	*h = (struct noise_handshake){.initiator = initiator, .has_psk = psk != NULL};
	if (psk != NULL)
		memcpy(h->psk, psk, NOISE_PSK_BYTES);
	symmetric_init(&h->symmetric, protocol_of(h)->name);
	mix_hash(&h->symmetric, prologue);
	h->s = *s;
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

/* Without fresh randomness from both sides a pre-shared key would encrypt different texts under the same
 * key, so there each e also goes into the key (section 9.2). */
static void mix_e(struct noise_handshake *h, const uint8_t e[NOISE_KEY_BYTES])
{
	mix_hash(&h->symmetric, span_of(e, NOISE_KEY_BYTES));
	if (h->has_psk)
		mix_key(&h->symmetric, e);
}

/* The tokens ee, es and se mix a shared secret; es and se name the initiator's key first. */
static int mix_dh(struct noise_handshake *h, enum token token)
{
	bool mine_is_e = token == EE || (token == ES) == h->initiator;
	bool theirs_is_e = token == EE || (token == SE) == h->initiator;
	uint8_t shared[NOISE_KEY_BYTES];
	int rc = dh(shared, mine_is_e ? h->e.secret : h->s.secret, theirs_is_e ? h->re : h->rs);

	if (rc == TK_OK)
		mix_key(&h->symmetric, shared);
	sodium_memzero(shared, sizeof(shared));
	return rc;
}

/* Writes what a token asks for; *len is how much that is. */
static int write_token(struct noise_handshake *h, enum token token, uint8_t *out, size_t *len)
{
	*len = 0;
	switch (token) {
	case NONE:
		return TK_OK;
	case E:
		memcpy(out, h->e.public, NOISE_KEY_BYTES);
		mix_e(h, h->e.public);
		*len = NOISE_KEY_BYTES;
		return TK_OK;
	case S:
		return encrypt_and_hash(
			&h->symmetric, span_of(h->s.public, NOISE_KEY_BYTES), out, len);
	case PSK:
		mix_key_and_hash(&h->symmetric, h->psk);
		return TK_OK;
	default:
		return mix_dh(h, token);
	}
}

/* Reads what a token brings; *len is how much of the message that took. */
static int read_token(struct noise_handshake *h, enum token token, struct span in, size_t *len)
{
	size_t key_len;

	*len = 0;
	switch (token) {
	case NONE:
		return TK_OK;
	case E:
		if (in.len < NOISE_KEY_BYTES)
			return TK_EPROTO;
		memcpy(h->re, in.data, NOISE_KEY_BYTES);
		mix_e(h, h->re);
		*len = NOISE_KEY_BYTES;
		return TK_OK;
	case S:
		*len = NOISE_KEY_BYTES + NOISE_TAG_BYTES;
		if (in.len < *len)
			return TK_EPROTO;
		return decrypt_and_hash(&h->symmetric, span_of(in.data, *len), h->rs, &key_len);
	case PSK:
		mix_key_and_hash(&h->symmetric, h->psk);
		return TK_OK;
	default:
		return mix_dh(h, token);
	}
}

int noise_handshake_write(
	struct noise_handshake *h, struct span payload, uint8_t *out, size_t size, size_t *len)
{
	struct noise_handshake next = *h;
	const enum token *tokens;
	size_t at = 0, n;
	int rc;

	REQUIRE(noise_handshake_writes(h));
	if (payload.len > NOISE_MESSAGE_MAX - NOISE_OVERHEAD_MAX) {
		rc = TK_ELIMIT;
		goto out;
	}
	REQUIRE(size >= payload.len + NOISE_OVERHEAD_MAX);
	tokens = protocol_of(h)->pattern[h->messages];
	for (size_t i = 0; i < 4; i++) {
		rc = write_token(&next, tokens[i], out + at, &n);
		if (rc != TK_OK)
			goto out;
		at += n;
	}
	rc = encrypt_and_hash(&next.symmetric, payload, out + at, &n);
	if (rc != TK_OK)
		goto out;
	next.messages++;
	*len = at + n;
	*h = next;
out:
	noise_handshake_wipe(&next);
	return rc;
}

int noise_handshake_read(
	struct noise_handshake *h, struct span message, uint8_t *payload, size_t size, size_t *len)
{
	struct noise_handshake next = *h;
	const enum token *tokens;
	size_t n;
	int rc;

	REQUIRE(!noise_handshake_done(h) && !noise_handshake_writes(h));
	if (message.len > NOISE_MESSAGE_MAX) {
		rc = TK_ELIMIT;
		goto out;
	}
	REQUIRE(size >= message.len);
	tokens = protocol_of(h)->pattern[h->messages];
	for (size_t i = 0; i < 4; i++) {
		rc = read_token(&next, tokens[i], message, &n);
		if (rc != TK_OK)
			goto out;
		message = span_of(message.data + n, message.len - n);
	}
	rc = decrypt_and_hash(&next.symmetric, message, payload, &n);
	if (rc != TK_OK)
		goto out;
	next.messages++;
	*len = n;
	*h = next;
out:
	noise_handshake_wipe(&next);
	return rc;
}

void noise_split(struct noise_handshake *h, struct noise_cipher *send, struct noise_cipher *receive)
{
	uint8_t k1[NOISE_HASH_BYTES], k2[NOISE_HASH_BYTES];

	REQUIRE(noise_handshake_done(h));
	hkdf(k1, k2, NULL, h->symmetric.ck, no_bytes);
	noise_cipher_init(h->initiator ? send : receive, k1);
	noise_cipher_init(h->initiator ? receive : send, k2);
	sodium_memzero(k1, sizeof(k1));
	sodium_memzero(k2, sizeof(k2));
	noise_handshake_wipe(h);
}

void noise_handshake_wipe(struct noise_handshake *h)
{
	sodium_memzero(h, sizeof(*h));
}
