/* See swarm.h. This file: beginning and end, which part hears which event, and what it all asks of the
 * clock. */
#include <string.h>

#include "peer/swarm/swarm_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

void swarm_config_default(struct swarm_config *out, peer_ref tracker, uint32_t part_bytes)
{
	bool whole = part_bytes == BLOB_PIECE;

	*out = (struct swarm_config){.tracker = tracker,
		.part_bytes = part_bytes,
		.slots = 4,
		.window_max = whole ? 2 : 32,
		.queue_max = whole ? 4 : 64,
		.serving_max = whole ? 1 : 4,
		.dials_max = 8,
		.copies = 3,
		.turn_pieces = 2,
		.links_max = tracker == 0 ? 1u << 20 : 32,
		.have_ms = whole ? 2000 : 250,
		.who_ms = 2000,
		.first_ms = whole ? 240000 : 15000,
		.patience_ms = whole ? 60000 : 12000,
		.idle_ms = 700};
}

/* Memory */

void *swarm_alloc(struct swarm *s, size_t count, size_t size)
{
	void *p = mem_calloc(count, size);

	if (p == NULL)
		s->error = TK_ENOMEM;
	else
		s->memory += count * size;
	return p;
}

void swarm_release(struct swarm *s, void *p, size_t count, size_t size)
{
	if (p != NULL)
		s->memory -= count * size;
	mem_free(p);
}

struct swarm *swarm_new(const struct swarm_config *config)
{
	struct swarm *s = mem_calloc(1, sizeof(*s));
	uint32_t slots;

	if (s == NULL)
		return NULL;
	REQUIRE(config->part_bytes != 0 && BLOB_PIECE % config->part_bytes == 0 &&
		BLOB_PIECE / config->part_bytes <= 64 && config->slots <= SWARM_SLOTS_MAX &&
		config->dials_max <= DIALS_MAX && config->window_max <= SWARM_WINDOW_MAX);
	s->config = *config;
	s->parts_per_piece = BLOB_PIECE / config->part_bytes;
	slots = swarm_is_seed(s) ? SWARM_SLOTS_MAX : config->slots;
	s->waiter_max = swarm_is_seed(s) ? TRACKER_WAITERS : WAITERS_MAX;
	s->queues = swarm_alloc(s, (size_t)slots * config->queue_max, sizeof(*s->queues));
	s->waiters = swarm_alloc(s, s->waiter_max, sizeof(*s->waiters));
	if (swarm_is_seed(s))
		s->tracker = tracker_new();
	if (s->queues == NULL || s->waiters == NULL || (swarm_is_seed(s) && s->tracker == NULL)) {
		swarm_free(s);
		return NULL;
	}
	for (uint32_t i = 0; i < slots; i++)
		s->slots[i].queue = s->queues + (size_t)i * config->queue_max;
	return s;
}

void swarm_free(struct swarm *s)
{
	if (s == NULL)
		return;
	while (s->mate_list != NULL) {
		struct swarm_mate *m = s->mate_list;

		while (m->first != NULL)
			swarm_link_close(s, m->first, NULL);
		s->mate_list = m->next;
		swarm_release(s, m, 1, sizeof(*m));
	}
	while (s->blob_list != NULL)
		swarm_blob_free(s, s->blob_list);
	swarm_link_buried(s);
	index_close(&s->mates);
	index_close(&s->blobs);
	index_close(&s->links);
	tracker_free(s->tracker);
	mem_free(s->queues);
	mem_free(s->waiters);
	mem_free(s);
}

bool swarm_is_seed(const struct swarm *s)
{
	return s->config.tracker == 0;
}

/* SplitMix64 over what the event brought. */
uint64_t swarm_random(struct swarm *s)
{
	uint64_t x = s->random += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* Effects */

struct swarm_effect *swarm_push(
	struct swarm *s, struct swarm_effects *out, enum swarm_effect_type type, peer_ref peer)
{
	static struct swarm_effect nowhere; /* written when memory is short, never read */
	struct swarm_effect *e;

	if (out->count == out->capacity) {
		size_t capacity = out->capacity == 0 ? 16 : out->capacity * 2;

		e = mem_realloc(out->items, capacity * sizeof(*e));
		if (e == NULL) {
			s->error = TK_ENOMEM;
			return &nowhere;
		}
		out->items = e;
		out->capacity = capacity;
	}
	e = &out->items[out->count++];
	*e = (struct swarm_effect){.type = (uint8_t)type, .peer = peer};
	return e;
}

void swarm_effects_close(struct swarm_effects *e)
{
	mem_free(e->items);
	*e = (struct swarm_effects){0};
}

struct swarm_message *swarm_say(struct swarm *s, struct swarm_effects *out,
	const struct swarm_mate *to, enum message_type type, blob_ref blob)
{
	struct swarm_effect *e = swarm_push(s, out, SWARM_SEND, to->peer);

	e->message.type = (uint8_t)type;
	e->message.blob = blob;
	return &e->message;
}

/* Mates */

struct swarm_mate *swarm_mate_find(const struct swarm *s, peer_ref peer)
{
	return index_get(&s->mates, peer);
}

static struct swarm_mate *mate_take(struct swarm *s, peer_ref peer)
{
	struct swarm_mate *m = swarm_mate_find(s, peer);

	if (m != NULL)
		return m;
	m = swarm_alloc(s, 1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->peer = peer;
	if (index_put(&s->mates, peer, m) != TK_OK) {
		swarm_release(s, m, 1, sizeof(*m));
		s->error = TK_ENOMEM;
		return NULL;
	}
	m->next = s->mate_list;
	if (m->next != NULL)
		m->next->previous = m;
	s->mate_list = m;
	return m;
}

/* Nothing is expected of it any more. */
static void mate_end(struct swarm *s, struct swarm_mate *m, struct swarm_effects *out)
{
	m->up = false; /* nothing is sent to it */
	m->dialled = false;
	while (m->first != NULL)
		swarm_link_close(s, m->first, out);
	swarm_serve_mate_gone(s, m->peer, out);
	if (s->tracker != NULL)
		tracker_remove_peer(s->tracker, m->peer);
	if (m->previous != NULL)
		m->previous->next = m->next;
	else
		s->mate_list = m->next;
	if (m->next != NULL)
		m->next->previous = m->previous;
	index_remove(&s->mates, m->peer);
	swarm_release(s, m, 1, sizeof(*m));
}

bool swarm_is_liar(const struct swarm *s, peer_ref peer)
{
	for (uint32_t i = 0; i < LIARS_MAX; i++)
		if (s->liars[i] == peer)
			return true;
	return false;
}

void swarm_accuse(struct swarm *s, struct swarm_mate *m, const char *why, struct swarm_effects *out)
{
	swarm_push(s, out, SWARM_ACCUSE, m->peer)->why = why;
	mate_end(s, m, out);
}

static void peer_up(struct swarm *s, const struct swarm_event *event, struct swarm_effects *out)
{
	struct swarm_mate *m = mate_take(s, event->peer);

	if (m == NULL)
		return;
	if (m->up && m->reach != event->reach && swarm_is_seed(s)) {
		m->reach = event->reach;
		for (struct swarm_link *l = m->first; l != NULL; l = l->mate_next)
			swarm_seed_reach(s, l);
	}
	m->reach = event->reach;
	if (m->up)
		return;
	m->up = true;
	m->prefix = event->prefix;
	swarm_find_up(s, m, out);
}

static void peer_down(struct swarm *s, peer_ref peer, bool failed, struct swarm_effects *out)
{
	struct swarm_mate *m = swarm_mate_find(s, peer);

	if (failed && (m == NULL || !m->up))
		swarm_find_failed(s, peer, out);
	else if (!failed && m != NULL)
		mate_end(s, m, out);
}

/* Blobs */

struct swarm_blob *swarm_blob_find(const struct swarm *s, blob_ref ref)
{
	return index_get(&s->blobs, ref);
}

static void want(struct swarm *s, const struct swarm_event *event, struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, event->blob);

	if (b != NULL)
		return; /* wanted or held already */
	b = swarm_blob_new(s, event->blob);
	if (b == NULL)
		return;
	b->quiet = event->quiet;
	b->discreet = event->discreet;
	b->max = event->max != 0 && event->max < BLOB_BYTES_MAX ? event->max : BLOB_BYTES_MAX;
	if (event->total != 0)
		swarm_blob_set_total(s, b, event->total);
	if (s->error != TK_OK)
		return;
	if (event->total != 0 && event->words != NULL)
		swarm_blob_load_parts(s, b, event->words, event->count);
	if (b->pieces != 0 && b->have_count == b->pieces) {
		swarm_push(s, out, SWARM_COMPLETE, 0)->blob = b->ref;
		swarm_blob_become_whole(s, b);
		swarm_link_flush(s, b, out);
		return;
	}
	swarm_blob_set_busy(s, b, true);
	swarm_find_begin(s, b, out);
}

static void hold(struct swarm *s, const struct swarm_event *event, struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, event->blob);

	REQUIRE(event->total != 0 && event->total <= BLOB_BYTES_MAX);
	if (b != NULL && b->whole)
		return;
	if (b == NULL)
		b = swarm_blob_new(s, event->blob);
	if (b == NULL)
		return;
	b->quiet = event->quiet;
	b->discreet = event->discreet;
	b->group = event->group;
	if (b->total == 0)
		swarm_blob_set_total(s, b, event->total);
	if (s->error != TK_OK)
		return;
	swarm_blob_become_whole(s, b);
	swarm_link_flush(s, b, out);
}

/* Those who know of it hear that it is gone. */
static void drop(struct swarm *s, blob_ref ref, struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, ref);

	if (b == NULL)
		return;
	swarm_serve_blob_gone(s, ref, out);
	swarm_link_farewell(s, b, out);
	while (b->links != NULL)
		swarm_link_close(s, b->links, out);
	s->grave_words = b->have; /* an effect may borrow it */
	s->grave_count = b->words;
	b->have = NULL;
	swarm_blob_free(s, b);
}

/* Messages */

static void take_message(
	struct swarm *s, const struct swarm_event *event, struct swarm_effects *out)
{
	struct swarm_mate *m = swarm_mate_find(s, event->peer);
	const struct swarm_message *p = event->message;

	if (m == NULL || !m->up)
		return; /* the end of a session that was given up */
	switch (p->type) {
	case MESSAGE_BLOB_GET:
		swarm_serve_get(s, m, p, out);
		break;
	case MESSAGE_BLOB_PART:
		swarm_fetch_part_came(s, m, p, out);
		break;
	case MESSAGE_BLOB_MISSING:
		swarm_find_missing(s, m, p, out);
		break;
	case MESSAGE_BLOB_BUSY:
		swarm_fetch_busy(s, m, p);
		break;
	case MESSAGE_BLOB_HAVE:
		swarm_link_have(s, m, p, out);
		break;
	case MESSAGE_BLOB_WHO:
		if (swarm_is_seed(s))
			swarm_seed_who(s, m, p, out);
		else
			swarm_name_sources(s, m, p, out);
		break;
	case MESSAGE_BLOB_SOURCES:
		swarm_find_sources(s, m, p, out);
		break;
	default:
		swarm_accuse(s, m, "it says what has nothing to do with blobs", out);
		break;
	}
}

/* Time */

static void tick(struct swarm *s, struct swarm_effects *out)
{
	struct swarm_blob *next;

	swarm_serve_tick(s, out);
	for (struct swarm_blob *b = s->busy_list; b != NULL; b = next) {
		next = b->busy_next;
		if (b->flush_ms <= s->now_ms)
			swarm_link_flush(s, b, out);
		if (b->whole)
			continue;
		swarm_fetch_tick(s, b, out);
		swarm_find_tick(s, b, out);
	}
}

uint64_t swarm_wake_ms(const struct swarm *s)
{
	uint64_t at = swarm_serve_wake_ms(s);

	for (const struct swarm_blob *b = s->busy_list; b != NULL; b = b->busy_next) {
		uint64_t fetch_ms = b->whole ? NEVER : swarm_fetch_wake_ms(b);

		if (fetch_ms < at)
			at = fetch_ms;
		if (b->flush_ms < at)
			at = b->flush_ms;
		if (!b->whole && b->who_ms < at)
			at = b->who_ms;
	}
	return at;
}

/* It counts like what is refused here. */
static void peer_refused(struct swarm *s, peer_ref peer, struct swarm_effects *out)
{
	struct swarm_mate *m = swarm_mate_find(s, peer);

	if (m != NULL)
		(void)swarm_serve_tolerates(s, m, out);
}

int swarm_step(struct swarm *s, const struct swarm_event *event, struct swarm_effects *out)
{
	swarm_link_buried(s);
	s->now_ms = event->now_ms;
	s->random = event->random;
	switch (event->type) {
	case SWARM_WANT:
		want(s, event, out);
		break;
	case SWARM_HOLD:
		hold(s, event, out);
		break;
	case SWARM_DROP:
		drop(s, event->blob, out);
		break;
	case SWARM_UP:
		peer_up(s, event, out);
		break;
	case SWARM_DOWN:
		peer_down(s, event->peer, false, out);
		break;
	case SWARM_DIAL_FAILED:
		peer_down(s, event->peer, true, out);
		break;
	case SWARM_MESSAGE:
		take_message(s, event, out);
		break;
	case SWARM_SERVED:
		swarm_serve_served(s, event, out);
		break;
	case SWARM_WAKE:
		tick(s, out);
		break;
	case SWARM_REFUSED:
		peer_refused(s, event->peer, out);
		break;
	}
	return s->error;
}

/* For those who look on */

bool swarm_progress(const struct swarm *s, blob_ref blob, struct swarm_progress *out)
{
	const struct swarm_blob *b = swarm_blob_find(s, blob);

	if (b == NULL)
		return false;
	*out = (struct swarm_progress){.total = b->total,
		.pieces = b->pieces,
		.have = b->whole ? b->pieces : b->have_count,
		.links = b->link_count,
		.asked = b->live,
		.whole = b->whole};
	return true;
}

void swarm_totals(const struct swarm *s, struct swarm_totals *out)
{
	*out = s->totals;
}

bool swarm_needs_peer(const struct swarm *s, peer_ref peer)
{
	const struct swarm_mate *m = swarm_mate_find(s, peer);

	return m != NULL && m->links != 0;
}

size_t swarm_memory(const struct swarm *s)
{
	size_t places = s->mates.capacity + s->blobs.capacity + s->links.capacity;

	return sizeof(*s) + s->memory + places * (sizeof(uint64_t) + sizeof(void *)) +
	       (s->tracker != NULL ? tracker_memory(s->tracker) : 0);
}
