/* See agent_shell.h. Effects are carried out in order. What one brings about at once, like an answer of
 * the disk, waits in a queue until the step that asked for it is over. */
#include "peer/agent/agent_shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "peer/agent/history.h"
#include "peer/overlay/reach.h"
#include "tasks/base/mem.h"

#define STATUS_MS   1000u
#define CLOCK_OFF_S 600

struct answer {
	struct answer *next;
	struct agent_event event;
	struct bytes bytes;
	char text[TEXT_MAX];
};

void shell_log(struct shell *s, const char *line)
{
	time_t now = time(NULL);
	struct tm tm;
	char clock[16] = "";

	if (localtime_r(&now, &tm) != NULL)
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(s->log, "%s %s\n", clock, line);
	fflush(s->log);
}

static void out_of_memory(struct shell *s)
{
	shell_stop(s, errmsg_set(s->msg, TK_ENOMEM,
			      "the agent ran out of memory; its results are safe on disk"));
}

/* Answers */

void shell_answer(struct shell *s, const struct agent_event *event, struct bytes *bytes)
{
	struct answer *a = mem_calloc(1, sizeof(*a));

	if (a == NULL) {
		out_of_memory(s);
		return;
	}
	a->event = *event;
	if (bytes != NULL) {
		a->bytes = *bytes;
		*bytes = (struct bytes){0};
	}
	a->event.bytes = bytes_span(&a->bytes);
	snprintf(a->text, sizeof(a->text), "%.250s", event->text != NULL ? event->text : "");
	a->event.text = a->text;
	if (s->last_answer != NULL)
		s->last_answer->next = a;
	else
		s->first_answer = a;
	s->last_answer = a;
}

static void answer_free(struct answer *a)
{
	bytes_close(&a->bytes);
	mem_free(a);
}

static struct answer *answer_pop(struct shell *s)
{
	struct answer *a = s->first_answer;

	if (a != NULL)
		s->first_answer = a->next;
	if (s->first_answer == NULL)
		s->last_answer = NULL;
	return a;
}

/* Effects */

static void dial(struct shell *s, const struct agent_effect *e)
{
	struct agent_event failed = {.type = AGENT_DIAL_FAILED};
	struct errmsg msg = {{0}};
	const struct link *link = &s->home->link;

	if (node_uv_dial_link(s->node, link->hosts[e->host], &link->network, &s->conn, &msg) ==
		TK_OK)
		return;
	s->conn = 0;
	failed.text = msg.text;
	shell_answer(s, &failed, NULL);
}

static void send_message(struct shell *s, struct agent_effect *e)
{
	int rc;

	if (s->conn == 0)
		return; /* it went down; the core will hear of it */
	if (!misbehave_message(s->misbehave, &e->message, &s->scratch))
		return;
	rc = node_uv_send(s->node, s->conn, &e->message);
	if (rc == TK_EINVAL || rc == TK_ELIMIT)
		shell_log(s, "a message of ours broke a limit and was not sent");
	if (misbehave_again(s->misbehave, &s->id.key, &e->message))
		(void)!node_uv_send(s->node, s->conn, &e->message);
}

static void drop(struct shell *s, const struct agent_effect *e)
{
	conn_id conn = s->conn;

	s->conn = 0;
	s->watching = false;
	if (conn != 0)
		node_uv_drop(s->node, conn, e->reason, e->text);
}

/* An old word is better than none, and the coordinator says it again. */
static void save_host(struct shell *s, const struct agent_effect *e)
{
	bool renews = s->id.has_certificate;
	time_t until = (time_t)e->certificate.expiry_s;
	struct errmsg msg = {{0}};
	char line[160];
	struct tm day;

	if (renews && memcmp(&s->id.certificate.signature, &e->certificate.signature,
			      sizeof(struct signature)) == 0)
		return;
	if (agent_home_save_host(s->home->path, &e->certificate, &msg) != TK_OK) {
		shell_log(s, msg.text);
		return;
	}
	identity_set_certificate(&s->id, &e->certificate);
	if (localtime_r(&until, &day) == NULL)
		return;
	snprintf(line, sizeof(line),
		"this computer is a host of the network's link until %04d-%02d-%02d: newcomers may "
		"come in through it",
		day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
	shell_log(s, line);
}

static void watch_sent(struct shell *s)
{
	struct agent_event sent = {.type = AGENT_SENT};

	if (s->conn != 0 && node_uv_waiting(s->node, s->conn) > NODE_OUTPUT_LOW)
		s->watching = true;
	else
		shell_answer(s, &sent, NULL);
}

static void find_blob(struct shell *s, const struct agent_effect *e)
{
	const struct blob_store *store = agent_files_store(&s->files, e->kind);
	struct agent_event found = {.type = AGENT_BLOB_FOUND, .digest = e->digest};
	struct bytes bytes = {0};
	uint64_t size;
	int rc;

	if (e->want_bytes)
		rc = blob_store_get(store, &e->digest, RECIPE_BYTES_MAX, &bytes, NULL);
	else
		rc = blob_store_size(store, &e->digest, &size);
	if (rc == TK_ECORRUPT || rc == TK_ELIMIT)
		blob_store_remove(store, &e->digest);
	if (rc != TK_OK)
		found.type = AGENT_BLOB_ABSENT;
	shell_answer(s, &found, &bytes);
}

static void compute(struct shell *s, const struct agent_effect *e)
{
	struct agent_event failed = {.type = AGENT_WORKER_FAILED, .job = e->job};
	struct errmsg msg = {{0}};

	failed.code = worker_uv_compute(s->worker, e, &msg);
	if (failed.code == TK_OK)
		return;
	if (failed.code == TK_ENOENT)
		failed.type = AGENT_WORKER_LACKS;
	failed.text = msg.text[0] != '\0' ? msg.text : error_text(failed.code);
	shell_answer(s, &failed, NULL);
}

static void selftest(struct shell *s, const struct agent_effect *e)
{
	const struct worker_message m = {.type = WORKER_SELFTEST, .job = e->job};
	struct agent_event failed = {.type = AGENT_SELFTESTED, .job = e->job};
	struct errmsg msg = {{0}};

	failed.code = worker_uv_say(s->worker, &m, &msg);
	if (failed.code == TK_OK)
		return;
	failed.text = msg.text;
	shell_answer(s, &failed, NULL);
}

static void save_result(struct shell *s, const struct agent_effect *e)
{
	struct agent_event saved = {.type = AGENT_RESULT_SAVED, .digest = e->digest};
	struct errmsg msg = {{0}};

	if (agent_files_save_result(&s->files, &e->digest, bytes_span(&e->bytes), &msg) != TK_OK) {
		saved.type = AGENT_RESULT_FAILED;
		saved.text = msg.text;
	}
	shell_answer(s, &saved, NULL);
}

/* READ_PAYLOAD, READ_TRACE */
static void read_result(struct shell *s, const struct agent_effect *e)
{
	bool trace = e->type == AGENT_READ_TRACE;
	struct agent_event event = {.type = trace ? AGENT_TRACE_READ : AGENT_PAYLOAD_READ,
		.digest = e->digest,
		.offset = e->offset};
	struct errmsg msg = {{0}};
	struct bytes part = {0};

	if (agent_files_read_result(
		    &s->files, &e->digest, e->total, e->offset, e->length, &part, &msg) != TK_OK) {
		event.type = trace ? AGENT_TRACE_FAILED : AGENT_PAYLOAD_FAILED;
		event.text = msg.text;
	}
	shell_answer(s, &event, &part);
	bytes_close(&part);
}

static void save_leases(struct shell *s, const struct agent_effect *e)
{
	struct errmsg msg = {{0}};

	if (agent_files_save_leases(&s->files, bytes_span(&e->bytes), &msg) != TK_OK)
		shell_log(s, msg.text); /* only a hint is lost */
}

/* One that cannot be saved costs time after a crash, nothing else. */
static void save_checkpoint(struct shell *s, const struct agent_effect *e)
{
	struct errmsg msg = {{0}};
	int rc = agent_files_save_checkpoint(&s->files, &e->digest, bytes_span(&e->bytes), &msg);

	if (rc != TK_OK && !s->checkpoint_failing)
		shell_log(s, msg.text);
	s->checkpoint_failing = rc != TK_OK;
	if (s->ending)
		shell_stop(s, TK_OK);
}

/* With the day: the coordinator says nothing of times. */
static void keep_history(struct shell *s, const char *text)
{
	char line[TEXT_MAX + 64];
	struct errmsg msg = {""};
	time_t now = time(NULL);
	struct tm day;

	localtime_r(&now, &day);
	snprintf(line, sizeof(line), "%04d-%02d-%02d  %s", day.tm_year + 1900, day.tm_mon + 1,
		day.tm_mday, text);
	if (history_add(s->files.home, line, &msg) != TK_OK)
		shell_log(s, msg.text);
}

static void carry_out(struct shell *s, struct agent_effect *e)
{
	switch (e->type) {
	case AGENT_DIAL:
		dial(s, e);
		break;
	case AGENT_SEND:
		send_message(s, e);
		break;
	case AGENT_DROP:
		drop(s, e);
		break;
	case AGENT_RELEASE:
		s->conn = 0;
		break;
	case AGENT_SAVE_HOST:
		save_host(s, e);
		break;
	case AGENT_WATCH_SENT:
		watch_sent(s);
		break;
	case AGENT_FIND_BLOB:
		find_blob(s, e);
		break;
	case AGENT_FETCH_BLOB:
		blobs_fetch(s, e);
		break;
	case AGENT_REMOVE_BLOB:
		blobs_remove(s, e);
		break;
	case AGENT_COMPUTE:
	case AGENT_REPLAY:
		compute(s, e);
		break;
	case AGENT_SELFTEST:
		selftest(s, e);
		break;
	case AGENT_CANCEL:
		worker_uv_cancel(s->worker, e->job);
		break;
	case AGENT_SAVE_RESULT:
		save_result(s, e);
		break;
	case AGENT_REMOVE_RESULT:
		agent_files_remove_result(&s->files, &e->digest);
		break;
	case AGENT_READ_PAYLOAD:
	case AGENT_READ_TRACE:
		read_result(s, e);
		break;
	case AGENT_SAVE_LEASES:
		save_leases(s, e);
		break;
	case AGENT_ASK_CHECKPOINT:
		worker_uv_save(s->worker, e->job);
		break;
	case AGENT_SAVE_CHECKPOINT:
		save_checkpoint(s, e);
		break;
	case AGENT_REMOVE_CHECKPOINT:
		agent_files_remove_checkpoint(&s->files, &e->digest);
		break;
	case AGENT_LOG:
		shell_log(s, e->text);
		break;
	case AGENT_HISTORY:
		keep_history(s, e->text);
		break;
	case AGENT_STOP:
		shell_stop(s, errmsg_set(s->msg, TK_EAUTH,
				      "the network gives this identity no more work: %s", e->text));
		break;
	}
}

/* Steps */

/* At once when the state changes, otherwise once a second at most and only when there is news. */
static void write_status(struct shell *s)
{
	struct agent_status now;
	struct swarm_totals blobs;
	uint64_t now_ms = shell_now_ms(s);
	struct errmsg msg = {{0}};
	bool turned, news;

	agent_status(s->core, now_ms, &now);
	blobs_totals(s, &blobs);
	now.blobs_from_peers = blobs.from_peers;
	now.blobs_from_coordinator = blobs.from_tracker;
	now.blobs_served = blobs.served;
	now.cache_bytes = blobs_bytes(s);
	now.cache_bytes_max = s->cache_bytes;
	now.neighbours = (uint32_t)node_uv_neighbours(s->node);
	now.beacon_s = s->beacon_s;
	memcpy(now.ledger, s->ledger, sizeof(now.ledger));
	now.port = s->port;
	reach_words(node_uv_reach(s->node), now.reached);
	turned = now.state != s->told.state || now.connected != s->told.connected;
	/* Padding that differs costs a needless write. NOLINTNEXTLINE(*-memory-comparison,cert-*) */
	news = turned || memcmp(&now, &s->told, sizeof(now)) != 0;
	if (!turned && (!news || now_ms < s->told_ms + STATUS_MS))
		return;
	s->told = now;
	s->told_ms = now_ms;
	status_file_fill(&s->status, &now);
	s->status.host_until_s = s->id.has_certificate ? s->id.certificate.expiry_s : 0;
	s->status.updated_s = (uint64_t)time(NULL);
	if (status_file_write(&s->status, s->home->path, &msg) == TK_OK) {
		s->status_failing = false;
	} else if (!s->status_failing) {
		s->status_failing = true; /* said once, not every second */
		shell_log(s, msg.text);
	}
}

static void step(struct shell *s, struct agent_event *event)
{
	int rc;

	event->now_ms = shell_now_ms(s);
	event->now_s = (uint64_t)time(NULL);
	random_bytes(event->random, sizeof(event->random));
	rc = agent_step(s->core, event, &s->effects);
	secret_wipe(event->random, sizeof(event->random));
	for (size_t i = 0; rc == TK_OK && i < s->effects.count; i++)
		carry_out(s, &s->effects.items[i]);
	agent_effects_clear(&s->effects);
	if (rc != TK_OK)
		out_of_memory(s);
	write_status(s);
}

/* Records and identities last for hours and days, so little depends on seconds; but a volunteer whose clock is off
 * should hear of it before that matters. */
void shell_clock(struct shell *s, enum role role)
{
	long long ahead_s = node_uv_skew_s(s->node, s->conn);
	char line[TEXT_MAX];

	if (llabs(ahead_s) < CLOCK_OFF_S)
		return;
	snprintf(line, sizeof(line),
		"this computer's clock is %lld s %s by the %s's: set its date and time, "
		"or other peers may take no part with it",
		llabs(ahead_s), ahead_s < 0 ? "fast" : "slow",
		role == ROLE_COORDINATOR ? "coordinator" : "host");
	shell_log(s, line);
}

/* Kept where its owner sees it: who has a head can tell whether a ledger that is shown to him goes on from it. */
static void beacon_keep(struct shell *s, const struct announcement *a)
{
	struct beacon b;
	char hex[DIGEST_HEX];

	s->beacon_s = a->issued_s;
	if (beacon_decode(&b, a->payload, NULL) != TK_OK || b.ledger_sequence == 0)
		return;
	digest_hex(hex, &b.ledger);
	snprintf(s->ledger, sizeof(s->ledger), "%llu:%s", (unsigned long long)b.ledger_sequence,
		hex);
}

void shell_announced(struct shell *s, const struct announcement *a)
{
	struct agent_event event = {.type = AGENT_ANNOUNCED, .announcement = a};

	if (a->kind == ANNOUNCE_BEACON)
		beacon_keep(s, a);
	shell_event(s, &event);
}

void shell_event(struct shell *s, struct agent_event *event)
{
	if (!s->stopping)
		step(s, event);
	shell_settle(s);
}

void shell_settle(struct shell *s)
{
	struct answer *a;

	while ((a = answer_pop(s)) != NULL) {
		if (!s->stopping)
			step(s, &a->event);
		answer_free(a);
	}
}

void shell_close(struct shell *s)
{
	struct answer *a;

	while ((a = answer_pop(s)) != NULL)
		answer_free(a);
	agent_effects_close(&s->effects);
	bytes_close(&s->scratch);
	bytes_close(&s->leaves);
}
