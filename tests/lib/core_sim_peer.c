/* The simulated volunteers: an honest agent, and everything that a dishonest or broken one might
 * do. */
#include <stdio.h>
#include <string.h>

#include "tests/lib/core_sim_state.h"

#define SLOTS 2u

/* Made-up payloads, finite as floats. */
void sim_payload(const struct sim *s, const struct digest *pack, struct bytes *out)
{
	for (size_t i = 0; i < s->payload_bytes / 4; i++) {
		uint8_t le[4];
		float x = (float)pack->b[i % DIGEST_BYTES] - (float)(i % 7);
		uint32_t bits;

		memcpy(&bits, &x, sizeof(bits));
		store_le32(le, bits);
		SIM_CHECK(s, bytes_append(out, le, 4) == TK_OK);
	}
}

/* Made-up results: bytes that follow from the unit's digest and the variant, finite as floats. */
void sim_result(const struct sim *s, const struct digest *unit, uint32_t index, uint64_t variant,
	struct bytes *claim, struct bytes *payload)
{
	struct digest pack;
	struct claim c;

	sim_trace_claim(s, unit, index, variant, &c, &pack);
	if (c.outcome == OUTCOME_UPDATE)
		sim_payload(s, &pack, payload);
	SIM_CHECK(s, claim_encode(&c, claim) == TK_OK);
}

void sim_task_close(struct sim_task *t)
{
	bytes_close(&t->payload);
	*t = (struct sim_task){0};
}

struct sim_task *sim_task_find(struct sim_peer *p, const struct digest *nonce)
{
	for (uint32_t i = 0; i < SIM_TASKS_MAX; i++)
		if (p->tasks[i].used && digest_equal(&p->tasks[i].nonce, nonce))
			return &p->tasks[i];
	return NULL;
}

struct sim_task *sim_task_of(struct sim *s, uint32_t peer, uint32_t unit)
{
	struct sim_task *newest = NULL;

	for (uint32_t i = 0; i < SIM_TASKS_MAX; i++) {
		struct sim_task *t = &s->peers[peer].tasks[i];

		if (t->used && t->unit == unit && (newest == NULL || t->round > newest->round))
			newest = t;
	}
	return newest;
}

void sim_request(struct sim *s, uint32_t peer, uint32_t slots)
{
	struct message m = {.type = MESSAGE_WORK_REQUEST, .work_request = {.slots = slots}};

	snprintf(m.work_request.engine, sizeof(m.work_request.engine), "%s",
		s->peers[peer].engine != NULL ? s->peers[peer].engine : "baseline");
	snprintf(m.work_request.team, sizeof(m.work_request.team), "%s",
		s->peers[peer].team != NULL ? s->peers[peer].team : "");
	sim_say(s, peer, &m);
}

void sim_peer_asks(struct sim *s, uint32_t peer)
{
	struct sim_peer *p = &s->peers[peer];
	uint32_t computing = 0;

	if (p->conn == 0 || p->over || p->behaviour == SIM_MANUAL)
		return;
	for (uint32_t i = 0; i < SIM_TASKS_MAX; i++)
		computing += p->tasks[i].used && !p->tasks[i].done;
	if (p->behaviour == SIM_VANISHES)
		computing = 0;
	if (computing < SLOTS)
		sim_request(s, peer, SLOTS - computing);
}

static uint64_t variant_of(struct sim *s, uint32_t peer, const struct sim_task *t)
{
	switch (s->peers[peer].behaviour) {
	case SIM_WRONG:
		return peer + 1;
	case SIM_WRONG_RARELY:
		return t->unit_digest.b[0] % 4 == 0 ? peer + 1 : 0;
	default:
		return 0;
	}
}

static void compute(struct sim *s, uint32_t peer, struct sim_task *t, uint64_t variant)
{
	struct bytes claim = {0};
	struct claim c;

	if (t->done)
		return;
	t->variant = variant;
	sim_result(s, &t->unit_digest, t->unit, variant, &claim, &t->payload);
	if (s->peers[peer].behaviour == SIM_MISFIT) {
		SIM_CHECK(s, claim_decode(&c, bytes_span(&claim), NULL) == TK_OK);
		c = (struct claim){.unit = c.unit,
			.outcome = OUTCOME_UPDATE,
			.payload_bytes = 1,
			.payload = c.trace,
			.trace = c.trace};
		claim.len = 0;
		SIM_CHECK(s, claim_encode(&c, &claim) == TK_OK);
	}
	SIM_CHECK(s, claim.len <= CLAIM_BYTES_MAX);
	memcpy(t->claim, claim.data, claim.len);
	t->claim_bytes = (uint32_t)claim.len;
	bytes_close(&claim);
	for (size_t i = 0; i < DIGEST_BYTES; i++)
		t->salt.b[i] = (uint8_t)sim_random(s, 256);
	t->done = true;
}

void sim_compute(struct sim *s, uint32_t peer, struct sim_task *t, uint64_t variant)
{
	compute(s, peer, t, variant);
}

void sim_commitment(struct sim *s, uint32_t peer, const struct sim_task *t, struct digest *out)
{
	struct commitment x = {.network = s->root.public,
		.unit = t->unit_digest,
		.nonce = t->nonce,
		.peer = s->peers[peer].key.public,
		.salt = t->salt};
	struct claim c;

	SIM_CHECK(s, claim_decode(&c, span_of(t->claim, t->claim_bytes), NULL) == TK_OK);
	x.trace = c.trace;
	claim_digest(&x.result, span_of(t->claim, t->claim_bytes));
	commitment_digest(out, &x);
}

static void commit(struct sim *s, uint32_t peer, const struct sim_task *t, bool other)
{
	struct sim_peer *p = &s->peers[peer];
	struct message m = {.type = MESSAGE_COMMIT, .commit = {.nonce = t->nonce}};
	struct sim_task as_said = *t;
	struct span fields[2];

	as_said.salt.b[0] ^= other;
	sim_commitment(s, peer, &as_said, &m.commit.commitment);
	fields[0] = span_of(m.commit.commitment.b, DIGEST_BYTES);
	fields[1] = span_of(m.commit.nonce.b, DIGEST_BYTES);
	key_sign(&m.commit.signature, &p->key, "talkoot commit", fields, 2);
	sim_say(s, peer, &m);
}

void sim_commit(struct sim *s, uint32_t peer, struct sim_task *t)
{
	commit(s, peer, t, false);
}

void sim_reveal(struct sim *s, uint32_t peer, struct sim_task *t)
{
	struct message m = {.type = MESSAGE_REVEAL,
		.reveal = {.nonce = t->nonce,
			.salt = t->salt,
			.claim = span_of(t->claim, t->claim_bytes)}};

	if (s->peers[peer].behaviour == SIM_MISMATCH)
		m.reveal.salt.b[5] ^= 1;
	sim_say(s, peer, &m);
}

static void upload_from(struct sim *s, uint32_t peer, struct sim_task *t, uint64_t offset)
{
	enum sim_behaviour b = s->peers[peer].behaviour;
	struct bytes *bytes = &t->payload;
	size_t end = bytes->len;

	if (b == SIM_BAD_PAYLOAD)
		bytes->data[end / 2] ^= 1;
	if (b == SIM_SHORT_PAYLOAD)
		end -= 4;
	for (uint64_t at = offset; at < end;) {
		size_t n = end - at < BLOB_PART_MAX ? (size_t)(end - at) : BLOB_PART_MAX;
		struct message m = {.type = MESSAGE_UPLOAD,
			.upload = {t->nonce, at, span_of(bytes->data + at, n)}};

		sim_say(s, peer, &m);
		at += n;
	}
	if (b == SIM_HUGE_PAYLOAD) {
		struct message m = {
			.type = MESSAGE_UPLOAD, .upload = {t->nonce, 0, span_of(bytes->data, 4)}};

		sim_say(s, peer, &m);
	}
}

void sim_upload(struct sim *s, uint32_t peer, struct sim_task *t)
{
	upload_from(s, peer, t, 0);
}

static void huge_payload(struct sim_task *t)
{
	int rc = bytes_append(&t->payload, "more", 4);

	(void)rc;
}

void sim_connect(struct sim *s, uint32_t peer)
{
	struct sim_peer *p = &s->peers[peer];
	struct core_event up = {.type = CORE_PEER_UP, .key = &p->key.public, .prefix = p->prefix};

	if (p->conn != 0 || p->over)
		return;
	p->conn = up.conn = ++s->last_conn;
	sim_event(s, &up);
	if (p->behaviour == SIM_MANUAL)
		return;
	for (uint32_t i = 0; i < SIM_TASKS_MAX; i++)
		if (p->tasks[i].used && p->tasks[i].done)
			commit(s, peer, &p->tasks[i], false);
	sim_peer_asks(s, peer);
}

void sim_peer_computed(struct sim *s, uint32_t peer, const struct digest *nonce)
{
	struct sim_peer *p = &s->peers[peer];
	struct sim_task *t = sim_task_find(p, nonce);

	if (t == NULL || t->done)
		return; /* settled or forgotten meanwhile */
	compute(s, peer, t, variant_of(s, peer, t));
	if (p->behaviour == SIM_HUGE_PAYLOAD)
		huge_payload(t);
	if (p->conn == 0) {
		if (s->places != 0)
			sim_later(s, SIM_CONNECT, sim_random(s, 2000))->peer = peer;
		return;
	}
	commit(s, peer, t, false);
	if (p->behaviour == SIM_EQUIVOCATES)
		commit(s, peer, t, true);
	sim_peer_asks(s, peer);
}

static void hears_lease(struct sim *s, uint32_t peer, const struct message_lease *m)
{
	struct sim_peer *p = &s->peers[peer];
	struct sim_item *item;
	struct sim_task *t = sim_task_find(p, &m->nonce);
	struct unit unit;

	if (t != NULL)
		return; /* it knows it already */
	SIM_CHECK(s, unit_decode(&unit, m->unit, NULL) == TK_OK);
	if (p->behaviour == SIM_ABANDONS && sim_random(s, 2) == 0) {
		struct message give_back = {
			.type = MESSAGE_ABANDON, .abandon = {.nonce = m->nonce, .text = "no time"}};

		sim_say(s, peer, &give_back);
		return;
	}
	for (uint32_t i = 0; i < SIM_TASKS_MAX && t == NULL; i++)
		if (!p->tasks[i].used)
			t = &p->tasks[i];
	SIM_CHECK(s, t != NULL);
	*t = (struct sim_task){
		.used = true, .nonce = m->nonce, .round = unit.round, .unit = unit.index};
	unit_digest(&t->unit_digest, m->unit);
	if (p->behaviour == SIM_MANUAL || p->behaviour == SIM_VANISHES)
		return;
	if (p->busy_until_ms < s->now_ms)
		p->busy_until_ms = s->now_ms;
	p->busy_until_ms += p->unit_ms;
	item = sim_later(s, SIM_COMPUTED, p->busy_until_ms - s->now_ms);
	item->peer = peer;
	item->nonce = m->nonce;
}

static void inbox_add(struct sim *s, struct sim_peer *p, const struct message *m)
{
	if (p->behaviour != SIM_MANUAL)
		return;
	SIM_CHECK(s, p->inbox_count < SIM_INBOX_MAX);
	p->inbox[p->inbox_count++] = *m;
}

void sim_peer_hears(struct sim *s, uint32_t peer, const struct message *m)
{
	struct sim_peer *p = &s->peers[peer];
	struct sim_task *t;

	inbox_add(s, p, m);
	sim_dispute_hears(s, peer, m);
	if (m->type == MESSAGE_LEASE)
		hears_lease(s, peer, &m->lease);
	if (p->behaviour == SIM_MANUAL)
		return;
	if (m->type == MESSAGE_SELFTEST_REQUEST && !p->untested) {
		sim_selftest(s, peer, m->selftest_request.seed);
	} else if (m->type == MESSAGE_NO_WORK) {
		sim_later(s, SIM_RETRY, m->no_work.retry_ms)->peer = peer;
	} else if (m->type == MESSAGE_REVEAL_REQUEST) {
		t = sim_task_find(p, &m->reveal_request.nonce);
		if (t != NULL && t->done && p->behaviour != SIM_WITHHOLDS)
			sim_reveal(s, peer, t);
	} else if (m->type == MESSAGE_UPLOAD_REQUEST) {
		t = sim_task_find(p, &m->upload_request.nonce);
		if (t != NULL && t->done && p->behaviour != SIM_NO_PAYLOAD)
			upload_from(s, peer, t, m->upload_request.offset);
	} else if (m->type == MESSAGE_SETTLED) {
		t = sim_task_find(p, &m->settled.nonce);
		if (t != NULL)
			sim_task_close(t);
		sim_peer_asks(s, peer);
	}
}

const struct message *sim_last(const struct sim *s, uint32_t peer, enum message_type type)
{
	const struct sim_peer *p = &s->peers[peer];

	for (size_t i = p->inbox_count; i > 0; i--)
		if (p->inbox[i - 1].type == type)
			return &p->inbox[i - 1];
	return NULL;
}

size_t sim_count(const struct sim *s, uint32_t peer, enum message_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < s->peers[peer].inbox_count; i++)
		n += s->peers[peer].inbox[i].type == type;
	return n;
}
