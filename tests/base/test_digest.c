/* Digests several at a time: every implementation that runs here against libsodium's one stream and the
 * recursive definition of the tree. TALKOOT_SEED replays the random ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/blake2b.h"
#include "tasks/base/key.h"
#include "tasks/math/philox.h"
#include "tasks/unit/merge.h"
#include "tests/base/plain_tree.h"

#define LEAVES_MAX 150u
#define DATA_BYTES ((size_t)LEAVES_MAX * BLOB_LEAF + 64)

struct fixture {
	uint8_t *data; /* DATA_BYTES, nothing special in them */
	uint64_t seed, counter;
};

static uint32_t pick(struct fixture *f, uint32_t below)
{
	uint32_t word[4];

	philox(word, f->seed, 1002, 0, f->counter++);
	return word[0] % below;
}

static int make_data(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *seed = getenv("TALKOOT_SEED");
	uint32_t word[4];

	f->seed = seed != NULL ? strtoull(seed, NULL, 10) : 20260611;
	f->data = malloc(DATA_BYTES);
	for (size_t i = 0; i < DATA_BYTES; i += sizeof(word)) {
		philox(word, f->seed, 1003, 0, i);
		memcpy(f->data + i, word, sizeof(word));
	}
	print_message("# TALKOOT_SEED=%llu replays this\n", (unsigned long long)f->seed);
	*state = f;
	return 0;
}

static int drop_data(void **state)
{
	struct fixture *f = *state;

	free(f->data);
	free(f);
	return 0;
}

static void assert_digest(const struct digest *got, const struct digest *want)
{
	assert_memory_equal(got->b, want->b, DIGEST_BYTES);
}

/* RFC 7693's "abc", at BLAKE2b-256 as Python's hashlib has it: here 'a' is the tag. */
static void the_published_example_comes_out_of_every_lane(void **state)
{
	static const char want[] =
		"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319";
	static const uint8_t data[] = "bcbcbcbcbcbcbcbcbc";
	struct digest got[9];
	char hex[DIGEST_HEX];

	(void)state;
	for (const struct blake2b *const *b = blake2b_all(); *b != NULL; b++) {
		(*b)->hash(got, 9, 'a', data, 2);
		for (size_t i = 0; i < 9; i++) {
			digest_hex(hex, &got[i]);
			assert_string_equal(hex, want);
		}
	}
}

static void messages_side_by_side_equal_one_stream_each(void **state)
{
	static const size_t lengths[] = {0, 1, 31, 32, 64, 126, 127, 128, 129, 254, 255, 256, 383,
		384, 1000, BLOB_LEAF - 1, BLOB_LEAF};
	struct fixture *f = *state;

	for (const struct blake2b *const *b = blake2b_all(); *b != NULL; b++) {
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			for (size_t count = 0; count <= 2 * (*b)->lanes + 1; count++) {
				const uint8_t *p = f->data + (i + count) % 64;
				uint8_t tag = (uint8_t)(i * 37 + count);
				struct digest got[18] = {0}, want;

				(*b)->hash(got, count, tag, p, lengths[i]);
				for (size_t k = 0; k < count; k++) {
					plain_tagged(&want, tag, p + k * lengths[i], lengths[i]);
					assert_digest(&got[k], &want);
				}
				assert_true(digest_is_zero(&got[count]));
			}
		}
	}
}

static void digests_may_take_the_place_of_their_messages(void **state)
{
	struct fixture *f = *state;
	struct digest pairs[42], want;

	for (const struct blake2b *const *b = blake2b_all(); *b != NULL; b++) {
		memcpy(pairs, f->data, sizeof(pairs));
		(*b)->hash(pairs, 21, 1, pairs[0].b, 64);
		for (size_t k = 0; k < 21; k++) {
			plain_tagged(&want, 1, f->data + 64 * k, 64);
			assert_digest(&pairs[k], &want);
		}
	}
}

static void check_blob(const uint8_t *p, size_t n)
{
	const struct digest_part part = {p, n, false};
	struct digest got, want;

	plain_blob(&want, p, n);
	for (const struct blake2b *const *b = blake2b_all(); *b != NULL; b++) {
		digest_parts_by(*b, &got, &part, 1);
		assert_digest(&got, &want);
	}
	digest_blob(&got, p, n);
	assert_digest(&got, &want);
}

static void blobs_have_the_plain_tree_around_every_border(void **state)
{
	static const size_t leaves[] = {
		1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 33, 63, 64, 65, 66, 127, 128, 129, 150};
	struct fixture *f = *state;

	check_blob(f->data, 0);
	check_blob(NULL, 0);
	check_blob(f->data, 1);
	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		size_t n = leaves[i] * BLOB_LEAF;

		check_blob(f->data, n - 1);
		check_blob(f->data + 1 + i, n);
		check_blob(f->data, n + 1);
	}
}

static void blobs_of_random_lengths_have_the_plain_tree(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 30; i++) {
		size_t at = pick(f, 64), n = pick(f, (uint32_t)(DATA_BYTES - 64));

		check_blob(f->data + at, n);
	}
}

/* Parts that end anywhere, of bytes and of floats with and without NaNs, beside the same in one piece. */
struct state_parts {
	struct digest_part part[6];
	size_t count;
	struct bytes whole;
};

static float *floats_with_nans(struct fixture *f, size_t n, bool nans)
{
	static const uint32_t odd[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xff800001, 0x7fffffff,
		0x7f800000, 0xff800000, 0x80000000};
	float *x = malloc((n + 1) * sizeof(*x));

	for (size_t i = 0; i < n; i++)
		x[i] = (float)(i % 977) - 3;
	for (size_t i = 0; i < 9 && n > 0 && nans; i++)
		memcpy(&x[pick(f, (uint32_t)n)], &odd[i % 8], sizeof(odd[0]));
	return x;
}

static void make_parts(struct fixture *f, struct state_parts *s)
{
	*s = (struct state_parts){.count = 1 + pick(f, 6)};
	for (size_t i = 0; i < s->count; i++) {
		struct digest_part *part = &s->part[i];
		size_t n = pick(f, pick(f, 3) == 0 ? 9 : 80000);

		part->floats = pick(f, 3) != 0;
		part->len = 4 * n;
		if (part->floats) {
			float *x = floats_with_nans(f, n, pick(f, 2));

			assert_int_equal(parameters_encode(&s->whole, x, n), TK_OK);
			part->data = x;
			continue;
		}
		part->len += i + 1 == s->count ? pick(f, 4) : 0;
		part->data = memcpy(malloc(part->len + 1), f->data + i, part->len);
		assert_int_equal(bytes_append(&s->whole, part->data, part->len), TK_OK);
	}
}

static void drop_parts(struct state_parts *s)
{
	for (size_t i = 0; i < s->count; i++)
		free((void *)s->part[i].data);
	bytes_close(&s->whole);
}

static void parts_are_digested_like_their_encoding_in_one_piece(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 60; round++) {
		struct state_parts s;
		struct digest got, want;

		make_parts(f, &s);
		plain_blob(&want, s.whole.data, s.whole.len);
		for (const struct blake2b *const *b = blake2b_all(); *b != NULL; b++) {
			digest_parts_by(*b, &got, s.part, s.count);
			assert_digest(&got, &want);
		}
		drop_parts(&s);
	}
}

static void leaves_may_be_taken_in_any_pieces_before_they_are_folded(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 40; round++) {
		struct state_parts s;
		struct digest got, want, *leaves;
		size_t count;

		make_parts(f, &s);
		digest_parts(&want, s.part, s.count);
		count = digest_leaf_count(s.part, s.count);
		leaves = malloc(count * sizeof(*leaves));
		for (size_t end = count; end > 0;) {
			size_t take = 1 + pick(f, (uint32_t)end);

			end -= take;
			digest_leaves(leaves + end, end, take, s.part, s.count);
		}
		digest_fold(&got, leaves, s.part, s.count);
		assert_digest(&got, &want);
		free(leaves);
		drop_parts(&s);
	}
}

static void lists_have_the_plain_root_and_a_path_for_each_digest(void **state)
{
	struct fixture *f = *state;
	struct digest list[131], path[64], again[64], tree[300], root, want;

	memcpy(list, f->data, sizeof(list));
	for (size_t count = 1; count <= 131; count++) {
		size_t index = pick(f, (uint32_t)count);
		size_t steps = merkle_path(path, list, count, index);

		assert_true(merkle_tree_nodes(count) <= 300);
		merkle_tree(tree, list, count);
		assert_int_equal(merkle_tree_path(again, tree, count, index), steps);
		assert_memory_equal(again, path, steps * sizeof(*path));

		merkle_root(&root, list, count);
		plain_top(&want, list[0].b, count * DIGEST_BYTES, DIGEST_BYTES);
		assert_digest(&root, &want);
		assert_digest(&root, &tree[merkle_tree_nodes(count) - 1]);
		assert_true(merkle_verify(&root, &list[index], index, count, path, steps));
		list[index].b[0] ^= 1;
		assert_false(merkle_verify(&root, &list[index], index, count, path, steps));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_example_comes_out_of_every_lane),
		cmocka_unit_test(messages_side_by_side_equal_one_stream_each),
		cmocka_unit_test(digests_may_take_the_place_of_their_messages),
		cmocka_unit_test(blobs_have_the_plain_tree_around_every_border),
		cmocka_unit_test(blobs_of_random_lengths_have_the_plain_tree),
		cmocka_unit_test(parts_are_digested_like_their_encoding_in_one_piece),
		cmocka_unit_test(leaves_may_be_taken_in_any_pieces_before_they_are_folded),
		cmocka_unit_test(lists_have_the_plain_root_and_a_path_for_each_digest),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("digest", tests, make_data, drop_data);
}
