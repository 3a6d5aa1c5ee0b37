/* Gossip through whole nodes, with real handshakes and signatures, wired together in memory under virtual
 * time: a coordinator and peers that know nobody but it. */
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
#include "tests/lib/net.h"

#define PEERS 24u
#define ROOT  0u

static int bench_open(void **state)
{
	struct net *net = calloc(1, sizeof(*net));
	const struct public_key *network;

	if (net == NULL || crypto_start() != TK_OK)
		return -1;
	net_open(net, 7);
	net_add(net, ROLE_COORDINATOR, NULL);
	network = &net->nodes[ROOT].id.key.public;
	for (size_t i = 1; i <= PEERS; i++)
		net_add(net, ROLE_PEER, network);
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

static int bench_close(void **state)
{
	net_close(*state);
	free(*state);
	return 0;
}

static int publish(struct net *net, size_t node, enum announcement_kind kind, uint64_t sequence,
	struct span payload)
{
	const struct announcement a = {.kind = kind,
		.sequence = sequence,
		.issued_s = 1800000000u + net->now_ms / 1000,
		.payload = payload};
	struct node_event event = {.type = NODE_PUBLISH};
	struct signature signature;
	struct bytes encoded = {0};
	int rc;

	assert_int_equal(announcement_encode(&a, &encoded), TK_OK);
	announcement_sign(&signature, &net->nodes[node].id.key, bytes_span(&encoded));
	event.bytes = bytes_span(&encoded);
	event.signature = &signature;
	rc = net_step(net, node, &event);
	bytes_close(&encoded);
	net_run(net);
	return rc;
}

static size_t heard(const struct net *net, size_t times)
{
	size_t count = 0;

	for (size_t i = 1; i <= PEERS; i++)
		count += !net->nodes[i].dead && net_count(net, i, NODE_ANNOUNCED, 0) == times;
	return count;
}

static void peers_that_know_only_the_coordinator_find_each_other(void **state)
{
	struct net *net = *state;

	for (size_t i = 1; i <= PEERS; i++) {
		assert_in_range(node_neighbour_count(net->nodes[i].node), 2, GOSSIP_ACTIVE_MAX);
		assert_true(net_count(net, i, NODE_UP, 0) >= 2);
	}
}

static void announcement_reaches_everybody_once(void **state)
{
	struct net *net = *state;

	for (uint64_t sequence = 1; sequence <= 5; sequence++) {
		assert_int_equal(
			publish(net, ROOT, ANNOUNCE_ROUND, sequence, span_text("x")), TK_OK);
		net_pass(net, 2000);
		assert_int_equal(heard(net, sequence), PEERS);
	}
}

static void peer_cannot_announce_anything(void **state)
{
	struct net *net = *state;

	assert_int_equal(publish(net, 3, ANNOUNCE_ROUND, 1, span_text("x")), TK_EAUTH);
	net_pass(net, 2000);
	assert_int_equal(heard(net, 0), PEERS);
}

/* A session that a peer has with another, or 0. */
static conn_id session_between(struct net *net, size_t a, size_t b)
{
	for (size_t i = 0; i < net->wire_count; i++) {
		struct net_wire *w = &net->wires[i];

		for (int end = 0; end < 2; end++)
			if (w->ends[end].node == a && w->ends[1 - end].node == b &&
				!w->ends[end].closed)
				return 2 * i + 1 + (conn_id)end;
	}
	return 0;
}

static void forged_announcement_ends_the_session_at_the_first_honest_node(void **state)
{
	struct message m = {.type = MESSAGE_BROADCAST};
	const struct announcement a = {.kind = ANNOUNCE_ROUND, .sequence = 9};
	struct net *net = *state;
	struct bytes encoded = {0};
	conn_id conn = 0;
	size_t to = 0;

	for (size_t i = 2; i <= PEERS && conn == 0; i++) {
		conn = session_between(net, 1, i);
		to = i;
	}
	assert_int_not_equal(conn, 0);
	assert_int_equal(announcement_encode(&a, &encoded), TK_OK);
	m.broadcast.body = bytes_span(&encoded);
	assert_int_equal(net_send(net, conn, &m), TK_OK);
	net_run(net);
	assert_int_equal(net_count(net, to, NODE_DOWN, ((conn - 1) ^ 1) + 1), 1);
	net_pass(net, 2000);
	assert_int_equal(heard(net, 0), PEERS);
	bytes_close(&encoded);
}

static void latecomer_gets_the_newest_of_each_topic(void **state)
{
	struct net *net = *state;
	size_t late = net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);

	assert_int_equal(publish(net, ROOT, ANNOUNCE_ROUND, 1, span_text("x")), TK_OK);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_ROUND, 2, span_text("x")), TK_OK);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_MANIFEST, 1, span_text("x")), TK_OK);
	net_pass(net, 5000);
	net_gossip(net, late);
	net_advertise(net, late);
	net_dial(net, late, ROOT, NULL);
	net_pass(net, 10000);
	assert_int_equal(net_count(net, late, NODE_ANNOUNCED, 0), 2);
}

static void news_goes_on_when_half_of_the_peers_die_and_the_root_is_asked_by_nobody(void **state)
{
	struct net *net = *state;

	assert_int_equal(publish(net, ROOT, ANNOUNCE_ROUND, 1, span_text("x")), TK_OK);
	net_pass(net, 3000);
	for (size_t i = 1; i <= PEERS; i += 2)
		net_kill(net, i);
	net_pass(net, 60000); /* silence is noticed, neighbours are replaced */
	assert_int_equal(publish(net, ROOT, ANNOUNCE_ROUND, 2, span_text("x")), TK_OK);
	net_pass(net, 5000);
	assert_int_equal(heard(net, 2), PEERS / 2);
}

static void revoked_identity_loses_its_sessions_with_all_peers(void **state)
{
	struct revocations r = {.count = 1};
	struct net *net = *state;
	struct bytes payload = {0};

	r.keys[0] = net->nodes[5].id.key.public;
	assert_int_equal(revocations_encode(&r, &payload), TK_OK);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_REVOKE, 1, bytes_span(&payload)), TK_OK);
	net_pass(net, 2000);
	/* the coordinator's own session is for the coordinator to end */
	assert_int_equal(node_session_count(net->nodes[5].node), 1);
	assert_int_not_equal(session_between(net, 5, ROOT), 0);
	bytes_close(&payload);
}

static struct bytes signed_record(
	const struct net *net, const struct record *r, const struct key_pair *pair)
{
	struct bytes encoded = {0};

	assert_int_equal(record_encode(r, pair, &net->nodes[ROOT].id.key.public, &encoded), TK_OK);
	return encoded;
}

static void record_that_never_expires_ends_the_session_of_who_sends_it(void **state)
{
	struct record r = {.sequence = 1, .expiry_s = UINT64_MAX - 5};
	struct message m = {.type = MESSAGE_NEIGHBOR};
	struct net *net = *state;
	size_t stranger = net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);
	conn_id conn = net_dial(net, stranger, 4, NULL);
	struct bytes encoded;

	net_run(net);
	r.key = net->nodes[stranger].id.key.public;
	encoded = signed_record(net, &r, &net->nodes[stranger].id.key);
	m.neighbor.record = bytes_span(&encoded);
	assert_int_equal(net_send(net, conn, &m), TK_OK);
	net_run(net);
	assert_int_equal(net_count(net, 4, NODE_DOWN, conn + 1), 1);
	bytes_close(&encoded);
}

/* Each costs us a verification and its teller nothing; what began them has expired, so that gossip itself
 * never hears of them. */
static void flood_of_peers_nobody_knows_ends_the_session(void **state)
{
	struct record r = {.sequence = 1, .expiry_s = 1800000000u - 86400};
	struct message m = {.type = MESSAGE_SHUFFLE, .shuffle.count = 1};
	struct net *net = *state;
	size_t stranger = net_add(net, ROLE_PEER, &net->nodes[ROOT].id.key.public);
	conn_id conn = net_dial(net, stranger, 4, NULL);
	struct bytes origin, told;
	uint8_t seed[32] = {77};

	net_run(net);
	r.key = net->nodes[stranger].id.key.public;
	origin = signed_record(net, &r, &net->nodes[stranger].id.key);
	m.shuffle.origin = bytes_span(&origin);
	r.expiry_s = 1800000000u + 3600;
	for (uint32_t i = 0; i < 1500 && net_count(net, 4, NODE_DOWN, conn + 1) == 0; i++) {
		struct key_pair pair;

		store_le32(seed + 4, i);
		key_from_seed(&pair, seed);
		r.key = pair.public;
		told = signed_record(net, &r, &pair);
		m.shuffle.records[0] = bytes_span(&told);
		(void)!net_send(net, conn, &m);
		net_run(net);
		bytes_close(&told);
	}
	assert_int_equal(net_count(net, 4, NODE_DOWN, conn + 1), 1);
	bytes_close(&origin);
}

/* The coordinator keeps the newest session of an identity: one of gossip's would end the application's. */
static void gossip_leaves_the_coordinator_for_the_application_to_dial(void **state)
{
	struct net *net = *state;
	conn_id conn = session_between(net, 3, ROOT);

	assert_int_not_equal(conn, 0);
	assert_int_equal(net_drop(net, conn, GOODBYE_SHUTDOWN, "test"), TK_OK);
	for (size_t i = 1; i <= PEERS; i++)
		if (i != 3)
			net_kill(net, i); /* nobody else is left */
	for (int i = 0; i < 40; i++) {
		net_pass(net, 10000);
		assert_int_equal(session_between(net, 3, ROOT), 0);
	}
	assert_true(net_count(net, 3, NODE_ISOLATED, 0) != 0); /* it is told to dial */
}

static void silence_of_the_root_is_noticed(void **state)
{
	struct net *net = *state;
	struct beacon b = {0};
	struct bytes payload = {0};

	assert_int_equal(beacon_encode(&b, &payload), TK_OK);
	assert_int_equal(publish(net, ROOT, ANNOUNCE_BEACON, 1, bytes_span(&payload)), TK_OK);
	net_pass(net, 25000);
	for (size_t i = 1; i <= PEERS; i++)
		assert_int_equal(net_count(net, i, NODE_ISOLATED, 0), 0);
	net_kill(net, ROOT);
	net_pass(net, 150000);
	for (size_t i = 1; i <= PEERS; i++)
		assert_true(net_count(net, i, NODE_ISOLATED, 0) >= 1);
	bytes_close(&payload);
}

static bool logged(const struct net *net, size_t node, const char *text)
{
	for (size_t i = 0; i < net->nodes[node].seen.count; i++) {
		if (net->nodes[node].seen.items[i].type == NODE_LOG &&
			strstr(net->nodes[node].seen.items[i].text, text) != NULL)
			return true;
	}
	return false;
}

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
		TEST(peers_that_know_only_the_coordinator_find_each_other),
		TEST(announcement_reaches_everybody_once),
		TEST(peer_cannot_announce_anything),
		TEST(forged_announcement_ends_the_session_at_the_first_honest_node),
		TEST(latecomer_gets_the_newest_of_each_topic),
		TEST(news_goes_on_when_half_of_the_peers_die_and_the_root_is_asked_by_nobody),
		TEST(revoked_identity_loses_its_sessions_with_all_peers),
		TEST(record_that_never_expires_ends_the_session_of_who_sends_it),
		TEST(flood_of_peers_nobody_knows_ends_the_session),
		TEST(gossip_leaves_the_coordinator_for_the_application_to_dial),
		TEST(silence_of_the_root_is_noticed),
		TEST(slow_reader_is_spared_what_matters_least_and_the_log_says_so),
		TEST(whom_the_application_dials_is_a_contact_only_to_who_has_nobody),
		TEST(who_is_fed_old_beacons_hears_so_from_the_coordinator),
		TEST(an_old_beacon_makes_a_node_ask_a_host_rarely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
