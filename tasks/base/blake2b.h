/* BLAKE2b-256 (RFC 7693) of several messages side by side, for the leaves and nodes of digest.h's
 * trees. One message fills one lane of a vector; every implementation gives the same digests. */
#ifndef TASKS_BASE_BLAKE2B_H
#define TASKS_BASE_BLAKE2B_H

#include "tasks/base/digest.h"

struct blake2b {
	const char *name; /* "baseline", "avx2", "avx512" */
	size_t lanes;

	/* out[i] = H(tag ‖ n bytes at data + i·n) for i < count; any n, any alignment. A group of lanes
	 * costs the same when it is not full. out may be data when n ≥ 32: a group is read before it
	 * is written. */
	void (*hash)(struct digest *out, size_t count, uint8_t tag, const uint8_t *data, size_t n);

	/* True when these floats lie in memory just as they are hashed: little-endian, and no NaN but
	 * 7fc00000. Reads them as bytes, on any alignment. */
	bool (*floats_are_canonical)(const void *x, size_t n);
};

/* The fastest implementation that this CPU has. */
const struct blake2b *blake2b_best(void);

/* All that can run here, NULL-terminated, slowest first. */
const struct blake2b *const *blake2b_all(void);

/* H(tag ‖ a ‖ b) of one message, by libsodium: the faster way for a single long one. */
void blake2b_one(
	struct digest *out, uint8_t tag, const void *a, size_t an, const void *b, size_t bn);

/* digest_parts by this implementation instead of the fastest, for tests and measurements. */
void digest_parts_by(const struct blake2b *b, struct digest *out, const struct digest_part *parts,
	size_t parts_count);

#endif
