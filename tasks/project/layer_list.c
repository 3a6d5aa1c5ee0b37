/* See layer_list.h. An item is a layer's word alone, or {word: {setting: value}} with, beside the word,
 * an optional name. What a setting may be stands in a table like that of the project's keys, about struct
 * layer; its only_values are types of layers. */
#include "tasks/project/layer_list.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/require.h"
#include "tasks/data/utf8.h"
#include "tasks/model/layer.h"
#include "tasks/project/keys.h"
#include "tasks/project/recipe_check.h"
#include "tasks/project/value.h"

#define RESIDUAL     "residual"
#define FIELD(f)     .offset = offsetof(struct layer, f)
#define TYPE(t)	     (1u << (t))
#define WINDOWS	     (TYPE(LAYER_CONV2D) | TYPE(LAYER_MAX_POOL) | TYPE(LAYER_AVERAGE_POOL))
#define WORDS_MAX    (LAYER_TYPE_LAST + 1)
#define SETTINGS_MAX 16u

static const struct key_choice ties[] = {{"true", 1}, {"false", 0}, {NULL, 0}};

const struct key layer_settings[] = {
	{.path = "model.layers.width",
		.type = KEY_U32,
		.min = 1,
		.max = WIDTH_MAX,
		.only_values = TYPE(LAYER_EMBEDDING) | TYPE(LAYER_LINEAR),
		.required = true,
		FIELD(width),
		.help = "numbers in what comes out, of a token's vector or a linear layer; the "
			"last linear "
			"layer may leave it out and is as wide as the labels want"},
	{.path = "model.layers.channels",
		.type = KEY_U32,
		.min = 1,
		.max = WIDTH_MAX,
		.only_values = TYPE(LAYER_CONV2D),
		.required = true,
		FIELD(width),
		.help = "of the image that comes out"},
	{.path = "model.layers.heads",
		.type = KEY_U32,
		.min = 1,
		.max = HEADS_MAX,
		.only_values = TYPE(LAYER_ATTENTION),
		.required = true,
		FIELD(heads),
		.help = "of attention; they divide the width"},
	{.path = "model.layers.groups",
		.type = KEY_U32,
		.min = 1,
		.max = HEADS_MAX,
		.only_values = TYPE(LAYER_GROUP_NORM),
		.required = true,
		FIELD(heads),
		.help = "parts of the channels, each with a norm of its own; they divide them"},
	{.path = "model.layers.kernel",
		.type = KEY_U32,
		.min = 1,
		.max = WINDOW_MAX,
		.only_values = WINDOWS,
		.required = true,
		FIELD(kernel),
		.help = "side of the window; with max_pool at most 16"},
	{.path = "model.layers.stride",
		.type = KEY_U32,
		.min = 1,
		.max = WINDOW_MAX,
		.only_values = WINDOWS,
		.note = "default 1 with conv2d, with a pool its kernel",
		FIELD(stride),
		.help = "from window to window"},
	{.path = "model.layers.padding",
		.type = KEY_U32,
		.max = WINDOW_MAX,
		.only_values = WINDOWS,
		.fallback = "0",
		FIELD(padding),
		.help = "around the image: zeros below the kernel's side; in pools at most half of "
			"it"},
	{.path = "model.layers.rate",
		.type = KEY_FLOAT,
		.min = DROPOUT_MIN,
		.max = DROPOUT_MAX,
		.only_values = TYPE(LAYER_DROPOUT),
		.required = true,
		FIELD(rate),
		.help = "share of numbers that a step leaves out"},
	{.path = "model.layers.bias",
		.type = KEY_BOOL,
		.fallback = "true",
		.only_values = TYPE(LAYER_LINEAR) | TYPE(LAYER_CONV2D) | TYPE(LAYER_LAYER_NORM) |
			       TYPE(LAYER_GROUP_NORM) | TYPE(LAYER_ATTENTION),
		FIELD(bias),
		.help = "whether a bias is added"},
	{.path = "model.layers.tie",
		.type = KEY_CHOICE,
		.choices = ties,
		.only_values = TYPE(LAYER_LINEAR),
		.fallback = "false",
		FIELD(tied),
		.help = "whether it shares the embedding's weight, which must be as wide"},
	{.path = "model.layers.init_scale",
		.type = KEY_FLOAT,
		.min = INIT_SCALE_MIN,
		.max = INIT_SCALE_MAX,
		.only_values = TYPE(LAYER_EMBEDDING) | TYPE(LAYER_POSITION) | TYPE(LAYER_LINEAR) |
			       TYPE(LAYER_CONV2D) | TYPE(LAYER_ATTENTION),
		.note = "default: as PyTorch begins them",
		FIELD(init_scale),
		.help = "deviation of the weights to begin with; biases then begin with 0"},
	{.path = NULL},
};

struct list_reader {
	struct model_settings *out;
	struct place *places;
	struct faults *faults;
	uint32_t depth; /* of residuals */
};

/* A layer's word in the file; NULL for the types that are none of their own. */
static const char *type_word(enum layer_type type)
{
	if (type == LAYER_BRANCH)
		return RESIDUAL;
	return type == LAYER_JOIN ? NULL : layer_ops_of(type)->name;
}

/* 0 for no layer. */
static enum layer_type type_of(const char *word)
{
	for (enum layer_type t = LAYER_EMBEDDING; t <= LAYER_TYPE_LAST; t++)
		if (type_word(t) != NULL && strcmp(type_word(t), word) == 0)
			return t;
	return 0;
}

static const char *setting_name(const struct key *k)
{
	return strrchr(k->path, '.') + 1;
}

static const struct key *setting_find(enum layer_type type, const char *name)
{
	for (const struct key *k = layer_settings; k->path != NULL; k++)
		if ((k->only_values & TYPE(type)) != 0 && strcmp(setting_name(k), name) == 0)
			return k;
	return NULL;
}

/* Writes the words as "a, b or c". */
static void list_words(char out[KEY_LIST_MAX], const char *const *words)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; words[i] != NULL && used < KEY_LIST_MAX; i++)
		used += (size_t)snprintf(out + used, KEY_LIST_MAX - used, "%s%s",
			i == 0 ? "" : (words[i + 1] == NULL ? " or " : ", "), words[i]);
}

/* The remedy for a word that is none of these: the nearest, or else all. */
static void fault_word(struct list_reader *r, struct place at, const char *what, const char *word,
	const char *const *words)
{
	const char *near = word_nearest(word, words);
	char quoted[UTF8_QUOTED];
	char list[KEY_LIST_MAX];

	utf8_quote(quoted, word);
	list_words(list, words);
	if (near != NULL)
		fault_add(r->faults, at, TK_EINVAL, "model.layers: %s is %s; did you mean \"%s\"?",
			quoted, what, near);
	else if (words[0] == NULL)
		fault_add(r->faults, at, TK_EINVAL,
			"model.layers: %s is %s; it has none: remove it", quoted, what);
	else
		fault_add(r->faults, at, TK_EINVAL, "model.layers: %s is %s; write %s", quoted,
			what, list);
}

static void refuse_type(struct list_reader *r, const struct tree *word)
{
	const char *words[WORDS_MAX + 1];
	size_t n = 0;

	for (enum layer_type t = LAYER_EMBEDDING; t <= LAYER_TYPE_LAST; t++)
		if (type_word(t) != NULL)
			words[n++] = type_word(t);
	words[n] = NULL;
	fault_word(r, word->at, "no layer", word->text, words);
}

static void refuse_setting(struct list_reader *r, enum layer_type type, const struct tree *word)
{
	const char *words[SETTINGS_MAX + 1];
	char what[64];
	size_t n = 0;

	for (const struct key *k = layer_settings; k->path != NULL; k++) {
		REQUIRE(n < SETTINGS_MAX);
		if ((k->only_values & TYPE(type)) != 0)
			words[n++] = setting_name(k);
	}
	words[n] = NULL;
	snprintf(what, sizeof(what), "no setting of %s", type_word(type));
	fault_word(r, word->at, what, word->text, words);
}

/* Puts a layer at the end of the list; NULL when there is no room. */
static struct layer *append(struct list_reader *r, enum layer_type type, struct place at)
{
	struct layer *l;

	if (r->out->layer_count == LIST_LAYERS_MAX) {
		fault_add(r->faults, at, TK_ELIMIT,
			"model.layers: more than %u layers, of which a residual counts as two more",
			LIST_LAYERS_MAX);
		return NULL;
	}
	r->places[r->out->layer_count] = at;
	l = &r->out->layers[r->out->layer_count++];
	*l = (struct layer){.type = type};
	return l;
}

/* The settings of one layer; those that were written are marked by their index. */
static unsigned read_settings(struct list_reader *r, struct layer *l, const struct tree *map)
{
	unsigned seen = 0;

	for (const struct tree *key = map->first; key != NULL; key = key->next->next) {
		const struct key *k;

		if (key->kind == TREE_BAD)
			continue;
		if (key->kind != TREE_SCALAR) {
			fault_add(r->faults, key->at, TK_EINVAL, "a key must be one plain word");
			continue;
		}
		k = setting_find(l->type, key->text);
		if (k == NULL) {
			refuse_setting(r, l->type, key);
			continue;
		}
		if ((seen & 1u << (k - layer_settings)) != 0)
			fault_add(r->faults, key->at, TK_EINVAL,
				"%s: written twice; keep one of the two", k->path);
		seen |= 1u << (k - layer_settings);
		value_read(l, k, key->next, key->at, "", r->faults);
	}
	return seen;
}

/* Defaults, and what may not be missing. last: nothing comes after this layer. */
static void settle(
	struct list_reader *r, struct layer *l, unsigned seen, bool last, struct place at)
{
	for (const struct key *k = layer_settings; k->path != NULL; k++) {
		if ((k->only_values & TYPE(l->type)) == 0 ||
			(seen & 1u << (k - layer_settings)) != 0)
			continue;
		if (k->fallback != NULL)
			value_default(l, k, k->fallback);
		if (!k->required || (last && l->type == LAYER_LINEAR))
			continue;
		fault_add(r->faults, at, TK_EINVAL, "%s: missing; add it: {%s: {%s: %s}}%s",
			k->path, type_word(l->type), setting_name(k),
			k->type == KEY_FLOAT ? "0.1" : "4",
			l->type == LAYER_LINEAR
				? " (only the last layer may leave it out: it is as "
				  "wide as the labels want)"
				: "");
	}
	if (l->stride == 0 && l->kernel != 0)
		l->stride = l->type == LAYER_CONV2D ? 1 : l->kernel;
}

static void read_name(struct list_reader *r, struct layer *l, const struct tree *value)
{
	char quoted[UTF8_QUOTED];
	bool plain = value->kind == TREE_SCALAR;

	if (value->kind == TREE_BAD)
		return;
	if (l->type != LAYER_BRANCH && l->type != LAYER_ATTENTION && !layer_type_named(l->type))
		fault_add(r->faults, value->at, TK_EINVAL,
			"model.layers: %s has nothing to name; remove the name",
			type_word(l->type));
	else if (!plain || !layer_name_valid(value->text) || strlen(value->text) >= sizeof(l->name))
		fault_add(r->faults, value->at, TK_EINVAL,
			"model.layers: %s is no layer's name; use at most %u of a-z, A-Z, 0-9, '_' "
			"and single dots within",
			plain ? utf8_quote(quoted, value->text) : "this", LAYER_NAME_MAX - 1);
	else
		memcpy(l->name, value->text, strlen(value->text) + 1);
}

static void read_items(struct list_reader *r, const struct tree *list);

static void read_residual(struct list_reader *r, const struct tree *value, struct place at)
{
	if (value->kind == TREE_BAD)
		return;
	if (value->kind != TREE_LIST || value->first == NULL) {
		fault_add(r->faults, value->kind == TREE_SCALAR ? at : value->at, TK_EINVAL,
			"model.layers: " RESIDUAL " wants a list of layers in brackets, such as "
			"{" RESIDUAL ": [layer_norm, {linear: {width: 64}}]}");
		return;
	}
	if (r->depth == RESIDUAL_DEPTH_MAX) {
		fault_add(r->faults, at, TK_ELIMIT, "model.layers: residuals nest deeper than %u",
			RESIDUAL_DEPTH_MAX);
		return;
	}
	r->depth++;
	read_items(r, value);
	r->depth--;
	append(r, LAYER_JOIN, at);
}

/* One layer. settings and name are NULL where the file has none. */
static void read_layer(struct list_reader *r, const struct tree *item, const struct tree *word,
	const struct tree *values, const struct tree *name)
{
	enum layer_type type = type_of(word->text);
	unsigned seen = 0;
	struct layer *l;

	if (type == 0) {
		refuse_type(r, word);
		return;
	}
	l = append(r, type, word->at);
	if (l == NULL)
		return;
	if (name != NULL)
		read_name(r, l, name);
	if (type == LAYER_BRANCH) {
		read_residual(r, values != NULL ? values : word, word->at);
		return;
	}
	if (values != NULL && values->kind == TREE_MAP)
		seen = read_settings(r, l, values);
	else if (values != NULL && values->kind != TREE_BAD && !value_null(values))
		fault_add(r->faults, values->at, TK_EINVAL,
			"model.layers: %s wants its settings in braces, such as {linear: {width: "
			"128}}",
			word->text);
	settle(r, l, seen, item->next == NULL && r->depth == 0, word->at);
}

/* A layer with settings, a name, or both. */
static void read_map(struct list_reader *r, const struct tree *map)
{
	const struct tree *word = NULL;
	const struct tree *name = NULL;

	for (const struct tree *key = map->first; key != NULL; key = key->next->next) {
		bool is_name = key->kind == TREE_SCALAR && strcmp(key->text, "name") == 0;

		if (key->kind == TREE_BAD)
			return;
		if (key->kind != TREE_SCALAR) {
			fault_add(r->faults, key->at, TK_EINVAL, "a key must be one plain word");
			return;
		}
		if (is_name ? name != NULL : word != NULL) {
			fault_add(r->faults, key->at, TK_EINVAL,
				"model.layers: an item is one layer, with a name at most; begin a "
				"new item for the next");
			return;
		}
		if (is_name)
			name = key->next;
		else
			word = key;
	}
	if (word == NULL)
		fault_add(r->faults, map->at, TK_EINVAL,
			"model.layers: this item names no layer; write {linear: {width: 128}}");
	else
		read_layer(r, map, word, word->next, name);
}

static void read_items(struct list_reader *r, const struct tree *list)
{
	for (const struct tree *t = list->first; t != NULL; t = t->next) {
		if (t->kind == TREE_SCALAR)
			read_layer(r, t, t, NULL, NULL);
		else if (t->kind == TREE_MAP)
			read_map(r, t);
		else if (t->kind == TREE_LIST)
			fault_add(r->faults, t->at, TK_EINVAL,
				"model.layers: a list within the list; write {" RESIDUAL ": [...]} "
				"for a residual connection, or the layers one after another");
	}
}

void layer_list_read(struct model_settings *out, struct place *places, const struct tree *list,
	struct faults *faults)
{
	struct list_reader r = {.out = out, .places = places, .faults = faults};
	uint32_t before = faults->count + faults->dropped;

	out->layer_count = 0;
	if (list->first == NULL)
		fault_add(faults, list->at, TK_EINVAL,
			"model.layers: the list is empty; name at least one layer, such as "
			"[linear]");
	read_items(&r, list);
	if (faults->count + faults->dropped != before)
		out->layer_count = 0;
}

uint32_t layer_list_blame(const struct model_settings *s, struct errmsg *msg)
{
	struct errmsg was;
	unsigned long layer;
	uint32_t item = 0;
	char *what;

	if (msg == NULL || strncmp(msg->text, "layer ", 6) != 0)
		return UINT32_MAX;
	was = *msg;
	layer = strtoul(was.text + 6, &what, 10);
	what = strstr(what, "): ");
	if (what == NULL)
		return UINT32_MAX;
	what += 3;
	/* attention became three layers (presets.c), everything else one */
	while (item < s->layer_count &&
		layer >= (s->layers[item].type == LAYER_ATTENTION ? 3u : 1u))
		layer -= s->layers[item++].type == LAYER_ATTENTION ? 3 : 1;
	if (item == s->layer_count)
		return UINT32_MAX;
	errmsg_set(msg, TK_EINVAL, "model.layers: %s: %s",
		s->layers[item].type == LAYER_JOIN ? RESIDUAL : type_word(s->layers[item].type),
		what);
	return item;
}

void layer_list_help(FILE *out)
{
	fprintf(out,
		"layers of the type layers, each a word or {word: {setting: value}}; with a name "
		"for its\ntensors {word: {setting: value}, name: NAME}:\n");
	for (enum layer_type t = LAYER_EMBEDDING; t <= LAYER_TYPE_LAST; t++) {
		bool first = true;

		if (type_word(t) == NULL)
			continue;
		fprintf(out, "  %s", type_word(t));
		if (t == LAYER_BRANCH)
			fprintf(out, "%*sa list of layers whose result is added to what went in",
				(int)(21 - strlen(RESIDUAL)), "");
		for (const struct key *k = layer_settings; k->path != NULL; k++) {
			if ((k->only_values & TYPE(t)) == 0)
				continue;
			fprintf(out, "%*s%s", first ? (int)(21 - strlen(type_word(t))) : 2,
				first ? "" : ", ", setting_name(k));
			first = false;
		}
		fputc('\n', out);
	}
	fprintf(out, "their settings:\n");
}
