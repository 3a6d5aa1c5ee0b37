/* Membership messages: JOIN, FORWARD_JOIN, NEIGHBOR, DISCONNECT.
 *
 * Departures from HyParView, and why: a contact that has no room refuses the newcomer, but answers every
 * JOIN and every refused NEIGHBOR with records, so that thousands who come through one contact at once
 * find each other; a newcomer's record walks along three neighbours, not all. */
#include "peer/overlay/gossip_state.h"

#define KNOCK_MS    4000u
#define KNOCK_MAX   4u
#define ANCHORS	    3u
#define ANCHOR_MS   600000u
#define WALKS_BURST (2 * JOINS_PER_SECOND)

/* Visitors: peers that speak to us and are no neighbours */

/* The entry of this peer; a new one takes the place of the oldest that is not banned, or of the oldest. */
struct visitor *visitor_of(struct gossip *g, peer_ref peer)
{
	struct visitor *oldest = &g->visitors[0];

	for (unsigned i = 0; i < VISITORS; i++) {
		struct visitor *v = &g->visitors[i];

		if (v->peer == peer)
			return v;
		if (v->peer == 0 || v->banned < oldest->banned ||
			(v->banned == oldest->banned &&
				(int32_t)(v->since_ms - oldest->since_ms) < 0))
			oldest = oldest->peer == 0 ? oldest : v;
	}
	*oldest = (struct visitor){.peer = peer, .since_ms = now32(g)};
	return oldest;
}

bool visitor_may_speak(struct gossip *g, peer_ref peer)
{
	struct visitor *v = visitor_of(g, peer);

	if (v->banned)
		return false;
	if (now32(g) - v->since_ms >= VISITOR_MS) {
		v->since_ms = now32(g);
		v->messages = v->knocks = 0;
	}
	if (v->messages == UINT8_MAX) {
		accuse(g, peer, "sends more messages than it may without being a neighbour");
		return false;
	}
	return ++v->messages <= VISITOR_MESSAGES;
}

/* May it ask to be a neighbour now? Not too often, and not soon after it was sent away. */
static bool visitor_may_knock(struct gossip *g, peer_ref peer)
{
	struct visitor *v = visitor_of(g, peer);
	uint64_t prefix = peer_of(g, peer)->prefix;
	unsigned same = 0;

	if (v->dropped && now32(g) - v->dropped_ms >= BACKOFF_MS)
		v->dropped = false;
	v->knocks = (uint8_t)(v->knocks + (v->knocks < UINT8_MAX));
	for (unsigned i = 0; prefix != 0 && i < VISITORS; i++) {
		const struct visitor *other = &g->visitors[i];

		if (other->peer != 0 && other->knocks > 0 &&
			now32(g) - other->since_ms < VISITOR_MS &&
			peer_of(g, other->peer)->prefix == prefix)
			same += other->knocks;
	}
	return !v->dropped && v->knocks <= VISITOR_KNOCKS && same <= VISITOR_PREFIX;
}

/* A peer that we do not count as a neighbour believes that it is one: tell it. */
static void visitor_correct(struct gossip *g, peer_ref peer)
{
	send_to(g, peer, MESSAGE_DISCONNECT);
}

/* Links */

static void reply(struct gossip *g, peer_ref peer, bool accepted)
{
	send_to(g, peer, MESSAGE_NEIGHBOR_REPLY)->flag = accepted;
}

void records_send(struct gossip *g, peer_ref peer)
{
	struct gossip_message *m = send_to(g, peer, MESSAGE_SHUFFLE_REPLY);

	m->count = passive_sample(g, m->refs, SHUFFLE_MAX / 2, SHUFFLE_MAX, peer, true);
}

/* Says goodbye to a neighbour and keeps it in mind for later. */
void join_send_away(struct gossip *g, unsigned slot, bool leaving)
{
	peer_ref peer = g->slot_peer[slot];
	struct visitor *v = visitor_of(g, peer);

	send_to(g, peer, MESSAGE_DISCONNECT)->flag = leaving;
	emit(g, GOSSIP_RELEASE, peer);
	v->dropped = true;
	v->dropped_ms = now32(g);
	slot_free(g, slot);
	passive_add(g, peer, FROM_LINK);
	passive_wait(g, peer, BACKOFF_MS);
}

/* Without those that have been neighbours the longest: what strangers tell us never displaces all that we
 * have known for long. */
static uint64_t without_anchors(const struct gossip *g, uint64_t set)
{
	for (unsigned i = 0; i < ANCHORS && set != 0; i++) {
		uint64_t rest = set;
		unsigned oldest = next_slot(&rest);

		while (rest != 0) {
			unsigned slot = next_slot(&rest);

			if (now32(g) - g->neighbours[slot].since_ms >
				now32(g) - g->neighbours[oldest].since_ms)
				oldest = slot;
		}
		if (now32(g) - g->neighbours[oldest].since_ms < ANCHOR_MS)
			break;
		set &= ~bit(oldest);
	}
	return set;
}

/* With one outbound neighbour more than wanted, a lazy one goes, by chance; if there is none, the newest was
 * tried in vain, unless it knew more than all the others. */
static void trim(struct gossip *g, unsigned newest)
{
	uint64_t outbound = g->outbound & g->active;
	uint64_t others = outbound & ~bit(newest);
	uint64_t lazy = without_anchors(g, outbound) & others & ~g->eager;

	if (bits(outbound) <= outbound_wanted(g))
		return;
	if (lazy == 0 && g->neighbours[newest].purpose != FOR_ROTATION)
		lazy = others;
	join_send_away(g, lazy != 0 ? random_slot(g, lazy) : newest, false);
}

static void link_up(struct gossip *g, unsigned slot)
{
	struct neighbour *n = &g->neighbours[slot];
	peer_ref peer = g->slot_peer[slot];

	n->state = NEIGHBOUR_ACTIVE;
	n->since_ms = now32(g);
	g->pending &= ~bit(slot);
	g->active |= bit(slot);
	passive_remove(g, peer);
	if (passive_find(g, peer) != NULL)
		passive_find(g, peer)->fails = 0; /* a contact */
	g->knocks = 0;
	g->knock_ms = 0;
	if ((g->outbound & bit(slot)) != 0)
		g->streak = 0;
	topics_heads(g, peer);
	broadcast_link_up(g, slot);
	trim(g, slot);
	views_fill_soon(g, 0);
}

static void ask(struct gossip *g, unsigned slot, bool high)
{
	struct neighbour *n = &g->neighbours[slot];
	struct gossip_message *m = send_to(
		g, g->slot_peer[slot], n->purpose == FOR_JOIN ? MESSAGE_JOIN : MESSAGE_NEIGHBOR);

	m->about = g->config.self;
	m->flag = high && n->purpose != FOR_JOIN;
	n->back = SLOT_SELF; /* records come with a refusal */
	n->back_ms = now32(g);
	if (g->isolated && n->purpose == FOR_JOIN)
		send_to(g, g->slot_peer[slot], MESSAGE_HEADS);
}

static void pending_until(struct gossip *g, uint32_t ms)
{
	if (g->now_ms + ms < g->pending_ms)
		g->pending_ms = g->now_ms + ms;
}

void join_up(struct gossip *g, unsigned slot)
{
	struct neighbour *n = &g->neighbours[slot];

	n->state = NEIGHBOUR_ASKED;
	n->since_ms = now32(g);
	if (n->purpose == FOR_PROBE) {
		send_to(g, g->slot_peer[slot], MESSAGE_HEADS);
		pending_until(g, PROBE_MS);
	} else {
		ask(g, slot, g->active == 0);
		pending_until(g, REPLY_MS);
	}
}

/* Every other of those that we chose, by chance: they let nothing through. */
static void renew_outbound(struct gossip *g)
{
	uint64_t set = g->outbound & g->active;

	while (set != 0) {
		unsigned slot = next_slot(&set);
		peer_ref peer = g->slot_peer[slot];
		struct candidate *c;

		if (dice_below(g, 2) == 0)
			continue;
		join_send_away(g, slot, false);
		c = passive_find(g, peer);
		if (c != NULL)
			c->tried = false; /* no friend */
	}
	g->recover_ms = g->now_ms + RECOVER_MS;
	views_fill_soon(g, 0);
}

/* A peer that we only wanted to look at has a beacon that our neighbours have not: keep it. */
void join_adopt(struct gossip *g, unsigned slot, bool isolated)
{
	struct neighbour *n = slot != SLOT_NONE ? &g->neighbours[slot] : NULL;

	if (n == NULL || n->state != NEIGHBOUR_ASKED || n->purpose != FOR_PROBE)
		return;
	if (isolated) {
		renew_outbound(g);
		beacon_from_stranger(g);
	}
	n->purpose = FOR_LINK;
	n->since_ms = now32(g);
	g->outbound |= bit(slot);
	ask(g, slot, true);
	pending_until(g, REPLY_MS);
}

/* Its session is over. */
void join_down(struct gossip *g, unsigned slot)
{
	peer_ref peer = g->slot_peer[slot];
	bool was_active = (g->active & bit(slot)) != 0;

	slot_free(g, slot);
	if (was_active) {
		g->counts.neighbours_lost++;
		passive_add(g, peer, FROM_LINK);
	}
	passive_failed(g, peer);
	views_fill_soon(g, 0);
}

void join_failed(struct gossip *g, peer_ref peer)
{
	unsigned slot = slot_of(g, peer);

	if (slot == SLOT_NONE || g->neighbours[slot].state != NEIGHBOUR_DIALING)
		return;
	g->counts.dials_failed++;
	slot_free(g, slot);
	passive_failed(g, peer);
	views_fill_after_failure(g);
}

static uint32_t pending_limit(const struct neighbour *n)
{
	if (n->state == NEIGHBOUR_DIALING)
		return DIAL_MS;
	return n->purpose == FOR_PROBE ? PROBE_MS : REPLY_MS;
}

/* Those who did not answer. */
void join_expire(struct gossip *g)
{
	uint64_t set = g->pending;

	g->pending_ms = NEVER;
	while (set != 0) {
		unsigned slot = next_slot(&set);
		const struct neighbour *n = &g->neighbours[slot];
		uint32_t age = now32(g) - n->since_ms;
		uint32_t limit = pending_limit(n);
		peer_ref peer = g->slot_peer[slot];

		if (age < limit) {
			pending_until(g, limit - age);
			continue;
		}
		emit(g, GOSSIP_RELEASE, peer);
		if (n->purpose == FOR_PROBE && n->state == NEIGHBOUR_ASKED)
			passive_wait(g, peer, REPLY_MS);
		else
			passive_failed(g, peer);
		slot_free(g, slot);
		views_fill_soon(g, 0);
	}
}

/* JOIN and NEIGHBOR */

/* The youngest of three who came to us goes, so that a flood of askers displaces mostly itself. */
static bool evict(struct gossip *g)
{
	uint64_t inbound = g->active & ~g->outbound;
	unsigned slot = random_slot(g, inbound);

	if (g->now_ms - g->evicted_ms < EVICT_MS || slot == SLOT_NONE)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		unsigned other = random_slot(g, inbound);
		uint32_t since = g->neighbours[other].since_ms;

		if ((int32_t)(since - g->neighbours[slot].since_ms) > 0)
			slot = other;
	}
	g->evicted_ms = g->now_ms;
	g->counts.evicted++;
	join_send_away(g, slot, false);
	return true;
}

/* Public peers have no need of NATed ones, so a second one that comes to us wants something else. */
static bool has_public_inbound(const struct gossip *g)
{
	uint64_t set = g->active & ~g->outbound;

	while (set != 0) {
		if (peer_of(g, g->slot_peer[next_slot(&set)])->public)
			return true;
	}
	return false;
}

/* Is there a slot for somebody who asks? If need be, somebody else makes room. */
static bool make_room(struct gossip *g, peer_ref peer, bool high, bool join)
{
	unsigned guest;

	if (!g->config.public && peer_of(g, peer)->public && has_public_inbound(g))
		return false;
	if (!prefix_has_room(g, peer))
		return guest_has_room(g);
	if (inbound_has_room(g, high))
		return true;
	guest = guest_slot(g);
	if (guest != SLOT_NONE) {
		join_send_away(g, guest, false);
		return true;
	}
	return high && !join && evict(g);
}

/* Makes peer a neighbour if that may be. slot: where it stands already, or SLOT_NONE; one that we were
 * going to ask the same is welcome without more ado. */
static bool accept(struct gossip *g, peer_ref peer, unsigned slot, bool high, bool join)
{
	bool ours = slot != SLOT_NONE && (g->outbound & bit(slot)) != 0;

	if (g->left)
		return false;
	if (!ours && (!visitor_may_knock(g, peer) || !make_room(g, peer, high, join)))
		return false;
	if (slot == SLOT_NONE)
		slot = slot_take(g, peer, NEIGHBOUR_ASKED, FOR_LINK);
	if (slot == SLOT_NONE)
		return false;
	reply(g, peer, true);
	link_up(g, slot);
	return true;
}

static void on_neighbor(
	struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m)
{
	bool join = m->type == MESSAGE_JOIN;

	if (m->about != peer) {
		accuse(g, peer, "asks in the name of another peer");
		return;
	}
	if (slot != SLOT_NONE && (g->active & bit(slot)) != 0) {
		reply(g, peer, true); /* it lost our session and has a new one */
		return;
	}
	if (join)
		records_send(g, peer);
	if (accept(g, peer, slot, m->flag || join, join))
		return;
	g->counts.refused++;
	if (!join)
		records_send(g, peer);
	reply(g, peer, false);
	if (!join)
		passive_add(g, peer, FROM_WALK);
}

/* A new second, a new allowance of walks. */
static void joins_refill(struct gossip *g)
{
	uint32_t second = (uint32_t)(g->now_ms / 1000);

	if (g->joins_s == second)
		return;
	g->joins_s = second;
	g->walks = g->kept[0] = g->kept[1] = 0;
}

/* The newcomer's record begins its walks. */
static void walk(struct gossip *g, peer_ref peer, unsigned from, uint8_t ttl, unsigned ways)
{
	uint64_t set = g->active;
	unsigned slot = slot_of(g, peer);

	joins_refill(g);
	if (from != SLOT_NONE)
		set &= ~bit(from);
	if (slot != SLOT_NONE)
		set &= ~bit(slot);
	while (ways-- > 0 && set != 0) {
		struct gossip_message *m;

		if (g->walks >= WALKS_BURST) {
			g->counts.shed_shuffle++;
			return;
		}
		g->walks++;
		slot = random_slot(g, set);
		set &= ~bit(slot);
		m = send_to(g, g->slot_peer[slot], MESSAGE_FORWARD_JOIN);
		m->about = peer;
		m->ttl = ttl;
	}
}

static void on_join(struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m)
{
	uint32_t accused = g->counts.accused;
	uint8_t *kept;

	on_neighbor(g, peer, slot, m);
	if (g->counts.accused != accused || g->left)
		return;
	walk(g, peer, SLOT_NONE, g->config.arwl, FORWARD_WALKS);
	kept = &g->kept[peer_of(g, peer)->public];
	if (g->passive_count < g->config.passive_max || *kept < PASSIVE_PER_SECOND) {
		++*kept;
		passive_add(g, peer, FROM_JOIN);
	}
}

static void on_forward_join(struct gossip *g, unsigned slot, const struct gossip_message *m)
{
	uint8_t ttl = m->ttl < g->config.arwl ? m->ttl : g->config.arwl;
	bool ends = ttl == 0 || bits(g->active) <= 1;

	if (m->about == 0 || m->about == g->config.self)
		return;
	if (ends || ttl == g->config.prwl)
		passive_from(g, slot, m->about, FROM_WALK);
	if (!ends)
		walk(g, m->about, slot, (uint8_t)(ttl - 1), 1);
}

/* A contact has no room: those whom it named are dialled now, and all contacts are left alone for a while, ever
 * longer, so that a crowd does not come back to them at once. */
static void knock_later(struct gossip *g)
{
	uint32_t ms = KNOCK_MS << g->knocks;

	if (g->now_ms < g->knock_ms)
		return;
	g->knock_ms = g->now_ms + ms / 2 + dice_below(g, ms);
	g->knocks = (uint8_t)(g->knocks + (g->knocks < KNOCK_MAX));
}

static void on_neighbor_reply(
	struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m)
{
	struct neighbour *n = slot != SLOT_NONE ? &g->neighbours[slot] : NULL;
	bool join;

	if (n == NULL || n->purpose == FOR_PROBE) {
		if (m->flag)
			visitor_correct(g, peer);
		return;
	}
	if (n->state == NEIGHBOUR_ACTIVE ? m->flag : n->state != NEIGHBOUR_ASKED)
		return;
	if (m->flag) {
		link_up(g, slot);
		return;
	}
	join = n->purpose == FOR_JOIN;
	if (g->isolated && join && n->state == NEIGHBOUR_ASKED) { /* its heads are on their way */
		n->purpose = FOR_PROBE;
		n->since_ms = now32(g);
		g->outbound &= ~bit(slot);
		pending_until(g, PROBE_MS);
		return;
	}
	emit(g, GOSSIP_RELEASE, peer);
	slot_free(g, slot);
	if (join && g->active == 0)
		knock_later(g);
	else
		passive_wait(g, peer, BACKOFF_MS);
	views_fill_after_failure(g);
}

static void on_disconnect(
	struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m)
{
	if (slot != SLOT_NONE) {
		emit(g, GOSSIP_RELEASE, peer);
		slot_free(g, slot);
		if (!m->flag)
			passive_add(g, peer, FROM_LINK);
		passive_wait(g, peer, BACKOFF_MS);
		views_fill_soon(g, 0);
	}
	if (m->flag)
		passive_remove(g, peer);
}

void join_leave(struct gossip *g)
{
	uint64_t set = g->active;

	while (set != 0)
		join_send_away(g, next_slot(&set), true);
	set = g->pending;
	while (set != 0) {
		unsigned slot = next_slot(&set);

		emit(g, GOSSIP_RELEASE, g->slot_peer[slot]);
		slot_free(g, slot);
	}
	g->left = true;
	g->fill_ms = g->shuffle_ms = g->rotate_ms = g->watch_ms = g->pending_ms = NEVER;
}

void join_message(struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m)
{
	bool neighbour = slot != SLOT_NONE && (g->active & bit(slot)) != 0;

	switch (m->type) {
	case MESSAGE_JOIN:
		on_join(g, peer, slot, m);
		return;
	case MESSAGE_NEIGHBOR:
		on_neighbor(g, peer, slot, m);
		return;
	case MESSAGE_NEIGHBOR_REPLY:
		on_neighbor_reply(g, peer, slot, m);
		return;
	case MESSAGE_DISCONNECT:
		on_disconnect(g, peer, slot, m);
		return;
	case MESSAGE_SHUFFLE_REPLY:
		if (slot != SLOT_NONE)
			shuffle_reply(g, slot, m);
		return;
	default:
		break;
	}
	if (!neighbour)
		visitor_correct(g, peer);
	else if (m->type == MESSAGE_FORWARD_JOIN)
		on_forward_join(g, slot, m);
	else
		shuffle_message(g, slot, m);
}
