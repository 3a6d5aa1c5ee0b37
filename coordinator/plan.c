/* Projects, rounds and their units: from submission to the last merge. Projects run in order of
 * submission; several run at once when the first has no work left for somebody (lease.c). */
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

void project_free(struct core *c, struct core_project *p)
{
	rounds_free(c, p);
	c->unreadable -= p->unreadable;
	recipe_close(&p->recipe);
	mem_free(p->shards);
	mem_free(p);
}

/* An ended project leaves memory; its rows stay. */
void project_end(struct core *c, struct core_project *p, enum project_state to, const char *reason)
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
	while (p->rounds != NULL)
		round_end(c, p->rounds, VERDICT_UNKNOWN, "the project has ended");
	changes_flush(c);
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
		round_begin(c, p, NULL);
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

void project_stop(struct core *c, uint64_t id)
{
	struct core_project *p = project_find(c, id);

	if (p == NULL)
		return; /* it ended meanwhile */
	p->row.stop_asked = true;
	if (p->row.state == PROJECT_PAUSED && !rollback_nothing_open(p))
		project_resume(c, id); /* what was merged has to be settled before anything ends */
	if (p->row.state != PROJECT_RUNNING || rollback_may_stop(p)) {
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
	for (struct core_round *o = p->rounds; o != NULL; o = o->older)
		for (uint32_t i = 0; i < p->row.units_per_round; i++) {
			dispute_again(c, &o->units[i]);
			unit_touch(c, &o->units[i]);
		}
	core_log(c, "project %s goes on", p->row.name);
}

/* Says why a running project does not move, or that it does. */
void projects_explain(struct core *c)
{
	for (struct core_project *p = c->projects; p != NULL; p = p->next) {
		char why[sizeof(p->row.reason)] = "";
		uint32_t wanting = 0;

		for (const struct core_round *o = p->rounds; o != NULL; o = o->older)
			wanting += o->wanting;
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
		else if (wanting > 0 && c->hungry_first != NULL)
			snprintf(why, sizeof(why),
				"waiting for peers: %u units need somebody who has not computed "
				"them yet",
				wanting);
		if (strcmp(why, p->row.reason) == 0)
			continue;
		memcpy(p->row.reason, why, sizeof(why));
		project_changed(c, p);
	}
}
