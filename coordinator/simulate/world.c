/* One run: virtual time, the shell's part (it persists nothing, and its merges and recomputations are right), and
 * what the core says on its way to those whom it says it to. See simulate.h. */
#include <stdio.h>
#include <string.h>

#include "coordinator/simulate/state.h"
#include "tasks/base/mem.h"
#include "tasks/unit/trace.h"

#define JOIN_SPREAD 1.0			   /* all join within so many units' time */
#define UNIT_S	    60.0		   /* of the median peer, when nothing says otherwise */
#define STUCK_MS    (30ull * 86400 * 1000) /* without a round: something stands still */

/* splitmix64 */
uint64_t draw(struct world *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

double draw_unit(struct world *w)
{
	return (double)(draw(w) >> 11) * 0x1p-53;
}

void world_later(struct world *w, uint64_t after_ms, const struct queued *q)
{
	if (queue_put(&w->queue, w->now_ms + after_ms, q) != TK_OK)
		w->error = TK_ENOMEM;
}

size_t ring_at(const struct world *w, uint32_t round, uint32_t unit)
{
	return (size_t)(round % w->ring) * w->project.units_per_round + unit;
}

static void truth_make(struct world *w, const struct digest *unit, struct truth *t)
{
	struct mishap none = {.step = NO_FAULT};
	struct bytes claim = {0}, payload = {0};

	*t = (struct truth){.unit = *unit};
	result_make(w, unit, &none, &claim, &payload);
	if (w->error == TK_OK && claim.len <= sizeof(t->claim)) {
		memcpy(t->claim, claim.data, claim.len);
		t->claim_bytes = (uint32_t)claim.len;
		claim_digest(&t->result, bytes_span(&claim));
	}
	bytes_close(&claim);
	bytes_close(&payload);
}

/* A unit is leased: the right result of it is made, once, and is what there is to know of it from now on. */
static void truth_lease(struct world *w, const struct unit *unit, const struct digest *digest)
{
	struct truth *t = &w->truths[ring_at(w, unit->round, unit->index)];

	if (digest_equal(&t->unit, digest))
		return;
	truth_make(w, digest, t);
	w->honest[(size_t)unit->round * w->project.units_per_round + unit->index] =
		load_le64(t->result.b);
}

/* The right result of the task's unit; also what colluders know of it. */
struct truth *truth_of(struct world *w, const struct sim_task *task)
{
	struct truth *t = &w->truths[ring_at(w, task->round, task->unit)];

	if (digest_equal(&t->unit, &task->unit_digest))
		return t;
	if (!digest_equal(&w->other.unit, &task->unit_digest))
		truth_make(w, &task->unit_digest, &w->other);
	return &w->other;
}

static struct sim_peer *peer_of(struct world *w, conn_id conn)
{
	uint64_t number = (conn & UINT32_MAX) - 1;
	struct sim_peer *peer = number < w->peer_count ? w->peers[number] : NULL;

	return peer != NULL && peer->conn == conn ? peer : NULL;
}

static void send(struct world *w, const struct core_effect *e)
{
	const struct message *m = &e->message;
	struct sim_peer *peer = peer_of(w, e->conn);
	struct queued q = {.kind = QUEUED_TO_PEER, .message = m->type, .conn = e->conn};
	struct unit unit;

	w->report->messages_all++;
	if (peer == NULL)
		return; /* its session ended meanwhile */
	q.peer = peer->number;
	switch (m->type) {
	case MESSAGE_LEASE:
		q.nonce = m->lease.nonce;
		unit_digest(&q.about, m->lease.unit);
		if (unit_decode(&unit, m->lease.unit, NULL) != TK_OK)
			w->error = TK_ECORRUPT;
		q.round = unit.round;
		q.unit = unit.index;
		truth_lease(w, &unit, &q.about);
		break;
	case MESSAGE_NO_WORK:
		q.unit = m->no_work.retry_ms;
		break;
	case MESSAGE_REVEAL_REQUEST:
		q.nonce = m->reveal_request.nonce;
		break;
	case MESSAGE_UPLOAD_REQUEST:
		q.nonce = m->upload_request.nonce;
		break;
	case MESSAGE_SETTLED:
		q.nonce = m->settled.nonce;
		break;
	case MESSAGE_TRACE_REQUEST:
	case MESSAGE_SEGMENT_REQUEST:
	case MESSAGE_STATE_REQUEST:
		dispute_hears(w, peer, m);
		return;
	default:
		return; /* an acknowledgement: nobody here waits for one */
	}
	world_later(w, peer->latency_ms, &q);
}

/* So that two runs with one digest did the same at the same times. */
static void effect_note(struct world *w, const struct core_effect *e)
{
	uint64_t z = w->report->digest ^ (w->now_ms << 8 | (uint64_t)e->type);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u + e->conn;
	w->report->digest = z ^ z >> 27;
}

static void effect(struct world *w, const struct core_effect *e)
{
	struct sim_peer *peer;

	effect_note(w, e);
	switch (e->type) {
	case CORE_SEND:
		send(w, e);
		break;
	case CORE_DROP:
		peer = peer_of(w, e->conn);
		if (peer != NULL)
			crowd_dropped(w, peer, e->reason);
		break;
	case CORE_MERGE:
		world_later(w, MERGE_MS,
			&(struct queued){
				.kind = QUEUED_MERGE, .round = e->round_index, .job = e->job});
		break;
	case CORE_REFEREE:
		w->now.refereed++;
		world_later(w, (uint64_t)(2 * w->median_ms),
			&(struct queued){.kind = QUEUED_REFEREE,
				.round = e->round_index,
				.unit = e->unit_index,
				.job = e->job});
		break;
	case CORE_REFEREE_STEP:
		referee_step_ask(w, e);
		break;
	case CORE_STORE_BLOB:
		state_keep(w, e);
		break;
	case CORE_REMOVE_BLOB:
		state_forget(w, &e->digest);
		break;
	case CORE_LOG:
		if (w->options->log)
			fprintf(stderr, "%10.3f h  %s\n", (double)(w->now_ms - w->begun_ms) / 3.6e6,
				e->text);
		break;
	default:
		measure_row(w, e);
		break;
	}
}

/* Effects may lead to steps of their own only later, through the queue; so the list is never in use twice. */
void world_step(struct world *w, struct core_event *event)
{
	if (w->error != TK_OK)
		return;
	event->now_ms = w->now_ms;
	for (size_t i = 0; i < sizeof(event->random); i += 8)
		store_le64(event->random + i, draw(w));
	w->error = core_step(w->core, event, &w->effects);
	for (size_t i = 0; i < w->effects.count && w->error == TK_OK; i++)
		effect(w, &w->effects.items[i]);
	core_effects_clear(&w->effects);
}

static void merged(struct world *w, uint32_t round, uint64_t job)
{
	struct core_event event = {.type = CORE_MERGED,
		.project = 1,
		.round = round,
		.job = job,
		.loss = 1,
		.merged = w->project.units_per_round};
	struct span fields[2] = {span_of(w->project.parameters.b, DIGEST_BYTES),
		span_of(w->results + ring_at(w, round, 0),
			w->project.units_per_round * sizeof(*w->results))};

	digest_fields(&event.parameters, "talkoot simulated parameters", fields, 2);
	event.model = event.parameters;
	world_step(w, &event);
}

static void refereed(struct world *w, uint32_t round, uint32_t unit, uint64_t job)
{
	struct core_event event = {
		.type = CORE_REFEREED, .project = 1, .round = round, .unit = unit, .job = job};
	const struct truth *t = &w->truths[ring_at(w, round, unit)];

	event.claim = span_of(t->claim, t->claim_bytes);
	world_step(w, &event);
}

static void tick(struct world *w)
{
	struct core_event event = {.type = CORE_TICK};

	world_step(w, &event);
	world_later(w, TICK_MS, &(struct queued){.kind = QUEUED_TICK});
}

static void newcomer(struct world *w)
{
	if (w->peer_count >= IDENTITIES_MAX)
		return;
	w->report->cheaters++;
	(void)peer_add(w, w->options->strategy, 0);
}

/* What happens in the coordinator's shell; false: it is a peer's. */
static bool happen_here(struct world *w, const struct queued *q)
{
	switch (q->kind) {
	case QUEUED_TICK:
		tick(w);
		return true;
	case QUEUED_MERGE:
		merged(w, q->round, q->job);
		return true;
	case QUEUED_REFEREE:
		refereed(w, q->round, q->unit, q->job);
		return true;
	case QUEUED_STEP:
		referee_step_answer(w, q);
		return true;
	case QUEUED_NEWCOMER:
		newcomer(w);
		return true;
	default:
		return false;
	}
}

static void happen_to(struct world *w, struct sim_peer *peer, const struct queued *q)
{
	bool same = peer->conn == q->conn; /* the session that it is about */

	switch (q->kind) {
	case QUEUED_CONNECT:
		crowd_connect(w, peer);
		break;
	case QUEUED_LEAVE:
		if (same)
			crowd_leave(w, peer);
		break;
	case QUEUED_COMPUTED:
		crowd_computed(w, peer, &q->nonce);
		break;
	case QUEUED_RETRY:
		peer->retrying = false;
		crowd_asks(w, peer);
		break;
	case QUEUED_TO_CORE:
		w->report->messages_all++;
		if (same)
			crowd_says(w, peer, q);
		break;
	case QUEUED_TO_PEER:
		if (same)
			crowd_hears(w, peer, q);
		break;
	default:
		break;
	}
}

static void happen(struct world *w, struct queued *q)
{
	if (!happen_here(w, q))
		happen_to(w, w->peers[q->peer], q);
	bytes_close(&q->bytes);
}

static void crowd_begin(struct world *w)
{
	const struct simulate_options *o = w->options;
	const struct strategy *s = o->strategy;
	uint32_t cheaters = s != NULL ? (uint32_t)((double)o->peers * o->cheaters + 0.5) : 0;
	uint64_t span_ms = (uint64_t)(JOIN_SPREAD * w->median_ms) + 1;
	uint32_t flood = s != NULL && s->flood > 0 ? s->flood * (uint32_t)o->peers : 0;
	/* In about so much time all is computed, if each unit is computed once. */
	double run_ms = (double)o->units / (double)o->peers * w->median_ms;

	if (flood > 0)
		cheaters = 0;
	w->report->cheaters = w->report->cheaters_1 = cheaters;
	for (uint64_t i = 0; i < o->peers && w->error == TK_OK; i++) {
		/* spread evenly over the numbers, which is the order in which nothing depends on it */
		bool bad = (i + 1) * cheaters / o->peers > i * cheaters / o->peers;

		(void)peer_add(w, bad ? s : NULL, draw(w) % span_ms);
	}
	for (uint32_t i = 0; i < flood && w->error == TK_OK; i++)
		world_later(w, (uint64_t)(run_ms * i / flood),
			&(struct queued){.kind = QUEUED_NEWCOMER});
}

static void run(struct world *w)
{
	struct core_event submit = {.type = CORE_PROJECT_NEW,
		.project_row = &w->project,
		.recipe = bytes_span(&w->encoded)};
	struct project_row row = w->project;
	struct queued q;
	uint64_t at_ms;

	submit.project_row = &row;
	world_step(w, &submit);
	crowd_begin(w);
	tick(w);
	w->end_ms = w->now_ms + STUCK_MS;
	while (w->error == TK_OK && w->project.state == PROJECT_RUNNING &&
		queue_take(&w->queue, &q, &at_ms)) {
		w->now_ms = at_ms;
		if (w->now_ms > w->end_ms) {
			bytes_close(&q.bytes);
			snprintf(w->project.reason, sizeof(w->project.reason),
				"no round closed within thirty days");
			break;
		}
		happen(w, &q);
	}
}

static int world_init(struct world *w, const struct project *p, struct errmsg *msg)
{
	uint8_t secret[32] = {7};
	size_t all;
	int rc;

	w->random = w->options->seed;
	w->now_ms = w->begun_ms = START_MS;
	w->median_ms = 1e3 * (w->options->unit_s > 0 ? w->options->unit_s : UNIT_S);
	key_from_seed(&w->root, secret);
	lookup_init(&w->keys, KEY_BYTES, 1);
	rc = project_make(w, p, msg);
	if (rc != TK_OK)
		return rc;
	if (trace_leaves(&w->recipe.train, w->recipe.train.inner_steps) >= RESULT_LEAVES_MAX)
		return errmsg_set(msg, TK_EINVAL,
			"train.trace_every: a unit's trace has more than %u leaves, too many to "
			"simulate; take a larger distance",
			RESULT_LEAVES_MAX - 1);
	all = (size_t)w->project.rounds * w->project.units_per_round;
	w->core = core_new(&w->root);
	w->ring = w->project.settle_rounds + 2;
	w->truths = mem_calloc((size_t)w->ring * w->project.units_per_round, sizeof(*w->truths));
	w->results = mem_calloc((size_t)w->ring * w->project.units_per_round, sizeof(*w->results));
	w->honest = mem_calloc(all, sizeof(*w->honest));
	w->stands_ms = mem_calloc(all, sizeof(*w->stands_ms));
	if (w->core == NULL || w->truths == NULL || w->results == NULL || w->honest == NULL ||
		w->stands_ms == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for %zu units", all);
	if (!w->options->ed25519)
		core_check_commits(w->core, &(struct commit_check){crowd_signed, w});
	return TK_OK;
}

static void world_close(struct world *w)
{
	core_free(w->core);
	core_effects_close(&w->effects);
	queue_close(&w->queue);
	crowd_free(w);
	lookup_close(&w->keys);
	bytes_close(&w->encoded);
	mem_free(w->truths);
	mem_free(w->results);
	mem_free(w->honest);
	mem_free(w->stands_ms);
	for (uint32_t i = 0; i < w->state_count; i++)
		bytes_close(&w->states[i]);
	mem_free(w->states);
}

int simulate_run(struct simulate_report *out, const struct project *p,
	const struct simulate_options *options, struct errmsg *msg)
{
	struct world *w = mem_calloc(1, sizeof(*w));
	int rc;

	*out = (struct simulate_report){0};
	if (w == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for a simulation");
	w->options = options;
	w->report = out;
	w->cpu_begun = cpu_seconds();
	rc = world_init(w, p, msg);
	if (rc == TK_OK) {
		run(w);
		rc = w->error;
		if (rc != TK_OK)
			errmsg_set(msg, rc, "the simulation stopped: %s", error_text(rc));
		measure_end(w);
	}
	world_close(w);
	mem_free(w);
	return rc;
}
