/* ways.h: how the cores inside it act on sessions, on the log and on our record. */
#include <stdio.h>

#include "peer/overlay/ways_state.h"

int ways_node_event(struct ways *w, struct node_event *event)
{
	event->now_ms = w->now_ms;
	event->now_s = w->now_s;
	return node_step(w->node, event, &w->inner);
}

/* What fails here ends the session, and that is seen. */
void ways_say(struct ways *w, conn_id conn, const struct message *m)
{
	struct node_event event = {.type = NODE_SEND, .conn = conn, .message = m};

	(void)!ways_node_event(w, &event);
}

void ways_end(struct ways *w, conn_id conn, uint32_t reason, const char *why)
{
	struct node_event event = {.type = NODE_DROP, .conn = conn, .reason = reason, .text = why};

	(void)!ways_node_event(w, &event);
}

void ways_log(struct ways *w, const char *format, ...)
{
	struct node_effect *e = node_effects_push(&w->inner, NODE_LOG, 0);
	va_list args;

	if (e == NULL)
		return;
	va_start(args, format);
	vsnprintf(e->text, sizeof(e->text), format, args);
	va_end(args);
}

void ways_tell(struct ways *w, const struct way *way, const char *how)
{
	char hex[17];

	hex_encode(hex, way->peer.b, 8);
	ways_log(w, "peer %s: %s", hex, how);
}

void ways_accuse(struct ways *w, conn_id conn, const char *why)
{
	ways_log(w, "session %llu closed: %s", (unsigned long long)conn, why);
	ways_end(w, conn, GOODBYE_PROTOCOL, why);
}

static void port_send(void *context, conn_id conn, const struct message *m)
{
	ways_say(context, conn, m);
}

static size_t port_waiting(void *context, conn_id conn)
{
	return node_waiting(((const struct ways *)context)->node, conn);
}

static void port_accuse(void *context, conn_id conn, const char *why)
{
	ways_accuse(context, conn, why);
}

static void port_log(void *context, const char *line)
{
	ways_log(context, "%s", line);
}

static void port_probe(void *context, uint64_t token, const struct endpoint *at)
{
	struct ways *w = context;
	struct node_effect *e = node_effects_push(&w->inner, NODE_PROBE, 0);

	if (e == NULL) {
		reach_probed(w->reach, token, "out of memory");
		return;
	}
	e->token = token;
	e->at = *at;
}

/* The node signs it and tells others. */
void ways_advertise(struct ways *w)
{
	struct node_event event = {.type = NODE_ADVERTISE, .record = reach_record(w->reach)};

	w->record_unsaid = ways_node_event(w, &event) != TK_OK;
}

static void log_record(struct ways *w, const struct record *record)
{
	char at[ENDPOINT_TEXT_MAX] = "";

	if ((record->flags & RECORD_PUBLIC) != 0) {
		endpoint_text(at, &record->endpoints[0]);
		ways_log(w, "strangers can reach us at %s", at);
	} else if (record->relay_count != 0) {
		ways_log(w, "strangers reach us through %u relay%s", record->relay_count,
			record->relay_count == 1 ? "" : "s");
	}
}

static void port_record(void *context, const struct record *record)
{
	struct ways *w = context;
	bool is_public = (record->flags & RECORD_PUBLIC) != 0;

	if (w->config.id->role != ROLE_COORDINATOR) {
		relay_serve(w->relay, w->config.relay.serve && is_public);
		log_record(w, record);
	}
	ways_advertise(w);
}

void ways_ports(struct ways *w)
{
	w->way_port = (struct way_port){w, port_send, port_waiting, port_accuse, port_log};
	w->reach_port = (struct reach_port){&w->way_port, port_probe, port_record, w};
}
