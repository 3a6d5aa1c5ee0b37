/* Upload slots: who is served, who waits, and when it is the next one's turn; see swarm.h. */
#include "peer/swarm/swarm_state.h"

#include <string.h>

#define BY_CHANCE                                                                                  \
	4u /* every so many free slots go to anybody who waits, not to who has least and waited longest */

/* Slots */

static blob_ref slot_blob(const struct swarm *s, blob_ref blob)
{
	return swarm_is_seed(s) ? blob : 0;
}

static struct swarm_slot *slot_find(struct swarm *s, peer_ref peer, blob_ref blob)
{
	for (uint32_t i = 0; i < s->slot_count; i++)
		if (s->slots[i].peer == peer && s->slots[i].blob == slot_blob(s, blob))
			return &s->slots[i];
	return NULL;
}

static bool slot_is_free(const struct swarm *s, blob_ref blob)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < s->slot_count; i++)
		used += s->slots[i].blob == slot_blob(s, blob);
	return used < s->config.slots && s->slot_count < SWARM_SLOTS_MAX;
}

static struct swarm_slot *slot_begin(struct swarm *s, peer_ref peer, uint64_t prefix, blob_ref blob)
{
	struct swarm_slot *slot = &s->slots[s->slot_count++];
	struct swarm_upload *queue = slot->queue;

	*slot = (struct swarm_slot){.peer = peer,
		.prefix = prefix,
		.blob = slot_blob(s, blob),
		.queue = queue,
		.used_ms = s->now_ms};
	return slot;
}

/* How many pieces a waiter says that it has; 0 for one that has gone away, so that its place is free soon. */
static uint32_t waiter_pieces(struct swarm *s, const struct swarm_waiter *w)
{
	struct swarm_blob *b = swarm_blob_find(s, w->blob);
	const struct swarm_link *l = b == NULL ? NULL : swarm_link_find(s, b, w->peer);

	return l == NULL ? 0 : l->theirs_count;
}

/* How many slots go to where the peer comes from: many identities at one place wait for each other. */
static uint32_t slots_of_prefix(const struct swarm *s, uint64_t prefix, blob_ref slot_of)
{
	uint32_t count = 0;

	for (uint32_t i = 0; prefix != 0 && i < s->slot_count; i++)
		count += s->slots[i].blob == slot_of && s->slots[i].prefix == prefix;
	return count;
}

/* Smaller comes first: whose place has fewest slots, then who has least, then who has waited longest. */
static bool is_before(const uint64_t a[3], const uint64_t b[3])
{
	for (unsigned i = 0; i < 3; i++)
		if (a[i] != b[i])
			return a[i] < b[i];
	return false;
}

/* Who is next? Those that have gone away, or have all that they asked for, lose their place. */
static bool waiter_pop(struct swarm *s, blob_ref slot_of, struct swarm_waiter *out)
{
	for (;;) {
		uint32_t count = 0, found = 0;
		uint64_t best[3] = {0};
		bool any = swarm_random(s) % BY_CHANCE == 0;

		for (uint32_t i = 0; i < s->waiter_count; i++) {
			const struct swarm_waiter *w = &s->waiters[i];

			if (slot_of != 0 && w->blob != slot_of)
				continue;
			count++;
			if (any && swarm_random(s) % count == 0) {
				found = i;
			} else if (!any) {
				const uint64_t rank[3] = {slots_of_prefix(s, w->prefix, slot_of),
					waiter_pieces(s, w), w->since_ms};

				if (count == 1 || is_before(rank, best)) {
					found = i;
					memcpy(best, rank, sizeof(best));
				}
			}
		}
		if (count == 0)
			return false;
		*out = s->waiters[found];
		s->waiters[found] = s->waiters[--s->waiter_count];
		if (swarm_blob_find(s, out->blob) != NULL &&
			swarm_link_find(s, swarm_blob_find(s, out->blob), out->peer) != NULL)
			return true;
	}
}

/* A slot is over; its place is offered to the next by a HAVE. */
static void slot_end(struct swarm *s, struct swarm_slot *slot, struct swarm_effects *out)
{
	struct swarm_slot *last = &s->slots[--s->slot_count];
	struct swarm_upload *queue = slot->queue;
	blob_ref of = slot->blob;
	struct swarm_waiter w;

	*slot = *last;
	last->queue = queue;
	last->queued = last->serving = 0;
	if (out == NULL || !waiter_pop(s, of, &w))
		return;
	slot_begin(s, w.peer, w.prefix, w.blob);
	swarm_link_tell(s, swarm_link_find(s, swarm_blob_find(s, w.blob), w.peer), out);
}

static bool slot_is_idle(const struct swarm_slot *slot)
{
	return slot->queued == 0 && slot->serving == 0;
}

static bool somebody_waits(const struct swarm *s, blob_ref of)
{
	for (uint32_t i = 0; i < s->waiter_count; i++)
		if (of == 0 || s->waiters[i].blob == of)
			return true;
	return false;
}

/* As many of its requests as may be under way leave. */
static void slot_pump(struct swarm *s, struct swarm_slot *slot, struct swarm_effects *out)
{
	uint64_t turn = (uint64_t)s->config.turn_pieces * BLOB_PIECE;

	while (slot->serving < s->config.serving_max && slot->queued != 0) {
		const struct swarm_upload *u = &slot->queue[slot->head];
		struct swarm_effect *e = swarm_push(s, out, SWARM_SERVE, slot->peer);

		e->blob = u->blob;
		e->offset = u->offset;
		e->length = u->length;
		slot->head = (slot->head + 1) % s->config.queue_max;
		slot->queued--;
		slot->serving++;
		slot->served += u->length;
		slot->used_ms = s->now_ms;
		s->totals.served += u->length;
	}
	slot->over = slot->over || (slot->served >= turn && somebody_waits(s, slot->blob));
	if (slot->over && slot_is_idle(slot))
		slot_end(s, slot, out);
}

/* Refusing */

bool swarm_serve_tolerates(struct swarm *s, struct swarm_mate *m, struct swarm_effects *out)
{
	if (s->now_ms >= m->refused_ms + REFUSED_MS) {
		m->refused = 0;
		m->refused_ms = s->now_ms;
	}
	if (++m->refused <= REFUSED_MAX)
		return true;
	swarm_accuse(s, m, "it asks on and on for what it was refused", out);
	return false;
}

static uint32_t waiters_of_prefix(const struct swarm *s, uint64_t prefix)
{
	uint32_t count = 0;

	for (uint32_t i = 0; prefix != 0 && i < s->waiter_count; i++)
		count += s->waiters[i].prefix == prefix;
	return count;
}

/* The line is full: one of it, drawn by chance, makes room if more of its place wait than of the newcomer's. */
static void waiter_displace(struct swarm *s, const struct swarm_waiter *newcomer)
{
	struct swarm_waiter *w = &s->waiters[swarm_random(s) % s->waiter_count];

	if (w->prefix != newcomer->prefix &&
		waiters_of_prefix(s, w->prefix) > waiters_of_prefix(s, newcomer->prefix) + 1)
		*w = *newcomer;
}

static void wait_in_line(struct swarm *s, const struct swarm_mate *m, blob_ref blob)
{
	const struct swarm_waiter w = {m->peer, blob, s->now_ms, m->prefix};

	for (uint32_t i = 0; i < s->waiter_count; i++)
		if (s->waiters[i].peer == w.peer &&
			(s->waiters[i].blob == blob || !swarm_is_seed(s)))
			return;
	if (s->waiter_count < s->waiter_max)
		s->waiters[s->waiter_count++] = w;
	else
		waiter_displace(s, &w);
}

static void refuse(struct swarm *s, struct swarm_mate *m, blob_ref blob, bool in_line,
	struct swarm_effects *out)
{
	uint64_t wait;
	struct swarm_message *b;

	if (!swarm_serve_tolerates(s, m, out))
		return;
	if (in_line)
		wait_in_line(s, m, blob);
	wait = RETRY_MS + (uint64_t)RETRY_MS * s->waiter_count / (s->config.slots + 1u);
	b = swarm_say(s, out, m, MESSAGE_BLOB_BUSY, blob);
	b->retry_ms = (uint32_t)(wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
}

static void not_here(
	struct swarm *s, struct swarm_mate *m, blob_ref blob, struct swarm_effects *out)
{
	if (swarm_serve_tolerates(s, m, out))
		(void)swarm_say(s, out, m, MESSAGE_BLOB_MISSING, blob);
}

/* Taking */

static void queue_add(struct swarm *s, struct swarm_slot *slot, const struct swarm_message *g,
	uint64_t length, struct swarm_effects *out)
{
	uint32_t at = (slot->head + slot->queued) % s->config.queue_max;

	slot->queue[at] = (struct swarm_upload){g->blob, (uint32_t)length, g->offset};
	slot->queued++;
	slot_pump(s, slot, out);
}

/* When a slot that does nothing goes to whoever waits. What was sent and is not taken is no use of it, or four
 * peers who read nothing would keep everybody else from ever being served. */
static uint64_t slot_free_ms(const struct swarm *s, const struct swarm_slot *slot)
{
	if (slot_is_idle(slot))
		return slot->used_ms + s->config.idle_ms;
	return slot->serving != 0 ? slot->used_ms + s->config.first_ms : NEVER;
}

/* Whoever loses its slot hears so of each request that has not been begun, the youngest first. */
static void queue_refuse(struct swarm *s, struct swarm_slot *slot, const struct swarm_mate *m,
	struct swarm_effects *out)
{
	for (; slot->queued != 0; slot->queued--) {
		uint32_t youngest = (slot->head + slot->queued - 1) % s->config.queue_max;

		swarm_say(s, out, m, MESSAGE_BLOB_BUSY, slot->queue[youngest].blob)->retry_ms =
			RETRY_MAX_MS;
	}
}

static void idle_slots_end(struct swarm *s, struct swarm_effects *out)
{
	for (uint32_t i = s->slot_count; i > 0; i--) {
		struct swarm_slot *slot = &s->slots[i - 1];
		struct swarm_mate *m = swarm_mate_find(s, slot->peer);

		if (slot_free_ms(s, slot) > s->now_ms)
			continue;
		if (m != NULL) {
			m->untaken += slot->serving;
			queue_refuse(s, slot, m, out);
		}
		slot_end(s, slot, out);
	}
}

static void take(struct swarm *s, struct swarm_mate *m, const struct swarm_message *g,
	uint64_t length, struct swarm_effects *out)
{
	struct swarm_slot *slot = slot_find(s, m->peer, g->blob);

	if (slot == NULL && !slot_is_free(s, g->blob))
		idle_slots_end(s, out);
	if (slot == NULL && m->untaken == 0 && slot_is_free(s, g->blob))
		slot = slot_begin(s, m->peer, m->prefix, g->blob);
	if (slot == NULL || slot->over)
		refuse(s, m, g->blob, true, out);
	else if (slot->queued == s->config.queue_max)
		refuse(s, m, g->blob, false, out);
	else
		queue_add(s, slot, g, length, out);
}

void swarm_serve_get(struct swarm *s, struct swarm_mate *m, const struct swarm_message *g,
	struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, g->blob);
	struct swarm_link *l;
	uint32_t first, last;
	uint64_t length;

	if (b == NULL || b->total == 0 || (b->quiet && !swarm_is_seed(s))) {
		not_here(s, m, g->blob, out);
		return;
	}
	if (g->offset >= b->total || g->length == 0) {
		swarm_accuse(s, m, "it asked beyond the end of a blob", out);
		return;
	}
	length = b->total - g->offset < g->length ? b->total - g->offset : g->length;
	first = (uint32_t)(g->offset / BLOB_PIECE);
	last = (uint32_t)((g->offset + length - 1) / BLOB_PIECE);
	l = swarm_link_take(s, b, m, out);
	if (l == NULL || (swarm_is_seed(s) && !(swarm_seed_admits(s, l, first) &&
						      swarm_seed_admits(s, l, last)))) {
		refuse(s, m, g->blob, false, out);
		return;
	}
	if (!bit_get(b->have, first) || !bit_get(b->have, last)) {
		if (swarm_serve_tolerates(s, m, out))
			swarm_link_tell(s, l, out); /* it thought wrong */
		return;
	}
	if (!l->told && b->pieces > 1)
		swarm_link_tell(s, l, out);
	take(s, m, g, length, out);
}

void swarm_serve_served(struct swarm *s, const struct swarm_event *event, struct swarm_effects *out)
{
	struct swarm_slot *slot = slot_find(s, event->peer, event->blob);
	struct swarm_blob *b = swarm_blob_find(s, event->blob);
	struct swarm_link *l = b != NULL ? swarm_link_find(s, b, event->peer) : NULL;
	struct swarm_mate *m = swarm_mate_find(s, event->peer);

	if (m != NULL && m->untaken != 0) {
		m->untaken--;
	} else if (slot != NULL && slot->serving != 0) {
		slot->serving--;
		slot->used_ms = s->now_ms;
		slot_pump(s, slot, out);
	}
	if (l != NULL && swarm_is_seed(s))
		swarm_seed_sent(s, l, event->offset + event->length, out);
}

void swarm_serve_satisfied(struct swarm *s, const struct swarm_link *l, struct swarm_effects *out)
{
	struct swarm_slot *slot = slot_find(s, l->mate->peer, l->blob->ref);

	if (slot != NULL && slot_is_idle(slot))
		slot_end(s, slot, out);
}

void swarm_serve_mate_gone(struct swarm *s, peer_ref peer, struct swarm_effects *out)
{
	struct swarm_mate *m = swarm_mate_find(s, peer);

	if (m != NULL)
		m->untaken = 0;
	for (uint32_t i = s->waiter_count; i > 0; i--)
		if (s->waiters[i - 1].peer == peer)
			s->waiters[i - 1] = s->waiters[--s->waiter_count];
	for (uint32_t i = s->slot_count; i > 0; i--)
		if (s->slots[i - 1].peer == peer)
			slot_end(s, &s->slots[i - 1], out);
}

/* Its queued requests are forgotten: whoever asks again hears MISSING. */
void swarm_serve_blob_gone(struct swarm *s, blob_ref blob, struct swarm_effects *out)
{
	for (uint32_t i = s->waiter_count; i > 0; i--)
		if (s->waiters[i - 1].blob == blob)
			s->waiters[i - 1] = s->waiters[--s->waiter_count];
	for (uint32_t i = s->slot_count; i > 0; i--) {
		struct swarm_slot *slot = &s->slots[i - 1];
		uint32_t kept = 0;

		for (uint32_t k = 0; k < slot->queued; k++) {
			struct swarm_upload u = slot->queue[(slot->head + k) % s->config.queue_max];

			if (u.blob != blob)
				slot->queue[(slot->head + kept++) % s->config.queue_max] = u;
		}
		slot->queued = kept;
		if (slot->blob == blob && slot_is_idle(slot))
			slot_end(s, slot, out);
	}
}

void swarm_serve_tick(struct swarm *s, struct swarm_effects *out)
{
	if (s->waiter_count != 0)
		idle_slots_end(s, out);
}

uint64_t swarm_serve_wake_ms(const struct swarm *s)
{
	uint64_t at = NEVER;

	for (uint32_t i = 0; s->waiter_count != 0 && i < s->slot_count; i++) {
		const struct swarm_slot *slot = &s->slots[i];

		if (slot_free_ms(s, slot) < at)
			at = slot_free_ms(s, slot);
	}
	return at;
}
