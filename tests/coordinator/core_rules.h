/* What the tests of single rules share: peers that say what the test wants, one message at a time.
 * Included after cmocka.h. */
#ifndef TESTS_COORDINATOR_CORE_RULES_H
#define TESTS_COORDINATOR_CORE_RULES_H

#include "tasks/base/key.h"
#include "tests/lib/core_sim.h"

#define MINUTE_MS 60000u

static struct sim sim;

/* A project and `peers` connected peers that do as the test says. */
static inline void begin(uint32_t rounds, uint32_t units, uint32_t quorum, uint32_t peers)
{
	sim_init(&sim, 5, rounds, units, quorum, 64);
	sim_submit(&sim);
	for (uint32_t i = 0; i < peers; i++)
		sim_peer_add(&sim, SIM_MANUAL, 0);
}

static inline int end(void **state)
{
	(void)state;
	sim_close(&sim);
	return 0;
}

/* Leases one unit to the peer and checks that it is this one. */
static inline struct sim_task *lease(uint32_t peer, uint32_t unit)
{
	size_t before = sim_count(&sim, peer, MESSAGE_LEASE);
	struct sim_task *t;

	sim_request(&sim, peer, 1);
	assert_int_equal(sim_count(&sim, peer, MESSAGE_LEASE), before + 1);
	t = sim_task_of(&sim, peer, unit);
	assert_non_null(t);
	assert_memory_equal(
		&sim_last(&sim, peer, MESSAGE_LEASE)->lease.nonce, &t->nonce, sizeof(t->nonce));
	return t;
}

static inline struct sim_task *lease_and_commit(uint32_t peer, uint32_t unit, uint64_t variant)
{
	struct sim_task *t = lease(peer, unit);

	sim_compute(&sim, peer, t, variant);
	sim_commit(&sim, peer, t);
	assert_memory_equal(&sim_last(&sim, peer, MESSAGE_COMMITTED)->committed.nonce, &t->nonce,
		sizeof(t->nonce));
	return t;
}

static inline enum replica_state state_of(const struct sim_task *t)
{
	return sim_replica(&sim, &t->nonce)->state;
}

/* The peer's whole way with one unit. */
static inline struct sim_task *work(uint32_t peer, uint32_t unit, uint64_t variant)
{
	struct sim_task *t = lease_and_commit(peer, unit, variant);

	sim_reveal(&sim, peer, t);
	if (state_of(t) == REPLICA_UPLOADING)
		sim_upload(&sim, peer, t);
	return t;
}

static inline void assert_verdict(uint32_t peer, const struct sim_task *t, enum verdict verdict)
{
	const struct message *m = sim_last(&sim, peer, MESSAGE_SETTLED);

	assert_non_null(m);
	assert_memory_equal(&m->settled.nonce, &t->nonce, sizeof(t->nonce));
	assert_int_equal(m->settled.verdict, verdict);
}

/* Peers 0 and 1 settle the unit honestly. */
static inline void settle(uint32_t unit, struct sim_task *tasks[2])
{
	for (uint32_t i = 0; i < 2; i++)
		tasks[i] = lease_and_commit(i, unit, 0);
	for (uint32_t i = 0; i < 2; i++)
		sim_reveal(&sim, i, tasks[i]);
	for (uint32_t i = 0; i < 2; i++)
		if (state_of(tasks[i]) == REPLICA_UPLOADING) {
			sim_upload(&sim, i, tasks[i]);
			break;
		}
	assert_int_equal(sim_unit(&sim, sim.project.round, unit)->state, UNIT_SETTLED);
}

#define RULE(f) cmocka_unit_test_teardown(f, end)

#endif
