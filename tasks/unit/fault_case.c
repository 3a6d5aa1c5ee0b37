/* See fault_case.h. */
#include "tasks/unit/fault_case.h"

#include "tasks/base/mem.h"
#include "tasks/unit/payload.h"

int fault_blob(const struct blob_lookup *lookup, const struct digest *digest, size_t max,
	const char *what, struct bytes *out, struct errmsg *msg)
{
	struct bytes got = {0};
	struct digest is;
	int rc = lookup->get(lookup->context, digest, max, &got, msg);

	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "%s", what);
	digest_blob(&is, got.data, got.len);
	if (got.len <= max && digest_equal(&is, digest)) {
		*out = got;
		return TK_OK;
	}
	bytes_close(&got);
	return errmsg_set(msg, TK_ECORRUPT, "%s: the blob differs from its digest", what);
}

static int load_recipe(struct fault_case *c, const struct blob_lookup *lookup, struct errmsg *msg)
{
	struct bytes encoded = {0};
	int rc = fault_blob(
		lookup, &c->facts.unit.recipe, RECIPE_BYTES_MAX, "the recipe", &encoded, msg);

	if (rc == TK_OK)
		rc = recipe_decode(&c->recipe, bytes_span(&encoded), msg);
	bytes_close(&encoded);
	if (rc != TK_OK)
		return rc;
	c->has_recipe = true;
	if (c->facts.unit.round >= c->recipe.train.rounds ||
		c->facts.unit.index >= c->recipe.train.units_per_round)
		return errmsg_set(msg, TK_EPROTO, "unit %u of round %u is outside the recipe",
			c->facts.unit.index + 1, c->facts.unit.round + 1);
	return payload_size(&c->recipe, &c->payload_bytes, msg);
}

/* A step or segment is one of a trace that is possible; otherwise the trace is what is to be proven. */
static int check_trace(const struct fault_case *c, struct errmsg *msg)
{
	const struct fault_facts *f = &c->facts;
	struct errmsg why = {""};

	if (trace_impossible(&c->recipe.train, c->payload_bytes, &f->unit_digest, &f->claim,
		    f->leaves, f->leaf_count, &why))
		return errmsg_set(msg, TK_EPROTO,
			"%s: that is a fault of another kind than the proof says", why.text);
	return TK_OK;
}

static int find_segment(const struct fault_case *c, struct trace_segment *s, struct errmsg *msg)
{
	const struct train_spec *t = &c->recipe.train;
	uint32_t k = c->statement.segment;

	if (!trace_segment(s, t, trace_steps(t, &c->facts.claim), k))
		return errmsg_set(msg, TK_EPROTO, "the trace has no segment %u", k);
	return TK_OK;
}

/* Where the step begins and what should come out. */
static int find_step(struct fault_case *c, struct errmsg *msg)
{
	const struct fault_facts *f = &c->facts;
	uint32_t i = c->statement.step;
	struct trace_segment s;
	int rc = find_segment(c, &s, msg);

	if (rc != TK_OK)
		return rc;
	if (f->step_count != s.count)
		return errmsg_set(msg, TK_EPROTO,
			"the segment has %u step leaves; %u are right: that is a fault of the "
			"segment",
			f->step_count, s.count);
	c->computes = true;
	c->from = s.first + i;
	c->to = c->from < c->recipe.train.inner_steps ? c->from + 1 : REPLAY_END;
	c->said = f->steps[i];
	if (c->from > 0)
		c->before = i > 0 ? f->steps[i - 1] : f->leaves[c->statement.segment];
	return TK_OK;
}

static int find_case(struct fault_case *c, const struct blob_lookup *lookup, struct errmsg *msg)
{
	enum fault_kind kind = c->statement.kind;
	struct trace_segment s;
	int rc = TK_OK;

	if (kind == FAULT_EQUIVOCATION)
		return TK_OK;
	rc = load_recipe(c, lookup, msg);
	if (rc == TK_OK && (kind == FAULT_STEP || kind == FAULT_SEGMENT))
		rc = check_trace(c, msg);
	if (rc == TK_OK && kind == FAULT_SEGMENT)
		rc = find_segment(c, &s, msg);
	if (rc == TK_OK && kind == FAULT_STEP)
		rc = find_step(c, msg);
	if (rc == TK_OK && kind == FAULT_WHOLE) {
		c->computes = true;
		c->to = REPLAY_END;
		c->said = c->facts.result;
	}
	if (rc == TK_OK && c->computes &&
		replay_needs(&c->needs, &c->recipe, &c->facts.unit, c->from, c->to) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the unit's shards");
	return rc;
}

int fault_case_open(struct fault_case *c, struct span statement, const struct blob_lookup *lookup,
	struct errmsg *msg)
{
	struct fault_case got = {0};
	int rc = fault_decode(&got.statement, statement, msg);

	if (rc == TK_OK)
		rc = fault_check(&got.statement, &got.facts, msg);
	if (rc == TK_OK)
		rc = find_case(&got, lookup, msg);
	fault_digest(&got.digest, statement);
	if (rc == TK_OK)
		*c = got;
	else
		fault_case_close(&got);
	return rc;
}

void fault_case_close(struct fault_case *c)
{
	if (c->has_recipe)
		recipe_close(&c->recipe);
	mem_free(c->needs.shards);
	*c = (struct fault_case){0};
}
