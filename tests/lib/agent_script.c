/* See agent_script.h. */
#include "tests/lib/agent_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/require.h"
#include "tasks/model/model.h"
#include "tasks/unit/state.h"

#define QUEUE_MAX 256u

/* An answer that waits until the step in progress is over. */
struct answer {
	struct agent_event event;
	struct message message;
	struct bytes bytes;
};

struct queue {
	struct answer items[QUEUE_MAX];
	size_t at, count;
};

static struct answer *queue_push(struct queue *q, enum agent_event_type type)
{
	REQUIRE(q->count < QUEUE_MAX);
	q->items[q->count] = (struct answer){.event = {.type = type}};
	return &q->items[q->count++];
}

static void note(struct script *s, const char *format, ...) TK_PRINTF(2, 3);
static void note(struct script *s, const char *format, ...)
{
	va_list list;
	int n;

	va_start(list, format);
	n = vsnprintf(s->trace + s->trace_len, sizeof(s->trace) - s->trace_len, format, list);
	va_end(list);
	REQUIRE(n >= 0 && (size_t)n < sizeof(s->trace) - s->trace_len);
	s->trace_len += (size_t)n;
}

static const char *blob_name(enum agent_blob kind)
{
	static const char *const names[] = {[BLOB_RECIPE] = "recipe",
		[BLOB_PARAMETERS] = "parameters",
		[BLOB_SHARD] = "shard",
		[BLOB_STATE] = "state"};

	return names[kind];
}

static bool on_disk(const struct script *s, const struct digest *d)
{
	for (size_t i = 0; i < s->on_disk_count; i++)
		if (digest_equal(&s->on_disk[i], d))
			return true;
	return false;
}

static void put_on_disk(struct script *s, const struct digest *d)
{
	REQUIRE(s->on_disk_count < SCRIPT_BLOBS_MAX);
	s->on_disk[s->on_disk_count++] = *d;
}

/* The swarm fetches for the agent; shards that come ahead are not told of. */
static void fetch_blob(struct script *s, const struct agent_effect *e, struct queue *q)
{
	const struct bytes *blob = &s->recipe;
	struct digest state;
	struct answer *a;

	digest_blob(&state, s->state.data, s->state.len);
	if (digest_equal(&e->digest, &state))
		blob = &s->state;
	for (size_t i = 0; i < SCRIPT_ROUNDS; i++)
		if (digest_equal(&e->digest, &s->parameters_digest[i]))
			blob = &s->parameters[i];
	if (e->ahead && e->kind == BLOB_PARAMETERS)
		note(s, "AHEAD parameters\n");
	if (s->blobs_silent || (e->ahead && (e->kind != BLOB_PARAMETERS || s->ahead_slow)))
		return;
	a = queue_push(q, AGENT_BLOB_STORED);
	a->event.digest = e->digest;
	if (s->blobs_missing || blob->len > e->max) {
		a->event.type = AGENT_BLOB_FAILED;
		a->event.text = s->blobs_missing ? "the coordinator does not have its data"
						 : "the blob is longer than it may be";
		return;
	}
	note(s, "STORE %s\n", blob_name(e->kind));
	put_on_disk(s, &e->digest);
}

static void see_send(struct script *s, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_WORK_REQUEST:
		note(s, "SEND WORK_REQUEST %u%s%s\n", (unsigned)m->work_request.slots,
			m->work_request.team[0] != '\0' ? " " : "", m->work_request.team);
		break;
	case MESSAGE_TRACE:
		note(s, "SEND TRACE %u @%u +%zu of %u\n", (unsigned)m->trace.nonce.b[0],
			(unsigned)m->trace.offset, m->trace.leaves.len / DIGEST_BYTES,
			(unsigned)m->trace.total);
		break;
	case MESSAGE_SEGMENT:
		note(s, "SEND SEGMENT %u/%u @%u +%zu of %u\n", (unsigned)m->segment.nonce.b[0],
			(unsigned)m->segment.segment, (unsigned)m->segment.offset,
			m->segment.leaves.len / DIGEST_BYTES, (unsigned)m->segment.total);
		break;
	case MESSAGE_STATE:
		note(s, "SEND STATE %u/%u @%llu +%zu of %llu\n", (unsigned)m->state.nonce.b[0],
			(unsigned)m->state.step, (unsigned long long)m->state.offset,
			m->state.bytes.len, (unsigned long long)m->state.total);
		break;
	case MESSAGE_UPLOAD:
		note(s, "SEND UPLOAD %u @%llu +%zu\n", (unsigned)m->upload.nonce.b[0],
			(unsigned long long)m->upload.offset, m->upload.bytes.len);
		break;
	default:
		note(s, "SEND %s %u\n", message_name(m->type),
			(unsigned)m->commit.nonce.b[0]); /* the nonce comes first in all */
		break;
	}
	s->sent = *m;
}

static void keep(struct bytes *to, const struct bytes *from)
{
	to->len = 0;
	REQUIRE(bytes_append(to, from->data, from->len) == TK_OK);
}

static void see_disk(struct script *s, const struct agent_effect *e, struct queue *q)
{
	struct answer *a;

	switch (e->type) {
	case AGENT_FIND_BLOB:
		a = queue_push(q, on_disk(s, &e->digest) ? AGENT_BLOB_FOUND : AGENT_BLOB_ABSENT);
		if (e->want_bytes)
			REQUIRE(bytes_append(&a->bytes, s->recipe.data, s->recipe.len) == TK_OK);
		break;
	case AGENT_SAVE_RESULT:
		note(s, "SAVE_RESULT %u\n", (unsigned)e->digest.b[0]);
		keep(&s->saved, &e->bytes);
		if (s->disk_slow)
			return;
		a = queue_push(q, s->disk_full ? AGENT_RESULT_FAILED : AGENT_RESULT_SAVED);
		a->event.text = "no space left";
		break;
	case AGENT_READ_TRACE:
		REQUIRE(e->offset + e->length <= sizeof(s->leaves) && e->total <= s->saved.len);
		a = queue_push(q, AGENT_TRACE_READ);
		a->event.offset = e->offset;
		REQUIRE(bytes_append(&a->bytes, s->saved.data + s->saved.len - e->total + e->offset,
				e->length) == TK_OK);
		break;
	default: /* READ_PAYLOAD */
		REQUIRE(e->offset + e->length <= s->payload.len);
		a = queue_push(q, AGENT_PAYLOAD_READ);
		a->event.offset = e->offset;
		REQUIRE(bytes_append(&a->bytes, s->payload.data + e->offset, e->length) == TK_OK);
		break;
	}
	a->event.digest = e->digest;
}

static void see(struct script *s, const struct agent_effect *e, struct queue *q)
{
	switch (e->type) {
	case AGENT_DIAL:
		note(s, "DIAL %u\n", (unsigned)e->host);
		break;
	case AGENT_SEND:
		see_send(s, &e->message);
		break;
	case AGENT_DROP:
		note(s, "DROP %u\n", (unsigned)e->reason);
		s->dropped_reason = e->reason;
		snprintf(s->dropped, sizeof(s->dropped), "%s", e->text);
		break;
	case AGENT_WATCH_SENT:
		note(s, "WATCH_SENT\n");
		s->watching = true;
		break;
	case AGENT_FETCH_BLOB:
		fetch_blob(s, e, q);
		break;
	case AGENT_REMOVE_BLOB:
		note(s, "REMOVE %s\n", blob_name(e->kind));
		break;
	case AGENT_COMPUTE:
		note(s, e->resume ? "COMPUTE on\n" : "COMPUTE\n");
		s->job = e->job;
		break;
	case AGENT_REPLAY:
		note(s, "REPLAY %u to %d keep %u\n", (unsigned)e->first, (int)e->to,
			(unsigned)e->keep);
		s->job = e->job;
		break;
	case AGENT_ASK_CHECKPOINT:
		note(s, "ASK_CHECKPOINT\n");
		break;
	case AGENT_SAVE_CHECKPOINT:
		REQUIRE(digest_equal(&e->digest, &s->unit_digest));
		note(s, "SAVE_CHECKPOINT +%zu\n", e->bytes.len);
		break;
	case AGENT_REMOVE_CHECKPOINT:
		note(s, "REMOVE_CHECKPOINT\n");
		break;
	case AGENT_CANCEL:
		note(s, "CANCEL\n");
		break;
	case AGENT_REMOVE_RESULT:
		note(s, "REMOVE_RESULT %u\n", (unsigned)e->digest.b[0]);
		break;
	case AGENT_SELFTEST:
		note(s, "SELFTEST %llu\n", (unsigned long long)e->job);
		break;
	case AGENT_SAVE_LEASES:
		keep(&s->leases, &e->bytes);
		break;
	case AGENT_STOP:
		note(s, "STOP\n");
		snprintf(s->stop, sizeof(s->stop), "%s", e->text);
		break;
	case AGENT_RELEASE:
	case AGENT_SAVE_HOST:
		note(s, e->type == AGENT_RELEASE ? "RELEASE\n" : "SAVE_HOST\n");
		break;
	case AGENT_LOG:
	case AGENT_HISTORY:
		break;
	default:
		see_disk(s, e, q);
		break;
	}
}

static void step(struct script *s, struct agent_event *event, struct queue *q)
{
	struct agent_effects effects = {0};

	event->now_ms = s->now_ms;
	event->now_s = SCRIPT_NOW_S;
	memset(event->random, s->random, sizeof(event->random));
	REQUIRE(agent_step(s->agent, event, &effects) == TK_OK);
	for (size_t i = 0; i < effects.count; i++)
		see(s, &effects.items[i], q);
	agent_effects_close(&effects);
}

void script_event(struct script *s, struct agent_event event)
{
	struct queue *q = calloc(1, sizeof(*q));

	REQUIRE(q != NULL);
	step(s, &event, q);
	for (; q->at < q->count; q->at++) {
		struct answer *a = &q->items[q->at];

		a->event.bytes = bytes_span(&a->bytes);
		a->event.message = &a->message;
		step(s, &a->event, q);
		bytes_close(&a->bytes);
	}
	free(q);
}

void script_say(struct script *s, const struct message *m)
{
	script_event(s, (struct agent_event){.type = AGENT_MESSAGE, .message = m});
}

void script_nonce(struct script *s, enum message_type type, uint8_t nonce)
{
	struct message m = {.type = type};

	memset(m.committed.nonce.b, nonce, DIGEST_BYTES);
	script_say(s, &m);
}

void script_pass(struct script *s, uint64_t ms)
{
	for (uint64_t end = s->now_ms + ms; s->now_ms < end;) {
		s->now_ms += AGENT_TICK_MS;
		script_event(s, (struct agent_event){.type = AGENT_TICK});
	}
}

uint64_t script_wait_for_dial(struct script *s)
{
	uint64_t from = s->now_ms;

	while (strstr(s->trace, "DIAL") == NULL)
		script_pass(s, AGENT_TICK_MS);
	script_clear(s);
	return s->now_ms - from;
}

void script_connect(struct script *s)
{
	script_event(s, (struct agent_event){.type = AGENT_UP, .role = ROLE_COORDINATOR});
}

void script_lost(struct script *s)
{
	script_event(s, (struct agent_event){.type = AGENT_DOWN, .text = "the line broke"});
}

void script_sign(struct script *s, struct round_manifest *manifest)
{
	s->manifest.len = 0;
	REQUIRE(round_encode(manifest, &s->manifest) == TK_OK);
	s->lease.lease.manifest = bytes_span(&s->manifest);
	round_sign(&s->lease.lease.signature, &s->root, bytes_span(&s->manifest));
}

void script_announce(struct script *s, uint32_t round)
{
	const struct round_manifest manifest = {.network = s->root.public,
		.recipe = s->tiny.recipe_digest,
		.round = round,
		.unit_count = s->tiny.recipe.train.units_per_round,
		.parameters = s->parameters_digest[round],
		.audit = {{1}}};
	struct bytes payload = {0};
	struct announcement news = {
		.kind = ANNOUNCE_ROUND, .subject = manifest.recipe, .sequence = round + 1u};

	REQUIRE(round_encode(&manifest, &payload) == TK_OK);
	news.payload = bytes_span(&payload);
	script_event(s, (struct agent_event){.type = AGENT_ANNOUNCED, .announcement = &news});
	bytes_close(&payload);
}

void script_stored(struct script *s, uint32_t round)
{
	put_on_disk(s, &s->parameters_digest[round]);
	script_event(s, (struct agent_event){
				.type = AGENT_BLOB_STORED, .digest = s->parameters_digest[round]});
}

void script_lease(struct script *s, uint8_t nonce, uint32_t round, uint32_t index)
{
	uint32_t count = s->tiny.recipe.train.units_per_round;
	struct digest states[16] = {0};
	const struct round_start start = {s->parameters_digest[round], states};
	struct message_lease *l = &s->lease.lease;
	struct round_manifest manifest = {.network = s->root.public,
		.recipe = s->tiny.recipe_digest,
		.round = round,
		.unit_count = count,
		.parameters = start.parameters,
		.audit = {{1}}};
	struct digest path[64];
	struct digest leaves[16];
	struct unit unit;

	REQUIRE(count <= 16);
	for (uint32_t i = 0; i < count && s->state.len > 0; i++)
		digest_blob(&states[i], s->state.data, s->state.len);
	unit_describe(&unit, &manifest.recipe, round, index, &start);
	REQUIRE(round_leaves(leaves, count, &manifest.recipe, round, &start) == TK_OK);
	merkle_root(&manifest.units, leaves, count);
	s->unit.len = 0;
	REQUIRE(unit_encode(&unit, &s->unit) == TK_OK);
	unit_digest(&s->unit_digest, bytes_span(&s->unit));
	s->lease = (struct message){.type = MESSAGE_LEASE};
	memset(l->nonce.b, nonce, DIGEST_BYTES);
	l->deadline_ms = 600000;
	l->unit = bytes_span(&s->unit);
	l->path_steps = (uint32_t)merkle_path(path, leaves, count, index);
	memcpy(l->path, path, l->path_steps * sizeof(path[0]));
	script_sign(s, &manifest);
}

void script_result(struct script *s, size_t payload_bytes)
{
	struct claim claim = {.unit = s->unit_digest, .outcome = OUTCOME_NONFINITE};

	s->payload.len = s->claim.len = 0;
	for (size_t i = 0; i < payload_bytes; i++) {
		uint8_t b = (uint8_t)(i * 31 + i / 251);

		REQUIRE(bytes_append(&s->payload, &b, 1) == TK_OK);
	}
	if (payload_bytes != 0) {
		claim.outcome = OUTCOME_UPDATE;
		claim.loss = 1.5f;
		claim.payload_bytes = payload_bytes;
		digest_blob(&claim.payload, s->payload.data, s->payload.len);
	}
	for (uint32_t i = 0; i < SCRIPT_LEAVES; i++)
		s->leaves[i] = (struct digest){{(uint8_t)(i + 1)}};
	s->leaves[0] = s->unit_digest;
	s->leaves[SCRIPT_LEAVES - 1] = claim.payload;
	merkle_root(&claim.trace, s->leaves, SCRIPT_LEAVES);
	REQUIRE(claim_encode(&claim, &s->claim) == TK_OK);
}

void script_replayed(struct script *s, struct span bytes)
{
	script_event(s,
		(struct agent_event){.type = AGENT_WORKER_REPLAYED, .job = s->job, .bytes = bytes});
}

void script_done(struct script *s)
{
	script_event(s, (struct agent_event){.type = AGENT_WORKER_DONE,
				.job = s->job,
				.claim = bytes_span(&s->claim),
				.leaves = span_of(s->leaves, sizeof(s->leaves)),
				.bytes = bytes_span(&s->payload)});
}

void script_clear(struct script *s)
{
	s->trace_len = 0;
	s->trace[0] = '\0';
}

void script_expect(struct script *s, const char *trace)
{
	if (strcmp(s->trace, trace) != 0) {
		fprintf(stderr, "the agent did:\n%sand should have done:\n%s", s->trace, trace);
		abort();
	}
	script_clear(s);
}

void script_status(struct script *s, struct agent_status *out)
{
	agent_status(s->agent, s->now_ms, out);
}

void script_restart(struct script *s)
{
	agent_free(s->agent);
	s->agent = agent_new(&s->id, &s->link, "baseline");
	REQUIRE(s->agent != NULL);
	script_clear(s);
}

/* As long as the model's, and different in each round. */
static void make_parameters(struct script *s)
{
	size_t parameters;

	REQUIRE(unit_parameters(&s->tiny.recipe, &parameters, NULL) == TK_OK);
	for (size_t r = 0; r < SCRIPT_ROUNDS; r++) {
		struct bytes *b = &s->parameters[r];

		for (size_t i = 0; i < parameters * 4; i++) {
			uint8_t byte = (uint8_t)(r + i);

			REQUIRE(bytes_append(b, &byte, 1) == TK_OK);
		}
		digest_blob(&s->parameters_digest[r], b->data, b->len);
	}
}

/* The recipe has changed. */
static void recipe_again(struct script *s)
{
	s->recipe.len = 0;
	REQUIRE(recipe_encode(&s->tiny.recipe, &s->recipe, NULL) == TK_OK);
	digest_blob(&s->tiny.recipe_digest, s->recipe.data, s->recipe.len);
}

void script_carry(struct script *s, bool recipe_too)
{
	struct recipe *r = &s->tiny.recipe;
	struct state_layout layout;
	size_t parameters;

	r->train.inner_state = INNER_AVERAGE;
	REQUIRE(unit_parameters(r, &parameters, NULL) == TK_OK);
	layout = state_layout(&r->train, parameters);
	for (size_t i = 0; i < state_bytes(&layout); i++) {
		uint8_t byte = (uint8_t)(i * 7);

		REQUIRE(bytes_append(&s->state, &byte, 1) == TK_OK);
	}
	if (recipe_too)
		recipe_again(s);
}

void script_trace_every(struct script *s, uint32_t steps)
{
	s->tiny.recipe.train.trace_every = steps;
	recipe_again(s);
}

void script_open(struct script *s)
{
	uint8_t seed[32] = {1};
	uint8_t secret[32] = {2};

	memset(s, 0, sizeof(*s));
	REQUIRE(crypto_start() == TK_OK);
	REQUIRE(tiny_init(&s->tiny, MODEL_MLP));
	REQUIRE(recipe_encode(&s->tiny.recipe, &s->recipe, NULL) == TK_OK);
	make_parameters(s);
	key_from_seed(&s->root, seed);
	seed[0] = 3;
	identity_init(&s->id, seed, secret, ROLE_PEER, &s->root.public);
	s->link = (struct link){.network = s->root.public,
		.host_count = 2,
		.hosts = {"one.example:4321", "two.example:4321"}};
	s->now_ms = 1000;
	for (uint32_t i = 0; i < s->tiny.recipe.data.train.shards; i++)
		put_on_disk(s, &s->tiny.recipe.data.train.digests[i]);
	script_restart(s);
}

void script_close(struct script *s)
{
	agent_free(s->agent);
	tiny_close(&s->tiny);
	bytes_close(&s->recipe);
	bytes_close(&s->state);
	for (size_t i = 0; i < SCRIPT_ROUNDS; i++)
		bytes_close(&s->parameters[i]);
	bytes_close(&s->saved);
	bytes_close(&s->leases);
	bytes_close(&s->manifest);
	bytes_close(&s->unit);
	bytes_close(&s->claim);
	bytes_close(&s->payload);
	identity_wipe(&s->id);
	key_wipe(&s->root);
}

int script_setup(void **state)
{
	static struct script s;

	script_open(&s);
	*state = &s;
	return 0;
}

int script_teardown(void **state)
{
	script_close(*state);
	return 0;
}

void script_begin(struct script *s)
{
	script_event(s, (struct agent_event){.type = AGENT_START});
	script_connect(s);
	script_lease(s, 1, 0, 0);
	script_say(s, &s->lease);
	script_clear(s);
}
