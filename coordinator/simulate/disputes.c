/* Disputes: what the simulated peers answer, each from the fault that it has, and the referee's step, which is right.
 * Traces are kept and said at once; a segment is computed again from the unit's beginning, which takes its time. */
#include "coordinator/simulate/state.h"
#include "tasks/base/mem.h"
#include "tasks/unit/sign.h"
#include "tasks/unit/trace.h"

/* The answer arrives after both ways and what it takes. A liar answers like anybody: what it says follows from its
 * fault, to which it is bound by its commitment. */
void dispute_hears(struct world *w, struct sim_peer *peer, const struct message *m)
{
	struct queued q = {.kind = QUEUED_TO_CORE, .peer = peer->number, .conn = peer->conn};
	const struct train_spec *t = &w->recipe.train;
	uint64_t after_ms = 2 * peer->latency_ms;
	const struct sim_task *task;
	double share;

	if (m->type == MESSAGE_TRACE_REQUEST) {
		q.message = MESSAGE_TRACE;
		q.nonce = m->trace_request.nonce;
		q.offset = m->trace_request.offset;
	} else if (m->type == MESSAGE_SEGMENT_REQUEST) {
		q.message = MESSAGE_SEGMENT;
		q.nonce = m->segment_request.nonce;
		q.step = m->segment_request.segment;
		share = (double)(q.step + 1) * t->trace_every / t->inner_steps;
		share = share < 1 ? share : 1;
		after_ms += (uint64_t)(share * (double)peer->unit_ms);
		w->report->replayed += share;
	} else {
		q.message = MESSAGE_STATE;
		q.nonce = m->state_request.nonce;
		q.step = m->state_request.step;
		q.offset = m->state_request.offset;
	}
	task = crowd_task(peer, &q.nonce);
	if (task == NULL || !task->done)
		return;
	w->truths[task->unit].messages++;
	world_later(w, after_ms, &q);
}

static void say_trace(struct world *w, const struct sim_task *task, uint32_t offset,
	struct message *m, struct digest leaves[RESULT_LEAVES_MAX])
{
	struct bytes payload = {0};
	uint32_t count = result_leaves(w, &task->unit_digest, &task->fault, leaves, &payload);

	bytes_close(&payload);
	if (offset >= count)
		return;
	m->trace = (struct message_trace){task->nonce, count, offset,
		span_of(&leaves[offset], (count - offset) * sizeof(*leaves))};
}

static void say_segment(struct world *w, const struct sim_peer *peer, const struct sim_task *task,
	uint32_t k, struct message *m, struct bytes *list)
{
	struct trace_segment segment;
	struct digest step, commitment;
	const struct train_spec *t = &w->recipe.train;

	if (!trace_segment(&segment, t, t->inner_steps, k))
		return;
	for (uint32_t i = 0; i < segment.count && w->error == TK_OK; i++) {
		if (segment.last && i + 1 == segment.count)
			claim_digest(&step, span_of(task->claim, task->claim_bytes));
		else
			state_digest(
				w, &task->unit_digest, &task->fault, segment.first + i + 1, &step);
		if (bytes_append(list, step.b, sizeof(step)) != TK_OK)
			w->error = TK_ENOMEM;
	}
	if (w->error != TK_OK)
		return;
	m->segment = (struct message_segment){.nonce = task->nonce,
		.segment = k,
		.total = segment.count,
		.leaves = bytes_span(list)};
	task_commitment(w, peer, task, false, &commitment);
	segment_sign(&m->segment.signature, &peer->key, &commitment, k,
		(const struct digest *)(const void *)list->data, segment.count);
}

static void say_state(struct world *w, const struct sim_task *task, const struct queued *q,
	struct message *m, struct bytes *state)
{
	state_make(w, &task->unit_digest, &task->fault, q->step, state);
	if (q->offset < state->len)
		m->state = (struct message_state){task->nonce, q->step, state->len, q->offset,
			span_of(state->data + q->offset, state->len - q->offset)};
}

bool dispute_says(
	struct world *w, struct sim_peer *peer, const struct queued *q, const struct sim_task *task)
{
	struct core_event event = {.type = CORE_MESSAGE, .conn = q->conn};
	struct message m = {.type = q->message};
	struct digest leaves[RESULT_LEAVES_MAX];
	struct bytes bytes = {0};

	if (q->message == MESSAGE_TRACE)
		say_trace(w, task, (uint32_t)q->offset, &m, leaves);
	else if (q->message == MESSAGE_SEGMENT)
		say_segment(w, peer, task, q->step, &m, &bytes);
	else if (q->message == MESSAGE_STATE)
		say_state(w, task, q, &m, &bytes);
	else
		return false;
	w->truths[task->unit].messages++;
	event.message = &m;
	world_step(w, &event);
	bytes_close(&bytes);
	return true;
}

/* The referee */

/* States that were stored; payloads have another length. */
void state_keep(struct world *w, const struct core_effect *e)
{
	struct bytes *more;

	if (e->bytes.len == w->payload_bytes)
		return;
	more = mem_realloc(w->states, (w->state_count + 1) * sizeof(*more));
	if (more == NULL) {
		w->error = TK_ENOMEM;
		return;
	}
	w->states = more;
	w->states[w->state_count] = (struct bytes){0};
	if (bytes_append(&w->states[w->state_count++], e->bytes.data, e->bytes.len) != TK_OK)
		w->error = TK_ENOMEM;
}

static struct bytes *state_find(const struct world *w, const struct digest *blob)
{
	for (uint32_t i = 0; i < w->state_count; i++) {
		struct digest is;

		digest_blob(&is, w->states[i].data, w->states[i].len);
		if (digest_equal(&is, blob))
			return &w->states[i];
	}
	return NULL;
}

void state_forget(struct world *w, const struct digest *blob)
{
	struct bytes *state = state_find(w, blob);

	if (state == NULL)
		return;
	bytes_close(state);
	*state = w->states[--w->state_count];
}

/* Computed twice, like everything that the coordinator recomputes. */
void referee_step_ask(struct world *w, const struct core_effect *e)
{
	uint64_t step_ms = (uint64_t)(2 * w->median_ms / w->recipe.train.inner_steps);
	const struct bytes *state = e->step > 0 ? state_find(w, &e->digest) : NULL;
	struct truth *t = &w->truths[ring_at(w, e->round_index, e->unit_index)];
	struct queued q = {.kind = QUEUED_STEP,
		.round = e->round_index,
		.unit = e->unit_index,
		.step = e->step,
		.job = e->job};

	if (e->step > 0 &&
		(state == NULL || bytes_append(&q.bytes, state->data, state->len) != TK_OK)) {
		w->error = state == NULL ? TK_ENOENT : TK_ENOMEM;
		return;
	}
	w->report->referee_steps++;
	spread_add(&w->messages, t->messages);
	t->messages = 0;
	world_later(w, step_ms, &q);
}

void referee_step_answer(struct world *w, const struct queued *q)
{
	const struct truth *t = &w->truths[ring_at(w, q->round, q->unit)];
	struct core_event event = {.type = CORE_STEPPED,
		.project = 1,
		.round = q->round,
		.unit = q->unit,
		.job = q->job};
	struct mishap fault = {.step = NO_FAULT};
	struct bytes claim = {0}, payload = {0};

	if (q->round > w->project.round)
		return; /* it was taken back */
	if (q->step > 0)
		fault = state_fault(bytes_span(&q->bytes));
	if (q->step < w->recipe.train.inner_steps) {
		state_digest(w, &t->unit, &fault, q->step + 1, &event.state);
	} else {
		result_make(w, &t->unit, &fault, &claim, &payload);
		event.claim = bytes_span(&claim);
	}
	world_step(w, &event);
	bytes_close(&claim);
	bytes_close(&payload);
}
