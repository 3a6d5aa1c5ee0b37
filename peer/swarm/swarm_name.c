/* Naming sources to peers who ask, where we are no tracker: a few of those with whom we exchange the blob, drawn by
 * chance, half of them such as strangers can dial. Of a blob that nobody else is to hear of we say that it is not
 * here. */
#include "peer/swarm/swarm_state.h"

/* A random choice of those that are added, however many come. */
struct draw {
	peer_ref peers[SWARM_SOURCES_FEW];
	uint32_t count, seen;
};

static void draw_add(struct swarm *s, struct draw *d, peer_ref peer)
{
	uint64_t at;

	d->seen++;
	if (d->count == SWARM_SOURCES_FEW) {
		at = swarm_random(s) % d->seen;
	} else { /* at any place: who was there moves to the end */
		at = swarm_random(s) % ++d->count;
		d->peers[d->count - 1] = d->peers[at];
	}
	if (at < SWARM_SOURCES_FEW)
		d->peers[at] = peer;
}

static void draw_give(struct draw *d, struct swarm_message *m, uint32_t want)
{
	while (d->count != 0 && m->count < want)
		m->peers[m->count++] = d->peers[--d->count];
}

static bool can_be_named(const struct swarm *s, const struct swarm_link *l, peer_ref asker)
{
	return l->mate->up && l->mate->peer != asker && !l->lied && !swarm_link_is_tracker(s, l) &&
	       l->mate->reach != SWARM_UNREACHABLE;
}

static void name(struct swarm *s, const struct swarm_blob *b, const struct swarm_mate *to,
	uint32_t want, struct swarm_effects *out)
{
	struct swarm_message *m = swarm_say(s, out, to, MESSAGE_BLOB_SOURCES, b->ref);
	struct draw public = {.count = 0}, others = {.count = 0};

	for (const struct swarm_link *l = b->links; l != NULL; l = l->next)
		if (can_be_named(s, l, to->peer))
			draw_add(s, l->mate->reach == SWARM_PUBLIC ? &public : &others,
				l->mate->peer);
	want = want < SWARM_SOURCES_FEW ? want : SWARM_SOURCES_FEW;
	draw_give(&public, m, (want + 1) / 2);
	draw_give(&others, m, want);
	draw_give(&public, m, want);
}

/* So many at once, and then one in so long: more are not worth an answer. */
static bool is_worth_an_answer(const struct swarm *s, struct swarm_mate *m)
{
	uint64_t drained = (s->now_ms - m->whos_heard_ms) / WHO_EACH_MS;

	m->whos_heard -= drained < m->whos_heard ? (uint32_t)drained : m->whos_heard;
	m->whos_heard_ms += drained * WHO_EACH_MS;
	if (m->whos_heard == WHOS_MAX)
		return false;
	m->whos_heard++;
	return true;
}

void swarm_name_sources(struct swarm *s, struct swarm_mate *m, const struct swarm_message *w,
	struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, w->blob);
	struct swarm_link *l;

	if (!swarm_serve_tolerates(s, m, out) || !is_worth_an_answer(s, m))
		return;
	if (b == NULL || b->total == 0 || b->quiet || b->discreet) {
		(void)swarm_say(s, out, m, MESSAGE_BLOB_MISSING, w->blob);
		return;
	}
	name(s, b, m, w->length, out);
	l = swarm_link_take(s, b, m, out);
	if (l != NULL && !l->told)
		swarm_link_tell(s, l, out);
}
