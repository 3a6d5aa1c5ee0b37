/* Made-up training for disputes: a unit is a chain of seeds, each of which follows from the one before by a
 * hash; a state holds its seed, so that whoever gets one can go on. A wrong variant bends the chain at a step
 * and is right from there on, like a step that was altered. */
#include <stdlib.h>
#include <string.h>

#include "tasks/unit/fault.h"
#include "tasks/unit/replay.h"
#include "tasks/unit/sign.h"
#include "tests/lib/core_sim_state.h"

#define FAILS_AT 1u /* the step that is not finite, where one is not */

struct chain {
	struct digest seeds[SIM_STEPS + 1];
	uint32_t steps; /* done when it ends */
	bool fails;
	struct digest pack;
	struct digest leaves[SIM_STEPS + 2];
	uint32_t leaf_count;
	struct claim claim;
};

static void mix(struct digest *out, const char *what, const struct digest *a, uint64_t n)
{
	uint8_t le[8];
	struct span fields[2] = {span_of(a->b, DIGEST_BYTES), span_of(le, sizeof(le))};
	struct digest x;

	store_le64(le, n);
	digest_fields(&x, what, fields, 2);
	*out = x;
}

/* 24 bits of the seed in each float, then its steps; the rest is 1. */
static void state_make(
	const struct sim *s, const struct digest *seed, uint32_t steps, struct bytes *out)
{
	uint64_t size = 0;

	SIM_CHECK(s, replay_state_bytes(&s->audit.recipe, steps, &size, NULL) == TK_OK);
	for (uint32_t i = 0; i < size / 4; i++) {
		uint32_t word = 1;
		uint8_t le[4];
		uint32_t bits;
		float x;

		if (3 * i < DIGEST_BYTES)
			word = seed->b[3 * i] | (uint32_t)seed->b[3 * i + 1] << 8 |
			       (3 * i + 2 < DIGEST_BYTES ? (uint32_t)seed->b[3 * i + 2] << 16 : 0);
		x = (float)word;
		memcpy(&bits, &x, sizeof(bits));
		store_le32(le, bits);
		SIM_CHECK(s, bytes_append(out, le, 4) == TK_OK);
	}
}

static void state_seed(struct digest *out, struct span blob)
{
	for (uint32_t i = 0; 3 * i < DIGEST_BYTES; i++) {
		uint32_t bits = load_le32(blob.data + 4 * i);
		uint32_t word;
		float x;

		memcpy(&x, &bits, sizeof(x));
		word = (uint32_t)x;
		for (uint32_t b = 0; b < 3 && 3 * i + b < DIGEST_BYTES; b++)
			out->b[3 * i + b] = (uint8_t)(word >> 8 * b);
	}
}

static struct digest state_digest(const struct sim *s, const struct digest *seed, uint32_t steps)
{
	struct bytes blob = {0};
	struct digest out;

	state_make(s, seed, steps, &blob);
	SIM_CHECK(s, replay_state_digest(&s->audit.recipe, steps, bytes_span(&blob), &out, NULL) ==
			     TK_OK);
	bytes_close(&blob);
	return out;
}

static bool fails(const struct sim *s, uint32_t index, uint32_t step)
{
	return s->nonfinite_units && index % 3 == 0 && step == FAILS_AT;
}

/* In which step the variant goes wrong, and how; what is left of it is its second lie. */
static uint32_t lie_of(uint64_t variant, uint32_t *id)
{
	uint32_t step = (uint32_t)(variant >> 16 & 0xff);

	*id = (uint32_t)(variant & 0xffff);
	return step != 0 ? step - 1 : (uint32_t)(variant % (SIM_STEPS + 1));
}

static bool lies(const struct sim *s, uint32_t index, uint64_t variant, uint32_t step, uint32_t *id)
{
	uint32_t at;

	for (; variant != 0; variant >>= 32) {
		at = lie_of(variant & 0xffffffff, id);
		if (fails(s, index, FAILS_AT) && at > FAILS_AT)
			at = FAILS_AT; /* or there would be no later step */
		if (at == step)
			return true;
	}
	return false;
}

static void chain_claim(const struct sim *s, const struct digest *unit, struct chain *c)
{
	const struct train_spec *t = &s->audit.recipe.train;

	c->claim = (struct claim){.unit = *unit, .outcome = OUTCOME_UPDATE, .loss = 0.5f};
	c->leaf_count = trace_leaves(t, c->steps);
	if (c->fails) {
		c->claim = (struct claim){
			.unit = *unit, .outcome = OUTCOME_NONFINITE, .failing_step = c->steps};
		trace_failure(&c->leaves[c->leaf_count++], c->steps);
	} else {
		struct bytes payload = {0};

		sim_payload(s, &c->pack, &payload);
		digest_blob(&c->claim.payload, payload.data, payload.len);
		c->claim.payload_bytes = payload.len;
		bytes_close(&payload);
		c->leaves[c->leaf_count++] = c->claim.payload;
	}
	merkle_root(&c->claim.trace, c->leaves, c->leaf_count);
}

static void chain_make(const struct sim *s, const struct digest *unit, uint32_t index,
	uint64_t variant, struct chain *c)
{
	const struct train_spec *t = &s->audit.recipe.train;
	uint64_t bend = variant == SIM_SAYS_NONFINITE ? 0 : variant;
	uint32_t id;

	*c = (struct chain){0};
	c->leaves[0] = *unit;
	mix(&c->seeds[0], "sim start", unit, 0);
	while (c->steps < SIM_STEPS) {
		struct digest *next = &c->seeds[c->steps + 1];
		bool wrong = lies(s, index, bend, c->steps, &id);

		c->fails = variant == SIM_SAYS_NONFINITE ? c->steps == FAILS_AT
							 : fails(s, index, c->steps) && !wrong;
		if (c->fails)
			break;
		mix(next, "sim step", &c->seeds[c->steps], c->steps);
		if (wrong)
			mix(next, "sim lie", next, id);
		c->steps++;
		if (trace_due(t, c->steps))
			c->leaves[trace_leaves(t, c->steps) - 1] = state_digest(s, next, c->steps);
	}
	mix(&c->pack, "sim pack", &c->seeds[c->steps], 0);
	if (lies(s, index, bend, SIM_STEPS, &id))
		mix(&c->pack, "sim lie", &c->pack, id);
	chain_claim(s, unit, c);
}

void sim_trace_claim(const struct sim *s, const struct digest *unit, uint32_t index,
	uint64_t variant, struct claim *claim, struct digest *pack)
{
	struct chain c;

	chain_make(s, unit, index, variant, &c);
	*claim = c.claim;
	*pack = c.pack;
}

static struct digest result_digest(const struct sim *s, const struct claim *claim)
{
	struct bytes encoded = {0};
	struct digest out;

	SIM_CHECK(s, claim_encode(claim, &encoded) == TK_OK);
	claim_digest(&out, bytes_span(&encoded));
	bytes_close(&encoded);
	return out;
}

/* What peers say */

static void say_trace(
	struct sim *s, uint32_t peer, const struct sim_task *t, struct chain *c, uint32_t offset)
{
	if (s->peers[peer].lie == SIM_BAD_TRACE)
		c->leaves[1].b[0] ^= 1;
	for (uint32_t i = offset; i < c->leaf_count; i += 2) { /* in parts */
		uint32_t n = c->leaf_count - i < 2 ? 1 : 2;
		struct message m = {.type = MESSAGE_TRACE,
			.trace = {t->nonce, c->leaf_count, i,
				span_of(&c->leaves[i], n * DIGEST_BYTES)}};

		sim_say(s, peer, &m);
	}
}

static void say_segment(
	struct sim *s, uint32_t peer, const struct sim_task *t, const struct chain *c, uint32_t k)
{
	const struct sim_peer *p = &s->peers[peer];
	struct message m = {.type = MESSAGE_SEGMENT, .segment = {.nonce = t->nonce, .segment = k}};
	struct digest steps[SIM_STEPS + 1], commitment;
	struct trace_segment segment;
	struct chain honest;

	chain_make(s, &t->unit_digest, t->unit, 0, &honest);
	if (p->lie == SIM_BAD_SEGMENT)
		c = &honest;
	if (!trace_segment(&segment, &s->audit.recipe.train, c->steps, k))
		return; /* what it computes now has no such segment */
	for (uint32_t i = 0; i < segment.count; i++)
		steps[i] = segment.last && i + 1 == segment.count
				   ? result_digest(s, &c->claim)
				   : state_digest(s, &c->seeds[segment.first + i + 1],
					     segment.first + i + 1);
	if (p->lie == SIM_BAD_STEPS && segment.count > 1)
		steps[0].b[3] ^= 1;
	m.segment.total = segment.count;
	m.segment.leaves = span_of(steps, segment.count * DIGEST_BYTES);
	sim_commitment(s, peer, t, &commitment);
	segment_sign(&m.segment.signature, &p->key, &commitment, k, steps, segment.count);
	sim_say(s, peer, &m);
}

static void say_state(struct sim *s, uint32_t peer, const struct sim_task *t, const struct chain *c,
	uint32_t step, uint64_t offset)
{
	struct bytes blob = {0};

	SIM_CHECK(s, step <= c->steps);
	state_make(s, &c->seeds[step], step, &blob);
	if (s->peers[peer].lie == SIM_BAD_STATE)
		blob.data[blob.len - 3] ^= 1;
	for (uint64_t at = offset; at < blob.len;) {
		size_t n = blob.len - at < BLOB_PART_MAX ? (size_t)(blob.len - at) : BLOB_PART_MAX;
		struct message m = {.type = MESSAGE_STATE,
			.state = {t->nonce, step, blob.len, at, span_of(blob.data + at, n)}};

		sim_say(s, peer, &m);
		at += n;
	}
	bytes_close(&blob);
}

void sim_dispute_hears(struct sim *s, uint32_t peer, const struct message *m)
{
	static const enum sim_lie silent[] = {SIM_NO_TRACE, SIM_NO_SEGMENT, SIM_NO_STATE};
	const struct sim_peer *p = &s->peers[peer];
	uint32_t stage = m->type == MESSAGE_TRACE_REQUEST     ? 0
			 : m->type == MESSAGE_SEGMENT_REQUEST ? 1
			 : m->type == MESSAGE_STATE_REQUEST   ? 2
							      : 3;
	struct sim_item *item;

	if (stage == 3 || p->lie == silent[stage])
		return;
	item = sim_later(s, SIM_ANSWER, stage == 0 ? 1 : 1 + p->unit_ms);
	item->peer = peer;
	item->conn = p->conn;
	SIM_CHECK(s, message_encode(m, &item->bytes) == TK_OK);
}

void sim_dispute_answer(struct sim *s, struct sim_item *item)
{
	struct sim_peer *p = &s->peers[item->peer];
	struct sim_task *t;
	struct chain c;
	struct message m;

	SIM_CHECK(s, message_decode(&m, bytes_span(&item->bytes), NULL) == TK_OK);
	t = sim_task_find(p, &m.trace_request.nonce); /* it comes first in all */
	if (t == NULL || !t->done || p->conn == 0 || p->conn != item->conn)
		return; /* it will be asked again */
	chain_make(s, &t->unit_digest, t->unit, t->variant, &c);
	if (m.type == MESSAGE_TRACE_REQUEST)
		say_trace(s, item->peer, t, &c, m.trace_request.offset);
	else if (m.type == MESSAGE_SEGMENT_REQUEST)
		say_segment(s, item->peer, t, &c, m.segment_request.segment);
	else
		say_state(s, item->peer, t, &c, m.state_request.step, m.state_request.offset);
}

/* The referee */

void sim_state_keep(struct sim *s, const struct core_effect *e)
{
	struct bytes copy = {0};

	if (e->type == CORE_REMOVE_BLOB) {
		for (size_t i = 0; i < s->state_blob_count; i++) {
			struct digest is;

			digest_blob(&is, s->state_blobs[i].data, s->state_blobs[i].len);
			if (!digest_equal(&is, &e->digest))
				continue;
			bytes_close(&s->state_blobs[i]);
			s->state_blobs[i] = s->state_blobs[--s->state_blob_count];
			return;
		}
		return;
	}
	if (e->bytes.len == s->payload_bytes)
		return;
	s->state_blobs =
		realloc(s->state_blobs, (s->state_blob_count + 1) * sizeof(*s->state_blobs));
	SIM_CHECK(s, s->state_blobs != NULL &&
			     bytes_append(&copy, e->bytes.data, e->bytes.len) == TK_OK);
	s->state_blobs[s->state_blob_count++] = copy;
}

void sim_step_ask(struct sim *s, const struct core_effect *e)
{
	struct sim_item *item = sim_later(s, SIM_STEP, s->referee_ms / 5);

	s->referee_steps++;
	item->round = e->round_index;
	item->unit = e->unit_index;
	item->step = e->step;
	item->seed = e->job;
	item->blob = e->digest;
	SIM_CHECK(s, bytes_append(&item->bytes, e->bytes.data, e->bytes.len) == TK_OK);
	if (e->step == 0)
		return;
	SIM_CHECK(s, e->bytes.len / DIGEST_BYTES == trace_leaves(&s->audit.recipe.train, e->step));
	for (size_t i = 0; i < s->state_blob_count; i++) {
		struct digest blob, is;

		digest_blob(&blob, s->state_blobs[i].data, s->state_blobs[i].len);
		if (!digest_equal(&blob, &e->digest))
			continue;
		SIM_CHECK(s, replay_state_digest(&s->audit.recipe, e->step,
				     bytes_span(&s->state_blobs[i]), &is, NULL) == TK_OK);
		SIM_CHECK(s, digest_equal(&is, &e->state));
		SIM_CHECK(s, bytes_append(&item->bytes, s->state_blobs[i].data,
				     s->state_blobs[i].len) == TK_OK);
		return;
	}
	sim_broken(s, "the referee's state is stored");
}

static void step_finish(const struct sim *s, struct chain *c, const struct digest *unit,
	struct span leaves, struct bytes *claim)
{
	memcpy(c->leaves, leaves.data, leaves.len);
	c->leaves[0] = *unit;
	mix(&c->pack, "sim pack", &c->seeds[c->steps], 0);
	chain_claim(s, unit, c);
	SIM_CHECK(s, claim_encode(&c->claim, claim) == TK_OK);
}

void sim_step_answer(struct sim *s, const struct sim_item *item)
{
	struct core_event event = {.type = CORE_STEPPED,
		.project = 1,
		.round = item->round,
		.unit = item->unit,
		.job = item->seed};
	const struct digest *theta;
	uint32_t leaves = item->step > 0 ? trace_leaves(&s->audit.recipe.train, item->step) : 0;
	struct bytes encoded = {0}, claim = {0};
	struct chain c = {.steps = item->step};
	struct digest digest, next;
	struct unit unit;

	if (item->round > s->project.round)
		return;
	theta = sim_start_of(s, item->round);
	unit_describe(&unit, &s->recipe_digest, item->round, item->unit,
		&(struct round_start){*theta, sim_states(s, theta)});
	SIM_CHECK(s, unit_encode(&unit, &encoded) == TK_OK);
	unit_digest(&digest, bytes_span(&encoded));
	bytes_close(&encoded);
	if (item->step == 0)
		mix(&c.seeds[0], "sim start", &digest, 0);
	else
		state_seed(&c.seeds[item->step], span_of(item->bytes.data + leaves * DIGEST_BYTES,
							 item->bytes.len - leaves * DIGEST_BYTES));
	c.fails = fails(s, item->unit, item->step);
	if (c.fails || item->step == SIM_STEPS) {
		step_finish(
			s, &c, &digest, span_of(item->bytes.data, leaves * DIGEST_BYTES), &claim);
		event.claim = bytes_span(&claim);
	} else {
		mix(&next, "sim step", &c.seeds[item->step], item->step);
		event.state = state_digest(s, &next, item->step + 1);
	}
	if (s->referee_broken) {
		event.claim = (struct span){0};
		event.state.b[0] ^= 1;
	}
	sim_event(s, &event);
	bytes_close(&claim);
}
