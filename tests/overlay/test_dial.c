/* In which order a peer's addresses and relays are tried, and the rules of one punch: truth tables of the cores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "peer/overlay/dial.h"
#include "peer/overlay/punch.h"

/* A private address, two public ones, two relays. */
static struct record record_full(void)
{
	struct record r = {.endpoint_count = 3, .relay_count = 2};

	r.endpoints[0] = (struct endpoint){.family = 4, .ip = {192, 168, 0, 2}, .port = 7000};
	r.endpoints[1] = (struct endpoint){.family = 4, .ip = {198, 51, 100, 2}, .port = 7001};
	r.endpoints[2] = (struct endpoint){.family = 4, .ip = {198, 51, 100, 2}, .port = 7002};
	return r;
}

static void assert_step(struct dial *d, uint64_t now_ms, enum dial_step step, uint32_t index)
{
	uint32_t i = 0;

	assert_int_equal(dial_next(d, now_ms, &i), step);
	assert_int_equal(i, index);
}

static void public_addresses_go_first_then_private_ones_then_relays_then_the_coordinator(
	void **state)
{
	static const bool all[RECORD_ENDPOINTS_MAX] = {true, true, true, true};
	struct record r = record_full();
	struct dial d;
	uint64_t t = 1000;

	(void)state;
	dial_begin(&d, t, &r, all);
	assert_int_equal(d.direct[0].port, 7001);
	assert_int_equal(d.direct[1].port, 7002);
	assert_int_equal(d.direct[2].port, 7000);
	assert_step(&d, t, DIAL_DIRECT, 0);
	assert_step(&d, t, DIAL_WAIT, 0);
	assert_int_equal(dial_wake_ms(&d), t + DIAL_STEP_MS);
	assert_step(&d, t += DIAL_STEP_MS, DIAL_DIRECT, 1);
	assert_step(&d, t += DIAL_STEP_MS, DIAL_DIRECT, 2);
	assert_step(&d, t + DIAL_RELAY_MS - 1, DIAL_WAIT, 0);
	assert_step(&d, t += DIAL_RELAY_MS, DIAL_RELAY, 0);
	assert_step(&d, t += DIAL_LAST_MS, DIAL_RELAY, 1);
	assert_step(&d, t += DIAL_LAST_MS, DIAL_LAST, 2);
	assert_step(&d, t + 1000, DIAL_WAIT, 0);
	assert_step(&d, 1000 + DIAL_TOTAL_MS, DIAL_OVER, 0);
}

static void when_all_have_failed_the_next_one_waits_for_nothing(void **state)
{
	static const bool all[RECORD_ENDPOINTS_MAX] = {true, true, true, true};
	struct record r = record_full();
	struct dial d;

	(void)state;
	dial_begin(&d, 50, &r, all);
	assert_step(&d, 50, DIAL_DIRECT, 0);
	dial_lost(&d);
	assert_step(&d, 51, DIAL_DIRECT, 1);
	dial_lost(&d);
	assert_step(&d, 52, DIAL_DIRECT, 2);
	dial_lost(&d);
	assert_step(&d, 53, DIAL_RELAY, 0);
	dial_lost(&d);
	assert_step(&d, 54, DIAL_RELAY, 1);
	dial_lost(&d);
	assert_step(&d, 55, DIAL_LAST, 2);
	dial_lost(&d);
	assert_step(&d, 56, DIAL_OVER, 0);
}

static void what_may_not_be_dialled_is_not(void **state)
{
	static const bool some[RECORD_ENDPOINTS_MAX] = {false, true, false, false};
	static const bool none[RECORD_ENDPOINTS_MAX] = {false};
	struct record r = record_full();
	struct dial d;

	(void)state;
	dial_begin(&d, 0, &r, some);
	assert_int_equal(d.direct_count, 1);
	assert_int_equal(d.direct[0].port, 7001);
	dial_begin(&d, 0, &r, none);
	assert_step(&d, 0, DIAL_RELAY, 0); /* at once: there is nothing to wait for */
	r.relay_count = 0;
	dial_begin(&d, 0, &r, none);
	assert_step(&d, 0, DIAL_LAST, 0);
}

static struct message_punch punch_from(uint64_t nonce)
{
	struct message_punch m = {.nonce = nonce, .count = 1};

	m.at[0] = (struct endpoint){.family = 4, .ip = {198, 51, 100, 2}, .port = 7001};
	return m;
}

static void the_leader_dials_half_a_round_trip_after_its_go(void **state)
{
	struct endpoint other_port = {.family = 4, .ip = {198, 51, 100, 2}, .port = 9};
	struct endpoint other_host = {.family = 4, .ip = {198, 51, 100, 3}, .port = 7001};
	struct message_punch m;
	struct punch p;

	(void)state;
	punch_begin(&p, true, 1000);
	assert_int_equal(punch_tick(&p, 1000), PUNCH_ASK);
	m = punch_from(p.nonce);
	assert_false(punch_expects(&p, &m.at[0])); /* it has not said where it is */
	assert_int_equal(punch_on_punch(&p, 1200, &m), PUNCH_START);
	assert_int_equal(punch_wake_ms(&p), 1300);
	assert_int_equal(punch_tick(&p, 1299), PUNCH_NOTHING);
	assert_int_equal(punch_tick(&p, 1300), PUNCH_DIAL);
	assert_true(punch_expects(&p, &other_port));
	assert_false(punch_expects(&p, &other_host));
	punch_done(&p);
	assert_false(punch_expects(&p, &other_port));
	assert_int_equal(punch_wake_ms(&p), UINT64_MAX);
}

static void three_tries_and_then_it_stays_relayed(void **state)
{
	struct punch leader, follower;
	uint64_t t = 0;

	(void)state;
	punch_begin(&leader, true, t);
	punch_begin(&follower, false, t);
	for (unsigned i = 0; i < PUNCH_TRIES; i++) {
		struct message_punch m;
		struct message_punch_go go;

		t = punch_wake_ms(&leader);
		assert_int_equal(punch_tick(&leader, t), PUNCH_ASK);
		m = punch_from(leader.nonce);
		go.nonce = leader.nonce;
		assert_int_equal(punch_on_punch(&follower, t, &m), PUNCH_ASK);
		assert_int_equal(punch_on_punch(&leader, t, &m), PUNCH_START);
		assert_int_equal(punch_on_go(&follower, t, &go), PUNCH_DIAL);
		assert_int_equal(punch_tick(&leader, t), PUNCH_DIAL);
		t += PUNCH_DIAL_MS;
		assert_int_equal(punch_tick(&leader, t), PUNCH_CANCEL);
		assert_int_equal(punch_tick(&follower, t), PUNCH_CANCEL);
	}
	assert_int_equal(leader.state, PUNCH_OVER);
	assert_int_equal(punch_wake_ms(&leader), UINT64_MAX);
}

static void whoever_breaks_the_order_is_told_from_whoever_is_late(void **state)
{
	struct message_punch m = punch_from(1);
	struct message_punch_go go = {1};
	struct punch p;

	(void)state;
	punch_begin(&p, true, 0);
	assert_int_equal(punch_on_punch(&p, 0, &m), PUNCH_BROKEN); /* it was not asked */
	assert_int_equal(punch_on_go(&p, 0, &go), PUNCH_BROKEN);   /* the leader says that */
	assert_int_equal(punch_tick(&p, 0), PUNCH_ASK);
	m.nonce = p.nonce + 1;
	assert_int_equal(punch_on_punch(&p, 0, &m), PUNCH_BROKEN); /* another nonce */
	m.nonce = p.nonce;
	assert_int_equal(punch_tick(&p, PUNCH_ANSWER_MS), PUNCH_NOTHING);	  /* given up */
	assert_int_equal(punch_on_punch(&p, PUNCH_ANSWER_MS, &m), PUNCH_NOTHING); /* late */
	punch_begin(&p, false, 0);
	assert_int_equal(punch_on_go(&p, 0, &go), PUNCH_BROKEN); /* before any PUNCH */
	for (unsigned i = 0; i < PUNCH_TRIES; i++) {
		m.nonce = i;
		assert_int_equal(punch_on_punch(&p, 0, &m), PUNCH_ASK);
		assert_int_equal(punch_on_punch(&p, 0, &m), PUNCH_BROKEN); /* twice */
		(void)punch_tick(&p, PUNCH_ANSWER_MS);
	}
	assert_int_equal(punch_on_punch(&p, 0, &m), PUNCH_BROKEN); /* too many */
}

static void answer_is_awaited_for_as_long_as_the_pulse_says(void **state)
{
	struct punch p;

	(void)state;
	punch_begin(&p, true, 0);
	assert_int_equal(punch_tick(&p, 0), PUNCH_ASK);
	assert_true(punch_wake_ms(&p) == PUNCH_ANSWER_MS);
	p.answer_ms = 2500;
	assert_true(punch_wake_ms(&p) == 2500);
	assert_int_equal(punch_tick(&p, 2499), PUNCH_NOTHING);
	assert_int_equal(p.state, PUNCH_ASKED);
	assert_int_equal(punch_tick(&p, 2500), PUNCH_NOTHING);
	assert_int_equal(p.state, PUNCH_PAUSED);
}

#define CLAIM(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(public_addresses_go_first_then_private_ones_then_relays_then_the_coordinator),
		CLAIM(when_all_have_failed_the_next_one_waits_for_nothing),
		CLAIM(what_may_not_be_dialled_is_not),
		CLAIM(the_leader_dials_half_a_round_trip_after_its_go),
		CLAIM(three_tries_and_then_it_stays_relayed),
		CLAIM(whoever_breaks_the_order_is_told_from_whoever_is_late),
		CLAIM(answer_is_awaited_for_as_long_as_the_pulse_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
