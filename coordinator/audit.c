/* See audit.h. Memory: 136 bytes for each unit that was begun; a round is begun only when all units of
 * the one before are there, so it grows with the ledger. */
#include "coordinator/audit.h"

#include <inttypes.h>
#include <string.h>

#include "coordinator/audit_unit.h"
#include "tasks/base/mem.h"

int audit_init(
	struct audit *a, const struct public_key *network, struct span recipe, struct errmsg *msg)
{
	struct audit made = {.network = *network};
	int rc = recipe_decode(&made.recipe, recipe, msg);

	if (rc != TK_OK)
		return rc;
	digest_blob(&made.project, recipe.data, recipe.len);
	made.units_per_round = made.recipe.train.units_per_round;
	made.scratch = mem_calloc(made.units_per_round, sizeof(*made.scratch));
	if (made.scratch == NULL) {
		recipe_close(&made.recipe);
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to audit");
	}
	*a = made;
	return TK_OK;
}

void audit_close(struct audit *a)
{
	recipe_close(&a->recipe);
	mem_free(a->scratch);
	mem_free(a->rounds);
	mem_free(a->units);
	mem_free(a->faults);
	*a = (struct audit){0};
}

struct audit_unit *audit_unit(const struct audit *a, uint32_t round, uint32_t index)
{
	return &a->units[(size_t)round * a->units_per_round + index];
}

uint64_t audit_settled(const struct audit *a)
{
	uint64_t n = (uint64_t)a->round * a->units_per_round;

	for (uint32_t i = 0; a->open && i < a->units_per_round; i++)
		n += audit_unit(a, a->round, i)->at != 0;
	return n;
}

static int refuse(struct errmsg *msg, const char *text)
{
	return errmsg_set(msg, TK_ECORRUPT, "%s", text);
}

static int take_project(struct audit *a, const struct ledger_entry *e, struct errmsg *msg)
{
	if (a->begun)
		return refuse(msg, "the project begins a second time");
	if (e->begin.policy != VERIFY_FULL && e->begin.policy != VERIFY_ADAPTIVE)
		return refuse(msg, "project.policy: neither 1 (full) nor 2 (adaptive)");
	if (e->begin.policy == VERIFY_ADAPTIVE && e->begin.floor_ppm == 0)
		return refuse(msg, "project.floor: policy adaptive has one above zero");
	a->begun = true;
	a->quorum = e->begin.quorum;
	a->policy = e->begin.policy;
	a->floor_ppm = e->begin.floor_ppm;
	a->on_fraud = e->begin.on_fraud;
	a->settle_rounds = e->begin.settle_rounds;
	if ((a->policy != VERIFY_FULL && a->policy != VERIFY_ADAPTIVE) ||
		(a->policy == VERIFY_ADAPTIVE) != (a->on_fraud != 0 && a->settle_rounds != 0))
		return refuse(msg, "project.policy: it does not fit the fields behind it");
	return TK_OK;
}

/* Room for the round and its units, all of them not settled. */
static int round_room(struct audit *a, struct errmsg *msg)
{
	size_t want = a->round_capacity * 2 + 8;
	size_t w = a->units_per_round;
	struct audit_round *rounds;
	struct audit_unit *units;

	if (a->round >= a->round_capacity) {
		rounds = mem_realloc(a->rounds, want * sizeof(*rounds));
		if (rounds != NULL)
			a->rounds = rounds;
		units = mem_realloc(a->units, want * w * sizeof(*units));
		if (units != NULL)
			a->units = units;
		if (rounds == NULL || units == NULL)
			return errmsg_set(msg, TK_ENOMEM, "not enough memory to audit");
		a->round_capacity = want;
	}
	memset(&a->rounds[a->round], 0, sizeof(*a->rounds));
	memset(&a->units[a->round * w], 0, w * sizeof(*a->units));
	return TK_OK;
}

/* What was merged stays as it was, or is taken back before anything else follows from it. */
int audit_at_end(const struct audit *a, struct errmsg *msg)
{
	if (a->changed == 0)
		return TK_OK;
	return errmsg_set(msg, TK_ECORRUPT,
		"%" PRIu64 " units have another result than was merged, and no rollback says so",
		a->changed);
}

static uint64_t settle_rounds(const struct audit *a)
{
	return a->settle_rounds > 1 ? a->settle_rounds : 1;
}

/* The rounds before this one have to be settled when round n is merged, or begins after that. */
static uint64_t settled_before(const struct audit *a, uint64_t n)
{
	uint64_t wait = settle_rounds(a);

	return n + 1 > wait ? n + 1 - wait : 0;
}

/* The draws of rounds before `to` are settled, and their seeds open. Those that are further back were looked at before. */
static int seeds_opened(const struct audit *a, uint64_t to, struct errmsg *msg)
{
	uint64_t wait = settle_rounds(a);

	for (uint64_t i = a->round > 2 * wait ? a->round - 2 * wait : 0; i < a->round && i < to;
		i++)
		if (digest_is_zero(&a->rounds[i].seed))
			return errmsg_set(msg, TK_ECORRUPT,
				"the seed of round %" PRIu64 " has not been opened", i + 1);
	return TK_OK;
}

static int manifest_check(const struct audit *a, const struct ledger_entry *e,
	const struct round_manifest *m, struct errmsg *msg)
{
	const struct digest *first = &a->recipe.initial;

	if (!key_equal(&m->network, &a->network))
		return refuse(msg, "round.network: the manifest is another network's");
	if (!round_verify(&a->network, &e->round.signature, e->round.manifest))
		return refuse(msg, "round.signature: it is not that of the network's key");
	if (!digest_equal(&m->recipe, &a->project))
		return refuse(msg, "round.recipe: the manifest is another project's");
	if (m->round != a->round)
		return errmsg_set(msg, TK_ECORRUPT,
			"round.round: the manifest of round %" PRIu32 ", where round %" PRIu32
			" begins",
			m->round + 1, a->round + 1);
	if (digest_is_zero(&m->audit))
		return refuse(msg, "round.audit: it commits to no seed");
	if (m->unit_count != a->units_per_round)
		return refuse(msg, "round.unit_count: not the recipe's units per round");
	if (a->round > 0 ? !digest_equal(&m->parameters, &a->parameters)
			 : !digest_is_zero(first) && !digest_equal(&m->parameters, first))
		return refuse(msg, a->round > 0
					   ? "round.parameters: not what the last merge gave"
					   : "round.parameters: not the recipe's initial ones");
	return TK_OK;
}

static int take_round(
	struct audit *a, uint64_t at, const struct ledger_entry *e, struct errmsg *msg)
{
	uint32_t w = a->units_per_round;
	struct round_start start = {{{0}}, NULL};
	struct digest states = {{0}}, units;
	struct round_manifest m;
	int rc;

	if (a->open || a->round >= a->recipe.train.rounds)
		return refuse(msg, a->open ? "a round begins before the last one is merged"
					   : "a round more than the recipe has");
	rc = audit_at_end(a, msg);
	if (rc == TK_OK)
		rc = seeds_opened(a, settled_before(a, a->round), msg);
	if (rc == TK_OK)
		rc = round_decode(&m, e->round.manifest, msg);
	if (rc == TK_OK)
		rc = manifest_check(a, e, &m, msg);
	if (rc != TK_OK)
		return rc;
	if (e->round.states.len != 0) {
		if (e->round.states.len != (size_t)w * DIGEST_BYTES)
			return refuse(msg, "round.states: not one for each unit");
		digest_blob(&states, e->round.states.data, e->round.states.len);
		memcpy(a->scratch, e->round.states.data, e->round.states.len);
		start.states = a->scratch;
	}
	if (!digest_equal(&states, &a->states))
		return refuse(msg, "round.states: not those that the last merge gave");
	rc = round_room(a, msg);
	if (rc != TK_OK)
		return rc;
	start.parameters = m.parameters;
	/* Each leaf depends on its own state alone, so they may take its place. */
	rc = round_leaves(a->scratch, w, &a->project, m.round, &start);
	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory to audit");
	for (uint32_t i = 0; i < w; i++)
		audit_unit(a, a->round, i)->header = a->scratch[i];
	merkle_root(&units, a->scratch, w);
	if (!digest_equal(&units, &m.units))
		return refuse(msg,
			"round.units: not the root over the units that follow from the recipe, "
			"the parameters and the states");
	a->rounds[a->round].at = at;
	a->rounds[a->round].parameters = m.parameters;
	a->rounds[a->round].states = states;
	a->rounds[a->round].audit = m.audit;
	a->open = true;
	return TK_OK;
}

static int take_fault(
	struct audit *a, uint64_t sequence, const struct ledger_entry *e, struct errmsg *msg)
{
	size_t want = a->fault_capacity * 2 + 16;
	struct audit_fault *grown;
	size_t at;

	if (digest_is_zero(&e->fault.proof))
		return refuse(msg, "fault.proof: it names no proof");
	if (e->fault.round >= a->round + a->open || e->fault.index >= a->units_per_round)
		return refuse(msg, "fault.round: there is no such unit yet");
	if (a->fault_count == a->fault_capacity) {
		grown = mem_realloc(a->faults, want * sizeof(*grown));
		if (grown == NULL)
			return errmsg_set(msg, TK_ENOMEM, "not enough memory to audit");
		a->faults = grown;
		a->fault_capacity = want;
	}
	at = audit_fault_place(a, &e->fault.nonce);
	memmove(&a->faults[at + 1], &a->faults[at], (a->fault_count - at) * sizeof(*a->faults));
	a->fault_count++;
	a->faults[at] = (struct audit_fault){.nonce = e->fault.nonce,
		.key = e->fault.key,
		.sequence = sequence,
		.round = e->fault.round,
		.index = e->fault.index,
		.twice = e->fault.kind == FAULT_EQUIVOCATION};
	return TK_OK;
}

static int take_seed(struct audit *a, const struct ledger_entry *e, struct errmsg *msg)
{
	uint32_t rounds = a->round + a->open;
	struct audit_round *r;

	if (e->seed.round >= rounds)
		return refuse(msg, "seed.round: that round has not begun");
	r = &a->rounds[e->seed.round];
	if (!digest_is_zero(&r->seed))
		return refuse(msg, "seed.round: its seed has been opened already");
	r->seed = e->seed.seed;
	return audit_draw_check(a, e->seed.round, msg);
}

/* What was proven wrong in rounds before `to` is said to be wrong of its unit, too. */
static int faults_check(const struct audit *a, uint64_t to, struct errmsg *msg)
{
	for (size_t i = 0; i < a->fault_count; i++)
		if (a->faults[i].round < to && !a->faults[i].seen && !a->faults[i].twice)
			return errmsg_set(msg, TK_ECORRUPT,
				"entry %" PRIu64
				" tells of a proof of fault against a result that no "
				"later UNIT has",
				a->faults[i].sequence);
	return TK_OK;
}

static int take_merge(
	struct audit *a, uint64_t at, const struct ledger_entry *e, struct errmsg *msg)
{
	uint32_t merged = 0;
	int rc = audit_at_end(a, msg);

	if (rc != TK_OK)
		return rc;
	if (!a->open || e->merge.round != a->round)
		return refuse(msg, "merge.round: not the round in progress");
	if (!digest_is_zero(&a->rounds[a->round].seed)) /* it was merged before */
		rc = audit_draw_check(a, a->round, msg);
	if (rc != TK_OK)
		return rc;
	for (uint32_t i = 0; i < a->units_per_round; i++) {
		const struct audit_unit *u = audit_unit(a, a->round, i);

		if (u->at == 0)
			return errmsg_set(msg, TK_ECORRUPT,
				"round %" PRIu32 " is merged and its unit %" PRIu32
				" was never settled",
				a->round + 1, i + 1);
		if (u->dissent)
			return errmsg_set(msg, TK_ECORRUPT,
				"round %" PRIu32
				" is merged and a result that differs of its unit %" PRIu32
				" was not judged",
				a->round + 1, i + 1);
		merged += u->outcome == OUTCOME_UPDATE;
	}
	if (e->merge.merged != merged || e->merge.skipped != a->units_per_round - merged)
		return errmsg_set(msg, TK_ECORRUPT,
			"merge.merged: %" PRIu32 " merged and %" PRIu32 " skipped, but %" PRIu32
			" of %" PRIu32 " units have an update",
			e->merge.merged, e->merge.skipped, merged, a->units_per_round);
	/* With more of them, a fault in a round that is merged may be told of before its unit is settled anew. */
	rc = faults_check(a, settled_before(a, a->round), msg);
	if (rc != TK_OK)
		return rc;
	a->rounds[a->round].merge_at = at;
	a->rounds[a->round].outer_state = e->merge.outer_state;
	a->rounds[a->round].model = e->merge.model;
	a->parameters = e->merge.parameters;
	a->outer_state = e->merge.outer_state;
	a->states = e->merge.states;
	a->model = e->merge.model;
	a->round++;
	a->open = false;
	return TK_OK;
}

/* The units that the entry names are those of the round which have changed, and there are some. */
static int rollback_check(const struct audit *a, const struct ledger_entry *e, struct errmsg *msg)
{
	uint32_t round = e->rollback.round;
	struct span units = e->rollback.units;
	size_t at = 0;

	if (a->on_fraud != FRAUD_ROLLBACK)
		return refuse(msg, "rollback.round: this project has no rollbacks");
	if (round >= a->round)
		return refuse(msg, "rollback.round: that round has not been merged");
	if ((uint64_t)round + a->settle_rounds < a->round)
		return refuse(msg, "rollback.round: it was settled for good before");
	if (!digest_equal(&e->rollback.model, &a->rounds[round].model))
		return refuse(msg, "rollback.model: not what that round's merge gave");
	for (uint32_t i = 0; i < a->units_per_round; i++) {
		if (!audit_unit(a, round, i)->changed)
			continue;
		if (units.len < at + 4 || load_le32(units.data + at) != i)
			return refuse(msg, "rollback.units: not those that proved wrong");
		at += 4;
	}
	return at > 0 && at == units.len
		       ? TK_OK
		       : refuse(msg, "rollback.units: not those that proved wrong");
}

/* The round is in progress again with the units that it has now; what followed is void. */
static int take_rollback(struct audit *a, const struct ledger_entry *e, struct errmsg *msg)
{
	static const struct audit_round none;
	uint32_t round = e->rollback.round;
	const struct audit_round *before = round > 0 ? &a->rounds[round - 1] : &none;
	int rc = rollback_check(a, e, msg);

	if (rc != TK_OK)
		return rc;
	for (uint64_t i = (uint64_t)round * a->units_per_round;
		i < (uint64_t)(a->round + a->open) * a->units_per_round; i++) {
		a->changed -= a->units[i].changed;
		a->units[i].changed = false;
	}
	for (size_t i = 0; i < a->fault_count; i++)
		a->faults[i].seen |= a->faults[i].round > round; /* void now */
	a->counts.discarded += a->round - round;
	a->counts.rollbacks++;
	a->round = round;
	a->open = true;
	a->rounds[round].merge_at = 0;
	a->parameters = a->rounds[round].parameters;
	a->states = a->rounds[round].states;
	a->outer_state = before->outer_state;
	a->model = before->model;
	return TK_OK;
}

static int take_end(struct audit *a, const struct ledger_entry *e, struct errmsg *msg)
{
	int rc = audit_at_end(a, msg);

	if (rc == TK_OK)
		rc = seeds_opened(a,
			e->end.state == PROJECT_FAILED ? settled_before(a, a->round) : UINT64_MAX,
			msg);
	if (rc != TK_OK)
		return rc;
	if (e->end.rounds != a->round)
		return errmsg_set(msg, TK_ECORRUPT,
			"end.rounds: %" PRIu32 " rounds, but %" PRIu32 " were merged",
			e->end.rounds, a->round);
	if (!digest_equal(&e->end.model, &a->model)) /* before the first merge: zero */
		return refuse(msg, "end.model: not the model that the last merge gave");
	if (e->end.state == PROJECT_DONE && (a->round != a->recipe.train.rounds || a->open))
		return refuse(msg, "end.state: done, with rounds left");
	if (e->end.state == PROJECT_STOPPED && a->round == a->recipe.train.rounds)
		return refuse(msg, "end.state: stopped, with no round left");
	a->ended = true;
	a->end = e->end.state;
	return e->end.state == PROJECT_FAILED ? TK_OK : faults_check(a, UINT64_MAX, msg);
}

static int take(struct audit *a, uint64_t sequence, uint64_t at, const struct ledger_entry *e,
	struct errmsg *msg)
{
	if (!digest_equal(&e->project, &a->project))
		return refuse(msg, "entry.project: another project's");
	if (a->ended)
		return refuse(msg, "it comes after the project's end");
	if (!a->begun && e->kind != LEDGER_PROJECT)
		return refuse(msg, "it comes before the project's begin");
	switch (e->kind) {
	case LEDGER_PROJECT:
		return take_project(a, e, msg);
	case LEDGER_ROUND:
		return take_round(a, at, e, msg);
	case LEDGER_UNIT:
		return audit_take_unit(a, at, e, msg);
	case LEDGER_FAULT:
		return take_fault(a, sequence, e, msg);
	case LEDGER_SEED:
		return take_seed(a, e, msg);
	case LEDGER_MERGE:
		return take_merge(a, at, e, msg);
	case LEDGER_ROLLBACK:
		return take_rollback(a, e, msg);
	case LEDGER_END:
		return take_end(a, e, msg);
	}
	return refuse(msg, "entry.kind: unknown");
}

int audit_take(
	struct audit *a, uint64_t sequence, uint64_t at, struct span content, struct errmsg *msg)
{
	struct ledger_entry e;
	int rc = ledger_decode(&e, content, msg);

	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "entry %" PRIu64, sequence);
	rc = take(a, sequence, at, &e, msg);
	return rc == TK_OK ? rc
			   : errmsg_prefix(msg, rc, "entry %" PRIu64 " (%s)", sequence,
				     ledger_kind_name(e.kind));
}
