/* See audit_unit.h: commitments, openings, order, agreement. */
#include "coordinator/audit_unit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/draw.h"
#include "tasks/base/mem.h"

/* One commitment: signed by whom it names, and opened by what stands beside it. */
static int replica_check(const struct audit *a, const struct ledger_entry *e,
	const struct ledger_replica *r, struct errmsg *msg)
{
	const struct span fields[2] = {{r->commitment.b, DIGEST_BYTES}, {r->nonce.b, DIGEST_BYTES}};
	struct commitment x = {.network = a->network,
		.unit = e->unit.header,
		.nonce = r->nonce,
		.peer = r->key,
		.salt = r->salt};
	struct digest opens;
	struct claim claim;
	int rc;

	if (!key_verify(&r->key, &r->signature, "talkoot commit", fields, 2))
		return errmsg_set(msg, TK_ECORRUPT,
			"replica.signature: the commitment is not signed by the key that it names");
	if (r->verdict == LEDGER_VALID && (!r->opened || r->late))
		return errmsg_set(msg, TK_ECORRUPT,
			"replica.verdict: credited, but its commitment %s",
			r->opened ? "came after the first reveal" : "was never opened");
	if (!r->opened)
		return TK_OK;
	rc = claim_decode(&claim, r->claim, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "replica.claim");
	x.trace = claim.trace;
	claim_digest(&x.result, r->claim);
	commitment_digest(&opens, &x);
	if (!digest_equal(&opens, &r->commitment))
		return errmsg_set(
			msg, TK_ECORRUPT, "replica.commitment: salt and claim do not open it");
	if (r->verdict == LEDGER_VALID && !span_equal(r->claim, e->unit.claim))
		return errmsg_set(msg, TK_ECORRUPT,
			"replica.verdict: credited, but its claim is not the canonical one");
	return TK_OK;
}

/* What a unit's replicas say together. */
struct tally {
	uint16_t verdicts[LEDGER_VERDICT_LAST + 1];
	uint32_t agreeing;	 /* opened with the canonical claim */
	bool dissent;		 /* opened with another one and not judged */
	struct public_key valid; /* the last one that is credited */
};

static void tally_add(struct tally *t, const struct ledger_replica *r, struct span claim)
{
	t->verdicts[r->verdict]++;
	if (r->verdict == LEDGER_VALID)
		t->valid = r->key;
	t->agreeing += r->opened && span_equal(r->claim, claim);
	t->dissent |= r->opened && !span_equal(r->claim, claim) && r->verdict == LEDGER_PENDING;
}

size_t audit_fault_place(const struct audit *a, const struct digest *nonce)
{
	size_t low = 0, high = a->fault_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (memcmp(a->faults[middle].nonce.b, nonce->b, DIGEST_BYTES) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What FAULT entries say of it, and whether one has to: a result that is equal to the canonical one is wrong only by two
 * commitments for one lease, or by step leaves that its author made up in a dispute. */
static int accusation_check(struct audit *a, const struct ledger_entry *e,
	const struct ledger_replica *r, struct errmsg *msg)
{
	struct span claim = e->unit.claim;
	bool proven = false;

	for (size_t i = audit_fault_place(a, &r->nonce);
		i < a->fault_count && digest_equal(&a->faults[i].nonce, &r->nonce); i++) {
		struct audit_fault *f = &a->faults[i];

		f->seen = proven = true;
		if (f->round != e->unit.round || f->index != e->unit.index ||
			!key_equal(&f->key, &r->key) || (r->verdict == LEDGER_VALID && !f->twice))
			return errmsg_set(msg, TK_ECORRUPT,
				"replica.verdict: entry %" PRIu64
				" tells of a proof of fault against this result, which is not "
				"what is said of it here",
				f->sequence);
	}
	if (!proven && r->verdict == LEDGER_WRONG && r->opened && span_equal(r->claim, claim))
		return errmsg_set(msg, TK_ECORRUPT,
			"replica.verdict: wrong, but its claim is the canonical one and nothing is "
			"proven against it");
	return TK_OK;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, DIGEST_BYTES);
}

/* No two credited replicas are one identity's, and no two have one lease. */
static int distinct(
	struct digest *nonces, struct digest *keys, size_t count, size_t valid, struct errmsg *msg)
{
	qsort(nonces, count, sizeof(*nonces), by_bytes);
	qsort(keys, valid, sizeof(*keys), by_bytes);
	for (size_t i = 1; i < count; i++)
		if (digest_equal(&nonces[i], &nonces[i - 1]))
			return errmsg_set(
				msg, TK_ECORRUPT, "replica.nonce: two replicas have one lease");
	for (size_t i = 1; i < valid; i++)
		if (digest_equal(&keys[i], &keys[i - 1]))
			return errmsg_set(
				msg, TK_ECORRUPT, "replica.key: one identity is credited twice");
	return TK_OK;
}

static int replicas_check(
	struct audit *a, const struct ledger_entry *e, struct tally *t, struct errmsg *msg)
{
	uint32_t count = e->unit.replica_count;
	struct digest *nonces = mem_calloc((size_t)count * 2 + 1, sizeof(*nonces));
	struct digest *keys = nonces + count;
	struct mp_reader reader;
	size_t valid = 0;
	int rc = TK_OK;

	if (nonces == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to audit");
	mp_begin(&reader, e->unit.encoded);
	for (uint32_t i = 0; i < count && rc == TK_OK; i++) {
		struct ledger_replica r;

		ledger_replica_next(&reader, e->unit.claim, &r);
		rc = replica_check(a, e, &r, msg);
		if (rc == TK_OK)
			rc = accusation_check(a, e, &r, msg);
		if (rc != TK_OK)
			errmsg_prefix(msg, rc, "replica %" PRIu32, i + 1);
		tally_add(t, &r, e->unit.claim);
		nonces[i] = r.nonce;
		if (r.verdict == LEDGER_VALID)
			memcpy(keys[valid++].b, r.key.b, KEY_BYTES);
	}
	if (rc == TK_OK)
		rc = distinct(nonces, keys, count, valid, msg);
	mem_free(nonces);
	return rc;
}

/* The canonical result has its quorum, or was recomputed and found with somebody else, too. */
static int agreement_check(const struct audit *a, const struct ledger_entry *e,
	const struct tally *t, struct errmsg *msg)
{
	bool refereed = !digest_is_zero(&e->unit.referee);
	struct digest result;

	claim_digest(&result, e->unit.claim);
	if (refereed && !digest_equal(&result, &e->unit.referee))
		return errmsg_set(msg, TK_ECORRUPT,
			"unit.referee: the recomputed result is not the canonical one");
	if (refereed && t->agreeing == 0)
		return errmsg_set(msg, TK_ECORRUPT,
			"unit.referee: recomputed, but no replica agrees with the result");
	if (!refereed && a->policy == VERIFY_FULL && t->verdicts[LEDGER_VALID] < a->quorum)
		return errmsg_set(msg, TK_ECORRUPT,
			"unit.replicas: %d agree in time, but the quorum is %" PRIu32,
			(int)t->verdicts[LEDGER_VALID], a->quorum);
	if (t->agreeing == 0)
		return errmsg_set(
			msg, TK_ECORRUPT, "unit.replicas: nobody has claimed this result");
	return TK_OK;
}

static int unit_check(struct audit *a, const struct ledger_entry *e, struct tally *t,
	struct claim *claim, struct errmsg *msg)
{
	const struct audit_unit *u = audit_unit(a, e->unit.round, e->unit.index);
	int rc;

	if (!digest_equal(&e->unit.header, &u->header))
		return errmsg_set(msg, TK_ECORRUPT,
			"unit.header: not that of this unit under the round's manifest");
	rc = claim_decode(claim, e->unit.claim, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "unit.claim");
	if (!digest_equal(&claim->unit, &e->unit.header))
		return errmsg_set(msg, TK_ECORRUPT, "unit.claim: it is about another unit");
	rc = replicas_check(a, e, t, msg);
	return rc == TK_OK ? agreement_check(a, e, t, msg) : rc;
}

/* A unit whose round is merged has another result: that is noted. True: and it stays merged as it was. */
static bool differs_from_merged(
	const struct audit *a, const struct ledger_entry *e, const struct audit_unit *u)
{
	struct digest result;

	claim_digest(&result, e->unit.claim);
	return e->unit.round < a->round && !digest_equal(&result, &u->result);
}

static bool after_merge(struct audit *a, const struct ledger_entry *e, struct audit_unit *u)
{
	if (!differs_from_merged(a, e, u))
		return false;
	if (a->on_fraud == FRAUD_CONTINUE) {
		a->counts.standing += !u->stands;
		u->stands = true;
		return true;
	}
	a->changed += !u->changed;
	u->changed = true;
	return false;
}

int audit_take_unit(struct audit *a, uint64_t at, const struct ledger_entry *e, struct errmsg *msg)
{
	struct audit_unit *u;
	struct tally t = {0};
	struct claim claim = {0};
	int rc;

	if (e->unit.round >= a->round + a->open || e->unit.index >= a->units_per_round)
		return errmsg_set(msg, TK_ECORRUPT,
			"unit %" PRIu32 " of round %" PRIu32 ": there is no such unit yet",
			e->unit.index + 1, e->unit.round + 1);
	rc = unit_check(a, e, &t, &claim, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "unit %" PRIu32 " of round %" PRIu32,
			e->unit.index + 1, e->unit.round + 1);
	u = audit_unit(a, e->unit.round, e->unit.index);
	if (differs_from_merged(a, e, u) && digest_is_zero(&e->unit.referee) &&
		t.verdicts[LEDGER_VALID] < a->quorum)
		return errmsg_set(msg, TK_ECORRUPT,
			"unit %" PRIu32 " of round %" PRIu32
			": another result than was merged, on fewer words than the quorum",
			e->unit.index + 1, e->unit.round + 1);
	u->refereed = !digest_is_zero(&e->unit.referee);
	memcpy(u->verdicts, t.verdicts, sizeof(u->verdicts));
	u->alone = (struct public_key){{0}};
	if (!u->refereed && t.verdicts[LEDGER_VALID] == 1)
		u->alone = t.valid;
	if (after_merge(a, e, u))
		return TK_OK; /* what was merged is what is audited */
	u->dissent = t.dissent;
	a->counts.replaced += u->at != 0;
	u->at = at;
	claim_digest(&u->result, e->unit.claim);
	u->outcome = (uint8_t)claim.outcome;
	return TK_OK;
}

int audit_draw_check(struct audit *a, uint32_t round, struct errmsg *msg)
{
	const struct audit_round *r = &a->rounds[round];
	double floor = a->floor_ppm / 1e6;
	struct digest commitment;

	draw_commitment(&commitment, &r->seed);
	if (!digest_equal(&commitment, &r->audit))
		return errmsg_set(msg, TK_ECORRUPT,
			"seed.seed: not the seed that the manifest of round %" PRIu32 " commits to",
			round + 1);
	for (uint32_t i = 0; i < a->units_per_round && a->policy != VERIFY_FULL; i++) {
		const struct audit_unit *u = audit_unit(a, round, i);

		if (u->at == 0 || !draw_hit(draw_number(&r->seed, i, 0), floor))
			continue;
		if (u->refereed || u->verdicts[LEDGER_VALID] >= a->quorum)
			continue;
		return errmsg_set(msg, TK_ECORRUPT,
			"unit %" PRIu32 " of round %" PRIu32
			": the floor of %.3g %% draws it, and it has %d results where the "
			"quorum is %" PRIu32,
			i + 1, round + 1, 100 * floor, (int)u->verdicts[LEDGER_VALID], a->quorum);
	}
	return TK_OK;
}

void audit_drawn(const struct audit *a, uint64_t *drawn, uint64_t *wrong)
{
	*drawn = *wrong = 0;
	for (uint32_t r = 0; a->policy != VERIFY_FULL && r < a->round; r++)
		for (uint32_t i = 0; i < a->units_per_round; i++) {
			const struct audit_unit *u = audit_unit(a, r, i);

			if (digest_is_zero(&a->rounds[r].seed) || u->at == 0 ||
				!draw_hit(
					draw_number(&a->rounds[r].seed, i, 0), a->floor_ppm / 1e6))
				continue;
			++*drawn;
			*wrong += u->stands || u->verdicts[LEDGER_WRONG] != 0;
		}
}

static int by_key(const void *a, const void *b)
{
	return memcmp(a, b, KEY_BYTES);
}

int audit_doubtful(
	const struct audit *a, uint64_t *out, size_t most, uint64_t *count, struct errmsg *msg)
{
	struct public_key *faulty = mem_calloc(a->fault_count + 1, sizeof(*faulty));
	uint64_t units = (uint64_t)(a->round + a->open) * a->units_per_round;

	if (faulty == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to audit");
	for (size_t i = 0; i < a->fault_count; i++)
		faulty[i] = a->faults[i].key;
	qsort(faulty, a->fault_count, sizeof(*faulty), by_key);
	*count = 0;
	for (uint64_t i = 0; i < units && a->fault_count > 0; i++) {
		const struct audit_unit *u = &a->units[i];

		if (u->at == 0 ||
			bsearch(&u->alone, faulty, a->fault_count, sizeof(*faulty), by_key) == NULL)
			continue;
		if (*count < most)
			out[*count] = i;
		++*count;
	}
	mem_free(faulty);
	return TK_OK;
}
