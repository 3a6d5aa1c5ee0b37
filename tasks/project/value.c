/* See value.h. A number is a number only as a whole: "6x4" is not 6, and "0x10" is not 16. */
#include "tasks/project/value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/require.h"
#include "tasks/data/utf8.h"

static void *field_of(void *about, const struct key *k)
{
	return (char *)about + k->offset;
}

/* text has the letters of numbers alone, and may be long. */
static int refuse_range(const struct key *k, const char *text, struct errmsg *why)
{
	return errmsg_set(why, TK_EINVAL,
		"%.40s is out of range; it must be between %.15g and %.15g", text, k->min, k->max);
}

static int read_whole(uint64_t *out, const char *text, struct errmsg *why)
{
	char quoted[UTF8_QUOTED];
	char *end;

	if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
		return errmsg_set(why, TK_EINVAL, "%s is not a whole number; write digits alone",
			utf8_quote(quoted, text));
	errno = 0;
	*out = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0')
		return errmsg_set(
			why, TK_EINVAL, "%.40s is out of range; it must be less than 2^64", text);
	return TK_OK;
}

static int read_u32(uint32_t *out, const struct key *k, const char *text, struct errmsg *why)
{
	uint64_t v = 0;
	int rc = read_whole(&v, text, why);

	if (rc == TK_OK && ((double)v < k->min || (double)v > k->max))
		rc = refuse_range(k, text, why);
	if (rc == TK_OK)
		*out = (uint32_t)v;
	return rc;
}

static int read_u64(uint64_t *out, const char *text, struct errmsg *why)
{
	uint64_t v = 0;
	int rc = read_whole(&v, text, why);

	if (rc == TK_OK)
		*out = v;
	return rc;
}

/* Reads a real number within the key's limits; −0 becomes 0. */
static int read_real(double *out, const struct key *k, const char *text, struct errmsg *why)
{
	char quoted[UTF8_QUOTED];
	char *end;
	double v;

	v = strtod(text, &end);
	if (end == text || *end != '\0' || text[strspn(text, "0123456789+-.eE")] != '\0')
		return errmsg_set(why, TK_EINVAL,
			"%s is not a number; write one like 0.004 or 4e-3",
			utf8_quote(quoted, text));
	if (!isfinite(v) || v < k->min || v > k->max)
		return refuse_range(k, text, why);
	*out = v == 0 ? 0 : v;
	return TK_OK;
}

static int read_float(float *out, const struct key *k, const char *text, struct errmsg *why)
{
	double v = 0;
	int rc = read_real(&v, k, text, why);

	if (rc == TK_OK)
		*out = (float)v;
	return rc;
}

static int read_bool(bool *out, const char *text, struct errmsg *why)
{
	char quoted[UTF8_QUOTED];

	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return errmsg_set(
			why, TK_EINVAL, "%s is not true or false", utf8_quote(quoted, text));
	*out = text[0] == 't';
	return TK_OK;
}

static int read_choice(void *field, const struct key *k, const char *text, struct errmsg *why)
{
	char quoted[UTF8_QUOTED];
	char list[KEY_LIST_MAX];
	const char *near;

	utf8_quote(quoted, text);
	key_choices(list, k, ~0u);
	for (const struct key_choice *c = k->choices; c->name != NULL; c++) {
		if (strcmp(c->name, text) != 0)
			continue;
		if (c->value == CHOICE_NOT_YET)
			return errmsg_set(why, TK_EUNSUPPORTED,
				"%s is not supported by this version, which has %s", quoted, list);
		memcpy(field, &c->value, sizeof(c->value));
		return TK_OK;
	}
	near = key_nearest_choice(k, text);
	if (near != NULL)
		return errmsg_set(
			why, TK_EINVAL, "%s is not %s; did you mean \"%s\"?", quoted, list, near);
	return errmsg_set(why, TK_EINVAL, "%s is not valid; write %s", quoted, list);
}

static int check_text(const struct key *k, const char *text, struct errmsg *why)
{
	size_t n = strlen(text);

	if (n < (size_t)k->min)
		return errmsg_set(why, TK_EINVAL, "is empty; give it a value or remove the key");
	if (n > (size_t)k->max)
		return errmsg_set(
			why, TK_EINVAL, "%zu bytes long; at most %.0f are accepted", n, k->max);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return errmsg_set(why, TK_EINVAL,
				"holds a control character (0x%02x); remove it",
				(unsigned char)text[i]);
	return TK_OK;
}

static int read_text(char *field, const struct key *k, const char *text, struct errmsg *why)
{
	int rc = check_text(k, text, why);

	if (rc == TK_OK)
		memcpy(field, text, strlen(text) + 1); /* check_text knows the field's size */
	return rc;
}

static int read_name(char *field, const char *text, struct errmsg *why)
{
	char quoted[UTF8_QUOTED];

	if (!project_name_valid(text))
		return errmsg_set(why, TK_EINVAL,
			"%s is no project name; use 1 to %u of a-z, 0-9, '-', '_', '.', beginning "
			"with a letter or digit",
			utf8_quote(quoted, text), PROJECT_NAME_MAX - 1);
	memcpy(field, text, strlen(text) + 1);
	return TK_OK;
}

static int read_path(
	char *field, const struct key *k, const char *text, const char *folder, struct errmsg *why)
{
	const char *slash = folder[0] != '\0' && folder[strlen(folder) - 1] != '/' ? "/" : "";
	int rc = check_text(k, text, why);

	if (rc != TK_OK)
		return rc;
	if (text[0] == '/')
		folder = slash = "";
	if (strlen(folder) + strlen(slash) + strlen(text) > (size_t)k->max)
		return errmsg_set(
			why, TK_EINVAL, "with its folder, longer than %.0f bytes", k->max);
	sprintf(field, "%s%s%s", folder, slash, text);
	return TK_OK;
}

/* A field's separator: one ASCII character that no number, quote or line end needs. */
static int read_character(char *field, const char *text, struct errmsg *why)
{
	char quoted[UTF8_QUOTED];

	if (strcmp(text, "\\t") == 0 || strcmp(text, "tab") == 0)
		text = "\t";
	if (strlen(text) != 1 || strchr(",;|:\t ^~", text[0]) == NULL)
		return errmsg_set(why, TK_EINVAL,
			"%s cannot separate fields; use one character such as \",\", \";\", \"|\" "
			"or \"\\t\"",
			utf8_quote(quoted, text));
	*field = text[0];
	return TK_OK;
}

static int read_scalar(
	void *about, const struct key *k, const char *text, const char *folder, struct errmsg *why)
{
	void *field = field_of(about, k);

	switch (k->type) {
	case KEY_NAME:
		return read_name(field, text, why);
	case KEY_TEXT:
		return read_text(field, k, text, why);
	case KEY_PATH:
		return read_path(field, k, text, folder, why);
	case KEY_CHOICE:
		return read_choice(field, k, text, why);
	case KEY_BOOL:
		return read_bool(field, text, why);
	case KEY_U32:
	case KEY_LAYERS: /* a list has its own reader */
		return read_u32(field, k, text, why);
	case KEY_U64:
		return read_u64(field, text, why);
	case KEY_FLOAT:
		return read_float(field, k, text, why);
	case KEY_DOUBLE:
		return read_real(field, k, text, why);
	case KEY_CHARACTER:
		return read_character(field, text, why);
	case KEY_WIDTHS:
		return errmsg_set(
			why, TK_EINVAL, "wants a list in brackets, such as %s", k->example);
	}
	REQUIRE(!"a type of key");
	return TK_EINVAL;
}

void value_default(void *about, const struct key *k, const char *text)
{
	REQUIRE(k->type != KEY_PATH && read_scalar(about, k, text, "", NULL) == TK_OK);
}

static bool is_number(enum key_type type)
{
	return type == KEY_U32 || type == KEY_U64 || type == KEY_FLOAT || type == KEY_DOUBLE ||
	       type == KEY_WIDTHS || type == KEY_LAYERS;
}

bool value_null(const struct tree *t)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

	for (size_t i = 0; !t->quoted && i < sizeof(nulls) / sizeof(nulls[0]); i++)
		if (strcmp(t->text, nulls[i]) == 0)
			return true;
	return false;
}

/* Refuses what no scalar of this type can be, before its text is read. */
static int check_scalar(const struct key *k, const struct tree *value, struct errmsg *why)
{
	char quoted[UTF8_QUOTED];

	if (value->kind == TREE_MAP)
		return errmsg_set(why, TK_EINVAL, "wants %s, not keys of its own",
			is_number(k->type) ? "a number" : "one value");
	if (value->kind == TREE_LIST)
		return errmsg_set(why, TK_EINVAL, "wants %s, not a list",
			is_number(k->type) ? "a number" : "one value");
	if (value_null(value) && value->text[0] == '\0')
		return errmsg_set(why, TK_EINVAL, "is empty; give it a value or remove the key");
	if (value_null(value))
		return errmsg_set(why, TK_EINVAL,
			"%s means nothing in YAML; remove the key, or put the word in quotes",
			utf8_quote(quoted, value->text));
	if (value->quoted && is_number(k->type))
		return errmsg_set(why, TK_EINVAL,
			"%s is text because of its quotes; write the number without them",
			utf8_quote(quoted, value->text));
	return TK_OK;
}

static void refuse_count(
	const struct key *k, struct place at, uint32_t count, struct faults *faults)
{
	if (count == 0)
		fault_add(faults, at, TK_EINVAL, "%s: the list is empty; write one such as %s",
			k->path, k->example);
	else if (k->least == k->most)
		fault_add(faults, at, TK_EINVAL, "%s: wants %u numbers, such as %s", k->path,
			k->most, k->example);
	else
		fault_add(faults, at, TK_EINVAL, "%s: more than %u numbers", k->path, k->most);
}

/* Reads a list of numbers; every wrong one is reported where it stands. */
static void read_widths(
	struct widths *out, const struct key *k, const struct tree *list, struct faults *faults)
{
	struct widths widths = {0};
	uint32_t before = faults->count;
	struct errmsg why;

	for (const struct tree *t = list->first; t != NULL; t = t->next) {
		int rc;

		if (widths.count == k->most) {
			refuse_count(k, t->at, k->most + 1, faults);
			return;
		}
		if (t->kind == TREE_BAD)
			return;
		rc = check_scalar(k, t, &why);
		if (rc == TK_OK)
			rc = read_u32(&widths.of[widths.count], k, t->text, &why);
		if (rc != TK_OK)
			fault_add(faults, t->at, rc, "%s: %s", k->path, why.text);
		widths.count++;
	}
	if (widths.count < k->least)
		refuse_count(k, list->at, widths.count, faults);
	if (faults->count == before && faults->dropped == 0)
		*out = widths;
}

void value_read(void *about, const struct key *k, const struct tree *value, struct place where,
	const char *folder, struct faults *faults)
{
	struct errmsg why;
	int rc;

	if (value->kind == TREE_BAD)
		return;
	if (k->type == KEY_WIDTHS && value->kind == TREE_LIST) {
		read_widths(field_of(about, k), k, value, faults);
		return;
	}
	if (value->kind != TREE_SCALAR || value->text[0] != '\0')
		where = value->at;
	rc = check_scalar(k, value, &why);
	if (rc == TK_OK)
		rc = read_scalar(about, k, value->text, folder, &why);
	if (rc != TK_OK)
		fault_add(faults, where, rc, "%s: %s", k->path, why.text);
}
