/* ways.h: attempts to reach a peer, in the order of dial.h, and the dials of punches. */
#include <stdio.h>

#include "peer/overlay/ways_state.h"

#define HELD_TELL_MS 60000u

struct way *attempt_by_conn(const struct ways *w, conn_id conn, struct attempt **out)
{
	for (struct way *way = w->first; way != NULL && conn != 0; way = way->after) {
		for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
			*out = &way->attempts[i];
			if ((*out)->kind != ATTEMPT_FREE && (*out)->conn == conn)
				return way;
		}
	}
	return NULL;
}

struct way *attempt_by_token(const struct ways *w, uint64_t token, struct attempt **out)
{
	for (struct way *way = w->first; way != NULL && token != 0; way = way->after) {
		for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
			*out = &way->attempts[i];
			if ((*out)->kind != ATTEMPT_FREE && (*out)->token == token)
				return way;
		}
	}
	return NULL;
}

static struct attempt *attempt_free(struct way *way)
{
	for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
		if (way->attempts[i].kind == ATTEMPT_FREE)
			return &way->attempts[i];
	}
	return NULL;
}

void attempt_connected(const struct way *way, struct attempt *a, struct node_event *event)
{
	event->own = a->kind != ATTEMPT_CARRIER;
	event->sought = way->sought || a->kind != ATTEMPT_DIRECT;
	event->renews = a->kind == ATTEMPT_PUNCH ? way->now : 0;
	event->expect = a->kind == ATTEMPT_CARRIER ? &a->expect : &way->peer;
	event->respond = a->kind == ATTEMPT_PUNCH && !way->punch.leads;
}

/* No connection came about. Punches fail often, and say nothing of who is there. */
static void note_failure(struct ways *w, const struct attempt *a)
{
	if (a->token != 0 && a->kind != ATTEMPT_PUNCH)
		targets_failed(&w->targets, w->now_ms, &a->at);
}

void attempt_failed(struct ways *w, struct way *way, struct attempt *a)
{
	bool counted = a->kind != ATTEMPT_PUNCH && !way->open;

	note_failure(w, a);
	*a = (struct attempt){0};
	if (!counted)
		return;
	dial_lost(&way->dial);
	way_dial_tick(w, way);
}

static void attempt_cancel(struct ways *w, struct attempt *a)
{
	struct circuit *c = circuits_find(w->circuits, a->conn);
	struct node_effect *e;

	if (a->token != 0) {
		e = node_effects_push(&w->inner, NODE_CANCEL, 0);
		if (e != NULL) /* otherwise it is closed when it comes up */
			e->token = a->token;
		if (w->now_ms - a->since_ms >= DIAL_RELAY_MS)
			note_failure(w, a); /* nothing answers there */
	}
	if (a->conn != 0 && c != NULL && !c->open)
		circuits_end(w->circuits, c, true); /* the node does not know it yet */
	else if (a->conn != 0)
		ways_end(w, a->conn, GOODBYE_SHUTDOWN, "another way was faster");
	*a = (struct attempt){0};
}

void attempts_cancel(struct ways *w, struct way *way, conn_id but)
{
	for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
		struct attempt *a = &way->attempts[i];

		if (a->kind != ATTEMPT_FREE && (but == 0 || a->conn != but))
			attempt_cancel(w, a);
	}
}

/* Dials. False: no memory, or no place. */
static bool attempt_dial(struct ways *w, struct way *way, enum attempt_kind kind,
	const struct endpoint *at, const struct public_key *expect)
{
	struct attempt *a = attempt_free(way);
	struct node_effect *e = a != NULL ? node_effects_push(&w->inner, NODE_TRY, 0) : NULL;

	if (e == NULL)
		return false;
	e->token = ++w->tokens;
	e->at = *at;
	*a = (struct attempt){.kind = kind,
		.token = e->token,
		.expect = *expect,
		.at = *at,
		.since_ms = w->now_ms};
	return true;
}

/* The same, out of a record: not too often, whoever names the address. */
static bool attempt_dial_record(struct ways *w, struct way *way, enum attempt_kind kind,
	const struct endpoint *at, const struct public_key *expect)
{
	return targets_take_record(&w->targets, w->now_ms, at, expect) &&
	       attempt_dial(w, way, kind, at, expect);
}

/* Opens a circuit to the way's peer through the relay at the end of carrier. */
static bool attempt_circuit(
	struct ways *w, struct way *way, struct attempt *a, const struct reach_peer *carrier)
{
	conn_id conn = ways_number(w);

	if (circuits_open(w->circuits, conn, carrier->conn, carrier->dialled, &way->peer,
		    w->now_ms) != TK_OK)
		return false;
	*a = (struct attempt){.kind = ATTEMPT_CIRCUIT, .conn = conn};
	return true;
}

static bool dial_relay(struct ways *w, struct way *way, const struct record_relay *relay)
{
	struct attempt *a = attempt_free(way);
	struct reach_peer carrier;

	if (a == NULL || key_equal(&relay->key, &w->config.id->key.public))
		return false;
	if (reach_peer_by_key(w->reach, &relay->key, &carrier))
		return attempt_circuit(w, way, a, &carrier);
	return reach_may_dial(w->reach, &relay->at, NULL, 0) &&
	       attempt_dial_record(w, way, ATTEMPT_CARRIER, &relay->at, &relay->key);
}

static bool dial_last(struct ways *w, struct way *way)
{
	struct attempt *a = attempt_free(way);
	struct reach_peer carrier;

	return a != NULL && reach_coordinator(w->reach, &carrier) &&
	       attempt_circuit(w, way, a, &carrier);
}

static int say_unreachable(struct ways *w, const struct way *way)
{
	struct node_event event = {.type = NODE_UNREACHED, .expect = &way->peer};
	struct node_effect *e;

	if (way->sought)
		return ways_node_event(w, &event);
	e = node_effects_push(&w->inner, NODE_UNREACHABLE, way->id);
	if (e == NULL)
		return TK_ENOMEM;
	snprintf(e->text, sizeof(e->text),
		"no way leads to the peer: %u addresses and %u relays were tried",
		way->dial.direct_count, way->dial.relay_count);
	return TK_OK;
}

/* Says so to who asked. The way is gone then, or says it at the next tick. */
static void way_unreachable(struct ways *w, struct way *way)
{
	attempts_cancel(w, way, 0);
	way->lost = true;
	if (say_unreachable(w, way) == TK_OK)
		way_free(w, way);
}

void way_begin(struct ways *w, struct way *way, const struct record *record)
{
	bool may[RECORD_ENDPOINTS_MAX] = {false};

	for (uint32_t i = 0; i < record->endpoint_count; i++)
		may[i] = reach_may_dial(
			w->reach, &record->endpoints[i], record->endpoints, record->endpoint_count);
	way->peer = record->key;
	dial_begin(&way->dial, w->now_ms, record, may);
	way_dial_tick(w, way);
}

void way_seek(struct ways *w, const struct record *record)
{
	struct node_event event = {.type = NODE_UNREACHED, .expect = &record->key};
	struct way *way = way_new(w);

	if (way == NULL) {
		(void)!ways_node_event(w, &event); /* unheard, it counts as one without an answer */
		return;
	}
	way->sought = true;
	way_begin(w, way, record);
}

void way_dial_tick(struct ways *w, struct way *way)
{
	for (;;) {
		uint32_t i = 0;
		enum dial_step step = way->lost ? DIAL_OVER : dial_next(&way->dial, w->now_ms, &i);
		bool begun = true;

		switch (step) {
		case DIAL_WAIT:
			return;
		case DIAL_DIRECT:
			begun = attempt_dial_record(
				w, way, ATTEMPT_DIRECT, &way->dial.direct[i], &way->peer);
			break;
		case DIAL_RELAY:
			begun = dial_relay(w, way, &way->dial.relays[i]);
			break;
		case DIAL_LAST:
			begun = dial_last(w, way);
			break;
		case DIAL_OVER:
			way_unreachable(w, way);
			return;
		}
		if (!begun)
			dial_lost(&way->dial);
	}
}

/* A session with a relay, or one that an attempt needs no more. */
static void carrier_up(struct ways *w, struct way *way, struct attempt *a)
{
	struct reach_peer carrier;

	if (!reach_peer(w->reach, a->conn, &carrier) || !attempt_circuit(w, way, a, &carrier))
		attempt_failed(w, way, a);
}

bool attempt_up(struct ways *w, struct way *way, struct attempt *a)
{
	enum attempt_kind kind = a->kind;
	conn_id conn = a->conn;

	if (kind == ATTEMPT_DIRECT || kind == ATTEMPT_CARRIER)
		targets_good(&w->targets, w->now_ms, &a->at,
			kind == ATTEMPT_CARRIER ? &a->expect : &way->peer);
	if (kind == ATTEMPT_CARRIER) {
		carrier_up(w, way, a);
		return false;
	}
	if (kind == ATTEMPT_PUNCH) {
		way_direct_up(w, way, conn);
		return false;
	}
	*a = (struct attempt){0};
	way->now = conn;
	way->open = true;
	way->relayed = kind == ATTEMPT_CIRCUIT;
	attempts_cancel(w, way, 0);
	ways_tell(w, way, way->relayed ? "relayed" : "direct");
	if (way->relayed)
		punch_begin(&way->punch, true, w->now_ms);
	return true;
}

struct way *punch_expecting(struct ways *w, const struct endpoint *from, struct attempt **out)
{
	for (struct way *way = w->first; way != NULL; way = way->after) {
		*out = attempt_free(way);
		if (way->open && way->relayed && way->next == 0 && *out != NULL &&
			punch_expects(&way->punch, from))
			return way;
	}
	return NULL;
}

/* Nobody makes us dial often, whoever's addresses they are. */
static bool may_dial_more(struct ways *w)
{
	uint64_t came = (w->now_ms - w->punch_ms) / WAYS_PUNCH_MS;

	w->punch_ms += came * WAYS_PUNCH_MS;
	w->punch_tokens = came >= WAYS_PUNCH_BURST - w->punch_tokens
				  ? WAYS_PUNCH_BURST
				  : w->punch_tokens + (uint32_t)came;
	if (w->punch_tokens == 0)
		return false;
	w->punch_tokens--;
	return true;
}

/* Only addresses that a peer may claim: hosts in scopes that we live in, ports that peers have. */
void punch_dial(struct ways *w, struct way *way)
{
	for (uint32_t i = 0; i < way->punch.count; i++) {
		const struct endpoint *at = &way->punch.at[i];

		if (reach_may_dial(w->reach, at, way->punch.at, way->punch.count) &&
			may_dial_more(w) && targets_take(&w->targets, w->now_ms, at) &&
			!attempt_dial(w, way, ATTEMPT_PUNCH, at, &way->peer))
			return;
	}
}

void ways_tell_held_back(struct ways *w)
{
	uint64_t more = w->targets.held_back - w->held_back;

	if (more == 0 || (w->held_ms != 0 && w->now_ms - w->held_ms < HELD_TELL_MS))
		return;
	ways_log(w, "%llu dials were held back: their hosts had been dialled often enough",
		(unsigned long long)more);
	w->held_back = w->targets.held_back;
	w->held_ms = w->now_ms;
}
