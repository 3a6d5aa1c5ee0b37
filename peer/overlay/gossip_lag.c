/* Against neighbours that replay: beacons are signed but carry no proof of when they arrive, so whoever surrounds a
 * node can let real ones through late, in order and at the right intervals, and nothing seems to be missing.
 *
 * A session with a host of the link is fresh, as its handshake proves. When one comes up, and whenever the node's own
 * clock says that the beacon is old (node_gossip.c), the host is asked what it retains; its beacon is pulled at once.
 * If that is newer than ours by more than two intervals although ours came in time, our neighbours are suspects: the
 * log says so, we bootstrap again, and who has shown no beacon as new after two more of them is sent away. What the
 * host claims and cannot show, signed by the root, changes nothing. */
#include "peer/overlay/gossip_state.h"

#define ASKED_MS 20000u /* so long the host has for its answers */

body_ref gossip_beacon(const struct gossip *g)
{
	for (unsigned i = 0; i < g->retained_count; i++) {
		if (body_of(g, g->retained[i].body)->beacon)
			return g->retained[i].body;
	}
	return 0;
}

static const struct body_info *beacon_of(const struct gossip *g)
{
	body_ref body = gossip_beacon(g);

	return body != 0 ? body_of(g, body) : NULL;
}

uint64_t lag_beacon(const struct gossip *g)
{
	const struct body_info *b = beacon_of(g);

	return b != NULL && g->now_ms - g->beacon_ms < 2ull * g->config.beacon_ms ? b->sequence : 0;
}

static bool is_much_newer(const struct gossip *g, uint64_t sequence, uint64_t than)
{
	return sequence > than && sequence - than > 2ull * g->config.beacon_ms / 1000;
}

void lag_ask(struct gossip *g, peer_ref host)
{
	if (beacon_of(g) == NULL || g->left)
		return; /* newcomers ask anyhow */
	g->host = host;
	g->host_ms = g->now_ms;
	send_to(g, host, MESSAGE_HEADS);
}

bool lag_is_host(const struct gossip *g, peer_ref peer)
{
	return peer != 0 && peer == g->host && g->now_ms - g->host_ms < ASKED_MS;
}

static void suspect(struct gossip *g, uint64_t sequence, uint64_t ours)
{
	unsigned slot = slot_of(g, g->host);
	struct gossip_effect *e = emit(g, GOSSIP_LAGGING, g->host);

	e->message.sequences[0] = sequence - ours;
	g->suspects = g->active & ~(slot != SLOT_NONE ? bit(slot) : 0);
	g->suspected_ms = g->now_ms;
	g->suspect_sequence = sequence;
	g->judge_ms = g->now_ms + 2ull * g->config.beacon_ms + g->config.beacon_ms / 2;
	g->counts.lagging++;
	emit(g, GOSSIP_ISOLATED, 0);
	views_fill_soon(g, 0);
}

void lag_hear(struct gossip *g, peer_ref host, const struct gossip_message *m, uint64_t before)
{
	const struct body_info *b = beacon_of(g);

	for (unsigned i = 0; b != NULL && m->type == MESSAGE_HEADS && i < m->count; i++) {
		if (m->refs[i] == b->topic && is_much_newer(g, m->sequences[i], b->sequence))
			topics_pull_now(g, host, b->topic, m->sequences[i]);
	}
	if (m->type == MESSAGE_BROADCAST && before != 0 && b != NULL &&
		is_much_newer(g, b->sequence, before))
		suspect(g, b->sequence, before);
}

/* It has a beacon as new, or wants one: then it was misled like us. */
static bool is_up_to_date(const struct gossip *g, const struct gossip_message *m)
{
	const struct body_info *b = beacon_of(g);

	if (b == NULL)
		return true;
	if (m->type == MESSAGE_PULL)
		return m->about == b->topic;
	if (m->type == MESSAGE_BROADCAST)
		return m->about != 0 && body_of(g, m->about)->beacon &&
		       body_of(g, m->about)->sequence >= g->suspect_sequence;
	for (unsigned i = 0; i < m->count; i++) {
		if (m->type == MESSAGE_HEADS && m->refs[i] == b->topic &&
			m->sequences[i] >= g->suspect_sequence)
			return true;
		if (m->type == MESSAGE_IHAVE && m->refs[i] != 0 && body_of(g, m->refs[i])->beacon &&
			body_of(g, m->refs[i])->sequence >= g->suspect_sequence)
			return true;
	}
	return false;
}

void lag_clear(struct gossip *g, unsigned slot, const struct gossip_message *m)
{
	if ((g->suspects & bit(slot)) != 0 && is_up_to_date(g, m))
		g->suspects &= ~bit(slot);
}

void lag_judge(struct gossip *g)
{
	uint64_t set = g->suspects & g->active;

	g->suspects = 0;
	g->judge_ms = NEVER;
	while (set != 0) {
		unsigned slot = next_slot(&set);
		peer_ref peer = g->slot_peer[slot];
		struct candidate *c;

		if ((int32_t)(g->neighbours[slot].since_ms - (uint32_t)g->suspected_ms) > 0)
			continue; /* it has come since */
		join_send_away(g, slot, false);
		c = passive_find(g, peer);
		if (c != NULL)
			c->tried = false; /* no friend */
	}
	views_fill_soon(g, 0);
}
