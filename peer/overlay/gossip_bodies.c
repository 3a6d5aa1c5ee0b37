/* Which bodies have come and which have only been heard of.
 *
 * The newest bodies are kept by number in two rings: ids of ring_size, and entries, with who has them already,
 * of half of it, so that a body a second takes 128 of the one and 64 of the other. The rings grow when bodies
 * come so often that they would go before their time. */
#include "peer/overlay/gossip_state.h"

#include <string.h>

#include "tasks/base/mem.h"

#define EXPIRE_AT_ONCE 64u

/* The first number whose entry is still there. */
uint32_t bodies_first(const struct gossip *g)
{
	uint32_t kept = ring_entries(g->ring_size);

	return g->newest - g->oldest > kept ? g->newest - kept : g->oldest;
}

/* Rings of twice the size, where the oldest would otherwise go too soon. Errors: TK_ENOMEM. */
static int ring_resize(struct gossip *g, uint32_t size)
{
	body_ref *ids = mem_alloc(size * (sizeof(*g->ids) + sizeof(*g->id_ms)));
	struct body_entry *entries = mem_calloc(ring_entries(size), sizeof(*entries));
	uint32_t *times;

	if (ids == NULL || entries == NULL) {
		mem_free(ids);
		mem_free(entries);
		return TK_ENOMEM;
	}
	times = ids + size;
	for (uint32_t k = g->oldest; k != g->newest; k++) {
		ids[k & (size - 1)] = g->ids[at(g, k)];
		times[k & (size - 1)] = g->id_ms[at(g, k)];
	}
	for (uint32_t k = g->ring_size != 0 ? bodies_first(g) : g->newest; k != g->newest; k++)
		entries[k & (ring_entries(size) - 1)] = *entry_of(g, k);
	mem_free(g->ids);
	mem_free(g->entries);
	g->ids = ids;
	g->id_ms = times;
	g->entries = entries;
	g->ring_size = size;
	return TK_OK;
}

int bodies_reserve(struct gossip *g)
{
	uint32_t kept = ring_entries(g->ring_size);
	uint32_t held = g->newest - g->oldest;
	bool ids_go, entries_go;

	if (g->ring_size == 0)
		return ring_resize(g, RING_FIRST);
	if (g->ring_size == RING_MAX || held < kept)
		return TK_OK;
	ids_go = held == g->ring_size && now32(g) - g->id_ms[at(g, g->oldest)] < IDS_MS;
	entries_go = now32(g) - g->id_ms[at(g, g->newest - kept)] < CACHE_MS;
	return ids_go || entries_go ? ring_resize(g, g->ring_size * 2) : TK_OK;
}

/* The number of a body that came; newest: it did not, or is forgotten. */
uint32_t body_number(const struct gossip *g, body_ref body)
{
	for (uint32_t k = g->newest; k != g->oldest; k--) {
		if (g->ids[at(g, k - 1)] == body)
			return k - 1;
	}
	return g->newest;
}

bool body_is_known(const struct gossip *g, body_ref body)
{
	return body_number(g, body) != g->newest;
}

/* Its entry, while it has one. */
struct body_entry *body_entry_find(const struct gossip *g, body_ref body)
{
	uint32_t k = body_number(g, body);

	return k != g->newest && g->newest - k <= ring_entries(g->ring_size) ? entry_of(g, k)
									     : NULL;
}

struct missing *missing_find(const struct gossip *g, body_ref body)
{
	for (unsigned i = 0; i < g->missing_count; i++) {
		if (g->missing[i].body == body)
			return (struct missing *)&g->missing[i];
	}
	return NULL;
}

bool gossip_keeps(const struct gossip *g, body_ref body)
{
	if (body == 0)
		return false;
	for (unsigned i = 0; i < g->retained_count; i++) {
		if (g->retained[i].body == body)
			return true;
	}
	return body_is_known(g, body) || missing_find(g, body) != NULL;
}

void forget_unless_kept(struct gossip *g, body_ref body)
{
	if (!gossip_keeps(g, body))
		emit(g, GOSSIP_FORGET, 0)->body = body;
}

static void oldest_forget(struct gossip *g)
{
	body_ref body = g->ids[at(g, g->oldest)];

	g->oldest++;
	forget_unless_kept(g, body);
}

void bodies_expire(struct gossip *g)
{
	for (unsigned i = 0; i < EXPIRE_AT_ONCE && g->oldest != g->newest; i++) {
		if (now32(g) - g->id_ms[at(g, g->oldest)] < IDS_MS)
			return;
		oldest_forget(g);
	}
}

struct body_entry *body_add(struct gossip *g, body_ref body, unsigned slot, uint8_t hops)
{
	struct body_entry *e;

	bodies_expire(g);
	if (g->newest - g->oldest == g->ring_size)
		oldest_forget(g);
	g->ids[at(g, g->newest)] = body;
	g->id_ms[at(g, g->newest)] = now32(g);
	e = entry_of(g, g->newest++);
	*e = (struct body_entry){.seen_ms = now32(g), .hops = hops, .parent = (uint8_t)slot};
	return e;
}

/* What is missing no more: who announced it has it. */
uint64_t missing_take(struct gossip *g, body_ref body)
{
	struct missing *m = missing_find(g, body);
	uint64_t announced;

	if (m == NULL)
		return 0;
	announced = m->announced;
	if (m->first != SLOT_NONE)
		g->neighbours[m->first].missing--;
	*m = g->missing[--g->missing_count];
	return announced;
}

/* A neighbour is gone, and its slot may be another's soon. */
void bodies_unlink(struct gossip *g, unsigned slot)
{
	for (uint32_t k = bodies_first(g); k != g->newest; k++) {
		struct body_entry *e = entry_of(g, k);

		e->told &= ~bit(slot);
		if (e->parent == slot)
			e->parent = SLOT_NONE;
	}
	for (unsigned i = 0; i < g->missing_count; i++) {
		struct missing *m = &g->missing[i];

		m->announced &= ~bit(slot);
		m->tried &= ~bit(slot);
		if (m->best == slot)
			m->best = SLOT_NONE;
		if (m->first == slot)
			m->first = SLOT_NONE;
	}
}
