/* The self-test: nobody gets a lease whose arithmetic is not shown to be canonical, today, on inputs that nobody
 * knew before. A peer that gets an operation wrong has a broken engine, build or processor. It is told which
 * operation it is, gets no work, keeps its identity, and is asked again in its next session and every day.
 *
 * When several identities of one engine and build have the same operation wrong, none of that class has it
 * right and others do, the fault is likely ours: that is said as an alarm. It stops nobody who passes, so
 * that liars cannot shut a class out. One challenge serves all peers of a day; after a restart there is
 * another one. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core_state.h"

#define DAY_S 86400u
#define CLASS_FAILS_MIN                                                                            \
	2u /* identities with one wrong operation that make it a matter of their class */

void core_require_selftest(struct core *c)
{
	c->challenge.required = true;
}

void selftest_void(struct core_peer *peer)
{
	peer->row.tested_s = 0;
	peer->row.misfit[0] = '\0';
	peer->tested_conn = 0;
}

/* Draws the day's seed and has its answers computed; until they are there the last ones serve. */
static void challenge_renew(struct core *c)
{
	struct challenge *t = &c->challenge;
	struct span secret = span_of(c->random, sizeof(c->random));
	uint64_t day = c->now_ms / 1000 / DAY_S;
	struct digest drawn;

	if (t->asked || c->now_ms < t->again_ms || (t->ready && t->day == day))
		return;
	digest_fields(&drawn, "talkoot selftest seed", &secret, 1);
	t->next_seed = load_le64(drawn.b);
	t->next_seed += t->next_seed == 0;
	t->next_day = day;
	t->asked = true;
	selftest_ask(c);
}

void selftest_answer(struct core *c, const struct core_event *event)
{
	struct challenge *t = &c->challenge;

	if (!t->asked || event->seed != t->next_seed)
		return;
	t->asked = false;
	if (event->code != TK_OK) {
		t->again_ms = c->now_ms + SELFTEST_AGAIN_MS;
		snprintf(t->trouble, sizeof(t->trouble), "%s", event->text);
		core_log(c, "ALARM: the coordinator's own self-test fails: %s", event->text);
		return;
	}
	t->ready = true;
	t->seed = t->next_seed;
	t->day = t->next_day;
	t->trouble[0] = '\0';
	memcpy(t->digests, event->selftest, sizeof(t->digests));
	c->dispatch = true;
}

/* Seconds since the last right one; UINT64_MAX: there is none, or it lies in the future. */
static uint64_t age_s(const struct core *c, const struct core_peer *peer)
{
	uint64_t now_s = c->now_ms / 1000;

	if (peer->row.tested_s == 0 || peer->row.misfit[0] != '\0' || peer->row.tested_s > now_s)
		return UINT64_MAX;
	return now_s - peer->row.tested_s;
}

static void request(struct core *c, struct core_peer *peer)
{
	const struct challenge *t = &c->challenge;

	if (!t->ready || peer->conn == 0)
		return;
	if (peer->tested_conn == peer->conn && peer->tested_seed == t->seed &&
		c->now_ms < peer->tested_ms + SELFTEST_REPEAT_MS)
		return;
	peer->tested_ms = c->now_ms;
	peer->tested_conn = peer->conn;
	peer->tested_seed = t->seed;
	say(c, peer, MESSAGE_SELFTEST_REQUEST, NULL)->selftest_request.seed = t->seed;
}

bool selftest_due(struct core *c, struct core_peer *peer)
{
	uint64_t age = age_s(c, peer);

	if (!c->challenge.required || age < SELFTEST_ASK_S)
		return false;
	challenge_renew(c);
	request(c, peer);
	return age >= SELFTEST_END_S;
}

/* ---- Classes: identities of one engine and build ---- */

struct class_count {
	const struct core *core;
	const struct core_peer *like;
	uint32_t wrong, right, others;
};

static void class_add(void *owner, void *context)
{
	struct core_peer *peer = owner;
	struct class_count *n = context;
	bool same = strcmp(peer->row.engine, n->like->row.engine) == 0 &&
		    strcmp(peer->row.build, n->like->row.build) == 0;
	bool right = age_s(n->core, peer) < SELFTEST_END_S;

	n->wrong += same && strcmp(peer->row.misfit, n->like->row.misfit) == 0;
	n->right += same && right;
	n->others += !same && right;
}

/* Is the misfit's fault that of its class? Looks at all identities, for a wrong self-test only. */
static bool class_wrong(struct core *c, const struct core_peer *peer)
{
	struct class_count n = {.core = c, .like = peer};

	lookup_each(&c->peers, class_add, &n);
	return n.wrong >= CLASS_FAILS_MIN && n.right == 0 && n.others > 0;
}

void selftest_explain(const struct core *c, const struct core_peer *peer, char text[TEXT_MAX])
{
	const struct peer_row *row = &peer->row;

	if (row->misfit[0] != '\0')
		snprintf(text, TEXT_MAX,
			"the self-test found \"%s\" wrong (engine %s, build %s), so results of "
			"this "
			"computer would be wrong: update talkoot-peer, or set "
			"TALKOOT_ENGINE=baseline; report operation, engine and processor",
			row->misfit, row->engine, row->build);
	else if (c->challenge.trouble[0] != '\0')
		snprintf(text, TEXT_MAX,
			"the coordinator cannot check anybody's arithmetic at the moment; work "
			"will be sent when it can");
	else
		snprintf(text, TEXT_MAX,
			"the arithmetic of this computer is tested first; work will be sent when "
			"it is found right");
}

/* ---- Answers ---- */

static bool signed_by(
	const struct core *c, const struct core_peer *peer, const struct message_selftest *m)
{
	uint8_t seed[8];
	const struct span fields[] = {
		span_of(c->root->public.b, KEY_BYTES),
		span_of(seed, sizeof(seed)),
		span_of(m->engine, strlen(m->engine)),
		span_of(m->build, strlen(m->build)),
		m->digests,
	};

	store_le64(seed, m->seed);
	return key_verify(&peer->row.key, &m->signature, "talkoot selftest", fields, 5);
}

/* The name of the first wrong operation; NULL: all are right. */
static const char *first_wrong(const struct core *c, struct span digests)
{
	struct digest got[SELFTEST_OPERATIONS];
	uint32_t wrong;

	if (digests.len != sizeof(got))
		return "number of operations";
	memcpy(got, digests.data, sizeof(got));
	wrong = selftest_compare(c->challenge.digests, got);
	return wrong < SELFTEST_OPERATIONS ? selftest_name(wrong) : NULL;
}

static void refuse(struct core *c, struct core_peer *peer, const char *operation)
{
	struct message_no_work *m;
	char label[17];

	peer_label(peer, label);
	snprintf(peer->row.misfit, sizeof(peer->row.misfit), "%s", operation);
	peer_suspect(c, peer, "its self-test is wrong");
	leases_end(c, peer, "the self-test found this computer's arithmetic wrong");
	core_log(c, "peer %s has %s wrong in the self-test (engine %s, build %s): it gets no work",
		label, operation, peer->row.engine, peer->row.build);
	if (class_wrong(c, peer))
		core_log(c,
			"ALARM: all peers with engine %s of build %s have %s wrong, others have "
			"it right: no work for this class; report it",
			peer->row.engine, peer->row.build, operation);
	m = &say(c, peer, MESSAGE_NO_WORK, NULL)->no_work;
	m->reason = NO_WORK_MISFIT;
	m->retry_ms = SELFTEST_AGAIN_MS;
	selftest_explain(c, peer, m->text);
}

static void text_note(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; text[n] != '\0' && n + 1 < size; n++)
		out[n] = text[n] > ' ' && text[n] < 127 ? text[n] : '?';
	out[n] = '\0';
}

/* An answer that was not asked for, or to a seed that has had its day, counts for nothing. */
void selftest_take(struct core *c, struct core_peer *peer, const struct message_selftest *m)
{
	const char *wrong;

	if (!c->challenge.ready || peer->tested_conn != peer->conn ||
		peer->tested_seed != c->challenge.seed || m->seed != c->challenge.seed)
		return;
	if (!signed_by(c, peer, m)) {
		peer_protocol(c, peer, "the signature of its self-test is not its own");
		return;
	}
	text_note(peer->row.engine, sizeof(peer->row.engine), m->engine);
	text_note(peer->row.build, sizeof(peer->row.build), m->build);
	wrong = first_wrong(c, m->digests);
	peer_changed(c, peer);
	if (wrong != NULL) {
		refuse(c, peer, wrong);
		return;
	}
	peer->row.misfit[0] = '\0';
	peer->row.tested_s = c->now_ms / 1000;
	c->dispatch = true;
}
