/* Rounds in memory: built from what they start from, begun, merged, kept for a while, ended. Which may be merged and
 * which are taken back, rollback.c decides. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "coordinator/draw.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

struct round_start round_start_of(const struct core_round *o)
{
	return (struct round_start){.parameters = o->row.start, .states = o->states};
}

struct core_round *round_find(const struct core_project *p, uint32_t number)
{
	struct core_round *o = p->rounds;

	while (o != NULL && o->row.round != number)
		o = o->older;
	return o;
}

static void round_free(struct core *c, struct core_round *o)
{
	for (uint32_t i = 0; o->units != NULL && i < o->project->row.units_per_round; i++) {
		struct core_unit *u = &o->units[i];
		struct core_replica *next;

		upload_close(c, u);
		dispute_close(c, u);
		for (struct core_replica *r = u->replicas; r != NULL; r = next) {
			next = r->unit_next;
			replica_detach(c, r);
			mem_free(r);
		}
	}
	agenda_close(&o->agenda);
	mem_free(o->units);
	mem_free(o->leaves);
	mem_free(o->tree);
	mem_free(o->states);
	bytes_close(&o->manifest);
	mem_free(o);
}

void rounds_free(struct core *c, struct core_project *p)
{
	while (p->rounds != NULL) {
		struct core_round *o = p->rounds;

		p->rounds = o->older;
		round_free(c, o);
	}
	p->now = NULL;
}

static int states_copy(struct core_round *o, const struct digest *states, struct errmsg *msg)
{
	size_t size = (size_t)o->project->row.units_per_round * sizeof(*states);
	struct digest is = {{0}};

	if (states != NULL)
		digest_blob(&is, states, size);
	if (!digest_equal(&is, &o->row.states))
		return errmsg_set(msg, TK_ECORRUPT,
			"project %s: its row and the list of its states disagree",
			o->project->row.name);
	if (states == NULL)
		return TK_OK;
	o->states = mem_dup(states, size);
	return o->states != NULL ? TK_OK : TK_ENOMEM;
}

static int manifest_build(struct core *c, struct core_round *o)
{
	const struct project_row *p = &o->project->row;
	struct round_manifest m = {
		.network = c->root->public,
		.recipe = p->recipe,
		.round = o->row.round,
		.unit_count = p->units_per_round,
		.parameters = o->row.start,
	};
	struct digest seed;
	int rc;

	draw_seed(&seed, &p->secret, m.round, o->row.attempt);
	draw_commitment(&m.audit, &seed);
	merkle_tree(o->tree, o->leaves, m.unit_count);
	m.units = o->tree[merkle_tree_nodes(m.unit_count) - 1];
	rc = round_encode(&m, &o->manifest);
	if (rc == TK_OK)
		round_sign(&o->signature, c->root, bytes_span(&o->manifest));
	return rc;
}

static int units_build(struct core *c, struct core_round *o)
{
	struct core_project *p = o->project;
	const struct round_start start = round_start_of(o);
	uint32_t count = p->row.units_per_round;
	int rc;

	o->leaves = mem_calloc(count, sizeof(*o->leaves));
	o->tree = mem_calloc(merkle_tree_nodes(count), sizeof(*o->tree));
	o->units = mem_calloc(count, sizeof(*o->units));
	if (o->leaves == NULL || o->tree == NULL || o->units == NULL)
		return TK_ENOMEM;
	rc = agenda_init(&o->agenda, count);
	if (rc == TK_OK)
		rc = round_leaves(o->leaves, count, &p->row.recipe, o->row.round, &start);
	if (rc == TK_OK)
		rc = manifest_build(c, o);
	for (uint32_t i = 0; rc == TK_OK && i < count; i++) {
		o->units[i].project = p;
		o->units[i].round = o;
		o->units[i].digest = o->leaves[i];
		o->units[i].row = (struct unit_row){
			.project = p->row.id,
			.round = o->row.round,
			.index = i,
			.state = UNIT_UNSENT,
			.wanted = p->row.quorum,
		};
	}
	return rc;
}

static void round_link(struct core_project *p, struct core_round *o)
{
	struct core_round **at = &p->rounds;

	while (*at != NULL && (*at)->row.round > o->row.round)
		at = &(*at)->older;
	REQUIRE(*at == NULL || (*at)->row.round != o->row.round);
	o->older = *at;
	*at = o;
}

struct round_row round_next(const struct core_project *p)
{
	return (struct round_row){.project = p->row.id,
		.round = p->row.round,
		.attempt = p->row.attempt,
		.start = p->row.parameters,
		.start_outer = p->row.outer_state,
		.start_model = p->row.model,
		.states = p->row.states};
}

int round_build(struct core *c, struct core_project *p, const struct round_row *row,
	const struct digest *states, struct core_round **out, struct errmsg *msg)
{
	struct core_round *o = mem_calloc(1, sizeof(*o));
	int rc;

	if (o == NULL)
		return TK_ENOMEM;
	o->project = p;
	o->row = *row;
	rc = states_copy(o, states, msg);
	if (rc == TK_OK)
		rc = units_build(c, o);
	if (rc != TK_OK) {
		round_free(c, o);
		return rc;
	}
	round_link(p, o);
	*out = o;
	return TK_OK;
}

void round_begin(struct core *c, struct core_project *p, const struct digest *states)
{
	struct round_row row;

	p->row.attempt = p->row.rollbacks;
	project_changed(c, p);
	row = round_next(p);
	row.started_ms = c->now_ms;
	if (round_build(c, p, &row, states, &p->now, NULL) != TK_OK) {
		c->error = TK_ENOMEM;
		return;
	}
	ledger_round(c, p);
	for (uint32_t i = 0; i < p->row.units_per_round; i++) {
		unit_changed(c, &p->now->units[i]);
		unit_touch(c, &p->now->units[i]);
	}
	announce_round(c, p);
}

static void round_unlink(struct core_project *p, struct core_round *o)
{
	struct core_round **at = &p->rounds;

	while (*at != o)
		at = &(*at)->older;
	*at = o->older;
	if (p->now == o)
		p->now = NULL;
}

void round_end(struct core *c, struct core_round *o, enum verdict verdict, const char *why)
{
	struct core_unit **at = &c->touched;

	ledger_flush(c);
	for (uint32_t i = 0; i < o->project->row.units_per_round; i++) {
		struct core_unit *u = &o->units[i];

		upload_release(c, u);
		for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
			if (r->row.state == REPLICA_LEASED) {
				lease_cancel(c, r, verdict, why);
			} else if (r->row.state == REPLICA_COMMITTED ||
				   r->row.state == REPLICA_REVEALED) {
				replica_move(c, r, REPLICA_LATE);
				say_settled(c, r, VERDICT_LATE, why);
			}
		}
	}
	changes_flush(c);
	while (*at != NULL)
		if ((*at)->round == o)
			*at = (*at)->touched_next;
		else
			at = &(*at)->touched_next;
	ledger_forget(c, o);
	round_unlink(o->project, o);
	round_free(c, o);
}

bool round_untouched(const struct core_round *o)
{
	for (uint32_t i = 0; i < o->project->row.units_per_round; i++)
		for (struct core_replica *r = o->units[i].replicas; r != NULL; r = r->unit_next)
			if (r->row.committed_ms != 0)
				return false;
	return true;
}

/* The first time that all units of a merged round are settled: its secret seed is opened, and it is known how often
 * they were computed. */
static void round_open(struct core *c, struct core_round *o)
{
	struct core_project *p = o->project;

	if (o->row.opened || !round_is_settled(o))
		return;
	policy_count(o);
	p->row.recomputed += o->row.recomputed;
	p->row.drawn += o->row.drawn;
	p->row.drawn_wrong += o->row.drawn_wrong;
	ledger_flush(c);
	if (!o->row.seeded)
		ledger_seed(c, p, o->row.round, &o->row.seed);
	o->row.opened = o->row.seeded = true;
	round_save(c, &o->row);
	project_changed(c, p);
}

/* Opens what can be opened, and asks for the merge of every round that may be merged. */
void rounds_close(struct core *c)
{
	struct core_project *next;

	for (struct core_project *p = c->projects; p != NULL; p = next) {
		next = p->next;
		for (struct core_round *o = p->rounds; o != NULL; o = o->older)
			if (o != p->now)
				round_open(c, o);
		if (p->row.state != PROJECT_RUNNING || p->merging)
			continue;
		if (p->row.stop_asked && rollback_may_stop(p)) {
			project_end(c, p, PROJECT_STOPPED, "stopped by its owner");
		} else if (rollback_may_merge(p)) {
			p->merging = true;
			merge_ask(c, p);
		}
	}
}

static void merge_failed(struct core *c, struct core_project *p, const struct core_event *event)
{
	const char *text = event->text != NULL ? event->text : error_text(event->code);

	p->merging = false;
	if (event->code != TK_EDIVERGED) {
		project_pause(c, p, text);
		return;
	}
	/* What an open audit is about may be the cause. */
	p->settle_first = true;
	if (rollback_may_merge(p))
		project_end(c, p, PROJECT_FAILED, text);
}

static void round_merged(struct core *c, struct core_project *p, const struct core_event *event)
{
	struct core_round *o = p->now;

	REQUIRE(event->merged <= p->row.units_per_round);
	o->row.loss = event->loss;
	o->row.validation_samples = event->validation_samples;
	o->row.validation_loss = event->validation_loss;
	o->row.validation_accuracy = event->validation_accuracy;
	o->row.merged = event->merged;
	o->row.skipped = p->row.units_per_round - event->merged;
	o->row.closed_ms = c->now_ms;
	o->row.parameters = event->parameters;
	o->row.model = event->model;
	draw_seed(&o->row.seed, &p->row.secret, o->row.round, o->row.attempt);
	draw_commitment(&o->row.audit, &o->row.seed);
	for (uint32_t i = 0; core_rounds_kept(&p->row) > 0 && i < p->row.units_per_round; i++) {
		o->units[i].row.merged = o->units[i].row.result;
		unit_changed(c, &o->units[i]);
	}
	ledger_merge(c, p, event);
	round_save(c, &o->row);
	p->now = NULL;
	p->row.round++;
	p->row.parameters = event->parameters;
	p->row.outer_state = event->outer_state;
	p->row.states = event->states;
	p->row.model = event->model;
	project_changed(c, p);
	round_open(c, o);
}

/* Rounds that no audit can reach any more leave memory. */
static void rounds_leave(struct core *c, struct core_project *p)
{
	uint32_t kept = core_rounds_kept(&p->row);
	struct core_round *next;

	for (struct core_round *o = p->rounds; o != NULL; o = next) {
		next = o->older;
		if (o->row.round + kept >= p->row.round)
			continue;
		round_open(c, o);
		REQUIRE(o->row.opened);
		round_end(c, o, VERDICT_LATE, "the round is over");
	}
}

void project_merged(struct core *c, const struct core_event *event)
{
	struct core_project *p = project_find(c, event->project);

	if (p == NULL || !p->merging || event->job != p->merge_job)
		return; /* it ended, or was taken back, meanwhile */
	if (p->row.state != PROJECT_RUNNING || p->merge_void || p->proved_wrong ||
		!rollback_may_merge(p)) {
		p->merging = p->merge_void = false; /* it will be merged when that is settled */
		return;
	}
	if (event->code != TK_OK) {
		merge_failed(c, p, event);
		return;
	}
	round_merged(c, p, event);
	p->merging = p->settle_first = false;
	rounds_leave(c, p);
	core_log(c, "project %s: round %u of %u merged, loss %.4f", p->row.name, p->row.round,
		p->row.rounds, (double)event->loss);
	if (p->row.round == p->row.rounds)
		project_end(c, p, PROJECT_DONE, "");
	else if (p->row.stop_asked)
		project_end(c, p, PROJECT_STOPPED, "stopped by its owner");
	else
		round_begin(c, p, event->state_list);
}
