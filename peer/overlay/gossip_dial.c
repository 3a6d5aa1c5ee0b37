/* Whom to dial and when: outbound neighbours that are wanted, contacts to join through, a look at others when
 * beacons fail, and now and then somebody else in exchange for a lazy neighbour.
 *
 * Dials come from a bucket of tokens; a peer that could not be reached waits ever longer, and when dials keep
 * failing while there are neighbours enough, all of them wait. */
#include "peer/overlay/gossip_state.h"

#define NATED_ROTATE_MS	 64000u
#define JOINS_AT_ONCE	 2u
#define PROBES_AT_ONCE	 2u
#define STREAK		 6u
#define STREAK_MS	 1000u
#define STREAK_DOUBLINGS 6u
#define SHUFFLE_FIRST_MS 2000u
#define ROTATE_FIRST_MS	 4000u

void views_fill_soon(struct gossip *g, uint32_t ms)
{
	if (g->now_ms + ms < g->fill_ms)
		g->fill_ms = g->now_ms + ms;
}

/* Whoever has hardly anybody chooses two of a prefix, whoever came: as prefix_may_be_chosen has it. */
static bool prefix_is_among_first(const struct gossip *g, unsigned slot)
{
	uint64_t prefix = peer_of(g, g->slot_peer[slot])->prefix;
	uint64_t others = g->outbound & ~bit(slot);
	unsigned same = 0;

	if (bits(others) >= g->config.prefix_max)
		return false;
	while (others != 0)
		same += peer_of(g, g->slot_peer[next_slot(&others)])->prefix == prefix;
	return same < g->config.prefix_max;
}

static bool may_be_dialled(const struct gossip *g, const struct candidate *c)
{
	return (!c->waiting || (int32_t)(now32(g) - c->retry_ms) >= 0) &&
	       slot_of(g, c->peer) == SLOT_NONE && (c->contact || !is_expired(g, c->peer)) &&
	       prefix_may_be_chosen(g, c->peer);
}

enum pick { PICK_PUBLIC = 1, PICK_NATED = 2, PICK_TRIED = 3, PICK_CONTACT = 4 };

static bool is_wanted(const struct gossip *g, const struct candidate *c, enum pick how)
{
	switch (how) {
	case PICK_PUBLIC:
		return !c->contact && peer_of(g, c->peer)->public;
	case PICK_NATED:
		return !c->contact && !peer_of(g, c->peer)->public;
	case PICK_TRIED:
		return c->tried && (peer_of(g, c->peer)->public || !g->config.public);
	default:
		return c->contact;
	}
}

/* One by chance, of those that never failed if there are any. Whoever is isolated gives all contacts the same
 * chance: those that never fail may be the ones that isolate it. */
static struct candidate *pick_one(struct gossip *g, enum pick how)
{
	bool fair = g->isolated && how == PICK_CONTACT;
	struct candidate *best = NULL;
	unsigned seen = 0;

	for (unsigned i = 0; i < g->passive_count; i++) {
		struct candidate *c = &g->passive[i];

		if (!is_wanted(g, c, how) || !may_be_dialled(g, c))
			continue;
		if (!fair && best != NULL && (best->fails == 0) != (c->fails == 0)) {
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
	if ((g->isolated || (alone && g->now_ms >= g->knock_ms)) &&
		pending_for(g, FOR_JOIN) < JOINS_AT_ONCE)
		c = pick_one(g, PICK_CONTACT);
	if (c != NULL || bits(g->outbound) >= outbound_wanted(g) ||
		bits(g->active | (g->pending & g->outbound)) >= g->config.active_max)
		return c;
	*purpose = FOR_LINK;
	if (g->now_ms < g->recover_ms && !alone)
		return pick_one(g, PICK_TRIED);
	if (!g->config.public && public_neighbours(g) >= g->config.active_out)
		return pick_one(g, PICK_NATED); /* public ones are for all */
	if (dice_below(g, 2) == 0)		/* old friends rather than what strangers say */
		c = pick_one(g, PICK_TRIED);
	else if (alone && g->streak > 0 && !g->config.public) /* a crowd fills public ones first */
		c = pick_one(g, PICK_NATED);
	if (c == NULL || c->fails != 0)
		c = pick_one(g, PICK_PUBLIC);
	if (c == NULL && (!g->config.public || alone))
		c = pick_one(g, PICK_NATED);
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
	if (g->now_ms < g->patient_ms && g->now_ms >= g->recover_ms && !g->isolated &&
		bits(g->outbound & g->active) >= ENOUGH) {
		g->fill_ms = g->patient_ms;
		return;
	}
	tokens_refill(g);
	while (bits(g->pending) < PENDING_MAX && g->dial_tokens > 0) {
		c = next_candidate(g, &purpose);
		if (c == NULL || !dial(g, c, purpose))
			break;
	}
	if (bits(g->outbound) >= outbound_wanted(g) && !g->isolated)
		return;
	if (g->dial_tokens == 0)
		g->fill_ms = g->token_ms + 1000;
	else if (c == NULL)
		g->fill_ms = next_retry(g);
	if (g->active == 0 && g->now_ms < g->knock_ms && g->knock_ms < g->fill_ms)
		g->fill_ms = g->knock_ms;
	if (g->now_ms < g->recover_ms && g->recover_ms < g->fill_ms)
		g->fill_ms = g->recover_ms;
}

/* A dial came to nothing: the next follows at once, unless that has happened often and what we have is
 * enough to live with. */
void views_fill_after_failure(struct gossip *g)
{
	unsigned rounds;

	g->streak = (uint8_t)(g->streak + (g->streak < UINT8_MAX));
	rounds = g->streak / STREAK;
	if (rounds == 0 || bits(g->outbound & g->active) < ENOUGH) {
		views_fill_soon(g, 0);
		return;
	}
	rounds = rounds < STREAK_DOUBLINGS ? rounds : STREAK_DOUBLINGS;
	g->patient_ms = g->now_ms + about(g, STREAK_MS << rounds);
	views_fill_soon(g, (uint32_t)(g->patient_ms - g->now_ms));
}

bool views_was_misled(const struct gossip *g, unsigned slot)
{
	peer_ref peer = g->slot_peer[slot];

	return g->neighbours[slot].purpose != FOR_PROBE && !prefix_has_room(g, peer) &&
	       !prefix_is_among_first(g, slot);
}

void views_let_go(struct gossip *g, unsigned slot)
{
	peer_ref peer = g->slot_peer[slot];

	g->counts.misled++;
	emit(g, GOSSIP_RELEASE, peer);
	slot_free(g, slot);
	passive_wait(g, peer, BACKOFF_MS);
	views_fill_after_failure(g);
}

/* For a look: anybody by chance, every other time one that was a neighbour before, for those whom strangers
 * name may all be theirs. Suspects, too: that they could not be reached may be what is wrong. */
static struct candidate *pick_for_look(struct gossip *g)
{
	bool tried = dice_below(g, 2) == 0;
	struct candidate *best = NULL;
	unsigned seen[2] = {0, 0};

	for (unsigned i = 0; i < g->passive_count; i++) {
		struct candidate *c = &g->passive[i];

		if (c->contact || slot_of(g, c->peer) != SLOT_NONE || is_expired(g, c->peer) ||
			(tried && !c->tried && seen[1] != 0))
			continue;
		if (tried && c->tried && seen[1] == 0)
			best = NULL;
		if (dice_below(g, ++seen[tried && c->tried]) == 0 || best == NULL)
			best = c;
	}
	return best;
}

/* A neighbour for a look, not for good: has it heard more than we have? */
bool views_probe(struct gossip *g)
{
	struct candidate *c;

	tokens_refill(g);
	if (g->dial_tokens == 0 || bits(g->pending) >= PENDING_MAX ||
		pending_for(g, FOR_PROBE) >= PROBES_AT_ONCE)
		return false;
	c = pick_for_look(g);
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
	if ((!g->config.public && g->rotate_wait_ms > NATED_ROTATE_MS) ||
		bits(g->outbound & g->active) < outbound_wanted(g) || g->dial_tokens == 0 ||
		bits(g->pending) >= PENDING_MAX || (g->outbound & g->active & ~g->eager) == 0)
		return;
	c = pick_one(g, PICK_PUBLIC);
	if (c != NULL && c->fails == 0)
		dial(g, c, FOR_ROTATION);
}

/* Shuffles and rotations soon, and then ever more rarely. */
void views_look_around(struct gossip *g)
{
	g->shuffle_wait_ms = SHUFFLE_FIRST_MS;
	g->shuffle_ms = g->now_ms + about(g, g->shuffle_wait_ms);
	g->rotate_wait_ms = ROTATE_FIRST_MS;
	g->rotate_ms = g->now_ms + about(g, g->rotate_wait_ms);
	passive_forgive(g);
}
