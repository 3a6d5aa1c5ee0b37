/* Where others can make a node dial, and how often; see targets.h and tests/lib/internet.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/overlay/ways_state.h"
#include "tests/lib/internet.h"

static const struct public_key nobody;

static struct endpoint at(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_from_text(&e, text), TK_OK);
	return e;
}

static void a_host_is_dialled_so_often_whatever_its_ports(void **state)
{
	static struct targets t;
	struct endpoint victim = at("198.51.100.7:1024");
	struct endpoint other = at("198.51.100.8:1024");
	uint32_t dials = 0;

	(void)state;
	memset(&t, 0, sizeof(t));
	for (uint64_t ms = 0; ms < 60000; ms += 20) {
		victim.port++;
		dials += targets_take_record(&t, ms, &victim, &nobody);
	}
	assert_int_equal(dials, TARGETS_BURST + 60000 / TARGETS_DIAL_MS - 1);
	assert_int_equal(t.held_back, 3000 - dials);
	assert_true(targets_take_record(&t, 60000, &other, &nobody));
}

static void a_grid_on_one_machine_or_in_one_house_is_not_counted(void **state)
{
	static struct targets t;
	struct endpoint here = at("127.0.0.1:1024");
	struct endpoint near = at("192.168.1.2:1024");

	(void)state;
	memset(&t, 0, sizeof(t));
	for (uint32_t i = 0; i < 1000; i++) {
		assert_true(targets_take_record(&t, 0, &here, &nobody));
		assert_true(targets_take_record(&t, 0, &near, &nobody));
	}
}

static void an_address_that_failed_is_left_alone_longer_each_time(void **state)
{
	static struct targets t;
	struct endpoint bad = at("198.51.100.7:7332");
	struct endpoint good = at("198.51.100.7:7333");
	uint64_t now_ms = 1000, wait_ms = TARGETS_WAIT_MS;

	(void)state;
	memset(&t, 0, sizeof(t));
	for (uint32_t i = 0; i < 10; i++) {
		targets_failed(&t, now_ms, &bad);
		assert_false(targets_take_record(&t, now_ms + wait_ms - 1, &bad, &nobody));
		assert_true(targets_take(&t, now_ms + wait_ms - 1, &bad)); /* a punch */
		assert_true(targets_take_record(&t, now_ms + wait_ms - 1, &good, &nobody));
		now_ms += wait_ms;
		assert_true(targets_take_record(&t, now_ms, &bad, &nobody));
		wait_ms = wait_ms * 2 < TARGETS_WAIT_MAX_MS ? wait_ms * 2 : TARGETS_WAIT_MAX_MS;
		now_ms += 60000;
	}
	targets_good(&t, now_ms, &bad, &nobody);
	targets_failed(&t, now_ms, &bad);
	assert_true(targets_take_record(&t, now_ms + TARGETS_WAIT_MS, &bad, &nobody));
}

static void more_hosts_than_can_be_watched_give_nobody_a_fresh_start(void **state)
{
	static struct targets t;
	struct endpoint victim = at("198.51.100.7:7332");
	struct endpoint many = at("203.0.0.1:7332");
	uint32_t dials = 0;

	(void)state;
	memset(&t, 0, sizeof(t));
	for (uint32_t round = 0; round < 100; round++) {
		while (targets_take(&t, 0, &victim))
			dials++;
		for (uint32_t i = 0; i < 2 * TARGETS_MAX; i++) {
			many.ip[2] = (uint8_t)(round % 2);
			many.ip[3] = (uint8_t)i;
			(void)targets_take(&t, 0, &many);
		}
	}
	assert_true(dials <= TARGETS_BURST + 100);
}

static void peer_that_was_found_is_looked_for_whatever_is_said_of_its_host(void **state)
{
	static struct targets t;
	struct endpoint home = at("198.51.100.7:7332");
	struct public_key peer = {{1}}, liar = {{2}};

	(void)state;
	memset(&t, 0, sizeof(t));
	targets_good(&t, 0, &home, &peer);
	while (targets_take_record(&t, 1000, &home, &liar))
		;
	assert_true(targets_take_record(&t, 1000, &home, &peer));
	targets_failed(&t, 1000, &home);
	assert_false(targets_take_record(&t, 1000, &home, &peer)); /* it is away */
}

enum { COORDINATOR, PEER, ONE, TWO, OTHER };

static uint32_t dials_to(const struct internet *net, size_t host, const struct endpoint *victim)
{
	const struct node_effects *seen = &net->hosts[host].seen;
	uint32_t count = 0;

	for (size_t i = 0; i < seen->count; i++)
		count += seen->items[i].type == NODE_TRY &&
			 memcmp(seen->items[i].at.ip, victim->ip, 16) == 0;
	return count;
}

static bool has_logged(const struct internet *net, size_t host, const char *text)
{
	const struct node_effects *seen = &net->hosts[host].seen;

	for (size_t i = 0; i < seen->count; i++) {
		if (seen->items[i].type == NODE_LOG && strstr(seen->items[i].text, text) != NULL)
			return true;
	}
	return false;
}

static void world_open(struct internet *net)
{
	const struct public_key *network;

	internet_open(net, 1);
	internet_add(net, ROLE_COORDINATOR, NULL, NAT_KIND_NONE, false);
	network = internet_key(net, COORDINATOR);
	internet_add(net, ROLE_PEER, network, NAT_KIND_NONE, false);
	internet_dial(net, PEER, COORDINATOR);
	internet_pass(net, 3000);
}

static void a_thousand_records_that_name_one_victim_are_no_flood(void **state)
{
	struct endpoint victim = at("192.0.2.1:5000");
	struct record r = {.endpoint_count = 2, .relay_count = 1};
	struct internet net;

	(void)state;
	world_open(&net);
	r.endpoints[0] = r.endpoints[1] = r.relays[0].at = victim;
	for (uint32_t i = 0; i < 1000; i++) {
		store_le64(r.key.b, i);
		r.endpoints[0].port++;
		r.endpoints[1].port--;
		r.relays[0].key.b[0]++;
		(void)internet_try(&net, PEER, &r);
		internet_pass(&net, 60);
	}
	assert_in_range(dials_to(&net, PEER, &victim), TARGETS_BURST,
		TARGETS_BURST + 61000 / TARGETS_DIAL_MS + 1);
	assert_true(has_logged(&net, PEER, "dials were held back"));
	internet_close(&net);
}

/* A stranger's record may say anything, but a node of the internet does not dial into its own house for him. */
static void records_lead_to_no_service_and_into_no_private_network(void **state)
{
	static const char *const bad[] = {"192.0.2.1:22", "192.0.2.1:443", "127.0.0.1:7332",
		"[::1]:7332", "169.254.1.1:7332", "192.168.1.1:7332", "10.0.0.1:7332",
		"100.64.0.1:7332", "[fe80::1]:7332", "[fc00::1]:7332"};
	struct record r = {.endpoint_count = 1, .relay_count = 1};
	struct internet net;

	(void)state;
	world_open(&net);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r.endpoints[0] = r.relays[0].at = at(bad[i]);
		r.key.b[0] = r.relays[0].key.b[1] = (uint8_t)(i + 1);
		(void)internet_try(&net, PEER, &r);
		internet_pass(&net, 40000);
		assert_int_equal(dials_to(&net, PEER, &r.endpoints[0]), 0);
	}
	internet_close(&net);
}

/* Liars say that they live where ONE does. PEER finds ONE there before and after, and not the liars. */
static void false_records_keep_nobody_from_whoever_lives_there(void **state)
{
	struct internet net;
	struct record r, liar = {.endpoint_count = 1};
	conn_id conn;

	(void)state;
	world_open(&net);
	internet_add(&net, ROLE_PEER, internet_key(&net, COORDINATOR), NAT_KIND_NONE, false);
	internet_dial(&net, ONE, COORDINATOR);
	internet_pass(&net, 30000);
	r = *internet_record(&net, ONE);
	assert_true(r.endpoint_count != 0);
	conn = internet_connect(&net, PEER, &r);
	internet_pass(&net, 1000);
	assert_int_equal(internet_count(&net, PEER, NODE_UP, conn), 1);
	internet_drop(&net, PEER, conn);
	liar.endpoints[0] = r.endpoints[0];
	for (uint32_t i = 0; i < 100; i++) {
		store_le64(liar.key.b, i);
		(void)internet_try(&net, PEER, &liar);
		internet_pass(&net, 50);
	}
	conn = internet_connect(&net, PEER, &r);
	internet_pass(&net, 1000);
	assert_int_equal(internet_count(&net, PEER, NODE_UP, conn), 1);
	internet_close(&net);
}

/* TWO says that it comes from OTHER's host (as its relay has told it), and never dials. OTHER means us well, and gets in with its second
 * connection. */
static void who_names_anothers_host_in_a_punch_holds_it_off_once(void **state)
{
	const struct public_key *network;
	struct internet net;
	struct endpoint named;
	struct way *way;
	conn_id first, second;

	(void)state;
	world_open(&net);
	network = internet_key(&net, COORDINATOR);
	internet_add(&net, ROLE_PEER, network, NAT_KIND_NONE, false);
	internet_add(&net, ROLE_PEER, network, NAT_KIND_SYMMETRIC, false);
	internet_add(&net, ROLE_PEER, network, NAT_KIND_NONE, false);
	internet_dial(&net, ONE, COORDINATOR);
	internet_dial(&net, TWO, COORDINATOR);
	internet_pass(&net, 1000);
	internet_dial(&net, ONE, PEER);
	named = net.hosts[OTHER].outside;
	named.port = HOST_PORT;
	internet_pass(&net, 1000);
	net.hosts[PEER].lie = &named;
	internet_dial(&net, TWO, PEER);
	internet_pass(&net, 20000);
	net.hosts[PEER].lie = NULL;
	internet_connect(&net, ONE, internet_record(&net, TWO));
	while ((way = net.hosts[ONE].ways->first) == NULL || way->punch.state != PUNCH_WAITING)
		internet_pass(&net, 1);
	net.hosts[TWO].dead = true;
	first = internet_dial(&net, OTHER, ONE);
	internet_pass(&net, 200);
	second = internet_dial(&net, OTHER, ONE);
	internet_pass(&net, 1000);
	assert_int_equal(internet_count(&net, OTHER, NODE_UP, first), 0);
	assert_int_equal(internet_count(&net, OTHER, NODE_UP, second), 1);
	internet_close(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_is_dialled_so_often_whatever_its_ports),
		cmocka_unit_test(a_grid_on_one_machine_or_in_one_house_is_not_counted),
		cmocka_unit_test(an_address_that_failed_is_left_alone_longer_each_time),
		cmocka_unit_test(more_hosts_than_can_be_watched_give_nobody_a_fresh_start),
		cmocka_unit_test(peer_that_was_found_is_looked_for_whatever_is_said_of_its_host),
		cmocka_unit_test(false_records_keep_nobody_from_whoever_lives_there),
		cmocka_unit_test(a_thousand_records_that_name_one_victim_are_no_flood),
		cmocka_unit_test(records_lead_to_no_service_and_into_no_private_network),
		cmocka_unit_test(who_names_anothers_host_in_a_punch_holds_it_off_once),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
