/* See tiny.h. */
#include "tests/lib/tiny.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/math/engine.h"
#include "tasks/math/philox.h"

#define DENSE_FEATURES 5u
#define TEXT_CONTEXT   4u
#define SHARD_SAMPLES  64u
#define TRAIN_SAMPLES  1000u
#define CHECK_SAMPLES  150u

static void store_float(uint8_t *p, float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	store_le32(p, bits);
}

/* Sample i: features in [0,1), the class says which of the first three is largest. */
static bool dense_sample(struct bytes *out, uint64_t i)
{
	uint8_t slot[4 * DENSE_FEATURES + 4];
	float x[DENSE_FEATURES];
	uint32_t label = 0;

	for (uint32_t f = 0; f < DENSE_FEATURES; f++) {
		x[f] = philox_uniform(99, 1000, f, i);
		store_float(slot + (size_t)4 * f, x[f]);
	}
	for (uint32_t f = 1; f < 3; f++)
		label = x[f] > x[label] ? f : label;
	store_le32(slot + 4 * DENSE_FEATURES, label);
	return bytes_append(out, slot, sizeof(slot)) == TK_OK;
}

/* Token i of a text in which the next character mostly follows from the last. */
static uint32_t token(uint64_t i)
{
	uint32_t noise = philox_uniform(98, 1001, 0, i) < 0.2f ? 2 : 0;

	return (uint32_t)((i * 5 + i / 7 + noise) % 6);
}

static bool text_sample(struct bytes *out, uint64_t i)
{
	uint8_t le[2];

	store_le16(le, (uint16_t)token(i));
	return bytes_append(out, le, sizeof(le)) == TK_OK;
}

static bool add_part(struct tiny *t, struct dataset_part *part, uint64_t first, uint64_t samples)
{
	bool text = t->recipe.data.kind == SAMPLE_TEXT;
	bool whole = true;

	part->samples = samples;
	part->shard_samples = SHARD_SAMPLES;
	part->shards = (uint32_t)((samples + SHARD_SAMPLES - 1) / SHARD_SAMPLES);
	part->digests = mem_calloc(part->shards, sizeof(struct digest));
	for (uint32_t s = 0; part->digests != NULL && s < part->shards && whole; s++) {
		uint64_t at = (uint64_t)s * SHARD_SAMPLES;
		uint64_t n = samples - at < SHARD_SAMPLES ? samples - at : SHARD_SAMPLES;
		struct bytes shard = {0};

		n += text ? TEXT_CONTEXT : 0;
		for (uint64_t i = 0; i < n && whole; i++)
			whole = text ? text_sample(&shard, first + at + i)
				     : dense_sample(&shard, first + at + i);
		digest_blob(&part->digests[s], shard.data, shard.len);
		whole = whole && shard_cache_sink(&t->cache, &part->digests[s], bytes_span(&shard),
					 NULL) == TK_OK;
		bytes_close(&shard);
	}
	return part->digests != NULL && whole;
}

static void describe(struct tiny *t, enum model_type type)
{
	struct recipe *r = &t->recipe;

	r->numerics = NUMERICS_VERSION;
	strcpy(r->name, "tiny");
	r->seed = 11;
	r->model.type = type;
	r->model.activation = type == MODEL_CHAR_MLP ? ACTIVATION_TANH : ACTIVATION_RELU;
	r->model.embedding = type == MODEL_CHAR_MLP ? 3 : 0;
	r->model.hidden_count = type == MODEL_LOGISTIC ? 0 : 1;
	r->model.hidden[0] = type == MODEL_LOGISTIC ? 0 : 7;
	r->train = (struct train_spec){
		.optimizer = OPTIMIZER_ADAMW,
		.learning_rate = 0.02f,
		.beta1 = 0.9f,
		.beta2 = 0.99f,
		.epsilon = 1e-8f,
		.clip = 1,
		.schedule = SCHEDULE_COSINE,
		.warmup_steps = 1,
		.batch_size = 16,
		.inner_steps = 5,
		.units_per_round = 4,
		.rounds = 6,
		.compression = COMPRESSION_INT8,
		.outer = OUTER_NESTEROV,
		.outer_learning_rate = 1,
		.outer_momentum = 0.5f,
	};
}

bool tiny_init(struct tiny *t, enum model_type type)
{
	static const uint32_t characters[] = {'a', 'b', 'c', 'd', 'e', 'f'};
	struct bytes encoded = {0};
	struct dataset *d = &t->recipe.data;
	bool whole;

	memset(t, 0, sizeof(*t));
	describe(t, type);
	t->source = (struct shard_source){&t->cache, shard_cache_get};
	if (type == MODEL_CHAR_MLP) {
		d->kind = SAMPLE_TEXT;
		d->context = TEXT_CONTEXT;
		d->classes = 6;
		d->vocabulary = mem_dup(characters, sizeof(characters));
		whole = d->vocabulary != NULL;
	} else {
		d->kind = SAMPLE_F32;
		d->features = DENSE_FEATURES;
		d->classes = 3;
		d->class_names = mem_calloc(3, sizeof(*d->class_names));
		whole = d->class_names != NULL;
		for (int i = 0; i < 3 && whole; i++)
			d->class_names[i][0] = (char)('x' + i);
	}
	whole = whole && add_part(t, &d->train, 0, TRAIN_SAMPLES) &&
		add_part(t, &d->validation, TRAIN_SAMPLES + TEXT_CONTEXT, CHECK_SAMPLES) &&
		recipe_validate(&t->recipe, NULL) == TK_OK &&
		recipe_encode(&t->recipe, &encoded, NULL) == TK_OK;
	if (whole)
		digest_blob(&t->recipe_digest, encoded.data, encoded.len);
	bytes_close(&encoded);
	return whole;
}

void tiny_close(struct tiny *t)
{
	shard_cache_close(&t->cache);
	recipe_close(&t->recipe);
}
