/* Whole nodes and relays that misbehave: a puppet relays by hand, with a fault; see tests/lib/internet.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/overlay/circuits.h"
#include "tasks/base/mem.h"
#include "tests/lib/internet.h"

enum { COORDINATOR, RELAY, ONE, TWO, OTHER };

enum fault {
	FAULT_NONE,
	FAULT_DROP,	 /* loses a piece */
	FAULT_SWAP,	 /* two pieces change places */
	FAULT_FLIP,	 /* one bit */
	FAULT_REPEAT,	 /* a piece comes twice */
	FAULT_CREDIT,	 /* more than there can be */
	FAULT_NUMBER,	 /* data for a circuit that is not */
	FAULT_OPENED,	 /* opens it twice */
	FAULT_ELSEWHERE, /* leads to somebody else */
	FAULT_SILENT,	 /* never answers OPEN */
	FAULTS,
};

#define FAULTY_PIECE 12u

struct puppet {
	struct internet *net;
	enum fault fault;
	size_t next;		  /* of seen */
	conn_id conns[HOSTS_MAX]; /* its session with each host */
	conn_id ends[2];	  /* opener, target */
	uint32_t numbers[2];
	size_t pieces;
	uint8_t kept[RELAY_DATA_MAX];
	size_t kept_len;
	bool saw_secret;
};

static const char secret[] = "the content of a circuit is nobody else's";

static void puppet_say(struct puppet *p, conn_id conn, const struct message *m)
{
	(void)!internet_send(p->net, RELAY, conn, m);
}

static void puppet_data(struct puppet *p, size_t to, const uint8_t *data, size_t n)
{
	struct message m = {
		.type = MESSAGE_RELAY_DATA, .relay_data = {p->numbers[to], span_of(data, n)}};

	puppet_say(p, p->ends[to], &m);
}

static void puppet_open(struct puppet *p, conn_id from, const struct message_relay_open *m)
{
	size_t target = p->fault == FAULT_ELSEWHERE ? OTHER : TWO;
	struct message in = {.type = MESSAGE_RELAY_INCOMING,
		.relay_incoming = {.circuit = 3, .from = *internet_key(p->net, ONE)}};

	assert_true(key_equal(&m->target, internet_key(p->net, TWO)));
	p->ends[0] = from;
	p->ends[1] = p->conns[target];
	p->numbers[0] = m->circuit;
	p->numbers[1] = 3;
	if (p->fault != FAULT_SILENT)
		puppet_say(p, p->ends[1], &in);
}

/* Passes a piece on, and does what is wrong at the right moment. */
static void puppet_pass(struct puppet *p, size_t to, const struct message_relay_data *m)
{
	struct message credit = {.type = MESSAGE_RELAY_CREDIT,
		.relay_credit = {p->numbers[1 - to], (uint32_t)m->bytes.len}};
	struct message wrong = {
		.type = MESSAGE_RELAY_DATA, .relay_data = {p->numbers[to] + 4, m->bytes}};
	bool now = ++p->pieces == FAULTY_PIECE;
	uint8_t copy[RELAY_DATA_MAX];

	memcpy(copy, m->bytes.data, m->bytes.len);
	if (now && p->fault == FAULT_FLIP)
		copy[m->bytes.len / 2] ^= 1;
	if (now && p->fault == FAULT_SWAP) {
		memcpy(p->kept, copy, m->bytes.len);
		p->kept_len = m->bytes.len;
	} else if (!(now && p->fault == FAULT_DROP)) {
		puppet_data(p, to, copy, m->bytes.len);
	}
	if (now && p->fault == FAULT_REPEAT)
		puppet_data(p, to, copy, m->bytes.len);
	if (p->pieces == FAULTY_PIECE + 1 && p->fault == FAULT_SWAP)
		puppet_data(p, to, p->kept, p->kept_len);
	if (now && p->fault == FAULT_NUMBER)
		puppet_say(p, p->ends[to], &wrong);
	if (now && p->fault == FAULT_CREDIT)
		credit.relay_credit.bytes = RELAY_WINDOW;
	puppet_say(p, p->ends[1 - to], &credit);
}

static bool holds(struct span in, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i + n <= in.len; i++) {
		if (memcmp(in.data + i, text, n) == 0)
			return true;
	}
	return false;
}

static void puppet_hear(struct puppet *p, conn_id conn, const struct message *m)
{
	struct message answer = {
		.type = MESSAGE_RELAY_RESERVED, .relay_reserved = {RELAY_OK, 3600, 1u << 27}};

	switch (m->type) {
	case MESSAGE_RELAY_RESERVE:
		puppet_say(p, conn, &answer);
		break;
	case MESSAGE_RELAY_OPEN:
		puppet_open(p, conn, &m->relay_open);
		break;
	case MESSAGE_RELAY_OPENED:
		answer = (struct message){.type = MESSAGE_RELAY_OPENED,
			.relay_opened = {p->numbers[0], m->relay_opened.status}};
		puppet_say(p, p->ends[0], &answer);
		if (p->fault == FAULT_OPENED)
			puppet_say(p, p->ends[0], &answer);
		break;
	case MESSAGE_RELAY_DATA:
		p->saw_secret = p->saw_secret || holds(m->relay_data.bytes, secret);
		puppet_pass(p, conn == p->ends[0] ? 1 : 0, &m->relay_data);
		break;
	case MESSAGE_RELAY_CLOSE:
		answer = (struct message){.type = MESSAGE_RELAY_CLOSE,
			.relay_close = {p->numbers[conn == p->ends[0]], RELAY_GONE}};
		puppet_say(p, p->ends[conn == p->ends[0]], &answer);
		break;
	default:
		break;
	}
}

/* Lets time pass, while the puppet does its part. */
static void play(struct puppet *p, uint64_t ms)
{
	for (uint64_t at = 0; at < ms; at += 5) {
		internet_pass(p->net, 5);
		while (p->next < p->net->hosts[RELAY].seen.count) {
			struct node_effect e = p->net->hosts[RELAY].seen.items[p->next++];

			for (size_t i = 0; e.type == NODE_UP && i < p->net->host_count; i++) {
				if (key_equal(&e.key, internet_key(p->net, i)))
					p->conns[i] = e.conn;
			}
			if (e.type == NODE_MESSAGE)
				puppet_hear(p, e.conn, &e.message);
		}
	}
}

/* Everybody behind symmetric routers, so that nothing but the relay leads from one to another. */
static void world_open(struct internet *net, struct puppet *p, enum fault fault, uint64_t seed)
{
	const struct public_key *network;

	internet_open(net, seed);
	*p = (struct puppet){.net = net, .fault = fault};
	internet_add(net, ROLE_COORDINATOR, NULL, NAT_KIND_NONE, false);
	network = internet_key(net, COORDINATOR);
	internet_add(net, ROLE_PEER, network, NAT_KIND_NONE, true);
	for (size_t i = ONE; i <= OTHER; i++)
		internet_add(net, ROLE_PEER, network, NAT_KIND_SYMMETRIC, false);
	for (size_t i = ONE; i <= OTHER; i++) {
		internet_dial(net, i, COORDINATOR);
		internet_dial(net, i, RELAY);
	}
	play(p, 30000);
	for (size_t i = ONE; i <= OTHER; i++)
		assert_int_equal(internet_record(net, i)->relay_count, 1);
}

static struct message numbered(uint64_t n)
{
	struct message m = {.type = MESSAGE_ABANDON};

	store_le64(m.abandon.nonce.b, n);
	snprintf(m.abandon.text, sizeof(m.abandon.text), "%s", secret);
	return m;
}

/* What arrived at TWO: the first messages, none missing. Returns how many. */
static uint64_t assert_in_order(const struct internet *net)
{
	const struct node_effects *seen = &net->hosts[TWO].seen;
	uint64_t count = 0;

	for (size_t i = 0; i < seen->count; i++) {
		if (seen->items[i].type == NODE_MESSAGE &&
			seen->items[i].message.type == MESSAGE_ABANDON)
			assert_int_equal(
				load_le64(seen->items[i].message.abandon.nonce.b), ++count);
	}
	return count;
}

/* The sessions with the coordinator, which have nothing to do with the relay. */
static void assert_others_unharmed(const struct internet *net)
{
	for (size_t i = ONE; i <= OTHER; i++) {
		const struct node_effect *up = NULL;

		for (size_t k = 0; k < net->hosts[i].seen.count && up == NULL; k++) {
			const struct node_effect *e = &net->hosts[i].seen.items[k];

			if (e->type == NODE_UP && e->role == ROLE_COORDINATOR)
				up = e;
		}
		assert_non_null(up);
		assert_int_equal(internet_count(net, i, NODE_DOWN, up->conn), 0);
	}
}

/* Every UP that an application heard has at most one DOWN, and none comes without. */
static void assert_ups_and_downs(const struct internet *net, size_t host)
{
	const struct node_effects *seen = &net->hosts[host].seen;

	for (size_t i = 0; i < seen->count; i++) {
		const struct node_effect *e = &seen->items[i];

		if (e->type == NODE_UP)
			assert_int_equal(internet_count(net, host, NODE_UP, e->conn), 1);
		if (e->type != NODE_DOWN)
			continue;
		assert_int_equal(internet_count(net, host, NODE_DOWN, e->conn), 1);
		assert_int_equal(internet_count(net, host, NODE_UP, e->conn), 1);
	}
}

static void a_relay_that_behaves_carries_everything_and_sees_nothing(void **state)
{
	struct internet net;
	struct puppet p;
	conn_id conn;

	(void)state;
	world_open(&net, &p, FAULT_NONE, 1);
	conn = internet_connect(&net, ONE, internet_record(&net, TWO));
	play(&p, 2000);
	assert_int_equal(internet_count(&net, ONE, NODE_UP, conn), 1);
	assert_true(ways_is_relayed(net.hosts[ONE].ways, conn));
	for (uint64_t i = 1; i <= 100; i++) {
		struct message m = numbered(i);

		assert_int_equal(internet_send(&net, ONE, conn, &m), TK_OK);
		play(&p, 10);
	}
	play(&p, 500);
	assert_int_equal(assert_in_order(&net), 100);
	assert_false(p.saw_secret);
	internet_drop(&net, ONE, conn);
	play(&p, 500);
	assert_ups_and_downs(&net, ONE);
	assert_ups_and_downs(&net, TWO);
	assert_int_equal(internet_count(&net, ONE, NODE_DOWN, conn), 1);
	internet_close(&net);
}

static void whatever_a_relay_does_wrong_ends_its_circuit_and_harms_nobody(void **state)
{
	(void)state;
	for (enum fault fault = FAULT_DROP; fault < FAULTS; fault++) {
		struct internet net;
		struct puppet p;
		uint64_t count;
		conn_id conn;

		world_open(&net, &p, fault, 1);
		conn = internet_connect(&net, ONE, internet_record(&net, TWO));
		play(&p, 1000);
		for (uint64_t i = 1; i <= 100; i++) {
			struct message m = numbered(i);

			(void)!internet_send(&net, ONE, conn, &m);
			play(&p, 10);
		}
		play(&p, 45000);
		count = assert_in_order(&net);
		assert_true(count < 100);
		assert_int_equal(internet_count(&net, ONE, NODE_UP, conn) +
					 internet_count(&net, ONE, NODE_UNREACHABLE, conn),
			1);
		assert_int_equal(internet_count(&net, ONE, NODE_DOWN, conn),
			internet_count(&net, ONE, NODE_UP, conn));
		assert_others_unharmed(&net);
		for (size_t i = ONE; i <= OTHER; i++)
			assert_ups_and_downs(&net, i);
		internet_close(&net);
	}
}

static void a_relay_that_sends_calls_of_nobody_costs_little(void **state)
{
	struct message in = {.type = MESSAGE_RELAY_INCOMING};
	struct internet net;
	struct puppet p;
	size_t refused = 0;

	(void)state;
	world_open(&net, &p, FAULT_NONE, 1);
	for (uint32_t i = 0; i < 500; i++) {
		in.relay_incoming.circuit = 3 + 4 * i;
		store_le64(in.relay_incoming.from.b, i);
		puppet_say(&p, p.conns[TWO], &in);
		internet_pass(&net, 10);
	}
	internet_pass(&net, 500);
	for (size_t i = 0; i < net.hosts[RELAY].seen.count; i++) {
		const struct node_effect *e = &net.hosts[RELAY].seen.items[i];

		/* for want of a place, or because too many come through this relay */
		refused += e->type == NODE_MESSAGE &&
			   ((e->message.type == MESSAGE_RELAY_OPENED &&
				    e->message.relay_opened.status == RELAY_FULL) ||
				   e->message.type == MESSAGE_RELAY_CLOSE);
	}
	assert_true(refused >= 500 - CIRCUITS_MAX);
	internet_pass(&net, 20000); /* the handshakes that never came are given up */
	assert_others_unharmed(&net);
	assert_int_equal(node_session_count(net.hosts[TWO].node), 2);
	internet_close(&net);
}

/* A real relay; one of two ends reads nothing for a while. */
static void a_slow_end_holds_up_its_own_circuit_alone(void **state)
{
	static uint8_t data[60000];
	struct message big = {.type = MESSAGE_UPLOAD, .upload = {.bytes = span_of(data, 60000)}};
	const struct public_key *network;
	struct internet net;
	conn_id slow, quick, carrier = 0;
	size_t sent = 0, got = 0;

	(void)state;
	internet_open(&net, 3);
	internet_add(&net, ROLE_COORDINATOR, NULL, NAT_KIND_NONE, false);
	network = internet_key(&net, COORDINATOR);
	internet_add(&net, ROLE_PEER, network, NAT_KIND_NONE, false);
	for (size_t i = ONE; i <= OTHER; i++)
		internet_add(&net, ROLE_PEER, network, NAT_KIND_SYMMETRIC, false);
	for (size_t i = RELAY; i <= OTHER; i++)
		internet_dial(&net, i, COORDINATOR);
	internet_pass(&net, 5000);
	for (size_t i = ONE; i <= OTHER; i++)
		internet_dial(&net, i, RELAY);
	internet_pass(&net, 20000);
	slow = internet_connect(&net, ONE, internet_record(&net, TWO));
	quick = internet_connect(&net, ONE, internet_record(&net, OTHER));
	internet_pass(&net, 30000);
	assert_true(ways_is_relayed(net.hosts[ONE].ways, slow));
	assert_true(ways_is_relayed(net.hosts[ONE].ways, quick));
	for (size_t i = 0; i < net.hosts[RELAY].seen.count; i++) {
		const struct node_effect *e = &net.hosts[RELAY].seen.items[i];

		if (e->type == NODE_UP && key_equal(&e->key, internet_key(&net, TWO)))
			carrier = e->conn;
	}
	net.hosts[TWO].stalled = true;
	for (size_t i = 0; i < 200; i++) {
		if (ways_waiting(net.hosts[ONE].ways, slow) <= NODE_OUTPUT_LOW) {
			assert_int_equal(internet_send(&net, ONE, slow, &big), TK_OK);
			sent++;
		}
		assert_int_equal(internet_send(&net, ONE, quick, &big), TK_OK);
		internet_pass(&net, 30);
		assert_true(node_waiting(net.hosts[RELAY].node, carrier) <=
			    NODE_OUTPUT_LOW + RELAY_WINDOW + RELAY_WINDOW / 8);
	}
	assert_true(sent < 20);
	assert_true(ways_waiting(net.hosts[ONE].ways, quick) <= NODE_OUTPUT_LOW);
	net.hosts[TWO].stalled = false;
	for (size_t i = 0; i < 100; i++) {
		if (ways_waiting(net.hosts[ONE].ways, slow) <= NODE_OUTPUT_LOW) {
			assert_int_equal(internet_send(&net, ONE, slow, &big), TK_OK);
			sent++;
		}
		internet_pass(&net, 100);
	}
	internet_pass(&net, 5000);
	for (size_t i = 0; i < net.hosts[TWO].seen.count; i++)
		got += net.hosts[TWO].seen.items[i].type == NODE_MESSAGE;
	assert_int_equal(got, sent);
	assert_true(sent > 60);
	internet_close(&net);
}

/* Each allocation of the peers fails once: whatever ends then, ends with a word, and the next try works. */
static void every_allocation_that_fails_leaves_ways_that_work(void **state)
{
	uint64_t last = UINT64_MAX;

	(void)state;
	for (uint64_t n = 1; n < last; n += 1 + n / 24) {
		struct internet net;
		struct puppet p;
		conn_id conn;

		world_open(&net, &p, FAULT_NONE, 1);
		mem_fail(n, 0);
		conn = internet_try(&net, ONE, internet_record(&net, TWO));
		play(&p, 3000);
		for (uint64_t i = 1; i <= 5 && conn != 0; i++) {
			struct message m = numbered(i);

			(void)!internet_send(&net, ONE, conn, &m);
			play(&p, 10);
		}
		mem_fail(0, 0);
		play(&p, 60000);
		for (size_t i = ONE; i <= OTHER; i++)
			assert_ups_and_downs(&net, i);
		internet_close(&net);
		if (n > 3000)
			last = n;
	}
}

#define CLAIM(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_relay_that_behaves_carries_everything_and_sees_nothing),
		CLAIM(whatever_a_relay_does_wrong_ends_its_circuit_and_harms_nobody),
		CLAIM(a_relay_that_sends_calls_of_nobody_costs_little),
		CLAIM(a_slow_end_holds_up_its_own_circuit_alone),
		CLAIM(every_allocation_that_fails_leaves_ways_that_work),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
