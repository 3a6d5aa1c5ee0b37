/* Three hostile peers say anything in any order among five honest ones: leases taken and dropped, results of every kind,
 * second commitments, lies in disputes, readmissions, a coordinator that crashes. The project is done whatever they do, and
 * nobody honest is retired; the simulated grid checks at each effect that only right units stand, and audits the ledger.
 *   CHAOS_FROM=62 CHAOS_COUNT=1 build/tests/coordinator/test_core_chaos     replays one seed, under both policies */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/coordinator/core_rules.h"

#define HONEST	  5u
#define HOSTILE	  3u
#define STEPS_MAX 20000u

static bool was_asked[HONEST + HOSTILE]; /* to reveal something */

static struct sim_task *any_task(uint32_t peer)
{
	struct sim_task *got = NULL;
	uint32_t n = 0;

	for (uint32_t i = 0; i < SIM_TASKS_MAX; i++)
		if (sim.peers[peer].tasks[i].used && sim_random(&sim, ++n) == 0)
			got = &sim.peers[peer].tasks[i];
	return got;
}

static void come_back(uint32_t p)
{
	struct sim_peer *peer = &sim.peers[p];
	struct core_event readmit = {.type = CORE_PEER_READMIT, .key = &peer->key.public};

	if (sim_random(&sim, 3) != 0)
		return;
	if (peer->over && sim_random(&sim, 4) == 0) {
		sim_event(&sim, &readmit);
		peer->over = false;
	}
	if (!peer->over)
		sim_connect(&sim, p);
}

static void compute_and_commit(uint32_t p, struct sim_task *t)
{
	const uint64_t variants[] = {0, 0, 0, 9 + p, 29 + p, SIM_SAYS_NONFINITE,
		SIM_WRONG_AT(3, 7 + p), SIM_WRONG_AT(6, 1 + p),
		SIM_WRONG_TWICE(2, 50 + p, 4, 60 + p)};

	if (!t->done)
		sim_compute(&sim, p, t,
			variants[sim_random(&sim, sizeof(variants) / sizeof(*variants))]);
	sim_commit(&sim, p, t);
}

static void commit_otherwise(uint32_t p, struct sim_task *t)
{
	struct digest salt = t->salt;

	t->salt.b[0] ^= 1;
	sim_commit(&sim, p, t);
	t->salt = salt;
}

static void give_back(uint32_t p, const struct sim_task *t)
{
	struct message m = {.type = MESSAGE_ABANDON, .abandon.nonce = t->nonce};

	sim_send(&sim, p, &m);
}

/* One thing of those that it can do. */
static void act(uint32_t p)
{
	struct sim_peer *peer = &sim.peers[p];
	struct sim_task *t = any_task(p);
	bool known = t != NULL && t->done && sim_replica(&sim, &t->nonce) != NULL;

	was_asked[p] |= sim_count(&sim, p, MESSAGE_REVEAL_REQUEST) > 0;
	if (peer->inbox_count > 300)
		peer->inbox_count = 0;
	if (peer->conn == 0) {
		come_back(p);
		return;
	}
	switch (sim_random(&sim, 12)) {
	case 0:
	case 1:
		sim_request(&sim, p, (uint32_t)sim_random(&sim, 4));
		break;
	case 2:
	case 3:
	case 4:
		if (t != NULL)
			compute_and_commit(p, t);
		break;
	case 5:
	case 6:
	case 7:
		if (known && was_asked[p])
			sim_reveal(&sim, p, t);
		break;
	case 8:
		if (t != NULL && t->done)
			sim_upload(&sim, p, t);
		break;
	case 9:
		if (t != NULL && sim_random(&sim, 3) == 0)
			give_back(p, t);
		break;
	case 10:
		if (sim_random(&sim, 6) == 0)
			sim_disconnect(&sim, p, 1000 + sim_random(&sim, 200000));
		break;
	default:
		peer->lie = (enum sim_lie)sim_random(&sim, SIM_LIES);
		if (known && sim_random(&sim, 4) == 0)
			commit_otherwise(p, t);
	}
}

static void run(uint64_t seed, bool adaptive)
{
	memset(was_asked, 0, sizeof(was_asked));
	sim_init(&sim, seed, 6, 12, 2 + (uint32_t)(seed % 2), 64);
	sim.nonfinite_units = seed % 5 == 0;
	if (adaptive)
		sim_adaptive(&sim, 0.1);
	for (uint32_t i = 0; i < HONEST; i++)
		sim_peer_add(&sim, SIM_HONEST, 1000 + 300 * i);
	sim_submit(&sim);
	for (uint32_t i = 0; i < HOSTILE; i++)
		sim_peer_add(&sim, SIM_MANUAL, 0);
	for (uint32_t step = 0; step < STEPS_MAX && sim.project.state != PROJECT_DONE; step++) {
		for (uint32_t k = 0; k < 3 * HOSTILE; k++)
			act(HONEST + k / 3);
		sim_wait(&sim, 1 + sim_random(&sim, 400));
		if (sim_random(&sim, 900) == 0)
			sim_kill_core(&sim);
	}
	if (sim.project.state != PROJECT_DONE) {
		print_error("seed %llu, %s: not done: %s\n", (unsigned long long)seed,
			adaptive ? "adaptive" : "full", sim.project.reason);
		fail();
	}
	for (uint32_t i = 0; i < HONEST; i++)
		assert_false(sim_peer_row(&sim, i)->retired);
	sim_close(&sim);
}

static uint64_t said(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void run_all(bool adaptive)
{
	uint64_t from = said("CHAOS_FROM", 1);
	uint64_t count = said("CHAOS_COUNT", 30);

	for (uint64_t seed = from; seed < from + count; seed++)
		run(seed, adaptive);
}

static void whatever_liars_do_under_policy_full_the_project_is_done_right(void **state)
{
	(void)state;
	run_all(false);
}

static void whatever_liars_do_under_policy_adaptive_the_project_is_done_right(void **state)
{
	(void)state;
	run_all(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_liars_do_under_policy_full_the_project_is_done_right),
		cmocka_unit_test(whatever_liars_do_under_policy_adaptive_the_project_is_done_right),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
