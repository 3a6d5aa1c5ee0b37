/* Who is a neighbour and who could become one: the slots of the active view, the passive view, quotas, and
 * the choice of whom to dial.
 *
 * Outbound neighbours are those that we chose ourselves, by chance from the passive view; whoever comes to
 * us takes one of the other slots. Departures from HyParView, and why: nobody who asks gets an outbound
 * slot, and a prefix has few, so that a swarm of identities cannot surround a node; failed peers stay in
 * the passive view as suspects for a while, so that a network that was cut in two finds together again;
 * now and then a lazy neighbour is exchanged, so that a network that grew through one contact does not
 * keep the shape in which it grew. */
#include "peer/overlay/gossip_state.h"

#include <string.h>

#include "tasks/base/mem.h"

#define RETRY_MS	     5000u
#define RETRY_MAX_MS	     600000u
#define RETRY_CONTACT_MS     1000u
#define RETRY_CONTACT_MAX_MS 30000u
#define NATED_MORE	     2u /* neighbours of any kind that a NATed peer looks for besides public ones */
#define FORGIVE_MS	     30000u

/* Slots */

int views_reserve(struct gossip *g)
{
	unsigned taken = bits(g->active | g->pending);
	struct neighbour *grown;
	size_t slots = g->slots + SLOTS_MORE;

	if (g->slots == GOSSIP_ACTIVE_MAX || taken + PENDING_MAX <= g->slots)
		return TK_OK;
	grown = mem_realloc(g->neighbours, slots * sizeof(*grown));
	if (grown == NULL)
		return TK_ENOMEM;
	memset(grown + g->slots, 0, (slots - g->slots) * sizeof(*grown));
	g->neighbours = grown;
	g->slots = (uint8_t)slots;
	return TK_OK;
}

unsigned slot_of(const struct gossip *g, peer_ref peer)
{
	for (unsigned i = 0; i < g->slots_used; i++) {
		if (g->slot_peer[i] == peer)
			return i;
	}
	return SLOT_NONE;
}

unsigned slot_take(
	struct gossip *g, peer_ref peer, enum neighbour_state state, enum neighbour_purpose purpose)
{
	uint64_t free = ~(g->active | g->pending);
	unsigned slot = free != 0 ? (unsigned)__builtin_ctzll(free) : SLOT_NONE;

	if (slot >= g->slots)
		return SLOT_NONE;
	g->slot_peer[slot] = peer;
	g->neighbours[slot] = (struct neighbour){.state = (uint8_t)state,
		.purpose = (uint8_t)purpose,
		.back = SLOT_NONE,
		.since_ms = now32(g)};
	g->pending |= bit(slot);
	if (slot >= g->slots_used)
		g->slots_used = (uint8_t)(slot + 1);
	return slot;
}

/* Nobody waits for this slot any more, and it waits for nobody. */
void slot_free(struct gossip *g, unsigned slot)
{
	uint64_t gone = bit(slot);

	broadcast_link_down(g, slot);
	for (unsigned i = 0; i < g->slots_used; i++) {
		if (g->neighbours[i].back == slot)
			g->neighbours[i].back = SLOT_NONE;
	}
	g->neighbours[slot] = (struct neighbour){0};
	g->slot_peer[slot] = 0;
	g->active &= ~gone;
	g->pending &= ~gone;
	g->outbound &= ~gone;
	g->more &= ~gone;
	while (g->slots_used > 0 && g->slot_peer[g->slots_used - 1] == 0)
		g->slots_used--;
}

unsigned random_slot(struct gossip *g, uint64_t set)
{
	unsigned n = bits(set);

	if (n == 0)
		return SLOT_NONE;
	for (unsigned skip = dice_below(g, n); skip > 0; skip--)
		set &= set - 1;
	return (unsigned)__builtin_ctzll(set);
}

/* How many of a set have the same prefix as this peer, which may be one of them and is not counted. */
static unsigned prefix_mates(const struct gossip *g, peer_ref peer, uint64_t set)
{
	uint64_t prefix = peer_of(g, peer)->prefix;
	unsigned same = 0;

	while (prefix != 0 && set != 0) {
		peer_ref other = g->slot_peer[next_slot(&set)];

		same += other != peer && peer_of(g, other)->prefix == prefix;
	}
	return same;
}

bool prefix_has_room(const struct gossip *g, peer_ref peer)
{
	return prefix_mates(g, peer, g->active | g->pending) < g->config.prefix_max;
}

/* To be dialled. Whoever has hardly anybody does not count those who came: where all have one prefix, each
 * chooses two, and that suffices to connect them. */
bool prefix_may_be_chosen(const struct gossip *g, peer_ref peer)
{
	return prefix_has_room(g, peer) ||
	       (bits(g->outbound) < g->config.prefix_max &&
		       prefix_mates(g, peer, g->outbound) < g->config.prefix_max);
}

/* Too many of one prefix are guests: welcome in a quarter of the inbound slots while nobody else wants them,
 * as a whole school may sit behind one address. */
bool guest_has_room(const struct gossip *g)
{
	unsigned most = g->config.active_max - g->config.active_out;

	return bits(g->active & ~g->outbound) < (most + 3) / 4;
}

/* Somebody who makes room for one that is no guest; SLOT_NONE: there are no guests. */
unsigned guest_slot(struct gossip *g)
{
	uint64_t inbound = g->active & ~g->outbound;
	uint64_t set = inbound;
	uint64_t guests = 0;

	while (set != 0) {
		unsigned slot = next_slot(&set);

		if (prefix_mates(g, g->slot_peer[slot], g->active) >= g->config.prefix_max)
			guests |= bit(slot);
	}
	return random_slot(g, guests);
}

/* The last few slots are kept for those who have nobody. */
bool inbound_has_room(const struct gossip *g, bool high)
{
	unsigned most = g->config.active_max - g->config.active_out;

	return bits(g->active & ~g->outbound) + (high ? 0 : most / 8) < most;
}

unsigned outbound_wanted(const struct gossip *g)
{
	unsigned wanted = g->config.active_out;

	if (!g->config.public)
		wanted += NATED_MORE;
	return wanted < g->config.active_max ? wanted : g->config.active_max;
}

/* The passive view */

struct candidate *passive_find(struct gossip *g, peer_ref peer)
{
	for (unsigned i = 0; i < g->passive_count; i++) {
		if (g->passive[i].peer == peer)
			return &g->passive[i];
	}
	return NULL;
}

bool is_expired(const struct gossip *g, peer_ref peer)
{
	uint32_t expiry = peer_of(g, peer)->expiry_s;

	return expiry == 0 || expiry < g->now_s;
}

static bool passive_prefix_has_room(const struct gossip *g, peer_ref peer)
{
	uint64_t prefix = peer_of(g, peer)->prefix;
	unsigned same = 0;

	if (prefix == 0)
		return true;
	for (unsigned i = 0; i < g->passive_count; i++)
		same += peer_of(g, g->passive[i].peer)->prefix == prefix;
	return same < 2u * g->config.prefix_max;
}

/* Contacts never make room, nor do those that were neighbours, up to a quarter of the view: they are what
 * no stranger can take from us. */
static bool is_safe(const struct candidate *c, bool tried_too)
{
	return c->contact || (c->tried && !tried_too);
}

/* Who makes room: by chance, a suspect rather than one that is not, and a NATed one where those are more
 * than half, because they are of little use to most. */
static struct candidate *passive_victim(struct gossip *g, bool public)
{
	struct candidate *victim = NULL;
	unsigned half = g->config.passive_max / 2u;
	unsigned nated = 0, tried = 0, seen = 0;
	bool only_nated, tried_too;

	for (unsigned i = 0; i < g->passive_count; i++) {
		nated += !g->passive[i].contact && !peer_of(g, g->passive[i].peer)->public;
		tried += g->passive[i].tried;
	}
	only_nated = nated > half || (!public && nated == half);
	tried_too = tried > half / 2;
	for (unsigned i = 0; i < g->passive_count; i++) {
		struct candidate *c = &g->passive[i];
		unsigned weight = c->fails >= 2 ? 2 : 1;

		if (is_safe(c, tried_too) || (only_nated && peer_of(g, c->peer)->public))
			continue;
		seen += weight;
		if (dice_below(g, seen) < weight)
			victim = c;
	}
	return victim;
}

static unsigned contacts(const struct gossip *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->passive_count; i++)
		n += g->passive[i].contact;
	return n;
}

/* An expired record makes room before anybody else has to. */
static void passive_sweep(struct gossip *g)
{
	for (unsigned i = g->passive_count; i-- > 0;) {
		if (!g->passive[i].contact && is_expired(g, g->passive[i].peer))
			g->passive[i] = g->passive[--g->passive_count];
	}
}

/* While we have hardly anybody, one that refused us or cannot be reached is worth less than any other. */
static struct candidate *useless_one(struct gossip *g)
{
	if (bits(g->outbound & g->active) >= ENOUGH)
		return NULL;
	for (unsigned i = 0; i < g->passive_count; i++) {
		struct candidate *c = &g->passive[i];

		if (c->waiting && !c->contact && !c->tried && (int32_t)(c->retry_ms - now32(g)) > 0)
			return c;
	}
	return NULL;
}

bool passive_add(struct gossip *g, peer_ref peer, enum passive_source source)
{
	struct candidate *c;

	if (peer == 0 || peer == g->config.self || is_expired(g, peer) ||
		slot_of(g, peer) != SLOT_NONE || passive_find(g, peer) != NULL ||
		!passive_prefix_has_room(g, peer))
		return false;
	if (g->passive_count - contacts(g) >= g->config.passive_max)
		passive_sweep(g);
	if (g->passive_count - contacts(g) < g->config.passive_max) {
		c = &g->passive[g->passive_count++];
	} else if ((c = useless_one(g)) == NULL) {
		if ((source == FROM_SHUFFLE && g->replaced >= g->config.passive_max / 4u) ||
			(source == FROM_WALK && g->walked >= g->config.passive_max))
			return false;
		g->replaced = (uint8_t)(g->replaced + (source == FROM_SHUFFLE));
		g->walked = (uint8_t)(g->walked + (source == FROM_WALK));
		c = passive_victim(g, peer_of(g, peer)->public);
		if (c == NULL)
			return false;
	}
	*c = (struct candidate){.peer = peer, .tried = source == FROM_LINK};
	if (bits(g->outbound) < outbound_wanted(g))
		views_fill_soon(g, 0);
	return true;
}

/* What a neighbour says that exists. Once the view is full, each has its share. */
void passive_from(struct gossip *g, unsigned slot, peer_ref peer, enum passive_source source)
{
	struct neighbour *n = &g->neighbours[slot];
	bool full = g->passive_count >= g->config.passive_max &&
		    bits(g->outbound & g->active) >= ENOUGH;

	if (g->now_ms - g->share_ms >= SHARE_MS) {
		g->share_ms = g->now_ms;
		g->replaced = g->walked = 0;
		for (unsigned i = 0; i < g->slots_used; i++)
			g->neighbours[i].gave = 0;
	}
	if ((!full || n->gave < SHARE_EACH) && passive_add(g, peer, source) && full)
		n->gave++;
}

/* The network is back: who could not be reached before may be now. */
void passive_forgive(struct gossip *g)
{
	for (unsigned i = 0; i < g->passive_count; i++) {
		struct candidate *c = &g->passive[i];

		if (c->fails == 0)
			continue;
		c->fails = 0;
		passive_wait(g, c->peer, dice_below(g, c->tried ? FORGIVE_MS / 3 : FORGIVE_MS));
	}
}

void passive_remove(struct gossip *g, peer_ref peer)
{
	struct candidate *c = passive_find(g, peer);

	if (c != NULL && !c->contact)
		*c = g->passive[--g->passive_count];
}

void passive_wait(struct gossip *g, peer_ref peer, uint32_t ms)
{
	struct candidate *c = passive_find(g, peer);

	if (c == NULL)
		return;
	c->waiting = true;
	c->retry_ms = now32(g) + about(g, ms);
}

void passive_failed(struct gossip *g, peer_ref peer)
{
	struct candidate *c = passive_find(g, peer);
	uint32_t most;
	uint32_t wait;

	if (c == NULL)
		return;
	if (c->fails < SUSPECT_FAILS_MAX) {
		c->fails++;
	} else if (!c->contact && !g->isolated) { /* cut off, we judge nobody */
		passive_remove(g, peer);
		return;
	}
	most = c->contact ? RETRY_CONTACT_MAX_MS : RETRY_MAX_MS;
	wait = (c->contact ? RETRY_CONTACT_MS : RETRY_MS) << (c->fails - 1);
	passive_wait(g, peer, wait < most ? wait : most);
}

void contact_add(struct gossip *g, peer_ref peer)
{
	struct candidate *c = passive_find(g, peer);

	if (peer == 0 || peer == g->config.self)
		return;
	if (c == NULL && contacts(g) < CONTACTS_MAX && g->passive_count < g->passive_capacity) {
		c = &g->passive[g->passive_count++];
		*c = (struct candidate){.peer = peer};
	}
	if (c == NULL) {
		(void)passive_add(g, peer, FROM_LINK);
	} else if (contacts(g) < CONTACTS_MAX) {
		c->contact = true;
		c->waiting = false;
	}
}

/* A NATed peer is named less often to those who need somebody to dial. */
static bool is_passed_over(struct gossip *g, peer_ref peer, bool mostly_public)
{
	return mostly_public && !peer_of(g, peer)->public && dice_below(g, 4) != 0;
}

static uint8_t sample_active(
	struct gossip *g, peer_ref *out, uint8_t most, peer_ref but, bool mostly_public)
{
	uint64_t set = g->active;
	uint8_t count = 0;
	unsigned slot;

	while (count < most && (slot = random_slot(g, set)) != SLOT_NONE) {
		set &= ~bit(slot);
		if (g->slot_peer[slot] != but &&
			!is_passed_over(g, g->slot_peer[slot], mostly_public))
			out[count++] = g->slot_peer[slot];
	}
	return count;
}

uint8_t passive_sample(struct gossip *g, peer_ref *out, uint8_t active, uint8_t most, peer_ref but,
	bool mostly_public)
{
	uint8_t count = sample_active(g, out, active, but, mostly_public);
	uint8_t order[GOSSIP_PASSIVE_MAX + CONTACTS_MAX];
	unsigned left = g->passive_count;

	for (unsigned i = 0; i < left; i++)
		order[i] = (uint8_t)i;
	while (left > 0 && count < most) {
		unsigned at = dice_below(g, left);
		const struct candidate *c = &g->passive[order[at]];

		order[at] = order[--left];
		if (c->fails == 0 && c->peer != but && !is_passed_over(g, c->peer, mostly_public) &&
			!is_expired(g, c->peer) && slot_of(g, c->peer) == SLOT_NONE)
			out[count++] = c->peer;
	}
	return count;
}

/* For status and tests */

size_t gossip_active(const struct gossip *g, peer_ref out[GOSSIP_ACTIVE_MAX])
{
	uint64_t set = g->active;
	size_t n = 0;

	while (set != 0)
		out[n++] = g->slot_peer[next_slot(&set)];
	return n;
}

size_t gossip_passive(const struct gossip *g, peer_ref out[GOSSIP_PASSIVE_MAX])
{
	size_t n = 0;

	for (unsigned i = 0; i < g->passive_count && n < GOSSIP_PASSIVE_MAX; i++)
		out[n++] = g->passive[i].peer;
	return n;
}

bool gossip_knows(const struct gossip *g, peer_ref peer)
{
	if (peer == 0)
		return false;
	for (unsigned i = 0; i < VISITORS; i++) {
		if (g->visitors[i].peer == peer)
			return true;
	}
	return peer == g->config.self || slot_of(g, peer) != SLOT_NONE ||
	       passive_find((struct gossip *)g, peer) != NULL;
}
