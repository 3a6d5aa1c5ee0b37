/* The table of keys behind project.yaml: what may be written, its type, limits, default and help.
 *
 * Reading, defaults, suggestions and the printed help all walk this one table. */
#ifndef TASKS_PROJECT_KEYS_H
#define TASKS_PROJECT_KEYS_H

#include "tasks/project/project.h"

#define KEYS_MAX	96u
#define KEY_PATH_MAX	96u  /* "train.outer.learning_rate" and a NUL */
#define KEY_LIST_MAX	384u /* room for the names of a section's keys in a sentence */
#define KEY_CHOICES_MAX 16u
#define CHOICE_NOT_YET	(-1) /* a choice that the design knows and this version does not */

enum key_type {
	KEY_NAME, /* a project's name */
	KEY_TEXT,
	KEY_PATH,   /* a file, relative to the project file's folder */
	KEY_CHOICE, /* one word of choices, stored as an enum */
	KEY_U32,
	KEY_U64, /* any 64-bit number: no limits */
	KEY_FLOAT,
	KEY_DOUBLE,
	KEY_WIDTHS, /* struct widths: a list of whole numbers */
	KEY_BOOL,
	KEY_LAYERS, /* a list of layers, or how many blocks the preset has */
	KEY_CHARACTER,
};

struct key_choice {
	const char *name; /* NULL ends the list */
	int value;
};

struct key {
	const char *path; /* "section.key"; NULL ends the table */
	enum key_type type;
	double min, max;      /* of numbers and of each width; of texts and paths, in bytes */
	uint32_t least, most; /* numbers in a list */
	const char *example;  /* of a list */
	const struct key_choice *choices;
	const char *fallback; /* the default as an owner would write it, or NULL */
	/* … and another one, when the choice other_with is one of other_values. */
	const char *other;
	const char *other_with;
	unsigned other_values;
	const char *note; /* what to say of a default that depends on other keys */
	bool required;
	const char *only_with; /* path of a KEY_CHOICE: the key has a meaning only there … */
	unsigned only_values;  /* … with one of these values, as bits 1 << value */
	size_t offset;	       /* of the field in the struct that the table is about */
	const char *help;
};

/* The table, about struct project; sections stand together, and a key stands after those that it depends on. */
extern const struct key project_keys[];

/* Index in the table, or -1. */
int key_find(const char *path);

/* The same for a path that is surely there. */
unsigned key_index(const char *path);

/* True for "train" or "train.outer". */
bool key_section(const char *path);

/* Why a key of the design is refused by this version; NULL for all others. */
const char *key_not_yet(const char *path);

/* A choice's number in the project, read back from its field; 0 while it is not known. */
int key_choice_value(const struct key *k, const struct project *p);
const char *key_choice_name(const struct key *k, int value);

/* Writes the supported choices as "a, b or c"; with bits only those whose value is in the mask. */
const char *key_choices(char out[KEY_LIST_MAX], const struct key *k, unsigned mask);

/* Finishes a sentence about an unknown key: the nearest key, where it belongs, or what is valid. */
void key_suggest(char out[KEY_LIST_MAX], const char *section, const char *name);

/* Of these words (NULL-terminated) the nearest to one that was mistyped, or NULL when none is near. */
const char *word_nearest(const char *word, const char *const *words);

/* The nearest supported choice to a word, or NULL when none is near. */
const char *key_nearest_choice(const struct key *k, const char *word);

#endif
