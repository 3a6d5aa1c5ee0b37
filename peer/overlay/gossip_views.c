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
#define RETRY_CONTACT_MAX_MS 60000u
#define JOINS_AT_ONCE	     2u
#define PROBES_AT_ONCE	     2u
#define LOST_MS		     3000u
#define NATED_MORE	     2u /* neighbours of any kind that a NATed peer looks for besides public ones */

/* Slots */

int views_reserve(struct gossip *g)
{
	unsigned taken = bits(g->active | g->pending);
	struct neighbour *grown;
	size_t slots = g->slots == 0 ? SLOTS_FIRST : g->slots * 2u;

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

bool prefix_has_room(const struct gossip *g, peer_ref peer)
{
	uint64_t prefix = peer_of(g, peer)->prefix;
	uint64_t set = g->active | g->pending;
	unsigned same = 0;

	if (prefix == 0)
		return true;
	while (set != 0) {
		peer_ref other = g->slot_peer[next_slot(&set)];

		same += other != peer && peer_of(g, other)->prefix == prefix;
	}
	return same < g->config.prefix_max;
}

bool inbound_has_room(const struct gossip *g)
{
	unsigned most = g->config.active_max - g->config.active_out;

	return bits(g->active & ~g->outbound) < most;
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

static bool is_expired(const struct gossip *g, peer_ref peer)
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

/* Who makes room: by chance, a suspect rather than one that is not, and a NATed one where those are more
 * than half, because they are of little use to most. Contacts never. */
static struct candidate *passive_victim(struct gossip *g, bool public)
{
	struct candidate *victim = NULL;
	unsigned nated = 0;
	unsigned seen = 0;
	bool only_nated;

	for (unsigned i = 0; i < g->passive_count; i++)
		nated += !g->passive[i].contact && !peer_of(g, g->passive[i].peer)->public;
	only_nated = nated > g->config.passive_max / 2u ||
		     (!public && nated == g->config.passive_max / 2u);
	for (unsigned i = 0; i < g->passive_count; i++) {
		struct candidate *c = &g->passive[i];
		unsigned weight = c->fails >= 2 ? 2 : 1;

		if (c->contact || (only_nated && peer_of(g, c->peer)->public))
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

void passive_add(struct gossip *g, peer_ref peer, enum passive_source source)
{
	struct candidate *c;

	if (peer == 0 || peer == g->config.self || is_expired(g, peer) ||
		slot_of(g, peer) != SLOT_NONE || passive_find(g, peer) != NULL ||
		!passive_prefix_has_room(g, peer))
		return;
	if (g->passive_count - contacts(g) >= g->config.passive_max)
		passive_sweep(g);
	if (g->passive_count - contacts(g) < g->config.passive_max) {
		c = &g->passive[g->passive_count++];
	} else {
		if (source == FROM_SHUFFLE && g->replaced >= g->config.passive_max / 4u)
			return;
		g->replaced = (uint8_t)(g->replaced + (source == FROM_SHUFFLE));
		c = passive_victim(g, peer_of(g, peer)->public);
		if (c == NULL)
			return;
	}
	*c = (struct candidate){.peer = peer};
	if (bits(g->outbound) < outbound_wanted(g))
		views_fill_soon(g, 0);
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
	} else if (!c->contact) {
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
		passive_add(g, peer, FROM_OWN);
	} else if (contacts(g) < CONTACTS_MAX) {
		c->contact = true;
		c->waiting = false;
	}
}

static uint8_t sample_active(
	struct gossip *g, peer_ref *out, uint8_t count, uint8_t most, peer_ref but)
{
	uint64_t set = g->active;
	unsigned slot;

	while (count < most && (slot = random_slot(g, set)) != SLOT_NONE) {
		set &= ~bit(slot);
		if (g->slot_peer[slot] != but)
			out[count++] = g->slot_peer[slot];
	}
	return count;
}

uint8_t passive_sample(struct gossip *g, peer_ref *out, uint8_t active, uint8_t most, peer_ref but)
{
	uint8_t count = sample_active(g, out, 0, active, but);
	uint8_t order[GOSSIP_PASSIVE_MAX + CONTACTS_MAX];
	unsigned left = g->passive_count;

	for (unsigned i = 0; i < left; i++)
		order[i] = (uint8_t)i;
	while (left > 0 && count < most) {
		unsigned at = dice_below(g, left);
		const struct candidate *c = &g->passive[order[at]];

		order[at] = order[--left];
		if (c->fails == 0 && c->peer != but && !is_expired(g, c->peer) &&
			slot_of(g, c->peer) == SLOT_NONE)
			out[count++] = c->peer;
	}
	return count;
}

/* Whom to dial */

void views_fill_soon(struct gossip *g, uint32_t ms)
{
	if (g->now_ms + ms < g->fill_ms)
		g->fill_ms = g->now_ms + ms;
}

static bool may_be_dialled(const struct gossip *g, const struct candidate *c)
{
	return (!c->waiting || (int32_t)(now32(g) - c->retry_ms) >= 0) &&
	       slot_of(g, c->peer) == SLOT_NONE && (c->contact || !is_expired(g, c->peer)) &&
	       prefix_has_room(g, c->peer);
}

enum pick { PICK_PUBLIC = 1, PICK_ANY = 2, PICK_CONTACT = 3 };

static bool is_wanted(const struct gossip *g, const struct candidate *c, enum pick how)
{
	switch (how) {
	case PICK_PUBLIC:
		return !c->contact && peer_of(g, c->peer)->public;
	case PICK_ANY:
		return !c->contact;
	default:
		return c->contact;
	}
}

/* One by chance, of those that never failed if there are any. */
static struct candidate *pick_one(struct gossip *g, enum pick how)
{
	struct candidate *best = NULL;
	unsigned seen = 0;

	for (unsigned i = 0; i < g->passive_count; i++) {
		struct candidate *c = &g->passive[i];

		if (!is_wanted(g, c, how) || !may_be_dialled(g, c))
			continue;
		if (best != NULL && (best->fails == 0) != (c->fails == 0)) {
			if (c->fails != 0)
				continue;
			seen = 0;
		}
		if (dice_below(g, ++seen) == 0)
			best = c;
	}
	return best;
}

static bool dial(struct gossip *g, struct candidate *c, enum neighbour_purpose purpose)
{
	unsigned slot = slot_take(g, c->peer, NEIGHBOUR_DIALING, purpose);

	if (slot == SLOT_NONE)
		return false;
	if (purpose != FOR_PROBE)
		g->outbound |= bit(slot);
	c->waiting = false;
	g->dial_tokens--;
	g->counts.dials++;
	if (g->now_ms + DIAL_MS < g->pending_ms)
		g->pending_ms = g->now_ms + DIAL_MS;
	emit(g, GOSSIP_DIAL, c->peer);
	return true;
}

static void tokens_refill(struct gossip *g)
{
	uint64_t seconds = (g->now_ms - g->token_ms) / 1000;
	uint64_t tokens = g->dial_tokens + seconds;

	g->token_ms += seconds * 1000;
	g->dial_tokens = (uint8_t)(tokens < DIAL_BURST ? tokens : DIAL_BURST);
}

static unsigned pending_for(const struct gossip *g, enum neighbour_purpose purpose)
{
	uint64_t set = g->pending;
	unsigned n = 0;

	while (set != 0)
		n += g->neighbours[next_slot(&set)].purpose == purpose;
	return n;
}

static unsigned public_neighbours(const struct gossip *g)
{
	uint64_t set = g->active | (g->pending & g->outbound);
	unsigned n = 0;

	while (set != 0)
		n += peer_of(g, g->slot_peer[next_slot(&set)])->public;
	return n;
}

/* The next to be dialled, and why; NULL: nobody can be now. */
static struct candidate *next_candidate(struct gossip *g, enum neighbour_purpose *purpose)
{
	bool alone = g->active == 0;
	struct candidate *c = NULL;

	*purpose = FOR_JOIN;
	if ((alone || g->rejoin > 0) && pending_for(g, FOR_JOIN) < JOINS_AT_ONCE)
		c = pick_one(g, PICK_CONTACT);
	if (c != NULL || bits(g->outbound) >= outbound_wanted(g) ||
		bits(g->active | (g->pending & g->outbound)) >= g->config.active_max)
		return c;
	*purpose = FOR_LINK;
	c = pick_one(g, PICK_PUBLIC);
	if (!g->config.public && public_neighbours(g) >= g->config.active_out)
		c = pick_one(g, PICK_ANY);
	else if (c == NULL && (!g->config.public || alone))
		c = pick_one(g, PICK_ANY);
	return c != NULL || alone ? c : pick_one(g, PICK_CONTACT);
}

/* When somebody who waits may be tried. */
static uint64_t next_retry(const struct gossip *g)
{
	uint32_t soonest = UINT32_MAX;

	for (unsigned i = 0; i < g->passive_count; i++) {
		const struct candidate *c = &g->passive[i];
		int32_t left = (int32_t)(c->retry_ms - now32(g));

		if (c->waiting && left > 0 && (uint32_t)left < soonest)
			soonest = (uint32_t)left;
	}
	return soonest == UINT32_MAX ? NEVER : g->now_ms + soonest;
}

void views_fill(struct gossip *g)
{
	struct candidate *c = NULL;
	enum neighbour_purpose purpose;

	g->fill_ms = NEVER;
	if (g->left)
		return;
	tokens_refill(g);
	while (bits(g->pending) < PENDING_MAX && g->dial_tokens > 0) {
		c = next_candidate(g, &purpose);
		if (c == NULL || !dial(g, c, purpose))
			break;
		if (purpose == FOR_JOIN && g->rejoin > 0)
			g->rejoin--;
	}
	if (bits(g->outbound) >= outbound_wanted(g) && g->rejoin == 0)
		return;
	if (g->dial_tokens == 0)
		g->fill_ms = g->token_ms + 1000;
	else if (c == NULL)
		g->fill_ms = next_retry(g);
}

/* A neighbour for a look, not for good: has it heard more than we have? */
bool views_probe(struct gossip *g)
{
	struct candidate *c = NULL;

	tokens_refill(g);
	if (g->dial_tokens == 0 || bits(g->pending) >= PENDING_MAX ||
		pending_for(g, FOR_PROBE) >= PROBES_AT_ONCE)
		return false;
	c = pick_one(g, PICK_PUBLIC);
	if (c == NULL)
		c = pick_one(g, PICK_ANY);
	return c != NULL && dial(g, c, FOR_PROBE);
}

/* Looks for one more outbound neighbour, in exchange for a lazy one; join.c drops that when the new one
 * has agreed. */
void views_rotate(struct gossip *g)
{
	struct candidate *c;

	g->rotate_wait_ms *= 2;
	if (g->rotate_wait_ms > ROTATE_MS)
		g->rotate_wait_ms = ROTATE_MS;
	g->rotate_ms = g->now_ms + about(g, g->rotate_wait_ms);
	tokens_refill(g);
	if (bits(g->outbound & g->active) < outbound_wanted(g) || g->dial_tokens == 0 ||
		bits(g->pending) >= PENDING_MAX || (g->outbound & g->active & ~g->eager) == 0)
		return;
	c = pick_one(g, PICK_PUBLIC);
	if (c != NULL && c->fails == 0)
		dial(g, c, FOR_ROTATION);
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
