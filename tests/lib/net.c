/* See net.h. */
#include "tests/lib/net.h"

#include <stdlib.h>
#include <string.h>

#include "tasks/base/require.h"

#define START_MS      5000u
#define START_S	      1800000000u
#define WAKE_SLICE_MS 50u

static uint64_t net_random(struct net *net) /* splitmix64 */
{
	uint64_t z = net->seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void net_open(struct net *net, uint64_t seed)
{
	*net = (struct net){.seed = seed, .now_ms = START_MS};
}

void net_close(struct net *net)
{
	for (size_t i = 0; i < net->node_count; i++) {
		node_free(net->nodes[i].node);
		node_effects_close(&net->nodes[i].seen);
		identity_wipe(&net->nodes[i].id);
	}
	for (size_t i = 0; i < net->wire_count; i++) {
		free(net->wires[i].ends[0].in_flight);
		free(net->wires[i].ends[1].in_flight);
	}
	free(net->wires);
	*net = (struct net){0};
}

size_t net_add(struct net *net, enum role role, const struct public_key *network)
{
	struct net_node *n = &net->nodes[net->node_count];
	struct key_pair key;
	uint8_t seed[32];
	uint8_t secret[32];

	REQUIRE(net->node_count < NET_NODES_MAX);
	memset(seed, 0x10 + (int)net->node_count, sizeof(seed));
	memset(secret, 0x40 + (int)net->node_count, sizeof(secret));
	key_from_seed(&key, seed);
	identity_init(&n->id, seed, secret, role, network != NULL ? network : &key.public);
	n->node = node_new(&n->id);
	REQUIRE(n->node != NULL);
	return net->node_count++;
}

static struct net_end *end_of(struct net *net, conn_id conn)
{
	REQUIRE(conn != 0 && (conn - 1) / 2 < net->wire_count);
	return &net->wires[(conn - 1) / 2].ends[(conn - 1) % 2];
}

static conn_id other_end(conn_id conn)
{
	return ((conn - 1) ^ 1) + 1;
}

struct net_wire *net_wire_of(struct net *net, conn_id conn)
{
	(void)end_of(net, conn);
	return &net->wires[(conn - 1) / 2];
}

void net_inject(struct net *net, conn_id conn, const void *data, size_t n)
{
	struct net_end *e = end_of(net, conn);

	e->in_flight = realloc(e->in_flight, e->len + n + 1);
	REQUIRE(e->in_flight != NULL);
	memcpy(e->in_flight + e->len, data, n);
	e->len += n;
}

static void net_write(struct net *net, size_t node, const struct node_effect *e)
{
	struct node_event written = {.type = NODE_WRITTEN, .conn = e->conn, .count = e->bytes.len};

	if (net_wire_of(net, e->conn)->dead)
		(void)!net_step(net, node, &written);
	else
		net_inject(net, other_end(e->conn), e->bytes.data, e->bytes.len);
}

static conn_id dial(struct net *net, size_t from, size_t to, struct node_event connected,
	const struct endpoint *remote);

/* Carries out a NODE_DIAL: whoever has the record's address is there, unless its host is dead. */
static void net_seek(struct net *net, size_t node, const struct record *record)
{
	struct node_event unreached = {.type = NODE_UNREACHED, .expect = &record->key};
	struct node_event connected = {.expect = &record->key, .sought = true};

	for (size_t i = 0; i < net->node_count; i++) {
		if (!net->nodes[i].dead && key_equal(&net->nodes[i].id.key.public, &record->key)) {
			(void)dial(net, node, i, connected, NULL);
			return;
		}
	}
	(void)!net_step(net, node, &unreached);
}

int net_step(struct net *net, size_t node, struct node_event *event)
{
	struct net_node *n = &net->nodes[node];
	int rc;

	event->now_ms = net->now_ms;
	event->now_s = START_S + net->now_ms / 1000 + (uint64_t)n->skew_s;
	rc = node_step(n->node, event, &n->seen);
	while (n->done < n->seen.count) {
		struct node_effect e = n->seen.items[n->done++];

		if (e.type == NODE_WRITE)
			net_write(net, node, &e);
		else if (e.type == NODE_CLOSE)
			end_of(net, e.conn)->closed = true;
		else if (e.type == NODE_DIAL)
			net_seek(net, node, &e.record);
	}
	return rc;
}

static void begin_end(struct net *net, conn_id conn, struct node_event event)
{
	struct net_end *e = end_of(net, conn);

	if (e->node == NET_NOBODY)
		return;
	event.conn = conn;
	for (size_t i = 0; i < sizeof(event.random); i += 8)
		store_le64(event.random + i, net_random(net));
	if (net_step(net, e->node, &event) != TK_OK)
		end_of(net, conn)->closed = true;
}

conn_id net_dial(struct net *net, size_t from, size_t to, const struct public_key *expect)
{
	return net_dial_from(net, from, to, expect, NULL);
}

static conn_id dial(struct net *net, size_t from, size_t to, struct node_event connected,
	const struct endpoint *remote)
{
	conn_id conn = 2 * net->wire_count + 1;

	net->wires = realloc(net->wires, (net->wire_count + 1) * sizeof(net->wires[0]));
	REQUIRE(net->wires != NULL);
	net->wires[net->wire_count++] = (struct net_wire){.ends = {{.node = from}, {.node = to}}};
	connected.type = NODE_CONNECTED;
	begin_end(net, conn, connected);
	begin_end(net, conn + 1, (struct node_event){.type = NODE_ACCEPTED, .remote = remote});
	return conn;
}

conn_id net_dial_from(struct net *net, size_t from, size_t to, const struct public_key *expect,
	const struct endpoint *remote)
{
	return dial(net, from, to, (struct node_event){.expect = expect}, remote);
}

conn_id net_dial_link(struct net *net, size_t from, size_t to)
{
	struct node_event connected = {.expect = &net->nodes[from].id.network, .hosts = true};

	return dial(net, from, to, connected, NULL);
}

conn_id net_redial(struct net *net, conn_id old)
{
	size_t from = end_of(net, old)->node, to = end_of(net, other_end(old))->node;

	return dial(net, from, to, (struct node_event){.renews = old}, NULL);
}

int net_send(struct net *net, conn_id conn, const struct message *m)
{
	struct node_event event = {.type = NODE_SEND, .conn = conn, .message = m};

	return net_step(net, end_of(net, conn)->node, &event);
}

int net_drop(struct net *net, conn_id conn, uint32_t reason, const char *text)
{
	struct node_event event = {.type = NODE_DROP, .conn = conn, .reason = reason, .text = text};

	return net_step(net, end_of(net, conn)->node, &event);
}

/* Moves one piece towards conn; false: there was none. */
static bool move_piece(struct net *net, conn_id conn)
{
	struct net_end *e = end_of(net, conn);
	struct net_end *from = end_of(net, other_end(conn));
	struct node_event written = {.type = NODE_WRITTEN, .conn = other_end(conn)};
	struct node_event bytes = {.type = NODE_BYTES, .conn = conn};
	uint8_t *piece;
	size_t n = e->len;

	if (n == 0)
		return false;
	if (n > 1 && net_random(net) % 2 == 0)
		n = 1 + net_random(net) % (n - 1);
	piece = malloc(n);
	REQUIRE(piece != NULL);
	memcpy(piece, e->in_flight, n);
	e->len -= n;
	memmove(e->in_flight, e->in_flight + n, e->len);
	bytes.bytes = span_of(piece, n);
	written.count = n;
	if (from->node != NET_NOBODY && !from->closed && !end_of(net, conn)->untold)
		(void)!net_step(net, from->node, &written);
	e = end_of(net, conn);
	if (!e->closed)
		(void)!net_step(net, e->node, &bytes);
	free(piece);
	return true;
}

static bool move_end(struct net *net, conn_id conn)
{
	struct net_wire *w = net_wire_of(net, conn);
	struct net_end *e = end_of(net, conn);
	struct node_event lost = {.type = NODE_LOST, .conn = conn, .text = "the wire was cut"};

	if (e->node == NET_NOBODY || w->stalled || w->dead)
		return false;
	if (move_piece(net, conn))
		return true;
	if (e->closed || !end_of(net, other_end(conn))->closed)
		return false;
	e->closed = true;
	(void)!net_step(net, e->node, &lost);
	return true;
}

void net_run(struct net *net)
{
	bool moved;

	do {
		moved = false;
		for (conn_id conn = 1; conn <= 2 * net->wire_count; conn++)
			moved = move_end(net, conn) || moved;
	} while (moved);
}

void net_gossip(struct net *net, size_t node)
{
	struct node_event start = {.type = NODE_START};

	for (size_t i = 0; i < sizeof(start.random); i += 8)
		store_le64(start.random + i, net_random(net));
	REQUIRE(net_step(net, node, &start) == TK_OK);
}

void net_advertise(struct net *net, size_t node)
{
	struct record record = {.endpoint_count = 1};
	struct node_event advertise = {.type = NODE_ADVERTISE, .record = &record};

	/* each in a /24 of its own */
	record.endpoints[0] =
		(struct endpoint){.family = 4, .ip = {198, 18, (uint8_t)node, 1}, .port = 7332};
	REQUIRE(net_step(net, node, &advertise) == TK_OK);
}

void net_kill(struct net *net, size_t node)
{
	net->nodes[node].dead = true;
	for (size_t i = 0; i < net->wire_count; i++) {
		struct net_wire *w = &net->wires[i];

		w->dead |= w->ends[0].node == node || w->ends[1].node == node;
	}
}

static void wake_all(struct net *net)
{
	struct node_event wake = {.type = NODE_WAKE};

	for (size_t i = 0; i < net->node_count; i++) {
		if (!net->nodes[i].dead && node_wake_ms(net->nodes[i].node) <= net->now_ms)
			(void)!net_step(net, i, &wake);
	}
}

void net_pass(struct net *net, uint64_t ms)
{
	struct node_event tick = {.type = NODE_TICK};

	for (uint64_t at = 0; at < ms; at += NODE_TICK_MS) {
		for (uint64_t slice = 0; slice < NODE_TICK_MS; slice += WAKE_SLICE_MS) {
			net->now_ms += WAKE_SLICE_MS;
			wake_all(net);
			net_run(net);
		}
		for (size_t i = 0; i < net->node_count; i++)
			if (!net->nodes[i].dead)
				(void)!net_step(net, i, &tick);
		net_run(net);
	}
}

const struct node_effect *net_last(
	const struct net *net, size_t node, enum node_effect_type type, conn_id conn)
{
	const struct node_effects *seen = &net->nodes[node].seen;

	for (size_t i = seen->count; i-- > 0;) {
		const struct node_effect *e = &seen->items[i];

		if (e->type == type && (conn == 0 || e->conn == conn))
			return e;
	}
	return NULL;
}

size_t net_count(const struct net *net, size_t node, enum node_effect_type type, conn_id conn)
{
	const struct node_effects *seen = &net->nodes[node].seen;
	size_t count = 0;

	for (size_t i = 0; i < seen->count; i++) {
		if (seen->items[i].type == type && (conn == 0 || seen->items[i].conn == conn))
			count++;
	}
	return count;
}
