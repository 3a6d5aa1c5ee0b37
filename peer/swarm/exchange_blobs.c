/* The blobs of the exchange and their files; see exchange_state.h. */
#include <stdio.h>

#include "peer/swarm/exchange_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

/* Numbers */

/* Digests are found by their first bytes; two that share them take neighbouring places. */
struct exchange_blob *exchange_blob_find(const struct exchange *x, const struct digest *digest)
{
	uint64_t hash = load_le64(digest->b);
	struct exchange_blob *b;

	while ((b = index_get(&x->blobs_by_digest, hash)) != NULL &&
		!digest_equal(&b->digest, digest))
		hash++;
	return b;
}

struct exchange_blob *exchange_blob_by_ref(const struct exchange *x, blob_ref ref)
{
	return ref <= x->blob_count ? x->blobs[ref] : NULL;
}

/* A number stays its digest's as long as there are others: somebody may still speak of it. Then the one
 * whose blob has been gone for longest is given anew. */
static struct exchange_blob *blob_recycle(struct exchange *x)
{
	struct exchange_blob *found = NULL;
	uint64_t hash;

	for (uint32_t i = 1; i <= x->blob_count; i++) {
		struct exchange_blob *b = x->blobs[i];

		hash = load_le64(b->digest.b);
		if (b->store == NULL && (found == NULL || b->used_ms < found->used_ms) &&
			index_get(&x->blobs_by_digest, hash) == b &&
			index_get(&x->blobs_by_digest, hash + 1) == NULL)
			found = b;
	}
	if (found != NULL)
		index_remove(&x->blobs_by_digest, load_le64(found->digest.b));
	return found;
}

static struct exchange_blob *blob_new(struct exchange *x)
{
	struct exchange_blob *b = mem_calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->ref = ++x->blob_count;
	x->blobs[b->ref] = b;
	return b;
}

static struct exchange_blob *blob_take(struct exchange *x, const struct digest *digest)
{
	struct exchange_blob *b = exchange_blob_find(x, digest);
	uint64_t hash = load_le64(digest->b);

	if (b != NULL)
		return b;
	b = x->blob_count < EXCHANGE_BLOBS_MAX ? blob_new(x) : blob_recycle(x);
	if (b == NULL)
		return NULL;
	b->digest = *digest;
	while (index_get(&x->blobs_by_digest, hash) != NULL)
		hash++;
	return index_put(&x->blobs_by_digest, hash, b) == TK_OK ? b : NULL;
}

static void file_close(struct exchange_blob *b, bool remove)
{
	if (b->file == NULL)
		return;
	if (remove)
		part_file_remove(b->file);
	else
		part_file_close(b->file);
	mem_free(b->file);
	b->file = NULL;
}

/* Nothing of it is here any more but its number. */
static void blob_clear(struct exchange_blob *b, bool remove)
{
	file_close(b, remove);
	mem_free(b->nodes);
	b->nodes = NULL;
	b->store = NULL;
	b->whole = false;
	b->total = 0;
}

void exchange_blobs_free(struct exchange *x)
{
	for (uint32_t i = 1; i <= x->blob_count; i++) {
		blob_clear(x->blobs[i], false);
		mem_free(x->blobs[i]);
	}
	mem_free(x->blobs);
	index_close(&x->blobs_by_digest);
}

static void blob_drop(struct exchange *x, struct exchange_blob *b, bool remove)
{
	struct swarm_event drop = {.type = SWARM_DROP, .blob = b->ref};

	blob_clear(b, remove);
	b->used_ms = x->now_ms;
	exchange_step(x, &drop);
}

/* Wanting */

static int file_open(
	struct exchange *x, struct exchange_blob *b, uint64_t total, struct errmsg *msg)
{
	struct part_file *f = mem_alloc(sizeof(*f));
	int rc;

	if (f == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to fetch a blob");
	if (x->room != 0)
		exchange_make_room(x, x->room > total ? x->room - total : 0);
	rc = part_file_open(f, x->folder, &b->digest, total, msg);
	if (rc != TK_OK) {
		mem_free(f);
		return rc;
	}
	b->file = f;
	b->total = total;
	return TK_OK;
}

static void cannot_have(struct exchange *x, struct exchange_blob *b, const char *why)
{
	struct digest digest = b->digest;

	blob_drop(x, b, false);
	x->handler->failed(x->handler->context, &digest, why);
}

/* The length that an earlier run has noted is worth something when a part fits it. */
static uint64_t noted_total(struct exchange *x, struct exchange_blob *b, struct errmsg *msg)
{
	uint64_t total = part_file_total(x->folder, &b->digest);

	if (total == 0 || total > b->max || file_open(x, b, total, msg) != TK_OK)
		return 0;
	REQUIRE(b->file != NULL);
	for (size_t i = 0; i < (b->file->parts + 63) / 64; i++)
		if (b->file->words[i] != 0)
			return total;
	file_close(b, true);
	b->total = 0;
	return 0;
}

void exchange_want(struct exchange *x, const struct digest *digest, const struct blob_store *store,
	uint64_t total, uint64_t max, enum exchange_share share)
{
	struct exchange_blob *b = blob_take(x, digest);
	struct swarm_event want = {.type = SWARM_WANT,
		.total = total,
		.max = max,
		.quiet = share == EXCHANGE_QUIET,
		.discreet = share == EXCHANGE_DISCREET};
	uint64_t size;
	struct errmsg msg = {{0}};
	int rc = TK_OK;

	if (b == NULL) {
		x->handler->failed(x->handler->context, digest, "too many blobs for this exchange");
		return;
	}
	if (b->store != NULL && !b->whole)
		return; /* it comes already */
	if (b->whole && blob_store_size(store, digest, &size) == TK_OK) {
		exchange_used(x, digest);
		x->handler->complete(x->handler->context, digest);
		return;
	}
	if (b->whole) /* its file is lost */
		blob_drop(x, b, true);
	b->store = store;
	b->max = max;
	if (total != 0)
		rc = file_open(x, b, total, &msg);
	else
		want.total = noted_total(x, b, &msg);
	if (rc != TK_OK) {
		cannot_have(x, b, msg.text);
		return;
	}
	want.blob = b->ref;
	if (b->file != NULL) {
		want.words = b->file->words;
		want.count = (b->file->parts + 63) / 64;
	}
	exchange_step(x, &want);
}

void exchange_store(struct exchange *x, const struct swarm_effect *e)
{
	struct exchange_blob *b = exchange_blob_by_ref(x, e->blob);
	const struct message_blob_part *part = x->in_hand;
	struct errmsg msg = {{0}};
	int rc = TK_OK;

	REQUIRE(b != NULL && part != NULL && part->offset == e->offset);
	if (b->store == NULL)
		return; /* it failed in this very step */
	if (b->file == NULL)
		rc = file_open(x, b, part->total, &msg);
	if (rc == TK_OK)
		rc = part_file_write(
			b->file, part->offset, part->bytes, part->path, part->path_steps, &msg);
	if (rc != TK_OK)
		cannot_have(x, b, msg.text);
}

void exchange_finish(struct exchange *x, blob_ref ref)
{
	struct exchange_blob *b = exchange_blob_by_ref(x, ref);
	struct errmsg msg = {{0}};

	REQUIRE(b != NULL);
	if (b->store == NULL || b->file == NULL)
		return; /* it failed in this very step */
	if (part_file_finish(b->file, b->store, &b->nodes, &msg) != TK_OK) {
		file_close(b, true);
		cannot_have(x, b, msg.text);
		return;
	}
	mem_free(b->file);
	b->file = NULL;
	b->whole = true;
	b->used_ms = x->now_ms;
	x->handler->complete(x->handler->context, &b->digest);
}

void exchange_lacking(struct exchange *x, blob_ref ref)
{
	struct exchange_blob *b = exchange_blob_by_ref(x, ref);

	if (b != NULL && b->store != NULL)
		cannot_have(x, b, "the coordinator does not have its data");
}

/* Holding */

void exchange_hold(struct exchange *x, const struct digest *digest, const struct blob_store *store,
	uint64_t total, struct digest *nodes, const struct digest *group, enum exchange_share share)
{
	struct exchange_blob *b = blob_take(x, digest);
	struct exchange_blob *first = group != NULL ? blob_take(x, group) : NULL;
	struct swarm_event hold = {.type = SWARM_HOLD,
		.total = total,
		.quiet = share == EXCHANGE_QUIET,
		.discreet = share == EXCHANGE_DISCREET};

	if (b == NULL || b->store != NULL || total == 0) {
		mem_free(nodes);
		return;
	}
	b->store = store;
	b->total = total;
	b->nodes = nodes;
	b->whole = true;
	b->used_ms = x->now_ms;
	hold.blob = b->ref;
	hold.group = first != NULL ? first->ref : 0;
	exchange_step(x, &hold);
	exchange_replay(x, digest, true);
}

void exchange_forget(struct exchange *x, const struct digest *digest)
{
	struct exchange_blob *b = exchange_blob_find(x, digest);

	if (b != NULL && b->store != NULL)
		blob_drop(x, b, true);
}

void exchange_absent(struct exchange *x, const struct digest *digest)
{
	exchange_replay(x, digest, false);
}

bool exchange_holds(const struct exchange *x, const struct digest *digest)
{
	const struct exchange_blob *b = exchange_blob_find(x, digest);

	return b != NULL && b->whole;
}

void exchange_used(struct exchange *x, const struct digest *digest)
{
	struct exchange_blob *b = exchange_blob_find(x, digest);

	if (b == NULL)
		return;
	b->used_ms = x->now_ms;
	if (b->whole)
		blob_store_use(b->store, digest);
}

uint64_t exchange_bytes(const struct exchange *x)
{
	uint64_t bytes = 0;

	for (uint32_t i = 1; i <= x->blob_count; i++)
		bytes += x->blobs[i]->whole || x->blobs[i]->file != NULL ? x->blobs[i]->total : 0;
	return bytes;
}

static struct exchange_blob *least_used(struct exchange *x)
{
	struct exchange_blob *found = NULL;

	for (uint32_t i = 1; i <= x->blob_count; i++) {
		struct exchange_blob *b = x->blobs[i];

		if (b->whole && (found == NULL || b->used_ms < found->used_ms) &&
			!x->handler->needed(x->handler->context, &b->digest))
			found = b;
	}
	return found;
}

void exchange_make_room(struct exchange *x, uint64_t bytes)
{
	uint64_t held = exchange_bytes(x);
	struct exchange_blob *b;

	while (x->handler->needed != NULL && held > bytes && (b = least_used(x)) != NULL) {
		held -= b->total;
		blob_store_remove(b->store, &b->digest);
		blob_drop(x, b, true);
	}
}

void exchange_look_at_one(struct exchange *x)
{
	struct exchange_blob *b;
	uint64_t size;

	if (x->blob_count == 0)
		return;
	x->looked_at = x->looked_at % x->blob_count + 1;
	b = x->blobs[x->looked_at];
	if (b->whole && blob_store_size(b->store, &b->digest, &size) != TK_OK)
		blob_drop(x, b, false);
}

/* Serving */

static int read_part(
	struct exchange_blob *b, const struct swarm_effect *e, uint8_t *out, struct errmsg *msg)
{
	uint64_t total = b->total;

	if (b->file != NULL)
		return part_file_read(b->file, e->offset, out, e->length, msg);
	return blob_store_read(b->store, &b->digest, e->offset, out, e->length, &total, msg);
}

/* A part of the usual length carries its proof; any other bytes come without. */
static void add_proof(const struct exchange_blob *b, struct message_blob_part *part)
{
	const struct digest *nodes = b->file != NULL ? b->file->nodes : b->nodes;
	struct digest path[64];
	uint64_t left = b->total - part->offset;

	if (nodes == NULL || part->offset % BLOB_PART != 0 ||
		part->bytes.len != (left < BLOB_PART ? left : BLOB_PART))
		return;
	part->path_steps = (uint32_t)blob_part_path(
		path, nodes, blob_part_count(b->total), (size_t)(part->offset / BLOB_PART));
	REQUIRE(part->path_steps <= BLOB_PATH_MAX);
	for (uint32_t i = 0; i < part->path_steps; i++)
		part->path[i] = path[i];
}

void exchange_serve(struct exchange *x, const struct swarm_effect *e)
{
	static uint8_t buffer[BLOB_PART_MAX]; /* one thread, until it is sent */
	struct exchange_blob *b = exchange_blob_by_ref(x, e->blob);
	struct exchange_peer *p = exchange_peer_by_ref(x, e->peer);
	struct message m = {.type = MESSAGE_BLOB_PART};
	struct errmsg msg = {{0}};

	if (p == NULL || p->conn == 0)
		return;
	if (b == NULL || b->store == NULL) {
		exchange_serve_done(x, p, e);
		return;
	}
	b->used_ms = x->now_ms;
	if (read_part(b, e, buffer, &msg) == TK_OK) {
		m.blob_part = (struct message_blob_part){.digest = b->digest,
			.total = b->total,
			.offset = e->offset,
			.bytes = {buffer, e->length}};
		add_proof(b, &m.blob_part);
		(void)!x->handler->send(x->handler->context, p->conn, &m);
		exchange_serve_done(x, p, e);
		return;
	}
	m = (struct message){.type = MESSAGE_BLOB_MISSING, .blob_missing.digest = b->digest};
	(void)!x->handler->send(x->handler->context, p->conn, &m);
	exchange_serve_done(x, p, e);
	if (x->handler->unreadable != NULL)
		x->handler->unreadable(x->handler->context, &b->digest, msg.text);
	blob_drop(x, b, false);
}
