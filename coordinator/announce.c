/* What the coordinator tells the whole network: that a project begins, each of its rounds, that it pauses or
 * ends, whom it has retired, and every half minute a beacon that names the newest of all that. Peers pass
 * announcements on; nothing here knows how.
 *
 * Sequences never fall: a round's follows from its number and the rollbacks before it, the others are times, by a clock of our own that never
 * stands or goes back: the wall clock's time, or a millisecond after the last announcement. That is saved before
 * anything is said, so it holds over a restart with a clock that was set back, too. */
#include <stdio.h>

#include "coordinator/core_state.h"

#define BEACON_MS 30000u

static uint64_t clock_next(struct core *c)
{
	c->announced_ms = c->now_ms > c->announced_ms ? c->now_ms : c->announced_ms + 1;
	c->announced = true;
	return c->announced_ms;
}

/* rc: whether the payload could be encoded. Frees payload. */
static void announce(struct core *c, enum announcement_kind kind, const struct digest *subject,
	uint64_t sequence, int rc, struct bytes *payload)
{
	const struct announcement a = {.kind = kind,
		.subject = *subject,
		.sequence = sequence,
		.issued_s = c->announced_ms / 1000,
		.payload = bytes_span(payload)};
	struct bytes encoded = {0};

	if (rc == TK_OK)
		rc = announcement_encode(&a, &encoded);
	if (rc == TK_OK)
		announce_say(c, &encoded);
	else
		c->error = TK_ENOMEM; /* payloads are small enough by their own limits */
	bytes_close(&encoded);	      /* what is said has been taken out of it */
	bytes_close(payload);
}

static void announce_manifest(struct core *c, const struct core_project *p)
{
	struct project_notice n = {.rounds = p->row.rounds,
		.units_per_round = p->row.units_per_round,
		.parameters = p->row.parameter_count};
	struct bytes payload = {0};
	int rc;

	snprintf(n.name, sizeof(n.name), "%s", p->row.name);
	rc = project_notice_encode(&n, &payload);
	(void)clock_next(c);
	announce(c, ANNOUNCE_MANIFEST, &p->row.recipe, 1, rc, &payload);
}

static uint64_t round_sequence(const struct core_project *p)
{
	return (uint64_t)p->row.rollbacks << 32 | (p->row.round + 1);
}

void announce_round(struct core *c, struct core_project *p)
{
	struct bytes payload = {0};
	int rc = bytes_append(&payload, p->now->manifest.data, p->now->manifest.len);

	if (!p->announced)
		announce_manifest(c, p);
	p->announced = true;
	(void)clock_next(c);
	announce(c, ANNOUNCE_ROUND, &p->row.recipe, round_sequence(p), rc, &payload);
}

void announce_control(struct core *c, struct core_project *p)
{
	enum control_state state = p->row.state == PROJECT_RUNNING  ? CONTROL_RUNNING
				   : p->row.state == PROJECT_PAUSED ? CONTROL_PAUSED
								    : CONTROL_ENDED;
	struct bytes payload = {0};
	int rc = control_encode(state, &payload);

	p->controlled_ms = clock_next(c);
	announce(c, ANNOUNCE_CONTROL, &p->row.recipe, p->controlled_ms, rc, &payload);
}

static void announce_revocations(struct core *c)
{
	static const struct digest nobody;
	struct bytes payload = {0};
	int rc = revocations_encode(&c->revoked, &payload);

	c->revoked_ms = clock_next(c);
	announce(c, ANNOUNCE_REVOKE, &nobody, c->revoked_ms, rc, &payload);
}

void revocation_load(struct core *c, const struct public_key *key)
{
	struct revocations *r = &c->revoked;

	if (r->count < REVOCATIONS_MAX)
		r->count++;
	for (uint32_t i = r->count - 1; i > 0; i--)
		r->keys[i] = r->keys[i - 1];
	r->keys[0] = *key;
}

void announce_revocation(struct core *c, const struct public_key *key)
{
	revocation_load(c, key);
	announce_revocations(c);
}

/* It is not on the list any more; those who never saw the new list do not talk to it for a while. */
void announce_readmission(struct core *c, const struct public_key *key)
{
	struct revocations *r = &c->revoked;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < r->count; i++)
		if (!key_equal(&r->keys[i], key))
			r->keys[kept++] = r->keys[i];
	r->count = kept;
	announce_revocations(c);
}

static void head_add(struct beacon *b, enum announcement_kind kind, const struct digest *subject,
	uint64_t sequence)
{
	if (sequence != 0 && b->head_count < BEACON_HEADS_MAX)
		b->heads[b->head_count++] = (struct topic_head){kind, *subject, sequence};
}

/* With more projects than a beacon has room for, the oldest are named: they are what is worked on. */
static void announce_beacon(struct core *c)
{
	static const struct digest nobody;
	struct beacon b = {.ledger = c->ledger.digest, .ledger_sequence = c->ledger.sequence};
	struct bytes payload = {0};
	int rc;

	head_add(&b, ANNOUNCE_REVOKE, &nobody, c->revoked_ms);
	for (const struct core_project *p = c->projects; p != NULL; p = p->next) {
		if (!p->announced)
			continue;
		head_add(&b, ANNOUNCE_MANIFEST, &p->row.recipe, 1);
		head_add(&b, ANNOUNCE_ROUND, &p->row.recipe, round_sequence(p));
		head_add(&b, ANNOUNCE_CONTROL, &p->row.recipe, p->controlled_ms);
	}
	rc = beacon_encode(&b, &payload);
	/* in whole seconds, each after the last */
	c->announced_ms = (clock_next(c) + 999) / 1000 * 1000;
	announce(c, ANNOUNCE_BEACON, &nobody, c->announced_ms / 1000, rc, &payload);
	c->beacon_ms = c->now_ms;
}

void announce_start(struct core *c)
{
	for (struct core_project *p = c->projects; p != NULL; p = p->next) {
		if (p->now == NULL)
			continue;
		if (!p->announced)
			announce_round(c, p);
		announce_control(c, p); /* what was said before a crash may not be what is true */
	}
	if (c->revoked.count != 0)
		announce_revocations(c);
	announce_beacon(c);
}

void announce_tick(struct core *c)
{
	if (c->now_ms >= c->beacon_ms + BEACON_MS || c->now_ms < c->beacon_ms)
		announce_beacon(c);
}

void announced_save(struct core *c)
{
	if (c->announced)
		announced_push(c, c->announced_ms);
	c->announced = false;
}

void core_load_announced(struct core *c, uint64_t announced_ms)
{
	c->announced_ms = announced_ms;
}
