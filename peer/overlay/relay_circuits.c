/* See relay.h. A relay's circuits one by one: their places and who may have one, their credit, their ends. */
#include "peer/overlay/relay_state.h"

#define NUMBER_STEP   4u /* numbers that one side names differ in the bits above */
#define STRAYS_AT_END 8u /* messages without data that may still come for a circuit that ended */

void relay_say(const struct relay *r, conn_id conn, const struct message *m)
{
	r->port->send(r->port->context, conn, m);
}

struct relay_circuit *relay_circuit_find(
	const struct relay *r, conn_id conn, uint32_t number, size_t *side)
{
	for (uint32_t i = 0; i < r->config.circuits; i++) {
		struct relay_circuit *c = &r->circuits[i];

		for (*side = 0; *side < SIDES; (*side)++) {
			const struct side *s = &c->sides[*side];

			if (s->asker != NULL && s->asker->conn == conn && s->number == number)
				return c;
		}
	}
	return NULL;
}

struct relay_circuit *relay_circuit_place(struct relay *r)
{
	for (uint32_t i = 0; i < r->config.circuits; i++) {
		if (r->circuits[i].sides[0].asker == NULL)
			return &r->circuits[i];
	}
	return NULL;
}

/* Tells one end that the circuit is over. An opener who still waits for OPENED gets that. */
static void side_close(
	const struct relay *r, const struct relay_circuit *c, size_t side, enum relay_status status)
{
	const struct side *s = &c->sides[side];
	struct message m = {.type = MESSAGE_RELAY_CLOSE,
		.relay_close = {.circuit = s->number, .status = status}};

	if (side == 0 && !c->open) {
		m.type = MESSAGE_RELAY_OPENED;
		m.relay_opened = (struct message_relay_opened){s->number, status};
	}
	relay_say(r, s->asker->conn, &m);
}

/* Forgets the circuit. What its ends have under way may still come and is no offence. */
static void circuit_forget(struct relay *r, struct relay_circuit *c)
{
	for (size_t i = 0; i < SIDES; i++) {
		c->sides[i].asker->circuits--;
		c->sides[i].asker->stray += c->sides[i].credit + STRAYS_AT_END;
	}
	*c = (struct relay_circuit){0};
	r->stats.circuits--;
}

void relay_circuit_close(struct relay *r, struct relay_circuit *c, enum relay_status status)
{
	side_close(r, c, 0, status);
	side_close(r, c, 1, status);
	circuit_forget(r, c);
}

void relay_circuit_close_other(
	struct relay *r, struct relay_circuit *c, size_t side, enum relay_status status)
{
	side_close(r, c, 1 - side, status);
	circuit_forget(r, c);
}

void relay_credit(const struct relay *r, struct side *s, uint32_t least)
{
	struct message m = {.type = MESSAGE_RELAY_CREDIT,
		.relay_credit = {.circuit = s->number, .bytes = s->owed}};

	if (s->owed < least || s->owed == 0)
		return;
	s->credit += s->owed;
	s->owed = 0;
	relay_say(r, s->asker->conn, &m);
}

void relay_circuit_begin(struct relay *r, struct relay_circuit *c, struct asker *from,
	uint32_t number, struct asker *to, uint64_t now_ms)
{
	struct message m = {.type = MESSAGE_RELAY_INCOMING, .relay_incoming = {.from = from->key}};

	r->number++;
	m.relay_incoming.circuit =
		(r->number * NUMBER_STEP) | NUMBER_INCOMING | (to->dialled ? 0 : NUMBER_ACCEPTED);
	*c = (struct relay_circuit){.sides = {{from, number, RELAY_WINDOW, 0},
					    {to, m.relay_incoming.circuit, RELAY_WINDOW, 0}},
		.since_ms = now_ms,
		.used_ms = now_ms};
	from->circuits++;
	to->circuits++;
	r->stats.circuits++;
	relay_say(r, to->conn, &m);
}

/* What counts against a's share of its prefix: all that it has, and of each other session there no more than half
 * of the share, so that none shuts its neighbours out. A circuit between two of one prefix counts for both. */
static uint32_t share_used(const struct relay *r, const struct asker *a, uint32_t half)
{
	uint32_t used = a->circuits;

	for (const struct asker *b = r->askers; b != NULL; b = b->next) {
		if (b != a && b->prefix == a->prefix)
			used += b->circuits < half ? b->circuits : half;
	}
	return used;
}

/* Shares are kept only where little is left: then whoever comes from elsewhere still finds room. */
static bool asker_has_room(const struct relay *r, const struct asker *a)
{
	uint32_t share = (r->config.circuits + RELAY_PREFIX_SHARE - 1) / RELAY_PREFIX_SHARE;
	uint32_t left = r->config.circuits - r->stats.circuits;

	if (left == 0 || a->circuits >= RELAY_CIRCUITS_PER_PEER)
		return false;
	return left >= share || a->prefix == 0 || share_used(r, a, (share + 1) / 2) < share;
}

bool relay_has_room(const struct relay *r, const struct asker *from, const struct asker *to)
{
	return asker_has_room(r, from) && asker_has_room(r, to);
}

void relay_idle_end(struct relay *r, uint64_t now_ms)
{
	for (uint32_t i = 0; i < r->config.circuits; i++) {
		struct relay_circuit *c = &r->circuits[i];

		if (c->sides[0].asker != NULL && now_ms - c->used_ms >= RELAY_IDLE_MS)
			relay_circuit_close(r, c, RELAY_QUOTA);
	}
}
