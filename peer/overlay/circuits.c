/* See circuits.h. A handful of ends, found by walking them. */
#include "peer/overlay/circuits.h"

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define NUMBER_STEP	4u /* see relay_serves_number */
#define NUMBER_INCOMING 1u
#define NUMBER_ACCEPTED 2u
#define ENDED_MAX	64u /* ends that are remembered for a while */
#define STRAY_BYTES	(2 * RELAY_WINDOW)

struct ended {
	conn_id carrier;
	uint32_t number;
	uint32_t left; /* bytes that may still come */
};

struct circuits {
	const struct way_port *port;
	struct circuit ends[CIRCUITS_MAX];
	size_t count;
	uint32_t number; /* of the last OPEN, in steps */
	struct ended ended[ENDED_MAX];
	size_t ended_next;
};

struct circuits *circuits_new(const struct way_port *port)
{
	struct circuits *c = mem_calloc(1, sizeof(*c));

	if (c != NULL)
		c->port = port;
	return c;
}

void circuits_free(struct circuits *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->count; i++)
		bytes_close(&c->ends[i].queue);
	mem_free(c);
}

struct circuit *circuits_find(struct circuits *c, conn_id conn)
{
	for (size_t i = 0; i < c->count; i++) {
		if (c->ends[i].conn == conn)
			return &c->ends[i];
	}
	return NULL;
}

struct circuit *circuits_numbered(struct circuits *c, conn_id carrier, uint32_t number)
{
	for (size_t i = 0; i < c->count; i++) {
		if (c->ends[i].carrier == carrier && c->ends[i].number == number)
			return &c->ends[i];
	}
	return NULL;
}

struct circuit *circuits_carried(struct circuits *c, conn_id carrier)
{
	for (size_t i = 0; i < c->count; i++) {
		if (c->ends[i].carrier == carrier)
			return &c->ends[i];
	}
	return NULL;
}

size_t circuits_count(const struct circuits *c)
{
	return c->count;
}

struct circuit *circuits_at(struct circuits *c, size_t i)
{
	REQUIRE(i < c->count);
	return &c->ends[i];
}

static void say(const struct circuits *c, conn_id carrier, const struct message *m)
{
	c->port->send(c->port->context, carrier, m);
}

static struct circuit *add(struct circuits *c, conn_id conn, conn_id carrier, uint32_t number,
	const struct public_key *peer, uint64_t now_ms)
{
	struct circuit *end = &c->ends[c->count++];

	*end = (struct circuit){.conn = conn,
		.carrier = carrier,
		.number = number,
		.peer = *peer,
		.credit = RELAY_WINDOW,
		.since_ms = now_ms};
	return end;
}

int circuits_open(struct circuits *c, conn_id conn, conn_id carrier, bool dialled,
	const struct public_key *peer, uint64_t now_ms)
{
	struct message m = {.type = MESSAGE_RELAY_OPEN, .relay_open = {.target = *peer}};

	if (c->count == CIRCUITS_MAX)
		return TK_ELIMIT;
	c->number++;
	m.relay_open.circuit = c->number * NUMBER_STEP | (dialled ? 0 : NUMBER_ACCEPTED);
	add(c, conn, carrier, m.relay_open.circuit, peer, now_ms)->opener = true;
	say(c, carrier, &m);
	return TK_OK;
}

int circuits_accept(struct circuits *c, conn_id conn, conn_id carrier, bool dialled,
	const struct message_relay_incoming *m, uint64_t now_ms)
{
	struct message answer = {.type = MESSAGE_RELAY_OPENED,
		.relay_opened = {.circuit = m->circuit, .status = RELAY_OK}};
	uint32_t named = NUMBER_INCOMING | (dialled ? NUMBER_ACCEPTED : 0);
	int rc = TK_OK;

	if (m->circuit % NUMBER_STEP != named || circuits_numbered(c, carrier, m->circuit) != NULL)
		return TK_EPROTO;
	if (c->count == CIRCUITS_MAX)
		rc = TK_ELIMIT;
	else
		add(c, conn, carrier, m->circuit, &m->from, now_ms)->open = true;
	if (rc != TK_OK)
		answer.relay_opened.status = RELAY_FULL;
	say(c, carrier, &answer);
	return rc;
}

/* Sends what the credit allows of bytes; returns how many that were. */
static size_t pump(struct circuits *c, struct circuit *end, struct span bytes)
{
	size_t sent = 0;

	while (end->open && sent < bytes.len && end->credit != 0) {
		struct message m = {
			.type = MESSAGE_RELAY_DATA, .relay_data = {.circuit = end->number}};
		size_t n = bytes.len - sent;

		if (n > end->credit)
			n = end->credit;
		if (n > RELAY_DATA_MAX)
			n = RELAY_DATA_MAX;
		m.relay_data.bytes = span_of(bytes.data + sent, n);
		end->credit -= (uint32_t)n;
		sent += n;
		say(c, end->carrier, &m);
	}
	return sent;
}

static void pump_queue(struct circuits *c, struct circuit *end)
{
	bytes_consume(&end->queue, pump(c, end, bytes_span(&end->queue)));
	if (end->queue.len == 0)
		bytes_close(&end->queue);
}

int circuits_write(struct circuits *c, struct circuit *end, struct span bytes)
{
	size_t sent = end->queue.len == 0 ? pump(c, end, bytes) : 0;

	return bytes_append(&end->queue, bytes.data + sent, bytes.len - sent);
}

int circuits_credit(struct circuits *c, struct circuit *end, uint32_t bytes)
{
	if (bytes > RELAY_WINDOW - end->credit)
		return TK_EPROTO;
	end->credit += bytes;
	pump_queue(c, end);
	return TK_OK;
}

void circuits_end(struct circuits *c, struct circuit *end, bool tell)
{
	struct message m = {.type = MESSAGE_RELAY_CLOSE,
		.relay_close = {.circuit = end->number, .status = RELAY_GONE}};
	size_t place = (size_t)(end - c->ends);

	REQUIRE(place < c->count);
	if (tell) {
		pump_queue(c, end);
		say(c, end->carrier, &m);
	}
	c->ended[c->ended_next++ % ENDED_MAX] =
		(struct ended){end->carrier, end->number, STRAY_BYTES};
	bytes_close(&end->queue);
	c->ends[place] = c->ends[--c->count];
}

bool circuits_stray(struct circuits *c, conn_id carrier, const struct message *m)
{
	uint32_t cost = 1, number;

	switch (m->type) {
	case MESSAGE_RELAY_DATA:
		number = m->relay_data.circuit;
		cost = (uint32_t)m->relay_data.bytes.len;
		break;
	case MESSAGE_RELAY_CREDIT:
		number = m->relay_credit.circuit;
		break;
	case MESSAGE_RELAY_OPENED:
		number = m->relay_opened.circuit;
		break;
	default:
		number = m->relay_close.circuit;
	}
	for (size_t i = 0; i < ENDED_MAX; i++) {
		struct ended *e = &c->ended[i];

		if (e->carrier == carrier && e->number == number && e->left >= cost) {
			e->left -= cost;
			return true;
		}
	}
	return false;
}
