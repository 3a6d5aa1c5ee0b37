/* Whom to ask for which part, and what to make of the answers; see swarm.h for the policy. */
#include "peer/swarm/swarm_state.h"
#include "tasks/base/mem.h"

#define TRACKER_REST_MS 4000u
#define ESTIMATE_MS	500u /* of a source that was never measured, in the endgame */

/* How long a source takes */

static void sort(uint32_t *v, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		uint32_t x = v[i], k = i;

		for (; k > 0 && v[k - 1] > x; k--)
			v[k] = v[k - 1];
		v[k] = x;
	}
}

static uint32_t sample_count(const struct swarm_link *l)
{
	return l->sample_count < SAMPLES ? l->sample_count : SAMPLES;
}

static uint32_t median(const struct swarm_link *l, uint32_t *deviation)
{
	uint32_t n = sample_count(l);
	uint32_t v[SAMPLES] = {0};
	uint32_t middle;

	for (uint32_t i = 0; i < n; i++)
		v[i] = l->samples[i];
	sort(v, n);
	middle = v[n / 2];
	for (uint32_t i = 0; i < n; i++)
		v[i] = v[i] > middle ? v[i] - middle : middle - v[i];
	sort(v, n);
	*deviation = v[n / 2];
	return middle;
}

/* median + k·MAD, and no less than twice the median: few answers say little about how they spread. */
static uint64_t patience_ms(const struct swarm *s, const struct swarm_link *l)
{
	uint32_t deviation, middle;
	uint64_t ms = s->config.first_ms;

	if (l->sample_count != 0) {
		middle = median(l, &deviation);
		ms = middle + (6 * deviation > middle ? 6 * deviation : middle) + 250;
	}
	return ms << (l->fails < 6 ? l->fails : 6);
}

static void due_at(struct swarm_blob *b, uint64_t ms)
{
	if (ms < b->due_ms)
		b->due_ms = ms;
}

/* When what it was asked for will be late; NEVER: it owes nothing. */
static uint64_t link_due_ms(const struct swarm *s, const struct swarm_link *l)
{
	const struct swarm_blob *b = l->blob;
	uint64_t oldest = NEVER;

	for (uint32_t i = 0; l->asked != 0 && i < b->request_count; i++) {
		const struct swarm_request *r = &b->requests[i];

		if (r->link == l && !r->late && r->asked_ms < oldest)
			oldest = r->asked_ms;
	}
	return oldest == NEVER ? NEVER : oldest + patience_ms(s, l);
}

/* The window grows while answers come about as quickly as they ever did, and shrinks when they wait for
 * each other (TCP Vegas' idea, on whole answers). */
static void measure(const struct swarm *s, struct swarm_link *l, uint64_t took_ms)
{
	uint32_t took = took_ms < UINT32_MAX ? (uint32_t)took_ms : UINT32_MAX;

	l->samples[l->sample_count++ % SAMPLES] = took;
	if (l->sample_count == 1 || took < l->base_ms)
		l->base_ms = took;
	else
		l->base_ms += l->base_ms / 64 + 1;
	if (took <= 2 * (uint64_t)l->base_ms + 50 && l->window < s->config.window_max)
		l->window++;
	else if (took > 4 * (uint64_t)l->base_ms + 200 && l->window > 2)
		l->window--;
}

/* Choosing */

struct choice {
	uint32_t piece, part;
};

static bool choose_begun(const struct swarm *s, const struct swarm_link *l, struct choice *c)
{
	const struct swarm_blob *b = l->blob;

	for (uint32_t i = 0; i < b->open_count; i++) {
		const struct swarm_open *o = &b->opens[i];
		uint64_t left = swarm_blob_piece_mask(s, b, o->piece) & ~(o->done | o->asked);

		if (left == 0 || !bit_get(l->theirs, o->piece))
			continue;
		*c = (struct choice){o->piece, (uint32_t)__builtin_ctzll(left)};
		return true;
	}
	return false;
}

/* The rarest piece that this source has; the first of all by chance. */
static bool choose_new(struct swarm *s, const struct swarm_link *l, struct choice *c)
{
	const struct swarm_blob *b = l->blob;
	uint64_t open[SWARM_PIECE_WORDS] = {0};
	bool first = b->have_count + b->open_count == 0;
	uint32_t fewest = UINT32_MAX, equal = 0;

	if (b->open_count == OPEN_MAX)
		return false;
	for (uint32_t i = 0; i < b->open_count; i++)
		bit_set(open, b->opens[i].piece);
	for (uint32_t w = 0; w < b->words; w++) {
		uint64_t bits = l->theirs[w] & ~(b->have[w] | open[w]);

		for (; bits != 0; bits &= bits - 1) {
			uint32_t piece = w * 64 + (uint32_t)__builtin_ctzll(bits);
			uint32_t have = first ? 1 : b->available[piece];

			if (have > fewest)
				continue;
			equal = have < fewest ? 1 : equal + 1;
			fewest = have;
			if (equal == 1 || swarm_random(s) % equal == 0)
				c->piece = piece;
		}
	}
	c->part = 0;
	return equal != 0;
}

static bool asked_of(const struct swarm_blob *b, const struct swarm_request *r, uint32_t *askers,
	const struct swarm_link *l)
{
	bool of_l = false;

	*askers = 0;
	for (uint32_t i = 0; i < b->request_count; i++) {
		const struct swarm_request *q = &b->requests[i];

		if (q->piece != r->piece || q->part != r->part)
			continue;
		*askers += !q->late;
		of_l = of_l || q->link == l;
	}
	return of_l;
}

/* Everything is asked for and little is left. */
static bool at_the_end(const struct swarm *s, const struct swarm_blob *b)
{
	uint32_t left = 0;

	if (b->have_count + b->open_count < b->pieces)
		return false;
	for (uint32_t i = 0; i < b->open_count; i++) {
		const struct swarm_open *o = &b->opens[i];
		uint64_t mask = swarm_blob_piece_mask(s, b, o->piece);

		if ((mask & ~(o->done | o->asked)) != 0)
			return false;
		left += (uint32_t)__builtin_popcountll(mask & ~o->done);
	}
	return left <= (s->parts_per_piece == 1 ? ENDGAME_PARTS / 4 : ENDGAME_PARTS);
}

/* A part that somebody else has been asked for, longer ago than this source needs for half an answer. */
static bool choose_again(const struct swarm *s, const struct swarm_link *l, struct choice *c)
{
	struct swarm_blob *b = l->blob;
	uint32_t deviation, askers;
	uint64_t oldest = s->now_ms + 1;
	uint64_t age = (l->sample_count != 0 ? median(l, &deviation) : ESTIMATE_MS) / 2 + 1;

	if (!at_the_end(s, b))
		return false;
	for (uint32_t i = 0; i < b->request_count; i++) {
		const struct swarm_request *r = &b->requests[i];

		if (r->late || !bit_get(l->theirs, r->piece) || r->asked_ms >= oldest ||
			asked_of(b, r, &askers, l) || askers > 1)
			continue;
		oldest = r->asked_ms;
		*c = (struct choice){r->piece, r->part};
	}
	if (oldest > s->now_ms)
		return false;
	if (oldest + age <= s->now_ms)
		return true;
	if (oldest + age < b->nudge_ms)
		b->nudge_ms = oldest + age;
	return false;
}

/* Asking */

static bool request_add(struct swarm *s, struct swarm_link *l, const struct choice *c)
{
	struct swarm_blob *b = l->blob;
	uint32_t room = b->request_room == 0 ? 8 : b->request_room * 2;

	if (b->request_count == b->request_room) {
		struct swarm_request *r = mem_realloc(b->requests, room * sizeof(*r));

		if (r == NULL) {
			s->error = TK_ENOMEM;
			return false;
		}
		s->memory += (room - b->request_room) * sizeof(*r);
		b->requests = r;
		b->request_room = room;
	}
	b->requests[b->request_count++] = (struct swarm_request){
		l, c->piece, (uint8_t)c->part, false, s->now_ms, b->request_order++};
	return true;
}

static void ask(
	struct swarm *s, struct swarm_link *l, const struct choice *c, struct swarm_effects *out)
{
	struct swarm_blob *b = l->blob;
	struct swarm_open *o = swarm_blob_open(b, c->piece, true);
	struct swarm_message *m;

	if (!request_add(s, l, c))
		return;
	o->asked |= (uint64_t)1 << c->part;
	l->asked++;
	l->mate->asked++;
	b->live++;
	due_at(b, s->now_ms + patience_ms(s, l));
	m = swarm_say(s, out, l->mate, MESSAGE_BLOB_GET, b->ref);
	m->offset = (uint64_t)c->piece * BLOB_PIECE + (uint64_t)c->part * s->config.part_bytes;
	m->length = swarm_blob_part_length(s, b, c->piece, c->part);
}

void swarm_fetch_fill(struct swarm *s, struct swarm_link *l, struct swarm_effects *out)
{
	struct swarm_blob *b = l->blob;
	struct choice c = {0, 0};

	if (b->whole || l->lied || !l->mate->up || s->now_ms < l->busy_ms || l->theirs_count == 0)
		return;
	while (s->error == TK_OK && l->asked < (l->probing ? 1 : l->window) &&
		l->mate->asked < 2u * s->config.window_max) {
		if (!choose_begun(s, l, &c) && !choose_new(s, l, &c) && !choose_again(s, l, &c))
			break;
		ask(s, l, &c, out);
	}
}

void swarm_fetch_fill_all(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	for (struct swarm_link *l = b->links; l != NULL; l = l->next)
		swarm_fetch_fill(s, l, out);
}

/* Giving up */

static bool still_asked(const struct swarm_blob *b, const struct swarm_request *r)
{
	for (uint32_t i = 0; i < b->request_count; i++) {
		const struct swarm_request *q = &b->requests[i];

		if (q != r && !q->late && q->piece == r->piece && q->part == r->part)
			return true;
	}
	return false;
}

/* Its answer is not waited for any more: others may be asked. */
static void request_late(struct swarm_blob *b, struct swarm_request *r)
{
	struct swarm_open *o = swarm_blob_open(b, r->piece, false);

	if (r->late)
		return;
	r->late = true;
	r->link->asked--;
	r->link->late++;
	r->link->mate->asked--;
	b->live--;
	if (o != NULL && !still_asked(b, r))
		o->asked &= ~((uint64_t)1 << r->part);
}

static void request_remove(struct swarm_blob *b, struct swarm_request *r)
{
	request_late(b, r);
	r->link->late--;
	*r = b->requests[--b->request_count];
}

void swarm_fetch_forget(struct swarm *s, struct swarm_link *l)
{
	struct swarm_blob *b = l->blob;

	(void)s;
	for (uint32_t i = b->request_count; i > 0; i--) {
		if (b->requests[i - 1].link != l)
			continue;
		request_remove(b, &b->requests[i - 1]);
		l->mate->owed++;
	}
}

void swarm_fetch_lost_pieces(struct swarm *s, struct swarm_link *l)
{
	struct swarm_blob *b = l->blob;

	(void)s;
	for (uint32_t i = 0; i < b->request_count; i++)
		if (b->requests[i].link == l && !bit_get(l->theirs, b->requests[i].piece))
			request_late(b, &b->requests[i]);
}

/* It refuses one request: the last one, for what it refuses came after what it took. */
void swarm_fetch_busy(struct swarm *s, struct swarm_mate *m, const struct swarm_message *p)
{
	struct swarm_blob *b = swarm_blob_find(s, p->blob);
	struct swarm_link *l = b != NULL && !b->whole ? swarm_link_find(s, b, m->peer) : NULL;
	uint64_t wait = p->retry_ms < BUSY_MAX_MS ? p->retry_ms : BUSY_MAX_MS;
	struct swarm_request *last = NULL;

	if (l == NULL)
		return;
	l->probing = true;
	l->busy_ms = s->now_ms + wait + swarm_random(s) % (wait / 4 + 1);
	due_at(b, l->busy_ms);
	for (uint32_t i = 0; i < b->request_count; i++) {
		struct swarm_request *r = &b->requests[i];

		if (r->link == l && !r->late && (last == NULL || r->order > last->order))
			last = r;
	}
	if (last != NULL) {
		request_remove(b, last);
		m->owed++;
	}
	if (b->live == 0)
		swarm_find_soon(s, b);
}

/* Answers */

static struct swarm_request *request_find(
	struct swarm_blob *b, const struct swarm_link *l, uint32_t piece, uint32_t part)
{
	struct swarm_request *found = NULL;

	for (uint32_t i = 0; i < b->request_count; i++) {
		struct swarm_request *r = &b->requests[i];

		if (r->link != l || r->piece != piece || r->part != part)
			continue;
		if (!r->late)
			return r;
		found = r;
	}
	return found;
}

bool swarm_expects(const struct swarm *s, peer_ref peer, blob_ref blob, uint64_t offset)
{
	struct swarm_blob *b = swarm_blob_find(s, blob);
	struct swarm_link *l = b != NULL ? swarm_link_find(s, b, peer) : NULL;

	return l != NULL && !b->whole && offset < b->total && offset % s->config.part_bytes == 0 &&
	       request_find(b, l, (uint32_t)(offset / BLOB_PIECE),
		       (uint32_t)(offset % BLOB_PIECE / s->config.part_bytes)) != NULL;
}

static void whole(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	swarm_push(s, out, SWARM_COMPLETE, 0)->blob = b->ref;
	swarm_blob_become_whole(s, b);
	swarm_link_flush(s, b, out);
}

/* Whoever else was asked for it is not waited for. */
static void others_late(struct swarm_blob *b, uint32_t piece, uint32_t part)
{
	for (uint32_t i = 0; i < b->request_count; i++)
		if (b->requests[i].piece == piece && b->requests[i].part == part)
			request_late(b, &b->requests[i]);
}

/* A part that is right: news, unless another source was quicker. */
static void part_good(struct swarm *s, struct swarm_link *l, struct swarm_request *r,
	const struct swarm_message *p, struct swarm_effects *out)
{
	struct swarm_blob *b = l->blob;
	uint32_t part = r->part;
	uint64_t bit = (uint64_t)1 << part;
	struct swarm_open *o = swarm_blob_open(b, r->piece, false);
	struct swarm_effect *e;

	measure(s, l, s->now_ms - r->asked_ms);
	l->fails = 0;
	l->probing = false;
	request_remove(b, r);
	due_at(b, link_due_ms(s, l)); /* our patience with it may have become shorter */
	if (o == NULL || (o->done & bit) != 0) {
		s->totals.wasted += p->length;
		return;
	}
	others_late(b, o->piece, part);
	o->done |= bit;
	o->asked |= bit;
	b->lacking = false;
	b->gained_ms = s->now_ms;
	*(swarm_link_is_tracker(s, l) ? &s->totals.from_tracker : &s->totals.from_peers) +=
		p->length;
	e = swarm_push(s, out, SWARM_STORE, l->mate->peer);
	e->blob = b->ref;
	e->offset = p->offset;
	e->length = p->length;
	if (o->done != swarm_blob_piece_mask(s, b, o->piece))
		return;
	swarm_blob_piece_whole(b, o);
	if (b->have_count == b->pieces)
		whole(s, b, out);
	else if (b->flush_ms == NEVER)
		b->flush_ms = s->now_ms + s->config.have_ms;
}

void swarm_fetch_part_came(struct swarm *s, struct swarm_mate *m, const struct swarm_message *p,
	struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, p->blob);
	struct swarm_link *l = b != NULL && !b->whole ? swarm_link_find(s, b, m->peer) : NULL;
	struct swarm_request *r = NULL;

	if (l != NULL && swarm_expects(s, m->peer, p->blob, p->offset))
		r = request_find(b, l, (uint32_t)(p->offset / BLOB_PIECE),
			(uint32_t)(p->offset % BLOB_PIECE / s->config.part_bytes));
	if (r == NULL && m->owed != 0) { /* to a request that was given up */
		m->owed--;
		s->totals.wasted += p->length;
	} else if (r == NULL) {
		swarm_accuse(s, m, "it sent a part that was not asked for", out);
	} else if (!p->good || p->total != b->total ||
		   p->length != swarm_blob_part_length(s, b, r->piece, r->part)) {
		s->totals.wasted += p->length;
		s->totals.liars++;
		if (m->peer != s->config.tracker)
			s->liars[s->liar_count++ % LIARS_MAX] = m->peer;
		swarm_accuse(s, m, "it sent a part of a blob with a wrong proof", out);
		swarm_find_soon(s, b);
		swarm_fetch_fill_all(s, b, out);
	} else {
		part_good(s, l, r, p, out);
		swarm_fetch_fill(s, l, out);
	}
}

/* Time */

/* Late answers cost a source half its window, and a few times in a row the whole exchange. */
static void source_late(struct swarm *s, struct swarm_link *l, struct swarm_effects *out)
{
	uint64_t wait = patience_ms(s, l);

	l->fails++;
	l->window = l->window > 1 ? l->window / 2 : 1;
	if (l->fails < FAILS_MAX && l->late < 2u * s->config.window_max)
		return;
	swarm_find_soon(s, l->blob);
	if (swarm_link_is_tracker(s, l)) {
		if (l->late >= 2u * s->config.window_max)
			swarm_fetch_forget(s, l);
		l->probing = true; /* the last resort is asked again, one request at a time */
		l->busy_ms = s->now_ms + (wait < TRACKER_REST_MS ? wait : TRACKER_REST_MS);
	} else {
		swarm_link_close(s, l, out);
	}
}

/* Exactly. Between two ticks only what makes it earlier is followed: to look through all links in each step took
 * as much time as all the rest, and a wake too many does no harm. */
static void due_reckon(const struct swarm *s, struct swarm_blob *b)
{
	b->due_ms = NEVER;
	for (const struct swarm_link *l = b->links; l != NULL; l = l->next) {
		if (l->busy_ms != 0)
			due_at(b, l->busy_ms);
		due_at(b, link_due_ms(s, l));
	}
}

void swarm_fetch_tick(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	b->nudge_ms = NEVER;
	for (struct swarm_link *l = b->links, *next; l != NULL; l = next) {
		uint64_t wait = l->asked != 0 ? patience_ms(s, l) : 0;
		bool late = false;

		next = l->next;
		if (l->busy_ms <= s->now_ms)
			l->busy_ms = 0;
		for (uint32_t i = 0; l->asked != 0 && i < b->request_count; i++) {
			struct swarm_request *r = &b->requests[i];

			if (r->link != l || r->late || r->asked_ms + wait > s->now_ms)
				continue;
			request_late(b, r);
			late = true;
		}
		if (late)
			source_late(s, l, out);
	}
	swarm_fetch_fill_all(s, b, out);
	due_reckon(s, b);
}

uint64_t swarm_fetch_wake_ms(const struct swarm_blob *b)
{
	return b->due_ms < b->nudge_ms ? b->due_ms : b->nudge_ms;
}
