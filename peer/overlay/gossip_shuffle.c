/* Shuffles: the passive views mix along random walks over active links.
 *
 * Departure from HyParView: a SHUFFLE_REPLY goes back the way its SHUFFLE came, one outstanding on each link,
 * so that it needs no new session and reaches peers behind NATs; it is taken only from the neighbour that was
 * asked. */
#include "peer/overlay/gossip_state.h"

static bool back_is_free(const struct gossip *g, unsigned slot)
{
	const struct neighbour *n = &g->neighbours[slot];

	return n->back == SLOT_NONE || now32(g) - n->back_ms >= SHUFFLE_REPLY_MS;
}

/* A random neighbour that owes no reply to anybody. */
static unsigned shuffle_target(struct gossip *g, uint64_t but)
{
	uint64_t set = g->active & ~but;
	unsigned slot;

	while ((slot = random_slot(g, set)) != SLOT_NONE && !back_is_free(g, slot))
		set &= ~bit(slot);
	return slot;
}

static void shuffle_send(struct gossip *g, unsigned slot, unsigned back, struct gossip_message *m)
{
	struct neighbour *n = &g->neighbours[slot];

	n->back = (uint8_t)back;
	n->back_ms = now32(g);
	emit(g, GOSSIP_SEND, g->slot_peer[slot])->message = *m;
}

void shuffle_begin(struct gossip *g)
{
	struct gossip_message m = {.type = MESSAGE_SHUFFLE, .ttl = g->config.shuffle_ttl};
	unsigned slot = shuffle_target(g, 0);
	uint8_t most = (uint8_t)(g->config.shuffle_active + g->config.shuffle_passive);

	g->shuffle_wait_ms *= 2;
	if (g->shuffle_wait_ms > g->config.shuffle_ms)
		g->shuffle_wait_ms = g->config.shuffle_ms;
	g->shuffle_ms = g->now_ms + about(g, g->shuffle_wait_ms);
	for (unsigned i = 0; i < g->slots_used; i++)
		g->neighbours[i].lies /= 2;
	if (slot == SLOT_NONE)
		return;
	m.about = g->config.self;
	m.count = passive_sample(
		g, m.refs, g->config.shuffle_active, most, g->slot_peer[slot], false);
	shuffle_send(g, slot, SLOT_SELF, &m);
}

static void integrate(struct gossip *g, unsigned slot, const struct gossip_message *m)
{
	for (unsigned i = 0; i < m->count; i++)
		passive_from(g, slot, m->refs[i], FROM_SHUFFLE);
}

void shuffle_message(struct gossip *g, unsigned slot, const struct gossip_message *m)
{
	unsigned origin = slot_of(g, m->about);
	uint64_t but = bit(slot) | (origin != SLOT_NONE ? bit(origin) : 0);
	unsigned next = m->ttl > 0 ? shuffle_target(g, but) : SLOT_NONE;

	if (m->about == g->config.self)
		return;
	if (next != SLOT_NONE) {
		struct gossip_message on = *m;

		on.ttl = m->ttl < GOSSIP_TTL_MAX ? (uint8_t)(m->ttl - 1) : GOSSIP_TTL_MAX - 1;
		shuffle_send(g, next, slot, &on);
		return;
	}
	records_send(g, g->slot_peer[slot]);
	integrate(g, slot, m);
	passive_from(g, slot, m->about, FROM_SHUFFLE);
}

void shuffle_reply(struct gossip *g, unsigned slot, const struct gossip_message *m)
{
	struct neighbour *n = &g->neighbours[slot];
	unsigned back = n->back;

	if (back == SLOT_NONE || now32(g) - n->back_ms >= SHUFFLE_REPLY_MS) {
		g->counts.shed_shuffle++;
		return;
	}
	n->back = SLOT_NONE;
	if (back == SLOT_SELF)
		integrate(g, slot, m);
	else if ((g->active & bit(back)) != 0)
		emit(g, GOSSIP_SEND, g->slot_peer[back])->message = *m;
}
