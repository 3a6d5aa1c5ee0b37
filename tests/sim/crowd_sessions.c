/* Sessions of the crowd: how they open and end, and what is heard of them. Each end keeps at most one with the other,
 * by number, and hears nothing of another one; when it ends, all that the core expected of it ends, too, as in
 * peer/swarm/exchange_peers.c. */
#include "peer/swarm/exchange.h"
#include "tasks/base/mem.h"
#include "tests/sim/crowd_state.h"

#define PUNCH_PERMILLE 850u
#define PUNCH_MS       1000u
#define DIAL_MS	       10000u

struct crowd_link *crowd_linked(const struct crowd *c, peer_ref a, peer_ref b)
{
	const struct member *m = &c->members[a == CROWD_ROOT ? b : a];
	peer_ref other = a == CROWD_ROOT ? a : b;

	for (uint32_t i = 0; i < m->link_count; i++)
		if (m->links[i].peer == other)
			return &m->links[i];
	return NULL;
}

bool crowd_is_of(const struct crowd *c, const struct wheel_event *e)
{
	const struct crowd_link *l = crowd_linked(c, e->to, e->from);

	return l != NULL && l->serial == e->serial;
}

void crowd_link(struct crowd *c, peer_ref a, peer_ref b, uint32_t serial, bool opened)
{
	struct member *m = &c->members[a];

	CROWD_CHECK(c, a != CROWD_ROOT && crowd_linked(c, a, b) == NULL);
	if (m->link_count == m->link_capacity) {
		m->link_capacity = m->link_capacity == 0 ? 8 : m->link_capacity * 2;
		m->links = mem_realloc(m->links, m->link_capacity * sizeof(*m->links));
		CROWD_CHECK(c, m->links != NULL);
	}
	m->links[m->link_count++] = (struct crowd_link){b, serial, opened};
}

/* Nothing more goes out on it, and the core is told. The coordinator's is gone at both ends, as they share its entry:
 * what was under way is lost. */
static void session_over(struct crowd *c, peer_ref self, peer_ref peer)
{
	struct swarm_event down = {.type = SWARM_DOWN, .peer = peer};
	struct member *m = &c->members[self == CROWD_ROOT ? peer : self];
	struct crowd_link *l = crowd_linked(c, self, peer);
	uint32_t next;

	for (uint32_t f = c->flows.ends[self].first_out; f != 0; f = next) {
		next = c->flows.flows[f].next_out;
		if (c->flows.flows[f].to == peer)
			flow_end(&c->flows, f, c->wheel.now_ms);
	}
	if (l != NULL)
		*l = m->links[--m->link_count];
	crowd_step(c, self, &down);
}

void crowd_end(struct crowd *c, peer_ref self, peer_ref peer)
{
	uint32_t event = crowd_post(
		c, CROWD_DOWN, self, peer, crowd_arrival(c, self, peer, c->wheel.now_ms));

	c->wheel.events[event].serial = crowd_linked(c, self, peer)->serial;
	session_over(c, self, peer);
}

void crowd_down(struct crowd *c, const struct wheel_event *e)
{
	if (e->from != CROWD_ROOT && !crowd_is_of(c, e))
		return;
	session_over(c, e->to, e->from);
	if (e->from == CROWD_ROOT)
		crowd_turned_away(c, e->to);
}

void crowd_dial(struct crowd *c, peer_ref from, peer_ref to)
{
	const struct member *a = &c->members[from], *b = &c->members[to];
	uint32_t at_ms = c->wheel.now_ms, event;

	CROWD_CHECK(c, to != from && to < c->config.peers + 2 && to != 0);
	c->totals.dials++;
	if (b->nat != NAT_NONE) {
		at_ms += PUNCH_MS;
		if (!nat_punches(a->nat, b->nat) ||
			draw_below(&c->random, 1000) >= PUNCH_PERMILLE) {
			crowd_post(c, CROWD_FAILED, to, from, at_ms + DIAL_MS);
			return;
		}
	}
	for (int trip = 0; trip < 2; trip++) {
		at_ms = crowd_arrival(c, from, to, at_ms);
		at_ms = crowd_arrival(c, to, from, at_ms);
	}
	event = crowd_post(c, CROWD_UP, to, from, at_ms);
	c->wheel.events[event].type = CROWD_DIALLED;
}

/* Members share prefixes by chance, four prefixes to three members, as in world.c; the coordinator has one of its own. */
static uint64_t prefix_of(const struct crowd *c, peer_ref peer)
{
	return 1 + (uint64_t)peer * 2654435761u % (c->config.peers * 4 / 3 + 1);
}

static void tell_up(struct crowd *c, peer_ref self, peer_ref peer, enum crowd_way way)
{
	const struct member *a = &c->members[self], *b = &c->members[peer];
	struct swarm_event up = {.type = SWARM_UP,
		.peer = peer,
		.reach = way == CROWD_CAME && self != CROWD_ROOT ? SWARM_UNREACHABLE
			 : b->public				 ? SWARM_PUBLIC
								 : SWARM_NATED,
		.rtt_ms = 2 * map_latency_ms(&a->place, &b->place),
		.prefix = prefix_of(c, peer)};

	crowd_step(c, self, &up);
}

/* Of two who dialled each other at once both keep the session that opened first: whoever hears of an older one gives
 * up its own. What was said on that the other has not heard, so both cores begin anew. */
void crowd_up(struct crowd *c, peer_ref self, peer_ref peer, enum crowd_way way, uint32_t serial)
{
	const struct crowd_link *l = crowd_linked(c, self, peer);
	uint32_t told;

	if (self == CROWD_ROOT || peer == CROWD_ROOT) { /* see crowd_knocked */
		tell_up(c, self, peer, way);
		return;
	}
	if (way == CROWD_DIALLED)
		serial = ++c->serial;
	if (l != NULL && l->serial < serial)
		return;
	if (l != NULL)
		crowd_end(c, self, peer);
	crowd_link(c, self, peer, serial, way == CROWD_DIALLED);
	if (way == CROWD_DIALLED) {
		told = crowd_post(
			c, CROWD_UP, self, peer, crowd_arrival(c, self, peer, c->wheel.now_ms));
		c->wheel.events[told].serial = serial;
	}
	tell_up(c, self, peer, way);
}

/* The next blob often comes from the same peers: a session that the swarm does not need is kept for a while. */
void crowd_release(struct crowd *c, peer_ref self, peer_ref peer)
{
	const struct crowd_link *l = crowd_linked(c, self, peer);
	uint32_t event;

	if (l == NULL || !l->opened)
		return;
	event = crowd_post(c, CROWD_LINGERED, peer, self, c->wheel.now_ms + EXCHANGE_LINGER_MS);
	c->wheel.events[event].serial = l->serial;
}

void crowd_lingered(struct crowd *c, const struct wheel_event *e)
{
	if (crowd_is_of(c, e) && !swarm_needs_peer(c->members[e->to].swarm, e->from))
		crowd_end(c, e->to, e->from);
}
