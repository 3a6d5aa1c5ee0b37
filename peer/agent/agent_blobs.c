/* The agent's part in the swarm (peer/swarm/exchange.h): fetching what leases need from whoever has it, and
 * passing on what is on this disk. Results and states are nobody else's business: who asked for a state
 * would tell which unit it computes, so states come from the coordinator alone. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "peer/agent/agent_shell.h"
#include "peer/swarm/part_file.h"
#include "tasks/base/mem.h"

/* What the exchange asks of us */

static int on_send(void *context, conn_id conn, const struct message *m)
{
	const struct shell *s = context;

	return node_uv_send(s->node, conn, m);
}

static void on_drop(void *context, conn_id conn, uint32_t reason, const char *text)
{
	const struct shell *s = context;

	node_uv_drop(s->node, conn, reason, text); /* a coordinator is dialled again */
}

static int on_connect(void *context, const struct record *record, conn_id *conn)
{
	const struct shell *s = context;

	return node_uv_connect(s->node, record, conn, NULL);
}

static bool on_record(
	void *context, const struct public_key *key, struct span *encoded, struct record *record)
{
	const struct shell *s = context;

	return node_uv_record(s->node, key, encoded, record);
}

static size_t on_waiting(void *context, conn_id conn)
{
	const struct shell *s = context;

	return node_uv_waiting(s->node, conn);
}

static void on_complete(void *context, const struct digest *digest)
{
	struct agent_event stored = {.type = AGENT_BLOB_STORED, .digest = *digest};
	struct shell *s = context;

	exchange_make_room(s->exchange, s->cache_bytes);
	shell_answer(s, &stored, NULL);
}

static void on_failed(void *context, const struct digest *digest, const char *why)
{
	struct agent_event failed = {.type = AGENT_BLOB_FAILED, .digest = *digest, .text = why};

	shell_answer(context, &failed, NULL);
}

static bool on_needed(void *context, const struct digest *digest)
{
	const struct shell *s = context;

	return agent_needs_blob(s->core, digest);
}

/* When all our places are taken. */
static void on_needs(void *context, conn_id conn, bool needed)
{
	struct shell *s = context;

	node_uv_value(s->node, conn, needed ? NODE_WORTH_LATER : NODE_WORTH_NONE);
}

static void on_log(void *context, const char *line)
{
	shell_log(context, line);
}

/* Life */

static void note_unchecked(void *context, const struct digest *digest)
{
	struct shell *s = context;
	struct unchecked *bigger;

	if (s->unchecked_count == s->unchecked_room) {
		size_t room = s->unchecked_room == 0 ? 64 : s->unchecked_room * 2;

		bigger = mem_realloc(s->unchecked, room * sizeof(*bigger));
		if (bigger == NULL)
			return; /* it is not offered to others */
		s->unchecked = bigger;
		s->unchecked_room = room;
	}
	s->unchecked[s->unchecked_count++] =
		(struct unchecked){*digest, blob_store_used_s(&s->files.blobs, digest)};
}

/* What was used last comes first: it is checked, and so used, last. */
static int by_use(const void *a, const void *b)
{
	const struct unchecked *x = a, *y = b;

	return (x->used_s < y->used_s) - (x->used_s > y->used_s);
}

int blobs_open(struct shell *s, struct errmsg *msg)
{
	struct exchange_options options = {.network = s->home->link.network,
		.self = s->id.key.public,
		.folder = s->files.arriving,
		.room = s->cache_bytes};

	s->exchange_handler = (struct exchange_handler){.context = s,
		.send = on_send,
		.drop = on_drop,
		.connect = on_connect,
		.record = on_record,
		.waiting = on_waiting,
		.complete = on_complete,
		.failed = on_failed,
		.needed = on_needed,
		.needs = on_needs,
		.log = on_log};
	if (blob_store_list(&s->files.blobs, note_unchecked, s, msg) != TK_OK)
		return TK_EIO;
	if (s->unchecked_count != 0)
		qsort(s->unchecked, s->unchecked_count, sizeof(*s->unchecked), by_use);
	part_files_sweep(s->files.arriving, (uint64_t)time(NULL), s->cache_bytes / 4);
	return exchange_new(&s->exchange, &options, &s->exchange_handler, msg);
}

void blobs_close(struct shell *s)
{
	exchange_free(s->exchange);
	s->exchange = NULL;
	mem_free(s->unchecked);
	s->unchecked = NULL;
}

static struct exchange *now(struct shell *s)
{
	uint64_t random;

	random_bytes(&random, sizeof(random));
	exchange_now(s->exchange, shell_now_ms(s), (uint64_t)time(NULL), random);
	return s->exchange;
}

/* What the core wants */

/* Two that compute the same unit must not find each other by what they fetch; see PROTOCOL.md. */
static enum exchange_share share_of(enum agent_blob kind)
{
	switch (kind) {
	case BLOB_STATE:
		return EXCHANGE_QUIET;
	case BLOB_SHARD:
		return EXCHANGE_DISCREET;
	default:
		return EXCHANGE_OPEN;
	}
}

void blobs_fetch(struct shell *s, const struct agent_effect *e)
{
	const struct blob_store *store = agent_files_store(&s->files, e->kind);
	uint64_t size;

	if (e->ahead && e->total > s->cache_bytes)
		return; /* it would leave again before its lease comes */
	if (e->ahead && blob_store_size(store, &e->digest, &size) == TK_OK) {
		exchange_used(now(s), &e->digest);
		return;
	}
	exchange_want(now(s), &e->digest, store, e->total, e->max, share_of(e->kind));
}

void blobs_remove(struct shell *s, const struct agent_effect *e)
{
	blob_store_remove(agent_files_store(&s->files, e->kind), &e->digest);
	exchange_forget(now(s), &e->digest);
}

/* What the node says */

void blobs_up(struct shell *s, conn_id conn, const struct public_key *key, enum role role)
{
	exchange_up(now(s), conn, key, role == ROLE_COORDINATOR, node_uv_prefix(s->node, conn));
	shell_settle(s);
}

void blobs_down(struct shell *s, conn_id conn)
{
	exchange_down(now(s), conn);
	shell_settle(s);
}

void blobs_dial_failed(struct shell *s, conn_id conn)
{
	exchange_dial_failed(now(s), conn);
	shell_settle(s);
}

void blobs_writable(struct shell *s, conn_id conn)
{
	exchange_writable(now(s), conn);
}

bool blobs_message(struct shell *s, conn_id conn, const struct message *m)
{
	if (!exchange_message(now(s), conn, m))
		return false;
	shell_settle(s);
	return true;
}

/* What an earlier run left is checked, one blob at a time, before others are told of it. A recipe is not told from a
 * shard. */
static void check_one(struct shell *s)
{
	const struct blob_store *store = &s->files.blobs;
	struct digest digest = s->unchecked[--s->unchecked_count].digest;
	struct digest *nodes;
	uint64_t total;
	int rc;

	if (exchange_holds(s->exchange, &digest))
		return;
	rc = blob_store_tree(store, &digest, SHARD_BYTES, &total, &nodes, NULL);
	if (rc == TK_OK)
		exchange_hold(now(s), &digest, store, total, nodes, NULL, EXCHANGE_DISCREET);
	else if (rc == TK_ECORRUPT)
		blob_store_remove(store, &digest); /* a lease that needs it fetches it again */
}

void blobs_tick(struct shell *s)
{
	if (s->unchecked_count != 0) {
		check_one(s);
		exchange_make_room(now(s), s->cache_bytes); /* which may be less than it was */
	}
	exchange_tick(now(s));
	shell_settle(s);
}

uint64_t blobs_bytes(const struct shell *s)
{
	return exchange_bytes(s->exchange);
}

void blobs_totals(const struct shell *s, struct swarm_totals *out)
{
	exchange_totals(s->exchange, out);
}
