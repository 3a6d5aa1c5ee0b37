/* What disputants say: leaves of traces, leaves of steps, states. Each list comes in order and is
 * checked when it is whole; anything out of order is as good as silence. What nobody asked for, or
 * not any more, is passed over: it may have crossed with the end of its dispute.
 *
 * Memory: two traces of at most TRACE_LEAVES_MAX digests for each of DISPUTES_MAX disputes; states share
 * UPLOAD_BUFFER_MAX with payloads. */
#include <stdio.h>

#include "coordinator/core_state.h"
#include "tasks/base/mem.h"
#include "tasks/unit/replay.h"
#include "tasks/unit/sign.h"

/* The side that this is an answer of, in a stage; NULL: none. */
static struct disputant *side_of(struct core *c, const struct core_peer *peer,
	const struct digest *nonce, enum dispute_stage stage)
{
	struct core_replica *r = replica_find(c, nonce);
	struct dispute *d = r != NULL && r->peer == peer ? r->unit->dispute : NULL;

	if (d == NULL || d->stage != stage || r->row.state != REPLICA_REVEALED)
		return NULL;
	for (uint32_t i = 0; i < 2; i++)
		if (d->side[i].replica == r && d->side[i].told == peer->conn)
			return &d->side[i];
	return NULL;
}

/* Takes a part of a list. False: it is out of order (or there is no memory: c->error). */
static bool list_take(
	struct core *c, struct leaf_list *l, uint32_t total, uint32_t offset, struct span leaves)
{
	uint32_t count = (uint32_t)(leaves.len / DIGEST_BYTES);

	if (l->at == NULL) {
		l->at = mem_calloc(total, sizeof(*l->at));
		if (l->at == NULL) {
			c->error = TK_ENOMEM;
			return false;
		}
		l->total = total;
	}
	if (total != l->total || offset != l->have || count > l->total - l->have)
		return false;
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t b = 0; b < DIGEST_BYTES; b++)
			l->at[l->have + i].b[b] = leaves.data[i * DIGEST_BYTES + b];
	l->have += count;
	return true;
}

static struct claim claim_of(const struct core_replica *r)
{
	struct claim claim = {0};

	if (claim_decode(&claim, span_of(r->row.claim, r->row.claim_bytes), NULL) != TK_OK)
		claim.outcome = OUTCOME_UPDATE; /* it was checked when it was revealed */
	return claim;
}

/* The whole trace is here. One that the commitment does not hold opens nothing; one that it does hold and
 * that can't be any unit's is proven wrong without computing. */
static void trace_judge(struct core *c, struct disputant *s)
{
	struct core_replica *r = s->replica;
	const struct core_project *p = r->unit->project;
	struct claim claim = claim_of(r);
	struct errmsg why = {""};
	struct fault_statement what = {.kind = FAULT_TRACE,
		.leaves = span_of(s->trace.at, s->trace.total * sizeof(*s->trace.at))};
	struct digest root;
	char text[TEXT_MAX];

	merkle_root(&root, s->trace.at, s->trace.total);
	if (!digest_equal(&root, &claim.trace)) {
		dispute_lose(c, s, "its trace is not the one that it committed to");
	} else if (trace_impossible(&p->recipe.train, p->payload_bytes, &r->unit->digest, &claim,
			   s->trace.at, s->trace.total, &why)) {
		snprintf(text, sizeof(text), "unit %u of round %u of %s: %.120s", r->row.unit + 1,
			r->row.round + 1, p->row.name, why.text);
		fault_prove(c, r, &what, NULL, text);
	} else {
		dispute_next(c, r->unit);
	}
}

void trace_take(struct core *c, struct core_peer *peer, const struct message_trace *m)
{
	struct disputant *s = side_of(c, peer, &m->nonce, DISPUTE_TRACES);

	if (s == NULL || (s->trace.at != NULL && s->trace.have == s->trace.total))
		return;
	s->replica->unit->dispute->messages++;
	if (!list_take(c, &s->trace, m->total, m->offset, m->leaves)) {
		if (c->error == TK_OK)
			dispute_lose(c, s, "the leaves of its trace came out of order");
	} else if (s->trace.have == s->trace.total) {
		trace_judge(c, s);
	}
}

/* All step leaves are here. */
static void segment_judge(struct core *c, struct disputant *s)
{
	struct core_replica *r = s->replica;
	const struct core_project *p = r->unit->project;
	struct claim claim = claim_of(r);
	struct errmsg why = {""};

	if (!segment_verify(&r->peer->row.key, &s->signature, &r->row.commitment,
		    r->unit->dispute->segment, s->steps.at, s->steps.total))
		dispute_lose(c, s, "what its steps gave is not signed by it");
	else if (segment_impossible(&p->recipe.train, &claim, &r->row.result, s->trace.at,
			 r->unit->dispute->segment, s->steps.at, s->steps.total, &why))
		dispute_lose(c, s, "it cannot reproduce what it committed to");
	else
		dispute_next(c, r->unit);
}

void segment_take(struct core *c, struct core_peer *peer, const struct message_segment *m)
{
	struct disputant *s = side_of(c, peer, &m->nonce, DISPUTE_SEGMENTS);

	if (s == NULL || m->segment != s->replica->unit->dispute->segment ||
		(s->steps.at != NULL && s->steps.have == s->steps.total))
		return;
	s->replica->unit->dispute->messages++;
	s->signature = m->signature;
	if (m->total > s->replica->unit->project->recipe.train.trace_every + 1) {
		dispute_lose(c, s, "its segment has more steps than the recipe gives it");
	} else if (!list_take(c, &s->steps, m->total, m->offset, m->leaves)) {
		if (c->error == TK_OK)
			dispute_lose(c, s, "what its steps gave came out of order");
	} else if (s->steps.have == s->steps.total) {
		segment_judge(c, s);
	}
}

/* All bytes are here: are they what both sides have agreed on? */
static void state_judge(struct core *c, struct disputant *s)
{
	struct core_unit *u = s->replica->unit;
	struct dispute *d = u->dispute;
	const struct digest *agreed =
		d->at > 0 ? &s->steps.at[d->at - 1] : &s->trace.at[d->segment];
	struct digest is;
	int rc =
		replay_state_digest(&u->project->recipe, d->step, bytes_span(&d->state), &is, NULL);

	if (rc == TK_ENOMEM) {
		c->error = rc;
		return;
	}
	if (rc != TK_OK || !digest_equal(&is, agreed)) {
		dispute_lose(c, s, "the state that it sent is not the one that it signed");
		return;
	}
	digest_blob(&d->state_blob, d->state.data, d->state.len);
	blob_store(c, &d->state_blob, &d->state);
	d->state = (struct bytes){0};
	dispute_next(c, u);
}

void state_take(struct core *c, struct core_peer *peer, const struct message_state *m)
{
	struct disputant *s = side_of(c, peer, &m->nonce, DISPUTE_STATE);
	struct dispute *d;

	if (s == NULL)
		return;
	d = s->replica->unit->dispute;
	if (s != &d->side[d->holder] || m->step != d->step || !digest_is_zero(&d->state_blob))
		return;
	d->heard_ms = c->now_ms;
	if (m->total != d->state_bytes || m->offset != d->state.len)
		dispute_lose(c, s, "the state came out of order or has another length");
	else if (bytes_append(&d->state, m->bytes.data, m->bytes.len) != TK_OK)
		c->error = TK_ENOMEM;
	else if (d->state.len == d->state_bytes)
		state_judge(c, s);
}
