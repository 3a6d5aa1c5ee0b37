/* Sessions between nodes: dialling, relays, what travels, and how they end. See world.h. */
#include "tasks/base/mem.h"
#include "tests/sim/world_state.h"

#define PUNCH_PERMILLE 850 /* of those whose NATs allow it */
#define PUNCH_MS       1000
#define RELAY_TRIES    8u
#define NODE_LINKS_MAX 4096u /* as in peer/overlay/node.h */

struct link *link_find(const struct node *n, peer_ref peer)
{
	for (uint32_t i = 0; i < n->link_count; i++)
		if (n->links[i].peer == peer)
			return &n->links[i];
	return NULL;
}

static void link_add(struct world *w, struct node *n, struct link link)
{
	if (n->link_count == n->link_capacity) {
		uint16_t capacity = (uint16_t)(n->link_capacity + n->link_capacity / 4 + 4);

		WORLD_CHECK(w, n->link_capacity < 32768);
		n->links = mem_realloc(n->links, capacity * sizeof(*n->links));
		WORLD_CHECK(w, n->links != NULL);
		w->link_bytes += (size_t)(capacity - n->link_capacity) * sizeof(*n->links);
		n->link_capacity = capacity;
	}
	n->links[n->link_count++] = link;
}

static void link_remove(struct node *n, struct link *link)
{
	*link = n->links[--n->link_count];
}

uint32_t link_arrival(
	const struct world *w, peer_ref from, peer_ref to, peer_ref relay, uint32_t at_ms)
{
	const struct node *n = w->nodes;

	if (relay == 0)
		return map_arrival_ms(
			&w->config.map, from, &n[from].place, to, &n[to].place, at_ms);
	at_ms = map_arrival_ms(&w->config.map, from, &n[from].place, relay, &n[relay].place, at_ms);
	return map_arrival_ms(&w->config.map, relay, &n[relay].place, to, &n[to].place, at_ms);
}

uint32_t link_post(struct world *w, enum world_event_kind kind, peer_ref from, peer_ref to,
	uint32_t serial, uint32_t at_ms)
{
	uint32_t event = wheel_new(&w->wheel);

	w->wheel.events[event] = (struct wheel_event){
		.kind = (uint8_t)kind, .from = from, .to = to, .serial = serial};
	wheel_post(&w->wheel, event, at_ms);
	return event;
}

static void close_tell(struct world *w, peer_ref from, const struct link *l)
{
	if (world_reaches(w, from, l->peer))
		link_post(w, EVENT_CLOSE, from, l->peer, l->serial,
			link_arrival(w, from, l->peer, l->relay, w->wheel.now_ms));
}

void link_close(struct world *w, peer_ref from, peer_ref to)
{
	struct node *n = &w->nodes[from];
	struct link *l = link_find(n, to);

	if (l == NULL)
		return;
	close_tell(w, from, l);
	link_remove(n, l);
}

void links_drop(struct world *w, peer_ref peer, uint32_t at_ms)
{
	struct node *n = &w->nodes[peer];

	for (uint32_t i = 0; i < n->link_count; i++) {
		const struct link *l = &n->links[i];

		if (at_ms != 0)
			link_post(w, EVENT_CLOSE, peer, l->peer, l->serial, at_ms);
		else
			close_tell(w, peer, l);
	}
	n->link_count = 0;
}

/* A public peer that is up, to carry what NATs do not let through; 0: none was found. */
static peer_ref relay_draw(struct world *w, peer_ref a, peer_ref b)
{
	for (uint32_t i = 0; i < RELAY_TRIES && w->public_count != 0; i++) {
		peer_ref p = w->publics[draw_below(&w->random, w->public_count)];

		if (p != a && p != b && w->nodes[p].state == WORLD_UP && world_reaches(w, p, a) &&
			world_reaches(w, p, b))
			return p;
	}
	return 0;
}

void link_dial(struct world *w, peer_ref from, peer_ref to)
{
	const struct node *a = &w->nodes[from], *b = &w->nodes[to];
	uint32_t serial = ++w->serial, event, at_ms = w->wheel.now_ms;
	peer_ref relay = 0;

	w->totals.dials++;
	if (link_find(a, to) != NULL) {
		link_post(w, EVENT_KNOWN, to, from, serial, at_ms);
		return;
	}
	if (b->nat != NAT_NONE) {
		at_ms += PUNCH_MS;
		if (!nat_punches(a->nat, b->nat) ||
			draw_below(&w->random, 1000) >= PUNCH_PERMILLE) {
			relay = relay_draw(w, from, to);
			if (relay == 0) {
				link_post(w, EVENT_FAILED, to, from, serial,
					at_ms + w->config.dial_ms);
				return;
			}
		}
	}
	event = link_post(w, EVENT_SYN, from, to, serial, link_arrival(w, from, to, relay, at_ms));
	w->wheel.events[event].ref = relay;
}

static void syn(struct world *w, const struct wheel_event *e)
{
	const struct node *to = &w->nodes[e->to];
	uint32_t now = w->wheel.now_ms, event;

	if (to->state == WORLD_STOPPED && world_reaches(w, e->from, e->to)) {
		link_post(w, EVENT_FAILED, e->to, e->from, e->serial,
			link_arrival(w, e->to, e->from, e->ref, now));
	} else if (to->state == WORLD_UP && to->link_count >= NODE_LINKS_MAX) { /* refused */
		link_post(w, EVENT_FAILED, e->to, e->from, e->serial,
			link_arrival(w, e->to, e->from, e->ref, now));
	} else if (to->state != WORLD_UP || to->frozen_ms > now ||
		   !world_reaches(w, e->from, e->to)) {
		link_post(w, EVENT_FAILED, e->to, e->from, e->serial, now + w->config.dial_ms);
	} else { /* another round trip for the handshake */
		uint32_t at_ms = link_arrival(w, e->to, e->from, e->ref, now);

		at_ms = link_arrival(w, e->from, e->to, e->ref, at_ms);
		at_ms = link_arrival(w, e->to, e->from, e->ref, at_ms);
		event = link_post(w, EVENT_OPENED, e->to, e->from, e->serial, at_ms);
		w->wheel.events[event].ref = e->ref;
	}
}

static void tell_up(struct world *w, peer_ref self, peer_ref peer, bool dialled)
{
	struct node *n = &w->nodes[self];
	uint32_t rtt_ms = 2 * map_latency_ms(&n->place, &w->nodes[peer].place);
	bool known = false;

	if (n->sybil) {
		sybil_up(w, self, peer);
		return;
	}
	for (uint32_t i = 0; i < CACHE_PEERS; i++)
		known |= n->cache[i] == peer;
	if (!known && w->nodes[peer].public)
		n->cache[n->cache_next++ % CACHE_PEERS] = peer;
	world_step(w, self,
		&(struct gossip_event){
			.type = GOSSIP_UP, .peer = peer, .flag = dialled, .rtt_ms = rtt_ms});
}

static void opened(struct world *w, const struct wheel_event *e)
{
	struct node *n = &w->nodes[e->to];
	uint32_t event;

	if (link_find(n, e->from) != NULL)
		return; /* they dialled us meanwhile */
	link_add(w, n, (struct link){e->from, e->serial, e->ref});
	event = link_post(w, EVENT_OPEN, e->to, e->from, e->serial,
		link_arrival(w, e->to, e->from, e->ref, w->wheel.now_ms));
	w->wheel.events[event].ref = e->ref;
	tell_up(w, e->to, e->from, true);
}

/* Two who dialled each other at once keep the older of the two sessions, and hear what came on both. */
static void open(struct world *w, const struct wheel_event *e)
{
	struct node *n = &w->nodes[e->to];
	struct link *l = link_find(n, e->from);

	if (l != NULL) {
		if (e->serial < l->serial)
			l->serial = e->serial;
		return;
	}
	if (n->link_count >= NODE_LINKS_MAX) { /* so many dialled in one moment: refused */
		link_post(w, EVENT_CLOSE, e->to, e->from, e->serial,
			link_arrival(w, e->to, e->from, e->ref, w->wheel.now_ms));
		return;
	}
	link_add(w, n, (struct link){e->from, e->serial, e->ref});
	tell_up(w, e->to, e->from, false);
}

void link_event(struct world *w, const struct wheel_event *e)
{
	struct node *n = &w->nodes[e->to];
	struct gossip_event down = {.type = GOSSIP_DOWN, .peer = e->from};
	struct link *l;

	if (e->kind == EVENT_SYN) {
		syn(w, e);
		return;
	}
	if (n->state != WORLD_UP || e->serial <= n->boot_serial) {
		if (e->kind == EVENT_OPEN)
			link_post(w, EVENT_CLOSE, e->to, e->from, e->serial,
				link_arrival(w, e->to, e->from, e->ref, w->wheel.now_ms));
		return;
	}
	switch (e->kind) {
	case EVENT_OPENED:
		opened(w, e);
		break;
	case EVENT_OPEN:
		open(w, e);
		break;
	case EVENT_KNOWN:
		if (link_find(n, e->from) != NULL)
			tell_up(w, e->to, e->from, true);
		break;
	case EVENT_FAILED:
		w->totals.dials_failed++;
		down.type = GOSSIP_DIAL_FAILED;
		if (!n->sybil && link_find(n, e->from) == NULL)
			world_step(w, e->to, &down);
		break;
	case EVENT_CLOSE:
		l = link_find(n, e->from);
		if (l == NULL || e->serial < l->serial)
			break;
		link_remove(n, l);
		if (!n->sybil)
			world_step(w, e->to, &down);
		break;
	default:
		world_broken(w, "an event of no kind");
	}
}

bool link_holds(struct world *w, const struct wheel_event *e)
{
	const struct link *l = link_find(&w->nodes[e->to], e->from);

	if (l != NULL)
		return e->serial >= l->serial;
	if (world_reaches(w, e->from, e->to))
		link_post(w, EVENT_CLOSE, e->to, e->from, e->serial,
			link_arrival(w, e->to, e->from, 0, w->wheel.now_ms));
	return false;
}

/* About what the messages are long, with frame and tag; a record is some 250 bytes. */
static uint32_t message_bytes(const struct world *w, const struct gossip_message *m)
{
	switch (m->type) {
	case MESSAGE_BROADCAST:
		return w->config.body_bytes;
	case MESSAGE_JOIN:
	case MESSAGE_FORWARD_JOIN:
	case MESSAGE_NEIGHBOR:
		return 290;
	case MESSAGE_SHUFFLE:
		return 290 + 250 * m->count;
	case MESSAGE_SHUFFLE_REPLY:
		return 40 + 250 * m->count;
	case MESSAGE_HEADS:
		return 40 + 45 * m->count;
	case MESSAGE_PULL:
		return 75;
	default:
		return 40 + 18 * m->count;
	}
}

static void message_store(
	struct world *w, struct wheel_event *e, uint32_t extra, const struct gossip_message *m)
{
	e->type = m->type;
	e->count = m->count;
	e->ttl = (uint8_t)(m->ttl | (m->flag ? 0x80 : 0));
	e->about = m->about;
	e->ref = extra != 0 ? extra : m->refs[0];
	e->sequence = m->type == MESSAGE_IHAVE ? m->hops[0] : (uint32_t)m->sequences[0];
	for (uint32_t i = 0; i < m->count && extra != 0; i++) {
		w->wheel.extras[extra].refs[i] = m->refs[i];
		w->wheel.extras[extra].sequences[i] = (uint32_t)m->sequences[i];
		w->wheel.extras[extra].hops[i] = m->hops[i];
	}
}

void link_send(struct world *w, peer_ref from, peer_ref to, const struct gossip_message *m)
{
	struct node *n = &w->nodes[from];
	const struct link *l = link_find(n, to);
	uint32_t bytes = message_bytes(w, m), extra, event;
	uint64_t now_us = (uint64_t)w->wheel.now_ms * 1000;

	if (l == NULL) {
		w->totals.unopened++;
		return;
	}
	WORLD_CHECK(w, m->count <= 8 && m->ttl < 0x80);
	w->totals.messages++;
	w->totals.bytes += bytes;
	w->totals.by_type[m->type & 63]++;
	if (n->uplink_us < now_us)
		n->uplink_us = now_us;
	n->uplink_us += (uint64_t)bytes * 8000 /
			(n->public ? w->config.up_public_kbps : w->config.up_home_kbps);
	if (!world_reaches(w, from, to))
		return;
	if (l->relay != 0 && w->nodes[l->relay].state != WORLD_UP) { /* the circuit is gone */
		link_post(w, EVENT_CLOSE, to, from, l->serial, w->wheel.now_ms + 1);
		link_post(w, EVENT_CLOSE, from, to, l->serial, w->wheel.now_ms + 1);
		return;
	}
	extra = m->count > 1 ? wheel_extra_new(&w->wheel) : 0;
	event = wheel_new(&w->wheel);
	w->wheel.events[event] = (struct wheel_event){
		.kind = EVENT_MESSAGE, .from = from, .to = to, .serial = l->serial};
	message_store(w, &w->wheel.events[event], extra, m);
	wheel_post(&w->wheel, event,
		link_arrival(w, from, to, l->relay, (uint32_t)(n->uplink_us / 1000)));
}
