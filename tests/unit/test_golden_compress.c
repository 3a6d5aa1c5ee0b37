/* Every codec and engine against the digests that compress_reference.py, a second implementation of the
 * specification, wrote into compress_golden.txt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "tasks/unit/compress.h"
#include "tests/math/inputs.h"

#define GOLDEN "tests/unit/compress_golden.txt"

struct golden {
	enum compression codec;
	enum input_kind kind;
	size_t rows, cols, vector;
	unsigned rounds;
	char digest[DIGEST_HEX];
};

/* What is not finite or not below 2^14 becomes −0. */
static float *finite_inputs(enum input_kind kind, size_t n, uint64_t seed)
{
	float *x = inputs_new(kind, n, seed);

	for (size_t i = 0; i < n; i++)
		x[i] = fabsf(x[i]) < 16384 ? x[i] : -0.0f;
	return x;
}

static void append_floats(struct bytes *b, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t word[4];

		store_le32(word, float_bits(x[i]));
		assert_int_equal(bytes_append(b, word, 4), TK_OK);
	}
}

/* All payloads, the sum of what they say, the feedback. */
static void golden_run(const struct engine *e, const struct golden *g, char hex[DIGEST_HEX])
{
	const struct compress_plane planes[] = {
		{0, g->rows, g->cols}, {g->rows * g->cols, 1, g->vector}};
	const struct compress_layout layout = {g->rows * g->cols + g->vector, 2, planes};
	float *sum = mem_floats(layout.count), *feedback = mem_floats(layout.count);
	const struct compute alone = {.engine = e};
	struct bytes all = {0};
	struct digest d;

	for (unsigned round = 0; round < g->rounds; round++) {
		float *x = finite_inputs(g->kind, layout.count, round + 1);
		size_t start = all.len;

		assert_int_equal(
			compress_pack(&alone, g->codec, &layout, x,
				g->codec == COMPRESSION_SPARSELOCO ? feedback : NULL, &all),
			TK_OK);
		assert_int_equal(compress_add(e, g->codec, &layout,
					 span_of(all.data + start, all.len - start), sum, NULL),
			TK_OK);
		mem_free(x);
	}
	append_floats(&all, sum, layout.count);
	append_floats(&all, feedback, layout.count);
	digest_bytes(&d, all.data, all.len);
	digest_hex(hex, &d);
	bytes_close(&all);
	mem_free(sum);
	mem_free(feedback);
}

static int word_find(const char *const *words, int count, const char *word)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(words[i], word) == 0)
			return i;
	}
	fail_msg("%s: \"%s\" is unknown", GOLDEN, word);
	return -1;
}

static void golden_parse(struct golden *g, const char *line)
{
	static const char *const codecs[] = {"none", "int8", "fp16", "bf16", "sparseloco"};
	static const char *const kinds[] = {"plain", "wide", "nasty", "reals"};
	char codec[16], kind[16];

	assert_int_equal(sscanf(line, "%15s %15s %zu %zu %zu %u %64s", codec, kind, &g->rows,
				 &g->cols, &g->vector, &g->rounds, g->digest),
		7);
	g->codec = (enum compression)(COMPRESSION_NONE + word_find(codecs, 5, codec));
	g->kind = (enum input_kind)word_find(kinds, 4, kind);
}

static void every_engine_packs_what_the_reference_packs(void **state)
{
	FILE *f = fopen(GOLDEN, "r");
	int cases = 0, wrong = 0;
	char line[256];

	(void)state;
	if (f == NULL)
		fail_msg("cannot read %s; run the test from the root of the sources", GOLDEN);
	while (fgets(line, sizeof(line), f) != NULL) {
		struct golden g;

		if (line[0] == '#')
			continue;
		golden_parse(&g, line);
		cases++;
		for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
			char hex[DIGEST_HEX];

			golden_run(*e, &g, hex);
			if (strcmp(hex, g.digest) != 0) {
				print_error("%s gives %s for %s", (*e)->name, hex, line);
				wrong++;
			}
		}
	}
	fclose(f);
	assert_int_equal(wrong, 0);
	assert_int_equal(cases, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_engine_packs_what_the_reference_packs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
