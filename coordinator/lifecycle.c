/* The lives of projects, units and replicas: which moves there are, and what must hold after each.
 * A move outside these tables, or a state whose facts are missing, is a mistake of ours and stops
 * the program (REQUIRE); nothing that a peer, a file or an owner says can lead there. */
#include "coordinator/core_state.h"
#include "tasks/base/require.h"

#define TO(state) (1u << (state))

static const unsigned project_moves[] = {
	[PROJECT_QUEUED] = TO(PROJECT_RUNNING) | TO(PROJECT_FAILED) | TO(PROJECT_STOPPED),
	[PROJECT_RUNNING] =
		TO(PROJECT_PAUSED) | TO(PROJECT_DONE) | TO(PROJECT_FAILED) | TO(PROJECT_STOPPED),
	[PROJECT_PAUSED] = TO(PROJECT_RUNNING) | TO(PROJECT_STOPPED),
	[PROJECT_DONE] = 0,
	[PROJECT_FAILED] = 0,
	[PROJECT_STOPPED] = 0,
};

static const unsigned unit_moves[] = {
	[UNIT_UNSENT] =
		TO(UNIT_IN_PROGRESS) | TO(UNIT_DISPUTED) | TO(UNIT_UPLOADING) | TO(UNIT_SETTLED),
	[UNIT_IN_PROGRESS] =
		TO(UNIT_UNSENT) | TO(UNIT_DISPUTED) | TO(UNIT_UPLOADING) | TO(UNIT_SETTLED),
	[UNIT_DISPUTED] =
		TO(UNIT_SETTLED) | TO(UNIT_UNSENT), /* peers have settled it: one result left */
	[UNIT_UPLOADING] = TO(UNIT_UNSENT) | TO(UNIT_DISPUTED) | TO(UNIT_SETTLED),
	[UNIT_SETTLED] = /* a late dissent, or a quorum that lost a member; a draw */
	TO(UNIT_DISPUTED) | TO(UNIT_AUDITED),
	[UNIT_AUDITED] = TO(UNIT_SETTLED) | TO(UNIT_DISPUTED),
};

static const unsigned replica_moves[] = {
	[REPLICA_LEASED] = TO(REPLICA_COMMITTED) | TO(REPLICA_EXPIRED) | TO(REPLICA_ABANDONED),
	[REPLICA_COMMITTED] = TO(REPLICA_REVEALED) | TO(REPLICA_UNOPENED) | TO(REPLICA_INVALID) |
			      TO(REPLICA_LATE),
	[REPLICA_REVEALED] = TO(REPLICA_UPLOADING) | TO(REPLICA_VALID) | TO(REPLICA_INVALID) |
			     TO(REPLICA_UNOPENED) | TO(REPLICA_LATE),
	[REPLICA_UPLOADING] = TO(REPLICA_REVEALED) | TO(REPLICA_VALID) | TO(REPLICA_INVALID) |
			      TO(REPLICA_UNOPENED) | TO(REPLICA_LATE),
	[REPLICA_VALID] = /* an audit found its whole quorum wrong; others agree without it, who is retired */
	TO(REPLICA_INVALID) | TO(REPLICA_LATE),
	[REPLICA_LATE] = TO(REPLICA_INVALID),
	[REPLICA_UNOPENED] = TO(REPLICA_INVALID),
	[REPLICA_INVALID] = 0,
	[REPLICA_EXPIRED] = TO(REPLICA_COMMITTED), /* late results are judged */
	[REPLICA_ABANDONED] = TO(REPLICA_COMMITTED),
};

void project_move(struct core *c, struct core_project *p, enum project_state to)
{
	REQUIRE(project_moves[p->row.state] & TO(to));
	p->row.state = to;
	REQUIRE(to != PROJECT_DONE || p->row.round == p->row.rounds);
	REQUIRE(to != PROJECT_PAUSED || p->row.reason[0] != '\0');
	project_changed(c, p);
}

void unit_move(struct core *c, struct core_unit *u, enum unit_state to)
{
	bool decided = to == UNIT_UPLOADING || to == UNIT_SETTLED || to == UNIT_AUDITED;

	REQUIRE(unit_moves[u->row.state] & TO(to));
	u->round->settled += to == UNIT_SETTLED;
	u->round->settled -= u->row.state == UNIT_SETTLED;
	u->round->audited += to == UNIT_AUDITED;
	u->round->audited -= u->row.state == UNIT_AUDITED;
	u->row.state = to;
	REQUIRE(!decided || (u->row.claim_bytes > 0 && !digest_is_zero(&u->row.result)));
	REQUIRE(u->uploader == NULL);
	REQUIRE(to != UNIT_SETTLED || u->referee == REFEREE_NONE);
	REQUIRE(to == UNIT_DISPUTED || u->dispute == NULL);
	REQUIRE(u->round->settled + u->round->audited <= u->project->row.units_per_round);
	u->project->proved_wrong |= to == UNIT_SETTLED && u->round != u->project->now &&
				    !digest_equal(&u->row.result, &u->row.merged);
	unit_changed(c, u);
}

void replica_move(struct core *c, struct core_replica *r, enum replica_state to)
{
	const struct replica_row *row = &r->row;
	bool opened = to == REPLICA_REVEALED || to == REPLICA_UPLOADING || to == REPLICA_VALID;
	bool uncommitted = to == REPLICA_EXPIRED || to == REPLICA_ABANDONED;

	REQUIRE(replica_moves[row->state] & TO(to));
	worth_count(c, r->peer, row->state, -1);
	r->row.state = to;
	worth_count(c, r->peer, to, 1);
	REQUIRE(uncommitted == (row->committed_ms == 0));
	REQUIRE(!opened || row->claim_bytes > 0);
	REQUIRE(to != REPLICA_VALID || digest_equal(&row->result, &r->unit->row.result));
	REQUIRE(to != REPLICA_VALID || (!row->late && !r->peer->row.retired));
	REQUIRE(r->unit->uploader != r || to == REPLICA_UPLOADING);
	replica_changed(c, r);
	if (r->unit->row.state == UNIT_SETTLED)
		ledger_unit(c, r->unit);
	unit_touch(c, r->unit);
}
