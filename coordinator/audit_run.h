/* Recomputes what a verified ledger says: units drawn from its own head, or all of them and every merge,
 * bit for bit, from the data alone. What is at hand besides (parameters, states, payloads as blobs) saves
 * work; what is gone is computed again. */
#ifndef COORDINATOR_AUDIT_RUN_H
#define COORDINATOR_AUDIT_RUN_H

#include "coordinator/audit.h"
#include "coordinator/ledger_file.h"
#include "peer/swarm/blob_store.h"
#include "tasks/math/compute.h"
#include "tasks/unit/shard_cache.h"

/* Takes all entries of a file that ledger_file_check has passed. Gives *a (audit_close) only on success.
 * see may be NULL. Errors: those of audit_take and of reading. */
int audit_load(struct audit *a, FILE *file,
	void (*see)(void *context, uint32_t round, uint64_t sequence), void *context,
	struct errmsg *msg) TK_CHECKED;

/* What recomputation reads, and how much of everything there was. */
struct audit_data {
	const struct blob_store *blobs; /* NULL: none */
	struct shard_cache *shards;	/* what is prepared already; grows */
	struct bytes
		initial; /* θ_0 where the recipe names a file and no blob has it; may be empty */
};

struct audit_watch {
	void *context;
	void (*unit)(void *context, uint32_t round, uint64_t done, uint64_t total);
	/* One that is not what the ledger says. field: "payload", "loss", … */
	void (*wrong)(void *context, uint32_t round, uint32_t index, const char *field);
};

struct audit_result {
	uint64_t chosen, recomputed, wrong; /* units that were to be recomputed */
	uint64_t merges;		    /* repeated, and right */
	uint64_t payloads_found;	    /* of units that only had to be merged */
	uint64_t payloads_gone;		    /* … that had to be computed again for it */
	bool model; /* θ was followed from its beginning to the last merge */
};

/* count: units to recompute; UINT64_MAX: all, and all merges. file and a belong together. Stops at the
 * first round that has a wrong unit or merge; says so in result->wrong, or TK_ECORRUPT with a sentence for
 * a merge. Errors: TK_ENOENT (data that is needed is nowhere), those of unit_run and merges, TK_ENOMEM. */
int audit_run(const struct audit *a, FILE *file, const struct digest *head, uint64_t count,
	const struct audit_data *data, const struct compute *compute,
	const struct audit_watch *watch, struct audit_result *result,
	struct errmsg *msg) TK_CHECKED;

/* The 95 % bound on the share of wrong units, when `wrong` of n drawn and recomputed ones were wrong: the share
 * at which so few would be seen once in twenty times (Clopper and Pearson's, one-sided). Drawn from
 * `settled`; when all were, what was seen is what there is. */
double audit_bound(uint64_t settled, uint64_t n, uint64_t wrong);

#endif
