/* Teams in the status: a team has what its members have, and strangers choose the names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/status_teams.h"
#include "tasks/base/mem.h"

static void add(struct status_teams *all, const char *team, uint64_t units, uint64_t flops)
{
	struct peer_row row = {.valid = units, .credit_flops = flops};

	snprintf(row.team, sizeof(row.team), "%s", team);
	assert_int_equal(status_teams_add(all, &row), TK_OK);
}

static void assert_team(const struct status_team *t, const char *name, uint64_t members,
	uint64_t units, uint64_t flops)
{
	assert_string_equal(t->name, name);
	assert_int_equal(t->members, members);
	assert_int_equal(t->units, units);
	assert_int_equal(t->credit_flops, flops);
}

static void a_team_has_what_its_members_have_and_the_most_credit_comes_first(void **state)
{
	struct status_teams all = {0};

	(void)state;
	add(&all, "small", 9, 100);
	add(&all, "large", 1, 70);
	add(&all, "", 50, 5000);
	add(&all, "empty", 0, 0);
	add(&all, "large", 2, 80);
	add(&all, "also-empty", 0, 0);
	status_teams_rank(&all);
	assert_int_equal(all.count, 4);
	assert_team(&all.items[0], "large", 2, 3, 150);
	assert_team(&all.items[1], "small", 1, 9, 100);
	assert_team(&all.items[2], "also-empty", 1, 0, 0);
	assert_team(&all.items[3], "empty", 1, 0, 0);
	status_teams_close(&all);
}

static void without_teams_there_are_none(void **state)
{
	struct status_teams all = {0};

	(void)state;
	add(&all, "", 1, 1);
	status_teams_rank(&all);
	assert_int_equal(all.count, 0);
	status_teams_close(&all);
}

static void more_credit_than_a_number_holds_stays_the_most(void **state)
{
	struct status_teams all = {0};

	(void)state;
	add(&all, "b", 1, UINT64_MAX);
	add(&all, "a", 1, INT64_MAX);
	add(&all, "a", 1, INT64_MAX);
	add(&all, "c", 1, 12);
	status_teams_rank(&all);
	assert_team(&all.items[0], "a", 2, 2, INT64_MAX);
	assert_team(&all.items[1], "b", 1, 1, INT64_MAX);
	assert_team(&all.items[2], "c", 1, 1, 12);
	status_teams_close(&all);
}

static void a_thousand_teams_are_all_counted_and_no_memory_is_an_error(void **state)
{
	struct status_teams all = {0};
	struct peer_row row = {.team = "late"};
	char name[TEAM_MAX];

	(void)state;
	for (uint32_t i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "team-%u", i * 7919 % 1000);
		add(&all, name, 1, i % 1000 == 5 ? 2 : 1);
	}
	status_teams_rank(&all);
	assert_int_equal(all.count, 1000);
	assert_team(&all.items[0], "team-595", 2, 2, 4);
	assert_int_equal(all.items[999].members, 2);
	status_teams_close(&all);
	mem_fail(1, 0);
	assert_int_equal(status_teams_add(&all, &row), TK_ENOMEM);
	mem_fail(0, 0);
	status_teams_close(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_team_has_what_its_members_have_and_the_most_credit_comes_first),
		cmocka_unit_test(without_teams_there_are_none),
		cmocka_unit_test(more_credit_than_a_number_holds_stays_the_most),
		cmocka_unit_test(a_thousand_teams_are_all_counted_and_no_memory_is_an_error),
	};

	return cmocka_run_group_tests_name("coordinator: teams", tests, NULL, NULL);
}
