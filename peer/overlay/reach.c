/* See reach.h: sessions, candidates and the dial-backs that we ask for. */
#include "peer/overlay/reach.h"

#include <stdio.h>
#include <string.h>

#include "peer/overlay/reach_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

struct reach *reach_new(const struct reach_config *config, const struct reach_port *port)
{
	struct reach *r = mem_calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->config = *config;
	r->port = port;
	r->record.key = config->id->key.public;
	return r;
}

void reach_free(struct reach *r)
{
	struct reach_session *next;

	if (r == NULL)
		return;
	for (struct reach_session *s = r->sessions; s != NULL; s = next) {
		next = s->next;
		mem_free(s);
	}
	mem_free(r);
}

void reach_say(const struct reach *r, conn_id conn, const struct message *m)
{
	r->port->way->send(r->port->way->context, conn, m);
}

/* Sessions */

struct reach_session *reach_session(const struct reach *r, conn_id conn)
{
	struct reach_session *s = r->sessions;

	while (s != NULL && s->conn != conn)
		s = s->next;
	return s;
}

int reach_up(struct reach *r, uint64_t now_ms, conn_id conn, const struct public_key *key,
	enum role role, const struct endpoint *remote, bool dialled, bool from_port)
{
	struct reach_session *s = mem_calloc(1, sizeof(*s));

	if (s == NULL)
		return TK_ENOMEM;
	s->conn = conn;
	s->key = *key;
	s->role = role;
	s->dialled = dialled;
	s->from_port = from_port;
	s->probe_tokens = REACH_PROBE_BURST;
	s->probe_ms = now_ms;
	if (remote != NULL) {
		s->remote = *remote;
		if (endpoint_scope(remote) > r->widest)
			r->widest = endpoint_scope(remote);
	}
	if (r->first_ms == 0)
		r->first_ms = now_ms;
	s->next = r->sessions;
	r->sessions = s;
	return TK_OK;
}

void reach_down(struct reach *r, conn_id conn)
{
	struct reach_session **at = &r->sessions;
	struct reach_session *s;

	while (*at != NULL && (*at)->conn != conn)
		at = &(*at)->next;
	s = *at;
	if (s == NULL)
		return;
	*at = s->next;
	mem_free(s);
	reach_serve_down(r, conn);
}

static bool give(const struct reach_session *s, struct reach_peer *out)
{
	if (s == NULL)
		return false;
	*out = (struct reach_peer){.conn = s->conn, .key = s->key, .dialled = s->dialled};
	if (s->remote.family != 0 && endpoint_scope(&s->remote) == SCOPE_GLOBAL)
		out->prefix = endpoint_prefix(&s->remote);
	return true;
}

bool reach_peer(const struct reach *r, conn_id conn, struct reach_peer *out)
{
	return give(reach_session(r, conn), out);
}

bool reach_peer_by_key(const struct reach *r, const struct public_key *key, struct reach_peer *out)
{
	const struct reach_session *s = r->sessions;

	while (s != NULL && !key_equal(&s->key, key))
		s = s->next;
	return give(s, out);
}

bool reach_coordinator(const struct reach *r, struct reach_peer *out)
{
	const struct reach_session *s = r->sessions;

	while (s != NULL && s->role != ROLE_COORDINATOR)
		s = s->next;
	return give(s, out);
}

bool reach_same_host(const struct endpoint *a, const struct endpoint *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* Candidates */

/* Room for one more: that of one that has failed and that nobody sees, if need be. */
static struct candidate *candidate_room(struct reach *r)
{
	struct candidate *worst = NULL;

	if (r->candidate_count < REACH_CANDIDATES_MAX)
		return &r->candidates[r->candidate_count++];
	for (size_t i = 0; i < r->candidate_count; i++) {
		struct candidate *c = &r->candidates[i];

		if (!c->stands && c->sources == SOURCE_SEEN && c->nonce == 0 && c->tested &&
			(worst == NULL || c->failures > worst->failures))
			worst = c;
	}
	return worst;
}

void reach_candidate(struct reach *r, const struct endpoint *at, enum source source)
{
	struct candidate *c;

	for (size_t i = 0; i < r->candidate_count; i++) {
		c = &r->candidates[i];
		if (endpoint_equal(&c->at, at)) {
			c->sources |= source;
			return;
		}
	}
	c = candidate_room(r);
	if (c != NULL)
		*c = (struct candidate){.at = *at, .sources = source};
}

static void candidates_forget(struct reach *r, enum source source)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->candidate_count; i++) {
		struct candidate c = r->candidates[i];

		c.sources &= ~(unsigned)source;
		if (c.sources != 0)
			r->candidates[kept++] = c;
	}
	r->candidate_count = kept;
}

void reach_listen(struct reach *r, uint16_t port, const struct endpoint *locals, size_t count)
{
	candidates_forget(r, SOURCE_LOCAL);
	r->listening = port;
	r->local_count = count < REACH_LOCALS_MAX ? count : REACH_LOCALS_MAX;
	for (size_t i = 0; i < r->local_count; i++) {
		r->locals[i] = locals[i];
		r->locals[i].port = port;
		if (port != 0 && endpoint_scope(&locals[i]) == SCOPE_GLOBAL)
			reach_candidate(r, &r->locals[i], SOURCE_LOCAL);
	}
}

/* What was tried in vain before the router was asked is worth another try now; when a mapping is only renewed,
 * nothing has changed. */
void reach_mapped(struct reach *r, const struct endpoint *at)
{
	bool renewed = false;

	for (size_t i = 0; i < r->candidate_count && at != NULL; i++)
		renewed = renewed || ((r->candidates[i].sources & SOURCE_MAPPED) != 0 &&
					     endpoint_equal(&r->candidates[i].at, at));
	if (renewed)
		return;
	candidates_forget(r, SOURCE_MAPPED);
	if (at == NULL || at->port == 0)
		return;
	reach_candidate(r, at, SOURCE_MAPPED);
	for (size_t i = 0; i < r->candidate_count; i++) {
		if (endpoint_equal(&r->candidates[i].at, at)) {
			r->candidates[i].failures = 0;
			r->candidates[i].next_ms = 0;
		}
	}
}

void reach_observed(struct reach *r, uint64_t now_ms, conn_id conn, const struct endpoint *at)
{
	struct reach_session *s = reach_session(r, conn);
	struct endpoint ours = *at;

	(void)now_ms;
	if (s == NULL || !s->dialled)
		return;
	s->seen = *at;
	if (r->listening == 0)
		return;
	if (s->from_port)
		reach_candidate(r, at, SOURCE_SEEN);
	ours.port = r->listening;
	reach_candidate(r, &ours, SOURCE_SEEN);
}

/* Dial-backs that we ask for */

static bool already_asked(const struct reach *r, const struct candidate *c, uint64_t prefix)
{
	for (const struct reach_session *s = r->sessions; s != NULL; s = s->next) {
		if (s->asked >= c->nonce && s->asked < c->nonce + REACH_ASK_MAX && s->asked != 0 &&
			endpoint_prefix(&s->remote) == prefix)
			return true;
	}
	return false;
}

/* Only whom we dialled is asked, since it is reachable itself, and only who sees us at that host: it would
 * refuse any other. */
static void round_begin(struct reach *r, struct candidate *c, uint64_t now_ms)
{
	c->nonce = r->nonce + 1;
	r->nonce += REACH_ASK_MAX;
	c->asked = c->answered = c->yes = 0;
	c->quorum = false;
	c->round_ms = now_ms;
	for (struct reach_session *s = r->sessions; s != NULL && c->asked < REACH_ASK_MAX;
		s = s->next) {
		struct message m = {.type = MESSAGE_DIAL_BACK, .dial_back = {.at = c->at}};

		if (!s->dialled || s->asked != 0 || s->remote.family == 0 ||
			!reach_same_host(&s->seen, &c->at) ||
			already_asked(r, c, endpoint_prefix(&s->remote)))
			continue;
		s->asked = m.dial_back.nonce = c->nonce + c->asked++;
		reach_say(r, s->conn, &m);
	}
	if (c->asked == 0)
		c->nonce = 0; /* nobody to ask: at the next tick again */
}

static uint64_t retry_ms(uint32_t failures)
{
	uint64_t ms = REACH_RETRY_MS;

	for (uint32_t i = 1; i < failures && ms < REACH_RETRY_MAX_MS; i++)
		ms *= 2;
	return ms < REACH_RETRY_MAX_MS ? ms : REACH_RETRY_MAX_MS;
}

static void round_end(struct reach *r, struct candidate *c, uint64_t now_ms)
{
	for (struct reach_session *s = r->sessions; s != NULL; s = s->next) {
		if (s->asked >= c->nonce && s->asked < c->nonce + REACH_ASK_MAX)
			s->asked = 0;
	}
	c->nonce = 0;
	c->tested = true;
	c->stands = c->quorum;
	c->stranger = c->stranger && c->quorum;
	c->failures = c->quorum ? 0 : c->failures + 1;
	c->next_ms = now_ms + (c->quorum ? REACH_AGAIN_MS : retry_ms(c->failures));
}

/* Nobody sees us there any more, but at another address: we have moved. */
static bool is_past(const struct reach *r, const struct candidate *c)
{
	bool elsewhere = false;

	for (const struct reach_session *s = r->sessions; s != NULL; s = s->next) {
		if (s->seen.family != c->at.family)
			continue;
		if (reach_same_host(&s->seen, &c->at))
			return false;
		elsewhere = true;
	}
	return elsewhere;
}

static void candidate_tick(struct reach *r, struct candidate *c, uint64_t now_ms)
{
	if (c->stands && c->sources == SOURCE_SEEN && is_past(r, c))
		c->stands = false;
	if (c->nonce == 0 && now_ms >= c->next_ms)
		round_begin(r, c, now_ms);
	else if (c->nonce != 0 && now_ms - c->round_ms >= REACH_ANSWER_MS)
		round_end(r, c, now_ms);
}

/* Where there is but one private network, without prefixes to speak of, one yes is enough. */
static void count_yes(struct reach *r, struct candidate *c, const struct reach_session *s)
{
	uint64_t prefix = endpoint_prefix(&s->remote);

	if (s->role == ROLE_COORDINATOR || endpoint_scope(&c->at) != SCOPE_GLOBAL ||
		(c->yes != 0 && prefix != c->yes_prefix))
		c->quorum = true;
	c->stranger = c->stranger || !s->from_port;
	if (c->yes++ == 0)
		c->yes_prefix = prefix;
	(void)r;
}

static void on_dialled_back(struct reach *r, uint64_t now_ms, struct reach_session *s,
	const struct message_dialled_back *m)
{
	if (s->asked == 0 || s->asked != m->nonce)
		return; /* late: its round is over */
	for (size_t i = 0; i < r->candidate_count; i++) {
		struct candidate *c = &r->candidates[i];

		if (c->nonce == 0 || m->nonce < c->nonce || m->nonce >= c->nonce + REACH_ASK_MAX)
			continue;
		if (m->reachable)
			count_yes(r, c, s);
		else
			snprintf(r->why, sizeof(r->why), "%s", m->text);
		if (++c->answered == c->asked || c->quorum) {
			round_end(r, c, now_ms);
			reach_record_tick(r);
		}
		break;
	}
	s->asked = 0;
}

void reach_message(struct reach *r, uint64_t now_ms, conn_id conn, const struct message *m)
{
	struct reach_session *s = reach_session(r, conn);

	if (s == NULL)
		return;
	switch (m->type) {
	case MESSAGE_DIAL_BACK:
		reach_serve(r, now_ms, s, &m->dial_back);
		return;
	case MESSAGE_DIALLED_BACK:
		on_dialled_back(r, now_ms, s, &m->dialled_back);
		return;
	case MESSAGE_RELAY_RESERVED:
		reach_reserved(r, now_ms, s, &m->relay_reserved);
		return;
	default:
		REQUIRE(!"a message that is not about reachability");
	}
}

void reach_tick(struct reach *r, uint64_t now_ms)
{
	for (size_t i = 0; i < r->candidate_count && !r->config.coordinator; i++)
		candidate_tick(r, &r->candidates[i], now_ms);
	if (!r->config.coordinator)
		reach_relays_tick(r, now_ms);
	reach_record_tick(r);
}
