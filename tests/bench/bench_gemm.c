/* Times matrix products of real models: every engine of this CPU but the baseline, and OpenBLAS, in one
 * process on one thread.
 *
 *   bench_gemm [REPEATS [PART]]   REPEATS (15) timings each; only shapes whose name holds PART
 *
 * Prints CSV with a head line: shape (model:MxNxK), transposition (of A and B, N or T), engine, gflops.
 * The engines take turns within every repeat and the medians are printed, so that whatever else the
 * computer does falls on all alike; times are the thread's own. Each is of about a millisecond of calls on
 * the same operands.
 * OpenBLAS ("blas") uses the kernels that it picks by itself, or those that OPENBLAS_CORETYPE names
 * (Haswell, SkylakeX, …): run it once without and once with the variable. No test reads the figures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tasks/base/mem.h"
#include "tasks/math/blas.h"

#define ENGINES_MAX 8
#define REPEATS_MAX 1001

struct shape {
	const char *model;
	bool ta, tb;
	size_t M, N, K;
	size_t ld; /* of A and B where they are parts of wider matrices; 0: their own width */
};

static const struct shape shapes[] = {
	{"mlp128", false, true, 64, 128, 784, 0},
	{"mlp128", false, true, 64, 10, 128, 0},
	{"mlp128", false, false, 64, 128, 10, 0},
	{"mlp128", true, false, 128, 784, 64, 0},
	{"mlp128", true, false, 10, 128, 64, 0},
	{"mlp1024", false, true, 256, 1024, 784, 0},
	{"mlp1024", false, true, 256, 1024, 1024, 0},
	{"mlp1024", false, true, 256, 10, 1024, 0},
	{"mlp1024", false, false, 256, 1024, 1024, 0},
	{"mlp1024", true, false, 1024, 1024, 256, 0},
	{"mlp1024", true, false, 1024, 784, 256, 0},
	{"gpt", false, true, 768, 384, 128, 0},
	{"gpt", false, true, 768, 128, 512, 0},
	{"gpt", false, true, 768, 65, 128, 0},
	{"gpt", false, false, 768, 512, 128, 0},
	{"gpt", false, false, 768, 128, 512, 0},
	{"gpt", true, false, 512, 128, 768, 0},
	{"gpt", true, false, 128, 512, 768, 0},
	{"attention", false, true, 64, 64, 32, 384},
	{"attention", false, false, 64, 32, 64, 384},
	{"attention", true, false, 64, 32, 64, 384},
	{"batch1", false, true, 1, 1024, 1024, 0},
	{"batch1", false, true, 1, 10, 128, 0},
	{"square", false, false, 512, 512, 512, 0},
	{"square", true, true, 256, 256, 256, 0},
};

struct product {
	const struct shape *shape;
	size_t lda, ldb;
	float *a, *b, *c;
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *operand_new(size_t n)
{
	float *x = mem_floats(n);

	if (x == NULL)
		abort();
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(i * 2654435761u % 1021u) * 0x1p-9f - 1.0f;
	return x;
}

static void product_init(struct product *p, const struct shape *s)
{
	p->shape = s;
	p->lda = s->ld != 0 ? s->ld : s->ta ? s->M : s->K;
	p->ldb = s->ld != 0 ? s->ld : s->tb ? s->K : s->N;
	p->a = operand_new(p->lda * (s->ta ? s->K : s->M));
	p->b = operand_new(p->ldb * (s->tb ? s->N : s->K));
	p->c = operand_new(s->M * s->N);
}

static void product_close(struct product *p)
{
	mem_free(p->a);
	mem_free(p->b);
	mem_free(p->c);
}

static double product_time(const struct product *p, const struct engine *e, size_t calls)
{
	const struct shape *s = p->shape;
	double start = seconds();

	for (size_t i = 0; i < calls; i++)
		e->gemm(s->ta, s->tb, s->M, s->N, s->K, p->a, p->lda, p->b, p->ldb, p->c, s->N,
			false);
	return (seconds() - start) / (double)calls;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void shape_measure(
	const struct shape *s, const struct engine *const *engines, size_t count, size_t repeats)
{
	double times[ENGINES_MAX][REPEATS_MAX];
	size_t calls[ENGINES_MAX];
	double operations = 2.0 * (double)s->M * (double)s->N * (double)s->K;
	struct product p;

	product_init(&p, s);
	for (size_t e = 0; e < count; e++) {
		double once;

		product_time(&p, engines[e], 2);
		once = product_time(&p, engines[e], 3);
		calls[e] = once < 1e-3 ? (size_t)(1e-3 / once) + 1 : 1;
	}
	for (size_t r = 0; r < repeats; r++) {
		for (size_t e = 0; e < count; e++)
			times[e][r] = product_time(&p, engines[e], calls[e]);
	}
	for (size_t e = 0; e < count; e++) {
		qsort(times[e], repeats, sizeof(double), compare_doubles);
		printf("%s:%zux%zux%zu,%c%c,%s,%.2f\n", s->model, s->M, s->N, s->K,
			s->ta ? 'T' : 'N', s->tb ? 'T' : 'N', engines[e]->name,
			operations / times[e][repeats / 2] * 1e-9);
	}
	fflush(stdout);
	product_close(&p);
}

int main(int argc, char **argv)
{
	const struct engine *engines[ENGINES_MAX];
	long repeats = argc > 1 ? strtol(argv[1], NULL, 10) : 15;
	size_t count = 0;

	if (repeats < 1 || repeats > REPEATS_MAX) {
		fprintf(stderr, "bench_gemm: from 1 to %d repeats\n", REPEATS_MAX);
		return 2;
	}
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		if (e[1] == NULL || strcmp((*e)->name, "baseline") != 0)
			engines[count++] = *e;
	}
	engines[count++] = engine_blas();
	printf("shape,transposition,engine,gflops\n");
	for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
		char name[64];

		snprintf(name, sizeof(name), "%s:%zux%zux%zu", shapes[s].model, shapes[s].M,
			shapes[s].N, shapes[s].K);
		if (argc < 3 || strstr(name, argv[2]) != NULL)
			shape_measure(&shapes[s], engines, count, (size_t)repeats);
	}
	return 0;
}
