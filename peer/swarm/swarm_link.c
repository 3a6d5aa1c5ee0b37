/* Exchanging a blob with a mate: who has which pieces, and who knows what of ours; see swarm_state.h. */
#include <string.h>

#include "peer/swarm/swarm_state.h"
#include "tasks/base/mem.h"

static uint64_t link_key(const struct swarm_blob *b, peer_ref peer)
{
	return (uint64_t)b->ref << 32 | peer;
}

static size_t link_size(const struct swarm_blob *b)
{
	return sizeof(struct swarm_link) + (size_t)3 * b->words * sizeof(uint64_t);
}

struct swarm_link *swarm_link_find(const struct swarm *s, const struct swarm_blob *b, peer_ref peer)
{
	return index_get(&s->links, link_key(b, peer));
}

bool swarm_link_is_tracker(const struct swarm *s, const struct swarm_link *l)
{
	return l->mate->peer == s->config.tracker;
}

/* The mate's list, the last one used first. */

static void mate_unlink(struct swarm_link *l)
{
	struct swarm_mate *m = l->mate;

	if (l->mate_previous != NULL)
		l->mate_previous->mate_next = l->mate_next;
	else
		m->first = l->mate_next;
	if (l->mate_next != NULL)
		l->mate_next->mate_previous = l->mate_previous;
	else
		m->last = l->mate_previous;
}

static void mate_put_first(struct swarm_link *l)
{
	struct swarm_mate *m = l->mate;

	l->mate_previous = NULL;
	l->mate_next = m->first;
	if (m->first != NULL)
		m->first->mate_previous = l;
	else
		m->last = l;
	m->first = l;
}

static struct swarm_link *link_make(struct swarm *s, struct swarm_blob *b, struct swarm_mate *m)
{
	struct swarm_link *l = swarm_alloc(s, 1, link_size(b));

	if (l == NULL)
		return NULL;
	if (index_put(&s->links, link_key(b, m->peer), l) != TK_OK) {
		swarm_release(s, l, 1, link_size(b));
		s->error = TK_ENOMEM;
		return NULL;
	}
	l->mate = m;
	l->blob = b;
	l->theirs = l->words;
	l->shown = l->words + b->words;
	l->sent = l->words + (size_t)2 * b->words;
	l->window = s->parts_per_piece == 1 ? 1 : 4;
	l->gained_ms = s->now_ms;
	l->lied = swarm_is_liar(s, m->peer);
	l->next = b->links;
	if (l->next != NULL)
		l->next->previous = l;
	b->links = l;
	b->link_count++;
	l->counted = m->dialled;
	b->dialled_count += m->dialled;
	m->links++;
	mate_put_first(l);
	return l;
}

/* One of a full blob's links that nothing depends on; NULL: none. */
static struct swarm_link *link_useless(const struct swarm *s, const struct swarm_blob *b)
{
	struct swarm_link *found = NULL;

	for (struct swarm_link *l = b->links; l != NULL; l = l->next)
		if (l->asked == 0 && !swarm_link_is_tracker(s, l) &&
			(b->whole || l->theirs_count == 0 || l->busy_ms > s->now_ms))
			found = l; /* the oldest */
	return found;
}

struct swarm_link *swarm_link_take(
	struct swarm *s, struct swarm_blob *b, struct swarm_mate *m, struct swarm_effects *out)
{
	struct swarm_link *l = swarm_link_find(s, b, m->peer);

	if (l != NULL) {
		mate_unlink(l);
		mate_put_first(l);
		return l;
	}
	if (b->total == 0)
		return NULL;
	if (b->link_count >= s->config.links_max && m->peer != s->config.tracker) {
		l = s->now_ms < b->full_ms ? NULL : link_useless(s, b);
		if (l == NULL) {
			if (s->now_ms >= b->full_ms)
				b->full_ms = s->now_ms + FULL_MS;
			return NULL;
		}
		swarm_link_close(s, l, out);
	}
	l = link_make(s, b, m);
	if (l != NULL && m->links > LINKS_OF_MATE)
		swarm_link_close(s, m->last, out);
	return l;
}

/* Its bit in what is known of who has what. */
static void available_change(struct swarm_blob *b, uint32_t piece, bool more)
{
	if (b->available == NULL || b->available[piece] == UINT16_MAX)
		return; /* too many to count: it stays so */
	b->available[piece] = (uint16_t)(b->available[piece] + (more ? 1 : -1));
}

static void available_forget(struct swarm_link *l)
{
	struct swarm_blob *b = l->blob;

	for (uint32_t w = 0; w < b->words; w++)
		for (uint64_t bits = l->theirs[w]; bits != 0; bits &= bits - 1)
			available_change(b, w * 64 + (uint32_t)__builtin_ctzll(bits), false);
}

void swarm_link_close(struct swarm *s, struct swarm_link *l, struct swarm_effects *out)
{
	struct swarm_blob *b = l->blob;
	struct swarm_mate *m = l->mate;

	swarm_fetch_forget(s, l);
	if (swarm_is_seed(s))
		swarm_seed_link_closed(s, l);
	available_forget(l);
	if (l->previous != NULL)
		l->previous->next = l->next;
	else
		b->links = l->next;
	if (l->next != NULL)
		l->next->previous = l->previous;
	b->link_count--;
	b->dialled_count -= l->counted;
	mate_unlink(l);
	index_remove(&s->links, link_key(b, m->peer));
	l->bytes = link_size(b);
	l->grave = s->graves;
	s->graves = l;
	if (--m->links == 0 && m->dialled && out != NULL) {
		m->dialled = false;
		swarm_push(s, out, SWARM_RELEASE, m->peer);
	}
}

void swarm_link_buried(struct swarm *s)
{
	swarm_release(s, s->grave_words, s->grave_count, sizeof(*s->grave_words));
	s->grave_words = NULL;
	while (s->graves != NULL) {
		struct swarm_link *l = s->graves;

		s->graves = l->grave;
		swarm_release(s, l, 1, l->bytes);
	}
}

/* Saying */

void swarm_link_tell(struct swarm *s, struct swarm_link *l, struct swarm_effects *out)
{
	struct swarm_message *m;

	if (!l->mate->up)
		return;
	m = swarm_say(s, out, l->mate, MESSAGE_BLOB_HAVE, l->blob->ref);
	m->total = l->blob->total;
	m->pieces = swarm_is_seed(s) ? l->shown : l->blob->have;
	l->told = true;
	l->told_ms = s->now_ms;
	l->told_count = swarm_is_seed(s) ? l->shown_count : l->blob->have_count;
}

/* Who has the new pieces itself need not hear of each; but of enough of them, because whom we serve first follows
 * from how much everybody has. The tracker hears of the first piece and of the last, and now and then between them. */
static bool is_news(const struct swarm *s, const struct swarm_link *l)
{
	const struct swarm_blob *b = l->blob;

	if (l->told && l->told_count == b->have_count)
		return false;
	if (!l->told || b->whole)
		return true;
	if (swarm_link_is_tracker(s, l))
		return l->told_count == 0 || s->now_ms >= l->told_ms + TRACKER_TELL_MS;
	if (b->have_count - l->told_count >= UNTOLD_MAX)
		return true;
	for (uint32_t w = 0; w < b->words; w++)
		if ((b->news[w] & ~l->theirs[w]) != 0)
			return true;
	return false;
}

void swarm_link_flush(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	struct swarm_mate *tracker = swarm_mate_find(s, s->config.tracker);

	b->flush_ms = NEVER;
	if (swarm_is_seed(s) || b->quiet)
		return;
	if (tracker != NULL && tracker->up)
		(void)swarm_link_take(s, b, tracker, out);
	for (struct swarm_link *l = b->links, *next; l != NULL; l = next) {
		next = l->next;
		if (!is_news(s, l))
			continue;
		if (swarm_link_is_tracker(s, l) || l->theirs_count < b->pieces)
			swarm_link_tell(s, l, out);
		else if (b->whole)
			swarm_link_close(s, l, out); /* neither needs the other */
	}
	if (b->words != 0)
		memset(b->news, 0, b->words * sizeof(*b->news));
}

void swarm_link_farewell(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	if (b->total == 0 || b->quiet)
		return;
	memset(b->have, 0, b->words * sizeof(*b->have));
	b->have_count = 0;
	for (struct swarm_link *l = b->links; l != NULL; l = l->next) {
		if (!l->told || l->told_count == 0 || swarm_is_seed(s))
			continue;
		swarm_link_tell(s, l, out);
	}
}

/* Hearing */

static void pieces_take(struct swarm_link *l, const uint64_t *pieces)
{
	struct swarm_blob *b = l->blob;
	uint32_t count = 0;

	for (uint32_t w = 0; w < b->words; w++) {
		uint64_t changed = pieces[w] ^ l->theirs[w];

		for (; changed != 0; changed &= changed - 1) {
			uint32_t bit = (uint32_t)__builtin_ctzll(changed);

			available_change(b, w * 64 + bit, pieces[w] >> bit & 1);
		}
		l->theirs[w] = pieces[w];
		count += (uint32_t)__builtin_popcountll(pieces[w]);
	}
	l->theirs_count = count;
	l->busy_ms = 0;
	l->probing = false;
}

/* What its length is, the tracker says; false: it is not to be had here. */
static bool total_take(struct swarm *s, struct swarm_blob *b, const struct swarm_mate *m,
	const struct swarm_message *h, struct swarm_effects *out)
{
	if (b->total != 0)
		return true;
	if (m->peer != s->config.tracker)
		return false; /* a claim that nothing supports */
	if (h->total == 0 || h->total > b->max) {
		swarm_find_refused(s, b, out);
		return false;
	}
	swarm_blob_set_total(s, b, h->total);
	return s->error == TK_OK;
}

/* What comes of it where we are no tracker. */
static void heard(struct swarm *s, struct swarm_link *l, uint32_t before, struct swarm_effects *out)
{
	struct swarm_blob *b = l->blob;

	if (swarm_link_is_tracker(s, l) && l->theirs_count > before)
		swarm_find_helped(b);
	if (!l->told && !swarm_link_is_tracker(s, l))
		swarm_link_tell(s, l, out);
	if (b->whole && l->theirs_count == b->pieces) {
		swarm_serve_satisfied(s, l, out);
		if (!swarm_link_is_tracker(s, l))
			swarm_link_close(s, l, out);
	} else if (!b->whole) {
		b->tracker_missing = b->tracker_missing && !swarm_link_is_tracker(s, l);
		swarm_fetch_lost_pieces(s, l);
		swarm_fetch_fill(s, l, out);
	}
}

void swarm_link_have(struct swarm *s, struct swarm_mate *m, const struct swarm_message *h,
	struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, h->blob);
	struct swarm_link *l;
	uint32_t before;

	if (b == NULL || !total_take(s, b, m, h, out))
		return;
	if (h->total != b->total) {
		swarm_accuse(s, m, "it says another length of a blob than the right one", out);
		return;
	}
	if (b->quiet && m->peer != s->config.tracker)
		return;
	l = swarm_link_take(s, b, m, out);
	if (l == NULL)
		return;
	before = l->theirs_count;
	pieces_take(l, h->pieces);
	if (swarm_is_seed(s))
		swarm_seed_heard(s, l, before, out);
	else
		heard(s, l, before, out);
}
