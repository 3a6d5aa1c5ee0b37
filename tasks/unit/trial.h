/* A unit that every computer computes in a moment: a small GPT over bytes, so that most kernels have a part. What it
 * gives follows from the seed alone. */
#ifndef TASKS_UNIT_TRIAL_H
#define TASKS_UNIT_TRIAL_H

#include "tasks/unit/run.h"

struct trial_unit {
	struct bytes recipe, shard, unit, parameters; /* owned */
	struct digest shard_digest;
};

/* Errors: TK_ENOMEM. */
int trial_init(struct trial_unit *t, uint64_t seed, struct errmsg *msg) TK_CHECKED;
void trial_close(struct trial_unit *t);

/* Computes it. Gives *out (unit_result_close) only on success. Errors: those of unit_run. */
int trial_run(const struct trial_unit *t, const struct compute *c, struct unit_result *out,
	struct errmsg *msg) TK_CHECKED;

#endif
