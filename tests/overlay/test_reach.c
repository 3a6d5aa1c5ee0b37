/* What nodes know of their own reachability and say about themselves; see tests/lib/internet.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/overlay/node_overlay.h"
#include "tasks/base/mem.h"
#include "tests/lib/internet.h"

enum { COORDINATOR, RELAY, PEER, OTHER };

/* The coordinator, a public peer and one behind what the test says, all in session. */
static void world_open(struct internet *net, enum nat_kind nat)
{
	const struct public_key *network;

	internet_open(net, 1);
	internet_add(net, ROLE_COORDINATOR, NULL, NAT_KIND_NONE, false);
	network = internet_key(net, COORDINATOR);
	internet_add(net, ROLE_PEER, network, NAT_KIND_NONE, false);
	internet_add(net, ROLE_PEER, network, nat, false);
	internet_dial(net, RELAY, COORDINATOR);
	internet_dial(net, PEER, COORDINATOR);
	internet_pass(net, 3000);
	internet_dial(net, PEER, RELAY);
	internet_pass(net, 30000);
}

static enum reach_nat nat_of(const struct internet *net, size_t host)
{
	return reach_nat(ways_reach(net->hosts[host].ways));
}

/* Where a record says that PEER's router, or PEER itself, can be dialled; NULL: nowhere. */
static const struct endpoint *outside_of(const struct internet *net, const struct record *r)
{
	for (uint32_t k = 0; k < r->endpoint_count; k++) {
		if (memcmp(r->endpoints[k].ip, net->hosts[PEER].outside.ip, 16) == 0)
			return &r->endpoints[k];
	}
	return NULL;
}

static void whoever_can_be_dialled_says_so_and_where(void **state)
{
	struct internet net;
	struct record r;

	(void)state;
	world_open(&net, NAT_KIND_NONE);
	r = *internet_record(&net, PEER);
	assert_int_equal(r.flags, RECORD_PUBLIC | RECORD_RELAY);
	assert_int_equal(r.relay_count, 0);
	assert_non_null(outside_of(&net, &r));
	internet_close(&net);
}

/* Whoever dials back was called from our port before, and so is let in by both of these routers: it cannot
 * know whether a stranger would be. */
static void behind_a_router_that_lets_in_whom_we_called_a_relay_is_named_as_well(void **state)
{
	static const enum nat_kind kinds[] = {NAT_KIND_FULL_CONE, NAT_KIND_ADDRESS_RESTRICTED};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct internet net;
		struct record r;

		world_open(&net, kinds[i]);
		r = *internet_record(&net, PEER);
		assert_int_equal(r.flags, 0);
		assert_int_equal(r.relay_count, 1);
		assert_non_null(outside_of(&net, &r));
		internet_close(&net);
	}
}

static void a_port_that_a_router_was_asked_for_is_open_to_strangers(void **state)
{
	struct internet net;
	struct record r;

	(void)state;
	world_open(&net, NAT_KIND_FULL_CONE);
	r = *internet_record(&net, PEER);
	assert_int_equal(r.flags, 0);
	ways_mapped(net.hosts[PEER].ways, outside_of(&net, &r));
	internet_pass(&net, 30000);
	r = *internet_record(&net, PEER);
	assert_int_equal(r.flags, RECORD_PUBLIC | RECORD_RELAY);
	assert_int_equal(r.relay_count, 0);
	internet_close(&net);
}

static void whoever_cannot_be_dialled_names_its_relay_instead(void **state)
{
	static const enum nat_kind kinds[] = {
		NAT_KIND_PORT_RESTRICTED, NAT_KIND_SYMMETRIC, NAT_KIND_CLOSED};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct internet net;
		struct record r;

		world_open(&net, kinds[i]);
		r = *internet_record(&net, PEER);
		assert_int_equal(r.flags, 0);
		assert_int_equal(r.relay_count, 1);
		assert_true(key_equal(&r.relays[0].key, internet_key(&net, RELAY)));
		assert_int_equal(r.relays[0].at.port, HOST_PORT);
		internet_close(&net);
	}
}

/* Long after the same address was tried in vain. */
static void a_port_is_tested_as_soon_as_a_router_leads_it_here(void **state)
{
	struct internet net;
	struct endpoint at;
	struct record r;

	(void)state;
	world_open(&net, NAT_KIND_CLOSED);
	internet_pass(&net, 600000);
	at = net.hosts[PEER].outside;
	at.port = HOST_PORT;
	net.hosts[PEER].nat = NAT_KIND_NONE; /* what the router does for us */
	ways_mapped(net.hosts[PEER].ways, &at);
	internet_pass(&net, 30000);
	r = *internet_record(&net, PEER);
	assert_int_equal(r.flags, RECORD_PUBLIC | RECORD_RELAY);
	internet_close(&net);
}

static struct endpoint endpoint_at(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_from_text(&e, text), TK_OK);
	return e;
}

/* Two homes use the same private addresses, and a dial from the port on which we listen to that very port
 * would find ourselves. */
static void nobody_is_dialled_at_an_address_of_our_own(void **state)
{
	struct endpoint own = endpoint_at("10.7.7.11:7332");
	const struct reach *r;
	struct internet net;
	struct endpoint out;

	(void)state;
	world_open(&net, NAT_KIND_PORT_RESTRICTED);
	r = ways_reach(net.hosts[PEER].ways);
	out = net.hosts[PEER].outside;
	ways_listen(net.hosts[PEER].ways, 7332, &own, 1);
	assert_false(reach_may_dial(r, &own, &out, 1));
	own.port++;
	assert_true(reach_may_dial(r, &own, &out, 1)); /* another node of this very computer */
	internet_close(&net);
}

/* What a stranger tells is dialled in our own network only when he comes out of our own router. */
static void a_private_address_is_dialled_for_whom_our_own_router_hides(void **state)
{
	struct endpoint own = endpoint_at("10.7.7.11:7332");
	struct endpoint neighbour = endpoint_at("10.7.7.12:7332");
	struct endpoint farther = endpoint_at("10.7.8.12:7332");
	struct endpoint service = endpoint_at("10.7.7.12:80");
	struct endpoint named[2] = {endpoint_at("192.0.2.1:7332"), endpoint_at("192.0.2.2:7332")};
	const struct reach *r;
	struct internet net;

	(void)state;
	world_open(&net, NAT_KIND_PORT_RESTRICTED);
	r = ways_reach(net.hosts[PEER].ways);
	ways_listen(net.hosts[PEER].ways, 7332, &own, 1);
	assert_false(reach_may_dial(r, &neighbour, named, 2));
	assert_false(reach_may_dial(r, &neighbour, NULL, 0));
	named[1] = net.hosts[PEER].outside;
	named[1].port = 4711;
	assert_true(reach_may_dial(r, &neighbour, named, 2));
	assert_false(reach_may_dial(r, &farther, named, 2));
	assert_false(reach_may_dial(r, &service, named, 2));
	internet_close(&net);
}

/* Where nobody comes from farther away than a kind of address, those of that kind are where everybody lives. */
static void a_grid_in_one_house_or_on_one_computer_dials_its_own(void **state)
{
	struct endpoint loopback = endpoint_at("127.0.0.1:7332");
	struct endpoint farther = endpoint_at("192.168.9.9:7332");
	struct endpoint met = endpoint_at("192.168.1.2:7332");
	struct endpoint outer = endpoint_at("192.0.2.1:7332");
	const struct reach_port port = {NULL, NULL, NULL, NULL};
	struct reach_config config = {.coordinator = false};
	struct public_key key = {{1}};
	struct identity id = {.role = ROLE_PEER};
	struct reach *r;

	(void)state;
	config.id = &id;
	r = reach_new(&config, &port);
	assert_non_null(r);
	assert_int_equal(reach_up(r, 0, 1, &key, ROLE_PEER, &loopback, true, true), TK_OK);
	loopback.port++;
	assert_true(reach_may_dial(r, &loopback, NULL, 0));
	assert_int_equal(reach_up(r, 0, 2, &key, ROLE_PEER, &met, true, true), TK_OK);
	assert_false(reach_may_dial(r, &loopback, NULL, 0));
	assert_true(reach_may_dial(r, &farther, NULL, 0));
	assert_int_equal(reach_up(r, 0, 3, &key, ROLE_PEER, &outer, true, true), TK_OK);
	assert_false(reach_may_dial(r, &loopback, NULL, 0));
	assert_false(reach_may_dial(r, &farther, NULL, 0));
	assert_true(reach_may_dial(r, &outer, NULL, 0));
	outer.port = 443;
	assert_false(reach_may_dial(r, &outer, NULL, 0));
	reach_free(r);
}

static void two_observers_tell_what_kind_of_router_it_is(void **state)
{
	static const enum reach_nat expected[NAT_KINDS] = {NAT_NONE, NAT_INDEPENDENT,
		NAT_INDEPENDENT, NAT_DEPENDENT, NAT_INDEPENDENT, NAT_NONE};

	(void)state;
	for (enum nat_kind k = 0; k < NAT_KINDS; k++) {
		struct internet net;

		world_open(&net, k);
		assert_int_equal(nat_of(&net, PEER), expected[k]);
		internet_close(&net);
	}
}

/* The only relay there is goes away. */
static void the_coordinator_relays_when_nobody_else_does(void **state)
{
	struct internet net;
	struct record r;

	(void)state;
	world_open(&net, NAT_KIND_PORT_RESTRICTED);
	net.hosts[RELAY].dead = true;
	internet_pass(&net, 240000);
	r = *internet_record(&net, PEER);
	assert_int_equal(r.relay_count, 1);
	assert_true(key_equal(&r.relays[0].key, internet_key(&net, COORDINATOR)));
	internet_close(&net);
}

/* What others hold of a host: its record, signed and alive. */
static struct record heard_of(const struct internet *net, size_t by, size_t about)
{
	struct span records[16];
	size_t count = node_good_peers(net->hosts[by].node, records, 16);
	struct record r = {.flags = 0};

	while (count-- > 0) {
		assert_int_equal(record_decode(&r, records[count], internet_key(net, COORDINATOR),
					 1800000000u + net->now_ms / 1000, NULL),
			TK_OK);
		if (key_equal(&r.key, internet_key(net, about)))
			return r;
	}
	return (struct record){.flags = 0};
}

static void others_hear_what_it_says_and_hear_it_again_before_it_expires(void **state)
{
	struct internet net;
	struct record first, second;

	(void)state;
	internet_open(&net, 1);
	net.gossip = true;
	internet_add(&net, ROLE_COORDINATOR, NULL, NAT_KIND_NONE, false);
	internet_add(&net, ROLE_PEER, internet_key(&net, COORDINATOR), NAT_KIND_NONE, false);
	internet_add(
		&net, ROLE_PEER, internet_key(&net, COORDINATOR), NAT_KIND_PORT_RESTRICTED, false);
	internet_dial(&net, RELAY, COORDINATOR);
	internet_dial(&net, PEER, COORDINATOR);
	internet_pass(&net, 240000);
	first = heard_of(&net, COORDINATOR, RELAY);
	assert_int_equal(first.flags, RECORD_PUBLIC | RECORD_RELAY);
	assert_int_equal(first.endpoint_count, 1);
	internet_pass(&net, RECORD_LIFETIME_S * 1000ull);
	second = heard_of(&net, COORDINATOR, RELAY);
	assert_true(second.sequence > first.sequence && second.expiry_s > first.expiry_s);
	assert_int_equal(second.flags, first.flags);
	internet_close(&net);
}

/* The network that a peer counts for, as another's gossip sees it. */
static uint64_t counts_for(const struct internet *net, size_t by, size_t about)
{
	const struct overlay *o = net->hosts[by].node->overlay;
	peer_ref peer = directory_find(o->directory, internet_key(net, about));

	return peer != 0 ? directory_tables(o->directory)->peers[peer].prefix : 0;
}

/* Whoever is met through a relay is where that is, whatever its record says. */
static void quota_counts_whom_a_relay_carries_where_the_relay_is(void **state)
{
	struct internet net;
	const struct public_key *network;
	conn_id conn;

	(void)state;
	internet_open(&net, 1);
	net.gossip = true;
	internet_add(&net, ROLE_COORDINATOR, NULL, NAT_KIND_NONE, false);
	network = internet_key(&net, COORDINATOR);
	internet_add(&net, ROLE_PEER, network, NAT_KIND_NONE, false);
	internet_add(&net, ROLE_PEER, network, NAT_KIND_SYMMETRIC, false);
	internet_add(&net, ROLE_PEER, network, NAT_KIND_SYMMETRIC, false);
	for (size_t i = RELAY; i <= OTHER; i++)
		internet_dial(&net, i, COORDINATOR);
	internet_pass(&net, 3000);
	internet_dial(&net, PEER, RELAY);
	internet_dial(&net, OTHER, RELAY);
	internet_pass(&net, 30000);
	directory_prefix(net.hosts[PEER].node->overlay->directory,
		directory_find(net.hosts[PEER].node->overlay->directory, internet_key(&net, OTHER)),
		4711);
	assert_int_equal(counts_for(&net, PEER, OTHER), 4711); /* as if its record had said so */
	conn = internet_connect(&net, PEER, internet_record(&net, OTHER));
	internet_pass(&net, 10000);
	assert_true(ways_is_relayed(net.hosts[PEER].ways, conn));
	assert_int_equal(counts_for(&net, PEER, OTHER), endpoint_prefix(&net.hosts[RELAY].outside));
	internet_close(&net);
}

/* Dial-backs: a puppet asks the public peer. */
static const struct message_dialled_back *ask_dial_back(
	struct internet *net, conn_id conn, const struct endpoint *at)
{
	static uint64_t nonce;
	struct message m = {.type = MESSAGE_DIAL_BACK, .dial_back = {.nonce = ++nonce, .at = *at}};
	const struct node_effect *e;

	assert_int_equal(internet_send(net, OTHER, conn, &m), TK_OK);
	internet_pass(net, 12000);
	e = internet_last(net, OTHER, NODE_MESSAGE, conn);
	if (e == NULL || e->message.type != MESSAGE_DIALLED_BACK ||
		e->message.dialled_back.nonce != nonce)
		return NULL;
	return &e->message.dialled_back;
}

static void nobody_but_the_asker_is_ever_dialled_back(void **state)
{
	struct internet net;
	const struct message_dialled_back *m;
	struct endpoint at;
	conn_id conn;

	(void)state;
	world_open(&net, NAT_KIND_NONE);
	internet_add(&net, ROLE_PEER, internet_key(&net, COORDINATOR), NAT_KIND_NONE, true);
	conn = internet_dial(&net, OTHER, RELAY);
	internet_pass(&net, 1000);
	at = net.hosts[OTHER].outside;
	at.port = HOST_PORT;
	m = ask_dial_back(&net, conn, &at);
	assert_non_null(m);
	assert_true(m->reachable);
	at = net.hosts[PEER].outside; /* a third party */
	at.port = HOST_PORT;
	m = ask_dial_back(&net, conn, &at);
	assert_non_null(m);
	assert_false(m->reachable);
	at = net.hosts[OTHER].outside;
	at.port = 22;
	m = ask_dial_back(&net, conn, &at);
	assert_non_null(m);
	assert_false(m->reachable);
	assert_int_equal(internet_count(&net, RELAY, NODE_PROBE, 0), 1);
	internet_close(&net);
}

static void dial_backs_are_rare_however_often_they_are_asked_for(void **state)
{
	struct internet net;
	struct message m = {.type = MESSAGE_DIAL_BACK};
	conn_id conn;

	(void)state;
	world_open(&net, NAT_KIND_NONE);
	internet_add(&net, ROLE_PEER, internet_key(&net, COORDINATOR), NAT_KIND_NONE, true);
	conn = internet_dial(&net, OTHER, RELAY);
	internet_pass(&net, 1000);
	m.dial_back.at = net.hosts[OTHER].outside;
	m.dial_back.at.port = HOST_PORT;
	for (m.dial_back.nonce = 1; m.dial_back.nonce <= 300; m.dial_back.nonce++) {
		assert_int_equal(internet_send(&net, OTHER, conn, &m), TK_OK);
		internet_pass(&net, 200);
	}
	assert_true(internet_count(&net, RELAY, NODE_PROBE, 0) <=
		    REACH_PROBE_BURST + 60000 / REACH_PROBE_ASK_MS + 1);
	assert_true(internet_count(&net, OTHER, NODE_MESSAGE, conn) >= 300); /* each is answered */
	internet_close(&net);
}

/* A liar says that we come from a host of its choice, and that it reaches us there. */
static void one_liar_does_not_make_us_say_a_wrong_address(void **state)
{
	struct internet net;
	struct endpoint wrong = {.family = 4, .ip = {203, 0, 113, 9}, .port = 4444};
	struct message m = {.type = MESSAGE_DIALLED_BACK, .dialled_back = {.reachable = true}};
	struct record r;

	(void)state;
	world_open(&net, NAT_KIND_PORT_RESTRICTED);
	internet_add(&net, ROLE_PEER, internet_key(&net, COORDINATOR), NAT_KIND_NONE, true);
	net.hosts[OTHER].lie = &wrong;
	internet_dial(&net, PEER, OTHER);
	internet_pass(&net, 5000);
	for (size_t i = 0; i < net.hosts[OTHER].seen.count; i++) {
		const struct node_effect *e = &net.hosts[OTHER].seen.items[i];

		if (e->type != NODE_MESSAGE || e->message.type != MESSAGE_DIAL_BACK)
			continue;
		m.dialled_back.nonce = e->message.dial_back.nonce;
		(void)!internet_send(&net, OTHER, e->conn, &m);
	}
	internet_pass(&net, 60000);
	r = *internet_record(&net, PEER);
	assert_int_equal(r.flags, 0);
	for (uint32_t i = 0; i < r.endpoint_count; i++)
		assert_false(endpoint_equal(&r.endpoints[i], &wrong));
	internet_close(&net);
}

/* A new address: whoever was public is so again, at the new one, and soon. */
static void a_change_of_address_is_noticed(void **state)
{
	struct internet net;
	struct record r;

	(void)state;
	world_open(&net, NAT_KIND_NONE);
	net.hosts[PEER].outside.ip[1] = 99;
	net.hosts[PEER].inside = net.hosts[PEER].outside;
	net.hosts[PEER].inside.port = HOST_PORT;
	ways_listen(net.hosts[PEER].ways, HOST_PORT, &net.hosts[PEER].inside, 1);
	for (size_t i = 0; i < net.link_count; i++) {
		struct node_event lost = {.type = NODE_LOST, .text = "moved"};

		if (net.links[i].ends[0].host != PEER || net.links[i].ends[0].closed)
			continue;
		lost.conn = 2 * i + 1;
		net.links[i].ends[0].closed = true;
		(void)!internet_step(&net, PEER, &lost);
	}
	internet_dial(&net, PEER, COORDINATOR);
	internet_pass(&net, 30000);
	r = *internet_record(&net, PEER);
	assert_int_equal(r.flags & RECORD_PUBLIC, RECORD_PUBLIC);
	for (uint32_t i = 0; i < r.endpoint_count; i++)
		assert_int_equal(r.endpoints[i].ip[1], 99);
	internet_close(&net);
}

#define CLAIM(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(whoever_can_be_dialled_says_so_and_where),
		CLAIM(behind_a_router_that_lets_in_whom_we_called_a_relay_is_named_as_well),
		CLAIM(a_port_that_a_router_was_asked_for_is_open_to_strangers),
		CLAIM(a_port_is_tested_as_soon_as_a_router_leads_it_here),
		CLAIM(nobody_is_dialled_at_an_address_of_our_own),
		CLAIM(a_private_address_is_dialled_for_whom_our_own_router_hides),
		CLAIM(a_grid_in_one_house_or_on_one_computer_dials_its_own),
		CLAIM(quota_counts_whom_a_relay_carries_where_the_relay_is),
		CLAIM(whoever_cannot_be_dialled_names_its_relay_instead),
		CLAIM(two_observers_tell_what_kind_of_router_it_is),
		CLAIM(the_coordinator_relays_when_nobody_else_does),
		CLAIM(others_hear_what_it_says_and_hear_it_again_before_it_expires),
		CLAIM(nobody_but_the_asker_is_ever_dialled_back),
		CLAIM(dial_backs_are_rare_however_often_they_are_asked_for),
		CLAIM(one_liar_does_not_make_us_say_a_wrong_address),
		CLAIM(a_change_of_address_is_noticed),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
