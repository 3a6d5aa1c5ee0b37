/* What makes a recipe sound: every limit, and every way in which its parts must fit together.
 *
 * The same checks judge what an owner wrote and what a stranger sent, so nothing here trusts its input,
 * allocates, or multiplies before both factors are bounded. */
#include "tasks/project/recipe.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tasks/data/utf8.h"
#include "tasks/math/engine.h"

bool project_name_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= PROJECT_NAME_MAX || strchr("-_.", name[0]) != NULL)
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

static int check_u32(const char *field, uint32_t v, uint32_t min, uint32_t max, struct errmsg *msg)
{
	if (v >= min && v <= max)
		return TK_OK;
	if (max == 0)
		return errmsg_set(
			msg, TK_EINVAL, "%s is %u, but is not used here: it must be 0", field, v);
	return errmsg_set(
		msg, TK_EINVAL, "%s is %u; it must be between %u and %u", field, v, min, max);
}

static int check_f32(const char *field, float v, double min, double max, struct errmsg *msg)
{
	/* rounding keeps order, so a number written within the limits stays within these */
	if (v >= (float)min && v <= (float)max && !(v == 0 && signbit(v)))
		return TK_OK;
	if (max == 0)
		return errmsg_set(msg, TK_EINVAL, "%s is %g, but is not used here: it must be 0",
			field, (double)v);
	return errmsg_set(msg, TK_EINVAL, "%s is %g; it must be between %g and %g", field,
		(double)v, min, max);
}

static int check_text_model(const struct model_spec *m, const struct dataset *d, struct errmsg *msg)
{
	if (d->kind != SAMPLE_TEXT)
		return errmsg_set(msg, TK_EINVAL,
			"a char-mlp learns from text, but the data are tables or images; use "
			"format: text, or the model mlp");
	return check_u32("model.embedding", m->embedding, 1, EMBEDDING_MAX, msg);
}

static int check_dense_model(
	const struct model_spec *m, const struct dataset *d, struct errmsg *msg)
{
	if (d->kind == SAMPLE_TEXT)
		return errmsg_set(msg, TK_EINVAL,
			"the models logistic and mlp learn from tables or images, but the data are "
			"text; use the model char-mlp");
	return check_u32("model.embedding", m->embedding, 0, 0, msg);
}

static int check_model(const struct model_spec *m, const struct dataset *d, struct errmsg *msg)
{
	bool logistic = m->type == MODEL_LOGISTIC;
	int rc;

	if (m->type != MODEL_LOGISTIC && m->type != MODEL_MLP && m->type != MODEL_CHAR_MLP)
		return errmsg_set(msg, TK_EINVAL, "model.type %d is unknown", (int)m->type);
	if (m->activation != ACTIVATION_RELU && (m->activation != ACTIVATION_TANH || logistic))
		return errmsg_set(msg, TK_EINVAL, "model.activation %d does not fit the model",
			(int)m->activation);
	rc = check_u32("the number of hidden layers", m->hidden_count, logistic ? 0 : 1,
		logistic ? 0 : HIDDEN_LAYERS_MAX, msg);
	for (uint32_t i = 0; rc == TK_OK && i < HIDDEN_LAYERS_MAX; i++) {
		bool used = i < m->hidden_count;

		rc = check_u32("a hidden layer's width", m->hidden[i], used ? 1 : 0,
			used ? HIDDEN_WIDTH_MAX : 0, msg);
	}
	if (rc != TK_OK)
		return rc;
	if (m->type == MODEL_CHAR_MLP)
		return check_text_model(m, d, msg);
	return check_dense_model(m, d, msg);
}

static int check_inner(const struct train_spec *t, struct errmsg *msg)
{
	bool adamw = t->optimizer == OPTIMIZER_ADAMW;
	int rc;

	if (!adamw && t->optimizer != OPTIMIZER_SGD)
		return errmsg_set(
			msg, TK_EINVAL, "train.optimizer %d is unknown", (int)t->optimizer);
	rc = check_f32(
		"train.learning_rate", t->learning_rate, LEARNING_RATE_MIN, LEARNING_RATE_MAX, msg);
	if (rc == TK_OK)
		rc = check_f32("train.beta1", t->beta1, 0, adamw ? BETA_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_f32("train.beta2", t->beta2, 0, adamw ? BETA_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_f32("train.epsilon", t->epsilon, adamw ? EPSILON_MIN : 0,
			adamw ? EPSILON_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_f32("train.momentum", t->momentum, 0, adamw ? 0 : BETA_MAX, msg);
	if (rc == TK_OK)
		rc = check_f32("train.weight_decay", t->weight_decay, 0, WEIGHT_DECAY_MAX, msg);
	if (rc == TK_OK)
		rc = check_f32("train.clip", t->clip, 0, CLIP_MAX, msg);
	return rc;
}

static int check_outer(const struct train_spec *t, struct errmsg *msg)
{
	bool nesterov = t->outer == OUTER_NESTEROV;
	int rc;

	if (!nesterov && t->outer != OUTER_SGD)
		return errmsg_set(
			msg, TK_EINVAL, "train.outer.optimizer %d is unknown", (int)t->outer);
	rc = check_f32("train.outer.learning_rate", t->outer_learning_rate, LEARNING_RATE_MIN,
		LEARNING_RATE_MAX, msg);
	if (rc == TK_OK)
		rc = check_f32(
			"train.outer.momentum", t->outer_momentum, 0, nesterov ? BETA_MAX : 0, msg);
	return rc;
}

static int check_train(const struct train_spec *t, struct errmsg *msg)
{
	int rc = check_inner(t, msg);

	if (rc == TK_OK)
		rc = check_outer(t, msg);
	if (rc == TK_OK && t->schedule != SCHEDULE_CONSTANT && t->schedule != SCHEDULE_COSINE)
		rc = errmsg_set(msg, TK_EINVAL, "train.schedule %d is unknown", (int)t->schedule);
	if (rc == TK_OK && t->compression != COMPRESSION_NONE && t->compression != COMPRESSION_INT8)
		rc = errmsg_set(
			msg, TK_EINVAL, "train.compression %d is unknown", (int)t->compression);
	if (rc == TK_OK)
		rc = check_u32("train.batch_size", t->batch_size, 1, BATCH_MAX, msg);
	if (rc == TK_OK)
		rc = check_u32("train.inner_steps", t->inner_steps, 1, INNER_STEPS_MAX, msg);
	if (rc == TK_OK)
		rc = check_u32(
			"train.units_per_round", t->units_per_round, 1, UNITS_PER_ROUND_MAX, msg);
	if (rc == TK_OK)
		rc = check_u32("train.rounds", t->rounds, 1, ROUNDS_MAX, msg);
	if (rc == TK_OK && t->warmup_steps > t->inner_steps)
		rc = errmsg_set(msg, TK_EINVAL,
			"train.warmup_steps is %u, more than the %u inner_steps of a unit",
			t->warmup_steps, t->inner_steps);
	if (rc == TK_OK && (uint64_t)t->rounds * t->units_per_round >
				   INT64_MAX / ((uint64_t)t->inner_steps * t->batch_size))
		rc = errmsg_set(msg, TK_ELIMIT,
			"rounds × units_per_round × inner_steps × batch_size pass 2^63 samples");
	return rc;
}

/* The bytes of one shard of n samples; n and the dataset's sizes are within 32 bits. */
static uint64_t shard_bytes(const struct dataset *d, uint64_t n)
{
	if (d->kind == SAMPLE_TEXT)
		return 2 * (n + d->context);
	return n * ((uint64_t)d->features * (d->kind == SAMPLE_F32 ? 4 : 1) + 4);
}

static int check_part(
	const char *name, const struct dataset *d, const struct dataset_part *p, struct errmsg *msg)
{
	uint64_t wanted;

	if (p->samples == 0 && p->shards == 0)
		return TK_OK;
	if (p->samples == 0 || p->shard_samples == 0 || p->shards > SHARDS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"the %s part has %u shards for %llu samples; at most %u are accepted", name,
			p->shards, (unsigned long long)p->samples, SHARDS_MAX);
	wanted = (p->samples - 1) / p->shard_samples + 1;
	if (wanted != p->shards)
		return errmsg_set(msg, TK_EINVAL,
			"the %s part's %llu samples need %llu shards, but it has %u", name,
			(unsigned long long)p->samples, (unsigned long long)wanted, p->shards);
	if (shard_bytes(d, p->samples < p->shard_samples ? p->samples : p->shard_samples) >
		SHARD_BYTES)
		return errmsg_set(msg, TK_ELIMIT, "the %s part's shards are larger than %u bytes",
			name, SHARD_BYTES);
	if (p->digests == NULL)
		return errmsg_set(msg, TK_EINVAL, "the %s part has no digests", name);
	return TK_OK;
}

static int check_vocabulary(const struct dataset *d, struct errmsg *msg)
{
	if (d->vocabulary == NULL || d->class_names != NULL)
		return errmsg_set(msg, TK_EINVAL, "text needs a vocabulary and no class names");
	for (uint32_t i = 0; i < d->classes; i++) {
		uint32_t c = d->vocabulary[i];

		if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return errmsg_set(msg, TK_EINVAL,
				"the vocabulary's entry %u is no Unicode character", i);
		if (i > 0 && c <= d->vocabulary[i - 1])
			return errmsg_set(
				msg, TK_EINVAL, "the vocabulary is not ascending at entry %u", i);
	}
	return TK_OK;
}

/* Names of classes are shown to people: whole, well-formed and without controls. */
static int check_class_names(const struct dataset *d, struct errmsg *msg)
{
	if (d->class_names == NULL || d->vocabulary != NULL)
		return errmsg_set(msg, TK_EINVAL, "dense data need class names and no vocabulary");
	for (uint32_t i = 0; i < d->classes; i++) {
		const char *name = d->class_names[i];
		bool good = memchr(name, '\0', LABEL_BYTES_MAX) != NULL && name[0] != '\0' &&
			    utf8_valid(name);

		for (const char *c = name; good && *c != '\0'; c++)
			good = (unsigned char)*c >= 0x20 && *c != 0x7f;
		if (!good)
			return errmsg_set(msg, TK_EINVAL,
				"the name of class %u is empty, not UTF-8, or holds control "
				"characters",
				i);
	}
	return TK_OK;
}

/* An upper bound of the encoded size: what varies, and room for all that does not. */
static uint64_t encoded_bytes_bound(const struct dataset *d)
{
	uint64_t shards = (uint64_t)d->train.shards + d->validation.shards;
	uint64_t entry = d->kind == SAMPLE_TEXT ? 5 : LABEL_BYTES_MAX + 2;

	return shards * DIGEST_BYTES + d->classes * entry + 4096;
}

static int check_data(const struct dataset *d, struct errmsg *msg)
{
	bool text = d->kind == SAMPLE_TEXT;
	int rc;

	if (!text && d->kind != SAMPLE_F32 && d->kind != SAMPLE_U8)
		return errmsg_set(
			msg, TK_EINVAL, "the kind of samples %d is unknown", (int)d->kind);
	rc = check_u32("features", d->features, text ? 0 : 1, text ? 0 : FEATURES_MAX, msg);
	if (rc == TK_OK)
		rc = check_u32(
			"model.context", d->context, text ? 1 : 0, text ? CONTEXT_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_u32("the number of classes", d->classes, 2, CLASSES_MAX, msg);
	if (rc == TK_OK)
		rc = text ? check_vocabulary(d, msg) : check_class_names(d, msg);
	if (rc == TK_OK && d->train.samples == 0)
		rc = errmsg_set(msg, TK_EINVAL, "there are no training samples");
	if (rc == TK_OK)
		rc = check_part("training", d, &d->train, msg);
	if (rc == TK_OK)
		rc = check_part("validation", d, &d->validation, msg);
	if (rc == TK_OK && encoded_bytes_bound(d) > RECIPE_BYTES_MAX)
		rc = errmsg_set(msg, TK_ELIMIT,
			"the list of shards and classes is larger than %u bytes; use less data",
			RECIPE_BYTES_MAX);
	return rc;
}

static uint32_t first_inputs(const struct model_spec *m, const struct dataset *d)
{
	return m->type == MODEL_CHAR_MLP ? d->context * m->embedding : d->features;
}

uint64_t recipe_parameters(const struct model_spec *spec, const struct dataset *data)
{
	uint64_t inputs = first_inputs(spec, data);
	uint64_t total =
		spec->type == MODEL_CHAR_MLP ? (uint64_t)data->classes * spec->embedding : 0;

	for (uint32_t i = 0; i < spec->hidden_count; i++) {
		total += (inputs + 1) * spec->hidden[i];
		inputs = spec->hidden[i];
	}
	return total + (inputs + 1) * data->classes;
}

static int check_sizes(const struct recipe *r, struct errmsg *msg)
{
	uint64_t parameters = recipe_parameters(&r->model, &r->data);
	uint64_t widths = (uint64_t)first_inputs(&r->model, &r->data) + r->data.classes;

	if (parameters > PARAMETERS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"the model has %llu parameters; at most %llu are supported: make the "
			"hidden layers narrower",
			(unsigned long long)parameters, PARAMETERS_MAX);
	for (uint32_t i = 0; i < r->model.hidden_count; i++)
		widths += r->model.hidden[i];
	if (widths * r->train.batch_size > ACTIVATIONS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"a batch of %u samples takes %llu numbers in the model's layers; at most "
			"%llu are supported: make batch_size or the layers smaller",
			r->train.batch_size, (unsigned long long)widths * r->train.batch_size,
			ACTIVATIONS_MAX);
	return TK_OK;
}

int recipe_validate(const struct recipe *r, struct errmsg *msg)
{
	int rc = TK_OK;

	if (r->numerics != NUMERICS_VERSION)
		return errmsg_set(msg, TK_EINVAL, "numerics %u is not this version's %u",
			r->numerics, NUMERICS_VERSION);
	if (memchr(r->name, '\0', sizeof(r->name)) == NULL || !project_name_valid(r->name))
		return errmsg_set(msg, TK_EINVAL,
			"the project's name must be 1 to %u of a-z, 0-9, '-', '_', '.', beginning "
			"with a letter or digit",
			PROJECT_NAME_MAX - 1);
	rc = check_data(&r->data, msg);
	if (rc == TK_OK)
		rc = check_model(&r->model, &r->data, msg);
	if (rc == TK_OK)
		rc = check_train(&r->train, msg);
	if (rc == TK_OK)
		rc = check_sizes(r, msg);
	return rc;
}

void recipe_close(struct recipe *r)
{
	dataset_close(&r->data);
}
