/* The table of keys as help. Nothing is decided here. */
#include <string.h>

#include "tasks/project/keys.h"
#include "tasks/project/layer_list.h"

static void help_type(const struct key *k, FILE *out)
{
	char list[KEY_LIST_MAX];

	switch (k->type) {
	case KEY_CHOICE:
		fprintf(out, "%s", key_choices(list, k, ~0u));
		return;
	case KEY_U64:
		fprintf(out, "whole number");
		return;
	case KEY_U32:
		fprintf(out, "whole number, %.0f to %.0f", k->min, k->max);
		return;
	case KEY_FLOAT:
	case KEY_DOUBLE:
		fprintf(out, "number, %.15g to %.15g", k->min, k->max);
		return;
	case KEY_WIDTHS:
		fprintf(out, "list of whole numbers, %.0f to %.0f", k->min, k->max);
		return;
	case KEY_LAYERS:
		fprintf(out, "whole number, %.0f to %.0f, or a list", k->min, k->max);
		return;
	case KEY_BOOL:
		fprintf(out, "true or false");
		return;
	case KEY_CHARACTER:
		fprintf(out, "character");
		return;
	case KEY_PATH:
		fprintf(out, "file");
		return;
	case KEY_NAME:
	case KEY_TEXT:
		fprintf(out, "text");
		return;
	}
}

static void help_key(const struct key *k, const char *name, int indent, FILE *out)
{
	char list[KEY_LIST_MAX];

	fprintf(out, "%*s%-*s ", indent, "", 22 - indent, name);
	help_type(k, out);
	if (k->required)
		fprintf(out, "; required");
	else if (k->fallback != NULL)
		fprintf(out, "; default %s", k->fallback);
	else if (k->note != NULL)
		fprintf(out, "; %s", k->note);
	if (k->other != NULL) {
		const struct key *choice = &project_keys[key_index(k->other_with)];

		fprintf(out, ", with %s: %s %s", strrchr(choice->path, '.') + 1,
			key_choices(list, choice, k->other_values), k->other);
	}
	fprintf(out, "\n%*s%s", 23, "", k->help);
	if (k->only_with != NULL) {
		const struct key *choice = &project_keys[key_index(k->only_with)];

		fprintf(out, " (only %s: %s)", strrchr(choice->path, '.') + 1,
			key_choices(list, choice, k->only_values));
	}
	fputc('\n', out);
}

static void help_section(const struct key *k, int section, int indent, FILE *out)
{
	const char *last = memrchr(k->path, '.', (size_t)section);

	last = last != NULL ? last + 1 : k->path;
	fprintf(out, "%*s%.*s:\n", indent - 2, "", (int)(k->path + section - last), last);
}

void project_help(FILE *out)
{
	const char *before = "";

	for (const struct key *k = project_keys; k->path != NULL; k++) {
		const char *name = strrchr(k->path, '.') + 1;
		int section = (int)(name - 1 - k->path);
		int indent = memchr(k->path, '.', (size_t)section) != NULL ? 4 : 2;

		if (key_not_yet(k->path) != NULL)
			continue;
		if (strncmp(before, k->path, (size_t)section + 1) != 0)
			help_section(k, section, indent, out);
		help_key(k, name, indent, out);
		before = k->path;
	}
	fputc('\n', out);
	layer_list_help(out);
	for (const struct key *k = layer_settings; k->path != NULL; k++)
		help_key(k, strrchr(k->path, '.') + 1, 2, out);
}
