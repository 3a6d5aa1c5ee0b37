/* See unit.h. Encodings are MessagePack arrays whose first element is the format's number. */
#include "tasks/unit/unit.h"

#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"

enum { UNIT_FORMAT = 2, CLAIM_FORMAT = 1, ROUND_FORMAT = 2 };

/* The packer's verdict; on failure what was appended is dropped again. */
static int packed(const struct packer *p, size_t before)
{
	int rc = pack_end(p);

	if (rc != TK_OK)
		p->out->len = before;
	return rc;
}

int unit_encode(const struct unit *u, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;

	pack_begin(&p, out);
	pack_array(&p, 8);
	pack_u64(&p, UNIT_FORMAT);
	pack_u64(&p, u->kind);
	pack_u64(&p, u->numerics);
	pack_digest(&p, &u->recipe);
	pack_u64(&p, u->round);
	pack_u64(&p, u->index);
	pack_digest(&p, &u->parameters);
	pack_digest(&p, &u->state);
	return packed(&p, before);
}

int unit_decode(struct unit *u, struct span in, struct errmsg *msg)
{
	struct unit got;
	struct mp_reader r;
	int rc;

	mp_begin(&r, in);
	mp_array(&r, "unit", 8, 8);
	mp_u32(&r, "unit.format", UNIT_FORMAT, UNIT_FORMAT);
	got.kind = (enum unit_kind)mp_u32(&r, "unit.kind", UNIT_TRAIN, UNIT_TRAIN);
	got.numerics = mp_u32(&r, "unit.numerics", 1, UINT32_MAX);
	mp_digest(&r, "unit.recipe", &got.recipe);
	got.round = mp_u32(&r, "unit.round", 0, ROUNDS_MAX - 1);
	got.index = mp_u32(&r, "unit.index", 0, UNITS_PER_ROUND_MAX - 1);
	mp_digest(&r, "unit.parameters", &got.parameters);
	mp_digest(&r, "unit.state", &got.state);
	rc = mp_end(&r, msg);
	if (rc == TK_OK)
		*u = got;
	return rc;
}

void unit_digest(struct digest *out, struct span encoded)
{
	digest_fields(out, "talkoot unit", &encoded, 1);
}

int claim_encode(const struct claim *c, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;

	pack_begin(&p, out);
	pack_array(&p, 8);
	pack_u64(&p, CLAIM_FORMAT);
	pack_digest(&p, &c->unit);
	pack_u64(&p, c->outcome);
	pack_u64(&p, c->failing_step);
	pack_f32(&p, c->loss);
	pack_u64(&p, c->payload_bytes);
	pack_digest(&p, &c->payload);
	pack_digest(&p, &c->trace);
	return packed(&p, before);
}

/* What an outcome implies for the other fields. */
static bool claim_consistent(const struct claim *c)
{
	if (!(c->loss - c->loss == 0))
		return false;
	if (c->outcome == OUTCOME_UPDATE)
		return c->failing_step == 0 && c->payload_bytes > 0 && !digest_is_zero(&c->payload);
	return c->loss == 0 && c->payload_bytes == 0 && digest_is_zero(&c->payload);
}

int claim_decode(struct claim *c, struct span in, struct errmsg *msg)
{
	struct claim got;
	struct mp_reader r;
	int rc;

	mp_begin(&r, in);
	mp_array(&r, "claim", 8, 8);
	mp_u32(&r, "claim.format", CLAIM_FORMAT, CLAIM_FORMAT);
	mp_digest(&r, "claim.unit", &got.unit);
	got.outcome = (enum outcome)mp_u32(&r, "claim.outcome", OUTCOME_UPDATE, OUTCOME_NONFINITE);
	got.failing_step = mp_u32(&r, "claim.failing_step", 0, INNER_STEPS_MAX);
	got.loss = mp_f32(&r, "claim.loss");
	got.payload_bytes = mp_u64(&r, "claim.payload_bytes", 0, PAYLOAD_BYTES_MAX);
	mp_digest(&r, "claim.payload", &got.payload);
	mp_digest(&r, "claim.trace", &got.trace);
	rc = mp_end(&r, msg);
	if (rc != TK_OK)
		return rc;
	if (!claim_consistent(&got))
		return errmsg_set(msg, TK_EPROTO, "the claim's fields contradict its outcome");
	*c = got;
	return TK_OK;
}

void claim_digest(struct digest *out, struct span encoded)
{
	digest_fields(out, "talkoot result", &encoded, 1);
}

int round_encode(const struct round_manifest *m, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;

	pack_begin(&p, out);
	pack_array(&p, 8);
	pack_u64(&p, ROUND_FORMAT);
	pack_bin(&p, m->network.b, KEY_BYTES);
	pack_digest(&p, &m->recipe);
	pack_u64(&p, m->round);
	pack_u64(&p, m->unit_count);
	pack_digest(&p, &m->parameters);
	pack_digest(&p, &m->units);
	pack_digest(&p, &m->audit);
	return packed(&p, before);
}

int round_decode(struct round_manifest *m, struct span in, struct errmsg *msg)
{
	struct round_manifest got;
	struct mp_reader r;
	int rc;

	mp_begin(&r, in);
	mp_array(&r, "round", 8, 8);
	mp_u32(&r, "round.format", ROUND_FORMAT, ROUND_FORMAT);
	mp_public_key(&r, "round.network", &got.network);
	mp_digest(&r, "round.recipe", &got.recipe);
	got.round = mp_u32(&r, "round.round", 0, ROUNDS_MAX - 1);
	got.unit_count = mp_u32(&r, "round.unit_count", 1, UNITS_PER_ROUND_MAX);
	mp_digest(&r, "round.parameters", &got.parameters);
	mp_digest(&r, "round.units", &got.units);
	mp_digest(&r, "round.audit", &got.audit);
	rc = mp_end(&r, msg);
	if (rc == TK_OK && digest_is_zero(&got.audit))
		rc = errmsg_set(msg, TK_EPROTO, "round.audit: a round commits to no secret draw");
	if (rc == TK_OK)
		*m = got;
	return rc;
}

static const char round_label[] = "talkoot round";

void round_sign(struct signature *out, const struct key_pair *root, struct span encoded)
{
	key_sign(out, root, round_label, &encoded, 1);
}

bool round_verify(const struct public_key *root, const struct signature *s, struct span encoded)
{
	return key_verify(root, s, round_label, &encoded, 1);
}

void unit_describe(struct unit *u, const struct digest *recipe, uint32_t round, uint32_t index,
	const struct round_start *start)
{
	*u = (struct unit){
		.kind = UNIT_TRAIN,
		.numerics = NUMERICS_VERSION,
		.recipe = *recipe,
		.round = round,
		.index = index,
		.parameters = start->parameters,
	};
	if (start->states != NULL)
		u->state = start->states[index];
}

int round_leaves(struct digest *leaves, uint32_t count, const struct digest *recipe, uint32_t round,
	const struct round_start *start)
{
	struct bytes encoded = {0};
	int rc = TK_OK;

	for (uint32_t i = 0; i < count && rc == TK_OK; i++) {
		struct unit u;

		unit_describe(&u, recipe, round, i, start);
		encoded.len = 0;
		rc = unit_encode(&u, &encoded);
		if (rc == TK_OK)
			unit_digest(&leaves[i], bytes_span(&encoded));
	}
	bytes_close(&encoded);
	return rc;
}

void commitment_digest(struct digest *out, const struct commitment *c)
{
	const struct span fields[] = {
		{c->network.b, KEY_BYTES},
		{c->unit.b, DIGEST_BYTES},
		{c->nonce.b, DIGEST_BYTES},
		{c->peer.b, KEY_BYTES},
		{c->salt.b, DIGEST_BYTES},
		{c->result.b, DIGEST_BYTES},
		{c->trace.b, DIGEST_BYTES},
	};

	digest_fields(out, "talkoot commitment", fields, sizeof(fields) / sizeof(fields[0]));
}
