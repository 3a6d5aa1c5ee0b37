/* The newest body of each topic, retained for those who come later; HEADS and PULL, by which two nodes find
 * out what one of them misses; and the watch for beacons, without which a node that hears only what its
 * neighbours let through would not notice.
 *
 * What was pulled may be old, so it is told on by HEADS and not pushed: nobody honest is ever accused of
 * spreading what was replaced. */
#include "peer/overlay/gossip_state.h"

#include "tasks/base/mem.h"

#define ASKED_AT_ONCE	4u
#define HURRY		20u /* beacons missed, after which looks become rarer */
#define ISOLATED_MAX_MS 900000u

int topics_reserve(struct gossip *g)
{
	unsigned capacity = g->retained_capacity == 0 ? RETAINED_FIRST : g->retained_capacity * 2u;
	struct retained *grown;

	if (g->retained_count < g->retained_capacity || g->retained_capacity == RETAINED_MAX)
		return TK_OK;
	grown = mem_realloc(g->retained, capacity * sizeof(*grown));
	if (grown == NULL)
		return TK_ENOMEM;
	g->retained = grown;
	g->retained_capacity = (uint8_t)capacity;
	return TK_OK;
}

const struct retained *topic_find(const struct gossip *g, topic_ref topic)
{
	for (unsigned i = 0; i < g->retained_count; i++) {
		if (g->retained[i].topic == topic)
			return &g->retained[i];
	}
	return NULL;
}

body_ref gossip_retained(const struct gossip *g, topic_ref topic)
{
	const struct retained *r = topic_find(g, topic);

	return r != NULL ? r->body : 0;
}

/* Room for one more topic: the one that was spoken of the longest ago goes, never the beacon. NULL: the
 * new one is the oldest itself. */
static struct retained *topic_room(struct gossip *g, body_ref body)
{
	struct retained *oldest = NULL;
	body_ref gone;

	if (g->retained_count < g->retained_capacity)
		return &g->retained[g->retained_count++];
	for (unsigned i = 0; i < g->retained_count; i++) {
		struct retained *r = &g->retained[i];

		if (!body_of(g, r->body)->beacon &&
			(oldest == NULL ||
				body_of(g, r->body)->issued_s < body_of(g, oldest->body)->issued_s))
			oldest = r;
	}
	if (oldest == NULL || body_of(g, oldest->body)->issued_s > body_of(g, body)->issued_s)
		return NULL;
	gone = oldest->body;
	oldest->body = 0;
	forget_unless_kept(g, gone);
	return oldest;
}

/* After a long silence we look around as in the beginning: who was cut off should have more than the one
 * link that ended it. */
static void beacon_came(struct gossip *g)
{
	if (g->now_ms - g->beacon_ms > 2ull * g->config.beacon_ms + g->config.beacon_ms / 2)
		views_look_around(g);
	g->beacon_ms = g->now_ms;
	g->watch_ms = g->config.root ? NEVER : g->now_ms + 2ull * g->config.beacon_ms;
	g->isolated_ms = 0;
	g->isolated_wait_ms = 3 * g->config.beacon_ms;
	g->isolated = false;
}

/* Our neighbours had it not: unless the next one comes by itself, we look around again at once. */
void beacon_from_stranger(struct gossip *g)
{
	g->beacon_ms = g->now_ms > g->config.beacon_ms ? g->now_ms - g->config.beacon_ms : 0;
	g->watch_ms = g->now_ms + g->config.beacon_ms;
}

bool topics_retain(struct gossip *g, body_ref body)
{
	const struct body_info *b = body_of(g, body);
	struct retained *r = (struct retained *)topic_find(g, b->topic);
	body_ref before = r != NULL ? r->body : 0;

	if (before != 0 && body_of(g, before)->sequence >= b->sequence)
		return false;
	if (r == NULL)
		r = topic_room(g, body);
	if (r == NULL)
		return false;
	*r = (struct retained){b->topic, body, now32(g)};
	if (before != 0)
		forget_unless_kept(g, before);
	if (b->beacon)
		beacon_came(g);
	return true;
}

static void heads_add(
	struct gossip *g, peer_ref peer, struct gossip_message **m, const struct retained *r)
{
	if (*m == NULL || (*m)->count == 8)
		*m = send_to(g, peer, MESSAGE_HEADS);
	(*m)->refs[(*m)->count] = r->topic;
	(*m)->sequences[(*m)->count++] = body_of(g, r->body)->sequence;
}

/* All that we retain; nothing when that is nothing. */
void topics_heads(struct gossip *g, peer_ref peer)
{
	struct gossip_message *m = NULL;

	for (unsigned i = 0; i < g->retained_count; i++)
		heads_add(g, peer, &m, &g->retained[i]);
}

/* Was it replaced, but only lately? So it still answers a GRAFT, and nobody is accused of spreading it. */
static bool is_just_replaced(const struct gossip *g, body_ref body)
{
	const struct retained *r = topic_find(g, body_of(g, body)->topic);

	return r != NULL && r->body != body &&
	       body_of(g, r->body)->issued_s < body_of(g, body)->issued_s + CACHE_MS / 1000;
}

static void id_add(struct gossip *g, unsigned slot, struct gossip_message **m, struct body_entry *e,
	body_ref body)
{
	if (*m == NULL)
		*m = send_to(g, g->slot_peer[slot], MESSAGE_IHAVE);
	(*m)->refs[(*m)->count] = body;
	(*m)->hops[(*m)->count++] = e->hops;
	e->told |= bit(slot);
}

/* A body that was pulled, to neighbours who may miss it as we did: by its head, or by its id when it has been
 * replaced since; nothing if that was long ago. */
void topics_tell(struct gossip *g, struct body_entry *e, body_ref body)
{
	const struct retained *r = topic_find(g, body_of(g, body)->topic);
	bool newest = r != NULL && r->body == body;
	uint64_t to = newest || is_just_replaced(g, body) ? g->active & ~e->told : 0;

	while (to != 0) {
		struct gossip_message *m = NULL;
		unsigned slot = next_slot(&to);

		if (newest)
			heads_add(g, g->slot_peer[slot], &m, r);
		else
			id_add(g, slot, &m, e, body);
	}
}

/* Pulls */

static struct pull *pull_find(const struct gossip *g, topic_ref topic)
{
	for (unsigned i = 0; i < PULLS_MAX; i++) {
		if (g->pulls[i].topic == topic)
			return (struct pull *)&g->pulls[i];
	}
	return NULL;
}

bool topic_was_asked(const struct gossip *g, topic_ref topic)
{
	const struct pull *p = topic != 0 ? pull_find(g, topic) : NULL;

	return p != NULL && !p->waits && now32(g) - p->ms < PULL_MS;
}

bool gossip_keeps_topic(const struct gossip *g, topic_ref topic)
{
	return topic != 0 && (topic_find(g, topic) != NULL || pull_find(g, topic) != NULL);
}

/* Is it still to come? */
static bool pull_is_open(const struct gossip *g, const struct pull *p)
{
	const struct retained *r = topic_find(g, p->topic);

	return p->topic != 0 && (p->waits || now32(g) - p->ms < PULL_MS) &&
	       (r == NULL || body_of(g, r->body)->sequence < p->sequence);
}

static unsigned pulls_open(const struct gossip *g, peer_ref peer)
{
	unsigned count = 0;

	for (unsigned i = 0; i < PULLS_MAX; i++)
		count += g->pulls[i].peer == peer && pull_is_open(g, &g->pulls[i]);
	return count;
}

/* The place for one more from peer. Whoever has none under way takes it from whom most is expected of, and who has
 * fewer than another by two takes what that one has not sent for long: topics that somebody invents keep us from
 * asking nobody. What comes without its place is not pushed either. NULL: not now. */
static struct pull *pull_place(struct gossip *g, peer_ref peer)
{
	unsigned ours = pulls_open(g, peer), most = 0;
	struct pull *found = NULL;

	for (unsigned i = 0; i < PULLS_MAX; i++) {
		struct pull *p = &g->pulls[i];
		bool open = pull_is_open(g, p);
		bool overdue = !p->waits && now32(g) - p->ms >= PULL_AGAIN_MS;
		unsigned theirs = open ? pulls_open(g, p->peer) : PULLS_MAX + 1;

		if (open && ours != 0 && (!overdue || theirs <= ours + 1))
			continue;
		if (found == NULL || theirs > most ||
			(theirs == most && (int32_t)(p->ms - found->ms) < 0)) {
			found = p;
			most = theirs;
		}
	}
	return found;
}

static void pull_soon(struct gossip *g, uint32_t ms)
{
	if (g->now_ms + ms < g->pull_ms)
		g->pull_ms = g->now_ms + ms;
}

static void pull_send(struct gossip *g, struct pull *p)
{
	p->waits = false;
	p->ms = now32(g);
	g->counts.pulls++;
	send_to(g, p->peer, MESSAGE_PULL)->about = p->topic;
}

void topics_pull_now(struct gossip *g, peer_ref peer, topic_ref topic, uint64_t sequence)
{
	struct pull *p = pull_find(g, topic);

	if (p == NULL)
		p = pull_place(g, 0); /* nobody has none: a place is found */
	*p = (struct pull){.topic = topic, .peer = peer, .sequence = sequence};
	pull_send(g, p);
}

/* What peer told of and we cannot pull now, it is asked for later, with all that it has. */
static void pull_later(struct gossip *g, peer_ref peer)
{
	unsigned slot = slot_of(g, peer);

	if (slot == SLOT_NONE)
		return;
	g->more |= bit(slot);
	pull_soon(g, PULL_WAIT_MS);
}

static void more_ask(struct gossip *g, unsigned slot)
{
	g->more &= ~bit(slot);
	send_to(g, g->slot_peer[slot], MESSAGE_HEADS);
}

void topics_pulled(struct gossip *g, peer_ref peer)
{
	unsigned slot = slot_of(g, peer);

	if (slot != SLOT_NONE && (g->more & bit(slot)) != 0 && pulls_open(g, peer) == 0)
		more_ask(g, slot);
}

/* peer has a newer one. While bodies come along the tree it is probably on its way, so we wait a while. */
static void pull_want(struct gossip *g, peer_ref peer, topic_ref topic, uint64_t sequence)
{
	bool overdue = g->now_ms - g->beacon_ms >= 2ull * g->config.beacon_ms;
	bool wait = in_tree(g) && !overdue && topic_find(g, topic) != NULL;
	struct pull *p = pull_find(g, topic);

	if (p != NULL && (p->waits || now32(g) - p->ms < PULL_AGAIN_MS))
		return;
	if (p == NULL)
		p = pull_place(g, peer);
	if (p == NULL) {
		pull_later(g, peer);
		return;
	}
	*p = (struct pull){topic, peer, now32(g) + PULL_WAIT_MS, true, sequence};
	if (wait)
		pull_soon(g, PULL_WAIT_MS);
	else
		pull_send(g, p);
}

/* Those that did not come by themselves, and those that could not be asked for. */
void topics_pull_due(struct gossip *g)
{
	unsigned slot = random_slot(g, g->more);

	g->pull_ms = NEVER;
	for (unsigned i = 0; i < PULLS_MAX; i++) {
		struct pull *p = &g->pulls[i];
		int32_t left = (int32_t)(p->ms - now32(g));

		if (p->topic == 0 || !p->waits)
			continue;
		if (!pull_is_open(g, p) || slot_of(g, p->peer) == SLOT_NONE)
			*p = (struct pull){0};
		else if (left > 0)
			pull_soon(g, (uint32_t)left);
		else
			pull_send(g, p);
	}
	if (slot != SLOT_NONE)
		more_ask(g, slot);
	if (g->more != 0)
		pull_soon(g, PULL_WAIT_MS);
}

/* Of a topic that speaks often heads name the last only. Whoever is behind, as between two links, hears of the
 * newest of those before it, too, as long as they answer a GRAFT; a newcomer has no use for them. */
static void replaced_tell(struct gossip *g, unsigned slot, topic_ref topic, uint64_t sequence)
{
	struct gossip_message *m = NULL;

	for (uint32_t k = g->newest; k != bodies_first(g) && (m == NULL || m->count < 8); k--) {
		struct body_entry *e = entry_of(g, k - 1);
		body_ref body = g->ids[at(g, k - 1)];
		const struct body_info *b = body_of(g, body);

		if (now32(g) - e->seen_ms >= CACHE_MS)
			return;
		if (b->topic == topic && b->sequence > sequence && (e->told & bit(slot)) == 0 &&
			is_just_replaced(g, body))
			id_add(g, slot, &m, e, body);
	}
}

static void on_heads(struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m)
{
	bool linked = slot != SLOT_NONE && (g->active & bit(slot)) != 0;
	struct gossip_message *answer = NULL;

	if (m->count == 0)
		topics_heads(g, peer);
	for (unsigned i = 0; i < m->count; i++) {
		const struct retained *r = topic_find(g, m->refs[i]);
		uint64_t ours = r != NULL ? body_of(g, r->body)->sequence : 0;

		if (m->refs[i] == 0)
			continue;
		if (r != NULL && ours > m->sequences[i])
			heads_add(g, peer, &answer, r);
		else if (r == NULL ? g->retained_count < RETAINED_MAX : ours < m->sequences[i])
			pull_want(g, peer, m->refs[i], m->sequences[i]);
	}
	for (unsigned i = 0; i < m->count && linked; i++)
		if (m->sequences[i] != 0)
			replaced_tell(g, slot, m->refs[i], m->sequences[i]);
}

void topics_message(struct gossip *g, peer_ref peer, unsigned slot, const struct gossip_message *m)
{
	const struct retained *r;

	if (m->type == MESSAGE_HEADS) {
		on_heads(g, peer, slot, m);
		return;
	}
	r = topic_find(g, m->about);
	if (r != NULL)
		send_to(g, peer, MESSAGE_BROADCAST)->about = r->body;
}

/* The watch */

static void ask_around(struct gossip *g)
{
	uint64_t set = g->active;

	for (unsigned i = 0; i < ASKED_AT_ONCE && set != 0; i++) {
		unsigned slot = random_slot(g, set);

		set &= ~bit(slot);
		if (g->retained_count == 0)
			send_to(g, g->slot_peer[slot], MESSAGE_HEADS);
		else
			topics_heads(g, g->slot_peer[slot]);
	}
	while (views_probe(g))
		;
}

/* Two beacons missed: look whether somebody has them. Three: nobody around us has. */
void topics_watch(struct gossip *g)
{
	uint64_t silent = g->now_ms - g->beacon_ms;
	uint64_t period = g->config.beacon_ms;

	if (silent < 2 * period) {
		g->watch_ms = g->beacon_ms + 2 * period;
		return;
	}
	ask_around(g);
	g->watch_ms = g->now_ms + about(g, silent < HURRY * period ? g->config.beacon_ms / 2
								   : g->config.beacon_ms);
	if (silent < 3 * period) {
		g->watch_ms = g->beacon_ms + 3 * period;
		return;
	}
	if (g->now_ms < g->isolated_ms)
		return;
	emit(g, GOSSIP_ISOLATED, 0);
	g->counts.isolated++;
	g->isolated = true;
	g->isolated_ms = g->now_ms + about(g, g->isolated_wait_ms);
	g->isolated_wait_ms *= 2;
	if (g->isolated_wait_ms > ISOLATED_MAX_MS)
		g->isolated_wait_ms = ISOLATED_MAX_MS;
	views_fill_soon(g, 0);
}
