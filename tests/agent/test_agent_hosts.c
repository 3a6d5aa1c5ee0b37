/* The agent's core and hosts of the link: the way in through one, the search for the coordinator meanwhile, and the root's
 * word that this peer is one. The script's link has two addresses: the coordinator's, and a host's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "peer/wire/identity.h"
#include "tests/lib/agent_script.h"

static void fail_dial(struct script *s)
{
	script_event(
		s, (struct agent_event){.type = AGENT_DIAL_FAILED, .text = "connection refused"});
}

static void host_answers(struct script *s)
{
	script_event(s, (struct agent_event){.type = AGENT_UP, .role = ROLE_PEER});
}

static void pass_until_dial(struct script *s)
{
	for (int i = 0; i < 1000 && strstr(s->trace, "DIAL") == NULL; i++)
		script_pass(s, AGENT_TICK_MS);
}

/* The coordinator is away, and a host lets us in. */
static void enter(struct script *s)
{
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_expect(s, "DIAL 0\n");
	fail_dial(s);
	pass_until_dial(s);
	script_expect(s, "DIAL 1\n");
	host_answers(s);
	script_expect(s, "RELEASE\n");
}

static void a_host_is_a_way_in_and_no_coordinator(void **state)
{
	struct agent_status status;
	struct script *s = *state;

	enter(s);
	script_status(s, &status);
	assert_false(status.connected);
	assert_int_equal(status.state, AGENT_WAITING);
	assert_string_equal(status.host, "two.example:4321");
	assert_non_null(strstr(
		status.reason, "in the network by two.example:4321; the coordinator is away"));
	/* what comes of its session is not ours */
	script_lost(s);
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	script_expect(s, "");
}

static void the_coordinator_is_looked_for_and_the_host_left_alone(void **state)
{
	struct agent_status status;
	struct script *s = *state;

	enter(s);
	for (int i = 0; i < 20; i++) {
		pass_until_dial(s);
		script_expect(s, "DIAL 0\n");
		script_status(s, &status);
		assert_non_null(strstr(status.reason, "looking for it at one.example:4321"));
		fail_dial(s);
		script_status(s, &status);
		assert_non_null(strstr(status.reason, "in the network by two.example:4321"));
	}
}

static void work_begins_when_the_coordinator_is_back(void **state)
{
	struct agent_status status;
	struct script *s = *state;

	enter(s);
	pass_until_dial(s);
	script_expect(s, "DIAL 0\n");
	script_connect(s);
	script_expect(s, "SEND WORK_REQUEST 2\n");
	script_status(s, &status);
	assert_true(status.connected);
	assert_string_equal(status.host, "");
}

static void without_news_hosts_are_asked_again(void **state)
{
	struct agent_event isolated = {.type = AGENT_ISOLATED, .total = 1};
	struct agent_status status;
	struct script *s = *state;

	enter(s);
	pass_until_dial(s);
	script_expect(s, "DIAL 0\n");
	fail_dial(s);
	script_event(s, isolated);
	script_status(s, &status); /* with a neighbour left, we are in still */
	assert_string_equal(status.host, "two.example:4321");
	pass_until_dial(s);
	script_expect(s, "DIAL 1\n");
	host_answers(s);
	script_expect(s, "RELEASE\n");
	isolated.total = 0;
	script_event(s, isolated);
	script_status(s, &status);
	assert_string_equal(status.host, "");
	assert_non_null(strstr(status.reason, "connection refused"));
}

static void where_only_hosts_answer_they_are_asked_again_in_time(void **state)
{
	struct script *s = *state;
	uint64_t from;

	enter(s);
	pass_until_dial(s);
	script_expect(s, "DIAL 0\n");
	host_answers(s);
	script_expect(s, "RELEASE\n");
	from = s->now_ms;
	script_pass(s, AGENT_HOST_AGAIN_MS - AGENT_BACKOFF_MAX_MS);
	script_expect(s, "");
	script_pass(s, AGENT_BACKOFF_MAX_MS);
	script_expect(s, "DIAL 1\n");
	assert_true(s->now_ms >= from);
}

/* The host may be dialled meanwhile, may have no place either, or may be away: that changes nothing. */
static void a_full_coordinator_is_waited_for_as_ever(void **state)
{
	struct agent_event away = {
		.type = AGENT_DIAL_FAILED, .text = "turned away", .turned_away = true};
	struct agent_status status;
	struct script *s = *state;

	enter(s);
	pass_until_dial(s);
	script_expect(s, "DIAL 0\n");
	script_event(s, away);
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "the coordinator one.example:4321 is full"));
	script_event(s, (struct agent_event){.type = AGENT_ISOLATED, .total = 1});
	pass_until_dial(s);
	script_expect(s, "DIAL 1\n");
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "the coordinator is full"));
	script_event(s, away); /* of the host */
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "the coordinator one.example:4321 is full"));
	pass_until_dial(s);
	script_expect(s, "DIAL 0\n");
	fail_dial(s); /* now it is away */
	pass_until_dial(s);
	script_expect(s, "DIAL 1\n");
	host_answers(s);
	script_expect(s, "RELEASE\n");
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "the coordinator is away"));
	pass_until_dial(s);
	script_expect(s, "DIAL 0\n");
	script_event(s, away);
	script_event(s, (struct agent_event){.type = AGENT_ISOLATED, .total = 1});
	pass_until_dial(s);
	script_expect(s, "DIAL 1\n");
	host_answers(s);
	script_expect(s, "RELEASE\n");
	script_status(s, &status);
	assert_non_null(strstr(status.reason, "the coordinator one.example:4321 is full"));
}

static struct message word_for(struct script *s, const struct public_key *key, uint64_t now_s)
{
	struct message m = {.type = MESSAGE_HOST_CERTIFICATE};
	struct certificate c;

	host_sign(&c, &s->root, key, now_s);
	m.host_certificate = (struct message_host_certificate){c.expiry_s, c.signature};
	return m;
}

static void the_roots_word_is_kept_and_any_other_is_not(void **state)
{
	struct script *s = *state;
	struct certificate serving;
	struct key_pair other = s->root;
	uint8_t seed[32] = {9};
	struct message m;

	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_clear(s);
	m = word_for(s, &s->id.key.public, SCRIPT_NOW_S);
	script_say(s, &m);
	script_expect(s, "SAVE_HOST\n");
	m.host_certificate.signature.b[0] ^= 1;
	script_say(s, &m);
	m = word_for(s, &s->root.public, SCRIPT_NOW_S);
	script_say(s, &m);
	m = word_for(s, &s->id.key.public, SCRIPT_NOW_S - HOST_LIFETIME_S - IDENTITY_SKEW_S - 1);
	script_say(s, &m);
	m = word_for(s, &s->id.key.public, SCRIPT_NOW_S + HOST_LIFETIME_S + 1);
	script_say(s, &m);
	serving_sign(&serving, &s->root, &s->id.key.public, SCRIPT_NOW_S);
	m.host_certificate = (struct message_host_certificate){serving.expiry_s, serving.signature};
	script_say(s, &m);
	key_from_seed(&s->root, seed);
	m = word_for(s, &s->id.key.public, SCRIPT_NOW_S);
	s->root = other;
	script_say(s, &m);
	script_expect(s, ""); /* a line in the log each: a clock may be wrong */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, script_setup, script_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_host_is_a_way_in_and_no_coordinator),
		TEST(the_coordinator_is_looked_for_and_the_host_left_alone),
		TEST(work_begins_when_the_coordinator_is_back),
		TEST(without_news_hosts_are_asked_again),
		TEST(where_only_hosts_answer_they_are_asked_again_in_time),
		TEST(a_full_coordinator_is_waited_for_as_ever),
		TEST(the_roots_word_is_kept_and_any_other_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
