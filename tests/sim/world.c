/* See world.h. What is in the world, and its clock. */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "tasks/base/mem.h"
#include "tests/sim/progress.h"
#include "tests/sim/world_state.h"

void world_config_default(struct world_config *out, uint64_t seed, uint32_t peers)
{
	*out = (struct world_config){.seed = seed,
		.peers = peers,
		.public_percent = 10,
		.bodies_max = 1000,
		.body_bytes = 600,
		.up_home_kbps = 10000,
		.up_public_kbps = 100000,
		.contacts = 3,
		.silence_ms = 45000,
		.dial_ms = 10000,
		.map = {.seed = draw_hash(seed, 7, 7),
			.jitter_ms = 15,
			.stall_ppm = 10000,
			.stall_ms = 250}};
}

void world_broken(const struct world *w, const char *what)
{
	fprintf(stderr, "sim: broken at %.3f s of virtual time: %s\nseed %llu; replay: %s\n",
		(w->wheel.now_ms - BEGIN_MS) / 1e3, what, (unsigned long long)w->config.seed,
		w->config.replay == NULL ? "this test" : w->config.replay);
	exit(1);
}

/* Honest peers share prefixes by chance, four prefixes to three peers' due; a Sybil's is one of few. */
static void peer_make(struct world *w, peer_ref peer, uint64_t *random)
{
	struct node *n = &w->nodes[peer];
	uint32_t prefixes = w->config.peers * 4 / 3 + 1;

	n->sybil = peer > w->last_honest && peer <= w->last;
	n->public = peer == WORLD_ROOT || n->sybil || (peer - 2) % 100 < w->config.public_percent;
	n->nat = n->public ? NAT_NONE : nat_draw(random);
	place_draw(&n->place, random, n->public);
	w->peers[peer] = (struct peer_info){
		.prefix = n->sybil ? prefixes + 1 + draw_below(random, w->config.sybil_prefixes)
				   : 1 + draw_below(random, prefixes),
		.public = n->public};
	world_record_write(w, peer);
	if (n->public && !n->sybil && peer != WORLD_ROOT && peer <= w->last_honest)
		w->publics[w->public_count++] = peer;
}

static void allocate(struct world *w, uint32_t count)
{
	const struct world_config *c = &w->config;

	w->nodes = mem_calloc(count, sizeof(*w->nodes));
	w->peers = mem_calloc(count, sizeof(*w->peers));
	w->bodies = mem_calloc((size_t)c->bodies_max + 1, sizeof(*w->bodies));
	w->spreads = mem_calloc((size_t)c->bodies_max + 1, sizeof(*w->spreads));
	w->publics = mem_alloc(count * sizeof(*w->publics));
	w->sizes = mem_alloc(count * sizeof(*w->sizes));
	WORLD_CHECK(w, w->nodes != NULL && w->peers != NULL && w->bodies != NULL);
	WORLD_CHECK(w, w->spreads != NULL && w->publics != NULL && w->sizes != NULL);
	WORLD_CHECK(w, forest_init(&w->forest, count) == 0);
	wheel_init(&w->wheel);
	alarms_init(&w->alarms, count);
}

struct world *world_new(const struct world_config *config)
{
	struct world *w = mem_calloc(1, sizeof(*w));
	uint64_t random;

	if (w == NULL)
		return NULL;
	w->config = *config;
	w->random = draw_hash(config->seed, 1, 2);
	random = draw_hash(config->seed, 3, 4);
	w->last_honest = config->peers + 1;
	w->last = w->last_honest + config->sybils;
	allocate(w, w->last + 2);
	w->wheel.now_ms = BEGIN_MS;
	w->tables = (struct gossip_tables){w->peers, w->bodies};
	for (peer_ref p = WORLD_ROOT; p <= w->last + 1; p++)
		peer_make(w, p, &random);
	return w;
}

void world_free(struct world *w)
{
	for (peer_ref p = 1; p <= w->last; p++) {
		gossip_free(w->nodes[p].gossip);
		mem_free(w->nodes[p].links);
	}
	for (uint32_t b = 1; b <= w->body_count; b++)
		spread_close(&w->spreads[b]);
	wheel_close(&w->wheel);
	alarms_close(&w->alarms);
	forest_close(&w->forest);
	gossip_effects_close(&w->effects);
	mem_free(w->nodes);
	mem_free(w->peers);
	mem_free(w->bodies);
	mem_free(w->spreads);
	mem_free(w->publics);
	mem_free(w->sizes);
	mem_free(w);
}

uint32_t world_now(const struct world *w)
{
	return w->wheel.now_ms - BEGIN_MS;
}

uint64_t world_random(struct world *w)
{
	return draw_next(&w->random);
}

static void node_boot(struct world *w, peer_ref peer)
{
	struct node *n = &w->nodes[peer];
	struct gossip_config config;

	n->state = WORLD_UP;
	n->boot_serial = w->serial;
	n->boot_ms = w->wheel.now_ms;
	n->frozen_ms = 0;
	world_record_write(w, peer);
	if (n->sybil) {
		alarms_set(&w->alarms, peer, w->wheel.now_ms,
			w->wheel.now_ms + 1 + draw_below(&w->random, 1000));
		return;
	}
	gossip_config_default(&config, peer, n->public);
	config.root = peer == WORLD_ROOT;
	if (w->config.tune != NULL)
		w->config.tune(&config);
	n->gossip = gossip_new(&config, &w->tables);
	WORLD_CHECK(w, n->gossip != NULL);
}

static void start(struct world *w, peer_ref peer)
{
	if (w->nodes[peer].state != WORLD_UP)
		node_boot(w, peer);
	if (!w->nodes[peer].sybil)
		world_contacts(w, peer);
}

static uint64_t rotate(uint64_t v, int by)
{
	return v << by | v >> (64 - by);
}

static void trace_add(struct world *w, const struct wheel_event *e)
{
	uint64_t what = (uint64_t)e->kind << 24 | (uint64_t)e->type << 16 |
			(uint64_t)e->count << 8 | e->ttl;

	w->totals.events++;
	w->totals.trace = rotate(w->totals.trace, 19) + draw_hash(what << 32 | w->wheel.now_ms,
								(uint64_t)e->from << 32 | e->to,
								(uint64_t)e->about << 32 | e->ref);
}

static void dispatch(struct world *w, uint32_t event)
{
	struct wheel_event *e = &w->wheel.events[event];
	struct node *to = &w->nodes[e->to];

	if (to->frozen_ms > w->wheel.now_ms && e->kind != EVENT_SYN) {
		wheel_post(&w->wheel, event, to->frozen_ms);
		return;
	}
	trace_add(w, e);
	switch (e->kind) {
	case EVENT_MESSAGE:
		if (to->state == WORLD_UP && link_holds(w, e))
			world_message(w, e);
		break;
	case EVENT_START:
		start(w, e->to);
		break;
	default: {
		struct wheel_event copy = *e; /* the pool may move */

		link_event(w, &copy);
		break;
	}
	}
	wheel_free(&w->wheel, event);
}

void world_run(struct world *w, uint32_t at_ms)
{
	for (at_ms += BEGIN_MS; w->wheel.now_ms < at_ms; wheel_advance(&w->wheel)) {
		uint32_t event;
		peer_ref peer;

		if (w->wheel.now_ms % 100 == 0)
			progress_tell(world_now(w));
		if (w->next_beacon_ms != 0 && w->wheel.now_ms >= w->next_beacon_ms) {
			w->next_beacon_ms += WORLD_BEACON_S * 1000;
			if (world_is_up(w, WORLD_ROOT))
				world_publish(w, true);
		}
		while ((event = wheel_take(&w->wheel)) != WHEEL_NONE)
			dispatch(w, event);
		while ((peer = alarms_take(&w->alarms, w->wheel.now_ms)) != 0)
			world_wake(w, peer);
	}
}

void world_beacons(struct world *w)
{
	w->next_beacon_ms = w->wheel.now_ms;
}

void world_start(struct world *w, peer_ref peer, uint32_t in_ms)
{
	link_post(w, EVENT_START, peer, peer, 0, w->wheel.now_ms + in_ms);
}

void world_kill(struct world *w, peer_ref peer, enum world_state how)
{
	struct node *n = &w->nodes[peer];

	if (n->state != WORLD_UP)
		return;
	n->state = (uint8_t)how;
	links_drop(w, peer, how == WORLD_GONE ? w->wheel.now_ms + w->config.silence_ms : 0);
	gossip_free(n->gossip);
	n->gossip = NULL;
	alarms_clear(&w->alarms, peer);
}

void world_freeze(struct world *w, peer_ref peer, uint32_t for_ms)
{
	struct node *n = &w->nodes[peer];

	if (n->state != WORLD_UP)
		return;
	n->frozen_ms = w->wheel.now_ms + for_ms;
	for (uint32_t i = 0; i < n->link_count && for_ms >= w->config.silence_ms; i++) {
		const struct link *l = &n->links[i];

		link_post(w, EVENT_CLOSE, peer, l->peer, l->serial,
			w->wheel.now_ms + w->config.silence_ms);
		link_post(w, EVENT_CLOSE, l->peer, peer, l->serial, n->frozen_ms);
	}
}

void world_side(struct world *w, peer_ref peer, uint8_t side)
{
	struct node *n = &w->nodes[peer];
	uint32_t at_ms = w->wheel.now_ms + w->config.silence_ms;

	if (n->side == side)
		return;
	n->side = side;
	for (uint32_t i = 0; i < n->link_count; i++) {
		const struct link *l = &n->links[i];

		if (world_reaches(w, peer, l->peer))
			continue;
		link_post(w, EVENT_CLOSE, peer, l->peer, l->serial, at_ms);
		link_post(w, EVENT_CLOSE, l->peer, peer, l->serial, at_ms);
	}
}

void world_surround(struct world *w, peer_ref peer, bool on)
{
	world_side(w, peer, on ? SIDE_ALONE : 0);
}

void world_skew(struct world *w, peer_ref peer, int32_t seconds)
{
	w->nodes[peer].skew_s = seconds;
}

bool world_is_up(const struct world *w, peer_ref peer)
{
	return w->nodes[peer].state == WORLD_UP;
}

bool world_is_public(const struct world *w, peer_ref peer)
{
	return w->nodes[peer].public;
}

peer_ref world_peer_last(const struct world *w)
{
	return w->last_honest;
}
