/* The relay's side of circuits, alone: places, quotas, credit, and what happens to those who abuse it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/overlay/relay.h"
#include "tasks/base/mem.h"

#define CONNS	  64u
#define NUMBER(i) (4 * (i) + 2) /* that an opener who was dialled by the relay may give */

#define SHARE (RELAY_CIRCUITS / RELAY_PREFIX_SHARE) /* of a prefix, where circuits are few */
#define UNSHARED                                                                                   \
	(RELAY_CIRCUITS - SHARE + 1) /* so many may be any prefix's: the last of a share begins */

/* What the relay did to each session. */
struct session_seen {
	struct message last;
	size_t count, data_bytes, credit;
	size_t waiting;
	bool accused;
};

struct bench {
	struct relay *relay;
	struct way_port port;
	uint64_t now_ms;
	uint32_t opens; /* of open_some, each by another number */
	struct session_seen seen[CONNS];
};

static void on_send(void *context, conn_id conn, const struct message *m)
{
	struct session_seen *s = &((struct bench *)context)->seen[conn];

	s->last = *m;
	s->count++;
	if (m->type == MESSAGE_RELAY_DATA)
		s->data_bytes += m->relay_data.bytes.len;
	if (m->type == MESSAGE_RELAY_CREDIT)
		s->credit += m->relay_credit.bytes;
}

static size_t on_waiting(void *context, conn_id conn)
{
	return ((struct bench *)context)->seen[conn].waiting;
}

static void on_accuse(void *context, conn_id conn, const char *why)
{
	assert_true(why[0] != '\0');
	((struct bench *)context)->seen[conn].accused = true;
}

static void on_log(void *context, const char *line)
{
	(void)context;
	(void)line;
}

static void bench_open(struct bench *b, const struct relay_config *config)
{
	struct relay_config usual;

	relay_config_default(&usual);
	*b = (struct bench){.now_ms = 1000};
	b->port = (struct way_port){b, on_send, on_waiting, on_accuse, on_log};
	b->relay = relay_new(config != NULL ? config : &usual, &b->port);
	assert_non_null(b->relay);
}

static struct public_key key_of(conn_id conn)
{
	struct public_key key = {{0}};

	store_le64(key.b, conn);
	return key;
}

static void say(struct bench *b, conn_id conn, uint64_t prefix, const struct message *m)
{
	struct public_key key = key_of(conn);

	relay_message(b->relay, b->now_ms, conn, true, &key, prefix, m);
}

static uint32_t reserve(struct bench *b, conn_id conn, uint64_t prefix)
{
	struct message m = {.type = MESSAGE_RELAY_RESERVE, .relay_reserve = {.wanted = true}};

	say(b, conn, prefix, &m);
	assert_int_equal(b->seen[conn].last.type, MESSAGE_RELAY_RESERVED);
	return b->seen[conn].last.relay_reserved.status;
}

/* The status that the opener was told; 0: INCOMING went out. */
static uint32_t try_open(struct bench *b, conn_id from, conn_id to, uint32_t number)
{
	struct message m = {.type = MESSAGE_RELAY_OPEN,
		.relay_open = {.circuit = number, .target = key_of(to)}};
	size_t before = b->seen[from].count;

	say(b, from, 0, &m);
	return b->seen[from].count != before ? b->seen[from].last.relay_opened.status : 0;
}

/* Opens a circuit for good; gives the target's number of it. */
static uint32_t open_circuit(struct bench *b, conn_id from, conn_id to, uint32_t number)
{
	struct message m = {.type = MESSAGE_RELAY_OPENED, .relay_opened = {.status = RELAY_OK}};

	assert_int_equal(try_open(b, from, to, number), 0);
	assert_int_equal(b->seen[to].last.type, MESSAGE_RELAY_INCOMING);
	m.relay_opened.circuit = b->seen[to].last.relay_incoming.circuit;
	say(b, to, 0, &m);
	assert_int_equal(b->seen[from].last.type, MESSAGE_RELAY_OPENED);
	assert_int_equal(b->seen[from].last.relay_opened.status, RELAY_OK);
	return m.relay_opened.circuit;
}

static uint32_t try_open_at(
	struct bench *b, conn_id from, uint64_t prefix, conn_id to, uint32_t number)
{
	struct message m = {.type = MESSAGE_RELAY_OPEN,
		.relay_open = {.circuit = number, .target = key_of(to)}};
	size_t before = b->seen[from].count;

	say(b, from, prefix, &m);
	return b->seen[from].count != before ? b->seen[from].last.relay_opened.status : 0;
}

/* As many as it may, at a relay that says nothing of its targets' answers; gives how many that was. */
static uint32_t open_many(struct bench *b, conn_id first, uint64_t prefix)
{
	struct message m = {.type = MESSAGE_RELAY_OPENED, .relay_opened = {.status = RELAY_OK}};
	uint32_t opened = 0;

	for (conn_id peer = first; peer < first + 4; peer++)
		assert_int_equal(reserve(b, peer, prefix), RELAY_OK);
	for (conn_id peer = first; peer < first + 4; peer++) {
		for (uint32_t i = 0; i < RELAY_CIRCUITS_PER_PEER; i++) {
			if (try_open_at(b, peer + 4, prefix, peer, NUMBER(i)) != 0)
				continue;
			m.relay_opened.circuit = b->seen[peer].last.relay_incoming.circuit;
			say(b, peer, prefix, &m);
			opened++;
		}
	}
	return opened;
}

static void send_data(struct bench *b, conn_id conn, uint32_t number, size_t n)
{
	static const uint8_t zeros[RELAY_DATA_MAX];

	while (n != 0) {
		size_t part = n < sizeof(zeros) ? n : sizeof(zeros);
		struct message m = {
			.type = MESSAGE_RELAY_DATA, .relay_data = {number, span_of(zeros, part)}};

		say(b, conn, 0, &m);
		n -= part;
	}
}

/* One session opens as many as it is given, up to most, all to one target; gives how many that was. */
static uint32_t open_some(struct bench *b, conn_id from, uint64_t prefix, conn_id to, uint32_t most)
{
	uint32_t opened = 0;

	if (b->seen[to].last.type == 0)
		assert_int_equal(reserve(b, to, 0), RELAY_OK);
	while (opened < most && try_open_at(b, from, prefix, to, NUMBER(b->opens++)) == 0)
		opened++;
	assert_false(b->seen[from].accused);
	return opened;
}

static void a_prefix_leaves_the_last_quarter_of_a_relay_to_others(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, NULL);
	assert_int_equal(open_many(&b, 1, 0xbad), UNSHARED);
	assert_int_equal(reserve(&b, 50, 0x900d), RELAY_OK);
	assert_int_equal(try_open_at(&b, 60, 0xfa1, 50, NUMBER(0)), 0);
	assert_int_equal(try_open_at(&b, 61, 0xbad, 50, NUMBER(0)), RELAY_FULL);
	assert_int_equal(try_open_at(&b, 60, 0xfa1, 1, NUMBER(1)), RELAY_FULL);
	relay_free(b.relay);
}

static void homes_of_one_prefix_are_not_refused_while_places_are_free(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, NULL);
	for (conn_id home = 1; home <= 3; home++)
		assert_int_equal(open_some(&b, home, 77, 20 + home, RELAY_CIRCUITS_PER_PEER),
			RELAY_CIRCUITS_PER_PEER);
	relay_free(b.relay);
}

static void a_session_alone_in_its_prefix_gets_the_whole_share_of_a_full_relay(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, NULL);
	assert_int_equal(open_many(&b, 1, 0xbad), UNSHARED);
	assert_int_equal(open_some(&b, 30, 77, 50, SHARE), SHARE - 1); /* all that are left */
	relay_free(b.relay);
}

static void one_session_does_not_shut_its_prefix_out_of_a_relay(void **state)
{
	struct bench b;
	uint32_t most = RELAY_CIRCUITS_PER_PEER;

	(void)state;
	bench_open(&b, NULL);
	assert_int_equal(open_some(&b, 30, 77, 50, most), most);
	for (conn_id i = 0; i < 2; i++)
		assert_int_equal(open_some(&b, 31 + i, 100 + i, 51 + i, most), most);
	assert_int_equal(open_some(&b, 33, 103, 53, 1), 1);
	assert_int_equal(open_some(&b, 30, 77, 54, 1), 0);
	assert_int_equal(open_some(&b, 34, 77, 55, most), SHARE / 2);
	assert_int_equal(open_some(&b, 35, 77, 56, 1), 0); /* two have the share between them */
	assert_int_equal(open_some(&b, 36, 106, 56, 1), 1);
	relay_free(b.relay);
}

static void circuit_that_carries_nothing_ends_when_its_place_is_wanted(void **state)
{
	struct bench b;
	struct relay_stats stats;
	uint32_t number;

	(void)state;
	bench_open(&b, NULL);
	assert_int_equal(open_many(&b, 1, 0xbad), UNSHARED);
	assert_int_equal(reserve(&b, 50, 0x900d), RELAY_OK);
	for (uint32_t i = 0; i < RELAY_CIRCUITS - UNSHARED; i++)
		number = open_circuit(&b, 60, 50, NUMBER(i));
	assert_int_equal(reserve(&b, 51, 0xfa2), RELAY_OK);
	assert_int_equal(try_open_at(&b, 61, 0xfa1, 51, NUMBER(0)), RELAY_FULL);
	b.now_ms += RELAY_IDLE_MS - 1;
	relay_tick(b.relay, b.now_ms);
	send_data(&b, 50, number, 1);
	assert_int_equal(try_open_at(&b, 61, 0xfa1, 51, NUMBER(1)), RELAY_FULL);
	b.now_ms += 1;
	assert_int_equal(try_open_at(&b, 61, 0xfa1, 51, NUMBER(2)), 0);
	assert_int_equal(b.seen[5].last.relay_close.status, RELAY_QUOTA);
	relay_stats(b.relay, &stats);
	assert_int_equal(stats.circuits, 2); /* the new one, and the one that carried something */
	relay_free(b.relay);
}

static void places_are_few_and_fewer_for_each_prefix(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, NULL);
	for (conn_id i = 1; i <= RELAY_RESERVATIONS_PER_PREFIX; i++)
		assert_int_equal(reserve(&b, i, 77), RELAY_OK);
	assert_int_equal(reserve(&b, 20, 77), RELAY_FULL);
	for (conn_id i = RELAY_RESERVATIONS_PER_PREFIX + 1; i <= RELAY_RESERVATIONS; i++)
		assert_int_equal(reserve(&b, i, 100 + i), RELAY_OK);
	assert_int_equal(reserve(&b, 21, 5), RELAY_FULL);
	assert_int_equal(reserve(&b, 1, 77), RELAY_OK); /* renewed */
	relay_down(b.relay, b.now_ms, 2);
	assert_int_equal(reserve(&b, 21, 5), RELAY_OK);
	relay_free(b.relay);
}

static void a_place_runs_out_unless_it_is_asked_for_again(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, NULL);
	assert_int_equal(reserve(&b, 1, 0), RELAY_OK);
	b.now_ms += RELAY_RESERVATION_MS;
	relay_tick(b.relay, b.now_ms);
	assert_int_equal(try_open(&b, 2, 1, 2), RELAY_NO_PEER);
	relay_free(b.relay);
}

static void circuits_are_few_and_fewer_for_each_peer(void **state)
{
	struct bench b;
	uint32_t opened = 0;

	(void)state;
	bench_open(&b, NULL);
	for (conn_id i = 1; i <= 8; i++)
		assert_int_equal(reserve(&b, i, 0), RELAY_OK);
	for (uint32_t i = 0; i < RELAY_CIRCUITS_PER_PEER; i++)
		open_circuit(&b, 20, 1 + i % 8, 2 + 4 * i);
	assert_int_equal(try_open(&b, 20, 1, 400), 0);
	assert_true(b.seen[20].accused); /* 400 is not a number of its side */
	assert_int_equal(try_open(&b, 20, 1, 402), RELAY_FULL);
	for (conn_id from = 30; from < 40; from++) {
		for (uint32_t i = 0; i < 8; i++)
			opened += try_open(&b, from, 1 + i, 2 + 4 * i) == 0;
	}
	assert_int_equal(opened, RELAY_CIRCUITS - RELAY_CIRCUITS_PER_PEER);
	relay_free(b.relay);
}

static void a_circuit_ends_at_its_bytes_and_at_its_time(void **state)
{
	struct relay_config config = {.serve = true,
		.reservations = 2,
		.circuits = 2,
		.circuit_bytes = 200000,
		.circuit_ms = 60000};
	struct bench b;
	uint32_t theirs;

	(void)state;
	bench_open(&b, &config);
	assert_int_equal(reserve(&b, 1, 0), RELAY_OK);
	open_circuit(&b, 2, 1, 2);
	send_data(&b, 2, 2, 200000);
	assert_int_equal(b.seen[1].data_bytes, 200000);
	send_data(&b, 2, 2, 1);
	assert_int_equal(b.seen[1].last.type, MESSAGE_RELAY_CLOSE);
	assert_int_equal(b.seen[1].last.relay_close.status, RELAY_QUOTA);
	assert_int_equal(b.seen[2].last.relay_close.status, RELAY_QUOTA);
	theirs = open_circuit(&b, 2, 1, 6);
	b.now_ms += 60000;
	relay_tick(b.relay, b.now_ms);
	assert_int_equal(b.seen[1].last.type, MESSAGE_RELAY_CLOSE);
	assert_int_equal(b.seen[1].last.relay_close.circuit, theirs);
	assert_false(b.seen[1].accused || b.seen[2].accused);
	relay_free(b.relay);
}

static void a_slow_end_costs_one_window_and_holds_up_nobody_else(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, NULL);
	assert_int_equal(reserve(&b, 1, 0), RELAY_OK);
	assert_int_equal(reserve(&b, 2, 0), RELAY_OK);
	open_circuit(&b, 3, 1, 2);
	open_circuit(&b, 3, 2, 6);
	b.seen[1].waiting = NODE_OUTPUT_LOW + 1;
	send_data(&b, 3, 2, RELAY_WINDOW);
	assert_int_equal(b.seen[3].credit, 0);
	send_data(&b, 3, 6, RELAY_WINDOW);
	assert_int_equal(b.seen[3].credit, RELAY_WINDOW);
	b.seen[1].waiting = 0;
	relay_writable(b.relay, 1);
	assert_int_equal(b.seen[3].credit, 2 * RELAY_WINDOW);
	assert_false(b.seen[3].accused);
	relay_free(b.relay);
}

static void whoever_sends_beyond_its_credit_is_accused_and_the_other_told(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, NULL);
	assert_int_equal(reserve(&b, 1, 0), RELAY_OK);
	open_circuit(&b, 3, 1, 2);
	b.seen[1].waiting = NODE_OUTPUT_LOW + 1;
	send_data(&b, 3, 2, RELAY_WINDOW);
	assert_false(b.seen[3].accused);
	send_data(&b, 3, 2, 1);
	assert_true(b.seen[3].accused);
	assert_int_equal(b.seen[1].last.type, MESSAGE_RELAY_CLOSE);
	assert_false(b.seen[1].accused);
	assert_int_equal(b.seen[1].data_bytes, RELAY_WINDOW);
	relay_free(b.relay);
}

static void wrong_numbers_and_second_answers_are_accused(void **state)
{
	struct bench b;
	struct message opened = {
		.type = MESSAGE_RELAY_OPENED, .relay_opened = {.status = RELAY_OK}};

	(void)state;
	bench_open(&b, NULL);
	send_data(&b, 5, 2, 1); /* it never opened any */
	assert_true(b.seen[5].accused);
	assert_int_equal(reserve(&b, 1, 0), RELAY_OK);
	opened.relay_opened.circuit = open_circuit(&b, 3, 1, 2);
	say(&b, 1, 0, &opened);
	assert_true(b.seen[1].accused);
	assert_int_equal(try_open(&b, 3, 1, 2), 0); /* the number is in use */
	assert_true(b.seen[3].accused);
	relay_free(b.relay);
}

/* What was under way when a circuit ended is no offence, and no more than that. */
static void late_bytes_are_forgiven_but_not_for_ever(void **state)
{
	struct bench b;
	struct message end = {
		.type = MESSAGE_RELAY_CLOSE, .relay_close = {.circuit = 2, .status = RELAY_GONE}};
	uint32_t theirs;

	(void)state;
	bench_open(&b, NULL);
	assert_int_equal(reserve(&b, 1, 0), RELAY_OK);
	theirs = open_circuit(&b, 3, 1, 2);
	say(&b, 3, 0, &end);
	assert_int_equal(b.seen[1].last.type, MESSAGE_RELAY_CLOSE);
	send_data(&b, 1, theirs, RELAY_WINDOW);
	assert_false(b.seen[1].accused);
	send_data(&b, 1, theirs, 4096);
	assert_true(b.seen[1].accused);
	relay_free(b.relay);
}

static void questions_are_rationed_and_a_flood_of_them_accused(void **state)
{
	struct bench b;
	size_t ok = 0, refused = 0;

	(void)state;
	bench_open(&b, NULL);
	for (size_t i = 0; i < RELAY_ASK_BURST + 20; i++) {
		uint32_t status = try_open(&b, 3, 1, 2);

		ok += status == RELAY_NO_PEER;
		refused += status == RELAY_REFUSED;
	}
	assert_int_equal(ok, RELAY_ASK_BURST);
	assert_int_equal(refused, 20);
	assert_false(b.seen[3].accused);
	b.now_ms += RELAY_ASK_MS;
	assert_int_equal(try_open(&b, 3, 1, 2), RELAY_NO_PEER);
	for (size_t i = 0; i < 2 * RELAY_ASK_ABUSE; i++)
		(void)try_open(&b, 3, 1, 2);
	assert_true(b.seen[3].accused);
	relay_free(b.relay);
}

static void a_lost_session_ends_its_circuits_and_tells_the_others(void **state)
{
	struct bench b;
	struct relay_stats stats;

	(void)state;
	bench_open(&b, NULL);
	assert_int_equal(reserve(&b, 1, 0), RELAY_OK);
	open_circuit(&b, 3, 1, 2);
	assert_int_equal(try_open(&b, 4, 1, 2), 0); /* still opening */
	relay_down(b.relay, b.now_ms, 1);
	assert_int_equal(b.seen[3].last.type, MESSAGE_RELAY_CLOSE);
	assert_int_equal(b.seen[4].last.type, MESSAGE_RELAY_OPENED);
	assert_int_equal(b.seen[4].last.relay_opened.status, RELAY_GONE);
	relay_stats(b.relay, &stats);
	assert_int_equal(stats.circuits, 0);
	assert_int_equal(stats.reservations, 0);
	relay_free(b.relay);
}

static void whoever_does_not_relay_refuses_politely(void **state)
{
	struct bench b;

	(void)state;
	bench_open(&b, NULL);
	relay_serve(b.relay, false);
	assert_int_equal(reserve(&b, 1, 0), RELAY_REFUSED);
	assert_int_equal(try_open(&b, 2, 1, 2), RELAY_REFUSED);
	assert_false(b.seen[1].accused || b.seen[2].accused);
	relay_free(b.relay);
}

static void every_number_says_who_relays(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 8; n++) {
		bool here = relay_serves_number(n, true), there = relay_serves_number(n, false);

		assert_true(here != there); /* exactly one side of a session is the relay */
	}
	assert_true(relay_serves_number(2, true));   /* OPEN by whom we dialled */
	assert_true(relay_serves_number(0, false));  /* OPEN by who dialled us */
	assert_true(relay_serves_number(1, true));   /* our INCOMING, where we dialled */
	assert_false(relay_serves_number(1, false)); /* theirs */
}

#define CLAIM(name) cmocka_unit_test(name)

static void note_conn(void *context, conn_id conn)
{
	bool *seen = context;

	assert_false(seen[conn]); /* once each */
	seen[conn] = true;
}

static void sessions_with_a_place_or_a_circuit_are_named_and_others_are_not(void **state)
{
	struct message cancel = {.type = MESSAGE_RELAY_RESERVE};
	bool seen[CONNS] = {false};
	struct bench bench, *b = &bench;

	(void)state;
	bench_open(b, NULL);
	assert_int_equal(reserve(b, 1, 0), RELAY_OK);
	assert_int_equal(reserve(b, 2, 0), RELAY_OK);
	(void)open_circuit(b, 3, 1, NUMBER(0));
	assert_int_not_equal(try_open(b, 4, 5, NUMBER(0)), 0); /* asked, and got nothing */
	say(b, 2, 0, &cancel);
	relay_each(b->relay, note_conn, seen);
	for (conn_id conn = 1; conn <= 5; conn++)
		assert_int_equal(seen[conn], conn == 1 || conn == 3);
	relay_down(b->relay, b->now_ms, 3);
	memset(seen, 0, sizeof(seen));
	relay_each(b->relay, note_conn, seen);
	assert_true(seen[1] && !seen[3]);
	relay_free(b->relay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_prefix_leaves_the_last_quarter_of_a_relay_to_others),
		CLAIM(homes_of_one_prefix_are_not_refused_while_places_are_free),
		CLAIM(a_session_alone_in_its_prefix_gets_the_whole_share_of_a_full_relay),
		CLAIM(one_session_does_not_shut_its_prefix_out_of_a_relay),
		CLAIM(circuit_that_carries_nothing_ends_when_its_place_is_wanted),
		CLAIM(sessions_with_a_place_or_a_circuit_are_named_and_others_are_not),
		CLAIM(places_are_few_and_fewer_for_each_prefix),
		CLAIM(a_place_runs_out_unless_it_is_asked_for_again),
		CLAIM(circuits_are_few_and_fewer_for_each_peer),
		CLAIM(a_circuit_ends_at_its_bytes_and_at_its_time),
		CLAIM(a_slow_end_costs_one_window_and_holds_up_nobody_else),
		CLAIM(whoever_sends_beyond_its_credit_is_accused_and_the_other_told),
		CLAIM(wrong_numbers_and_second_answers_are_accused),
		CLAIM(late_bytes_are_forgiven_but_not_for_ever),
		CLAIM(questions_are_rationed_and_a_flood_of_them_accused),
		CLAIM(a_lost_session_ends_its_circuits_and_tells_the_others),
		CLAIM(whoever_does_not_relay_refuses_politely),
		CLAIM(every_number_says_who_relays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
