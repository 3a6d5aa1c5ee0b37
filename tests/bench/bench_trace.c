/* What the trace costs: the time of a default unit of the models of bench_step, with a leaf as often as a
 * project without wishes has one, and without.
 *
 *	bench_trace [RUNS]
 *
 * Prints a line for each model: model,steps,trace_every,milliseconds without leaves,with,share of the
 * leaves in the unit's time, GB/s at which they are hashed. One thread's processor time, which others
 * that compute disturb little; units run in turns, and of RUNS (7) each the fastest counts. A trace_every
 * of all steps is none but the header and the payload. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tasks/base/mem.h"
#include "tasks/math/philox.h"
#include "tasks/project/trace.h"
#include "tasks/unit/train.h"
#include "tests/bench/contests.h"

#define STEPS	20u
#define SAMPLES 1024u

static _Noreturn void give_up(const char *why)
{
	fprintf(stderr, "bench_trace: %s\n", why);
	exit(1);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One shard is all the data. */
static struct bytes shard;

static int shard_get(
	void *context, const struct digest *digest, struct span *out, struct errmsg *msg)
{
	(void)context;
	(void)digest;
	(void)msg;
	*out = bytes_span(&shard);
	return TK_OK;
}

static void append(const void *data, size_t n)
{
	if (bytes_append(&shard, data, n) != TK_OK)
		give_up("out of memory");
}

static void make_shard(const struct contest *c)
{
	shard.len = 0;
	for (uint64_t i = 0; i < SAMPLES + c->context; i++) {
		uint32_t class = (uint32_t)(philox_uniform(1, 1, 0, i) * (float)c->classes);
		uint8_t le[4];

		for (uint32_t f = 0; f < c->features && i < SAMPLES; f++) {
			float x = philox_uniform(1, 2, f, i);

			append(&x, sizeof(x));
		}
		store_le32(le, class);
		append(le, c->features != 0 ? 4 : 2);
	}
}

static void make_recipe(struct recipe *r, const struct contest *c)
{
	struct errmsg msg = {{0}};

	r->numerics = NUMERICS_VERSION;
	r->seed = 1;
	r->data = contest_data(c);
	r->data.train =
		(struct dataset_part){.samples = SAMPLES, .shard_samples = SAMPLES, .shards = 1};
	r->data.train.digests = mem_calloc(1, sizeof(struct digest));
	if (r->data.train.digests == NULL)
		give_up("out of memory");
	r->train = (struct train_spec){.mode = MODE_LOCAL,
		.optimizer = OPTIMIZER_ADAMW,
		.inner_state = INNER_FRESH,
		.learning_rate = 4e-3f,
		.beta1 = 0.9f,
		.beta2 = 0.99f,
		.epsilon = 1e-8f,
		.clip = 1,
		.schedule = SCHEDULE_COSINE,
		.warmup_steps = STEPS / 4,
		.batch_size = (uint32_t)c->rows,
		.accumulate = 1,
		.inner_steps = STEPS,
		.units_per_round = 8,
		.rounds = 20,
		.compression = COMPRESSION_INT8,
		.outer = OUTER_NESTEROV,
		.outer_learning_rate = 1,
		.outer_momentum = 0.5f,
		.merge = MERGE_MEAN};
	if (model_expand(&r->model, &c->settings, &r->data, &msg) != TK_OK)
		give_up(msg.text);
}

static double time_unit(struct recipe *r, const struct compute *c, struct span parameters,
	const struct digest *digest, uint32_t every)
{
	const struct round_start start = {.parameters = *digest};
	const struct unit_input input = {.parameters = parameters};
	const struct shard_source source = {NULL, shard_get};
	const struct digest recipe = {0};
	struct unit_result result = {0};
	struct errmsg msg = {{0}};
	struct unit unit;
	double begin;

	r->train.trace_every = every;
	unit_describe(&unit, &recipe, 0, 0, &start);
	begin = seconds();
	if (unit_run(r, &unit, c, &input, &source, NULL, &result, &msg) != TK_OK)
		give_up(msg.text);
	begin = seconds() - begin;
	unit_result_close(&result);
	return begin;
}

static void compare(const struct contest *contest, const struct compute *c, unsigned long runs)
{
	double best[2] = {1e9, 1e9};
	double hashed;
	struct bytes parameters = {0};
	struct recipe r = {0};
	struct digest digest;
	struct model model;
	uint32_t every[2];
	float *theta;

	make_shard(contest);
	make_recipe(&r, contest);
	if (model_init(&model, &r.model, &r.data, NULL) != TK_OK ||
		train_initial(&r, span_of("", 0), &theta, NULL) != TK_OK ||
		parameters_encode(&parameters, theta, model.parameters) != TK_OK)
		give_up("out of memory");
	digest_blob(&digest, parameters.data, parameters.len);
	every[0] = STEPS;
	every[1] = trace_distance(&model, &r.train);
	for (unsigned long i = 0; i < runs * 2; i++) {
		double t = time_unit(&r, c, bytes_span(&parameters), &digest, every[i % 2]);

		best[i % 2] = t < best[i % 2] ? t : best[i % 2];
	}
	hashed = 12e-9 * (double)model.parameters * ((STEPS - 1) / every[1]);
	printf("%s,%u,%u,%.2f,%.2f,%.4f,%.1f\n", contest->name, STEPS, every[1], 1e3 * best[0],
		1e3 * best[1], (best[1] - best[0]) / best[1],
		best[1] > best[0] ? hashed / (best[1] - best[0]) : 0);
	mem_free(theta);
	bytes_close(&parameters);
	model_close(&model);
	model_spec_close(&r.model);
	mem_free(r.data.train.digests);
}

int main(int argc, char **argv)
{
	unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 7;
	const struct compute c = {.engine = engine_best()};
	struct errmsg msg = {{0}};

	if (argc > 2 || runs < 1 || runs > 1000)
		give_up("usage: bench_trace [RUNS], a small natural number");
	if (engine_enter_thread(&msg) != TK_OK)
		give_up(msg.text);
	for (size_t i = 0; i < sizeof(contests) / sizeof(contests[0]); i++)
		compare(&contests[i], &c, runs);
	bytes_close(&shard);
	return 0;
}
