/* Hosts of the link: which peers the owner's command chooses, how it says why they are fewer, and what becomes of their
 * certificates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/hosts.h"
#include "peer/wire/identity.h"

#define NOW_S 1800000000u
#define DAY_S (24u * 3600)

struct bench {
	char home[64];
	struct store *store;
	struct key_pair root;
	struct hosts_choice choice;
	bool world; /* the link is */
	char lacking[TEXT_MAX];
};

static int begin(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	uint8_t seed[32] = {2};

	*state = b;
	if (b == NULL || crypto_start() != TK_OK)
		return -1;
	strcpy(b->home, "/tmp/talkoot-hosts-XXXXXX");
	key_from_seed(&b->root, seed);
	return mkdtemp(b->home) != NULL && store_open(&b->store, b->home, true, NULL) == TK_OK ? 0
											       : -1;
}

static int end(void **state)
{
	struct bench *b = *state;
	char command[128];

	store_close(b->store);
	snprintf(command, sizeof(command), "rm -rf '%s'", b->home);
	free(b);
	return system(command);
}

/* Peer number n, known for the longer the smaller its number, with so many valid results. */
static struct peer_row add_peer(struct bench *b, uint8_t n, uint64_t valid)
{
	struct peer_row p = {.valid = valid, .first_seen_s = NOW_S - 100 * DAY_S + n * DAY_S};

	memset(p.key.b, n, KEY_BYTES);
	assert_int_equal(store_save_peer(b->store, &p, NULL), TK_OK);
	return p;
}

static void add_place(struct bench *b, uint8_t n, const char *address, uint64_t seen_s)
{
	struct place_row p = {.seen_s = seen_s};

	memset(p.key.b, n, KEY_BYTES);
	snprintf(p.address, sizeof(p.address), "%s", address);
	assert_int_equal(store_save_place(b->store, &p, NULL), TK_OK);
}

/* The numbers of those who are chosen, like "2 5 ". */
static const char *choose(struct bench *b, uint32_t wanted, uint64_t now_s)
{
	static char numbers[64];
	size_t used = 0;

	assert_int_equal(
		hosts_choose(&b->choice, b->store, wanted, b->world, &b->root, now_s, NULL), TK_OK);
	hosts_lacking(&b->choice, wanted, b->lacking);
	numbers[0] = '\0';
	for (uint32_t i = 0; i < b->choice.count; i++)
		used += (size_t)snprintf(
			numbers + used, sizeof(numbers) - used, "%u ", b->choice.hosts[i].key.b[0]);
	return numbers;
}

static void those_known_longest_with_results_that_strangers_reach(void **state)
{
	struct bench *b = *state;
	struct peer_row retired;

	add_peer(b, 9, 5);
	add_peer(b, 3, 1);
	add_peer(b, 2, 0); /* no results */
	add_peer(b, 5, 7); /* reached by nobody */
	add_peer(b, 6, 2); /* long gone */
	add_peer(b, 4, 2); /* 3's prefix */
	retired = add_peer(b, 1, 3);
	retired.retired = true;
	assert_int_equal(store_save_peer(b->store, &retired, NULL), TK_OK);
	add_place(b, 9, "192.0.2.9:7331", NOW_S - 60);
	add_place(b, 3, "198.51.100.3:7331", NOW_S - PLACE_FRESH_S);
	add_place(b, 4, "198.51.100.4:7331", NOW_S);
	add_place(b, 2, "203.0.113.2:7331", NOW_S);
	add_place(b, 1, "[2001:db8::1]:7331", NOW_S);
	add_place(b, 6, "203.0.114.6:7331", NOW_S - PLACE_FRESH_S - 1);
	assert_string_equal(choose(b, 5, NOW_S), "3 9 ");
	assert_string_equal(b->choice.hosts[0].address, "198.51.100.3:7331");
	assert_string_equal(b->lacking,
		"2 of 5 hosts: 5 peers have accepted results; of them: 1 cannot be dialled by "
		"strangers, or do not want to be hosts, 1 were not here for three days, 1 share "
		"another "
		"host's address prefix");
	assert_string_equal(choose(b, 1, NOW_S), "3 ");
	assert_string_equal(b->lacking, "");
}

static void peers_of_one_house_are_not_counted_by_prefix(void **state)
{
	struct bench *b = *state;

	add_peer(b, 1, 1);
	add_peer(b, 2, 1);
	add_place(b, 1, "127.0.0.1:2001", NOW_S);
	add_place(b, 2, "127.0.0.1:2002", NOW_S);
	assert_string_equal(choose(b, 7, NOW_S), "1 2 ");
}

static void a_link_for_the_world_names_nobody_whom_only_his_house_reaches(void **state)
{
	struct bench *b = *state;

	b->world = true;
	add_peer(b, 2, 5);
	add_peer(b, 3, 5);
	add_peer(b, 4, 5);
	add_place(b, 2, "127.0.0.1:7331", NOW_S);
	add_place(b, 3, "192.168.1.3:7331", NOW_S);
	add_place(b, 4, "198.51.100.4:7331", NOW_S);
	assert_string_equal(choose(b, 3, NOW_S), "4 ");
	assert_non_null(strstr(b->lacking, "2 can be dialled from their own house alone"));
	b->world = false;
	assert_string_equal(choose(b, 3, NOW_S), "4 2 3 ");
}

static void hosts_of_earlier_links_come_first_with_the_address_of_now(void **state)
{
	struct host_row hosts[HOSTS_MAX];
	struct bench *b = *state;
	uint32_t count;

	add_peer(b, 5, 1);
	add_place(b, 5, "192.0.2.5:7331", NOW_S);
	assert_string_equal(choose(b, 1, NOW_S), "5 ");
	add_peer(b, 1, 1);
	add_place(b, 1, "198.51.100.1:7331", NOW_S);
	add_place(b, 5, "203.0.113.5:7000", NOW_S);
	assert_string_equal(choose(b, 1, NOW_S), "5 ");
	assert_string_equal(b->choice.hosts[0].address, "203.0.113.5:7000");
	assert_string_equal(choose(b, 2, NOW_S), "5 1 ");
	assert_int_equal(hosts_load(hosts, &count, b->store, NULL), TK_OK);
	assert_int_equal(count, 2);
	assert_string_equal(hosts[1].address, "203.0.113.5:7000");
}

static void the_root_signs_each_and_anew_when_half_its_time_is_over(void **state)
{
	struct bench *b = *state;
	struct certificate c;
	uint64_t first_s;

	add_peer(b, 1, 1);
	add_place(b, 1, "192.0.2.1:7331", NOW_S);
	choose(b, 1, NOW_S);
	c = (struct certificate){b->choice.hosts[0].expiry_s, b->choice.hosts[0].signature};
	first_s = c.expiry_s;
	assert_int_equal(first_s, NOW_S + HOST_LIFETIME_S);
	assert_int_equal(
		host_check(&c, &b->root.public, &b->choice.hosts[0].key, NOW_S, NULL), TK_OK);
	assert_false(host_is_due(&b->choice.hosts[0], NOW_S + HOST_LIFETIME_S / 2 - 1));
	assert_true(host_is_due(&b->choice.hosts[0], NOW_S + HOST_LIFETIME_S / 2));
	choose(b, 1, NOW_S + DAY_S);
	assert_int_equal(b->choice.hosts[0].expiry_s, first_s);
	add_place(b, 1, "192.0.2.1:7331", NOW_S + HOST_LIFETIME_S);
	choose(b, 1, NOW_S + HOST_LIFETIME_S);
	assert_int_equal(b->choice.hosts[0].expiry_s, NOW_S + 2 * HOST_LIFETIME_S);
}

static void who_was_removed_is_not_renewed(void **state)
{
	struct host_row hosts[HOSTS_MAX], fresh;
	struct bench *b = *state;
	uint32_t count;

	add_peer(b, 1, 1);
	add_place(b, 1, "192.0.2.1:7331", NOW_S);
	choose(b, 1, NOW_S);
	fresh = b->choice.hosts[0];
	host_renew(&fresh, &b->root, NOW_S + DAY_S);
	assert_int_equal(store_renew_host(b->store, &fresh, NULL), TK_OK);
	assert_int_equal(hosts_load(hosts, &count, b->store, NULL), TK_OK);
	assert_int_equal(count, 1);
	assert_int_equal(hosts[0].expiry_s, fresh.expiry_s);
	assert_memory_equal(hosts[0].signature.b, fresh.signature.b, SIGNATURE_BYTES);
	assert_int_equal(store_remove_host(b->store, &fresh.key, NULL), TK_OK);
	assert_int_equal(store_remove_host(b->store, &fresh.key, NULL), TK_OK);
	assert_int_equal(store_renew_host(b->store, &fresh, NULL), TK_OK);
	assert_int_equal(hosts_load(hosts, &count, b->store, NULL), TK_OK);
	assert_int_equal(count, 0);
}

static void a_host_whose_certificate_has_ended_makes_place(void **state)
{
	struct bench *b = *state;
	struct host_row rows[HOSTS_MAX];
	uint32_t count;

	add_peer(b, 1, 1);
	add_place(b, 1, "198.51.100.1:7331", NOW_S);
	assert_string_equal(choose(b, 1, NOW_S), "1 ");
	assert_string_equal(choose(b, 1, NOW_S + HOST_LIFETIME_S), ""); /* it was gone for long */
	assert_int_equal(hosts_load(rows, &count, b->store, NULL), TK_OK);
	assert_int_equal(count, 1);
	assert_string_equal(choose(b, 1, NOW_S + HOST_LIFETIME_S + 1), "");
	assert_int_equal(hosts_load(rows, &count, b->store, NULL), TK_OK);
	assert_int_equal(count, 0);
}

static void no_more_hosts_are_named_than_a_network_may_have(void **state)
{
	struct bench *b = *state;
	char address[ENDPOINT_TEXT_MAX];

	for (uint8_t n = 1; n <= HOSTS_MAX; n++) {
		struct host_row h = {.expiry_s = NOW_S};

		memset(h.key.b, n, KEY_BYTES);
		assert_int_equal(store_save_host(b->store, &h, NULL), TK_OK);
	}
	add_peer(b, 100, 1);
	snprintf(address, sizeof(address), "192.0.2.100:7331");
	add_place(b, 100, address, NOW_S);
	assert_string_equal(choose(b, 1, NOW_S), "");
	assert_string_equal(b->lacking, "0 of 1 hosts: 1 peers have accepted results; of them: 64 "
					"are hosts already, and more are not named");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(those_known_longest_with_results_that_strangers_reach),
		TEST(peers_of_one_house_are_not_counted_by_prefix),
		TEST(a_link_for_the_world_names_nobody_whom_only_his_house_reaches),
		TEST(hosts_of_earlier_links_come_first_with_the_address_of_now),
		TEST(the_root_signs_each_and_anew_when_half_its_time_is_over),
		TEST(who_was_removed_is_not_renewed),
		TEST(a_host_whose_certificate_has_ended_makes_place),
		TEST(no_more_hosts_are_named_than_a_network_may_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
