/* See checked.h. */
#include "coordinator/checked.h"

#include <inttypes.h>
#include <stdio.h>

#include "coordinator/audit_run.h"

double project_wrong_bound(const struct project_row *row)
{
	uint64_t merged = (uint64_t)row->round * row->units_per_round;

	return row->policy == VERIFY_FULL ? 0 : audit_bound(merged, row->drawn, row->drawn_wrong);
}

/* What became of merged units that proved wrong. */
static void say_fraud(const struct project_row *row, char *out, size_t size)
{
	int n = 0;

	if (row->rollbacks != 0)
		n = snprintf(out, size,
			"; %" PRIu32 " rollbacks took %" PRIu64 " merges back, the last: %s",
			row->rollbacks, row->discarded, row->rollback_why);
	if (row->on_fraud == FRAUD_CONTINUE && row->wrong_standing != 0)
		snprintf(out + n, size - (size_t)n,
			"; %" PRIu64
			" merged units PROVED WRONG AND STAND (on_fraud: continue): this "
			"is not what talkoot train gives",
			row->wrong_standing);
	else if (row->on_fraud == FRAUD_CONTINUE)
		snprintf(out + n, size - (size_t)n,
			"; on_fraud: continue, so nothing promises that this is what talkoot train "
			"gives");
}

void project_checked(const struct project_row *row, char out[CHECKED_MAX])
{
	uint64_t merged = (uint64_t)row->round * row->units_per_round;
	int n;

	if (row->policy == VERIFY_FULL) {
		snprintf(out, CHECKED_MAX, "policy full: every unit compared, quorum %" PRIu32,
			row->quorum);
		return;
	}
	n = snprintf(out, CHECKED_MAX,
		"policy adaptive: %" PRIu64 " of %" PRIu64
		" merged units computed more than once; ",
		row->recomputed, merged);
	if (row->drawn == 0)
		n += snprintf(out + n, CHECKED_MAX - (size_t)n,
			"the floor of %.3g %% has drawn none, so nothing bounds how many are wrong",
			100 * row->audit_floor);
	else
		n += snprintf(out + n, CHECKED_MAX - (size_t)n,
			"the floor of %.3g %% drew %" PRIu64 ", of which %" PRIu64
			" were wrong at first and are right now: with 95 %% confidence at most "
			"%.3g %% of the others are wrong",
			100 * row->audit_floor, row->drawn, row->drawn_wrong,
			100 * project_wrong_bound(row));
	say_fraud(row, out + n, CHECKED_MAX - (size_t)n);
}
