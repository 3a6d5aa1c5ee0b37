/* Memory that runs out in the agent's core: the step says so, nothing leaks, nothing is half said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/base/mem.h"
#include "tests/lib/agent_script.h"

/* Steps a fresh agent to the brink, then lets allocation number `after` of the event fail. Gives what
 * the step returned. */
static int step_short_of_memory(struct script *s, struct agent_event *event, uint64_t after)
{
	struct agent_effects effects = {0};
	int rc;

	event->now_ms = s->now_ms;
	mem_fail(after, 0);
	rc = agent_step(s->agent, event, &effects);
	mem_fail(0, 0);
	agent_effects_close(&effects);
	return rc;
}

static void connect(struct script *s)
{
	script_restart(s);
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_lease(s, 1, 0, 0);
}

static void a_lease_without_memory_is_an_error_of_the_step(void **state)
{
	static struct script s;
	uint64_t after = 1;

	(void)state;
	script_open(&s);
	for (;; after++) {
		struct agent_event event = {.type = AGENT_MESSAGE, .message = &s.lease};
		int rc;

		connect(&s);
		rc = step_short_of_memory(&s, &event, after);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
	}
	assert_true(after > 1);
	script_close(&s);
}

static void a_result_without_memory_is_an_error_or_given_back_but_never_committed(void **state)
{
	static struct script s;
	uint64_t after = 1;

	(void)state;
	script_open(&s);
	for (;; after++) {
		struct agent_event event = {.type = AGENT_WORKER_DONE};
		int rc;

		connect(&s);
		script_say(&s, &s.lease);
		script_result(&s, 5000);
		event.job = s.job;
		event.claim = bytes_span(&s.claim);
		event.bytes = bytes_span(&s.payload);
		rc = step_short_of_memory(&s, &event, after);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
	}
	assert_true(after > 1);
	script_close(&s);
}

static void a_recipe_without_memory_is_an_error_or_gives_the_lease_back(void **state)
{
	static struct script s;
	uint64_t after = 1;

	(void)state;
	script_open(&s);
	for (; after < 200; after++) {
		struct agent_event event = {
			.type = AGENT_BLOB_FOUND, .digest = s.tiny.recipe_digest};
		struct agent_event lease = {.type = AGENT_MESSAGE, .message = &s.lease};
		struct agent_status status;
		int rc;

		connect(&s);
		assert_int_equal(step_short_of_memory(&s, &lease, 0), TK_OK);
		event.bytes = bytes_span(&s.recipe);
		rc = step_short_of_memory(&s, &event, after);
		script_status(&s, &status);
		if (rc == TK_OK && status.leases == 1)
			break;
		assert_true(rc == TK_ENOMEM || status.leases == 0);
	}
	assert_true(after > 1 && after < 200);
	script_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lease_without_memory_is_an_error_of_the_step),
		cmocka_unit_test(
			a_result_without_memory_is_an_error_or_given_back_but_never_committed),
		cmocka_unit_test(a_recipe_without_memory_is_an_error_or_gives_the_lease_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
