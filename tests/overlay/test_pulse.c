/* Round trips, their median and deviation, and the deadlines that follow, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "peer/overlay/pulse.h"

static void measure(struct pulse *p, uint64_t *now_ms, uint32_t rtt_ms)
{
	uint64_t token = pulse_ask(p, *now_ms + 1, *now_ms);

	*now_ms += rtt_ms;
	pulse_answer(p, token, *now_ms);
	*now_ms += 1000;
}

static void deadlines_follow_median_and_deviation(void **state)
{
	static const struct {
		uint32_t samples[6];
		uint32_t rtt_ms, mad_ms, answer_ms, quiet_ms, silence_ms;
	} table[] = {
		/* one is enough; a round trip of nothing counts as 1 */
		{{100}, 100, 0, 5000, 15000, 30000},
		{{0, 0, 0, 0, 0, 0}, 1, 0, 5000, 15000, 30000},
		/* the odd long one moves nothing */
		{{100, 100, 100, 100, 100, 90000}, 100, 0, 5000, 15000, 30000},
		/* unsteady: median + 8 MAD */
		{{1000, 2000, 3000, 4000, 5000, 6000}, 3000, 1000, 11000, 33000, 66000},
		{{6000, 5000, 4000, 3000, 2000, 1000}, 3000, 1000, 11000, 33000, 66000},
		/* slow, and up to the ceiling */
		{{12000, 12000, 12000, 12000, 12000, 12000}, 12000, 0, 12000, 36000, 72000},
		{{50000, 50000, 50000, 50000, 50000, 50000}, 50000, 0, 20000, 60000, 120000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct pulse p = {0};
		uint64_t now_ms = 1000;

		for (size_t j = 0; j < 6 && (j == 0 || i > 0); j++)
			measure(&p, &now_ms, table[i].samples[j]);
		assert_int_equal(pulse_rtt_ms(&p), table[i].rtt_ms);
		assert_int_equal(p.mad_ms, table[i].mad_ms);
		assert_int_equal(pulse_answer_ms(&p), table[i].answer_ms);
		assert_int_equal(pulse_quiet_ms(&p), table[i].quiet_ms);
		assert_int_equal(pulse_silence_ms(&p), table[i].silence_ms);
	}
}

static void lateness_has_neither_floor_nor_ceiling(void **state)
{
	static const uint32_t uneven[] = {100, 400, 700, 1000, 1300, 1600};
	struct pulse p = {0};
	uint64_t now_ms = 1000;

	(void)state;
	assert_int_equal(pulse_late_ms(&p), 0);
	measure(&p, &now_ms, 0);
	assert_int_equal(pulse_late_ms(&p), 1);
	p = (struct pulse){0};
	for (size_t i = 0; i < 6; i++)
		measure(&p, &now_ms, uneven[i]);
	assert_int_equal(pulse_late_ms(&p), 700 + PULSE_MADS * 300);
	for (size_t i = 0; i < PULSE_SAMPLES; i++)
		measure(&p, &now_ms, 50000);
	assert_int_equal(pulse_late_ms(&p), 50000);
}

static void unmeasured_session_has_the_first_deadlines(void **state)
{
	struct pulse p = {0};

	(void)state;
	assert_int_equal(pulse_rtt_ms(&p), 0);
	assert_int_equal(pulse_answer_ms(&p), PULSE_ANSWER_FIRST_MS);
	assert_int_equal(pulse_silence_ms(&p), PULSE_SILENCE_FIRST_MS);
}

static void old_samples_are_forgotten(void **state)
{
	struct pulse p = {0};
	uint64_t now_ms = 1000;

	(void)state;
	for (unsigned i = 0; i < PULSE_SAMPLES; i++)
		measure(&p, &now_ms, 9000);
	assert_int_equal(pulse_rtt_ms(&p), 9000);
	for (unsigned i = 0; i < PULSE_SAMPLES; i++)
		measure(&p, &now_ms, 20);
	assert_int_equal(pulse_rtt_ms(&p), 20);
	assert_int_equal(p.mad_ms, 0);
}

/* However long an answer takes, it is measured: from the first of the questions, which it answers. */
static void answer_slower_than_the_questions_is_measured(void **state)
{
	struct pulse p = {0};

	(void)state;
	assert_int_equal(pulse_ask(&p, 7, 1000), 7);
	assert_int_equal(pulse_ask(&p, 8, 11000), 7);
	assert_int_equal(pulse_ask(&p, 9, 21000), 7);
	pulse_answer(&p, 7, 26000);
	assert_int_equal(pulse_rtt_ms(&p), 25000);
	pulse_answer(&p, 7, 36000); /* to the second and third: known already */
	assert_int_equal(p.count, 1);
}

static void answers_that_nobody_asked_for_change_nothing(void **state)
{
	struct pulse p = {0}, before;

	(void)state;
	pulse_answer(&p, 0, 5000);
	pulse_answer(&p, 1, 5000);
	assert_int_equal(p.count, 0);
	pulse_ask(&p, 7, 1000);
	before = p;
	for (uint64_t token = 0; token < 7; token++)
		pulse_answer(&p, token, 5000);
	pulse_answer(&p, UINT64_MAX, 5000);
	assert_memory_equal(&p, &before, sizeof(p));
	pulse_answer(&p, 7, 900); /* a clock that went back */
	assert_int_equal(pulse_rtt_ms(&p), 1);
}

static void questions_come_when_due(void **state)
{
	struct pulse p = {0};

	(void)state;
	/* not measured, not asked: after the first silence, or a minute of talk */
	assert_false(pulse_due(&p, 29999, 29999));
	assert_true(pulse_due(&p, 30000, 30000));
	assert_false(pulse_due(&p, 0, PULSE_MEASURE_MS - 1));
	assert_true(pulse_due(&p, 0, PULSE_MEASURE_MS));
	/* asked and not answered: again after as long as an answer may take */
	pulse_ask(&p, 1, 0);
	assert_false(pulse_due(&p, 30000, 9999));
	assert_true(pulse_due(&p, 30000, 10000));
	assert_false(pulse_due(&p, 0, 10 * PULSE_MEASURE_MS)); /* it is not silent: TCP is slow */
	pulse_answer(&p, 1, 50);
	assert_false(pulse_due(&p, 14999, 14999));
	assert_true(pulse_due(&p, 15000, 15000));
}

/* Whatever is measured, deadlines stay between floor and ceiling and leave time for every question. */
static void deadlines_are_bounded_whatever_is_measured(void **state)
{
	uint64_t seed = 88172645463325252u, now_ms = 1;
	struct pulse p = {0};

	(void)state;
	for (int i = 0; i < 100000; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		measure(&p, &now_ms, (uint32_t)(seed >> (32 + seed % 32)));
		assert_in_range(pulse_answer_ms(&p), PULSE_ANSWER_MIN_MS, PULSE_ANSWER_MAX_MS);
		assert_in_range(pulse_silence_ms(&p), PULSE_SILENCE_MIN_MS, PULSE_SILENCE_MAX_MS);
		assert_true(pulse_silence_ms(&p) >=
			    pulse_quiet_ms(&p) + PULSE_ASKS * pulse_answer_ms(&p));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadlines_follow_median_and_deviation),
		cmocka_unit_test(lateness_has_neither_floor_nor_ceiling),
		cmocka_unit_test(unmeasured_session_has_the_first_deadlines),
		cmocka_unit_test(old_samples_are_forgotten),
		cmocka_unit_test(answer_slower_than_the_questions_is_measured),
		cmocka_unit_test(answers_that_nobody_asked_for_change_nothing),
		cmocka_unit_test(questions_come_when_due),
		cmocka_unit_test(deadlines_are_bounded_whatever_is_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
