/* The crowd's sessions: what one has left unanswered is not answered on the next, both ends agree on which one they
 * have, and who had to leave the coordinator hears so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/crowd_state.h"

#define PIECES 4u
#define X      2u
#define Y      3u

/* Two public peers whom the coordinator has no place for, so that nothing happens but what a test says. */
static struct crowd *two_alone(void)
{
	struct crowd_config config;
	struct crowd *c;

	crowd_config_default(&config, 7, 2);
	config.public_percent = 100;
	config.bytes = PIECES * (uint64_t)BLOB_PIECE;
	config.places = 0;
	config.neighbours = 0;
	c = crowd_new(&config);
	for (peer_ref p = X; p <= Y; p++)
		crowd_step(c, p, &(struct swarm_event){.type = SWARM_UP, .peer = CROWD_ROOT});
	return c;
}

/* It wants the blob and has the pieces already. */
static void wants(struct crowd *c, peer_ref peer, uint64_t pieces)
{
	crowd_step(c, peer,
		&(struct swarm_event){.type = SWARM_WANT,
			.blob = CROWD_BLOB,
			.total = c->config.bytes,
			.words = &pieces,
			.count = 1});
}

static void hears(struct crowd *c, peer_ref self, peer_ref from, struct swarm_message m)
{
	m.blob = CROWD_BLOB;
	crowd_step(
		c, self, &(struct swarm_event){.type = SWARM_MESSAGE, .peer = from, .message = &m});
}

static void hears_of(struct crowd *c, peer_ref self, peer_ref other)
{
	hears(c, self, CROWD_ROOT,
		(struct swarm_message){.type = MESSAGE_BLOB_SOURCES, .count = 1, .peers = {other}});
}

static uint32_t has(const struct crowd *c, peer_ref peer)
{
	struct swarm_progress p = {0};

	assert_true(swarm_progress(c->members[peer].swarm, CROWD_BLOB, &p));
	return p.have;
}

static uint32_t now(const struct crowd *c)
{
	return c->wheel.now_ms - CROWD_BEGIN_MS;
}

static void run_on(struct crowd *c, uint32_t ms)
{
	crowd_run(c, now(c) + ms);
}

/* Both have the same one, or neither has any. */
static bool agree(const struct crowd *c, peer_ref a, peer_ref b)
{
	const struct crowd_link *at_a = crowd_linked(c, a, b), *at_b = crowd_linked(c, b, a);

	return at_a == NULL || at_b == NULL ? at_a == at_b : at_a->serial == at_b->serial;
}

/* X serves Y one piece and has taken its request for another when it ends the session. A core that is not told answers
 * the rest on the next session, unasked, and Y accuses X, which ends this program. */
static void what_one_session_leaves_unanswered_the_next_does_not_answer(void **state)
{
	struct crowd *c = two_alone();
	struct swarm_totals t;
	uint32_t first;

	(void)state;
	wants(c, X, 7);
	wants(c, Y, 0);
	c->flows.ends[X].up = BLOB_PIECE / 100000; /* a piece takes 100 s */
	hears_of(c, X, Y);
	for (uint32_t ms = 0; ms < 150000 && has(c, Y) == 0; ms += 100)
		run_on(c, 100);
	assert_int_equal(has(c, Y), 1);
	first = crowd_linked(c, X, Y)->serial;
	run_on(c, 5000);
	assert_int_equal(c->flows.ends[X].out, 1);
	crowd_end(c, X, Y);
	run_on(c, 1000);
	assert_null(crowd_linked(c, X, Y));
	assert_null(crowd_linked(c, Y, X));
	assert_int_equal(has(c, Y), 1);
	hears_of(c, Y, X);
	run_on(c, 5000);
	assert_true(agree(c, X, Y) && crowd_linked(c, X, Y)->serial > first);
	run_on(c, 400000);
	assert_int_equal(has(c, Y), 3);
	swarm_totals(c->members[Y].swarm, &t);
	assert_int_equal(t.wasted, 0);
	crowd_free(c);
}

static void two_who_dial_each_other_at_once_agree_on_one_session(void **state)
{
	for (uint32_t later = 0; later < 400; later += 20) {
		struct crowd *c = two_alone();

		(void)state;
		wants(c, X, 3);
		wants(c, Y, 12);
		hears_of(c, X, Y);
		run_on(c, later + 1);
		hears_of(c, Y, X);
		run_on(c, 5000);
		assert_non_null(crowd_linked(c, X, Y));
		assert_true(agree(c, X, Y));
		run_on(c, 100000);
		assert_int_equal(has(c, X), PIECES);
		assert_int_equal(has(c, Y), PIECES);
		crowd_free(c);
	}
}

static void who_needs_a_session_no_more_ends_it_at_both_ends(void **state)
{
	struct crowd *c = two_alone();

	(void)state;
	wants(c, X, 15);
	wants(c, Y, 7);
	hears_of(c, Y, X);
	run_on(c, 20000);
	assert_int_equal(has(c, Y), PIECES);
	assert_non_null(crowd_linked(c, Y, X));
	run_on(c, 70000);
	assert_null(crowd_linked(c, Y, X));
	assert_null(crowd_linked(c, X, Y));
	crowd_free(c);
}

/* Each knock is a first one or follows a refusal or a dismissal, and who has no place is on the way to one. */
static void who_is_sent_away_hears_so_and_comes_again(void **state)
{
	struct crowd_config config;
	struct crowd_totals t;
	struct crowd *c;
	uint32_t outside;

	(void)state;
	crowd_config_default(&config, 7, 40);
	config.bytes = 400 * (uint64_t)BLOB_PIECE;
	config.places = 32;
	c = crowd_new(&config);
	outside = config.peers - config.places;
	for (uint32_t s = 0; s < 1000; s += 10) {
		run_on(c, 10000);
		crowd_totals(c, &t);
		if (t.displaced > 2 * outside || crowd_done(c) != 0)
			break;
	}
	assert_int_equal(crowd_done(c), 0);
	assert_true(t.displaced > 2 * outside);
	assert_true(t.knocks + outside >= config.peers + t.refused + t.displaced);
	crowd_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_one_session_leaves_unanswered_the_next_does_not_answer),
		cmocka_unit_test(two_who_dial_each_other_at_once_agree_on_one_session),
		cmocka_unit_test(who_needs_a_session_no_more_ends_it_at_both_ends),
		cmocka_unit_test(who_is_sent_away_hears_so_and_comes_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
