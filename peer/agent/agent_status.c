/* The one sentence: what the agent is doing, and why it is not doing more. */
#include "peer/agent/agent_state.h"

#include <stdio.h>
#include <string.h>

#include "tasks/base/require.h"

const char *agent_state_name(enum agent_state state)
{
	switch (state) {
	case AGENT_WAITING:
		return "waiting";
	case AGENT_CONNECTING:
		return "connecting";
	case AGENT_IDLE:
		return "idle";
	case AGENT_FETCHING:
		return "fetching";
	case AGENT_COMPUTING:
		return "computing";
	case AGENT_RESTING:
		return "resting";
	case AGENT_RETIRED:
		return "retired";
	}
	return "unknown";
}

static const struct job *job_in(const struct agent *a, enum job_stage from, enum job_stage to)
{
	const struct job *found = NULL;

	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++) {
		const struct job *j = &a->jobs[i];

		if (j->id != 0 && j->stage >= from && j->stage <= to &&
			(found == NULL || j->id < found->id))
			found = j;
	}
	return found;
}

static uint64_t seconds_until(uint64_t at_ms, uint64_t now_ms)
{
	return at_ms > now_ms ? (at_ms - now_ms + 999) / 1000 : 0;
}

/* Another's result of a unit differs, and what is in question is computed again. */
static bool replays(const struct agent *a)
{
	return a->replaying.job.stage == JOB_COMPUTING;
}

static enum agent_state state_of(const struct agent *a, uint64_t now_ms)
{
	if (a->link_state == LINK_RETIRED)
		return AGENT_RETIRED;
	if (job_in(a, JOB_COMPUTING, JOB_COMPUTING) != NULL || replays(a))
		return AGENT_COMPUTING;
	if (now_ms < a->rest_ms)
		return AGENT_RESTING;
	if (a->link_state == LINK_DOWN)
		return AGENT_WAITING;
	if (a->link_state == LINK_DIALLING)
		return AGENT_CONNECTING;
	return job_in(a, JOB_RECIPE, JOB_READY) != NULL ? AGENT_FETCHING : AGENT_IDLE;
}

/* Connected and without a lease: why? */
static void idle_reason(const struct agent *a, uint64_t now_ms, char *out, size_t size)
{
	if (now_ms < a->pause_ms)
		snprintf(out, size, "connected; gave a lease back and asks again in %llu s%s%s",
			(unsigned long long)seconds_until(a->pause_ms, now_ms),
			a->trouble[0] != '\0' ? ": " : "", a->trouble);
	else if (a->result_count + AGENT_JOBS_MAX > AGENT_RESULTS_MAX)
		snprintf(out, size, "connected; takes no work while %u results wait to be settled",
			(unsigned)a->result_count);
	else if (a->trouble[0] != '\0')
		snprintf(out, size, "connected, no work: %s", a->trouble);
	else
		snprintf(out, size, "connected, asked for work");
}

static void computing_reason(const struct agent *a, struct agent_status *s)
{
	const char *away = a->full ? " (not connected, as the coordinator is full; the result is "
				     "brought there when it is done)"
				   : " (not connected; the result is kept until the coordinator is "
				     "back)";

	if (replays(a)) {
		snprintf(s->reason, sizeof(s->reason),
			"computing a part of unit %u of round %u of %s again: another peer's "
			"result differs",
			(unsigned)s->unit, (unsigned)s->round, s->project);
		return;
	}
	snprintf(s->reason, sizeof(s->reason), "computing unit %u of round %u of %s, %u %%%s",
		(unsigned)s->unit, (unsigned)s->round, s->project, (unsigned)s->percent,
		link_is_up(a) ? "" : away);
}

static void waiting_reason(const struct agent *a, uint64_t now_ms, struct agent_status *s)
{
	unsigned long long seconds = seconds_until(a->at_ms, now_ms);

	if (a->full)
		patience_explain(a, now_ms, s->reason, sizeof(s->reason));
	else if (s->host[0] != '\0')
		snprintf(s->reason, sizeof(s->reason),
			"in the network by %s; the coordinator is away, looking for it again in "
			"%llu s",
			s->host, seconds);
	else if (strstr(a->trouble, s->coordinator) != NULL) /* it says itself where */
		snprintf(s->reason, sizeof(s->reason), "%s; trying again in %llu s", a->trouble,
			seconds);
	else
		snprintf(s->reason, sizeof(s->reason),
			"cannot reach %s: %s; trying again in %llu s", s->coordinator,
			a->trouble[0] != '\0' ? a->trouble : "not tried yet", seconds);
}

static void connecting_reason(const struct agent *a, struct agent_status *s)
{
	if (s->host[0] != '\0')
		snprintf(s->reason, sizeof(s->reason),
			"in the network by %s; the coordinator is %s, looking for it at %s",
			s->host, a->was_full ? "full" : "away", s->coordinator);
	else
		snprintf(s->reason, sizeof(s->reason), "connecting to %s%s%s", s->coordinator,
			a->trouble[0] != '\0' ? "; before: " : "", a->trouble);
}

/* What the oldest lease that is not computed waits for. */
static const char *fetched(const struct agent *a)
{
	const struct job *j = job_in(a, JOB_RECIPE, JOB_READY);

	switch (j != NULL ? j->stage : JOB_READY) {
	case JOB_RECIPE:
		return "the recipe";
	case JOB_PARAMETERS:
		return "the parameters";
	case JOB_STATE:
		return "the optimizer's state";
	case JOB_SHARDS:
		return "the data";
	default:
		return "all";
	}
}

static void reason(const struct agent *a, uint64_t now_ms, struct agent_status *s)
{
	switch (s->state) {
	case AGENT_WAITING:
		waiting_reason(a, now_ms, s);
		break;
	case AGENT_CONNECTING:
		connecting_reason(a, s);
		break;
	case AGENT_IDLE:
		idle_reason(a, now_ms, s->reason, sizeof(s->reason));
		break;
	case AGENT_FETCHING:
		snprintf(s->reason, sizeof(s->reason), "fetching %s that unit %u of round %u needs",
			fetched(a), (unsigned)s->unit, (unsigned)s->round);
		break;
	case AGENT_COMPUTING:
		computing_reason(a, s);
		break;
	case AGENT_RESTING:
		snprintf(s->reason, sizeof(s->reason),
			"the worker failed %u times in a row; it is tried again in %llu s",
			(unsigned)a->failures,
			(unsigned long long)seconds_until(a->rest_ms, now_ms));
		break;
	case AGENT_RETIRED:
		snprintf(s->reason, sizeof(s->reason),
			"the network gives this identity no more work: %s", a->trouble);
		break;
	}
}

void agent_status(const struct agent *a, uint64_t now_ms, struct agent_status *out)
{
	const struct job *j = job_in(a, JOB_COMPUTING, JOB_COMPUTING);

	*out = (struct agent_status){.state = state_of(a, now_ms),
		.connected = link_is_up(a),
		.leases = job_count(a),
		.pending = a->result_count,
		.totals = a->totals};
	REQUIRE(a->host < a->link->host_count);
	snprintf(out->coordinator, sizeof(out->coordinator), "%s", a->link->hosts[a->host]);
	if (a->entered)
		snprintf(out->host, sizeof(out->host), "%s", a->link->hosts[a->entry]);
	if (replays(a))
		j = &a->replaying.job;
	if (j == NULL)
		j = job_in(a, JOB_RECIPE, JOB_READY);
	if (j != NULL) {
		snprintf(out->project, sizeof(out->project), "%s", j->project);
		out->round = j->unit.round + 1;
		out->unit = j->unit.index + 1;
		out->percent = j->total != 0 ? (uint32_t)((uint64_t)j->done * 100 / j->total) : 0;
	}
	reason(a, now_ms, out);
}
