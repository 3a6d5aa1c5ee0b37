/* What the core writes into the ledger (ledger.h), and when. An entry is an effect that the shell commits
 * with the rows of the same step, in order, so the chain in the store never breaks: after a crash the
 * core goes on from the last entry that is there.
 *
 * A unit gets its entry at the end of the step that settles it, whether it is drawn for an audit or not, when all its
 * replicas have been judged, and another one after each step that judges one of them anew once it is settled. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

void core_load_ledger(struct core *c, const struct ledger_head *head)
{
	c->ledger = *head;
}

/* Adds the entry to the chain and hands it to the shell. */
static void append(struct core *c, const struct core_project *p, struct ledger_entry *e)
{
	struct bytes content = {0};
	struct ledger_row row = {.project = p->row.id, .kind = e->kind};
	struct digest digest;

	e->project = p->row.recipe;
	if (ledger_encode(e, &content) != TK_OK) {
		bytes_close(&content);
		c->error = TK_ENOMEM;
		return;
	}
	REQUIRE(content.len <= LEDGER_CONTENT_MAX);
	ledger_content_digest(&digest, bytes_span(&content));
	ledger_head_add(&c->ledger, &e->project, &digest);
	row.head = c->ledger;
	row.is_signed =
		e->kind == LEDGER_MERGE || e->kind == LEDGER_ROLLBACK || e->kind == LEDGER_END;
	if (row.is_signed)
		ledger_head_sign(&row.signature, c->root, &row.head);
	ledger_push(c, &row, &content);
}

void ledger_project(struct core *c, struct core_project *p)
{
	struct ledger_entry e = {.kind = LEDGER_PROJECT};

	e.begin.quorum = p->row.quorum;
	e.begin.policy = p->row.policy;
	e.begin.floor_ppm = (uint32_t)(p->row.audit_floor * 1e6 + 1e-6);
	e.begin.on_fraud = p->row.on_fraud;
	e.begin.settle_rounds = p->row.settle_rounds;
	append(c, p, &e);
}

void ledger_round(struct core *c, struct core_project *p)
{
	struct ledger_entry e = {.kind = LEDGER_ROUND};

	e.round.manifest = bytes_span(&p->now->manifest);
	e.round.signature = p->now->signature;
	if (p->now->states != NULL)
		e.round.states = span_of(
			p->now->states, (size_t)p->row.units_per_round * sizeof(*p->now->states));
	append(c, p, &e);
}

void ledger_unit(struct core *c, struct core_unit *u)
{
	if (u->ledger_due)
		return;
	u->ledger_due = true;
	u->ledger_next = c->ledger_due;
	c->ledger_due = u;
}

void ledger_forget(struct core *c, const struct core_round *o)
{
	struct core_unit **at = &c->ledger_due;

	while (*at != NULL)
		if ((*at)->round == o)
			*at = (*at)->ledger_next;
		else
			at = &(*at)->ledger_next;
}

static enum ledger_verdict verdict_of(enum replica_state state)
{
	switch (state) {
	case REPLICA_VALID:
		return LEDGER_VALID;
	case REPLICA_INVALID:
		return LEDGER_WRONG;
	case REPLICA_UNOPENED:
		return LEDGER_UNOPENED;
	case REPLICA_LATE:
		return LEDGER_LATE;
	default:
		return LEDGER_PENDING;
	}
}

/* In the order in which commitments were recorded; the nonce decides between those of one moment. */
static int by_commitment(const void *a, const void *b)
{
	const struct core_replica *x = *(const struct core_replica *const *)a;
	const struct core_replica *y = *(const struct core_replica *const *)b;

	if (x->row.committed_ms != y->row.committed_ms)
		return x->row.committed_ms < y->row.committed_ms ? -1 : 1;
	return memcmp(x->row.nonce.b, y->row.nonce.b, DIGEST_BYTES);
}

/* The unit's commitments, at most LEDGER_REPLICAS_MAX: those that were opened before the others, which
 * decided nothing. */
static uint32_t commitments(const struct core_unit *u, const struct core_replica **list)
{
	uint32_t count = 0;

	for (int opened = 1; opened >= 0; opened--)
		for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
			if (r->row.committed_ms != 0 &&
				(r->row.claim_bytes != 0) == (opened != 0) &&
				count < LEDGER_REPLICAS_MAX)
				list[count++] = r;
	qsort(list, count, sizeof(const struct core_replica *), by_commitment);
	return count;
}

static void replica_describe(struct ledger_replica *out, const struct core_replica *r)
{
	*out = (struct ledger_replica){
		.nonce = r->row.nonce,
		.key = r->row.peer,
		.commitment = r->row.commitment,
		.signature = r->row.commit_signature,
		.late = r->row.late,
		.verdict = verdict_of(r->row.state),
		.opened = r->row.claim_bytes != 0,
		.salt = r->row.salt,
		.claim = span_of(r->row.claim, r->row.claim_bytes),
	};
}

static void unit_append(struct core *c, const struct core_unit *u)
{
	struct ledger_entry e = {.kind = LEDGER_UNIT};
	const struct core_replica **list;
	struct ledger_replica *replicas;
	uint32_t count = 0;

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		count += r->row.committed_ms != 0;
	if (count > LEDGER_REPLICAS_MAX)
		count = LEDGER_REPLICAS_MAX;
	list = mem_calloc((size_t)count + 1, sizeof(const struct core_replica *));
	replicas = mem_calloc((size_t)count + 1, sizeof(*replicas));
	if (list != NULL && replicas != NULL) {
		count = commitments(u, list);
		for (uint32_t i = 0; i < count; i++)
			replica_describe(&replicas[i], list[i]);
		e.unit.round = u->row.round;
		e.unit.index = u->row.index;
		e.unit.header = u->digest;
		e.unit.referee = u->row.referee;
		e.unit.claim = span_of(u->row.claim, u->row.claim_bytes);
		e.unit.replica_count = count;
		e.unit.replicas = replicas;
		append(c, u->project, &e);
	} else {
		c->error = TK_ENOMEM;
	}
	mem_free(list);
	mem_free(replicas);
}

/* The list runs against the order of settling: turn it round, for the chain to read as it happened. */
void ledger_flush(struct core *c)
{
	struct core_unit *list = NULL;

	while (c->ledger_due != NULL) {
		struct core_unit *u = c->ledger_due;

		c->ledger_due = u->ledger_next;
		u->ledger_next = list;
		list = u;
	}
	for (; list != NULL; list = list->ledger_next) {
		list->ledger_due = false;
		if ((list->row.state == UNIT_SETTLED || list->row.state == UNIT_AUDITED) &&
			c->error == TK_OK)
			unit_append(c, list);
	}
}

void ledger_fault(struct core *c, const struct core_replica *r, enum fault_kind kind,
	const struct digest *proof)
{
	struct ledger_entry e = {.kind = LEDGER_FAULT, .fault.kind = kind};

	e.fault.round = r->row.round;
	e.fault.index = r->row.unit;
	e.fault.nonce = r->row.nonce;
	e.fault.key = r->row.peer;
	e.fault.proof = *proof;
	append(c, r->unit->project, &e);
}

void ledger_seed(
	struct core *c, const struct core_project *p, uint32_t round, const struct digest *seed)
{
	struct ledger_entry e = {.kind = LEDGER_SEED};

	e.seed.round = round;
	e.seed.seed = *seed;
	append(c, p, &e);
}

void ledger_merge(struct core *c, const struct core_project *p, const struct core_event *merged)
{
	struct ledger_entry e = {.kind = LEDGER_MERGE};

	ledger_flush(c);
	e.merge.round = p->row.round;
	e.merge.merged = merged->merged;
	e.merge.skipped = p->row.units_per_round - merged->merged;
	e.merge.parameters = merged->parameters;
	e.merge.outer_state = merged->outer_state;
	e.merge.states = merged->states;
	e.merge.model = merged->model;
	append(c, p, &e);
}

void ledger_rollback(struct core *c, const struct core_round *o)
{
	struct ledger_entry e = {.kind = LEDGER_ROLLBACK};
	struct bytes units = {0};
	int rc = TK_OK;

	ledger_flush(c);
	for (uint32_t i = 0; i < o->project->row.units_per_round && rc == TK_OK; i++) {
		uint8_t le[4];

		store_le32(le, i);
		if (unit_proved_wrong(&o->units[i]))
			rc = bytes_append(&units, le, sizeof(le));
	}
	e.rollback.round = o->row.round;
	e.rollback.units = bytes_span(&units);
	e.rollback.model = o->row.model;
	if (rc == TK_OK)
		append(c, o->project, &e);
	else
		c->error = rc;
	bytes_close(&units);
}

void ledger_end(struct core *c, const struct core_project *p)
{
	struct ledger_entry e = {.kind = LEDGER_END};

	e.end.state = p->row.state;
	e.end.rounds = p->row.round;
	e.end.model = p->row.model;
	append(c, p, &e);
}
