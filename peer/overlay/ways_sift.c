/* ways.h: what becomes of each effect of the node. Each function gives true when it goes on to the application,
 * by the application's number. */
#include "peer/overlay/ways_state.h"

static void direct_up(struct ways *w, conn_id conn, const struct public_key *key, enum role role)
{
	struct node_transport t;

	if (node_transport(w->node, conn, &t) &&
		reach_up(w->reach, w->now_ms, conn, key, role,
			t.remote.family != 0 ? &t.remote : NULL, t.dialled, t.from_port) != TK_OK)
		ways_log(w, "out of memory: session %llu will not help us to be reached",
			(unsigned long long)conn);
}

/* A relayed session came in. */
static bool incoming_up(struct ways *w, struct node_effect *e)
{
	struct way *way = way_new(w);

	if (way == NULL) {
		ways_end(w, e->conn, GOODBYE_OVERLOAD, "no place for more relayed sessions");
		return false; /* DOWN is on its way and finds no way either */
	}
	way->peer = e->key;
	way->now = e->conn;
	way->relayed = way->open = true;
	ways_tell(w, way, "relayed, at its wish");
	punch_begin(&way->punch, false, w->now_ms);
	e->conn = way->id;
	return true;
}

static bool sift_up(struct ways *w, struct node_effect *e)
{
	struct attempt *a;
	struct way *way = attempt_by_conn(w, e->conn, &a);
	enum attempt_kind kind = way != NULL ? a->kind : ATTEMPT_FREE;

	if ((e->conn & VIRTUAL) == 0 && kind != ATTEMPT_PUNCH)
		direct_up(w, e->conn, &e->key, e->role);
	if (way == NULL && (e->conn & VIRTUAL) != 0)
		return incoming_up(w, e);
	if (way == NULL)
		return !e->own; /* given up while its UP was on its way */
	if (!attempt_up(w, way, a))
		return kind == ATTEMPT_CARRIER; /* the application hears of sessions with relays */
	e->conn = way->id;
	return true;
}

static bool sift_down(struct ways *w, struct node_effect *e)
{
	struct way *way = way_by_conn(w, e->conn);
	struct attempt *a;

	ways_carrier_down(w, e->conn);
	reach_down(w->reach, e->conn);
	relay_down(w->relay, w->now_ms, e->conn);
	if (way == NULL) {
		way = attempt_by_conn(w, e->conn, &a);
		if (way != NULL)
			attempt_failed(w, way, a);
		return way == NULL && !e->own;
	}
	if (way_survives(w, way, e->conn))
		return false;
	attempts_cancel(w, way, 0);
	if (way->now != e->conn && way->now != 0)
		ways_end(w, way->now, GOODBYE_SHUTDOWN, "its direct session is over");
	if (way->next != e->conn && way->next != 0)
		ways_end(w, way->next, GOODBYE_SHUTDOWN, "its relayed session is over");
	e->conn = way->id;
	way_free(w, way);
	return true;
}

static bool sift_close(struct ways *w, struct node_effect *e)
{
	struct attempt *a;
	struct way *way = attempt_by_conn(w, e->conn, &a);

	if (way != NULL)
		attempt_failed(w, way, a);
	return !ways_virtual_close(w, e->conn);
}

static bool sift_message(struct ways *w, struct node_effect *e)
{
	struct way *way;

	switch (e->message.type) {
	case MESSAGE_DIAL_BACK:
	case MESSAGE_DIALLED_BACK:
	case MESSAGE_RELAY_RESERVED:
		reach_message(w->reach, w->now_ms, e->conn, &e->message);
		return false;
	case MESSAGE_RELAY_RESERVE:
	case MESSAGE_RELAY_OPEN:
	case MESSAGE_RELAY_OPENED:
	case MESSAGE_RELAY_INCOMING:
	case MESSAGE_RELAY_DATA:
	case MESSAGE_RELAY_CLOSE:
	case MESSAGE_RELAY_CREDIT:
		ways_relay_message(w, e->conn, &e->message);
		return false;
	case MESSAGE_PUNCH:
	case MESSAGE_PUNCH_GO:
	case MESSAGE_MOVED:
		way_message(w, e->conn, &e->message);
		return false;
	default:
		break;
	}
	way = way_by_conn(w, e->conn);
	if (way == NULL)
		return !e->own;
	if (!way_may_hear(way, e->conn)) {
		ways_accuse(w, e->conn, "it speaks on a session out of turn");
		return false;
	}
	e->conn = way->id;
	return true;
}

static bool sift_writable(struct ways *w, struct node_effect *e)
{
	struct way *way = way_by_conn(w, e->conn);

	relay_writable(w->relay, e->conn);
	if (way != NULL)
		e->conn = way->id;
	return way != NULL || !e->own;
}

bool way_sift(struct ways *w, struct node_effect *e)
{
	switch (e->type) {
	case NODE_WRITE:
		return !ways_virtual_write(w, e->conn, bytes_span(&e->bytes));
	case NODE_CLOSE:
		return sift_close(w, e);
	case NODE_UP:
		return sift_up(w, e);
	case NODE_DOWN:
		return sift_down(w, e);
	case NODE_MESSAGE:
		return sift_message(w, e);
	case NODE_WRITABLE:
		return sift_writable(w, e);
	case NODE_OBSERVED:
		reach_observed(w->reach, w->now_ms, e->conn, &e->at);
		return !e->own;
	case NODE_DIAL:
		way_seek(w, &e->record);
		return false;
	case NODE_RENEW: /* a way ends with its session and is looked for anew */
		return (e->conn & VIRTUAL) == 0 && way_by_conn(w, e->conn) == NULL;
	default:
		return true;
	}
}
