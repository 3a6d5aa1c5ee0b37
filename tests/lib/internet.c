/* See internet.h. Happenings are due at a time and carried out in that order; equal times in the order in
 * which they were caused, so a seed gives one trace. */
#include "tests/lib/internet.h"

#include <stdlib.h>
#include <string.h>

#include "tasks/base/require.h"

#define START_MS  5000u
#define START_S	  1800000000u
#define TRIES_MAX 4u

enum happening_kind { HAPPENS_SYN = 1, HAPPENS_UP, HAPPENS_BYTES, HAPPENS_FIN };

struct happening {
	enum happening_kind kind;
	uint64_t at_ms, order;
	size_t link, end; /* towards this end */
	uint8_t *bytes;	  /* owned */
	size_t len;
};

static uint64_t dice(struct internet *net) /* splitmix64 */
{
	uint64_t z = net->seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static struct happening *happen(
	struct internet *net, enum happening_kind kind, uint32_t delay_ms, size_t link, size_t end)
{
	struct happening *h;

	net->due = realloc(net->due, (net->due_count + 1) * sizeof(*net->due));
	REQUIRE(net->due != NULL);
	h = &net->due[net->due_count++];
	*h = (struct happening){.kind = kind,
		.at_ms = net->now_ms + delay_ms,
		.order = ++net->order,
		.link = link,
		.end = end};
	return h;
}

void internet_open(struct internet *net, uint64_t seed)
{
	*net = (struct internet){
		.seed = seed, .now_ms = START_MS, .tick_ms = START_MS, .latency_ms = 20};
}

void internet_close(struct internet *net)
{
	for (size_t i = 0; i < net->host_count; i++) {
		struct host *h = &net->hosts[i];

		node_effects_close(&h->seen);
		if (h->ways != NULL)
			ways_free(h->ways);
		else
			node_free(h->node);
		identity_wipe(&h->id);
	}
	for (size_t i = 0; i < net->due_count; i++)
		free(net->due[i].bytes);
	free(net->due);
	free(net->links);
	*net = (struct internet){0};
}

static void start_gossip(struct internet *net, size_t host)
{
	struct node_event start = {.type = NODE_START};

	for (size_t i = 0; i < sizeof(start.random); i += 8)
		store_le64(start.random + i, dice(net));
	REQUIRE(internet_step(net, host, &start) == TK_OK);
}

size_t internet_add(struct internet *net, enum role role, const struct public_key *network,
	enum nat_kind nat, bool puppet)
{
	size_t i = net->host_count++;
	struct host *h = &net->hosts[i];
	struct ways_config config;
	struct key_pair key;
	uint8_t seed[32], secret[32];

	REQUIRE(i < HOSTS_MAX);
	memset(seed, 0x10 + (int)i, sizeof(seed));
	memset(secret, 0x40 + (int)i, sizeof(secret));
	key_from_seed(&key, seed);
	identity_init(&h->id, seed, secret, role, network != NULL ? network : &key.public);
	h->nat = nat;
	h->outside =
		(struct endpoint){.family = 4, .ip = {198, 51, (uint8_t)(i + 1), 7}, .port = 0};
	h->inside = h->outside;
	if (nat != NAT_KIND_NONE && nat != NAT_KIND_CLOSED)
		h->inside = (struct endpoint){.family = 4, .ip = {192, 168, (uint8_t)(i + 1), 2}};
	h->inside.port = HOST_PORT;
	h->next_port = 40000;
	ways_config_default(&config, &h->id, secret);
	if (!puppet) {
		h->ways = ways_new(&config);
		REQUIRE(h->ways != NULL);
		ways_listen(h->ways, HOST_PORT, &h->inside, 1);
	}
	h->node = puppet ? node_new(&h->id) : ways_node(h->ways);
	if (net->gossip && !puppet)
		start_gossip(net, i);
	return i;
}

/* Cores */

static conn_id conn_of(size_t link, size_t end)
{
	return 2 * link + end + 1;
}

static void begin_link(
	struct internet *net, size_t host, const struct endpoint *to, uint64_t token, bool probe)
{
	size_t i = net->link_count++;
	struct tcp_link *l;

	net->links = realloc(net->links, net->link_count * sizeof(*net->links));
	REQUIRE(net->links != NULL);
	l = &net->links[i];
	*l = (struct tcp_link){.ends = {{.host = host}, {.host = HOSTS_MAX}},
		.token = token,
		.to = *to,
		.from_port = !probe,
		.probe = probe};
	l->from = internet_go_out(net, host, probe ? net->hosts[host].next_port++ : HOST_PORT, to);
	happen(net, HAPPENS_SYN, net->latency_ms, i, 1);
}

static void write_bytes(struct internet *net, const struct node_effect *e)
{
	size_t link = (e->conn - 1) / 2, end = (e->conn - 1) % 2;
	struct happening *h;

	REQUIRE(link < net->link_count);
	h = happen(net, HAPPENS_BYTES, net->latency_ms, link, 1 - end);
	h->bytes = malloc(e->bytes.len);
	REQUIRE(h->bytes != NULL);
	memcpy(h->bytes, e->bytes.data, e->bytes.len);
	h->len = e->bytes.len;
}

static void cancel(struct internet *net, size_t host, uint64_t token)
{
	for (size_t i = 0; i < net->link_count; i++) {
		struct tcp_link *l = &net->links[i];

		if (l->ends[0].host == host && l->token == token && !l->up)
			l->over = true;
	}
}

static void carry_out(struct internet *net, size_t host, const struct node_effect *e)
{
	size_t link = (e->conn - 1) / 2, end = (e->conn - 1) % 2;

	switch (e->type) {
	case NODE_WRITE:
		write_bytes(net, e);
		break;
	case NODE_CLOSE:
		net->links[link].ends[end].closed = true;
		happen(net, HAPPENS_FIN, net->latency_ms, link, 1 - end);
		break;
	case NODE_TRY:
	case NODE_PROBE:
		begin_link(net, host, &e->at, e->token, e->type == NODE_PROBE);
		break;
	case NODE_CANCEL:
		cancel(net, host, e->token);
		break;
	default:
		break;
	}
}

static void drain(struct internet *net, size_t host)
{
	struct host *h = &net->hosts[host];

	while (h->done < h->seen.count) {
		struct node_effect e = h->seen.items[h->done++];

		carry_out(net, host, &e);
	}
}

int internet_step(struct internet *net, size_t host, struct node_event *event)
{
	struct host *h = &net->hosts[host];
	int rc;

	event->now_ms = net->now_ms;
	event->now_s = START_S + net->now_ms / 1000;
	if (h->dead)
		return TK_ENOENT;
	rc = h->ways != NULL ? ways_step(h->ways, event, &h->seen)
			     : node_step(h->node, event, &h->seen);
	drain(net, host);
	return rc;
}

static void tell(struct internet *net, size_t link, size_t end, enum node_event_type type)
{
	struct tcp_link *l = &net->links[link];
	size_t host = l->ends[end].host;
	struct node_event event = {.type = type,
		.conn = conn_of(link, end),
		.remote = end == 0 ? &l->to : &l->from,
		.from_port = l->from_port,
		.token = end == 0 ? l->token : 0};
	struct endpoint remote = *event.remote;

	if (net->hosts[host].lie != NULL)
		remote = *net->hosts[host].lie;
	event.remote = &remote; /* links may move */
	for (size_t i = 0; i < sizeof(event.random); i += 8)
		store_le64(event.random + i, dice(net));
	l->ends[end].told = true;
	if (internet_step(net, host, &event) == TK_OK)
		return;
	net->links[link].ends[end].closed = true;
	happen(net, HAPPENS_FIN, net->latency_ms, link, 1 - end);
}

static void end_dial(struct internet *net, size_t link, const char *why)
{
	struct tcp_link *l = &net->links[link];
	struct node_event event = {.type = NODE_TRY_FAILED, .token = l->token, .text = why};

	if (l->over)
		return;
	l->over = true;
	if (l->probe)
		event.type = NODE_PROBED;
	if (l->token != 0)
		(void)!internet_step(net, l->ends[0].host, &event);
}

/* Happenings */

/* The other side of a dial that began at both ends at once: its link; link_count: there is none. */
static size_t crossing(const struct internet *net, size_t link, size_t host)
{
	const struct tcp_link *l = &net->links[link];

	for (size_t i = 0; i < net->link_count; i++) {
		const struct tcp_link *o = &net->links[i];

		if (i != link && !o->up && !o->over && !o->probe && o->ends[0].host == host &&
			endpoint_equal(&o->from, &l->to) && endpoint_equal(&o->to, &l->from))
			return i;
	}
	return net->link_count;
}

/* Both dialled: they share the first one's connection, and each is told that its dial got through. */
static void open_both(struct internet *net, size_t link, size_t other)
{
	struct tcp_link *o = &net->links[other];
	struct node_event event = {.type = NODE_CONNECTED,
		.conn = conn_of(link, 1),
		.token = o->token,
		.from_port = true};
	struct endpoint remote = o->to;
	size_t host = o->ends[0].host;

	event.remote = &remote;
	o->over = true;
	for (size_t i = 0; i < sizeof(event.random); i += 8)
		store_le64(event.random + i, dice(net));
	net->links[link].ends[1].told = true;
	if (internet_step(net, host, &event) == TK_OK)
		return;
	net->links[link].ends[1].closed = true;
	happen(net, HAPPENS_FIN, net->latency_ms, link, 0);
}

static void on_syn(struct internet *net, size_t link)
{
	struct tcp_link *l = &net->links[link];
	uint16_t port = 0;
	size_t host, other;

	if (l->over || l->up || net->hosts[l->ends[0].host].dead)
		return;
	host = internet_come_in(net, &l->from, &l->to, &port);
	if (host == HOSTS_MAX) {
		if (++l->tries == TRIES_MAX)
			end_dial(net, link, "nobody answers");
		else
			happen(net, HAPPENS_SYN, 1000u << (l->tries - 1), link, 1);
		return;
	}
	other = crossing(net, link, host);
	if (other == net->link_count && port != HOST_PORT) {
		end_dial(net, link, "connection refused");
		return;
	}
	l->up = true;
	l->ends[1].host = host;
	happen(net, HAPPENS_UP, net->latency_ms, link, 0);
	if (other != net->link_count)
		open_both(net, link, other);
	else
		tell(net, link, 1, NODE_ACCEPTED);
}

static void on_up(struct internet *net, size_t link)
{
	struct tcp_link *l = &net->links[link];
	struct node_event probed = {.type = NODE_PROBED, .token = l->token};

	if (l->over) { /* given up */
		l->ends[0].closed = true;
		happen(net, HAPPENS_FIN, net->latency_ms, link, 1);
	} else if (l->probe) {
		l->over = l->ends[0].closed = true;
		happen(net, HAPPENS_FIN, net->latency_ms, link, 1);
		(void)!internet_step(net, l->ends[0].host, &probed);
	} else {
		tell(net, link, 0, NODE_CONNECTED);
	}
}

static void on_bytes(struct internet *net, struct happening *h)
{
	struct link_end *e = &net->links[h->link].ends[h->end];
	struct link_end *from = &net->links[h->link].ends[1 - h->end];
	struct node_event event = {.type = NODE_BYTES,
		.conn = conn_of(h->link, h->end),
		.bytes = span_of(h->bytes, h->len)};
	struct node_event written = {
		.type = NODE_WRITTEN, .conn = conn_of(h->link, 1 - h->end), .count = h->len};
	bool early = !e->told && h->end == 0 && !net->links[h->link].over;

	if (early || (e->told && !e->closed && net->hosts[e->host].stalled)) {
		struct happening *later = happen(net, HAPPENS_BYTES, 1, h->link, h->end);

		later->order = h->order; /* nothing overtakes it */
		later->bytes = h->bytes; /* it overtook UP, or nobody reads */
		later->len = h->len;
		h->bytes = NULL;
		return;
	}
	if (from->told && !from->closed)
		(void)!internet_step(net, from->host, &written);
	e = &net->links[h->link].ends[h->end];
	if (e->told && !e->closed)
		(void)!internet_step(net, e->host, &event);
}

static void on_fin(struct internet *net, size_t link, size_t end)
{
	struct link_end *e = &net->links[link].ends[end];
	struct node_event event = {.type = NODE_LOST,
		.conn = conn_of(link, end),
		.text = "the other side closed the connection"};

	if (!e->told || e->closed)
		return;
	e->closed = true;
	(void)!internet_step(net, e->host, &event);
}

static bool happen_next(struct internet *net, uint64_t until_ms)
{
	struct happening h;
	size_t first = 0;

	for (size_t i = 1; i < net->due_count; i++) {
		const struct happening *a = &net->due[i], *b = &net->due[first];

		if (a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->order < b->order))
			first = i;
	}
	if (net->due_count == 0 || net->due[first].at_ms > until_ms)
		return false;
	h = net->due[first];
	net->due[first] = net->due[--net->due_count];
	net->now_ms = h.at_ms;
	if (h.kind == HAPPENS_SYN)
		on_syn(net, h.link);
	else if (h.kind == HAPPENS_UP)
		on_up(net, h.link);
	else if (h.kind == HAPPENS_BYTES)
		on_bytes(net, &h);
	else
		on_fin(net, h.link, h.end);
	free(h.bytes);
	return true;
}

/* The host whose ways want to be woken first. */
static size_t waker(const struct internet *net, uint64_t *at_ms)
{
	size_t host = HOSTS_MAX;

	*at_ms = UINT64_MAX;
	for (size_t i = 0; i < net->host_count; i++) {
		const struct host *h = &net->hosts[i];
		uint64_t at = h->ways != NULL && !h->dead ? ways_wake_ms(h->ways) : UINT64_MAX;

		if (at < *at_ms) {
			*at_ms = at;
			host = i;
		}
	}
	return host;
}

static void tick_all(struct internet *net)
{
	struct node_event tick = {.type = NODE_TICK};

	for (size_t i = 0; i < net->host_count; i++)
		(void)!internet_step(net, i, &tick);
}

void internet_pass(struct internet *net, uint64_t ms)
{
	uint64_t end_ms = net->now_ms + ms, wake_ms;
	struct node_event wake = {.type = NODE_WAKE};

	for (;;) {
		size_t host = waker(net, &wake_ms);
		uint64_t next_ms = net->tick_ms + NODE_TICK_MS;

		if (wake_ms < next_ms)
			next_ms = wake_ms;
		if (next_ms > end_ms)
			next_ms = end_ms;
		if (happen_next(net, next_ms))
			continue;
		if (net->now_ms >= end_ms)
			return;
		if (next_ms > net->now_ms)
			net->now_ms = next_ms;
		if (net->now_ms >= wake_ms)
			(void)!internet_step(net, host, &wake);
		if (net->now_ms >= net->tick_ms + NODE_TICK_MS) {
			net->tick_ms += NODE_TICK_MS;
			tick_all(net);
		}
	}
}

/* What tests do */

conn_id internet_dial(struct internet *net, size_t from, size_t to)
{
	struct endpoint at = net->hosts[to].outside;

	at.port = HOST_PORT;
	begin_link(net, from, &at, 0, false);
	return conn_of(net->link_count - 1, 0);
}

conn_id internet_try(struct internet *net, size_t from, const struct record *record)
{
	struct host *h = &net->hosts[from];
	conn_id conn = 0;

	if (ways_connect(h->ways, net->now_ms, record, &conn, &h->seen) != TK_OK)
		return 0;
	drain(net, from);
	return conn;
}

conn_id internet_connect(struct internet *net, size_t from, const struct record *record)
{
	conn_id conn = internet_try(net, from, record);

	REQUIRE(conn != 0);
	return conn;
}

int internet_send(struct internet *net, size_t host, conn_id conn, const struct message *m)
{
	struct node_event event = {.type = NODE_SEND, .conn = conn, .message = m};

	return internet_step(net, host, &event);
}

void internet_drop(struct internet *net, size_t host, conn_id conn)
{
	struct node_event event = {
		.type = NODE_DROP, .conn = conn, .reason = GOODBYE_SHUTDOWN, .text = "test"};

	(void)!internet_step(net, host, &event);
}

const struct node_effect *internet_last(
	const struct internet *net, size_t host, enum node_effect_type type, conn_id conn)
{
	const struct node_effects *seen = &net->hosts[host].seen;

	for (size_t i = seen->count; i-- > 0;) {
		if (seen->items[i].type == type && (conn == 0 || seen->items[i].conn == conn))
			return &seen->items[i];
	}
	return NULL;
}

size_t internet_count(
	const struct internet *net, size_t host, enum node_effect_type type, conn_id conn)
{
	const struct node_effects *seen = &net->hosts[host].seen;
	size_t count = 0;

	for (size_t i = 0; i < seen->count; i++)
		count += seen->items[i].type == type && (conn == 0 || seen->items[i].conn == conn);
	return count;
}

const struct public_key *internet_key(const struct internet *net, size_t host)
{
	return &net->hosts[host].id.key.public;
}

const struct record *internet_record(const struct internet *net, size_t host)
{
	return reach_record(ways_reach(net->hosts[host].ways));
}
