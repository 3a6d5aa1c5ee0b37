/* A result is proven wrong: the statement that shows it to anybody (tasks/unit/fault.h), and what becomes of its
 * author. The statement goes with the rows of the same step, so a crash does not lose it, and the ledger names
 * its digest; the shell adds the blobs that it takes and keeps the file (fault_keep.c). */
#include "coordinator/core_state.h"
#include "tasks/base/require.h"
#include "tasks/unit/fault.h"

/* What every kind has: the way from the network's root to this replica's commitment and, but for an
 * equivocation, what opens it. unit and path are filled for f to borrow. */
static int statement_fill(const struct core *c, const struct core_replica *r,
	struct fault_statement *f, struct bytes *unit, struct digest path[64])
{
	const struct core_project *p = r->unit->project;
	const struct core_round *o = r->unit->round;
	const struct round_start start = round_start_of(o);
	size_t steps = merkle_path(path, o->leaves, p->row.units_per_round, r->row.unit);
	struct unit u;

	unit_describe(&u, &p->row.recipe, o->row.round, r->row.unit, &start);
	if (unit_encode(&u, unit) != TK_OK)
		return TK_ENOMEM;
	f->network = c->root->public;
	f->manifest = bytes_span(&o->manifest);
	f->manifest_signature = o->signature;
	f->unit = bytes_span(unit);
	f->path = span_of(path, steps * sizeof(*path));
	f->nonce = r->row.nonce;
	f->peer = r->row.peer;
	f->commitment = r->row.commitment;
	f->signature = r->row.commit_signature;
	if (f->kind != FAULT_EQUIVOCATION) {
		f->salt = r->row.salt;
		f->claim = span_of(r->row.claim, r->row.claim_bytes);
	}
	return TK_OK;
}

static void proof_say(struct core *c, const struct core_replica *r, struct fault_statement *f,
	const struct digest *state)
{
	static const struct digest none;
	struct bytes unit = {0};
	struct bytes encoded = {0};
	struct digest path[64];
	struct digest digest;
	char hex[DIGEST_HEX], label[17];
	int rc = statement_fill(c, r, f, &unit, path);

	if (rc == TK_OK)
		rc = fault_encode(f, &encoded);
	bytes_close(&unit);
	if (rc != TK_OK) {
		REQUIRE(rc == TK_ENOMEM);
		bytes_close(&encoded);
		c->error = rc;
		return;
	}
	fault_digest(&digest, bytes_span(&encoded));
	digest_hex(hex, &digest);
	peer_label(r->peer, label);
	core_log(c, "unit %u of round %u of %s: the fault of peer %s is proven by faults/%s.fault",
		r->row.unit + 1, r->row.round + 1, r->unit->project->row.name, label, hex);
	fault_say(c, &digest, state != NULL ? state : &none, &encoded);
	ledger_fault(c, r, f->kind, &digest);
}

void fault_prove(struct core *c, struct core_replica *r, struct fault_statement *what,
	const struct digest *state, const char *why)
{
	bool judged = r->row.state == REPLICA_INVALID ||
		      (what->kind == FAULT_EQUIVOCATION &&
			      (r->row.state == REPLICA_VALID || r->row.state == REPLICA_LATE));

	proof_say(c, r, what, state);
	if (judged)
		say_settled(c, r, VERDICT_INVALID, why); /* by its first word; stays so */
	else
		replica_reject(c, r, REPLICA_INVALID, why);
	peer_fault(c, r->peer, what->kind != FAULT_EQUIVOCATION, why);
}
