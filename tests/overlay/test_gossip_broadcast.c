/* Bodies, ids, what is retained, and the watch for beacons: the gossip core, message by message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "tests/lib/gossip_bench.h"

#define BEACON 1u
#define ROUNDS 2u

static void hear(struct gossip_bench *b, peer_ref from, body_ref body, uint8_t hops)
{
	bench_say(b, from, MESSAGE_BROADCAST, body, false, hops);
}

/* Everybody has had a body, so that the only eager link left is the one to 3. */
static void make_tree(struct gossip_bench *b)
{
	hear(b, 3, bench_body(b, 100, ROUNDS, 1), 2);
	for (peer_ref p = 5; p <= 9; p += 2)
		bench_say(b, p, MESSAGE_PRUNE, 100, false, 0);
	bench_wait(b, 2000);
	assert_true(gossip_is_eager(b->g, 3));
	assert_false(gossip_is_eager(b->g, 5) || gossip_is_eager(b->g, 7));
}

static void new_body_is_delivered_and_pushed_to_all_but_its_sender(void **state)
{
	struct gossip_bench *b = *state;

	hear(b, 3, bench_body(b, 50, ROUNDS, 1), 2);
	assert_int_equal(bench_effect(b, GOSSIP_DELIVER, 0, 0)->body, 50);
	assert_int_equal(bench_effect(b, GOSSIP_DELIVER, 0, 0)->message.ttl, 2);
	assert_int_equal(bench_count(b, MESSAGE_BROADCAST), 3);
	assert_null(bench_sent(b, 3, MESSAGE_BROADCAST, 0));
	assert_int_equal(bench_sent(b, 5, MESSAGE_BROADCAST, 0)->ttl, 3);
	assert_int_equal(gossip_retained(b->g, ROUNDS), 50);
}

static void body_that_came_before_makes_its_link_lazy(void **state)
{
	struct gossip_bench *b = *state;

	hear(b, 3, bench_body(b, 50, ROUNDS, 1), 2);
	hear(b, 5, 50, 2);
	assert_null(bench_effect(b, GOSSIP_DELIVER, 0, 0));
	assert_int_equal(bench_sent(b, 5, MESSAGE_PRUNE, 0)->about, 50);
	assert_false(gossip_is_eager(b->g, 5));
	assert_true(gossip_is_eager(b->g, 3));
	assert_int_equal(gossip_counts(b->g)->duplicates, 1);
}

static void ids_go_to_lazy_neighbours_together_and_to_those_we_chose_later(void **state)
{
	struct gossip_bench *b = *state;
	const struct gossip_message *m;

	make_tree(b);
	hear(b, 3, bench_body(b, 101, ROUNDS, 2), 2);
	b->now_ms += 10;
	hear(b, 3, bench_body(b, 102, ROUNDS, 3), 4);
	assert_int_equal(bench_count(b, MESSAGE_BROADCAST), 0);
	bench_wait(b, 30);
	m = bench_sent(b, 7, MESSAGE_IHAVE, 0);
	assert_int_equal(m->count, 2);
	assert_int_equal(m->refs[0], 101);
	assert_int_equal(m->hops[0], 2);
	assert_int_equal(m->hops[1], 4);
	assert_non_null(bench_sent(b, 9, MESSAGE_IHAVE, 0));
	assert_null(bench_sent(b, 5, MESSAGE_IHAVE, 0)); /* we chose it: it tells us */
	assert_null(bench_sent(b, 3, MESSAGE_IHAVE, 0));
	bench_wait(b, 1000);
	assert_non_null(bench_sent(b, 5, MESSAGE_IHAVE, 0));
	assert_int_equal(bench_count(b, MESSAGE_IHAVE), 1);
}

static void neighbour_that_has_an_id_is_not_told_of_it(void **state)
{
	struct gossip_bench *b = *state;

	make_tree(b);
	hear(b, 3, bench_body(b, 101, ROUNDS, 2), 2);
	bench_one(b, 5, MESSAGE_IHAVE, 101, 0, 3);
	bench_one(b, 7, MESSAGE_IHAVE, 101, 0, 3);
	bench_wait(b, 5000);
	assert_int_equal(bench_count(b, MESSAGE_IHAVE), 1);
	assert_non_null(bench_sent(b, 9, MESSAGE_IHAVE, 0));
}

static void body_behind_its_id_is_asked_for_after_half_a_second(void **state)
{
	struct gossip_bench *b = *state;

	make_tree(b);
	bench_body(b, 101, ROUNDS, 2);
	bench_one(b, 7, MESSAGE_IHAVE, 101, 0, 3);
	bench_one(b, 5, MESSAGE_IHAVE, 101, 0, 2);
	bench_wait(b, 499);
	assert_int_equal(bench_count(b, MESSAGE_GRAFT), 0);
	assert_true(gossip_keeps(b->g, 101));
	bench_wait(b, 1);
	assert_int_equal(bench_sent(b, 5, MESSAGE_GRAFT, 0)->refs[0], 101); /* the shorter way */
	bench_wait(b, 500);
	assert_non_null(bench_sent(b, 7, MESSAGE_GRAFT, 0)); /* then the other */
	hear(b, 7, 101, 4);
	assert_non_null(bench_effect(b, GOSSIP_DELIVER, 0, 0));
	assert_true(gossip_is_eager(b->g, 7));
	bench_wait(b, 5000);
	assert_int_equal(bench_count(b, MESSAGE_GRAFT), 0);
}

static void slow_neighbour_is_given_three_round_trips(void **state)
{
	struct gossip_bench *b = *state;
	struct gossip_message m = {.type = MESSAGE_IHAVE, .count = 1, .refs = {101}};
	struct gossip_event e = {.type = GOSSIP_MESSAGE, .peer = 7, .message = &m, .rtt_ms = 400};

	make_tree(b);
	bench_event(b, &e);
	bench_wait(b, 1199);
	assert_int_equal(bench_count(b, MESSAGE_GRAFT), 0);
	bench_wait(b, 1);
	assert_int_equal(bench_count(b, MESSAGE_GRAFT), 1);
}

static void without_a_parent_nobody_waits(void **state)
{
	struct gossip_bench *b = *state;

	make_tree(b);
	bench_down(b, 3);
	bench_one(b, 7, MESSAGE_IHAVE, 101, 0, 3);
	bench_wait(b, 30);
	assert_non_null(bench_sent(b, 7, MESSAGE_GRAFT, 0));
}

static void graft_is_answered_while_the_body_is_cached(void **state)
{
	struct gossip_bench *b = *state;

	make_tree(b);
	bench_one(b, 9, MESSAGE_GRAFT, 100, 0, 0);
	assert_int_equal(bench_sent(b, 9, MESSAGE_BROADCAST, 0)->ttl, 3);
	assert_true(gossip_is_eager(b->g, 9));
	bench_one(b, 7, MESSAGE_GRAFT, 4000, 0, 0); /* never heard of */
	assert_int_equal(bench_count(b, MESSAGE_BROADCAST), 0);
	b->now_ms += 30000;
	bench_one(b, 7, MESSAGE_GRAFT, 100, 0, 0);
	assert_int_equal(bench_count(b, MESSAGE_BROADCAST), 0);
	assert_true(gossip_is_eager(b->g, 7));
	bench_one(b, 5, MESSAGE_GRAFT, 0, 0, 0);
	assert_true(gossip_is_eager(b->g, 5));
}

static void much_shorter_way_is_taken_and_the_longer_one_pruned(void **state)
{
	struct gossip_bench *b = *state;

	make_tree(b);
	hear(b, 3, bench_body(b, 101, ROUNDS, 2), 9);
	bench_one(b, 7, MESSAGE_IHAVE, 101, 0, 6); /* 7 against 9: not worth it */
	assert_int_equal(bench_count(b, MESSAGE_GRAFT), 0);
	bench_one(b, 9, MESSAGE_IHAVE, 101, 0, 4);
	assert_int_equal(bench_sent(b, 9, MESSAGE_GRAFT, 0)->count, 0);
	assert_int_equal(bench_sent(b, 3, MESSAGE_PRUNE, 0)->about, 101);
	assert_true(gossip_is_eager(b->g, 9));
	assert_false(gossip_is_eager(b->g, 3));
	bench_one(b, 5, MESSAGE_IHAVE, 101, 0, 3); /* hardly better than the new one */
	assert_int_equal(bench_count(b, MESSAGE_GRAFT), 0);
}

static void neighbour_much_farther_away_is_told_of_the_shorter_way(void **state)
{
	struct gossip_bench *b = *state;

	make_tree(b);
	hear(b, 3, bench_body(b, 101, ROUNDS, 2), 2);
	bench_one(b, 5, MESSAGE_IHAVE, 101, 0, 9);
	assert_int_equal(bench_sent(b, 5, MESSAGE_IHAVE, 0)->hops[0], 2);
	bench_one(b, 5, MESSAGE_IHAVE, 101, 0, 9); /* once */
	assert_int_equal(bench_count(b, MESSAGE_IHAVE), 0);
}

static void body_replaced_long_ago_is_an_offence(void **state)
{
	struct gossip_bench *b = *state;

	bench_body(b, 50, ROUNDS, 1);
	b->now_ms += 121000;
	hear(b, 3, bench_body(b, 51, ROUNDS, 2), 2);
	hear(b, 5, 50, 2);
	assert_non_null(bench_effect(b, GOSSIP_ACCUSE, 5, 0));
	assert_int_equal(bench_effect(b, GOSSIP_FORGET, 0, 0)->body, 50);
	assert_null(bench_effect(b, GOSSIP_DELIVER, 0, 0));
	assert_false(bench_is_active(b, 5));
}

static void body_that_was_overtaken_is_delivered_and_old_news_is_not(void **state)
{
	struct gossip_bench *b = *state;

	bench_body(b, 49, ROUNDS, 1);
	b->now_ms += 100000;
	bench_body(b, 50, ROUNDS, 2);
	b->now_ms += 5000;
	hear(b, 3, bench_body(b, 51, ROUNDS, 3), 2);
	hear(b, 5, 50, 2);
	assert_int_equal(bench_effect(b, GOSSIP_DELIVER, 0, 0)->body, 50);
	assert_int_equal(gossip_retained(b->g, ROUNDS), 51);
	hear(b, 7, 49, 2);
	assert_null(bench_effect(b, GOSSIP_DELIVER, 0, 0));
	assert_null(bench_effect(b, GOSSIP_ACCUSE, 0, 0));
}

static void new_link_compares_what_both_retain(void **state)
{
	struct gossip_bench *b = *state;
	const struct gossip_message *m;

	make_tree(b);
	hear(b, 3, bench_body(b, 60, BEACON, 9), 2);
	bench_befriend(b, 11);
	m = bench_sent(b, 11, MESSAGE_HEADS, 0);
	assert_int_equal(m->count, 2);
	assert_int_equal(m->refs[1], BEACON);
	assert_int_equal(m->sequences[1], 9);
	bench_one(b, 11, MESSAGE_HEADS, BEACON, 8, 0); /* it is behind */
	assert_int_equal(bench_sent(b, 11, MESSAGE_HEADS, 0)->sequences[0], 9);
	bench_one(b, 11, MESSAGE_HEADS, BEACON, 9, 0);
	assert_int_equal(b->out.count, 0);
	bench_one(b, 11, MESSAGE_HEADS, 0, 0, 0); /* it has nothing */
	assert_int_equal(bench_sent(b, 11, MESSAGE_HEADS, 0)->count, 2);
	bench_say(b, 11, MESSAGE_PULL, BEACON, false, 0);
	assert_int_equal(bench_sent(b, 11, MESSAGE_BROADCAST, 0)->about, 60);
	assert_int_equal(bench_sent(b, 11, MESSAGE_BROADCAST, 0)->ttl, 0);
}

static void unknown_topic_is_pulled_at_once_and_from_one_neighbour(void **state)
{
	struct gossip_bench *b = *state;

	bench_one(b, 3, MESSAGE_HEADS, ROUNDS, 5, 0);
	assert_int_equal(bench_sent(b, 3, MESSAGE_PULL, 0)->about, ROUNDS);
	assert_true(gossip_keeps_topic(b->g, ROUNDS));
	bench_one(b, 5, MESSAGE_HEADS, ROUNDS, 5, 0);
	assert_null(bench_sent(b, 5, MESSAGE_PULL, 0));
}

static void body_on_its_way_is_not_pulled(void **state)
{
	struct gossip_bench *b = *state;

	make_tree(b);
	bench_body(b, 101, ROUNDS, 2);
	bench_one(b, 7, MESSAGE_HEADS, ROUNDS, 2, 0);
	assert_int_equal(bench_count(b, MESSAGE_PULL), 0);
	hear(b, 3, 101, 2);
	bench_wait(b, 3000);
	assert_int_equal(bench_count(b, MESSAGE_PULL), 0);
	bench_one(b, 7, MESSAGE_HEADS, ROUNDS, 3, 0);
	bench_wait(b, 1000);
	assert_int_equal(bench_count(b, MESSAGE_PULL), 1);
}

static void pulled_body_is_told_on_by_its_head_and_never_held_against_anybody(void **state)
{
	struct gossip_bench *b = *state;

	bench_one(b, 3, MESSAGE_HEADS, ROUNDS, 5, 0);
	hear(b, 3, bench_body(b, 50, ROUNDS, 5), 0);
	assert_non_null(bench_effect(b, GOSSIP_DELIVER, 0, 0));
	assert_int_equal(bench_count(b, MESSAGE_BROADCAST), 0);
	bench_wait(b, 1500);
	assert_int_equal(bench_count(b, MESSAGE_HEADS), 3);
	assert_int_equal(bench_count(b, MESSAGE_IHAVE), 0);
	bench_one(b, 3, MESSAGE_HEADS, ROUNDS, 9, 0); /* and the answer takes its time */
	b->now_ms += 130000;
	hear(b, 5, bench_body(b, 52, ROUNDS, 10), 2);
	bench_body(b, 51, ROUNDS, 9);
	b->bodies[51].issued_s -= 125;
	bench_one(b, 3, MESSAGE_HEADS, ROUNDS, 11, 0);
	bench_wait(b, 1000); /* the pull was sent */
	hear(b, 3, 51, 0);
	assert_null(bench_effect(b, GOSSIP_ACCUSE, 0, 0));
}

static void push_of_a_pulled_body_makes_its_link_the_way_into_the_tree(void **state)
{
	struct gossip_bench *b = *state;

	bench_one(b, 3, MESSAGE_HEADS, ROUNDS, 5, 0);
	hear(b, 3, bench_body(b, 50, ROUNDS, 5), 0);
	hear(b, 7, 50, 4);
	assert_int_equal(bench_count(b, MESSAGE_PRUNE), 0);
	assert_int_equal(bench_sent(b, 9, MESSAGE_BROADCAST, 0)->ttl, 5);
	assert_null(bench_effect(b, GOSSIP_DELIVER, 0, 0)); /* once is enough */
	assert_true(gossip_is_eager(b->g, 7));
}

static void two_beacons_missed_are_asked_for_and_three_are_isolation(void **state)
{
	struct gossip_bench *b = *state;

	hear(b, 3, bench_body(b, 60, BEACON, 9), 2);
	bench_say(b, 3, MESSAGE_FORWARD_JOIN, 21, false, 0);
	bench_failed(b, 21);
	bench_wait(b, 59999);
	assert_int_equal(bench_count(b, MESSAGE_HEADS), 0);
	bench_wait(b, 1);
	assert_int_equal(bench_count(b, MESSAGE_HEADS), 4);
	assert_null(bench_effect(b, GOSSIP_ISOLATED, 0, 0));
	bench_wait(b, 30000);
	assert_non_null(bench_effect(b, GOSSIP_ISOLATED, 0, 0));
	assert_int_equal(gossip_counts(b->g)->isolated, 1);
	hear(b, 3, bench_body(b, 61, BEACON, 10), 2);
	bench_wait(b, 59000);
	assert_null(bench_effect(b, GOSSIP_ISOLATED, 0, 0));
}

static void stranger_who_has_the_beacon_becomes_a_neighbour(void **state)
{
	struct gossip_bench *b = *state;
	peer_ref stranger = 31;

	for (peer_ref p = 11; p <= 21; p += 2) /* enough of our own: nobody more is wanted */
		bench_choose(b, p);
	hear(b, 3, bench_body(b, 60, BEACON, 9), 2);
	bench_say(b, 3, MESSAGE_FORWARD_JOIN, stranger, false, 0);
	while (b->now_ms < 200000 && bench_effect(b, GOSSIP_DIAL, stranger, 0) == NULL)
		bench_wait(b, 1000);
	assert_non_null(bench_effect(b, GOSSIP_DIAL, stranger, 0));
	bench_up(b, stranger);
	assert_non_null(bench_sent(b, stranger, MESSAGE_HEADS, 0));
	bench_one(b, stranger, MESSAGE_HEADS, BEACON, 12, 0);
	assert_non_null(bench_sent(b, stranger, MESSAGE_PULL, 0));
	hear(b, stranger, bench_body(b, 61, BEACON, 12), 0);
	assert_true(bench_sent(b, stranger, MESSAGE_NEIGHBOR, 0)->flag);
	bench_say(b, stranger, MESSAGE_NEIGHBOR_REPLY, 0, true, 0);
	assert_true(bench_is_active(b, stranger));
}

static void neighbour_has_few_ids_open_and_lies_not_for_ever(void **state)
{
	struct gossip_bench *b = *state;
	uint64_t until = b->now_ms + 300000;

	make_tree(b);
	for (body_ref id = 1000; id < 1020; id++)
		bench_one(b, 7, MESSAGE_IHAVE, id, 0, 0);
	assert_int_equal(gossip_counts(b->g)->shed_ihave, 12);
	assert_true(gossip_keeps(b->g, 1007));
	assert_false(gossip_keeps(b->g, 1008));
	for (body_ref id = 1100; b->now_ms < until && bench_is_active(b, 7); id++) {
		bench_one(b, 7, MESSAGE_IHAVE, id, 0, 0);
		bench_wait(b, 200);
		if (bench_effect(b, GOSSIP_ACCUSE, 7, 0) != NULL)
			break;
	}
	assert_int_equal(gossip_counts(b->g)->accused, 1);
	assert_false(bench_is_active(b, 7));
	assert_true(bench_is_active(b, 5));
}

/* What matters least is left unheard first. */
static void neighbour_that_sends_too_much_is_heard_where_it_matters_most(void **state)
{
	struct gossip_bench *b = *state;
	const struct gossip_counts *counts = gossip_counts(b->g);
	uint32_t ids = counts->shed_ihave;

	bench_befriend(b, 3);
	b->now_ms += 5000 - b->now_ms % 1000;
	for (unsigned i = 0; i < 192; i++)
		bench_say(b, 3, MESSAGE_PRUNE, 0, false, 0);
	bench_say(b, 3, MESSAGE_FORWARD_JOIN, 5, false, 0);
	assert_int_equal(counts->shed_shuffle, 1);
	for (unsigned i = 194; i <= 224; i++)
		bench_say(b, 3, MESSAGE_PRUNE, 0, false, 0);
	bench_one(b, 3, MESSAGE_IHAVE, bench_body(b, 1, 2, 1), 0, 1);
	assert_int_equal(counts->shed_ihave, ids + 1);
	assert_int_equal(counts->shed_neighbour, 0);
	bench_one(b, 3, MESSAGE_HEADS, 2, 7, 0);
	assert_int_equal(counts->shed_neighbour, 0);
	for (unsigned i = 227; i <= 258; i++)
		bench_say(b, 3, MESSAGE_PRUNE, 0, false, 0);
	assert_int_equal(counts->shed_neighbour, 2);
	bench_say(b, 3, MESSAGE_BROADCAST, bench_body(b, 2, 3, 1), false, 2);
	assert_non_null(bench_effect(b, GOSSIP_DELIVER, 0, 0));
}

static void flood_of_messages_is_shed_and_then_accused(void **state)
{
	struct gossip_bench *b = *state;
	unsigned sent = 0;

	for (; sent < 3000 && bench_is_active(b, 7); sent++)
		bench_say(b, 7, MESSAGE_SHUFFLE, 21, false, 0);
	assert_int_equal(gossip_counts(b->g)->accused, 1);
	assert_true(gossip_counts(b->g)->shed_shuffle > 1000);
	assert_true(sent < 2100);
}

/* Ids are kept for 90 s however fast they come, each is forgotten once, and then may come anew. */
static void ids_last_and_are_forgotten(void **state)
{
	struct gossip_bench *b = *state;
	unsigned forgotten = 0;
	body_ref body = 200;

	make_tree(b);
	for (; body < 700; body++) {
		b->now_ms += 100;
		hear(b, 3, bench_body(b, body, ROUNDS, body), 2);
	}
	assert_true(gossip_keeps(b->g, 200));
	hear(b, 5, 210, 2);
	assert_null(bench_effect(b, GOSSIP_DELIVER, 0, 0));
	for (; body < 2200; body++) {
		b->now_ms += 100;
		hear(b, 3, bench_body(b, body, ROUNDS, body), 2);
		for (unsigned n = 0; bench_effect(b, GOSSIP_FORGET, 0, n) != NULL; n++)
			forgotten++;
	}
	assert_false(gossip_keeps(b->g, 200));
	assert_true(gossip_keeps(b->g, 2199));
	assert_in_range(forgotten, 1000, 1200);
}

static void topics_are_bounded_and_the_beacon_is_never_given_up(void **state)
{
	struct gossip_bench *b = *state;

	hear(b, 3, bench_body(b, 60, BEACON, 1), 2);
	for (topic_ref t = 2; t < 130; t++) {
		b->now_ms += 1000;
		hear(b, 3, bench_body(b, 200 + t, t, 1), 2);
	}
	assert_int_equal(gossip_retained(b->g, BEACON), 60);
	assert_int_equal(gossip_retained(b->g, 2), 0);
	assert_int_equal(gossip_retained(b->g, 129), 329);
	bench_one(b, 3, MESSAGE_HEADS, 2, 1, 0); /* no room: it would push another out */
	assert_int_equal(bench_count(b, MESSAGE_PULL), 0);
	bench_befriend(b, 11);
	assert_int_equal(bench_count(b, MESSAGE_HEADS), 8);
}

static void frozen_node_pushes_nothing_on(void **state)
{
	struct gossip_bench *b = *state;

	make_tree(b);
	bench_one(b, 7, MESSAGE_GRAFT, 0, 0, 0);
	b->now_ms += 200000; /* all its timers are late */
	hear(b, 3, bench_body(b, 101, ROUNDS, 2), 2);
	assert_non_null(bench_effect(b, GOSSIP_DELIVER, 0, 0));
	assert_int_equal(bench_count(b, MESSAGE_BROADCAST), 0);
}

static void root_pushes_what_it_publishes_and_waits_for_no_beacon(void **state)
{
	struct gossip_bench *b = malloc(sizeof(*b));
	struct gossip_config config;
	struct gossip_event e = {.type = GOSSIP_PUBLISH, .body = 60};

	(void)state;
	assert_non_null(b);
	gossip_config_default(&config, 1, true);
	config.root = true;
	bench_open(b, &config, 3);
	bench_start(b, 0);
	bench_befriend(b, 3);
	bench_body(b, 60, BEACON, 1);
	bench_event(b, &e);
	assert_int_equal(bench_sent(b, 3, MESSAGE_BROADCAST, 0)->ttl, 1);
	assert_null(bench_effect(b, GOSSIP_DELIVER, 0, 0));
	bench_event(b, &e);
	assert_int_equal(b->out.count, 0);
	bench_wait(b, 600000);
	assert_null(bench_effect(b, GOSSIP_ISOLATED, 0, 0));
	bench_close(b);
	free(b);
}

static void least_important_messages_are_known(void **state)
{
	(void)state;
	assert_true(gossip_importance(MESSAGE_SHUFFLE) < gossip_importance(MESSAGE_IHAVE));
	assert_true(gossip_importance(MESSAGE_IHAVE) < gossip_importance(MESSAGE_BROADCAST));
	assert_true(gossip_importance(MESSAGE_BROADCAST) < gossip_importance(MESSAGE_NEIGHBOR));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, bench_setup_wired, bench_teardown)
		CLAIM(new_body_is_delivered_and_pushed_to_all_but_its_sender),
		CLAIM(body_that_came_before_makes_its_link_lazy),
		CLAIM(ids_go_to_lazy_neighbours_together_and_to_those_we_chose_later),
		CLAIM(neighbour_that_has_an_id_is_not_told_of_it),
		CLAIM(body_behind_its_id_is_asked_for_after_half_a_second),
		CLAIM(slow_neighbour_is_given_three_round_trips),
		CLAIM(without_a_parent_nobody_waits),
		CLAIM(graft_is_answered_while_the_body_is_cached),
		CLAIM(much_shorter_way_is_taken_and_the_longer_one_pruned),
		CLAIM(neighbour_much_farther_away_is_told_of_the_shorter_way),
		CLAIM(body_replaced_long_ago_is_an_offence),
		CLAIM(body_that_was_overtaken_is_delivered_and_old_news_is_not),
		CLAIM(new_link_compares_what_both_retain),
		CLAIM(unknown_topic_is_pulled_at_once_and_from_one_neighbour),
		CLAIM(body_on_its_way_is_not_pulled),
		CLAIM(pulled_body_is_told_on_by_its_head_and_never_held_against_anybody),
		CLAIM(push_of_a_pulled_body_makes_its_link_the_way_into_the_tree),
		CLAIM(two_beacons_missed_are_asked_for_and_three_are_isolation),
		CLAIM(stranger_who_has_the_beacon_becomes_a_neighbour),
		CLAIM(neighbour_has_few_ids_open_and_lies_not_for_ever),
		CLAIM(neighbour_that_sends_too_much_is_heard_where_it_matters_most),
		CLAIM(flood_of_messages_is_shed_and_then_accused),
		CLAIM(ids_last_and_are_forgotten),
		CLAIM(topics_are_bounded_and_the_beacon_is_never_given_up),
		CLAIM(frozen_node_pushes_nothing_on),
		cmocka_unit_test(root_pushes_what_it_publishes_and_waits_for_no_beacon),
		cmocka_unit_test(least_important_messages_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
