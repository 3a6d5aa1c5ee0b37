/* Computes a work unit: H inner steps from θ_r on the unit's samples, then the compressed update.
 * A pure function of (recipe, unit, parameters, shards): any machine gets the same bytes. */
#ifndef TASKS_UNIT_RUN_H
#define TASKS_UNIT_RUN_H

#include "tasks/math/compute.h"
#include "tasks/unit/unit.h"

/* Where shards come from. get gives bytes that have passed shard_check and stay valid until the run
 * ends; shard_cache (shard_cache.h) is the usual one. */
struct shard_source {
	void *context;
	int (*get)(
		void *context, const struct digest *digest, struct span *out, struct errmsg *msg);
};

/* Called after each inner step; a non-zero answer stops the run with TK_ECANCELED. */
struct run_progress {
	void *context;
	int (*step)(void *context, uint32_t done, uint32_t total);
};

struct unit_result {
	struct bytes claim;   /* struct claim, encoded */
	struct bytes payload; /* the packed update; empty when the outcome has none */
};
void unit_result_close(struct unit_result *r);

/* The shards that the unit reads: indices into recipe->data.train.digests, ascending, without
 * repetition. Gives *shards (mem_free). Takes time for each shard, not for each sample, so that a
 * recipe cannot keep its reader busy. Errors: TK_ENOMEM. */
int unit_shards(const struct recipe *recipe, const struct unit *unit, uint32_t **shards,
	uint32_t *count) TK_CHECKED;

/* How many floats θ has. Errors: TK_EINVAL, TK_ELIMIT, TK_ENOMEM (as model_init). */
int unit_parameters(const struct recipe *recipe, size_t *count, struct errmsg *msg) TK_CHECKED;

/* About how many bytes of memory it takes to compute a unit of this recipe and to hand its result on,
 * without the shards; rather too many than too few. UINT64_MAX: there is not even memory to find out. */
uint64_t unit_memory(const struct recipe *recipe);

/* Runs it on c, whose stop is looked at many times in a step. parameters is θ_r as float32 LE bytes (recipe's model->parameters × 4); it is checked
 * against the unit's digest. progress may be NULL. Gives *out only on success.
 * Errors: TK_EUNSUPPORTED (numerics), TK_ECORRUPT, TK_ECANCELED, TK_ENOMEM, what get returns. */
int unit_run(const struct recipe *recipe, const struct unit *unit, const struct compute *c,
	struct span parameters, const struct shard_source *shards,
	const struct run_progress *progress, struct unit_result *out,
	struct errmsg *msg) TK_CHECKED;

/* Checks a claim and payload as far as is possible without computing: sizes, outcome, payload digest,
 * finite scales. What a coordinator does before it stores anything. Errors: TK_ECORRUPT, TK_ELIMIT. */
int result_check(const struct recipe *recipe, const struct claim *claim, struct span payload,
	struct errmsg *msg) TK_CHECKED;

/* Exact bytes of a payload of this recipe. Errors: TK_ELIMIT. */
int payload_size(const struct recipe *recipe, size_t *bytes, struct errmsg *msg) TK_CHECKED;

#endif
