/* A result's way in: COMMIT, REVEAL, and the ways in which it does not come.
 *
 * Lateness. When the first reveal of a unit is recorded, its replicas that have not committed yet
 * become late: what they bring earns nothing and can only count against its author. A replica that
 * is ordered after that (a replacement, a dispute's extra) is not late: what was revealed went to
 * the coordinator alone, and only results that were revealed too are ever compared. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "tasks/unit/fault.h"
#include "tasks/unit/payload.h"
#include "tasks/unit/sign.h"

/* The peer's own replica of this nonce; somebody else's is as unknown to it as none. */
static struct core_replica *replica_own(
	struct core *c, const struct core_peer *peer, const struct digest *nonce)
{
	struct core_replica *r = replica_find(c, nonce);

	return r != NULL && r->peer == peer ? r : NULL;
}

void replica_reject(struct core *c, struct core_replica *r, enum replica_state to, const char *why)
{
	struct core_project *p = r->unit->project;
	struct peer_row *peer = &r->peer->row;
	uint64_t credit = unit_credit(p);

	if (r->row.state == REPLICA_VALID) {
		peer->valid--;
		peer->credit_flops -= credit < peer->credit_flops ? credit : peer->credit_flops;
	}
	if (r->row.state != REPLICA_UNOPENED) { /* or it has been counted already */
		peer->invalid++;
		p->row.units_rejected++;
	}
	if (to == REPLICA_UNOPENED) {
		peer_hold(c, r->peer);
		peer_suspect(c, r->peer, "a result was promised and not shown");
	}
	r->row.deadline_ms = 0;
	replica_move(c, r, to);
	peer_changed(c, r->peer);
	project_changed(c, p);
	say_settled(c, r, VERDICT_INVALID, why);
}

static void committed_say(struct core *c, const struct core_replica *r)
{
	say(c, r->peer, MESSAGE_COMMITTED, NULL)->committed.nonce = r->row.nonce;
}

static void reveal_say(struct core *c, const struct core_replica *r)
{
	say(c, r->peer, MESSAGE_REVEAL_REQUEST, NULL)->reveal_request.nonce = r->row.nonce;
}

void reveal_ask(struct core *c, struct core_replica *r)
{
	if (r->asked_ms != 0)
		return;
	r->asked_ms = c->now_ms;
	r->row.deadline_ms = c->now_ms + REVEAL_MS;
	replica_changed(c, r);
	reveal_say(c, r);
}

/* A COMMIT that we have on disk already, again: the peer lost its session and asks what is next. */
static void commit_again(struct core *c, struct core_replica *r)
{
	switch (r->row.state) {
	case REPLICA_COMMITTED:
		committed_say(c, r);
		if (r->asked_ms != 0)
			reveal_say(c, r);
		break;
	case REPLICA_REVEALED:
		committed_say(c, r);
		break;
	case REPLICA_UPLOADING:
		committed_say(c, r);
		upload_again(c, r);
		break;
	case REPLICA_VALID:
		say_settled(c, r, VERDICT_VALID, "equal to the canonical result");
		break;
	case REPLICA_LATE:
		say_settled(c, r, VERDICT_LATE, "the unit was decided before");
		break;
	default:
		say_settled(c, r, VERDICT_INVALID, "the result was wrong or was never opened");
		break;
	}
}

/* Two signed commitments for one lease: no accident of hardware explains that. */
static void equivocation(struct core *c, struct core_replica *r, const struct message_commit *m)
{
	struct fault_statement what = {.kind = FAULT_EQUIVOCATION,
		.other = m->commitment,
		.other_signature = m->signature};
	char why[TEXT_MAX];

	snprintf(why, sizeof(why),
		"unit %u of round %u of %s: two different commitments were signed", r->row.unit + 1,
		r->row.round + 1, r->unit->project->row.name);
	if (r->unit->uploader == r)
		upload_release(c, r->unit);
	fault_prove(c, r, &what, NULL, why);
}

/* The lease ended before this COMMIT, and its result can't be opened any more: the peer was told to
 * forget it on this very session (the two crossed on the way), or it has tried again since. */
static bool commit_dead(const struct core_replica *r)
{
	return (r->forgotten != 0 && r->forgotten == r->peer->conn) ||
	       replica_of(r->unit, r->peer) != r;
}

static void commit_record(struct core *c, struct core_replica *r, const struct message_commit *m)
{
	r->row.commitment = m->commitment;
	r->row.commit_signature = m->signature;
	r->row.committed_ms = c->now_ms;
	r->row.deadline_ms = 0;
	timing_note(c, r);
	replica_move(c, r, REPLICA_COMMITTED);
	r->unit->project->row.replicas++;
	project_changed(c, r->unit->project);
	committed_say(c, r);
}

void commit_take(struct core *c, struct core_peer *peer, const struct message_commit *m)
{
	struct core_replica *r = replica_own(c, peer, &m->nonce);

	if (!c->commits.good(
		    c->commits.context, &peer->row.key, &m->signature, &m->commitment, &m->nonce))
		peer_protocol(c, peer, "the signature of a COMMIT is wrong");
	else if (r == NULL)
		say_unknown(c, peer, &m->nonce);
	else if (r->row.committed_ms == 0 && commit_dead(r))
		say_settled(c, r, VERDICT_EXPIRED, "the lease ended before this result was here");
	else if (r->row.committed_ms == 0)
		commit_record(c, r, m);
	else if (digest_equal(&r->row.commitment, &m->commitment))
		commit_again(c, r);
	else
		equivocation(c, r, m);
}

/* True when salt and claim open the replica's commitment. */
static bool commitment_opens(const struct core *c, const struct core_replica *r,
	const struct message_reveal *m, const struct claim *claim, const struct digest *result)
{
	struct commitment x = {
		.network = c->root->public,
		.unit = r->unit->digest,
		.nonce = r->row.nonce,
		.peer = r->peer->row.key,
		.salt = m->salt,
		.result = *result,
		.trace = claim->trace,
	};
	struct digest digest;

	commitment_digest(&digest, &x);
	return digest_equal(&digest, &r->row.commitment);
}

/* What can be seen of a claim without computing: it is about this unit and of the recipe's size. */
static bool claim_fits(const struct core_replica *r, const struct claim *claim)
{
	const struct core_project *p = r->unit->project;

	if (!digest_equal(&claim->unit, &r->unit->digest))
		return false;
	if (claim->outcome == OUTCOME_UPDATE)
		return claim->payload_bytes == p->payload_bytes;
	return result_check(&p->recipe, claim, span_of("", 0), NULL) == TK_OK;
}

static void reveal_record(struct core *c, struct core_replica *r, const struct message_reveal *m,
	const struct digest *result)
{
	r->row.salt = m->salt;
	r->row.result = *result;
	r->row.claim_bytes = (uint32_t)m->claim.len;
	memcpy(r->row.claim, m->claim.data, m->claim.len);
	r->row.deadline_ms = 0;
	replica_move(c, r, REPLICA_REVEALED);
	if (r->unit->revealed)
		return;
	r->unit->revealed = true;
	r->unit->row.wanted = policy_wanted(c, r->unit); /* backups have become moot */
	unit_changed(c, r->unit);
	for (struct core_replica *x = r->unit->replicas; x != NULL; x = x->unit_next) {
		if (x->row.committed_ms != 0)
			continue;
		x->row.late = true;
		replica_changed(c, x);
	}
}

static void reveal_judge(struct core *c, struct core_replica *r, const struct message_reveal *m)
{
	struct fault_statement what = {.kind = FAULT_TRACE}; /* of the claim alone */
	char why[TEXT_MAX];
	struct digest result;
	struct claim claim;

	if (m->claim.len > CLAIM_BYTES_MAX || claim_decode(&claim, m->claim, NULL) != TK_OK) {
		replica_reject(c, r, REPLICA_UNOPENED, "the revealed claim can't be read");
		return;
	}
	claim_digest(&result, m->claim);
	if (!commitment_opens(c, r, m, &claim, &result)) {
		replica_reject(c, r, REPLICA_UNOPENED, "the reveal does not open the commitment");
		return;
	}
	reveal_record(c, r, m, &result);
	if (claim_fits(r, &claim))
		return;
	snprintf(why, sizeof(why), "unit %u of round %u of %s: its claim does not fit the unit",
		r->row.unit + 1, r->row.round + 1, r->unit->project->row.name);
	fault_prove(c, r, &what, NULL, why);
}

/* A reveal before it was asked for is refused: it would make the unit's other replicas late. */
void reveal_take(struct core *c, struct core_peer *peer, const struct message_reveal *m)
{
	struct core_replica *r = replica_own(c, peer, &m->nonce);

	if (r == NULL)
		say_unknown(c, peer, &m->nonce);
	else if (r->row.committed_ms == 0 ||
		 (r->row.state == REPLICA_COMMITTED && r->asked_ms == 0))
		peer_protocol(c, peer, "a REVEAL that was not asked for");
	else if (r->row.state == REPLICA_COMMITTED)
		reveal_judge(c, r, m);
	/* else: it repeats itself */
}

/* No error before a commitment; after it, it is the announcement that nothing will be opened.
 * Always answered with SETTLED, so that the peer can forget the lease. */
void abandon_take(struct core *c, struct core_peer *peer, const struct message_abandon *m)
{
	struct core_replica *r = replica_own(c, peer, &m->nonce);

	if (r == NULL) {
		say_unknown(c, peer, &m->nonce);
	} else if (r->row.state == REPLICA_LEASED) {
		r->row.deadline_ms = c->now_ms;
		r->forgotten = peer->conn;
		replica_move(c, r, REPLICA_ABANDONED);
		peer->row.abandoned++;
		peer_changed(c, peer);
		say_settled(c, r, VERDICT_EXPIRED, "given back; the unit goes to others");
	} else if (r->row.state == REPLICA_COMMITTED) {
		replica_reject(c, r, REPLICA_UNOPENED, "given up after the commitment");
	} else if (r->row.state == REPLICA_UPLOADING) {
		upload_fail(c, r->unit, "given up before the payload was here");
	} else if (r->row.state == REPLICA_REVEALED) {
		dispute_abandon(c, r);
	}
}
