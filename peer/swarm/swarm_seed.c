/* The first seed and tracker; see swarm.h. A peer sees, as the seed's pieces, only those that the seed
 * means to give it: each piece goes to `copies` peers, or to a fourth of those who are there while they are
 * few, all pieces once before any goes out again. Then the swarm has the blob, and the seed helps only those who cannot get on: those that nobody else could serve,
 * and those who have asked in vain for long enough. */
#include "peer/swarm/swarm_state.h"

static blob_ref group_of(const struct swarm_blob *b)
{
	return b->group != 0 ? b->group : b->ref;
}

/* Pieces that it was shown and has neither got nor been sent. */
static uint32_t owed(const struct swarm_link *l)
{
	uint32_t count = 0;

	for (uint32_t w = 0; w < l->blob->words; w++)
		count += (uint32_t)__builtin_popcountll(l->shown[w] & ~(l->theirs[w] | l->sent[w]));
	return count;
}

/* Could anybody else serve it, now or soon? */
static bool alone(const struct swarm *s, const struct swarm_link *l)
{
	const struct swarm_blob *b = l->blob;

	return b->quiet || (b->prospects == l->prospect &&
				   tracker_count(s->tracker, group_of(b), l->mate->peer) == 0);
}

static void prospect_set(struct swarm_link *l, bool is)
{
	if (l->prospect == is)
		return;
	l->prospect = is;
	l->blob->prospects += is ? 1 : UINT32_MAX; /* one less */
}

static void show(struct swarm_link *l, uint32_t piece)
{
	struct swarm_blob *b = l->blob;

	if (bit_get(l->shown, piece))
		return;
	bit_set(l->shown, piece);
	l->shown_count++;
	prospect_set(l, l->mate->reach != SWARM_UNREACHABLE);
	if (b->given[piece] < UINT8_MAX)
		b->given[piece]++;
}

static void show_all(struct swarm_link *l)
{
	for (uint32_t i = 0; i < l->blob->pieces; i++)
		show(l, i);
}

/* To how many a piece goes freely: of a few peers, one is enough to pass it on to three others. */
static uint32_t copies_now(const struct swarm *s, const struct swarm_blob *b)
{
	uint32_t fourth = (b->link_count + 3) / 4;

	return fourth < s->config.copies ? fourth : s->config.copies;
}

/* The next piece that it lacks and that was not given to enough; false: there is none. */
static bool show_next(const struct swarm *s, struct swarm_link *l)
{
	struct swarm_blob *b = l->blob;
	uint32_t copies = copies_now(s, b);
	bool spent = true;

	for (uint32_t i = 0; i < b->pieces && !b->spent; i++) {
		uint32_t piece = (b->cursor + i) % b->pieces;

		if (b->given[piece] >= s->config.copies)
			continue;
		spent = false;
		if (b->given[piece] >= copies || bit_get(l->shown, piece) ||
			bit_get(l->theirs, piece))
			continue;
		show(l, piece);
		b->cursor = (piece + 1) % b->pieces;
		return true;
	}
	b->spent = b->spent || spent;
	return false;
}

/* Has this prefix had a fourth of the last gifts? */
static bool mercy_is_spent(const struct swarm_blob *b, uint64_t prefix)
{
	uint32_t same = 0;

	for (uint32_t i = 0; prefix != 0 && i < MERCY_LAST; i++)
		same += b->mercy_of[i] == prefix;
	return same >= MERCY_LAST / 4;
}

/* May one more piece be given out of mercy? Bounded by the blob and by time and not by how many ask, or the seed
 * would serve a share of the whole swarm; the last of it is not for those at one place, who would take it all. */
static bool mercy_take(struct swarm *s, struct swarm_blob *b, uint64_t prefix)
{
	uint32_t most = b->pieces > MERCY_LEAST ? b->pieces : MERCY_LEAST;
	uint64_t each_ms = MERCY_AGAIN_MS / most;
	uint64_t again = (s->now_ms - b->mercy_ms) / each_ms;

	if (b->mercy_of == NULL)
		b->mercy_of = swarm_alloc(s, MERCY_LAST, sizeof(*b->mercy_of));
	if (b->mercy_of == NULL)
		return false;
	b->mercy_ms += again * each_ms;
	b->mercy -= again < b->mercy ? (uint32_t)again : b->mercy;
	if (b->mercy >= most || (most - b->mercy <= most / 4 && mercy_is_spent(b, prefix)))
		return false;
	b->mercy++;
	b->mercy_of[b->mercy_next++ % MERCY_LAST] = prefix;
	return true;
}

/* What it lacks and fewest have, freely, as far as there is mercy: nobody else has helped it. */
static void show_mercy(struct swarm *s, struct swarm_link *l)
{
	struct swarm_blob *b = l->blob;

	for (uint32_t n = 0; n < MERCY_PIECES; n++) {
		uint32_t best = b->pieces, equal = 0;

		for (uint32_t i = 0; i < b->pieces; i++) {
			if (bit_get(l->theirs, i) || bit_get(l->shown, i))
				continue;
			if (best < b->pieces && b->available[i] > b->available[best])
				continue;
			equal = best < b->pieces && b->available[i] == b->available[best]
					? equal + 1
					: 1;
			if (equal == 1 || swarm_random(s) % equal == 0)
				best = i;
		}
		if (best == b->pieces || !mercy_take(s, b, l->mate->prefix))
			break;
		show(l, best);
	}
}

/* It asks, and has got nothing: for how long now? Less than MERCY_PIECES times what a piece has taken it, or those who
 * live on gifts alone would wait longer for each. */
static bool is_patience_over(const struct swarm *s, struct swarm_link *l)
{
	uint64_t wait = 3 * (uint64_t)l->piece_ms / 2, least = s->config.patience_ms;

	if (l->blob->total < BLOB_PIECE) /* is passed on sooner */
		least = PATIENCE_LEAST_MS +
			(least - PATIENCE_LEAST_MS) * l->blob->total / BLOB_PIECE;
	if (wait < least)
		wait = least;
	if (l->hungry_ms == 0) {
		l->hungry_ms = s->now_ms;
		return false;
	}
	if (s->now_ms < l->hungry_ms + wait)
		return false;
	l->hungry_ms = s->now_ms;
	return true;
}

/* Shows it what it is to have; true when that is more than before. */
static bool show_more(struct swarm *s, struct swarm_link *l, bool asked)
{
	struct swarm_blob *b = l->blob;
	uint32_t before = l->shown_count;

	if (alone(s, l) && (b->spent || b->quiet || l->mate->reach == SWARM_UNREACHABLE)) {
		show_all(l);
	} else {
		while (owed(l) < SHOWN_AHEAD && show_next(s, l))
			;
		if (asked && l->shown_count == before && owed(l) == 0 && alone(s, l))
			show_all(l);
		else if (asked && l->shown_count == before && owed(l) == 0 &&
			 is_patience_over(s, l))
			show_mercy(s, l);
	}
	if (l->shown_count != before && l->hungry_ms != 0)
		l->hungry_ms = s->now_ms;
	return l->shown_count != before;
}

/* False: of a blob whose length is not known yet there is nothing to show. */
static bool seed_ready(struct swarm *s, struct swarm_blob *b)
{
	if (b->pieces == 0)
		return false;
	if (b->given == NULL) {
		b->given = swarm_alloc(s, b->pieces, sizeof(*b->given));
		b->cursor = (uint32_t)(swarm_random(s) % b->pieces);
	}
	return b->given != NULL;
}

/* Those who hear of sources that come up */

static void hungry_add(struct swarm_blob *b, peer_ref peer)
{
	for (uint32_t i = 0; i < b->hungry_count; i++)
		if (b->hungry[(b->hungry_head + i) % HUNGRY_MAX] == peer)
			return;
	if (b->hungry_count < HUNGRY_MAX)
		b->hungry[(b->hungry_head + b->hungry_count++) % HUNGRY_MAX] = peer;
}

static uint32_t name_sources(struct swarm *s, const struct swarm_blob *b,
	const struct swarm_mate *to, size_t want, struct swarm_effects *out)
{
	struct swarm_message *m = swarm_say(s, out, to, MESSAGE_BLOB_SOURCES, b->ref);

	if (!b->quiet)
		m->count = (uint32_t)tracker_who(
			s->tracker, group_of(b), to->peer, want, swarm_random(s), m->peers);
	return m->count;
}

static void hungry_hear(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	for (uint32_t n = 0; n < HUNGRY_TOLD && b->hungry_count != 0; b->hungry_count--) {
		peer_ref peer = b->hungry[b->hungry_head];
		const struct swarm_link *l = swarm_link_find(s, b, peer);

		b->hungry_head = (b->hungry_head + 1) % HUNGRY_MAX;
		if (l == NULL || l->theirs_count == b->pieces || !l->mate->up)
			continue;
		name_sources(s, b, l->mate, SWARM_SOURCES_FEW, out);
		n++;
	}
}

static void unlist(struct swarm *s, struct swarm_link *l)
{
	if (l->listed)
		tracker_remove(s->tracker, group_of(l->blob), l->mate->peer);
	l->listed = false;
}

/* Its place in the tracker's table: it has something, or is about to. Of a blob of many pieces all who
 * exchange it are listed, so that they form a random graph and not a crowd around the first ones. */
static void list(struct swarm *s, struct swarm_link *l, bool asks)
{
	struct swarm_blob *b = l->blob;
	bool has = (l->theirs_count != 0 || ((asks || l->listed) && b->pieces > 1)) && !b->quiet &&
		   l->mate->reach != SWARM_UNREACHABLE;
	int rc;

	if (has == l->listed)
		return;
	l->listed = has;
	if (!has) {
		tracker_remove(s->tracker, group_of(b), l->mate->peer);
		return;
	}
	rc = tracker_add(s->tracker, group_of(b), l->mate->peer, l->mate->reach == SWARM_PUBLIC);
	l->listed = rc == TK_OK;
	if (rc == TK_ENOMEM)
		s->error = rc;
}

void swarm_seed_who(struct swarm *s, struct swarm_mate *m, const struct swarm_message *w,
	struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, w->blob);
	struct swarm_link *l;

	if (!swarm_serve_tolerates(s, m, out))
		return;
	if (b == NULL) {
		(void)swarm_say(s, out, m, MESSAGE_BLOB_MISSING, w->blob);
		return;
	}
	if (!seed_ready(s, b))
		return;
	l = swarm_link_take(s, b, m, out);
	if (l == NULL)
		return;
	name_sources(s, b, m, w->length, out);
	list(s, l, true);
	show_more(s, l, true);
	swarm_link_tell(s, l, out); /* always: it tells the length, and ends a BUSY */
	if (owed(l) == 0 && l->theirs_count < b->pieces)
		hungry_add(b, m->peer);
}

void swarm_seed_heard(
	struct swarm *s, struct swarm_link *l, uint32_t before, struct swarm_effects *out)
{
	struct swarm_blob *b = l->blob;

	if (!seed_ready(s, b))
		return;
	if (l->theirs_count == 0 && before != 0)
		unlist(s, l);
	list(s, l, false);
	if (l->theirs_count <= before)
		return;
	if (before == 0)
		hungry_hear(s, b, out);
	if (before != 0) {
		uint64_t each = (s->now_ms - l->gained_ms) / (l->theirs_count - before);
		uint32_t ms = each < UINT32_MAX / 2 ? (uint32_t)each : UINT32_MAX / 2;

		l->piece_ms = l->piece_ms == 0 ? ms : l->piece_ms - l->piece_ms / 4 + ms / 4;
	}
	l->gained_ms = s->now_ms;
	if (l->hungry_ms != 0)
		l->hungry_ms = s->now_ms;
	if (l->theirs_count == b->pieces) {
		swarm_serve_satisfied(s, l, out);
		hungry_hear(s, b, out);
	} else if (l->shown_count != 0 && show_more(s, l, false)) {
		swarm_link_tell(s, l, out);
	}
}

void swarm_seed_reach(struct swarm *s, struct swarm_link *l)
{
	if (l->blob->given == NULL)
		return;
	unlist(s, l);
	list(s, l, l->shown_count != 0);
	prospect_set(l, l->shown_count != 0 && l->mate->reach != SWARM_UNREACHABLE);
}

bool swarm_seed_admits(struct swarm *s, struct swarm_link *l, uint32_t piece)
{
	struct swarm_blob *b = l->blob;

	if (!seed_ready(s, b))
		return false;
	if (!bit_get(l->shown, piece) && (alone(s, l) || b->given[piece] < copies_now(s, b)))
		show(l, piece);
	return bit_get(l->shown, piece);
}

void swarm_seed_sent(struct swarm *s, struct swarm_link *l, uint64_t end, struct swarm_effects *out)
{
	struct swarm_blob *b = l->blob;

	if (end == 0 || (end % BLOB_PIECE != 0 && end != b->total))
		return;
	bit_set(l->sent, (uint32_t)((end - 1) / BLOB_PIECE));
	if (l->theirs_count < b->pieces && show_more(s, l, false))
		swarm_link_tell(s, l, out);
}

/* What it was shown and never got is free again. */
void swarm_seed_link_closed(struct swarm *s, struct swarm_link *l)
{
	struct swarm_blob *b = l->blob;

	unlist(s, l);
	prospect_set(l, false);
	for (uint32_t w = 0; b->given != NULL && w < b->words; w++) {
		uint64_t bits = l->shown[w] & ~(l->theirs[w] | l->sent[w]);

		for (; bits != 0; bits &= bits - 1) {
			uint8_t *given = &b->given[w * 64 + (uint32_t)__builtin_ctzll(bits)];

			*given -= *given != 0;
			b->spent = false;
		}
	}
}
