/* Between struct message, which has keys, ids and bytes, and struct gossip_message, which has numbers of
 * the directory; see node_overlay.h. Everything is checked on its way in. */
#include <stdio.h>
#include <string.h>

#include "peer/overlay/node_overlay.h"
#include "tasks/base/mpread.h"

#define RECORDS_PER_SECOND 64u
#define RECORDS_FLOOD	   1024u
#define REFS_MAX	   8u /* in one struct gossip_message */

/* Out */

static bool record_out(const struct overlay *o, peer_ref peer, struct span *out)
{
	*out = directory_record_bytes(o->directory, peer);
	return out->len != 0;
}

static uint32_t records_out(
	const struct overlay *o, const struct gossip_message *g, struct span *out)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < g->count; i++)
		count += record_out(o, g->refs[i], &out[count]);
	return count;
}

static void ids_out(const struct overlay *o, const struct gossip_message *g, struct gossip_id *out)
{
	for (uint32_t i = 0; i < g->count; i++)
		directory_body_id(o->directory, g->refs[i], &out[i]);
}

static bool heads_out(
	const struct overlay *o, const struct gossip_message *g, struct message_heads *out)
{
	out->count = 0;
	for (uint32_t i = 0; i < g->count; i++) {
		struct topic_head *h = &out->heads[out->count];

		h->sequence = g->sequences[i];
		out->count += directory_topic_name(o->directory, g->refs[i], &h->kind, &h->subject);
	}
	return true;
}

static bool membership_out(
	const struct overlay *o, const struct gossip_message *g, struct message *m)
{
	switch (m->type) {
	case MESSAGE_JOIN:
		return record_out(o, DIRECTORY_SELF, &m->join.record);
	case MESSAGE_FORWARD_JOIN:
		m->forward_join.ttl = g->ttl;
		return record_out(o, g->about, &m->forward_join.record);
	case MESSAGE_NEIGHBOR:
		m->neighbor.high = g->flag;
		return record_out(o, DIRECTORY_SELF, &m->neighbor.record);
	case MESSAGE_NEIGHBOR_REPLY:
		m->neighbor_reply.accepted = g->flag;
		return true;
	case MESSAGE_DISCONNECT:
		m->disconnect.leaving = g->flag;
		return true;
	case MESSAGE_SHUFFLE:
		m->shuffle.ttl = g->ttl;
		m->shuffle.count = records_out(o, g, m->shuffle.records);
		return record_out(o, g->about, &m->shuffle.origin);
	default:
		m->shuffle_reply.count = records_out(o, g, m->shuffle_reply.records);
		return m->type == MESSAGE_SHUFFLE_REPLY;
	}
}

bool overlay_message_out(const struct overlay *o, const struct gossip_message *g, struct message *m)
{
	*m = (struct message){.type = (enum message_type)g->type};
	switch (m->type) {
	case MESSAGE_BROADCAST:
		m->broadcast.hops = g->ttl;
		return directory_body(
			o->directory, g->about, &m->broadcast.body, &m->broadcast.signature);
	case MESSAGE_IHAVE:
		m->ihave.count = g->count;
		ids_out(o, g, m->ihave.ids);
		return true;
	case MESSAGE_GRAFT:
		m->graft.count = g->count;
		ids_out(o, g, m->graft.ids);
		return true;
	case MESSAGE_PRUNE:
		if (g->about != 0)
			directory_body_id(o->directory, g->about, &m->prune.id);
		return true;
	case MESSAGE_HEADS:
		return heads_out(o, g, &m->heads);
	case MESSAGE_PULL:
		return directory_topic_name(
			o->directory, g->about, &m->pull.kind, &m->pull.subject);
	default:
		return membership_out(o, g, m);
	}
}

/* In */

/* The core waits three round trips for what is on its way: on an unsteady link that is to be median + 8 × MAD. */
static uint32_t rtt_of(const struct node *n, conn_id conn)
{
	uint32_t rtt_ms = node_rtt_ms(n, conn);
	uint32_t third_ms = node_late_ms(n, conn) / 3;

	return rtt_ms > third_ms ? rtt_ms : third_ms;
}

static int hear(struct node *n, peer_ref from, const struct gossip_message *g)
{
	struct gossip_event event = {.type = GOSSIP_MESSAGE, .peer = from, .message = g};
	conn_id conn = n->overlay->conns[from];

	event.rtt_ms = conn != 0 ? rtt_of(n, conn) : 0;
	return overlay_step(n, &event);
}

/* A new record costs a verification, before anybody knows what it is worth: a session has so many a second,
 * then they are left unread, and one that goes on and on is ended. */
static bool record_affordable(
	const struct node *n, struct connection *c, struct errmsg *msg, int *rc)
{
	uint32_t second = (uint32_t)(n->now_ms / 1000);

	if (c->records_s != second) {
		c->records_s = second;
		c->records = 0;
	}
	c->records++;
	*rc = c->records <= RECORDS_FLOOD
		      ? TK_OK
		      : errmsg_set(msg, TK_ELIMIT, "it tells of more peers than anybody needs");
	return c->records <= RECORDS_PER_SECOND;
}

/* One that has expired on its way or by our clock, or by our clock expires too late, is no fault of who passed it
 * on: *peer is then 0.
 * from: 0 for a record of the sender itself. */
static int record_in(struct node *n, struct connection *c, peer_ref from, struct span encoded,
	peer_ref *peer, struct errmsg *msg)
{
	int rc = TK_OK;

	*peer = 0;
	if (!directory_record_held(n->overlay->directory, encoded) &&
		!record_affordable(n, c, msg, &rc))
		return rc;
	rc = directory_record_take(
		n->overlay->directory, encoded, from, n->now_ms, n->now_s, peer, msg);
	if (rc != TK_EINVAL)
		return rc;
	*peer = 0;
	return TK_OK;
}

/* Its record is absurd because its clock is: honest, as like as not, and it would never learn why it is shut out. */
static void tell_of_its_clock(struct connection *c, struct errmsg *msg)
{
	struct message m = {.type = MESSAGE_GOODBYE, .goodbye = {.reason = GOODBYE_PROTOCOL}};
	long long fast_s = session_skew_s(c->session);

	if (fast_s < RECORD_AHEAD_MAX_S - RECORD_LIFETIME_S)
		return;
	snprintf(m.goodbye.text, sizeof(m.goodbye.text), "your clock is %lld s fast", fast_s);
	(void)!session_send(c->session, &m, NULL);
	errmsg_set(msg, TK_ELIMIT, "its clock is %lld s fast", fast_s);
}

/* What a peer says of itself, in its own session. */
static int own_record_in(struct node *n, struct connection *c, struct span encoded,
	struct gossip_message *g, struct errmsg *msg)
{
	peer_ref about;
	int rc = record_in(n, c, 0, encoded, &about, msg);

	if (rc == TK_OK && about != 0 && about != c->peer)
		return errmsg_set(
			msg, TK_EAUTH, "a record of another peer than the one that sends it");
	if (rc == TK_ELIMIT)
		tell_of_its_clock(c, msg);
	g->about = about;
	return rc;
}

static int records_in(struct node *n, struct connection *c, const struct span *records,
	uint32_t count, struct gossip_message *g, struct errmsg *msg)
{
	int rc = TK_OK;

	for (uint32_t i = 0; rc == TK_OK && i < count; i++) {
		rc = record_in(n, c, c->peer, records[i], &g->refs[g->count], msg);
		g->count += rc == TK_OK && g->refs[g->count] != 0;
	}
	return rc;
}

static int membership_in(struct node *n, struct connection *c, const struct message *m,
	struct gossip_message *g, struct errmsg *msg)
{
	int rc;

	switch (m->type) {
	case MESSAGE_JOIN:
		return own_record_in(n, c, m->join.record, g, msg);
	case MESSAGE_FORWARD_JOIN:
		g->ttl = (uint8_t)m->forward_join.ttl;
		return record_in(n, c, c->peer, m->forward_join.record, &g->about, msg);
	case MESSAGE_NEIGHBOR:
		g->flag = m->neighbor.high;
		return own_record_in(n, c, m->neighbor.record, g, msg);
	case MESSAGE_NEIGHBOR_REPLY:
		g->flag = m->neighbor_reply.accepted;
		return TK_OK;
	case MESSAGE_DISCONNECT:
		g->flag = m->disconnect.leaving;
		return TK_OK;
	case MESSAGE_SHUFFLE:
		g->ttl = (uint8_t)m->shuffle.ttl;
		rc = record_in(n, c, c->peer, m->shuffle.origin, &g->about, msg);
		if (rc != TK_OK)
			return rc;
		return records_in(n, c, m->shuffle.records, m->shuffle.count, g, msg);
	default:
		return records_in(n, c, m->shuffle_reply.records, m->shuffle_reply.count, g, msg);
	}
}

static int ids_in(struct node *n, const struct connection *c, const struct gossip_id *ids,
	uint32_t count, struct gossip_message *g)
{
	uint32_t at = 0;
	int rc;

	do {
		for (g->count = 0; at < count && g->count < REFS_MAX; at++) {
			g->refs[g->count] =
				directory_id(n->overlay->directory, &ids[at], n->now_ms);
			g->count += g->refs[g->count] != 0;
		}
		rc = hear(n, c->peer, g);
	} while (rc == TK_OK && at < count);
	return rc;
}

static int heads_in(struct node *n, peer_ref from, const struct topic_head *heads, uint32_t count,
	bool verified)
{
	struct gossip_message g = {.type = MESSAGE_HEADS};
	uint32_t at = 0;
	int rc;

	do {
		for (g.count = 0; at < count && g.count < REFS_MAX; at++) {
			g.refs[g.count] = directory_topic(n->overlay->directory, heads[at].kind,
				&heads[at].subject, verified, n->now_ms);
			g.sequences[g.count] = heads[at].sequence;
			g.count += g.refs[g.count] != 0;
		}
		rc = hear(n, from, &g);
	} while (rc == TK_OK && at < count);
	return rc;
}

static int broadcast_in(struct node *n, const struct connection *c,
	const struct message_broadcast *m, struct errmsg *msg)
{
	struct gossip_message g = {.type = MESSAGE_BROADCAST, .ttl = (uint8_t)m->hops};
	int rc = directory_body_take(
		n->overlay->directory, m->body, &m->signature, n->now_ms, &g.about, msg);

	return rc == TK_OK && g.about != 0 ? hear(n, c->peer, &g) : rc;
}

static int pull_in(struct node *n, const struct connection *c, const struct message_pull *m)
{
	struct gossip_message g = {.type = MESSAGE_PULL};

	g.about = directory_topic_find(n->overlay->directory, m->kind, &m->subject);
	return g.about != 0 ? hear(n, c->peer, &g) : TK_OK;
}

static int prune_in(struct node *n, const struct connection *c, const struct message_prune *m)
{
	struct gossip_message g = {.type = MESSAGE_PRUNE};

	g.about = directory_id(n->overlay->directory, &m->id, n->now_ms);
	return hear(n, c->peer, &g);
}

int overlay_message_in(
	struct node *n, struct connection *c, const struct message *m, struct errmsg *msg)
{
	struct gossip_message g = {.type = (uint8_t)m->type};
	int rc;

	switch (m->type) {
	case MESSAGE_BROADCAST:
		return broadcast_in(n, c, &m->broadcast, msg);
	case MESSAGE_IHAVE:
		return ids_in(n, c, m->ihave.ids, m->ihave.count, &g);
	case MESSAGE_GRAFT:
		return ids_in(n, c, m->graft.ids, m->graft.count, &g);
	case MESSAGE_PRUNE:
		return prune_in(n, c, &m->prune);
	case MESSAGE_HEADS:
		return heads_in(n, c->peer, m->heads.heads, m->heads.count, false);
	case MESSAGE_PULL:
		return pull_in(n, c, &m->pull);
	default:
		rc = membership_in(n, c, m, &g, msg);
		/* a record that has expired, or was left unread, leaves nothing to speak of */
		if (rc == TK_OK &&
			(g.about != 0 || m->type == MESSAGE_NEIGHBOR_REPLY ||
				m->type == MESSAGE_DISCONNECT || m->type == MESSAGE_SHUFFLE_REPLY))
			rc = hear(n, c->peer, &g);
		return rc;
	}
}

/* Beacons */

int overlay_beacon(struct node *n, peer_ref from, struct span payload)
{
	struct beacon b;
	int rc = beacon_decode(&b, payload, NULL);

	return rc == TK_OK ? heads_in(n, from, b.heads, b.head_count, true) : rc;
}
