/* The simulated store and the promises that are checked at every effect. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/unit/fault.h"
#include "tests/lib/core_sim_state.h"

_Noreturn void sim_broken(const struct sim *s, const char *what)
{
	fprintf(stderr,
		"seed %llu, %llu ms, step %llu: broken: %s\n"
		"replay: CORE_SIM_SEED=%llu and the same test program\n",
		(unsigned long long)s->seed, (unsigned long long)s->now_ms,
		(unsigned long long)s->steps, what, (unsigned long long)s->seed);
	abort();
}

struct unit_row *sim_unit_row(struct sim *s, uint32_t round, uint32_t unit)
{
	SIM_CHECK(s, round < s->rounds && unit < s->units);
	return &s->unit_rows[round * s->units + unit];
}

const struct unit_row *sim_unit(const struct sim *s, uint32_t round, uint32_t unit)
{
	return &s->unit_rows[round * s->units + unit];
}

const struct replica_row *sim_replica(const struct sim *s, const struct digest *nonce)
{
	for (size_t i = 0; i < s->replica_count; i++)
		if (digest_equal(&s->replicas[i].nonce, nonce))
			return &s->replicas[i];
	return NULL;
}

const struct peer_row *sim_peer_row(const struct sim *s, uint32_t peer)
{
	for (size_t i = 0; i < s->peer_row_count; i++)
		if (key_equal(&s->peer_rows[i].key, &s->peers[peer].key.public))
			return &s->peer_rows[i];
	return NULL;
}

void sim_adaptive(struct sim *s, double floor)
{
	s->project.policy = VERIFY_ADAPTIVE;
	s->project.audit_floor = floor;
	s->project.settle_rounds = 1;
	s->project.on_fraud = FRAUD_ROLLBACK;
}

void sim_settle_rounds(struct sim *s, uint32_t settle_rounds, enum on_fraud on_fraud)
{
	s->project.settle_rounds = settle_rounds;
	s->project.on_fraud = on_fraud;
}

void sim_trust(struct sim *s, uint32_t peer, uint64_t trust)
{
	struct peer_row *row = (struct peer_row *)sim_peer_row(s, peer);

	if (row == NULL)
		row = &s->peer_rows[s->peer_row_count++];
	row->key = s->peers[peer].key.public;
	row->trust = trust;
}

void sim_credit(struct sim *s, uint32_t peer, uint64_t flops)
{
	((struct peer_row *)sim_peer_row(s, peer))->credit_flops = flops;
}

bool sim_has_blob(const struct sim *s, const struct digest *digest)
{
	for (size_t i = 0; i < s->blob_count; i++)
		if (digest_equal(&s->blobs[i], digest))
			return true;
	return false;
}

void sim_blob_add(struct sim *s, const struct digest *digest)
{
	if (sim_has_blob(s, digest))
		return;
	if (s->blob_count == s->blob_capacity) {
		s->blob_capacity = s->blob_capacity * 2 + 64;
		s->blobs = realloc(s->blobs, s->blob_capacity * sizeof(*s->blobs));
		SIM_CHECK(s, s->blobs != NULL);
	}
	s->blobs[s->blob_count++] = *digest;
}

const struct digest *sim_start_of(const struct sim *s, uint32_t round)
{
	SIM_CHECK(s, round <= s->project.round);
	return round == s->project.round ? &s->project.parameters : &s->round_rows[round].start;
}

/* The result that an honest machine gets for the unit of this row. */
static void honest_result(struct sim *s, uint32_t round, uint32_t index, struct digest *out)
{
	struct digest parameters = *sim_start_of(s, round);
	struct bytes encoded = {0}, claim = {0}, payload = {0};
	struct digest digest;
	struct unit unit;
	int rc;

	unit_describe(&unit, &s->recipe_digest, round, index,
		&(struct round_start){parameters, sim_states(s, &parameters)});
	rc = unit_encode(&unit, &encoded);
	SIM_CHECK(s, rc == TK_OK);
	unit_digest(&digest, bytes_span(&encoded));
	sim_result(s, &digest, index, 0, &claim, &payload);
	claim_digest(out, bytes_span(&claim));
	bytes_close(&encoded);
	bytes_close(&claim);
	bytes_close(&payload);
}

static bool payload_stored(struct sim *s, const struct unit_row *row)
{
	struct claim claim;

	SIM_CHECK(s, claim_decode(&claim, span_of(row->claim, row->claim_bytes), NULL) == TK_OK);
	return claim.outcome == OUTCOME_NONFINITE || sim_has_blob(s, &claim.payload);
}

static void save_unit(struct sim *s, const struct unit_row *row)
{
	struct digest honest;

	if (row->project != s->project.id)
		return;
	*sim_unit_row(s, row->round, row->index) = *row;
	if (row->state != UNIT_SETTLED || row->round > s->project.round)
		return;
	honest_result(s, row->round, row->index, &honest);
	SIM_CHECK(s, s->project.policy == VERIFY_ADAPTIVE ||
			     digest_equal(&honest, &row->result)); /* safety */
	SIM_CHECK(s, payload_stored(s, row));
}

static void save_replica(struct sim *s, const struct replica_row *row)
{
	struct replica_row *old = NULL;

	for (size_t i = 0; i < s->replica_count; i++) {
		struct replica_row *x = &s->replicas[i];

		if (digest_equal(&x->nonce, &row->nonce))
			old = x;
		else /* never two results of one identity */
			SIM_CHECK(s, x->project != row->project || x->round != row->round ||
					     x->unit != row->unit || x->attempt != row->attempt ||
					     !key_equal(&x->peer, &row->peer) ||
					     x->committed_ms == 0 || row->committed_ms == 0);
	}
	if (old != NULL) {
		*old = *row;
		return;
	}
	if (s->replica_count == s->replica_capacity) {
		s->replica_capacity = s->replica_capacity * 2 + 64;
		s->replicas = realloc(s->replicas, s->replica_capacity * sizeof(*s->replicas));
		SIM_CHECK(s, s->replicas != NULL);
	}
	s->replicas[s->replica_count++] = *row;
}

/* Who is wrong, or signs steps in a dispute that are made up, however right the result. */
static bool may_be_retired(const struct sim_peer *p)
{
	enum sim_behaviour b = p->behaviour;

	return (b != SIM_HONEST && p->lie == SIM_BAD_STEPS) || b == SIM_WRONG ||
	       b == SIM_WRONG_RARELY || b == SIM_MISFIT || b == SIM_EQUIVOCATES || b == SIM_MANUAL;
}

static void save_peer(struct sim *s, const struct peer_row *row)
{
	uint32_t peer = sim_peer_of_key(s, &row->key);
	struct peer_row *to = (struct peer_row *)sim_peer_row(s, peer);

	SIM_CHECK(s, !row->retired || may_be_retired(&s->peers[peer]));
	SIM_CHECK(s, !row->retired || row->faults > 0);
	SIM_CHECK(s, s->peers[peer].behaviour != SIM_HONEST || row->invalid == 0);
	if (to == NULL)
		to = &s->peer_rows[s->peer_row_count++];
	*to = *row;
}

/* The chain goes on where the last commit left it, whatever crashed, and what it says is readable. */
static void save_ledger(struct sim *s, const struct core_effect *e)
{
	struct ledger_head next = s->ledger;
	struct ledger_entry entry;
	struct digest content;
	struct errmsg msg = {""};
	struct sim_entry *to;
	int rc = TK_OK;

	SIM_CHECK(s, ledger_decode(&entry, bytes_span(&e->bytes), NULL) == TK_OK);
	ledger_content_digest(&content, bytes_span(&e->bytes));
	ledger_head_add(&next, &entry.project, &content);
	SIM_CHECK(s, next.sequence == e->ledger.head.sequence);
	SIM_CHECK(s, digest_equal(&next.digest, &e->ledger.head.digest));
	SIM_CHECK(s, entry.kind == e->ledger.kind);
	if (e->ledger.project == s->project.id) /* what an export of it would hold */
		rc = audit_take(
			&s->audit, next.sequence, next.sequence, bytes_span(&e->bytes), &msg);
	if (rc != TK_OK)
		sim_broken(s, msg.text);
	SIM_CHECK(s, e->ledger.is_signed || entry.kind != LEDGER_MERGE);
	if (e->ledger.is_signed)
		SIM_CHECK(s, ledger_head_verify(&s->root.public, &e->ledger.signature, &next));
	s->ledger = next;
	if (s->entry_count == s->entry_capacity) {
		s->entry_capacity = s->entry_capacity * 2 + 64;
		s->entries = realloc(s->entries, s->entry_capacity * sizeof(*s->entries));
		SIM_CHECK(s, s->entries != NULL);
	}
	to = &s->entries[s->entry_count++];
	*to = (struct sim_entry){.row = e->ledger};
	SIM_CHECK(s, bytes_append(&to->content, e->bytes.data, e->bytes.len) == TK_OK);
}

/* Nothing is said to be proven against an honest peer, and what is said can be checked by anybody. */
static void save_fault(struct sim *s, const struct core_effect *e)
{
	const struct recipe *recipe = &s->audit.recipe;
	struct fault_statement f;
	struct fault_facts facts;
	struct errmsg msg = {""};
	struct digest digest;
	struct digest honest;
	struct bytes claim = {0}, payload = {0};

	fault_digest(&digest, bytes_span(&e->bytes));
	SIM_CHECK(s, digest_equal(&digest, &e->digest));
	if (fault_decode(&f, bytes_span(&e->bytes), &msg) != TK_OK ||
		fault_check(&f, &facts, &msg) != TK_OK)
		sim_broken(s, msg.text);
	SIM_CHECK(s, may_be_retired(&s->peers[sim_peer_of_key(s, &f.peer)]));
	if (f.kind == FAULT_TRACE)
		SIM_CHECK(s, trace_impossible(&recipe->train, s->payload_bytes, &facts.unit_digest,
				     &facts.claim, NULL, 0, &msg));
	if (f.kind == FAULT_WHOLE) {
		sim_result(s, &facts.unit_digest, facts.unit.index, 0, &claim, &payload);
		claim_digest(&honest, bytes_span(&claim));
		SIM_CHECK(s, !digest_equal(&honest, &facts.result));
		bytes_close(&claim);
		bytes_close(&payload);
	}
	if (s->faults++ == 0)
		s->first_fault = f.nonce;
}

void sim_save(struct sim *s, const struct core_effect *e)
{
	struct digest digest;

	switch (e->type) {
	case CORE_SAVE_PROJECT:
		if (e->project.id == s->project.id)
			s->project = e->project;
		break;
	case CORE_SAVE_ROUND:
		s->round_rows[e->round.round] = e->round;
		break;
	case CORE_SAVE_UNIT:
		save_unit(s, &e->unit);
		break;
	case CORE_SAVE_REPLICA:
		save_replica(s, &e->replica);
		break;
	case CORE_SAVE_PEER:
		save_peer(s, &e->peer);
		break;
	case CORE_SAVE_ANNOUNCED:
		s->announced_ms = e->announced_ms;
		break;
	case CORE_STORE_BLOB:
		digest_blob(&digest, e->bytes.data, e->bytes.len);
		SIM_CHECK(s, digest_equal(&digest, &e->digest));
		sim_blob_add(s, &digest);
		sim_state_keep(s, e);
		break;
	case CORE_LEDGER:
		save_ledger(s, e);
		break;
	case CORE_FAULT:
		save_fault(s, e);
		break;
	default:
		break;
	}
}

static void check_lease(struct sim *s, const struct message_lease *m)
{
	const struct replica_row *row = sim_replica(s, &m->nonce);
	struct round_manifest manifest;
	struct digest leaf;
	struct unit unit;

	SIM_CHECK(s, row != NULL && row->state == REPLICA_LEASED);
	SIM_CHECK(s, round_decode(&manifest, m->manifest, NULL) == TK_OK);
	SIM_CHECK(s, round_verify(&s->root.public, &m->signature, m->manifest));
	SIM_CHECK(s, unit_decode(&unit, m->unit, NULL) == TK_OK);
	unit_digest(&leaf, m->unit);
	SIM_CHECK(s, merkle_verify(&manifest.units, &leaf, unit.index, manifest.unit_count, m->path,
			     m->path_steps));
	SIM_CHECK(s, unit.index == row->unit && unit.round == row->round);
	SIM_CHECK(s, m->deadline_ms > 0);
}

/* What is said is on disk. */
void sim_check_said(struct sim *s, uint32_t peer, const struct message *m)
{
	const struct replica_row *row;
	struct claim claim;

	switch (m->type) {
	case MESSAGE_LEASE:
		check_lease(s, &m->lease);
		SIM_CHECK(
			s, !s->selftest || (s->peers[peer].wrong == 0 && !s->peers[peer].untested));
		break;
	case MESSAGE_COMMITTED:
		row = sim_replica(s, &m->committed.nonce);
		SIM_CHECK(s, row != NULL && !digest_is_zero(&row->commitment));
		SIM_CHECK(s, key_equal(&row->peer, &s->peers[peer].key.public));
		break;
	case MESSAGE_UPLOADED:
		row = sim_replica(s, &m->uploaded.nonce);
		SIM_CHECK(s,
			claim_decode(&claim, span_of(row->claim, row->claim_bytes), NULL) == TK_OK);
		SIM_CHECK(s, sim_has_blob(s, &claim.payload));
		break;
	case MESSAGE_SETTLED:
		row = sim_replica(s, &m->settled.nonce);
		if (m->settled.verdict == VERDICT_VALID)
			SIM_CHECK(s, row->state == REPLICA_VALID && m->settled.credit_flops > 0);
		break;
	default:
		break;
	}
}

static struct topic_head *head_of(
	const struct sim *s, enum announcement_kind kind, const struct digest *subject)
{
	for (size_t i = 0; i < s->head_count; i++) {
		const struct topic_head *h = &s->heads[i];

		if (h->kind == kind && digest_equal(&h->subject, subject))
			return (struct topic_head *)h;
	}
	return NULL;
}

uint64_t sim_announced(
	const struct sim *s, enum announcement_kind kind, const struct digest *subject)
{
	static const struct digest nobody;
	const struct topic_head *h = head_of(s, kind, subject != NULL ? subject : &nobody);

	return h != NULL ? h->sequence : 0;
}

/* A project's beginning and its rounds are said again after a restart; all else is new each time. */
void sim_check_announced(struct sim *s, const struct core_effect *e)
{
	struct announcement a;
	struct topic_head *h;
	bool again;

	SIM_CHECK(s, announcement_decode(&a, bytes_span(&e->bytes), NULL) == TK_OK);
	SIM_CHECK(s, announcement_verify(&s->root.public, bytes_span(&e->bytes), &e->signature));
	again = a.kind == ANNOUNCE_MANIFEST || a.kind == ANNOUNCE_ROUND;
	h = head_of(s, (enum announcement_kind)a.kind, &a.subject);
	if (h == NULL) {
		SIM_CHECK(s, s->head_count < SIM_TOPICS_MAX);
		h = &s->heads[s->head_count++];
		*h = (struct topic_head){.kind = a.kind, .subject = a.subject};
	}
	SIM_CHECK(s, again ? a.sequence >= h->sequence : a.sequence > h->sequence);
	SIM_CHECK(s, a.issued_s >= s->issued_s);
	h->sequence = a.sequence;
	s->issued_s = a.issued_s;
}

void sim_check_merge(struct sim *s, uint32_t round)
{
	struct digest honest;

	SIM_CHECK(s, round == s->project.round);
	s->wrong_in[round] = 0;
	for (uint32_t i = 0; i < s->units; i++) {
		const struct unit_row *row = sim_unit_row(s, round, i);

		SIM_CHECK(s, row->state == UNIT_SETTLED ||
				     (row->state == UNIT_AUDITED && s->project.settle_rounds > 1));
		SIM_CHECK(s, payload_stored(s, row));
		honest_result(s, round, i, &honest);
		s->wrong_in[round] += !digest_equal(&honest, &row->result);
	}
	s->wrong_merged = 0;
	for (uint32_t r = 0; r <= round; r++)
		s->wrong_merged += s->wrong_in[r];
}

static int load_rounds(struct sim *s, struct errmsg *msg)
{
	uint32_t kept = core_rounds_kept(&s->project);
	int rc = TK_OK;

	for (uint32_t r = 0; rc == TK_OK && r <= s->project.round && r < s->rounds; r++) {
		const struct digest *states = NULL;

		if (r + kept < s->project.round || digest_is_zero(&s->round_rows[r].parameters))
			continue;
		if (r < s->project.round)
			states = sim_states(s, &s->round_rows[r].start);
		rc = core_load_round(s->core, &s->round_rows[r], states, msg);
	}
	return rc;
}

/* As the real shell does: projects in progress, peers, then units and replicas of their rounds. */
void sim_load(struct sim *s)
{
	uint32_t kept = core_rounds_kept(&s->project);
	uint32_t first = s->project.round > kept ? s->project.round - kept : 0;
	struct errmsg msg = {""};
	int rc = TK_OK;

	s->core = core_new(&s->root);
	SIM_CHECK(s, s->core != NULL);
	if (s->selftest)
		core_require_selftest(s->core);
	core_load_announced(s->core, s->announced_ms);
	core_load_ledger(s->core, &s->ledger);
	if (s->project.state != PROJECT_QUEUED)
		rc = core_load_project(s->core, &s->project, bytes_span(&s->recipe),
			sim_states(s, &s->project.parameters), &msg);
	if (rc == TK_OK && s->project.state != PROJECT_QUEUED)
		rc = load_rounds(s, &msg);
	for (size_t i = 0; rc == TK_OK && i < s->peer_row_count; i++)
		rc = core_load_peer(s->core, &s->peer_rows[i]);
	for (uint32_t i = 0; rc == TK_OK && i < s->rounds * s->units; i++)
		if (s->unit_rows[i].state != 0 && s->unit_rows[i].round >= first &&
			s->unit_rows[i].round <= s->project.round)
			rc = core_load_unit(s->core, &s->unit_rows[i], &msg);
	for (size_t i = 0; rc == TK_OK && i < s->replica_count; i++)
		if (s->replicas[i].round >= first && s->replicas[i].round <= s->project.round)
			rc = core_load_replica(s->core, &s->replicas[i], &msg);
	if (rc != TK_OK)
		sim_broken(s, msg.text);
}
