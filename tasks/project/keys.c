/* The table itself; see keys.h. Defaults are the measured default recipe of the design. */
#include "tasks/project/keys.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tasks/base/require.h"

#define FIELD(f)    .offset = offsetof(struct project, f)
#define TEXT_MAX(f) ((double)sizeof(((struct project *)0)->f) - 1)
#define BIT(value)  (1u << (value))
#define WITH_ADAMW  .only_with = "train.optimizer", .only_values = BIT(OPTIMIZER_ADAMW)
#define WITH_CSV    .only_with = "data.format", .only_values = BIT(DATA_CSV)
#define WITH_IDX    .only_with = "data.format", .only_values = BIT(DATA_IDX)
#define WITH_CHAR   .only_with = "model.type", .only_values = BIT(MODEL_CHAR_MLP)
#define WITH_HIDDEN .only_with = "model.type", .only_values = BIT(MODEL_MLP) | BIT(MODEL_CHAR_MLP)

static const struct key_choice models[] = {
	{"logistic", MODEL_LOGISTIC},
	{"mlp", MODEL_MLP},
	{"char-mlp", MODEL_CHAR_MLP},
	{"cnn", CHOICE_NOT_YET},
	{"gpt", CHOICE_NOT_YET},
	{NULL, 0},
};
static const struct key_choice activations[] = {
	{"relu", ACTIVATION_RELU},
	{"tanh", ACTIVATION_TANH},
	{NULL, 0},
};
static const struct key_choice formats[] = {
	{"csv", DATA_CSV},
	{"idx", DATA_IDX},
	{"text", DATA_TEXT},
	{"npy", CHOICE_NOT_YET},
	{NULL, 0},
};
static const struct key_choice headers[] = {
	{"auto", HEADER_AUTO},
	{"true", HEADER_YES},
	{"false", HEADER_NO},
	{NULL, 0},
};
static const struct key_choice optimizers[] = {
	{"adamw", OPTIMIZER_ADAMW},
	{"sgd", OPTIMIZER_SGD},
	{NULL, 0},
};
static const struct key_choice schedules[] = {
	{"cosine", SCHEDULE_COSINE},
	{"constant", SCHEDULE_CONSTANT},
	{NULL, 0},
};
static const struct key_choice compressions[] = {
	{"int8", COMPRESSION_INT8},
	{"none", COMPRESSION_NONE},
	{"sparseloco", CHOICE_NOT_YET},
	{"demo", CHOICE_NOT_YET},
	{"powersgd", CHOICE_NOT_YET},
	{NULL, 0},
};
static const struct key_choice outers[] = {
	{"nesterov", OUTER_NESTEROV},
	{"sgd", OUTER_SGD},
	{"adamw", CHOICE_NOT_YET},
	{NULL, 0},
};
static const struct key_choice policies[] = {
	{"full", VERIFY_FULL},
	{"adaptive", CHOICE_NOT_YET},
	{NULL, 0},
};

const struct key project_keys[] = {
	{.path = "project.name",
		.type = KEY_NAME,
		.max = PROJECT_NAME_MAX - 1,
		.required = true,
		FIELD(name),
		.help = "the project's name: a-z, 0-9, '-', '_', '.', at most 63 characters"},
	{.path = "project.seed",
		.type = KEY_U64,
		.fallback = "1337",
		FIELD(seed),
		.help = "decides initial parameters, split and order of samples"},

	{.path = "model.type",
		.type = KEY_CHOICE,
		.choices = models,
		.required = true,
		FIELD(model.type),
		.help = "tables and images: logistic or mlp; text: char-mlp"},
	{.path = "model.context",
		.type = KEY_U32,
		.min = 1,
		.max = CONTEXT_MAX,
		.fallback = "16",
		WITH_CHAR,
		FIELD(data.context),
		.help = "how many characters the model sees"},
	{.path = "model.embedding",
		.type = KEY_U32,
		.min = 1,
		.max = EMBEDDING_MAX,
		.fallback = "24",
		WITH_CHAR,
		FIELD(model.embedding),
		.help = "width of a character's vector"},
	{.path = "model.hidden",
		.type = KEY_WIDTHS,
		.min = 1,
		.max = HIDDEN_WIDTH_MAX,
		.note = "default [128] for mlp, [256] for char-mlp",
		WITH_HIDDEN,
		FIELD(model.hidden),
		.help = "widths of the hidden layers, at most 16"},
	{.path = "model.activation",
		.type = KEY_CHOICE,
		.choices = activations,
		.note = "default relu for mlp, tanh for char-mlp",
		WITH_HIDDEN,
		FIELD(model.activation),
		.help = "what stands between the layers"},

	{.path = "data.path",
		.type = KEY_PATH,
		.min = 1,
		.max = DATA_PATH_MAX - 1,
		.required = true,
		FIELD(data.path),
		.help = "the training data; relative to this file's folder"},
	{.path = "data.format",
		.type = KEY_CHOICE,
		.choices = formats,
		.note = "default by the name's ending: .csv or .txt",
		FIELD(data.format),
		.help = "how the data are written"},
	{.path = "data.labels",
		.type = KEY_PATH,
		.min = 1,
		.max = DATA_PATH_MAX - 1,
		.note = "required with idx",
		WITH_IDX,
		FIELD(data.labels),
		.help = "the file of labels"},
	{.path = "data.validation_path",
		.type = KEY_PATH,
		.min = 1,
		.max = DATA_PATH_MAX - 1,
		.note = "default: a fraction of the training data",
		FIELD(data.validation_path),
		.help = "validation data in a file of their own"},
	{.path = "data.validation_labels",
		.type = KEY_PATH,
		.min = 1,
		.max = DATA_PATH_MAX - 1,
		.note = "required with idx and validation_path",
		WITH_IDX,
		FIELD(data.validation_labels),
		.help = "the labels of validation_path"},
	{.path = "data.validation_fraction",
		.type = KEY_DOUBLE,
		.min = 0,
		.max = 0.9,
		.note = "default 0.1 without validation_path",
		FIELD(data.validation_fraction),
		.help = "the share of samples that is kept from training; 0: none"},
	{.path = "data.header",
		.type = KEY_CHOICE,
		.choices = headers,
		.fallback = "auto",
		WITH_CSV,
		FIELD(data.header),
		.help = "whether the first line names the columns"},
	{.path = "data.label",
		.type = KEY_TEXT,
		.min = 1,
		.max = TEXT_MAX(data.label),
		.fallback = "last",
		WITH_CSV,
		FIELD(data.label),
		.help = "the column to predict: last, its name, or its index from 0"},
	{.path = "data.missing",
		.type = KEY_TEXT,
		.max = TEXT_MAX(data.missing),
		.note = "default: only empty fields",
		WITH_CSV,
		FIELD(data.missing),
		.help = "the text that stands for a missing value"},
	{.path = "data.delimiter",
		.type = KEY_CHARACTER,
		.fallback = ",",
		WITH_CSV,
		FIELD(data.delimiter),
		.help = "what separates fields; \"\\t\" for a tab"},

	{.path = "train.optimizer",
		.type = KEY_CHOICE,
		.choices = optimizers,
		.fallback = "adamw",
		FIELD(train.optimizer),
		.help = "the optimizer inside a unit, started afresh in each"},
	{.path = "train.learning_rate",
		.type = KEY_FLOAT,
		.min = LEARNING_RATE_MIN,
		.max = LEARNING_RATE_MAX,
		.note = "default 0.004, with sgd 0.1",
		FIELD(train.learning_rate),
		.help = "at its highest, after the warm-up"},
	{.path = "train.beta1",
		.type = KEY_FLOAT,
		.max = BETA_MAX,
		.fallback = "0.9",
		WITH_ADAMW,
		FIELD(train.beta1),
		.help = "decay of the gradient's mean"},
	{.path = "train.beta2",
		.type = KEY_FLOAT,
		.max = BETA_MAX,
		.fallback = "0.99",
		WITH_ADAMW,
		FIELD(train.beta2),
		.help = "decay of the gradient's square"},
	{.path = "train.epsilon",
		.type = KEY_FLOAT,
		.min = EPSILON_MIN,
		.max = EPSILON_MAX,
		.fallback = "1e-8",
		WITH_ADAMW,
		FIELD(train.epsilon),
		.help = "keeps the division finite"},
	{.path = "train.momentum",
		.type = KEY_FLOAT,
		.max = BETA_MAX,
		.fallback = "0",
		.only_with = "train.optimizer",
		.only_values = BIT(OPTIMIZER_SGD),
		FIELD(train.momentum),
		.help = "momentum of the inner optimizer"},
	{.path = "train.weight_decay",
		.type = KEY_FLOAT,
		.max = WEIGHT_DECAY_MAX,
		.fallback = "0",
		FIELD(train.weight_decay),
		.help = "decoupled from the gradient"},
	{.path = "train.clip",
		.type = KEY_FLOAT,
		.max = CLIP_MAX,
		.fallback = "1",
		FIELD(train.clip),
		.help = "the largest norm of a step's gradient; 0: not clipped"},
	{.path = "train.schedule",
		.type = KEY_CHOICE,
		.choices = schedules,
		.fallback = "cosine",
		FIELD(train.schedule),
		.help = "the learning rate over the whole training"},
	{.path = "train.batch_size",
		.type = KEY_U32,
		.min = 1,
		.max = BATCH_MAX,
		.fallback = "64",
		FIELD(train.batch_size),
		.help = "samples in a step"},
	{.path = "train.rounds",
		.type = KEY_U32,
		.min = 1,
		.max = ROUNDS_MAX,
		.fallback = "20",
		FIELD(train.rounds),
		.help = "how often the units' updates are merged"},
	{.path = "train.units_per_round",
		.type = KEY_U32,
		.min = 1,
		.max = UNITS_PER_ROUND_MAX,
		.fallback = "8",
		FIELD(train.units_per_round),
		.help = "units that are merged together"},
	{.path = "train.inner_steps",
		.type = KEY_U32,
		.min = 1,
		.max = INNER_STEPS_MAX,
		.fallback = "20",
		FIELD(train.inner_steps),
		.help = "steps in a unit"},
	{.path = "train.warmup_steps",
		.type = KEY_U32,
		.max = INNER_STEPS_MAX,
		.note = "default a quarter of inner_steps, at least 1",
		FIELD(train.warmup_steps),
		.help = "steps of linear warm-up at the beginning of every unit"},
	{.path = "train.compression",
		.type = KEY_CHOICE,
		.choices = compressions,
		.fallback = "int8",
		FIELD(train.compression),
		.help = "of the updates that travel"},
	{.path = "train.outer.optimizer",
		.type = KEY_CHOICE,
		.choices = outers,
		.fallback = "nesterov",
		FIELD(train.outer),
		.help = "the optimizer that applies a round's mean update"},
	{.path = "train.outer.learning_rate",
		.type = KEY_FLOAT,
		.min = LEARNING_RATE_MIN,
		.max = LEARNING_RATE_MAX,
		.fallback = "1",
		FIELD(train.outer_learning_rate),
		.help = "1: the mean update as it is"},
	{.path = "train.outer.momentum",
		.type = KEY_FLOAT,
		.max = BETA_MAX,
		.fallback = "0.5",
		.only_with = "train.outer.optimizer",
		.only_values = BIT(OUTER_NESTEROV),
		FIELD(train.outer_momentum),
		.help = "momentum of the outer optimizer"},

	{.path = "verify.policy",
		.type = KEY_CHOICE,
		.choices = policies,
		.fallback = "full",
		FIELD(policy),
		.help = "full: every unit is computed by a quorum"},
	{.path = "verify.quorum",
		.type = KEY_U32,
		.min = QUORUM_MIN,
		.max = QUORUM_MAX,
		.fallback = "2",
		FIELD(quorum),
		.help = "equal results that make a unit's result stand"},
	{.path = NULL},
};

_Static_assert(sizeof(project_keys) / sizeof(project_keys[0]) <= KEYS_MAX, "room in readers");

static const struct {
	const char *path;
	const char *why;
} not_yet[] = {
	{"numerics", "all arithmetic is canonical"},
	{"project.numerics", "all arithmetic is canonical"},
	{"train.numerics", "all arithmetic is canonical"},
	{"model.layers", "a model is described by type and hidden"},
	{"train.mode", "training always runs in local mode: inner_steps, then a merge"},
	{"train.delay", "every round starts from the round before it"},
	{"train.inner_state", "every unit starts its optimizer afresh"},
	{"train.early_stopping", "training runs for all rounds"},
	{"verify.on_fraud", "no result is merged before its quorum agrees"},
	{"verify.trace_every", "the trace has a fixed distance"},
};

int key_find(const char *path)
{
	for (int i = 0; project_keys[i].path != NULL; i++)
		if (strcmp(project_keys[i].path, path) == 0)
			return i;
	return -1;
}

unsigned key_index(const char *path)
{
	int i = key_find(path);

	REQUIRE(i >= 0 && i < (int)KEYS_MAX);
	return (unsigned)i;
}

bool key_section(const char *path)
{
	size_t n = strlen(path);

	for (const struct key *k = project_keys; k->path != NULL; k++)
		if (strncmp(k->path, path, n) == 0 && k->path[n] == '.')
			return true;
	return false;
}

const char *key_not_yet(const char *path)
{
	for (size_t i = 0; i < sizeof(not_yet) / sizeof(not_yet[0]); i++)
		if (strcmp(not_yet[i].path, path) == 0)
			return not_yet[i].why;
	return NULL;
}

int key_choice_value(const struct key *k, const struct project *p)
{
	int value;

	REQUIRE(k->type == KEY_CHOICE);
	memcpy(&value, (const char *)p + k->offset, sizeof(value));
	return value;
}

const char *key_choice_name(const struct key *k, int value)
{
	for (const struct key_choice *c = k->choices; c->name != NULL; c++)
		if (c->value == value)
			return c->name;
	return "?";
}

const char *key_choices(char out[KEY_LIST_MAX], const struct key *k, unsigned mask)
{
	const struct key_choice *last = NULL;
	size_t used = 0;

	for (const struct key_choice *c = k->choices; c->name != NULL; c++)
		if (c->value != CHOICE_NOT_YET && (mask & BIT(c->value)) != 0)
			last = c;
	out[0] = '\0';
	for (const struct key_choice *c = k->choices; last != NULL && c <= last; c++) {
		if (c->value == CHOICE_NOT_YET || (mask & BIT(c->value)) == 0)
			continue;
		used += (size_t)snprintf(out + used, KEY_LIST_MAX - used, "%s%s",
			used == 0 ? "" : (c == last ? " or " : ", "), c->name);
		REQUIRE(used < KEY_LIST_MAX);
	}
	return out;
}

const char *model_type_name(enum model_type type)
{
	for (const struct key_choice *c = models; c->name != NULL; c++)
		if (c->value == (int)type)
			return c->name;
	return "unknown";
}
