/* The coordinator's own computations, run outside the event loop: merging a round and recomputing a
 * disputed unit. Each reads blobs, computes, stores the resulting blobs durably and only then answers. */
#ifndef COORDINATOR_JOBS_H
#define COORDINATOR_JOBS_H

#include "coordinator/rows.h"
#include "peer/swarm/blob_store.h"
#include "tasks/model/model.h"
#include "tasks/unit/evaluate.h"
#include "tasks/unit/merge.h"

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

/* The project's recipe and its encoded bytes (either may be NULL). */
int job_recipe(const struct blob_store *blobs, const struct digest *digest, struct recipe *recipe,
	struct bytes *encoded, struct errmsg *msg) TK_CHECKED;

/* The project's parameters (mem_free) of the round in progress, or the final ones. */
int job_parameters(const struct blob_store *blobs, const struct project_row *row,
	const struct model *model, float **parameters, struct errmsg *msg) TK_CHECKED;

#endif
