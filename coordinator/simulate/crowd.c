/* The simulated peers: they come and go, ask for work, compute it one unit after the other, commit, open and upload as
 * the agent does, except for what their strategy does otherwise. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/simulate/state.h"
#include "tasks/base/mem.h"
#include "tasks/unit/sign.h"

#define SESSION_UNITS 200.0 /* that a peer computes before it leaves for a while, at the mean */
#define BACK_MS	      10000u

/* Normal with mean 0 and deviation 1 (Box and Muller). */
static double draw_normal(struct world *w)
{
	double radius = sqrt(-2 * log(1 - draw_unit(w)));

	return radius * cos(6.283185307179586 * draw_unit(w));
}

static uint64_t draw_exponential_ms(struct world *w, double mean_ms)
{
	return (uint64_t)(1 - log(1 - draw_unit(w)) * mean_ms);
}

struct sim_peer *peer_add(struct world *w, const struct strategy *strategy, uint64_t after_ms)
{
	struct sim_peer *peer = mem_calloc(1, sizeof(*peer));
	uint8_t secret[32] = {3};

	if (peer == NULL) {
		w->error = TK_ENOMEM;
		return NULL;
	}
	if (w->peer_count == w->peer_capacity) {
		uint32_t capacity = w->peer_capacity * 2 + 64;
		void *grown = mem_realloc(w->peers, capacity * sizeof(struct sim_peer *));

		if (grown == NULL) {
			w->error = TK_ENOMEM;
			mem_free(peer);
			return NULL;
		}
		w->peers = grown;
		w->peer_capacity = capacity;
	}
	store_le32(secret + 4, w->peer_count);
	store_le64(secret + 8, w->options->seed);
	key_from_seed(&peer->key, secret);
	peer->number = w->peer_count;
	peer->strategy = strategy;
	peer->unit_ms = (uint64_t)(1 + w->median_ms * exp(SPREAD_SPEED * draw_normal(w)));
	peer->latency_ms = LATENCY_MIN_MS + draw(w) % LATENCY_SPAN_MS;
	if (lookup_add(&w->keys, &peer->by_key, peer->key.public.b, peer) != TK_OK) {
		w->error = TK_ENOMEM;
		mem_free(peer);
		return NULL;
	}
	w->peers[w->peer_count++] = peer;
	world_later(w, after_ms, &(struct queued){.kind = QUEUED_CONNECT, .peer = peer->number});
	return peer;
}

/* What it computes now is not needed any more: the time that is left is free again. */
static void computing_stop(const struct world *w, struct sim_peer *peer)
{
	peer->computing = NULL;
	if (peer->busy_until_ms <= w->now_ms)
		return;
	peer->busy_ms -= peer->busy_until_ms - w->now_ms;
	peer->busy_until_ms = w->now_ms;
}

/* Begins the unit that was leased first of those that it has. */
static void computing_next(struct world *w, struct sim_peer *peer)
{
	const struct strategy *s = peer->strategy;
	double share = s != NULL && s->seconds > 0 ? s->seconds : 1;
	uint64_t unit_ms = (uint64_t)(1 + share * (double)peer->unit_ms);
	struct sim_task *first = NULL;

	for (struct sim_task *t = peer->tasks; t != NULL; t = t->next)
		if (!t->done)
			first = t;
	if (first == NULL || peer->computing != NULL || peer->conn == 0)
		return;
	peer->computing = first;
	peer->busy_until_ms = w->now_ms + unit_ms;
	peer->busy_ms += unit_ms;
	world_later(w, unit_ms,
		&(struct queued){
			.kind = QUEUED_COMPUTED, .peer = peer->number, .nonce = first->nonce});
}

static void task_drop(struct sim_peer *peer, struct sim_task *task)
{
	struct sim_task **at = &peer->tasks;

	while (*at != task)
		at = &(*at)->next;
	*at = task->next;
	mem_free(task);
}

void crowd_free(struct world *w)
{
	for (uint32_t i = 0; i < w->peer_count; i++) {
		while (w->peers[i]->tasks != NULL)
			task_drop(w->peers[i], w->peers[i]->tasks);
		mem_free(w->peers[i]);
	}
	mem_free(w->peers);
}

struct sim_task *crowd_task(const struct sim_peer *peer, const struct digest *nonce)
{
	struct sim_task *task = peer->tasks;

	while (task != NULL && !digest_equal(&task->nonce, nonce))
		task = task->next;
	return task;
}

/* To the core, after the way there; the message is made where it arrives. */
static void say(struct world *w, const struct sim_peer *peer, enum message_type type,
	const struct sim_task *task, uint32_t slots, bool second)
{
	struct queued q = {.kind = QUEUED_TO_CORE,
		.message = type,
		.peer = peer->number,
		.conn = peer->conn,
		.unit = slots,
		.second = second};

	if (task != NULL)
		q.nonce = task->nonce;
	world_later(w, peer->latency_ms, &q);
}

static void commit_say(struct world *w, const struct sim_peer *peer, const struct sim_task *task)
{
	say(w, peer, MESSAGE_COMMIT, task, 0, false);
	if (peer->strategy != NULL && peer->strategy->equivocates)
		say(w, peer, MESSAGE_COMMIT, task, 0, true);
}

void crowd_asks(struct world *w, struct sim_peer *peer)
{
	uint32_t computing = 0;

	if (peer->conn == 0 || peer->over)
		return;
	for (const struct sim_task *t = peer->tasks; t != NULL; t = t->next)
		computing += !t->done;
	if (computing < SLOTS)
		say(w, peer, MESSAGE_WORK_REQUEST, NULL, SLOTS - computing, false);
}

void crowd_connect(struct world *w, struct sim_peer *peer)
{
	struct core_event up = {.type = CORE_PEER_UP, .key = &peer->key.public};
	double churn = w->options->churn;

	if (peer->conn != 0 || peer->over)
		return;
	peer->away = false;
	peer->conn = up.conn = (uint64_t)++peer->session << 32 | (peer->number + 1);
	peer->here_since_ms = w->now_ms;
	world_step(w, &up);
	for (const struct sim_task *t = peer->tasks; t != NULL; t = t->next)
		if (t->done)
			commit_say(w, peer, t);
	computing_next(w, peer); /* a session that was dropped loses no work */
	crowd_asks(w, peer);
	if (churn > 0)
		world_later(w, draw_exponential_ms(w, SESSION_UNITS * (double)peer->unit_ms),
			&(struct queued){
				.kind = QUEUED_LEAVE, .peer = peer->number, .conn = peer->conn});
}

static void gone(struct world *w, struct sim_peer *peer)
{
	peer->conn = 0;
	peer->here_ms += w->now_ms - peer->here_since_ms;
	computing_stop(w, peer);
}

/* The machine goes off: what is being computed is lost, what is finished is on its disk. */
void crowd_leave(struct world *w, struct sim_peer *peer)
{
	struct core_event down = {.type = CORE_PEER_DOWN, .conn = peer->conn};
	double churn = w->options->churn;
	double away_ms = SESSION_UNITS * (double)peer->unit_ms * churn / (1 - churn);
	struct sim_task *next;

	gone(w, peer);
	peer->away = true;
	for (struct sim_task *t = peer->tasks; t != NULL; t = next) {
		next = t->next;
		if (!t->done)
			task_drop(peer, t);
	}
	world_step(w, &down);
	world_later(w, draw_exponential_ms(w, away_ms),
		&(struct queued){.kind = QUEUED_CONNECT, .peer = peer->number});
}

/* The core has ended the session. */
void crowd_dropped(struct world *w, struct sim_peer *peer, uint32_t reason)
{
	gone(w, peer);
	if (reason != GOODBYE_RETIRED) {
		world_later(w, 500 + draw(w) % 2000,
			&(struct queued){.kind = QUEUED_CONNECT, .peer = peer->number});
		return;
	}
	peer->over = true;
	while (peer->tasks != NULL)
		task_drop(peer, peer->tasks);
}

void crowd_retired(struct world *w, const struct sim_peer *peer)
{
	if (peer->strategy != NULL && peer->strategy->returns)
		world_later(w, BACK_MS, &(struct queued){.kind = QUEUED_NEWCOMER});
}

static void hears_lease(struct world *w, struct sim_peer *peer, const struct queued *q)
{
	const struct strategy *s = peer->strategy;
	struct sim_task *task;

	if (crowd_task(peer, &q->nonce) != NULL)
		return; /* it knows it already */
	task = mem_calloc(1, sizeof(*task));
	if (task == NULL) {
		w->error = TK_ENOMEM;
		return;
	}
	task->nonce = q->nonce;
	task->round = q->round;
	task->unit = q->unit;
	task->unit_digest = q->about;
	task->order = ++peer->leases;
	task->fault.step = NO_FAULT;
	task->next = peer->tasks;
	peer->tasks = task;
	if (s != NULL && s->leased != NULL)
		s->leased(w, peer, task);
	computing_next(w, peer);
}

/* The claim that belongs to the task's fault. */
static void claim_fill(struct world *w, struct sim_task *task)
{
	struct truth *t = truth_of(w, task);
	struct bytes claim = {0}, payload = {0};

	if (task->fault.step == NO_FAULT && digest_equal(&t->unit, &task->unit_digest)) {
		memcpy(task->claim, t->claim, t->claim_bytes);
		task->claim_bytes = t->claim_bytes;
		return;
	}
	result_make(w, &task->unit_digest, &task->fault, &claim, &payload);
	if (w->error == TK_OK && claim.len <= CLAIM_BYTES_MAX) {
		memcpy(task->claim, claim.data, claim.len);
		task->claim_bytes = (uint32_t)claim.len;
	}
	bytes_close(&claim);
	bytes_close(&payload);
}

static void wrong_note(struct world *w, struct sim_peer *peer, const struct sim_task *task)
{
	if (peer->wrong++ == 0) {
		peer->first_wrong_ms = w->now_ms;
		peer->first_wrong_order = task->order;
	}
	if (peer->wrong_count < WRONG_KEPT)
		peer->wrong_nonces[peer->wrong_count++] = task->nonce;
	w->report->wrong++;
	w->report->honest_wrong += peer->strategy == NULL || peer->strategy->innocent;
}

void crowd_computed(struct world *w, struct sim_peer *peer, const struct digest *nonce)
{
	struct sim_task *task = crowd_task(peer, nonce);

	if (task == NULL || task != peer->computing || w->now_ms < peer->busy_until_ms)
		return; /* settled or forgotten meanwhile, or begun anew */
	peer->computing = NULL;
	task->done = true;
	if (peer->strategy != NULL && peer->strategy->compute != NULL)
		peer->strategy->compute(w, peer, task);
	claim_fill(w, task);
	for (size_t i = 0; i < DIGEST_BYTES; i += 8)
		store_le64(task->salt.b + i, draw(w));
	peer->finished++;
	w->now.computed += peer->strategy == NULL;
	if (task->fault.step != NO_FAULT)
		wrong_note(w, peer, task);
	commit_say(w, peer, task);
	computing_next(w, peer);
	crowd_asks(w, peer);
}

void crowd_hears(struct world *w, struct sim_peer *peer, const struct queued *q)
{
	const struct strategy *s = peer->strategy;
	struct sim_task *task = NULL;

	if (q->message != MESSAGE_LEASE && q->message != MESSAGE_NO_WORK)
		task = crowd_task(peer, &q->nonce);
	switch (q->message) {
	case MESSAGE_LEASE:
		hears_lease(w, peer, q);
		break;
	case MESSAGE_NO_WORK:
		if (peer->retrying)
			break;
		peer->retrying = true;
		world_later(
			w, q->unit, &(struct queued){.kind = QUEUED_RETRY, .peer = peer->number});
		break;
	case MESSAGE_REVEAL_REQUEST:
		if (task != NULL && task->done && (s == NULL || !s->withholds))
			say(w, peer, MESSAGE_REVEAL, task, 0, false);
		break;
	case MESSAGE_UPLOAD_REQUEST:
		if (task != NULL && task->done)
			say(w, peer, MESSAGE_UPLOAD, task, 0, false);
		break;
	case MESSAGE_SETTLED:
		if (task != NULL && task == peer->computing)
			computing_stop(w, peer);
		if (task != NULL)
			task_drop(peer, task);
		computing_next(w, peer);
		crowd_asks(w, peer);
		break;
	default:
		break;
	}
}

/* A peer's signature under a commitment, for a core that knows its secret. */
static void stand_in(struct signature *out, const struct key_pair *key,
	const struct digest *commitment, const struct digest *nonce)
{
	const struct span fields[] = {span_of(key->secret, sizeof(key->secret)),
		span_of(commitment->b, DIGEST_BYTES), span_of(nonce->b, DIGEST_BYTES)};
	struct digest digest;

	digest_fields(&digest, "talkoot simulated commit", fields, 3);
	*out = (struct signature){{0}};
	memcpy(out->b, digest.b, sizeof(digest.b));
}

bool crowd_signed(const void *context, const struct public_key *key, const struct signature *s,
	const struct digest *commitment, const struct digest *nonce)
{
	const struct world *w = context;
	const struct sim_peer *peer = lookup_find(&w->keys, key->b);
	struct signature right;

	if (peer == NULL)
		return false;
	stand_in(&right, &peer->key, commitment, nonce);
	return memcmp(&right, s, sizeof(right)) == 0;
}

void task_commitment(struct world *w, const struct sim_peer *peer, const struct sim_task *task,
	bool second, struct digest *out)
{
	struct commitment x = {.network = w->root.public,
		.unit = task->unit_digest,
		.nonce = task->nonce,
		.peer = peer->key.public,
		.salt = task->salt};
	struct claim claim;

	if (claim_decode(&claim, span_of(task->claim, task->claim_bytes), NULL) != TK_OK)
		w->error = TK_ECORRUPT;
	x.trace = claim.trace;
	claim_digest(&x.result, span_of(task->claim, task->claim_bytes));
	x.salt.b[0] ^= second;
	commitment_digest(out, &x);
}

static void commit_make(struct world *w, const struct sim_peer *peer, const struct sim_task *task,
	bool second, struct message_commit *m)
{
	task_commitment(w, peer, task, second, &m->commitment);
	m->nonce = task->nonce;
	if (w->options->ed25519)
		commit_sign(&m->signature, &peer->key, &m->commitment, &m->nonce);
	else
		stand_in(&m->signature, &peer->key, &m->commitment, &m->nonce);
}

static void reveal_make(struct world *w, const struct sim_peer *peer, const struct sim_task *task,
	struct message_reveal *m)
{
	const struct truth *t = truth_of(w, task);

	m->nonce = task->nonce;
	m->salt = task->salt;
	m->claim = span_of(task->claim, task->claim_bytes);
	if (peer->strategy != NULL && peer->strategy->copies)
		m->claim = span_of(t->claim, t->claim_bytes);
}

/* What a peer said arrives. */
void crowd_says(struct world *w, struct sim_peer *peer, const struct queued *q)
{
	struct core_event event = {.type = CORE_MESSAGE, .conn = q->conn};
	struct message m = {.type = q->message};
	struct bytes claim = {0}, payload = {0};
	struct sim_task *task = crowd_task(peer, &q->nonce);

	if (q->message == MESSAGE_WORK_REQUEST) {
		m.work_request.slots = q->unit;
		snprintf(m.work_request.engine, sizeof(m.work_request.engine), "simulated");
	} else if (task == NULL || dispute_says(w, peer, q, task)) {
		return; /* settled meanwhile; or said */
	} else if (q->message == MESSAGE_COMMIT) {
		commit_make(w, peer, task, q->second, &m.commit);
	} else if (q->message == MESSAGE_REVEAL) {
		reveal_make(w, peer, task, &m.reveal);
	} else if (q->message == MESSAGE_UPLOAD) {
		result_make(w, &task->unit_digest, &task->fault, &claim, &payload);
		m.upload.nonce = task->nonce;
		m.upload.bytes = bytes_span(&payload);
	}
	event.message = &m;
	world_step(w, &event);
	bytes_close(&claim);
	bytes_close(&payload);
}
