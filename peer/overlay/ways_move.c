/* ways.h: punches, and the move from a relayed session to the direct one that a punch opened.
 *
 * Who leads the punch chooses among the direct sessions that came up: HERE on it. Then each side, by itself:
 * END is its last message on the relayed session; what the application sends after it is held back until
 * the other side's READ on the direct one, which says that END was read. So nothing overtakes, and nothing is
 * lost as long as the relayed session lives until both ENDs are read; if it dies before, the way is over,
 * as any session may be. The memory held is the application's to bound: it counts as waiting. */
#include <string.h>

#include "peer/overlay/ways_state.h"

#define HELD_HEADER 4u

static void say_moved(struct ways *w, conn_id conn, enum moved_step step)
{
	struct message m = {.type = MESSAGE_MOVED, .moved = {.step = step}};

	ways_say(w, conn, &m);
}

/* Punching */

static void say_punch(struct ways *w, struct way *way)
{
	struct message m = {.type = MESSAGE_PUNCH, .punch = {.nonce = way->punch.nonce}};

	m.punch.count = (uint32_t)reach_punch_addresses(w->reach, m.punch.at);
	if (m.punch.count != 0) /* without an address there is nothing to try */
		ways_say(w, way->now, &m);
}

void way_punch_act(struct ways *w, struct way *way, enum punch_act act)
{
	struct message go = {.type = MESSAGE_PUNCH_GO, .punch_go = {.nonce = way->punch.nonce}};

	switch (act) {
	case PUNCH_NOTHING:
		return;
	case PUNCH_ASK:
		attempts_cancel(w, way, 0);
		say_punch(w, way);
		return;
	case PUNCH_START:
		ways_say(w, way->now, &go);
		return;
	case PUNCH_DIAL:
		punch_dial(w, way);
		return;
	case PUNCH_CANCEL:
		attempts_cancel(w, way, 0);
		if (way->punch.state == PUNCH_OVER)
			ways_tell(w, way, "stays relayed: no direct way was found");
		return;
	case PUNCH_BROKEN:
		ways_accuse(w, way->now, "its hole punching does not follow the rules");
	}
}

/* Moving */

/* From here on, next is it. */
static void way_choose(struct ways *w, struct way *way, conn_id conn)
{
	way->next = conn;
	punch_done(&way->punch);
	for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
		if (way->attempts[i].conn == conn)
			way->attempts[i] = (struct attempt){0};
	}
	attempts_cancel(w, way, 0);
	say_moved(w, way->now, MOVED_END);
	way->sent_end = true;
}

void way_direct_up(struct ways *w, struct way *way, conn_id conn)
{
	if (!way->punch.leads)
		return; /* HERE says whether this one is it */
	say_moved(w, conn, MOVED_HERE);
	way_choose(w, way, conn);
}

/* Sends what was held back. */
static void release_held(struct ways *w, struct way *way)
{
	size_t at = 0;

	while (at < way->held.len) {
		size_t n = load_le32(way->held.data + at);
		struct message m;

		at += HELD_HEADER;
		if (message_decode(&m, span_of(way->held.data + at, n), NULL) == TK_OK)
			ways_say(w, way->next, &m);
		at += n;
	}
	bytes_close(&way->held);
	(void)!node_effects_push(&w->inner, NODE_WRITABLE, way->next);
}

/* Both have read all that the relayed session brought, and know it. */
static void way_finish(struct ways *w, struct way *way)
{
	conn_id relayed = way->now;

	if (!way->got_end || !way->may_send)
		return;
	way->now = way->next;
	way->next = 0;
	way->relayed = false;
	way->sent_end = way->got_end = way->may_send = false;
	w->punched++;
	ways_tell(w, way, "punched: a direct session replaces the relayed one");
	if (way->punch.leads)
		ways_end(w, relayed, GOODBYE_REPLACED, "a direct session replaces it");
}

static void on_moved(struct ways *w, struct way *way, conn_id conn, enum moved_step step)
{
	bool on_relayed = conn == way->now && way->relayed;

	if (step == MOVED_END && on_relayed && !way->got_end) {
		way->got_end = true;
		if (way->next != 0)
			say_moved(w, way->next, MOVED_READ);
	} else if (step == MOVED_READ && conn == way->next && way->sent_end && !way->may_send) {
		way->may_send = true;
		release_held(w, way);
	} else {
		ways_accuse(w, conn, "it moves a session out of turn");
		return;
	}
	way_finish(w, way);
}

/* HERE, on a direct session that a punch opened. */
static void on_here(struct ways *w, struct way *way, conn_id conn)
{
	if (way->punch.leads || way->next != 0 || !way->relayed) {
		ways_accuse(w, conn, "it moves a session out of turn");
		return;
	}
	way_choose(w, way, conn);
	if (way->got_end)
		say_moved(w, conn, MOVED_READ);
}

void way_message(struct ways *w, conn_id conn, const struct message *m)
{
	struct way *way = way_by_conn(w, conn);
	struct attempt *a;
	bool open = way != NULL && way->open;

	if (way == NULL && m->type == MESSAGE_MOVED && m->moved.step == MOVED_HERE &&
		(way = attempt_by_conn(w, conn, &a)) != NULL && a->kind == ATTEMPT_PUNCH)
		on_here(w, way, conn);
	else if (open && m->type == MESSAGE_MOVED)
		on_moved(w, way, conn, (enum moved_step)m->moved.step);
	else if (!open || conn != way->now || !way->relayed)
		ways_accuse(w, conn, "it punches where there is no relayed session");
	else if (!w->config.punch)
		return; /* no answer: its try runs out */
	else if (m->type == MESSAGE_PUNCH)
		way_punch_act(w, way, punch_on_punch(&way->punch, w->now_ms, &m->punch));
	else
		way_punch_act(w, way, punch_on_go(&way->punch, w->now_ms, &m->punch_go));
}

/* The relayed session may end once both ENDs are through; the leader ends it then. */
bool way_survives(struct ways *w, struct way *way, conn_id conn)
{
	(void)w;
	return conn == way->now && way->next != 0 && way->got_end && way->sent_end;
}

bool way_may_hear(const struct way *way, conn_id conn)
{
	return way->open && (conn == way->now ? !way->got_end : way->got_end);
}

/* Keeps a message for later; one that the node would refuse is refused now. */
static int way_hold(struct way *way, const struct message *m)
{
	size_t before = way->held.len;
	uint8_t header[HELD_HEADER] = {0};
	struct message check;
	int rc = bytes_append(&way->held, header, sizeof(header));

	if (rc == TK_OK)
		rc = message_encode(m, &way->held);
	if (rc == TK_OK) {
		size_t n = way->held.len - before - HELD_HEADER;

		store_le32(way->held.data + before, (uint32_t)n);
		rc = message_decode(
			&check, span_of(way->held.data + before + HELD_HEADER, n), NULL);
		rc = rc == TK_EPROTO ? TK_EINVAL : rc;
	}
	if (rc != TK_OK)
		way->held.len = before;
	return rc;
}

int way_send(struct ways *w, struct way *way, const struct message *m)
{
	struct node_event event = {.type = NODE_SEND, .conn = way->now, .message = m};
	int rc;

	if (!way->open)
		return TK_ENOENT;
	if (way->may_send)
		event.conn = way->next;
	if (!way->sent_end || way->may_send)
		return ways_node_event(w, &event);
	rc = way->held.len <= NODE_OUTPUT_MAX ? way_hold(way, m) : TK_ENOMEM;
	if (rc == TK_ENOMEM) {
		ways_log(w, "a session closed: more waits for its move than may wait");
		ways_end(w, way->next, GOODBYE_OVERLOAD, "too much waits");
	}
	return rc;
}
