/* The referee (the coordinator's own machine, computing a whole unit twice) decides who is right where peers
 * cannot settle it among themselves (dispute_peers.c): a unit that was settled before or has lost its
 * quorum, one about which somebody fell silent, a claim of non-finite numbers on which all agree, an impossible
 * payload, too many replicas.
 *
 * Nobody is convicted on the referee's word alone: only when at least one independent replica
 * equals its result are the others proven wrong, and their identities retired. If none equals it,
 * more replicas are asked for; when REPLICAS_PER_UNIT of them differ from it and most of these agree
 * with each other, our own machine is the likelier culprit and the project pauses. So no peer whose result was right is ever
 * retired. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "tasks/base/require.h"
#include "tasks/unit/fault.h"

/* The unit waits for the referee. Those who had computed it are paid already if it was settled, and
 * the accounts are put right when it is settled again. */
static void reopen(struct core *c, struct core_unit *u)
{
	if (u->uploader != NULL)
		upload_release(c, u);
	u->project->merge_void |= u->project->merging && u->round == u->project->now;
	if (u->row.state == UNIT_SETTLED || u->row.state == UNIT_AUDITED) {
		u->project->row.units_accepted--;
		project_changed(c, u->project);
	}
	unit_move(c, u, UNIT_DISPUTED);
	unit_touch(c, u);
}

static void referee_order(struct core_unit *u)
{
	u->referee = REFEREE_WAITING;
	agenda_mark(u);
	u->round->referees++;
}

static void dispute_log(struct core *c, const struct core_unit *u)
{
	const struct core_replica *a = NULL;
	const struct core_replica *b = NULL;
	char x[17], y[17];

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		if (!replica_opened(r) || r->peer->row.retired)
			continue;
		if (a == NULL)
			a = r;
		else if (!digest_equal(&a->row.result, &r->row.result))
			b = r;
	}
	REQUIRE(a != NULL && b != NULL);
	peer_label(a->peer, x);
	peer_label(b->peer, y);
	core_log(c, "unit %u of round %u of %s is disputed: peers %s and %s differ",
		u->row.index + 1, u->row.round + 1, u->project->row.name, x, y);
}

void dispute_open(struct core *c, struct core_unit *u)
{
	uint32_t n = unit_live(c, u);

	dispute_log(c, u);
	reopen(c, u); /* who waits for what, dispute_judge says */
	u->row.wanted = n < REPLICAS_PER_UNIT ? n + 1 : REPLICAS_PER_UNIT;
	u->project->row.disputes++;
	project_changed(c, u->project);
}

void audit_open(struct core *c, struct core_unit *u, const char *why)
{
	uint32_t n = unit_live(c, u);

	core_log(c, "unit %u of round %u of %s %s; recomputing it", u->row.index + 1,
		u->row.round + 1, u->project->row.name, why);
	reopen(c, u);
	referee_order(u);
	u->row.wanted = n > 0 ? n : 1; /* the referee needs one that matches */
}

void dispute_convict(struct core *c, struct core_replica *r)
{
	struct fault_statement what = {.kind = FAULT_WHOLE};
	char why[TEXT_MAX];

	snprintf(why, sizeof(why),
		"unit %u of round %u of %s: its result differs from the recomputed one",
		r->row.unit + 1, r->row.round + 1, r->unit->project->row.name);
	fault_prove(c, r, &what, NULL, why);
}

/* A result that nobody's word has refuted yet and that counts. */
static bool stands_against(const struct core_replica *r)
{
	return replica_opened(r) && !r->peer->row.retired && !r->row.late;
}

/* How many of those against the referee have one and the same result, if these are more than half of them; else
 * fewer than that. Boyer and Moore's majority: one pass finds the only candidate, another counts it. */
static uint32_t agreeing_most(const struct core_unit *u)
{
	const struct core_replica *candidate = NULL;
	uint32_t lead = 0;
	uint32_t count = 0;

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		if (!stands_against(r))
			continue;
		if (candidate == NULL || lead == 0)
			candidate = r;
		if (digest_equal(&candidate->row.result, &r->row.result))
			lead++;
		else
			lead--;
	}
	if (candidate == NULL)
		return 0;
	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		count += stands_against(r) && digest_equal(&candidate->row.result, &r->row.result);
	return count;
}

void dispute_unmatched(struct core *c, struct core_unit *u, uint32_t differing)
{
	char why[TEXT_MAX];

	if ((differing >= REPLICAS_PER_UNIT && 2 * agreeing_most(u) > differing) ||
		differing >= REPLICAS_DISPUTED) {
		snprintf(why, sizeof(why),
			"unit %u of round %u: %u results, and none equals what is computed here; "
			"check this machine's memory and build, then resume",
			u->row.index + 1, u->row.round + 1, differing);
		project_pause(c, u->project, why);
	} else if (u->row.wanted <= differing) {
		u->row.wanted = differing + 1;
		unit_changed(c, u);
	}
}

/* The referee's claim is in the row. */
void dispute_decide(struct core *c, struct core_unit *u)
{
	uint32_t matching = 0;
	uint32_t differing = 0;

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		if (!replica_opened(r) || r->peer->row.retired)
			continue;
		if (digest_equal(&r->row.result, &u->row.referee))
			matching++;
		else
			differing += stands_against(r);
	}
	if (matching == 0) {
		dispute_unmatched(c, u, differing);
		return;
	}
	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		if ((replica_opened(r) || dispute_silent(r)) && !r->peer->row.retired &&
			!digest_equal(&r->row.result, &u->row.referee))
			dispute_convict(c, r);
	u->row.result = u->row.referee;
	unit_settle(c, u);
}

void dispute_again(struct core *c, struct core_unit *u)
{
	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		r->unmatched = false;
	if (u->row.state != UNIT_DISPUTED || digest_is_zero(&u->row.referee))
		return;
	u->row.referee = (struct digest){0};
	referee_order(u);
	unit_changed(c, u);
}

static void round_referees(struct core *c, struct core_round *o)
{
	while (o->referees > 0 && c->referees_running < REFEREES_MAX) {
		struct core_unit *u;
		uint32_t i;

		agenda_update(&o->agenda);
		i = agenda_next(&o->agenda, AGENDA_REFEREE, AGENDA_SETS, 0);
		if (i == o->agenda.count)
			return;
		u = &o->units[i];
		u->referee = REFEREE_RUNNING;
		agenda_mark(u);
		c->referees_running++;
		if (u->dispute != NULL)
			step_ask(c, u);
		else
			referee_ask(c, u);
	}
}

/* Starts recomputations, oldest project first, as long as there are free places. */
void referees_start(struct core *c)
{
	for (struct core_project *p = c->projects; p != NULL; p = p->next)
		for (struct core_round *o = p->rounds; o != NULL; o = o->older)
			if (p->row.state == PROJECT_RUNNING)
				round_referees(c, o);
}

/* Takes the referee's claim into the row. The claim is the shell's, but it came from another
 * process: a bad one pauses the project. */
static int referee_claim(struct core_unit *u, struct span in, struct errmsg *msg)
{
	struct claim claim;
	int rc;

	if (in.len > CLAIM_BYTES_MAX)
		return errmsg_set(msg, TK_ELIMIT, "the recomputed claim is too long");
	rc = claim_decode(&claim, in, msg);
	if (rc == TK_OK && !digest_equal(&claim.unit, &u->digest))
		rc = errmsg_set(msg, TK_ECORRUPT, "the recomputed claim is about another unit");
	if (rc != TK_OK)
		return rc;
	memcpy(u->row.claim, in.data, in.len);
	u->row.claim_bytes = (uint32_t)in.len;
	claim_digest(&u->row.referee, in);
	return TK_OK;
}

void referee_answer(struct core *c, const struct core_event *event)
{
	struct core_project *p = project_find(c, event->project);
	struct core_round *o = p != NULL ? round_find(p, event->round) : NULL;
	struct errmsg msg = {""};
	struct core_unit *u;
	int rc = event->code;

	if (c->referees_running > 0)
		c->referees_running--;
	if (o == NULL || event->unit >= p->row.units_per_round)
		return; /* the project ended meanwhile, or the round was discarded */
	u = &o->units[event->unit];
	if (u->referee != REFEREE_RUNNING || u->dispute != NULL || u->job != event->job)
		return;
	if (rc != TK_OK)
		errmsg_set(&msg, rc, "%.255s", event->text != NULL ? event->text : error_text(rc));
	else
		rc = referee_claim(u, event->claim, &msg);
	if (rc != TK_OK) {
		u->referee = REFEREE_WAITING;
		agenda_mark(u);
		errmsg_prefix(&msg, rc, "unit %u of round %u could not be recomputed",
			u->row.index + 1, u->row.round + 1);
		project_pause(c, p, msg.text);
		return;
	}
	u->referee = REFEREE_NONE;
	o->referees--;
	unit_changed(c, u);
	unit_touch(c, u);
}
