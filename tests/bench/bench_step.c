/* Times training steps of the models that torch_step.py times, on the fastest engine of this CPU.
 *
 *   bench_step MODEL OPTIMIZER THREADS STEPS
 *
 * MODEL: mlp-128, mlp-1024, cnn or gpt; OPTIMIZER: sgd or adamw. A step is what the trainer does: gradient
 * of a batch, then the optimizer, without clipping, as on the other side. Prints one line:
 * model,optimizer,threads,milliseconds (median step),KiB resident after construction,KiB resident at most,
 * GFLOP of the step's products */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tasks/base/mem.h"
#include "tasks/math/philox.h"
#include "tasks/model/model.h"
#include "tests/bench/contests.h"

#define WARM_UP	      3u
#define STEPS_MAX     10000u
#define LEARNING_RATE 1e-3f

/* Everything that a step needs. */
struct bench {
	struct dataset data;
	struct model_spec spec;
	struct model model;
	struct compute compute;
	struct model_work *work;
	struct batch batch;
	float *theta, *gradient, *first, *second;
	float *features;
	uint32_t *tokens, *labels;
};

static _Noreturn void give_up(const char *why)
{
	fprintf(stderr, "bench_step: %s\n", why);
	exit(1);
}

static void *need(void *p)
{
	if (p == NULL)
		give_up("out of memory");
	return p;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A field of /proc/self/status, in KiB. */
static long resident(const char *field)
{
	FILE *f = fopen("/proc/self/status", "r");
	size_t n = strlen(field);
	char line[256];
	long kib = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, field, n) == 0 && line[n] == ':')
			kib = strtol(line + n + 1, NULL, 10);
	}
	if (f != NULL)
		fclose(f);
	return kib;
}

/* The peak is counted from here on. */
static void reset_peak(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "w");

	if (f == NULL)
		return;
	fputs("5", f);
	fclose(f);
}

static void make_batch(struct bench *b, const struct contest *c)
{
	size_t labels = c->rows * b->model.labels;

	b->labels = need(mem_calloc(labels, sizeof(*b->labels)));
	for (size_t i = 0; i < labels; i++)
		b->labels[i] = (uint32_t)(philox_uniform(1, 1, 0, i) * (float)c->classes);
	if (c->features != 0) {
		b->features = need(mem_floats(c->rows * c->features));
		for (size_t i = 0; i < c->rows * c->features; i++)
			b->features[i] = philox_uniform(1, 2, 0, i);
	} else {
		b->tokens = need(mem_calloc(c->rows * c->context, sizeof(*b->tokens)));
		for (size_t i = 0; i < c->rows * c->context; i++)
			b->tokens[i] = (uint32_t)(philox_uniform(1, 3, 0, i) * (float)c->classes);
	}
	b->batch = (struct batch){
		.rows = c->rows, .features = b->features, .tokens = b->tokens, .labels = b->labels};
}

static void construct(struct bench *b, const struct contest *c)
{
	struct errmsg msg = {{0}};

	b->data = contest_data(c);
	if (model_expand(&b->spec, &c->settings, &b->data, &msg) != TK_OK ||
		model_init(&b->model, &b->spec, &b->data, &msg) != TK_OK)
		give_up(msg.text);
	b->theta = need(mem_floats(b->model.parameters));
	model_initialize(&b->model, 1, b->theta);
	make_batch(b, c);
}

static void step(struct bench *b, bool adamw, uint64_t number)
{
	struct gradient_request request = {.parameters = b->theta,
		.batch = b->batch,
		.count = b->batch.rows * b->model.labels,
		.seed = 1,
		.step = number};
	size_t n = b->model.parameters;

	model_gradient(&b->model, &b->compute, b->work, &request, b->gradient);
	if (adamw)
		compute_adamw(&b->compute, n,
			&(struct adamw_step){.learning_rate = LEARNING_RATE,
				.beta1 = 0.9f,
				.beta2 = 0.999f,
				.epsilon = 1e-8f,
				.weight_decay = 0.01f,
				.bias1 = 0.1f,
				.bias2 = 0.001f,
				.gradient_scale = 1},
			b->gradient, b->first, b->second, b->theta);
	else
		compute_sgd(&b->compute, n,
			&(struct sgd_step){.learning_rate = LEARNING_RATE, .gradient_scale = 1},
			b->gradient, NULL, b->theta);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run(
	struct bench *b, const struct contest *c, bool adamw, uint32_t threads, uint32_t steps)
{
	double *times = need(mem_calloc(steps, sizeof(*times)));
	long constructed = resident("VmRSS");
	struct errmsg msg = {{0}};

	reset_peak();
	b->compute.engine = engine_best();
	if (threads > 1 && pool_new(&b->compute.pool, threads, &msg) != TK_OK)
		give_up(msg.text);
	b->work = need(model_work_new(&b->model, &b->compute, c->rows, true));
	b->gradient = need(mem_floats(b->model.parameters));
	if (adamw) {
		b->first = need(mem_floats(b->model.parameters));
		b->second = need(mem_floats(b->model.parameters));
	}
	for (uint32_t i = 0; i < steps + WARM_UP; i++) {
		double start = seconds();

		step(b, adamw, i);
		if (i >= WARM_UP)
			times[i - WARM_UP] = seconds() - start;
	}
	qsort(times, steps, sizeof(*times), ascending);
	printf("%s,%s,%u,%.4f,%ld,%ld,%.4f\n", c->name, adamw ? "adamw" : "sgd", threads,
		1e3 * times[steps / 2], constructed, resident("VmHWM"),
		1e-9 * model_step_flops(&b->model, c->rows));
	mem_free(times);
}

static void bench_close(struct bench *b)
{
	model_work_free(b->work);
	pool_free(b->compute.pool);
	model_close(&b->model);
	model_spec_close(&b->spec);
	mem_free(b->theta);
	mem_free(b->gradient);
	mem_free(b->first);
	mem_free(b->second);
	mem_free(b->features);
	mem_free(b->tokens);
	mem_free(b->labels);
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	struct errmsg msg = {{0}};
	unsigned long threads, steps;

	if (argc != 5)
		give_up("usage: bench_step MODEL OPTIMIZER THREADS STEPS");
	threads = strtoul(argv[3], NULL, 10);
	steps = strtoul(argv[4], NULL, 10);
	if (threads < 1 || threads > COMPUTE_THREADS_MAX || steps < 1 || steps > STEPS_MAX)
		give_up("threads and steps must be small natural numbers");
	if (engine_enter_thread(&msg) != TK_OK)
		give_up(msg.text);
	for (size_t i = 0; i < sizeof(contests) / sizeof(contests[0]); i++) {
		if (strcmp(contests[i].name, argv[1]) != 0)
			continue;
		construct(&b, &contests[i]);
		run(&b, &contests[i], strcmp(argv[2], "adamw") == 0, (uint32_t)threads,
			(uint32_t)steps);
		bench_close(&b);
		return 0;
	}
	give_up("no such model");
}
