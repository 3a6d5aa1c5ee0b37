/* One step of the gossip core: events to the parts that they concern, timers, effects; see gossip.h. What a
 * step may allocate, it allocates before it changes anything. */
#include "peer/overlay/gossip_state.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define LATE_MS 30000u /* woken so late, we were frozen */
#define THAW_MS 5000u

void gossip_config_default(struct gossip_config *out, peer_ref self, bool public)
{
	*out = (struct gossip_config){.self = self,
		.public = public,
		.active_out = public ? 8 : 4,
		.active_max = public ? ACTIVE_MOST : 8,
		.passive_max = GOSSIP_PASSIVE_MAX,
		.prefix_max = 2,
		.arwl = 6,
		.prwl = 3,
		.shuffle_ttl = 6,
		.shuffle_active = 3,
		.shuffle_passive = 4,
		.lazy_ms = 30,
		.shuffle_ms = 60000,
		.beacon_ms = 30000,
		.graft_min_ms = 500};
}

static uint8_t at_most(uint8_t value, uint8_t most)
{
	return value < most ? value : most;
}

void gossip_reconfigure(struct gossip *g, const struct gossip_config *config)
{
	peer_ref self = g->config.self;

	g->config = *config;
	g->config.self = self;
	g->config.active_max = at_most(config->active_max, ACTIVE_MOST);
	g->config.active_out = at_most(config->active_out, g->config.active_max);
	g->config.passive_max = at_most(config->passive_max, GOSSIP_PASSIVE_MAX);
	g->config.arwl = at_most(config->arwl, GOSSIP_TTL_MAX);
	g->config.shuffle_ttl = at_most(config->shuffle_ttl, GOSSIP_TTL_MAX);
	g->config.shuffle_active = at_most(config->shuffle_active, SHUFFLE_MAX);
	g->config.shuffle_passive =
		at_most(config->shuffle_passive, SHUFFLE_MAX - g->config.shuffle_active);
	g->isolated_wait_ms = 3 * config->beacon_ms;
	views_fill_soon(g, 0);
}

struct gossip *gossip_new(const struct gossip_config *config, const struct gossip_tables *tables)
{
	struct gossip *g = mem_calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->tables = tables;
	g->config.self = config->self;
	g->fill_ms = g->shuffle_ms = g->rotate_ms = g->pending_ms = g->watch_ms = NEVER;
	g->fast_ms = g->slow_ms = g->missing_ms = g->pull_ms = g->judge_ms = g->wake_ms = NEVER;
	gossip_reconfigure(g, config);
	g->fill_ms = NEVER;
	g->parent = g->grafted = SLOT_NONE;
	g->passive_capacity = (uint8_t)(g->config.passive_max + CONTACTS_MAX);
	g->passive = mem_calloc(g->passive_capacity, sizeof(*g->passive));
	if (g->passive == NULL || views_reserve(g) != TK_OK || bodies_reserve(g) != TK_OK ||
		topics_reserve(g) != TK_OK) {
		gossip_free(g);
		return NULL;
	}
	return g;
}

void gossip_free(struct gossip *g)
{
	if (g == NULL)
		return;
	mem_free(g->neighbours);
	mem_free(g->entries);
	mem_free(g->ids);
	mem_free(g->retained);
	mem_free(g->passive);
	mem_free(g);
}

void gossip_effects_close(struct gossip_effects *e)
{
	mem_free(e->items);
	*e = (struct gossip_effects){0};
}

/* splitmix64 (Steele, Lea, Flood 2014) from what the event brought. */
uint64_t dice(struct gossip *g)
{
	uint64_t z = g->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint32_t dice_below(struct gossip *g, uint32_t n)
{
	return (uint32_t)(((dice(g) >> 32) * n) >> 32);
}

uint32_t about(struct gossip *g, uint32_t ms)
{
	return ms - ms / 5 + dice_below(g, ms / 5 * 2 + 1);
}

/* Never fails: one item more than the limit has room, and what comes after the limit is lost there. */
struct gossip_effect *emit(struct gossip *g, enum gossip_effect_type type, peer_ref peer)
{
	struct gossip_effect *e = &g->out->items[g->out->count];

	if (g->out->count < g->emit_limit)
		g->out->count++;
	*e = (struct gossip_effect){.type = (uint8_t)type, .peer = peer};
	return e;
}

struct gossip_message *send_to(struct gossip *g, peer_ref peer, enum message_type type)
{
	struct gossip_message *m = &emit(g, GOSSIP_SEND, peer)->message;

	m->type = (uint8_t)type;
	return m;
}

/* It is nobody's neighbour any more, nobody to be dialled, and does not become one soon. */
static void ban(struct gossip *g, peer_ref peer)
{
	unsigned slot = slot_of(g, peer);
	struct visitor *v = visitor_of(g, peer);
	struct candidate *c = passive_find(g, peer);

	v->banned = true;
	v->since_ms = now32(g);
	if (slot != SLOT_NONE)
		slot_free(g, slot);
	if (c != NULL)
		c->contact = false; /* who has named it may do so again */
	passive_remove(g, peer);
	views_fill_soon(g, 0);
}

void accuse(struct gossip *g, peer_ref peer, const char *why)
{
	emit(g, GOSSIP_ACCUSE, peer)->why = why;
	g->counts.accused++;
	ban(g, peer);
}

static int effects_reserve(struct gossip_effects *out)
{
	size_t wanted = out->count + STEP_EFFECTS + 1;
	struct gossip_effect *items;

	if (wanted <= out->capacity)
		return TK_OK;
	wanted += wanted / 2;
	items = mem_realloc(out->items, wanted * sizeof(*items));
	if (items == NULL)
		return TK_ENOMEM;
	out->items = items;
	out->capacity = wanted;
	return TK_OK;
}

static void on_start(struct gossip *g, const struct gossip_event *e)
{
	for (size_t i = 0; i < e->count; i++)
		contact_add(g, e->refs[i]);
	if (g->shuffle_ms == NEVER || g->left) {
		g->left = false;
		g->beacon_ms = g->now_ms;
		g->watch_ms = g->config.root ? NEVER : g->now_ms + 2ull * g->config.beacon_ms;
		g->dial_tokens = DIAL_BURST;
		g->token_ms = g->now_ms;
		views_look_around(g);
	}
	views_fill_soon(g, 0);
}

static void on_up(struct gossip *g, const struct gossip_event *e)
{
	unsigned slot = slot_of(g, e->peer);

	if (slot == SLOT_NONE || g->neighbours[slot].state != NEIGHBOUR_DIALING)
		return;
	if (views_was_misled(g, slot))
		views_let_go(g, slot);
	else
		join_up(g, slot);
}

static void on_down(struct gossip *g, const struct gossip_event *e)
{
	unsigned slot = slot_of(g, e->peer);

	if (e->flag)
		ban(g, e->peer);
	else if (slot != SLOT_NONE && g->neighbours[slot].state != NEIGHBOUR_DIALING)
		join_down(g, slot);
}

/* Takes a message's price from what its neighbour may send in a second. The more it has sent, the more must a
 * message matter to be heard; bodies are judged by what they are. */
static bool neighbour_may_speak(struct gossip *g, unsigned slot, const struct gossip_message *m)
{
	static const uint16_t most[] = {
		NEIGHBOUR_RATE * 3 / 4, NEIGHBOUR_RATE * 7 / 8, NEIGHBOUR_RATE, NEIGHBOUR_RATE};
	struct neighbour *n = &g->neighbours[slot];
	uint32_t second = (uint32_t)(g->now_ms / 1000);
	unsigned importance = gossip_importance(m->type);

	if (n->budget_s != second) {
		n->budget_s = second;
		n->spent = 0;
	}
	n->spent = (uint16_t)(n->spent + 1 + (m->type == MESSAGE_GRAFT ? m->count : 0));
	if (n->spent >= NEIGHBOUR_FLOOD) {
		accuse(g, g->slot_peer[slot], "sends more messages than it may");
		return false;
	}
	if (n->spent <= most[importance] || m->type == MESSAGE_BROADCAST)
		return true;
	*(importance == 0	  ? &g->counts.shed_shuffle
		: importance == 1 ? &g->counts.shed_ihave
				  : &g->counts.shed_neighbour) += 1;
	return false;
}

static void on_message(struct gossip *g, const struct gossip_event *e)
{
	const struct gossip_message *m = e->message;
	unsigned slot = slot_of(g, e->peer);
	bool proven = lag_is_host(g, e->peer);
	uint64_t beacon = proven ? lag_beacon(g) : 0;

	if (e->peer == 0 || e->peer == g->config.self || m->count > 8)
		return;
	if (slot != SLOT_NONE) {
		if (e->rtt_ms != 0)
			g->neighbours[slot].rtt_ms =
				(uint16_t)(e->rtt_ms < UINT16_MAX ? e->rtt_ms : UINT16_MAX);
		if (!neighbour_may_speak(g, slot, m))
			return;
	} else if (!visitor_may_speak(g, e->peer)) {
		return;
	}
	if (slot != SLOT_NONE)
		lag_clear(g, slot, m);
	if (m->type >= MESSAGE_JOIN && m->type <= MESSAGE_SHUFFLE_REPLY)
		join_message(g, e->peer, slot, m);
	else if (m->type >= MESSAGE_BROADCAST && m->type <= MESSAGE_PRUNE)
		broadcast_message(g, e->peer, slot, m);
	else if (m->type == MESSAGE_HEADS || m->type == MESSAGE_PULL)
		topics_message(g, e->peer, slot, m);
	if (proven)
		lag_hear(g, e->peer, m, beacon);
}

static void on_wake(struct gossip *g)
{
	broadcast_wake(g);
	if (g->pending_ms <= g->now_ms)
		join_expire(g);
	if (g->watch_ms <= g->now_ms)
		topics_watch(g);
	if (g->judge_ms <= g->now_ms)
		lag_judge(g);
	if (g->shuffle_ms <= g->now_ms) {
		shuffle_begin(g);
		bodies_expire(g);
	}
	if (g->rotate_ms <= g->now_ms)
		views_rotate(g);
}

static void dispatch(struct gossip *g, const struct gossip_event *e)
{
	switch (e->type) {
	case GOSSIP_START:
		on_start(g, e);
		break;
	case GOSSIP_UP:
		on_up(g, e);
		break;
	case GOSSIP_DOWN:
		on_down(g, e);
		break;
	case GOSSIP_DIAL_FAILED:
		join_failed(g, e->peer);
		break;
	case GOSSIP_MESSAGE:
		on_message(g, e);
		break;
	case GOSSIP_WAKE:
		on_wake(g);
		break;
	case GOSSIP_PUBLISH:
		broadcast_publish(g, e->body);
		break;
	case GOSSIP_LEAVE:
		join_leave(g);
		break;
	case GOSSIP_ASK:
		lag_ask(g, e->peer);
		break;
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_wake(const struct gossip *g)
{
	uint64_t bodies = earlier(earlier(g->fast_ms, g->slow_ms), g->missing_ms);
	uint64_t views = earlier(earlier(g->fill_ms, g->shuffle_ms), g->rotate_ms);
	uint64_t others = earlier(earlier(g->pending_ms, g->watch_ms), g->pull_ms);

	return earlier(earlier(bodies, views), earlier(others, g->judge_ms));
}

int gossip_step(struct gossip *g, const struct gossip_event *event, struct gossip_effects *out)
{
	int rc = effects_reserve(out);

	if (rc == TK_OK)
		rc = views_reserve(g);
	if (rc == TK_OK)
		rc = bodies_reserve(g);
	if (rc == TK_OK)
		rc = topics_reserve(g);
	if (rc != TK_OK)
		return rc;
	g->out = out;
	g->emit_limit = out->count + STEP_EFFECTS;
	if (event->now_ms > g->now_ms)
		g->now_ms = event->now_ms;
	g->now_s = event->now_s;
	g->random = event->random;
	if (g->wake_ms != NEVER && g->now_ms > g->wake_ms + LATE_MS)
		g->thaw_ms = g->now_ms + THAW_MS;
	dispatch(g, event);
	if (g->fill_ms <= g->now_ms)
		views_fill(g);
	g->wake_ms = next_wake(g);
	return TK_OK;
}

uint64_t gossip_wake_ms(const struct gossip *g)
{
	return g->wake_ms;
}

const struct gossip_counts *gossip_counts(const struct gossip *g)
{
	return &g->counts;
}

unsigned gossip_importance(uint8_t type)
{
	switch (type) {
	case MESSAGE_FORWARD_JOIN:
	case MESSAGE_SHUFFLE:
	case MESSAGE_SHUFFLE_REPLY:
		return 0;
	case MESSAGE_IHAVE:
		return 1;
	case MESSAGE_BROADCAST:
	case MESSAGE_HEADS:
	case MESSAGE_PULL:
		return 2;
	default:
		return 3;
	}
}

size_t gossip_memory(const struct gossip *g)
{
	return sizeof(*g) + g->slots * sizeof(*g->neighbours) +
	       g->ring_size * (sizeof(*g->ids) + sizeof(*g->id_ms)) +
	       ring_entries(g->ring_size) * sizeof(*g->entries) +
	       g->retained_capacity * sizeof(*g->retained) +
	       g->passive_capacity * sizeof(*g->passive);
}
