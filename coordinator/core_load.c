/* Rebuilding the core from its rows. The rows were ours, but disks err: what does not fit together
 * is refused with a sentence, not trusted. Rows of ended projects, of rounds that left memory and of those that
 * were discarded are passed over. */
#include "coordinator/core_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

static bool ended(enum project_state state)
{
	return state == PROJECT_DONE || state == PROJECT_FAILED || state == PROJECT_STOPPED;
}

int core_load_project(struct core *c, const struct project_row *row, struct span recipe,
	const struct digest *states, struct errmsg *msg)
{
	struct core_project *p;
	struct round_row next;
	int rc;

	REQUIRE(!c->started);
	if (ended(row->state))
		return TK_OK;
	if (row->state < PROJECT_QUEUED || row->state > PROJECT_PAUSED || row->round > row->rounds)
		return errmsg_set(msg, TK_ECORRUPT,
			"project %s: state %d in round %u of %u can't be; restore the store from a "
			"backup",
			row->name, (int)row->state, row->round, row->rounds);
	if (project_find(c, row->id) != NULL)
		return errmsg_set(msg, TK_ECORRUPT, "two projects have the number %llu",
			(unsigned long long)row->id);
	rc = project_attach(c, row, recipe, &p, msg);
	if (rc != TK_OK)
		return rc == TK_ENOMEM ? rc : TK_ECORRUPT;
	if (row->state == PROJECT_QUEUED)
		return TK_OK; /* its first round is made when it starts */
	next = round_next(p);
	return round_build(c, p, &next, states, &p->now, msg);
}

int core_load_round(struct core *c, const struct round_row *row, const struct digest *states,
	struct errmsg *msg)
{
	struct core_project *p = project_find(c, row->project);
	struct core_round *o;

	REQUIRE(!c->started);
	if (p == NULL || p->now == NULL || row->round > p->row.round ||
		row->round + core_rounds_kept(&p->row) < p->row.round)
		return TK_OK;
	if (row->round < p->row.round && round_find(p, row->round) == NULL)
		return round_build(c, p, row, states, &o, msg);
	if (row->round == p->row.round && row->attempt == p->row.attempt) {
		p->now->row.seeded = row->seeded; /* it was merged before, and taken back */
		p->now->row.started_ms = row->started_ms;
	}
	return TK_OK;
}

int core_load_peer(struct core *c, const struct peer_row *row)
{
	struct core_peer *peer = peer_ensure(c, &row->key);

	if (peer == NULL)
		return TK_ENOMEM;
	peer->row = *row;
	peer->known = true;
	established_note(c, peer);
	if (row->retired)
		revocation_load(c, &row->key);
	return TK_OK;
}

/* The unit that a row of this project, round and index is about; NULL when it is not in
 * progress. */
static int unit_find(struct core *c, uint64_t project, uint32_t round, uint32_t index,
	struct core_unit **out, struct errmsg *msg)
{
	struct core_project *p = project_find(c, project);
	struct core_round *o = p != NULL ? round_find(p, round) : NULL;

	*out = NULL;
	if (p == NULL || p->now == NULL || (round < p->row.round && o == NULL))
		return TK_OK;
	if (o == NULL || index >= p->row.units_per_round)
		return errmsg_set(msg, TK_ECORRUPT,
			"project %s has no unit %u in round %u yet; restore the store from a "
			"backup",
			p->row.name, index, round);
	*out = &o->units[index];
	return TK_OK;
}

static bool claim_sound(const uint8_t *claim, uint32_t bytes, const struct digest *result)
{
	struct digest digest;
	struct claim c;

	if (bytes > CLAIM_BYTES_MAX || claim_decode(&c, span_of(claim, bytes), NULL) != TK_OK)
		return false;
	claim_digest(&digest, span_of(claim, bytes));
	return digest_equal(&digest, result);
}

int core_load_unit(struct core *c, const struct unit_row *row, struct errmsg *msg)
{
	struct core_unit *u;
	int rc = unit_find(c, row->project, row->round, row->index, &u, msg);
	bool refereed = !digest_is_zero(&row->referee);
	bool decided = row->state == UNIT_UPLOADING || row->state == UNIT_SETTLED ||
		       row->state == UNIT_AUDITED;

	if (rc != TK_OK || u == NULL)
		return rc;
	if (row->state < UNIT_UNSENT || row->state > UNIT_AUDITED || row->wanted == 0 ||
		(row->state == UNIT_AUDITED && !policy_adaptive(u->project)) ||
		row->wanted > REPLICAS_DISPUTED ||
		((decided || refereed) && !claim_sound(row->claim, row->claim_bytes,
						  refereed ? &row->referee : &row->result)))
		return errmsg_set(msg, TK_ECORRUPT,
			"unit %u of round %u of %s: its row contradicts itself; restore the store "
			"from a backup",
			row->index + 1, row->round + 1, u->project->row.name);
	u->round->settled += row->state == UNIT_SETTLED;
	u->round->settled -= u->row.state == UNIT_SETTLED;
	u->round->audited += row->state == UNIT_AUDITED;
	u->round->audited -= u->row.state == UNIT_AUDITED;
	u->row = *row;
	u->project->proved_wrong |= !digest_is_zero(&row->merged); /* perhaps */
	return TK_OK; /* what a disputed one waits for, its replicas say (dispute_judge) */
}

static bool replica_sound(const struct replica_row *row)
{
	bool opened = row->state == REPLICA_REVEALED || row->state == REPLICA_UPLOADING ||
		      row->state == REPLICA_VALID;
	bool uncommitted = row->state == REPLICA_LEASED || row->state == REPLICA_EXPIRED ||
			   row->state == REPLICA_ABANDONED;

	if (row->state < REPLICA_LEASED || row->state > REPLICA_LATE)
		return false;
	if (uncommitted != (row->committed_ms == 0))
		return false;
	if (row->claim_bytes == 0)
		return !opened;
	return claim_sound(row->claim, row->claim_bytes, &row->result);
}

int core_load_replica(struct core *c, const struct replica_row *row, struct errmsg *msg)
{
	struct core_peer *peer = peer_find(c, &row->peer);
	struct core_replica *r;
	struct core_unit *u;
	int rc = unit_find(c, row->project, row->round, row->unit, &u, msg);

	if (rc != TK_OK || u == NULL || row->attempt != u->round->row.attempt)
		return rc;
	if (peer == NULL || replica_find(c, &row->nonce) != NULL || !replica_sound(row))
		return errmsg_set(msg, TK_ECORRUPT,
			"a replica of unit %u of round %u of %s: its row contradicts others; "
			"restore "
			"the store from a backup",
			row->unit + 1, row->round + 1, u->project->row.name);
	r = mem_calloc(1, sizeof(*r));
	if (r == NULL)
		return TK_ENOMEM;
	r->row = *row;
	if (replica_attach(c, r, u, peer) != TK_OK) {
		mem_free(r);
		return TK_ENOMEM;
	}
	if (row->state == REPLICA_UPLOADING)
		r->row.state = REPLICA_REVEALED; /* what had arrived is lost */
	u->revealed |= row->claim_bytes > 0;
	lease_known(r);
	if (u->round->row.started_ms == 0 || row->leased_ms < u->round->row.started_ms)
		u->round->row.started_ms = row->leased_ms;
	return TK_OK;
}
