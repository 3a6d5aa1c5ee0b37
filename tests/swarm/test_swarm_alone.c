/* The swarm's core, one alone with messages that nobody honest would send, and with short memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tasks/base/mem.h"
#include "peer/swarm/swarm_state.h"
#include "tests/swarm/lone.h"

static void what_breaks_a_rule_ends_the_session(void **state)
{
	static const uint64_t pieces[SWARM_PIECE_WORDS] = {1};
	const struct swarm_message rude[] = {
		{.type = MESSAGE_BLOB_PART, .blob = BLOB, .length = 10, .total = 100, .good = true},
		{.type = MESSAGE_BLOB_PART, .blob = 99, .length = 10, .total = 100, .good = true},
		{.type = MESSAGE_BLOB_HAVE, .blob = BLOB, .total = 101, .pieces = pieces},
		{.type = MESSAGE_BLOB_SOURCES, .blob = BLOB},
		{.type = MESSAGE_BLOB_GET, .blob = BLOB, .offset = 100, .length = 1},
		{.type = MESSAGE_BLOB_GET, .blob = BLOB, .offset = UINT64_MAX, .length = 1},
		{.type = MESSAGE_PING},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rude) / sizeof(rude[0]); i++) {
		struct lone l;

		lone_begin(&l, SIM_TRACKER);
		lone_step(&l, (struct swarm_event){
				      .type = SWARM_WANT, .blob = BLOB, .total = 100, .max = 100});
		lone_hear(&l, OTHER, rude[i]);
		assert_int_equal(lone_count(&l, SWARM_ACCUSE), 1);
		lone_end(&l);
	}
}

static void a_length_is_believed_from_the_tracker_alone_and_within_its_limit(void **state)
{
	static const uint64_t pieces[SWARM_PIECE_WORDS] = {1};
	struct swarm_message have = {
		.type = MESSAGE_BLOB_HAVE, .blob = BLOB, .total = 5000, .pieces = pieces};
	struct swarm_progress p;
	struct lone l;

	(void)state;
	lone_begin(&l, SIM_TRACKER);
	lone_step(&l, (struct swarm_event){.type = SWARM_WANT, .blob = BLOB, .max = 4999});
	lone_hear(&l, OTHER, have);
	assert_int_equal(l.out.count, 0);
	lone_hear(&l, SIM_TRACKER, have);
	assert_int_equal(lone_count(&l, SWARM_LACKING), 1);
	have.total = 4999;
	lone_hear(&l, SIM_TRACKER, have);
	assert_true(swarm_progress(l.core, BLOB, &p));
	assert_int_equal(p.total, 4999);
	assert_int_equal(p.asked, 1);
	lone_end(&l);
}

static void a_thousand_requests_at_once_are_queued_and_refused_and_then_the_session_ends(
	void **state)
{
	struct swarm_message get = {
		.type = MESSAGE_BLOB_GET, .blob = BLOB, .length = BLOB_PART_MAX};
	uint32_t served = 0, refused = 0, accused = 0;
	struct lone l;

	(void)state;
	lone_begin(&l, SIM_TRACKER);
	lone_step(&l, (struct swarm_event){.type = SWARM_HOLD, .blob = BLOB, .total = 100 * MB});
	for (uint32_t i = 0; i < 5000; i++) {
		get.offset = (uint64_t)(i % 1000) * BLOB_PART_MAX;
		lone_hear(&l, OTHER, get);
		served += lone_count(&l, SWARM_SERVE);
		accused += lone_count(&l, SWARM_ACCUSE);
		for (size_t k = 0; k < l.out.count; k++)
			refused += l.out.items[k].message.type == MESSAGE_BLOB_BUSY;
	}
	assert_int_equal(served, 4); /* none of them has left yet */
	assert_int_equal(refused, 2048);
	assert_int_equal(accused, 1);
	lone_end(&l);
}

/* Four peers ask, and take nothing of what is sent to them: SERVED never comes. Who asks after them gets its turn. */
static void whoever_takes_nothing_loses_its_slot_to_who_waits(void **state)
{
	struct swarm_message get = {
		.type = MESSAGE_BLOB_GET, .blob = BLOB, .length = BLOB_PART_MAX};
	struct lone l;

	(void)state;
	lone_begin(&l, SIM_TRACKER);
	lone_step(&l, (struct swarm_event){.type = SWARM_HOLD, .blob = BLOB, .total = 100 * MB});
	for (peer_ref i = 1; i <= 4; i++) {
		lone_step(&l, (struct swarm_event){.type = SWARM_UP, .peer = OTHER + i});
		lone_hear(&l, OTHER + i, get);
		assert_int_equal(lone_count(&l, SWARM_SERVE), 1);
	}
	lone_hear(&l, OTHER, get);
	assert_int_equal(lone_count(&l, SWARM_SERVE), 0);
	assert_int_not_equal(swarm_wake_ms(l.core), UINT64_MAX);
	l.now_ms += 31000;
	lone_step(&l, (struct swarm_event){.type = SWARM_WAKE});
	lone_hear(&l, OTHER, get);
	assert_int_equal(lone_count(&l, SWARM_SERVE), 1);
	lone_hear(&l, OTHER + 1, get); /* not before it has taken what it got */
	assert_int_equal(lone_count(&l, SWARM_SERVE), 0);
	lone_step(&l, (struct swarm_event){.type = SWARM_SERVED,
			      .peer = OTHER + 1,
			      .blob = BLOB,
			      .length = BLOB_PART_MAX});
	lone_hear(&l, OTHER + 1, get);
	assert_int_equal(lone_count(&l, SWARM_SERVE), 1);
	lone_end(&l);
}

/* It asked ten times and has taken four; when its slot goes to somebody else, it hears BUSY of the other six. */
static void whoever_loses_its_slot_hears_of_each_request(void **state)
{
	struct swarm_message get = {
		.type = MESSAGE_BLOB_GET, .blob = BLOB, .length = BLOB_PART_MAX};
	uint32_t busy = 0;
	struct lone l;

	(void)state;
	lone_begin(&l, SIM_TRACKER);
	lone_step(&l, (struct swarm_event){.type = SWARM_HOLD, .blob = BLOB, .total = 100 * MB});
	for (peer_ref i = 1; i <= 4; i++) {
		lone_step(&l, (struct swarm_event){.type = SWARM_UP, .peer = OTHER + i});
		for (get.offset = 0; get.offset < 10 * BLOB_PART_MAX; get.offset += BLOB_PART_MAX)
			lone_hear(&l, OTHER + i, get);
	}
	get.offset = 0;
	lone_hear(&l, OTHER, get);
	l.now_ms += 16000;
	lone_step(&l, (struct swarm_event){.type = SWARM_WAKE});
	for (size_t i = 0; i < l.out.count; i++)
		busy += l.out.items[i].type == SWARM_SEND && l.out.items[i].peer == OTHER + 1 &&
			l.out.items[i].message.type == MESSAGE_BLOB_BUSY;
	assert_int_equal(busy, 10 - 4);
	lone_end(&l);
}

/* Sixty identities of one place have the slots, take nothing, and stand in line; one of another place comes last. */
static void a_crowd_from_one_place_does_not_keep_others_from_their_turn(void **state)
{
	struct swarm_message get = {
		.type = MESSAGE_BLOB_GET, .blob = BLOB, .length = BLOB_PART_MAX};
	uint32_t turns = 0;
	struct lone l;

	(void)state;
	lone_begin(&l, SIM_TRACKER);
	lone_step(&l, (struct swarm_event){.type = SWARM_HOLD, .blob = BLOB, .total = 100 * MB});
	for (peer_ref i = 1; i <= 60; i++) {
		lone_step(
			&l, (struct swarm_event){.type = SWARM_UP, .peer = OTHER + i, .prefix = 7});
		lone_hear(&l, OTHER + i, get);
	}
	lone_step(&l, (struct swarm_event){.type = SWARM_UP, .peer = OTHER + 61, .prefix = 8});
	lone_hear(&l, OTHER + 61, get);
	assert_int_equal(lone_count(&l, SWARM_SERVE), 0);
	while (lone_count(&l, SWARM_SERVE) == 0 || l.out.items[0].peer != OTHER + 61) {
		assert_true(turns++ < 3);
		l.now_ms += 15000;
		lone_step(&l, (struct swarm_event){.type = SWARM_WAKE});
		for (peer_ref i = 1; i <= 60; i++)
			lone_hear(&l, OTHER + i, get);
		lone_hear(&l, OTHER + 61, get);
	}
	lone_end(&l);
}

/* Four of one place have the slots and ten more of it have waited longer; a turn goes to the one of another place, but
 * for every fourth turn, which goes by chance. */
static void turns_go_first_to_the_place_that_has_fewest_slots(void **state)
{
	struct swarm_message get = {
		.type = MESSAGE_BLOB_GET, .blob = BLOB, .length = BLOB_PART_MAX};
	uint32_t served = 0;

	(void)state;
	for (unsigned trial = 0; trial < 40; trial++) {
		struct lone l;

		lone_begin(&l, SIM_TRACKER);
		l.now_ms += 13 * trial;
		lone_step(&l,
			(struct swarm_event){.type = SWARM_HOLD, .blob = BLOB, .total = 100 * MB});
		for (peer_ref i = 1; i <= 15; i++) {
			lone_step(&l, (struct swarm_event){.type = SWARM_UP,
					      .peer = OTHER + i,
					      .prefix = i < 15 ? 7 : 8});
			l.now_ms++;
			lone_hear(&l, OTHER + i, get);
		}
		l.now_ms += 15000;
		lone_step(&l, (struct swarm_event){.type = SWARM_WAKE});
		lone_hear(&l, OTHER + 15, get);
		served += lone_count(&l, SWARM_SERVE);
		lone_end(&l);
	}
	assert_in_range(served, 36, 40);
}

static bool waits(const struct lone *l, peer_ref peer)
{
	for (uint32_t i = 0; i < l->core->waiter_count; i++)
		if (l->core->waiters[i].peer == peer)
			return true;
	return false;
}

/* The line is full of peers from everywhere: who comes later finds no place. Of a place that is there often, one goes. */
static void a_full_line_makes_room_where_a_place_is_crowded_alone(void **state)
{
	struct swarm_message get = {
		.type = MESSAGE_BLOB_GET, .blob = BLOB, .length = BLOB_PART_MAX};

	(void)state;
	for (uint64_t crowd = 0; crowd <= 1; crowd++) {
		const peer_ref last = OTHER + 4 + WAITERS_MAX + 1;
		struct lone l;

		lone_begin(&l, SIM_TRACKER);
		lone_step(&l,
			(struct swarm_event){.type = SWARM_HOLD, .blob = BLOB, .total = 100 * MB});
		for (peer_ref i = OTHER + 1; i <= last; i++) {
			lone_step(&l, (struct swarm_event){.type = SWARM_UP,
					      .peer = i,
					      .prefix = crowd && i != last ? 7 : 100 + i});
			lone_hear(&l, i, get);
		}
		assert_int_equal(l.core->waiter_count, WAITERS_MAX);
		assert_int_equal(waits(&l, last), crowd);
		lone_end(&l);
	}
}

/* Questions do not make up for taking nothing. */
static void whoever_asks_on_and_takes_nothing_loses_its_slot_all_the_same(void **state)
{
	struct swarm_message get = {
		.type = MESSAGE_BLOB_GET, .blob = BLOB, .length = BLOB_PART_MAX};
	struct lone l;

	(void)state;
	lone_begin(&l, SIM_TRACKER);
	lone_step(&l, (struct swarm_event){.type = SWARM_HOLD, .blob = BLOB, .total = 100 * MB});
	for (peer_ref i = 1; i <= 4; i++)
		lone_step(&l, (struct swarm_event){.type = SWARM_UP, .peer = OTHER + i});
	for (unsigned n = 0; n < 20; n++) {
		l.now_ms += 1000;
		for (peer_ref i = 1; i <= 4; i++)
			lone_hear(&l, OTHER + i, get);
		lone_hear(&l, OTHER, get);
	}
	assert_int_equal(lone_count(&l, SWARM_SERVE), 1);
	lone_end(&l);
}

/* A fuzzer has found that the tracker divided by the number of its pieces. */
static void a_tracker_without_the_length_of_a_blob_names_nobody(void **state)
{
	struct lone l;

	(void)state;
	lone_begin(&l, 0);
	lone_step(&l, (struct swarm_event){.type = SWARM_WANT, .blob = BLOB, .max = 100});
	lone_hear(&l, OTHER,
		(struct swarm_message){.type = MESSAGE_BLOB_WHO, .blob = BLOB, .length = 4});
	assert_int_equal(l.out.count, 0);
	lone_end(&l);
}

static void nobody_has_it_is_said_once(void **state)
{
	struct lone l;

	(void)state;
	lone_begin(&l, SIM_TRACKER);
	lone_step(&l,
		(struct swarm_event){.type = SWARM_WANT, .blob = BLOB, .total = 100, .max = 100});
	assert_int_equal(l.out.count, 1);
	assert_int_equal(l.out.items[0].message.type, MESSAGE_BLOB_WHO);
	lone_hear(&l, SIM_TRACKER,
		(struct swarm_message){.type = MESSAGE_BLOB_MISSING, .blob = BLOB});
	assert_int_equal(lone_count(&l, SWARM_LACKING), 1);
	lone_hear(&l, SIM_TRACKER,
		(struct swarm_message){.type = MESSAGE_BLOB_MISSING, .blob = BLOB});
	assert_int_equal(lone_count(&l, SWARM_LACKING), 0);
	lone_end(&l);
}

static bool was_told(const struct lone *l, peer_ref peer)
{
	for (size_t i = 0; i < l->out.count; i++)
		if (l->out.items[i].type == SWARM_SEND && l->out.items[i].peer == peer &&
			l->out.items[i].message.type == MESSAGE_BLOB_HAVE)
			return true;
	return false;
}

/* Of a blob of three pieces OTHER has the first and RICH the first two: neither is told of the first, and of the
 * second only OTHER is. */
static void who_has_a_piece_itself_need_not_hear_that_we_have_it(void **state)
{
	enum { RICH = 9 };
	static const uint64_t one[SWARM_PIECE_WORDS] = {1}, two[SWARM_PIECE_WORDS] = {3};
	struct swarm_message have = {
		.type = MESSAGE_BLOB_HAVE, .blob = BLOB, .total = 3ull * BLOB_PIECE, .pieces = one};
	struct swarm_message part = {.type = MESSAGE_BLOB_PART,
		.blob = BLOB,
		.total = have.total,
		.length = BLOB_PIECE,
		.good = true};
	struct swarm_config config;
	struct lone l;

	(void)state;
	lone_begin(&l, SIM_TRACKER);
	swarm_free(l.core);
	swarm_config_default(&config, SIM_TRACKER, BLOB_PIECE);
	l.core = swarm_new(&config);
	assert_non_null(l.core);
	for (peer_ref peer = OTHER; peer <= RICH; peer++)
		lone_step(&l, (struct swarm_event){
				      .type = SWARM_UP, .peer = peer, .reach = SWARM_PUBLIC});
	lone_step(&l,
		(struct swarm_event){
			.type = SWARM_WANT, .blob = BLOB, .total = have.total, .max = have.total});
	lone_hear(&l, OTHER, have);
	have.pieces = two;
	lone_hear(&l, RICH, have);
	for (uint32_t piece = 0; piece < 2; piece++) {
		uint64_t offset = (uint64_t)piece * BLOB_PIECE;
		peer_ref from = swarm_expects(l.core, RICH, BLOB, offset) ? RICH : OTHER;

		assert_true(swarm_expects(l.core, from, BLOB, offset));
		part.offset = offset;
		lone_hear(&l, from, part);
		l.now_ms += config.have_ms;
		lone_step(&l, (struct swarm_event){.type = SWARM_WAKE});
		assert_false(was_told(&l, RICH));
		assert_int_equal(was_told(&l, OTHER), piece == 1);
	}
	lone_end(&l);
}

/* Every allocation of a small exchange fails once: an error or nothing, never a broken rule. */
static void short_memory_is_said(void **state)
{
	static const uint64_t pieces[SWARM_PIECE_WORDS] = {1};
	bool done = false;

	(void)state;
	for (uint64_t after = 1; !done; after++) {
		struct swarm_message have = {
			.type = MESSAGE_BLOB_HAVE, .blob = BLOB, .total = 100, .pieces = pieces};
		struct swarm_message part = {.type = MESSAGE_BLOB_PART,
			.blob = BLOB,
			.total = 100,
			.length = 100,
			.good = true};
		const struct swarm_event events[] = {
			{.type = SWARM_UP, .peer = SIM_TRACKER, .now_ms = 1},
			{.type = SWARM_WANT, .blob = BLOB, .total = 100, .max = 100, .now_ms = 2},
			{.type = SWARM_UP, .peer = OTHER, .now_ms = 3},
			{.type = SWARM_MESSAGE, .peer = OTHER, .message = &have, .now_ms = 4},
			{.type = SWARM_MESSAGE, .peer = OTHER, .message = &part, .now_ms = 5},
		};
		struct swarm_effects out = {0};
		struct swarm_config config;
		struct swarm *core;
		int rc = TK_OK;

		swarm_config_default(&config, SIM_TRACKER, BLOB_PART_MAX);
		mem_fail(after, 0);
		core = swarm_new(&config);
		for (size_t i = 0; core != NULL && rc == TK_OK && i < 5; i++)
			rc = swarm_step(core, &events[i], &out);
		mem_fail(0, 0);
		done = core != NULL && rc == TK_OK;
		assert_true(done || core == NULL || rc == TK_ENOMEM);
		swarm_free(core);
		swarm_effects_close(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_breaks_a_rule_ends_the_session),
		cmocka_unit_test(a_length_is_believed_from_the_tracker_alone_and_within_its_limit),
		cmocka_unit_test(
			a_thousand_requests_at_once_are_queued_and_refused_and_then_the_session_ends),
		cmocka_unit_test(whoever_takes_nothing_loses_its_slot_to_who_waits),
		cmocka_unit_test(whoever_loses_its_slot_hears_of_each_request),
		cmocka_unit_test(a_crowd_from_one_place_does_not_keep_others_from_their_turn),
		cmocka_unit_test(turns_go_first_to_the_place_that_has_fewest_slots),
		cmocka_unit_test(a_full_line_makes_room_where_a_place_is_crowded_alone),
		cmocka_unit_test(whoever_asks_on_and_takes_nothing_loses_its_slot_all_the_same),
		cmocka_unit_test(a_tracker_without_the_length_of_a_blob_names_nobody),
		cmocka_unit_test(nobody_has_it_is_said_once),
		cmocka_unit_test(who_has_a_piece_itself_need_not_hear_that_we_have_it),
		cmocka_unit_test(short_memory_is_said),
	};

	return cmocka_run_group_tests_name("swarm alone", tests, NULL, NULL);
}
