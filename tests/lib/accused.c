/* See accused.h. */
#include "tests/lib/accused.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/unit/fault_case.h"
#include "tasks/unit/sign.h"
#include "tasks/unit/state.h"
#include "tasks/unit/train.h"

enum { UNIT = 3, ROUND = 1, UNITS_MAX = 16 };

static bool make_blobs(struct accused *a)
{
	const struct recipe *r = &a->tiny.recipe;
	struct state_layout layout;
	float *theta = NULL;
	size_t n;
	bool good = recipe_validate(r, NULL) == TK_OK &&
		    recipe_encode(r, &a->recipe, NULL) == TK_OK &&
		    unit_parameters(r, &n, NULL) == TK_OK &&
		    train_initial(r, span_of("", 0), &theta, NULL) == TK_OK &&
		    parameters_encode(&a->parameters, theta, n) == TK_OK;

	mem_free(theta);
	if (!good)
		return false;
	layout = state_layout(&r->train, n);
	for (size_t i = 0; i < state_bytes(&layout) / 4 && good; i++) {
		float x = (float)(1 + i % 7) / 1024;

		good = parameters_encode(&a->slot, &x, 1) == TK_OK;
	}
	return good;
}

/* The round that the root signs, and the unit's way up to it. */
bool accused_round(struct accused *a)
{
	struct digest states[UNITS_MAX] = {0}, leaves[UNITS_MAX];
	struct round_start start = {.states = states};
	struct round_manifest m = {.network = a->root.public, .round = ROUND, .audit = {{3}}};
	uint32_t count = a->tiny.recipe.train.units_per_round;

	REQUIRE(count <= UNITS_MAX && count > UNIT);
	digest_blob(&m.recipe, a->recipe.data, a->recipe.len);
	digest_blob(&start.parameters, a->parameters.data, a->parameters.len);
	if (a->slot.len > 0)
		digest_blob(&states[UNIT], a->slot.data, a->slot.len);
	if (round_leaves(leaves, count, &m.recipe, ROUND, &start) != TK_OK)
		return false;
	unit_describe(&a->unit, &m.recipe, ROUND, UNIT, &start);
	m.unit_count = count;
	m.parameters = start.parameters;
	merkle_root(&m.units, leaves, count);
	a->path_steps = merkle_path(a->path, leaves, count, UNIT);
	a->unit_bytes.len = a->manifest.len = 0;
	if (unit_encode(&a->unit, &a->unit_bytes) != TK_OK ||
		round_encode(&m, &a->manifest) != TK_OK)
		return false;
	round_sign(&a->manifest_signature, &a->root, bytes_span(&a->manifest));
	return true;
}

static bool make_truth(struct accused *a)
{
	const struct compute c = {.engine = engine_best()};
	const struct replay_input in = {.parameters = bytes_span(&a->parameters),
		.slot = bytes_span(&a->slot),
		.to = REPLAY_END};
	size_t size = sizeof(struct digest);

	if (unit_replay(&a->tiny.recipe, &a->unit, &c, &in, &a->tiny.source, &a->truth, NULL) !=
			TK_OK ||
		claim_decode(&a->claim, bytes_span(&a->truth.result.claim), NULL) != TK_OK)
		return false;
	a->leaf_count = a->truth.result.leaf_count;
	a->step_count = a->truth.count;
	a->leaves = mem_dup(a->truth.result.leaves, a->leaf_count * size);
	a->steps = mem_dup(a->truth.leaves, a->step_count * size);
	return a->leaves != NULL && a->steps != NULL;
}

bool accused_init(struct accused *a, enum model_type type,
	void (*change)(struct train_spec *t, unsigned how), unsigned how)
{
	static const uint8_t root[32] = {1}, peer[32] = {2};

	*a = (struct accused){.nonce = {{7, 7}}, .salt = {{9, 9}}};
	key_from_seed(&a->root, root);
	key_from_seed(&a->peer, peer);
	if (!tiny_init(&a->tiny, type))
		return false;
	if (change != NULL)
		change(&a->tiny.recipe.train, how);
	if (!make_blobs(a) || !accused_round(a) || !make_truth(a))
		return false;
	accused_commit(a);
	return true;
}

void accused_close(struct accused *a)
{
	bytes_close(&a->recipe);
	bytes_close(&a->parameters);
	bytes_close(&a->slot);
	bytes_close(&a->unit_bytes);
	bytes_close(&a->manifest);
	bytes_close(&a->claim_bytes);
	replay_close(&a->truth);
	mem_free(a->leaves);
	mem_free(a->steps);
	tiny_close(&a->tiny);
}

void accused_commit(struct accused *a)
{
	struct commitment x = {.network = a->root.public,
		.nonce = a->nonce,
		.peer = a->peer.public,
		.salt = a->salt};

	merkle_root(&a->claim.trace, a->leaves, a->leaf_count);
	a->claim_bytes.len = 0;
	REQUIRE(claim_encode(&a->claim, &a->claim_bytes) == TK_OK);
	claim_digest(&a->result, bytes_span(&a->claim_bytes));
	unit_digest(&x.unit, bytes_span(&a->unit_bytes));
	x.result = a->result;
	x.trace = a->claim.trace;
	commitment_digest(&a->commitment, &x);
	commit_sign(&a->signature, &a->peer, &a->commitment, &a->nonce);
}

void accused_lie(struct accused *a, uint32_t step)
{
	const struct train_spec *t = &a->tiny.recipe.train;

	for (uint32_t i = step; i + 1 < a->step_count; i++) {
		a->steps[i].b[5] ^= 0x40;
		if (trace_due(t, i + 1))
			a->leaves[trace_leaves(t, i + 1) - 1] = a->steps[i];
	}
	if (a->claim.outcome == OUTCOME_UPDATE) {
		a->claim.payload.b[5] ^= 0x40;
		a->leaves[a->leaf_count - 1] = a->claim.payload;
	}
	accused_commit(a);
	a->steps[a->step_count - 1] = a->result;
}

struct trace_segment accused_segment(const struct accused *a, uint32_t step, uint32_t *k)
{
	const struct train_spec *t = &a->tiny.recipe.train;
	struct trace_segment s;

	for (*k = 0; trace_segment(&s, t, trace_steps(t, &a->claim), *k); ++*k) {
		if (step - s.first < s.count)
			return s;
	}
	REQUIRE(!"there is no such step");
	return s;
}

struct fault_statement accused_statement(
	const struct accused *a, enum fault_kind kind, uint32_t step)
{
	struct fault_statement f = {
		.kind = kind,
		.network = a->root.public,
		.manifest = bytes_span(&a->manifest),
		.manifest_signature = a->manifest_signature,
		.unit = bytes_span(&a->unit_bytes),
		.path = span_of(a->path, a->path_steps * sizeof(a->path[0])),
		.nonce = a->nonce,
		.peer = a->peer.public,
		.commitment = a->commitment,
		.signature = a->signature,
		.salt = a->salt,
		.claim = bytes_span(&a->claim_bytes),
	};

	if (kind == FAULT_EQUIVOCATION) {
		f.other = a->commitment;
		f.other.b[0] ^= 1;
		commit_sign(&f.other_signature, &a->peer, &f.other, &a->nonce);
	}
	if (kind == FAULT_STEP || kind == FAULT_SEGMENT || kind == FAULT_TRACE)
		f.leaves = span_of(a->leaves, a->leaf_count * sizeof(*a->leaves));
	if (kind == FAULT_STEP || kind == FAULT_SEGMENT) {
		struct trace_segment s = accused_segment(a, step, &f.segment);

		f.steps = span_of(a->steps + s.first, s.count * sizeof(*a->steps));
		segment_sign(&f.segment_signature, &a->peer, &a->commitment, f.segment,
			a->steps + s.first, s.count);
		f.step = kind == FAULT_STEP ? step - s.first : 0;
	}
	return f;
}

bool accused_state(struct accused *a, uint32_t steps, struct bytes *out)
{
	const struct compute c = {.engine = engine_best()};
	const struct replay_input in = {.parameters = bytes_span(&a->parameters),
		.slot = bytes_span(&a->slot),
		.to = steps,
		.keep = steps};
	struct replay r = {0};
	bool good;

	if (steps == 0)
		return true;
	good = unit_replay(&a->tiny.recipe, &a->unit, &c, &in, &a->tiny.source, &r, NULL) ==
		       TK_OK &&
	       bytes_append(out, r.kept.data, r.kept.len) == TK_OK;
	replay_close(&r);
	return good;
}

static int get_blob(void *context, const struct digest *digest, size_t max, struct bytes *out,
	struct errmsg *msg)
{
	struct accused *a = context;
	const struct bytes *own[] = {&a->recipe, &a->parameters, &a->slot};
	struct span blob;
	struct digest is;
	int rc;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		digest_blob(&is, own[i]->data, own[i]->len);
		if (digest_equal(&is, digest))
			return own[i]->len <= max ? bytes_append(out, own[i]->data, own[i]->len)
						  : errmsg_set(msg, TK_ELIMIT, "too long");
	}
	rc = shard_cache_get(&a->tiny.cache, digest, &blob, msg);
	return rc == TK_OK ? bytes_append(out, blob.data, blob.len) : rc;
}

struct blob_lookup accused_blobs(struct accused *a)
{
	return (struct blob_lookup){a, get_blob};
}

int accused_file(struct accused *a, const struct fault_statement *f, struct bytes *out)
{
	const struct blob_lookup lookup = accused_blobs(a);
	struct bytes encoded = {0}, before = {0};
	struct trace_segment s = {0};
	bool good = fault_encode(f, &encoded) == TK_OK;
	int rc = TK_EINVAL;

	if (good && f->kind == FAULT_STEP) {
		good = trace_segment(&s, &a->tiny.recipe.train,
			trace_steps(&a->tiny.recipe.train, &a->claim), f->segment);
		good = good && accused_state(a, s.first + f->step, &before);
	}
	if (good)
		rc = fault_file_encode(
			bytes_span(&encoded), bytes_span(&before), &lookup, out, NULL);
	bytes_close(&encoded);
	bytes_close(&before);
	return rc;
}

bool accused_without_blobs(struct span file, struct bytes *out)
{
	enum { HEAD = 12, ENTRY = 41 };
	struct fault_parts parts;
	struct digest digest;
	size_t table;
	bool good;

	if (fault_file_parse(&parts, file, NULL) != TK_OK)
		return false;
	table = HEAD + parts.statement.len + 4;
	good = bytes_append(out, file.data, table + (size_t)ENTRY * parts.count) == TK_OK;
	for (uint32_t i = 1; good && i <= parts.count; i++)
		out->data[table + (size_t)ENTRY * i - 1] = 0;
	mem_free(parts.blobs);
	if (!good)
		return false;
	digest_blob(&digest, out->data, out->len);
	return bytes_append(out, digest.b, DIGEST_BYTES) == TK_OK;
}
