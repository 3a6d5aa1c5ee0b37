/* See project.h. The file's tree is walked once against the table of keys; then come the defaults and
 * what keys mean for each other (reader.h). With the data prepared, a project becomes a recipe. */
#include "tasks/project/project.h"

#include <stdio.h>
#include <string.h>

#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/data/utf8.h"
#include "tasks/math/engine.h"
#include "tasks/project/layer_list.h"
#include "tasks/project/reader.h"
#include "tasks/project/trace.h"
#include "tasks/project/value.h"

static void walk(struct reader *r, const struct tree *map, const char *section);

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

static void read_value(
	struct reader *r, const struct key *k, const struct tree *value, struct place at)
{
	if (k->type == KEY_LAYERS && value->kind == TREE_LIST)
		layer_list_read(&r->project.model, r->project.layers_at, value, &r->faults);
	else
		value_read(&r->project, k, value, at, r->folder, &r->faults);
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
	if (index >= 0 ? key_not_yet(path) != NULL : path == NULL || !key_section(path)) {
		refuse_key(r, key, section, path);
	} else if (seen_before(map, key)) {
		fault_add(&r->faults, key->at, TK_EINVAL, "%s: written twice; keep one of the two",
			path);
	} else if (index < 0) {
		walk_section(r, key, value, path);
	} else {
		r->keys[index] = key;
		read_value(r, &project_keys[index], value, key->at);
	}
}

static void walk(struct reader *r, const struct tree *map, const char *section)
{
	for (const struct tree *key = map->first; key != NULL; key = key->next->next)
		walk_pair(r, map, key, section);
}

static void keep_places(struct reader *r)
{
	struct project *p = &r->project;

	p->data_at = reader_place(r, "data.path");
	p->labels_at = reader_place(r, "data.labels");
	p->validation_at = reader_place(r, "data.validation_path");
	p->validation_labels_at = reader_place(r, "data.validation_labels");
	p->init_at = reader_place(r, "model.init");
	p->numerics_at = reader_place(r, "train.numerics");
	p->model_at =
		reader_place(r, p->model.type == MODEL_LAYERS ? "model.layers" : "model.type");
}

static void read_root(struct reader *r, const struct tree *root)
{
	if (root->kind != TREE_MAP) {
		fault_add(&r->faults, root->at, TK_EINVAL,
			"not a project; it needs the sections project, model and data");
		return;
	}
	r->root = root;
	walk(r, root, "");
	reader_settle(r);
	reader_check_together(r);
	keep_places(r);
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
		read_root(r, root);
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
	if (rc == TK_OK) {
		*out = r->project;
		snprintf(out->file, sizeof(out->file), "%s", path);
	}
	mem_free(r);
	return rc;
}

/* Puts the place in project.yaml before an error that its reader could not see. */
static int prefix_place(const struct project *p, struct place at, int rc, struct errmsg *msg)
{
	if (rc == TK_OK || rc == TK_ENOMEM || rc == TK_EIO || rc == TK_ENOSPC || at.line == 0)
		return rc; /* nothing of the file's doing */
	return errmsg_prefix(msg, rc, "%s:%u:%u", p->file, at.line, at.column);
}

int project_check_grid(const struct project *p, struct errmsg *msg)
{
	int rc;

	if (p->numerics != NUMERICS_BLAS)
		return TK_OK;
	rc = errmsg_set(msg, TK_EUNSUPPORTED,
		"train.numerics: peers' results are compared bit by bit, and blas gives bits that "
		"differ from computer to computer; remove the key, or train in one process with "
		"`talkoot train`");
	return prefix_place(p, p->numerics_at, rc, msg);
}

/* The key of the file that the message names; data.path's where it names none. A path may lie within
 * another one, so the longest counts. */
static struct place data_place(const struct project *p, const struct errmsg *msg)
{
	const struct {
		const char *path;
		struct place at;
	} files[] = {
		{p->data.path, p->data_at},
		{p->data.labels, p->labels_at},
		{p->data.validation_path, p->validation_at},
		{p->data.validation_labels, p->validation_labels_at},
	};
	struct place at = p->data_at;
	size_t longest = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		size_t n = strlen(files[i].path);

		if (msg != NULL && n > longest && strstr(msg->text, files[i].path) != NULL) {
			longest = n;
			at = files[i].at;
		}
	}
	return at;
}

/* The layer that the message is about, where there is a list of them. */
static struct place model_place(const struct project *p, struct errmsg *msg)
{
	uint32_t layer = UINT32_MAX;

	if (p->model.type == MODEL_LAYERS)
		layer = layer_list_blame(&p->model, msg);
	return layer == UINT32_MAX ? p->model_at : p->layers_at[layer];
}

static int choose_trace(struct recipe *r, struct errmsg *msg)
{
	struct model m;
	int rc = model_init(&m, &r->model, &r->data, msg);

	if (rc != TK_OK)
		return rc;
	r->train.trace_every = trace_distance(&m, &r->train);
	model_close(&m);
	return TK_OK;
}

/* Everything but the data, which r has. */
static int recipe_fill(struct recipe *r, const struct project *p, struct errmsg *msg)
{
	bool choose = p->train.trace_every == 0;
	int rc = model_expand(&r->model, &p->model, &r->data, msg);

	memset(r->data.image, 0, sizeof(r->data.image)); /* the model has it now */
	memcpy(r->name, p->name, sizeof(r->name));
	if (choose)
		r->train.trace_every = 1;
	if (rc == TK_OK)
		rc = recipe_validate(r, msg);
	if (rc == TK_OK && choose)
		rc = choose_trace(r, msg);
	return rc;
}

/* The digest of the owner's own parameters, where there are some. */
static int name_initial(struct recipe *r, const struct project *p, struct errmsg *msg)
{
	struct bytes parameters = {0};
	int rc = project_initial(&parameters, p, r, msg);

	if (rc == TK_OK && parameters.len != 0)
		digest_blob(&r->initial, parameters.data, parameters.len);
	bytes_close(&parameters);
	return rc;
}

int project_recipe(struct recipe *out, const struct project *p, const struct shard_sink *sink,
	struct errmsg *msg)
{
	struct recipe r = {.numerics = NUMERICS_VERSION, .seed = p->seed, .train = p->train};
	int rc = dataset_prepare(&r.data, &p->data, sink, msg);

	if (rc != TK_OK)
		rc = prefix_place(p, data_place(p, msg), rc, msg);
	if (rc == TK_OK) {
		rc = recipe_fill(&r, p, msg);
		if (rc != TK_OK)
			rc = prefix_place(p, model_place(p, msg), rc, msg);
	}
	if (rc == TK_OK)
		rc = prefix_place(p, p->init_at, name_initial(&r, p, msg), msg);
	if (rc == TK_OK)
		*out = r;
	else
		recipe_close(&r);
	return rc;
}
