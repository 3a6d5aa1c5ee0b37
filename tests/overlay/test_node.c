/* Nodes wired together in memory under virtual time; see tests/lib/net.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/overlay/admission.h"
#include "peer/overlay/pulse.h"
#include "tasks/base/mem.h"
#include "tests/overlay/node_bench.h"

static void sessions_open_and_both_sides_know_who_is_there(void **state)
{
	struct bench *b = *state;
	conn_id conn = net_dial(&b->net, 1, 0, &b->net.nodes[0].id.key.public);
	const struct node_effect *up;

	net_run(&b->net);
	up = net_last(&b->net, 1, NODE_UP, conn);
	assert_non_null(up);
	assert_true(key_equal(&up->key, &b->net.nodes[0].id.key.public));
	assert_int_equal(up->role, ROLE_COORDINATOR);
	up = net_last(&b->net, 0, NODE_UP, conn + 1);
	assert_non_null(up);
	assert_true(key_equal(&up->key, &b->net.nodes[1].id.key.public));
	assert_int_equal(up->role, ROLE_PEER);
	session_up(b, 2, 0);
	assert_int_equal(node_session_count(b->net.nodes[0].node), 2);
	assert_int_equal(node_session_count(b->net.nodes[1].node), 1);
	assert_int_equal(net_count(&b->net, 0, NODE_LOG, 0), 0);
}

static void messages_arrive_in_order_and_own_their_bytes(void **state)
{
	static uint8_t data[BLOB_PART_MAX];
	struct bench *b = *state;
	conn_id conn = session_up(b, 1, 0);
	size_t seen = 0;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (uint8_t i = 0; i < 50; i++) {
		struct message m = upload_of(data, 1 + i * 1311u, i);

		assert_int_equal(net_send(&b->net, conn, &m), TK_OK);
		m.upload.nonce.b[0] = (uint8_t)~i;
		assert_int_equal(net_send(&b->net, conn + 1, &m), TK_OK);
	}
	net_run(&b->net);
	/* All at the end: later steps must not have touched what earlier effects own. */
	for (size_t i = 0; i < b->net.nodes[0].seen.count; i++) {
		const struct node_effect *e = &b->net.nodes[0].seen.items[i];
		const struct message_upload *u = &e->message.upload;

		if (e->type != NODE_MESSAGE)
			continue;
		assert_int_equal(e->conn, conn + 1);
		assert_int_equal(e->message.type, MESSAGE_UPLOAD);
		assert_int_equal(u->offset, seen);
		assert_int_equal(u->bytes.len, 1 + seen * 1311u);
		assert_memory_equal(u->bytes.data, data, u->bytes.len);
		assert_true(u->bytes.data > e->bytes.data &&
			    u->bytes.data + u->bytes.len <= e->bytes.data + e->bytes.len);
		seen++;
	}
	assert_int_equal(seen, 50);
	assert_int_equal(net_count(&b->net, 1, NODE_MESSAGE, conn), 50);
}

static void sending_on_a_connection_that_is_not_open_is_harmless(void **state)
{
	struct bench *b = *state;
	struct message m = {.type = MESSAGE_REVEAL_REQUEST};
	conn_id half = net_dial(&b->net, 1, NET_NOBODY, NULL);
	conn_id conn = session_up(b, 1, 0);

	assert_int_equal(net_send(&b->net, half, &m), TK_ENOENT);
	assert_int_equal(net_drop(&b->net, conn, GOODBYE_SHUTDOWN, "done"), TK_OK);
	assert_int_equal(net_send(&b->net, conn, &m), TK_ENOENT);
	assert_int_equal(net_drop(&b->net, conn, GOODBYE_SHUTDOWN, "again"), TK_ENOENT);
	assert_int_equal(net_count(&b->net, 1, NODE_DOWN, conn), 1);
}

static void message_over_a_limit_is_refused_and_the_session_goes_on(void **state)
{
	static uint8_t data[BLOB_PART_MAX + 1];
	struct bench *b = *state;
	conn_id conn = session_up(b, 1, 0);
	struct message m = upload_of(data, sizeof(data), 1);

	assert_int_equal(net_send(&b->net, conn, &m), TK_ELIMIT);
	assert_alive(b, conn);
}

static void silent_sessions_are_kept_alive_unseen(void **state)
{
	struct bench *b = *state;
	conn_id conn = session_up(b, 1, 0);

	net_pass(&b->net, 10 * 60 * 1000);
	assert_int_equal(net_count(&b->net, 0, NODE_DOWN, 0), 0);
	assert_int_equal(net_count(&b->net, 1, NODE_DOWN, 0), 0);
	assert_int_equal(net_count(&b->net, 0, NODE_MESSAGE, 0), 0);
	assert_int_equal(net_count(&b->net, 1, NODE_MESSAGE, 0), 0);
	/* about one ping each quarter of a minute, not one each tick */
	assert_in_range(net_count(&b->net, 1, NODE_WRITE, conn), 30, 100);
	assert_alive(b, conn);
}

static void dead_session_is_dropped_and_others_stay(void **state)
{
	struct bench *b = *state;
	conn_id dead = session_up(b, 1, 0);
	conn_id other = session_up(b, 2, 0);

	net_wire_of(&b->net, dead)->dead = true;
	net_pass(&b->net, PULSE_SILENCE_MIN_MS - NODE_TICK_MS);
	assert_int_equal(net_count(&b->net, 0, NODE_DOWN, 0), 0);
	net_pass(&b->net, NODE_TICK_MS);
	assert_ended(b, 0, dead + 1, "nothing was heard");
	assert_ended(b, 1, dead, "nothing was heard");
	assert_alive(b, other);
	assert_int_equal(node_session_count(b->net.nodes[0].node), 1);
}

static void handshake_that_takes_too_long_is_closed(void **state)
{
	struct bench *b = *state;
	conn_id silent = net_dial(&b->net, NET_NOBODY, 0, NULL);
	conn_id drip = net_dial(&b->net, NET_NOBODY, 0, NULL);
	conn_id ours = net_dial(&b->net, 1, NET_NOBODY, NULL);

	for (size_t i = 0; i < 9; i++) {
		net_inject(&b->net, drip + 1, &"talkoot\0\1"[i], 1);
		net_pass(&b->net, 1000);
	}
	assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, 0), 0);
	net_pass(&b->net, 1000);
	assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, silent + 1), 1);
	assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, drip + 1), 1);
	assert_int_equal(net_count(&b->net, 1, NODE_CLOSE, ours), 1);
	assert_non_null(strstr(net_last(&b->net, 1, NODE_CLOSE, ours)->text, "took longer"));
	assert_int_equal(net_count(&b->net, 0, NODE_DOWN, 0), 0); /* was never UP */
}

static void one_half_open_connection_too_many_costs_the_oldest_its_place(void **state)
{
	struct bench *b = *state;
	conn_id mine = session_up(b, 1, 0);
	conn_id ours = net_dial(&b->net, 0, NET_NOBODY, NULL);
	conn_id first = 0;
	conn_id over;

	for (size_t i = 0; i < NODE_HALF_OPEN_MAX; i++) {
		conn_id conn = net_dial(&b->net, NET_NOBODY, 0, NULL);

		first = first != 0 ? first : conn;
	}
	assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, 0), 0);
	over = net_dial(&b->net, NET_NOBODY, 0, NULL);
	assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, 0), 1);
	assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, first + 1), 1);
	assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, over + 1), 0);
	assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, ours), 0); /* we dialled that one */
	assert_alive(b, mine);
	session_up(b, 2, 0); /* the crowd keeps nobody out */
	assert_alive(b, mine);
	net_pass(&b->net, NODE_TICK_MS);
	assert_non_null(
		strstr(net_last(&b->net, 0, NODE_LOG, 0)->text, "2 handshakes were closed"));
	net_pass(&b->net, NODE_HANDSHAKE_MS);
	assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, over + 1), 1);
}

static void connections_are_capped_in_all(void **state)
{
	struct bench *b = *state;
	conn_id conn = 0;

	for (size_t i = 0; i < NODE_CONNECTIONS_MAX; i++)
		conn = net_dial(&b->net, 1, NET_NOBODY, NULL);
	assert_int_equal(net_count(&b->net, 1, NODE_CLOSE, 0), 0);
	conn = net_dial(&b->net, 1, NET_NOBODY, NULL);
	assert_int_equal(net_count(&b->net, 1, NODE_CLOSE, conn), 1);
	assert_int_equal(net_count(&b->net, 1, NODE_WRITE, conn), 0);
}

static void newest_session_of_an_identity_replaces_the_older(void **state)
{
	struct bench *b = *state;
	conn_id older = session_up(b, 1, 0);
	conn_id other = session_up(b, 2, 0);
	conn_id newer = session_up(b, 1, 0);

	net_run(&b->net);
	assert_ended(b, 0, older + 1, "connected again");
	assert_ended(b, 1, older, "our identity connected again elsewhere");
	assert_int_equal(node_session_count(b->net.nodes[0].node), 2);
	assert_alive(b, newer);
	assert_alive(b, other);
	newer = session_up(b, 1, 0);
	assert_alive(b, newer);
}

static void garbage_closes_only_its_own_connection(void **state)
{
	struct bench *b = *state;
	conn_id good = session_up(b, 1, 0);
	uint8_t noise[300];

	for (unsigned round = 0; round < 50; round++) {
		conn_id bad = net_dial(&b->net, NET_NOBODY, 0, NULL);

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)(i * 167 + round * 31 + i * i / 7);
		if (round % 2 == 1) /* a good beginning, then garbage */
			memcpy(noise, "talkoot\0\1", 9);
		net_inject(&b->net, bad + 1, noise, sizeof(noise));
		net_run(&b->net);
		assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, bad + 1), 1);
		/* each gets a line until that would fill the log */
		assert_int_equal(net_count(&b->net, 0, NODE_LOG, bad + 1), round < ADMISSION_LINES);
	}
	net_pass(&b->net, NODE_TICK_MS);
	assert_non_null(strstr(net_last(&b->net, 0, NODE_LOG, 0)->text,
		"34 more handshakes failed; the last failed because"));
	assert_int_equal(net_count(&b->net, 0, NODE_DOWN, 0), 0);
	assert_alive(b, good);
}

static void garbage_inside_a_session_ends_it_and_names_the_peer(void **state)
{
	struct bench *b = *state;
	conn_id bad = session_up(b, 1, 0);
	conn_id good = session_up(b, 2, 0);
	uint8_t noise[100] = {98, 0, 1, 2, 3};
	char key[9];

	net_inject(&b->net, bad + 1, noise, sizeof(noise));
	net_run(&b->net);
	assert_ended(b, 0, bad + 1, "does not authenticate");
	hex_encode(key, b->net.nodes[1].id.key.public.b, 4);
	assert_non_null(strstr(net_last(&b->net, 0, NODE_LOG, bad + 1)->text, key));
	assert_ended(b, 1, bad, "");
	assert_alive(b, good);
}

static void farewell_text_arrives_and_forges_no_log_line(void **state)
{
	struct bench *b = *state;
	conn_id conn = session_up(b, 1, 0);

	assert_int_equal(net_drop(&b->net, conn + 1, GOODBYE_RETIRED, "see\nyou \x7f"), TK_OK);
	net_run(&b->net);
	assert_ended(b, 1, conn, "our identity is retired: see?you ?");
	assert_ended(b, 0, conn + 1, "see");
	assert_int_equal(net_count(&b->net, 1, NODE_MESSAGE, 0), 0);
}

static void lost_transport_is_down_without_a_close(void **state)
{
	struct bench *b = *state;
	conn_id conn = session_up(b, 1, 0);
	struct node_event lost = {
		.type = NODE_LOST, .conn = conn + 1, .text = "connection reset by peer"};

	assert_int_equal(net_step(&b->net, 0, &lost), TK_OK);
	assert_ended(b, 0, conn + 1, "connection reset by peer");
	assert_int_equal(net_count(&b->net, 0, NODE_CLOSE, conn + 1), 0);
	assert_int_equal(net_step(&b->net, 0, &lost), TK_OK); /* late events are ignored */
	assert_int_equal(net_count(&b->net, 0, NODE_DOWN, conn + 1), 1);
}

static void wrong_network_and_wrong_identity_never_come_up(void **state)
{
	struct bench *b = *state;
	size_t stranger = net_add(&b->net, ROLE_COORDINATOR, NULL);
	conn_id conn = net_dial(&b->net, stranger, 0, NULL);

	net_run(&b->net);
	assert_non_null(
		strstr(net_last(&b->net, stranger, NODE_CLOSE, conn)->text, "another network"));
	assert_non_null(net_last(&b->net, 0, NODE_CLOSE, conn + 1));
	conn = net_dial(&b->net, 1, 0, &b->net.nodes[2].id.key.public);
	net_run(&b->net);
	assert_non_null(strstr(net_last(&b->net, 1, NODE_CLOSE, conn)->text, "identity"));
	for (size_t i = 0; i < b->net.node_count; i++)
		assert_int_equal(net_count(&b->net, i, NODE_UP, 0), 0);
}

/* A day in the life of three nodes. */
static void scenario_run(struct bench *b)
{
	static uint8_t data[1000];
	struct message m = upload_of(data, sizeof(data), 3);
	conn_id first;
	conn_id second;

	first = net_dial(&b->net, 1, 0, NULL);
	second = net_dial(&b->net, 2, 0, NULL);
	net_run(&b->net);
	(void)!net_send(&b->net, first, &m);
	(void)!net_send(&b->net, second + 1, &m);
	net_pass(&b->net, 20000);
	(void)net_dial(&b->net, 1, 0, NULL);
	net_run(&b->net);
	net_inject(&b->net, second + 1, "garbage", 7);
	net_pass(&b->net, 5000);
	for (conn_id conn = 1; conn <= 2 * b->net.wire_count; conn++)
		(void)!net_drop(&b->net, conn, GOODBYE_SHUTDOWN, "the day is over");
	net_pass(&b->net, 2000);
}

static void equal_events_give_equal_effects(void **state)
{
	struct bench *one = *state;
	struct bench two;

	bench_start(&two, 1);
	scenario_run(one);
	scenario_run(&two);
	for (size_t n = 0; n < one->net.node_count; n++) {
		const struct node_effects *a = &one->net.nodes[n].seen;
		const struct node_effects *z = &two.net.nodes[n].seen;

		assert_int_equal(a->count, z->count);
		for (size_t i = 0; i < a->count; i++) {
			assert_int_equal(a->items[i].type, z->items[i].type);
			assert_int_equal(a->items[i].conn, z->items[i].conn);
			assert_int_equal(a->items[i].role, z->items[i].role);
			assert_string_equal(a->items[i].text, z->items[i].text);
			assert_true(key_equal(&a->items[i].key, &z->items[i].key));
			assert_true(span_equal(
				bytes_span(&a->items[i].bytes), bytes_span(&z->items[i].bytes)));
		}
	}
	net_close(&two.net);
}

/* Each UP is followed by exactly one DOWN, and nothing is left open at the end. */
static void assert_settled(const struct bench *b, uint64_t after)
{
	for (size_t n = 0; n < b->net.node_count; n++) {
		assert_int_equal(node_session_count(b->net.nodes[n].node), 0);
		for (conn_id conn = 1; conn <= 2 * b->net.wire_count; conn++) {
			size_t ups = net_count(&b->net, n, NODE_UP, conn);

			if (ups > 1 || net_count(&b->net, n, NODE_DOWN, conn) != ups ||
				net_count(&b->net, n, NODE_CLOSE, conn) > 1)
				fail_msg("allocation %llu failing: connection %llu of node %zu",
					(unsigned long long)after, (unsigned long long)conn, n);
		}
	}
}

static void every_allocation_that_fails_ends_sessions_cleanly(void **state)
{
	(void)state;
	for (int forever = 0; forever <= 1; forever++) {
		for (uint64_t after = 1; after <= 400; after++) {
			struct bench b;

			bench_start(&b, after);
			mem_fail(after, forever);
			scenario_run(&b);
			mem_fail(0, 0);
			for (conn_id conn = 1; conn <= 2 * b.net.wire_count; conn++)
				(void)!net_drop(&b.net, conn, GOODBYE_SHUTDOWN, "end");
			net_pass(&b.net, PULSE_SILENCE_MAX_MS);
			assert_settled(&b, after);
			net_close(&b.net);
		}
	}
}

static void any_seed_of_any_cutting_gives_working_sessions(void **state)
{
	struct bench *b = *state;

	for (uint64_t seed = 100; seed < 140; seed++) {
		net_close(&b->net);
		bench_start(b, seed);
		scenario_run(b);
		if (net_count(&b->net, 0, NODE_MESSAGE, 0) != 1 ||
			net_count(&b->net, 2, NODE_MESSAGE, 0) != 1)
			fail_msg("seed %llu", (unsigned long long)seed);
		assert_settled(b, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
		CLAIM(sessions_open_and_both_sides_know_who_is_there),
		CLAIM(messages_arrive_in_order_and_own_their_bytes),
		CLAIM(sending_on_a_connection_that_is_not_open_is_harmless),
		CLAIM(message_over_a_limit_is_refused_and_the_session_goes_on),
		CLAIM(silent_sessions_are_kept_alive_unseen),
		CLAIM(dead_session_is_dropped_and_others_stay),
		CLAIM(handshake_that_takes_too_long_is_closed),
		CLAIM(one_half_open_connection_too_many_costs_the_oldest_its_place),
		CLAIM(connections_are_capped_in_all),
		CLAIM(newest_session_of_an_identity_replaces_the_older),
		CLAIM(garbage_closes_only_its_own_connection),
		CLAIM(garbage_inside_a_session_ends_it_and_names_the_peer),
		CLAIM(farewell_text_arrives_and_forges_no_log_line),
		CLAIM(lost_transport_is_down_without_a_close),
		CLAIM(wrong_network_and_wrong_identity_never_come_up),
		CLAIM(equal_events_give_equal_effects),
		CLAIM(any_seed_of_any_cutting_gives_working_sessions),
		CLAIM(every_allocation_that_fails_ends_sessions_cleanly),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
