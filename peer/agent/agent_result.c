/* Results: saved, committed, revealed, uploaded, settled.
 *
 * A result is written to disk before its COMMIT leaves, so a commitment can always be opened; a
 * commitment that is never opened would count as wrong. COMMIT is repeated after every reconnection.
 * Uploads go one at a time, in bursts of AGENT_UPLOAD_PARTS that must have left this machine before the
 * next burst, so that a slow line never has more than a burst waiting. */
#include "peer/agent/agent_state.h"

#include <stdio.h>

#include "tasks/base/require.h"
#include "tasks/unit/sign.h"

struct result *result_find(struct agent *a, const struct digest *nonce)
{
	for (uint32_t i = 0; i < a->result_count; i++)
		if (digest_equal(&a->results[i].record.nonce, nonce))
			return &a->results[i];
	return NULL;
}

static int result_add(
	struct agent *a, const struct result_record *record, bool saved, struct errmsg *msg)
{
	struct result *r = &a->results[a->result_count];
	struct unit unit;
	int rc;

	if (a->result_count == AGENT_RESULTS_MAX)
		return errmsg_set(msg, TK_ELIMIT, "more than %u results wait to be settled",
			AGENT_RESULTS_MAX);
	if (result_find(a, &record->nonce) != NULL)
		return errmsg_set(msg, TK_EEXIST, "a second result for the same lease");
	*r = (struct result){.record = *record, .saved = saved};
	rc = unit_decode(&unit, span_of(record->unit, record->unit_bytes), msg);
	if (rc == TK_OK)
		rc = result_record_commitment(
			record, &a->id->network, &a->id->key.public, &r->commitment, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, TK_ECORRUPT, "the result");
	r->round = unit.round;
	r->index = unit.index;
	a->result_count++;
	return TK_OK;
}

int agent_load_result(struct agent *a, const struct result_record *record, struct errmsg *msg)
{
	return result_add(a, record, true, msg);
}

static void upload_stop(struct agent *a)
{
	a->uploading = false;
	a->upload_burst = 0;
}

/* Forgets a result; the last one takes its place in the list. */
static void result_remove(struct agent *a, struct result *r, struct agent_effects *out)
{
	struct agent_effect *e = effect_push(out, AGENT_REMOVE_RESULT);

	if (e != NULL)
		e->digest = r->record.nonce;
	if (a->uploading && digest_equal(&a->upload_nonce, &r->record.nonce))
		upload_stop(a);
	dispute_forget(a, &r->record.nonce, out);
	*r = a->results[--a->result_count];
}

static void commit(struct agent *a, const struct result *r, struct agent_effects *out)
{
	struct message m = {.type = MESSAGE_COMMIT,
		.commit = {.nonce = r->record.nonce, .commitment = r->commitment}};

	REQUIRE(r->saved);
	if (!link_is_up(a))
		return;
	commit_sign(&m.commit.signature, &a->id->key, &r->commitment, &r->record.nonce);
	effect_send(out, &m);
}

/* Nobody else can tell it, and one result of one lease has one commitment: an identity that by a copied home works on two
 * computers contradicts itself only where their results do. */
static void salt_derive(const struct agent *a, const struct digest *nonce, struct digest *salt)
{
	const struct span fields[] = {
		span_of(a->id->key.secret, sizeof(a->id->key.secret)), {nonce->b, DIGEST_BYTES}};

	digest_fields(salt, "talkoot salt", fields, 2);
}

void result_computed(
	struct agent *a, struct job *j, const struct agent_event *event, struct agent_effects *out)
{
	struct result_record record;
	struct agent_effect *e;
	struct errmsg msg = {{0}};
	struct digest salt;
	int rc;

	salt_derive(a, &j->nonce, &salt);
	rc = result_record_init(&record, &j->nonce, &salt, span_of(j->encoded, j->encoded_bytes),
		event->claim, event->leaves, event->bytes.len, &msg);
	if (rc == TK_OK)
		rc = result_add(a, &record, false, &msg);
	j->stage = JOB_READY; /* the worker has stopped: nothing to cancel */
	if (rc != TK_OK) {
		job_abandon(a, j, event->now_ms, msg.text, out);
		return;
	}
	a->failures = 0;
	effect_log(out, "computed unit %u of round %u of %s", (unsigned)j->unit.index + 1,
		(unsigned)j->unit.round + 1, j->project);
	e = effect_push(out, AGENT_SAVE_RESULT);
	if (e == NULL)
		return;
	e->digest = record.nonce;
	if (result_record_encode(&record, event->leaves, event->bytes, &e->bytes) != TK_OK)
		out->error = TK_ENOMEM;
	job_end(a, j, out);
}

static void result_saved(struct agent *a, struct result *r, struct agent_effects *out)
{
	r->saved = true;
	job_save_leases(a, out);
	commit(a, r, out);
}

/* Nothing was promised for it yet, so somebody else may compute it. */
static void result_not_saved(struct agent *a, struct result *r, const struct agent_event *event,
	struct agent_effects *out)
{
	struct digest nonce = r->record.nonce;
	char why[TEXT_MAX];

	snprintf(why, sizeof(why), "its result cannot be saved: %.200s", event->text);
	effect_log(out, "giving back unit %u of round %u: %s", (unsigned)r->index + 1,
		(unsigned)r->round + 1, why);
	snprintf(a->trouble, sizeof(a->trouble), "%s", why);
	result_remove(a, r, out);
	job_give_back(a, &nonce, event->now_ms, why, out);
}

void result_reconnected(struct agent *a, struct agent_effects *out)
{
	for (uint32_t i = 0; i < a->result_count; i++)
		if (a->results[i].saved)
			commit(a, &a->results[i], out);
}

void result_disconnected(struct agent *a)
{
	upload_stop(a);
	dispute_disconnected(a);
	for (uint32_t i = 0; i < a->result_count; i++)
		a->results[i].wanted = false; /* whoever wants it still asks again */
}

/* Reads the next part of the upload in progress, or begins the next upload. */
static void upload_next(struct agent *a, struct agent_effects *out)
{
	struct agent_effect *e;
	struct result *r = a->uploading ? result_find(a, &a->upload_nonce) : NULL;
	uint64_t left;

	for (uint32_t i = 0; i < a->result_count && r == NULL; i++)
		if (a->results[i].wanted)
			r = &a->results[i];
	if (r == NULL || a->upload_reading || a->upload_burst >= AGENT_UPLOAD_PARTS)
		return;
	a->uploading = true;
	a->upload_nonce = r->record.nonce;
	left = r->record.payload_bytes - r->upload_offset;
	e = effect_push(out, AGENT_READ_PAYLOAD);
	if (e == NULL)
		return;
	e->digest = r->record.nonce;
	e->total = r->record.payload_bytes;
	e->offset = r->upload_offset;
	e->length = left < BLOB_PART_MAX ? (uint32_t)left : BLOB_PART_MAX;
	a->upload_reading = true;
}

void result_sent(struct agent *a, struct agent_effects *out)
{
	a->upload_burst = 0;
	upload_next(a, out);
}

static void upload_part(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct message m = {.type = MESSAGE_UPLOAD,
		.upload = {.nonce = event->digest, .offset = event->offset, .bytes = event->bytes}};
	struct result *r = result_find(a, &event->digest);

	a->upload_reading = false;
	if (r != NULL && r->wanted && a->uploading && event->offset == r->upload_offset &&
		digest_equal(&a->upload_nonce, &event->digest)) {
		effect_send(out, &m);
		r->upload_offset += event->bytes.len;
		if (++a->upload_burst == AGENT_UPLOAD_PARTS)
			effect_push(out, AGENT_WATCH_SENT);
		if (r->upload_offset >= r->record.payload_bytes) {
			r->wanted = false;
			a->uploading = false;
		}
	}
	upload_next(a, out);
}

static void upload_failed(
	struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct result *r = result_find(a, &event->digest);

	a->upload_reading = false;
	if (r != NULL) {
		effect_log(out, "a result cannot be read back: %.200s", event->text);
		effect_abandon(out, &event->digest, "its result cannot be read back from the disk");
		result_remove(a, r, out);
	}
	upload_next(a, out);
}

void result_disk(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct result *r = result_find(a, &event->digest);

	switch (event->type) {
	case AGENT_PAYLOAD_READ:
		upload_part(a, event, out);
		break;
	case AGENT_PAYLOAD_FAILED:
		upload_failed(a, event, out);
		break;
	case AGENT_RESULT_SAVED:
		if (r != NULL)
			result_saved(a, r, out);
		break;
	default:
		if (r != NULL)
			result_not_saved(a, r, event, out);
		break;
	}
}

static void reveal(struct agent *a, const struct digest *nonce, struct agent_effects *out)
{
	const struct result *r = result_find(a, nonce);
	struct message m = {.type = MESSAGE_REVEAL};

	if (r == NULL) {
		effect_abandon(out, nonce, "there is no result for this lease");
		return;
	}
	if (!r->saved)
		return; /* not committed yet: nothing to open */
	m.reveal.nonce = *nonce;
	m.reveal.salt = r->record.salt;
	m.reveal.claim = span_of(r->record.claim, r->record.claim_bytes);
	effect_send(out, &m);
}

static void upload_wanted(
	struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	const struct message_upload_request *u = &event->message->upload_request;
	struct result *r = result_find(a, &u->nonce);

	if (r == NULL) {
		effect_abandon(out, &u->nonce, "there is no result for this lease");
		return;
	}
	if (u->offset > r->record.payload_bytes) {
		link_drop(a, event, GOODBYE_PROTOCOL,
			"an upload was asked for from beyond the payload's end", out);
		return;
	}
	r->upload_offset = u->offset;
	r->wanted = r->saved && u->offset < r->record.payload_bytes;
	upload_next(a, out);
}

static const char *verdict_text(uint32_t verdict)
{
	switch (verdict) {
	case VERDICT_VALID:
		return "valid";
	case VERDICT_INVALID:
		return "not accepted";
	case VERDICT_LATE:
		return "late: no credit";
	case VERDICT_EXPIRED:
		return "expired: it went to others";
	default:
		return "unknown to the coordinator";
	}
}

static void count(struct agent_totals *t, const struct message_settled *s)
{
	t->units_valid += s->verdict == VERDICT_VALID;
	t->units_invalid += s->verdict == VERDICT_INVALID;
	t->units_late += s->verdict == VERDICT_LATE || s->verdict == VERDICT_EXPIRED;
	if (s->verdict == VERDICT_VALID)
		t->credit_flops += s->credit_flops;
}

static void history_say(const struct result *r, const struct job *j,
	const struct message_settled *s, struct agent_effects *out)
{
	struct agent_effect *e = effect_push(out, AGENT_HISTORY);

	if (e != NULL)
		snprintf(e->text, sizeof(e->text), "unit %u.%u: %s%s%.150s",
			(unsigned)(r != NULL ? r->round : j->unit.round) + 1,
			(unsigned)(r != NULL ? r->index : j->unit.index) + 1,
			verdict_text(s->verdict), s->text[0] != '\0' ? " - " : "", s->text);
}

/* EXPIRED may cross with our COMMIT, which is still welcome and may have to be opened: such a result is
 * kept until the COMMIT has its own answer. Anything else ends the lease. */
static void settled(struct agent *a, const struct message_settled *s, struct agent_effects *out)
{
	struct result *r = result_find(a, &s->nonce);
	struct job *j = job_find(a, &s->nonce);

	if (r == NULL && j == NULL)
		return; /* forgotten already */
	if (r != NULL && s->verdict == VERDICT_EXPIRED && !r->committed && !r->crossed) {
		r->crossed = true;
		return;
	}
	effect_log(out, "unit %u of round %u: %s%s%.150s",
		(unsigned)(r != NULL ? r->index : j->unit.index) + 1,
		(unsigned)(r != NULL ? r->round : j->unit.round) + 1, verdict_text(s->verdict),
		s->text[0] != '\0' ? " - " : "", s->text);
	history_say(r, j, s, out);
	count(&a->totals, s);
	if (r != NULL)
		result_remove(a, r, out);
	if (j != NULL)
		job_end(a, j, out);
	upload_next(a, out);
}

void result_message(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	const struct message *m = event->message;
	struct result *r;

	switch (m->type) {
	case MESSAGE_COMMITTED:
		link_proved(a);
		r = result_find(a, &m->committed.nonce);
		if (r != NULL)
			r->committed = true;
		break;
	case MESSAGE_UPLOADED:
		break; /* SETTLED will end it */
	case MESSAGE_REVEAL_REQUEST:
		reveal(a, &m->reveal_request.nonce, out);
		break;
	case MESSAGE_UPLOAD_REQUEST:
		upload_wanted(a, event, out);
		break;
	default:
		settled(a, &m->settled, out);
		break;
	}
}
