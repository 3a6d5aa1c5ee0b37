/* See tiny.h. */
#include "tests/lib/tiny.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/math/engine.h"
#include "tasks/math/philox.h"
#include "tasks/project/presets.h"

#define DENSE_FEATURES 5u
#define IMAGE_FEATURES 64u
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
static bool dense_sample(struct bytes *out, uint32_t features, uint64_t i)
{
	uint8_t slot[4 * IMAGE_FEATURES + 4];
	float x[IMAGE_FEATURES];
	uint32_t label = 0;

	for (uint32_t f = 0; f < features; f++) {
		x[f] = philox_uniform(99, 1000, f, i);
		store_float(slot + (size_t)4 * f, x[f]);
	}
	for (uint32_t f = 1; f < 3; f++)
		label = x[f] > x[label] ? f : label;
	store_le32(slot + (size_t)4 * features, label);
	return bytes_append(out, slot, (size_t)4 * features + 4) == TK_OK;
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
				     : dense_sample(
					       &shard, t->recipe.data.features, first + at + i);
		digest_blob(&part->digests[s], shard.data, shard.len);
		whole = whole && shard_cache_sink(&t->cache, &part->digests[s], bytes_span(&shard),
					 NULL) == TK_OK;
		bytes_close(&shard);
	}
	return part->digests != NULL && whole;
}

/* What an owner would write about each model. */
static struct model_settings settings_of(enum model_type type)
{
	struct model_settings s = {.type = type, .activation = LAYER_RELU};

	switch (type) {
	case MODEL_CHAR_MLP:
		s.activation = LAYER_TANH;
		s.embedding = 3;
		s.hidden = (struct widths){1, {7}};
		break;
	case MODEL_CNN:
		s.channels = (struct widths){2, {3, 4}};
		s.kernel = 3;
		s.hidden = (struct widths){1, {7}};
		break;
	case MODEL_GPT:
		s.activation = LAYER_GELU;
		s.blocks = 2;
		s.heads = 2;
		s.width = 8;
		s.bias = true;
		s.tie = true;
		break;
	case MODEL_MLP:
		s.hidden = (struct widths){1, {7}};
		break;
	default:
		break;
	}
	return s;
}

static void describe(struct tiny *t)
{
	struct recipe *r = &t->recipe;

	r->numerics = NUMERICS_VERSION;
	strcpy(r->name, "tiny");
	r->seed = 11;
	r->train = (struct train_spec){
		.mode = MODE_LOCAL,
		.optimizer = OPTIMIZER_ADAMW,
		.inner_state = INNER_FRESH,
		.learning_rate = 0.02f,
		.beta1 = 0.9f,
		.beta2 = 0.99f,
		.epsilon = 1e-8f,
		.clip = 1,
		.schedule = SCHEDULE_COSINE,
		.warmup_steps = 1,
		.batch_size = 16,
		.accumulate = 1,
		.inner_steps = 5,
		.units_per_round = 4,
		.rounds = 6,
		.trace_every = 5,
		.compression = COMPRESSION_INT8,
		.outer = OUTER_NESTEROV,
		.outer_learning_rate = 1,
		.outer_momentum = 0.5f,
		.merge = MERGE_MEAN,
	};
}

static bool describe_text(struct dataset *d)
{
	static const uint32_t characters[] = {'a', 'b', 'c', 'd', 'e', 'f'};

	d->kind = SAMPLE_TEXT;
	d->token = TOKEN_CHARACTER;
	d->context = TEXT_CONTEXT;
	d->classes = 6;
	d->vocabulary = mem_dup(characters, sizeof(characters));
	return d->vocabulary != NULL;
}

static bool describe_dense(struct dataset *d, uint32_t features)
{
	d->kind = SAMPLE_F32;
	d->features = features;
	d->classes = 3;
	d->class_names = mem_calloc(3, sizeof(*d->class_names));
	for (int i = 0; i < 3 && d->class_names != NULL; i++)
		d->class_names[i][0] = (char)('x' + i);
	return d->class_names != NULL;
}

bool tiny_init(struct tiny *t, enum model_type type)
{
	struct model_settings settings = settings_of(type);
	struct bytes encoded = {0};
	struct dataset *d = &t->recipe.data;
	bool whole;

	memset(t, 0, sizeof(*t));
	describe(t);
	t->source = (struct shard_source){&t->cache, shard_cache_get};
	d->label = LABEL_CLASS;
	if (type == MODEL_CHAR_MLP || type == MODEL_GPT)
		whole = describe_text(d);
	else
		whole = describe_dense(d, type == MODEL_CNN ? IMAGE_FEATURES : DENSE_FEATURES);
	if (type == MODEL_CNN)
		settings.image = (struct widths){3, {1, 8, 8}};
	whole = whole && add_part(t, &d->train, 0, TRAIN_SAMPLES) &&
		add_part(t, &d->validation, TRAIN_SAMPLES + TEXT_CONTEXT, CHECK_SAMPLES) &&
		model_expand(&t->recipe.model, &settings, d, NULL) == TK_OK &&
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
