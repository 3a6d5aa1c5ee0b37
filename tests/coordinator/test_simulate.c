/* talkoot simulate: the real core under virtual time. Small runs, one seed each: what the full ones of `make simulate`
 * show at two million units holds here as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/simulate/expect.h"
#include "coordinator/simulate/simulate.h"

static const char *const alone[] = {
	"lazy", "plagiarist", "poisoner", "sleeper", "withholder", "flaky", "equivocator", "slow"};

static void run_as(
	struct simulate_report *out, const struct simulate_options *o, enum verify_policy policy)
{
	static struct project p;
	struct errmsg msg = {""};

	memset(&p, 0, sizeof(p));
	memcpy(p.name, "small", 6);
	p.seed = 1;
	p.policy = policy;
	p.audit_floor = policy == VERIFY_ADAPTIVE ? 0.02 : 0;
	p.settle_rounds = policy == VERIFY_ADAPTIVE ? 2 : 0;
	p.on_fraud = policy == VERIFY_ADAPTIVE ? FRAUD_ROLLBACK : 0;
	p.quorum = 2;
	p.train.rounds = 4;
	p.train.units_per_round = 150;
	p.train.inner_steps = 16;
	p.train.trace_every = 4;
	if (simulate_run(out, &p, o, &msg) != TK_OK)
		fail_msg("%s", msg.text);
}

static void run(struct simulate_report *out, const struct simulate_options *o)
{
	run_as(out, o, VERIFY_FULL);
}

static struct simulate_options with(const char *strategy, double cheaters)
{
	return (struct simulate_options){.peers = 40,
		.units = 600,
		.cheaters = cheaters,
		.rate = -1,
		.unit_s = 60,
		.seed = 5,
		.strategy = strategy == NULL ? NULL : strategy_find(strategy)};
}

static void equal_seeds_give_equal_runs_whatever_signs_and_others_do_not(void **state)
{
	struct simulate_options o = with("poisoner", 0.2);
	struct simulate_report *r = calloc(4, sizeof(*r));

	(void)state;
	assert_non_null(r);
	o.churn = 0.2;
	run(&r[0], &o);
	run(&r[1], &o);
	o.ed25519 = true;
	run(&r[2], &o);
	o.seed++;
	run(&r[3], &o);
	assert_true(r[0].done);
	assert_true(r[0].digest == r[1].digest);
	assert_true(r[0].digest == r[2].digest);
	assert_true(r[0].digest != r[3].digest);
	free(r);
}

static void honest_peers_compute_each_unit_as_often_as_the_quorum_wants(void **state)
{
	struct simulate_options o = with(NULL, 0);
	struct simulate_report *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	run(r, &o);
	assert_true(r->done);
	assert_int_equal(r->end.units, 600);
	assert_int_equal(r->end.disputes, 0);
	assert_int_equal(r->end.refereed, 0);
	assert_int_equal(r->end.standing, 0);
	assert_true(r->overhead >= 1 && r->overhead < 1.05);
	free(r);
}

/* Who cheats by himself always meets somebody who differs. */
static void nobody_who_cheats_alone_gets_a_wrong_unit_through_and_nobody_honest_is_retired(
	void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(alone) / sizeof(alone[0]); i++) {
		struct simulate_options o = with(alone[i], 0.3);
		struct simulate_report *r = calloc(1, sizeof(*r));

		assert_non_null(r);
		assert_non_null(o.strategy);
		run(r, &o);
		if (!r->done || r->end.standing != 0 || r->peak != 0 || r->end.retired_ok != 0)
			fail_msg("%s: done %d (%s), %llu wrong units stand, %llu did, %u honest "
				 "retired",
				alone[i], r->done, r->reason, (unsigned long long)r->end.standing,
				(unsigned long long)r->peak, r->end.retired_ok);
		free(r);
	}
}

/* Under policy adaptive nobody gets a wrong unit through who is wrong from the beginning, and honest peers are
 * checked less and less. */
static void liars_never_become_established(void **state)
{
	static const char *const liars[] = {
		"garbage", "lazy", "plagiarist", "poisoner", "withholder", "slow", "equivocator"};

	(void)state;
	for (size_t i = 0; i < sizeof(liars) / sizeof(liars[0]); i++) {
		struct simulate_options o = with(liars[i], 0.3);
		struct simulate_report *r = calloc(1, sizeof(*r));

		assert_non_null(r);
		assert_non_null(o.strategy);
		run_as(r, &o, VERIFY_ADAPTIVE);
		if (!r->done || r->end.standing != 0 || r->end.retired_ok != 0)
			fail_msg("%s: done %d (%s), %llu wrong units stand, %u honest retired",
				liars[i], r->done, r->reason, (unsigned long long)r->end.standing,
				r->end.retired_ok);
		free(r);
	}
}

static void an_adaptive_run_of_honest_peers_costs_less_as_it_goes(void **state)
{
	struct simulate_options o = with(NULL, 0);
	struct simulate_report *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	o.units = 3000;
	run_as(r, &o, VERIFY_ADAPTIVE);
	assert_true(r->done);
	assert_int_equal(r->end.retired_ok, 0);
	assert_true(r->overhead < 0.6);
	if (r->overhead_end >= 0.75 * r->overhead)
		fail_msg("overhead %g in all, %g in the last fifth", r->overhead, r->overhead_end);
	free(r);
}

static void liars_are_retired_and_their_wrong_results_were_seen(void **state)
{
	struct simulate_options o = with("poisoner", 0.3);
	struct simulate_report *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	run(r, &o);
	assert_int_equal(r->cheaters_1, 12);
	assert_int_equal(r->end.caught, 12);
	assert_true(r->wrong >= 12);
	assert_true(r->bad.count == 12 && r->bad.median >= 1);
	free(r);
}

/* Without a quorum that differs nothing can be seen: colluders who hold all of a unit's replicas get it through, as
 * often as chance gives it to them. The same run without collusion shows that it is not the count that is blind. */
static void colluders_get_through_what_they_hold_whole(void **state)
{
	struct simulate_options o = with("colluders", 0.3);
	struct simulate_report *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	run(r, &o);
	assert_true(r->done);
	assert_int_equal(r->end.retired_ok, 0);
	assert_true(r->peak > 0);
	assert_true(r->peak <= 1.1 * 600 * 0.3 * 0.3);
	free(r);
}

static void what_cannot_be_simulated_is_said(void **state)
{
	static struct project p;
	struct simulate_options o = with(NULL, 0);
	struct simulate_report *r = calloc(1, sizeof(*r));
	struct errmsg msg = {""};

	(void)state;
	assert_non_null(r);
	memset(&p, 0, sizeof(p));
	p.policy = VERIFY_FULL;
	p.quorum = 50;
	p.train.units_per_round = 10;
	p.train.inner_steps = 16;
	assert_int_equal(simulate_run(r, &p, &o, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "quorum of 50"));
	p.quorum = 2;
	p.train.units_per_round = 1;
	o.units = SIMULATE_UNITS_MAX;
	assert_int_equal(simulate_run(r, &p, &o, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "rounds"));
	o.units = 10;
	p.train.inner_steps = 1000;
	p.train.trace_every = 1;
	assert_int_equal(simulate_run(r, &p, &o, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "trace_every"));
	free(r);
}

static void the_median_of_the_first_catch_follows_from_the_rate(void **state)
{
	(void)state;
	assert_true(geometric_median(1) == 1);
	assert_true(geometric_median(0.5) == 1);
	assert_true(geometric_median(0.02) == 35);
	assert_true(geometric_median(0.25) == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_seeds_give_equal_runs_whatever_signs_and_others_do_not),
		cmocka_unit_test(honest_peers_compute_each_unit_as_often_as_the_quorum_wants),
		cmocka_unit_test(
			nobody_who_cheats_alone_gets_a_wrong_unit_through_and_nobody_honest_is_retired),
		cmocka_unit_test(liars_never_become_established),
		cmocka_unit_test(an_adaptive_run_of_honest_peers_costs_less_as_it_goes),
		cmocka_unit_test(liars_are_retired_and_their_wrong_results_were_seen),
		cmocka_unit_test(colluders_get_through_what_they_hold_whole),
		cmocka_unit_test(what_cannot_be_simulated_is_said),
		cmocka_unit_test(the_median_of_the_first_catch_follows_from_the_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
