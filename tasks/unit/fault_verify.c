/* See fault_file.h: judging a proof of fault. Time: one step (STEP), a unit (WHOLE), twice when it is wrong. */
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/data/shard.h"
#include "tasks/unit/fault_case.h"
#include "tasks/unit/shard_cache.h"
#include "tasks/unit/state.h"

/* A file under examination: looks its own blobs up first. */
struct verifying {
	struct fault_parts parts;
	const struct blob_lookup *outside;
	struct blob_lookup lookup; /* both */
	struct fault_case c;
	struct bytes parameters, slot, before;
	struct shard_cache shards;
};

static int get_blob(void *context, const struct digest *digest, size_t max, struct bytes *out,
	struct errmsg *msg)
{
	const struct verifying *v = context;
	char hex[DIGEST_HEX];

	for (uint32_t i = 0; i < v->parts.count; i++) {
		const struct fault_blob_entry *b = &v->parts.blobs[i];

		if (!b->held || !digest_equal(&b->digest, digest))
			continue;
		if (b->bytes.len > max)
			return errmsg_set(msg, TK_ELIMIT, "the blob has %zu bytes; %zu are allowed",
				b->bytes.len, max);
		if (bytes_append(out, b->bytes.data, b->bytes.len) != TK_OK)
			return errmsg_set(msg, TK_ENOMEM, "not enough memory for a blob");
		return TK_OK;
	}
	if (v->outside != NULL)
		return v->outside->get(v->outside->context, digest, max, out, msg);
	digest_hex(hex, digest);
	return errmsg_set(msg, TK_ENOENT,
		"the file does not hold the blob %s: name a folder that does (--blobs DIR)", hex);
}

/* The state before the step: of all blobs that the file names, the one that has the signed digest. */
static int load_before(struct verifying *v, struct errmsg *msg)
{
	const struct fault_case *c = &v->c;
	struct digest digest;
	uint64_t size;
	int rc;

	for (uint32_t i = 0; i < v->parts.count; i++) {
		const struct fault_blob_entry *b = &v->parts.blobs[i];

		trace_blob_digest(&digest, c->from, &b->digest);
		if (!digest_equal(&digest, &c->before))
			continue;
		rc = replay_state_bytes(&c->recipe, c->from, &size, msg);
		if (rc == TK_OK)
			rc = fault_blob(&v->lookup, &b->digest, size, "the state before the step",
				&v->before, msg);
		return rc;
	}
	return errmsg_set(msg, TK_EPROTO,
		"the file does not name the state after step %u that the peer signed", c->from);
}

static int load_shards(struct verifying *v, struct errmsg *msg)
{
	const struct recipe *recipe = &v->c.recipe;

	for (uint32_t i = 0; i < v->c.needs.count; i++) {
		const struct digest *digest = &recipe->data.train.digests[v->c.needs.shards[i]];
		struct bytes got = {0};
		int rc = fault_blob(&v->lookup, digest, SHARD_BYTES, "a shard", &got, msg);

		if (rc == TK_OK)
			rc = shard_cache_add(&v->shards, recipe, digest, &got, msg);
		bytes_close(&got);
		if (rc != TK_OK)
			return rc;
	}
	return TK_OK;
}

static int load_inputs(struct verifying *v, struct errmsg *msg)
{
	const struct fault_case *c = &v->c;
	const struct unit *u = &c->facts.unit;
	struct state_layout layout;
	size_t n;
	int rc = unit_parameters(&c->recipe, &n, msg);

	if (rc == TK_OK && c->from > 0)
		rc = load_before(v, msg);
	if (rc == TK_OK && c->needs.parameters)
		rc = fault_blob(
			&v->lookup, &u->parameters, 4 * n, "the parameters", &v->parameters, msg);
	if (rc == TK_OK && c->needs.slot) {
		layout = state_layout(&c->recipe.train, n);
		rc = fault_blob(&v->lookup, &u->state, state_bytes(&layout), "the slot's state",
			&v->slot, msg);
	}
	return rc == TK_OK ? load_shards(v, msg) : rc;
}

static int recompute(struct verifying *v, const struct compute *compute, struct digest *found,
	struct errmsg *msg)
{
	const struct fault_case *c = &v->c;
	const struct shard_source source = {&v->shards, shard_cache_get};
	const struct replay_input input = {
		.parameters = bytes_span(&v->parameters),
		.slot = bytes_span(&v->slot),
		.before = bytes_span(&v->before),
		.from = c->from,
		/* Of a whole unit only what comes out at the end is of interest. */
		.first = c->to == REPLAY_END ? c->recipe.train.inner_steps : c->from,
		.to = c->to,
		.leaves = c->from > 0 ? c->facts.leaves : NULL,
		.leaf_count = c->from > 0 ? trace_leaves(&c->recipe.train, c->from) : 0,
	};
	struct replay r = {0};
	int rc = unit_replay(&c->recipe, &c->facts.unit, compute, &input, &source, &r, msg);

	if (rc == TK_OK)
		*found = r.leaves[r.count - 1];
	replay_close(&r);
	return rc;
}

/* Nobody is found wrong by one computation. */
static int judge_computed(struct verifying *v, const struct compute *compute,
	struct fault_report *out, struct errmsg *msg)
{
	struct digest again;
	int rc = load_inputs(v, msg);

	if (rc == TK_OK)
		rc = recompute(v, compute, &out->found, msg);
	if (rc != TK_OK)
		return rc;
	out->computed = true;
	out->said = v->c.said;
	if (digest_equal(&out->found, &out->said)) {
		out->verdict = FAULT_NOT_PROVEN;
		errmsg_set(msg, TK_OK, "this computer gets what the peer said");
		return TK_OK;
	}
	rc = recompute(v, compute, &again, msg);
	if (rc == TK_OK && !digest_equal(&again, &out->found))
		rc = errmsg_set(msg, TK_ENUMERICS,
			"this computer got two different results for the same work: check its "
			"memory and cooling");
	if (rc == TK_OK) {
		out->verdict = FAULT_PROVEN;
		errmsg_set(msg, TK_OK,
			"this computer, twice, gets something else than the peer "
			"said");
	}
	return rc;
}

/* What needs no computing. */
static void judge_paper(const struct fault_case *c, struct fault_report *out, struct errmsg *why)
{
	const struct fault_facts *f = &c->facts;
	bool wrong = true;

	if (c->statement.kind == FAULT_EQUIVOCATION)
		errmsg_set(why, TK_OK, "the peer signed two different commitments for one lease");
	else if (c->statement.kind == FAULT_TRACE)
		wrong = trace_impossible(&c->recipe.train, c->payload_bytes, &f->unit_digest,
			&f->claim, f->leaves, f->leaf_count, why);
	else
		wrong = segment_impossible(&c->recipe.train, &f->claim, &f->result, f->leaves,
			c->statement.segment, f->steps, f->step_count, why);
	if (!wrong)
		errmsg_set(why, TK_OK, "what the peer signed fits together");
	out->verdict = wrong ? FAULT_PROVEN : FAULT_NOT_PROVEN;
}

static struct fault_report report_of(const struct fault_case *c)
{
	return (struct fault_report){
		.kind = c->statement.kind,
		.statement = c->digest,
		.network = c->statement.network,
		.peer = c->statement.peer,
		.recipe = c->facts.unit.recipe,
		.round = c->facts.unit.round,
		.unit = c->facts.unit.index,
		.step = c->from,
		.steps = c->has_recipe ? c->recipe.train.inner_steps : 0,
	};
}

static void verifying_close(struct verifying *v)
{
	fault_case_close(&v->c);
	shard_cache_close(&v->shards);
	bytes_close(&v->parameters);
	bytes_close(&v->slot);
	bytes_close(&v->before);
	mem_free(v->parts.blobs);
}

int fault_verify(struct span file, const struct blob_lookup *lookup, const struct compute *c,
	struct fault_report *out, struct errmsg *msg)
{
	struct verifying v = {.outside = lookup};
	struct fault_report report;
	struct errmsg why = {""};
	int rc = fault_file_parse(&v.parts, file, msg);

	if (rc != TK_OK)
		return rc;
	v.lookup = (struct blob_lookup){&v, get_blob};
	rc = fault_case_open(&v.c, v.parts.statement, &v.lookup, msg);
	if (rc == TK_OK) {
		report = report_of(&v.c);
		if (v.c.computes)
			rc = judge_computed(&v, c, &report, &why);
		else
			judge_paper(&v.c, &report, &why);
		if (rc != TK_OK)
			errmsg_set(msg, rc, "%s", why.text);
	}
	if (rc == TK_OK) {
		memcpy(report.why, why.text, sizeof(report.why) - 1);
		report.why[sizeof(report.why) - 1] = '\0';
		*out = report;
	}
	verifying_close(&v);
	return rc;
}
