/* Peers name sources to each other: what one core asks, answers and believes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/swarm/lone.h"

#define FIRST 100u /* the first of many peers */

static void up(struct lone *l, peer_ref peer, enum swarm_reach reach)
{
	lone_step(l, (struct swarm_event){.type = SWARM_UP, .peer = peer, .reach = reach});
}

static void have(struct lone *l, peer_ref peer, uint64_t pieces)
{
	lone_hear(l, peer,
		(struct swarm_message){.type = MESSAGE_BLOB_HAVE,
			.blob = BLOB,
			.total = 100 * MB,
			.pieces = (uint64_t[SWARM_PIECE_WORDS]){pieces}});
}

static void who(struct lone *l, peer_ref peer, uint32_t want)
{
	lone_hear(l, peer,
		(struct swarm_message){.type = MESSAGE_BLOB_WHO, .blob = BLOB, .length = want});
}

/* What was said last of that type, to `to`, or 0 to anybody; NULL: nothing was. */
static const struct swarm_effect *said(const struct lone *l, enum message_type type, peer_ref to)
{
	for (size_t i = l->out.count; i > 0; i--) {
		const struct swarm_effect *e = &l->out.items[i - 1];

		if (e->type == SWARM_SEND && e->message.type == type && (to == 0 || e->peer == to))
			return e;
	}
	return NULL;
}

static void want_it(struct lone *l, bool discreet)
{
	lone_step(l, (struct swarm_event){.type = SWARM_WANT,
			     .blob = BLOB,
			     .total = 100 * MB,
			     .max = 100 * MB,
			     .discreet = discreet});
}

static void begin(struct lone *l, bool with_tracker)
{
	lone_begin(l, SIM_TRACKER);
	if (!with_tracker)
		lone_step(l, (struct swarm_event){.type = SWARM_DOWN, .peer = SIM_TRACKER});
}

static void who_exchanges_a_blob_names_a_few_others_and_never_the_asker(void **state)
{
	struct lone l;

	(void)state;
	begin(&l, true);
	want_it(&l, false);
	for (peer_ref p = FIRST; p < FIRST + 20; p++) {
		up(&l, p, (enum swarm_reach)(p % 3));
		have(&l, p, 1);
	}
	for (unsigned n = 0; n < 200; n++) {
		const struct swarm_effect *e;
		uint32_t public = 0;

		l.now_ms += 1000;
		who(&l, FIRST + 1, 16);
		e = said(&l, MESSAGE_BLOB_SOURCES, FIRST + 1);
		assert_non_null(e);
		assert_int_equal(e->message.count, SWARM_SOURCES_FEW);
		for (uint32_t i = 0; i < e->message.count; i++) {
			peer_ref peer = e->message.peers[i];

			assert_in_range(peer, FIRST, FIRST + 19);
			assert_int_not_equal(peer, FIRST + 1);
			assert_int_not_equal(peer % 3, SWARM_UNREACHABLE);
			public += peer % 3 == SWARM_PUBLIC;
			for (uint32_t k = 0; k < i; k++)
				assert_int_not_equal(peer, e->message.peers[k]);
		}
		assert_int_equal(public, SWARM_SOURCES_FEW / 2);
		who(&l, FIRST + 1, 1);
		assert_int_equal(said(&l, MESSAGE_BLOB_SOURCES, 0)->message.count, 1);
	}
	lone_end(&l);
}

/* The asker learns what we have, too, so that a neighbour becomes a source. */
static void whoever_asks_hears_what_we_have(void **state)
{
	struct lone l;

	(void)state;
	begin(&l, true);
	lone_step(&l, (struct swarm_event){.type = SWARM_HOLD, .blob = BLOB, .total = 100 * MB});
	who(&l, OTHER, 4);
	assert_int_equal(said(&l, MESSAGE_BLOB_SOURCES, OTHER)->message.count, 0);
	assert_int_equal(said(&l, MESSAGE_BLOB_HAVE, OTHER)->message.pieces[0], (1u << 25) - 1);
	l.now_ms += 1000;
	who(&l, OTHER, 4);
	assert_null(said(&l, MESSAGE_BLOB_HAVE, OTHER)); /* once is enough */
	lone_end(&l);
}

/* A shard, and what is between us and the coordinator, is as if it were not here. */
static void of_what_is_discreet_nothing_is_told_and_the_tracker_alone_is_asked(void **state)
{
	struct lone l;

	(void)state;
	for (unsigned held = 0; held < 2; held++) {
		begin(&l, true);
		if (held == 0)
			want_it(&l, true);
		else
			lone_step(&l, (struct swarm_event){.type = SWARM_HOLD,
					      .blob = BLOB,
					      .total = 100 * MB,
					      .discreet = true});
		have(&l, OTHER, 1);
		up(&l, FIRST, SWARM_PUBLIC);
		who(&l, FIRST, 4);
		assert_null(said(&l, MESSAGE_BLOB_SOURCES, 0));
		assert_null(said(&l, MESSAGE_BLOB_HAVE, 0));
		assert_non_null(said(&l, MESSAGE_BLOB_MISSING, FIRST));
		for (unsigned n = 0; held == 0 && n < 600; n++) {
			l.now_ms += 500;
			lone_step(&l, (struct swarm_event){.type = SWARM_WAKE});
			assert_true(said(&l, MESSAGE_BLOB_WHO, 0) ==
				    said(&l, MESSAGE_BLOB_WHO, SIM_TRACKER));
		}
		lone_end(&l);
	}
}

static void names_that_were_not_asked_for_end_the_session(void **state)
{
	const struct swarm_message sources = {
		.type = MESSAGE_BLOB_SOURCES, .blob = BLOB, .count = 1, .peers = {FIRST}};
	struct lone l;

	(void)state;
	begin(&l, true);
	want_it(&l, false);
	assert_false(swarm_expects_sources(l.core, OTHER));
	lone_hear(&l, OTHER, sources);
	assert_int_equal(lone_count(&l, SWARM_ACCUSE), 1);
	assert_int_equal(lone_count(&l, SWARM_DIAL), 0);
	lone_hear(&l, SIM_TRACKER, sources); /* which may, and is believed */
	assert_int_equal(lone_count(&l, SWARM_DIAL), 1);
	lone_end(&l);
}

/* Its answers waited behind parts on a slow line, for instance: there may be as many as questions, and no more. */
static void an_answer_to_each_question_may_come_however_late(void **state)
{
	const struct swarm_message sources = {.type = MESSAGE_BLOB_SOURCES, .blob = BLOB};
	uint32_t asked = 0;
	struct lone l;

	(void)state;
	begin(&l, false);
	want_it(&l, false);
	asked += said(&l, MESSAGE_BLOB_WHO, OTHER) != NULL;
	for (unsigned n = 0; n < 1200; n++) {
		l.now_ms += 500;
		lone_step(&l, (struct swarm_event){.type = SWARM_WAKE});
		asked += said(&l, MESSAGE_BLOB_WHO, OTHER) != NULL;
	}
	assert_in_range(asked, 20, 200);
	for (uint32_t n = 0; n < asked; n++) {
		lone_hear(&l, OTHER, sources);
		assert_int_equal(lone_count(&l, SWARM_ACCUSE), 0);
	}
	lone_hear(&l, OTHER, sources);
	assert_int_equal(lone_count(&l, SWARM_ACCUSE), 1);
	lone_end(&l);
}

/* Whoever says that he knows many, and all of them his own. */
static void liars_cannot_fill_our_dials(void **state)
{
	uint32_t dials = 0, answers = 0;
	peer_ref next = 1000;
	struct lone l;

	(void)state;
	begin(&l, false);
	for (peer_ref p = FIRST; p < FIRST + 6; p++)
		up(&l, p, SWARM_PUBLIC);
	want_it(&l, false);
	for (unsigned n = 0; n < 1200; n++) {
		struct swarm_message sources = {
			.type = MESSAGE_BLOB_SOURCES, .blob = BLOB, .count = BLOB_SOURCES_MAX};

		for (peer_ref p = OTHER; p < FIRST + 6; p = p == OTHER ? FIRST : p + 1) {
			if (!swarm_expects_sources(l.core, p))
				continue;
			for (uint32_t i = 0; i < BLOB_SOURCES_MAX; i++)
				sources.peers[i] = next++;
			lone_hear(&l, p, sources);
			assert_int_equal(lone_count(&l, SWARM_ACCUSE), 0);
			dials += lone_count(&l, SWARM_DIAL);
			answers++;
			if (answers == 1) /* of one peer's names a few */
				assert_int_equal(dials, 2);
		}
		l.now_ms += 500;
		lone_step(&l, (struct swarm_event){.type = SWARM_WAKE});
		dials += lone_count(&l, SWARM_DIAL);
	}
	assert_in_range(answers, 20, 1000);
	assert_int_equal(dials, 8); /* half of the 16 that go out while nothing comes */
	lone_step(&l, (struct swarm_event){.type = SWARM_UP, .peer = SIM_TRACKER});
	assert_int_equal(said(&l, MESSAGE_BLOB_WHO, SIM_TRACKER)->message.length, 8);
	lone_hear(&l, SIM_TRACKER,
		(struct swarm_message){.type = MESSAGE_BLOB_SOURCES,
			.blob = BLOB,
			.count = 8,
			.peers = {50, 51, 52, 53, 54, 55, 56, 57}});
	assert_int_equal(lone_count(&l, SWARM_DIAL), 8);
	lone_end(&l);
}

/* Those who were dialled come up, and give nothing. */
static uint32_t dialled_come_up(struct lone *l, peer_ref from)
{
	peer_ref peers[64];
	uint32_t count = 0, honest = 0;

	for (size_t i = 0; i < l->out.count && count < 64; i++)
		if (l->out.items[i].type == SWARM_DIAL)
			peers[count++] = l->out.items[i].peer;
	for (uint32_t i = 0; i < count; i++) {
		honest += peers[i] >= from;
		up(l, peers[i], SWARM_PUBLIC);
	}
	return honest;
}

/* Liars among our neighbours name accomplices. A neighbour that comes after a minute knows sources. */
static void accomplices_who_give_nothing_do_not_hold_our_dials_for_good(void **state)
{
	enum { HONEST = 50000 };
	uint32_t honest = 0;
	peer_ref next = 1000, good = HONEST;
	struct lone l;

	(void)state;
	begin(&l, false);
	for (peer_ref p = FIRST; p < FIRST + 5; p++)
		up(&l, p, SWARM_PUBLIC);
	want_it(&l, false);
	for (unsigned n = 0; n < 600; n++) {
		struct swarm_message sources = {
			.type = MESSAGE_BLOB_SOURCES, .blob = BLOB, .count = 4};

		if (n == 120)
			up(&l, FIRST + 5, SWARM_PUBLIC);
		for (peer_ref p = FIRST; p < FIRST + 6; p++) {
			if (!swarm_expects_sources(l.core, p))
				continue;
			for (uint32_t i = 0; i < 4; i++)
				sources.peers[i] = p == FIRST + 5 ? good++ : next++;
			lone_hear(&l, p, sources);
			honest += dialled_come_up(&l, HONEST);
		}
		l.now_ms += 500;
		lone_step(&l, (struct swarm_event){.type = SWARM_WAKE});
		honest += dialled_come_up(&l, HONEST);
	}
	assert_true(honest > 0);
	lone_end(&l);
}

static void whoever_asks_without_end_is_answered_seldom_and_then_left(void **state)
{
	uint32_t answers = 0, asked = 0;
	struct lone l;

	(void)state;
	begin(&l, true);
	want_it(&l, false);
	for (; asked < 100000 && (asked == 0 || lone_count(&l, SWARM_ACCUSE) == 0); asked++) {
		l.now_ms += 2;
		who(&l, OTHER, 4);
		answers += said(&l, MESSAGE_BLOB_SOURCES, OTHER) != NULL;
	}
	assert_in_range(asked, 2049, 10000);
	assert_in_range(answers, 16, 16 + 2 * asked / 500 + 1);
	lone_end(&l);
}

/* Nothing comes, and the tracker hears of it, more and more seldom; peers are asked in between. */
static void the_tracker_is_asked_when_nothing_comes_and_ever_more_seldom(void **state)
{
	uint32_t tracker = 0, peers = 0, first_minute = 0;
	struct lone l;

	(void)state;
	begin(&l, true);
	want_it(&l, false);
	assert_non_null(said(&l, MESSAGE_BLOB_WHO, SIM_TRACKER));
	for (unsigned n = 0; n < 3600 * 2; n++) {
		l.now_ms += 500;
		lone_step(&l, (struct swarm_event){.type = SWARM_WAKE});
		tracker += said(&l, MESSAGE_BLOB_WHO, SIM_TRACKER) != NULL;
		peers += said(&l, MESSAGE_BLOB_WHO, OTHER) != NULL;
		if (n == 120)
			first_minute = tracker;
	}
	assert_in_range(first_minute, 1, 4);
	assert_in_range(tracker, 3600 / 300, 3600 / 180 + 6);
	assert_true(peers > 100);
	lone_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_exchanges_a_blob_names_a_few_others_and_never_the_asker),
		cmocka_unit_test(whoever_asks_hears_what_we_have),
		cmocka_unit_test(
			of_what_is_discreet_nothing_is_told_and_the_tracker_alone_is_asked),
		cmocka_unit_test(names_that_were_not_asked_for_end_the_session),
		cmocka_unit_test(an_answer_to_each_question_may_come_however_late),
		cmocka_unit_test(liars_cannot_fill_our_dials),
		cmocka_unit_test(accomplices_who_give_nothing_do_not_hold_our_dials_for_good),
		cmocka_unit_test(whoever_asks_without_end_is_answered_seldom_and_then_left),
		cmocka_unit_test(the_tracker_is_asked_when_nothing_comes_and_ever_more_seldom),
	};

	return cmocka_run_group_tests_name("swarm named", tests, NULL, NULL);
}
