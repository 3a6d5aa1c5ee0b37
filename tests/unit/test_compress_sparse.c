/* SparseLoCo: the selection against a plain sort, the feedback, the cost of two levels, and blocks that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "tasks/unit/compress.h"
#include "tests/math/inputs.h"

#define SEED 20u

/* A matrix and a vector, whose sides are no multiples of 64. */
enum { ROWS = 130, COLS = 71, VECTOR = 150, COUNT = ROWS * COLS + VECTOR };

static const struct compress_plane planes[] = {{0, ROWS, COLS}, {ROWS * COLS, 1, VECTOR}};
static const struct compress_layout layout = {COUNT, 2, planes};

static struct compute alone; /* the best engine, in one thread */

static void sparse_packs_sides_of_64_a_hundred_and_forty_fold(void **state)
{
	const struct compress_plane matrix = {0, 256, 640};
	const struct compress_layout l = {256 * 640, 1, &matrix};

	(void)state;
	assert_int_equal(compress_bytes(COMPRESSION_SPARSELOCO, &l), 4 * 10 * (4 + 96 + 16));
	assert_true(4.0 * 256 * 640 / (double)compress_bytes(COMPRESSION_SPARSELOCO, &l) > 141);
}

struct rank {
	float magnitude;
	uint32_t index;
};

static int rank_compare(const void *left, const void *right)
{
	const struct rank *a = left, *b = right;

	if (a->magnitude != b->magnitude)
		return a->magnitude > b->magnitude ? -1 : 1;
	return a->index < b->index ? -1 : 1;
}

/* What a plain sort of the block's feedback says: true where an element is among the largest. */
static void sparse_oracle(const struct sparse_block *b, const float *e, bool *kept)
{
	static struct rank ranks[SPARSE_BLOCK];
	uint32_t n = (uint32_t)(b->rows * b->cols);

	for (uint32_t i = 0; i < n; i++)
		ranks[i] = (struct rank){fabsf(e[i / b->cols * b->ld + i % b->cols]), i};
	qsort(ranks, n, sizeof(*ranks), rank_compare);
	memset(kept, 0, n);
	for (size_t i = 0; i < b->keep; i++)
		kept[ranks[i].index] = true;
}

/* Inputs in which ties, zeros and equal blocks are frequent. */
static float coarse_value(unsigned how, size_t i)
{
	float x = input_value(INPUT_PLAIN, SEED + how, i);

	switch (how % 6) {
	case 0:
		return x * fabsf(x) * x;
	case 1:
		return rintf(4 * x);
	case 2:
		return x < -1.97f ? x : 0;
	case 3:
		return x < 0 ? -1.0f : 1.0f;
	case 4:
		return x * 1e-36f;
	default:
		return i % 512 == 7 ? 3 * x : x * 0.25f;
	}
}

static void check_block(const struct engine *engine, struct sparse_block b, unsigned how)
{
	static float x[SPARSE_SIDE * 70], e[SPARSE_SIDE * 70], want[SPARSE_SIDE * 70];
	static bool kept[SPARSE_BLOCK];
	uint8_t packed[4 + 96 + 16];

	for (size_t i = 0; i < b.rows * b.ld; i++) {
		x[i] = coarse_value(how, i);
		e[i] = how % 2 == 0 ? 0 : coarse_value(how, i + 9999);
		want[i] = 0.95f * e[i] + x[i];
	}
	engine->sparse_pack(&b, x, e, packed);
	sparse_oracle(&b, want, kept);
	for (size_t i = 0, k = 0; i < b.rows * b.cols; i++) {
		size_t at = i / b.cols * b.ld + i % b.cols;
		const uint8_t *p = packed + 4 + k / 2 * 3;
		uint32_t index = k % 2 == 0 ? p[0] | (p[1] & 15u) << 8
					    : (uint32_t)p[1] >> 4 | (uint32_t)p[2] << 4;

		if (kept[i]) {
			assert_int_equal(index, i);
			k++;
		} else {
			assert_int_equal(float_bits(e[at]), float_bits(want[at]));
		}
	}
	for (size_t i = 0; i < b.rows * b.ld; i++) {
		if (i % b.ld >= b.cols)
			assert_int_equal(float_bits(x[i]), float_bits(coarse_value(how, i)));
	}
}

static void sparse_keeps_the_largest_and_of_equal_ones_the_first(void **state)
{
	static const struct sparse_block blocks[] = {
		{64, 64, 64, 64},
		{64, 64, 70, 64},
		{33, 64, 64, 33},
		{64, 33, 65, 33},
		{10, 64, 64, 10},
		{64, 1, 1, 1},
		{1, 64, 64, 4},
		{1, 1, 1, 1},
		{9, 57, 58, 9},
		{8, 8, 8, 64},
	};

	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
			for (unsigned how = 0; how < 12; how++)
				check_block(*e, blocks[i], how);
		}
	}
}

static void feedback_keeps_exactly_what_was_not_sent(void **state)
{
	float *feedback = mem_floats(COUNT), *sent = mem_floats(COUNT);
	struct bytes b = {0};

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		float *x = inputs_new(INPUT_WIDE, COUNT, SEED + round);
		float *owed = mem_floats(COUNT);

		for (size_t i = 0; i < COUNT; i++)
			owed[i] = 0.95f * feedback[i] + x[i];
		b.len = 0;
		assert_int_equal(
			compress_pack(&alone, COMPRESSION_SPARSELOCO, &layout, x, feedback, &b),
			TK_OK);
		memset(sent, 0, COUNT * sizeof(*sent));
		assert_int_equal(compress_add(engine_best(), COMPRESSION_SPARSELOCO, &layout,
					 bytes_span(&b), sent, NULL),
			TK_OK);
		for (size_t i = 0; i < COUNT; i++)
			assert_int_equal(float_bits(feedback[i]), float_bits(owed[i] - sent[i]));
		mem_free(x);
		mem_free(owed);
	}
	bytes_close(&b);
	mem_free(feedback);
	mem_free(sent);
}

/* A constant update: without feedback the same values would be sent again and again. */
static void feedback_lets_smaller_values_have_their_turn(void **state)
{
	const struct compress_plane matrix = {0, 64, 64};
	const struct compress_layout l = {64 * 64, 1, &matrix};
	float *x = inputs_new(INPUT_PLAIN, l.count, SEED);
	float *feedback = mem_floats(l.count), *sent = mem_floats(l.count);
	struct bytes b = {0};
	size_t spoken = 0;

	(void)state;
	for (int round = 0; round < 40; round++) {
		b.len = 0;
		assert_int_equal(
			compress_pack(&alone, COMPRESSION_SPARSELOCO, &l, x, feedback, &b), TK_OK);
		assert_int_equal(compress_add(engine_best(), COMPRESSION_SPARSELOCO, &l,
					 bytes_span(&b), sent, NULL),
			TK_OK);
	}
	for (size_t i = 0; i < l.count; i++) {
		assert_true(sent[i] * x[i] >= 0);
		spoken += sent[i] != 0;
	}
	assert_in_range(spoken, 8 * SPARSE_KEEP, 40 * SPARSE_KEEP);
	bytes_close(&b);
	mem_free(x);
	mem_free(feedback);
	mem_free(sent);
}

/* The squared error of two levels is far below what dropping the kept values would cost. */
static void two_levels_lose_little_of_what_is_kept(void **state)
{
	const struct compress_plane matrix = {0, 64, 64};
	const struct compress_layout l = {64 * 64, 1, &matrix};
	float *x = mem_floats(64 * 64), *e = mem_floats(64 * 64), *sent = mem_floats(64 * 64);
	double kept = 0, lost = 0;
	struct bytes b = {0};

	(void)state;
	for (size_t i = 0; i < l.count; i++)
		x[i] = philox_normal(SEED, 1, i);
	assert_int_equal(compress_pack(&alone, COMPRESSION_SPARSELOCO, &l, x, e, &b), TK_OK);
	assert_int_equal(
		compress_add(engine_best(), COMPRESSION_SPARSELOCO, &l, bytes_span(&b), sent, NULL),
		TK_OK);
	for (size_t i = 0; i < l.count; i++) {
		kept += sent[i] != 0 ? (double)x[i] * x[i] : 0;
		lost += sent[i] != 0 ? (double)e[i] * e[i] : 0;
	}
	assert_true(lost < 0.02 * kept);
	bytes_close(&b);
	mem_free(x);
	mem_free(e);
	mem_free(sent);
}

/* One block of 1×64 values, four kept: levels, six bytes of indices, a byte of codes. */
static void crafted_blocks_are_refused(void **state)
{
	static const struct {
		const char *what;
		int rc;
		uint8_t bytes[11];
	} cases[] = {
		{"two levels", TK_OK, {0x80, 0x3f, 0, 0x40, 1, 0x20, 0, 3, 0x40, 0, 0x1b}},
		{"one level", TK_OK, {0x80, 0x3f, 0, 0, 1, 0x20, 0, 3, 0x40, 0, 0x88}},
		{"nothing", TK_OK, {0, 0, 0, 0, 0, 0x10, 0, 2, 0x30, 0, 0}},
		{"zeros and one level", TK_OK, {0, 0, 0x80, 0x3f, 0, 0x10, 0, 2, 0x90, 0, 0xc0}},
		{"an index twice", TK_ECORRUPT, {0x80, 0x3f, 0, 0, 1, 0x10, 0, 3, 0x40, 0, 0x88}},
		{"descending", TK_ECORRUPT, {0x80, 0x3f, 0, 0, 2, 0x10, 0, 3, 0x40, 0, 0x88}},
		{"index 64", TK_ECORRUPT, {0x80, 0x3f, 0, 0, 1, 0x20, 0, 3, 0, 4, 0x88}},
		{"high not used", TK_ECORRUPT, {0x80, 0x3f, 0, 0x40, 1, 0x20, 0, 3, 0x40, 0, 0x88}},
		{"low not used", TK_ECORRUPT, {0x80, 0x3f, 0, 0x40, 1, 0x20, 0, 3, 0x40, 0, 0x55}},
		{"no high level", TK_ECORRUPT, {0x80, 0x3f, 0, 0, 1, 0x20, 0, 3, 0x40, 0, 0x1b}},
		{"equal levels", TK_ECORRUPT,
			{0x80, 0x3f, 0x80, 0x3f, 1, 0x20, 0, 3, 0x40, 0, 0x1b}},
		{"levels swapped", TK_ECORRUPT,
			{0, 0x40, 0x80, 0x3f, 1, 0x20, 0, 3, 0x40, 0, 0x1b}},
		{"a negative level", TK_ECORRUPT, {0x80, 0xbf, 0, 0, 1, 0x20, 0, 3, 0x40, 0, 0x88}},
		{"a huge level", TK_ECORRUPT, {0x81, 0x7b, 0, 0, 1, 0x20, 0, 3, 0x40, 0, 0x88}},
		{"an infinite level", TK_ECORRUPT,
			{0x80, 0x3f, 0x80, 0x7f, 1, 0x20, 0, 3, 0x40, 0, 0x1b}},
		{"a negative zero", TK_ECORRUPT, {0, 0, 0, 0, 0, 0x10, 0, 2, 0x30, 0, 2}},
		{"a zero not the first", TK_ECORRUPT,
			{0, 0, 0x80, 0x3f, 0, 0x10, 0, 3, 0x90, 0, 0xc0}},
	};
	const struct compress_plane vector = {0, 1, 64};
	const struct compress_layout l = {64, 1, &vector};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int rc = compress_check(engine_best(), COMPRESSION_SPARSELOCO, &l,
			span_of(cases[i].bytes, sizeof(cases[i].bytes)), NULL);

		if (rc != cases[i].rc)
			fail_msg("%s: %s", cases[i].what, error_name(rc));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sparse_packs_sides_of_64_a_hundred_and_forty_fold),
		cmocka_unit_test(sparse_keeps_the_largest_and_of_equal_ones_the_first),
		cmocka_unit_test(feedback_keeps_exactly_what_was_not_sent),
		cmocka_unit_test(feedback_lets_smaller_values_have_their_turn),
		cmocka_unit_test(two_levels_lose_little_of_what_is_kept),
		cmocka_unit_test(crafted_blocks_are_refused),
	};

	alone.engine = engine_best();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
