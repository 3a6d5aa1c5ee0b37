/* Whole nodes that look after themselves: what they spare slow readers, whom they take for a contact, and how they
 * find out that their neighbours show them old beacons. See tests/overlay/node_town.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/overlay/gossip_state.h"
#include "peer/overlay/node_overlay.h"
#include "tests/overlay/node_town.h"

/* A neighbour of `node` with a session, its number at `node`. */
static conn_id neighbour_session(struct net *net, size_t node, size_t *neighbour)
{
	const struct overlay *o = net->nodes[node].node->overlay;
	peer_ref active[GOSSIP_ACTIVE_MAX];

	assert_true(gossip_active(o->core, active) != 0);
	for (size_t i = 1; i <= PEERS; i++) {
		if (directory_find(o->directory, &net->nodes[i].id.key.public) == active[0])
			*neighbour = i;
	}
	return o->conns[active[0]];
}

static size_t waiting(const struct net *net, size_t node, conn_id conn)
{
	return node_waiting(net->nodes[node].node, conn);
}

/* What the application has for it fills the way to a neighbour that reads nothing. */
static void fill(struct net *net, conn_id conn, size_t node, size_t bytes)
{
	static uint8_t data[60000];
	struct message m = {.type = MESSAGE_UPLOAD, .upload = {.bytes = span_of(data, 60000)}};

	while (waiting(net, node, conn) <= bytes)
		assert_int_equal(net_send(net, conn, &m), TK_OK);
}

/* Says each kind of gossip to the neighbour as the core would, and gives which went on its way. */
static unsigned went_out(
	struct net *net, size_t node, conn_id conn, const uint8_t *types, size_t count)
{
	struct overlay *o = net->nodes[node].node->overlay;
	struct node_event wake = {.type = NODE_WAKE};
	peer_ref peer = directory_find(
		o->directory, &connections_find(&net->nodes[node].node->table, conn)->key);
	unsigned went = 0;

	for (size_t i = 0; i < count; i++) {
		size_t before = waiting(net, node, conn);
		struct gossip_effect *e;

		assert_int_equal(o->pending.count, 0);
		assert_true(o->pending.capacity != 0);
		e = &o->pending.items[o->pending.count++];
		*e = (struct gossip_effect){.type = GOSSIP_SEND, .peer = peer};
		e->message.type = types[i];
		e->message.about = DIRECTORY_SELF;
		e->message.count = types[i] == MESSAGE_IHAVE;
		e->message.refs[0] = 1; /* the first announcement */
		(void)!net_step(net, node, &wake);
		went |= (unsigned)(waiting(net, node, conn) > before) << i;
	}
	return went;
}

static void slow_reader_is_spared_what_matters_least_and_the_log_says_so(void **state)
{
	static const uint8_t types[] = {
		MESSAGE_SHUFFLE, MESSAGE_IHAVE, MESSAGE_HEADS, MESSAGE_DISCONNECT};
	struct net *net = *state;
	size_t other = 0;
	conn_id conn;

	assert_int_equal(publish(net, ROOT, ANNOUNCE_ROUND, 1, span_text("x")), TK_OK);
	net_pass(net, 1000);
	conn = neighbour_session(net, 3, &other);
	assert_int_equal(went_out(net, 3, conn, types, 3), 7);
	net_run(net);
	net_wire_of(net, conn)->stalled = true;
	fill(net, conn, 3, NODE_OUTPUT_LOW);
	assert_int_equal(went_out(net, 3, conn, types, 3), 6);
	fill(net, conn, 3, 4 * NODE_OUTPUT_LOW);
	assert_int_equal(went_out(net, 3, conn, types, 3), 4);
	fill(net, conn, 3, 16 * NODE_OUTPUT_LOW);
	assert_int_equal(went_out(net, 3, conn, types, 4), 8);
	assert_true(logged(net, 3, "not sent, as their readers are slow"));
}

static unsigned contacts_of(const struct net *net, size_t node)
{
	const struct gossip *g = net->nodes[node].node->overlay->core;
	unsigned count = 0;

	for (unsigned i = 0; i < g->passive_count; i++)
		count += g->passive[i].contact;
	return count;
}

/* A contact is never displaced, so whoever the swarm dials for a blob must not become one. */
static void whom_the_application_dials_is_a_contact_only_to_who_has_nobody(void **state)
{
	struct net *net = *state;
	size_t lonely = net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);

	assert_int_equal(contacts_of(net, 3), 1); /* the coordinator */
	for (size_t i = 4; i <= 12; i++) {
		net_dial(net, 3, i, NULL);
		net_run(net);
	}
	net_pass(net, 5000);
	assert_int_equal(contacts_of(net, 3), 1);
	net_gossip(net, lonely);
	net_dial(net, lonely, 5, NULL);
	net_run(net);
	assert_int_equal(contacts_of(net, lonely), 1);
}

/* A beacon that the root signed so long ago, as BROADCAST; bytes holds it. */
static struct message old_beacon(const struct net *net, uint64_t age_s, struct bytes *bytes)
{
	const uint64_t second = 1800000000u + net->now_ms / 1000 - age_s;
	struct message m = {.type = MESSAGE_BROADCAST, .broadcast = {.hops = 2}};
	struct announcement a = {.kind = ANNOUNCE_BEACON, .sequence = second, .issued_s = second};
	struct beacon b = {0};
	struct bytes payload = {0};

	assert_int_equal(beacon_encode(&b, &payload), TK_OK);
	a.payload = bytes_span(&payload);
	assert_int_equal(announcement_encode(&a, bytes), TK_OK);
	bytes_close(&payload);
	m.broadcast.body = bytes_span(bytes);
	announcement_sign(&m.broadcast.signature, &net->nodes[ROOT].id.key, m.broadcast.body);
	return m;
}

static size_t disconnects(const struct net *net, size_t node)
{
	size_t count = 0;

	for (size_t i = 0; i < net->nodes[node].seen.count; i++)
		count += net->nodes[node].seen.items[i].type == NODE_MESSAGE &&
			 net->nodes[node].seen.items[i].message.type == MESSAGE_DISCONNECT;
	return count;
}

/* Its only neighbour takes part in nothing and shows it beacons of nine minutes ago, signed as they are. */
static void who_is_fed_old_beacons_hears_so_from_the_coordinator(void **state)
{
	struct message yes = {.type = MESSAGE_NEIGHBOR_REPLY, .neighbor_reply = {.accepted = true}};
	struct net *net = *state;
	const struct public_key *network = &net->nodes[ROOT].id.key.public;
	size_t fooled = net_add(net, ROLE_PEER, network);
	size_t liar = net_add(net, ROLE_PEER, network);
	struct bytes now = {0}, old = {0};
	struct message fresh = old_beacon(net, 0, &now);
	struct node_event event = {.type = NODE_PUBLISH, .bytes = fresh.broadcast.body};
	struct message m = old_beacon(net, 540, &old);
	conn_id conn;

	event.signature = &fresh.broadcast.signature;
	assert_int_equal(net_step(net, ROOT, &event), TK_OK);
	net_gossip(net, fooled);
	conn = net_dial(net, fooled, liar, NULL);
	net_run(net);
	assert_int_equal(net_send(net, conn + 1, &yes), TK_OK);
	assert_int_equal(net_send(net, conn + 1, &m), TK_OK);
	net_run(net);
	assert_int_equal(node_neighbour_count(net->nodes[fooled].node), 1);
	assert_int_equal(net_count(net, fooled, NODE_ANNOUNCED, 0), 1);
	net_dial(net, fooled, ROOT, network);
	net_run(net);
	assert_true(logged(net, fooled, "a beacon that is 540 s newer"));
	assert_int_equal(net_count(net, fooled, NODE_ISOLATED, 0), 1); /* its shell looks around */
	assert_int_equal(disconnects(net, liar), 0);
	net_pass(net, 80000);
	assert_true(disconnects(net, liar) != 0);
	bytes_close(&now);
	bytes_close(&old);
}

/* When even the root says nothing newer, that is asked rarely. */
static void an_old_beacon_makes_a_node_ask_a_host_rarely(void **state)
{
	struct net *net = *state;
	struct bytes old = {0};
	struct message m = old_beacon(net, 400, &old);
	struct node_event event = {.type = NODE_PUBLISH, .bytes = m.broadcast.body};
	const struct overlay *o = net->nodes[3].node->overlay;
	uint64_t asked;

	event.signature = &m.broadcast.signature;
	net_pass(net, 5000);
	assert_int_equal(o->ask_ms, 0);
	assert_int_equal(net_step(net, ROOT, &event), TK_OK);
	net_pass(net, 5000);
	asked = o->ask_ms;
	assert_in_range(asked, net->now_ms + 470000, net->now_ms + 720000);
	net_pass(net, asked - net->now_ms - 2000);
	assert_int_equal(o->ask_ms, asked);
	net_pass(net, 5000);
	assert_true(o->ask_ms > asked);
	bytes_close(&old);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
	const struct CMUnitTest tests[] = {
		TEST(slow_reader_is_spared_what_matters_least_and_the_log_says_so),
		TEST(whom_the_application_dials_is_a_contact_only_to_who_has_nobody),
		TEST(who_is_fed_old_beacons_hears_so_from_the_coordinator),
		TEST(an_old_beacon_makes_a_node_ask_a_host_rarely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
