/* Plumtree: bodies along eager links, ids along lazy ones, GRAFT and PRUNE between the two.
 *
 * Departures from the paper, and why. A new link is eager only while no body has come lately: later the
 * newcomer grafts the first link that it gets, so that growth costs no copies. Of the two ends of a lazy
 * link the one that was dialled sends its IHAVE after lazy_ms and the other only after a second, unless it
 * has heard the id from there by then: one id instead of two on most links, and everybody still hears it
 * soon from those whom it chose itself. Whoever hears in an IHAVE that the neighbour is much farther from
 * the root answers with its own. A shorter way is taken at once, as hops can only fall by it. */
#include "peer/overlay/gossip_state.h"

#define TREE_MS(g) (2ull * (g)->config.beacon_ms + 5000u)
#define SWAP_MS	   10000u

/* Links */

bool in_tree(const struct gossip *g)
{
	return g->tree_ms != 0 && g->now_ms - g->tree_ms < TREE_MS(g);
}

void broadcast_link_up(struct gossip *g, unsigned slot)
{
	if (in_tree(g))
		return;
	g->eager |= bit(slot);
	if (g->grafted != SLOT_NONE || g->config.root)
		return;
	g->grafted = (uint8_t)slot;
	send_to(g, g->slot_peer[slot], MESSAGE_GRAFT);
}

void broadcast_link_down(struct gossip *g, unsigned slot)
{
	g->eager &= ~bit(slot);
	if (g->parent == slot)
		g->parent = SLOT_NONE;
	if (g->grafted == slot)
		g->grafted = SLOT_NONE;
	bodies_unlink(g, slot);
}

static void prune(struct gossip *g, unsigned slot, body_ref body)
{
	send_to(g, g->slot_peer[slot], MESSAGE_PRUNE)->about = body;
	g->eager &= ~bit(slot);
}

/* Announced and never sent, or sent against our will: too much of that is no accident. */
static void lied(struct gossip *g, unsigned slot, const char *why)
{
	if (++g->neighbours[slot].lies >= LIES_MAX)
		accuse(g, g->slot_peer[slot], why);
}

/* Bodies */

static void body_send(struct gossip *g, unsigned slot, body_ref body, unsigned hops)
{
	struct gossip_message *m = send_to(g, g->slot_peer[slot], MESSAGE_BROADCAST);

	m->about = body;
	m->ttl = (uint8_t)(hops < GOSSIP_HOPS_MAX ? hops : GOSSIP_HOPS_MAX);
}

/* Along the eager links now; who gets an IHAVE is decided when that is due. */
static void body_push(struct gossip *g, struct body_entry *e, body_ref body)
{
	uint64_t to = g->eager & g->active & ~e->told;
	uint64_t lazy;

	e->told |= to;
	while (to != 0)
		body_send(g, next_slot(&to), body, e->hops + 1u);
	lazy = g->active & ~e->told;
	e->fast = (lazy & ~g->outbound) != 0;
	e->slow = (lazy & g->outbound) != 0;
	if (e->fast && g->now_ms + g->config.lazy_ms < g->fast_ms)
		g->fast_ms = g->now_ms + g->config.lazy_ms;
	if (e->slow && g->now_ms + SLOW_MS < g->slow_ms)
		g->slow_ms = g->now_ms + SLOW_MS;
}

/* Another, newer body of its topic is retained: is this one too old to be passed on, or to be excused? */
static bool is_late(struct gossip *g, body_ref body, bool *stale)
{
	const struct body_info *b = body_of(g, body);
	const struct retained *r = topic_find(g, b->topic);
	const struct body_info *newer = r != NULL ? body_of(g, r->body) : NULL;

	*stale = false;
	if (newer == NULL || newer->sequence < b->sequence)
		return false;
	if (newer->sequence == b->sequence)
		return true;
	*stale = newer->issued_s > (uint64_t)b->issued_s + ANNOUNCEMENT_STALE_S;
	return newer->issued_s > (uint64_t)b->issued_s + LATE_S ||
	       now32(g) - r->arrived_ms > LATE_S / 2 * 1000;
}

/* It came along a link: that link is ours into the tree, and the body goes on. Who was our parent is only told:
 * pushed up where it is late, a body would go by a long way to all whom that parent serves. */
static void body_spread(struct gossip *g, struct body_entry *e, body_ref body, unsigned slot)
{
	g->tree_ms = g->now_ms;
	if (slot != SLOT_NONE) {
		if (g->parent != SLOT_NONE)
			g->eager &= ~bit(g->parent);
		g->parent = (uint8_t)slot;
		g->eager |= bit(slot);
	}
	body_push(g, e, body);
}

static void on_new_body(
	struct gossip *g, peer_ref peer, unsigned slot, body_ref body, uint8_t hops, bool asked)
{
	uint64_t has = slot != SLOT_NONE ? bit(slot) : 0;
	struct body_entry *e;
	bool isolated = g->isolated;
	bool newest;
	bool stale;

	if (is_late(g, body, &stale)) {
		if (stale && !asked)
			accuse(g, peer, "spreads an announcement that was replaced long ago");
		missing_take(g, body);
		forget_unless_kept(g, body);
		return;
	}
	has |= missing_take(g, body);
	e = body_add(g, body, slot, hops);
	e->told = has;
	newest = topics_retain(g, body);
	emit(g, GOSSIP_DELIVER, peer)->body = body;
	g->out->items[g->out->count - 1].message.ttl = hops;
	if (hops == 0)
		topics_pulled(g, peer);
	if (hops == 0 || g->now_ms < g->thaw_ms) {
		e->held = e->slow = true;
		if (g->now_ms + HELD_MS < g->slow_ms)
			g->slow_ms = g->now_ms + HELD_MS;
		if (newest && body_of(g, body)->beacon && slot == SLOT_NONE)
			join_adopt(g, slot_of(g, peer), isolated);
		return;
	}
	body_spread(g, e, body, slot);
}

/* Is the way through slot, hops long, so much shorter than the one that the body took? */
static bool is_shorter(const struct body_entry *e, unsigned slot, unsigned hops)
{
	return hops + SWAP_HOPS < e->hops && e->parent != SLOT_NONE && e->parent != slot;
}

static void parent_move(
	struct gossip *g, struct body_entry *e, body_ref body, unsigned slot, uint8_t hops)
{
	g->counts.swaps++;
	prune(g, e->parent, body);
	if (g->parent == e->parent)
		g->parent = (uint8_t)slot;
	e->parent = (uint8_t)slot;
	e->hops = hops;
}

static void on_duplicate(struct gossip *g, unsigned slot, body_ref body, uint8_t hops, bool asked)
{
	struct body_entry *e = body_entry_find(g, body);
	bool was_eager;

	g->counts.duplicates++;
	if (slot == SLOT_NONE || asked)
		return;
	was_eager = (g->eager & bit(slot)) != 0;
	if (e != NULL)
		e->told |= bit(slot);
	if (hops == 0) { /* says nothing of the link */
		lied(g, slot, "answers what nobody asked");
		return;
	}
	if (e != NULL && e->held) { /* so it was on its way when we pulled it */
		*e = (struct body_entry){.told = e->told,
			.seen_ms = e->seen_ms,
			.hops = hops,
			.parent = (uint8_t)slot};
		body_spread(g, e, body, slot);
		return;
	}
	if (e != NULL && was_eager && is_shorter(e, slot, hops)) {
		parent_move(g, e, body, slot, hops);
		return;
	}
	if (e == NULL || e->parent != slot)
		prune(g, slot, body);
	if (!was_eager || e == NULL || e->parent == slot)
		lied(g, slot, "sends bodies again and again");
}

static void on_broadcast(
	struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m)
{
	bool linked = slot != SLOT_NONE && (g->active & bit(slot)) != 0;
	bool asked;

	if (m->about == 0 || body_of(g, m->about)->topic == 0)
		return;
	asked = m->ttl == 0 && topic_was_asked(g, body_of(g, m->about)->topic);
	if (!linked && !asked && slot == SLOT_NONE)
		send_to(g, peer, MESSAGE_DISCONNECT); /* it takes us for a neighbour */
	if (body_is_known(g, m->about))
		on_duplicate(g, linked ? slot : SLOT_NONE, m->about, m->ttl, asked);
	else
		on_new_body(g, peer, linked ? slot : SLOT_NONE, m->about, m->ttl, asked);
}

void broadcast_publish(struct gossip *g, body_ref body)
{
	struct body_entry *e;

	if (body == 0 || body_is_known(g, body))
		return;
	e = body_add(g, body, SLOT_NONE, 0);
	topics_retain(g, body);
	g->tree_ms = g->now_ms;
	body_push(g, e, body);
}

/* IHAVE */

static void announce(struct gossip *g, unsigned slot, body_ref body, const struct body_entry *e)
{
	struct gossip_message *m = send_to(g, g->slot_peer[slot], MESSAGE_IHAVE);

	m->count = 1;
	m->refs[0] = body;
	m->hops[0] = e->hops;
}

static void ihave_known(
	struct gossip *g, struct body_entry *e, body_ref body, unsigned slot, unsigned hops)
{
	bool heard = (e->told & bit(slot)) != 0;

	e->told |= bit(slot);
	if (e->held || now32(g) - e->seen_ms >= SWAP_MS)
		return;
	if (is_shorter(e, slot, hops + 1)) {
		send_to(g, g->slot_peer[slot], MESSAGE_GRAFT);
		g->eager |= bit(slot);
		parent_move(g, e, body, slot, (uint8_t)(hops + 1));
	} else if (!heard && e->hops + 1u + SWAP_HOPS < hops) {
		announce(g, slot, body, e);
	}
}

static void missing_due(struct gossip *g, uint64_t due_ms)
{
	if (due_ms < g->missing_ms)
		g->missing_ms = due_ms;
}

/* How long its body may be behind: with nobody to send it, not long. */
static uint32_t graft_wait(const struct gossip *g, unsigned slot)
{
	uint32_t rtt = 3u * g->neighbours[slot].rtt_ms;

	if (g->parent == SLOT_NONE)
		return g->config.lazy_ms;
	return rtt > g->config.graft_min_ms ? rtt : g->config.graft_min_ms;
}

static void ihave_unknown(struct gossip *g, body_ref body, unsigned slot, uint8_t hops)
{
	struct missing *m = missing_find(g, body);

	if (m != NULL) {
		m->announced |= bit(slot);
		if (m->best == SLOT_NONE || hops < m->hops) {
			m->best = (uint8_t)slot;
			m->hops = hops;
		}
		return;
	}
	if (g->missing_count == MISSING_MAX || g->neighbours[slot].missing >= MISSING_EACH) {
		g->counts.shed_ihave++;
		forget_unless_kept(g, body);
		return;
	}
	g->neighbours[slot].missing++;
	m = &g->missing[g->missing_count++];
	*m = (struct missing){.announced = bit(slot),
		.due_ms = g->now_ms + graft_wait(g, slot),
		.body = body,
		.hops = hops,
		.best = (uint8_t)slot,
		.first = (uint8_t)slot};
	missing_due(g, m->due_ms);
}

/* Who tells ids takes the link for lazy, and so should we: what only one end takes for eager is no part of the
 * tree until a body is late, and then brings it the longest way. */
static void on_ihave(struct gossip *g, unsigned slot, const struct gossip_message *m)
{
	if (slot != g->parent)
		g->eager &= ~bit(slot);
	for (unsigned i = 0; i < m->count; i++) {
		uint32_t k = body_number(g, m->refs[i]);

		if (m->refs[i] == 0)
			continue;
		if (k == g->newest)
			ihave_unknown(g, m->refs[i], slot, m->hops[i]);
		else if (g->newest - k <= ring_entries(g->ring_size))
			ihave_known(g, entry_of(g, k), m->refs[i], slot, m->hops[i]);
	}
}

static void on_graft(struct gossip *g, unsigned slot, const struct gossip_message *m)
{
	g->eager |= bit(slot);
	for (unsigned i = 0; i < m->count; i++) {
		struct body_entry *e = body_entry_find(g, m->refs[i]);

		if (e == NULL || now32(g) - e->seen_ms >= CACHE_MS)
			continue;
		e->told |= bit(slot);
		body_send(g, slot, m->refs[i], e->hops + 1u);
	}
}

void broadcast_message(
	struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m)
{
	if (m->type == MESSAGE_BROADCAST) {
		on_broadcast(g, peer, slot, m);
		return;
	}
	if (slot == SLOT_NONE || (g->active & bit(slot)) == 0) {
		if (slot == SLOT_NONE)
			send_to(g, peer, MESSAGE_DISCONNECT);
		return;
	}
	if (m->type == MESSAGE_IHAVE)
		on_ihave(g, slot, m);
	else if (m->type == MESSAGE_GRAFT)
		on_graft(g, slot, m);
	else
		g->eager &= ~bit(slot);
}

/* Timers */

/* The ids that one neighbour is to hear of, in messages of eight. */
static void ihave_send(struct gossip *g, unsigned slot, bool slow)
{
	struct gossip_message *m = NULL;
	uint32_t first = bodies_first(g);

	for (uint32_t k = g->flushed - first < g->newest - first ? g->flushed : first;
		k != g->newest; k++) {
		struct body_entry *e = entry_of(g, k);

		if (e->held || !(slow ? e->slow : e->fast) || (e->told & bit(slot)) != 0)
			continue;
		if (m == NULL || m->count == 8)
			m = send_to(g, g->slot_peer[slot], MESSAGE_IHAVE);
		m->refs[m->count] = g->ids[at(g, k)];
		m->hops[m->count++] = e->hops;
		e->told |= bit(slot);
	}
}

/* The ids that are due along lazy links: to those who came to us, or (slow) to all. */
static void flush(struct gossip *g, bool slow)
{
	uint64_t to = g->active & ~g->eager & (slow ? ~UINT64_C(0) : ~g->outbound);
	uint32_t k = bodies_first(g);

	while (to != 0)
		ihave_send(g, next_slot(&to), slow);
	if (g->flushed - k < g->newest - k)
		k = g->flushed;
	for (; k != g->newest; k++) {
		struct body_entry *e = entry_of(g, k);

		e->fast = false;
		if (slow && e->held && e->slow)
			topics_tell(g, e, g->ids[at(g, k)]);
		if (slow)
			e->slow = false;
	}
	if (slow)
		g->flushed = g->newest;
	*(slow ? &g->slow_ms : &g->fast_ms) = NEVER;
}

/* Whom to ask next: the shortest way, then by chance. */
static unsigned graft_target(struct gossip *g, const struct missing *m)
{
	uint64_t left = m->announced & ~m->tried & g->active;

	if (m->best != SLOT_NONE && (left & bit(m->best)) != 0)
		return m->best;
	return random_slot(g, left);
}

static void missing_drop(struct gossip *g, struct missing *m)
{
	uint64_t liars = m->tried & g->active;
	body_ref body = m->body;

	missing_take(g, body);
	while (liars != 0)
		lied(g, next_slot(&liars), "announces bodies that it does not send");
	forget_unless_kept(g, body);
}

static void graft_due(struct gossip *g)
{
	g->missing_ms = NEVER;
	for (unsigned i = 0; i < g->missing_count;) {
		struct missing *m = &g->missing[i];
		unsigned slot = graft_target(g, m);
		struct gossip_message *graft;

		if (m->due_ms > g->now_ms) {
			missing_due(g, g->missing[i++].due_ms);
			continue;
		}
		if (slot == SLOT_NONE) {
			missing_drop(g, m);
			i = 0;
			g->missing_ms = NEVER;
			continue;
		}
		graft = send_to(g, g->slot_peer[slot], MESSAGE_GRAFT);
		graft->count = 1;
		graft->refs[0] = m->body;
		g->counts.grafts++;
		g->eager |= bit(slot);
		m->tried |= bit(slot);
		m->due_ms =
			g->now_ms + g->config.graft_min_ms / 2 + 2u * g->neighbours[slot].rtt_ms;
		missing_due(g, m->due_ms);
		i++;
	}
}

void broadcast_wake(struct gossip *g)
{
	bool slow = g->slow_ms <= g->now_ms;

	if (g->pull_ms <= g->now_ms)
		topics_pull_due(g);
	if (slow || g->fast_ms <= g->now_ms)
		flush(g, slow);
	if (g->missing_ms <= g->now_ms)
		graft_due(g);
}

bool gossip_is_active(const struct gossip *g, peer_ref neighbour)
{
	unsigned slot = slot_of(g, neighbour);

	return slot != SLOT_NONE && (g->active & bit(slot)) != 0;
}

bool gossip_is_eager(const struct gossip *g, peer_ref neighbour)
{
	unsigned slot = slot_of(g, neighbour);

	return slot != SLOT_NONE && (g->eager & g->active & bit(slot)) != 0;
}
