/* Disputes between two peers whose results of one unit differ, down to one step (VERIFICATION.md,
 * "Disputes"; the bisection is Verde's, Arun et al. 2025, in two rounds of messages instead of log n).
 *
 * Both send the leaves of their traces; at the first difference both compute that segment again and
 * sign a leaf for each step; one of them sends the state before the first step that differs, and the
 * referee computes this one step. Whoever is silent, or cannot reproduce what he committed to, has
 * not opened his result: he loses, and the referee computes the unit to find out whether he was wrong.
 * Winning proves nothing: what is left is judged like any other result, and still needs a quorum.
 *
 * Where three or more results differ, pair after pair is settled until one is left. Of a dispute
 * nothing is kept in rows but its outcome: after a restart it begins again, and both sides can
 * answer as before, because their traces are committed to and their steps can be computed again. */
#include <stdio.h>

#include "coordinator/core_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/unit/replay.h"

static const char *const silence[] = {
	[DISPUTE_TRACES] = "the leaves of its trace did not come in time",
	[DISPUTE_SEGMENTS] = "what its steps gave did not come in time",
	[DISPUTE_STATE] = "the state that was asked for did not come in time",
};

static void list_close(struct leaf_list *l)
{
	mem_free(l->at);
	*l = (struct leaf_list){0};
}

static void reserve_release(struct core *c, struct dispute *d)
{
	c->uploading_bytes -= d->reserved;
	d->reserved = 0;
}

void dispute_close(struct core *c, struct core_unit *u)
{
	struct dispute *d = u->dispute;

	if (d == NULL)
		return;
	for (uint32_t i = 0; i < 2; i++) {
		list_close(&d->side[i].trace);
		list_close(&d->side[i].steps);
		d->side[i].replica->peer->disputing = false;
	}
	bytes_close(&d->state);
	reserve_release(c, d);
	if (c->out != NULL && !digest_is_zero(&d->state_blob) && !d->state_kept)
		blob_remove(c, &d->state_blob);
	if (u->referee != REFEREE_NONE)
		u->round->referees--; /* an answer that is still coming finds nobody */
	u->referee = REFEREE_NONE;
	agenda_mark(u);
	u->dispute = NULL;
	c->disputes--;
	mem_free(d);
}

/* The side has not opened what it committed to. */
void dispute_lose(struct core *c, struct disputant *s, const char *why)
{
	struct core_replica *r = s->replica;
	char label[17];

	if (r->row.state != REPLICA_REVEALED)
		return;
	peer_label(r->peer, label);
	core_log(c, "unit %u of round %u of %s: peer %s loses its dispute: %.120s", r->row.unit + 1,
		r->row.round + 1, r->unit->project->row.name, label, why);
	replica_reject(c, r, REPLICA_UNOPENED, why);
}

void dispute_abandon(struct core *c, struct core_replica *r)
{
	struct dispute *d = r->unit->dispute;

	for (uint32_t i = 0; d != NULL && i < 2; i++)
		if (d->side[i].replica == r)
			dispute_lose(c, &d->side[i], "given up in a dispute");
}

bool dispute_silent(const struct core_replica *r)
{
	return r->row.state == REPLICA_UNOPENED && r->row.claim_bytes > 0;
}

static bool able(const struct core_replica *r)
{
	return r->row.state == REPLICA_REVEALED && !r->peer->row.retired;
}

/* Does this stage still wait for something of this side? */
static bool pending(const struct dispute *d, uint32_t i)
{
	const struct disputant *s = &d->side[i];

	switch (d->stage) {
	case DISPUTE_TRACES:
		return s->trace.at == NULL || s->trace.have < s->trace.total;
	case DISPUTE_SEGMENTS:
		return s->steps.at == NULL || s->steps.have < s->steps.total;
	case DISPUTE_STATE:
		return i == d->holder && d->reserved != 0 && digest_is_zero(&d->state_blob);
	default:
		return false;
	}
}

static uint64_t patience_ms(const struct core_unit *u, const struct core_peer *peer)
{
	const struct dispute *d = u->dispute;
	uint64_t ms = lease_ms_for(u->project, peer) + SEGMENT_MS;

	if (d->stage == DISPUTE_TRACES)
		return TRACE_MS;
	if (d->stage == DISPUTE_STATE)
		ms += d->state_bytes * 1000 / UPLOAD_RATE_MIN;
	return ms;
}

static void ask(struct core *c, struct core_unit *u, struct disputant *s)
{
	struct dispute *d = u->dispute;
	struct core_replica *r = s->replica;

	if (s->asked_ms == 0)
		s->asked_ms = c->now_ms;
	if (r->peer->conn == 0 || s->told == r->peer->conn)
		return;
	s->told = r->peer->conn;
	s->deadline_ms = c->now_ms + patience_ms(u, r->peer);
	if (d->stage == DISPUTE_TRACES) {
		say(c, r->peer, MESSAGE_TRACE_REQUEST, NULL)->trace_request =
			(struct message_trace_request){r->row.nonce, s->trace.have};
	} else if (d->stage == DISPUTE_SEGMENTS) {
		list_close(&s->steps); /* what it computes now may differ: from the start */
		say(c, r->peer, MESSAGE_SEGMENT_REQUEST, NULL)->segment_request =
			(struct message_segment_request){r->row.nonce, d->segment};
	} else {
		d->heard_ms = 0;
		say(c, r->peer, MESSAGE_STATE_REQUEST, NULL)->state_request =
			(struct message_state_request){r->row.nonce, d->step, d->state.len};
	}
}

static void stage_enter(struct core *c, struct core_unit *u, enum dispute_stage stage)
{
	struct dispute *d = u->dispute;

	d->stage = stage;
	for (uint32_t i = 0; i < 2; i++) {
		d->side[i].asked_ms = d->side[i].deadline_ms = 0;
		d->side[i].told = 0;
	}
	unit_touch(c, u);
}

/* The first place at which the lists differ; the last one of the shorter when they do not. */
static uint32_t parting(const struct leaf_list *a, const struct leaf_list *b)
{
	uint32_t n = a->total < b->total ? a->total : b->total;
	uint32_t i = 0;

	while (i + 1 < n && digest_equal(&a->at[i], &b->at[i]))
		i++;
	return i;
}

static void traces_compare(struct core *c, struct core_unit *u)
{
	struct dispute *d = u->dispute;
	uint32_t i = parting(&d->side[0].trace, &d->side[1].trace);

	REQUIRE(i > 0); /* leaf 0 is the header's digest in both */
	d->segment = i - 1;
	stage_enter(c, u, DISPUTE_SEGMENTS);
}

static void segments_compare(struct core *c, struct core_unit *u)
{
	const struct recipe *recipe = &u->project->recipe;
	struct dispute *d = u->dispute;
	char x[17], y[17];

	d->at = parting(&d->side[0].steps, &d->side[1].steps);
	d->step = d->segment * recipe->train.trace_every + d->at;
	d->holder = d->side[0].replica->peer->conn == 0 && d->side[1].replica->peer->conn != 0;
	peer_label(d->side[0].replica->peer, x);
	peer_label(d->side[1].replica->peer, y);
	core_log(c,
		"unit %u of round %u of %s: peers %s and %s part at step %u of %u%s; computing it",
		u->row.index + 1, u->row.round + 1, u->project->row.name, x, y, d->step + 1,
		recipe->train.inner_steps,
		d->step == recipe->train.inner_steps ? " (packing)" : "");
	if (d->step == 0) { /* its state follows from the header */
		stage_enter(c, u, DISPUTE_STEP);
		return;
	}
	if (replay_state_bytes(recipe, d->step, &d->state_bytes, NULL) != TK_OK) {
		c->error = TK_ENOMEM;
		return;
	}
	stage_enter(c, u, DISPUTE_STATE);
}

void dispute_next(struct core *c, struct core_unit *u)
{
	struct dispute *d = u->dispute;

	if (d->stage == DISPUTE_STATE && !digest_is_zero(&d->state_blob))
		stage_enter(c, u, DISPUTE_STEP);
	else if (pending(d, 0) || pending(d, 1))
		return;
	else if (d->stage == DISPUTE_TRACES)
		traces_compare(c, u);
	else if (d->stage == DISPUTE_SEGMENTS)
		segments_compare(c, u);
}

/* Asks whoever has not been asked on his session, and keeps room for what will come. */
static void advance(struct core *c, struct core_unit *u)
{
	struct dispute *d = u->dispute;

	if (d->stage == DISPUTE_STATE && d->reserved == 0) {
		if (c->uploading_bytes != 0 &&
			c->uploading_bytes + d->state_bytes > UPLOAD_BUFFER_MAX)
			return; /* at a later tick */
		d->reserved = d->state_bytes;
		c->uploading_bytes += d->reserved;
	}
	for (uint32_t i = 0; i < 2; i++)
		if (pending(d, i))
			ask(c, u, &d->side[i]);
	if (d->stage != DISPUTE_STEP || u->referee != REFEREE_NONE)
		return;
	reserve_release(c, d);
	u->referee = REFEREE_WAITING;
	agenda_mark(u);
	u->round->referees++;
}

/* How good a representative it is: who is connected can answer. */
static int rank(const struct core_replica *r)
{
	return (r->peer->conn != 0) * 2 + !r->unmatched;
}

/* Two whose results differ, and between whom the referee has not failed to find one that it agrees with. free: who is
 * in no other dispute, so that nobody has to compute for two at a time. */
static bool pair_choose(
	const struct core_unit *u, bool free, struct core_replica **a, struct core_replica **b)
{
	int best = -1;

	for (struct core_replica *x = u->replicas; x != NULL; x = x->unit_next) {
		if (!able(x) || (free && x->peer->disputing))
			continue;
		for (struct core_replica *y = x->unit_next; y != NULL; y = y->unit_next) {
			if (!able(y) || (free && y->peer->disputing) ||
				digest_equal(&x->row.result, &y->row.result) ||
				(x->unmatched && y->unmatched) || rank(x) + rank(y) <= best)
				continue;
			best = rank(x) + rank(y);
			*a = x;
			*b = y;
		}
	}
	return best >= 0;
}

static void dispute_begin(
	struct core *c, struct core_unit *u, struct core_replica *a, struct core_replica *b)
{
	struct dispute *d = mem_calloc(1, sizeof(*d));

	if (d == NULL) {
		c->error = TK_ENOMEM;
		return;
	}
	d->stage = DISPUTE_TRACES;
	d->side[0].replica = a;
	d->side[1].replica = b;
	a->peer->disputing = b->peer->disputing = true;
	u->dispute = d;
	c->disputes++;
	advance(c, u);
}

/* Has it been computed so often that this machine should? Those who were proven wrong meanwhile are in nobody's
 * way any more, as long as more than twice as many others are here. */
static bool is_stuck(const struct core *c, const struct core_unit *u)
{
	uint32_t computed = 0, standing = 0;

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		computed += r->row.committed_ms != 0;
		standing += r->row.committed_ms != 0 && !r->peer->row.retired;
	}
	return standing >= REPLICAS_PER_UNIT ||
	       (computed >= REPLICAS_PER_UNIT && 2 * computed >= c->connected);
}

/* What is left when nobody disputes: back to the ordinary way, where it needs a quorum as ever. */
static void dispute_over(struct core *c, struct core_unit *u, uint32_t agreeing)
{
	uint32_t quorum = u->project->row.quorum;

	u->row.wanted = quorum;
	unit_move(c, u, UNIT_UNSENT);
	unit_touch(c, u);
	if (agreeing > 0 && agreeing < quorum && is_stuck(c, u))
		audit_open(c, u, "has been computed too often without a quorum");
}

void dispute_judge(struct core *c, struct core_unit *u)
{
	struct core_replica *a = NULL;
	struct core_replica *b = NULL;
	struct dispute *d = u->dispute;
	bool settled = false, differ = false, silent = false;
	uint32_t agreeing = 0, results = 0;

	if (d != NULL && able(d->side[0].replica) && able(d->side[1].replica)) {
		advance(c, u);
		return;
	}
	dispute_close(c, u);
	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		silent |= dispute_silent(r) && !r->peer->row.retired;
		if (!replica_opened(r) || r->peer->row.retired)
			continue;
		settled |= r->row.state != REPLICA_REVEALED;
		differ |= a != NULL && !digest_equal(&a->row.result, &r->row.result);
		a = r;
		agreeing += !r->row.late;
		results++;
	}
	/* Settled before: its holders have forgotten their traces. */
	if (settled || (silent && !differ && results > 0)) {
		u->referee = REFEREE_WAITING;
		agenda_mark(u);
		u->round->referees++;
	} else if (!differ) {
		dispute_over(c, u, agreeing);
	} else if (!pair_choose(u, false, &a, &b)) {
		dispute_unmatched(c, u, results);
	} else if (c->disputes < DISPUTES_MAX && pair_choose(u, true, &a, &b)) {
		dispute_begin(c, u, a, b);
	}
}

void dispute_tick(struct core *c, struct core_unit *u)
{
	struct dispute *d = u->dispute;

	unit_touch(c, u); /* its turn may have come */
	for (uint32_t i = 0; d != NULL && i < 2; i++) {
		struct disputant *s = &d->side[i];
		bool here = s->replica->peer->conn != 0;
		bool idle = d->stage == DISPUTE_STATE && d->heard_ms != 0 &&
			    c->now_ms >= d->heard_ms + UPLOAD_IDLE_MS;

		if (!pending(d, i) || s->asked_ms == 0)
			continue;
		if ((here && s->told != 0 && (c->now_ms >= s->deadline_ms || idle)) ||
			c->now_ms >=
				s->asked_ms + patience_ms(u, s->replica->peer) + DISPUTE_AWAY_MS)
			dispute_lose(c, s, silence[d->stage]);
	}
}
