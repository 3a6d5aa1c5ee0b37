/* Compression of updates: rounding, error bounds, engines, and what hostile bytes can do. SparseLoCo has a test of
 * its own besides; bits are pinned in test_golden_compress.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "tasks/unit/compress.h"
#include "tests/math/inputs.h"

#define SEED 20u

static const enum compression all_codecs[] = {COMPRESSION_NONE, COMPRESSION_FP16, COMPRESSION_BF16,
	COMPRESSION_INT8, COMPRESSION_SPARSELOCO};
#define CODECS (sizeof(all_codecs) / sizeof(*all_codecs))

/* A matrix and a vector, whose sides are no multiples of 64. */
enum { ROWS = 130, COLS = 71, VECTOR = 150, COUNT = ROWS * COLS + VECTOR };

static const struct compress_plane planes[] = {{0, ROWS, COLS}, {ROWS * COLS, 1, VECTOR}};
static const struct compress_layout layout = {COUNT, 2, planes};

static struct compute alone; /* the best engine, in one thread */

static float *feedback_for(enum compression c, float *feedback)
{
	return c == COMPRESSION_SPARSELOCO ? feedback : NULL;
}

static int pack_flat(enum compression c, const float *x, size_t n, struct bytes *out)
{
	struct compress_layout l = compress_flat(n);

	return compress_pack(&alone, c, &l, x, NULL, out);
}

static int add_flat(enum compression c, const struct bytes *b, float *sum, size_t n)
{
	struct compress_layout l = compress_flat(n);

	return compress_add(engine_best(), c, &l, bytes_span(b), sum, NULL);
}

static void int8_rounds_half_to_even_and_keeps_the_sign(void **state)
{
	/* The largest magnitude is 127, so the scale is 1. */
	const float x[] = {127, -127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 0.49f, 0};
	const float want[] = {127, -127, 0, 2, 2, 0, -2, 0, 0};
	struct bytes b = {0};
	float back[9] = {0};

	(void)state;
	assert_int_equal(pack_flat(COMPRESSION_INT8, x, 9, &b), TK_OK);
	assert_int_equal(b.len, 4 + 9);
	assert_int_equal(add_flat(COMPRESSION_INT8, &b, back, 9), TK_OK);
	for (int i = 0; i < 9; i++)
		assert_true(back[i] == want[i]);
	bytes_close(&b);
}

static void int8_error_is_at_most_half_a_step(void **state)
{
	enum { N = 10000 };
	float *x = mem_floats(N), *back = mem_floats(N);
	struct bytes b = {0};

	(void)state;
	for (size_t i = 0; i < N; i++)
		x[i] = sinf((float)i) * (i > 5000 ? 1e-3f : 10.0f);
	assert_int_equal(pack_flat(COMPRESSION_INT8, x, N, &b), TK_OK);
	assert_int_equal(b.len, N + 3 * 4);
	assert_int_equal(add_flat(COMPRESSION_INT8, &b, back, N), TK_OK);
	for (size_t i = 0; i < N; i++)
		assert_true(fabsf(x[i] - back[i]) <= 10.0f / 127 * 0.5001f);
	bytes_close(&b);
	mem_free(x);
	mem_free(back);
}

static void int8_packs_tiny_blocks_as_zero_and_huge_ones_in_full(void **state)
{
	const float tiny[] = {126 * 0x1p-126f, -1e-40f}, huge[] = {0x1.fffffcp127f, -0x1p100f};
	const uint8_t zero[6] = {0};
	struct bytes b = {0};
	float back[2] = {0};

	(void)state;
	assert_int_equal(pack_flat(COMPRESSION_INT8, tiny, 2, &b), TK_OK);
	assert_memory_equal(b.data, zero, 6);
	b.len = 0;
	assert_int_equal(pack_flat(COMPRESSION_INT8, huge, 2, &b), TK_OK);
	assert_int_equal(add_flat(COMPRESSION_INT8, &b, back, 2), TK_OK);
	assert_true(back[0] == huge[0] && back[1] == 0);
	bytes_close(&b);
}

/* Every pattern of 16 bits: those that are accepted give themselves again, the others are refused. */
static void sixteen_bits_are_canonical(void **state)
{
	static const struct {
		enum compression c;
		uint32_t infinity;
	} formats[] = {{COMPRESSION_FP16, 0x7c00}, {COMPRESSION_BF16, 0x7f80}};
	struct compress_layout one = compress_flat(1);

	(void)state;
	for (int f = 0; f < 2; f++) {
		for (uint32_t u = 0; u < 65536; u++) {
			bool bad = (u & 0x7fff) >= formats[f].infinity || u == 0x8000;
			uint8_t packed[2] = {(uint8_t)u, (uint8_t)(u >> 8)};
			struct bytes again = {0};
			float x = 0;
			int rc = compress_add(
				engine_best(), formats[f].c, &one, span_of(packed, 2), &x, NULL);

			assert_int_equal(rc, bad ? TK_ECORRUPT : TK_OK);
			if (bad)
				continue;
			assert_int_equal(pack_flat(formats[f].c, &x, 1, &again), TK_OK);
			assert_memory_equal(again.data, packed, 2);
			bytes_close(&again);
		}
	}
}

static void sixteen_bits_round_to_the_nearest_even(void **state)
{
	static const struct {
		enum compression c;
		float x;
		int rc;
		uint32_t want;
	} cases[] = {
		{COMPRESSION_FP16, 1 + 0x1p-11f, TK_OK, 0x3c00},
		{COMPRESSION_FP16, 1 + 0x3p-11f, TK_OK, 0x3c02},
		{COMPRESSION_FP16, -(1 + 0x1.002p-11f), TK_OK, 0xbc01},
		{COMPRESSION_FP16, 0x1p-25f, TK_OK, 0},
		{COMPRESSION_FP16, -0x1p-25f, TK_OK, 0},
		{COMPRESSION_FP16, 0x1.002p-25f, TK_OK, 1},
		{COMPRESSION_FP16, 0x3p-25f, TK_OK, 2},
		{COMPRESSION_FP16, 0x1.ff8p-15f, TK_OK, 0x03ff},
		{COMPRESSION_FP16, 0x1.ffcp-15f, TK_OK, 0x0400},
		{COMPRESSION_FP16, 0x1.ffdffep15f, TK_OK, 0x7bff},
		{COMPRESSION_FP16, 65520, TK_EDIVERGED, 0},
		{COMPRESSION_BF16, 1 + 0x1p-8f, TK_OK, 0x3f80},
		{COMPRESSION_BF16, 1 + 0x3p-8f, TK_OK, 0x3f82},
		{COMPRESSION_BF16, -0x1p-134f, TK_OK, 0},
		{COMPRESSION_BF16, -0x3p-134f, TK_OK, 0x8002},
		{COMPRESSION_BF16, 0x1.fefffep127f, TK_OK, 0x7f7f},
		{COMPRESSION_BF16, 0x1.ffp127f, TK_EDIVERGED, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bytes b = {0};

		assert_int_equal(pack_flat(cases[i].c, &cases[i].x, 1, &b), cases[i].rc);
		if (cases[i].rc == TK_OK)
			assert_int_equal(load_le16(b.data), cases[i].want);
		bytes_close(&b);
	}
}

static void nonfinite_updates_are_never_packed_and_leave_the_feedback_alone(void **state)
{
	const float bad[] = {NAN, INFINITY, -INFINITY};
	float *x = inputs_new(INPUT_PLAIN, COUNT, SEED);
	float *feedback = inputs_new(INPUT_PLAIN, COUNT, SEED + 1);
	float *before = mem_dup(feedback, COUNT * sizeof(float));
	struct bytes b = {0};

	(void)state;
	for (size_t c = 0; c < CODECS; c++) {
		for (int i = 0; i < 3; i++) {
			x[COUNT - 1] = bad[i];
			assert_int_equal(compress_pack(&alone, all_codecs[c], &layout, x,
						 feedback_for(all_codecs[c], feedback), &b),
				TK_EDIVERGED);
			assert_int_equal(b.len, 0);
		}
	}
	x[COUNT - 1] = 0x1p121f;
	assert_int_equal(compress_pack(&alone, COMPRESSION_SPARSELOCO, &layout, x, feedback, &b),
		TK_EDIVERGED);
	bytes_close(&b);
	x[COUNT - 1] = 1;
	mem_fail(1, 0);
	assert_int_equal(
		compress_pack(&alone, COMPRESSION_SPARSELOCO, &layout, x, feedback, &b), TK_ENOMEM);
	mem_fail(0, 0);
	assert_memory_equal(feedback, before, COUNT * sizeof(float));
	bytes_close(&b);
	mem_free(x);
	mem_free(feedback);
	mem_free(before);
}

/* ---- Engines and hostile bytes ---- */

static void every_engine_packs_and_adds_the_same_bits(void **state)
{
	const struct engine *const *e = engine_all();
	struct bytes want = {0}, got = {0};

	(void)state;
	for (size_t c = 0; c < CODECS * 3; c++) {
		enum compression codec = all_codecs[c / 3];
		float *x = inputs_new(c % 3 == 1 ? INPUT_WIDE : INPUT_PLAIN, COUNT, SEED + c);
		float *state_in = inputs_new(INPUT_PLAIN, COUNT, SEED + c + 1);
		float *sum[2] = {mem_floats(COUNT), mem_floats(COUNT)};
		float *feedback[2] = {mem_floats(COUNT), mem_floats(COUNT)};

		for (size_t i = 0; i < COUNT && c % 3 == 2; i++)
			x[i] *= 0x1p-128f; /* subnormal */
		for (size_t i = 0; e[i] != NULL; i++) {
			struct bytes *b = i == 0 ? &want : &got;
			const struct compute on = {.engine = e[i]};
			size_t to = i != 0;

			memcpy(feedback[to], state_in, COUNT * sizeof(float));
			memset(sum[to], 0, COUNT * sizeof(float));
			b->len = 0;
			assert_int_equal(compress_pack(&on, codec, &layout, x,
						 feedback_for(codec, feedback[to]), b),
				TK_OK);
			assert_int_equal(b->len, compress_bytes(codec, &layout));
			assert_int_equal(
				compress_add(e[i], codec, &layout, bytes_span(b), sum[to], NULL),
				TK_OK);
			if (i == 0)
				continue;
			assert_memory_equal(got.data, want.data, want.len);
			assert_int_equal(floats_differ(sum[0], sum[1], COUNT), COUNT);
			assert_int_equal(floats_differ(feedback[0], feedback[1], COUNT), COUNT);
		}
		mem_free(x);
		mem_free(state_in);
		for (int i = 0; i < 2; i++) {
			mem_free(sum[i]);
			mem_free(feedback[i]);
		}
	}
	bytes_close(&want);
	bytes_close(&got);
}

static void a_payload_of_any_other_length_is_refused(void **state)
{
	float *x = inputs_new(INPUT_PLAIN, COUNT, SEED);

	(void)state;
	for (size_t c = 0; c < CODECS; c++) {
		float *feedback = mem_floats(COUNT);
		struct bytes b = {0};

		assert_int_equal(compress_pack(&alone, all_codecs[c], &layout, x,
					 feedback_for(all_codecs[c], feedback), &b),
			TK_OK);
		for (size_t n = 0; n < b.len; n++)
			assert_int_equal(compress_check(engine_best(), all_codecs[c], &layout,
						 span_of(b.data, n), NULL),
				TK_ECORRUPT);
		assert_int_equal(bytes_append(&b, "", 1), TK_OK);
		assert_int_equal(
			compress_check(engine_best(), all_codecs[c], &layout, bytes_span(&b), NULL),
			TK_ECORRUPT);
		bytes_close(&b);
		mem_free(feedback);
	}
	mem_free(x);
}

/* Packs what the bytes say: the same bytes must come out. */
static void assert_canonical(enum compression c, const struct bytes *b, const char *what)
{
	float *sum = mem_floats(COUNT), *feedback = mem_floats(COUNT);
	struct bytes again = {0};

	assert_int_equal(compress_add(engine_best(), c, &layout, bytes_span(b), sum, NULL), TK_OK);
	assert_int_equal(
		compress_pack(&alone, c, &layout, sum, feedback_for(c, feedback), &again), TK_OK);
	if (!span_equal(bytes_span(&again), bytes_span(b)))
		fail_msg("codec %d accepts bytes that it would not write: %s", (int)c, what);
	bytes_close(&again);
	mem_free(sum);
	mem_free(feedback);
}

static void flipped_bits_are_refused_or_mean_something_else(void **state)
{
	float *x = inputs_new(INPUT_PLAIN, COUNT, SEED);
	char what[64];

	(void)state;
	for (size_t c = 0; c < CODECS; c++) {
		float *feedback = mem_floats(COUNT);
		struct bytes b = {0};

		assert_int_equal(compress_pack(&alone, all_codecs[c], &layout, x,
					 feedback_for(all_codecs[c], feedback), &b),
			TK_OK);
		assert_canonical(all_codecs[c], &b, "as packed");
		for (uint64_t i = 0; i < 600; i++) {
			uint32_t dice[4];
			size_t at;
			uint8_t bit;

			philox(dice, SEED, 7, 0, i);
			at = dice[0] % (i % 2 == 0 ? 128 : b.len);
			bit = (uint8_t)(1u << dice[1] % 8);
			b.data[at] ^= bit;
			snprintf(what, sizeof(what), "byte %zu, bit %02x", at, bit);
			if (compress_check(engine_best(), all_codecs[c], &layout, bytes_span(&b),
				    NULL) == TK_OK)
				assert_canonical(all_codecs[c], &b, what);
			b.data[at] ^= bit;
		}
		bytes_close(&b);
		mem_free(feedback);
	}
	mem_free(x);
}

/* int8: three values after their scale. */
static void crafted_scales_are_refused(void **state)
{
	static const struct {
		float scale;
		uint8_t values[3];
		int rc;
	} cases[] = {
		{1, {127, 0, 5}, TK_OK},
		{1, {0x81, 0, 5}, TK_OK},
		{0, {0, 0, 0}, TK_OK},
		{0, {1, 0, 0}, TK_ECORRUPT},
		{1, {126, 0, 5}, TK_ECORRUPT},
		{1, {127, 0x80, 5}, TK_ECORRUPT},
		{-1, {127, 0, 5}, TK_ECORRUPT},
		{-0.0f, {0, 0, 0}, TK_ECORRUPT},
		{INFINITY, {127, 0, 5}, TK_ECORRUPT},
		{NAN, {127, 0, 5}, TK_ECORRUPT},
		{0x1.02041p121f, {127, 0, 5}, TK_ECORRUPT},
		{0x1p-127f, {127, 0, 5}, TK_ECORRUPT},
	};
	const struct compress_layout l = compress_flat(3);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t packed[7];

		memcpy(packed, &cases[i].scale, 4);
		memcpy(packed + 4, cases[i].values, 3);
		assert_int_equal(compress_check(engine_best(), COMPRESSION_INT8, &l,
					 span_of(packed, 7), NULL),
			cases[i].rc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(int8_rounds_half_to_even_and_keeps_the_sign),
		cmocka_unit_test(int8_error_is_at_most_half_a_step),
		cmocka_unit_test(int8_packs_tiny_blocks_as_zero_and_huge_ones_in_full),
		cmocka_unit_test(sixteen_bits_are_canonical),
		cmocka_unit_test(sixteen_bits_round_to_the_nearest_even),
		cmocka_unit_test(nonfinite_updates_are_never_packed_and_leave_the_feedback_alone),
		cmocka_unit_test(every_engine_packs_and_adds_the_same_bits),
		cmocka_unit_test(a_payload_of_any_other_length_is_refused),
		cmocka_unit_test(flipped_bits_are_refused_or_mean_something_else),
		cmocka_unit_test(crafted_scales_are_refused),
	};

	alone.engine = engine_best();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
