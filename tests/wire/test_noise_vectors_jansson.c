/* The Noise vectors of cacophony and snow: every XX and XXpsk3 entry with ChaChaPoly and
 * BLAKE2b, message by message (snow has none with a secret).
 * They lie beside the project (TALKOOT_SHARED, or ../shared); without them the test is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/wire/noise.h"
#include "tasks/base/key.h"

#define BUFFER 4096

static const char xx[] = "Noise_XX_25519_ChaChaPoly_BLAKE2b";
static const char xxpsk3[] = "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b";

/* Reads a field of hex digits; a field that is not there is empty. */
static struct span field(const json_t *object, const char *name, uint8_t out[BUFFER])
{
	const char *hex = json_string_value(json_object_get(object, name));
	size_t n = hex != NULL ? strlen(hex) / 2 : 0;

	assert_true(n <= BUFFER);
	if (n != 0)
		assert_int_equal(hex_decode(out, n, hex), TK_OK);
	return span_of(out, n);
}

/* The pre-shared key of one side; NULL: the vector has none. */
static const uint8_t *secret(const json_t *vector, bool initiator, uint8_t out[BUFFER])
{
	const json_t *psks = json_object_get(vector, initiator ? "init_psks" : "resp_psks");
	const char *hex = json_string_value(json_array_get(psks, 0));

	if (json_array_size(psks) == 0)
		return NULL;
	assert_int_equal(json_array_size(psks), 1);
	assert_int_equal(hex_decode(out, NOISE_PSK_BYTES, hex), TK_OK);
	return out;
}

static void start(struct noise_handshake *h, const json_t *vector, bool initiator)
{
	uint8_t prologue[BUFFER], s[BUFFER], e[BUFFER], psk[BUFFER];
	struct span p = field(vector, initiator ? "init_prologue" : "resp_prologue", prologue);
	struct noise_pair pair;

	assert_int_equal(field(vector, initiator ? "init_static" : "resp_static", s).len, 32);
	assert_int_equal(field(vector, initiator ? "init_ephemeral" : "resp_ephemeral", e).len, 32);
	noise_pair_init(&pair, s);
	noise_handshake_init_psk(h, initiator, p, &pair, e, secret(vector, initiator, psk));
}

struct run {
	struct noise_handshake h[2]; /* initiator, responder */
	struct noise_cipher send[2], receive[2];
};

/* Message i is the initiator's when i is even, in the handshake and after it. */
static void message(struct run *r, size_t i, const json_t *m, const json_t *vector)
{
	uint8_t payload[BUFFER], ciphertext[BUFFER], wire[BUFFER], got[BUFFER];
	struct span text = field(m, "payload", payload);
	struct span want = field(m, "ciphertext", ciphertext);
	size_t from = i % 2, to = 1 - from, n = text.len + NOISE_TAG_BYTES, got_len = text.len;

	if (i < NOISE_MESSAGE_COUNT) {
		assert_int_equal(
			noise_handshake_write(&r->h[from], text, wire, sizeof(wire), &n), TK_OK);
		assert_true(span_equal(span_of(wire, n), want));
		assert_int_equal(
			noise_handshake_read(&r->h[to], want, got, sizeof(got), &got_len), TK_OK);
	} else {
		assert_int_equal(noise_encrypt(&r->send[from], span_of("", 0), text, wire), TK_OK);
		assert_true(span_equal(span_of(wire, n), want));
		assert_int_equal(noise_decrypt(&r->receive[to], span_of("", 0), want, got), TK_OK);
	}
	assert_true(span_equal(span_of(got, got_len), text));
	if (i + 1 != NOISE_MESSAGE_COUNT)
		return;
	for (size_t side = 0; side < 2; side++) {
		uint8_t hash[BUFFER];
		struct span h = field(vector, "handshake_hash", hash);

		assert_true(h.len == 0 ||
			    span_equal(h, span_of(r->h[side].symmetric.h, NOISE_HASH_BYTES)));
		noise_split(&r->h[side], &r->send[side], &r->receive[side]);
	}
}

static void run_vector(const json_t *vector)
{
	const json_t *messages = json_object_get(vector, "messages");
	struct run r;

	start(&r.h[0], vector, true);
	start(&r.h[1], vector, false);
	assert_true(json_array_size(messages) > NOISE_MESSAGE_COUNT);
	for (size_t i = 0; i < json_array_size(messages); i++)
		message(&r, i, json_array_get(messages, i), vector);
}

static void run_file(const char *name, const char *wanted)
{
	const char *shared = getenv("TALKOOT_SHARED");
	char path[1024];
	const json_t *vectors;
	size_t ran = 0;
	json_t *root;
	FILE *f;

	snprintf(path, sizeof(path), "%s/vectors/noise/%s", shared != NULL ? shared : "../shared",
		name);
	f = fopen(path, "r");
	if (f == NULL) {
		print_message("skipped: no %s\n", path);
		skip();
	}
	root = json_loadf(f, 0, NULL);
	fclose(f);
	assert_non_null(root);
	vectors = json_object_get(root, "vectors");
	for (size_t i = 0; i < json_array_size(vectors); i++) {
		const json_t *v = json_array_get(vectors, i);
		const char *protocol = json_string_value(json_object_get(v, "protocol_name"));

		if (protocol == NULL || strcmp(protocol, wanted) != 0)
			continue;
		run_vector(v);
		ran++;
	}
	json_decref(root);
	assert_true(ran > 0);
}

static void every_cacophony_vector_holds(void **state)
{
	(void)state;
	run_file("cacophony.json", xx);
}

static void every_snow_vector_holds(void **state)
{
	(void)state;
	run_file("snow.json", xx);
}

static void every_cacophony_vector_with_a_secret_holds(void **state)
{
	(void)state;
	run_file("cacophony.json", xxpsk3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cacophony_vector_holds),
		cmocka_unit_test(every_snow_vector_holds),
		cmocka_unit_test(every_cacophony_vector_with_a_secret_holds),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
