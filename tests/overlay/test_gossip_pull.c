/* Who misses much: how many bodies are pulled at once, from whom, and that what was pulled is never pushed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "tests/lib/gossip_bench.h"
#include "tests/lib/mesh.h"

#define NODES	100u
#define TOPICS	64u /* as many as anybody retains */
#define AT_ONCE 8u

static uint32_t pushed; /* by the latecomer, in its first seconds */

static void count_pushed(struct mesh *m, peer_ref node, const struct gossip_effect *e)
{
	(void)m;
	pushed += node == NODES && e->type == GOSSIP_SEND && e->message.type == MESSAGE_BROADCAST &&
		  e->message.ttl > 0;
}

/* It comes so long after the last of them was published. */
static void join_late(uint64_t seed, uint64_t gap_ms)
{
	struct mesh *m = malloc(sizeof(*m));
	peer_ref root = 1;

	assert_non_null(m);
	mesh_init(m, seed, NODES, 1, 3);
	for (peer_ref i = 1; i < NODES; i++)
		mesh_start(m, i, &root, i != root);
	mesh_run_beacons(m, 60000);
	for (topic_ref t = 2; t <= TOPICS; t++) {
		mesh_publish(m, t);
		mesh_run(m, 200);
	}
	mesh_run_beacons(m, gap_ms);
	pushed = 0;
	m->seen = count_pushed;
	mesh_start(m, NODES, &root, 1);
	mesh_run(m, 20000);
	for (topic_ref t = 1; t <= TOPICS; t++)
		assert_int_not_equal(gossip_retained(m->nodes[NODES].core, t), 0);
	assert_int_equal(pushed, 0);
	mesh_run_beacons(m, 60000);
	assert_int_equal(m->accused, 0);
	mesh_close(m);
	free(m);
}

static void latecomer_gets_all_topics_pushes_none_and_accuses_nobody(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		join_late(seed, 5000);
		join_late(seed, 40000);
	}
}

static void tell_heads(struct gossip_bench *b, peer_ref from, topic_ref first)
{
	struct gossip_message m = {.type = MESSAGE_HEADS, .count = 8};

	for (uint32_t i = 0; i < 8; i++) {
		m.refs[i] = first + i;
		m.sequences[i] = 9;
	}
	bench_message(b, from, &m);
}

static void answer(struct gossip_bench *b, peer_ref from, topic_ref topic)
{
	bench_say(b, from, MESSAGE_BROADCAST, bench_body(b, 1000 + topic, topic, 9), false, 0);
}

static void what_cannot_be_pulled_at_once_is_asked_for_when_the_rest_has_come(void **state)
{
	struct gossip_bench *b = *state;

	tell_heads(b, 3, 10);
	assert_int_equal(bench_count(b, MESSAGE_PULL), AT_ONCE);
	tell_heads(b, 3, 20);
	assert_int_equal(bench_count(b, MESSAGE_PULL), 0);
	for (topic_ref t = 10; t < 17; t++) {
		answer(b, 3, t);
		assert_null(bench_sent(b, 3, MESSAGE_HEADS, 0));
	}
	answer(b, 3, 17);
	assert_int_equal(bench_sent(b, 3, MESSAGE_HEADS, 0)->count, 0); /* of nothing: all again */
	tell_heads(b, 3, 20);
	assert_int_equal(bench_count(b, MESSAGE_PULL), AT_ONCE);
	assert_int_equal(gossip_counts(b->g)->pulls, 2 * AT_ONCE);
}

static void pulls_without_an_answer_keep_nothing_from_being_asked_for_again(void **state)
{
	struct gossip_bench *b = *state;

	tell_heads(b, 3, 10);
	tell_heads(b, 3, 20);
	bench_wait(b, 1100);
	assert_int_equal(bench_sent(b, 3, MESSAGE_HEADS, 0)->count, 0);
	tell_heads(b, 3, 20);
	assert_int_equal(bench_count(b, MESSAGE_PULL), 0); /* those before are under way still */
	bench_wait(b, 10000);
	tell_heads(b, 3, 20);
	assert_int_equal(bench_count(b, MESSAGE_PULL), AT_ONCE);
}

static void neighbour_that_invents_topics_leaves_room_to_pull_from_others(void **state)
{
	struct gossip_bench *b = *state;

	for (topic_ref t = 100; t < 200; t += 8)
		tell_heads(b, 5, t);
	tell_heads(b, 3, 10);
	assert_int_equal(bench_sent(b, 3, MESSAGE_PULL, 0)->about, 10);
	answer(b, 3, 10);
	assert_int_equal(gossip_retained(b->g, 10), 1010);
	assert_int_equal(bench_sent(b, 3, MESSAGE_HEADS, 0)->count, 0);
	bench_wait(b, 2500);
	tell_heads(b, 3, 20);
	assert_int_equal(bench_count(b, MESSAGE_PULL), AT_ONCE / 2);
}

static void answer_to_a_pull_that_made_room_is_not_pushed(void **state)
{
	struct gossip_bench *b = *state;

	tell_heads(b, 3, 10);
	tell_heads(b, 5, 20); /* takes the place of the first */
	assert_non_null(bench_sent(b, 5, MESSAGE_PULL, 0));
	answer(b, 3, 10);
	assert_int_equal(gossip_retained(b->g, 10), 1010);
	assert_int_equal(bench_count(b, MESSAGE_BROADCAST), 0);
	bench_wait(b, 2000);
	assert_int_equal(bench_sent(b, 5, MESSAGE_HEADS, 1)->refs[0], 10);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, bench_setup_chosen, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(latecomer_gets_all_topics_pushes_none_and_accuses_nobody),
		CLAIM(what_cannot_be_pulled_at_once_is_asked_for_when_the_rest_has_come),
		CLAIM(pulls_without_an_answer_keep_nothing_from_being_asked_for_again),
		CLAIM(neighbour_that_invents_topics_leaves_room_to_pull_from_others),
		CLAIM(answer_to_a_pull_that_made_room_is_not_pushed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
