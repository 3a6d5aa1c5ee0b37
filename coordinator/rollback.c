/* Rollback: what becomes of a project when a unit proves wrong whose round was merged (VERIFICATION.md, "Rollback").
 *
 * The last K merged rounds stay in memory beside the one in progress, so that audits may be open while training goes
 * on. Above are the decisions, which change nothing: whether the round in progress may be merged while some are, and
 * which round is to be taken back. Below is the move: the rounds behind that one are discarded, it is in progress
 * again with the units that it has, and it is merged anew when all of them are settled.
 *
 * All that decides is in rows: a unit's result and the one that it was merged with. So a crash loses nothing: what
 * proved wrong still differs after it. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "tasks/base/require.h"

uint32_t core_rounds_kept(const struct project_row *row)
{
	return row->policy == VERIFY_ADAPTIVE ? row->settle_rounds : 0;
}

bool round_is_settled(const struct core_round *o)
{
	return o->settled == o->project->row.units_per_round;
}

bool round_was_merged(const struct core_round *o)
{
	return !digest_is_zero(&o->units[0].row.merged);
}

static bool older_settled(const struct core_round *o)
{
	for (o = o->older; o != NULL; o = o->older)
		if (!round_is_settled(o))
			return false;
	return true;
}

/* A rollback costs up to K rounds, so only the work of peers that have done as much before, in FLOPs that were accepted,
 * may still be in doubt when its round is merged. */
static bool audits_may_wait(const struct core_round *o)
{
	const struct core_project *p = o->project;
	double cost = (double)core_rounds_kept(&p->row) * p->row.units_per_round;

	for (uint32_t i = 0; o->audited > 0 && i < p->row.units_per_round; i++)
		if (o->units[i].row.state == UNIT_AUDITED &&
			(double)policy_credit(&o->units[i]) < cost * (double)unit_credit(p))
			return false;
	return true;
}

bool rollback_may_merge(const struct core_project *p)
{
	const struct core_round *now = p->now;
	uint32_t kept = core_rounds_kept(&p->row);
	bool last;

	if (now == NULL || now->referees != 0 ||
		now->settled + now->audited != p->row.units_per_round)
		return false;
	last = p->row.round + 1 == p->row.rounds || p->row.stop_asked;
	if (last || kept <= 1 || p->settle_first || round_was_merged(now))
		return round_is_settled(now) && older_settled(now);
	for (const struct core_round *o = now->older; o != NULL; o = o->older)
		if (o->row.round + kept <= p->row.round + 1 && !round_is_settled(o))
			return false;
	return audits_may_wait(now);
}

bool rollback_nothing_open(const struct core_project *p)
{
	return p->now == NULL || (!p->proved_wrong && older_settled(p->now));
}

bool rollback_may_stop(const struct core_project *p)
{
	if (p->merging || p->now == NULL)
		return false;
	return round_untouched(p->now) && older_settled(p->now);
}

static bool unit_decided(const struct core_unit *u)
{
	return u->row.state == UNIT_SETTLED || u->row.state == UNIT_AUDITED;
}

bool unit_proved_wrong(const struct core_unit *u)
{
	return unit_decided(u) && !digest_is_zero(&u->row.merged) &&
	       !digest_equal(&u->row.result, &u->row.merged);
}

struct core_unit *rollback_due(const struct core_project *p)
{
	struct core_unit *due = NULL;

	for (struct core_round *o = p->rounds; p->proved_wrong && o != NULL; o = o->older)
		for (uint32_t i = p->row.units_per_round; o != p->now && i-- > 0;)
			if (unit_proved_wrong(&o->units[i]))
				due = &o->units[i];
	return due;
}

/* "unit 2 of peer 1f0c… proved wrong" */
static void why_say(const struct core_unit *u, char *out, size_t size)
{
	const struct core_replica *liar = NULL;
	char label[17] = "?";

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		if (r->row.claim_bytes > 0 && !r->row.repeats &&
			digest_equal(&r->row.result, &u->row.merged))
			liar = r;
	if (liar != NULL)
		peer_label(liar->peer, label);
	snprintf(out, size, "unit %u of peer %s proved wrong", u->row.index + 1, label);
}

/* What the project has counted of the round counts no more. */
static void round_uncount(struct core_round *o)
{
	struct project_row *p = &o->project->row;

	if (!o->row.opened)
		return;
	REQUIRE(p->recomputed >= o->row.recomputed && p->drawn >= o->row.drawn &&
		p->drawn_wrong >= o->row.drawn_wrong);
	p->recomputed -= o->row.recomputed;
	p->drawn -= o->row.drawn;
	p->drawn_wrong -= o->row.drawn_wrong;
	o->row.opened = false;
}

static void discard(struct core *c, struct core_project *p, struct core_round *o)
{
	char why[TEXT_MAX];

	round_uncount(o);
	p->row.units_accepted -= o->settled + o->audited;
	snprintf(why, sizeof(why), "its round was taken back: %s", p->row.rollback_why);
	round_end(c, o, VERDICT_UNKNOWN, why);
}

static void take_back(struct core *c, struct core_project *p, struct core_unit *u)
{
	struct core_round *o = u->round;
	char why[96];

	why_say(u, why, sizeof(why));
	snprintf(p->row.rollback_why, sizeof(p->row.rollback_why),
		"rolled back to round %u because %s", o->row.round + 1, why);
	core_log(c, "project %s is %s", p->row.name, p->row.rollback_why);
	ledger_rollback(c, o);
	while (p->rounds != o)
		discard(c, p, p->rounds);
	round_uncount(o);
	round_save(c, &o->row);
	p->now = o;
	p->merging = p->merge_void = p->settle_first = false;
	p->row.discarded += p->row.round - o->row.round;
	p->row.round = o->row.round;
	p->row.attempt = o->row.attempt;
	p->row.rollbacks++;
	p->row.parameters = o->row.start;
	p->row.outer_state = o->row.start_outer;
	p->row.states = o->row.states;
	p->row.model = o->row.start_model;
	project_changed(c, p);
	announce_round(c, p);
	c->dispatch = true;
	for (uint32_t i = 0; i < p->row.units_per_round; i++)
		unit_touch(c, &o->units[i]);
}

/* The owner wants no rollback: the unit stays as it was merged, and that is said for good. */
static void let_stand(struct core *c, struct core_project *p, struct core_unit *u)
{
	char why[96];

	why_say(u, why, sizeof(why));
	snprintf(p->row.rollback_why, sizeof(p->row.rollback_why),
		"in round %u %s, and stands (on_fraud: continue)", u->row.round + 1, why);
	core_log(c, "project %s: %s", p->row.name, p->row.rollback_why);
	u->row.merged = u->row.result; /* noted */
	unit_changed(c, u);
	p->row.wrong_standing++;
	project_changed(c, p);
}

bool rollbacks_make(struct core *c)
{
	bool made = false;

	for (struct core_project *p = c->projects; p != NULL; p = p->next) {
		struct core_unit *u;

		if (!p->proved_wrong ||
			(p->row.state != PROJECT_RUNNING && p->row.state != PROJECT_PAUSED))
			continue;
		for (u = rollback_due(p); u != NULL; u = rollback_due(p)) {
			made = true;
			if (p->row.on_fraud == FRAUD_CONTINUE)
				let_stand(c, p, u);
			else
				take_back(c, p, u);
		}
		p->proved_wrong = false;
	}
	return made;
}
