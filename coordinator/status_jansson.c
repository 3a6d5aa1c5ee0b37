/* See status.h. O(rounds + peers) for the page; history beyond HISTORY_MAX rounds is thinned. */
#include "coordinator/status.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/checked.h"
#include "coordinator/status_classes.h"
#include "coordinator/status_teams.h"
#include "tasks/base/mem.h"

#define HISTORY_MAX    500u
#define REJECTIONS_MAX 50u
#define ETA_ROUNDS     8u

const char *project_state_name(enum project_state state)
{
	switch (state) {
	case PROJECT_QUEUED:
		return "queued";
	case PROJECT_RUNNING:
		return "running";
	case PROJECT_PAUSED:
		return "paused";
	case PROJECT_DONE:
		return "done";
	case PROJECT_FAILED:
		return "failed";
	case PROJECT_STOPPED:
		return "stopped";
	}
	return "unknown";
}

static json_t *number_or_null(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static json_t *hex_or_empty(const struct digest *d)
{
	char hex[DIGEST_HEX];

	if (digest_is_zero(d))
		return json_string("");
	digest_hex(hex, d);
	return json_string(hex);
}

static json_t *peer_id(const struct public_key *key)
{
	char hex[17];

	hex_encode(hex, key->b, 8);
	return json_string(hex);
}

/* The rounds of a project: the history for the page, the last one, and recent durations. */
struct rounds {
	json_t *history; /* NULL: not wanted */
	uint32_t every;	 /* of which one in so many is kept */
	uint32_t last_round;
	uint32_t rounds; /* that are merged */
	struct project_numbers *numbers;
	uint64_t durations[ETA_ROUNDS];
	uint32_t count;
};

static double seconds(const struct round_row *r)
{
	return r->closed_ms > r->started_ms ? (double)(r->closed_ms - r->started_ms) / 1000.0 : 0;
}

static int add_round(void *context, const void *row)
{
	const struct round_row *r = row;
	struct rounds *all = context;
	json_t *item;

	if (r->round >= all->rounds)
		return 0; /* it was taken back */
	all->numbers->last = *r;
	all->numbers->has_round = true;
	all->durations[all->count++ % ETA_ROUNDS] = (uint64_t)(seconds(r) * 1000.0);
	if (all->history == NULL || (r->round % all->every != 0 && r->round != all->last_round))
		return 0;
	item = json_pack("{s:i, s:o, s:o, s:o, s:o}", "round", (int)r->round, "loss",
		number_or_null((double)r->loss), "validation_loss",
		r->validation_samples != 0 ? number_or_null((double)r->validation_loss)
					   : json_null(),
		"validation_accuracy",
		r->validation_samples != 0 ? number_or_null((double)r->validation_accuracy)
					   : json_null(),
		"seconds", number_or_null(seconds(r)));
	return json_array_append_new(all->history, item) == 0 ? TK_OK : TK_ENOMEM;
}

static int count_settled(void *context, const void *row)
{
	const struct unit_row *u = row;

	*(uint32_t *)context += u->state == UNIT_SETTLED || u->state == UNIT_AUDITED;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int collect(struct store *s, const struct project_row *row, struct project_numbers *out,
	json_t *history, struct errmsg *msg)
{
	struct rounds rounds = {
		.history = history,
		.every = 1 + row->rounds / HISTORY_MAX,
		.last_round = row->round != 0 ? row->round - 1 : 0,
		.rounds = row->round,
		.numbers = out,
	};
	uint32_t known;
	int rc;

	*out = (struct project_numbers){0};
	rc = store_rounds(s, row->id, add_round, &rounds, msg);
	if (rc == TK_OK)
		rc = store_units(s, row->id, row->round, count_settled, &out->units_done, msg);
	known = rounds.count < ETA_ROUNDS ? rounds.count : ETA_ROUNDS;
	if (rc != TK_OK || known == 0 || row->state != PROJECT_RUNNING)
		return rc;
	qsort(rounds.durations, known, sizeof(rounds.durations[0]), by_value);
	out->has_eta = true;
	out->eta_s = (rounds.durations[known / 2] * (row->rounds - row->round) + 999) / 1000;
	return TK_OK;
}

int project_numbers(struct store *s, const struct project_row *row, struct project_numbers *out,
	struct errmsg *msg)
{
	return collect(s, row, out, NULL, msg);
}

/* Sentences for why a replica was rejected. */
static const char *rejection_why(const struct replica_row *r)
{
	if (r->state == REPLICA_UNOPENED)
		return "it committed to a result and did not show it in time, or sent another "
		       "payload";
	return "its result differs from the one that was recomputed";
}

static int add_rejection(void *context, const void *row)
{
	const struct replica_row *r = row;
	json_t *item = json_pack("{s:i, s:i, s:o, s:s}", "round", (int)r->round, "unit",
		(int)r->unit, "peer", peer_id(&r->peer), "why", rejection_why(r));

	/* They come newest first; the page wants them oldest first. */
	return json_array_insert_new(context, 0, item) == 0 ? TK_OK : TK_ENOMEM;
}

static json_t *verify_object(const struct project_row *p)
{
	if (p->policy == VERIFY_FULL)
		return json_pack("{s:s, s:i}", "policy", "full", "quorum", (int)p->quorum);
	return json_pack("{s:s, s:i, s:f, s:I, s:I, s:I, s:f, s:s, s:i, s:i, s:I, s:I, s:s}",
		"policy", "adaptive", "quorum", (int)p->quorum, "audit_floor", p->audit_floor,
		"recomputed", (json_int_t)p->recomputed, "drawn", (json_int_t)p->drawn,
		"drawn_wrong", (json_int_t)p->drawn_wrong, "wrong_bound", project_wrong_bound(p),
		"on_fraud", p->on_fraud == FRAUD_CONTINUE ? "continue" : "rollback",
		"settle_rounds", (int)p->settle_rounds, "rollbacks", (int)p->rollbacks,
		"merges_taken_back", (json_int_t)p->discarded, "wrong_standing",
		(json_int_t)p->wrong_standing, "rollback_why", p->rollback_why);
}

/* The fields that both the page and `status --json` show. */
static json_t *project_object(const struct project_row *p, const struct project_numbers *n,
	const struct status_live *live)
{
	bool has_validation = n->has_round && n->last.validation_samples != 0;
	json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i}", "name", p->name, "state",
		project_state_name(p->state), "reason", p->reason, "round", (int)p->round, "rounds",
		(int)p->rounds, "units_per_round", (int)p->units_per_round, "units_done_in_round",
		(int)n->units_done);

	json_object_set_new(
		o, "loss", n->has_round ? number_or_null((double)n->last.loss) : json_null());
	json_object_set_new(o, "validation_loss",
		has_validation ? number_or_null((double)n->last.validation_loss) : json_null());
	json_object_set_new(o, "validation_accuracy",
		has_validation ? number_or_null((double)n->last.validation_accuracy) : json_null());
	json_object_set_new(o, "peers", json_integer((json_int_t)live->peers_connected));
	json_object_set_new(o, "units_accepted", json_integer((json_int_t)p->units_accepted));
	json_object_set_new(o, "units_rejected", json_integer((json_int_t)p->units_rejected));
	json_object_set_new(o, "replicas", json_integer((json_int_t)p->replicas));
	json_object_set_new(o, "disputes", json_integer((json_int_t)p->disputes));
	json_object_set_new(o, "model_digest", hex_or_empty(&p->model));
	json_object_set_new(o, "model_type", json_string(p->model_type));
	json_object_set_new(o, "samples", json_integer((json_int_t)p->samples));
	json_object_set_new(o, "classes", json_integer((json_int_t)p->classes));
	json_object_set_new(o, "parameters", json_integer((json_int_t)p->parameter_count));
	json_object_set_new(o, "created_at", json_integer((json_int_t)p->created_s));
	json_object_set_new(o, "finished_at",
		p->finished_s != 0 ? json_integer((json_int_t)p->finished_s) : json_null());
	json_object_set_new(o, "verify", verify_object(p));
	json_object_set_new(
		o, "eta_s", n->has_eta ? json_integer((json_int_t)n->eta_s) : json_null());
	return o;
}

/* Appends the text of *o and drops it. */
static int dump(json_t *o, size_t flags, struct bytes *out, struct errmsg *msg)
{
	char *text = json_dumps(o, flags);
	int rc = text != NULL ? bytes_append(out, text, strlen(text)) : TK_ENOMEM;

	free(text);
	json_decref(o);
	return rc == TK_OK ? rc : errmsg_set(msg, rc, "not enough memory for the status");
}

int status_project_json(struct store *s, const struct project_row *row,
	const struct status_live *live, struct bytes *out, struct errmsg *msg)
{
	struct project_numbers numbers;
	int rc = collect(s, row, &numbers, NULL, msg);
	json_t *o;

	if (rc != TK_OK)
		return rc;
	o = project_object(row, &numbers, live);
	json_object_set_new(
		o, "coordinator_blob_bytes_sent", json_integer((json_int_t)live->blob_bytes_sent));
	return dump(o, JSON_INDENT(2), out, msg);
}

/* The page, on its way. */
struct page {
	struct store *store;
	const struct status_live *live;
	struct errmsg *msg;
	json_t *projects, *peers;
	uint64_t accepted, rejected, replicas, retired, known;
	struct status_classes classes;
	struct status_teams teams;
};

static int add_project(void *context, const void *row)
{
	const struct project_row *p = row;
	struct page *page = context;
	struct project_numbers numbers;
	json_t *history = json_array();
	json_t *rejections = json_array();
	json_t *o;
	int rc = collect(page->store, p, &numbers, history, page->msg);

	if (rc == TK_OK)
		rc = store_rejections(
			page->store, p->id, REJECTIONS_MAX, add_rejection, rejections, page->msg);
	if (rc != TK_OK) {
		json_decref(history);
		json_decref(rejections);
		return rc;
	}
	o = project_object(p, &numbers, page->live);
	json_object_set_new(o, "history", history);
	json_object_set_new(o, "rejections", rejections);
	page->accepted += p->units_accepted;
	page->rejected += p->units_rejected;
	page->replicas += p->replicas;
	return json_array_append_new(page->projects, o) == 0 ? TK_OK : TK_ENOMEM;
}

static int add_peer(void *context, const void *row)
{
	const struct peer_row *p = row;
	struct page *page = context;
	bool connected = false;
	size_t leases = 0;
	const char *state = "away";
	char misfit[128];
	json_t *o;

	snprintf(misfit, sizeof(misfit), "the self-test found \"%s\" wrong: it gets no work",
		p->misfit);
	if (status_teams_add(&page->teams, p) != TK_OK)
		return TK_ENOMEM;
	status_classes_add(&page->classes, p);
	page->known++;
	page->retired += p->retired;
	if (page->live->leases != NULL)
		leases = page->live->leases(page->live->context, &p->key, &connected);
	if (p->retired)
		state = "retired";
	else if (connected)
		state = "connected";
	o = json_pack("{s:o, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "id",
		peer_id(&p->key), "team", p->team, "state", state, "reason",
		p->retired || p->misfit[0] == '\0' ? p->reason : misfit, "engine", p->engine,
		"units_valid", (json_int_t)p->valid, "units_invalid", (json_int_t)p->invalid,
		"timeouts", (json_int_t)p->expired, "computing", (json_int_t)leases, "tested_at",
		(json_int_t)p->tested_s, "since", (json_int_t)p->first_seen_s);
	json_object_set_new(o, "credit_flops",
		json_integer(
			p->credit_flops < INT64_MAX ? (json_int_t)p->credit_flops : INT64_MAX));
	return json_array_append_new(page->peers, o) == 0 ? TK_OK : TK_ENOMEM;
}

static json_t *alarms(const struct status_classes *classes)
{
	json_t *list = json_array();
	char text[256];

	for (uint32_t i = 0; i < classes->count; i++)
		if (status_classes_alarm(classes, i, text))
			json_array_append_new(list, json_string(text));
	return list;
}

static json_t *teams(struct status_teams *all)
{
	json_t *list = json_array();

	status_teams_rank(all);
	for (size_t i = 0; i < all->count && i < STATUS_TEAMS_MAX; i++) {
		const struct status_team *t = &all->items[i];

		json_array_append_new(
			list, json_pack("{s:s, s:I, s:I, s:I}", "name", t->name, "members",
				      (json_int_t)t->members, "units_valid", (json_int_t)t->units,
				      "credit_flops", (json_int_t)t->credit_flops));
	}
	return list;
}

int status_page_json(
	struct store *s, const struct status_live *live, struct bytes *out, struct errmsg *msg)
{
	struct page page = {.store = s, .live = live, .msg = msg};
	char network[2 * KEY_BYTES + 1], name[64];
	struct ledger_head head = {0};
	json_t *o;
	int rc = store_text(s, "network", network, sizeof(network), msg);

	if (rc == TK_OK)
		rc = store_text(s, "name", name, sizeof(name), msg);
	if (rc == TK_OK)
		rc = store_ledger_head(s, &head, msg);

	page.projects = json_array();
	page.peers = json_array();
	if (rc == TK_OK)
		rc = store_projects(s, add_project, &page, msg);
	if (rc == TK_OK)
		rc = store_peers(s, add_peer, &page, msg);
	if (rc != TK_OK) {
		json_decref(page.projects);
		json_decref(page.peers);
		status_teams_close(&page.teams);
		return rc;
	}
	o = json_pack("{s:i, s:s, s:s, s:I, s:b, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:o, s:o, s:o}",
		"version", 1, "network", network, "name", name, "generated_at",
		(json_int_t)live->now_s, "serving", (int)live->serving, "peers_connected",
		(json_int_t)live->peers_connected, "peers_known", (json_int_t)page.known, "totals",
		"units_accepted", (json_int_t)page.accepted, "units_rejected",
		(json_int_t)page.rejected, "replicas_computed", (json_int_t)page.replicas,
		"peers_retired", (json_int_t)page.retired, "projects", page.projects, "peers",
		page.peers, "alarms", alarms(&page.classes));
	json_object_set_new(o, "teams", teams(&page.teams));
	json_object_set_new(o, "teams_known", json_integer((json_int_t)page.teams.count));
	status_teams_close(&page.teams);
	json_object_set_new(o, "ledger",
		json_pack("{s:I, s:o}", "entries", (json_int_t)head.sequence, "head",
			hex_or_empty(&head.digest)));
	return dump(o, JSON_COMPACT, out, msg);
}

int status_save_live(struct store *s, uint64_t peers_connected, struct errmsg *msg)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, peers_connected);
	return store_set_text(s, "live", text, msg);
}

int status_load_live(struct store *s, bool serving, struct status_live *live, struct errmsg *msg)
{
	char text[32];
	int rc = store_text(s, "live", text, sizeof(text), msg);

	*live = (struct status_live){.serving = serving};
	if (rc == TK_OK && serving)
		live->peers_connected = strtoull(text, NULL, 10);
	if (rc == TK_OK)
		rc = store_text(s, STATUS_BLOBS_SENT, text, sizeof(text), msg);
	if (rc == TK_OK)
		live->blob_bytes_sent = strtoull(text, NULL, 10);
	return rc;
}
