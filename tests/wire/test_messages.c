/* The message codec: every message there and back at its limits, every limit refused one step
 * beyond, and decoders that survive anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "peer/wire/messages.h"
#include "tasks/base/mem.h"
#include "tasks/base/pack.h"
#include "tests/lib/message_samples.h"

static const enum message_type types[] = {
#define X(name, member, number) name,
	MESSAGES(X)
#undef X
};
#define TYPES (sizeof(types) / sizeof(types[0]))

static struct bytes encoded(const struct message *m)
{
	struct bytes b = {0};

	assert_int_equal(message_encode(m, &b), TK_OK);
	return b;
}

/* Encodes what was decoded and wants the same bytes. */
static bool same_again(const struct message *m, struct span in)
{
	struct bytes b = encoded(m);
	bool same = span_equal(bytes_span(&b), in);

	bytes_close(&b);
	return same;
}

static void every_message_goes_there_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * TYPES; i++) {
		struct message m, got;
		struct errmsg msg;
		struct bytes b;

		fill_message(&m, types[i / 2], i % 2);
		b = encoded(&m);
		if (message_decode(&got, bytes_span(&b), &msg) != TK_OK)
			fail_msg("%s: %s", message_name(m.type), msg.text);
		assert_int_equal(got.type, m.type);
		assert_true(same_again(&got, bytes_span(&b)));
		assert_true(b.len <= MESSAGE_BYTES_MAX);
		bytes_close(&b);
	}
}

static void fields_arrive_as_they_were_sent(void **state)
{
	struct message m, got;
	struct bytes b;

	(void)state;
	fill_message(&m, MESSAGE_LEASE, true);
	b = encoded(&m);
	assert_int_equal(message_decode(&got, bytes_span(&b), NULL), TK_OK);
	assert_true(digest_equal(&got.lease.nonce, &m.lease.nonce));
	assert_true(got.lease.deadline_ms == UINT32_MAX);
	assert_true(span_equal(got.lease.manifest, m.lease.manifest));
	assert_true(span_equal(got.lease.unit, m.lease.unit));
	assert_memory_equal(&got.lease.signature, &m.lease.signature, sizeof(m.lease.signature));
	assert_int_equal(got.lease.path_steps, MERKLE_STEPS_MAX);
	assert_memory_equal(got.lease.path, m.lease.path, sizeof(m.lease.path));
	bytes_close(&b);

	fill_message(&m, MESSAGE_SETTLED, true);
	b = encoded(&m);
	assert_int_equal(message_decode(&got, bytes_span(&b), NULL), TK_OK);
	assert_int_equal(got.settled.verdict, VERDICT_UNKNOWN);
	assert_true(got.settled.credit_flops == UINT64_MAX);
	assert_string_equal(got.settled.text, m.settled.text);
	bytes_close(&b);
}

/* What message_decode says to m, which breaks one limit. */
static void assert_refused(const struct message *m, const char *field)
{
	struct message got = {.type = MESSAGE_PONG};
	struct bytes b = encoded(m);
	struct errmsg msg = {""};
	int rc = message_decode(&got, bytes_span(&b), &msg);
	char want[80];

	snprintf(want, sizeof(want), "message %s: field \"%s\"", message_name(m->type), field);
	if (rc != TK_ELIMIT || strncmp(msg.text, want, strlen(want)) != 0)
		fail_msg("wanted %s…, got %s: %s", want, error_name(rc), msg.text);
	assert_int_equal(got.type, MESSAGE_PONG); /* untouched */
	bytes_close(&b);
}

#define REFUSED(message_type, largest, field, change)                                              \
	do {                                                                                       \
		fill_message(&m, message_type, largest);                                           \
		change;                                                                            \
		assert_refused(&m, field);                                                         \
	} while (0)

static void one_step_beyond_each_limit_is_refused(void **state)
{
	struct message m;

	(void)state;
	REFUSED(MESSAGE_GOODBYE, false, "reason", m.goodbye.reason = 0);
	REFUSED(MESSAGE_GOODBYE, true, "reason", m.goodbye.reason++);
	REFUSED(MESSAGE_BLOB_GET, true, "offset", m.blob_get.offset++);
	REFUSED(MESSAGE_BLOB_GET, false, "length", m.blob_get.length = 0);
	REFUSED(MESSAGE_BLOB_GET, true, "length", m.blob_get.length++);
	REFUSED(MESSAGE_BLOB_PART, true, "total", m.blob_part.total++);
	REFUSED(MESSAGE_BLOB_PART, true, "offset", m.blob_part.offset = BLOB_BYTES_MAX + 1);
	REFUSED(MESSAGE_BLOB_PART, true, "bytes", m.blob_part.offset++);
	REFUSED(MESSAGE_BLOB_PART, true, "bytes", m.blob_part.bytes.len++);
	REFUSED(MESSAGE_BLOB_PART, true, "bytes", m.blob_part.bytes.len = 0);
	REFUSED(MESSAGE_WORK_REQUEST, false, "slots", m.work_request.slots = 0);
	REFUSED(MESSAGE_WORK_REQUEST, true, "slots", m.work_request.slots++);
	REFUSED(MESSAGE_WORK_REQUEST, true, "team", m.work_request.team[0] = '-');
	REFUSED(MESSAGE_WORK_REQUEST, true, "team", m.work_request.team[31] = 'Z');
	REFUSED(MESSAGE_NO_WORK, false, "reason", m.no_work.reason = 0);
	REFUSED(MESSAGE_NO_WORK, true, "reason", m.no_work.reason++);
	REFUSED(MESSAGE_LEASE, true, "manifest", m.lease.manifest.len++);
	REFUSED(MESSAGE_LEASE, true, "unit", m.lease.unit.len++);
	REFUSED(MESSAGE_REVEAL, true, "claim", m.reveal.claim.len++);
	REFUSED(MESSAGE_UPLOAD_REQUEST, true, "offset", m.upload_request.offset++);
	REFUSED(MESSAGE_UPLOAD, true, "offset", m.upload.offset = PAYLOAD_BYTES_MAX + 1);
	REFUSED(MESSAGE_UPLOAD, true, "bytes", m.upload.offset++);
	REFUSED(MESSAGE_UPLOAD, true, "bytes", m.upload.bytes.len++);
	REFUSED(MESSAGE_UPLOAD, false, "bytes", m.upload.bytes.len = 0);
	REFUSED(MESSAGE_TRACE, false, "total", m.trace.total = 1);
	REFUSED(MESSAGE_TRACE, true, "total", m.trace.total++);
	REFUSED(MESSAGE_TRACE, false, "leaves", m.trace.leaves.len--);
	REFUSED(MESSAGE_TRACE, false, "leaves", m.trace.leaves.len = 0);
	REFUSED(MESSAGE_TRACE, true, "leaves", m.trace.offset++);
	REFUSED(MESSAGE_TRACE, true, "leaves", m.trace.leaves.len += DIGEST_BYTES);
	REFUSED(MESSAGE_SEGMENT, false, "leaves", m.segment.offset = m.segment.total);
	REFUSED(MESSAGE_SEGMENT, true, "segment", m.segment.segment++);
	REFUSED(MESSAGE_STATE_REQUEST, true, "step", m.state_request.step++);
	REFUSED(MESSAGE_STATE, true, "total", m.state.total++);
	REFUSED(MESSAGE_STATE, true, "bytes", m.state.offset++);
	REFUSED(MESSAGE_STATE, false, "bytes", m.state.bytes.len = 0);
	REFUSED(MESSAGE_SETTLED, false, "verdict", m.settled.verdict = 0);
	REFUSED(MESSAGE_SETTLED, true, "verdict", m.settled.verdict++);
}

static void assert_decode(const void *data, size_t n, int code, const char *why)
{
	struct message got;
	struct errmsg msg = {""};
	int rc = message_decode(&got, span_of(data, n), &msg);

	if (rc != code || strstr(msg.text, why) == NULL)
		fail_msg("wanted %s, got %s: %s", why, error_name(rc), msg.text);
}

/* The encoders cannot make these: they are packed by hand. */
static void longer_text_and_paths_are_refused(void **state)
{
	struct digest d = message_digest(1);
	char text[TEXT_MAX + 1];
	struct bytes b = {0};
	struct packer p;

	(void)state;
	message_text(text, sizeof(text));
	pack_begin(&p, &b);
	pack_array(&p, 3);
	pack_u64(&p, MESSAGE_GOODBYE);
	pack_u64(&p, 1);
	pack_text(&p, text);
	assert_int_equal(pack_end(&p), TK_OK);
	assert_decode(b.data, b.len, TK_ELIMIT, "GOODBYE: field \"text\"");
	b.len = 0;
	pack_array(&p, 7);
	pack_u64(&p, MESSAGE_LEASE);
	pack_digest(&p, &d);
	pack_u64(&p, 1);
	pack_bin(&p, "", 0);
	pack_bin(&p, message_filler, SIGNATURE_BYTES);
	pack_bin(&p, "", 0);
	pack_array(&p, MERKLE_STEPS_MAX + 1);
	for (uint32_t i = 0; i <= MERKLE_STEPS_MAX; i++)
		pack_digest(&p, &d);
	assert_int_equal(pack_end(&p), TK_OK);
	assert_decode(b.data, b.len, TK_ELIMIT, "LEASE: field \"path\"");
	bytes_close(&b);
}

static void unknown_types_are_named(void **state)
{
	(void)state;
	for (uint32_t type = 0; type < 0x80; type++) {
		uint8_t bytes[] = {0x91, (uint8_t)type};
		bool known = false;
		char why[64];

		for (size_t i = 0; i < TYPES; i++)
			known |= types[i] == type;
		snprintf(why, sizeof(why), "message type %u is unknown", type);
		if (!known)
			assert_decode(bytes, sizeof(bytes), TK_EPROTO, why);
	}
	assert_decode("\x91\xce\xff\xff\xff\xff", 6, TK_EPROTO, "type 4294967295 is unknown");
	assert_decode("\x91\xcf\x00\x00\x00\x01\x00\x00\x00\x01", 10, TK_ELIMIT, "type");
}

static void the_number_of_fields_is_exact(void **state)
{
	(void)state;
	for (size_t i = 0; i < TYPES; i++) {
		struct message m;
		struct bytes b;

		fill_message(&m, types[i], false);
		b = encoded(&m);
		b.data[0]++; /* announces one field more, and brings it */
		assert_int_equal(bytes_append(&b, "\x01", 1), TK_OK);
		assert_decode(b.data, b.len, TK_EPROTO, "number of fields");
		b.data[0] -= 2; /* announces one field less */
		assert_decode(b.data, b.len, TK_EPROTO, "number of fields");
		b.data[0]++; /* the right number, but a byte follows */
		assert_decode(b.data, b.len, TK_EPROTO, "1 bytes follow the last field");
		bytes_close(&b);
	}
}

static void cut_messages_are_refused_at_every_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < TYPES; i++) {
		struct message m, got;
		struct bytes b;

		fill_message(&m, types[i], false);
		b = encoded(&m);
		for (size_t n = 0; n < b.len; n++) {
			void *cut = mem_dup(b.data, n); /* so that a read beyond n is seen */

			assert_non_null(cut);
			assert_true(message_decode(&got, span_of(cut, n), NULL) < 0);
			mem_free(cut);
		}
		bytes_close(&b);
	}
}

static void message_beyond_the_limit_is_refused(void **state)
{
	static uint8_t big[MESSAGE_BYTES_MAX + 1];

	(void)state;
	big[0] = 0x92;
	assert_decode(big, sizeof(big), TK_ELIMIT, "a message of 131073 bytes");
	assert_decode("", 0, TK_EPROTO, "message");
	assert_decode("\x90", 1, TK_ELIMIT, "message");
	assert_decode("\xdd\xff\xff\xff\xff\x01", 6, TK_ELIMIT, "message");
	assert_decode("\x92\xcc\x01\x07", 4, TK_EPROTO, "type"); /* not the shortest form */
}

/* Sends text as it is, around the encoder, and says whether it is accepted. */
static bool text_accepted(const char *text)
{
	struct message got;
	struct bytes b = {0};
	struct packer p;
	int rc;

	pack_begin(&p, &b);
	pack_array(&p, 3);
	pack_u64(&p, MESSAGE_GOODBYE);
	pack_u64(&p, 1);
	pack_text(&p, text);
	assert_int_equal(pack_end(&p), TK_OK);
	rc = message_decode(&got, bytes_span(&b), NULL);
	if (rc == TK_OK)
		assert_string_equal(got.goodbye.text, text);
	bytes_close(&b);
	return rc == TK_OK;
}

static void only_printable_text_is_accepted(void **state)
{
	static const char *const good[] = {"", "plain ~", "tervetuloa, ystävä", "\xe2\x80\xa6",
		"\xf0\x9f\x8c\xb2", "\xf4\x8f\xbf\xbf", "\xc2\xa0", "\xed\x9f\xbf", "\xee\x80\x80"};
	static const char *const bad[] = {"\x1b[2J", "a\nb", "\x7f", "\xc2\x9b", "\x80", "\xc0\xaf",
		"\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80",
		"\xf8\x88\x80\x80\x80", "\xff", "cut \xe2\x80", "cut \xc3", "\xe2\x28\xa1"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!text_accepted(good[i]))
			fail_msg("good text %zu refused", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (text_accepted(bad[i]))
			fail_msg("bad text %zu accepted", i);
}

static void encoder_makes_text_printable(void **state)
{
	struct message m = {.type = MESSAGE_ABANDON}, got;
	struct bytes b;

	(void)state;
	strcpy(m.abandon.text, "bad \x1b[0m file\n\xff ystävä \xe2\x80");
	b = encoded(&m);
	assert_int_equal(message_decode(&got, bytes_span(&b), NULL), TK_OK);
	assert_string_equal(got.abandon.text, "bad ?[0m file?? ystävä ??");
	bytes_close(&b);
}

static void spans_borrow_from_the_input(void **state)
{
	struct message m, got;
	struct bytes b;

	(void)state;
	fill_message(&m, MESSAGE_UPLOAD, true);
	b = encoded(&m);
	assert_int_equal(message_decode(&got, bytes_span(&b), NULL), TK_OK);
	assert_true(got.upload.bytes.data >= b.data);
	assert_true(got.upload.bytes.data + got.upload.bytes.len <= b.data + b.len);
	bytes_close(&b);
}

static void encoding_without_memory_leaves_the_output(void **state)
{
	(void)state;
	for (size_t i = 0; i < TYPES; i++) {
		struct bytes b = {0};
		struct message m;
		uint64_t after = 0;
		int rc;

		fill_message(&m, types[i], true);
		assert_int_equal(bytes_append(&b, "before", 6), TK_OK);
		do {
			mem_fail(++after, 0);
			rc = message_encode(&m, &b);
			mem_fail(0, 0);
			if (rc != TK_OK) {
				assert_int_equal(rc, TK_ENOMEM);
				assert_int_equal(b.len, 6);
			}
		} while (rc != TK_OK);
		assert_memory_equal(b.data, "before", 6);
		bytes_close(&b);
	}
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Changes a few bytes; most of them near the front, where headers are. */
static void mutate(struct bytes *b, uint64_t *seed)
{
	for (uint64_t i = next_random(seed) % 3; i < 3 && b->len != 0; i++) {
		size_t near = next_random(seed) % 4 != 0 && b->len > 48 ? 48 : b->len;
		size_t at = next_random(seed) % near;

		switch (next_random(seed) % 4) {
		case 0:
			b->data[at] ^= (uint8_t)(1u << next_random(seed) % 8);
			break;
		case 1:
			b->data[at] = (uint8_t)(0xc0 + next_random(seed) % 0x20);
			break;
		case 2:
			b->data[at] = (uint8_t)next_random(seed);
			break;
		default:
			b->len = at;
		}
	}
}

/* Equal values have equal bytes: whatever is accepted encodes to the very same input. */
static void mutated_messages_are_refused_or_canonical(void **state)
{
	size_t accepted = 0;

	(void)state;
	for (uint64_t start = 1; start <= 200000; start++) {
		uint64_t seed = start * 0x9e3779b97f4a7c15u;
		enum message_type type = types[next_random(&seed) % TYPES];
		struct message m, got;
		struct bytes b;
		void *exact;

		fill_message(&m, type, next_random(&seed) % 16 == 0);
		b = encoded(&m);
		mutate(&b, &seed);
		exact = mem_dup(b.data, b.len);
		assert_non_null(exact);
		if (message_decode(&got, span_of(exact, b.len), NULL) == TK_OK) {
			accepted++;
			if (!same_again(&got, bytes_span(&b)))
				fail_msg("seed %llu", (unsigned long long)start);
		}
		mem_free(exact);
		bytes_close(&b);
	}
	assert_true(accepted > 1000); /* the mutations are not all hopeless */
}

static void every_type_has_a_name(void **state)
{
	(void)state;
	assert_string_equal(message_name(MESSAGE_LEASE), "LEASE");
	assert_string_equal(message_name(MESSAGE_REVEAL_REQUEST), "REVEAL_REQUEST");
	assert_string_equal(message_name((enum message_type)200), "UNKNOWN");
}

static void a_team_is_a_short_plain_name_or_none(void **state)
{
	static const char *const good[] = {
		"a", "0", "team-1", "a..b_c-", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"};
	static const char *const bad[] = {"-a", ".a", "_", "A", "aB", "a b", " a", "a\n", "\x1b[2J",
		"a/b", "a'b", "ä", "<b>", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"};
	struct message m, got;

	(void)state;
	fill_message(&m, MESSAGE_WORK_REQUEST, false);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct bytes b;

		assert_true(team_name_valid(good[i]));
		snprintf(m.work_request.team, TEAM_MAX, "%s", good[i]);
		b = encoded(&m);
		assert_int_equal(message_decode(&got, bytes_span(&b), NULL), TK_OK);
		assert_string_equal(got.work_request.team, good[i]);
		bytes_close(&b);
	}
	assert_false(team_name_valid(""));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(team_name_valid(bad[i]));
		if (strlen(bad[i]) >= TEAM_MAX)
			continue;
		snprintf(m.work_request.team, TEAM_MAX, "%s", bad[i]);
		assert_refused(&m, "team");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_goes_there_and_back),
		cmocka_unit_test(fields_arrive_as_they_were_sent),
		cmocka_unit_test(one_step_beyond_each_limit_is_refused),
		cmocka_unit_test(a_team_is_a_short_plain_name_or_none),
		cmocka_unit_test(longer_text_and_paths_are_refused),
		cmocka_unit_test(unknown_types_are_named),
		cmocka_unit_test(the_number_of_fields_is_exact),
		cmocka_unit_test(cut_messages_are_refused_at_every_length),
		cmocka_unit_test(message_beyond_the_limit_is_refused),
		cmocka_unit_test(only_printable_text_is_accepted),
		cmocka_unit_test(encoder_makes_text_printable),
		cmocka_unit_test(spans_borrow_from_the_input),
		cmocka_unit_test(encoding_without_memory_leaves_the_output),
		cmocka_unit_test(mutated_messages_are_refused_or_canonical),
		cmocka_unit_test(every_type_has_a_name),
	};

	for (size_t i = 0; i < sizeof(message_filler); i++)
		message_filler[i] = (uint8_t)(i * 7);
	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
