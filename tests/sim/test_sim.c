/* The simulator's own parts, and a short slice of what `make sim` runs at length: reach, components, and that
 * one seed gives one trace. No test looks at a clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/slice.h"
#include "tests/sim/draw.h"
#include "tests/sim/scenario.h"
#include "tests/sim/wheel.h"

static void the_wheel_gives_events_by_time_and_then_by_age(void **state)
{
	const uint32_t times[] = {70000, 5, 9, 5, 200000, 9, 70000, 65536, 1};
	const uint32_t order[] = {8, 1, 3, 2, 5, 7, 0, 6, 4};
	uint32_t got = 0, event;
	struct wheel w;

	(void)state;
	wheel_init(&w);
	for (uint32_t i = 0; i < 9; i++) {
		event = wheel_new(&w);
		w.events[event] = (struct wheel_event){.about = i};
		wheel_post(&w, event, times[i]);
	}
	for (; w.now_ms < 200001; wheel_advance(&w)) {
		while ((event = wheel_take(&w)) != WHEEL_NONE) {
			assert_int_equal(w.events[event].about, order[got]);
			assert_int_equal(w.now_ms, times[order[got]]);
			wheel_free(&w, event);
			got++;
		}
	}
	assert_int_equal(got, 9);
	assert_int_equal(w.pending, 0);
	wheel_close(&w);
}

static void events_are_used_again(void **state)
{
	struct wheel w;

	(void)state;
	wheel_init(&w);
	for (uint32_t i = 0; i < 10000; i++) {
		uint32_t event = wheel_new(&w), extra = wheel_extra_new(&w);

		w.events[event] = (struct wheel_event){.count = 2, .ref = extra};
		wheel_post(&w, event, w.now_ms + 1);
		wheel_advance(&w);
		assert_int_equal(wheel_take(&w), event);
		wheel_free(&w, event);
	}
	assert_int_equal(w.event_count, 2);
	assert_int_equal(w.extra_count, 2);
	wheel_close(&w);
}

static void an_alarm_rings_once_when_it_was_set_last(void **state)
{
	struct alarms a;

	(void)state;
	alarms_init(&a, 3);
	alarms_set(&a, 1, 0, 10);
	alarms_set(&a, 2, 0, 10);
	alarms_set(&a, 3, 0, 10);
	alarms_set(&a, 2, 0, 12);
	alarms_clear(&a, 3);
	assert_int_equal(alarms_take(&a, 10), 1);
	assert_int_equal(alarms_take(&a, 10), 0);
	assert_int_equal(alarms_take(&a, 12), 2);
	assert_int_equal(alarms_take(&a, 12), 0);
	alarms_close(&a);
}

static void what_is_sent_later_never_arrives_earlier(void **state)
{
	const struct map m = {.seed = 5, .jitter_ms = 40, .stall_ppm = 50000, .stall_ms = 250};
	uint64_t random = 11;
	struct place a, b;

	(void)state;
	for (uint32_t pair = 0; pair < 50; pair++) {
		uint32_t before = 0;

		place_draw(&a, &random, false);
		place_draw(&b, &random, true);
		for (uint32_t at_ms = 1000; at_ms < 21000; at_ms++) {
			uint32_t arrival =
				map_arrival_ms(&m, 2 * pair, &a, 2 * pair + 1, &b, at_ms);

			assert_true(arrival >= before && arrival > at_ms);
			before = arrival;
		}
	}
}

static void a_lost_segment_stalls_so_much_of_the_time(void **state)
{
	const struct map m = {.seed = 5, .stall_ppm = 10000, .stall_ms = 250};
	uint32_t stalled = 0, tries = 4000000, latency;
	uint64_t random = 3;
	struct place a, b;

	(void)state;
	place_draw(&a, &random, false);
	place_draw(&b, &random, false);
	latency = map_latency_ms(&a, &b);
	for (uint32_t at_ms = 0; at_ms < tries; at_ms++)
		stalled += map_arrival_ms(&m, 1, &a, 2, &b, at_ms) > at_ms + latency;
	assert_in_range(stalled, tries / 125, tries * 3 / 250); /* 0.8 to 1.2 % */
}

static void quantiles_and_components_are_what_they_say(void **state)
{
	struct histogram h;
	struct forest f;

	(void)state;
	histogram_init(&h, 1);
	for (uint32_t i = 1; i <= 100; i++)
		histogram_add(&h, i);
	histogram_add(&h, 10000);
	assert_int_equal(histogram_at(&h, 500), 51);
	assert_int_equal(histogram_at(&h, 990), 100);
	assert_int_equal(histogram_at(&h, 1000), 10000);
	assert_int_equal(h.max, 10000);
	assert_int_equal(forest_init(&f, 6), 0);
	forest_join(&f, 1, 2);
	forest_join(&f, 4, 5);
	forest_join(&f, 5, 2);
	assert_int_equal(forest_root(&f, 4), forest_root(&f, 1));
	assert_int_not_equal(forest_root(&f, 3), forest_root(&f, 1));
	forest_close(&f);
}

static void an_unmet_figure_is_a_miss(void **state)
{
	static struct report r;

	(void)state;
	report_least(&r, "reach", 99.9, 100, "%");
	report_least(&r, "reach", 100, 100, "%");
	report_most(&r, "hops", 7.1, 7, "");
	report_most(&r, "hops", 0.0 / 1.0, 7, "");
	report_note(&r, "time", 5, "s");
	assert_int_equal(report_misses(&r), 2);
}

static struct report report;

static void run(
	struct run *r, const char *scenario, uint32_t peers, uint64_t seed, uint32_t seconds)
{
	*r = (struct run){.peers = peers, .seed = seed, .seconds = seconds, .report = &report};
	scenario_run(scenario_find(scenario), r);
	if (report_misses(&report) != 0)
		report_print(&report, stderr);
}

static void one_seed_gives_one_trace(void **state)
{
	struct run first, again, other;

	(void)state;
	run(&first, "stable", 300, 42, 3);
	run(&again, "stable", 300, 42, 3);
	run(&other, "stable", 300, 43, 3);
	assert_true(first.trace == again.trace);
	assert_true(first.trace != other.trace);
}

static void a_broadcast_reaches_all_by_a_short_way_and_once(void **state)
{
	struct run r;

	(void)state;
	run(&r, "stable", 2000, 7, 5);
	assert_int_equal(report_misses(&report), 0);
}

static void half_may_die_and_the_rest_hear_all(void **state)
{
	struct run r;

	(void)state;
	run(&r, "failure", 1000, 7, 0);
	assert_int_equal(report_misses(&report), 0);
}

static void who_was_cut_off_comes_back(void **state)
{
	struct run r;

	(void)state;
	run(&r, "partition", 1000, 7, 0);
	assert_int_equal(report_misses(&report), 0);
}

static void a_crowd_and_a_simultaneous_start_give_one_component(void **state)
{
	struct run r;

	(void)state;
	run(&r, "join", 1000, 7, 0);
	assert_int_equal(report_misses(&report), 0);
}

static double figure(const char *name)
{
	for (uint32_t i = 0; i < report.figure_count; i++)
		if (strcmp(report.figures[i].name, name) == 0)
			return report.figures[i].measured;
	fail_msg("no figure is called %s", name);
	return 0;
}

static void clocks_off_by_half_a_day_cost_their_owners_and_nobody_else(void **state)
{
	struct run r;

	(void)state;
	run(&r, "skew", 1000, 7, 0);
	assert_int_equal(report_misses(&report), 0);
	assert_true(figure("off by 10 minutes at most: reach") >= 100);
	assert_true(figure("half a day ahead: reach within 20 s") < 100);
	assert_true(figure("half a day behind: reach within 20 s") < 100);
	assert_true(figure("half a day off: have a neighbour") <= 0);
}

static void a_dead_first_address_locks_nobody_out(void **state)
{
	struct run r;

	(void)state;
	run(&r, "bootstrap", 500, 7, 0);
	assert_int_equal(report_misses(&report), 0);
}

static void whole_nodes_with_real_handshakes_do_the_same(void **state)
{
	struct run first, again;

	(void)state;
	run(&first, "town", 40, 7, 0);
	assert_int_equal(report_misses(&report), 0);
	run(&again, "town", 40, 7, 0);
	assert_true(first.trace == again.trace);
}

static void everybody_gets_the_blob_and_the_seed_sends_it_a_few_times(void **state)
{
	struct run r;

	(void)state;
	run(&r, "distribute", 100, 7, 25);
	assert_true(figure("peers that have it") >= 100);
	assert_true(figure("the coordinator sends, in sizes, all told") <= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wheel_gives_events_by_time_and_then_by_age),
		cmocka_unit_test(events_are_used_again),
		cmocka_unit_test(an_alarm_rings_once_when_it_was_set_last),
		cmocka_unit_test(what_is_sent_later_never_arrives_earlier),
		cmocka_unit_test(a_lost_segment_stalls_so_much_of_the_time),
		cmocka_unit_test(quantiles_and_components_are_what_they_say),
		cmocka_unit_test(an_unmet_figure_is_a_miss),
		cmocka_unit_test(one_seed_gives_one_trace),
		cmocka_unit_test(a_broadcast_reaches_all_by_a_short_way_and_once),
		cmocka_unit_test(half_may_die_and_the_rest_hear_all),
		cmocka_unit_test(who_was_cut_off_comes_back),
		cmocka_unit_test(a_crowd_and_a_simultaneous_start_give_one_component),
		cmocka_unit_test(clocks_off_by_half_a_day_cost_their_owners_and_nobody_else),
		cmocka_unit_test(a_dead_first_address_locks_nobody_out),
		cmocka_unit_test(whole_nodes_with_real_handshakes_do_the_same),
		cmocka_unit_test(everybody_gets_the_blob_and_the_seed_sends_it_a_few_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
