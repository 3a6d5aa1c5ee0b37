/* What goes into a core and what comes out of it. See world.h. */
#include <string.h>

#include "peer/wire/record.h"
#include "tests/sim/world_state.h"

/* A record is one number here, when it expires by its author's clock; all know its newest at once. */
void world_record_write(struct world *w, peer_ref author)
{
	w->peers[author].expiry_s = world_clock_s(w, author) + RECORD_LIFETIME_S;
}

/* Written anew when half of its life is over, as a node does. */
static void record_renew(struct world *w, peer_ref author)
{
	if (w->peers[author].expiry_s < world_clock_s(w, author) + RECORD_LIFETIME_S / 2)
		world_record_write(w, author);
}

/* As record_decode judges it by the reader's clock; its own it does not judge.
 * Errors: TK_ELIMIT (absurdly far ahead), TK_EINVAL (expired, or too far ahead to be kept). */
static int record_check(const struct world *w, peer_ref reader, peer_ref author)
{
	int64_t left_s = (int64_t)w->peers[author].expiry_s - world_clock_s(w, reader);

	if (author == reader)
		return TK_OK;
	if (left_s > (int64_t)RECORD_AHEAD_MAX_S)
		return TK_ELIMIT;
	return left_s > (int64_t)RECORD_KEPT_AHEAD_S || left_s < -(int64_t)RECORD_SKEW_S ? TK_EINVAL
											 : TK_OK;
}

/* Takes out of m what its reader ignores. Errors: TK_EINVAL: nothing is left to speak of; TK_ELIMIT. */
static int records_read(const struct world *w, peer_ref reader, struct gossip_message *m)
{
	uint8_t kept = 0;
	int rc = TK_OK;

	if (m->type == MESSAGE_JOIN || m->type == MESSAGE_FORWARD_JOIN ||
		m->type == MESSAGE_NEIGHBOR || m->type == MESSAGE_SHUFFLE)
		rc = record_check(w, reader, m->about);
	if (rc != TK_OK || (m->type != MESSAGE_SHUFFLE && m->type != MESSAGE_SHUFFLE_REPLY))
		return rc;
	for (uint8_t i = 0; i < m->count; i++) {
		rc = record_check(w, reader, m->refs[i]);
		if (rc == TK_ELIMIT)
			return rc;
		if (rc == TK_OK)
			m->refs[kept++] = m->refs[i];
	}
	m->count = kept;
	return TK_OK;
}

static void deliver(struct world *w, peer_ref self, const struct gossip_event *event, body_ref body)
{
	struct spread *s = &w->spreads[world_body_index(w, body)];
	uint32_t hops, now = w->wheel.now_ms;

	if (self == WORLD_ROOT)
		return;
	WORLD_CHECK(w, event->type == GOSSIP_MESSAGE);
	if (s->at[self] != 0 && w->nodes[self].boot_ms > s->published_ms)
		return; /* it knew in an earlier life */
	WORLD_CHECK(w, s->at[self] == 0);
	hops = s->at[event->peer] == 0 ? 1 : s->at[event->peer]; /* 1 + hops of who sent it */
	s->at[self] = (uint8_t)(hops < 254 ? hops + 1 : 255);
	s->reached++;
	s->last_ms = now;
	histogram_add(&s->hops, hops);
	histogram_add(&s->time_ms, now - s->published_ms);
}

static void effect(struct world *w, peer_ref self, const struct gossip_event *event,
	const struct gossip_effect *e)
{
	switch (e->type) {
	case GOSSIP_SEND:
		link_send(w, self, e->peer, &e->message);
		break;
	case GOSSIP_DIAL:
		WORLD_CHECK(w, e->peer != 0 && e->peer != self && e->peer <= w->last + 1);
		link_dial(w, self, e->peer);
		break;
	case GOSSIP_ACCUSE:
		w->totals.accusations++;
		WORLD_CHECK(w, w->nodes[e->peer].sybil); /* the honest do not accuse each other */
		link_close(w, self, e->peer);
		break;
	case GOSSIP_RELEASE:
		link_close(w, self, e->peer);
		break;
	case GOSSIP_DELIVER:
		deliver(w, self, event, e->body);
		break;
	case GOSSIP_ISOLATED:
		w->totals.isolated++;
		w->nodes[self].isolated_ms = w->wheel.now_ms;
		link_post(w, EVENT_START, self, self, w->serial, w->wheel.now_ms + 1);
		break;
	default:
		break;
	}
}

static void alarm_follow(struct world *w, peer_ref peer)
{
	uint64_t wake_ms = gossip_wake_ms(w->nodes[peer].gossip);
	uint32_t at_ms = w->alarms.alarms[peer].at_ms, now = w->wheel.now_ms;

	if (wake_ms == UINT64_MAX || (at_ms != 0 && at_ms <= wake_ms))
		return; /* one that rings too early costs less than moving it */
	alarms_set(&w->alarms, peer, now, wake_ms <= now ? now + 1 : (uint32_t)wake_ms);
}

void world_step(struct world *w, peer_ref peer, struct gossip_event *event)
{
	struct node *n = &w->nodes[peer];

	event->now_ms = w->wheel.now_ms;
	event->now_s = world_clock_s(w, peer);
	event->random = draw_next(&w->random);
	record_renew(w, peer);
	w->effects.count = 0;
	WORLD_CHECK(w, gossip_step(n->gossip, event, &w->effects) == TK_OK);
	for (size_t i = 0; i < w->effects.count; i++)
		effect(w, peer, event, &w->effects.items[i]);
	alarm_follow(w, peer);
}

static void message_load(
	const struct world *w, const struct wheel_event *e, struct gossip_message *m)
{
	const struct wheel_extra *x = &w->wheel.extras[e->count > 1 ? e->ref : 0];

	m->type = e->type;
	m->count = e->count;
	m->ttl = e->ttl & 0x7f;
	m->flag = e->ttl >> 7;
	m->about = e->about;
	m->refs[0] = e->ref;
	m->sequences[0] = e->sequence;
	m->hops[0] = (uint8_t)e->sequence;
	for (uint32_t i = 0; i < e->count && e->count > 1; i++) {
		m->refs[i] = x->refs[i];
		m->sequences[i] = x->sequences[i];
		m->hops[i] = x->hops[i];
	}
}

void world_message(struct world *w, const struct wheel_event *e)
{
	struct gossip_event event = {.type = GOSSIP_MESSAGE, .peer = e->from};
	struct gossip_message m;
	peer_ref to = e->to;
	int rc;

	message_load(w, e, &m);
	if (w->nodes[to].sybil) {
		sybil_hears(w, to, e->from, &m);
		return;
	}
	if (m.type == MESSAGE_BROADCAST)
		w->spreads[world_body_index(w, m.about)].copies++;
	rc = records_read(w, to, &m);
	if (rc == TK_ELIMIT) { /* as a node ends the session */
		link_close(w, to, e->from);
		event.type = GOSSIP_DOWN;
		event.flag = true;
	}
	event.message = &m;
	if (rc != TK_EINVAL)
		world_step(w, to, &event);
}

/* The link's host of that number: the coordinator, then public peers. */
static peer_ref contact(struct world *w, uint32_t which)
{
	if (which == 0)
		return WORLD_ROOT;
	if (w->config.contacts_differ && w->public_count != 0)
		which = 1 + draw_below(&w->random, w->public_count);
	return which <= w->public_count ? w->publics[which - 1] : 0;
}

/* The hosts that the link names, and then who was good before. */
void world_contacts(struct world *w, peer_ref peer)
{
	struct gossip_event event = {.type = GOSSIP_START};
	const struct node *n = &w->nodes[peer];
	peer_ref refs[2 + 8 + CACHE_PEERS];
	uint32_t first = draw_below(&w->random, w->config.contacts + 1);

	if (w->config.first_host_dead)
		refs[event.count++] = w->last + 1;
	for (uint32_t i = 0; i <= w->config.contacts; i++) {
		uint32_t which = (first + i) % (w->config.contacts + 1);
		peer_ref host = contact(w, which);

		if (host != 0 && host != peer)
			refs[event.count++] = host;
	}
	for (uint32_t i = 0; i < CACHE_PEERS; i++)
		if (n->cache[i] != 0)
			refs[event.count++] = n->cache[i];
	event.refs = refs;
	world_step(w, peer, &event);
}

void world_wake(struct world *w, peer_ref peer)
{
	struct node *n = &w->nodes[peer];
	uint32_t now = w->wheel.now_ms;

	if (n->state != WORLD_UP)
		return;
	if (n->frozen_ms > now)
		alarms_set(&w->alarms, peer, now, n->frozen_ms);
	else if (n->sybil)
		sybil_wake(w, peer);
	else if (gossip_wake_ms(n->gossip) > now)
		alarm_follow(w, peer);
	else {
		w->totals.wakes++;
		world_step(w, peer, &(struct gossip_event){.type = GOSSIP_WAKE});
	}
}
