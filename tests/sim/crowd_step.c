/* What goes into a swarm core and what comes out of it. See crowd.h. */
#include <string.h>

#include "tasks/base/mem.h"
#include "tests/sim/crowd_state.h"

static uint32_t payload_new(struct crowd *c)
{
	uint32_t p = c->payload_free;

	if (p != 0) {
		c->payload_free = c->payloads[p].next;
		return p;
	}
	if (c->payload_count == c->payload_capacity) {
		c->payload_capacity *= 2;
		c->payloads = mem_realloc(c->payloads, c->payload_capacity * sizeof(*c->payloads));
		CROWD_CHECK(c, c->payloads != NULL);
	}
	return c->payload_count++;
}

static uint32_t words_of(const struct crowd *c)
{
	return (uint32_t)((c->config.bytes + BLOB_PIECE - 1) / BLOB_PIECE + 63) / 64;
}

/* A message becomes an event: of a GET or PART the piece, of a HAVE or SOURCES what it lists. */
static void send(struct crowd *c, peer_ref from, peer_ref to, const struct swarm_message *m)
{
	const struct crowd_link *l = crowd_linked(c, from, to);
	uint32_t payload = 0, at_ms, event;

	if (l == NULL)
		return;
	c->totals.messages++;
	c->totals.whos += m->type == MESSAGE_BLOB_WHO;
	if (from == CROWD_ROOT) {
		c->totals.seed_said += crowd_wire_bytes(c, m);
		c->totals.records += m->type == MESSAGE_BLOB_SOURCES ? m->count : 0;
	} else if (to == CROWD_ROOT) {
		c->totals.seed_whos += m->type == MESSAGE_BLOB_WHO;
	}
	if (m->type == MESSAGE_BLOB_HAVE) {
		payload = payload_new(c);
		memcpy(c->payloads[payload].words, m->pieces, words_of(c) * sizeof(uint64_t));
	} else if (m->type == MESSAGE_BLOB_SOURCES) {
		payload = payload_new(c);
		memcpy(c->payloads[payload].peers, m->peers, m->count * sizeof(peer_ref));
	}
	at_ms = crowd_arrival(c, from, to, c->wheel.now_ms);
	event = crowd_post(c, CROWD_MESSAGE, from, to, at_ms);
	c->wheel.events[event].type = m->type;
	c->wheel.events[event].serial = l->serial;
	c->wheel.events[event].ttl = (uint8_t)m->count;
	c->wheel.events[event].ref = payload;
	c->wheel.events[event].about = m->type == MESSAGE_BLOB_BUSY ? m->retry_ms : m->length;
	c->wheel.events[event].sequence = (uint32_t)(m->offset / BLOB_PIECE);
}

static void effect(struct crowd *c, peer_ref self, const struct swarm_effect *e)
{
	uint32_t flow;

	switch (e->type) {
	case SWARM_SEND:
		send(c, self, e->peer, &e->message);
		break;
	case SWARM_DIAL:
		crowd_dial(c, self, e->peer);
		break;
	case SWARM_RELEASE:
		crowd_release(c, self, e->peer);
		break;
	case SWARM_ACCUSE:
		crowd_broken(c, e->why); /* all are honest */
	case SWARM_COMPLETE:
		CROWD_CHECK(c, c->members[self].done_ms == 0);
		c->members[self].done_ms = c->wheel.now_ms;
		c->done++;
		break;
	case SWARM_SERVE:
		CROWD_CHECK(c, e->offset % BLOB_PIECE == 0 && e->length <= BLOB_PIECE);
		CROWD_CHECK(c, crowd_linked(c, self, e->peer) != NULL);
		flow = flow_begin(&c->flows, self, e->peer, e->length, c->wheel.now_ms);
		c->flows.flows[flow].tag = (uint32_t)(e->offset / BLOB_PIECE);
		c->flows.flows[flow].serial = crowd_linked(c, self, e->peer)->serial;
		break;
	default:
		break;
	}
}

void crowd_step(struct crowd *c, peer_ref peer, struct swarm_event *event)
{
	struct swarm *s = c->members[peer].swarm;
	uint32_t now = c->wheel.now_ms, at_ms = c->alarms.alarms[peer].at_ms;
	uint64_t wake_ms;

	event->now_ms = now;
	event->random = draw_next(&c->random);
	c->effects.count = 0;
	CROWD_CHECK(c, swarm_step(s, event, &c->effects) == TK_OK);
	for (size_t i = 0; i < c->effects.count; i++)
		effect(c, peer, &c->effects.items[i]);
	wake_ms = swarm_wake_ms(s);
	if (wake_ms != UINT64_MAX && (at_ms == 0 || at_ms > wake_ms))
		alarms_set(&c->alarms, peer, now, wake_ms <= now ? now + 1 : (uint32_t)wake_ms);
}

static uint32_t piece_bytes(const struct crowd *c, uint32_t piece)
{
	uint64_t rest = c->config.bytes - (uint64_t)piece * BLOB_PIECE;

	return rest < BLOB_PIECE ? (uint32_t)rest : BLOB_PIECE;
}

static void message(struct crowd *c, const struct wheel_event *e)
{
	struct swarm_message m = {.type = e->type,
		.good = true,
		.blob = CROWD_BLOB,
		.count = e->ttl,
		.total = c->config.bytes,
		.offset = (uint64_t)e->sequence * BLOB_PIECE};
	struct swarm_event event = {.type = SWARM_MESSAGE, .peer = e->from, .message = &m};
	union payload payload;

	if (e->type == MESSAGE_BLOB_BUSY)
		m.retry_ms = e->about;
	else
		m.length = e->about;
	if (e->ref != 0) {
		payload = c->payloads[e->ref];
		m.pieces = payload.words;
		if (e->type == MESSAGE_BLOB_SOURCES)
			memcpy(m.peers, payload.peers, sizeof(m.peers));
		c->payloads[e->ref].next = c->payload_free;
		c->payload_free = e->ref;
	}
	if (!crowd_is_of(c, e))
		return;
	if (e->to == CROWD_ROOT && (e->type == MESSAGE_BLOB_WHO || e->type == MESSAGE_BLOB_GET))
		crowd_asked(c, e->from);
	crowd_step(c, e->to, &event);
}

void crowd_hear(struct crowd *c, const struct wheel_event *e)
{
	struct swarm_event event = {.peer = e->from, .blob = CROWD_BLOB};

	switch (e->kind) {
	case CROWD_MESSAGE:
		message(c, e);
		return;
	case CROWD_UP:
		crowd_up(c, e->to, e->from, (enum crowd_way)e->type, e->serial);
		return;
	case CROWD_WANT:
		event.type = SWARM_WANT;
		event.total = event.max = c->config.bytes;
		break;
	case CROWD_FAILED:
		c->totals.dials_failed++;
		event.type = SWARM_DIAL_FAILED;
		break;
	case CROWD_DOWN:
		crowd_down(c, e);
		return;
	case CROWD_LINGERED:
		crowd_lingered(c, e);
		return;
	case CROWD_KNOCK:
		crowd_knocked(c, e->from);
		return;
	case CROWD_REFUSED:
		crowd_turned_away(c, e->to);
		return;
	default:
		crowd_broken(c, "an event of no kind");
	}
	crowd_step(c, e->to, &event);
}

/* The bytes have left; the last of them arrives a way later. */
void crowd_flowed(struct crowd *c, uint32_t flow)
{
	const struct flow *f = &c->flows.flows[flow];
	uint32_t from = f->from, to = f->to, piece = f->tag;
	struct swarm_message part = {.type = MESSAGE_BLOB_PART,
		.length = piece_bytes(c, piece),
		.offset = (uint64_t)piece * BLOB_PIECE};
	struct swarm_event served = {.type = SWARM_SERVED,
		.peer = to,
		.blob = CROWD_BLOB,
		.offset = part.offset,
		.length = part.length};

	CROWD_CHECK(c, crowd_linked(c, from, to) != NULL &&
			       f->serial == crowd_linked(c, from, to)->serial);
	flow_end(&c->flows, flow, c->wheel.now_ms);
	if (from == CROWD_ROOT)
		crowd_asked(c, to);
	send(c, from, to, &part);
	crowd_step(c, from, &served);
}
