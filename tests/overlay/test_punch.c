/* Which pairs of hosts connect how, through simulated routers; see tests/lib/internet.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/internet.h"

enum { COORDINATOR, RELAY, ONE, TWO };

/* A coordinator, a public peer that relays, and two peers behind what the test says. */
static void world_open(struct internet *net, enum nat_kind one, enum nat_kind two, uint64_t seed)
{
	const struct public_key *network;

	internet_open(net, seed);
	internet_add(net, ROLE_COORDINATOR, NULL, NAT_KIND_NONE, false);
	network = internet_key(net, COORDINATOR);
	internet_add(net, ROLE_PEER, network, NAT_KIND_NONE, false);
	internet_add(net, ROLE_PEER, network, one, false);
	internet_add(net, ROLE_PEER, network, two, false);
	for (size_t i = RELAY; i <= TWO; i++)
		internet_dial(net, i, COORDINATOR);
	internet_pass(net, 5000);
	internet_dial(net, ONE, RELAY);
	internet_dial(net, TWO, RELAY);
	internet_pass(net, 20000);
}

static struct message numbered(uint64_t n)
{
	struct message m = {.type = MESSAGE_UPLOADED};

	store_le64(m.uploaded.nonce.b, n);
	return m;
}

/* The number of each host for the session between the two; false: there is none. */
static bool session_between(struct internet *net, conn_id dialled, conn_id *other)
{
	const struct node_effect *up = internet_last(net, ONE, NODE_UP, dialled);
	const struct node_effects *seen = &net->hosts[TWO].seen;

	*other = 0;
	for (size_t i = 0; i < seen->count; i++) {
		if (seen->items[i].type == NODE_UP &&
			key_equal(&seen->items[i].key, internet_key(net, ONE)))
			*other = seen->items[i].conn;
	}
	return up != NULL && key_equal(&up->key, internet_key(net, TWO)) && *other != 0;
}

static const char *way_of(struct internet *net, conn_id dialled)
{
	struct ways_stats stats;
	conn_id other;

	ways_stats(net->hosts[ONE].ways, &stats);
	if (!session_between(net, dialled, &other))
		return "none";
	if (ways_is_relayed(net->hosts[ONE].ways, dialled))
		return "relayed";
	return stats.punched == 0 ? "direct" : "punched";
}

struct pair {
	enum nat_kind one, two;
	const char *way;
};

static void every_pair_of_routers_connects_in_the_best_way_there_is(void **state)
{
	static const char *const names[NAT_KINDS] = {"public", "full cone", "port restricted",
		"symmetric", "address restricted", "firewalled"};
	static const char *const expected[NAT_KINDS][NAT_KINDS] = {
		{"direct", "direct", "punched", "punched", "punched", "punched"},
		{"direct", "direct", "punched", "punched", "punched", "punched"},
		{"direct", "direct", "punched", "relayed", "punched", "punched"},
		{"direct", "direct", "relayed", "relayed", "punched", "relayed"},
		{"direct", "direct", "punched", "punched", "punched", "punched"},
		{"direct", "direct", "punched", "relayed", "punched", "punched"},
	};

	(void)state;
	for (enum nat_kind one = 0; one < NAT_KINDS; one++) {
		for (enum nat_kind two = 0; two < NAT_KINDS; two++) {
			struct internet net;
			conn_id conn;
			const char *way;

			world_open(&net, one, two, 7);
			conn = internet_connect(&net, ONE, internet_record(&net, TWO));
			internet_pass(&net, 40000);
			way = way_of(&net, conn);
			print_message("# %-15s -> %-15s %s\n", names[one], names[two], way);
			if (strcmp(way, expected[one][two]) != 0)
				fail_msg("%s to %s: %s, not %s", names[one], names[two], way,
					expected[one][two]);
			internet_close(&net);
		}
	}
}

/* Sends a numbered message each way every few milliseconds, all the while the session moves. */
static void no_message_is_lost_or_overtaken_when_a_punch_replaces_the_relay(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct internet net;
		conn_id ends[2];
		uint64_t sent[2] = {0, 0}, seen[2] = {0, 0};
		size_t hosts[2] = {ONE, TWO};

		world_open(&net, NAT_KIND_PORT_RESTRICTED, NAT_KIND_PORT_RESTRICTED, seed);
		ends[0] = internet_connect(&net, ONE, internet_record(&net, TWO));
		while (!session_between(&net, ends[0], &ends[1]))
			internet_pass(&net, 5);
		assert_true(ways_is_relayed(net.hosts[ONE].ways, ends[0]));
		assert_true(ways_is_relayed(net.hosts[TWO].ways, ends[1]));
		for (size_t round = 0; round < 2000; round++) {
			for (size_t i = 0; i < 2; i++) {
				struct message m = numbered(++sent[i]);

				assert_int_equal(internet_send(&net, hosts[i], ends[i], &m), TK_OK);
			}
			internet_pass(&net, 1 + seed);
		}
		internet_pass(&net, 5000);
		assert_false(ways_is_relayed(net.hosts[ONE].ways, ends[0]));
		assert_false(ways_is_relayed(net.hosts[TWO].ways, ends[1]));
		for (size_t i = 0; i < 2; i++) {
			const struct node_effects *all = &net.hosts[hosts[i]].seen;

			for (size_t k = 0; k < all->count; k++) {
				if (all->items[k].type != NODE_MESSAGE ||
					all->items[k].conn != ends[i])
					continue;
				assert_int_equal(load_le64(all->items[k].message.uploaded.nonce.b),
					++seen[i]);
			}
			assert_int_equal(seen[i], sent[1 - i]);
			assert_int_equal(internet_count(&net, hosts[i], NODE_DOWN, ends[i]), 0);
			assert_int_equal(internet_count(&net, hosts[i], NODE_UP, ends[i]), 1);
		}
		internet_close(&net);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair_of_routers_connects_in_the_best_way_there_is),
		cmocka_unit_test(no_message_is_lost_or_overtaken_when_a_punch_replaces_the_relay),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
