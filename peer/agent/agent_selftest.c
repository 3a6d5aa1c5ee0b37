/* The self-test: when the coordinator asks for it, the worker runs it between two units, and the answer is signed.
 * One that cannot be run is said in the log; the coordinator gives no work without it. An answer that is found while the
 * session is away waits for the next one that asks: a slow computer at a full coordinator gets by so. It is said once,
 * since after a wrong one the operations are run again. */
#include "peer/agent/agent_state.h"

#include <stdio.h>
#include <string.h>

#include "tasks/base/version.h"

bool selftest_busy(struct agent *a, struct agent_effects *out)
{
	struct agent_effect *e;

	if (a->selftesting != 0)
		return true;
	if (a->selftest_seed == 0 || !link_is_up(a) || job_computing(a) != NULL ||
		a->replaying.job.stage == JOB_COMPUTING)
		return false;
	e = effect_push(out, AGENT_SELFTEST);
	if (e != NULL)
		e->job = a->selftest_seed;
	a->selftesting = a->selftest_seed;
	return true;
}

static void sign(const struct agent *a, struct message_selftest *m)
{
	uint8_t seed[8];
	const struct span fields[] = {
		span_of(a->id->network.b, KEY_BYTES),
		span_of(seed, sizeof(seed)),
		span_of(m->engine, strlen(m->engine)),
		span_of(m->build, strlen(m->build)),
		m->digests,
	};

	store_le64(seed, m->seed);
	key_sign(&m->signature, &a->id->key, "talkoot selftest", fields, 5);
}

static void answer(struct agent *a, uint64_t seed, struct span digests, struct agent_effects *out)
{
	struct message m = {.type = MESSAGE_SELFTEST};

	m.selftest.seed = seed;
	memcpy(m.selftest.engine, a->engine, sizeof(m.selftest.engine));
	snprintf(m.selftest.build, sizeof(m.selftest.build), "%s", TALKOOT_VERSION);
	m.selftest.digests = digests;
	sign(a, &m.selftest);
	effect_send(out, &m);
}

void selftest_asked(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	uint64_t seed = event->message->selftest_request.seed;

	a->selftest_seed = seed;
	if (seed == a->selftest_kept && a->selftest_answer.len != 0) {
		answer(a, seed, bytes_span(&a->selftest_answer), out);
		a->selftest_seed = 0;
	}
	a->selftest_answer.len = 0;
}

static void keep(struct agent *a, const struct agent_event *event)
{
	a->selftest_kept = event->job;
	a->selftest_answer.len = 0;
	if (bytes_append(&a->selftest_answer, event->bytes.data, event->bytes.len) != TK_OK)
		a->selftest_answer.len = 0; /* it is run again */
}

void selftest_done(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	if (event->job != a->selftesting)
		return;
	a->selftesting = 0;
	if (a->selftest_seed == 0 && event->code == TK_OK)
		keep(a, event);
	if (event->job != a->selftest_seed)
		return; /* another seed was asked for meanwhile: that is begun next */
	a->selftest_seed = 0;
	if (event->code != TK_OK) {
		snprintf(a->trouble, sizeof(a->trouble), "the self-test cannot run: %.200s",
			event->text);
		effect_log(out, "%s", a->trouble);
		return;
	}
	answer(a, event->job, event->bytes, out);
}
