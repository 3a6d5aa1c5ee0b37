/* Loading refuses rows that contradict themselves or each other; and the lookup under it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "coordinator/lookup.h"
#include "tasks/base/key.h"
#include "tasks/base/mem.h"
#include "tests/lib/core_sim.h"

static struct sim sim;

/* A store in the middle of a round: units settled and in progress, replicas of every kind. */
static int begin(void **state)
{
	(void)state;
	sim_init(&sim, 3, 2, 6, 2, 64);
	for (uint32_t i = 0; i < 4; i++)
		sim_peer_add(&sim, i == 3 ? SIM_WITHHOLDS : SIM_HONEST, 2000 + i * 700);
	sim_submit(&sim);
	while (sim.project.units_accepted < 3)
		sim_wait(&sim, 1000);
	return 0;
}

static int end(void **state)
{
	(void)state;
	sim_close(&sim);
	return 0;
}

static int load(void)
{
	struct core *c = core_new(&sim.root);
	struct errmsg msg = {""};
	int rc;

	assert_non_null(c);
	rc = core_load_project(c, &sim.project, bytes_span(&sim.recipe),
		sim_states(&sim, &sim.project.parameters), &msg);
	for (size_t i = 0; rc == TK_OK && i < sim.peer_row_count; i++)
		rc = core_load_peer(c, &sim.peer_rows[i]);
	for (uint32_t i = 0; rc == TK_OK && i < sim.units; i++)
		rc = core_load_unit(c, sim_unit(&sim, sim.project.round, i), &msg);
	for (size_t i = 0; rc == TK_OK && i < sim.replica_count; i++)
		rc = core_load_replica(c, &sim.replicas[i], &msg);
	core_free(c);
	if (rc == TK_ECORRUPT)
		assert_true(strlen(msg.text) > 20);
	return rc;
}

static struct unit_row *settled_unit(void)
{
	uint32_t i = 0;

	while (sim_unit(&sim, sim.project.round, i)->state != UNIT_SETTLED)
		i++;
	return (struct unit_row *)sim_unit(&sim, sim.project.round, i);
}

static struct replica_row *opened_replica(void)
{
	size_t i = 0;

	while (sim.replicas[i].claim_bytes == 0)
		i++;
	return &sim.replicas[i];
}

static void sound_rows_load(void **state)
{
	(void)state;
	assert_int_equal(load(), TK_OK);
}

static void a_unit_without_its_claim_is_refused(void **state)
{
	(void)state;
	settled_unit()->claim_bytes = 0;
	assert_int_equal(load(), TK_ECORRUPT);
}

static void a_claim_of_another_result_is_refused(void **state)
{
	(void)state;
	settled_unit()->result.b[0] ^= 1;
	assert_int_equal(load(), TK_ECORRUPT);
	settled_unit()->result.b[0] ^= 1;
	opened_replica()->claim[9] ^= 1;
	assert_int_equal(load(), TK_ECORRUPT);
}

static void states_that_do_not_exist_are_refused(void **state)
{
	struct unit_row *u = settled_unit();

	(void)state;
	u->state = (enum unit_state)6;
	assert_int_equal(load(), TK_ECORRUPT);
	u->state = UNIT_SETTLED;
	opened_replica()->state = (enum replica_state)11;
	assert_int_equal(load(), TK_ECORRUPT);
}

static void a_replica_of_nobody_or_listed_twice_is_refused(void **state)
{
	struct replica_row *r = opened_replica();
	struct public_key key = r->peer;

	(void)state;
	r->peer.b[0] ^= 1;
	assert_int_equal(load(), TK_ECORRUPT);
	r->peer = key;
	assert_true(r != &sim.replicas[sim.replica_count - 1]);
	sim.replicas[sim.replica_count - 1].nonce = r->nonce;
	assert_int_equal(load(), TK_ECORRUPT);
}

static void rows_from_the_future_are_refused(void **state)
{
	(void)state;
	sim.replicas[0].round = sim.project.round + 1;
	assert_int_equal(load(), TK_ECORRUPT);
	sim.replicas[0].round = sim.project.round;
	sim.replicas[0].unit = sim.units;
	assert_int_equal(load(), TK_ECORRUPT);
}

static void a_project_unlike_its_recipe_is_refused(void **state)
{
	(void)state;
	sim.project.units_per_round--;
	assert_int_equal(load(), TK_ECORRUPT);
	sim.project.units_per_round++;
	sim.recipe.len--;
	assert_int_equal(load(), TK_ECORRUPT);
}

/* The project alone, in its second round, with this list of states. */
static int load_project(const struct digest *states)
{
	struct core *c = core_new(&sim.root);
	struct errmsg msg = {""};
	int rc;

	assert_non_null(c);
	rc = core_load_project(c, &sim.project, bytes_span(&sim.recipe), states, &msg);
	core_free(c);
	return rc;
}

static void a_list_of_states_that_its_row_does_not_name_is_refused(void **state)
{
	struct digest states[6];

	(void)state;
	while (sim.project.round == 0)
		sim_wait(&sim, 1000);
	memcpy(states, sim_states(&sim, &sim.project.parameters), sizeof(states));
	assert_int_equal(load_project(states), TK_OK);
	assert_int_equal(load_project(NULL), TK_ECORRUPT);
	states[5].b[31] ^= 1;
	assert_int_equal(load_project(states), TK_ECORRUPT);
	states[5].b[31] ^= 1;
	sim.project.states = (struct digest){{0}};
	assert_int_equal(load_project(states), TK_ECORRUPT);
	assert_int_equal(load_project(NULL), TK_OK);
}

static void a_state_that_cannot_be_read_here_pauses_its_project(void **state)
{
	struct core_event bad = {.type = CORE_BLOB_BAD, .text = "the disk lost it"};

	(void)state;
	while (sim.project.round == 0)
		sim_wait(&sim, 1000);
	bad.blob = sim_states(&sim, &sim.project.parameters)[4];
	assert_true(core_needs_blob(sim.core, &bad.blob));
	assert_true(core_knows_blob(sim.core, &bad.blob));
	sim_event(&sim, &bad);
	assert_int_equal(sim.project.state, PROJECT_PAUSED);
	assert_string_equal(sim.project.reason, "the disk lost it");
	assert_false(core_needs_blob(sim.core, &bad.blob)); /* now */
	assert_true(core_knows_blob(sim.core, &bad.blob));
}

static void every_blob_of_a_project_is_known_and_no_other(void **state)
{
	struct recipe recipe;
	struct digest d;

	(void)state;
	assert_int_equal(recipe_decode(&recipe, bytes_span(&sim.recipe), NULL), TK_OK);
	assert_true(core_knows_blob(sim.core, &sim.project.recipe));
	assert_true(core_knows_blob(sim.core, &sim.project.parameters));
	for (uint32_t i = 0; i < recipe.data.train.shards; i++) {
		d = recipe.data.train.digests[i];
		assert_true(core_knows_blob(sim.core, &d));
		assert_true(core_needs_blob(sim.core, &d));
		d.b[DIGEST_BYTES - 1] ^= 1;
		assert_false(core_knows_blob(sim.core, &d));
	}
	recipe_close(&recipe);
}

static void a_load_that_runs_out_of_memory_can_be_repeated(void **state)
{
	int rc = TK_ENOMEM;

	(void)state;
	for (uint64_t n = 1; rc == TK_ENOMEM; n++) {
		struct core *c;

		mem_fail(n, 0);
		c = core_new(&sim.root);
		rc = c == NULL ? TK_ENOMEM
			       : core_load_project(c, &sim.project, bytes_span(&sim.recipe),
					 sim_states(&sim, &sim.project.parameters), NULL);
		mem_fail(0, 0);
		core_free(c);
	}
	assert_int_equal(rc, TK_OK);
}

struct entry {
	struct lookup_link link;
	uint8_t key[32];
};

static void a_lookup_finds_what_was_added_and_not_removed(void **state)
{
	static struct entry entries[1000];
	struct lookup t;

	(void)state;
	lookup_init(&t, 32, 12345);
	for (uint32_t i = 0; i < 1000; i++) {
		memset(entries[i].key, 0, 32);
		entries[i].key[24] = (uint8_t)i; /* poor keys */
		entries[i].key[31] = (uint8_t)(i >> 8);
		assert_null(lookup_find(&t, entries[i].key));
		assert_int_equal(
			lookup_add(&t, &entries[i].link, entries[i].key, &entries[i]), TK_OK);
	}
	for (uint32_t i = 0; i < 1000; i += 3)
		lookup_remove(&t, &entries[i].link);
	for (uint32_t i = 0; i < 1000; i++)
		assert_ptr_equal(lookup_find(&t, entries[i].key), i % 3 == 0 ? NULL : &entries[i]);
	assert_int_equal(t.count, 666);
	lookup_close(&t);
}

#define LOADED(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOADED(sound_rows_load),
		LOADED(a_unit_without_its_claim_is_refused),
		LOADED(a_claim_of_another_result_is_refused),
		LOADED(states_that_do_not_exist_are_refused),
		LOADED(a_replica_of_nobody_or_listed_twice_is_refused),
		LOADED(rows_from_the_future_are_refused),
		LOADED(a_project_unlike_its_recipe_is_refused),
		LOADED(a_list_of_states_that_its_row_does_not_name_is_refused),
		LOADED(a_state_that_cannot_be_read_here_pauses_its_project),
		LOADED(every_blob_of_a_project_is_known_and_no_other),
		LOADED(a_load_that_runs_out_of_memory_can_be_repeated),
		cmocka_unit_test(a_lookup_finds_what_was_added_and_not_removed),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
