/* reach.h: places at relays, while strangers cannot dial us. */
#include "peer/overlay/reach_state.h"

static void ask(struct reach *r, struct reach_session *s, uint64_t now_ms, bool wanted)
{
	struct message m = {.type = MESSAGE_RELAY_RESERVE, .relay_reserve = {.wanted = wanted}};

	s->place = wanted ? PLACE_ASKED : PLACE_NONE;
	s->place_ms = now_ms;
	reach_say(r, s->conn, &m);
}

/* The place is ours until the relay says otherwise. */
static void renew(struct reach *r, struct reach_session *s, uint64_t now_ms)
{
	ask(r, s, now_ms, true);
	s->place = PLACE_HELD;
}

void reach_reserved(struct reach *r, uint64_t now_ms, struct reach_session *s,
	const struct message_relay_reserved *m)
{
	(void)r;
	if (s->place == PLACE_NONE || s->place == PLACE_REFUSED)
		return; /* it answers what we have taken back */
	s->place = m->status == RELAY_OK ? PLACE_HELD : PLACE_REFUSED;
	s->place_ms = now_ms;
}

bool reach_has_place(const struct reach *r, conn_id conn)
{
	const struct reach_session *s = reach_session(r, conn);

	return s != NULL && (s->place == PLACE_HELD || s->place == PLACE_ASKED);
}

/* One that we could ask: whom we dialled, for it is reachable itself, and of another prefix than the relays
 * that we have, where addresses are global. */
static bool is_fit(const struct reach *r, const struct reach_session *s, enum role role)
{
	if (!s->dialled || s->remote.family == 0 || s->role != role || s->place != PLACE_NONE)
		return false;
	for (const struct reach_session *o = r->sessions; o != NULL; o = o->next) {
		if ((o->place == PLACE_HELD || o->place == PLACE_ASKED) &&
			endpoint_scope(&o->remote) == SCOPE_GLOBAL &&
			endpoint_prefix(&o->remote) == endpoint_prefix(&s->remote))
			return false;
	}
	return true;
}

static size_t count_places(const struct reach *r, bool held_only)
{
	size_t count = 0;

	for (const struct reach_session *s = r->sessions; s != NULL; s = s->next)
		count += s->place == PLACE_HELD || (s->place == PLACE_ASKED && !held_only);
	return count;
}

static void look_for(struct reach *r, enum role role, uint64_t now_ms)
{
	for (struct reach_session *s = r->sessions; s != NULL; s = s->next) {
		if (count_places(r, false) >= RECORD_RELAYS_MAX)
			return;
		if (is_fit(r, s, role))
			ask(r, s, now_ms, true);
	}
}

static void session_tick(struct reach *r, struct reach_session *s, uint64_t now_ms, bool wanted)
{
	uint64_t age_ms = now_ms - s->place_ms;

	if (s->place == PLACE_REFUSED && age_ms >= REACH_RELAY_RETRY_MS)
		s->place = PLACE_NONE;
	else if (s->place == PLACE_ASKED && age_ms >= REACH_ANSWER_MS)
		s->place = PLACE_REFUSED;
	else if (s->place == PLACE_HELD && !wanted)
		ask(r, s, now_ms, false);
	else if (s->place == PLACE_HELD && age_ms >= REACH_RENEW_MS)
		renew(r, s, now_ms);
}

static bool round_is_on(const struct reach *r)
{
	for (size_t i = 0; i < r->candidate_count; i++) {
		if (!r->candidates[i].tested && r->candidates[i].nonce != 0)
			return true;
	}
	return false;
}

void reach_relays_tick(struct reach *r, uint64_t now_ms)
{
	bool wanted = !reach_is_public(r) && r->first_ms != 0;

	for (struct reach_session *s = r->sessions; s != NULL; s = s->next)
		session_tick(r, s, now_ms, wanted);
	if (!wanted || now_ms - r->first_ms < REACH_SETTLE_MS || round_is_on(r)) {
		r->unplaced_ms = 0;
		return;
	}
	if (count_places(r, true) != 0)
		r->unplaced_ms = 0;
	else if (r->unplaced_ms == 0)
		r->unplaced_ms = now_ms;
	look_for(r, ROLE_PEER, now_ms);
	if (r->unplaced_ms != 0 && now_ms - r->unplaced_ms >= REACH_LAST_RESORT_MS)
		look_for(r, ROLE_COORDINATOR, now_ms);
}
