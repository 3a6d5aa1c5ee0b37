/* Projects, rounds and their units: from submission to the last merge. Projects run in order of
 * submission; several run at once when the first has no work left for somebody (lease.c). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "coordinator/draw.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/unit/payload.h"

struct core_project *project_find(const struct core *c, uint64_t id)
{
	struct core_project *p = c->projects;

	while (p != NULL && p->row.id != id)
		p = p->next;
	return p;
}

uint64_t unit_credit(const struct core_project *p)
{
	double flops = p->row.unit_flops;

	return flops > 0 && flops < 0x1p63 ? (uint64_t)flops : 0;
}

void project_link(struct core *c, struct core_project *p)
{
	struct core_project **at = &c->projects;

	while (*at != NULL && (*at)->row.id < p->row.id)
		at = &(*at)->next;
	REQUIRE(*at == NULL || (*at)->row.id != p->row.id);
	p->next = *at;
	*at = p;
}

static bool policy_sound(const struct project_row *row)
{
	if (row->policy == VERIFY_FULL)
		return true;
	return row->policy == VERIFY_ADAPTIVE && row->audit_floor > 0 && row->audit_floor <= 1 &&
	       row->settle_rounds >= 1 && row->settle_rounds <= SETTLE_ROUNDS_MAX &&
	       (row->on_fraud == FRAUD_ROLLBACK || row->on_fraud == FRAUD_CONTINUE);
}

/* Checks that a row and a recipe belong together, and makes the project of them. */
int project_attach(struct core *c, const struct project_row *row, struct span recipe,
	struct core_project **out, struct errmsg *msg)
{
	struct core_project *p = mem_calloc(1, sizeof(*p));
	int rc;

	if (p == NULL)
		return TK_ENOMEM;
	p->row = *row;
	rc = recipe_decode(&p->recipe, recipe, msg);
	if (rc != TK_OK) {
		mem_free(p);
		return rc;
	}
	if (row->id == 0 || row->units_per_round != p->recipe.train.units_per_round ||
		row->rounds != p->recipe.train.rounds || row->units_per_round == 0 ||
		row->quorum == 0 || row->quorum > REPLICAS_PER_UNIT || !policy_sound(row))
		rc = errmsg_set(msg, TK_ECORRUPT,
			"project %s: its row and its recipe disagree, its way of verifying can't "
			"be, or its quorum of %u is not between 1 and %u",
			row->name, row->quorum, REPLICAS_PER_UNIT);
	if (rc == TK_OK)
		rc = payload_size(&p->recipe, &p->payload_bytes, msg);
	if (rc == TK_OK)
		rc = blobs_index(p);
	if (rc != TK_OK) {
		project_free(c, p);
		return rc;
	}
	project_link(c, p);
	*out = p;
	return TK_OK;
}

/* Forgets the round in progress; its replicas are final or of no consequence. */
static void round_free(struct core *c, struct core_project *p)
{
	for (uint32_t i = 0; p->units != NULL && i < p->row.units_per_round; i++) {
		struct core_unit *u = &p->units[i];
		struct core_replica *next;

		upload_close(c, u);
		dispute_close(c, u);
		for (struct core_replica *r = u->replicas; r != NULL; r = next) {
			next = r->unit_next;
			replica_detach(c, r);
			mem_free(r);
		}
	}
	agenda_close(&p->agenda);
	mem_free(p->units);
	mem_free(p->leaves);
	mem_free(p->tree);
	bytes_close(&p->manifest);
	p->units = NULL;
	p->leaves = NULL;
	p->tree = NULL;
	p->wanting = p->settled = p->referees = p->stragglers = p->contradicted = 0;
	p->merging = false;
}

void project_free(struct core *c, struct core_project *p)
{
	round_free(c, p);
	c->unreadable -= p->unreadable;
	recipe_close(&p->recipe);
	mem_free(p->shards);
	mem_free(p->states);
	mem_free(p);
}

int project_states(struct core_project *p, const struct digest *states, struct errmsg *msg)
{
	size_t size = (size_t)p->row.units_per_round * sizeof(*states);
	struct digest is = {{0}};
	struct digest *copy = NULL;

	if (states != NULL)
		digest_blob(&is, states, size);
	if (!digest_equal(&is, &p->row.states))
		return errmsg_set(msg, TK_ECORRUPT,
			"project %s: its row and the list of its states disagree", p->row.name);
	if (states != NULL) {
		copy = mem_calloc(p->row.units_per_round, sizeof(*copy));
		if (copy == NULL)
			return TK_ENOMEM;
		memcpy(copy, states, size);
	}
	mem_free(p->states);
	p->states = copy;
	return TK_OK;
}

struct round_start project_start_of(const struct core_project *p)
{
	return (struct round_start){.parameters = p->row.parameters, .states = p->states};
}

static int manifest_build(struct core *c, struct core_project *p)
{
	struct round_manifest m = {
		.network = c->root->public,
		.recipe = p->row.recipe,
		.round = p->row.round,
		.unit_count = p->row.units_per_round,
		.parameters = p->row.parameters,
	};
	struct digest seed;
	int rc;

	draw_seed(&seed, &p->row.secret, m.round, p->row.rollbacks);
	draw_commitment(&m.audit, &seed);
	merkle_tree(p->tree, p->leaves, m.unit_count);
	m.units = p->tree[merkle_tree_nodes(m.unit_count) - 1];
	rc = round_encode(&m, &p->manifest);
	if (rc == TK_OK)
		round_sign(&p->signature, c->root, bytes_span(&p->manifest));
	return rc;
}

int round_build(struct core *c, struct core_project *p)
{
	const struct round_start start = project_start_of(p);
	uint32_t count = p->row.units_per_round;
	int rc;

	p->leaves = mem_calloc(count, sizeof(*p->leaves));
	p->tree = mem_calloc(merkle_tree_nodes(count), sizeof(*p->tree));
	p->units = mem_calloc(count, sizeof(*p->units));
	if (p->leaves == NULL || p->tree == NULL || p->units == NULL)
		return TK_ENOMEM;
	rc = agenda_init(&p->agenda, count);
	if (rc == TK_OK)
		rc = round_leaves(p->leaves, count, &p->row.recipe, p->row.round, &start);
	if (rc == TK_OK)
		rc = manifest_build(c, p);
	for (uint32_t i = 0; rc == TK_OK && i < count; i++) {
		p->units[i].project = p;
		p->units[i].digest = p->leaves[i];
		p->units[i].row = (struct unit_row){
			.project = p->row.id,
			.round = p->row.round,
			.index = i,
			.state = UNIT_UNSENT,
			.wanted = p->row.quorum,
		};
	}
	return rc;
}

static void round_begin(struct core *c, struct core_project *p)
{
	if (round_build(c, p) != TK_OK) {
		c->error = TK_ENOMEM;
		return;
	}
	p->started_ms = c->now_ms;
	ledger_round(c, p);
	for (uint32_t i = 0; i < p->row.units_per_round; i++) {
		unit_changed(c, &p->units[i]);
		unit_touch(c, &p->units[i]);
	}
	announce_round(c, p);
}

/* Tells everybody who still holds a replica of the round that it is over, saves what changed,
 * forgets it. Nobody is to blame for what was not finished. */
static void round_end(struct core *c, struct core_project *p, enum verdict verdict, const char *why)
{
	struct core_unit **at = &c->touched;

	ledger_flush(c);
	for (uint32_t i = 0; p->units != NULL && i < p->row.units_per_round; i++) {
		struct core_unit *u = &p->units[i];

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
		if ((*at)->project == p)
			*at = (*at)->touched_next;
		else
			at = &(*at)->touched_next;
	ledger_forget(c, p);
	round_free(c, p);
}

/* An ended project leaves memory; its rows stay. */
static void project_end(
	struct core *c, struct core_project *p, enum project_state to, const char *reason)
{
	struct core_project **at = &c->projects;

	snprintf(p->row.reason, sizeof(p->row.reason), "%s", reason);
	p->row.finished_s = c->now_ms / 1000;
	project_move(c, p, to);
	core_log(c, "project %s %s after %u of %u rounds%s%s", p->row.name,
		to == PROJECT_DONE	? "is done"
		: to == PROJECT_STOPPED ? "was stopped"
					: "failed",
		p->row.round, p->row.rounds, reason[0] != '\0' ? ": " : "", reason);
	round_end(c, p, VERDICT_UNKNOWN, "the project has ended");
	ledger_end(c, p);
	announce_control(c, p);
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	project_free(c, p);
}

void project_start(struct core *c, struct core_project *p)
{
	draw_secret(&p->row.secret, c->random);
	project_move(c, p, PROJECT_RUNNING);
	ledger_project(c, p);
	if (p->row.round >= p->row.rounds)
		project_end(c, p, PROJECT_DONE, "");
	else
		round_begin(c, p);
}

void project_new(struct core *c, const struct core_event *event)
{
	struct project_row row = *event->project_row;
	struct errmsg msg = {""};
	struct core_project *p = NULL;
	int rc;

	row.state = PROJECT_QUEUED;
	if (event->recipe.len == 0)
		rc = errmsg_set(&msg, TK_ECORRUPT, "its recipe can't be read: %.200s", event->text);
	else
		rc = project_attach(c, &row, event->recipe, &p, &msg);
	if (rc == TK_ENOMEM) {
		c->error = rc;
	} else if (rc != TK_OK) {
		struct core_project bad = {.row = row};

		bad.row.finished_s = c->now_ms / 1000;
		snprintf(bad.row.reason, sizeof(bad.row.reason), "%.255s", msg.text);
		project_move(c, &bad, PROJECT_FAILED);
		core_log(c, "project %s failed: %.180s", row.name, msg.text);
		changes_flush(c);
	} else {
		REQUIRE(p != NULL);
		core_log(c, "project %s starts: %u rounds of %u units, quorum %u", row.name,
			row.rounds, row.units_per_round, row.quorum);
		project_start(c, p);
	}
}

/* Nothing of the round has been committed: we are still at the boundary before it. */
static bool round_untouched(const struct core_project *p)
{
	for (uint32_t i = 0; p->units != NULL && i < p->row.units_per_round; i++)
		for (struct core_replica *r = p->units[i].replicas; r != NULL; r = r->unit_next)
			if (r->row.committed_ms != 0)
				return false;
	return true;
}

void project_stop(struct core *c, uint64_t id)
{
	struct core_project *p = project_find(c, id);

	if (p == NULL)
		return; /* it ended meanwhile */
	p->row.stop_asked = true;
	if (p->row.state != PROJECT_RUNNING || (!p->merging && round_untouched(p))) {
		project_end(c, p, PROJECT_STOPPED, "stopped by its owner");
		return;
	}
	project_changed(c, p);
	core_log(c, "project %s will stop after round %u", p->row.name, p->row.round + 1);
}

void project_pause(struct core *c, struct core_project *p, const char *why)
{
	if (p->row.state != PROJECT_RUNNING)
		return;
	snprintf(p->row.reason, sizeof(p->row.reason), "%.255s", why);
	project_move(c, p, PROJECT_PAUSED);
	announce_control(c, p);
	core_log(c, "project %s is paused: %.180s", p->row.name, why);
}

void project_resume(struct core *c, uint64_t id)
{
	struct core_project *p = project_find(c, id);

	if (p == NULL || p->row.state != PROJECT_PAUSED || p->unreadable)
		return;
	p->row.reason[0] = '\0';
	project_move(c, p, PROJECT_RUNNING);
	announce_control(c, p);
	c->dispatch = true;
	for (uint32_t i = 0; i < p->row.units_per_round; i++) {
		dispute_again(c, &p->units[i]);
		unit_touch(c, &p->units[i]);
	}
	core_log(c, "project %s goes on", p->row.name);
}

/* Asks for the merge of every round whose units are all settled and undisputed. */
void rounds_close(struct core *c)
{
	for (struct core_project *p = c->projects; p != NULL; p = p->next) {
		if (p->row.state != PROJECT_RUNNING || p->merging || p->referees != 0 ||
			p->settled != p->row.units_per_round)
			continue;
		p->merging = true;
		merge_ask(c, p);
	}
}

static void merge_failed(struct core *c, struct core_project *p, const struct core_event *event)
{
	const char *text = event->text != NULL ? event->text : error_text(event->code);

	if (event->code == TK_EDIVERGED) {
		project_end(c, p, PROJECT_FAILED, text);
	} else {
		p->merging = false;
		project_pause(c, p, text);
	}
}

void project_merged(struct core *c, const struct core_event *event)
{
	struct core_project *p = project_find(c, event->project);
	struct round_row round;

	if (p == NULL || !p->merging || event->round != p->row.round)
		return; /* it ended meanwhile */
	if (event->code != TK_OK) {
		merge_failed(c, p, event);
		return;
	}
	REQUIRE(event->merged <= p->row.units_per_round);
	round = (struct round_row){
		.project = p->row.id,
		.round = p->row.round,
		.loss = event->loss,
		.validation_samples = event->validation_samples,
		.validation_loss = event->validation_loss,
		.validation_accuracy = event->validation_accuracy,
		.merged = event->merged,
		.skipped = p->row.units_per_round - event->merged,
		.started_ms = p->started_ms,
		.closed_ms = c->now_ms,
		.parameters = event->parameters,
		.states = p->row.states,
		.model = event->model,
	};
	draw_seed(&round.seed, &p->row.secret, round.round, p->row.rollbacks);
	draw_commitment(&round.audit, &round.seed);
	round_save(c, &round);
	ledger_merge(c, p, event);
	ledger_seed(c, p, round.round, &round.seed);
	policy_merged(p);
	round_end(c, p, VERDICT_LATE, "the round is over");
	p->row.round++;
	p->row.parameters = event->parameters;
	p->row.outer_state = event->outer_state;
	p->row.states = event->states;
	p->row.model = event->model;
	if (project_states(p, event->state_list, NULL) != TK_OK) {
		c->error = TK_ENOMEM;
		return;
	}
	project_changed(c, p);
	core_log(c, "project %s: round %u of %u merged, loss %.4f", p->row.name, p->row.round,
		p->row.rounds, (double)event->loss);
	if (p->row.round == p->row.rounds)
		project_end(c, p, PROJECT_DONE, "");
	else if (p->row.stop_asked)
		project_end(c, p, PROJECT_STOPPED, "stopped by its owner");
	else
		round_begin(c, p);
}

/* Says why a running project does not move, or that it does. */
void projects_explain(struct core *c)
{
	for (struct core_project *p = c->projects; p != NULL; p = p->next) {
		char why[sizeof(p->row.reason)] = "";

		if (p->row.state != PROJECT_RUNNING)
			continue;
		if (p->row.stop_asked)
			snprintf(why, sizeof(why), "stopping after this round");
		else if (c->connected < p->row.quorum)
			snprintf(why, sizeof(why),
				"waiting for peers: quorum %u needs %u different peers, %zu %s "
				"connected",
				p->row.quorum, p->row.quorum, c->connected,
				c->connected == 1 ? "is" : "are");
		else if (p->wanting > 0 && c->hungry_first != NULL)
			snprintf(why, sizeof(why),
				"waiting for peers: %u units need somebody who has not computed "
				"them yet",
				p->wanting);
		if (strcmp(why, p->row.reason) == 0)
			continue;
		memcpy(p->row.reason, why, sizeof(why));
		project_changed(c, p);
	}
}
