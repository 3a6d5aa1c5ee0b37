/* What one peer says to part honest ones from each other, or to make a node deaf: whole nodes, wired together in
 * memory under virtual time, and one attacker among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "peer/overlay/node_overlay.h"
#include "tests/lib/net.h"

#define PEERS	 24u
#define ROOT	 0u
#define ATTACKER PEERS
#define START_S	 1800000000u

/* Honest clocks are within 12 s of the right time. */
static int open_bench(void **state)
{
	struct net *net = calloc(1, sizeof(*net));
	const struct public_key *network;

	if (net == NULL || crypto_start() != TK_OK)
		return -1;
	net_open(net, 7);
	net_add(net, ROLE_COORDINATOR, NULL);
	network = &net->nodes[ROOT].id.key.public;
	for (size_t i = 1; i <= PEERS; i++) {
		net_add(net, ROLE_PEER, network);
		net->nodes[i].skew_s = i != ATTACKER ? (int64_t)(i * 7 % 25) - 12 : 0;
	}
	for (size_t i = 0; i <= PEERS; i++) {
		net_gossip(net, i);
		net_advertise(net, i);
	}
	for (size_t i = 1; i <= PEERS; i++) {
		net_dial(net, i, ROOT, network);
		net_run(net);
	}
	net_pass(net, 20000);
	*state = net;
	return 0;
}

static int close_bench(void **state)
{
	net_close(*state);
	free(*state);
	return 0;
}

/* The attacker's session with a node; 0: there is none. */
static conn_id session_with(struct net *net, size_t node)
{
	for (size_t i = 0; i < net->wire_count; i++) {
		const struct net_wire *w = &net->wires[i];

		for (size_t end = 0; end < 2; end++)
			if (w->ends[end].node == ATTACKER && w->ends[1 - end].node == node &&
				!w->ends[end].closed)
				return 2 * i + 1 + end;
	}
	return 0;
}

/* Tells all whom it has a session with of a peer that does not exist, whose record expires so late. */
static void tell_of_nobody(struct net *net, uint32_t number, uint64_t expiry_s)
{
	struct message m = {.type = MESSAGE_FORWARD_JOIN, .forward_join.ttl = 6};
	struct record r = {.sequence = 1, .expiry_s = expiry_s};
	struct bytes encoded = {0};
	uint8_t seed[32] = {77};
	struct key_pair pair;

	store_le32(seed + 4, number);
	key_from_seed(&pair, seed);
	r.key = pair.public;
	assert_int_equal(
		record_encode(&r, &pair, &net->nodes[ROOT].id.key.public, &encoded), TK_OK);
	m.forward_join.record = bytes_span(&encoded);
	for (size_t i = 0; i < ATTACKER; i++) {
		conn_id conn = session_with(net, i);

		if (conn != 0)
			(void)!net_send(net, conn, &m);
	}
	net_run(net);
	bytes_close(&encoded);
}

/* How many sessions ended for such a record, with the attacker or between honest nodes. */
static size_t parted(struct net *net, bool attacker)
{
	size_t count = 0;

	for (size_t i = 0; i < ATTACKER; i++) {
		const struct node_effects *seen = &net->nodes[i].seen;

		for (size_t k = 0; k < seen->count; k++) {
			const struct node_effect *e = &seen->items[k];
			const struct net_wire *w;

			if (e->type != NODE_DOWN || strstr(e->text, "absurdly") == NULL)
				continue;
			w = net_wire_of(net, e->conn);
			count += attacker ==
				 (w->ends[0].node == ATTACKER || w->ends[1].node == ATTACKER);
		}
	}
	return count;
}

/* By some clocks such a record is absurd and by others not quite: whoever keeps it must not be taken for its
 * author by whom he tells. */
static void record_at_the_edge_of_what_is_absurd_parts_no_honest_nodes(void **state)
{
	struct net *net = *state;
	uint32_t number = 0;

	for (int64_t late = -14; late <= 14; late++) {
		uint64_t now_s = START_S + net->now_ms / 1000;

		tell_of_nobody(net, number++, now_s + RECORD_KEPT_AHEAD_S + (uint64_t)late);
		net_pass(net, 1000);
		tell_of_nobody(net, number++, now_s + RECORD_AHEAD_MAX_S + (uint64_t)late);
		net_pass(net, 1000);
	}
	assert_int_equal(parted(net, false), 0);
	assert_true(parted(net, true) != 0);
}

static void announce(
	struct net *net, enum announcement_kind kind, uint8_t subject, struct span payload)
{
	struct announcement a = {.kind = kind, .sequence = START_S + net->now_ms / 1000};
	struct node_event event = {.type = NODE_PUBLISH};
	struct signature signature;
	struct bytes encoded = {0};

	memset(a.subject.b, subject, sizeof(a.subject.b));
	a.issued_s = a.sequence;
	a.payload = payload;
	assert_int_equal(announcement_encode(&a, &encoded), TK_OK);
	announcement_sign(&signature, &net->nodes[ROOT].id.key, bytes_span(&encoded));
	event.bytes = bytes_span(&encoded);
	event.signature = &signature;
	assert_int_equal(net_step(net, ROOT, &event), TK_OK);
	net_run(net);
	bytes_close(&encoded);
}

static void announce_projects(struct net *net, uint8_t count)
{
	for (uint8_t i = 1; i <= count; i++) {
		announce(net, ANNOUNCE_MANIFEST, i, span_text("x"));
		announce(net, ANNOUNCE_ROUND, i, span_text("x"));
	}
}

/* The newest of projects that do not exist. */
static void tell_invented_heads(struct net *net, conn_id conn, uint8_t number)
{
	struct message m = {.type = MESSAGE_HEADS, .heads.count = GOSSIP_TOPICS_MAX};

	for (uint32_t i = 0; i < GOSSIP_TOPICS_MAX; i++) {
		struct topic_head *h = &m.heads.heads[i];

		*h = (struct topic_head){.kind = ANNOUNCE_ROUND, .sequence = UINT64_MAX};
		memset(h->subject.b, 0xc0, sizeof(h->subject.b));
		h->subject.b[0] = number;
		h->subject.b[1] = (uint8_t)i;
	}
	(void)!net_send(net, conn, &m);
	net_run(net);
}

/* A stranger speaks to it before anybody else, and does not stop. */
static void invented_topics_keep_no_latecomer_from_hearing_real_ones(void **state)
{
	struct net *net = *state;
	size_t late = net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);
	conn_id conn;

	announce_projects(net, 3);
	net_pass(net, 60000);
	net_gossip(net, late);
	net_advertise(net, late);
	conn = net_dial(net, ATTACKER, late, NULL);
	net_run(net);
	for (uint8_t i = 0; i < 20; i++)
		tell_invented_heads(net, conn, i);
	net_dial(net, late, ROOT, NULL);
	for (uint8_t i = 20; i < 30; i++) {
		net_pass(net, 1000);
		tell_invented_heads(net, conn, i);
	}
	assert_int_equal(net_count(net, late, NODE_ANNOUNCED, 0), 6);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_bench, close_bench)
	const struct CMUnitTest tests[] = {
		TEST(record_at_the_edge_of_what_is_absurd_parts_no_honest_nodes),
		TEST(invented_topics_keep_no_latecomer_from_hearing_real_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
