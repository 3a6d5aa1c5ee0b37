/* See core_sim.h. Time, the network, jobs, crashes. */
#include "tests/lib/core_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/unit/payload.h"
#include "tests/lib/core_sim_state.h"

#define START_MS 1700000000000u
#define TICK_MS	 1000u

/* splitmix64 */
static uint64_t draw(struct sim *s)
{
	uint64_t z = s->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t sim_random(struct sim *s, uint64_t below)
{
	return draw(s) % below;
}

uint32_t sim_peer_of_key(const struct sim *s, const struct public_key *key)
{
	uint32_t i = 0;

	while (i < s->peer_count && !key_equal(&s->peers[i].key.public, key))
		i++;
	SIM_CHECK(s, i < s->peer_count);
	return i;
}

static uint32_t peer_of_conn(const struct sim *s, conn_id conn)
{
	uint32_t i = 0;

	while (i < s->peer_count && s->peers[i].conn != conn)
		i++;
	return i;
}

struct sim_item *sim_later(struct sim *s, enum sim_item_type type, uint64_t after_ms)
{
	struct sim_item *item;

	if (s->item_count == s->item_capacity) {
		s->item_capacity = s->item_capacity * 2 + 64;
		s->items = realloc(s->items, s->item_capacity * sizeof(*s->items));
		SIM_CHECK(s, s->items != NULL);
	}
	item = &s->items[s->item_count++];
	*item = (struct sim_item){.type = type,
		.at_ms = s->now_ms + after_ms,
		.serial = s->item_serial++,
		.generation = s->generation};
	return item;
}

/* The project: logistic regression without compression and with momentum that its units carry on, so that
 * a payload is 8 bytes a parameter. */
static void recipe_make(struct sim *s, size_t payload_bytes)
{
	char names[2][LABEL_BYTES_MAX] = {"no", "yes"};
	struct digest shard = {{1}};
	struct layer layer = {.type = LAYER_LINEAR, .name = "0", .width = 2, .bias = true};
	struct recipe r = {
		.numerics = NUMERICS_VERSION,
		.name = "sim",
		.seed = s->seed,
		.model = {.type = MODEL_LOGISTIC,
			.loss = LOSS_CROSS_ENTROPY,
			.layer_count = 1,
			.layers = &layer},
		.train = {.mode = MODE_LOCAL,
			.optimizer = OPTIMIZER_SGD,
			.inner_state = INNER_AVERAGE,
			.momentum = 0.5f,
			.learning_rate = 0.1f,
			.schedule = SCHEDULE_CONSTANT,
			.batch_size = 4,
			.accumulate = 1,
			.inner_steps = SIM_STEPS,
			.trace_every = 2,
			.units_per_round = s->units,
			.rounds = s->rounds,
			.compression = COMPRESSION_NONE,
			.outer = OUTER_SGD,
			.merge = MERGE_MEAN,
			.outer_learning_rate = 1},
		.data = {.kind = SAMPLE_U8,
			.label = LABEL_CLASS,
			.classes = 2,
			.class_names = names},
	};
	struct errmsg msg = {""};

	r.data.features = (uint32_t)(payload_bytes / 16);
	r.data.train = (struct dataset_part){3, 10, 1, &shard};
	if (recipe_encode(&r, &s->recipe, &msg) != TK_OK ||
		payload_size(&r, &s->payload_bytes, &msg) != TK_OK)
		sim_broken(s, msg.text);
	digest_blob(&s->recipe_digest, s->recipe.data, s->recipe.len);
}

const struct digest *sim_states(const struct sim *s, const struct digest *parameters)
{
	const struct digest first = {{42}};

	if (digest_equal(parameters, &first))
		return NULL;
	for (uint32_t i = 0; i < s->units; i++) {
		struct span fields[2] = {
			span_of(parameters->b, DIGEST_BYTES), span_of(&i, sizeof(i))};

		digest_fields(&s->states[i], "sim state", fields, 2);
	}
	return s->states;
}

void sim_init(struct sim *s, uint64_t seed, uint32_t rounds, uint32_t units, uint32_t quorum,
	size_t payload_bytes)
{
	uint8_t secret[32] = {7};

	memset(s, 0, sizeof(*s));
	s->seed = s->random = seed;
	s->now_ms = START_MS;
	s->rounds = rounds;
	s->units = units;
	s->quorum = quorum;
	s->merge_ms = 300;
	s->referee_ms = 2500;
	key_from_seed(&s->root, secret);
	recipe_make(s, payload_bytes);
	SIM_CHECK(s, audit_init(&s->audit, &s->root.public, bytes_span(&s->recipe), NULL) == TK_OK);
	s->round_rows = calloc(rounds, sizeof(*s->round_rows));
	s->unit_rows = calloc((size_t)rounds * units, sizeof(*s->unit_rows));
	s->states = calloc(units, sizeof(*s->states));
	s->wrong_in = calloc(rounds, sizeof(*s->wrong_in));
	SIM_CHECK(s, s->wrong_in != NULL && s->round_rows != NULL && s->unit_rows != NULL &&
			     s->states != NULL);
	s->project = (struct project_row){.id = 1,
		.name = "sim",
		.state = PROJECT_QUEUED,
		.recipe = s->recipe_digest,
		.quorum = quorum,
		.policy = VERIFY_FULL,
		.rounds = rounds,
		.units_per_round = units,
		.unit_flops = 1000,
		.parameters = {{42}}};
	s->core = core_new(&s->root);
	SIM_CHECK(s, s->core != NULL);
}

void sim_close(struct sim *s)
{
	core_free(s->core);
	for (size_t i = 0; i < s->item_count; i++)
		bytes_close(&s->items[i].bytes);
	for (uint32_t i = 0; i < s->peer_count; i++)
		for (uint32_t t = 0; t < SIM_TASKS_MAX; t++)
			sim_task_close(&s->peers[i].tasks[t]);
	bytes_close(&s->recipe);
	for (size_t i = 0; i < s->entry_count; i++)
		bytes_close(&s->entries[i].content);
	free(s->entries);
	for (size_t i = 0; i < s->state_blob_count; i++)
		bytes_close(&s->state_blobs[i]);
	free(s->state_blobs);
	audit_close(&s->audit);
	free(s->items);
	free(s->round_rows);
	free(s->wrong_in);
	free(s->states);
	free(s->unit_rows);
	free(s->replicas);
	free(s->blobs);
	memset(s, 0, sizeof(*s));
}

uint32_t sim_peer_add(struct sim *s, enum sim_behaviour behaviour, uint64_t unit_ms)
{
	struct sim_peer *p = &s->peers[s->peer_count];
	uint8_t secret[32] = {3};

	SIM_CHECK(s, s->peer_count < SIM_PEERS_MAX);
	store_le32(secret + 4, s->peer_count);
	store_le64(secret + 8, s->seed);
	key_from_seed(&p->key, secret);
	p->behaviour = behaviour;
	p->unit_ms = unit_ms;
	p->latency_ms = 5 + sim_random(s, 60);
	s->peer_count++;
	if (behaviour == SIM_MANUAL)
		sim_connect(s, s->peer_count - 1);
	else
		sim_later(s, SIM_CONNECT, sim_random(s, 2000))->peer = s->peer_count - 1;
	return s->peer_count - 1;
}

/* From a peer to the core: encoded, and decoded again where it arrives. */
void sim_send(struct sim *s, uint32_t peer, const struct message *m)
{
	struct core_event event = {.type = CORE_MESSAGE, .conn = s->peers[peer].conn, .message = m};

	sim_event(s, &event);
}

void sim_say(struct sim *s, uint32_t peer, const struct message *m)
{
	struct sim_peer *p = &s->peers[peer];
	struct sim_item *item;

	if (p->behaviour == SIM_MANUAL) {
		sim_send(s, peer, m);
		return;
	}
	item = sim_later(s, SIM_TO_CORE, p->latency_ms);
	item->conn = p->conn;
	item->peer = peer;
	SIM_CHECK(s, message_encode(m, &item->bytes) == TK_OK);
}

static void deliver(struct sim *s, struct sim_item *item)
{
	struct core_event event = {.type = CORE_MESSAGE, .conn = item->conn};
	struct errmsg msg = {""};
	struct message m;

	if (item->conn == 0 || s->peers[item->peer].conn != item->conn)
		return; /* lost with its session */
	if (message_decode(&m, bytes_span(&item->bytes), &msg) != TK_OK)
		sim_broken(s, msg.text);
	event.message = &m;
	if (item->type == SIM_TO_CORE)
		sim_event(s, &event);
	else
		sim_peer_hears(s, item->peer, &m);
}

static void speak_send(struct sim *s, const struct core_effect *e)
{
	uint32_t peer = peer_of_conn(s, e->conn);
	struct sim_item *item;

	if (peer == s->peer_count)
		return; /* its session ended meanwhile */
	sim_check_said(s, peer, &e->message);
	if (s->peers[peer].behaviour == SIM_MANUAL) {
		sim_peer_hears(s, peer, &e->message);
		return;
	}
	item = sim_later(s, SIM_TO_PEER, s->peers[peer].latency_ms);
	item->conn = e->conn;
	item->peer = peer;
	SIM_CHECK(s, message_encode(&e->message, &item->bytes) == TK_OK);
}

static void speak_drop(struct sim *s, const struct core_effect *e)
{
	uint32_t peer = peer_of_conn(s, e->conn);

	s->drops++;
	if (peer == s->peer_count)
		return;
	s->peers[peer].conn = 0;
	if (e->reason == GOODBYE_RETIRED)
		s->peers[peer].over = true;
	else if (s->peers[peer].behaviour != SIM_MANUAL)
		sim_later(s, SIM_CONNECT, 500 + sim_random(s, 2000))->peer = peer;
}

static void speak(struct sim *s, const struct core_effect *e)
{
	struct sim_item *item;

	switch (e->type) {
	case CORE_SEND:
		speak_send(s, e);
		break;
	case CORE_DROP:
		speak_drop(s, e);
		break;
	case CORE_MERGE:
		sim_check_merge(s, e->round_index);
		item = sim_later(s, SIM_MERGE, s->merge_ms);
		item->round = e->round_index;
		item->job = e->job;
		break;
	case CORE_REFEREE:
		s->referees++;
		item = sim_later(s, SIM_REFEREE, s->referee_ms);
		item->round = e->round_index;
		item->unit = e->unit_index;
		item->job = e->job;
		break;
	case CORE_WORTH:
		sim_worth(s, e);
		break;
	case CORE_REFEREE_STEP:
		sim_step_ask(s, e);
		break;
	case CORE_REMOVE_BLOB:
		sim_state_keep(s, e);
		break;
	case CORE_SELFTEST:
		sim_later(s, SIM_SELFTEST, 200)->seed = e->seed;
		break;
	case CORE_ANNOUNCE:
		sim_check_announced(s, e);
		break;
	case CORE_LOG:
		s->alarms += strncmp(e->text, "ALARM", 5) == 0;
		if (getenv("CORE_SIM_LOG") != NULL)
			fprintf(stderr, "%8llu %s\n", (unsigned long long)(s->now_ms - START_MS),
				e->text);
		break;
	default:
		break;
	}
}

void sim_event(struct sim *s, struct core_event *event)
{
	struct core_effects effects = {0};
	bool crash;
	int rc;

	event->now_ms = s->now_ms;
	for (size_t i = 0; i < sizeof(event->random); i++)
		event->random[i] = (uint8_t)draw(s);
	if (s->memory_short != 0 && draw(s) % s->memory_short == 0)
		mem_fail(1 + draw(s) % 4, 0);
	rc = core_step(s->core, event, &effects);
	mem_fail(0, 0);
	if (rc != TK_OK) {
		SIM_CHECK(s, rc == TK_ENOMEM && s->memory_short != 0 && effects.count == 0);
		core_effects_close(&effects);
		sim_kill_core(s);
		return;
	}
	SIM_CHECK(s, core_knows_what_waits(s->core));
	if (effects.count == 0) {
		core_effects_close(&effects);
		return;
	}
	s->steps++;
	crash = s->steps == s->crash_step ||
		(s->crash_every != 0 && s->steps % s->crash_every == 0);
	if (!crash || s->crash != SIM_BEFORE_COMMIT)
		for (size_t i = 0; i < effects.count; i++)
			sim_save(s, &effects.items[i]);
	if (!crash || s->crash == SIM_AFTER_SPEAKING)
		for (size_t i = 0; i < effects.count; i++)
			speak(s, &effects.items[i]);
	core_effects_close(&effects);
	if (crash)
		sim_kill_core(s);
}

void sim_submit(struct sim *s)
{
	struct project_row row = s->project;
	struct core_event event = {
		.type = CORE_PROJECT_NEW, .project_row = &row, .recipe = bytes_span(&s->recipe)};

	sim_event(s, &event);
}

void sim_stop(struct sim *s)
{
	struct core_event event = {.type = CORE_PROJECT_STOP, .project = 1};

	sim_event(s, &event);
}

void sim_resume(struct sim *s)
{
	struct core_event event = {.type = CORE_PROJECT_RESUME, .project = 1};

	sim_event(s, &event);
}

void sim_kill_core(struct sim *s)
{
	s->crashes++;
	s->generation++;
	core_free(s->core);
	for (uint32_t i = 0; i < s->peer_count; i++) {
		if (s->peers[i].conn == 0)
			continue;
		s->peers[i].conn = 0;
		sim_later(s, SIM_CONNECT, 100 + sim_random(s, 3000))->peer = i;
	}
	sim_load(s);
}

void sim_disconnect(struct sim *s, uint32_t peer, uint64_t back_after_ms)
{
	struct core_event down = {.type = CORE_PEER_DOWN, .conn = s->peers[peer].conn};

	if (down.conn == 0)
		return;
	s->peers[peer].conn = 0;
	sim_event(s, &down);
	sim_later(s, SIM_CONNECT, back_after_ms)->peer = peer;
}

void sim_restart_peer(struct sim *s, uint32_t peer, uint64_t back_after_ms)
{
	struct sim_peer *p = &s->peers[peer];

	for (uint32_t i = 0; i < SIM_TASKS_MAX; i++)
		if (p->tasks[i].used && !p->tasks[i].done)
			sim_task_close(&p->tasks[i]);
	p->busy_until_ms = 0;
	sim_disconnect(s, peer, back_after_ms);
}

static void unit_honest(const struct sim *s, const struct digest *theta, uint32_t round,
	uint32_t index, uint64_t variant, struct bytes *claim, struct digest *payload_digest)
{
	struct bytes encoded = {0};
	struct bytes payload = {0};
	struct digest digest;
	struct unit unit;

	unit_describe(&unit, &s->recipe_digest, round, index,
		&(struct round_start){*theta, sim_states(s, theta)});
	SIM_CHECK(s, unit_encode(&unit, &encoded) == TK_OK);
	unit_digest(&digest, bytes_span(&encoded));
	sim_result(s, &digest, index, variant, claim, &payload);
	digest_blob(payload_digest, payload.data, payload.len);
	bytes_close(&encoded);
	bytes_close(&payload);
}

static void referee_answer(struct sim *s, const struct sim_item *item)
{
	struct core_event event = {.type = CORE_REFEREED,
		.project = 1,
		.round = item->round,
		.unit = item->unit,
		.job = item->job};
	struct bytes claim = {0};
	struct digest payload;

	if (item->round > s->project.round)
		return;
	unit_honest(s, sim_start_of(s, item->round), item->round, item->unit,
		s->referee_broken ? 99 : 0, &claim, &payload);
	sim_blob_add(s, &payload);
	event.claim = bytes_span(&claim);
	sim_event(s, &event);
	bytes_close(&claim);
}

void sim_expected(const struct sim *s, struct digest *out)
{
	struct digest theta = {{42}};

	for (uint32_t r = 0; r < s->rounds; r++) {
		struct digest next = theta;

		for (uint32_t u = 0; u < s->units; u++) {
			struct bytes claim = {0};
			struct digest payload, result;
			struct span fields[2] = {
				span_of(next.b, DIGEST_BYTES), span_of(result.b, DIGEST_BYTES)};
			struct digest sum;

			unit_honest(s, &theta, r, u, 0, &claim, &payload);
			claim_digest(&result, bytes_span(&claim));
			digest_fields(&sum, "sim theta", fields, 2);
			next = sum;
			bytes_close(&claim);
		}
		theta = next;
	}
	*out = theta;
}

static void happens(struct sim *s, struct sim_item *item)
{
	bool lost = item->generation != s->generation;

	switch (item->type) {
	case SIM_TO_CORE:
	case SIM_TO_PEER:
		deliver(s, item);
		break;
	case SIM_CONNECT:
		if (sim_enter(s, item->peer))
			sim_connect(s, item->peer);
		break;
	case SIM_COMPUTED:
		sim_peer_computed(s, item->peer, &item->nonce);
		break;
	case SIM_RETRY:
		sim_peer_asks(s, item->peer);
		break;
	case SIM_MERGE:
		if (!lost)
			sim_merge_answer(s, item);
		break;
	case SIM_REFEREE:
		if (!lost)
			referee_answer(s, item);
		break;
	case SIM_ANSWER:
		sim_dispute_answer(s, item);
		break;
	case SIM_STEP:
		if (!lost)
			sim_step_answer(s, item);
		break;
	case SIM_SELFTEST:
		if (!lost)
			sim_selftest_answered(s, item->seed);
		break;
	}
}

/* The next item due until then, taken out of the list. */
static bool next_item(struct sim *s, uint64_t until_ms, struct sim_item *out)
{
	size_t best = s->item_count;

	for (size_t i = 0; i < s->item_count; i++) {
		const struct sim_item *x = &s->items[i];

		if (x->at_ms > until_ms)
			continue;
		if (best == s->item_count || x->at_ms < s->items[best].at_ms ||
			(x->at_ms == s->items[best].at_ms && x->serial < s->items[best].serial))
			best = i;
	}
	if (best == s->item_count)
		return false;
	*out = s->items[best];
	s->items[best] = s->items[--s->item_count];
	return true;
}

static bool ended(const struct sim *s)
{
	return s->project.state == PROJECT_DONE || s->project.state == PROJECT_FAILED ||
	       s->project.state == PROJECT_STOPPED;
}

/* One second, with the tick at its end; and what the command line's part of the shell would do. */
static void second(struct sim *s)
{
	uint64_t until = s->now_ms + TICK_MS;
	struct core_event tick = {.type = CORE_TICK};
	struct sim_item item;

	while (next_item(s, until, &item)) {
		if (s->now_ms < item.at_ms)
			s->now_ms = item.at_ms;
		happens(s, &item);
		bytes_close(&item.bytes);
	}
	s->now_ms = until;
	if (s->project.state == PROJECT_QUEUED && s->submitted)
		sim_submit(s); /* it was lost in a crash */
	sim_event(s, &tick);
}

bool sim_run(struct sim *s, uint64_t limit_ms)
{
	uint64_t end = s->now_ms + limit_ms;

	while (!ended(s) && s->now_ms < end)
		second(s);
	return ended(s);
}

void sim_wait(struct sim *s, uint64_t ms)
{
	for (uint64_t end = s->now_ms + ms; s->now_ms < end;)
		second(s);
}
