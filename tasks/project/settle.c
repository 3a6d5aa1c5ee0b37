/* Defaults of a project, and the keys that must, may or may not be there; see reader.h. */
#include "tasks/project/reader.h"

#include <string.h>

#include "tasks/project/value.h"

bool reader_given(const struct reader *r, const char *path)
{
	return r->keys[key_index(path)] != NULL;
}

struct place reader_place(const struct reader *r, const char *path)
{
	const struct tree *key = r->keys[key_index(path)];
	const struct tree *root = r->root;
	size_t n = strcspn(path, ".");

	if (key != NULL)
		return key->at;
	for (const struct tree *k = root->first; k != NULL; k = k->next->next)
		if (k->kind == TREE_SCALAR && strlen(k->text) == n &&
			strncmp(k->text, path, n) == 0)
			return k->at;
	return root->at;
}

/* The format is plain from some names of files. */
static void infer_format(struct reader *r)
{
	const char *dot = strrchr(r->project.data.path, '.');

	if (reader_given(r, "data.format") || r->project.data.path[0] == '\0')
		return;
	if (dot != NULL && strcmp(dot, ".csv") == 0)
		r->project.data.format = DATA_CSV;
	else if (dot != NULL && strcmp(dot, ".txt") == 0)
		r->project.data.format = DATA_TEXT;
	else
		fault_add(&r->faults, reader_place(r, "data.format"), TK_EINVAL,
			"data.format: missing, and the data's name does not tell; write csv, idx "
			"or text");
}

/* Whether the key has a meaning with what was chosen; unsure while the choice is unknown. */
enum fit { FITS, FITS_NOT, FIT_UNSURE };

/* A choice that a key hangs on may hang on another in turn; *link is the key that does not fit. */
static enum fit key_fits(const struct key *k, const struct project *p, const struct key **link)
{
	enum fit fit = FITS;

	while (k->only_with != NULL) {
		const struct key *choice = &project_keys[key_index(k->only_with)];
		int value = key_choice_value(choice, p);

		*link = k;
		if (value <= 0)
			fit = FIT_UNSURE;
		else if ((k->only_values & 1u << value) == 0)
			return FITS_NOT;
		k = choice;
	}
	return fit;
}

static void refuse_misfit(
	struct reader *r, const struct key *k, const struct key *link, struct place at)
{
	const struct key *choice = &project_keys[key_index(link->only_with)];
	char list[KEY_LIST_MAX];

	fault_add(&r->faults, at, TK_EINVAL,
		"%s: has no meaning with %s: %s; remove it (it belongs to %s)", k->path,
		choice->path, key_choice_name(choice, key_choice_value(choice, &r->project)),
		key_choices(list, choice, link->only_values));
}

/* The default, or NULL when there is none. */
static const char *key_default(const struct key *k, const struct project *p)
{
	int value;

	if (k->other == NULL)
		return k->fallback;
	value = key_choice_value(&project_keys[key_index(k->other_with)], p);
	return value > 0 && (k->other_values & 1u << value) != 0 ? k->other : k->fallback;
}

/* Walks the table: required keys that are missing, keys that do not fit, defaults. */
static void settle_keys(struct reader *r)
{
	for (unsigned i = 0; project_keys[i].path != NULL; i++) {
		const struct key *k = &project_keys[i];
		const struct key *link = NULL;
		enum fit fit = key_fits(k, &r->project, &link);
		const char *text = key_default(k, &r->project);
		char list[KEY_LIST_MAX];

		if (r->keys[i] != NULL && fit == FITS_NOT)
			refuse_misfit(r, k, link, r->keys[i]->at);
		if (r->keys[i] != NULL)
			continue;
		if (k->required)
			fault_add(&r->faults, reader_place(r, k->path), TK_EINVAL,
				"%s: missing; add it: %s", k->path,
				k->choices != NULL ? key_choices(list, k, ~0u) : k->help);
		else if (fit == FITS && text != NULL)
			value_default(&r->project, k, text);
	}
}

static void set_width(struct widths *w, uint32_t first)
{
	*w = (struct widths){.count = 1, .of = {first}};
}

static void settle_model(struct reader *r)
{
	struct model_settings *m = &r->project.model;

	if (!reader_given(r, "model.hidden") && (m->type == MODEL_MLP || m->type == MODEL_CNN))
		set_width(&m->hidden, 128);
	if (!reader_given(r, "model.hidden") && m->type == MODEL_CHAR_MLP)
		set_width(&m->hidden, 256);
	if (!reader_given(r, "model.channels") && m->type == MODEL_CNN)
		m->channels = (struct widths){.count = 2, .of = {32, 64}};
	if (!reader_given(r, "model.layers") && m->type == MODEL_GPT)
		m->blocks = 4;
}

/* The warm-up belongs to wherever the optimizer's state begins. */
static void settle_warmup(struct reader *r)
{
	struct train_spec *t = &r->project.train;
	uint32_t quarter = t->inner_steps >= 8 ? t->inner_steps / 4 : 1;
	uint32_t begin = 0;

	if (t->mode == MODE_GRADIENT)
		begin = t->rounds >= 20 ? t->rounds / 20 : 1;
	else if (t->inner_state == INNER_AVERAGE)
		begin = quarter;
	if (!reader_given(r, "train.run_warmup_steps"))
		t->run_warmup_steps = begin;
	if (!reader_given(r, "train.warmup_steps") && t->mode == MODE_LOCAL)
		t->warmup_steps = t->inner_state == INNER_AVERAGE ? 0 : quarter;
}

/* The defaults that hang on other keys. */
static void settle_dependent(struct reader *r)
{
	struct project *p = &r->project;
	struct train_spec *t = &p->train;
	bool adamw = t->mode == MODE_GRADIENT ? t->outer == OUTER_ADAMW
					      : t->optimizer == OPTIMIZER_ADAMW;

	settle_model(r);
	settle_warmup(r);
	if (!reader_given(r, "data.validation_fraction") &&
		!reader_given(r, "data.validation_path"))
		p->data.validation_fraction = 0.1;
	if (!reader_given(r, "train.learning_rate"))
		t->learning_rate = adamw ? 4e-3f : 0.1f;
	if (t->mode == MODE_GRADIENT)
		t->outer_learning_rate = 1;
	if (!reader_given(r, "train.merge_byzantine") &&
		(t->merge == MERGE_TRIMMED_MEAN || t->merge == MERGE_MULTI_KRUM))
		t->merge_byzantine = t->units_per_round >= 8 ? t->units_per_round / 4 : 1;
	if (p->data.format != DATA_TEXT)
		p->data.context = 0;
	p->data.seed = p->seed;
}

void reader_settle(struct reader *r)
{
	infer_format(r);
	settle_keys(r);
	settle_dependent(r);
}
