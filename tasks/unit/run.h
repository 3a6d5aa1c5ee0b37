/* Computes a work unit: from θ_r on the unit's samples to the compressed update and the state that its
 * slot carries on. A pure function of (recipe, unit, parameters, state, shards): any machine gets the
 * same bytes, also when it stops on the way and goes on from a checkpoint. */
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

/* What a unit starts from; all borrowed until the run ends. */
struct unit_input {
	struct span parameters; /* θ_r as float32 LE */
	struct span state;	/* its slot's (state.h); empty when unit.state is zero */
	struct span checkpoint; /* of run_checkpoint; empty: from the first step */
};

/* Called after each inner step; a non-zero answer stops the run with TK_ECANCELED. During the call, and
 * only then, run_checkpoint may be asked for the run as it stands. */
struct running;
struct run_progress {
	void *context;
	int (*step)(void *context, const struct running *run, uint32_t done, uint32_t total);
};

/* Appends everything that the rest of the run needs. The bytes name their format and the unit's digest
 * and end in their own digest (checkpoint.h). Errors: TK_ENOMEM, TK_ECANCELED (told to stop); out is
 * then as before. */
int run_checkpoint(const struct running *run, struct bytes *out) TK_CHECKED;

struct unit_result {
	struct bytes claim;    /* struct claim, encoded */
	struct bytes payload;  /* payload.h; empty when the outcome has none */
	struct digest *leaves; /* the trace (trace.h): claim.trace is their merkle_root */
	uint32_t leaf_count;
};
void unit_result_close(struct unit_result *r);

/* The shards that the unit reads: indices into recipe->data.train.digests, ascending, without
 * repetition. Gives *shards (mem_free). Takes time for each shard, not for each sample, so that a
 * recipe cannot keep its reader busy. Errors: TK_ENOMEM. */
int unit_shards(const struct recipe *recipe, const struct unit *unit, uint32_t **shards,
	uint32_t *count) TK_CHECKED;

/* How many floats θ has. Errors: TK_EINVAL, TK_ELIMIT, TK_ENOMEM (as model_init). */
int unit_parameters(const struct recipe *recipe, size_t *count, struct errmsg *msg) TK_CHECKED;

/* How many bytes of memory it takes, with one thread, to receive and compute a unit of this recipe and to
 * hand its result on, without the shards; rather too many than too few. UINT64_MAX: there is not even
 * memory to find out. */
uint64_t unit_memory(const struct recipe *recipe);

/* Runs it on c, whose stop is looked at many times in a step, and as often before the first one and after
 * the last. The input is checked against the unit's
 * digests. progress may be NULL. Gives *out only on success.
 * Errors: TK_EUNSUPPORTED (numerics), TK_ECORRUPT (the input is not the unit's; where there is a
 * checkpoint, start anew without it), TK_ECANCELED, TK_ENOMEM, what get returns. */
int unit_run(const struct recipe *recipe, const struct unit *unit, const struct compute *c,
	const struct unit_input *input, const struct shard_source *shards,
	const struct run_progress *progress, struct unit_result *out,
	struct errmsg *msg) TK_CHECKED;

#endif
