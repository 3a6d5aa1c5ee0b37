/* Whoever connects too often, says nothing, asks for everything at once or never reads, to a coordinator
 * that really runs: its memory stays within a bound, its files stay open, and others are served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "peer/overlay/node.h"
#include "tests/lib/intruder.h"
#include "tests/lib/served.h"
#include "tests/lib/slice.h"

#ifdef __SANITIZE_ADDRESS__
#define MEMORY_MAX_KIB (700u << 10) /* what was freed stays for a while */
#else
#define MEMORY_MAX_KIB (160u << 10)
#endif
#define FILES_MAX 160u

static struct served served;

static int open_served(void **state, unsigned files_max)
{
	struct rlimit many;

	*state = &served;
	if (getrlimit(RLIMIT_NOFILE, &many) == 0) {
		many.rlim_cur = many.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &many);
	}
	return crypto_start() == TK_OK && served_open(&served, files_max) ? 0 : -1;
}

static int open_usual(void **state)
{
	return open_served(state, 0);
}

static int open_with_few_files(void **state)
{
	return open_served(state, FILES_MAX);
}

static int close_served(void **state)
{
	served_close(*state);
	return 0;
}

/* Somebody honest comes, is let in and heard. */
static void assert_serves(struct served *s)
{
	struct intruder in;

	intruder_init(&in, &s->network);
	assert_true(intruder_connect(&in, s->port));
	assert_true(intruder_handshake(&in, LIE_NONE));
	assert_true(intruder_alive(&in));
	intruder_close(&in);
	assert_true(served_is_running(s));
}

static void assert_memory_bounded(const struct served *s)
{
	size_t peak = served_memory_peak_kib(s);

	print_message("# peak %zu MiB\n", peak >> 10);
	assert_in_range(peak, 1, MEMORY_MAX_KIB);
}

static void garbage_is_turned_away(void **state)
{
	static const char garbage[][20] = {"GET / HTTP/1.1\r\n", "\x16\x03\x01\x02", "talkoot",
		"talkoot\0\2", "talkoot\0\1zzzzzzzz"};
	struct served *s = *state;
	uint8_t noise[4096];

	for (size_t i = 0; i < 60; i++) {
		struct intruder in;

		intruder_init(&in, &s->network);
		assert_true(intruder_connect(&in, s->port));
		random_bytes(noise, sizeof(noise));
		if (i < sizeof(garbage) / sizeof(garbage[0]))
			memcpy(noise, garbage[i], sizeof(garbage[i]));
		(void)intruder_raw(&in, noise, sizeof(noise));
		assert_true(intruder_is_closed(&in));
		intruder_close(&in);
	}
	assert_serves(s);
}

/* More than may be half open, and none of them says a word; or they say all but the last byte. */
static void silent_crowd_does_not_keep_others_out(void **state)
{
	struct served *s = *state;
	struct intruder *crowd = calloc(NODE_HALF_OPEN_MAX + 150, sizeof(*crowd));

	assert_non_null(crowd);
	for (size_t i = 0; i < NODE_HALF_OPEN_MAX + 150; i++) {
		intruder_init(&crowd[i], &s->network);
		assert_true(intruder_connect(&crowd[i], s->port));
		if (i % 2 == 0)
			(void)intruder_raw(&crowd[i], "talkoot\0\1", 9);
	}
	for (int i = 0; i < 5; i++)
		assert_serves(s);
	for (size_t i = 0; i < NODE_HALF_OPEN_MAX + 150; i++)
		intruder_close(&crowd[i]);
	free(crowd);
	assert_serves(s);
}

static void connecting_and_hanging_up_costs_nothing_that_stays(void **state)
{
	struct served *s = *state;
	size_t before;

	assert_serves(s);
	before = served_descriptors(s);
	for (size_t i = 0; i < slice(3000, 600); i++) {
		struct intruder in;

		intruder_init(&in, &s->network);
		assert_true(intruder_connect(&in, s->port));
		if (i % 10 == 0)
			(void)intruder_handshake(&in, LIE_NONE);
		intruder_close(&in);
	}
	assert_serves(s);
	assert_in_range(served_descriptors(s), 1, before + NODE_HALF_OPEN_MAX);
	assert_memory_bounded(s);
}

/* Writes as fast as it can what wants an answer, and reads none. */
static void flood(struct served *s, const struct message *m, size_t bytes)
{
	struct intruder in;
	struct bytes encoded = {0};
	struct bytes frames = {0};

	intruder_init(&in, &s->network);
	assert_true(intruder_connect(&in, s->port));
	assert_true(intruder_handshake(&in, LIE_NONE));
	assert_int_equal(message_encode(m, &encoded), TK_OK);
	while (frames.len < bytes)
		assert_true(intruder_frame(&in, 0, encoded.data, encoded.len, &frames));
	(void)intruder_raw(&in, frames.data, frames.len); /* closed at some point, or not */
	intruder_close(&in);
	bytes_close(&frames);
	bytes_close(&encoded);
}

static void flood_of_questions_does_not_fill_the_memory(void **state)
{
	struct message work = {.type = MESSAGE_WORK_REQUEST, .work_request.slots = 1};
	struct message abandon = {.type = MESSAGE_ABANDON};
	struct message ping = {.type = MESSAGE_PING};
	struct served *s = *state;

	flood(s, &work, 8u << 20);
	flood(s, &abandon, 8u << 20);
	flood(s, &ping, 8u << 20);
	assert_serves(s);
	assert_memory_bounded(s);
}

/* Writes `count` times, and reads what comes back; true while the session lasts. */
static bool chatter(struct served *s, const struct message *m, size_t count, bool lasts)
{
	struct intruder in;
	struct bytes encoded = {0};
	struct bytes frames = {0};
	bool held;

	intruder_init(&in, &s->network);
	assert_true(intruder_connect(&in, s->port));
	assert_true(intruder_handshake(&in, LIE_NONE));
	assert_int_equal(message_encode(m, &encoded), TK_OK);
	for (size_t i = 0; i < count; i++)
		assert_true(intruder_frame(&in, 0, encoded.data, encoded.len, &frames));
	(void)intruder_raw(&in, frames.data, frames.len);
	held = lasts ? intruder_alive(&in) : intruder_is_closed(&in);
	intruder_close(&in);
	bytes_close(&frames);
	bytes_close(&encoded);
	return held;
}

/* Whatever is small and may be said at any time: one session can't have the node's whole attention. */
static void who_never_stops_talking_is_dropped_with_a_line_in_the_log(void **state)
{
	static const struct message talk[] = {
		{.type = MESSAGE_PING},
		{.type = MESSAGE_PONG},
		{.type = MESSAGE_ABANDON},
		{.type = MESSAGE_WORK_REQUEST, .work_request.slots = 1},
		{.type = MESSAGE_DIALLED_BACK, .dialled_back.nonce = 3},
		{.type = MESSAGE_DIAL_BACK,
			.dial_back = {.nonce = 5,
				.at = {.family = 4, .ip = {127, 0, 0, 1}, .port = 4000}}},
		{.type = MESSAGE_BLOB_HAVE,
			.blob_have = {.total = 1, .pieces = {(const uint8_t *)"\1", 1}}},
		{.type = MESSAGE_UPLOAD, .upload.bytes = {(const uint8_t *)"x", 1}},
		{.type = MESSAGE_RELAY_RESERVED, .relay_reserved.status = 1},
		{.type = MESSAGE_BLOB_MISSING},
		{.type = MESSAGE_BLOB_BUSY, .blob_busy.retry_ms = 1},
	};
	struct served *s = *state;
	struct intruder honest;

	intruder_init(&honest, &s->network);
	assert_true(intruder_connect(&honest, s->port));
	assert_true(intruder_handshake(&honest, LIE_NONE));
	assert_true(chatter(s, &talk[0], NODE_CHATTER_MAX / 2, true));
	for (size_t i = 0; i < sizeof(talk) / sizeof(talk[0]); i++) {
		size_t before = served_log_count(s, "small things a second");

		assert_true(chatter(s, &talk[i], 50 * NODE_CHATTER_MAX, false));
		assert_true(served_log_gains(s, "small things a second", before));
		assert_true(intruder_alive(&honest));
	}
	intruder_close(&honest);
	assert_serves(s);
	assert_memory_bounded(s);
}

/* Many identities that only ask: each leaves a row at most. */
static void crowd_of_identities_is_borne(void **state)
{
	struct message work = {.type = MESSAGE_WORK_REQUEST, .work_request.slots = 1};
	struct served *s = *state;

	for (size_t i = 0; i < slice(1000, 250); i++) {
		struct intruder in;

		intruder_init(&in, &s->network);
		assert_true(intruder_connect(&in, s->port));
		assert_true(intruder_handshake(&in, LIE_NONE));
		assert_true(intruder_say(&in, &work));
		intruder_close(&in);
	}
	assert_serves(s);
	assert_memory_bounded(s);
}

/* Strangers take every connection there is while a project is trained: its blobs are written all the
 * same. */
static void sessions_do_not_take_the_files_that_the_store_needs(void **state)
{
	struct served *s = *state;
	struct intruder *crowd = calloc(2 * FILES_MAX, sizeof(*crowd));

	assert_non_null(crowd);
	assert_true(served_add_peer(s));
	assert_true(served_add_peer(s));
	assert_true(served_submit(s, "crowded", 30));
	assert_true(served_log_gains(s, "round 1 of 30 merged", 0));
	for (size_t i = 0; i < 2 * FILES_MAX; i++) {
		intruder_init(&crowd[i], &s->network);
		if (intruder_connect(&crowd[i], s->port))
			(void)intruder_handshake(&crowd[i], LIE_NONE);
	}
	assert_true(served_finishes(s, "crowded"));
	assert_int_equal(served_log_count(s, "cannot go on"), 0);
	assert_int_equal(served_log_count(s, "cannot accept"), 0);
	for (size_t i = 0; i < 2 * FILES_MAX; i++)
		intruder_close(&crowd[i]);
	free(crowd);
	/* whoever comes while the last of them is still thought to be there is turned away, rightly */
	assert_true(served_descriptors_fall(s, FILES_MAX / 2));
	assert_serves(s);
}

/* Strangers with good identities have taken every place before anybody honest came, and ask for work now and then. */
static void house_full_of_squatters_is_opened_by_those_who_work(void **state)
{
	struct message ask = {.type = MESSAGE_WORK_REQUEST, .work_request.slots = 1};
	struct served *s = *state;
	struct intruder *crowd = calloc(FILES_MAX, sizeof(*crowd));
	struct intruder late;

	assert_non_null(crowd);
	for (size_t i = 0; i < FILES_MAX; i++) {
		intruder_init(&crowd[i], &s->network);
		if (intruder_connect(&crowd[i], s->port) &&
			intruder_handshake(&crowd[i], LIE_NONE) && i % 2 == 0)
			(void)intruder_say(&crowd[i], &ask);
	}
	intruder_init(&late, &s->network);
	assert_false(intruder_connect(&late, s->port) && intruder_handshake(&late, LIE_NONE) &&
		     intruder_alive(&late)); /* it is full */
	intruder_close(&late);
	assert_true(served_submit(s, "opened", 3));
	assert_true(served_add_peer(s));
	assert_true(served_add_peer(s));
	assert_true(served_finishes(s, "opened"));
	assert_true(served_is_running(s));
	for (size_t i = 0; i < FILES_MAX; i++)
		intruder_close(&crowd[i]);
	free(crowd);
}

int main(void)
{
#define FLOOD(f) cmocka_unit_test_setup_teardown(f, open_usual, close_served)
	const struct CMUnitTest tests[] = {
		FLOOD(garbage_is_turned_away),
		FLOOD(silent_crowd_does_not_keep_others_out),
		FLOOD(connecting_and_hanging_up_costs_nothing_that_stays),
		FLOOD(flood_of_questions_does_not_fill_the_memory),
		FLOOD(who_never_stops_talking_is_dropped_with_a_line_in_the_log),
		FLOOD(crowd_of_identities_is_borne),
		cmocka_unit_test_setup_teardown(sessions_do_not_take_the_files_that_the_store_needs,
			open_with_few_files, close_served),
		cmocka_unit_test_setup_teardown(house_full_of_squatters_is_opened_by_those_who_work,
			open_with_few_files, close_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
