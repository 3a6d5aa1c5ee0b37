/* See town.h. */
#include "tests/sim/town.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/overlay/node.h"
#include "tasks/base/mem.h"
#include "tests/sim/draw.h"
#include "tests/sim/progress.h"
#include "tests/sim/wheel.h"

#define BEGIN_MS 5000u
#define WALL_S	 1800000000u

enum town_event_kind {
	TOWN_JOIN = 1,
	TOWN_DIALLED = 2, /* a connection of `from` reaches `to`; serial: its first end */
	TOWN_BYTES = 3,	  /* at the end `serial`; ref: the packet */
	TOWN_LOST = 4,	  /* the other side closed it */
	TOWN_TICK = 5,
};

struct house {
	struct node *node; /* NULL: it is gone */
	struct identity id;
	struct place place;
};

struct line_end { /* conn_id − 1 is its index; the other end's is that with the lowest bit turned */
	uint32_t house;
	bool open;
};

struct packet {
	uint8_t *data;
	uint32_t len, next;
};

struct town {
	struct town_config config;
	struct wheel wheel;
	struct alarms alarms;
	uint64_t random, sequence;
	struct house *houses;
	struct line_end *ends;
	uint32_t end_count, end_capacity;
	struct packet *packets;
	uint32_t packet_count, packet_capacity, packet_free;
	struct spread spread;
	struct town_totals totals;
};

_Noreturn static void broken(const struct town *t, const char *what)
{
	fprintf(stderr, "sim: broken at %.3f s of virtual time: %s\nseed %llu; replay: %s\n",
		(t->wheel.now_ms - BEGIN_MS) / 1e3, what, (unsigned long long)t->config.seed,
		t->config.replay == NULL ? "this test" : t->config.replay);
	exit(1);
}
#define CHECK(t, x) ((x) ? (void)0 : broken(t, #x))

static int step(struct town *t, uint32_t house, struct node_event *event);

static void fill(struct town *t, struct node_event *event)
{
	for (size_t i = 0; i < sizeof(event->random); i += 8)
		store_le64(event->random + i, draw_next(&t->random));
}

static uint32_t arrival(const struct town *t, uint32_t from, uint32_t to)
{
	return map_arrival_ms(&t->config.map, from, &t->houses[from].place, to,
		&t->houses[to].place, t->wheel.now_ms);
}

static uint32_t post(struct town *t, enum town_event_kind kind, uint32_t from, uint32_t to,
	uint32_t end, uint32_t at_ms)
{
	uint32_t event = wheel_new(&t->wheel);

	t->wheel.events[event] =
		(struct wheel_event){.kind = (uint8_t)kind, .from = from, .to = to, .serial = end};
	wheel_post(&t->wheel, event, at_ms);
	return event;
}

static void packet_send(struct town *t, uint32_t house, conn_id conn, struct span bytes)
{
	uint32_t other = (uint32_t)(conn - 1) ^ 1, to = t->ends[other].house, p = t->packet_free;
	uint32_t event;

	if (p != 0) {
		t->packet_free = t->packets[p].next;
	} else {
		if (t->packet_count >= t->packet_capacity) {
			t->packet_capacity = t->packet_capacity * 2 + 1024;
			t->packets =
				mem_realloc(t->packets, t->packet_capacity * sizeof(*t->packets));
			CHECK(t, t->packets != NULL);
		}
		p = t->packet_count++;
	}
	t->packets[p] =
		(struct packet){.data = mem_dup(bytes.data, bytes.len), .len = (uint32_t)bytes.len};
	CHECK(t, t->packets[p].data != NULL);
	t->totals.bytes += bytes.len;
	event = post(t, TOWN_BYTES, house, to, other, arrival(t, house, to));
	t->wheel.events[event].ref = p;
}

/* A new line from one house to another, which hears of it a way later. */
static conn_id line_new(struct town *t, uint32_t from, uint32_t to)
{
	if (t->end_count + 2 > t->end_capacity) {
		t->end_capacity = t->end_capacity * 2 + 1024;
		t->ends = mem_realloc(t->ends, t->end_capacity * sizeof(*t->ends));
		CHECK(t, t->ends != NULL);
	}
	t->ends[t->end_count] = (struct line_end){from, true};
	t->ends[t->end_count + 1] = (struct line_end){to, true};
	t->end_count += 2;
	return t->end_count - 1;
}

static uint32_t house_of(const struct endpoint *e)
{
	return (uint32_t)e->ip[1] << 8 | e->ip[2];
}

static struct endpoint endpoint_of(uint32_t house)
{
	return (struct endpoint){
		.family = 4, .ip = {20, (uint8_t)(house >> 8), (uint8_t)house, 1}, .port = 7331};
}

static void dial(
	struct town *t, uint32_t from, uint32_t to, const struct public_key *expect, bool sought)
{
	struct node_event connected = {.type = NODE_CONNECTED, .expect = expect, .sought = sought};
	struct node_event unreached = {.type = NODE_UNREACHED, .expect = expect};
	struct endpoint remote = endpoint_of(to);
	conn_id conn;

	if (to > t->config.peers || t->houses[to].node == NULL) {
		if (sought)
			(void)!step(t, from, &unreached);
		return;
	}
	conn = line_new(t, from, to);
	connected.conn = conn;
	connected.remote = &remote;
	fill(t, &connected);
	post(t, TOWN_DIALLED, from, to, (uint32_t)conn, arrival(t, from, to));
	CHECK(t, step(t, from, &connected) == TK_OK);
}

static void heard(struct town *t, uint32_t house)
{
	struct spread *s = &t->spread;

	if (house == 0 || s->at == NULL || s->at[house] != 0)
		return;
	s->at[house] = 1;
	s->reached++;
	s->last_ms = t->wheel.now_ms;
	histogram_add(&s->time_ms, t->wheel.now_ms - s->published_ms);
}

static void effect(struct town *t, uint32_t house, const struct node_effect *e)
{
	struct node_event written = {.type = NODE_WRITTEN, .conn = e->conn, .count = e->bytes.len};

	switch (e->type) {
	case NODE_WRITE:
		packet_send(t, house, e->conn, bytes_span(&e->bytes));
		(void)!step(t, house, &written);
		break;
	case NODE_CLOSE: {
		uint32_t other = (uint32_t)(e->conn - 1) ^ 1;

		t->ends[e->conn - 1].open = false;
		post(t, TOWN_LOST, house, t->ends[other].house, other,
			arrival(t, house, t->ends[other].house));
		break;
	}
	case NODE_UP:
		t->totals.handshakes++;
		break;
	case NODE_DIAL:
		dial(t, house,
			e->record.endpoint_count == 0 ? UINT32_MAX
						      : house_of(&e->record.endpoints[0]),
			&e->record.key, true);
		break;
	case NODE_ISOLATED:
		if (house != 0)
			dial(t, house, 0, &t->houses[0].id.key.public, false);
		break;
	case NODE_ANNOUNCED:
		heard(t, house);
		break;
	case NODE_LOG:
		t->totals.logs++;
		if (getenv("SIM_LOG") != NULL)
			fprintf(stderr, "%9.3f %4u %s\n", (t->wheel.now_ms - BEGIN_MS) / 1e3, house,
				e->text);
		break;
	default:
		break;
	}
}

static int step(struct town *t, uint32_t house, struct node_event *event)
{
	struct node_effects effects = {0};
	struct node *node = t->houses[house].node;
	uint64_t wake_ms;
	int rc;

	if (node == NULL)
		return TK_ENOENT;
	event->now_ms = t->wheel.now_ms;
	event->now_s = WALL_S + t->wheel.now_ms / 1000;
	rc = node_step(node, event, &effects);
	for (size_t i = 0; i < effects.count; i++)
		effect(t, house, &effects.items[i]);
	node_effects_close(&effects);
	wake_ms = node_wake_ms(node);
	if (wake_ms != UINT64_MAX)
		alarms_set(&t->alarms, house + 1, t->wheel.now_ms,
			wake_ms <= t->wheel.now_ms ? t->wheel.now_ms + 1 : (uint32_t)wake_ms);
	return rc;
}

static void house_make(struct town *t, uint32_t house, uint64_t *random)
{
	struct house *h = &t->houses[house];
	struct key_pair key;
	uint8_t seed[32], secret[32];

	for (size_t i = 0; i < 32; i += 8) {
		store_le64(seed + i, draw_next(random));
		store_le64(secret + i, draw_next(random));
	}
	key_from_seed(&key, seed);
	identity_init(&h->id, seed, secret, house == 0 ? ROLE_COORDINATOR : ROLE_PEER,
		house == 0 ? &key.public : &t->houses[0].id.key.public);
	place_draw(&h->place, random, house == 0);
}

static void join(struct town *t, uint32_t house)
{
	struct node_event start = {.type = NODE_START};
	struct record record = {.flags = RECORD_PUBLIC, .endpoint_count = 1};
	struct node_event advertise = {.type = NODE_ADVERTISE, .record = &record};
	struct house *h = &t->houses[house];

	record.endpoints[0] = endpoint_of(house);
	h->node = node_new(&h->id);
	CHECK(t, h->node != NULL);
	fill(t, &start);
	CHECK(t, step(t, house, &start) == TK_OK);
	CHECK(t, step(t, house, &advertise) == TK_OK);
	post(t, TOWN_TICK, house, house, 0, t->wheel.now_ms + 1 + draw_below(&t->random, 1000));
	if (house != 0)
		dial(t, house, 0, &t->houses[0].id.key.public, false);
}

struct town *town_new(const struct town_config *config)
{
	struct town *t = mem_calloc(1, sizeof(*t));
	uint64_t random = draw_hash(config->seed, 3, 4);

	if (t == NULL || crypto_start() != TK_OK)
		abort();
	t->config = *config;
	t->random = draw_hash(config->seed, 1, 2);
	t->packet_count = 1;
	t->houses = mem_calloc(config->peers + 1, sizeof(*t->houses));
	CHECK(t, t->houses != NULL && config->peers < 65536);
	wheel_init(&t->wheel);
	alarms_init(&t->alarms, config->peers + 1);
	t->wheel.now_ms = BEGIN_MS;
	for (uint32_t h = 0; h <= config->peers; h++)
		house_make(t, h, &random);
	return t;
}

void town_free(struct town *t)
{
	for (uint32_t h = 0; h <= t->config.peers; h++) {
		node_free(t->houses[h].node);
		identity_wipe(&t->houses[h].id);
	}
	for (uint32_t p = t->packet_free; p != 0; p = t->packets[p].next)
		t->packets[p].data = NULL;
	for (uint32_t p = 1; p < t->packet_count; p++)
		mem_free(t->packets[p].data);
	wheel_close(&t->wheel);
	alarms_close(&t->alarms);
	spread_close(&t->spread);
	mem_free(t->packets);
	mem_free(t->houses);
	mem_free(t->ends);
	mem_free(t);
}

void town_join(struct town *t, uint32_t node, uint32_t in_ms)
{
	post(t, TOWN_JOIN, node, node, 0, t->wheel.now_ms + in_ms);
}

static void bytes_arrive(struct town *t, const struct wheel_event *e)
{
	struct packet packet = t->packets[e->ref];
	struct node_event event = {.type = NODE_BYTES,
		.conn = e->serial + 1,
		.bytes = span_of(packet.data, packet.len)};

	t->packets[e->ref] = (struct packet){.next = t->packet_free};
	t->packet_free = e->ref;
	if (t->ends[e->serial].open)
		(void)!step(t, e->to, &event);
	mem_free(packet.data);
}

static void happen(struct town *t, const struct wheel_event *e)
{
	struct node_event event = {.conn = e->serial + 1};
	struct endpoint remote = endpoint_of(e->from);

	switch (e->kind) {
	case TOWN_JOIN:
		join(t, e->to);
		break;
	case TOWN_DIALLED:
		event.type = NODE_ACCEPTED;
		event.remote = &remote;
		fill(t, &event);
		if (step(t, e->to, &event) != TK_OK)
			post(t, TOWN_LOST, e->to, e->from, e->serial - 1, t->wheel.now_ms + 1);
		break;
	case TOWN_BYTES:
		bytes_arrive(t, e);
		break;
	case TOWN_LOST:
		event.type = NODE_LOST;
		event.text = "the other side closed it";
		if (t->ends[e->serial].open)
			(void)!step(t, e->to, &event);
		t->ends[e->serial].open = false;
		break;
	default: /* TICK */
		event.type = NODE_TICK;
		if (t->houses[e->to].node == NULL)
			break;
		post(t, TOWN_TICK, e->to, e->to, 0, t->wheel.now_ms + NODE_TICK_MS);
		(void)!step(t, e->to, &event);
	}
}

void town_run(struct town *t, uint32_t at_ms)
{
	for (at_ms += BEGIN_MS; t->wheel.now_ms < at_ms; wheel_advance(&t->wheel)) {
		uint32_t event, house;

		if (t->wheel.now_ms % 100 == 0)
			progress_tell(town_now(t));
		while ((event = wheel_take(&t->wheel)) != WHEEL_NONE) {
			struct wheel_event copy = t->wheel.events[event];
			uint64_t len = copy.kind == TOWN_BYTES ? t->packets[copy.ref].len : 0;

			wheel_free(&t->wheel, event);
			t->totals.events++;
			t->totals.trace = (t->totals.trace << 19 | t->totals.trace >> 45) +
					  draw_hash((uint64_t)copy.kind << 32 | t->wheel.now_ms,
						  (uint64_t)copy.from << 32 | copy.to, len);
			happen(t, &copy);
		}
		while ((house = alarms_take(&t->alarms, t->wheel.now_ms)) != 0)
			(void)!step(t, house - 1, &(struct node_event){.type = NODE_WAKE});
	}
}

uint32_t town_now(const struct town *t)
{
	return t->wheel.now_ms - BEGIN_MS;
}

void town_kill(struct town *t, uint32_t node)
{
	struct house *h = &t->houses[node];

	if (h->node == NULL)
		return;
	for (uint32_t e = 0; e < t->end_count; e++) {
		if (t->ends[e].house != node || !t->ends[e].open)
			continue;
		t->ends[e].open = false;
		post(t, TOWN_LOST, node, t->ends[e ^ 1].house, e ^ 1,
			arrival(t, node, t->ends[e ^ 1].house));
	}
	node_free(h->node);
	h->node = NULL;
	alarms_clear(&t->alarms, node + 1);
}

void town_publish(struct town *t, bool beacon)
{
	const struct announcement a = {.kind = beacon ? ANNOUNCE_BEACON : ANNOUNCE_ROUND,
		.sequence = ++t->sequence,
		.issued_s = WALL_S + t->wheel.now_ms / 1000,
		.payload = span_text("what the simulator announces")};
	struct node_event event = {.type = NODE_PUBLISH};
	struct signature signature;
	struct bytes encoded = {0};

	CHECK(t, announcement_encode(&a, &encoded) == TK_OK);
	announcement_sign(&signature, &t->houses[0].id.key, bytes_span(&encoded));
	event.bytes = bytes_span(&encoded);
	event.signature = &signature;
	if (!beacon) {
		spread_close(&t->spread);
		CHECK(t, spread_init(&t->spread, t->wheel.now_ms, t->config.peers + 1, 0) == TK_OK);
	}
	CHECK(t, step(t, 0, &event) == TK_OK);
	bytes_close(&encoded);
}

const struct spread *town_spread(const struct town *t)
{
	return &t->spread;
}

double town_reach(const struct town *t)
{
	uint32_t living = 0, reached = 0;

	for (uint32_t h = 1; h <= t->config.peers; h++) {
		living += t->houses[h].node != NULL;
		reached += t->houses[h].node != NULL && t->spread.at[h] != 0;
	}
	return living == 0 ? 0 : 100.0 * reached / living;
}

void town_neighbours(const struct town *t, struct histogram *out)
{
	histogram_init(out, 1);
	for (uint32_t h = 1; h <= t->config.peers; h++)
		if (t->houses[h].node != NULL)
			histogram_add(out, (uint32_t)node_neighbour_count(t->houses[h].node));
}

void town_totals(const struct town *t, struct town_totals *out)
{
	*out = t->totals;
}
