/* Recomputes a part of a unit: from its start or from the state after some of its steps, for as many steps
 * as are asked for. What a peer does who is asked for a segment, a referee who is handed one state, and
 * anybody who checks a proof of fault. A pure function of (recipe, unit, parameters, slot's state, shards,
 * pre-state), with the same bits on every engine; NUMERICS.md, "Trace", is the specification.
 *
 * A pre-state is hostile: it is taken when it has the one length that the recipe gives it and every NaN in
 * it is 7fc00000, so that each state has exactly one blob; numbers may be anything else. */
#ifndef TASKS_UNIT_REPLAY_H
#define TASKS_UNIT_REPLAY_H

#include "tasks/unit/run.h"
#include "tasks/unit/trace.h"

/* From `from` steps on to `to`. All spans are borrowed until the call returns. */
struct replay_input {
	struct span parameters; /* θ_r, where replay_needs says so; else empty */
	struct span slot;	/* what the unit's slot carries, likewise */
	struct span
		before; /* the state after `from` steps, as trace.h describes it; empty when 0 */
	uint32_t from;	/* 0: from the unit's start */
	uint32_t first; /* from … to − 1: step leaves begin after so many steps (trace.h) */
	uint32_t to;	/* 1 … H, or REPLAY_END */
	uint32_t keep;	/* give the state after so many steps, from + 1 … min(to, H); 0: none */
	/* When from > 0, the trace's leaves up to there: trace_leaves(t, from). Only what is there from leaf 1 on
	 * is believed; it reaches the claim's trace root and nothing else. */
	const struct digest *leaves;
	uint32_t leaf_count;
};
#define REPLAY_END UINT32_MAX

struct replay {
	uint32_t first; /* as asked for */
	uint32_t count; /* of step leaves */
	struct digest
		*leaves; /* that after first + 1 steps, …; when ended, at last the result digest */
	bool ended;	 /* all steps are done and packed, or a loss was not finite */
	struct unit_result result; /* when ended */
	struct bytes kept;	   /* the state asked for; empty when the unit ended before */
};
void replay_close(struct replay *r);

/* What such a replay has to be given, and which shards it reads: as unit_shards. */
struct replay_needs {
	bool parameters, slot;
	uint32_t *shards; /* (mem_free) indices into recipe->data.train.digests, ascending */
	uint32_t count;
};
/* Errors: TK_ENOMEM. */
int replay_needs(struct replay_needs *out, const struct recipe *recipe, const struct unit *unit,
	uint32_t from, uint32_t to) TK_CHECKED;

/* Runs it on c. A unit whose loss at some step is not finite ends there, with a claim that says so, whatever
 * `to` asks for. Gives *out (replay_close) only on success.
 * Errors: TK_EINVAL (from, first, to, keep, leaves), TK_EUNSUPPORTED, TK_ECORRUPT (the input is not the
 * unit's, or the pre-state no state), TK_ECANCELED, TK_ENOMEM, what the source's get returns. */
int unit_replay(const struct recipe *recipe, const struct unit *unit, const struct compute *c,
	const struct replay_input *input, const struct shard_source *shards, struct replay *out,
	struct errmsg *msg) TK_CHECKED;

/* Exact bytes of a state after 1 … H steps. Errors: TK_EINVAL (steps), as unit_parameters. */
int replay_state_bytes(const struct recipe *recipe, uint32_t steps, uint64_t *bytes,
	struct errmsg *msg) TK_CHECKED;

/* The digest, by trace.h's rule, of a blob that is the state after `steps` steps; nothing is computed.
 * Errors: TK_ECORRUPT (it is no such state's: its length, a NaN that is not 7fc00000), those above. */
int replay_state_digest(const struct recipe *recipe, uint32_t steps, struct span blob,
	struct digest *out, struct errmsg *msg) TK_CHECKED;

#endif
