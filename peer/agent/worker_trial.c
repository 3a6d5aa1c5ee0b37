/* See worker_trial.h. */
#include "peer/agent/worker_trial.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/project/presets.h"
#include "tasks/unit/merge.h"
#include "tasks/unit/train.h"

#define CONTEXT 8u
#define SAMPLES 248u

/* The result digest, by NUMERICS_VERSION 1. */
static const char result_hex[] = "43a96efd19624469d02ec80b528377ce581516575b26478be6d0c86150c48fb1";

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

static int describe(struct recipe *r, struct span shard, struct errmsg *msg)
{
	struct dataset *d = &r->data;

	r->numerics = NUMERICS_VERSION;
	r->seed = 1;
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

static int write_unit(struct worker_trial *t)
{
	struct round_start start = {.states = NULL};
	struct digest recipe;
	struct unit unit;

	digest_blob(&recipe, t->recipe.data, t->recipe.len);
	digest_blob(&start.parameters, t->parameters.data, t->parameters.len);
	unit_describe(&unit, &recipe, 0, 0, &start);
	return unit_encode(&unit, &t->unit);
}

int worker_trial_init(struct worker_trial *t, struct errmsg *msg)
{
	struct recipe r = {0};
	int rc;

	*t = (struct worker_trial){.messages = {{.type = WORKER_RECIPE}, {.type = WORKER_SHARD},
					   {.type = WORKER_RUN, .job = 1}}};
	rc = write_shard(&t->shard);
	if (rc == TK_OK)
		rc = describe(&r, bytes_span(&t->shard), msg);
	if (rc == TK_OK)
		rc = recipe_encode(&r, &t->recipe, msg);
	if (rc == TK_OK)
		rc = write_parameters(&r, &t->parameters, msg);
	if (rc == TK_OK)
		rc = write_unit(t);
	if (rc == TK_OK) {
		t->messages[0].bytes = bytes_span(&t->recipe);
		t->messages[1].digest = r.data.train.digests[0];
		t->messages[1].bytes = bytes_span(&t->shard);
		t->messages[2].unit = bytes_span(&t->unit);
		t->messages[2].bytes = bytes_span(&t->parameters);
	} else {
		worker_trial_close(t);
	}
	recipe_close(&r);
	return rc;
}

void worker_trial_close(struct worker_trial *t)
{
	bytes_close(&t->recipe);
	bytes_close(&t->shard);
	bytes_close(&t->unit);
	bytes_close(&t->parameters);
}

bool worker_trial_right(struct span claim)
{
	struct digest digest;
	char hex[2 * DIGEST_BYTES + 1];

	claim_digest(&digest, claim);
	hex_encode(hex, digest.b, DIGEST_BYTES);
	return strcmp(hex, result_hex) == 0;
}
