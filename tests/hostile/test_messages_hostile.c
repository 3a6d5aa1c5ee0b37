/* Whoever sends what is malformed, oversized, replayed, unsigned, out of order or not theirs to say, to a
 * coordinator that really runs: that session ends with a line in the log, and nothing else changes. Two
 * honest peers train throughout, and get the model that one process gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/lib/intrusion.h"

static struct intrusion bench;

static int open_bench(void **state)
{
	*state = &bench;
	return intrusion_open(&bench) ? 0 : -1;
}

static int close_bench(void **state)
{
	intrusion_close(*state);
	return 0;
}

static void intrude(struct intrusion *b, struct intruder *in)
{
	assert_true(intrusion_enter(b, in));
}

static void assert_ended(struct intrusion *b, struct intruder *in, const char *why, size_t before)
{
	assert_true(intrusion_ended(b, in, why, before));
}

/* What a hand can write and message_encode can't. */
static const struct malformed {
	const char *name;
	const char *bytes;
	size_t n;
	uint8_t flag;
	const char *why;
} malformed[] = {
#define BYTES(s) s, sizeof(s) - 1
	{"an unknown type", BYTES("\x91\x63"), 0, "type 99 is unknown"},
	{"type 0", BYTES("\x91\x00"), 0, "type 0 is unknown"},
	{"no array", BYTES("\x01"), 0, "malformed"},
	{"an empty array", BYTES("\x90"), 0, "limits"},
	{"an array longer than its bytes", BYTES("\xdd\xff\xff\xff\xff\x01"), 0, "limits"},
	{"a field too few", BYTES("\x91\x01"), 0, "number of fields"},
	{"a field too many", BYTES("\x93\x01\x07\x07"), 0, "number of fields"},
	{"a byte too many", BYTES("\x92\x01\x07\x00"), 0, "1 bytes follow"},
	{"a number in a long form", BYTES("\x92\x01\xcc\x07"), 0, "\"token\" is malformed"},
	{"a number cut short", BYTES("\x92\x01\xcf\x07"), 0, "\"token\" is malformed"},
	{"a text for a number", BYTES("\x92\x01\xa1x"), 0, "\"token\" is malformed"},
	{"a farewell without a reason", BYTES("\x93\x03\x00\xa1x"), 0, "\"reason\""},
	{"a farewell that steers the terminal", BYTES("\x93\x03\x01\xa4\x1b[2J"), 0, "\"text\""},
	{"text that is no UTF-8", BYTES("\x93\x03\x01\xa2\xc0\x80"), 0, "\"text\""},
	{"no slots", BYTES("\x94\x20\x00\xa1x\xa0"), 0, "\"slots\""},
	{"17 slots", BYTES("\x94\x20\x11\xa1x\xa0"), 0, "\"slots\""},
	{"an engine of 16 letters", BYTES("\x94\x20\x01\xb0zzzzzzzzzzzzzzzz\xa0"), 0, "\"engine\""},
	{"a team of 33 letters",
		BYTES("\x94\x20\x01\xa1x\xd9\x21zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"), 0, "\"team\""},
	{"a team with a tag", BYTES("\x94\x20\x01\xa1x\xa3<b>"), 0, "\"team\""},
	{"a digest of 3 bytes", BYTES("\x92\x24\xc4\x03zzz"), 0, "\"nonce\""},
	{"a digest of 4 GiB", BYTES("\x92\x24\xc6\xff\xff\xff\xffzzz"), 0, "\"nonce\""},
	{"an unknown flag", BYTES("\x92\x01\x07"), 2, "unknown flag 2"},
};

static void malformed_message_ends_its_session_alone(void **state)
{
	struct intrusion *b = *state;

	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		const struct malformed *m = &malformed[i];
		size_t before = served_log_count(&b->served, m->why);
		struct intruder in;

		print_message("# %s\n", m->name);
		intrude(b, &in);
		assert_true(intruder_frame(&in, m->flag, m->bytes, m->n, NULL));
		assert_ended(b, &in, m->why, before);
	}
}

static void frame_of_an_impossible_length_ends_its_session_alone(void **state)
{
	static const uint8_t lengths[][2] = {{0, 0}, {1, 0}, {17, 0}};
	struct intrusion *b = *state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t before = served_log_count(&b->served, "are allowed here");
		struct intruder in;

		intrude(b, &in);
		assert_true(intruder_raw(&in, lengths[i], 2));
		assert_ended(b, &in, "are allowed here", before);
	}
}

static void oversized_message_ends_its_session_while_it_arrives(void **state)
{
	static const uint8_t zeros[60000];
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, "longer than 131072");
	struct intruder in;

	intrude(b, &in);
	while (intruder_frame(&in, 1, zeros, sizeof(zeros), NULL))
		;
	assert_ended(b, &in, "longer than 131072", before);
}

enum bend { BEND_REPEAT, BEND_SWAP, BEND_DROP, BEND_FLIP, BEND_REFLECT, BEND_LAST = BEND_REFLECT };

static void bent_frame_ends_its_session_alone(void **state)
{
	static const char ping[] = "\x92\x01\x07";
	struct intrusion *b = *state;

	for (int bend = 0; bend <= BEND_LAST; bend++) {
		size_t before = served_log_count(&b->served, "does not authenticate");
		struct bytes first = {0};
		struct bytes second = {0};
		struct intruder in;

		intrude(b, &in);
		if (bend == BEND_REFLECT)
			in.send = in.receive;
		assert_true(intruder_frame(&in, 0, ping, 3, &first));
		assert_true(intruder_frame(&in, 0, ping, 3, &second));
		if (bend == BEND_FLIP)
			second.data[7] ^= 0x20;
		if (bend == BEND_REPEAT || bend == BEND_FLIP || bend == BEND_REFLECT)
			(void)intruder_raw(&in, first.data, first.len);
		if (bend == BEND_REPEAT)
			(void)intruder_raw(&in, first.data, first.len);
		if (bend != BEND_REPEAT)
			(void)intruder_raw(&in, second.data, second.len);
		assert_ended(b, &in, "does not authenticate", before);
		bytes_close(&first);
		bytes_close(&second);
	}
}

static void lie_in_the_handshake_is_refused(void **state)
{
	static const char *const whys[LIE_LAST + 1] = {
		[LIE_COORDINATOR] = "calls itself coordinator",
		[LIE_EXPIRED] = "identity expired",
		[LIE_FOREVER] = "identity holds for another",
		[LIE_STOLEN] = "is not signed by its key",
		[LIE_SILENT] = "identity",
		[LIE_NETWORK] = "that is another network",
		[LIE_TAMPERED] = "does not authenticate",
	};
	struct intrusion *b = *state;

	for (enum intruder_lie lie = LIE_COORDINATOR; lie <= LIE_LAST; lie++) {
		size_t before = served_log_count(&b->served, whys[lie]);
		struct intruder in;

		intruder_init(&in, &b->served.network);
		assert_true(intruder_connect(&in, b->served.port));
		(void)intruder_handshake(&in, lie);
		assert_ended(b, &in, whys[lie], before);
	}
}

static void message_that_is_not_a_peers_to_say_ends_its_session(void **state)
{
	static const enum message_type types[] = {MESSAGE_NO_WORK, MESSAGE_LEASE, MESSAGE_COMMITTED,
		MESSAGE_REVEAL_REQUEST, MESSAGE_UPLOAD_REQUEST, MESSAGE_UPLOADED, MESSAGE_SETTLED,
		MESSAGE_BLOB_PART, MESSAGE_BLOB_MISSING};
	struct intrusion *b = *state;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct message m = {.type = types[i]};
		size_t before = served_log_count(&b->served, "broke the protocol");
		struct intruder in;

		print_message("# %s\n", message_name(types[i]));
		if (m.type == MESSAGE_NO_WORK)
			m.no_work.reason = NO_WORK_IDLE;
		if (m.type == MESSAGE_SETTLED)
			m.settled.verdict = VERDICT_VALID;
		if (m.type == MESSAGE_BLOB_PART)
			m.blob_part.bytes = span_of("", 0);
		intrude(b, &in);
		assert_true(intruder_say(&in, &m));
		assert_ended(b, &in, "broke the protocol", before);
	}
}

static struct message commit_of(const struct intruder *in, const struct digest *nonce, uint8_t fill)
{
	struct message m = {.type = MESSAGE_COMMIT, .commit.nonce = *nonce};
	struct span fields[2];

	memset(m.commit.commitment.b, fill, DIGEST_BYTES);
	fields[0] = span_of(m.commit.commitment.b, DIGEST_BYTES);
	fields[1] = span_of(nonce->b, DIGEST_BYTES);
	key_sign(&m.commit.signature, &in->id.key, "talkoot commit", fields, 2);
	return m;
}

static void what_is_said_of_an_unknown_lease_is_answered_and_nothing_more(void **state)
{
	struct intrusion *b = *state;
	struct digest nonce;
	struct message messages[3];
	struct intruder in;

	random_bytes(&nonce, sizeof(nonce));
	intrude(b, &in);
	messages[0] = commit_of(&in, &nonce, 1);
	messages[1] = (struct message){.type = MESSAGE_REVEAL, .reveal.nonce = nonce};
	messages[1].reveal.claim = span_of("\x90", 1);
	messages[2] = (struct message){.type = MESSAGE_ABANDON, .abandon.nonce = nonce};
	for (size_t i = 0; i < 3; i++) {
		assert_true(intruder_say(&in, &messages[i]));
		assert_true(intruder_hear(&in));
		assert_int_equal(in.got.type, MESSAGE_SETTLED);
		assert_int_equal(in.got.settled.verdict, VERDICT_UNKNOWN);
	}
	messages[0] = (struct message){.type = MESSAGE_UPLOAD, .upload.nonce = nonce};
	messages[0].upload.bytes = span_of("x", 1);
	assert_true(intruder_say(&in, &messages[0]));
	assert_true(intruder_alive(&in));
	intruder_close(&in);
}

static void unsigned_commitment_ends_its_session(void **state)
{
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, "the signature of a COMMIT");
	struct digest nonce = {{0}};
	struct message m;
	struct intruder in;

	intrude(b, &in);
	m = commit_of(&in, &nonce, 1);
	m.commit.signature.b[40] ^= 1;
	assert_true(intruder_say(&in, &m));
	assert_ended(b, &in, "the signature of a COMMIT", before);
}

static void blob_beyond_its_end_ends_the_session(void **state)
{
	struct message work = {.type = MESSAGE_WORK_REQUEST, .work_request.slots = 1};
	struct message get = {.type = MESSAGE_BLOB_GET};
	struct intrusion *b = *state;
	struct intruder in;

	intrude(b, &in);
	get.blob_get.length = 1;
	get.blob_get.offset = 1u << 20;
	assert_true(intruder_say(&in, &get)); /* no such blob */
	assert_true(intruder_hear(&in));
	assert_int_equal(in.got.type, MESSAGE_BLOB_MISSING);
	assert_true(intruder_say(&in, &work));
	do
		assert_true(intruder_hear(&in));
	while (in.got.type != MESSAGE_LEASE);
	{
		struct unit unit;

		assert_int_equal(unit_decode(&unit, in.got.lease.unit, NULL), TK_OK);
		get.blob_get.digest = unit.recipe;
	}
	get.blob_get.offset = 0;
	assert_true(intruder_say(&in, &get));
	do
		assert_true(intruder_hear(&in));
	while (in.got.type != MESSAGE_BLOB_PART);
	get.blob_get.offset = BLOB_BYTES_MAX;
	assert_true(intruder_say(&in, &get));
	assert_true(intruder_is_closed(&in));
	intruder_close(&in);
	assert_true(intruder_alive(&b->calm));
}

/* Takes a lease with a new identity. The grid gives one as soon as it has one to give. */
static struct digest lease_of(struct intrusion *b, struct intruder *in)
{
	struct message work = {.type = MESSAGE_WORK_REQUEST, .work_request.slots = 1};

	intrude(b, in);
	assert_true(intruder_say(in, &work));
	do
		assert_true(intruder_hear(in));
	while (in->got.type != MESSAGE_LEASE);
	return in->got.lease.nonce;
}

static void reveal_before_its_commitment_ends_the_session(void **state)
{
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, "a REVEAL that was not asked for");
	struct message m = {.type = MESSAGE_REVEAL};
	struct intruder in;

	m.reveal.nonce = lease_of(b, &in);
	m.reveal.claim = span_of("\x90", 1);
	assert_true(intruder_say(&in, &m));
	assert_ended(b, &in, "a REVEAL that was not asked for", before);
}

static void lease_of_somebody_else_is_as_unknown_as_none(void **state)
{
	struct intrusion *b = *state;
	struct intruder holder, thief;
	struct digest nonce = lease_of(b, &holder);
	struct message m;

	intrude(b, &thief);
	m = commit_of(&thief, &nonce, 9);
	assert_true(intruder_say(&thief, &m));
	assert_true(intruder_hear(&thief));
	assert_int_equal(thief.got.type, MESSAGE_SETTLED);
	assert_int_equal(thief.got.settled.verdict, VERDICT_UNKNOWN);
	m = (struct message){.type = MESSAGE_ABANDON, .abandon.nonce = nonce};
	assert_true(intruder_say(&holder, &m)); /* the holder still has it, and gives it back */
	do
		assert_true(intruder_hear(&holder));
	while (holder.got.type != MESSAGE_SETTLED);
	assert_int_equal(holder.got.settled.verdict, VERDICT_EXPIRED);
	intruder_close(&holder);
	intruder_close(&thief);
}

static void two_commitments_for_one_lease_retire_the_identity(void **state)
{
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, "two different commitments");
	struct intruder in;
	struct digest nonce = lease_of(b, &in);
	struct message first = commit_of(&in, &nonce, 1);
	struct message second = commit_of(&in, &nonce, 2);

	assert_true(intruder_say(&in, &first));
	assert_true(intruder_say(&in, &second));
	assert_true(intruder_is_closed(&in));
	assert_true(served_log_gains(&b->served, "two different commitments", before));
	/* It comes back and is turned away. */
	assert_true(intruder_connect(&in, b->served.port));
	assert_true(intruder_handshake(&in, LIE_NONE));
	assert_true(intruder_hear(&in));
	assert_int_equal(in.got.type, MESSAGE_GOODBYE);
	assert_int_equal(in.got.goodbye.reason, GOODBYE_RETIRED);
	intruder_close(&in);
}

/* Until now nobody else was here, so that each test found work to lease. */
static void honest_peers_come_and_begin(void **state)
{
	struct intrusion *b = *state;

	assert_true(served_add_peer(&b->served));
	assert_true(served_add_peer(&b->served));
}

/* Whatever the tests above took and never finished, others have done. */
static void honest_peers_train_the_same_model_all_the_while(void **state)
{
	struct intrusion *b = *state;

	assert_true(intruder_alive(&b->calm));
	assert_true(served_finishes(&b->served, "honest"));
	assert_int_equal(served_log_count(&b->served, "cannot go on"), 0);
	assert_true(served_is_running(&b->served));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blob_beyond_its_end_ends_the_session),
		cmocka_unit_test(reveal_before_its_commitment_ends_the_session),
		cmocka_unit_test(lease_of_somebody_else_is_as_unknown_as_none),
		cmocka_unit_test(two_commitments_for_one_lease_retire_the_identity),
		cmocka_unit_test(honest_peers_come_and_begin),
		cmocka_unit_test(malformed_message_ends_its_session_alone),
		cmocka_unit_test(frame_of_an_impossible_length_ends_its_session_alone),
		cmocka_unit_test(oversized_message_ends_its_session_while_it_arrives),
		cmocka_unit_test(bent_frame_ends_its_session_alone),
		cmocka_unit_test(lie_in_the_handshake_is_refused),
		cmocka_unit_test(message_that_is_not_a_peers_to_say_ends_its_session),
		cmocka_unit_test(what_is_said_of_an_unknown_lease_is_answered_and_nothing_more),
		cmocka_unit_test(unsigned_commitment_ends_its_session),
		cmocka_unit_test(honest_peers_train_the_same_model_all_the_while),
	};

	return cmocka_run_group_tests(tests, open_bench, close_bench);
}
