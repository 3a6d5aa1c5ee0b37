/* See fault_file.h: gathering what a proof takes, and the file's bytes. */
#include "tasks/unit/fault_file.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/data/shard.h"
#include "tasks/unit/fault_case.h"
#include "tasks/unit/state.h"

#define MAGIC_BYTES 8u
#define ENTRY_BYTES (DIGEST_BYTES + 8u + 1u)

static const uint8_t magic[MAGIC_BYTES] = {'T', 'K', 'F', 'A', 'U', 'L', 'T', 1};

/* Blobs on their way into a file: their table, and their bytes as long as they are few enough. */
struct gathering {
	const struct blob_lookup *lookup;
	struct bytes table, data;
	uint32_t count;
	uint64_t total;
	struct errmsg *msg;
};

static int gather(struct gathering *g, struct span bytes, const struct digest *digest)
{
	uint8_t entry[ENTRY_BYTES];
	int rc;

	if (g->count == FAULT_BLOBS_MAX)
		return errmsg_set(
			g->msg, TK_ELIMIT, "the proof takes more than %u blobs", FAULT_BLOBS_MAX);
	memcpy(entry, digest->b, DIGEST_BYTES);
	store_le64(entry + DIGEST_BYTES, bytes.len);
	entry[ENTRY_BYTES - 1] = 1;
	g->count++;
	g->total += bytes.len;
	rc = bytes_append(&g->table, entry, sizeof(entry));
	if (g->total > FAULT_BLOBS_BYTES_MAX)
		bytes_close(&g->data);
	else if (rc == TK_OK)
		rc = bytes_append(&g->data, bytes.data, bytes.len);
	return rc == TK_OK ? rc : errmsg_set(g->msg, rc, "not enough memory for a proof's blobs");
}

static int gather_blob(
	struct gathering *g, const struct digest *digest, size_t max, const char *what)
{
	struct bytes got = {0};
	int rc = fault_blob(g->lookup, digest, max, what, &got, g->msg);

	if (rc == TK_OK)
		rc = gather(g, bytes_span(&got), digest);
	bytes_close(&got);
	return rc;
}

/* The state before the step, when it is the right one. */
static int gather_before(struct gathering *g, const struct fault_case *c, struct span before)
{
	struct digest blob, digest;
	int rc = replay_state_digest(&c->recipe, c->from, before, &digest, g->msg);

	if (rc == TK_OK && !digest_equal(&digest, &c->before))
		rc = errmsg_set(g->msg, TK_ECORRUPT,
			"the state after step %u is not the one that the peer signed", c->from);
	if (rc != TK_OK)
		return rc;
	digest_blob(&blob, before.data, before.len);
	return gather(g, before, &blob);
}

static int gather_all(struct gathering *g, const struct fault_case *c, struct span before)
{
	const struct unit *u = &c->facts.unit;
	int rc = TK_OK;

	if (c->has_recipe)
		rc = gather_blob(g, &u->recipe, RECIPE_BYTES_MAX, "the recipe");
	if (rc == TK_OK && c->needs.parameters)
		rc = gather_blob(g, &u->parameters, 4 * PARAMETERS_MAX, "the parameters");
	if (rc == TK_OK && c->needs.slot)
		rc = gather_blob(g, &u->state, 12 * PARAMETERS_MAX, "the slot's state");
	for (uint32_t i = 0; rc == TK_OK && i < c->needs.count; i++)
		rc = gather_blob(g, &c->recipe.data.train.digests[c->needs.shards[i]], SHARD_BYTES,
			"a shard");
	if (rc == TK_OK && c->computes && c->from > 0)
		rc = gather_before(g, c, before);
	return rc;
}

/* The file without its digest. */
static int write_parts(struct bytes *out, struct span statement, struct gathering *g)
{
	bool held = g->total <= FAULT_BLOBS_BYTES_MAX;
	uint8_t length[4], count[4];
	int rc;

	store_le32(length, (uint32_t)statement.len);
	store_le32(count, g->count);
	for (uint32_t i = 1; !held && i <= g->count; i++)
		g->table.data[(size_t)i * ENTRY_BYTES - 1] = 0;
	rc = bytes_append(out, magic, sizeof(magic));
	if (rc == TK_OK)
		rc = bytes_append(out, length, sizeof(length));
	if (rc == TK_OK)
		rc = bytes_append(out, statement.data, statement.len);
	if (rc == TK_OK)
		rc = bytes_append(out, count, sizeof(count));
	if (rc == TK_OK)
		rc = bytes_append(out, g->table.data, g->table.len);
	if (rc == TK_OK && held)
		rc = bytes_append(out, g->data.data, g->data.len);
	return rc;
}

static int write_file(
	struct bytes *out, struct span statement, struct gathering *g, struct errmsg *msg)
{
	size_t before = out->len;
	struct digest digest;
	int rc = write_parts(out, statement, g);

	if (rc == TK_OK) {
		digest_blob(&digest, out->data + before, out->len - before);
		rc = bytes_append(out, digest.b, DIGEST_BYTES);
	}
	if (rc == TK_OK)
		return rc;
	out->len = before;
	return errmsg_set(msg, rc, "not enough memory for a proof's file");
}

int fault_file_encode(struct span statement, struct span before, const struct blob_lookup *lookup,
	struct bytes *out, struct errmsg *msg)
{
	struct gathering g = {.lookup = lookup, .msg = msg};
	struct fault_case c;
	int rc = fault_case_open(&c, statement, lookup, msg);

	if (rc != TK_OK)
		return rc;
	rc = gather_all(&g, &c, before);
	if (rc == TK_OK)
		rc = write_file(out, statement, &g, msg);
	bytes_close(&g.table);
	bytes_close(&g.data);
	fault_case_close(&c);
	return rc;
}

/* ---- Reading ---- */

/* Takes n bytes off the front of the rest. */
static bool take(struct span *rest, uint64_t n, struct span *out)
{
	if (n > rest->len)
		return false;
	*out = span_of(rest->data, (size_t)n);
	*rest = span_of(rest->data + n, rest->len - (size_t)n);
	return true;
}

static bool take_u32(struct span *rest, uint32_t max, uint32_t *out)
{
	struct span four;

	if (!take(rest, 4, &four))
		return false;
	*out = load_le32(four.data);
	return *out <= max;
}

/* The table, and behind it the bytes of those that the file holds, to its very end. */
static bool take_blobs(struct span *rest, struct fault_parts *p)
{
	struct span entry;

	for (uint32_t i = 0; i < p->count; i++) {
		if (!take(rest, ENTRY_BYTES, &entry) || entry.data[ENTRY_BYTES - 1] > 1)
			return false;
		memcpy(p->blobs[i].digest.b, entry.data, DIGEST_BYTES);
		p->blobs[i].len = load_le64(entry.data + DIGEST_BYTES);
		p->blobs[i].held = entry.data[ENTRY_BYTES - 1] == 1;
	}
	for (uint32_t i = 0; i < p->count; i++) {
		if (p->blobs[i].held && !take(rest, p->blobs[i].len, &p->blobs[i].bytes))
			return false;
	}
	return rest->len == 0;
}

int fault_file_parse(struct fault_parts *out, struct span file, struct errmsg *msg)
{
	struct fault_parts p = {0};
	struct span rest, head;
	struct digest digest;
	uint32_t len;

	if (file.len < MAGIC_BYTES + DIGEST_BYTES || file.len > FAULT_FILE_BYTES_MAX ||
		memcmp(file.data, magic, MAGIC_BYTES) != 0)
		return errmsg_set(msg, TK_EPROTO,
			"this is no proof of fault, or one of a format that this program does not "
			"know");
	rest = span_of(file.data, file.len - DIGEST_BYTES);
	digest_blob(&digest, rest.data, rest.len);
	if (memcmp(digest.b, file.data + rest.len, DIGEST_BYTES) != 0)
		return errmsg_set(msg, TK_ECORRUPT,
			"the proof's file is cut or changed: get it again from where it came from");
	if (!take(&rest, MAGIC_BYTES, &head) || !take_u32(&rest, FAULT_STATEMENT_BYTES_MAX, &len) ||
		!take(&rest, len, &p.statement) || !take_u32(&rest, FAULT_BLOBS_MAX, &p.count) ||
		(uint64_t)p.count * ENTRY_BYTES > rest.len)
		return errmsg_set(msg, TK_EPROTO, "the proof's file is malformed");
	p.blobs = mem_calloc(p.count, sizeof(*p.blobs));
	if (p.blobs == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for %u blobs", p.count);
	if (!take_blobs(&rest, &p)) {
		mem_free(p.blobs);
		return errmsg_set(msg, TK_EPROTO, "the proof's file is malformed");
	}
	*out = p;
	return TK_OK;
}
