/* See crowd.h. Who is there, and their clock. */
#include "tests/sim/crowd.h"

#include <stdio.h>
#include <stdlib.h>

#include "tasks/base/mem.h"
#include "tests/sim/crowd_state.h"
#include "tests/sim/progress.h"

#define MBIT 125u /* bytes a millisecond */

/* Home links, in Mbit/s, and how many of twenty have them: their mean uplink is 17. */
static const struct {
	uint16_t up, down, share;
} homes[] = {{5, 50, 4}, {10, 50, 7}, {20, 100, 5}, {40, 250, 4}};

void crowd_config_default(struct crowd_config *out, uint64_t seed, uint32_t peers)
{
	*out = (struct crowd_config){.seed = seed,
		.peers = peers,
		.public_percent = 10,
		.bytes = 1000000000,
		.seed_mbits = 1000,
		.want_ms = 2000,
		.places = 4096,
		.neighbours = 4,
		.map = {.seed = draw_hash(seed, 7, 7),
			.jitter_ms = 15,
			.stall_ppm = 10000,
			.stall_ms = 250}};
}

void crowd_broken(const struct crowd *c, const char *what)
{
	fprintf(stderr, "sim: broken at %.3f s of virtual time: %s\nseed %llu; replay: %s\n",
		(c->wheel.now_ms - CROWD_BEGIN_MS) / 1e3, what, (unsigned long long)c->config.seed,
		c->config.replay == NULL ? "this test" : c->config.replay);
	exit(1);
}

static void member_make(struct crowd *c, peer_ref peer, uint64_t *random)
{
	struct member *m = &c->members[peer];
	struct flow_end *end = &c->flows.ends[peer];
	uint32_t one = draw_below(random, 20), home = 0;
	struct swarm_config config;

	while (one >= homes[home].share)
		one -= homes[home++].share;
	m->public = peer == CROWD_ROOT || (peer - 2) % 100 < c->config.public_percent;
	m->nat = m->public ? NAT_NONE : nat_draw(random);
	place_draw(&m->place, random, m->public);
	end->up = peer == CROWD_ROOT ? c->config.seed_mbits * MBIT : homes[home].up * MBIT;
	end->down = peer == CROWD_ROOT ? c->config.seed_mbits * MBIT : homes[home].down * MBIT;
	swarm_config_default(&config, peer == CROWD_ROOT ? 0 : CROWD_ROOT, BLOB_PIECE);
	m->swarm = swarm_new(&config);
	CROWD_CHECK(c, m->swarm != NULL);
}

/* As gossip keeps them: sessions that stay, half of those that one chooses with public peers. */
static void neighbours_choose(struct crowd *c, peer_ref p)
{
	uint32_t tries = 20 * c->config.neighbours, found = 0;

	for (; found < c->config.neighbours && tries != 0; tries--) {
		peer_ref q = 2 + draw_below(&c->random, c->config.peers);
		const struct member *a = &c->members[p], *b = &c->members[q];

		if (q == p || crowd_linked(c, p, q) != NULL ||
			(found % 2 == 0 && !b->public && c->config.public_percent != 0) ||
			!(a->public || b->public || nat_punches(a->nat, b->nat)))
			continue;
		found++;
		c->serial++;
		crowd_up(c, p, q, CROWD_NEIGHBOUR, c->serial);
		crowd_up(c, q, p, CROWD_NEIGHBOUR, c->serial);
	}
}

struct crowd *crowd_new(const struct crowd_config *config)
{
	struct crowd *c = mem_calloc(1, sizeof(*c));
	uint64_t random = draw_hash(config->seed, 3, 4);
	uint32_t count = config->peers + 2;

	CROWD_CHECK(c, c != NULL);
	c->config = *config;
	c->random = draw_hash(config->seed, 1, 2);
	c->members = mem_calloc(count, sizeof(*c->members));
	c->payload_capacity = 1024;
	c->payload_count = 1;
	c->payloads = mem_alloc(c->payload_capacity * sizeof(*c->payloads));
	CROWD_CHECK(c, c->members != NULL && c->payloads != NULL);
	wheel_init(&c->wheel);
	alarms_init(&c->alarms, count);
	flows_init(&c->flows, count, count * 8);
	c->wheel.now_ms = CROWD_BEGIN_MS;
	for (peer_ref p = CROWD_ROOT; p < count; p++)
		member_make(c, p, &random);
	crowd_step(c, CROWD_ROOT,
		&(struct swarm_event){
			.type = SWARM_HOLD, .blob = CROWD_BLOB, .total = config->bytes});
	crowd_wire_measure(c);
	for (peer_ref p = 2; p < count; p++) {
		neighbours_choose(c, p);
		crowd_places_begin(
			c, p, CROWD_BEGIN_MS + 1 + draw_below(&c->random, config->want_ms));
		crowd_post(c, CROWD_WANT, p, p,
			CROWD_BEGIN_MS + 2 + draw_below(&c->random, config->want_ms));
	}
	return c;
}

void crowd_free(struct crowd *c)
{
	for (peer_ref p = CROWD_ROOT; p < c->config.peers + 2; p++) {
		swarm_free(c->members[p].swarm);
		mem_free(c->members[p].links);
	}
	wheel_close(&c->wheel);
	alarms_close(&c->alarms);
	flows_close(&c->flows);
	swarm_effects_close(&c->effects);
	mem_free(c->members);
	mem_free(c->payloads);
	mem_free(c);
}

uint32_t crowd_arrival(const struct crowd *c, peer_ref from, peer_ref to, uint32_t at_ms)
{
	return map_arrival_ms(
		&c->config.map, from, &c->members[from].place, to, &c->members[to].place, at_ms);
}

uint32_t crowd_post(
	struct crowd *c, enum crowd_event_kind kind, peer_ref from, peer_ref to, uint32_t at_ms)
{
	uint32_t event = wheel_new(&c->wheel);

	c->wheel.events[event] =
		(struct wheel_event){.kind = (uint8_t)kind, .from = from, .to = to};
	wheel_post(&c->wheel, event, at_ms);
	return event;
}

void crowd_run(struct crowd *c, uint32_t at_ms)
{
	for (at_ms += CROWD_BEGIN_MS; c->wheel.now_ms < at_ms; wheel_advance(&c->wheel)) {
		uint32_t event, flow;
		peer_ref peer;

		if (c->wheel.now_ms % 100 == 0)
			progress_tell(c->wheel.now_ms - CROWD_BEGIN_MS);
		while ((event = wheel_take(&c->wheel)) != WHEEL_NONE) {
			struct wheel_event copy = c->wheel.events[event];

			wheel_free(&c->wheel, event);
			c->totals.events++;
			c->totals.trace =
				(c->totals.trace << 19 | c->totals.trace >> 45) +
				draw_hash((uint64_t)copy.kind << 40 | (uint64_t)copy.type << 32 |
						  c->wheel.now_ms,
					(uint64_t)copy.from << 32 | copy.to, copy.sequence);
			crowd_hear(c, &copy);
		}
		while ((flow = flow_done(&c->flows, c->wheel.now_ms)) != 0)
			crowd_flowed(c, flow);
		while ((peer = alarms_take(&c->alarms, c->wheel.now_ms)) != 0)
			crowd_step(c, peer, &(struct swarm_event){.type = SWARM_WAKE});
	}
}

uint32_t crowd_done(const struct crowd *c)
{
	return c->done;
}

uint32_t crowd_done_ms(const struct crowd *c, uint32_t peer)
{
	return c->members[peer].done_ms == 0 ? 0 : c->members[peer].done_ms - CROWD_BEGIN_MS;
}

enum nat crowd_nat(const struct crowd *c, uint32_t peer)
{
	return (enum nat)c->members[peer].nat;
}

/* Everybody reaches the public ones, so every upload counts as soon as there is one. */
double crowd_bound_s(const struct crowd *c)
{
	double uploads = c->flows.ends[CROWD_ROOT].up, slowest = 1e18,
	       bytes = (double)c->config.bytes;
	bool meet = c->config.public_percent != 0;
	double bound;

	for (peer_ref p = 2; p < c->config.peers + 2; p++) {
		if (c->flows.ends[p].down < slowest)
			slowest = c->flows.ends[p].down;
		if (meet || c->members[p].nat != NAT_SYMMETRIC)
			uploads += c->flows.ends[p].up;
	}
	bound = bytes / c->flows.ends[CROWD_ROOT].up;
	if (bytes / slowest > bound)
		bound = bytes / slowest;
	if (c->config.peers * bytes / uploads > bound)
		bound = c->config.peers * bytes / uploads;
	return bound / 1e3;
}

void crowd_totals(const struct crowd *c, struct crowd_totals *out)
{
	double up = 0, sent = 0, now = 0;
	struct swarm_totals t;

	*out = c->totals;
	out->seed_sent = c->flows.ends[CROWD_ROOT].sent;
	out->seed_all = crowd_wire_pieces(c, out->seed_sent) + (double)out->seed_said;
	for (peer_ref p = 2; p < c->config.peers + 2; p++) {
		swarm_totals(c->members[p].swarm, &t);
		out->got += t.from_tracker + t.from_peers;
		out->wasted += t.wasted;
		out->memory += swarm_memory(c->members[p].swarm);
		up += c->flows.ends[p].up;
		sent += (double)c->flows.ends[p].sent;
		for (uint32_t f = c->flows.ends[p].first_out; f != 0;
			f = c->flows.flows[f].next_out)
			now += c->flows.flows[f].rate;
	}
	out->uplink_now = now / up;
	out->uplink_use = sent / (up * (c->wheel.now_ms - CROWD_BEGIN_MS));
}
