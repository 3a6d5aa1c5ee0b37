/* ways.h: virtual connections over circuits. A relay's messages become transport events of the node; what the
 * node writes to a virtual connection becomes RELAY_DATA. */
#include "peer/overlay/ways_state.h"

/* A transport event of a virtual connection. */
static int virtual_event(struct ways *w, conn_id conn, struct node_event *event)
{
	int rc;

	event->conn = conn;
	event->own = true;
	if (event->type == NODE_CONNECTED || event->type == NODE_ACCEPTED)
		ways_secret(w, event->random);
	rc = ways_node_event(w, event);
	secret_wipe(event->random, sizeof(event->random));
	return rc;
}

/* The transport is gone; an attempt through it has failed. */
static void virtual_lost(struct ways *w, conn_id conn, const char *why)
{
	struct node_event event = {.type = NODE_LOST, .text = why};
	struct attempt *a;
	struct way *way;

	(void)!virtual_event(w, conn, &event);
	way = attempt_by_conn(w, conn, &a);
	if (way != NULL)
		attempt_failed(w, way, a);
}

static void circuit_lost(struct ways *w, struct circuit *c, bool tell, const char *why)
{
	conn_id conn = c->conn;

	circuits_end(w->circuits, c, tell);
	virtual_lost(w, conn, why);
}

static void on_incoming(
	struct ways *w, const struct reach_peer *relay, const struct message_relay_incoming *m)
{
	struct message no = {.type = MESSAGE_RELAY_OPENED,
		.relay_opened = {.circuit = m->circuit, .status = RELAY_REFUSED}};
	struct node_event event = {.type = NODE_ACCEPTED, .carrier = relay->conn};
	conn_id conn = ways_number(w);
	struct circuit *c;
	int rc;

	if (!reach_has_place(w->reach, relay->conn)) {
		ways_say(w, relay->conn, &no); /* we have just given it back */
		return;
	}
	rc = circuits_accept(w->circuits, conn, relay->conn, relay->dialled, m, w->now_ms);
	if (rc == TK_EPROTO)
		ways_accuse(w, relay->conn, "its circuit has a number that is not its to give");
	if (rc != TK_OK || virtual_event(w, conn, &event) == TK_OK)
		return;
	c = circuits_find(w->circuits, conn);
	if (c != NULL)
		circuits_end(w->circuits, c, true);
}

static void on_opened(struct ways *w, struct circuit *c, const struct message_relay_opened *m)
{
	static const char *const why[RELAY_STATUS_LAST + 1] = {
		[RELAY_FULL] = "the relay has no place",
		[RELAY_NO_PEER] = "the relay does not know the peer",
		[RELAY_REFUSED] = "the relay refused",
		[RELAY_QUOTA] = "the relay's quota is used up",
		[RELAY_GONE] = "the peer refused, or went away",
	};
	struct node_event event = {.type = NODE_CONNECTED, .carrier = c->carrier};
	struct public_key peer = c->peer;

	event.expect = &peer;
	if (m->status != RELAY_OK) {
		circuit_lost(w, c, false, why[m->status]);
		return;
	}
	c->open = true;
	if (virtual_event(w, c->conn, &event) != TK_OK)
		circuit_lost(w, c, true, "out of memory");
}

static void on_credit(struct ways *w, struct circuit *c, const struct message_relay_credit *m)
{
	struct node_event event = {.type = NODE_WRITTEN, .count = m->bytes};
	conn_id carrier = c->carrier, conn = c->conn;

	if (circuits_credit(w->circuits, c, m->bytes) != TK_OK)
		ways_accuse(w, carrier, "it gives more credit than there can be");
	else
		(void)!virtual_event(w, conn, &event);
}

static uint32_t number_of(const struct message *m)
{
	switch (m->type) {
	case MESSAGE_RELAY_OPENED:
		return m->relay_opened.circuit;
	case MESSAGE_RELAY_DATA:
		return m->relay_data.circuit;
	case MESSAGE_RELAY_CREDIT:
		return m->relay_credit.circuit;
	default:
		return m->relay_close.circuit;
	}
}

/* OPENED, DATA, CLOSE and CREDIT, from the relay that carries us. */
static void on_end(struct ways *w, const struct reach_peer *relay, const struct message *m)
{
	struct circuit *c = circuits_numbered(w->circuits, relay->conn, number_of(m));
	struct node_event event = {.type = NODE_BYTES, .bytes = m->relay_data.bytes};

	if (c == NULL) {
		if (!circuits_stray(w->circuits, relay->conn, m))
			ways_accuse(w, relay->conn, "it speaks of a circuit that does not exist");
	} else if (m->type == MESSAGE_RELAY_CLOSE) {
		circuit_lost(w, c, false,
			m->relay_close.status == RELAY_QUOTA ? "the relay's quota is used up"
							     : "the relay closed the circuit");
	} else if ((m->type == MESSAGE_RELAY_OPENED) == c->open) {
		ways_accuse(w, relay->conn, "its circuit is not open, or opens twice");
	} else if (m->type == MESSAGE_RELAY_OPENED) {
		on_opened(w, c, &m->relay_opened);
	} else if (m->type == MESSAGE_RELAY_CREDIT) {
		on_credit(w, c, &m->relay_credit);
	} else {
		(void)!virtual_event(w, c->conn, &event);
	}
}

/* Circuits lead over direct sessions only. */
static void refuse(struct ways *w, conn_id conn, const struct message *m)
{
	struct message no = {
		.type = MESSAGE_RELAY_RESERVED, .relay_reserved = {.status = RELAY_REFUSED}};

	if (m->type == MESSAGE_RELAY_OPEN) {
		no.type = MESSAGE_RELAY_OPENED;
		no.relay_opened =
			(struct message_relay_opened){m->relay_open.circuit, RELAY_REFUSED};
	} else if (m->type != MESSAGE_RELAY_RESERVE) {
		ways_accuse(w, conn, "it speaks of circuits on a session that can carry none");
		return;
	}
	ways_say(w, conn, &no);
}

void ways_relay_message(struct ways *w, conn_id conn, const struct message *m)
{
	struct reach_peer p;

	if (!reach_peer(w->reach, conn, &p))
		refuse(w, conn, m);
	else if (m->type == MESSAGE_RELAY_INCOMING)
		on_incoming(w, &p, &m->relay_incoming);
	else if (m->type == MESSAGE_RELAY_RESERVE || m->type == MESSAGE_RELAY_OPEN ||
		 (m->type != MESSAGE_RELAY_CREDIT && relay_serves_number(number_of(m), p.dialled)))
		relay_message(w->relay, w->now_ms, conn, p.dialled, &p.key, p.prefix, m);
	else
		on_end(w, &p, m);
}

void ways_carrier_down(struct ways *w, conn_id conn)
{
	struct circuit *c;

	while ((c = circuits_carried(w->circuits, conn)) != NULL)
		circuit_lost(w, c, false, "the session with the relay is over");
}

/* A relay that does not answer an OPEN. */
void ways_circuits_tick(struct ways *w)
{
	for (size_t i = circuits_count(w->circuits); i-- > 0;) {
		struct circuit *c;

		if (i >= circuits_count(w->circuits))
			continue;
		c = circuits_at(w->circuits, i);
		if (!c->open && w->now_ms - c->since_ms >= RELAY_OPENING_MS)
			circuit_lost(w, c, true, "the relay does not answer");
	}
}

bool ways_virtual_write(struct ways *w, conn_id conn, struct span bytes)
{
	struct circuit *c = (conn & VIRTUAL) != 0 ? circuits_find(w->circuits, conn) : NULL;

	if (c != NULL && circuits_write(w->circuits, c, bytes) != TK_OK)
		circuit_lost(w, c, true, "out of memory");
	return (conn & VIRTUAL) != 0;
}

bool ways_virtual_close(struct ways *w, conn_id conn)
{
	struct circuit *c = (conn & VIRTUAL) != 0 ? circuits_find(w->circuits, conn) : NULL;

	if (c != NULL)
		circuits_end(w->circuits, c, true);
	return (conn & VIRTUAL) != 0;
}
