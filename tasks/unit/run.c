/* See run.h. DESIGN's two modes; NUMERICS.md, "Training step", is their specification.
 * Time: H steps of the model; space: unit_memory. */
#include "tasks/unit/run.h"

#include "tasks/base/mem.h"
#include "tasks/unit/checkpoint.h"

void unit_result_close(struct unit_result *r)
{
	bytes_close(&r->claim);
	bytes_close(&r->payload);
	mem_free(r->leaves);
	*r = (struct unit_result){0};
}

/* After a step: its leaf, then what others want to know. */
static int step_done(struct running *run, const struct run_progress *progress, struct errmsg *msg)
{
	const struct train_spec *t = &run->recipe->train;

	if (trace_due(t, run->done))
		running_digest_state(run, &run->leaves[trace_leaves(t, run->done) - 1]);
	if (compute_stopped(run->compute) ||
		(progress != NULL &&
			progress->step(progress->context, run, run->done, t->inner_steps) != 0))
		return errmsg_set(msg, TK_ECANCELED, "stopped on request");
	return TK_OK;
}

/* All steps, or up to the first one whose loss is not finite. */
static int train_steps(struct running *run, const struct run_progress *progress, struct errmsg *msg)
{
	while (run->done < run->recipe->train.inner_steps) {
		int rc = running_step(run, msg);

		if (rc == TK_EDIVERGED)
			return TK_OK;
		if (rc == TK_OK)
			rc = step_done(run, progress, msg);
		if (rc != TK_OK)
			return rc;
	}
	return TK_OK;
}

int unit_run(const struct recipe *recipe, const struct unit *unit, const struct compute *c,
	const struct unit_input *input, const struct shard_source *shards,
	const struct run_progress *progress, struct unit_result *out, struct errmsg *msg)
{
	struct running run = {.recipe = recipe, .unit = unit, .compute = c};
	struct unit_result result = {0};
	int rc = running_open(&run, shards, msg);

	if (rc == TK_OK)
		rc = running_begin(&run, input, msg);
	if (rc == TK_OK && input->checkpoint.len > 0)
		rc = checkpoint_resume(&run, input->checkpoint, msg);
	if (rc == TK_OK)
		rc = train_steps(&run, progress, msg);
	if (rc == TK_OK) {
		rc = running_conclude(&run, &result);
		if (rc != TK_OK)
			errmsg_set(msg, rc, "not enough memory for the result");
	}
	/* What was computed since is undefined, also what looked like an error. */
	if (compute_stopped(c))
		rc = errmsg_set(msg, TK_ECANCELED, "stopped on request");
	if (rc == TK_OK)
		*out = result;
	else
		unit_result_close(&result);
	running_close(&run);
	return rc;
}
