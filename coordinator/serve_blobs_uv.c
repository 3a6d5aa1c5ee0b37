/* Blobs for peers: the coordinator is their first seed and says who else has what (peer/swarm/exchange.h).
 *
 * A blob that is asked for is read and checked on the thread pool before anything of it leaves, again when
 * its file has changed, and whoever asks waits so long; that also gives the proofs of its parts. One that
 * is missing or corrupt goes to the core as CORE_BLOB_BAD, and whoever asks for it is told that it is
 * missing, gives its lease back and has time for other projects. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "coordinator/serve_state.h"
#include "coordinator/status.h"
#include "tasks/base/mem.h"

#define SAVE_TICKS 8u

/* One blob on its way through the thread pool. */
struct check {
	uv_work_t work;
	struct serve *serve;
	struct blob_store blobs;
	struct digest blob;
	uint64_t version;
	uint64_t total;
	struct digest *nodes;
	int rc;
	struct errmsg msg;
};

static void blob_is_bad(struct serve *s, const struct digest *blob, const char *why)
{
	struct core_event event = {.type = CORE_BLOB_BAD, .blob = *blob, .text = why};

	serve_step(s, &event);
}

static void missing_say(struct serve *s, const struct digest *blob)
{
	struct errmsg msg = {""};
	char hex[DIGEST_HEX];

	digest_hex(hex, blob);
	errmsg_set(&msg, TK_EIO,
		"the blob %s cannot be read from %s; put it back from a backup, then resume", hex,
		serve_home(s)->blobs.folder);
	blob_is_bad(s, blob, msg.text);
}

static struct exchange *now(struct serve *s)
{
	struct exchange *x = serve_blobs(s)->exchange;
	uint64_t random;

	random_bytes(&random, sizeof(random));
	if (x != NULL)
		exchange_now(x, uv_now(serve_loop(s)), (uint64_t)time(NULL), random);
	return x;
}

/* Checking */

static struct blob_seen *seen_find(struct serve_blobs *b, const struct digest *blob)
{
	for (size_t i = 0; i < BLOB_CHECKS; i++)
		if (digest_equal(&b->seen[i].blob, blob) && b->seen[i].version != 0)
			return &b->seen[i];
	return NULL;
}

static struct blob_seen *seen_add(struct serve_blobs *b, const struct digest *blob)
{
	struct blob_seen *seen = seen_find(b, blob);

	for (size_t i = 0; seen == NULL && i < BLOB_CHECKS; i++) {
		if (!b->seen[b->next].checking)
			seen = &b->seen[b->next];
		b->next = (b->next + 1) % BLOB_CHECKS;
	}
	return seen;
}

void serve_check_again(struct serve *s)
{
	struct serve_blobs *b = serve_blobs(s);

	for (size_t i = 0; i < BLOB_CHECKS; i++)
		if (b->seen[i].bad && !b->seen[i].checking)
			b->seen[i] = (struct blob_seen){0};
}

static void check_work(uv_work_t *w)
{
	struct check *k = w->data;

	k->rc = blob_store_tree(&k->blobs, &k->blob, BLOB_BYTES_MAX, &k->total, &k->nodes, &k->msg);
}

static void check_next(struct serve *s);

/* It is sound: peers may have it. */
static void offer(struct serve *s, struct check *k)
{
	struct exchange *x = now(s);
	struct blob_place place = {0};

	if (x == NULL || serve_core(s) == NULL) {
		mem_free(k->nodes);
		return;
	}
	core_blob_place(serve_core(s), &k->blob, &place);
	exchange_hold(x, &k->blob, &serve_home(s)->blobs, k->total, k->nodes,
		place.grouped ? &place.group : NULL, place.shared ? EXCHANGE_OPEN : EXCHANGE_QUIET);
}

static void check_done(uv_work_t *w, int status)
{
	struct check *k = w->data;
	struct serve *s = k->serve;
	struct serve_blobs *b = serve_blobs(s);
	struct blob_seen *seen = seen_find(b, &k->blob);

	(void)status;
	b->checking--;
	if (seen != NULL) {
		seen->checking = false;
		seen->bad = k->rc != TK_OK && k->rc != TK_ENOMEM;
		if (seen->bad)
			blob_is_bad(s, &k->blob, k->msg.text);
	}
	if (k->rc == TK_OK)
		offer(s, k);
	else if (now(s) != NULL)
		exchange_absent(b->exchange, &k->blob);
	mem_free(k);
	check_next(s);
}

static bool check_begin(struct serve *s, const struct digest *blob)
{
	struct serve_blobs *b = serve_blobs(s);
	struct blob_seen *seen = seen_add(b, blob);
	struct check *k = mem_calloc(1, sizeof(*k));

	if (k == NULL || seen == NULL ||
		blob_store_version(&serve_home(s)->blobs, blob, &k->version) != TK_OK) {
		mem_free(k);
		return false;
	}
	k->work.data = k;
	k->serve = s;
	k->blobs = serve_home(s)->blobs;
	k->blob = *blob;
	if (uv_queue_work(serve_loop(s), &k->work, check_work, check_done) != 0) {
		mem_free(k);
		return false;
	}
	*seen = (struct blob_seen){.blob = *blob, .version = k->version, .checking = true};
	b->checking++;
	return true;
}

static void check_next(struct serve *s)
{
	struct serve_blobs *b = serve_blobs(s);

	while (b->checking < BLOB_CHECKING && b->wanted_count != 0) {
		struct digest blob = b->wanted[b->wanted_head];

		b->wanted_head = (b->wanted_head + 1) % BLOB_CHECKS;
		b->wanted_count--;
		if (!check_begin(s, &blob) && now(s) != NULL)
			exchange_absent(b->exchange, &blob);
	}
}

static bool check_wanted(struct serve_blobs *b, const struct digest *blob)
{
	for (size_t i = 0; i < b->wanted_count; i++)
		if (digest_equal(&b->wanted[(b->wanted_head + i) % BLOB_CHECKS], blob))
			return true;
	if (b->wanted_count == BLOB_CHECKS)
		return false;
	b->wanted[(b->wanted_head + b->wanted_count++) % BLOB_CHECKS] = *blob;
	return true;
}

/* Somebody asks for a blob that is not offered yet. Only what a project knows costs a
 * look at the disk, and only what lies there a check. */
static bool on_unknown(void *context, const struct digest *blob)
{
	struct serve *s = context;
	struct serve_blobs *b = serve_blobs(s);
	struct blob_seen *seen = seen_find(b, blob);
	uint64_t version;

	if (serve_core(s) != NULL && !core_knows_blob(serve_core(s), blob))
		return false; /* without a look at the disk */
	if (blob_store_version(&serve_home(s)->blobs, blob, &version) != TK_OK) {
		if (serve_needs_blob(s, blob))
			missing_say(s, blob);
		return false;
	}
	if (seen != NULL && seen->checking)
		return true;
	if (seen != NULL && seen->bad && seen->version == version)
		return false;
	if (b->checking < BLOB_CHECKING)
		return check_begin(s, blob);
	return check_wanted(b, blob);
}

/* A blob whose file has changed since it was checked is not offered any more. */
static void look_after(struct serve *s, const struct digest *blob)
{
	struct serve_blobs *b = serve_blobs(s);
	struct blob_seen *seen;
	uint64_t version;

	if (!exchange_holds(b->exchange, blob))
		return;
	seen = seen_find(b, blob);
	if (seen == NULL || blob_store_version(&serve_home(s)->blobs, blob, &version) != TK_OK ||
		version != seen->version)
		exchange_forget(b->exchange, blob);
}

/* What the exchange asks of us */

static int on_send(void *context, conn_id conn, const struct message *m)
{
	return node_uv_send(serve_node(context), conn, m);
}

static void on_drop(void *context, conn_id conn, uint32_t reason, const char *text)
{
	node_uv_drop(serve_node(context), conn, reason, text);
}

static int on_connect(void *context, const struct record *record, conn_id *conn)
{
	(void)context;
	(void)record;
	(void)conn;
	return TK_EUNSUPPORTED; /* a coordinator dials nobody for blobs */
}

static bool on_record(
	void *context, const struct public_key *key, struct span *encoded, struct record *record)
{
	return node_uv_record(serve_node(context), key, encoded, record);
}

static size_t on_waiting(void *context, conn_id conn)
{
	return node_uv_waiting(serve_node(context), conn);
}

static void on_unreadable(void *context, const struct digest *blob, const char *why)
{
	(void)why;
	if (serve_needs_blob(context, blob))
		missing_say(context, blob);
}

static void on_nothing(void *context, const struct digest *blob)
{
	(void)context;
	(void)blob; /* we fetch nothing */
}

static void on_no_failure(void *context, const struct digest *blob, const char *why)
{
	(void)why;
	on_nothing(context, blob);
}

static void on_log(void *context, const char *line)
{
	serve_log(context, line);
}

/* Life */

/* Bytes of blobs that we have sent, over all runs. */
static uint64_t sent(const struct serve_blobs *b)
{
	struct swarm_totals totals = {0};

	if (b->exchange != NULL)
		exchange_totals(b->exchange, &totals);
	return b->sent_before + totals.served;
}

/* Only a statistic: one that cannot be saved is saved later. */
static void sent_save(struct serve *s)
{
	struct serve_blobs *b = serve_blobs(s);
	uint64_t now_sent = sent(b);
	char text[32];

	if (now_sent == b->sent_saved)
		return;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)now_sent);
	if (store_set_text(serve_home(s)->store, STATUS_BLOBS_SENT, text, NULL) == TK_OK)
		b->sent_saved = now_sent;
}

static void sent_load(struct serve *s)
{
	struct serve_blobs *b = serve_blobs(s);
	char text[32] = "";

	b->loaded = store_text(serve_home(s)->store, STATUS_BLOBS_SENT, text, sizeof(text), NULL) ==
		    TK_OK;
	b->sent_before = b->sent_saved = strtoull(text, NULL, 10);
}

int serve_blobs_open(struct serve *s, struct errmsg *msg)
{
	struct serve_blobs *b = serve_blobs(s);
	struct exchange_options options = {.tracker = true};

	b->handler = (struct exchange_handler){.context = s,
		.send = on_send,
		.drop = on_drop,
		.connect = on_connect,
		.record = on_record,
		.waiting = on_waiting,
		.complete = on_nothing,
		.failed = on_no_failure,
		.unknown = on_unknown,
		.unreadable = on_unreadable,
		.log = on_log};
	if (!b->loaded)
		sent_load(s);
	return exchange_new(&b->exchange, &options, &b->handler, msg);
}

void serve_blobs_close(struct serve *s)
{
	struct serve_blobs *b = serve_blobs(s);

	sent_save(s);
	b->sent_before = sent(b);
	exchange_free(b->exchange);
	b->exchange = NULL;
	b->wanted_count = 0;
}

void serve_blobs_up(struct serve *s, conn_id conn, const struct public_key *key)
{
	if (now(s) != NULL)
		exchange_up(serve_blobs(s)->exchange, conn, key, false,
			node_uv_prefix(serve_node(s), conn));
}

void serve_blobs_down(struct serve *s, conn_id conn)
{
	if (now(s) != NULL)
		exchange_down(serve_blobs(s)->exchange, conn);
}

bool serve_blobs_message(struct serve *s, conn_id conn, const struct message *m)
{
	struct exchange *x = now(s);

	if (x == NULL || (m->type != MESSAGE_BLOB_GET && m->type != MESSAGE_BLOB_WHO &&
				 m->type != MESSAGE_BLOB_HAVE))
		return false; /* we ask nobody for blobs */
	if (m->type == MESSAGE_BLOB_WHO || (m->type == MESSAGE_BLOB_GET && m->blob_get.offset == 0))
		look_after(s, &m->blob_get.digest);
	return exchange_message(x, conn, m);
}

void serve_blobs_writable(void *context, conn_id conn)
{
	if (now(context) != NULL)
		exchange_writable(serve_blobs(context)->exchange, conn);
}

void serve_blobs_tick(struct serve *s)
{
	if (++serve_blobs(s)->ticks % SAVE_TICKS == 0)
		sent_save(s);
	if (now(s) != NULL)
		exchange_tick(serve_blobs(s)->exchange);
}
