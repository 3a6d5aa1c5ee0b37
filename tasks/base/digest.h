/* BLAKE2b-256 digests (RFC 7693): of bytes, of labelled fields, and of blobs as trees.
 *
 * A blob's digest is the root of a binary tree over leaves of 16 KiB, so that any leaf can be proved
 * alone:  leaf = H(0x00 ‖ bytes),  node = H(0x01 ‖ left ‖ right) with the left subtree holding the
 * largest power of two of leaves that is smaller than all (RFC 6962's shape),
 * root = H(0x02 ‖ le64(length) ‖ top). An empty blob has one empty leaf. */
#ifndef TASKS_BASE_DIGEST_H
#define TASKS_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasks/base/bytes.h"

#define DIGEST_BYTES 32
#define DIGEST_HEX   65 /* 64 digits and a NUL */
#define BLOB_LEAF    16384u

struct digest {
	uint8_t b[DIGEST_BYTES];
};

/* BLAKE2b-256 of n bytes. */
void digest_bytes(struct digest *out, const void *data, size_t n);

/* BLAKE2b-256 of: label's length (1 byte), label, then each span as le64 length and bytes. Two lists
 * of fields never give the same input. */
void digest_fields(struct digest *out, const char *label, const struct span *fields, size_t count);

/* The digest of a blob, as a tree; see above. O(n) time, O(log n) space; several leaves are hashed at
 * a time, by the vector instructions that this CPU has. */
void digest_blob(struct digest *out, const void *data, size_t n);

/* A blob that lies in memory in parts, which are hashed where they are, one behind the other. */
struct digest_part {
	const void *data; /* borrowed */
	size_t len;	  /* in bytes */
	/* The part is an array of float32: hashed as little-endian with every NaN as 7fc00000, which is
	 * how parameters_encode writes it. Its length, and its place in the blob, are multiples of 4. */
	bool floats;
};

/* digest_blob of count parts put together. */
void digest_parts(struct digest *out, const struct digest_part *parts, size_t count);

/* The same in steps, for several threads: make room for digest_leaf_count digests; have each thread
 * call digest_leaves for its own leaves (groups of 8 go fastest), which writes leaves[0 … count) for
 * the leaves first … first + count of the blob; then digest_fold all of them, which spends them. */
size_t digest_leaf_count(const struct digest_part *parts, size_t count);
void digest_leaves(struct digest *leaves, size_t first, size_t count,
	const struct digest_part *parts, size_t parts_count);
void digest_fold(struct digest *out, struct digest *leaves, const struct digest_part *parts,
	size_t parts_count);

/* A part is what a blob is passed on in: BLOB_PART bytes at a multiple of BLOB_PART, or what is left at
 * the blob's end; an empty blob has one empty part. It is a whole subtree of 4 leaves, or fewer, so the
 * tops of the parts, paired level by level with an odd last one moving up as it is, give the blob's top.
 * All levels lie one behind the other in an array of blob_tree_nodes(parts) digests, the parts' tops
 * first: about 64 bytes for each part. */
#define BLOB_PART 65536u
size_t blob_part_count(uint64_t total);
size_t blob_tree_nodes(size_t parts);

/* The top of one part: 1 … BLOB_PART bytes, or the empty blob's none. */
void blob_part_top(struct digest *top, const void *bytes, size_t n);

/* Fills in the levels above the tops of parts ≥ 1 parts; root gets the digest of the blob of total bytes
 * that has them. */
void blob_tree_build(struct digest *root, struct digest *nodes, size_t parts, uint64_t total);

/* The proof of one part: at most 64 steps, bottom first; returns its length. */
size_t blob_part_path(
	struct digest path[64], const struct digest *nodes, size_t parts, size_t index);

/* Remembers what a proof has shown: the top of the part and the nodes beside its way up, so that the part
 * can be passed on with the same proof. steps is right for this part: the proof was verified. */
void blob_tree_learn(struct digest *nodes, size_t parts, size_t index, const struct digest *top,
	const struct digest *path, size_t steps);

/* True when the bytes stand at offset in the blob of total bytes whose digest is root, and the part is
 * as long as it can be there. Any input may be foreign: at most 64 steps are looked at. */
bool blob_part_verify(const struct digest *root, uint64_t total, uint64_t offset, struct span bytes,
	const struct digest *path, size_t steps);

/* Merkle root over count digests, each leaf H(0x00 ‖ digest), nodes as above; count ≥ 1. */
void merkle_root(struct digest *root, const struct digest *leaves, size_t count);

/* Writes the path for leaf `index` (at most 64 steps, bottom first); returns its length. */
size_t merkle_path(struct digest path[64], const struct digest *leaves, size_t count, size_t index);

/* The whole tree over count leaves, for whoever needs many paths: level by level, the root last. nodes has room
 * for merkle_tree_nodes(count) digests. */
size_t merkle_tree_nodes(size_t count);
void merkle_tree(struct digest *nodes, const struct digest *leaves, size_t count);

/* merkle_path from a tree, without hashing. */
size_t merkle_tree_path(
	struct digest path[64], const struct digest *nodes, size_t count, size_t index);

/* True when leaf stands at index among count leaves under root, by this path. */
bool merkle_verify(const struct digest *root, const struct digest *leaf, size_t index, size_t count,
	const struct digest *path, size_t steps);

bool digest_equal(const struct digest *a, const struct digest *b);
bool digest_is_zero(const struct digest *d);
void digest_hex(char out[DIGEST_HEX], const struct digest *d);
int digest_from_hex(struct digest *out, const char *text) TK_CHECKED;

#endif
