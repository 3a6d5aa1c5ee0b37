/* See digest.h. The only file that calls libsodium's BLAKE2b for digests. */
#include "tasks/base/digest.h"

#include <sodium.h>
#include <string.h>

#include "tasks/base/require.h"

enum { TAG_LEAF = 0, TAG_NODE = 1, TAG_ROOT = 2 };

void digest_bytes(struct digest *out, const void *data, size_t n)
{
	crypto_generichash(out->b, DIGEST_BYTES, data, n, NULL, 0);
}

static void tagged(
	struct digest *out, uint8_t tag, const void *a, size_t an, const void *b, size_t bn)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, DIGEST_BYTES);
	crypto_generichash_update(&state, &tag, 1);
	crypto_generichash_update(&state, a, an);
	if (bn != 0)
		crypto_generichash_update(&state, b, bn);
	crypto_generichash_final(&state, out->b, DIGEST_BYTES);
}

void digest_fields(struct digest *out, const char *label, const struct span *fields, size_t count)
{
	crypto_generichash_state state;
	size_t label_len = strlen(label);
	uint8_t length[8];

	REQUIRE(label_len < 256);
	crypto_generichash_init(&state, NULL, 0, DIGEST_BYTES);
	length[0] = (uint8_t)label_len;
	crypto_generichash_update(&state, length, 1);
	crypto_generichash_update(&state, (const uint8_t *)label, label_len);
	for (size_t i = 0; i < count; i++) {
		store_le64(length, fields[i].len);
		crypto_generichash_update(&state, length, 8);
		crypto_generichash_update(&state, fields[i].data, fields[i].len);
	}
	crypto_generichash_final(&state, out->b, DIGEST_BYTES);
}

/* Subtrees of equal size merge as leaves arrive, like carries in a binary counter; what remains is
 * folded from the right. That gives RFC 6962's shape without recursion. */
struct tree {
	struct digest top[64];
	uint64_t leaves;
	int depth;
};

static void node(struct digest *out, const struct digest *left, const struct digest *right)
{
	tagged(out, TAG_NODE, left->b, DIGEST_BYTES, right->b, DIGEST_BYTES);
}

static void tree_leaf(struct tree *t, const struct digest *leaf)
{
	t->top[t->depth++] = *leaf;
	for (uint64_t n = t->leaves++; n & 1; n >>= 1) {
		t->depth--;
		node(&t->top[t->depth - 1], &t->top[t->depth - 1], &t->top[t->depth]);
	}
}

static void tree_top(struct tree *t, struct digest *out)
{
	REQUIRE(t->depth > 0);
	while (t->depth > 1) {
		t->depth--;
		node(&t->top[t->depth - 1], &t->top[t->depth - 1], &t->top[t->depth]);
	}
	*out = t->top[0];
}

void digest_blob(struct digest *out, const void *data, size_t n)
{
	struct tree t = {.leaves = 0};
	const uint8_t *p = data;
	struct digest top;
	uint8_t length[8];
	size_t at = 0;

	do {
		size_t take = n - at < BLOB_LEAF ? n - at : BLOB_LEAF;
		struct digest leaf;

		tagged(&leaf, TAG_LEAF, take != 0 ? p + at : (const uint8_t *)"", take, NULL, 0);
		tree_leaf(&t, &leaf);
		at += take;
	} while (at < n);
	tree_top(&t, &top);
	store_le64(length, n);
	tagged(out, TAG_ROOT, length, sizeof(length), top.b, DIGEST_BYTES);
}

void merkle_root(struct digest *root, const struct digest *leaves, size_t count)
{
	struct tree t = {.leaves = 0};

	REQUIRE(count > 0);
	for (size_t i = 0; i < count; i++) {
		struct digest leaf;

		tagged(&leaf, TAG_LEAF, leaves[i].b, DIGEST_BYTES, NULL, 0);
		tree_leaf(&t, &leaf);
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
	tagged(&at, TAG_LEAF, leaf->b, DIGEST_BYTES, NULL, 0);
	for (size_t i = 0; i < steps; i++) {
		if (went_right[depth - 1 - i])
			node(&at, &path[i], &at);
		else
			node(&at, &at, &path[i]);
	}
	return digest_equal(&at, root);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->b, b->b, DIGEST_BYTES) == 0;
}

bool digest_is_zero(const struct digest *d)
{
	static const struct digest zero;

	return digest_equal(d, &zero);
}

void digest_hex(char out[DIGEST_HEX], const struct digest *d)
{
	hex_encode(out, d->b, DIGEST_BYTES);
}

int digest_from_hex(struct digest *out, const char *text)
{
	return hex_decode(out->b, DIGEST_BYTES, text);
}
