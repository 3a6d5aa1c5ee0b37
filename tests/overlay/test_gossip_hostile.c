/* The gossip core among hostile neighbours and with memory running out: arbitrary events never break a bound,
 * and a step that fails has done nothing. TALKOOT_SEED replays a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tests/lib/fuzz_targets.h"
#include "tests/lib/gossip_bench.h"
#include "tests/lib/slice.h"

#define INPUT 4096u

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* The fuzz target checks the bounds itself, and aborts when one is passed. */
static void arbitrary_events_break_no_bound(void **state)
{
	const char *given = getenv("TALKOOT_SEED");
	uint64_t first = given != NULL ? strtoull(given, NULL, 10) : 1;
	uint8_t *input = malloc(INPUT);

	(void)state;
	assert_non_null(input);
	for (uint64_t seed = first; seed < first + (given != NULL ? 1 : slice(500, 60)); seed++) {
		for (size_t i = 0; i < INPUT; i++)
			input[i] = (uint8_t)mix(seed * INPUT + i);
		fuzz_gossip(span_of(input, INPUT));
	}
	free(input);
}

static void life(struct gossip_bench *b, struct gossip_event *e, unsigned i)
{
	static struct gossip_message m;

	*e = (struct gossip_event){.type = GOSSIP_MESSAGE, .peer = 3 + i % 90, .message = &m};
	m = (struct gossip_message){.type = MESSAGE_NEIGHBOR, .about = e->peer};
	if (i == 0) {
		*e = (struct gossip_event){.type = GOSSIP_START};
	} else if (i >= 90) {
		m = (struct gossip_message){.type = MESSAGE_BROADCAST, .ttl = 2};
		m.about = bench_body(b, i, 2 + i % 40, i);
		b->now_ms += 5;
	}
}

static size_t active(const struct gossip_bench *b)
{
	peer_ref list[GOSSIP_ACTIVE_MAX];

	return gossip_active(b->g, list);
}

/* Each allocation of a long life fails once: that event changes nothing and succeeds when repeated. */
static void event_without_memory_has_no_effect(void **state)
{
	struct gossip_bench *b = malloc(sizeof(*b));
	struct gossip_config config;
	unsigned failed = 0;

	(void)state;
	assert_non_null(b);
	gossip_config_default(&config, 1, true);
	bench_open(b, &config, 5);
	for (unsigned i = 0; i < 700; i++) {
		size_t before = active(b);
		struct gossip_event e;
		int rc;

		life(b, &e, i);
		gossip_effects_close(&b->out); /* so that effects are allocated, too */
		for (uint64_t nth = 1; nth < 10; nth++) {
			mem_fail(nth, 0);
			rc = bench_try(b, &e);
			mem_fail(0, 0);
			if (rc == TK_OK)
				break;
			failed++;
			assert_int_equal(rc, TK_ENOMEM);
			assert_int_equal(active(b), before);
			assert_int_equal(b->out.count, 0);
		}
		assert_int_equal(rc, TK_OK);
	}
	assert_true(active(b) > 40);
	assert_true(failed > 700);
	bench_close(b);
	free(b);
}

static void core_that_cannot_be_made_is_not_made(void **state)
{
	struct gossip_tables tables = {0};
	struct gossip_config config;

	(void)state;
	gossip_config_default(&config, 1, true);
	for (uint64_t nth = 1; nth < 10; nth++) {
		struct gossip *g;

		mem_fail(nth, 0);
		g = gossip_new(&config, &tables);
		mem_fail(0, 0);
		if (g != NULL) {
			assert_true(nth > 4);
			gossip_free(g);
			return;
		}
	}
	fail_msg("it never succeeded");
}

/* In the steady state nothing is allocated. */
static void quiet_network_allocates_nothing(void **state)
{
	struct gossip_bench *b = malloc(sizeof(*b));
	struct gossip_config config;

	(void)state;
	assert_non_null(b);
	gossip_config_default(&config, 1, true);
	bench_open(b, &config, 5);
	bench_choose(b, 3);
	for (peer_ref p = 5; p < 20; p++)
		bench_befriend(b, p);
	for (body_ref body = 1; body < 300; body++) {
		if (body == 200)
			mem_fail(1, 1);
		bench_say(b, 3, MESSAGE_BROADCAST, bench_body(b, body, 1, body), false, 2);
		bench_wait(b, 1000);
	}
	mem_fail(0, 0);
	bench_close(b);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arbitrary_events_break_no_bound),
		cmocka_unit_test(event_without_memory_has_no_effect),
		cmocka_unit_test(core_that_cannot_be_made_is_not_made),
		cmocka_unit_test(quiet_network_allocates_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
