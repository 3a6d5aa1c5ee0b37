/* See project.h. The file's tree is walked once against the table of keys; then come the defaults and
 * what keys mean for each other. Every step adds to one list of faults and goes on. */
#include "tasks/project/project.h"

#include <stdio.h>
#include <string.h>

#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/data/utf8.h"
#include "tasks/math/engine.h"
#include "tasks/project/keys.h"
#include "tasks/project/tree.h"
#include "tasks/project/value.h"

struct reader {
	char folder[DATA_PATH_MAX];
	struct project project;
	const struct tree *keys[KEYS_MAX]; /* where the key stands; NULL: not in the file */
	struct faults faults;
};

static void walk(struct reader *r, const struct tree *map, const char *section);

static bool given(const struct reader *r, const char *path)
{
	return r->keys[key_index(path)] != NULL;
}

/* Where to report something about a key: the key itself, or else its section. */
static struct place place_for(const struct reader *r, const struct tree *root, const char *path)
{
	const struct tree *key = r->keys[key_index(path)];
	size_t n = strcspn(path, ".");

	if (key != NULL)
		return key->at;
	for (const struct tree *k = root->first; root->kind == TREE_MAP && k != NULL;
		k = k->next->next)
		if (k->kind == TREE_SCALAR && strlen(k->text) == n &&
			strncmp(k->text, path, n) == 0)
			return k->at;
	return root->at;
}

static bool seen_before(const struct tree *map, const struct tree *key)
{
	for (const struct tree *k = map->first; k != key; k = k->next->next)
		if (k->kind == TREE_SCALAR && strcmp(k->text, key->text) == 0)
			return true;
	return false;
}

static void refuse_key(
	struct reader *r, const struct tree *key, const char *section, const char *path)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	char suggestion[KEY_LIST_MAX];
	char quoted[UTF8_QUOTED];
	const char *name = key->text;
	const char *why = path != NULL ? key_not_yet(path) : NULL;
	const char *dot = section[0] != '\0' ? "." : "";

	if (why != NULL) {
		fault_add(&r->faults, key->at, TK_EUNSUPPORTED,
			"%s: not supported by this version, in which %s; remove the key", path,
			why);
		return;
	}
	key_suggest(suggestion, section, key->text);
	if (path == NULL || name[strspn(name, plain)] != '\0')
		name = utf8_quote(quoted, name);
	fault_add(&r->faults, key->at, TK_EINVAL, "%s%s%s: unknown key; %s", section, dot, name,
		suggestion);
}

static void walk_section(
	struct reader *r, const struct tree *key, const struct tree *value, const char *path)
{
	if (value->kind == TREE_BAD)
		return;
	if (value->kind == TREE_MAP)
		walk(r, value, path);
	else if (value->kind == TREE_SCALAR && value->text[0] == '\0')
		fault_add(&r->faults, key->at, TK_EINVAL,
			"%s: the section is empty; give it keys or remove it", path);
	else
		fault_add(&r->faults, value->at, TK_EINVAL,
			"%s: this is a section; it wants keys, such as %s: {key: value}", path,
			path);
}

static void walk_pair(
	struct reader *r, const struct tree *map, const struct tree *key, const char *section)
{
	const struct tree *value = key->next;
	char joined[KEY_PATH_MAX];
	const char *path = joined;
	int index = -1;

	if (key->kind == TREE_BAD)
		return;
	if (key->kind != TREE_SCALAR) {
		fault_add(&r->faults, key->at, TK_EINVAL, "a key must be one plain word");
		return;
	}
	/* a dot within the word could only pretend to be another section's key */
	if (strchr(key->text, '.') != NULL ||
		snprintf(joined, sizeof(joined), "%s%s%s", section, section[0] != '\0' ? "." : "",
			key->text) >= (int)sizeof(joined))
		path = NULL;
	if (path != NULL)
		index = key_find(path);
	if (index < 0 && (path == NULL || !key_section(path))) {
		refuse_key(r, key, section, path);
	} else if (seen_before(map, key)) {
		fault_add(&r->faults, key->at, TK_EINVAL, "%s: written twice; keep one of the two",
			path);
	} else if (index < 0) {
		walk_section(r, key, value, path);
	} else {
		r->keys[index] = key;
		value_read(
			&r->project, &project_keys[index], value, key->at, r->folder, &r->faults);
	}
}

static void walk(struct reader *r, const struct tree *map, const char *section)
{
	for (const struct tree *key = map->first; key != NULL; key = key->next->next)
		walk_pair(r, map, key, section);
}

/* The format is plain from some names of files. */
static void infer_format(struct reader *r, const struct tree *root)
{
	const char *dot = strrchr(r->project.data.path, '.');

	if (given(r, "data.format") || r->project.data.path[0] == '\0')
		return;
	if (dot != NULL && strcmp(dot, ".csv") == 0)
		r->project.data.format = DATA_CSV;
	else if (dot != NULL && strcmp(dot, ".txt") == 0)
		r->project.data.format = DATA_TEXT;
	else
		fault_add(&r->faults, place_for(r, root, "data.format"), TK_EINVAL,
			"data.format: missing, and the data's name does not tell; write csv, idx "
			"or text");
}

/* True when the key has a meaning with what was chosen; unsure while the choice is unknown. */
enum fit { FITS, FITS_NOT, FIT_UNSURE };

static enum fit key_fits(const struct key *k, const struct project *p)
{
	int value;

	if (k->only_with == NULL)
		return FITS;
	value = key_choice_value(&project_keys[key_index(k->only_with)], p);
	if (value <= 0)
		return FIT_UNSURE;
	return (k->only_values & 1u << value) != 0 ? FITS : FITS_NOT;
}

static void refuse_misfit(struct reader *r, const struct key *k, struct place at)
{
	const struct key *choice = &project_keys[key_index(k->only_with)];
	char list[KEY_LIST_MAX];

	fault_add(&r->faults, at, TK_EINVAL,
		"%s: has no meaning with %s: %s; remove it (it belongs to %s)", k->path,
		choice->path, key_choice_name(choice, key_choice_value(choice, &r->project)),
		key_choices(list, choice, k->only_values));
}

/* Walks the table: required keys that are missing, keys that do not fit, defaults. */
static void settle_keys(struct reader *r, const struct tree *root)
{
	for (unsigned i = 0; project_keys[i].path != NULL; i++) {
		const struct key *k = &project_keys[i];
		enum fit fit = key_fits(k, &r->project);

		if (r->keys[i] != NULL && fit == FITS_NOT)
			refuse_misfit(r, k, r->keys[i]->at);
		if (r->keys[i] != NULL)
			continue;
		if (k->required)
			fault_add(&r->faults, place_for(r, root, k->path), TK_EINVAL,
				"%s: missing; add it: %s", k->path, k->help);
		else if (fit == FITS && k->fallback != NULL)
			value_default(&r->project, k, k->fallback);
	}
}

/* The defaults that hang on other keys. */
static void settle_dependent(struct reader *r)
{
	struct project *p = &r->project;
	bool text = p->model.type == MODEL_CHAR_MLP;

	if (!given(r, "model.activation"))
		p->model.activation = text ? ACTIVATION_TANH : ACTIVATION_RELU;
	if (!given(r, "model.hidden") && p->model.type != MODEL_LOGISTIC) {
		p->model.hidden_count = 1;
		p->model.hidden[0] = text ? 256 : 128;
	}
	if (!given(r, "data.validation_fraction") && !given(r, "data.validation_path"))
		p->data.validation_fraction = 0.1;
	if (!given(r, "train.learning_rate"))
		p->train.learning_rate = p->train.optimizer == OPTIMIZER_SGD ? 0.1f : 4e-3f;
	if (!given(r, "train.warmup_steps"))
		p->train.warmup_steps = p->train.inner_steps >= 8 ? p->train.inner_steps / 4 : 1;
	p->data.context = text ? p->data.context : 0;
	p->data.seed = p->seed;
}

/* Which files of data there must be, and which exclude each other. */
static void check_files(struct reader *r, const struct tree *root)
{
	bool idx = r->project.data.format == DATA_IDX;

	if (idx && !given(r, "data.labels"))
		fault_add(&r->faults, place_for(r, root, "data.format"), TK_EINVAL,
			"data.labels: missing; IDX keeps the labels in a file of their own: name "
			"it");
	if (given(r, "data.validation_path") && given(r, "data.validation_fraction"))
		fault_add(&r->faults, place_for(r, root, "data.validation_fraction"), TK_EINVAL,
			"data.validation_fraction: has no meaning beside validation_path; remove "
			"one of the two");
	if (idx && given(r, "data.validation_path") && !given(r, "data.validation_labels"))
		fault_add(&r->faults, place_for(r, root, "data.validation_path"), TK_EINVAL,
			"data.validation_labels: missing; name the file with the labels of "
			"validation_path");
	if (idx && given(r, "data.validation_labels") && !given(r, "data.validation_path"))
		fault_add(&r->faults, place_for(r, root, "data.validation_labels"), TK_EINVAL,
			"data.validation_labels: has no meaning without validation_path; add the "
			"file of images");
}

static void check_together(struct reader *r, const struct tree *root)
{
	const struct project *p = &r->project;
	bool text_model = p->model.type == MODEL_CHAR_MLP;

	if (p->model.type != 0 && p->data.format != 0 &&
		text_model != (p->data.format == DATA_TEXT))
		fault_add(&r->faults, place_for(r, root, "model.type"), TK_EINVAL,
			text_model ? "model.type: char-mlp learns from format: text; for tables "
				     "and images use mlp or logistic"
				   : "model.type: logistic and mlp learn from tables and images; "
				     "for format: text use char-mlp");
	if (given(r, "train.warmup_steps") && p->train.inner_steps > 0 &&
		p->train.warmup_steps > p->train.inner_steps)
		fault_add(&r->faults, place_for(r, root, "train.warmup_steps"), TK_EINVAL,
			"train.warmup_steps: %u, more than the %u inner_steps of a unit",
			p->train.warmup_steps, p->train.inner_steps);
	check_files(r, root);
}

static void settle(struct reader *r, const struct tree *root)
{
	if (root->kind == TREE_MAP)
		walk(r, root, "");
	else
		fault_add(&r->faults, root->at, TK_EINVAL,
			"not a project; it needs the sections project, model and data");
	if (root->kind != TREE_MAP)
		return;
	infer_format(r, root);
	settle_keys(r, root);
	settle_dependent(r);
	check_together(r, root);
}

/* The folder part of a path, "" when there is none. */
static int folder_of(char *out, size_t size, const char *path, struct faults *faults)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : (slash == path ? 1 : (size_t)(slash - path));

	if (n >= size) {
		fault_add(faults, (struct place){0, 0}, TK_ELIMIT,
			"the folder's path is longer than %zu bytes", size - 1);
		return TK_ELIMIT;
	}
	memcpy(out, path, n);
	out[n] = '\0';
	return TK_OK;
}

/* Reads the file; what is wrong with it is in r->faults. Errors: TK_ENOMEM alone. */
static int read_file(struct reader *r, const char *path)
{
	struct bytes text = {0};
	struct tree *root = NULL;
	struct errmsg why;
	int rc;

	if (folder_of(r->folder, sizeof(r->folder), path, &r->faults) != TK_OK)
		return TK_OK;
	rc = file_read(&text, path, PROJECT_FILE_MAX, &why);
	if (rc != TK_OK && rc != TK_ENOMEM) {
		fault_add(&r->faults, (struct place){0, 0}, rc, "%s", why.text);
		return TK_OK;
	}
	if (rc == TK_OK)
		rc = tree_read(&root, bytes_span(&text), &r->faults);
	if (rc == TK_OK && root != NULL)
		settle(r, root);
	tree_free(root);
	bytes_close(&text);
	return rc == TK_ENOMEM ? TK_ENOMEM : TK_OK;
}

int project_read(struct project *out, const char *path, struct bytes *errors, struct errmsg *msg)
{
	struct reader *r = mem_calloc(1, sizeof(*r));
	int rc;

	if (r == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to read %s", path);
	rc = read_file(r, path);
	if (rc != TK_OK)
		errmsg_set(msg, rc, "not enough memory to read %s", path);
	else
		rc = faults_report(&r->faults, path, errors, msg);
	if (rc == TK_OK)
		*out = r->project;
	mem_free(r);
	return rc;
}

int project_recipe(struct recipe *out, const struct project *p, const struct shard_sink *sink,
	struct errmsg *msg)
{
	struct recipe r = {
		.numerics = NUMERICS_VERSION,
		.seed = p->seed,
		.model = p->model,
		.train = p->train,
	};
	int rc = dataset_prepare(&r.data, &p->data, sink, msg);

	if (rc != TK_OK)
		return rc;
	memcpy(r.name, p->name, sizeof(r.name));
	rc = recipe_validate(&r, msg);
	if (rc == TK_OK)
		*out = r;
	else
		recipe_close(&r);
	return rc;
}
