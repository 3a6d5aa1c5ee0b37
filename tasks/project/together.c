/* What the keys of a project mean for each other; see reader.h. Each rule speaks only when what it rests on
 * is known, so that one slip is one error. */
#include "tasks/project/reader.h"

/* Adds a fault about a key, where the key or else its section stands. */
#define FAULT(r, path, ...)                                                                        \
	fault_add(&(r)->faults, reader_place(r, path), TK_EINVAL, path ": " __VA_ARGS__)

static const char *name_of(const char *path, int value)
{
	return key_choice_name(&project_keys[key_index(path)], value);
}

/* Which files of data there must be, and which exclude each other. */
static void check_files(struct reader *r)
{
	bool idx = r->project.data.format == DATA_IDX;

	if (idx && !reader_given(r, "data.labels"))
		fault_add(&r->faults, reader_place(r, "data.format"), TK_EINVAL,
			"data.labels: missing; IDX keeps the labels in a file of their own: name "
			"it");
	if (reader_given(r, "data.validation_path") && reader_given(r, "data.validation_fraction"))
		fault_add(&r->faults, reader_place(r, "data.validation_fraction"), TK_EINVAL,
			"data.validation_fraction: has no meaning beside validation_path; remove "
			"one of the two");
	if (idx && reader_given(r, "data.validation_path") &&
		!reader_given(r, "data.validation_labels"))
		fault_add(&r->faults, reader_place(r, "data.validation_path"), TK_EINVAL,
			"data.validation_labels: missing; name the file with the labels of "
			"validation_path");
	if (idx && reader_given(r, "data.validation_labels") &&
		!reader_given(r, "data.validation_path"))
		fault_add(&r->faults, reader_place(r, "data.validation_labels"), TK_EINVAL,
			"data.validation_labels: has no meaning without validation_path; add the "
			"file of images");
}

/* Models of text want text, the others want tables or images. */
static void check_model_format(struct reader *r)
{
	const struct project *p = &r->project;
	bool text = p->data.format == DATA_TEXT;
	bool text_model = p->model.type == MODEL_CHAR_MLP || p->model.type == MODEL_GPT;
	const char *name = name_of("model.type", (int)p->model.type);

	if (p->model.type == 0 || p->data.format == 0)
		return;
	if (text_model && !text)
		FAULT(r, "model.type",
			"%s learns from format: text; for tables and images use mlp, cnn or "
			"logistic",
			name);
	if (!text_model && text && p->model.type != MODEL_LAYERS)
		FAULT(r, "model.type",
			"%s learns from tables and images; for format: text use gpt or char-mlp",
			name);
	if (p->model.type == MODEL_LAYERS && !text && reader_given(r, "model.context"))
		FAULT(r, "model.context",
			"has no meaning with data.format: %s; remove it (it belongs to text)",
			name_of("data.format", (int)p->data.format));
	if (p->model.type == MODEL_LAYERS && text && reader_given(r, "model.image"))
		FAULT(r, "model.image",
			"has no meaning with data.format: text; remove it (it belongs to csv or "
			"idx)");
	if (p->model.type == MODEL_CNN && p->data.format == DATA_CSV &&
		!reader_given(r, "model.image"))
		FAULT(r, "model.image",
			"missing; a row of a table does not say how large its image is: add it, "
			"such as image: [1, 28, 28]");
}

/* A number of blocks for gpt, a list for layers, which begins as the data want it. */
static void check_layers(struct reader *r)
{
	const struct tree *key = r->keys[key_index("model.layers")];
	const struct model_settings *m = &r->project.model;
	bool list = key != NULL && key->next->kind == TREE_LIST;
	bool text = r->project.data.format == DATA_TEXT;

	if (m->type == MODEL_LAYERS && key == NULL)
		FAULT(r, "model.layers",
			"missing; add the list of layers, such as layers: [{linear: {width: 128}}, "
			"relu, linear]");
	if (m->type == MODEL_LAYERS && key != NULL && !list && m->blocks != 0)
		FAULT(r, "model.layers",
			"wants a list of layers here, such as [{linear: {width: 128}}, relu, "
			"linear]");
	if (m->type == MODEL_GPT && list)
		FAULT(r, "model.layers",
			"wants the number of blocks with gpt, such as 4; for a list of layers "
			"write type: layers");
	if (m->type != MODEL_LAYERS || m->layer_count == 0 || r->project.data.format == 0)
		return;
	if (text && m->layers[0].type != LAYER_EMBEDDING)
		FAULT(r, "model.layers",
			"the data are text, so the list must begin with an embedding, such as "
			"{embedding: {width: 64}}");
	if (!text && m->layers[0].type == LAYER_EMBEDDING)
		FAULT(r, "model.layers", "an embedding reads text, but the data are %s; remove it",
			name_of("data.format", (int)r->project.data.format));
}

static void check_model(struct reader *r)
{
	const struct project *p = &r->project;
	const struct model_settings *m = &p->model;
	bool number = p->data.task == LABEL_NUMBER;

	check_model_format(r);
	check_layers(r);
	if (m->type == MODEL_GPT && m->heads != 0 && m->width % m->heads != 0)
		FAULT(r, "model.heads", "%u heads do not divide the width, %u", m->heads, m->width);
	if (m->loss != 0 && p->data.format != 0 && number != (m->loss == LOSS_SQUARED_ERROR))
		FAULT(r, "model.loss", "%s",
			number ? "data.predict: number wants squared_error; remove the key or "
				 "write that"
			       : "squared_error predicts numbers; add predict: number to a csv's "
				 "data, or "
				 "use cross_entropy");
}

static void check_state(struct reader *r)
{
	const struct train_spec *t = &r->project.train;

	if (t->mode == MODE_GRADIENT || t->optimizer != OPTIMIZER_SGD || t->momentum > 0)
		return;
	if (t->inner_state == INNER_AVERAGE)
		FAULT(r, "train.inner_state",
			"sgd without momentum has no state to average; add momentum, or use adamw");
	if (t->nesterov)
		FAULT(r, "train.nesterov",
			"has no meaning without momentum; add it, such as momentum: 0.9");
}

static void check_steps(struct reader *r)
{
	const struct train_spec *t = &r->project.train;
	uint64_t steps = (uint64_t)t->rounds * (t->mode == MODE_GRADIENT ? 1 : t->inner_steps);

	if (t->inner_steps == 0 || t->rounds == 0 || t->batch_size == 0)
		return;
	if (t->mode != MODE_GRADIENT && t->warmup_steps > t->inner_steps)
		FAULT(r, "train.warmup_steps", "%u, more than the %u inner_steps of a unit",
			t->warmup_steps, t->inner_steps);
	if (t->run_warmup_steps > steps)
		FAULT(r, "train.run_warmup_steps", "%u, more than the %llu steps of the training",
			t->run_warmup_steps, (unsigned long long)steps);
	if (t->accumulate > 1 && t->batch_size % t->accumulate != 0)
		FAULT(r, "train.accumulate", "%u parts do not divide a batch of %u samples",
			t->accumulate, t->batch_size);
	if (t->trace_every > t->inner_steps)
		FAULT(r, "verify.trace_every", "%u, more than the %u inner_steps of a unit",
			t->trace_every, t->inner_steps);
}

/* What the rules of merging assume of a round. */
static void check_merge(struct reader *r)
{
	const struct train_spec *t = &r->project.train;
	uint32_t least = merge_units_min(t->merge, t->merge_byzantine);
	const char *name;

	if (t->merge == 0 || t->units_per_round == 0)
		return;
	name = name_of("train.merge", (int)t->merge);
	if (t->units_per_round < least &&
		(t->merge == MERGE_TRIMMED_MEAN || t->merge == MERGE_MULTI_KRUM))
		FAULT(r, "train.merge",
			"%s with %u bad of %u units a round: it wants 2f + %u = %u units for f = "
			"%u; "
			"raise units_per_round or lower merge_byzantine",
			name, t->merge_byzantine, t->units_per_round,
			least - 2 * t->merge_byzantine, least, t->merge_byzantine);
	else if (t->units_per_round < least)
		FAULT(r, "train.merge",
			"%s of %u units a round: it wants %u, so that the good ones are more; "
			"raise "
			"units_per_round",
			name, t->units_per_round, least);
	if (t->merge == MERGE_MULTI_KRUM && t->units_per_round > KRUM_UNITS_MAX)
		FAULT(r, "train.merge",
			"multi_krum compares each of the %u units with each other; it takes %u at "
			"most: use another rule or fewer units_per_round",
			t->units_per_round, KRUM_UNITS_MAX);
}

void reader_check_together(struct reader *r)
{
	check_model(r);
	check_state(r);
	check_steps(r);
	check_merge(r);
	if (r->project.train.mode == MODE_LOCAL && r->project.train.outer == OUTER_ADAMW)
		FAULT(r, "train.outer.optimizer",
			"adamw belongs to mode: gradient; use nesterov or sgd, or add that mode");
	check_files(r);
}
