/* Teams, for status: what a team has is what its members have, as each of them says it now. A team is the volunteer's own
 * word, so it proves nothing and nothing is decided by it. */
#ifndef COORDINATOR_STATUS_TEAMS_H
#define COORDINATOR_STATUS_TEAMS_H

#include "coordinator/store.h"

#define STATUS_TEAMS_MAX 20u /* so many are shown */

struct status_team {
	char name[TEAM_MAX];
	uint64_t members;      /* identities */
	uint64_t units;	       /* results of theirs that were accepted */
	uint64_t credit_flops; /* ≤ INT64_MAX: JSON has no larger integers */
};

/* A growing list; begins as all zero. */
struct status_teams {
	struct status_team *items;
	size_t count, capacity;
};
void status_teams_close(struct status_teams *all);

/* Counts a peer for its team, if it has one. Errors: TK_ENOMEM. */
int status_teams_add(struct status_teams *all, const struct peer_row *peer) TK_CHECKED;

/* After the last peer: one item for each team, the most credit first, equal ones by name. */
void status_teams_rank(struct status_teams *all);

/* All of a store's, ranked. Close it also after an error. Errors: TK_ENOMEM and those of the store. */
int status_teams_load(struct status_teams *all, struct store *s, struct errmsg *msg) TK_CHECKED;

#endif
