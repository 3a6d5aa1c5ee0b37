/* How a dispute between two peers ends: the referee's step, proofs of fault, and the one case in which
 * somebody is proven wrong and not retired.
 *
 * The step was computed twice. Whoever's next leaf differs from it is proven wrong, but only when the
 * other's agrees: nobody is convicted on the word of this machine alone. When neither agrees, the two are
 * not set against each other again and another replica is asked for: a dispute with that one finds out.
 *
 * When at least two identities of one engine agree with each other, at least two of another engine with
 * each other, and no replica of either stands on the other side, it is likely that the build is wrong, and ours to
 * mend: none of them is retired, and all show their arithmetic in a new self-test before they get work again. That is
 * done once for each identity, because an engine is a name that anybody can give. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "tasks/base/require.h"
#include "tasks/unit/fault_file.h"

/* All who have this result compute with one engine, which nobody of the others has, and they are two. */
static const char *engine_of(const struct core_unit *u, const struct digest *result)
{
	const char *engine = NULL;
	uint32_t identities = 0;

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		if (!replica_opened(r) || r->peer->row.retired ||
			!digest_equal(&r->row.result, result))
			continue;
		if (engine != NULL && strcmp(engine, r->peer->row.engine) != 0)
			return NULL;
		engine = r->peer->row.engine;
		identities++;
	}
	return identities >= 2 && engine[0] != '\0' ? engine : NULL;
}

/* Results of machines that are not to blame, or not yet. */
static bool engines_split(
	struct core *c, struct core_unit *u, const struct digest *wrong, const struct digest *right)
{
	const char *bad = engine_of(u, wrong);
	const char *good = engine_of(u, right);

	if (bad == NULL || good == NULL || strcmp(bad, good) == 0)
		return false;
	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		if (digest_equal(&r->row.result, wrong) && r->peer->row.faults > 0)
			return false;
	core_log(c,
		"ALARM: on unit %u of round %u of %s all machines with engine %s agree on a wrong "
		"result and all with %s on the right one: they are tested again; report this",
		u->row.index + 1, u->row.round + 1, u->project->row.name, bad, good);
	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		if (r->row.state != REPLICA_REVEALED || !digest_equal(&r->row.result, wrong))
			continue;
		r->peer->row.faults++;
		selftest_void(r->peer);
		replica_reject(c, r, REPLICA_INVALID,
			"wrong, like all of this engine's: its arithmetic is tested again");
	}
	return true;
}

/* A proof whose blobs are more than a file of it holds only names them: may all that one step reads be so much? Then
 * the state stays, as long as those of this run do not fill the disk: identities are cheap. */
static bool state_stays(struct core *c, const struct core_unit *u)
{
	const struct recipe *recipe = &u->project->recipe;
	const struct dispute *d = u->dispute;
	uint64_t shards = recipe->data.train.shards < recipe->train.batch_size
				  ? recipe->data.train.shards
				  : recipe->train.batch_size;

	/* The state, θ, which it holds, and what the slot carries: its moments and the feedback, as long as θ. */
	if (d->state_bytes == 0 ||
		4 * d->state_bytes + shards * SHARD_BYTES <= FAULT_BLOBS_BYTES_MAX ||
		c->states_kept_bytes + d->state_bytes > STATES_KEPT_MAX)
		return false;
	c->states_kept_bytes += d->state_bytes;
	return true;
}

/* The side is wrong, by the referee's step and the other side's. */
static void side_wrong(struct core *c, struct core_unit *u, uint32_t i)
{
	struct dispute *d = u->dispute;
	struct disputant *s = &d->side[i];
	struct digest wrong = s->replica->row.result;
	struct digest right = d->side[1 - i].replica->row.result;
	struct fault_statement what = {.kind = FAULT_STEP,
		.leaves = span_of(s->trace.at, s->trace.total * sizeof(*s->trace.at)),
		.segment = d->segment,
		.steps = span_of(s->steps.at, s->steps.total * sizeof(*s->steps.at)),
		.segment_signature = s->signature,
		.step = d->at};
	char why[TEXT_MAX];

	if (engines_split(c, u, &wrong, &right))
		return;
	snprintf(why, sizeof(why),
		"unit %u of round %u of %s: step %u gives something else than it said (found with "
		"%u messages and one step computed)",
		u->row.index + 1, u->row.round + 1, u->project->row.name, d->step + 1, d->messages);
	d->state_kept = state_stays(c, u);
	fault_prove(c, s->replica, &what, &d->state_blob, why);
}

static int step_digest(const struct core_event *event, const struct core_unit *u,
	struct digest *out, struct errmsg *msg)
{
	struct claim claim;
	int rc;

	*out = event->state;
	if (event->claim.len == 0)
		return TK_OK;
	if (event->claim.len > CLAIM_BYTES_MAX)
		return errmsg_set(msg, TK_ELIMIT, "the recomputed claim is too long");
	rc = claim_decode(&claim, event->claim, msg);
	if (rc == TK_OK && !digest_equal(&claim.unit, &u->digest))
		rc = errmsg_set(msg, TK_ECORRUPT, "the recomputed claim is about another unit");
	if (rc == TK_OK)
		claim_digest(out, event->claim);
	return rc;
}

static void step_judge(struct core *c, struct core_unit *u, const struct digest *is)
{
	struct dispute *d = u->dispute;
	bool agrees[2];

	for (uint32_t i = 0; i < 2; i++)
		agrees[i] = digest_equal(&d->side[i].steps.at[d->at], is);
	if (agrees[0] == agrees[1]) {
		core_log(c,
			"unit %u of round %u of %s: neither of the two has what step %u gives here",
			u->row.index + 1, u->row.round + 1, u->project->row.name, d->step + 1);
		d->side[0].replica->unmatched = d->side[1].replica->unmatched = true;
	} else {
		side_wrong(c, u, agrees[0]);
	}
	dispute_close(c, u);
	unit_touch(c, u);
}

void step_answer(struct core *c, const struct core_event *event)
{
	struct core_project *p = project_find(c, event->project);
	struct core_round *o = p != NULL ? round_find(p, event->round) : NULL;
	struct errmsg msg = {""};
	struct core_unit *u;
	struct digest is;
	int rc = event->code;

	if (c->referees_running > 0)
		c->referees_running--;
	if (o == NULL || event->unit >= p->row.units_per_round)
		return; /* the project ended meanwhile, or the round was discarded */
	u = &o->units[event->unit];
	if (u->dispute == NULL || u->referee != REFEREE_RUNNING || u->dispute->job != event->job)
		return; /* the dispute ended meanwhile */
	if (rc != TK_OK)
		errmsg_set(&msg, rc, "%.255s", event->text != NULL ? event->text : error_text(rc));
	else
		rc = step_digest(event, u, &is, &msg);
	if (rc == TK_OK) {
		step_judge(c, u, &is);
		return;
	}
	u->referee = REFEREE_WAITING;
	agenda_mark(u);
	errmsg_prefix(&msg, rc, "step %u of unit %u of round %u could not be recomputed",
		u->dispute->step + 1, u->row.index + 1, u->row.round + 1);
	project_pause(c, p, msg.text);
}
