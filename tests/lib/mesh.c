/* See mesh.h: a heap of what is to happen, ordered by time and then by number, and a table of open
 * sessions. Latency is fixed for each pair, so that messages between two nodes keep their order. */
#include "tests/lib/mesh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/require.h"

enum item_type { ITEM_MESSAGE, ITEM_UP, ITEM_DOWN, ITEM_DIAL, ITEM_FAILED, ITEM_WAKE, ITEM_START };

struct item {
	uint64_t at_ms, serial;
	uint32_t from, to;
	uint32_t session;
	uint8_t type;
	bool flag;
	uint32_t message; /* its place in the pool */
};

struct mesh_queue {
	struct item *heap;
	size_t count, capacity;
	uint64_t serial;
	struct gossip_message *pool;
	uint32_t *unused;
	size_t pool_count, unused_count, pool_capacity;
};

/* Which of the two ends knows the session as open. */
struct pair {
	uint64_t key; /* 0: free */
	uint32_t id;  /* 0: there is none */
};
struct mesh_sessions {
	struct pair *pairs;
	size_t capacity, used;
	uint32_t last;
};

static void check(const struct mesh *mesh, bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "# seed %llu, %llu ms: %s\n", (unsigned long long)mesh->seed,
		(unsigned long long)mesh->now_ms, what);
	abort();
}

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t next_random(struct mesh *mesh)
{
	return mix(mesh->random += UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t mesh_random(struct mesh *mesh, uint64_t below)
{
	return next_random(mesh) % below;
}

/* The heap */

static bool before(const struct item *a, const struct item *b)
{
	return a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->serial < b->serial);
}

static void push(struct mesh *mesh, struct item item)
{
	struct mesh_queue *q = mesh->queue;
	size_t i = q->count;

	if (q->count == q->capacity) {
		q->capacity = q->capacity * 2 + 1024;
		q->heap = realloc(q->heap, q->capacity * sizeof(*q->heap));
		REQUIRE(q->heap != NULL);
	}
	item.serial = ++q->serial;
	q->count++;
	for (; i > 0 && before(&item, &q->heap[(i - 1) / 4]); i = (i - 1) / 4)
		q->heap[i] = q->heap[(i - 1) / 4];
	q->heap[i] = item;
}

static struct item pop(struct mesh_queue *q)
{
	struct item first = q->heap[0];
	struct item last = q->heap[--q->count];
	size_t i = 0;

	for (;;) {
		size_t child = 4 * i + 1;
		size_t end = child + 4 < q->count ? child + 4 : q->count;
		size_t least = child;

		if (child >= q->count)
			break;
		for (size_t k = child + 1; k < end; k++) {
			if (before(&q->heap[k], &q->heap[least]))
				least = k;
		}
		if (!before(&q->heap[least], &last))
			break;
		q->heap[i] = q->heap[least];
		i = least;
	}
	q->heap[i] = last;
	return first;
}

static uint32_t pool_put(struct mesh_queue *q, const struct gossip_message *m)
{
	uint32_t at;

	if (q->unused_count > 0) {
		at = q->unused[--q->unused_count];
	} else {
		if (q->pool_count == q->pool_capacity) {
			q->pool_capacity = q->pool_capacity * 2 + 1024;
			q->pool = realloc(q->pool, q->pool_capacity * sizeof(*q->pool));
			q->unused = realloc(q->unused, q->pool_capacity * sizeof(*q->unused));
			REQUIRE(q->pool != NULL && q->unused != NULL);
		}
		at = (uint32_t)q->pool_count++;
	}
	q->pool[at] = *m;
	return at;
}

/* Sessions */

static struct pair *pair_in(struct pair *pairs, size_t capacity, uint64_t key)
{
	size_t i = mix(key) & (capacity - 1);

	while (pairs[i].key != 0 && pairs[i].key != key)
		i = (i + 1) & (capacity - 1);
	return &pairs[i];
}

static uint64_t pair_key(peer_ref a, peer_ref b)
{
	return a < b ? (uint64_t)a << 32 | b : (uint64_t)b << 32 | a;
}

static struct pair *pair_of(const struct mesh *mesh, peer_ref a, peer_ref b)
{
	struct mesh_sessions *s = mesh->sessions;
	struct pair *p;

	if (2 * s->used >= s->capacity) {
		size_t capacity = s->capacity * 2;
		struct pair *pairs = calloc(capacity, sizeof(*pairs));

		REQUIRE(pairs != NULL);
		s->used = 0;
		for (size_t i = 0; i < s->capacity; i++) {
			if (s->pairs[i].id == 0)
				continue;
			*pair_in(pairs, capacity, s->pairs[i].key) = s->pairs[i];
			s->used++;
		}
		free(s->pairs);
		s->pairs = pairs;
		s->capacity = capacity;
	}
	p = pair_in(s->pairs, s->capacity, pair_key(a, b));
	if (p->key == 0) {
		p->key = pair_key(a, b);
		s->used++;
	}
	return p;
}

bool mesh_has_session(const struct mesh *mesh, peer_ref a, peer_ref b)
{
	return pair_of(mesh, a, b)->id != 0;
}

static uint32_t latency(const struct mesh *mesh, peer_ref a, peer_ref b)
{
	uint64_t h = mix(pair_key(a, b) ^ mesh->seed);

	return mesh->latency_min_ms + (uint32_t)(h % (mesh->latency_spread_ms + 1u));
}

static bool can_reach(const struct mesh *mesh, peer_ref a, peer_ref b)
{
	return mesh->nodes[b].core != NULL && mesh->nodes[a].side == mesh->nodes[b].side;
}

static bool can_dial(const struct mesh *mesh, peer_ref a, peer_ref b)
{
	return mesh->peers[b].public ||
	       mix(pair_key(a, b) + mesh->seed) % 100 < mesh->punch_percent;
}

/* Ends the session of a pair; `to` hears of it after ms. */
static void session_end(struct mesh *mesh, peer_ref gone, peer_ref to, uint32_t ms)
{
	struct pair *p = pair_of(mesh, gone, to);

	if (p->id == 0)
		return;
	push(mesh, (struct item){.at_ms = mesh->now_ms + ms,
			   .from = gone,
			   .to = to,
			   .session = p->id,
			   .type = ITEM_DOWN});
	p->id = 0;
}

/* Effects */

static void on_send(struct mesh *mesh, peer_ref node, const struct gossip_effect *e)
{
	struct pair *p = pair_of(mesh, node, e->peer);

	mesh->sends[e->message.type]++;
	if (mesh->nodes[node].mute && e->message.type == MESSAGE_BROADCAST)
		return;
	if (p->id == 0 || !can_reach(mesh, node, e->peer))
		return;
	push(mesh, (struct item){.at_ms = mesh->now_ms + latency(mesh, node, e->peer),
			   .from = node,
			   .to = e->peer,
			   .session = p->id,
			   .type = ITEM_MESSAGE,
			   .message = pool_put(mesh->queue, &e->message)});
}

static void on_dial(struct mesh *mesh, peer_ref node, peer_ref peer)
{
	mesh->dials++;
	push(mesh, (struct item){.at_ms = mesh->now_ms + 3 * latency(mesh, node, peer),
			   .from = peer,
			   .to = node,
			   .type = ITEM_DIAL});
}

static void on_deliver(struct mesh *mesh, const struct gossip_effect *e)
{
	struct mesh_body *b = &mesh->stats[e->body];

	b->reached++;
	b->hops[e->message.ttl]++;
	b->last_ms = mesh->now_ms;
}

static void carry_out(struct mesh *mesh, peer_ref node, const struct gossip_effect *e)
{
	if (mesh->seen != NULL)
		mesh->seen(mesh, node, e);
	switch (e->type) {
	case GOSSIP_SEND:
		check(mesh, e->peer != node && e->peer != 0, "a message to itself or nobody");
		on_send(mesh, node, e);
		break;
	case GOSSIP_DIAL:
		check(mesh, e->peer != node && e->peer != 0, "dials itself or nobody");
		on_dial(mesh, node, e->peer);
		break;
	case GOSSIP_ACCUSE:
		check(mesh, e->why != NULL, "accuses without a reason");
		mesh->accused++;
		session_end(mesh, node, e->peer, latency(mesh, node, e->peer));
		break;
	case GOSSIP_RELEASE:
		session_end(mesh, node, e->peer, latency(mesh, node, e->peer));
		break;
	case GOSSIP_DELIVER:
		on_deliver(mesh, e);
		break;
	case GOSSIP_ISOLATED:
		mesh->nodes[node].isolated = true;
		break;
	default:
		break;
	}
}

/* What holds after every step. */
static void core_check(struct mesh *mesh, peer_ref node)
{
	struct gossip *g = mesh->nodes[node].core;
	peer_ref active[GOSSIP_ACTIVE_MAX];
	size_t n = gossip_active(g, active);
	size_t memory = gossip_memory(g);

	check(mesh, n <= 57, "more neighbours than it may have"); /* one in exchange */
	for (size_t i = 0; i < n; i++) {
		check(mesh, active[i] != node && active[i] != 0, "neighbour of itself or nobody");
		for (size_t k = 0; k < i; k++)
			check(mesh, active[i] != active[k], "one neighbour twice");
	}
	if (memory > mesh->memory_most)
		mesh->memory_most = memory;
}

static void wake_plan(struct mesh *mesh, peer_ref node)
{
	struct mesh_node *n = &mesh->nodes[node];
	uint64_t wake_ms = gossip_wake_ms(n->core);

	if (wake_ms == UINT64_MAX || (n->wake_ms > mesh->now_ms && n->wake_ms <= wake_ms))
		return;
	n->wake_ms = wake_ms > mesh->now_ms ? wake_ms : mesh->now_ms + 1;
	push(mesh, (struct item){.at_ms = n->wake_ms, .to = node, .type = ITEM_WAKE});
}

void mesh_step(struct mesh *mesh, peer_ref node, struct gossip_event *event)
{
	struct mesh_node *n = &mesh->nodes[node];

	event->now_ms = mesh->now_ms;
	event->now_s = 1000000 + mesh->now_ms / 1000;
	event->random = next_random(mesh);
	mesh->effects.count = 0;
	REQUIRE(gossip_step(n->core, event, &mesh->effects) == TK_OK);
	mesh->steps++;
	for (size_t i = 0; i < mesh->effects.count; i++)
		carry_out(mesh, node, &mesh->effects.items[i]);
	if (mesh->count <= 2000)
		core_check(mesh, node);
	wake_plan(mesh, node);
}

/* Events */

static void up(struct mesh *mesh, peer_ref node, peer_ref peer, bool dialled)
{
	struct gossip_event e = {.type = GOSSIP_UP, .peer = peer, .flag = dialled};

	e.rtt_ms = 2 * latency(mesh, node, peer);
	mesh_step(mesh, node, &e);
}

static void dial_ends(struct mesh *mesh, const struct item *item)
{
	peer_ref node = item->to;
	peer_ref peer = item->from;
	struct pair *p = pair_of(mesh, node, peer);
	bool good = can_reach(mesh, node, peer) && (p->id != 0 || can_dial(mesh, node, peer));
	struct gossip_event e = {.type = GOSSIP_DIAL_FAILED, .peer = peer};

	if (!good) {
		mesh_step(mesh, node, &e);
		return;
	}
	if (p->id == 0) {
		p->id = ++mesh->sessions->last;
		up(mesh, peer, node, false);
	}
	up(mesh, node, peer, true);
}

static void message_arrives(struct mesh *mesh, const struct item *item)
{
	struct gossip_message m = mesh->queue->pool[item->message];
	struct gossip_event e = {.type = GOSSIP_MESSAGE, .peer = item->from, .message = &m};

	mesh->queue->unused[mesh->queue->unused_count++] = item->message;
	if (mesh->nodes[item->to].core == NULL || !can_reach(mesh, item->from, item->to))
		return;
	if (m.type == MESSAGE_BROADCAST)
		mesh->stats[m.about].copies++;
	e.rtt_ms = 2 * latency(mesh, item->from, item->to);
	mesh_step(mesh, item->to, &e);
}

static void happen(struct mesh *mesh, const struct item *item)
{
	struct mesh_node *n = &mesh->nodes[item->to];
	struct gossip_event e = {.type = GOSSIP_DOWN, .peer = item->from};
	peer_ref root = 1;

	if (item->type == ITEM_MESSAGE) {
		message_arrives(mesh, item);
		return;
	}
	if (n->core == NULL && item->type != ITEM_START)
		return;
	switch (item->type) {
	case ITEM_DIAL:
		dial_ends(mesh, item);
		break;
	case ITEM_DOWN:
		if (!mesh_has_session(mesh, item->from, item->to))
			mesh_step(mesh, item->to, &e);
		break;
	case ITEM_WAKE:
		if (n->wake_ms != item->at_ms)
			break;
		n->wake_ms = 0;
		if (gossip_wake_ms(n->core) > mesh->now_ms) {
			wake_plan(mesh, item->to);
			break;
		}
		e = (struct gossip_event){.type = GOSSIP_WAKE};
		mesh_step(mesh, item->to, &e);
		break;
	default:
		mesh_start(mesh, item->to, &root, 1);
		break;
	}
}

void mesh_run(struct mesh *mesh, uint64_t ms)
{
	uint64_t until = mesh->now_ms + ms;

	while (mesh->queue->count > 0 && mesh->queue->heap[0].at_ms <= until) {
		struct item item = pop(mesh->queue);

		mesh->now_ms = item.at_ms;
		happen(mesh, &item);
	}
	mesh->now_ms = until;
}

body_ref mesh_publish(struct mesh *mesh, topic_ref topic)
{
	body_ref body = ++mesh->body_count;
	struct gossip_event e = {.type = GOSSIP_PUBLISH, .body = body};

	REQUIRE(body < MESH_BODIES);
	mesh->bodies[body] = (struct body_info){.topic = topic,
		.issued_s = (uint32_t)(1000000 + mesh->now_ms / 1000),
		.sequence = body,
		.beacon = topic == 1};
	mesh->stats[body].at_ms = mesh->now_ms;
	mesh_step(mesh, 1, &e);
	return body;
}

void mesh_run_beacons(struct mesh *mesh, uint64_t ms)
{
	uint64_t until = mesh->now_ms + ms;

	while (mesh->now_ms < until) {
		uint64_t left = until - mesh->now_ms;

		mesh_publish(mesh, 1);
		mesh_run(mesh, left < 30000 ? left : 30000);
	}
}

/* Nodes */

void mesh_init(
	struct mesh *mesh, uint64_t seed, uint32_t count, uint32_t public_each, uint32_t same)
{
	*mesh = (struct mesh){.seed = seed,
		.random = seed,
		.count = count,
		.now_ms = 1000,
		.latency_min_ms = 10,
		.latency_spread_ms = 140,
		.silent_ms = 200};
	mesh->nodes = calloc(count + 1u, sizeof(*mesh->nodes));
	mesh->peers = calloc(count + 1u, sizeof(*mesh->peers));
	mesh->queue = calloc(1, sizeof(*mesh->queue));
	mesh->sessions = calloc(1, sizeof(*mesh->sessions));
	REQUIRE(mesh->nodes != NULL && mesh->peers != NULL && mesh->queue != NULL &&
		mesh->sessions != NULL);
	mesh->sessions->capacity = 1024;
	mesh->sessions->pairs = calloc(1024, sizeof(struct pair));
	REQUIRE(mesh->sessions->pairs != NULL);
	for (uint32_t i = 1; i <= count; i++)
		mesh->peers[i] = (struct peer_info){.prefix = same != 0 ? 1 + i / same : 0,
			.expiry_s = UINT32_MAX,
			.public = i % public_each == 1 % public_each};
	mesh->tables = (struct gossip_tables){mesh->peers, mesh->bodies};
}

void mesh_close(struct mesh *mesh)
{
	for (uint32_t i = 1; i <= mesh->count; i++)
		gossip_free(mesh->nodes[i].core);
	gossip_effects_close(&mesh->effects);
	free(mesh->nodes);
	free(mesh->peers);
	free(mesh->queue->heap);
	free(mesh->queue->pool);
	free(mesh->queue->unused);
	free(mesh->queue);
	free(mesh->sessions->pairs);
	free(mesh->sessions);
}

struct gossip_config mesh_config(const struct mesh *mesh, peer_ref node)
{
	struct gossip_config config;

	gossip_config_default(&config, node, mesh->peers[node].public);
	config.root = node == 1;
	return config;
}

void mesh_begin(struct mesh *mesh, const struct gossip_config *config)
{
	struct mesh_node *n = &mesh->nodes[config->self];

	REQUIRE(n->core == NULL);
	n->core = gossip_new(config, &mesh->tables);
	n->wake_ms = 0;
	REQUIRE(n->core != NULL);
}

void mesh_start(struct mesh *mesh, peer_ref node, const peer_ref *contacts, size_t count)
{
	struct gossip_event e = {.type = GOSSIP_START, .refs = contacts, .count = count};

	if (mesh->nodes[node].core == NULL) {
		struct gossip_config config = mesh_config(mesh, node);

		mesh_begin(mesh, &config);
	}
	mesh_step(mesh, node, &e);
}

void mesh_start_all(struct mesh *mesh, uint64_t within_ms)
{
	mesh_start(mesh, 1, NULL, 0);
	for (uint32_t i = 2; i <= mesh->count; i++)
		push(mesh, (struct item){.at_ms = mesh->now_ms + mesh_random(mesh, within_ms + 1),
				   .to = i,
				   .type = ITEM_START});
}

/* Every session that this node has ends; the others hear of it when silence tells them. */
static void sessions_end(struct mesh *mesh, peer_ref node)
{
	struct mesh_sessions *s = mesh->sessions;

	for (size_t i = 0; i < s->capacity; i++) {
		peer_ref a = (peer_ref)(s->pairs[i].key >> 32);
		peer_ref b = (peer_ref)s->pairs[i].key;

		if (s->pairs[i].id != 0 && (a == node || b == node))
			session_end(mesh, node, a == node ? b : a, mesh->silent_ms);
	}
}

void mesh_leave(struct mesh *mesh, peer_ref node)
{
	struct gossip_event e = {.type = GOSSIP_LEAVE};

	mesh_step(mesh, node, &e);
	mesh_kill(mesh, node);
}

void mesh_kill(struct mesh *mesh, peer_ref node)
{
	if (mesh->count <= 2000)
		sessions_end(mesh, node);
	gossip_free(mesh->nodes[node].core);
	mesh->nodes[node].core = NULL;
}

void mesh_cut(struct mesh *mesh)
{
	struct mesh_sessions *s = mesh->sessions;

	for (size_t i = 0; i < s->capacity; i++) {
		peer_ref a = (peer_ref)(s->pairs[i].key >> 32);
		peer_ref b = (peer_ref)s->pairs[i].key;
		uint32_t ms = 1000 + (uint32_t)mesh_random(mesh, mesh->silent_ms + 1);

		if (s->pairs[i].id == 0 ||
			(mesh->nodes[a].side == mesh->nodes[b].side &&
				mesh->nodes[a].core != NULL && mesh->nodes[b].core != NULL))
			continue;
		session_end(mesh, a, b, ms);
		push(mesh,
			(struct item){
				.at_ms = mesh->now_ms + ms, .from = b, .to = a, .type = ITEM_DOWN});
	}
}
