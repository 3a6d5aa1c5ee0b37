/* The buckets before the handshake, and the log of handshakes that failed, as tables of what is let in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/overlay/admission.h"
#include "tasks/base/key.h"

static struct admission *admission_start(void)
{
	struct admission *a = malloc(sizeof(*a));

	assert_non_null(a);
	admission_init(a, 1000);
	return a;
}

static struct endpoint at(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_from_text(&e, text), TK_OK);
	return e;
}

/* How many of n are let in at this moment. */
static unsigned admitted(struct admission *a, const char *from, unsigned n, uint64_t now_ms)
{
	struct endpoint e = from != NULL ? at(from) : (struct endpoint){0};
	unsigned in = 0;

	for (unsigned i = 0; i < n; i++)
		in += admission_refuse(a, from != NULL ? &e : NULL, now_ms) == NULL;
	return in;
}

static void prefix_gets_its_burst_and_then_its_rate(void **state)
{
	static const struct {
		const char *from;
		unsigned burst, per_s;
	} table[] = {
		{"192.0.2.1:9", ADMISSION_BURST, ADMISSION_PER_S},
		{"[2001:db8::1]:9", ADMISSION_BURST, ADMISSION_PER_S},
		{"127.0.0.1:9", ADMISSION_LOCAL_BURST, ADMISSION_LOCAL_PER_S},
		{"[::1]:9", ADMISSION_LOCAL_BURST, ADMISSION_LOCAL_PER_S},
		{"10.1.2.3:9", ADMISSION_LOCAL_BURST, ADMISSION_LOCAL_PER_S},
		{"172.16.2.3:9", ADMISSION_LOCAL_BURST, ADMISSION_LOCAL_PER_S},
		{"192.168.2.3:9", ADMISSION_LOCAL_BURST, ADMISSION_LOCAL_PER_S},
		{"[fd00::1]:9", ADMISSION_LOCAL_BURST, ADMISSION_LOCAL_PER_S},
		{NULL, ADMISSION_LOCAL_BURST, ADMISSION_LOCAL_PER_S},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct admission *a = admission_start();
		unsigned burst = table[i].burst, per_s = table[i].per_s;

		assert_int_equal(admitted(a, table[i].from, burst + 9, 1000), burst);
		assert_int_equal(admitted(a, table[i].from, 3 * per_s, 2000), per_s);
		assert_int_equal(admitted(a, table[i].from, 3 * per_s, 4000), 2 * per_s);
		/* half of a token twice is one */
		assert_int_equal(admitted(a, table[i].from, 9, 4000 + 500 / per_s), 0);
		assert_int_equal(admitted(a, table[i].from, 9, 4000 + 1000 / per_s + 1), 1);
		/* a year of peace fills it, and no more than that */
		assert_int_equal(
			admitted(a, table[i].from, 2 * burst, 365ull * 86400 * 1000), burst);
		/* a clock that stands still, or goes back, gives nothing */
		assert_int_equal(admitted(a, table[i].from, 9, 0), 0);
		free(a);
	}
}

static void neighbours_share_a_bucket_and_strangers_do_not(void **state)
{
	struct admission *a = admission_start();

	(void)state;
	assert_int_equal(admitted(a, "192.0.2.1:1", 100, 1000), ADMISSION_BURST);
	assert_int_equal(admitted(a, "192.0.2.254:2", 1, 1000), 0);
	assert_int_equal(admitted(a, "192.0.3.1:1", 1, 1000), 1);
	assert_int_equal(admitted(a, "[2001:db8:1:2::1]:1", 100, 1000), ADMISSION_BURST);
	assert_int_equal(admitted(a, "[2001:db8:1:3::1]:1", 1, 1000), 0);
	assert_int_equal(admitted(a, "[2001:db8:2::1]:1", 1, 1000), 1);
	free(a);
}

/* Who comes through a relay shares a bucket with all others that do, and with nobody else. */
static void circuits_of_one_session_share_a_bucket(void **state)
{
	struct admission *a = admission_start();
	unsigned in = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		in += admission_refuse_carried(a, 7, 1000) == NULL;
	assert_int_equal(in, ADMISSION_BURST);
	assert_null(admission_refuse_carried(a, 8, 1000));
	assert_int_equal(admitted(a, NULL, 1, 1000), 1);
	assert_int_not_equal(admission_prefix_carried(7), admission_prefix_carried(8));
	free(a);
}

/* From everywhere: each newcomer gets one try, whoever was seen lately keeps what it has left. */
static void flood_from_everywhere_is_bounded_and_lets_newcomers_try(void **state)
{
	struct admission *a = admission_start();
	unsigned in = 0;
	char from[32];

	(void)state;
	for (unsigned i = 0; i < 3 * ADMISSION_PREFIXES_MAX; i++) {
		unsigned n;

		snprintf(
			from, sizeof(from), "%u.%u.%u.1:1", 11 + i / 65536, i / 256 % 256, i % 256);
		n = admitted(a, from, 100, 1000);
		in += n;
		assert_int_equal(n, i < ADMISSION_PREFIXES_MAX ? ADMISSION_BURST : 1);
	}
	assert_int_equal(in, ADMISSION_PREFIXES_MAX * ADMISSION_BURST + 2 * ADMISSION_PREFIXES_MAX);
	/* the last one is remembered, the first is not */
	assert_int_equal(admitted(a, from, 1, 1000), 0);
	assert_int_equal(admitted(a, "11.0.0.1:1", 100, 1000), 1);
	/* once it is over, newcomers are welcome again */
	assert_int_equal(admitted(a, "198.51.100.1:1", 100, 1000 + 3600 * 1000), ADMISSION_BURST);
	free(a);
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* A second, obvious implementation: a list of (prefix, tokens, time), the newest last. */
struct plain {
	struct {
		uint64_t prefix, at_ms;
		uint32_t milli;
	} seen[ADMISSION_PREFIXES_MAX];
	size_t count;
};

static bool plain_take(struct plain *p, const struct endpoint *e, uint64_t now_ms)
{
	uint64_t prefix = endpoint_prefix(e), full = 1000 * ADMISSION_BURST, milli = full;
	size_t i = 0;

	while (i < p->count && p->seen[i].prefix != prefix)
		i++;
	if (i == ADMISSION_PREFIXES_MAX)
		i = 0;
	if (p->count == ADMISSION_PREFIXES_MAX || i < p->count) {
		uint64_t left =
			p->seen[i].milli + (now_ms - p->seen[i].at_ms) * (uint64_t)ADMISSION_PER_S;

		left = left < full ? left : full;
		milli = p->seen[i].prefix == prefix ? left : left < full ? 1000 : full;
		memmove(&p->seen[i], &p->seen[i + 1], (p->count - i - 1) * sizeof(p->seen[0]));
		p->count--;
	}
	p->seen[p->count].prefix = prefix;
	p->seen[p->count].at_ms = now_ms;
	p->seen[p->count].milli = (uint32_t)(milli >= 1000 ? milli - 1000 : milli);
	p->count++;
	return milli >= 1000;
}

static void table_equals_a_plain_list_under_any_traffic(void **state)
{
	(void)state;
	for (uint64_t start = 1; start <= 4; start++) {
		struct admission *a = admission_start();
		struct plain *p = calloc(1, sizeof(*p));
		uint64_t seed = start * 0x9e3779b97f4a7c15u, now_ms = 1000;

		assert_non_null(p);
		for (int i = 0; i < 40000; i++) {
			struct endpoint e = {.family = 4, .ip = {50}, .port = 1};
			uint64_t r = next(&seed);

			/* a few come often, many seldom */
			store_le16(
				e.ip + 1, (uint16_t)(r % 4 == 0 ? r >> 20 & 0x7ff : r >> 20 & 7));
			now_ms += r >> 40 & 15;
			if ((admission_refuse(a, &e, now_ms) == NULL) != plain_take(p, &e, now_ms))
				fail_msg("seed %llu, step %d", (unsigned long long)start, i);
		}
		free(p);
		free(a);
	}
}

static void log_has_a_line_for_the_first_and_a_sum_for_the_rest(void **state)
{
	struct admission *a = admission_start();
	char sum[TEXT_MAX];
	unsigned lines = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		lines += admission_line(a, "garbage", 1000);
	assert_int_equal(lines, ADMISSION_LINES);
	admission_count(a, ADMISSION_CROWD, NULL);
	assert_true(admission_sum(a, 1000, sum));
	assert_string_equal(sum, "1 handshakes were closed to make room for others; 984 more "
				 "handshakes failed; the last failed because: garbage");
	assert_false(admission_sum(a, 1000 + 2 * ADMISSION_SUM_MS, sum)); /* nothing happened */
	admission_count(a, ADMISSION_RATE, NULL);
	assert_false(admission_sum(a, 1000 + ADMISSION_SUM_MS - 1, sum));
	assert_true(admission_sum(a, 1000 + ADMISSION_SUM_MS, sum));
	assert_string_equal(sum, "1 connections were refused: too many from one network");
	assert_true(admission_line(a, "garbage", 1000 + ADMISSION_LINE_MS));
	assert_false(admission_line(a, "garbage", 1000 + ADMISSION_LINE_MS));
	free(a);
}

static void longest_sum_fits(void **state)
{
	struct admission *a = admission_start();
	char sum[TEXT_MAX], why[TEXT_MAX];

	(void)state;
	memset(why, 'w', sizeof(why) - 1);
	why[sizeof(why) - 1] = '\0';
	for (int fate = 0; fate < ADMISSION_FATES; fate++) {
		admission_count(a, fate, why);
		a->counts[fate] = UINT64_MAX;
	}
	assert_true(admission_sum(a, 1000, sum));
	assert_non_null(strstr(sum, "failed"));
	assert_true(strlen(sum) < sizeof(sum));
	free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefix_gets_its_burst_and_then_its_rate),
		cmocka_unit_test(neighbours_share_a_bucket_and_strangers_do_not),
		cmocka_unit_test(circuits_of_one_session_share_a_bucket),
		cmocka_unit_test(flood_from_everywhere_is_bounded_and_lets_newcomers_try),
		cmocka_unit_test(table_equals_a_plain_list_under_any_traffic),
		cmocka_unit_test(log_has_a_line_for_the_first_and_a_sum_for_the_rest),
		cmocka_unit_test(longest_sum_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
