/* What a node's sessions say: from the handshake's end on, messages that are the node's own, and those that it passes
 * on to gossip and to the application; see node_state.h. */
#include <stdio.h>

#include "peer/overlay/node_state.h"

static const char *goodbye_name(uint32_t reason)
{
	static const char *const names[GOODBYE_REASON_LAST + 1] = {
		[GOODBYE_SHUTDOWN] = "the other side shuts down",
		[GOODBYE_PROTOCOL] = "the other side says that we broke the protocol",
		[GOODBYE_RETIRED] = "our identity is retired",
		[GOODBYE_REPLACED] = "our identity connected again elsewhere",
		[GOODBYE_OVERLOAD] = "the other side has too many sessions",
	};

	return reason <= GOODBYE_REASON_LAST && names[reason] != NULL ? names[reason] : "goodbye";
}

/* The other side's farewell as an error sentence; its text is theirs, so control characters that could
 * forge lines in a log are replaced. */
static int goodbye_received(const struct message_goodbye *bye, struct errmsg *msg)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "%s", bye->text);
	for (char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	}
	return errmsg_set(msg, TK_ECANCELED, "%s%s%s", goodbye_name(bye->reason),
		text[0] != '\0' ? ": " : "", text);
}

/* Copies a message into an effect that owns the bytes which it borrows from. */
static int message_deliver(const struct connection *c, const struct message *m,
	struct node_effects *out, struct errmsg *msg)
{
	struct node_effect *e = node_effects_push(out, NODE_MESSAGE, c->id);
	int rc;

	if (e == NULL)
		return errmsg_set(msg, TK_ENOMEM, "out of memory");
	e->own = c->own;
	rc = message_encode(m, &e->bytes);
	if (rc != TK_OK)
		errmsg_set(msg, rc, "out of memory");
	else
		rc = message_decode(&e->message, bytes_span(&e->bytes), msg);
	if (rc != TK_OK)
		node_effects_pop(out);
	return rc;
}

static int message_observed(struct connection *c, const struct message_observed *m,
	struct node_effects *out, struct errmsg *msg)
{
	struct node_effect *e;

	if (!c->dialled || c->observed)
		return errmsg_set(msg, TK_EPROTO, "OBSERVED comes once, from whoever was dialled");
	e = node_effects_push(out, NODE_OBSERVED, c->id);
	if (e == NULL)
		return errmsg_set(msg, TK_ENOMEM, "out of memory");
	e->at = m->from;
	e->own = c->own;
	c->observed = true;
	return TK_OK;
}

/* Errors: TK_ECANCELED for a farewell; others end the connection too. */
static int message_handle(struct node *n, struct connection *c, const struct message *m,
	struct node_effects *out, struct errmsg *msg)
{
	struct message answer;

	switch (m->type) {
	case MESSAGE_PING:
		answer = (struct message){.type = MESSAGE_PONG, .pong = {.token = m->ping.token}};
		return session_send(c->session, &answer, msg);
	case MESSAGE_PONG:
		pulse_answer(&c->pulse, m->pong.token, n->now_ms);
		return TK_OK;
	case MESSAGE_OBSERVED:
		return message_observed(c, &m->observed, out, msg);
	case MESSAGE_GOODBYE:
		c->farewell = m->goodbye.reason;
		return goodbye_received(&m->goodbye, msg);
	default:
		if (gossip_wants(n, c, m->type))
			return gossip_hear(n, c, m, msg);
		c->used = true;
		places_heard(n, c, m->type);
		return message_deliver(c, m, out, msg);
	}
}

int connection_ping(struct node *n, struct connection *c, struct errmsg *msg)
{
	struct message m = {.type = MESSAGE_PING};

	m.ping.token = pulse_ask(&c->pulse, ++n->pings, n->now_ms);
	c->asked_ms = n->now_ms;
	return session_send(c->session, &m, msg);
}

/* The first words of a session: where the other side comes from, if it dialled us and wants to know, and a
 * first PING. */
static int connection_greet(struct node *n, struct connection *c, struct errmsg *msg)
{
	struct message m = {.type = MESSAGE_OBSERVED, .observed = {.from = c->remote}};
	int rc = TK_OK;

	if (!c->dialled && c->remote.family != 0 &&
		(session_features(c->session) & FEATURE_RELAY) != 0)
		rc = session_send(c->session, &m, msg);
	if (rc == TK_EINVAL) /* an address that no message may name */
		rc = TK_OK;
	return rc == TK_OK ? connection_ping(n, c, msg) : rc;
}

/* The handshake is done. On a node that accepts, the newest session of an identity is the one that
 * counts: the older one may be dead without our knowing, and its owner is here now. */
static int connection_open(
	struct node *n, struct connection *c, struct node_effects *out, struct errmsg *msg)
{
	struct connection *older = NULL;
	struct node_effect *up;

	/* for the farewell to the older one, for UP and for the end of c */
	if (node_effects_reserve(out, 1 + 2 * EFFECTS_TO_END) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "out of memory");
	c->key = *session_peer(c->session);
	if (gossip_revoked(n, &c->key))
		return errmsg_set(msg, TK_EAUTH, "the network's root has revoked its identity");
	if (!c->dialled) {
		older = connections_find_key(&n->table, &c->key);
		connections_set_key(&n->table, c);
		n->half_open--;
	}
	c->up = true;
	n->up++;
	places_enter(n, c);
	gossip_session_up(n, c); /* before the older one goes: its neighbour has never been away */
	if (older != NULL)
		connection_goodbye(
			n, older, out, GOODBYE_REPLACED, "the same identity connected again");
	up = node_effects_take(out, NODE_UP, c->id);
	up->key = c->key;
	up->role = session_peer_role(c->session);
	up->renews = c->renews;
	up->own = c->own;
	return connection_greet(n, c, msg);
}

/* All but data, and what has bounds of its own that end the session: an honest peer says the rest a few times a second
 * at most, whatever it is doing. */
static bool is_chatter(const struct connection *c, const struct message *m)
{
	if (session_peer_role(c->session) == ROLE_COORDINATOR)
		return false; /* it says as much as there is work */
	switch (m->type) {
	case MESSAGE_BLOB_GET: /* swarm_serve.c */
	case MESSAGE_BLOB_PART:
	case MESSAGE_RELAY_DATA: /* relay_circuits.c, circuits.c */
	case MESSAGE_RELAY_CREDIT:
	case MESSAGE_TRACE:
	case MESSAGE_SEGMENT:
	case MESSAGE_STATE:
		return false;
	case MESSAGE_UPLOAD:
		return m->upload.bytes.len < BLOB_PART_MAX; /* only a payload's last part is */
	default:
		return m->type < MESSAGE_JOIN || m->type > MESSAGE_PULL; /* gossip_state.h */
	}
}

/* A leaky bucket: what was heard drains by NODE_CHATTER_PER_S and may not rise above NODE_CHATTER_MAX, so that one
 * session can't keep us from the others. Errors: TK_ELIMIT. */
static int chatter_count(struct connection *c, uint64_t now_ms, struct errmsg *msg)
{
	uint64_t gone_ms = now_ms > c->chatter_ms ? now_ms - c->chatter_ms : 0;
	uint64_t drained = gone_ms * NODE_CHATTER_PER_S / 1000;

	if (drained != 0) {
		c->chatter -= drained < c->chatter ? (uint32_t)drained : c->chatter;
		c->chatter_ms = now_ms;
	}
	if (c->chatter == NODE_CHATTER_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"it says more than %u small things a second, and asks for too much "
			"attention",
			NODE_CHATTER_PER_S);
	c->chatter++;
	return TK_OK;
}

int connection_receive(struct node *n, struct connection *c, const struct node_event *event,
	struct node_effects *out, struct errmsg *msg)
{
	struct message m;
	int rc = session_receive(c->session, event->bytes, msg);

	c->heard_ms = event->now_ms;
	if (rc == TK_OK && !c->up && session_state(c->session) == SESSION_OPEN)
		rc = connection_open(n, c, out, msg);
	while (rc == TK_OK && c->up) {
		rc = session_next(c->session, &m, msg);
		if (rc == TK_ENOENT)
			break;
		if (rc == TK_OK && is_chatter(c, &m))
			rc = chatter_count(c, event->now_ms, msg);
		if (rc == TK_OK)
			rc = message_handle(n, c, &m, out, msg);
		c->guilty = rc != TK_OK && rc != TK_ENOMEM && rc != TK_ECANCELED;
	}
	return rc == TK_OK || rc == TK_ENOENT ? connection_flush(n, c, out, msg) : rc;
}
