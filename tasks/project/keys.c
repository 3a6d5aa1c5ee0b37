/* Looking things up in the table of keys; see keys.h. */
#include "tasks/project/keys.h"

#include <stdio.h>
#include <string.h>

#include "tasks/base/require.h"

/* Keys of the design, and keys of the table, that this version refuses. */
static const struct {
	const char *path;
	const char *why;
} not_yet[] = {
	{"train.delay", "every round starts from the round before it"},
	{"train.early_stopping", "training runs for all rounds"},
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
		if (c->value != CHOICE_NOT_YET && (mask & 1u << c->value) != 0)
			last = c;
	out[0] = '\0';
	for (const struct key_choice *c = k->choices; last != NULL && c <= last; c++) {
		if (c->value == CHOICE_NOT_YET || (mask & 1u << c->value) == 0)
			continue;
		used += (size_t)snprintf(out + used, KEY_LIST_MAX - used, "%s%s",
			used == 0 ? "" : (c == last ? " or " : ", "), c->name);
		REQUIRE(used < KEY_LIST_MAX);
	}
	return out;
}

const char *model_type_name(enum model_type type)
{
	const struct key *k = &project_keys[key_index("model.type")];

	return key_choice_name(k, (int)type);
}
