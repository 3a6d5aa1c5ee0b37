/* See trial.h. */
#include "tasks/unit/trial.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/project/presets.h"
#include "tasks/unit/merge.h"
#include "tasks/unit/shard_cache.h"
#include "tasks/unit/train.h"

#define CONTEXT 8u
#define SAMPLES 248u

static const struct model_settings settings = {.type = MODEL_GPT,
	.activation = LAYER_GELU,
	.blocks = 1,
	.heads = 2,
	.width = 16,
	.bias = true,
	.tie = true};

static const struct train_spec train = {.mode = MODE_LOCAL,
	.optimizer = OPTIMIZER_ADAMW,
	.inner_state = INNER_FRESH,
	.learning_rate = 0.02f,
	.beta1 = 0.9f,
	.beta2 = 0.99f,
	.epsilon = 1e-8f,
	.weight_decay = 0.01f,
	.clip = 1,
	.schedule = SCHEDULE_COSINE,
	.warmup_steps = 1,
	.batch_size = 16,
	.accumulate = 1,
	.inner_steps = 4,
	.units_per_round = 1,
	.rounds = 1,
	.trace_every = 2,
	.compression = COMPRESSION_INT8,
	.outer = OUTER_NESTEROV,
	.outer_learning_rate = 1,
	.outer_momentum = 0.5f,
	.merge = MERGE_MEAN};

/* A text in which the next byte mostly follows from the last. */
static int write_shard(struct bytes *out)
{
	uint8_t token[2];
	int rc = TK_OK;

	for (uint32_t i = 0; rc == TK_OK && i < SAMPLES + CONTEXT; i++) {
		store_le16(token, (uint16_t)('a' + (i * 5 + i / 7) % 26));
		rc = bytes_append(out, token, sizeof(token));
	}
	return rc;
}

static int describe(struct recipe *r, uint64_t seed, struct span shard, struct errmsg *msg)
{
	struct dataset *d = &r->data;

	r->numerics = NUMERICS_VERSION;
	r->seed = seed;
	strcpy(r->name, "trial");
	r->train = train;
	d->kind = SAMPLE_TEXT;
	d->token = TOKEN_BYTE;
	d->label = LABEL_CLASS;
	d->context = CONTEXT;
	d->classes = BYTE_CLASSES;
	d->train = (struct dataset_part){.samples = SAMPLES, .shard_samples = SAMPLES, .shards = 1};
	d->train.digests = mem_calloc(1, sizeof(struct digest));
	if (d->train.digests == NULL)
		return errmsg_set(msg, TK_ENOMEM, "out of memory");
	digest_blob(d->train.digests, shard.data, shard.len);
	return model_expand(&r->model, &settings, d, msg);
}

static int write_parameters(const struct recipe *r, struct bytes *out, struct errmsg *msg)
{
	float *theta = NULL;
	size_t count;
	int rc = unit_parameters(r, &count, msg);

	if (rc == TK_OK)
		rc = train_initial(r, span_of("", 0), &theta, msg);
	if (rc == TK_OK)
		rc = parameters_encode(out, theta, count);
	mem_free(theta);
	return rc;
}

static int write_unit(struct trial_unit *t)
{
	struct round_start start = {.states = NULL};
	struct digest recipe;
	struct unit unit;

	digest_blob(&recipe, t->recipe.data, t->recipe.len);
	digest_blob(&start.parameters, t->parameters.data, t->parameters.len);
	unit_describe(&unit, &recipe, 0, 0, &start);
	return unit_encode(&unit, &t->unit);
}

int trial_init(struct trial_unit *t, uint64_t seed, struct errmsg *msg)
{
	struct recipe r = {0};
	int rc;

	*t = (struct trial_unit){0};
	rc = write_shard(&t->shard);
	if (rc == TK_OK)
		rc = describe(&r, seed, bytes_span(&t->shard), msg);
	if (rc == TK_OK)
		rc = recipe_encode(&r, &t->recipe, msg);
	if (rc == TK_OK)
		rc = write_parameters(&r, &t->parameters, msg);
	if (rc == TK_OK)
		rc = write_unit(t);
	if (rc == TK_OK)
		t->shard_digest = r.data.train.digests[0];
	else
		trial_close(t);
	recipe_close(&r);
	return rc;
}

void trial_close(struct trial_unit *t)
{
	bytes_close(&t->recipe);
	bytes_close(&t->shard);
	bytes_close(&t->unit);
	bytes_close(&t->parameters);
}

int trial_run(const struct trial_unit *t, const struct compute *c, struct unit_result *out,
	struct errmsg *msg)
{
	const struct unit_input input = {.parameters = bytes_span(&t->parameters)};
	struct shard_cache shards = {0};
	struct shard_source source = {&shards, shard_cache_get};
	struct recipe recipe;
	struct unit unit;
	int rc = recipe_decode(&recipe, bytes_span(&t->recipe), msg);

	if (rc != TK_OK)
		return rc;
	rc = unit_decode(&unit, bytes_span(&t->unit), msg);
	if (rc == TK_OK)
		rc = shard_cache_sink(&shards, &t->shard_digest, bytes_span(&t->shard), msg);
	if (rc == TK_OK)
		rc = unit_run(&recipe, &unit, c, &input, &source, NULL, out, msg);
	shard_cache_close(&shards);
	recipe_close(&recipe);
	return rc;
}
