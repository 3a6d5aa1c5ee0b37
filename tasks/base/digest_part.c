/* See digest.h: parts of a blob and their proofs.
 *
 * The whole tree is paired level by level from the left, which is RFC 6962's shape. A level of n nodes
 * has ⌈n/2⌉ above it; node i stands beside node i^1, but for an odd last one, which has nobody beside it
 * and adds no step to a path. */
#include "tasks/base/digest.h"

#include "tasks/base/blake2b.h"
#include "tasks/base/require.h"

enum { TAG_LEAF = 0, TAG_NODE = 1, TAG_ROOT = 2 };

#define PART_LEAVES (BLOB_PART / BLOB_LEAF)

size_t blob_part_count(uint64_t total)
{
	return total == 0 ? 1 : (size_t)((total - 1) / BLOB_PART + 1);
}

size_t blob_tree_nodes(size_t parts)
{
	size_t nodes = parts;

	while (parts > 1) {
		parts = (parts + 1) / 2;
		nodes += parts;
	}
	return nodes;
}

static void node_join(struct digest *out, const struct digest *left, const struct digest *right)
{
	blake2b_one(out, TAG_NODE, left->b, DIGEST_BYTES, right->b, DIGEST_BYTES);
}

static void root_of(struct digest *out, uint64_t total, const struct digest *top)
{
	uint8_t length[8];

	store_le64(length, total);
	blake2b_one(out, TAG_ROOT, length, sizeof(length), top->b, DIGEST_BYTES);
}

/* One level up, in place. */
static size_t level_fold(struct digest *d, size_t count)
{
	size_t pairs = count / 2;

	blake2b_best()->hash(d, pairs, TAG_NODE, d[0].b, (size_t)2 * DIGEST_BYTES);
	if (count % 2 != 0)
		d[pairs] = d[count - 1];
	return count - pairs;
}

void blob_part_top(struct digest *top, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	struct digest leaves[PART_LEAVES];
	size_t whole = n / BLOB_LEAF;
	size_t count = whole;

	REQUIRE(n <= BLOB_PART);
	blake2b_best()->hash(leaves, whole, TAG_LEAF, n == 0 ? (const uint8_t *)"" : p, BLOB_LEAF);
	if (n % BLOB_LEAF != 0 || n == 0) {
		const uint8_t *rest = n == 0 ? (const uint8_t *)"" : p + whole * BLOB_LEAF;

		blake2b_one(&leaves[count++], TAG_LEAF, rest, n % BLOB_LEAF, NULL, 0);
	}
	while (count > 1)
		count = level_fold(leaves, count);
	*top = leaves[0];
}

void blob_tree_build(struct digest *root, struct digest *nodes, size_t parts, uint64_t total)
{
	REQUIRE(parts == blob_part_count(total));
	while (parts > 1) {
		struct digest *above = nodes + parts;
		size_t pairs = parts / 2;

		blake2b_best()->hash(above, pairs, TAG_NODE, nodes[0].b, (size_t)2 * DIGEST_BYTES);
		if (parts % 2 != 0)
			above[pairs] = nodes[parts - 1];
		nodes = above;
		parts -= pairs;
	}
	root_of(root, total, nodes);
}

size_t blob_part_path(
	struct digest path[64], const struct digest *nodes, size_t parts, size_t index)
{
	size_t steps = 0;

	REQUIRE(index < parts);
	while (parts > 1) {
		if ((index ^ 1) < parts)
			path[steps++] = nodes[index ^ 1];
		nodes += parts;
		parts = (parts + 1) / 2;
		index /= 2;
	}
	return steps;
}

void blob_tree_learn(struct digest *nodes, size_t parts, size_t index, const struct digest *top,
	const struct digest *path, size_t steps)
{
	size_t taken = 0;

	REQUIRE(index < parts);
	nodes[index] = *top;
	while (parts > 1) {
		if ((index ^ 1) < parts) {
			REQUIRE(taken < steps);
			nodes[index ^ 1] = path[taken++];
		}
		nodes += parts;
		parts = (parts + 1) / 2;
		index /= 2;
	}
	REQUIRE(taken == steps);
}

bool blob_part_verify(const struct digest *root, uint64_t total, uint64_t offset, struct span bytes,
	const struct digest *path, size_t steps)
{
	size_t parts = blob_part_count(total);
	uint64_t index = offset / BLOB_PART;
	size_t taken = 0;
	struct digest at;
	uint64_t left;

	if (offset % BLOB_PART != 0 || index >= parts)
		return false;
	left = total - offset;
	if (bytes.len != (left < BLOB_PART ? left : BLOB_PART))
		return false;
	blob_part_top(&at, bytes.data, bytes.len);
	for (; parts > 1; parts = (parts + 1) / 2, index /= 2) {
		if ((index ^ 1) >= parts)
			continue;
		if (taken == steps)
			return false;
		if (index & 1)
			node_join(&at, &path[taken++], &at);
		else
			node_join(&at, &at, &path[taken++]);
	}
	root_of(&at, total, &at);
	return taken == steps && digest_equal(&at, root);
}
