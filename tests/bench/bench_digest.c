/* Measures digests of blobs: libsodium's one stream in a plain tree, and each implementation of our own,
 * taking turns; prints CSV of the best and the median of REPEATS.
 *   build/tests/bench/bench_digest [MIB]    the blob's size; 64 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tasks/base/blake2b.h"
#include "tasks/base/key.h"
#include "tasks/base/mem.h"
#include "tests/base/plain_tree.h"

#define REPEATS 15
#define RIVALS	16

struct rival {
	char name[32];
	const struct blake2b *blake2b; /* NULL: libsodium in a plain tree */
	bool floats;
	double gb_per_s[REPEATS];
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t enter(struct rival rivals[RIVALS])
{
	size_t count = 0;

	snprintf(rivals[count++].name, sizeof(rivals[0].name), "libsodium");
	for (const struct blake2b *const *b = blake2b_all(); *b != NULL && count + 2 <= RIVALS;
		b++) {
		for (int floats = 0; floats < 2; floats++) {
			struct rival *r = &rivals[count++];

			snprintf(r->name, sizeof(r->name), "%s%s", (*b)->name,
				floats ? " floats" : "");
			r->blake2b = *b;
			r->floats = floats;
		}
	}
	return count;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	size_t n = (argc > 1 ? strtoull(argv[1], NULL, 10) : 64) << 20;
	struct rival rivals[RIVALS] = {0};
	size_t count = enter(rivals);
	float *x = mem_floats(n / 4);
	struct digest first = {0};

	if (crypto_start() != TK_OK || x == NULL)
		return 1;
	for (size_t i = 0; i < n / 4; i++)
		x[i] = (float)i;
	for (int repeat = 0; repeat < REPEATS; repeat++) {
		for (size_t i = 0; i < count; i++) {
			const struct digest_part part = {x, n, rivals[i].floats};
			struct digest d;
			double start = seconds();

			if (rivals[i].blake2b == NULL)
				plain_blob(&d, (const uint8_t *)x, n);
			else
				digest_parts_by(rivals[i].blake2b, &d, &part, 1);
			rivals[i].gb_per_s[repeat] = (double)n / (seconds() - start) * 1e-9;
			if (digest_is_zero(&first))
				first = d;
			if (!digest_equal(&d, &first)) {
				fprintf(stderr, "%s gives another digest\n", rivals[i].name);
				return 1;
			}
		}
	}
	printf("implementation,MiB,best GB/s,median GB/s\n");
	for (size_t i = 0; i < count; i++) {
		double *g = rivals[i].gb_per_s;

		qsort(g, REPEATS, sizeof(*g), ascending);
		printf("%s,%zu,%.2f,%.2f\n", rivals[i].name, n >> 20, g[REPEATS - 1],
			g[REPEATS / 2]);
	}
	mem_free(x);
	return 0;
}
