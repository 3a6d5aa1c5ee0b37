/* What can be asked of a world. See world.h. */
#include <string.h>

#include "tests/sim/world_state.h"

body_ref world_publish(struct world *w, bool beacon)
{
	struct gossip_event event = {.type = GOSSIP_PUBLISH};
	topic_ref topic = beacon ? TOPIC_BEACON : TOPIC_ROUND;
	body_ref body = w->body_count + 1;

	WORLD_CHECK(w, body <= w->config.bodies_max && world_is_up(w, WORLD_ROOT));
	w->bodies[body] = (struct body_info){.topic = topic,
		.issued_s = WALL_S + w->wheel.now_ms / 1000,
		.sequence = ++w->sequence,
		.beacon = beacon};
	WORLD_CHECK(w,
		spread_init(&w->spreads[body], w->wheel.now_ms, w->last + 2, WORLD_ROOT) == TK_OK);
	w->body_count = body;
	w->newest[topic] = body;
	event.body = body;
	world_step(w, WORLD_ROOT, &event);
	return body;
}

const struct spread *world_spread(const struct world *w, body_ref body)
{
	return &w->spreads[world_body_index(w, body)];
}

void world_reach(const struct world *w, body_ref body, uint32_t *reached, uint32_t *of)
{
	const struct spread *s = world_spread(w, body);

	*reached = *of = 0;
	for (peer_ref p = 2; p <= w->last_honest; p++) {
		const struct node *n = &w->nodes[p];

		if (n->state != WORLD_UP || n->boot_ms > s->published_ms)
			continue;
		(*of)++;
		*reached += s->at[p] != 0;
	}
}

bool world_is_current(const struct world *w, peer_ref peer)
{
	for (topic_ref t = TOPIC_BEACON; t <= TOPIC_ROUND; t++)
		if (w->newest[t] != 0 && gossip_retained(w->nodes[peer].gossip, t) != w->newest[t])
			return false;
	return true;
}

static void components_count(
	struct world *w, struct components *out, uint32_t *size, uint32_t age_ms)
{
	memset(size, 0, (w->last + 2) * sizeof(*size));
	for (peer_ref p = 1; p <= w->last_honest; p++)
		if (w->nodes[p].state == WORLD_UP &&
			w->nodes[p].boot_ms + age_ms <= w->wheel.now_ms)
			size[forest_root(&w->forest, p)]++;
	for (peer_ref p = 1; p <= w->last_honest; p++) {
		out->nodes += size[p];
		out->count += size[p] != 0;
		out->islands += size[p] == 1;
		if (size[p] > out->largest)
			out->largest = size[p];
	}
}

void world_components(struct world *w, struct components *out)
{
	world_components_of(w, out, 0);
}

/* A neighbour counts where a session with it is open: a view that names one who is gone holds nothing. */
void world_components_of(struct world *w, struct components *out, uint32_t age_ms)
{
	peer_ref active[GOSSIP_ACTIVE_MAX];

	*out = (struct components){0};
	forest_reset(&w->forest);
	for (peer_ref p = 1; p <= w->last_honest; p++) {
		const struct node *n = &w->nodes[p];
		size_t count = n->gossip == NULL ? 0 : gossip_active(n->gossip, active);

		for (size_t i = 0; i < count; i++) {
			const struct node *other = &w->nodes[active[i]];

			if (active[i] <= w->last_honest && other->state == WORLD_UP &&
				world_reaches(w, p, active[i]) && link_find(other, p) != NULL)
				forest_join(&w->forest, p, active[i]);
		}
	}
	components_count(w, out, w->sizes, age_ms);
}

uint32_t world_eclipsed(const struct world *w, peer_ref *peers, uint32_t max)
{
	peer_ref active[GOSSIP_ACTIVE_MAX];
	uint32_t found = 0;

	for (peer_ref p = 2; p <= w->last_honest; p++) {
		const struct node *n = &w->nodes[p];
		size_t count = n->gossip == NULL ? 0 : gossip_active(n->gossip, active), lies = 0;

		for (size_t i = 0; i < count; i++)
			lies += w->nodes[active[i]].sybil;
		if (count == 0 || lies < count)
			continue;
		if (found < max)
			peers[found] = p;
		found++;
	}
	return found;
}

uint32_t world_neighbours_of(const struct world *w, peer_ref peer)
{
	peer_ref active[GOSSIP_ACTIVE_MAX];
	const struct gossip *g = w->nodes[peer].gossip;

	return g == NULL ? 0 : (uint32_t)gossip_active(g, active);
}

void world_neighbours(
	const struct world *w, struct histogram *count, uint64_t *all, uint64_t *sybil)
{
	peer_ref active[GOSSIP_ACTIVE_MAX];

	histogram_init(count, 1);
	*all = *sybil = 0;
	for (peer_ref p = 2; p <= w->last_honest; p++) {
		const struct node *n = &w->nodes[p];
		size_t views = n->gossip == NULL ? 0 : gossip_active(n->gossip, active);

		if (n->gossip != NULL)
			histogram_add(count, (uint32_t)views);
		*all += views;
		for (size_t i = 0; i < views; i++)
			*sybil += w->nodes[active[i]].sybil;
	}
}

void world_totals(const struct world *w, struct world_totals *out)
{
	*out = w->totals;
	for (peer_ref p = 1; p <= w->last; p++)
		if (w->nodes[p].gossip != NULL)
			out->memory_gossip += gossip_memory(w->nodes[p].gossip);
	out->memory =
		out->memory_gossip + w->link_bytes + wheel_memory(&w->wheel) +
		(w->last + 2) * (sizeof(*w->nodes) + sizeof(*w->peers) + sizeof(*w->alarms.alarms) +
					2 * sizeof(uint32_t) + sizeof(*w->publics)) +
		w->body_count * (sizeof(*w->bodies) + sizeof(*w->spreads) + w->last + 2);
}

uint32_t world_isolated_ms(const struct world *w, peer_ref peer)
{
	uint32_t at_ms = w->nodes[peer].isolated_ms;

	return at_ms == 0 ? 0 : at_ms - BEGIN_MS;
}
