/* Prints, as CSV, what convolutions and pools of a small image classifier cost under each engine: the
 * best of REPEATS runs, the engines in turn, so that other work on the machine disturbs all alike. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tasks/base/mem.h"
#include "tasks/math/engine.h"

#define REPEATS	    30
#define BATCH	    64
#define ENGINES_MAX 8

struct layer {
	struct window conv, pool;
	float *x, *weight, *bias, *y, *pooled, *dpooled, *dy, *dx, *dweight, *dbias, *space;
	uint8_t *chosen;
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static float *floats_new(size_t n)
{
	float *x = mem_floats(n);

	if (x == NULL)
		abort();
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(i * 2654435761u % 2048) / 1024.0f - 1.0f;
	return x;
}

static void layer_new(struct layer *l, const struct engine *e)
{
	size_t inputs = (size_t)BATCH * l->conv.channels * l->conv.height * l->conv.width;
	size_t outputs = (size_t)BATCH * l->conv.channels_out * l->conv.height * l->conv.width;
	size_t weights = (size_t)l->conv.channels_out * l->conv.channels * 9;

	l->x = floats_new(inputs);
	l->dx = floats_new(inputs);
	l->weight = floats_new(weights);
	l->dweight = floats_new(weights);
	l->bias = floats_new(l->conv.channels_out);
	l->dbias = floats_new(l->conv.channels_out);
	l->y = floats_new(outputs);
	l->dy = floats_new(outputs);
	l->pooled = floats_new(outputs / 4);
	l->dpooled = floats_new(outputs / 4);
	l->space = floats_new(e->conv2d_workspace(&l->conv));
	l->chosen = mem_alloc(outputs / 4);
	if (l->chosen == NULL)
		abort();
}

enum operation {
	FORWARD,
	BACKWARD_INPUT,
	BACKWARD_WEIGHT,
	MAX_POOL,
	MAX_POOL_BACKWARD,
	OPERATIONS
};

static void operation_run(enum operation o, const struct engine *e, struct layer *l)
{
	switch (o) {
	case FORWARD:
		e->conv2d(BATCH, &l->conv, l->x, l->weight, l->bias, l->y, l->space);
		break;
	case BACKWARD_INPUT:
		e->conv2d_backward_input(BATCH, &l->conv, l->dy, l->weight, l->dx, l->space);
		break;
	case BACKWARD_WEIGHT:
		e->conv2d_backward_weight(BATCH, &l->conv, 0, l->conv.channels_out, l->x, l->dy,
			false, l->dweight, l->dbias, l->space);
		break;
	case MAX_POOL:
		e->max_pool(BATCH, &l->pool, l->y, l->pooled, l->chosen);
		break;
	default:
		e->max_pool_backward(BATCH, &l->pool, l->chosen, l->dpooled, l->dy);
		break;
	}
}

static void operation_measure(enum operation o, struct layer *l, int number)
{
	static const char *const names[OPERATIONS] = {"conv2d", "conv2d_backward_input",
		"conv2d_backward_weight", "max_pool", "max_pool_backward"};
	double macs = (double)BATCH * l->conv.height * l->conv.width * l->conv.channels *
		      l->conv.channels_out * 9;
	double best[ENGINES_MAX];
	int engines = 0;

	for (int r = 0; r < REPEATS; r++) {
		engines = 0;
		for (const struct engine *const *e = engine_all(); *e != NULL; e++, engines++) {
			double begin = now_ns(), ns;

			operation_run(o, *e, l);
			ns = now_ns() - begin;
			if (r == 0 || ns < best[engines])
				best[engines] = ns;
		}
	}
	for (int i = 0; i < engines; i++)
		printf("%d,%s,%s,%.0f,%.1f\n", number, names[o], engine_all()[i]->name, best[i],
			o <= BACKWARD_WEIGHT ? 2 * macs / best[i] : 0);
}

int main(void)
{
	static struct layer layers[] = {
		{.conv = {1, 28, 28, 32, 3, 1, 1, 28, 28},
			.pool = {32, 28, 28, 32, 2, 2, 0, 14, 14}},
		{.conv = {32, 14, 14, 64, 3, 1, 1, 14, 14},
			.pool = {64, 14, 14, 64, 2, 2, 0, 7, 7}},
	};

	printf("layer,operation,engine,ns,gflops\n");
	for (int i = 0; i < 2; i++) {
		layer_new(&layers[i], engine_best());
		for (int o = 0; o < OPERATIONS; o++)
			operation_measure((enum operation)o, &layers[i], i + 1);
	}
	return 0;
}
