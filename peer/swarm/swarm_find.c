/* Finding sources: asking the tracker, dialling whom it names, and noticing that nobody has the blob. */
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

static void ask(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	struct swarm_message *m;

	if (!tracker_is_up(s)) {
		b->who_ms = NEVER;
		return;
	}
	m = swarm_say(s, out, swarm_mate_find(s, s->config.tracker), MESSAGE_BLOB_WHO, b->ref);
	m->length = BLOB_SOURCES_MAX;
	b->who_ms = s->now_ms + jitter(s, b->who_wait_ms);
}

void swarm_find_begin(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	b->who_wait_ms = s->config.who_ms;
	ask(s, b, out);
}

void swarm_find_soon(struct swarm *s, struct swarm_blob *b)
{
	uint64_t at = s->now_ms + jitter(s, s->config.who_ms / 4 + 1);

	if (!b->whole && tracker_is_up(s) && at < b->who_ms)
		b->who_ms = at;
}

static bool in(const peer_ref *list, uint32_t count, peer_ref peer)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i] == peer)
			return true;
	return false;
}

static bool take_out(peer_ref *list, uint32_t *count, peer_ref peer)
{
	for (uint32_t i = 0; i < *count; i++) {
		if (list[i] != peer)
			continue;
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

static void greet(
	struct swarm *s, struct swarm_blob *b, struct swarm_mate *m, struct swarm_effects *out)
{
	struct swarm_link *l = swarm_link_take(s, b, m, out);

	if (l != NULL && !l->told)
		swarm_link_tell(s, l, out);
}

static void dial_more(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out)
{
	uint32_t most = s->config.dials_max * (b->live == 0 ? 2u : 1u);

	while (b->candidate_count != 0 && b->dial_count < DIALS_MAX &&
		b->dial_count + b->dialled_count < most) {
		uint32_t at = (uint32_t)(swarm_random(s) % b->candidate_count);
		peer_ref peer = b->candidates[at];
		struct swarm_mate *m = swarm_mate_find(s, peer);

		b->candidates[at] = b->candidates[--b->candidate_count];
		if (m != NULL && m->up) {
			greet(s, b, m, out);
			continue;
		}
		if (!is_dialled(s, peer))
			swarm_push(s, out, SWARM_DIAL, peer);
		b->dials[b->dial_count++] = peer;
	}
}

/* All that we have is news to the tracker, and all that we want a question. */
static void tracker_up(struct swarm *s, struct swarm_mate *m, struct swarm_effects *out)
{
	for (struct swarm_blob *b = s->blob_list; b != NULL; b = b->next) {
		if (b->have_count != 0 && !b->quiet)
			greet(s, b, m, out);
		if (!b->whole)
			swarm_find_begin(s, b, out);
	}
}

void swarm_find_up(struct swarm *s, struct swarm_mate *m, struct swarm_effects *out)
{
	bool dialled = is_dialled(s, m->peer);

	m->dialled = dialled;
	if (m->peer == s->config.tracker) {
		tracker_up(s, m, out);
		return;
	}
	for (struct swarm_blob *b = s->busy_list; b != NULL; b = b->busy_next)
		if (take_out(b->dials, &b->dial_count, m->peer))
			greet(s, b, m, out);
	if (dialled && m->links == 0) {
		m->dialled = false;
		swarm_push(s, out, SWARM_RELEASE, m->peer);
	}
}

void swarm_find_failed(struct swarm *s, peer_ref peer, struct swarm_effects *out)
{
	for (struct swarm_blob *b = s->busy_list; b != NULL; b = b->busy_next) {
		if (!take_out(b->dials, &b->dial_count, peer))
			continue;
		dial_more(s, b, out);
		if (b->dial_count == 0 && b->live == 0)
			swarm_find_soon(s, b);
		check_lacking(s, b, out);
	}
}

void swarm_find_sources(struct swarm *s, struct swarm_mate *m, const struct swarm_message *p,
	struct swarm_effects *out)
{
	struct swarm_blob *b = swarm_blob_find(s, p->blob);

	if (m->peer != s->config.tracker) {
		swarm_accuse(s, m, "it names sources, which is for the tracker to do", out);
		return;
	}
	if (b == NULL || b->whole || b->quiet)
		return;
	for (uint32_t i = 0; i < p->count; i++) {
		peer_ref peer = p->peers[i];

		if (peer == 0 || swarm_is_liar(s, peer) || b->candidate_count == CANDIDATES_MAX ||
			in(b->candidates, b->candidate_count, peer) ||
			in(b->dials, b->dial_count, peer) || swarm_link_find(s, b, peer) != NULL)
			continue;
		b->candidates[b->candidate_count++] = peer;
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
