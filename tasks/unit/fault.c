/* See fault.h: the statement's bytes, and all of it that can be checked without the recipe. */
#include "tasks/unit/fault.h"

#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"
#include "tasks/unit/sign.h"

enum { FAULT_FORMAT = 1, FAULT_FIELDS = 20 };

static const uint8_t zeros[SIGNATURE_BYTES];

static bool is_zero(const void *data, size_t n)
{
	return span_equal(span_of(data, n), span_of(zeros, n));
}

static bool has_segment(enum fault_kind kind)
{
	return kind == FAULT_STEP || kind == FAULT_SEGMENT;
}

static bool digests_fit(struct span s, size_t max)
{
	return s.len % DIGEST_BYTES == 0 && s.len / DIGEST_BYTES <= max;
}

/* Why the fields don't belong to the kind; NULL: they do. One proof has one form. */
static const char *wrong_shape(const struct fault_statement *f)
{
	bool twice = f->kind == FAULT_EQUIVOCATION;
	bool segment = has_segment(f->kind);

	if (f->kind < FAULT_STEP || f->kind > FAULT_EQUIVOCATION)
		return "there is no such kind of fault";
	if (!digests_fit(f->path, FAULT_PATH_MAX) || !digests_fit(f->leaves, FAULT_LEAVES_MAX) ||
		!digests_fit(f->steps, FAULT_LEAVES_MAX))
		return "a list of digests is too long or cut";
	if (f->manifest.len > ROUND_BYTES_MAX || f->unit.len > UNIT_BYTES_MAX ||
		f->claim.len > CLAIM_BYTES_MAX)
		return "a part is too long";
	if (twice != !digest_is_zero(&f->other) ||
		twice == is_zero(f->other_signature.b, SIGNATURE_BYTES))
		return "another commitment belongs to an equivocation, and to nothing else";
	if (f->claim.len == 0 && (!twice || !digest_is_zero(&f->salt)))
		return "the claim is missing";
	if (segment != (f->steps.len > 0) ||
		segment == is_zero(f->segment_signature.b, SIGNATURE_BYTES) ||
		(!segment && f->segment != 0))
		return "step leaves belong to a step or a segment, and to nothing else";
	if ((segment && f->leaves.len == 0) ||
		(!segment && f->kind != FAULT_TRACE && f->leaves.len > 0))
		return "the leaves of the trace are missing, or of no use";
	if (f->kind == FAULT_STEP ? f->step >= f->steps.len / DIGEST_BYTES : f->step != 0)
		return "there is no such step";
	return NULL;
}

int fault_encode(const struct fault_statement *f, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;
	int rc;

	if (wrong_shape(f) != NULL)
		return TK_EINVAL;
	pack_begin(&p, out);
	pack_array(&p, FAULT_FIELDS);
	pack_u64(&p, FAULT_FORMAT);
	pack_u64(&p, f->kind);
	pack_bin(&p, f->network.b, KEY_BYTES);
	pack_span(&p, f->manifest);
	pack_bin(&p, f->manifest_signature.b, SIGNATURE_BYTES);
	pack_span(&p, f->unit);
	pack_span(&p, f->path);
	pack_digest(&p, &f->nonce);
	pack_bin(&p, f->peer.b, KEY_BYTES);
	pack_digest(&p, &f->commitment);
	pack_bin(&p, f->signature.b, SIGNATURE_BYTES);
	pack_digest(&p, &f->salt);
	pack_span(&p, f->claim);
	pack_digest(&p, &f->other);
	pack_bin(&p, f->other_signature.b, SIGNATURE_BYTES);
	pack_span(&p, f->leaves);
	pack_u64(&p, f->segment);
	pack_span(&p, f->steps);
	pack_bin(&p, f->segment_signature.b, SIGNATURE_BYTES);
	pack_u64(&p, f->step);
	rc = pack_end(&p);
	if (rc != TK_OK)
		out->len = before;
	return rc;
}

int fault_decode(struct fault_statement *f, struct span in, struct errmsg *msg)
{
	const size_t leaves = (size_t)FAULT_LEAVES_MAX * DIGEST_BYTES;
	struct fault_statement got;
	struct mp_reader r;
	const char *why;
	int rc;

	mp_begin(&r, in);
	mp_array(&r, "fault", FAULT_FIELDS, FAULT_FIELDS);
	mp_u32(&r, "fault.format", FAULT_FORMAT, FAULT_FORMAT);
	got.kind = (enum fault_kind)mp_u32(&r, "fault.kind", FAULT_STEP, FAULT_EQUIVOCATION);
	mp_public_key(&r, "fault.network", &got.network);
	got.manifest = mp_bin(&r, "fault.manifest", ROUND_BYTES_MAX);
	mp_signature(&r, "fault.manifest_signature", &got.manifest_signature);
	got.unit = mp_bin(&r, "fault.unit", UNIT_BYTES_MAX);
	got.path = mp_bin(&r, "fault.path", (size_t)FAULT_PATH_MAX * DIGEST_BYTES);
	mp_digest(&r, "fault.nonce", &got.nonce);
	mp_public_key(&r, "fault.peer", &got.peer);
	mp_digest(&r, "fault.commitment", &got.commitment);
	mp_signature(&r, "fault.signature", &got.signature);
	mp_digest(&r, "fault.salt", &got.salt);
	got.claim = mp_bin(&r, "fault.claim", CLAIM_BYTES_MAX);
	mp_digest(&r, "fault.other", &got.other);
	mp_signature(&r, "fault.other_signature", &got.other_signature);
	got.leaves = mp_bin(&r, "fault.leaves", leaves);
	got.segment = mp_u32(&r, "fault.segment", 0, FAULT_LEAVES_MAX);
	got.steps = mp_bin(&r, "fault.steps", leaves);
	mp_signature(&r, "fault.segment_signature", &got.segment_signature);
	got.step = mp_u32(&r, "fault.step", 0, FAULT_LEAVES_MAX);
	rc = mp_end(&r, msg);
	if (rc != TK_OK)
		return rc;
	why = wrong_shape(&got);
	if (why != NULL)
		return errmsg_set(msg, TK_EPROTO, "the proof's statement: %s", why);
	*f = got;
	return TK_OK;
}

void fault_digest(struct digest *out, struct span encoded)
{
	digest_fields(out, "talkoot fault", &encoded, 1);
}

static const struct digest *digests_of(struct span s, uint32_t *count)
{
	*count = (uint32_t)(s.len / DIGEST_BYTES);
	return *count > 0 ? (const struct digest *)s.data : NULL;
}

/* The unit is one of a round that the network's root key has signed. */
static int check_round(
	const struct fault_statement *f, struct fault_facts *facts, struct errmsg *msg)
{
	const struct round_manifest *m = &facts->manifest;
	const struct unit *u = &facts->unit;
	uint32_t path_steps;
	const struct digest *path = digests_of(f->path, &path_steps);
	int rc = round_decode(&facts->manifest, f->manifest, msg);

	if (rc == TK_OK)
		rc = unit_decode(&facts->unit, f->unit, msg);
	if (rc != TK_OK)
		return rc;
	unit_digest(&facts->unit_digest, f->unit);
	if (!key_equal(&m->network, &f->network) ||
		!round_verify(&f->network, &f->manifest_signature, f->manifest))
		return errmsg_set(msg, TK_EAUTH,
			"the round's manifest is not signed by the network's root key");
	if (!digest_equal(&m->recipe, &u->recipe) || m->round != u->round ||
		!digest_equal(&m->parameters, &u->parameters) || u->index >= m->unit_count ||
		!merkle_verify(
			&m->units, &facts->unit_digest, u->index, m->unit_count, path, path_steps))
		return errmsg_set(msg, TK_EAUTH, "the unit is not one of the manifest's round");
	if (u->numerics != NUMERICS_VERSION)
		return errmsg_set(msg, TK_EUNSUPPORTED,
			"the unit asks for arithmetic version %u; this program has version %u",
			u->numerics, NUMERICS_VERSION);
	return TK_OK;
}

/* Salt and claim open the commitment, which thereby names the network, the unit, the lease and the peer. */
static int check_opening(
	const struct fault_statement *f, struct fault_facts *facts, struct errmsg *msg)
{
	struct commitment x = {
		.network = f->network,
		.unit = facts->unit_digest,
		.nonce = f->nonce,
		.peer = f->peer,
		.salt = f->salt,
	};
	struct digest digest;
	int rc = claim_decode(&facts->claim, f->claim, msg);

	if (rc != TK_OK)
		return rc;
	claim_digest(&facts->result, f->claim);
	x.result = facts->result;
	x.trace = facts->claim.trace;
	commitment_digest(&digest, &x);
	if (!digest_equal(&digest, &f->commitment))
		return errmsg_set(msg, TK_EAUTH, "salt and claim do not open the commitment");
	facts->opened = true;
	return TK_OK;
}

static int check_leaves(
	const struct fault_statement *f, struct fault_facts *facts, struct errmsg *msg)
{
	struct digest root;

	facts->leaves = digests_of(f->leaves, &facts->leaf_count);
	facts->steps = digests_of(f->steps, &facts->step_count);
	if (facts->leaf_count > 0) {
		merkle_root(&root, facts->leaves, facts->leaf_count);
		if (!digest_equal(&root, &facts->claim.trace))
			return errmsg_set(msg, TK_EAUTH,
				"the leaves are not those to which the claim commits");
	}
	if (facts->step_count > 0 &&
		!segment_verify(&f->peer, &f->segment_signature, &f->commitment, f->segment,
			facts->steps, facts->step_count))
		return errmsg_set(
			msg, TK_EAUTH, "the segment's step leaves are not signed by the peer");
	return TK_OK;
}

int fault_check(const struct fault_statement *f, struct fault_facts *out, struct errmsg *msg)
{
	struct fault_facts facts = {0};
	int rc = check_round(f, &facts, msg);

	if (rc != TK_OK)
		return rc;
	if (!commit_verify(&f->peer, &f->signature, &f->commitment, &f->nonce))
		return errmsg_set(msg, TK_EAUTH, "the commitment is not signed by the peer");
	if (f->claim.len > 0)
		rc = check_opening(f, &facts, msg);
	if (rc == TK_OK)
		rc = check_leaves(f, &facts, msg);
	if (rc != TK_OK)
		return rc;
	if (f->kind == FAULT_EQUIVOCATION &&
		!commit_verify(&f->peer, &f->other_signature, &f->other, &f->nonce))
		return errmsg_set(msg, TK_EAUTH, "the other commitment is not signed by the peer");
	if (f->kind == FAULT_EQUIVOCATION && digest_equal(&f->other, &f->commitment))
		return errmsg_set(msg, TK_EPROTO, "both commitments are the same");
	*out = facts;
	return TK_OK;
}

static bool says(struct errmsg *why, bool wrong, const char *text)
{
	if (wrong)
		errmsg_set(why, TK_ECORRUPT, "%s", text);
	return wrong;
}

bool trace_impossible(const struct train_spec *t, size_t size, const struct digest *unit,
	const struct claim *claim, const struct digest *leaves, size_t count, struct errmsg *why)
{
	size_t wanted = trace_leaves(t, trace_steps(t, claim)) + 1ull;
	struct digest last = claim->payload;

	if (says(why, !digest_equal(&claim->unit, unit), "the claim is about another unit") ||
		says(why, claim->failing_step > t->inner_steps,
			"the claim names a failing step that does not exist") ||
		says(why, claim->outcome == OUTCOME_UPDATE && claim->payload_bytes != size,
			"the claim's payload has another size than the recipe gives it"))
		return true;
	if (leaves == NULL)
		return false;
	if (count != wanted) {
		errmsg_set(
			why, TK_ECORRUPT, "the trace has %zu leaves; %zu are right", count, wanted);
		return true;
	}
	if (claim->outcome == OUTCOME_NONFINITE)
		trace_failure(&last, claim->failing_step);
	return says(why, !digest_equal(&leaves[0], unit),
		       "the trace's first leaf is not the unit's header") ||
	       says(why, !digest_equal(&leaves[count - 1], &last),
		       "the trace's last leaf is not the outcome that the claim names");
}

bool segment_impossible(const struct train_spec *t, const struct claim *claim,
	const struct digest *result, const struct digest *leaves, uint32_t k,
	const struct digest *steps, size_t count, struct errmsg *why)
{
	struct trace_segment s;

	if (!trace_segment(&s, t, trace_steps(t, claim), k))
		return says(why, true, "the trace has no such segment");
	if (count != s.count) {
		errmsg_set(why, TK_ECORRUPT, "the segment has %zu step leaves; %u are right", count,
			s.count);
		return true;
	}
	return says(why, !digest_equal(&steps[count - 1], s.last ? result : &leaves[k + 1]),
		"the segment's step leaves do not end where the commitment does");
}
