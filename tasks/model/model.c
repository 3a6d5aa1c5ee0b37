/* See model.h. Shapes, the parameter block and its initial values; gradient.c has the passes.
 *
 * One walk over the layers finds every shape and places every tensor; all sizes are 64-bit products of
 * numbers that were bounded before. */
#include "tasks/model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/math/philox.h"
#include "tasks/model/layer.h"

/* What the walk carries along. */
struct walk {
	struct model *model;
	struct shape shape;
	uint32_t open[RESIDUAL_DEPTH_MAX]; /* branches without their join so far */
	uint32_t depth;
	uint32_t dropouts;
};

static struct shape data_shape(const struct model_spec *spec, const struct dataset *data)
{
	if (data->kind == SAMPLE_TEXT)
		return (struct shape){data->context, data->classes, 0, 0, 0}; /* one-hot */
	return (struct shape){1, data->features, spec->image[0], spec->image[1], spec->image[2]};
}

static int check_image(
	const struct model_spec *spec, const struct dataset *data, struct errmsg *msg)
{
	uint64_t c = spec->image[0], h = spec->image[1], w = spec->image[2];

	if (c == 0 && h == 0 && w == 0)
		return TK_OK;
	if (c == 0 || h == 0 || w == 0 || c > FEATURES_MAX || h > FEATURES_MAX ||
		w > FEATURES_MAX || c * h * w != data->features)
		return errmsg_set(msg, TK_EINVAL,
			"images of %u x %u x %u do not fit samples of %u numbers: correct "
			"model.image",
			spec->image[0], spec->image[1], spec->image[2], data->features);
	return TK_OK;
}

static int join_name(char *out, size_t room, const char *module, const char *what)
{
	size_t n = strnlen(module, LAYER_NAME_MAX);
	const char *dot = n > 0 && module[n - 1] == '_' ? "" : ".";

	if (n == 0 || n >= LAYER_NAME_MAX)
		return TK_EINVAL;
	snprintf(out, room, "%s%s%s", module, dot, what);
	return TK_OK;
}

/* Puts a tensor at the end of the block; its shape is set. */
static int place(struct model *m, const struct layer *spec, const char *what,
	const struct tensor *shape, size_t *offset, struct errmsg *msg)
{
	struct tensor *t = &m->tensors[m->tensor_count];

	*offset = NO_PARAMETERS;
	if (shape->dimensions == 0)
		return TK_OK;
	*t = *shape;
	if (join_name(t->name, sizeof(t->name), spec->name, what) != TK_OK)
		return errmsg_set(
			msg, TK_EINVAL, "it has parameters and so needs a name of its own");
	t->count = 1;
	for (uint32_t d = 0; d < t->dimensions; d++) {
		if (t->shape[d] == 0 || t->count > PARAMETERS_MAX / t->shape[d])
			return errmsg_set(msg, TK_ELIMIT,
				"its %s is larger than %llu numbers: make the layer narrower", what,
				(unsigned long long)PARAMETERS_MAX);
		t->count *= t->shape[d];
	}
	t->offset = m->parameters;
	*offset = t->offset;
	m->parameters += t->count;
	m->tensor_count++;
	return TK_OK;
}

/* A linear layer may share an embedding's weight: same shape, no tensor of its own. */
static int tie(struct model *m, uint32_t index, struct errmsg *msg)
{
	struct placed_layer *p = &m->layers[index];
	struct placed_layer *embedding;

	if (p->spec->tied - 1 >= index ||
		m->layers[p->spec->tied - 1].spec->type != LAYER_EMBEDDING)
		return errmsg_set(msg, TK_EINVAL, "it is tied to layer %u, which is no embedding",
			p->spec->tied - 1);
	embedding = &m->layers[p->spec->tied - 1];
	if (embedding->out.width != p->in.width || m->data->classes != p->out.width)
		return errmsg_set(msg, TK_EINVAL,
			"it shares a weight of %u x %u but has %u inputs and %u outputs",
			m->data->classes, embedding->out.width, p->in.width, p->out.width);
	p->weight = embedding->weight;
	/* The backward pass meets the last of them first; all others add. */
	if (embedding->partner != 0)
		m->layers[embedding->partner].adds_weight = true;
	embedding->adds_weight = true;
	embedding->partner = index;
	return TK_OK;
}

static int place_tensors(struct model *m, uint32_t index, struct errmsg *msg)
{
	struct placed_layer *p = &m->layers[index];
	const struct layer_ops *ops = layer_ops_of(p->spec->type);
	struct tensor weight = {0}, bias = {0};
	uint32_t fan_in = 0;
	int rc;

	p->weight = p->bias = NO_PARAMETERS;
	if (ops->tensors == NULL)
		return TK_OK;
	ops->tensors(p, &weight, &bias, &fan_in);
	if (p->spec->tied != 0) {
		rc = tie(m, index, msg);
	} else {
		rc = place(m, p->spec, "weight", &weight, &p->weight, msg);
	}
	if (rc == TK_OK)
		rc = place(m, p->spec, "bias", &bias, &p->bias, msg);
	if (rc == TK_OK && m->parameters > PARAMETERS_MAX)
		rc = errmsg_set(msg, TK_ELIMIT,
			"up to here the model has %zu parameters; at most %llu are supported: make "
			"its layers narrower",
			m->parameters, (unsigned long long)PARAMETERS_MAX);
	return rc;
}

static int open_branch(struct walk *w, uint32_t index, struct errmsg *msg)
{
	if (w->depth == RESIDUAL_DEPTH_MAX)
		return errmsg_set(msg, TK_ELIMIT, "more than %u residuals are open at once",
			RESIDUAL_DEPTH_MAX);
	w->open[w->depth++] = index;
	return TK_OK;
}

static int close_branch(struct walk *w, uint32_t index, struct errmsg *msg)
{
	struct placed_layer *p = &w->model->layers[index];
	struct placed_layer *branch;

	if (w->depth == 0)
		return errmsg_set(msg, TK_EINVAL, "no residual is open that it could end");
	p->partner = w->open[--w->depth];
	branch = &w->model->layers[p->partner];
	branch->partner = index;
	if (memcmp(&branch->in, &p->in, sizeof(p->in)) != 0)
		return errmsg_set(msg, TK_EINVAL,
			"it gives %u x %u numbers, which cannot be added to the %u x %u "
			"that went in: end it as wide as it begins",
			p->in.positions, p->in.width, branch->in.positions, branch->in.width);
	return TK_OK;
}

static int walk_layer(struct walk *w, uint32_t index, struct errmsg *msg)
{
	struct model *m = w->model;
	struct placed_layer *p = &m->layers[index];
	const struct layer_ops *ops = layer_ops_of(p->spec->type);
	int rc;

	if (ops == NULL)
		return errmsg_set(
			msg, TK_EINVAL, "there is no layer type %u", (unsigned)p->spec->type);
	if ((p->spec->type == LAYER_EMBEDDING) != (index == 0 && m->data->kind == SAMPLE_TEXT))
		return errmsg_set(msg, TK_EINVAL,
			"an embedding is the first layer of a model of texts, and only there");
	p->in = w->shape;
	rc = ops->shape(p, msg);
	if (rc == TK_OK && p->spec->type == LAYER_BRANCH)
		rc = open_branch(w, index, msg);
	if (rc == TK_OK && p->spec->type == LAYER_JOIN)
		rc = close_branch(w, index, msg);
	if (rc != TK_OK)
		return rc;
	if (p->spec->type == LAYER_DROPOUT)
		p->dropout_lane = w->dropouts++;
	m->activations += (size_t)p->out.positions * p->out.width;
	if (ops->kept_floats != NULL)
		m->activations += ops->kept_floats(p);
	if (m->activations > ACTIVATIONS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"up to here a sample needs %zu numbers; at most %llu are supported: make "
			"its layers narrower",
			m->activations, (unsigned long long)ACTIVATIONS_MAX);
	w->shape = p->out;
	return place_tensors(m, index, msg);
}

static int prefix_layer(const struct layer *spec, uint32_t index, int rc, struct errmsg *msg)
{
	const struct layer_ops *ops = layer_ops_of(spec->type);
	const char *type = ops != NULL ? ops->name : "unknown";

	if (spec->name[0] != '\0')
		return errmsg_prefix(msg, rc, "layer %u (%s \"%.*s\")", index, type,
			(int)sizeof(spec->name), spec->name);
	return errmsg_prefix(msg, rc, "layer %u (%s)", index, type);
}

/* What the loss wants of the last layer. */
static int check_output(const struct model *m, struct errmsg *msg)
{
	const struct dataset *d = m->data;
	bool number = d->label == LABEL_NUMBER;
	uint32_t want = m->spec->loss == LOSS_CROSS_ENTROPY ? d->classes : 1;

	if (number != (m->spec->loss == LOSS_SQUARED_ERROR))
		return errmsg_set(msg, TK_EINVAL,
			number ? "the labels are numbers: the loss must be the squared error"
			       : "the squared error needs labels that are numbers");
	if (m->spec->loss == LOSS_BINARY_CROSS_ENTROPY && d->classes != 2)
		return errmsg_set(msg, TK_EINVAL,
			"binary cross-entropy is for two classes; the data have %u: use the "
			"cross-entropy",
			d->classes);
	if (m->output.channels != 0 || m->output.width != want)
		return errmsg_set(msg, TK_EINVAL,
			"the last layer gives %u numbers%s where the loss wants %u: end with a "
			"linear layer without a width of its own",
			m->output.width, m->output.channels != 0 ? " as an image" : "", want);
	if (m->output.positions != 1 && m->spec->loss != LOSS_CROSS_ENTROPY)
		return errmsg_set(msg, TK_EINVAL,
			"this loss wants one output, but the last layer has %u positions",
			m->output.positions);
	return TK_OK;
}

static int by_name(const void *a, const void *b)
{
	const struct tensor *const *left = a;
	const struct tensor *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

static int check_names(const struct model *m, struct errmsg *msg)
{
	const struct tensor **sorted = mem_calloc(m->tensor_count, sizeof(const struct tensor *));
	int rc = TK_OK;

	if (sorted == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the model's layers");
	for (uint32_t i = 0; i < m->tensor_count; i++)
		sorted[i] = &m->tensors[i];
	qsort(sorted, m->tensor_count, sizeof(*sorted), by_name);
	for (uint32_t i = 1; i < m->tensor_count && rc == TK_OK; i++) {
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			rc = errmsg_set(msg, TK_EINVAL,
				"two layers have parameters called \"%s\": give each a name of its "
				"own",
				sorted[i]->name);
	}
	mem_free(sorted);
	return rc;
}

static int walk_all(struct walk *w, struct errmsg *msg)
{
	struct model *m = w->model;

	for (uint32_t i = 0; i < m->layer_count; i++) {
		int rc = walk_layer(w, i, msg);

		if (rc != TK_OK)
			return prefix_layer(m->layers[i].spec, i, rc, msg);
	}
	if (w->depth != 0)
		return errmsg_set(msg, TK_EINVAL, "layer %u (residual): it has no end",
			w->open[w->depth - 1]);
	if (m->tensor_count == 0)
		return errmsg_set(msg, TK_EINVAL,
			"the model has nothing to learn: no layer has "
			"parameters");
	m->output = w->shape;
	m->labels = w->shape.positions;
	while (m->layers[m->lowest].weight == NO_PARAMETERS)
		m->lowest++;
	return TK_OK;
}

int model_init(struct model *m, const struct model_spec *spec, const struct dataset *data,
	struct errmsg *msg)
{
	struct model made = {.spec = spec, .data = data, .layer_count = spec->layer_count};
	struct walk w = {.model = &made, .shape = data_shape(spec, data)};
	int rc;

	if (spec->layer_count == 0 || spec->layer_count > LAYERS_MAX)
		return errmsg_set(msg, TK_ELIMIT, "a model has 1 to %u layers; this one has %u",
			LAYERS_MAX, spec->layer_count);
	rc = check_image(spec, data, msg);
	if (rc != TK_OK)
		return rc;
	made.layers = mem_calloc(spec->layer_count, sizeof(*made.layers));
	made.tensors = mem_calloc(2 * (size_t)spec->layer_count, sizeof(*made.tensors));
	if (made.layers == NULL || made.tensors == NULL) {
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the model's layers");
		goto out;
	}
	for (uint32_t i = 0; i < spec->layer_count; i++)
		made.layers[i].spec = &spec->layers[i];
	rc = walk_all(&w, msg);
	if (rc == TK_OK)
		rc = check_output(&made, msg);
	if (rc == TK_OK)
		rc = check_names(&made, msg);
out:
	if (rc == TK_OK)
		*m = made;
	else
		model_close(&made);
	return rc;
}

void model_close(struct model *m)
{
	mem_free(m->layers);
	mem_free(m->tensors);
	*m = (struct model){0};
}

/* n values around 0 from the block's index `first` on: normal with a deviation, or uniform in ±bound. */
static void draw_normal(uint64_t seed, size_t first, size_t n, float deviation, float *parameters)
{
	for (size_t i = first; i < first + n; i++)
		parameters[i] = philox_normal(seed, STREAM_INIT, i) * deviation;
}

static void draw_uniform(uint64_t seed, size_t first, size_t n, float bound, float *parameters)
{
	for (size_t i = first; i < first + n; i++)
		parameters[i] = (2.0f * philox_uniform(seed, STREAM_INIT, 0, i) - 1.0f) * bound;
}

static void fill(float *x, size_t n, float value)
{
	for (size_t i = 0; i < n; i++)
		x[i] = value;
}

static size_t elements(const struct tensor *t)
{
	size_t n = t->dimensions == 0 ? 0 : 1;

	for (uint32_t d = 0; d < t->dimensions; d++)
		n *= t->shape[d];
	return n;
}

static void initialize_layer(const struct placed_layer *p, uint64_t seed, float *parameters)
{
	const struct layer_ops *ops = layer_ops_of(p->spec->type);
	struct tensor weight = {0}, bias = {0};
	bool tied = p->spec->tied != 0;
	uint32_t fan_in = 0;
	size_t weights, biases;

	if (ops->tensors == NULL)
		return;
	ops->tensors(p, &weight, &bias, &fan_in);
	weights = tied ? 0 : elements(&weight);
	biases = elements(&bias);
	if (p->spec->type == LAYER_LAYER_NORM || p->spec->type == LAYER_GROUP_NORM) {
		fill(parameters + p->weight, weights, 1);
		if (biases != 0)
			fill(parameters + p->bias, biases, 0);
	} else if (p->spec->init_scale != 0) {
		draw_normal(seed, p->weight, weights, p->spec->init_scale, parameters);
		if (biases != 0)
			fill(parameters + p->bias, biases, 0);
	} else if (fan_in == 0) {
		draw_normal(seed, p->weight, weights, 1, parameters);
	} else {
		float bound = 1.0f / sqrtf((float)fan_in);

		draw_uniform(seed, p->weight, weights, bound, parameters);
		if (biases != 0)
			draw_uniform(seed, p->bias, biases, bound, parameters);
	}
}

void model_initialize(const struct model *m, uint64_t seed, float *parameters)
{
	for (uint32_t l = 0; l < m->layer_count; l++)
		initialize_layer(&m->layers[l], seed, parameters);
}

double model_step_flops(const struct model *m, size_t rows)
{
	double flops = 0;

	for (uint32_t l = 0; l < m->layer_count; l++) {
		const struct layer_ops *ops = layer_ops_of(m->layers[l].spec->type);

		/* forward, gradient of the weights and, but for the lowest layer, of the input */
		if (ops->flops != NULL)
			flops += (double)rows * ops->flops(&m->layers[l]) * (l > m->lowest ? 3 : 2);
	}
	return flops + 16.0 * (double)m->parameters;
}
