/* A set of texts in ascending order of their bytes: the categories of a column, the classes. */
#ifndef TASKS_DATA_WORDS_H
#define TASKS_DATA_WORDS_H

#include "tasks/base/bytes.h"
#include "tasks/base/error.h"

/* All zero is an empty set. */
struct words {
	struct bytes text; /* every text, NUL-terminated, in the order of arrival */
	size_t *starts;	   /* owned; (count) offsets in text, in the order of the texts */
	uint32_t count;
	uint32_t capacity;
};

/* True when the set has the text; *index is then its place in the order. */
bool words_find(const struct words *w, const char *text, uint32_t *index);

/* Adds the text unless the set has it. Errors: TK_ENOMEM; w is then as before. */
int words_add(struct words *w, const char *text) TK_CHECKED;

/* The text at a place in the order. */
const char *words_at(const struct words *w, uint32_t index);

void words_close(struct words *w);

#endif
