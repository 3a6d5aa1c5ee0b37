/* The reference: a whole project in one process, unit → encode → decode → merge, round by round.
 * The grid must give the same model digest. */
#ifndef TASKS_UNIT_TRAIN_H
#define TASKS_UNIT_TRAIN_H

#include "tasks/unit/evaluate.h"
#include "tasks/unit/merge.h"

struct train_round {
	uint32_t round; /* just finished, from 0 */
	uint32_t rounds;
	uint32_t units_skipped;
	float loss; /* mean training loss of its units */
	struct evaluation validation;
};

struct train_watch {
	void *context;
	/* After each step of the units that the calling thread computes, each unit, and each round; non-zero
	 * stops with TK_ECANCELED. Each may be NULL; all are called by the thread that called train_run. */
	int (*step)(void *context, uint32_t round, uint32_t done, uint32_t total);
	int (*unit)(void *context, uint32_t round, uint32_t done, uint32_t total);
	int (*round)(void *context, const struct train_round *round);
};

/* Trains from the recipe's initial parameters: from `initial`, as in train_initial. Gives *parameters
 * (mem_free; model->parameters floats) and *model (the digest) only on success. threads (1 …
 * COMPUTE_THREADS_MAX) are given to units first, then to the operations inside them; no effect on bits.
 * Errors: TK_EDIVERGED, TK_ECANCELED, and those of train_initial, unit_run and evaluate. */
int train_run(const struct recipe *recipe, const struct engine *engine, struct span initial,
	const struct shard_source *shards, uint32_t threads, const struct train_watch *watch,
	float **parameters, struct digest *model, struct errmsg *msg) TK_CHECKED;

/* θ_0. initial is the blob that recipe->initial names; empty when that is zero, and the parameters come
 * from the seed. Gives *parameters (mem_free). Errors: TK_EINVAL, TK_ECORRUPT (not what the recipe
 * names), those of model_init. */
int train_initial(const struct recipe *recipe, struct span initial, float **parameters,
	struct errmsg *msg) TK_CHECKED;

#endif
