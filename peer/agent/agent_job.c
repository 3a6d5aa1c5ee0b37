/* Leases: taking one, having it computed, giving it back. A job is a lease without a result. */
#include "peer/agent/agent_state.h"

#include <stdio.h>
#include <string.h>

#include "peer/agent/lease_check.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define JOB_CRASHES_MAX 2u /* a unit that kills the worker twice is given back */
#define JOB_LACKS_MAX	3u

struct job *job_find(struct agent *a, const struct digest *nonce)
{
	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++)
		if (a->jobs[i].id != 0 && digest_equal(&a->jobs[i].nonce, nonce))
			return &a->jobs[i];
	return NULL;
}

uint32_t job_count(const struct agent *a)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++)
		count += a->jobs[i].id != 0;
	return count;
}

/* The oldest job in a stage within [from, to]; NULL: none. */
static struct job *job_oldest(struct agent *a, enum job_stage from, enum job_stage to)
{
	struct job *oldest = NULL;

	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++) {
		struct job *j = &a->jobs[i];

		if (j->id == 0 || j->stage < from || j->stage > to)
			continue;
		if (oldest == NULL || j->id < oldest->id)
			oldest = j;
	}
	return oldest;
}

struct job *prepare_next(struct agent *a)
{
	struct job *replay = &a->replaying.job;

	if (replay->id != 0 && replay->stage < JOB_READY)
		return replay;
	return job_oldest(a, JOB_RECIPE, JOB_SHARDS);
}

struct job *job_computing(struct agent *a)
{
	return job_oldest(a, JOB_COMPUTING, JOB_COMPUTING);
}

void job_save_leases(const struct agent *a, struct agent_effects *out)
{
	static const struct digest unknown;
	struct agent_effect *e = effect_push(out, AGENT_SAVE_LEASES);

	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++) {
		if (a->jobs[i].id == 0)
			continue;
		effect_fill(out, e, a->jobs[i].nonce.b, DIGEST_BYTES);
		effect_fill(out, e, a->jobs[i].unit_digest.b, DIGEST_BYTES);
	}
	for (uint32_t i = 0; i < a->result_count; i++) {
		if (a->results[i].saved)
			continue;
		effect_fill(out, e, a->results[i].record.nonce.b, DIGEST_BYTES);
		effect_fill(out, e, unknown.b, DIGEST_BYTES);
	}
	effect_fill(out, e, a->abandoned, a->abandoned_count * sizeof(a->abandoned[0]));
}

void job_end(struct agent *a, struct job *j, struct agent_effects *out)
{
	if (j->stage == JOB_COMPUTING) {
		struct agent_effect *e = effect_push(out, AGENT_CANCEL);

		if (e != NULL)
			e->job = j->id;
	}
	checkpoint_remove(j, out);
	mem_free(j->shards);
	*j = (struct job){0};
	job_save_leases(a, out);
}

void job_give_back(struct agent *a, const struct digest *nonce, uint64_t now_ms, const char *why,
	struct agent_effects *out)
{
	a->pause_ms = now_ms + AGENT_PAUSE_MS;
	if (link_is_up(a)) {
		effect_abandon(out, nonce, why);
	} else if (a->abandoned_count < AGENT_ABANDONED_MAX) {
		a->abandoned[a->abandoned_count++] = (struct old_lease){.nonce = *nonce};
		job_save_leases(a, out);
	}
}

void job_abandon(
	struct agent *a, struct job *j, uint64_t now_ms, const char *why, struct agent_effects *out)
{
	struct digest nonce = j->nonce;

	if (j == &a->replaying.job) {
		dispute_give_up(a, why, out);
		return;
	}
	effect_log(out, "giving back unit %u of round %u: %s", (unsigned)j->unit.index + 1,
		(unsigned)j->unit.round + 1, why);
	job_end(a, j, out);
	job_give_back(a, &nonce, now_ms, why, out);
}

static struct job *job_free_slot(struct agent *a)
{
	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++)
		if (a->jobs[i].id == 0)
			return &a->jobs[i];
	return NULL;
}

static void job_begin(struct agent *a, struct job *j, const struct message_lease *lease,
	const struct unit *unit, uint32_t unit_count, uint64_t now_ms)
{
	REQUIRE(lease->unit.len <= sizeof(j->encoded));
	*j = (struct job){.id = ++a->next_job,
		.stage = JOB_RECIPE,
		.nonce = lease->nonce,
		.unit = *unit,
		.unit_count = unit_count,
		.encoded_bytes = lease->unit.len,
		.deadline_ms = now_ms + lease->deadline_ms};
	memcpy(j->encoded, lease->unit.data, lease->unit.len);
	unit_digest(&j->unit_digest, lease->unit);
	checkpoint_adopt(a, j);
}

/* A lease that cannot stand: the coordinator, or who speaks for it, is broken. */
static void lease_refuse(struct agent *a, const struct agent_event *event, const char *why,
	struct agent_effects *out)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "refused a lease: %.200s", why);
	link_drop(a, event, GOODBYE_PROTOCOL, text, out);
}

void job_lease(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	const struct message_lease *lease = &event->message->lease;
	struct round_manifest round = {0};
	struct errmsg msg = {{0}};
	struct unit unit = {0};
	struct job *j = job_free_slot(a);
	int rc = lease->unit.len <= UNIT_BYTES_MAX
			 ? lease_check(lease, &a->id->network, &unit, &round, &msg)
			 : errmsg_set(&msg, TK_ELIMIT, "the unit is too long");

	if (rc != TK_OK && rc != TK_EUNSUPPORTED) {
		lease_refuse(a, event, msg.text, out);
		return;
	}
	if (job_find(a, &lease->nonce) != NULL || result_find(a, &lease->nonce) != NULL)
		return; /* said twice */
	link_proved(a);
	a->full_ms = 0;
	if (a->told > 0)
		a->told--;
	if (rc == TK_EUNSUPPORTED) {
		snprintf(a->trouble, sizeof(a->trouble), "%.250s", msg.text);
		effect_log(out, "gave a lease back: %.220s", msg.text);
		job_give_back(a, &lease->nonce, event->now_ms, a->trouble, out);
		return;
	}
	if (j == NULL) {
		effect_abandon(out, &lease->nonce, "more leases than were asked for");
		return;
	}
	a->trouble[0] = '\0';
	job_begin(a, j, lease, &unit, round.unit_count, event->now_ms);
	effect_log(out, "lease: unit %u of round %u", (unsigned)unit.index + 1,
		(unsigned)unit.round + 1);
	job_save_leases(a, out);
}

static void compute(struct job *j, uint64_t now_ms, struct agent_effects *out)
{
	struct agent_effect *e = effect_compute(out, AGENT_COMPUTE, j);

	j->done = j->total = 0;
	checkpoint_begin(j, now_ms);
	if (e == NULL)
		return;
	e->digest = j->unit_digest;
	e->resume = j->resumed;
}

void job_advance(struct agent *a, uint64_t now_ms, struct agent_effects *out)
{
	struct job *j;

	if (a->link_state == LINK_RETIRED)
		return;
	/* A job that is found to be impossible frees its slot, and the next one has its turn. */
	for (j = prepare_next(a); j != NULL; j = prepare_next(a)) {
		uint64_t id = j->id;

		prepare_job(a, j, now_ms, out);
		if (j->id == id && j->stage != JOB_READY)
			break; /* it waits for a blob */
	}
	if (selftest_busy(a, out) || dispute_busy(a, now_ms, out))
		return;
	j = job_oldest(a, JOB_READY, JOB_READY);
	if (j != NULL && job_computing(a) == NULL && now_ms >= a->rest_ms)
		compute(j, now_ms, out);
}

void job_tick(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++) {
		struct job *j = &a->jobs[i];

		if (j->id != 0 && j->stage < JOB_COMPUTING && event->now_ms >= j->deadline_ms)
			job_abandon(a, j, event->now_ms,
				"its deadline passed before it could be computed", out);
	}
}

void worker_failed(struct agent *a, uint64_t now_ms, struct agent_effects *out)
{
	uint64_t rest_ms = AGENT_REST_MIN_MS;

	if (++a->failures < AGENT_CRASHES_MAX)
		return;
	for (uint32_t i = AGENT_CRASHES_MAX; i < a->failures && rest_ms < AGENT_REST_MAX_MS; i++)
		rest_ms *= 2;
	if (rest_ms > AGENT_REST_MAX_MS)
		rest_ms = AGENT_REST_MAX_MS;
	a->rest_ms = now_ms + rest_ms;
	effect_log(out, "the worker failed %u times in a row; it rests for %.0f s",
		(unsigned)a->failures, (double)rest_ms / 1000);
}

static void worker_gone(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct job *j = job_computing(a);
	char why[TEXT_MAX];

	if (j == NULL)
		return; /* it had nothing to do; the next computation starts another */
	effect_log(out, "the worker process died: %s", event->text);
	worker_failed(a, event->now_ms, out);
	j->stage = JOB_READY;
	if (++j->crashes < JOB_CRASHES_MAX)
		return;
	snprintf(why, sizeof(why), "the worker process died twice on it: %.200s", event->text);
	job_abandon(a, j, event->now_ms, why, out);
}

static void worker_lacks(
	struct agent *a, struct job *j, const struct agent_event *event, struct agent_effects *out)
{
	j->stage = JOB_RECIPE;
	j->shards_found = 0;
	if (++j->lacks > JOB_LACKS_MAX)
		job_abandon(a, j, event->now_ms, "its data does not stay whole on this disk", out);
}

void job_worker(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct job *j = job_computing(a);

	if (event->type == AGENT_WORKER_GONE)
		a->selftesting = 0; /* it is begun again */
	if (dispute_worker(a, event, out))
		return;
	if (event->type == AGENT_WORKER_GONE) {
		worker_gone(a, event, out);
		return;
	}
	if (event->type == AGENT_WORKER_FAILED && event->job == a->selftesting)
		selftest_done(a, event, out);
	if (j == NULL || j->id != event->job ||
		(event->type == AGENT_WORKER_FAILED && event->code == TK_ECANCELED))
		return; /* about a job, or a run of it, that was cancelled */
	switch (event->type) {
	case AGENT_WORKER_PROGRESS:
		j->done = event->done;
		j->total = event->total;
		checkpoint_progress(j, event, out);
		break;
	case AGENT_WORKER_CHECKPOINT:
		checkpoint_save(j, event, out);
		dispute_saved(a, j, out);
		break;
	case AGENT_WORKER_DONE:
		result_computed(a, j, event, out);
		break;
	case AGENT_WORKER_LACKS:
		worker_lacks(a, j, event, out);
		break;
	default:
		j->stage = JOB_READY; /* the worker has stopped: nothing to cancel */
		if (checkpoint_refused(j, event, out))
			break;
		worker_failed(a, event->now_ms, out);
		job_abandon(a, j, event->now_ms, event->text, out);
		break;
	}
}
