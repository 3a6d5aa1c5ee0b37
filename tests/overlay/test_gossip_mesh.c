/* Hundreds of gossip cores together, under virtual time and from fixed seeds: they become one network, every
 * broadcast reaches all, and both stay so when nodes die, come in thousands, are cut off, or are hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "tests/lib/mesh.h"

#define NODES 500u

static int open_seed(void **state, uint64_t seed, uint32_t public_each)
{
	struct mesh *m = malloc(sizeof(*m));

	assert_non_null(m);
	mesh_init(m, seed, NODES, public_each, 3);
	m->punch_percent = 60;
	*state = m;
	return 0;
}

static int open_public(void **state)
{
	return open_seed(state, 1, 1);
}

static int open_mixed(void **state) /* one in five can be dialled by all */
{
	return open_seed(state, 2, 5);
}

static int close_mesh(void **state)
{
	mesh_close(*state);
	free(*state);
	return 0;
}

static void expect_quiet_links(struct mesh *m)
{
	mesh_run(m, 20000);
	for (unsigned i = 0; i < 20 && mesh_one_sided(m) != 0; i++)
		mesh_run(m, 500); /* somebody is just changing a neighbour */
	assert_int_equal(mesh_one_sided(m), 0);
	assert_int_equal(mesh_component(m), mesh_alive(m));
	assert_int_equal(m->accused, 0);
}

static unsigned log8_hops(uint32_t n, unsigned tenths, unsigned more)
{
	unsigned log2 = 0;

	while (n >> (log2 + 1) != 0)
		log2++;
	return tenths * log2 / 30 + more; /* log8 n = log2 n / 3, rounded down: the stricter side */
}

static void expect_tree(struct mesh *m)
{
	body_ref body = 0;

	for (unsigned i = 0; i < 6; i++) { /* the first ones form the tree */
		body = mesh_publish(m, 2);
		mesh_run(m, 5000);
		assert_int_equal(m->stats[body].reached, mesh_alive(m) - 1);
	}
	for (unsigned i = 0; i < 10; i++) {
		const struct mesh_body *b = &m->stats[body = mesh_publish(m, 2)];

		mesh_run(m, 5000);
		assert_int_equal(b->reached, mesh_alive(m) - 1);
		assert_true(b->copies - b->reached <= b->reached / 20);
		assert_true(mesh_hops(b, 990) <= log8_hops(mesh_alive(m), 15, 2));
		assert_true(mesh_hops(b, 1000) <= log8_hops(mesh_alive(m), 20, 3));
	}
}

static void all_who_start_at_once_become_one_network_with_symmetric_links(void **state)
{
	struct mesh *m = *state;

	mesh_start_all(m, 0);
	mesh_run_beacons(m, 30000);
	assert_int_equal(mesh_component(m), NODES);
	expect_quiet_links(m);
	assert_true(m->memory_most <= 6 * 1024);
}

static void broadcasts_reach_all_with_hardly_a_copy_too_many_and_in_few_hops(void **state)
{
	struct mesh *m = *state;

	mesh_start_all(m, 5000);
	mesh_run(m, 60000);
	expect_tree(m);
	assert_true(m->memory_most <= 6 * 1024);
}

static void half_of_them(struct mesh *m)
{
	for (uint32_t i = 2; i <= m->count; i++) {
		if (mesh_random(m, 2) == 0)
			mesh_kill(m, i);
	}
}

static void half_die_at_once_and_the_next_broadcast_reaches_the_others(void **state)
{
	struct mesh *m = *state;
	body_ref body;

	mesh_start_all(m, 5000);
	mesh_run_beacons(m, 90000);
	half_of_them(m);
	body = mesh_publish(m, 1);
	mesh_run(m, 30000);
	assert_true(m->stats[body].reached * 100 >= (mesh_alive(m) - 1) * 99);
	body = mesh_publish(m, 1);
	mesh_run(m, 5000);
	assert_int_equal(m->stats[body].reached, mesh_alive(m) - 1);
	expect_quiet_links(m);
}

/* Their sessions die unseen: nobody closes anything, and silence is noticed after 45 s. Some, one in a
 * hundred at most here, have only neighbours that vanished, and hear nothing until then. */
static void half_vanish_silently_and_the_next_broadcast_reaches_the_others(void **state)
{
	struct mesh *m = *state;
	body_ref body;

	mesh_start_all(m, 5000);
	mesh_run_beacons(m, 90000);
	m->silent_ms = 45000;
	half_of_them(m);
	body = mesh_publish(m, 1);
	mesh_run(m, 29000);
	assert_true(m->stats[body].reached * 100 >= (mesh_alive(m) - 1) * 99);
	mesh_run_beacons(m, 60000);
	body = mesh_publish(m, 1);
	mesh_run(m, 5000);
	assert_int_equal(m->stats[body].reached, mesh_alive(m) - 1);
}

static void network_that_was_cut_heals_within_a_minute(void **state)
{
	struct mesh *m = *state;

	m->silent_ms = 20000;
	mesh_start_all(m, 5000);
	mesh_run_beacons(m, 120000);
	for (uint32_t i = 2; i <= NODES; i++)
		m->nodes[i].side = mesh_random(m, 10) < 3;
	mesh_cut(m);
	mesh_run_beacons(m, 300000);
	assert_true(mesh_component(m) < NODES);
	for (uint32_t i = 1; i <= NODES; i++) {
		assert_int_equal(m->nodes[i].isolated, m->nodes[i].side != 0);
		m->nodes[i].side = 0;
	}
	mesh_run_beacons(m, 60000);
	assert_int_equal(mesh_component(m), NODES);
	assert_int_equal(m->stats[mesh_publish(m, 1)].reached, 0);
	mesh_run(m, 10000);
	assert_int_equal(m->stats[m->body_count].reached, NODES - 1);
	assert_int_equal(m->accused, 0);
}

/* The contact dies; who comes later joins through somebody else, and the others need it no more. */
static void network_outlives_its_contacts(void **state)
{
	struct mesh *m = *state;
	peer_ref contacts[2] = {6, 11};

	mesh_start_all(m, 5000);
	mesh_run_beacons(m, 60000);
	mesh_kill(m, 6);
	mesh_kill(m, 7);
	mesh_run_beacons(m, 30000);
	mesh_start(m, 7, contacts, 2);
	mesh_run_beacons(m, 30000);
	assert_int_equal(mesh_component(m), mesh_alive(m));
	assert_int_equal(mesh_alive(m), NODES - 1);
}

static void late_joiner_gets_the_newest_of_each_topic(void **state)
{
	struct mesh *m = *state;
	peer_ref root = 1;
	body_ref bodies[5];

	mesh_start_all(m, 5000);
	mesh_run(m, 30000);
	mesh_kill(m, 9);
	for (topic_ref t = 1; t <= 5; t++)
		bodies[t - 1] = mesh_publish(m, t);
	mesh_run(m, 60000);
	mesh_start(m, 9, &root, 1);
	mesh_run(m, 5000);
	for (topic_ref t = 1; t <= 5; t++)
		assert_int_equal(gossip_retained(m->nodes[9].core, t), bodies[t - 1]);
}

static void whoever_leaves_is_missed_by_nobody(void **state)
{
	struct mesh *m = *state;

	mesh_start_all(m, 5000);
	mesh_run_beacons(m, 60000);
	for (uint32_t i = 100; i < 300; i++) {
		mesh_leave(m, i);
		mesh_run(m, 100);
	}
	mesh_publish(m, 1);
	mesh_run(m, 5000);
	assert_int_equal(m->stats[m->body_count].reached, mesh_alive(m) - 1);
	expect_quiet_links(m);
}

/* A tenth of the nodes comes and goes every half minute. */
static void churn_keeps_nobody_from_hearing(void **state)
{
	struct mesh *m = *state;
	peer_ref root = 1;

	mesh_start_all(m, 5000);
	mesh_run_beacons(m, 60000);
	for (unsigned turn = 0; turn < 20; turn++) {
		for (uint32_t i = 2; i <= NODES; i++) {
			if (mesh_random(m, 10) != 0)
				continue;
			if (m->nodes[i].core != NULL)
				mesh_kill(m, i);
			else
				mesh_start(m, i, &root, 1);
		}
		mesh_run(m, 29000);
		mesh_publish(m, 1);
		mesh_run(m, 1000);
	}
	mesh_run(m, 4000);
	assert_int_equal(m->stats[m->body_count].reached, mesh_alive(m) - 1);
	assert_int_equal(m->accused, 0);
}

/* A fifth of the nodes, in few prefixes, takes part in everything and passes no body on. */
static void withholders_keep_nobody_from_hearing(void **state)
{
	struct mesh *m = *state;
	uint32_t deaf = 0;

	for (uint32_t i = 2; i <= NODES; i++) {
		m->nodes[i].mute = i % 5 == 3;
		if (m->nodes[i].mute)
			m->peers[i].prefix = 1000000 + i / 50;
	}
	mesh_start_all(m, 5000);
	mesh_run_beacons(m, 300000);
	for (uint32_t i = 2; i <= NODES; i++) {
		if (!m->nodes[i].mute)
			deaf += gossip_retained(m->nodes[i].core, 1) + 1 < m->body_count;
	}
	assert_int_equal(deaf, 0);
}

static void same_seed_gives_the_same_run(void **state)
{
	uint64_t steps[2], sends[2];

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct mesh *m = malloc(sizeof(*m));

		assert_non_null(m);
		mesh_init(m, 99, 100, 2, 2);
		mesh_start_all(m, 1000);
		mesh_run_beacons(m, 100000);
		steps[k] = m->steps;
		sends[k] = m->sends[MESSAGE_IHAVE] * 1000003 + m->sends[MESSAGE_SHUFFLE];
		mesh_close(m);
		free(m);
	}
	assert_true(steps[0] == steps[1] && sends[0] == sends[1]);
}

/* Two of them, all of one prefix, and all on one machine. */
static void small_networks_work_too(void **state)
{
	(void)state;
	for (uint32_t n = 2; n <= 12; n += 5) {
		struct mesh *m = malloc(sizeof(*m));

		assert_non_null(m);
		mesh_init(m, n, n, n == 7 ? n : 1, n == 12 ? 0 : 100);
		mesh_start_all(m, 100);
		mesh_run_beacons(m, 120000);
		assert_int_equal(mesh_component(m), n);
		assert_int_equal(m->stats[m->body_count].reached, n - 1);
		assert_int_equal(m->accused, 0);
		mesh_close(m);
		free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define BOTH(name)                                                                                 \
	{#name "_public", name, open_public, close_mesh, NULL},                                    \
		{#name "_mixed", name, open_mixed, close_mesh, NULL}
		BOTH(all_who_start_at_once_become_one_network_with_symmetric_links),
		BOTH(broadcasts_reach_all_with_hardly_a_copy_too_many_and_in_few_hops),
		BOTH(half_die_at_once_and_the_next_broadcast_reaches_the_others),
		BOTH(half_vanish_silently_and_the_next_broadcast_reaches_the_others),
		BOTH(network_that_was_cut_heals_within_a_minute),
		BOTH(network_outlives_its_contacts),
		BOTH(late_joiner_gets_the_newest_of_each_topic),
		BOTH(whoever_leaves_is_missed_by_nobody),
		BOTH(churn_keeps_nobody_from_hearing),
		BOTH(withholders_keep_nobody_from_hearing),
		cmocka_unit_test(same_seed_gives_the_same_run),
		cmocka_unit_test(small_networks_work_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
