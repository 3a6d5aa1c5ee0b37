/* The coordinator's own computations, run outside the event loop: merging a round, recomputing a disputed
 * unit or one step of it. Each reads blobs, computes, stores the resulting blobs durably and only then answers. */
#ifndef COORDINATOR_JOBS_H
#define COORDINATOR_JOBS_H

#include "coordinator/rows.h"
#include "peer/swarm/blob_store.h"
#include "tasks/model/model.h"
#include "tasks/unit/evaluate.h"
#include "tasks/unit/merge.h"
#include "tasks/unit/selftest.h"
#include "tasks/unit/shard_cache.h"

/* One settled unit's claim. */
struct merge_input {
	uint8_t claim[CLAIM_BYTES_MAX];
	uint32_t claim_bytes;
};

struct merge_output {
	struct digest parameters, outer_state, model;
	struct digest states;	      /* blob: the list (states.h) for the next round; zero: none */
	struct digest *state_digests; /* (W) that list (mem_free), or NULL */
	float loss;
	uint32_t merged;
	struct evaluation validation;
};

/* Merges the project's round (row->round) from its W claims in unit order, and evaluates. Nothing follows
 * the last round, so no states are kept after it. Gives *out only on success.
 * Errors: TK_EDIVERGED, TK_ECORRUPT or TK_ENOENT (a blob), TK_ENOSPC, TK_ENOMEM. */
int job_merge(const struct blob_store *blobs, const struct project_row *row,
	const struct merge_input *inputs, struct merge_output *out, struct errmsg *msg) TK_CHECKED;

/* Recomputes one unit of the project's round, twice (a referee that disagrees with itself decides
 * nothing). Gives *claim (encoded). Errors: TK_ENUMERICS (the two runs differ), as above. */
int job_referee(const struct blob_store *blobs, const struct project_row *row, uint32_t unit,
	struct bytes *claim, struct errmsg *msg) TK_CHECKED;

/* One step of a unit of the project's round, as a dispute narrows it down. All borrowed. */
struct step_request {
	uint32_t unit;
	uint32_t from; /* steps done before it: 0 … H; after H there is packing */
	/* When from > 0: the state after that many steps, the digest on which both sides agree, and the leaves of the
	 * trace up to there (trace_leaves(t, from)), from which a claim's trace follows. */
	struct span before;
	struct digest agreed;
	const struct digest *leaves;
	uint32_t leaf_count;
};

struct step_output {
	struct digest
		after; /* digest of the state after the step, or the result digest when the unit ended */
	struct bytes claim; /* encoded, when the unit ended with this step; else empty */
};
void step_output_close(struct step_output *o);

/* The referee's one step, executed twice. Gives *out only on success. Errors: TK_ECORRUPT (also: the state is
 * not the agreed one, whoever sent it), TK_EINVAL, TK_ENUMERICS (the two runs differ), as above. */
int job_step(const struct blob_store *blobs, const struct project_row *row,
	const struct step_request *request, struct step_output *out, struct errmsg *msg) TK_CHECKED;

/* For jobs: the header of a unit of the project's round; a shard of the recipe, read into a cache. */
int job_unit(const struct blob_store *blobs, const struct project_row *row, uint32_t index,
	struct unit *unit, struct errmsg *msg) TK_CHECKED;
int job_shard(const struct blob_store *blobs, const struct recipe *recipe,
	const struct digest *digest, struct shard_cache *cache, struct errmsg *msg) TK_CHECKED;

/* The project's recipe and its encoded bytes (either may be NULL). */
int job_recipe(const struct blob_store *blobs, const struct digest *digest, struct recipe *recipe,
	struct bytes *encoded, struct errmsg *msg) TK_CHECKED;

/* The project's parameters (mem_free) of the round in progress, or the final ones. */
int job_parameters(const struct blob_store *blobs, const struct project_row *row,
	const struct model *model, float **parameters, struct errmsg *msg) TK_CHECKED;

/* The self-test's right answers to a seed, computed twice. Errors: TK_ENUMERICS (they differ), TK_ENOMEM. */
int job_selftest(
	uint64_t seed, struct digest digests[SELFTEST_OPERATIONS], struct errmsg *msg) TK_CHECKED;

#endif
