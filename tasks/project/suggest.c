/* Suggestions for what was mistyped: the nearest key or choice by edit distance (optimal string
 * alignment: insertions, deletions, substitutions and swaps of neighbours), in lower case. */
#include "tasks/project/keys.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tasks/base/require.h"

#define WORD_MAX 40u

struct nearest {
	const char *word;
	size_t distance;
	char best[WORD_MAX + 1];
};

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Both words have at most WORD_MAX letters. */
static size_t word_distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1]; /* the row being made, and the two before it */
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		rows[0][j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t *now = rows[i % 3];
		const size_t *before = rows[(i + 2) % 3];
		const size_t *earlier = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= n; j++) {
			now[j] = before[j - 1] + !same_letter(a[i - 1], b[j - 1]);
			now[j] = least(now[j], least(before[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
				same_letter(a[i - 2], b[j - 1]))
				now[j] = least(now[j], earlier[j - 2] + 1);
		}
	}
	return rows[strlen(a) % 3][n];
}

/* Keeps the candidate when it is near enough, and nearer than the best so far. */
static void nearest_offer(struct nearest *n, const char *candidate, size_t len)
{
	size_t word_len = strlen(n->word);
	char name[WORD_MAX + 1];
	size_t distance;

	if (len > WORD_MAX || word_len == 0 || word_len > WORD_MAX)
		return;
	memcpy(name, candidate, len);
	name[len] = '\0';
	distance = word_distance(n->word, name);
	if (word_len >= 4 && strstr(name, n->word) != NULL)
		distance = least(distance, 2); /* "steps" of "inner_steps" */
	if (distance > 1 + word_len / 4 || distance >= n->distance)
		return;
	n->distance = distance;
	memcpy(n->best, name, len + 1);
}

/* The first name below the section in the key's path, or NULL when the key is not in the section or is
 * refused anyway. */
static const char *name_within(const struct key *k, const char *section, size_t *len)
{
	size_t n = strlen(section);
	const char *name = k->path;

	if (key_not_yet(k->path) != NULL)
		return NULL;
	if (n > 0) {
		if (strncmp(name, section, n) != 0 || name[n] != '.')
			return NULL;
		name += n + 1;
	}
	*len = strcspn(name, ".");
	return name;
}

static void list_section(char out[KEY_LIST_MAX], const char *section)
{
	const char *before = "";
	size_t before_len = 0;
	size_t used = 0;
	size_t len;

	used = (size_t)snprintf(out, KEY_LIST_MAX, "valid here: ");
	for (const struct key *k = project_keys; k->path != NULL; k++) {
		const char *name = name_within(k, section, &len);

		if (name == NULL || (len == before_len && strncmp(name, before, len) == 0))
			continue;
		used += (size_t)snprintf(out + used, KEY_LIST_MAX - used, "%s%.*s",
			before_len == 0 ? "" : ", ", (int)len, name);
		if (used >= KEY_LIST_MAX)
			return; /* cut short, and terminated */
		before = name;
		before_len = len;
	}
}

void key_suggest(char out[KEY_LIST_MAX], const char *section, const char *name)
{
	struct nearest near = {.word = name, .distance = SIZE_MAX};
	size_t len;

	for (const struct key *k = project_keys; k->path != NULL; k++) {
		const char *last = strrchr(k->path, '.') + 1;

		/* "section.key" in one word, or a key that stands in another section */
		if (strcmp(k->path, name) == 0 || strcmp(last, name) == 0) {
			snprintf(out, KEY_LIST_MAX, "\"%s\" belongs in the section %.*s", last,
				(int)(last - k->path - 1), k->path);
			return;
		}
	}
	for (const struct key *k = project_keys; k->path != NULL; k++) {
		const char *candidate = name_within(k, section, &len);

		if (candidate != NULL)
			nearest_offer(&near, candidate, len);
	}
	if (near.distance != SIZE_MAX)
		snprintf(out, KEY_LIST_MAX, "did you mean \"%s\"?", near.best);
	else
		list_section(out, section);
}

const char *word_nearest(const char *word, const char *const *words)
{
	struct nearest near = {.word = word, .distance = SIZE_MAX};
	const char *best = NULL;

	for (; *words != NULL; words++) {
		size_t before = near.distance;

		nearest_offer(&near, *words, strlen(*words));
		if (near.distance != before)
			best = *words;
	}
	return best;
}

const char *key_nearest_choice(const struct key *k, const char *word)
{
	const char *words[KEY_CHOICES_MAX + 1];
	size_t n = 0;

	for (const struct key_choice *c = k->choices; c->name != NULL; c++) {
		REQUIRE(n < KEY_CHOICES_MAX);
		if (c->value != CHOICE_NOT_YET)
			words[n++] = c->name;
	}
	words[n] = NULL;
	return word_nearest(word, words);
}
