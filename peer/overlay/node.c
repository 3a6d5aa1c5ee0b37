/* The overlay node's core; see node.h. Never reads a clock, a socket or randomness: equal events give
 * equal effects.
 *
 * A connection is half open until its handshake is done, then up, then forgotten; what the other side
 * does wrong ends its own connection and touches no other. Keep-alive, farewells and the rule of one
 * session per identity are handled here and not shown to the application.
 *
 * Memory: each step reserves room for the effects that end its connection before it changes anything
 * (node_effects.h). When even that fails, the connection is marked broken and the next tick ends it. */
#include "peer/overlay/node.h"

#include <stdio.h>

#include "peer/overlay/node_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define KEY_SHORT_BYTES 4u /* of a key, in log lines */

struct node *node_new(const struct identity *id)
{
	struct node *n = mem_calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->id = id;
	n->waiting_max = NODE_OUTPUT_ALL_MAX;
	n->connections_max = NODE_CONNECTIONS_MAX;
	admission_init(&n->admission, 0);
	if (connections_init(&n->table) != TK_OK) {
		mem_free(n);
		return NULL;
	}
	return n;
}

void node_free(struct node *n)
{
	if (n == NULL)
		return;
	gossip_stop(n);
	connections_close(&n->table);
	mem_free(n);
}

void node_limit_output(struct node *n, size_t bytes)
{
	n->waiting_max = bytes;
}

void node_limit_connections(struct node *n, size_t count)
{
	n->connections_max = count < NODE_CONNECTIONS_MAX ? count : NODE_CONNECTIONS_MAX;
}

size_t node_session_count(const struct node *n)
{
	return n->up;
}

size_t node_waiting(const struct node *n, conn_id conn)
{
	const struct connection *c = connections_find(&n->table, conn);

	return c != NULL ? c->waiting : 0;
}

uint64_t node_prefix(const struct node *n, conn_id conn)
{
	const struct connection *c = connections_find(&n->table, conn);

	return c != NULL ? c->prefix : 0;
}

uint32_t node_rtt_ms(const struct node *n, conn_id conn)
{
	const struct connection *c = connections_find(&n->table, conn);

	return c != NULL ? pulse_rtt_ms(&c->pulse) : 0;
}

uint32_t node_late_ms(const struct node *n, conn_id conn)
{
	const struct connection *c = connections_find(&n->table, conn);

	return c != NULL ? pulse_late_ms(&c->pulse) : 0;
}

uint32_t node_answer_ms(const struct node *n, conn_id conn)
{
	const struct connection *c = connections_find(&n->table, conn);

	return c != NULL && pulse_rtt_ms(&c->pulse) != 0 ? pulse_answer_ms(&c->pulse) : 0;
}

uint64_t node_features(const struct node *n, conn_id conn)
{
	const struct connection *c = connections_find(&n->table, conn);

	return c != NULL && c->up ? session_features(c->session) : 0;
}

int64_t node_skew_s(const struct node *n, conn_id conn)
{
	const struct connection *c = connections_find(&n->table, conn);

	return c != NULL ? session_skew_s(c->session) : 0;
}

bool node_transport(const struct node *n, conn_id conn, struct node_transport *out)
{
	const struct connection *c = connections_find(&n->table, conn);

	if (c != NULL)
		*out = (struct node_transport){c->remote, c->dialled, c->from_port};
	return c != NULL;
}

static uint64_t elapsed(uint64_t now_ms, uint64_t then_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

/* Output */

int connection_flush(
	struct node *n, struct connection *c, struct node_effects *out, struct errmsg *msg)
{
	struct span bytes = session_output(c->session);
	struct node_effect *write;

	if (bytes.len == 0)
		return TK_OK;
	if (bytes.len > NODE_OUTPUT_MAX - c->waiting)
		return errmsg_set(msg, TK_ELIMIT,
			"the other side reads too slowly: more than %u MiB wait for it",
			NODE_OUTPUT_MAX >> 20);
	if (n->waiting + bytes.len > n->waiting_max && c->waiting > n->waiting_max / n->table.count)
		return errmsg_set(msg, TK_ELIMIT,
			"the other side reads too slowly: more than %zu MiB wait for all, and for "
			"it more than its share",
			n->waiting_max >> 20);
	write = node_effects_push(out, NODE_WRITE, c->id);
	if (write == NULL)
		return errmsg_set(msg, TK_ENOMEM, "out of memory");
	session_take_output(c->session, &write->bytes);
	if (c->waiting == 0)
		c->taken_ms = n->now_ms;
	c->waiting += bytes.len;
	n->waiting += bytes.len;
	return TK_OK;
}

/* Endings */

/* Forgets the connection; DOWN when it was up. EFFECTS_TO_END are in reserve, here and below. */
static void connection_forget(
	struct node *n, struct connection *c, struct node_effects *out, const char *why)
{
	struct node_effect *down;

	gossip_session_down(n, c);
	places_leave(n, c);
	if (c->up) {
		down = node_effects_take_text(out, NODE_DOWN, c->id, "%s", why);
		down->key = c->key;
		down->role = session_peer_role(c->session);
		down->reason = c->farewell;
		down->own = c->own;
		down->released = c->released;
		n->up--;
	} else if (!c->dialled) {
		n->half_open--;
	}
	n->waiting -= c->waiting;
	connections_remove(&n->table, c);
}

static void connection_end(
	struct node *n, struct connection *c, struct node_effects *out, const char *why)
{
	node_effects_take_text(out, NODE_CLOSE, c->id, "%s", why);
	connection_forget(n, c, out, why);
}

/* Ends a connection that cannot go on, with a line in the log. What the session still had to say (a
 * preamble, from which the other side sees that it dialled the wrong network) goes out first. */
void connection_fail(
	struct node *n, struct connection *c, struct node_effects *out, const char *why)
{
	char hex[2 * KEY_SHORT_BYTES + 1];
	char from[48] = "";

	if (connection_flush(n, c, out, NULL) != TK_OK)
		session_consume(c->session, session_output(c->session).len);
	if (c->up) {
		hex_encode(hex, c->key.b, KEY_SHORT_BYTES);
		snprintf(from, sizeof(from), " with %s", hex);
	}
	if (c->up || admission_line(&n->admission, why, n->now_ms))
		node_effects_take_text(out, NODE_LOG, c->id, "%s %llu%s closed: %s",
			c->up ? "session" : "handshake", (unsigned long long)c->id, from, why);
	connection_end(n, c, out, why);
}

/* Says why, then ends it. Without memory for the farewell it ends all the same. */
void connection_goodbye(struct node *n, struct connection *c, struct node_effects *out,
	uint32_t reason, const char *text)
{
	struct message m = {.type = MESSAGE_GOODBYE, .goodbye = {.reason = reason}};

	snprintf(m.goodbye.text, sizeof(m.goodbye.text), "%s", text);
	if (c->up && session_send(c->session, &m, NULL) == TK_OK &&
		connection_flush(n, c, out, NULL) != TK_OK)
		session_consume(c->session, session_output(c->session).len);
	connection_end(n, c, out, text);
}

/* Steps, one per event */

/* CONNECTED, ACCEPTED. What is over a limit is closed before it costs us a Diffie-Hellman. */
static int step_begin(struct node *n, const struct node_event *event, struct node_effects *out)
{
	bool dialled = event->type == NODE_CONNECTED;
	const char *refused;
	struct connection *c;

	if (node_effects_reserve(out, 1 + 3 * EFFECTS_TO_END) != TK_OK)
		return TK_ENOMEM;
	refused = places_refuse(n, event, out);
	if (refused != NULL) {
		node_effects_take_text(out, NODE_CLOSE, event->conn, "%s", refused);
		return TK_OK;
	}
	c = connections_add(&n->table, event->conn);
	if (c == NULL)
		return TK_ENOMEM;
	c->dialled = dialled;
	c->sought = dialled && event->sought;
	c->since_ms = c->heard_ms = c->asked_ms = event->now_ms;
	renewal_begin(n, c, event);
	c->from_port = event->from_port;
	c->own = event->own;
	c->prefix = places_prefix(event);
	if (!dialled && c->prefix != 0)
		crowds_enter(&n->table.crowds, c);
	c->carrier = event->carrier;
	if (event->remote != NULL)
		c->remote = *event->remote;
	c->session = session_new(
		n->id, dialled && !event->respond, event->random, event->now_s, event->expect);
	if (c->session != NULL && event->hosts)
		session_take_hosts(c->session);
	if (c->session == NULL || connection_flush(n, c, out, NULL) != TK_OK) {
		connections_remove(&n->table, c);
		return TK_ENOMEM;
	}
	if (!dialled) {
		n->half_open++;
		places_begin(n, c);
	}
	return TK_OK;
}

static int step_bytes(struct node *n, struct connection *c, const struct node_event *event,
	struct node_effects *out)
{
	struct errmsg msg = {""};
	int rc = connection_receive(n, c, event, out, &msg);

	if (rc == TK_ECANCELED)
		connection_end(n, c, out, msg.text);
	else if (rc != TK_OK)
		connection_fail(n, c, out, msg.text);
	return rc == TK_ENOMEM ? rc : TK_OK;
}

/* A slow reader that makes progress is alive, although our ping waits behind what it reads and its
 * answer is long in coming. Small writes prove nothing: the kernel takes them for a dead host too. */
static void step_written(struct node *n, struct connection *c, const struct node_event *event,
	struct node_effects *out)
{
	size_t before = c->waiting;
	size_t gone = event->count < before ? event->count : before;

	c->waiting -= gone;
	n->waiting -= gone;
	if (gone != 0)
		c->taken_ms = event->now_ms;
	if (c->waiting > NODE_OUTPUT_LOW)
		c->heard_ms = event->now_ms;
	else if (before > NODE_OUTPUT_LOW && c->up)
		node_effects_take(out, NODE_WRITABLE, c->id)->own = c->own;
}

static int step_send(struct node *n, struct connection *c, const struct node_event *event,
	struct node_effects *out)
{
	struct errmsg msg = {""};
	int rc = c->up ? session_send(c->session, event->message, &msg) : TK_ENOENT;

	c->used = true;

	if (rc == TK_ENOENT || rc == TK_EINVAL || rc == TK_ELIMIT)
		return rc;
	if (rc == TK_OK)
		rc = connection_flush(n, c, out, &msg);
	if (rc == TK_OK)
		places_heard(n, c, event->message->type);
	else
		connection_fail(n, c, out, msg.text);
	return rc == TK_ENOMEM ? rc : TK_OK;
}

static int tick_connection(struct node *n, struct connection *c, const struct node_event *event,
	struct node_effects *out)
{
	uint64_t silent_ms = elapsed(event->now_ms, c->heard_ms);
	struct errmsg msg = {""};
	int rc = TK_OK;

	if (c->broken)
		rc = errmsg_set(&msg, TK_EPROTO, "out of memory");
	else if (!c->up && elapsed(event->now_ms, c->since_ms) >= NODE_HANDSHAKE_MS)
		rc = errmsg_set(&msg, TK_EPROTO, "the handshake took longer than %u s",
			NODE_HANDSHAKE_MS / 1000);
	else if (c->up && silent_ms >= pulse_silence_ms(&c->pulse))
		rc = errmsg_set(&msg, TK_EPROTO, "nothing was heard for %u s",
			(unsigned)(silent_ms / 1000));
	else if (c->up && c->waiting != 0 && elapsed(event->now_ms, c->taken_ms) >= NODE_UNREAD_MS)
		rc = errmsg_set(&msg, TK_EPROTO, "the other side has read nothing for %u s",
			NODE_UNREAD_MS / 1000);
	else if (c->up && pulse_due(&c->pulse, silent_ms, elapsed(event->now_ms, c->asked_ms)))
		rc = connection_ping(n, c, &msg);
	if (rc == TK_OK && c->up)
		rc = connection_flush(n, c, out, &msg);
	if (rc == TK_OK && c->up) {
		places_tick(n, c);
		renewal_tick(n, c, out);
		return TK_OK;
	}
	if (rc != TK_OK)
		connection_fail(n, c, out, msg.text);
	return rc == TK_ENOMEM ? rc : TK_OK;
}

static int step_tick(struct node *n, const struct node_event *event, struct node_effects *out)
{
	struct connection *next;
	char sum[TEXT_MAX];
	int worst = TK_OK;

	gossip_tick(n, out);
	if (node_effects_reserve(out, 1) == TK_OK &&
		admission_sum(&n->admission, event->now_ms, sum))
		node_effects_take_text(out, NODE_LOG, 0, "%s", sum);
	for (struct connection *c = n->table.first; c != NULL; c = next) {
		int rc = node_effects_reserve(out, EFFECTS_TO_END);

		next = c->next;
		if (rc == TK_OK)
			rc = tick_connection(n, c, event, out);
		if (rc != TK_OK)
			worst = rc;
	}
	return worst;
}

/* The events that concern one connection which we know. */
static int step_connection(struct node *n, struct connection *c, const struct node_event *event,
	struct node_effects *out)
{
	if (c->broken || node_effects_reserve(out, EFFECTS_TO_END) != TK_OK) {
		c->broken = true;
		return TK_ENOMEM;
	}
	switch (event->type) {
	case NODE_BYTES:
		return step_bytes(n, c, event, out);
	case NODE_WRITTEN:
		step_written(n, c, event, out);
		return TK_OK;
	case NODE_LOST:
		connection_forget(
			n, c, out, event->text != NULL ? event->text : "the connection was lost");
		return TK_OK;
	case NODE_SEND:
		return step_send(n, c, event, out);
	default:
		REQUIRE(event->type == NODE_DROP);
		connection_goodbye(n, c, out, event->reason,
			event->text != NULL ? event->text : "closed on request");
		return TK_OK;
	}
}

static int node_dispatch(struct node *n, const struct node_event *event, struct node_effects *out)
{
	struct connection *c;

	switch (event->type) {
	case NODE_START:
		return gossip_start(n, event);
	case NODE_WAKE:
	case NODE_ADVERTISE:
	case NODE_PUBLISH:
	case NODE_UNREACHED:
	case NODE_LEAVE:
		return gossip_event(n, event);
	case NODE_CONNECTED:
	case NODE_ACCEPTED:
		return step_begin(n, event, out);
	case NODE_TICK:
		return step_tick(n, event, out);
	default:
		c = connections_find(&n->table, event->conn);
		if (c != NULL)
			return step_connection(n, c, event, out);
		return event->type == NODE_SEND || event->type == NODE_DROP ? TK_ENOENT : TK_OK;
	}
}

int node_step(struct node *n, const struct node_event *event, struct node_effects *out)
{
	int rc;

	n->now_ms = event->now_ms;
	n->now_s = event->now_s;
	rc = node_dispatch(n, event, out);
	gossip_flush(n, out);
	return rc;
}
