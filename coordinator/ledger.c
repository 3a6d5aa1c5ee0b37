/* See ledger.h: the bytes of entries and the chain. Encodings are canonical: an opened claim that equals the
 * unit's canonical one is left out and said to be equal, and the long form of that is refused. */
#include "coordinator/ledger.h"

#include <string.h>

#include "tasks/base/pack.h"
#include "tasks/base/require.h"

#define FORMAT 1u

enum opened { OPENED_NOT = 0, OPENED_CANONICAL = 1, OPENED_OTHER = 2 };

const char *ledger_kind_name(enum ledger_kind kind)
{
	static const char *const names[] = {
		"", "PROJECT", "ROUND", "UNIT", "FAULT", "SEED", "MERGE", "ROLLBACK", "END"};

	return kind <= LEDGER_KIND_LAST ? names[kind] : "";
}

static uint32_t field_count(enum ledger_kind kind)
{
	static const uint8_t counts[] = {0, 5, 3, 6, 6, 2, 7, 3, 3};

	return 3u + counts[kind];
}

static void pack_replica(struct packer *p, const struct ledger_replica *r, struct span canonical)
{
	enum opened opened = !r->opened			       ? OPENED_NOT
			     : span_equal(r->claim, canonical) ? OPENED_CANONICAL
							       : OPENED_OTHER;

	pack_array(p, opened == OPENED_NOT ? 7 : opened == OPENED_CANONICAL ? 8 : 9);
	pack_digest(p, &r->nonce);
	pack_bin(p, r->key.b, KEY_BYTES);
	pack_digest(p, &r->commitment);
	pack_bin(p, r->signature.b, SIGNATURE_BYTES);
	pack_bool(p, r->late);
	pack_u64(p, r->verdict);
	pack_u64(p, opened);
	if (opened != OPENED_NOT)
		pack_digest(p, &r->salt);
	if (opened == OPENED_OTHER)
		pack_span(p, r->claim);
}

static void pack_unit(struct packer *p, const struct ledger_entry *e)
{
	REQUIRE(e->unit.replica_count <= LEDGER_REPLICAS_MAX);
	pack_u64(p, e->unit.round);
	pack_u64(p, e->unit.index);
	pack_digest(p, &e->unit.header);
	pack_digest(p, &e->unit.referee);
	pack_span(p, e->unit.claim);
	pack_array(p, e->unit.replica_count);
	for (uint32_t i = 0; i < e->unit.replica_count; i++)
		pack_replica(p, &e->unit.replicas[i], e->unit.claim);
}

static void pack_merge(struct packer *p, const struct ledger_entry *e)
{
	pack_u64(p, e->merge.round);
	pack_u64(p, e->merge.merged);
	pack_u64(p, e->merge.skipped);
	pack_digest(p, &e->merge.parameters);
	pack_digest(p, &e->merge.outer_state);
	pack_digest(p, &e->merge.states);
	pack_digest(p, &e->merge.model);
}

static void pack_body(struct packer *p, const struct ledger_entry *e)
{
	switch (e->kind) {
	case LEDGER_PROJECT:
		pack_u64(p, e->begin.quorum);
		pack_u64(p, e->begin.policy);
		pack_u64(p, e->begin.floor_ppm);
		pack_u64(p, e->begin.on_fraud);
		pack_u64(p, e->begin.settle_rounds);
		break;
	case LEDGER_ROUND:
		pack_span(p, e->round.manifest);
		pack_bin(p, e->round.signature.b, SIGNATURE_BYTES);
		pack_span(p, e->round.states);
		break;
	case LEDGER_UNIT:
		pack_unit(p, e);
		break;
	case LEDGER_FAULT:
		pack_u64(p, e->fault.kind);
		pack_u64(p, e->fault.round);
		pack_u64(p, e->fault.index);
		pack_digest(p, &e->fault.nonce);
		pack_bin(p, e->fault.key.b, KEY_BYTES);
		pack_digest(p, &e->fault.proof);
		break;
	case LEDGER_SEED:
		pack_u64(p, e->seed.round);
		pack_digest(p, &e->seed.seed);
		break;
	case LEDGER_MERGE:
		pack_merge(p, e);
		break;
	case LEDGER_ROLLBACK:
		pack_u64(p, e->rollback.round);
		pack_span(p, e->rollback.units);
		pack_digest(p, &e->rollback.model);
		break;
	case LEDGER_END:
		pack_u64(p, e->end.state);
		pack_u64(p, e->end.rounds);
		pack_digest(p, &e->end.model);
		break;
	}
}

int ledger_encode(const struct ledger_entry *e, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;
	int rc;

	pack_begin(&p, out);
	pack_array(&p, field_count(e->kind));
	pack_u64(&p, FORMAT);
	pack_digest(&p, &e->project);
	pack_u64(&p, e->kind);
	pack_body(&p, e);
	rc = pack_end(&p);
	if (rc != TK_OK)
		out->len = before;
	return rc;
}

/* What can't be said of the values by a range alone. */
static void refuse(struct mp_reader *r, const char *field)
{
	if (r->error != TK_OK)
		return;
	r->error = TK_EPROTO;
	r->field = field;
}

void ledger_replica_next(struct mp_reader *r, struct span claim, struct ledger_replica *out)
{
	uint32_t fields = mp_array(r, "replica", 7, 9);
	uint32_t opened;

	*out = (struct ledger_replica){0};
	mp_digest(r, "replica.nonce", &out->nonce);
	mp_public_key(r, "replica.key", &out->key);
	mp_digest(r, "replica.commitment", &out->commitment);
	mp_signature(r, "replica.signature", &out->signature);
	out->late = mp_bool(r, "replica.late");
	out->verdict = (enum ledger_verdict)mp_u32(r, "replica.verdict", 1, LEDGER_VERDICT_LAST);
	opened = mp_u32(r, "replica.opened", OPENED_NOT, OPENED_OTHER);
	if (fields != 7 + opened)
		refuse(r, "replica.opened");
	if (r->error != TK_OK || opened == OPENED_NOT)
		return;
	out->opened = true;
	mp_digest(r, "replica.salt", &out->salt);
	out->claim = claim;
	if (opened == OPENED_CANONICAL)
		return;
	out->claim = mp_bin(r, "replica.claim", CLAIM_BYTES_MAX);
	if (span_equal(out->claim, claim))
		refuse(r, "replica.claim");
}

static void read_unit(struct mp_reader *r, struct ledger_entry *e)
{
	struct ledger_replica replica;
	const uint8_t *from;

	e->unit.round = mp_u32(r, "unit.round", 0, ROUNDS_MAX - 1);
	e->unit.index = mp_u32(r, "unit.index", 0, UNITS_PER_ROUND_MAX - 1);
	mp_digest(r, "unit.header", &e->unit.header);
	mp_digest(r, "unit.referee", &e->unit.referee);
	e->unit.claim = mp_bin(r, "unit.claim", CLAIM_BYTES_MAX);
	e->unit.replica_count = mp_array(r, "unit.replicas", 0, LEDGER_REPLICAS_MAX);
	from = r->at;
	for (uint32_t i = 0; i < e->unit.replica_count && r->error == TK_OK; i++)
		ledger_replica_next(r, e->unit.claim, &replica);
	if (r->error == TK_OK)
		e->unit.encoded = span_of(from, (size_t)(r->at - from));
}

static void read_round(struct mp_reader *r, struct ledger_entry *e)
{
	e->round.manifest = mp_bin(r, "round.manifest", ROUND_BYTES_MAX);
	mp_signature(r, "round.signature", &e->round.signature);
	e->round.states = mp_bin(r, "round.states", (size_t)UNITS_PER_ROUND_MAX * DIGEST_BYTES);
	if (e->round.states.len % DIGEST_BYTES != 0)
		refuse(r, "round.states");
}

static void read_merge(struct mp_reader *r, struct ledger_entry *e)
{
	e->merge.round = mp_u32(r, "merge.round", 0, ROUNDS_MAX - 1);
	e->merge.merged = mp_u32(r, "merge.merged", 0, UNITS_PER_ROUND_MAX);
	e->merge.skipped = mp_u32(r, "merge.skipped", 0, UNITS_PER_ROUND_MAX);
	mp_digest(r, "merge.parameters", &e->merge.parameters);
	mp_digest(r, "merge.outer_state", &e->merge.outer_state);
	mp_digest(r, "merge.states", &e->merge.states);
	mp_digest(r, "merge.model", &e->merge.model);
}

static void read_body(struct mp_reader *r, struct ledger_entry *e)
{
	switch (e->kind) {
	case LEDGER_PROJECT:
		e->begin.quorum = mp_u32(r, "project.quorum", 1, QUORUM_MAX);
		e->begin.policy = mp_u32(r, "project.policy", 1, 255);
		e->begin.floor_ppm = mp_u32(r, "project.floor", 0, 1000000);
		e->begin.on_fraud = mp_u32(r, "project.on_fraud", 0, FRAUD_CONTINUE);
		e->begin.settle_rounds = mp_u32(r, "project.settle_rounds", 0, SETTLE_ROUNDS_MAX);
		break;
	case LEDGER_ROUND:
		read_round(r, e);
		break;
	case LEDGER_UNIT:
		read_unit(r, e);
		break;
	case LEDGER_FAULT:
		e->fault.kind = (enum fault_kind)mp_u32(r, "fault.kind", 1, FAULT_KIND_LAST);
		e->fault.round = mp_u32(r, "fault.round", 0, ROUNDS_MAX - 1);
		e->fault.index = mp_u32(r, "fault.index", 0, UNITS_PER_ROUND_MAX - 1);
		mp_digest(r, "fault.nonce", &e->fault.nonce);
		mp_public_key(r, "fault.key", &e->fault.key);
		mp_digest(r, "fault.proof", &e->fault.proof);
		break;
	case LEDGER_SEED:
		e->seed.round = mp_u32(r, "seed.round", 0, ROUNDS_MAX - 1);
		mp_digest(r, "seed.seed", &e->seed.seed);
		break;
	case LEDGER_MERGE:
		read_merge(r, e);
		break;
	case LEDGER_ROLLBACK:
		e->rollback.round = mp_u32(r, "rollback.round", 0, ROUNDS_MAX - 1);
		e->rollback.units = mp_bin(r, "rollback.units", 4u * UNITS_PER_ROUND_MAX);
		mp_digest(r, "rollback.model", &e->rollback.model);
		break;
	case LEDGER_END:
		e->end.state =
			(enum project_state)mp_u32(r, "end.state", PROJECT_DONE, PROJECT_STOPPED);
		e->end.rounds = mp_u32(r, "end.rounds", 0, ROUNDS_MAX);
		mp_digest(r, "end.model", &e->end.model);
		break;
	}
}

int ledger_decode(struct ledger_entry *e, struct span in, struct errmsg *msg)
{
	struct ledger_entry got;
	struct mp_reader r;
	uint32_t fields;
	int rc;

	memset(&got, 0, sizeof(got));
	if (in.len > LEDGER_CONTENT_MAX)
		return errmsg_set(msg, TK_ELIMIT, "an entry of %zu bytes; at most %u are allowed",
			in.len, LEDGER_CONTENT_MAX);
	mp_begin(&r, in);
	fields = mp_array(&r, "entry", 4, 10);
	mp_u32(&r, "entry.format", FORMAT, FORMAT);
	mp_digest(&r, "entry.project", &got.project);
	got.kind = (enum ledger_kind)mp_u32(&r, "entry.kind", 1, LEDGER_KIND_LAST);
	if (r.error == TK_OK && fields != field_count(got.kind))
		refuse(&r, "entry.kind");
	if (r.error == TK_OK)
		read_body(&r, &got);
	rc = mp_end(&r, msg);
	if (rc == TK_OK)
		*e = got;
	return rc;
}

void ledger_content_digest(struct digest *out, struct span content)
{
	digest_fields(out, "talkoot ledger entry", &content, 1);
}

void ledger_head_add(
	struct ledger_head *head, const struct digest *project, const struct digest *content)
{
	uint8_t sequence[8];
	const struct span fields[] = {
		{sequence, sizeof(sequence)},
		{head->digest.b, DIGEST_BYTES},
		{project->b, DIGEST_BYTES},
		{content->b, DIGEST_BYTES},
	};
	struct digest link;

	store_le64(sequence, head->sequence + 1);
	digest_fields(&link, "talkoot ledger", fields, 4);
	head->sequence++;
	head->digest = link;
}

static const char head_label[] = "talkoot ledger head";

static void head_fields(struct span fields[3], uint8_t sequence[8], const struct public_key *root,
	const struct ledger_head *head)
{
	store_le64(sequence, head->sequence);
	fields[0] = span_of(root->b, KEY_BYTES);
	fields[1] = span_of(sequence, 8);
	fields[2] = span_of(head->digest.b, DIGEST_BYTES);
}

void ledger_head_sign(
	struct signature *out, const struct key_pair *root, const struct ledger_head *head)
{
	struct span fields[3];
	uint8_t sequence[8];

	head_fields(fields, sequence, &root->public, head);
	key_sign(out, root, head_label, fields, 3);
}

bool ledger_head_verify(const struct public_key *root, const struct signature *signature,
	const struct ledger_head *head)
{
	struct span fields[3];
	uint8_t sequence[8];

	head_fields(fields, sequence, root, head);
	return key_verify(root, signature, head_label, fields, 3);
}
