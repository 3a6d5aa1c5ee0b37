/* See ways.h. The node's effects are sifted one by one, in order: what belongs to the ways is seen to here,
 * and may cause further steps of the node, whose effects queue behind; the rest is passed on, with the
 * application's numbers. */
#include "peer/overlay/ways.h"

#include <string.h>

#include "peer/overlay/ways_state.h"
#include "tasks/base/digest.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

/* Life */

void ways_config_default(struct ways_config *out, const struct identity *id, const uint8_t seed[32])
{
	*out = (struct ways_config){.id = id, .punch = true};
	relay_config_default(&out->relay);
	if (id->role == ROLE_COORDINATOR) { /* the last resort of everybody */
		out->relay.reservations = RELAY_RESERVATIONS_ROOT;
		out->relay.circuits = RELAY_CIRCUITS_ROOT;
	}
	memcpy(out->seed, seed, sizeof(out->seed));
}

static bool make_cores(struct ways *w)
{
	struct relay_config relay = w->config.relay;
	struct reach_config reach = {.id = w->config.id,
		.relay = relay.serve,
		.coordinator = w->config.id->role == ROLE_COORDINATOR};

	if (!reach.coordinator)
		relay.serve = false; /* until strangers can dial us */
	w->node = node_new(w->config.id);
	w->reach = reach_new(&reach, &w->reach_port);
	w->relay = relay_new(&relay, &w->way_port);
	w->circuits = circuits_new(&w->way_port);
	return w->node != NULL && w->reach != NULL && w->relay != NULL && w->circuits != NULL;
}

struct ways *ways_new(const struct ways_config *config)
{
	struct ways *w = mem_calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->config = *config;
	w->punch_tokens = WAYS_PUNCH_BURST;
	ways_ports(w);
	if (make_cores(w))
		return w;
	ways_free(w);
	return NULL;
}

void ways_free(struct ways *w)
{
	if (w == NULL)
		return;
	while (w->first != NULL)
		way_free(w, w->first);
	node_effects_close(&w->inner);
	circuits_free(w->circuits);
	relay_free(w->relay);
	reach_free(w->reach);
	node_free(w->node);
	secret_wipe(w, sizeof(*w));
	mem_free(w);
}

struct node *ways_node(const struct ways *w)
{
	return w->node;
}

const struct reach *ways_reach(const struct ways *w)
{
	return w->reach;
}

void ways_listen(struct ways *w, uint16_t port, const struct endpoint *locals, size_t count)
{
	reach_listen(w->reach, port, locals, count);
}

void ways_mapped(struct ways *w, const struct endpoint *at)
{
	reach_mapped(w->reach, at);
}

conn_id ways_number(struct ways *w)
{
	return VIRTUAL | ++w->numbers;
}

void ways_secret(struct ways *w, uint8_t out[32])
{
	struct span fields[2];
	struct digest d;
	uint8_t count[8];

	store_le64(count, ++w->secrets);
	fields[0] = span_of(w->config.seed, sizeof(w->config.seed));
	fields[1] = span_of(count, sizeof(count));
	digest_fields(&d, "talkoot virtual connection", fields, 2);
	memcpy(out, d.b, 32);
	secret_wipe(&d, sizeof(d));
}

/* Ways */

struct way *way_new(struct ways *w)
{
	struct way *way = w->count < WAYS_MAX ? mem_calloc(1, sizeof(*way)) : NULL;

	if (way == NULL)
		return NULL;
	way->id = ways_number(w);
	way->before = w->last;
	*(w->last != NULL ? &w->last->after : &w->first) = way;
	w->last = way;
	w->count++;
	return way;
}

void way_free(struct ways *w, struct way *way)
{
	*(way->before != NULL ? &way->before->after : &w->first) = way->after;
	*(way->after != NULL ? &way->after->before : &w->last) = way->before;
	w->count--;
	bytes_close(&way->held);
	mem_free(way);
}

struct way *way_by_id(const struct ways *w, conn_id id)
{
	struct way *way = (id & VIRTUAL) != 0 ? w->first : NULL;

	while (way != NULL && way->id != id)
		way = way->after;
	return way;
}

struct way *way_by_conn(const struct ways *w, conn_id conn)
{
	struct way *way = conn != 0 ? w->first : NULL;

	while (way != NULL && way->now != conn && way->next != conn)
		way = way->after;
	return way;
}

bool ways_is_relayed(const struct ways *w, conn_id conn)
{
	const struct way *way = way_by_id(w, conn);

	return way != NULL && way->open && way->relayed;
}

size_t ways_waiting(const struct ways *w, conn_id conn)
{
	const struct way *way = way_by_id(w, conn);

	if (way == NULL)
		return node_waiting(w->node, conn);
	return node_waiting(w->node, way->now) + node_waiting(w->node, way->next) + way->held.len;
}

bool ways_remote(const struct ways *w, conn_id conn, struct endpoint *out)
{
	const struct way *way = way_by_id(w, conn);
	struct node_transport t;

	if (ways_is_relayed(w, conn) ||
		!node_transport(w->node, way != NULL ? way->now : conn, &t) || t.remote.family == 0)
		return false;
	*out = t.remote;
	return true;
}

void ways_value(struct ways *w, conn_id conn, enum node_worth worth)
{
	struct way *way = way_by_id(w, conn);

	if (way != NULL)
		way->worth = worth;
	node_value(w->node, way != NULL ? way->now : conn, worth);
}

uint64_t ways_prefix(const struct ways *w, conn_id conn)
{
	const struct way *way = way_by_id(w, conn);

	return node_prefix(w->node, way != NULL ? way->now : conn);
}

uint32_t ways_rtt_ms(const struct ways *w, conn_id conn)
{
	const struct way *way = way_by_id(w, conn);

	return node_rtt_ms(w->node, way != NULL ? way->now : conn);
}

uint64_t ways_features(const struct ways *w, conn_id conn)
{
	const struct way *way = way_by_id(w, conn);

	return node_features(w->node, way != NULL ? way->now : conn);
}

int64_t ways_skew_s(const struct ways *w, conn_id conn)
{
	const struct way *way = way_by_id(w, conn);

	return node_skew_s(w->node, way != NULL ? way->now : conn);
}

void ways_stats(const struct ways *w, struct ways_stats *out)
{
	*out = (struct ways_stats){.punched = w->punched};
	relay_stats(w->relay, &out->relay);
	for (const struct way *way = w->first; way != NULL; way = way->after) {
		out->relayed += way->open && way->relayed;
		out->direct += way->open && !way->relayed;
	}
}

/* Steps */

/* The list may move while one of its effects is seen to, so that one is taken out of it. */
static int sift(struct ways *w, struct node_effects *out)
{
	while (w->done < w->inner.count) {
		struct node_effect e;

		if (node_effects_reserve(out, 1) != TK_OK)
			return TK_ENOMEM; /* the next step goes on here */
		e = w->inner.items[w->done];
		w->inner.items[w->done++].bytes = (struct bytes){0};
		if (way_sift(w, &e))
			out->items[out->count++] = e;
		else
			bytes_close(&e.bytes);
	}
	node_effects_clear(&w->inner);
	w->done = 0;
	return TK_OK;
}

/* Somebody dialled us; when a punch is on with a peer at that host, it is that one, once for each try: all others
 * are strangers like any. */
static int step_accepted(struct ways *w, struct node_event *event)
{
	struct attempt *a;
	struct way *way = event->remote != NULL ? punch_expecting(w, event->remote, &a) : NULL;
	int rc;

	if (way == NULL)
		return ways_node_event(w, event);
	punch_came(&way->punch);
	a->kind = ATTEMPT_PUNCH;
	a->conn = event->conn;
	event->type = NODE_CONNECTED;
	attempt_connected(way, a, event);
	rc = ways_node_event(w, event);
	if (rc != TK_OK)
		attempt_failed(w, way, a);
	return rc;
}

static int step_connected(struct ways *w, struct node_event *event)
{
	struct attempt *a = NULL;
	struct way *way = event->token != 0 ? attempt_by_token(w, event->token, &a) : NULL;
	int rc;

	if (event->token != 0 && way == NULL)
		return TK_ENOENT; /* given up meanwhile: the caller closes it */
	if (way != NULL) {
		a->token = 0;
		a->conn = event->conn;
		attempt_connected(way, a, event);
	}
	rc = ways_node_event(w, event);
	if (rc != TK_OK && way != NULL)
		attempt_failed(w, way, a);
	return rc;
}

static void step_dial_failed(struct ways *w, const struct node_event *event)
{
	struct attempt *a;
	struct way *way = attempt_by_token(w, event->token, &a);

	if (way != NULL)
		attempt_failed(w, way, a);
}

static int step_lost(struct ways *w, struct node_event *event)
{
	int rc = ways_node_event(w, event);
	struct attempt *a;
	struct way *way = attempt_by_conn(w, event->conn, &a);

	if (way != NULL && way_by_conn(w, event->conn) == NULL)
		attempt_failed(w, way, a);
	return rc;
}

static int step_drop(struct ways *w, struct node_event *event)
{
	struct way *way = way_by_id(w, event->conn);

	if (way == NULL)
		return ways_node_event(w, event);
	if (!way->open) {
		attempts_cancel(w, way, 0);
		way->lost = true;
		way_dial_tick(w, way);
		return TK_OK;
	}
	event->conn = way->now;
	return ways_node_event(w, event);
}

static void wake(struct ways *w)
{
	struct way *after;

	for (struct way *way = w->first; way != NULL; way = after) {
		after = way->after;
		if (!way->open)
			way_dial_tick(w, way);
		else if (w->config.punch && way->relayed)
			way_punch_act(w, way, punch_tick(&way->punch, w->now_ms));
	}
}

/* How long each relayed session's answers may take, by now. */
static void punches_pace(struct ways *w)
{
	for (struct way *way = w->first; way != NULL; way = way->after) {
		if (way->open && way->relayed)
			way->punch.answer_ms = node_answer_ms(w->node, way->now);
	}
}

static void rely(void *context, conn_id conn)
{
	struct ways *w = context;

	node_rely(w->node, conn);
}

/* Which sessions the ways need, when the node has to make place. */
static void ways_worth(struct ways *w)
{
	relay_each(w->relay, rely, w);
	for (size_t i = 0; i < circuits_count(w->circuits); i++)
		node_rely(w->node, circuits_at(w->circuits, i)->carrier);
	for (struct way *way = w->first; way != NULL; way = way->after) {
		if (way->worth != NODE_WORTH_NONE)
			node_value(w->node, way->now, way->worth);
	}
}

static int step_tick(struct ways *w, struct node_event *event)
{
	int rc = ways_node_event(w, event);

	punches_pace(w);
	relay_tick(w->relay, w->now_ms);
	ways_circuits_tick(w);
	ways_worth(w);
	reach_tick(w->reach, w->now_ms);
	if (w->record_unsaid)
		ways_advertise(w);
	wake(w);
	ways_tell_held_back(w);
	return rc;
}

static int step_event(struct ways *w, struct node_event *event)
{
	struct way *way;

	switch (event->type) {
	case NODE_ACCEPTED:
		return step_accepted(w, event);
	case NODE_CONNECTED:
		return step_connected(w, event);
	case NODE_TRY_FAILED:
		step_dial_failed(w, event);
		return TK_OK;
	case NODE_PROBED:
		reach_probed(w->reach, event->token, event->text);
		return TK_OK;
	case NODE_LOST:
		return step_lost(w, event);
	case NODE_SEND:
		way = way_by_id(w, event->conn);
		return way != NULL ? way_send(w, way, event->message) : ways_node_event(w, event);
	case NODE_DROP:
		return step_drop(w, event);
	case NODE_TICK:
		return step_tick(w, event);
	case NODE_WAKE:
		wake(w);
		return w->now_ms >= node_wake_ms(w->node) ? ways_node_event(w, event) : TK_OK;
	case NODE_START:
		w->record_unsaid = true; /* the node has not listened before */
		return ways_node_event(w, event);
	default:
		return ways_node_event(w, event);
	}
}

int ways_step(struct ways *w, const struct node_event *event, struct node_effects *out)
{
	struct node_event e = *event;
	int rc, sifted;

	w->now_ms = event->now_ms;
	w->now_s = event->now_s;
	rc = step_event(w, &e);
	secret_wipe(e.random, sizeof(e.random));
	sifted = sift(w, out);
	return rc != TK_OK ? rc : sifted;
}

int ways_connect(struct ways *w, uint64_t now_ms, const struct record *record, conn_id *conn,
	struct node_effects *out)
{
	struct way *way = way_new(w);

	if (way == NULL)
		return w->count >= WAYS_MAX ? TK_ELIMIT : TK_ENOMEM;
	w->now_ms = now_ms;
	*conn = way->id;
	way_begin(w, way, record);
	(void)!sift(w, out); /* what is not said now, the next step says */
	return TK_OK;
}

uint64_t ways_wake_ms(const struct ways *w)
{
	uint64_t wake_ms = node_wake_ms(w->node);

	for (const struct way *way = w->first; way != NULL; way = way->after) {
		uint64_t at = UINT64_MAX;

		if (!way->open && !way->lost)
			at = dial_wake_ms(&way->dial);
		else if (way->open && w->config.punch && way->relayed)
			at = punch_wake_ms(&way->punch);
		if (at < wake_ms)
			wake_ms = at;
	}
	return wake_ms;
}
