/* The Noise handshake and ciphers against golden vectors of a second implementation, and the traps
 * of the specification one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "peer/wire/noise.h"
#include "tasks/base/key.h"
#include "tests/wire/noise_golden.h"

#define BUFFER 1024

static const struct span no_bytes = {(const uint8_t *)"", 0};

struct two {
	struct noise_handshake initiator, responder;
};

static void two_init_psk(struct two *t, const uint8_t psk1[32], const uint8_t psk2[32])
{
	struct noise_pair s;
	uint8_t secrets[4][32];

	for (int i = 0; i < 4; i++)
		memset(secrets[i], 0x11 * (i + 1), 32);
	noise_pair_init(&s, secrets[0]);
	noise_handshake_init_psk(&t->initiator, true, span_text("prologue"), &s, secrets[2], psk1);
	noise_pair_init(&s, secrets[1]);
	noise_handshake_init_psk(&t->responder, false, span_text("prologue"), &s, secrets[3], psk2);
}

static void two_init(struct two *t)
{
	two_init_psk(t, NULL, NULL);
}

static void assert_hex(struct span got, const char *want)
{
	char hex[2 * BUFFER + 1];

	assert_true(got.len <= BUFFER);
	hex_encode(hex, got.data, got.len);
	assert_string_equal(hex, want);
}

/* One handshake message from one to the other; golden NULL: not compared. */
static void pass(struct noise_handshake *from, struct noise_handshake *to, const char *payload,
	const char *golden)
{
	uint8_t wire[BUFFER], got[BUFFER];
	size_t n, got_len;

	assert_true(noise_handshake_writes(from));
	assert_int_equal(
		noise_handshake_write(from, span_text(payload), wire, sizeof(wire), &n), TK_OK);
	if (golden != NULL)
		assert_hex(span_of(wire, n), golden);
	assert_int_equal(
		noise_handshake_read(to, span_of(wire, n), got, sizeof(got), &got_len), TK_OK);
	assert_true(span_equal(span_of(got, got_len), span_text(payload)));
}

static void shake(struct two *t)
{
	two_init(t);
	pass(&t->initiator, &t->responder, "first payload", golden_noise_1);
	pass(&t->responder, &t->initiator, "", golden_noise_2);
	pass(&t->initiator, &t->responder, "third payload", golden_noise_3);
}

static void handshake_equals_the_second_implementation(void **state)
{
	struct two t;

	(void)state;
	shake(&t);
	assert_true(noise_handshake_done(&t.initiator) && noise_handshake_done(&t.responder));
	assert_hex(span_of(t.initiator.symmetric.h, NOISE_HASH_BYTES), golden_noise_hash);
	assert_hex(span_of(t.responder.symmetric.h, NOISE_HASH_BYTES), golden_noise_hash);
	assert_memory_equal(t.initiator.rs, t.responder.s.public, NOISE_KEY_BYTES);
	assert_memory_equal(t.responder.rs, t.initiator.s.public, NOISE_KEY_BYTES);
}

static void transport(struct noise_cipher *send, struct noise_cipher *receive, struct span ad,
	struct span text, const char *golden)
{
	uint8_t wire[BUFFER], got[BUFFER];
	size_t n = text.len + NOISE_TAG_BYTES;

	assert_int_equal(noise_encrypt(send, ad, text, wire), TK_OK);
	assert_hex(span_of(wire, n), golden);
	assert_int_equal(noise_decrypt(receive, ad, span_of(wire, n), got), TK_OK);
	assert_true(span_equal(span_of(got, text.len), text));
}

static void transport_and_rekey_equal_the_second_implementation(void **state)
{
	struct noise_cipher up[2], down[2];
	uint8_t count[200];
	struct two t;

	(void)state;
	for (size_t i = 0; i < sizeof(count); i++)
		count[i] = (uint8_t)i;
	shake(&t);
	noise_split(&t.initiator, &up[0], &down[1]);
	noise_split(&t.responder, &down[0], &up[1]);
	transport(&up[0], &up[1], no_bytes, span_text("zero"), golden_initiator_0);
	transport(&up[0], &up[1], span_text("associated"), no_bytes, golden_initiator_1);
	transport(&down[0], &down[1], no_bytes, span_text("zero"), golden_responder_0);
	transport(&down[0], &down[1], span_text("associated"), no_bytes, golden_responder_1);
	for (int i = 0; i < 2; i++) {
		noise_rekey(&up[i]);
		noise_rekey(&down[i]);
		assert_int_equal(up[i].n, 2); /* a new key, the old count */
	}
	transport(&up[0], &up[1], no_bytes, span_of(count, sizeof(count)), golden_initiator_2);
	transport(&down[0], &down[1], no_bytes, span_of(count, sizeof(count)), golden_responder_2);
}

static void handshake_with_a_secret_equals_the_second_implementation(void **state)
{
	struct noise_cipher up[2], down[2];
	uint8_t count[200], psk[32];
	struct two t;

	(void)state;
	for (size_t i = 0; i < sizeof(count); i++)
		count[i] = (uint8_t)i;
	memset(psk, 0x55, sizeof(psk));
	two_init_psk(&t, psk, psk);
	pass(&t.initiator, &t.responder, "first payload", golden_psk_noise_1);
	pass(&t.responder, &t.initiator, "", golden_psk_noise_2);
	pass(&t.initiator, &t.responder, "third payload", golden_psk_noise_3);
	assert_hex(span_of(t.initiator.symmetric.h, NOISE_HASH_BYTES), golden_psk_noise_hash);
	noise_split(&t.initiator, &up[0], &down[1]);
	noise_split(&t.responder, &down[0], &up[1]);
	transport(&up[0], &up[1], no_bytes, span_text("zero"), golden_psk_initiator_0);
	transport(&up[0], &up[1], span_text("associated"), no_bytes, golden_psk_initiator_1);
	transport(&down[0], &down[1], no_bytes, span_text("zero"), golden_psk_responder_0);
	transport(&down[0], &down[1], span_text("associated"), no_bytes, golden_psk_responder_1);
	for (int i = 0; i < 2; i++) {
		noise_rekey(&up[i]);
		noise_rekey(&down[i]);
	}
	transport(&up[0], &up[1], no_bytes, span_of(count, sizeof(count)), golden_psk_initiator_2);
	transport(&down[0], &down[1], no_bytes, span_of(count, sizeof(count)),
		golden_psk_responder_2);
}

/* The responder finds out at message 3, and the initiator never has a session to use. */
static void different_secrets_never_agree(void **state)
{
	uint8_t psk[32] = {1}, other[32] = {1, 1}, wire[BUFFER], got[BUFFER];
	struct noise_handshake before;
	struct two t;
	size_t n;

	(void)state;
	two_init_psk(&t, psk, other);
	pass(&t.initiator, &t.responder, "", NULL);
	pass(&t.responder, &t.initiator, "", NULL);
	assert_int_equal(
		noise_handshake_write(&t.initiator, no_bytes, wire, sizeof(wire), &n), TK_OK);
	memcpy(&before, &t.responder, sizeof(before));
	assert_int_equal(noise_handshake_read(&t.responder, span_of(wire, n), got, sizeof(got), &n),
		TK_EAUTH);
	assert_memory_equal(&before, &t.responder, sizeof(before));
	/* and one side with a secret, the other without: not even message 1 */
	two_init_psk(&t, NULL, psk);
	assert_int_equal(
		noise_handshake_write(&t.initiator, no_bytes, wire, sizeof(wire), &n), TK_OK);
	assert_true(noise_handshake_read(&t.responder, span_of(wire, n), got, sizeof(got), &n) < 0);
}

static void splitting_forgets_the_handshake(void **state)
{
	static const struct noise_handshake wiped;
	struct noise_cipher send, receive;
	struct two t;

	(void)state;
	shake(&t);
	noise_split(&t.initiator, &send, &receive);
	assert_memory_equal(&t.initiator, &wiped, sizeof(wiped));
}

static void failed_decryption_leaves_the_nonce(void **state)
{
	uint8_t key[32] = {9}, first[4 + NOISE_TAG_BYTES], bad[4 + NOISE_TAG_BYTES], got[8];
	struct noise_cipher send, receive;

	(void)state;
	noise_cipher_init(&send, key);
	noise_cipher_init(&receive, key);
	assert_int_equal(noise_encrypt(&send, no_bytes, span_text("text"), first), TK_OK);
	for (size_t i = 0; i < sizeof(first); i++) {
		memcpy(bad, first, sizeof(bad));
		bad[i] ^= 0x10;
		assert_int_equal(noise_decrypt(&receive, no_bytes, span_of(bad, sizeof(bad)), got),
			TK_EAUTH);
	}
	for (size_t n = 0; n < sizeof(first); n++)
		assert_int_equal(
			noise_decrypt(&receive, no_bytes, span_of(first, n), got), TK_EAUTH);
	assert_int_equal(receive.n, 0);
	assert_int_equal(
		noise_decrypt(&receive, no_bytes, span_of(first, sizeof(first)), got), TK_OK);
	assert_int_equal(receive.n, 1);
	assert_int_equal(
		noise_decrypt(&receive, no_bytes, span_of(first, sizeof(first)), got), TK_EAUTH);
}

static void last_nonce_is_never_used(void **state)
{
	uint8_t key[32] = {9}, wire[16 + 4], got[8];
	struct noise_cipher c;

	(void)state;
	noise_cipher_init(&c, key);
	c.n = UINT64_MAX - 1;
	assert_int_equal(noise_encrypt(&c, no_bytes, span_text("last"), wire), TK_OK);
	assert_int_equal(noise_encrypt(&c, no_bytes, span_text("last"), wire), TK_ELIMIT);
	assert_int_equal(noise_decrypt(&c, no_bytes, span_of(wire, sizeof(wire)), got), TK_ELIMIT);
}

/* RFC 7748 section 6.1 asks for the check; these are the points 0, 1 and p - 1. */
static void points_of_low_order_are_refused(void **state)
{
	static const uint8_t zero[32], one[32] = {1};
	uint8_t minus_one[32], wire[BUFFER], got[BUFFER];
	const uint8_t *points[] = {zero, one, minus_one};
	size_t n;

	(void)state;
	memset(minus_one, 0xff, sizeof(minus_one));
	minus_one[0] = 0xec;
	minus_one[31] = 0x7f;
	for (size_t i = 0; i < 3; i++) {
		struct noise_handshake before;
		struct two t;

		two_init(&t);
		assert_int_equal(noise_handshake_read(&t.responder, span_of(points[i], 32), got,
					 sizeof(got), &n),
			TK_OK); /* nothing is computed with it yet */
		memcpy(&before, &t.responder, sizeof(before));
		assert_int_equal(
			noise_handshake_write(&t.responder, no_bytes, wire, sizeof(wire), &n),
			TK_EAUTH);
		assert_memory_equal(&before, &t.responder, sizeof(before));
	}
}

static void bad_handshake_message_changes_nothing(void **state)
{
	uint8_t wire[BUFFER], bad[BUFFER], got[BUFFER];
	struct noise_handshake before;
	size_t n, got_len = 77;
	struct two t;

	(void)state;
	two_init(&t);
	pass(&t.initiator, &t.responder, "hello", NULL);
	assert_int_equal(
		noise_handshake_write(&t.responder, span_text("two"), wire, sizeof(wire), &n),
		TK_OK);
	memcpy(&before, &t.initiator, sizeof(before));
	for (size_t i = 0; i < n; i++) {
		memcpy(bad, wire, n);
		bad[i] ^= 1;
		assert_int_equal(noise_handshake_read(
					 &t.initiator, span_of(bad, n), got, sizeof(got), &got_len),
			TK_EAUTH);
		assert_true(noise_handshake_read(&t.initiator, span_of(wire, i), got, sizeof(got),
				    &got_len) < 0);
		assert_memory_equal(&before, &t.initiator, sizeof(before));
	}
	assert_int_equal(got_len, 77);
	assert_int_equal(
		noise_handshake_read(&t.initiator, span_of(wire, n), got, sizeof(got), &got_len),
		TK_OK);
	pass(&t.initiator, &t.responder, "three", NULL);
}

static void different_prologues_never_agree(void **state)
{
	uint8_t secret[32] = {1}, wire[BUFFER], got[BUFFER];
	struct noise_handshake a, b;
	size_t n;

	(void)state;
	noise_handshake_init(&a, true, span_text("one"), secret, secret);
	noise_handshake_init(&b, false, span_text("two"), secret, secret);
	pass(&a, &b, "", NULL); /* in the clear: nothing authenticates yet */
	assert_int_equal(noise_handshake_write(&b, no_bytes, wire, sizeof(wire), &n), TK_OK);
	assert_int_equal(
		noise_handshake_read(&a, span_of(wire, n), got, sizeof(got), &n), TK_EAUTH);
}

static void handshake_message_that_is_too_long_is_refused(void **state)
{
	static const uint8_t big[NOISE_MESSAGE_MAX + 1];
	static uint8_t out[NOISE_MESSAGE_MAX + 1 + NOISE_OVERHEAD_MAX];
	struct two t;
	size_t n;

	(void)state;
	two_init(&t);
	assert_int_equal(noise_handshake_write(
				 &t.initiator, span_of(big, sizeof(big)), out, sizeof(out), &n),
		TK_ELIMIT);
	assert_int_equal(
		noise_handshake_read(&t.responder, span_of(big, sizeof(big)), out, sizeof(out), &n),
		TK_ELIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_equals_the_second_implementation),
		cmocka_unit_test(transport_and_rekey_equal_the_second_implementation),
		cmocka_unit_test(handshake_with_a_secret_equals_the_second_implementation),
		cmocka_unit_test(different_secrets_never_agree),
		cmocka_unit_test(splitting_forgets_the_handshake),
		cmocka_unit_test(failed_decryption_leaves_the_nonce),
		cmocka_unit_test(last_nonce_is_never_used),
		cmocka_unit_test(points_of_low_order_are_refused),
		cmocka_unit_test(bad_handshake_message_changes_nothing),
		cmocka_unit_test(different_prologues_never_agree),
		cmocka_unit_test(handshake_message_that_is_too_long_is_refused),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
