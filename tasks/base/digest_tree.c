/* See digest.h: blobs, states and lists of digests as Merkle trees.
 *
 * Leaves, and the nodes of one level, are independent messages of equal length, so they are hashed
 * several at a time (blake2b.h). The shape is RFC 6962's, which is also what pairing level by level
 * from the left gives, when an odd last digest moves up as it is. */
#include "tasks/base/digest.h"

#include <string.h>

#include "tasks/base/blake2b.h"
#include "tasks/base/require.h"

enum { TAG_LEAF = 0, TAG_NODE = 1, TAG_ROOT = 2 };

#define GROUP 8u  /* leaves that are looked at together; no implementation has more lanes */
#define BATCH 64u /* leaves whose subtree is folded at once; a power of two */

/* ---- Folding ---- */

/* The top over count ≥ 1 leaf digests is left in d[0]; the others are spent. */
static void fold(const struct blake2b *b, struct digest *d, size_t count)
{
	while (count > 1) {
		size_t pairs = count / 2;

		b->hash(d, pairs, TAG_NODE, d[0].b, (size_t)2 * DIGEST_BYTES);
		if (count % 2 != 0)
			d[pairs] = d[count - 1];
		count -= pairs;
	}
}

/* Tops of whole batches merge as they arrive, like carries in a binary counter; the top of the last
 * batch, whole or not, is folded in from the right. That gives RFC 6962's shape without recursion. */
struct tree {
	const struct blake2b *blake2b;
	struct digest top[64];
	uint64_t batches;
	size_t depth;
};

static void tree_merge(struct tree *t)
{
	t->depth--;
	fold(t->blake2b, &t->top[t->depth - 1], 2);
}

/* Takes up to BATCH leaf digests, and spends them; only the last batch may be smaller. */
static void tree_batch(struct tree *t, struct digest *leaves, size_t count)
{
	fold(t->blake2b, leaves, count);
	t->top[t->depth++] = leaves[0];
	if (count == BATCH) {
		for (uint64_t n = t->batches++; n & 1; n >>= 1)
			tree_merge(t);
	}
}

static void tree_top(struct tree *t, struct digest *out)
{
	REQUIRE(t->depth > 0);
	while (t->depth > 1)
		tree_merge(t);
	*out = t->top[0];
}

static void blob_root(struct digest *out, uint64_t len, const struct digest *top)
{
	uint8_t length[8];

	store_le64(length, len);
	blake2b_one(out, TAG_ROOT, length, sizeof(length), top->b, DIGEST_BYTES);
}

/* ---- Leaves of a blob that lies in parts ---- */

struct blob {
	const struct digest_part *part;
	size_t count;
	uint64_t len; /* of all */
};

static struct blob blob_of(const struct digest_part *parts, size_t count)
{
	struct blob blob = {parts, count, 0};

	for (size_t i = 0; i < count; i++) {
		REQUIRE(parts[i].len == 0 || parts[i].data != NULL);
		REQUIRE(!parts[i].floats || (blob.len % 4 == 0 && parts[i].len % 4 == 0));
		blob.len += parts[i].len;
	}
	return blob;
}

/* An empty blob has one empty leaf. */
static size_t blob_leaves(const struct blob *blob)
{
	return blob->len == 0 ? 1 : (size_t)((blob->len - 1) / BLOB_LEAF + 1);
}

/* What the blob has at a place: where that is in memory, how far it goes on, and of what kind. */
static struct digest_part blob_at(const struct blob *blob, uint64_t at)
{
	size_t i = 0;

	REQUIRE(at < blob->len);
	while (i + 1 < blob->count && at >= blob->part[i].len)
		at -= blob->part[i++].len;
	REQUIRE(blob->part[i].data != NULL);
	return (struct digest_part){(const uint8_t *)blob->part[i].data + at,
		(size_t)(blob->part[i].len - at), blob->part[i].floats};
}

static void copy_floats(uint8_t *out, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 4) {
		uint32_t bits;

		memcpy(&bits, p + i, sizeof(bits));
		store_le32(out + i, (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : bits);
	}
}

/* Copies the n bytes at `at` of the blob, as they are hashed. */
static void blob_copy(uint8_t *out, const struct blob *blob, uint64_t at, size_t n)
{
	for (size_t done = 0; done < n;) {
		struct digest_part rest = blob_at(blob, at + done);
		size_t take = rest.len < n - done ? rest.len : n - done;

		if (rest.floats)
			copy_floats(out + done, rest.data, take);
		else
			memcpy(out + done, rest.data, take);
		done += take;
	}
}

/* The n bytes at `at` of the blob where they lie, or NULL when they are not hashed just as they are. */
static const uint8_t *blob_in_place(
	const struct blake2b *b, const struct blob *blob, uint64_t at, size_t n)
{
	struct digest_part rest = blob_at(blob, at);

	if (rest.len < n || (rest.floats && !b->floats_are_canonical(rest.data, n / 4)))
		return NULL;
	return rest.data;
}

/* n > 0 bytes are up to GROUP leaves, of which the last may be short. One leaf alone is faster as one
 * stream. */
static void hash_leaves(const struct blake2b *b, struct digest *out, const uint8_t *p, size_t n)
{
	size_t whole = n / BLOB_LEAF;
	size_t together = whole - (whole % b->lanes == 1 ? 1 : 0);

	b->hash(out, together, TAG_LEAF, p, BLOB_LEAF);
	for (size_t at = together * BLOB_LEAF; at < n; at += BLOB_LEAF) {
		size_t take = n - at < BLOB_LEAF ? n - at : BLOB_LEAF;

		blake2b_one(&out[at / BLOB_LEAF], TAG_LEAF, p + at, take, NULL, 0);
	}
}

static void leaves_of(const struct blake2b *b, struct digest *leaves, const struct blob *blob,
	size_t first, size_t count)
{
	uint8_t buffer[GROUP * BLOB_LEAF];

	if (blob->len == 0 && count != 0)
		blake2b_one(leaves, TAG_LEAF, "", 0, NULL, 0);
	for (size_t i = 0; i < count && blob->len != 0; i += GROUP) {
		uint64_t at = (uint64_t)(first + i) * BLOB_LEAF;
		size_t n = (count - i < GROUP ? count - i : GROUP) * BLOB_LEAF;
		const uint8_t *p;

		if (n > blob->len - at)
			n = (size_t)(blob->len - at);
		p = blob_in_place(b, blob, at, n);
		if (p == NULL) {
			blob_copy(buffer, blob, at, n);
			p = buffer;
		}
		hash_leaves(b, leaves + i, p, n);
	}
}

/* ---- Entry points ---- */

size_t digest_leaf_count(const struct digest_part *parts, size_t count)
{
	struct blob blob = blob_of(parts, count);

	return blob_leaves(&blob);
}

void digest_leaves(struct digest *leaves, size_t first, size_t count,
	const struct digest_part *parts, size_t parts_count)
{
	struct blob blob = blob_of(parts, parts_count);

	REQUIRE(first + count <= blob_leaves(&blob));
	leaves_of(blake2b_best(), leaves, &blob, first, count);
}

void digest_fold(struct digest *out, struct digest *leaves, const struct digest_part *parts,
	size_t parts_count)
{
	struct blob blob = blob_of(parts, parts_count);

	fold(blake2b_best(), leaves, blob_leaves(&blob));
	blob_root(out, blob.len, &leaves[0]);
}

void digest_parts_by(const struct blake2b *b, struct digest *out, const struct digest_part *parts,
	size_t parts_count)
{
	struct blob blob = blob_of(parts, parts_count);
	size_t leaves = blob_leaves(&blob);
	struct tree t = {.blake2b = b};
	struct digest batch[BATCH];
	struct digest top;

	for (size_t first = 0; first < leaves; first += BATCH) {
		size_t count = leaves - first < BATCH ? leaves - first : BATCH;

		leaves_of(b, batch, &blob, first, count);
		tree_batch(&t, batch, count);
	}
	tree_top(&t, &top);
	blob_root(out, blob.len, &top);
}

void digest_parts(struct digest *out, const struct digest_part *parts, size_t count)
{
	digest_parts_by(blake2b_best(), out, parts, count);
}

void digest_blob(struct digest *out, const void *data, size_t n)
{
	const struct digest_part part = {data, n, false};

	digest_parts(out, &part, 1);
}

void merkle_root(struct digest *root, const struct digest *leaves, size_t count)
{
	struct tree t = {.blake2b = blake2b_best()};
	struct digest batch[BATCH];

	REQUIRE(count > 0);
	for (size_t first = 0; first < count; first += BATCH) {
		size_t n = count - first < BATCH ? count - first : BATCH;

		t.blake2b->hash(batch, n, TAG_LEAF, leaves[first].b, DIGEST_BYTES);
		tree_batch(&t, batch, n);
	}
	tree_top(&t, root);
}

/* The largest power of two smaller than n (n ≥ 2). */
static size_t left_leaves(size_t n)
{
	size_t k = 1;

	while (k < n - k)
		k *= 2;
	return k;
}

size_t merkle_path(struct digest path[64], const struct digest *leaves, size_t count, size_t index)
{
	struct digest top_down[64];
	size_t steps = 0;

	REQUIRE(index < count);
	while (count > 1) {
		size_t k = left_leaves(count);

		if (index < k) {
			merkle_root(&top_down[steps++], leaves + k, count - k);
			count = k;
		} else {
			merkle_root(&top_down[steps++], leaves, k);
			leaves += k;
			index -= k;
			count -= k;
		}
	}
	for (size_t i = 0; i < steps; i++)
		path[i] = top_down[steps - 1 - i];
	return steps;
}

/* A level has a node for each pair of the one below, and takes the last one as it is when that has no partner; this is
 * the tree whose left side is always the largest power of two. */
size_t merkle_tree_nodes(size_t count)
{
	size_t nodes = count;

	for (; count > 1; count = (count + 1) / 2)
		nodes += (count + 1) / 2;
	return nodes;
}

void merkle_tree(struct digest *nodes, const struct digest *leaves, size_t count)
{
	const struct blake2b *b = blake2b_best();

	REQUIRE(count > 0);
	for (size_t i = 0; i < count; i += BATCH) {
		size_t n = count - i < BATCH ? count - i : BATCH;

		b->hash(nodes + i, n, TAG_LEAF, leaves[i].b, DIGEST_BYTES);
	}
	while (count > 1) {
		struct digest *above = nodes + count;

		for (size_t i = 0; i < count / 2; i += BATCH) {
			size_t n = count / 2 - i < BATCH ? count / 2 - i : BATCH;

			b->hash(above + i, n, TAG_NODE, nodes[2 * i].b, 2 * DIGEST_BYTES);
		}
		if (count % 2 != 0)
			above[count / 2] = nodes[count - 1];
		nodes = above;
		count = (count + 1) / 2;
	}
}

size_t merkle_tree_path(
	struct digest path[64], const struct digest *nodes, size_t count, size_t index)
{
	size_t steps = 0;

	REQUIRE(index < count);
	while (count > 1) {
		if ((index ^ 1) < count)
			path[steps++] = nodes[index ^ 1];
		nodes += count;
		count = (count + 1) / 2;
		index /= 2;
	}
	return steps;
}

bool merkle_verify(const struct digest *root, const struct digest *leaf, size_t index, size_t count,
	const struct digest *path, size_t steps)
{
	bool went_right[64];
	size_t depth = 0;
	struct digest at;

	if (index >= count)
		return false;
	while (count > 1 && depth < 64) {
		size_t k = left_leaves(count);

		went_right[depth++] = index >= k;
		if (index >= k) {
			index -= k;
			count -= k;
		} else {
			count = k;
		}
	}
	if (steps != depth)
		return false;
	blake2b_one(&at, TAG_LEAF, leaf->b, DIGEST_BYTES, NULL, 0);
	for (size_t i = 0; i < steps; i++) {
		if (went_right[depth - 1 - i])
			blake2b_one(&at, TAG_NODE, path[i].b, DIGEST_BYTES, at.b, DIGEST_BYTES);
		else
			blake2b_one(&at, TAG_NODE, at.b, DIGEST_BYTES, path[i].b, DIGEST_BYTES);
	}
	return digest_equal(&at, root);
}
