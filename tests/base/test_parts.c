/* Proofs for parts of a blob, against the recursive definition of the tree over libsodium's one stream, at
 * every length around the powers of two and the ends of leaves and parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tasks/base/key.h"
#include "tasks/math/philox.h"
#include "tests/base/plain_tree.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PARTS_MAX 18u /* a sanitizer takes minutes for more */
#else
#define PARTS_MAX 34u
#endif
#define DATA_BYTES ((size_t)PARTS_MAX * BLOB_PART)

static int make_data(void **state)
{
	uint8_t *data = malloc(DATA_BYTES);
	uint32_t word[4];

	for (size_t i = 0; i < DATA_BYTES; i += sizeof(word)) {
		philox(word, 20261127, 1, 0, i);
		memcpy(data + i, word, sizeof(word));
	}
	*state = data;
	return 0;
}

static int drop_data(void **state)
{
	free(*state);
	return 0;
}

static size_t part_bytes(size_t total, size_t offset)
{
	return total - offset < BLOB_PART ? total - offset : BLOB_PART;
}

/* The tree of a blob, as who serves it keeps it. */
struct tree {
	struct digest root;
	struct digest *nodes;
	size_t parts;
};

static void tree_make(struct tree *t, const uint8_t *data, size_t total)
{
	t->parts = blob_part_count(total);
	t->nodes = malloc(blob_tree_nodes(t->parts) * sizeof(*t->nodes));
	for (size_t i = 0; i < t->parts; i++)
		blob_part_top(&t->nodes[i], data + i * BLOB_PART, part_bytes(total, i * BLOB_PART));
	blob_tree_build(&t->root, t->nodes, t->parts, total);
}

static bool verifies(const struct digest *root, const uint8_t *data, size_t total, size_t offset,
	const struct digest *path, size_t steps)
{
	return blob_part_verify(root, total, offset,
		span_of(data + offset, part_bytes(total, offset)), path, steps);
}

/* Every part of a blob of this length. */
static void check_length(const uint8_t *data, size_t total)
{
	struct digest want, path[64], plain[64];
	struct tree t;

	tree_make(&t, data, total);
	plain_blob(&want, data, total);
	assert_true(digest_equal(&t.root, &want));
	for (size_t i = 0; i < t.parts; i++) {
		size_t steps = blob_part_path(path, t.nodes, t.parts, i);

		assert_int_equal(steps, plain_path(plain, data, total, i * BLOB_PART));
		assert_memory_equal(path, plain, steps * sizeof(path[0]));
		assert_true(verifies(&want, data, total, i * BLOB_PART, path, steps));
	}
	/* Who has one part alone can pass it on with its proof. */
	for (size_t i = 0; i < t.parts; i += 3) {
		struct digest *learned = calloc(blob_tree_nodes(t.parts), sizeof(*learned));
		size_t steps = blob_part_path(path, t.nodes, t.parts, i);

		blob_tree_learn(learned, t.parts, i, &t.nodes[i], path, steps);
		steps = blob_part_path(path, learned, t.parts, i);
		assert_true(verifies(&want, data, total, i * BLOB_PART, path, steps));
		free(learned);
	}
	free(t.nodes);
}

static void paths_are_those_of_the_plain_tree_around_every_border(void **state)
{
	static const int around[] = {-1, 0, 1};

	for (size_t leaves = 0; leaves <= 4 * PARTS_MAX - 1;
		leaves += leaves < 20 || leaves % 16 == 0 ? 1 : 2) {
		for (size_t k = 0; k < 3; k++) {
			if (leaves == 0 && around[k] < 0)
				continue;
			check_length(*state, leaves * BLOB_LEAF + (size_t)around[k]);
		}
	}
}

static void a_flipped_bit_anywhere_is_seen(void **state)
{
	uint8_t *data = *state;
	size_t total = 5 * BLOB_PART + 3 * BLOB_LEAF + 7;
	struct digest path[64];
	struct tree t;

	tree_make(&t, data, total);
	for (size_t i = 0; i < t.parts; i++) {
		size_t steps = blob_part_path(path, t.nodes, t.parts, i);
		size_t at = i * BLOB_PART;
		size_t last = at + part_bytes(total, at) - 1;

		data[last] ^= 1;
		assert_false(verifies(&t.root, data, total, at, path, steps));
		data[last] ^= 1;
		for (size_t k = 0; k < steps; k++) {
			path[k].b[k] ^= 0x80;
			assert_false(verifies(&t.root, data, total, at, path, steps));
			path[k].b[k] ^= 0x80;
		}
		t.root.b[31] ^= 1;
		assert_false(verifies(&t.root, data, total, at, path, steps));
		t.root.b[31] ^= 1;
		assert_true(verifies(&t.root, data, total, at, path, steps));
	}
	free(t.nodes);
}

static void a_proof_holds_for_its_own_place_and_length_only(void **state)
{
	const uint8_t *data = *state;
	size_t total = 7 * BLOB_PART + 100;
	struct digest path[65] = {0};
	struct tree t;
	struct span part = span_of(data + 2 * BLOB_PART, BLOB_PART);
	size_t steps;

	tree_make(&t, data, total);
	steps = blob_part_path(path, t.nodes, t.parts, 2);
	assert_true(blob_part_verify(&t.root, total, 2 * BLOB_PART, part, path, steps));
	for (size_t offset = 0; offset <= total + BLOB_PART; offset += BLOB_LEAF)
		if (offset != 2 * BLOB_PART)
			assert_false(blob_part_verify(&t.root, total, offset, part, path, steps));
	assert_false(blob_part_verify(&t.root, total + 1, 2 * BLOB_PART, part, path, steps));
	assert_false(blob_part_verify(&t.root, 3 * BLOB_PART, 2 * BLOB_PART, part, path, steps));
	assert_false(blob_part_verify(&t.root, total, 2 * BLOB_PART, part, path, steps - 1));
	assert_false(blob_part_verify(&t.root, total, 2 * BLOB_PART, part, path, steps + 1));
	part.len--;
	assert_false(blob_part_verify(&t.root, total, 2 * BLOB_PART, part, path, steps));
	free(t.nodes);
}

static void absurd_lengths_and_paths_are_refused(void **state)
{
	static const uint64_t totals[] = {0, 1, BLOB_PART, (uint64_t)1 << 40, UINT64_MAX};
	static const uint64_t offsets[] = {
		0, BLOB_PART, (uint64_t)1 << 39, (uint64_t)1 << 63, UINT64_MAX - BLOB_PART + 1};
	struct digest path[64] = {0};
	struct digest root = {{1}};

	for (size_t i = 0; i < 5; i++)
		for (size_t k = 0; k < 5; k++)
			for (size_t steps = 0; steps <= 64; steps += 16)
				assert_false(blob_part_verify(&root, totals[i], offsets[k],
					span_of(*state, BLOB_PART), path, steps));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_those_of_the_plain_tree_around_every_border),
		cmocka_unit_test(a_flipped_bit_anywhere_is_seen),
		cmocka_unit_test(a_proof_holds_for_its_own_place_and_length_only),
		cmocka_unit_test(absurd_lengths_and_paths_are_refused),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("parts", tests, make_data, drop_data);
}
