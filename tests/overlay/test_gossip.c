/* Membership of the gossip core, message by message, and quotas, limits and backoff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/gossip_bench.h"

static void newcomer_dials_its_contact_and_joins(void **state)
{
	struct gossip_bench *b = *state;
	const struct gossip_message *m;

	bench_start(b, 3);
	assert_non_null(bench_effect(b, GOSSIP_DIAL, 3, 0));
	bench_up(b, 3);
	m = bench_sent(b, 3, MESSAGE_JOIN, 0);
	assert_non_null(m);
	assert_int_equal(m->about, 1);
	bench_say(b, 3, MESSAGE_NEIGHBOR_REPLY, 0, true, 0);
	assert_true(bench_is_active(b, 3));
	assert_non_null(bench_sent(b, 3, MESSAGE_GRAFT, 0)); /* our way into the tree */
}

static void refused_newcomer_goes_on_with_the_records_that_it_got(void **state)
{
	struct gossip_bench *b = *state;
	struct gossip_message records = {.type = MESSAGE_SHUFFLE_REPLY, .count = 2, .refs = {5, 7}};

	bench_start(b, 3);
	bench_up(b, 3);
	bench_message(b, 3, &records);
	assert_non_null(bench_effect(b, GOSSIP_DIAL, 5, 0));
	assert_non_null(bench_effect(b, GOSSIP_DIAL, 7, 0));
	bench_say(b, 3, MESSAGE_NEIGHBOR_REPLY, 0, false, 0);
	assert_non_null(bench_effect(b, GOSSIP_RELEASE, 3, 0));
	bench_up(b, 5);
	assert_true(bench_sent(b, 5, MESSAGE_NEIGHBOR, 0)->flag); /* high: it has nobody */
}

static void records_that_nobody_asked_for_are_ignored(void **state)
{
	struct gossip_bench *b = *state;
	struct gossip_message records = {.type = MESSAGE_SHUFFLE_REPLY, .count = 2, .refs = {5, 7}};

	bench_befriend(b, 3);
	bench_message(b, 3, &records);
	bench_message(b, 9, &records);
	assert_false(bench_is_passive(b, 5));
	assert_false(bench_is_passive(b, 7));
	assert_int_equal(gossip_counts(b->g)->shed_shuffle, 1);
}

static void join_is_answered_with_records_and_walks_on(void **state)
{
	struct gossip_bench *b = *state;
	const struct gossip_message *m;

	for (peer_ref p = 3; p <= 11; p += 2)
		bench_befriend(b, p);
	bench_say(b, 21, MESSAGE_JOIN, 21, false, 0);
	assert_true(bench_is_active(b, 21));
	assert_true(bench_sent(b, 21, MESSAGE_NEIGHBOR_REPLY, 0)->flag);
	m = bench_sent(b, 21, MESSAGE_SHUFFLE_REPLY, 0);
	assert_non_null(m);
	assert_true(m->count >= 4);
	assert_int_equal(bench_count(b, MESSAGE_FORWARD_JOIN), 3);
	assert_int_equal(bench_sent(b, 0, MESSAGE_FORWARD_JOIN, 0)->about, 21);
	assert_int_equal(bench_sent(b, 0, MESSAGE_FORWARD_JOIN, 0)->ttl, 6);
	assert_null(bench_sent(b, 21, MESSAGE_FORWARD_JOIN, 0));
}

static void walk_goes_on_is_remembered_and_ends(void **state)
{
	struct gossip_bench *b = *state;

	bench_befriend(b, 3);
	bench_befriend(b, 5);
	bench_say(b, 3, MESSAGE_FORWARD_JOIN, 31, false, 5);
	assert_int_equal(bench_sent(b, 5, MESSAGE_FORWARD_JOIN, 0)->ttl, 4);
	assert_false(bench_is_passive(b, 31));
	bench_say(b, 3, MESSAGE_FORWARD_JOIN, 33, false, 3);
	assert_non_null(bench_sent(b, 5, MESSAGE_FORWARD_JOIN, 0));
	assert_true(bench_is_passive(b, 33) || bench_effect(b, GOSSIP_DIAL, 33, 0) != NULL);
	bench_say(b, 3, MESSAGE_FORWARD_JOIN, 35, false, 0);
	assert_int_equal(bench_count(b, MESSAGE_FORWARD_JOIN), 0);
	assert_true(bench_is_passive(b, 35) || bench_effect(b, GOSSIP_DIAL, 35, 0) != NULL);
	bench_say(b, 3, MESSAGE_FORWARD_JOIN, 1, false, 0); /* our own record */
	assert_false(bench_is_passive(b, 1));
}

static void absurd_walk_is_cut_to_its_length(void **state)
{
	struct gossip_bench *b = *state;

	bench_befriend(b, 3);
	bench_befriend(b, 5);
	bench_say(b, 3, MESSAGE_FORWARD_JOIN, 31, false, 255);
	assert_int_equal(bench_sent(b, 5, MESSAGE_FORWARD_JOIN, 0)->ttl, 5);
}

/* Whoever asks gets one of the inbound slots; the last few are for those who have nobody. */
static void whoever_asks_never_gets_an_outbound_slot(void **state)
{
	struct gossip_bench *b = *state;
	peer_ref active[GOSSIP_ACTIVE_MAX];
	peer_ref p = 3;

	for (; p < 200 && gossip_active(b->g, active) < 42; p++)
		bench_befriend(b, p);
	bench_say(b, p, MESSAGE_NEIGHBOR, p, false, 0);
	assert_false(bench_sent(b, p, MESSAGE_NEIGHBOR_REPLY, 0)->flag);
	assert_true(bench_sent(b, p, MESSAGE_SHUFFLE_REPLY, 0)->count > 0);
	for (p++; p < 200 && gossip_active(b->g, active) < 48; p++) {
		bench_say(b, p, MESSAGE_NEIGHBOR, p, true, 0);
		assert_true(bench_is_active(b, p));
	}
	for (p++; p < 220; p++)
		bench_say(b, p, MESSAGE_NEIGHBOR, p, false, 0);
	assert_int_equal(gossip_active(b->g, active), 48);
}

static void who_has_nobody_displaces_one_but_a_flood_of_them_does_not_displace_all(void **state)
{
	struct gossip_bench *b = *state;
	peer_ref active[GOSSIP_ACTIVE_MAX];

	b->now_ms += 60000;
	for (peer_ref p = 3; p < 51; p++)
		bench_say(b, p, MESSAGE_NEIGHBOR, p, true, 0);
	assert_int_equal(gossip_active(b->g, active), 48);
	for (peer_ref p = 60; p < 90; p++)
		bench_say(b, p, MESSAGE_NEIGHBOR, p, true, 0);
	assert_int_equal(gossip_active(b->g, active), 48);
	assert_int_equal(gossip_counts(b->g)->evicted, 1);
	b->now_ms += 21000;
	bench_say(b, 91, MESSAGE_NEIGHBOR, 91, true, 0);
	assert_true(bench_is_active(b, 91));
	assert_non_null(bench_sent(b, 0, MESSAGE_DISCONNECT, 0));
	assert_int_equal(gossip_counts(b->g)->evicted, 2);
}

static void asking_in_the_name_of_another_is_an_offence(void **state)
{
	struct gossip_bench *b = *state;

	bench_say(b, 3, MESSAGE_NEIGHBOR, 5, false, 0);
	assert_non_null(bench_effect(b, GOSSIP_ACCUSE, 3, 0));
	bench_say(b, 7, MESSAGE_JOIN, 5, false, 0);
	assert_non_null(bench_effect(b, GOSSIP_ACCUSE, 7, 0)->why);
	bench_say(b, 3, MESSAGE_NEIGHBOR, 3, false, 0); /* too late */
	assert_int_equal(b->out.count, 0);
}

/* A guest is one too many of its prefix: it may stay until somebody else needs the place. */
static void guests_are_few_and_make_room(void **state)
{
	struct gossip_bench *b = *state;
	peer_ref active[GOSSIP_ACTIVE_MAX];
	unsigned guests = 0;

	for (peer_ref p = 200; p < 250; p++) {
		b->peers[p].prefix = 5;
		b->now_ms += 11000;
		bench_say(b, p, MESSAGE_NEIGHBOR, p, true, 0);
	}
	assert_int_equal(gossip_active(b->g, active), 12);
	for (peer_ref p = 3; p < 60; p++)
		bench_say(b, p, MESSAGE_NEIGHBOR, p, false, 0);
	for (peer_ref p = 200; p < 250; p++)
		guests += bench_is_active(b, p);
	assert_int_equal(guests, 2);
	assert_int_equal(gossip_active(b->g, active), 42);
	assert_int_equal(gossip_counts(b->g)->evicted, 0);
}

static void prefix_has_few_neighbours_and_few_places_in_the_passive_view(void **state)
{
	struct gossip_bench *b = *state;
	unsigned active = 0;
	unsigned passive = 0;

	for (peer_ref p = 11; p < 40; p++)
		b->peers[p].prefix = 5;
	for (peer_ref p = 100; p < 112; p++)
		bench_befriend(b, p);
	bench_befriend(b, 3);
	for (peer_ref p = 11; p < 16; p++) {
		bench_say(b, p, MESSAGE_NEIGHBOR, p, true, 0);
		active += bench_is_active(b, p);
	}
	assert_int_equal(active, 2);
	for (peer_ref p = 20; p < 40; p++)
		bench_say(b, 3, MESSAGE_FORWARD_JOIN, p, false, 0);
	for (peer_ref p = 11; p < 40; p++)
		passive += bench_is_passive(b, p);
	assert_true(passive <= 4);
}

/* Their records named three networks, and they all live in a fourth. */
static void quota_goes_by_where_a_dialled_peer_is_found(void **state)
{
	struct gossip_bench *b = *state;

	bench_choose(b, 3);
	for (peer_ref p = 11; p <= 19; p += 2)
		bench_say(b, 3, MESSAGE_FORWARD_JOIN, p, false, 0);
	bench_wait(b, 10000);
	for (peer_ref p = 11; p <= 19; p += 2) {
		b->peers[p].prefix = 5;
		bench_up(b, p);
		if (p <= 13) {
			assert_non_null(bench_sent(b, p, MESSAGE_NEIGHBOR, 0));
			bench_say(b, p, MESSAGE_NEIGHBOR_REPLY, 0, true, 0);
			assert_true(bench_is_active(b, p));
		} else {
			assert_null(bench_sent(b, p, MESSAGE_NEIGHBOR, 0));
			assert_non_null(bench_effect(b, GOSSIP_RELEASE, p, 0));
		}
	}
	assert_int_equal(gossip_counts(b->g)->misled, 3);
}

static void contact_that_breaks_a_rule_is_none_any_more(void **state)
{
	struct gossip_bench *b = *state;

	bench_choose(b, 3);
	bench_say(b, 3, MESSAGE_NEIGHBOR, 5, false, 0); /* in the name of another */
	assert_non_null(bench_effect(b, GOSSIP_ACCUSE, 3, 0));
	assert_false(bench_is_passive(b, 3));
	bench_wait(b, 600000);
	assert_null(bench_effect(b, GOSSIP_DIAL, 3, 0));
	bench_start(b, 3); /* as when its link is dialled again */
	assert_non_null(bench_effect(b, GOSSIP_DIAL, 3, 0));
}

static void loopback_and_private_prefixes_have_no_quota(void **state)
{
	struct gossip_bench *b = *state;

	for (peer_ref p = 11; p < 31; p++) {
		b->peers[p].prefix = 0;
		bench_befriend(b, p);
	}
}

static void peer_that_was_sent_away_may_not_come_back_for_a_minute(void **state)
{
	struct gossip_bench *b = *state;
	peer_ref gone = 0;

	b->now_ms += 60000;
	for (peer_ref p = 3; p < 52; p++)
		bench_say(b, p, MESSAGE_NEIGHBOR, p, true, 0);
	for (peer_ref p = 3; p < 52 && gone == 0; p++)
		gone = bench_is_active(b, p) ? 0 : p;
	assert_int_not_equal(gone, 0);
	b->now_ms += 20000;
	bench_say(b, gone, MESSAGE_NEIGHBOR, gone, true, 0);
	assert_false(bench_sent(b, gone, MESSAGE_NEIGHBOR_REPLY, 0)->flag);
	b->now_ms += 60000;
	bench_say(b, gone, MESSAGE_NEIGHBOR, gone, true, 0);
	assert_true(bench_is_active(b, gone));
}

static void knocking_all_the_time_is_of_no_use(void **state)
{
	struct gossip_bench *b = *state;
	peer_ref active[GOSSIP_ACTIVE_MAX];
	unsigned answers = 0;

	for (unsigned i = 0; i < 200; i++) {
		bench_say(b, 3, MESSAGE_NEIGHBOR, 3, false, 0);
		answers += bench_count(b, MESSAGE_NEIGHBOR_REPLY);
		bench_say(b, 3, MESSAGE_DISCONNECT, 0, false, 0);
	}
	assert_true(answers <= 64); /* then it is not even answered */
	assert_int_equal(gossip_active(b->g, active), 0);
	for (unsigned i = 0; i < 100; i++)
		bench_say(b, 3, MESSAGE_NEIGHBOR, 3, false, 0);
	assert_int_equal(gossip_counts(b->g)->accused, 1);
}

/* A neighbour whom we chose says something that is no message, and the node ends its session. A fuzzer has shown
 * that it was dialled again in the same step. */
static void who_broke_a_rule_is_neither_dialled_nor_let_in_again(void **state)
{
	struct gossip_bench *b = *state;
	struct gossip_event down = {.type = GOSSIP_DOWN, .peer = 3, .flag = true};

	bench_choose(b, 3);
	assert_true(bench_is_active(b, 3));
	bench_event(b, &down);
	assert_false(bench_is_active(b, 3) || bench_is_passive(b, 3));
	bench_wait(b, 30000);
	assert_null(bench_effect(b, GOSSIP_DIAL, 3, 0));
	bench_say(b, 3, MESSAGE_NEIGHBOR, 3, true, 0);
	assert_false(bench_is_active(b, 3));
}

/* Adds whom the last event made the core dial. */
static unsigned note_dials(const struct gossip_bench *b, peer_ref *dialled, unsigned count)
{
	const struct gossip_effect *e;

	for (unsigned n = 0; (e = bench_effect(b, GOSSIP_DIAL, 0, n)) != NULL; n++)
		dialled[count++] = e->peer;
	return count;
}

static void nated_peer_looks_for_four_public_neighbours_and_two_more(void **state)
{
	struct gossip_bench *b = *state;
	peer_ref known[40], dialled[100];
	struct gossip_event e = {.type = GOSSIP_START, .refs = known, .count = 40};
	unsigned public = 0;
	unsigned count;

	for (uint32_t i = 0; i < 40; i++)
		known[i] = 3 + i;
	bench_event(b, &e);
	count = note_dials(b, dialled, 0);
	for (unsigned i = 0; i < count; i++) {
		bench_up(b, dialled[i]);
		count = note_dials(b, dialled, count);
		bench_say(b, dialled[i], MESSAGE_NEIGHBOR_REPLY, 0, true, 0);
		count = note_dials(b, dialled, count);
		public += b->peers[dialled[i]].public;
	}
	assert_in_range(public, 4, 6); /* two contacts may be more of them */
	assert_int_equal(count, 6);
}

static void dial_that_failed_waits_ever_longer(void **state)
{
	struct gossip_bench *b = *state;
	uint64_t last = 0;
	uint64_t gap = 0;

	bench_start(b, 0);
	bench_befriend(b, 5);
	bench_say(b, 5, MESSAGE_FORWARD_JOIN, 3, false, 0);
	assert_non_null(bench_effect(b, GOSSIP_DIAL, 3, 0));
	for (unsigned i = 0; i < 3; i++) {
		last = b->now_ms;
		bench_failed(b, 3);
		assert_null(bench_effect(b, GOSSIP_DIAL, 3, 0));
		do
			bench_wait(b, 100);
		while (bench_effect(b, GOSSIP_DIAL, 3, 0) == NULL && b->now_ms < last + 300000);
		assert_true(b->now_ms - last > gap + gap / 8);
		gap = b->now_ms - last;
	}
	assert_true(gap > 15000);
}

static void dials_come_from_a_bucket(void **state)
{
	struct gossip_bench *b = *state;
	unsigned dials = 0;

	bench_start(b, 0);
	bench_befriend(b, 5);
	for (peer_ref p = 11; p < 111; p += 2) {
		bench_say(b, 5, MESSAGE_FORWARD_JOIN, p, false, 0);
		dials += bench_effect(b, GOSSIP_DIAL, 0, 0) != NULL;
		bench_failed(b, p);
		dials += bench_effect(b, GOSSIP_DIAL, 0, 0) != NULL;
	}
	assert_true(dials <= 8);
}

static void two_who_ask_each_other_at_once_become_neighbours(void **state)
{
	struct gossip_bench *b = *state;

	bench_start(b, 3);
	bench_say(b, 3, MESSAGE_NEIGHBOR, 3, false, 0); /* while we still dial */
	assert_true(bench_is_active(b, 3));
	bench_up(b, 3);
	assert_true(bench_is_active(b, 3));
	bench_say(b, 3, MESSAGE_NEIGHBOR_REPLY, 0, true, 0);
	assert_true(bench_is_active(b, 3));
	assert_int_equal(bench_count(b, MESSAGE_DISCONNECT), 0);
}

static void answer_that_comes_too_late_is_taken_back(void **state)
{
	struct gossip_bench *b = *state;

	bench_start(b, 3);
	bench_up(b, 3);
	bench_wait(b, 11000);
	assert_non_null(bench_effect(b, GOSSIP_RELEASE, 3, 0));
	bench_say(b, 3, MESSAGE_NEIGHBOR_REPLY, 0, true, 0);
	assert_false(bench_is_active(b, 3));
	assert_non_null(bench_sent(b, 3, MESSAGE_DISCONNECT, 0));
}

static void who_takes_us_for_a_neighbour_wrongly_is_told(void **state)
{
	static const enum message_type types[] = {
		MESSAGE_FORWARD_JOIN, MESSAGE_SHUFFLE, MESSAGE_IHAVE, MESSAGE_GRAFT, MESSAGE_PRUNE};
	struct gossip_bench *b = *state;

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		bench_say(b, 3, types[i], 5, false, 0);
		assert_non_null(bench_sent(b, 3, MESSAGE_DISCONNECT, 0));
	}
}

static void disconnect_ends_a_link_and_leaving_forgets_the_peer(void **state)
{
	struct gossip_bench *b = *state;

	bench_befriend(b, 3);
	bench_say(b, 3, MESSAGE_DISCONNECT, 0, false, 0);
	assert_false(bench_is_active(b, 3));
	assert_true(bench_is_passive(b, 3));
	assert_non_null(bench_effect(b, GOSSIP_RELEASE, 3, 0));
	bench_befriend(b, 5);
	bench_say(b, 5, MESSAGE_DISCONNECT, 0, true, 0);
	assert_false(bench_is_active(b, 5));
	assert_false(bench_is_passive(b, 5));
	assert_false(gossip_knows(b->g, 250));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define PUBLIC(name) cmocka_unit_test_setup_teardown(name, bench_setup_public, bench_teardown)
#define NATED(name)  cmocka_unit_test_setup_teardown(name, bench_setup_nated, bench_teardown)
		PUBLIC(newcomer_dials_its_contact_and_joins),
		PUBLIC(refused_newcomer_goes_on_with_the_records_that_it_got),
		PUBLIC(records_that_nobody_asked_for_are_ignored),
		PUBLIC(join_is_answered_with_records_and_walks_on),
		PUBLIC(walk_goes_on_is_remembered_and_ends),
		PUBLIC(absurd_walk_is_cut_to_its_length),
		PUBLIC(whoever_asks_never_gets_an_outbound_slot),
		PUBLIC(who_has_nobody_displaces_one_but_a_flood_of_them_does_not_displace_all),
		PUBLIC(asking_in_the_name_of_another_is_an_offence),
		PUBLIC(prefix_has_few_neighbours_and_few_places_in_the_passive_view),
		PUBLIC(guests_are_few_and_make_room),
		PUBLIC(quota_goes_by_where_a_dialled_peer_is_found),
		PUBLIC(contact_that_breaks_a_rule_is_none_any_more),
		PUBLIC(loopback_and_private_prefixes_have_no_quota),
		PUBLIC(peer_that_was_sent_away_may_not_come_back_for_a_minute),
		PUBLIC(knocking_all_the_time_is_of_no_use),
		NATED(nated_peer_looks_for_four_public_neighbours_and_two_more),
		PUBLIC(dial_that_failed_waits_ever_longer),
		PUBLIC(dials_come_from_a_bucket),
		PUBLIC(two_who_ask_each_other_at_once_become_neighbours),
		PUBLIC(answer_that_comes_too_late_is_taken_back),
		PUBLIC(who_takes_us_for_a_neighbour_wrongly_is_told),
		PUBLIC(disconnect_ends_a_link_and_leaving_forgets_the_peer),
		PUBLIC(who_broke_a_rule_is_neither_dialled_nor_let_in_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
