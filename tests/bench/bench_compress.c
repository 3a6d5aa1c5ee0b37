/* How fast updates are packed and unpacked, in GB of float32 parameters per second of one core, for every
 * codec and engine. Prints CSV; the fastest of several rounds, in which the codecs take turns.
 *
 *     build/tests/bench/bench_compress [SIDE [ROUNDS]]        a matrix of SIDE x SIDE parameters */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tasks/base/mem.h"
#include "tasks/math/philox.h"
#include "tasks/unit/compress.h"

#define ENGINES_MAX 8

static const struct {
	const char *name;
	enum compression compression;
} codecs[] = {
	{"none", COMPRESSION_NONE},
	{"fp16", COMPRESSION_FP16},
	{"bf16", COMPRESSION_BF16},
	{"int8", COMPRESSION_INT8},
	{"sparseloco", COMPRESSION_SPARSELOCO},
};
#define CODECS (sizeof(codecs) / sizeof(*codecs))

struct bench {
	struct compress_plane plane;
	struct compress_layout layout;
	float *x, *feedback, *sum;
	struct bytes packed;
};

struct seconds {
	double encode, decode;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool bench_init(struct bench *b, size_t side)
{
	size_t n = side * side;

	b->plane = (struct compress_plane){0, side, side};
	b->layout = (struct compress_layout){n, 1, &b->plane};
	b->x = mem_floats(n);
	b->feedback = mem_floats(n);
	b->sum = mem_floats(n);
	if (b->x == NULL || b->feedback == NULL || b->sum == NULL ||
		bytes_reserve(&b->packed, 4 * n) != TK_OK)
		return false;
	memset(b->packed.data, 1, 4 * n);
	for (size_t i = 0; i < n; i++)
		b->x[i] = 1e-3f * philox_normal(1, 1, i);
	return true;
}

static void bench_close(struct bench *b)
{
	mem_free(b->x);
	mem_free(b->feedback);
	mem_free(b->sum);
	bytes_close(&b->packed);
}

/* Packs and unpacks once; keeps the shortest times. */
static bool bench_turn(
	struct bench *b, const struct engine *e, enum compression c, struct seconds *best)
{
	float *feedback = c == COMPRESSION_SPARSELOCO ? b->feedback : NULL;
	const struct compute alone = {.engine = e};
	double start = now(), middle, end;
	int rc;

	b->packed.len = 0;
	rc = compress_pack(&alone, c, &b->layout, b->x, feedback, &b->packed);
	middle = now();
	if (rc == TK_OK)
		rc = compress_add(e, c, &b->layout, bytes_span(&b->packed), b->sum, NULL);
	end = now();
	if (best->encode == 0 || middle - start < best->encode)
		best->encode = middle - start;
	if (best->decode == 0 || end - middle < best->decode)
		best->decode = end - middle;
	return rc == TK_OK;
}

int main(int argc, char **argv)
{
	size_t side = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 4096;
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 10;
	const struct engine *const *engines = engine_all();
	struct seconds best[ENGINES_MAX][CODECS] = {0};
	struct bench b = {0};
	double gigabytes = 4e-9 * (double)side * (double)side;
	bool good = side > 0 && side <= 16384 && bench_init(&b, side);

	for (unsigned long round = 0; good && round < rounds; round++) {
		for (size_t e = 0; engines[e] != NULL && e < ENGINES_MAX; e++) {
			for (size_t c = 0; good && c < CODECS; c++)
				good = bench_turn(
					&b, engines[e], codecs[c].compression, &best[e][c]);
		}
	}
	if (good)
		printf("engine,codec,ratio,encode_gbps,decode_gbps,both_gbps\n");
	for (size_t e = 0; good && engines[e] != NULL && e < ENGINES_MAX; e++) {
		for (size_t c = 0; c < CODECS; c++) {
			const struct seconds *s = &best[e][c];
			size_t bytes = compress_bytes(codecs[c].compression, &b.layout);

			printf("%s,%s,%.2f,%.2f,%.2f,%.2f\n", engines[e]->name, codecs[c].name,
				1e9 * gigabytes / (double)bytes, gigabytes / s->encode,
				gigabytes / s->decode, gigabytes / (s->encode + s->decode));
		}
	}
	bench_close(&b);
	if (!good)
		fprintf(stderr, "bench_compress: not enough memory, or not a side of 1 to 16384\n");
	return good ? 0 : 1;
}
