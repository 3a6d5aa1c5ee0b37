/* See gossip_bench.h. */
#include "tests/lib/gossip_bench.h"

#include <stdlib.h>
#include <string.h>

#include "tasks/base/require.h"

#define NOW_S 1000000u

void bench_open(struct gossip_bench *b, const struct gossip_config *config, uint32_t seed)
{
	memset(b, 0, sizeof(*b));
	b->now_ms = 1000;
	b->random = seed;
	b->tables = (struct gossip_tables){b->peers, b->bodies};
	for (uint32_t i = 1; i < BENCH_PEERS; i++)
		b->peers[i] = (struct peer_info){
			.prefix = 1000 + i, .expiry_s = UINT32_MAX, .public = i % 2 == 1};
	b->g = gossip_new(config, &b->tables);
	REQUIRE(b->g != NULL);
}

void bench_close(struct gossip_bench *b)
{
	gossip_free(b->g);
	gossip_effects_close(&b->out);
}

/* Appends to what is there already. */
static int step(struct gossip_bench *b, struct gossip_event *e)
{
	b->random = b->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	e->random = b->random;
	e->now_ms = b->now_ms;
	e->now_s = NOW_S + b->now_ms / 1000;
	return gossip_step(b->g, e, &b->out);
}

int bench_try(struct gossip_bench *b, struct gossip_event *e)
{
	b->out.count = 0;
	return step(b, e);
}

void bench_event(struct gossip_bench *b, struct gossip_event *e)
{
	REQUIRE(bench_try(b, e) == TK_OK);
}

void bench_start(struct gossip_bench *b, peer_ref contact)
{
	struct gossip_event e = {.type = GOSSIP_START, .refs = &contact, .count = contact != 0};

	bench_event(b, &e);
}

void bench_up(struct gossip_bench *b, peer_ref peer)
{
	struct gossip_event e = {.type = GOSSIP_UP, .peer = peer, .flag = true};

	bench_event(b, &e);
}

void bench_down(struct gossip_bench *b, peer_ref peer)
{
	struct gossip_event e = {.type = GOSSIP_DOWN, .peer = peer};

	bench_event(b, &e);
}

void bench_failed(struct gossip_bench *b, peer_ref peer)
{
	struct gossip_event e = {.type = GOSSIP_DIAL_FAILED, .peer = peer};

	bench_event(b, &e);
}

void bench_message(struct gossip_bench *b, peer_ref from, const struct gossip_message *m)
{
	struct gossip_event e = {.type = GOSSIP_MESSAGE, .peer = from, .message = m};

	bench_event(b, &e);
}

void bench_say(struct gossip_bench *b, peer_ref from, enum message_type type, uint32_t about,
	bool flag, uint8_t ttl)
{
	struct gossip_message m = {.type = (uint8_t)type, .about = about, .flag = flag, .ttl = ttl};

	bench_message(b, from, &m);
}

void bench_one(struct gossip_bench *b, peer_ref from, enum message_type type, uint32_t ref,
	uint64_t sequence, uint8_t hops)
{
	struct gossip_message m = {.type = (uint8_t)type, .count = ref != 0};

	m.refs[0] = ref;
	m.sequences[0] = sequence;
	m.hops[0] = hops;
	bench_message(b, from, &m);
}

void bench_wait(struct gossip_bench *b, uint64_t ms)
{
	uint64_t until = b->now_ms + ms;

	b->out.count = 0;
	while (gossip_wake_ms(b->g) <= until) {
		struct gossip_event e = {.type = GOSSIP_WAKE};
		uint64_t wake = gossip_wake_ms(b->g);

		b->now_ms = wake > b->now_ms ? wake : b->now_ms;
		REQUIRE(step(b, &e) == TK_OK && gossip_wake_ms(b->g) > b->now_ms);
	}
	b->now_ms = until;
}

void bench_befriend(struct gossip_bench *b, peer_ref peer)
{
	bench_say(b, peer, MESSAGE_NEIGHBOR, peer, false, 0);
	REQUIRE(bench_is_active(b, peer));
}

void bench_choose(struct gossip_bench *b, peer_ref peer)
{
	bench_start(b, peer);
	REQUIRE(bench_effect(b, GOSSIP_DIAL, peer, 0) != NULL);
	bench_up(b, peer);
	bench_say(b, peer, MESSAGE_NEIGHBOR_REPLY, 0, true, 0);
	REQUIRE(bench_is_active(b, peer));
}

body_ref bench_body(struct gossip_bench *b, body_ref body, topic_ref topic, uint64_t sequence)
{
	b->bodies[body] = (struct body_info){.topic = topic,
		.issued_s = (uint32_t)(NOW_S + b->now_ms / 1000),
		.sequence = sequence,
		.beacon = topic == 1};
	return body;
}

const struct gossip_effect *bench_effect(
	const struct gossip_bench *b, enum gossip_effect_type type, peer_ref peer, unsigned n)
{
	for (size_t i = 0; i < b->out.count; i++) {
		const struct gossip_effect *e = &b->out.items[i];

		if (e->type == type && (peer == 0 || e->peer == peer) && n-- == 0)
			return e;
	}
	return NULL;
}

const struct gossip_message *bench_sent(
	const struct gossip_bench *b, peer_ref to, enum message_type type, unsigned n)
{
	for (size_t i = 0; i < b->out.count; i++) {
		const struct gossip_effect *e = &b->out.items[i];

		if (e->type == GOSSIP_SEND && e->message.type == type &&
			(to == 0 || e->peer == to) && n-- == 0)
			return &e->message;
	}
	return NULL;
}

unsigned bench_count(const struct gossip_bench *b, enum message_type type)
{
	unsigned n = 0;

	while (bench_sent(b, 0, type, n) != NULL)
		n++;
	return n;
}

static bool is_among(const peer_ref *list, size_t n, peer_ref peer)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i] == peer)
			return true;
	}
	return false;
}

bool bench_is_active(const struct gossip_bench *b, peer_ref peer)
{
	peer_ref list[GOSSIP_ACTIVE_MAX];

	return is_among(list, gossip_active(b->g, list), peer);
}

bool bench_is_passive(const struct gossip_bench *b, peer_ref peer)
{
	peer_ref list[GOSSIP_PASSIVE_MAX];

	return is_among(list, gossip_passive(b->g, list), peer);
}

static struct gossip_bench *on_heap(void **state, bool public)
{
	struct gossip_bench *b = malloc(sizeof(*b));
	struct gossip_config config;

	REQUIRE(b != NULL);
	gossip_config_default(&config, 1, public);
	bench_open(b, &config, 7);
	*state = b;
	return b;
}

int bench_setup_public(void **state)
{
	on_heap(state, true);
	return 0;
}

int bench_setup_nated(void **state)
{
	on_heap(state, false);
	return 0;
}

int bench_setup_chosen(void **state)
{
	struct gossip_bench *b = on_heap(state, true);

	bench_choose(b, 3);
	bench_choose(b, 5);
	return 0;
}

int bench_setup_wired(void **state)
{
	bench_setup_chosen(state);
	bench_befriend(*state, 7);
	bench_befriend(*state, 9);
	return 0;
}

int bench_teardown(void **state)
{
	bench_close(*state);
	free(*state);
	return 0;
}
