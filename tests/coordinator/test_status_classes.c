/* When the self-tests of a class of peers become an alarm in the status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/status_classes.h"

static void add(struct status_classes *all, const char *engine, const char *misfit)
{
	struct peer_row row = {.tested_s = misfit[0] == '\0'};

	snprintf(row.engine, sizeof(row.engine), "%s", engine);
	snprintf(row.build, sizeof(row.build), "1");
	snprintf(row.misfit, sizeof(row.misfit), "%s", misfit);
	status_classes_add(all, &row);
}

static uint32_t alarms(const struct status_classes *all, char text[256])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < all->count; i++)
		n += status_classes_alarm(all, i, text);
	return n;
}

static void a_class_is_alarming_when_two_fail_none_passes_and_others_do(void **state)
{
	struct status_classes all = {.count = 0};
	char text[256] = "";

	(void)state;
	add(&all, "avx512", "log");
	add(&all, "avx2", "");
	assert_int_equal(alarms(&all, text), 0);
	add(&all, "avx512", "exp"); /* another operation: two broken computers */
	assert_int_equal(alarms(&all, text), 0);
	add(&all, "avx512", "log");
	assert_int_equal(alarms(&all, text), 1);
	assert_non_null(strstr(text, "engine avx512 of build 1 have \"log\" wrong"));
	add(&all, "avx512", "");
	assert_int_equal(alarms(&all, text), 0);
}

static void a_class_that_is_all_there_is_raises_none(void **state)
{
	struct status_classes all = {.count = 0};
	char text[256];

	(void)state;
	add(&all, "avx2", "log");
	add(&all, "avx2", "log");
	assert_int_equal(alarms(&all, text), 0);
}

static void made_up_classes_are_counted_up_to_a_limit(void **state)
{
	struct status_classes all = {.count = 0};
	char text[256];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "e%d", i);
		add(&all, name, "log");
	}
	assert_int_equal(all.count, STATUS_CLASSES_MAX);
	assert_int_equal(alarms(&all, text), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_class_is_alarming_when_two_fail_none_passes_and_others_do),
		cmocka_unit_test(a_class_that_is_all_there_is_raises_none),
		cmocka_unit_test(made_up_classes_are_counted_up_to_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
