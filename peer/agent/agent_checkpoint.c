/* Checkpoints: how far a unit has come, so that a run that ends early is not lost.
 *
 * The worker is asked now and then; what it answers lies on disk under the unit's digest, until the job
 * ends. So it serves whatever ended the computation: a crash of the worker, or of this process, after which
 * the coordinator repeats the leases that still stand. Its bytes are checked by whoever computes. */
#include "peer/agent/agent_state.h"

#include <string.h>

int agent_load_checkpoint(struct agent *a, const struct digest *unit)
{
	if (a->checkpoint_count == AGENT_JOBS_MAX)
		return TK_ELIMIT;
	a->checkpoints[a->checkpoint_count++] = *unit;
	return TK_OK;
}

void agent_checkpoint_every(struct agent *a, uint64_t ms)
{
	a->checkpoint_ms = ms;
}

void checkpoint_adopt(struct agent *a, struct job *j)
{
	for (uint32_t i = 0; i < a->checkpoint_count; i++) {
		if (!digest_equal(&a->checkpoints[i], &j->unit_digest))
			continue;
		a->checkpoints[i] = a->checkpoints[--a->checkpoint_count];
		j->has_checkpoint = true;
		return;
	}
}

void checkpoint_begin(struct job *j, uint64_t now_ms)
{
	j->resumed = j->has_checkpoint;
	j->going = false;
	j->asked_ms = now_ms;
}

void checkpoint_progress(struct job *j, const struct agent_event *event, struct agent_effects *out)
{
	if (j->resumed && !j->going)
		effect_log(out, "unit %u of round %u goes on from its checkpoint: step %u of %u",
			(unsigned)j->unit.index + 1, (unsigned)j->unit.round + 1,
			(unsigned)event->done, (unsigned)event->total);
	j->going = true;
}

void checkpoint_save(struct job *j, const struct agent_event *event, struct agent_effects *out)
{
	struct agent_effect *e = effect_push(out, AGENT_SAVE_CHECKPOINT);

	if (e == NULL)
		return;
	e->digest = j->unit_digest;
	effect_fill(out, e, event->bytes.data, event->bytes.len);
	j->has_checkpoint = true;
}

void checkpoint_remove(struct job *j, struct agent_effects *out)
{
	struct agent_effect *e;

	if (!j->has_checkpoint)
		return;
	j->has_checkpoint = false;
	e = effect_push(out, AGENT_REMOVE_CHECKPOINT);
	if (e != NULL)
		e->digest = j->unit_digest;
}

bool checkpoint_refused(struct job *j, const struct agent_event *event, struct agent_effects *out)
{
	if (!j->resumed || j->going || event->code != TK_ECORRUPT)
		return false;
	effect_log(out, "unit %u of round %u begins anew: %.180s", (unsigned)j->unit.index + 1,
		(unsigned)j->unit.round + 1, event->text);
	checkpoint_remove(j, out);
	return true;
}

void checkpoint_ask(struct agent *a, uint64_t now_ms, struct agent_effects *out)
{
	struct job *j = job_computing(a);
	struct agent_effect *e;

	if (j == NULL)
		return;
	j->asked_ms = now_ms;
	e = effect_push(out, AGENT_ASK_CHECKPOINT);
	if (e != NULL)
		e->job = j->id;
}

/* What an earlier run left of units that nobody leases to us any more. */
static void remove_old(struct agent *a, struct agent_effects *out)
{
	while (a->checkpoint_count > 0) {
		struct agent_effect *e = effect_push(out, AGENT_REMOVE_CHECKPOINT);

		if (e == NULL)
			return;
		e->digest = a->checkpoints[--a->checkpoint_count];
	}
}

void checkpoint_tick(struct agent *a, uint64_t now_ms, struct agent_effects *out)
{
	const struct job *j = job_computing(a);

	if (j != NULL && now_ms >= j->asked_ms + a->checkpoint_ms)
		checkpoint_ask(a, now_ms, out);
	if (a->checkpoint_count > 0 && now_ms >= a->checkpoints_end_ms)
		remove_old(a, out);
}
