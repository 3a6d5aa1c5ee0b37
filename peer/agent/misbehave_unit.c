/* See misbehave_unit.h. Poisoner and lazy peer compute from one altered state to the next with unit_replay; the
 * others compute as everybody does and alter what they say of the end. */
#include "peer/agent/misbehave_unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/mem.h"

#define LAZY_SHARE     4u /* one step of so many is skipped */
#define NONFINITE_STEP 1u /* what a false claim of non-finite numbers names */

static const enum misbehave about_units[] = {MISBEHAVE_CORRUPT, MISBEHAVE_GARBAGE,
	MISBEHAVE_NONFINITE, MISBEHAVE_LAZY, MISBEHAVE_POISONER, MISBEHAVE_PLAGIARIST};

void liar_close(struct liar *l)
{
	unit_result_close(&l->copied);
	*l = (struct liar){.mode = l->mode, .seed = l->seed};
}

void liar_name(char out[LIAR_NAME_SIZE], enum misbehave mode, uint64_t seed)
{
	out[0] = '\0';
	for (size_t i = 0; i < sizeof(about_units) / sizeof(about_units[0]); i++)
		if (about_units[i] == mode)
			snprintf(out, LIAR_NAME_SIZE, "%s:%llu", misbehave_name(mode),
				(unsigned long long)seed);
}

int liar_parse(struct liar *l, const char *text, struct errmsg *msg)
{
	char name[LIAR_NAME_SIZE];
	char again[LIAR_NAME_SIZE];
	const char *colon = strchr(text, ':');
	size_t n = colon != NULL ? (size_t)(colon - text) : sizeof(name);
	struct liar got = {0};

	if (n >= sizeof(name))
		return errmsg_set(msg, TK_EINVAL, "\"%.40s\" is no kind of liar", text);
	memcpy(name, text, n);
	name[n] = '\0';
	if (misbehave_parse(&got.mode, name, msg) != TK_OK)
		return TK_EINVAL;
	got.seed = strtoull(colon + 1, NULL, 10);
	liar_name(again, got.mode, got.seed);
	if (strcmp(again, text) != 0)
		return errmsg_set(msg, TK_EINVAL, "\"%.40s\" is no kind of liar", text);
	*l = got;
	return TK_OK;
}

/* Poisoner and lazy peer */

enum bend { BEND_NOT, BEND_SKIP, BEND_ALTER };

/* What becomes of a step, counted from 0. A unit's first one has no state before it to stay at. */
static enum bend bend_of(const struct liar *l, const struct train_spec *t, uint32_t step)
{
	bool last = step + 1 == t->inner_steps;

	if (l->mode == MISBEHAVE_POISONER || step == 0)
		return last ? BEND_ALTER : BEND_NOT;
	return last || (step + l->seed) % LAZY_SHARE == 0 ? BEND_SKIP : BEND_NOT;
}

/* A unit on its crooked way. */
struct crooked {
	const struct liar *liar;
	const struct recipe *recipe;
	const struct unit *unit;
	const struct compute *compute;
	const struct replay_input *input; /* parameters, slot, to, keep */
	const struct shard_source *shards;
	uint32_t done;
	struct bytes state;    /* after so many steps; empty at the start */
	struct digest *states; /* (H + 1) digests of the states after step 1, 2, … */
	struct digest *leaves; /* of the trace, without the last one */
	struct bytes kept;
	bool ended;
	struct unit_result result;
};

static void crooked_close(struct crooked *x)
{
	bytes_close(&x->state);
	bytes_close(&x->kept);
	mem_free(x->states);
	mem_free(x->leaves);
	unit_result_close(&x->result);
}

static int crooked_open(struct crooked *x)
{
	const struct train_spec *t = &x->recipe->train;
	struct bytes header = {0};

	x->states = mem_calloc(t->inner_steps + 1ull, sizeof(*x->states));
	x->leaves = mem_calloc(trace_leaves(t, t->inner_steps), sizeof(*x->leaves));
	if (x->states == NULL || x->leaves == NULL || unit_encode(x->unit, &header) != TK_OK)
		return TK_ENOMEM;
	unit_digest(&x->leaves[0], bytes_span(&header));
	bytes_close(&header);
	return TK_OK;
}

/* Honestly on to a step, or to the unit's end. */
static int crooked_compute(struct crooked *x, uint32_t to, struct errmsg *msg)
{
	const struct train_spec *t = &x->recipe->train;
	const struct replay_input in = {.parameters = x->input->parameters,
		.slot = x->input->slot,
		.before = bytes_span(&x->state),
		.from = x->done,
		.first = x->done,
		.to = to,
		.keep = to == REPLAY_END ? 0 : to,
		.leaves = x->leaves,
		.leaf_count = x->done > 0 ? trace_leaves(t, x->done) : 0};
	struct replay r = {0};
	int rc = unit_replay(x->recipe, x->unit, x->compute, &in, x->shards, &r, msg);

	if (rc != TK_OK)
		return rc;
	for (uint32_t i = 0; i < r.count - (r.ended ? 1 : 0); i++) {
		x->states[x->done++] = r.leaves[i];
		if (trace_due(t, x->done))
			x->leaves[trace_leaves(t, x->done) - 1] = r.leaves[i];
	}
	bytes_close(&x->state);
	x->state = r.kept;
	r.kept = (struct bytes){0};
	x->ended = r.ended;
	if (r.ended) {
		x->result = r.result;
		r.result = (struct unit_result){0};
	}
	replay_close(&r);
	return TK_OK;
}

/* One number of the parameters becomes another one, with the other sign: finite, and too far off to be rounded
 * away. */
static void alter(struct crooked *x)
{
	size_t at = (size_t)(x->liar->seed % 61) * 4;

	if (at + 4 > x->state.len)
		at = 0;
	x->state.data[at + 1] ^= (uint8_t)(x->liar->seed >> 8);
	x->state.data[at + 3] ^= 0x80;
}

/* The next step, in the liar's way: one that is skipped leaves all as it is, and says its loss once more. */
static int crooked_step(struct crooked *x, enum bend bend, struct errmsg *msg)
{
	const struct train_spec *t = &x->recipe->train;
	struct digest *is = &x->states[x->done];
	uint8_t loss[4];
	int rc;

	if (bend == BEND_SKIP) {
		memcpy(loss, x->state.data + x->state.len - 4, 4);
		rc = bytes_append(&x->state, loss, 4);
		x->done++;
	} else {
		rc = crooked_compute(x, x->done + 1, msg);
		if (rc == TK_OK && !x->ended)
			alter(x);
	}
	if (rc != TK_OK || x->ended)
		return rc;
	rc = replay_state_digest(x->recipe, x->done, bytes_span(&x->state), is, msg);
	if (rc == TK_OK && trace_due(t, x->done))
		x->leaves[trace_leaves(t, x->done) - 1] = *is;
	return rc;
}

static int crooked_go(struct crooked *x, struct errmsg *msg)
{
	const struct train_spec *t = &x->recipe->train;
	uint32_t keep = x->input->keep;
	uint32_t last = x->input->to < t->inner_steps ? x->input->to : t->inner_steps;
	int rc = crooked_open(x);

	while (rc == TK_OK && !x->ended && x->done < last) {
		uint32_t to = x->done; /* honest steps in one go */

		while (to < last && bend_of(x->liar, t, to) == BEND_NOT &&
			(to == x->done || to != keep))
			to++;
		rc = to > x->done ? crooked_compute(x, to, msg)
				  : crooked_step(x, bend_of(x->liar, t, to), msg);
		if (rc == TK_OK && !x->ended && x->done == keep)
			rc = bytes_append(&x->kept, x->state.data, x->state.len);
	}
	if (rc == TK_OK && !x->ended && x->input->to > t->inner_steps)
		rc = crooked_compute(x, REPLAY_END, msg);
	return rc;
}

static bool crooks(const struct liar *l)
{
	return l->mode == MISBEHAVE_POISONER || l->mode == MISBEHAVE_LAZY;
}

static int crooked_run(const struct liar *l, const struct recipe *recipe, const struct unit *unit,
	const struct compute *c, const struct unit_input *input, const struct shard_source *shards,
	struct unit_result *out, struct errmsg *msg)
{
	const struct replay_input whole = {
		.parameters = input->parameters, .slot = input->state, .to = REPLAY_END};
	struct crooked x = {.liar = l,
		.recipe = recipe,
		.unit = unit,
		.compute = c,
		.input = &whole,
		.shards = shards};
	int rc = crooked_go(&x, msg);

	if (rc == TK_OK) {
		*out = x.result;
		x.result = (struct unit_result){0};
	}
	crooked_close(&x);
	return rc;
}

static int crooked_replay(const struct liar *l, const struct recipe *recipe,
	const struct unit *unit, const struct compute *c, const struct replay_input *input,
	const struct shard_source *shards, struct replay *out, struct errmsg *msg)
{
	struct crooked x = {.liar = l,
		.recipe = recipe,
		.unit = unit,
		.compute = c,
		.input = input,
		.shards = shards};
	int rc = crooked_go(&x, msg);

	if (rc == TK_OK) {
		uint32_t first = input->first < x.done ? input->first : x.done;

		*out = (struct replay){.first = input->first,
			.count = x.done - first,
			.leaves = x.states,
			.ended = x.ended,
			.result = x.result,
			.kept = x.kept};
		memmove(x.states, x.states + first, out->count * sizeof(*x.states));
		if (x.ended)
			claim_digest(&x.states[out->count++], bytes_span(&x.result.claim));
		x.states = NULL;
		x.result = (struct unit_result){0};
		x.kept = (struct bytes){0};
	}
	crooked_close(&x);
	return rc;
}

/* The others */

static uint64_t dice(const struct liar *l, const struct claim *claim)
{
	return l->seed * 0x9e3779b97f4a7c15u ^ load_le64(claim->unit.b);
}

/* The claim's trace root and the claim's bytes follow from what claim and leaves are now. */
static int conclude(struct unit_result *r, struct claim *claim)
{
	merkle_root(&claim->trace, r->leaves, r->leaf_count);
	r->claim.len = 0;
	return claim_encode(claim, &r->claim);
}

/* The end of a unit, as corrupt, garbage and nonfinite have it. */
static int bend_end(const struct liar *l, const struct train_spec *t, struct unit_result *r)
{
	struct claim claim;
	int rc = claim_decode(&claim, bytes_span(&r->claim), NULL);

	if (rc != TK_OK || claim.outcome != OUTCOME_UPDATE)
		return rc;
	if (l->mode == MISBEHAVE_NONFINITE) {
		claim = (struct claim){.unit = claim.unit,
			.outcome = OUTCOME_NONFINITE,
			.failing_step = NONFINITE_STEP};
		r->payload.len = 0;
		r->leaf_count = trace_leaves(t, trace_steps(t, &claim));
		trace_failure(&r->leaves[r->leaf_count++], NONFINITE_STEP);
	} else {
		misbehave_payload(l->mode, dice(l, &claim), &r->payload);
		digest_blob(&claim.payload, r->payload.data, r->payload.len);
		r->leaves[r->leaf_count - 1] = claim.payload;
	}
	return conclude(r, &claim);
}

/* Another unit's result under this one's name. */
static int rename_result(const struct unit *unit, struct unit_result *r)
{
	struct bytes header = {0};
	struct claim claim;
	int rc = claim_decode(&claim, bytes_span(&r->claim), NULL);

	if (rc == TK_OK)
		rc = unit_encode(unit, &header);
	if (rc == TK_OK) {
		unit_digest(&claim.unit, bytes_span(&header));
		r->leaves[0] = claim.unit;
		rc = conclude(r, &claim);
	}
	bytes_close(&header);
	return rc;
}

static int result_copy(const struct unit_result *from, struct unit_result *to)
{
	size_t n = from->leaf_count * sizeof(*from->leaves);
	struct unit_result got = {.leaf_count = from->leaf_count, .leaves = mem_alloc(n)};

	if (got.leaves == NULL ||
		bytes_append(&got.claim, from->claim.data, from->claim.len) != TK_OK ||
		bytes_append(&got.payload, from->payload.data, from->payload.len) != TK_OK) {
		unit_result_close(&got);
		return TK_ENOMEM;
	}
	memcpy(got.leaves, from->leaves, n);
	*to = got;
	return TK_OK;
}

/* Is the plagiarist's source a unit that starts from the same numbers, and another one? */
static bool copies(const struct liar *l, const struct unit *unit)
{
	return l->mode == MISBEHAVE_PLAGIARIST && l->has_source && l->source.index != unit->index &&
	       l->source.round == unit->round && digest_equal(&l->source.recipe, &unit->recipe) &&
	       digest_equal(&l->source.parameters, &unit->parameters) &&
	       digest_equal(&l->source.state, &unit->state);
}

static int remember(struct liar *l, const struct unit *unit, const struct unit_result *r)
{
	if (l->mode != MISBEHAVE_PLAGIARIST ||
		(l->has_source && l->source.round == unit->round &&
			digest_equal(&l->source.recipe, &unit->recipe)))
		return TK_OK;
	liar_close(l);
	l->source = *unit;
	l->has_source = true;
	return result_copy(r, &l->copied);
}

int liar_run(struct liar *l, const struct recipe *recipe, const struct unit *unit,
	const struct compute *c, const struct unit_input *input, const struct shard_source *shards,
	const struct run_progress *progress, struct unit_result *out, struct errmsg *msg)
{
	struct unit_result result = {0};
	int rc;

	if (crooks(l))
		return crooked_run(l, recipe, unit, c, input, shards, out, msg);
	if (copies(l, unit)) {
		rc = result_copy(&l->copied, &result);
		if (rc == TK_OK)
			rc = rename_result(unit, &result);
	} else {
		rc = unit_run(recipe, unit, c, input, shards, progress, &result, msg);
		if (rc == TK_OK)
			rc = l->mode == MISBEHAVE_PLAGIARIST ? remember(l, unit, &result)
							     : bend_end(l, &recipe->train, &result);
	}
	if (rc == TK_OK)
		*out = result;
	else
		unit_result_close(&result);
	return rc;
}

/* The step leaves of a replay that goes to the unit's end, by what the liar says of the end. */
static int replay_end(const struct liar *l, const struct recipe *recipe, const struct unit *unit,
	struct replay *r)
{
	int rc = copies(l, unit) ? rename_result(unit, &r->result)
				 : bend_end(l, &recipe->train, &r->result);

	if (rc != TK_OK)
		return rc;
	if (l->mode == MISBEHAVE_NONFINITE && r->count > NONFINITE_STEP - r->first + 1)
		r->count = NONFINITE_STEP - r->first + 1;
	claim_digest(&r->leaves[r->count - 1], bytes_span(&r->result.claim));
	return TK_OK;
}

int liar_replay(struct liar *l, const struct recipe *recipe, const struct unit *unit,
	const struct compute *c, const struct replay_input *input,
	const struct shard_source *shards, struct replay *out, struct errmsg *msg)
{
	struct replay r = {0};
	int rc;

	if (crooks(l))
		return crooked_replay(l, recipe, unit, c, input, shards, out, msg);
	rc = unit_replay(recipe, copies(l, unit) ? &l->source : unit, c, input, shards, &r, msg);
	if (rc == TK_OK && r.ended && (l->mode != MISBEHAVE_NONFINITE || r.first <= NONFINITE_STEP))
		rc = replay_end(l, recipe, unit, &r);
	if (rc == TK_OK)
		*out = r;
	else
		replay_close(&r);
	return rc;
}
