/* The recipe's canonical bytes (MessagePack; one array for each struct, fields in the struct's order):
 *
 *   [2, numerics, name, seed, model, train, initial, data]
 *   model = [type, loss, [channels, height, width], [layer…]]
 *   layer = [type, name, width, heads, kernel, stride, padding, tied, bias, rate, init_scale]
 *   train = [mode, optimizer, inner_state, learning_rate, learning_rate_end, beta1, beta2, epsilon,
 *            momentum, nesterov, weight_decay, clip, schedule, warmup_steps, run_warmup_steps, batch_size,
 *            accumulate, inner_steps, units_per_round, rounds, trace_every, compression, outer,
 *            outer_learning_rate, outer_momentum, outer_beta1, outer_beta2, outer_epsilon,
 *            outer_weight_decay]
 *           and, unless the merge is the mean: merge, merge_byzantine, merge_iterations, merge_radius
 *   data  = [kind, features, context, token, label, target_mean, target_deviation,
 *            [code point…] or [class name…] or [], part, part]
 *   part  = [samples, shard_samples, digests as one bin]
 *
 * Reals are float32. The list of classes is empty for bytes, which have 256, and for numbers, which have
 * none. A recipe has exactly one encoding: what decodes but encodes otherwise is refused. */
#include "tasks/project/recipe.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"
#include "tasks/math/engine.h"

#define RECIPE_FORMAT 2u
#define RECIPE_FIELDS 8u
#define MODEL_FIELDS  4u
#define LAYER_FIELDS  11u
#define TRAIN_FIELDS  29u
#define MERGE_FIELDS  4u /* more, unless the merge is the mean */
#define DATA_FIELDS   10u
#define PART_FIELDS   3u

static void pack_layer(struct packer *p, const struct layer *l)
{
	pack_array(p, LAYER_FIELDS);
	pack_u64(p, l->type);
	pack_text(p, l->name);
	pack_u64(p, l->width);
	pack_u64(p, l->heads);
	pack_u64(p, l->kernel);
	pack_u64(p, l->stride);
	pack_u64(p, l->padding);
	pack_u64(p, l->tied);
	pack_bool(p, l->bias);
	pack_f32(p, l->rate);
	pack_f32(p, l->init_scale);
}

static void pack_model(struct packer *p, const struct model_spec *m)
{
	pack_array(p, MODEL_FIELDS);
	pack_u64(p, m->type);
	pack_u64(p, m->loss);
	pack_array(p, 3);
	for (uint32_t i = 0; i < 3; i++)
		pack_u64(p, m->image[i]);
	pack_array(p, m->layer_count);
	for (uint32_t i = 0; i < m->layer_count; i++)
		pack_layer(p, &m->layers[i]);
}

static void pack_outer(struct packer *p, const struct train_spec *t)
{
	pack_u64(p, t->outer);
	pack_f32(p, t->outer_learning_rate);
	pack_f32(p, t->outer_momentum);
	pack_f32(p, t->outer_beta1);
	pack_f32(p, t->outer_beta2);
	pack_f32(p, t->outer_epsilon);
	pack_f32(p, t->outer_weight_decay);
}

static void pack_merge(struct packer *p, const struct train_spec *t)
{
	pack_u64(p, t->merge);
	pack_u64(p, t->merge_byzantine);
	pack_u64(p, t->merge_iterations);
	pack_f32(p, t->merge_radius);
}

static void pack_train(struct packer *p, const struct train_spec *t)
{
	bool mean = t->merge == MERGE_MEAN;

	pack_array(p, mean ? TRAIN_FIELDS : TRAIN_FIELDS + MERGE_FIELDS);
	pack_u64(p, t->mode);
	pack_u64(p, t->optimizer);
	pack_u64(p, t->inner_state);
	pack_f32(p, t->learning_rate);
	pack_f32(p, t->learning_rate_end);
	pack_f32(p, t->beta1);
	pack_f32(p, t->beta2);
	pack_f32(p, t->epsilon);
	pack_f32(p, t->momentum);
	pack_bool(p, t->nesterov);
	pack_f32(p, t->weight_decay);
	pack_f32(p, t->clip);
	pack_u64(p, t->schedule);
	pack_u64(p, t->warmup_steps);
	pack_u64(p, t->run_warmup_steps);
	pack_u64(p, t->batch_size);
	pack_u64(p, t->accumulate);
	pack_u64(p, t->inner_steps);
	pack_u64(p, t->units_per_round);
	pack_u64(p, t->rounds);
	pack_u64(p, t->trace_every);
	pack_u64(p, t->compression);
	pack_outer(p, t);
	if (!mean)
		pack_merge(p, t);
}

static void pack_part(struct packer *p, const struct dataset_part *part)
{
	pack_array(p, PART_FIELDS);
	pack_u64(p, part->samples);
	pack_u64(p, part->shard_samples);
	pack_bin(p, part->digests, (size_t)part->shards * DIGEST_BYTES);
}

/* How many classes the recipe lists: bytes need no list, numbers have no classes. */
static uint32_t listed_classes(const struct dataset *d)
{
	return d->token == TOKEN_BYTE || d->label == LABEL_NUMBER ? 0 : d->classes;
}

static void pack_data(struct packer *p, const struct dataset *d)
{
	uint32_t listed = listed_classes(d);

	pack_array(p, DATA_FIELDS);
	pack_u64(p, d->kind);
	pack_u64(p, d->features);
	pack_u64(p, d->context);
	pack_u64(p, d->token);
	pack_u64(p, d->label);
	pack_f32(p, d->target_mean);
	pack_f32(p, d->target_deviation);
	pack_array(p, listed);
	for (uint32_t i = 0; i < listed; i++) {
		if (d->kind == SAMPLE_TEXT)
			pack_u64(p, d->vocabulary[i]);
		else
			pack_text(p, d->class_names[i]);
	}
	pack_part(p, &d->train);
	pack_part(p, &d->validation);
}

int recipe_encode(const struct recipe *r, struct bytes *out, struct errmsg *msg)
{
	size_t before = out->len;
	struct packer p;

	pack_begin(&p, out);
	pack_array(&p, RECIPE_FIELDS);
	pack_u64(&p, RECIPE_FORMAT);
	pack_u64(&p, r->numerics);
	pack_text(&p, r->name);
	pack_u64(&p, r->seed);
	pack_model(&p, &r->model);
	pack_train(&p, &r->train);
	pack_digest(&p, &r->initial);
	pack_data(&p, &r->data);
	if (pack_end(&p) == TK_OK)
		return TK_OK;
	out->len = before;
	return errmsg_set(msg, TK_ENOMEM, "not enough memory to encode the recipe of %s", r->name);
}

/* Reads the head of an array that has exactly n elements. */
static void read_tuple(struct mp_reader *in, const char *field, uint32_t n)
{
	mp_array(in, field, n, n);
}

static void read_layer(struct mp_reader *in, struct layer *l)
{
	read_tuple(in, "layer", LAYER_FIELDS);
	l->type = mp_u32(in, "layer.type", LAYER_EMBEDDING, LAYER_TYPE_LAST);
	mp_text(in, "layer.name", l->name, sizeof(l->name));
	l->width = mp_u32(in, "layer.width", 0, WIDTH_MAX);
	l->heads = mp_u32(in, "layer.heads", 0, HEADS_MAX);
	l->kernel = mp_u32(in, "layer.kernel", 0, WINDOW_MAX);
	l->stride = mp_u32(in, "layer.stride", 0, WINDOW_MAX);
	l->padding = mp_u32(in, "layer.padding", 0, WINDOW_MAX);
	l->tied = mp_u32(in, "layer.tied", 0, LAYERS_MAX);
	l->bias = mp_bool(in, "layer.bias");
	l->rate = mp_f32(in, "layer.rate");
	l->init_scale = mp_f32(in, "layer.init_scale");
}

/* mp_array bounds the count by the bytes at hand, of which a layer takes at least 19. */
static int read_model(struct mp_reader *in, struct model_spec *m)
{
	uint32_t count;

	read_tuple(in, "model", MODEL_FIELDS);
	m->type = mp_u32(in, "model.type", MODEL_LOGISTIC, MODEL_LAYERS);
	m->loss = mp_u32(in, "model.loss", LOSS_CROSS_ENTROPY, LOSS_SQUARED_ERROR);
	read_tuple(in, "model.image", 3);
	for (uint32_t i = 0; i < 3; i++)
		m->image[i] = mp_u32(in, "model.image", 0, FEATURES_MAX);
	count = mp_array(in, "model.layers", 1, LAYERS_MAX);
	if (in->error != TK_OK)
		return TK_OK; /* mp_end reports it */
	m->layers = mem_calloc(count, sizeof(*m->layers));
	if (m->layers == NULL)
		return TK_ENOMEM;
	m->layer_count = count;
	for (uint32_t i = 0; i < count; i++)
		read_layer(in, &m->layers[i]);
	return TK_OK;
}

static void read_outer(struct mp_reader *in, struct train_spec *t)
{
	t->outer = mp_u32(in, "train.outer.optimizer", OUTER_SGD, OUTER_ADAMW);
	t->outer_learning_rate = mp_f32(in, "train.outer.learning_rate");
	t->outer_momentum = mp_f32(in, "train.outer.momentum");
	t->outer_beta1 = mp_f32(in, "train.outer.beta1");
	t->outer_beta2 = mp_f32(in, "train.outer.beta2");
	t->outer_epsilon = mp_f32(in, "train.outer.epsilon");
	t->outer_weight_decay = mp_f32(in, "train.outer.weight_decay");
}

static void read_train(struct mp_reader *in, struct train_spec *t)
{
	uint32_t fields = mp_array(in, "train", TRAIN_FIELDS, TRAIN_FIELDS + MERGE_FIELDS);

	t->mode = mp_u32(in, "train.mode", MODE_LOCAL, MODE_GRADIENT);
	t->optimizer = mp_u32(in, "train.optimizer", 0, OPTIMIZER_ADAMW);
	t->inner_state = mp_u32(in, "train.inner_state", 0, INNER_AVERAGE);
	t->learning_rate = mp_f32(in, "train.learning_rate");
	t->learning_rate_end = mp_f32(in, "train.learning_rate_end");
	t->beta1 = mp_f32(in, "train.beta1");
	t->beta2 = mp_f32(in, "train.beta2");
	t->epsilon = mp_f32(in, "train.epsilon");
	t->momentum = mp_f32(in, "train.momentum");
	t->nesterov = mp_bool(in, "train.nesterov");
	t->weight_decay = mp_f32(in, "train.weight_decay");
	t->clip = mp_f32(in, "train.clip");
	t->schedule = mp_u32(in, "train.schedule", SCHEDULE_CONSTANT, SCHEDULE_LINEAR);
	t->warmup_steps = mp_u32(in, "train.warmup_steps", 0, INNER_STEPS_MAX);
	t->run_warmup_steps = mp_u32(in, "train.run_warmup_steps", 0, UINT32_MAX);
	t->batch_size = mp_u32(in, "train.batch_size", 1, BATCH_MAX);
	t->accumulate = mp_u32(in, "train.accumulate", 1, ACCUMULATE_MAX);
	t->inner_steps = mp_u32(in, "train.inner_steps", 1, INNER_STEPS_MAX);
	t->units_per_round = mp_u32(in, "train.units_per_round", 1, UNITS_PER_ROUND_MAX);
	t->rounds = mp_u32(in, "train.rounds", 1, ROUNDS_MAX);
	t->trace_every = mp_u32(in, "train.trace_every", 1, INNER_STEPS_MAX);
	t->compression = mp_u32(in, "train.compression", COMPRESSION_NONE, COMPRESSION_SPARSELOCO);
	read_outer(in, t);
	t->merge = MERGE_MEAN;
	if (fields == TRAIN_FIELDS)
		return;
	t->merge = mp_u32(in, "train.merge", MERGE_MEDIAN_NORM_CLIP, MERGE_MULTI_KRUM);
	t->merge_byzantine = mp_u32(in, "train.merge_byzantine", 0, UNITS_PER_ROUND_MAX);
	t->merge_iterations = mp_u32(in, "train.merge_iterations", 0, MERGE_ITERATIONS_MAX);
	t->merge_radius = mp_f32(in, "train.merge_radius");
}

/* The code points or the names of the classes; mp_array bounds the count by the bytes at hand, so a
 * name's slot of LABEL_BYTES_MAX answers for at least one byte that has arrived. */
static int read_classes(struct mp_reader *in, struct dataset *d)
{
	uint32_t count = mp_array(in, "data.classes", 0, CLASSES_MAX);

	if (in->error != TK_OK)
		return TK_OK; /* mp_end reports it */
	d->classes = d->token == TOKEN_BYTE && count == 0 ? BYTE_CLASSES : count;
	if (count == 0)
		return TK_OK;
	if (d->kind == SAMPLE_TEXT) {
		d->vocabulary = mem_calloc(count, sizeof(*d->vocabulary));
		if (d->vocabulary == NULL)
			return TK_ENOMEM;
		for (uint32_t i = 0; i < count; i++)
			d->vocabulary[i] = mp_u32(in, "data.vocabulary", 0, 0x10ffff);
		return TK_OK;
	}
	d->class_names = mem_calloc(count, sizeof(*d->class_names));
	if (d->class_names == NULL)
		return TK_ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		mp_text(in, "data.class_names", d->class_names[i], LABEL_BYTES_MAX);
	return TK_OK;
}

static int read_part(struct mp_reader *in, const char *field, struct dataset_part *p)
{
	struct span digests;

	read_tuple(in, field, PART_FIELDS);
	p->samples = mp_u64(in, field, 0, UINT64_MAX);
	p->shard_samples = mp_u32(in, field, 0, UINT32_MAX);
	digests = mp_bin(in, field, SHARDS_MAX * DIGEST_BYTES);
	/* a length that is no multiple leaves a tail, which the second encoding then lacks */
	p->shards = (uint32_t)(digests.len / DIGEST_BYTES);
	if (in->error != TK_OK || p->shards == 0)
		return TK_OK;
	p->digests = mem_dup(digests.data, (size_t)p->shards * DIGEST_BYTES);
	return p->digests != NULL ? TK_OK : TK_ENOMEM;
}

static int read_data(struct mp_reader *in, struct dataset *d)
{
	int rc;

	read_tuple(in, "data", DATA_FIELDS);
	d->kind = mp_u32(in, "data.kind", SAMPLE_F32, SAMPLE_TEXT);
	d->features = mp_u32(in, "data.features", 0, FEATURES_MAX);
	d->context = mp_u32(in, "data.context", 0, CONTEXT_MAX);
	d->token = mp_u32(in, "data.token", 0, TOKEN_BYTE);
	d->label = mp_u32(in, "data.label", LABEL_CLASS, LABEL_NUMBER);
	d->target_mean = mp_f32(in, "data.target_mean");
	d->target_deviation = mp_f32(in, "data.target_deviation");
	rc = read_classes(in, d);
	if (rc == TK_OK)
		rc = read_part(in, "data.train", &d->train);
	if (rc == TK_OK)
		rc = read_part(in, "data.validation", &d->validation);
	return rc;
}

static int read_recipe(struct recipe *r, struct span bytes, struct errmsg *msg)
{
	struct mp_reader in;
	uint32_t format;
	int rc;

	mp_begin(&in, bytes);
	read_tuple(&in, "recipe", RECIPE_FIELDS);
	format = mp_u32(&in, "format", 0, UINT32_MAX);
	r->numerics = mp_u32(&in, "numerics", 0, UINT32_MAX);
	if (in.error == TK_OK && format != RECIPE_FORMAT)
		return errmsg_set(msg, TK_EUNSUPPORTED,
			"the recipe has format %u; this version reads format %u", format,
			RECIPE_FORMAT);
	if (in.error == TK_OK && r->numerics != NUMERICS_VERSION)
		return errmsg_set(msg, TK_EUNSUPPORTED,
			"the recipe wants version %u of the arithmetic; this version has %u",
			r->numerics, NUMERICS_VERSION);
	mp_text(&in, "name", r->name, sizeof(r->name));
	r->seed = mp_u64(&in, "seed", 0, UINT64_MAX);
	rc = read_model(&in, &r->model);
	if (rc == TK_OK) {
		read_train(&in, &r->train);
		mp_digest(&in, "initial", &r->initial);
		rc = read_data(&in, &r->data);
	}
	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory to read a recipe");
	rc = mp_end(&in, msg);
	return rc == TK_OK ? TK_OK : errmsg_prefix(msg, rc, "malformed recipe");
}

static int check_canonical(const struct recipe *r, struct span in, struct errmsg *msg)
{
	struct bytes again = {0};
	int rc = recipe_encode(r, &again, msg);

	if (rc == TK_OK && !span_equal(bytes_span(&again), in))
		rc = errmsg_set(msg, TK_EPROTO, "the recipe is not in its canonical encoding");
	bytes_close(&again);
	return rc;
}

int recipe_decode(struct recipe *out, struct span in, struct errmsg *msg)
{
	struct recipe r = {0};
	int rc;

	if (in.len > RECIPE_BYTES_MAX)
		return errmsg_set(msg, TK_ELIMIT, "a recipe of %zu bytes; at most %u are accepted",
			in.len, RECIPE_BYTES_MAX);
	rc = read_recipe(&r, in, msg);
	if (rc == TK_OK)
		rc = recipe_validate(&r, msg);
	if (rc == TK_EINVAL)
		rc = TK_EPROTO; /* whoever sent it should have validated it */
	if (rc == TK_OK)
		rc = check_canonical(&r, in, msg);
	if (rc == TK_OK)
		*out = r;
	else
		recipe_close(&r);
	return rc;
}
