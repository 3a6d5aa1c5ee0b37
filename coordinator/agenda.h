/* Which units of a round want attention: whose lease they wait for, and when the clock has to look at them. Follows from
 * rows and replicas alone. Whoever changes a unit marks it, and it is looked at again before anybody asks, so that a lease,
 * a tick or the referee looks at what waits and not at the round. Private to coordinator/. */
#ifndef COORDINATOR_AGENDA_H
#define COORDINATOR_AGENDA_H

#include "tasks/base/bytes.h"

struct core_unit;

#define REPEATS_PER_UNIT 2u /* newcomers that may repeat it */

enum agenda_set {
	AGENDA_URGENT,	/* want a replica: disputed or audited, … */
	AGENDA_BEGUN,	/* … begun by somebody, … */
	AGENDA_FRESH,	/* … begun by nobody */
	AGENDA_OUT,	/* all that is wanted is leased; newest_ms says since when */
	AGENDA_REPEAT,	/* settled, and may have one newcomer more */
	AGENDA_ALONE,	/* wait for somebody else for some time: core_unit.alone_ms */
	AGENDA_REFEREE, /* wait for the referee */
	AGENDA_SETS,
};

struct agenda {
	uint32_t count;		     /* units */
	uint32_t in[AGENDA_SETS];    /* units in each */
	uint64_t *bits[AGENDA_SETS]; /* (count), 64 a word; the first owns all arrays */
	uint64_t *due_ms;    /* (count): a tick before changes nothing; UINT64_MAX: none does */
	uint64_t *newest_ms; /* (count): when the last of the leases that are open was given */
	uint32_t repeats;    /* newcomers' leases of settled units */
	struct core_unit *marked;
};

int agenda_init(struct agenda *a, uint32_t count) TK_CHECKED; /* all empty; TK_ENOMEM */
void agenda_close(struct agenda *a);
/* Something about the unit changed, or will before the next agenda_update. */
void agenda_mark(struct core_unit *u);
void agenda_update(struct agenda *a);
/* The first unit from `from` on that is in the set, and in the other one, too (AGENDA_SETS: any); count when none is. */
uint32_t agenda_next(
	const struct agenda *a, enum agenda_set set, enum agenda_set other, uint32_t from);

#endif
