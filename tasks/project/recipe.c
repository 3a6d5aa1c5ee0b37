/* What makes a recipe sound: every limit, and every way in which its parts must fit together. The data are
 * judged here, training and model in recipe_train.c and recipe_model.c.
 *
 * The same checks judge what an owner wrote and what a stranger sent, so nothing here trusts its input,
 * or multiplies before both factors are bounded. */
#include "tasks/project/recipe_check.h"

#include <float.h>
#include <math.h>
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

int check_u32(const char *field, uint32_t v, uint32_t min, uint32_t max, struct errmsg *msg)
{
	if (v >= min && v <= max)
		return TK_OK;
	if (max == 0)
		return errmsg_set(
			msg, TK_EINVAL, "%s is %u, but is not used here: it must be 0", field, v);
	return errmsg_set(
		msg, TK_EINVAL, "%s is %u; it must be between %u and %u", field, v, min, max);
}

int check_f32(const char *field, float v, double min, double max, struct errmsg *msg)
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
	if (d->class_names != NULL || (d->vocabulary == NULL) != (d->token == TOKEN_BYTE))
		return errmsg_set(msg, TK_EINVAL,
			"characters need a vocabulary, bytes need none, and neither class names");
	if (d->token == TOKEN_BYTE)
		return check_u32(
			"the number of bytes", d->classes, BYTE_CLASSES, BYTE_CLASSES, msg);
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
	if (d->vocabulary != NULL || (d->class_names == NULL) != (d->label == LABEL_NUMBER))
		return errmsg_set(msg, TK_EINVAL,
			"classes need names, numbers need none, and neither a vocabulary");
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

/* Labels and tokens are of a kind that goes with the samples. */
static int check_kinds(const struct dataset *d, struct errmsg *msg)
{
	bool text = d->kind == SAMPLE_TEXT;
	bool number = d->label == LABEL_NUMBER;
	int rc = check_u32("data.token", d->token, text, text ? TOKEN_BYTE : 0, msg);

	if (rc == TK_OK)
		rc = check_u32("data.label", d->label, LABEL_CLASS,
			text ? LABEL_CLASS : LABEL_NUMBER, msg);
	if (rc == TK_OK)
		rc = check_f32("data.target_mean", d->target_mean, number ? -FLT_MAX : 0,
			number ? FLT_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_f32("data.target_deviation", d->target_deviation, number ? FLT_MIN : 0,
			number ? FLT_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_u32("the number of classes", d->classes, number ? 0 : 2,
			number ? 0 : CLASSES_MAX, msg);
	return rc;
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
		rc = check_kinds(d, msg);
	if (rc == TK_OK)
		rc = text ? check_vocabulary(d, msg) : check_class_names(d, msg);
	if (rc == TK_OK && d->train.samples == 0)
		rc = errmsg_set(msg, TK_EINVAL, "there are no training samples");
	if (rc == TK_OK)
		rc = check_part("training", d, &d->train, msg);
	if (rc == TK_OK)
		rc = check_part("validation", d, &d->validation, msg);
	return rc;
}

/* An upper bound of the encoded size: what varies, and room for all that does not. */
static uint64_t encoded_bytes_bound(const struct recipe *r)
{
	const struct dataset *d = &r->data;
	uint64_t shards = (uint64_t)d->train.shards + d->validation.shards;
	uint64_t entry = d->kind == SAMPLE_TEXT ? 5 : LABEL_BYTES_MAX + 2;

	return shards * DIGEST_BYTES + d->classes * entry +
	       r->model.layer_count * (uint64_t)(LAYER_NAME_MAX + 64) + 4096;
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
		rc = check_train(&r->train, msg);
	if (rc == TK_OK)
		rc = check_model(
			&r->model, &r->data, r->train.batch_size / r->train.accumulate, msg);
	if (rc == TK_OK && encoded_bytes_bound(r) > RECIPE_BYTES_MAX)
		rc = errmsg_set(msg, TK_ELIMIT,
			"the list of shards and classes is larger than %u bytes; use less data",
			RECIPE_BYTES_MAX);
	return rc;
}

void recipe_close(struct recipe *r)
{
	model_spec_close(&r->model);
	dataset_close(&r->data);
}
