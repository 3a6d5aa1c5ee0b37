/* The count of connections by prefix against a count by hand, over thousands of random comings and goings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "peer/overlay/connections.h"

#define PEOPLE	 200u
#define PREFIXES 17u

static uint64_t next(uint64_t *random)
{
	uint64_t z = *random += 0x9e3779b97f4a7c15u; /* splitmix64 */

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static size_t count_of(const struct connections *t, uint64_t prefix)
{
	size_t count = 0;

	for (const struct connection *c = t->first; c != NULL; c = c->next)
		count += c->prefix == prefix;
	return count;
}

static void check(const struct connections *t)
{
	size_t most = 0;

	for (uint64_t p = 1; p <= PREFIXES; p++)
		most = count_of(t, p) > most ? count_of(t, p) : most;
	for (uint64_t p = 0; p <= PREFIXES; p++) { /* 0: of no prefix, which has none */
		size_t own = p != 0 ? count_of(t, p) : 0;
		const struct connection *c = crowds_heaviest(&t->crowds, p);

		assert_int_equal(c != NULL, most >= own + 2);
		if (c == NULL)
			continue;
		assert_int_equal(count_of(t, c->prefix), most);
		for (const struct connection *after = c->next; after != NULL; after = after->next)
			assert_int_not_equal(after->prefix, c->prefix); /* it is the newest */
	}
}

static void heaviest_is_what_a_count_by_hand_says(void **state)
{
	struct connections t;
	uint64_t random = 3;
	conn_id ids = 0;

	(void)state;
	assert_int_equal(connections_init(&t), TK_OK);
	for (unsigned step = 0; step < 4000; step++) {
		bool fewer = next(&random) % (2 * PEOPLE) < t.count;

		if (fewer) {
			struct connection *c = t.first;

			for (uint64_t k = next(&random) % t.count; k > 0; k--)
				c = c->next;
			connections_remove(&t, c);
		} else {
			struct connection *c = connections_add(&t, ++ids);

			assert_non_null(c);
			/* few prefixes have many */
			c->prefix = 1 + next(&random) % (1 + next(&random) % PREFIXES);
			crowds_enter(&t.crowds, c);
		}
		check(&t);
	}
	connections_close(&t);
}

static void who_is_not_counted_leaves_without_a_trace(void **state)
{
	struct connections t;
	struct connection *a, *b;

	(void)state;
	assert_int_equal(connections_init(&t), TK_OK);
	a = connections_add(&t, 1);
	b = connections_add(&t, 2);
	assert_true(a != NULL && b != NULL);
	a->prefix = b->prefix = 9;
	assert_null(crowds_heaviest(&t.crowds, 0));
	crowds_enter(&t.crowds, a);
	connections_remove(&t, b);
	assert_null(crowds_heaviest(&t.crowds, 0)); /* one is no crowd */
	connections_remove(&t, a);
	assert_null(crowds_heaviest(&t.crowds, 9));
	connections_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heaviest_is_what_a_count_by_hand_says),
		cmocka_unit_test(who_is_not_counted_leaves_without_a_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
