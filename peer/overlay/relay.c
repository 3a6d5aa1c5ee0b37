/* See relay.h. Tables of fixed size per relay; one entry for each session that asked anything, freed with it. */
#include "peer/overlay/relay.h"

#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define CREDIT_STEP	(RELAY_WINDOW / 4) /* given back in pieces of at least this */
#define NUMBER_STEP	4u /* numbers that one side names differ in the bits above */
#define NUMBER_INCOMING 1u
#define NUMBER_ACCEPTED 2u
#define STRAYS_AT_END	8u /* messages without data that may still come for a circuit that ended */
#define SIDES		2u /* of a circuit: who opened it, its target */

/* A session that asked something. */
struct asker {
	conn_id conn;
	struct public_key key;
	uint64_t prefix;
	bool dialled;
	uint64_t reserved_ms; /* until then; 0: no reservation */
	uint32_t tokens;      /* questions that may be asked now */
	uint32_t refused;     /* beyond the tokens, in a row */
	uint64_t token_ms;    /* when the last token came */
	uint64_t stray;	      /* bytes that may still come for circuits that ended here */
	uint32_t circuits;    /* as either side */
	struct asker *next;
};

struct side {
	struct asker *asker; /* NULL: this place is free */
	uint32_t number;
	uint32_t credit; /* bytes that may still come from here */
	uint32_t owed;	 /* passed on, and not given back as credit yet */
};

struct relay_circuit {
	struct side sides[SIDES];
	bool open; /* the target has said OPENED */
	uint64_t since_ms;
	uint64_t used_ms; /* when it last carried something */
	uint64_t bytes;
};

struct relay {
	struct relay_config config;
	const struct way_port *port;
	struct asker *askers;
	struct relay_circuit *circuits; /* config.circuits of them */
	uint32_t number;		/* of the last INCOMING, in steps */
	struct relay_stats stats;
};

void relay_config_default(struct relay_config *out)
{
	*out = (struct relay_config){.serve = true,
		.reservations = RELAY_RESERVATIONS,
		.circuits = RELAY_CIRCUITS,
		.circuit_bytes = RELAY_CIRCUIT_BYTES,
		.circuit_ms = RELAY_CIRCUIT_MS};
}

struct relay *relay_new(const struct relay_config *config, const struct way_port *port)
{
	struct relay *r = mem_calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->config = *config;
	r->port = port;
	r->circuits = mem_calloc(config->circuits, sizeof(r->circuits[0]));
	if (r->circuits != NULL)
		return r;
	mem_free(r);
	return NULL;
}

void relay_free(struct relay *r)
{
	struct asker *next;

	if (r == NULL)
		return;
	for (struct asker *a = r->askers; a != NULL; a = next) {
		next = a->next;
		mem_free(a);
	}
	mem_free(r->circuits);
	mem_free(r);
}

void relay_serve(struct relay *r, bool serve)
{
	r->config.serve = serve;
}

bool relay_serves_number(uint32_t number, bool dialled)
{
	bool incoming = (number & NUMBER_INCOMING) != 0;
	bool named_by_us = ((number & NUMBER_ACCEPTED) != 0) != dialled;

	return incoming == named_by_us;
}

/* Askers */

static struct asker *asker_find(const struct relay *r, conn_id conn)
{
	struct asker *a = r->askers;

	while (a != NULL && a->conn != conn)
		a = a->next;
	return a;
}

static struct asker *asker_reserved(const struct relay *r, const struct public_key *key)
{
	struct asker *a = r->askers;

	while (a != NULL && !(a->reserved_ms != 0 && key_equal(&a->key, key)))
		a = a->next;
	return a;
}

static void say(const struct relay *r, conn_id conn, const struct message *m)
{
	r->port->send(r->port->context, conn, m);
}

static void accuse(const struct relay *r, conn_id conn, const char *why)
{
	r->port->accuse(r->port->context, conn, why);
}

/* Takes a token for a question. False: none is left, and the question is to be refused. */
static bool asker_may_ask(struct relay *r, struct asker *a, uint64_t now_ms)
{
	uint64_t came = (now_ms - a->token_ms) / RELAY_ASK_MS;

	a->token_ms += came * RELAY_ASK_MS;
	a->tokens =
		came >= RELAY_ASK_BURST - a->tokens ? RELAY_ASK_BURST : a->tokens + (uint32_t)came;
	if (a->tokens != 0) {
		a->tokens--;
		a->refused = 0;
		return true;
	}
	r->stats.refused++;
	if (++a->refused == RELAY_ASK_ABUSE)
		accuse(r, a->conn, "it asks the relay far too often");
	return false;
}

/* Circuits */

static struct relay_circuit *circuit_find(
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

static struct relay_circuit *circuit_place(struct relay *r)
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
	say(r, s->asker->conn, &m);
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

static void circuit_close(struct relay *r, struct relay_circuit *c, enum relay_status status)
{
	side_close(r, c, 0, status);
	side_close(r, c, 1, status);
	circuit_forget(r, c);
}

static void circuit_close_other(
	struct relay *r, struct relay_circuit *c, size_t side, enum relay_status status)
{
	side_close(r, c, 1 - side, status);
	circuit_forget(r, c);
}

/* Gives back as credit what the other end has taken, unless that is little. */
static void side_credit(const struct relay *r, struct side *s, uint32_t least)
{
	struct message m = {.type = MESSAGE_RELAY_CREDIT,
		.relay_credit = {.circuit = s->number, .bytes = s->owed}};

	if (s->owed < least || s->owed == 0)
		return;
	s->credit += s->owed;
	s->owed = 0;
	say(r, s->asker->conn, &m);
}

/* Questions */

static void answer_reserve(const struct relay *r, conn_id conn, enum relay_status status)
{
	struct message m = {.type = MESSAGE_RELAY_RESERVED, .relay_reserved = {.status = status}};

	if (status == RELAY_OK) {
		m.relay_reserved.lifetime_s = RELAY_RESERVATION_MS / 1000;
		m.relay_reserved.bytes = r->config.circuit_bytes;
	}
	say(r, conn, &m);
}

static void reservation_end(struct relay *r, struct asker *a)
{
	if (a->reserved_ms != 0)
		r->stats.reservations--;
	a->reserved_ms = 0;
}

static bool prefix_is_full(const struct relay *r, uint64_t prefix)
{
	size_t count = 0;

	for (const struct asker *a = r->askers; a != NULL && prefix != 0; a = a->next)
		count += a->reserved_ms != 0 && a->prefix == prefix;
	return count >= RELAY_RESERVATIONS_PER_PREFIX;
}

static void on_reserve(struct relay *r, struct asker *a, uint64_t now_ms, bool wanted)
{
	struct asker *older = asker_reserved(r, &a->key);

	if (!wanted) {
		reservation_end(r, a);
		return;
	}
	if (older != NULL && older != a)
		reservation_end(r, older); /* it is here now */
	if (a->reserved_ms == 0 &&
		(r->stats.reservations >= r->config.reservations || prefix_is_full(r, a->prefix))) {
		r->stats.refused++;
		answer_reserve(r, a->conn, RELAY_FULL);
		return;
	}
	if (a->reserved_ms == 0)
		r->stats.reservations++;
	a->reserved_ms = now_ms + RELAY_RESERVATION_MS;
	answer_reserve(r, a->conn, RELAY_OK);
}

static void refuse_open(struct relay *r, conn_id conn, uint32_t number, enum relay_status status)
{
	struct message m = {.type = MESSAGE_RELAY_OPENED,
		.relay_opened = {.circuit = number, .status = status}};

	r->stats.refused++;
	say(r, conn, &m);
}

static void circuit_begin(struct relay *r, struct relay_circuit *c, struct asker *from,
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
	say(r, to->conn, &m);
}

static uint32_t circuits_of(const struct relay *r, uint64_t prefix)
{
	uint32_t count = 0;

	for (uint32_t i = 0; prefix != 0 && i < r->config.circuits; i++) {
		const struct side *s = r->circuits[i].sides;

		count += s[0].asker != NULL &&
			 (s[0].asker->prefix == prefix || s[1].asker->prefix == prefix);
	}
	return count;
}

/* Is there a circuit's place for these two, by what each, its prefix and all have already? */
static bool has_room(const struct relay *r, const struct asker *from, const struct asker *to)
{
	uint32_t share = (r->config.circuits + RELAY_PREFIX_SHARE - 1) / RELAY_PREFIX_SHARE;

	return r->stats.circuits < r->config.circuits && from->circuits < RELAY_CIRCUITS_PER_PEER &&
	       to->circuits < RELAY_CIRCUITS_PER_PEER && circuits_of(r, from->prefix) < share &&
	       circuits_of(r, to->prefix) < share;
}

/* Somebody wants a place: those end that have carried nothing for long. A session that lives is never silent so
 * long. */
static void idle_end(struct relay *r, uint64_t now_ms)
{
	for (uint32_t i = 0; i < r->config.circuits; i++) {
		struct relay_circuit *c = &r->circuits[i];

		if (c->sides[0].asker != NULL && now_ms - c->used_ms >= RELAY_IDLE_MS)
			circuit_close(r, c, RELAY_QUOTA);
	}
}

static void on_open(
	struct relay *r, struct asker *a, uint64_t now_ms, const struct message_relay_open *m)
{
	struct asker *target = asker_reserved(r, &m->target);
	size_t side;

	if (target != NULL && !has_room(r, a, target))
		idle_end(r, now_ms);
	if (!relay_serves_number(m->circuit, a->dialled) ||
		circuit_find(r, a->conn, m->circuit, &side) != NULL)
		accuse(r, a->conn, "it opens a circuit by a number that is not its to give");
	else if (target == NULL || target == a)
		refuse_open(r, a->conn, m->circuit, RELAY_NO_PEER);
	else if (!has_room(r, a, target))
		refuse_open(r, a->conn, m->circuit, RELAY_FULL);
	else
		circuit_begin(r, circuit_place(r), a, m->circuit, target, now_ms);
}

/* A session that asks for the first time gets an entry. Without memory for it, it is refused. */
static struct asker *asker_of(struct relay *r, conn_id conn, bool dialled,
	const struct public_key *from, uint64_t prefix, uint64_t now_ms)
{
	struct asker *a = asker_find(r, conn);

	if (a != NULL)
		return a;
	a = mem_calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->conn = conn;
	a->key = *from;
	a->prefix = prefix;
	a->dialled = dialled;
	a->tokens = RELAY_ASK_BURST;
	a->token_ms = now_ms;
	a->next = r->askers;
	r->askers = a;
	return a;
}

/* Of circuits */

/* Something for a circuit that is not there: fine while it may have crossed our CLOSE. */
static void on_stray(struct relay *r, conn_id conn, size_t cost)
{
	struct asker *a = asker_find(r, conn);

	if (a != NULL && a->stray >= cost)
		a->stray -= cost;
	else
		accuse(r, conn, "it speaks of a circuit that does not exist");
}

static void on_data(struct relay *r, struct relay_circuit *c, size_t side, uint64_t now_ms,
	const struct message_relay_data *m)
{
	struct side *from = &c->sides[side];
	const struct side *to = &c->sides[1 - side];
	struct message on = {.type = MESSAGE_RELAY_DATA, .relay_data = {to->number, m->bytes}};
	conn_id offender = from->asker->conn;
	uint32_t n = (uint32_t)m->bytes.len;

	if (!c->open || n > from->credit) {
		circuit_close_other(r, c, side, RELAY_GONE);
		accuse(r, offender, "it sends more on a circuit than it has credit for");
		return;
	}
	from->credit -= n;
	from->owed += n;
	c->bytes += n;
	c->used_ms = now_ms;
	if (c->bytes > r->config.circuit_bytes) {
		circuit_close(r, c, RELAY_QUOTA);
		return;
	}
	r->stats.bytes += n;
	say(r, to->asker->conn, &on);
	if (r->port->waiting(r->port->context, to->asker->conn) <= NODE_OUTPUT_LOW)
		side_credit(r, from, CREDIT_STEP);
}

static void on_opened(
	struct relay *r, struct relay_circuit *c, size_t side, const struct message_relay_opened *m)
{
	struct message on = {.type = MESSAGE_RELAY_OPENED,
		.relay_opened = {.circuit = c->sides[0].number, .status = m->status}};

	if (side != 1 || c->open) {
		accuse(r, c->sides[side].asker->conn, "it answers a circuit twice");
		return;
	}
	if (m->status != RELAY_OK) {
		circuit_close_other(r, c, side, (enum relay_status)m->status);
		return;
	}
	c->open = true;
	say(r, c->sides[0].asker->conn, &on);
}

static void on_circuit(struct relay *r, uint64_t now_ms, conn_id conn, const struct message *m)
{
	const struct message_relay_data *data = &m->relay_data;
	uint32_t number = m->type == MESSAGE_RELAY_DATA	    ? data->circuit
			  : m->type == MESSAGE_RELAY_OPENED ? m->relay_opened.circuit
							    : m->relay_close.circuit;
	size_t side;
	struct relay_circuit *c = circuit_find(r, conn, number, &side);

	if (c == NULL)
		on_stray(r, conn, m->type == MESSAGE_RELAY_DATA ? data->bytes.len : 1);
	else if (m->type == MESSAGE_RELAY_DATA)
		on_data(r, c, side, now_ms, data);
	else if (m->type == MESSAGE_RELAY_OPENED)
		on_opened(r, c, side, &m->relay_opened);
	else
		circuit_close_other(r, c, side, RELAY_GONE);
}

static void on_question(struct relay *r, struct asker *a, uint64_t now_ms, const struct message *m)
{
	bool reserve = m->type == MESSAGE_RELAY_RESERVE;

	if (a->refused >= RELAY_ASK_ABUSE)
		return; /* its session is ending */
	if (asker_may_ask(r, a, now_ms) &&
		(r->config.serve || (reserve && !m->relay_reserve.wanted))) {
		if (reserve)
			on_reserve(r, a, now_ms, m->relay_reserve.wanted);
		else
			on_open(r, a, now_ms, &m->relay_open);
	} else if (reserve) {
		answer_reserve(r, a->conn, RELAY_REFUSED);
	} else {
		refuse_open(r, a->conn, m->relay_open.circuit, RELAY_REFUSED);
	}
}

void relay_message(struct relay *r, uint64_t now_ms, conn_id conn, bool dialled,
	const struct public_key *from, uint64_t prefix, const struct message *m)
{
	struct asker *a;

	switch (m->type) {
	case MESSAGE_RELAY_RESERVE:
	case MESSAGE_RELAY_OPEN:
		a = asker_of(r, conn, dialled, from, prefix, now_ms);
		if (a != NULL)
			on_question(r, a, now_ms, m);
		else if (m->type == MESSAGE_RELAY_RESERVE)
			answer_reserve(r, conn, RELAY_REFUSED);
		else
			refuse_open(r, conn, m->relay_open.circuit, RELAY_REFUSED);
		return;
	case MESSAGE_RELAY_OPENED:
	case MESSAGE_RELAY_DATA:
	case MESSAGE_RELAY_CLOSE:
		on_circuit(r, now_ms, conn, m);
		return;
	default:
		REQUIRE(!"a message that no relay handles");
	}
}

/* Sessions and time */

void relay_down(struct relay *r, uint64_t now_ms, conn_id conn)
{
	struct asker **at = &r->askers;
	struct asker *a;

	(void)now_ms;
	while (*at != NULL && (*at)->conn != conn)
		at = &(*at)->next;
	a = *at;
	if (a == NULL)
		return;
	for (uint32_t i = 0; i < r->config.circuits; i++) {
		struct relay_circuit *c = &r->circuits[i];

		if (c->sides[0].asker == a)
			circuit_close_other(r, c, 0, RELAY_GONE);
		else if (c->sides[1].asker == a)
			circuit_close_other(r, c, 1, RELAY_GONE);
	}
	reservation_end(r, a);
	*at = a->next;
	mem_free(a);
}

void relay_writable(struct relay *r, conn_id conn)
{
	for (uint32_t i = 0; i < r->config.circuits; i++) {
		struct relay_circuit *c = &r->circuits[i];

		for (size_t side = 0; c->sides[0].asker != NULL && side < SIDES; side++) {
			if (c->sides[1 - side].asker->conn == conn)
				side_credit(r, &c->sides[side], 1);
		}
	}
}

void relay_tick(struct relay *r, uint64_t now_ms)
{
	for (uint32_t i = 0; i < r->config.circuits; i++) {
		struct relay_circuit *c = &r->circuits[i];

		if (c->sides[0].asker == NULL)
			continue;
		if (c->open && now_ms - c->since_ms >= r->config.circuit_ms)
			circuit_close(r, c, RELAY_QUOTA);
		else if (!c->open && now_ms - c->since_ms >= RELAY_OPENING_MS)
			circuit_close(r, c, RELAY_NO_PEER);
	}
	for (struct asker *a = r->askers; a != NULL; a = a->next) {
		if (a->reserved_ms != 0 && now_ms >= a->reserved_ms)
			reservation_end(r, a);
	}
}

void relay_stats(const struct relay *r, struct relay_stats *out)
{
	*out = r->stats;
}
