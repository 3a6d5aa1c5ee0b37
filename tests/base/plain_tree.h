/* The trees of digest.h again, by RFC 6962's recursive definition over libsodium's BLAKE2b of one
 * stream: what test_digest.c and bench_digest.c compare with. */
#ifndef TESTS_BASE_PLAIN_TREE_H
#define TESTS_BASE_PLAIN_TREE_H

#include <string.h>

#include "tasks/base/digest.h"

/* H(tag ‖ n bytes), n ≤ BLOB_LEAF. */
static inline void plain_tagged(struct digest *out, uint8_t tag, const void *data, size_t n)
{
	uint8_t message[1 + BLOB_LEAF];

	message[0] = tag;
	if (n != 0)
		memcpy(message + 1, data, n);
	digest_bytes(out, message, n + 1);
}

/* The top over the leaves of leaf_bytes each that n bytes at p fall into. */
static inline void plain_top(struct digest *out, const uint8_t *p, size_t n, size_t leaf_bytes)
{
	struct digest pair[2];
	size_t left = leaf_bytes;

	if (n <= leaf_bytes) {
		plain_tagged(out, 0, p, n);
		return;
	}
	while (left * 2 < n)
		left *= 2;
	plain_top(&pair[0], p, left, leaf_bytes);
	plain_top(&pair[1], p + left, n - left, leaf_bytes);
	plain_tagged(out, 1, pair, sizeof(pair));
}

/* The path of the part at `at`, bottom first, by going down the recursive definition; its length. */
static inline size_t plain_path(struct digest path[64], const uint8_t *p, size_t n, size_t at)
{
	size_t left = BLOB_LEAF;
	size_t steps;

	if (n <= BLOB_PART)
		return 0;
	while (left * 2 < n)
		left *= 2;
	if (at < left) {
		steps = plain_path(path, p, left, at);
		plain_top(&path[steps], p + left, n - left, BLOB_LEAF);
	} else {
		steps = plain_path(path, p + left, n - left, at - left);
		plain_top(&path[steps], p, left, BLOB_LEAF);
	}
	return steps + 1;
}

static inline void plain_blob(struct digest *out, const uint8_t *p, size_t n)
{
	struct digest top;
	uint8_t root[8 + DIGEST_BYTES];

	plain_top(&top, p, n, BLOB_LEAF);
	store_le64(root, n);
	memcpy(root + 8, top.b, DIGEST_BYTES);
	plain_tagged(out, 2, root, sizeof(root));
}

#endif
