/* doctor_worker (doctor.h): the engine that was asked for, and a worker process, as an agent starts it, with a unit
 * whose result is known and with the self-test that the network asks for. */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "peer/agent/doctor.h"
#include "peer/agent/misbehave_unit.h"
#include "peer/agent/worker_trial.h"
#include "peer/agent/worker_uv.h"
#include "tasks/math/engine.h"
#include "tasks/unit/selftest.h"

#define WORKER_MS 60000u /* a processor without fused multiply-adds takes its time */
#define SEEDS	  3u	 /* fresh ones, so that who runs it often tries much */

struct trial {
	struct doctor *d;
	const char *engine;
	enum misbehave misbehave;
	uv_loop_t loop;
	uv_timer_t timer;
	struct worker_handler handler;
	struct worker_uv *worker;
	uint64_t began_ms;
	uint64_t seeds[SEEDS];
	uint32_t asked;	       /* of the seeds; 0: the unit is being computed */
	uint64_t selftests_ms; /* that the worker took for them */
	bool over;
};

static const char advice[] = "reinstall Talkoot; if it stays, send these lines to its makers";

static void on_timeout(uv_timer_t *timer);

static void trial_end(struct trial *t)
{
	if (t->over)
		return;
	t->over = true;
	uv_close((uv_handle_t *)&t->timer, NULL);
	worker_uv_close(t->worker);
}

/* What is tried now. */
static const char *step_name(const struct trial *t)
{
	return t->asked == 0 ? "worker" : "self-test";
}

static void stage_begin(struct trial *t)
{
	uv_update_time(&t->loop);
	t->began_ms = uv_now(&t->loop);
	uv_timer_start(&t->timer, on_timeout, WORKER_MS, 0);
}

static void selftest_ask(struct trial *t)
{
	struct worker_message m = {.type = WORKER_SELFTEST, .job = t->seeds[t->asked++]};
	struct errmsg msg = {""};

	stage_begin(t);
	if (worker_uv_say(t->worker, &m, &msg) == TK_OK)
		return;
	doctor_note(t->d, step_name(t), DOCTOR_BAD, advice, "%.500s", msg.text);
	trial_end(t);
}

static bool selftest_right(struct trial *t, const struct worker_message *m)
{
	struct bytes digests = {0};
	bool right = bytes_append(&digests, m->bytes.data, m->bytes.len) == TK_OK;

	if (!right)
		doctor_note(t->d, step_name(t), DOCTOR_SKIPPED, NULL, "not enough memory");
	misbehave_selftest(t->misbehave, &digests);
	right = right && doctor_selftest(t->d, t->engine, m->job, bytes_span(&digests));
	bytes_close(&digests);
	return right;
}

static void selftest_take(struct trial *t, const struct worker_message *m)
{
	t->selftests_ms += uv_now(&t->loop) - t->began_ms;
	if (!selftest_right(t, m)) {
		trial_end(t);
	} else if (t->asked < SEEDS) {
		selftest_ask(t);
	} else {
		doctor_note(t->d, step_name(t), DOCTOR_OK, NULL,
			"all %u operations are right on %u seeds, as the scalar engine has them, "
			"in "
			"%llu ms",
			SELFTEST_OPERATIONS, SEEDS, (unsigned long long)t->selftests_ms);
		trial_end(t);
	}
}

/* A wrong unit is no end: the self-test says which operation it is. */
static void unit_take(struct trial *t, const struct worker_message *m)
{
	if (!worker_trial_right(m->claim))
		doctor_note(t->d, step_name(t), DOCTOR_BAD,
			"the network would take its results for lies: is the processor overclocked "
			"or the memory faulty? TALKOOT_ENGINE=baseline may do",
			"it computes other bits than every other computer");
	else
		doctor_note(t->d, step_name(t), DOCTOR_OK, NULL,
			"it computed a trial unit to the last bit, in %llu ms",
			(unsigned long long)(uv_now(&t->loop) - t->began_ms));
	selftest_ask(t);
}

static void on_message(void *context, const struct worker_message *m)
{
	struct trial *t = context;

	if (t->over)
		return;
	if (m->type == WORKER_FAILED) {
		doctor_note(t->d, step_name(t), DOCTOR_BAD, advice, "%s failed: %s",
			t->asked == 0 ? "a trial unit" : "it", m->text);
		trial_end(t);
	} else if (m->type == WORKER_RESULT && t->asked == 0) {
		unit_take(t, m);
	} else if (m->type == WORKER_SELFTESTED && t->asked != 0 &&
		   m->job == t->seeds[t->asked - 1]) {
		selftest_take(t, m);
	}
}

static void on_gone(void *context, const char *why)
{
	struct trial *t = context;

	if (!t->over)
		doctor_note(t->d, step_name(t), DOCTOR_BAD, advice,
			"the worker process ended by itself: %s", why);
	trial_end(t);
}

static void on_timeout(uv_timer_t *timer)
{
	struct trial *t = timer->data;

	doctor_note(t->d, step_name(t), DOCTOR_BAD, "is this computer very busy? Try again later",
		"%s was not done within %u s", t->asked == 0 ? "a trial unit" : "it",
		WORKER_MS / 1000);
	trial_end(t);
}

static int trial_begin(struct trial *t, const struct worker_trial *unit, struct errmsg *msg)
{
	int rc = TK_OK;

	uv_timer_init(&t->loop, &t->timer);
	t->timer.data = t;
	stage_begin(t);
	for (size_t i = 0; rc == TK_OK && i < WORKER_TRIAL_MESSAGES; i++)
		rc = worker_uv_say(t->worker, &unit->messages[i], msg);
	if (rc != TK_OK)
		trial_end(t);
	uv_run(&t->loop, UV_RUN_DEFAULT);
	return rc;
}

static void check_worker(struct doctor *d, const char *engine, enum misbehave misbehave)
{
	struct trial t = {.d = d, .engine = engine, .misbehave = misbehave};
	struct worker_trial unit = {.messages = {{.job = 0}}};
	struct errmsg msg = {"not enough memory"};
	char program[4096], lies[LIAR_NAME_SIZE];
	size_t size = sizeof(program);
	int rc;

	if (uv_exepath(program, &size) != 0 || uv_loop_init(&t.loop) != 0) {
		doctor_note(d, "worker", DOCTOR_SKIPPED, NULL, "this program's file is not found");
		return;
	}
	t.handler = (struct worker_handler){.context = &t, .message = on_message, .gone = on_gone};
	random_bytes(t.seeds, sizeof(t.seeds));
	liar_name(lies, misbehave, t.seeds[0]);
	t.worker = worker_uv_new(&t.loop, program, lies, NULL, &t.handler);
	rc = t.worker != NULL ? worker_trial_init(&unit, &msg) : TK_ENOMEM;
	if (rc == TK_OK)
		rc = trial_begin(&t, &unit, &msg);
	if (rc != TK_OK)
		doctor_note(d, "worker", DOCTOR_BAD, advice, "%.500s", msg.text);
	worker_trial_close(&unit);
	worker_uv_free(t.worker);
	uv_loop_close(&t.loop);
}

void doctor_worker(struct doctor *d, enum misbehave misbehave)
{
	const char *wanted = getenv("TALKOOT_ENGINE"), *remark;
	const struct engine *engine;
	struct errmsg msg = {""};

	if (engine_choose(&engine, wanted, &msg) != TK_OK) {
		doctor_note(d, "engine", DOCTOR_BAD, "unset TALKOOT_ENGINE in the environment",
			"%.500s", msg.text);
		doctor_note(d, "worker", DOCTOR_SKIPPED, NULL, "it would not start either");
		return;
	}
	remark = engine_remark(engine_has_hardware_fma);
	doctor_note(d, "engine", remark != NULL ? DOCTOR_WARNING : DOCTOR_OK, NULL, "%s%s%s",
		engine->name, remark != NULL ? ": " : "", remark != NULL ? remark : "");
	check_worker(d, engine->name, misbehave);
}
