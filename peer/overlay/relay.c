/* See relay.h. Tables of fixed size per relay; one entry for each session that asked anything, freed with it. */
#include "peer/overlay/relay.h"

#include "peer/overlay/relay_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define CREDIT_STEP (RELAY_WINDOW / 4) /* given back in pieces of at least this */

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

/* Questions */

static void answer_reserve(const struct relay *r, conn_id conn, enum relay_status status)
{
	struct message m = {.type = MESSAGE_RELAY_RESERVED, .relay_reserved = {.status = status}};

	if (status == RELAY_OK) {
		m.relay_reserved.lifetime_s = RELAY_RESERVATION_MS / 1000;
		m.relay_reserved.bytes = r->config.circuit_bytes;
	}
	relay_say(r, conn, &m);
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
	relay_say(r, conn, &m);
}

static void on_open(
	struct relay *r, struct asker *a, uint64_t now_ms, const struct message_relay_open *m)
{
	struct asker *target = asker_reserved(r, &m->target);
	size_t side;

	if (target != NULL && !relay_has_room(r, a, target))
		relay_idle_end(r, now_ms);
	if (!relay_serves_number(m->circuit, a->dialled) ||
		relay_circuit_find(r, a->conn, m->circuit, &side) != NULL)
		accuse(r, a->conn, "it opens a circuit by a number that is not its to give");
	else if (target == NULL || target == a)
		refuse_open(r, a->conn, m->circuit, RELAY_NO_PEER);
	else if (!relay_has_room(r, a, target))
		refuse_open(r, a->conn, m->circuit, RELAY_FULL);
	else
		relay_circuit_begin(r, relay_circuit_place(r), a, m->circuit, target, now_ms);
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
		relay_circuit_close_other(r, c, side, RELAY_GONE);
		accuse(r, offender, "it sends more on a circuit than it has credit for");
		return;
	}
	from->credit -= n;
	from->owed += n;
	c->bytes += n;
	c->used_ms = now_ms;
	if (c->bytes > r->config.circuit_bytes) {
		relay_circuit_close(r, c, RELAY_QUOTA);
		return;
	}
	r->stats.bytes += n;
	relay_say(r, to->asker->conn, &on);
	if (r->port->waiting(r->port->context, to->asker->conn) <= NODE_OUTPUT_LOW)
		relay_credit(r, from, CREDIT_STEP);
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
		relay_circuit_close_other(r, c, side, (enum relay_status)m->status);
		return;
	}
	c->open = true;
	relay_say(r, c->sides[0].asker->conn, &on);
}

static void on_circuit(struct relay *r, uint64_t now_ms, conn_id conn, const struct message *m)
{
	const struct message_relay_data *data = &m->relay_data;
	uint32_t number = m->type == MESSAGE_RELAY_DATA	    ? data->circuit
			  : m->type == MESSAGE_RELAY_OPENED ? m->relay_opened.circuit
							    : m->relay_close.circuit;
	size_t side;
	struct relay_circuit *c = relay_circuit_find(r, conn, number, &side);

	if (c == NULL)
		on_stray(r, conn, m->type == MESSAGE_RELAY_DATA ? data->bytes.len : 1);
	else if (m->type == MESSAGE_RELAY_DATA)
		on_data(r, c, side, now_ms, data);
	else if (m->type == MESSAGE_RELAY_OPENED)
		on_opened(r, c, side, &m->relay_opened);
	else
		relay_circuit_close_other(r, c, side, RELAY_GONE);
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
			relay_circuit_close_other(r, c, 0, RELAY_GONE);
		else if (c->sides[1].asker == a)
			relay_circuit_close_other(r, c, 1, RELAY_GONE);
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
				relay_credit(r, &c->sides[side], 1);
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
			relay_circuit_close(r, c, RELAY_QUOTA);
		else if (!c->open && now_ms - c->since_ms >= RELAY_OPENING_MS)
			relay_circuit_close(r, c, RELAY_NO_PEER);
	}
	for (struct asker *a = r->askers; a != NULL; a = a->next) {
		if (a->reserved_ms != 0 && now_ms >= a->reserved_ms)
			reservation_end(r, a);
	}
}

void relay_each(const struct relay *r, void (*each)(void *context, conn_id conn), void *context)
{
	for (const struct asker *a = r->askers; a != NULL; a = a->next) {
		if (a->reserved_ms != 0 || a->circuits != 0)
			each(context, a->conn);
	}
}

void relay_stats(const struct relay *r, struct relay_stats *out)
{
	*out = r->stats;
}
