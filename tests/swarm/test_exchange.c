/* The exchange of blobs as a whole: see exchange_net.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/swarm/exchange_net.h"

static void a_blob_reaches_all_and_leaves_the_coordinator_a_few_times(void **state)
{
	struct net *net = *state;
	struct swarm_totals totals;

	begin(net, NODES - 1);
	run(net, 300, 60);
	for (uint32_t i = 1; i < NODES; i++)
		assert_whole(net, i);
	exchange_totals(net->nodes[0].x, &totals);
	assert_true(totals.served <= 5 * BLOB);
	for (uint32_t i = 0; i < NODES; i++)
		assert_int_equal(net->nodes[i].dropped, 0);
}

static uint32_t exchanging(const struct net *net)
{
	uint32_t count = 0;

	for (uint32_t i = 1; i < NODES; i++)
		for (uint32_t k = 1; k < NODES; k++)
			count += net->nodes[i].exchanging[k] && net->nodes[i].sessions[k];
	return count;
}

static void sessions_are_needed_while_a_blob_is_exchanged_and_not_after(void **state)
{
	struct net *net = *state;

	begin(net, NODES - 1);
	assert_int_equal(exchanging(net), 0);
	run(net, 40, 20);
	assert_true(exchanging(net) > 0);
	run(net, 300, 60);
	for (uint32_t i = 1; i < NODES; i++) {
		now(&net->nodes[i]);
		exchange_forget(net->nodes[i].x, &net->digest);
	}
	run(net, 20, 60);
	assert_int_equal(exchanging(net), 0);
}

static void a_liars_bytes_are_never_kept(void **state)
{
	struct net *net = *state;
	uint32_t dropped = 0;

	net->nodes[1].liar = net->nodes[2].liar = true;
	begin(net, NODES - 1);
	run(net, 600, 60);
	for (uint32_t i = 3; i < NODES; i++) {
		assert_whole(net, i);
		dropped += net->nodes[i].dropped;
	}
	assert_true(dropped != 0);
}

static void who_restarts_fetches_only_what_is_missing(void **state)
{
	struct net *net = *state;
	struct node *n = &net->nodes[1];
	uint64_t before;

	begin(net, 1);
	run(net, 20, 3);
	before = n->received;
	assert_true(before > 10 * BLOB_PART_MAX && before < BLOB);
	end_session(net, 0, 1);
	exchange_free(n->x);
	n->x = NULL;
	run(net, 1, 1000);
	node_begin(net, 1);
	begin_session(net, 0, 1);
	now(n);
	exchange_want(n->x, &net->digest, &n->store, 0, BLOB, EXCHANGE_OPEN);
	run(net, 200, 60);
	assert_whole(net, 1);
	assert_true(n->received <= BLOB + 32 * BLOB_PART_MAX); /* the window that was under way */
}

static void a_blob_that_nobody_has_fails(void **state)
{
	struct net *net = *state;
	struct digest nobodys = {{9}};

	begin(net, 2);
	run(net, 200, 60);
	now(&net->nodes[1]);
	exchange_want(net->nodes[1].x, &nobodys, &net->nodes[1].store, 0, BLOB, EXCHANGE_OPEN);
	run(net, 20, 60);
	assert_int_equal(net->nodes[1].failed, 1);
	assert_int_equal(net->nodes[1].complete, 1);
}

/* Room for one blob: the old one has left before the new one is there. */
static void room_is_made_before_a_blob_arrives(void **state)
{
	struct net *net = *state;
	struct node *n = &net->nodes[1];
	struct digest old, *nodes;
	uint64_t total;

	begin(net, 1);
	assert_int_equal(blob_store_put(&n->store, &old, span_of("old", 3), NULL), TK_OK);
	assert_int_equal(blob_store_tree(&n->store, &old, 3, &total, &nodes, NULL), TK_OK);
	now(n);
	exchange_hold(n->x, &old, &n->store, total, nodes, NULL, EXCHANGE_OPEN);
	n->x->room = BLOB + 2;
	for (unsigned i = 0; exchange_bytes(n->x) <= 3; i++) {
		assert_true(i < 200);
		run(net, 1, 60);
	}
	assert_false(exchange_holds(n->x, &net->digest));
	assert_int_equal(blob_store_size(&n->store, &old, &total), TK_ENOENT);
	run(net, 200, 60);
	assert_whole(net, 1);
}

static void room_is_made_by_what_was_not_used_for_longest_and_is_not_needed(void **state)
{
	struct net *net = *state;
	struct node *n = &net->nodes[1];
	uint64_t size;

	begin(net, 1);
	run(net, 200, 60);
	assert_whole(net, 1);
	assert_int_equal(exchange_bytes(n->x), BLOB);
	n->needs_all = true;
	exchange_make_room(n->x, 1000);
	assert_int_equal(blob_store_size(&n->store, &net->digest, &size), TK_OK);
	n->needs_all = false;
	exchange_make_room(n->x, BLOB);
	assert_int_equal(blob_store_size(&n->store, &net->digest, &size), TK_OK);
	exchange_make_room(n->x, BLOB - 1);
	assert_int_equal(blob_store_size(&n->store, &net->digest, &size), TK_ENOENT);
	assert_false(exchange_holds(n->x, &net->digest));
	assert_int_equal(exchange_bytes(n->x), 0);
	/* And it can be had again. */
	n->complete = 0;
	now(n);
	exchange_want(n->x, &net->digest, &n->store, 0, BLOB, EXCHANGE_OPEN);
	run(net, 200, 60);
	assert_whole(net, 1);
}

static void a_part_of_an_unknown_blob_ends_the_session(void **state)
{
	struct net *net = *state;
	struct message m = {.type = MESSAGE_BLOB_PART};

	begin(net, 2);
	run(net, 5, 20);
	begin_session(net, 1, 2);
	run(net, 1, 100);
	m.blob_part.total = 3;
	m.blob_part.bytes = span_of("abc", 3);
	post(net, 1, 2, LETTER_MESSAGE, &m);
	run(net, 5, 1000);
	assert_int_equal(net->nodes[2].dropped, 1);
}

/* Digests are free: each of these would cost whoever is asked a look at its disk. */
static void who_asks_on_and_on_for_blobs_that_do_not_exist_is_left(void **state)
{
	struct net *net = *state;
	struct message m = {.type = MESSAGE_BLOB_GET, .blob_get = {.length = 1}};

	begin(net, 2);
	run(net, 5, 20);
	for (uint32_t i = 0; i < 2000; i++) {
		store_le64(m.blob_get.digest.b, i);
		post(net, 2, 0, LETTER_MESSAGE, &m);
	}
	run(net, 60, 1000);
	assert_int_equal(net->nodes[0].dropped, 0); /* bad luck, perhaps */
	for (uint32_t i = 0; i < 2200; i++) {
		m.type = i % 2 == 0 ? MESSAGE_BLOB_GET : MESSAGE_BLOB_WHO;
		if (m.type == MESSAGE_BLOB_WHO)
			m.blob_who.want = 1;
		store_le64(m.blob_get.digest.b, i);
		post(net, 2, 0, LETTER_MESSAGE, &m);
	}
	run(net, 10, 10000);
	assert_int_equal(net->nodes[0].dropped, 1);
	assert_false(net->nodes[0].sessions[2]);
	run(net, 200, 60);
	assert_whole(net, 1); /* others are not harmed */
}

/* What one has asked for waits, and takes no more than its share of the places; nobody hears that a blob is missing
 * which is only being looked for. */
static void a_blob_that_is_being_looked_for_is_missing_to_nobody(void **state)
{
	struct net *net = *state;
	struct message m = {.type = MESSAGE_BLOB_GET, .blob_get = {.length = 1}};

	begin(net, 2);
	run(net, 200, 60);
	net->nodes[0].looks = true;
	net->nodes[1].busy = net->nodes[2].busy = 0;
	memset(m.blob_get.digest.b, 9, DIGEST_BYTES);
	for (uint32_t i = 0; i < 1500; i++)
		post(net, 2, 0, LETTER_MESSAGE, &m);
	for (uint32_t i = 0; i < 100; i++)
		post(net, 1, 0, LETTER_MESSAGE, &m);
	run(net, 20, 1000);
	assert_int_equal(net->nodes[2].busy, 1500 - EXCHANGE_WAITING_EACH);
	assert_int_equal(net->nodes[1].busy, 0);
	assert_int_equal(net->nodes[1].missing + net->nodes[2].missing, 0);
	now(&net->nodes[0]);
	exchange_absent(net->nodes[0].x, &m.blob_get.digest);
	run(net, 20, 1000);
	assert_int_equal(net->nodes[2].missing, EXCHANGE_WAITING_EACH);
	assert_int_equal(net->nodes[1].missing, 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, net_open, net_close)
	const struct CMUnitTest tests[] = {
		TEST(a_blob_reaches_all_and_leaves_the_coordinator_a_few_times),
		TEST(sessions_are_needed_while_a_blob_is_exchanged_and_not_after),
		TEST(a_liars_bytes_are_never_kept),
		TEST(who_restarts_fetches_only_what_is_missing),
		TEST(a_blob_that_nobody_has_fails),
		TEST(room_is_made_before_a_blob_arrives),
		TEST(room_is_made_by_what_was_not_used_for_longest_and_is_not_needed),
		TEST(a_part_of_an_unknown_blob_ends_the_session),
		TEST(who_asks_on_and_on_for_blobs_that_do_not_exist_is_left),
		TEST(a_blob_that_is_being_looked_for_is_missing_to_nobody),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
