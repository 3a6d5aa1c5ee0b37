/* Fuzz target of the gossip core: the input is a list of events, most of them messages from a few peers, some of
 * which are neighbours. Whatever they are, the core keeps its bounds, never names itself or nobody, and
 * never speaks of a body after it has said that it is forgotten. */
#include <string.h>

#include "peer/overlay/gossip.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_targets.h"

#define PEERS	   64u
#define BODIES	   256u
#define TOPICS	   80u
#define MEMORY_MAX (32u << 10) /* rings full of bodies that came within seconds, too */

struct reader {
	struct span in;
	size_t at;
};

static uint32_t take(struct reader *r, unsigned bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | (r->at < r->in.len ? r->in.data[r->at++] : 0);
	return value;
}

static void tables_fill(struct peer_info *peers, struct body_info *bodies)
{
	for (uint32_t i = 1; i < PEERS; i++)
		peers[i] = (struct peer_info){
			i % 4 == 0 ? 0 : i / 3, i % 9 == 0 ? 50 : UINT32_MAX, i % 3 != 0};
	for (uint32_t i = 1; i < BODIES; i++)
		bodies[i] = (struct body_info){.topic = i < 100 ? 1 + i % 3 : 1 + i % TOPICS,
			.issued_s = 1000 + i * 2,
			.sequence = i,
			.beacon = i < 100 && i % 3 == 0};
}

static void read_message(struct reader *r, struct gossip_message *m, peer_ref from)
{
	m->type = (uint8_t)(MESSAGE_JOIN + take(r, 1) % 14);
	m->count = (uint8_t)(take(r, 1) % 10); /* 9: one that nobody may send */
	m->ttl = (uint8_t)take(r, 1);
	m->flag = (m->ttl & 1) != 0;
	m->about = take(r, 1) % BODIES;
	if (m->type == MESSAGE_JOIN || m->type == MESSAGE_NEIGHBOR)
		m->about = m->about % 16 != 0 ? from : 1 + m->about % (PEERS - 1);
	else if (m->type == MESSAGE_FORWARD_JOIN || m->type == MESSAGE_SHUFFLE)
		m->about = 1 + m->about % (PEERS - 1);
	for (unsigned i = 0; i < 8 && i < m->count; i++) {
		m->refs[i] = take(r, 1) % BODIES;
		if (m->type == MESSAGE_SHUFFLE || m->type == MESSAGE_SHUFFLE_REPLY)
			m->refs[i] %= PEERS;
		m->sequences[i] = m->hops[i] = (uint8_t)(m->refs[i] * 7 + m->ttl);
	}
}

static void check_effects(const struct gossip *g, const struct gossip_effects *out)
{
	REQUIRE(out->count <= 512);
	for (size_t i = 0; i < out->count; i++) {
		const struct gossip_effect *e = &out->items[i];

		REQUIRE(e->type >= GOSSIP_SEND && e->type <= GOSSIP_ISOLATED);
		if (e->type <= GOSSIP_ACCUSE)
			REQUIRE(e->peer > 1 && e->peer < PEERS);
		if (e->type == GOSSIP_SEND)
			REQUIRE(e->message.count <= 8 && e->message.type >= MESSAGE_JOIN &&
				e->message.type <= MESSAGE_PULL);
		if (e->type == GOSSIP_ACCUSE)
			REQUIRE(e->why != NULL);
	}
	REQUIRE(gossip_memory(g) <= MEMORY_MAX);
}

static void check_views(const struct gossip *g)
{
	peer_ref active[GOSSIP_ACTIVE_MAX], passive[GOSSIP_PASSIVE_MAX];
	size_t n = gossip_active(g, active);
	size_t m = gossip_passive(g, passive);

	REQUIRE(n <= 57);
	for (size_t i = 0; i < n; i++) {
		REQUIRE(active[i] > 1 && active[i] < PEERS && gossip_knows(g, active[i]));
		for (size_t k = 0; k < i; k++)
			REQUIRE(active[k] != active[i]);
	}
	for (size_t i = 0; i < m; i++) {
		REQUIRE(passive[i] > 1 && passive[i] < PEERS);
		for (size_t k = 0; k < i; k++)
			REQUIRE(passive[k] != passive[i]);
	}
}

void fuzz_gossip(struct span in)
{
	struct peer_info peers[PEERS] = {0};
	struct body_info bodies[BODIES] = {0};
	struct gossip_tables tables = {peers, bodies};
	struct gossip_effects out = {0};
	struct gossip_config config;
	struct reader r = {in, 0};
	uint64_t now_ms = 1000;
	struct gossip *g;

	tables_fill(peers, bodies);
	gossip_config_default(&config, 1, (take(&r, 1) & 1) != 0);
	g = gossip_new(&config, &tables);
	REQUIRE(g != NULL);
	while (r.at < in.len) {
		struct gossip_message m = {0};
		peer_ref list[4];
		struct gossip_event e = {.message = &m, .refs = list};
		uint32_t kind = take(&r, 1);

		e.type = kind < 160 ? GOSSIP_MESSAGE : (enum gossip_event_type)(1 + kind % 8);
		now_ms += kind % 16 == 0 ? take(&r, 2) : kind % 4;
		e.peer = 2 + take(&r, 1) % (PEERS - 2);
		e.flag = (kind & 1) != 0;
		e.rtt_ms = kind * 3;
		e.body = 1 + take(&r, 1) % (BODIES - 1);
		e.now_ms = now_ms;
		e.now_s = 1000 + now_ms / 1000;
		e.random = (uint64_t)r.at * UINT64_C(0x9e3779b97f4a7c15) + kind;
		if (e.type == GOSSIP_MESSAGE)
			read_message(&r, &m, e.peer);
		for (unsigned i = 0; e.type == GOSSIP_START && i < 4; i++)
			list[e.count++] = take(&r, 1) % PEERS;
		out.count = 0;
		REQUIRE(gossip_step(g, &e, &out) == TK_OK);
		check_effects(g, &out);
		check_views(g);
	}
	gossip_free(g);
	gossip_effects_close(&out);
}

/* A start, an answered dial, neighbours, a body, ids and time. */
bool fuzz_gossip_seed(unsigned which, struct bytes *out)
{
	static const uint8_t life[] = {1, 160, 5, 1, 3, 5, 7, 9, 161, 5, 1, 1, 1, 1, 3, 0, 1, 0, 1,
		7, 1, 2, 0, 0, 7, 1, 9, 1, 2, 0, 0, 9, 3, 9, 50, 7, 0, 2, 50, 3, 7, 51, 8, 2, 2, 51,
		52, 53, 176, 255, 255, 3, 1, 165, 1, 1, 176, 9, 9, 3, 1, 2, 9, 3, 11, 2, 0, 1, 2};

	return which == 0 && bytes_append(out, life, sizeof(life)) == TK_OK;
}
