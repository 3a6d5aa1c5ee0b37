/* Whoever floods the overlay, lies in it, lets it wait or declares what it never sends, to a coordinator that
 * really runs: that session ends with a line in the log, the memory stays within a bound, and a session that
 * did nothing goes on. Two honest peers train throughout, and get the model that one process gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/intrusion.h"

#ifdef __SANITIZE_ADDRESS__
#define MEMORY_MAX_KIB (700u << 10) /* what was freed stays for a while */
#else
#define MEMORY_MAX_KIB (160u << 10)
#endif
#define FLOOD 20000u /* messages */

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

/* And the memory is as it was. */
static void assert_ended(struct intrusion *b, struct intruder *in, const char *why, size_t before)
{
	assert_true(intrusion_ended(b, in, why, before));
	assert_in_range(served_memory_peak_kib(&b->served), 1, MEMORY_MAX_KIB);
}

static uint64_t now_s(void)
{
	return (uint64_t)time(NULL);
}

static struct bytes record_of(
	const struct intrusion *b, const struct key_pair *pair, uint64_t expiry_s)
{
	struct record r = {.key = pair->public, .sequence = now_s(), .expiry_s = expiry_s};
	struct bytes encoded = {0};

	assert_int_equal(record_encode(&r, pair, &b->served.network, &encoded), TK_OK);
	return encoded;
}

static void record_with_an_absurd_expiry_ends_its_session(void **state)
{
	static const char why[] = "expires absurdly late";
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, why);
	struct message m = {.type = MESSAGE_NEIGHBOR};
	struct bytes record;
	struct intruder in;

	intrude(b, &in);
	record = record_of(b, &in.id.key, now_s() + RECORD_AHEAD_MAX_S + 3600);
	m.neighbor.record = bytes_span(&record);
	assert_true(intruder_say(&in, &m));
	assert_ended(b, &in, why, before);
	bytes_close(&record);
}

/* Each costs a verification, and its teller next to nothing. */
static void flood_of_records_ends_its_session(void **state)
{
	static const char why[] = "it tells of more peers than anybody needs";
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, why);
	struct message m = {.type = MESSAGE_SHUFFLE_REPLY, .shuffle_reply.count = SHUFFLE_MAX};
	struct bytes encoded = {0}, frames = {0};
	struct intruder in;

	intrude(b, &in);
	for (uint32_t i = 0; i < 400; i++) {
		struct bytes records[SHUFFLE_MAX];

		for (uint32_t k = 0; k < SHUFFLE_MAX; k++) {
			struct key_pair pair;
			uint8_t seed[32] = {9, (uint8_t)k};

			store_le32(seed + 4, i);
			key_from_seed(&pair, seed);
			records[k] = record_of(b, &pair, now_s() + 3600);
			m.shuffle_reply.records[k] = bytes_span(&records[k]);
		}
		assert_int_equal(message_encode(&m, &encoded), TK_OK);
		assert_true(intruder_frame(&in, 0, encoded.data, encoded.len, &frames));
		bytes_close(&encoded);
		for (uint32_t k = 0; k < SHUFFLE_MAX; k++)
			bytes_close(&records[k]);
	}
	(void)intruder_raw(&in, frames.data, frames.len);
	assert_ended(b, &in, why, before);
	bytes_close(&frames);
}

/* A neighbour that speaks without end. */
static void flood_of_gossip_ends_its_session(void **state)
{
	static const char why[] = "sends more messages than it may";
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, why);
	struct message join = {.type = MESSAGE_JOIN}, m = {.type = MESSAGE_PRUNE};
	struct bytes encoded = {0}, frames = {0}, record;
	struct intruder in;

	intrude(b, &in);
	record = record_of(b, &in.id.key, now_s() + 3600);
	join.join.record = bytes_span(&record);
	assert_true(intruder_say(&in, &join));
	assert_int_equal(message_encode(&m, &encoded), TK_OK);
	for (uint32_t i = 0; i < FLOOD; i++)
		assert_true(intruder_frame(&in, 0, encoded.data, encoded.len, &frames));
	(void)intruder_raw(&in, frames.data, frames.len);
	assert_ended(b, &in, why, before);
	bytes_close(&record);
	bytes_close(&encoded);
	bytes_close(&frames);
}

static void forged_announcement_ends_its_session(void **state)
{
	static const char why[] = "an announcement that the network's root did not sign";
	const struct announcement a = {.kind = ANNOUNCE_BEACON, .sequence = 1u << 30};
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, why);
	struct message m = {.type = MESSAGE_BROADCAST, .broadcast.hops = 1};
	struct bytes body = {0};
	struct intruder in;

	intrude(b, &in);
	assert_int_equal(announcement_encode(&a, &body), TK_OK);
	m.broadcast.body = bytes_span(&body);
	announcement_sign(&m.broadcast.signature, &in.id.key, bytes_span(&body));
	assert_true(intruder_say(&in, &m));
	assert_ended(b, &in, why, before);
	bytes_close(&body);
}

static void flood_of_questions_to_the_relay_ends_its_session(void **state)
{
	static const char why[] = "it asks the relay far too often";
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, why);
	struct message m = {.type = MESSAGE_RELAY_RESERVE, .relay_reserve = {true}};
	struct bytes encoded = {0}, frames = {0};
	struct intruder in;

	intrude(b, &in);
	assert_int_equal(message_encode(&m, &encoded), TK_OK);
	for (uint32_t i = 0; i < FLOOD; i++)
		assert_true(intruder_frame(&in, 0, encoded.data, encoded.len, &frames));
	(void)intruder_raw(&in, frames.data, frames.len);
	assert_ended(b, &in, why, before);
	bytes_close(&encoded);
	bytes_close(&frames);
}

/* Lengths that no message could have: nothing is allocated for them. */
static void giant_length_that_is_declared_ends_its_session(void **state)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t n;
		const char *why;
	} giants[] = {
#define BYTES(s) s, sizeof(s) - 1
		{"a record of 4 GiB", BYTES("\x92\x30\xc6\xff\xff\xff\xff"), "JOIN"},
		{"4 billion records", BYTES("\x92\x36\xdd\xff\xff\xff\xff"), "SHUFFLE_REPLY"},
		{"4 billion ids", BYTES("\x92\x38\xdd\xff\xff\xff\xff"), "IHAVE"},
		{"4 billion heads", BYTES("\x92\x3b\xdd\xff\xff\xff\xff"), "HEADS"},
		{"a body of 4 GiB", BYTES("\x94\x37\x01\xc6\xff\xff\xff\xff"), "BROADCAST"},
		{"4 GiB through a circuit", BYTES("\x93\x4f\x01\xc6\xff\xff\xff\xff"),
			"RELAY_DATA"},
		{"4 billion addresses", BYTES("\x93\x51\x01\xdd\xff\xff\xff\xff"), "PUNCH"},
		{"a text of 4 GiB", BYTES("\x94\x49\x01\xc3\xdb\xff\xff\xff\xff"), "DIALLED_BACK"},
	};
	struct intrusion *b = *state;

	for (size_t i = 0; i < sizeof(giants) / sizeof(giants[0]); i++) {
		size_t before = served_log_count(&b->served, giants[i].why);
		struct intruder in;

		print_message("# %s\n", giants[i].name);
		intrude(b, &in);
		assert_true(intruder_frame(&in, 0, giants[i].bytes, giants[i].n, NULL));
		assert_ended(b, &in, giants[i].why, before);
	}
}

static void request_beyond_the_end_of_a_blob_ends_its_session(void **state)
{
	static const char why[] = "it asked beyond the end of a blob";
	struct message work = {.type = MESSAGE_WORK_REQUEST, .work_request.slots = 1};
	struct message get = {.type = MESSAGE_BLOB_GET, .blob_get.length = BLOB_PART_MAX};
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, why);
	struct intruder in;
	struct unit unit;

	intrude(b, &in);
	assert_true(intruder_say(&in, &work));
	do
		assert_true(intruder_hear(&in));
	while (in.got.type != MESSAGE_LEASE);
	assert_int_equal(unit_decode(&unit, in.got.lease.unit, NULL), TK_OK);
	get.blob_get.digest = unit.recipe;
	assert_true(intruder_say(&in, &get));
	do
		assert_true(intruder_hear(&in));
	while (in.got.type != MESSAGE_BLOB_PART);
	get.blob_get.offset = 1u << 20; /* a recipe is much shorter */
	assert_true(intruder_say(&in, &get));
	assert_ended(b, &in, why, before);
}

/* Twenty strangers who say a byte at a time. */
static void slowloris_is_closed_when_its_time_is_over(void **state)
{
	static const char why[] = "the handshake took longer than";
	struct intrusion *b = *state;
	size_t before = served_log_count(&b->served, why);
	struct intruder crowd[20];
	bool open = true;

	for (size_t i = 0; i < 20; i++) {
		intruder_init(&crowd[i], &b->served.network);
		assert_true(intruder_connect(&crowd[i], b->served.port));
	}
	for (size_t at = 0; open; at++) {
		open = served_log_count(&b->served, why) == before;
		for (size_t i = 0; open && i < 20; i++)
			open = intruder_raw(&crowd[i], at < 8 ? &"talkoot"[at] : "\1", 1);
		usleep(1500000);
		if (at >= 7)
			break; /* the rest of the preamble would be judged */
	}
	assert_true(served_log_gains(&b->served, why, before + 4));
	for (size_t i = 0; i < 20; i++) {
		assert_true(intruder_is_closed(&crowd[i]));
		intruder_close(&crowd[i]);
	}
	assert_true(intruder_alive(&b->calm));
	assert_in_range(served_memory_peak_kib(&b->served), 1, MEMORY_MAX_KIB);
}

/* Until now nobody else was here, so that there was work to lease. */
static void honest_peers_come_and_begin(void **state)
{
	struct intrusion *b = *state;

	assert_true(served_add_peer(&b->served));
	assert_true(served_add_peer(&b->served));
}

static void honest_peers_train_the_same_model_all_the_while(void **state)
{
	struct intrusion *b = *state;

	assert_true(intruder_alive(&b->calm));
	assert_true(served_finishes(&b->served, "honest"));
	assert_int_equal(served_log_count(&b->served, "cannot go on"), 0);
	assert_true(served_is_running(&b->served));
	assert_in_range(served_memory_peak_kib(&b->served), 1, MEMORY_MAX_KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_beyond_the_end_of_a_blob_ends_its_session),
		cmocka_unit_test(honest_peers_come_and_begin),
		cmocka_unit_test(record_with_an_absurd_expiry_ends_its_session),
		cmocka_unit_test(flood_of_records_ends_its_session),
		cmocka_unit_test(flood_of_gossip_ends_its_session),
		cmocka_unit_test(forged_announcement_ends_its_session),
		cmocka_unit_test(flood_of_questions_to_the_relay_ends_its_session),
		cmocka_unit_test(giant_length_that_is_declared_ends_its_session),
		cmocka_unit_test(slowloris_is_closed_when_its_time_is_over),
		cmocka_unit_test(honest_peers_train_the_same_model_all_the_while),
	};

	return cmocka_run_group_tests(tests, open_bench, close_bench);
}
