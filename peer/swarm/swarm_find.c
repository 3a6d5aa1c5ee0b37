/* Finding sources: asking the tracker and peers, dialling whom they name, and noticing that nobody has the
 * blob. The tracker is asked once, then peers are; see swarm.h. */
#include "peer/swarm/swarm_state.h"

static bool tracker_is_up(const struct swarm *s)
{
	const struct swarm_mate *m = swarm_mate_find(s, s->config.tracker);

	return m != NULL && m->up;
}

/* A quarter more or less, so that those who begin together do not go on together. */
static uint64_t jitter(struct swarm *s, uint64_t ms)
{
	return ms - ms / 4 + swarm_random(s) % (ms / 2 + 1);
}

/* Asking */

/* Is the tracker the only one to ask? Peers are not believed about a length. */
static bool is_for_tracker_alone(const struct swarm_blob *b)
{
	return b->quiet || b->discreet || b->total == 0;
}

static bool is_stalled(const struct swarm *s, const struct swarm_blob *b)
{
	return b->live == 0 && s->now_ms >= b->gained_ms + STALLED_MS;
}

static bool tracker_is_due(const struct swarm *s, const struct swarm_blob *b)
{
	if (!tracker_is_up(s))
		return false;
	return is_for_tracker_alone(b) || b->tracker_wait_ms == 0 ||
	       (s->now_ms >= b->tracker_ms && (is_stalled(s, b) || b->barren >= BARREN_MAX));
}

/* What it has gained the tracker hears first: who gains nothing is helped. */
static void ask_tracker(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	struct swarm_mate *tracker = swarm_mate_find(s, s->config.tracker);
	struct swarm_link *l = swarm_link_find(s, b, tracker->peer);
	bool first = b->tracker_wait_ms == 0;

	if (l != NULL && !b->quiet && b->have_count != 0 && l->told_count != b->have_count)
		swarm_link_tell(s, l, out);
	swarm_say(s, out, tracker, MESSAGE_BLOB_WHO, b->ref)->length =
		first || b->discreet ? SOURCES_FIRST : SWARM_SOURCES_FEW;
	if (first)
		b->tracker_wait_ms = TRACKER_WAIT_MS;
	b->tracker_ms = s->now_ms + jitter(s, b->tracker_wait_ms);
	b->tracker_wait_ms *= 2;
	if (b->tracker_wait_ms > TRACKER_MAX_MS)
		b->tracker_wait_ms = TRACKER_MAX_MS;
	b->barren = 0;
}

void swarm_find_helped(struct swarm_blob *b)
{
	if (b->tracker_wait_ms != 0)
		b->tracker_wait_ms = TRACKER_WAIT_MS;
}

static void draw(struct swarm *s, struct swarm_mate *m, struct swarm_mate **found, uint64_t *count)
{
	if (m->up && m->peer != s->config.tracker && m->asked_ms != s->now_ms &&
		swarm_random(s) % ++*count == 0)
		*found = m;
}

/* One of those with whom it is exchanged, by chance, and now and then of all: else those who know each other hear
 * of nobody else. NULL: there is nobody. */
static struct swarm_mate *somebody(struct swarm *s, const struct swarm_blob *b, bool any)
{
	struct swarm_mate *found = NULL;
	uint64_t count = 0;

	if (!any && swarm_random(s) % ANYBODY != 0)
		for (const struct swarm_link *l = b->links; l != NULL; l = l->next)
			draw(s, l->mate, &found, &count);
	for (struct swarm_mate *m = s->mate_list; m != NULL && found == NULL; m = m->next)
		draw(s, m, &found, &count);
	return found;
}

static void ask_peers(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	bool few = b->link_count < s->config.dials_max;

	for (uint32_t n = 0; n < (few ? ASKED_AT_ONCE : 1); n++) {
		struct swarm_mate *m = somebody(s, b, few);

		if (m == NULL && n == 0)
			b->who_ms = NEVER; /* until a session opens */
		if (m == NULL)
			return;
		swarm_say(s, out, m, MESSAGE_BLOB_WHO, b->ref)->length = SWARM_SOURCES_FEW;
		m->whos++;
		m->asked_ms = s->now_ms;
	}
	b->barren++;
}

static void ask(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	b->asked_ms = s->now_ms;
	b->who_ms = s->now_ms + jitter(s, b->who_wait_ms);
	if (tracker_is_due(s, b))
		ask_tracker(s, b, out);
	else if (is_for_tracker_alone(b))
		b->who_ms = NEVER; /* until the tracker comes */
	else
		ask_peers(s, b, out);
}

bool swarm_expects_sources(const struct swarm *s, peer_ref peer)
{
	const struct swarm_mate *m = swarm_mate_find(s, peer);

	return peer == s->config.tracker || (m != NULL && m->whos != 0);
}

void swarm_find_begin(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	b->who_wait_ms = s->config.who_ms;
	ask(s, b, out);
}

void swarm_find_soon(struct swarm *s, struct swarm_blob *b)
{
	uint64_t at = s->now_ms + jitter(s, s->config.who_ms / 4 + 1);

	if (at < b->asked_ms + s->config.who_ms)
		at = b->asked_ms + s->config.who_ms;
	if (!b->whole && at < b->who_ms)
		b->who_ms = at;
}

/* Dialling */

static bool in(const struct swarm_named *list, uint32_t count, peer_ref peer)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i].peer == peer)
			return true;
	return false;
}

static bool take_out(struct swarm_named *list, uint32_t *count, peer_ref peer, peer_ref *by)
{
	for (uint32_t i = 0; i < *count; i++) {
		if (list[i].peer != peer)
			continue;
		*by = list[i].by;
		list[i] = list[--*count];
		return true;
	}
	return false;
}

/* Is a session with it being opened, for whichever blob? */
static bool is_dialled(const struct swarm *s, peer_ref peer)
{
	for (const struct swarm_blob *b = s->busy_list; b != NULL; b = b->busy_next)
		if (in(b->dials, b->dial_count, peer))
			return true;
	return false;
}

/* Nobody has it, as far as anybody knows. */
static void check_lacking(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	if (!b->tracker_missing || b->lacking || b->dial_count != 0 || b->candidate_count != 0)
		return;
	for (const struct swarm_link *l = b->links; l != NULL; l = l->next)
		if (l->theirs_count != 0)
			return;
	b->lacking = true;
	swarm_push(s, out, SWARM_LACKING, 0)->blob = b->ref;
}

static void greet(struct swarm *s, struct swarm_blob *b, struct swarm_mate *m, peer_ref by,
	struct swarm_effects *out)
{
	struct swarm_link *l = swarm_link_take(s, b, m, out);

	if (l == NULL || l->told)
		return;
	l->named_by = l->counted ? by : 0;
	swarm_link_tell(s, l, out);
}

static bool was_tried(const struct swarm_blob *b, peer_ref peer)
{
	for (uint32_t i = 0; i < TRIED_MAX; i++)
		if (b->tried[i] == peer)
			return true;
	return false;
}

/* Whom a peer's word has led us to and who has given nothing in so long is no dial of it any more: somebody else may be
 * tried. */
static void give_up_named(const struct swarm *s, struct swarm_blob *b)
{
	for (struct swarm_link *l = b->links; l != NULL; l = l->next) {
		if (l->named_by == 0 || l->sample_count != 0 ||
			s->now_ms < l->gained_ms + NAMED_TRIAL_MS)
			continue;
		l->named_by = 0;
		b->dialled_count -= l->counted;
		l->counted = false;
	}
}

/* Those that are dialled on the word of `by`; 0: on any peer's word. */
static uint32_t dialled_by(const struct swarm_blob *b, peer_ref by)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < b->dial_count; i++)
		count += b->dials[i].by != 0 && (by == 0 || b->dials[i].by == by);
	for (const struct swarm_link *l = b->links; l != NULL; l = l->next)
		count += l->named_by != 0 && (by == 0 || l->named_by == by);
	return count;
}

/* One by chance of those that may be dialled now; false: there is none. On peers' word half of the dials go out, and a
 * few on the word of any one, so that liars cannot have them all. */
static bool candidate_take(
	struct swarm *s, struct swarm_blob *b, uint32_t most, struct swarm_named *out)
{
	bool full = dialled_by(b, 0) >= most / 2;
	uint32_t found = 0, count = 0;

	for (uint32_t i = 0; i < b->candidate_count; i++) {
		peer_ref by = b->candidates[i].by;

		if (by != 0 && (full || dialled_by(b, by) >= TRIED_OF_ONE))
			continue;
		if (swarm_random(s) % ++count == 0)
			found = i;
	}
	if (count == 0)
		return false;
	*out = b->candidates[found];
	b->candidates[found] = b->candidates[--b->candidate_count];
	return true;
}

static void dial_more(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	uint32_t most = s->config.dials_max * (b->live == 0 ? 2u : 1u);
	struct swarm_named n;

	give_up_named(s, b);
	while (b->dial_count < DIALS_MAX && b->dial_count + b->dialled_count < most &&
		candidate_take(s, b, most, &n)) {
		struct swarm_mate *m = swarm_mate_find(s, n.peer);

		if (m != NULL && m->up) {
			greet(s, b, m, n.by, out);
			continue;
		}
		if (!is_dialled(s, n.peer))
			swarm_push(s, out, SWARM_DIAL, n.peer);
		b->dials[b->dial_count++] = n;
		b->tried[b->tried_next++ % TRIED_MAX] = n.peer;
	}
}

/* All that we have is news to the tracker, and all that we want a question. */
static void tracker_up(struct swarm *s, struct swarm_mate *m, struct swarm_effects *out)
{
	for (struct swarm_blob *b = s->blob_list; b != NULL; b = b->next) {
		if (b->have_count != 0 && !b->quiet)
			greet(s, b, m, 0, out);
		if (!b->whole && tracker_is_due(s, b))
			swarm_find_begin(s, b, out);
	}
}

void swarm_find_up(struct swarm *s, struct swarm_mate *m, struct swarm_effects *out)
{
	bool dialled = is_dialled(s, m->peer);
	peer_ref by;

	m->dialled = dialled;
	if (m->peer == s->config.tracker) {
		tracker_up(s, m, out);
		return;
	}
	for (struct swarm_blob *b = s->busy_list; b != NULL; b = b->busy_next)
		if (take_out(b->dials, &b->dial_count, m->peer, &by))
			greet(s, b, m, by, out);
		else if (b->live == 0 && !is_for_tracker_alone(b))
			swarm_find_soon(s, b);
	if (dialled && m->links == 0) {
		m->dialled = false;
		swarm_push(s, out, SWARM_RELEASE, m->peer);
	}
}

void swarm_find_failed(struct swarm *s, peer_ref peer, struct swarm_effects *out)
{
	peer_ref by;

	for (struct swarm_blob *b = s->busy_list; b != NULL; b = b->busy_next) {
		if (!take_out(b->dials, &b->dial_count, peer, &by))
			continue;
		dial_more(s, b, out);
		if (b->dial_count == 0 && b->live == 0)
			swarm_find_soon(s, b);
		check_lacking(s, b, out);
	}
}

/* Room for one more; peers' words fill half of it. */
static bool candidate_room(struct swarm_blob *b, peer_ref by)
{
	uint32_t of_peers = 0, last = 0;

	for (uint32_t i = 0; i < b->candidate_count; i++) {
		if (b->candidates[i].by == 0)
			continue;
		of_peers++;
		last = i;
	}
	if (by != 0 && of_peers >= CANDIDATES_MAX / 2)
		return false;
	if (b->candidate_count < CANDIDATES_MAX)
		return true;
	if (by != 0 || of_peers == 0)
		return false;
	b->candidates[last] = b->candidates[--b->candidate_count];
	return true;
}

void swarm_find_sources(struct swarm *s, struct swarm_mate *m, const struct swarm_message *p,
	struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, p->blob);
	peer_ref by = m->peer == s->config.tracker ? 0 : m->peer;

	if (by != 0 && m->whos == 0) {
		swarm_accuse(s, m, "it names sources that it was not asked for", out);
		return;
	}
	m->whos -= by != 0;
	if (b == NULL || b->whole || b->quiet || (by != 0 && is_for_tracker_alone(b)))
		return;
	for (uint32_t i = 0; i < p->count && (by == 0 || i < SWARM_SOURCES_FEW); i++) {
		peer_ref peer = p->peers[i];

		if (peer == 0 || peer == s->config.tracker || swarm_is_liar(s, peer) ||
			in(b->candidates, b->candidate_count, peer) ||
			in(b->dials, b->dial_count, peer) || swarm_link_find(s, b, peer) != NULL ||
			(by != 0 && was_tried(b, peer)) || !candidate_room(b, by))
			continue;
		b->candidates[b->candidate_count++] = (struct swarm_named){peer, by};
		b->barren = 0;
	}
	dial_more(s, b, out);
	check_lacking(s, b, out);
}

void swarm_find_missing(struct swarm *s, struct swarm_mate *m, const struct swarm_message *p,
	struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, p->blob);
	struct swarm_link *l = b != NULL && !b->whole ? swarm_link_find(s, b, m->peer) : NULL;

	if (b == NULL || b->whole)
		return;
	if (l != NULL) {
		swarm_link_close(s, l, out);
		dial_more(s, b, out);
		if (b->live == 0)
			swarm_find_soon(s, b);
	}
	b->tracker_missing = b->tracker_missing || m->peer == s->config.tracker;
	check_lacking(s, b, out);
}

void swarm_find_refused(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	b->tracker_missing = true;
	check_lacking(s, b, out);
}

/* Who gets on asks more and more seldom; who does not asks a little more seldom each time. */
void swarm_find_tick(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	uint32_t most = b->live == 0 ? WHO_MAX_MS / 4 : WHO_MAX_MS;

	dial_more(s, b, out);
	if (b->who_ms > s->now_ms)
		return;
	b->who_wait_ms = b->who_wait_ms * 2 < most ? b->who_wait_ms * 2 : most;
	if (b->live == 0 || b->link_count <= s->config.dials_max)
		ask(s, b, out);
	else
		b->who_ms = s->now_ms + jitter(s, b->who_wait_ms);
	check_lacking(s, b, out);
}
