/* What this peer says when another's result of the same unit differs (coordinator/VERIFICATION.md, "Disputes").
 *
 * The leaves of its trace lie on disk with the result, and are read like a payload, part by part. Steps and
 * states are computed again: one replay at a time, from the unit's start, before any lease is; a unit in
 * progress is saved and waits. What the worker then says is signed as it is, also when it is not what was
 * committed to. It is kept whole until the next one, so a session that breaks costs no second replay. */
#include "peer/agent/agent_state.h"

#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/unit/sign.h"

#define REPLAY_CRASHES_MAX 2u
#define REPLAY_LACKS_MAX   3u

/* Leaves */

static void trace_next(struct agent *a, struct agent_effects *out)
{
	struct result *r = NULL;
	struct agent_effect *e;
	uint32_t left;

	for (uint32_t i = 0; i < a->result_count && r == NULL; i++)
		if (a->results[i].trace_wanted)
			r = &a->results[i];
	if (r == NULL || a->trace_reading || a->dispute_burst >= AGENT_UPLOAD_PARTS)
		return;
	e = effect_push(out, AGENT_READ_TRACE);
	if (e == NULL)
		return;
	left = r->record.leaf_count - r->trace_at;
	e->digest = r->record.nonce;
	e->total = result_record_leaves_at(&r->record);
	e->offset = (uint64_t)r->trace_at * DIGEST_BYTES;
	e->length = (left < TRACE_PART_MAX ? left : TRACE_PART_MAX) * DIGEST_BYTES;
	a->trace_reading = true;
}

/* One part has been handed over; after a burst, nothing more until all of it has left. */
static void burst_count(struct agent *a, struct agent_effects *out)
{
	if (++a->dispute_burst == AGENT_UPLOAD_PARTS)
		effect_push(out, AGENT_WATCH_SENT);
}

static void trace_part(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct result *r = result_find(a, &event->digest);
	struct message m = {.type = MESSAGE_TRACE};

	if (r == NULL || !r->trace_wanted || event->offset != (uint64_t)r->trace_at * DIGEST_BYTES)
		return;
	m.trace = (struct message_trace){
		r->record.nonce, r->record.leaf_count, r->trace_at, event->bytes};
	effect_send(out, &m);
	r->trace_at += (uint32_t)(event->bytes.len / DIGEST_BYTES);
	r->trace_wanted = r->trace_at < r->record.leaf_count;
	burst_count(a, out);
}

void dispute_disk(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct result *r = result_find(a, &event->digest);

	a->trace_reading = false;
	if (event->type == AGENT_TRACE_READ) {
		trace_part(a, event, out);
	} else if (r != NULL) {
		effect_log(out, "a result's trace cannot be read back: %.200s", event->text);
		effect_abandon(out, &event->digest, "its trace cannot be read back from the disk");
		r->trace_wanted = false;
	}
	trace_next(a, out);
}

/* Replays */

static void replay_close_answer(struct replaying *p)
{
	bytes_close(&p->answer);
	mem_free(p->job.shards);
	*p = (struct replaying){0};
}

void dispute_forget(struct agent *a, const struct digest *nonce, struct agent_effects *out)
{
	struct replaying *p = &a->replaying;

	if (p->question.kind == REPLAY_NOTHING ||
		(nonce != NULL && !digest_equal(&p->nonce, nonce)))
		return;
	if (p->job.stage == JOB_COMPUTING && out != NULL) {
		struct agent_effect *e = effect_push(out, AGENT_CANCEL);

		if (e != NULL)
			e->job = p->job.id;
	}
	replay_close_answer(p);
}

void dispute_give_up(struct agent *a, const char *why, struct agent_effects *out)
{
	struct digest nonce = a->replaying.nonce;

	effect_log(out, "cannot compute a disputed part again: %.200s", why);
	dispute_forget(a, NULL, out);
	if (link_is_up(a))
		effect_abandon(out, &nonce, why);
}

static void replay_begin(struct agent *a, struct result *r)
{
	const struct result_record *record = &r->record;
	struct replaying *p = &a->replaying;
	struct job *j = &p->job;

	replay_close_answer(p);
	*p = (struct replaying){.question = r->asked,
		.nonce = record->nonce,
		.commitment = r->commitment,
		.offset = r->asked.offset};
	p->wanted = true;
	r->asked = (struct question){0};
	*j = (struct job){.id = ++a->next_job,
		.stage = JOB_RECIPE,
		.nonce = record->nonce,
		.encoded_bytes = record->unit_bytes,
		.deadline_ms = UINT64_MAX};
	memcpy(j->encoded, record->unit, record->unit_bytes);
	unit_digest(&j->unit_digest, span_of(record->unit, record->unit_bytes));
	/* It was decoded when the result was added. */
	REQUIRE(unit_decode(&j->unit, span_of(record->unit, record->unit_bytes), NULL) == TK_OK);
}

int dispute_plan(struct agent *a, const struct recipe *recipe, struct errmsg *msg)
{
	struct replaying *p = &a->replaying;
	const struct train_spec *t = &recipe->train;
	const struct result *r = result_find(a, &p->nonce);
	uint32_t at = p->question.at;
	struct trace_segment s;
	struct claim claim;
	int rc = r != NULL ? claim_decode(
				     &claim, span_of(r->record.claim, r->record.claim_bytes), msg)
			   : TK_ENOENT;

	if (rc != TK_OK)
		return rc;
	if (p->question.kind == REPLAY_STATE) {
		if (at < 1 || at > trace_steps(t, &claim))
			return errmsg_set(msg, TK_EPROTO,
				"the unit has no state after %u steps to send", (unsigned)at);
		p->first = at - 1;
		p->to = p->keep = at;
		return TK_OK;
	}
	if (!trace_segment(&s, t, trace_steps(t, &claim), at))
		return errmsg_set(
			msg, TK_EPROTO, "the unit's trace has no segment %u", (unsigned)at);
	p->first = s.first;
	p->to = s.last ? REPLAY_END : s.first + s.count;
	p->keep = 0;
	return TK_OK;
}

static void replay_compute(struct replaying *p, struct agent_effects *out)
{
	struct agent_effect *e = effect_compute(out, AGENT_REPLAY, &p->job);

	if (e == NULL)
		return;
	e->first = p->first;
	e->to = p->to;
	e->keep = p->keep;
}

/* A unit in progress makes way once it is saved, or ends before. */
static void replay_wait(struct agent *a, uint64_t now_ms, struct agent_effects *out)
{
	if (a->replaying.asked)
		return;
	a->replaying.asked = true;
	checkpoint_ask(a, now_ms, out);
}

bool dispute_busy(struct agent *a, uint64_t now_ms, struct agent_effects *out)
{
	struct replaying *p = &a->replaying;

	if (p->job.stage == JOB_COMPUTING)
		return true;
	if (p->job.stage != JOB_READY || now_ms < a->rest_ms)
		return false;
	if (job_computing(a) != NULL)
		replay_wait(a, now_ms, out);
	else
		replay_compute(p, out);
	return true;
}

void dispute_saved(struct agent *a, struct job *j, struct agent_effects *out)
{
	struct agent_effect *e;

	if (a->replaying.job.stage != JOB_READY)
		return;
	e = effect_push(out, AGENT_CANCEL);
	if (e != NULL)
		e->job = j->id;
	j->stage = JOB_READY; /* and goes on from its checkpoint */
}

/* What is next of the answer. */
static bool replay_part(struct replaying *p, struct message *m)
{
	uint64_t left = p->answer.len - p->offset;

	if (p->question.kind == REPLAY_STATE) {
		uint64_t n = left < BLOB_PART_MAX ? left : BLOB_PART_MAX;

		m->type = MESSAGE_STATE;
		m->state = (struct message_state){p->nonce, p->question.at, p->answer.len,
			p->offset, span_of(p->answer.data + p->offset, (size_t)n)};
		p->offset += n;
	} else {
		uint64_t most = (uint64_t)TRACE_PART_MAX * DIGEST_BYTES;
		uint64_t n = left < most ? left : most;

		m->type = MESSAGE_SEGMENT;
		m->segment = (struct message_segment){.nonce = p->nonce,
			.segment = p->question.at,
			.total = (uint32_t)(p->answer.len / DIGEST_BYTES),
			.offset = (uint32_t)(p->offset / DIGEST_BYTES),
			.leaves = span_of(p->answer.data + p->offset, (size_t)n),
			.signature = p->signature};
		p->offset += n;
	}
	return p->offset < p->answer.len;
}

static void replay_send(struct agent *a, struct agent_effects *out)
{
	struct replaying *p = &a->replaying;

	while (p->whole && p->wanted && link_is_up(a) && a->dispute_burst < AGENT_UPLOAD_PARTS) {
		struct message m = {0};

		p->wanted = replay_part(p, &m);
		effect_send(out, &m);
		burst_count(a, out);
	}
}

static void replay_done(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct replaying *p = &a->replaying;

	mem_free(p->job.shards);
	p->job = (struct job){0};
	if (event->bytes.len == 0) {
		dispute_give_up(a, "the unit ends before the state that was asked for", out);
		return;
	}
	if (bytes_append(&p->answer, event->bytes.data, event->bytes.len) != TK_OK) {
		out->error = TK_ENOMEM;
		return;
	}
	if (p->question.kind == REPLAY_SEGMENT)
		segment_sign(&p->signature, &a->id->key, &p->commitment, p->question.at,
			(const struct digest *)p->answer.data, p->answer.len / DIGEST_BYTES);
	a->failures = 0;
	p->whole = true;
	p->wanted = p->wanted && p->offset < p->answer.len;
	replay_send(a, out);
}

bool dispute_worker(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct job *j = &a->replaying.job;

	if (j->stage != JOB_COMPUTING || (event->type != AGENT_WORKER_GONE && event->job != j->id))
		return false;
	switch (event->type) {
	case AGENT_WORKER_REPLAYED:
		replay_done(a, event, out);
		break;
	case AGENT_WORKER_GONE:
		effect_log(out, "the worker process died: %s", event->text);
		worker_failed(a, event->now_ms, out);
		j->stage = JOB_READY;
		if (++j->crashes >= REPLAY_CRASHES_MAX)
			dispute_give_up(a, "the worker process died twice on it", out);
		break;
	case AGENT_WORKER_LACKS:
		j->stage = JOB_RECIPE;
		j->shards_found = 0;
		if (++j->lacks > REPLAY_LACKS_MAX)
			dispute_give_up(a, "its data does not stay whole on this disk", out);
		break;
	case AGENT_WORKER_FAILED:
		j->stage = JOB_READY;
		worker_failed(a, event->now_ms, out);
		dispute_give_up(a, event->text, out);
		break;
	default:
		break;
	}
	return true;
}

void dispute_advance(struct agent *a, struct agent_effects *out)
{
	const struct replaying *p = &a->replaying;

	if (p->job.id != 0 || (p->whole && p->wanted))
		return;
	for (uint32_t i = 0; i < a->result_count; i++)
		if (a->results[i].asked.kind != REPLAY_NOTHING) {
			effect_log(out, "unit %u of round %u is disputed: computing %s again",
				(unsigned)a->results[i].index + 1,
				(unsigned)a->results[i].round + 1,
				a->results[i].asked.kind == REPLAY_STATE ? "a state" : "a segment");
			replay_begin(a, &a->results[i]);
			return;
		}
}

void dispute_sent(struct agent *a, struct agent_effects *out)
{
	a->dispute_burst = 0;
	replay_send(a, out);
	trace_next(a, out);
}

void dispute_disconnected(struct agent *a)
{
	a->dispute_burst = 0;
	a->replaying.wanted = false; /* whoever wants it still asks again */
	for (uint32_t i = 0; i < a->result_count; i++) {
		a->results[i].trace_wanted = false;
		a->results[i].asked = (struct question){0};
	}
}

/* Questions */

static void ask(
	struct agent *a, struct result *r, const struct question *q, struct agent_effects *out)
{
	struct replaying *p = &a->replaying;

	if (p->question.kind == q->kind && p->question.at == q->at &&
		digest_equal(&p->nonce, &r->record.nonce) &&
		(!p->whole || q->offset <= p->answer.len)) {
		p->offset = q->offset;
		p->wanted = !p->whole || p->offset < p->answer.len;
		replay_send(a, out);
		return;
	}
	r->asked = *q;
}

void dispute_message(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	const struct message *m = event->message;
	const struct digest *nonce = &m->trace_request.nonce; /* first in all three */
	struct question q = {REPLAY_STATE, m->state_request.step, m->state_request.offset};
	struct result *r = result_find(a, nonce);

	if (r == NULL) {
		effect_abandon(out, nonce, "there is no result for this lease");
		return;
	}
	if (m->type == MESSAGE_TRACE_REQUEST) {
		if (m->trace_request.offset >= r->record.leaf_count) {
			link_drop(a, event, GOODBYE_PROTOCOL,
				"leaves were asked for from beyond the trace's end", out);
			return;
		}
		r->trace_at = m->trace_request.offset;
		r->trace_wanted = r->saved;
		trace_next(a, out);
		return;
	}
	if (m->type == MESSAGE_SEGMENT_REQUEST)
		q = (struct question){REPLAY_SEGMENT, m->segment_request.segment, 0};
	ask(a, r, &q, out);
}
