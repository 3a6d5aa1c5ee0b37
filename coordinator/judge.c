/* Agreement: looks at one unit, at everything known about it now, and takes the next step.
 *
 * When reveals are asked for. As soon as the quorum has committed, from all who have; whether
 * further replicas are out (backups, hidden audits) makes no difference, so the time tells nobody
 * about them. The result is canonical when the quorum has revealed equal digests, no revealed
 * digest differs and nobody who is connected has still to open. One that differs, however late,
 * opens a dispute (dispute.c): a majority never decides, and an established peer counts like any
 * other.
 *
 * What counts: replicas of identities that are not retired and that are not late (commit.c). Late
 * ones can contradict but not confirm. When they alone could make up the quorum, because somebody
 * withheld his reveal and nobody else is there, the referee recomputes instead.
 *
 * Results that are not finite are recomputed before they count: no payload has to fit them, so that
 * is the lie which costs nothing and on which strangers agree.
 *
 * A round that has been closed for its merge is not reopened: what comes then is compared and
 * counted, and retires nobody. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "tasks/base/require.h"

void unit_touch(struct core *c, struct core_unit *u)
{
	agenda_mark(u);
	if (u->touched)
		return;
	u->touched = true;
	u->touched_next = c->touched;
	c->touched = u;
}

bool replica_counts(const struct core_replica *r)
{
	return !r->row.late && !r->row.repeats && !r->peer->row.retired;
}

bool replica_opened(const struct core_replica *r)
{
	enum replica_state s = r->row.state;

	return s == REPLICA_REVEALED || s == REPLICA_UPLOADING || s == REPLICA_VALID ||
	       (s == REPLICA_LATE && r->row.claim_bytes > 0);
}

/* A replica that the unit can still count on, or already has. */
static bool live(const struct core *c, const struct core_replica *r)
{
	if (!replica_counts(r))
		return false;
	if (r->row.state == REPLICA_COMMITTED)
		return !peer_gone(c, r->peer, COMMIT_AWAY_MS);
	return r->row.state == REPLICA_LEASED || replica_opened(r);
}

uint32_t unit_live(const struct core *c, const struct core_unit *u)
{
	uint32_t n = 0;

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		n += live(c, r);
	return n;
}

/* Late leases that are still being computed are ordered anew before anybody else is asked. */
static void recall_late(struct core *c, struct core_unit *u, uint32_t missing)
{
	for (struct core_replica *r = u->replicas; r != NULL && missing > 0; r = r->unit_next) {
		if (r->row.state != REPLICA_LEASED || !r->row.late || r->peer->row.retired)
			continue;
		r->row.late = false;
		replica_changed(c, r);
		missing--;
	}
}

/* A unit that nobody has begun wants what its policy says now; one that is in progress not less than before. */
static void wanted_update(struct core *c, struct core_unit *u)
{
	uint32_t wanted = policy_wanted(c, u);

	if (!policy_adaptive(u->project) || u->row.wanted == wanted ||
		(u->row.wanted > wanted && u->replicas != NULL))
		return;
	u->row.wanted = wanted;
	unit_changed(c, u);
}

/* Whether the unit can be leased, and the state that says so. */
void unit_refresh(struct core *c, struct core_unit *u)
{
	bool begun = u->row.state == UNIT_UNSENT || u->row.state == UNIT_IN_PROGRESS;
	bool open = begun || u->row.state == UNIT_DISPUTED || u->row.state == UNIT_AUDITED;
	uint32_t n = unit_live(c, u);
	bool wanting;

	if (begun)
		wanted_update(c, u);
	wanting = open && n < u->row.wanted;

	if (wanting) {
		recall_late(c, u, u->row.wanted - n);
		wanting = unit_live(c, u) < u->row.wanted;
	}
	if (wanting && !u->wanting)
		c->dispatch = true;
	u->round->wanting += wanting;
	u->round->wanting -= u->wanting;
	u->wanting = wanting;
	agenda_mark(u);
	if (begun && (u->row.state == UNIT_UNSENT) != wanting)
		unit_move(c, u, wanting ? UNIT_UNSENT : UNIT_IN_PROGRESS);
}

/* What the replicas of a unit say, taken together. */
struct tally {
	const struct core_replica *sample; /* one that has revealed */
	bool dissent;			   /* two have revealed different results */
	uint32_t committed;		   /* count and have committed, revealed or not */
	uint32_t agreeing;		   /* count and have revealed */
	bool established;		   /* of those that have committed, one is; … */
	bool established_agrees;	   /* … of those that have revealed */
	uint32_t late;			   /* have revealed, late */
	uint32_t pending;		   /* count, are connected and have still to reveal */
	uint32_t
		awaited; /* count, have still to reveal, and seek the place that we took from them */
};

static void tally_take(const struct core *c, const struct core_unit *u, struct tally *t)
{
	*t = (struct tally){0};
	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		if (r->peer->row.retired)
			continue;
		if (r->row.state == REPLICA_COMMITTED && replica_counts(r)) {
			t->committed++;
			t->established |= peer_established(r->peer);
			t->pending += r->peer->conn != 0;
			t->awaited += r->peer->released && !peer_gone(c, r->peer, COMMIT_AWAY_MS);
		}
		if (!replica_opened(r))
			continue;
		t->dissent |=
			t->sample != NULL && !digest_equal(&t->sample->row.result, &r->row.result);
		t->sample = r;
		t->late += r->row.late;
		if (!replica_counts(r))
			continue;
		t->committed++;
		t->agreeing++;
		t->established |= peer_established(r->peer);
		t->established_agrees |= peer_established(r->peer);
	}
}

static void reveals_ask(struct core *c, struct core_unit *u, const struct tally *t)
{
	bool quorum = t->committed >= u->project->row.quorum ||
		      (t->established && policy_quorum(c, u) == 1);
	bool decided = u->row.state == UNIT_DISPUTED || u->row.state == UNIT_SETTLED ||
		       u->row.state == UNIT_AUDITED;

	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		if (r->row.state == REPLICA_COMMITTED &&
			(quorum || decided || (r->row.late && u->revealed)))
			reveal_ask(c, r);
}

static void credit_give(struct core *c, struct core_replica *r)
{
	uint64_t credit = unit_credit(r->unit->project);

	replica_move(c, r, REPLICA_VALID);
	deadline_met(r);
	r->peer->row.valid++;
	r->peer->unopened = 0;
	r->peer->row.credit_flops += credit;
	peer_changed(c, r->peer);
	trust_note(c, r);
	say_settled(c, r, VERDICT_VALID, "equal to the canonical result");
}

void replica_right(struct core *c, struct core_replica *r)
{
	if (r->row.state != REPLICA_REVEALED)
		return; /* it was judged before */
	if (replica_counts(r) || (r->row.repeats && !r->peer->row.retired)) {
		credit_give(c, r);
	} else {
		replica_move(c, r, REPLICA_LATE);
		say_settled(c, r, VERDICT_LATE,
			r->row.late ? "right, but committed after the unit's first reveal"
				    : "right, but this identity is retired");
	}
}

void replica_dissents(struct core *c, struct core_replica *r)
{
	if (!digest_is_zero(&r->unit->row.referee)) {
		dispute_convict(c, r);
		return;
	}
	replica_move(c, r, REPLICA_LATE);
	say_settled(c, r, VERDICT_LATE,
		r->peer->row.retired
			? "it differs from what others agree on, and this identity is retired: "
			  "nobody has looked who is right"
			: "it differs from what the round is merged with, and came when that "
			  "was under way: nobody has looked who is right");
}

/* The unit's row holds the canonical claim and its payload is durable. */
void unit_settle(struct core *c, struct core_unit *u)
{
	struct core_project *p = u->project;

	policy_refereed(c, u);
	unit_move(c, u, UNIT_SETTLED);
	ledger_unit(c, u);
	p->row.units_accepted++;
	project_changed(c, p);
	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		if (r->row.state == REPLICA_LEASED && !policy_goes_on(c, r))
			lease_cancel(c, r, VERDICT_LATE, "others have settled the unit");
		else if (replica_opened(r) && digest_equal(&r->row.result, &u->row.result))
			replica_right(c, r);
		else if (replica_opened(r) && r->peer->row.retired)
			replica_dissents(c, r);
	}
	if (policy_adaptive(p))
		policy_settled(c, u);
}

static void canonical_set(struct core *c, struct core_unit *u, const struct core_replica *r)
{
	u->row.result = r->row.result;
	u->row.claim_bytes = r->row.claim_bytes;
	memcpy(u->row.claim, r->row.claim, r->row.claim_bytes);
	unit_changed(c, u);
}

/* The payload's holders are all out of reach: somebody has to compute it again. */
static void payload_lost(struct core *c, struct core_unit *u, const struct tally *t)
{
	uint32_t wanted = t->agreeing < REPLICAS_PER_UNIT ? t->agreeing + 1 : REPLICAS_PER_UNIT;

	if (u->row.state == UNIT_UPLOADING)
		unit_move(c, u, UNIT_UNSENT);
	if (u->row.wanted >= wanted)
		return;
	u->row.wanted = wanted;
	unit_changed(c, u);
}

/* No round is taken back on the word of one. */
static bool contradicts_merge(const struct core_unit *u, const struct core_replica *r)
{
	return !digest_is_zero(&u->row.merged) && !digest_equal(&u->row.merged, &r->row.result) &&
	       digest_is_zero(&u->row.referee);
}

/* The quorum agrees on t->sample's result. */
static void agreement(struct core *c, struct core_unit *u, const struct tally *t)
{
	struct claim claim;
	int rc;

	REQUIRE(t->sample != NULL); /* a quorum is at least one */
	if (u->row.state != UNIT_UPLOADING) {
		rc = claim_decode(
			&claim, span_of(t->sample->row.claim, t->sample->row.claim_bytes), NULL);
		REQUIRE(rc == TK_OK); /* reveal_take and core_load_replica let no other in */
		if (claim.outcome == OUTCOME_NONFINITE) {
			audit_open(c, u, "is said to leave the finite numbers");
			return;
		}
		if (t->agreeing < u->project->row.quorum && contradicts_merge(u, t->sample)) {
			audit_open(c, u, "differs from what was merged, on one word");
			return;
		}
		if (upload_holder(c, u) == NULL) {
			payload_lost(c, u, t);
			return;
		}
		canonical_set(c, u, t->sample);
		unit_move(c, u, UNIT_UPLOADING);
	}
	if (u->uploader == NULL && upload_holder(c, u) == NULL)
		payload_lost(c, u, t);
	else
		upload_seek(c, u);
}

static void judge_open(struct core *c, struct core_unit *u, const struct tally *t)
{
	uint32_t quorum = u->project->row.quorum;
	bool uploading = u->row.state == UNIT_UPLOADING;
	bool enough = t->agreeing >= quorum || (t->established_agrees && policy_quorum(c, u) == 1);

	if (t->dissent) {
		dispute_open(c, u);
	} else if (enough && (uploading || t->pending == 0)) {
		agreement(c, u, t);
	} else if (uploading && !enough) {
		upload_release(c, u);
		unit_move(c, u, UNIT_UNSENT);
	} else if (t->late > 0 && t->pending == 0 && t->awaited == 0 &&
		   t->agreeing + t->late >= quorum) {
		audit_open(c, u, "has lost its quorum");
	}
}

/* What arrives after a unit was settled, and what its quorum is worth after a retirement. */
static void judge_settled(struct core *c, struct core_unit *u)
{
	struct core_project *p = u->project;
	bool refereed = !digest_is_zero(&u->row.referee);
	uint32_t valid = 0;
	bool dissent = false;

	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		valid += r->row.state == REPLICA_VALID && !r->peer->row.retired;
		if (r->row.state != REPLICA_REVEALED)
			continue;
		if (digest_equal(&r->row.result, &u->row.result))
			replica_right(c, r);
		else if (refereed || p->merging || r->peer->row.retired)
			replica_dissents(c, r);
		else
			dissent = true;
	}
	if (dissent)
		dispute_open(c, u);
	else if (!refereed && !p->merging && valid < p->row.quorum)
		audit_open(c, u, "has lost its quorum");
}

static void unit_judge(struct core *c, struct core_unit *u)
{
	struct tally t;

	tally_take(c, u, &t);
	reveals_ask(c, u, &t);
	if (policy_adaptive(u->project) &&
		(u->row.state == UNIT_SETTLED || u->row.state == UNIT_AUDITED))
		policy_judge(c, u);
	else if (u->row.state == UNIT_SETTLED)
		judge_settled(c, u);
	else if (u->row.state != UNIT_DISPUTED)
		judge_open(c, u, &t);
	else if (!digest_is_zero(&u->row.referee))
		dispute_decide(c, u);
	else if (u->referee == REFEREE_NONE || u->dispute != NULL)
		dispute_judge(c, u);
	unit_refresh(c, u);
}

void units_judge(struct core *c)
{
	while (c->touched != NULL && c->error == TK_OK) {
		struct core_unit *u = c->touched;

		c->touched = u->touched_next;
		u->touched = false;
		unit_judge(c, u);
	}
}
