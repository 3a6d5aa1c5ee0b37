/* What the gossip core wants done, on the node's connections; see node_state.h. */
#include "peer/overlay/node_overlay.h"

#define SHED_TELL_MS 60000u

static struct connection *connection_of(struct node *n, peer_ref peer)
{
	conn_id conn = n->overlay->conns[peer];

	return conn != 0 ? connections_find(&n->table, conn) : NULL;
}

/* A slow reader gets the important things: with so much waiting for it, walks and shuffles are left out
 * first, then IHAVE, then bodies; never what neighbours must know of each other. */
static bool is_shed(struct overlay *o, const struct connection *c, uint8_t type)
{
	static const size_t most[] = {NODE_OUTPUT_LOW, 4 * NODE_OUTPUT_LOW, 16 * NODE_OUTPUT_LOW};
	unsigned importance = gossip_importance(type);

	if (importance >= sizeof(most) / sizeof(most[0]) || c->waiting <= most[importance])
		return false;
	o->shed++;
	return true;
}

/* Once a minute, how much that was, and how much of what others sent the core has left unheard. */
static void tell_shed(struct node *n, struct node_effects *out)
{
	struct overlay *o = n->overlay;
	const struct gossip_counts *counts = gossip_counts(o->core);

	uint32_t unheard = counts->shed_shuffle + counts->shed_ihave + counts->shed_neighbour;

	if ((o->shed == 0 && unheard == o->unheard) ||
		(o->shed_ms != 0 && n->now_ms < o->shed_ms + SHED_TELL_MS) ||
		node_effects_reserve(out, 1) != TK_OK)
		return;
	node_effects_take_text(out, NODE_LOG, 0,
		"%llu messages of gossip were not sent, as their readers are slow, and %u not "
		"taken, as they were too many",
		(unsigned long long)o->shed, unheard - o->unheard);
	o->shed = 0;
	o->unheard = unheard;
	o->shed_ms = n->now_ms;
}

static void say(struct node *n, const struct gossip_effect *e, struct node_effects *out)
{
	struct connection *c = connection_of(n, e->peer);
	struct errmsg msg = {""};
	struct message m;
	int rc;

	if (c == NULL || is_shed(n->overlay, c, e->message.type) ||
		!overlay_message_out(n->overlay, &e->message, &m))
		return;
	rc = session_send(c->session, &m, &msg);
	if (rc == TK_OK)
		rc = connection_flush(n, c, out, &msg);
	if (rc != TK_OK && rc != TK_EINVAL)
		connection_fail(n, c, out, msg.text);
}

/* Between a peer and the coordinator there is the one session that the peer's application dials: a second
 * one, from either side, would take its place. */
static bool dial_allowed(const struct node *n, peer_ref peer)
{
	const struct record *record = directory_record(n->overlay->directory, peer);

	return n->id->role != ROLE_COORDINATOR && !n->overlay->root[peer] && record != NULL &&
	       record->endpoint_count + record->relay_count != 0;
}

/* A session that is there already serves as well. */
static void dial(struct node *n, const struct gossip_effect *e, struct node_effects *out)
{
	struct gossip_event answer = {.type = GOSSIP_UP, .peer = e->peer, .flag = true};
	struct node_effect *effect = NULL;

	if (connection_of(n, e->peer) == NULL) {
		answer.type = GOSSIP_DIAL_FAILED;
		if (dial_allowed(n, e->peer))
			effect = node_effects_push(out, NODE_DIAL, 0);
	}
	if (effect != NULL)
		effect->record = *directory_record(n->overlay->directory, e->peer);
	else
		(void)!overlay_step(
			n, &answer); /* unheard, it counts as a dial without an answer */
}

/* A session that only gossip wanted ends; one that carried anything else goes on. */
static void release(struct node *n, const struct gossip_effect *e, struct node_effects *out)
{
	struct connection *c = connection_of(n, e->peer);

	if (c != NULL && c->sought && !c->used)
		connection_goodbye(n, c, out, GOODBYE_OVERLOAD, "no longer a neighbour");
}

static void accuse(struct node *n, const struct gossip_effect *e, struct node_effects *out)
{
	struct connection *c = connection_of(n, e->peer);

	if (c != NULL)
		connection_fail(n, c, out, e->why);
}

bool gossip_revoked(const struct node *n, const struct public_key *key)
{
	const struct overlay *o = n->overlay;

	for (uint32_t i = 0; o != NULL && i < o->revoked.count; i++) {
		if (key_equal(&o->revoked.keys[i], key))
			return true;
	}
	return false;
}

/* The root has taken back what it gave these identities. */
static void revoke(struct node *n, struct span payload, struct node_effects *out)
{
	struct connection *next;

	if (revocations_decode(&n->overlay->revoked, payload, NULL) != TK_OK)
		return; /* of a later format */
	for (struct connection *c = n->table.first; c != NULL; c = next) {
		next = c->next;
		if (c->up && gossip_revoked(n, &c->key) &&
			node_effects_reserve(out, EFFECTS_TO_END) == TK_OK)
			connection_goodbye(n, c, out, GOODBYE_PROTOCOL,
				"the network's root has revoked this identity");
	}
}

static void deliver(struct node *n, const struct gossip_effect *e, struct node_effects *out)
{
	struct announcement a;
	struct signature signature;
	struct span encoded;
	struct node_effect *effect;

	if (!directory_body(n->overlay->directory, e->body, &encoded, &signature) ||
		announcement_decode(&a, encoded, NULL) != TK_OK)
		return;
	if (a.kind == ANNOUNCE_BEACON && e->peer != 0)
		(void)!overlay_beacon(n, e->peer, a.payload); /* the next beacon says it again */
	if (a.kind == ANNOUNCE_REVOKE)
		revoke(n, a.payload, out);
	effect = node_effects_push(out, NODE_ANNOUNCED, 0);
	if (effect != NULL && bytes_append(&effect->bytes, encoded.data, encoded.len) != TK_OK)
		node_effects_pop(out);
}

static void carry_out(struct node *n, const struct gossip_effect *e, struct node_effects *out)
{
	struct overlay *o = n->overlay;

	switch (e->type) {
	case GOSSIP_SEND:
		say(n, e, out);
		break;
	case GOSSIP_DIAL:
		dial(n, e, out);
		break;
	case GOSSIP_RELEASE:
		release(n, e, out);
		break;
	case GOSSIP_ACCUSE:
		accuse(n, e, out);
		break;
	case GOSSIP_DELIVER:
		deliver(n, e, out);
		break;
	case GOSSIP_FORGET:
		directory_body_forget(o->directory, e->body);
		break;
	case GOSSIP_LAGGING:
		node_effects_take_text(out, NODE_LOG, 0,
			"the coordinator has a beacon that is %llu s newer than what our "
			"neighbours "
			"let through: we look for others",
			(unsigned long long)e->message.sequences[0]);
		break;
	case GOSSIP_ISOLATED:
		(void)!node_effects_push(out, NODE_ISOLATED, 0);
		break;
	default:
		break;
	}
}

/* Carrying out may end connections, of which the core hears, and so wants more done. */
void gossip_flush(struct node *n, struct node_effects *out)
{
	struct overlay *o = n->overlay;

	while (o != NULL && o->pending.count != 0) {
		struct gossip_effects batch = o->pending;

		o->pending = o->batch;
		o->batch = batch;
		for (size_t i = 0; i < batch.count; i++) {
			/* without room not even an ending can be told: what is left is dropped, like
			 * messages that a network loses, and the core's timers mend it */
			if (node_effects_reserve(out, EFFECTS_TO_END) != TK_OK)
				break;
			carry_out(n, &o->batch.items[i], out);
		}
		o->batch.count = 0;
	}
	if (o != NULL)
		tell_shed(n, out);
}
